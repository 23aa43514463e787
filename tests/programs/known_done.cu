/* What must be done because something that waited for it is done: queries say so at once. */
#include "program.h"

__global__ void
work(int *value, int rounds)
{
	int x = *value;
	for (int i = 0; i < rounds; i++)
		x = x * 1664525 + 1013904223;
	*value = x;
}

enum { STREAMS = 6, ROUNDS = 60 };

int
main()
{
	cudaStream_t streams[STREAMS];
	cudaEvent_t begin[STREAMS], end[STREAMS];
	int *values, *host;

	CUDA(cudaMalloc(&values, STREAMS * sizeof(int)));
	CUDA(cudaMemset(values, 0, STREAMS * sizeof(int)));
	CUDA(cudaMallocHost(&host, STREAMS * sizeof(int)));
	for (int i = 0; i < STREAMS; i++) {
		CUDA(cudaStreamCreateWithFlags(&streams[i], cudaStreamNonBlocking));
		CUDA(cudaEventCreate(&begin[i]));
		CUDA(cudaEventCreate(&end[i]));
	}
	for (int round = 0; round < ROUNDS; round++) {
		int last = round % STREAMS;

		/* all of them, and one that waits for the others */
		for (int i = 0; i < STREAMS; i++) {
			if (i == last)
				continue;
			CUDA(cudaEventRecord(begin[i], streams[i]));
			work<<<1, 1, 0, streams[i]>>>(values + i, 2000);
			LAUNCHED();
			CUDA(cudaMemcpyAsync(host + i, values + i, sizeof(int),
					     cudaMemcpyDeviceToHost, streams[i]));
			CUDA(cudaEventRecord(end[i], streams[i]));
			CUDA(cudaStreamWaitEvent(streams[last], end[i], 0));
			/* the stream has more than the event: the copy is the last thing in it */
			CUDA(cudaStreamWaitEvent(streams[i], begin[i], 0));
		}
		work<<<1, 1, 0, streams[last]>>>(values + last, 100);
		LAUNCHED();
		CUDA(cudaEventRecord(end[last], streams[last]));
		if (round % 3 == 0)
			CUDA(cudaEventSynchronize(end[last]));
		else if (round % 3 == 1)
			CUDA(cudaStreamSynchronize(streams[last]));
		else
			while (cudaEventQuery(end[last]) == cudaErrorNotReady)
				;
		for (int i = 0; i < STREAMS; i++) {
			float time;

			if (i == last)
				continue;
			CUDA(cudaEventQuery(end[i]));
			CUDA(cudaEventElapsedTime(&time, begin[i], end[i]));
			EXPECT(time >= 0);
			/* what it copied is here */
			int seen = ((volatile int *)host)[i], value;
			CUDA(cudaMemcpy(&value, values + i, sizeof(int), cudaMemcpyDeviceToHost));
			EXPECT(seen == value);
		}
	}
	/* by an event that is gone when it is asked, as PyTorch's Stream.wait_stream() does it */
	for (int round = 0; round < ROUNDS; round++) {
		cudaStream_t first = streams[round % STREAMS];
		cudaStream_t second = streams[(round + 1) % STREAMS];
		cudaEvent_t between;

		work<<<1, 1, 0, first>>>(values, 2000);
		LAUNCHED();
		CUDA(cudaEventCreateWithFlags(&between, cudaEventDisableTiming));
		CUDA(cudaEventRecord(between, first));
		CUDA(cudaStreamWaitEvent(second, between, 0));
		CUDA(cudaEventDestroy(between));
		CUDA(cudaEventCreateWithFlags(&between, cudaEventDisableTiming));
		CUDA(cudaEventRecord(between, second));
		CUDA(cudaEventSynchronize(between));
		CUDA(cudaStreamQuery(first));
		CUDA(cudaEventDestroy(between));
		CUDA(cudaStreamQuery(second));
	}
	for (int i = 0; i < STREAMS; i++) {
		CUDA(cudaStreamQuery(streams[i]));
		CUDA(cudaStreamDestroy(streams[i]));
		CUDA(cudaEventDestroy(begin[i]));
		CUDA(cudaEventDestroy(end[i]));
	}
	CUDA(cudaFreeHost(host));
	CUDA(cudaFree(values));
	return ok();
}
