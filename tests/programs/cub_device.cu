/* CUB: device-wide algorithms, and the block's and the warp's own inside of a kernel. */
#include "program.h"

#include <cub/block/block_discontinuity.cuh>
#include <cub/block/block_load.cuh>
#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/block/block_store.cuh>
#include <cub/device/device_for.cuh>
#include <cub/device/device_histogram.cuh>
#include <cub/device/device_partition.cuh>
#include <cub/device/device_run_length_encode.cuh>
#include <cub/device/device_scan.cuh>
#include <cub/device/device_segmented_reduce.cuh>
#include <cub/device/device_transform.cuh>
#include <cub/warp/warp_merge_sort.cuh>
#include <cub/warp/warp_reduce.cuh>
#include <cub/warp/warp_scan.cuh>

#include <algorithm>
#include <numeric>

/* Asks for the room, then runs. */
template <typename F>
static void
with_room(F f)
{
	void *room = nullptr;
	size_t size = 0;
	CUDA(f(room, size));
	CUDA(cudaMalloc(&room, size ? size : 1));
	CUDA(f(room, size));
	CUDA(cudaDeviceSynchronize());
	CUDA(cudaFree(room));
}

struct Larger {
	template <typename T> __host__ __device__ bool operator()(const T &a, const T &b) const
	{
		return a > b;
	}
};

template <int THREADS, int ITEMS>
__global__ void
block_work(const int *in, int *out, int *sums)
{
	using Load = cub::BlockLoad<int, THREADS, ITEMS, cub::BLOCK_LOAD_WARP_TRANSPOSE>;
	using Store = cub::BlockStore<int, THREADS, ITEMS, cub::BLOCK_STORE_TRANSPOSE>;
	using Sort = cub::BlockRadixSort<int, THREADS, ITEMS>;
	using Scan = cub::BlockScan<int, THREADS>;
	using Reduce = cub::BlockReduce<int, THREADS, cub::BLOCK_REDUCE_RAKING>;
	using Flags = cub::BlockDiscontinuity<int, THREADS>;
	__shared__ union {
		typename Load::TempStorage load;
		typename Store::TempStorage store;
		typename Sort::TempStorage sort;
		typename Scan::TempStorage scan;
		typename Reduce::TempStorage reduce;
		typename Flags::TempStorage flags;
	} room;
	int items[ITEMS], heads[ITEMS], base = blockIdx.x * THREADS * ITEMS, total;
	Load(room.load).Load(in + base, items);
	__syncthreads();
	Sort(room.sort).Sort(items);
	__syncthreads();
	Flags(room.flags).FlagHeads(heads, items, cuda::std::not_equal_to<int>());
	__syncthreads();
	Scan(room.scan).InclusiveSum(heads, heads, total);
	__syncthreads();
	int sum = Reduce(room.reduce).Sum(items);
	__syncthreads();
	for (int i = 0; i < ITEMS; i++)
		items[i] = items[i] * 1000 + heads[i];
	Store(room.store).Store(out + base, items);
	if (threadIdx.x == 0) {
		sums[2 * blockIdx.x] = sum;
		sums[2 * blockIdx.x + 1] = total;
	}
}

__global__ void
warp_work(const int *in, int *out)
{
	using Scan = cub::WarpScan<int>;
	using Reduce = cub::WarpReduce<int, 16>;
	using Sort = cub::WarpMergeSort<int, 2, 32>;
	__shared__ typename Scan::TempStorage scan[4];
	__shared__ typename Reduce::TempStorage reduce[8];
	__shared__ typename Sort::TempStorage sort[4];
	int warp = threadIdx.x / 32, value = in[threadIdx.x], prefix, total;
	Scan(scan[warp]).ExclusiveSum(value, prefix, total);
	int half = Reduce(reduce[threadIdx.x / 16]).Reduce(value, cuda::maximum<>());
	int pair[2] = {value, in[threadIdx.x + 128]};
	Sort(sort[warp]).Sort(pair, Larger());
	half = __shfl_sync(0xffffffff, half, threadIdx.x % 32 / 16 * 16);
	out[threadIdx.x] = prefix + total * 7 + half * 13 + pair[0] * 17 + pair[1] * 19;
}

