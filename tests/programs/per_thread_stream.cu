/* Built with --default-stream per-thread: stream 0 is the thread's own. */
#include "program.h"

#include <thread>

__global__ void
count_up(int *p, int rounds)
{
	int value = *p;
	for (int i = 0; i < rounds; i++)
		value = value % 1000 + 1;
	*p = value;
}

static void
work(int start)
{
	int *p, value = start;
	CUDA(cudaMalloc(&p, sizeof(int)));
	CUDA(cudaMemcpyAsync(p, &value, sizeof(int), cudaMemcpyHostToDevice, 0));
	for (int i = 0; i < 50; i++)
		count_up<<<1, 1>>>(p, 100);
	LAUNCHED();
	CUDA(cudaMemcpyAsync(&value, p, sizeof(int), cudaMemcpyDeviceToHost, cudaStreamPerThread));
	CUDA(cudaStreamSynchronize(0));
	EXPECT(value == start); /* 5,000 steps around a ring of 1,000 */
	cudaEvent_t event;
	CUDA(cudaEventCreate(&event));
	count_up<<<1, 1>>>(p, 1);
	CUDA(cudaEventRecord(event));
	CUDA(cudaStreamWaitEvent(cudaStreamLegacy, event, 0));
	CUDA(cudaStreamSynchronize(cudaStreamLegacy));
	CUDA(cudaMemcpy(&value, p, sizeof(int), cudaMemcpyDeviceToHost));
	EXPECT(value == start % 1000 + 1);
	CUDA(cudaEventDestroy(event));
	CUDA(cudaFree(p));
}

int
main()
{
	std::vector<std::thread> threads;
	for (int i = 0; i < 4; i++)
		threads.emplace_back(work, i * 100 + 1);
	for (std::thread &thread : threads)
		thread.join();
	work(777);
	return ok();
}
