/*
 * Every instruction of tests/ptx/insn.def by itself, on numbers at the edges and on random ones,
 * against the same computed by the host. Each runs for full warps, for a part of a warp (a guard),
 * and with the plain handlers that need no AVX2.
 */
#include <fenv.h>
#include <math.h>

#include "test_ptx.h"

#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#pragma STDC FENV_ACCESS ON

enum { N = 4096 };
#define UNDEFINED 0xdeadbeefdeadbeefull

/* An approximate result: what it should be near, and how near in units of the last place. */
static double near_target;
static int near_ulps;
#define NEAR_F32(x, ulps) (near_target = (x), near_ulps = (ulps), 0)

static int64_t
s16(uint64_t a)
{
	return (int16_t)a;
}

static int64_t
s32(uint64_t a)
{
	return (int32_t)a;
}

static int64_t
s24(uint64_t a)
{
	return (int32_t)((uint32_t)a << 8) >> 8;
}

static int64_t
saturate_s32(int64_t a)
{
	return a > INT32_MAX ? INT32_MAX : a < INT32_MIN ? INT32_MIN : a;
}

static int64_t
saturate_s8(int64_t a)
{
	return a > 127 ? 127 : a < -128 ? -128 : a;
}

static uint64_t
two(uint64_t low, uint64_t high)
{
	return (uint32_t)low | high << 32;
}

static uint64_t
dot4(uint64_t a, uint64_t b, uint64_t c, int a_signed, int b_signed)
{
	for (int k = 0; k < 32; k += 8)
		c += (uint64_t)((a_signed ? (int8_t)(a >> k) : (int)(uint8_t)(a >> k)) *
				(b_signed ? (int8_t)(b >> k) : (int)(uint8_t)(b >> k)));
	return (uint32_t)c;
}

static uint64_t
dot2(uint64_t a, uint64_t b, uint64_t c, int a_signed, int b_signed)
{
	for (int k = 0; k < 2; k++)
		c += (uint64_t)((a_signed ? (int16_t)(a >> 16 * k) : (int)(uint16_t)(a >> 16 * k)) *
				(b_signed ? (int8_t)(b >> 8 * k) : (int)(uint8_t)(b >> 8 * k)));
	return (uint32_t)c;
}

/* Bit by bit, as the manual describes it. */
static uint64_t
extract(uint64_t a, uint64_t position, uint64_t length, int bits, int is_signed)
{
	uint64_t pos = position & 0xff, len = length & 0xff, result = 0, sign = 0;

	if (is_signed && len) {
		uint64_t top = pos + len - 1;

		sign = a >> (top < (uint64_t)bits ? top : (uint64_t)bits - 1) & 1;
	}
	for (uint64_t k = 0; k < (uint64_t)bits; k++) {
		uint64_t bit = k < len && pos + k < (uint64_t)bits ? a >> (pos + k) & 1 : sign;

		result |= bit << k;
	}
	return result;
}

static uint64_t
insert(uint64_t a, uint64_t b, uint64_t position, uint64_t length, int bits)
{
	uint64_t pos = position & 0xff, len = length & 0xff;

	for (uint64_t k = 0; k < len && pos + k < (uint64_t)bits; k++)
		b = (b & ~(1ull << (pos + k))) | (a >> k & 1) << (pos + k);
	return b;
}

static uint32_t
find_bit(uint64_t a)
{
	for (int k = 63; k >= 0; k--)
		if (a >> k & 1)
			return (uint32_t)k;
	return 0xffffffff;
}

static uint64_t
reverse(uint64_t a, int bits)
{
	uint64_t result = 0;

	for (int k = 0; k < bits; k++)
		result |= (a >> k & 1) << (bits - 1 - k);
	return result;
}

static uint64_t
table3(uint64_t a, uint64_t b, uint64_t c, unsigned table)
{
	uint64_t result = 0;

	for (int k = 0; k < 32; k++)
		result |= (uint64_t)(table >> ((a >> k & 1) * 4 + (b >> k & 1) * 2 + (c >> k & 1)) &
				     1)
			  << k;
	return result;
}

