/*
 * Matrix instructions. A warp's registers are spread out into plain matrices, multiplied, and
 * collected again: floating point sums are computed in f64 and rounded once.
 */
#include "remote/device_cpu/ptx/exec_memory.h"
#include "remote/device_cpu/ptx/narrow.h"

enum { MAX_M = 32, MAX_N = 32, MAX_K = 256, MATRIX = 8 };

/* All elements as doubles: exact for every type but 64-bit integers, of which there are none. */
struct operands {
	double a[MAX_M * MAX_K], b[MAX_K * MAX_N], c[MAX_M * MAX_N];
};

static uint32_t
bits_of(enum ptx_type type)
{
	switch (type) {
	case PTX_T_F16:
	case PTX_T_BF16:
		return 16;
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
		return 32;
	}
}

static float
fp8_value(uint32_t bits, int mantissa, int bias)
{
	int exponent = (int)(bits & 0x7f) >> mantissa;
	float fraction = (float)(bits & ((1u << mantissa) - 1));
	float value =
		exponent ? ldexpf(fraction + (float)(1 << mantissa), exponent - bias - mantissa)
			 : ldexpf(fraction, 1 - bias - mantissa);

	return bits & 0x80 ? -value : value;
}

/* Element @j of a register that holds several. */
static double
element(uint64_t bits, uint32_t j, enum ptx_type type)
{
	uint32_t width = bits_of(type), v = (uint32_t)(bits >> j * width);
	double d;

	switch (type) {
	case PTX_T_F16:
		return narrow_f16_to_f32((uint16_t)v);
	case PTX_T_BF16:
		return narrow_bf16_to_f32((uint16_t)v);
	case PTX_T_TF32:
		return narrow_float_of(v & ~0x1fffu);
	case PTX_T_F32:
		return narrow_float_of(v);
	case PTX_T_F64:
		memcpy(&d, &bits, sizeof(d));
		return d;
	case PTX_T_S32:
		return (int32_t)v;
	case PTX_T_S8:
		return (int8_t)v;
	case PTX_T_U8:
		return (uint8_t)v;
	case PTX_T_S4:
		return (int32_t)(v << 28) >> 28;
	case PTX_T_U4:
		return v & 15;
	case PTX_T_B1:
		return v & 1;
	case PTX_T_E4M3:
		return (v & 0x7f) == 0x7f ? NAN : fp8_value(v & 0xff, 3, 7);
	case PTX_T_E5M2:
		return (v & 0x7f) > 0x7c    ? NAN
		       : (v & 0x7f) == 0x7c ? (v & 0x80 ? -INFINITY : INFINITY)
					    : fp8_value(v & 0xff, 2, 15);
	default:
		return 0;
	}
}

static uint64_t
read_register(const uint8_t *regs, uint32_t place, uint32_t lane, int wide)
{
	uint64_t value = 0;

	memcpy(&value, regs + place + lane * (wide ? 8 : 4), wide ? 8 : 4);
	return value;
}

static void
write_register(uint8_t *regs, uint32_t place, uint32_t lane, int wide, uint64_t value)
{
	memcpy(regs + place + lane * (wide ? 8 : 4), &value, wide ? 8 : 4);
}

/* These instructions are for whole warps: lanes that are elsewhere are waited for. */
#define WHOLE_WARP()                                                                               \
	do {                                                                                       \
		if ((w->live & ~w->mask) && !ptx_warp_gather(w, i, UINT32_MAX))                    \
			return NULL;                                                               \
	} while (0)

/* A result in the bits of its type. */
static uint64_t
result_bits(double value, enum ptx_type type, int saturate)
{
	uint64_t bits = 0;
	float narrow;

	switch (type) {
	case PTX_T_F16:
		return f64_to_narrow(value, &format_f16);
	case PTX_T_F32:
		narrow = value == value ? (float)value : narrow_float_of(0x7fffffff);
		memcpy(&bits, &narrow, sizeof(narrow));
		return bits;
	case PTX_T_F64:
		memcpy(&bits, &value, sizeof(value));
		return bits;
	default: /* s32 */
		if (saturate)
			return (uint32_t)(value > INT32_MAX   ? INT32_MAX
					  : value < INT32_MIN ? INT32_MIN
							      : (int32_t)value);
		return (uint32_t)(int64_t)value;
	}
}

