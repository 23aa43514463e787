/* The CPU device: kinds of memory, pools, copies between arrays and memory, views of textures,
 * pages that are mapped. */
#include <unistd.h>

#include "cpu_fixture.h"

#define PAGE ((size_t)2 << 20)

TestSuite(device_cpu_memory, .init = open_device, .fini = close_device, .timeout = 60);

/* ---- kinds of memory ---- */

static unsigned int
type_of(CUdeviceptr ptr)
{
	unsigned int type = 0;

	ok(drv->cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, ptr));
	return type;
}

Test(device_cpu_memory, pointers_say_what_they_are)
{
	CUdeviceptr device = device_memory(1000), start = 0, seen = 0;
	unsigned long long id, other;
	unsigned int managed = 7, mapped = 0;
	void *host = NULL, *back = NULL;
	CUcontext owner = NULL;
	size_t size = 0;
	int ordinal = 7;

	ok(drv->cuMemAllocHost_v2(&host, 5000));
	cr_assert_eq(type_of(device + 10), CU_MEMORYTYPE_DEVICE);
	cr_assert_eq(type_of((CUdeviceptr)host + 4999), CU_MEMORYTYPE_HOST);
	ok(drv->cuPointerGetAttribute(&owner, CU_POINTER_ATTRIBUTE_CONTEXT, device));
	cr_assert_eq(owner, ctx);
	ok(drv->cuPointerGetAttribute(&seen, CU_POINTER_ATTRIBUTE_DEVICE_POINTER,
				      (CUdeviceptr)host + 8));
	cr_assert_eq(seen, (CUdeviceptr)host + 8);
	ok(drv->cuPointerGetAttribute(&back, CU_POINTER_ATTRIBUTE_HOST_POINTER,
				      (CUdeviceptr)host + 8));
	cr_assert_eq(back, (char *)host + 8);
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuPointerGetAttribute(&back, CU_POINTER_ATTRIBUTE_HOST_POINTER, device));
	ok(drv->cuPointerGetAttribute(&id, CU_POINTER_ATTRIBUTE_BUFFER_ID, device));
	ok(drv->cuPointerGetAttribute(&other, CU_POINTER_ATTRIBUTE_BUFFER_ID, (CUdeviceptr)host));
	cr_assert_neq(id, other);
	ok(drv->cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, device));
	cr_assert_eq(managed, 0);
	ok(drv->cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, device));
	cr_assert_eq(ordinal, 0);
	ok(drv->cuPointerGetAttribute(&mapped, CU_POINTER_ATTRIBUTE_MAPPED, device));
	cr_assert_eq(mapped, 1);
	ok(drv->cuPointerGetAttribute(&start, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, device + 500));
	ok(drv->cuPointerGetAttribute(&size, CU_POINTER_ATTRIBUTE_RANGE_SIZE, device + 500));
	cr_assert_eq(start, device);
	cr_assert_geq(size, 1000);
	start = size = 0;
	ok(drv->cuMemGetAddressRange_v2(&start, &size, device + 999));
	cr_assert_eq(start, device);
	cr_assert_geq(size, 1000);
	ok(drv->cuMemGetAddressRange_v2(NULL, &size, device));
	ok(drv->cuMemGetAddressRange_v2(&start, NULL, device));
	ok(drv->cuMemFree_v2(device));
	fails(CUDA_ERROR_NOT_FOUND, drv->cuMemGetAddressRange_v2(&start, &size, device));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuPointerGetAttribute(&mapped, CU_POINTER_ATTRIBUTE_MAPPED, device));
	fails(CUDA_ERROR_NOT_SUPPORTED,
	      drv->cuPointerGetAttribute(&mapped, CU_POINTER_ATTRIBUTE_P2P_TOKENS,
					 (CUdeviceptr)host));
	ok(drv->cuMemFreeHost(host));
}

