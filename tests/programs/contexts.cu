/*
 * The driver's contexts as frameworks use them: a stack for each thread, several contexts, their
 * attributes; and the driver's small print: profiler, stream attributes, peers, events shared.
 */
#include "program.h"

#include <cuda.h>

#include <cuda_profiler_api.h>
#include <thread>

/* A function of the driver by its plain name, as it was in that release of CUDA. */
template <typename F>
static F
entry(const char *name, unsigned version)
{
	void *function = nullptr;
	cudaDriverEntryPointQueryResult found;
	CUDA(cudaGetDriverEntryPointByVersion(name, &function, version, cudaEnableDefault, &found));
	if (found != cudaDriverEntryPointSuccess) {
		printf("no %s\n", name);
		exit(1);
	}
	return (F)function;
}

#define RAW(name, ...) (entry<decltype(&name)>(#name, 12000)(__VA_ARGS__))
#define DRIVER(name, ...)                                                                          \
	do {                                                                                       \
		CUresult result_ = entry<decltype(&name)>(#name, 12000)(__VA_ARGS__);              \
		if (result_ != CUDA_SUCCESS) {                                                     \
			printf("line %d: %s: %d\n", __LINE__, #name, (int)result_);                \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

__global__ void
set(int *p, int value)
{
	*p = value;
}

static void
stack()
{
	CUdevice device;
	CUcontext primary, own, current;
	DRIVER(cuDeviceGet, &device, 0);
	DRIVER(cuDevicePrimaryCtxRetain, &primary, device);
	DRIVER(cuCtxGetCurrent, &current);
	EXPECT(current == primary); /* the runtime made it current */
	auto create = entry<decltype(&cuCtxCreate_v4)>("cuCtxCreate", 13000);
	EXPECT(create(&own, nullptr, CU_CTX_SCHED_YIELD, device) == CUDA_SUCCESS);
	DRIVER(cuCtxGetCurrent, &current);
	EXPECT(current == own && own != primary);

	unsigned flags, version;
	unsigned long long id, primary_id;
	size_t limit;
	CUdevice its_device;
	DRIVER(cuCtxGetFlags, &flags);
	EXPECT((flags & CU_CTX_SCHED_MASK) == CU_CTX_SCHED_YIELD);
	DRIVER(cuCtxGetApiVersion, own, &version);
	DRIVER(cuCtxGetId, own, &id);
	DRIVER(cuCtxGetId, primary, &primary_id);
	EXPECT(id != primary_id);
	DRIVER(cuCtxGetDevice, &its_device);
	EXPECT(its_device == device);
	DRIVER(cuCtxSetLimit, CU_LIMIT_STACK_SIZE, 2048);
	DRIVER(cuCtxGetLimit, &limit, CU_LIMIT_STACK_SIZE);
	EXPECT(limit >= 2048);

	/* Memory belongs to the context in which it was made. */
	CUdeviceptr p;
	CUcontext owner;
	DRIVER(cuMemAlloc, &p, 1000);
	DRIVER(cuPointerGetAttribute, &owner, CU_POINTER_ATTRIBUTE_CONTEXT, p);
	EXPECT(owner == own);
	DRIVER(cuMemsetD8, p, 3, 1000);
	DRIVER(cuCtxSynchronize);
	DRIVER(cuCtxPushCurrent, primary);
	DRIVER(cuCtxPopCurrent, &current);
	EXPECT(current == primary);
	unsigned char byte = 0;
	DRIVER(cuMemcpyDtoH, &byte, p + 999, 1);
	EXPECT(byte == 3);
	DRIVER(cuMemFree, p);
	DRIVER(cuCtxDestroy, own);
	DRIVER(cuCtxGetCurrent, &current);
	EXPECT(current == primary);

	/* Another thread begins with none. */
	std::thread([&] {
		CUcontext its;
		DRIVER(cuCtxGetCurrent, &its);
		EXPECT(its == nullptr);
		EXPECT(RAW(cuMemAlloc, &p, 10) == CUDA_ERROR_INVALID_CONTEXT);
		EXPECT(RAW(cuCtxPopCurrent, &its) == CUDA_ERROR_INVALID_CONTEXT);
		DRIVER(cuCtxSetCurrent, primary);
		DRIVER(cuMemAlloc, &p, 10);
		DRIVER(cuMemFree, p);
	}).join();

	unsigned state_flags;
	int active;
	DRIVER(cuDevicePrimaryCtxGetState, device, &state_flags, &active);
	EXPECT(active == 1);
	DRIVER(cuDevicePrimaryCtxRelease, device);
	printf("stack\n");
}

static void
small_print()
{
	int *p, value = 0;
	cudaStream_t stream, copy;
	CUDA(cudaMalloc(&p, sizeof(int)));
	CUDA(cudaProfilerStart());
	CUDA(cudaProfilerStop());
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaStreamCreate(&copy));
	cudaStreamAttrValue attribute = {};
	attribute.syncPolicy = cudaSyncPolicyYield;
	CUDA(cudaStreamSetAttribute(stream, cudaStreamAttributeSynchronizationPolicy, &attribute));
	attribute = {};
	CUDA(cudaStreamGetAttribute(stream, cudaStreamAttributeSynchronizationPolicy, &attribute));
	EXPECT(attribute.syncPolicy == cudaSyncPolicyYield);
	CUDA(cudaStreamCopyAttributes(copy, stream));
	int can;
	CUDA(cudaDeviceCanAccessPeer(&can, 0, 0));
	EXPECT(can == 0);
	set<<<1, 1, 0, stream>>>(p, 11);
	LAUNCHED();
	CUDA(cudaMemcpyAsync(&value, p, sizeof(value), cudaMemcpyDeviceToHost, stream));
	CUDA(cudaStreamSynchronize(stream));
	EXPECT(value == 11);
	CUDA(cudaCtxResetPersistingL2Cache());
	CUDA(cudaStreamDestroy(stream));
	CUDA(cudaStreamDestroy(copy));
	CUDA(cudaFree(p));
	printf("small print\n");
}

/* Shares of a device exist under MPS; what is not of this century. */
static void
shares()
{
	CUexecAffinityParam share = {};
	CUctxCreateParams params = {};
	CUcontext own, current, before;
	CUdevice device;
	CUresult status;
	int supported = 7;
	DRIVER(cuDeviceGet, &device, 0);
	DRIVER(cuCtxGetCurrent, &before);
	DRIVER(cuDeviceGetExecAffinitySupport, &supported, CU_EXEC_AFFINITY_TYPE_SM_COUNT, device);
	share.type = CU_EXEC_AFFINITY_TYPE_SM_COUNT;
	share.param.smCount.val = 2;
	params.execAffinityParams = &share;
	params.numExecAffinityParams = 1;
	auto create = entry<decltype(&cuCtxCreate_v4)>("cuCtxCreate", 13000);
	status = create(&own, &params, 0, device);
	EXPECT(supported ? status == CUDA_SUCCESS : status == CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY);
	if (status == CUDA_SUCCESS)
		DRIVER(cuCtxDestroy, own);
	DRIVER(cuCtxGetCurrent, &current);
	EXPECT(current == before);
	params.execAffinityParams = nullptr;
	params.numExecAffinityParams = 0;
	EXPECT(create(&own, &params, 0, device) == CUDA_SUCCESS);
	DRIVER(cuCtxDestroy, own);
	printf("shares\n");
}

int
main()
{
	CUDA(cudaFree(nullptr));
	stack();
	shares();
	small_print();
	return ok();
}
