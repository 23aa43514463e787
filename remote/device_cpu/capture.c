/*
 * Stream capture: operations become nodes of a graph instead of running. Each capturing stream
 * knows the nodes that its next operation comes after; an event that is recorded takes them along,
 * and a stream that waits for such an event joins the capture.
 */
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/graph.h"

struct genie_cpu_capture {
	unsigned int refs; /* streams that take part */
	unsigned long long id;
	CUstreamCaptureMode mode;
	struct genie_cpu_graph *graph;
	struct genie_cpu_stream *origin; /* where it began and must end */
	bool invalidated;
	bool given_graph;          /* cuStreamBeginCaptureToGraph: the graph is the program's */
	CUgraphEdgeData *no_edges; /* what cuStreamGetCaptureInfo hands out: all zero */
};

static __thread CUstreamCaptureMode thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

static void
capture_unref(struct genie_cpu_capture *capture)
{
	if (--capture->refs)
		return;
	__atomic_sub_fetch(&genie_cpu.capturing, 1, __ATOMIC_RELAXED);
	genie_cpu_graph_unref(capture->graph);
	free(capture->no_edges);
	free(capture);
}

/* The stream takes no part any more. */
static void
leave(struct genie_cpu_stream *stream)
{
	struct genie_cpu_capture *capture = stream->capture;

	stream->capture = NULL;
	free(stream->deps);
	stream->deps = NULL;
	stream->dep_count = 0;
	capture_unref(capture);
}

void
genie_cpu_capture_drop(struct genie_cpu_stream *stream)
{
	if (!stream->capture)
		return;
	stream->capture->invalidated = true;
	if (stream->capture->origin == stream)
		stream->capture->origin = NULL;
	leave(stream);
}

CUresult
genie_cpu_capture_invalidate(struct genie_cpu_stream *stream, CUresult status)
{
	stream->capture->invalidated = true;
	return status;
}

/* A blocking stream that captures is tied to the legacy stream, which cannot be captured. */
bool
genie_cpu_capture_forbids_legacy(struct genie_cpu_context *ctx, bool invalidate)
{
	bool forbids = false;

	if (!__atomic_load_n(&genie_cpu.capturing, __ATOMIC_RELAXED))
		return false;
	pthread_mutex_lock(&genie_cpu.run_lock);
	for (struct genie_cpu_stream *s = genie_cpu.streams; s; s = s->next)
		if (s->ctx == ctx && s->capture && !(s->flags & CU_STREAM_NON_BLOCKING)) {
			s->capture->invalidated |= invalidate;
			forbids = true;
		}
	pthread_mutex_unlock(&genie_cpu.run_lock);
	return forbids;
}

bool
genie_cpu_capture_spoil(struct genie_cpu_context *ctx)
{
	bool any = false;

	if (!__atomic_load_n(&genie_cpu.capturing, __ATOMIC_RELAXED))
		return false;
	pthread_mutex_lock(&genie_cpu.run_lock);
	for (struct genie_cpu_stream *s = genie_cpu.streams; s; s = s->next)
		if (s->ctx == ctx && s->capture) {
			s->capture->invalidated = true;
			any = true;
		}
	pthread_mutex_unlock(&genie_cpu.run_lock);
	return any;
}

/* Replaces (or, with @add, extends) what a list of nodes holds; each node is in it once. */
static CUresult
set_deps(struct genie_cpu_node ***deps, size_t *count, struct genie_cpu_node *const *nodes,
	 size_t node_count, bool add)
{
	size_t kept = add ? *count : 0;
	struct genie_cpu_node **list = calloc(kept + node_count + 1, sizeof(*list));

	if (!list)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (kept)
		memcpy(list, *deps, kept * sizeof(*list));
	for (size_t i = 0; i < node_count; i++) {
		size_t k = 0;

		while (k < kept && list[k] != nodes[i])
			k++;
		if (k == kept)
			list[kept++] = nodes[i];
	}
	free(*deps);
	*deps = list;
	*count = kept;
	return CUDA_SUCCESS;
}

CUresult
genie_cpu_capture_op(struct genie_cpu_stream *stream, const struct genie_cpu_op *op)
{
	struct genie_cpu_capture *capture = stream->capture;
	struct genie_cpu_node *node;
	CUresult status;

	if (capture->invalidated)
		return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
	status = genie_cpu_graph_add(capture->graph, op, stream->deps, NULL, stream->dep_count,
				     &node);
	if (status == CUDA_SUCCESS)
		status = set_deps(&stream->deps, &stream->dep_count, &node, 1, false);
	if (status != CUDA_SUCCESS)
		capture->invalidated = true;
	return status;
}

