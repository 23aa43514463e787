/* Instructions on f32 and f64. */
#include "remote/device_cpu/ptx/approx.h"
#include "remote/device_cpu/ptx/exec_lanes.h"

static inline uint32_t
bits_f32(float a)
{
	uint32_t bits;

	memcpy(&bits, &a, sizeof(bits));
	return bits;
}

static inline float
float_of(uint32_t bits)
{
	float a;

	memcpy(&a, &bits, sizeof(a));
	return a;
}

static inline uint64_t
bits_f64(double a)
{
	uint64_t bits;

	memcpy(&bits, &a, sizeof(bits));
	return bits;
}

static inline double
double_of(uint64_t bits)
{
	double a;

	memcpy(&a, &bits, sizeof(a));
	return a;
}

/* Subnormal numbers become zeros of their sign. */
static inline float
flush(float a)
{
	uint32_t bits = bits_f32(a);

	return float_of(bits & 0x7f800000u ? bits : bits & 0x80000000u);
}

static inline double
flush_f64(double a)
{
	uint64_t bits = bits_f64(a);

	return double_of(bits & 0x7ff0000000000000ull ? bits : bits & 1ull << 63);
}

/* All f32 instructions give the same NaN. */
static inline float
nan_f32(float a)
{
	return a == a ? a : float_of(0x7fffffffu);
}

static inline float
fma_f32(float a, float b, float c)
{
	return __builtin_fmaf(a, b, c);
}

static inline double
fma_f64(double a, double b, double c)
{
	return __builtin_fma(a, b, c);
}

/* A number wins over a NaN, and -0 is less than +0. */
static inline float
min_f32(float a, float b)
{
	float less = a < b ? a : b;

	less = a == b ? float_of(bits_f32(a) | bits_f32(b)) : less;
	less = b != b ? a : less;
	return a != a ? b : less;
}

static inline float
max_f32(float a, float b)
{
	float more = a > b ? a : b;

	more = a == b ? float_of(bits_f32(a) & bits_f32(b)) : more;
	more = b != b ? a : more;
	return a != a ? b : more;
}

static inline double
min_f64(double a, double b)
{
	double less = a < b ? a : b;

	less = a == b ? double_of(bits_f64(a) | bits_f64(b)) : less;
	less = b != b ? a : less;
	return a != a ? b : less;
}

static inline double
max_f64(double a, double b)
{
	double more = a > b ? a : b;

	more = a == b ? double_of(bits_f64(a) & bits_f64(b)) : more;
	more = b != b ? a : more;
	return a != a ? b : more;
}

static inline int
is_normal_f32(float a)
{
	uint32_t exponent = bits_f32(a) & 0x7f800000u;

	return exponent != 0 && exponent != 0x7f800000u;
}

static inline double
u64_to_f64(uint64_t a)
{
	return (double)a;
}

/*
 * To integers: the operand is integral, infinite or NaN. Results saturate; NaN gives 0 from f32
 * to 32 bits, else the number with only the highest bit.
 */
static inline uint32_t
f32_to_u32(float a)
{
	return a >= 4294967296.0f ? 0xffffffffu : a > 0.0f ? (uint32_t)(int64_t)a : 0;
}

static inline int32_t
f32_to_s32(float a)
{
	return a >= 2147483648.0f    ? INT32_MAX
	       : a >= -2147483648.0f ? (int32_t)a
	       : a < 0.0f            ? INT32_MIN
				     : 0;
}

static inline uint32_t
f64_to_u32(double a)
{
	if (a != a)
		return 0x80000000u;
	return a >= 4294967296.0 ? 0xffffffffu : a > 0.0 ? (uint32_t)(int64_t)a : 0;
}

static inline int32_t
f64_to_s32(double a)
{
	return a >= 2147483648.0 ? INT32_MAX : a >= -2147483648.0 ? (int32_t)a : INT32_MIN;
}

static inline uint64_t
f64_to_u64(double a)
{
	if (a != a)
		return 1ull << 63;
	return a >= 18446744073709551616.0 ? ~0ull : a > 0.0 ? (uint64_t)a : 0;
}

static inline int64_t
f64_to_s64(double a)
{
	return a >= 9223372036854775808.0    ? INT64_MAX
	       : a >= -9223372036854775808.0 ? (int64_t)a
					     : INT64_MIN;
}

/* The two versions of an instruction differ in what they do to subnormal numbers. */
#define float_as_is(a) (a)

#define UN_Z_BODY(name, expr, fl)                                                                  \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		float *d = PTX_REG(float, i->dst);                                                 \
		const float *pa = PTX_REG(const float, i->a);                                      \
		(void)w;                                                                           \
		PTX_EACH_LANE                                                                      \
		{                                                                                  \
			const float a = fl(pa[l]);                                                 \
			d[l] = fl(nan_f32(expr));                                                  \
		}                                                                                  \
		return i + 1;                                                                      \
	}
