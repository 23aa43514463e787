/* TCP, the client's end: connecting, the roles, the threads. tcp_impl.h explains the roles. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/hello.h"
#include "transport/helper.h"
#include "transport/net.h"
#include "transport/tcp_impl.h"

#define CLOSE_MS        2000 /* how long commands may take to leave when the program ends */
#define QUERY_EVERY_NS  4000 /* a program that polls receives at most so often */
#define SERVICE_REST_MS 1    /* nobody led for so long: the service thread takes over */
#define SCRATCH_SIZE    (64u << 10)

/* ---- the receiver's role ---- */

static bool
role_take(struct tcp_chan *tcp)
{
	return !atomic_exchange_explicit(&tcp->rx_busy, true, memory_order_seq_cst);
}

/* Wakes one waiting thread if nobody receives. Called by everybody who gives the role back and by
 * everybody who stops waiting: the one woken may have what it waits for and go away, and then it
 * comes here in turn. So while threads wait, one of them receives or is about to. */
static void
role_offer(struct tcp_chan *tcp)
{
	if (!atomic_load_explicit(&tcp->waiter_count, memory_order_seq_cst))
		return;
	pthread_mutex_lock(&tcp->wait_lock);
	if (tcp->waiters && !atomic_load_explicit(&tcp->rx_busy, memory_order_seq_cst))
		genie_bell_ring(tcp->waiters->bell);
	pthread_mutex_unlock(&tcp->wait_lock);
}

static void
role_give(struct tcp_chan *tcp)
{
	/* P1 of relax.h for followers (follow_ready) and for the service thread (rest_ready). */
	atomic_store_explicit(&tcp->rx_busy, false, memory_order_seq_cst);
	genie_bell_ring(&tcp->rest_bell);
	role_offer(tcp);
}

/* ---- waiting ---- */

struct tcp_wait {
	struct tcp_chan *tcp;
	const struct genie_wait *wait;
};

static bool
lead_ready(void *data)
{
	struct tcp_wait *lead = data;

	tcp_pump(lead->tcp);
	tcp_receive(lead->tcp);
	return lead->wait->ready(lead->wait->data);
}

/* Waits with the receiver's role. */
static void
lead(struct tcp_wait *tcp_wait)
{
	struct tcp_chan *tcp = tcp_wait->tcp;
	struct pollfd fds[2] = {
		{.fd = tcp->chan.fds[TCP_FD_COMMAND], .events = POLLIN},
		{.fd = tcp->chan.fds[TCP_FD_BULK], .events = POLLIN},
	};
	struct genie_wait wait = {
		.reason = tcp_wait->wait->reason,
		.ready = lead_ready,
		.data = tcp_wait,
		.spin = tcp_wait->wait->spin,
		.fds = fds,
		.fd_count = 2,
	};
	uint64_t one = 1;

	atomic_fetch_add_explicit(&tcp->leads, 1, memory_order_seq_cst);
	/* Otherwise every frame that arrives would wake the service thread, too. It comes out of
	 * poll() once and then rests until nobody leads any more. */
	if (atomic_exchange_explicit(&tcp->service_polls, false, memory_order_seq_cst) &&
	    write(tcp->chan.fds[TCP_FD_KICK], &one, sizeof(one)) < 0) {
		/* the counter is full: the service thread is being woken already */
	}
	genie_relax(&wait, -1);
}

static bool
follow_ready(void *data)
{
	struct tcp_wait *follow = data;

	return follow->wait->ready(follow->wait->data) ||
	       !atomic_load_explicit(&follow->tcp->rx_busy, memory_order_seq_cst);
}

static void
waiters_add(struct tcp_chan *tcp, struct tcp_waiter *waiter)
{
	pthread_mutex_lock(&tcp->wait_lock);
	waiter->next = tcp->waiters;
	tcp->waiters = waiter;
	atomic_fetch_add_explicit(&tcp->waiter_count, 1, memory_order_seq_cst);
	pthread_mutex_unlock(&tcp->wait_lock);
}

static void
waiters_remove(struct tcp_chan *tcp, struct tcp_waiter *waiter)
{
	struct tcp_waiter **at = &tcp->waiters;

	pthread_mutex_lock(&tcp->wait_lock);
	while (*at != waiter)
		at = &(*at)->next;
	*at = waiter->next;
	atomic_fetch_sub_explicit(&tcp->waiter_count, 1, memory_order_seq_cst);
	pthread_mutex_unlock(&tcp->wait_lock);
}

