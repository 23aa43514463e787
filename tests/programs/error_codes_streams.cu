/* Errors of the runtime that are known at once: streams, events, launches, occupancy, pools. */
#include "error_codes.h"

#include <condition_variable>
#include <mutex>

__global__ void
increment(int *p)
{
	*p += 1;
}

__global__ void __launch_bounds__(128) narrow(int *p)
{
	*p += 1;
}

__global__ void
with_static_shared(int *p)
{
	__shared__ int buffer[8192]; /* 32 KiB */
	buffer[threadIdx.x] = *p;
	__syncthreads();
	*p = buffer[blockDim.x - 1 - threadIdx.x];
}

static void
nothing(void *data)
{
	(void)data;
}

/* A host function that keeps its stream busy until it is told to end. */
struct Gate {
	std::mutex lock;
	std::condition_variable changed;
	bool open = false;

	static void wait(void *data)
	{
		Gate *gate = (Gate *)data;
		std::unique_lock<std::mutex> held(gate->lock);
		gate->changed.wait(held, [gate] { return gate->open; });
	}
	void let()
	{
		std::lock_guard<std::mutex> held(lock);
		open = true;
		changed.notify_all();
	}
};

static void
streams()
{
	cudaStream_t stream, other;
	cudaStreamCaptureStatus capture;
	unsigned long long id;
	unsigned flags;
	int priority, stack = 0;
	CUDA(cudaStreamCreate(&stream));

	RT("stream create: null", cudaErrorInvalidValue, cudaStreamCreate(nullptr));
	RT("stream create: unknown flag", cudaErrorInvalidValue,
	   cudaStreamCreateWithFlags(&other, 0x1000));
	RT("stream create: priority out of range", cudaSuccess,
	   cudaStreamCreateWithPriority(&other, cudaStreamNonBlocking, -1000));
	CUDA(cudaStreamDestroy(other));
	RT("stream destroy: default", cudaErrorInvalidResourceHandle, cudaStreamDestroy(0));
	RT("stream destroy: legacy", cudaErrorInvalidResourceHandle,
	   cudaStreamDestroy(cudaStreamLegacy));
	RT("stream destroy: per thread", cudaErrorInvalidResourceHandle,
	   cudaStreamDestroy(cudaStreamPerThread));
	RT("stream query: default", cudaSuccess, cudaStreamQuery(0));
	RT("stream wait: null event", cudaErrorInvalidResourceHandle,
	   cudaStreamWaitEvent(stream, nullptr, 0));
	RT("stream flags: null", cudaErrorInvalidValue, cudaStreamGetFlags(stream, nullptr));
	RT("stream flags: default", cudaSuccess, cudaStreamGetFlags(0, &flags));
	RT("stream priority: null", cudaErrorInvalidValue, cudaStreamGetPriority(stream, nullptr));
	RT("stream priority: default", cudaSuccess, cudaStreamGetPriority(0, &priority));
	RT("stream id: null", cudaErrorInvalidValue, cudaStreamGetId(stream, nullptr));
	RT("stream id: default", cudaSuccess, cudaStreamGetId(0, &id));
	RT("is capturing: null", cudaErrorInvalidValue, cudaStreamIsCapturing(stream, nullptr));
	RT("is capturing: default", cudaSuccess, cudaStreamIsCapturing(0, &capture));
	RT("callback: null", cudaErrorInvalidValue,
	   cudaStreamAddCallback(stream, nullptr, nullptr, 0));
	RT("host function: null", cudaErrorInvalidValue,
	   cudaLaunchHostFunc(stream, nullptr, nullptr));
	RT("attach: the stack", cudaErrorInvalidValue,
	   cudaStreamAttachMemAsync(stream, &stack, 0, cudaMemAttachHost));
	RT("copy attributes: same", cudaSuccess, cudaStreamCopyAttributes(stream, stream));
	CUDA(cudaStreamDestroy(stream));
}

