/* Submitting: the writing end of the command rings, and waiting for replies. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "transport/chan_impl.h"
#include "transport/drain.h"

#define RING_MASK (GENIE_LANE_RING - 1)

/* The last rings are for the threads that came when all others had an owner. They are never used
 * without their lock, so a ring need not change from "owned" to "shared" under a thread's feet. */
#define SHARED_RINGS 8u
#define OWNED_RINGS  (GENIE_LANES_MAX - SHARED_RINGS)

_Static_assert(GENIE_CMD_MAX * 2 <= GENIE_LANE_RING, "a pad and a command always fit");

void
genie_lanes_init(struct genie_lanes *lanes, struct genie_area *area)
{
	pthread_mutex_init(&lanes->lock, NULL);
	for (unsigned i = 0; i < GENIE_LANES_MAX; i++) {
		struct genie_producer *producer = &lanes->producers[i];

		producer->ring = &area->rings[i];
		producer->data = area->ring_data[i];
		producer->shared = i >= OWNED_RINGS;
		pthread_mutex_init(&producer->lock, NULL);
	}
}

void
genie_lanes_fini(struct genie_lanes *lanes)
{
	for (unsigned i = 0; i < GENIE_AREA_LANES; i++)
		free(lanes->table[i]);
	for (unsigned i = 0; i < GENIE_LANES_MAX; i++)
		if (lanes->producers[i].ring)
			pthread_mutex_destroy(&lanes->producers[i].lock);
}

static unsigned
ring_of_lane(unsigned lane)
{
	return lane < OWNED_RINGS ? lane : OWNED_RINGS + (lane - OWNED_RINGS) % SHARED_RINGS;
}

static struct genie_lane *
lane_new(struct genie_chan *chan, unsigned index)
{
	struct genie_lane *lane = calloc(1, sizeof(*lane));
	unsigned ring = ring_of_lane(index);
	uint32_t count;

	if (!lane)
		return NULL;
	lane->chan = chan;
	lane->index = index;
	lane->producer = &chan->lanes.producers[ring];
	lane->reply = &chan->area->replies[index];
	/* Before the first command in the ring; pairs with the load in genie_drain_next. */
	count = atomic_load_explicit(&chan->area->ring_count, memory_order_relaxed);
	if (count < ring + 1)
		atomic_store_explicit(&chan->area->ring_count, ring + 1, memory_order_seq_cst);
	return lane;
}

struct genie_lane *
genie_lane_get(struct genie_chan *chan)
{
	struct genie_lane *lane = NULL;

	if (genie_chan_dead(chan) || !chan->area)
		return NULL;
	pthread_mutex_lock(&chan->lanes.lock);
	for (unsigned i = 0; i < GENIE_AREA_LANES; i++) {
		lane = chan->lanes.table[i];
		if (!lane)
			lane = chan->lanes.table[i] = lane_new(chan, i);
		if (!lane || !lane->used)
			break;
		lane = NULL;
	}
	if (lane)
		lane->used = true;
	pthread_mutex_unlock(&chan->lanes.lock);
	return lane;
}

void
genie_lane_put(struct genie_lane *lane)
{
	struct genie_lanes *lanes;

	if (!lane)
		return;
	lanes = &lane->chan->lanes;
	pthread_mutex_lock(&lanes->lock);
	lane->used = false;
	pthread_mutex_unlock(&lanes->lock);
}

/* ---- room in the ring ---- */

struct space_wait {
	struct genie_chan *chan;
	struct genie_producer *producer;
	uint64_t need;
};

static bool
space_ready(void *data)
{
	struct space_wait *space = data;
	struct genie_producer *producer = space->producer;
	uint64_t used;

	/* S4 of relax.h; pairs with the store in drain.c: the consumer has read those bytes. A head
	 * that makes no sense counts as full: where we write follows from our own tail alone. */
	producer->head = atomic_load_explicit(&producer->ring->head, memory_order_seq_cst);
	used = producer->tail - producer->head;
	if (used <= GENIE_LANE_RING && GENIE_LANE_RING - used >= space->need)
		return true;
	return genie_chan_is_dead(space->chan);
}

static bool
wait_for_space(struct genie_lane *lane, uint64_t need)
{
	struct space_wait space = {lane->chan, lane->producer, need};
	struct genie_wait wait = {
		.reason = "room in a command ring",
		.ready = space_ready,
		.data = &space,
		.spin = &lane->chan->lanes.space_spin,
		.bell = &lane->producer->ring->space,
	};

	/* The consumer may sleep although the ring is full of commands: those that asked for it
	 * were submitted quietly (quiet_flags). */
	genie_bell_ring(&lane->chan->area->work);
	genie_relax(&wait, -1);
	return !genie_chan_is_dead(lane->chan);
}

