/* Comparing and choosing: setp, set, selp, slct, testp. */
#include "remote/device_cpu/ptx/lower.h"

enum { NONE = PTX_NO_VALUE };

enum comparison { C_NONE, C_EQ, C_NE, C_LT, C_LE, C_EQU, C_NEU, C_LTU, C_LEU, C_NUM, C_NAN };

static const struct {
	enum ptx_modifier modifier;
	enum comparison comparison;
	uint8_t swap; /* a > b is b < a */
} comparisons[] = {
	{PTX_M_EQ, C_EQ, 0},   {PTX_M_NE, C_NE, 0},   {PTX_M_LT, C_LT, 0},
	{PTX_M_LE, C_LE, 0},   {PTX_M_GT, C_LT, 1},   {PTX_M_GE, C_LE, 1},
	{PTX_M_LO, C_LT, 0},   {PTX_M_LS, C_LE, 0},   {PTX_M_HI, C_LT, 1},
	{PTX_M_HS, C_LE, 1},   {PTX_M_EQU, C_EQU, 0}, {PTX_M_NEU, C_NEU, 0},
	{PTX_M_LTU, C_LTU, 0}, {PTX_M_LEU, C_LEU, 0}, {PTX_M_GTU, C_LTU, 1},
	{PTX_M_GEU, C_LEU, 1}, {PTX_M_NUM, C_NUM, 0}, {PTX_M_NAN_CMP, C_NAN, 0},
};

static enum ptx_handler
float_handler(enum comparison c, int wide, int ftz)
{
	static const uint16_t f32[] = {
		[C_EQ] = PTX_H_eq_f32,   [C_NE] = PTX_H_ne_f32,   [C_LT] = PTX_H_lt_f32,
		[C_LE] = PTX_H_le_f32,   [C_EQU] = PTX_H_equ_f32, [C_NEU] = PTX_H_neu_f32,
		[C_LTU] = PTX_H_ltu_f32, [C_LEU] = PTX_H_leu_f32, [C_NUM] = PTX_H_num_f32,
		[C_NAN] = PTX_H_nan_f32,
	};
	static const uint16_t f64[] = {
		[C_EQ] = PTX_H_eq_f64,   [C_NE] = PTX_H_ne_f64,   [C_LT] = PTX_H_lt_f64,
		[C_LE] = PTX_H_le_f64,   [C_EQU] = PTX_H_equ_f64, [C_NEU] = PTX_H_neu_f64,
		[C_LTU] = PTX_H_ltu_f64, [C_LEU] = PTX_H_leu_f64, [C_NUM] = PTX_H_num_f64,
		[C_NAN] = PTX_H_nan_f64,
	};

	return wide ? f64[c] : f32[c] + ftz; /* the flushing one follows */
}

static enum ptx_handler
int_handler(enum comparison c, enum ptx_type type)
{
	switch (c) {
	case C_EQ:
		return PTX_H_eq_16 + ptx_size_index(ptx_type_size(type));
	case C_NE:
		return PTX_H_ne_16 + ptx_size_index(ptx_type_size(type));
	case C_LT:
		return PTX_H_lt_u16 + ptx_type_index(type);
	case C_LE:
		return PTX_H_le_u16 + ptx_type_index(type);
	default:
		return PTX_H_NONE;
	}
}

/* A half-precision operand as f32, which holds it exactly. */
static uint32_t
use_as_float(struct ptx_lower *l, const struct ptx_operand *op, enum ptx_type type, int ftz)
{
	uint32_t value = ptx_use(l, op, type);

	if (type == PTX_T_F16 && ftz)
		value = ptx_temp(l, PTX_H_hflush_f16, value, NONE, NONE);
	if (type == PTX_T_F16)
		return ptx_temp(l, PTX_H_cvt_f16_f32, value, NONE, NONE);
	if (type == PTX_T_BF16)
		return ptx_temp(l, PTX_H_cvt_bf16_f32, value, NONE, NONE);
	return value;
}

