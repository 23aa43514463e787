/* The entry points for each kind of node: adding one, asking about it, changing it. */
#include <stdlib.h>
#include <string.h>

#include "interpose/ctx.h"
#include "interpose/graph.h"
#include "interpose/refuse.h"

/* ---- adding ---- */

static CUresult
add_locked(CUgraphNode *ret_node, struct genie_graph *graph, const CUgraphNode *dependencies,
	   const CUgraphEdgeData *data, size_t count, struct genie_payload *payload)
{
	struct genie_dep *deps;
	struct genie_node *node;
	CUresult status;

	status = genie_deps_resolve(graph, dependencies, data, count, payload->params.type, &deps);
	if (status != CUDA_SUCCESS) {
		if (payload->child &&
		    payload->params.graph.ownership == CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE)
			payload->child = NULL;
		genie_payload_fini(payload);
		return status;
	}
	status = genie_graph_add_locked(graph, deps, count, payload, &node);
	free(deps);
	if (status == CUDA_SUCCESS)
		*ret_node = genie_node_handle(node);
	return status;
}

/* Adds a node with @payload, or passes on why there is none. */
static CUresult
add(CUgraphNode *ret_node, CUgraph handle, const CUgraphNode *dependencies,
    const CUgraphEdgeData *data, size_t count, CUresult made, struct genie_payload *payload)
{
	struct genie_graph *graph;
	CUresult status = made;

	if (status != CUDA_SUCCESS)
		return status;
	genie_graph_take();
	graph = genie_graph_get(handle);
	if (!graph || !ret_node) {
		genie_payload_fini(payload);
		status = CUDA_ERROR_INVALID_VALUE;
	} else {
		status = add_locked(ret_node, graph, dependencies, data, count, payload);
	}
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphAddKernelNode_v2(CUgraphNode *phGraphNode, CUgraph hGraph,
			      const CUgraphNode *dependencies, size_t numDependencies,
			      const CUDA_KERNEL_NODE_PARAMS *nodeParams)
{
	struct genie_payload payload;
	CUresult made = genie_payload_kernel(&payload, nodeParams);

	return add(phGraphNode, hGraph, dependencies, NULL, numDependencies, made, &payload);
}

/* Parameters of before CUDA 12: without a CUkernel. */
static CUDA_KERNEL_NODE_PARAMS
kernel_params_v1(const CUDA_KERNEL_NODE_PARAMS_v1 *old)
{
	CUDA_KERNEL_NODE_PARAMS params = {0};

	memcpy(&params, old, sizeof(*old));
	return params;
}

CUresult
genie_cuGraphAddKernelNode(CUgraphNode *phGraphNode, CUgraph hGraph,
			   const CUgraphNode *dependencies, size_t numDependencies,
			   const CUDA_KERNEL_NODE_PARAMS_v1 *nodeParams)
{
	CUDA_KERNEL_NODE_PARAMS params;

	if (!nodeParams)
		return CUDA_ERROR_INVALID_VALUE;
	params = kernel_params_v1(nodeParams);
	return genie_cuGraphAddKernelNode_v2(phGraphNode, hGraph, dependencies, numDependencies,
					     &params);
}

CUresult
genie_cuGraphAddMemcpyNode(CUgraphNode *phGraphNode, CUgraph hGraph,
			   const CUgraphNode *dependencies, size_t numDependencies,
			   const CUDA_MEMCPY3D *copyParams, CUcontext ctx)
{
	struct genie_payload payload;
	CUresult made = genie_payload_copy(&payload, copyParams, ctx);

	return add(phGraphNode, hGraph, dependencies, NULL, numDependencies, made, &payload);
}

CUresult
genie_cuGraphAddMemsetNode(CUgraphNode *phGraphNode, CUgraph hGraph,
			   const CUgraphNode *dependencies, size_t numDependencies,
			   const CUDA_MEMSET_NODE_PARAMS *memsetParams, CUcontext ctx)
{
	struct genie_payload payload;
	CUresult made = genie_payload_set(&payload, memsetParams, ctx);

	return add(phGraphNode, hGraph, dependencies, NULL, numDependencies, made, &payload);
}

CUresult
genie_cuGraphAddHostNode(CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies,
			 size_t numDependencies, const CUDA_HOST_NODE_PARAMS *nodeParams)
{
	struct genie_payload payload;
	CUresult made = genie_payload_host(&payload, nodeParams);

	return add(phGraphNode, hGraph, dependencies, NULL, numDependencies, made, &payload);
}

/* The graph that @graph is in, or is itself. */
static const struct genie_graph *
root_of(const struct genie_graph *graph)
{
	while (graph->owner)
		graph = graph->owner->graph;
	return graph;
}

static CUresult
add_child(CUgraphNode *ret_node, CUgraph handle, const CUgraphNode *dependencies,
	  const CUgraphEdgeData *data, size_t count, CUgraph child,
	  CUgraphChildGraphNodeOwnership ownership)
{
	struct genie_payload payload;
	struct genie_graph *graph;
	CUresult status;

	genie_graph_take();
	graph = genie_graph_get(handle);
	status = graph && ret_node ? genie_payload_child(&payload, child, ownership)
				   : CUDA_ERROR_INVALID_VALUE;
	/* no graph goes into itself; nothing was made yet */
	if (status == CUDA_SUCCESS && ownership == CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE &&
	    root_of(graph) == genie_graph_get(child))
		status = CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS)
		status = add_locked(ret_node, graph, dependencies, data, count, &payload);
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphAddChildGraphNode(CUgraphNode *phGraphNode, CUgraph hGraph,
			       const CUgraphNode *dependencies, size_t numDependencies,
			       CUgraph childGraph)
{
	return add_child(phGraphNode, hGraph, dependencies, NULL, numDependencies, childGraph,
			 CU_GRAPH_CHILD_GRAPH_OWNERSHIP_CLONE);
}

CUresult
genie_cuGraphAddEmptyNode(CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies,
			  size_t numDependencies)
{
	struct genie_payload payload = {.params.type = CU_GRAPH_NODE_TYPE_EMPTY};

	return add(phGraphNode, hGraph, dependencies, NULL, numDependencies, CUDA_SUCCESS,
		   &payload);
}

CUresult
genie_cuGraphAddEventRecordNode(CUgraphNode *phGraphNode, CUgraph hGraph,
				const CUgraphNode *dependencies, size_t numDependencies,
				CUevent event)
{
	struct genie_payload payload;
	CUresult made = genie_payload_event(&payload, CU_GRAPH_NODE_TYPE_EVENT_RECORD, event);

	return add(phGraphNode, hGraph, dependencies, NULL, numDependencies, made, &payload);
}

CUresult
genie_cuGraphAddEventWaitNode(CUgraphNode *phGraphNode, CUgraph hGraph,
			      const CUgraphNode *dependencies, size_t numDependencies,
			      CUevent event)
{
	struct genie_payload payload;
	CUresult made = genie_payload_event(&payload, CU_GRAPH_NODE_TYPE_WAIT_EVENT, event);

	return add(phGraphNode, hGraph, dependencies, NULL, numDependencies, made, &payload);
}

CUresult
genie_cuGraphAddBatchMemOpNode(CUgraphNode *phGraphNode, CUgraph hGraph,
			       const CUgraphNode *dependencies, size_t numDependencies,
			       const CUDA_BATCH_MEM_OP_NODE_PARAMS *nodeParams)
{
	struct genie_payload payload;
	CUresult made = genie_payload_values(&payload, nodeParams);

	return add(phGraphNode, hGraph, dependencies, NULL, numDependencies, made, &payload);
}

static CUresult
add_alloc(CUgraphNode *ret_node, CUgraph handle, const CUgraphNode *dependencies,
	  const CUgraphEdgeData *data, size_t count, CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
	struct genie_ctx *ctx = genie_ctx_default();
	struct genie_payload payload;
	struct genie_graph *graph;
	CUresult status;

	if (!ctx || !ret_node || !params)
		return CUDA_ERROR_INVALID_VALUE;
	genie_graph_take();
	graph = genie_graph_get(handle);
	status = graph ? genie_graph_alloc_new_locked(graph, ctx, params, &payload)
		       : CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS)
		status = add_locked(ret_node, graph, dependencies, data, count, &payload);
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphAddMemAllocNode(CUgraphNode *phGraphNode, CUgraph hGraph,
			     const CUgraphNode *dependencies, size_t numDependencies,
			     CUDA_MEM_ALLOC_NODE_PARAMS *nodeParams)
{
	return add_alloc(phGraphNode, hGraph, dependencies, NULL, numDependencies, nodeParams);
}

static CUresult
add_free(CUgraphNode *ret_node, CUgraph handle, const CUgraphNode *dependencies,
	 const CUgraphEdgeData *data, size_t count, CUdeviceptr addr)
{
	struct genie_payload payload;
	struct genie_graph *graph;
	CUresult status;

	genie_graph_take();
	graph = genie_graph_get(handle);
	status = graph && ret_node ? genie_graph_alloc_free_locked(graph, addr, &payload)
				   : CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS) {
		status = add_locked(ret_node, graph, dependencies, data, count, &payload);
		if (status != CUDA_SUCCESS)
			genie_graph_alloc_unclaim_locked(graph, addr);
	}
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphAddMemFreeNode(CUgraphNode *phGraphNode, CUgraph hGraph,
			    const CUgraphNode *dependencies, size_t numDependencies,
			    CUdeviceptr dptr)
{
	return add_free(phGraphNode, hGraph, dependencies, NULL, numDependencies, dptr);
}

/* ---- conditional nodes ---- */

CUresult
genie_cuGraphConditionalHandleCreate(CUgraphConditionalHandle *pHandle_out, CUgraph hGraph,
				     CUcontext ctx, unsigned int defaultLaunchValue,
				     unsigned int flags)
{
	struct genie_args_cuGraphConditionalHandleCreate args = {
		.pHandle_out = pHandle_out,
		.hGraph = hGraph,
		.defaultLaunchValue = defaultLaunchValue,
		.flags = flags,
	};
	struct genie_graph *graph;

	if (!pHandle_out || !genie_ctx_get(ctx) ||
	    flags & ~(unsigned int)CU_GRAPH_COND_ASSIGN_DEFAULT)
		return CUDA_ERROR_INVALID_VALUE;
	genie_graph_take();
	graph = genie_graph_get(hGraph);
	if (graph)
		genie_graph_contains_locked(graph, false, true);
	genie_graph_unlock();
	if (!graph)
		return CUDA_ERROR_INVALID_VALUE;
	args.ctx = genie_ctx_handle(genie_ctx_get(ctx));
	/* Kernels are passed the handle: it is the device's own, so somebody has to ask. */
	return genie_call(GENIE_OP_cuGraphConditionalHandleCreate, &args);
}

static bool
conditional_valid(const CUDA_CONDITIONAL_NODE_PARAMS *params)
{
	switch ((int)params->type) {
	case CU_GRAPH_COND_TYPE_IF:
		return params->size == 1 || params->size == 2;
	case CU_GRAPH_COND_TYPE_WHILE:
		return params->size == 1;
	case CU_GRAPH_COND_TYPE_SWITCH:
		return params->size >= 1 && params->size <= 1024;
	default:
		return false;
	}
}

static CUresult
payload_conditional_locked(struct genie_payload *payload,
			   const CUDA_CONDITIONAL_NODE_PARAMS *params)
{
	*payload = (struct genie_payload){.params.type = CU_GRAPH_NODE_TYPE_CONDITIONAL};
	payload->params.conditional = *params;
	payload->ctx = genie_ctx_get(params->ctx);
	if (!payload->ctx)
		return CUDA_ERROR_INVALID_VALUE;
	payload->params.conditional.ctx = genie_ctx_handle(payload->ctx);
	payload->bodies = calloc(params->size, sizeof(*payload->bodies));
	/* the array that the program may look at as long as the node is there */
	payload->size = 0;
	payload->data = calloc(params->size, sizeof(CUgraph));
	if (!payload->bodies || !payload->data) {
		free(payload->bodies);
		payload->bodies = NULL;
		genie_payload_fini(payload);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	for (unsigned int i = 0; i < params->size; i++) {
		payload->bodies[i] = genie_graph_new_locked();
		if (!payload->bodies[i]) {
			genie_payload_fini(payload);
			return CUDA_ERROR_OUT_OF_MEMORY;
		}
		((CUgraph *)payload->data)[i] = genie_graph_handle(payload->bodies[i]);
	}
	payload->params.conditional.phGraph_out = payload->data;
	return CUDA_SUCCESS;
}

static CUresult
add_conditional(CUgraphNode *ret_node, CUgraph handle, const CUgraphNode *dependencies,
		const CUgraphEdgeData *data, size_t count, CUDA_CONDITIONAL_NODE_PARAMS *params)
{
	struct genie_payload payload;
	struct genie_graph *graph;
	CUgraph *bodies;
	CUresult status;

	if (!conditional_valid(params))
		return CUDA_ERROR_INVALID_VALUE;
	genie_graph_take();
	graph = genie_graph_get(handle);
	status = graph && ret_node ? payload_conditional_locked(&payload, params)
				   : CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS) {
		bodies = payload.data;
		status = add_locked(ret_node, graph, dependencies, data, count, &payload);
		if (status == CUDA_SUCCESS)
			params->phGraph_out = bodies;
	}
	genie_graph_unlock();
	return status;
}

/* ---- any kind ---- */

CUresult
genie_cuGraphAddNode_v2(CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies,
			const CUgraphEdgeData *dependencyData, size_t numDependencies,
			CUgraphNodeParams *nodeParams)
{
	struct genie_payload payload;
	CUDA_MEM_ALLOC_NODE_PARAMS alloc;
	CUresult status;

	if (!nodeParams)
		return CUDA_ERROR_INVALID_VALUE;
	switch ((int)nodeParams->type) {
	case CU_GRAPH_NODE_TYPE_GRAPH:
		return add_child(phGraphNode, hGraph, dependencies, dependencyData, numDependencies,
				 nodeParams->graph.graph, nodeParams->graph.ownership);
	case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
		memcpy(&alloc, &nodeParams->alloc, sizeof(alloc));
		status = add_alloc(phGraphNode, hGraph, dependencies, dependencyData,
				   numDependencies, &alloc);
		nodeParams->alloc.dptr = alloc.dptr;
		return status;
	case CU_GRAPH_NODE_TYPE_MEM_FREE:
		return add_free(phGraphNode, hGraph, dependencies, dependencyData, numDependencies,
				nodeParams->free.dptr);
	case CU_GRAPH_NODE_TYPE_CONDITIONAL:
		return add_conditional(phGraphNode, hGraph, dependencies, dependencyData,
				       numDependencies, &nodeParams->conditional);
	default:
		status = genie_payload_node(&payload, nodeParams);
		return add(phGraphNode, hGraph, dependencies, dependencyData, numDependencies,
			   status, &payload);
	}
}

CUresult
genie_cuGraphAddNode(CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies,
		     size_t numDependencies, CUgraphNodeParams *nodeParams)
{
	return genie_cuGraphAddNode_v2(phGraphNode, hGraph, dependencies, NULL, numDependencies,
				       nodeParams);
}

/* ---- changing ---- */

/* Gives the node @payload, or passes on why there is none. */
static CUresult
change(CUgraphNode handle, CUresult made, struct genie_payload *payload)
{
	struct genie_node *node;
	CUresult status = made;

	if (status != CUDA_SUCCESS)
		return status;
	genie_graph_take();
	node = genie_node_get(handle);
	if (node) {
		status = genie_node_change_locked(node, payload);
	} else {
		genie_payload_fini(payload);
		status = CUDA_ERROR_INVALID_VALUE;
	}
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphKernelNodeSetParams_v2(CUgraphNode hNode, const CUDA_KERNEL_NODE_PARAMS *nodeParams)
{
	struct genie_payload payload;
	CUresult made = genie_payload_kernel(&payload, nodeParams);

	return change(hNode, made, &payload);
}

CUresult
genie_cuGraphKernelNodeSetParams(CUgraphNode hNode, const CUDA_KERNEL_NODE_PARAMS_v1 *nodeParams)
{
	CUDA_KERNEL_NODE_PARAMS params;

	if (!nodeParams)
		return CUDA_ERROR_INVALID_VALUE;
	params = kernel_params_v1(nodeParams);
	return genie_cuGraphKernelNodeSetParams_v2(hNode, &params);
}

/* The context that a node was given; NULL: the current one. */
static CUcontext
node_ctx(CUgraphNode handle)
{
	struct genie_node *node;
	CUcontext ctx = NULL;

	genie_graph_take();
	node = genie_node_get(handle);
	if (node && node->payload.ctx)
		ctx = genie_ctx_handle(node->payload.ctx);
	genie_graph_unlock();
	return ctx;
}

CUresult
genie_cuGraphMemcpyNodeSetParams(CUgraphNode hNode, const CUDA_MEMCPY3D *nodeParams)
{
	struct genie_payload payload;
	CUresult made = genie_payload_copy(&payload, nodeParams, node_ctx(hNode));

	return change(hNode, made, &payload);
}

CUresult
genie_cuGraphMemsetNodeSetParams(CUgraphNode hNode, const CUDA_MEMSET_NODE_PARAMS *nodeParams)
{
	struct genie_payload payload;
	CUresult made = genie_payload_set(&payload, nodeParams, node_ctx(hNode));

	return change(hNode, made, &payload);
}

CUresult
genie_cuGraphHostNodeSetParams(CUgraphNode hNode, const CUDA_HOST_NODE_PARAMS *nodeParams)
{
	struct genie_payload payload;
	CUresult made = genie_payload_host(&payload, nodeParams);

	return change(hNode, made, &payload);
}

CUresult
genie_cuGraphEventRecordNodeSetEvent(CUgraphNode hNode, CUevent event)
{
	struct genie_payload payload;
	CUresult made = genie_payload_event(&payload, CU_GRAPH_NODE_TYPE_EVENT_RECORD, event);

	return change(hNode, made, &payload);
}

CUresult
genie_cuGraphEventWaitNodeSetEvent(CUgraphNode hNode, CUevent event)
{
	struct genie_payload payload;
	CUresult made = genie_payload_event(&payload, CU_GRAPH_NODE_TYPE_WAIT_EVENT, event);

	return change(hNode, made, &payload);
}

CUresult
genie_cuGraphBatchMemOpNodeSetParams(CUgraphNode hNode,
				     const CUDA_BATCH_MEM_OP_NODE_PARAMS *nodeParams)
{
	struct genie_payload payload;
	CUresult made = genie_payload_values(&payload, nodeParams);

	return change(hNode, made, &payload);
}

CUresult
genie_cuGraphNodeSetParams(CUgraphNode hNode, CUgraphNodeParams *nodeParams)
{
	struct genie_payload payload;
	CUresult made;

	if (!nodeParams || (int)nodeParams->type == CU_GRAPH_NODE_TYPE_GRAPH)
		return CUDA_ERROR_INVALID_VALUE;
	made = genie_payload_node(&payload, nodeParams);
	return change(hNode, made, &payload);
}

/* ---- attributes of kernels ---- */

static bool
attr_valid(CUlaunchAttributeID id)
{
	switch ((int)id) {
	case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
	case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
	case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
	case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
	case CU_LAUNCH_ATTRIBUTE_PRIORITY:
	case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
	case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
	case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
	case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
		return true;
	default:
		return false;
	}
}

bool
genie_node_attr_valid(CUlaunchAttributeID id)
{
	return attr_valid(id);
}

static struct genie_node *
kernel_node(CUgraphNode handle)
{
	struct genie_node *node = genie_node_get(handle);

	return node && node->payload.params.type == CU_GRAPH_NODE_TYPE_KERNEL && !node->opaque
		       ? node
		       : NULL;
}

static CUresult
attr_set_locked(struct genie_node *node, const CUlaunchAttribute *attr)
{
	struct genie_args_genieGraphNodeAttribute args = {.node = genie_node_handle(node),
							  .attr = attr};
	CUresult status = genie_payload_attr(&node->payload, attr);

	return status == CUDA_SUCCESS ? genie_call_ctx(GENIE_OP_genieGraphNodeAttribute, &args,
						       node->payload.ctx, NULL)
				      : status;
}

CUresult
genie_cuGraphKernelNodeSetAttribute(CUgraphNode hNode, CUkernelNodeAttrID attr,
				    const CUkernelNodeAttrValue *value)
{
	CUlaunchAttribute full = {.id = attr};
	struct genie_node *node;
	CUresult status;

	if (!value || !attr_valid(attr))
		return CUDA_ERROR_INVALID_VALUE;
	full.value = *value;
	genie_graph_take();
	node = kernel_node(hNode);
	status = node ? attr_set_locked(node, &full) : CUDA_ERROR_INVALID_VALUE;
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphKernelNodeGetAttribute(CUgraphNode hNode, CUkernelNodeAttrID attr,
				    CUkernelNodeAttrValue *value_out)
{
	const struct genie_node *node;
	CUresult status = CUDA_SUCCESS;

	if (!value_out || !attr_valid(attr))
		return CUDA_ERROR_INVALID_VALUE;
	genie_graph_take();
	node = kernel_node(hNode);
	if (node) {
		*value_out = (CUkernelNodeAttrValue){0};
		/* the one default that is not zero */
		if ((int)attr == CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP)
			value_out->memSyncDomainMap.remote = 1;
		for (unsigned int i = 0; i < node->payload.attr_count; i++)
			if (node->payload.attrs[i].id == attr)
				*value_out = node->payload.attrs[i].value;
	} else {
		status = CUDA_ERROR_INVALID_VALUE;
	}
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphKernelNodeCopyAttributes(CUgraphNode dst, CUgraphNode src)
{
	struct genie_node *to, *from;
	CUresult status = CUDA_SUCCESS;

	genie_graph_take();
	to = kernel_node(dst);
	from = kernel_node(src);
	if (!to || !from || to->payload.ctx != from->payload.ctx)
		status = CUDA_ERROR_INVALID_VALUE;
	for (unsigned int i = 0;
	     status == CUDA_SUCCESS && i < from->payload.attr_count && to != from; i++)
		status = attr_set_locked(to, &from->payload.attrs[i]);
	genie_graph_unlock();
	return status;
}
