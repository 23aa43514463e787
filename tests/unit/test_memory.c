/* What a program sees of memory: sizes, errors and attributes as the driver has them (asked of a
 * real one), and what travels for them. */
#include "interpose/memory.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "interpose/tensormap.h"
#include "tests/unit/fake_chan.h"

static CUcontext ctx;

static void
start(void)
{
	fake_init();
	fake.welcome.flags = GENIE_WELCOME_F_SHARED_PINNED;
	fake.welcome.pinned_window_size = 64 << 20;
	fake.devices[0].credit = fake.devices[1].credit = 64 << 20;
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cr_assert_eq(cuDevicePrimaryCtxRetain(&ctx, 0), CUDA_SUCCESS);
	cr_assert_eq(cuCtxSetCurrent(ctx), CUDA_SUCCESS);
}

static void
start_apart(void)
{
	start();
	fake.welcome.flags = 0;
}

/* Something the device has to do. */
static void
work(CUdeviceptr addr)
{
	cr_assert_eq(cuMemsetD8Async(addr, 0, 1, NULL), CUDA_SUCCESS);
}

/* ---- device memory ---- */

Test(memory, allocation, .init = start)
{
	CUdeviceptr a, b, base;
	size_t size;

	cr_assert_eq(cuMemAlloc_v2(&a, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAlloc_v2(NULL, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAlloc_v2(&a, 100), CUDA_SUCCESS);
	cr_assert_eq(cuMemAlloc_v2(&b, 100), CUDA_SUCCESS);
	cr_assert(a % 512 == 0 && b % 512 == 0 && a != b);
	cr_assert_eq(cuMemGetAddressRange_v2(&base, &size, a + 7), CUDA_SUCCESS);
	cr_assert(base == a && size == 100);
	cr_assert_eq(cuMemGetAddressRange_v2(&base, NULL, a + 99), CUDA_SUCCESS);
	cr_assert_eq(cuMemGetAddressRange_v2(&base, &size, a + 100), CUDA_ERROR_NOT_FOUND);
	cr_assert_eq(cuMemGetAddressRange_v2(&base, &size, 0x1234), CUDA_ERROR_NOT_FOUND);
	cr_assert_eq(cuMemFree_v2(a + 4), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemFree_v2(a), CUDA_SUCCESS);
	cr_assert_eq(cuMemFree_v2(a), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemFree_v2(0), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieMemMap), 1);
	cr_assert_eq(fake_count(GENIE_OP_genieMemCredit), 0);
}

Test(memory, pitch, .init = start)
{
	CUdeviceptr a;
	size_t pitch;

	cr_assert_eq(cuMemAllocPitch_v2(&a, &pitch, 100, 100, 4), CUDA_SUCCESS);
	cr_assert_eq(pitch, 512);
	cr_assert_eq(cuMemAllocPitch_v2(&a, &pitch, 513, 3, 8), CUDA_SUCCESS);
	cr_assert_eq(pitch, 1024);
	cr_assert_eq(cuMemAllocPitch_v2(&a, &pitch, 513, 3, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAllocPitch_v2(&a, &pitch, 0, 3, 4), CUDA_ERROR_INVALID_VALUE);
	cr_assert_neq(cuMemAllocPitch_v2(&a, &pitch, SIZE_MAX / 2, 3, 4), CUDA_SUCCESS);
}

Test(memory, devices_do_not_mix, .init = start)
{
	CUdeviceptr a, b;
	CUcontext other;
	int ordinal;

	cr_assert_eq(cuMemAlloc_v2(&a, 1000), CUDA_SUCCESS);
	cr_assert_eq(cuDevicePrimaryCtxRetain(&other, 1), CUDA_SUCCESS);
	cr_assert_eq(cuCtxSetCurrent(other), CUDA_SUCCESS);
	cr_assert_eq(cuMemAlloc_v2(&b, 1000), CUDA_SUCCESS);
	cr_assert(b - a >= GENIE_DEVICE_WINDOW_SIZE / 4);
	cr_assert_eq(cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, b),
		     CUDA_SUCCESS);
	cr_assert_eq(ordinal, 1);
	cr_assert_eq(cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, a),
		     CUDA_SUCCESS);
	cr_assert_eq(ordinal, 0);
	cr_assert_eq(cuMemFree_v2(a), CUDA_SUCCESS, "in any context");
}

