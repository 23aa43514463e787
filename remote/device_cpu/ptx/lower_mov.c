/* Moving, packing, and addresses: mov, cvta, isspacep. */
#include "remote/device_cpu/ptx/lower.h"

enum { NONE = PTX_NO_VALUE };

static enum ptx_handler
mov_handler(uint8_t size)
{
	return size == PTX_PREDICATE ? PTX_H_pmov : PTX_H_mov_16 + ptx_size_index(size);
}

/* Bytes, which registers of 16 bits hold: mov.b16 d, {a, b}; mov.b32 d, {a, b, c, d}. */
static void
pack_bytes(struct ptx_lower *l, const struct ptx_stmt *stmt, uint8_t size)
{
	const struct ptx_operand *vector = &stmt->ops[1];
	uint32_t parts[4];

	for (uint32_t i = 0; i < vector->count; i++)
		parts[i] = ptx_use_size(l, &vector->elems[i], 2);
	if (size == 2) {
		ptx_emit(l, PTX_H_pack_8_16, ptx_result(l, &stmt->ops[0], 2), parts[0], parts[1],
			 NONE);
		return;
	}
	parts[0] = ptx_temp(l, PTX_H_pack_8_16, parts[0], parts[1], NONE);
	parts[1] = ptx_temp(l, PTX_H_pack_8_16, parts[2], parts[3], NONE);
	ptx_emit(l, PTX_H_pack_16_32, ptx_result(l, &stmt->ops[0], 4), parts[0], parts[1], NONE);
}

static void
unpack_bytes(struct ptx_lower *l, const struct ptx_stmt *stmt, uint8_t size)
{
	static const uint16_t bytes[2] = {PTX_H_low_16_8, PTX_H_high_16_8};
	const struct ptx_operand *vector = &stmt->ops[0];
	uint32_t value = ptx_use_size(l, &stmt->ops[1], size), halves[2] = {value, value};

	if (size == 4) {
		halves[0] = ptx_temp(l, PTX_H_narrow_32_16, value, NONE, NONE);
		halves[1] = ptx_temp(l, PTX_H_high_32_16, value, NONE, NONE);
	}
	for (uint32_t i = 0; i < vector->count; i++)
		if (vector->elems[i].kind != PTX_O_SINK)
			ptx_emit(l, bytes[i % 2], ptx_result(l, &vector->elems[i], 2),
				 halves[i / 2], NONE, NONE);
}

/* mov.b64 d, {a, b}: the first element is the low part */
static void
pack(struct ptx_lower *l, const struct ptx_stmt *stmt, uint8_t size)
{
	const struct ptx_operand *vector = &stmt->ops[1];
	uint32_t parts[4];

	if ((vector->count == 2 || vector->count == 4) && size == vector->count) {
		pack_bytes(l, stmt, size);
		return;
	}
	if ((vector->count != 2 && vector->count != 4) || size < 4 || size / vector->count < 2) {
		ptx_unsupported(l);
		return;
	}
	for (uint32_t i = 0; i < vector->count; i++)
		parts[i] = ptx_use_size(l, &vector->elems[i], (uint8_t)(size / vector->count));
	if (size == 16) {
		ptx_emit(l, PTX_H_join_128, ptx_result(l, &stmt->ops[0], 16), parts[0], parts[1],
			 NONE);
		return;
	}
	if (vector->count == 4) {
		parts[0] = ptx_temp(l, PTX_H_pack_16_32, parts[0], parts[1], NONE);
		parts[1] = ptx_temp(l, PTX_H_pack_16_32, parts[2], parts[3], NONE);
	}
	ptx_emit(l, size == 8 ? PTX_H_pack_32_64 : PTX_H_pack_16_32,
		 ptx_result(l, &stmt->ops[0], size), parts[0], parts[1], NONE);
}

static void
unpack(struct ptx_lower *l, const struct ptx_stmt *stmt, uint8_t size)
{
	static const uint16_t quarters[4] = {PTX_H_narrow_64_16, PTX_H_part1_64_16,
					     PTX_H_part2_64_16, PTX_H_part3_64_16};
	static const uint16_t halves32[2] = {PTX_H_narrow_32_16, PTX_H_high_32_16};
	static const uint16_t halves64[2] = {PTX_H_narrow_64_32, PTX_H_high_64_32};
	static const uint16_t halves128[2] = {PTX_H_low_128, PTX_H_high_128};
	const struct ptx_operand *vector = &stmt->ops[0];
	const uint16_t *handlers = NULL;
	uint32_t value;

	if ((vector->count == 2 || vector->count == 4) && size == vector->count) {
		unpack_bytes(l, stmt, size);
		return;
	}
	if (vector->count == 2)
		handlers = size == 4    ? halves32
			   : size == 8  ? halves64
			   : size == 16 ? halves128
					: NULL;
	else if (vector->count == 4 && size == 8)
		handlers = quarters;
	if (!handlers) {
		ptx_unsupported(l);
		return;
	}
	value = ptx_use_size(l, &stmt->ops[1], size);
	for (uint32_t i = 0; i < vector->count; i++)
		if (vector->elems[i].kind != PTX_O_SINK)
			ptx_emit(l, handlers[i],
				 ptx_result(l, &vector->elems[i], (uint8_t)(size / vector->count)),
				 value, NONE, NONE);
}

