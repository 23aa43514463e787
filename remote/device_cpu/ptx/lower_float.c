/* Floating point arithmetic. */
#include "remote/device_cpu/ptx/lower.h"

enum { NONE = PTX_NO_VALUE };

/* The four handlers of a half-precision family stand in this order. */
static int
half_index(enum ptx_type type)
{
	return type == PTX_T_F16 ? 0 : type == PTX_T_F16X2 ? 1 : type == PTX_T_BF16 ? 2 : 3;
}

static int
is_half(enum ptx_type type)
{
	return type == PTX_T_F16 || type == PTX_T_F16X2 || type == PTX_T_BF16 ||
	       type == PTX_T_BF16X2;
}

/* name_f16…, name_f32, name_f64 by type; PTX_H_NONE: there is none */
struct family {
	uint16_t half, f32, f64;
};

static enum ptx_handler
pick(const struct family *family, enum ptx_type type, int ftz)
{
	if (is_half(type))
		return family->half ? family->half + half_index(type) : PTX_H_NONE;
	if (type == PTX_T_F32)
		return family->f32 ? family->f32 + ftz : PTX_H_NONE;
	if (type == PTX_T_F64)
		return family->f64;
	return PTX_H_NONE;
}

/* Emits an arithmetic instruction with the statement's rounding, then what follows it. */
static void
arithmetic(struct ptx_lower *l, const struct ptx_stmt *stmt, const struct family *family,
	   int nsources)
{
	enum ptx_type type = stmt->types[0];
	int ftz = ptx_has(stmt, PTX_M_FTZ), half = is_half(type);
	enum ptx_handler h = pick(family, type, ftz && !half);
	uint32_t src[3] = {NONE, NONE, NONE};
	uint8_t size = (uint8_t)ptx_type_reg_size(type);

	if (!h || stmt->nops != nsources + 1) {
		ptx_unsupported(l);
		return;
	}
	for (int i = 0; i < nsources; i++) {
		src[i] = ptx_use(l, &stmt->ops[i + 1], type);
		if (ftz && half)
			src[i] = ptx_temp(l, PTX_H_hflush_f16 + half_index(type), src[i], NONE,
					  NONE);
	}

	/* What follows works on a temporary, so that the register is written once. */
	enum ptx_handler after = PTX_H_NONE;

	if (ptx_has(stmt, PTX_M_SAT))
		after = half                ? PTX_H_hsat_f16 + half_index(type)
			: type == PTX_T_F32 ? PTX_H_sat_f32
					    : PTX_H_sat_f64;
	else if (ptx_has(stmt, PTX_M_RELU))
		after = half ? PTX_H_hrelu_f16 + half_index(type) : PTX_H_relu_f32;
	else if (ftz && half)
		after = PTX_H_hflush_f16 + half_index(type);

	uint32_t dst = after ? ptx_value_new(l, size) : ptx_result(l, &stmt->ops[0], size);
	struct ptx_ir *ir = ptx_emit(l, h, dst, src[0], src[1], src[2]);

	ir->insn.flags |= ptx_round_of(stmt) << PTX_INSN_ROUND_SHIFT;
	if (after)
		ptx_emit(l, after, ptx_result(l, &stmt->ops[0], size), dst, NONE, NONE);
}

static const struct family adds = {PTX_H_add_f16, PTX_H_add_f32, PTX_H_add_f64};
static const struct family subs = {PTX_H_sub_f16, PTX_H_sub_f32, PTX_H_sub_f64};
static const struct family muls = {PTX_H_mul_f16, PTX_H_mul_f32, PTX_H_mul_f64};
static const struct family fmas = {PTX_H_fma_f16, PTX_H_fma_f32, PTX_H_fma_f64};
static const struct family divs = {0, PTX_H_div_f32, PTX_H_div_f64};
static const struct family mins = {PTX_H_hmin_f16, PTX_H_min_f32, PTX_H_min_f64};
static const struct family maxs = {PTX_H_hmax_f16, PTX_H_max_f32, PTX_H_max_f64};
static const struct family nan_mins = {PTX_H_hmin_nan_f16, PTX_H_min_nan_f32, 0};
static const struct family nan_maxs = {PTX_H_hmax_nan_f16, PTX_H_max_nan_f32, 0};
static const struct family rcps = {0, PTX_H_rcp_f32, PTX_H_rcp_f64};
static const struct family sqrts = {0, PTX_H_sqrt_f32, PTX_H_sqrt_f64};
static const struct family rsqrts = {0, PTX_H_rsqrt_f32, PTX_H_rsqrt_f64};
static const struct family sins = {0, PTX_H_sin_f32, 0};
static const struct family coss = {0, PTX_H_cos_f32, 0};
static const struct family ex2s = {PTX_H_hex2_f16, PTX_H_ex2_f32, 0};
static const struct family lg2s = {0, PTX_H_lg2_f32, 0};
static const struct family tanhs = {PTX_H_htanh_f16, PTX_H_tanh_f32, 0};

