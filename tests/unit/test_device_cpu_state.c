/* The CPU device: what can be asked of and set for devices, contexts, streams and functions. */
#include "cpu_fixture.h"

TestSuite(device_cpu_state, .init = open_device, .fini = close_device, .timeout = 60);

/* ---- devices ---- */

Test(device_cpu_state, a_device_has_the_properties_of_its_attributes)
{
	unsigned int capabilities[2] = {9, 9};
	const CUatomicOperation operations[2] = {0};
	CUdevprop prop;
	size_t width;
	int value;

	ok(drv->cuDeviceGetProperties(&prop, 0));
	ok(drv->cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 0));
	cr_assert_eq(prop.maxThreadsPerBlock, value);
	ok(drv->cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 0));
	cr_assert_eq(prop.maxThreadsDim[2], value);
	ok(drv->cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 0));
	cr_assert_eq(prop.maxGridSize[1], value);
	ok(drv->cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0));
	cr_assert_eq(prop.SIMDWidth, value);
	ok(drv->cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 0));
	cr_assert_eq(prop.clockRate, value);
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuDeviceGetProperties(&prop, 1));
	ok(drv->cuDeviceGetTexture1DLinearMaxWidth(&width, CU_AD_FORMAT_FLOAT, 4, 0));
	cr_assert_geq(width, (size_t)1 << 27);
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuDeviceGetTexture1DLinearMaxWidth(&width, CU_AD_FORMAT_FLOAT, 3, 0));
	ok(drv->cuDeviceGetExecAffinitySupport(&value, CU_EXEC_AFFINITY_TYPE_SM_COUNT, 0));
	cr_assert_eq(value, 0);
	ok(drv->cuDeviceGetHostAtomicCapabilities(capabilities, operations, 2, 0));
	cr_assert_eq(capabilities[1], 0);
	fails(CUDA_ERROR_INVALID_DEVICE,
	      drv->cuDeviceGetHostAtomicCapabilities(capabilities, operations, 2, 1));
}

Test(device_cpu_state, a_device_is_found_by_its_address)
{
	static const char *const wrong[] = {"0001:00:00.0", "ff:ff.f", "0000:00:1f.0"};
	char name[32], tiny[4];
	CUdevice dev = 7;

	ok(drv->cuDeviceGetPCIBusId(name, sizeof(name), 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuDeviceGetPCIBusId(tiny, sizeof(tiny), 0));
	ok(drv->cuDeviceGetByPCIBusId(&dev, strchr(name, ':') + 1)); /* without a domain */
	cr_assert_eq(dev, 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		fails(CUDA_ERROR_INVALID_DEVICE, drv->cuDeviceGetByPCIBusId(&dev, wrong[i]));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuDeviceGetByPCIBusId(&dev, "nowhere"));
}

Test(device_cpu_state, one_device_has_no_peer)
{
	const CUatomicOperation operations[1] = {0};
	unsigned int capability;
	CUcontext other;
	int can = 7;

	ok(drv->cuDeviceCanAccessPeer(&can, 0, 0));
	cr_assert_eq(can, 0);
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuDeviceCanAccessPeer(&can, 0, 1));
	fails(CUDA_ERROR_INVALID_DEVICE,
	      drv->cuDeviceGetP2PAttribute(&can, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 0, 0));
	fails(CUDA_ERROR_INVALID_DEVICE,
	      drv->cuDeviceGetP2PAtomicCapabilities(&capability, operations, 1, 0, 0));
	ok(drv->cuCtxCreate_v2(&other, 0, 0));
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuCtxEnablePeerAccess(ctx, 0));
	fails(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, drv->cuCtxDisablePeerAccess(ctx));
	ok(drv->cuCtxDestroy_v2(other));
}

/* ---- contexts ---- */

