/* The client's end of a session: what is the same for every transport. */
#include "transport/chan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "transport/chan_impl.h"
#include "transport/chan_waits.h"
#include "transport/hello.h"
#include "transport/net.h"
#include "transport/window.h"

#define DEFAULT_TIMEOUT_MS 10000
#define TURNS              4 /* how often windows are proposed */

/* ---- connecting ---- */

static void
on_host_func_done(void *data, uint64_t id)
{
	struct genie_chan *chan = data;

	if (!genie_chan_dead(chan))
		chan->ops->host_done(chan, id);
}

static void
conn_close(struct genie_conn *conn)
{
	genie_net_close(&conn->fd);
	for (unsigned i = 0; i < GENIE_CONN_FDS; i++)
		genie_net_close(&conn->fds[i]);
}

static struct genie_chan *
chan_new(const struct genie_chan_ops *ops, const struct genie_chan_opts *opts)
{
	struct genie_chan *chan = NULL;

	if (posix_memalign((void **)&chan, GENIE_AREA_LINE, ops->size))
		return NULL;
	memset(chan, 0, ops->size);
	chan->ops = ops;
	for (unsigned i = 0; i < sizeof(chan->fds) / sizeof(chan->fds[0]); i++)
		chan->fds[i] = -1;
	chan->pinned_fd = -1;
	genie_bulk_init(&chan->bulk);
	genie_crew_init(&chan->crew, opts->copy_threads);
	pthread_mutex_init(&chan->lanes.lock, NULL);
	chan->events = genie_events_create(&opts->events, on_host_func_done, chan);
	if (!chan->events) {
		free(chan);
		return NULL;
	}
	return chan;
}

/* The handshake, with the windows this process has room for. -EADDRNOTAVAIL: the server has no
 * room there, and this process none where the server has. */
static int
chan_greet(struct genie_chan *chan, struct genie_conn *conn, unsigned int turn, int timeout_ms,
	   char *err, size_t err_size)
{
	bool session = conn->opts->kind == GENIE_HELLO_SESSION;
	struct genie_hello_request request = {
		.opts = conn->opts,
		.kind = conn->opts->kind,
		.device = session ? &chan->device_window : NULL,
		.pinned = session ? &chan->pinned_window : NULL,
	};
	int ret;

	if (session) {
		genie_window_reserve(GENIE_DEVICE_WINDOW_BASE, GENIE_DEVICE_WINDOW_SIZE, turn,
				     &chan->device_window);
		genie_window_reserve(GENIE_PINNED_WINDOW_BASE, GENIE_PINNED_WINDOW_SIZE, turn,
				     &chan->pinned_window);
	}
	ret = genie_hello_exchange(conn->fd, &request, timeout_ms, &chan->welcome, &chan->devices,
				   conn->fds, conn->address->is_shm ? GENIE_CONN_FDS : 0, err,
				   err_size);
	if (ret < 0 || !session)
		return ret;
	ret = genie_window_move(&chan->device_window, chan->welcome.device_window,
				chan->welcome.device_window_size);
	if (!ret)
		ret = genie_window_move(&chan->pinned_window, chan->welcome.pinned_window,
					chan->welcome.pinned_window_size);
	if (ret < 0)
		snprintf(err, err_size, "the addresses that the server offers are taken here: %s",
			 strerror(-ret));
	return ret < 0 ? -EADDRNOTAVAIL : 0;
}

static int
connect_once(const struct genie_chan_opts *opts, struct genie_address *address, unsigned int turn,
	     struct genie_chan **ret_chan, char *err, size_t err_size)
{
	struct genie_conn conn = {.fd = -1, .fds = {-1, -1, -1}, .address = address, .opts = opts};
	int timeout_ms = opts->timeout_ms > 0 ? opts->timeout_ms : DEFAULT_TIMEOUT_MS;
	struct genie_chan *chan;
	int ret;

	err[0] = 0;
	ret = genie_address_connect(address, timeout_ms, &conn.fd, err, err_size);
	if (ret < 0)
		return ret;
	chan = chan_new(address->is_shm ? &genie_shm_ops : &genie_tcp_ops, opts);
	if (!chan) {
		snprintf(err, err_size, "out of memory");
		conn_close(&conn);
		return -ENOMEM;
	}
	ret = chan_greet(chan, &conn, turn, timeout_ms, err, err_size);
	if (!ret && opts->kind == GENIE_HELLO_SESSION)
		ret = chan->ops->open(chan, &conn, err, err_size);
	conn_close(&conn);
	if (ret < 0) {
		if (!err[0])
			snprintf(err, err_size, "%s", strerror(-ret));
		genie_chan_close(chan);
		return ret;
	}
	/* A query has no session: the answer is all there is. */
	if (opts->kind != GENIE_HELLO_SESSION)
		atomic_store(&chan->dead, true);
	*ret_chan = chan;
	return 0;
}

