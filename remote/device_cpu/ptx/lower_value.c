/* Values: registers, temporaries, literals; and operands as values. */
#include "remote/device_cpu/ptx/lower.h"

#include <stdlib.h>
#include <string.h>

uint32_t
ptx_value_new(struct ptx_lower *l, uint8_t size)
{
	if (l->nvalues == l->value_room)
		l->values = ptx_lower_grow(l, l->values, &l->value_room, sizeof(*l->values));
	l->values[l->nvalues] = (struct ptx_value){
		.size = size,
		.temporary = 1,
		.alias = PTX_NO_VALUE,
	};
	return l->nvalues++;
}

static uint32_t
fixed_hash(const struct ptx_fixed *f)
{
	uint64_t h = f->value * 0x9e3779b97f4a7c15ull;

	h ^= (uintptr_t)f->var * 0xc2b2ae3d27d4eb4full;
	h += f->kind * 31 + f->size * 7 + f->type * 131 + f->predicate;
	return (uint32_t)(h >> 32 ^ h);
}

static int
fixed_equal(const struct ptx_fixed *a, const struct ptx_fixed *b)
{
	return a->kind == b->kind && a->size == b->size && a->type == b->type &&
	       a->predicate == b->predicate && a->value == b->value && a->var == b->var;
}

static uint32_t *
fixed_slot(struct ptx_lower *l, const struct ptx_fixed *fixed)
{
	uint32_t i = fixed_hash(fixed) & (l->fixed_hash_size - 1);

	while (l->fixed_hash[i]) {
		uint32_t index = l->values[l->fixed_hash[i] - 1].fixed_index;

		if (fixed_equal(&l->fixed[index], fixed))
			break;
		i = (i + 1) & (l->fixed_hash_size - 1);
	}
	return &l->fixed_hash[i];
}

static void
grow_fixed_hash(struct ptx_lower *l)
{
	uint32_t *old = l->fixed_hash, old_size = l->fixed_hash_size;
	uint32_t size = old_size ? old_size * 2 : 256;
	uint32_t *table = calloc(size, sizeof(*table));

	if (!table) {
		l->lx->no_memory = 1;
		ptx_lexer_fail(l->lx, "out of memory");
	}
	l->fixed_hash = table;
	l->fixed_hash_size = size;
	for (uint32_t i = 0; i < old_size; i++)
		if (old[i])
			*fixed_slot(l, &l->fixed[l->values[old[i] - 1].fixed_index]) = old[i];
	free(old);
}

uint32_t
ptx_value_fixed(struct ptx_lower *l, const struct ptx_fixed *fixed)
{
	if (l->nfixed * 2 >= l->fixed_hash_size)
		grow_fixed_hash(l);

	uint32_t *slot = fixed_slot(l, fixed);

	if (*slot)
		return *slot - 1;
	if (l->nfixed == l->fixed_room)
		l->fixed = ptx_lower_grow(l, l->fixed, &l->fixed_room, sizeof(*l->fixed));

	uint32_t value = ptx_value_new(l, fixed->predicate ? PTX_PREDICATE : fixed->size);

	l->values[value].fixed = 1;
	l->values[value].temporary = 0;
	l->values[value].fixed_index = l->nfixed;
	l->fixed[l->nfixed++] = *fixed;
	*slot = value + 1;
	return value;
}

uint32_t
ptx_value_literal(struct ptx_lower *l, uint8_t size, uint64_t bits)
{
	struct ptx_fixed f = {.kind = PTX_FIXED_LITERAL, .size = size, .value = bits};

	if (size == PTX_PREDICATE) {
		f.size = 4;
		f.predicate = 1;
		f.value = bits ? UINT32_MAX : 0;
	} else if (size < 8) {
		f.value &= (1ull << size * 8) - 1;
	}
	return ptx_value_fixed(l, &f);
}

