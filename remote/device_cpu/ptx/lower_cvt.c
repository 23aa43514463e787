/* Conversions. */
#include "remote/device_cpu/ptx/lower.h"

enum { NONE = PTX_NO_VALUE };

static int
is_int(enum ptx_type type)
{
	switch (type) {
	case PTX_T_U8:
	case PTX_T_U16:
	case PTX_T_U32:
	case PTX_T_U64:
	case PTX_T_S8:
	case PTX_T_S16:
	case PTX_T_S32:
	case PTX_T_S64:
		return 1;
	default:
		return 0;
	}
}

/* The low bits of a register read as @type, extended to the whole register. */
static uint32_t
extended(struct ptx_lower *l, uint32_t value, enum ptx_type type)
{
	uint8_t size = l->values[value].size;
	uint32_t bytes = ptx_type_size(type);
	int sign = ptx_type_is_signed(type);
	enum ptx_handler h;

	if (bytes >= size)
		return value;
	if (bytes == 1)
		h = size == 2 ? PTX_H_ext_u8_16 : size == 4 ? PTX_H_ext_u8_32 : PTX_H_ext_u8_64;
	else if (bytes == 2)
		h = size == 4 ? PTX_H_ext_u16_32 : PTX_H_ext_u16_64;
	else
		h = PTX_H_ext_u32_64;
	return ptx_temp(l, h + sign, value, NONE, NONE);
}

/* Writes @value, read as @type, to the statement's result, extended as @type asks. */
static void
write_int(struct ptx_lower *l, const struct ptx_operand *op, uint32_t value, enum ptx_type type)
{
	uint8_t size = l->values[value].size;
	int sign = ptx_type_is_signed(type);

	if (op->kind == PTX_O_REG)
		size = l->values[op->reg].size;
	if (size == PTX_PREDICATE || size > 8) {
		ptx_unsupported(l);
		return;
	}
	value = ptx_resized(l, extended(l, value, type), size, sign);
	ptx_emit(l, PTX_H_mov_16 + ptx_size_index(size), ptx_result(l, op, size), value, NONE,
		 NONE);
}

/* Limits @value, read as @from, to what @to can hold. */
static uint32_t
saturated(struct ptx_lower *l, uint32_t value, enum ptx_type from, enum ptx_type to)
{
	int bits = (int)ptx_type_size(to) * 8, from_signed = ptx_type_is_signed(from);
	int to_signed = ptx_type_is_signed(to);
	uint64_t high = to_signed    ? (1ull << (bits - 1)) - 1
			: bits == 64 ? ~0ull
				     : (1ull << bits) - 1;
	uint64_t low = to_signed ? ~high : 0;

	/* Compare in 64 bits: a common width for both ranges. */
	value = ptx_resized(l, value, 8, from_signed);
	if (from_signed) {
		value = ptx_temp(l, PTX_H_max_s64, value, ptx_value_literal(l, 8, low), NONE);
		if ((int64_t)high >= 0)
			value = ptx_temp(l, PTX_H_min_s64, value, ptx_value_literal(l, 8, high),
					 NONE);
		return value;
	}
	return ptx_temp(l, PTX_H_min_u64, value, ptx_value_literal(l, 8, high), NONE);
}

static void
int_to_int(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_type to, enum ptx_type from)
{
	uint32_t value = ptx_use_any(l, &stmt->ops[1]);
	uint32_t to_size = ptx_type_reg_size(to);

	/* An operand register may be wider than its type, never narrower. */
	if (l->values[value].size < ptx_type_size(from)) {
		ptx_unsupported(l);
		return;
	}
	value = extended(l, value, from);
	if (ptx_has(stmt, PTX_M_SAT))
		value = saturated(l, value, from, to);
	value = ptx_resized(l, value, (uint8_t)to_size, ptx_type_is_signed(from));
	write_int(l, &stmt->ops[0], value, to);
}

/* Writes a floating point result of @type with saturation if asked. */
static void
write_float(struct ptx_lower *l, const struct ptx_stmt *stmt, uint32_t value, enum ptx_type type)
{
	uint8_t size = (uint8_t)ptx_type_reg_size(type);
	int half = type == PTX_T_F16 ? 0 : 2;

	if (ptx_has(stmt, PTX_M_SAT))
		value = ptx_temp(l,
				 size == 2   ? PTX_H_hsat_f16 + half
				 : size == 4 ? PTX_H_sat_f32
					     : PTX_H_sat_f64,
				 value, NONE, NONE);
	else if (ptx_has(stmt, PTX_M_RELU) && size < 8)
		value = ptx_temp(l, size == 2 ? PTX_H_hrelu_f16 + half : PTX_H_relu_f32, value,
				 NONE, NONE);
	if (ptx_has(stmt, PTX_M_FTZ) && type == PTX_T_F32)
		value = ptx_temp(l, PTX_H_flush_f32, value, NONE, NONE);
	ptx_emit(l, PTX_H_mov_16 + ptx_size_index(size), ptx_result(l, &stmt->ops[0], size), value,
		 NONE, NONE);
}

