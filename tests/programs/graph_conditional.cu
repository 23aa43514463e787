/* Conditional nodes: IF with and without ELSE, WHILE, SWITCH, one in another, filled by hand and
 * by capture. */
#include "program.h"

__global__ void
add(int *value, int term)
{
	*value += term;
}

/* The condition is what is left; one less. */
__global__ void
count_down(cudaGraphConditionalHandle handle, int *left)
{
	--*left;
	cudaGraphSetConditional(handle, *left > 0);
}

__global__ void
choose(cudaGraphConditionalHandle handle, const int *choice)
{
	cudaGraphSetConditional(handle, (unsigned int)*choice);
}

template <typename... Args>
static cudaGraphNode_t
add_kernel(cudaGraph_t graph, std::vector<cudaGraphNode_t> after, void (*kernel)(Args...),
	   Args... args)
{
	void *pointers[] = {&args...};
	cudaGraphNodeParams params = {};
	cudaGraphNode_t node;
	params.type = cudaGraphNodeTypeKernel;
	params.kernel.func = (void *)kernel;
	params.kernel.gridDim = dim3(1);
	params.kernel.blockDim = dim3(1);
	params.kernel.kernelParams = pointers;
	CUDA(cudaGraphAddNode(&node, graph, after.data(), nullptr, after.size(), &params));
	return node;
}

static cudaGraphConditionalHandle
handle_of(cudaGraph_t graph, unsigned int value, unsigned int flags)
{
	cudaGraphConditionalHandle handle;
	cudaError_t error = cudaGraphConditionalHandleCreate(&handle, graph, value, flags);
	if (error == cudaErrorNotSupported)
		skip("conditional nodes are not supported");
	CUDA(error);
	return handle;
}

/* Adds a conditional node; its bodies. */
static cudaGraph_t *
add_conditional(cudaGraph_t graph, std::vector<cudaGraphNode_t> after,
		cudaGraphConditionalHandle handle, cudaGraphConditionalNodeType type,
		unsigned int size, cudaGraphNode_t *ret_node)
{
	cudaGraphNodeParams params = {};
	params.type = cudaGraphNodeTypeConditional;
	params.conditional.handle = handle;
	params.conditional.type = type;
	params.conditional.size = size;
	CUDA(cudaGraphAddNode(ret_node, graph, after.data(), nullptr, after.size(), &params));
	return params.conditional.phGraph_out;
}

static int
value_of(const int *device)
{
	int value;
	CUDA(cudaMemcpy(&value, device, sizeof(value), cudaMemcpyDeviceToHost));
	return value;
}

static void
set(int *device, int value)
{
	CUDA(cudaMemcpy(device, &value, sizeof(value), cudaMemcpyHostToDevice));
}

static cudaGraphExec_t
instantiate(cudaGraph_t graph)
{
	cudaGraphExec_t exec;
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	return exec;
}

static void
launch(cudaGraphExec_t exec)
{
	CUDA(cudaGraphLaunch(exec, 0));
	CUDA(cudaDeviceSynchronize());
}

/* A default that is assigned at each launch; without one, a kernel that sets the condition. */
static void
if_nodes(int *value, int *choice)
{
	cudaGraph_t graph;
	cudaGraphNode_t node;
	cudaGraphNodeType type;
	CUDA(cudaGraphCreate(&graph, 0));
	cudaGraphConditionalHandle handle = handle_of(graph, 1, cudaGraphCondAssignDefault);
	cudaGraph_t *bodies = add_conditional(graph, {}, handle, cudaGraphCondTypeIf, 1, &node);
	CUDA(cudaGraphNodeGetType(node, &type));
	EXPECT(type == cudaGraphNodeTypeConditional);
	add_kernel(bodies[0], {}, add, value, 7);
	cudaGraphExec_t exec = instantiate(graph);
	set(value, 0);
	launch(exec);
	launch(exec);
	printf("if, by default: %d\n", value_of(value));
	EXPECT(value_of(value) == 14);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));

	CUDA(cudaGraphCreate(&graph, 0));
	handle = handle_of(graph, 0, cudaGraphCondAssignDefault);
	cudaGraphNode_t chooser = add_kernel(graph, {}, choose, handle, (const int *)choice);
	bodies = add_conditional(graph, {chooser}, handle, cudaGraphCondTypeIf, 1, &node);
	add_kernel(bodies[0], {}, add, value, 1);
	add_kernel(graph, {node}, add, value, 1000);
	exec = instantiate(graph);
	set(value, 0);
	for (int i = 0; i < 5; i++) {
		set(choice, i % 2);
		launch(exec);
	}
	printf("if, by a kernel: %d\n", value_of(value));
	EXPECT(value_of(value) == 5002);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));
}

