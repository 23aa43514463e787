/* Loads, stores, copies, fences, atomic operations. */
#include "remote/device_cpu/ptx/exec.h"
#include "remote/device_cpu/ptx/lower.h"

enum { NONE = PTX_NO_VALUE };

/* The three ways to reach memory; handlers for each stand in this order. */
enum { BY_ADDRESS, BY_WINDOW, BY_LANE };

/*
 * An address as a register and an offset. Returns which way the space is reached, or -1. Windows
 * and local memory are addressed with 32 bits.
 */
int
ptx_memory_operand(struct ptx_lower *l, const struct ptx_operand *op, enum ptx_space *space,
		   uint32_t *ret_address, int32_t *ret_offset)
{
	int way = BY_ADDRESS;

	*ret_address = NONE;
	*ret_offset = 0;
	if (op->kind != PTX_O_MEMORY || op->count != 1 || op->imm > INT32_MAX ||
	    op->imm < INT32_MIN) {
		ptx_unsupported(l);
		return -1;
	}

	struct ptx_operand base = op->elems[0];

	/* The space of a variable is known even where the instruction does not say it. */
	if (*space == PTX_SPACE_GENERIC && base.kind == PTX_O_VARIABLE)
		*space = base.var->space;
	switch (*space) {
	case PTX_SPACE_SHARED:
		way = BY_WINDOW;
		break;
	case PTX_SPACE_LOCAL:
		way = BY_LANE;
		break;
	case PTX_SPACE_PARAM:
		/* Parameters of a call live in local memory, a kernel's own in their window. */
		way = l->code->function->entry ? BY_WINDOW : BY_LANE;
		if (base.kind == PTX_O_VARIABLE && !base.var->kernel_param)
			way = BY_LANE;
		break;
	case PTX_SPACE_GENERIC:
	case PTX_SPACE_GLOBAL:
	case PTX_SPACE_CONST:
	case PTX_SPACE_REG:
		break;
	}
	base.imm = base.kind == PTX_O_IMM ? base.imm : 0;
	*ret_offset = base.kind == PTX_O_IMM ? 0 : (int32_t)op->imm;
	if (base.kind == PTX_O_VARIABLE && base.var->space == PTX_SPACE_SHARED &&
	    way == BY_ADDRESS) {
		ptx_unsupported(l);
		return -1;
	}
	*ret_address = ptx_use_size(l, &base, way == BY_ADDRESS ? 8 : 4);
	return way;
}

/* The operand of a load, store or atomic operation; one in the cluster's memory is generic. */
static int
address_operand(struct ptx_lower *l, const struct ptx_stmt *stmt, const struct ptx_operand *op,
		enum ptx_space *space, uint32_t *ret_address, int32_t *ret_offset)
{
	if (!ptx_has(stmt, PTX_M_SHARED_CLUSTER))
		return ptx_memory_operand(l, op, space, ret_address, ret_offset);
	*ret_address = ptx_generic_address(l, op, PTX_SPACE_SHARED, 1);
	*ret_offset = 0;
	*space = PTX_SPACE_GENERIC;
	return BY_ADDRESS;
}

static void
describe(struct ptx_ir *ir, int32_t offset, enum ptx_space space)
{
	ir->insn.offset = offset;
	if (space == PTX_SPACE_PARAM)
		ir->insn.flags |= PTX_INSN_FLAG_A; /* which window */
}

static int
is_memory_type(enum ptx_type type)
{
	return type != PTX_T_NONE && type != PTX_T_PRED;
}

