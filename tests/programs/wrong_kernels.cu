/* For tests/checked: makes the mistake that its argument names, and prints what CUDA says of it. */
#include "program.h"

#include <cstring>

__global__ void
store(int *p, int index)
{
	if (threadIdx.x == 3)
		p[index] = 1;
}

__global__ void
store_unaligned(char *p)
{
	*(int *)(p + 2 + threadIdx.x * 4) = 1;
}

template <bool SYNC>
__global__ void
reverse(int *p)
{
	__shared__ int part[128];
	part[threadIdx.x] = p[threadIdx.x];
	if (SYNC)
		__syncthreads();
	p[threadIdx.x] = part[127 - threadIdx.x];
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int *p, *freed;
	CUDA(cudaMalloc(&p, 4000));
	CUDA(cudaMalloc(&freed, 4000));
	CUDA(cudaMemset(p, 0, 4000));
	CUDA(cudaFree(freed));
	if (!strcmp(what, "null"))
		store<<<2, 32>>>(nullptr, 0);
	else if (!strcmp(what, "end"))
		store<<<1, 32>>>(p, 1000);
	else if (!strcmp(what, "freed"))
		store<<<1, 32>>>(freed, 10);
	else if (!strcmp(what, "far"))
		store<<<1, 32>>>(p, 1 << 28);
	else if (!strcmp(what, "unaligned"))
		store_unaligned<<<1, 32>>>((char *)p);
	else if (!strcmp(what, "race"))
		reverse<false><<<1, 128>>>(p);
	else
		reverse<true><<<1, 128>>>(p);
	cudaError_t error = cudaGetLastError();
	if (!error)
		error = cudaDeviceSynchronize();
	printf("%s\n", cudaGetErrorName(error));
	return 0;
}
