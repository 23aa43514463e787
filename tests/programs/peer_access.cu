/* Two devices: copies between them, and kernels of one that use memory of the other. */
#include "program.h"

__global__ void
add(const int *from, int *to, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		to[i] += from[i];
}

int
main()
{
	int devices, can = 1;
	CUDA(cudaGetDeviceCount(&devices));
	CUDA(cudaDeviceCanAccessPeer(&can, 0, 0));
	EXPECT(can == 0);
	if (devices < 2)
		skip("there is one device");
	CUDA(cudaDeviceCanAccessPeer(&can, 0, 1));

	const int count = 700000;
	std::vector<int> values = random_ints(count, 1 << 20, 9);
	int *first, *second;
	CUDA(cudaSetDevice(1));
	CUDA(cudaMalloc(&second, count * sizeof(int)));
	CUDA(cudaMemset(second, 0, count * sizeof(int)));
	CUDA(cudaDeviceSynchronize());
	CUDA(cudaSetDevice(0));
	first = to_device(values);
	CUDA(cudaMemcpyPeer(second, 1, first, 0, count * sizeof(int)));
	CUDA(cudaMemcpyPeerAsync(first, 0, second, 1, count * sizeof(int), 0));
	CUDA(cudaDeviceSynchronize());
	EXPECT(to_host(first, count) == values);
	printf("copies: fine\n");
	if (can) {
		CUDA(cudaDeviceEnablePeerAccess(1, 0));
		EXPECT_ERROR(cudaDeviceEnablePeerAccess(1, 0), cudaErrorPeerAccessAlreadyEnabled);
		(void)cudaGetLastError();
		add<<<(count + 255) / 256, 256>>>(second, first, count);
		LAUNCHED();
		add<<<(count + 255) / 256, 256>>>(first, second, count);
		LAUNCHED();
		CUDA(cudaDeviceSynchronize());
		std::vector<int> got = to_host(second, count);
		for (int i = 0; i < count; i++)
			EXPECT(got[i] == 3 * values[i]);
		CUDA(cudaDeviceDisablePeerAccess(1));
		EXPECT_ERROR(cudaDeviceDisablePeerAccess(1), cudaErrorPeerAccessNotEnabled);
		(void)cudaGetLastError();
	}
	printf("kernels: fine\n");
	EXPECT_ERROR(cudaDeviceEnablePeerAccess(0, 0), cudaErrorPeerAccessUnsupported);
	(void)cudaGetLastError();
	CUDA(cudaFree(first));
	CUDA(cudaFree(second));
	return ok();
}