/* The comparison itself, as a predicate. */
static uint32_t
compare(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_type type, uint32_t a,
	uint32_t b)
{
	enum comparison c = C_NONE;
	int swap = 0;
	enum ptx_handler h;

	for (size_t i = 0; i < sizeof(comparisons) / sizeof(*comparisons) && !c; i++) {
		if (ptx_has(stmt, comparisons[i].modifier)) {
			c = comparisons[i].comparison;
			swap = comparisons[i].swap;
		}
	}
	if (!c) {
		ptx_unsupported(l);
		return ptx_value_literal(l, PTX_PREDICATE, 0);
	}
	if (ptx_type_is_float(type))
		h = float_handler(c, type == PTX_T_F64,
				  type == PTX_T_F32 && ptx_has(stmt, PTX_M_FTZ));
	else
		h = int_handler(c, type);
	if (!h) {
		ptx_unsupported(l);
		return ptx_value_literal(l, PTX_PREDICATE, 0);
	}
	return swap ? ptx_temp(l, h, b, a, NONE) : ptx_temp(l, h, a, b, NONE);
}

static enum ptx_handler
join_handler(const struct ptx_stmt *stmt)
{
	if (ptx_has(stmt, PTX_M_AND))
		return PTX_H_pand;
	if (ptx_has(stmt, PTX_M_OR))
		return PTX_H_por;
	if (ptx_has(stmt, PTX_M_XOR))
		return PTX_H_pxor;
	return PTX_H_NONE;
}

static int
can_compare(enum ptx_type type)
{
	uint32_t size = ptx_type_size(type);

	switch (type) {
	case PTX_T_F16X2:
	case PTX_T_BF16X2:
	case PTX_T_PRED:
		return 0;
	default:
		return size == 2 || size == 4 || size == 8;
	}
}

/* setp on packed halves: the low halves give p, the high ones q. */
static void
setp_packed(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_type type)
{
	enum ptx_type half = type == PTX_T_F16X2 ? PTX_T_F16 : PTX_T_BF16;
	enum ptx_handler to_float = half == PTX_T_F16 ? PTX_H_cvt_f16_f32 : PTX_H_cvt_bf16_f32;
	uint32_t a = ptx_use(l, &stmt->ops[1], type);
	uint32_t b = ptx_use(l, &stmt->ops[2], type);
	enum ptx_handler join = join_handler(stmt);
	uint32_t results[2];

	if (type == PTX_T_F16X2 && ptx_has(stmt, PTX_M_FTZ)) {
		a = ptx_temp(l, PTX_H_hflush_f16x2, a, NONE, NONE);
		b = ptx_temp(l, PTX_H_hflush_f16x2, b, NONE, NONE);
	}
	for (int high = 0; high < 2; high++) {
		enum ptx_handler part = high ? PTX_H_high_32_16 : PTX_H_narrow_32_16;
		uint32_t x = ptx_temp(l, to_float, ptx_temp(l, part, a, NONE, NONE), NONE, NONE);
		uint32_t y = ptx_temp(l, to_float, ptx_temp(l, part, b, NONE, NONE), NONE, NONE);

		results[high] = compare(l, stmt, half, x, y);
		if (join)
			results[high] = ptx_temp(l, join, results[high],
						 ptx_use_predicate(l, &stmt->ops[3]), NONE);
	}
	ptx_emit(l, PTX_H_pmov, ptx_result(l, &stmt->ops[0], PTX_PREDICATE), results[0], NONE,
		 NONE);
	if (stmt->ops[0].pair)
		ptx_emit(l, PTX_H_pmov, ptx_result(l, stmt->ops[0].pair, PTX_PREDICATE), results[1],
			 NONE, NONE);
}

