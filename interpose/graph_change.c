/* Executable graphs changed: nodes with other parameters, switched off, all of them at once. */
#include <stdlib.h>
#include <string.h>

#include "interpose/graph.h"

/* ---- changing one ---- */

/* Is it a node of the graph that @exec was made of, or of a child of that? */
static bool
node_belongs(const struct genie_exec *exec, const struct genie_node *node)
{
	const struct genie_graph *graph = node->graph;

	while (graph->owner)
		graph = graph->owner->graph;
	return exec->graph && graph == exec->graph;
}

static CUresult
exec_set(CUgraphExec exec_handle, CUgraphNode handle, CUresult made, struct genie_payload *payload)
{
	struct genie_garbage *garbage = NULL;
	CUresult status = made;
	struct genie_exec *exec;
	struct genie_node *node;

	if (status != CUDA_SUCCESS)
		return status;
	genie_graph_take();
	exec = genie_exec_get(exec_handle);
	node = genie_node_get(handle);
	if (!exec || !node || !node_belongs(exec, node))
		status = CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS)
		status = genie_node_exec_set_locked(exec, node, payload);
	if (status == CUDA_SUCCESS) {
		garbage = genie_exec_retire_locked(exec, node->object.token);
		status = genie_exec_hold_locked(exec, node->object.token, payload);
		if (status == CUDA_SUCCESS && payload->child)
			status = genie_exec_hold_graph_locked(exec, payload->child);
	}
	genie_payload_fini(payload);
	genie_graph_unlock();
	genie_garbage_submit(garbage);
	return status;
}

CUresult
genie_cuGraphExecKernelNodeSetParams_v2(CUgraphExec hGraphExec, CUgraphNode hNode,
					const CUDA_KERNEL_NODE_PARAMS *nodeParams)
{
	struct genie_payload payload;
	CUresult made = genie_payload_kernel(&payload, nodeParams);

	return exec_set(hGraphExec, hNode, made, &payload);
}

CUresult
genie_cuGraphExecKernelNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
				     const CUDA_KERNEL_NODE_PARAMS_v1 *nodeParams)
{
	CUDA_KERNEL_NODE_PARAMS params = {0};

	if (!nodeParams)
		return CUDA_ERROR_INVALID_VALUE;
	memcpy(&params, nodeParams, sizeof(*nodeParams));
	return genie_cuGraphExecKernelNodeSetParams_v2(hGraphExec, hNode, &params);
}

CUresult
genie_cuGraphExecMemcpyNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
				     const CUDA_MEMCPY3D *copyParams, CUcontext ctx)
{
	struct genie_payload payload;
	CUresult made = genie_payload_copy(&payload, copyParams, ctx);

	return exec_set(hGraphExec, hNode, made, &payload);
}

CUresult
genie_cuGraphExecMemsetNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
				     const CUDA_MEMSET_NODE_PARAMS *memsetParams, CUcontext ctx)
{
	struct genie_payload payload;
	CUresult made = genie_payload_set(&payload, memsetParams, ctx);

	return exec_set(hGraphExec, hNode, made, &payload);
}

CUresult
genie_cuGraphExecHostNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
				   const CUDA_HOST_NODE_PARAMS *nodeParams)
{
	struct genie_payload payload;
	CUresult made = genie_payload_host(&payload, nodeParams);

	return exec_set(hGraphExec, hNode, made, &payload);
}

CUresult
genie_cuGraphExecChildGraphNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
					 CUgraph childGraph)
{
	struct genie_payload payload;
	CUresult made;

	genie_graph_take();
	made = genie_payload_child(&payload, childGraph, CU_GRAPH_CHILD_GRAPH_OWNERSHIP_CLONE);
	genie_graph_unlock();
	return exec_set(hGraphExec, hNode, made, &payload);
}

CUresult
genie_cuGraphExecEventRecordNodeSetEvent(CUgraphExec hGraphExec, CUgraphNode hNode, CUevent event)
{
	struct genie_payload payload;
	CUresult made = genie_payload_event(&payload, CU_GRAPH_NODE_TYPE_EVENT_RECORD, event);

	return exec_set(hGraphExec, hNode, made, &payload);
}

CUresult
genie_cuGraphExecEventWaitNodeSetEvent(CUgraphExec hGraphExec, CUgraphNode hNode, CUevent event)
{
	struct genie_payload payload;
	CUresult made = genie_payload_event(&payload, CU_GRAPH_NODE_TYPE_WAIT_EVENT, event);

	return exec_set(hGraphExec, hNode, made, &payload);
}

