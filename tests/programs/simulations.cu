/* Whole small computations: a stencil, a fractal, bodies that attract each other, a random walk. */
#include "program.h"

#include <cmath>

__global__ void
life(const unsigned char *in, unsigned char *out, int width, int height)
{
	__shared__ unsigned char tile[18][18];
	int x = blockIdx.x * 16 + threadIdx.x - 1, y = blockIdx.y * 16 + threadIdx.y - 1;
	tile[threadIdx.y][threadIdx.x] = in[(y + height) % height * width + (x + width) % width];
	__syncthreads();
	bool inside = threadIdx.x > 0 && threadIdx.x < 17 && threadIdx.y > 0 && threadIdx.y < 17;
	if (!inside || x >= width || y >= height)
		return;
	int neighbours = 0;
	for (int dy = -1; dy <= 1; dy++)
		for (int dx = -1; dx <= 1; dx++)
			neighbours += tile[threadIdx.y + dy][threadIdx.x + dx];
	int alive = tile[threadIdx.y][threadIdx.x];
	out[y * width + x] = neighbours == 3 || (alive && neighbours == 4);
}

static void
play_life()
{
	const int width = 96, height = 64, steps = 20;
	std::vector<unsigned char> cells(width * height), next(cells);
	Random random = {131};
	for (unsigned char &cell : cells)
		cell = random.below(3) == 0;
	unsigned char *a = to_device(cells), *b = to_device(cells);
	for (int step = 0; step < steps; step++) {
		life<<<dim3(width / 16, height / 16), dim3(18, 18)>>>(a, b, width, height);
		LAUNCHED();
		std::swap(a, b);
		for (int y = 0; y < height; y++) {
			for (int x = 0; x < width; x++) {
				int n = 0;
				for (int k = 0; k < 9; k++)
					n += cells[(y + k / 3 - 1 + height) % height * width +
						   (x + k % 3 - 1 + width) % width];
				next[y * width + x] = n == 3 || (cells[y * width + x] && n == 4);
			}
		}
		cells.swap(next);
	}
	EXPECT(to_host(a, cells.size()) == cells);
	print_checksum("life", cells);
	CUDA(cudaFree(a));
	CUDA(cudaFree(b));
}

/* Divergent loops; __fmul_rn and __fadd_rn keep the compiler from fusing. */
__global__ void
mandelbrot(unsigned short *out, int width, int height, int limit)
{
	int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
	if (x >= width)
		return;
	float cr = x * (3.0f / 128) - 2.0f, ci = y * (2.0f / 64) - 1.0f, zr = 0, zi = 0;
	int i = 0;
	for (; i < limit; i++) {
		float rr = __fmul_rn(zr, zr), ii = __fmul_rn(zi, zi);
		if (__fadd_rn(rr, ii) > 4.0f)
			break;
		float ri = __fmul_rn(zr, zi);
		zr = __fadd_rn(__fadd_rn(rr, -ii), cr);
		zi = __fadd_rn(__fadd_rn(ri, ri), ci);
	}
	out[y * width + x] = (unsigned short)i;
}

static void
draw_mandelbrot()
{
	const int width = 128, height = 64, limit = 300;
	unsigned short *device;
	CUDA(cudaMalloc(&device, width * height * sizeof(*device)));
	mandelbrot<<<dim3(2, height), 64>>>(device, width, height, limit);
	LAUNCHED();
	std::vector<unsigned short> out = to_host(device, width * height);
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++) {
			volatile float cr = x * (3.0f / 128) - 2.0f, ci = y * (2.0f / 64) - 1.0f;
			volatile float zr = 0, zi = 0, rr, ii, ri;
			int i = 0;
			for (; i < limit; i++) {
				rr = zr * zr;
				ii = zi * zi;
				if (rr + ii > 4.0f)
					break;
				ri = zr * zi;
				zr = rr - ii;
				zr = zr + cr;
				zi = ri + ri;
				zi = zi + ci;
			}
			EXPECT(out[y * width + x] == i);
		}
	}
	print_checksum("mandelbrot", out);
	CUDA(cudaFree(device));
}

