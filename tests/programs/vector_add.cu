/* The first program of every CUDA course. */
#include "program.h"

__global__ void
add(const float *a, const float *b, float *c, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		c[i] = a[i] + b[i];
}

int
main()
{
	const int count = 50000; /* no multiple of the block size */
	std::vector<float> a(count), b(count);
	for (int i = 0; i < count; i++) {
		a[i] = (float)i * 0.5f;
		b[i] = (float)(count - i) * 0.25f;
	}
	float *device_a = to_device(a), *device_b = to_device(b), *device_c;
	CUDA(cudaMalloc(&device_c, count * sizeof(float)));
	add<<<(count + 255) / 256, 256>>>(device_a, device_b, device_c, count);
	LAUNCHED();
	std::vector<float> c = to_host(device_c, count);
	for (int i = 0; i < count; i++)
		EXPECT(c[i] == a[i] + b[i]);
	print_checksum("sum", c);
	CUDA(cudaFree(device_a));
	CUDA(cudaFree(device_b));
	CUDA(cudaFree(device_c));
	return ok();
}
