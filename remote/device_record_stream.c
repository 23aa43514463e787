/*
 * The record device's streams, graphs and copies. A stream knows whether it captures, a graph how
 * many nodes it has; of copies only what arrives in host memory has an effect.
 */
#include <stdlib.h>
#include <string.h>

#include "remote/device_record.h"

static struct record_stream default_streams[2]; /* legacy, per-thread */

static struct record_stream *
get_stream(CUstream handle)
{
	if (handle == NULL || handle == CU_STREAM_LEGACY)
		return &default_streams[0];
	if (handle == CU_STREAM_PER_THREAD)
		return &default_streams[1];
	return (struct record_stream *)handle;
}

static void
capture_unref(struct record_capture *capture)
{
	if (!capture || --capture->refs)
		return;
	/* nobody can end it any more */
	if (!capture->ended && !capture->given)
		free(capture->graph);
	free(capture);
}

/* Lets go of what *@slot holds and holds @capture. */
static void
hold(struct record_capture **slot, struct record_capture *capture)
{
	if (capture)
		capture->refs++;
	capture_unref(*slot);
	*slot = capture;
}

static bool
is_capturing(const struct record_stream *stream)
{
	return stream->capture && !stream->capture->ended;
}

CUresult
record_count(CUstream handle)
{
	struct record_stream *stream = get_stream(handle);

	if (is_capturing(stream)) {
		stream->capture->graph->nodes++;
		stream->capture->last = (CUgraphNode)record_new_handle();
	}
	return CUDA_SUCCESS;
}

static CUresult
record_cuStreamCreateWithPriority(CUstream *ret_stream, unsigned int flags, int priority)
{
	struct record_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return CUDA_ERROR_OUT_OF_MEMORY;
	stream->flags = flags;
	stream->priority = priority;
	*ret_stream = (CUstream)stream;
	return CUDA_SUCCESS;
}

static CUresult
record_cuStreamCreate(CUstream *ret_stream, unsigned int flags)
{
	return record_cuStreamCreateWithPriority(ret_stream, flags, 0);
}

static CUresult
record_cuStreamDestroy_v2(CUstream handle)
{
	struct record_stream *stream = get_stream(handle);

	if (stream == &default_streams[0] || stream == &default_streams[1])
		return CUDA_ERROR_INVALID_HANDLE;
	hold(&stream->capture, NULL);
	free(stream);
	return CUDA_SUCCESS;
}

static CUresult
record_cuStreamGetFlags(CUstream handle, unsigned int *flags)
{
	*flags = get_stream(handle)->flags;
	return CUDA_SUCCESS;
}

static CUresult
record_cuStreamGetPriority(CUstream handle, int *priority)
{
	*priority = get_stream(handle)->priority;
	return CUDA_SUCCESS;
}

static CUresult
record_cuStreamGetId(CUstream handle, unsigned long long *id)
{
	*id = (unsigned long long)(uintptr_t)get_stream(handle);
	return CUDA_SUCCESS;
}

static CUresult
record_cuStreamBeginCapture_v2(CUstream handle)
{
	struct record_stream *stream = get_stream(handle);
	struct record_capture *capture;

	if (is_capturing(stream))
		return CUDA_ERROR_ILLEGAL_STATE;
	capture = calloc(1, sizeof(*capture));
	if (!capture)
		return CUDA_ERROR_OUT_OF_MEMORY;
	capture->graph = calloc(1, sizeof(*capture->graph));
	if (!capture->graph) {
		free(capture);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	hold(&stream->capture, capture);
	return CUDA_SUCCESS;
}

static CUresult
record_cuStreamBeginCaptureToGraph(CUstream handle, CUgraph graph)
{
	CUresult status = record_cuStreamBeginCapture_v2(handle);
	struct record_capture *capture = get_stream(handle)->capture;

	if (status != CUDA_SUCCESS)
		return status;
	free(capture->graph);
	capture->graph = (struct record_graph *)graph;
	capture->given = true;
	return CUDA_SUCCESS;
}

static CUresult
record_cuStreamEndCapture(CUstream handle, CUgraph *graph)
{
	struct record_stream *stream = get_stream(handle);

	if (!is_capturing(stream))
		return CUDA_ERROR_ILLEGAL_STATE;
	*graph = (CUgraph)stream->capture->graph;
	stream->capture->ended = true;
	hold(&stream->capture, NULL);
	return CUDA_SUCCESS;
}

static CUresult
record_cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status)
{
	*status = is_capturing(get_stream(handle)) ? CU_STREAM_CAPTURE_STATUS_ACTIVE
						   : CU_STREAM_CAPTURE_STATUS_NONE;
	return CUDA_SUCCESS;
}

