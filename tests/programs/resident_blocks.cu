/*
 * Blocks that wait for each other although nothing promises that they run at the same time: the
 * grid is small enough for every GPU of today, and that is what such programs count on.
 */
#include "program.h"

static const int blocks = 40, threads = 128, rounds = 12;

/* A barrier of the program's own: one counter, waited for in a loop. */
__device__ void
wait_for_all(unsigned *arrived, unsigned expected)
{
	__syncthreads();
	if (threadIdx.x == 0) {
		__threadfence();
		atomicAdd(arrived, 1);
		while (atomicAdd(arrived, 0) < expected)
			;
		__threadfence();
	}
	__syncthreads();
}

/* Everybody adds what the neighbours on both sides had in the round before. */
__global__ void
ring(unsigned *values, unsigned *arrived, int rounds)
{
	unsigned count = gridDim.x * blockDim.x, i = blockIdx.x * blockDim.x + threadIdx.x;
	volatile unsigned *v = values;

	for (int r = 0; r < rounds; r++) {
		unsigned sum = v[i] + 3 * v[(i + blockDim.x) % count] +
			       5 * v[(i + count - blockDim.x) % count];

		wait_for_all(arrived, gridDim.x * (2 * r + 1));
		v[i] = sum;
		wait_for_all(arrived, gridDim.x * (2 * r + 2));
	}
}

/* The first block waits for the last one, all threads of it, without a barrier. */
__global__ void
backwards(volatile int *flags, int *seen)
{
	if (blockIdx.x == gridDim.x - 1) {
		flags[blockIdx.x] = 1;
	} else {
		while (!flags[blockIdx.x + 1])
			;
		__threadfence();
		if (threadIdx.x == 0)
			flags[blockIdx.x] = 1;
	}
	if (threadIdx.x == 0)
		seen[blockIdx.x] = (int)blockIdx.x + 1;
}

/* The same with a barrier in the loop. */
__global__ void
backwards_together(volatile int *flags, int *seen)
{
	int there;

	do {
		there = blockIdx.x == gridDim.x - 1 || flags[blockIdx.x + 1];
	} while (!__syncthreads_or(there));
	__threadfence();
	if (threadIdx.x == 0) {
		flags[blockIdx.x] = 1;
		seen[blockIdx.x] += 2 * (int)blockIdx.x;
	}
}

int
main()
{
	int count = blocks * threads;
	std::vector<unsigned> host(count), next(count), got(count);

	for (int i = 0; i < count; i++)
		host[i] = i * 2654435761u;
	unsigned *values, *arrived;
	CUDA(cudaMalloc(&values, count * sizeof(unsigned)));
	CUDA(cudaMalloc(&arrived, sizeof(unsigned)));
	CUDA(cudaMemset(arrived, 0, sizeof(unsigned)));
	CUDA(cudaMemcpy(values, host.data(), count * sizeof(unsigned), cudaMemcpyDefault));
	ring<<<blocks, threads>>>(values, arrived, rounds);
	CUDA(cudaGetLastError());
	CUDA(cudaMemcpy(got.data(), values, count * sizeof(unsigned), cudaMemcpyDefault));
	for (int r = 0; r < rounds; r++) {
		for (int i = 0; i < count; i++)
			next[i] = host[i] + 3 * host[(i + threads) % count] +
				  5 * host[(i + count - threads) % count];
		host.swap(next);
	}
	EXPECT(got == host);
	printf("%d rounds of %d blocks: %08x\n", rounds, blocks, got[count / 3]);

	int *flags, *seen;
	std::vector<int> order(blocks);
	CUDA(cudaMalloc(&flags, blocks * sizeof(int)));
	CUDA(cudaMalloc(&seen, blocks * sizeof(int)));
	CUDA(cudaMemset(flags, 0, blocks * sizeof(int)));
	backwards<<<blocks, threads>>>(flags, seen);
	CUDA(cudaGetLastError());
	CUDA(cudaMemset(flags, 0, blocks * sizeof(int)));
	backwards_together<<<blocks, threads>>>(flags, seen);
	CUDA(cudaGetLastError());
	CUDA(cudaMemcpy(order.data(), seen, blocks * sizeof(int), cudaMemcpyDefault));
	for (int i = 0; i < blocks; i++)
		EXPECT(order[i] == 3 * i + 1);
	printf("the first block after the last, twice\n");
	ok();
}
