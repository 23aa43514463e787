/*
 * What matrix instructions share: the elements of a warp's registers as plain matrices of f64,
 * their product, and results in the bits of their type. Every element of every type is exact in
 * f64, and so is every product of two; sums are computed in f64, one k after another, and rounded
 * once. Static, because each instruction set compiles its own.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_EXEC_MATRIX_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_EXEC_MATRIX_H

#include "remote/device_cpu/ptx/exec_memory.h"
#include "remote/device_cpu/ptx/narrow.h"

enum { MATRIX_MAX_M = 32, MATRIX_MAX_N = 32, MATRIX_MAX_K = 256 };

/* A is m x k, B is k x n, C and D are m x n: rows after rows. */
struct operands {
	double a[MATRIX_MAX_M * MATRIX_MAX_K], b[MATRIX_MAX_K * MATRIX_MAX_N];
	double c[MATRIX_MAX_M * MATRIX_MAX_N], d[MATRIX_MAX_M * MATRIX_MAX_N];
};

/* These instructions are for whole warps: lanes that are elsewhere are waited for. */
#define WHOLE_WARP()                                                                               \
	do {                                                                                       \
		if ((w->live & ~w->mask) && !ptx_warp_gather(w, i, UINT32_MAX))                    \
			return NULL;                                                               \
	} while (0)

static inline uint32_t
matrix_bits(enum ptx_type type)
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

/* How many elements share a register. */
static inline uint32_t
matrix_per_register(enum ptx_type type)
{
	uint32_t bits = matrix_bits(type);

	return bits == 64 ? 1 : 32 / bits;
}

static inline double
fp8_value(uint32_t bits, int mantissa, int bias)
{
	int exponent = (int)(bits & 0x7f) >> mantissa;
	float fraction = (float)(bits & ((1u << mantissa) - 1));
	float value =
		exponent ? ldexpf(fraction + (float)(1 << mantissa), exponent - bias - mantissa)
			 : ldexpf(fraction, 1 - bias - mantissa);

	return bits & 0x80 ? -value : value;
}

