/* Integer arithmetic and bits. */
#include "remote/device_cpu/ptx/lower.h"

enum { NONE = PTX_NO_VALUE };

/* An instruction of one type for its result and its operands. */
static void
same_type(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_handler handler, int nsources)
{
	enum ptx_type type = stmt->types[0];
	uint8_t size = (uint8_t)ptx_type_reg_size(type);
	uint32_t src[3] = {NONE, NONE, NONE};

	if (stmt->nops != nsources + 1) {
		ptx_unsupported(l);
		return;
	}
	for (int i = 0; i < nsources; i++)
		src[i] = ptx_use(l, &stmt->ops[i + 1], type);
	ptx_emit(l, handler, ptx_result(l, &stmt->ops[0], size), src[0], src[1], src[2]);
}

static int
has_sizes(enum ptx_type type)
{
	uint32_t size = ptx_type_size(type);

	switch (type) {
	case PTX_T_U16X2:
	case PTX_T_S16X2:
	case PTX_T_F16X2:
	case PTX_T_BF16X2:
		return 0;
	default:
		return size == 2 || size == 4 || size == 8;
	}
}

/* name_16, name_32, name_64 by the size of the type */
static void
by_size(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_handler first, int nsources)
{
	if (!has_sizes(stmt->types[0])) {
		ptx_unsupported(l);
		return;
	}
	same_type(l, stmt, first + ptx_size_index(ptx_type_size(stmt->types[0])), nsources);
}

static void
by_type(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_handler first, int nsources)
{
	if (!has_sizes(stmt->types[0])) {
		ptx_unsupported(l);
		return;
	}
	same_type(l, stmt, first + ptx_type_index(stmt->types[0]), nsources);
}

/* a + b (+ carry), the carry out kept when .cc asks for it. A difference is a + ~b + 1, as on the
 * device: nvcc divides 128-bit integers with an addc after a sub.cc. */
static void
add_with_carry(struct ptx_lower *l, const struct ptx_stmt *stmt, uint32_t dst, uint32_t a,
	       uint32_t b, int carry_in, int subtract)
{
	uint8_t size = l->values[dst].size;
	uint32_t carry = carry_in ? l->carry
				  : ptx_value_literal(l, PTX_PREDICATE, subtract ? UINT32_MAX : 0);
	enum ptx_handler sum = subtract ? PTX_H_subc_32 : PTX_H_addc_32;
	enum ptx_handler out = subtract ? PTX_H_sub_carry_32 : PTX_H_carry_32;

	if (size != 4 && size != 8) {
		ptx_unsupported(l);
		return;
	}
	/* The result may be one of the operands: the carry is computed first. */
	uint32_t next = NONE;

	if (ptx_has(stmt, PTX_M_CC))
		next = ptx_temp(l, out + (size == 8), a, b, carry);
	ptx_emit(l, sum + (size == 8), dst, a, b, carry);
	if (next != NONE)
		ptx_emit(l, PTX_H_pmov, l->carry, next, NONE, NONE);
}

static void
lower_add(struct ptx_lower *l, const struct ptx_stmt *stmt, int subtract)
{
	enum ptx_type type = stmt->types[0];
	int carry_in = stmt->opcode == PTX_OP_addc || stmt->opcode == PTX_OP_subc;

	if (stmt->nops != 3) {
		ptx_unsupported(l);
	} else if (ptx_has(stmt, PTX_M_CC) || carry_in) {
		uint32_t a = ptx_use(l, &stmt->ops[1], type);
		uint32_t b = ptx_use(l, &stmt->ops[2], type);
		uint32_t dst = ptx_result(l, &stmt->ops[0], (uint8_t)ptx_type_reg_size(type));

		add_with_carry(l, stmt, dst, a, b, carry_in, subtract);
	} else if (ptx_has(stmt, PTX_M_SAT)) {
		if (type != PTX_T_S32)
			ptx_unsupported(l);
		else
			same_type(l, stmt, subtract ? PTX_H_sub_sat_s32 : PTX_H_add_sat_s32, 2);
	} else if ((type == PTX_T_U16X2 || type == PTX_T_S16X2) && !subtract) {
		same_type(l, stmt, PTX_H_add_16x2, 2);
	} else {
		by_size(l, stmt, subtract ? PTX_H_sub_16 : PTX_H_add_16, 2);
	}
}

