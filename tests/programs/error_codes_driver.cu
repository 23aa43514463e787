/* Errors of the driver API that are known at once. */
#include "error_codes.h"

#include <cstring>
#include <thread>

#include "driver_api_ptx.h" /* static const char driver_api_ptx[] */

static void
devices()
{
	CUdevice device;
	CUuuid uuid;
	char name[64];
	const char *text;
	size_t size;
	int count, value;
	DRIVER(cuDeviceGetCount, &count);

	DRV("init: flags", CUDA_ERROR_INVALID_VALUE, cuInit, 1);
	DRV("init: again", CUDA_SUCCESS, cuInit, 0);
	DRV("driver version: null", CUDA_ERROR_INVALID_VALUE, cuDriverGetVersion, nullptr);
	DRV("device: null", CUDA_ERROR_INVALID_VALUE, cuDeviceGet, nullptr, 0);
	DRV("device: too large", CUDA_ERROR_INVALID_DEVICE, cuDeviceGet, &device, count);
	DRV("device: negative", CUDA_ERROR_INVALID_DEVICE, cuDeviceGet, &device, -1);
	DRV("device count: null", CUDA_ERROR_INVALID_VALUE, cuDeviceGetCount, nullptr);
	DRV("device name: null", CUDA_ERROR_INVALID_VALUE, cuDeviceGetName, nullptr, 64, 0);
	DRV("device name: no such device", CUDA_ERROR_INVALID_DEVICE, cuDeviceGetName, name, 64,
	    count);
	DRV("device name: short buffer", CUDA_SUCCESS, cuDeviceGetName, name, 4, 0);
	EXPECT(strlen(name) == 3);
	DRV("device uuid: null", CUDA_ERROR_INVALID_VALUE, cuDeviceGetUuid, nullptr, 0);
	DRV("device uuid: no such device", CUDA_ERROR_INVALID_DEVICE, cuDeviceGetUuid, &uuid,
	    count);
	DRV("device memory: null", CUDA_ERROR_INVALID_VALUE, cuDeviceTotalMem, nullptr, 0);
	DRV("device memory: no such device", CUDA_ERROR_INVALID_DEVICE, cuDeviceTotalMem, &size,
	    count);
	DRV("device attribute: unknown", CUDA_ERROR_INVALID_VALUE, cuDeviceGetAttribute, &value,
	    (CUdevice_attribute)9999, 0);
	DRV("device attribute: zero", CUDA_ERROR_INVALID_VALUE, cuDeviceGetAttribute, &value,
	    (CUdevice_attribute)0, 0);
	DRV("device attribute: null", CUDA_ERROR_INVALID_VALUE, cuDeviceGetAttribute, nullptr,
	    CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0);
	DRV("device attribute: no such device", CUDA_ERROR_INVALID_DEVICE, cuDeviceGetAttribute,
	    &value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, count);
	DRV("error name: unknown", CUDA_ERROR_INVALID_VALUE, cuGetErrorName, (CUresult)54321,
	    &text);
	EXPECT(text == nullptr);
	DRV("primary: no such device", CUDA_ERROR_INVALID_DEVICE, cuDevicePrimaryCtxReset, count);
	DRV("primary flags: unknown", CUDA_ERROR_INVALID_VALUE, cuDevicePrimaryCtxSetFlags, 0,
	    0x1000);
}

