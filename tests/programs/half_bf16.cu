/* 16-bit floating point: conversions and arithmetic, exact or correctly rounded. */
#include "program.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstring>

__global__ void
half_operations(const float *in, float *out, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i >= count)
		return;
	__half a = __float2half_rn(in[i]), b = __float2half_rn(in[(i + 1) % count]);
	float *r = out + i * 8;
	r[0] = __half2float(a);
	r[1] = __half2float(__hadd(a, b));
	r[2] = __half2float(__hmul(a, b));
	r[3] = __half2float(__hfma(a, b, a));
	r[4] = __half2float(__hsub(a, b));
	r[5] = __hlt(a, b) ? 1.0f : 0.0f;
	__half2 pair = __hadd2(__halves2half2(a, b), __float2half2_rn(1.0f));
	r[6] = __low2float(pair);
	r[7] = __high2float(pair);
}

__global__ void
bfloat_operations(const float *in, float *out, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i >= count)
		return;
	__nv_bfloat16 a = __float2bfloat16_rn(in[i]), b = __float2bfloat16_rn(in[(i + 1) % count]);
	float *r = out + i * 4;
	r[0] = __bfloat162float(a);
	r[1] = __bfloat162float(__float2bfloat16_rn(__bfloat162float(a) + __bfloat162float(b)));
	r[2] = __bfloat162float(__float2bfloat16_rz(in[i] * 3.0f));
	r[3] = (float)__bfloat16_as_ushort(a);
}

/* Rounds to nearest even with that many bits of fraction; half precision's range. */
static float
round_half(double x)
{
	if (x == 0.0)
		return (float)x;
	int exponent;
	frexp(x, &exponent);
	double unit = ldexp(1.0, (exponent < -13 ? -13 : exponent) - 11);
	double rounded = nearbyint(x / unit) * unit;
	if (fabs(rounded) > 65504.0)
		rounded = copysign(INFINITY, x);
	return (float)rounded;
}

static float
round_bfloat(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof(bits));
	bits += 0x7fff + (bits >> 16 & 1);
	bits &= 0xffff0000;
	memcpy(&x, &bits, sizeof(x));
	return x;
}

static bool
same(float a, float b)
{
	return a == b && std::signbit(a) == std::signbit(b);
}

int
main()
{
	const int count = 1000;
	std::vector<float> in(count);
	Random random = {71};
	for (float &value : in) {
		int exponent = (int)random.below(24) - 16;
		value = ldexpf((float)random.below(1 << 24) / (1 << 23), exponent);
		if (random.below(2))
			value = -value;
	}
	in[0] = 0.0f;
	in[1] = 65504.0f;
	in[2] = 1e-7f; /* a subnormal of half precision */
	in[3] = 70000.0f;
	in[4] = 1.0f;
	float *device_in = to_device(in), *device_out;
	CUDA(cudaMalloc(&device_out, count * 8 * sizeof(float)));

	half_operations<<<8, 128>>>(device_in, device_out, count);
	LAUNCHED();
	std::vector<float> out = to_host(device_out, count * 8);
	for (int i = 0; i < count; i++) {
		double a = round_half(in[i]), b = round_half(in[(i + 1) % count]);
		const float *r = &out[i * 8];
		if (std::isinf(a) || std::isinf(b)) {
			EXPECT(r[0] == (float)a);
			continue;
		}
		EXPECT(same(r[0], (float)a));
		EXPECT(r[1] == round_half(a + b));
		EXPECT(r[2] == round_half(a * b));
		EXPECT(r[3] == round_half(a * b + a));
		EXPECT(r[4] == round_half(a - b));
		EXPECT(r[5] == (a < b ? 1.0f : 0.0f));
		EXPECT(r[6] == round_half(a + 1.0) && r[7] == round_half(b + 1.0));
	}
	printf("half precision\n");

	bfloat_operations<<<8, 128>>>(device_in, device_out, count);
	LAUNCHED();
	out = to_host(device_out, count * 4);
	for (int i = 0; i < count; i++) {
		float a = round_bfloat(in[i]), b = round_bfloat(in[(i + 1) % count]);
		uint32_t bits, truncated;
		float triple = in[i] * 3.0f;
		memcpy(&truncated, &triple, sizeof(truncated));
		truncated &= 0xffff0000;
		memcpy(&triple, &truncated, sizeof(triple));
		memcpy(&bits, &a, sizeof(bits));
		const float *r = &out[i * 4];
		EXPECT(same(r[0], a));
		EXPECT(r[1] == round_bfloat(a + b));
		EXPECT(same(r[2], triple));
		EXPECT(r[3] == (float)(bits >> 16));
	}
	print_checksum("bfloat", out);
	CUDA(cudaFree(device_in));
	CUDA(cudaFree(device_out));
	return ok();
}
