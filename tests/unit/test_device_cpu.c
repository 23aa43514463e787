/* The CPU device through its table: device, contexts, memory, copies, kernels, streams. */
#include "cpu_fixture.h"

/* Where there is room for so much under a sanitizer too. */
#define PLACE  0x1000000000
#define WINDOW ((size_t)1 << 37)

TestSuite(device_cpu, .init = open_device, .fini = close_device, .timeout = 60);

Test(device_cpu, table_is_full)
{
	for (size_t i = 0; i < genie_driver_name_count; i++) {
		void *fn;

		memcpy(&fn, (const char *)drv + genie_driver_names[i].offset, sizeof(fn));
		cr_assert_not_null(fn, "%s", genie_driver_names[i].name);
	}
	for (size_t i = 0; i < genie_nvml_name_count; i++) {
		void *fn;

		memcpy(&fn, (const char *)&backend.nvml + genie_nvml_names[i].offset, sizeof(fn));
		cr_assert_not_null(fn, "%s", genie_nvml_names[i].name);
	}
	fails(CUDA_ERROR_NOT_SUPPORTED, drv->cuMulticastGetGranularity(NULL, NULL, 0));
}

Test(device_cpu, describes_itself)
{
	struct genie_device_info info;
	char name[64];
	int value, other;
	size_t total, free_bytes;
	CUdevice dev;

	ok(drv->cuDeviceGetName(name, sizeof(name), 0));
	cr_assert_eq(strncmp(name, "Genie CPU device (", 18), 0);
	ok(drv->cuDeviceTotalMem_v2(&total, 0));
	cr_assert_eq(total, (size_t)512 << 20);
	ok(drv->cuMemGetInfo_v2(&free_bytes, &total));
	cr_assert_leq(free_bytes, total);
	ok(drv->cuDeviceComputeCapability(&value, &other, 0));
	cr_assert_eq(value * 10 + other, 121);
	for (int i = 1; i < CU_DEVICE_ATTRIBUTE_MAX; i++)
		ok(drv->cuDeviceGetAttribute(&value, (CUdevice_attribute)i, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuDeviceGetAttribute(&value, 0, 0));
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuDeviceGet(&dev, 1));
	ok(drv->cuDeviceGetPCIBusId(name, sizeof(name), 0));
	ok(drv->cuDeviceGetByPCIBusId(&dev, name));
	cr_assert_eq(genie_backend_describe(&backend, 0, &info), 0);
	cr_assert_eq(info.attrs[CU_DEVICE_ATTRIBUTE_WARP_SIZE], 32);
	/* what its PTX can do */
	cr_assert_eq(info.attrs[CU_DEVICE_ATTRIBUTE_CAN_TEX2D_GATHER], 1);
	cr_assert_eq(info.attrs[CU_DEVICE_ATTRIBUTE_TENSOR_MAP_ACCESS_SUPPORTED], 1);
	cr_assert_eq(info.image_kinds, GENIE_IMAGE_PTX);
	cr_assert_eq(info.stream_priority_high, -5);
}

Test(device_cpu, errors_have_names)
{
	const char *text;

	ok(drv->cuGetErrorName(CUDA_ERROR_INVALID_VALUE, &text));
	cr_assert_str_eq(text, "CUDA_ERROR_INVALID_VALUE");
	ok(drv->cuGetErrorString(CUDA_ERROR_OUT_OF_MEMORY, &text));
	cr_assert_str_eq(text, "out of memory");
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuGetErrorName((CUresult)12345, &text));
}

Test(device_cpu, contexts_nest)
{
	CUcontext other, now;
	unsigned long long a, b;

	ok(drv->cuCtxCreate_v2(&other, 0, 0));
	ok(drv->cuCtxGetCurrent(&now));
	cr_assert_eq(now, other);
	ok(drv->cuCtxGetId(ctx, &a));
	ok(drv->cuCtxGetId(other, &b));
	cr_assert_neq(a, b);
	ok(drv->cuCtxPushCurrent_v2(ctx));
	ok(drv->cuCtxPopCurrent_v2(&now));
	cr_assert_eq(now, ctx);
	ok(drv->cuCtxDestroy_v2(other));
	ok(drv->cuCtxGetCurrent(&now));
	cr_assert_eq(now, ctx);
	/* its memory stays: a destroyed context is recognised */
	fails(CUDA_ERROR_INVALID_CONTEXT, drv->cuCtxSetCurrent(other));
	ok(drv->cuCtxSetCurrent(NULL));
	fails(CUDA_ERROR_INVALID_CONTEXT, drv->cuCtxSynchronize());
}

Test(device_cpu, limits_are_kept)
{
	size_t value;

	ok(drv->cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 2000));
	ok(drv->cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE));
	cr_assert_eq(value, 2000);
	fails(CUDA_ERROR_UNSUPPORTED_LIMIT,
	      drv->cuCtxGetLimit(&value, CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuCtxGetLimit(&value, CU_LIMIT_MAX));
}

