#include "tests/fuzz/client/program.h"

#include <cuda.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/nvml.h"
#include "tests/fuzz/client/program_impl.h"

static struct state state;

static const char image[] = ".version 8.0\n.target sm_80\n.address_size 64\n"
			    ".visible .global .align 4 .b8 table[16];\n"
			    ".visible .global .align 4 .b8 managed_one[16];\n"
			    ".global .texref tex;\n"
			    ".visible .entry kernel(.param .u64 p, .param .u32 n)\n{\n ret;\n}\n"
			    ".visible .entry other(.param .align 8 .b8 s[72])\n{\n ret;\n}\n";

void
program_check(const char *call, int status)
{
	if (getenv("FUZZ_VERBOSE"))
		fprintf(stderr, "%d = %s\n", status, call);
	/* All codes there are, and ever were, lie in between; CUDA_ERROR_UNKNOWN is the last. */
	if (status >= 0 && status <= 999)
		return;
	fprintf(stderr, "%s returned %d\n", call, status);
	abort();
}

#define TRY(call) program_check(#call, (int)(call))

/* For calls that take no address of the host's. */
static CUdeviceptr
device_ptr(uint8_t a)
{
	return a & 64 ? state.global : state.device[a % SLOTS];
}

static CUstream
stream(uint8_t a)
{
	return a & 4 ? CU_STREAM_PER_THREAD : state.streams[a % 4];
}

static CUevent
event(uint8_t a)
{
	return state.events[a % SLOTS];
}

static const size_t sizes[] = {1,     4,       100,     4096,          16384,         16392,
			       65536, 1 << 20, 3 << 20, (9 << 20) + 5, (1 << 20) - 1, 8};

static size_t
size_of(uint8_t a)
{
	return sizes[a % (sizeof(sizes) / sizeof(sizes[0]))];
}

/* ---- contexts, devices ---- */

static void
devices(uint8_t a, uint8_t b)
{
	int n = 0, value, major, minor;
	char name[40], bus[13], *text = malloc(1 + b % 64);
	CUuuid uuid;
	CUdevprop prop;
	size_t bytes;

	TRY(cuDeviceGetCount(&n));
	TRY(cuDeviceGetAttribute(&value, (CUdevice_attribute)b, a % 2));
	TRY(cuDeviceGetName(name, sizeof(name), a % 2));
	TRY(cuDeviceGetPCIBusId(bus, sizeof(bus), a % 2));
	if (cuDeviceGetPCIBusId(text, 1 + b % 64, a % 2) == CUDA_SUCCESS && strlen(text) > 31)
		abort(); /* more than a server has room to say */
	TRY(cuDeviceGetUuid_v2(&uuid, a % 2));
	TRY(cuDeviceGetProperties(&prop, a % 2));
	TRY(cuDeviceComputeCapability(&major, &minor, a % 2));
	TRY(cuDeviceTotalMem_v2(&bytes, a % 2));
	TRY(cuDeviceCanAccessPeer(&value, 0, 1));
	TRY(cuDeviceGetP2PAttribute(&value, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 0, 1));
	TRY(cuDeviceGetTexture1DLinearMaxWidth(&bytes, CU_AD_FORMAT_FLOAT, 1, a % 2));
	free(text);
}

static void
contexts(uint8_t a, uint8_t b)
{
	CUcontext ctx = NULL;
	size_t limit = 0;
	int low, high;

	switch (a % 6) {
	case 0:
		if (cuCtxCreate_v4(&ctx, NULL, 0, b % 2) == CUDA_SUCCESS && b & 8)
			TRY(cuCtxDestroy_v2(ctx));
		break;
	case 1:
		TRY(cuCtxGetLimit(&limit, (CUlimit)(b % 16)));
		TRY(cuCtxSetLimit((CUlimit)(b % 16), b));
		break;
	case 2:
		TRY(cuCtxGetStreamPriorityRange(&low, &high));
		TRY(cuCtxPopCurrent_v2(&ctx));
		break;
	case 3:
		TRY(cuDevicePrimaryCtxReset_v2(b % 2));
		break;
	case 4:
		if (cuDevicePrimaryCtxRetain(&ctx, b % 2) == CUDA_SUCCESS)
			TRY(cuCtxSetCurrent(ctx));
		break;
	case 5:
		TRY(cuDevicePrimaryCtxRelease_v2(b % 2));
		break;
	}
}

