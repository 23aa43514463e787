/*
 * Every kind of texture and surface against a plain reading of the CUDA C++ Programming Guide
 * ("Texture Fetching"): 1D, 2D, 3D, layered, cube, pitched and linear memory; all address modes;
 * interpolation with weights that have eight bits after the point; integers read as floats; levels
 * of detail; gathers.
 */
#include "program.h"

#include <cmath>
#include <cstring>
#include <functional>

/* Places to read at: three coordinates and what else the kind needs. */
struct Place {
	float x, y, z, lod;
	int layer;
};

enum Kind { D1, D2, D3, L1, L2, CUBE, LCUBE, LOD2, GRAD2, GATHER0, GATHER2 };

template <typename V>
__global__ void
read(Kind kind, cudaTextureObject_t t, const Place *places, int count, V *out)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i >= count)
		return;
	Place p = places[i];
	switch (kind) {
	case D1:
		out[i] = tex1D<V>(t, p.x);
		break;
	case D2:
		out[i] = tex2D<V>(t, p.x, p.y);
		break;
	case D3:
		out[i] = tex3D<V>(t, p.x, p.y, p.z);
		break;
	case L1:
		out[i] = tex1DLayered<V>(t, p.x, p.layer);
		break;
	case L2:
		out[i] = tex2DLayered<V>(t, p.x, p.y, p.layer);
		break;
	case CUBE:
		out[i] = texCubemap<V>(t, p.x, p.y, p.z);
		break;
	case LCUBE:
		out[i] = texCubemapLayered<V>(t, p.x, p.y, p.z, p.layer);
		break;
	case LOD2:
		out[i] = tex2DLod<V>(t, p.x, p.y, p.lod);
		break;
	case GRAD2:
		out[i] = tex2DGrad<V>(t, p.x, p.y, make_float2(p.z, 0), make_float2(0, p.z));
		break;
	default:
		break;
	}
}

__global__ void
gather(Kind kind, cudaTextureObject_t t, const Place *places, int count, float4 *out)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		out[i] = kind == GATHER0 ? tex2Dgather<float4>(t, places[i].x, places[i].y, 0)
					 : tex2Dgather<float4>(t, places[i].x, places[i].y, 2);
}

__global__ void
fetch_int(cudaTextureObject_t t, int first, int4 *out)
{
	int i = threadIdx.x;
	out[i] = tex1Dfetch<int4>(t, first + i);
}

template <typename V>
static std::vector<V>
run(Kind kind, cudaTextureObject_t texture, const std::vector<Place> &places)
{
	Place *in = to_device(places);
	V *out;
	CUDA(cudaMalloc(&out, places.size() * sizeof(V)));
	read<V><<<(unsigned)(places.size() + 127) / 128, 128>>>(kind, texture, in,
								(int)places.size(), out);
	LAUNCHED();
	std::vector<V> result = to_host(out, places.size());
	CUDA(cudaFree(in));
	CUDA(cudaFree(out));
	return result;
}

static cudaTextureObject_t
make(const cudaResourceDesc &resource, const cudaTextureDesc &desc)
{
	cudaTextureObject_t texture;
	CUDA(cudaCreateTextureObject(&texture, &resource, &desc, nullptr));
	return texture;
}

template <typename T>
static cudaArray_t
make_array(const std::vector<T> &data, size_t width, size_t height, size_t depth, unsigned flags)
{
	cudaChannelFormatDesc format = cudaCreateChannelDesc<T>();
	cudaArray_t array;
	CUDA(cudaMalloc3DArray(&array, &format, make_cudaExtent(width, height, depth), flags));
	cudaMemcpy3DParms copy = {};
	copy.srcPtr = make_cudaPitchedPtr((void *)data.data(), width * sizeof(T), width,
					  height ? height : 1);
	copy.dstArray = array;
	copy.extent = make_cudaExtent(width, height ? height : 1, depth ? depth : 1);
	copy.kind = cudaMemcpyHostToDevice;
	CUDA(cudaMemcpy3D(&copy));
	return array;
}

static cudaResourceDesc
of_array(cudaArray_t array)
{
	cudaResourceDesc resource = {};
	resource.resType = cudaResourceTypeArray;
	resource.res.array.array = array;
	return resource;
}

