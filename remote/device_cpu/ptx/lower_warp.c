/* Instructions between the lanes of a warp and between the warps of a block. */
#include "remote/device_cpu/ptx/exec.h"
#include "remote/device_cpu/ptx/lower.h"

enum { NONE = PTX_NO_VALUE };

/* The lanes that take part: an operand of .sync instructions, all active lanes of old ones. */
static uint32_t
member_mask(struct ptx_lower *l, const struct ptx_stmt *stmt, int nops)
{
	if (stmt->nops > nops)
		return ptx_use_size(l, &stmt->ops[nops], 4);
	return NONE;
}

/* The q of "d|q". */
static void
second_result(struct ptx_lower *l, struct ptx_ir *ir, uint32_t value)
{
	ir->list = ptx_list(l, 1);
	ir->list[0] = value;
	ir->nlist = 1;
	ir->roles |= PTX_LIST_DEF;
	ir->insn.flags |= PTX_INSN_FLAG_B;
}

static void
lower_shfl(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	uint32_t pair = NONE;

	if (stmt->nops < 4) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use_size(l, &stmt->ops[1], 4);
	uint32_t b = ptx_use_size(l, &stmt->ops[2], 4);
	uint32_t c = ptx_use_size(l, &stmt->ops[3], 4);
	uint32_t mask = member_mask(l, stmt, 4);

	if (stmt->ops[0].pair && stmt->ops[0].pair->kind != PTX_O_SINK)
		pair = ptx_result(l, stmt->ops[0].pair, PTX_PREDICATE);
	struct ptx_ir *ir =
		ptx_emit4(l, PTX_H_shfl, ptx_result(l, &stmt->ops[0], 4), a, b, c, mask);

	ir->insn.n = ptx_has(stmt, PTX_M_UP)     ? PTX_SHFL_UP
		     : ptx_has(stmt, PTX_M_DOWN) ? PTX_SHFL_DOWN
		     : ptx_has(stmt, PTX_M_BFLY) ? PTX_SHFL_BFLY
						 : PTX_SHFL_IDX;
	if (mask != NONE)
		ir->insn.flags |= PTX_INSN_FLAG_A;
	if (pair != NONE)
		second_result(l, ir, pair);
}

static void
lower_vote(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	int ballot = ptx_has(stmt, PTX_M_BALLOT);

	if (stmt->nops < 2) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use_predicate(l, &stmt->ops[1]);
	uint32_t mask = member_mask(l, stmt, 2);
	uint32_t dst = ptx_result(l, &stmt->ops[0], ballot ? 4 : PTX_PREDICATE);
	struct ptx_ir *ir = ptx_emit4(l, PTX_H_vote, dst, a, NONE, NONE, mask);

	ir->insn.n = ballot                     ? PTX_VOTE_BALLOT
		     : ptx_has(stmt, PTX_M_ALL) ? PTX_VOTE_ALL
		     : ptx_has(stmt, PTX_M_ANY) ? PTX_VOTE_ANY
						: PTX_VOTE_UNI;
	if (mask != NONE)
		ir->insn.flags |= PTX_INSN_FLAG_A;
}

static void
lower_match(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	uint32_t size = stmt->ntypes ? ptx_type_size(stmt->types[0]) : 0, pair = NONE;

	if (stmt->nops != 3 || (size != 4 && size != 8)) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use_size(l, &stmt->ops[1], (uint8_t)size);
	uint32_t mask = member_mask(l, stmt, 2);

	if (stmt->ops[0].pair && stmt->ops[0].pair->kind != PTX_O_SINK)
		pair = ptx_result(l, stmt->ops[0].pair, PTX_PREDICATE);
	struct ptx_ir *ir =
		ptx_emit4(l, PTX_H_match, ptx_result(l, &stmt->ops[0], 4), a, NONE, NONE, mask);

	ir->insn.n = (uint8_t)size;
	ir->insn.flags |= PTX_INSN_FLAG_A;
	if (ptx_has(stmt, PTX_M_ALL))
		ir->insn.flags |= PTX_INSN_FLAG_C;
	if (pair != NONE)
		second_result(l, ir, pair);
}

static void
lower_redux(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type type = stmt->ntypes ? stmt->types[0] : PTX_T_NONE;
	enum ptx_atomic operation = PTX_ATOMIC_NONE;

	if (ptx_has(stmt, PTX_M_ADD))
		operation = PTX_ATOMIC_ADD;
	else if (ptx_has(stmt, PTX_M_MIN))
		operation = PTX_ATOMIC_MIN;
	else if (ptx_has(stmt, PTX_M_MAX))
		operation = PTX_ATOMIC_MAX;
	else if (ptx_has(stmt, PTX_M_AND))
		operation = PTX_ATOMIC_AND;
	else if (ptx_has(stmt, PTX_M_OR))
		operation = PTX_ATOMIC_OR;
	else if (ptx_has(stmt, PTX_M_XOR))
		operation = PTX_ATOMIC_XOR;
	if (!operation || stmt->nops != 3 || ptx_type_size(type) != 4 || type == PTX_T_F32) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use(l, &stmt->ops[1], type);
	uint32_t mask = member_mask(l, stmt, 2);
	struct ptx_ir *ir =
		ptx_emit4(l, PTX_H_redux, ptx_result(l, &stmt->ops[0], 4), a, NONE, NONE, mask);

	ir->insn.n = (uint8_t)operation;
	ir->insn.flags |= PTX_INSN_FLAG_A;
	if (type == PTX_T_S32)
		ir->insn.flags |= PTX_INSN_FLAG_C;
}

