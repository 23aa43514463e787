/* Matrix instructions: mma, wmma, ldmatrix, stmatrix, movmatrix. */
#include "remote/device_cpu/ptx/exec.h"
#include "remote/device_cpu/ptx/lower.h"

#include <string.h>

enum { NONE = PTX_NO_VALUE };

static const struct {
	enum ptx_modifier modifier;
	uint16_t m, n, k;
} shapes[] = {
	{PTX_M_M8N8K4, 8, 8, 4},       {PTX_M_M8N8K16, 8, 8, 16},     {PTX_M_M8N8K32, 8, 8, 32},
	{PTX_M_M8N8K128, 8, 8, 128},   {PTX_M_M16N8K4, 16, 8, 4},     {PTX_M_M16N8K8, 16, 8, 8},
	{PTX_M_M16N8K16, 16, 8, 16},   {PTX_M_M16N8K32, 16, 8, 32},   {PTX_M_M16N8K64, 16, 8, 64},
	{PTX_M_M16N8K128, 16, 8, 128}, {PTX_M_M16N8K256, 16, 8, 256}, {PTX_M_M16N16K16, 16, 16, 16},
	{PTX_M_M16N16K8, 16, 16, 8},   {PTX_M_M32N8K16, 32, 8, 16},   {PTX_M_M8N32K16, 8, 32, 16},
};

static int
find_shape(const struct ptx_stmt *stmt, struct ptx_matrix *matrix)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		if (ptx_has(stmt, shapes[i].modifier)) {
			matrix->m = shapes[i].m;
			matrix->n = shapes[i].n;
			matrix->k = shapes[i].k;
			return 1;
		}
	}
	return 0;
}

/* Bits of an element as it lies in a register; 0: not a matrix type */
static uint32_t
element_bits(enum ptx_type type)
{
	switch (type) {
	case PTX_T_F16:
	case PTX_T_BF16:
		return 16;
	case PTX_T_TF32:
	case PTX_T_F32:
	case PTX_T_S32:
		return 32;
	case PTX_T_F64:
		return 64;
	case PTX_T_S8:
	case PTX_T_U8:
	case PTX_T_E4M3:
	case PTX_T_E5M2:
		return 8;
	case PTX_T_S4:
	case PTX_T_U4:
		return 4;
	case PTX_T_B1:
		return 1;
	default:
		return 0;
	}
}

static uint32_t
registers_for(uint32_t elements, enum ptx_type type)
{
	uint32_t bits = element_bits(type);

	return bits == 64 ? elements / PTX_LANES : elements / PTX_LANES * bits / 32;
}

static uint8_t
register_size(enum ptx_type type)
{
	return type == PTX_T_F64 ? 8 : 4;
}

/* The elements of "{a, b}", or a register alone. */
static uint32_t
count_registers(const struct ptx_operand *op)
{
	return op->kind == PTX_O_VECTOR ? op->count : 1;
}

static const struct ptx_operand *
register_of(const struct ptx_operand *op, uint32_t k)
{
	return op->kind == PTX_O_VECTOR ? &op->elems[k] : op;
}

static int
add_uses(struct ptx_lower *l, const struct ptx_operand *op, enum ptx_type type, uint32_t *list,
	 uint32_t *count)
{
	for (uint32_t k = 0; k < count_registers(op); k++)
		list[(*count)++] = ptx_use_size(l, register_of(op, k), register_size(type));
	return (int)count_registers(op);
}

static void
finish(struct ptx_lower *l, enum ptx_handler handler, struct ptx_matrix *matrix, uint32_t *list,
       uint32_t ndefs, uint32_t count, uint32_t address, uint32_t stride, int32_t offset)
{
	struct ptx_ir *ir = ptx_emit(l, handler, NONE, address, stride, NONE);

	ir->list = list;
	ir->nlist = count;
	ir->ndefs = ndefs;
	ir->roles |= PTX_LIST_DATA | PTX_LIST_USE | PTX_LIST_DEF;
	ir->insn.data = matrix;
	ir->insn.offset = offset;
	matrix->regs = list;
}

static int
is_integer(enum ptx_type type)
{
	return type == PTX_T_S8 || type == PTX_T_U8 || type == PTX_T_S4 || type == PTX_T_U4 ||
	       type == PTX_T_B1;
}

/* Takes the registers of D, A, B and C; a further one with @metadata. */
static void
emit_mma(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_handler handler,
	 struct ptx_matrix *x, const struct ptx_operand *metadata)
{
	uint32_t *list = ptx_list(l, x->nd + x->na + x->nb + x->nc + (metadata != NULL));
	uint32_t count = x->nd;

