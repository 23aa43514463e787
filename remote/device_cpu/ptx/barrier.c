/* Barriers of a block: bar.sync, bar.arrive, bar.red. */
#include <string.h>

#include "remote/device_cpu/ptx/check.h"
#include "remote/device_cpu/ptx/exec.h"

/* A warp whose live lanes have all arrived counts as a whole one. */
static uint32_t
arrived_threads(const struct ptx_block *block, uint32_t id)
{
	uint32_t threads = 0;

	for (uint32_t k = 0; k < block->nwarps; k++) {
		const struct ptx_warp *w = &block->warps[k];
		uint32_t arrived = w->arrived[id];

		if (!arrived)
			continue;
		threads += w->live & ~arrived ? (uint32_t)__builtin_popcount(arrived) : PTX_LANES;
	}
	return threads;
}

static int
everybody_arrived(const struct ptx_block *block, uint32_t id)
{
	for (uint32_t k = 0; k < block->nwarps; k++)
		if (block->warps[k].live & ~block->warps[k].arrived[id])
			return 0;
	return 1;
}

static int
is_complete(const struct ptx_block *block, uint32_t id)
{
	const struct ptx_barrier *b = &block->barriers[id];

	if (b->expected)
		return arrived_threads(block, id) >= b->expected;
	return everybody_arrived(block, id);
}

static void
write_result(const struct ptx_barrier *b, const struct ptx_insn *insn, struct ptx_frame *frame,
	     uint32_t mask)
{
	uint32_t *d = (uint32_t *)(void *)(frame->regs + insn->dst);
	int all = b->count == b->votes, any = b->count != 0;

	switch (insn->n) {
	case PTX_BAR_POPC:
		for (int l = 0; l < PTX_LANES; l++)
			if (mask >> l & 1)
				d[l] = b->count;
		break;
	case PTX_BAR_AND:
		*d = all ? *d | mask : *d & ~mask;
		break;
	case PTX_BAR_OR:
		*d = any ? *d | mask : *d & ~mask;
		break;
	default:
		break;
	}
}

/*
 * Lets all go that wait here, with the result of a reduction, and starts the next phase. @last has
 * just arrived and goes on without having waited; it may be NULL.
 */
static void
complete(struct ptx_block *block, uint32_t id, const struct ptx_warp *last)
{
	struct ptx_barrier *b = &block->barriers[id];

	if (block->race)
		ptx_race_completed(block, id, last);
	for (uint32_t k = 0; k < block->nwarps; k++) {
		struct ptx_warp *w = &block->warps[k];

		w->arrived[id] = 0;
		for (uint32_t n = 0; n < w->nfragments; n++) {
			struct ptx_fragment *f = &w->fragments[n];

			if (f->state != PTX_WAIT_BARRIER || f->barrier != id)
				continue;
			/* it resumes behind the barrier */
			write_result(b, f->pc - 1, f->frame, f->mask);
			f->state = PTX_READY;
		}
	}
	*b = (struct ptx_barrier){0};
	block->active_barriers &= ~(1u << id);
}

int
ptx_barrier_arrive(struct ptx_warp *w, const struct ptx_insn *insn,
		   const struct ptx_barrier_request *request)
{
	struct ptx_block *block = w->block;
	struct ptx_barrier *b = &block->barriers[request->id];

	block->active_barriers |= 1u << request->id;
	b->expected = request->expected;
	if (request->reduce) {
		b->count += (uint32_t)__builtin_popcount(request->predicate & w->mask);
		b->votes += (uint32_t)__builtin_popcount(w->mask);
	}
	w->arrived[request->id] |= w->mask;
	if (block->race)
		ptx_race_arrived(w, request->id);
	if (is_complete(block, request->id)) {
		write_result(b, insn, w->frame, w->mask);
		complete(block, request->id, request->wait ? w : NULL);
		return 1;
	}
	if (!request->wait)
		return 1;

	struct ptx_fragment *f = &w->fragments[w->current];

	f->state = PTX_WAIT_BARRIER;
	f->barrier = (uint8_t)request->id;
	ptx_warp_stop(w, insn + 1, PTX_EVENT_BLOCKED);
	return 0;
}

void
ptx_barrier_recheck(struct ptx_block *block)
{
	if (!block->live_threads)
		return;
	for (uint32_t rest = block->active_barriers; rest; rest &= rest - 1) {
		uint32_t id = (uint32_t)__builtin_ctz(rest);

		if (is_complete(block, id))
			complete(block, id, NULL);
	}
}
