/* Half precision: f16, bf16, pairs of them, and conversions between formats. */
#include "remote/device_cpu/ptx/approx.h"
#include "remote/device_cpu/ptx/exec_lanes.h"
#include "remote/device_cpu/ptx/narrow.h"

enum { PAIRS = 2 * PTX_LANES };

static inline float
min_f32(float a, float b)
{
	float less = a < b ? a : b;

	less = a == b ? narrow_float_of(narrow_bits_f32(a) | narrow_bits_f32(b)) : less;
	less = b != b ? a : less;
	return a != a ? b : less;
}

static inline float
max_f32(float a, float b)
{
	float more = a > b ? a : b;

	more = a == b ? narrow_float_of(narrow_bits_f32(a) & narrow_bits_f32(b)) : more;
	more = b != b ? a : more;
	return a != a ? b : more;
}

/*
 * a * b + c as a double, rounded to odd: the product is exact, the sum's error tells which way
 * the last bit goes. A later rounding to a narrow format then sees all it needs.
 */
static inline double
fma_to_odd(double a, double b, double c)
{
	double product = a * b, sum = product + c;
	double back = sum - product;
	double error = (product - (sum - back)) + (c - back);
	uint64_t bits = narrow_bits_f64(sum);

	if (error == 0.0 || !isfinite(sum) || (bits & 1))
		return sum;
	/* Odd is between this and the neighbour on the error's side. */
	bits += (error > 0.0) == (sum > 0.0) ? 1 : -1;
	memcpy(&sum, &bits, sizeof(sum));
	return sum;
}

static inline double
u64_to_odd(uint64_t a)
{
	int drop = a >> 53 ? 11 - __builtin_clzll(a) : 0;
	uint64_t rest = a & ((1ull << drop) - 1);

	a = a >> drop << drop;
	return (double)(rest ? a | 1ull << drop : a);
}

static inline double
s64_to_odd(int64_t a)
{
	return a < 0 ? -u64_to_odd(0 - (uint64_t)a) : u64_to_odd((uint64_t)a);
}

/* tf32 keeps ten bits of the mantissa. */
static inline uint32_t
to_tf32_rna(uint32_t a)
{
	if ((a & 0x7f800000) == 0x7f800000)
		return a & 0x7fffff ? 0x7fffffff : a;
	return (a + 0x1000) & ~0x1fffu;
}

static inline uint32_t
to_tf32_rn(uint32_t a)
{
	if ((a & 0x7f800000) == 0x7f800000)
		return a & 0x7fffff ? 0x7fffffff : a;
	return (a + 0xfff + (a >> 13 & 1)) & ~0x1fffu;
}

/* Eight bits, to nearest, saturating to the largest finite number. */
static inline uint16_t
to_fp8(float a, int mantissa, int bias, uint32_t largest, uint32_t nan)
{
	uint32_t bits = narrow_bits_f32(a), sign = bits >> 24 & 0x80;
	float magnitude = fabsf(a);

	if (a != a)
		return (uint16_t)nan;
	int exponent = (int)(bits >> 23 & 0xff) - 127;

	if (exponent < 1 - bias)
		exponent = 1 - bias;
	if (exponent > 16)
		return (uint16_t)(sign | largest);
	/* In units of the last place; rintf rounds ties to even. */
	float units = ldexpf(magnitude, mantissa - exponent);
	uint32_t n = (uint32_t)rintf(units);
	uint32_t result = ((uint32_t)(exponent + bias - 1) << mantissa) + n;

	return (uint16_t)(sign | (result > largest ? largest : result));
}

static inline uint16_t
to_e4m3(float a)
{
	return to_fp8(a, 3, 7, 0x7e, 0x7f);
}

static inline uint16_t
to_e5m2(float a)
{
	return to_fp8(a, 2, 15, 0x7b, 0x7f);
}