/* A parameter of the kernel at a known offset is a value that the frame holds from its start. */
static int
load_parameter(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type type = stmt->types[0];
	const struct ptx_operand *to = &stmt->ops[0], *from = &stmt->ops[1];
	uint32_t count = to->kind == PTX_O_VECTOR ? to->count : 1;
	uint32_t bytes = ptx_type_size(type);

	if (from->kind != PTX_O_MEMORY || from->count != 1 ||
	    from->elems[0].kind != PTX_O_VARIABLE || !from->elems[0].var->kernel_param || bytes > 8)
		return 0;

	uint64_t at = from->elems[0].var->offset + (uint64_t)from->imm;

	if (at > l->code->function->param_size ||
	    at + (uint64_t)count * bytes > l->code->function->param_size || at % bytes)
		return 0; /* faults when executed */
	for (uint32_t i = 0; i < count; i++) {
		const struct ptx_operand *elem = to->kind == PTX_O_VECTOR ? &to->elems[i] : to;
		struct ptx_fixed f = {
			.kind = PTX_FIXED_PARAM,
			.type = (uint8_t)type,
			.value = at + (uint64_t)i * bytes,
		};

		if (elem->kind == PTX_O_SINK)
			continue;
		if (elem->kind != PTX_O_REG || l->values[elem->reg].size == PTX_PREDICATE ||
		    l->values[elem->reg].size > 8 || l->values[elem->reg].size < bytes) {
			ptx_unsupported(l);
			return 1;
		}
		f.size = l->values[elem->reg].size;
		ptx_emit(l, PTX_H_mov_16 + ptx_size_index(f.size), elem->reg,
			 ptx_value_fixed(l, &f), NONE, NONE);
	}
	return 1;
}

/* ld.u32 into a 64-bit register and the like: the result is resized when it has arrived. */
static uint32_t
load_result(struct ptx_lower *l, const struct ptx_operand *op, enum ptx_type type)
{
	uint8_t size = (uint8_t)ptx_type_reg_size(type);

	if (op->kind == PTX_O_REG && l->values[op->reg].size < size) {
		ptx_unsupported(l);
		return op->reg;
	}
	return ptx_result_signed(l, op, size, ptx_type_is_signed(type));
}

static void
lower_load(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type type = stmt->types[0];
	enum ptx_space space = ptx_space_of(stmt);
	uint32_t bytes = ptx_type_size(type), address;
	int32_t offset;
	int sign = ptx_type_is_signed(type);

	/* A cache policy may follow the address. */
	if (stmt->nops < 2 || !is_memory_type(type)) {
		ptx_unsupported(l);
		return;
	}
	if (space == PTX_SPACE_PARAM && load_parameter(l, stmt))
		return;

	int way = address_operand(l, stmt, &stmt->ops[1], &space, &address, &offset);

	if (way < 0)
		return;
	if (stmt->ops[0].kind != PTX_O_VECTOR && bytes <= 8) {
		static const uint16_t handlers[] = {
			[1] = PTX_H_ld_u8_global,
			[2] = PTX_H_ld_16_global,
			[4] = PTX_H_ld_32_global,
			[8] = PTX_H_ld_64_global,
		};
		enum ptx_handler h = handlers[bytes];

		if (bytes == 1 && sign)
			h = PTX_H_ld_s8_global;
		describe(ptx_emit(l, h + way, load_result(l, &stmt->ops[0], type), address, NONE,
				  NONE),
			 offset, space);
		return;
	}

	/* Several elements; a 128-bit one is two of 64 bits. */
	uint32_t count = stmt->ops[0].kind == PTX_O_VECTOR ? stmt->ops[0].count : 1;
	uint32_t *list = ptx_list(l, 2 * count);
	enum ptx_handler h = bytes == 1   ? PTX_H_ldv_u8_global
			     : bytes == 2 ? PTX_H_ldv_16_global
			     : bytes == 4 ? PTX_H_ldv_32_global
					  : PTX_H_ldv_64_global;

	if (count > 8 || (bytes == 16 && count > 2)) {
		ptx_unsupported(l);
		return;
	}
	if (bytes == 16) {
		uint32_t wide[2];

		for (uint32_t i = 0; i < count; i++) {
			const struct ptx_operand *op = stmt->ops[0].kind == PTX_O_VECTOR
							       ? &stmt->ops[0].elems[i]
							       : &stmt->ops[0];

			list[2 * i] = ptx_value_new(l, 8);
			list[2 * i + 1] = ptx_value_new(l, 8);
			wide[i] = ptx_result(l, op, 16);
		}
		struct ptx_ir *ir = ptx_emit(l, h + way, NONE, address, NONE, NONE);

		describe(ir, offset, space);
		ir->roles |= PTX_LIST_DEF;
		ir->list = list;
		ir->nlist = 2 * count;
		ir->insn.n = (uint8_t)(2 * count);
		for (uint32_t i = 0; i < count; i++)
			ptx_emit(l, PTX_H_join_128, wide[i], list[2 * i], list[2 * i + 1], NONE);
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct ptx_operand *op = &stmt->ops[0].elems[i];

		list[i] = load_result(l, op, type);
		if (bytes == 1 && sign) {
			/* the handler zero-extends */
			if (op->kind == PTX_O_REG && l->values[op->reg].size != 2)
				ptx_unsupported(l);
		}
	}
	struct ptx_ir *ir = ptx_emit(l, h + way, NONE, address, NONE, NONE);

	describe(ir, offset, space);
	ir->roles |= PTX_LIST_DEF;
	ir->list = list;
	ir->nlist = count;
	ir->insn.n = (uint8_t)count;
	for (uint32_t i = 0; bytes == 1 && sign && i < count; i++)
		ptx_emit(l, PTX_H_ext_s8_16, list[i], list[i], NONE, NONE);
}

