/*
 * Asynchronous copies into shared memory: cuda::barrier, cuda::pipeline and the functions of
 * cooperative groups; a pipeline of several stages with producers and consumers.
 */
#include "program.h"

#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cuda/barrier>
#include <cuda/pipeline>

namespace cg = cooperative_groups;

constexpr int THREADS = 128, BATCHES = 9;

__device__ static int
mix(int x)
{
	return x * 7 + 3;
}

__global__ void
by_barrier(const int *in, int *out)
{
	__shared__ int tile[THREADS];
	__shared__ cuda::barrier<cuda::thread_scope_block> barrier;
	cg::thread_block block = cg::this_thread_block();
	if (block.thread_rank() == 0)
		init(&barrier, block.size());
	block.sync();
	for (int batch = 0; batch < BATCHES; batch++) {
		cuda::memcpy_async(block, tile, in + batch * THREADS, sizeof(tile), barrier);
		barrier.arrive_and_wait();
		out[batch * THREADS + threadIdx.x] = mix(tile[THREADS - 1 - threadIdx.x]);
		block.sync();
	}
}

/* Arrive, do something else, wait for the phase. */
__global__ void
split(const int *in, int *out)
{
	__shared__ int sums[2];
	__shared__ cuda::barrier<cuda::thread_scope_block> barrier;
	if (threadIdx.x == 0) {
		init(&barrier, blockDim.x);
		sums[0] = sums[1] = 0;
	}
	__syncthreads();
	for (int batch = 0; batch < BATCHES; batch++) {
		int value = in[batch * THREADS + threadIdx.x];
		atomicAdd(&sums[batch % 2], value);
		auto token = barrier.arrive();
		int own = mix(value);
		barrier.wait(std::move(token));
		out[batch * THREADS + threadIdx.x] = own + sums[batch % 2];
		barrier.arrive_and_wait();
		if (threadIdx.x == 0)
			sums[batch % 2] = 0;
		barrier.arrive_and_wait();
	}
}

template <int STAGES>
__global__ void
staged(const int *in, int *out)
{
	__shared__ int tiles[STAGES][THREADS];
	__shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, STAGES> state;
	cg::thread_block block = cg::this_thread_block();
	auto pipeline = cuda::make_pipeline(block, &state);
	for (int load = 0, use = 0; use < BATCHES; use++) {
		for (; load < BATCHES && load < use + STAGES; load++) {
			pipeline.producer_acquire();
			cuda::memcpy_async(block, tiles[load % STAGES], in + load * THREADS,
					   sizeof(tiles[0]), pipeline);
			pipeline.producer_commit();
		}
		pipeline.consumer_wait();
		out[use * THREADS + threadIdx.x] =
			mix(tiles[use % STAGES][THREADS - 1 - threadIdx.x]);
		pipeline.consumer_release();
	}
}

/* One warp brings, the others use. */
__global__ void
roles(const int *in, int *out)
{
	constexpr int STAGES = 2;
	__shared__ int tiles[STAGES][THREADS];
	__shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, STAGES> state;
	cg::thread_block block = cg::this_thread_block();
	auto role =
		threadIdx.x < 32 ? cuda::pipeline_role::producer : cuda::pipeline_role::consumer;
	auto pipeline = cuda::make_pipeline(block, &state, role);
	for (int batch = 0; batch < BATCHES; batch++) {
		if (threadIdx.x < 32) {
			pipeline.producer_acquire();
			for (int i = threadIdx.x; i < THREADS; i += 32)
				cuda::memcpy_async(&tiles[batch % STAGES][i],
						   in + batch * THREADS + i, sizeof(int), pipeline);
			pipeline.producer_commit();
		} else {
			pipeline.consumer_wait();
			for (int i = threadIdx.x - 32; i < THREADS; i += THREADS - 32)
				out[batch * THREADS + i] =
					mix(tiles[batch % STAGES][THREADS - 1 - i]);
			pipeline.consumer_release();
		}
	}
}

__global__ void
by_group(const int *in, int *out)
{
	__shared__ __align__(16) int tiles[2][THREADS];
	cg::thread_block block = cg::this_thread_block();
	cg::memcpy_async(block, tiles[0], in, sizeof(tiles[0]));
	for (int batch = 0; batch < BATCHES; batch++) {
		if (batch + 1 < BATCHES) {
			cg::memcpy_async(block, tiles[(batch + 1) % 2], in + (batch + 1) * THREADS,
					 cuda::aligned_size_t<16>(sizeof(tiles[0])));
			cg::wait_prior<1>(block);
		} else {
			cg::wait(block);
		}
		out[batch * THREADS + threadIdx.x] =
			mix(tiles[batch % 2][THREADS - 1 - threadIdx.x]);
		block.sync();
	}
}

/* Each warp on its own. */
__global__ void
by_thread(const int4 *in, int *out)
{
	__shared__ int4 own[32];
	auto pipeline = cuda::make_pipeline();
	int4 sum = {};
	for (int i = threadIdx.x; i < BATCHES * THREADS / 4; i += 32) {
		pipeline.producer_acquire();
		cuda::memcpy_async(&own[threadIdx.x], &in[i], sizeof(int4), pipeline);
		pipeline.producer_commit();
		pipeline.consumer_wait();
		int4 got = own[threadIdx.x];
		sum = make_int4(sum.x + got.x, sum.y + got.y, sum.z + got.z, sum.w + got.w);
		pipeline.consumer_release();
	}
	out[threadIdx.x] = sum.x + sum.y + sum.z + sum.w;
}

int
main()
{
	const int count = THREADS * BATCHES;
	std::vector<int> values = random_ints(count, 1000, 8), reversed(count), summed(count);
	for (int batch = 0; batch < BATCHES; batch++) {
		int sum = 0;
		for (int i = 0; i < THREADS; i++) {
			reversed[batch * THREADS + i] =
				values[batch * THREADS + THREADS - 1 - i] * 7 + 3;
			sum += values[batch * THREADS + i];
		}
		for (int i = 0; i < THREADS; i++)
			summed[batch * THREADS + i] = values[batch * THREADS + i] * 7 + 3 + sum;
	}
	int *in = to_device(values), *out;
	CUDA(cudaMalloc(&out, count * sizeof(int)));
	auto check = [&](const char *name, const std::vector<int> &expected) {
		LAUNCHED();
		EXPECT(to_host(out, count) == expected);
		printf("%s: right\n", name);
		CUDA(cudaMemset(out, 0, count * sizeof(int)));
	};
	by_barrier<<<1, THREADS>>>(in, out);
	check("barrier", reversed);
	split<<<1, THREADS>>>(in, out);
	check("arrive and wait", summed);
	staged<1><<<1, THREADS>>>(in, out);
	check("one stage", reversed);
	staged<3><<<1, THREADS>>>(in, out);
	check("three stages", reversed);
	roles<<<1, THREADS>>>(in, out);
	check("producer and consumers", reversed);
	by_group<<<1, THREADS>>>(in, out);
	check("cooperative groups", reversed);
	by_thread<<<1, 32>>>((const int4 *)in, out);
	LAUNCHED();
	int total = 0, expected = 0;
	for (int part : to_host(out, 32))
		total += part;
	for (int value : values)
		expected += value;
	EXPECT(total == expected);
	printf("one thread's: right\n");
	return ok();
}