/* The guide's address modes, for one coordinate in texels. -1: the border. */
static int
address(cudaTextureAddressMode mode, int i, int n)
{
	switch (mode) {
	case cudaAddressModeWrap:
		return ((i % n) + n) % n;
	case cudaAddressModeMirror:
		i = ((i % (2 * n)) + 2 * n) % (2 * n);
		return i < n ? i : 2 * n - 1 - i;
	case cudaAddressModeBorder:
		return i < 0 || i >= n ? -1 : i;
	default:
		return i < 0 ? 0 : i >= n ? n - 1 : i;
	}
}

using Texels = std::function<float(int, int, int)>;

/* A sample at texel coordinates, of up to three dimensions. */
static float
reference(const cudaTextureDesc &desc, const Texels &texel, const int size[3], int dimensions,
	  const float at[3])
{
	int base[3] = {0, 0, 0};
	double part[3] = {0, 0, 0}, sum = 0;
	bool linear = desc.filterMode == cudaFilterModeLinear;
	for (int k = 0; k < dimensions; k++) {
		double x = at[k] - (linear ? 0.5 : 0);
		base[k] = (int)std::floor(x);
		part[k] = linear ? std::round((x - std::floor(x)) * 256) / 256 : 0;
	}
	for (int corner = 0; corner < 1 << dimensions; corner++) {
		double weight = 1;
		int i[3] = {0, 0, 0};
		bool border = false;
		for (int k = 0; k < dimensions; k++) {
			int high = corner >> k & 1;
			weight *= high ? part[k] : 1 - part[k];
			i[k] = address(desc.addressMode[k], base[k] + high, size[k]);
			border |= i[k] < 0;
		}
		if (weight != 0)
			sum += weight * (border ? desc.borderColor[0] : texel(i[0], i[1], i[2]));
	}
	return (float)sum;
}

static void
expect_near(const char *what, float got, float want, float tolerance)
{
	if (!(std::fabs(got - want) <= tolerance)) {
		printf("%s: got %g, expected %g\n", what, got, want);
		exit(1);
	}
}

/* Places from before the first to behind the last texel, at sixteenths of a texel. */
static std::vector<Place>
spread(const int size[3], int dimensions, bool normalized, int layers, uint64_t seed)
{
	std::vector<Place> places(500);
	Random random = {seed};
	for (Place &p : places) {
		float at[3] = {0, 0, 0};
		for (int k = 0; k < dimensions; k++) {
			/* never on the edge of two texels, where rounding would decide */
			int sixteenths = (int)random.below(3 * 16 * size[k]) - 16 * size[k];
			at[k] = (sixteenths % 16 == 0 ? sixteenths + 1 : sixteenths) / 16.0f;
			if (normalized)
				at[k] /= size[k];
		}
		p = {at[0], at[1], at[2], 0, layers ? (int)random.below(layers) : 0};
	}
	return places;
}

static const cudaTextureAddressMode modes[] = {cudaAddressModeWrap, cudaAddressModeClamp,
					       cudaAddressModeMirror, cudaAddressModeBorder};

/* One array of floats read in all modes that its coordinates allow. */
static void
test_floats(const char *name, Kind kind, int dimensions, int layers)
{
	const int size[3] = {16, dimensions > 1 ? 8 : 1, dimensions > 2 ? 4 : 1};
	int count = size[0] * size[1] * size[2] * (layers ? layers : 1);
	std::vector<float> data(count);
	for (int i = 0; i < count; i++)
		data[i] = (float)(i * 37 % 101);
	cudaArray_t array = make_array(data, size[0], dimensions > 1 ? size[1] : 0,
				       layers           ? layers
				       : dimensions > 2 ? size[2]
							: 0,
				       layers ? cudaArrayLayered : cudaArrayDefault);
	int checked = 0;
	for (int normalized = 0; normalized < 2; normalized++) {
		for (cudaTextureAddressMode mode : modes) {
			if (!normalized &&
			    (mode == cudaAddressModeWrap || mode == cudaAddressModeMirror))
				continue;
			for (int linear = 0; linear < 2; linear++) {
				cudaTextureDesc desc = {};
				/* The other dimensions have one texel, and as borders they would
				 * count: a device interpolates with them, too. */
				for (int k = 0; k < 3; k++)
					desc.addressMode[k] =
						k < dimensions ? mode : cudaAddressModeClamp;
				desc.filterMode =
					linear ? cudaFilterModeLinear : cudaFilterModePoint;
				desc.normalizedCoords = normalized;
				desc.borderColor[0] = -50;
				cudaTextureObject_t texture = make(of_array(array), desc);
				std::vector<Place> places =
					spread(size, dimensions, normalized, layers, 7);
				std::vector<float> got = run<float>(kind, texture, places);
				for (size_t i = 0; i < places.size(); i++) {
					const Place &p = places[i];
					float at[3] = {p.x, p.y, p.z};
					for (int k = 0; normalized && k < 3; k++)
						at[k] *= size[k];
					Texels texel = [&](int x, int y, int z) {
						return data[((layers ? p.layer : z) * size[1] + y) *
								    size[0] +
							    x];
					};
					/* Three weights of eight bits multiplied are rounded
					 * somehow. */
					expect_near(name, got[i],
						    reference(desc, texel, size, dimensions, at),
						    dimensions > 2 ? 0.6f : 0.05f);
					checked++;
				}
				CUDA(cudaDestroyTextureObject(texture));
			}
		}
	}
	CUDA(cudaFreeArray(array));
	printf("%s: %d reads\n", name, checked);
}

