/* The CPU device's graphs: built by hand, captured, run, changed. */
#include "cpu_fixture.h"

TestSuite(device_cpu_graph, .init = open_device, .fini = close_device, .timeout = 60);

static CUstream
new_stream(void)
{
	CUstream stream;

	ok(drv->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	return stream;
}

static CUDA_KERNEL_NODE_PARAMS
kernel_params(const char *name, void **params)
{
	return (CUDA_KERNEL_NODE_PARAMS){
		.func = function(name),
		.gridDimX = 1,
		.gridDimY = 1,
		.gridDimZ = 1,
		.blockDimX = 1,
		.blockDimY = 1,
		.blockDimZ = 1,
		.kernelParams = params,
	};
}

/* A node that does *a = 2 * *a + value. */
static CUgraphNode
add_mix(CUgraph graph, const CUgraphNode *deps, size_t count, CUdeviceptr a, uint32_t value)
{
	void *params[] = {&a, &value};
	CUDA_KERNEL_NODE_PARAMS kernel = kernel_params("mix", params);
	CUgraphNode node;

	ok(drv->cuGraphAddKernelNode_v2(&node, graph, deps, count, &kernel));
	return node;
}

static CUgraphExec
instantiate(CUgraph graph)
{
	CUgraphExec exec;

	ok(drv->cuGraphInstantiateWithFlags(&exec, graph, 0));
	return exec;
}

/* Nodes run behind what they depend on, not in the order they were added. */
Test(device_cpu_graph, runs_by_dependency)
{
	CUdeviceptr a = device_memory(4);
	CUgraphNode nodes[3];
	CUgraphExec exec;
	CUgraph graph;

	ok(drv->cuGraphCreate(&graph, 0));
	nodes[0] = add_mix(graph, NULL, 0, a, 1);
	nodes[1] = add_mix(graph, NULL, 0, a, 2);
	nodes[2] = add_mix(graph, NULL, 0, a, 3);
	/* 2, then 1, then 0 */
	ok(drv->cuGraphAddDependencies_v2(graph, &nodes[2], &nodes[1], NULL, 1));
	ok(drv->cuGraphAddDependencies(graph, &nodes[1], &nodes[0], 1));
	exec = instantiate(graph);
	ok(drv->cuGraphDestroy(graph));
	ok(drv->cuGraphLaunch(exec, NULL));
	cr_assert_eq(read_u32(a), (3 * 2 + 2) * 2 + 1);
	ok(drv->cuGraphLaunch(exec, NULL));
	cr_assert_eq(read_u32(a), ((17 * 2 + 3) * 2 + 2) * 2 + 1);
	ok(drv->cuGraphExecDestroy(exec));
}

Test(device_cpu_graph, structure_is_checked)
{
	CUgraphNode a, b, twice[2], other;
	CUgraphNode list[4];
	CUgraphExec exec;
	CUgraph graph, second;
	size_t count;

	ok(drv->cuGraphCreate(&graph, 0));
	ok(drv->cuGraphCreate(&second, 0));
	ok(drv->cuGraphAddEmptyNode(&a, graph, NULL, 0));
	ok(drv->cuGraphAddEmptyNode(&b, graph, &a, 1));
	ok(drv->cuGraphAddEmptyNode(&other, second, NULL, 0));
	twice[0] = twice[1] = a;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuGraphAddEmptyNode(&b, graph, twice, 2));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuGraphAddEmptyNode(&b, graph, &other, 1));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuGraphAddDependencies(graph, &a, &b, 1));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuGraphAddDependencies(graph, &a, &a, 1));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuGraphAddDependencies(graph, &a, &other, 1));
	ok(drv->cuGraphAddDependencies(graph, &b, &a, 1));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuGraphInstantiateWithFlags(&exec, graph, 0));
	ok(drv->cuGraphRemoveDependencies(graph, &b, &a, 1));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuGraphRemoveDependencies(graph, &b, &a, 1));

	ok(drv->cuGraphGetNodes(graph, NULL, &count));
	cr_assert_eq(count, 2);
	count = 4;
	ok(drv->cuGraphGetNodes(graph, list, &count));
	cr_assert_eq(count, 2);
	cr_assert_null(list[3]);
	ok(drv->cuGraphGetRootNodes(graph, list, &count));
	cr_assert_eq(count, 1);
	cr_assert_eq(list[0], a);
	ok(drv->cuGraphGetEdges(graph, NULL, NULL, &count));
	cr_assert_eq(count, 1);
	ok(drv->cuGraphNodeGetDependencies(b, NULL, &count));
	cr_assert_eq(count, 1);
	ok(drv->cuGraphNodeGetDependentNodes(a, NULL, &count));
	cr_assert_eq(count, 1);
	ok(drv->cuGraphDestroyNode(a));
	ok(drv->cuGraphNodeGetDependencies(b, NULL, &count));
	cr_assert_eq(count, 0);
	ok(drv->cuGraphDestroy(graph));
	ok(drv->cuGraphDestroy(second));
}

