/* Many launches and one wait. tests/run counts the round trips: `many_launches 100` has as many. */
#include "program.h"

__global__ void
increment(unsigned *values, unsigned by)
{
	values[threadIdx.x] += by;
}

int
main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 10000;
	unsigned *device, host[32], expected = 0;
	CUDA(cudaMalloc(&device, sizeof(host)));
	CUDA(cudaMemset(device, 0, sizeof(host)));
	for (int i = 0; i < count; i++) {
		increment<<<1, 32>>>(device, i);
		LAUNCHED();
		expected += i;
	}
	CUDA(cudaDeviceSynchronize());
	CUDA(cudaMemcpy(host, device, sizeof(host), cudaMemcpyDeviceToHost));
	for (unsigned value : host)
		EXPECT(value == expected);
	CUDA(cudaFree(device));
	return ok();
}