/* A place between texels that no weight of eight bits has: near it, never far off. */
static void
test_weights(void)
{
	std::vector<float> data = {0, 1000};
	cudaArray_t array = make_array(data, 2, 0, 0, cudaArrayDefault);
	cudaTextureDesc desc = {};
	desc.addressMode[0] = cudaAddressModeClamp;
	desc.filterMode = cudaFilterModeLinear;
	cudaTextureObject_t texture = make(of_array(array), desc);
	std::vector<Place> places(1024);
	for (int i = 0; i < 1024; i++)
		places[i] = {0.5f + (float)i / 1024, 0, 0, 0, 0};
	std::vector<float> got = run<float>(D1, texture, places);
	for (int i = 0; i < 1024; i++) {
		float steps = got[i] * 256 / 1000;
		expect_near("a weight of eight bits", steps, std::round(steps), 0.05f);
		expect_near("a weight near the place", steps, (float)i / 4, 1.01f);
	}
	CUDA(cudaDestroyTextureObject(texture));
	CUDA(cudaFreeArray(array));
	printf("weights\n");
}

/* Integers that are read as numbers between 0 or -1 and 1, and as they are. */
template <typename T, typename V>
static void
test_integers(const char *name, float max)
{
	const int n = 64;
	std::vector<V> data(n);
	for (int i = 0; i < n; i++) {
		data[i].x = (T)(i * 1021);
		data[i].y = (T)(i * 3 - 90);
		data[i].z = (T)~i;
		data[i].w = (T)(1u << (8 * sizeof(T) - 1)); /* the least of the signed ones */
	}
	cudaArray_t array = make_array(data, n, 0, 0, cudaArrayDefault);
	std::vector<Place> places(n);
	for (int i = 0; i < n; i++)
		places[i] = {i + 0.5f, 0, 0, 0, 0};
	cudaTextureDesc desc = {};
	desc.readMode = cudaReadModeNormalizedFloat;
	cudaTextureObject_t texture = make(of_array(array), desc);
	std::vector<float4> floats = run<float4>(D1, texture, places);
	CUDA(cudaDestroyTextureObject(texture));
	desc.readMode = cudaReadModeElementType;
	texture = make(of_array(array), desc);
	std::vector<V> plain = run<V>(D1, texture, places);
	CUDA(cudaDestroyTextureObject(texture));
	for (int i = 0; i < n; i++) {
		EXPECT(memcmp(&plain[i], &data[i], sizeof(V)) == 0);
		expect_near(name, floats[i].x, std::fmax((float)data[i].x / max, -1.0f), 1e-6f);
		expect_near(name, floats[i].y, std::fmax((float)data[i].y / max, -1.0f), 1e-6f);
		expect_near(name, floats[i].z, std::fmax((float)data[i].z / max, -1.0f), 1e-6f);
		expect_near(name, floats[i].w, std::fmax((float)data[i].w / max, -1.0f), 1e-6f);
	}
	CUDA(cudaFreeArray(array));
	printf("%s\n", name);
}

