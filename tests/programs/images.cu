/*
 * Pictures: histogram and equalisation, separable blur from constant memory, edges, a median by a
 * sorting network, and the cosine transform of JPEG with integers.
 */
#include "program.h"

#include <algorithm>

constexpr int WIDTH = 160, HEIGHT = 120, RADIUS = 4;

__constant__ int weights[2 * RADIUS + 1];

__global__ void
histogram(const uchar4 *pixels, int count, unsigned *bins)
{
	__shared__ unsigned local[256];
	for (int i = threadIdx.x; i < 256; i += blockDim.x)
		local[i] = 0;
	__syncthreads();
	for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count;
	     i += gridDim.x * blockDim.x) {
		uchar4 p = pixels[i];
		atomicAdd(&local[p.x], 1u);
		atomicAdd(&local[p.y], 1u);
		atomicAdd(&local[p.z], 1u);
		atomicAdd(&local[p.w], 1u);
	}
	__syncthreads();
	for (int i = threadIdx.x; i < 256; i += blockDim.x)
		if (local[i])
			atomicAdd(&bins[i], local[i]);
}

template <bool ROWS>
__global__ void
blur(const unsigned char *in, unsigned char *out)
{
	int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
	if (x >= WIDTH || y >= HEIGHT)
		return;
	int sum = 0, total = 0;
#pragma unroll
	for (int k = -RADIUS; k <= RADIUS; k++) {
		int xx = ROWS ? min(max(x + k, 0), WIDTH - 1) : x;
		int yy = ROWS ? y : min(max(y + k, 0), HEIGHT - 1);
		sum += weights[k + RADIUS] * __ldg(&in[yy * WIDTH + xx]);
		total += weights[k + RADIUS];
	}
	out[y * WIDTH + x] = (unsigned char)((sum + total / 2) / total);
}

/* Rows of shared memory of a size that the launch decides. */
__global__ void
edges(const unsigned char *in, unsigned char *out)
{
	extern __shared__ unsigned char tile[];
	int w = blockDim.x + 2, x0 = blockIdx.x * blockDim.x, y0 = blockIdx.y * blockDim.y;
	for (int i = threadIdx.y * blockDim.x + threadIdx.x; i < w * (int)(blockDim.y + 2);
	     i += blockDim.x * blockDim.y) {
		int x = min(max(x0 + i % w - 1, 0), WIDTH - 1);
		int y = min(max(y0 + i / w - 1, 0), HEIGHT - 1);
		tile[i] = in[y * WIDTH + x];
	}
	__syncthreads();
	const unsigned char *p = &tile[(threadIdx.y + 1) * w + threadIdx.x + 1];
	int gx = p[1 - w] + 2 * p[1] + p[1 + w] - p[-1 - w] - 2 * p[-1] - p[-1 + w];
	int gy = p[w - 1] + 2 * p[w] + p[w + 1] - p[-w - 1] - 2 * p[-w] - p[-w + 1];
	int x = x0 + threadIdx.x, y = y0 + threadIdx.y;
	if (x < WIDTH && y < HEIGHT)
		out[y * WIDTH + x] = (unsigned char)min(abs(gx) + abs(gy), 255);
}

__device__ static void
order(unsigned char &a, unsigned char &b)
{
	unsigned char low = min(a, b);
	b = max(a, b);
	a = low;
}

__global__ void
median(const unsigned char *in, unsigned char *out)
{
	int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
	if (x >= WIDTH || y >= HEIGHT)
		return;
	unsigned char v[9];
	for (int i = 0; i < 9; i++)
		v[i] = in[min(max(y + i / 3 - 1, 0), HEIGHT - 1) * WIDTH +
			  min(max(x + i % 3 - 1, 0), WIDTH - 1)];
#pragma unroll
	for (int pass = 0; pass < 9; pass++)
#pragma unroll
		for (int i = pass % 2; i + 1 < 9; i += 2)
			order(v[i], v[i + 1]);
	out[y * WIDTH + x] = v[4];
}

/* Eight by eight, rows then columns, with cosines of 14 bits of fraction. */
__device__ const short cosines[8][8] = {
	{8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192},
	{11363, 9633, 6437, 2260, -2260, -6437, -9633, -11363},
	{10703, 4433, -4433, -10703, -10703, -4433, 4433, 10703},
	{9633, -2260, -11363, -6437, 6437, 11363, 2260, -9633},
	{8192, -8192, -8192, 8192, 8192, -8192, -8192, 8192},
	{6437, -11363, 2260, 9633, -9633, -2260, 11363, -6437},
	{4433, -10703, 10703, -4433, -4433, 10703, -10703, 4433},
	{2260, -6437, 9633, -11363, 11363, -9633, 6437, -2260},
};

