/* Graphs built node by node and looked at: parameters, attributes, edges and their data, clones,
 * children, drawings. */
#include "program.h"

#include <cuda.h>

#include <algorithm>
#include <string>
#include <unistd.h>

__global__ void
mix(int *value, int factor, int term)
{
	*value = *value * factor + term;
}

__global__ void
early(int *value)
{
#if __CUDA_ARCH__ >= 900
	cudaTriggerProgrammaticLaunchCompletion();
#endif
	*value += 1;
}

__global__ void
late(int *value)
{
#if __CUDA_ARCH__ >= 900
	cudaGridDependencySynchronize();
#endif
	*value *= 10;
}

static int
value_of(const int *device)
{
	int value;
	CUDA(cudaMemcpy(&value, device, sizeof(value), cudaMemcpyDeviceToHost));
	return value;
}

static cudaGraphNode_t
add_mix(cudaGraph_t graph, std::vector<cudaGraphNode_t> after, int *value, int factor, int term)
{
	void *args[] = {&value, &factor, &term};
	cudaKernelNodeParams params = {};
	cudaGraphNode_t node;
	params.func = (void *)mix;
	params.gridDim = dim3(1);
	params.blockDim = dim3(1);
	params.kernelParams = args;
	CUDA(cudaGraphAddKernelNode(&node, graph, after.data(), after.size(), &params));
	return node;
}

static void
launch(cudaGraph_t graph)
{
	cudaGraphExec_t exec;
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	CUDA(cudaGraphLaunch(exec, 0));
	CUDA(cudaDeviceSynchronize());
	CUDA(cudaGraphExecDestroy(exec));
}

/* What was put in comes out. */
static void
parameters(int *device)
{
	cudaGraph_t graph;
	CUDA(cudaGraphCreate(&graph, 0));
	cudaGraphNode_t node = add_mix(graph, {}, device, 3, 4), set;
	cudaKernelNodeParams kernel = {};
	CUDA(cudaGraphKernelNodeGetParams(node, &kernel));
	EXPECT(kernel.func == (void *)mix && kernel.gridDim.x == 1 && kernel.blockDim.x == 1);
	EXPECT(kernel.kernelParams && *(int **)kernel.kernelParams[0] == device);
	EXPECT(*(int *)kernel.kernelParams[1] == 3 && *(int *)kernel.kernelParams[2] == 4);
	int factor = 5, term = 6;
	void *args[] = {&device, &factor, &term};
	kernel.kernelParams = args;
	CUDA(cudaGraphKernelNodeSetParams(node, &kernel));
	CUDA(cudaGraphKernelNodeGetParams(node, &kernel));
	EXPECT(*(int *)kernel.kernelParams[1] == 5 && kernel.kernelParams != args);

	cudaMemsetParams fill = {}, got = {};
	fill.dst = device;
	fill.value = 7;
	fill.elementSize = 4;
	fill.width = 1;
	fill.height = 1;
	CUDA(cudaGraphAddMemsetNode(&set, graph, nullptr, 0, &fill));
	CUDA(cudaGraphAddDependencies(graph, &set, &node, nullptr, 1));
	CUDA(cudaGraphMemsetNodeGetParams(set, &got));
	EXPECT(got.dst == device && got.value == 7 && got.elementSize == 4 && got.width == 1);
	fill.value = 8;
	CUDA(cudaGraphMemsetNodeSetParams(set, &fill));
	launch(graph);
	printf("parameters: %d\n", value_of(device));
	EXPECT(value_of(device) == 8 * 5 + 6);

	cudaLaunchAttributeValue value = {}, read = {};
	cudaGraphNode_t other = add_mix(graph, {node}, device, 1, 1);
	value.cooperative = 1;
	CUDA(cudaGraphKernelNodeSetAttribute(node, cudaLaunchAttributeCooperative, &value));
	CUDA(cudaGraphKernelNodeGetAttribute(node, cudaLaunchAttributeCooperative, &read));
	EXPECT(read.cooperative == 1);
	CUDA(cudaGraphKernelNodeCopyAttributes(other, node));
	read.cooperative = 0;
	CUDA(cudaGraphKernelNodeGetAttribute(other, cudaLaunchAttributeCooperative, &read));
	EXPECT(read.cooperative == 1);
	launch(graph);
	EXPECT(value_of(device) == 8 * 5 + 7);

	cudaEvent_t first, second, event;
	cudaGraphNode_t record, wait;
	CUDA(cudaEventCreate(&first));
	CUDA(cudaEventCreate(&second));
	CUDA(cudaGraphAddEventRecordNode(&record, graph, &node, 1, first));
	CUDA(cudaGraphAddEventWaitNode(&wait, graph, &record, 1, first));
	CUDA(cudaGraphEventRecordNodeGetEvent(record, &event));
	EXPECT(event == first);
	CUDA(cudaGraphEventRecordNodeSetEvent(record, second));
	CUDA(cudaGraphEventWaitNodeSetEvent(wait, second));
	CUDA(cudaGraphEventRecordNodeGetEvent(record, &event));
	EXPECT(event == second);
	CUDA(cudaGraphEventWaitNodeGetEvent(wait, &event));
	EXPECT(event == second);
	launch(graph);
	CUDA(cudaEventSynchronize(second));
	CUDA(cudaEventQuery(second));
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaEventDestroy(first));
	CUDA(cudaEventDestroy(second));
}

