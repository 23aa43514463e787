/* What nodes do: CUDA's structs to operations and back. */
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/graph.h"

CUresult
genie_cpu_op_from_kernel(struct genie_cpu_op *ret_op, const CUDA_KERNEL_NODE_PARAMS *params)
{
	struct genie_cpu_op op = {.kind = GENIE_CPU_OP_KERNEL};
	struct genie_cpu_function *function;
	CUresult status;

	if (!params)
		return CUDA_ERROR_INVALID_VALUE;
	function = genie_cpu_function_get(params->func);
	if (!function)
		return CUDA_ERROR_INVALID_VALUE;
	op.kernel = (struct genie_cpu_kernel_op){
		.function = function,
		.grid = {params->gridDimX, params->gridDimY, params->gridDimZ},
		.block = {params->blockDimX, params->blockDimY, params->blockDimZ},
		.shared = params->sharedMemBytes,
	};
	genie_cpu_kernel_cluster(&op.kernel);
	status = genie_cpu_kernel_check(NULL, &op.kernel);
	if (status == CUDA_SUCCESS)
		status = genie_cpu_params_pack(function, params->kernelParams, params->extra,
					       &op.kernel.params, &op.kernel.params_size);
	if (status == CUDA_SUCCESS)
		*ret_op = op;
	return status;
}

CUresult
genie_cpu_op_from_copy(struct genie_cpu_op *ret_op, const CUDA_MEMCPY3D *params)
{
	if (!params)
		return CUDA_ERROR_INVALID_VALUE;
	*ret_op = (struct genie_cpu_op){.kind = GENIE_CPU_OP_COPY, .copy = *params};
	return genie_cpu_copy_check(params);
}

CUresult
genie_cpu_op_from_set(struct genie_cpu_op *ret_op, const CUDA_MEMSET_NODE_PARAMS *params)
{
	if (!params)
		return CUDA_ERROR_INVALID_VALUE;
	*ret_op = (struct genie_cpu_op){.kind = GENIE_CPU_OP_SET, .set = *params};
	return genie_cpu_set_check(params);
}

CUresult
genie_cpu_op_from_host(struct genie_cpu_op *ret_op, const CUDA_HOST_NODE_PARAMS *params)
{
	if (!params || !params->fn)
		return CUDA_ERROR_INVALID_VALUE;
	*ret_op = (struct genie_cpu_op){.kind = GENIE_CPU_OP_HOST};
	ret_op->host.fn = params->fn;
	ret_op->host.data = params->userData;
	return CUDA_SUCCESS;
}

CUresult
genie_cpu_op_from_child(struct genie_cpu_op *ret_op, CUgraph child)
{
	struct genie_cpu_graph *graph = genie_cpu_graph_get(child);

	if (!graph)
		return CUDA_ERROR_INVALID_VALUE;
	*ret_op = (struct genie_cpu_op){.kind = GENIE_CPU_OP_GRAPH, .graph = graph};
	return CUDA_SUCCESS;
}

CUresult
genie_cpu_op_from_event(struct genie_cpu_op *ret_op, enum genie_cpu_op_kind kind, CUevent event)
{
	if (!genie_cpu_is((void *)event, GENIE_CPU_EVENT))
		return CUDA_ERROR_INVALID_HANDLE;
	*ret_op = (struct genie_cpu_op){.kind = kind};
	ret_op->event.event = (struct genie_cpu_event *)event;
	return CUDA_SUCCESS;
}

CUresult
genie_cpu_op_from_values(struct genie_cpu_op *ret_op, const CUDA_BATCH_MEM_OP_NODE_PARAMS *params)
{
	if (!params || (params->count && !params->paramArray))
		return CUDA_ERROR_INVALID_VALUE;
	*ret_op = (struct genie_cpu_op){.kind = GENIE_CPU_OP_VALUES};
	ret_op->values.list = params->paramArray;
	ret_op->values.count = params->count;
	return genie_cpu_values_check(ret_op);
}

