/*
 * TCP, the worker's end: the bulk connection. A receiver puts what the client sends straight into
 * the staging slots it names, and hears which host functions have run; a sender sends slots that
 * the device has filled. Neither ever waits for the device or for a command: the client only sends
 * to slots that are free, and says where it wants data only when it has a place for it.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "transport/helper.h"
#include "transport/net.h"
#include "transport/tcp_port_impl.h"

#define JOIN_MS 30000 /* for the client's second connection to come */
#define FREE_MS 10000 /* for a slot whose bytes the client already has to be marked so */

/* ---- from the client ---- */

struct bulk_read {
	struct tcp_port *tcp;
	uint8_t *at;
	size_t left;
	bool ended;
};

static bool
bulk_read_ready(void *data)
{
	struct bulk_read *in = data;
	ssize_t n = 1;

	while (in->left && n > 0) {
		n = genie_net_recv(in->tcp->bulk_fd, in->at, in->left);
		if (n < 0) {
			in->ended = true;
			return true;
		}
		in->at += n;
		in->left -= (size_t)n;
	}
	return !in->left || genie_port_is_dead(&in->tcp->port);
}

static bool
bulk_read(struct tcp_port *tcp, void *buf, size_t len)
{
	struct pollfd pollfd = {.fd = tcp->bulk_fd, .events = POLLIN};
	struct bulk_read in = {.tcp = tcp, .at = buf, .left = len};
	struct genie_wait wait = {
		.reason = "bulk data",
		.ready = bulk_read_ready,
		.data = &in,
		.fds = &pollfd,
		.fd_count = 1,
	};

	genie_relax(&wait, -1);
	return !in.left && !genie_port_is_dead(&tcp->port);
}

/* False: there is no such function, and the session is over. */
static bool
take_host_done(struct tcp_port *tcp, const struct genie_bulk_frame *head)
{
	if (!head->len && !genie_port_host_done(&tcp->port, head->ticket))
		return true;
	genie_port_die(&tcp->port, -EPROTO, "an answer of a host function nobody asked for");
	return false;
}

/* What the client wrote to pinned memory: at the same place here. False: the session is over. */
static bool
take_host_data(struct tcp_port *tcp, const struct genie_bulk_frame *head)
{
	if (head->len <= GENIE_BULK_CHUNK &&
	    genie_port_in_pinned(&tcp->port, head->ticket, head->len))
		return bulk_read(tcp, (void *)(uintptr_t)head->ticket, head->len);
	genie_port_die(&tcp->port, -EPROTO, "data for pinned memory that is outside of it");
	return false;
}

static void *
receiver_thread(void *data)
{
	struct tcp_port *tcp = data;
	struct genie_bulk_frame head;
	struct tcp_up *up;

	while (bulk_read(tcp, &head, sizeof(head))) {
		if (head.slot == GENIE_BULK_HOST_DATA) {
			if (!take_host_data(tcp, &head))
				break;
			continue;
		}
		if (head.slot == GENIE_BULK_HOST_DONE) {
			if (!take_host_done(tcp, &head))
				break;
			continue;
		}
		if (head.slot >= GENIE_BULK_UP || head.len > GENIE_BULK_CHUNK ||
		    atomic_load_explicit(&tcp->up[head.slot].state, memory_order_seq_cst) !=
			    TCP_UP_FREE) {
			genie_port_die(&tcp->port, -EPROTO,
				       "bulk data for a slot that is not free");
			break;
		}
		up = &tcp->up[head.slot];
		up->len = head.len;
		atomic_store_explicit(&up->state, TCP_UP_ARRIVING, memory_order_relaxed);
		if (!bulk_read(tcp, genie_port_slot(&tcp->port, GENIE_PORT_IN, head.slot),
			       head.len))
			break;
		/* P1 of relax.h; pairs with filled_ready. */
		atomic_store_explicit(&up->state, TCP_UP_FILLED, memory_order_seq_cst);
		genie_bell_ring(&tcp->up_bell);
	}
	/* Not the end of the session: commands that need no data from here may be on their way. */
	atomic_store_explicit(&tcp->up_ended, true, memory_order_seq_cst);
	genie_bell_ring(&tcp->up_bell);
	return NULL;
}

struct slot_wait {
	struct tcp_port *tcp;
	unsigned slot;
};

