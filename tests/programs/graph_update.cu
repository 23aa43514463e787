/* Executable graphs changed: node by node, switched off, replaced as a whole. */
#include "program.h"

__global__ void
mix(int *value, int factor, int term)
{
	*value = *value * factor + term;
}

__global__ void
square(int *value, int, int)
{
	*value *= *value;
}

static int
value_of(const int *device)
{
	int value;
	CUDA(cudaMemcpy(&value, device, sizeof(value), cudaMemcpyDeviceToHost));
	return value;
}

static cudaKernelNodeParams
kernel_params(void (*kernel)(int *, int, int), void **args)
{
	cudaKernelNodeParams params = {};
	params.func = (void *)kernel;
	params.gridDim = dim3(1);
	params.blockDim = dim3(1);
	params.kernelParams = args;
	return params;
}

static cudaGraphNode_t
add_mix(cudaGraph_t graph, std::vector<cudaGraphNode_t> after, int *value, int factor, int term)
{
	void *args[] = {&value, &factor, &term};
	cudaKernelNodeParams params = kernel_params(mix, args);
	cudaGraphNode_t node;
	CUDA(cudaGraphAddKernelNode(&node, graph, after.data(), after.size(), &params));
	return node;
}

static int calls;

static void
count_one(void *)
{
	calls++;
}

static void
count_ten(void *)
{
	calls += 10;
}

static void
launch(cudaGraphExec_t exec)
{
	CUDA(cudaGraphLaunch(exec, 0));
	CUDA(cudaDeviceSynchronize());
}

/* Every kind of node gets other parameters; the graph it was made of keeps its own. */
static void
node_by_node(int *device)
{
	cudaGraph_t graph, child, other_child;
	cudaGraphNode_t fill, copy, child_node, host, record;
	cudaGraphExec_t exec, fresh;
	cudaEvent_t first, second;
	int *target = device + 1;
	CUDA(cudaEventCreate(&first));
	CUDA(cudaEventCreate(&second));
	CUDA(cudaGraphCreate(&graph, 0));
	cudaMemsetParams set = {};
	set.dst = device;
	set.value = 1;
	set.elementSize = 4;
	set.width = 1;
	set.height = 1;
	CUDA(cudaGraphAddMemsetNode(&fill, graph, nullptr, 0, &set));
	cudaGraphNode_t kernel = add_mix(graph, {fill}, device, 3, 1);
	CUDA(cudaGraphCreate(&child, 0));
	add_mix(child, {}, device, 2, 0);
	CUDA(cudaGraphAddChildGraphNode(&child_node, graph, &kernel, 1, child));
	CUDA(cudaGraphAddMemcpyNode1D(&copy, graph, &child_node, 1, target, device, sizeof(int),
				      cudaMemcpyDeviceToDevice));
	cudaHostNodeParams host_params = {};
	host_params.fn = count_one;
	CUDA(cudaGraphAddHostNode(&host, graph, &copy, 1, &host_params));
	CUDA(cudaGraphAddEventRecordNode(&record, graph, &host, 1, first));
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	launch(exec);
	EXPECT(value_of(target) == 8 && calls == 1);

	set.value = 5;
	CUDA(cudaGraphExecMemsetNodeSetParams(exec, fill, &set));
	int factor = 7, term = 2;
	void *args[] = {&device, &factor, &term};
	cudaKernelNodeParams params = kernel_params(mix, args);
	CUDA(cudaGraphExecKernelNodeSetParams(exec, kernel, &params));
	CUDA(cudaGraphCreate(&other_child, 0));
	add_mix(other_child, {}, device, 100, 0);
	CUDA(cudaGraphExecChildGraphNodeSetParams(exec, child_node, other_child));
	target = device + 2;
	CUDA(cudaGraphExecMemcpyNodeSetParams1D(exec, copy, target, device, sizeof(int),
						cudaMemcpyDeviceToDevice));
	host_params.fn = count_ten;
	CUDA(cudaGraphExecHostNodeSetParams(exec, host, &host_params));
	CUDA(cudaGraphExecEventRecordNodeSetEvent(exec, record, second));
	launch(exec);
	printf("node by node: %d %d\n", value_of(target), calls);
	EXPECT(value_of(target) == 3700 && calls == 11);
	CUDA(cudaEventQuery(second));

	/* Another kernel in the same place, by the general form. */
	cudaGraphNodeParams any = {};
	any.type = cudaGraphNodeTypeKernel;
	any.kernel.func = (void *)square;
	any.kernel.gridDim = dim3(1);
	any.kernel.blockDim = dim3(1);
	any.kernel.kernelParams = args;
	CUDA(cudaGraphExecNodeSetParams(exec, kernel, &any));
	launch(exec);
	EXPECT(value_of(target) == 2500);

	/* Switched off, and on again. */
	unsigned int enabled = 0;
	CUDA(cudaGraphNodeGetEnabled(exec, kernel, &enabled));
	EXPECT(enabled == 1);
	CUDA(cudaGraphNodeSetEnabled(exec, kernel, 0));
	CUDA(cudaGraphNodeGetEnabled(exec, kernel, &enabled));
	EXPECT(enabled == 0);
	launch(exec);
	EXPECT(value_of(target) == 500);
	CUDA(cudaGraphNodeSetEnabled(exec, kernel, 1));
	launch(exec);
	EXPECT(value_of(target) == 2500);
	EXPECT_ERROR(cudaGraphNodeSetEnabled(exec, host, 0), cudaErrorInvalidValue);
	cudaGetLastError();

	CUDA(cudaGraphInstantiate(&fresh, graph, 0));
	calls = 0;
	launch(fresh);
	printf("as it was: %d %d\n", value_of(device + 1), calls);
	EXPECT(value_of(device + 1) == 8 && calls == 1);
	CUDA(cudaGraphExecDestroy(fresh));
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(other_child));
	CUDA(cudaGraphDestroy(child));
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaEventDestroy(first));
	CUDA(cudaEventDestroy(second));
}