/* A diamond, and what it becomes. */
static void
edges(int *device)
{
	cudaGraph_t graph, clone;
	cudaGraphNode_t a, list[8], from[8], to[8], found;
	CUDA(cudaGraphCreate(&graph, 0));
	CUDA(cudaGraphAddEmptyNode(&a, graph, nullptr, 0));
	cudaGraphNode_t b = add_mix(graph, {a}, device, 1, 1);
	cudaGraphNode_t c = add_mix(graph, {a}, device + 1, 1, 2);
	cudaGraphNode_t d = add_mix(graph, {b, c}, device, 10, 0);
	size_t count = 8;
	CUDA(cudaGraphGetNodes(graph, list, &count));
	EXPECT(count == 4 && list[4] == nullptr);
	for (cudaGraphNode_t node : {a, b, c, d})
		EXPECT(std::find(list, list + 4, node) != list + 4);
	count = 8;
	CUDA(cudaGraphGetRootNodes(graph, list, &count));
	EXPECT(count == 1 && list[0] == a);
	count = 8;
	CUDA(cudaGraphGetEdges(graph, from, to, nullptr, &count));
	EXPECT(count == 4);
	int right = 0;
	for (size_t i = 0; i < count; i++)
		right += (from[i] == a && (to[i] == b || to[i] == c)) ||
			 ((from[i] == b || from[i] == c) && to[i] == d);
	EXPECT(right == 4);
	count = 8;
	CUDA(cudaGraphNodeGetDependencies(d, list, nullptr, &count));
	EXPECT(count == 2 && list[0] != list[1] && (list[0] == b || list[0] == c));
	count = 1;
	CUDA(cudaGraphNodeGetDependentNodes(a, list, nullptr, &count));
	EXPECT(count == 1 && (list[0] == b || list[0] == c));
	count = 0;
	CUDA(cudaGraphNodeGetDependentNodes(a, nullptr, nullptr, &count));
	EXPECT(count == 2);

	EXPECT_ERROR(cudaGraphAddDependencies(graph, &a, &b, nullptr, 1), cudaErrorInvalidValue);
	CUDA(cudaGraphRemoveDependencies(graph, &c, &d, nullptr, 1));
	EXPECT_ERROR(cudaGraphRemoveDependencies(graph, &c, &d, nullptr, 1), cudaErrorInvalidValue);
	CUDA(cudaGraphAddDependencies(graph, &d, &c, nullptr, 1));
	CUDA(cudaGraphClone(&clone, graph));
	CUDA(cudaGraphNodeFindInClone(&found, b, clone));
	EXPECT(found != b);
	CUDA(cudaGraphDestroyNode(found));
	EXPECT_ERROR(cudaGraphNodeFindInClone(&found, b, clone), cudaErrorInvalidValue);
	count = 0;
	CUDA(cudaGraphGetNodes(clone, nullptr, &count));
	EXPECT(count == 3);
	cudaGetLastError();
	CUDA(cudaMemset(device, 0, 2 * sizeof(int)));
	launch(graph);
	EXPECT(value_of(device) == 10 && value_of(device + 1) == 2);
	/* Without b there is nothing to multiply by ten. */
	launch(clone);
	printf("edges: %d %d\n", value_of(device), value_of(device + 1));
	EXPECT(value_of(device) == 100 && value_of(device + 1) == 4);
	CUDA(cudaGraphDestroy(clone));
	CUDA(cudaGraphDestroy(graph));
}

