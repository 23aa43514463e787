/* A prefix sum over blocks, a bitonic sort and a radix sort, by hand. */
#include "program.h"

#include <algorithm>

constexpr int THREADS = 256;

/* Inclusive within a block; the blocks' sums go to @sums. */
__global__ void
scan_blocks(const int *in, int *out, int *sums, int count)
{
	__shared__ int buffer[2][THREADS];
	int i = blockIdx.x * THREADS + threadIdx.x, from = 0;
	buffer[0][threadIdx.x] = i < count ? in[i] : 0;
	__syncthreads();
	for (int step = 1; step < THREADS; step *= 2) {
		int value = buffer[from][threadIdx.x];
		if (threadIdx.x >= step)
			value += buffer[from][threadIdx.x - step];
		from = 1 - from;
		buffer[from][threadIdx.x] = value;
		__syncthreads();
	}
	if (i < count)
		out[i] = buffer[from][threadIdx.x];
	if (threadIdx.x == THREADS - 1 && sums)
		sums[blockIdx.x] = buffer[from][threadIdx.x];
}

__global__ void
add_sums(int *out, const int *sums, int count)
{
	int i = blockIdx.x * THREADS + threadIdx.x;
	if (i < count && blockIdx.x > 0)
		out[i] += sums[blockIdx.x - 1];
}

/* At most THREADS * THREADS numbers. */
static void
scan(const int *in, int *out, int *sums, int count)
{
	int blocks = (count + THREADS - 1) / THREADS;
	scan_blocks<<<blocks, THREADS>>>(in, out, sums, count);
	scan_blocks<<<1, THREADS>>>(sums, sums, nullptr, blocks);
	add_sums<<<blocks, THREADS>>>(out, sums, count);
	LAUNCHED();
}

__global__ void
bitonic_step(unsigned *values, int stride, int size)
{
	int i = blockIdx.x * THREADS + threadIdx.x, partner = i ^ stride;
	if (partner <= i)
		return;
	unsigned a = values[i], b = values[partner];
	if ((a > b) == ((i & size) == 0)) {
		values[i] = b;
		values[partner] = a;
	}
}

__global__ void
radix_flags(const unsigned *values, int *zeros, int bit, int count)
{
	int i = blockIdx.x * THREADS + threadIdx.x;
	if (i < count)
		zeros[i] = !(values[i] >> bit & 1);
}

__global__ void
radix_scatter(const unsigned *in, unsigned *out, const int *zeros_before, int bit, int count)
{
	int i = blockIdx.x * THREADS + threadIdx.x;
	if (i >= count)
		return;
	int zeros = zeros_before[count - 1];
	bool one = in[i] >> bit & 1;
	int to = one ? zeros + i - zeros_before[i] : zeros_before[i] - 1;
	out[to] = in[i];
}

int
main()
{
	const int count = 16384, blocks = count / THREADS;
	std::vector<int> in = random_ints(count, 100, 21), expected(count);
	int *device_in = to_device(in), *device_out, *device_sums;
	CUDA(cudaMalloc(&device_out, count * sizeof(int)));
	CUDA(cudaMalloc(&device_sums, THREADS * sizeof(int)));
	scan(device_in, device_out, device_sums, count - 5);
	std::vector<int> out = to_host(device_out, count - 5);
	for (int i = 0, sum = 0; i < count - 5; i++)
		EXPECT(out[i] == (sum += in[i]));
	print_checksum("scan", out);

	std::vector<unsigned> values(count);
	Random random = {22};
	for (unsigned &value : values)
		value = random.next();
	std::vector<unsigned> sorted = values;
	std::sort(sorted.begin(), sorted.end());
	unsigned *a = to_device(values), *b;
	for (int size = 2; size <= count; size *= 2)
		for (int stride = size / 2; stride > 0; stride /= 2)
			bitonic_step<<<blocks, THREADS>>>(a, stride, size);
	LAUNCHED();
	EXPECT(to_host(a, count) == sorted);
	print_checksum("bitonic", sorted);

	CUDA(cudaMemcpy(a, values.data(), count * sizeof(unsigned), cudaMemcpyHostToDevice));
	CUDA(cudaMalloc(&b, count * sizeof(unsigned)));
	for (int bit = 0; bit < 32; bit++) {
		radix_flags<<<blocks, THREADS>>>(a, device_in, bit, count);
		scan(device_in, device_out, device_sums, count);
		radix_scatter<<<blocks, THREADS>>>(a, b, device_out, bit, count);
		LAUNCHED();
		std::swap(a, b);
	}
	EXPECT(to_host(a, count) == sorted);
	CUDA(cudaFree(device_in));
	CUDA(cudaFree(device_out));
	CUDA(cudaFree(device_sums));
	CUDA(cudaFree(a));
	CUDA(cudaFree(b));
	return ok();
}
