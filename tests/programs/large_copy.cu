/* 64 MiB in both directions, from pageable and from pinned memory. */
#include "program.h"

#include <cstring>

/* Changes one word in 1024, so that the copy back is not what was sent. */
__global__ void
mark(uint64_t *words, size_t count, uint64_t value)
{
	size_t i = (size_t)(blockIdx.x * blockDim.x + threadIdx.x) * 1024;
	if (i < count)
		words[i] ^= value + i;
}

static void
there_and_back(const char *what, uint64_t *source, uint64_t *back, size_t count)
{
	size_t size = count * sizeof(uint64_t);
	uint64_t *device;
	for (size_t i = 0; i < count; i++)
		source[i] = i * 0x9e3779b97f4a7c15ull;
	memset(back, 0, size);
	CUDA(cudaMalloc(&device, size));
	CUDA(cudaMemcpy(device, source, size, cudaMemcpyHostToDevice));
	mark<<<(int)(count / 1024 / 64), 64>>>(device, count, 12345);
	LAUNCHED();
	CUDA(cudaMemcpy(back, device, size, cudaMemcpyDeviceToHost));
	for (size_t i = 0; i < count; i++)
		EXPECT(back[i] == (i % 1024 ? source[i] : source[i] ^ (12345 + i)));
	/* The same asynchronously. */
	memset(back, 0, size);
	CUDA(cudaMemcpyAsync(device, source, size, cudaMemcpyHostToDevice, 0));
	CUDA(cudaMemcpyAsync(back, device, size, cudaMemcpyDeviceToHost, 0));
	CUDA(cudaStreamSynchronize(0));
	EXPECT(!memcmp(source, back, size));
	CUDA(cudaFree(device));
	printf("%s: %zu MiB\n", what, size >> 20);
}

int
main()
{
	const size_t count = 8 << 20;
	std::vector<uint64_t> source(count), back(count);
	there_and_back("pageable", source.data(), back.data(), count);

	uint64_t *pinned_source, *pinned_back;
	CUDA(cudaMallocHost(&pinned_source, count * sizeof(uint64_t)));
	CUDA(cudaMallocHost(&pinned_back, count * sizeof(uint64_t)));
	there_and_back("pinned", pinned_source, pinned_back, count);
	there_and_back("mixed", pinned_source, back.data(), count);
	CUDA(cudaFreeHost(pinned_source));
	CUDA(cudaFreeHost(pinned_back));
	return ok();
}
