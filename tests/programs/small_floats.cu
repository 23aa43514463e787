/* Numbers of 8, 6 and 4 bits, and arithmetic with pairs of half and bfloat16. */
#include "program.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp4.h>
#include <cuda_fp6.h>
#include <cuda_fp8.h>

#include <cmath>
#include <cstring>

/* Every byte as a float, and back. */
template <typename T>
__global__ void
bytes(float *wide, unsigned char *back, int count)
{
	int i = threadIdx.x;
	if (i >= count)
		return;
	T small;
	memcpy(&small, &i, 1);
	wide[i] = (float)small;
	T again = T(wide[i]);
	memcpy(&back[i], &again, 1);
}

/* Rounding of many floats. */
template <typename T>
__global__ void
round_all(const float *in, unsigned char *out, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count) {
		T small(in[i]);
		memcpy(&out[i], &small, 1);
	}
}

template <typename T>
static void
try_bytes(const char *name, int count)
{
	float *wide;
	unsigned char *back;
	CUDA(cudaMalloc(&wide, 256 * sizeof(float)));
	CUDA(cudaMalloc(&back, 256));
	bytes<T><<<1, 256>>>(wide, back, count);
	LAUNCHED();
	std::vector<float> floats = to_host(wide, count);
	std::vector<unsigned char> returned = to_host(back, count);
	for (int i = 0; i < count; i++) {
		T small;
		memcpy((void *)&small, &i, 1);
		float expected = (float)small;
		EXPECT(memcmp(&expected, &floats[i], 4) == 0 ||
		       (std::isnan(expected) && std::isnan(floats[i])));
		/* Rounding ends at the largest number: infinity does not come back. */
		EXPECT(!std::isfinite(expected) || returned[i] == i);
	}
	std::vector<float> inputs(1000);
	Random random = {6};
	for (float &input : inputs) {
		uint32_t bits = random.next() % (40u << 23) + (107u << 23);
		bits |= random.next() << 31;
		memcpy(&input, &bits, 4);
	}
	float *in = to_device(inputs);
	unsigned char *out;
	CUDA(cudaMalloc(&out, 1000));
	round_all<T><<<8, 128>>>(in, out, 1000);
	LAUNCHED();
	std::vector<unsigned char> rounded = to_host(out, 1000);
	for (int i = 0; i < 1000; i++) {
		T small(inputs[i]);
		unsigned char expected;
		memcpy(&expected, (void *)&small, 1);
		EXPECT(rounded[i] == expected);
	}
	print_checksum(name, rounded);
}

__global__ void
pairs(const float2 *in, unsigned *out)
{
	int i = threadIdx.x;
	half2 a = __float22half2_rn(in[i]), b = __float22half2_rn(in[i + 1]), c;
	c = __hfma2(a, b, __hmul2(a, __float2half2_rn(0.5f)));
	c = __hadd2(c, __hmax2(a, b));
	c = __hsub2(c, h2sqrt(__habs2(b)));
	half2 order = __hlt2(a, b);
	__nv_bfloat162 d = __float22bfloat162_rn(in[i]), e = __float22bfloat162_rn(in[i + 1]);
	__nv_bfloat162 f = __hadd2(d, __hadd2(e, e));
	f.x = __float2bfloat16_rn(__bfloat162float(f.x) * __bfloat162float(d.y));
	unsigned words[4];
	memcpy(&words[0], &c, 4);
	memcpy(&words[1], &order, 4);
	memcpy(&words[2], &f, 4);
	half low = __low2half(c), high = __hneg(__high2half(c));
	half2 swapped = __halves2half2(high, low);
	memcpy(&words[3], &swapped, 4);
	for (int k = 0; k < 4; k++)
		out[i * 4 + k] = words[k];
}

int
main()
{
	try_bytes<__nv_fp8_e4m3>("e4m3", 256);
	try_bytes<__nv_fp8_e5m2>("e5m2", 256);
	try_bytes<__nv_fp6_e2m3>("e2m3", 64);
	try_bytes<__nv_fp6_e3m2>("e3m2", 64);
	try_bytes<__nv_fp4_e2m1>("e2m1", 16);
	std::vector<float2> values(65);
	Random random = {12};
	for (float2 &value : values)
		value = make_float2((float)random.below(4000) / 100 - 20,
				    (float)random.below(4000) / 100 - 20);
	float2 *in = to_device(values);
	unsigned *out;
	CUDA(cudaMalloc(&out, 256 * sizeof(unsigned)));
	pairs<<<1, 64>>>(in, out);
	LAUNCHED();
	print_checksum("pairs", to_host(out, 256));
	return ok();
}