Test(device_cpu, memory_is_counted)
{
	size_t before, after, total;
	CUdeviceptr a, b;

	ok(drv->cuMemGetInfo_v2(&before, &total));
	ok(drv->cuMemAlloc_v2(&a, 100 << 20));
	ok(drv->cuMemGetInfo_v2(&after, &total));
	cr_assert_eq(before - after, 100 << 20);
	fails(CUDA_ERROR_OUT_OF_MEMORY, drv->cuMemAlloc_v2(&b, 450 << 20));
	fails(CUDA_ERROR_OUT_OF_MEMORY, drv->cuMemAlloc_v2(&b, SIZE_MAX));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemAlloc_v2(&b, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemFree_v2(a + 8));
	ok(drv->cuMemFree_v2(a));
	ok(drv->cuMemFree_v2(0));
	ok(drv->cuMemGetInfo_v2(&after, &total));
	cr_assert_eq(before, after);
}

/* As the worker places memory: a window, pages, a mapping. */
Test(device_cpu, pages_are_mapped_where_asked)
{
	const size_t page = 2 << 20;
	CUmemAllocationProp prop = {
		.type = CU_MEM_ALLOCATION_TYPE_PINNED,
		.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0},
	};
	CUmemAccessDesc access = {
		.location = prop.location,
		.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
	};
	CUmemGenericAllocationHandle handle;
	CUdeviceptr window;
	size_t granularity, before, after, total;

	ok(drv->cuMemGetAllocationGranularity(&granularity, &prop,
					      CU_MEM_ALLOC_GRANULARITY_MINIMUM));
	cr_assert_eq(granularity, page);
	ok(drv->cuMemGetInfo_v2(&before, &total));
	ok(drv->cuMemAddressReserve(&window, WINDOW, 0, PLACE, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemCreate(&handle, 4096, &prop, 0));
	ok(drv->cuMemCreate(&handle, 4 * page, &prop, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemMap(window - page, page, 0, handle, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemMap(window, 5 * page, 0, handle, 0));
	ok(drv->cuMemMap(window, 4 * page, 0, handle, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemMap(window + page, page, 0, handle, 0));
	/* the same pages at a second address */
	ok(drv->cuMemMap(window + 8 * page, page, page, handle, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemsetD8_v2(window, 1, 16));
	ok(drv->cuMemSetAccess(window, 4 * page, &access, 1));
	ok(drv->cuMemSetAccess(window + 8 * page, page, &access, 1));
	ok(drv->cuMemsetD32_v2(window + page, 77, 1));
	cr_assert_eq(read_u32(window + 8 * page), 77);
	ok(drv->cuMemRelease(handle));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemAddressFree(window, WINDOW));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemUnmap(window, page));
	ok(drv->cuMemUnmap(window, 4 * page));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemsetD8_v2(window, 1, 16));
	cr_assert_eq(read_u32(window + 8 * page), 77);
	ok(drv->cuMemUnmap(window + 8 * page, page));
	ok(drv->cuMemGetInfo_v2(&after, &total));
	cr_assert_eq(before, after);
	/* pages come back clean */
	ok(drv->cuMemCreate(&handle, page, &prop, 0));
	ok(drv->cuMemMap(window, page, 0, handle, 0));
	ok(drv->cuMemSetAccess(window, page, &access, 1));
	cr_assert_eq(read_u32(window), 0);
	ok(drv->cuMemUnmap(window, page));
	ok(drv->cuMemRelease(handle));
	ok(drv->cuMemAddressFree(window, WINDOW));
	fails(CUDA_ERROR_OUT_OF_MEMORY, drv->cuMemCreate(&handle, (size_t)1 << 40, &prop, 0));
}

/* No address a client makes up becomes a fault. */
Test(device_cpu, copies_check_addresses)
{
	CUdeviceptr a = device_memory(4096);
	char host[64] = {0};

	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpyHtoD_v2(0x1000, host, 4));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpyHtoD_v2(a + 4094, host, 4));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpyDtoH_v2(host, UINT64_MAX - 1, 4));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpyDtoD_v2(a, (CUdeviceptr)host, 4));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpyHtoD_v2(a, NULL, 4));
	ok(drv->cuMemcpyHtoD_v2(0x1000, host, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemsetD32_v2(a + 2, 0, 1));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemsetD16_v2(a + 1, 0, 1));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemsetD8_v2(a, 0, SIZE_MAX));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemsetD2D32_v2(a, 4, 0, SIZE_MAX / 2, 2));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemsetD2D8_v2(a, SIZE_MAX / 2, 0, 4, 3));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemsetD2D8_v2(a, 8, 0, 16, 2));
}