static uint64_t
permute(uint64_t a, uint64_t b, uint64_t selectors)
{
	uint64_t bytes = two(a, b), result = 0;

	for (int k = 0; k < 4; k++) {
		uint64_t s = selectors >> 4 * k & 15, byte = bytes >> 8 * (s & 7) & 0xff;

		result |= (s & 8 ? (byte & 0x80 ? 0xff : 0) : byte) << 8 * k;
	}
	return result;
}

static uint64_t
carry3(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 low = (unsigned __int128)a + b;

	low = (unsigned __int128)(uint64_t)low + c + (uint64_t)(low >> 64);
	return (uint64_t)(low >> 64);
}

static uint64_t
absdiff4(uint64_t a, uint64_t b)
{
	uint64_t result = 0;

	for (int k = 0; k < 32; k += 8) {
		int x = (uint8_t)(a >> k), y = (uint8_t)(b >> k);

		result |= (uint64_t)(x > y ? x - y : y - x) << k;
	}
	return result;
}

static float
f32(uint64_t a)
{
	uint32_t bits = (uint32_t)a;
	float f;

	memcpy(&f, &bits, 4);
	return f;
}

static double
f64(uint64_t a)
{
	double f;

	memcpy(&f, &a, 8);
	return f;
}

static uint64_t
bits32(float f)
{
	uint32_t bits;

	memcpy(&bits, &f, 4);
	return bits;
}

static uint64_t
bits64(double f)
{
	uint64_t bits;

	memcpy(&bits, &f, 8);
	return bits;
}

static uint64_t
one_nan(uint64_t a)
{
	return isnan(f32(a)) ? 0x7fffffff : a;
}

static uint64_t
flush(uint64_t a)
{
	return a & 0x7f800000 ? a & 0xffffffff : a & 0x80000000;
}

static uint64_t
unit_f32(uint64_t a)
{
	float f = f32(a);

	return isnan(f) || f <= 0 ? 0 : f >= 1 ? bits32(1) : bits32(f);
}

enum operation { ADD, SUB, MUL, DIV, FMA, SQRT };

static uint64_t
rounded_f32(int mode, enum operation op, uint64_t a, uint64_t b, uint64_t c)
{
	volatile float x = f32(a), y = f32(b), z = f32(c), r = 0;

	fesetround(mode);
	switch (op) {
	case ADD:
		r = x + y;
		break;
	case SUB:
		r = x - y;
		break;
	case MUL:
		r = x * y;
		break;
	case DIV:
		r = x / y;
		break;
	case FMA:
		r = fmaf(x, y, z);
		break;
	case SQRT:
		r = sqrtf(x);
		break;
	}
	fesetround(FE_TONEAREST);
	return one_nan(bits32(r));
}

static uint64_t
rounded_f64(int mode, enum operation op, uint64_t a, uint64_t b, uint64_t c)
{
	volatile double x = f64(a), y = f64(b), z = f64(c), r = 0;

	fesetround(mode);
	switch (op) {
	case ADD:
		r = x + y;
		break;
	case SUB:
		r = x - y;
		break;
	case MUL:
		r = x * y;
		break;
	case DIV:
		r = x / y;
		break;
	case FMA:
		r = fma(x, y, z);
		break;
	case SQRT:
		r = sqrt(x);
		break;
	}
	fesetround(FE_TONEAREST);
	return isnan(r) ? UNDEFINED : bits64(r);
}

static uint64_t
min_max_f32(uint64_t a, uint64_t b, int max, int nan)
{
	float x = f32(a), y = f32(b);

	if (isnan(x) || isnan(y)) {
		if (nan || (isnan(x) && isnan(y)))
			return 0x7fffffff;
		return (isnan(x) ? b : a) & 0xffffffff;
	}
	if (x == y) /* the sign of zeros counts */
		return (max == !!signbit(x) ? b : a) & 0xffffffff;
	return ((x < y) != max ? a : b) & 0xffffffff;
}

