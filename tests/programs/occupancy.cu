/* Occupancy answers: they differ between devices, but must fit together. */
#include "program.h"

__global__ void
plain(int *p)
{
	if (p)
		p[threadIdx.x] = threadIdx.x;
}

__global__ void
shared_user(int *p)
{
	__shared__ int big[8192];
	big[threadIdx.x] = threadIdx.x;
	__syncthreads();
	if (p)
		p[threadIdx.x] = big[blockDim.x - 1 - threadIdx.x];
}

int
main()
{
	cudaDeviceProp device;
	CUDA(cudaGetDeviceProperties(&device, 0));
	int last = 1 << 30;
	for (int threads = 32; threads <= 1024; threads *= 2) {
		int blocks, flagged;
		CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, plain, threads, 0));
		CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
			&flagged, plain, threads, 0, cudaOccupancyDisableCachingOverride));
		EXPECT(blocks >= 1 && blocks <= last && blocks == flagged);
		EXPECT(blocks * threads <= device.maxThreadsPerMultiProcessor);
		EXPECT(blocks <= device.maxBlocksPerMultiProcessor);
		last = blocks;
	}
	int blocks;
	CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, shared_user, 64, 0));
	EXPECT(blocks >= 1);
	EXPECT(blocks * 32768 <= (int)device.sharedMemPerMultiprocessor);
	CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, plain, 64, 40000));
	EXPECT(blocks >= 1 && blocks * 40000 <= (int)device.sharedMemPerMultiprocessor);
	CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, plain, 2048, 0));
	EXPECT(blocks == 0);

	int grid, block;
	CUDA(cudaOccupancyMaxPotentialBlockSize(&grid, &block, plain, 0, 0));
	EXPECT(block >= 32 && block <= 1024 && block % 32 == 0);
	EXPECT(grid >= device.multiProcessorCount);
	CUDA(cudaOccupancyMaxPotentialBlockSize(&grid, &block, plain, 0, 128));
	EXPECT(block <= 128);
	size_t available;
	CUDA(cudaOccupancyAvailableDynamicSMemPerBlock(&available, plain, 1, 128));
	EXPECT(available > 0 && available <= device.sharedMemPerMultiprocessor);
	printf("consistent\n");
	return ok();
}
