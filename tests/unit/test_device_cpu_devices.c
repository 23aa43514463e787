/* A machine that is several devices: what each is, and what they have of each other. */
#include "cpu_fixture.h"

static void
open_two(void)
{
	setenv("GENIE_CPU_DEVICES", "2", 1);
	open_device();
}

TestSuite(device_cpu_devices, .init = open_two, .fini = close_device, .timeout = 60);

Test(device_cpu_devices, each_is_another)
{
	char bus_ids[2][16], text[16];
	CUuuid uuids[2];
	CUdevice dev;
	int count, value;

	ok(drv->cuDeviceGetCount(&count));
	cr_assert_eq(count, 2);
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuDeviceGet(&dev, 2));
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuDeviceGet(&dev, -1));
	for (int i = 0; i < 2; i++) {
		ok(drv->cuDeviceGet(&dev, i));
		cr_assert_eq(dev, i);
		ok(drv->cuDeviceGetPCIBusId(bus_ids[i], sizeof(bus_ids[i]), dev));
		ok(drv->cuDeviceGetByPCIBusId(&dev, bus_ids[i]));
		cr_assert_eq(dev, i);
		ok(drv->cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, dev));
		cr_assert_eq(value, i);
		ok(drv->cuDeviceGetUuid_v2(&uuids[i], dev));
	}
	cr_assert_neq(strcmp(bus_ids[0], bus_ids[1]), 0);
	cr_assert_neq(memcmp(&uuids[0], &uuids[1], sizeof(uuids[0])), 0);
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuDeviceGetPCIBusId(text, 12, 0));
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuDeviceGetByPCIBusId(&dev, "0000:FE:02.0"));
}

Test(device_cpu_devices, nvml_tells_the_same)
{
	nvmlDevice_t devices[2], found;
	unsigned int count, index;
	char uuid[96];
	nvmlPciInfo_t pci;

	cr_assert_eq(backend.nvml.nvmlDeviceGetCount_v2(&count), NVML_SUCCESS);
	cr_assert_eq(count, 2);
	cr_assert_neq(backend.nvml.nvmlDeviceGetHandleByIndex_v2(2, &found), NVML_SUCCESS);
	for (unsigned int i = 0; i < 2; i++) {
		cr_assert_eq(backend.nvml.nvmlDeviceGetHandleByIndex_v2(i, &devices[i]),
			     NVML_SUCCESS);
		cr_assert_eq(backend.nvml.nvmlDeviceGetIndex(devices[i], &index), NVML_SUCCESS);
		cr_assert_eq(index, i);
		cr_assert_eq(backend.nvml.nvmlDeviceGetUUID(devices[i], uuid, sizeof(uuid)),
			     NVML_SUCCESS);
		cr_assert_eq(backend.nvml.nvmlDeviceGetHandleByUUID(uuid, &found), NVML_SUCCESS);
		cr_assert_eq(found, devices[i]);
		cr_assert_eq(backend.nvml.nvmlDeviceGetPciInfo_v3(devices[i], &pci), NVML_SUCCESS);
		cr_assert_eq(pci.device, i);
		cr_assert_eq(backend.nvml.nvmlDeviceGetHandleByPciBusId_v2(pci.busId, &found),
			     NVML_SUCCESS);
		cr_assert_eq(found, devices[i]);
	}
}

static size_t
free_bytes(void)
{
	size_t bytes, total;

	ok(drv->cuMemGetInfo_v2(&bytes, &total));
	return bytes;
}