static uint64_t
min_max_f64(uint64_t a, uint64_t b, int max)
{
	double x = f64(a), y = f64(b);

	if (isnan(x) || isnan(y))
		return isnan(x) && isnan(y) ? UNDEFINED : isnan(x) ? b : a;
	if (x == y)
		return max == !!signbit(x) ? b : a;
	return (x < y) != max ? a : b;
}

static uint64_t
narrow(int mode, uint64_t a)
{
	volatile double x = f64(a);

	fesetround(mode);
	volatile float r = (float)x;
	fesetround(FE_TONEAREST);
	return one_nan(bits32(r));
}

/* Saturating; a NaN gives 0 from 32 to 32 bits, else the highest bit alone. */
static uint64_t
to_int(double a, int bits, int is_signed, int nan_is_high)
{
	double high = ldexp(1, bits - is_signed);
	uint64_t mask = bits == 64 ? ~0ull : (1ull << bits) - 1;

	if (isnan(a))
		return nan_is_high ? 1ull << (bits - 1) : 0;
	if (a >= high)
		return is_signed ? mask >> 1 : mask;
	if (is_signed && a < -high)
		return 1ull << (bits - 1);
	if (!is_signed && a < 0)
		return 0;
	return (is_signed ? (uint64_t)(int64_t)a : (uint64_t)a) & mask;
}

static uint64_t
from_int(int mode, uint64_t a, int bits, int is_signed)
{
	volatile __int128 v = bits == 32 ? (is_signed ? (__int128)(int32_t)a : (uint32_t)a)
					 : (is_signed ? (__int128)(int64_t)a : (__int128)a);

	/* libgcc rounds __int128 as the mode says only to nearest: take it apart. */
	fesetround(mode);
	volatile int64_t s = (int64_t)v;
	volatile float r = v > INT64_MAX ? (float)(s >> 1 | (s & 1)) : (float)s;

	if (v > INT64_MAX) {
		volatile int64_t half = (int64_t)((uint64_t)a >> 1 | (a & 1));

		r = (float)half * 2;
	}
	fesetround(FE_TONEAREST);
	return bits32(r);
}

static uint64_t
from_int_64(int mode, uint64_t a, int is_signed)
{
	volatile int64_t s = (int64_t)a, half = (int64_t)(a >> 1 | (a & 1));

	fesetround(mode);
	volatile double r = is_signed || s >= 0 ? (double)s : (double)half * 2;

	fesetround(FE_TONEAREST);
	return bits64(r);
}

/* The value of a number with few bits. */
static double
small_float(uint64_t a, int mantissa, int exponent)
{
	int e = (int)(a >> mantissa) & ((1 << exponent) - 1), bias = (1 << (exponent - 1)) - 1;
	double fraction = (double)(a & ((1u << mantissa) - 1));
	int negative = (int)(a >> (mantissa + exponent)) & 1;
	double v;

	if (e == (1 << exponent) - 1)
		v = fraction != 0 ? NAN : INFINITY;
	else if (e)
		v = ldexp(fraction + (1 << mantissa), e - bias - mantissa);
	else
		v = ldexp(fraction, 1 - bias - mantissa);
	return negative ? -v : v;
}

static double
half(uint64_t a)
{
	return small_float(a & 0xffff, 10, 5);
}

static double
brain(uint64_t a)
{
	return small_float(a & 0xffff, 7, 8);
}

