/*
 * What the objects of the driver API say when they are asked: contexts, devices, streams,
 * functions, kernels and libraries, occupancy, pointers. Printed is only what must be the same on
 * each device; the rest is compared with another way to ask for the same.
 */
#include "driver.h"

#include <cstring>
#include <string>

static const char text[] = R"(
.version 7.0
.target sm_80
.address_size 64
.visible .global .align 4 .u32 counter;
.visible .entry first(.param .u64 p, .param .u32 n, .param .align 8 .b8 s[24]) { ret; }
.visible .entry second() .maxntid 64, 1, 1 { ret; }
)";

static void
contexts()
{
	CUcontext primary, own, now;
	CUfunc_cache cache;
	unsigned flags;
	int active, least, greatest;
	unsigned version;
	unsigned long long id, other;
	CUdevice device = -1;
	size_t value;

	CU(DRIVER(cuDevicePrimaryCtxRetain)(&primary, 0));
	CU(DRIVER(cuDevicePrimaryCtxGetState)(0, &flags, &active));
	EXPECT(active == 1);
	CU(DRIVER(cuCtxCreate)(&own, nullptr, CU_CTX_SCHED_YIELD, 0));
	CU(DRIVER(cuCtxGetCurrent)(&now));
	EXPECT(now == own);
	CU(DRIVER(cuCtxGetFlags)(&flags));
	EXPECT((flags & CU_CTX_SCHED_MASK) == CU_CTX_SCHED_YIELD);
	CU(DRIVER(cuCtxSetCacheConfig)(CU_FUNC_CACHE_PREFER_L1));
	CU(DRIVER(cuCtxGetCacheConfig)(&cache));
	EXPECT(cache == CU_FUNC_CACHE_PREFER_L1 || cache == CU_FUNC_CACHE_PREFER_NONE);
	EXPECT_FAILS(DRIVER(cuCtxGetCacheConfig)(nullptr));
	CU(DRIVER(cuCtxGetApiVersion)(own, &version));
	EXPECT(version >= 3010);
	CU(DRIVER(cuCtxGetId)(own, &id));
	CU(DRIVER(cuCtxGetId)(primary, &other));
	EXPECT(id != other);
	CU(driver_function<CUresult(CUdevice *, CUcontext)>("cuCtxGetDevice")(&device, own));
	EXPECT(device == 0);
	CU(DRIVER(cuCtxGetStreamPriorityRange)(&least, &greatest));
	EXPECT(least == 0 && greatest <= 0);
	CU(DRIVER(cuCtxSetLimit)(CU_LIMIT_STACK_SIZE, 4096));
	CU(DRIVER(cuCtxGetLimit)(&value, CU_LIMIT_STACK_SIZE));
	EXPECT(value >= 4096);
	EXPECT_CU(DRIVER(cuCtxGetLimit)(&value, (CUlimit)99), CUDA_ERROR_INVALID_VALUE);
	CU(DRIVER(cuCtxDestroy)(own));
	CU(DRIVER(cuCtxSetCurrent)(primary));
	CU(DRIVER(cuDevicePrimaryCtxRelease)(0));
	printf("contexts\n");
}

static void
devices()
{
	cudaDeviceProp prop;
	CUdevprop old;
	int major, minor, value, can = 7;
	char name[256], id[32];
	CUdevice device = -1;

	CUDA(cudaGetDeviceProperties(&prop, 0));
	CU(DRIVER(cuDeviceGetProperties)(&old, 0));
	EXPECT(old.maxThreadsPerBlock == prop.maxThreadsPerBlock);
	EXPECT(old.maxThreadsDim[2] == prop.maxThreadsDim[2]);
	EXPECT(old.maxGridSize[0] == prop.maxGridSize[0]);
	EXPECT((size_t)old.sharedMemPerBlock == prop.sharedMemPerBlock);
	EXPECT(old.SIMDWidth == prop.warpSize);
	CU(DRIVER(cuDeviceComputeCapability)(&major, &minor, 0));
	EXPECT(major == prop.major && minor == prop.minor);
	CU(DRIVER(cuDeviceGetName)(name, sizeof(name), 0));
	EXPECT(!strcmp(name, prop.name));
	CU(DRIVER(cuDeviceGetPCIBusId)(id, sizeof(id), 0));
	CU(DRIVER(cuDeviceGetByPCIBusId)(&device, id));
	EXPECT(device == 0);
	CU(DRIVER(cuDeviceCanAccessPeer)(&can, 0, 0));
	EXPECT(can == 0);
	EXPECT_CU(DRIVER(cuDeviceCanAccessPeer)(&can, 0, 4711), CUDA_ERROR_INVALID_DEVICE);
	CU(DRIVER(cuDeviceGetAttribute)(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0));
	EXPECT(value == 32);
	EXPECT_CU(DRIVER(cuDeviceGetAttribute)(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 4711),
		  CUDA_ERROR_INVALID_DEVICE);
	printf("devices\n");
}

