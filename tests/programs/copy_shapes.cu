/* Copies and fills of every shape: pitched, two and three dimensions, device to device, overlapping
 * rows. */
#include "program.h"

#include <cstring>

static void
two_dimensions()
{
	const int width = 100, height = 37, host_pitch = 128;
	std::vector<unsigned char> source(host_pitch * height), back(host_pitch * height, 0xee);
	for (size_t i = 0; i < source.size(); i++)
		source[i] = (unsigned char)(i * 7 + i / 128);
	unsigned char *a, *b;
	size_t pitch_a, pitch_b;
	CUDA(cudaMallocPitch(&a, &pitch_a, width, height));
	CUDA(cudaMallocPitch(&b, &pitch_b, width + 400, height));
	EXPECT(pitch_a >= (size_t)width && pitch_b >= (size_t)width + 400);
	CUDA(cudaMemset2D(b, pitch_b, 0x5a, width + 400, height));
	CUDA(cudaMemcpy2D(a, pitch_a, source.data(), host_pitch, width, height,
			  cudaMemcpyHostToDevice));
	CUDA(cudaMemcpy2D(b + 3, pitch_b, a, pitch_a, width, height, cudaMemcpyDeviceToDevice));
	CUDA(cudaMemcpy2D(back.data(), host_pitch, b, pitch_b, width + 6, height,
			  cudaMemcpyDeviceToHost));
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++)
			EXPECT(back[y * host_pitch + 3 + x] == source[y * host_pitch + x]);
		for (int x : {0, 1, 2, width + 3, width + 4, width + 5})
			EXPECT(back[y * host_pitch + x] == 0x5a);
		for (int x = width + 6; x < host_pitch; x++)
			EXPECT(back[y * host_pitch + x] == 0xee);
	}
	print_checksum("two dimensions", back);
	CUDA(cudaFree(a));
	CUDA(cudaFree(b));
}

static void
three_dimensions()
{
	const int width = 20, height = 6, depth = 5;
	std::vector<int> source(width * height * depth), back(source.size(), -1);
	for (size_t i = 0; i < source.size(); i++)
		source[i] = (int)i;
	cudaExtent extent = make_cudaExtent(width * sizeof(int), height, depth);
	cudaPitchedPtr a, b;
	CUDA(cudaMalloc3D(&a, extent));
	CUDA(cudaMalloc3D(&b, extent));
	CUDA(cudaMemset3D(b, 0, extent));

	cudaMemcpy3DParms up = {};
	up.srcPtr = make_cudaPitchedPtr(source.data(), width * sizeof(int), width, height);
	up.dstPtr = a;
	up.extent = extent;
	up.kind = cudaMemcpyHostToDevice;
	CUDA(cudaMemcpy3D(&up));

	/* A box of 10 x 3 x 2 to another corner. */
	cudaMemcpy3DParms across = {};
	across.srcPtr = a;
	across.srcPos = make_cudaPos(4 * sizeof(int), 1, 2);
	across.dstPtr = b;
	across.dstPos = make_cudaPos(8 * sizeof(int), 3, 0);
	across.extent = make_cudaExtent(10 * sizeof(int), 3, 2);
	across.kind = cudaMemcpyDeviceToDevice;
	CUDA(cudaMemcpy3D(&across));

	cudaMemcpy3DParms down = {};
	down.srcPtr = b;
	down.dstPtr = make_cudaPitchedPtr(back.data(), width * sizeof(int), width, height);
	down.extent = extent;
	down.kind = cudaMemcpyDeviceToHost;
	CUDA(cudaMemcpy3DAsync(&down, 0));
	CUDA(cudaStreamSynchronize(0));
	for (int z = 0; z < depth; z++) {
		for (int y = 0; y < height; y++) {
			for (int x = 0; x < width; x++) {
				bool inside = x >= 8 && x < 18 && y >= 3 && z < 2;
				int expected =
					inside ? source[((z + 2) * height + y - 2) * width + x - 4]
					       : 0;
				EXPECT(back[(z * height + y) * width + x] == expected);
			}
		}
	}
	print_checksum("three dimensions", back);
	CUDA(cudaFree(a.ptr));
	CUDA(cudaFree(b.ptr));
}

/* Unaligned, tiny, empty and inferred-direction copies and fills. */
static void
odd_sizes()
{
	const size_t size = 100003;
	std::vector<unsigned char> source(size), back(size);
	for (size_t i = 0; i < size; i++)
		source[i] = (unsigned char)(i * 31 >> 3);
	unsigned char *a, *b;
	CUDA(cudaMalloc(&a, size));
	CUDA(cudaMalloc(&b, size));
	CUDA(cudaMemset(b, 0, size));
	CUDA(cudaMemcpy(a, source.data(), size, cudaMemcpyDefault));
	CUDA(cudaMemcpy(b + 1, a + 6, size - 7, cudaMemcpyDefault));
	CUDA(cudaMemset(b + 11, 0x77, 1));
	CUDA(cudaMemset(b + 13, 0x78, 3));
	CUDA(cudaMemset(b, 0x79, 0));
	CUDA(cudaMemcpy(b, a, 0, cudaMemcpyDeviceToDevice));
	CUDA(cudaMemcpy(back.data(), b, size, cudaMemcpyDefault));
	EXPECT(back[0] == 0 && back[1] == source[6] && back[size - 1] == 0);
	EXPECT(back[11] == 0x77 && back[12] == source[17] && back[15] == 0x78);
	EXPECT(!memcmp(&back[16], &source[21], size - 22));
	print_checksum("odd sizes", back);

	/* Host to host goes through CUDA as well, in stream order. */
	CUDA(cudaMemcpy(back.data(), source.data(), size, cudaMemcpyHostToHost));
	EXPECT(back == source);
	CUDA(cudaFree(a));
	CUDA(cudaFree(b));
}

/* The many sizes around which implementations change their method. */
static void
every_size()
{
	const size_t sizes[] = {1,
				2,
				3,
				4,
				7,
				8,
				15,
				16,
				17,
				63,
				64,
				65,
				255,
				256,
				4095,
				4096,
				4097,
				16383,
				16384,
				16385,
				65535,
				65536,
				65537,
				1 << 20,
				(1 << 20) + 1,
				(2 << 20) - 1,
				(2 << 20) + 5,
				5 << 20};
	const size_t largest = 5 << 20;
	std::vector<unsigned char> source(largest), back(largest);
	Random random = {7};
	for (unsigned char &byte : source)
		byte = (unsigned char)random.next();
	unsigned char *a;
	CUDA(cudaMalloc(&a, largest));
	for (size_t size : sizes) {
		CUDA(cudaMemset(a, 0xa5, largest));
		CUDA(cudaMemcpy(a, source.data() + largest - size, size, cudaMemcpyHostToDevice));
		back.assign(largest, 0);
		CUDA(cudaMemcpy(back.data(), a, size < largest ? size + 1 : size,
				cudaMemcpyDeviceToHost));
		EXPECT(!memcmp(back.data(), source.data() + largest - size, size));
		if (size < largest)
			EXPECT(back[size] == 0xa5);
	}
	printf("%zu sizes\n", sizeof(sizes) / sizeof(sizes[0]));
	CUDA(cudaFree(a));
}

int
main()
{
	two_dimensions();
	three_dimensions();
	odd_sizes();
	every_size();
	return ok();
}