/* Waits while another thread receives; comes back when it stops, or when we have what we want. */
static void
follow(struct tcp_wait *tcp_wait)
{
	struct tcp_chan *tcp = tcp_wait->tcp;
	struct tcp_waiter waiter = {.bell = tcp_wait->wait->bell};
	struct genie_wait wait = {
		.reason = tcp_wait->wait->reason,
		.ready = follow_ready,
		.data = tcp_wait,
		.spin = tcp_wait->wait->spin,
		.bell = waiter.bell,
	};

	waiters_add(tcp, &waiter);
	genie_relax(&wait, -1);
	waiters_remove(tcp, &waiter);
}

static void
tcp_wait(struct genie_chan *chan, const struct genie_wait *wait)
{
	struct tcp_wait tcp_wait = {tcp_of(chan), wait};
	struct tcp_chan *tcp = tcp_wait.tcp;
	bool followed = false;

	tcp_pump(tcp);
	while (!wait->ready(wait->data)) {
		if (role_take(tcp)) {
			lead(&tcp_wait);
			role_give(tcp);
		} else {
			follow(&tcp_wait);
			followed = true;
		}
	}
	if (followed)
		role_offer(tcp);
}

/* Called by queries. Right after a thread led, the service thread does not receive for a moment,
 * and a program that polls an event must not see it as pending for so long. */
static void
tcp_poll(struct genie_chan *chan)
{
	struct tcp_chan *tcp = tcp_of(chan);
	uint64_t now;

	if (atomic_load_explicit(&tcp->service_polls, memory_order_relaxed) ||
	    atomic_load_explicit(&tcp->rx_busy, memory_order_relaxed) || genie_chan_dead(chan))
		return;
	now = genie_relax_now_ns();
	if (now - atomic_load_explicit(&tcp->polled_ns, memory_order_relaxed) < QUERY_EVERY_NS)
		return;
	atomic_store_explicit(&tcp->polled_ns, now, memory_order_relaxed);
	if (role_take(tcp)) {
		tcp_receive(tcp);
		role_give(tcp);
	}
}

/* ---- the service thread ---- */

static bool
service_must_end(const struct tcp_chan *tcp)
{
	return atomic_load_explicit(&tcp->stop, memory_order_seq_cst) ||
	       genie_chan_is_dead(&tcp->chan);
}

static bool
rest_ready(void *data)
{
	struct tcp_chan *tcp = data;

	return !atomic_load_explicit(&tcp->rx_busy, memory_order_seq_cst) || service_must_end(tcp);
}

/* Until no thread has led for SERVICE_REST_MS. */
static void
service_rest(struct tcp_chan *tcp)
{
	struct genie_wait wait = {
		.reason = "the receiver's role",
		.ready = rest_ready,
		.data = tcp,
		.bell = &tcp->rest_bell,
	};
	unsigned leads;

	do {
		leads = atomic_load_explicit(&tcp->leads, memory_order_seq_cst);
		genie_relax_pause_ms(SERVICE_REST_MS);
		if (leads == atomic_load_explicit(&tcp->leads, memory_order_seq_cst))
			genie_relax(&wait, -1); /* one that has led all the time, or nobody */
	} while (leads != atomic_load_explicit(&tcp->leads, memory_order_seq_cst) &&
		 !service_must_end(tcp));
}

/* Sleeps until there is something to receive or a thread begins to lead; true for the latter. */
static bool
service_poll(struct tcp_chan *tcp)
{
	struct pollfd fds[3] = {
		{.fd = tcp->chan.fds[TCP_FD_COMMAND], .events = POLLIN},
		{.fd = tcp->chan.fds[TCP_FD_BULK], .events = POLLIN},
		{.fd = tcp->chan.fds[TCP_FD_KICK], .events = POLLIN},
	};
	uint64_t kicks;

	atomic_store_explicit(&tcp->service_polls, true, memory_order_seq_cst);
	/* Who took the role before this found no service_polls to clear, and does not kick. */
	if (!atomic_load_explicit(&tcp->rx_busy, memory_order_seq_cst) && !service_must_end(tcp))
		poll(fds, 3, -1);
	atomic_store_explicit(&tcp->service_polls, false, memory_order_seq_cst);
	return (fds[2].revents & POLLIN) &&
	       read(tcp->chan.fds[TCP_FD_KICK], &kicks, sizeof(kicks)) > 0;
}

static void *
service_thread(void *data)
{
	struct tcp_chan *tcp = data;

	while (!service_must_end(tcp)) {
		if (service_poll(tcp) || !role_take(tcp)) {
			service_rest(tcp);
			continue;
		}
		while (tcp_receive(tcp) && !service_must_end(tcp))
			;
		role_give(tcp);
	}
	return NULL;
}

/* ---- opening and closing ---- */

