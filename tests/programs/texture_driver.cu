/* Texture and surface references by the driver API, which still has them: bound to memory, to rows,
 * to arrays and mipmaps; what is set is what is got, and what kernels see. */
#include "driver.h"

#include <cmath>

static const char text[] = R"(
.version 7.0
.target sm_80
.address_size 64
.global .texref line;
.global .texref image;
.global .surfref canvas;
.visible .entry read_line(.param .u64 out, .param .u32 first)
{
	.reg .u32 %r<5>;
	.reg .u64 %d<4>;
	.reg .f32 %f<5>;
	ld.param.u64 %d1, [out];
	ld.param.u32 %r1, [first];
	mov.u32 %r2, %tid.x;
	add.u32 %r3, %r1, %r2;
	tex.1d.v4.f32.s32 {%f1, %f2, %f3, %f4}, [line, {%r3}];
	mul.wide.u32 %d2, %r2, 4;
	add.u64 %d3, %d1, %d2;
	st.global.f32 [%d3], %f1;
	ret;
}
.visible .entry read_image(.param .u64 out, .param .f32 step)
{
	.reg .u32 %r<5>;
	.reg .u64 %d<4>;
	.reg .f32 %f<10>;
	ld.param.u64 %d1, [out];
	ld.param.f32 %f9, [step];
	mov.u32 %r1, %tid.x;
	mov.u32 %r2, %ctaid.x;
	mov.u32 %r3, %ntid.x;
	cvt.rn.f32.u32 %f5, %r1;
	cvt.rn.f32.u32 %f6, %r2;
	add.f32 %f5, %f5, 0f3F000000;
	add.f32 %f6, %f6, 0f3F000000;
	mul.f32 %f5, %f5, %f9;
	mul.f32 %f6, %f6, %f9;
	tex.2d.v4.f32.f32 {%f1, %f2, %f3, %f4}, [image, {%f5, %f6}];
	mad.lo.u32 %r4, %r2, %r3, %r1;
	mul.wide.u32 %d2, %r4, 4;
	add.u64 %d3, %d1, %d2;
	st.global.f32 [%d3], %f1;
	ret;
}
.visible .entry paint()
{
	.reg .u32 %r<6>;
	mov.u32 %r1, %tid.x;
	mov.u32 %r2, %ctaid.x;
	mov.u32 %r3, %ntid.x;
	mad.lo.u32 %r4, %r2, %r3, %r1;
	shl.b32 %r5, %r1, 2;
	sust.b.2d.b32.trap [canvas, {%r5, %r2}], {%r4};
	ret;
}
)";

constexpr int WIDTH = 32, HEIGHT = 8;
static CUmodule module;
static CUdeviceptr out;

static CUfunction
kernel(const char *name)
{
	CUfunction function;
	CU(DRIVER(cuModuleGetFunction)(&function, module, name));
	return function;
}

static std::vector<float>
run(const char *name, int blocks, void *second)
{
	void *params[] = {&out, second};
	std::vector<float> result(blocks * WIDTH);
	CU(DRIVER(cuLaunchKernel)(kernel(name), blocks, 1, 1, WIDTH, 1, 1, 0, nullptr,
				  second ? params : nullptr, nullptr));
	CUDA(cudaDeviceSynchronize());
	CU(DRIVER(cuMemcpyDtoH)(result.data(), out, result.size() * sizeof(float)));
	return result;
}

