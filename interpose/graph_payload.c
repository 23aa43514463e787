/* What nodes do: CUDA's structs checked, copied, and made fit to travel. */
#include <stdlib.h>
#include <string.h>

#include "interpose/capture.h"
#include "interpose/copy.h"
#include "interpose/ctx.h"
#include "interpose/graph.h"
#include "interpose/hostfunc.h"
#include "interpose/kernel.h"
#include "interpose/launch.h"
#include "interpose/memory.h"
#include "interpose/refuse.h"

#define VALUES_MAX 256 /* memory operations in one node: the driver's limit */

/* ---- kernels ---- */

/* Pointers to the parameters one by one, for who asks. */
static CUresult
kernel_pointers(struct genie_payload *payload, const struct genie_kernel_desc *desc)
{
	payload->pointers = calloc(desc->param_count + 1, sizeof(*payload->pointers));
	if (!payload->pointers)
		return CUDA_ERROR_OUT_OF_MEMORY;
	for (uint32_t i = 0; i < desc->param_count; i++)
		if (desc->params[i].offset + (size_t)desc->params[i].size <= payload->size)
			payload->pointers[i] = (char *)payload->data + desc->params[i].offset;
	payload->pointer_count = desc->param_count;
	return CUDA_SUCCESS;
}

static CUresult
kernel_pack(struct genie_payload *payload, const struct genie_kernel_desc *desc, void **params,
	    void **extra)
{
	const void *buffer = NULL;
	size_t size = 0;
	CUresult status;

	status = genie_launch_params(desc, params, extra, &buffer, &size);
	if (status != CUDA_SUCCESS)
		return status;
	/* parameters that a buffer leaves out are zero */
	payload->size = desc->param_size > size ? desc->param_size : size;
	payload->data = calloc(1, payload->size + 1);
	if (!payload->data)
		return CUDA_ERROR_OUT_OF_MEMORY;
	genie_launch_pack(desc, params, buffer, payload->data, size);
	status = kernel_pointers(payload, desc);
	if (status == CUDA_SUCCESS &&
	    atomic_load_explicit(&genie_pinned_apart, memory_order_relaxed))
		status = genie_pinned_mirror_pointers(payload->data, payload->size);
	return status;
}

CUresult
genie_payload_kernel(struct genie_payload *ret_payload, const CUDA_KERNEL_NODE_PARAMS *params)
{
	struct genie_payload payload = {.params.type = CU_GRAPH_NODE_TYPE_KERNEL};
	struct genie_function *function;
	struct genie_launch launch;
	CUfunction handle;
	CUresult status;

	if (!params || (!params->func && !params->kern))
		return CUDA_ERROR_INVALID_VALUE;
	handle = params->func ? params->func : (CUfunction)params->kern;
	launch = (struct genie_launch){
		.grid = {params->gridDimX, params->gridDimY, params->gridDimZ},
		.block = {params->blockDimX, params->blockDimY, params->blockDimZ},
		.shared = params->sharedMemBytes,
	};
	status = genie_function_get(handle, &function);
	if (status == CUDA_SUCCESS)
		status = genie_launch_check(function, &launch);
	if (status == CUDA_SUCCESS)
		status = kernel_pack(&payload, function->desc, params->kernelParams, params->extra);
	if (status != CUDA_SUCCESS) {
		genie_payload_fini(&payload);
		return status;
	}
	memcpy(&payload.params.kernel, params, sizeof(*params));
	payload.params.kernel.kernelParams = payload.pointers;
	payload.params.kernel.extra = NULL;
	payload.function = (CUfunction)(uintptr_t)function->object.token;
	payload.ctx = function->object.ctx;
	payload.params.kernel.ctx = genie_ctx_handle(payload.ctx);
	*ret_payload = payload;
	return CUDA_SUCCESS;
}

CUresult
genie_payload_attr(struct genie_payload *payload, const CUlaunchAttribute *attr)
{
	CUlaunchAttribute *bigger;

	for (unsigned int i = 0; i < payload->attr_count; i++)
		if (payload->attrs[i].id == attr->id) {
			payload->attrs[i].value = attr->value;
			return CUDA_SUCCESS;
		}
	bigger = realloc(payload->attrs, (payload->attr_count + 1) * sizeof(*bigger));
	if (!bigger)
		return CUDA_ERROR_OUT_OF_MEMORY;
	payload->attrs = bigger;
	bigger[payload->attr_count] = (CUlaunchAttribute){.id = attr->id};
	bigger[payload->attr_count++].value = attr->value;
	return CUDA_SUCCESS;
}