static void
events()
{
	cudaEvent_t event, untimed, late;
	cudaStream_t stream;
	cudaIpcEventHandle_t handle;
	float ms;
	Gate gate;
	CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	CUDA(cudaEventCreate(&event));
	CUDA(cudaEventCreate(&late));
	CUDA(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming));

	RT("event create: null", cudaErrorInvalidValue, cudaEventCreate((cudaEvent_t *)nullptr));
	RT("event create: unknown flag", cudaErrorInvalidValue,
	   cudaEventCreateWithFlags(&event, 0x1000));
	RT("event create: interprocess with timing", cudaErrorInvalidValue,
	   cudaEventCreateWithFlags(&event, cudaEventInterprocess));
	RT("event record: null", cudaErrorInvalidResourceHandle, cudaEventRecord(nullptr, 0));
	RT("event query: null", cudaErrorInvalidResourceHandle, cudaEventQuery(nullptr));
	RT("event synchronize: null", cudaErrorInvalidResourceHandle,
	   cudaEventSynchronize(nullptr));
	RT("event destroy: null", cudaErrorInvalidResourceHandle, cudaEventDestroy(nullptr));
	RT("event query: never recorded", cudaSuccess, cudaEventQuery(event));
	RT("event synchronize: never recorded", cudaSuccess, cudaEventSynchronize(event));
	RT("stream wait: never recorded", cudaSuccess, cudaStreamWaitEvent(stream, event, 0));
	RT("event record: unknown flag", cudaErrorInvalidValue,
	   cudaEventRecordWithFlags(event, stream, 0x1000));
	RT("stream wait: unknown flag", cudaErrorInvalidValue,
	   cudaStreamWaitEvent(stream, event, 0x1000));
	RT("elapsed: never recorded", cudaErrorInvalidResourceHandle,
	   cudaEventElapsedTime(&ms, event, late));
	CUDA(cudaEventRecord(event, stream));
	CUDA(cudaEventRecord(untimed, stream));
	CUDA(cudaStreamSynchronize(stream));
	RT("elapsed: second never recorded", cudaErrorInvalidResourceHandle,
	   cudaEventElapsedTime(&ms, event, late));
	RT("elapsed: null result", cudaErrorInvalidValue,
	   cudaEventElapsedTime(nullptr, event, event));
	RT("elapsed: null event", cudaErrorInvalidResourceHandle,
	   cudaEventElapsedTime(&ms, nullptr, event));
	RT("elapsed: no timing", cudaErrorInvalidResourceHandle,
	   cudaEventElapsedTime(&ms, event, untimed));
	RT("elapsed: with itself", cudaSuccess, cudaEventElapsedTime(&ms, event, event));
	EXPECT(ms == 0);
	RT("ipc handle: not interprocess", cudaErrorInvalidResourceHandle,
	   cudaIpcGetEventHandle(&handle, event));

	CUDA(cudaLaunchHostFunc(stream, Gate::wait, &gate));
	CUDA(cudaEventRecord(late, stream));
	RT("event query: not done", cudaErrorNotReady, cudaEventQuery(late));
	RT("stream query: not done", cudaErrorNotReady, cudaStreamQuery(stream));
	RT("elapsed: not done", cudaErrorNotReady, cudaEventElapsedTime(&ms, event, late));
	RT("last error: after not ready", cudaSuccess, cudaGetLastError());
	gate.let();
	RT("event synchronize", cudaSuccess, cudaEventSynchronize(late));
	RT("elapsed: done", cudaSuccess, cudaEventElapsedTime(&ms, event, late));
	CUDA(cudaStreamSynchronize(stream));
	CUDA(cudaEventDestroy(event));
	CUDA(cudaEventDestroy(late));
	CUDA(cudaEventDestroy(untimed));
	CUDA(cudaStreamDestroy(stream));
}

