/* Parts of the driver API that few programs use: the launch interface of CUDA 3, events of whole
 * contexts, the log of errors, attributes of core dumps, callbacks of a device. */
#include "driver.h"

#include <cstring>
#include <vector>

static const char ptx[] = R"(
.version 7.0
.target sm_52
.address_size 64
.visible .entry scale(.param .u64 out, .param .f32 factor, .param .u32 add)
{
	.reg .b32 %r<6>;
	.reg .f32 %f<4>;
	.reg .b64 %rd<5>;
	ld.param.u64 %rd1, [out];
	ld.param.f32 %f1, [factor];
	ld.param.u32 %r1, [add];
	mov.u32 %r2, %tid.x;
	mov.u32 %r3, %ctaid.x;
	mov.u32 %r4, %ntid.x;
	mad.lo.u32 %r2, %r3, %r4, %r2;
	add.u32 %r5, %r2, %r1;
	cvt.rn.f32.u32 %f2, %r5;
	mul.f32 %f3, %f2, %f1;
	cvta.to.global.u64 %rd2, %rd1;
	mul.wide.u32 %rd3, %r2, 4;
	add.u64 %rd4, %rd2, %rd3;
	st.global.f32 [%rd4], %f3;
	ret;
}
)";

static void
old_launches(CUfunction scale)
{
	constexpr int blocks = 4, threads = 32, n = blocks * threads;
	std::vector<float> out(n);
	CUdeviceptr memory;
	bool right = true;

	CU(DRIVER(cuMemAlloc)(&memory, n * sizeof(float)));
	CU(DRIVER(cuFuncSetBlockShape)(scale, threads, 1, 1));
	CU(DRIVER(cuFuncSetSharedSize)(scale, 0));
	CU(DRIVER(cuParamSetv)(scale, 0, &memory, sizeof(memory)));
	CU(DRIVER(cuParamSetf)(scale, 8, 0.5f));
	CU(DRIVER(cuParamSeti)(scale, 12, 10));
	CU(DRIVER(cuParamSetSize)(scale, 16));
	CU(DRIVER(cuLaunchGrid)(scale, blocks, 1));
	CU(DRIVER(cuMemcpyDtoH)(out.data(), memory, n * sizeof(float)));
	for (int i = 0; i < n; i++)
		right = right && out[i] == (i + 10) * 0.5f;
	EXPECT(right);

	CU(DRIVER(cuParamSeti)(scale, 12, 20)); /* the rest stays as it was */
	CU(DRIVER(cuLaunch)(scale));
	CU(DRIVER(cuMemcpyDtoH)(out.data(), memory, n * sizeof(float)));
	EXPECT(out[0] == 10 && out[threads - 1] == (threads + 19) * 0.5f && out[threads] == 21);
	EXPECT_FAILS(DRIVER(cuFuncSetBlockShape)(scale, 0, 1, 1));
	EXPECT_FAILS(DRIVER(cuLaunchGrid)(scale, 0, 1));
	CU(DRIVER(cuMemFree)(memory));
}

__global__ void
slow_store(volatile int *p, int value, int rounds)
{
	int spent = 0;

	for (int i = 0; i < rounds; i++)
		spent += *p & 1;
	*p = value + (spent < 0);
}

