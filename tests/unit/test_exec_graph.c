/* remote/exec_graph.c, graph_name.c and graph_host.c: what a client may say about graphs. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/unit/remote_fake.h"

/* What the driver was asked; its handles are numbers that nobody may look behind. */
static struct {
	unsigned int nodes, sets, graphs_destroyed, nodes_destroyed;
	CUDA_HOST_NODE_PARAMS_v2 host; /* of the last host node */
} driver;

static void *
handle_new(void)
{
	static uintptr_t last = 0x1000;

	return (void *)++last;
}

static CUresult
graph_create(CUgraph *ret_graph, unsigned int flags)
{
	(void)flags;
	*ret_graph = handle_new();
	return CUDA_SUCCESS;
}

static CUresult
graph_destroy(CUgraph graph)
{
	(void)graph;
	driver.graphs_destroyed++;
	return CUDA_SUCCESS;
}

static CUresult
node_destroy(CUgraphNode node)
{
	(void)node;
	driver.nodes_destroyed++;
	return CUDA_SUCCESS;
}

static CUresult
node_add(CUgraphNode *ret_node, CUgraph graph, const CUgraphNode *deps, const CUgraphEdgeData *data,
	 size_t count, CUgraphNodeParams *params)
{
	static CUgraph bodies[2];

	(void)graph;
	(void)deps;
	(void)data;
	(void)count;
	if (params->type == CU_GRAPH_NODE_TYPE_HOST)
		driver.host = params->host;
	if (params->type == CU_GRAPH_NODE_TYPE_CONDITIONAL) {
		bodies[0] = handle_new();
		bodies[1] = handle_new();
		params->conditional.phGraph_out = bodies;
	}
	driver.nodes++;
	*ret_node = handle_new();
	return CUDA_SUCCESS;
}

static CUresult
node_set(CUgraphNode node, CUgraphNodeParams *params)
{
	(void)node;
	(void)params;
	driver.sets++;
	return CUDA_SUCCESS;
}

static CUresult
condition_create(CUgraphConditionalHandle *ret_handle, CUgraph graph, CUcontext ctx,
		 unsigned int value, unsigned int flags)
{
	(void)graph;
	(void)ctx;
	(void)value;
	(void)flags;
	*ret_handle = (CUgraphConditionalHandle)(uintptr_t)handle_new();
	return CUDA_SUCCESS;
}

static void
init(void)
{
	struct genie_driver *drv;

	fake_start(GENIE_DEVICE_CUDA, NULL);
	fake_ctx();
	drv = &fake.backend.drv;
	drv->cuGraphCreate = graph_create;
	drv->cuGraphDestroy = graph_destroy;
	drv->cuGraphDestroyNode = node_destroy;
	drv->cuGraphAddNode_v2 = node_add;
	drv->cuGraphNodeSetParams = node_set;
	drv->cuGraphConditionalHandleCreate = condition_create;
}

TestSuite(exec_graph, .init = init, .fini = fake_stop, .timeout = 20);

/* ---- commands, and what became of them ---- */

static CUgraph
graph_token(uint32_t index)
{
	return TOKEN(CUgraph, GENIE_KIND_GRAPH, 0, index);
}

static CUgraphNode
node_token(uint32_t index)
{
	return TOKEN(CUgraphNode, GENIE_KIND_GRAPHNODE, 0, index);
}

static CUresult
call(enum genie_op op, void *args)
{
	fake.errors = 0;
	cr_assert_eq(fake_call(op, args, 1), 0);
	return fake.errors ? (CUresult)fake.error.status : CUDA_SUCCESS;
}

static CUgraph
create(uint32_t index)
{
	CUgraph graph = graph_token(index);
	struct genie_args_cuGraphCreate args = {.phGraph = &graph};

	cr_assert_eq(call(GENIE_OP_cuGraphCreate, &args), CUDA_SUCCESS);
	return graph;
}

static CUresult
destroy(CUgraph graph)
{
	struct genie_args_cuGraphDestroy args = {.hGraph = graph};

	return call(GENIE_OP_cuGraphDestroy, &args);
}

static CUresult
add(CUgraph graph, uint32_t index, const CUgraphNodeParams *params)
{
	struct genie_args_genieGraphNode args = {
		.node = node_token(index), .graph = graph, .params = params};

	return call(GENIE_OP_genieGraphNode, &args);
}

static CUresult
add_empty(CUgraph graph, uint32_t index)
{
	const CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_EMPTY};

	return add(graph, index, &params);
}

