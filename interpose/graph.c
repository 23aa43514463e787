/*
 * Graphs: made, instantiated, launched, destroyed. The graph itself lives in the worker; the
 * client names it, so only what can fail in a way a program wants to know waits for an answer.
 */
#include "interpose/capture.h"

#include <string.h>

#include "interpose/mirror.h"

struct genie_graph {
	struct genie_object object;
};

CUresult
genie_graph_new(CUgraph *ret_graph)
{
	struct genie_graph *graph = genie_object_new(GENIE_KIND_GRAPH, sizeof(*graph), NULL);

	if (!graph)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ret_graph = (CUgraph)(uintptr_t)graph->object.token;
	return CUDA_SUCCESS;
}

void
genie_graph_forget(CUgraph graph)
{
	genie_object_free(genie_object_get(GENIE_KIND_GRAPH, (uintptr_t)graph));
}

/* The program's own handle, or one that the worker named (a graph being captured). */
static bool
graph_valid(CUgraph graph)
{
	uint64_t token = (uintptr_t)graph;

	if (genie_token_kind(token) == GENIE_KIND_GRAPH &&
	    genie_token_index(token) >= GENIE_TOKEN_SERVER_BASE)
		return true;
	return genie_object_get(GENIE_KIND_GRAPH, token) != NULL;
}

CUresult
genie_cuGraphCreate(CUgraph *phGraph, unsigned int flags)
{
	struct genie_args_cuGraphCreate args = {.flags = flags};
	CUgraph graph = NULL;
	CUresult status;

	if (!phGraph || flags)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_graph_new(&graph);
	if (status != CUDA_SUCCESS)
		return status;
	args.phGraph = &graph;
	status = genie_call(GENIE_OP_cuGraphCreate, &args);
	if (status == CUDA_SUCCESS)
		*phGraph = graph;
	else
		genie_graph_forget(graph);
	return status;
}

CUresult
genie_cuGraphClone(CUgraph *phGraphClone, CUgraph originalGraph)
{
	struct genie_args_cuGraphClone args = {.originalGraph = originalGraph};
	CUgraph graph = NULL;
	CUresult status;

	if (!phGraphClone || !graph_valid(originalGraph))
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_graph_new(&graph);
	if (status != CUDA_SUCCESS)
		return status;
	args.phGraphClone = &graph;
	status = genie_call(GENIE_OP_cuGraphClone, &args);
	if (status == CUDA_SUCCESS)
		*phGraphClone = graph;
	else
		genie_graph_forget(graph);
	return status;
}

CUresult
genie_cuGraphDestroy(CUgraph hGraph)
{
	struct genie_args_cuGraphDestroy args = {.hGraph = hGraph};
	struct genie_graph *graph = genie_object_get(GENIE_KIND_GRAPH, (uintptr_t)hGraph);
	CUresult status;

	if (!graph)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_call_ctx(GENIE_OP_cuGraphDestroy, &args, genie_ctx_current(), NULL);
	genie_object_free(graph);
	return status;
}

/* ---- executable graphs ---- */

CUresult
genie_cuGraphInstantiateWithFlags(CUgraphExec *phGraphExec, CUgraph hGraph,
				  unsigned long long flags)
{
	struct genie_args_cuGraphInstantiateWithFlags args = {.hGraph = hGraph, .flags = flags};
	struct genie_object *exec;
	CUgraphExec handle;
	CUresult status;

	if (!phGraphExec || !graph_valid(hGraph))
		return CUDA_ERROR_INVALID_VALUE;
	/* A launch from a kernel needs the handle on the device. */
	if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH)
		return CUDA_ERROR_NOT_SUPPORTED;
	exec = genie_object_new(GENIE_KIND_GRAPHEXEC, sizeof(*exec), NULL);
	if (!exec)
		return CUDA_ERROR_OUT_OF_MEMORY;
	handle = (CUgraphExec)(uintptr_t)exec->token;
	args.phGraphExec = &handle;
	/* Waits: this is where a program learns that its graph is not valid. */
	status = genie_call(GENIE_OP_cuGraphInstantiateWithFlags, &args);
	if (status == CUDA_SUCCESS)
		*phGraphExec = handle;
	else
		genie_object_free(exec);
	return status;
}

CUresult
genie_cuGraphInstantiate_v2(CUgraphExec *phGraphExec, CUgraph hGraph, CUgraphNode *phErrorNode,
			    char *logBuffer, size_t bufferSize)
{
	if (phErrorNode)
		*phErrorNode = NULL;
	if (logBuffer && bufferSize)
		*logBuffer = '\0';
	return genie_cuGraphInstantiateWithFlags(phGraphExec, hGraph, 0);
}