static void
while_node(int *value, int *left)
{
	cudaGraph_t graph;
	cudaGraphNode_t node;
	CUDA(cudaGraphCreate(&graph, 0));
	cudaGraphConditionalHandle handle = handle_of(graph, 1, cudaGraphCondAssignDefault);
	cudaGraph_t body = add_conditional(graph, {}, handle, cudaGraphCondTypeWhile, 1, &node)[0];

	/* The body is filled by capture. */
	cudaStream_t stream;
	cudaGraph_t same;
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaStreamBeginCaptureToGraph(stream, body, nullptr, nullptr, 0,
					   cudaStreamCaptureModeGlobal));
	add<<<1, 1, 0, stream>>>(value, 3);
	count_down<<<1, 1, 0, stream>>>(handle, left);
	LAUNCHED();
	CUDA(cudaStreamEndCapture(stream, &same));
	EXPECT(same == body);
	size_t count = 0;
	CUDA(cudaGraphGetNodes(body, nullptr, &count));
	EXPECT(count == 2);

	cudaGraphExec_t exec = instantiate(graph);
	set(value, 0);
	for (int times : {5, 1, 100}) {
		set(left, times);
		launch(exec);
		EXPECT(value_of(left) == 0);
	}
	printf("while: %d\n", value_of(value));
	EXPECT(value_of(value) == 3 * 106);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaStreamDestroy(stream));
}

/* A loop with a condition in it. */
static void
nested(int *value, int *left, int *choice)
{
	cudaGraph_t graph;
	cudaGraphNode_t loop, branch;
	CUDA(cudaGraphCreate(&graph, 0));
	cudaGraphConditionalHandle outer = handle_of(graph, 1, cudaGraphCondAssignDefault);
	cudaGraph_t body = add_conditional(graph, {}, outer, cudaGraphCondTypeWhile, 1, &loop)[0];
	cudaGraphConditionalHandle inner = handle_of(body, 0, 0);
	cudaGraphNode_t chooser = add_kernel(body, {}, choose, inner, (const int *)choice);
	cudaGraph_t *bodies =
		add_conditional(body, {chooser}, inner, cudaGraphCondTypeIf, 1, &branch);
	add_kernel(bodies[0], {}, add, value, 10);
	add_kernel(body, {branch}, count_down, outer, left);
	cudaGraphExec_t exec = instantiate(graph);
	set(value, 0);
	set(left, 4);
	set(choice, 1);
	launch(exec);
	EXPECT(value_of(value) == 40);
	set(left, 4);
	set(choice, 0);
	launch(exec);
	printf("nested: %d\n", value_of(value));
	EXPECT(value_of(value) == 40);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));
}

/* CUDA 12.8 and later: ELSE and SWITCH. */
static void
else_and_switch(int *value, int *choice)
{
	cudaGraph_t graph;
	cudaGraphNode_t node;
	CUDA(cudaGraphCreate(&graph, 0));
	cudaGraphConditionalHandle handle = handle_of(graph, 0, 0);
	cudaGraphNode_t chooser = add_kernel(graph, {}, choose, handle, (const int *)choice);
	cudaGraph_t *bodies =
		add_conditional(graph, {chooser}, handle, cudaGraphCondTypeIf, 2, &node);
	add_kernel(bodies[0], {}, add, value, 1);
	add_kernel(bodies[1], {}, add, value, 100);
	cudaGraphExec_t exec = instantiate(graph);
	set(value, 0);
	for (int i = 0; i < 5; i++) {
		set(choice, i % 2);
		launch(exec);
	}
	printf("else: %d\n", value_of(value));
	EXPECT(value_of(value) == 302);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));

	CUDA(cudaGraphCreate(&graph, 0));
	handle = handle_of(graph, 0, 0);
	chooser = add_kernel(graph, {}, choose, handle, (const int *)choice);
	bodies = add_conditional(graph, {chooser}, handle, cudaGraphCondTypeSwitch, 3, &node);
	for (int i = 0, term = 1; i < 3; i++, term *= 10)
		add_kernel(bodies[i], {}, add, value, term);
	exec = instantiate(graph);
	set(value, 0);
	for (int i : {0, 1, 2, 2, 3, 99}) { /* beyond the bodies: none runs */
		set(choice, i);
		launch(exec);
	}
	printf("switch: %d\n", value_of(value));
	EXPECT(value_of(value) == 211);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));
}

/* What graphs with conditions cannot do. */
static void
limits()
{
	cudaGraph_t graph, parent, clone;
	cudaGraphNode_t node, child;
	cudaGraphExec_t exec, second;
	CUDA(cudaGraphCreate(&graph, 0));
	cudaGraphConditionalHandle handle = handle_of(graph, 0, 0);
	add_conditional(graph, {}, handle, cudaGraphCondTypeIf, 1, &node);
	EXPECT(cudaGraphClone(&clone, graph) != cudaSuccess);
	CUDA(cudaGraphCreate(&parent, 0));
	EXPECT(cudaGraphAddChildGraphNode(&child, parent, nullptr, 0, graph) != cudaSuccess);
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	EXPECT(cudaGraphInstantiate(&second, graph, 0) != cudaSuccess);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(parent));
	CUDA(cudaGraphDestroy(graph));
	cudaGetLastError();
}

int
main()
{
	int *memory;
	CUDA(cudaMalloc(&memory, 3 * sizeof(int)));
	if_nodes(memory, memory + 1);
	while_node(memory, memory + 1);
	nested(memory, memory + 1, memory + 2);
	else_and_switch(memory, memory + 1);
	limits();
	CUDA(cudaFree(memory));
	return ok();
}