/* The nearest number with few bits, by steps of its own size. */
static uint64_t
to_half(int mode, double a, int mantissa, int exponent)
{
	int bias = (1 << (exponent - 1)) - 1, e;
	uint64_t sign = (uint64_t) !!signbit(a) << (mantissa + exponent);
	uint64_t infinity = ((1ull << exponent) - 1) << mantissa;
	double m = fabs(a), step, steps;

	if (isnan(a))
		return 0x7fff;
	if (isinf(a))
		return sign | infinity;
	frexp(m, &e);
	e = m == 0 || e - 1 < 1 - bias ? 1 - bias : e - 1;
	step = ldexp(1, e - mantissa);
	steps = m / step;
	steps = mode == FE_TONEAREST ? rint(steps) : floor(steps);
	if (steps == ldexp(1, mantissa + 1)) {
		steps /= 2;
		e++;
	}
	if (e > bias)
		return sign | (mode == FE_TONEAREST ? infinity : infinity - 1);
	if (steps < ldexp(1, mantissa))
		return sign | (uint64_t)steps;
	return sign | (((uint64_t)(e + bias) << mantissa) + (uint64_t)steps - (1ull << mantissa));
}

static uint64_t
relu_half(uint64_t a, int mantissa)
{
	if ((a & 0x7fff) > (0x7fffull >> mantissa << mantissa))
		return 0x7fff;
	return a & 0x8000 ? 0 : a;
}

/* With long double's 64 bits the sum is exact wherever a tie could be missed. */
static uint64_t
fma_half(double a, double b, double c, int mantissa, int exponent)
{
	long double exact = (long double)a * b, sum = exact + c;
	double d = (double)sum;

	if (isnan(a) || isnan(b) || isnan(c) || isnan((double)sum))
		return 0x7fff;
	/* What double loses must not make or break a tie: move off it. */
	long double back = sum - exact, error = (exact - (sum - back)) + (c - back);

	if (isfinite(d) && (d != sum || error != 0)) {
		long double rest = (sum - d) + error;

		if (!(bits64(d) & 1))
			d = nextafter(d, rest > 0 ? INFINITY : -INFINITY);
	}
	return to_half(FE_TONEAREST, d, mantissa, exponent);
}

static uint64_t
to_eight(double a, int mantissa, int bias, double largest, uint64_t top)
{
	uint64_t sign = signbit(a) ? 0x80 : 0, best = 0;
	double m = fabs(a), distance = INFINITY;

	if (isnan(a))
		return 0x7f;
	if (m >= largest)
		return sign | top;
	for (uint64_t k = 0; k <= top; k++) {
		int e = (int)(k >> mantissa);
		double f = (double)(k & ((1u << mantissa) - 1));
		double v = e ? ldexp(f + (1 << mantissa), e - bias - mantissa)
			     : ldexp(f, 1 - bias - mantissa);

		if (fabs(v - m) < distance || (fabs(v - m) == distance && !(k & 1))) {
			distance = fabs(v - m);
			best = k;
		}
	}
	return sign | best;
}

static uint64_t
from_eight(uint64_t a)
{
	int e = (int)(a >> 3) & 15;
	double f = (double)(a & 7);
	double v = e ? ldexp(f + 8, e - 10) : ldexp(f, -9);

	if ((a & 0x7f) == 0x7f)
		return 0x7fff;
	return to_half(FE_TONEAREST, a & 0x80 ? -v : v, 10, 5);
}

/* The cases: a function for each, and a table. */

#define NAME2(line) reference_##line
#define NAME(line)  NAME2(line)
#define CASE(text, d, a_, b_, c_, inputs, ...)                                                     \
	static uint64_t NAME(__LINE__)(uint64_t a, uint64_t b, uint64_t c)                         \
	{                                                                                          \
		(void)a;                                                                           \
		(void)b;                                                                           \
		(void)c;                                                                           \
		return __VA_ARGS__;                                                                \
	}
#include "insn.def"
#undef CASE

struct insn_case {
	const char *text;
	char d, a, b, c, inputs;
	uint64_t (*reference)(uint64_t a, uint64_t b, uint64_t c);
};

