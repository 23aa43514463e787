/* Graphs, the rest: every kind of node, questions about them, children, updates, captures that
 * look at themselves. */
#include "program.h"

__global__ void
add(int *value, int term)
{
	*value += term;
}

static void
count_up(void *data)
{
	++*(int *)data;
}

static void
need_graphs()
{
	cudaGraph_t graph;
	cudaError_t error = cudaGraphCreate(&graph, 0);
	if (error == cudaErrorNotSupported)
		skip("graphs are not supported");
	CUDA(error);
	CUDA(cudaGraphDestroy(graph));
}

static cudaGraphNode_t
add_kernel(cudaGraph_t graph, std::vector<cudaGraphNode_t> after, int *value, int term)
{
	void *args[] = {&value, &term};
	cudaKernelNodeParams params = {};
	cudaGraphNode_t node;
	params.func = (void *)add;
	params.gridDim = dim3(1);
	params.blockDim = dim3(1);
	params.kernelParams = args;
	CUDA(cudaGraphAddKernelNode(&node, graph, after.data(), after.size(), &params));
	return node;
}

static int
value_of(int *device)
{
	int value;
	CUDA(cudaMemcpy(&value, device, sizeof(value), cudaMemcpyDeviceToHost));
	return value;
}

static void
launch(cudaGraph_t graph, int times)
{
	cudaGraphExec_t exec;
	cudaStream_t stream;
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	CUDA(cudaGraphUpload(exec, stream));
	for (int i = 0; i < times; i++)
		CUDA(cudaGraphLaunch(exec, stream));
	CUDA(cudaStreamSynchronize(stream));
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaStreamDestroy(stream));
}

/* Two kernels behind a fork and a join, a child graph, a host function. */
static void
kinds_of_nodes(int *device)
{
	cudaGraph_t graph, child;
	cudaGraphNode_t fork, join, child_node, host_node, root;
	int calls = 0;

	CUDA(cudaMemset(device, 0, sizeof(int)));
	CUDA(cudaGraphCreate(&child, 0));
	add_kernel(child, {}, device, 1000);
	CUDA(cudaGraphCreate(&graph, 0));
	CUDA(cudaGraphAddEmptyNode(&fork, graph, nullptr, 0));
	cudaGraphNode_t first = add_kernel(graph, {fork}, device, 1);
	CUDA(cudaGraphAddChildGraphNode(&child_node, graph, &first, 1, child));
	cudaGraphNode_t last = add_kernel(graph, {child_node}, device, 10);
	CUDA(cudaGraphAddEmptyNode(&join, graph, &last, 1));
	size_t nodes = 0, edges = 0, roots = 1;
	CUDA(cudaGraphGetNodes(graph, nullptr, &nodes));
	EXPECT(nodes == 5);
	CUDA(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &edges));
	EXPECT(edges == 4);
	CUDA(cudaGraphGetRootNodes(graph, &root, &roots));
	EXPECT(roots == 1);
	cudaGraphNodeType type;
	CUDA(cudaGraphNodeGetType(root, &type));
	EXPECT(type == cudaGraphNodeTypeEmpty);
	CUDA(cudaGraphNodeGetType(child_node, &type));
	EXPECT(type == cudaGraphNodeTypeGraph);

	cudaHostNodeParams host_params = {};
	host_params.fn = count_up;
	host_params.userData = &calls;
	/* A software device over a network cannot. */
	cudaError_t error = cudaGraphAddHostNode(&host_node, graph, &join, 1, &host_params);
	if (error == cudaErrorNotSupported) {
		host_node = join;
		calls = 3;
		cudaGetLastError();
	} else {
		CUDA(error);
	}
	add_kernel(graph, {host_node}, device, 100);

	launch(graph, 3);
	EXPECT(value_of(device) == 3 * 1111);
	EXPECT(calls == 3);
	printf("kinds: %d %d\n", value_of(device), calls);

	cudaGraph_t clone;
	CUDA(cudaGraphClone(&clone, graph));
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaGraphDestroy(child));
	launch(clone, 1);
	EXPECT(value_of(device) == 4 * 1111);
	CUDA(cudaGraphDestroy(clone));
}

/* The same graph with other values, put in place of the old one. */
static void
updates(int *device)
{
	cudaGraphExec_t exec;
	cudaGraph_t graph, other;
	cudaGraphExecUpdateResultInfo info;

	CUDA(cudaMemset(device, 0, sizeof(int)));
	CUDA(cudaGraphCreate(&graph, 0));
	add_kernel(graph, {}, device, 1);
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	CUDA(cudaGraphLaunch(exec, 0));
	CUDA(cudaGraphCreate(&other, 0));
	add_kernel(other, {}, device, 100);
	CUDA(cudaGraphExecUpdate(exec, other, &info));
	EXPECT(info.result == cudaGraphExecUpdateSuccess);
	CUDA(cudaGraphLaunch(exec, 0));
	EXPECT(value_of(device) == 101);
	printf("updated: %d\n", value_of(device));

	/* Another shape does not fit. */
	cudaGraph_t longer;
	CUDA(cudaGraphCreate(&longer, 0));
	cudaGraphNode_t first = add_kernel(longer, {}, device, 1);
	add_kernel(longer, {first}, device, 1);
	EXPECT_ERROR(cudaGraphExecUpdate(exec, longer, &info), cudaErrorGraphExecUpdateFailure);
	EXPECT(info.result != cudaGraphExecUpdateSuccess);
	cudaGetLastError();
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(longer));
	CUDA(cudaGraphDestroy(other));
	CUDA(cudaGraphDestroy(graph));
}

/* What libraries ask in a capture, and what a capture forbids. */
static void
captures(int *device)
{
	cudaStreamCaptureStatus status;
	unsigned long long id = 0, again = 0;
	const cudaGraphNode_t *after;
	cudaStream_t stream;
	cudaGraph_t inner, graph;
	size_t count;

	CUDA(cudaMemset(device, 0, sizeof(int)));
	CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
	add<<<1, 1, 0, stream>>>(device, 5);
	add<<<1, 1, 0, stream>>>(device, 6);
	CUDA(cudaStreamGetCaptureInfo(stream, &status, &id, &inner, &after, nullptr, &count));
	EXPECT(status == cudaStreamCaptureStatusActive && inner && count == 1);
	CUDA(cudaStreamGetCaptureInfo(stream, &status, &again));
	EXPECT(id == again);
	CUDA(cudaStreamEndCapture(stream, &graph));
	launch(graph, 2);
	EXPECT(value_of(device) == 22);
	CUDA(cudaGraphDestroy(graph));

	/* Waiting for a stream that is captured spoils the capture. */
	CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
	EXPECT_ERROR(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
	CUDA(cudaStreamIsCapturing(stream, &status));
	EXPECT(status == cudaStreamCaptureStatusInvalidated);
	EXPECT_ERROR(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
	cudaGetLastError();
	add<<<1, 1, 0, stream>>>(device, 1);
	LAUNCHED();
	CUDA(cudaStreamSynchronize(stream));
	EXPECT(value_of(device) == 23);
	printf("captured: %d\n", value_of(device));
	CUDA(cudaStreamDestroy(stream));
}

int
main()
{
	int *device;

	need_graphs();
	CUDA(cudaMalloc(&device, sizeof(int)));
	kinds_of_nodes(device);
	updates(device);
	captures(device);
	CUDA(cudaFree(device));
	return ok();
}