CUresult
genie_cpu_capture_record(struct genie_cpu_stream *stream, struct genie_cpu_event *event)
{
	struct genie_cpu_capture *capture = stream->capture;
	CUresult status;

	if (capture->invalidated)
		return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
	status = set_deps(&event->deps, &event->dep_count, stream->deps, stream->dep_count, false);
	if (status == CUDA_SUCCESS)
		genie_cpu_event_recorded(event, event->state->recorded, capture->id);
	return status;
}

/* The capture an event was recorded in; NULL: it is over. */
static struct genie_cpu_capture *
capture_of(const struct genie_cpu_event *event)
{
	struct genie_cpu_capture *capture = NULL;

	pthread_mutex_lock(&genie_cpu.run_lock);
	for (struct genie_cpu_stream *s = genie_cpu.streams; s && !capture; s = s->next)
		if (s->capture && s->capture->id == event->capture_id)
			capture = s->capture;
	pthread_mutex_unlock(&genie_cpu.run_lock);
	return capture;
}

CUresult
genie_cpu_capture_asked(struct genie_cpu_event *event)
{
	struct genie_cpu_capture *capture = capture_of(event);

	if (!capture || capture->invalidated)
		return CUDA_ERROR_INVALID_VALUE;
	capture->invalidated = true;
	return CUDA_ERROR_CAPTURED_EVENT;
}

CUresult
genie_cpu_capture_wait(struct genie_cpu_stream *stream, struct genie_cpu_event *event)
{
	struct genie_cpu_capture *capture;
	CUresult status;

	if (stream->capture && stream->capture->invalidated)
		return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
	if (!event->capture_id && !event->state->recorded)
		return CUDA_SUCCESS; /* nothing to wait for */
	/* an event from outside would tie the graph to work that is not in it */
	if (!event->capture_id)
		return genie_cpu_capture_invalidate(stream, CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
	capture = capture_of(event);
	if (!capture)
		return stream->capture ? genie_cpu_capture_invalidate(
						 stream, CUDA_ERROR_STREAM_CAPTURE_ISOLATION)
				       : CUDA_ERROR_INVALID_VALUE;
	if (capture->invalidated)
		return CUDA_ERROR_INVALID_VALUE;
	if (stream->capture && stream->capture != capture)
		return genie_cpu_capture_invalidate(stream, CUDA_ERROR_STREAM_CAPTURE_MERGE);
	if (stream == stream->ctx->legacy)
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	if (!stream->capture) {
		stream->capture = capture;
		capture->refs++;
	}
	status = set_deps(&stream->deps, &stream->dep_count, event->deps, event->dep_count, true);
	if (status != CUDA_SUCCESS)
		capture->invalidated = true;
	return status;
}

static CUresult
begin(CUstream handle, struct genie_cpu_graph *graph, struct genie_cpu_node *const *deps,
      size_t dep_count, CUstreamCaptureMode mode)
{
	struct genie_cpu_capture *capture;
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_stream_get(handle, &stream);

	if (status != CUDA_SUCCESS)
		return status;
	if (stream == stream->ctx->legacy)
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	if (stream->capture || mode > CU_STREAM_CAPTURE_MODE_RELAXED)
		return stream->capture ? CUDA_ERROR_ILLEGAL_STATE : CUDA_ERROR_INVALID_VALUE;
	capture = calloc(1, sizeof(*capture));
	if (!capture)
		return CUDA_ERROR_OUT_OF_MEMORY;
	capture->refs = 1;
	__atomic_add_fetch(&genie_cpu.capturing, 1, __ATOMIC_RELAXED);
	capture->id = genie_cpu_new_id();
	capture->mode = mode;
	capture->origin = stream;
	capture->given_graph = graph != NULL;
	if (graph)
		genie_cpu_graph_ref(graph);
	else
		graph = genie_cpu_graph_new();
	capture->graph = graph;
	status = graph ? set_deps(&stream->deps, &stream->dep_count, deps, dep_count, false)
		       : CUDA_ERROR_OUT_OF_MEMORY;
	if (status != CUDA_SUCCESS) {
		capture_unref(capture);
		return status;
	}
	stream->capture = capture;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
	return begin(stream, NULL, NULL, 0, mode);
}

static CUresult
cpu_cuStreamBeginCapture(CUstream stream)
{
	return begin(stream, NULL, NULL, 0, CU_STREAM_CAPTURE_MODE_GLOBAL);
}

static CUresult
cpu_cuStreamBeginCaptureToGraph(CUstream stream, CUgraph handle, const CUgraphNode *deps,
				const CUgraphEdgeData *data, size_t count, CUstreamCaptureMode mode)
{
	struct genie_cpu_graph *graph = genie_cpu_graph_get(handle);

	(void)data;
	if (!graph || (count && !deps))
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < count; i++) {
		struct genie_cpu_node *node = genie_cpu_node_get(deps[i]);

		if (!node || node->graph != graph)
			return CUDA_ERROR_INVALID_VALUE;
	}
	return begin(stream, graph, (struct genie_cpu_node *const *)deps, count, mode);
}

