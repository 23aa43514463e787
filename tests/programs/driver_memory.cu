/*
 * Memory by the driver API: advice for managed memory, words that streams wait for and write, lines
 * between arrays and memory, rows of halves and words, descriptions of arrays and textures.
 */
#include "driver.h"

#include <cstring>

/* ---- managed memory ---- */

static CUmemLocation
at(CUmemLocationType type, int id = 0)
{
	CUmemLocation location = {};
	location.type = type;
	location.id = id;
	return location;
}

static void
advice()
{
	constexpr size_t SIZE = 4 << 20;
	const CUmemLocation device = at(CU_MEM_LOCATION_TYPE_DEVICE),
			    host = at(CU_MEM_LOCATION_TYPE_HOST);
	int value = 7, concurrent, users[2] = {7, 7};
	void *answers[] = {&value, users};
	size_t sizes[] = {sizeof(value), sizeof(users)};
	CUmem_range_attribute attributes[] = {CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY,
					      CU_MEM_RANGE_ATTRIBUTE_ACCESSED_BY};
	CUdeviceptr p, plain;

	CU(DRIVER(cuDeviceGetAttribute)(&concurrent, CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS,
					0));
	CU(DRIVER(cuMemAllocManaged)(&p, SIZE, CU_MEM_ATTACH_GLOBAL));
	if (concurrent) {
		CU(DRIVER(cuMemAdvise)(p, SIZE, CU_MEM_ADVISE_SET_READ_MOSTLY, device));
		CU(DRIVER(cuMemAdvise)(p, SIZE, CU_MEM_ADVISE_SET_ACCESSED_BY, device));
		CU(DRIVER(cuMemRangeGetAttributes)(answers, sizes, attributes, 2, p, SIZE));
		EXPECT(value == 1 && users[0] == 0 && users[1] == CU_DEVICE_INVALID);
		CU(DRIVER(cuMemAdvise)(p, SIZE, CU_MEM_ADVISE_UNSET_READ_MOSTLY, device));
		CU(DRIVER(cuMemAdvise)(p, SIZE, CU_MEM_ADVISE_UNSET_ACCESSED_BY, device));
		CU(DRIVER(cuMemRangeGetAttribute)(&value, sizeof(value),
						  CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY, p, SIZE));
		EXPECT(value == 0);
		CU(DRIVER(cuMemAdvise)(p, SIZE, CU_MEM_ADVISE_SET_PREFERRED_LOCATION, host));
		CU(DRIVER(cuMemRangeGetAttribute)(
			&value, sizeof(value), CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION, p, SIZE));
		EXPECT(value == CU_DEVICE_CPU);
		CU(DRIVER(cuMemRangeGetAttribute)(&value, sizeof(value),
						  CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION_TYPE, p,
						  SIZE));
		EXPECT(value == CU_MEM_LOCATION_TYPE_HOST);
		CU(DRIVER(cuMemAdvise)(p, SIZE, CU_MEM_ADVISE_UNSET_PREFERRED_LOCATION, host));
		CU(DRIVER(cuMemRangeGetAttribute)(
			&value, sizeof(value), CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION, p, SIZE));
		EXPECT(value == CU_DEVICE_INVALID);
		CU(DRIVER(cuMemPrefetchAsync)(p, SIZE, device, 0, nullptr));
		CUDA(cudaDeviceSynchronize());
		CU(DRIVER(cuMemRangeGetAttribute)(&value, sizeof(value),
						  CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION, p,
						  SIZE));
		EXPECT(value == 0);
	}
	EXPECT_FAILS(DRIVER(cuMemRangeGetAttribute)(&value, 3, CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY,
						    p, SIZE));
	EXPECT_FAILS(DRIVER(cuMemPrefetchAsync)(p, SIZE, at(CU_MEM_LOCATION_TYPE_DEVICE, 4711), 0,
						nullptr));
	CU(DRIVER(cuMemAlloc)(&plain, 4096));
	EXPECT_FAILS(DRIVER(cuMemPrefetchAsync)(plain, 4096, device, 0, nullptr));
	CU(DRIVER(cuMemFree)(plain));
	memset((void *)p, 3, 64);
	CU(DRIVER(cuMemFree)(p));
	printf("advice\n");
}

/* ---- words ---- */

