/* Texture and surface references: the textures of CUDA before 12, variables bound to memory. Built
 * and run by tests/releases, with a compiler that still has them. */
#include "program.h"

#include <cmath>
#include <vector>

texture<float, 1, cudaReadModeElementType> linear;
texture<uchar4, 2, cudaReadModeNormalizedFloat> image;
texture<float, 2, cudaReadModeElementType> pitched;
surface<void, 2> canvas;

__global__ void
read_linear(float *out, int n, int first)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;

	if (i < n)
		out[i] = tex1Dfetch(linear, first + i) * 2;
}

__global__ void
read_image(float4 *out, int width)
{
	int x = threadIdx.x, y = blockIdx.x;

	out[y * width + x] = tex2D(image, x + 0.5f, y + 0.5f);
}

__global__ void
read_pitched(float *out, int width)
{
	int x = threadIdx.x, y = blockIdx.x;

	out[y * width + x] = tex2D(pitched, x + 0.5f, y + 0.5f);
}

__global__ void
paint(int width)
{
	int x = threadIdx.x, y = blockIdx.x;

	surf2Dwrite((float)(y * width + x), canvas, x * (int)sizeof(float), y);
}

static void
linear_memory()
{
	constexpr int n = 1000;
	std::vector<float> in(n), out(n);
	float *a, *b, *c;
	size_t offset = 77;

	CUDA(cudaMalloc(&a, n * sizeof(float)));
	CUDA(cudaMalloc(&b, n * sizeof(float)));
	CUDA(cudaMalloc(&c, n * sizeof(float)));
	for (int i = 0; i < n; i++)
		in[i] = i * 0.25f;
	CUDA(cudaMemcpy(a, in.data(), n * sizeof(float), cudaMemcpyHostToDevice));
	CUDA(cudaBindTexture(&offset, linear, a, n * sizeof(float)));
	EXPECT(offset == 0);
	read_linear<<<(n + 127) / 128, 128>>>(c, n, 0);
	/* bound to something else: the launch before still reads the first */
	CUDA(cudaMemset(b, 0, n * sizeof(float)));
	CUDA(cudaBindTexture(&offset, linear, b, n * sizeof(float)));
	CUDA(cudaMemcpy(out.data(), c, n * sizeof(float), cudaMemcpyDeviceToHost));
	bool right = true;
	for (int i = 0; i < n; i++)
		right = right && out[i] == in[i] * 2;
	EXPECT(right);
	read_linear<<<(n + 127) / 128, 128>>>(c, n, 0);
	CUDA(cudaMemcpy(out.data(), c, n * sizeof(float), cudaMemcpyDeviceToHost));
	EXPECT(out[1] == 0 && out[n - 1] == 0);

	/* An address that is not aligned: the offset says where it is. */
	CUDA(cudaBindTexture(&offset, linear, a + 3, (n - 3) * sizeof(float)));
	EXPECT(offset % sizeof(float) == 0);
	read_linear<<<1, 128>>>(c, 100, (int)(offset / sizeof(float)));
	CUDA(cudaMemcpy(out.data(), c, n * sizeof(float), cudaMemcpyDeviceToHost));
	right = true;
	for (int i = 0; i < 100; i++)
		right = right && out[i] == in[i + 3] * 2;
	EXPECT(right);
	CUDA(cudaUnbindTexture(linear));
}

static void
arrays()
{
	constexpr int width = 32, height = 8;
	std::vector<uchar4> in(width * height);
	std::vector<float4> out(width * height);
	float4 *result;
	cudaArray_t array;

	for (int i = 0; i < width * height; i++)
		in[i] = make_uchar4(i & 255, 255 - (i & 255), 0, 255);
	CUDA(cudaMalloc(&result, width * height * sizeof(float4)));
	CUDA(cudaMallocArray(&array, &image.channelDesc, width, height));
	CUDA(cudaMemcpy2DToArray(array, 0, 0, in.data(), width * 4, width * 4, height,
				 cudaMemcpyHostToDevice));
	image.addressMode[0] = image.addressMode[1] = cudaAddressModeClamp;
	image.filterMode = cudaFilterModePoint;
	image.normalized = 0;
	CUDA(cudaBindTextureToArray(image, array));
	read_image<<<height, width>>>(result, width);
	CUDA(cudaMemcpy(out.data(), result, out.size() * sizeof(float4), cudaMemcpyDeviceToHost));
	bool right = true;
	for (int i = 0; i < width * height; i++)
		right = right && std::fabs(out[i].x - in[i].x / 255.0f) < 1e-6f &&
			std::fabs(out[i].y - in[i].y / 255.0f) < 1e-6f && out[i].z == 0 &&
			out[i].w == 1;
	EXPECT(right);
	CUDA(cudaUnbindTexture(image));
	CUDA(cudaFreeArray(array));
}

static void
pitched_memory()
{
	constexpr int width = 48, height = 10;
	std::vector<float> in(width * height), out(width * height);
	float *result;
	size_t pitch, offset;
	float *memory;

	for (int i = 0; i < width * height; i++)
		in[i] = i - 100.0f;
	CUDA(cudaMalloc(&result, width * height * sizeof(float)));
	CUDA(cudaMallocPitch(&memory, &pitch, width * sizeof(float), height));
	CUDA(cudaMemcpy2D(memory, pitch, in.data(), width * 4, width * 4, height,
			  cudaMemcpyHostToDevice));
	CUDA(cudaBindTexture2D(&offset, pitched, memory, width, height, pitch));
	read_pitched<<<height, width>>>(result, width);
	CUDA(cudaMemcpy(out.data(), result, out.size() * sizeof(float), cudaMemcpyDeviceToHost));
	EXPECT(out == in);
	CUDA(cudaFree(memory));
}

static void
surfaces()
{
	constexpr int width = 16, height = 16;
	cudaChannelFormatDesc format = cudaCreateChannelDesc<float>();
	std::vector<float> out(width * height);
	cudaArray_t array;

	CUDA(cudaMallocArray(&array, &format, width, height, cudaArraySurfaceLoadStore));
	CUDA(cudaBindSurfaceToArray(canvas, array));
	paint<<<height, width>>>(width);
	CUDA(cudaMemcpy2DFromArray(out.data(), width * 4, array, 0, 0, width * 4, height,
				   cudaMemcpyDeviceToHost));
	bool right = true;
	for (int i = 0; i < width * height; i++)
		right = right && out[i] == (float)i;
	EXPECT(right);
	CUDA(cudaFreeArray(array));
}

int
main()
{
	linear_memory();
	arrays();
	pitched_memory();
	surfaces();
	return ok();
}