	if (count_registers(&stmt->ops[0]) != x->nd || count_registers(&stmt->ops[1]) != x->na ||
	    count_registers(&stmt->ops[2]) != x->nb || count_registers(&stmt->ops[3]) != x->nc) {
		ptx_unsupported(l);
		return;
	}
	add_uses(l, &stmt->ops[1], x->type_a, list, &count);
	add_uses(l, &stmt->ops[2], x->type_b, list, &count);
	add_uses(l, &stmt->ops[3], x->type_c, list, &count);
	if (metadata)
		list[count++] = ptx_use_size(l, metadata, 4);
	for (uint32_t k = 0; k < x->nd; k++)
		list[k] = ptx_result(l, register_of(&stmt->ops[0], k), register_size(x->type_d));
	finish(l, handler, x, list, x->nd, count, NONE, NONE, 0);
}

/* Of ".row.col": is the @which-th one ".col"? */
static uint8_t
layout_is_col(const struct ptx_stmt *stmt, int which)
{
	const char *p = stmt->text.text, *end = p + stmt->text.len;

	for (; end - p >= 4; p++) {
		if ((!memcmp(p, ".row", 4) || !memcmp(p, ".col", 4)) && which-- == 0)
			return p[1] == 'c';
	}
	return 0;
}

/* m8n8k4 of f16 is Volta's own arrangement: four products, each of eight lanes. */
static void
lower_mma_quads(struct ptx_lower *l, const struct ptx_stmt *stmt, struct ptx_matrix *x)
{
	if (x->type_b != PTX_T_F16 || (x->type_c != PTX_T_F16 && x->type_c != PTX_T_F32) ||
	    (x->type_d != PTX_T_F16 && x->type_d != PTX_T_F32)) {
		ptx_unsupported(l);
		return;
	}
	x->col_a = layout_is_col(stmt, 0);
	x->col_b = layout_is_col(stmt, 1);
	x->na = x->nb = 2;
	x->nc = x->type_c == PTX_T_F32 ? 8 : 4;
	x->nd = x->type_d == PTX_T_F32 ? 8 : 4;
	emit_mma(l, stmt, PTX_H_mma_quads, x, NULL);
}

/*
 * mma.sp: of A's elements every other one is there, and a register says which: a lane's 16 or 32
 * bits are for one row (exec_matrix.c). The selector says which lanes of four have them.
 */
static int
sparse_selector(const struct ptx_stmt *stmt, struct ptx_matrix *x)
{
	uint32_t stored = x->k / 2 * element_bits(x->type_a);
	const struct ptx_operand *selector = &stmt->ops[5];
	/* of four lanes, how many are needed */
	uint32_t lanes = stored / 128 * (element_bits(x->type_a) >= 16 ? 1 : 2);

	if (stmt->nops != 6 || x->m != 16 || (stored != 128 && stored != 256) ||
	    selector->kind != PTX_O_IMM || (uint64_t)selector->imm >= 4 / lanes)
		return 0;
	x->sparse = 1;
	x->selector = (uint8_t)selector->imm;
	return 1;
}

static void
lower_mma(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	struct ptx_matrix *x = ptx_lower_alloc(l, sizeof(*x));
	int sparse = ptx_has(stmt, PTX_M_SP) || ptx_has(stmt, PTX_M_SP_ORDERED_METADATA);

	if (stmt->nops < 4 || stmt->ntypes < 4 || !find_shape(stmt, x) ||
	    ptx_has(stmt, PTX_M_BLOCK_SCALE)) {
		ptx_unsupported(l);
		return;
	}
	x->type_d = stmt->types[0];
	x->type_a = stmt->types[1];
	x->type_b = stmt->types[2];
	x->type_c = stmt->types[3];
	x->saturate = (uint8_t)ptx_has(stmt, PTX_M_SATFINITE);
	x->bit_and = (uint8_t)ptx_has(stmt, PTX_M_AND);

	uint32_t bits = element_bits(x->type_a);

	if (x->type_a == PTX_T_F16 && x->m == 8 && x->k == 4 && !sparse) {
		lower_mma_quads(l, stmt, x);
		return;
	}
	if (!bits || element_bits(x->type_b) != bits || !element_bits(x->type_c) ||
	    !element_bits(x->type_d) || x->k * bits % 128 ||
	    is_integer(x->type_a) != (x->type_d == PTX_T_S32) ||
	    (x->type_a == PTX_T_F64) != (x->type_d == PTX_T_F64) ||
	    is_integer(x->type_a) != (x->type_c == PTX_T_S32) ||
	    (x->type_a == PTX_T_F64) != (x->type_c == PTX_T_F64)) {
		if (x->type_a != PTX_T_F64) {
			ptx_unsupported(l);
			return;
		}
	}
	if (sparse && !sparse_selector(stmt, x)) {
		ptx_unsupported(l);
		return;
	}
	x->nd = (uint8_t)registers_for(x->m * x->n, x->type_d);
	x->na = (uint8_t)registers_for(x->m * x->k / (sparse ? 2 : 1), x->type_a);
	x->nb = (uint8_t)registers_for(x->n * x->k, x->type_b);
	x->nc = (uint8_t)registers_for(x->m * x->n, x->type_c);
	emit_mma(l, stmt, PTX_H_mma, x, sparse ? &stmt->ops[4] : NULL);
}