/* A pure conversion that rounds as the statement says. */
static uint32_t
rounded(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_handler handler, uint32_t value)
{
	uint32_t dst = ptx_value_new(l, (uint8_t)ptx_handler_result(handler));

	ptx_emit(l, handler, dst, value, NONE, NONE)->insn.flags |= ptx_round_of(stmt)
								    << PTX_INSN_ROUND_SHIFT;
	return dst;
}

static void
int_to_float(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_type to, enum ptx_type from)
{
	uint32_t value = ptx_use_any(l, &stmt->ops[1]);
	int sign = ptx_type_is_signed(from);

	if (l->values[value].size < ptx_type_size(from)) {
		ptx_unsupported(l);
		return;
	}
	value = extended(l, value, from);
	int wide = ptx_type_size(from) == 8;

	value = ptx_resized(l, value, wide ? 8 : 4, sign);
	switch (to) {
	case PTX_T_F32:
		value = rounded(l, stmt, (wide ? PTX_H_cvt_u64_f32 : PTX_H_cvt_u32_f32) + sign,
				value);
		break;
	case PTX_T_F64:
		value = rounded(l, stmt, (wide ? PTX_H_cvt_u64_f64 : PTX_H_cvt_u32_f64) + sign,
				value);
		break;
	case PTX_T_F16:
	case PTX_T_BF16:
		/* Through f64, towards odd when it cannot hold the integer: one rounding counts. */
		if (wide)
			value = ptx_temp(l, sign ? PTX_H_cvt_s64_odd : PTX_H_cvt_u64_odd, value,
					 NONE, NONE);
		else
			value = ptx_temp(l, PTX_H_cvt_u32_f64 + sign, value, NONE, NONE);
		value = rounded(l, stmt, to == PTX_T_F16 ? PTX_H_cvt_f64_f16 : PTX_H_cvt_f64_bf16,
				value);
		break;
	default:
		ptx_unsupported(l);
		return;
	}
	write_float(l, stmt, value, to);
}

/* An f16, bf16 or f32 operand as f32; f64 stays. */
static uint32_t
use_float(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_type from)
{
	uint32_t value = ptx_use(l, &stmt->ops[1], from);

	if (from == PTX_T_F16)
		return ptx_temp(l, PTX_H_cvt_f16_f32, value, NONE, NONE);
	if (from == PTX_T_BF16)
		return ptx_temp(l, PTX_H_cvt_bf16_f32, value, NONE, NONE);
	if (from == PTX_T_F32 && ptx_has(stmt, PTX_M_FTZ))
		return ptx_temp(l, PTX_H_flush_f32, value, NONE, NONE);
	return value;
}

/* rni, rzi, rmi, rpi: 0…3; -1: none */
static int
integer_rounding(const struct ptx_stmt *stmt)
{
	return ptx_has(stmt, PTX_M_RNI)   ? 0
	       : ptx_has(stmt, PTX_M_RZI) ? 1
	       : ptx_has(stmt, PTX_M_RMI) ? 2
	       : ptx_has(stmt, PTX_M_RPI) ? 3
					  : -1;
}

static void
float_to_int(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_type to, enum ptx_type from)
{
	/* rni, rzi, rmi, rpi of f32 stand two apart, the flushing ones between them */
	uint32_t value = use_float(l, stmt, from);
	int mode = integer_rounding(stmt), wide = from == PTX_T_F64;
	int sign = ptx_type_is_signed(to), to_wide = ptx_type_size(to) == 8;

	if (mode < 0)
		mode = 1;
	value = ptx_temp(l, wide ? PTX_H_rni_f64 + mode : PTX_H_rni_f32 + 2 * mode, value, NONE,
			 NONE);
	if (to_wide)
		value = ptx_temp(l, (wide ? PTX_H_cvt_f64_u64 : PTX_H_cvt_f32_u64) + sign, value,
				 NONE, NONE);
	else
		value = ptx_temp(l, (wide ? PTX_H_cvt_f64_u32 : PTX_H_cvt_f32_u32) + sign, value,
				 NONE, NONE);
	/* Narrow integers saturate too. */
	if (ptx_type_size(to) < 4) {
		value = saturated(l, value, sign ? PTX_T_S32 : PTX_T_U32, to);
		value = ptx_resized(l, value, 2, sign);
	}
	write_int(l, &stmt->ops[0], value, to);
}