CUresult
genie_cuGraphInstantiateWithParams(CUgraphExec *phGraphExec, CUgraph hGraph,
				   CUDA_GRAPH_INSTANTIATE_PARAMS *instantiateParams)
{
	CUDA_GRAPH_INSTANTIATE_PARAMS *params = instantiateParams;
	CUresult status;

	if (!params)
		return CUDA_ERROR_INVALID_VALUE;
	params->hErrNode_out = NULL;
	params->result_out = CUDA_GRAPH_INSTANTIATE_SUCCESS;
	status = genie_cuGraphInstantiateWithFlags(
		phGraphExec, hGraph,
		params->flags & ~(cuuint64_t)CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD);
	if (status != CUDA_SUCCESS)
		params->result_out = CUDA_GRAPH_INSTANTIATE_ERROR;
	else if (params->flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD)
		status = genie_cuGraphUpload(*phGraphExec, params->hUploadStream);
	return status;
}

CUresult
genie_cuGraphExecDestroy(CUgraphExec hGraphExec)
{
	struct genie_args_cuGraphExecDestroy args = {.hGraphExec = hGraphExec};
	struct genie_object *exec = genie_object_get(GENIE_KIND_GRAPHEXEC, (uintptr_t)hGraphExec);
	CUresult status;

	if (!exec)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_call_ctx(GENIE_OP_cuGraphExecDestroy, &args, genie_ctx_current(), NULL);
	genie_object_free(exec);
	return status;
}

CUresult
genie_cuGraphUpload(CUgraphExec hGraphExec, CUstream hStream)
{
	struct genie_args_cuGraphUpload args = {.hGraph = hGraphExec};
	struct genie_stream *stream = genie_stream_get(hStream);
	uint64_t ticket = 0;
	CUresult status;

	if (!stream)
		return genie_stream_missing();
	if (!genie_object_get(GENIE_KIND_GRAPHEXEC, (uintptr_t)hGraphExec))
		return CUDA_ERROR_INVALID_VALUE;
	args.hStream = genie_stream_wire(stream);
	status = genie_call_ctx(GENIE_OP_cuGraphUpload, &args, stream->object.ctx, &ticket);
	if (status != CUDA_SUCCESS)
		return status;
	genie_stream_submitted(stream, ticket);
	return genie_pending_error_before(ticket);
}

CUresult
genie_cuGraphLaunch(CUgraphExec hGraphExec, CUstream hStream)
{
	struct genie_args_cuGraphLaunch args = {.hGraph = hGraphExec};
	struct genie_stream *stream = genie_stream_get(hStream);
	uint64_t ticket = 0;
	CUresult status;

	if (!stream)
		return genie_stream_missing();
	if (!genie_object_get(GENIE_KIND_GRAPHEXEC, (uintptr_t)hGraphExec))
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_capture_enter(stream);
	if (status == CUDA_SUCCESS)
		status = genie_mirror_push(stream); /* its kernels may read what the host wrote */
	if (status != CUDA_SUCCESS)
		return status;
	args.hStream = genie_stream_wire(stream);
	status = genie_call_ctx(GENIE_OP_cuGraphLaunch, &args, stream->object.ctx, &ticket);
	if (status != CUDA_SUCCESS)
		return status;
	genie_stream_submitted(stream, ticket);
	return genie_pending_error_before(ticket);
}

CUresult
genie_cuGraphExecUpdate_v2(CUgraphExec hGraphExec, CUgraph hGraph,
			   CUgraphExecUpdateResultInfo *resultInfo)
{
	struct genie_args_cuGraphExecUpdate_v2 args = {
		.hGraphExec = hGraphExec, .hGraph = hGraph, .resultInfo = resultInfo};
	CUresult status;

	if (!resultInfo || !graph_valid(hGraph) ||
	    !genie_object_get(GENIE_KIND_GRAPHEXEC, (uintptr_t)hGraphExec))
		return CUDA_ERROR_INVALID_VALUE;
	memset(resultInfo, 0, sizeof(*resultInfo));
	status = genie_call(GENIE_OP_cuGraphExecUpdate_v2, &args);
	/* The worker's addresses mean nothing here. */
	resultInfo->errorNode = NULL;
	resultInfo->errorFromNode = NULL;
	if (status != CUDA_SUCCESS && resultInfo->result == CU_GRAPH_EXEC_UPDATE_SUCCESS)
		resultInfo->result = CU_GRAPH_EXEC_UPDATE_ERROR;
	return status;
}

/* ---- memory of graphs: graphs of this release allocate none ---- */

CUresult
genie_cuDeviceGraphMemTrim(CUdevice device)
{
	return genie_ctx_primary(device) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult
genie_cuDeviceGetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attr, void *value)
{
	if (!genie_ctx_primary(device))
		return CUDA_ERROR_INVALID_DEVICE;
	if (!value || (unsigned int)attr > CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH)
		return CUDA_ERROR_INVALID_VALUE;
	memset(value, 0, sizeof(cuuint64_t));
	return CUDA_SUCCESS;
}

CUresult
genie_cuDeviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attr, void *value)
{
	cuuint64_t current = 0;

	/* Only the high marks can be set, and only to 0. */
	if (!value)
		return CUDA_ERROR_INVALID_VALUE;
	return genie_cuDeviceGetGraphMemAttribute(device, attr, &current);
}
