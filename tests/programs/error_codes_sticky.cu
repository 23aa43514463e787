/*
 * Errors that a kernel makes after its launch has returned: which calls tell of them, and which
 * do not. Each fault gets a process of its own, because nothing works afterwards.
 */
#include "error_codes.h"
#include "faults.h"

#include <cassert>
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

#undef NDEBUG

__global__ void
write_to(int *p)
{
	*p = 1;
}

__global__ void
trap()
{
	asm("trap;");
}

__global__ void
fail_assertion(int x)
{
	assert(x == 1);
}

__global__ void
misaligned(char *p)
{
	*(volatile int *)(p + 1) = 1;
}

static char *memory;
static cudaEvent_t before, after;
static cudaStream_t stream;

/* Everything a program may do afterwards. @code: what each call that needs the device returns. */
static void
afterwards(int code)
{
	cudaFuncAttributes attributes;
	cudaPointerAttributes pointer;
	cudaDeviceProp properties;
	cudaEvent_t event;
	cudaStream_t other;
	cudaGraph_t graph;
	CUcontext context;
	CUdevice device;
	char host[16] = {};
	int value;
	size_t size;
	float ms;
	void *p;

	report("device synchronize", cudaDeviceSynchronize(), code);
	report("again", cudaDeviceSynchronize(), code);
	report("peek", cudaPeekAtLastError(), code);
	report("last error", cudaGetLastError(), code);
	report("last error again", cudaGetLastError(), cudaSuccess);
	report("stream synchronize", cudaStreamSynchronize(stream), code);
	report("stream query", cudaStreamQuery(stream), code);
	report("event query", cudaEventQuery(after), code);
	report("event synchronize", cudaEventSynchronize(after), code);
	report("event record", cudaEventRecord(after, stream), code);
	report("event create", cudaEventCreate(&event), code);
	report("elapsed", cudaEventElapsedTime(&ms, before, after), code);
	report("stream create", cudaStreamCreate(&other), code);
	report("stream wait", cudaStreamWaitEvent(stream, before, 0), code);
	report("malloc", cudaMalloc(&p, 16), code);
	report("malloc host", cudaMallocHost(&p, 16), code);
	report("malloc managed", cudaMallocManaged(&p, 16, cudaMemAttachGlobal), code);
	report("free", cudaFree(memory), code);
	report("to device", cudaMemcpy(memory, host, 4, cudaMemcpyHostToDevice), code);
	report("to host", cudaMemcpy(host, memory, 4, cudaMemcpyDeviceToHost), code);
	report("memset", cudaMemset(memory, 0, 4), code);
	report("memset async", cudaMemsetAsync(memory, 0, 4, stream), code);
	write_to<<<1, 1>>>((int *)memory);
	report("launch", cudaGetLastError(), code);
	report("mem info", cudaMemGetInfo(&size, &size), code);
	report("function attributes", cudaFuncGetAttributes(&attributes, (const void *)trap), code);
	report("get limit", cudaDeviceGetLimit(&size, cudaLimitStackSize), code);
	report("pointer attributes", cudaPointerGetAttributes(&pointer, memory), 0);
	/* What asks nothing of the context. */
	report("graph create", cudaGraphCreate(&graph, 0), cudaSuccess);
	report("get device", cudaGetDevice(&value), cudaSuccess);
	report("device count", cudaGetDeviceCount(&value), cudaSuccess);
	report("properties", cudaGetDeviceProperties(&properties, 0), cudaSuccess);
	report("attribute", cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, 0), cudaSuccess);
	report("driver version", cudaDriverGetVersion(&value), cudaSuccess);
	DRV("driver: current context", CUDA_SUCCESS, cuCtxGetCurrent, &context);
	DRV("driver: context device", CUDA_SUCCESS, cuCtxGetDevice, &device);
	DRV("driver: device name", CUDA_SUCCESS, cuDeviceGetName, host, 16, 0);
	DRV("driver: synchronize", code, cuCtxSynchronize);
	report("event destroy", cudaEventDestroy(before), code);
	report("stream destroy", cudaStreamDestroy(stream), code);
}

