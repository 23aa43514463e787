/*
 * Floating point as IEEE 754 has it: every rounding mode, fused products, square roots, divisions,
 * conversions, comparisons with NaN, in both precisions, bit for bit. The functions of the
 * mathematical library are compared within a few units of the last place.
 */
#include "program.h"

#include <cfenv>
#include <cmath>
#include <cstring>
#include <limits>

constexpr int FLOAT_RESULTS = 20, DOUBLE_RESULTS = 14, INT_RESULTS = 14, LIBRARY_RESULTS = 12;

__global__ void
float_operations(const float *in, float *out, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i >= count)
		return;
	float a = in[i], b = in[(i * 7 + 1) % count], c = in[(i * 13 + 5) % count];
	float *r = out + i * FLOAT_RESULTS;
	r[0] = __fadd_rn(a, b);
	r[1] = __fadd_rz(a, b);
	r[2] = __fadd_ru(a, b);
	r[3] = __fadd_rd(a, b);
	r[4] = __fmul_rn(a, b);
	r[5] = __fmul_rz(a, b);
	r[6] = __fmul_ru(a, b);
	r[7] = __fmul_rd(a, b);
	r[8] = __fmaf_rn(a, b, c);
	r[9] = __fmaf_rz(a, b, c);
	r[10] = __fmaf_ru(a, b, c);
	r[11] = __fmaf_rd(a, b, c);
	r[12] = __fdiv_rn(a, b);
	r[13] = __fdiv_ru(a, b);
	r[14] = __fsqrt_rn(fabsf(a));
	r[15] = __fsqrt_rd(fabsf(a));
	r[16] = fminf(a, b);
	r[17] = fmaxf(a, b);
	r[18] = floorf(a) + truncf(b) + ceilf(a) + rintf(b);
	r[19] = copysignf(a, b);
}

__global__ void
double_operations(const double *in, double *out, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i >= count)
		return;
	double a = in[i], b = in[(i * 7 + 1) % count], c = in[(i * 13 + 5) % count];
	double *r = out + i * DOUBLE_RESULTS;
	r[0] = __dadd_rn(a, b);
	r[1] = __dadd_rz(a, b);
	r[2] = __dadd_ru(a, b);
	r[3] = __dmul_rn(a, b);
	r[4] = __dmul_rd(a, b);
	r[5] = __fma_rn(a, b, c);
	r[6] = __fma_ru(a, b, c);
	r[7] = __ddiv_rn(a, b);
	r[8] = __ddiv_rz(a, b);
	r[9] = __dsqrt_rn(fabs(a));
	r[10] = __dsqrt_ru(fabs(a));
	r[11] = fmin(a, b) + fmax(a, c);
	r[12] = floor(a) - ceil(b);
	r[13] = rint(a);
}

__global__ void
conversions(const float *floats, const double *doubles, long long *out, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i >= count)
		return;
	float f = floats[i];
	double d = doubles[i];
	long long *r = out + i * INT_RESULTS;
	r[0] = __float2int_rn(f);
	r[1] = __float2int_rz(f);
	r[2] = __float2int_ru(f);
	r[3] = __float2int_rd(f);
	r[4] = __float2uint_rz(f);
	r[5] = __float2ll_rn(f);
	r[6] = __double2ll_rz(d);
	r[7] = __double2int_rn(d);
	r[8] = (long long)__double2ull_rz(d);
	r[9] = __float_as_int(__double2float_rn(d));
	r[10] = __float_as_int(__double2float_ru(d));
	r[11] = __float_as_int(__ll2float_rz(r[5] * 1234567));
	r[12] = __double_as_longlong(__ll2double_rn(r[6] * 7654321));
	r[13] = (f < 1.0f) | (f <= 1.0f) << 1 | (f != f) << 2 | !(f > 0.0f) << 3 | (d == d) << 4 |
		(isinf(f) ? 32 : 0) | (signbit(d) ? 64 : 0);
}

