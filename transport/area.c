#include "transport/area.h"

#include <string.h>

struct genie_bell *
genie_area_bell(struct genie_area *area, uint32_t slot)
{
	if (slot >= GENIE_SLOT_BULK_UP && slot < GENIE_SLOT_BULK_UP + GENIE_BULK_UP)
		return &area->bells[GENIE_AREA_BELL_UP];
	if (slot >= GENIE_SLOT_BULK_DOWN && slot < GENIE_SLOT_BULK_DOWN + GENIE_BULK_DOWN)
		return &area->bells[GENIE_AREA_BELL_DOWN];
	return &area->bells[slot % GENIE_AREA_BELL_UP];
}

void
genie_area_reply(struct genie_area *area, uint32_t lane, uint64_t ticket, int32_t status,
		 const void *payload, uint32_t len)
{
	struct genie_area_reply *reply = &area->replies[lane];

	reply->len = len;
	reply->status = status;
	if (len)
		memcpy(reply->payload, payload, len);
	/* P1 of relax.h; pairs with the load in genie_lane_wait_reply. */
	atomic_store_explicit(&reply->ticket, ticket, memory_order_seq_cst);
	genie_bell_ring(&reply->bell);
}

void
genie_area_progress(struct genie_area *area, uint32_t slot, uint64_t ticket)
{
	_Atomic uint64_t *word = &area->progress[slot];
	uint64_t old = atomic_load_explicit(word, memory_order_relaxed);

	/* The issuing and the completing thread may publish the same slot: keep the larger. */
	do {
		if (old >= ticket)
			return;
	} while (!atomic_compare_exchange_weak_explicit(word, &old, ticket, memory_order_seq_cst,
							memory_order_relaxed));
	genie_bell_ring(genie_area_bell(area, slot));
}

void
genie_area_error(struct genie_area *area, const struct genie_async_error *error)
{
	struct genie_area_error *cell = &area->error;
	uint64_t ticket = atomic_load_explicit(&cell->ticket, memory_order_relaxed);
	uint64_t acked = atomic_load_explicit(&cell->acked, memory_order_acquire);
	uint64_t seq;

	if (ticket && atomic_load_explicit(&cell->sticky, memory_order_relaxed))
		return;
	if (ticket && ticket != acked && !error->sticky)
		return;
	/* Pairs with genie_area_error_get: it retries while seq is odd or has changed. The stores
	 * are seq_cst instead of relaxed between fences; this happens once in a program's life. */
	seq = atomic_load_explicit(&cell->seq, memory_order_relaxed);
	atomic_store_explicit(&cell->seq, seq | 1, memory_order_seq_cst);
	atomic_store_explicit(&cell->status_op, (uint64_t)error->op << 32 | (uint32_t)error->status,
			      memory_order_seq_cst);
	atomic_store_explicit(&cell->sticky, error->sticky != 0, memory_order_seq_cst);
	atomic_store_explicit(&cell->ticket, error->ticket, memory_order_seq_cst);
	atomic_store_explicit(&cell->seq, (seq | 1) + 1, memory_order_seq_cst);
	if (error->sticky)
		genie_area_wake_all(area); /* no wait goes on after a sticky error */
}

struct genie_async_error
genie_area_error_get(const struct genie_area *area)
{
	const struct genie_area_error *cell = &area->error;
	struct genie_async_error error = {0};
	uint64_t ticket = atomic_load_explicit(&cell->ticket, memory_order_acquire);
	uint64_t before, after, status_op;

	if (__builtin_expect(ticket == 0, 1) ||
	    ticket == atomic_load_explicit(&cell->acked, memory_order_relaxed))
		return error;
	/* A worker that died while it wrote leaves seq odd: bounded, any mixture will do then. */
	for (int tries = 0; tries < 1000; tries++) {
		before = atomic_load_explicit(&cell->seq, memory_order_seq_cst);
		error.ticket = atomic_load_explicit(&cell->ticket, memory_order_seq_cst);
		status_op = atomic_load_explicit(&cell->status_op, memory_order_seq_cst);
		error.sticky = atomic_load_explicit(&cell->sticky, memory_order_seq_cst) != 0;
		after = atomic_load_explicit(&cell->seq, memory_order_seq_cst);
		error.status = (int32_t)(uint32_t)status_op;
		error.op = (uint32_t)(status_op >> 32);
		if (before == after && !(before & 1))
			break;
	}
	return error;
}

void
genie_area_error_ack(struct genie_area *area, uint64_t ticket)
{
	struct genie_area_error *cell = &area->error;

	if (atomic_load_explicit(&cell->ticket, memory_order_acquire) == ticket &&
	    !atomic_load_explicit(&cell->sticky, memory_order_relaxed))
		atomic_store_explicit(&cell->acked, ticket, memory_order_release);
}

void
genie_area_wake_all(struct genie_area *area)
{
	genie_bell_ring(&area->work);
	for (unsigned i = 0; i < GENIE_AREA_BELLS; i++)
		genie_bell_ring(&area->bells[i]);
	/* Who waits for a reply or for room in a ring is not worth touching every page of the
	 * replies for: it looks again within GENIE_RELAX_SLEEP_MS. */
	for (unsigned i = 0; i < GENIE_LANES_MAX; i++)
		genie_bell_ring(&area->rings[i].space);
}
