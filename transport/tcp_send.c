/* TCP, the client's sender: from the rings to the socket, in ticket order, as fast as the wire
 * takes it. While the wire is busy commands gather, and the next send takes them all. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "transport/net.h"
#include "transport/tcp_impl.h"

/* ---- filling the buffer ---- */

static int
fill_buffer(struct tcp_chan *tcp)
{
	int n;

	while ((n = genie_drain_next(&tcp->drain, tcp->tx + tcp->tx_end,
				     TCP_TX_SIZE - tcp->tx_end)) > 0)
		tcp->tx_end += (size_t)n;
	return n == -ENOBUFS ? 0 : n;
}

/* ---- sending ---- */

/* One turn of the sender. True when something was sent. */
static bool
send_turn(struct tcp_chan *tcp)
{
	bool moved = false;
	ssize_t n;

	for (;;) {
		if (fill_buffer(tcp) < 0) {
			genie_chan_die(&tcp->chan, tcp->drain.why);
			return moved;
		}
		if (tcp->tx_start == tcp->tx_end)
			break;
		n = genie_net_send(tcp->chan.fds[TCP_FD_COMMAND], tcp->tx + tcp->tx_start,
				   tcp->tx_end - tcp->tx_start);
		if (n < 0) {
			genie_chan_die(&tcp->chan, "the connection broke");
			return moved;
		}
		if (!n) {
			atomic_store_explicit(&tcp->tx_blocked, true, memory_order_seq_cst);
			return moved;
		}
		moved = true;
		atomic_fetch_add_explicit(&tcp->chan.batches, 1, memory_order_relaxed);
		tcp->tx_start += (size_t)n;
		if (tcp->tx_start == tcp->tx_end)
			tcp->tx_start = tcp->tx_end = 0;
	}
	atomic_store_explicit(&tcp->tx_blocked, false, memory_order_seq_cst);
	return moved;
}

/* There is something in a ring. Without the role: only a hint, but never a missed one, since the
 * producer's store of tail and this load are seq_cst. */
static bool
rings_have_something(const struct tcp_chan *tcp)
{
	const struct genie_area *area = tcp->chan.area;
	uint32_t count = atomic_load_explicit(&area->ring_count, memory_order_seq_cst);

	for (uint32_t i = 0; i < count; i++)
		if (atomic_load_explicit(&area->rings[i].tail, memory_order_seq_cst) !=
		    atomic_load_explicit(&area->rings[i].head, memory_order_seq_cst))
			return true;
	return false;
}

bool
tcp_pump(struct tcp_chan *tcp)
{
	bool moved = false, moved_now = true;

	/* Who finds the role taken goes away and relies on us having seen its command. Its order is
	 * tail, then tx_busy; ours is tx_busy off, then tails: one of us sees the other. The second
	 * look in vain means that a ticket is missing which another thread is about to publish;
	 * that thread comes here, or wakes the pump. */
	for (int vain = 0; vain < 2; vain += !moved_now) {
		if (!rings_have_something(tcp) ||
		    atomic_load_explicit(&tcp->tx_blocked, memory_order_relaxed) ||
		    genie_chan_dead(&tcp->chan))
			break;
		if (atomic_exchange_explicit(&tcp->tx_busy, true, memory_order_seq_cst))
			break;
		moved_now = send_turn(tcp);
		atomic_store_explicit(&tcp->tx_busy, false, memory_order_seq_cst);
		moved |= moved_now;
		if (atomic_load_explicit(&tcp->tx_blocked, memory_order_seq_cst))
			genie_bell_ring(&tcp->chan.area->work);
	}
	return moved;
}

bool
tcp_flushed(struct tcp_chan *tcp)
{
	bool empty;

	if (atomic_exchange_explicit(&tcp->tx_busy, true, memory_order_seq_cst))
		return false;
	empty = tcp->tx_start == tcp->tx_end;
	atomic_store_explicit(&tcp->tx_busy, false, memory_order_seq_cst);
	return empty && !rings_have_something(tcp);
}

/* ---- the pump thread ---- */

static bool
pump_must_end(const struct tcp_chan *tcp)
{
	return atomic_load_explicit(&tcp->stop, memory_order_seq_cst) ||
	       genie_chan_is_dead(&tcp->chan);
}