/* Linear memory is bounded by nothing but zeros; pitched memory is an array in all but name. */
static void
test_memory(void)
{
	const int n = 100;
	std::vector<int4> data(n);
	for (int i = 0; i < n; i++)
		data[i] = make_int4(i, -i, i * i, 7);
	int4 *device = to_device(data);
	cudaResourceDesc resource = {};
	resource.resType = cudaResourceTypeLinear;
	resource.res.linear.devPtr = device;
	resource.res.linear.desc = cudaCreateChannelDesc<int4>();
	resource.res.linear.sizeInBytes = n * sizeof(int4);
	cudaTextureDesc desc = {};
	cudaTextureObject_t texture = make(resource, desc);
	int4 *out;
	CUDA(cudaMalloc(&out, 128 * sizeof(int4)));
	fetch_int<<<1, 128>>>(texture, -8, out);
	LAUNCHED();
	std::vector<int4> got = to_host(out, 128);
	for (int i = 0; i < 128; i++) {
		int4 want = {0, 0, 0, 0};
		if (i >= 8 && i - 8 < n)
			want = data[i - 8];
		EXPECT(memcmp(&got[i], &want, sizeof(want)) == 0);
	}
	CUDA(cudaDestroyTextureObject(texture));
	CUDA(cudaFree(out));
	CUDA(cudaFree(device));

	const int size[3] = {24, 10, 1};
	size_t pitch;
	float *rows;
	std::vector<float> texels(size[0] * size[1]);
	for (size_t i = 0; i < texels.size(); i++)
		texels[i] = (float)(i * 29 % 83);
	CUDA(cudaMallocPitch(&rows, &pitch, size[0] * sizeof(float), size[1]));
	CUDA(cudaMemcpy2D(rows, pitch, texels.data(), size[0] * sizeof(float),
			  size[0] * sizeof(float), size[1], cudaMemcpyHostToDevice));
	resource = {};
	resource.resType = cudaResourceTypePitch2D;
	resource.res.pitch2D.devPtr = rows;
	resource.res.pitch2D.desc = cudaCreateChannelDesc<float>();
	resource.res.pitch2D.width = size[0];
	resource.res.pitch2D.height = size[1];
	resource.res.pitch2D.pitchInBytes = pitch;
	desc.filterMode = cudaFilterModeLinear;
	desc.addressMode[0] = cudaAddressModeClamp;
	desc.addressMode[1] = cudaAddressModeBorder;
	desc.borderColor[0] = 3;
	texture = make(resource, desc);
	std::vector<Place> places = spread(size, 2, false, 0, 11);
	std::vector<float> floats = run<float>(D2, texture, places);
	for (size_t i = 0; i < places.size(); i++) {
		float at[3] = {places[i].x, places[i].y, 0};
		Texels texel = [&](int x, int y, int) { return texels[y * size[0] + x]; };
		expect_near("pitched memory", floats[i], reference(desc, texel, size, 2, at),
			    0.05f);
	}
	CUDA(cudaDestroyTextureObject(texture));
	CUDA(cudaFree(rows));
	printf("linear and pitched memory\n");
}

/* The centre of a texel of a cube's face as a direction: the guide's table, backwards. */
static Place
direction(int face, float s, float t, int layer)
{
	const float d[6][3] = {{1, -t, -s}, {-1, -t, s}, {s, 1, t},
			       {s, -1, -t}, {s, -t, 1},  {-s, -t, -1}};
	return {d[face][0] * 3, d[face][1] * 3, d[face][2] * 3, 0, layer};
}

static void
test_cubes(int cubes)
{
	const int n = 8;
	std::vector<float> data(n * n * 6 * cubes);
	for (size_t i = 0; i < data.size(); i++)
		data[i] = (float)(i * 31 % 997);
	cudaArray_t array = make_array(data, n, n, 6 * cubes,
				       cudaArrayCubemap | (cubes > 1 ? cudaArrayLayered : 0));
	cudaTextureDesc desc = {};
	desc.normalizedCoords = 1;
	for (int k = 0; k < 3; k++)
		desc.addressMode[k] = cudaAddressModeClamp;
	std::vector<Place> places;
	std::vector<float> want;
	for (int cube = 0; cube < cubes; cube++) {
		for (int face = 0; face < 6; face++) {
			for (int i = 0; i < n * n; i++) {
				places.push_back(direction(face, (2 * (i % n) + 1.0f) / n - 1,
							   (2 * (i / n) + 1.0f) / n - 1, cube));
				want.push_back(data[((cube * 6 + face) * n + i / n) * n + i % n]);
			}
		}
	}
	cudaTextureObject_t texture = make(of_array(array), desc);
	std::vector<float> got = run<float>(cubes > 1 ? LCUBE : CUBE, texture, places);
	for (size_t i = 0; i < got.size(); i++)
		expect_near("a cube's texel", got[i], want[i], 0);
	CUDA(cudaDestroyTextureObject(texture));
	CUDA(cudaFreeArray(array));
	printf("%d cubes: %zu reads\n", cubes, got.size());
}

