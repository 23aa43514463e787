/* TCP, the client's receiver: from the sockets to the area. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "transport/net.h"
#include "transport/tcp_impl.h"

#define SCRATCH_SIZE (64u << 10)

/* How often to look at the bulk connection although nothing is expected there: its end. */
#define IDLE_BULK_PASSES 64

static bool
lost(struct tcp_chan *tcp, const char *why)
{
	genie_chan_die(&tcp->chan, why);
	return true;
}

/* ---- progress and host functions, not before the bulk bytes they speak of ---- */

static void
take_host_func(struct tcp_chan *tcp, uint64_t id)
{
	int ret = genie_events_host_func(tcp->chan.events, id);

	if (ret < 0)
		lost(tcp, ret == -EPROTO ? "the worker asks for host functions without end"
					 : "no memory to run a host function");
}

static void
apply_held(struct tcp_chan *tcp)
{
	while (tcp->held_count) {
		const struct genie_progress *progress = &tcp->held[tcp->held_first];

		if (progress->bulk > tcp->bulk_received)
			return;
		if (progress->slot != GENIE_FRAME_CALL_SLOT)
			genie_area_progress(tcp->chan.area, progress->slot, progress->ticket);
		else
			take_host_func(tcp, progress->ticket);
		tcp->held_first = (tcp->held_first + 1) % TCP_HELD;
		tcp->held_count--;
	}
}

static int
take_progress(struct tcp_chan *tcp, const struct genie_progress *progress)
{
	tcp->held[(tcp->held_first + tcp->held_count) % TCP_HELD] = *progress;
	tcp->held_count++;
	apply_held(tcp);
	return 0;
}

/* ---- frames ---- */

static int
take_reply(struct tcp_chan *tcp, const struct genie_frame *frame, const uint8_t *payload)
{
	struct genie_reply reply;

	if (frame->len < sizeof(reply) || frame->lane >= GENIE_AREA_LANES)
		return -EPROTO;
	memcpy(&reply, payload, sizeof(reply));
	if (reply.len != frame->len)
		return -EPROTO;
	genie_area_reply(tcp->chan.area, frame->lane, reply.ticket, reply.status,
			 payload + sizeof(reply), (uint32_t)(frame->len - sizeof(reply)));
	return 0;
}

/* What the device wrote to pinned memory for a host function that follows. */
static int
take_host_data(struct tcp_chan *tcp, const struct genie_frame *frame, const uint8_t *payload)
{
	const struct genie_window *pinned = &tcp->chan.pinned_window;
	uint64_t addr, len = frame->len - sizeof(addr);

	if (frame->len < sizeof(addr))
		return -EPROTO;
	memcpy(&addr, payload, sizeof(addr));
	if (addr < pinned->base || addr - pinned->base > pinned->size ||
	    len > pinned->size - (addr - pinned->base))
		return -EPROTO;
	memcpy((void *)(uintptr_t)addr, payload + sizeof(addr), len);
	return 0;
}

static int
take_frame(struct tcp_chan *tcp, const struct genie_frame *frame, const void *payload)
{
	struct genie_async_error error;
	struct genie_progress progress;

	switch (frame->type) {
	case GENIE_FRAME_REPLY:
		return take_reply(tcp, frame, payload);
	case GENIE_FRAME_PROGRESS:
		if (frame->len != sizeof(progress))
			return -EPROTO;
		memcpy(&progress, payload, sizeof(progress));
		if (progress.slot >= GENIE_SLOTS_MAX)
			return -EPROTO;
		return take_progress(tcp, &progress);
	case GENIE_FRAME_ERROR:
		if (frame->len != sizeof(error))
			return -EPROTO;
		memcpy(&error, payload, sizeof(error));
		genie_area_error(tcp->chan.area, &error);
		return 0;
	case GENIE_FRAME_HOST_FUNC:
		if (frame->len != sizeof(progress))
			return -EPROTO;
		memcpy(&progress, payload, sizeof(progress));
		progress.slot = GENIE_FRAME_CALL_SLOT;
		return take_progress(tcp, &progress);
	case GENIE_FRAME_HOST_DATA:
		return take_host_data(tcp, frame, payload);
	case GENIE_FRAME_OUTPUT:
	case GENIE_FRAME_COMPLAINT:
		genie_events_output(tcp->chan.events, payload, frame->len,
				    frame->type == GENIE_FRAME_COMPLAINT);
		return 0;
	}
	return -EPROTO;
}

/* Stops while there is no place to hold progress back; then the bulk connection is next. */
static int
take_frames(struct tcp_chan *tcp)
{
	struct genie_frame frame;
	const void *payload;
	int ret = 0;

	while (tcp->held_count < TCP_HELD) {
		ret = genie_frames_next(&tcp->frames, &frame, &payload);
		if (ret <= 0)
			break;
		ret = take_frame(tcp, &frame, payload);
		if (ret < 0)
			break;
	}
	return ret;
}

static bool
receive_frames(struct tcp_chan *tcp)
{
	int n = genie_frames_fill(&tcp->frames, tcp->chan.fds[TCP_FD_COMMAND]);

	if (n > 0)
		atomic_fetch_add_explicit(&tcp->chan.bytes_received, (uint64_t)n,
					  memory_order_relaxed);
	/* What came before the end still counts. */
	if (take_frames(tcp) < 0)
		return lost(tcp, "the worker sent nonsense");
	if (n < 0)
		return lost(tcp, "the worker is gone");
	return n > 0;
}