static bool
pump_ready(void *data)
{
	struct tcp_chan *tcp = data;

	return tcp_pump(tcp) || atomic_load_explicit(&tcp->tx_blocked, memory_order_seq_cst) ||
	       pump_must_end(tcp);
}

/* The rest of the buffer goes out as the socket has room. */
static bool
unblock_ready(void *data)
{
	struct tcp_chan *tcp = data;

	if (!atomic_exchange_explicit(&tcp->tx_busy, true, memory_order_seq_cst)) {
		send_turn(tcp);
		atomic_store_explicit(&tcp->tx_busy, false, memory_order_seq_cst);
	}
	return !atomic_load_explicit(&tcp->tx_blocked, memory_order_seq_cst) || pump_must_end(tcp);
}

void *
tcp_pump_thread(void *data)
{
	struct tcp_chan *tcp = data;
	struct pollfd pollfd = {.fd = tcp->chan.fds[TCP_FD_COMMAND], .events = POLLOUT};
	struct genie_wait work = {
		.reason = "commands to send",
		.ready = pump_ready,
		.data = tcp,
		.spin = &tcp->pump_spin,
		.bell = &tcp->chan.area->work,
	};
	struct genie_wait room = {
		.reason = "room in the socket",
		.ready = unblock_ready,
		.data = tcp,
		.fds = &pollfd,
		.fd_count = 1,
	};

	while (!pump_must_end(tcp)) {
		genie_relax(&work, -1);
		if (atomic_load_explicit(&tcp->tx_blocked, memory_order_seq_cst))
			genie_relax(&room, -1);
	}
	return NULL;
}

/* ---- bulk ---- */

struct bulk_out {
	struct tcp_chan *tcp;
	struct iovec iov[2];
	size_t left;
};

static bool
bulk_out_ready(void *data)
{
	struct bulk_out *out = data;
	int fd = out->tcp->chan.fds[TCP_FD_BULK];

	if (!genie_chan_is_dead(&out->tcp->chan) &&
	    genie_net_send_parts(fd, out->iov, 2, &out->left) < 0)
		genie_chan_die(&out->tcp->chan, "the bulk connection broke");
	return !out->left || genie_chan_is_dead(&out->tcp->chan);
}

/* One whole frame, whoever else sends at the same time. */
static int
send_bulk_frame(struct tcp_chan *tcp, struct genie_bulk_frame *head, const void *payload)
{
	struct bulk_out out = {
		.tcp = tcp,
		.iov = {{head, sizeof(*head)}, {(void *)payload, head->len}},
		.left = sizeof(*head) + head->len,
	};
	struct pollfd pollfd = {.fd = tcp->chan.fds[TCP_FD_BULK], .events = POLLOUT};
	struct genie_wait wait = {
		.reason = "room in the bulk socket",
		.ready = bulk_out_ready,
		.data = &out,
		.fds = &pollfd,
		.fd_count = 1,
	};

	pthread_mutex_lock(&tcp->bulk_lock);
	genie_relax(&wait, -1);
	pthread_mutex_unlock(&tcp->bulk_lock);
	if (out.left)
		return -ECONNRESET;
	atomic_fetch_add_explicit(&tcp->chan.bytes_sent, sizeof(*head) + head->len,
				  memory_order_relaxed);
	return 0;
}

int
tcp_bulk_up(struct genie_chan *chan, unsigned slot, const void *src, size_t len)
{
	struct genie_bulk_frame head = {.slot = slot, .len = (uint32_t)len};

	return send_bulk_frame(tcp_of(chan), &head, src);
}

void
tcp_host_done(struct genie_chan *chan, uint64_t id)
{
	struct genie_bulk_frame head = {.slot = GENIE_BULK_HOST_DONE, .ticket = id};

	send_bulk_frame(tcp_of(chan), &head, NULL);
}

int
tcp_host_data(struct genie_chan *chan, const void *addr, size_t len)
{
	struct genie_bulk_frame head = {.slot = GENIE_BULK_HOST_DATA,
					.len = (uint32_t)len,
					.ticket = (uint64_t)(uintptr_t)addr};

	return send_bulk_frame(tcp_of(chan), &head, addr);
}