static void
launches()
{
	cudaDeviceProp properties;
	int *p, result = 0;
	void *arguments[] = {&p};
	CUDA(cudaMalloc(&p, sizeof(int)));
	CUDA(cudaMemset(p, 0, sizeof(int)));
	CUDA(cudaGetDeviceProperties(&properties, 0));
	size_t opt_in = properties.sharedMemPerBlockOptin;

	LAUNCH("launch: 1025 threads", cudaErrorInvalidValue, (increment<<<1, 1025>>>(p)));
	LAUNCH("launch: 33*32 threads", cudaErrorInvalidValue, (increment<<<1, dim3(33, 32)>>>(p)));
	LAUNCH("launch: 65 in z", cudaErrorInvalidValue, (increment<<<1, dim3(1, 1, 65)>>>(p)));
	LAUNCH("launch: no threads", cudaErrorInvalidValue, (increment<<<1, 0>>>(p)));
	LAUNCH("launch: no blocks", cudaErrorInvalidValue, (increment<<<0, 1>>>(p)));
	LAUNCH("launch: 65536 blocks in y", cudaErrorInvalidValue,
	       (increment<<<dim3(1, 65536), 1>>>(p)));
	LAUNCH("launch: 65536 blocks in z", cudaErrorInvalidValue,
	       (increment<<<dim3(1, 1, 65536), 1>>>(p)));
	LAUNCH("launch: 2^31 blocks", cudaErrorInvalidValue, (increment<<<1u << 31, 1>>>(p)));
	LAUNCH("launch: beyond launch bounds", cudaErrorInvalidValue, (narrow<<<1, 129>>>(p)));
	LAUNCH("launch: 48 KiB + 1 shared", cudaErrorInvalidValue,
	       (increment<<<1, 1, 48 * 1024 + 1>>>(p)));
	LAUNCH("launch: static and dynamic too much", cudaErrorInvalidValue,
	       (with_static_shared<<<1, 1, 16 * 1024 + 1>>>(p)));
	LAUNCH("launch: static and dynamic", cudaSuccess,
	       (with_static_shared<<<1, 1, 16 * 1024>>>(p)));
	RT("launch: null function", cudaErrorInvalidDeviceFunction,
	   cudaLaunchKernel((const void *)nullptr, dim3(1), dim3(1), arguments, 0, 0));
	RT("cooperative: too many blocks", cudaErrorCooperativeLaunchTooLarge,
	   cudaLaunchCooperativeKernel((const void *)increment, dim3(1 << 20), dim3(1024),
				       arguments, 0, 0));
	cudaLaunchConfig_t config = {};
	cudaLaunchAttribute attribute = {};
	config.gridDim = config.blockDim = dim3(1);
	config.attrs = &attribute;
	config.numAttrs = 1;
	attribute.id = cudaLaunchAttributePriority;
	RT("launch ex", cudaSuccess,
	   cudaLaunchKernelExC(&config, (const void *)increment, arguments));
	config.blockDim = dim3(2000);
	RT("launch ex: 2000 threads", cudaErrorInvalidValue,
	   cudaLaunchKernelExC(&config, (const void *)increment, arguments));

	RT("attributes: null", cudaErrorInvalidValue,
	   cudaFuncGetAttributes(nullptr, (const void *)increment));
	RT("set attribute: unknown", cudaErrorInvalidValue,
	   cudaFuncSetAttribute((const void *)increment, (cudaFuncAttribute)99, 1));
	RT("set attribute: shared beyond the device", cudaErrorInvalidValue,
	   cudaFuncSetAttribute((const void *)increment,
				cudaFuncAttributeMaxDynamicSharedMemorySize, (int)opt_in + 1));
	RT("set attribute: shared negative", cudaErrorInvalidValue,
	   cudaFuncSetAttribute((const void *)increment,
				cudaFuncAttributeMaxDynamicSharedMemorySize, -1));
	RT("set attribute: carveout above 100", cudaErrorInvalidValue,
	   cudaFuncSetAttribute((const void *)increment,
				cudaFuncAttributePreferredSharedMemoryCarveout, 101));
	RT("set attribute: shared as the device can", cudaSuccess,
	   cudaFuncSetAttribute((const void *)increment,
				cudaFuncAttributeMaxDynamicSharedMemorySize, (int)opt_in));
	LAUNCH("launch: as much shared as set", cudaSuccess, (increment<<<1, 1, opt_in>>>(p)));
	LAUNCH("launch: more shared than set", cudaErrorInvalidValue,
	       (increment<<<1, 1, opt_in + 1>>>(p)));

	RT("occupancy: null", cudaErrorInvalidValue,
	   cudaOccupancyMaxActiveBlocksPerMultiprocessor((int *)nullptr, increment, 32, 0));
	RT("occupancy: no threads", cudaErrorInvalidValue,
	   cudaOccupancyMaxActiveBlocksPerMultiprocessor(&result, increment, 0, 0));
	RT("occupancy: negative", cudaErrorInvalidValue,
	   cudaOccupancyMaxActiveBlocksPerMultiprocessor(&result, increment, -1, 0));
	RT("occupancy: too much shared", cudaSuccess,
	   cudaOccupancyMaxActiveBlocksPerMultiprocessor(&result, increment, 32, (size_t)1 << 20));
	EXPECT(result == 0);
	RT("occupancy: unknown flag", cudaErrorInvalidValue,
	   cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(&result, increment, 32, 0, 8));
	CUDA(cudaDeviceSynchronize());
	CUDA(cudaFree(p));
}