__global__ void
library(const float *in, double *out, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i >= count)
		return;
	float x = in[i];
	double d = x;
	double *r = out + i * LIBRARY_RESULTS;
	r[0] = expf(x);
	r[1] = logf(fabsf(x) + 0.1f);
	r[2] = sinf(x);
	r[3] = cosf(x);
	r[4] = tanhf(x);
	r[5] = powf(fabsf(x) + 0.1f, 1.7f);
	r[6] = exp(d);
	r[7] = log(fabs(d) + 0.1);
	r[8] = sin(d);
	r[9] = atan2(d, 2.0);
	r[10] = pow(fabs(d) + 0.1, -2.3);
	r[11] = erf(d);
}

/* What the kernel computes, with the rounding of the host's processor switched. */
template <typename T, typename F>
static T
rounded(int mode, F operation)
{
	int before = fegetround();
	fesetround(mode);
	T result = operation();
	fesetround(before);
	return result;
}

template <typename T>
static bool
same(T a, T b)
{
	if (std::isnan(a) || std::isnan(b))
		return std::isnan(a) && std::isnan(b);
	return !memcmp(&a, &b, sizeof(a));
}

template <typename T>
static std::vector<T>
interesting(int count, int exponents)
{
	std::vector<T> values(count);
	Random random = {81};
	for (T &value : values) {
		T fraction =
			(T)random.next() / (T)4294967296.0 + (T)random.next() / (T)1.8446744e19;
		value = std::ldexp(fraction, (int)random.below(2 * exponents) - exponents);
		if (random.below(2))
			value = -value;
	}
	typedef std::numeric_limits<T> limits;
	T special[] = {0,
		       -(T)0.0,
		       1,
		       -1,
		       0.5,
		       1.5,
		       2.5,
		       -2.5,
		       limits::infinity(),
		       -limits::infinity(),
		       limits::quiet_NaN(),
		       limits::denorm_min(),
		       limits::min(),
		       limits::min() / 3,
		       limits::max(),
		       -limits::max(),
		       (T)2147483648.0,
		       (T)-2147483904.0,
		       (T)16777217.0,
		       (T)1 / 3};
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		values[i * 3] = special[i];
	return values;
}

#define AT(mode, type, expression)                                                                 \
	rounded<type>(mode, [&]() -> type {                                                        \
		volatile type va = a, vb = b, vc = c;                                              \
		(void)va, (void)vb, (void)vc;                                                      \
		volatile type result = (expression);                                               \
		return result;                                                                     \
	})

static void
check_floats(const std::vector<float> &in, const std::vector<float> &out)
{
	int count = (int)in.size();
	for (int i = 0; i < count; i++) {
		float a = in[i], b = in[(i * 7 + 1) % count], c = in[(i * 13 + 5) % count];
		const float expected[FLOAT_RESULTS] = {
			AT(FE_TONEAREST, float, va + vb),
			AT(FE_TOWARDZERO, float, va + vb),
			AT(FE_UPWARD, float, va + vb),
			AT(FE_DOWNWARD, float, va + vb),
			AT(FE_TONEAREST, float, va *vb),
			AT(FE_TOWARDZERO, float, va *vb),
			AT(FE_UPWARD, float, va *vb),
			AT(FE_DOWNWARD, float, va *vb),
			AT(FE_TONEAREST, float, fmaf(va, vb, vc)),
			AT(FE_TOWARDZERO, float, fmaf(va, vb, vc)),
			AT(FE_UPWARD, float, fmaf(va, vb, vc)),
			AT(FE_DOWNWARD, float, fmaf(va, vb, vc)),
			AT(FE_TONEAREST, float, va / vb),
			AT(FE_UPWARD, float, va / vb),
			AT(FE_TONEAREST, float, sqrtf(fabsf(va))),
			AT(FE_DOWNWARD, float, sqrtf(fabsf(va))),
			std::isnan(a)   ? b
			: std::isnan(b) ? a
			: a < b         ? a
					: b,
			std::isnan(a)   ? b
			: std::isnan(b) ? a
			: a > b         ? a
					: b,
			floorf(a) + truncf(b) + ceilf(a) + rintf(b),
			copysignf(a, b),
		};
		for (int k = 0; k < FLOAT_RESULTS; k++) {
			float seen = out[i * FLOAT_RESULTS + k];
			/* The sign of min(0, -0) is open. */
			bool zeros = (k == 16 || k == 17) && seen == 0.0f && expected[k] == 0.0f;
			if (!same(seen, expected[k]) && !zeros) {
				printf("float operation %d of %a %a %a: %a, expected %a\n", k, a, b,
				       c, seen, expected[k]);
				exit(1);
			}
		}
	}
}