static void
add_one(void *data)
{
	(*(int *)data)++;
}

Test(device_cpu_graph, every_kind_of_node)
{
	CUdeviceptr a = device_memory(256);
	CUDA_MEMSET_NODE_PARAMS set = {
		.dst = a, .value = 5, .elementSize = 4, .width = 1, .height = 1};
	CUDA_MEMCPY3D copy = {
		.srcMemoryType = CU_MEMORYTYPE_DEVICE,
		.srcDevice = a,
		.dstMemoryType = CU_MEMORYTYPE_DEVICE,
		.dstDevice = a + 64,
		.WidthInBytes = 4,
		.Height = 1,
		.Depth = 1,
	};
	CUDA_HOST_NODE_PARAMS host = {.fn = add_one};
	CUgraph graph, child;
	CUgraphNode node, in_child, kernel;
	CUgraphNodeType type;
	CUgraphExec exec;
	CUevent event;
	int calls = 0;

	host.userData = &calls;
	ok(drv->cuEventCreate(&event, 0));
	ok(drv->cuGraphCreate(&child, 0));
	in_child = add_mix(child, NULL, 0, a, 1);
	ok(drv->cuGraphCreate(&graph, 0));
	ok(drv->cuGraphAddMemsetNode(&node, graph, NULL, 0, &set, ctx));
	ok(drv->cuGraphAddChildGraphNode(&node, graph, &node, 1, child));
	ok(drv->cuGraphNodeGetType(node, &type));
	cr_assert_eq(type, CU_GRAPH_NODE_TYPE_GRAPH);
	ok(drv->cuGraphAddMemcpyNode(&node, graph, &node, 1, &copy, ctx));
	ok(drv->cuGraphAddHostNode(&node, graph, &node, 1, &host));
	ok(drv->cuGraphAddEventRecordNode(&node, graph, &node, 1, event));
	ok(drv->cuGraphAddEventWaitNode(&node, graph, &node, 1, event));
	kernel = add_mix(graph, &node, 1, a, 100);
	exec = instantiate(graph);
	/* the child was copied: what becomes of it does not matter */
	ok(drv->cuGraphDestroyNode(in_child));
	ok(drv->cuGraphDestroy(child));
	ok(drv->cuGraphLaunch(exec, NULL));
	cr_assert_eq(read_u32(a + 64), 11);
	cr_assert_eq(read_u32(a), 122);
	cr_assert_eq(calls, 1);
	ok(drv->cuEventQuery(event));
	ok(drv->cuGraphNodeSetEnabled(exec, kernel, 0));
	ok(drv->cuGraphLaunch(exec, NULL));
	cr_assert_eq(read_u32(a), 11);
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuGraphNodeSetEnabled(exec, node, 0));
	ok(drv->cuGraphExecDestroy(exec));
	ok(drv->cuGraphDestroy(graph));
	ok(drv->cuEventDestroy_v2(event));
}