static double
dot(const struct ptx_matrix *x, const struct operands *o, uint32_t row, uint32_t column)
{
	double sum = 0;

	if (x->type_a == PTX_T_B1) {
		for (uint32_t k = 0; k < x->k; k++) {
			int a = o->a[row * x->k + k] != 0, b = o->b[k * x->n + column] != 0;

			sum += x->bit_and ? a && b : a != b;
		}
		return sum + o->c[row * x->n + column];
	}
	if (x->type_a == PTX_T_F64) {
		sum = o->c[row * x->n + column];
		for (uint32_t k = 0; k < x->k; k++)
			sum = fma(o->a[row * x->k + k], o->b[k * x->n + column], sum);
		return sum;
	}
	for (uint32_t k = 0; k < x->k; k++)
		sum += o->a[row * x->k + k] * o->b[k * x->n + column];
	return sum + o->c[row * x->n + column];
}

/*
 * Registers of mma. With E elements in a register, register r of lane l holds of A the elements
 * (l / 4 + 8 (r % 2), (l % 4) E + j + 4 E (r / 2)), of B ((l % 4) E + j + 4 E r, l / 4); of C and
 * D, two elements after another, (l / 4 + 8 (e / 2), (l % 4) 2 + e % 2). Matrices with 8 rows have
 * no second register for the lower half.
 */
static void
spread_mma(const struct ptx_matrix *x, const uint8_t *regs, struct operands *o)
{
	uint32_t bits = bits_of(x->type_a), e = bits == 64 ? 1 : 32 / bits;
	const uint32_t *a = x->regs + x->nd, *b = a + x->na, *c = b + x->nb;
	uint32_t halves = x->m / 8;

	for (uint32_t l = 0; l < PTX_LANES; l++) {
		uint32_t group = l / 4, t = l % 4;

		for (uint32_t r = 0; r < x->na; r++) {
			uint64_t v = read_register(regs, a[r], l, bits == 64);
			uint32_t row = group + 8 * (r % halves),
				 column = t * e + 4 * e * (r / halves);

			for (uint32_t j = 0; j < e; j++)
				o->a[row * x->k + column + j] = element(v, j, x->type_a);
		}
		for (uint32_t r = 0; r < x->nb; r++) {
			uint64_t v = read_register(regs, b[r], l, bits == 64);

			for (uint32_t j = 0; j < e; j++)
				o->b[(t * e + j + 4 * e * r) * x->n + group] =
					element(v, j, x->type_b);
		}
		uint32_t ec = x->type_c == PTX_T_F16 ? 2 : 1;

		for (uint32_t r = 0; r < x->nc; r++) {
			uint64_t v = read_register(regs, c[r], l, x->type_c == PTX_T_F64);

			for (uint32_t j = 0; j < ec; j++) {
				uint32_t k = r * ec + j;

				o->c[(group + 8 * (k / 2)) * x->n + t * 2 + k % 2] =
					element(v, j, x->type_c);
			}
		}
	}
}

PTX_HANDLER(mma)
{
	const struct ptx_matrix *x = i->data;
	uint32_t ed = x->type_d == PTX_T_F16 ? 2 : 1;
	struct operands o;

	WHOLE_WARP();
	spread_mma(x, regs, &o);
	PTX_EACH_ACTIVE(l, w->mask)
	{
		uint32_t group = l / 4, t = l % 4;

		for (uint32_t r = 0; r < x->nd; r++) {
			uint64_t v = 0;

			for (uint32_t j = 0; j < ed; j++) {
				uint32_t k = r * ed + j;
				double d = dot(x, &o, group + 8 * (k / 2), t * 2 + k % 2);

				v |= result_bits(d, x->type_d, x->saturate) << j * 16;
			}
			write_register(regs, x->regs[r], l, x->type_d == PTX_T_F64, v);
		}
	}
	return i + 1;
}

/* wmma: element e is in lane e % 32, the (e / 32)-th of the lane's elements. */