static void
test_levels(void)
{
	const int n = 16, levels = 5;
	cudaChannelFormatDesc format = cudaCreateChannelDesc<float>();
	cudaMipmappedArray_t mipmap;
	CUDA(cudaMallocMipmappedArray(&mipmap, &format, make_cudaExtent(n, n, 0), levels));
	for (int level = 0; level < levels; level++) {
		cudaArray_t array;
		int size = n >> level;
		std::vector<float> data(size * size, 100.0f * (float)(level + 1));
		CUDA(cudaGetMipmappedArrayLevel(&array, mipmap, level));
		CUDA(cudaMemcpy2DToArray(array, 0, 0, data.data(), size * sizeof(float),
					 size * sizeof(float), size, cudaMemcpyHostToDevice));
	}
	cudaResourceDesc resource = {};
	resource.resType = cudaResourceTypeMipmappedArray;
	resource.res.mipmap.mipmap = mipmap;
	for (int linear = 0; linear < 2; linear++) {
		cudaTextureDesc desc = {};
		desc.normalizedCoords = 1;
		desc.filterMode = cudaFilterModePoint;
		desc.mipmapFilterMode = linear ? cudaFilterModeLinear : cudaFilterModePoint;
		desc.minMipmapLevelClamp = 1;
		desc.maxMipmapLevelClamp = 3;
		cudaTextureObject_t texture = make(resource, desc);
		std::vector<Place> places(64);
		for (int i = 0; i < 64; i++)
			places[i] = {0.3f, 0.7f, 0, (float)i / 8 - 2.0f + 1.0f / 16, 0};
		std::vector<float> got = run<float>(LOD2, texture, places);
		for (int i = 0; i < 64; i++) {
			float lod = std::fmin(std::fmax(places[i].lod, 1.0f), 3.0f);
			float want = linear ? lod : std::floor(lod + 0.5f);
			expect_near("a level", got[i], 100 * (want + 1), linear ? 0.5f : 0);
		}
		/* one step covers 2^k texels */
		for (int i = 0; i < 64; i++)
			places[i].z = (float)(1 << (i % 4)) / n;
		got = run<float>(GRAD2, texture, places);
		for (int i = 0; i < 64; i++) {
			float want = (float)std::max(i % 4, 1);
			expect_near("a gradient", got[i], 100 * (want + 1), 0.5f);
		}
		CUDA(cudaDestroyTextureObject(texture));
	}
	CUDA(cudaFreeMipmappedArray(mipmap));
	printf("levels\n");
}

static void
test_gather(void)
{
	const int w = 12, h = 6;
	std::vector<float4> data(w * h);
	for (int i = 0; i < w * h; i++)
		data[i] = make_float4((float)i, (float)-i, (float)(i * 5 % 17), 1);
	cudaArray_t array = make_array(data, w, h, 0, cudaArrayTextureGather);
	cudaTextureDesc desc = {};
	desc.addressMode[0] = desc.addressMode[1] = cudaAddressModeClamp;
	cudaTextureObject_t texture = make(of_array(array), desc);
	std::vector<Place> places;
	for (int i = 0; i < w * h; i++)
		places.push_back({i % w + 0.75f, i / w + 0.25f, 0, 0, 0});
	Place *in = to_device(places);
	float4 *out;
	CUDA(cudaMalloc(&out, places.size() * sizeof(float4)));
	for (Kind kind : {GATHER0, GATHER2}) {
		gather<<<1, 128>>>(kind, texture, in, (int)places.size(), out);
		LAUNCHED();
		std::vector<float4> got = to_host(out, places.size());
		for (int i = 0; i < w * h; i++) {
			/* base (x, y - 1): the four around it, against the clock */
			auto at = [&](int dx, int dy) {
				int x = std::min(i % w + dx, w - 1);
				int y = std::max(i / w - 1 + dy, 0);
				const float4 &v = data[y * w + x];
				return kind == GATHER0 ? v.x : v.z;
			};
			EXPECT(got[i].x == at(0, 1) && got[i].y == at(1, 1) &&
			       got[i].z == at(1, 0) && got[i].w == at(0, 0));
		}
	}
	CUDA(cudaFree(in));
	CUDA(cudaFree(out));
	CUDA(cudaDestroyTextureObject(texture));
	CUDA(cudaFreeArray(array));
	printf("gathers\n");
}