Test(device_cpu, sets_every_shape)
{
	CUdeviceptr a = device_memory(4096);
	uint16_t halves[8];
	uint8_t bytes[64];

	ok(drv->cuMemsetD16_v2(a, 0x1234, 8));
	ok(drv->cuMemcpyDtoH_v2(halves, a, sizeof(halves)));
	for (int i = 0; i < 8; i++)
		cr_assert_eq(halves[i], 0x1234);
	ok(drv->cuMemsetD8_v2(a, 0, 64));
	ok(drv->cuMemsetD2D8Async(a, 16, 9, 3, 4, NULL));
	ok(drv->cuMemcpyDtoH_v2(bytes, a, 64));
	for (int i = 0; i < 64; i++)
		cr_assert_eq(bytes[i], i % 16 < 3 ? 9 : 0);
	ok(drv->cuMemsetD2D32_v2(a, 16, 0x01020304, 2, 2));
	cr_assert_eq(read_u32(a + 20), 0x01020304);
}

Test(device_cpu, copies_boxes)
{
	CUdeviceptr a = device_memory(8192);
	uint8_t src[6][5][7], dst[6][5][7] = {0};
	CUDA_MEMCPY3D to = {
		.srcMemoryType = CU_MEMORYTYPE_HOST,
		.srcHost = src,
		.srcPitch = 7,
		.srcHeight = 5,
		.srcXInBytes = 1,
		.srcY = 1,
		.srcZ = 2,
		.dstMemoryType = CU_MEMORYTYPE_DEVICE,
		.dstDevice = a,
		.dstPitch = 16,
		.dstHeight = 8,
		.dstZ = 1,
		.WidthInBytes = 5,
		.Height = 3,
		.Depth = 4,
	};
	CUDA_MEMCPY3D back = {
		.srcMemoryType = CU_MEMORYTYPE_DEVICE,
		.srcDevice = a,
		.srcPitch = 16,
		.srcHeight = 8,
		.srcZ = 1,
		.dstMemoryType = CU_MEMORYTYPE_HOST,
		.dstHost = dst,
		.dstPitch = 7,
		.dstHeight = 5,
		.dstXInBytes = 1,
		.dstY = 1,
		.dstZ = 2,
		.WidthInBytes = 5,
		.Height = 3,
		.Depth = 4,
	};

	for (size_t i = 0; i < sizeof(src); i++)
		((uint8_t *)src)[i] = (uint8_t)(i + 1);
	ok(drv->cuMemcpy3D_v2(&to));
	ok(drv->cuMemcpy3DAsync_v2(&back, NULL));
	for (int z = 0; z < 6; z++)
		for (int y = 0; y < 5; y++)
			for (int x = 0; x < 7; x++)
				cr_assert_eq(dst[z][y][x],
					     z >= 2 && y >= 1 && y < 4 && x >= 1 && x < 6
						     ? src[z][y][x]
						     : 0);
	to.dstPitch = 4;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpy3D_v2(&to));
	to.dstPitch = SIZE_MAX / 4;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpy3D_v2(&to));
	to.dstPitch = 16;
	to.dstZ = SIZE_MAX / 2;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpy3D_v2(&to));
}

Test(device_cpu, arrays_hold_planes)
{
	CUDA_ARRAY_DESCRIPTOR desc = {
		.Width = 8, .Height = 4, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};
	CUDA_ARRAY3D_DESCRIPTOR desc3;
	CUDA_MEMCPY2D copy = {0};
	float in[4][8], out[4][8];
	CUarray array;

	for (int i = 0; i < 32; i++)
		((float *)in)[i] = (float)i;
	ok(drv->cuArrayCreate_v2(&array, &desc));
	ok(drv->cuArray3DGetDescriptor_v2(&desc3, array));
	cr_assert_eq(desc3.Height, 4);
	copy.srcMemoryType = CU_MEMORYTYPE_HOST;
	copy.srcHost = in;
	copy.srcPitch = sizeof(in[0]);
	copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
	copy.dstArray = array;
	copy.WidthInBytes = sizeof(in[0]);
	copy.Height = 4;
	ok(drv->cuMemcpy2D_v2(&copy));
	ok(drv->cuMemcpyAtoH_v2(out[2], array, 4, 16));
	cr_assert_float_eq(out[2][0], 1, 0);
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpyAtoH_v2(out, array, 24, 16));
	copy.dstY = 1;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpy2D_v2(&copy));
	ok(drv->cuArrayDestroy(array));
	desc.NumChannels = 3;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuArrayCreate_v2(&array, &desc));
	desc.NumChannels = 4;
	desc.Width = SIZE_MAX / 4;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuArrayCreate_v2(&array, &desc));
}