/* ---- bulk ---- */

/* The destination of what arrives now. The receiver writes there until bulk_slot is -1 again. */
static int
bulk_destination(struct tcp_chan *tcp, void **ret_dst)
{
	const struct genie_bulk_frame *head = &tcp->bulk_in.head;
	int ret;

	/* Before the look, so that tcp_bulk_cancel either clears the destination before we see it
	 * or sees that we are at it. */
	atomic_store_explicit(&tcp->bulk_slot, (int)head->slot, memory_order_seq_cst);
	ret = genie_bulk_down_dst(&tcp->chan, head->slot, head->len, ret_dst);
	if (ret < 0)
		atomic_store_explicit(&tcp->bulk_slot, -1, memory_order_seq_cst);
	return ret;
}

static void
bulk_complete(struct tcp_chan *tcp)
{
	struct tcp_bulk_in *in = &tcp->bulk_in;

	tcp->bulk_received += in->head.len;
	genie_bulk_down_arrived(&tcp->chan, in->head.slot);
	genie_area_progress(tcp->chan.area, GENIE_SLOT_BULK_DOWN + in->head.slot, in->head.ticket);
	apply_held(tcp);
	in->got = 0;
	in->head_have = 0;
}

/* The payload, and with the same call the head of the next frame. Bytes, 0 or negative errno. */
static ssize_t
receive_payload(struct tcp_chan *tcp)
{
	struct tcp_bulk_in *in = &tcp->bulk_in;
	size_t left = in->head.len - in->got;
	struct genie_bulk_frame next_head;
	struct iovec iov[2] = {{NULL, left}, {&next_head, sizeof(next_head)}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	void *dst;
	ssize_t n;

	if (bulk_destination(tcp, &dst) < 0)
		return -EPROTO;
	if (!left) {
		atomic_store_explicit(&tcp->bulk_slot, -1, memory_order_seq_cst);
		bulk_complete(tcp);
		return 1;
	}
	if (dst) {
		iov[0].iov_base = (uint8_t *)dst + in->got;
	} else {
		iov[0].iov_base = in->scratch;
		if (left > SCRATCH_SIZE) {
			iov[0].iov_len = SCRATCH_SIZE;
			msg.msg_iovlen = 1;
		}
	}
	n = recvmsg(tcp->chan.fds[TCP_FD_BULK], &msg, MSG_DONTWAIT);
	atomic_store_explicit(&tcp->bulk_slot, -1, memory_order_seq_cst);
	if (n <= 0)
		return !n ? -ECONNRESET : errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if ((size_t)n < left) {
		in->got += (size_t)n;
		return n;
	}
	bulk_complete(tcp);
	in->head_have = (size_t)n - left;
	memcpy(&in->head, &next_head, in->head_have);
	return n;
}

static ssize_t
receive_head(struct tcp_chan *tcp)
{
	struct tcp_bulk_in *in = &tcp->bulk_in;
	ssize_t n = genie_net_recv(tcp->chan.fds[TCP_FD_BULK], (uint8_t *)&in->head + in->head_have,
				   sizeof(in->head) - in->head_have);

	if (n > 0)
		in->head_have += (size_t)n;
	return n;
}

static bool
receive_bulk(struct tcp_chan *tcp)
{
	struct tcp_bulk_in *in = &tcp->bulk_in;
	bool moved = false;
	ssize_t n = 1;

	/* Bounded, so that a stream of data does not keep replies waiting. */
	for (unsigned i = 0; i < 8 && n > 0; i++) {
		if (in->head_have < sizeof(in->head))
			n = receive_head(tcp);
		else
			n = receive_payload(tcp);
		if (n < 0)
			return lost(tcp, n == -EPROTO ? "the worker sent data nobody asked for"
						      : "the worker is gone");
		if (n > 0)
			atomic_fetch_add_explicit(&tcp->chan.bytes_received, (uint64_t)n,
						  memory_order_relaxed);
		moved |= n > 0;
	}
	return moved;
}

void
tcp_bulk_cancel(struct genie_chan *chan, unsigned slot)
{
	struct tcp_chan *tcp = tcp_of(chan);

	pthread_mutex_lock(&chan->bulk.lock);
	chan->bulk.down[slot].dst = NULL;
	pthread_mutex_unlock(&chan->bulk.lock);
	/* At most one recvmsg that does not block. */
	while (atomic_load_explicit(&tcp->bulk_slot, memory_order_seq_cst) == (int)slot)
		genie_relax_pause_ms(1);
}

bool
tcp_receive(struct tcp_chan *tcp)
{
	bool moved = receive_frames(tcp);

	if (genie_chan_dead(&tcp->chan))
		return true;
	if (atomic_load_explicit(&tcp->chan.bulk.expected, memory_order_relaxed) ||
	    tcp->held_count || tcp->passes++ % IDLE_BULK_PASSES == 0)
		moved |= receive_bulk(tcp);
	/* Frames that had to wait for the bulk bytes. */
	if (tcp->held_count < TCP_HELD && take_frames(tcp) < 0)
		return lost(tcp, "the worker sent nonsense");
	return moved;
}
