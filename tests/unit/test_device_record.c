/* The record device: says yes, computes nothing, and is consistent in what it says. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "remote/device.h"

/* Where there is room for so much under a sanitizer too. */
#define PLACE  0x1000000000
#define WINDOW ((size_t)1 << 37)

static struct genie_backend backend;
static const struct genie_driver *drv = &backend.drv;

#define ok(call) cr_assert_eq((call), CUDA_SUCCESS, "%s", #call)

static void
open_device(void)
{
	char err[128];
	CUcontext ctx;

	unsetenv("GENIE_RECORD_CC");
	cr_assert_eq(genie_backend_record_open(&backend, err, sizeof(err)), 0, "%s", err);
	ok(drv->cuInit(0));
	ok(drv->cuDevicePrimaryCtxRetain(&ctx, 0));
	ok(drv->cuCtxSetCurrent(ctx));
}

TestSuite(device_record, .init = open_device, .timeout = 60);

Test(device_record, looks_like_a_card)
{
	struct genie_device_info info;
	size_t total, free_bytes;

	cr_assert_eq(genie_backend_describe(&backend, 0, &info), 0);
	cr_assert_eq(info.attrs[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR], 9);
	cr_assert_eq(info.attrs[CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT], 132);
	cr_assert_eq(info.attrs[CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN], 232448);
	cr_assert_gt(info.total_mem, 79ull << 30);
	cr_assert_eq(info.image_kinds, GENIE_IMAGE_ANY);
	cr_assert_eq(info.luid_valid, 0);
	ok(drv->cuMemGetInfo_v2(&free_bytes, &total));
	cr_assert_eq(free_bytes, total);
	for (size_t i = 0; i < genie_driver_name_count; i++) {
		void *fn;

		memcpy(&fn, (const char *)drv + genie_driver_names[i].offset, sizeof(fn));
		cr_assert_not_null(fn, "%s", genie_driver_names[i].name);
	}
}

static int
open_as(const char *cc)
{
	struct genie_backend other;
	char err[128] = "";
	int r;

	setenv("GENIE_RECORD_CC", cc, 1);
	r = genie_backend_record_open(&other, err, sizeof(err));
	cr_assert_eq(r < 0, err[0] != 0);
	return r;
}

Test(device_record, other_capabilities)
{
	int value;

	cr_assert_eq(open_as("8.6"), 0);
	ok(drv->cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0));
	cr_assert_eq(value, 6);
	ok(drv->cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH, 0));
	cr_assert_eq(value, 0);
	cr_assert_eq(open_as("120"), 0);
	ok(drv->cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0));
	cr_assert_eq(value, 12);
	cr_assert_lt(open_as("6.0"), 0);
	cr_assert_lt(open_as("nonsense"), 0);
	cr_assert_lt(open_as("9"), 0);
	cr_assert_lt(open_as("8.0x"), 0);
}

Test(device_record, handles_are_unique)
{
	CUevent events[100];
	CUstream stream, other;
	CUdeviceptr a, b;

	for (int i = 0; i < 100; i++) {
		ok(drv->cuEventCreate(&events[i], 0));
		for (int k = 0; k < i; k++)
			cr_assert_neq(events[i], events[k]);
	}
	ok(drv->cuStreamCreate(&stream, 0));
	ok(drv->cuStreamCreate(&other, 1));
	cr_assert_neq(stream, other);
	ok(drv->cuMemAlloc_v2(&a, 1000));
	ok(drv->cuMemAlloc_v2(&b, 1000));
	cr_assert(b >= a + 1000 || a >= b + 1000);
	ok(drv->cuStreamDestroy_v2(stream));
	ok(drv->cuStreamDestroy_v2(other));
	for (int i = 0; i < 100; i++)
		ok(drv->cuEventDestroy_v2(events[i]));
}

Test(device_record, memory_reads_as_zero)
{
	char host[3][16];
	CUdeviceptr a;
	CUDA_MEMCPY2D copy = {
		.srcMemoryType = CU_MEMORYTYPE_DEVICE,
		.dstMemoryType = CU_MEMORYTYPE_HOST,
		.dstHost = host,
		.dstPitch = 16,
		.dstXInBytes = 4,
		.WidthInBytes = 8,
		.Height = 3,
	};

	memset(host, 1, sizeof(host));
	ok(drv->cuMemAlloc_v2(&a, 4096));
	ok(drv->cuMemcpyHtoDAsync_v2(a, host, 16, NULL));
	ok(drv->cuMemcpyDtoHAsync_v2(host[0], a, 4, NULL));
	cr_assert_eq(host[0][3], 0);
	cr_assert_eq(host[0][4], 1);
	copy.srcDevice = a;
	ok(drv->cuMemcpy2DAsync_v2(&copy, NULL));
	cr_assert_eq(host[2][3], 1);
	cr_assert_eq(host[2][4], 0);
	cr_assert_eq(host[2][12], 1);
}

Test(device_record, pages_are_counted)
{
	const size_t page = 2 << 20;
	CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED};
	CUmemGenericAllocationHandle handle;
	CUdeviceptr window;
	size_t before, after, total;

	ok(drv->cuMemGetInfo_v2(&before, &total));
	ok(drv->cuMemAddressReserve(&window, WINDOW, 0, PLACE, 0));
	ok(drv->cuMemCreate(&handle, 8 * page, &prop, 0));
	ok(drv->cuMemMap(window, 8 * page, 0, handle, 0));
	ok(drv->cuMemGetInfo_v2(&after, &total));
	cr_assert_eq(before - after, 8 * page);
	ok(drv->cuMemUnmap(window, 8 * page));
	ok(drv->cuMemGetInfo_v2(&after, &total));
	cr_assert_eq(before, after);
	ok(drv->cuMemAddressFree(window, WINDOW));
}