/* A thread without a context: nearly everything wants one. */
static void
without_context()
{
	CUcontext context = (CUcontext)1;
	CUmodule module;
	CUdeviceptr p;
	CUstream stream;
	CUevent event;
	CUdevice device;
	size_t size;
	unsigned flags;
	DRIVER(cuCtxSetCurrent, nullptr);

	DRV("current: none", CUDA_SUCCESS, cuCtxGetCurrent, &context);
	EXPECT(context == nullptr);
	DRV("pop: none", CUDA_ERROR_INVALID_CONTEXT, cuCtxPopCurrent, &context);
	DRV("context device: none", CUDA_ERROR_INVALID_CONTEXT, cuCtxGetDevice, &device);
	DRV("context flags: none", CUDA_ERROR_INVALID_CONTEXT, cuCtxGetFlags, &flags);
	DRV("context synchronize: none", CUDA_ERROR_INVALID_CONTEXT, cuCtxSynchronize);
	DRV("alloc: no context", CUDA_ERROR_INVALID_CONTEXT, cuMemAlloc, &p, 16);
	DRV("mem info: no context", CUDA_ERROR_INVALID_CONTEXT, cuMemGetInfo, &size, &size);
	DRV("stream: no context", CUDA_ERROR_INVALID_CONTEXT, cuStreamCreate, &stream, 0);
	DRV("event: no context", CUDA_ERROR_INVALID_CONTEXT, cuEventCreate, &event, 0);
	DRV("module: no context", CUDA_ERROR_INVALID_CONTEXT, cuModuleLoadData, &module,
	    driver_api_ptx);
	DRV("stream synchronize: no context", CUDA_ERROR_INVALID_CONTEXT, cuStreamSynchronize,
	    nullptr);
	DRV("get limit: no context", CUDA_ERROR_INVALID_CONTEXT, cuCtxGetLimit, &size,
	    CU_LIMIT_STACK_SIZE);
}

static void
contexts()
{
	CUcontext primary;
	size_t size;
	int least;
	DRIVER(cuCtxGetCurrent, &primary);

	DRV("context: null", CUDA_ERROR_INVALID_VALUE, cuCtxCreate, nullptr, nullptr, 0, 0);
	CUcontext own;
	DRV("context: unknown flag", CUDA_ERROR_INVALID_VALUE, cuCtxCreate, &own, nullptr, 0x100000,
	    0);
	DRV("context: no such device", CUDA_ERROR_INVALID_DEVICE, cuCtxCreate, &own, nullptr, 0,
	    999);
	DRV("context destroy: null", CUDA_ERROR_INVALID_VALUE, cuCtxDestroy, nullptr);
	DRV("context destroy: primary", CUDA_ERROR_INVALID_CONTEXT, cuCtxDestroy, primary);
	DRV("current: null", CUDA_ERROR_INVALID_VALUE, cuCtxGetCurrent, nullptr);
	DRV("set limit: unknown", CUDA_ERROR_INVALID_VALUE, cuCtxSetLimit, (CUlimit)99, 1);
	DRV("get limit: unknown", CUDA_ERROR_INVALID_VALUE, cuCtxGetLimit, &size, (CUlimit)99);
	DRV("get limit: null", CUDA_ERROR_INVALID_VALUE, cuCtxGetLimit, nullptr,
	    CU_LIMIT_STACK_SIZE);
	DRV("cache config: unknown", CUDA_ERROR_INVALID_VALUE, cuCtxSetCacheConfig,
	    (CUfunc_cache)99);
	DRV("priority range: one", CUDA_SUCCESS, cuCtxGetStreamPriorityRange, &least, nullptr);
	DRV("peer: own context", CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, cuCtxEnablePeerAccess, primary,
	    0);
	DRV("peer: flags", CUDA_ERROR_INVALID_VALUE, cuCtxEnablePeerAccess, primary, 1);
}