/* Marks the nodes and everything before them. */
static CUresult
mark_ancestors(struct genie_cpu_graph *graph, struct genie_cpu_node *const *nodes, size_t count)
{
	struct genie_cpu_node **todo = calloc(graph->count + 1, sizeof(*todo));
	size_t n = 0;

	if (!todo)
		return CUDA_ERROR_OUT_OF_MEMORY;
	for (size_t i = 0; i < count; i++)
		if (!nodes[i]->marked) {
			nodes[i]->marked = true;
			todo[n++] = nodes[i];
		}
	while (n) {
		struct genie_cpu_node *node = todo[--n];

		for (size_t k = 0; k < node->dep_count; k++)
			if (!node->deps[k].node->marked) {
				node->deps[k].node->marked = true;
				todo[n++] = node->deps[k].node;
			}
	}
	free(todo);
	return CUDA_SUCCESS;
}

/* Is all that joined streams did before what the origin does next? */
static CUresult
check_joined(struct genie_cpu_capture *capture)
{
	struct genie_cpu_stream *origin = capture->origin;
	CUresult status = mark_ancestors(capture->graph, origin->deps, origin->dep_count);

	if (status != CUDA_SUCCESS)
		return status;
	pthread_mutex_lock(&genie_cpu.run_lock);
	for (struct genie_cpu_stream *s = genie_cpu.streams; s; s = s->next)
		for (size_t i = 0; s->capture == capture && i < s->dep_count; i++)
			if (!s->deps[i]->marked)
				status = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
	pthread_mutex_unlock(&genie_cpu.run_lock);
	for (size_t i = 0; i < capture->graph->count; i++)
		capture->graph->nodes[i]->marked = false;
	return status;
}

