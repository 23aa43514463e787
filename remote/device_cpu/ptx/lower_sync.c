/* mbarrier, bulk copies, clusters. */
#include "remote/device_cpu/ptx/exec.h"
#include "remote/device_cpu/ptx/lower.h"

enum { NONE = PTX_NO_VALUE };

uint32_t
ptx_generic_address(struct ptx_lower *l, const struct ptx_operand *op, enum ptx_space space,
		    int cluster)
{
	uint32_t address;
	int32_t offset;
	int way = ptx_memory_operand(l, op, &space, &address, &offset);

	if (way < 0)
		return ptx_value_literal(l, 8, 0);
	if (way == 0) { /* global or generic already */
		if (offset)
			address =
				ptx_temp(l, PTX_H_add_64, address,
					 ptx_value_literal(l, 8, (uint64_t)(int64_t)offset), NONE);
		return address;
	}
	if (offset)
		address = ptx_temp(l, PTX_H_add_32, address,
				   ptx_value_literal(l, 4, (uint32_t)offset), NONE);
	if (space == PTX_SPACE_SHARED && cluster)
		return ptx_temp(l, PTX_H_cluster_address, address, NONE, NONE);
	address = ptx_temp(l, PTX_H_widen_u32_64, address, NONE, NONE);
	if (space == PTX_SPACE_SHARED)
		return ptx_temp(l, PTX_H_cvta_shared, address, NONE, NONE);
	return ptx_temp(l, way == 1 ? PTX_H_cvta_param : PTX_H_cvta_local, address, NONE, NONE);
}

/* The barrier's address; in its window unless it is generic or another block's. */
static uint32_t
barrier_address(struct ptx_lower *l, const struct ptx_stmt *stmt, const struct ptx_operand *op,
		int32_t *ret_offset, int *ret_generic)
{
	enum ptx_space space = ptx_space_of(stmt);
	uint32_t address = NONE;

	*ret_offset = 0;
	*ret_generic = space != PTX_SPACE_SHARED || ptx_has(stmt, PTX_M_SHARED_CLUSTER);
	if (*ret_generic)
		return ptx_generic_address(l, op, space, 1);
	if (ptx_memory_operand(l, op, &space, &address, ret_offset) < 0)
		return ptx_value_literal(l, 4, 0);
	return address;
}

static void
describe(struct ptx_ir *ir, int32_t offset, int generic)
{
	ir->insn.offset = offset;
	if (generic)
		ir->insn.flags |= PTX_INSN_FLAG_C;
}

/* What an instruction other than a wait does to the barrier. */
static void
lower_arrive(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	int kind = PTX_MBAR_ARRIVE, has_state = 0, generic;
	const struct ptx_operand *memory = &stmt->ops[0], *value = NULL;
	uint32_t address, count, dst = NONE;
	int32_t offset;

	if (ptx_has(stmt, PTX_M_INIT)) {
		kind = PTX_MBAR_INIT;
	} else if (ptx_has(stmt, PTX_M_ARRIVE_DROP)) {
		kind = PTX_MBAR_ARRIVE_DROP;
		has_state = 1;
	} else if (ptx_has(stmt, PTX_M_ARRIVE)) {
		has_state = 1;
		if (ptx_has(stmt, PTX_M_EXPECT_TX))
			kind = PTX_MBAR_ARRIVE_EXPECT;
	} else if (ptx_has(stmt, PTX_M_EXPECT_TX)) {
		kind = PTX_MBAR_EXPECT;
	} else {
		kind = PTX_MBAR_COMPLETE;
	}
	/* "arrive state, [address], count"; without a state for other blocks' barriers */
	if (has_state && stmt->nops > 0 && stmt->ops[0].kind != PTX_O_MEMORY)
		memory = &stmt->ops[1];
	else
		has_state = 0;
	if (memory >= stmt->ops + stmt->nops) {
		ptx_unsupported(l);
		return;
	}
	if (memory + 1 < stmt->ops + stmt->nops)
		value = memory + 1;
	if (!value && kind != PTX_MBAR_ARRIVE && kind != PTX_MBAR_ARRIVE_DROP) {
		ptx_unsupported(l);
		return;
	}
	address = barrier_address(l, stmt, memory, &offset, &generic);
	count = value ? ptx_use_size(l, value, 4) : ptx_value_literal(l, 4, 1);
	if (has_state && stmt->ops[0].kind != PTX_O_SINK)
		dst = ptx_result(l, &stmt->ops[0], 8);
	struct ptx_ir *ir = ptx_emit(l, PTX_H_mbarrier, dst, address, count, NONE);

	describe(ir, offset, generic);
	ir->insn.n = (uint8_t)kind;
	if (dst != NONE)
		ir->insn.flags |= PTX_INSN_FLAG_B;
}