Test(device_cpu, mipmaps_and_textures)
{
	CUDA_ARRAY3D_DESCRIPTOR desc = {
		.Width = 8, .Height = 2, .Format = CU_AD_FORMAT_UNSIGNED_INT8, .NumChannels = 4};
	CUDA_RESOURCE_DESC resource = {.resType = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY}, got;
	CUDA_TEXTURE_DESC texture = {.filterMode = CU_TR_FILTER_MODE_LINEAR};
	CUmipmappedArray mipmap;
	CUtexObject object;
	CUarray level;

	ok(drv->cuMipmappedArrayCreate(&mipmap, &desc, 10));
	ok(drv->cuMipmappedArrayGetLevel(&level, mipmap, 3));
	ok(drv->cuArray3DGetDescriptor_v2(&desc, level));
	cr_assert_eq(desc.Width, 1);
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMipmappedArrayGetLevel(&level, mipmap, 4));
	fails(CUDA_ERROR_INVALID_HANDLE, drv->cuArrayDestroy(level));
	resource.res.mipmap.hMipmappedArray = mipmap;
	ok(drv->cuTexObjectCreate(&object, &resource, &texture, NULL));
	ok(drv->cuTexObjectGetResourceDesc(&got, object));
	cr_assert_eq(got.res.mipmap.hMipmappedArray, mipmap);
	ok(drv->cuTexObjectDestroy(object));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuSurfObjectCreate(&object, &resource));
	ok(drv->cuMipmappedArrayDestroy(mipmap));
}

Test(device_cpu, host_memory_is_device_memory)
{
	void *memory = aligned_alloc(4096, 8192);
	CUdeviceptr ptr;
	uint32_t value;

	ok(drv->cuMemHostRegister_v2(memory, 8192, 0));
	fails(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
	      drv->cuMemHostRegister_v2(memory, 4096, 0));
	ok(drv->cuMemHostGetDevicePointer_v2(&ptr, (char *)memory + 100, 0));
	cr_assert_eq(ptr, (CUdeviceptr)memory + 100);
	ok(launch("add", NULL, (CUdeviceptr)memory, 0));
	ok(drv->cuMemsetD32_v2((CUdeviceptr)memory, 5, 1));
	memcpy(&value, memory, sizeof(value));
	cr_assert_eq(value, 5);
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemHostUnregister((char *)memory + 4096));
	ok(drv->cuMemHostUnregister(memory));
	fails(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, drv->cuMemHostUnregister(memory));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemsetD32_v2((CUdeviceptr)memory, 5, 1));
	free(memory);
}

Test(device_cpu, pools_give_memory)
{
	CUmemoryPool pool;
	CUdeviceptr a;

	ok(drv->cuDeviceGetDefaultMemPool(&pool, 0));
	ok(drv->cuMemAllocFromPoolAsync(&a, 1000, pool, NULL));
	ok(drv->cuMemsetD8Async(a, 1, 1000, NULL));
	ok(drv->cuMemFreeAsync(a, NULL));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemsetD8Async(a, 1, 1000, NULL));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemFreeAsync(a, NULL));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemPoolDestroy(pool));
}

/* ---- code ---- */

Test(device_cpu, images_that_do_not_load)
{
	CUmodule m;

	fails(CUDA_ERROR_INVALID_IMAGE, drv->cuModuleLoadData(&m, "no image"));
	cr_assert_not_null(backend.image_error());
	fails(CUDA_ERROR_INVALID_PTX,
	      drv->cuModuleLoadData(&m, ".version 8.0\n.target sm_80\n.address_size 64\n"
					".entry k( { ret; }\n"));
	cr_assert_not_null(strstr(backend.image_error(), "PTX"));
	fails(CUDA_ERROR_INVALID_PTX,
	      drv->cuModuleLoadData(&m, ".version 8.8\n.target sm_129\n.address_size 64\n"
					".entry k() { ret; }\n"));
	fails(CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
	      drv->cuModuleLoadData(&m, ".version 99.0\n.target sm_80\n.address_size 64\n"
					".entry k() { ret; }\n"));
	ok(drv->cuModuleLoadData(&m, ".version 8.0\n.target sm_80\n.address_size 64\n"));
	cr_assert_null(backend.image_error());
	ok(drv->cuModuleUnload(m));
}