static int
connect_bulk(struct tcp_chan *tcp, const struct genie_conn *conn, char *err, size_t err_size)
{
	struct genie_address address = *conn->address;
	struct genie_hello_request request = {
		.opts = conn->opts,
		.kind = GENIE_HELLO_BULK,
		.join_id = tcp->chan.welcome.session_id,
	};
	int timeout_ms = conn->opts->timeout_ms > 0 ? conn->opts->timeout_ms : 10000;
	struct genie_welcome welcome;
	int fd, ret;

	ret = genie_address_connect(&address, timeout_ms, &fd, err, err_size);
	if (ret < 0)
		return ret;
	tcp->chan.fds[TCP_FD_BULK] = fd;
	return genie_hello_exchange(fd, &request, timeout_ms, &welcome, NULL, NULL, 0, err,
				    err_size);
}

static int
make_memory(struct tcp_chan *tcp)
{
	const struct genie_window *pinned = &tcp->chan.pinned_window;
	void *area;
	int ret;

	area = mmap(NULL, sizeof(struct genie_area), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return -errno;
	tcp->chan.area = area;
	genie_lanes_init(&tcp->chan.lanes, area);
	genie_drain_init(&tcp->drain, area);
	tcp->tx = malloc(TCP_TX_SIZE);
	tcp->bulk_in.scratch = malloc(SCRATCH_SIZE);
	ret = genie_frames_init(&tcp->frames);
	if (ret < 0 || !tcp->tx || !tcp->bulk_in.scratch)
		return -ENOMEM;
	if (pinned->size)
		return genie_window_map(pinned->base, pinned->size, -1, pinned);
	return 0;
}

static int
start_threads(struct tcp_chan *tcp)
{
	int ret;

	ret = genie_helper_start(&tcp->pump, "genie-send", GENIE_HELPER_STACK, tcp_pump_thread,
				 tcp);
	if (ret < 0)
		return ret;
	tcp->pump_runs = true;
	ret = genie_helper_start(&tcp->service, "genie-receive", GENIE_HELPER_STACK, service_thread,
				 tcp);
	if (ret < 0)
		return ret;
	tcp->service_runs = true;
	return 0;
}

static int
tcp_open_session(struct genie_chan *chan, struct genie_conn *conn, char *err, size_t err_size)
{
	struct tcp_chan *tcp = tcp_of(chan);
	int ret;

	pthread_mutex_init(&tcp->wait_lock, NULL);
	pthread_mutex_init(&tcp->bulk_lock, NULL);
	atomic_init(&tcp->bulk_slot, -1);
	chan->fds[TCP_FD_COMMAND] = conn->fd;
	conn->fd = -1;
	ret = make_memory(tcp);
	if (ret < 0)
		return ret;
	chan->fds[TCP_FD_KICK] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (chan->fds[TCP_FD_KICK] < 0)
		return -errno;
	ret = connect_bulk(tcp, conn, err, err_size);
	if (ret < 0)
		return ret;
	return start_threads(tcp);
}

static bool
flushed_ready(void *data)
{
	struct tcp_chan *tcp = data;

	tcp_pump(tcp);
	return tcp_flushed(tcp) || genie_chan_is_dead(&tcp->chan);
}

static void
tcp_close_session(struct genie_chan *chan)
{
	struct tcp_chan *tcp = tcp_of(chan);
	struct genie_bell nobody_rings = {0};
	struct genie_wait flush = {
		.reason = "the last commands to leave",
		.ready = flushed_ready,
		.data = tcp,
		.spin = &tcp->pump_spin,
		.bell = &nobody_rings,
	};
	uint64_t one = 1;

	if (tcp->pump_runs)
		genie_relax(&flush, CLOSE_MS);
	atomic_store(&tcp->stop, true);
	genie_bell_wake(&chan->area->work);
	genie_bell_wake(&tcp->rest_bell);
	if (chan->fds[TCP_FD_KICK] >= 0 && write(chan->fds[TCP_FD_KICK], &one, sizeof(one)) < 0) {
		/* full: it is being woken */
	}
	if (tcp->pump_runs)
		pthread_join(tcp->pump, NULL);
	if (tcp->service_runs)
		pthread_join(tcp->service, NULL);
	genie_frames_fini(&tcp->frames);
	free(tcp->bulk_in.scratch);
	free(tcp->tx);
	pthread_mutex_destroy(&tcp->bulk_lock);
	pthread_mutex_destroy(&tcp->wait_lock);
}

const struct genie_chan_ops genie_tcp_ops = {
	.name = "tcp",
	.size = sizeof(struct tcp_chan),
	.quiet_flags = GENIE_CMD_REPLY | GENIE_CMD_WAIT,
	.open = tcp_open_session,
	.close = tcp_close_session,
	.wait = tcp_wait,
	.poll = tcp_poll,
	.bulk_up = tcp_bulk_up,
	.bulk_cancel = tcp_bulk_cancel,
	.host_done = tcp_host_done,
	.host_data = tcp_host_data,
};