CUresult
genie_cpu_op_from_node(struct genie_cpu_op *ret_op, const CUgraphNodeParams *params)
{
	CUDA_KERNEL_NODE_PARAMS kernel;
	CUDA_MEMSET_NODE_PARAMS set;
	CUDA_HOST_NODE_PARAMS host;
	CUDA_BATCH_MEM_OP_NODE_PARAMS values;

	if (!params)
		return CUDA_ERROR_INVALID_VALUE;
	switch ((int)params->type) {
	case CU_GRAPH_NODE_TYPE_KERNEL:
		/* the newer structs begin with the older ones */
		memcpy(&kernel, &params->kernel, sizeof(kernel));
		return genie_cpu_op_from_kernel(ret_op, &kernel);
	case CU_GRAPH_NODE_TYPE_MEMCPY:
		return genie_cpu_op_from_copy(ret_op, &params->memcpy.copyParams);
	case CU_GRAPH_NODE_TYPE_MEMSET:
		memcpy(&set, &params->memset, sizeof(set));
		return genie_cpu_op_from_set(ret_op, &set);
	case CU_GRAPH_NODE_TYPE_HOST:
		memcpy(&host, &params->host, sizeof(host));
		return genie_cpu_op_from_host(ret_op, &host);
	case CU_GRAPH_NODE_TYPE_GRAPH:
		return genie_cpu_op_from_child(ret_op, params->graph.graph);
	case CU_GRAPH_NODE_TYPE_EMPTY:
		*ret_op = (struct genie_cpu_op){.kind = GENIE_CPU_OP_EMPTY};
		return CUDA_SUCCESS;
	case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
		return genie_cpu_op_from_event(ret_op, GENIE_CPU_OP_EVENT_WAIT,
					       params->eventWait.event);
	case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
		return genie_cpu_op_from_event(ret_op, GENIE_CPU_OP_EVENT_RECORD,
					       params->eventRecord.event);
	case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
		memcpy(&values, &params->memOp, sizeof(values));
		return genie_cpu_op_from_values(ret_op, &values);
	case CU_GRAPH_NODE_TYPE_CONDITIONAL:
		return genie_cpu_op_from_conditional(ret_op, &params->conditional);
	default:
		return CUDA_ERROR_NOT_SUPPORTED;
	}
}

void
genie_cpu_op_release(struct genie_cpu_op *op)
{
	if (op->kind == GENIE_CPU_OP_CONDITIONAL)
		genie_cpu_conditional_fini(op);
	if (op->kind == GENIE_CPU_OP_KERNEL)
		free(op->kernel.params);
	*op = (struct genie_cpu_op){.kind = GENIE_CPU_OP_EMPTY};
}

/* ---- adding ---- */

/* Adds a node for @op, or passes on why there is none. Releases @op. */
static CUresult
add(CUgraphNode *ret_node, CUgraph handle, const CUgraphNode *deps, const CUgraphEdgeData *data,
    size_t dep_count, CUresult made, struct genie_cpu_op *op)
{
	struct genie_cpu_graph *graph = genie_cpu_graph_get(handle);
	struct genie_cpu_node *node;
	CUresult status = made;

	if (status != CUDA_SUCCESS)
		return status;
	if (!graph || !ret_node)
		status = CUDA_ERROR_INVALID_VALUE;
	else
		status = genie_cpu_graph_add(graph, op, (struct genie_cpu_node *const *)deps, data,
					     dep_count, &node);
	genie_cpu_op_release(op);
	if (status == CUDA_SUCCESS)
		*ret_node = (CUgraphNode)node;
	return status;
}

static CUresult
cpu_cuGraphAddKernelNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *deps, size_t count,
			    const CUDA_KERNEL_NODE_PARAMS *params)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_kernel(&op, params);

	return add(node, graph, deps, NULL, count, made, &op);
}

static CUresult
cpu_cuGraphAddMemcpyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *deps, size_t count,
			 const CUDA_MEMCPY3D *params, CUcontext ctx)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_copy(&op, params);

	(void)ctx;
	return add(node, graph, deps, NULL, count, made, &op);
}

static CUresult
cpu_cuGraphAddMemsetNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *deps, size_t count,
			 const CUDA_MEMSET_NODE_PARAMS *params, CUcontext ctx)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_set(&op, params);

	(void)ctx;
	return add(node, graph, deps, NULL, count, made, &op);
}

static CUresult
cpu_cuGraphAddHostNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *deps, size_t count,
		       const CUDA_HOST_NODE_PARAMS *params)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_host(&op, params);

	return add(node, graph, deps, NULL, count, made, &op);
}

