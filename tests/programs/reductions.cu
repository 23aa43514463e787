/* Sums and other reductions by shared memory, by shuffles, by votes and by cooperative groups. */
#include "program.h"

#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

namespace cg = cooperative_groups;

constexpr int THREADS = 256;

__global__ void
sum_shared(const int *in, long long *out, int count)
{
	__shared__ long long partial[THREADS];
	long long sum = 0;
	for (int i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS)
		sum += in[i];
	partial[threadIdx.x] = sum;
	__syncthreads();
	for (int half = THREADS / 2; half > 0; half /= 2) {
		if (threadIdx.x < half)
			partial[threadIdx.x] += partial[threadIdx.x + half];
		__syncthreads();
	}
	if (threadIdx.x == 0)
		out[blockIdx.x] = partial[0];
}

__global__ void
sum_shuffle(const int *in, long long *out, int count)
{
	__shared__ long long warps[THREADS / 32];
	long long sum = 0;
	for (int i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS)
		sum += in[i];
	for (int delta = 16; delta > 0; delta /= 2)
		sum += __shfl_down_sync(0xffffffff, sum, delta);
	if (threadIdx.x % 32 == 0)
		warps[threadIdx.x / 32] = sum;
	__syncthreads();
	if (threadIdx.x < 32) {
		sum = threadIdx.x < THREADS / 32 ? warps[threadIdx.x] : 0;
		for (int mask = 16; mask > 0; mask /= 2)
			sum += __shfl_xor_sync(0xffffffff, sum, mask);
		if (threadIdx.x == 0)
			out[blockIdx.x] = sum;
	}
}

__global__ void
max_groups(const int *in, int *out, int count)
{
	cg::thread_block block = cg::this_thread_block();
	cg::thread_block_tile<32> tile = cg::tiled_partition<32>(block);
	int largest = -1;
	for (int i = block.group_index().x * THREADS + block.thread_rank(); i < count;
	     i += gridDim.x * THREADS)
		largest = max(largest, in[i]);
	largest = cg::reduce(tile, largest, cg::greater<int>());
	if (tile.thread_rank() == 0)
		atomicMax(out, largest);
}

/* Every lane tells what it sees of its warp: votes, matches, shuffles of each kind. */
__global__ void
warp_view(const int *in, unsigned *out)
{
	int lane = threadIdx.x % 32;
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	int value = in[i];
	unsigned odd = __ballot_sync(0xffffffff, value & 1);
	unsigned alike = __match_any_sync(0xffffffff, value % 4);
	unsigned view = odd ^ (alike * 3);
	view += __any_sync(0xffffffff, value == 7) * 5 + __all_sync(0xffffffff, value < 1000) * 11;
	view += __shfl_sync(0xffffffff, value, (lane * 7) & 31) * 13;
	view += __shfl_up_sync(0xffffffff, value, 3) * 17;
	view += __shfl_down_sync(0xffffffff, value, 5, 16) * 19;
	view += __shfl_xor_sync(0xffffffff, value, 9) * 23;
	view += __popc(__activemask()) * 29;
	/* Half of the warp goes another way and shuffles among itself. */
	if (lane & 1)
		view += __shfl_sync(0xaaaaaaaa, value, 31) * 31;
	else
		view += __shfl_sync(0x55555555, value, 0) * 37;
	out[i] = view;
}

static unsigned
warp_view_on_host(const int *warp, int lane)
{
	unsigned odd = 0, alike = 0, any = 0, all = 1;
	for (int i = 0; i < 32; i++) {
		odd |= (unsigned)(warp[i] & 1) << i;
		alike |= (unsigned)(warp[i] % 4 == warp[lane] % 4) << i;
		any |= warp[i] == 7;
		all &= warp[i] < 1000;
	}
	unsigned view = odd ^ (alike * 3);
	view += any * 5 + all * 11;
	view += warp[(lane * 7) & 31] * 13;
	view += warp[lane < 3 ? lane : lane - 3] * 17;
	view += warp[lane % 16 + 5 < 16 ? lane + 5 : lane] * 19;
	view += warp[lane ^ 9] * 23 + 32 * 29;
	return view + (lane & 1 ? warp[31] * 31 : warp[0] * 37);
}

int
main()
{
	const int count = 100000, blocks = 16;
	std::vector<int> in = random_ints(count, 1000000, 3);
	long long expected = 0;
	int largest = 0;
	for (int value : in) {
		expected += value;
		largest = value > largest ? value : largest;
	}
	int *device_in = to_device(in), *device_max;
	long long *device_out;
	CUDA(cudaMalloc(&device_out, blocks * sizeof(long long)));
	CUDA(cudaMalloc(&device_max, sizeof(int)));

	for (int method = 0; method < 2; method++) {
		if (method == 0)
			sum_shared<<<blocks, THREADS>>>(device_in, device_out, count);
		else
			sum_shuffle<<<blocks, THREADS>>>(device_in, device_out, count);
		LAUNCHED();
		long long sum = 0;
		for (long long part : to_host(device_out, blocks))
			sum += part;
		printf("sum: %lld\n", sum);
		EXPECT(sum == expected);
	}

	CUDA(cudaMemset(device_max, 0, sizeof(int)));
	max_groups<<<blocks, THREADS>>>(device_in, device_max, count);
	LAUNCHED();
	int found = to_host(device_max, 1)[0];
	printf("maximum: %d\n", found);
	EXPECT(found == largest);

	unsigned *device_view;
	CUDA(cudaMalloc(&device_view, 512 * sizeof(unsigned)));
	std::vector<int> small = random_ints(512, 16, 9);
	CUDA(cudaMemcpy(device_in, small.data(), 512 * sizeof(int), cudaMemcpyHostToDevice));
	warp_view<<<4, 128>>>(device_in, device_view);
	LAUNCHED();
	std::vector<unsigned> views = to_host(device_view, 512);
	for (int i = 0; i < 512; i++)
		EXPECT(views[i] == warp_view_on_host(&small[i / 32 * 32], i % 32));
	print_checksum("warps", views);
	CUDA(cudaFree(device_in));
	CUDA(cudaFree(device_out));
	CUDA(cudaFree(device_max));
	CUDA(cudaFree(device_view));
	return ok();
}
