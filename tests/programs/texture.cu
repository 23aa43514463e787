/* Arrays and texture objects: copies to and from arrays, objects made and described, no fetch. */
#include "program.h"

#include <cstring>

int
main()
{
	const int width = 64, height = 32;
	cudaChannelFormatDesc format = cudaCreateChannelDesc<float>();
	cudaArray_t array;
	cudaError_t error = cudaMallocArray(&array, &format, width, height);
	if (error == cudaErrorNotSupported)
		skip("arrays are not supported");
	CUDA(error);
	std::vector<float> in(width * height), out(width * height);
	for (int i = 0; i < width * height; i++)
		in[i] = (float)i;
	CUDA(cudaMemcpy2DToArray(array, 0, 0, in.data(), width * sizeof(float),
				 width * sizeof(float), height, cudaMemcpyHostToDevice));
	CUDA(cudaMemcpy2DFromArray(out.data(), width * sizeof(float), array, 0, 0,
				   width * sizeof(float), height, cudaMemcpyDeviceToHost));
	EXPECT(in == out);
	float *device;
	CUDA(cudaMalloc(&device, width * height * sizeof(float)));
	CUDA(cudaMemcpy2DFromArray(device, width * sizeof(float), array, 0, 0,
				   width * sizeof(float), height, cudaMemcpyDeviceToDevice));
	EXPECT(to_host(device, in.size()) == in);
	cudaExtent extent;
	cudaChannelFormatDesc seen_format;
	unsigned flags;
	CUDA(cudaArrayGetInfo(&seen_format, &extent, &flags, array));
	EXPECT(extent.width == width && extent.height == height && seen_format.x == 32);

	cudaTextureDesc texture = {};
	texture.addressMode[0] = texture.addressMode[1] = cudaAddressModeClamp;
	texture.filterMode = cudaFilterModePoint;
	texture.readMode = cudaReadModeElementType;
	cudaResourceDesc resources[3] = {};
	resources[0].resType = cudaResourceTypeArray;
	resources[0].res.array.array = array;
	resources[1].resType = cudaResourceTypeLinear;
	resources[1].res.linear.devPtr = device;
	resources[1].res.linear.desc = format;
	resources[1].res.linear.sizeInBytes = width * height * sizeof(float);
	size_t pitch;
	float *pitched;
	CUDA(cudaMallocPitch(&pitched, &pitch, width * sizeof(float), height));
	resources[2].resType = cudaResourceTypePitch2D;
	resources[2].res.pitch2D.devPtr = pitched;
	resources[2].res.pitch2D.desc = format;
	resources[2].res.pitch2D.width = width;
	resources[2].res.pitch2D.height = height;
	resources[2].res.pitch2D.pitchInBytes = pitch;
	for (const cudaResourceDesc &resource : resources) {
		cudaTextureObject_t object = 0;
		CUDA(cudaCreateTextureObject(&object, &resource, &texture, nullptr));
		EXPECT(object != 0);
		cudaResourceDesc seen;
		CUDA(cudaGetTextureObjectResourceDesc(&seen, object));
		EXPECT(seen.resType == resource.resType);
		CUDA(cudaDestroyTextureObject(object));
	}
	CUDA(cudaFree(pitched));
	CUDA(cudaFree(device));
	CUDA(cudaFreeArray(array));
	printf("three objects\n");
	return ok();
}