static CUresult
cpu_cuGraphAddChildGraphNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *deps,
			     size_t count, CUgraph child)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_child(&op, child);

	return add(node, graph, deps, NULL, count, made, &op);
}

static CUresult
cpu_cuGraphAddEmptyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *deps, size_t count)
{
	struct genie_cpu_op op = {.kind = GENIE_CPU_OP_EMPTY};

	return add(node, graph, deps, NULL, count, CUDA_SUCCESS, &op);
}

static CUresult
cpu_cuGraphAddEventRecordNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *deps,
			      size_t count, CUevent event)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_event(&op, GENIE_CPU_OP_EVENT_RECORD, event);

	return add(node, graph, deps, NULL, count, made, &op);
}

static CUresult
cpu_cuGraphAddEventWaitNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *deps, size_t count,
			    CUevent event)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_event(&op, GENIE_CPU_OP_EVENT_WAIT, event);

	return add(node, graph, deps, NULL, count, made, &op);
}

static CUresult
cpu_cuGraphAddBatchMemOpNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *deps,
			     size_t count, const CUDA_BATCH_MEM_OP_NODE_PARAMS *params)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_values(&op, params);

	return add(node, graph, deps, NULL, count, made, &op);
}

static CUresult
cpu_cuGraphAddNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *deps,
		      const CUgraphEdgeData *data, size_t count, CUgraphNodeParams *params)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_node(&op, params);
	CUresult status = add(node, graph, deps, data, count, made, &op);

	if (status == CUDA_SUCCESS && params->type == CU_GRAPH_NODE_TYPE_GRAPH &&
	    params->graph.ownership == CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE)
		genie_cpu_node_take_child(genie_cpu_node_get(*node),
					  genie_cpu_graph_get(params->graph.graph));
	/* the array of bodies is the node's own */
	if (status == CUDA_SUCCESS && params->type == CU_GRAPH_NODE_TYPE_CONDITIONAL)
		params->conditional.phGraph_out =
			(CUgraph *)genie_cpu_node_get(*node)->op.conditional.bodies;
	return status;
}

static CUresult
cpu_cuGraphAddNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *deps, size_t count,
		   CUgraphNodeParams *params)
{
	return cpu_cuGraphAddNode_v2(node, graph, deps, NULL, count, params);
}

/* ---- asking ---- */

/* The node, if it is of that kind. */
static struct genie_cpu_node *
get_kind(CUgraphNode handle, enum genie_cpu_op_kind kind)
{
	struct genie_cpu_node *node = genie_cpu_node_get(handle);

	return node && node->op.kind == kind ? node : NULL;
}