__global__ void
cosine_transform(const unsigned char *in, short *out)
{
	__shared__ int block[8][9];
	int x = blockIdx.x * 8 + threadIdx.x, y = blockIdx.y * 8 + threadIdx.y, sum = 0;
	block[threadIdx.y][threadIdx.x] = in[y * WIDTH + x] - 128;
	__syncthreads();
	for (int k = 0; k < 8; k++)
		sum += cosines[threadIdx.x][k] * block[threadIdx.y][k];
	__syncthreads();
	block[threadIdx.y][threadIdx.x] = (sum + 1024) >> 11;
	__syncthreads();
	sum = 0;
	for (int k = 0; k < 8; k++)
		sum += cosines[threadIdx.y][k] * block[k][threadIdx.x];
	out[y * WIDTH + x] = (short)((sum + (1 << 16)) >> 17);
}

int
main()
{
	std::vector<unsigned char> picture(WIDTH * HEIGHT), result;
	Random random = {3};
	for (int i = 0; i < WIDTH * HEIGHT; i++)
		picture[i] =
			(unsigned char)((i % WIDTH + 2 * (i / WIDTH)) % 200 + random.below(40));
	unsigned char *in = to_device(picture), *middle, *out;
	unsigned *bins;
	CUDA(cudaMalloc(&middle, picture.size()));
	CUDA(cudaMalloc(&out, picture.size()));
	CUDA(cudaMalloc(&bins, 256 * sizeof(unsigned)));
	dim3 block(32, 8), grid((WIDTH + 31) / 32, (HEIGHT + 7) / 8);

	CUDA(cudaMemset(bins, 0, 256 * sizeof(unsigned)));
	histogram<<<5, 96>>>((const uchar4 *)in, WIDTH * HEIGHT / 4, bins);
	LAUNCHED();
	std::vector<unsigned> counted = to_host(bins, 256), expected(256);
	for (unsigned char pixel : picture)
		expected[pixel]++;
	EXPECT(counted == expected);
	print_checksum("histogram", counted);

	const int host_weights[2 * RADIUS + 1] = {1, 8, 28, 56, 70, 56, 28, 8, 1};
	CUDA(cudaMemcpyToSymbol(weights, host_weights, sizeof(host_weights)));
	blur<true><<<grid, block>>>(in, middle);
	blur<false><<<grid, block>>>(middle, out);
	LAUNCHED();
	std::vector<unsigned char> rows(picture.size()), blurred(picture.size());
	for (int pass = 0; pass < 2; pass++) {
		const std::vector<unsigned char> &from = pass ? rows : picture;
		for (int i = 0; i < WIDTH * HEIGHT; i++) {
			int x = i % WIDTH, y = i / WIDTH, sum = 128;
			for (int k = -RADIUS; k <= RADIUS; k++) {
				int xx = pass ? x : std::min(std::max(x + k, 0), WIDTH - 1);
				int yy = pass ? std::min(std::max(y + k, 0), HEIGHT - 1) : y;
				sum += host_weights[k + RADIUS] * from[yy * WIDTH + xx];
			}
			(pass ? blurred : rows)[i] = (unsigned char)(sum / 256);
		}
	}
	EXPECT(to_host(out, picture.size()) == blurred);
	print_checksum("blur", blurred);

	edges<<<grid, block, (block.x + 2) * (block.y + 2)>>>(in, out);
	LAUNCHED();
	print_checksum("edges", to_host(out, picture.size()));
	median<<<grid, block>>>(in, out);
	LAUNCHED();
	result = to_host(out, picture.size());
	for (int i = 0; i < WIDTH * HEIGHT; i++) {
		unsigned char v[9];
		for (int k = 0; k < 9; k++)
			v[k] = picture[std::min(std::max(i / WIDTH + k / 3 - 1, 0), HEIGHT - 1) *
					       WIDTH +
				       std::min(std::max(i % WIDTH + k % 3 - 1, 0), WIDTH - 1)];
		std::nth_element(v, v + 4, v + 9);
		EXPECT(v[4] == result[i]);
	}
	print_checksum("median", result);
	short *coefficients;
	CUDA(cudaMalloc(&coefficients, picture.size() * sizeof(short)));
	cosine_transform<<<dim3(WIDTH / 8, HEIGHT / 8), dim3(8, 8)>>>(in, coefficients);
	LAUNCHED();
	print_checksum("cosines", to_host(coefficients, picture.size()));
	return ok();
}
