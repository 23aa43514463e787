/* The client's record of graphs: what it answers by itself, and what it tells the worker. */
#include "interpose/graph.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/unit/fake_chan.h"

static CUcontext ctx;
static CUgraph graph;
static CUdeviceptr memory;

static void
start(void)
{
	fake_init();
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cuDevicePrimaryCtxRetain(&ctx, 0);
	cuCtxSetCurrent(ctx);
	cr_assert_eq(cuMemAlloc_v2(&memory, 4096), CUDA_SUCCESS);
	cr_assert_eq(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
}

TestSuite(graph, .init = start, .timeout = 60);

static CUgraphNode
empty(const CUgraphNode *after, size_t count)
{
	CUgraphNode node = NULL;

	cr_assert_eq(cuGraphAddEmptyNode(&node, graph, after, count), CUDA_SUCCESS);
	return node;
}

static size_t
count_of(CUgraph which)
{
	size_t count = 99;

	cr_assert_eq(cuGraphGetNodes(which, NULL, &count), CUDA_SUCCESS);
	return count;
}

Test(graph, nothing_waits)
{
	CUgraphNode a = empty(NULL, 0), b = empty(&a, 1), got[2];
	size_t count = 2;

	cr_assert_eq(cuGraphNodeGetDependencies(b, got, &count), CUDA_SUCCESS);
	cr_assert(count == 1 && got[0] == a && got[1] == NULL, "the rest is cleared");
	count = 0;
	cr_assert_eq(cuGraphNodeGetDependentNodes(a, NULL, &count), CUDA_SUCCESS);
	cr_assert_eq(count, 1);
	cr_assert_eq(cuGraphDestroyNode(a), CUDA_SUCCESS);
	cr_assert_eq(cuGraphNodeGetDependencies(b, NULL, &count), CUDA_SUCCESS);
	cr_assert_eq(count, 0);
	cr_assert_eq(cuGraphDestroy(graph), CUDA_SUCCESS);
	cr_assert_eq(genie_thread_self()->round_trips, 0);
	cr_assert_eq(fake_count(GENIE_OP_genieGraphForget), 1, "the name of b is free again");
}

Test(graph, wrong_dependencies)
{
	CUgraphNode a = empty(NULL, 0), twice[2] = {a, a}, other = NULL, node = (CUgraphNode)7;
	CUgraph second;

	cr_assert_eq(cuGraphCreate(&second, 0), CUDA_SUCCESS);
	cr_assert_eq(cuGraphAddEmptyNode(&other, second, NULL, 0), CUDA_SUCCESS);
	cr_assert_eq(cuGraphAddEmptyNode(&node, graph, twice, 2), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphAddEmptyNode(&node, graph, &other, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphAddEmptyNode(&node, graph, NULL, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(node, (CUgraphNode)7);
	cr_assert_eq(cuGraphAddDependencies(graph, &a, &a, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphAddDependencies(graph, &a, &other, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(count_of(graph), 1);
	cr_assert_eq(fake_count(GENIE_OP_genieGraphNode), 2, "nobody was told");
}

/* Only kernels have ports: an edge that says otherwise is refused here. */
Test(graph, data_of_edges)
{
	const CUgraphEdgeData port = {.from_port = CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC,
				      .type = CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC};
	const CUgraphEdgeData odd = {.reserved = {1}};
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_EMPTY};
	CUgraphNode a = empty(NULL, 0), b = NULL;

	cr_assert_eq(cuGraphAddNode_v2(&b, graph, &a, &port, 1, &params), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphAddNode_v2(&b, graph, &a, &odd, 1, &params), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphAddNode_v2(&b, graph, &a, NULL, 1, &params), CUDA_SUCCESS);
}

/* A copy of memory that only this process sees is two nodes for the worker, and one here. */
Test(graph, copies_of_host_memory)
{
	char host[64];
	CUDA_MEMCPY3D copy = {.srcMemoryType = CU_MEMORYTYPE_HOST,
			      .srcHost = host,
			      .dstMemoryType = CU_MEMORYTYPE_DEVICE,
			      .dstDevice = memory,
			      .WidthInBytes = 64,
			      .Height = 1,
			      .Depth = 1},
		      got;
	CUgraphNode up = NULL, down = NULL, list[2];
	size_t count = 2;

	cr_assert_eq(cuGraphAddMemcpyNode(&up, graph, NULL, 0, &copy, ctx), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieGraphNode), 2);
	copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
	copy.srcDevice = memory;
	copy.dstMemoryType = CU_MEMORYTYPE_HOST;
	copy.dstHost = host;
	cr_assert_eq(cuGraphAddMemcpyNode(&down, graph, &up, 1, &copy, ctx), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieGraphNode), 4);
	cr_assert_eq(count_of(graph), 2);
	cr_assert_eq(cuGraphNodeGetDependencies(down, list, &count), CUDA_SUCCESS);
	cr_assert(count == 1 && list[0] == up);
	cr_assert_eq(cuGraphMemcpyNodeGetParams(down, &got), CUDA_SUCCESS);
	cr_assert(got.dstHost == host && got.srcDevice == memory);
	/* beyond the allocation: at once */
	copy.WidthInBytes = 8192;
	cr_assert_eq(cuGraphAddMemcpyNode(&down, graph, NULL, 0, &copy, ctx),
		     CUDA_ERROR_INVALID_VALUE);
	/* one that becomes ours later gets its half then */
	copy = (CUDA_MEMCPY3D){.srcMemoryType = CU_MEMORYTYPE_DEVICE,
			       .srcDevice = memory,
			       .dstMemoryType = CU_MEMORYTYPE_DEVICE,
			       .dstDevice = memory + 64,
			       .WidthInBytes = 64,
			       .Height = 1,
			       .Depth = 1};
	cr_assert_eq(cuGraphAddMemcpyNode(&up, graph, &down, 1, &copy, ctx), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieGraphNode), 5);
	copy.srcMemoryType = CU_MEMORYTYPE_HOST;
	copy.srcHost = host;
	cr_assert_eq(cuGraphMemcpyNodeSetParams(up, &copy), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieGraphNode), 6);
	cr_assert_eq(fake_count(GENIE_OP_genieGraphEdges), 2, "one edge less, one more");
}

Test(graph, clones_know_their_origin)
{
	CUgraphNode a = empty(NULL, 0), b = empty(&a, 1), found = NULL;
	CUgraph clone;

	cr_assert_eq(cuGraphClone(&clone, graph), CUDA_SUCCESS);
	cr_assert_eq(cuGraphNodeFindInClone(&found, b, clone), CUDA_SUCCESS);
	cr_assert(found != b && found != a);
	cr_assert_eq(cuGraphNodeFindInClone(&found, found, clone), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(count_of(clone), 2);
	cr_assert_eq(fake_count(GENIE_OP_genieGraphNames), 1);
	cr_assert_eq(genie_thread_self()->round_trips, 0);
}

/* The graph in a node is named when somebody asks for it. */
Test(graph, children)
{
	CUgraph parent, inside = NULL, again = NULL;
	CUgraphNode node = NULL;

	empty(NULL, 0);
	cr_assert_eq(cuGraphCreate(&parent, 0), CUDA_SUCCESS);
	cr_assert_eq(cuGraphAddChildGraphNode(&node, parent, NULL, 0, graph), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieGraphChild), 0);
	empty(NULL, 0);
	cr_assert_eq(cuGraphChildGraphNodeGetGraph(node, &inside), CUDA_SUCCESS);
	cr_assert_eq(cuGraphChildGraphNodeGetGraph(node, &again), CUDA_SUCCESS);
	cr_assert(inside != graph && inside == again);
	cr_assert_eq(fake_count(GENIE_OP_genieGraphChild), 1);
	cr_assert_eq(count_of(inside), 1, "as it was when it was added");
	cr_assert_eq(cuGraphDestroy(inside), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphDestroy(parent), CUDA_SUCCESS);
	cr_assert_eq(cuGraphGetNodes(inside, NULL, &(size_t){0}), CUDA_ERROR_INVALID_VALUE);
}

/* Edges with different data are different edges: all go with the node. */
Test(graph, edges_go_with_their_node)
{
	const CUgraphEdgeData order = {.from_port = CU_GRAPH_KERNEL_NODE_PORT_LAUNCH_ORDER};
	CUgraphNode a, b = empty(NULL, 0), c = empty(NULL, 0);
	struct genie_node *node;
	size_t count = 9;

	a = empty(NULL, 0);
	/* as if it were a kernel */
	node = genie_node_get(a);
	node->payload.params.type = CU_GRAPH_NODE_TYPE_KERNEL;
	cr_assert_eq(cuGraphAddDependencies_v2(graph, &a, &b, NULL, 1), CUDA_SUCCESS);
	cr_assert_eq(cuGraphAddDependencies_v2(graph, &a, &b, &order, 1), CUDA_SUCCESS);
	cr_assert_eq(cuGraphAddDependencies_v2(graph, &a, &b, &order, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphAddDependencies_v2(graph, &c, &b, NULL, 1), CUDA_SUCCESS);
	cr_assert_eq(cuGraphDestroyNode(a), CUDA_SUCCESS);
	cr_assert_eq(cuGraphNodeGetDependencies(b, NULL, &count), CUDA_SUCCESS);
	cr_assert_eq(count, 1);
}

Test(graph, no_graph_goes_into_itself)
{
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_GRAPH};
	CUgraph inside = NULL, middle;
	CUgraphNode node = NULL;

	params.graph.ownership = CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE;
	params.graph.graph = graph;
	cr_assert_eq(cuGraphAddNode_v2(&node, graph, NULL, NULL, 0, &params),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphCreate(&middle, 0), CUDA_SUCCESS);
	params.graph.graph = middle;
	cr_assert_eq(cuGraphAddNode_v2(&node, graph, NULL, NULL, 0, &params), CUDA_SUCCESS);
	cr_assert_eq(cuGraphChildGraphNodeGetGraph(node, &inside), CUDA_SUCCESS);
	cr_assert_eq(inside, middle, "the graph itself, not a copy");
	params.graph.graph = graph;
	cr_assert_eq(cuGraphAddNode_v2(&node, middle, NULL, NULL, 0, &params),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphDestroy(middle), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphDestroy(graph), CUDA_SUCCESS);
	cr_assert_eq(cuGraphGetNodes(middle, NULL, &(size_t){0}), CUDA_ERROR_INVALID_VALUE);
}

/* A condition in a child is one in the graph around it: that is not cloned. */
Test(graph, what_children_have_counts)
{
	CUgraph parent, inside = NULL, clone;
	CUgraphNode node = NULL;
	CUgraphConditionalHandle handle = 0;

	fake.reply_len = 8;
	empty(NULL, 0);
	cr_assert_eq(cuGraphCreate(&parent, 0), CUDA_SUCCESS);
	cr_assert_eq(cuGraphAddChildGraphNode(&node, parent, NULL, 0, graph), CUDA_SUCCESS);
	cr_assert_eq(cuGraphChildGraphNodeGetGraph(node, &inside), CUDA_SUCCESS);
	cr_assert_eq(cuGraphConditionalHandleCreate(&handle, inside, ctx, 0, 0), CUDA_SUCCESS);
	cr_assert_eq(cuGraphClone(&clone, parent), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphClone(&clone, graph), CUDA_SUCCESS, "that was copied before");
}

/* More than fit into one command. */
Test(graph, many_dependencies)
{
	enum { MANY = 3000 };
	CUgraphNode *all = calloc(MANY, sizeof(*all)), last;
	size_t count = 0;

	for (int i = 0; i < MANY; i++)
		all[i] = empty(NULL, 0);
	last = empty(all, MANY);
	cr_assert_eq(cuGraphNodeGetDependencies(last, NULL, &count), CUDA_SUCCESS);
	cr_assert_eq(count, MANY);
	cr_assert_eq(fake_count(GENIE_OP_genieGraphNode), MANY + 1);
	cr_assert_eq(fake_count(GENIE_OP_genieGraphEdges), 2);
	free(all);
}

/* The worker says that all is well: no node is to blame, result 0, nothing to launch it by. */
static void
answers(void)
{
	fake.reply_len = 24;
}

static CUdeviceptr
allocate(CUgraph where)
{
	CUDA_MEM_ALLOC_NODE_PARAMS params = {
		.poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
			      .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}},
		.bytesize = 1000,
	};
	CUgraphNode node;

	cr_assert_eq(cuGraphAddMemAllocNode(&node, where, NULL, 0, &params), CUDA_SUCCESS);
	cr_assert_neq(params.dptr, 0);
	return params.dptr;
}

