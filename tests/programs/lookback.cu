/*
 * Blocks that depend on each other without a barrier of the grid: a prefix sum in one pass, where
 * each block waits for the one before; the last block that ends; locks; a queue.
 */
#include "program.h"

constexpr int THREADS = 128, BLOCKS = 40;

/* What a block tells: a flag in the upper half, a sum in the lower. */
__global__ void
scan(const int *in, int *out, unsigned long long *told, int *next)
{
	__shared__ int block, sums[THREADS], before;
	if (threadIdx.x == 0)
		block = atomicAdd(next, 1);
	__syncthreads();
	int i = block * THREADS + threadIdx.x, value = in[i];
	sums[threadIdx.x] = value;
	__syncthreads();
	for (int d = 1; d < THREADS; d *= 2) {
		int other = threadIdx.x >= d ? sums[threadIdx.x - d] : 0;
		__syncthreads();
		sums[threadIdx.x] += other;
		__syncthreads();
	}
	if (threadIdx.x == 0) {
		unsigned long long own = (unsigned)sums[THREADS - 1];
		before = 0;
		atomicExch(&told[block], (block == 0 ? 2ull : 1ull) << 32 | own);
		for (int b = block - 1; b >= 0; b--) {
			unsigned long long word;
			do
				word = atomicAdd(&told[b], 0ull);
			while (!(word >> 32));
			before += (int)(unsigned)word;
			if (word >> 32 == 2)
				break;
		}
		atomicExch(&told[block], 2ull << 32 | (unsigned)(before + sums[THREADS - 1]));
	}
	__syncthreads();
	out[i] = before + sums[threadIdx.x];
}

/* The last block to end adds up what all have left. */
__global__ void
last_block(const int *in, volatile int *partial, int *ended, int *out)
{
	__shared__ bool last;
	int sum = __reduce_add_sync(0xffffffff, in[blockIdx.x * 32 + threadIdx.x]);
	if (threadIdx.x == 0) {
		partial[blockIdx.x] = sum;
		__threadfence();
		last = atomicInc((unsigned *)ended, gridDim.x - 1) == gridDim.x - 1;
	}
	__syncthreads();
	if (last) {
		int total = 0;
		for (int b = threadIdx.x; b < gridDim.x; b += 32)
			total += partial[b];
		total = __reduce_add_sync(0xffffffff, total);
		if (threadIdx.x == 0)
			*out = total;
	}
}

/* All threads of all blocks, one at a time. */
__global__ void
locked(int *lock, int *counter)
{
	for (bool done = false; !done;) {
		if (atomicCAS(lock, 0, 1) == 0) {
			__threadfence();
			*(volatile int *)counter = *(volatile int *)counter + 1;
			__threadfence();
			atomicExch(lock, 0);
			done = true;
		}
	}
}

int
main()
{
	const int n = THREADS * BLOCKS;
	std::vector<int> values = random_ints(n, 1000, 14), sums(n);
	int *in = to_device(values), *out, *next, total = 0;
	unsigned long long *told;
	CUDA(cudaMalloc(&out, n * sizeof(int)));
	CUDA(cudaMalloc(&next, 4 * sizeof(int)));
	CUDA(cudaMalloc(&told, BLOCKS * sizeof(*told)));
	CUDA(cudaMemset(next, 0, 4 * sizeof(int)));
	CUDA(cudaMemset(told, 0, BLOCKS * sizeof(*told)));
	scan<<<BLOCKS, THREADS>>>(in, out, told, next);
	LAUNCHED();
	for (int i = 0; i < n; i++)
		sums[i] = total += values[i];
	EXPECT(to_host(out, n) == sums);
	printf("scan: %d\n", total);

	for (int round = 0; round < 2; round++) {
		CUDA(cudaMemset(out, 0xff, n * sizeof(int)));
		last_block<<<n / 32, 32>>>(in, out, next + 1, next + 2);
		LAUNCHED();
		EXPECT(to_host(next, 4)[2] == total);
	}
	printf("last block: right\n");
	CUDA(cudaMemset(next, 0, 4 * sizeof(int)));
	locked<<<20, 64>>>(next, next + 1);
	LAUNCHED();
	EXPECT(to_host(next, 2)[1] == 20 * 64);
	printf("lock: right\n");
	return ok();
}
