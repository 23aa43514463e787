/* Barriers in shared memory, bulk copies, clusters: compute_90 and later. */
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cooperative_groups/reduce.h>
#include <cuda/barrier>

namespace cg = cooperative_groups;
using barrier = cuda::barrier<cuda::thread_scope_block>;

extern "C" __global__ void
copy_through_barrier(const int *in, int *out, int rounds)
{
	__shared__ int stage[2][256];
	__shared__ barrier ready[2];
	int t = threadIdx.x;

	if (t == 0) {
		init(&ready[0], blockDim.x);
		init(&ready[1], blockDim.x);
	}
	__syncthreads();
	cuda::memcpy_async(&stage[0][t], &in[t], sizeof(int), ready[0]);
	for (int r = 0; r < rounds; r++) {
		if (r + 1 < rounds)
			cuda::memcpy_async(&stage[(r + 1) % 2][t], &in[(r + 1) * 256 + t],
					   sizeof(int), ready[(r + 1) % 2]);
		ready[r % 2].arrive_and_wait();
		out[r * 256 + t] = stage[r % 2][255 - t];
		__syncthreads();
	}
}

/* Half of the block produces, half consumes. */
extern "C" __global__ void
produce_consume(int *out, int rounds)
{
	__shared__ int slot[32];
	__shared__ barrier full, empty;
	int t = threadIdx.x, lane = t % 32;

	if (t == 0) {
		init(&full, 64);
		init(&empty, 64);
	}
	__syncthreads();
	if (t < 32) {
		for (int r = 0; r < rounds; r++) {
			slot[lane] = r * 1000 + lane;
			(void)full.arrive();
			empty.arrive_and_wait();
		}
	} else {
		for (int r = 0; r < rounds; r++) {
			full.arrive_and_wait();
			out[r * 32 + lane] = slot[31 - lane];
			(void)empty.arrive();
		}
	}
}

extern "C" __global__ void
bulk_copy(const int *in, int *out)
{
	__shared__ alignas(128) int stage[512];
	__shared__ alignas(8) unsigned long long bar;
	unsigned b = (unsigned)__cvta_generic_to_shared(&bar);
	unsigned s = (unsigned)__cvta_generic_to_shared(stage);

	if (threadIdx.x == 0) {
		asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(b));
		asm volatile("fence.mbarrier_init.release.cluster;");
		asm volatile("fence.proxy.async.shared::cta;");
	}
	__syncthreads();
	if (threadIdx.x == 0) {
		asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 2048;" ::"r"(b));
		asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
			     "[%0], [%1], 2048, [%2];" ::"r"(s),
			     "l"(in), "r"(b));
	}
	int done = 0;
	while (!done)
		asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], 0;"
			     " selp.b32 %0, 1, 0, p; }"
			     : "=r"(done)
			     : "r"(b));
	stage[threadIdx.x] += 1;
	asm volatile("fence.proxy.async.shared::cta;");
	__syncthreads();
	if (threadIdx.x == 0) {
		asm volatile(
			"cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], 2048;" ::"l"(out),
			"r"(s));
		asm volatile("cp.async.bulk.commit_group;");
		asm volatile("cp.async.bulk.wait_group.read 0;");
	}
}

extern "C" __global__ void __cluster_dims__(4, 1, 1) ring(int *out)
{
	__shared__ int mine[32], box[32];
	auto cluster = cg::this_cluster();
	unsigned rank = cluster.block_rank();

	mine[threadIdx.x] = rank * 100 + threadIdx.x;
	box[threadIdx.x] = -1;
	cluster.sync();
	int *next = cluster.map_shared_rank(mine, (rank + 1) % 4);
	int *to = cluster.map_shared_rank(box, (rank + 2) % 4);
	int v = next[threadIdx.x];
	atomicAdd(&to[threadIdx.x], (int)rank + 1);
	cluster.sync();
	out[blockIdx.x * 32 + threadIdx.x] = v * 10000 + box[threadIdx.x] * 100 +
					     cluster.num_blocks() * 10 +
					     (cluster.query_shared_rank(next) == (rank + 1) % 4);
}

/* A barrier of a "cluster" of one is a barrier of the block. */
extern "C" __global__ void
alone(int *out)
{
	__shared__ int a[256];

	a[threadIdx.x] = threadIdx.x;
	cg::this_cluster().sync();
	out[threadIdx.x] = a[255 - threadIdx.x];
}

extern "C" __global__ void
groups(const int *in, int *out)
{
	auto block = cg::this_thread_block();
	auto tile = cg::tiled_partition<16>(block);
	int v = in[threadIdx.x];
	int sum = cg::reduce(tile, v, cg::plus<int>());
	int max = cg::reduce(cg::tiled_partition<32>(block), v, cg::greater<int>());
	int extra = 0;

	if (threadIdx.x % 3 == 0) {
		auto active = cg::coalesced_threads();
		extra = active.size() * 100 + active.thread_rank();
	}
	auto labeled = cg::labeled_partition(tile, threadIdx.x % 4);
	out[threadIdx.x * 4] = sum;
	out[threadIdx.x * 4 + 1] = max;
	out[threadIdx.x * 4 + 2] = extra;
	out[threadIdx.x * 4 + 3] = labeled.num_threads() * 10 + labeled.thread_rank();
}
