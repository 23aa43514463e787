/*
 * Atomic operations. Global memory is shared by all worker threads, so they are the processor's
 * own, or loops around its compare-and-swap. A block runs on one thread, but an address may be
 * another block's, so shared memory is treated alike.
 */
#include "remote/device_cpu/ptx/exec_memory.h"
#include "remote/device_cpu/ptx/narrow.h"

static inline float
as_float(uint32_t bits)
{
	return narrow_float_of(bits);
}

static inline double
as_double(uint64_t bits)
{
	double a;

	memcpy(&a, &bits, sizeof(a));
	return a;
}

static uint16_t
update_half(enum ptx_atomic operation, int bf, uint16_t old, uint16_t value)
{
	float a = bf ? narrow_bf16_to_f32(old) : narrow_f16_to_f32(old);
	float b = bf ? narrow_bf16_to_f32(value) : narrow_f16_to_f32(value);
	float r = operation == PTX_ATOMIC_ADD   ? a + b
		  : operation == PTX_ATOMIC_MIN ? fminf(a, b)
						: fmaxf(a, b);

	return bf ? narrow_f32_to_bf16_rn(r) : narrow_f32_to_f16_rn(r);
}

static float
update_float(enum ptx_atomic operation, float old, float value)
{
	return operation == PTX_ATOMIC_ADD   ? old + value
	       : operation == PTX_ATOMIC_MIN ? fminf(old, value)
					     : fmaxf(old, value);
}

static double
update_double(enum ptx_atomic operation, double old, double value)
{
	return operation == PTX_ATOMIC_ADD   ? old + value
	       : operation == PTX_ATOMIC_MIN ? fmin(old, value)
					     : fmax(old, value);
}

static uint64_t
update_integer(enum ptx_atomic operation, int is_signed, uint64_t old, uint64_t value)
{
	/* Operands of 32 bits come extended as their type asks. */
	int less = is_signed ? (int64_t)value < (int64_t)old : value < old;

	switch (operation) {
	case PTX_ATOMIC_ADD:
		return old + value;
	case PTX_ATOMIC_MIN:
		return less ? value : old;
	case PTX_ATOMIC_MAX:
		return less ? old : value;
	case PTX_ATOMIC_AND:
		return old & value;
	case PTX_ATOMIC_OR:
		return old | value;
	case PTX_ATOMIC_XOR:
		return old ^ value;
	case PTX_ATOMIC_INC:
		return old >= value ? 0 : old + 1;
	case PTX_ATOMIC_DEC:
		return old == 0 || old > value ? value : old - 1;
	default:
		return value;
	}
}

static uint16_t
update_16(const struct ptx_atomic_data *data, uint16_t old, uint16_t value)
{
	return update_half(data->operation, data->type == PTX_T_BF16, old, value);
}

static uint32_t
update_32(const struct ptx_atomic_data *data, uint32_t old, uint32_t value)
{
	int bf = data->type == PTX_T_BF16X2;
	uint32_t bits;
	float f;

	switch (data->type) {
	case PTX_T_F32:
		f = update_float(data->operation, as_float(old), as_float(value));
		memcpy(&bits, &f, sizeof(bits));
		return bits;
	case PTX_T_F16X2:
	case PTX_T_BF16X2:
		bits = update_half(data->operation, bf, (uint16_t)old, (uint16_t)value);
		return bits | (uint32_t)update_half(data->operation, bf, (uint16_t)(old >> 16),
						    (uint16_t)(value >> 16))
				      << 16;
	case PTX_T_S32:
		return (uint32_t)update_integer(data->operation, 1, (uint64_t)(int32_t)old,
						(uint64_t)(int32_t)value);
	default:
		return (uint32_t)update_integer(data->operation, 0, old, value);
	}
}

static uint64_t
update_64(const struct ptx_atomic_data *data, uint64_t old, uint64_t value)
{
	uint64_t bits;
	double d;

	if (data->type == PTX_T_F64) {
		d = update_double(data->operation, as_double(old), as_double(value));
		memcpy(&bits, &d, sizeof(bits));
		return bits;
	}
	return update_integer(data->operation, data->type == PTX_T_S64, old, value);
}

/* name(memory, data, value, swap): the old value */
#define ATOMIC(name, T, update)                                                                    \
	PTX_UNCHECKED static T name(T *p, const struct ptx_atomic_data *data, T value, T swap)     \
	{                                                                                          \
		T old = __atomic_load_n(p, __ATOMIC_RELAXED);                                      \
		if (data->operation == PTX_ATOMIC_EXCH)                                            \
			return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);                    \
		if (data->operation == PTX_ATOMIC_CAS) {                                           \
			__atomic_compare_exchange_n(p, &value, swap, 0, __ATOMIC_SEQ_CST,          \
						    __ATOMIC_SEQ_CST);                             \
			return value;                                                              \
		}                                                                                  \
		while (!__atomic_compare_exchange_n(p, &old, update(data, old, value), 0,          \
						    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))           \
			;                                                                          \
		return old;                                                                        \
	}