static void
memory()
{
	CUdeviceptr p, q, base;
	void *host;
	char buffer[64] = {};
	size_t size, pitch;
	unsigned flags;
	int ordinal;

	DRV("alloc: nothing", CUDA_ERROR_INVALID_VALUE, cuMemAlloc, &p, 0);
	DRV("alloc: null", CUDA_ERROR_INVALID_VALUE, cuMemAlloc, nullptr, 16);
	DRV("alloc: a petabyte", CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc, &p, (size_t)1 << 50);
	DRV("alloc pitch: three bytes", CUDA_ERROR_INVALID_VALUE, cuMemAllocPitch, &p, &pitch, 16,
	    4, 3);
	DRV("alloc pitch: no height", CUDA_ERROR_INVALID_VALUE, cuMemAllocPitch, &p, &pitch, 16, 0,
	    4);
	DRIVER(cuMemAlloc, &p, 64);
	DRIVER(cuMemAlloc, &q, 64);
	DRV("free: null", CUDA_SUCCESS, cuMemFree, 0);
	DRV("free: inside", CUDA_ERROR_INVALID_VALUE, cuMemFree, p + 8);
	DRV("free: nobody's", CUDA_ERROR_INVALID_VALUE, cuMemFree, 0x1000);
	DRV("range: inside", CUDA_SUCCESS, cuMemGetAddressRange, &base, &size, p + 63);
	EXPECT(base == p && size == 64);
	DRV("range: nobody's", CUDA_ERROR_NOT_FOUND, cuMemGetAddressRange, &base, &size, 0x1000);
	DRV("range: nothing asked", CUDA_SUCCESS, cuMemGetAddressRange, nullptr, nullptr, p);
	DRV("set 32: unaligned", CUDA_ERROR_INVALID_VALUE, cuMemsetD32, p + 2, 0, 1);
	DRV("set 16: unaligned", CUDA_ERROR_INVALID_VALUE, cuMemsetD16, p + 1, 0, 1);
	DRV("set 32: beyond", CUDA_ERROR_INVALID_VALUE, cuMemsetD32, p, 0, 17);
	DRV("set 8: null", CUDA_ERROR_INVALID_VALUE, cuMemsetD8, 0, 0, 1);
	DRV("set 8: nothing", CUDA_SUCCESS, cuMemsetD8, p, 0, 0);
	DRV("set 2d: beyond", CUDA_ERROR_INVALID_VALUE, cuMemsetD2D8, p, 32, 0, 32, 3);
	DRV("set 2d: pitch below width", CUDA_ERROR_INVALID_VALUE, cuMemsetD2D8, p, 16, 0, 32, 2);
	DRV("to device: beyond", CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD, p, buffer, 65);
	DRV("to device: null source", CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD, p, nullptr, 4);
	DRV("to host: beyond", CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH, buffer, p + 1, 64);
	DRV("on device: beyond", CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoD, q + 32, p, 33);
	DRV("on device: from null", CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoD, q, 0, 4);
	DRV("any: beyond", CUDA_ERROR_INVALID_VALUE, cuMemcpy, q, p, 65);
	CUDA_MEMCPY2D copy = {};
	copy.srcMemoryType = CU_MEMORYTYPE_HOST;
	copy.srcHost = buffer;
	copy.srcPitch = 8;
	copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
	copy.dstDevice = p;
	copy.dstPitch = 32;
	copy.WidthInBytes = 8;
	copy.Height = 3;
	DRV("2d: a row too many", CUDA_ERROR_INVALID_VALUE, cuMemcpy2D, &copy);
	copy.Height = 2;
	DRV("2d", CUDA_SUCCESS, cuMemcpy2D, &copy);
	copy.srcPitch = 4;
	DRV("2d: pitch below width", CUDA_ERROR_INVALID_VALUE, cuMemcpy2D, &copy);
	copy.srcPitch = 8;
	copy.dstMemoryType = (CUmemorytype)9;
	DRV("2d: unknown memory type", CUDA_ERROR_INVALID_VALUE, cuMemcpy2D, &copy);
	DRV("2d: null", CUDA_ERROR_INVALID_VALUE, cuMemcpy2D, nullptr);

	DRV("host alloc: flags", CUDA_ERROR_INVALID_VALUE, cuMemHostAlloc, &host, 16, 0x1000);
	DRV("host alloc: null", CUDA_ERROR_INVALID_VALUE, cuMemAllocHost, nullptr, 16);
	DRV("host free: the stack", CUDA_ERROR_INVALID_VALUE, cuMemFreeHost, buffer);
	DRV("host pointer: the stack", CUDA_ERROR_INVALID_VALUE, cuMemHostGetDevicePointer, &base,
	    buffer, 0);
	DRV("host flags: the stack", CUDA_ERROR_INVALID_VALUE, cuMemHostGetFlags, &flags, buffer);
	DRV("register: nothing", CUDA_ERROR_INVALID_VALUE, cuMemHostRegister, buffer, 0, 0);
	DRV("unregister: the stack", CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, cuMemHostUnregister,
	    buffer);
	DRV("managed: nothing", CUDA_ERROR_INVALID_VALUE, cuMemAllocManaged, &base, 0,
	    CU_MEM_ATTACH_GLOBAL);
	DRV("managed: attach to one", CUDA_ERROR_INVALID_VALUE, cuMemAllocManaged, &base, 16,
	    CU_MEM_ATTACH_SINGLE);
	DRV("pointer attribute: nobody's", CUDA_ERROR_INVALID_VALUE, cuPointerGetAttribute,
	    &ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, 0x1000);
	DRV("pointer attribute: unknown", CUDA_ERROR_INVALID_VALUE, cuPointerGetAttribute, &ordinal,
	    (CUpointer_attribute)999, p);
	DRV("pointer attribute: null", CUDA_ERROR_INVALID_VALUE, cuPointerGetAttribute, nullptr,
	    CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, p);
	DRV("free", CUDA_SUCCESS, cuMemFree, p);
	DRV("free: twice", CUDA_ERROR_INVALID_VALUE, cuMemFree, p);
	DRV("free: other", CUDA_SUCCESS, cuMemFree, q);
}