static void
pools()
{
	cudaMemPoolProps props = {};
	cudaMemPool_t pool, other;
	cudaStream_t stream;
	void *p, *q;
	uint64_t value = 1;
	int stack, count;
	CUDA(cudaGetDeviceCount(&count));
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaDeviceGetDefaultMemPool(&pool, 0));

	RT("default pool: null", cudaErrorInvalidValue, cudaDeviceGetDefaultMemPool(nullptr, 0));
	RT("default pool: no such device", cudaErrorInvalidDevice,
	   cudaDeviceGetDefaultMemPool(&other, count));
	RT("malloc async: null", cudaErrorInvalidValue, cudaMallocAsync(nullptr, 16, stream));
	RT("malloc async: a petabyte", cudaErrorMemoryAllocation,
	   cudaMallocAsync(&p, (size_t)1 << 50, stream));
	RT("free async: the stack", cudaErrorInvalidValue, cudaFreeAsync(&stack, stream));
	CUDA(cudaMallocAsync(&p, 100, stream));
	RT("free async: inside", cudaErrorInvalidValue, cudaFreeAsync((char *)p + 4, stream));
	RT("memset async: pool memory beyond", cudaErrorInvalidValue,
	   cudaMemsetAsync(p, 0, (size_t)1 << 40, stream));
	RT("free async", cudaSuccess, cudaFreeAsync(p, stream));
	RT("free async: twice", cudaErrorInvalidValue, cudaFreeAsync(p, stream));
	CUDA(cudaMalloc(&q, 100));
	RT("free async: of malloc", cudaSuccess, cudaFreeAsync(q, stream));
	CUDA(cudaMallocAsync(&p, 100, stream));
	CUDA(cudaStreamSynchronize(stream));
	RT("free: of malloc async", cudaSuccess, cudaFree(p));
	RT("pool create: null", cudaErrorInvalidValue, cudaMemPoolCreate(nullptr, &props));
	RT("pool create: no properties", cudaErrorInvalidValue, cudaMemPoolCreate(&other, nullptr));
	RT("pool create: zero properties", cudaErrorInvalidValue,
	   cudaMemPoolCreate(&other, &props));
	props.allocType = cudaMemAllocationTypePinned;
	props.location = {cudaMemLocationTypeDevice, 99};
	RT("pool create: no such device", cudaErrorInvalidValue, cudaMemPoolCreate(&other, &props));
	RT("pool destroy: default", cudaErrorInvalidValue, cudaMemPoolDestroy(pool));
	RT("pool attribute: unknown", cudaErrorInvalidValue,
	   cudaMemPoolSetAttribute(pool, (cudaMemPoolAttr)99, &value));
	RT("pool attribute: null", cudaErrorInvalidValue,
	   cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, nullptr));
	RT("pool attribute: high to one", cudaErrorInvalidValue,
	   cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &value));
	RT("pool attribute: read only", cudaErrorInvalidValue,
	   cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &value));
	CUDA(cudaStreamSynchronize(stream));
	CUDA(cudaStreamDestroy(stream));
}