static void
null_pointer()
{
	write_to<<<1, 1, 0, stream>>>(nullptr);
}

static void
wild_pointer()
{
	write_to<<<1, 1, 0, stream>>>((int *)0x123456789000ull);
}

static void
misaligned_pointer()
{
	misaligned<<<1, 1, 0, stream>>>(memory);
}

static void
trapped()
{
	trap<<<1, 1, 0, stream>>>();
}

static void
assertion()
{
	fail_assertion<<<1, 1, 0, stream>>>(2);
}

static const struct {
	const char *name;
	void (*run)();
	int code;
} faults[] = {
	{"null pointer", null_pointer, cudaErrorIllegalAddress},
	{"wild pointer", wild_pointer, cudaErrorIllegalAddress},
	{"misaligned", misaligned_pointer, cudaErrorMisalignedAddress},
	{"trap", trapped, cudaErrorLaunchFailure},
	{"assertion", assertion, cudaErrorAssert},
};

/* Who notices first? Each way in a process of its own, too. */
static int
by_device()
{
	return cudaDeviceSynchronize();
}

static int
by_stream()
{
	return cudaStreamSynchronize(stream);
}

static int
by_event()
{
	return cudaEventSynchronize(after);
}

static int
by_query()
{
	cudaError_t error;
	while ((error = cudaStreamQuery(stream)) == cudaErrorNotReady)
		usleep(100);
	return error;
}

static int
by_event_query()
{
	cudaError_t error;
	while ((error = cudaEventQuery(after)) == cudaErrorNotReady)
		usleep(100);
	return error;
}

static int
by_copy()
{
	int value;
	return cudaMemcpy(&value, memory, sizeof(value), cudaMemcpyDeviceToHost);
}

static int
by_context()
{
	return RAW(cuCtxSynchronize);
}

static const struct {
	const char *name;
	int (*run)();
} notices[] = {
	{"device synchronize", by_device}, {"stream synchronize", by_stream},
	{"event synchronize", by_event},   {"stream query", by_query},
	{"event query", by_event_query},   {"copy to host", by_copy},
	{"cuCtxSynchronize", by_context},
};

static void
prepare()
{
	CUDA(cudaMalloc(&memory, 256));
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaEventCreate(&before));
	CUDA(cudaEventCreate(&after));
	CUDA(cudaEventRecord(before, stream));
	CUDA(cudaDeviceSynchronize());
}

template <typename F>
static void
in_child(const char *title, F run)
{
	printf("-- %s\n", title);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		/* The device's own words about an assertion are not compared. */
		freopen("/dev/null", "w", stderr);
		wrong_errors = 0;
		prepare();
		run();
		fflush(stdout);
		_exit(wrong_errors ? 1 : 0);
	}
	int status = -1;
	EXPECT(child > 0 && waitpid(child, &status, 0) == child);
	if (status != 0) {
		printf("   ended with %d\n", status);
		wrong_errors++;
	}
}

int
main()
{
	/* This process never uses CUDA before its children are gone. */
	for (const auto &fault : faults)
		in_child(fault.name, [&] {
			fault.run();
			launched_to_fail((cudaError_t)fault.code);
			cudaEventRecord(after, stream); /* the fault may be known by now */
			afterwards(fault.code);
		});
	for (const auto &notice : notices)
		in_child(notice.name, [&] {
			null_pointer();
			launched_to_fail(cudaErrorIllegalAddress);
			cudaEventRecord(after, stream);
			report("first", notice.run(), cudaErrorIllegalAddress);
			report("then", cudaDeviceSynchronize(), cudaErrorIllegalAddress);
		});
	in_child("reset", [&] {
		null_pointer();
		launched_to_fail(cudaErrorIllegalAddress);
		report("device synchronize", cudaDeviceSynchronize(), cudaErrorIllegalAddress);
		report("reset", cudaDeviceReset(), cudaSuccess);
	});
	/* Another process is not concerned. */
	CUDA(cudaMalloc(&memory, 16));
	CUDA(cudaMemset(memory, 0, 16));
	CUDA(cudaDeviceSynchronize());
	return ok();
}