/* The node's parameters one by one, as pointers into its buffer that stay while the node does. */
static CUresult
param_pointers(struct genie_cpu_node *node)
{
	const struct genie_cpu_function *function = node->op.kernel.function;
	uint32_t count = function->info.param_count, offset, size;
	void **pointers = calloc(count ? count : 1, sizeof(*pointers));

	if (!pointers)
		return CUDA_ERROR_OUT_OF_MEMORY;
	for (uint32_t i = 0; i < count; i++)
		if (ptx_kernel_param(function->kernel, i, &offset, &size) == 0)
			pointers[i] = (uint8_t *)node->op.kernel.params + offset;
	free(node->param_pointers);
	node->param_pointers = pointers;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphKernelNodeGetParams_v2(CUgraphNode handle, CUDA_KERNEL_NODE_PARAMS *params)
{
	struct genie_cpu_node *node = get_kind(handle, GENIE_CPU_OP_KERNEL);
	const struct genie_cpu_kernel_op *kernel;
	CUresult status;

	if (!node || !params)
		return CUDA_ERROR_INVALID_VALUE;
	status = param_pointers(node);
	if (status != CUDA_SUCCESS)
		return status;
	kernel = &node->op.kernel;
	*params = (CUDA_KERNEL_NODE_PARAMS){
		.func = (CUfunction)kernel->function,
		.gridDimX = kernel->grid[0],
		.gridDimY = kernel->grid[1],
		.gridDimZ = kernel->grid[2],
		.blockDimX = kernel->block[0],
		.blockDimY = kernel->block[1],
		.blockDimZ = kernel->block[2],
		.sharedMemBytes = kernel->shared,
		.kernelParams = node->param_pointers,
		.ctx = (CUcontext)node->op.ctx,
	};
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphMemcpyNodeGetParams(CUgraphNode handle, CUDA_MEMCPY3D *params)
{
	struct genie_cpu_node *node = get_kind(handle, GENIE_CPU_OP_COPY);

	if (!node || !params)
		return CUDA_ERROR_INVALID_VALUE;
	*params = node->op.copy;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphMemsetNodeGetParams(CUgraphNode handle, CUDA_MEMSET_NODE_PARAMS *params)
{
	struct genie_cpu_node *node = get_kind(handle, GENIE_CPU_OP_SET);

	if (!node || !params)
		return CUDA_ERROR_INVALID_VALUE;
	*params = node->op.set;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphHostNodeGetParams(CUgraphNode handle, CUDA_HOST_NODE_PARAMS *params)
{
	struct genie_cpu_node *node = get_kind(handle, GENIE_CPU_OP_HOST);

	if (!node || !params)
		return CUDA_ERROR_INVALID_VALUE;
	params->fn = node->op.host.fn;
	params->userData = node->op.host.data;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphChildGraphNodeGetGraph(CUgraphNode handle, CUgraph *graph)
{
	struct genie_cpu_node *node = get_kind(handle, GENIE_CPU_OP_GRAPH);

	if (!node || !graph)
		return CUDA_ERROR_INVALID_VALUE;
	*graph = (CUgraph)node->op.graph;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphEventRecordNodeGetEvent(CUgraphNode handle, CUevent *event)
{
	struct genie_cpu_node *node = get_kind(handle, GENIE_CPU_OP_EVENT_RECORD);

	if (!node || !event)
		return CUDA_ERROR_INVALID_VALUE;
	*event = (CUevent)node->op.event.event;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphEventWaitNodeGetEvent(CUgraphNode handle, CUevent *event)
{
	struct genie_cpu_node *node = get_kind(handle, GENIE_CPU_OP_EVENT_WAIT);

	if (!node || !event)
		return CUDA_ERROR_INVALID_VALUE;
	*event = (CUevent)node->op.event.event;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphBatchMemOpNodeGetParams(CUgraphNode handle, CUDA_BATCH_MEM_OP_NODE_PARAMS *params)
{
	struct genie_cpu_node *node = get_kind(handle, GENIE_CPU_OP_VALUES);

	if (!node || !params)
		return CUDA_ERROR_INVALID_VALUE;
	*params = (CUDA_BATCH_MEM_OP_NODE_PARAMS){
		.ctx = (CUcontext)node->op.ctx,
		.count = node->op.values.count,
		.paramArray = node->op.values.list,
	};
	return CUDA_SUCCESS;
}

/* ---- changing ---- */

/* Gives the node @op, or passes on why there is none. Releases @op. */
static CUresult
change(CUgraphNode handle, CUresult made, struct genie_cpu_op *op)
{
	struct genie_cpu_node *node = genie_cpu_node_get(handle);
	CUresult status = made;

	if (status != CUDA_SUCCESS)
		return status;
	status = node ? genie_cpu_node_replace(node, op) : CUDA_ERROR_INVALID_VALUE;
	genie_cpu_op_release(op);
	return status;
}

static CUresult
cpu_cuGraphKernelNodeSetParams_v2(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS *params)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_kernel(&op, params);

	return change(node, made, &op);
}

static CUresult
cpu_cuGraphMemcpyNodeSetParams(CUgraphNode node, const CUDA_MEMCPY3D *params)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_copy(&op, params);

	return change(node, made, &op);
}

static CUresult
cpu_cuGraphMemsetNodeSetParams(CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS *params)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_set(&op, params);

	return change(node, made, &op);
}

static CUresult
cpu_cuGraphHostNodeSetParams(CUgraphNode node, const CUDA_HOST_NODE_PARAMS *params)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_host(&op, params);

	return change(node, made, &op);
}

static CUresult
cpu_cuGraphEventRecordNodeSetEvent(CUgraphNode node, CUevent event)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_event(&op, GENIE_CPU_OP_EVENT_RECORD, event);

	return change(node, made, &op);
}

static CUresult
cpu_cuGraphEventWaitNodeSetEvent(CUgraphNode node, CUevent event)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_event(&op, GENIE_CPU_OP_EVENT_WAIT, event);

	return change(node, made, &op);
}

static CUresult
cpu_cuGraphBatchMemOpNodeSetParams(CUgraphNode node, const CUDA_BATCH_MEM_OP_NODE_PARAMS *params)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_values(&op, params);

	return change(node, made, &op);
}

static CUresult
cpu_cuGraphNodeSetParams(CUgraphNode node, CUgraphNodeParams *params)
{
	struct genie_cpu_op op;
	CUresult made = genie_cpu_op_from_node(&op, params);

	return change(node, made, &op);
}

/* What cannot be is refused when it is set, as long as nobody knows where the node will run. */
static CUresult
cpu_cuGraphKernelNodeSetAttribute(CUgraphNode handle, CUkernelNodeAttrID id,
				  const CUkernelNodeAttrValue *value)
{
	struct genie_cpu_node *node = get_kind(handle, GENIE_CPU_OP_KERNEL);
	struct genie_cpu_kernel_op kernel;
	CUresult status;

	if (!node || !value)
		return CUDA_ERROR_INVALID_VALUE;
	kernel = node->op.kernel;
	status = genie_cpu_kernel_attribute(&kernel, id, value);
	if (status == CUDA_SUCCESS)
		status = genie_cpu_kernel_check(NULL, &kernel);
	if (status == CUDA_SUCCESS)
		node->op.kernel = kernel;
	return status;
}

void
genie_cpu_fill_nodes(struct genie_driver *drv)
{
	drv->cuGraphAddKernelNode_v2 = cpu_cuGraphAddKernelNode_v2;
	drv->cuGraphAddMemcpyNode = cpu_cuGraphAddMemcpyNode;
	drv->cuGraphAddMemsetNode = cpu_cuGraphAddMemsetNode;
	drv->cuGraphAddHostNode = cpu_cuGraphAddHostNode;
	drv->cuGraphAddChildGraphNode = cpu_cuGraphAddChildGraphNode;
	drv->cuGraphAddEmptyNode = cpu_cuGraphAddEmptyNode;
	drv->cuGraphAddEventRecordNode = cpu_cuGraphAddEventRecordNode;
	drv->cuGraphAddEventWaitNode = cpu_cuGraphAddEventWaitNode;
	drv->cuGraphAddBatchMemOpNode = cpu_cuGraphAddBatchMemOpNode;
	drv->cuGraphAddNode = cpu_cuGraphAddNode;
	drv->cuGraphAddNode_v2 = cpu_cuGraphAddNode_v2;
	drv->cuGraphKernelNodeGetParams_v2 = cpu_cuGraphKernelNodeGetParams_v2;
	drv->cuGraphMemcpyNodeGetParams = cpu_cuGraphMemcpyNodeGetParams;
	drv->cuGraphMemsetNodeGetParams = cpu_cuGraphMemsetNodeGetParams;
	drv->cuGraphHostNodeGetParams = cpu_cuGraphHostNodeGetParams;
	drv->cuGraphChildGraphNodeGetGraph = cpu_cuGraphChildGraphNodeGetGraph;
	drv->cuGraphEventRecordNodeGetEvent = cpu_cuGraphEventRecordNodeGetEvent;
	drv->cuGraphEventWaitNodeGetEvent = cpu_cuGraphEventWaitNodeGetEvent;
	drv->cuGraphBatchMemOpNodeGetParams = cpu_cuGraphBatchMemOpNodeGetParams;
	drv->cuGraphKernelNodeSetParams_v2 = cpu_cuGraphKernelNodeSetParams_v2;
	drv->cuGraphMemcpyNodeSetParams = cpu_cuGraphMemcpyNodeSetParams;
	drv->cuGraphMemsetNodeSetParams = cpu_cuGraphMemsetNodeSetParams;
	drv->cuGraphHostNodeSetParams = cpu_cuGraphHostNodeSetParams;
	drv->cuGraphEventRecordNodeSetEvent = cpu_cuGraphEventRecordNodeSetEvent;
	drv->cuGraphEventWaitNodeSetEvent = cpu_cuGraphEventWaitNodeSetEvent;
	drv->cuGraphBatchMemOpNodeSetParams = cpu_cuGraphBatchMemOpNodeSetParams;
	drv->cuGraphNodeSetParams = cpu_cuGraphNodeSetParams;
	drv->cuGraphKernelNodeSetAttribute = cpu_cuGraphKernelNodeSetAttribute;
}
