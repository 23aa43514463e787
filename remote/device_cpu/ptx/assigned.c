/*
 * Which registers may be read before they are written. Compilers leave such reads where the value
 * does not matter: a register that one turn of a loop writes and the next one reads is read in the
 * first turn too. It then holds what the turn before left, however often its source has changed.
 *
 * Data flow over the blocks, for the registers that copies concern: "written on every way to here".
 */
#include "remote/device_cpu/ptx/lower.h"

#include <stdlib.h>
#include <string.h>

/* A function that needs more is translated with its copies. */
enum { MAX_WORDS = 8 << 20 };

struct assigned {
	uint32_t *number; /* of a value, plus 1; 0: not looked at */
	uint32_t count;
	size_t words;  /* of a set */
	uint64_t *in;  /* sets by position in the layout */
	uint64_t *now; /* a set: in the block that is being walked */
	uint8_t *early;
};

static void
note_values(struct ptx_lower *l, uint32_t *value, int is_def, void *data)
{
	struct assigned *a = data;
	const struct ptx_value *v = &l->values[*value];

	(void)is_def;
	if (v->defs == 1 && !v->fixed && !v->pinned && !a->number[*value])
		a->number[*value] = ++a->count;
}

static void
visit_value(struct ptx_lower *l, uint32_t *value, int is_def, void *data)
{
	struct assigned *a = data;
	uint32_t n = a->number[*value];

	(void)l;
	if (!n)
		return;
	n--;
	if (is_def)
		a->now[n / 64] |= UINT64_C(1) << n % 64;
	else if (!(a->now[n / 64] >> n % 64 & 1))
		a->early[*value] = 1;
}

static void
walk(struct ptx_lower *l, struct assigned *a, const struct ptx_bb *bb)
{
	for (uint32_t k = 0; k < bb->count; k++)
		if (!l->ir[bb->first + k].dead)
			ptx_ir_values(l, &l->ir[bb->first + k], visit_value, a);
}

/* What leaves a block arrives in its successors. 1: one of them has less than before. */
static int
flow(struct ptx_lower *l, struct assigned *a, uint32_t block)
{
	uint32_t to;
	int changed = 0;

	for (uint32_t k = 0; (to = ptx_successor(l, block, k)) != PTX_NO_BLOCK; k++) {
		uint64_t *in = a->in + l->blocks[to].order * a->words;

		for (size_t w = 0; w < a->words; w++) {
			uint64_t both = in[w] & a->now[w];

			changed |= both != in[w];
			in[w] = both;
		}
	}
	return changed;
}

static void
solve(struct ptx_lower *l, struct assigned *a)
{
	int changed = 1;

	memset(a->in, 0xff, (size_t)l->nlayout * a->words * sizeof(*a->in));
	memset(a->in, 0, a->words * sizeof(*a->in));
	while (changed) {
		changed = 0;
		for (uint32_t i = 0; i < l->nlayout; i++) {
			memcpy(a->now, a->in + i * a->words, a->words * sizeof(*a->now));
			walk(l, a, &l->blocks[l->layout[i]]);
			changed |= flow(l, a, l->layout[i]);
		}
	}
}

uint8_t *
ptx_early_reads(struct ptx_lower *l, int (*is_copy)(const struct ptx_ir *ir))
{
	struct assigned a = {
		.number = calloc(l->nvalues + 1, sizeof(*a.number)),
		.early = calloc(l->nvalues + 1, 1),
	};

	for (uint32_t i = 0; a.number && i < l->nlayout; i++) {
		const struct ptx_bb *bb = &l->blocks[l->layout[i]];

		for (uint32_t k = 0; k < bb->count; k++)
			if (!l->ir[bb->first + k].dead && is_copy(&l->ir[bb->first + k]))
				ptx_ir_values(l, &l->ir[bb->first + k], note_values, &a);
	}
	a.words = (a.count + 63) / 64;
	if (a.words * l->nlayout > MAX_WORDS) {
		if (a.early)
			memset(a.early, 1, l->nvalues);
	} else if (a.number && a.early && a.count) {
		a.in = malloc((a.words * l->nlayout + 1) * sizeof(*a.in));
		a.now = malloc((a.words + 1) * sizeof(*a.now));
		if (a.in && a.now) {
			solve(l, &a);
			memset(a.early, 0, l->nvalues);
			for (uint32_t i = 0; i < l->nlayout; i++) {
				memcpy(a.now, a.in + i * a.words, a.words * sizeof(*a.now));
				walk(l, &a, &l->blocks[l->layout[i]]);
			}
		} else {
			memset(a.early, 1, l->nvalues);
		}
	}
	free(a.number);
	free(a.in);
	free(a.now);
	return a.early;
}