void *
genie_lane_begin(struct genie_lane *lane, size_t len)
{
	struct genie_producer *producer = lane->producer;
	uint64_t pos, need, to_end;

	if (genie_chan_dead(lane->chan) || len > GENIE_CMD_MAX || len % 8 ||
	    len < sizeof(struct genie_cmd))
		return NULL;
	if (producer->shared)
		pthread_mutex_lock(&producer->lock);
	pos = producer->tail & RING_MASK;
	to_end = GENIE_LANE_RING - pos;
	need = to_end < len ? to_end + len : len;
	if (__builtin_expect(producer->tail + need - producer->head > GENIE_LANE_RING, 0)) {
		if (!wait_for_space(lane, need)) {
			if (producer->shared)
				pthread_mutex_unlock(&producer->lock);
			return NULL;
		}
	}
	producer->pad = 0;
	if (to_end < len) {
		/* One word, see GENIE_CMD_PAD. Published together with the command behind it. */
		uint64_t pad =
			to_end | (uint64_t)GENIE_OP_NOP << 32 | (uint64_t)GENIE_CMD_PAD << 48;

		memcpy(producer->data + pos, &pad, sizeof(pad));
		producer->pad = (uint32_t)to_end;
		pos = 0;
	}
	return producer->data + pos;
}

/* The consumer sleeps, or is about to. */
static __attribute__((noinline)) void
wake_consumer(struct genie_chan *chan)
{
	/* Over TCP the sender counts, see struct genie_chan_stats. */
	if (genie_bell_wake(&chan->area->work) && chan->staging)
		atomic_fetch_add_explicit(&chan->batches, 1, memory_order_relaxed);
}

uint64_t
genie_lane_commit(struct genie_lane *lane, void *cmd, uint16_t op, uint16_t flags, uint32_t ctx,
		  size_t len)
{
	struct genie_producer *producer = lane->producer;
	struct genie_chan *chan = lane->chan;
	struct genie_cmd *header = cmd;
	uint64_t ticket;

	/* Relaxed: that "before" means smaller follows from the counter's own order. */
	ticket = atomic_fetch_add_explicit(&chan->ticket, 1, memory_order_relaxed) + 1;
	*header = (struct genie_cmd){
		.len = (uint32_t)len,
		.op = op,
		.flags = flags,
		.ctx = ctx,
		.lane = lane->index,
		.ticket = ticket,
	};
	producer->tail += producer->pad + len;
	/* P1 and P2 of relax.h; the store pairs with the load in drain.c. */
	atomic_store_explicit(&producer->ring->tail, producer->tail, memory_order_seq_cst);
	if (__builtin_expect(
		    atomic_load_explicit(&chan->area->work.sleepers, memory_order_seq_cst) != 0,
		    0) &&
	    !(flags & chan->ops->quiet_flags))
		wake_consumer(chan);
	if (producer->shared)
		pthread_mutex_unlock(&producer->lock);
	return ticket;
}

/* ---- replies ---- */

struct reply_wait {
	struct genie_lane *lane;
	uint64_t ticket;
};

static bool
reply_ready(void *data)
{
	struct reply_wait *wait = data;

	/* S4 of relax.h; pairs with the store in genie_area_reply. */
	return atomic_load_explicit(&wait->lane->reply->ticket, memory_order_seq_cst) >=
		       wait->ticket ||
	       genie_chan_is_dead(wait->lane->chan);
}

int
genie_lane_wait_reply(struct genie_lane *lane, uint64_t ticket, int32_t *ret_status, void *buf,
		      size_t max, size_t *ret_len)
{
	struct genie_chan *chan = lane->chan;
	struct reply_wait reply = {lane, ticket};
	struct genie_wait wait = {
		.reason = "a reply",
		.ready = reply_ready,
		.data = &reply,
		.spin = &chan->lanes.reply_spin,
		.bell = &lane->reply->bell,
	};
	uint32_t len;

	chan->ops->wait(chan, &wait);
	if (atomic_load_explicit(&lane->reply->ticket, memory_order_acquire) != ticket) {
		if (genie_chan_is_dead(chan))
			return -ECONNRESET;
		genie_chan_die(chan, "a reply to another command than the one that waits");
		return -EPROTO;
	}
	len = *(volatile uint32_t *)&lane->reply->len;
	if (len > GENIE_REPLY_MAX) {
		genie_chan_die(chan, "a reply that is too long");
		return -EPROTO;
	}
	if (max > len)
		max = len;
	if (max)
		memcpy(buf, lane->reply->payload, max);
	if (chan->staging) /* shared memory: nobody else counts it */
		atomic_fetch_add_explicit(&chan->bytes_received, sizeof(struct genie_reply) + len,
					  memory_order_relaxed);
	*ret_status = lane->reply->status;
	*ret_len = len;
	return 0;
}