/* One element from the low bits of @v; the types that no loop of matrix_widen has. */
static inline double
rare_element(uint32_t v, enum ptx_type type)
{
	switch (type) {
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

/* @count elements that lie side by side from @from on. */
static inline void
matrix_widen(double *to, const uint8_t *from, uint32_t count, enum ptx_type type)
{
#define WIDEN(T, expr)                                                                             \
	do {                                                                                       \
		const T *p = (const T *)(const void *)from;                                        \
		for (uint32_t k = 0; k < count; k++) {                                             \
			const T v = p[k];                                                          \
			to[k] = expr;                                                              \
		}                                                                                  \
	} while (0)
	switch (type) {
	case PTX_T_F16:
		WIDEN(uint16_t, narrow_f16_to_f32(v));
		break;
	case PTX_T_BF16:
		WIDEN(uint16_t, narrow_bf16_to_f32(v));
		break;
	case PTX_T_TF32:
		WIDEN(uint32_t, narrow_float_of(v & ~0x1fffu));
		break;
	case PTX_T_F32:
		WIDEN(float, v);
		break;
	case PTX_T_F64:
		WIDEN(double, v);
		break;
	case PTX_T_S32:
		WIDEN(int32_t, v);
		break;
	case PTX_T_S8:
		WIDEN(int8_t, v);
		break;
	case PTX_T_U8:
		WIDEN(uint8_t, v);
		break;
	default: {
		uint32_t bits = matrix_bits(type), each = 32 / bits;
		const uint32_t *p = (const uint32_t *)(const void *)from;

		for (uint32_t k = 0; k < count; k++)
			to[k] = rare_element(p[k / each] >> k % each * bits, type);
		break;
	}
	}
#undef WIDEN
}

/* Bits that differ, or that both have. */
static inline void
matrix_product_b1(const struct ptx_matrix *x, struct operands *o)
{
	for (uint32_t row = 0; row < x->m; row++) {
		for (uint32_t column = 0; column < x->n; column++) {
			uint32_t count = 0;

			for (uint32_t k = 0; k < x->k; k++) {
				int a = o->a[row * x->k + k] != 0;
				int b = o->b[k * x->n + column] != 0;

				count += x->bit_and ? a && b : a != b;
			}
			o->d[row * x->n + column] = count + o->c[row * x->n + column];
		}
	}
}

/* Two names, as gcovr cannot merge one function of two places. */
#if defined(__FMA__)
/* Four rows and eight columns of D at a time. A fused product changes nothing where products are
 * exact, and is what f64 asks for. */
static inline void
matrix_product_fused(const struct ptx_matrix *x, struct operands *o)
{
	const uint32_t m = x->m, n = x->n, depth = x->k;
	const int fused = x->type_a == PTX_T_F64;

	for (uint32_t row = 0; row < m; row += 4) {
		for (uint32_t column = 0; column < n; column += 8) {
			const double *a = o->a + row * depth, *b = o->b + column;
			const double *c = o->c + row * n + column;
			double *d = o->d + row * n + column;
			__m256d s[4][2];

#pragma GCC unroll 4
			for (uint32_t r = 0; r < 4; r++) {
				s[r][0] = fused ? _mm256_loadu_pd(c + r * n) : _mm256_setzero_pd();
				s[r][1] = fused ? _mm256_loadu_pd(c + r * n + 4)
						: _mm256_setzero_pd();
			}
			for (uint32_t k = 0; k < depth; k++) {
				const __m256d b0 = _mm256_loadu_pd(b + k * n);
				const __m256d b1 = _mm256_loadu_pd(b + k * n + 4);

#pragma GCC unroll 4
				for (uint32_t r = 0; r < 4; r++) {
					const __m256d v = _mm256_broadcast_sd(a + r * depth + k);

					s[r][0] = _mm256_fmadd_pd(v, b0, s[r][0]);
					s[r][1] = _mm256_fmadd_pd(v, b1, s[r][1]);
				}
			}
#pragma GCC unroll 4
			for (uint32_t r = 0; r < 4; r++) {
				if (!fused) {
					s[r][0] =
						_mm256_add_pd(s[r][0], _mm256_loadu_pd(c + r * n));
					s[r][1] = _mm256_add_pd(s[r][1],
								_mm256_loadu_pd(c + r * n + 4));
				}
				_mm256_storeu_pd(d + r * n, s[r][0]);
				_mm256_storeu_pd(d + r * n + 4, s[r][1]);
			}
		}
	}
}
#else
static inline void
matrix_product_plain(const struct ptx_matrix *x, struct operands *o)
{
	for (uint32_t row = 0; row < x->m; row++) {
		for (uint32_t column = 0; column < x->n; column++) {
			double sum = 0, c = o->c[row * x->n + column];
			const double *a = o->a + row * x->k, *b = o->b + column;

			if (x->type_a == PTX_T_F64) {
				for (uint32_t k = 0; k < x->k; k++)
					c = fma(a[k], b[k * x->n], c);
				o->d[row * x->n + column] = c;
				continue;
			}
			for (uint32_t k = 0; k < x->k; k++)
				sum += a[k] * b[k * x->n];
			o->d[row * x->n + column] = sum + c;
		}
	}
}
#endif

static inline void
matrix_multiply(const struct ptx_matrix *x, struct operands *o)
{
	if (x->type_a == PTX_T_B1)
		matrix_product_b1(x, o);
	else
#if defined(__FMA__)
		matrix_product_fused(x, o);
#else
		matrix_product_plain(x, o);
#endif
}

static inline uint32_t
matrix_s32(double value, int saturate)
{
	if (saturate)
		return (uint32_t)(value > INT32_MAX   ? INT32_MAX
				  : value < INT32_MIN ? INT32_MIN
						      : (int32_t)value);
	return (uint32_t)(int64_t)value;
}

/*
 * Writes a register of results: lane l's are from[l * stride] and, where two share a register,
 * from[l * stride + second].
 */
static inline void
matrix_write(uint8_t *to, const double *from, uint32_t stride, uint32_t second, uint32_t lanes,
	     const struct ptx_matrix *x)
{
	uint64_t wide[PTX_LANES];
	uint32_t narrow[PTX_LANES];
	const void *values = x->type_d == PTX_T_F64 ? (void *)wide : narrow;
	size_t size = x->type_d == PTX_T_F64 ? 8 : 4;

	switch (x->type_d) {
	case PTX_T_F16:
		for (uint32_t l = 0; l < PTX_LANES; l++)
			narrow[l] = narrow_f64_to_f16_rn(from[l * stride]) |
				    (uint32_t)narrow_f64_to_f16_rn(from[l * stride + second]) << 16;
		break;
	case PTX_T_F32:
		for (uint32_t l = 0; l < PTX_LANES; l++) {
			const double v = from[l * stride];
			const uint32_t bits = narrow_bits_f32((float)v);

			narrow[l] = v == v ? bits : 0x7fffffff;
		}
		break;
	case PTX_T_F64:
		for (uint32_t l = 0; l < PTX_LANES; l++)
			wide[l] = narrow_bits_f64(from[l * stride]);
		break;
	default: /* s32 */
		for (uint32_t l = 0; l < PTX_LANES; l++)
			narrow[l] = matrix_s32(from[l * stride], x->saturate);
		break;
	}
	if (lanes == UINT32_MAX) {
		memcpy(to, values, PTX_LANES * size);
		return;
	}
	PTX_EACH_ACTIVE(l, lanes)
	memcpy(to + l * size, (const uint8_t *)values + l * size, size);
}

#endif