Test(device_record, runs_any_image)
{
	static const char ptx[] = ".version 8.0\n.target sm_80\n.address_size 64\n"
				  ".entry k(.param .u64 a, .param .u32 n) .maxntid 96 { ret; }\n";
	CUmodule module, junk;
	CUfunction fn, missing;
	CUdeviceptr ptr;
	size_t offset, size;
	int value;

	ok(drv->cuModuleLoadData(&junk, "not an image at all"));
	ok(drv->cuModuleGetFunction(&missing, junk, "anything"));
	ok(drv->cuLaunchKernel(missing, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
	ok(drv->cuModuleLoadData(&module, ptx));
	ok(drv->cuModuleGetFunction(&fn, module, "k"));
	ok(drv->cuFuncGetParamInfo(fn, 1, &offset, &size));
	cr_assert_eq(offset, 8);
	ok(drv->cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, fn));
	cr_assert_eq(value, 96);
	ok(drv->cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_PTX_VERSION, fn));
	cr_assert_eq(value, 80);
	ok(drv->cuFuncSetAttribute(fn, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 200000));
	ok(drv->cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, fn));
	cr_assert_eq(value, 200000);
	ok(drv->cuOccupancyMaxActiveBlocksPerMultiprocessor(&value, fn, 256, 0));
	cr_assert_eq(value, 8);
	ok(drv->cuModuleGetGlobal_v2(&ptr, &size, module, "whatever"));
	cr_assert_neq(ptr, 0);
	ok(drv->cuModuleUnload(module));
	ok(drv->cuModuleUnload(junk));
}

static void
add_one(void *data)
{
	(*(int *)data)++;
}

Test(device_record, streams_and_captures)
{
	CUstreamCaptureStatus status;
	CUgraphExec exec;
	CUstream stream, side;
	CUevent event;
	CUgraph graph;
	size_t nodes;
	float ms = 1;
	int calls = 0;

	ok(drv->cuStreamCreate(&stream, 0));
	ok(drv->cuEventCreate(&event, 0));
	ok(drv->cuEventRecord(event, stream));
	ok(drv->cuEventQuery(event));
	ok(drv->cuEventElapsedTime_v2(&ms, event, event));
	cr_assert_float_eq(ms, 0, 0);
	ok(drv->cuLaunchHostFunc(stream, add_one, &calls));
	cr_assert_eq(calls, 1);
	ok(drv->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
	ok(drv->cuStreamIsCapturing(stream, &status));
	cr_assert_eq(status, CU_STREAM_CAPTURE_STATUS_ACTIVE);
	ok(drv->cuMemsetD8Async(0x1000, 0, 4, stream));
	ok(drv->cuMemcpyDtoDAsync_v2(0x1000, 0x2000, 4, stream));
	ok(drv->cuLaunchHostFunc(stream, add_one, &calls));
	cr_assert_eq(calls, 1);
	ok(drv->cuStreamEndCapture(stream, &graph));
	ok(drv->cuStreamIsCapturing(stream, &status));
	cr_assert_eq(status, CU_STREAM_CAPTURE_STATUS_NONE);
	ok(drv->cuGraphGetNodes(graph, NULL, &nodes));
	cr_assert_eq(nodes, 3);
	/* another stream joins by an event, and leaves when the capture ends */
	ok(drv->cuStreamCreate(&side, 0));
	ok(drv->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
	ok(drv->cuEventRecord(event, stream));
	ok(drv->cuStreamWaitEvent(side, event, 0));
	ok(drv->cuMemsetD8Async(0x1000, 0, 4, side));
	ok(drv->cuGraphDestroy(graph));
	ok(drv->cuStreamEndCapture(stream, &graph));
	ok(drv->cuGraphGetNodes(graph, NULL, &nodes));
	cr_assert_eq(nodes, 1);
	ok(drv->cuStreamIsCapturing(side, &status));
	cr_assert_eq(status, CU_STREAM_CAPTURE_STATUS_NONE);
	ok(drv->cuStreamDestroy_v2(side));
	ok(drv->cuEventDestroy_v2(event));
	ok(drv->cuGraphInstantiateWithFlags(&exec, graph, 0));
	ok(drv->cuGraphLaunch(exec, stream));
	ok(drv->cuGraphDestroy(graph));
	ok(drv->cuStreamDestroy_v2(stream));
}

Test(device_record, nvml_agrees)
{
	nvmlDevice_t dev;
	nvmlMemory_t memory;
	int major, minor;

	cr_assert_eq(backend.nvml.nvmlDeviceGetHandleByIndex_v2(0, &dev), NVML_SUCCESS);
	cr_assert_eq(backend.nvml.nvmlDeviceGetCudaComputeCapability(dev, &major, &minor),
		     NVML_SUCCESS);
	cr_assert_eq(major, 9);
	cr_assert_eq(backend.nvml.nvmlDeviceGetMemoryInfo(dev, &memory), NVML_SUCCESS);
	cr_assert_gt(memory.total, 79ull << 30);
}
