/* Executable graphs: a clone of the graph that can be run again and again, and changed. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "remote/device_cpu/graph.h"

/* How long a node of a running graph may wait for something outside of it. */
#define WAIT_NS_MAX (UINT64_C(10) * 1000000000)
#define POLL_NS     50000

struct genie_cpu_exec *
genie_cpu_exec_get(CUgraphExec handle)
{
	return genie_cpu_is((void *)handle, GENIE_CPU_EXEC) ? (struct genie_cpu_exec *)handle
							    : NULL;
}

/*
 * A graph runs as one operation: while it does, no other stream does anything, so what it waits
 * for can come only from outside of the device.
 */
static CUresult
wait_for_node(struct genie_cpu_op *op)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};
	uint64_t end = genie_cpu_now() + WAIT_NS_MAX;

	while (!genie_cpu_op_ready(op)) {
		if (genie_cpu_now() > end)
			return CUDA_ERROR_LAUNCH_TIMEOUT;
		nanosleep(&pause, NULL);
	}
	return CUDA_SUCCESS;
}

static CUresult
run_node(const struct genie_cpu_node *node, struct genie_cpu_context *ctx)
{
	struct genie_cpu_op op = node->op; /* borrows what the node's operation owns */
	CUresult status;

	op.ctx = ctx;
	if (op.kind == GENIE_CPU_OP_EVENT_RECORD) {
		op.event.sequence = genie_cpu_event_next(op.event.event);
		genie_cpu_event_recorded(op.event.event, op.event.sequence, 0);
	} else if (op.kind == GENIE_CPU_OP_EVENT_WAIT) {
		op.event.sequence = op.event.event->state->recorded;
	} else if (op.kind == GENIE_CPU_OP_VALUES) {
		op.values.next = 0;
	}
	status = wait_for_node(&op);
	return status == CUDA_SUCCESS ? genie_cpu_op_run(&op) : status;
}

CUresult
genie_cpu_graph_run(struct genie_cpu_graph *graph, struct genie_cpu_context *ctx)
{
	CUresult status = genie_cpu_graph_sort(graph);

	for (size_t i = 0; status == CUDA_SUCCESS && i < graph->count; i++) {
		const struct genie_cpu_node *node = graph->nodes[graph->order[i]];

		if (node->enabled)
			status = run_node(node, ctx);
	}
	return status;
}

static CUresult sort_bodies(const struct genie_cpu_op *op);

/* Sorts the graph and all child graphs in it, so that a launch cannot fail for that. */
static CUresult
sort_all(struct genie_cpu_graph *graph)
{
	CUresult status = genie_cpu_graph_sort(graph);

	for (size_t i = 0; status == CUDA_SUCCESS && i < graph->count; i++)
		if (graph->nodes[i]->op.kind == GENIE_CPU_OP_GRAPH)
			status = sort_all(graph->nodes[i]->op.graph);
		else if (graph->nodes[i]->op.kind == GENIE_CPU_OP_CONDITIONAL)
			status = sort_bodies(&graph->nodes[i]->op);
	return status;
}

static CUresult
sort_bodies(const struct genie_cpu_op *op)
{
	CUresult status = CUDA_SUCCESS;

	for (unsigned int i = 0; status == CUDA_SUCCESS && i < op->conditional.size; i++)
		status = sort_all(op->conditional.bodies[i]);
	return status;
}

