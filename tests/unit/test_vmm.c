/* Memory that the program maps itself: nothing waits, and every mistake is noticed here. */
#include "interpose/vmm.h"

#include <criterion/criterion.h>
#include <unistd.h>

#include "interpose/memory.h"
#include "tests/unit/fake_chan.h"

#define PAGE GENIE_VMM_PAGE

static CUcontext ctx;
static CUmemAllocationProp prop;
static CUmemAccessDesc read_write;

static void
start(void)
{
	fake_init();
	fake.devices[0].credit = fake.devices[1].credit = 64 << 20;
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cr_assert_eq(cuDevicePrimaryCtxRetain(&ctx, 0), CUDA_SUCCESS);
	cr_assert_eq(cuCtxSetCurrent(ctx), CUDA_SUCCESS);
	prop = (CUmemAllocationProp){.type = CU_MEM_ALLOCATION_TYPE_PINNED,
				     .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
	read_write = (CUmemAccessDesc){.location = prop.location,
				       .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
}

TestSuite(vmm, .init = start);

static CUmemGenericAllocationHandle
create(size_t size)
{
	CUmemGenericAllocationHandle handle = 0;

	cr_assert_eq(cuMemCreate(&handle, size, &prop, 0), CUDA_SUCCESS);
	return handle;
}

static CUdeviceptr
reserve(size_t size)
{
	CUdeviceptr addr = 0;

	cr_assert_eq(cuMemAddressReserve(&addr, size, 0, 0, 0), CUDA_SUCCESS);
	cr_assert(addr % PAGE == 0);
	return addr;
}

Test(vmm, growing_segments_wait_for_nothing)
{
	CUdeviceptr base = reserve((size_t)1 << 40);
	uint64_t trips = genie_thread_self()->round_trips;

	for (int round = 0; round < 10; round++) {
		for (uint64_t at = base; at < base + 16 * PAGE; at += PAGE) {
			CUmemGenericAllocationHandle handle = create(PAGE);

			cr_assert_eq(cuMemMap(at, PAGE, 0, handle, 0), CUDA_SUCCESS);
			cr_assert_eq(cuMemRelease(handle), CUDA_SUCCESS);
		}
		cr_assert_eq(cuMemSetAccess(base, 16 * PAGE, &read_write, 1), CUDA_SUCCESS);
		for (uint64_t at = base; at < base + 16 * PAGE; at += PAGE)
			cr_assert_eq(cuMemUnmap(at, PAGE), CUDA_SUCCESS);
	}
	cr_assert_eq(genie_thread_self()->round_trips, trips);
	cr_assert_eq(fake_count(GENIE_OP_genieMemCredit), 0, "what is released counts no more");
	cr_assert_eq(fake_count(GENIE_OP_genieVmmCreate), 160);
	cr_assert_eq(fake_count(GENIE_OP_genieVmmRelease), 160);
	cr_assert_eq(fake_count(GENIE_OP_genieMemUnmap), 160);
}

Test(vmm, memory_runs_out_at_once)
{
	CUmemGenericAllocationHandle handle, more;

	handle = create(64 << 20);
	fake.status = CUDA_ERROR_OUT_OF_MEMORY; /* what the worker says to the question */
	cr_assert_eq(cuMemCreate(&more, PAGE, &prop, 0), CUDA_ERROR_OUT_OF_MEMORY);
	cr_assert_eq(fake_count(GENIE_OP_genieMemCredit), 1);
	cr_assert_eq(fake_count(GENIE_OP_genieVmmCreate), 1);
	cr_assert_eq(cuMemRelease(handle), CUDA_SUCCESS);
	cr_assert_eq(cuMemCreate(&more, PAGE, &prop, 0), CUDA_SUCCESS);
}

Test(vmm, a_mapping_keeps_its_memory)
{
	CUdeviceptr base = reserve(4 * PAGE);
	CUmemGenericAllocationHandle handle = create(2 * PAGE), again;

	cr_assert_eq(cuMemMap(base, 2 * PAGE, 0, handle, 0), CUDA_SUCCESS);
	cr_assert_eq(cuMemRelease(handle), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieVmmRelease), 0);
	cr_assert_eq(cuMemMap(base + 2 * PAGE, 2 * PAGE, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemRetainAllocationHandle(&again, (void *)(base + PAGE)), CUDA_SUCCESS);
	cr_assert_eq(again, handle);
	cr_assert_eq(cuMemUnmap(base, 2 * PAGE), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieVmmRelease), 0);
	cr_assert_eq(cuMemRelease(again), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieVmmRelease), 1);
	cr_assert_eq(cuMemRelease(again), CUDA_ERROR_INVALID_VALUE);
}