/* Edges that say when a kernel may begin. */
static void
programmatic(int *device)
{
	cudaGraph_t graph;
	cudaGraphNode_t nodes[2], from, to;
	cudaGraphNodeParams params = {};
	void *args[] = {&device};
	params.type = cudaGraphNodeTypeKernel;
	params.kernel.func = (void *)early;
	params.kernel.gridDim = dim3(1);
	params.kernel.blockDim = dim3(1);
	params.kernel.kernelParams = args;
	cudaGraphEdgeData data = {}, read = {};
	data.from_port = cudaGraphKernelNodePortProgrammatic;
	data.type = cudaGraphDependencyTypeProgrammatic;
	CUDA(cudaGraphCreate(&graph, 0));
	CUDA(cudaGraphAddNode(&nodes[0], graph, nullptr, nullptr, 0, &params));
	params.kernel.func = (void *)late;
	CUDA(cudaGraphAddNode(&nodes[1], graph, &nodes[0], &data, 1, &params));
	size_t count = 1;
	CUDA(cudaGraphGetEdges(graph, &from, &to, &read, &count));
	EXPECT(count == 1 && from == nodes[0] && to == nodes[1]);
	EXPECT(read.from_port == data.from_port && read.type == data.type);
	/* Who does not ask for the data must not be told half of it. */
	EXPECT_ERROR(cudaGraphGetEdges(graph, &from, &to, nullptr, &count), cudaErrorLossyQuery);
	cudaGetLastError();
	CUDA(cudaMemset(device, 0, sizeof(int)));
	launch(graph);
	launch(graph);
	printf("programmatic: %d\n", value_of(device));
	EXPECT(value_of(device) == 110);
	CUDA(cudaGraphDestroy(graph));

	/* The same captured. */
	cudaStream_t stream;
	cudaLaunchConfig_t config = {};
	cudaLaunchAttribute attr = {};
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
	early<<<1, 1, 0, stream>>>(device);
	config.gridDim = dim3(1);
	config.blockDim = dim3(1);
	config.stream = stream;
	config.attrs = &attr;
	config.numAttrs = 1;
	attr.id = cudaLaunchAttributeProgrammaticStreamSerialization;
	attr.val.programmaticStreamSerializationAllowed = 1;
	CUDA(cudaLaunchKernelEx(&config, late, device));
	CUDA(cudaStreamEndCapture(stream, &graph));
	count = 1;
	CUDA(cudaGraphGetEdges(graph, &from, &to, &read, &count));
	EXPECT(count == 1 && read.from_port == data.from_port && read.type == data.type);
	CUDA(cudaMemset(device, 0, sizeof(int)));
	launch(graph);
	EXPECT(value_of(device) == 10);
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaStreamDestroy(stream));
}