Test(graph, memory_of_graphs)
{
	CUdeviceptr p = allocate(graph);
	CUgraphExec exec, second;
	CUgraphNode node = NULL;
	cuuint64_t used = 0;
	CUgraph other;

	answers();
	cr_assert_eq(cuMemFree_v2(p), CUDA_ERROR_INVALID_VALUE, "no launch allocated it");
	cr_assert_eq(cuGraphClone(&other, graph), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
	cr_assert_eq(cuGraphInstantiateWithFlags(&second, graph, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphLaunch(exec, NULL), CUDA_SUCCESS);
	cr_assert_eq(cuGraphLaunch(exec, NULL), CUDA_ERROR_INVALID_VALUE, "it is there still");
	cuDeviceGetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, &used);
	cr_assert_geq(used, 1000);
	cr_assert_eq(cuMemFreeAsync(p, NULL), CUDA_SUCCESS);
	cr_assert_eq(cuMemFreeAsync(p, NULL), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphLaunch(exec, NULL), CUDA_SUCCESS);
	/* another graph frees it; its own no more */
	cr_assert_eq(cuGraphCreate(&other, 0), CUDA_SUCCESS);
	cr_assert_eq(cuGraphAddMemFreeNode(&node, other, NULL, 0, memory),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphAddMemFreeNode(&node, other, NULL, 0, p), CUDA_SUCCESS);
	cr_assert_eq(cuGraphAddMemFreeNode(&node, other, NULL, 0, p), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphAddMemFreeNode(&node, graph, NULL, 0, p), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphInstantiateWithFlags(&second, other, 0), CUDA_SUCCESS);
	cr_assert_eq(cuGraphLaunch(second, NULL), CUDA_SUCCESS);
	cr_assert_eq(cuGraphLaunch(exec, NULL), CUDA_SUCCESS);
	/* what is live outlives its graphs */
	cr_assert_eq(cuGraphExecDestroy(second), CUDA_SUCCESS);
	cr_assert_eq(cuGraphDestroy(other), CUDA_SUCCESS);
	cr_assert_eq(cuGraphExecDestroy(exec), CUDA_SUCCESS);
	cr_assert_eq(cuGraphDestroy(graph), CUDA_SUCCESS);
	cr_assert_eq(cuMemFree_v2(p), CUDA_SUCCESS);
	cr_assert_eq(cuMemFree_v2(p), CUDA_ERROR_INVALID_VALUE);
}

/* A graph that kernels launch goes by the device's own name for it. */
Test(graph, launched_by_kernels)
{
	const uint64_t flags = CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH;
	CUgraphExec exec, second, plain, name = (CUgraphExec)(uintptr_t)0x7f0012345670;
	cuuint64_t told = 0;

	answers();
	memcpy(fake.reply + 16, &name, sizeof(name));
	/* who did not ask for it is not told */
	cr_assert_eq(cuGraphInstantiateWithFlags(&plain, graph, 0), CUDA_SUCCESS);
	cr_assert_neq(plain, name);
	cr_assert_eq(cuGraphExecGetFlags(name, &told), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphInstantiateWithFlags(&exec, graph, flags), CUDA_SUCCESS);
	cr_assert_eq(exec, name);
	cr_assert_eq(cuGraphExecGetFlags(exec, &told), CUDA_SUCCESS);
	cr_assert_eq(told, flags);
	name = (CUgraphExec)(uintptr_t)0x7f0012345680;
	memcpy(fake.reply + 16, &name, sizeof(name));
	cr_assert_eq(cuGraphInstantiateWithFlags(&second, graph, flags), CUDA_SUCCESS);
	cr_assert_eq(second, name);
	cr_assert_eq(cuGraphLaunch(exec, NULL), CUDA_SUCCESS);
	cr_assert_eq(cuGraphUpload(second, NULL), CUDA_SUCCESS);
	cr_assert_eq(cuGraphExecDestroy(exec), CUDA_SUCCESS);
	cr_assert_eq(cuGraphLaunch(exec, NULL), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphLaunch(second, NULL), CUDA_SUCCESS);
	cr_assert_eq(cuGraphExecDestroy(second), CUDA_SUCCESS);
	cr_assert_eq(cuGraphExecDestroy(second), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphExecDestroy(plain), CUDA_SUCCESS);
}

static int destroyed;

static void
destroy(void *data)
{
	destroyed += *(int *)data;
}

Test(graph, user_objects)
{
	CUuserObject object;
	CUgraphExec exec;
	CUgraph clone;
	int one = 1;

	answers();
	cr_assert_eq(cuUserObjectCreate(&object, &one, destroy, 1, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(
		cuUserObjectCreate(&object, &one, destroy, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC),
		CUDA_SUCCESS);
	cr_assert_eq(cuGraphReleaseUserObject(graph, object, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphRetainUserObject(graph, object, 2, 0), CUDA_SUCCESS);
	cr_assert_eq(cuUserObjectRelease(object, 2), CUDA_ERROR_INVALID_VALUE, "one is its own");
	cr_assert_eq(cuUserObjectRelease(object, 1), CUDA_SUCCESS);
	cr_assert_eq(cuUserObjectRelease(object, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphRetainUserObject(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuGraphReleaseUserObject(graph, object, 1), CUDA_SUCCESS);
	cr_assert_eq(cuGraphClone(&clone, graph), CUDA_SUCCESS);
	cr_assert_eq(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
	cr_assert_eq(cuGraphDestroy(graph), CUDA_SUCCESS);
	cr_assert_eq(cuGraphDestroy(clone), CUDA_SUCCESS);
	cr_assert_eq(destroyed, 0);
	/* never launched: nothing to wait for */
	cr_assert_eq(cuGraphExecDestroy(exec), CUDA_SUCCESS);
	cr_assert_eq(destroyed, 1);
	cr_assert_eq(cuUserObjectRelease(object, 1), CUDA_ERROR_INVALID_VALUE);
}

static void
nothing(void *data)
{
	(void)data;
}

/* A node that does something else each time: what it did goes again, when it may. */
Test(graph, changed_often)
{
	CUDA_HOST_NODE_PARAMS params = {.fn = nothing};
	CUgraphNode node = NULL;
	CUgraphExec exec;
	size_t forgotten;

	answers();
	cr_assert_eq(cuGraphAddHostNode(&node, graph, NULL, 0, &params), CUDA_SUCCESS);
	cr_assert_eq(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(cuGraphExecHostNodeSetParams(exec, node, &params), CUDA_SUCCESS);
	forgotten = fake_count(GENIE_OP_genieHostForget);
	cr_assert_geq(forgotten, 900, "it never ran");
	cr_assert_eq(fake_count(GENIE_OP_genieHostFunc), 0);
	cr_assert_eq(cuGraphLaunch(exec, NULL), CUDA_SUCCESS);
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(cuGraphExecHostNodeSetParams(exec, node, &params), CUDA_SUCCESS);
	/* now the worker has to say that it does not run any more: not for each of them */
	cr_assert_geq(fake_count(GENIE_OP_genieHostFunc), 10);
	cr_assert_leq(fake_count(GENIE_OP_genieHostFunc), 40);
	cr_assert_leq(genie_exec_get(exec)->hold_count, 64);
	cr_assert_eq(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

/* Names come back: far more nodes than there are names, one graph after the other. */
Test(graph, names_are_used_again)
{
	for (int round = 0; round < 40; round++) {
		CUgraph fresh;
		CUgraphNode node;

		cr_assert_eq(cuGraphCreate(&fresh, 0), CUDA_SUCCESS);
		for (int i = 0; i < 1000; i++)
			cr_assert_eq(cuGraphAddEmptyNode(&node, fresh, NULL, 0), CUDA_SUCCESS);
		cr_assert_lt(genie_token_index((uintptr_t)node), 2100);
		cr_assert_eq(cuGraphDestroy(fresh), CUDA_SUCCESS);
	}
}