/* ldmatrix: up to four 8x8 matrices of 16-bit elements, a row's address from each lane */
static void
lower_ldmatrix(struct ptx_lower *l, const struct ptx_stmt *stmt, int store)
{
	const struct ptx_operand *memory = &stmt->ops[store ? 0 : 1];
	const struct ptx_operand *regs = &stmt->ops[store ? 1 : 0];
	uint32_t n = ptx_has(stmt, PTX_M_X4) ? 4 : ptx_has(stmt, PTX_M_X2) ? 2 : 1;
	enum ptx_space space = PTX_SPACE_SHARED;
	uint32_t address, *list;
	int32_t offset;

	if (stmt->nops != 2 || !ptx_has(stmt, PTX_M_M8N8) || stmt->ntypes != 1 ||
	    stmt->types[0] != PTX_T_B16 || count_registers(regs) != n ||
	    (ptx_space_of(stmt) != PTX_SPACE_SHARED && ptx_space_of(stmt) != PTX_SPACE_GENERIC)) {
		ptx_unsupported(l);
		return;
	}
	/* Without a space the address is generic, and points into shared memory. */
	if (ptx_space_of(stmt) == PTX_SPACE_GENERIC)
		space = PTX_SPACE_GENERIC;
	int way = ptx_memory_operand(l, memory, &space, &address, &offset);

	if (way < 0)
		return;
	list = ptx_list(l, n);
	for (uint32_t k = 0; k < n; k++)
		list[k] = store ? ptx_use_size(l, register_of(regs, k), 4)
				: ptx_result(l, register_of(regs, k), 4);
	struct ptx_ir *ir =
		ptx_emit(l, store ? PTX_H_stmatrix : PTX_H_ldmatrix, NONE, address, NONE, NONE);

	ir->list = list;
	ir->nlist = n;
	ir->roles |= store ? PTX_LIST_USE : PTX_LIST_DEF;
	ir->insn.offset = offset;
	ir->insn.n = (uint8_t)n;
	if (ptx_has(stmt, PTX_M_TRANS))
		ir->insn.flags |= PTX_INSN_FLAG_B;
	if (space == PTX_SPACE_GENERIC)
		ir->insn.flags |= PTX_INSN_FLAG_C;
}

static void
lower_movmatrix(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	if (stmt->nops != 2 || !ptx_has(stmt, PTX_M_TRANS)) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use_size(l, &stmt->ops[1], 4);

	ptx_emit(l, PTX_H_movmatrix, ptx_result(l, &stmt->ops[0], 4), a, NONE, NONE);
}

/*
 * wmma: which lane holds which element is the machine's own business. Element e of a matrix is in
 * lane e % 32, at place e / 32 of the lane's registers. f16 operands have twice the registers that
 * they need; the second half stays unused. Where elements are smaller than a byte, a line has 16
 * of them, and the lanes have four bytes each, one after another.
 */
static uint32_t
wmma_registers(const struct ptx_matrix *x, int which, enum ptx_type type)
{
	uint32_t elements = which == 'a' ? x->m * x->k : which == 'b' ? x->n * x->k : x->m * x->n;
	uint32_t n = registers_for(elements, type);

	if (type == PTX_T_F16 && which != 'c')
		n = 8; /* whatever the shape */
	return n;
}