static void
check_doubles(const std::vector<double> &in, const std::vector<double> &out)
{
	int count = (int)in.size();
	for (int i = 0; i < count; i++) {
		double a = in[i], b = in[(i * 7 + 1) % count], c = in[(i * 13 + 5) % count];
		double smaller = std::isnan(a) ? b : std::isnan(b) ? a : a < b ? a : b;
		double larger = std::isnan(a) ? c : std::isnan(c) ? a : a > c ? a : c;
		const double expected[DOUBLE_RESULTS] = {
			AT(FE_TONEAREST, double, va + vb),
			AT(FE_TOWARDZERO, double, va + vb),
			AT(FE_UPWARD, double, va + vb),
			AT(FE_TONEAREST, double, va *vb),
			AT(FE_DOWNWARD, double, va *vb),
			AT(FE_TONEAREST, double, fma(va, vb, vc)),
			AT(FE_UPWARD, double, fma(va, vb, vc)),
			AT(FE_TONEAREST, double, va / vb),
			AT(FE_TOWARDZERO, double, va / vb),
			AT(FE_TONEAREST, double, sqrt(fabs(va))),
			AT(FE_UPWARD, double, sqrt(fabs(va))),
			smaller + larger,
			floor(a) - ceil(b),
			rint(a),
		};
		for (int k = 0; k < DOUBLE_RESULTS; k++) {
			double seen = out[i * DOUBLE_RESULTS + k];
			bool zeros = k == 11 && seen == 0.0 && expected[k] == 0.0;
			if (!same(seen, expected[k]) && !zeros) {
				printf("double operation %d of %a %a %a: %a, expected %a\n", k, a,
				       b, c, seen, expected[k]);
				exit(1);
			}
		}
	}
}

/* Conversions to integers saturate, and NaN becomes 0 (or the smallest 64-bit number). */
static long long
saturated(double x, double low, double high, long long least, long long most, long long nan)
{
	if (std::isnan(x))
		return nan;
	return x <= low ? least : x >= high ? most : (long long)x;
}

static void
check_conversions(const std::vector<float> &floats, const std::vector<double> &doubles,
		  const std::vector<long long> &out)
{
	const long long least = std::numeric_limits<long long>::min();
	const long long most = std::numeric_limits<long long>::max();
	for (size_t i = 0; i < floats.size(); i++) {
		float f = floats[i];
		double d = doubles[i];
		const long long *r = &out[i * INT_RESULTS];
		auto to_int = [](double x) {
			return saturated(x, -2147483648.0, 2147483647.0, -2147483648ll,
					 2147483647ll, 0);
		};
		EXPECT(r[0] == to_int(nearbyint(f)));
		EXPECT(r[1] == to_int(trunc(f)));
		EXPECT(r[2] == to_int(ceil(f)));
		EXPECT(r[3] == to_int(floor(f)));
		EXPECT(r[4] == saturated(trunc(f), 0.0, 4294967295.0, 0, 4294967295ll, 0));
		EXPECT(r[5] == saturated(nearbyint(f), -9223372036854775808.0,
					 9223372036854775807.0, least, most, least));
		EXPECT(r[6] == saturated(trunc(d), -9223372036854775808.0, 9223372036854775807.0,
					 least, most, least));
		/* Unlike a float's, a double's NaN becomes the smallest number. */
		EXPECT(r[7] == (std::isnan(d) ? r[7] : to_int(nearbyint(d))));
		if (d >= 0.0 && d < 9e18)
			EXPECT(r[8] == (long long)d);
		if (!std::isnan(d)) {
			float nearest = (float)d;
			volatile double source = d;
			float upward = rounded<float>(FE_UPWARD, [&] {
				volatile float result = (float)source;
				return result;
			});
			int bits;
			memcpy(&bits, &nearest, sizeof(bits));
			EXPECT((int)r[9] == bits);
			memcpy(&bits, &upward, sizeof(bits));
			EXPECT((int)r[10] == bits);
		}
		volatile long long scaled = (long long)((unsigned long long)r[5] * 1234567);
		float cut = rounded<float>(FE_TOWARDZERO, [&] {
			volatile float result = (float)scaled;
			return result;
		});
		int cut_bits;
		memcpy(&cut_bits, &cut, sizeof(cut_bits));
		EXPECT((int)r[11] == cut_bits);
		double wide = (double)(long long)((unsigned long long)r[6] * 7654321);
		long long wide_bits;
		memcpy(&wide_bits, &wide, sizeof(wide_bits));
		EXPECT(r[12] == wide_bits);
		long long flags = (f < 1.0f) | (f <= 1.0f) << 1 | (f != f) << 2 | !(f > 0.0f) << 3 |
				  (d == d) << 4 | (std::isinf(f) ? 32 : 0);
		EXPECT((r[13] & 63) == flags);
		if (!std::isnan(d))
			EXPECT((r[13] >> 6 & 1) == std::signbit(d));
	}
}