Test(memory, pairs_cost_no_round_trip, .init = start)
{
	size_t before;

	for (int i = 0; i < 10000; i++) {
		CUdeviceptr a;

		cr_assert_eq(cuMemAlloc_v2(&a, i % 2 ? 256 : 4 << 20), CUDA_SUCCESS);
		if (i % 100 == 0)
			work(a);
		cr_assert_eq(cuMemFree_v2(a), CUDA_SUCCESS);
	}
	before = fake_count(GENIE_OP_genieMemMap);
	cr_assert(before <= 3, "%zu maps", before);
	cr_assert_eq(fake_count(GENIE_OP_genieMemCredit), 0);
	cr_assert(fake_count(GENIE_OP_genieMemFence) <= 210);
	cr_assert_eq(fake.waits, 0);
}

Test(memory, out_of_memory_is_asked_for_and_told, .init = start)
{
	CUdeviceptr a;

	fake.reply_len = 8; /* granted: 0 */
	cr_assert_eq(cuMemAlloc_v2(&a, 65 << 20), CUDA_ERROR_OUT_OF_MEMORY);
	cr_assert_eq(fake_count(GENIE_OP_genieMemCredit), 1);
	cr_assert_eq(cuMemAlloc_v2(&a, UINT64_C(1) << 50), CUDA_ERROR_OUT_OF_MEMORY);
	cr_assert_eq(cuMemAlloc_v2(&a, 32 << 20), CUDA_SUCCESS);
}