static inline uint16_t
e4m3_to_f16(uint32_t a)
{
	uint32_t sign = (a & 0x80) << 8, magnitude = a & 0x7f;

	if (magnitude == 0x7f)
		return 0x7fff;
	if (magnitude >= 8) /* bias 7 becomes bias 15 */
		return (uint16_t)(sign | ((magnitude << 7) + (8 << 10)));
	return (uint16_t)(sign | narrow_f32_to_f16_rn((float)magnitude * 0x1p-9f));
}

/* A row of halves to floats and back. */
static inline void
widen_f16(float *to, const uint16_t *from, int n)
{
#if defined(__F16C__)
	for (int k = 0; k < n; k += 8)
		_mm256_storeu_ps(to + k,
				 _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + k))));
#else
	for (int k = 0; k < n; k++)
		to[k] = narrow_f16_to_f32(from[k]);
#endif
}

static inline void
narrow_f16(uint16_t *to, const float *from, int n)
{
#if defined(__F16C__)
	/* The processor keeps a NaN's bits; GPUs have one NaN. */
	for (int k = 0; k < n; k += 8) {
		__m256 x = _mm256_loadu_ps(from + k);
		__m256 is_nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
		__m256 one_nan = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));

		x = _mm256_blendv_ps(x, one_nan, is_nan);
		_mm_storeu_si128((__m128i *)(to + k), _mm256_cvtps_ph(x, _MM_FROUND_CUR_DIRECTION));
	}
#else
	if (fegetround() != FE_TONEAREST) {
		for (int k = 0; k < n; k++)
			to[k] = f64_to_narrow(from[k], &format_f16);
		return;
	}
	for (int k = 0; k < n; k++)
		to[k] = narrow_f32_to_f16_rn(from[k]);
#endif
}

static inline void
widen_bf16(float *to, const uint16_t *from, int n)
{
	for (int k = 0; k < n; k++)
		to[k] = narrow_bf16_to_f32(from[k]);
}

static inline void
narrow_bf16(uint16_t *to, const float *from, int n)
{
	if (fegetround() != FE_TONEAREST) {
		for (int k = 0; k < n; k++)
			to[k] = f64_to_narrow(from[k], &format_bf16);
		return;
	}
	for (int k = 0; k < n; k++)
		to[k] = narrow_f32_to_bf16_rn(from[k]);
}

#define HUN_BODY(name, expr, widen, narrow, n)                                                     \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		float x[n], y[n];                                                                  \
		(void)w;                                                                           \
		widen(x, PTX_REG(const uint16_t, i->a), n);                                        \
		for (int k = 0; k < n; k++) {                                                      \
			const float a = x[k];                                                      \
			y[k] = (expr);                                                             \
		}                                                                                  \
		narrow(PTX_REG(uint16_t, i->dst), y, n);                                           \
		return i + 1;                                                                      \
	}
#define HBIN_BODY(name, expr, widen, narrow, n)                                                    \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		float x[n], y[n];                                                                  \
		(void)w;                                                                           \
		widen(x, PTX_REG(const uint16_t, i->a), n);                                        \
		widen(y, PTX_REG(const uint16_t, i->b), n);                                        \
		for (int k = 0; k < n; k++) {                                                      \
			const float a = x[k], b = y[k];                                            \
			y[k] = (expr);                                                             \
		}                                                                                  \
		narrow(PTX_REG(uint16_t, i->dst), y, n);                                           \
		return i + 1;                                                                      \
	}
#define HTER_BODY(name, expr, widen, format, n)                                                    \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		float x[n], y[n], z[n];                                                            \
		uint16_t *d = PTX_REG(uint16_t, i->dst);                                           \
		(void)w;                                                                           \
		widen(x, PTX_REG(const uint16_t, i->a), n);                                        \
		widen(y, PTX_REG(const uint16_t, i->b), n);                                        \
		widen(z, PTX_REG(const uint16_t, i->c), n);                                        \
		for (int k = 0; k < n; k++) {                                                      \
			const double a = x[k], b = y[k], c = z[k];                                 \
			d[k] = f64_to_narrow((expr), format);                                      \
		}                                                                                  \
		return i + 1;                                                                      \
	}
