/*
 * A vector of 8 or 16 bytes is stored and loaded as one: no other block sees half of it. CUB's
 * scans rely on that, with a status and its value in one vector.
 */
#include "program.h"

const int lanes = 32, rounds = 20000, blocks = 8;

/* Every other block writes, the others read; all words of a vector belong together. */
__global__ void
pairs(int2 *slots, int *torn)
{
	int2 *slot = &slots[threadIdx.x];
	for (int i = 1; i <= rounds; i++) {
		int x, y;
		if (blockIdx.x % 2) {
			asm volatile("st.volatile.global.v2.u32 [%0], {%1, %2};" ::"l"(slot),
				     "r"(i), "r"(~i)
				     : "memory");
			continue;
		}
		asm volatile("ld.volatile.global.v2.u32 {%0, %1}, [%2];"
			     : "=r"(x), "=r"(y)
			     : "l"(slot)
			     : "memory");
		if (x != ~y)
			atomicAdd(torn, 1);
	}
}

__global__ void
long_pairs(longlong2 *slots, int *torn)
{
	longlong2 *slot = &slots[threadIdx.x];
	for (long long i = 1; i <= rounds; i++) {
		long long x, y;
		if (blockIdx.x % 2) {
			asm volatile("st.volatile.global.v2.u64 [%0], {%1, %2};" ::"l"(slot),
				     "l"(i), "l"(~i)
				     : "memory");
			continue;
		}
		asm volatile("ld.volatile.global.v2.u64 {%0, %1}, [%2];"
			     : "=l"(x), "=l"(y)
			     : "l"(slot)
			     : "memory");
		if (x != ~y)
			atomicAdd(torn, 1);
	}
}

int
main()
{
	std::vector<int2> pair(lanes, make_int2(0, ~0));
	std::vector<longlong2> long_pair(lanes, make_longlong2(0, ~0ll));
	int2 *slots = to_device(pair);
	longlong2 *long_slots = to_device(long_pair);
	int *torn;
	CUDA(cudaMalloc(&torn, sizeof(int)));
	CUDA(cudaMemset(torn, 0, sizeof(int)));
	pairs<<<blocks, lanes>>>(slots, torn);
	LAUNCHED();
	EXPECT(to_host(torn, 1)[0] == 0);
	printf("8 bytes\n");
	long_pairs<<<blocks, lanes>>>(long_slots, torn);
	LAUNCHED();
	EXPECT(to_host(torn, 1)[0] == 0);
	printf("16 bytes\n");
	CUDA(cudaFree(slots));
	CUDA(cudaFree(long_slots));
	CUDA(cudaFree(torn));
	return ok();
}