/* ---- copies and sets ---- */

/* A context of the program's, or the current one. */
static CUresult
payload_ctx(struct genie_payload *payload, CUcontext handle)
{
	payload->ctx = genie_ctx_get(handle);
	return payload->ctx ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult
genie_payload_copy(struct genie_payload *ret_payload, const CUDA_MEMCPY3D *params, CUcontext ctx)
{
	struct genie_payload payload = {.params.type = CU_GRAPH_NODE_TYPE_MEMCPY};
	CUresult status;

	if (!params)
		return CUDA_ERROR_INVALID_VALUE;
	status = payload_ctx(&payload, ctx);
	if (status == CUDA_SUCCESS)
		status = genie_copy3d_plan(params, &payload.wire);
	if (status == CUDA_SUCCESS)
		status = genie_host_copy_new(&payload.wire, payload.ctx, &payload.copy);
	if (status != CUDA_SUCCESS)
		return status;
	payload.params.memcpy.copyParams = *params;
	payload.params.memcpy.copyCtx = genie_ctx_handle(payload.ctx);
	if (payload.copy)
		payload.host_id = genie_host_copy_id(payload.copy);
	*ret_payload = payload;
	return CUDA_SUCCESS;
}

CUresult
genie_payload_set(struct genie_payload *ret_payload, const CUDA_MEMSET_NODE_PARAMS *params,
		  CUcontext ctx)
{
	struct genie_payload payload = {.params.type = CU_GRAPH_NODE_TYPE_MEMSET};
	enum genie_side side;
	CUresult status;
	size_t row, span;

	if (!params ||
	    (params->elementSize != 1 && params->elementSize != 2 && params->elementSize != 4))
		return CUDA_ERROR_INVALID_VALUE;
	status = payload_ctx(&payload, ctx);
	if (status != CUDA_SUCCESS)
		return status;
	if (!params->width || !params->height || params->dst % params->elementSize ||
	    __builtin_mul_overflow(params->width, (size_t)params->elementSize, &row) ||
	    (params->height > 1 && params->pitch < row) ||
	    __builtin_mul_overflow(params->height - 1, params->pitch, &span) ||
	    __builtin_add_overflow(span, row, &span))
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_copy_side(params->dst, span, &side);
	if (status == CUDA_SUCCESS && side == GENIE_SIDE_HOST)
		status = CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS && !genie_copy_direct(side)) {
		struct genie_mem mem;

		status = genie_mem_find(params->dst, &mem) ? genie_pinned_mirror(&mem)
							   : CUDA_ERROR_INVALID_VALUE;
	}
	if (status != CUDA_SUCCESS)
		return status;
	memcpy(&payload.params.memset, params, sizeof(*params));
	payload.params.memset.ctx = genie_ctx_handle(payload.ctx);
	*ret_payload = payload;
	return CUDA_SUCCESS;
}

/* ---- the others ---- */

CUresult
genie_payload_host(struct genie_payload *ret_payload, const CUDA_HOST_NODE_PARAMS *params)
{
	struct genie_payload payload = {.params.type = CU_GRAPH_NODE_TYPE_HOST};

	if (!params || !params->fn)
		return CUDA_ERROR_INVALID_VALUE;
	payload.params.host.fn = params->fn;
	payload.params.host.userData = params->userData;
	payload.host_id = genie_hostfunc_node(params->fn, params->userData);
	if (!payload.host_id)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ret_payload = payload;
	return CUDA_SUCCESS;
}

CUresult
genie_payload_event(struct genie_payload *ret_payload, CUgraphNodeType type, CUevent event)
{
	if (!event || !genie_event_get(event))
		return CUDA_ERROR_INVALID_HANDLE;
	*ret_payload = (struct genie_payload){.params.type = type};
	if (type == CU_GRAPH_NODE_TYPE_WAIT_EVENT)
		ret_payload->params.eventWait.event = event;
	else
		ret_payload->params.eventRecord.event = event;
	return CUDA_SUCCESS;
}