static void
lower_mul(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type type = stmt->types[0];

	if (ptx_has(stmt, PTX_M_WIDE)) {
		uint32_t size = ptx_type_size(type);

		if (stmt->nops != 3 || size > 4 || !has_sizes(type)) {
			ptx_unsupported(l);
			return;
		}
		uint32_t a = ptx_use(l, &stmt->ops[1], type);
		uint32_t b = ptx_use(l, &stmt->ops[2], type);

		ptx_emit(l, PTX_H_mulwide_u16 + ptx_type_index(type),
			 ptx_result_signed(l, &stmt->ops[0], (uint8_t)(2 * size),
					   ptx_type_is_signed(type)),
			 a, b, NONE);
	} else if (ptx_has(stmt, PTX_M_HI)) {
		by_type(l, stmt, PTX_H_mulhi_u16, 2);
	} else {
		by_size(l, stmt, PTX_H_mul_16, 2);
	}
}

static void
lower_mad(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type type = stmt->types[0];
	int carry_in = stmt->opcode == PTX_OP_madc;
	uint8_t size = (uint8_t)ptx_type_size(type);

	if (stmt->nops != 4 || !has_sizes(type)) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use(l, &stmt->ops[1], type);
	uint32_t b = ptx_use(l, &stmt->ops[2], type);

	if (ptx_has(stmt, PTX_M_WIDE)) {
		enum ptx_type wide = ptx_type_is_signed(type) ? (size == 2 ? PTX_T_S32 : PTX_T_S64)
							      : (size == 2 ? PTX_T_U32 : PTX_T_U64);

		if (size > 4) {
			ptx_unsupported(l);
			return;
		}
		uint32_t c = ptx_use(l, &stmt->ops[3], wide);

		ptx_emit(l, PTX_H_madwide_u16 + ptx_type_index(type),
			 ptx_result(l, &stmt->ops[0], (uint8_t)(2 * size)), a, b, c);
		return;
	}

	uint32_t c = ptx_use(l, &stmt->ops[3], type);
	uint32_t dst = ptx_result(l, &stmt->ops[0], size);
	int hi = ptx_has(stmt, PTX_M_HI);

	if (!hi && !carry_in && !ptx_has(stmt, PTX_M_CC)) {
		ptx_emit(l, PTX_H_mad_16 + ptx_size_index(size), dst, a, b, c);
		return;
	}
	uint32_t product = ptx_temp(l,
				    hi ? PTX_H_mulhi_u16 + ptx_type_index(type)
				       : PTX_H_mul_16 + ptx_size_index(size),
				    a, b, NONE);

	if (carry_in || ptx_has(stmt, PTX_M_CC))
		add_with_carry(l, stmt, dst, product, c, carry_in, 0);
	else if (ptx_has(stmt, PTX_M_SAT))
		ptx_emit(l, PTX_H_add_sat_s32, dst, product, c, NONE);
	else
		ptx_emit(l, PTX_H_add_16 + ptx_size_index(size), dst, product, c, NONE);
}

static void
lower_24(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type type = stmt->types[0];
	int hi = ptx_has(stmt, PTX_M_HI), mad = stmt->opcode == PTX_OP_mad24;
	enum ptx_handler h = hi ? PTX_H_mul24hi_u32 : PTX_H_mul24lo_u32;

	if ((type != PTX_T_U32 && type != PTX_T_S32) || stmt->nops != 3 + mad) {
		ptx_unsupported(l);
		return;
	}
	h += type == PTX_T_S32;
	if (!mad) {
		same_type(l, stmt, h, 2);
		return;
	}
	uint32_t a = ptx_use(l, &stmt->ops[1], type);
	uint32_t b = ptx_use(l, &stmt->ops[2], type);
	uint32_t c = ptx_use(l, &stmt->ops[3], type);
	uint32_t product = ptx_temp(l, h, a, b, NONE);

	ptx_emit(l, ptx_has(stmt, PTX_M_SAT) ? PTX_H_add_sat_s32 : PTX_H_add_32,
		 ptx_result(l, &stmt->ops[0], 4), product, c, NONE);
}