static void
linear_memory()
{
	constexpr int N = 400;
	std::vector<float> in(N);
	CUdeviceptr memory, address;
	CUarray_format format;
	size_t offset = 99;
	CUtexref line;
	int channels, first = 5;

	for (int i = 0; i < N; i++)
		in[i] = i * 0.5f + 1;
	CU(DRIVER(cuMemAlloc)(&memory, N * sizeof(float)));
	CU(DRIVER(cuMemcpyHtoD)(memory, in.data(), N * sizeof(float)));
	CU(DRIVER(cuModuleGetTexRef)(&line, module, "line"));
	CU(DRIVER(cuTexRefSetFormat)(line, CU_AD_FORMAT_FLOAT, 1));
	CU(DRIVER(cuTexRefGetFormat)(&format, &channels, line));
	EXPECT(format == CU_AD_FORMAT_FLOAT && channels == 1);
	CU(DRIVER(cuTexRefSetAddress)(&offset, line, memory, N * sizeof(float)));
	EXPECT(offset == 0);
	CU(DRIVER(cuTexRefGetAddress)(&address, line));
	EXPECT(address == memory);
	std::vector<float> got = run("read_line", 1, &first);
	for (int i = 0; i < WIDTH; i++)
		EXPECT(got[i] == in[first + i]);
	/* An address that is not aligned: the offset leads to it. */
	CU(DRIVER(cuTexRefSetAddress)(&offset, line, memory + 12, (N - 3) * sizeof(float)));
	EXPECT(offset % sizeof(float) == 0);
	first = (int)(offset / sizeof(float));
	got = run("read_line", 1, &first);
	for (int i = 0; i < WIDTH; i++)
		EXPECT(got[i] == in[3 + i]);
	/* Another format of the same memory. */
	first = 0;
	CU(DRIVER(cuTexRefSetAddress)(&offset, line, memory, N * sizeof(float)));
	CU(DRIVER(cuTexRefSetFormat)(line, CU_AD_FORMAT_FLOAT, 2));
	CU(DRIVER(cuTexRefSetAddress)(&offset, line, memory, N * sizeof(float)));
	got = run("read_line", 1, &first);
	for (int i = 0; i < WIDTH; i++)
		EXPECT(got[i] == in[2 * i]);
	EXPECT_FAILS(DRIVER(cuTexRefSetFormat)(line, CU_AD_FORMAT_FLOAT, 3));
	CU(DRIVER(cuMemFree)(memory));
	print_checksum("linear", got);
}

static void
rows()
{
	std::vector<float> in(WIDTH * HEIGHT);
	CUDA_ARRAY_DESCRIPTOR desc = {WIDTH, HEIGHT, CU_AD_FORMAT_FLOAT, 1};
	CUdeviceptr memory, address;
	size_t pitch;
	CUtexref image;
	float step = 1;

	for (size_t i = 0; i < in.size(); i++)
		in[i] = i * 3.0f;
	CU(DRIVER(cuMemAllocPitch)(&memory, &pitch, WIDTH * sizeof(float), HEIGHT, 4));
	CUDA(cudaMemcpy2D((void *)memory, pitch, in.data(), WIDTH * sizeof(float),
			  WIDTH * sizeof(float), HEIGHT, cudaMemcpyHostToDevice));
	CU(DRIVER(cuModuleGetTexRef)(&image, module, "image"));
	CU(DRIVER(cuTexRefSetFormat)(image, CU_AD_FORMAT_FLOAT, 1));
	CU(DRIVER(cuTexRefSetAddress2D)(image, &desc, memory, pitch));
	CU(DRIVER(cuTexRefGetAddress)(&address, image));
	EXPECT(address == memory);
	EXPECT(run("read_image", HEIGHT, &step) == in);
	CU(DRIVER(cuMemFree)(memory));
	print_checksum("rows", in);
}

