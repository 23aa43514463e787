/* Built with -rdc=true from two files: the device code is linked, and registers differently. */
#include "program.h"

extern __device__ int shared_variable;
extern __constant__ int shared_constant;
__device__ int other_file(int x);

__global__ void
call_other(int *out)
{
	out[threadIdx.x] = other_file(threadIdx.x) + shared_variable;
}

__global__ void
change_variable()
{
	shared_variable += shared_constant;
}

int
main()
{
	int *device, variable;
	CUDA(cudaMalloc(&device, 64 * sizeof(int)));
	call_other<<<1, 64>>>(device);
	LAUNCHED();
	change_variable<<<1, 1>>>();
	LAUNCHED();
	/* The linker of device code leaves machine code only. */
	cudaError_t error = cudaDeviceSynchronize();
	if (error == cudaErrorNoKernelImageForDevice)
		skip("the device runs no machine code");
	CUDA(error);
	std::vector<int> out = to_host(device, 64);
	for (int i = 0; i < 64; i++)
		EXPECT(out[i] == i * i + 3 + 50);
	CUDA(cudaMemcpyFromSymbol(&variable, shared_variable, sizeof(variable)));
	printf("variable: %d\n", variable);
	EXPECT(variable == 55);
	CUDA(cudaFree(device));
	return ok();
}