/* ---- events: done at once; they carry a capture from stream to stream ---- */

static CUresult
record_cuEventCreate(CUevent *ret_event)
{
	*ret_event = (CUevent)calloc(1, sizeof(struct record_event));
	return *ret_event ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult
record_cuEventDestroy_v2(CUevent handle)
{
	struct record_event *event = (struct record_event *)handle;

	hold(&event->capture, NULL);
	free(event);
	return CUDA_SUCCESS;
}

static CUresult
record_cuEventRecord(CUevent handle, CUstream stream_handle)
{
	struct record_event *event = (struct record_event *)handle;
	struct record_stream *stream = get_stream(stream_handle);

	hold(&event->capture, is_capturing(stream) ? stream->capture : NULL);
	return CUDA_SUCCESS;
}

static CUresult
record_cuStreamWaitEvent(CUstream stream_handle, CUevent handle)
{
	struct record_event *event = (struct record_event *)handle;
	struct record_stream *stream = get_stream(stream_handle);

	if (event->capture && !event->capture->ended)
		hold(&stream->capture, event->capture);
	return CUDA_SUCCESS;
}

/* The other versions: id is the third argument; what else they have is left as it is. */
static CUresult
record_cuStreamGetCaptureInfo(CUstream handle, CUstreamCaptureStatus *status, cuuint64_t *id)
{
	if (id)
		*id = (cuuint64_t)(uintptr_t)get_stream(handle)->capture;
	return record_cuStreamIsCapturing(handle, status);
}

static CUresult
record_cuStreamGetCaptureInfo_v2(CUstream handle, CUstreamCaptureStatus *status, cuuint64_t *id,
				 CUgraph *graph, const CUgraphNode **nodes, size_t *count)
{
	struct record_stream *stream = get_stream(handle);

	if (is_capturing(stream)) {
		if (graph)
			*graph = (CUgraph)stream->capture->graph;
		if (nodes)
			*nodes = &stream->capture->last;
		if (count)
			*count = stream->capture->last != NULL;
	}
	return record_cuStreamGetCaptureInfo(handle, status, id);
}

static CUresult
record_cuEventElapsedTime_v2(float *ms)
{
	*ms = 0;
	return CUDA_SUCCESS;
}

static CUresult
record_cuLaunchHostFunc(CUstream stream, CUhostFn fn, void *data)
{
	if (!is_capturing(get_stream(stream)))
		fn(data);
	return record_count(stream);
}

static CUresult
record_cuStreamAddCallback(CUstream stream, CUstreamCallback fn, void *data, unsigned int flags)
{
	(void)flags;
	fn(stream, CUDA_SUCCESS, data);
	return CUDA_SUCCESS;
}

/* ---- graphs: a number of nodes ---- */

static CUresult
record_cuGraphCreate(CUgraph *ret_graph)
{
	*ret_graph = (CUgraph)calloc(1, sizeof(struct record_graph));
	return *ret_graph ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult
record_cuGraphClone(CUgraph *ret_graph, CUgraph graph)
{
	CUresult status = record_cuGraphCreate(ret_graph);

	if (status == CUDA_SUCCESS)
		*(struct record_graph *)*ret_graph = *(struct record_graph *)graph;
	return status;
}

static CUresult
record_cuGraphDestroy(CUgraph graph)
{
	free((struct record_graph *)graph);
	return CUDA_SUCCESS;
}

/* Every function that adds a node. */
static CUresult
add_node(CUgraphNode *ret_node, CUgraph graph)
{
	((struct record_graph *)graph)->nodes++;
	*ret_node = (CUgraphNode)record_new_handle();
	return CUDA_SUCCESS;
}

/* Bodies go with the process: nobody says when the node does. */
static CUresult
record_cuGraphAddNode_v2(CUgraphNode *ret_node, CUgraph graph, const CUgraphNode *nodes,
			 const CUgraphEdgeData *data, size_t count, CUgraphNodeParams *params)
{
	CUgraph *bodies;

	(void)nodes;
	(void)data;
	(void)count;
	if (params->type != CU_GRAPH_NODE_TYPE_CONDITIONAL)
		return add_node(ret_node, graph);
	bodies = calloc(params->conditional.size, sizeof(*bodies));
	if (!bodies)
		return CUDA_ERROR_OUT_OF_MEMORY;
	for (unsigned int i = 0; i < params->conditional.size; i++)
		if (record_cuGraphCreate(&bodies[i]) != CUDA_SUCCESS)
			return CUDA_ERROR_OUT_OF_MEMORY;
	params->conditional.phGraph_out = bodies;
	return add_node(ret_node, graph);
}

static CUresult
record_cuGraphConditionalHandleCreate(CUgraphConditionalHandle *ret_handle)
{
	*ret_handle = (CUgraphConditionalHandle)(uintptr_t)record_new_handle();
	return CUDA_SUCCESS;
}

/* The graph in a node: nothing is known of it. */
static CUresult
record_cuGraphChildGraphNodeGetGraph(CUgraphNode node, CUgraph *ret_graph)
{
	(void)node;
	return record_cuGraphCreate(ret_graph);
}

static CUresult
record_cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo *info)
{
	(void)exec;
	(void)graph;
	*info = (CUgraphExecUpdateResultInfo){.result = CU_GRAPH_EXEC_UPDATE_SUCCESS};
	return CUDA_SUCCESS;
}

static CUresult
record_cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *ret_count)
{
	size_t have = ((struct record_graph *)graph)->nodes;

	for (size_t i = 0; nodes && i < *ret_count; i++)
		nodes[i] = i < have ? (CUgraphNode)record_new_handle() : NULL;
	if (!nodes || *ret_count > have)
		*ret_count = have;
	return CUDA_SUCCESS;
}