static void
lower_wait(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	int parity = ptx_has(stmt, PTX_M_PARITY), generic;
	int32_t offset;

	if (stmt->nops < 3) {
		ptx_unsupported(l);
		return;
	}
	uint32_t address = barrier_address(l, stmt, &stmt->ops[1], &offset, &generic);
	uint32_t state = ptx_use_size(l, &stmt->ops[2], parity ? 4 : 8);
	uint32_t dst = ptx_result(l, &stmt->ops[0], PTX_PREDICATE);
	struct ptx_ir *ir = ptx_emit(l, PTX_H_mbarrier_wait, dst, address, state, NONE);

	/* Lanes that are not active keep their bit. */
	ir->roles |= PTX_USE_DST;
	describe(ir, offset, generic);
	if (ptx_has(stmt, PTX_M_TRY_WAIT))
		ir->insn.flags |= PTX_INSN_FLAG_B;
	if (parity)
		ir->insn.flags |= PTX_INSN_FLAG_D;
}

static void
lower_mbarrier(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	if (ptx_has(stmt, PTX_M_INVAL))
		return;
	if (ptx_has(stmt, PTX_M_PENDING_COUNT)) {
		/* of a state: bits 20 to 39 */
		if (stmt->nops != 2) {
			ptx_unsupported(l);
			return;
		}
		uint32_t state = ptx_use_size(l, &stmt->ops[1], 8);
		uint32_t count = ptx_temp(l, PTX_H_bfe_u64, state, ptx_value_literal(l, 4, 20),
					  ptx_value_literal(l, 4, 20));

		ptx_emit(l, PTX_H_narrow_64_32, ptx_result(l, &stmt->ops[0], 4), count, NONE, NONE);
	} else if (ptx_has(stmt, PTX_M_TEST_WAIT) || ptx_has(stmt, PTX_M_TRY_WAIT)) {
		lower_wait(l, stmt);
	} else if (stmt->nops > 0) {
		lower_arrive(l, stmt);
	} else {
		ptx_unsupported(l);
	}
}

/*
 * cp.async.bulk.tensor.2d … [to], [map, {x, y}], [barrier]{, mask}: from a tensor
 * cp.async.bulk.tensor.2d … [map, {x, y}], [from]: to one
 */
static void
lower_tensor(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	static const uint16_t dimensions[] = {PTX_M_D1, PTX_M_D2, PTX_M_D3, PTX_M_D4, PTX_M_D5};
	struct ptx_tensor_copy *copy = ptx_lower_alloc(l, sizeof(*copy));
	int store = ptx_has(stmt, PTX_M_BULK_GROUP);
	const struct ptx_operand *map = &stmt->ops[store ? 0 : 1], *place, *elems;
	uint32_t regs[2 + PTX_TENSOR_RANK + 2], n = 0, *list;

	for (uint32_t k = 0; k < 5; k++)
		if (ptx_has(stmt, dimensions[k]))
			copy->dimensions = (uint8_t)(k + 1);
	copy->store = (uint8_t)store;
	copy->multicast = ptx_has(stmt, PTX_M_MULTICAST_CLUSTER) != 0;
	/* a cache policy is one more operand; im2col has its offsets in a list */
	if (!copy->dimensions || stmt->unknown || ptx_has(stmt, PTX_M_REDUCE) ||
	    stmt->nops < (store ? 2u : 3u + copy->multicast) || map->kind != PTX_O_MEMORY ||
	    map->count != 2 || map->imm) {
		ptx_unsupported(l);
		return;
	}
	place = &map->elems[1];
	elems = place->kind == PTX_O_VECTOR ? place->elems : place;
	if ((place->kind == PTX_O_VECTOR ? place->count : 1) != copy->dimensions) {
		ptx_unsupported(l);
		return;
	}
	regs[n++] = ptx_use_size(l, &map->elems[0], 8);
	regs[n++] = ptx_generic_address(l, &stmt->ops[store ? 1 : 0], PTX_SPACE_SHARED, 1);
	for (uint32_t k = 0; k < copy->dimensions; k++)
		regs[n++] = ptx_use_size(l, &elems[k], 4);
	if (!store)
		regs[n++] = ptx_generic_address(l, &stmt->ops[2], PTX_SPACE_SHARED, 1);
	if (copy->multicast)
		regs[n++] = ptx_resized(l, ptx_use_any(l, &stmt->ops[3]), 4, 0);
	list = ptx_list(l, n);
	for (uint32_t k = 0; k < n; k++)
		list[k] = regs[k];
	copy->regs = list;
	struct ptx_ir *ir = ptx_emit(l, PTX_H_tensor_copy, NONE, NONE, NONE, NONE);

	ir->list = list;
	ir->nlist = n;
	ir->roles |= PTX_LIST_USE | PTX_LIST_DATA;
	ir->insn.data = copy;
}

