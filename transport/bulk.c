/*
 * Staging slots, from the client's side. Both directions have a fixed number; which one a transfer
 * uses is decided here, and the slot's number is the ref in the command. So data never arrives
 * that the worker has no place for, and waiting for a free place happens in the thread that has
 * something to copy, nowhere else.
 *
 * Up: the slot is free again when its progress slot has reached the command that used it.
 * Down: the data is there when the progress slot has reached the command. Over shared memory it
 * is then in staging; over TCP the receiver has put it where it belongs, and has seen it arrive:
 * the worker's word alone would let it write there later, when the memory is something else again.
 * The slot is free when who waits has seen that, or nobody waits.
 */
#include <errno.h>
#include <string.h>

#include "transport/chan_impl.h"

void
genie_bulk_init(struct genie_bulk *bulk)
{
	pthread_mutex_init(&bulk->lock, NULL);
}

void
genie_bulk_fini(struct genie_bulk *bulk)
{
	pthread_mutex_destroy(&bulk->lock);
}

static uint64_t
progress_of(struct genie_chan *chan, uint32_t slot)
{
	/* S4 of relax.h when called from a wait. */
	return atomic_load_explicit(&chan->area->progress[slot], memory_order_seq_cst);
}

/* ---- to the worker ---- */

struct slot_wait {
	struct genie_chan *chan;
	int slot; /* out; -1: none */
};

static bool
up_take(void *data)
{
	struct slot_wait *wait = data;
	struct genie_chan *chan = wait->chan;

	pthread_mutex_lock(&chan->bulk.lock);
	for (unsigned i = 0; i < GENIE_BULK_UP && wait->slot < 0; i++) {
		struct genie_bulk_up *up = &chan->bulk.up[i];

		if (up->busy && up->ticket &&
		    progress_of(chan, GENIE_SLOT_BULK_UP + i) >= up->ticket)
			up->busy = false;
		if (!up->busy) {
			up->busy = true;
			up->ticket = 0;
			wait->slot = (int)i;
		}
	}
	pthread_mutex_unlock(&chan->bulk.lock);
	return wait->slot >= 0 || genie_chan_is_dead(chan);
}

int
genie_chan_bulk_send(struct genie_chan *chan, const void *src, size_t len, uint64_t *ret_ref)
{
	struct slot_wait slot = {chan, -1};
	struct genie_wait wait = {
		.reason = "a free staging slot to the worker",
		.ready = up_take,
		.data = &slot,
		.spin = &chan->bulk.spin,
	};
	int ret;

	if (genie_chan_dead(chan))
		return -ECONNRESET;
	if (len > GENIE_BULK_CHUNK)
		return -EINVAL;
	wait.bell = &chan->area->bells[GENIE_AREA_BELL_UP];
	chan->ops->wait(chan, &wait);
	if (genie_chan_is_dead(chan))
		return -ECONNRESET;
	ret = chan->ops->bulk_up(chan, (unsigned)slot.slot, src, len);
	if (ret < 0)
		return ret;
	*ret_ref = (uint64_t)slot.slot;
	return 0;
}

void
genie_chan_bulk_sent(struct genie_chan *chan, uint64_t ref, uint64_t ticket)
{
	if (genie_chan_dead(chan))
		return;
	pthread_mutex_lock(&chan->bulk.lock);
	chan->bulk.up[ref % GENIE_BULK_UP].ticket = ticket;
	pthread_mutex_unlock(&chan->bulk.lock);
	/* Who looked for a free slot before this could not tell whether it was one. */
	genie_bell_ring(&chan->area->bells[GENIE_AREA_BELL_UP]);
}

/* ---- from the worker ---- */