Test(device_cpu_graph, parameters_can_be_read_and_changed)
{
	CUdeviceptr a = device_memory(4), b = device_memory(4);
	uint32_t value = 7;
	void *params[] = {&b, &value};
	CUDA_KERNEL_NODE_PARAMS got, other = kernel_params("mix", params);
	CUgraphNode node, foreign;
	CUgraph graph, clone;
	CUgraphExec exec;

	ok(drv->cuGraphCreate(&graph, 0));
	node = add_mix(graph, NULL, 0, a, 3);
	ok(drv->cuGraphKernelNodeGetParams_v2(node, &got));
	cr_assert_eq(got.func, function("mix"));
	cr_assert_eq(*(CUdeviceptr *)got.kernelParams[0], a);
	cr_assert_eq(*(uint32_t *)got.kernelParams[1], 3);
	exec = instantiate(graph);
	ok(drv->cuGraphExecKernelNodeSetParams_v2(exec, node, &other));
	ok(drv->cuGraphLaunch(exec, NULL));
	cr_assert_eq(read_u32(a), 0);
	cr_assert_eq(read_u32(b), 7);
	/* the graph itself has not changed */
	ok(drv->cuGraphKernelNodeGetParams_v2(node, &got));
	cr_assert_eq(*(uint32_t *)got.kernelParams[1], 3);
	ok(drv->cuGraphClone(&clone, graph));
	ok(drv->cuGraphNodeFindInClone(&foreign, node, clone));
	cr_assert_neq(foreign, node);
	fails(CUDA_ERROR_INVALID_VALUE,
	      drv->cuGraphExecKernelNodeSetParams_v2(exec, foreign, &other));
	ok(drv->cuGraphKernelNodeSetParams_v2(node, &other));
	other.blockDimX = 2000;
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuGraphKernelNodeSetParams_v2(node, &other));
	ok(drv->cuGraphExecDestroy(exec));
	ok(drv->cuGraphDestroy(clone));
	ok(drv->cuGraphDestroy(graph));
}

