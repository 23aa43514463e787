/* Blocks of many sizes up to the device and back, each twice, the second time changed: from
 * pageable and from pinned memory, in one piece and in pieces. */
#include "program.h"

#include <cstring>

static void
fill(std::vector<unsigned char> &bytes, uint64_t seed)
{
	Random random = {seed};
	for (size_t i = 0; i + 4 <= bytes.size(); i += 4) {
		uint32_t word = random.next();
		memcpy(&bytes[i], &word, 4);
	}
}

static void
up_and_down(void *device, const void *host, size_t size)
{
	std::vector<unsigned char> back(size);
	CUDA(cudaMemset(device, 0, size));
	CUDA(cudaMemcpy(device, host, size, cudaMemcpyHostToDevice));
	CUDA(cudaMemcpy(back.data(), device, size, cudaMemcpyDeviceToHost));
	EXPECT(memcmp(back.data(), host, size) == 0);
}

int
main()
{
	/* whole chunks, less, more, one that makes two commands */
	static const size_t sizes[] = {1 << 20,           65536,   65535, 70004, (3 << 20) + 20000,
				       (2 << 20) + 65536, 68 << 20};
	uint64_t seed = 1;
	for (size_t size : sizes) {
		std::vector<unsigned char> host(size);
		void *device, *pinned;
		fill(host, seed++);
		CUDA(cudaMalloc(&device, size));
		up_and_down(device, host.data(), size);
		if (size < 4 << 20) {
			CUDA(cudaMallocHost(&pinned, size));
			memcpy(pinned, host.data(), size);
			up_and_down(device, pinned, size);
			CUDA(cudaFreeHost(pinned));
		}
		/* one byte, in the last chunk */
		host[size - 1]++;
		up_and_down(device, host.data(), size);
		/* what comes later in the stream sees it */
		cudaStream_t stream;
		unsigned char last = 0;
		CUDA(cudaStreamCreate(&stream));
		host[size - 1]--;
		CUDA(cudaMemcpyAsync(device, host.data(), size, cudaMemcpyHostToDevice, stream));
		CUDA(cudaMemcpyAsync(&last, (char *)device + size - 1, 1, cudaMemcpyDeviceToHost,
				     stream));
		CUDA(cudaStreamSynchronize(stream));
		EXPECT(last == host[size - 1]);
		CUDA(cudaStreamDestroy(stream));
		CUDA(cudaFree(device));
	}
	return ok();
}