Test(device_cpu_memory, host_memory_has_flags)
{
	unsigned int flags = 0;
	size_t before, after, total;
	CUdeviceptr seen;
	void *host = NULL;

	ok(drv->cuMemGetInfo_v2(&before, &total));
	ok(drv->cuMemHostAlloc(&host, 100000, CU_MEMHOSTALLOC_PORTABLE));
	ok(drv->cuMemGetInfo_v2(&after, &total));
	cr_assert_eq(before, after, "none of it is the device's");
	ok(drv->cuMemHostGetFlags(&flags, (char *)host + 99999));
	cr_assert(flags & CU_MEMHOSTALLOC_PORTABLE);
	ok(drv->cuMemHostGetDevicePointer_v2(&seen, host, 0));
	memset(host, 0, 4);
	ok(launch("add", NULL, seen, 3));
	ok(drv->cuCtxSynchronize());
	cr_assert_eq(*(uint32_t *)host, 3, "kernels write to it");
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemHostGetDevicePointer_v2(&seen, host, 1));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemHostGetFlags(&flags, &flags));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemFreeHost((char *)host + 4096));
	ok(drv->cuMemFreeHost(host));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemFreeHost(host));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemHostAlloc(NULL, 16, 0));
	ok(drv->cuMemHostAlloc(&host, 0, 0));
	cr_assert_null(host);
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemHostRegister_v2(NULL, 4096, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemHostRegister_v2(&flags, SIZE_MAX, 0));
}

Test(device_cpu_memory, rows_are_padded)
{
	CUdeviceptr a, b;
	size_t pitch;

	ok(drv->cuMemAllocPitch_v2(&a, &pitch, 100, 7, 4));
	cr_assert_geq(pitch, 100);
	cr_assert_eq(pitch % 32, 0);
	ok(drv->cuMemsetD2D8_v2(a, pitch, 1, 100, 7));
	ok(drv->cuMemFree_v2(a));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemAllocPitch_v2(&b, &pitch, 100, 7, 5));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemAllocPitch_v2(&b, &pitch, 0, 7, 4));
	fails(CUDA_ERROR_OUT_OF_MEMORY, drv->cuMemAllocPitch_v2(&b, &pitch, SIZE_MAX - 5, 1, 4));
	fails(CUDA_ERROR_OUT_OF_MEMORY, drv->cuMemAllocPitch_v2(&b, &pitch, 512, SIZE_MAX / 8, 4));
}

Test(device_cpu_memory, managed_memory_is_memory)
{
	const CUmemLocation here = {.type = CU_MEM_LOCATION_TYPE_DEVICE};
	CUdeviceptr ptr;

	ok(drv->cuMemAllocManaged(&ptr, 4096, CU_MEM_ATTACH_GLOBAL));
	*(volatile uint32_t *)ptr = 5;
	ok(drv->cuMemAdvise_v2(ptr, 4096, CU_MEM_ADVISE_SET_READ_MOSTLY, here));
	ok(drv->cuMemPrefetchAsync_v2(ptr, 4096, here, 0, NULL));
	ok(launch("add", NULL, ptr, 2));
	ok(drv->cuCtxSynchronize());
	cr_assert_eq(*(volatile uint32_t *)ptr, 7);
	ok(drv->cuMemFree_v2(ptr));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemAllocManaged(&ptr, 4096, 77));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuMemAdvise_v2(ptr, 4096, CU_MEM_ADVISE_SET_READ_MOSTLY, here));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemPrefetchAsync_v2(ptr, 4096, here, 0, NULL));
}

/* ---- pools ---- */