static void
spread_wmma(const uint8_t *regs, const uint32_t *places, enum ptx_type type, uint32_t count,
	    double *to)
{
	uint32_t bits = bits_of(type), e = bits == 64 ? 1 : 32 / bits;

	for (uint32_t k = 0; k < count; k++) {
		uint32_t slot = k / PTX_LANES;

		to[k] = element(read_register(regs, places[slot / e], k % PTX_LANES, bits == 64),
				slot % e, type);
	}
}

PTX_HANDLER(wmma_mma)
{
	const struct ptx_matrix *x = i->data;
	const uint32_t *a = x->regs + x->nd, *b = a + x->na, *c = b + x->nb;
	uint32_t bits = bits_of(x->type_d), e = bits == 64 ? 1 : 32 / bits;
	struct operands o;

	WHOLE_WARP();
	spread_wmma(regs, a, x->type_a, x->m * x->k, o.a);
	spread_wmma(regs, b, x->type_b, x->k * x->n, o.b);
	spread_wmma(regs, c, x->type_c, x->m * x->n, o.c);
	PTX_EACH_ACTIVE(l, w->mask)
	{
		for (uint32_t r = 0; r < x->nd; r++) {
			uint64_t v = 0;

			for (uint32_t j = 0; j < e; j++) {
				uint32_t k = (r * e + j) * PTX_LANES + l;
				double d = dot(x, &o, k / x->n, k % x->n);

				v |= result_bits(d, x->type_d, x->saturate) << j * 16;
			}
			write_register(regs, x->regs[r], l, bits == 64, v);
		}
	}
	return i + 1;
}

/* Where element (row, column) of a matrix in memory is, in elements. */
static uint64_t
memory_index(const struct ptx_matrix *x, uint32_t k, uint64_t stride)
{
	uint32_t columns = x->which == 'a' ? x->k : x->n;
	uint32_t row = k / columns, column = k % columns;

	return x->col_c ? column * stride + row : row * stride + column;
}

static uint32_t
count_elements(const struct ptx_matrix *x)
{
	return x->which == 'a' ? x->m * x->k : x->which == 'b' ? x->k * x->n : x->m * x->n;
}

PTX_UNCHECKED static const struct ptx_insn *
wmma_memory(const struct ptx_insn *i, uint8_t *regs, struct ptx_warp *w, int store)
{
	const struct ptx_matrix *x = i->data;
	uint32_t bits = bits_of(x->type_d), bytes = bits / 8, e = bits == 64 ? 1 : 32 / bits;
	uint32_t lane = (uint32_t)__builtin_ctz(w->mask), count = count_elements(x);
	uint64_t base = ptx_lane_address(i, regs, i->a, i->offset, x->way, lane);
	uint64_t stride = PTX_REG(const uint32_t, i->b)[lane];

	WHOLE_WARP();
	w->pc = i;
	for (uint32_t k = 0; k < count; k++) {
		uint64_t address = base + memory_index(x, k, stride) * bytes, value = 0;
		uint8_t *p = ptx_lane_pointer(i, w, x->way, address, lane, bytes);
		uint32_t slot = k / PTX_LANES, place = x->regs[slot / e], l = k % PTX_LANES;
		uint32_t shift = slot % e * bits;
		uint64_t mask = bits == 64 ? ~0ull : ((1ull << bits) - 1) << shift;

		if (!p || (address & (bytes - 1)))
			return ptx_memory_fault(w, i, x->way, lane, address, bytes);
		if (store) {
			value = read_register(regs, place, l, bits == 64) >> shift;
			for (uint32_t n = 0; n < bytes; n++)
				p[n] = (uint8_t)(value >> 8 * n);
			continue;
		}
		for (uint32_t n = 0; n < bytes; n++)
			value |= (uint64_t)p[n] << 8 * n;
		value = (read_register(regs, place, l, bits == 64) & ~mask) | value << shift;
		write_register(regs, place, l, bits == 64, value);
	}
	return i + 1;
}

PTX_HANDLER(wmma_load)
{
	return wmma_memory(i, regs, w, 0);
}

PTX_HANDLER(wmma_store)
{
	return wmma_memory(i, regs, w, 1);
}