CUresult
genie_cuGraphExecBatchMemOpNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
					 const CUDA_BATCH_MEM_OP_NODE_PARAMS *nodeParams)
{
	struct genie_payload payload;
	CUresult made = genie_payload_values(&payload, nodeParams);

	return exec_set(hGraphExec, hNode, made, &payload);
}

CUresult
genie_cuGraphExecNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
			       CUgraphNodeParams *nodeParams)
{
	struct genie_payload payload;
	CUresult made;

	if (!nodeParams)
		return CUDA_ERROR_INVALID_VALUE;
	if ((int)nodeParams->type == CU_GRAPH_NODE_TYPE_GRAPH)
		return genie_cuGraphExecChildGraphNodeSetParams(hGraphExec, hNode,
								nodeParams->graph.graph);
	made = genie_payload_node(&payload, nodeParams);
	return exec_set(hGraphExec, hNode, made, &payload);
}

/* ---- nodes that are switched off ---- */

static bool
can_be_disabled(const struct genie_node *node)
{
	switch ((int)node->payload.params.type) {
	case CU_GRAPH_NODE_TYPE_KERNEL:
	case CU_GRAPH_NODE_TYPE_MEMCPY:
	case CU_GRAPH_NODE_TYPE_MEMSET:
		return true;
	default:
		return false;
	}
}

static size_t
find_disabled(const struct genie_exec *exec, uint64_t token)
{
	size_t i = 0;

	while (i < exec->disabled_count && exec->disabled[i] != token)
		i++;
	return i;
}

static CUresult
remember_enabled(struct genie_exec *exec, uint64_t token, bool enabled)
{
	size_t at = find_disabled(exec, token);
	uint64_t *bigger;

	if (enabled && at < exec->disabled_count)
		exec->disabled[at] = exec->disabled[--exec->disabled_count];
	if (enabled || at < exec->disabled_count)
		return CUDA_SUCCESS;
	bigger = realloc(exec->disabled, (exec->disabled_count + 1) * sizeof(*bigger));
	if (!bigger)
		return CUDA_ERROR_OUT_OF_MEMORY;
	exec->disabled = bigger;
	bigger[exec->disabled_count++] = token;
	return CUDA_SUCCESS;
}

/* Our part of a copy is a host function, which cannot be switched off: it does nothing instead. */
static CUresult
half_enable(const struct genie_exec *exec, const struct genie_node *node,
	    const struct genie_node *half, bool enabled)
{
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_HOST};
	struct genie_args_genieGraphExecSet args = {.exec = genie_exec_handle(exec),
						    .params = &params};
	uint64_t id = node->payload.host_id;

	if (!half)
		return CUDA_SUCCESS;
	for (size_t i = 0; i < exec->hold_count; i++)
		if (exec->holds[i].node == node->object.token && !exec->holds[i].old &&
		    exec->holds[i].kind == GENIE_HOLD_COPY)
			id = genie_host_copy_id(exec->holds[i].copy);
	args.node = genie_node_handle(half);
	params.host.userData = (void *)(uintptr_t)(enabled ? id : 0);
	return genie_call_ctx(GENIE_OP_genieGraphExecSet, &args, genie_ctx_current(), NULL);
}

static CUresult
node_enable_locked(struct genie_exec *exec, const struct genie_node *node, bool enabled)
{
	struct genie_args_cuGraphNodeSetEnabled args = {
		.hGraphExec = genie_exec_handle(exec),
		.hNode = genie_node_handle(node),
		.isEnabled = enabled,
	};
	bool whole =
		node->payload.copy && genie_host_copy_part(node->payload.copy) == GENIE_HOST_ALL;
	CUresult status = remember_enabled(exec, node->object.token, enabled);

	if (status == CUDA_SUCCESS)
		status = half_enable(exec, node, node->before, enabled);
	if (status == CUDA_SUCCESS)
		status = half_enable(exec, node, node->after, enabled);
	if (status != CUDA_SUCCESS)
		return status;
	return whole ? half_enable(exec, node, node, enabled)
		     : genie_call_ctx(GENIE_OP_cuGraphNodeSetEnabled, &args, genie_ctx_current(),
				      NULL);
}

