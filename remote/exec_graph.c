/*
 * Nodes of graphs whose parameters are structs with pointers, and what a capture has so far. Other
 * calls about graphs are generated.
 */
#include <semaphore.h>
#include <stdlib.h>

#include "remote/exec.h"

CUresult
genie_nodes_find(struct genie_session *session, const CUgraphNode *nodes, size_t count)
{
	CUgraphNode *handles = (CUgraphNode *)nodes;

	for (size_t i = 0; nodes && i < count; i++) {
		void *handle = NULL;
		CUresult status;

		status = (CUresult)genie_session_resolve(session, GENIE_KIND_GRAPHNODE,
							 (uintptr_t)nodes[i], &handle);
		if (status != CUDA_SUCCESS)
			return status;
		handles[i] = handle;
	}
	return CUDA_SUCCESS;
}

CUresult
genie_exec_genieGraphKernelNode(struct genie_session *session,
				struct genie_args_genieGraphKernelNode *args)
{
	size_t params_size = args->params_size;
	void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, (void *)args->params,
			 CU_LAUNCH_PARAM_BUFFER_SIZE, &params_size, CU_LAUNCH_PARAM_END};
	CUDA_KERNEL_NODE_PARAMS params = {
		.gridDimX = args->gridX,
		.gridDimY = args->gridY,
		.gridDimZ = args->gridZ,
		.blockDimX = args->blockX,
		.blockDimY = args->blockY,
		.blockDimZ = args->blockZ,
		.sharedMemBytes = args->shared,
		.extra = params_size ? extra : NULL,
	};
	CUgraphNode node = NULL;
	void *graph = NULL;
	CUresult status;

	status = (CUresult)genie_session_resolve(session, GENIE_KIND_GRAPH, (uintptr_t)args->graph,
						 &graph);
	if (status == CUDA_SUCCESS)
		status = genie_function_find(session, args->function, &params.func);
	if (status == CUDA_SUCCESS)
		status = genie_nodes_find(session, args->dependencies, args->count);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuGraphAddKernelNode_v2(&node, graph, args->dependencies,
							       args->count, &params);
	if (status != CUDA_SUCCESS)
		return status;
	return (CUresult)genie_session_bind(session, GENIE_KIND_GRAPHNODE, (uintptr_t)args->node,
					    node);
}

CUresult
genie_exec_genieGraphKernelSet(struct genie_session *session,
			       struct genie_args_genieGraphKernelSet *args)
{
	size_t params_size = args->params_size;
	void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, (void *)args->params,
			 CU_LAUNCH_PARAM_BUFFER_SIZE, &params_size, CU_LAUNCH_PARAM_END};
	CUDA_KERNEL_NODE_PARAMS params = {
		.gridDimX = args->gridX,
		.gridDimY = args->gridY,
		.gridDimZ = args->gridZ,
		.blockDimX = args->blockX,
		.blockDimY = args->blockY,
		.blockDimZ = args->blockZ,
		.sharedMemBytes = args->shared,
		.extra = params_size ? extra : NULL,
	};
	void *node = NULL;
	CUresult status;

	status = (CUresult)genie_session_resolve(session, GENIE_KIND_GRAPHNODE,
						 (uintptr_t)args->node, &node);
	if (status == CUDA_SUCCESS)
		status = genie_function_find(session, args->function, &params.func);
	if (status != CUDA_SUCCESS)
		return status;
	return session->drv->cuGraphKernelNodeSetParams_v2(node, &params);
}