/* cp.async.bulk [to], [from], size, [barrier] */
static void
lower_bulk(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	int to_global = ptx_has(stmt, PTX_M_BULK_GROUP), tell = ptx_has(stmt, PTX_M_MBARRIER_TX);
	int from_shared = to_global || !ptx_has(stmt, PTX_M_GLOBAL);
	uint32_t barrier = NONE;

	if (ptx_has(stmt, PTX_M_COMMIT_GROUP) || ptx_has(stmt, PTX_M_WAIT_GROUP) ||
	    ptx_has(stmt, PTX_M_PREFETCH))
		return;
	if (ptx_has(stmt, PTX_M_TENSOR)) {
		lower_tensor(l, stmt);
		return;
	}
	if (ptx_has(stmt, PTX_M_REDUCE) || ptx_has(stmt, PTX_M_MULTICAST_CLUSTER) ||
	    stmt->nops < (tell ? 4 : 3)) {
		ptx_unsupported(l);
		return;
	}
	uint32_t to = ptx_generic_address(l, &stmt->ops[0],
					  to_global ? PTX_SPACE_GLOBAL : PTX_SPACE_SHARED, 1);
	uint32_t from = ptx_generic_address(l, &stmt->ops[1],
					    from_shared ? PTX_SPACE_SHARED : PTX_SPACE_GLOBAL, 1);
	uint32_t size = ptx_use_size(l, &stmt->ops[2], 4);

	if (tell)
		barrier = ptx_generic_address(l, &stmt->ops[3], PTX_SPACE_SHARED, 1);
	struct ptx_ir *ir = ptx_emit4(l, PTX_H_bulk_copy, NONE, to, from, size, barrier);

	if (tell)
		ir->insn.flags |= PTX_INSN_FLAG_B;
}

/* cp.async.mbarrier.arrive: the copies before it are done, so it arrives at once. */
static void
lower_cp_arrive(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	int32_t offset;
	int generic;

	if (stmt->nops != 1) {
		ptx_unsupported(l);
		return;
	}
	/* Without .noinc the barrier first expects one more: nothing changes. */
	if (!ptx_has(stmt, PTX_M_NOINC))
		return;
	uint32_t address = barrier_address(l, stmt, &stmt->ops[0], &offset, &generic);
	struct ptx_ir *ir =
		ptx_emit(l, PTX_H_mbarrier, NONE, address, ptx_value_literal(l, 4, 1), NONE);

	describe(ir, offset, generic);
	ir->insn.n = PTX_MBAR_ARRIVE;
}

static void
lower_mapa(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	int shared = ptx_space_of(stmt) == PTX_SPACE_SHARED;
	uint32_t size = stmt->ntypes ? ptx_type_size(stmt->types[0]) : 0;

	if (stmt->nops != 3 || (size != 4 && size != 8) || (!shared && size != 8)) {
		ptx_unsupported(l);
		return;
	}
	uint32_t rank = ptx_use_size(l, &stmt->ops[2], 4);

	if (!shared) {
		uint32_t a = ptx_use_size(l, &stmt->ops[1], 8);

		ptx_emit(l, PTX_H_mapa_64, ptx_result(l, &stmt->ops[0], 8), a, rank, NONE);
		return;
	}
	uint32_t a = ptx_use_size(l, &stmt->ops[1], (uint8_t)size);

	a = ptx_resized(l, a, 4, 0);
	ptx_emit(l, PTX_H_mapa_32, ptx_result(l, &stmt->ops[0], 4), a, rank, NONE);
}

static void
lower_ctarank(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	int shared = ptx_space_of(stmt) == PTX_SPACE_SHARED;
	uint32_t size = stmt->ntypes ? ptx_type_size(stmt->types[0]) : 0;

	if (stmt->nops != 2 || (size != 4 && size != 8)) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use_size(l, &stmt->ops[1], (uint8_t)size);

	a = ptx_resized(l, a, shared ? 4 : 8, 0);
	ptx_emit(l, shared ? PTX_H_ctarank_32 : PTX_H_ctarank_64, ptx_result(l, &stmt->ops[0], 4),
		 a, NONE, NONE);
}

void
ptx_lower_sync(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	switch (stmt->opcode) {
	case PTX_OP_mbarrier:
		lower_mbarrier(l, stmt);
		break;
	case PTX_OP_cp:
		if (ptx_has(stmt, PTX_M_BULK))
			lower_bulk(l, stmt);
		else
			lower_cp_arrive(l, stmt);
		break;
	case PTX_OP_mapa:
		lower_mapa(l, stmt);
		break;
	case PTX_OP_getctarank:
		lower_ctarank(l, stmt);
		break;
	default:
		ptx_unsupported(l);
		break;
	}
}