CUresult
genie_cuGraphNodeSetEnabled(CUgraphExec hGraphExec, CUgraphNode hNode, unsigned int isEnabled)
{
	CUresult status = CUDA_ERROR_INVALID_VALUE;
	struct genie_exec *exec;
	struct genie_node *node;

	genie_graph_take();
	exec = genie_exec_get(hGraphExec);
	node = genie_node_get(hNode);
	if (exec && node && node_belongs(exec, node) && can_be_disabled(node))
		status = node_enable_locked(exec, node, isEnabled != 0);
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphNodeGetEnabled(CUgraphExec hGraphExec, CUgraphNode hNode, unsigned int *isEnabled)
{
	CUresult status = CUDA_ERROR_INVALID_VALUE;
	const struct genie_exec *exec;
	const struct genie_node *node;

	genie_graph_take();
	exec = genie_exec_get(hGraphExec);
	node = genie_node_get(hNode);
	if (isEnabled && exec && node && node_belongs(exec, node) && can_be_disabled(node)) {
		*isEnabled = find_disabled(exec, node->object.token) == exec->disabled_count;
		status = CUDA_SUCCESS;
	}
	genie_graph_unlock();
	return status;
}

/* ---- a whole graph in the place of another ---- */

static bool
exec_allocates(const struct genie_exec *exec)
{
	for (size_t i = 0; i < exec->hold_count; i++)
		if (exec->holds[i].kind == GENIE_HOLD_ALLOC ||
		    exec->holds[i].kind == GENIE_HOLD_FREE)
			return true;
	return false;
}

static CUresult
update(CUgraphExec exec_handle, CUgraph handle, CUgraphExecUpdateResultInfo *info)
{
	int result = CU_GRAPH_EXEC_UPDATE_SUCCESS;
	struct genie_args_genieGraphUpdate args = {.graph = handle,
						   .error_node = &info->errorNode,
						   .error_from = &info->errorFromNode,
						   .result = &result};
	struct genie_garbage *garbage = NULL;
	struct genie_graph *graph;
	struct genie_exec *exec;
	CUresult status;

	*info = (CUgraphExecUpdateResultInfo){.result = CU_GRAPH_EXEC_UPDATE_SUCCESS};
	genie_graph_take();
	exec = genie_exec_get(exec_handle);
	graph = genie_graph_get(handle);
	status = exec && graph && !graph->captures && !graph->owner ? CUDA_SUCCESS
								    : CUDA_ERROR_INVALID_VALUE;
	/* memory that graphs allocate cannot change hands */
	if (status == CUDA_SUCCESS && exec->graph != graph &&
	    (graph->memory || exec_allocates(exec))) {
		result = CU_GRAPH_EXEC_UPDATE_ERROR_NOT_SUPPORTED;
		status = CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
	}
	if (status == CUDA_SUCCESS)
		args.exec = genie_exec_handle(exec);
	genie_graph_unlock();
	if (status == CUDA_SUCCESS)
		status = genie_call(GENIE_OP_genieGraphUpdate, &args);
	info->result = (CUgraphExecUpdateResult)result;
	if (status != CUDA_SUCCESS) {
		if (info->result == CU_GRAPH_EXEC_UPDATE_SUCCESS)
			info->result = CU_GRAPH_EXEC_UPDATE_ERROR;
		return status;
	}
	genie_graph_take();
	exec = genie_exec_get(exec_handle);
	graph = genie_graph_get(handle);
	if (exec && graph && !graph->memory) {
		garbage = genie_exec_retire_locked(exec, 0);
		status = genie_exec_hold_graph_locked(exec, graph);
	}
	genie_graph_unlock();
	genie_garbage_submit(garbage);
	return status;
}

CUresult
genie_cuGraphExecUpdate_v2(CUgraphExec hGraphExec, CUgraph hGraph,
			   CUgraphExecUpdateResultInfo *resultInfo)
{
	return resultInfo ? update(hGraphExec, hGraph, resultInfo) : CUDA_ERROR_INVALID_VALUE;
}

CUresult
genie_cuGraphExecUpdate(CUgraphExec hGraphExec, CUgraph hGraph, CUgraphNode *hErrorNode_out,
			CUgraphExecUpdateResult *updateResult_out)
{
	CUgraphExecUpdateResultInfo info;
	CUresult status = update(hGraphExec, hGraph, &info);

	if (hErrorNode_out)
		*hErrorNode_out = info.errorNode;
	if (updateResult_out)
		*updateResult_out = info.result;
	return status;
}
