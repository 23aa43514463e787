/* Branches, calls, the end. */
#include "remote/device_cpu/ptx/lower.h"

#include <string.h>

enum { NONE = PTX_NO_VALUE };

static void
lower_bra(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	struct ptx_ir *ir;

	if (stmt->nops != 1) {
		ptx_unsupported(l);
		return;
	}
	uint32_t target = ptx_block_of(l, &stmt->ops[0]);

	if (l->guard == PTX_NO_REG) {
		ir = ptx_emit(l, PTX_H_bra, NONE, NONE, NONE, NONE);
	} else {
		/* The branch reads its guard itself. */
		uint32_t guard = l->guard;

		l->guard = PTX_NO_REG;
		ir = ptx_emit(l, PTX_H_bra_if, NONE, guard, NONE, NONE);
		l->guard = guard;
		if (l->guard_negate)
			ir->insn.flags |= PTX_INSN_NEGATE;
	}
	ir->target = target;
}

/* brx.idx index, targets */
static void
lower_brx(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	const struct ptx_operand *list;

	if (stmt->nops != 2 || stmt->ops[1].kind != PTX_O_LABEL || !stmt->ops[1].label->targets) {
		ptx_unsupported(l);
		return;
	}
	list = stmt->ops[1].label->targets;
	uint32_t index = ptx_use_size(l, &stmt->ops[0], 4);
	uint32_t *targets = ptx_list(l, list->count);

	for (uint32_t i = 0; i < list->count; i++)
		targets[i] = ptx_block_of(l, &list->elems[i]);
	if (l->unsupported)
		return;
	struct ptx_ir *ir = ptx_emit(l, PTX_H_brx, NONE, index, NONE, NONE);

	ir->targets = targets;
	ir->ntargets = list->count;
}

static void
note_callee(struct ptx_lower *l, struct ptx_function *function)
{
	for (uint32_t i = 0; i < l->ncallees; i++)
		if (l->callees[i] == function)
			return;
	if (l->ncallees == l->callee_room)
		l->callees = ptx_lower_grow(l, l->callees, &l->callee_room, sizeof(*l->callees));
	l->callees[l->ncallees++] = function;
}

static void
describe_argument(struct ptx_lower *l, struct ptx_argument *arg, const struct ptx_operand *op,
		  int is_result)
{
	if (op->kind == PTX_O_VARIABLE && !op->var->kernel_param &&
	    (op->var->space == PTX_SPACE_PARAM || op->var->space == PTX_SPACE_LOCAL)) {
		arg->offset = (uint32_t)op->var->offset;
		arg->bytes = (uint32_t)op->var->size;
		return;
	}
	arg->is_register = 1;
	if (op->kind == PTX_O_REG && l->values[op->reg].size != PTX_PREDICATE) {
		arg->place = op->reg;
	} else if (op->kind == PTX_O_IMM && !is_result) {
		uint8_t size = op->is_float && op->is_single ? 4 : 8;

		arg->place = ptx_value_new(l, size);
		ptx_emit(l, PTX_H_mov_16 + ptx_size_index(size), arg->place,
			 ptx_value_literal(l, size, (uint64_t)op->imm), NONE, NONE);
	} else if (op->kind == PTX_O_SINK && is_result) {
		arg->place = ptx_value_new(l, 8);
	} else {
		ptx_unsupported(l);
		return;
	}
	/* The call reads or writes it outside the lists of values. */
	l->values[arg->place].pinned = 1;
	arg->size = l->values[arg->place].size;
}

static void
lower_call(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	struct ptx_call *call = ptx_lower_alloc(l, sizeof(*call));
	const struct ptx_operand *callee = &stmt->ops[0];
	uint32_t address = NONE;

	call->args = ptx_lower_alloc(l, stmt->nargs * sizeof(*call->args));
	call->rets = ptx_lower_alloc(l, stmt->nrets * sizeof(*call->rets));
	call->nargs = stmt->nargs;
	call->nrets = stmt->nrets;
	for (uint32_t i = 0; i < stmt->nargs; i++)
		describe_argument(l, &call->args[i], &stmt->args[i], 0);
	for (uint32_t i = 0; i < stmt->nrets; i++)
		describe_argument(l, &call->rets[i], &stmt->rets[i], 1);

	if (callee->kind == PTX_O_FUNCTION) {
		call->function = ptx_function_target(callee->function);
		if (!call->function->builtin)
			note_callee(l, call->function);
	} else {
		address = ptx_use_size(l, callee, 8);
		l->code->indirect = 1;
	}
	ptx_emit(l, PTX_H_call, NONE, address, NONE, NONE)->insn.data = call;
}

void
ptx_lower_flow(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	switch (stmt->opcode) {
	case PTX_OP_bra:
		lower_bra(l, stmt);
		break;
	case PTX_OP_brx:
		lower_brx(l, stmt);
		break;
	case PTX_OP_call:
		lower_call(l, stmt);
		break;
	case PTX_OP_ret:
		ptx_emit(l, l->code->function->entry ? PTX_H_exit : PTX_H_ret, NONE, NONE, NONE,
			 NONE);
		break;
	case PTX_OP_exit:
		ptx_emit(l, PTX_H_exit, NONE, NONE, NONE, NONE);
		break;
	case PTX_OP_trap:
	case PTX_OP_brkpt:
		ptx_emit(l, PTX_H_trap, NONE, NONE, NONE, NONE);
		break;
	default:
		ptx_unsupported(l);
		break;
	}
}
