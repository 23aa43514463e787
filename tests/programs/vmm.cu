/*
 * Memory that the program maps itself: reserved addresses, physical memory by handle, mappings of
 * the same memory at two addresses, access, attributes, and every mistake.
 */
#include "driver.h"

#define PAGE ((size_t)2 << 20)

__global__ void
add(int *values, int count, int by)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		values[i] += by;
}

static CUmemAllocationProp prop;
static CUmemAccessDesc access_desc;

static CUmemGenericAllocationHandle
create(size_t size)
{
	CUmemGenericAllocationHandle handle;
	CU(DRIVER(cuMemCreate)(&handle, size, &prop, 0));
	return handle;
}

static void
mistakes(CUdeviceptr base)
{
	auto reserve = DRIVER(cuMemAddressReserve);
	auto create_ = DRIVER(cuMemCreate);
	auto map = DRIVER(cuMemMap);
	auto unmap = DRIVER(cuMemUnmap);
	auto release = DRIVER(cuMemRelease);
	auto set_access = DRIVER(cuMemSetAccess);
	auto get_access = DRIVER(cuMemGetAccess);
	auto retain = DRIVER(cuMemRetainAllocationHandle);
	CUmemGenericAllocationHandle handle;
	unsigned long long flags;
	CUdeviceptr other;

	EXPECT_CU(reserve(&other, 0, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
	EXPECT_CU(reserve(&other, 100, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
	EXPECT_CU(reserve(&other, PAGE, 3, 0, 0), CUDA_ERROR_INVALID_VALUE);
	EXPECT_CU(create_(&handle, 0, &prop, 0), CUDA_ERROR_INVALID_VALUE);
	EXPECT_CU(create_(&handle, PAGE + 4096, &prop, 0), CUDA_ERROR_INVALID_VALUE);
	CUmemAllocationProp wrong = prop;
	wrong.location.id = 99;
	EXPECT_CU(create_(&handle, PAGE, &wrong, 0), CUDA_ERROR_INVALID_DEVICE);
	wrong = prop;
	wrong.type = CU_MEM_ALLOCATION_TYPE_INVALID;
	EXPECT_CU(create_(&handle, PAGE, &wrong, 0), CUDA_ERROR_INVALID_VALUE);

	handle = create(PAGE);
	EXPECT_CU(map(base + 4096, PAGE, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
	EXPECT_CU(map(base, 4096, 0, handle, 0), CUDA_ERROR_NOT_SUPPORTED);
	EXPECT_CU(map(base, 2 * PAGE, 0, handle, 0), CUDA_ERROR_NOT_SUPPORTED);
	CU(unmap(base, PAGE)); /* nothing there */
	EXPECT_CU(set_access(base, PAGE, &access_desc, 1), CUDA_ERROR_INVALID_VALUE);
	CU(map(base, PAGE, 0, handle, 0));
	EXPECT_CU(map(base, PAGE, 0, handle, 0), CUDA_ERROR_INVALID_VALUE); /* taken */
	EXPECT_CU(unmap(base, PAGE / 2), CUDA_ERROR_INVALID_VALUE);

	/* No access yet. */
	int value = 1;
	CU(get_access(&flags, &access_desc.location, base));
	EXPECT(flags == CU_MEM_ACCESS_FLAGS_PROT_NONE);
	EXPECT_FAILS(
		(CUresult)cudaMemcpy((void *)base, &value, sizeof(value), cudaMemcpyHostToDevice));
	(void)cudaGetLastError();
	CU(set_access(base, PAGE, &access_desc, 1));
	CU(get_access(&flags, &access_desc.location, base + 100));
	EXPECT(flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
	CUDA(cudaMemcpy((void *)base, &value, sizeof(value), cudaMemcpyHostToDevice));
	EXPECT_FAILS((CUresult)cudaMemset((void *)(base + PAGE - 4), 0, 8)); /* beyond the end */
	(void)cudaGetLastError();
	EXPECT_FAILS((CUresult)cudaFree((void *)base));
	(void)cudaGetLastError();

	CU(unmap(base, PAGE));
	CU(unmap(base, PAGE));
	EXPECT_CU(retain(&handle, (void *)base), CUDA_ERROR_INVALID_VALUE);
	CU(release(handle));
	EXPECT_FAILS(get_access(&flags, &access_desc.location, base));
}

int
main()
{
	int device = 0, supported = 0;
	CUDA(cudaSetDevice(device));
	CUDA(cudaFree(nullptr));
	CU(DRIVER(cuDeviceGetAttribute)(
		&supported, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, device));
	if (!supported)
		skip("the device has no virtual memory management");
	prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
	prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, {device}};
	access_desc.location = prop.location;
	access_desc.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;

	size_t granularity = 0;
	CU(DRIVER(cuMemGetAllocationGranularity)(&granularity, &prop,
						 CU_MEM_ALLOC_GRANULARITY_MINIMUM));
	EXPECT(granularity != 0 && PAGE % granularity == 0);

	/* One piece of memory at two addresses. */
	CUdeviceptr base;
	CU(DRIVER(cuMemAddressReserve)(&base, 64 * PAGE, 0, 0, 0));
	EXPECT(base % PAGE == 0);
	CUmemGenericAllocationHandle handle = create(4 * PAGE);
	CUdeviceptr first = base, second = base + 32 * PAGE;
	CU(DRIVER(cuMemMap)(first, 4 * PAGE, 0, handle, 0));
	CU(DRIVER(cuMemMap)(second, 4 * PAGE, 0, handle, 0));
	CU(DRIVER(cuMemSetAccess)(first, 4 * PAGE, &access_desc, 1));
	CU(DRIVER(cuMemSetAccess)(second, 4 * PAGE, &access_desc, 1));
	const int count = 4 * PAGE / sizeof(int);
	std::vector<int> values = random_ints(count, 1 << 20, 7);
	CUDA(cudaMemcpy((void *)first, values.data(), 4 * PAGE, cudaMemcpyHostToDevice));
	add<<<(count + 255) / 256, 256>>>((int *)second, count, 5);
	LAUNCHED();
	std::vector<int> got = to_host((const int *)first, count);
	for (int i = 0; i < count; i++)
		EXPECT(got[i] == values[i] + 5);
	print_checksum("two addresses", got);

	/* The handle of what is mapped, its properties, and what a pointer tells. */
	CUmemGenericAllocationHandle same;
	CU(DRIVER(cuMemRetainAllocationHandle)(&same, (void *)(second + 3 * PAGE)));
	EXPECT(same == handle);
	CUmemAllocationProp told;
	CU(DRIVER(cuMemGetAllocationPropertiesFromHandle)(&told, same));
	EXPECT(told.type == prop.type && told.location.type == prop.location.type &&
	       told.location.id == prop.location.id);
	CU(DRIVER(cuMemRelease)(same));
	cudaPointerAttributes attributes;
	CUDA(cudaPointerGetAttributes(&attributes, (void *)(first + 12345)));
	EXPECT(attributes.type == cudaMemoryTypeDevice && attributes.device == device);
	EXPECT(attributes.devicePointer == (void *)(first + 12345));
	CUdeviceptr range;
	size_t size;
	CU(DRIVER(cuMemGetAddressRange)(&range, &size, second + PAGE));
	EXPECT(range == second && size == 4 * PAGE);

	/* The memory lives as long as a mapping of it, and is there again by its handle. */
	CU(DRIVER(cuMemUnmap)(first, 4 * PAGE));
	CU(DRIVER(cuMemRelease)(handle));
	EXPECT_FAILS(DRIVER(cuMemRelease)(handle));
	CU(DRIVER(cuMemRetainAllocationHandle)(&same, (void *)second));
	CU(DRIVER(cuMemUnmap)(second, 4 * PAGE));
	CU(DRIVER(cuMemMap)(first, 4 * PAGE, 0, same, 0));
	CU(DRIVER(cuMemSetAccess)(first, 4 * PAGE, &access_desc, 1));
	CU(DRIVER(cuMemRelease)(same));
	got = to_host((const int *)first, count);
	EXPECT(got[99] == values[99] + 5 && got[count - 1] == values[count - 1] + 5);

	/* Side by side: one range for copies, sets and kernels. */
	CUmemGenericAllocationHandle next = create(PAGE);
	CU(DRIVER(cuMemMap)(first + 4 * PAGE, PAGE, 0, next, 0));
	CU(DRIVER(cuMemSetAccess)(first + 4 * PAGE, PAGE, &access_desc, 1));
	CU(DRIVER(cuMemRelease)(next));
	CUDA(cudaMemset((void *)(first + 3 * PAGE), 1, 2 * PAGE));
	add<<<1, 256>>>((int *)(first + 4 * PAGE - 512), 256, 1);
	LAUNCHED();
	got = to_host((const int *)(first + 4 * PAGE - 1024), 512);
	for (int i = 0; i < 512; i++)
		EXPECT(got[i] == 0x01010101 + (i >= 128 && i < 384));
	printf("side by side: fine\n");
	EXPECT_FAILS(DRIVER(cuMemAddressFree)(base, 64 * PAGE)); /* in use */
	CU(DRIVER(cuMemUnmap)(first, 5 * PAGE));

	/* Write-protected: reading works. */
	CUmemGenericAllocationHandle again = create(PAGE);
	CU(DRIVER(cuMemMap)(second, PAGE, 0, again, 0));
	CU(DRIVER(cuMemSetAccess)(second, PAGE, &access_desc, 1));
	CUDA(cudaMemset((void *)second, 7, PAGE));
	CUDA(cudaDeviceSynchronize());
	EXPECT(to_host((const char *)second, 4)[3] == 7);
	CU(DRIVER(cuMemUnmap)(second, PAGE));
	CU(DRIVER(cuMemRelease)(again));

	mistakes(base + 16 * PAGE);
	CU(DRIVER(cuMemAddressFree)(base, 64 * PAGE));
	EXPECT_FAILS(DRIVER(cuMemAddressFree)(base, 64 * PAGE));

	/* A place that the program wishes for. */
	CUdeviceptr wished;
	CU(DRIVER(cuMemAddressReserve)(&wished, 8 * PAGE, 4 * PAGE, 0, 0));
	EXPECT(wished % (4 * PAGE) == 0);
	CU(DRIVER(cuMemAddressFree)(wished, 8 * PAGE));
	CUdeviceptr granted;
	CU(DRIVER(cuMemAddressReserve)(&granted, 8 * PAGE, 0, wished, 0));
	EXPECT(granted == wished);
	CU(DRIVER(cuMemAddressFree)(granted, 8 * PAGE));
	return ok();
}
