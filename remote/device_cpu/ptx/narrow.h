/*
 * Narrow floating point formats: to and from float and double, with one correct rounding in the
 * thread's rounding mode.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_NARROW_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_NARROW_H

#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

struct narrow_format {
	int mantissa; /* bits after the point */
	int exponent; /* bits of the exponent */
	uint16_t nan;
};

static const struct narrow_format format_f16 = {10, 5, 0x7fff};
static const struct narrow_format format_bf16 = {7, 8, 0x7fff};

static inline uint64_t
narrow_bits_f64(double a)
{
	uint64_t bits;

	memcpy(&bits, &a, sizeof(bits));
	return bits;
}

static inline uint32_t
narrow_bits_f32(float a)
{
	uint32_t bits;

	memcpy(&bits, &a, sizeof(bits));
	return bits;
}

static inline float
narrow_float_of(uint32_t bits)
{
	float a;

	memcpy(&a, &bits, sizeof(a));
	return a;
}

/* Whether a magnitude cut off at @kept goes up to the next one. */
static inline int
narrow_goes_up(uint64_t kept, uint64_t rest, uint64_t half, int negative, int mode)
{
	switch (mode) {
	case FE_TOWARDZERO:
		return 0;
	case FE_UPWARD:
		return rest && !negative;
	case FE_DOWNWARD:
		return rest && negative;
	default:
		return rest > half || (rest == half && (kept & 1));
	}
}

/* Any double to a format with up to 16 bits. */
static inline uint16_t
f64_to_narrow(double a, const struct narrow_format *f)
{
	uint64_t bits = narrow_bits_f64(a);
	uint16_t sign = (uint16_t)(bits >> 63) << (f->mantissa + f->exponent);
	int bias = (1 << (f->exponent - 1)) - 1, mode = fegetround();
	int exponent = (int)(bits >> 52 & 0x7ff) - 1023;
	uint64_t mantissa = bits & ((1ull << 52) - 1);
	uint16_t infinity = (uint16_t)(((1u << f->exponent) - 1) << f->mantissa);

	if (a != a)
		return f->nan;
	if (exponent == 1024)
		return sign | infinity;
	if (exponent == -1023) /* subnormal doubles are far below every narrow format */
		exponent = -1022;
	else
		mantissa |= 1ull << 52;

	/* How many of the low bits of the mantissa go. */
	int drop = 52 - f->mantissa;

	if (exponent < 1 - bias) {
		drop += 1 - bias - exponent;
		exponent = -bias;
	}
	if (drop > 62) {
		mantissa = mantissa != 0;
		drop = 62;
	}
	uint64_t kept = mantissa >> drop, rest = mantissa & ((1ull << drop) - 1);

	kept += (uint64_t)narrow_goes_up(kept, rest, 1ull << (drop - 1), sign != 0, mode);

	/* The hidden bit adds one to the exponent field; so does a carry. */
	uint64_t result =
		exponent == -bias ? kept : ((uint64_t)(exponent + bias - 1) << f->mantissa) + kept;

	if (result >= infinity) {
		int to_infinity = mode == FE_TONEAREST || (mode == FE_UPWARD && !sign) ||
				  (mode == FE_DOWNWARD && sign);

		return sign | (to_infinity ? infinity : infinity - 1);
	}
	return sign | (uint16_t)result;
}

static inline float
narrow_f16_to_f32(uint16_t h)
{
	uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13;
	/* Scaling by 2^112 moves the exponent to f32's bias and normalises subnormals. */
	float scaled = narrow_float_of(magnitude) * 0x1p112f;
	uint32_t special = narrow_bits_f32(scaled) | 0x7f800000u;
	uint32_t bits = (h & 0x7c00) == 0x7c00 ? special | magnitude : narrow_bits_f32(scaled);

	return narrow_float_of(bits | (uint32_t)(h & 0x8000) << 16);
}

static inline float
narrow_bf16_to_f32(uint16_t h)
{
	return narrow_float_of((uint32_t)h << 16);
}

/* To nearest, ties to even; the usual case, without looking at the rounding mode. */
static inline uint16_t
narrow_f32_to_f16_rn(float a)
{
	uint32_t bits = narrow_bits_f32(a), magnitude = bits & 0x7fffffff;
	uint32_t sign = bits >> 16 & 0x8000;
	/* Adding 0.5 leaves the subnormal result in the low bits, rounded by the addition. */
	uint32_t small = narrow_bits_f32(narrow_float_of(magnitude) + 0.5f) - 0x3f000000u;
	uint32_t normal = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000u) >> 13;
	uint32_t result = magnitude < 0x38800000u ? small : normal;

	result = magnitude >= 0x47800000u ? 0x7c00 : result;
	result = magnitude > 0x7f800000u ? 0x7fff : result;
	sign = magnitude > 0x7f800000u ? 0 : sign;
	return (uint16_t)(result | sign);
}

/*
 * The same from f64. The float in between has its last bit set where it is not exact (rounding to
 * odd), so that the second rounding sees on which side of a half the value is.
 */
static inline uint16_t
narrow_f64_to_f16_rn(double a)
{
	float f = (float)a;
	uint32_t inexact = (double)f != a, beyond = fabs((double)f) > fabs(a);

	return narrow_f32_to_f16_rn(narrow_float_of((narrow_bits_f32(f) - beyond) | inexact));
}

static inline uint16_t
narrow_f32_to_bf16_rn(float a)
{
	uint32_t bits = narrow_bits_f32(a);
	uint32_t result = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;

	return (uint16_t)((bits & 0x7fffffff) > 0x7f800000u ? 0x7fff : result);
}

#endif