static uint32_t
store_operand(struct ptx_lower *l, const struct ptx_operand *op, enum ptx_type type)
{
	uint8_t size = (uint8_t)ptx_type_reg_size(type);

	if (op->kind == PTX_O_REG && l->values[op->reg].size < size) {
		ptx_unsupported(l);
		return op->reg;
	}
	return ptx_use(l, op, type);
}

static void
lower_store(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type type = stmt->types[0];
	enum ptx_space space = ptx_space_of(stmt);
	uint32_t bytes = ptx_type_size(type), address;
	int32_t offset;

	if (stmt->nops < 2 || !is_memory_type(type)) {
		ptx_unsupported(l);
		return;
	}
	int way = address_operand(l, stmt, &stmt->ops[0], &space, &address, &offset);

	if (way < 0 || space == PTX_SPACE_CONST) {
		ptx_unsupported(l);
		return;
	}
	if (stmt->ops[1].kind != PTX_O_VECTOR && bytes <= 8) {
		static const uint16_t handlers[] = {
			[1] = PTX_H_st_8_global,
			[2] = PTX_H_st_16_global,
			[4] = PTX_H_st_32_global,
			[8] = PTX_H_st_64_global,
		};
		uint32_t value = store_operand(l, &stmt->ops[1], type);

		describe(ptx_emit(l, handlers[bytes] + way, NONE, address, value, NONE), offset,
			 space);
		return;
	}

	uint32_t count = stmt->ops[1].kind == PTX_O_VECTOR ? stmt->ops[1].count : 1;
	uint32_t *list = ptx_list(l, 2 * count);
	enum ptx_handler h = bytes == 1   ? PTX_H_stv_8_global
			     : bytes == 2 ? PTX_H_stv_16_global
			     : bytes == 4 ? PTX_H_stv_32_global
					  : PTX_H_stv_64_global;

	if (count > 8 || (bytes == 16 && count > 2)) {
		ptx_unsupported(l);
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct ptx_operand *op =
			stmt->ops[1].kind == PTX_O_VECTOR ? &stmt->ops[1].elems[i] : &stmt->ops[1];

		if (bytes == 16) {
			uint32_t wide = ptx_use_size(l, op, 16);

			list[2 * i] = ptx_temp(l, PTX_H_low_128, wide, NONE, NONE);
			list[2 * i + 1] = ptx_temp(l, PTX_H_high_128, wide, NONE, NONE);
		} else {
			list[i] = store_operand(l, op, type);
		}
	}
	if (bytes == 16)
		count *= 2;
	struct ptx_ir *ir = ptx_emit(l, h + way, NONE, address, NONE, NONE);

	describe(ir, offset, space);
	ir->roles |= PTX_LIST_USE;
	ir->list = list;
	ir->nlist = count;
	ir->insn.n = (uint8_t)count;
}