static bool
filled_ready(void *data)
{
	struct slot_wait *wait = data;

	return atomic_load_explicit(&wait->tcp->up[wait->slot].state, memory_order_seq_cst) ==
		       TCP_UP_FILLED ||
	       atomic_load_explicit(&wait->tcp->up_ended, memory_order_seq_cst) ||
	       genie_port_is_dead(&wait->tcp->port);
}

static int
wait_for_data(struct tcp_port *tcp, unsigned slot, size_t len)
{
	struct slot_wait slot_wait = {tcp, slot};
	struct genie_wait wait = {
		.reason = "bulk data of a command",
		.ready = filled_ready,
		.data = &slot_wait,
		.spin = &tcp->up_spin,
		.bell = &tcp->up_bell,
	};

	/* No limit once the connection is there: the wire may be slow. */
	while (genie_relax(&wait, JOIN_MS) < 0)
		if (!atomic_load(&tcp->joined))
			return genie_port_die(&tcp->port, -EPROTO, "no bulk connection");
	if (genie_port_is_dead(&tcp->port))
		return -ECONNRESET;
	if (atomic_load(&tcp->up[slot].state) != TCP_UP_FILLED)
		return genie_port_die(&tcp->port, -ECONNRESET, NULL);
	if (tcp->up[slot].len < len)
		return genie_port_die(&tcp->port, -EPROTO,
				      "fewer bulk bytes than the command says");
	return 0;
}

/* ---- to the client ---- */

struct queue_wait {
	struct tcp_port *tcp;
	int slot; /* out; -1: the session's end */
};

static bool
queue_take(void *data)
{
	struct queue_wait *wait = data;
	struct tcp_port *tcp = wait->tcp;

	pthread_mutex_lock(&tcp->queue_lock);
	if (tcp->queue_count) {
		wait->slot = tcp->queue[tcp->queue_first];
		tcp->queue_first = (tcp->queue_first + 1) % GENIE_BULK_DOWN;
		tcp->queue_count--;
	}
	pthread_mutex_unlock(&tcp->queue_lock);
	return wait->slot >= 0 || genie_port_is_dead(&tcp->port);
}

struct bulk_out {
	struct tcp_port *tcp;
	struct iovec iov[2];
	size_t left;
};

static bool
bulk_out_ready(void *data)
{
	struct bulk_out *out = data;

	if (genie_net_send_parts(out->tcp->bulk_fd, out->iov, 2, &out->left) < 0)
		genie_port_die(&out->tcp->port, -ECONNRESET, NULL);
	return !out->left || genie_port_is_dead(&out->tcp->port);
}

static void
send_slot(struct tcp_port *tcp, unsigned slot)
{
	struct tcp_down *down = &tcp->down[slot];
	struct pollfd pollfd = {.fd = tcp->bulk_fd, .events = POLLOUT};
	struct bulk_out out = {
		.tcp = tcp,
		.iov = {{&down->head, sizeof(down->head)},
			{genie_port_slot(&tcp->port, GENIE_PORT_OUT, slot), down->head.len}},
		.left = sizeof(down->head) + down->head.len,
	};
	struct genie_wait wait = {
		.reason = "the client to read its data",
		.ready = bulk_out_ready,
		.data = &out,
		.fds = &pollfd,
		.fd_count = 1,
	};

	genie_relax(&wait, -1);
	/* P1 of relax.h; pairs with free_ready. */
	atomic_store_explicit(&down->busy, false, memory_order_seq_cst);
	genie_bell_ring(&tcp->down_bell);
}

static void *
sender_thread(void *data)
{
	struct tcp_port *tcp = data;
	struct queue_wait next = {.tcp = tcp};
	struct genie_wait wait = {
		.reason = "bulk data to send",
		.ready = queue_take,
		.data = &next,
		.spin = &tcp->queue_spin,
		.bell = &tcp->queue_bell,
	};

	for (;;) {
		next.slot = -1;
		genie_relax(&wait, -1);
		if (next.slot < 0 || genie_port_is_dead(&tcp->port))
			break;
		send_slot(tcp, (unsigned)next.slot);
	}
	return NULL;
}

static bool
free_ready(void *data)
{
	struct slot_wait *wait = data;

	return !atomic_load_explicit(&wait->tcp->down[wait->slot].busy, memory_order_seq_cst) ||
	       genie_port_is_dead(&wait->tcp->port);
}