static void
context_events()
{
	constexpr int streams = 3;
	cudaStream_t list[streams], later;
	CUcontext context;
	CUevent event;
	int *memory, *host;

	CUDA(cudaMalloc(&memory, streams * sizeof(int)));
	CUDA(cudaMemset(memory, 0, streams * sizeof(int)));
	CUDA(cudaMallocHost(&host, streams * sizeof(int)));
	CU(DRIVER(cuCtxGetCurrent)(&context));
	CU(DRIVER(cuEventCreate)(&event, CU_EVENT_DISABLE_TIMING));
	for (int i = 0; i < streams; i++) {
		CUDA(cudaStreamCreateWithFlags(&list[i], cudaStreamNonBlocking));
		slow_store<<<1, 1, 0, list[i]>>>(memory + i, i + 1, 20000);
	}
	CU(DRIVER(cuCtxRecordEvent)(context, event));
	CU(DRIVER(cuEventSynchronize)(event));
	/* A stream that waits for nothing else sees what all of them wrote. */
	CUDA(cudaStreamCreateWithFlags(&later, cudaStreamNonBlocking));
	CUDA(cudaMemcpyAsync(host, memory, streams * sizeof(int), cudaMemcpyDeviceToHost, later));
	CUDA(cudaStreamSynchronize(later));
	EXPECT(host[0] == 1 && host[1] == 2 && host[2] == 3);

	/* The other way: all streams wait for one. */
	slow_store<<<1, 1, 0, list[0]>>>(memory, 100, 20000);
	CU(DRIVER(cuEventRecord)(event, list[0]));
	CU(DRIVER(cuCtxWaitEvent)(context, event));
	CUDA(cudaMemcpyAsync(host, memory, sizeof(int), cudaMemcpyDeviceToHost, list[2]));
	CUDA(cudaStreamSynchronize(list[2]));
	EXPECT(host[0] == 100);
	for (cudaStream_t stream : list)
		CUDA(cudaStreamDestroy(stream));
	CUDA(cudaStreamDestroy(later));
	CU(DRIVER(cuEventDestroy)(event));
	CUDA(cudaFree(memory));
	CUDA(cudaFreeHost(host));
}

static int messages;

static void
on_message(void *data, CUlogLevel, char *, size_t length)
{
	messages += *(int *)data == 42 && length > 0;
}

static void
logs()
{
	CUlogsCallbackHandle handle;
	CUlogIterator iterator;
	std::vector<char> buffer(25600);
	size_t size = buffer.size();
	int data = 42;

	CU(DRIVER(cuLogsCurrent)(&iterator, 0));
	CU(DRIVER(cuLogsDumpToMemory)(&iterator, buffer.data(), &size, 0));
	EXPECT(size == 0);
	CU(DRIVER(cuLogsRegisterCallback)(on_message, &data, &handle));
	CU(DRIVER(cuLogsUnregisterCallback)(handle));
}

static void
dumps_and_callbacks(CUdevice device)
{
	char name[1024] = "dump_%p";
	size_t size = strlen(name) + 1;
	CUasyncCallbackHandle handle;
	bool flag = true;
	CUresult status;

	CU(DRIVER(cuCoredumpSetAttributeGlobal)(CU_COREDUMP_FILE, name, &size));
	memset(name, 'x', sizeof(name));
	size = sizeof(name);
	CU(DRIVER(cuCoredumpGetAttributeGlobal)(CU_COREDUMP_FILE, name, &size));
	size = sizeof(flag);
	CU(DRIVER(cuCoredumpGetAttributeGlobal)(CU_COREDUMP_ENABLE_ON_EXCEPTION, &flag, &size));
	EXPECT(!flag && size == sizeof(flag));

	/* Drivers without such notifications say so. */
	status = DRIVER(cuDeviceRegisterAsyncNotification)(
		device, [](CUasyncNotificationInfo *, void *, CUasyncCallbackHandle) {}, nullptr,
		&handle);
	EXPECT(status == CUDA_SUCCESS || status == CUDA_ERROR_NOT_SUPPORTED);
	if (status == CUDA_SUCCESS)
		CU(DRIVER(cuDeviceUnregisterAsyncNotification)(device, handle));
}

int
main()
{
	CUdevice device;
	CUmodule module;
	CUfunction scale;

	CUDA(cudaFree(nullptr)); /* the runtime makes its context current */
	CU(DRIVER(cuDeviceGet)(&device, 0));
	CU(DRIVER(cuModuleLoadData)(&module, ptx));
	CU(DRIVER(cuModuleGetFunction)(&scale, module, "scale"));
	old_launches(scale);
	context_events();
	logs();
	dumps_and_callbacks(device);
	return ok();
}