/* f32x2 is two f32 side by side in a 64-bit register. */
static void
packed_f32(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_handler h, int nsources)
{
	uint32_t parts[2];

	if (stmt->nops != nsources + 1) {
		ptx_unsupported(l);
		return;
	}
	for (int high = 0; high < 2; high++) {
		uint32_t src[3] = {NONE, NONE, NONE};

		for (int i = 0; i < nsources; i++)
			src[i] = ptx_temp(l, high ? PTX_H_high_64_32 : PTX_H_narrow_64_32,
					  ptx_use(l, &stmt->ops[i + 1], PTX_T_B64), NONE, NONE);
		parts[high] = ptx_value_new(l, 4);
		ptx_emit(l, h + ptx_has(stmt, PTX_M_FTZ), parts[high], src[0], src[1], src[2])
			->insn.flags |= ptx_round_of(stmt) << PTX_INSN_ROUND_SHIFT;
	}
	ptx_emit(l, PTX_H_pack_32_64, ptx_result(l, &stmt->ops[0], 8), parts[0], parts[1], NONE);
}

/* neg and abs only touch the sign. */
static void
lower_sign(struct ptx_lower *l, const struct ptx_stmt *stmt, int neg)
{
	enum ptx_type type = stmt->types[0];
	uint8_t size = (uint8_t)ptx_type_reg_size(type);

	if (stmt->nops != 2 || type == PTX_T_F32X2) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use(l, &stmt->ops[1], type);
	uint64_t signs = type == PTX_T_F64   ? 1ull << 63
			 : type == PTX_T_F32 ? 1u << 31
					     : 0x80008000u;
	uint32_t mask = ptx_value_literal(l, size, neg ? signs : ~signs);

	if (ptx_has(stmt, PTX_M_FTZ))
		a = ptx_temp(l,
			     type == PTX_T_F32 ? PTX_H_flush_f32
					       : PTX_H_hflush_f16 + half_index(type),
			     a, NONE, NONE);
	ptx_emit(l, (neg ? PTX_H_xor_16 : PTX_H_and_16) + ptx_size_index(size),
		 ptx_result(l, &stmt->ops[0], size), a, mask, NONE);
}

/* min and max of two or three operands, with .NaN and .xorsign.abs */
static void
lower_min_max(struct ptx_lower *l, const struct ptx_stmt *stmt, int max)
{
	enum ptx_type type = stmt->types[0];
	const struct family *family =
		ptx_has(stmt, PTX_M_NAN) ? (max ? &nan_maxs : &nan_mins) : (max ? &maxs : &mins);

	if (ptx_has(stmt, PTX_M_XORSIGN)) {
		enum ptx_handler h = pick(family, type, ptx_has(stmt, PTX_M_FTZ));
		uint8_t size = (uint8_t)ptx_type_reg_size(type);
		uint64_t signs = type == PTX_T_F32 ? 1u << 31 : 0x80008000u;

		if (!h || stmt->nops != 3 || type == PTX_T_F64) {
			ptx_unsupported(l);
			return;
		}
		/* the chosen magnitude with the product's sign */
		int s = ptx_size_index(size);
		uint32_t mask = ptx_value_literal(l, size, signs);
		uint32_t rest = ptx_value_literal(l, size, ~signs);
		uint32_t a = ptx_use(l, &stmt->ops[1], type), b = ptx_use(l, &stmt->ops[2], type);
		uint32_t x = ptx_temp(l, PTX_H_and_16 + s, a, rest, NONE);
		uint32_t y = ptx_temp(l, PTX_H_and_16 + s, b, rest, NONE);
		uint32_t sign = ptx_temp(l, PTX_H_xor_16 + s, a, b, NONE);
		uint32_t chosen = ptx_temp(l, h, x, y, NONE);

		sign = ptx_temp(l, PTX_H_and_16 + s, sign, mask, NONE);
		ptx_emit(l, PTX_H_or_16 + s, ptx_result(l, &stmt->ops[0], size), chosen, sign,
			 NONE);
		return;
	}
	if (stmt->nops == 4 && type == PTX_T_F32) {
		enum ptx_handler h = pick(family, type, ptx_has(stmt, PTX_M_FTZ));
		uint32_t a = ptx_use(l, &stmt->ops[1], type), b = ptx_use(l, &stmt->ops[2], type);
		uint32_t c = ptx_use(l, &stmt->ops[3], type);

		ptx_emit(l, h, ptx_result(l, &stmt->ops[0], 4), ptx_temp(l, h, a, b, NONE), c,
			 NONE);
		return;
	}
	arithmetic(l, stmt, family, 2);
}