Test(device_cpu_graph, update_wants_the_same_shape)
{
	CUgraphExecUpdateResultInfo info;
	CUdeviceptr a = device_memory(4);
	CUgraph graph, other;
	CUgraphNode node, empty;
	CUgraphExec exec;

	ok(drv->cuGraphCreate(&graph, 0));
	node = add_mix(graph, NULL, 0, a, 3);
	exec = instantiate(graph);
	ok(drv->cuGraphCreate(&other, 0));
	fails(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, drv->cuGraphExecUpdate_v2(exec, other, &info));
	cr_assert_eq(info.result, CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
	ok(drv->cuGraphAddEmptyNode(&empty, other, NULL, 0));
	fails(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, drv->cuGraphExecUpdate_v2(exec, other, &info));
	cr_assert_eq(info.result, CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED);
	cr_assert_eq(info.errorNode, empty);
	ok(drv->cuGraphDestroyNode(empty));
	add_mix(other, NULL, 0, a, 8);
	ok(drv->cuGraphExecUpdate_v2(exec, other, &info));
	ok(drv->cuGraphLaunch(exec, NULL));
	cr_assert_eq(read_u32(a), 8);
	/* the first graph's nodes still name the nodes of the executable one */
	ok(drv->cuGraphNodeSetEnabled(exec, node, 0));
	ok(drv->cuGraphLaunch(exec, NULL));
	cr_assert_eq(read_u32(a), 8);
	ok(drv->cuGraphExecDestroy(exec));
	ok(drv->cuGraphDestroy(graph));
	ok(drv->cuGraphDestroy(other));
}

/* ---- capture ---- */

Test(device_cpu_graph, captures_across_streams)
{
	CUdeviceptr a = device_memory(64);
	CUstream origin = new_stream(), side = new_stream();
	CUstreamCaptureStatus status;
	CUevent fork, join;
	CUgraphExec exec;
	CUgraph graph;
	size_t count;
	int calls = 0;

	ok(drv->cuEventCreate(&fork, CU_EVENT_DISABLE_TIMING));
	ok(drv->cuEventCreate(&join, CU_EVENT_DISABLE_TIMING));
	ok(drv->cuStreamBeginCapture_v2(origin, CU_STREAM_CAPTURE_MODE_RELAXED));
	ok(launch("mix", origin, a, 1));
	ok(drv->cuEventRecord(fork, origin));
	ok(drv->cuStreamWaitEvent(side, fork, 0));
	ok(drv->cuStreamIsCapturing(side, &status));
	cr_assert_eq(status, CU_STREAM_CAPTURE_STATUS_ACTIVE);
	ok(drv->cuMemsetD32Async(a + 16, 9, 1, side));
	ok(drv->cuLaunchHostFunc(origin, add_one, &calls));
	ok(drv->cuEventRecord(join, side));
	ok(drv->cuStreamWaitEvent(origin, join, 0));
	ok(drv->cuMemcpyDtoDAsync_v2(a + 32, a + 16, 4, origin));
	cr_assert_eq(*(uint32_t *)a, 0);
	cr_assert_eq(calls, 0);
	ok(drv->cuStreamEndCapture(origin, &graph));
	ok(drv->cuStreamIsCapturing(side, &status));
	cr_assert_eq(status, CU_STREAM_CAPTURE_STATUS_NONE);
	ok(drv->cuGraphGetNodes(graph, NULL, &count));
	cr_assert_eq(count, 4);
	ok(drv->cuGraphGetEdges(graph, NULL, NULL, &count));
	cr_assert_eq(count, 4);
	exec = instantiate(graph);
	ok(drv->cuGraphLaunch(exec, origin));
	ok(drv->cuGraphLaunch(exec, side));
	cr_assert_eq(read_u32(a), 3);
	cr_assert_eq(read_u32(a + 32), 9);
	cr_assert_eq(calls, 2);
	/* a graph launch in a capture becomes a node */
	ok(drv->cuGraphDestroy(graph));
	ok(drv->cuStreamBeginCapture_v2(origin, CU_STREAM_CAPTURE_MODE_GLOBAL));
	ok(drv->cuGraphLaunch(exec, origin));
	ok(drv->cuStreamEndCapture(origin, &graph));
	ok(drv->cuGraphExecDestroy(exec));
	exec = instantiate(graph);
	ok(drv->cuGraphLaunch(exec, NULL));
	cr_assert_eq(calls, 3);
	ok(drv->cuGraphExecDestroy(exec));
	ok(drv->cuGraphDestroy(graph));
	ok(drv->cuEventDestroy_v2(fork));
	ok(drv->cuEventDestroy_v2(join));
	ok(drv->cuStreamDestroy_v2(origin));
	ok(drv->cuStreamDestroy_v2(side));
}

/* Each spoils a capture; the answers are those of an H200. */
Test(device_cpu_graph, spoilt_captures)
{
	CUstream stream, side = new_stream();
	CUstreamCaptureStatus status;
	CUdeviceptr a = device_memory(4);
	CUevent event, outside;
	CUgraph graph;

	ok(drv->cuStreamCreate(&stream, CU_STREAM_DEFAULT));
	ok(drv->cuEventCreate(&event, 0));
	ok(drv->cuEventCreate(&outside, 0));
	fails(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, drv->cuStreamBeginCapture_v2(NULL, 0));
	fails(CUDA_ERROR_ILLEGAL_STATE, drv->cuStreamEndCapture(stream, &graph));

	ok(drv->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
	fails(CUDA_ERROR_ILLEGAL_STATE, drv->cuStreamBeginCapture_v2(stream, 0));
	fails(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, drv->cuStreamSynchronize(stream));
	fails(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, launch("nothing", stream, a, 0));
	fails(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, drv->cuStreamEndCapture(stream, &graph));
	cr_assert_null(graph);

	ok(drv->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
	fails(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, drv->cuStreamIsCapturing(NULL, &status));
	ok(drv->cuStreamIsCapturing(stream, &status));
	cr_assert_eq(status, CU_STREAM_CAPTURE_STATUS_ACTIVE);
	fails(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, drv->cuMemsetD8_v2(a, 0, 4));
	ok(drv->cuStreamIsCapturing(stream, &status));
	cr_assert_eq(status, CU_STREAM_CAPTURE_STATUS_INVALIDATED);
	fails(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, drv->cuStreamEndCapture(stream, &graph));

	ok(drv->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
	fails(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, drv->cuCtxSynchronize());
	fails(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, drv->cuStreamEndCapture(stream, &graph));

	ok(drv->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
	ok(drv->cuStreamWaitEvent(stream, outside, 0)); /* never recorded */
	ok(drv->cuEventRecord(outside, side));
	fails(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, drv->cuStreamWaitEvent(stream, outside, 0));
	fails(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, drv->cuStreamEndCapture(stream, &graph));

	ok(drv->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
	ok(drv->cuEventRecord(event, stream));
	fails(CUDA_ERROR_CAPTURED_EVENT, drv->cuEventQuery(event));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuEventSynchronize(event));
	fails(CUDA_ERROR_INVALID_VALUE, drv->cuStreamWaitEvent(side, event, 0));
	fails(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, drv->cuStreamEndCapture(stream, &graph));

	ok(drv->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
	ok(launch("nothing", stream, a, 0));
	ok(drv->cuEventRecord(event, stream));
	ok(drv->cuStreamWaitEvent(side, event, 0));
	ok(launch("nothing", side, a, 0));
	fails(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, drv->cuStreamEndCapture(stream, &graph));
	ok(drv->cuStreamIsCapturing(side, &status));
	cr_assert_eq(status, CU_STREAM_CAPTURE_STATUS_NONE);

	/* a stream that does not block does not tie the legacy stream */
	ok(drv->cuStreamBeginCapture_v2(side, CU_STREAM_CAPTURE_MODE_GLOBAL));
	ok(drv->cuMemsetD8_v2(a, 0, 4));
	ok(drv->cuStreamEndCapture(side, &graph));
	ok(drv->cuGraphDestroy(graph));
	ok(drv->cuEventDestroy_v2(event));
	ok(drv->cuEventDestroy_v2(outside));
	ok(drv->cuStreamDestroy_v2(stream));
	ok(drv->cuStreamDestroy_v2(side));
}

Test(device_cpu_graph, destroyed_while_capturing)
{
	CUstream origin = new_stream(), side = new_stream();
	CUevent event;

	ok(drv->cuEventCreate(&event, 0));
	ok(drv->cuStreamBeginCapture_v2(origin, CU_STREAM_CAPTURE_MODE_RELAXED));
	ok(drv->cuEventRecord(event, origin));
	ok(drv->cuStreamWaitEvent(side, event, 0));
	ok(drv->cuStreamDestroy_v2(origin));
	fails(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, drv->cuStreamEndCapture(side, NULL));
	ok(drv->cuStreamDestroy_v2(side));
	ok(drv->cuEventDestroy_v2(event));
	ok(drv->cuCtxSynchronize());
}

Test(device_cpu_graph, capture_info_and_dependencies)
{
	CUdeviceptr a = device_memory(4);
	CUstream stream = new_stream();
	CUstreamCaptureStatus status;
	const CUgraphNode *deps;
	CUgraphNode own, first;
	CUgraph graph, ended;
	CUgraphExec exec;
	cuuint64_t id;
	size_t count;

	ok(drv->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
	ok(launch("mix", stream, a, 1));
	ok(drv->cuStreamGetCaptureInfo_v2(stream, &status, &id, &graph, &deps, &count));
	cr_assert_eq(count, 1);
	cr_assert_neq(id, 0);
	first = deps[0];
	/* the program adds a node itself and goes on behind it */
	own = add_mix(graph, &first, 1, a, 5);
	ok(drv->cuStreamUpdateCaptureDependencies(stream, &own, 1,
						  CU_STREAM_SET_CAPTURE_DEPENDENCIES));
	ok(launch("mix", stream, a, 7));
	ok(drv->cuStreamEndCapture(stream, &ended));
	cr_assert_eq(graph, ended);
	exec = instantiate(graph);
	ok(drv->cuGraphLaunch(exec, NULL));
	cr_assert_eq(read_u32(a), (1 * 2 + 5) * 2 + 7);
	ok(drv->cuGraphExecDestroy(exec));
	ok(drv->cuGraphDestroy(graph));
	ok(drv->cuStreamDestroy_v2(stream));
}

/* A launch that waits in a stream uses what the graph was when it was launched. */
Test(device_cpu_graph, kept_launch_keeps_its_parameters)
{
	CUdeviceptr a = device_memory(4), flag = device_memory(4);
	CUstream stream = new_stream();
	uint32_t value = 50;
	void *params[] = {&a, &value};
	CUDA_KERNEL_NODE_PARAMS other = kernel_params("mix", params);
	CUgraphNode node;
	CUgraphExec exec;
	CUgraph graph;

	ok(drv->cuGraphCreate(&graph, 0));
	node = add_mix(graph, NULL, 0, a, 1);
	exec = instantiate(graph);
	ok(drv->cuStreamWaitValue32_v2(stream, flag, 1, CU_STREAM_WAIT_VALUE_EQ));
	ok(drv->cuGraphLaunch(exec, stream));
	ok(drv->cuGraphExecKernelNodeSetParams_v2(exec, node, &other));
	ok(drv->cuGraphExecDestroy(exec));
	ok(drv->cuGraphDestroy(graph));
	*(volatile uint32_t *)flag = 1;
	ok(drv->cuStreamSynchronize(stream));
	cr_assert_eq(read_u32(a), 1);
	ok(drv->cuStreamDestroy_v2(stream));
}

Test(device_cpu_graph, children_are_not_endless)
{
	CUgraph inner, outer;
	CUgraphNode node;
	int depth = 0;

	ok(drv->cuGraphCreate(&inner, 0));
	ok(drv->cuGraphAddEmptyNode(&node, inner, NULL, 0));
	for (;;) {
		CUresult status;

		ok(drv->cuGraphCreate(&outer, 0));
		status = drv->cuGraphAddChildGraphNode(&node, outer, NULL, 0, inner);
		ok(drv->cuGraphDestroy(inner));
		inner = outer;
		if (status != CUDA_SUCCESS)
			break;
		cr_assert_lt(++depth, 1000);
	}
	ok(drv->cuGraphDestroy(inner));
}

/* Not through the graphs in nodes either, nor through conditions. */
Test(device_cpu_graph, nesting_is_not_endless)
{
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_CONDITIONAL};
	CUgraph graph, at, empty;
	CUgraphNode node;
	int depth = 0;

	ok(drv->cuGraphCreate(&graph, 0));
	ok(drv->cuGraphCreate(&empty, 0));
	for (at = graph; drv->cuGraphAddChildGraphNode(&node, at, NULL, 0, empty) == CUDA_SUCCESS;
	     depth++) {
		cr_assert_lt(depth, 1000);
		ok(drv->cuGraphChildGraphNodeGetGraph(node, &at));
	}
	cr_assert_gt(depth, 10);
	/* such a graph in another one is too deep */
	cr_assert_eq(drv->cuGraphAddChildGraphNode(&node, empty, NULL, 0, graph),
		     CUDA_ERROR_INVALID_VALUE);
	ok(drv->cuGraphDestroy(graph));
	ok(drv->cuGraphCreate(&graph, 0));
	ok(drv->cuGraphConditionalHandleCreate(&params.conditional.handle, graph, NULL, 0, 0));
	params.conditional.type = CU_GRAPH_COND_TYPE_IF;
	params.conditional.size = 1;
	depth = 0;
	for (at = graph; drv->cuGraphAddNode_v2(&node, at, NULL, NULL, 0, &params) == CUDA_SUCCESS;
	     depth++) {
		cr_assert_lt(depth, 1000);
		at = params.conditional.phGraph_out[0];
	}
	cr_assert_gt(depth, 10);
	ok(drv->cuGraphDestroy(graph));
	ok(drv->cuGraphDestroy(empty));
}

/* A graph that moves into a node is that node's from then on: no copy of it. */
Test(device_cpu_graph, children_that_move)
{
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_GRAPH};
	CUdeviceptr a = device_memory(4);
	CUgraph parent, child, inside;
	CUgraphNode node;
	CUgraphExec exec;

	ok(drv->cuGraphCreate(&parent, 0));
	ok(drv->cuGraphCreate(&child, 0));
	params.graph.graph = child;
	params.graph.ownership = CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE;
	ok(drv->cuGraphAddNode_v2(&node, parent, NULL, NULL, 0, &params));
	ok(drv->cuGraphChildGraphNodeGetGraph(node, &inside));
	cr_assert_eq(inside, child);
	cr_assert_eq(drv->cuGraphDestroy(child), CUDA_ERROR_INVALID_VALUE);
	add_mix(child, NULL, 0, a, 5);
	exec = instantiate(parent);
	ok(drv->cuGraphDestroy(parent));
	ok(drv->cuGraphLaunch(exec, NULL));
	cr_assert_eq(read_u32(a), 5);
	ok(drv->cuGraphExecDestroy(exec));
}