static void
lower_min_max(struct ptx_lower *l, const struct ptx_stmt *stmt, int max)
{
	enum ptx_type type = stmt->types[0];

	if (type == PTX_T_U16X2) {
		same_type(l, stmt, max ? PTX_H_max_u16x2 : PTX_H_min_u16x2, 2);
	} else if (type == PTX_T_S16X2) {
		same_type(l, stmt, max ? PTX_H_max_s16x2 : PTX_H_min_s16x2, 2);
	} else {
		by_type(l, stmt, max ? PTX_H_max_u16 : PTX_H_min_u16, 2);
	}
	if (!ptx_has(stmt, PTX_M_RELU) || l->unsupported)
		return;
	/* .relu: no result is negative */
	if (type != PTX_T_S32 || l->nresize) {
		ptx_unsupported(l);
		return;
	}
	uint32_t dst = ptx_result(l, &stmt->ops[0], 4);

	ptx_emit(l, PTX_H_max_s32, dst, dst, ptx_value_literal(l, 4, 0), NONE);
}

/* and, or, xor, not: of words or of predicates */
static void
lower_logic(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_handler words,
	    enum ptx_handler masks, int nsources)
{
	if (stmt->types[0] != PTX_T_PRED) {
		by_size(l, stmt, words, nsources);
		return;
	}
	if (stmt->nops != nsources + 1) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use_predicate(l, &stmt->ops[1]);
	uint32_t b = nsources > 1 ? ptx_use_predicate(l, &stmt->ops[2]) : NONE;

	ptx_emit(l, masks, ptx_result(l, &stmt->ops[0], PTX_PREDICATE), a, b, NONE);
}

static void
lower_shift(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_handler first)
{
	enum ptx_type type = stmt->types[0];

	if (stmt->nops != 3 || !has_sizes(type)) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use(l, &stmt->ops[1], type);
	uint32_t b = ptx_use(l, &stmt->ops[2], PTX_T_U32);

	ptx_emit(l, first + ptx_type_index(type),
		 ptx_result(l, &stmt->ops[0], (uint8_t)ptx_type_size(type)), a, b, NONE);
}

/* The result has 32 bits whatever the operand has: popc, clz, bfind. */
static void
lower_count(struct ptx_lower *l, const struct ptx_stmt *stmt, enum ptx_handler handler)
{
	enum ptx_type type = stmt->types[0];

	if (stmt->nops != 2 || (ptx_type_size(type) != 4 && ptx_type_size(type) != 8)) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use(l, &stmt->ops[1], type);
	uint32_t dst = ptx_result(l, &stmt->ops[0], 4);

	ptx_emit(l, handler, dst, a, NONE, NONE);
	if (!ptx_has(stmt, PTX_M_SHIFTAMT))
		return;

	/* How far to shift the found bit to the top; still -1 if there is none. */
	uint32_t bits = ptx_type_size(type) * 8;
	uint32_t flipped = ptx_temp(l, PTX_H_sub_32, ptx_value_literal(l, 4, bits - 1), dst, NONE);
	uint32_t none = ptx_value_literal(l, 4, 0xffffffff);
	uint32_t empty = ptx_temp(l, PTX_H_eq_32, dst, none, NONE);

	ptx_emit(l, PTX_H_selp_32, dst, none, flipped, empty);
}

static void
lower_fields(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type type = stmt->types[0];
	uint8_t size = (uint8_t)ptx_type_size(type);
	int insert = stmt->opcode == PTX_OP_bfi;

	if (stmt->nops != 4 + insert || (size != 4 && size != 8)) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use(l, &stmt->ops[1], type);

	if (insert) {
		uint32_t b = ptx_use(l, &stmt->ops[2], type);
		uint32_t c = ptx_use(l, &stmt->ops[3], PTX_T_U32);
		uint32_t d = ptx_use(l, &stmt->ops[4], PTX_T_U32);

		ptx_emit4(l, size == 4 ? PTX_H_bfi_32 : PTX_H_bfi_64,
			  ptx_result(l, &stmt->ops[0], size), a, b, c, d);
		return;
	}
	uint32_t b = ptx_use(l, &stmt->ops[2], PTX_T_U32);
	uint32_t c = ptx_use(l, &stmt->ops[3], PTX_T_U32);
	enum ptx_handler h = PTX_H_bfe_u32 + ptx_type_is_signed(type) + 2 * (size == 8);

	ptx_emit(l, h, ptx_result(l, &stmt->ops[0], size), a, b, c);
}