Test(device_cpu_memory, a_pool_keeps_what_it_is_told)
{
	CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
				.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
	CUmemAccessDesc access = {.location = props.location,
				  .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
	CUmemAccess_flags flags = 0;
	CUmemoryPool pool, other;
	cuuint64_t value = 12345;
	CUdeviceptr ptr;
	int reuse = 0;

	ok(drv->cuMemPoolCreate(&pool, &props));
	ok(drv->cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &value));
	value = 0;
	ok(drv->cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &value));
	cr_assert_eq(value, 12345);
	ok(drv->cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC, &reuse));
	cr_assert_eq(reuse, 1);
	ok(drv->cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &value));
	cr_assert_eq(value, 0);
	ok(drv->cuMemPoolSetAccess(pool, &access, 1));
	ok(drv->cuMemPoolGetAccess(&flags, pool, &access.location));
	cr_assert_eq(flags, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
	ok(drv->cuDeviceSetMemPool(0, pool));
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuDeviceSetMemPool(1, pool));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuDeviceSetMemPool(0, (CUmemoryPool)&value));
	ok(drv->cuDeviceGetMemPool(&other, 0));
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuDeviceGetDefaultMemPool(&other, 1));
	ok(drv->cuMemAllocFromPoolAsync(&ptr, 100, pool, NULL));
	ok(drv->cuMemFreeAsync(ptr, NULL));
	ok(drv->cuMemAllocAsync(&ptr, 100, NULL));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemFreeAsync(ptr + 4, NULL));
	ok(drv->cuMemFreeAsync(ptr, NULL));
	ok(drv->cuMemPoolTrimTo(pool, 0));
	ok(drv->cuMemPoolDestroy(pool));
	pool = (CUmemoryPool)&value; /* none */
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemPoolTrimTo(pool, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemAllocFromPoolAsync(&ptr, 100, pool, NULL));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemPoolSetAccess(pool, &access, 1));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemPoolGetAccess(&flags, pool, &access.location));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &value));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &value));
	props.handleTypes = CU_MEM_HANDLE_TYPE_WIN32;
	fails(CUDA_ERROR_NOT_SUPPORTED, drv->cuMemPoolCreate(&pool, &props));
	props.allocType = CU_MEM_ALLOCATION_TYPE_INVALID;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemPoolCreate(&pool, &props));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemPoolCreate(&pool, NULL));
}

/* ---- arrays ---- */

#define WIDTH 64

static CUarray
line_array(void)
{
	const CUDA_ARRAY_DESCRIPTOR desc = {.Width = WIDTH,
					    .Height = 0,
					    .Format = CU_AD_FORMAT_UNSIGNED_INT8,
					    .NumChannels = 1};
	CUarray array;

	ok(drv->cuArrayCreate_v2(&array, &desc));
	return array;
}

/* A line goes host → array → array → memory → array → memory → host, in pieces that are shifted. */
Test(device_cpu_memory, lines_travel_between_arrays_and_memory)
{
	CUDA_ARRAY_MEMORY_REQUIREMENTS requirements;
	CUarray first = line_array(), second = line_array();
	CUdeviceptr memory = device_memory(WIDTH);
	uint8_t in[WIDTH], out[WIDTH], expected[WIDTH] = {0};
	CUDA_ARRAY_DESCRIPTOR desc;

	for (int i = 0; i < WIDTH; i++)
		in[i] = (uint8_t)(i * 7 + 1);
	ok(drv->cuMemcpyHtoA_v2(first, 0, in, WIDTH));
	ok(drv->cuMemcpyAtoA_v2(second, 8, first, 4, 40));    /* second[8..48) = in[4..44) */
	ok(drv->cuMemcpyAtoD_v2(memory + 2, second, 10, 30)); /* memory[2..32) = in[6..36) */
	ok(drv->cuMemcpyDtoA_v2(first, 20, memory, 32));      /* first[20..52) = memory[0..32) */
	ok(drv->cuMemcpyAtoH_v2(out, first, 0, WIDTH));
	memcpy(expected, in, WIDTH);
	memset(expected + 20, 0, 2);
	memcpy(expected + 22, in + 6, 30);
	cr_assert_arr_eq(out, expected, WIDTH);
	ok(drv->cuMemcpyHtoAAsync_v2(second, 0, in, WIDTH, NULL));
	ok(drv->cuMemcpyAtoHAsync_v2(out, second, 0, WIDTH, NULL));
	ok(drv->cuStreamSynchronize(NULL));
	cr_assert_arr_eq(out, in, WIDTH);
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpyAtoD_v2(memory, first, WIDTH - 4, 8));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpyDtoA_v2(first, 0, memory + WIDTH * 4096, 8));
	ok(drv->cuArrayGetDescriptor_v2(&desc, first));
	cr_assert_eq(desc.Width, WIDTH);
	cr_assert_eq(desc.NumChannels, 1);
	ok(drv->cuArrayGetMemoryRequirements(&requirements, first, 0));
	cr_assert_geq(requirements.size, WIDTH);
	fails(CUDA_ERROR_INVALID_DEVICE,
	      drv->cuArrayGetMemoryRequirements(&requirements, first, 1));
	ok(drv->cuArrayDestroy(first));
	ok(drv->cuArrayDestroy(second));
	first = (CUarray)&desc; /* none */
	cr_assert_neq(drv->cuMemcpyAtoD_v2(memory, first, 0, 8), CUDA_SUCCESS);
	fails(CUDA_ERROR_INVALID_HANDLE, drv->cuArrayGetDescriptor_v2(&desc, first));
	fails(CUDA_ERROR_INVALID_HANDLE,
	      drv->cuArrayGetMemoryRequirements(&requirements, first, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuArrayCreate_v2(&second, NULL));
}