Test(device_cpu, modules_have_names)
{
	CUfunction fn, again;
	CUdeviceptr counter;
	size_t size, offset;
	unsigned int count;
	int value;

	fails(CUDA_ERROR_NOT_FOUND, drv->cuModuleGetFunction(&fn, module, "nobody"));
	fails(CUDA_ERROR_NOT_FOUND, drv->cuModuleGetGlobal_v2(&counter, &size, module, "nobody"));
	ok(drv->cuModuleGetGlobal_v2(&counter, &size, module, "counter"));
	cr_assert_eq(size, 4);
	ok(drv->cuMemsetD32_v2(counter, 3, 1));
	ok(launch("add", NULL, counter, 4));
	cr_assert_eq(read_u32(counter), 7);
	ok(drv->cuModuleGetFunctionCount(&count, module));
	cr_assert_eq(count, 6);
	fn = function("add");
	ok(drv->cuModuleGetFunction(&again, module, "add"));
	cr_assert_eq(fn, again);
	ok(drv->cuFuncGetParamInfo(fn, 2, &offset, &size));
	cr_assert_eq(offset, 12);
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuFuncGetParamInfo(fn, 3, &offset, &size));
	ok(drv->cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES,
				   function("shared")));
	cr_assert_eq(value, 400);
	ok(drv->cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK,
				   function("small")));
	cr_assert_eq(value, 64);
}

static CUresult
launch_shape(const char *name, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx,
	     unsigned int by, unsigned int bz, unsigned int shared)
{
	CUdeviceptr a = device_memory(4);
	unsigned int zero = 0;
	void *params[] = {&a, &zero, &zero};

	return drv->cuLaunchKernel(function(name), gx, gy, gz, bx, by, bz, shared, NULL, params,
				   NULL);
}

/* What an H200 answers (driver 580): read there, with the same kernels. */
Test(device_cpu, launch_limits_are_the_drivers)
{
	ok(launch_shape("nothing", 1, 1, 1, 1024, 1, 1, 0));
	fails(CUDA_ERROR_INVALID_VALUE, launch_shape("nothing", 1, 1, 1, 1025, 1, 1, 0));
	fails(CUDA_ERROR_INVALID_VALUE, launch_shape("nothing", 1, 1, 1, 32, 32, 2, 0));
	fails(CUDA_ERROR_INVALID_VALUE, launch_shape("nothing", 1, 1, 1, 1, 1, 65, 0));
	fails(CUDA_ERROR_INVALID_VALUE, launch_shape("nothing", 0, 1, 1, 1, 1, 1, 0));
	fails(CUDA_ERROR_INVALID_VALUE, launch_shape("nothing", 1, 1, 1, 0, 1, 1, 0));
	fails(CUDA_ERROR_INVALID_VALUE, launch_shape("nothing", 1, 65536, 1, 1, 1, 1, 0));
	fails(CUDA_ERROR_INVALID_VALUE, launch_shape("nothing", 0x80000000, 1, 1, 1, 1, 1, 0));
	ok(launch_shape("nothing", 1, 1, 1, 1, 1, 1, 49152));
	fails(CUDA_ERROR_INVALID_VALUE, launch_shape("nothing", 1, 1, 1, 1, 1, 1, 49153));
	ok(launch_shape("shared", 1, 1, 1, 1, 1, 1, 48752));
	fails(CUDA_ERROR_INVALID_VALUE, launch_shape("shared", 1, 1, 1, 1, 1, 1, 48753));
	ok(launch_shape("small", 1, 1, 1, 64, 1, 1, 0));
	fails(CUDA_ERROR_INVALID_VALUE, launch_shape("small", 1, 1, 1, 65, 1, 1, 0));
	ok(drv->cuFuncSetAttribute(function("shared"),
				   CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100976));
	ok(launch_shape("shared", 1, 1, 1, 1, 1, 1, 100976));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuFuncSetAttribute(function("shared"),
				      CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100977));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuFuncSetAttribute(function("shared"), CU_FUNC_ATTRIBUTE_NUM_REGS, 1));
	fails(CUDA_ERROR_INVALID_HANDLE,
	      drv->cuLaunchKernel(NULL, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
}

Test(device_cpu, parameters_both_ways)
{
	CUdeviceptr a = device_memory(4);
	struct {
		CUdeviceptr a;
		uint32_t value, n;
	} packed = {a, 6, 1};
	size_t size = sizeof(packed);
	void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &packed, CU_LAUNCH_PARAM_BUFFER_SIZE,
			 &size, CU_LAUNCH_PARAM_END};
	void *params[] = {&packed.a, &packed.value, &packed.n};
	CUfunction fn = function("add");

	ok(drv->cuLaunchKernel(fn, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, extra));
	ok(drv->cuLaunchKernel(fn, 1, 1, 1, 1, 1, 1, 0, NULL, params, NULL));
	cr_assert_eq(read_u32(a), 12);
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuLaunchKernel(fn, 1, 1, 1, 1, 1, 1, 0, NULL, params, extra));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuLaunchKernel(fn, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
	size = sizeof(packed) + 4;
	fails(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
	      drv->cuLaunchKernel(fn, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, extra));
}