static void
lower_mov(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_type type = stmt->types[0];
	uint8_t size = type == PTX_T_PRED ? PTX_PREDICATE : (uint8_t)ptx_type_reg_size(type);

	if (!stmt->ntypes || stmt->nops != 2) {
		ptx_unsupported(l);
	} else if (stmt->ops[1].kind == PTX_O_VECTOR) {
		pack(l, stmt, size);
	} else if (stmt->ops[0].kind == PTX_O_VECTOR) {
		unpack(l, stmt, size);
	} else if (size == PTX_PREDICATE) {
		uint32_t a = ptx_use_predicate(l, &stmt->ops[1]);

		ptx_emit(l, PTX_H_pmov, ptx_result(l, &stmt->ops[0], PTX_PREDICATE), a, NONE, NONE);
	} else if (size == 16) {
		uint32_t a = ptx_use_size(l, &stmt->ops[1], 16);

		ptx_emit(l, PTX_H_mov_128, ptx_result(l, &stmt->ops[0], 16), a, NONE, NONE);
	} else {
		uint32_t a = ptx_use(l, &stmt->ops[1], type);

		ptx_emit(l, mov_handler(size), ptx_result(l, &stmt->ops[0], size), a, NONE, NONE);
	}
}

/* Between a generic address and one of a state space. */
static void
lower_cvta(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	int to = ptx_has(stmt, PTX_M_TO);
	enum ptx_handler h = PTX_H_NONE;

	if (stmt->nops != 2 || !stmt->ntypes || ptx_type_size(stmt->types[0]) != 8) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use_size(l, &stmt->ops[1], 8);

	switch (ptx_space_of(stmt)) {
	case PTX_SPACE_GLOBAL:
	case PTX_SPACE_CONST:
		h = PTX_H_mov_64;
		break;
	case PTX_SPACE_SHARED:
		h = to ? PTX_H_cvta_to_shared : PTX_H_cvta_shared;
		break;
	case PTX_SPACE_LOCAL:
		h = to ? PTX_H_cvta_to_local : PTX_H_cvta_local;
		break;
	case PTX_SPACE_PARAM:
		if (!l->code->function->entry)
			h = to ? PTX_H_cvta_to_local : PTX_H_cvta_local;
		else
			h = to ? PTX_H_cvta_to_param : PTX_H_cvta_param;
		break;
	case PTX_SPACE_GENERIC:
	case PTX_SPACE_REG:
		ptx_unsupported(l);
		return;
	}
	ptx_emit(l, h, ptx_result(l, &stmt->ops[0], 8), a, NONE, NONE);
}

static void
lower_isspacep(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	enum ptx_handler h = PTX_H_NONE;

	switch (ptx_space_of(stmt)) {
	case PTX_SPACE_GLOBAL:
	case PTX_SPACE_CONST: /* constants are where other variables are */
		h = PTX_H_is_global;
		break;
	case PTX_SPACE_SHARED:
		h = PTX_H_is_shared;
		break;
	case PTX_SPACE_LOCAL:
		h = PTX_H_is_local;
		break;
	case PTX_SPACE_PARAM:
		h = l->code->function->entry ? PTX_H_is_param : PTX_H_is_local;
		break;
	case PTX_SPACE_GENERIC:
	case PTX_SPACE_REG:
		break;
	}
	if (!h || stmt->nops != 2) {
		ptx_unsupported(l);
		return;
	}
	uint32_t a = ptx_use_size(l, &stmt->ops[1], 8);

	ptx_emit(l, h, ptx_result(l, &stmt->ops[0], PTX_PREDICATE), a, NONE, NONE);
}

void
ptx_lower_mov(struct ptx_lower *l, const struct ptx_stmt *stmt)
{
	switch (stmt->opcode) {
	case PTX_OP_mov:
		lower_mov(l, stmt);
		break;
	case PTX_OP_cvta:
		lower_cvta(l, stmt);
		break;
	default:
		lower_isspacep(l, stmt);
		break;
	}
}