static void
lower_wmma_memory(struct ptx_lower *l, const struct ptx_stmt *stmt, int store)
{
	struct ptx_matrix *x = ptx_lower_alloc(l, sizeof(*x));
	const struct ptx_operand *memory = &stmt->ops[store ? 0 : 1];
	const struct ptx_operand *regs = &stmt->ops[store ? 1 : 0];
	enum ptx_space space = ptx_space_of(stmt);
	uint32_t address, stride, *list, n;
	int32_t offset;

	if (stmt->nops < 2 || stmt->ntypes != 1 || !find_shape(stmt, x) ||
	    !element_bits(stmt->types[0])) {
		ptx_unsupported(l);
		return;
	}
	x->which = ptx_has(stmt, PTX_M_A) ? 'a' : ptx_has(stmt, PTX_M_B) ? 'b' : 'c';
	x->type_d = stmt->types[0];
	x->col_c = (uint8_t)ptx_has(stmt, PTX_M_COL);
	if (element_bits(x->type_d) < 8 &&
	    (store || x->which == 'c' || x->col_c != (x->which == 'b') ||
	     x->k * element_bits(x->type_d) != 128)) {
		ptx_unsupported(l);
		return;
	}
	n = wmma_registers(x, x->which, x->type_d);
	if (count_registers(regs) != n) {
		ptx_unsupported(l);
		return;
	}
	int way = ptx_memory_operand(l, memory, &space, &address, &offset);

	if (way < 0)
		return;
	x->way = (uint8_t)way;
	x->nd = (uint8_t)n;
	if (stmt->nops > 2) {
		stride = ptx_use_size(l, &stmt->ops[2], 4);
	} else {
		/* rows, or columns, without gaps */
		uint32_t rows = x->which == 'b' ? x->k : x->m;
		uint32_t columns = x->which == 'a' ? x->k : x->n;

		stride = ptx_value_literal(l, 4, x->col_c ? rows : columns);
	}
	list = ptx_list(l, n);
	for (uint32_t k = 0; k < n; k++)
		list[k] = store ? ptx_use_size(l, register_of(regs, k), register_size(x->type_d))
				: ptx_result(l, register_of(regs, k), register_size(x->type_d));
	finish(l, store ? PTX_H_wmma_store : PTX_H_wmma_load, x, list, store ? 0 : n, n, address,
	       stride, offset);
}

static void
lower_wmma_mma(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	struct ptx_matrix *x = ptx_lower_alloc(l, sizeof(*x));

	if (stmt->nops != 4 || stmt->ntypes < 1 || !find_shape(stmt, x)) {
		ptx_unsupported(l);
		return;
	}
	/* f16 operands are not written: .f32.f32 are the types of D and C */
	if (stmt->ntypes == 2) {
		x->type_d = stmt->types[0];
		x->type_a = x->type_b = PTX_T_F16;
		x->type_c = stmt->types[1];
	} else if (stmt->ntypes == 4) {
		x->type_d = stmt->types[0];
		x->type_a = stmt->types[1];
		x->type_b = stmt->types[2];
		x->type_c = stmt->types[3];
	} else {
		ptx_unsupported(l);
		return;
	}
	uint32_t bits = element_bits(x->type_a);

	if (!bits || element_bits(x->type_b) != bits || element_bits(x->type_c) < 16 ||
	    element_bits(x->type_d) < 16 || is_integer(x->type_c) || is_integer(x->type_d) ||
	    (bits < 8 && x->k * bits != 128)) {
		ptx_unsupported(l);
		return;
	}
	x->saturate = (uint8_t)ptx_has(stmt, PTX_M_SATFINITE);
	x->bit_and = (uint8_t)ptx_has(stmt, PTX_M_AND);
	x->nd = (uint8_t)wmma_registers(x, 'c', x->type_d);
	x->na = (uint8_t)wmma_registers(x, 'a', x->type_a);
	x->nb = (uint8_t)wmma_registers(x, 'b', x->type_b);
	x->nc = (uint8_t)wmma_registers(x, 'c', x->type_c);
	emit_mma(l, stmt, PTX_H_wmma_mma, x, NULL);
}

void
ptx_lower_matrix(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	switch (stmt->opcode) {
	case PTX_OP_mma:
		lower_mma(l, stmt);
		break;
	case PTX_OP_ldmatrix:
		lower_ldmatrix(l, stmt, 0);
		break;
	case PTX_OP_stmatrix:
		lower_ldmatrix(l, stmt, 1);
		break;
	case PTX_OP_movmatrix:
		lower_movmatrix(l, stmt);
		break;
	case PTX_OP_wmma:
		if (ptx_has(stmt, PTX_M_LOAD))
			lower_wmma_memory(l, stmt, 0);
		else if (ptx_has(stmt, PTX_M_STORE))
			lower_wmma_memory(l, stmt, 1);
		else
			lower_wmma_mma(l, stmt);
		break;
	default:
		ptx_unsupported(l);
		break;
	}
}