static CUresult
set_host(CUgraphNode node)
{
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_HOST};
	struct genie_args_genieGraphNodeSet args = {.node = node, .params = &params};

	params.host.userData = (void *)5;
	return call(GENIE_OP_genieGraphNodeSet, &args);
}

static CUgraphConditionalHandle
condition(CUgraph graph)
{
	CUgraphConditionalHandle handle = 0;
	struct genie_args_cuGraphConditionalHandleCreate args = {
		.pHandle_out = &handle,
		.hGraph = graph,
		.ctx = TOKEN(CUcontext, GENIE_KIND_CTX, 0, 1),
	};

	cr_assert_eq(call(GENIE_OP_cuGraphConditionalHandleCreate, &args), CUDA_SUCCESS);
	return handle;
}

/* A node with two bodies, which have indices @body and the next. */
static CUresult
add_conditional(CUgraph graph, uint32_t index, CUgraphConditionalHandle handle, uint32_t body)
{
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_CONDITIONAL};
	const CUgraph bodies[] = {graph_token(body), graph_token(body + 1)};
	struct genie_args_genieGraphConditional args = {.node = node_token(index),
							.graph = graph,
							.params = &params,
							.bodies = bodies,
							.body_count = 2};

	params.conditional.handle = handle;
	params.conditional.type = CU_GRAPH_COND_TYPE_IF;
	params.conditional.size = 2;
	return call(GENIE_OP_genieGraphConditional, &args);
}

/* ---- names ---- */

