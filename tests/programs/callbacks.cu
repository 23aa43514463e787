/* Host functions in a stream: in order, once each, and the stream waits for them. */
#include "program.h"

#include <atomic>
#include <thread>

__global__ void
advance(int *p, int from)
{
	*p = *p == from ? from + 1 : -1000;
}

static int *shared; /* pinned: kernels and host functions take turns */
static std::atomic<int> calls;

static void
advance_on_host(void *data)
{
	int from = (int)(intptr_t)data;
	/* Slow enough that a stream which did not wait would be seen. */
	std::this_thread::sleep_for(std::chrono::milliseconds(2));
	shared[1] = shared[0] == from ? from + 1 : -2000;
	calls++;
}

static void
old_style(cudaStream_t stream, cudaError_t status, void *data)
{
	(void)stream;
	*(int *)data = status == cudaSuccess ? 1 : 2;
	calls++;
}

int
main()
{
	cudaStream_t stream, other;
	int *device, callback_result = 0;
	CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	CUDA(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
	CUDA(cudaMallocHost(&shared, 2 * sizeof(int)));
	CUDA(cudaMalloc(&device, sizeof(int)));
	CUDA(cudaMemsetAsync(device, 0, sizeof(int), stream));
	const int rounds = 20;
	for (int i = 0; i < rounds; i++) {
		advance<<<1, 1, 0, stream>>>(device, 2 * i);
		LAUNCHED();
		CUDA(cudaMemcpyAsync(&shared[0], device, sizeof(int), cudaMemcpyDeviceToHost,
				     stream));
		CUDA(cudaLaunchHostFunc(stream, advance_on_host, (void *)(intptr_t)(2 * i + 1)));
		CUDA(cudaMemcpyAsync(device, &shared[1], sizeof(int), cudaMemcpyHostToDevice,
				     stream));
	}
	CUDA(cudaStreamAddCallback(stream, old_style, &callback_result, 0));
	/* An event after a host function covers it. */
	cudaEvent_t event;
	CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
	CUDA(cudaEventRecord(event, stream));
	CUDA(cudaStreamWaitEvent(other, event, 0));
	CUDA(cudaStreamSynchronize(other));
	EXPECT(calls == rounds + 1);
	CUDA(cudaStreamSynchronize(stream));
	int value;
	CUDA(cudaMemcpy(&value, device, sizeof(value), cudaMemcpyDeviceToHost));
	printf("value %d after %d calls, callback %d\n", value, calls.load(), callback_result);
	EXPECT(value == 2 * rounds);
	EXPECT(callback_result == 1);
	CUDA(cudaEventDestroy(event));
	CUDA(cudaFree(device));
	CUDA(cudaFreeHost(shared));
	CUDA(cudaStreamDestroy(stream));
	CUDA(cudaStreamDestroy(other));
	return ok();
}
