/*
 * The approximate instructions on f32. Where the processor has a fused multiply-add they are
 * polynomials without a branch, so that a loop over the lanes becomes vector code. The PTX manual
 * allows ex2 and lg2 relative errors of 2^-22.5 and 2^-22, rsqrt 2^-22.9, sin and cos absolute ones
 * of 2^-20.5 from -pi to pi, tanh a relative one of 2^-11. These stay within 2 units in the last
 * place (tanh: 2^-18), and give powers of two and their logarithms exactly. The coefficients are
 * Chebyshev approximations. The rounding mode is to nearest.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_APPROX_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_APPROX_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define PTX_APPROX 1 /* approx_sin and approx_cos are there, too */

static inline uint32_t
approx_bits(float a)
{
	uint32_t bits;

	memcpy(&bits, &a, sizeof(bits));
	return bits;
}

static inline float
approx_float(uint32_t bits)
{
	float a;

	memcpy(&a, &bits, sizeof(a));
	return a;
}

/* Added to a number below 2^22, it leaves the nearest integer in the lowest bits. */
#define APPROX_ROUND 0x1.8p23f

static inline float
approx_ex2(float a)
{
	/* beyond are 0 and infinity; a NaN stays */
	const float low = a < -160.0f ? -160.0f : a, x = low > 130.0f ? 130.0f : low;
	const float rounded = x + APPROX_ROUND, f = x - (rounded - APPROX_ROUND);
	/* Two factors: one of 2^128 or of a subnormal number there is not. */
	const int32_t n = (int32_t)(approx_bits(rounded) - approx_bits(APPROX_ROUND)),
		      half = n >> 1;
	float p = 0x1.44138ap-13f;

	p = __builtin_fmaf(p, f, 0x1.5f0890p-10f);
	p = __builtin_fmaf(p, f, 0x1.3b2a54p-7f);
	p = __builtin_fmaf(p, f, 0x1.c6af6cp-5f);
	p = __builtin_fmaf(p, f, 0x1.ebfbe0p-3f);
	p = __builtin_fmaf(p, f, 0x1.62e430p-1f);
	p = __builtin_fmaf(p, f, 1.0f);
	return p * approx_float((uint32_t)(half + 127) << 23) *
	       approx_float((uint32_t)(n - half + 127) << 23);
}

static inline float
approx_lg2(float a)
{
	const int subnormal = a < 0x1p-126f;
	const uint32_t bits = approx_bits(subnormal ? a * 0x1p23f : a);
	/* a = m * 2^e, m around 1 */
	const uint32_t from_low = bits - 0x3f330000u;
	const float m = approx_float(bits - (from_low & 0xff800000u));
	const float e = (float)(((int32_t)from_low >> 23) - (subnormal ? 23 : 0));
	const float r = m - 1.0f;
	float p = -0x1.e78468p-4f, result;

	p = __builtin_fmaf(p, r, 0x1.85e424p-3f);
	p = __builtin_fmaf(p, r, -0x1.84a07ep-3f);
	p = __builtin_fmaf(p, r, 0x1.a1a7eep-3f);
	p = __builtin_fmaf(p, r, -0x1.eadb6ap-3f);
	p = __builtin_fmaf(p, r, 0x1.2786b4p-2f);
	p = __builtin_fmaf(p, r, -0x1.715a34p-2f);
	p = __builtin_fmaf(p, r, 0x1.ec7078p-2f);
	p = __builtin_fmaf(p, r, -0x1.715470p-1f);
	p = __builtin_fmaf(p, r, 0x1.715476p+0f);
	result = __builtin_fmaf(p, r, e);
	result = a == 0.0f ? -INFINITY : result;
	result = a < 0.0f ? NAN : result;
	return a < INFINITY ? result : a;
}

static inline float
approx_rsqrt(float a)
{
	return 1.0f / __builtin_sqrtf(a);
}

/* sin and cos: up to here the rest of a division by pi / 2 is exact. */
#define APPROX_TURNS 30000.0f

/* The sine of @a plus @quarters right angles. */
static inline float
approx_sine(float a, uint32_t quarters)
{
	const float rounded = __builtin_fmaf(a, 0x1.45f306p-1f, APPROX_ROUND);
	const float n = rounded - APPROX_ROUND;
	const uint32_t quadrant = approx_bits(rounded) + quarters;
	/* pi / 2 in three parts */
	float r = __builtin_fmaf(n, -0x1.921fb6p+0f, a);

	r = __builtin_fmaf(n, 0x1.777a5cp-25f, r);
	r = __builtin_fmaf(n, 0x1.ee59dap-50f, r);

	const float t = r * r;
	float s = -0x1.9aaea8p-13f, c = 0x1.9bc2f0p-16f;

	s = __builtin_fmaf(s, t, 0x1.110bf6p-7f);
	s = __builtin_fmaf(s, t, -0x1.555552p-3f);
	s = __builtin_fmaf(s * t, r, r);
	c = __builtin_fmaf(c, t, -0x1.6c12aap-10f);
	c = __builtin_fmaf(c, t, 0x1.555554p-5f);
	c = __builtin_fmaf(c, t, -0.5f);
	c = __builtin_fmaf(c, t, 1.0f);
	return approx_float(approx_bits(quadrant & 1 ? c : s) ^ (quadrant & 2) << 30);
}

static inline float
approx_sin(float a)
{
	return a == 0.0f ? a : approx_sine(a, 0);
}

static inline float
approx_cos(float a)
{
	return approx_sine(a, 1);
}

static inline float
approx_tanh(float a)
{
	const float x = __builtin_fabsf(a), t = x * x;
	const float large = 1.0f - 2.0f / (1.0f + approx_ex2(0x1.715476p+1f * x));
	float p = -0x1.920d76p-5f;

	p = __builtin_fmaf(p, t, 0x1.107a60p-3f);
	p = __builtin_fmaf(p, t, -0x1.5554aap-2f);
	p = __builtin_fmaf(p * t, x, x);
	return __builtin_copysignf(x < 0.4f ? p : large, a);
}

#else

static inline float
approx_ex2(float a)
{
	return exp2f(a);
}

static inline float
approx_lg2(float a)
{
	return log2f(a);
}

static inline float
approx_rsqrt(float a)
{
	return (float)(1.0 / sqrt((double)a));
}

static inline float
approx_tanh(float a)
{
	return tanhf(a);
}

#endif
#endif
