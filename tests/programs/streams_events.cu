/* What streams and events promise about order, and what they answer when asked. */
#include "program.h"

__global__ void
append(int *log, int *length, int value)
{
	log[(*length)++] = value;
}

/* Keeps the device busy for a while; the result depends on every round. */
__global__ void
work(unsigned *x, int rounds)
{
	unsigned v = *x;
	for (int i = 0; i < rounds; i++)
		v = v * 1664525u + 1013904223u;
	*x = v;
}

__global__ void
copy_value(const unsigned *from, unsigned *to)
{
	*to = *from;
}

static unsigned
work_on_host(unsigned v, int rounds)
{
	for (int i = 0; i < rounds; i++)
		v = v * 1664525u + 1013904223u;
	return v;
}

/* Three streams take turns: each round waits for the event of the one before. */
static void
round_robin()
{
	const int rounds = 60;
	int *log, *length;
	CUDA(cudaMalloc(&log, rounds * sizeof(int)));
	CUDA(cudaMalloc(&length, sizeof(int)));
	CUDA(cudaMemset(length, 0, sizeof(int)));
	CUDA(cudaDeviceSynchronize());
	cudaStream_t streams[3];
	cudaEvent_t events[3];
	for (int i = 0; i < 3; i++) {
		CUDA(cudaStreamCreateWithFlags(&streams[i], cudaStreamNonBlocking));
		CUDA(cudaEventCreateWithFlags(&events[i], cudaEventDisableTiming));
	}
	for (int i = 0; i < rounds; i++) {
		if (i)
			CUDA(cudaStreamWaitEvent(streams[i % 3], events[(i - 1) % 3], 0));
		append<<<1, 1, 0, streams[i % 3]>>>(log, length, i * i);
		LAUNCHED();
		CUDA(cudaEventRecord(events[i % 3], streams[i % 3]));
	}
	CUDA(cudaEventSynchronize(events[(rounds - 1) % 3]));
	std::vector<int> entries = to_host(log, rounds);
	for (int i = 0; i < rounds; i++)
		EXPECT(entries[i] == i * i);
	print_checksum("turns", entries);
	for (int i = 0; i < 3; i++) {
		CUDA(cudaStreamDestroy(streams[i]));
		CUDA(cudaEventDestroy(events[i]));
	}
	CUDA(cudaFree(log));
	CUDA(cudaFree(length));
}

/* An event stands for the moment of its last record, not for later work. */
static void
queries()
{
	const int rounds = 100000;
	unsigned *x, *y, host = 0;
	CUDA(cudaMalloc(&x, sizeof(unsigned)));
	CUDA(cudaMalloc(&y, sizeof(unsigned)));
	CUDA(cudaMemset(x, 0, sizeof(unsigned)));
	cudaStream_t stream;
	cudaEvent_t begin, end, never;
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaEventCreate(&begin));
	CUDA(cudaEventCreate(&end));
	CUDA(cudaEventCreate(&never));

	CUDA(cudaEventQuery(never)); /* never recorded counts as done */
	CUDA(cudaEventRecord(begin, stream));
	work<<<1, 1, 0, stream>>>(x, rounds);
	LAUNCHED();
	CUDA(cudaEventRecord(end, stream));
	cudaError_t state = cudaEventQuery(end);
	EXPECT(state == cudaSuccess || state == cudaErrorNotReady);
	while ((state = cudaEventQuery(end)) == cudaErrorNotReady)
		;
	CUDA(state);
	CUDA(cudaStreamQuery(stream));
	CUDA(cudaMemcpy(&host, x, sizeof(host), cudaMemcpyDeviceToHost));
	EXPECT(host == work_on_host(0, rounds));
	printf("work: %08x\n", host);

	float milliseconds = -1.0f;
	CUDA(cudaEventElapsedTime(&milliseconds, begin, end));
	EXPECT(milliseconds > 0.0f && milliseconds < 100000.0f);
	EXPECT_ERROR(cudaEventElapsedTime(&milliseconds, begin, never),
		     cudaErrorInvalidResourceHandle);
	cudaGetLastError();

	/* The legacy stream waits for blocking streams and they for it. */
	work<<<1, 1, 0, stream>>>(x, rounds);
	copy_value<<<1, 1>>>(x, y);
	work<<<1, 1, 0, stream>>>(x, 10);
	LAUNCHED();
	CUDA(cudaDeviceSynchronize());
	CUDA(cudaMemcpy(&host, y, sizeof(host), cudaMemcpyDeviceToHost));
	EXPECT(host == work_on_host(0, 2 * rounds));
	CUDA(cudaMemcpy(&host, x, sizeof(host), cudaMemcpyDeviceToHost));
	EXPECT(host == work_on_host(0, 2 * rounds + 10));
	printf("legacy: %08x\n", host);

	/* Destroying a busy stream and a pending event lets the work finish. */
	work<<<1, 1, 0, stream>>>(x, rounds);
	LAUNCHED();
	CUDA(cudaEventRecord(end, stream));
	CUDA(cudaEventDestroy(end));
	CUDA(cudaStreamDestroy(stream));
	CUDA(cudaDeviceSynchronize());
	CUDA(cudaMemcpy(&host, x, sizeof(host), cudaMemcpyDeviceToHost));
	EXPECT(host == work_on_host(0, 3 * rounds + 10));
	CUDA(cudaEventDestroy(begin));
	CUDA(cudaEventDestroy(never));
	CUDA(cudaFree(x));
	CUDA(cudaFree(y));
}

static void
attributes()
{
	int lowest, highest, priority;
	unsigned flags;
	unsigned long long first_id, second_id;
	CUDA(cudaDeviceGetStreamPriorityRange(&lowest, &highest));
	EXPECT(lowest >= highest);
	cudaStream_t first, second;
	CUDA(cudaStreamCreateWithPriority(&first, cudaStreamNonBlocking, highest));
	CUDA(cudaStreamCreate(&second));
	CUDA(cudaStreamGetPriority(first, &priority));
	EXPECT(priority == highest);
	CUDA(cudaStreamGetFlags(first, &flags));
	EXPECT(flags == cudaStreamNonBlocking);
	CUDA(cudaStreamGetFlags(second, &flags));
	EXPECT(flags == cudaStreamDefault);
	CUDA(cudaStreamGetId(first, &first_id));
	CUDA(cudaStreamGetId(second, &second_id));
	EXPECT(first_id != second_id);
	CUDA(cudaStreamDestroy(first));
	CUDA(cudaStreamDestroy(second));
}

int
main()
{
	round_robin();
	queries();
	attributes();
	return ok();
}
