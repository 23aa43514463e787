/* Errors of stream capture and of graphs. */
#include "error_codes.h"

#include <thread>

__global__ void
increment(int *p)
{
	*p += 1;
}

static int *memory;
static cudaStream_t stream, other, free_stream;

/* A capture that something spoilt: ending it says so, and the stream is usable again. */
static void
expect_spoilt(const char *name)
{
	cudaGraph_t graph = (cudaGraph_t)1;
	RT(name, cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(stream, &graph));
	if (graph && graph != (cudaGraph_t)1)
		CUDA(cudaGraphDestroy(graph));
	CUDA(cudaStreamSynchronize(stream));
}

static void
begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal)
{
	CUDA(cudaStreamBeginCapture(stream, mode));
	increment<<<1, 1, 0, stream>>>(memory);
	LAUNCHED();
}

static void
drop()
{
	cudaGraph_t graph;
	CUDA(cudaStreamEndCapture(stream, &graph));
	CUDA(cudaGraphDestroy(graph));
}

static void
capture()
{
	cudaStreamCaptureStatus status;
	cudaEvent_t event, outside;
	cudaGraph_t graph;
	char pageable[16];
	void *p;
	CUDA(cudaEventCreate(&event));
	CUDA(cudaEventCreate(&outside));
	CUDA(cudaEventRecord(outside, other));

	RT("begin: default stream", cudaErrorStreamCaptureUnsupported,
	   cudaStreamBeginCapture(0, cudaStreamCaptureModeGlobal));
	RT("begin: unknown mode", cudaErrorInvalidValue,
	   cudaStreamBeginCapture(stream, (cudaStreamCaptureMode)99));
	RT("end: not begun", cudaErrorIllegalState, cudaStreamEndCapture(stream, &graph));
	begin();
	RT("begin: twice", cudaErrorIllegalState,
	   cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
	drop();

	begin();
	RT("synchronize: capturing stream", cudaErrorStreamCaptureUnsupported,
	   cudaStreamSynchronize(stream));
	RT("is capturing: spoilt", cudaSuccess, cudaStreamIsCapturing(stream, &status));
	EXPECT(status == cudaStreamCaptureStatusInvalidated);
	LAUNCH("launch: spoilt capture", cudaErrorStreamCaptureInvalidated,
	       (increment<<<1, 1, 0, stream>>>(memory)));
	expect_spoilt("end: after synchronize");

	begin();
	RT("query: capturing stream", cudaErrorStreamCaptureUnsupported, cudaStreamQuery(stream));
	expect_spoilt("end: after query");

	begin();
	RT("malloc: while capturing", cudaErrorStreamCaptureUnsupported, cudaMalloc(&p, 16));
	expect_spoilt("end: after malloc");

	begin(cudaStreamCaptureModeRelaxed);
	RT("malloc: relaxed", cudaSuccess, cudaMalloc(&p, 16));
	drop();
	CUDA(cudaFree(p));

	begin();
	RT("memcpy: while capturing", cudaErrorStreamCaptureImplicit,
	   cudaMemcpy(pageable, memory, 4, cudaMemcpyDeviceToHost));
	expect_spoilt("end: after memcpy");

	begin();
	RT("device synchronize: while capturing", cudaErrorStreamCaptureUnsupported,
	   cudaDeviceSynchronize());
	expect_spoilt("end: after device synchronize");

	begin();
	LAUNCH("launch: legacy stream", cudaErrorStreamCaptureImplicit,
	       (increment<<<1, 1>>>(memory)));
	expect_spoilt("end: after legacy launch");

	begin();
	CUDA(cudaEventRecord(event, stream));
	RT("event query: captured", cudaErrorCapturedEvent, cudaEventQuery(event));
	expect_spoilt("end: after event query");

	begin();
	CUDA(cudaEventRecord(event, stream));
	RT("event synchronize: captured", cudaErrorCapturedEvent, cudaEventSynchronize(event));
	expect_spoilt("end: after event synchronize");

	begin();
	CUDA(cudaEventRecord(event, stream));
	CUDA(cudaStreamWaitEvent(free_stream, event, 0));
	RT("end: forked stream", cudaErrorStreamCaptureUnmatched,
	   cudaStreamEndCapture(free_stream, &graph));
	expect_spoilt("end: after the forked stream's");

	begin();
	CUDA(cudaEventRecord(event, stream));
	CUDA(cudaStreamWaitEvent(free_stream, event, 0));
	increment<<<1, 1, 0, free_stream>>>(memory);
	LAUNCHED();
	RT("end: unjoined", cudaErrorStreamCaptureUnjoined, cudaStreamEndCapture(stream, &graph));
	CUDA(cudaStreamSynchronize(stream));
	CUDA(cudaStreamSynchronize(free_stream));

	begin();
	RT("wait: event from outside", cudaErrorStreamCaptureIsolation,
	   cudaStreamWaitEvent(stream, outside, 0));
	expect_spoilt("end: after isolation");

	begin();
	CUDA(cudaEventRecord(event, stream));
	CUDA(cudaStreamBeginCapture(free_stream, cudaStreamCaptureModeGlobal));
	RT("wait: event of another capture", cudaErrorStreamCaptureMerge,
	   cudaStreamWaitEvent(free_stream, event, 0));
	RT("end: after merge, other", cudaErrorStreamCaptureInvalidated,
	   cudaStreamEndCapture(free_stream, &graph));
	expect_spoilt("end: after merge");

	begin();
	cudaError_t result = cudaSuccess;
	std::thread([&] { result = cudaStreamEndCapture(stream, &graph); }).join();
	RT("end: another thread", cudaErrorStreamCaptureWrongThread, result);
	RT("end: after another thread's", cudaErrorIllegalState,
	   cudaStreamEndCapture(stream, &graph));

	begin();
	std::thread([&] { result = cudaMalloc(&p, 16); }).join();
	RT("malloc: another thread, global", cudaErrorStreamCaptureUnsupported, result);
	expect_spoilt("end: after another thread's malloc");

	begin(cudaStreamCaptureModeThreadLocal);
	std::thread([&] { result = cudaMalloc(&p, 16); }).join();
	RT("malloc: another thread, thread local", cudaSuccess, result);
	drop();
	CUDA(cudaFree(p));

	begin();
	RT("end: null", cudaSuccess, cudaStreamEndCapture(stream, nullptr));
	cudaStreamEndCapture(stream, &graph); /* whatever became of it */
	cudaGetLastError();
	CUDA(cudaEventDestroy(event));
	CUDA(cudaEventDestroy(outside));
	cudaStreamCaptureMode mode = (cudaStreamCaptureMode)99;
	RT("exchange mode: unknown", cudaSuccess, cudaThreadExchangeStreamCaptureMode(&mode));
	RT("exchange mode: back", cudaSuccess, cudaThreadExchangeStreamCaptureMode(&mode));
}

static void
graphs()
{
	cudaGraph_t graph, second;
	cudaGraphNode_t a, b, c;
	cudaGraphExec_t exec;
	cudaKernelNodeParams kernel = {};
	cudaHostNodeParams host = {};
	cudaGraphNodeType type;
	size_t count;
	void *arguments[] = {&memory};

	RT("graph: null", cudaErrorInvalidValue, cudaGraphCreate(nullptr, 0));
	RT("graph: flags", cudaErrorInvalidValue, cudaGraphCreate(&graph, 1));
	CUDA(cudaGraphCreate(&graph, 0));
	RT("empty node: null", cudaErrorInvalidValue,
	   cudaGraphAddEmptyNode(nullptr, graph, nullptr, 0));
	CUDA(cudaGraphAddEmptyNode(&a, graph, nullptr, 0));
	RT("empty node: dependencies missing", cudaErrorInvalidValue,
	   cudaGraphAddEmptyNode(&b, graph, nullptr, 1));
	CUDA(cudaGraphAddEmptyNode(&b, graph, &a, 1));
	RT("host node: null function", cudaErrorInvalidValue,
	   cudaGraphAddHostNode(&c, graph, nullptr, 0, &host));
	RT("kernel node: no kernel", cudaErrorInvalidDeviceFunction,
	   cudaGraphAddKernelNode(&c, graph, nullptr, 0, &kernel));
	kernel.func = (void *)increment;
	kernel.gridDim = dim3(1);
	kernel.kernelParams = arguments;
	kernel.blockDim = dim3(1);
	RT("node type: null", cudaErrorInvalidValue, cudaGraphNodeGetType(a, nullptr));
	RT("node type", cudaSuccess, cudaGraphNodeGetType(a, &type));
	EXPECT(type == cudaGraphNodeTypeEmpty);
	RT("nodes: null count", cudaErrorInvalidValue, cudaGraphGetNodes(graph, nullptr, nullptr));
	RT("nodes", cudaSuccess, cudaGraphGetNodes(graph, nullptr, &count));
	EXPECT(count == 2);

	CUDA(cudaGraphAddKernelNode(&c, graph, &b, 1, &kernel));
	RT("instantiate: null", cudaErrorInvalidValue, cudaGraphInstantiate(nullptr, graph, 0));
	RT("instantiate: null graph", cudaErrorInvalidValue,
	   cudaGraphInstantiate(&exec, nullptr, 0));
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	RT("launch: null", cudaErrorInvalidValue, cudaGraphLaunch(nullptr, stream));
	RT("launch", cudaSuccess, cudaGraphLaunch(exec, stream));
	CUDA(cudaStreamSynchronize(stream));

	CUDA(cudaGraphCreate(&second, 0));
	CUDA(cudaGraphAddEmptyNode(&a, second, nullptr, 0));
	cudaGraphExecUpdateResultInfo info;
	RT("update: another topology", cudaErrorGraphExecUpdateFailure,
	   cudaGraphExecUpdate(exec, second, &info));
	CUDA(cudaGraphDestroy(second));
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));

	/* A cycle shows when the graph is instantiated, or earlier. */
	CUDA(cudaGraphCreate(&graph, 0));
	CUDA(cudaGraphAddEmptyNode(&a, graph, nullptr, 0));
	CUDA(cudaGraphAddEmptyNode(&b, graph, &a, 1));
	RT("dependency: a cycle", cudaSuccess, cudaGraphAddDependencies(graph, &b, &a, nullptr, 1));
	RT("instantiate: a cycle", cudaErrorInvalidValue, cudaGraphInstantiate(&exec, graph, 0));
	CUDA(cudaGraphDestroy(graph));
}

int
main()
{
	CUDA(cudaMalloc(&memory, sizeof(int)));
	CUDA(cudaMemset(memory, 0, sizeof(int)));
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaStreamCreate(&other));
	CUDA(cudaStreamCreateWithFlags(&free_stream, cudaStreamNonBlocking));
	CUDA(cudaDeviceSynchronize());
	capture();
	graphs();
	/* Of all the launches only that of the graph was real. */
	int value;
	CUDA(cudaMemcpy(&value, memory, sizeof(value), cudaMemcpyDeviceToHost));
	EXPECT(value == 1);
	CUDA(cudaStreamDestroy(stream));
	CUDA(cudaStreamDestroy(other));
	CUDA(cudaStreamDestroy(free_stream));
	CUDA(cudaFree(memory));
	return ok();
}