/* A graph captured again with other values takes the place of the first. */
static cudaGraph_t
capture(cudaStream_t stream, int *device, int term, bool more)
{
	cudaGraph_t graph;
	CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
	CUDA(cudaMemsetAsync(device, 0, sizeof(int), stream));
	mix<<<1, 1, 0, stream>>>(device, 1, term);
	if (more)
		mix<<<1, 1, 0, stream>>>(device, 2, 0);
	CUDA(cudaStreamEndCapture(stream, &graph));
	return graph;
}

static void
whole(int *device)
{
	cudaGraphExecUpdateResultInfo info = {};
	cudaGraphExec_t exec;
	cudaStream_t stream;
	CUDA(cudaStreamCreate(&stream));
	cudaGraph_t graph = capture(stream, device, 1, false);
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	CUDA(cudaGraphDestroy(graph));
	for (int term : {1, 20, 300}) {
		graph = capture(stream, device, term, false);
		CUDA(cudaGraphExecUpdate(exec, graph, &info));
		EXPECT(info.result == cudaGraphExecUpdateSuccess);
		CUDA(cudaGraphDestroy(graph));
		launch(exec);
		printf("whole: %d\n", value_of(device));
		EXPECT(value_of(device) == term);
	}
	/* Another number of nodes. */
	graph = capture(stream, device, 5, true);
	EXPECT_ERROR(cudaGraphExecUpdate(exec, graph, &info), cudaErrorGraphExecUpdateFailure);
	EXPECT(info.result == cudaGraphExecUpdateErrorTopologyChanged);
	CUDA(cudaGraphDestroy(graph));
	/* Another kind of node: it says which. */
	cudaGraphNode_t first, second;
	CUDA(cudaGraphCreate(&graph, 0));
	CUDA(cudaGraphAddEmptyNode(&first, graph, nullptr, 0));
	CUDA(cudaGraphAddEmptyNode(&second, graph, &first, 1));
	EXPECT_ERROR(cudaGraphExecUpdate(exec, graph, &info), cudaErrorGraphExecUpdateFailure);
	EXPECT(info.result == cudaGraphExecUpdateErrorNodeTypeChanged);
	EXPECT(info.errorNode == first || info.errorNode == second);
	cudaGetLastError();
	launch(exec);
	EXPECT(value_of(device) == 300); /* it is what it was */
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaStreamDestroy(stream));
}

/* How it is instantiated. */
static void
instantiation(int *device)
{
	cudaGraph_t graph;
	cudaGraphExec_t exec;
	cudaStream_t stream;
	unsigned long long flags = 99;
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaGraphCreate(&graph, 0));
	cudaGraphNode_t a = add_mix(graph, {}, device, 0, 77);
	cudaGraphInstantiateParams params = {};
	params.flags = cudaGraphInstantiateFlagUpload;
	params.uploadStream = stream;
	CUDA(cudaGraphInstantiateWithParams(&exec, graph, &params));
	EXPECT(params.result_out == cudaGraphInstantiateSuccess && !params.errNode_out);
	CUDA(cudaGraphUpload(exec, stream));
	CUDA(cudaGraphLaunch(exec, stream));
	CUDA(cudaStreamSynchronize(stream));
	printf("instantiation: %d\n", value_of(device));
	EXPECT(value_of(device) == 77);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphInstantiateWithFlags(&exec, graph,
					   cudaGraphInstantiateFlagUseNodePriority |
						   cudaGraphInstantiateFlagAutoFreeOnLaunch));
	CUDA(cudaGraphExecGetFlags(exec, &flags));
	/* priorities are not told, whatever the documentation says */
	EXPECT(flags == cudaGraphInstantiateFlagAutoFreeOnLaunch);
	CUDA(cudaGraphExecDestroy(exec));
	/* A cycle. */
	cudaGraphNode_t b = add_mix(graph, {a}, device, 1, 1);
	CUDA(cudaGraphAddDependencies(graph, &b, &a, nullptr, 1));
	params.flags = 0;
	EXPECT_ERROR(cudaGraphInstantiateWithParams(&exec, graph, &params), cudaErrorInvalidValue);
	EXPECT(params.result_out != cudaGraphInstantiateSuccess);
	cudaGetLastError();
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaStreamDestroy(stream));
}

int
main()
{
	int *device;
	CUDA(cudaMalloc(&device, 3 * sizeof(int)));
	node_by_node(device);
	whole(device);
	instantiation(device);
	CUDA(cudaFree(device));
	return ok();
}
