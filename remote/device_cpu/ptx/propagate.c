/*
 * Copies disappear: a register that is written once, by a move from a literal, a special register
 * or another register that is written once, is that value. Of two registers only where each is
 * written before it is read, on every way: then neither can be read when they differ. What nobody
 * reads any more is dropped.
 */
#include "remote/device_cpu/ptx/lower.h"

#include <stdlib.h>

static int
is_move(const struct ptx_ir *ir)
{
	switch (ir->insn.op) {
	case PTX_H_mov_16:
	case PTX_H_mov_32:
	case PTX_H_mov_64:
	case PTX_H_pmov:
		return ir->insn.guard == PTX_NO_VALUE;
	default:
		return 0;
	}
}

static void
count_value(struct ptx_lower *l, uint32_t *value, int is_def, void *data)
{
	const struct ptx_ir *ir = data;

	if (!is_def)
		l->values[*value].uses++;
	else /* a guarded write leaves part of the old value */
		l->values[*value].defs += ir->insn.guard == PTX_NO_VALUE ? 1 : 2;
}

static uint32_t
resolve(struct ptx_lower *l, uint32_t value)
{
	uint32_t to = value;

	while (l->values[to].alias != PTX_NO_VALUE)
		to = l->values[to].alias;
	/* Shorten the chain for the next one. */
	while (l->values[value].alias != PTX_NO_VALUE) {
		uint32_t next = l->values[value].alias;

		l->values[value].alias = to == next ? next : to;
		value = next;
	}
	return to;
}

static void
replace_use(struct ptx_lower *l, uint32_t *value, int is_def, void *data)
{
	(void)data;
	if (is_def)
		return;
	uint32_t to = resolve(l, *value);

	if (to != *value) {
		l->values[*value].uses--;
		l->values[to].uses++;
		*value = to;
	}
}

static void
drop_use(struct ptx_lower *l, uint32_t *value, int is_def, void *data)
{
	(void)data;
	if (!is_def)
		l->values[*value].uses--;
}

static void
for_each_ir(struct ptx_lower *l, void (*visit)(struct ptx_lower *l, struct ptx_ir *ir))
{
	for (uint32_t i = 0; i < l->nlayout; i++) {
		struct ptx_bb *bb = &l->blocks[l->layout[i]];

		for (uint32_t k = 0; k < bb->count; k++)
			if (!l->ir[bb->first + k].dead)
				visit(l, &l->ir[bb->first + k]);
	}
}

static void
count(struct ptx_lower *l, struct ptx_ir *ir)
{
	ptx_ir_values(l, ir, count_value, ir);
}

static void
find_copy(struct ptx_lower *l, struct ptx_ir *ir, const uint8_t *early)
{
	if (!is_move(ir))
		return;
	struct ptx_value *dst = &l->values[ir->insn.dst], *src = &l->values[ir->insn.a];

	if (dst->defs != 1 || dst->pinned || ir->insn.dst == ir->insn.a)
		return;
	if (!src->fixed &&
	    (src->defs != 1 || src->pinned || early[ir->insn.dst] || early[ir->insn.a]))
		return;
	/* Two registers that are only copied from each other have no value at all. */
	if (resolve(l, ir->insn.a) == ir->insn.dst)
		return;
	dst->alias = ir->insn.a;
	src->uses--;
	ir->dead = 1;
}

static void
replace(struct ptx_lower *l, struct ptx_ir *ir)
{
	ptx_ir_values(l, ir, replace_use, NULL);
}

void
ptx_propagate(struct ptx_lower *l)
{
	uint8_t *early;

	for_each_ir(l, count);
	early = ptx_early_reads(l, is_move);
	if (!early) {
		l->lx->no_memory = 1;
		ptx_lexer_fail(l->lx, "out of memory");
	}
	for (uint32_t i = 0; i < l->nlayout; i++) {
		const struct ptx_bb *bb = &l->blocks[l->layout[i]];

		for (uint32_t k = 0; k < bb->count; k++)
			if (!l->ir[bb->first + k].dead)
				find_copy(l, &l->ir[bb->first + k], early);
	}
	free(early);
	for_each_ir(l, replace);

	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = l->nlayout; i-- > 0;) {
			struct ptx_bb *bb = &l->blocks[l->layout[i]];

			for (uint32_t k = bb->count; k-- > 0;) {
				struct ptx_ir *ir = &l->ir[bb->first + k];
				const struct ptx_value *dst;

				if (ir->dead || !(ir->insn.flags & PTX_INSN_PURE))
					continue;
				dst = &l->values[ir->insn.dst];
				if (dst->uses || dst->pinned)
					continue;
				ir->dead = 1;
				ptx_ir_values(l, ir, drop_use, NULL);
			}
		}
	}
}