Test(device_cpu_state, the_primary_context_is_counted)
{
	unsigned int flags;
	CUcontext again;
	CUdeviceptr ptr;
	int active;

	ok(drv->cuDevicePrimaryCtxGetState(0, &flags, &active));
	cr_assert_eq(active, 1);
	ok(drv->cuDevicePrimaryCtxSetFlags_v2(0, CU_CTX_SCHED_YIELD));
	ok(drv->cuDevicePrimaryCtxGetState(0, &flags, &active));
	cr_assert_eq(flags, CU_CTX_SCHED_YIELD);
	ok(drv->cuCtxGetFlags(&flags));
	cr_assert_eq(flags, CU_CTX_SCHED_YIELD, "of the context that exists, too");
	ok(drv->cuDevicePrimaryCtxRetain(&again, 0));
	cr_assert_eq(again, ctx);
	ok(drv->cuDevicePrimaryCtxRelease_v2(0));
	ok(drv->cuDevicePrimaryCtxGetState(0, &flags, &active));
	cr_assert_eq(active, 1);
	ok(drv->cuDevicePrimaryCtxRelease_v2(0));
	ok(drv->cuDevicePrimaryCtxGetState(0, &flags, &active));
	cr_assert_eq(active, 0);
	fails(CUDA_ERROR_INVALID_CONTEXT, drv->cuDevicePrimaryCtxRelease_v2(0));
	ok(drv->cuDevicePrimaryCtxRetain(&again, 0));
	cr_assert_eq(again, ctx, "the same one, new");
	ok(drv->cuCtxSetCurrent(ctx));
	ok(drv->cuMemAlloc_v2(&ptr, 16));
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuDevicePrimaryCtxGetState(1, &flags, &active));
	fails(CUDA_ERROR_INVALID_DEVICE, drv->cuDevicePrimaryCtxSetFlags_v2(1, 0));
	fails(CUDA_ERROR_INVALID_CONTEXT, drv->cuCtxDestroy_v2(ctx));
}

Test(device_cpu_state, what_a_context_is_told_it_remembers)
{
	CUexecAffinityParam affinity = {0};
	CUctxCreateParams params = {.execAffinityParams = &affinity, .numExecAffinityParams = 1};
	CUsharedconfig shared = 0;
	CUfunc_cache cache = 0;
	unsigned int value;
	CUcontext other;
	CUdevice dev = 7;

	fails(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY, drv->cuCtxCreate_v4(&other, &params, 0, 0));
	fails(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY,
	      drv->cuCtxCreate_v3(&other, &affinity, 1, 0, 0));
	params.numExecAffinityParams = 0;
	params.cigParams = (CUctxCigParam *)&affinity;
	fails(CUDA_ERROR_NOT_SUPPORTED, drv->cuCtxCreate_v4(&other, &params, 0, 0));
	ok(drv->cuCtxCreate_v4(&other, NULL, CU_CTX_SCHED_SPIN, 0));
	ok(drv->cuCtxGetFlags(&value));
	cr_assert_eq(value, CU_CTX_SCHED_SPIN);
	ok(drv->cuCtxSetFlags(CU_CTX_SCHED_BLOCKING_SYNC));
	ok(drv->cuCtxGetFlags(&value));
	cr_assert_eq(value, CU_CTX_SCHED_BLOCKING_SYNC);
	ok(drv->cuCtxSetCacheConfig(CU_FUNC_CACHE_PREFER_L1));
	ok(drv->cuCtxGetCacheConfig(&cache));
	cr_assert_eq(cache, CU_FUNC_CACHE_PREFER_L1);
	ok(drv->cuCtxSetSharedMemConfig(CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE));
	ok(drv->cuCtxGetSharedMemConfig(&shared));
	cr_assert_eq(shared, CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE);
	ok(drv->cuCtxGetDevice(&dev));
	cr_assert_eq(dev, 0);
	ok(drv->cuCtxGetDevice_v2(&dev, ctx));
	ok(drv->cuCtxGetApiVersion(other, &value));
	cr_assert_geq(value, 3020);
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuCtxSetLimit(CU_LIMIT_MAX, 1));
	fails(CUDA_ERROR_UNSUPPORTED_LIMIT, drv->cuCtxSetLimit(CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH, 1));
	ok(drv->cuCtxDestroy_v2(other));
	/* the other one was not told */
	ok(drv->cuCtxGetCacheConfig(&cache));
	cr_assert_eq(cache, CU_FUNC_CACHE_PREFER_NONE);
	fails(CUDA_ERROR_INVALID_CONTEXT, drv->cuCtxGetApiVersion(other, &value));
	fails(CUDA_ERROR_INVALID_CONTEXT, drv->cuCtxGetDevice_v2(&dev, other));
	ok(drv->cuCtxSetCurrent(NULL));
	fails(CUDA_ERROR_INVALID_CONTEXT, drv->cuCtxGetFlags(&value));
	fails(CUDA_ERROR_INVALID_CONTEXT, drv->cuCtxSetCacheConfig(CU_FUNC_CACHE_PREFER_L1));
	fails(CUDA_ERROR_INVALID_CONTEXT, drv->cuCtxPopCurrent_v2(&other));
}