/* Memory counts where it is, whichever way it was had. */
Test(device_cpu_devices, memory_is_apart)
{
	const CUmemAllocationProp prop = {
		.type = CU_MEM_ALLOCATION_TYPE_PINNED,
		.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 1},
	};
	CUmemAllocationProp bad = prop;
	CUmemGenericAllocationHandle handle;
	CUmemoryPool pool;
	CUdeviceptr first, second, pooled;
	CUcontext other;
	size_t before[2];
	int ordinal;

	before[0] = free_bytes();
	ok(drv->cuDevicePrimaryCtxRetain(&other, 1));
	cr_assert_neq(other, ctx);
	ok(drv->cuCtxSetCurrent(other));
	ok(drv->cuCtxGetDevice(&ordinal));
	cr_assert_eq(ordinal, 1);
	before[1] = free_bytes();
	ok(drv->cuMemAlloc_v2(&second, 1 << 20));
	ok(drv->cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, second));
	cr_assert_eq(ordinal, 1);
	cr_assert_eq(free_bytes(), before[1] - (1 << 20));
	ok(drv->cuCtxSetCurrent(ctx));
	cr_assert_eq(free_bytes(), before[0]);
	ok(drv->cuMemAlloc_v2(&first, 2 << 20));
	/* of the other device, from here */
	ok(drv->cuMemCreate(&handle, 4 << 20, &prop, 0));
	ok(drv->cuDeviceGetDefaultMemPool(&pool, 1));
	ok(drv->cuMemAllocFromPoolAsync(&pooled, 8 << 20, pool, NULL));
	cr_assert_eq(free_bytes(), before[0] - (2 << 20));
	ok(drv->cuCtxSetCurrent(other));
	cr_assert_eq(free_bytes(), before[1] - (13 << 20));
	/* freed from anywhere */
	ok(drv->cuMemFree_v2(first));
	ok(drv->cuMemRelease(handle));
	ok(drv->cuMemFree_v2(pooled));
	ok(drv->cuMemFree_v2(second));
	cr_assert_eq(free_bytes(), before[1]);
	ok(drv->cuCtxSetCurrent(ctx));
	cr_assert_eq(free_bytes(), before[0]);
	bad.location.id = 2;
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuMemCreate(&handle, 4 << 20, &bad, 0));
	bad.location.id = -1;
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuMemCreate(&handle, 4 << 20, &bad, 0));
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuDeviceGetDefaultMemPool(&pool, 2));
}

Test(device_cpu_devices, peers)
{
	CUcontext other;
	int value;

	ok(drv->cuDevicePrimaryCtxRetain(&other, 1));
	ok(drv->cuDeviceCanAccessPeer(&value, 0, 1));
	cr_assert_eq(value, 1);
	ok(drv->cuDeviceCanAccessPeer(&value, 0, 0));
	cr_assert_eq(value, 0);
	ok(drv->cuDeviceGetP2PAttribute(&value, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 1, 0));
	cr_assert_eq(value, 1);
	fails(CUDA_ERROR_INVALID_DEVICE,
	      drv->cuDeviceGetP2PAttribute(&value, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 1, 1));
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuCtxEnablePeerAccess(ctx, 0));
	fails(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, drv->cuCtxDisablePeerAccess(other));
	ok(drv->cuCtxEnablePeerAccess(other, 0));
	fails(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, drv->cuCtxEnablePeerAccess(other, 0));
	ok(drv->cuCtxDisablePeerAccess(other));
	fails(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, drv->cuCtxDisablePeerAccess(other));
}

/* A fault ends the device it was on. */
Test(device_cpu_devices, faults_are_apart)
{
	CUdeviceptr memory;
	CUcontext other;

	ok(drv->cuDevicePrimaryCtxRetain(&other, 1));
	ok(drv->cuMemAlloc_v2(&memory, 4));
	ok(drv->cuMemsetD32_v2(memory, 7, 1));
	(void)launch("fault", NULL, 8, 0);
	fails(CUDA_ERROR_ILLEGAL_ADDRESS, drv->cuCtxSynchronize());
	ok(drv->cuCtxSetCurrent(other));
	ok(drv->cuCtxSynchronize());
	cr_assert_eq(read_u32(memory), 7);
}

Test(device_cpu_count, how_many)
{
	static const struct {
		const char *text;
		int count;
	} cases[] = {{"1", 1}, {"16", 16}, {"17", 1}, {"0", 1}, {"-2", 1}, {"2x", 1}, {"", 1}};
	char err[256];
	int count;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setenv("GENIE_CPU_DEVICES", cases[i].text, 1);
		cr_assert_eq(genie_backend_cpu_open(&backend, err, sizeof(err)), 0);
		ok(drv->cuDeviceGetCount(&count));
		cr_assert_eq(count, cases[i].count, "%s", cases[i].text);
		backend.close(&backend);
	}
}