Test(device_cpu_memory, boxes_between_contexts)
{
	CUdeviceptr from = device_memory(64), to = device_memory(64);
	uint8_t in[64], out[64] = {0};
	CUDA_MEMCPY3D_PEER box = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
				  .srcDevice = from,
				  .srcContext = ctx,
				  .srcPitch = 8,
				  .srcHeight = 4,
				  .srcY = 1,
				  .dstMemoryType = CU_MEMORYTYPE_DEVICE,
				  .dstDevice = to,
				  .dstContext = ctx,
				  .dstPitch = 8,
				  .dstHeight = 4,
				  .WidthInBytes = 8,
				  .Height = 2,
				  .Depth = 2};

	for (int i = 0; i < 64; i++)
		in[i] = (uint8_t)i;
	ok(drv->cuMemcpyHtoD_v2(from, in, 64));
	ok(drv->cuMemcpy3DPeer(&box));
	ok(drv->cuMemcpyDtoH_v2(out, to, 64));
	cr_assert_arr_eq(out, in + 8, 16, "two rows of the first plane");
	cr_assert_arr_eq(out + 32, in + 40, 16, "and of the second");
	cr_assert_eq(out[16], 0);
	box.srcY = 2;
	ok(drv->cuMemcpy3DPeerAsync(&box, NULL));
	ok(drv->cuMemcpyDtoH_v2(out, to, 64));
	cr_assert_arr_eq(out, in + 16, 16);
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpy3DPeer(NULL));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpy3DPeerAsync(NULL, NULL));
	ok(drv->cuMemcpyPeer(to, ctx, from, ctx, 64));
	ok(drv->cuMemcpyDtoH_v2(out, to, 64));
	cr_assert_arr_eq(out, in, 64);
	ok(drv->cuMemcpyPeerAsync(to, ctx, from + 32, ctx, 16, NULL));
	ok(drv->cuMemcpyDtoH_v2(out, to, 64));
	cr_assert_arr_eq(out, in + 32, 16);
}