CUresult
genie_payload_values(struct genie_payload *ret_payload, const CUDA_BATCH_MEM_OP_NODE_PARAMS *params)
{
	struct genie_payload payload = {.params.type = CU_GRAPH_NODE_TYPE_BATCH_MEM_OP};
	CUresult status;

	if (!params || !params->count || !params->paramArray || params->flags ||
	    params->count > VALUES_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	status = payload_ctx(&payload, params->ctx);
	for (unsigned int i = 0; i < params->count && status == CUDA_SUCCESS; i++)
		status = genie_memop_check(&params->paramArray[i]);
	if (status != CUDA_SUCCESS)
		return status;
	payload.size = params->count * sizeof(*params->paramArray);
	payload.data = malloc(payload.size);
	if (!payload.data)
		return CUDA_ERROR_OUT_OF_MEMORY;
	memcpy(payload.data, params->paramArray, payload.size);
	payload.params.memOp.ctx = genie_ctx_handle(payload.ctx);
	payload.params.memOp.count = params->count;
	payload.params.memOp.paramArray = payload.data;
	*ret_payload = payload;
	return CUDA_SUCCESS;
}

CUresult
genie_payload_child(struct genie_payload *ret_payload, CUgraph child,
		    CUgraphChildGraphNodeOwnership ownership)
{
	struct genie_payload payload = {.params.type = CU_GRAPH_NODE_TYPE_GRAPH};
	struct genie_graph *graph = genie_graph_get(child);

	if (!graph || graph->conditional)
		return CUDA_ERROR_INVALID_VALUE;
	payload.params.graph.graph = child;
	payload.params.graph.ownership = ownership;
	if (ownership == CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE) {
		if (graph->owner || graph->execs || graph->captures)
			return CUDA_ERROR_INVALID_VALUE;
		payload.child = graph;
	} else {
		if (graph->memory || ownership != CU_GRAPH_CHILD_GRAPH_OWNERSHIP_CLONE)
			return CUDA_ERROR_INVALID_VALUE;
		payload.child = genie_graph_copy_locked(graph);
		if (!payload.child)
			return CUDA_ERROR_OUT_OF_MEMORY;
	}
	*ret_payload = payload;
	return CUDA_SUCCESS;
}

CUresult
genie_payload_node(struct genie_payload *ret_payload, const CUgraphNodeParams *params)
{
	CUDA_KERNEL_NODE_PARAMS kernel;
	CUDA_MEMSET_NODE_PARAMS set;
	CUDA_HOST_NODE_PARAMS host;
	CUDA_BATCH_MEM_OP_NODE_PARAMS values;

	switch (params->type) {
	case CU_GRAPH_NODE_TYPE_KERNEL:
		/* the newer structs begin with the older ones */
		memcpy(&kernel, &params->kernel, sizeof(kernel));
		return genie_payload_kernel(ret_payload, &kernel);
	case CU_GRAPH_NODE_TYPE_MEMCPY:
		return genie_payload_copy(ret_payload, &params->memcpy.copyParams,
					  params->memcpy.copyCtx);
	case CU_GRAPH_NODE_TYPE_MEMSET:
		memcpy(&set, &params->memset, sizeof(set));
		return genie_payload_set(ret_payload, &set, params->memset.ctx);
	case CU_GRAPH_NODE_TYPE_HOST:
		memcpy(&host, &params->host, sizeof(host));
		return genie_payload_host(ret_payload, &host);
	case CU_GRAPH_NODE_TYPE_GRAPH:
		return genie_payload_child(ret_payload, params->graph.graph,
					   params->graph.ownership);
	case CU_GRAPH_NODE_TYPE_EMPTY:
		*ret_payload = (struct genie_payload){.params.type = params->type};
		return CUDA_SUCCESS;
	case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
		return genie_payload_event(ret_payload, params->type, params->eventWait.event);
	case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
		return genie_payload_event(ret_payload, params->type, params->eventRecord.event);
	case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
		memcpy(&values, &params->memOp, sizeof(values));
		return genie_payload_values(ret_payload, &values);
	case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
	case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
		return genie_refuse("a graph node of an external semaphore",
				    "those belong to another API on the same machine");
	case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
	case CU_GRAPH_NODE_TYPE_MEM_FREE:
	case CU_GRAPH_NODE_TYPE_CONDITIONAL:
		break;
	}
	return CUDA_ERROR_INVALID_VALUE;
}

/* ---- copying, freeing, sending ---- */

CUresult
genie_payload_dup(struct genie_payload *ret_payload, const struct genie_payload *payload)
{
	struct genie_payload copy = *payload;

	copy.data = NULL;
	copy.pointers = NULL;
	copy.attrs = NULL;
	copy.child = NULL;
	copy.bodies = NULL;
	if (copy.copy)
		genie_host_copy_ref(copy.copy);
	else if (copy.host_id)
		genie_hostfunc_ref(copy.host_id);
	if (copy.alloc)
		genie_graph_alloc_ref_locked(copy.alloc);
	if (payload->data) {
		copy.data = malloc(payload->size + 1);
		if (!copy.data)
			goto err;
		memcpy(copy.data, payload->data, payload->size);
	}
	if (payload->pointers) {
		copy.pointers = calloc(payload->pointer_count + 1, sizeof(*copy.pointers));
		if (!copy.pointers)
			goto err;
		for (uint32_t i = 0; i < payload->pointer_count; i++)
			copy.pointers[i] = (char *)copy.data +
					   ((char *)payload->pointers[i] - (char *)payload->data);
		copy.params.kernel.kernelParams = copy.pointers;
	}
	if (copy.params.type == CU_GRAPH_NODE_TYPE_BATCH_MEM_OP)
		copy.params.memOp.paramArray = copy.data;
	if (payload->attr_count) {
		copy.attrs = malloc(payload->attr_count * sizeof(*copy.attrs));
		if (!copy.attrs)
			goto err;
		memcpy(copy.attrs, payload->attrs, payload->attr_count * sizeof(*copy.attrs));
	}
	if (payload->child) {
		copy.child = genie_graph_copy_locked(payload->child);
		if (!copy.child)
			goto err;
	}
	*ret_payload = copy;
	return CUDA_SUCCESS;
err:
	copy.attr_count = copy.attrs ? copy.attr_count : 0;
	genie_payload_fini(&copy);
	return CUDA_ERROR_OUT_OF_MEMORY;
}

void
genie_payload_fini(struct genie_payload *payload)
{
	if (payload->bodies)
		for (unsigned int i = 0; i < payload->params.conditional.size; i++)
			genie_graph_free_locked(payload->bodies[i]);
	free(payload->bodies);
	genie_graph_free_locked(payload->child);
	if (payload->copy)
		genie_host_copy_unref(payload->copy);
	else if (payload->host_id)
		genie_hostfunc_drop(payload->host_id);
	if (payload->alloc)
		genie_graph_alloc_unref_locked(payload->alloc);
	free(payload->attrs);
	free(payload->pointers);
	free(payload->data);
	*payload = (struct genie_payload){0};
}

/* The operations of a node, without what the driver must not see. */
void
genie_payload_wire(const struct genie_payload *payload, CUgraphNodeParams *ret_params)
{
	CUgraphNodeParams params = {.type = payload->params.type};

	switch (payload->params.type) {
	case CU_GRAPH_NODE_TYPE_KERNEL:
		params.kernel = payload->params.kernel;
		params.kernel.func = payload->function;
		params.kernel.kern = NULL;
		params.kernel.kernelParams = NULL;
		params.kernel.extra = NULL;
		break;
	case CU_GRAPH_NODE_TYPE_MEMCPY:
		if (payload->wire.WidthInBytes && payload->wire.Height && payload->wire.Depth) {
			params.memcpy.copyParams = payload->wire;
			params.memcpy.copyCtx = payload->params.memcpy.copyCtx;
		} else {
			params.type = CU_GRAPH_NODE_TYPE_EMPTY;
		}
		if (payload->copy && genie_host_copy_part(payload->copy) == GENIE_HOST_ALL) {
			params = (CUgraphNodeParams){.type = CU_GRAPH_NODE_TYPE_HOST};
			params.host.userData = (void *)(uintptr_t)payload->host_id;
		}
		break;
	case CU_GRAPH_NODE_TYPE_HOST:
		params.host.userData = (void *)(uintptr_t)payload->host_id;
		break;
	case CU_GRAPH_NODE_TYPE_MEM_ALLOC: /* the memory is there already */
	case CU_GRAPH_NODE_TYPE_MEM_FREE:
		params.type = CU_GRAPH_NODE_TYPE_EMPTY;
		break;
	case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
		params.memOp = payload->params.memOp;
		params.memOp.paramArray = NULL;
		break;
	case CU_GRAPH_NODE_TYPE_CONDITIONAL:
		params.conditional = payload->params.conditional;
		params.conditional.phGraph_out = NULL;
		break;
	case CU_GRAPH_NODE_TYPE_MEMSET:
	case CU_GRAPH_NODE_TYPE_GRAPH:
	case CU_GRAPH_NODE_TYPE_EMPTY:
	case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
	case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
	case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
	case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
		params = payload->params;
		break;
	}
	*ret_params = params;
}
