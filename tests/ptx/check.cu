/* Kernels for checked execution; tests/unit/test_ptx_check.c. Lines matter there: see MARK. */
#include <cuda_runtime.h>

extern "C" __global__ void
store_at(int *p, int index)
{
	if (threadIdx.x == 5)
		p[index] = 1; // MARK store
}

extern "C" __global__ void
load_wide_at(const int4 *p, int index, int4 *out)
{
	out[threadIdx.x] = p[index];
}

extern "C" __global__ void
add_at(int *p, int index)
{
	atomicAdd(&p[index], 1);
}

/* A sum over the block. */
template <bool SYNC>
static __device__ void
sum(const int *in, int *out)
{
	__shared__ int part[256];
	int i = threadIdx.x;

	part[i] = in[blockIdx.x * 256 + i]; // MARK write
	for (int n = 128; n; n /= 2) {
		if (SYNC)
			__syncthreads();
		if (i < n)
			part[i] += part[i + n]; // MARK read
	}
	if (SYNC)
		__syncthreads();
	if (i == 0)
		out[blockIdx.x] = part[0];
}

extern "C" __global__ void
sum_synced(const int *in, int *out)
{
	sum<true>(in, out);
}

extern "C" __global__ void
sum_racing(const int *in, int *out)
{
	sum<false>(in, out);
}

/* Reads of the next round overtake writes of the last one: only the second barrier helps. */
extern "C" __global__ void
rounds(int *out, int second)
{
	__shared__ int value;

	for (int round = 0; round < 4; round++) {
		if (threadIdx.x == 64)
			value = round * 10;
		__syncthreads();
		out[threadIdx.x] += value;
		if (second)
			__syncthreads();
	}
}

/* Lanes of one warp. */
extern "C" __global__ void
lanes(int *out, int synced)
{
	__shared__ int part[32];
	int i = threadIdx.x;

	part[i] = i;
	if (synced)
		__syncwarp();
	out[i] = part[31 - i];
}

/* Atomics with atomics are no race; a plain read among them is one. */
extern "C" __global__ void
histogram(const int *in, int *out, int plain)
{
	__shared__ int bins[16];
	int i = threadIdx.x;

	if (i < 16)
		bins[i] = 0;
	__syncthreads();
	atomicAdd(&bins[in[i] & 15], 1);
	if (!plain)
		__syncthreads();
	if (i < 16)
		out[i] = bins[i];
}

/* Everybody writes the same: programs do, and it is no race of writes. */
extern "C" __global__ void
agree(int *out, int different)
{
	__shared__ int flag;

	if (threadIdx.x == 0)
		flag = 0;
	__syncthreads();
	if (threadIdx.x % 3)
		flag = different ? threadIdx.x : 7;
	__syncthreads();
	out[threadIdx.x] = flag;
}

/* One half makes what the other half uses, by two named barriers. */
extern "C" __global__ void
producer(int *out, int barriers)
{
	__shared__ int item[64];
	int i = threadIdx.x % 64;

	if (threadIdx.x < 64) {
		for (int round = 0; round < 3; round++) {
			if (barriers && round)
				asm volatile("bar.sync 2, 128;" ::: "memory");
			item[i] = round * 100 + i;
			if (barriers)
				asm volatile("bar.arrive 1, 128;" ::: "memory");
		}
	} else {
		for (int round = 0; round < 3; round++) {
			if (barriers)
				asm volatile("bar.sync 1, 128;" ::: "memory");
			out[i] += item[63 - i];
			if (barriers && round < 2)
				asm volatile("bar.arrive 2, 128;" ::: "memory");
		}
	}
}