static void
float_to_float(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_type to,
	       enum ptx_type from)
{
	int mode = integer_rounding(stmt);
	uint32_t value;

	if (to == from && mode >= 0) {
		value = ptx_use(l, &stmt->ops[1], from);
		if (from == PTX_T_F32 && ptx_has(stmt, PTX_M_FTZ))
			value = ptx_temp(l, PTX_H_flush_f32, value, NONE, NONE);
		enum ptx_handler h = to == PTX_T_F64   ? PTX_H_rni_f64 + mode
				     : to == PTX_T_F32 ? PTX_H_rni_f32 + 2 * mode
				     : to == PTX_T_F16 ? PTX_H_hrni_f16 + 4 * mode
						       : PTX_H_hrni_bf16 + 4 * mode;

		write_float(l, stmt, ptx_temp(l, h, value, NONE, NONE), to);
		return;
	}
	if (to == from) {
		value = ptx_use(l, &stmt->ops[1], from);
		if (from == PTX_T_F32 && ptx_has(stmt, PTX_M_FTZ))
			value = ptx_temp(l, PTX_H_flush_f32, value, NONE, NONE);
		write_float(l, stmt, value, to);
		return;
	}
	value = use_float(l, stmt, from); /* f32 or f64 */
	switch (to) {
	case PTX_T_F64:
		value = ptx_temp(l, PTX_H_cvt_f32_f64, value, NONE, NONE);
		break;
	case PTX_T_F32:
		if (from == PTX_T_F64)
			value = rounded(l, stmt, PTX_H_cvt_f64_f32, value);
		break;
	case PTX_T_F16:
		value = rounded(l, stmt, from == PTX_T_F64 ? PTX_H_cvt_f64_f16 : PTX_H_cvt_f32_f16,
				value);
		break;
	default:
		value = rounded(l, stmt,
				from == PTX_T_F64 ? PTX_H_cvt_f64_bf16 : PTX_H_cvt_f32_bf16, value);
		break;
	}
	if (to == PTX_T_F64 && mode >= 0)
		value = ptx_temp(l, PTX_H_rni_f64 + mode, value, NONE, NONE);
	write_float(l, stmt, value, to);
}

/* cvt.f16x2.f32 d, a, b: a goes to the high half */
static void
pack_halves(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_type to)
{
	int bf = to == PTX_T_BF16X2;
	enum ptx_handler h = bf ? PTX_H_cvt_f32_bf16 : PTX_H_cvt_f32_f16;
	uint32_t parts[2];

	if (stmt->nops != 3 || stmt->types[1] != PTX_T_F32) {
		ptx_unsupported(l);
		return;
	}
	for (int i = 0; i < 2; i++) {
		uint32_t value = ptx_use(l, &stmt->ops[2 - i], PTX_T_F32);

		parts[i] = rounded(l, stmt, h, value);
		if (ptx_has(stmt, PTX_M_RELU))
			parts[i] = ptx_temp(l, PTX_H_hrelu_f16 + 2 * bf, parts[i], NONE, NONE);
	}
	ptx_emit(l, PTX_H_pack_16_32, ptx_result(l, &stmt->ops[0], 4), parts[0], parts[1], NONE);
}

static void
to_tf32(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	uint32_t value = ptx_use(l, &stmt->ops[1], PTX_T_F32);
	enum ptx_handler h = ptx_has(stmt, PTX_M_RN)   ? PTX_H_cvt_rn_tf32
			     : ptx_has(stmt, PTX_M_RZ) ? PTX_H_cvt_rz_tf32
						       : PTX_H_cvt_rna_tf32;

	if (stmt->types[1] != PTX_T_F32 || stmt->nops != 2) {
		ptx_unsupported(l);
		return;
	}
	value = ptx_temp(l, h, value, NONE, NONE);
	if (ptx_has(stmt, PTX_M_RELU))
		value = ptx_temp(l, PTX_H_relu_f32, value, NONE, NONE);
	ptx_emit(l, PTX_H_mov_32, ptx_result(l, &stmt->ops[0], 4), value, NONE, NONE);
}