static void
lower_setp(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type type = stmt->types[0];
	enum ptx_handler join = join_handler(stmt);
	int ftz = ptx_has(stmt, PTX_M_FTZ);

	if (stmt->nops != (join ? 4 : 3)) {
		ptx_unsupported(l);
		return;
	}
	if (type == PTX_T_F16X2 || type == PTX_T_BF16X2) {
		setp_packed(l, stmt, type);
		return;
	}
	if (!can_compare(type)) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = use_as_float(l, &stmt->ops[1], type, ftz);
	uint32_t b = use_as_float(l, &stmt->ops[2], type, ftz);
	uint32_t result = compare(l, stmt, type, a, b);
	const struct ptx_operand *pair = stmt->ops[0].pair;

	if (!join && !pair) {
		/* The usual case: write the register itself. */
		struct ptx_ir *ir = &l->ir[l->nir - 1];

		if (l->unsupported)
			return;
		ir->insn.dst = ptx_result(l, &stmt->ops[0], PTX_PREDICATE);
		if (l->guard != PTX_NO_REG) {
			ir->insn.guard = l->guard;
			ir->insn.flags |= l->guard_negate ? PTX_INSN_NEGATE : 0;
		}
		return;
	}

	/* p = (a cmp b) join c; q = !(a cmp b) join c */
	uint32_t other = ptx_temp(l, PTX_H_pnot, result, NONE, NONE);

	if (join) {
		uint32_t c = ptx_use_predicate(l, &stmt->ops[3]);

		result = ptx_temp(l, join, result, c, NONE);
		other = ptx_temp(l, join, other, c, NONE);
	}
	ptx_emit(l, PTX_H_pmov, ptx_result(l, &stmt->ops[0], PTX_PREDICATE), result, NONE, NONE);
	if (pair)
		ptx_emit(l, PTX_H_pmov, ptx_result(l, pair, PTX_PREDICATE), other, NONE, NONE);
}

/* set.cmp.dtype.stype d, a, b: all ones or 1.0 where true */
static void
lower_set(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type to = stmt->types[0], from = stmt->types[1];
	enum ptx_handler join = join_handler(stmt);
	int ftz = ptx_has(stmt, PTX_M_FTZ);

	if (stmt->ntypes != 2 || stmt->nops != (join ? 4 : 3)) {
		ptx_unsupported(l);
		return;
	}
	if (from == PTX_T_F16X2 || from == PTX_T_BF16X2) {
		/* two predicates, joined to two halves of 1.0 or 0.0 */
		struct ptx_operand p = {.kind = PTX_O_REG, .reg = ptx_value_new(l, PTX_PREDICATE)};
		struct ptx_operand q = {.kind = PTX_O_REG, .reg = ptx_value_new(l, PTX_PREDICATE)};
		struct ptx_stmt setp = *stmt;
		struct ptx_operand ops[4];

		for (int i = 0; i < stmt->nops; i++)
			ops[i] = stmt->ops[i];
		ops[0] = p;
		ops[0].pair = &q;
		setp.ops = ops;
		setp_packed(l, &setp, from);

		uint16_t one = from == PTX_T_F16X2 ? 0x3c00 : 0x3f80;
		uint32_t yes, no = ptx_value_literal(l, 2, 0);

		if (to == PTX_T_U32 || to == PTX_T_S32)
			one = 0xffff;
		yes = ptx_value_literal(l, 2, one);
		uint32_t low = ptx_temp(l, PTX_H_selp_16, yes, no, p.reg);
		uint32_t high = ptx_temp(l, PTX_H_selp_16, yes, no, q.reg);

		ptx_emit(l, PTX_H_pack_16_32, ptx_result(l, &stmt->ops[0], 4), low, high, NONE);
		return;
	}
	if (!can_compare(from)) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = use_as_float(l, &stmt->ops[1], from, ftz);
	uint32_t b = use_as_float(l, &stmt->ops[2], from, ftz);
	uint32_t result = compare(l, stmt, from, a, b);
	uint8_t size = (uint8_t)ptx_type_reg_size(to);
	uint64_t one = ~0ull;

	if (join)
		result = ptx_temp(l, join, result, ptx_use_predicate(l, &stmt->ops[3]), NONE);
	if (to == PTX_T_F32)
		one = 0x3f800000;
	else if (to == PTX_T_F16)
		one = 0x3c00;
	else if (to == PTX_T_BF16)
		one = 0x3f80;
	if (size > 4) {
		ptx_unsupported(l);
		return;
	}
	ptx_emit(l, PTX_H_selp_16 + ptx_size_index(size), ptx_result(l, &stmt->ops[0], size),
		 ptx_value_literal(l, size, one), ptx_value_literal(l, size, 0), result);
}