static void
words()
{
	CUstreamBatchMemOpParams ops[3];
	unsigned long long got[2] = {};
	CUstream waits, writes;
	CUdeviceptr p;

	CU(DRIVER(cuMemAlloc)(&p, 64));
	CU(DRIVER(cuMemsetD8)(p, 0, 64));
	CU(DRIVER(cuStreamCreate)(&waits, CU_STREAM_NON_BLOCKING));
	CU(DRIVER(cuStreamCreate)(&writes, CU_STREAM_NON_BLOCKING));
	/* One stream waits for what the other writes: 64 bits, and what was copied before. */
	CU(DRIVER(cuStreamWaitValue64)(waits, p, 0x500000001ull, CU_STREAM_WAIT_VALUE_GEQ));
	CU(DRIVER(cuMemcpyDtoDAsync)(p + 16, p + 8, 8, waits));
	CU(DRIVER(cuStreamWriteValue64)(writes, p + 8, 0x1122334455667788ull, 0));
	CU(DRIVER(cuStreamWriteValue64)(writes, p, 0x500000002ull, 0));
	CU(DRIVER(cuStreamSynchronize)(waits));
	CU(DRIVER(cuMemcpyDtoH)(got, p + 16, 8));
	EXPECT(got[0] == 0x1122334455667788ull);
	/* Several in one call, in their order. */
	memset(ops, 0, sizeof(ops));
	ops[0].operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
	ops[0].writeValue.address = p + 24;
	ops[0].writeValue.value = 7;
	ops[1].operation = CU_STREAM_MEM_OP_WAIT_VALUE_32;
	ops[1].waitValue.address = p + 24;
	ops[1].waitValue.value = 7;
	ops[1].waitValue.flags = CU_STREAM_WAIT_VALUE_EQ;
	ops[2].operation = CU_STREAM_MEM_OP_WRITE_VALUE_64;
	ops[2].writeValue.address = p + 32;
	ops[2].writeValue.value64 = 9;
	CU(DRIVER(cuStreamBatchMemOp)(writes, 3, ops, 0));
	CU(DRIVER(cuStreamSynchronize)(writes));
	CU(DRIVER(cuMemcpyDtoH)(got, p + 24, 16));
	EXPECT((unsigned)got[0] == 7 && got[1] == 9);
	EXPECT_FAILS(DRIVER(cuStreamWriteValue64)(writes, p + 4, 1, 0)); /* not aligned */
	EXPECT_FAILS(DRIVER(cuStreamBatchMemOp)(writes, 3, nullptr, 0));
	CU(DRIVER(cuStreamDestroy)(waits));
	CU(DRIVER(cuStreamDestroy)(writes));
	CU(DRIVER(cuMemFree)(p));
	printf("words\n");
}

/* ---- arrays ---- */

constexpr int WIDTH = 96;

/* host → array → array → memory → array → host, shifted each time. */
static void
lines()
{
	CUDA_ARRAY_DESCRIPTOR desc = {WIDTH, 0, CU_AD_FORMAT_UNSIGNED_INT8, 1}, seen;
	std::vector<unsigned char> in(WIDTH), out(WIDTH), expected;
	CUarray first, second;
	CUdeviceptr p;

	for (int i = 0; i < WIDTH; i++)
		in[i] = (unsigned char)(i * 11 + 3);
	CU(DRIVER(cuArrayCreate)(&first, &desc));
	CU(DRIVER(cuArrayCreate)(&second, &desc));
	CU(DRIVER(cuArrayGetDescriptor)(&seen, first));
	EXPECT(seen.Width == WIDTH && seen.Height == 0 && seen.NumChannels == 1 &&
	       seen.Format == CU_AD_FORMAT_UNSIGNED_INT8);
	CU(DRIVER(cuMemAlloc)(&p, WIDTH));
	CU(DRIVER(cuMemsetD8)(p, 0, WIDTH));
	CU(DRIVER(cuMemcpyHtoA)(first, 0, in.data(), WIDTH));
	CU(DRIVER(cuMemcpyAtoA)(second, 8, first, 4, 64)); /* second[8..72) = in[4..68) */
	CU(DRIVER(cuMemcpyAtoD)(p + 4, second, 12, 40));   /* p[4..44) = in[8..48) */
	CU(DRIVER(cuMemcpyDtoA)(first, 32, p, 48));        /* first[32..80) = p[0..48) */
	CU(DRIVER(cuMemcpyAtoH)(out.data(), first, 0, WIDTH));
	expected = in;
	memset(&expected[32], 0, 48);
	memcpy(&expected[36], &in[8], 40);
	EXPECT(out == expected);
	print_checksum("lines", out);
	CU(DRIVER(cuMemcpyHtoAAsync)(second, 0, out.data(), WIDTH, nullptr));
	CU(DRIVER(cuMemcpyAtoHAsync)(in.data(), second, 0, WIDTH, nullptr));
	CUDA(cudaDeviceSynchronize());
	EXPECT(in == out);
	EXPECT_FAILS(DRIVER(cuMemcpyHtoA)(first, WIDTH - 8, in.data(), 16));
	EXPECT_FAILS(DRIVER(cuMemcpyAtoD)(p, first, WIDTH - 8, 16));
	EXPECT_FAILS(DRIVER(cuArrayGetDescriptor)(nullptr, first));
	CU(DRIVER(cuArrayDestroy)(first));
	CU(DRIVER(cuArrayDestroy)(second));
	CU(DRIVER(cuMemFree)(p));
}