/* Eight-bit formats, two at a time. */
static void
to_fp8(struct ptx_lower *l, const struct ptx_stmt *stmt, int e5m2)
{
	enum ptx_type from = stmt->types[1];
	uint32_t a, b;

	if (from == PTX_T_F32 && stmt->nops == 3) {
		a = ptx_use(l, &stmt->ops[1], PTX_T_F32);
		b = ptx_use(l, &stmt->ops[2], PTX_T_F32);
	} else if ((from == PTX_T_F16X2 || from == PTX_T_BF16X2) && stmt->nops == 2) {
		uint32_t pair = ptx_use(l, &stmt->ops[1], PTX_T_B32);
		enum ptx_handler widen =
			from == PTX_T_F16X2 ? PTX_H_cvt_f16_f32 : PTX_H_cvt_bf16_f32;

		a = ptx_temp(l, widen, ptx_temp(l, PTX_H_high_32_16, pair, NONE, NONE), NONE, NONE);
		b = ptx_temp(l, widen, ptx_temp(l, PTX_H_narrow_32_16, pair, NONE, NONE), NONE,
			     NONE);
	} else {
		ptx_unsupported(l);
		return;
	}
	if (ptx_has(stmt, PTX_M_RELU)) {
		a = ptx_temp(l, PTX_H_relu_f32, a, NONE, NONE);
		b = ptx_temp(l, PTX_H_relu_f32, b, NONE, NONE);
	}
	ptx_emit(l, e5m2 ? PTX_H_cvt_f32_e5m2x2 : PTX_H_cvt_f32_e4m3x2,
		 ptx_result(l, &stmt->ops[0], 2), a, b, NONE);
}

static void
from_fp8(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_type from)
{
	if (stmt->types[0] != PTX_T_F16X2 || stmt->nops != 2) {
		ptx_unsupported(l);
		return;
	}
	uint32_t pair = ptx_use(l, &stmt->ops[1], PTX_T_B16);
	uint32_t value =
		ptx_temp(l, from == PTX_T_E5M2X2 ? PTX_H_cvt_e5m2x2_f16x2 : PTX_H_cvt_e4m3x2_f16x2,
			 pair, NONE, NONE);

	if (ptx_has(stmt, PTX_M_RELU))
		value = ptx_temp(l, PTX_H_hrelu_f16x2, value, NONE, NONE);
	ptx_emit(l, PTX_H_mov_32, ptx_result(l, &stmt->ops[0], 4), value, NONE, NONE);
}

/*
 * cvt.pack.sat: two integers, limited to a narrow type, side by side; of 8 bits, in front of the
 * low half of c.
 */
static void
pack_integers(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type to = stmt->types[0], from = stmt->types[1];
	uint32_t bytes = ptx_type_size(to), parts[2];

	if (stmt->ntypes < 2 || ptx_type_size(from) != 4 || !is_int(to) || bytes > 2 ||
	    stmt->nops != (bytes == 1 ? 4 : 3)) {
		ptx_unsupported(l);
		return;
	}
	for (int i = 0; i < 2; i++) {
		uint32_t value = ptx_use(l, &stmt->ops[2 - i], from);

		parts[i] = ptx_resized(l, saturated(l, value, from, to), 2, 0);
	}
	if (bytes == 2) {
		ptx_emit(l, PTX_H_pack_16_32, ptx_result(l, &stmt->ops[0], 4), parts[0], parts[1],
			 NONE);
		return;
	}
	uint32_t pair = ptx_temp(l, PTX_H_pack_8_16, parts[0], parts[1], NONE);
	uint32_t c = ptx_use(l, &stmt->ops[3], PTX_T_B32);

	c = ptx_temp(l, PTX_H_narrow_32_16, c, NONE, NONE);
	ptx_emit(l, PTX_H_pack_16_32, ptx_result(l, &stmt->ops[0], 4), pair, c, NONE);
}

void
ptx_lower_cvt(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type to = stmt->types[0], from = stmt->types[1];

	if (ptx_has(stmt, PTX_M_PACK)) {
		pack_integers(l, stmt);
		return;
	}
	if (stmt->ntypes < 2 || stmt->nops < 2) {
		ptx_unsupported(l);
	} else if (to == PTX_T_F16X2 && (from == PTX_T_E4M3X2 || from == PTX_T_E5M2X2)) {
		from_fp8(l, stmt, from);
	} else if (to == PTX_T_F16X2 || to == PTX_T_BF16X2) {
		pack_halves(l, stmt, to);
	} else if (to == PTX_T_TF32) {
		to_tf32(l, stmt);
	} else if (to == PTX_T_E4M3X2 || to == PTX_T_E5M2X2) {
		to_fp8(l, stmt, to == PTX_T_E5M2X2);
	} else if (stmt->nops != 2) {
		ptx_unsupported(l);
	} else if (is_int(to) && is_int(from)) {
		int_to_int(l, stmt, to, from);
	} else if (ptx_type_is_float(to) && is_int(from)) {
		int_to_float(l, stmt, to, from);
	} else if (is_int(to) && ptx_type_is_float(from)) {
		float_to_int(l, stmt, to, from);
	} else if (ptx_type_is_float(to) && ptx_type_is_float(from)) {
		float_to_float(l, stmt, to, from);
	} else {
		ptx_unsupported(l);
	}
}