static void
check_library(const std::vector<float> &in, const std::vector<double> &out)
{
	for (size_t i = 0; i < in.size(); i++) {
		double x = in[i], y = (double)(fabsf(in[i]) + 0.1f);
		const double expected[LIBRARY_RESULTS] = {
			exp(x),
			log(y),
			sin(x),
			cos(x),
			tanh(x),
			pow(y, (double)1.7f),
			exp(x),
			log(fabs(x) + 0.1),
			sin(x),
			atan2(x, 2.0),
			pow(fabs(x) + 0.1, -2.3),
			erf(x),
		};
		for (int k = 0; k < LIBRARY_RESULTS; k++) {
			/* A float's last place is 6e-8; logarithms near 1 have few digits left. */
			double allowed = k < 6 ? 1e-6 : 1e-14;
			double scale = fabs(expected[k]) < 1.0 ? 1.0 : fabs(expected[k]);
			double seen = out[i * LIBRARY_RESULTS + k];
			if (!(fabs(seen - expected[k]) <= allowed * scale)) {
				printf("library function %d of %a: %a, expected %a\n", k, x, seen,
				       expected[k]);
				exit(1);
			}
		}
	}
}

int
main()
{
	const int count = 2000;
	std::vector<float> floats = interesting<float>(count, 40);
	std::vector<double> doubles = interesting<double>(count, 80);
	float *device_floats = to_device(floats), *float_out;
	double *device_doubles = to_device(doubles), *double_out;
	long long *int_out;
	CUDA(cudaMalloc(&float_out, count * FLOAT_RESULTS * sizeof(float)));
	CUDA(cudaMalloc(&double_out, count * DOUBLE_RESULTS * sizeof(double)));
	CUDA(cudaMalloc(&int_out, count * INT_RESULTS * sizeof(long long)));

	float_operations<<<16, 128>>>(device_floats, float_out, count);
	LAUNCHED();
	check_floats(floats, to_host(float_out, count * FLOAT_RESULTS));
	printf("single precision\n");

	double_operations<<<16, 128>>>(device_doubles, double_out, count);
	LAUNCHED();
	check_doubles(doubles, to_host(double_out, count * DOUBLE_RESULTS));
	printf("double precision\n");

	conversions<<<16, 128>>>(device_floats, device_doubles, int_out, count);
	LAUNCHED();
	check_conversions(floats, doubles, to_host(int_out, count * INT_RESULTS));
	printf("conversions\n");

	std::vector<float> moderate(count);
	Random random = {82};
	for (float &value : moderate)
		value = ((float)random.below(1 << 20) / (1 << 19) - 1.0f) * 8.0f;
	CUDA(cudaMemcpy(device_floats, moderate.data(), count * sizeof(float),
			cudaMemcpyHostToDevice));
	library<<<16, 128>>>(device_floats, double_out, count);
	LAUNCHED();
	check_library(moderate, to_host(double_out, count * LIBRARY_RESULTS));
	printf("library\n");
	CUDA(cudaFree(device_floats));
	CUDA(cudaFree(device_doubles));
	CUDA(cudaFree(float_out));
	CUDA(cudaFree(double_out));
	CUDA(cudaFree(int_out));
	return ok();
}