CUresult
genie_exec_genieGraphExecKernelSet(struct genie_session *session,
				   struct genie_args_genieGraphExecKernelSet *args)
{
	size_t params_size = args->params_size;
	void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, (void *)args->params,
			 CU_LAUNCH_PARAM_BUFFER_SIZE, &params_size, CU_LAUNCH_PARAM_END};
	CUDA_KERNEL_NODE_PARAMS params = {
		.gridDimX = args->gridX,
		.gridDimY = args->gridY,
		.gridDimZ = args->gridZ,
		.blockDimX = args->blockX,
		.blockDimY = args->blockY,
		.blockDimZ = args->blockZ,
		.sharedMemBytes = args->shared,
		.extra = params_size ? extra : NULL,
	};
	void *node = NULL, *exec = NULL;
	CUresult status;

	status = (CUresult)genie_session_resolve(session, GENIE_KIND_GRAPHEXEC,
						 (uintptr_t)args->exec, &exec);
	if (status == CUDA_SUCCESS)
		status = (CUresult)genie_session_resolve(session, GENIE_KIND_GRAPHNODE,
							 (uintptr_t)args->node, &node);
	if (status == CUDA_SUCCESS)
		status = genie_function_find(session, args->function, &params.func);
	if (status != CUDA_SUCCESS)
		return status;
	return session->drv->cuGraphExecKernelNodeSetParams_v2(exec, node, &params);
}

/*
 * ---- host functions ----
 *
 * CUDA calls us on a thread of its own, which waits for the client. The other devices call on the
 * issuing or the completing thread: neither is the one that hears the answer (transport/port.h).
 */

/* One for each node, as long as the session: a graph may run it at any time. */
struct host_node {
	struct genie_session *session;
	uint64_t id;
	sem_t done;
};

static void
host_node_done(void *data)
{
	struct host_node *call = data;

	sem_post(&call->done);
}

static void
host_node_run(void *data)
{
	struct host_node *call = data;

	if (genie_port_host_func(call->session->port, call->id, host_node_done, call))
		return; /* the client is gone */
	while (sem_wait(&call->done))
		; /* a signal */
}

CUresult
genie_exec_genieGraphHostNode(struct genie_session *session,
			      struct genie_args_genieGraphHostNode *args)
{
	CUDA_HOST_NODE_PARAMS params = {.fn = host_node_run};
	CUgraphNode node = NULL;
	struct host_node *call;
	void *graph = NULL;
	CUresult status;

	status = (CUresult)genie_session_resolve(session, GENIE_KIND_GRAPH, (uintptr_t)args->graph,
						 &graph);
	if (status == CUDA_SUCCESS)
		status = genie_nodes_find(session, args->dependencies, args->count);
	if (status != CUDA_SUCCESS)
		return status;
	call = calloc(1, sizeof(*call));
	if (!call)
		return CUDA_ERROR_OUT_OF_MEMORY;
	call->session = session;
	call->id = args->id;
	sem_init(&call->done, 0, 0);
	params.userData = call;
	status = session->drv->cuGraphAddHostNode(&node, graph, args->dependencies, args->count,
						  &params);
	if (status != CUDA_SUCCESS) {
		sem_destroy(&call->done);
		free(call);
		return status;
	}
	return (CUresult)genie_session_bind(session, GENIE_KIND_GRAPHNODE, (uintptr_t)args->node,
					    node);
}

/* ---- a capture that is going on ---- */

CUresult
genie_exec_genieCaptureInfo(struct genie_session *session, struct genie_args_genieCaptureInfo *args)
{
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)args->stream);
	CUstreamCaptureStatus capture = CU_STREAM_CAPTURE_STATUS_NONE;
	const CUgraphNode *nodes = NULL;
	size_t count = 0, room = *args->count;
	CUgraph graph = NULL;
	uint64_t token = 0;
	CUresult status;

	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	status = session->drv->cuStreamGetCaptureInfo_v2(stream->handle, &capture, NULL, &graph,
							 &nodes, &count);
	if (status != CUDA_SUCCESS)
		return status;
	if (capture == CU_STREAM_CAPTURE_STATUS_ACTIVE && graph) {
		token = genie_object_name(&session->objects, GENIE_KIND_GRAPH, graph);
		*args->graph = (CUgraph)(uintptr_t)token;
	} else {
		*args->graph = NULL;
		count = 0;
	}
	for (size_t i = 0; args->dependencies && i < room; i++) {
		token = i < count ? genie_object_name(&session->objects, GENIE_KIND_GRAPHNODE,
						      nodes[i])
				  : 0;
		args->dependencies[i] = (CUgraphNode)(uintptr_t)token;
	}
	*args->count = count;
	return CUDA_SUCCESS;
}