/* A graph in a graph is a copy of its own, which can be changed through its node. */
static void
children(int *device)
{
	cudaGraph_t child, graph, inside;
	cudaGraphNode_t node, first;
	CUDA(cudaGraphCreate(&child, 0));
	cudaGraphNode_t inner = add_mix(child, {}, device, 1, 1);
	add_mix(child, {inner}, device, 2, 0);
	CUDA(cudaGraphCreate(&graph, 0));
	CUDA(cudaGraphAddChildGraphNode(&node, graph, nullptr, 0, child));
	add_mix(child, {}, device + 1, 0, 99); /* too late for the copy */
	CUDA(cudaGraphChildGraphNodeGetGraph(node, &inside));
	EXPECT(inside != child);
	size_t count = 0;
	CUDA(cudaGraphGetNodes(inside, nullptr, &count));
	EXPECT(count == 2);
	count = 1;
	CUDA(cudaGraphGetRootNodes(inside, &first, &count));
	EXPECT(count == 1 && first != inner);
	cudaKernelNodeParams params = {};
	CUDA(cudaGraphKernelNodeGetParams(first, &params));
	EXPECT(*(int *)params.kernelParams[2] == 1);
	int factor = 1, term = 50;
	void *args[] = {&device, &factor, &term};
	params.kernelParams = args;
	CUDA(cudaGraphKernelNodeSetParams(first, &params));
	CUDA(cudaGraphDestroy(child));
	CUDA(cudaMemset(device, 0, 2 * sizeof(int)));
	launch(graph);
	printf("children: %d %d\n", value_of(device), value_of(device + 1));
	EXPECT(value_of(device) == 100 && value_of(device + 1) == 0);

	char path[] = "/tmp/genie-graph-XXXXXX";
	int file = mkstemp(path);
	EXPECT(file >= 0);
	CUDA(cudaGraphDebugDotPrint(graph, path, cudaGraphDebugDotFlagsVerbose));
	char text[8] = {};
	EXPECT(read(file, text, 7) == 7 && std::string(text) == "digraph");
	close(file);
	unlink(path);
	CUDA(cudaGraphDestroy(graph));
}

/* A function of the driver, without linking it. */
template <typename Function>
static Function
driver(const char *name)
{
	void *function = nullptr;
	cudaDriverEntryPointQueryResult result;
	CUDA(cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &result));
	EXPECT(function && result == cudaDriverEntryPointSuccess);
	return (Function)function;
}

#define DRIVER(name) driver<decltype(&name)>(#name)

/* A node that writes and waits for values in memory. */
static void
values(int *device)
{
	CUstreamBatchMemOpParams ops[2] = {};
	CUDA_BATCH_MEM_OP_NODE_PARAMS params = {}, got = {};
	CUcontext ctx;
	CUgraph graph;
	CUgraphNode node;
	EXPECT(DRIVER(cuCtxGetCurrent)(&ctx) == CUDA_SUCCESS);
	ops[0].writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
	ops[0].writeValue.address = (CUdeviceptr)device;
	ops[0].writeValue.value = 1234;
	ops[1].waitValue.operation = CU_STREAM_MEM_OP_WAIT_VALUE_32;
	ops[1].waitValue.address = (CUdeviceptr)device;
	ops[1].waitValue.value = 1234;
	ops[1].waitValue.flags = CU_STREAM_WAIT_VALUE_EQ;
	params.ctx = ctx;
	params.count = 2;
	params.paramArray = ops;
	CUDA(cudaGraphCreate((cudaGraph_t *)&graph, 0));
	EXPECT(DRIVER(cuGraphAddBatchMemOpNode)(&node, graph, nullptr, 0, &params) == CUDA_SUCCESS);
	EXPECT(DRIVER(cuGraphBatchMemOpNodeGetParams)(node, &got) == CUDA_SUCCESS);
	EXPECT(got.count == 2 && got.paramArray != ops &&
	       got.paramArray[0].writeValue.value == 1234);
	launch((cudaGraph_t)graph);
	EXPECT(value_of(device) == 1234);
	ops[0].writeValue.value = 4321;
	ops[1].waitValue.value = 4321;
	EXPECT(DRIVER(cuGraphBatchMemOpNodeSetParams)(node, &params) == CUDA_SUCCESS);
	launch((cudaGraph_t)graph);
	printf("values: %d\n", value_of(device));
	EXPECT(value_of(device) == 4321);
	CUDA(cudaGraphDestroy((cudaGraph_t)graph));
}

int
main()
{
	int *device;
	CUDA(cudaMalloc(&device, 2 * sizeof(int)));
	parameters(device);
	edges(device);
	programmatic(device);
	children(device);
	values(device);
	CUDA(cudaFree(device));
	return ok();
}
