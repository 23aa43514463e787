/* Asynchronous copies from pinned memory, overlapped in a pipeline of two streams. */
#include "program.h"

#include <cstring>

__global__ void
scale(const int *in, int *out, int count, int factor)
{
	for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
		out[i] = in[i] * factor + 1;
}

int
main()
{
	const int chunk = 20000, chunks = 16;
	int *in, *out, *device_in[2], *device_out[2];
	CUDA(cudaMallocHost(&in, chunk * chunks * sizeof(int)));
	CUDA(cudaHostAlloc(&out, chunk * chunks * sizeof(int), cudaHostAllocPortable));
	memset(out, 0, chunk * chunks * sizeof(int));
	for (int i = 0; i < chunk * chunks; i++)
		in[i] = i;
	cudaStream_t streams[2];
	for (int i = 0; i < 2; i++) {
		CUDA(cudaStreamCreateWithFlags(&streams[i], cudaStreamNonBlocking));
		CUDA(cudaMalloc(&device_in[i], chunk * sizeof(int)));
		CUDA(cudaMalloc(&device_out[i], chunk * sizeof(int)));
	}
	for (int i = 0; i < chunks; i++) {
		int s = i % 2;
		CUDA(cudaMemcpyAsync(device_in[s], in + i * chunk, chunk * sizeof(int),
				     cudaMemcpyHostToDevice, streams[s]));
		scale<<<8, 128, 0, streams[s]>>>(device_in[s], device_out[s], chunk, i + 2);
		LAUNCHED();
		CUDA(cudaMemcpyAsync(out + i * chunk, device_out[s], chunk * sizeof(int),
				     cudaMemcpyDeviceToHost, streams[s]));
	}
	CUDA(cudaStreamSynchronize(streams[0]));
	CUDA(cudaStreamSynchronize(streams[1]));
	for (int i = 0; i < chunk * chunks; i++)
		EXPECT(out[i] == i * (i / chunk + 2) + 1);
	printf("pipeline: %016llx\n",
	       (unsigned long long)checksum(out, chunk * chunks * sizeof(int)));

	/* Pageable memory may be used again as soon as the call returns. */
	int buffer[1000];
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 1000; i++)
			buffer[i] = i + round * 1000;
		CUDA(cudaMemcpyAsync(device_in[0] + round * 1000, buffer, sizeof(buffer),
				     cudaMemcpyHostToDevice, streams[0]));
		memset(buffer, 0xff, sizeof(buffer));
	}
	CUDA(cudaMemcpyAsync(out, device_in[0], 10000 * sizeof(int), cudaMemcpyDeviceToHost,
			     streams[0]));
	CUDA(cudaStreamSynchronize(streams[0]));
	for (int i = 0; i < 10000; i++)
		EXPECT(out[i] == i);

	/* Memory that the program had before can be pinned where it is. */
	const size_t size = 300 * 4096;
	char *own = (char *)aligned_alloc(4096, size);
	memset(own, 'x', size);
	CUDA(cudaHostRegister(own, size, cudaHostRegisterDefault));
	char *device;
	CUDA(cudaMalloc(&device, size));
	CUDA(cudaMemcpyAsync(device, own, size, cudaMemcpyHostToDevice, streams[1]));
	CUDA(cudaMemsetAsync(device + 5, 'y', 10, streams[1]));
	CUDA(cudaMemcpyAsync(own, device, size, cudaMemcpyDeviceToHost, streams[1]));
	CUDA(cudaStreamSynchronize(streams[1]));
	EXPECT(own[4] == 'x' && own[5] == 'y' && own[14] == 'y' && own[15] == 'x');
	CUDA(cudaHostUnregister(own));
	free(own);
	CUDA(cudaFree(device));
	for (int i = 0; i < 2; i++) {
		CUDA(cudaStreamDestroy(streams[i]));
		CUDA(cudaFree(device_in[i]));
		CUDA(cudaFree(device_out[i]));
	}
	CUDA(cudaFreeHost(in));
	CUDA(cudaFreeHost(out));
	return ok();
}
