/* OpenMP on the host: every thread of a team has a stream, buffers and a part of the work. */
#include "program.h"

#include <omp.h>

constexpr int PARTS = 12, SIZE = 4096;

__global__ void
step(int *values, int part)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	values[i] = values[i] * 3 + part;
}

int
main()
{
	std::vector<int> values = random_ints(PARTS * SIZE, 1000, 4), results(PARTS * SIZE);
	int threads = 0, wrong = 0;
#pragma omp parallel num_threads(4) reduction(+ : wrong)
	{
#pragma omp single
		threads = omp_get_num_threads();
		cudaStream_t stream;
		int *pinned, *device;
		wrong += cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess;
		wrong += cudaMallocHost(&pinned, SIZE * sizeof(int)) != cudaSuccess;
		wrong += cudaMallocAsync((void **)&device, SIZE * sizeof(int), stream) !=
			 cudaSuccess;
#pragma omp for schedule(dynamic)
		for (int part = 0; part < PARTS; part++) {
			if (wrong)
				continue; /* pinned may not be there */
			for (int i = 0; i < SIZE; i++)
				pinned[i] = values[part * SIZE + i];
			cudaMemcpyAsync(device, pinned, SIZE * sizeof(int), cudaMemcpyHostToDevice,
					stream);
			for (int k = 0; k < 5; k++)
				step<<<SIZE / 128, 128, 0, stream>>>(device, part);
			cudaMemcpyAsync(pinned, device, SIZE * sizeof(int), cudaMemcpyDeviceToHost,
					stream);
			wrong += cudaStreamSynchronize(stream) != cudaSuccess;
			for (int i = 0; i < SIZE; i++)
				results[part * SIZE + i] = pinned[i];
		}
		wrong += cudaFreeAsync(device, stream) != cudaSuccess;
		wrong += cudaStreamSynchronize(stream) != cudaSuccess;
		wrong += cudaFreeHost(pinned) != cudaSuccess;
		wrong += cudaStreamDestroy(stream) != cudaSuccess;
	}
	EXPECT(threads == 4 && wrong == 0);
	for (int i = 0; i < PARTS * SIZE; i++) {
		int x = values[i];
		for (int k = 0; k < 5; k++)
			x = x * 3 + i / SIZE;
		EXPECT(results[i] == x);
	}
	print_checksum("results", results);
	return ok();
}
