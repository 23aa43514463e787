#include "remote/device_cpu/number.h"

#include <math.h>
#include <string.h>

size_t
genie_number_size(unsigned int type)
{
	switch (type) {
	case GENIE_I8:
		return 1;
	case GENIE_F16:
	case GENIE_BF16:
		return 2;
	case GENIE_F32:
	case GENIE_I32:
		return 4;
	case GENIE_F64:
	case GENIE_C32:
		return 8;
	case GENIE_C64:
		return 16;
	default:
		return 0;
	}
}

bool
genie_number_is_complex(unsigned int type)
{
	return type == GENIE_C32 || type == GENIE_C64;
}

static float
float_of(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static uint32_t
bits_of(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

float
genie_number_from_bfloat(uint16_t bits)
{
	return float_of((uint32_t)bits << 16);
}

uint16_t
genie_number_to_bfloat(float value)
{
	uint32_t bits = bits_of(value);

	if (value != value)
		return (uint16_t)(bits >> 16 | 0x40); /* stays no number when it is cut */
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float
genie_number_from_half(uint16_t half)
{
	uint32_t sign = (uint32_t)(half & 0x8000) << 16;
	uint32_t exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
	float magnitude;

	if (exponent == 0x1f)
		return float_of(sign | 0x7f800000 | fraction << 13);
	if (exponent)
		return float_of(sign | (exponent + 112) << 23 | fraction << 13);
	magnitude = (float)fraction * 0x1p-24f; /* subnormal: exact */
	return sign ? -magnitude : magnitude;
}

uint16_t
genie_number_to_half(float value)
{
	uint32_t bits = bits_of(value);
	uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
	uint32_t magnitude = bits & 0x7fffffff;

	if (magnitude > 0x7f800000)
		return sign | 0x7e00;
	if (magnitude >= 0x477ff000) /* 65520 and above round to infinity */
		return sign | 0x7c00;
	if (magnitude < 0x38800000) {
		/* subnormal: adding 0.5 makes the addition round to the last place there is */
		uint32_t rounded = bits_of(float_of(magnitude) + 0.5f);

		return (uint16_t)(sign | (rounded - 0x3f000000));
	}
	magnitude += 0xfff + (magnitude >> 13 & 1);
	return (uint16_t)(sign | (magnitude - 0x38000000) >> 13);
}

static int32_t
to_integer(double value, double low, double high)
{
	if (value != value)
		return 0;
	value = nearbyint(value);
	return (int32_t)(value < low ? low : value > high ? high : value);
}

/* One loop a type: the compiler makes the most of those with stride 1. */
#define EACH(expression)                                                                           \
	for (size_t i = 0; i < count; i++) {                                                       \
		expression;                                                                        \
	}                                                                                          \
	break

#define AT(ctype) (((const ctype *)memory)[i * stride])

#define LOAD(real)                                                                                 \
	switch (type) {                                                                            \
	case GENIE_F32:                                                                            \
		EACH(ret[i] = (real)AT(float));                                                    \
	case GENIE_F64:                                                                            \
		EACH(ret[i] = (real)AT(double));                                                   \
	case GENIE_F16:                                                                            \
		EACH(ret[i] = (real)genie_number_from_half(AT(uint16_t)));                         \
	case GENIE_BF16:                                                                           \
		EACH(ret[i] = (real)genie_number_from_bfloat(AT(uint16_t)));                       \
	case GENIE_I8:                                                                             \
		EACH(ret[i] = (real)AT(int8_t));                                                   \
	case GENIE_I32:                                                                            \
		EACH(ret[i] = (real)AT(int32_t));                                                  \
	default:                                                                                   \
		EACH(ret[i] = 0);                                                                  \
	}

void
genie_number_load_f32(unsigned int type, const void *memory, size_t stride, size_t count,
		      float *ret)
{
	LOAD(float)
}

void
genie_number_load_f64(unsigned int type, const void *memory, size_t stride, size_t count,
		      double *ret)
{
	LOAD(double)
}

void
genie_number_load_c64(unsigned int type, const void *memory, size_t stride, size_t count,
		      double _Complex *ret)
{
	switch (type) {
	case GENIE_C32:
		EACH(ret[i] = AT(float _Complex));
	case GENIE_C64:
		EACH(ret[i] = AT(double _Complex));
	default:
		EACH(ret[i] = 0);
	}
}

#undef AT
#define AT(ctype) (((ctype *)memory)[i * stride])

#define STORE                                                                                      \
	switch (type) {                                                                            \
	case GENIE_F32:                                                                            \
		EACH(AT(float) = (float)values[i]);                                                \
	case GENIE_F64:                                                                            \
		EACH(AT(double) = (double)values[i]);                                              \
	case GENIE_F16:                                                                            \
		EACH(AT(uint16_t) = genie_number_to_half((float)values[i]));                       \
	case GENIE_BF16:                                                                           \
		EACH(AT(uint16_t) = genie_number_to_bfloat((float)values[i]));                     \
	case GENIE_I8:                                                                             \
		EACH(AT(int8_t) = (int8_t)to_integer(values[i], -128, 127));                       \
	case GENIE_I32:                                                                            \
		EACH(AT(int32_t) = to_integer(values[i], INT32_MIN, INT32_MAX));                   \
	default:                                                                                   \
		break;                                                                             \
	}

void
genie_number_store_f32(unsigned int type, void *memory, size_t stride, size_t count,
		       const float *values)
{
	STORE
}

void
genie_number_store_f64(unsigned int type, void *memory, size_t stride, size_t count,
		       const double *values)
{
	STORE
}

void
genie_number_store_c64(unsigned int type, void *memory, size_t stride, size_t count,
		       const double _Complex *values)
{
	switch (type) {
	case GENIE_C32:
		EACH(AT(float _Complex) = (float _Complex)values[i]);
	case GENIE_C64:
		EACH(AT(double _Complex) = values[i]);
	default:
		break;
	}
}

#undef AT
#undef EACH
#undef LOAD
#undef STORE