Test(memory, a_context_takes_its_memory_along, .init = start)
{
	struct genie_mem mem;
	CUdeviceptr a;
	void *pinned;

	cr_assert_eq(cuMemAlloc_v2(&a, 100), CUDA_SUCCESS);
	cr_assert_eq(cuMemHostAlloc(&pinned, 100, 0), CUDA_SUCCESS);
	cr_assert_eq(cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
	cr_assert(!genie_mem_find(a, &mem));
	cr_assert(!genie_mem_find((uint64_t)(uintptr_t)pinned, &mem));
}

/* ---- host memory ---- */

Test(memory, pinned, .init = start)
{
	void *a, *b;
	CUdeviceptr device;
	unsigned int flags;

	cr_assert_eq(cuMemHostAlloc(&a, 0, 0), CUDA_SUCCESS);
	cr_assert_eq(a, NULL);
	cr_assert_eq(cuMemHostAlloc(&a, 1, 8), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemHostAlloc(&a, 100, CU_MEMHOSTALLOC_WRITECOMBINED), CUDA_SUCCESS);
	cr_assert_eq(cuMemHostGetFlags(&flags, a), CUDA_SUCCESS);
	cr_assert_eq(flags, CU_MEMHOSTALLOC_WRITECOMBINED | CU_MEMHOSTALLOC_DEVICEMAP);
	cr_assert_eq(cuMemHostGetDevicePointer_v2(&device, (char *)a + 5, 0), CUDA_SUCCESS);
	cr_assert_eq(device, (CUdeviceptr)(uintptr_t)a + 5);
	cr_assert_eq(cuMemHostGetDevicePointer_v2(&device, &flags, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemFreeHost((char *)a + 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemFree_v2((CUdeviceptr)(uintptr_t)a), CUDA_ERROR_INVALID_VALUE);
	memset(a, 1, 100);
	cr_assert_eq(cuMemFreeHost(a), CUDA_SUCCESS);
	cr_assert_eq(cuMemFreeHost(a), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemFreeHost(NULL), CUDA_SUCCESS);
	cr_assert_eq(cuMemAllocHost_v2(&b, 5 << 20), CUDA_SUCCESS);
	cr_assert_eq(cuMemFreeHost(b), CUDA_SUCCESS);
	cr_assert_eq(fake.waits, 0);
}

Test(memory, pinned_memory_is_not_reused_while_it_is_in_use, .init = start)
{
	void *a, *b;
	CUdeviceptr device;

	cr_assert_eq(cuMemAlloc_v2(&device, 8 << 20), CUDA_SUCCESS);
	cr_assert_eq(cuMemHostAlloc(&a, 8 << 20, 0), CUDA_SUCCESS);
	cr_assert_eq(cuMemcpyHtoDAsync_v2(device, a, 8 << 20, NULL), CUDA_SUCCESS);
	cr_assert_eq(cuMemFreeHost(a), CUDA_SUCCESS);
	cr_assert_eq(fake.waits, 0);
	cr_assert_eq(cuMemHostAlloc(&b, 8 << 20, 0), CUDA_SUCCESS);
	cr_assert(b != a || fake.waits > 0);
}

/* Where the worker of these tests puts registered memory. */
static enum { NOWHERE, AS_HERE, IN_WINDOW, ELSEWHERE } placing;

static void
place(enum genie_op op, const void *payload, size_t len)
{
	uint64_t addrs[3]; /* which pointers there are, addr, window */

	fake.status = CUDA_SUCCESS;
	if (op != GENIE_OP_genieHostShare)
		return;
	cr_assert_geq(len, sizeof(addrs));
	memcpy(addrs, payload, sizeof(addrs));
	if (placing == NOWHERE)
		fake.status = CUDA_ERROR_NOT_SUPPORTED;
	if (placing == ELSEWHERE)
		addrs[1] += 4096;
	memcpy(fake.reply, &addrs[placing == IN_WINDOW ? 2 : 1], 8);
	fake.reply_len = placing == NOWHERE ? 0 : 8;
}

Test(memory, registered, .init = start)
{
	static char host[65536] __attribute__((aligned(4096)));
	CUdeviceptr device, again;

	fake.on_command = place;
	cr_assert_eq(cuMemHostRegister_v2(host + 10, 5000, 0), CUDA_SUCCESS);
	cr_assert_eq(cuMemHostRegister_v2(host + 10, 5000, 0),
		     CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
	cr_assert_eq(cuMemHostRegister_v2(host + 4096, 100, 0),
		     CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
	cr_assert_eq(cuMemHostRegister_v2(host + 6000, 100, 0),
		     CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "on the same page");
	cr_assert_eq(cuMemHostRegister_v2(host + 8192, 100, 64), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemHostRegister_v2(host + 8192, 100, 0), CUDA_SUCCESS);
	cr_assert_eq(cuMemHostGetDevicePointer_v2(&device, host + 20, 0), CUDA_SUCCESS);
	cr_assert_eq(cuMemHostGetDevicePointer_v2(&again, host + 10, 0), CUDA_SUCCESS);
	cr_assert_eq(device - again, 10, "in the block that mirrors it");
	cr_assert_eq(cuMemHostUnregister(host + 20), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemHostUnregister(host + 10), CUDA_SUCCESS);
	cr_assert_eq(cuMemHostUnregister(host + 10), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
	cr_assert_eq(cuMemHostRegister_v2(NULL, 100, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemHostRegister_v2(host, 0, 0), CUDA_ERROR_INVALID_VALUE);
}

static bool
shares(void)
{
	int fd = (int)syscall(SYS_userfaultfd, 1);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static uint64_t
pointer_of(const void *addr, CUpointer_attribute attribute)
{
	uint64_t value = 0;

	cr_assert_eq(cuPointerGetAttribute(&value, attribute, (uintptr_t)addr), CUDA_SUCCESS);
	return value;
}

Test(memory, registered_and_shared, .init = start)
{
	char *host =
		mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CUdeviceptr device, memory;

	if (!shares())
		cr_skip_test("no userfaultfd here");
	fake.on_command = place;
	placing = AS_HERE;
	cr_assert_eq(cuMemAlloc_v2(&memory, 1 << 20), CUDA_SUCCESS);
	memset(host, 5, 1 << 20);
	cr_assert_eq(cuMemHostRegister_v2(host + 10, 300000, 0), CUDA_SUCCESS);
	cr_assert_eq(cuMemHostGetDevicePointer_v2(&device, host + 20, 0), CUDA_SUCCESS);
	cr_assert_eq(device, (uintptr_t)host + 20);
	cr_assert_eq(pointer_of(host + 20, CU_POINTER_ATTRIBUTE_DEVICE_POINTER), device);
	cr_assert_eq(pointer_of(host + 20, CU_POINTER_ATTRIBUTE_HOST_POINTER), device);
	cr_assert(host[0] == 5 && host[300009] == 5 && host[(1 << 20) - 1] == 5);

	/* The device copies by itself what it has, and only that. */
	cr_assert_eq(cuMemcpyHtoDAsync_v2(memory, host + 10, 300000, NULL), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyHtoDPinned), 1);
	cr_assert_eq(cuMemcpyHtoDAsync_v2(memory, host + 10, 16, NULL), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyHtoDPinned), 2);
	cr_assert_eq(cuMemcpyHtoDAsync_v2(memory, host + 300000, 100, NULL), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyHtoDPinned), 2);
	cr_assert_eq(cuMemsetD8Async(device, 1, 100, NULL), CUDA_SUCCESS);

	cr_assert_eq(cuMemHostUnregister(host + 10), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieHostUnshare), 1);
	cr_assert(host[0] == 5 && host[300009] == 5);
	/* Again, and then its context ends. */
	cr_assert_eq(cuMemHostRegister_v2(host + 10, 300000, 0), CUDA_SUCCESS);
	cr_assert_eq(cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieHostUnshare), 2);
	host[0] = 6;
	cr_assert_eq(munmap(host, 1 << 20), 0);
}

Test(memory, registered_and_shared_elsewhere, .init = start)
{
	char *host =
		mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CUdeviceptr device, memory;

	if (!shares())
		cr_skip_test("no userfaultfd here");
	fake.on_command = place;
	placing = IN_WINDOW;
	cr_assert_eq(cuMemAlloc_v2(&memory, 1 << 20), CUDA_SUCCESS);
	cr_assert_eq(cuMemHostRegister_v2(host + 10, 300000, 0), CUDA_SUCCESS);
	cr_assert_eq(cuMemHostGetDevicePointer_v2(&device, host + 20, 0), CUDA_SUCCESS);
	cr_assert_neq(device, (uintptr_t)host + 20);
	host[20] = 77;
	cr_assert_eq(*(char *)(uintptr_t)device, 77, "the same page");
	cr_assert_eq(pointer_of(host + 20, CU_POINTER_ATTRIBUTE_DEVICE_POINTER), device);
	cr_assert_eq(pointer_of(host + 20, CU_POINTER_ATTRIBUTE_HOST_POINTER),
		     (uintptr_t)host + 20);
	cr_assert_eq(pointer_of((void *)(uintptr_t)device, CU_POINTER_ATTRIBUTE_DEVICE_POINTER),
		     device);
	cr_assert_eq(pointer_of((void *)(uintptr_t)device, CU_POINTER_ATTRIBUTE_HOST_POINTER),
		     (uintptr_t)host + 20);
	cr_assert_eq(cuMemcpyHtoDAsync_v2(memory, host + 10, 16, NULL), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyHtoDPinned), 0);
	cr_assert_eq(cuMemcpyAsync(memory, device, 16, NULL), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyHtoDPinned), 1);
	cr_assert_eq(cuMemHostUnregister(host + 10), CUDA_SUCCESS);
	cr_assert_eq(host[20], 77);
	cr_assert_eq(cuMemcpyAsync(memory, device, 16, NULL), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieMemcpyHtoDPinned), 1, "nobody's any more");
}