static bool
down_take(void *data)
{
	struct slot_wait *wait = data;
	struct genie_chan *chan = wait->chan;

	genie_bulk_reap(chan);
	pthread_mutex_lock(&chan->bulk.lock);
	for (unsigned i = 0; i < GENIE_BULK_DOWN && wait->slot < 0; i++) {
		struct genie_bulk_down *down = &chan->bulk.down[i];

		if (down->busy)
			continue;
		down->busy = true;
		down->detached = down->arrived = false;
		down->before = progress_of(chan, GENIE_SLOT_BULK_DOWN + i);
		wait->slot = (int)i;
		atomic_fetch_add_explicit(&chan->bulk.expected, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&chan->bulk.lock);
	return wait->slot >= 0 || genie_chan_is_dead(chan);
}

int
genie_chan_bulk_expect(struct genie_chan *chan, void *dst, size_t len, uint64_t *ret_ref)
{
	struct slot_wait slot = {chan, -1};
	struct genie_wait wait = {
		.reason = "a free staging slot from the worker",
		.ready = down_take,
		.data = &slot,
		.spin = &chan->bulk.spin,
	};
	struct genie_bulk_down *down;

	if (genie_chan_dead(chan))
		return -ECONNRESET;
	if (len > GENIE_BULK_CHUNK)
		return -EINVAL;
	wait.bell = &chan->area->bells[GENIE_AREA_BELL_DOWN];
	chan->ops->wait(chan, &wait);
	if (genie_chan_is_dead(chan))
		return -ECONNRESET;
	down = &chan->bulk.down[slot.slot];
	pthread_mutex_lock(&chan->bulk.lock);
	down->dst = dst;
	down->len = len;
	pthread_mutex_unlock(&chan->bulk.lock);
	*ret_ref = (uint64_t)slot.slot;
	return 0;
}

int
genie_bulk_down_dst(struct genie_chan *chan, uint64_t slot, uint64_t len, void **ret_dst)
{
	struct genie_bulk_down *down;
	int ret = -ENOENT;

	if (slot >= GENIE_BULK_DOWN)
		return ret;
	down = &chan->bulk.down[slot];
	pthread_mutex_lock(&chan->bulk.lock);
	if (down->busy && !down->arrived && down->len == len) {
		*ret_dst = down->dst;
		ret = 0;
	}
	pthread_mutex_unlock(&chan->bulk.lock);
	return ret;
}

static void
down_free_locked(struct genie_chan *chan, unsigned slot)
{
	chan->bulk.down[slot].busy = false;
	chan->bulk.down[slot].dst = NULL;
	atomic_fetch_sub_explicit(&chan->bulk.expected, 1, memory_order_relaxed);
}

static void
down_free(struct genie_chan *chan, unsigned slot)
{
	pthread_mutex_lock(&chan->bulk.lock);
	down_free_locked(chan, slot);
	pthread_mutex_unlock(&chan->bulk.lock);
	genie_bell_ring(&chan->area->bells[GENIE_AREA_BELL_DOWN]);
}

void
genie_bulk_down_arrived(struct genie_chan *chan, unsigned slot)
{
	struct genie_bulk_down *down = &chan->bulk.down[slot];

	pthread_mutex_lock(&chan->bulk.lock);
	down->arrived = true;
	if (down->detached)
		down_free_locked(chan, slot);
	pthread_mutex_unlock(&chan->bulk.lock);
	genie_bell_ring(&chan->area->bells[GENIE_AREA_BELL_DOWN]);
}

/* Over TCP, from here on nobody waits for the transfer: true if its data has arrived already. */
static bool
down_let_go(struct genie_chan *chan, unsigned slot)
{
	struct genie_bulk_down *down = &chan->bulk.down[slot];
	bool arrived;

	pthread_mutex_lock(&chan->bulk.lock);
	arrived = down->arrived;
	if (arrived)
		down_free_locked(chan, slot);
	else
		down->detached = true;
	pthread_mutex_unlock(&chan->bulk.lock);
	if (arrived)
		genie_bell_ring(&chan->area->bells[GENIE_AREA_BELL_DOWN]);
	return arrived;
}

static const uint8_t *
down_staging(const struct genie_chan *chan, unsigned slot)
{
	return chan->staging + (size_t)(GENIE_BULK_UP + slot) * GENIE_BULK_CHUNK;
}

int
genie_chan_bulk_wait(struct genie_chan *chan, uint64_t ref, uint64_t ticket)
{
	unsigned slot = (unsigned)(ref % GENIE_BULK_DOWN);
	struct genie_bulk_down *down = &chan->bulk.down[slot];
	int ret = genie_chan_wait(chan, GENIE_SLOT_BULK_DOWN + slot, ticket);

	if (!chan->staging) {
		/* The receiver may still be at work, and the caller is free to free the memory. */
		if (ret < 0)
			chan->ops->bulk_cancel(chan, slot);
		if (!down_let_go(chan, slot) && !ret) {
			genie_chan_die(chan, "the worker did not send the data that it speaks of");
			chan->ops->bulk_cancel(chan, slot);
			ret = -EPROTO;
		}
		return ret;
	}
	if (!ret) {
		genie_crew_copy(&chan->crew, down->dst, down_staging(chan, slot), down->len);
		atomic_fetch_add_explicit(&chan->bytes_received, down->len, memory_order_relaxed);
	}
	down_free(chan, slot);
	return ret;
}

void
genie_chan_bulk_cancel(struct genie_chan *chan, uint64_t ref)
{
	unsigned slot = (unsigned)(ref % GENIE_BULK_DOWN);

	if (chan->ops->bulk_cancel)
		chan->ops->bulk_cancel(chan, slot);
	down_free(chan, slot);
}

void
genie_chan_bulk_detach(struct genie_chan *chan, uint64_t ref)
{
	unsigned slot = (unsigned)(ref % GENIE_BULK_DOWN);

	if (!chan->staging) {
		down_let_go(chan, slot);
		return;
	}
	pthread_mutex_lock(&chan->bulk.lock);
	chan->bulk.down[slot].detached = true;
	pthread_mutex_unlock(&chan->bulk.lock);
	atomic_fetch_add_explicit(&chan->bulk.detached, 1, memory_order_seq_cst);
}

/* The worker publishes a filled slot before the progress of its stream. So who sees the stream's
 * progress and then comes here finds the data, and it is in place before the caller sees it. */
void
genie_bulk_reap(struct genie_chan *chan)
{
	if (!chan->staging || !atomic_load_explicit(&chan->bulk.detached, memory_order_acquire))
		return;
	pthread_mutex_lock(&chan->bulk.lock);
	for (unsigned i = 0; i < GENIE_BULK_DOWN; i++) {
		struct genie_bulk_down *down = &chan->bulk.down[i];

		if (!down->busy || !down->detached ||
		    progress_of(chan, GENIE_SLOT_BULK_DOWN + i) <= down->before)
			continue;
		memcpy(down->dst, down_staging(chan, i), down->len);
		down->busy = false;
		down->detached = false;
		atomic_fetch_sub_explicit(&chan->bulk.detached, 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(&chan->bulk.expected, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&chan->bulk.lock);
}
