/* Reads through texture objects, and writes through a surface. */
#include "program.h"

__global__ void
fetch(cudaTextureObject_t texture, float *out, int width, int height)
{
	int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
	if (x < width)
		out[y * width + x] = tex2D<float>(texture, x + 0.5f, y + 0.5f) +
				     100000.0f * tex2D<float>(texture, x - 2.5f, y + 0.5f);
}

__global__ void
store(cudaSurfaceObject_t surface, int width)
{
	int x = threadIdx.x, y = blockIdx.x;
	if (x < width)
		surf2Dwrite((float)(x * y), surface, x * 4, y);
}

int
main()
{
	const int width = 48, height = 16;
	cudaChannelFormatDesc format = cudaCreateChannelDesc<float>();
	cudaArray_t array;
	cudaError_t error =
		cudaMallocArray(&array, &format, width, height, cudaArraySurfaceLoadStore);
	if (error == cudaErrorNotSupported)
		skip("arrays are not supported");
	CUDA(error);
	std::vector<float> in(width * height);
	for (int i = 0; i < width * height; i++)
		in[i] = (float)(i % 97);
	CUDA(cudaMemcpy2DToArray(array, 0, 0, in.data(), width * sizeof(float),
				 width * sizeof(float), height, cudaMemcpyHostToDevice));
	cudaResourceDesc resource = {};
	resource.resType = cudaResourceTypeArray;
	resource.res.array.array = array;
	cudaTextureDesc description = {};
	description.addressMode[0] = description.addressMode[1] = cudaAddressModeClamp;
	description.filterMode = cudaFilterModePoint;
	cudaTextureObject_t texture;
	cudaSurfaceObject_t surface;
	error = cudaCreateTextureObject(&texture, &resource, &description, nullptr);
	if (error == cudaErrorNotSupported)
		skip("textures are not supported");
	CUDA(error);
	CUDA(cudaCreateSurfaceObject(&surface, &resource));
	float *device_out;
	CUDA(cudaMalloc(&device_out, width * height * sizeof(float)));
	fetch<<<dim3(1, height), 64>>>(texture, device_out, width, height);
	error = cudaGetLastError();
	if (!error)
		error = cudaDeviceSynchronize();
	if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorNotSupported)
		skip("the device has no texture unit");
	CUDA(error);
	std::vector<float> out = to_host(device_out, in.size());
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++) {
			float left = in[y * width + (x < 3 ? 0 : x - 3)];
			EXPECT(out[y * width + x] == in[y * width + x] + 100000.0f * left);
		}
	}
	print_checksum("fetched", out);
	store<<<height, 64>>>(surface, width);
	LAUNCHED();
	CUDA(cudaMemcpy2DFromArray(out.data(), width * sizeof(float), array, 0, 0,
				   width * sizeof(float), height, cudaMemcpyDeviceToHost));
	for (int i = 0; i < width * height; i++)
		EXPECT(out[i] == (float)(i % width * (i / width)));
	CUDA(cudaDestroyTextureObject(texture));
	CUDA(cudaDestroySurfaceObject(surface));
	CUDA(cudaFree(device_out));
	CUDA(cudaFreeArray(array));
	return ok();
}