static void
synchronize(uint8_t a, uint8_t b)
{
	(void)b;
	switch (a % 4) {
	case 0:
		TRY(cuCtxSynchronize());
		break;
	case 1:
		TRY(cuStreamSynchronize(stream(b)));
		break;
	case 2:
		TRY(cuStreamQuery(stream(b)));
		break;
	case 3:
		TRY(cuEventSynchronize(event(b)));
		break;
	}
}

/* ---- streams and events ---- */

static void
streams(uint8_t a, uint8_t b)
{
	CUstream *place = &state.streams[a % 4];

	switch (b % 4) {
	case 0:
		TRY(cuStreamCreateWithPriority(place, CU_STREAM_NON_BLOCKING, b));
		break;
	case 1:
		TRY(cuStreamCreate(place, CU_STREAM_DEFAULT));
		break;
	case 2:
		if (!state.capturing)
			TRY(cuStreamDestroy_v2(*place));
		*place = NULL;
		break;
	case 3:
		TRY(cuStreamWaitEvent(*place, event(b), 0));
		break;
	}
}

static void
events(uint8_t a, uint8_t b)
{
	CUevent *place = &state.events[a % SLOTS];
	float ms;

	switch (b % 6) {
	case 0:
		TRY(cuEventCreate(place, b & 8 ? CU_EVENT_DISABLE_TIMING : CU_EVENT_DEFAULT));
		break;
	case 1:
		TRY(cuEventRecord(*place, stream(b >> 3)));
		break;
	case 2:
		TRY(cuEventQuery(*place));
		break;
	case 3:
		TRY(cuEventElapsedTime_v2(&ms, *place, event(b >> 3)));
		break;
	case 4:
		TRY(cuEventDestroy_v2(*place));
		*place = NULL;
		break;
	case 5:
		TRY(cuEventRecordWithFlags(*place, stream(b >> 3), CU_EVENT_RECORD_EXTERNAL));
		break;
	}
}

static const int magic = 0x5eed;

static void
called(void *data)
{
	if (data != &magic)
		abort();
}

static void
called_back(CUstream where, CUresult status, void *data)
{
	(void)where;
	program_check("a callback", status);
	called(data);
}

static void
functions_of_the_host(uint8_t a, uint8_t b)
{
	if (b & 1)
		TRY(cuLaunchHostFunc(stream(a), called, (void *)&magic));
	else
		TRY(cuStreamAddCallback(stream(a), called_back, (void *)&magic, 0));
}

/* ---- memory ---- */

static void
memory(uint8_t a, uint8_t b)
{
	CUdeviceptr *place = &state.device[a % SLOTS];
	size_t free_bytes, total, pitch;

	switch (b % 8) {
	case 0:
	case 1:
	case 2:
		TRY(cuMemAlloc_v2(place, size_of(b >> 3)));
		break;
	case 3:
		TRY(cuMemFree_v2(*place));
		*place = 0;
		break;
	case 4:
		TRY(cuMemGetInfo_v2(&free_bytes, &total));
		break;
	case 5:
		TRY(cuMemAllocPitch_v2(place, &pitch, 1 + size_of(b >> 3) / 16, 16, 4));
		break;
	case 6:
		TRY(cuMemAllocAsync(place, size_of(b >> 3), stream(a)));
		break;
	case 7:
		TRY(cuMemFreeAsync(*place, stream(a)));
		*place = 0;
		break;
	}
}

static void
pinned(uint8_t a, uint8_t b)
{
	void **place = &state.pinned[a % SLOTS];
	CUdeviceptr addr;

	switch (b % 5) {
	case 0:
		*place = NULL;
		if (cuMemHostAlloc(place, size_of(b / 5), CU_MEMHOSTALLOC_DEVICEMAP) ==
		    CUDA_SUCCESS)
			memset(*place, b, 1); /* what a server shared is there */
		break;
	case 1:
		TRY(cuMemFreeHost(*place));
		*place = NULL;
		break;
	case 2:
		TRY(cuMemHostGetDevicePointer_v2(&addr, *place, 0));
		break;
	case 3:
		if (cuMemAllocManaged(&addr, size_of(b / 5), CU_MEM_ATTACH_GLOBAL) ==
		    CUDA_SUCCESS) {
			memset((void *)(uintptr_t)addr, b, size_of(b / 5) < 64 ? 1 : 64);
			state.managed[a % SLOTS] = addr;
		}
		break;
	case 4:
		TRY(cuMemFree_v2(state.managed[a % SLOTS]));
		state.managed[a % SLOTS] = 0;
		break;
	}
}