/* The bits of an immediate read as @type. */
static uint64_t
immediate_bits(const struct ptx_operand *op, enum ptx_type type)
{
	uint64_t bits = (uint64_t)op->imm;
	double wide;
	float narrow;

	if (type == PTX_T_F32 || type == PTX_T_F64) {
		if (!op->is_float) /* "mov.f32 %f1, 0x3f800000" is not legal; "0" is written by hand
				    */
			wide = (double)op->imm;
		else if (op->is_single) {
			uint32_t low = (uint32_t)bits;

			if (type == PTX_T_F32)
				return low;
			memcpy(&narrow, &low, sizeof(narrow));
			wide = narrow;
		} else {
			memcpy(&wide, &bits, sizeof(wide));
		}
		if (type == PTX_T_F64) {
			memcpy(&bits, &wide, sizeof(bits));
			return bits;
		}
		narrow = (float)wide;
		bits = 0;
		memcpy(&bits, &narrow, sizeof(narrow));
	}
	return bits;
}

uint32_t
ptx_resized(struct ptx_lower *l, uint32_t value, uint8_t size, int is_signed)
{
	uint8_t from = l->values[value].size;

	if (from == size)
		return value;
	if (from == PTX_PREDICATE || size == PTX_PREDICATE || from > 8 || size > 8) {
		ptx_unsupported(l);
		return ptx_value_literal(l, size, 0);
	}

	enum ptx_handler h;

	if (from == 2)
		h = size == 4 ? PTX_H_widen_u16_32 : PTX_H_widen_u16_64;
	else if (from == 4)
		h = size == 2 ? PTX_H_narrow_32_16 : PTX_H_widen_u32_64;
	else
		h = size == 2 ? PTX_H_narrow_64_16 : PTX_H_narrow_64_32;
	if (size > from && is_signed)
		h++; /* the signed one follows */

	uint32_t to = ptx_value_new(l, size);

	ptx_emit(l, h, to, value, PTX_NO_VALUE, PTX_NO_VALUE);
	return to;
}

static uint32_t
use_special(struct ptx_lower *l, enum ptx_special special)
{
	uint8_t size = (uint8_t)ptx_special_size(special);

	if (ptx_special_when(special) == PTX_WHEN_READ) {
		uint32_t value = ptx_value_new(l, size);
		enum ptx_handler h = size == 8 ? PTX_H_read_special_64 : PTX_H_read_special_32;

		ptx_emit(l, h, value, PTX_NO_VALUE, PTX_NO_VALUE, PTX_NO_VALUE)->insn.imm = special;
		return value;
	}

	if (special >= PTX_S_RESERVED_SMEM_BEGIN && special <= PTX_S_RESERVED_SMEM_1)
		l->code->reserved_shared = 1;

	struct ptx_fixed f = {.kind = PTX_FIXED_SPECIAL, .size = size, .value = special};

	return ptx_value_fixed(l, &f);
}

static void
note_shared(struct ptx_lower *l, const struct ptx_variable *var)
{
	for (uint32_t i = 0; i < l->nshared; i++)
		if (l->shared[i] == var)
			return;
	if (l->nshared == l->shared_room)
		l->shared = ptx_lower_grow(l, l->shared, &l->shared_room, sizeof(*l->shared));
	l->shared[l->nshared++] = var;
}

/* The address of a variable in its own state space. */
static uint32_t
use_variable(struct ptx_lower *l, const struct ptx_operand *op, uint8_t size)
{
	const struct ptx_variable *var = op->var;
	struct ptx_fixed f = {.size = size, .value = (uint64_t)op->imm};

	switch (var->space) {
	case PTX_SPACE_GLOBAL:
	case PTX_SPACE_CONST:
		f.kind = PTX_FIXED_LITERAL;
		f.value += (uintptr_t)var->data;
		break;
	case PTX_SPACE_SHARED:
		f.kind = PTX_FIXED_SHARED;
		f.var = var;
		note_shared(l, var);
		break;
	case PTX_SPACE_PARAM:
		/* A kernel's parameters begin at 0 of their window. */
		f.kind = var->kernel_param ? PTX_FIXED_LITERAL : PTX_FIXED_LOCAL;
		f.value += var->offset;
		break;
	case PTX_SPACE_LOCAL:
		f.kind = PTX_FIXED_LOCAL;
		f.value += var->offset;
		break;
	case PTX_SPACE_GENERIC:
	case PTX_SPACE_REG:
		ptx_unsupported(l);
		break;
	}
	if (f.kind == PTX_FIXED_LITERAL)
		return ptx_value_literal(l, size, f.value);
	return ptx_value_fixed(l, &f);
}

