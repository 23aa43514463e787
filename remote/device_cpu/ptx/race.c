/*
 * Races in shared memory, for GENIE_CPU_CHECK=race. Every byte remembers who wrote it last and who
 * read it since, and when; two accesses race if one of them writes, not both are atomic, and
 * neither is ordered before the other.
 *
 * What orders: within a warp, an instruction in which its lanes wait for each other (bar.warp.sync,
 * shfl.sync, …); between warps, barriers. Each warp has a clock that ticks when it arrives at a
 * barrier, and knows up to which tick of every other warp it has waited for. Locks that a program
 * builds from atomics are not seen. A write of what is there already races with no other write:
 * programs do that on purpose.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/ptx/check.h"
#include "remote/device_cpu/ptx/exec_memory.h"

enum { READERS = 2, MBARRIERS = 64, REPORTS = 8 };

/* One access, as much as is needed of it later. */
struct touch {
	uint32_t thread; /* of the block, plus one; 0: none */
	uint32_t clock;  /* of its warp */
	uint32_t synced; /* how often its warp's lanes have waited for each other */
	uint32_t line : 31, atomic : 1;
};

struct byte {
	struct touch write, reads[READERS];
	uint8_t value;
};

typedef uint32_t clocks[PTX_MAX_WARPS];

struct ptx_race {
	uint64_t size; /* bytes of shared memory */
	uint32_t synced[PTX_MAX_WARPS];
	clocks known[PTX_MAX_WARPS]; /* known[w][w] is the clock of w */
	clocks barriers[PTX_BARRIERS];
	struct {
		uint64_t address; /* 0: not used */
		clocks known;
	} mbarriers[MBARRIERS];
	struct {
		uint32_t a, b; /* lines of PTX that were reported */
	} reported[REPORTS];
	uint32_t reports;
	struct byte bytes[];
};

struct ptx_race *
ptx_race_new(const struct ptx_block *block)
{
	struct ptx_race *race = calloc(1, sizeof(*race) + block->shared_size * sizeof(struct byte));

	if (race)
		race->size = block->shared_size;
	return race;
}

void
ptx_race_free(struct ptx_race *race)
{
	free(race);
}

void
ptx_race_begin(struct ptx_block *block)
{
	struct ptx_race *race = block->race;

	memset(race->synced, 0, sizeof(race->synced));
	memset(race->known, 0, sizeof(race->known));
	memset(race->barriers, 0, sizeof(race->barriers));
	memset(race->mbarriers, 0, sizeof(race->mbarriers));
	memset(race->bytes, 0, race->size * sizeof(*race->bytes));
	for (uint32_t k = 0; k < PTX_MAX_WARPS; k++)
		race->known[k][k] = 1;
}

/* ---- order ---- */

static void
join(clocks to, const clocks from)
{
	for (uint32_t k = 0; k < PTX_MAX_WARPS; k++)
		to[k] = from[k] > to[k] ? from[k] : to[k];
}

void
ptx_race_warp_synced(struct ptx_warp *w)
{
	w->block->race->synced[w->id]++;
}

/* What the warp has done so far is known to whoever waits for this; what it does now is not. */
static void
publish(struct ptx_warp *w, clocks to)
{
	struct ptx_race *race = w->block->race;

	join(to, race->known[w->id]);
	race->known[w->id][w->id]++;
}

static void
learn(struct ptx_race *race, uint32_t warp, const clocks from)
{
	join(race->known[warp], from);
	race->synced[warp]++;
}

void
ptx_race_arrived(struct ptx_warp *w, uint32_t barrier)
{
	publish(w, w->block->race->barriers[barrier]);
}

void
ptx_race_completed(struct ptx_block *block, uint32_t barrier, const struct ptx_warp *last)
{
	struct ptx_race *race = block->race;

	for (uint32_t k = 0; k < block->nwarps; k++) {
		const struct ptx_warp *w = &block->warps[k];
		int waits = w == last;

		for (uint32_t n = 0; n < w->nfragments; n++)
			waits |= w->fragments[n].state == PTX_WAIT_BARRIER &&
				 w->fragments[n].barrier == barrier;
		if (waits)
			learn(race, k, race->barriers[barrier]);
	}
	memset(race->barriers[barrier], 0, sizeof(race->barriers[barrier]));
}

void
ptx_race_all_synced(struct ptx_block *block)
{
	struct ptx_race *race = block->race;
	clocks all = {0};

	for (uint32_t k = 0; k < block->nwarps; k++)
		publish(&block->warps[k], all);
	for (uint32_t k = 0; k < block->nwarps; k++)
		learn(race, k, all);
}

/* The clocks of a barrier in shared memory; there is room for some, the oldest makes way. */
static uint32_t *
mbarrier_clocks(struct ptx_race *race, uint64_t address)
{
	uint32_t free_slot = (uint32_t)(address / 8 % MBARRIERS);

	for (uint32_t k = 0; k < MBARRIERS; k++) {
		if (race->mbarriers[k].address == address)
			return race->mbarriers[k].known;
		if (!race->mbarriers[k].address)
			free_slot = k;
	}
	race->mbarriers[free_slot].address = address;
	memset(race->mbarriers[free_slot].known, 0, sizeof(clocks));
	return race->mbarriers[free_slot].known;
}

void
ptx_race_mbarrier_arrived(struct ptx_warp *w, uint64_t address)
{
	publish(w, mbarrier_clocks(w->block->race, address));
}