/* Edges are not kept. Their count is the last argument of all of these. */
static CUresult
no_edges(CUgraph graph, CUgraphNode *from, CUgraphNode *to, CUgraphEdgeData *data,
	 size_t *ret_count)
{
	(void)graph;
	(void)from;
	(void)to;
	(void)data;
	*ret_count = 0;
	return CUDA_SUCCESS;
}

static CUresult
no_neighbours(CUgraphNode node, CUgraphNode *nodes, CUgraphEdgeData *data, size_t *ret_count)
{
	return no_edges(NULL, (CUgraphNode *)(void *)node, nodes, data, ret_count);
}

static CUresult
record_cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
	(void)exec;
	return record_count(stream);
}

/* ---- copies: only what arrives in host memory has an effect ---- */

static CUresult
drop(CUdeviceptr dst, const void *src, size_t size, CUstream stream)
{
	(void)dst;
	(void)src;
	(void)size;
	return record_count(stream);
}

static CUresult
drop_between(CUdeviceptr dst, CUdeviceptr src, size_t size, CUstream stream)
{
	(void)dst;
	(void)src;
	(void)size;
	return record_count(stream);
}

static CUresult
record_cuMemcpyDtoH_v2(void *dst, CUdeviceptr src, size_t size)
{
	(void)src;
	memset(dst, 0, size);
	return CUDA_SUCCESS;
}

static CUresult
record_cuMemcpyDtoHAsync_v2(void *dst, CUdeviceptr src, size_t size, CUstream stream)
{
	record_cuMemcpyDtoH_v2(dst, src, size);
	return record_count(stream);
}

static CUresult
record_cuMemcpyAtoH_v2(void *dst, CUarray src, size_t offset, size_t size)
{
	(void)src;
	(void)offset;
	memset(dst, 0, size);
	return CUDA_SUCCESS;
}