int
genie_chan_connect(const struct genie_chan_opts *opts, struct genie_chan **ret_chan, char *err,
		   size_t err_size)
{
	struct genie_address address;
	int ret;

	err[0] = 0;
	ret = genie_address_parse(opts->server, false, &address, err, err_size);
	if (ret < 0)
		return ret;
	for (unsigned int turn = 0; turn < TURNS; turn++) {
		ret = connect_once(opts, &address, turn, ret_chan, err, err_size);
		if (ret != -EADDRNOTAVAIL)
			break;
	}
	return ret;
}

void
genie_chan_close(struct genie_chan *chan)
{
	if (!chan)
		return;
	chan->closing = true;
	/* First, while what a host function in hand waits for can still come. */
	genie_events_stop(chan->events);
	if (chan->area)
		chan->ops->close(chan);
	genie_events_destroy(chan->events);
	genie_lanes_fini(&chan->lanes);
	genie_crew_fini(&chan->crew);
	genie_bulk_fini(&chan->bulk);
	for (unsigned i = 0; i < sizeof(chan->fds) / sizeof(chan->fds[0]); i++)
		genie_net_close(&chan->fds[i]);
	genie_net_close(&chan->pinned_fd);
	genie_window_release(&chan->pinned_window);
	genie_window_release(&chan->device_window);
	if (chan->staging)
		munmap(chan->staging, GENIE_STAGING_SIZE);
	if (chan->area)
		munmap(chan->area, sizeof(*chan->area));
	free(chan->devices);
	free(chan);
}

void
genie_chan_forget(struct genie_chan *chan)
{
	/* Nothing here may lock or free: the thread that held the lock does not exist in a child.
	 */
	if (!chan)
		return;
	atomic_store(&chan->dead, true);
	for (unsigned i = 0; i < sizeof(chan->fds) / sizeof(chan->fds[0]); i++)
		if (chan->fds[i] >= 0)
			close(chan->fds[i]);
	if (chan->pinned_fd >= 0)
		close(chan->pinned_fd);
	if (chan->pinned_window.size)
		munmap((void *)(uintptr_t)chan->pinned_window.base, chan->pinned_window.size);
	if (chan->staging)
		munmap(chan->staging, GENIE_STAGING_SIZE);
	if (chan->area)
		munmap(chan->area, sizeof(*chan->area));
	chan->area = NULL;
}

void
genie_chan_die(struct genie_chan *chan, const char *why)
{
	if (atomic_exchange(&chan->dead, true))
		return;
	if (!chan->closing)
		genie_error("the session is lost: %s", why);
	genie_area_wake_all(chan->area);
	pthread_mutex_lock(&chan->lanes.lock);
	for (unsigned i = 0; i < GENIE_AREA_LANES && chan->lanes.table[i]; i++)
		genie_bell_ring(&chan->area->replies[i].bell);
	pthread_mutex_unlock(&chan->lanes.lock);
}

void
genie_chan_fail(struct genie_chan *chan, const char *why)
{
	genie_chan_die(chan, why);
}

/* ---- what it is ---- */

const struct genie_welcome *
genie_chan_welcome(const struct genie_chan *chan)
{
	return &chan->welcome;
}

const struct genie_device_info *
genie_chan_devices(const struct genie_chan *chan)
{
	return chan->devices;
}

const char *
genie_chan_transport(const struct genie_chan *chan)
{
	return chan->ops->name;
}

void
genie_chan_stats(const struct genie_chan *chan, struct genie_chan_stats *ret_stats)
{
	struct genie_chan_stats stats = {
		.bytes_sent = atomic_load_explicit(&chan->bytes_sent, memory_order_relaxed),
		.bytes_received = atomic_load_explicit(&chan->bytes_received, memory_order_relaxed),
		.batches = atomic_load_explicit(&chan->batches, memory_order_relaxed),
	};

	/* Commands are counted by the rings themselves. */
	if (chan->area)
		for (unsigned i = 0; i < GENIE_LANES_MAX; i++)
			stats.bytes_sent += atomic_load_explicit(&chan->area->rings[i].tail,
								 memory_order_relaxed);
	*ret_stats = stats;
}

static uint64_t
waited(const struct genie_spin *spin)
{
	return atomic_load_explicit(&spin->waited_ns, memory_order_relaxed);
}