/* As many as there may be on the stack; one more is refused, and is not there. */
Test(device_cpu_state, the_stack_of_contexts_has_an_end)
{
	CUresult status = CUDA_SUCCESS;
	CUcontext now, extra = NULL;
	int depth = 1; /* open_device() */

	while (status == CUDA_SUCCESS && depth < 100000) {
		status = drv->cuCtxPushCurrent_v2(ctx);
		depth += status == CUDA_SUCCESS;
	}
	fails(CUDA_ERROR_OUT_OF_MEMORY, status);
	fails(CUDA_ERROR_OUT_OF_MEMORY, drv->cuCtxCreate_v2(&extra, 0, 0));
	cr_assert_null(extra);
	for (; depth > 1; depth--)
		ok(drv->cuCtxPopCurrent_v2(&now));
	ok(drv->cuCtxGetCurrent(&now));
	cr_assert_eq(now, ctx);
}

/* ---- streams ---- */

Test(device_cpu_state, a_stream_says_what_it_is)
{
	unsigned long long first, second;
	CUstream stream, other;
	unsigned int flags;
	CUcontext owner;
	CUdevice dev = 7;

	ok(drv->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	ok(drv->cuStreamCreate(&other, CU_STREAM_DEFAULT));
	ok(drv->cuStreamGetFlags(stream, &flags));
	cr_assert_eq(flags, CU_STREAM_NON_BLOCKING);
	ok(drv->cuStreamGetId(stream, &first));
	ok(drv->cuStreamGetId(other, &second));
	cr_assert_neq(first, second);
	ok(drv->cuStreamGetDevice(stream, &dev));
	cr_assert_eq(dev, 0);
	ok(drv->cuStreamGetCtx(stream, &owner));
	cr_assert_eq(owner, ctx);
	ok(drv->cuStreamGetCtx(NULL, &owner));
	cr_assert_eq(owner, ctx);
	ok(drv->cuStreamDestroy_v2(stream));
	ok(drv->cuStreamDestroy_v2(other));
	fails(CUDA_ERROR_INVALID_HANDLE, drv->cuStreamGetFlags((CUstream)&first, &flags));
	fails(CUDA_ERROR_INVALID_HANDLE, drv->cuStreamGetId((CUstream)&first, &first));
}

Test(device_cpu_state, attributes_of_streams_are_kept_and_copied)
{
	CUstreamAttrValue value, got;
	CUstream a, b;

	ok(drv->cuStreamCreate(&a, 0));
	ok(drv->cuStreamCreateWithPriority(&b, 0, -3));
	memset(&value, 0, sizeof(value));
	value.syncPolicy = CU_SYNC_POLICY_YIELD;
	ok(drv->cuStreamSetAttribute(a, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
	ok(drv->cuStreamGetAttribute(b, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &got));
	cr_assert_neq(got.syncPolicy, CU_SYNC_POLICY_YIELD);
	ok(drv->cuStreamCopyAttributes(b, a));
	ok(drv->cuStreamGetAttribute(b, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &got));
	cr_assert_eq(got.syncPolicy, CU_SYNC_POLICY_YIELD);
	ok(drv->cuStreamGetAttribute(b, CU_LAUNCH_ATTRIBUTE_PRIORITY, &got));
	cr_assert_eq(got.priority, -3);
	value.priority = -1;
	ok(drv->cuStreamSetAttribute(b, CU_LAUNCH_ATTRIBUTE_PRIORITY, &value));
	ok(drv->cuStreamGetAttribute(b, CU_LAUNCH_ATTRIBUTE_PRIORITY, &got));
	cr_assert_eq(got.priority, -1);
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuStreamGetAttribute(b, (CUstreamAttrID)9999, &got));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuStreamSetAttribute(b, (CUstreamAttrID)9999, &value));
	fails(CUDA_ERROR_INVALID_HANDLE, drv->cuStreamCopyAttributes(b, (CUstream)&value));
	fails(CUDA_ERROR_INVALID_HANDLE, drv->cuStreamCopyAttributes((CUstream)&value, a));
	ok(drv->cuStreamDestroy_v2(a));
	ok(drv->cuStreamDestroy_v2(b));
}

static void
note_callback(CUstream stream, CUresult status, void *data)
{
	(void)stream;
	*(int *)data = status == CUDA_SUCCESS ? 1 : 2;
}

Test(device_cpu_state, callbacks_come_after_the_work)
{
	CUdeviceptr memory = device_memory(4);
	int called = 0;
	CUstream stream;

	ok(drv->cuStreamCreate(&stream, 0));
	ok(launch("add", stream, memory, 5));
	ok(drv->cuStreamAddCallback(stream, note_callback, &called, 0));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuStreamAddCallback(stream, NULL, &called, 0));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuStreamAddCallback(stream, note_callback, &called, 1));
	ok(drv->cuStreamSynchronize(stream));
	cr_assert_eq(called, 1);
	cr_assert_eq(read_u32(memory), 5);
	ok(drv->cuStreamAttachMemAsync(stream, memory, 0, CU_MEM_ATTACH_GLOBAL));
	ok(drv->cuStreamDestroy_v2(stream));
}