/* cp.async: done at once, so that committing and waiting have nothing to do. */
static void
lower_cp(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	uint32_t to, from, size;
	int32_t to_offset, from_offset;
	enum ptx_space shared = PTX_SPACE_SHARED, global = PTX_SPACE_GLOBAL;

	if (ptx_has(stmt, PTX_M_BULK) || ptx_has(stmt, PTX_M_MBARRIER)) {
		ptx_lower_sync(l, stmt);
		return;
	}
	if (!ptx_has(stmt, PTX_M_ASYNC)) {
		ptx_unsupported(l);
		return;
	}
	if (ptx_has(stmt, PTX_M_COMMIT_GROUP) || ptx_has(stmt, PTX_M_WAIT_GROUP) ||
	    ptx_has(stmt, PTX_M_WAIT_ALL))
		return;
	if (stmt->nops < 3 || stmt->ops[2].kind != PTX_O_IMM ||
	    (stmt->ops[2].imm != 4 && stmt->ops[2].imm != 8 && stmt->ops[2].imm != 16)) {
		ptx_unsupported(l);
		return;
	}
	if (ptx_memory_operand(l, &stmt->ops[0], &shared, &to, &to_offset) < 0 ||
	    ptx_memory_operand(l, &stmt->ops[1], &global, &from, &from_offset) < 0)
		return;

	/* The fourth operand says how many bytes are read; the rest is zero. It may be a
	 * predicate: read nothing at all. */
	size = ptx_value_literal(l, 4, (uint64_t)stmt->ops[2].imm);
	if (stmt->nops > 3 && stmt->ops[3].kind == PTX_O_REG &&
	    l->values[stmt->ops[3].reg].size == PTX_PREDICATE)
		size = ptx_temp(l, PTX_H_selp_32, ptx_value_literal(l, 4, 0), size,
				ptx_use_predicate(l, &stmt->ops[3]));
	else if (stmt->nops > 3 && !ptx_has(stmt, PTX_M_L2_CACHE_HINT))
		size = ptx_use_size(l, &stmt->ops[3], 4);
	else if (stmt->nops > 4)
		size = ptx_use_size(l, &stmt->ops[3], 4);
	/* the offset of the destination goes into its address */
	if (to_offset)
		to = ptx_temp(l, PTX_H_add_32, to, ptx_value_literal(l, 4, (uint32_t)to_offset),
			      NONE);
	struct ptx_ir *ir = ptx_emit(l, PTX_H_cp_async, NONE, from, to, size);

	ir->insn.offset = from_offset;
	ir->insn.n = (uint8_t)stmt->ops[2].imm;
}

void
ptx_lower_memory(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	switch (stmt->opcode) {
	case PTX_OP_ld:
	case PTX_OP_ldu:
		lower_load(l, stmt);
		break;
	case PTX_OP_st:
		if (ptx_has(stmt, PTX_M_ASYNC) || ptx_has(stmt, PTX_M_BULK))
			ptx_unsupported(l);
		else
			lower_store(l, stmt);
		break;
	case PTX_OP_cp:
		lower_cp(l, stmt);
		break;
	case PTX_OP_membar:
	case PTX_OP_fence:
		ptx_emit(l, PTX_H_fence, NONE, NONE, NONE, NONE);
		break;
	case PTX_OP_createpolicy:
		/* A policy is only a hint: any value does. */
		if (stmt->nops < 1)
			ptx_unsupported(l);
		else
			ptx_emit(l, PTX_H_mov_64, ptx_result(l, &stmt->ops[0], 8),
				 ptx_value_literal(l, 8, 0), NONE, NONE);
		break;
	case PTX_OP_prefetch:
	case PTX_OP_prefetchu:
	case PTX_OP_applypriority:
	case PTX_OP_discard:
		break; /* hints */
	default:
		ptx_unsupported(l);
		break;
	}
}

/* Atomic operations */

static enum ptx_atomic
atomic_operation(const struct ptx_stmt *stmt)
{
	static const struct {
		enum ptx_modifier modifier;
		enum ptx_atomic operation;
	} operations[] = {
		{PTX_M_ADD, PTX_ATOMIC_ADD},   {PTX_M_MIN, PTX_ATOMIC_MIN},
		{PTX_M_MAX, PTX_ATOMIC_MAX},   {PTX_M_AND, PTX_ATOMIC_AND},
		{PTX_M_OR, PTX_ATOMIC_OR},     {PTX_M_XOR, PTX_ATOMIC_XOR},
		{PTX_M_INC, PTX_ATOMIC_INC},   {PTX_M_DEC, PTX_ATOMIC_DEC},
		{PTX_M_EXCH, PTX_ATOMIC_EXCH}, {PTX_M_CAS, PTX_ATOMIC_CAS},
	};

	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++)
		if (ptx_has(stmt, operations[i].modifier))
			return operations[i].operation;
	return PTX_ATOMIC_NONE;
}

