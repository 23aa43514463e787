/* Blocks of CUB: they use most of what warps and shared memory can do. */
#include <cub/cub.cuh>

constexpr int THREADS = 128, ITEMS = 4, N = THREADS * ITEMS;

extern "C" __global__ void
sort_block(const unsigned *in, unsigned *out)
{
	using load = cub::BlockLoad<unsigned, THREADS, ITEMS, cub::BLOCK_LOAD_TRANSPOSE>;
	using sort = cub::BlockRadixSort<unsigned, THREADS, ITEMS>;
	using store = cub::BlockStore<unsigned, THREADS, ITEMS, cub::BLOCK_STORE_WARP_TRANSPOSE>;
	__shared__ union {
		typename load::TempStorage load;
		typename sort::TempStorage sort;
		typename store::TempStorage store;
	} temp;
	unsigned items[ITEMS];

	load(temp.load).Load(in + blockIdx.x * N, items);
	__syncthreads();
	sort(temp.sort).Sort(items);
	__syncthreads();
	store(temp.store).Store(out + blockIdx.x * N, items);
}

extern "C" __global__ void
scan_block(const int *in, int *out, int *total)
{
	using scan = cub::BlockScan<int, THREADS, cub::BLOCK_SCAN_WARP_SCANS>;
	__shared__ typename scan::TempStorage temp;
	int items[ITEMS], sum;

	for (int i = 0; i < ITEMS; i++)
		items[i] = in[blockIdx.x * N + threadIdx.x * ITEMS + i];
	scan(temp).InclusiveSum(items, items, sum);
	for (int i = 0; i < ITEMS; i++)
		out[blockIdx.x * N + threadIdx.x * ITEMS + i] = items[i];
	if (threadIdx.x == 0)
		total[blockIdx.x] = sum;
}

extern "C" __global__ void
reduce_block(const float *in, float *max, double *sum)
{
	using reduce = cub::BlockReduce<float, THREADS, cub::BLOCK_REDUCE_RAKING>;
	using reduce_double = cub::BlockReduce<double, THREADS>;
	__shared__ typename reduce::TempStorage temp;
	__shared__ typename reduce_double::TempStorage temp_double;
	float v = in[blockIdx.x * THREADS + threadIdx.x];
	float m = reduce(temp).Reduce(v, [](float a, float b) { return a > b ? a : b; });
	double s = reduce_double(temp_double).Sum((double)v);

	if (threadIdx.x == 0) {
		max[blockIdx.x] = m;
		sum[blockIdx.x] = s;
	}
}

extern "C" __global__ void
warp_scan(const int *in, int *out)
{
	using scan = cub::WarpScan<int, 8>;
	__shared__ typename scan::TempStorage temp[THREADS / 8];
	int v;

	scan(temp[threadIdx.x / 8]).ExclusiveSum(in[threadIdx.x], v);
	out[threadIdx.x] = v;
}

extern "C" __global__ void
sort_pairs_merge(const int *keys, const short *values, int *keys_out, short *values_out)
{
	using sort = cub::BlockMergeSort<int, THREADS, ITEMS, short>;
	__shared__ typename sort::TempStorage temp;
	int k[ITEMS];
	short v[ITEMS];

	for (int i = 0; i < ITEMS; i++) {
		k[i] = keys[threadIdx.x * ITEMS + i];
		v[i] = values[threadIdx.x * ITEMS + i];
	}
	sort(temp).Sort(k, v, [](int a, int b) { return a < b; });
	for (int i = 0; i < ITEMS; i++) {
		keys_out[threadIdx.x * ITEMS + i] = k[i];
		values_out[threadIdx.x * ITEMS + i] = v[i];
	}
}