static const struct insn_case cases[] = {
#define CASE(text, d, a, b, c, inputs, ...)                                                        \
	{text, #d[0], #a[0], #b[0], #c[0], #inputs[0], NAME(__LINE__)},
#include "insn.def"
};
enum { CASES = sizeof(cases) / sizeof(*cases) };

/* Inputs */

static uint64_t random_state = 88172645463325252ull;

static uint64_t
next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static const uint64_t edges_i[] = {
	0,
	1,
	2,
	3,
	5,
	7,
	31,
	32,
	33,
	63,
	64,
	127,
	128,
	255,
	256,
	32767,
	32768,
	65535,
	65536,
	0x7fffff,
	0x800000,
	0x7fffffff,
	0x80000000,
	0xfffffffe,
	0xffffffff,
	0x100000000,
	0x7fffffffffffffff,
	0x8000000000000000,
	0xffffffffffffffff,
	0xfffffffffffffff0,
	0xffffffff80000000,
	0xffffffff00000000,
	0x5555555555555555,
	0x1000001,
	0x1000003,
	0x20000000000001,
	0xfffffffffffffbff,
	0xffffff7fffffffff,
};
static const uint64_t edges_f[] = {
	0,          0x80000000, 1,          0x80000001, 0x7fffff,   0x807fffff, 0x800000,
	0x80800000, 0x3f800000, 0xbf800000, 0x3f000000, 0x3fc00000, 0x40200000, 0xc0200000,
	0x3f7fffff, 0x3f800001, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000,
	0xffc00001, 0x7f800001, 0x4b000000, 0x4b000001, 0x4f000000, 0xcf000000, 0x4effffff,
	0x4f800000, 0x5f000000, 0xdf000000, 0x5f800000, 0x5effffff, 0x477fe000, 0x477ff000,
	0x47800000, 0x38800000, 0x387fc000, 0x33800000, 0x33000000, 0x33000001, 0x7f7f8000,
	0x7f7f7fff, 0x3f808000, 0x3f818000, 0x43e00000, 0x43e80000, 0x3b000000, 0x3a800000,
};
static const uint64_t edges_d[] = {
	0,
	0x8000000000000000,
	1,
	0x8000000000000001,
	0xfffffffffffff,
	0x10000000000000,
	0x3ff0000000000000,
	0xbff0000000000000,
	0x3fe0000000000000,
	0x3ff8000000000000,
	0xbff8000000000000,
	0x3fefffffffffffff,
	0x7fefffffffffffff,
	0xffefffffffffffff,
	0x7ff0000000000000,
	0xfff0000000000000,
	0x7ff8000000000000,
	0xfff8000000000001,
	0x41dfffffffc00000,
	0x41e0000000000000,
	0xc1e0000000000000,
	0xc1e0000000200000,
	0x41efffffffe00000,
	0x41f0000000000000,
	0x43e0000000000000,
	0xc3e0000000000000,
	0x43f0000000000000,
	0x47efffffe0000000,
	0x47efffffefffffff,
	0x47effffff0000000,
	0x36a0000000000000,
	0x3690000000000000,
	0x3690000000000001,
	0x380fffffffffffff,
	0x40effc0000000000,
	0x40effe0000000000,
	0x40effdffffffffff,
	0x3e70000000000000,
	0x3e60000000000001,
	0x3ff0020000000000,
	0x3ff0020000000001,
};
static const uint64_t edges_h[] = {
	0,      0x8000, 1,      0x8001, 0x3ff,  0x400,  0x3c00, 0xbc00,
	0x3bff, 0x3c01, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0xfe01,
	0x7c01, 0x3800, 0x4200, 0x6400, 0x6401, 0x5bff, 0x0200, 0x1400,
};
static const uint64_t edges_g[] = {
	0,      0x8000, 1,      0x8001, 0x7f,   0x80,   0x3f80, 0xbf80,
	0x3f7f, 0x3f81, 0x7f7f, 0xff7f, 0x7f80, 0xff80, 0x7fc0, 0xffc1,
	0x3f00, 0x4040, 0x4300, 0x4301, 0x2f80, 0x1f81, 0x5f80, 0x0100,
};

static uint64_t
pick(const uint64_t *edges, size_t count)
{
	return edges[next_random() % count];
}

#define PICK(edges) pick(edges, sizeof(edges) / sizeof(*(edges)))

static uint64_t
make_input(char kind)
{
	uint64_t r = next_random(), noise = next_random() << 32;

	switch (kind) {
	case 'i':
		if (r % 4 == 0)
			return next_random();
		if (r % 4 == 1)
			return next_random() % 80;
		return PICK(edges_i) + (r % 8 == 2 ? next_random() % 3 - 1 : 0);
	case 'f':
		if (r % 4 == 0)
			return next_random();
		if (r % 4 == 1) /* around one, where sums and products meet */
			return noise | (0x3e000000 + (next_random() & 0x3ffffff));
		return noise | PICK(edges_f);
	case 'd':
		if (r % 4 == 0)
			return next_random();
		if (r % 4 == 1)
			return 0x3fd0000000000000 + (next_random() & 0x3fffffffffffff);
		return PICK(edges_d);
	case 'h':
		if (r % 2)
			return next_random();
		return noise | PICK(edges_h) << 16 | PICK(edges_h);
	default:
		if (r % 2)
			return next_random();
		return noise | PICK(edges_g) << 16 | PICK(edges_g);
	}
}

/* Programs */

static const char *
register_type(char class)
{
	switch (class) {
	case 'h':
		return "b16";
	case 'w':
		return "b32";
	case 'f':
		return "f32";
	case 'd':
		return "f64";
	default:
		return "b64";
	}
}

/* Reads an operand's class from 64 bits at [%addr]. */
static size_t
write_load(char *text, size_t size, char class, const char *name, int k)
{
	if (class == '-')
		return 0;
	if (class == 'p')
		return (size_t)snprintf(text, size,
					"\t.reg .pred %%%s;\n"
					"\tld.global.b64 %%raw, [%%in+%d];\n"
					"\tand.b64 %%raw, %%raw, 1;\n"
					"\tsetp.ne.b64 %%%s, %%raw, 0;\n",
					name, 8 * k, name);
	return (size_t)snprintf(text, size, "\t.reg .%s %%%s;\n\tld.global.%s %%%s, [%%in+%d];\n",
				register_type(class), name, register_type(class), name, 8 * k);
}

/* One kernel: thread i reads in[3 i …], writes out[i]; lanes not in @lanes do nothing. */
static size_t
write_kernel(char *text, size_t size, const struct insn_case *c, int number)
{
	const char *type = register_type(c->d);
	size_t n;

	n = (size_t)snprintf(
		text, size,
		".visible .entry k%d(.param .u64 in, .param .u64 out, .param .u32 lanes)\n"
		"{\n"
		"\t.reg .b64 %%in, %%out, %%raw, %%i;\n"
		"\t.reg .b32 %%t, %%lanes, %%bit;\n"
		"\t.reg .pred p, q, %%mine;\n"
		"\t.reg .%s %%d;\n"
		"\tld.param.u64 %%in, [in];\n"
		"\tld.param.u64 %%out, [out];\n"
		"\tld.param.u32 %%lanes, [lanes];\n"
		"\tmov.u32 %%t, %%tid.x;\n"
		"\tmov.u32 %%bit, %%ctaid.x;\n"
		"\tmad.lo.u32 %%t, %%bit, 128, %%t;\n"
		"\tmul.wide.u32 %%i, %%t, 24;\n"
		"\tadd.u64 %%in, %%in, %%i;\n"
		"\tmul.wide.u32 %%i, %%t, 8;\n"
		"\tadd.u64 %%out, %%out, %%i;\n"
		"\tshr.u32 %%bit, %%lanes, %%laneid;\n"
		"\tand.b32 %%bit, %%bit, 1;\n"
		"\tsetp.eq.u32 %%mine, %%bit, 0;\n"
		"\tmov.%s %%d, %s;\n"
		"\t@%%mine bra DONE;\n",
		number, type, type,
		c->d == 'f'   ? "0f00000000"
		: c->d == 'd' ? "0d0000000000000000"
			      : "0");
	n += write_load(text + n, size - n, c->a, "a", 0);
	n += write_load(text + n, size - n, c->b, "b", 1);
	n += write_load(text + n, size - n, c->c, "c", 2);
	n += (size_t)snprintf(text + n, size - n,
			      "\t%s;\n\tst.global.%s [%%out], %%d;\nDONE:\n\tret;\n}\n", c->text,
			      type);
	return n;
}

static struct ptx_module *
load_cases(void)
{
	enum { ROOM = 4096 };
	char *text = malloc((size_t)CASES * ROOM);
	size_t n = (size_t)snprintf(text, ROOM, ".version 8.6\n.target sm_100\n.address_size 64\n");

	for (int k = 0; k < CASES; k++)
		n += write_kernel(text + n, (size_t)CASES * ROOM - n, &cases[k], k);
	struct ptx_module *module = load_text(text);

	free(text);
	return module;
}

/* The number of representable f32 between two values. */
static double
distance_f32(float got, double target)
{
	float nearest = (float)target;
	double ulp;

	if (isnan(target) || isnan(got))
		return isnan(target) && isnan(got) ? 0 : INFINITY;
	if (isinf(nearest) || isinf(got))
		return got == nearest || fabsf(got) >= 3.402823e38f ? 0 : INFINITY;
	ulp = fabs(nearest) < 0x1p-126 ? 0x1p-149 : ldexp(1, ilogb(nearest) - 23);
	/* flushed to zero */
	if (fabs(nearest) < 0x1p-126 && got == 0)
		return 0;
	return fabs(got - target) / ulp;
}

static int
result_bytes(char class)
{
	return class == 'h' ? 2 : class == 'w' || class == 'f' ? 4 : 8;
}

static void
run_cases(uint32_t lanes)
{
	struct ptx_module *module = load_cases();
	static uint64_t in[3 * N], out[N];
	int failures = 0;

	for (int k = 0; k < CASES; k++) {
		const struct insn_case *c = &cases[k];
		char name[16];
		struct {
			uint64_t *in, *out;
			uint32_t lanes;
		} p = {in, out, lanes};
		uint64_t mask =
			result_bytes(c->d) == 8 ? ~0ull : (1ull << 8 * result_bytes(c->d)) - 1;

		random_state = 88172645463325252ull + (uint64_t)k;
		for (int i = 0; i < 3 * N; i++)
			in[i] = make_input(c->inputs);
		for (int i = 0; i < N; i++)
			out[i] = 0x1111111111111111;
		snprintf(name, sizeof(name), "k%d", k);
		RUN(module, name, N / 128, 128, PARAMS(p));
		for (int i = 0, bad = 0; i < N && bad < 3; i++) {
			const uint64_t *x = &in[3 * i];
			int active = lanes >> (i % 32) & 1;

			near_ulps = 0;
			uint64_t expect =
				active ? c->reference(x[0], x[1], x[2]) : 0x1111111111111111;
			int ok = expect == UNDEFINED || !((out[i] ^ expect) & mask);

			if (near_ulps && active)
				ok = distance_f32(f32(out[i]), near_target) <= near_ulps;
			if (ok)
				continue;
			bad++;
			failures++;
			if (near_ulps)
				fprintf(stderr, "%s: %a gives %a, not %a\n", c->text, f32(x[0]),
					f32(out[i]), near_target);
			else
				fprintf(stderr, "%s: %llx %llx %llx gives %llx, not %llx\n",
					c->text, (unsigned long long)x[0], (unsigned long long)x[1],
					(unsigned long long)x[2],
					(unsigned long long)(out[i] & mask),
					(unsigned long long)(expect & mask));
		}
	}
	ptx_module_unload(module);
	cr_assert_eq(failures, 0, "%d wrong results", failures);
}

TestSuite(ptx_insn, .timeout = 200);

Test(ptx_insn, whole_warps)
{
	run_cases(0xffffffff);
}

Test(ptx_insn, part_of_a_warp)
{
	run_cases(0x5a5af00f);
}

Test(ptx_insn, without_avx2)
{
	setenv("GENIE_PERF", "no_avx2", 1);
	run_cases(0xffffffff);
}
