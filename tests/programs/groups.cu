/*
 * Cooperative groups: tiles of every size, groups of the lanes that are there, partitions, tiles
 * of several warps, and the collective functions.
 */
#include "program.h"

#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>

namespace cg = cooperative_groups;

constexpr int THREADS = 128;

template <int SIZE>
__device__ static int
tile_work(cg::thread_block block, int value)
{
	auto tile = cg::tiled_partition<SIZE>(block);
	int sum = cg::reduce(tile, value, cg::plus<int>());
	int largest = cg::reduce(tile, value, cg::greater<int>());
	int before = cg::exclusive_scan(tile, value), with = cg::inclusive_scan(tile, value);
	int rotated = tile.shfl(value, (tile.thread_rank() + 1) % SIZE);
	int mirrored = tile.shfl_xor(value, SIZE / 2 ? SIZE / 2 : 0);
	unsigned odd = tile.ballot(value & 1);
	bool any = tile.any(value > 95), all = tile.all(value < 99);
	return sum * 3 + largest * 5 + before * 7 + with * 11 + rotated * 13 + mirrored * 17 +
	       (int)__popc(odd) * 19 + any * 23 + all * 29 + (int)tile.meta_group_rank() * 31 +
	       (int)tile.meta_group_size();
}

static int
tile_on_host(const std::vector<int> &values, int i, int size)
{
	int start = i / size * size, rank = i % size, sum = 0, largest = 0, before = 0, odd = 0;
	bool any = false, all = true;
	for (int k = 0; k < size; k++) {
		int value = values[start + k];
		sum += value;
		largest = value > largest ? value : largest;
		before += k < rank ? value : 0;
		odd += value & 1;
		any |= value > 95;
		all &= value < 99;
	}
	return sum * 3 + largest * 5 + before * 7 + (before + values[i]) * 11 +
	       values[start + (rank + 1) % size] * 13 + values[start + (rank ^ (size / 2))] * 17 +
	       odd * 19 + any * 23 + all * 29 + start / size * 31 + THREADS / size;
}

template <int SIZE>
__global__ void
tiles(const int *in, int *out)
{
	out[threadIdx.x] = tile_work<SIZE>(cg::this_thread_block(), in[threadIdx.x]);
}

/* Of the lanes that take a branch, one adds for all. */
__global__ void
coalesced(const int *in, int *out, int *counter)
{
	int value = in[threadIdx.x];
	out[threadIdx.x] = -1;
	if (value % 3 == 0) {
		cg::coalesced_group active = cg::coalesced_threads();
		int base = 0;
		if (active.thread_rank() == 0)
			base = atomicAdd(counter, (int)active.size());
		base = active.shfl(base, 0);
		out[threadIdx.x] = (int)active.thread_rank() * 1000 + (int)active.size();
		int sum = cg::reduce(active, value, cg::plus<int>());
		int last = active.shfl(value, active.size() - 1);
		out[threadIdx.x] += sum * 100000 + last;
		(void)base;
	}
}

__global__ void
partitions(const int *in, int *out)
{
	int value = in[threadIdx.x];
	auto warp = cg::tiled_partition<32>(cg::this_thread_block());
	auto alike = cg::labeled_partition(warp, value % 5);
	auto halves = cg::binary_partition(warp, value > 50);
	int sum = cg::reduce(alike, value, cg::plus<int>());
	out[threadIdx.x] = sum * 100 + (int)alike.size() + (int)halves.size() * 100000 +
			   (int)halves.thread_rank() * 10000000;
}

/* Two warps as one group. */
__global__ void
wide(const int *in, int *out)
{
	__shared__ cg::block_tile_memory<THREADS> memory;
	cg::thread_block block = cg::this_thread_block(memory);
	auto tile = cg::tiled_partition<64>(block);
	int sum = cg::reduce(tile, in[threadIdx.x], cg::plus<int>());
	tile.sync();
	int shifted = tile.shfl(in[threadIdx.x], 5);
	out[threadIdx.x] = sum * 1000 + shifted + (tile.any(in[threadIdx.x] == 7) ? 500 : 0);
}

__global__ void
once(int *out)
{
	cg::thread_block block = cg::this_thread_block();
	cg::invoke_one(block, [&] { atomicAdd(&out[0], 1); });
	auto tile = cg::tiled_partition<8>(block);
	int got = cg::invoke_one_broadcast(tile, [&] { return atomicAdd(&out[1], 1) * 0 + 5; });
	atomicAdd(&out[2], got);
	if (block.thread_rank() == 0) {
		out[3] = (int)block.num_threads();
		out[4] = (int)(block.group_dim().x * 10 + block.thread_index().x);
	}
}

int
main()
{
	std::vector<int> values = random_ints(THREADS, 100, 21);
	int *in = to_device(values), *out, *counter;
	CUDA(cudaMalloc(&out, THREADS * sizeof(int)));
	CUDA(cudaMalloc(&counter, sizeof(int)));
	CUDA(cudaMemset(counter, 0, sizeof(int)));
	auto check_tiles = [&](int size) {
		LAUNCHED();
		std::vector<int> got = to_host(out, THREADS);
		for (int i = 0; i < THREADS; i++)
			EXPECT(got[i] == tile_on_host(values, i, size));
		printf("tiles of %d: right\n", size);
	};
	tiles<32><<<1, THREADS>>>(in, out), check_tiles(32);
	tiles<16><<<1, THREADS>>>(in, out), check_tiles(16);
	tiles<8><<<1, THREADS>>>(in, out), check_tiles(8);
	tiles<4><<<1, THREADS>>>(in, out), check_tiles(4);
	tiles<2><<<1, THREADS>>>(in, out), check_tiles(2);

	coalesced<<<1, THREADS>>>(in, out, counter);
	LAUNCHED();
	int thirds = 0;
	for (int value : values)
		thirds += value % 3 == 0;
	EXPECT(to_host(counter, 1)[0] == thirds);
	print_checksum("coalesced", to_host(out, THREADS));
	partitions<<<1, THREADS>>>(in, out);
	LAUNCHED();
	print_checksum("partitions", to_host(out, THREADS));
	wide<<<1, THREADS>>>(in, out);
	LAUNCHED();
	print_checksum("wide tiles", to_host(out, THREADS));
	CUDA(cudaMemset(out, 0, THREADS * sizeof(int)));
	once<<<1, 64>>>(out);
	LAUNCHED();
	std::vector<int> got = to_host(out, 5);
	printf("once: %d %d %d %d %d\n", got[0], got[1], got[2], got[3], got[4]);
	EXPECT((got == std::vector<int>{1, 8, 320, 64, 640}));
	return ok();
}