/* add.f32.f16: an operand of half precision in a sum of f32 */
static void
lower_mixed(struct ptx_lower *l, const struct ptx_stmt *stmt, const struct family *family,
	    int nsources)
{
	enum ptx_type from = stmt->types[1];
	enum ptx_handler widen = from == PTX_T_F16 ? PTX_H_cvt_f16_f32 : PTX_H_cvt_bf16_f32;
	uint32_t src[3] = {NONE, NONE, NONE};

	if (stmt->types[0] != PTX_T_F32 || (from != PTX_T_F16 && from != PTX_T_BF16) ||
	    stmt->nops != nsources + 1 || ptx_has(stmt, PTX_M_SAT)) {
		ptx_unsupported(l);
		return;
	}
	for (int i = 0; i < nsources; i++) {
		int last = i == nsources - 1;

		src[i] = ptx_use(l, &stmt->ops[i + 1], last ? PTX_T_F32 : from);
		if (!last)
			src[i] = ptx_temp(l, widen, src[i], NONE, NONE);
	}
	ptx_emit(l, family->f32, ptx_result(l, &stmt->ops[0], 4), src[0], src[1], src[2])
		->insn.flags |= ptx_round_of(stmt) << PTX_INSN_ROUND_SHIFT;
}

static void
lower_copysign(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	static const struct family family = {0, PTX_H_copysign_f32, PTX_H_copysign_f64};

	arithmetic(l, stmt, &family, 2);
}

void
ptx_lower_float(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	int packed = stmt->ntypes && stmt->types[0] == PTX_T_F32X2;
	int mixed = stmt->ntypes == 2;

	if (!stmt->ntypes) {
		ptx_unsupported(l);
		return;
	}
	switch (stmt->opcode) {
	case PTX_OP_add:
		if (packed)
			packed_f32(l, stmt, PTX_H_add_f32, 2);
		else if (mixed)
			lower_mixed(l, stmt, &adds, 2);
		else
			arithmetic(l, stmt, &adds, 2);
		break;
	case PTX_OP_sub:
		if (packed)
			packed_f32(l, stmt, PTX_H_sub_f32, 2);
		else if (mixed)
			lower_mixed(l, stmt, &subs, 2);
		else
			arithmetic(l, stmt, &subs, 2);
		break;
	case PTX_OP_mul:
		if (packed)
			packed_f32(l, stmt, PTX_H_mul_f32, 2);
		else
			arithmetic(l, stmt, &muls, 2);
		break;
	case PTX_OP_mad:
	case PTX_OP_fma:
		if (packed)
			packed_f32(l, stmt, PTX_H_fma_f32, 3);
		else if (mixed)
			lower_mixed(l, stmt, &fmas, 3);
		else
			arithmetic(l, stmt, &fmas, 3);
		break;
	case PTX_OP_div:
		arithmetic(l, stmt, &divs, 2);
		break;
	case PTX_OP_min:
		lower_min_max(l, stmt, 0);
		break;
	case PTX_OP_max:
		lower_min_max(l, stmt, 1);
		break;
	case PTX_OP_neg:
		lower_sign(l, stmt, 1);
		break;
	case PTX_OP_abs:
		lower_sign(l, stmt, 0);
		break;
	case PTX_OP_rcp:
		arithmetic(l, stmt, &rcps, 1);
		break;
	case PTX_OP_sqrt:
		arithmetic(l, stmt, &sqrts, 1);
		break;
	case PTX_OP_rsqrt:
		arithmetic(l, stmt, &rsqrts, 1);
		break;
	case PTX_OP_sin:
		arithmetic(l, stmt, &sins, 1);
		break;
	case PTX_OP_cos:
		arithmetic(l, stmt, &coss, 1);
		break;
	case PTX_OP_ex2:
		arithmetic(l, stmt, &ex2s, 1);
		break;
	case PTX_OP_lg2:
		arithmetic(l, stmt, &lg2s, 1);
		break;
	case PTX_OP_tanh:
		arithmetic(l, stmt, &tanhs, 1);
		break;
	case PTX_OP_copysign:
		lower_copysign(l, stmt);
		break;
	default:
		ptx_unsupported(l);
		break;
	}
}