/* The driver frees a graph's nodes with it: their names lead nowhere from then on. */
Test(exec_graph, nodes_go_with_their_graph)
{
	CUgraph graph = create(1), other = create(2);

	cr_assert_eq(add_empty(graph, 1), CUDA_SUCCESS);
	cr_assert_eq(add_empty(other, 2), CUDA_SUCCESS);
	cr_assert_eq(set_host(node_token(1)), CUDA_SUCCESS);
	cr_assert_eq(destroy(graph), CUDA_SUCCESS);
	cr_assert_eq(set_host(node_token(1)), CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(set_host(node_token(2)), CUDA_SUCCESS);
	cr_assert_eq(driver.sets, 2);
	cr_assert_eq(destroy(graph), CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(driver.graphs_destroyed, 1);
	/* and can be given again */
	cr_assert_eq(add_empty(other, 1), CUDA_SUCCESS);
}

Test(exec_graph, what_is_in_a_node_goes_with_it)
{
	CUgraph graph = create(1);
	struct genie_args_cuGraphDestroyNode args = {.hNode = node_token(1)};

	cr_assert_eq(add_conditional(graph, 1, condition(graph), 10), CUDA_SUCCESS);
	cr_assert_eq(add_empty(graph_token(11), 2), CUDA_SUCCESS);
	/* graphs in graphs in a body */
	cr_assert_eq(add_conditional(graph_token(11), 3, condition(graph), 20), CUDA_SUCCESS);
	cr_assert_eq(add_empty(graph_token(20), 4), CUDA_SUCCESS);
	cr_assert_eq(destroy(graph_token(10)), CUDA_ERROR_INVALID_VALUE, "a node has it");
	cr_assert_eq(destroy(graph_token(20)), CUDA_ERROR_INVALID_VALUE, "a node has it");
	cr_assert_eq(driver.graphs_destroyed, 0);
	cr_assert_eq(call(GENIE_OP_cuGraphDestroyNode, &args), CUDA_SUCCESS);
	cr_assert_eq(driver.nodes_destroyed, 1);
	for (uint32_t i = 1; i <= 4; i++)
		cr_assert_eq(set_host(node_token(i)), CUDA_ERROR_INVALID_HANDLE);
	for (uint32_t i = 10; i <= 20; i += 10)
		cr_assert_eq(add_empty(graph_token(i), 5), CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(driver.sets, 0);
	cr_assert_eq(add_empty(graph, 5), CUDA_SUCCESS);
}

Test(exec_graph, no_graph_goes_into_itself)
{
	CUgraph graph = create(1), child = create(2);
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_GRAPH};

	params.graph.ownership = CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE;
	params.graph.graph = graph;
	cr_assert_eq(add(graph, 1, &params), CUDA_ERROR_INVALID_VALUE);
	params.graph.graph = child;
	/* the failure has spoilt the first one */
	cr_assert_eq(add(graph, 1, &params), CUDA_ERROR_INVALID_VALUE);
	graph = create(3);
	cr_assert_eq(add(graph, 1, &params), CUDA_SUCCESS);
	cr_assert_eq(destroy(child), CUDA_ERROR_INVALID_VALUE, "it is the node's");
	params.graph.graph = graph;
	cr_assert_eq(add(child, 2, &params), CUDA_ERROR_INVALID_VALUE,
		     "not through a child either");
	params.graph.graph = child;
	cr_assert_eq(add(create(4), 2, &params), CUDA_ERROR_INVALID_VALUE, "nor twice");
	cr_assert_eq(driver.nodes, 1);
	cr_assert_eq(destroy(graph), CUDA_SUCCESS);
	cr_assert_eq(destroy(child), CUDA_ERROR_INVALID_HANDLE, "it went with the node");
}

static CUgraphNode the_only_node;

static CUresult
graph_nodes(CUgraph graph, CUgraphNode *nodes, size_t *count)
{
	(void)graph;
	if (nodes)
		nodes[0] = the_only_node;
	*count = 1;
	return CUDA_SUCCESS;
}

static CUresult
child_graph(CUgraphNode node, CUgraph *ret_graph)
{
	(void)node;
	*ret_graph = handle_new();
	return CUDA_SUCCESS;
}

static CUresult
not_in_clone(CUgraphNode *ret_node, CUgraphNode node, CUgraph graph)
{
	(void)ret_node;
	(void)node;
	(void)graph;
	return CUDA_ERROR_INVALID_VALUE;
}

/* A client that gives a node a second name loses both with the node. */
Test(exec_graph, names_of_one_node)
{
	const CUgraphNode from[] = {NULL}, names[] = {node_token(7)};
	const unsigned char types[] = {CU_GRAPH_NODE_TYPE_EMPTY};
	struct genie_args_genieGraphNames args = {
		.from = from, .names = names, .types = types, .count = 1};
	struct genie_args_cuGraphDestroyNode gone = {.hNode = node_token(1)};
	struct genie_args_genieGraphChild child = {.child = graph_token(9), .node = node_token(2)};

	fake.backend.drv.cuGraphGetNodes = graph_nodes;
	fake.backend.drv.cuGraphNodeFindInClone = not_in_clone;
	fake.backend.drv.cuGraphChildGraphNodeGetGraph = child_graph;
	args.clone = create(1);
	cr_assert_eq(add_empty(args.clone, 1), CUDA_SUCCESS);
	cr_assert_eq(add_empty(args.clone, 2), CUDA_SUCCESS);
	the_only_node = genie_object_find(&fake.session.objects, GENIE_KIND_GRAPHNODE,
					  (uintptr_t)node_token(1))
				->handle;
	cr_assert_eq(call(GENIE_OP_genieGraphNames, &args), CUDA_SUCCESS);
	cr_assert_eq(set_host(node_token(7)), CUDA_SUCCESS);
	cr_assert_eq(call(GENIE_OP_cuGraphDestroyNode, &gone), CUDA_SUCCESS);
	cr_assert_eq(set_host(node_token(7)), CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(set_host(node_token(1)), CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(set_host(node_token(2)), CUDA_SUCCESS);
	/* the graph in a node has one name only */
	cr_assert_eq(call(GENIE_OP_genieGraphChild, &child), CUDA_SUCCESS);
	child.child = graph_token(10);
	cr_assert_eq(call(GENIE_OP_genieGraphChild, &child), CUDA_ERROR_INVALID_VALUE);
	/* there is no such place */
	args.first = SIZE_MAX;
	cr_assert_eq(call(GENIE_OP_genieGraphNames, &args), CUDA_ERROR_INVALID_VALUE);
}

/* Kernels are passed the device's own handles, so the client has them: only those it was given. */
Test(exec_graph, conditions_are_known)
{
	CUgraph graph = create(1), other = create(2);
	CUgraphConditionalHandle handle = condition(other);

	for (int i = 0; i < 100; i++)
		condition(graph);
	cr_assert_eq(add_conditional(graph, 1, handle, 10), CUDA_SUCCESS);
	cr_assert_eq(add_conditional(graph, 2, handle + 1000, 20), CUDA_ERROR_INVALID_VALUE);
	graph = create(3);
	cr_assert_eq(destroy(other), CUDA_SUCCESS);
	cr_assert_eq(add_conditional(graph, 2, handle, 20), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(driver.nodes, 1);
}

/* ---- parameters ---- */

Test(exec_graph, what_fails_spoils_the_graph)
{
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_MEM_ALLOC};
	CUgraph graph = create(1);

	cr_assert_eq(add(graph, 1, &params), CUDA_ERROR_NOT_SUPPORTED);
	cr_assert_eq(add_empty(graph, 2), CUDA_ERROR_NOT_SUPPORTED);
	cr_assert_eq(destroy(graph), CUDA_SUCCESS, "it is there all the same");
	cr_assert_eq(driver.graphs_destroyed, 1);
}

Test(exec_graph, lists_are_as_long_as_they_say)
{
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_BATCH_MEM_OP};
	CUstreamBatchMemOpParams ops[2] = {0};
	struct genie_args_genieGraphNode args = {
		.node = node_token(1), .params = &params, .data = ops};
	const unsigned int counts[] = {1, 3, UINT32_MAX};

	for (uint32_t i = 0; i < 3; i++) {
		args.graph = create(i + 1);
		params.memOp.count = counts[i];
		params.memOp.paramArray = (CUstreamBatchMemOpParams *)0x1234; /* not to be read */
		args.size = sizeof(ops);
		cr_assert_eq(call(GENIE_OP_genieGraphNode, &args), CUDA_ERROR_INVALID_VALUE);
	}
	cr_assert_eq(driver.nodes, 0);
}

Test(exec_graph, graphs_in_nodes_are_not_exchanged)
{
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_GRAPH};
	struct genie_args_genieGraphNodeSet args = {.node = node_token(1), .params = &params};
	CUgraph graph = create(1);

	cr_assert_eq(add_conditional(graph, 1, condition(graph), 10), CUDA_SUCCESS);
	params.graph.graph = create(2);
	cr_assert_eq(call(GENIE_OP_genieGraphNodeSet, &args), CUDA_ERROR_INVALID_VALUE);
	params = (CUgraphNodeParams){.type = CU_GRAPH_NODE_TYPE_CONDITIONAL};
	cr_assert_eq(call(GENIE_OP_genieGraphNodeSet, &args), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(driver.sets, 0);
}

/* ---- host functions ---- */

/* The device calls from a thread of its own, when it likes. */
Test(exec_graph, a_forgotten_function_is_not_called)
{
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_HOST};
	struct genie_args_genieHostForget forget = {.id = 77};
	CUDA_HOST_NODE_PARAMS_v2 first;
	CUgraph graph = create(1);

	params.host.userData = (void *)77;
	params.host.fn = (CUhostFn)0x4321; /* the client's: never called here */
	cr_assert_eq(add(graph, 1, &params), CUDA_SUCCESS);
	first = driver.host;
	cr_assert_neq(first.fn, params.host.fn);
	cr_assert_eq(call(GENIE_OP_genieHostForget, &forget), CUDA_SUCCESS);
	cr_assert_eq(call(GENIE_OP_genieHostForget, &forget), CUDA_SUCCESS);
	first.fn(first.userData);
	cr_assert_eq(fake.host_id, 0, "nobody was asked");
	/* the same memory, for another one */
	params.host.userData = (void *)78;
	cr_assert_eq(add(graph, 2, &params), CUDA_SUCCESS);
	cr_assert_eq(driver.host.userData, first.userData);
}

Test(exec_graph, a_function_reads_pinned_memory_only)
{
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_HOST};
	uint64_t block[3] = {FAKE_WINDOW, 64};
	struct genie_args_genieGraphNode args = {
		.node = node_token(1), .params = &params, .data = block, .size = 16};

	params.host.userData = (void *)79;
	args.graph = create(1);
	cr_assert_eq(call(GENIE_OP_genieGraphNode, &args), CUDA_ERROR_INVALID_VALUE);
	args.graph = create(2);
	args.size = 24;
	cr_assert_eq(call(GENIE_OP_genieGraphNode, &args), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(driver.nodes, 0);
}

/* After its session nothing of it is looked at. */
Test(exec_graph, a_function_after_the_end)
{
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_HOST};
	CUDA_HOST_NODE_PARAMS_v2 host;

	params.host.userData = (void *)80;
	cr_assert_eq(add(create(1), 1, &params), CUDA_SUCCESS);
	host = driver.host;
	genie_graph_fini(&fake.session);
	host.fn(host.userData);
	cr_assert_eq(fake.host_id, 0);
}