static CUresult
record_cuMemcpyAtoHAsync_v2(void *dst, CUarray src, size_t offset, size_t size, CUstream stream)
{
	record_cuMemcpyAtoH_v2(dst, src, offset, size);
	return record_count(stream);
}

static CUresult
record_cuMemcpy3D_v2(const CUDA_MEMCPY3D *copy)
{
	if (copy->dstMemoryType != CU_MEMORYTYPE_HOST)
		return CUDA_SUCCESS;
	for (size_t z = 0; z < copy->Depth; z++)
		for (size_t y = 0; y < copy->Height; y++)
			memset((uint8_t *)copy->dstHost + copy->dstXInBytes +
				       (copy->dstY + y) * copy->dstPitch +
				       (copy->dstZ + z) * copy->dstPitch * copy->dstHeight,
			       0, copy->WidthInBytes);
	return CUDA_SUCCESS;
}

static CUresult
record_cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D *copy, CUstream stream)
{
	record_cuMemcpy3D_v2(copy);
	return record_count(stream);
}

static CUresult
record_cuMemcpy2D_v2(const CUDA_MEMCPY2D *copy)
{
	if (copy->dstMemoryType != CU_MEMORYTYPE_HOST)
		return CUDA_SUCCESS;
	for (size_t y = 0; y < copy->Height; y++)
		memset((uint8_t *)copy->dstHost + copy->dstXInBytes +
			       (copy->dstY + y) * copy->dstPitch,
		       0, copy->WidthInBytes);
	return CUDA_SUCCESS;
}

static CUresult
record_cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *copy, CUstream stream)
{
	record_cuMemcpy2D_v2(copy);
	return record_count(stream);
}

static CUresult
record_set(CUdeviceptr dst, unsigned int value, size_t n, CUstream stream)
{
	(void)dst;
	(void)value;
	(void)n;
	return record_count(stream);
}

static CUresult
record_set_2d(CUdeviceptr dst, size_t pitch, unsigned int value, size_t width, size_t height,
	      CUstream stream)
{
	(void)dst;
	(void)pitch;
	(void)value;
	(void)width;
	(void)height;
	return record_count(stream);
}

static CUresult
record_genieNativeGemm(const struct genie_gemm *gemm, CUstream stream)
{
	(void)gemm;
	return record_count(stream);
}

static CUresult
record_genieNativeDense(const struct genie_dense *dense, CUstream stream)
{
	(void)dense;
	return record_count(stream);
}

static CUresult
record_cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
	static __thread CUstreamCaptureMode thread_mode;
	CUstreamCaptureMode before = thread_mode;

	thread_mode = *mode;
	*mode = before;
	return CUDA_SUCCESS;
}

static CUresult
create_second(void *ignored, void **ret_handle)
{
	(void)ignored;
	return record_create(ret_handle);
}

static void
fill_copies(struct genie_driver *drv)
{
	drv->cuMemcpyHtoDAsync_v2 = drop;
	drv->cuMemcpyDtoDAsync_v2 = drop_between;
	drv->cuMemcpyAsync = drop_between;
	drv->cuMemcpyDtoH_v2 = record_cuMemcpyDtoH_v2;
	drv->cuMemcpyDtoHAsync_v2 = record_cuMemcpyDtoHAsync_v2;
	drv->cuMemcpyAtoH_v2 = record_cuMemcpyAtoH_v2;
	drv->cuMemcpyAtoHAsync_v2 = record_cuMemcpyAtoHAsync_v2;
	drv->cuMemcpy2D_v2 = record_cuMemcpy2D_v2;
	drv->cuMemcpy2DUnaligned_v2 = record_cuMemcpy2D_v2;
	drv->cuMemcpy2DAsync_v2 = record_cuMemcpy2DAsync_v2;
	drv->cuMemcpy3D_v2 = record_cuMemcpy3D_v2;
	drv->cuMemcpy3DAsync_v2 = record_cuMemcpy3DAsync_v2;
	SET(cuMemsetD8Async, record_set);
	SET(cuMemsetD16Async, record_set);
	SET(cuMemsetD32Async, record_set);
	SET(cuMemsetD2D8Async, record_set_2d);
	SET(cuMemsetD2D16Async, record_set_2d);
	SET(cuMemsetD2D32Async, record_set_2d);
	drv->genieNativeGemm = record_genieNativeGemm;
	drv->genieNativeDense = record_genieNativeDense;
}