#define HUN(name, expr)                                                                            \
	HUN_BODY(name##_f16, expr, widen_f16, narrow_f16, PTX_LANES)                               \
	HUN_BODY(name##_f16x2, expr, widen_f16, narrow_f16, PAIRS)                                 \
	HUN_BODY(name##_bf16, expr, widen_bf16, narrow_bf16, PTX_LANES)                            \
	HUN_BODY(name##_bf16x2, expr, widen_bf16, narrow_bf16, PAIRS)
#define HBIN(name, expr)                                                                           \
	HBIN_BODY(name##_f16, expr, widen_f16, narrow_f16, PTX_LANES)                              \
	HBIN_BODY(name##_f16x2, expr, widen_f16, narrow_f16, PAIRS)                                \
	HBIN_BODY(name##_bf16, expr, widen_bf16, narrow_bf16, PTX_LANES)                           \
	HBIN_BODY(name##_bf16x2, expr, widen_bf16, narrow_bf16, PAIRS)
#define HTER_D(name, expr)                                                                         \
	HTER_BODY(name##_f16, expr, widen_f16, &format_f16, PTX_LANES)                             \
	HTER_BODY(name##_f16x2, expr, widen_f16, &format_f16, PAIRS)                               \
	HTER_BODY(name##_bf16, expr, widen_bf16, &format_bf16, PTX_LANES)                          \
	HTER_BODY(name##_bf16x2, expr, widen_bf16, &format_bf16, PAIRS)
#define PURE(name, bytes)

PTX_HANDLER(cvt_f16_f32)
{
	float x[PTX_LANES];

	(void)w;
	widen_f16(x, PTX_REG(const uint16_t, i->a), PTX_LANES);
	PTX_EACH_LANE
	x[l] = x[l] == x[l] ? x[l] : narrow_float_of(0x7fffffff);
	memcpy(PTX_REG(float, i->dst), x, sizeof(x));
	return i + 1;
}

PTX_HANDLER(cvt_bf16_f32)
{
	float x[PTX_LANES];

	(void)w;
	widen_bf16(x, PTX_REG(const uint16_t, i->a), PTX_LANES);
	PTX_EACH_LANE
	x[l] = x[l] == x[l] ? x[l] : narrow_float_of(0x7fffffff);
	memcpy(PTX_REG(float, i->dst), x, sizeof(x));
	return i + 1;
}

PTX_HANDLER(cvt_f32_f16)
{
	(void)w;
	narrow_f16(PTX_REG(uint16_t, i->dst), PTX_REG(const float, i->a), PTX_LANES);
	return i + 1;
}

PTX_HANDLER(cvt_f32_bf16)
{
	(void)w;
	narrow_bf16(PTX_REG(uint16_t, i->dst), PTX_REG(const float, i->a), PTX_LANES);
	return i + 1;
}

#include "remote/device_cpu/ptx/half.def"

void
PTX_ISA_NAME(ptx_exec_half)(ptx_exec_fn *table)
{
#undef UN
#undef BIN
#undef HUN
#undef HBIN
#undef HTER_D
#undef PURE
#define ENTER(name)           table[PTX_H_##name] = exec_##name;
#define FOUR(name)            ENTER(name##_f16) ENTER(name##_f16x2) ENTER(name##_bf16) ENTER(name##_bf16x2)
#define UN(name, r, a, e)     ENTER(name)
#define BIN(name, r, a, b, e) ENTER(name)
#define HUN(name, e)          FOUR(name)
#define HBIN(name, e)         FOUR(name)
#define HTER_D(name, e)       FOUR(name)
#define PURE(name, bytes)     ENTER(name)
#include "remote/device_cpu/ptx/half.def"
}