Test(device_cpu_memory, copies_of_unknown_direction_and_many_at_once)
{
	CUdeviceptr a = device_memory(64), b = device_memory(64);
	CUdeviceptr dsts[2] = {b, b + 32}, srcs[2] = {a + 16, a};
	CUDA_MEMCPY2D plane = {.srcMemoryType = CU_MEMORYTYPE_UNIFIED,
			       .srcDevice = a,
			       .srcPitch = 16,
			       .dstMemoryType = CU_MEMORYTYPE_HOST,
			       .dstPitch = 4,
			       .WidthInBytes = 4,
			       .Height = 4};
	size_t sizes[2] = {16, 8}, index = 0;
	uint8_t in[64], out[64];

	for (int i = 0; i < 64; i++)
		in[i] = (uint8_t)(200 - i);
	ok(drv->cuMemcpyHtoD_v2(a, in, 64));
	ok(drv->cuMemcpy(b, a, 64));
	ok(drv->cuMemcpyDtoH_v2(out, b, 64));
	cr_assert_arr_eq(out, in, 64);
	ok(drv->cuMemsetD8_v2(b, 0, 64));
	ok(drv->cuMemcpyBatchAsync(dsts, srcs, sizes, 2, NULL, NULL, 0, &index, NULL));
	ok(drv->cuMemcpyDtoH_v2(out, b, 64));
	cr_assert_arr_eq(out, in + 16, 16);
	cr_assert_arr_eq(out + 32, in, 8);
	ok(drv->cuMemcpyAsync(b, a + 8, 8, NULL));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuMemcpyBatchAsync_v2(dsts, srcs, sizes, 0, NULL, NULL, 0, NULL));
	dsts[1] = 64;
	cr_assert_neq(drv->cuMemcpyBatchAsync_v2(dsts, srcs, sizes, 2, NULL, NULL, 0, NULL),
		      CUDA_SUCCESS);
	plane.dstHost = out;
	ok(drv->cuMemcpy2DAsync_v2(&plane, NULL));
	ok(drv->cuStreamSynchronize(NULL));
	cr_assert_arr_eq(out + 4, in + 16, 4);
	cr_assert_arr_eq(out + 12, in + 48, 4);
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpy2DAsync_v2(NULL, NULL));
	plane.dstMemoryType = 77;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemcpy2DAsync_v2(&plane, NULL));
}

/* ---- textures ---- */

Test(device_cpu_memory, a_view_shows_a_part_as_another_format)
{
	const CUDA_ARRAY3D_DESCRIPTOR layers = {.Width = 8,
						.Height = 8,
						.Depth = 4,
						.Format = CU_AD_FORMAT_UNSIGNED_INT8,
						.NumChannels = 4,
						.Flags = CUDA_ARRAY3D_LAYERED |
							 CUDA_ARRAY3D_SURFACE_LDST};
	CUDA_RESOURCE_DESC resource = {.resType = CU_RESOURCE_TYPE_ARRAY}, seen;
	CUDA_RESOURCE_VIEW_DESC view = {.format = CU_RES_VIEW_FORMAT_FLOAT_1X32,
					.width = 8,
					.height = 8,
					.depth = 4,
					.firstLayer = 1,
					.lastLayer = 2},
				got;
	CUDA_TEXTURE_DESC texture = {.filterMode = CU_TR_FILTER_MODE_POINT,
				     .flags = CU_TRSF_READ_AS_INTEGER},
			  got_texture;
	CUtexObject object;
	CUsurfObject surface;
	CUarray array;

	ok(drv->cuArray3DCreate_v2(&array, &layers));
	resource.res.array.hArray = array;
	ok(drv->cuTexObjectCreate(&object, &resource, &texture, &view));
	ok(drv->cuTexObjectGetResourceViewDesc(&got, object));
	cr_assert_eq(got.format, view.format);
	cr_assert_eq(got.lastLayer, 2);
	ok(drv->cuTexObjectGetTextureDesc(&got_texture, object));
	cr_assert_eq(got_texture.flags, CU_TRSF_READ_AS_INTEGER);
	ok(drv->cuTexObjectDestroy(object));
	ok(drv->cuTexObjectCreate(&object, &resource, &texture, NULL));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuTexObjectGetResourceViewDesc(&got, object));
	ok(drv->cuTexObjectDestroy(object));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuTexObjectGetTextureDesc(&got_texture, object));
	/* of another size, compressed, beyond the layers */
	view.format = CU_RES_VIEW_FORMAT_UINT_4X32;
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuTexObjectCreate(&object, &resource, &texture, &view));
	view.format = CU_RES_VIEW_FORMAT_UNSIGNED_BC1;
	fails(CUDA_ERROR_NOT_SUPPORTED,
	      drv->cuTexObjectCreate(&object, &resource, &texture, &view));
	view.format = CU_RES_VIEW_FORMAT_UINT_1X32;
	view.lastLayer = 4;
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuTexObjectCreate(&object, &resource, &texture, &view));
	texture.addressMode[1] = 9;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuTexObjectCreate(&object, &resource, &texture, NULL));
	ok(drv->cuSurfObjectCreate(&surface, &resource));
	ok(drv->cuSurfObjectGetResourceDesc(&seen, surface));
	cr_assert_eq(seen.res.array.hArray, array);
	ok(drv->cuSurfObjectDestroy(surface));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuSurfObjectGetResourceDesc(&seen, surface));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuSurfObjectCreate(&surface, NULL));
	resource.resType = 9;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuTexObjectCreate(&object, &resource, &texture, NULL));
	ok(drv->cuArrayDestroy(array));
}