static CUresult
cpu_cuGraphInstantiateWithFlags(CUgraphExec *ret_exec, CUgraph handle, unsigned long long flags)
{
	struct genie_cpu_graph *graph = genie_cpu_graph_get(handle);
	struct genie_cpu_exec *exec;
	CUresult status;

	if (!graph || !ret_exec)
		return CUDA_ERROR_INVALID_VALUE;
	if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH &&
	    !genie_cpu_launchable_allows(graph))
		return CUDA_ERROR_NOT_SUPPORTED;
	exec = calloc(1, sizeof(*exec));
	if (!exec)
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = genie_cpu_graph_clone(graph, &exec->graph);
	if (status == CUDA_SUCCESS)
		status = sort_all(exec->graph);
	if (status != CUDA_SUCCESS) {
		genie_cpu_graph_unref(exec->graph);
		free(exec);
		return status;
	}
	exec->magic = GENIE_CPU_EXEC;
	exec->flags = flags;
	if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH)
		genie_cpu_launchable_add(exec);
	if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD)
		genie_cpu_launchable_upload(exec);
	*ret_exec = (CUgraphExec)exec;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphInstantiateWithParams(CUgraphExec *ret_exec, CUgraph graph,
				 CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
	CUresult status;

	if (!params)
		return CUDA_ERROR_INVALID_VALUE;
	status = cpu_cuGraphInstantiateWithFlags(ret_exec, graph, params->flags);
	params->hErrNode_out = NULL;
	params->result_out = CUDA_GRAPH_INSTANTIATE_SUCCESS;
	if (status == CUDA_ERROR_NOT_SUPPORTED)
		params->result_out = CUDA_GRAPH_INSTANTIATE_NODE_OPERATION_NOT_SUPPORTED;
	else if (status != CUDA_SUCCESS)
		params->result_out = CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE;
	return status;
}

static CUresult
cpu_cuGraphInstantiate_v2(CUgraphExec *ret_exec, CUgraph graph, CUgraphNode *error_node, char *log,
			  size_t log_size)
{
	if (error_node)
		*error_node = NULL;
	if (log && log_size)
		log[0] = 0;
	return cpu_cuGraphInstantiateWithFlags(ret_exec, graph, 0);
}

static CUresult
cpu_cuGraphExecDestroy(CUgraphExec handle)
{
	struct genie_cpu_exec *exec = genie_cpu_exec_get(handle);

	if (!exec)
		return CUDA_ERROR_INVALID_VALUE;
	genie_cpu_launchable_remove(exec);
	exec->magic = 0;
	genie_cpu_graph_unref(exec->graph);
	free(exec);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphExecGetFlags(CUgraphExec handle, cuuint64_t *flags)
{
	struct genie_cpu_exec *exec = genie_cpu_exec_get(handle);

	if (!exec || !flags)
		return CUDA_ERROR_INVALID_VALUE;
	*flags = exec->flags;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphUpload(CUgraphExec handle, CUstream stream_handle)
{
	struct genie_cpu_exec *exec = genie_cpu_exec_get(handle);
	struct genie_cpu_stream *stream;
	CUresult status;

	if (!exec)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_cpu_stream_get(stream_handle, &stream);
	if (status == CUDA_SUCCESS)
		genie_cpu_launchable_upload(exec);
	return status;
}

static CUresult
cpu_cuGraphLaunch(CUgraphExec handle, CUstream stream)
{
	struct genie_cpu_exec *exec = genie_cpu_exec_get(handle);
	struct genie_cpu_op op = {.kind = GENIE_CPU_OP_GRAPH};

	if (!exec)
		return CUDA_ERROR_INVALID_VALUE;
	op.graph = exec->graph;
	return genie_cpu_submit(stream, &op);
}

/* ---- changing an executable graph ---- */

/* The clone in @exec of a node of the graph it was made of; NULL: it has none. */
static struct genie_cpu_node *
exec_node(CUgraphExec exec_handle, CUgraphNode handle)
{
	struct genie_cpu_exec *exec = genie_cpu_exec_get(exec_handle);
	struct genie_cpu_node *node = genie_cpu_node_get(handle);
	struct genie_cpu_graph *graph;

	if (!exec || !node)
		return NULL;
	graph = exec->graph;
	/* it has its place still, unless nodes were removed from the graph since */
	if (node->index < graph->count && graph->nodes[node->index]->origin == node->id)
		return graph->nodes[node->index];
	for (size_t i = 0; i < graph->count; i++)
		if (graph->nodes[i]->origin == node->id)
			return graph->nodes[i];
	return NULL;
}

/* Gives the node's clone @op, or passes on why there is none. Releases @op. */
static CUresult
change(CUgraphExec exec, CUgraphNode handle, CUresult made, struct genie_cpu_op *op)
{
	struct genie_cpu_node *node;
	CUresult status = made;

	if (status != CUDA_SUCCESS)
		return status;
	node = exec_node(exec, handle);
	status = node ? genie_cpu_node_replace(node, op) : CUDA_ERROR_INVALID_VALUE;
	genie_cpu_op_release(op);
	return status;
}

static CUresult
cpu_cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
				      const CUDA_KERNEL_NODE_PARAMS *params)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_kernel(&op, params);

	return change(exec, node, made, &op);
}

