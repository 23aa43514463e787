/* Histograms and every atomic operation; the results do not depend on the order. */
#include "program.h"

__global__ void
histogram(const int *in, int count, unsigned *bins)
{
	__shared__ unsigned local[64];
	if (threadIdx.x < 64)
		local[threadIdx.x] = 0;
	__syncthreads();
	for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
		atomicAdd(&local[in[i] & 63], 1u);
	__syncthreads();
	if (threadIdx.x < 64)
		atomicAdd(&bins[threadIdx.x], local[threadIdx.x]);
}

struct Results {
	int added, subtracted, smallest, largest;
	unsigned anded, ored, xored, incremented, decremented;
	unsigned long long added64, largest64;
	float added_float;
	double added_double;
	int exchanged_sum, last_exchanged;
	unsigned long long product; /* modulo a prime, by compare-and-swap */
	int locked;
};

constexpr unsigned long long PRIME = 1000003;

__device__ int lock;

__global__ void
every_atomic(const int *in, int count, Results *r)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i >= count)
		return;
	int value = in[i];
	atomicAdd(&r->added, value);
	atomicSub(&r->subtracted, value);
	atomicMin(&r->smallest, value);
	atomicMax(&r->largest, value);
	atomicAnd(&r->anded, ~(1u << (value & 7)));
	atomicOr(&r->ored, 1u << (value & 31));
	atomicXor(&r->xored, (unsigned)value);
	atomicInc(&r->incremented, 99);
	atomicDec(&r->decremented, 99);
	atomicAdd(&r->added64, (unsigned long long)value << 32);
	atomicMax(&r->largest64, (unsigned long long)value * value);
	atomicAdd(&r->added_float, (float)(value & 15));
	atomicAdd(&r->added_double, (double)value);
	/* Each thread takes away what another left: the sum of all is known. */
	atomicAdd(&r->exchanged_sum, atomicExch(&r->last_exchanged, value));
	unsigned long long seen = r->product, assumed;
	do {
		assumed = seen;
		seen = atomicCAS(&r->product, assumed, assumed * (value + 1) % PRIME);
	} while (seen != assumed);
	/* A lock, taken by one thread of each block. */
	if (threadIdx.x == 0) {
		while (atomicCAS(&lock, 0, 1))
			;
		__threadfence();
		*(volatile int *)&r->locked = *(volatile int *)&r->locked + 1;
		__threadfence();
		atomicExch(&lock, 0);
	}
}

int
main()
{
	const int count = 20000;
	std::vector<int> in = random_ints(count, 10000, 5);
	int *device_in = to_device(in);
	unsigned *device_bins;
	CUDA(cudaMalloc(&device_bins, 64 * sizeof(unsigned)));
	CUDA(cudaMemset(device_bins, 0, 64 * sizeof(unsigned)));
	histogram<<<10, 128>>>(device_in, count, device_bins);
	LAUNCHED();
	std::vector<unsigned> bins = to_host(device_bins, 64), expected_bins(64);
	for (int value : in)
		expected_bins[value & 63]++;
	EXPECT(bins == expected_bins);
	print_checksum("histogram", bins);

	Results start = {}, e, r;
	start.smallest = 1 << 30;
	start.anded = 0xffffffff;
	start.product = 1;
	Results *device_results;
	CUDA(cudaMalloc(&device_results, sizeof(Results)));
	CUDA(cudaMemcpy(device_results, &start, sizeof(start), cudaMemcpyHostToDevice));
	every_atomic<<<(count + 127) / 128, 128>>>(device_in, count, device_results);
	LAUNCHED();
	CUDA(cudaMemcpy(&r, device_results, sizeof(r), cudaMemcpyDeviceToHost));
	e = start;
	for (int value : in) {
		e.added += value;
		e.subtracted -= value;
		e.smallest = value < e.smallest ? value : e.smallest;
		e.largest = value > e.largest ? value : e.largest;
		e.anded &= ~(1u << (value & 7));
		e.ored |= 1u << (value & 31);
		e.xored ^= (unsigned)value;
		e.incremented = e.incremented >= 99 ? 0 : e.incremented + 1;
		e.decremented = e.decremented == 0 || e.decremented > 99 ? 99 : e.decremented - 1;
		e.added64 += (unsigned long long)value << 32;
		unsigned long long square = (unsigned long long)value * value;
		e.largest64 = square > e.largest64 ? square : e.largest64;
		e.added_float += (float)(value & 15);
		e.added_double += (double)value;
		e.product = e.product * (value + 1) % PRIME;
	}
	printf("add %d sub %d min %d max %d\n", r.added, r.subtracted, r.smallest, r.largest);
	printf("and %x or %x xor %x inc %u dec %u\n", r.anded, r.ored, r.xored, r.incremented,
	       r.decremented);
	printf("64 bit: add %llx max %llu\n", r.added64, r.largest64);
	printf("float %.1f double %.1f cas %llu\n", r.added_float, r.added_double, r.product);
	EXPECT(r.added == e.added && r.subtracted == e.subtracted);
	EXPECT(r.smallest == e.smallest && r.largest == e.largest);
	EXPECT(r.anded == e.anded && r.ored == e.ored && r.xored == e.xored);
	EXPECT(r.incremented == e.incremented && r.decremented == e.decremented);
	EXPECT(r.added64 == e.added64 && r.largest64 == e.largest64);
	EXPECT(r.added_float == e.added_float && r.added_double == e.added_double);
	EXPECT(r.exchanged_sum + r.last_exchanged == e.added);
	EXPECT(r.product == e.product);
	EXPECT(r.locked == (count + 127) / 128);
	CUDA(cudaFree(device_in));
	CUDA(cudaFree(device_bins));
	CUDA(cudaFree(device_results));
	return ok();
}