/* ---- functions ---- */

Test(device_cpu_state, a_module_lists_its_functions)
{
	CUfunction functions[7];
	CUfunctionLoadingState state;
	CUmoduleLoadingMode mode = 0;
	const char *name;
	CUmodule owner;
	bool found = false;

	ok(drv->cuModuleEnumerateFunctions(functions, 6, module));
	for (int i = 0; i < 6; i++) {
		ok(drv->cuFuncGetName(&name, functions[i]));
		ok(drv->cuFuncGetModule(&owner, functions[i]));
		cr_assert_eq(owner, module);
		found |= functions[i] == function("add") && !strcmp(name, "add");
	}
	cr_assert(found);
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuModuleEnumerateFunctions(functions, 7, module));
	fails(CUDA_ERROR_INVALID_HANDLE, drv->cuModuleEnumerateFunctions(functions, 1, NULL));
	ok(drv->cuFuncIsLoaded(&state, functions[0]));
	cr_assert_eq(state, CU_FUNCTION_LOADING_STATE_LOADED);
	ok(drv->cuFuncLoad(functions[0]));
	ok(drv->cuModuleGetLoadingMode(&mode));
	cr_assert_eq(mode, CU_MODULE_LAZY_LOADING);
	fails(CUDA_ERROR_INVALID_HANDLE, drv->cuFuncGetName(&name, (CUfunction)&mode));
	fails(CUDA_ERROR_INVALID_HANDLE, drv->cuFuncGetModule(&owner, (CUfunction)&mode));
	fails(CUDA_ERROR_INVALID_HANDLE, drv->cuModuleUnload((CUmodule)&mode));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuModuleLoadData(NULL, kernels_ptx));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuModuleLoadData(&owner, NULL));
}

Test(device_cpu_state, attributes_of_functions_are_kept)
{
	static const struct {
		CUfunction_attribute attribute;
		int value;
	} settable[] = {
		{CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 50},
		{CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH, 2},
		{CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT, 1},
		{CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH, 1},
		{CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1},
		{CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE,
		 CU_CLUSTER_SCHEDULING_POLICY_SPREAD},
	};
	CUfunction fn = function("nothing");
	int value;

	for (size_t i = 0; i < sizeof(settable) / sizeof(settable[0]); i++) {
		ok(drv->cuFuncSetAttribute(fn, settable[i].attribute, settable[i].value));
		ok(drv->cuFuncGetAttribute(&value, settable[i].attribute, fn));
		cr_assert_eq(value, settable[i].value, "attribute %d", settable[i].attribute);
	}
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuFuncSetAttribute(fn, CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 101));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuFuncSetAttribute(fn, CU_FUNC_ATTRIBUTE_NUM_REGS, 1));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuFuncGetAttribute(&value, (CUfunction_attribute)999, fn));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuFuncGetAttribute(NULL, CU_FUNC_ATTRIBUTE_NUM_REGS, fn));
	fails(CUDA_ERROR_INVALID_HANDLE,
	      drv->cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_NUM_REGS, (CUfunction)&value));
	ok(drv->cuFuncSetCacheConfig(fn, CU_FUNC_CACHE_PREFER_SHARED));
	ok(drv->cuFuncSetSharedMemConfig(fn, CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE));
	fails(CUDA_ERROR_INVALID_HANDLE,
	      drv->cuFuncSetCacheConfig((CUfunction)&value, CU_FUNC_CACHE_PREFER_SHARED));
}

Test(device_cpu_state, parameters_that_do_not_fit)
{
	CUdeviceptr memory = device_memory(4);
	size_t size = 16;
	char bytes[32] = {0};
	void *missing[] = {&memory, NULL, NULL};
	void *unknown[] = {(void *)0x77, bytes, CU_LAUNCH_PARAM_END};
	void *no_data[] = {CU_LAUNCH_PARAM_BUFFER_SIZE, &size, CU_LAUNCH_PARAM_END};

	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuLaunchKernel(function("add"), 1, 1, 1, 1, 1, 1, 0, NULL, missing, NULL));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuLaunchKernel(function("add"), 1, 1, 1, 1, 1, 1, 0, NULL, NULL, unknown));
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuLaunchKernel(function("add"), 1, 1, 1, 1, 1, 1, 0, NULL, NULL, no_data));
	ok(drv->cuCtxSynchronize());
	cr_assert_eq(read_u32(memory), 0, "nothing ran");
}