uint32_t
ptx_use_size(struct ptx_lower *l, const struct ptx_operand *op, uint8_t size)
{
	switch (op->kind) {
	case PTX_O_REG:
		if ((size == PTX_PREDICATE) != (l->values[op->reg].size == PTX_PREDICATE))
			break;
		if (op->imm)
			break;
		return ptx_resized(l, op->reg, size, 0);
	case PTX_O_IMM:
		return ptx_value_literal(l, size, (uint64_t)op->imm);
	case PTX_O_SPECIAL:
		return ptx_resized(l, use_special(l, op->special), size, 0);
	case PTX_O_VARIABLE:
		if (size != 4 && size != 8)
			break;
		return use_variable(l, op, size);
	case PTX_O_FUNCTION:
		if (size != 8)
			break;
		return ptx_value_literal(l, size,
					 ptx_function_address(ptx_function_target(op->function)));
	case PTX_O_NONE:
	case PTX_O_LABEL:
	case PTX_O_VECTOR:
	case PTX_O_MEMORY:
	case PTX_O_SINK:
		break;
	}
	ptx_unsupported(l);
	return ptx_value_literal(l, size, 0);
}

uint32_t
ptx_use(struct ptx_lower *l, const struct ptx_operand *op, enum ptx_type type)
{
	uint8_t size = (uint8_t)ptx_type_reg_size(type);

	if (type == PTX_T_PRED)
		return ptx_use_predicate(l, op);
	if (op->kind == PTX_O_IMM)
		return ptx_value_literal(l, size, immediate_bits(op, type));
	return ptx_use_size(l, op, size);
}

uint32_t
ptx_use_predicate(struct ptx_lower *l, const struct ptx_operand *op)
{
	uint32_t value = ptx_use_size(l, op, PTX_PREDICATE);

	if (!op->negate)
		return value;
	return ptx_temp(l, PTX_H_pnot, value, PTX_NO_VALUE, PTX_NO_VALUE);
}

uint32_t
ptx_use_any(struct ptx_lower *l, const struct ptx_operand *op)
{
	if (op->kind == PTX_O_REG && l->values[op->reg].size != PTX_PREDICATE)
		return op->reg;
	if (op->kind == PTX_O_SPECIAL)
		return use_special(l, op->special);
	return ptx_use_size(l, op, 8);
}

uint32_t
ptx_result_signed(struct ptx_lower *l, const struct ptx_operand *op, uint8_t size, int is_signed)
{
	if (op->kind == PTX_O_SINK)
		return ptx_value_new(l, size);
	if (op->kind != PTX_O_REG || op->imm) {
		ptx_unsupported(l);
		return ptx_value_new(l, size);
	}
	if (l->values[op->reg].size == size)
		return op->reg;
	if (l->nresize == sizeof(l->resize) / sizeof(*l->resize)) {
		ptx_unsupported(l);
		return ptx_value_new(l, size);
	}

	uint32_t value = ptx_value_new(l, size);

	l->resize[l->nresize++] = (struct ptx_resize){
		.from = value,
		.to = op->reg,
		.is_signed = (uint8_t)is_signed,
	};
	return value;
}

uint32_t
ptx_result(struct ptx_lower *l, const struct ptx_operand *op, uint8_t size)
{
	return ptx_result_signed(l, op, size, 0);
}