static void
lower_elect(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	if (stmt->nops != 2 || !stmt->ops[0].pair) {
		ptx_unsupported(l);
		return;
	}
	uint32_t mask = member_mask(l, stmt, 1);
	uint32_t dst = ptx_result(l, &stmt->ops[0], 4);
	uint32_t pair = ptx_result(l, stmt->ops[0].pair, PTX_PREDICATE);
	struct ptx_ir *ir = ptx_emit4(l, PTX_H_elect, dst, NONE, NONE, NONE, mask);

	ir->insn.flags |= PTX_INSN_FLAG_A;
	second_result(l, ir, pair);
}

/* bar.sync, bar.arrive, bar.red, bar.warp.sync and the same of barrier */
static void
lower_bar(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	uint32_t id, threads = NONE, predicate = NONE, dst = NONE;
	int first = 0, kind = PTX_BAR_SYNC;

	if (ptx_has(stmt, PTX_M_WARP)) {
		uint32_t mask = member_mask(l, stmt, 0);

		if (mask == NONE)
			mask = ptx_value_literal(l, 4, 0xffffffff);
		ptx_emit4(l, PTX_H_warp_sync, NONE, NONE, NONE, NONE, mask)->insn.flags |=
			PTX_INSN_FLAG_A;
		return;
	}
	if (ptx_has(stmt, PTX_M_CLUSTER)) {
		ptx_emit(l, PTX_H_cluster_barrier, NONE, NONE, NONE, NONE)->insn.n =
			(uint8_t)ptx_has(stmt, PTX_M_ARRIVE);
		return;
	}
	if (ptx_has(stmt, PTX_M_ARRIVE))
		kind = PTX_BAR_ARRIVE;
	else if (ptx_has(stmt, PTX_M_RED))
		kind = ptx_has(stmt, PTX_M_POPC)  ? PTX_BAR_POPC
		       : ptx_has(stmt, PTX_M_AND) ? PTX_BAR_AND
						  : PTX_BAR_OR;
	if (kind >= PTX_BAR_POPC) {
		if (stmt->nops < 3) {
			ptx_unsupported(l);
			return;
		}
		first = 1;
		predicate = ptx_use_predicate(l, &stmt->ops[stmt->nops - 1]);
		dst = ptx_result(l, &stmt->ops[0], kind == PTX_BAR_POPC ? 4 : PTX_PREDICATE);
	}
	if (stmt->nops <= first) {
		ptx_unsupported(l);
		return;
	}
	id = ptx_use_size(l, &stmt->ops[first], 4);
	if (stmt->nops - (kind >= PTX_BAR_POPC) > first + 1)
		threads = ptx_use_size(l, &stmt->ops[first + 1], 4);
	else if (kind == PTX_BAR_ARRIVE)
		ptx_unsupported(l);
	struct ptx_ir *ir = ptx_emit(l, PTX_H_barrier, dst, id, threads, predicate);

	ir->insn.n = (uint8_t)kind;
	if (threads != NONE)
		ir->insn.flags |= PTX_INSN_FLAG_A;
}

void
ptx_lower_warp(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	switch (stmt->opcode) {
	case PTX_OP_shfl:
		lower_shfl(l, stmt);
		break;
	case PTX_OP_vote:
		lower_vote(l, stmt);
		break;
	case PTX_OP_match:
		lower_match(l, stmt);
		break;
	case PTX_OP_redux:
		lower_redux(l, stmt);
		break;
	case PTX_OP_elect:
		lower_elect(l, stmt);
		break;
	case PTX_OP_activemask:
		if (stmt->nops != 1)
			ptx_unsupported(l);
		else
			ptx_emit(l, PTX_H_activemask, ptx_result(l, &stmt->ops[0], 4), NONE, NONE,
				 NONE);
		break;
	case PTX_OP_bar:
	case PTX_OP_barrier:
		lower_bar(l, stmt);
		break;
	case PTX_OP_nanosleep:
		ptx_emit(l, PTX_H_nanosleep, NONE, NONE, NONE, NONE);
		break;
	case PTX_OP_griddepcontrol: /* launches run one after another */
	case PTX_OP_pmevent:
	case PTX_OP_setmaxnreg:
		break;
	default:
		ptx_unsupported(l);
		break;
	}
}