Test(device_cpu, clusters_and_cooperation)
{
	CUlaunchAttribute attr = {.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION};
	CUlaunchConfig config = {.gridDimX = 8,
				 .gridDimY = 1,
				 .gridDimZ = 1,
				 .blockDimX = 32,
				 .blockDimY = 1,
				 .blockDimZ = 1,
				 .attrs = &attr,
				 .numAttrs = 1};
	CUfunction fn = function("nothing");
	int clusters;

	attr.value.clusterDim.x = 4;
	attr.value.clusterDim.y = attr.value.clusterDim.z = 1;
	ok(drv->cuLaunchKernelEx(&config, fn, NULL, NULL));
	ok(drv->cuOccupancyMaxActiveClusters(&clusters, fn, &config));
	cr_assert_gt(clusters, 0);
	attr.value.clusterDim.x = 3;
	fails(CUDA_ERROR_INVALID_CLUSTER_SIZE, drv->cuLaunchKernelEx(&config, fn, NULL, NULL));
	attr.value.clusterDim.x = 16;
	fails(CUDA_ERROR_INVALID_CLUSTER_SIZE, drv->cuLaunchKernelEx(&config, fn, NULL, NULL));
	attr.id = (CUlaunchAttributeID)77;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuLaunchKernelEx(&config, fn, NULL, NULL));
	ok(drv->cuLaunchCooperativeKernel(fn, 1, 1, 1, 32, 1, 1, 0, NULL, NULL));
	fails(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE,
	      drv->cuLaunchCooperativeKernel(fn, 1000000, 1, 1, 1024, 1, 1, 0, NULL, NULL));
}

Test(device_cpu, occupancy_follows_the_rules)
{
	CUfunction fn = function("nothing");
	int blocks, grid, threads;
	size_t size;

	ok(drv->cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fn, 32, 0));
	cr_assert_eq(blocks, 24);
	ok(drv->cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fn, 768, 0));
	cr_assert_eq(blocks, 2);
	ok(drv->cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fn, 32, 40000));
	cr_assert_eq(blocks, 2);
	ok(drv->cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fn, 1025, 0));
	cr_assert_eq(blocks, 0);
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fn, 0, 0));
	ok(drv->cuOccupancyMaxPotentialBlockSize(&grid, &threads, fn, NULL, 0, 0));
	cr_assert_eq(threads, 768);
	ok(drv->cuOccupancyAvailableDynamicSMemPerBlock(&size, fn, 4, 128));
	cr_assert_eq(size, 25600);
	ok(drv->cuOccupancyAvailableDynamicSMemPerBlock(&size, fn, 1, 128));
	cr_assert_eq(size, 49152);
}

Test(device_cpu, a_fault_loses_the_context)
{
	size_t value;
	CUdeviceptr a;
	CUevent event;

	ok(drv->cuEventCreate(&event, 0));
	fails(CUDA_ERROR_ILLEGAL_ADDRESS, launch("fault", NULL, 0x10, 0));
	fails(CUDA_ERROR_ILLEGAL_ADDRESS, drv->cuCtxSynchronize());
	fails(CUDA_ERROR_ILLEGAL_ADDRESS, drv->cuMemAlloc_v2(&a, 16));
	fails(CUDA_ERROR_ILLEGAL_ADDRESS, drv->cuStreamQuery(NULL));
	fails(CUDA_ERROR_ILLEGAL_ADDRESS, drv->cuEventRecord(event, NULL));
	fails(CUDA_ERROR_ILLEGAL_ADDRESS, drv->cuEventQuery(event));
	fails(CUDA_ERROR_ILLEGAL_ADDRESS, drv->cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE));
	fails(CUDA_ERROR_ILLEGAL_ADDRESS, drv->cuEventDestroy_v2(event));
	ok(drv->cuDevicePrimaryCtxReset_v2(0));
	fails(CUDA_ERROR_ILLEGAL_ADDRESS, drv->cuDevicePrimaryCtxRetain(&ctx, 0));
}

Test(device_cpu, misaligned_is_its_own_fault)
{
	CUdeviceptr a = device_memory(16);

	fails(CUDA_ERROR_MISALIGNED_ADDRESS, launch("fault", NULL, a + 1, 0));
}

/* ---- streams ---- */

Test(device_cpu, events_measure)
{
	CUevent start, end, silent;
	float ms = -1;

	ok(drv->cuEventCreate(&start, 0));
	ok(drv->cuEventCreate(&end, 0));
	ok(drv->cuEventCreate(&silent, CU_EVENT_DISABLE_TIMING));
	ok(drv->cuEventQuery(start));
	fails(CUDA_ERROR_INVALID_HANDLE, drv->cuEventElapsedTime_v2(&ms, start, end));
	ok(drv->cuEventRecord(start, NULL));
	ok(drv->cuEventRecord(silent, NULL));
	ok(drv->cuEventRecord(end, NULL));
	ok(drv->cuEventSynchronize(end));
	ok(drv->cuEventElapsedTime_v2(&ms, start, end));
	cr_assert(ms >= 0 && ms < 10000);
	fails(CUDA_ERROR_INVALID_HANDLE, drv->cuEventElapsedTime_v2(&ms, start, silent));
	ok(drv->cuEventDestroy_v2(start));
	ok(drv->cuEventDestroy_v2(end));
	ok(drv->cuEventDestroy_v2(silent));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuEventCreate(&start, CU_EVENT_INTERPROCESS));
}