static void
streams()
{
	CUstreamAttrValue value, got;
	CUstream a, b;
	unsigned flags;
	unsigned long long id, other;
	int priority;
	CUcontext ctx, owner;
	CUgreenCtx green;
	CUdevice device = -1;

	CU(DRIVER(cuCtxGetCurrent)(&ctx));
	CU(DRIVER(cuStreamCreate)(&a, CU_STREAM_NON_BLOCKING));
	CU(DRIVER(cuStreamCreateWithPriority)(&b, CU_STREAM_DEFAULT, 0));
	CU(DRIVER(cuStreamGetFlags)(a, &flags));
	EXPECT(flags == CU_STREAM_NON_BLOCKING);
	CU(DRIVER(cuStreamGetPriority)(b, &priority));
	EXPECT(priority == 0);
	CU(DRIVER(cuStreamGetId)(a, &id));
	CU(DRIVER(cuStreamGetId)(b, &other));
	EXPECT(id != other);
	CU(driver_function<CUresult(CUstream, CUcontext *, CUgreenCtx *)>("cuStreamGetCtx")(
		a, &owner, &green));
	EXPECT(owner == ctx);
	CU(DRIVER(cuStreamGetDevice)(a, &device));
	EXPECT(device == 0);
	memset(&value, 0, sizeof(value));
	value.syncPolicy = CU_SYNC_POLICY_BLOCKING_SYNC;
	CU(DRIVER(cuStreamSetAttribute)(a, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
	CU(DRIVER(cuStreamCopyAttributes)(b, a));
	CU(DRIVER(cuStreamGetAttribute)(b, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &got));
	EXPECT(got.syncPolicy == CU_SYNC_POLICY_BLOCKING_SYNC);
	EXPECT_FAILS(DRIVER(cuStreamGetAttribute)(b, (CUstreamAttrID)9999, &got));
	CU(DRIVER(cuStreamDestroy)(a));
	CU(DRIVER(cuStreamDestroy)(b));
	printf("streams\n");
}

/* A library's kernels and a module's functions are the same things by other names. */
static void
kernels()
{
	CUlibrary library, owner;
	CUmodule module, lent, back;
	CUfunction function, listed[4];
	CUfunctionLoadingState state;
	CUkernel kernel, all[2];
	CUdeviceptr global;
	const char *name;
	size_t offset, size;
	unsigned count;
	int of_kernel, of_function;

	CU(DRIVER(cuLibraryLoadData)(&library, text, nullptr, nullptr, 0, nullptr, nullptr, 0));
	CU(DRIVER(cuLibraryGetKernelCount)(&count, library));
	EXPECT(count == 2);
	CU(DRIVER(cuLibraryEnumerateKernels)(all, 2, library));
	EXPECT(all[0] != all[1]);
	CU(DRIVER(cuLibraryGetKernel)(&kernel, library, "second"));
	EXPECT(kernel == all[0] || kernel == all[1]);
	EXPECT_CU(DRIVER(cuLibraryGetKernel)(&kernel, library, "third"), CUDA_ERROR_NOT_FOUND);
	CU(DRIVER(cuKernelGetName)(&name, kernel));
	EXPECT(!strcmp(name, "second"));
	CU(DRIVER(cuKernelGetLibrary)(&owner, kernel));
	EXPECT(owner == library);
	CU(DRIVER(cuKernelGetFunction)(&function, kernel));
	CU(DRIVER(cuKernelGetAttribute)(&of_kernel, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, kernel,
					0));
	CU(DRIVER(cuFuncGetAttribute)(&of_function, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK,
				      function));
	EXPECT(of_kernel == of_function);
	EXPECT(of_function == 64);
	CU(DRIVER(cuKernelSetAttribute)(CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 50,
					kernel, 0));
	CU(DRIVER(cuKernelSetCacheConfig)(kernel, CU_FUNC_CACHE_PREFER_L1, 0));
	CU(DRIVER(cuLibraryGetKernel)(&kernel, library, "first"));
	CU(DRIVER(cuKernelGetParamInfo)(kernel, 2, &offset, &size));
	EXPECT(offset == 16 && size == 24);
	EXPECT_CU(DRIVER(cuKernelGetParamInfo)(kernel, 3, &offset, &size),
		  CUDA_ERROR_INVALID_VALUE);
	CU(DRIVER(cuLibraryGetModule)(&lent, library));
	CU(DRIVER(cuModuleGetFunction)(&function, lent, "first"));
	CU(DRIVER(cuLibraryGetGlobal)(&global, &size, library, "counter"));
	EXPECT(size == 4);
	EXPECT_FAILS(DRIVER(cuLibraryGetManaged)(&global, &size, library, "nothing"));

	CU(DRIVER(cuModuleLoadData)(&module, text));
	CU(DRIVER(cuModuleGetFunctionCount)(&count, module));
	EXPECT(count == 2);
	CU(DRIVER(cuModuleEnumerateFunctions)(listed, 2, module));
	CU(DRIVER(cuFuncGetName)(&name, listed[0]));
	std::string names = name;
	CU(DRIVER(cuFuncGetName)(&name, listed[1]));
	EXPECT(names + name == "firstsecond" || names + name == "secondfirst");
	CU(DRIVER(cuModuleGetFunction)(&function, module, "first"));
	CU(DRIVER(cuFuncGetModule)(&back, function));
	EXPECT(back == module);
	CU(DRIVER(cuFuncLoad)(function));
	CU(DRIVER(cuFuncIsLoaded)(&state, function));
	EXPECT(state == CU_FUNCTION_LOADING_STATE_LOADED);
	CU(DRIVER(cuFuncGetParamInfo)(function, 1, &offset, &size));
	EXPECT(offset == 8 && size == 4);
	CU(DRIVER(cuFuncSetCacheConfig)(function, CU_FUNC_CACHE_PREFER_SHARED));
	EXPECT_CU(DRIVER(cuFuncGetAttribute)(&of_function, (CUfunction_attribute)999, function),
		  CUDA_ERROR_INVALID_VALUE);
	EXPECT_FAILS(DRIVER(cuFuncGetName)(nullptr, function));
	CU(DRIVER(cuModuleUnload)(module));
	CU(DRIVER(cuLibraryUnload)(library));
	printf("kernels\n");
}

static size_t
shared_for(int block)
{
	return (size_t)block * 16;
}

static void
occupancy()
{
	CUmodule module;
	CUfunction function;
	int grid, block, blocks, sms;
	size_t shared;

	CU(DRIVER(cuModuleLoadData)(&module, text));
	CU(DRIVER(cuModuleGetFunction)(&function, module, "second"));
	CU(DRIVER(cuDeviceGetAttribute)(&sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0));
	CU(DRIVER(cuOccupancyMaxPotentialBlockSize)(&grid, &block, function, nullptr, 0, 0));
	EXPECT(block == 64); /* its largest */
	CU(DRIVER(cuOccupancyMaxActiveBlocksPerMultiprocessor)(&blocks, function, block, 0));
	EXPECT(grid == blocks * sms);
	CU(DRIVER(cuOccupancyMaxPotentialBlockSizeWithFlags)(&grid, &block, function, shared_for, 0,
							     32, CU_OCCUPANCY_DEFAULT));
	EXPECT(block == 32);
	CU(DRIVER(cuOccupancyMaxActiveBlocksPerMultiprocessor)(&blocks, function, 32,
							       shared_for(32)));
	EXPECT(grid == blocks * sms);
	CU(DRIVER(cuOccupancyAvailableDynamicSMemPerBlock)(&shared, function, 1, 64));
	EXPECT(shared > 0);
	EXPECT_FAILS(
		DRIVER(cuOccupancyMaxPotentialBlockSize)(nullptr, &block, function, nullptr, 0, 0));
	CU(DRIVER(cuModuleUnload)(module));
	printf("occupancy\n");
}

static void
pointers()
{
	CUpointer_attribute which[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
				       CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
				       CU_POINTER_ATTRIBUTE_IS_MANAGED};
	unsigned type = 0, managed = 7, set = 1;
	int ordinal = -7, unknown = 0;
	void *values[] = {&type, &ordinal, &managed};
	unsigned long long first, second;
	CUdeviceptr a, b, start, seen;
	void *host, *back;
	size_t size;

	CU(DRIVER(cuMemAlloc)(&a, 5000));
	CU(DRIVER(cuMemAlloc)(&b, 5000));
	CU(DRIVER(cuMemHostAlloc)(&host, 5000, CU_MEMHOSTALLOC_DEVICEMAP));
	CU(DRIVER(cuPointerGetAttributes)(3, which, values, a + 17));
	EXPECT(type == CU_MEMORYTYPE_DEVICE && ordinal == 0 && managed == 0);
	CU(DRIVER(cuPointerGetAttributes)(3, which, values, (CUdeviceptr)host));
	EXPECT(type == CU_MEMORYTYPE_HOST && managed == 0);
	CU(DRIVER(cuPointerGetAttributes)(3, which, values, (CUdeviceptr)&unknown));
	EXPECT(type == 0); /* nobody's: not an error in this call */
	CU(DRIVER(cuPointerGetAttribute)(&first, CU_POINTER_ATTRIBUTE_BUFFER_ID, a));
	CU(DRIVER(cuPointerGetAttribute)(&second, CU_POINTER_ATTRIBUTE_BUFFER_ID, b));
	EXPECT(first != second);
	CU(DRIVER(cuPointerGetAttribute)(&start, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, a + 4000));
	CU(DRIVER(cuPointerGetAttribute)(&size, CU_POINTER_ATTRIBUTE_RANGE_SIZE, a + 4000));
	EXPECT(start == a && size >= 5000);
	CU(DRIVER(cuMemGetAddressRange)(&start, &size, a + 4999));
	EXPECT(start == a && size >= 5000);
	CU(DRIVER(cuPointerGetAttribute)(&seen, CU_POINTER_ATTRIBUTE_DEVICE_POINTER,
					 (CUdeviceptr)host + 8));
	CU(DRIVER(cuMemHostGetDevicePointer)(&start, host, 0));
	EXPECT(seen == start + 8);
	CU(DRIVER(cuPointerGetAttribute)(&back, CU_POINTER_ATTRIBUTE_HOST_POINTER, start + 8));
	EXPECT(back == (char *)host + 8);
	CU(DRIVER(cuPointerSetAttribute)(&set, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, a));
	EXPECT_FAILS(DRIVER(cuPointerSetAttribute)(&set, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, a));
	EXPECT_FAILS(DRIVER(cuPointerGetAttribute)(&set, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
						   (CUdeviceptr)&unknown));
	CU(DRIVER(cuMemFreeHost)(host));
	CU(DRIVER(cuMemFree)(a));
	CU(DRIVER(cuMemFree)(b));
	EXPECT_FAILS(DRIVER(cuMemGetAddressRange)(&start, &size, a));
	printf("pointers\n");
}

int
main()
{
	CUDA(cudaFree(nullptr)); /* makes the context */
	contexts();
	devices();
	streams();
	kernels();
	occupancy();
	pointers();
	return ok();
}