/* Surfaces: each element becomes a function of what was there, in all shapes. */
__global__ void
change_1d(cudaSurfaceObject_t s, int n)
{
	int x = blockIdx.x * blockDim.x + threadIdx.x;
	if (x < n)
		surf1Dwrite((short)(surf1Dread<short>(s, x * 2) * 3), s, x * 2);
}

__global__ void
change_3d(cudaSurfaceObject_t s)
{
	int x = threadIdx.x, y = threadIdx.y, z = blockIdx.x;
	float2 v = surf3Dread<float2>(s, x * 8, y, z);
	surf3Dwrite(make_float2(v.y + 1, v.x), s, x * 8, y, z);
}

__global__ void
change_layers(cudaSurfaceObject_t s)
{
	int x = threadIdx.x, y = threadIdx.y, layer = blockIdx.x;
	uchar4 v = surf2DLayeredread<uchar4>(s, x * 4, y, layer);
	surf2DLayeredwrite(make_uchar4(v.w, v.z, v.y, v.x), s, x * 4, y, layer);
}

__global__ void
change_cube(cudaSurfaceObject_t s)
{
	int x = threadIdx.x, y = threadIdx.y, face = blockIdx.x;
	int v = surfCubemapread<int>(s, x * 4, y, face);
	surfCubemapwrite(v + face * 1000, s, x * 4, y, face);
}

/* Reads beyond the edges. */
__global__ void
edges(cudaSurfaceObject_t s, int *zero, int *clamp)
{
	int x = (int)threadIdx.x - 8, y = (int)blockIdx.x - 8, i = blockIdx.x * 32 + threadIdx.x;
	zero[i] = surf2Dread<int>(s, x * 4, y, cudaBoundaryModeZero);
	clamp[i] = surf2Dread<int>(s, x * 4, y, cudaBoundaryModeClamp);
	/* no effect outside */
	if (x < 0 || y < 0)
		surf2Dwrite(-1, s, x * 4, y, cudaBoundaryModeZero);
}

template <typename T>
static std::vector<T>
from_array(cudaArray_t array, size_t width, size_t height, size_t depth)
{
	std::vector<T> data(width * height * depth);
	cudaMemcpy3DParms copy = {};
	copy.srcArray = array;
	copy.dstPtr = make_cudaPitchedPtr(data.data(), width * sizeof(T), width, height);
	copy.extent = make_cudaExtent(width, height, depth);
	copy.kind = cudaMemcpyDeviceToHost;
	CUDA(cudaMemcpy3D(&copy));
	return data;
}

static cudaSurfaceObject_t
make_surface(cudaArray_t array)
{
	cudaResourceDesc resource = of_array(array);
	cudaSurfaceObject_t surface;
	CUDA(cudaCreateSurfaceObject(&surface, &resource));
	return surface;
}