Test(device_cpu_memory, linear_textures_lie_in_memory)
{
	CUdeviceptr memory = device_memory(4096);
	CUDA_RESOURCE_DESC resource = {.resType = CU_RESOURCE_TYPE_LINEAR};
	CUDA_TEXTURE_DESC texture = {.filterMode = CU_TR_FILTER_MODE_POINT};
	CUtexObject object;

	resource.res.linear.devPtr = memory;
	resource.res.linear.format = CU_AD_FORMAT_FLOAT;
	resource.res.linear.numChannels = 4;
	resource.res.linear.sizeInBytes = 4096;
	ok(drv->cuTexObjectCreate(&object, &resource, &texture, NULL));
	ok(drv->cuTexObjectDestroy(object));
	resource.res.linear.sizeInBytes = (size_t)1 << 40;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuTexObjectCreate(&object, &resource, &texture, NULL));
	resource.res.linear.sizeInBytes = 0;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuTexObjectCreate(&object, &resource, &texture, NULL));
	resource.res.linear.sizeInBytes = 4096;
	resource.res.linear.numChannels = 3;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuTexObjectCreate(&object, &resource, &texture, NULL));
	memset(&resource, 0, sizeof(resource));
	resource.resType = CU_RESOURCE_TYPE_PITCH2D;
	resource.res.pitch2D.devPtr = memory;
	resource.res.pitch2D.format = CU_AD_FORMAT_UNSIGNED_INT8;
	resource.res.pitch2D.numChannels = 1;
	resource.res.pitch2D.width = 64;
	resource.res.pitch2D.height = 64;
	resource.res.pitch2D.pitchInBytes = 64;
	ok(drv->cuTexObjectCreate(&object, &resource, &texture, NULL));
	ok(drv->cuTexObjectDestroy(object));
	resource.res.pitch2D.height = SIZE_MAX / 32;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuTexObjectCreate(&object, &resource, &texture, NULL));
}

/* ---- pages ---- */

static const CUmemAllocationProp pages_prop = {
	.type = CU_MEM_ALLOCATION_TYPE_PINNED,
	.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
	.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE},
};