static void
modules()
{
	static const char newer[] = ".version 99.0\n.target sm_75\n.address_size 64\n"
				    ".visible .entry k() { ret; }\n";
	static const char broken[] = ".version 7.0\n.target sm_75\n.address_size 64\n"
				     ".visible .entry k() { mov.u32 %undeclared, ; ret; }\n";
	CUmodule module;
	CUlibrary library;
	CUkernel kernel;
	CUfunction function;
	CUdeviceptr p;
	size_t size;
	int value;

	DRV("module: null image", CUDA_ERROR_INVALID_VALUE, cuModuleLoadData, &module, nullptr);
	DRV("module: null", CUDA_ERROR_INVALID_VALUE, cuModuleLoadData, nullptr, driver_api_ptx);
	DRV("module: garbage", CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData, &module,
	    "neither text of a kernel nor a cubin");
	DRV("module: broken text", CUDA_ERROR_INVALID_PTX, cuModuleLoadData, &module, broken);
	DRV("module: newer text", CUDA_ERROR_UNSUPPORTED_PTX_VERSION, cuModuleLoadData, &module,
	    newer);
	DRV("module file: missing", CUDA_ERROR_FILE_NOT_FOUND, cuModuleLoad, &module,
	    "/nonexistent/file.cubin");
	DRV("module unload: null", CUDA_ERROR_INVALID_HANDLE, cuModuleUnload, nullptr);
	DRIVER(cuModuleLoadData, &module, driver_api_ptx);
	DRV("function: unknown", CUDA_ERROR_NOT_FOUND, cuModuleGetFunction, &function, module,
	    "no_such_kernel");
	DRV("function: null", CUDA_ERROR_INVALID_VALUE, cuModuleGetFunction, nullptr, module,
	    "add");
	DRV("function: null name", CUDA_ERROR_INVALID_VALUE, cuModuleGetFunction, &function, module,
	    nullptr);
	DRV("function: null module", CUDA_ERROR_INVALID_HANDLE, cuModuleGetFunction, &function,
	    nullptr, "add");
	DRV("global: unknown", CUDA_ERROR_NOT_FOUND, cuModuleGetGlobal, &p, &size, module,
	    "no_such_variable");
	DRV("function count: null", CUDA_ERROR_INVALID_VALUE, cuModuleGetFunctionCount, nullptr,
	    module);
	unsigned count;
	DRIVER(cuModuleGetFunctionCount, &count, module);
	EXPECT(count > 0);
	DRIVER(cuModuleEnumerateFunctions, &function, 1, module);

	DRV("launch: null", CUDA_ERROR_INVALID_HANDLE, cuLaunchKernel, nullptr, 1, 1, 1, 1, 1, 1, 0,
	    nullptr, nullptr, nullptr);
	DRV("launch: no threads", CUDA_ERROR_INVALID_VALUE, cuLaunchKernel, function, 1, 1, 1, 0, 1,
	    1, 0, nullptr, nullptr, nullptr);
	DRV("launch: no blocks", CUDA_ERROR_INVALID_VALUE, cuLaunchKernel, function, 0, 1, 1, 1, 1,
	    1, 0, nullptr, nullptr, nullptr);
	DRV("launch: no parameters", CUDA_ERROR_INVALID_VALUE, cuLaunchKernel, function, 1, 1, 1, 1,
	    1, 1, 0, nullptr, nullptr, nullptr);
	DRV("function attribute: unknown", CUDA_ERROR_INVALID_VALUE, cuFuncGetAttribute, &value,
	    (CUfunction_attribute)99, function);
	DRV("function attribute: null", CUDA_ERROR_INVALID_VALUE, cuFuncGetAttribute, nullptr,
	    CU_FUNC_ATTRIBUTE_NUM_REGS, function);
	DRV("function attribute: null function", CUDA_ERROR_INVALID_HANDLE, cuFuncGetAttribute,
	    &value, CU_FUNC_ATTRIBUTE_NUM_REGS, nullptr);
	DRV("set attribute: read only", CUDA_ERROR_INVALID_VALUE, cuFuncSetAttribute, function,
	    CU_FUNC_ATTRIBUTE_NUM_REGS, 8);
	DRV("set attribute: shared too large", CUDA_ERROR_INVALID_VALUE, cuFuncSetAttribute,
	    function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1 << 24);
	DRV("function cache: unknown", CUDA_ERROR_INVALID_VALUE, cuFuncSetCacheConfig, function,
	    (CUfunc_cache)99);
	DRV("occupancy: null", CUDA_ERROR_INVALID_VALUE,
	    cuOccupancyMaxActiveBlocksPerMultiprocessor, nullptr, function, 32, 0);
	DRV("occupancy: no threads", CUDA_ERROR_INVALID_VALUE,
	    cuOccupancyMaxActiveBlocksPerMultiprocessor, &value, function, 0, 0);
	DRV("parameter: beyond the last", CUDA_ERROR_INVALID_VALUE, cuFuncGetParamInfo, function,
	    99, &size, &size);
	DRIVER(cuModuleUnload, module);

	DRV("library: null image", CUDA_ERROR_INVALID_VALUE, cuLibraryLoadData, &library, nullptr,
	    nullptr, nullptr, 0, nullptr, nullptr, 0);
	DRV("library: null", CUDA_ERROR_INVALID_VALUE, cuLibraryLoadData, nullptr, driver_api_ptx,
	    nullptr, nullptr, 0, nullptr, nullptr, 0);
	DRV("library file: missing", CUDA_ERROR_FILE_NOT_FOUND, cuLibraryLoadFromFile, &library,
	    "/nonexistent/file.cubin", nullptr, nullptr, 0, nullptr, nullptr, 0);
	DRIVER(cuLibraryLoadData, &library, driver_api_ptx, nullptr, nullptr, 0, nullptr, nullptr,
	       0);
	DRV("kernel: unknown", CUDA_ERROR_NOT_FOUND, cuLibraryGetKernel, &kernel, library,
	    "no_such_kernel");
	DRV("library global: unknown", CUDA_ERROR_NOT_FOUND, cuLibraryGetGlobal, &p, &size, library,
	    "no_such_variable");
	DRV("library managed: unknown", CUDA_ERROR_NOT_FOUND, cuLibraryGetManaged, &p, &size,
	    library, "no_such_variable");
	DRV("library unload", CUDA_SUCCESS, cuLibraryUnload, library);
}