static void
test_surfaces(void)
{
	const unsigned flag = cudaArraySurfaceLoadStore;
	{
		std::vector<short> data(300);
		for (size_t i = 0; i < data.size(); i++)
			data[i] = (short)(i * 7 - 900);
		cudaArray_t array = make_array(data, data.size(), 0, 0, flag);
		cudaSurfaceObject_t surface = make_surface(array);
		change_1d<<<3, 128>>>(surface, (int)data.size());
		LAUNCHED();
		std::vector<short> got = from_array<short>(array, data.size(), 1, 1);
		for (size_t i = 0; i < data.size(); i++)
			EXPECT(got[i] == (short)(data[i] * 3));
		CUDA(cudaDestroySurfaceObject(surface));
		CUDA(cudaFreeArray(array));
	}
	{
		const int w = 16, h = 8, d = 5;
		std::vector<float2> data(w * h * d);
		for (size_t i = 0; i < data.size(); i++)
			data[i] = make_float2((float)i, (float)i / 2);
		cudaArray_t array = make_array(data, w, h, d, flag);
		cudaSurfaceObject_t surface = make_surface(array);
		change_3d<<<d, dim3(w, h)>>>(surface);
		LAUNCHED();
		std::vector<float2> got = from_array<float2>(array, w, h, d);
		for (size_t i = 0; i < data.size(); i++)
			EXPECT(got[i].x == data[i].y + 1 && got[i].y == data[i].x);
		CUDA(cudaDestroySurfaceObject(surface));
		CUDA(cudaFreeArray(array));
	}
	{
		const int w = 16, h = 4, layers = 6;
		std::vector<uchar4> data(w * h * layers);
		for (size_t i = 0; i < data.size(); i++)
			data[i] = make_uchar4((unsigned char)i, 1, 2, (unsigned char)(i * 3));
		cudaArray_t array = make_array(data, w, h, layers, flag | cudaArrayLayered);
		cudaSurfaceObject_t surface = make_surface(array);
		change_layers<<<layers, dim3(w, h)>>>(surface);
		LAUNCHED();
		std::vector<uchar4> got = from_array<uchar4>(array, w, h, layers);
		for (size_t i = 0; i < data.size(); i++)
			EXPECT(got[i].x == data[i].w && got[i].y == 2 && got[i].z == 1 &&
			       got[i].w == data[i].x);
		CUDA(cudaDestroySurfaceObject(surface));
		CUDA(cudaFreeArray(array));
	}
	{
		const int n = 8;
		std::vector<int> data(n * n * 6);
		for (size_t i = 0; i < data.size(); i++)
			data[i] = (int)i;
		cudaArray_t array = make_array(data, n, n, 6, flag | cudaArrayCubemap);
		cudaSurfaceObject_t surface = make_surface(array);
		change_cube<<<6, dim3(n, n)>>>(surface);
		LAUNCHED();
		std::vector<int> got = from_array<int>(array, n, n, 6);
		for (int i = 0; i < n * n * 6; i++)
			EXPECT(got[i] == i + i / (n * n) * 1000);
		CUDA(cudaDestroySurfaceObject(surface));
		CUDA(cudaFreeArray(array));
	}
	{
		const int w = 16, h = 12;
		std::vector<int> data(w * h);
		for (int i = 0; i < w * h; i++)
			data[i] = i + 1;
		cudaArray_t array = make_array(data, w, h, 0, flag);
		cudaSurfaceObject_t surface = make_surface(array);
		int *zero, *clamp;
		CUDA(cudaMalloc(&zero, 32 * 32 * sizeof(int)));
		CUDA(cudaMalloc(&clamp, 32 * 32 * sizeof(int)));
		edges<<<32, 32>>>(surface, zero, clamp);
		LAUNCHED();
		std::vector<int> zeros = to_host(zero, 32 * 32), clamped = to_host(clamp, 32 * 32);
		for (int i = 0; i < 32 * 32; i++) {
			int x = i % 32 - 8, y = i / 32 - 8;
			bool inside = x >= 0 && x < w && y >= 0 && y < h;
			int cx = std::min(std::max(x, 0), w - 1);
			int cy = std::min(std::max(y, 0), h - 1);
			EXPECT(zeros[i] == (inside ? data[y * w + x] : 0));
			EXPECT(clamped[i] == data[cy * w + cx]);
		}
		EXPECT(from_array<int>(array, w, h, 1) == data);
		CUDA(cudaFree(zero));
		CUDA(cudaFree(clamp));
		CUDA(cudaDestroySurfaceObject(surface));
		CUDA(cudaFreeArray(array));
	}
	printf("surfaces\n");
}

int
main()
{
	test_floats("1D", D1, 1, 0);
	test_floats("2D", D2, 2, 0);
	test_floats("3D", D3, 3, 0);
	test_floats("1D layers", L1, 1, 5);
	test_floats("2D layers", L2, 2, 5);
	test_weights();
	test_integers<unsigned char, uchar4>("unsigned 8 bits", 255);
	test_integers<signed char, char4>("signed 8 bits", 127);
	test_integers<unsigned short, ushort4>("unsigned 16 bits", 65535);
	test_integers<short, short4>("signed 16 bits", 32767);
	test_memory();
	test_cubes(1);
	test_cubes(3);
	test_levels();
	test_gather();
	test_surfaces();
	return ok();
}