/* 8x8 matrices of 16-bit elements: lane l holds elements 2 (l % 4) and the next of row l / 4. */

static int
matrix_way(const struct ptx_insn *i)
{
	return i->flags & PTX_INSN_FLAG_C ? PTX_BY_ADDRESS : PTX_BY_WINDOW;
}

/* The row that lane @l points at: 16 bytes. NULL: out of range or misaligned. */
static uint8_t *
row_pointer(const struct ptx_insn *i, uint8_t *regs, struct ptx_warp *w, uint32_t l,
	    uint64_t *ret_address)
{
	int way = matrix_way(i);

	*ret_address = ptx_lane_address(i, regs, i->a, i->offset, way, l);
	if (*ret_address & 15)
		return NULL;
	return ptx_lane_pointer(i, w, way, *ret_address, l, 16);
}

PTX_UNCHECKED
PTX_HANDLER(ldmatrix)
{
	int transpose = i->flags & PTX_INSN_FLAG_B;
	uint16_t rows[4][MATRIX][MATRIX];
	uint64_t address;

	WHOLE_WARP();
	w->pc = i;
	for (uint32_t k = 0; k < (uint32_t)i->n * MATRIX; k++) {
		const uint8_t *p = row_pointer(i, regs, w, k, &address);

		if (!p)
			return ptx_memory_fault(w, i, matrix_way(i), k, address, 16);
		for (uint32_t n = 0; n < MATRIX; n++)
			rows[k / MATRIX][k % MATRIX][n] = (uint16_t)(p[2 * n] | p[2 * n + 1] << 8);
	}
	for (uint32_t m = 0; m < i->n; m++) {
		PTX_EACH_ACTIVE(l, w->mask)
		{
			uint32_t row = l / 4, column = l % 4 * 2;
			uint16_t low = transpose ? rows[m][column][row] : rows[m][row][column];
			uint16_t high =
				transpose ? rows[m][column + 1][row] : rows[m][row][column + 1];

			PTX_REG(uint32_t, i->list[m])[l] = low | (uint32_t)high << 16;
		}
	}
	return i + 1;
}

PTX_UNCHECKED
PTX_HANDLER(stmatrix)
{
	int transpose = i->flags & PTX_INSN_FLAG_B;
	uint64_t address;

	WHOLE_WARP();
	w->pc = i;
	for (uint32_t k = 0; k < (uint32_t)i->n * MATRIX; k++) {
		uint32_t m = k / MATRIX, row = k % MATRIX;
		uint8_t *p = row_pointer(i, regs, w, k, &address);

		if (!p)
			return ptx_memory_fault(w, i, matrix_way(i), k, address, 16);
		for (uint32_t column = 0; column < MATRIX; column++) {
			uint32_t r = transpose ? column : row, c = transpose ? row : column;
			uint32_t v = PTX_REG(uint32_t, i->list[m])[r * 4 + c / 2] >> c % 2 * 16;

			p[2 * column] = (uint8_t)v;
			p[2 * column + 1] = (uint8_t)(v >> 8);
		}
	}
	return i + 1;
}

PTX_HANDLER(movmatrix)
{
	const uint32_t *a = PTX_REG(const uint32_t, i->a);
	uint32_t values[PTX_LANES];

	WHOLE_WARP();
	for (uint32_t l = 0; l < PTX_LANES; l++) {
		uint32_t row = l / 4, column = l % 4 * 2;
		uint32_t low = a[column * 4 + row / 2] >> row % 2 * 16 & 0xffff;
		uint32_t high = a[(column + 1) * 4 + row / 2] >> row % 2 * 16 & 0xffff;

		values[l] = low | high << 16;
	}
	PTX_EACH_ACTIVE(l, w->mask)
	PTX_REG(uint32_t, i->dst)[l] = values[l];
	return i + 1;
}

void
PTX_ISA_NAME(ptx_exec_matrix)(ptx_exec_fn *table)
{
#define ENTER(name) table[PTX_H_##name] = exec_##name;
	ENTER(mma)
	ENTER(wmma_mma)
	ENTER(wmma_load)
	ENTER(wmma_store)
	ENTER(ldmatrix)
	ENTER(stmatrix)
	ENTER(movmatrix)
}