static CUresult
cpu_cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMCPY3D *params,
				   CUcontext ctx)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_copy(&op, params);

	(void)ctx;
	return change(exec, node, made, &op);
}

static CUresult
cpu_cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node,
				   const CUDA_MEMSET_NODE_PARAMS *params, CUcontext ctx)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_set(&op, params);

	(void)ctx;
	return change(exec, node, made, &op);
}

static CUresult
cpu_cuGraphExecHostNodeSetParams(CUgraphExec exec, CUgraphNode node,
				 const CUDA_HOST_NODE_PARAMS *params)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_host(&op, params);

	return change(exec, node, made, &op);
}

static CUresult
cpu_cuGraphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraph child)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_child(&op, child);

	if (made == CUDA_SUCCESS)
		made = sort_all(op.graph);
	return change(exec, node, made, &op);
}

static CUresult
cpu_cuGraphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_event(&op, GENIE_CPU_OP_EVENT_RECORD, event);

	return change(exec, node, made, &op);
}

static CUresult
cpu_cuGraphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_event(&op, GENIE_CPU_OP_EVENT_WAIT, event);

	return change(exec, node, made, &op);
}

static CUresult
cpu_cuGraphExecBatchMemOpNodeSetParams(CUgraphExec exec, CUgraphNode node,
				       const CUDA_BATCH_MEM_OP_NODE_PARAMS *params)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_values(&op, params);

	return change(exec, node, made, &op);
}

static CUresult
cpu_cuGraphExecNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams *params)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_node(&op, params);

	return change(exec, node, made, &op);
}

static bool
can_be_disabled(const struct genie_cpu_node *node)
{
	return node->op.kind == GENIE_CPU_OP_KERNEL || node->op.kind == GENIE_CPU_OP_COPY ||
	       node->op.kind == GENIE_CPU_OP_SET;
}