static void
textures()
{
	cudaChannelFormatDesc format = cudaCreateChannelDesc<float>(),
			      odd = {7, 0, 0, 0, cudaChannelFormatKindUnsigned};
	cudaResourceDesc resource = {};
	cudaTextureDesc texture = {};
	cudaTextureObject_t object;
	cudaSurfaceObject_t surface;
	cudaArray_t array, plain;
	char *p, host[64] = {};

	RT("array: null", cudaErrorInvalidValue, cudaMallocArray(nullptr, &format, 4, 4));
	RT("array: no width", cudaErrorInvalidValue, cudaMallocArray(&array, &format, 0, 4));
	RT("array: seven bits", cudaErrorInvalidChannelDescriptor,
	   cudaMallocArray(&array, &odd, 4, 4));
	RT("array: far too wide", cudaErrorInvalidValue,
	   cudaMallocArray(&array, &format, 1 << 30, 4));
	RT("array: unknown flag", cudaErrorInvalidValue,
	   cudaMallocArray(&array, &format, 4, 4, 0x1000));
	RT("free array: null", cudaSuccess, cudaFreeArray(nullptr));
	CUDA(cudaMallocArray(&plain, &format, 4, 4));
	RT("to array: beyond the width", cudaErrorInvalidValue,
	   cudaMemcpy2DToArray(plain, 4, 0, host, 16, 16, 1, cudaMemcpyHostToDevice));
	RT("to array: beyond the height", cudaErrorInvalidValue,
	   cudaMemcpy2DToArray(plain, 0, 2, host, 16, 16, 3, cudaMemcpyHostToDevice));
	RT("from array: beyond the height", cudaErrorInvalidValue,
	   cudaMemcpy2DFromArray(host, 16, plain, 0, 3, 16, 2, cudaMemcpyDeviceToHost));
	RT("array info: nothing asked", cudaSuccess,
	   cudaArrayGetInfo(nullptr, nullptr, nullptr, plain));

	CUDA(cudaMalloc(&p, 4096));
	resource.resType = (cudaResourceType)99;
	RT("texture: unknown resource", cudaErrorInvalidValue,
	   cudaCreateTextureObject(&object, &resource, &texture, nullptr));
	resource.resType = cudaResourceTypeLinear;
	resource.res.linear.desc = format;
	resource.res.linear.sizeInBytes = 4096;
	RT("texture: null memory", cudaErrorInvalidValue,
	   cudaCreateTextureObject(&object, &resource, &texture, nullptr));
	resource.res.linear.devPtr = p + 4;
	RT("texture: unaligned", cudaErrorInvalidValue,
	   cudaCreateTextureObject(&object, &resource, &texture, nullptr));
	resource.resType = cudaResourceTypePitch2D;
	resource.res.pitch2D = {p, format, 4, 4, 20};
	RT("texture: unaligned pitch", cudaErrorInvalidValue,
	   cudaCreateTextureObject(&object, &resource, &texture, nullptr));
	resource.resType = cudaResourceTypeLinear;
	resource.res.linear.devPtr = p;
	resource.res.linear.desc = format;
	resource.res.linear.sizeInBytes = 4096;
	RT("surface: of linear memory", cudaErrorInvalidValue,
	   cudaCreateSurfaceObject(&surface, &resource));
	resource = {};
	resource.resType = cudaResourceTypeArray;
	resource.res.array.array = plain;
	RT("surface: of an array without the flag", cudaSuccess,
	   cudaCreateSurfaceObject(&surface, &resource));
	RT("texture: of an array", cudaSuccess,
	   cudaCreateTextureObject(&object, &resource, &texture, nullptr));
	RT("texture resource: null", cudaErrorInvalidValue,
	   cudaGetTextureObjectResourceDesc(nullptr, object));
	RT("texture destroy", cudaSuccess, cudaDestroyTextureObject(object));
	RT("free array", cudaSuccess, cudaFreeArray(plain));
	CUDA(cudaFree(p));
}

int
main()
{
	cudaGetLastError();
	streams();
	events();
	launches();
	pools();
	textures();
	CUDA(cudaLaunchHostFunc(0, nothing, nullptr));
	CUDA(cudaDeviceSynchronize());
	return ok();
}
