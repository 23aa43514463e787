/*
 * The C++ standard library on the device: cuda::std's containers and algorithms, cuda::atomic and
 * cuda::atomic_ref of every scope and operation, latches and semaphores.
 */
#include "program.h"

#include <cuda/atomic>
#include <cuda/latch>
#include <cuda/semaphore>
#include <cuda/std/array>
#include <cuda/std/bit>
#include <cuda/std/chrono>
#include <cuda/std/complex>
#include <cuda/std/functional>
#include <cuda/std/limits>
#include <cuda/std/optional>
#include <cuda/std/span>
#include <cuda/std/tuple>
#include <cuda/std/utility>
#include <cuda/std/variant>

namespace std_ = cuda::std;

struct Shared {
	cuda::atomic<int, cuda::thread_scope_device> counter;
	cuda::atomic<unsigned, cuda::thread_scope_device> bits;
	cuda::atomic<long long, cuda::thread_scope_system> largest;
	cuda::atomic<int, cuda::thread_scope_device> turn;
	int plain, guarded, swaps;
	double sum;
};

__global__ void
atomics(Shared *shared)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	shared->counter.fetch_add(1, std_::memory_order_relaxed);
	shared->bits.fetch_xor(1u << (i % 32));
	shared->largest.fetch_max((long long)i * 1000000007);
	cuda::atomic_ref<int, cuda::thread_scope_device> plain(shared->plain);
	plain += i;
	cuda::atomic_ref<double, cuda::thread_scope_device> sum(shared->sum);
	sum.fetch_add(0.5);
	int seen = shared->swaps;
	cuda::atomic_ref<int> swaps(shared->swaps);
	while (!swaps.compare_exchange_weak(seen, seen + 2))
		;
	/* A lock: blocks take turns. */
	if (threadIdx.x == 0) {
		while (shared->turn.load(std_::memory_order_acquire) != (int)blockIdx.x)
			;
		shared->guarded = shared->guarded * 3 + (int)blockIdx.x;
		shared->turn.store((int)blockIdx.x + 1, std_::memory_order_release);
		shared->turn.notify_all();
	}
}

__global__ void
meeting(int *out)
{
	__shared__ cuda::latch<cuda::thread_scope_block> *latch;
	__shared__ char room[sizeof(cuda::latch<cuda::thread_scope_block>)];
	__shared__ cuda::counting_semaphore<cuda::thread_scope_block, 4> *doors;
	__shared__ char door_room[sizeof(cuda::counting_semaphore<cuda::thread_scope_block, 4>)];
	__shared__ int inside, most, passed;
	if (threadIdx.x == 0) {
		latch = new (room) cuda::latch<cuda::thread_scope_block>(blockDim.x);
		doors = new (door_room) cuda::counting_semaphore<cuda::thread_scope_block, 4>(4);
		inside = most = passed = 0;
	}
	__syncthreads();
	latch->arrive_and_wait();
	doors->acquire();
	atomicMax(&most, atomicAdd(&inside, 1) + 1);
	atomicAdd(&passed, 1);
	atomicSub(&inside, 1);
	doors->release();
	__syncthreads();
	if (threadIdx.x == 0) {
		out[0] = passed;
		out[1] = most <= 4;
	}
}

struct Visitor {
	__device__ long long operator()(int value) const
	{
		return value;
	}
	__device__ long long operator()(double value) const
	{
		return (long long)(value * 100);
	}
	__device__ long long operator()(std_::array<short, 3> value) const
	{
		return value[0] + value[1] + value[2];
	}
};

__global__ void
vocabulary(long long *out)
{
	using Any = std_::variant<int, double, std_::array<short, 3>>;
	int i = threadIdx.x;
	Any any = i % 3 == 0   ? Any(i)
		  : i % 3 == 1 ? Any(i / 4.0)
			       : Any(std_::array<short, 3>{(short)i, 1, 2});
	long long result = std_::visit(Visitor(), any);

	std_::optional<int> even = i % 2 ? std_::nullopt : std_::optional<int>(i * 3);
	result = result * 31 + even.value_or(-1);
	auto [a, b, c] = std_::make_tuple(i, (long long)i << 33, (char)i);
	result = result * 31 + a + b + c;
	int numbers[8];
	std_::span<int, 8> view(numbers);
	for (int &number : view)
		number = (int)(&number - numbers) * i;
	result = result * 31 + view.back() + (long long)view.subspan<2, 3>().size();
	std_::complex<double> z(i, -i);
	z = z * z + std_::complex<double>(1, 1);
	result = result * 31 + (long long)z.real() * 7 + (long long)z.imag();
	std_::chrono::milliseconds wait = std_::chrono::seconds(i) + std_::chrono::milliseconds(5);
	result = result * 31 + wait.count();
	result = result * 31 + std_::popcount((unsigned)i) + std_::countl_zero((unsigned)i | 1) +
		 (int)std_::bit_ceil((unsigned)i + 1) + std_::rotl(0x80000001u, i);
	result += std_::numeric_limits<short>::max() + std_::numeric_limits<int>::digits;
	std_::pair<int, int> pair(i, -i);
	std_::swap(pair.first, pair.second);
	result = result * 31 + std_::plus<int>()(pair.first, 2 * pair.second);
	out[i] = result;
}

int
main()
{
	const int blocks = 6, threads = 64, all = blocks * threads;
	Shared *shared, zero = {};
	CUDA(cudaMalloc(&shared, sizeof(Shared)));
	CUDA(cudaMemset(shared, 0, sizeof(Shared)));
	atomics<<<blocks, threads>>>(shared);
	LAUNCHED();
	CUDA(cudaMemcpy((void *)&zero, shared, sizeof(zero), cudaMemcpyDeviceToHost));
	int guarded = 0;
	for (int i = 0; i < blocks; i++)
		guarded = guarded * 3 + i;
	EXPECT(zero.counter.load() == all && zero.bits.load() == 0);
	EXPECT(zero.largest.load() == (all - 1) * 1000000007ll);
	EXPECT(zero.plain == all * (all - 1) / 2 && zero.sum == all / 2.0);
	EXPECT(zero.swaps == 2 * all && zero.guarded == guarded);
	printf("atomics: right\n");

	int *met;
	CUDA(cudaMalloc(&met, 2 * sizeof(int)));
	meeting<<<1, 96>>>(met);
	LAUNCHED();
	EXPECT((to_host(met, 2) == std::vector<int>{96, 1}));
	printf("latch and semaphore: right\n");

	long long *words;
	CUDA(cudaMalloc(&words, 64 * sizeof(long long)));
	vocabulary<<<1, 64>>>(words);
	LAUNCHED();
	std::vector<long long> got = to_host(words, 64);
	printf("first: %lld, last: %lld\n", got[0], got[63]);
	print_checksum("words", got);
	return ok();
}