Test(memory, registered_where_nobody_asked, .init = start)
{
	char *host = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	fake.on_command = place;
	placing = ELSEWHERE;
	host[5] = 3;
	(void)cuMemHostRegister_v2(host, 8192, 0);
	cr_assert_eq(fake.dead, genie_perf(GENIE_PERF_SHARE_REGISTERED));
	cr_assert_eq(host[5], 3);
}

Test(memory, registered_switched_off)
{
	char *host = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CUdeviceptr device;

	setenv("GENIE_PERF", "no_share_registered", 1);
	start();
	fake.on_command = place;
	placing = AS_HERE;
	cr_assert_eq(cuMemHostRegister_v2(host, 8192, 0), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieHostShare), 0);
	cr_assert_eq(cuMemHostGetDevicePointer_v2(&device, host, 0), CUDA_SUCCESS);
	cr_assert_neq(device, (uintptr_t)host);
	cr_assert_eq(cuMemHostUnregister(host), CUDA_SUCCESS);
}

Test(memory, managed, .init = start)
{
	CUmemLocation host = {.type = CU_MEM_LOCATION_TYPE_HOST};
	CUdeviceptr a, device;
	int value, list[4];

	cr_assert_eq(cuMemAllocManaged(&a, 0, CU_MEM_ATTACH_GLOBAL), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAllocManaged(&a, 100, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAllocManaged(&a, 100, 3), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAllocManaged(&a, 100, CU_MEM_ATTACH_GLOBAL), CUDA_SUCCESS);
	memset((void *)(uintptr_t)a, 1, 100);
	cr_assert_eq(cuMemAlloc_v2(&device, 100), CUDA_SUCCESS);
	cr_assert_eq(cuMemAdvise(device, 100, CU_MEM_ADVISE_SET_READ_MOSTLY, 0),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemPrefetchAsync(device, 100, 0, NULL), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemPrefetchAsync(a, 100, 0, NULL), CUDA_SUCCESS);
	cr_assert_eq(cuMemPrefetchAsync(a, 101, 0, NULL), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAdvise(a, 100, CU_MEM_ADVISE_SET_READ_MOSTLY, 0), CUDA_SUCCESS);
	cr_assert_eq(cuMemAdvise(a, 100, CU_MEM_ADVISE_SET_PREFERRED_LOCATION, 77),
		     CUDA_ERROR_INVALID_DEVICE);
	cr_assert_eq(cuMemAdvise_v2(a, 100, CU_MEM_ADVISE_SET_ACCESSED_BY, host), CUDA_SUCCESS);
	cr_assert_eq(cuMemRangeGetAttribute(&value, 4, CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY, a, 100),
		     CUDA_SUCCESS);
	cr_assert_eq(value, 1);
	cr_assert_eq(cuMemRangeGetAttribute(&value, 4, CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION, a,
					    100),
		     CUDA_SUCCESS);
	cr_assert_eq(value, CU_DEVICE_INVALID);
	cr_assert_eq(cuMemRangeGetAttribute(&value, 4,
					    CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION, a, 100),
		     CUDA_SUCCESS);
	cr_assert_eq(value, 0);
	cr_assert_eq(cuMemRangeGetAttribute(list, sizeof(list), CU_MEM_RANGE_ATTRIBUTE_ACCESSED_BY,
					    a, 100),
		     CUDA_SUCCESS);
	cr_assert(list[0] == CU_DEVICE_CPU && list[1] == CU_DEVICE_INVALID);
	cr_assert_eq(cuStreamAttachMemAsync(NULL, a, 0, CU_MEM_ATTACH_GLOBAL), CUDA_SUCCESS);
	cr_assert_eq(cuStreamAttachMemAsync(NULL, device, 0, CU_MEM_ATTACH_GLOBAL),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemFree_v2(a), CUDA_SUCCESS);
}

/* ---- attributes ---- */

static uint64_t
attribute(CUpointer_attribute which, CUdeviceptr addr)
{
	uint64_t value = 0;

	cr_assert_eq(cuPointerGetAttribute(&value, which, addr), CUDA_SUCCESS, "%d", which);
	return value;
}

Test(memory, pointers, .init = start)
{
	CUpointer_attribute names[] = {CU_POINTER_ATTRIBUTE_HOST_POINTER,
				       CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
				       CU_POINTER_ATTRIBUTE_MEMORY_TYPE};
	CUdeviceptr device, managed, pool, host;
	uint64_t on_stack, pointer;
	int ordinal, type;
	void *data[] = {&pointer, &ordinal, &type}, *pinned;

	cr_assert_eq(cuMemAlloc_v2(&device, 100), CUDA_SUCCESS);
	cr_assert_eq(cuMemAllocManaged(&managed, 100, 1), CUDA_SUCCESS);
	cr_assert_eq(cuMemAllocAsync(&pool, 100, NULL), CUDA_SUCCESS);
	cr_assert_eq(cuMemHostAlloc(&pinned, 100, 0), CUDA_SUCCESS);
	host = (CUdeviceptr)(uintptr_t)pinned;
	cr_assert_eq(attribute(CU_POINTER_ATTRIBUTE_MEMORY_TYPE, device), CU_MEMORYTYPE_DEVICE);
	cr_assert_eq(attribute(CU_POINTER_ATTRIBUTE_MEMORY_TYPE, managed), CU_MEMORYTYPE_DEVICE);
	cr_assert_eq(attribute(CU_POINTER_ATTRIBUTE_MEMORY_TYPE, host), CU_MEMORYTYPE_HOST);
	cr_assert_eq(attribute(CU_POINTER_ATTRIBUTE_IS_MANAGED, managed), 1);
	cr_assert_eq(attribute(CU_POINTER_ATTRIBUTE_IS_MANAGED, device), 0);
	cr_assert_eq(attribute(CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, device + 3), device);
	cr_assert_eq(attribute(CU_POINTER_ATTRIBUTE_RANGE_SIZE, device + 3), 100);
	cr_assert_eq(attribute(CU_POINTER_ATTRIBUTE_CONTEXT, device), (uint64_t)(uintptr_t)ctx);
	cr_assert_eq(attribute(CU_POINTER_ATTRIBUTE_CONTEXT, pool), 0);
	cr_assert_neq(attribute(CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, pool), 0);
	cr_assert_eq(attribute(CU_POINTER_ATTRIBUTE_HOST_POINTER, host + 3), host + 3);
	cr_assert_neq(attribute(CU_POINTER_ATTRIBUTE_BUFFER_ID, device),
		      attribute(CU_POINTER_ATTRIBUTE_BUFFER_ID, host));
	cr_assert_eq(cuPointerGetAttribute(&pointer, CU_POINTER_ATTRIBUTE_HOST_POINTER, device),
		     CUDA_ERROR_INVALID_VALUE);
	on_stack = (uint64_t)(uintptr_t)&on_stack;
	cr_assert_eq(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, on_stack),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuPointerGetAttributes(3, names, data, on_stack), CUDA_SUCCESS);
	cr_assert(pointer == on_stack && ordinal == CU_DEVICE_INVALID && type == 0);
}