Test(device_cpu_memory, pages_are_known_by_their_address)
{
	const CUmemLocation here = {.type = CU_MEM_LOCATION_TYPE_DEVICE};
	CUmemAccessDesc access = {.location = here};
	CUmemGenericAllocationHandle handle, again;
	CUmemAllocationProp prop;
	unsigned long long flags = 0;
	size_t before, after, total;
	CUdeviceptr place;

	ok(drv->cuMemGetInfo_v2(&before, &total));
	ok(drv->cuMemAddressReserve(&place, 2 * PAGE, 64 * PAGE, 0, 0));
	cr_assert_eq(place % (64 * PAGE), 0, "aligned as asked");
	ok(drv->cuMemCreate(&handle, PAGE, &pages_prop, 0));
	ok(drv->cuMemGetAllocationPropertiesFromHandle(&prop, handle));
	cr_assert_eq(prop.requestedHandleTypes, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
	ok(drv->cuMemMap(place, PAGE, 0, handle, 0));
	ok(drv->cuMemGetAccess(&flags, &here, place));
	cr_assert_eq(flags, CU_MEM_ACCESS_FLAGS_PROT_NONE);
	access.flags = CU_MEM_ACCESS_FLAGS_PROT_READ;
	ok(drv->cuMemSetAccess(place, PAGE, &access, 1));
	ok(drv->cuMemGetAccess(&flags, &here, place));
	cr_assert_eq(flags, CU_MEM_ACCESS_FLAGS_PROT_READ);
	cr_assert_neq(drv->cuMemsetD8_v2(place, 1, 16), CUDA_SUCCESS, "may only be read");
	access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
	ok(drv->cuMemSetAccess(place, PAGE, &access, 1));
	ok(drv->cuMemGetAccess(&flags, &here, place));
	cr_assert_eq(flags, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
	ok(drv->cuMemsetD8_v2(place, 1, 16));
	ok(drv->cuMemRetainAllocationHandle(&again, (void *)(place + 100)));
	cr_assert_eq(again, handle);
	ok(drv->cuMemRelease(handle));
	ok(drv->cuMemRelease(again));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemRelease(again));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemUnmap(place, 3 * PAGE)); /* not reserved */
	ok(drv->cuMemUnmap(place, PAGE));
	ok(drv->cuMemGetInfo_v2(&after, &total));
	cr_assert_eq(before, after, "the mapping held it; now nobody does");
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemRetainAllocationHandle(&again, (void *)place));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemGetAccess(&flags, &here, place));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemGetAccess(NULL, &here, place));
	ok(drv->cuMemAddressFree(place, 2 * PAGE));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemAddressFree(place, 2 * PAGE));
}

Test(device_cpu_memory, pages_that_cannot_be_made_or_mapped)
{
	CUmemAllocationProp prop = pages_prop;
	CUmemAccessDesc access = {.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 1}};
	CUmemGenericAllocationHandle handle;
	CUdeviceptr place;
	size_t size;
	int pipes[2], fd;

	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemGetAllocationGranularity(&size, NULL, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemCreate(&handle, PAGE + 1, &prop, 0));
	prop.location.id = 1;
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuMemCreate(&handle, PAGE, &prop, 0));
	prop = pages_prop;
	prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_FABRIC;
	fails(CUDA_ERROR_NOT_SUPPORTED, drv->cuMemCreate(&handle, PAGE, &prop, 0));
	prop = pages_prop;
	prop.location.type = CU_MEM_LOCATION_TYPE_INVALID;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemCreate(&handle, PAGE, &prop, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemAddressReserve(&place, PAGE, 0, 0, 1));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemAddressReserve(&place, PAGE, PAGE + 4, 0, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemAddressReserve(NULL, PAGE, 0, 0, 0));
	prop = pages_prop;
	prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_NONE;
	ok(drv->cuMemCreate(&handle, PAGE, &prop, 0));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuMemExportToShareableHandle(&fd, handle,
						CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
	ok(drv->cuMemAddressReserve(&place, PAGE, 0, 0, 0));
	access.location.id = 0;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemSetAccess(place, PAGE, &access, 1));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuMemSetAccess(place, PAGE, NULL, 1));
	access.location.id = 1;
	ok(drv->cuMemMap(place, PAGE, 0, handle, 0));
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuMemSetAccess(place, PAGE, &access, 1));
	ok(drv->cuMemUnmap(place, PAGE));
	ok(drv->cuMemRelease(handle));
	/* what is no memory cannot be imported */
	cr_assert_eq(pipe(pipes), 0);
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuMemImportFromShareableHandle(&handle, (void *)(intptr_t)pipes[0],
						  CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuMemImportFromShareableHandle(&handle, (void *)(intptr_t)-1,
						  CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuMemImportFromShareableHandle(&handle, (void *)(intptr_t)pipes[0],
						  CU_MEM_HANDLE_TYPE_WIN32));
	close(pipes[0]);
	close(pipes[1]);
}