/* Pages of its own, so that its neighbours are not registered. */
static void
registered(uint8_t a, uint8_t b)
{
	static _Alignas(4096) uint8_t blocks[2][65536];
	CUdeviceptr addr;

	if (b & 1)
		TRY(cuMemHostUnregister(blocks[a % 2]));
	else
		TRY(cuMemHostRegister_v2(blocks[a % 2], sizeof(blocks[0]), 0));
	TRY(cuMemHostGetDevicePointer_v2(&addr, blocks[a % 2], 0));
}

static void
copy_up(uint8_t a, uint8_t b)
{
	size_t size = size_of(b >> 3);
	void *data = malloc(size);

	memset(data, b, size);
	if (b & 1)
		TRY(cuMemcpyHtoDAsync_v2(device_ptr(a), data, size, stream(a)));
	else if (b & 2 && state.pinned[a % SLOTS])
		TRY(cuMemcpyHtoDAsync_v2(device_ptr(a), state.pinned[a % SLOTS], size, stream(a)));
	else
		TRY(cuMemcpyHtoD_v2(device_ptr(a), data, size));
	free(data);
}

static void
copy_down(uint8_t a, uint8_t b)
{
	size_t size = size_of(b >> 3);
	void *data = malloc(size);

	if (b & 1)
		TRY(cuMemcpyDtoHAsync_v2(data, device_ptr(a), size, stream(a)));
	else if (b & 2 && state.pinned[a % SLOTS])
		TRY(cuMemcpyDtoHAsync_v2(state.pinned[a % SLOTS], device_ptr(a), size, stream(a)));
	else if (b & 4 && state.device[a % SLOTS])
		TRY(cuMemcpy((CUdeviceptr)(uintptr_t)data, state.device[a % SLOTS], size));
	else
		TRY(cuMemcpyDtoH_v2(data, device_ptr(a), size));
	free(data);
}

static void
copy_2d(uint8_t a, uint8_t b)
{
	size_t width = 1 + b % 100, height = 1 + a % 40;
	uint8_t *data = malloc(width * height);
	CUDA_MEMCPY2D copy = {
		.srcMemoryType = CU_MEMORYTYPE_DEVICE,
		.srcDevice = device_ptr(a),
		.srcPitch = width,
		.dstMemoryType = CU_MEMORYTYPE_HOST,
		.dstHost = data,
		.dstPitch = width,
		.WidthInBytes = width,
		.Height = height,
	};

	if (b & 0x80)
		TRY(cuMemcpy2DAsync_v2(&copy, stream(a)));
	else
		TRY(cuMemcpy2D_v2(&copy));
	free(data);
}

static void
set(uint8_t a, uint8_t b)
{
	TRY(cuMemsetD8Async(device_ptr(a), b, size_of(b >> 4), stream(a)));
	TRY(cuMemcpyDtoDAsync_v2(device_ptr(a), device_ptr(b), 16, stream(b)));
}

static void
pointers(uint8_t a, uint8_t b)
{
	CUdeviceptr base, addr = b & 1 ? device_ptr(a) : state.managed[a % SLOTS];
	unsigned int type;
	size_t size;
	char id[64] = "";

	TRY(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, addr + b));
	TRY(cuMemGetAddressRange_v2(&base, &size, addr + b));
	TRY(cuPointerGetAttribute(id, CU_POINTER_ATTRIBUTE_BUFFER_ID, 0x4e0000000000 + b));
}

static void
shared(uint8_t a, uint8_t b)
{
	CUipcMemHandle handle;
	CUipcEventHandle event_handle;
	CUdeviceptr addr = 0;
	CUevent opened;

	if (b & 1) {
		if (cuIpcGetMemHandle(&handle, device_ptr(a)) == CUDA_SUCCESS &&
		    cuIpcOpenMemHandle_v2(&addr, handle, 1) == CUDA_SUCCESS && b & 2)
			TRY(cuIpcCloseMemHandle(addr));
	} else if (cuIpcGetEventHandle(&event_handle, event(a)) == CUDA_SUCCESS) {
		TRY(cuIpcOpenEventHandle(&opened, event_handle));
	}
}

