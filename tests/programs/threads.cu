/* Eight threads, each with a stream and data of its own, and one that they all add to. */
#include "program.h"

#include <atomic>
#include <thread>

constexpr int THREADS = 8, COUNT = 4000, ROUNDS = 40;

__global__ void
step(unsigned *values, unsigned seed, unsigned *total)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i >= COUNT)
		return;
	values[i] = values[i] * 1664525u + seed;
	if (i == 0)
		atomicAdd(total, 1u);
}

static std::atomic<int> wrong;

static void
work(unsigned seed, unsigned *total)
{
	cudaStream_t stream;
	cudaEvent_t event;
	unsigned *device;
	std::vector<unsigned> values(COUNT), seen(COUNT);
	for (int i = 0; i < COUNT; i++)
		values[i] = seed * 1000 + i;
	CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
	CUDA(cudaMalloc(&device, COUNT * sizeof(unsigned)));
	CUDA(cudaMemcpyAsync(device, values.data(), COUNT * sizeof(unsigned),
			     cudaMemcpyHostToDevice, stream));
	for (int round = 0; round < ROUNDS; round++) {
		void *scratch;
		CUDA(cudaMalloc(&scratch, 1000 + round * 100));
		step<<<(COUNT + 127) / 128, 128, 0, stream>>>(device, seed, total);
		LAUNCHED();
		CUDA(cudaEventRecord(event, stream));
		if (round % 10 == 3)
			CUDA(cudaEventSynchronize(event));
		CUDA(cudaFree(scratch));
		for (unsigned &value : values)
			value = value * 1664525u + seed;
	}
	CUDA(cudaMemcpyAsync(seen.data(), device, COUNT * sizeof(unsigned), cudaMemcpyDeviceToHost,
			     stream));
	CUDA(cudaStreamSynchronize(stream));
	if (seen != values)
		wrong++;
	CUDA(cudaFree(device));
	CUDA(cudaEventDestroy(event));
	CUDA(cudaStreamDestroy(stream));
}

int
main()
{
	unsigned *total, host_total;
	CUDA(cudaMalloc(&total, sizeof(unsigned)));
	CUDA(cudaMemset(total, 0, sizeof(unsigned)));
	CUDA(cudaDeviceSynchronize());
	for (int generation = 0; generation < 3; generation++) {
		std::vector<std::thread> threads;
		for (int i = 0; i < THREADS; i++)
			threads.emplace_back(work, generation * THREADS + i + 1, total);
		for (std::thread &thread : threads)
			thread.join();
	}
	CUDA(cudaMemcpy(&host_total, total, sizeof(unsigned), cudaMemcpyDeviceToHost));
	printf("%u steps, %d wrong\n", host_total, wrong.load());
	EXPECT(wrong == 0);
	EXPECT(host_total == 3 * THREADS * ROUNDS);

	/* What one thread launched, another may wait for. */
	cudaEvent_t event;
	CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
	unsigned *device;
	CUDA(cudaMalloc(&device, COUNT * sizeof(unsigned)));
	std::thread([&] {
		CUDA(cudaMemset(device, 0, COUNT * sizeof(unsigned)));
		step<<<(COUNT + 127) / 128, 128>>>(device, 5, total);
		LAUNCHED();
		CUDA(cudaEventRecord(event));
	}).join();
	std::thread([&] {
		CUDA(cudaEventSynchronize(event));
		unsigned last;
		CUDA(cudaMemcpy(&last, device + COUNT - 1, sizeof(last), cudaMemcpyDeviceToHost));
		EXPECT(last == 5);
	}).join();
	CUDA(cudaEventDestroy(event));
	CUDA(cudaFree(device));
	CUDA(cudaFree(total));
	return ok();
}