/* ---- pools ---- */

Test(memory, pools, .init = start)
{
	CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
				.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
	CUmemoryPool pool, current;
	CUdeviceptr a, b;
	CUstream stream;
	cuuint64_t used;

	cr_assert_eq(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
	cr_assert_eq(cuMemAllocAsync(&a, 0, stream), CUDA_SUCCESS);
	cr_assert_eq(a, 0);
	cr_assert_eq(cuMemFreeAsync(0, stream), CUDA_SUCCESS);
	cr_assert_eq(cuMemPoolCreate(&pool, &props), CUDA_SUCCESS);
	cr_assert_eq(cuMemAllocFromPoolAsync(&a, 100, pool, stream), CUDA_SUCCESS);
	cr_assert_eq(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used),
		     CUDA_SUCCESS);
	cr_assert_eq(used, 100);
	work(a);
	cr_assert_eq(cuMemFreeAsync(a, stream), CUDA_SUCCESS);
	cr_assert_eq(cuMemFreeAsync(a, stream), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemAllocFromPoolAsync(&b, 100, pool, stream), CUDA_SUCCESS);
	cr_assert_eq(b, a, "used again in the order of its stream");
	cr_assert_eq(fake_count(GENIE_OP_genieMemFence), 0);
	cr_assert_eq(cuDeviceGetMemPool(&current, 0), CUDA_SUCCESS);
	cr_assert_neq(current, pool);
	cr_assert_eq(cuDeviceSetMemPool(0, pool), CUDA_SUCCESS);
	cr_assert_eq(cuDeviceGetMemPool(&current, 0), CUDA_SUCCESS);
	cr_assert_eq(current, pool);
	cr_assert_eq(cuMemFree_v2(b), CUDA_SUCCESS, "a synchronous free is fine too");
	cr_assert_eq(cuMemPoolDestroy(pool), CUDA_SUCCESS);
	cr_assert_eq(cuMemPoolDestroy(pool), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuDeviceGetDefaultMemPool(&current, 0), CUDA_SUCCESS);
	cr_assert_eq(cuMemPoolDestroy(current), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(fake.waits, 0);
}

/* ---- tensor maps ---- */

static unsigned int asked;
static bool other_layout;

static CUresult
ask(const struct genie_tensormap_request *request, unsigned char *map)
{
	asked++;
	memset(map, (int)request->dim[0], sizeof(CUtensorMap));
	memcpy(map, &request->address, 8);
	if (other_layout)
		memcpy(map + 64, &request->address, 8);
	return CUDA_SUCCESS;
}

static void
map_of(uint64_t dim, uint64_t address, unsigned char *map)
{
	struct genie_tensormap_request request;

	memset(&request, 0, sizeof(request));
	request.rank = 1;
	request.dim[0] = dim;
	request.address = address;
	cr_assert_eq(genie_tensormap_get(&request, ask, true, map), CUDA_SUCCESS);
}

Test(memory, tensor_maps_are_asked_for_once_a_shape, .init = start)
{
	unsigned char map[128], expected[128];

	map_of(64, 0x1000, map);
	map_of(64, 0x2000, map); /* checks the rule */
	cr_assert_eq(asked, 2);
	for (uint64_t i = 0; i < 100; i++) {
		map_of(64, 0x10000 * i, map);
		memset(expected, 64, sizeof(expected));
		memcpy(expected, &(uint64_t){0x10000 * i}, 8);
		cr_assert_arr_eq(map, expected, 128);
	}
	cr_assert_eq(asked, 2);
	map_of(32, 0x1000, map);
	map_of(32, 0x2000, map);
	cr_assert_eq(asked, 3, "another shape, the same rule");
}

Test(memory, tensor_maps_of_another_layout_are_always_asked_for, .init = start)
{
	unsigned char map[128];
	uint64_t address;

	other_layout = true;
	for (uint64_t i = 1; i <= 10; i++) {
		map_of(64, 0x1000 * i, map);
		memcpy(&address, map + 64, 8);
		cr_assert_eq(address, 0x1000 * i);
	}
	cr_assert_eq(asked, 10);
}

/* ---- threads ---- */

static void *
hammer(void *data)
{
	unsigned int seed = (unsigned int)(uintptr_t)data;
	CUstream stream;

	cr_assert_eq(cuCtxSetCurrent(ctx), CUDA_SUCCESS);
	cr_assert_eq(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
	for (int i = 0; i < 300; i++) {
		size_t size = 1 + (size_t)rand_r(&seed) % (1 << 20);
		CUdeviceptr a, b;
		void *pinned;

		cr_assert_eq(cuMemAlloc_v2(&a, size), CUDA_SUCCESS);
		cr_assert_eq(cuMemAllocAsync(&b, size, stream), CUDA_SUCCESS);
		cr_assert_eq(cuMemHostAlloc(&pinned, 1000, 0), CUDA_SUCCESS);
		memset(pinned, i, 1000);
		cr_assert_eq(cuMemcpyDtoDAsync_v2(b, a, size, stream), CUDA_SUCCESS);
		cr_assert_eq(cuMemFreeAsync(b, stream), CUDA_SUCCESS);
		cr_assert_eq(cuMemFree_v2(a), CUDA_SUCCESS);
		cr_assert_eq(cuMemFreeHost(pinned), CUDA_SUCCESS);
	}
	cr_assert_eq(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
	return NULL;
}

Test(memory, threads, .init = start)
{
	pthread_t threads[4];

	fake.reply_len = 8; /* who asks for more memory gets none, and uses what was freed */
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, hammer, (void *)(i + 1));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

Test(memory, threads_apart, .init = start_apart)
{
	pthread_t threads[2];

	fake.reply_len = 8;
	for (uintptr_t i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, hammer, (void *)(i + 1));
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}