/* Bytes that are read as fractions; coordinates from 0 to 1, repeated. */
static void
arrays()
{
	std::vector<unsigned char> in(WIDTH * HEIGHT);
	CUDA_ARRAY_DESCRIPTOR desc = {WIDTH, HEIGHT, CU_AD_FORMAT_UNSIGNED_INT8, 1};
	CUDA_MEMCPY2D copy = {};
	CUaddress_mode mode;
	CUfilter_mode filter;
	unsigned flags;
	CUarray array, bound;
	CUtexref image;
	float step = 1;

	for (size_t i = 0; i < in.size(); i++)
		in[i] = (unsigned char)(i * 5);
	CU(DRIVER(cuArrayCreate)(&array, &desc));
	copy.srcMemoryType = CU_MEMORYTYPE_HOST;
	copy.srcHost = in.data();
	copy.srcPitch = copy.WidthInBytes = WIDTH;
	copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
	copy.dstArray = array;
	copy.Height = HEIGHT;
	CU(DRIVER(cuMemcpy2D)(&copy));
	CU(DRIVER(cuModuleGetTexRef)(&image, module, "image"));
	CU(DRIVER(cuTexRefSetFlags)(image, 0));
	for (int axis = 0; axis < 2; axis++)
		CU(DRIVER(cuTexRefSetAddressMode)(image, axis, CU_TR_ADDRESS_MODE_CLAMP));
	CU(DRIVER(cuTexRefSetFilterMode)(image, CU_TR_FILTER_MODE_POINT));
	CU(DRIVER(cuTexRefSetArray)(image, array, CU_TRSA_OVERRIDE_FORMAT));
	CU(DRIVER(cuTexRefGetArray)(&bound, image));
	EXPECT(bound == array);
	std::vector<float> got = run("read_image", HEIGHT, &step);
	for (size_t i = 0; i < in.size(); i++)
		EXPECT(std::fabs(got[i] - in[i] / 255.0f) < 1e-6f);
	/* beyond the edge: the last one again */
	step = 2;
	got = run("read_image", HEIGHT, &step);
	EXPECT(std::fabs(got[WIDTH - 1] - in[WIDTH * 1 + WIDTH - 1] / 255.0f) < 1e-6f);
	step = 1.0f / WIDTH;
	CU(DRIVER(cuTexRefSetFlags)(image, CU_TRSF_NORMALIZED_COORDINATES));
	CU(DRIVER(cuTexRefGetFlags)(&flags, image));
	EXPECT(flags == CU_TRSF_NORMALIZED_COORDINATES);
	CU(DRIVER(cuTexRefSetAddressMode)(image, 0, CU_TR_ADDRESS_MODE_WRAP));
	CU(DRIVER(cuTexRefGetAddressMode)(&mode, image, 0));
	EXPECT(mode == CU_TR_ADDRESS_MODE_WRAP);
	CU(DRIVER(cuTexRefGetFilterMode)(&filter, image));
	EXPECT(filter == CU_TR_FILTER_MODE_POINT);
	got = run("read_image", 1, &step);
	for (int i = 0; i < WIDTH; i++)
		EXPECT(std::fabs(got[i] - in[i] / 255.0f) < 1e-6f);
	CU(DRIVER(cuArrayDestroy)(array));
	print_checksum("array", in);
}

static void
mipmaps()
{
	CUDA_ARRAY3D_DESCRIPTOR desc = {};
	CUmipmappedArray mipmap, bound;
	CUfilter_mode filter;
	CUarray level;
	CUtexref image;
	CUDA_MEMCPY2D copy = {};
	std::vector<float> in(WIDTH * HEIGHT);
	float step = 1, bias, low, high;
	int anisotropy;

	for (size_t i = 0; i < in.size(); i++)
		in[i] = 1000.0f - i;
	desc.Width = WIDTH;
	desc.Height = HEIGHT;
	desc.Format = CU_AD_FORMAT_FLOAT;
	desc.NumChannels = 1;
	CU(DRIVER(cuMipmappedArrayCreate)(&mipmap, &desc, 3));
	CU(DRIVER(cuMipmappedArrayGetLevel)(&level, mipmap, 0));
	copy.srcMemoryType = CU_MEMORYTYPE_HOST;
	copy.srcHost = in.data();
	copy.srcPitch = copy.WidthInBytes = WIDTH * sizeof(float);
	copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
	copy.dstArray = level;
	copy.Height = HEIGHT;
	CU(DRIVER(cuMemcpy2D)(&copy));
	CU(DRIVER(cuModuleGetTexRef)(&image, module, "image"));
	CU(DRIVER(cuTexRefSetFlags)(image, CU_TRSF_NORMALIZED_COORDINATES));
	CU(DRIVER(cuTexRefSetMipmapFilterMode)(image, CU_TR_FILTER_MODE_POINT));
	CU(DRIVER(cuTexRefGetMipmapFilterMode)(&filter, image));
	EXPECT(filter == CU_TR_FILTER_MODE_POINT);
	CU(DRIVER(cuTexRefSetMipmapLevelBias)(image, 0.0f));
	CU(DRIVER(cuTexRefGetMipmapLevelBias)(&bias, image));
	EXPECT(bias == 0);
	CU(DRIVER(cuTexRefSetMipmapLevelClamp)(image, 0.0f, 0.0f));
	CU(DRIVER(cuTexRefGetMipmapLevelClamp)(&low, &high, image));
	EXPECT(low == 0 && high == 0);
	CU(DRIVER(cuTexRefSetMaxAnisotropy)(image, 1));
	CU(DRIVER(cuTexRefGetMaxAnisotropy)(&anisotropy, image));
	EXPECT(anisotropy == 1);
	CU(DRIVER(cuTexRefSetMipmappedArray)(image, mipmap, CU_TRSA_OVERRIDE_FORMAT));
	CU(DRIVER(cuTexRefGetMipmappedArray)(&bound, image));
	EXPECT(bound == mipmap);
	step = 1.0f / WIDTH;
	std::vector<float> got = run("read_image", 1, &step);
	for (int i = 0; i < WIDTH; i++)
		EXPECT(got[i] == in[i]);
	CU(DRIVER(cuMipmappedArrayDestroy)(mipmap));
	print_checksum("mipmap", got);
}