void
genie_chan_waits(const struct genie_chan *chan, struct genie_chan_waits *ret_waits)
{
	*ret_waits = (struct genie_chan_waits){
		.progress_ns = waited(&chan->progress_spin),
		.reply_ns = waited(&chan->lanes.reply_spin),
		.room_ns = waited(&chan->lanes.space_spin),
		.bulk_ns = waited(&chan->bulk.spin),
	};
}

bool
genie_chan_dead(const struct genie_chan *chan)
{
	return atomic_load_explicit(&chan->dead, memory_order_relaxed);
}

struct genie_async_error
genie_chan_error(const struct genie_chan *chan)
{
	if (!chan->area)
		return (struct genie_async_error){0};
	return genie_area_error_get(chan->area);
}

void
genie_chan_error_clear(struct genie_chan *chan, uint64_t ticket)
{
	if (chan->area)
		genie_area_error_ack(chan->area, ticket);
}

uint64_t
genie_chan_last_ticket(const struct genie_chan *chan)
{
	return atomic_load_explicit(&chan->ticket, memory_order_acquire);
}

/* ---- progress ---- */

uint64_t
genie_chan_progress(const struct genie_chan *chan, uint32_t slot)
{
	struct genie_chan *mutable = (struct genie_chan *)chan;
	uint64_t ticket;

	if (slot >= GENIE_SLOTS_MAX || !chan->area)
		return 0;
	if (chan->ops->poll)
		chan->ops->poll(mutable);
	ticket = atomic_load_explicit(&chan->area->progress[slot], memory_order_acquire);
	genie_bulk_reap(mutable);
	return ticket;
}

struct progress_wait {
	struct genie_chan *chan;
	uint32_t slot;
	uint64_t ticket;
	int ret;
};

static bool
progress_ready(void *data)
{
	struct progress_wait *wait = data;
	struct genie_area *area = wait->chan->area;

	/* S4 of relax.h; pairs with the exchange in genie_area_progress. */
	if (atomic_load_explicit(&area->progress[wait->slot], memory_order_seq_cst) >=
	    wait->ticket) {
		wait->ret = 0;
		return true;
	}
	if (genie_chan_is_dead(wait->chan)) {
		wait->ret = -ECONNRESET;
		return true;
	}
	if (genie_area_error_get(area).sticky) {
		wait->ret = -EIO;
		return true;
	}
	return false;
}

int
genie_chan_wait(struct genie_chan *chan, uint32_t slot, uint64_t ticket)
{
	struct progress_wait progress = {chan, slot, ticket, -ECONNRESET};
	struct genie_wait wait = {
		.reason = "progress",
		.ready = progress_ready,
		.data = &progress,
		.spin = &chan->progress_spin,
	};

	if (slot >= GENIE_SLOTS_MAX)
		return -EINVAL;
	if (!chan->area)
		return -ECONNRESET;
	if (!progress_ready(&progress)) {
		wait.bell = genie_area_bell(chan->area, slot);
		chan->ops->wait(chan, &wait);
	}
	genie_bulk_reap(chan);
	return progress.ret;
}

/* ---- the pinned window ---- */

void *
genie_chan_pinned_base(const struct genie_chan *chan)
{
	return (void *)(uintptr_t)chan->pinned_window.base;
}

int
genie_chan_pinned_fd(const struct genie_chan *chan)
{
	return chan->pinned_fd;
}

int
genie_chan_host_data(struct genie_chan *chan, const void *addr, size_t len)
{
	size_t part;
	int ret = 0;

	if (!chan->ops->host_data)
		return 0;
	for (; len && !ret; addr = (const char *)addr + part, len -= part) {
		part = len < GENIE_BULK_CHUNK ? len : GENIE_BULK_CHUNK;
		ret = genie_chan_is_dead(chan) ? -ECONNRESET
					       : chan->ops->host_data(chan, addr, part);
	}
	return ret;
}

int
genie_chan_pinned_discard(struct genie_chan *chan, void *addr, size_t len)
{
	uint64_t start = (uint64_t)(uintptr_t)addr, end, page = (uint64_t)sysconf(_SC_PAGESIZE);
	bool shared = chan->welcome.flags & GENIE_WELCOME_F_SHARED_PINNED;

	if (__builtin_add_overflow(start, len, &end) || start < chan->pinned_window.base ||
	    end > chan->pinned_window.base + chan->pinned_window.size)
		return -EINVAL;
	/* Whole pages only: what shares a page with something else stays. */
	start = (start + page - 1) & ~(page - 1);
	end &= ~(page - 1);
	if (start >= end)
		return 0;
	if (madvise((void *)(uintptr_t)start, end - start, shared ? MADV_REMOVE : MADV_DONTNEED) <
	    0)
		return -errno;
	return 0;
}
