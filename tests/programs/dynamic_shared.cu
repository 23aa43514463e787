/* Shared memory sized at the launch, beyond 48 KiB too, and the attributes of kernels. */
#include "program.h"

__constant__ int constants[25];

__global__ void
reverse(int *values, int count)
{
	extern __shared__ int buffer[];
	__shared__ int fixed[8];
	for (int i = threadIdx.x; i < count; i += blockDim.x)
		buffer[i] = values[i];
	if (threadIdx.x < 8)
		fixed[threadIdx.x] = constants[threadIdx.x];
	__syncthreads();
	for (int i = threadIdx.x; i < count; i += blockDim.x)
		values[i] = buffer[count - 1 - i] + fixed[i & 7];
}

__global__ void __launch_bounds__(128) bounded(int *out)
{
	volatile int local[100];
	for (int i = 0; i < 100; i++)
		local[i] = i * threadIdx.x;
	int sum = 0;
	for (int i = 0; i < 100; i++)
		sum += local[(i * 37) % 100];
	out[threadIdx.x] = sum;
}

static void
reverse_and_check(int count)
{
	std::vector<int> values = random_ints(count, 1000, 51);
	int *device = to_device(values);
	reverse<<<1, 128, count * sizeof(int)>>>(device, count);
	LAUNCHED();
	std::vector<int> reversed = to_host(device, count);
	for (int i = 0; i < count; i++)
		EXPECT(reversed[i] == values[count - 1 - i] + (i & 7) * 3);
	CUDA(cudaFree(device));
	printf("%d ints of shared memory\n", count);
}

int
main()
{
	int host_constants[25];
	for (int i = 0; i < 25; i++)
		host_constants[i] = i * 3;
	CUDA(cudaMemcpyToSymbol(constants, host_constants, sizeof(host_constants)));
	reverse_and_check(1000);
	reverse_and_check(3000);
	reverse_and_check(10000);

	/* 60 KB are refused until the kernel has been told that it may. */
	int *device;
	CUDA(cudaMalloc(&device, 60000));
	reverse<<<1, 128, 60000>>>(device, 15000);
	EXPECT_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
	CUDA(cudaFree(device));
	CUDA(cudaFuncSetAttribute(reverse, cudaFuncAttributeMaxDynamicSharedMemorySize, 60000));
	reverse_and_check(15000);
	EXPECT_ERROR(
		cudaFuncSetAttribute(reverse, cudaFuncAttributeMaxDynamicSharedMemorySize, 1 << 30),
		cudaErrorInvalidValue);
	cudaGetLastError();

	cudaFuncAttributes attributes;
	CUDA(cudaFuncGetAttributes(&attributes, reverse));
	EXPECT(attributes.sharedSizeBytes == 32);
	EXPECT(attributes.maxDynamicSharedSizeBytes == 60000);
	EXPECT(attributes.maxThreadsPerBlock >= 128 && attributes.maxThreadsPerBlock <= 1024);
	CUDA(cudaFuncGetAttributes(&attributes, bounded));
	EXPECT(attributes.maxThreadsPerBlock == 128);

	int *out;
	CUDA(cudaMalloc(&out, 128 * sizeof(int)));
	bounded<<<1, 128>>>(out);
	LAUNCHED();
	std::vector<int> sums = to_host(out, 128);
	for (int i = 0; i < 128; i++)
		EXPECT(sums[i] == 4950 * i);
	bounded<<<1, 256>>>(out);
	EXPECT_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
	CUDA(cudaFree(out));
	return ok();
}
