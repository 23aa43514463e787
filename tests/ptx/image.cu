/* Textures and surfaces; tests/unit/test_ptx_image.c. */
#include <cuda_runtime.h>

extern "C" __global__ void
sample_2d(cudaTextureObject_t texture, const float *xy, float *out)
{
	int i = threadIdx.x;
	float2 v = tex2D<float2>(texture, xy[2 * i], xy[2 * i + 1]);

	out[2 * i] = v.x;
	out[2 * i + 1] = v.y;
}

extern "C" __global__ void
sample_3d(cudaTextureObject_t texture, const float *xyz, float *out)
{
	int i = threadIdx.x;

	out[i] = tex3D<float>(texture, xyz[3 * i], xyz[3 * i + 1], xyz[3 * i + 2]);
}

extern "C" __global__ void
fetch_1d(cudaTextureObject_t texture, int *out)
{
	int i = threadIdx.x;
	int4 v = tex1Dfetch<int4>(texture, i - 4);

	out[4 * i] = v.x;
	out[4 * i + 1] = v.y;
	out[4 * i + 2] = v.z;
	out[4 * i + 3] = v.w;
}

extern "C" __global__ void
sample_layers(cudaTextureObject_t texture, float *out)
{
	int i = threadIdx.x;

	out[i] = tex2DLayered<float>(texture, i % 4 + 0.5f, i / 4 % 4 + 0.5f, i / 16);
}

extern "C" __global__ void
rotate(cudaSurfaceObject_t from, cudaSurfaceObject_t to, int n)
{
	int x = threadIdx.x, y = blockIdx.x;
	ushort2 v;

	surf2Dread(&v, from, x * 4, y, cudaBoundaryModeZero);
	surf2Dwrite(v, to, (n - 1 - y) * 4, x, cudaBoundaryModeTrap);
}

extern "C" __global__ void
outside(cudaSurfaceObject_t surface)
{
	surf2Dwrite(1.0f, surface, 4000, 0);
}