static void
lower_shf(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_handler h = ptx_has(stmt, PTX_M_WRAP) ? PTX_H_shf_l_wrap : PTX_H_shf_l_clamp;

	if (stmt->nops != 4 || stmt->types[0] != PTX_T_B32) {
		ptx_unsupported(l);
		return;
	}
	same_type(l, stmt, ptx_has(stmt, PTX_M_R) ? h + 1 : h, 3);
}

static void
lower_lop3(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	int combine = ptx_has(stmt, PTX_M_AND) || ptx_has(stmt, PTX_M_OR);

	if (stmt->types[0] != PTX_T_B32 || stmt->nops != 5 + combine) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use(l, &stmt->ops[1], PTX_T_B32);
	uint32_t b = ptx_use(l, &stmt->ops[2], PTX_T_B32);
	uint32_t c = ptx_use(l, &stmt->ops[3], PTX_T_B32);
	uint32_t table = ptx_use(l, &stmt->ops[4], PTX_T_B32);
	uint32_t dst = ptx_result(l, &stmt->ops[0], 4);

	ptx_emit4(l, PTX_H_lop3, dst, a, b, c, table);
	if (!combine)
		return;

	/* "d|p": p says whether the result is not zero, joined with another predicate */
	const struct ptx_operand *pair = stmt->ops[0].pair;

	if (!pair) {
		ptx_unsupported(l);
		return;
	}
	uint32_t set = ptx_temp(l, PTX_H_ne_32, dst, ptx_value_literal(l, 4, 0), NONE);
	uint32_t q = ptx_use_predicate(l, &stmt->ops[5]);

	ptx_emit(l, ptx_has(stmt, PTX_M_AND) ? PTX_H_pand : PTX_H_por,
		 ptx_result(l, pair, PTX_PREDICATE), set, q, NONE);
}

static void
lower_prmt(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	static const struct {
		enum ptx_modifier modifier;
		enum ptx_handler handler;
	} modes[] = {
		{PTX_M_F4E, PTX_H_prmt_f4e}, {PTX_M_B4E, PTX_H_prmt_b4e},
		{PTX_M_RC8, PTX_H_prmt_rc8}, {PTX_M_ECL, PTX_H_prmt_ecl},
		{PTX_M_ECR, PTX_H_prmt_ecr}, {PTX_M_RC16, PTX_H_prmt_rc16},
	};
	enum ptx_handler h = PTX_H_prmt;

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (ptx_has(stmt, modes[i].modifier))
			h = modes[i].handler;
	if (stmt->types[0] != PTX_T_B32)
		ptx_unsupported(l);
	else
		same_type(l, stmt, h, 3);
}

/* dp4a.atype.btype d, a, b, c */
static void
lower_dot(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_handler h = stmt->opcode == PTX_OP_dp4a ? PTX_H_dp4a_uu
			     : ptx_has(stmt, PTX_M_HI)   ? PTX_H_dp2a_hi_uu
							 : PTX_H_dp2a_lo_uu;

	if (stmt->ntypes != 2 || ptx_type_size(stmt->types[0]) != 4 ||
	    ptx_type_size(stmt->types[1]) != 4) {
		ptx_unsupported(l);
		return;
	}
	h += 2 * ptx_type_is_signed(stmt->types[0]) + ptx_type_is_signed(stmt->types[1]);
	same_type(l, stmt, h, 3);
}