static void
virtual_memory(uint8_t a, uint8_t b)
{
	CUmemAllocationProp prop = {
		.type = CU_MEM_ALLOCATION_TYPE_PINNED,
		.requestedHandleTypes = CU_MEM_HANDLE_TYPE_FABRIC,
		.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = a % 2},
	};
	CUmemAccessDesc access = {.location = prop.location,
				  .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
	CUmemGenericAllocationHandle handle = 0, imported = 0;
	size_t granularity = 0, size = 2 << 20;
	CUmemFabricHandle fabric;
	CUdeviceptr addr = 0;

	TRY(cuMemGetAllocationGranularity(&granularity, &prop, 0));
	TRY(cuMemAddressReserve(&addr, size, 0, 0, 0));
	TRY(cuMemCreate(&handle, size, &prop, 0));
	TRY(cuMemMap(addr, size, 0, handle, 0));
	TRY(cuMemSetAccess(addr, size, &access, 1));
	if (b & 1 && cuMemExportToShareableHandle(&fabric, handle, CU_MEM_HANDLE_TYPE_FABRIC, 0) ==
			     CUDA_SUCCESS)
		TRY(cuMemImportFromShareableHandle(&imported, &fabric, CU_MEM_HANDLE_TYPE_FABRIC));
	if (imported) {
		TRY(cuMemMap(addr + size, size, 0, imported, 0));
		TRY(cuMemRelease(imported));
	}
	if (b & 2)
		return;
	TRY(cuMemUnmap(addr, size));
	TRY(cuMemRelease(handle));
	TRY(cuMemAddressFree(addr, size));
}

/* ---- code ---- */

static void
modules(uint8_t a, uint8_t b)
{
	CUmodule *place = &state.modules[a % 2];
	char log[200];
	CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
				  CU_JIT_WALL_TIME};
	void *values[] = {log, (void *)sizeof(log), NULL};
	const char *global = b & 8 ? "managed_one" : "table";
	CUdeviceptr addr = 0;
	size_t size = 0;

	switch (b % 6) {
	case 0:
		TRY(cuModuleLoadData(place, image));
		break;
	case 1:
		TRY(cuModuleLoadDataEx(place, image, 3, options, values));
		break;
	case 2:
		TRY(cuModuleGetFunction(&state.functions[a % SLOTS], *place,
					b & 8 ? "other" : "kernel"));
		break;
	case 3:
	case 4:
		if (cuModuleGetGlobal_v2(&addr, &size, *place, global) == CUDA_SUCCESS && addr)
			state.global = addr;
		break;
	case 5:
		TRY(cuModuleUnload(*place));
		*place = NULL;
		memset(state.functions, 0, sizeof(state.functions));
		break;
	}
}

static void
launch(uint8_t a, uint8_t b)
{
	char bytes[72] = {0};
	void *params[] = {bytes, bytes + 8};

	TRY(cuLaunchKernel(state.functions[a % SLOTS], 1 + b % 4, 1, 1, 1 + b, 1, 1, b % 3 * 100,
			   stream(a), params, NULL));
}

static void
occupancy(uint8_t a, uint8_t b)
{
	CUfunction function = state.functions[a % SLOTS];
	CUlaunchConfig config = {.gridDimX = 1,
				 .gridDimY = 1,
				 .gridDimZ = 1,
				 .blockDimX = 1 + b,
				 .blockDimY = 1,
				 .blockDimZ = 1};
	int grid, block, value;
	char bytes[72] = {0};
	size_t room;

	TRY(cuFuncGetAttribute(&value, (CUfunction_attribute)(b % CU_FUNC_ATTRIBUTE_MAX),
			       function));
	TRY(cuOccupancyMaxActiveBlocksPerMultiprocessor(&value, function, 1 + b, 0));
	TRY(cuOccupancyMaxPotentialBlockSize(&grid, &block, function, NULL, 0, b));
	TRY(cuOccupancyAvailableDynamicSMemPerBlock(&room, function, 1, 1 + b));
	TRY(cuOccupancyMaxActiveClusters(&value, function, &config));
	TRY(cuLaunchCooperativeKernel(function, 1 + b, 1, 1, 32, 1, 1, 0, stream(a),
				      (void *[]){bytes, bytes + 8}));
}