static CUresult
cpu_cuGraphNodeSetEnabled(CUgraphExec exec, CUgraphNode handle, unsigned int enabled)
{
	struct genie_cpu_node *node = exec_node(exec, handle);

	if (!node || !can_be_disabled(node))
		return CUDA_ERROR_INVALID_VALUE;
	node->enabled = enabled != 0;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphNodeGetEnabled(CUgraphExec exec, CUgraphNode handle, unsigned int *enabled)
{
	struct genie_cpu_node *node = exec_node(exec, handle);

	if (!node || !enabled || !can_be_disabled(node))
		return CUDA_ERROR_INVALID_VALUE;
	*enabled = node->enabled;
	return CUDA_SUCCESS;
}

static CUgraphExecUpdateResult compare_shapes(const struct genie_cpu_graph *a,
					      const struct genie_cpu_graph *b,
					      const struct genie_cpu_node **ret_node);

/* The graphs in two nodes of one kind. */
static CUgraphExecUpdateResult
compare_inside(const struct genie_cpu_op *a, const struct genie_cpu_op *b)
{
	CUgraphExecUpdateResult result = CU_GRAPH_EXEC_UPDATE_SUCCESS;
	const struct genie_cpu_node *inner;

	if (a->kind == GENIE_CPU_OP_GRAPH)
		return compare_shapes(a->graph, b->graph, &inner);
	if (a->kind != GENIE_CPU_OP_CONDITIONAL)
		return result;
	if (a->conditional.type != b->conditional.type ||
	    a->conditional.size != b->conditional.size)
		return CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
	for (unsigned int i = 0; result == CU_GRAPH_EXEC_UPDATE_SUCCESS && i < a->conditional.size;
	     i++)
		result = compare_shapes(a->conditional.bodies[i], b->conditional.bodies[i], &inner);
	return result;
}

/* Has @b the shape of @a: the same kinds of nodes, in the same order, behind the same ones? */
static CUgraphExecUpdateResult
compare_shapes(const struct genie_cpu_graph *a, const struct genie_cpu_graph *b,
	       const struct genie_cpu_node **ret_node)
{
	*ret_node = NULL;
	if (a->count != b->count)
		return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
	for (size_t i = 0; i < a->count; i++) {
		const struct genie_cpu_node *x = a->nodes[i], *y = b->nodes[i];

		*ret_node = y;
		if (x->op.kind != y->op.kind)
			return CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED;
		if (x->dep_count != y->dep_count)
			return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
		for (size_t k = 0; k < x->dep_count; k++)
			if (x->deps[k].node->index != y->deps[k].node->index)
				return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
		CUgraphExecUpdateResult result = compare_inside(&x->op, &y->op);

		if (result != CU_GRAPH_EXEC_UPDATE_SUCCESS)
			return result;
	}
	*ret_node = NULL;
	return CU_GRAPH_EXEC_UPDATE_SUCCESS;
}

static CUresult
cpu_cuGraphExecUpdate_v2(CUgraphExec exec_handle, CUgraph handle, CUgraphExecUpdateResultInfo *info)
{
	struct genie_cpu_exec *exec = genie_cpu_exec_get(exec_handle);
	struct genie_cpu_graph *graph = genie_cpu_graph_get(handle), *clone;
	const struct genie_cpu_node *culprit;
	CUgraphExecUpdateResult result;
	CUresult status;

	if (!exec || !graph)
		return CUDA_ERROR_INVALID_VALUE;
	result = compare_shapes(exec->graph, graph, &culprit);
	if (info) {
		*info = (CUgraphExecUpdateResultInfo){.result = result};
		info->errorNode = (CUgraphNode)culprit;
	}
	if (result != CU_GRAPH_EXEC_UPDATE_SUCCESS)
		return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
	status = genie_cpu_graph_clone(graph, &clone);
	if (status == CUDA_SUCCESS)
		status = sort_all(clone);
	if (status != CUDA_SUCCESS)
		return status;
	/* programs go on to name nodes of the graph that the executable one was made of */
	for (size_t i = 0; i < clone->count; i++) {
		clone->nodes[i]->origin = exec->graph->nodes[i]->origin;
		clone->nodes[i]->enabled = exec->graph->nodes[i]->enabled;
	}
	genie_cpu_launchable_change(exec, clone);
	return CUDA_SUCCESS;
}

void
genie_cpu_fill_exec(struct genie_driver *drv)
{
	drv->cuGraphInstantiateWithFlags = cpu_cuGraphInstantiateWithFlags;
	drv->cuGraphInstantiateWithParams = cpu_cuGraphInstantiateWithParams;
	drv->cuGraphInstantiate_v2 = cpu_cuGraphInstantiate_v2;
	drv->cuGraphExecDestroy = cpu_cuGraphExecDestroy;
	drv->cuGraphExecGetFlags = cpu_cuGraphExecGetFlags;
	drv->cuGraphUpload = cpu_cuGraphUpload;
	drv->cuGraphLaunch = cpu_cuGraphLaunch;
	drv->cuGraphExecKernelNodeSetParams_v2 = cpu_cuGraphExecKernelNodeSetParams_v2;
	drv->cuGraphExecMemcpyNodeSetParams = cpu_cuGraphExecMemcpyNodeSetParams;
	drv->cuGraphExecMemsetNodeSetParams = cpu_cuGraphExecMemsetNodeSetParams;
	drv->cuGraphExecHostNodeSetParams = cpu_cuGraphExecHostNodeSetParams;
	drv->cuGraphExecChildGraphNodeSetParams = cpu_cuGraphExecChildGraphNodeSetParams;
	drv->cuGraphExecEventRecordNodeSetEvent = cpu_cuGraphExecEventRecordNodeSetEvent;
	drv->cuGraphExecEventWaitNodeSetEvent = cpu_cuGraphExecEventWaitNodeSetEvent;
	drv->cuGraphExecBatchMemOpNodeSetParams = cpu_cuGraphExecBatchMemOpNodeSetParams;
	drv->cuGraphExecNodeSetParams = cpu_cuGraphExecNodeSetParams;
	drv->cuGraphNodeSetEnabled = cpu_cuGraphNodeSetEnabled;
	drv->cuGraphNodeGetEnabled = cpu_cuGraphNodeGetEnabled;
	drv->cuGraphExecUpdate_v2 = cpu_cuGraphExecUpdate_v2;
}