static void
streams()
{
	CUstream stream;
	CUevent event, untimed;
	CUdeviceptr p;
	float ms;
	DRIVER(cuMemAlloc, &p, 64);

	DRV("stream: null", CUDA_ERROR_INVALID_VALUE, cuStreamCreate, nullptr, 0);
	DRV("stream: flags", CUDA_ERROR_INVALID_VALUE, cuStreamCreate, &stream, 0x1000);
	DRV("stream destroy: null", CUDA_ERROR_INVALID_HANDLE, cuStreamDestroy, nullptr);
	DRV("event: null", CUDA_ERROR_INVALID_VALUE, cuEventCreate, nullptr, 0);
	DRV("event: flags", CUDA_ERROR_INVALID_VALUE, cuEventCreate, &event, 0x1000);
	DRV("event destroy: null", CUDA_ERROR_INVALID_HANDLE, cuEventDestroy, nullptr);
	DRV("event record: null", CUDA_ERROR_INVALID_HANDLE, cuEventRecord, nullptr, nullptr);
	DRIVER(cuStreamCreate, &stream, CU_STREAM_NON_BLOCKING);
	DRIVER(cuEventCreate, &event, 0);
	DRIVER(cuEventCreate, &untimed, CU_EVENT_DISABLE_TIMING);
	DRV("event query: never recorded", CUDA_SUCCESS, cuEventQuery, event);
	DRV("elapsed: never recorded", CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime, &ms, event,
	    event);
	DRIVER(cuEventRecord, event, stream);
	DRIVER(cuEventRecord, untimed, stream);
	DRIVER(cuStreamSynchronize, stream);
	DRV("elapsed: no timing", CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime, &ms, event,
	    untimed);
	DRV("elapsed: null", CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime, nullptr, event, event);
	DRV("wait event: flags", CUDA_ERROR_INVALID_VALUE, cuStreamWaitEvent, stream, event,
	    0x1000);
	DRV("write value: unaligned", CUDA_ERROR_INVALID_VALUE, cuStreamWriteValue32, stream, p + 2,
	    1, 0);
	DRV("write value: nobody's", CUDA_ERROR_INVALID_VALUE, cuStreamWriteValue32, stream, 0x1000,
	    1, 0);
	DRV("wait value: unknown flag", CUDA_ERROR_INVALID_VALUE, cuStreamWaitValue32, stream, p, 0,
	    0x1000);
	DRV("host function: null", CUDA_ERROR_INVALID_VALUE, cuLaunchHostFunc, stream, nullptr,
	    nullptr);
	DRV("end capture: not begun", CUDA_ERROR_ILLEGAL_STATE, cuStreamEndCapture, stream,
	    (CUgraph *)&ms);
	DRIVER(cuEventDestroy, event);
	DRIVER(cuEventDestroy, untimed);
	DRIVER(cuStreamDestroy, stream);
	DRIVER(cuMemFree, p);
}