static CUresult
cpu_cuStreamEndCapture(CUstream handle, CUgraph *ret_graph)
{
	struct genie_cpu_capture *capture;
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_stream_get(handle, &stream);

	if (status != CUDA_SUCCESS)
		return status;
	capture = stream->capture;
	if (!capture)
		return CUDA_ERROR_ILLEGAL_STATE;
	if (capture->origin && capture->origin != stream)
		return genie_cpu_capture_invalidate(stream, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
	status = capture->invalidated || !capture->origin ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
							  : check_joined(capture);
	if (ret_graph)
		*ret_graph = NULL;
	if (status == CUDA_SUCCESS && ret_graph) {
		*ret_graph = (CUgraph)capture->graph;
		/* the program's own now; one that it gave it has already */
		if (!capture->given_graph)
			genie_cpu_graph_ref(capture->graph);
	}
	pthread_mutex_lock(&genie_cpu.run_lock);
	for (struct genie_cpu_stream *s = genie_cpu.streams; s; s = s->next)
		if (s->capture == capture && s != stream)
			leave(s);
	leave(stream);
	pthread_mutex_unlock(&genie_cpu.run_lock);
	return status;
}

static CUstreamCaptureStatus
status_of(const struct genie_cpu_stream *stream)
{
	if (!stream->capture)
		return CU_STREAM_CAPTURE_STATUS_NONE;
	return stream->capture->invalidated ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
					    : CU_STREAM_CAPTURE_STATUS_ACTIVE;
}

static CUresult
cpu_cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status_out)
{
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_stream_get(handle, &stream);

	if (status != CUDA_SUCCESS)
		return status;
	if (stream == stream->ctx->legacy && genie_cpu_capture_forbids_legacy(stream->ctx, false))
		return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
	*status_out = status_of(stream);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuStreamGetCaptureInfo_v3(CUstream handle, CUstreamCaptureStatus *status_out, cuuint64_t *id,
			      CUgraph *graph, const CUgraphNode **deps,
			      const CUgraphEdgeData **data, size_t *count)
{
	struct genie_cpu_stream *stream;
	CUresult status = cpu_cuStreamIsCapturing(handle, status_out);

	if (status == CUDA_SUCCESS)
		status = genie_cpu_stream_get(handle, &stream);
	if (status != CUDA_SUCCESS || *status_out != CU_STREAM_CAPTURE_STATUS_ACTIVE)
		return status;
	if (data) {
		free(stream->capture->no_edges);
		stream->capture->no_edges =
			calloc(stream->dep_count + 1, sizeof(*stream->capture->no_edges));
		if (!stream->capture->no_edges)
			return CUDA_ERROR_OUT_OF_MEMORY;
		*data = stream->capture->no_edges;
	}
	if (id)
		*id = stream->capture->id;
	if (graph)
		*graph = (CUgraph)stream->capture->graph;
	if (deps)
		*deps = (const CUgraphNode *)stream->deps;
	if (count)
		*count = stream->dep_count;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuStreamGetCaptureInfo_v2(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id,
			      CUgraph *graph, const CUgraphNode **deps, size_t *count)
{
	return cpu_cuStreamGetCaptureInfo_v3(stream, status, id, graph, deps, NULL, count);
}

static CUresult
cpu_cuStreamGetCaptureInfo(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id)
{
	return cpu_cuStreamGetCaptureInfo_v3(stream, status, id, NULL, NULL, NULL, NULL);
}

static CUresult
cpu_cuStreamUpdateCaptureDependencies(CUstream handle, CUgraphNode *deps, size_t count,
				      unsigned int flags)
{
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_stream_get(handle, &stream);

	if (status != CUDA_SUCCESS)
		return status;
	if (!stream->capture)
		return CUDA_ERROR_ILLEGAL_STATE;
	if (flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES || (count && !deps))
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < count; i++) {
		struct genie_cpu_node *node = genie_cpu_node_get(deps[i]);

		if (!node || node->graph != stream->capture->graph)
			return CUDA_ERROR_INVALID_VALUE;
	}
	return set_deps(&stream->deps, &stream->dep_count, (struct genie_cpu_node *const *)deps,
			count, flags == CU_STREAM_ADD_CAPTURE_DEPENDENCIES);
}

static CUresult
cpu_cuStreamUpdateCaptureDependencies_v2(CUstream stream, CUgraphNode *deps,
					 const CUgraphEdgeData *data, size_t count,
					 unsigned int flags)
{
	(void)data;
	return cpu_cuStreamUpdateCaptureDependencies(stream, deps, count, flags);
}

static CUresult
cpu_cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
	CUstreamCaptureMode before = thread_mode;

	if (!mode || *mode > CU_STREAM_CAPTURE_MODE_RELAXED)
		return CUDA_ERROR_INVALID_VALUE;
	thread_mode = *mode;
	*mode = before;
	return CUDA_SUCCESS;
}

void
genie_cpu_fill_capture(struct genie_driver *drv)
{
	drv->cuStreamBeginCapture = cpu_cuStreamBeginCapture;
	drv->cuStreamBeginCapture_v2 = cpu_cuStreamBeginCapture_v2;
	drv->cuStreamBeginCaptureToGraph = cpu_cuStreamBeginCaptureToGraph;
	drv->cuStreamEndCapture = cpu_cuStreamEndCapture;
	drv->cuStreamIsCapturing = cpu_cuStreamIsCapturing;
	drv->cuStreamGetCaptureInfo = cpu_cuStreamGetCaptureInfo;
	drv->cuStreamGetCaptureInfo_v2 = cpu_cuStreamGetCaptureInfo_v2;
	drv->cuStreamGetCaptureInfo_v3 = cpu_cuStreamGetCaptureInfo_v3;
	drv->cuStreamUpdateCaptureDependencies = cpu_cuStreamUpdateCaptureDependencies;
	drv->cuStreamUpdateCaptureDependencies_v2 = cpu_cuStreamUpdateCaptureDependencies_v2;
	drv->cuThreadExchangeStreamCaptureMode = cpu_cuThreadExchangeStreamCaptureMode;
}