static void
surfaces()
{
	CUDA_ARRAY3D_DESCRIPTOR desc = {};
	std::vector<unsigned> got(WIDTH * HEIGHT);
	CUDA_MEMCPY2D copy = {};
	CUarray array, bound;
	CUsurfref canvas;

	desc.Width = WIDTH;
	desc.Height = HEIGHT;
	desc.Format = CU_AD_FORMAT_UNSIGNED_INT32;
	desc.NumChannels = 1;
	desc.Flags = CUDA_ARRAY3D_SURFACE_LDST;
	CU(DRIVER(cuArray3DCreate)(&array, &desc));
	CU(DRIVER(cuModuleGetSurfRef)(&canvas, module, "canvas"));
	CU(DRIVER(cuSurfRefSetArray)(canvas, array, 0));
	CU(DRIVER(cuSurfRefGetArray)(&bound, canvas));
	EXPECT(bound == array);
	run("paint", HEIGHT, nullptr);
	copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
	copy.srcArray = array;
	copy.dstMemoryType = CU_MEMORYTYPE_HOST;
	copy.dstHost = got.data();
	copy.dstPitch = copy.WidthInBytes = WIDTH * sizeof(unsigned);
	copy.Height = HEIGHT;
	CU(DRIVER(cuMemcpy2D)(&copy));
	for (size_t i = 0; i < got.size(); i++)
		EXPECT(got[i] == i);
	CU(DRIVER(cuArrayDestroy)(array));
	print_checksum("surface", got);
}

/* References that no module has, and names that none has. */
static void
names()
{
	CUtexref ref, again;
	CUsurfref surface;
	CUarray_format format;
	CUaddress_mode mode;
	int channels;

	EXPECT_CU(DRIVER(cuModuleGetTexRef)(&ref, module, "nothing"), CUDA_ERROR_NOT_FOUND);
	EXPECT_CU(DRIVER(cuModuleGetSurfRef)(&surface, module, "nothing"), CUDA_ERROR_NOT_FOUND);
	EXPECT_CU(DRIVER(cuModuleGetTexRef)(nullptr, module, "line"), CUDA_ERROR_INVALID_VALUE);
	CU(DRIVER(cuModuleGetTexRef)(&ref, module, "line"));
	CU(DRIVER(cuModuleGetTexRef)(&again, module, "line"));
	EXPECT(ref == again);
	CU(DRIVER(cuTexRefCreate)(&ref));
	CU(DRIVER(cuTexRefSetFormat)(ref, CU_AD_FORMAT_UNSIGNED_INT16, 4));
	CU(DRIVER(cuTexRefGetFormat)(&format, &channels, ref));
	EXPECT(format == CU_AD_FORMAT_UNSIGNED_INT16 && channels == 4);
	CU(DRIVER(cuTexRefSetAddressMode)(ref, 1, CU_TR_ADDRESS_MODE_MIRROR));
	CU(DRIVER(cuTexRefGetAddressMode)(&mode, ref, 1));
	EXPECT(mode == CU_TR_ADDRESS_MODE_MIRROR);
	EXPECT_FAILS(DRIVER(cuTexRefSetAddressMode)(ref, 3, CU_TR_ADDRESS_MODE_CLAMP));
	CU(DRIVER(cuTexRefDestroy)(ref));
	printf("names\n");
}

int
main()
{
	CUDA(cudaFree(nullptr)); /* makes the context */
	CU(DRIVER(cuModuleLoadData)(&module, text));
	CU(DRIVER(cuMemAlloc)(&out, WIDTH * HEIGHT * sizeof(float)));
	linear_memory();
	rows();
	arrays();
	mipmaps();
	surfaces();
	names();
	CU(DRIVER(cuMemFree)(out));
	CU(DRIVER(cuModuleUnload)(module));
	return ok();
}