static void
rows()
{
	std::vector<unsigned short> halves(WIDTH * 4);
	std::vector<unsigned> wide(WIDTH * 4);
	CUdeviceptr p;
	size_t pitch;

	CU(DRIVER(cuMemAllocPitch)(&p, &pitch, WIDTH * 4, 4, 4));
	CU(DRIVER(cuMemsetD2D16)(p, pitch, 0x1234, WIDTH, 4));
	CUDA(cudaMemcpy2D(halves.data(), WIDTH * 2, (void *)p, pitch, WIDTH * 2, 4,
			  cudaMemcpyDeviceToHost));
	for (unsigned short half : halves)
		EXPECT(half == 0x1234);
	CU(DRIVER(cuMemsetD2D32Async)(p, pitch, 0x12345678, WIDTH, 4, nullptr));
	CU(DRIVER(cuMemsetD2D16Async)(p + pitch, pitch, 0xabcd, 2, 1, nullptr));
	CU(DRIVER(cuMemsetD2D8Async)(p + 2 * pitch, pitch, 0xee, 3, 2, nullptr));
	CUDA(cudaMemcpy2D(wide.data(), WIDTH * 4, (void *)p, pitch, WIDTH * 4, 4,
			  cudaMemcpyDeviceToHost));
	EXPECT(wide[0] == 0x12345678 && wide[WIDTH - 1] == 0x12345678);
	EXPECT(wide[WIDTH] == 0xabcdabcd && wide[WIDTH + 1] == 0x12345678);
	EXPECT(wide[2 * WIDTH] == 0x12eeeeee && wide[3 * WIDTH] == 0x12eeeeee);
	print_checksum("rows", wide);
	EXPECT_FAILS(DRIVER(cuMemsetD2D32)(p + 2, pitch, 0, WIDTH, 4)); /* not aligned */
	CU(DRIVER(cuMemFree)(p));
}

static void
boxes()
{
	CUcontext ctx;
	std::vector<unsigned char> in(256), out(256);
	CUDA_MEMCPY3D_PEER box = {};
	CUDA_MEMCPY2D plane = {};
	CUdeviceptr from, to;

	CU(DRIVER(cuCtxGetCurrent)(&ctx));
	for (size_t i = 0; i < in.size(); i++)
		in[i] = (unsigned char)i;
	CU(DRIVER(cuMemAlloc)(&from, 256));
	CU(DRIVER(cuMemAlloc)(&to, 256));
	CU(DRIVER(cuMemcpyHtoD)(from, in.data(), 256));
	CU(DRIVER(cuMemsetD8)(to, 0, 256));
	/* Between contexts, which may be one and the same. */
	box.srcMemoryType = box.dstMemoryType = CU_MEMORYTYPE_DEVICE;
	box.srcDevice = from;
	box.dstDevice = to;
	box.srcContext = box.dstContext = ctx;
	box.srcPitch = box.dstPitch = 16;
	box.srcHeight = box.dstHeight = 4;
	box.srcY = 1;
	box.srcXInBytes = 4;
	box.WidthInBytes = 8;
	box.Height = 2;
	box.Depth = 3;
	CU(DRIVER(cuMemcpy3DPeer)(&box));
	CU(DRIVER(cuMemcpyDtoH)(out.data(), to, 256));
	for (int z = 0; z < 3; z++)
		for (int y = 0; y < 2; y++)
			for (int x = 0; x < 8; x++)
				EXPECT(out[z * 64 + y * 16 + x] ==
				       in[z * 64 + (y + 1) * 16 + x + 4]);
	print_checksum("box", out);
	box.dstXInBytes = 8;
	CU(DRIVER(cuMemcpy3DPeerAsync)(&box, nullptr));
	CU(DRIVER(cuMemcpyPeer)(to + 192, ctx, from, ctx, 32));
	CU(DRIVER(cuMemcpyPeerAsync)(to + 224, ctx, from + 64, ctx, 32, nullptr));
	plane.srcMemoryType = CU_MEMORYTYPE_DEVICE;
	plane.srcDevice = to;
	plane.srcPitch = 16;
	plane.dstMemoryType = CU_MEMORYTYPE_HOST;
	plane.dstHost = out.data();
	plane.dstPitch = plane.WidthInBytes = 16;
	plane.Height = 16;
	CU(DRIVER(cuMemcpy2DAsync)(&plane, nullptr));
	CUDA(cudaDeviceSynchronize());
	for (int x = 0; x < 8; x++)
		EXPECT(out[8 + x] == in[16 + 4 + x]);
	EXPECT(!memcmp(&out[192], &in[0], 32) && !memcmp(&out[224], &in[64], 32));
	CU(DRIVER(cuMemFree)(from));
	CU(DRIVER(cuMemFree)(to));
}

