/* Host memory that kernels read and write in place. */
#include "program.h"

__global__ void
square(const int *in, int *out, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		out[i] = in[i] * in[i];
}

int
main()
{
	int supported;
	CUDA(cudaDeviceGetAttribute(&supported, cudaDevAttrCanMapHostMemory, 0));
	if (!supported)
		skip("the device cannot map host memory");

	const int count = 3000;
	int *in, *out, *device_in, *device_out;
	CUDA(cudaHostAlloc(&in, count * sizeof(int), cudaHostAllocMapped));
	CUDA(cudaHostAlloc(&out, count * sizeof(int), cudaHostAllocMapped));
	cudaError_t error = cudaHostGetDevicePointer(&device_in, in, 0);
	if (error == cudaErrorNotSupported)
		skip("mapped host memory is not supported here");
	CUDA(error);
	CUDA(cudaHostGetDevicePointer(&device_out, out, 0));
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < count; i++) {
			in[i] = i + round;
			out[i] = -1;
		}
		square<<<(count + 127) / 128, 128>>>(device_in, device_out, count);
		LAUNCHED();
		CUDA(cudaDeviceSynchronize());
		for (int i = 0; i < count; i++)
			EXPECT(out[i] == (i + round) * (i + round));
	}
	printf("squares: %016llx\n", (unsigned long long)checksum(out, count * sizeof(int)));

	unsigned flags;
	CUDA(cudaHostGetFlags(&flags, in));
	EXPECT(flags & cudaHostAllocMapped);
	cudaPointerAttributes attributes;
	CUDA(cudaPointerGetAttributes(&attributes, in));
	EXPECT(attributes.type == cudaMemoryTypeHost);
	EXPECT(attributes.devicePointer == device_in);

	/* One side pinned, the other on the device. */
	int *device;
	CUDA(cudaMalloc(&device, count * sizeof(int)));
	square<<<(count + 127) / 128, 128>>>(device_in, device, count);
	LAUNCHED();
	EXPECT(to_host(device, count)[100] == 102 * 102);
	CUDA(cudaFree(device));
	CUDA(cudaFreeHost(in));
	CUDA(cudaFreeHost(out));
	return ok();
}