static int
atomic_type_fits(enum ptx_atomic operation, enum ptx_type type)
{
	uint32_t size = ptx_type_size(type);

	switch (operation) {
	case PTX_ATOMIC_EXCH:
	case PTX_ATOMIC_CAS:
		return size == 2 || size == 4 || size == 8 || size == 16;
	case PTX_ATOMIC_INC:
	case PTX_ATOMIC_DEC:
		return type == PTX_T_U32;
	case PTX_ATOMIC_ADD:
	case PTX_ATOMIC_MIN:
	case PTX_ATOMIC_MAX:
		switch (type) {
		case PTX_T_F16:
		case PTX_T_BF16:
		case PTX_T_F16X2:
		case PTX_T_BF16X2:
		case PTX_T_F32:
		case PTX_T_F64:
			return 1;
		default:
			return size == 4 || size == 8;
		}
	case PTX_ATOMIC_AND:
	case PTX_ATOMIC_OR:
	case PTX_ATOMIC_XOR:
		return size == 4 || size == 8;
	case PTX_ATOMIC_NONE:
		break;
	}
	return 0;
}

/* One element of a vector, or the only one. */
static void
emit_atomic(struct ptx_lower *l, const struct ptx_stmt *stmt, const struct ptx_operand *result,
	    const struct ptx_operand *source, int way, enum ptx_space space, uint32_t address,
	    int32_t offset, enum ptx_atomic operation, enum ptx_type type)
{
	struct ptx_atomic_data *data = ptx_lower_alloc(l, sizeof(*data));
	uint8_t size = (uint8_t)ptx_type_reg_size(type);
	uint32_t b, c = NONE, dst = NONE;

	b = size == 16 ? ptx_use_size(l, source, 16) : ptx_use(l, source, type);
	if (operation == PTX_ATOMIC_CAS) {
		const struct ptx_operand *swap = &stmt->ops[stmt->opcode == PTX_OP_red ? 2 : 3];

		c = size == 16 ? ptx_use_size(l, swap, 16) : ptx_use(l, swap, type);
	}
	if (result && result->kind != PTX_O_SINK)
		dst = ptx_result(l, result, size);
	struct ptx_ir *ir = ptx_emit(l, PTX_H_atom, dst, address, b, c);

	describe(ir, offset, space);
	data->operation = operation;
	data->type = type;
	data->way = (uint8_t)way;
	data->size = (uint8_t)ptx_type_size(type);
	ir->insn.data = data;
	ir->insn.n = dst != NONE;
}

void
ptx_lower_atomic(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_atomic operation = atomic_operation(stmt);
	enum ptx_space space = ptx_space_of(stmt);
	enum ptx_type type = stmt->ntypes ? stmt->types[0] : PTX_T_NONE;
	int red = stmt->opcode == PTX_OP_red;
	const struct ptx_operand *memory = &stmt->ops[red ? 0 : 1];
	const struct ptx_operand *source = &stmt->ops[red ? 1 : 2];
	uint32_t address;
	int32_t offset;

	if (!operation || !atomic_type_fits(operation, type) || ptx_has(stmt, PTX_M_ASYNC) ||
	    stmt->nops < (red ? 2 : 3) + (operation == PTX_ATOMIC_CAS)) {
		ptx_unsupported(l);
		return;
	}
	int way = address_operand(l, stmt, memory, &space, &address, &offset);

	if (way < 0)
		return;
	if (source->kind != PTX_O_VECTOR) {
		emit_atomic(l, stmt, red ? NULL : &stmt->ops[0], source, way, space, address,
			    offset, operation, type);
		return;
	}
	/* A vector is atomic element by element. */
	for (uint32_t i = 0; i < source->count; i++) {
		const struct ptx_operand *result = NULL;

		if (!red) {
			if (stmt->ops[0].kind != PTX_O_VECTOR ||
			    stmt->ops[0].count != source->count) {
				ptx_unsupported(l);
				return;
			}
			result = &stmt->ops[0].elems[i];
		}
		emit_atomic(l, stmt, result, &source->elems[i], way, space, address,
			    offset + (int32_t)(i * ptx_type_size(type)), operation, type);
	}
}
