/* Clocks, sleeping, and what a kernel knows about where it runs. */
#include "program.h"

__global__ void
clocks(int *out)
{
	long long begin = clock64();
	unsigned low = clock();
	unsigned long long wall, wall_later;
	asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(wall));
	int x = threadIdx.x + 1;
	for (int i = 0; i < 1000; i++)
		x = x * 1664525 + 1013904223;
	__nanosleep(2000);
	asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(wall_later));
	long long end = clock64();
	out[threadIdx.x] = end > begin && wall_later >= wall && (unsigned)clock() != low && x != 0;
}

/* Waits until another block has spoken: blocks run at the same time. */
__global__ void
conversation(volatile int *said, int *out)
{
	if (blockIdx.x == 0) {
		said[0] = 1;
		__threadfence();
		while (said[1] != 2)
			__nanosleep(100);
		out[0] = 3;
	} else {
		while (said[0] != 1)
			__nanosleep(100);
		said[1] = 2;
	}
}

__global__ void
place(int *out)
{
	unsigned lane, warp, warps, sm, sms, grid_x, dynamic, total;
	asm("mov.u32 %0, %%laneid;" : "=r"(lane));
	asm("mov.u32 %0, %%warpid;" : "=r"(warp));
	asm("mov.u32 %0, %%nwarpid;" : "=r"(warps));
	asm("mov.u32 %0, %%smid;" : "=r"(sm));
	asm("mov.u32 %0, %%nsmid;" : "=r"(sms));
	asm("mov.u32 %0, %%nctaid.x;" : "=r"(grid_x));
	asm("mov.u32 %0, %%dynamic_smem_size;" : "=r"(dynamic));
	asm("mov.u32 %0, %%total_smem_size;" : "=r"(total));
	unsigned before, after;
	asm("mov.u32 %0, %%lanemask_lt;" : "=r"(before));
	asm("mov.u32 %0, %%lanemask_ge;" : "=r"(after));
	bool right = lane == threadIdx.x % 32 && warp < warps && sm < sms && grid_x == gridDim.x &&
		     dynamic == 256 && total >= 256 && (before ^ after) == 0xffffffffu &&
		     (int)__popc(before) == (int)lane;
	out[blockIdx.x * blockDim.x + threadIdx.x] = right;
}

int
main()
{
	int *out, *said;
	CUDA(cudaMalloc(&out, 256 * sizeof(int)));
	CUDA(cudaMalloc(&said, 2 * sizeof(int)));
	CUDA(cudaMemset(said, 0, 2 * sizeof(int)));
	clocks<<<1, 64>>>(out);
	LAUNCHED();
	for (int right : to_host(out, 64))
		EXPECT(right);
	printf("clocks: right\n");
	conversation<<<2, 1>>>(said, out);
	LAUNCHED();
	EXPECT(to_host(out, 1)[0] == 3);
	printf("blocks: right\n");
	place<<<4, 64, 256>>>(out);
	LAUNCHED();
	for (int right : to_host(out, 256))
		EXPECT(right);
	printf("places: right\n");

	/* Time passes between events, and what was recorded later is later. */
	cudaEvent_t events[3];
	float first, second, both;
	for (cudaEvent_t &event : events)
		CUDA(cudaEventCreate(&event));
	CUDA(cudaEventRecord(events[0]));
	clocks<<<1, 64>>>(out);
	CUDA(cudaEventRecord(events[1]));
	clocks<<<1, 64>>>(out);
	CUDA(cudaEventRecord(events[2]));
	CUDA(cudaEventSynchronize(events[2]));
	CUDA(cudaEventElapsedTime(&first, events[0], events[1]));
	CUDA(cudaEventElapsedTime(&second, events[1], events[2]));
	CUDA(cudaEventElapsedTime(&both, events[0], events[2]));
	EXPECT(first > 0 && second > 0 && both > first && both < 60000);
	CUDA(cudaEventElapsedTime(&both, events[2], events[0]));
	EXPECT(both < 0);
	printf("events: right\n");
	return ok();
}