static void
lower_selp(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type type = stmt->types[0];
	uint8_t size = (uint8_t)ptx_type_reg_size(type);

	if (stmt->nops != 4 || size > 8) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use(l, &stmt->ops[1], type);
	uint32_t b = ptx_use(l, &stmt->ops[2], type);
	uint32_t c = ptx_use_predicate(l, &stmt->ops[3]);

	ptx_emit(l, PTX_H_selp_16 + ptx_size_index(size), ptx_result(l, &stmt->ops[0], size), a, b,
		 c);
}

static void
lower_slct(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type type = stmt->types[0], by = stmt->types[1];
	uint8_t size = (uint8_t)ptx_type_reg_size(type);

	if (stmt->ntypes != 2 || stmt->nops != 4 || size > 8 ||
	    (by != PTX_T_S32 && by != PTX_T_F32)) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use(l, &stmt->ops[1], type);
	uint32_t b = ptx_use(l, &stmt->ops[2], type);
	uint32_t c = ptx_use(l, &stmt->ops[3], by);

	/* A subnormal is as good as a zero here only if it is negative. */
	if (ptx_has(stmt, PTX_M_FTZ))
		c = ptx_temp(l, PTX_H_flush_f32, c, NONE, NONE);
	ptx_emit(l,
		 (by == PTX_T_S32 ? PTX_H_slct_s32_16 : PTX_H_slct_f32_16) + ptx_size_index(size),
		 ptx_result(l, &stmt->ops[0], size), a, b, c);
}

static void
lower_testp(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	static const struct {
		enum ptx_modifier modifier;
		enum ptx_handler handler;
	} tests[] = {
		{PTX_M_FINITE, PTX_H_finite_f32}, {PTX_M_INFINITE, PTX_H_infinite_f32},
		{PTX_M_NUMBER, PTX_H_number_f32}, {PTX_M_NOTANUMBER, PTX_H_notanumber_f32},
		{PTX_M_NORMAL, PTX_H_normal_f32}, {PTX_M_SUBNORMAL, PTX_H_subnormal_f32},
	};
	enum ptx_type type = stmt->types[0];

	if (stmt->nops == 2 && (type == PTX_T_F32 || type == PTX_T_F64)) {
		for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++) {
			enum ptx_handler h = tests[i].handler;

			if (!ptx_has(stmt, tests[i].modifier))
				continue;
			if (type == PTX_T_F64)
				h += PTX_H_finite_f64 - PTX_H_finite_f32;
			uint32_t a = ptx_use(l, &stmt->ops[1], type);

			ptx_emit(l, h, ptx_result(l, &stmt->ops[0], PTX_PREDICATE), a, NONE, NONE);
			return;
		}
	}
	ptx_unsupported(l);
}

void
ptx_lower_compare(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	if (!stmt->ntypes) {
		ptx_unsupported(l);
		return;
	}
	switch (stmt->opcode) {
	case PTX_OP_setp:
		lower_setp(l, stmt);
		break;
	case PTX_OP_set:
		lower_set(l, stmt);
		break;
	case PTX_OP_selp:
		lower_selp(l, stmt);
		break;
	case PTX_OP_slct:
		lower_slct(l, stmt);
		break;
	case PTX_OP_testp:
		lower_testp(l, stmt);
		break;
	default:
		ptx_unsupported(l);
		break;
	}
}
