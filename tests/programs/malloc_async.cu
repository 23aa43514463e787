/* Stream-ordered allocation: cudaMallocAsync, pools, reuse, memory that outlives its stream. */
#include "program.h"

__global__ void
fill(int *p, int count, int value)
{
	for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
		p[i] = value + i;
}

__global__ void
add(const int *a, const int *b, int *c, int count)
{
	for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
		c[i] = a[i] + b[i];
}

int
main()
{
	int supported;
	CUDA(cudaDeviceGetAttribute(&supported, cudaDevAttrMemoryPoolsSupported, 0));
	if (!supported)
		skip("the device has no memory pools");

	cudaStream_t streams[2];
	for (cudaStream_t &stream : streams)
		CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	cudaMemPool_t pool;
	CUDA(cudaDeviceGetDefaultMemPool(&pool, 0));
	uint64_t threshold = UINT64_MAX;
	CUDA(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold));
	threshold = 0;
	CUDA(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold));
	EXPECT(threshold == UINT64_MAX);

	const int count = 10000;
	std::vector<int> out(count);
	for (int round = 0; round < 50; round++) {
		cudaStream_t stream = streams[round % 2];
		int *a, *b, *c;
		CUDA(cudaMallocAsync((void **)&a, count * sizeof(int), stream));
		CUDA(cudaMallocAsync((void **)&b, count * sizeof(int), stream));
		fill<<<4, 128, 0, stream>>>(a, count, round);
		fill<<<4, 128, 0, stream>>>(b, count, 1000);
		CUDA(cudaMallocAsync((void **)&c, count * sizeof(int), stream));
		add<<<4, 128, 0, stream>>>(a, b, c, count);
		LAUNCHED();
		CUDA(cudaFreeAsync(a, stream));
		CUDA(cudaFreeAsync(b, stream));
		CUDA(cudaMemcpyAsync(out.data(), c, count * sizeof(int), cudaMemcpyDeviceToHost,
				     stream));
		CUDA(cudaFreeAsync(c, stream));
		CUDA(cudaStreamSynchronize(stream));
		for (int i = 0; i < count; i++)
			EXPECT(out[i] == round + 1000 + 2 * i);
	}
	print_checksum("rounds", out);

	/* A pool of one's own; memory of it used on two streams. */
	cudaMemPoolProps properties = {};
	properties.allocType = cudaMemAllocationTypePinned;
	properties.location.type = cudaMemLocationTypeDevice;
	cudaMemPool_t own;
	CUDA(cudaMemPoolCreate(&own, &properties));
	int *p;
	CUDA(cudaMallocFromPoolAsync((void **)&p, count * sizeof(int), own, streams[0]));
	fill<<<4, 128, 0, streams[0]>>>(p, count, 7);
	LAUNCHED();
	cudaEvent_t filled;
	CUDA(cudaEventCreateWithFlags(&filled, cudaEventDisableTiming));
	CUDA(cudaEventRecord(filled, streams[0]));
	CUDA(cudaStreamWaitEvent(streams[1], filled, 0));
	add<<<4, 128, 0, streams[1]>>>(p, p, p, count);
	LAUNCHED();
	CUDA(cudaMemcpyAsync(out.data(), p, count * sizeof(int), cudaMemcpyDeviceToHost,
			     streams[1]));
	CUDA(cudaStreamSynchronize(streams[1]));
	for (int i = 0; i < count; i++)
		EXPECT(out[i] == 2 * (7 + i));
	CUDA(cudaFreeAsync(p, streams[1]));
	CUDA(cudaStreamSynchronize(streams[1]));
	CUDA(cudaMemPoolTrimTo(own, 0));
	CUDA(cudaMemPoolDestroy(own));

	/* Freed by cudaFree, and the other way round. */
	CUDA(cudaMallocAsync((void **)&p, 100, streams[0]));
	CUDA(cudaStreamSynchronize(streams[0]));
	CUDA(cudaFree(p));
	CUDA(cudaMalloc(&p, 100));
	CUDA(cudaFreeAsync(p, streams[0]));
	CUDA(cudaDeviceSynchronize());
	for (cudaStream_t stream : streams)
		CUDA(cudaStreamDestroy(stream));
	CUDA(cudaEventDestroy(filled));
	return ok();
}