static void
link_images(uint8_t a, uint8_t b)
{
	static const char nothing[] = ".version 8.0\n.target sm_80\n.address_size 64\n";
	CUlinkState link;
	void *cubin = NULL;
	size_t size = 0;

	(void)a;
	if (cuLinkCreate_v2(0, NULL, NULL, &link) != CUDA_SUCCESS)
		return;
	TRY(cuLinkAddData_v2(link, CU_JIT_INPUT_PTX, (void *)image, sizeof(image), "image", 0, NULL,
			     NULL));
	if (b & 1)
		TRY(cuLinkAddData_v2(link, CU_JIT_INPUT_PTX, (void *)nothing, sizeof(nothing), NULL,
				     0, NULL, NULL));
	if (cuLinkComplete(link, &cubin, &size) == CUDA_SUCCESS) {
		for (size_t i = 0; i < size; i++)
			state.sink += ((uint8_t *)cubin)[i];
		if (b & 2 && cuModuleLoadData(&state.modules[1], cubin) == CUDA_SUCCESS)
			TRY(cuModuleGetFunction(&state.functions[0], state.modules[1], "kernel"));
	}
	TRY(cuLinkDestroy(link));
}

static void
any_call(uint8_t a, uint8_t b)
{
	program_any(a | (b & 3) << 8, b >> 2, device_ptr(a), stream(a));
}

/* More than a command ring holds, of commands that nobody waits for. */
static void
fill(uint8_t a, uint8_t b)
{
	static uint8_t data[16384];
	CUresult status = CUDA_SUCCESS;

	for (unsigned i = 0; i < 40 && status == CUDA_SUCCESS; i++) {
		status = cuMemcpyHtoDAsync_v2(device_ptr(a), data, sizeof(data) - b, stream(a));
		program_check("cuMemcpyHtoDAsync_v2", status);
	}
}

/* ---- two threads at a time ---- */

static void *
second_thread(void *data)
{
	const struct program_call *call = data;
	CUcontext ctx = NULL;

	if (cuDevicePrimaryCtxRetain(&ctx, 0) == CUDA_SUCCESS)
		TRY(cuCtxSetCurrent(ctx));
	copy_down(call->a, call->b);
	copy_up(call->a, call->b);
	TRY(cuCtxSynchronize());
	return NULL;
}

static void
two_threads(uint8_t a, uint8_t b)
{
	struct program_call call = {.a = a, .b = b};
	pthread_t thread;

	if (pthread_create(&thread, NULL, second_thread, &call))
		abort();
	copy_down(a, b);
	synchronize(b, a);
	copy_down(b, a);
	pthread_join(thread, NULL);
}

/* ---- the table ---- */

static const struct {
	const char *name;
	void (*call)(uint8_t a, uint8_t b);
} calls[] = {
	{"devices", devices},
	{"contexts", contexts},
	{"synchronize", synchronize},
	{"streams", streams},
	{"events", events},
	{"host functions", functions_of_the_host},
	{"memory", memory},
	{"pinned", pinned},
	{"registered", registered},
	{"copy up", copy_up},
	{"copy down", copy_down},
	{"copy 2d", copy_2d},
	{"set", set},
	{"pointers", pointers},
	{"shared", shared},
	{"virtual memory", virtual_memory},
	{"modules", modules},
	{"launch", launch},
	{"occupancy", occupancy},
	{"link", link_images},
	{"any call", any_call},
	{"graphs", program_graphs},
	{"captures", program_captures},
	{"textures", program_textures},
	{"nvml", program_nvml},
	{"pools", program_pools},
	{"tensor map", program_tensor_map},
	{"fill", fill},
	{"two threads", two_threads},
};

const unsigned program_kinds = sizeof(calls) / sizeof(calls[0]);

const char *
program_name(unsigned what)
{
	return calls[what % program_kinds].name;
}

struct state *
program_state(void)
{
	return &state;
}

void
program_run(const struct program *program)
{
	CUcontext ctx = NULL;

	memset(&state, 0, sizeof(state));
	TRY(cuInit(0));
	if (cuDevicePrimaryCtxRetain(&ctx, 0) == CUDA_SUCCESS)
		TRY(cuCtxSetCurrent(ctx));
	for (unsigned i = 0; i < program->count; i++) {
		const struct program_call *call = &program->calls[i];

		calls[call->what % program_kinds].call(call->a, call->b);
	}
}
