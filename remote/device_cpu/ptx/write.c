/* From IR to code: places instead of values, addresses instead of blocks, what frames begin with.
 */
#include "remote/device_cpu/ptx/check.h"
#include "remote/device_cpu/ptx/lower.h"

#include <stdlib.h>
#include <string.h>

static uint32_t
place_of(struct ptx_lower *l, uint32_t value)
{
	return value == PTX_NO_VALUE ? 0 : l->values[value].place;
}

static void
emit_insn(struct ptx_lower *l, struct ptx_insn *insn, struct ptx_ir *ir)
{
	const ptx_exec_fn *handlers = ptx_handlers();

	*insn = ir->insn;
	insn->exec = handlers[insn->op];
	insn->dst = ir->roles & (PTX_DEF_DST | PTX_USE_DST) ? place_of(l, insn->dst) : 0;
	insn->a = ir->roles & PTX_USE_A ? place_of(l, insn->a) : 0;
	insn->b = ir->roles & PTX_USE_B ? place_of(l, insn->b) : 0;
	insn->c = ir->roles & PTX_USE_C ? place_of(l, insn->c) : 0;
	if (ir->roles & PTX_USE_D) /* else it may be an offset */
		insn->d = place_of(l, insn->d);
	insn->guard = place_of(l, insn->guard);
	if (insn->flags & PTX_INSN_PURE) /* for masking */
		insn->n = (uint8_t)ptx_handler_result(insn->op);
	if (insn->guard || (insn->flags & PTX_INSN_ROUND && insn->flags & PTX_INSN_PURE))
		insn->exec = handlers[PTX_H_NONE]; /* the one that looks at guard and rounding */
	if (ptx_check_flags() && ptx_check_kind_of(insn->op) != PTX_CHECK_NOTHING)
		insn->exec = handlers[PTX_H_checked];
	if (ir->roles & (PTX_LIST_DEF | PTX_LIST_USE)) {
		for (uint32_t i = 0; i < ir->nlist; i++)
			ir->list[i] = place_of(l, ir->list[i]);
		if (!(ir->roles & PTX_LIST_DATA))
			insn->list = ir->list;
	}
}

static void
place_call(struct ptx_lower *l, struct ptx_ir *ir)
{
	struct ptx_call *call = (struct ptx_call *)ir->insn.data;

	for (uint32_t i = 0; i < call->nargs; i++)
		if (call->args[i].is_register)
			call->args[i].place = place_of(l, call->args[i].place);
	for (uint32_t i = 0; i < call->nrets; i++)
		if (call->rets[i].is_register)
			call->rets[i].place = place_of(l, call->rets[i].place);
}

/* Branches know their blocks; now they learn the instructions. */
static void
write_code(struct ptx_lower *l)
{
	struct ptx_code *code = l->code;
	uint32_t *start = calloc(l->nblocks + 1, sizeof(*start));
	uint32_t count = 0;

	for (uint32_t i = 0; i < l->nlayout; i++) {
		struct ptx_bb *bb = &l->blocks[l->layout[i]];

		for (uint32_t k = 0; k < bb->count; k++)
			count += !l->ir[bb->first + k].dead;
		count++; /* perhaps a branch at its end */
	}
	code->insns = calloc(count + 1, sizeof(*code->insns));
	if (!code->insns || !start) {
		free(start);
		l->lx->no_memory = 1;
		ptx_lexer_fail(l->lx, "out of memory");
	}

	/* First instructions, remembering in .imm the blocks that branches go to. */
	uint32_t n = 0;
	const ptx_exec_fn *handlers = ptx_handlers();

	for (uint32_t i = 0; i < l->nlayout; i++) {
		struct ptx_bb *bb = &l->blocks[l->layout[i]];

		start[l->layout[i]] = n;
		for (uint32_t k = 0; k < bb->count; k++) {
			struct ptx_ir *ir = &l->ir[bb->first + k];

			if (ir->dead)
				continue;
			if (ir->insn.op == PTX_H_call)
				place_call(l, ir);
			emit_insn(l, &code->insns[n], ir);
			if (ir->target != PTX_NO_BLOCK)
				code->insns[n].imm = ir->target;
			if (ir->targets) {
				/* n cannot hold thousands: the count is in c */
				code->insns[n].data = ir->targets;
				code->insns[n].c = ir->ntargets;
			}
			n++;
		}
		if (bb->next != PTX_NO_BLOCK &&
		    (i + 1 == l->nlayout || l->layout[i + 1] != bb->next)) {
			code->insns[n].op = PTX_H_bra;
			code->insns[n].exec = handlers[PTX_H_bra];
			code->insns[n].imm = bb->next;
			n++;
		}
	}
	code->ninsns = n;

	for (uint32_t i = 0; i < n; i++) {
		struct ptx_insn *insn = &code->insns[i];

		if (insn->op == PTX_H_bra || insn->op == PTX_H_bra_if) {
			uint32_t to = start[insn->imm];

			insn->target = &code->insns[to];
			if (to <= i)
				insn->flags |= PTX_INSN_FLAG_A; /* backward */
		} else if (insn->op == PTX_H_brx) {
			const uint32_t *blocks = insn->data;
			const struct ptx_insn **targets =
				ptx_lower_alloc(l, insn->c * sizeof(*targets));

			for (uint32_t k = 0; k < insn->c; k++)
				targets[k] = &code->insns[start[blocks[k]]];
			insn->data = targets;
		}
	}
	free(start);
}