static void
fill_streams(struct genie_driver *drv)
{
	drv->cuStreamCreate = record_cuStreamCreate;
	drv->cuStreamCreateWithPriority = record_cuStreamCreateWithPriority;
	drv->cuStreamDestroy_v2 = record_cuStreamDestroy_v2;
	drv->cuStreamGetFlags = record_cuStreamGetFlags;
	drv->cuStreamGetPriority = record_cuStreamGetPriority;
	drv->cuStreamGetId = record_cuStreamGetId;
	SET(cuStreamBeginCapture, record_cuStreamBeginCapture_v2);
	SET(cuStreamBeginCapture_v2, record_cuStreamBeginCapture_v2);
	SET(cuStreamBeginCaptureToGraph, record_cuStreamBeginCaptureToGraph);
	drv->cuStreamEndCapture = record_cuStreamEndCapture;
	drv->cuStreamIsCapturing = record_cuStreamIsCapturing;
	SET(cuStreamGetCaptureInfo, record_cuStreamGetCaptureInfo);
	drv->cuStreamGetCaptureInfo_v2 = record_cuStreamGetCaptureInfo_v2;
	SET(cuStreamGetCaptureInfo_v3, record_cuStreamGetCaptureInfo);
	drv->cuThreadExchangeStreamCaptureMode = record_cuThreadExchangeStreamCaptureMode;
	drv->cuLaunchHostFunc = record_cuLaunchHostFunc;
	drv->cuStreamAddCallback = record_cuStreamAddCallback;
	SET(cuStreamGetCtx, create_second);
	SET(cuEventCreate, record_cuEventCreate);
	drv->cuEventDestroy_v2 = record_cuEventDestroy_v2;
	drv->cuEventRecord = record_cuEventRecord;
	SET(cuEventRecordWithFlags, record_cuEventRecord);
	SET(cuStreamWaitEvent, record_cuStreamWaitEvent);
	SET(cuEventElapsedTime_v2, record_cuEventElapsedTime_v2);
}

static void
fill_graphs(struct genie_driver *drv)
{
	SET(cuGraphCreate, record_cuGraphCreate);
	drv->cuGraphClone = record_cuGraphClone;
	drv->cuGraphDestroy = record_cuGraphDestroy;
	drv->cuGraphGetNodes = record_cuGraphGetNodes;
	SET(cuGraphAddKernelNode_v2, add_node);
	SET(cuGraphAddMemcpyNode, add_node);
	SET(cuGraphAddMemsetNode, add_node);
	SET(cuGraphAddHostNode, add_node);
	SET(cuGraphAddChildGraphNode, add_node);
	SET(cuGraphAddEmptyNode, add_node);
	SET(cuGraphAddEventRecordNode, add_node);
	SET(cuGraphAddEventWaitNode, add_node);
	SET(cuGraphAddNode, add_node);
	drv->cuGraphAddNode_v2 = record_cuGraphAddNode_v2;
	SET(cuGraphConditionalHandleCreate, record_cuGraphConditionalHandleCreate);
	drv->cuGraphChildGraphNodeGetGraph = record_cuGraphChildGraphNodeGetGraph;
	drv->cuGraphExecUpdate_v2 = record_cuGraphExecUpdate_v2;
	SET(cuGraphNodeFindInClone, record_create);
	SET(cuGraphInstantiateWithFlags, record_create);
	SET(cuGraphInstantiateWithParams, record_create);
	SET(cuGraphInstantiate_v2, record_create);
	drv->cuGraphGetEdges_v2 = no_edges;
	drv->cuGraphNodeGetDependencies_v2 = no_neighbours;
	drv->cuGraphNodeGetDependentNodes_v2 = no_neighbours;
	drv->cuGraphLaunch = record_cuGraphLaunch;
}

void
record_fill_streams(struct genie_driver *drv)
{
	fill_copies(drv);
	fill_streams(drv);
	fill_graphs(drv);
}