void
ptx_race_mbarrier_passed(struct ptx_warp *w, uint64_t address)
{
	learn(w->block->race, w->id, mbarrier_clocks(w->block->race, address));
}

/* Is what @before did certain to be done when thread @thread does something now? */
static int
is_ordered(const struct ptx_race *race, const struct touch *before, uint32_t thread)
{
	uint32_t other = before->thread - 1;
	uint32_t warp = thread / PTX_LANES, other_warp = other / PTX_LANES;

	if (!before->thread || other == thread)
		return 1;
	if (other_warp == warp)
		return before->synced < race->synced[warp];
	return before->clock <= race->known[warp][other_warp];
}

/* ---- reports ---- */

static void
describe_thread(const struct ptx_warp *w, uint32_t thread, char *ret, size_t size)
{
	const uint32_t *block = w->launch->args->block;

	snprintf(ret, size, "(%u,%u,%u)", thread % block[0], thread / block[0] % block[1],
		 thread / (block[0] * block[1]));
}

static void
describe_line(const struct ptx_warp *w, uint32_t line, char *ret, size_t size)
{
	char source[96];

	/* the other access may have been in a function that is gone from the stack: its line is
	 * looked for in the kernel and in the function that runs */
	ptx_source_line(w->frame->code->function, line, source, sizeof(source));
	if (!*source)
		ptx_source_line(w->launch->kernel->function, line, source, sizeof(source));
	snprintf(ret, size, "PTX line %u%s%s%s", line, *source ? " (" : "", source,
		 *source ? ")" : "");
}

static void
report(struct ptx_warp *w, const struct ptx_insn *i, uint32_t thread, int writes,
       const struct touch *before, int before_writes, uint64_t offset)
{
	const struct ptx_launch *args = w->launch->args;
	struct ptx_race *race = w->block->race;
	char threads[2][48], lines[2][128], text[640];

	for (uint32_t k = 0; k < race->reports; k++)
		if (race->reported[k].a == before->line && race->reported[k].b == i->line)
			return;
	if (race->reports == REPORTS || !args->report)
		return;
	race->reported[race->reports].a = before->line;
	race->reported[race->reports++].b = i->line;
	describe_thread(w, before->thread - 1, threads[0], sizeof(threads[0]));
	describe_thread(w, thread, threads[1], sizeof(threads[1]));
	describe_line(w, before->line, lines[0], sizeof(lines[0]));
	describe_line(w, i->line, lines[1], sizeof(lines[1]));
	snprintf(text, sizeof(text),
		 "race in %.100s, block (%u,%u,%u): shared address 0x%llx: thread %s %s at %s, "
		 "thread %s %s at %s, nothing between",
		 w->launch->kernel->function->name, w->block->id[0], w->block->id[1],
		 w->block->id[2], (unsigned long long)offset, threads[0],
		 before_writes ? "writes" : "reads", lines[0], threads[1],
		 writes ? "writes" : "reads", lines[1]);
	pthread_mutex_lock((pthread_mutex_t *)&w->launch->output_lock);
	args->report(args->output_data, text);
	pthread_mutex_unlock((pthread_mutex_t *)&w->launch->output_lock);
}

/* ---- accesses ---- */

/* Byte @k of what lane @l stores; 0 or 1: whether that is known. */
static int
stored_value(const struct ptx_access *access, const uint8_t *regs, uint32_t l, uint32_t k,
	     uint8_t *ret)
{
	uint32_t each = access->count ? access->bytes / access->count : 0, place;

	if (!each || !access->size)
		return 0;
	place = access->values ? access->values[k / each] : access->single;
	*ret = regs[place + (size_t)l * access->size + k % each];
	return 1;
}

static void
remember_read(struct byte *byte, const struct touch *now)
{
	/* two that are not the same thread: one of them is another than whoever writes next */
	if (byte->reads[0].thread && byte->reads[0].thread != now->thread)
		byte->reads[1] = byte->reads[0];
	byte->reads[0] = *now;
}

void
ptx_race_touch(struct ptx_warp *w, const struct ptx_insn *i, uint32_t lane, uint64_t offset,
	       const struct ptx_access *access, const uint8_t *regs)
{
	struct ptx_race *race = w->block->race;
	uint32_t thread = w->id * PTX_LANES + lane;
	const struct touch now = {
		.thread = thread + 1,
		.clock = race->known[w->id][w->id],
		.synced = race->synced[w->id],
		.line = i->line,
		.atomic = access->atomic,
	};

	for (uint32_t k = 0; k < access->bytes && offset + k < race->size; k++) {
		struct byte *byte = &race->bytes[offset + k];
		const struct touch *last = &byte->write;
		uint8_t value = 0;
		int known = access->writes && stored_value(access, regs, lane, k, &value);
		int both_atomic = access->atomic && last->atomic;

		if (last->thread && !both_atomic && !is_ordered(race, last, thread) &&
		    !(access->writes && known && value == byte->value))
			report(w, i, thread, access->writes, last, 1, offset + k);
		for (int r = 0; access->writes && r < READERS; r++) {
			const struct touch *read = &byte->reads[r];

			if (read->thread && !(access->atomic && read->atomic) &&
			    !is_ordered(race, read, thread))
				report(w, i, thread, 1, read, 0, offset + k);
		}
		if (access->reads)
			remember_read(byte, &now);
		if (access->writes) {
			byte->write = now;
			byte->value = value;
			if (!access->reads)
				memset(byte->reads, 0, sizeof(byte->reads));
		}
	}
}