Test(device_cpu, stream_priorities_are_clamped)
{
	CUstream stream;
	int priority;

	ok(drv->cuStreamCreateWithPriority(&stream, CU_STREAM_NON_BLOCKING, -99));
	ok(drv->cuStreamGetPriority(stream, &priority));
	cr_assert_eq(priority, -5);
	ok(drv->cuStreamDestroy_v2(stream));
	fails(CUDA_ERROR_INVALID_HANDLE, drv->cuStreamDestroy_v2(NULL));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuStreamCreate(&stream, 2));
}

static void
add_one(void *data)
{
	(*(int *)data)++;
}

static void
stream_done(CUstream stream, CUresult status, void *data)
{
	(void)stream;
	*(int *)data = 100 + (int)status;
}

Test(device_cpu, host_functions_run)
{
	int calls = 0;

	ok(drv->cuLaunchHostFunc(NULL, add_one, &calls));
	cr_assert_eq(calls, 1);
	ok(drv->cuStreamAddCallback(NULL, stream_done, &calls, 0));
	cr_assert_eq(calls, 100);
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuLaunchHostFunc(NULL, NULL, NULL));
}

/* A stream that waits for a value keeps its work; the work is done in order once it is there. */
Test(device_cpu, streams_wait_for_values)
{
	CUdeviceptr flag = device_memory(4), a = device_memory(4), b = device_memory(4);
	CUstream waiting, other, free_stream;
	CUevent event;
	int calls = 0;

	ok(drv->cuStreamCreate(&waiting, CU_STREAM_NON_BLOCKING));
	ok(drv->cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
	ok(drv->cuStreamCreate(&free_stream, CU_STREAM_NON_BLOCKING));
	ok(drv->cuEventCreate(&event, 0));
	ok(drv->cuStreamWaitValue32_v2(waiting, flag, 5, CU_STREAM_WAIT_VALUE_EQ));
	ok(launch("mix", waiting, a, 1));
	ok(launch("mix", waiting, a, 2));
	ok(drv->cuLaunchHostFunc(waiting, add_one, &calls));
	ok(drv->cuEventRecord(event, waiting));
	ok(drv->cuStreamWaitEvent(other, event, 0));
	ok(launch("mix", other, a, 3));
	ok(launch("mix", free_stream, b, 9));
	fails(CUDA_ERROR_NOT_READY, drv->cuStreamQuery(waiting));
	fails(CUDA_ERROR_NOT_READY, drv->cuStreamQuery(other));
	fails(CUDA_ERROR_NOT_READY, drv->cuEventQuery(event));
	ok(drv->cuStreamQuery(free_stream));
	cr_assert_eq(*(uint32_t *)b, 9);
	cr_assert_eq(*(uint32_t *)a, 0);
	/* a stream destroyed now finishes its work first */
	ok(drv->cuStreamDestroy_v2(other));
	ok(drv->cuStreamWriteValue32_v2(free_stream, flag, 5, 0));
	ok(drv->cuStreamSynchronize(waiting));
	ok(drv->cuEventSynchronize(event));
	cr_assert_eq(*(uint32_t *)a, ((0 * 2 + 1) * 2 + 2) * 2 + 3);
	cr_assert_eq(calls, 1);
	ok(drv->cuEventDestroy_v2(event));
}

/* The legacy stream waits for blocking streams, and they for it. */
Test(device_cpu, legacy_stream_is_tied)
{
	CUdeviceptr flag = device_memory(8), a = device_memory(4);
	CUstream blocking;

	ok(drv->cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
	ok(drv->cuStreamWaitValue64_v2(blocking, flag, 3, CU_STREAM_WAIT_VALUE_GEQ));
	ok(launch("mix", blocking, a, 1));
	ok(launch("mix", NULL, a, 2));
	ok(launch("mix", blocking, a, 3));
	fails(CUDA_ERROR_NOT_READY, drv->cuStreamQuery(NULL));
	cr_assert_eq(*(uint32_t *)a, 0);
	*(volatile uint64_t *)flag = 4;
	ok(drv->cuCtxSynchronize());
	cr_assert_eq(*(uint32_t *)a, (1 * 2 + 2) * 2 + 3);
}

Test(device_cpu, values_are_checked)
{
	CUdeviceptr a = device_memory(16);
	CUstreamBatchMemOpParams list[2] = {0};

	fails(CUDA_ERROR_INVALID_VALUE, drv->cuStreamWaitValue32_v2(NULL, a + 1, 0, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuStreamWaitValue32_v2(NULL, 0x1000, 0, 0));
	fails(CUDA_ERROR_NOT_SUPPORTED,
	      drv->cuStreamWaitValue32_v2(NULL, a, 0, CU_STREAM_WAIT_VALUE_FLUSH));
	list[0].operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
	list[0].writeValue.address = a;
	list[0].writeValue.value = 7;
	list[1].operation = CU_STREAM_MEM_OP_WAIT_VALUE_32;
	list[1].waitValue.address = a;
	list[1].waitValue.value = 3;
	list[1].waitValue.flags = CU_STREAM_WAIT_VALUE_AND;
	ok(drv->cuStreamBatchMemOp_v2(NULL, 2, list, 0));
	ok(drv->cuStreamQuery(NULL));
	cr_assert_eq(read_u32(a), 7);
	list[1].operation = (CUstreamBatchMemOpType)99;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuStreamBatchMemOp_v2(NULL, 2, list, 0));
}

/* A module that was unloaded lives as long as work that a stream keeps needs it. */
Test(device_cpu, kept_work_keeps_its_module)
{
	CUdeviceptr flag = device_memory(4), a = device_memory(4);
	CUstream stream;

	ok(drv->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	ok(drv->cuStreamWaitValue32_v2(stream, flag, 1, CU_STREAM_WAIT_VALUE_EQ));
	ok(launch("mix", stream, a, 4));
	ok(drv->cuModuleUnload(module));
	*(volatile uint32_t *)flag = 1;
	ok(drv->cuStreamSynchronize(stream));
	cr_assert_eq(*(uint32_t *)a, 4);
}

Test(device_cpu, nvml_tells_the_same)
{
	const struct genie_nvml *nvml = &backend.nvml;
	nvmlMemory_v2_t memory = {.version = GENIE_NVML_VERSION(nvmlMemory_v2_t, 2)};
	nvmlUtilization_t utilization;
	nvmlPciInfo_t pci;
	nvmlDevice_t dev, same;
	unsigned int count;
	char text[96], name[96];
	int major, minor;

	cr_assert_eq(nvml->nvmlInit_v2(), NVML_SUCCESS);
	cr_assert_eq(nvml->nvmlDeviceGetCount_v2(&count), NVML_SUCCESS);
	cr_assert_eq(count, 1);
	cr_assert_eq(nvml->nvmlDeviceGetHandleByIndex_v2(0, &dev), NVML_SUCCESS);
	cr_assert_eq(nvml->nvmlDeviceGetHandleByIndex_v2(1, &dev), NVML_ERROR_INVALID_ARGUMENT);
	cr_assert_eq(nvml->nvmlDeviceGetName(dev, text, sizeof(text)), NVML_SUCCESS);
	ok(drv->cuDeviceGetName(name, sizeof(name), 0));
	cr_assert_str_eq(text, name);
	cr_assert_eq(nvml->nvmlDeviceGetName(dev, text, 3), NVML_ERROR_INSUFFICIENT_SIZE);
	cr_assert_eq(nvml->nvmlDeviceGetUUID(dev, text, sizeof(text)), NVML_SUCCESS);
	cr_assert_eq(nvml->nvmlDeviceGetHandleByUUID(text, &same), NVML_SUCCESS);
	cr_assert_eq(same, dev);
	cr_assert_eq(nvml->nvmlDeviceGetPciInfo_v3(dev, &pci), NVML_SUCCESS);
	cr_assert_str_eq(pci.busId, "00000000:FE:00.0");
	cr_assert_str_eq(pci.busIdLegacy, "0000:FE:00.0");
	cr_assert_eq(nvml->nvmlDeviceGetHandleByPciBusId_v2(pci.busId, &same), NVML_SUCCESS);
	cr_assert_eq(nvml->nvmlDeviceGetMemoryInfo_v2(dev, &memory), NVML_SUCCESS);
	cr_assert_eq(memory.total, 512ull << 20);
	memory.version = 1;
	cr_assert_eq(nvml->nvmlDeviceGetMemoryInfo_v2(dev, &memory),
		     NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
	cr_assert_eq(nvml->nvmlDeviceGetCudaComputeCapability(dev, &major, &minor), NVML_SUCCESS);
	cr_assert_eq(major, 12);
	cr_assert_eq(nvml->nvmlDeviceGetUtilizationRates(dev, &utilization), NVML_SUCCESS);
	cr_assert_eq(nvml->nvmlDeviceGetPowerUsage(dev, &count), NVML_ERROR_NOT_SUPPORTED);
	cr_assert_eq(nvml->nvmlDeviceGetName(NULL, text, sizeof(text)),
		     NVML_ERROR_INVALID_ARGUMENT);
}