static void
arrays()
{
	CUDA_ARRAY_DESCRIPTOR descriptor = {16, 16, CU_AD_FORMAT_FLOAT, 1};
	CUarray array;
	CUtexObject texture;
	CUDA_RESOURCE_DESC resource = {};
	CUDA_TEXTURE_DESC how = {};

	DRV("array: null", CUDA_ERROR_INVALID_VALUE, cuArrayCreate, nullptr, &descriptor);
	descriptor.NumChannels = 3;
	DRV("array: three channels", CUDA_ERROR_INVALID_VALUE, cuArrayCreate, &array, &descriptor);
	descriptor.NumChannels = 1;
	descriptor.Format = (CUarray_format)0;
	DRV("array: unknown format", CUDA_ERROR_INVALID_VALUE, cuArrayCreate, &array, &descriptor);
	descriptor.Format = CU_AD_FORMAT_FLOAT;
	descriptor.Width = 0;
	DRV("array: no width", CUDA_ERROR_INVALID_VALUE, cuArrayCreate, &array, &descriptor);
	DRV("array destroy: null", CUDA_ERROR_INVALID_HANDLE, cuArrayDestroy, nullptr);
	DRV("texture: null", CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate, nullptr, &resource, &how,
	    nullptr);
	resource.resType = (CUresourcetype)99;
	DRV("texture: unknown resource", CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate, &texture,
	    &resource, &how, nullptr);
}

int
main()
{
	CUDA(cudaFree(nullptr)); /* the runtime makes the primary context current */
	devices();
	std::thread(without_context).join();
	contexts();
	memory();
	modules();
	streams();
	arrays();
	DRIVER(cuCtxSynchronize);
	return ok();
}