/* When a value is set: 0 once, 1 for every frame, 2 for every block. */
static int
fixed_order(const struct ptx_fixed *f)
{
	if (f->kind == PTX_FIXED_LITERAL)
		return 0;
	return f->kind == PTX_FIXED_SPECIAL && ptx_special_when(f->value) == PTX_WHEN_BLOCK ? 2 : 1;
}

static void
write_fixed(struct ptx_lower *l)
{
	struct ptx_code *code = l->code;

	code->fixed = malloc((l->nfixed + 1) * sizeof(*code->fixed));
	if (!code->fixed) {
		l->lx->no_memory = 1;
		ptx_lexer_fail(l->lx, "out of memory");
	}
	for (uint32_t v = 0; v < l->nvalues; v++)
		if (l->values[v].fixed)
			l->fixed[l->values[v].fixed_index].place = l->values[v].place;
	for (int when = 0; when < 3; when++) {
		if (when == 1)
			code->first_varying = code->nfixed;
		if (when == 2)
			code->first_of_block = code->nfixed;
		for (uint32_t i = 0; i < l->nfixed; i++)
			if (l->fixed[i].place && fixed_order(&l->fixed[i]) == when)
				code->fixed[code->nfixed++] = l->fixed[i];
	}

	/* An image of the literals to copy into new frames. */
	code->image = calloc(1, code->image_size + 1);
	if (!code->image) {
		l->lx->no_memory = 1;
		ptx_lexer_fail(l->lx, "out of memory");
	}
	for (uint32_t i = 0; i < code->first_varying; i++) {
		const struct ptx_fixed *f = &code->fixed[i];
		uint8_t *at = code->image + (f->place - code->image_place);

		for (int lane = 0; lane < (f->predicate ? 1 : PTX_LANES); lane++)
			memcpy(at + lane * f->size, &f->value, f->size);
	}
}

static void
write_lists(struct ptx_lower *l)
{
	struct ptx_code *code = l->code;
	const struct ptx_signature *sig = &code->function->sig;

	code->callees = ptx_lower_alloc(l, l->ncallees * sizeof(*code->callees));
	code->ncallees = l->ncallees;
	if (l->ncallees)
		memcpy(code->callees, l->callees, l->ncallees * sizeof(*code->callees));
	code->shared = ptx_lower_alloc(l, l->nshared * sizeof(*code->shared));
	code->nshared = l->nshared;
	if (l->nshared)
		memcpy(code->shared, l->shared, l->nshared * sizeof(*code->shared));

	code->param_places = ptx_list(l, sig->nparams);
	for (uint32_t i = 0; i < sig->nparams; i++)
		if (sig->params[i].space == PTX_SPACE_REG)
			code->param_places[i] = place_of(l, sig->params[i].reg);
	code->ret_places = ptx_list(l, sig->nrets);
	for (uint32_t i = 0; i < sig->nrets; i++)
		if (sig->rets[i].space == PTX_SPACE_REG)
			code->ret_places[i] = place_of(l, sig->rets[i].reg);
}

void
ptx_write_code(struct ptx_lower *l)
{
	write_code(l);
	write_fixed(l);
	write_lists(l);
}