static int
wait_for_slot(struct tcp_port *tcp, unsigned slot)
{
	struct slot_wait slot_wait = {tcp, slot};
	struct genie_wait wait = {
		.reason = "a staging slot to the client",
		.ready = free_ready,
		.data = &slot_wait,
		.spin = &tcp->down_spin,
		.bell = &tcp->down_bell,
	};

	/* An honest client has the last data of this slot: the sender is about to free it. */
	if (genie_relax(&wait, FREE_MS) < 0)
		return genie_port_die(&tcp->port, -EPROTO, "a staging slot that is still in use");
	if (genie_port_is_dead(&tcp->port))
		return -ECONNRESET;
	atomic_store_explicit(&tcp->down[slot].busy, true, memory_order_relaxed);
	return 0;
}

/* ---- the vtable's part ---- */

int
tcp_port_bulk_begin(struct genie_port *port, enum genie_port_dir dir, unsigned slot, size_t len)
{
	struct tcp_port *tcp = tcp_port_of(port);

	return dir == GENIE_PORT_IN ? wait_for_data(tcp, slot, len) : wait_for_slot(tcp, slot);
}

void
tcp_port_bulk_end(struct genie_port *port, enum genie_port_dir dir, unsigned slot, size_t len,
		  uint64_t ticket)
{
	struct tcp_port *tcp = tcp_port_of(port);

	if (dir == GENIE_PORT_IN) {
		atomic_store_explicit(&tcp->up[slot].state, TCP_UP_FREE, memory_order_seq_cst);
		genie_port_progress(port, GENIE_SLOT_BULK_UP + slot, ticket);
		return;
	}
	tcp->down[slot].head = (struct genie_bulk_frame){slot, (uint32_t)len, ticket};
	pthread_mutex_lock(&tcp->queue_lock);
	if (tcp->queue_count < GENIE_BULK_DOWN) {
		tcp->queue[(tcp->queue_first + tcp->queue_count) % GENIE_BULK_DOWN] = (uint8_t)slot;
		tcp->queue_count++;
		atomic_fetch_add_explicit(&tcp->down_bytes, len, memory_order_seq_cst);
	}
	pthread_mutex_unlock(&tcp->queue_lock);
	genie_bell_ring(&tcp->queue_bell);
}

int
genie_port_join(struct genie_port *port, int bulk_fd)
{
	struct tcp_port *tcp = tcp_port_of(port);
	struct genie_welcome welcome = {.status = GENIE_WELCOME_OK};
	char why[128];
	int ret;

	if (port->ops != &genie_tcp_port_ops || tcp->bulk_fd >= 0) {
		genie_warn("refused a bulk connection for a session that has none to come");
		genie_net_close(&bulk_fd);
		return -EINVAL;
	}
	tcp->bulk_fd = bulk_fd;
	genie_net_set_nonblocking(bulk_fd);
	genie_net_tune_tcp(bulk_fd);
	welcome.api_hash = tcp->api_hash;
	ret = genie_port_send_welcome(bulk_fd, &welcome, NULL, NULL, 0);
	if (!ret)
		ret = genie_helper_start(&tcp->receiver, "genie-bulk-in", 0, receiver_thread, tcp);
	if (ret < 0)
		goto err;
	tcp->receiver_runs = true;
	ret = genie_helper_start(&tcp->sender, "genie-bulk-out", 0, sender_thread, tcp);
	if (ret < 0)
		goto err;
	tcp->sender_runs = true;
	atomic_store(&tcp->joined, true);
	return 0;

err: /* the client would wait for ever for data on it */
	snprintf(why, sizeof(why), "the client's bulk connection cannot be used: %s",
		 strerror(-ret));
	return genie_port_die(port, ret, why);
}

void
tcp_port_bulk_init(struct tcp_port *tcp)
{
	tcp->bulk_fd = -1;
	pthread_mutex_init(&tcp->queue_lock, NULL);
}

void
tcp_port_bulk_fini(struct tcp_port *tcp)
{
	if (tcp->bulk_fd >= 0)
		shutdown(tcp->bulk_fd, SHUT_RDWR);
	genie_bell_wake(&tcp->queue_bell);
	if (tcp->receiver_runs)
		pthread_join(tcp->receiver, NULL);
	if (tcp->sender_runs)
		pthread_join(tcp->sender, NULL);
	genie_net_close(&tcp->bulk_fd);
	pthread_mutex_destroy(&tcp->queue_lock);
}