#define BIN_Z_BODY(name, expr, fl)                                                                 \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		float *d = PTX_REG(float, i->dst);                                                 \
		const float *pa = PTX_REG(const float, i->a);                                      \
		const float *pb = PTX_REG(const float, i->b);                                      \
		(void)w;                                                                           \
		PTX_EACH_LANE                                                                      \
		{                                                                                  \
			const float a = fl(pa[l]);                                                 \
			const float b = fl(pb[l]);                                                 \
			d[l] = fl(nan_f32(expr));                                                  \
		}                                                                                  \
		return i + 1;                                                                      \
	}
#define TER_Z_BODY(name, expr, fl)                                                                 \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		float *d = PTX_REG(float, i->dst);                                                 \
		const float *pa = PTX_REG(const float, i->a);                                      \
		const float *pb = PTX_REG(const float, i->b);                                      \
		const float *pc = PTX_REG(const float, i->c);                                      \
		(void)w;                                                                           \
		PTX_EACH_LANE                                                                      \
		{                                                                                  \
			const float a = fl(pa[l]);                                                 \
			const float b = fl(pb[l]);                                                 \
			const float c = fl(pc[l]);                                                 \
			d[l] = fl(nan_f32(expr));                                                  \
		}                                                                                  \
		return i + 1;                                                                      \
	}
#define CMP2_Z_BODY(name, expr, fl)                                                                \
	PTX_HANDLER(name)                                                                          \
	{                                                                                          \
		const float *pa = PTX_REG(const float, i->a);                                      \
		const float *pb = PTX_REG(const float, i->b);                                      \
		PTX_FLAG(float) flags[PTX_LANES];                                                  \
		(void)w;                                                                           \
		PTX_EACH_LANE                                                                      \
		{                                                                                  \
			const float a = fl(pa[l]);                                                 \
			const float b = fl(pb[l]);                                                 \
			flags[l] = (expr) ? -1 : 0;                                                \
		}                                                                                  \
		PTX_MASK(i->dst) = ptx_mask_of(flags, sizeof(*flags));                             \
		return i + 1;                                                                      \
	}
#define UN_Z(name, expr)                                                                           \
	UN_Z_BODY(name##_f32, expr, float_as_is)                                                   \
	UN_Z_BODY(name##_f32z, expr, flush)
#define BIN_Z(name, expr)                                                                          \
	BIN_Z_BODY(name##_f32, expr, float_as_is)                                                  \
	BIN_Z_BODY(name##_f32z, expr, flush)
#define TER_Z(name, expr)                                                                          \
	TER_Z_BODY(name##_f32, expr, float_as_is)                                                  \
	TER_Z_BODY(name##_f32z, expr, flush)
#define CMP2_Z(name, expr)                                                                         \
	CMP2_Z_BODY(name##_f32, expr, float_as_is)                                                 \
	CMP2_Z_BODY(name##_f32z, expr, flush)

#include "remote/device_cpu/ptx/float.def"

#ifdef PTX_APPROX
/* The ones that are near enough to zero in all lanes; else they go one by one. */
#define TURN(name, expr, fl)                                                                       \
	PTX_HANDLER(near_##name)                                                                   \
	{                                                                                          \
		float *d = PTX_REG(float, i->dst), r[PTX_LANES];                                   \
		const float *pa = PTX_REG(const float, i->a);                                      \
		int far = 0;                                                                       \
		PTX_EACH_LANE                                                                      \
		{                                                                                  \
			const float a = fl(pa[l]);                                                 \
			far |= fabsf(a) > APPROX_TURNS;                                            \
			r[l] = fl(nan_f32(expr));                                                  \
		}                                                                                  \
		if (far)                                                                           \
			return exec_##name(i, regs, w);                                            \
		memcpy(d, r, sizeof(r));                                                           \
		return i + 1;                                                                      \
	}
TURN(sin_f32, approx_sin(a), float_as_is)
TURN(sin_f32z, approx_sin(a), flush)
TURN(cos_f32, approx_cos(a), float_as_is)
TURN(cos_f32z, approx_cos(a), flush)
#endif

void
PTX_ISA_NAME(ptx_exec_float)(ptx_exec_fn *table)
{
#undef UN
#undef BIN
#undef TER
#undef CMP1
#undef CMP2
#undef UN_Z
#undef BIN_Z
#undef TER_Z
#undef CMP2_Z
#define ENTER(name)              table[PTX_H_##name] = exec_##name;
#define UN(name, r, a, e)        ENTER(name)
#define BIN(name, r, a, b, e)    ENTER(name)
#define TER(name, r, a, b, c, e) ENTER(name)
#define CMP1(name, a, e)         ENTER(name)
#define CMP2(name, a, b, e)      ENTER(name)
#define UN_Z(name, e)            ENTER(name##_f32) ENTER(name##_f32z)
#define BIN_Z(name, e)           UN_Z(name, e)
#define TER_Z(name, e)           UN_Z(name, e)
#define CMP2_Z(name, e)          UN_Z(name, e)
#include "remote/device_cpu/ptx/float.def"
#ifdef PTX_APPROX
	table[PTX_H_sin_f32] = exec_near_sin_f32;
	table[PTX_H_sin_f32z] = exec_near_sin_f32z;
	table[PTX_H_cos_f32] = exec_near_cos_f32;
	table[PTX_H_cos_f32z] = exec_near_cos_f32z;
#endif
}