int
main()
{
	const int n = 3000;
	std::vector<int> values = random_ints(n, 500, 9), expected(n), got;
	int *in = to_device(values), *out, *count, *other;
	CUDA(cudaMalloc(&out, n * sizeof(int)));
	CUDA(cudaMalloc(&other, n * sizeof(int)));
	CUDA(cudaMalloc(&count, sizeof(int)));
	auto counted = [&] { return to_host(count, 1)[0]; };

	std::vector<int> offsets;
	for (int at = 0; at < n; at += 1 + at % 97 * 3)
		offsets.push_back(at);
	offsets.push_back(n);
	int segments = (int)offsets.size() - 1, *d_offsets = to_device(offsets);
	with_room([&](void *room, size_t &size) {
		return cub::DeviceSegmentedReduce::Max(room, size, in, out, segments, d_offsets,
						       d_offsets + 1);
	});
	got = to_host(out, segments);
	for (int i = 0; i < segments; i++)
		EXPECT(got[i] ==
		       *std::max_element(&values[offsets[i]], &values[0] + offsets[i + 1]));
	print_checksum("segments", got);

	std::vector<int> runs(n);
	for (int i = 0; i < n; i++)
		runs[i] = values[i / 5] % 3;
	int *d_runs = to_device(runs);
	with_room([&](void *room, size_t &size) {
		return cub::DeviceRunLengthEncode::Encode(room, size, d_runs, out, other, count, n);
	});
	std::vector<int> lengths;
	for (int i = 0; i < n; i++) {
		if (!i || runs[i] != runs[i - 1])
			lengths.push_back(0);
		lengths.back()++;
	}
	EXPECT(counted() == (int)lengths.size() && to_host(other, lengths.size()) == lengths);
	print_checksum("runs", lengths);

	with_room([&](void *room, size_t &size) {
		return cub::DeviceHistogram::HistogramEven(room, size, in, out, 11, 0, 500, n);
	});
	std::vector<int> bins(10);
	for (int value : values)
		bins[value / 50]++;
	EXPECT(to_host(out, 10) == bins);
	with_room([&](void *room, size_t &size) {
		return cub::DevicePartition::If(room, size, in, out, count, n,
						[] __device__(int x) { return x < 100; });
	});
	EXPECT(counted() == bins[0] + bins[1]);
	with_room([&](void *room, size_t &size) {
		return cub::DeviceScan::ExclusiveScan(room, size, in, out, cuda::maximum<>(), -1,
						      n);
	});
	expected.assign(1, -1);
	for (int i = 1; i < n; i++)
		expected.push_back(std::max(expected.back(), values[i - 1]));
	EXPECT(to_host(out, n) == expected);
	CUDA(cub::DeviceFor::ForEachN(in, n, [] __device__(int &x) { x = x * 2 + 1; }));
	CUDA(cub::DeviceTransform::Transform(in, out, n, [] __device__(int x) { return x - 1; }));
	got = to_host(out, n);
	for (int i = 0; i < n; i++)
		EXPECT(got[i] == 2 * values[i]);
	printf("device: right\n");

	in = to_device(values);
	block_work<64, 4><<<5, 64>>>(in, out, other);
	LAUNCHED();
	got = to_host(out, 5 * 256);
	std::vector<int> sums = to_host(other, 10);
	for (int block = 0; block < 5; block++) {
		std::vector<int> part(&values[block * 256], &values[block * 256] + 256);
		std::sort(part.begin(), part.end());
		int heads = 0, sum = 0;
		for (int i = 0; i < 256; i++) {
			heads += !i || part[i] != part[i - 1];
			sum += part[i];
			EXPECT(got[block * 256 + i] == part[i] * 1000 + heads);
		}
		EXPECT(sums[2 * block] == sum && sums[2 * block + 1] == heads);
	}
	print_checksum("blocks", got);
	warp_work<<<1, 128>>>(in, out);
	LAUNCHED();
	print_checksum("warps", to_host(out, 128));
	return ok();
}