void
ptx_lower_int(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type type = stmt->types[0];
	int wide = ptx_type_size(type) == 8;
	int sign = ptx_type_is_signed(type);

	if (!stmt->ntypes) {
		ptx_unsupported(l);
		return;
	}
	switch (stmt->opcode) {
	case PTX_OP_add:
	case PTX_OP_addc:
		lower_add(l, stmt, 0);
		break;
	case PTX_OP_sub:
	case PTX_OP_subc:
		lower_add(l, stmt, 1);
		break;
	case PTX_OP_mul:
		lower_mul(l, stmt);
		break;
	case PTX_OP_mad:
	case PTX_OP_madc:
		lower_mad(l, stmt);
		break;
	case PTX_OP_mul24:
	case PTX_OP_mad24:
		lower_24(l, stmt);
		break;
	case PTX_OP_div:
		by_type(l, stmt, PTX_H_div_u16, 2);
		break;
	case PTX_OP_rem:
		by_type(l, stmt, PTX_H_rem_u16, 2);
		break;
	case PTX_OP_abs:
		by_size(l, stmt, PTX_H_abs_16, 1);
		break;
	case PTX_OP_neg:
		by_size(l, stmt, PTX_H_neg_16, 1);
		break;
	case PTX_OP_min:
		lower_min_max(l, stmt, 0);
		break;
	case PTX_OP_max:
		lower_min_max(l, stmt, 1);
		break;
	case PTX_OP_sad:
		by_type(l, stmt, PTX_H_sad_u16, 3);
		break;
	case PTX_OP_and:
		lower_logic(l, stmt, PTX_H_and_16, PTX_H_pand, 2);
		break;
	case PTX_OP_or:
		lower_logic(l, stmt, PTX_H_or_16, PTX_H_por, 2);
		break;
	case PTX_OP_xor:
		lower_logic(l, stmt, PTX_H_xor_16, PTX_H_pxor, 2);
		break;
	case PTX_OP_not:
		lower_logic(l, stmt, PTX_H_not_16, PTX_H_pnot, 1);
		break;
	case PTX_OP_cnot:
		by_size(l, stmt, PTX_H_cnot_16, 1);
		break;
	case PTX_OP_shl:
		lower_shift(l, stmt, PTX_H_shl_u16);
		break;
	case PTX_OP_shr:
		lower_shift(l, stmt, PTX_H_shr_u16);
		break;
	case PTX_OP_shf:
		lower_shf(l, stmt);
		break;
	case PTX_OP_bfe:
	case PTX_OP_bfi:
		lower_fields(l, stmt);
		break;
	case PTX_OP_bfind:
		lower_count(l, stmt, PTX_H_bfind_u32 + sign + 2 * wide);
		break;
	case PTX_OP_popc:
		lower_count(l, stmt, wide ? PTX_H_popc_64 : PTX_H_popc_32);
		break;
	case PTX_OP_clz:
		lower_count(l, stmt, wide ? PTX_H_clz_64 : PTX_H_clz_32);
		break;
	case PTX_OP_brev:
		if (ptx_type_size(type) < 4)
			ptx_unsupported(l);
		else
			same_type(l, stmt, wide ? PTX_H_brev_64 : PTX_H_brev_32, 1);
		break;
	case PTX_OP_bmsk:
		same_type(l, stmt, ptx_has(stmt, PTX_M_WRAP) ? PTX_H_bmsk_wrap : PTX_H_bmsk_clamp,
			  2);
		break;
	case PTX_OP_szext:
		/* .wrap takes the width modulo 32 */
		if (ptx_has(stmt, PTX_M_WRAP) && stmt->nops == 3) {
			uint32_t a = ptx_use(l, &stmt->ops[1], type);
			uint32_t b = ptx_use(l, &stmt->ops[2], PTX_T_U32);

			b = ptx_temp(l, PTX_H_and_32, b, ptx_value_literal(l, 4, 31), NONE);
			ptx_emit(l, PTX_H_szext_u32 + sign, ptx_result(l, &stmt->ops[0], 4), a, b,
				 NONE);
		} else {
			same_type(l, stmt, PTX_H_szext_u32 + sign, 2);
		}
		break;
	case PTX_OP_fns:
		same_type(l, stmt, PTX_H_fns, 3);
		break;
	case PTX_OP_lop3:
		lower_lop3(l, stmt);
		break;
	case PTX_OP_prmt:
		lower_prmt(l, stmt);
		break;
	case PTX_OP_dp4a:
	case PTX_OP_dp2a:
		lower_dot(l, stmt);
		break;
	default:
		ptx_unsupported(l);
		break;
	}
}