Test(vmm, reservations)
{
	CUdeviceptr a = reserve(3 * PAGE), b = reserve(PAGE), c;

	cr_assert(a + 3 * PAGE <= b || b + PAGE <= a);
	cr_assert_eq(cuMemAddressReserve(&c, 0, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAddressReserve(&c, 100, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAddressReserve(&c, PAGE, 3, 0, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAddressReserve(&c, PAGE, 0, 0, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAddressReserve(NULL, PAGE, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAddressReserve(&c, GENIE_DEVICE_WINDOW_SIZE, 0, 0, 0),
		     CUDA_ERROR_OUT_OF_MEMORY);
	cr_assert_eq(cuMemAddressReserve(&c, UINT64_MAX & ~(PAGE - 1), 0, 0, 0),
		     CUDA_ERROR_OUT_OF_MEMORY);
	cr_assert_eq(cuMemAddressReserve(&c, PAGE, UINT64_C(1) << 63, 0, 0),
		     CUDA_ERROR_OUT_OF_MEMORY);
	cr_assert_eq(cuMemAddressReserve(&c, PAGE, 64 * PAGE, 0, 0), CUDA_SUCCESS);
	cr_assert(c % (64 * PAGE) == 0);
	cr_assert_eq(cuMemAddressFree(a, PAGE), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAddressFree(a + PAGE, 2 * PAGE), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAddressFree(a, 3 * PAGE), CUDA_SUCCESS);
	cr_assert_eq(cuMemAddressFree(a, 3 * PAGE), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAddressReserve(&c, PAGE, 0, a, 0), CUDA_SUCCESS);
	cr_assert_eq(c, a, "the address that was wished for is free");
	cr_assert_eq(cuMemAddressReserve(&c, PAGE, 0, a, 0), CUDA_SUCCESS);
	cr_assert_neq(c, a, "and now it is not");
	/* A size that is no multiple of a device's page. */
	cr_assert_eq(cuMemAddressReserve(&c, 4096, 0, 0, 0), CUDA_SUCCESS);
	cr_assert_eq(cuMemAddressFree(c, PAGE), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAddressFree(c, 4096), CUDA_SUCCESS);
}

Test(vmm, mistakes_send_nothing)
{
	CUdeviceptr base = reserve(8 * PAGE);
	CUmemGenericAllocationHandle handle = create(2 * PAGE);
	unsigned long long flags;
	size_t sent = fake.count;

	cr_assert_eq(cuMemMap(base + 4096, PAGE, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemMap(base, 4096, 0, handle, 0), CUDA_ERROR_NOT_SUPPORTED);
	cr_assert_eq(cuMemMap(base, 4 * PAGE, 0, handle, 0), CUDA_ERROR_NOT_SUPPORTED);
	cr_assert_eq(cuMemMap(base, 2 * PAGE, PAGE, handle, 0), CUDA_ERROR_NOT_SUPPORTED);
	cr_assert_eq(cuMemMap(base, PAGE, UINT64_MAX & ~(PAGE - 1), handle, 0),
		     CUDA_ERROR_NOT_SUPPORTED);
	cr_assert_eq(cuMemMap(base + 7 * PAGE, 2 * PAGE, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemMap(0, PAGE, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemMap(UINT64_MAX & ~(PAGE - 1), PAGE, 0, handle, 0),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemMap(base, PAGE, 0, handle + 1, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemMap(base, PAGE, 0, handle, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemUnmap(base, PAGE), CUDA_SUCCESS);
	cr_assert_eq(cuMemSetAccess(base, PAGE, &read_write, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemGetAccess(&flags, &read_write.location, base), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(fake.count, sent);

	cr_assert_eq(cuMemMap(base, 2 * PAGE, 0, handle, 0), CUDA_SUCCESS);
	sent = fake.count;
	cr_assert_eq(cuMemMap(base + PAGE, PAGE, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemUnmap(base, PAGE), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemUnmap(base + PAGE, PAGE), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemSetAccess(base, PAGE, &read_write, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemSetAccess(base, 4 * PAGE, &read_write, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemSetAccess(base, 2 * PAGE, &read_write, 0), CUDA_ERROR_INVALID_VALUE);
	read_write.location.id = 2;
	cr_assert_eq(cuMemSetAccess(base, 2 * PAGE, &read_write, 1), CUDA_ERROR_INVALID_DEVICE);
	cr_assert_eq(cuMemAddressFree(base, 8 * PAGE), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemFree_v2(base), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemsetD8Async(base, 0, 1, NULL), CUDA_ERROR_INVALID_VALUE, "no access");
	cr_assert_eq(fake.count, sent);
}

Test(vmm, neighbours_are_one_range)
{
	CUdeviceptr base = reserve(8 * PAGE), start_addr;
	size_t size;

	for (int i = 0; i < 3; i++)
		cr_assert_eq(cuMemMap(base + i * PAGE, PAGE, 0, create(PAGE), 0), CUDA_SUCCESS);
	cr_assert_eq(cuMemSetAccess(base, 2 * PAGE, &read_write, 1), CUDA_SUCCESS);
	cr_assert_eq(cuMemsetD8Async(base + 5, 0, 2 * PAGE - 5, NULL), CUDA_SUCCESS);
	cr_assert_eq(cuMemsetD8Async(base + 5, 0, 2 * PAGE, NULL), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemsetD8Async(base, 0, UINT64_MAX, NULL), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemGetAddressRange_v2(&start_addr, &size, base + PAGE + 7), CUDA_SUCCESS);
	cr_assert(start_addr == base + PAGE && size == PAGE);
	cr_assert_eq(cuMemUnmap(base, 3 * PAGE), CUDA_SUCCESS, "three whole mappings at once");
	cr_assert_eq(fake_count(GENIE_OP_genieMemUnmap), 3);
	cr_assert_eq(cuMemAddressFree(base, 8 * PAGE), CUDA_SUCCESS);
}

Test(vmm, what_a_pointer_tells)
{
	CUdeviceptr base = reserve(2 * PAGE);
	CUmemGenericAllocationHandle handle;
	unsigned int type = 0, managed = 1, capable = 1, access = 0;
	unsigned long long types = 0, block = 0, other = 0;
	size_t size = 0;

	prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
	handle = create(PAGE);
	cr_assert_eq(cuMemMap(base, PAGE, 0, handle, 0), CUDA_SUCCESS);
	cr_assert_eq(cuMemMap(base + PAGE, PAGE, 0, handle, 0), CUDA_SUCCESS);
	read_write.flags = CU_MEM_ACCESS_FLAGS_PROT_READ;
	cr_assert_eq(cuMemSetAccess(base, PAGE, &read_write, 1), CUDA_SUCCESS);
#define ASK(attribute, value)                                                                      \
	cr_assert_eq(cuPointerGetAttribute(value, CU_POINTER_ATTRIBUTE_##attribute, base + 9),     \
		     CUDA_SUCCESS)
	ASK(MEMORY_TYPE, &type);
	ASK(IS_MANAGED, &managed);
	ASK(IS_LEGACY_CUDA_IPC_CAPABLE, &capable);
	ASK(ALLOWED_HANDLE_TYPES, &types);
	ASK(ACCESS_FLAGS, &access);
	ASK(MEMORY_BLOCK_ID, &block);
	ASK(RANGE_SIZE, &size);
#undef ASK
	cr_assert_eq(type, CU_MEMORYTYPE_DEVICE);
	cr_assert(managed == 0 && capable == 0 && size == PAGE);
	cr_assert_eq(types, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
	cr_assert_eq(access, CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READ);
	cr_assert_eq(
		cuPointerGetAttribute(&other, CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID, base + PAGE),
		CUDA_SUCCESS);
	cr_assert_eq(block, other, "two mappings of one block");
}

/* A descriptor that is none of ours is not read: it may be a pipe that nobody writes. */
Test(vmm, foreign_descriptors, .timeout = 5)
{
	CUmemGenericAllocationHandle handle;
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	for (intptr_t fd = -1; fd < 3; fd++)
		cr_assert_eq(cuMemImportFromShareableHandle(
				     &handle, (void *)fd, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR),
			     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemImportFromShareableHandle(&handle, (void *)(intptr_t)fds[0],
						    CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemImportFromShareableHandle(&handle, NULL, CU_MEM_HANDLE_TYPE_FABRIC),
		     CUDA_ERROR_INVALID_VALUE);
}
