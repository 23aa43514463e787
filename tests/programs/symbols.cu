/* Variables on the device: __device__, __constant__, initialised, arrays and structs. */
#include "program.h"

#include <cstring>

struct Pair {
	short first;
	double second;
};

__device__ float offsets[16];
__device__ int counter = 5;
__device__ Pair pair = {3, 0.5};
__constant__ int weights[4];
__constant__ float table[8] = {1, 2, 4, 8, 16, 32, 64, 128};
static __device__ unsigned char bytes[5] = {1, 2, 3, 4, 5};

__global__ void
saxpy(int count, float a, const float *x, float *y)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		y[i] = a * x[i] + y[i] + offsets[i & 15] + weights[i & 3] + table[i & 7];
}

__global__ void
change_variables()
{
	counter += 37;
	pair.first += 1;
	pair.second *= 8;
	for (int i = 0; i < 5; i++)
		bytes[i] = bytes[i] * 2;
}

int
main()
{
	const int count = 1024;
	float host_offsets[16];
	int host_weights[4] = {10, 20, 30, 40};
	for (int i = 0; i < 16; i++)
		host_offsets[i] = (float)i * 100;
	CUDA(cudaMemcpyToSymbol(offsets, host_offsets, sizeof(host_offsets)));
	CUDA(cudaMemcpyToSymbol(weights, host_weights, sizeof(host_weights)));
	/* A part, with an offset. */
	host_weights[2] = 33;
	CUDA(cudaMemcpyToSymbol(weights, &host_weights[2], sizeof(int), 2 * sizeof(int)));

	std::vector<float> x(count), y(count, 1.0f);
	for (int i = 0; i < count; i++)
		x[i] = (float)i;
	float *device_x = to_device(x), *device_y = to_device(y);
	saxpy<<<4, 256>>>(count, 2.0f, device_x, device_y);
	LAUNCHED();
	y = to_host(device_y, count);
	for (int i = 0; i < count; i++)
		EXPECT(y[i] == 2.0f * (float)i + 1.0f + host_offsets[i & 15] +
				       (float)host_weights[i & 3] + (float)(1 << (i & 7)));
	print_checksum("saxpy", y);

	change_variables<<<1, 1>>>();
	LAUNCHED();
	int host_counter;
	Pair host_pair;
	unsigned char host_bytes[5];
	CUDA(cudaMemcpyFromSymbol(&host_counter, counter, sizeof(host_counter)));
	CUDA(cudaMemcpyFromSymbol(&host_pair, pair, sizeof(host_pair)));
	CUDA(cudaMemcpyFromSymbol(host_bytes, bytes, sizeof(host_bytes)));
	printf("counter %d, pair %d %.1f, bytes %d..%d\n", host_counter, host_pair.first,
	       host_pair.second, host_bytes[0], host_bytes[4]);
	EXPECT(host_counter == 42 && host_pair.first == 4 && host_pair.second == 4.0);
	EXPECT(host_bytes[0] == 2 && host_bytes[4] == 10);

	/* The address of a variable works like any device address. */
	void *address;
	size_t size;
	CUDA(cudaGetSymbolAddress(&address, counter));
	CUDA(cudaGetSymbolSize(&size, offsets));
	EXPECT(size == sizeof(host_offsets));
	CUDA(cudaGetSymbolSize(&size, bytes));
	EXPECT(size == 5);
	int value = 1000;
	CUDA(cudaMemcpy(address, &value, sizeof(value), cudaMemcpyHostToDevice));
	change_variables<<<1, 1>>>();
	LAUNCHED();
	CUDA(cudaMemcpyFromSymbol(&host_counter, counter, sizeof(host_counter)));
	EXPECT(host_counter == 1037);
	CUDA(cudaGetSymbolAddress(&address, table));
	float part[2];
	CUDA(cudaMemcpy(part, (float *)address + 3, sizeof(part), cudaMemcpyDeviceToHost));
	EXPECT(part[0] == 8.0f && part[1] == 16.0f);
	return ok();
}
