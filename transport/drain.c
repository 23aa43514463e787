#include "transport/drain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RING_MASK (GENIE_LANE_RING - 1)

_Static_assert((GENIE_LANE_RING & RING_MASK) == 0, "a power of two");
_Static_assert(offsetof(struct genie_cmd, len) == 0 && offsetof(struct genie_cmd, op) == 4 &&
		       offsetof(struct genie_cmd, flags) == 6,
	       "the first 8 bytes are read as one word");

void
genie_drain_init(struct genie_drain *drain, struct genie_area *area)
{
	memset(drain, 0, sizeof(*drain));
	drain->area = area;
	drain->next = 1;
}

static int
bad(struct genie_drain *drain, unsigned ring, const char *what, uint64_t value)
{
	snprintf(drain->why, sizeof(drain->why), "ring %u: %s 0x%" PRIx64, ring, what, value);
	return -EPROTO;
}

/* Reads a word that the producer may be changing, once. */
static uint64_t
word_at(const uint8_t *data, uint64_t pos)
{
	return atomic_load_explicit((const _Atomic uint64_t *)(data + pos), memory_order_relaxed);
}

static void
consume(struct genie_drain *drain, unsigned index, uint32_t len)
{
	struct genie_area_ring *ring = &drain->area->rings[index];

	drain->heads[index] += len;
	/* P1 of relax.h; pairs with the load in lane.c: the bytes may be written again. */
	atomic_store_explicit(&ring->head, drain->heads[index], memory_order_seq_cst);
	genie_bell_ring(&ring->space);
}

/* The next command, if it is the first in ring @index: the same values as genie_drain_next. */
static int
take(struct genie_drain *drain, unsigned index, void *buf, size_t room)
{
	struct genie_area_ring *ring = &drain->area->rings[index];
	const uint8_t *data = drain->area->ring_data[index];
	uint64_t used = drain->tails[index] - drain->heads[index];
	uint64_t pos, first, ticket;
	const struct genie_cmd *copy = buf;
	uint32_t len;

	if (!used) {
		/* S4 of relax.h; pairs with the store in genie_lane_commit. Each look takes the
		 * cache line away from the producer, so not one a command. */
		drain->tails[index] = atomic_load_explicit(&ring->tail, memory_order_seq_cst);
		used = drain->tails[index] - drain->heads[index];
		if (!used)
			return 0;
		if (used > GENIE_LANE_RING || used % 8)
			return bad(drain, index, "tail out of range", drain->tails[index]);
	}
	pos = drain->heads[index] & RING_MASK;
	first = word_at(data, pos);
	len = (uint32_t)first;
	if (first >> 32 == ((uint64_t)GENIE_CMD_PAD << 16 | GENIE_OP_NOP)) {
		if (len != GENIE_LANE_RING - pos || len >= used)
			return bad(drain, index, "pad of length", len);
		consume(drain, index, len);
		used -= len;
		pos = 0;
		first = word_at(data, pos);
		len = (uint32_t)first;
	}
	if (len < sizeof(struct genie_cmd) || len > GENIE_CMD_MAX || len % 8 || len > used ||
	    len > GENIE_LANE_RING - pos)
		return bad(drain, index, "command of length", len);
	ticket = word_at(data, pos + offsetof(struct genie_cmd, ticket));
	if (ticket != drain->next) {
		if (ticket < drain->next)
			return bad(drain, index, "used ticket", ticket);
		return 0;
	}
	if (len > room)
		return -ENOBUFS;
	memcpy(buf, data + pos, len);
	if (copy->len != len || copy->ticket != ticket)
		return bad(drain, index, "changing command", ticket);
	if (copy->lane >= GENIE_AREA_LANES)
		return bad(drain, index, "lane", copy->lane);
	consume(drain, index, len);
	drain->next++;
	drain->ring = index;
	return (int)len;
}

int
genie_drain_next(struct genie_drain *drain, void *buf, size_t room)
{
	unsigned count;
	int ret;

	ret = take(drain, drain->ring, buf, room);
	if (ret)
		return ret;
	count = atomic_load_explicit(&drain->area->ring_count, memory_order_seq_cst);
	if (count > GENIE_LANES_MAX)
		return bad(drain, drain->ring, "ring count", count);
	for (unsigned i = 0; i < count; i++) {
		if (i == drain->ring)
			continue;
		ret = take(drain, i, buf, room);
		if (ret)
			return ret;
	}
	return 0;
}