ATOMIC(atomic_16, uint16_t, update_16)
ATOMIC(atomic_32, uint32_t, update_32)
ATOMIC(atomic_64, uint64_t, update_64)

/* 128 bits: one at a time. Programs use them only with other 128-bit atomics. */
PTX_UNCHECKED static void
atomic_128(uint8_t *p, const struct ptx_atomic_data *data, const uint64_t value[2],
	   const uint64_t swap[2], uint64_t ret_old[2])
{
	static char lock;
	const uint64_t *to = data->operation == PTX_ATOMIC_CAS ? swap : value;

	while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE))
		;
	memcpy(ret_old, p, 16);
	if (data->operation == PTX_ATOMIC_EXCH || !memcmp(ret_old, value, 16))
		memcpy(p, to, 16);
	__atomic_clear(&lock, __ATOMIC_RELEASE);
}

/* Integer sums at one address: one addition for all lanes, each sees the sum of those before. */
PTX_UNCHECKED static int
add_together(const struct ptx_insn *i, uint8_t *regs, struct ptx_warp *w, uint8_t *p, uint32_t size)
{
	uint64_t sum = 0, old, before[PTX_LANES];

	PTX_EACH_ACTIVE(l, w->mask)
	{
		before[l] = sum;
		sum += size == 4 ? PTX_REG(const uint32_t, i->b)[l]
				 : PTX_REG(const uint64_t, i->b)[l];
	}
	if (size == 4)
		old = __atomic_fetch_add((uint32_t *)(void *)p, (uint32_t)sum, __ATOMIC_SEQ_CST);
	else
		old = __atomic_fetch_add((uint64_t *)(void *)p, sum, __ATOMIC_SEQ_CST);
	if (!i->n)
		return 1;
	PTX_EACH_ACTIVE(l, w->mask)
	{
		if (size == 4)
			PTX_REG(uint32_t, i->dst)[l] = (uint32_t)(old + before[l]);
		else
			PTX_REG(uint64_t, i->dst)[l] = old + before[l];
	}
	return 1;
}

static int
adds_integers(const struct ptx_atomic_data *data)
{
	return data->operation == PTX_ATOMIC_ADD && (data->size == 4 || data->size == 8) &&
	       !ptx_type_is_float(data->type) && data->type != PTX_T_F16X2 &&
	       data->type != PTX_T_BF16X2;
}

PTX_UNCHECKED
PTX_HANDLER(atom)
{
	const struct ptx_atomic_data *data = i->data;
	const uint32_t size = data->size;
	const int way = data->way;
	uint8_t *pointers[PTX_LANES];
	uint8_t *same = NULL;
	int all_same = 1;

	w->pc = i;
	PTX_EACH_ACTIVE(l, w->mask)
	{
		uint64_t address = ptx_lane_address(i, regs, i->a, i->offset, way, l);

		pointers[l] = ptx_lane_pointer(i, w, way, address, l, size);
		if (!pointers[l] || (address & (size - 1)))
			return ptx_memory_fault(w, i, way, l, address, size);
		all_same &= !same || same == pointers[l];
		same = pointers[l];
	}
	if (all_same && same && adds_integers(data) && add_together(i, regs, w, same, size))
		return i + 1;

	PTX_EACH_ACTIVE(l, w->mask)
	{
		void *p = pointers[l];

		switch (size) {
		case 2: {
			uint16_t old = atomic_16(p, data, PTX_REG(uint16_t, i->b)[l],
						 PTX_REG(uint16_t, i->c)[l]);

			if (i->n)
				PTX_REG(uint16_t, i->dst)[l] = old;
			break;
		}
		case 4: {
			uint32_t old = atomic_32(p, data, PTX_REG(uint32_t, i->b)[l],
						 PTX_REG(uint32_t, i->c)[l]);

			if (i->n)
				PTX_REG(uint32_t, i->dst)[l] = old;
			break;
		}
		case 8: {
			uint64_t old = atomic_64(p, data, PTX_REG(uint64_t, i->b)[l],
						 PTX_REG(uint64_t, i->c)[l]);

			if (i->n)
				PTX_REG(uint64_t, i->dst)[l] = old;
			break;
		}
		default: {
			const uint64_t *b = PTX_REG(uint64_t, i->b), *c = PTX_REG(uint64_t, i->c);
			uint64_t value[2] = {b[l], b[l + PTX_LANES]};
			uint64_t swap[2] = {c[l], c[l + PTX_LANES]}, old[2];

			atomic_128(p, data, value, swap, old);
			if (i->n) {
				PTX_REG(uint64_t, i->dst)[l] = old[0];
				PTX_REG(uint64_t, i->dst)[l + PTX_LANES] = old[1];
			}
			break;
		}
		}
	}
	return i + 1;
}

void
PTX_ISA_NAME(ptx_exec_atomic)(ptx_exec_fn *table)
{
	table[PTX_H_atom] = exec_atom;
}
