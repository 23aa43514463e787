/* A matrix product through tiles in shared memory, and a transposition without bank conflicts. */
#include "program.h"

constexpr int TILE = 16;

__global__ void
multiply(const float *a, const float *b, float *c, int size)
{
	__shared__ float tile_a[TILE][TILE], tile_b[TILE][TILE];
	int row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
	float sum = 0.0f;
	for (int t = 0; t < size; t += TILE) {
		bool in_a = row < size && t + threadIdx.x < size;
		bool in_b = t + threadIdx.y < size && column < size;
		tile_a[threadIdx.y][threadIdx.x] = in_a ? a[row * size + t + threadIdx.x] : 0.0f;
		tile_b[threadIdx.y][threadIdx.x] =
			in_b ? b[(t + threadIdx.y) * size + column] : 0.0f;
		__syncthreads();
		for (int k = 0; k < TILE; k++)
			sum += tile_a[threadIdx.y][k] * tile_b[k][threadIdx.x];
		__syncthreads();
	}
	if (row < size && column < size)
		c[row * size + column] = sum;
}

__global__ void
transpose(const float *in, float *out, int size)
{
	__shared__ float tile[TILE][TILE + 1];
	int x = blockIdx.x * TILE + threadIdx.x, y = blockIdx.y * TILE + threadIdx.y;
	if (x < size && y < size)
		tile[threadIdx.y][threadIdx.x] = in[y * size + x];
	__syncthreads();
	x = blockIdx.y * TILE + threadIdx.x;
	y = blockIdx.x * TILE + threadIdx.y;
	if (x < size && y < size)
		out[y * size + x] = tile[threadIdx.x][threadIdx.y];
}

int
main()
{
	const int size = 150; /* no multiple of the tile */
	std::vector<float> a(size * size), b(size * size);
	Random random = {11};
	for (float &value : a)
		value = (float)random.below(64) - 32.0f;
	for (float &value : b)
		value = (float)random.below(64) - 32.0f;
	float *device_a = to_device(a), *device_b = to_device(b), *device_c;
	CUDA(cudaMalloc(&device_c, size * size * sizeof(float)));
	dim3 grid((size + TILE - 1) / TILE, (size + TILE - 1) / TILE), block(TILE, TILE);
	multiply<<<grid, block>>>(device_a, device_b, device_c, size);
	LAUNCHED();
	std::vector<float> c = to_host(device_c, size * size);
	for (int row = 0; row < size; row++) {
		for (int column = 0; column < size; column++) {
			/* Small integers: exact in any order of summation. */
			float sum = 0.0f;
			for (int k = 0; k < size; k++)
				sum += a[row * size + k] * b[k * size + column];
			EXPECT(c[row * size + column] == sum);
		}
	}
	print_checksum("product", c);

	transpose<<<grid, block>>>(device_c, device_a, size);
	LAUNCHED();
	std::vector<float> transposed = to_host(device_a, size * size);
	for (int y = 0; y < size; y++)
		for (int x = 0; x < size; x++)
			EXPECT(transposed[y * size + x] == c[x * size + y]);
	CUDA(cudaFree(device_a));
	CUDA(cudaFree(device_b));
	CUDA(cudaFree(device_c));
	return ok();
}
