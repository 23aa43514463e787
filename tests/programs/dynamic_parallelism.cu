/* Kernels that launch kernels: a recursion, and children in streams of their own. */
#include "program.h"

__global__ void
leaf(int *out, int value)
{
	atomicAdd(&out[threadIdx.x], value);
}

__global__ void
branch(int *out, int depth)
{
	if (threadIdx.x != 0)
		return;
	leaf<<<1, 32>>>(out, depth);
	if (depth > 0) {
		branch<<<1, 1>>>(out, depth - 1);
		branch<<<1, 1>>>(out, depth - 1);
	}
}

__global__ void
tail(int *out)
{
	leaf<<<1, 32, 0, cudaStreamTailLaunch>>>(out, 1000);
	leaf<<<1, 32, 0, cudaStreamFireAndForget>>>(out, 10000);
}

int
main()
{
	int *out;
	CUDA(cudaMalloc(&out, 32 * sizeof(int)));
	CUDA(cudaMemset(out, 0, 32 * sizeof(int)));
	branch<<<1, 32>>>(out, 4);
	cudaError_t error = cudaGetLastError();
	if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorNotSupported)
		skip("the device cannot launch from kernels");
	CUDA(error);
	tail<<<1, 1>>>(out);
	LAUNCHED();
	std::vector<int> sums = to_host(out, 32);
	int expected = 11000;
	for (int depth = 4, count = 1; depth >= 0; depth--, count *= 2)
		expected += depth * count;
	for (int sum : sums)
		EXPECT(sum == expected);
	printf("sum: %d\n", expected);
	return ok();
}