static void
descriptions()
{
	CUDA_ARRAY3D_DESCRIPTOR desc = {}, seen;
	CUDA_RESOURCE_DESC resource = {}, got;
	CUDA_TEXTURE_DESC texture = {}, got_texture;
	CUDA_RESOURCE_VIEW_DESC view = {}, got_view;
	CUmipmappedArray mipmap;
	CUsurfObject surface;
	CUtexObject object;
	CUarray array, level;

	desc.Width = 16;
	desc.Height = 8;
	desc.Depth = 4;
	desc.Format = CU_AD_FORMAT_FLOAT;
	desc.NumChannels = 1;
	desc.Flags = CUDA_ARRAY3D_SURFACE_LDST;
	CU(DRIVER(cuArray3DCreate)(&array, &desc));
	CU(DRIVER(cuArray3DGetDescriptor)(&seen, array));
	EXPECT(seen.Width == 16 && seen.Height == 8 && seen.Depth == 4);
	resource.resType = CU_RESOURCE_TYPE_ARRAY;
	resource.res.array.hArray = array;
	texture.addressMode[0] = CU_TR_ADDRESS_MODE_BORDER;
	texture.filterMode = CU_TR_FILTER_MODE_LINEAR;
	texture.borderColor[0] = 0.5f;
	view.format = CU_RES_VIEW_FORMAT_FLOAT_1X32;
	view.width = 16;
	view.height = 8;
	view.depth = 4;
	CU(DRIVER(cuTexObjectCreate)(&object, &resource, &texture, &view));
	CU(DRIVER(cuTexObjectGetResourceDesc)(&got, object));
	EXPECT(got.resType == CU_RESOURCE_TYPE_ARRAY && got.res.array.hArray == array);
	CU(DRIVER(cuTexObjectGetTextureDesc)(&got_texture, object));
	EXPECT(got_texture.addressMode[0] == CU_TR_ADDRESS_MODE_BORDER &&
	       got_texture.borderColor[0] == 0.5f);
	CU(DRIVER(cuTexObjectGetResourceViewDesc)(&got_view, object));
	EXPECT(got_view.format == CU_RES_VIEW_FORMAT_FLOAT_1X32 && got_view.depth == 4);
	CU(DRIVER(cuTexObjectDestroy)(object));
	CU(DRIVER(cuSurfObjectCreate)(&surface, &resource));
	CU(DRIVER(cuSurfObjectGetResourceDesc)(&got, surface));
	EXPECT(got.res.array.hArray == array);
	CU(DRIVER(cuSurfObjectDestroy)(surface));
	CU(DRIVER(cuArrayDestroy)(array));
	desc.Depth = 0;
	CU(DRIVER(cuMipmappedArrayCreate)(&mipmap, &desc, 3));
	CU(DRIVER(cuMipmappedArrayGetLevel)(&level, mipmap, 2));
	CU(DRIVER(cuArray3DGetDescriptor)(&seen, level));
	EXPECT(seen.Width == 4 && seen.Height == 2);
	EXPECT_FAILS(DRIVER(cuMipmappedArrayGetLevel)(&level, mipmap, 3));
	CU(DRIVER(cuMipmappedArrayDestroy)(mipmap));
	desc.NumChannels = 3;
	EXPECT_FAILS(DRIVER(cuArray3DCreate)(&array, &desc));
	printf("descriptions\n");
}

int
main()
{
	CUDA(cudaFree(nullptr)); /* makes the context */
	advice();
	words();
	lines();
	rows();
	boxes();
	descriptions();
	return ok();
}