/* Forces through shared memory, vector types, rsqrt; compared with doubles. */
__global__ void
attract(const float4 *bodies, float3 *forces, int count)
{
	__shared__ float4 tile[64];
	int i = blockIdx.x * 64 + threadIdx.x;
	float4 me = bodies[i];
	float3 force = make_float3(0, 0, 0);
	for (int start = 0; start < count; start += 64) {
		tile[threadIdx.x] = bodies[start + threadIdx.x];
		__syncthreads();
#pragma unroll 4
		for (int k = 0; k < 64; k++) {
			float dx = tile[k].x - me.x, dy = tile[k].y - me.y, dz = tile[k].z - me.z;
			float inverse = rsqrtf(dx * dx + dy * dy + dz * dz + 0.01f);
			float strength = tile[k].w * inverse * inverse * inverse;
			force.x += dx * strength;
			force.y += dy * strength;
			force.z += dz * strength;
		}
		__syncthreads();
	}
	forces[i] = force;
}

static void
attract_bodies()
{
	const int count = 256;
	Random random = {132};
	std::vector<float4> bodies(count);
	for (float4 &body : bodies)
		body = make_float4(random.below(1000) * 0.01f, random.below(1000) * 0.01f,
				   random.below(1000) * 0.01f, 1.0f + random.below(10));
	float4 *device = to_device(bodies);
	float3 *device_forces;
	CUDA(cudaMalloc(&device_forces, count * sizeof(float3)));
	attract<<<count / 64, 64>>>(device, device_forces, count);
	LAUNCHED();
	std::vector<float3> forces = to_host(device_forces, count);
	for (int i = 0; i < count; i++) {
		double x = 0, y = 0, z = 0;
		for (const float4 &other : bodies) {
			double dx = other.x - bodies[i].x, dy = other.y - bodies[i].y;
			double dz = other.z - bodies[i].z;
			double r = 1 / sqrt(dx * dx + dy * dy + dz * dz + 0.01);
			x += dx * other.w * r * r * r;
			y += dy * other.w * r * r * r;
			z += dz * other.w * r * r * r;
		}
		double tolerance = 1e-3 * (1 + fabs(x) + fabs(y) + fabs(z));
		EXPECT(fabs(forces[i].x - x) < tolerance && fabs(forces[i].y - y) < tolerance &&
		       fabs(forces[i].z - z) < tolerance);
	}
	printf("bodies\n");
	CUDA(cudaFree(device));
	CUDA(cudaFree(device_forces));
}

/* Each thread throws darts; only integers decide. */
__global__ void
throw_darts(unsigned long long *inside, int throws)
{
	unsigned long long state = blockIdx.x * blockDim.x + threadIdx.x + 1;
	unsigned hits = 0;
	for (int i = 0; i < throws; i++) {
		state = state * 6364136223846793005ull + 1442695040888963407ull;
		unsigned long long x = state >> 48, y = state >> 32 & 0xffff;
		hits += x * x + y * y < 0x100000000ull;
	}
	atomicAdd(inside, (unsigned long long)hits);
}

static void
estimate_pi()
{
	const int threads = 1024, throws = 200;
	unsigned long long *device, expected = 0;
	CUDA(cudaMalloc(&device, sizeof(*device)));
	CUDA(cudaMemset(device, 0, sizeof(*device)));
	throw_darts<<<threads / 128, 128>>>(device, throws);
	LAUNCHED();
	for (unsigned long long thread = 1; thread <= threads; thread++) {
		unsigned long long state = thread;
		for (int i = 0; i < throws; i++) {
			state = state * 6364136223846793005ull + 1442695040888963407ull;
			unsigned long long x = state >> 48, y = state >> 32 & 0xffff;
			expected += x * x + y * y < 0x100000000ull;
		}
	}
	unsigned long long inside = to_host(device, 1)[0];
	printf("darts: %llu of %d\n", inside, threads * throws);
	EXPECT(inside == expected);
	CUDA(cudaFree(device));
}

int
main()
{
	play_life();
	draw_mandelbrot();
	attract_bodies();
	estimate_pi();
	return ok();
}
