/*
 * Stream capture: which streams are captured into which graph, what their next node comes after,
 * and what a program may not do meanwhile. What is captured becomes a node (capture_op.c); the
 * worker hears of nodes only, and never captures.
 */
#include "interpose/capture.h"

#include <stdlib.h>
#include <string.h>

#include "interpose/ctx.h"

/* Of captures that go on: lets every call outside of them leave at the first load. */
_Atomic int genie_captures;

/* Guarded by the graph lock, as are the capture fields of streams and events (stream->capture is
 * written under it and read without). */
static struct genie_capture *captures;
static uint64_t last_id;

bool
genie_stream_capturing(const struct genie_stream *stream)
{
	return atomic_load_explicit(&stream->capture, memory_order_acquire) !=
	       CU_STREAM_CAPTURE_STATUS_NONE;
}

static bool
captures_none(void)
{
	return atomic_load_explicit(&genie_captures, memory_order_relaxed) == 0;
}

/* ---- what comes before the next node ---- */

void
genie_capture_deps_fini(struct genie_capture_deps *deps)
{
	free(deps->nodes);
	free(deps->data);
	*deps = (struct genie_capture_deps){0};
}

static size_t
deps_find(const struct genie_capture_deps *deps, CUgraphNode node, const CUgraphEdgeData *data)
{
	size_t i = 0;

	while (i < deps->count &&
	       (deps->nodes[i] != node || memcmp(&deps->data[i], data, sizeof(*data)) != 0))
		i++;
	return i;
}

CUresult
genie_capture_deps_set(struct genie_capture_deps *deps, const CUgraphNode *nodes,
		       const CUgraphEdgeData *data, size_t count, bool add)
{
	struct genie_capture_deps list = {0};
	const CUgraphEdgeData plain = {0};
	size_t kept = add ? deps->count : 0;

	list.nodes = calloc(kept + count + 1, sizeof(*list.nodes));
	list.data = calloc(kept + count + 1, sizeof(*list.data));
	if (!list.nodes || !list.data) {
		genie_capture_deps_fini(&list);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	if (kept) {
		memcpy(list.nodes, deps->nodes, kept * sizeof(*list.nodes));
		memcpy(list.data, deps->data, kept * sizeof(*list.data));
	}
	list.count = kept;
	for (size_t i = 0; i < count; i++) {
		const CUgraphEdgeData *edge = data ? &data[i] : &plain;

		if (deps_find(&list, nodes[i], edge) < list.count)
			continue;
		list.nodes[list.count] = nodes[i];
		list.data[list.count++] = *edge;
	}
	genie_capture_deps_fini(deps);
	*deps = list;
	return CUDA_SUCCESS;
}

/* ---- state changes ---- */

static void
stream_join_locked(struct genie_stream *stream, struct genie_capture *capture)
{
	stream->capturing = capture;
	stream->capture_id = capture->id;
	stream->capture_next = capture->members;
	capture->members = stream;
	atomic_store_explicit(&stream->capture,
			      capture->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
					       : CU_STREAM_CAPTURE_STATUS_ACTIVE,
			      memory_order_release);
}

static void
stream_leave_locked(struct genie_stream *stream)
{
	struct genie_stream **link = &stream->capturing->members;

	while (*link != stream)
		link = &(*link)->capture_next;
	*link = stream->capture_next;
	stream->capturing = NULL;
	genie_capture_deps_fini(&stream->capture_deps);
	atomic_store_explicit(&stream->capture, CU_STREAM_CAPTURE_STATUS_NONE,
			      memory_order_release);
}

void
genie_capture_invalidate_locked(struct genie_capture *capture)
{
	capture->invalid = true;
	for (struct genie_stream *stream = capture->members; stream; stream = stream->capture_next)
		atomic_store_explicit(&stream->capture, CU_STREAM_CAPTURE_STATUS_INVALIDATED,
				      memory_order_release);
}

static void
capture_end_locked(struct genie_capture *capture)
{
	struct genie_capture **link = &captures;

	while (capture->members)
		stream_leave_locked(capture->members);
	while (*link != capture)
		link = &(*link)->next;
	*link = capture->next;
	capture->graph->captures--;
	atomic_fetch_sub_explicit(&genie_captures, 1, memory_order_relaxed);
	free(capture);
}

/* Ends it without a graph. */
static void
capture_discard_locked(struct genie_capture *capture)
{
	struct genie_graph *graph = capture->graph;
	bool given = capture->given;

	capture_end_locked(capture);
	if (!given)
		(void)genie_graph_destroy_locked(graph);
}

void
genie_capture_forget_graph_locked(const struct genie_graph *graph)
{
	struct genie_capture *capture, *next;

	for (capture = captures; capture; capture = next) {
		next = capture->next;
		if (capture->graph == graph)
			capture_end_locked(capture);
	}
}

static struct genie_capture *
capture_find_locked(uint64_t id)
{
	struct genie_capture *capture = captures;

	while (capture && capture->id != id)
		capture = capture->next;
	return capture;
}

/* ---- what a capture forbids ---- */

/* Does @capture keep @thread from calls that could disturb it? The modes are those of
 * cuThreadExchangeStreamCaptureMode. */
static bool
capture_forbids(const struct genie_capture *capture, const struct genie_thread *thread)
{
	if (thread->capture_mode == CU_STREAM_CAPTURE_MODE_RELAXED ||
	    capture->mode == CU_STREAM_CAPTURE_MODE_RELAXED)
		return false;
	if (capture->thread == thread)
		return true;
	return capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL &&
	       thread->capture_mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
}

CUresult
genie_capture_forbids(void)
{
	const struct genie_thread *thread = genie_thread_self();
	CUresult status = CUDA_SUCCESS;

	if (captures_none())
		return CUDA_SUCCESS;
	genie_graph_take();
	for (struct genie_capture *capture = captures; capture; capture = capture->next)
		if (capture_forbids(capture, thread)) {
			genie_capture_invalidate_locked(capture);
			status = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
		}
	genie_graph_unlock();
	return status;
}

/* The first capture of a blocking stream of @ctx that the legacy stream would have to wait for. */
static struct genie_capture *
capture_blocking_locked(const struct genie_ctx *ctx)
{
	for (struct genie_capture *capture = captures; capture; capture = capture->next)
		if (capture->origin->object.ctx == ctx &&
		    !(capture->origin->flags & CU_STREAM_NON_BLOCKING))
			return capture;
	return NULL;
}

static bool
capture_blocks_legacy(const struct genie_ctx *ctx)
{
	bool blocks;

	genie_graph_take();
	blocks = capture_blocking_locked(ctx) != NULL;
	genie_graph_unlock();
	return blocks;
}

CUresult
genie_capture_forbids_stream(struct genie_stream *stream)
{
	struct genie_capture *capture;
	CUresult status = CUDA_SUCCESS;

	if (captures_none())
		return CUDA_SUCCESS;
	genie_graph_take();
	capture = stream->capturing;
	if (capture)
		status = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	else if (stream->legacy && (capture = capture_blocking_locked(stream->object.ctx)))
		status = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
	if (capture)
		genie_capture_invalidate_locked(capture);
	genie_graph_unlock();
	return status;
}

struct genie_capture_entry
genie_capture_enter_slow(struct genie_stream *stream)
{
	struct genie_capture_entry entry = {CUDA_SUCCESS, false};
	struct genie_capture *blocking;

	genie_graph_take();
	if (stream->capturing) {
		entry.captured = !stream->capturing->invalid;
		if (stream->capturing->invalid)
			entry.status = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
	} else if (stream->legacy && (blocking = capture_blocking_locked(stream->object.ctx))) {
		genie_capture_invalidate_locked(blocking);
		entry.status = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
	}
	genie_graph_unlock();
	return entry;
}

/* ---- events carry a capture from stream to stream ---- */

CUresult
genie_capture_record_event(struct genie_stream *stream, struct genie_event *event)
{
	CUresult status = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;

	genie_graph_take();
	if (stream->capturing && !stream->capturing->invalid)
		status = genie_capture_deps_set(&event->capture_deps, stream->capture_deps.nodes,
						stream->capture_deps.data,
						stream->capture_deps.count, false);
	if (status == CUDA_SUCCESS)
		atomic_store_explicit(&event->capture_id, stream->capture_id, memory_order_relaxed);
	genie_graph_unlock();
	return status;
}

/* @event was recorded in a capture: the stream joins it, unless that mixes two. */
static CUresult
capture_join_locked(struct genie_stream *stream, const struct genie_event *event, uint64_t id)
{
	struct genie_capture *capture = capture_find_locked(id);

	if (!capture)
		return CUDA_ERROR_CAPTURED_EVENT; /* that capture has ended */
	if (capture->invalid)
		return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
	if (stream->legacy) {
		genie_capture_invalidate_locked(capture);
		return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
	}
	if (stream->capturing && stream->capturing != capture) {
		genie_capture_invalidate_locked(capture);
		genie_capture_invalidate_locked(stream->capturing);
		return CUDA_ERROR_STREAM_CAPTURE_MERGE;
	}
	if (!stream->capturing)
		stream_join_locked(stream, capture);
	return genie_capture_deps_set(&stream->capture_deps, event->capture_deps.nodes,
				      event->capture_deps.data, event->capture_deps.count, true);
}

CUresult
genie_capture_wait_event(struct genie_stream *stream, struct genie_event *event)
{
	uint64_t id = atomic_load_explicit(&event->capture_id, memory_order_relaxed);
	CUresult status = CUDA_SUCCESS;

	if (!id && !genie_stream_capturing(stream))
		return CUDA_SUCCESS;
	genie_graph_take();
	if (id) {
		status = capture_join_locked(stream, event, id);
	} else if (stream->capturing) {
		/* The graph cannot depend on work outside of it. */
		genie_capture_invalidate_locked(stream->capturing);
		status = CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
	}
	genie_graph_unlock();
	return status;
}

void
genie_capture_forget_event(struct genie_event *event)
{
	genie_graph_take();
	genie_capture_deps_fini(&event->capture_deps);
	genie_graph_unlock();
}

CUresult
genie_capture_asked_event(struct genie_event *event)
{
	struct genie_capture *capture;

	/* "necessarily conflicts with stream capture" */
	genie_graph_take();
	capture =
		capture_find_locked(atomic_load_explicit(&event->capture_id, memory_order_relaxed));
	if (capture)
		genie_capture_invalidate_locked(capture);
	genie_graph_unlock();
	return CUDA_ERROR_CAPTURED_EVENT;
}

void
genie_capture_forget_stream(struct genie_stream *stream)
{
	if (!genie_stream_capturing(stream))
		return;
	genie_graph_take();
	if (stream->capturing && stream->capturing->origin == stream) {
		capture_discard_locked(stream->capturing);
	} else if (stream->capturing) {
		genie_capture_invalidate_locked(stream->capturing);
		stream_leave_locked(stream);
	}
	genie_graph_unlock();
}

/* ---- the entry points ---- */

static CUresult
begin_locked(struct genie_stream *stream, struct genie_graph *given, const CUgraphNode *nodes,
	     const CUgraphEdgeData *data, size_t count, CUstreamCaptureMode mode)
{
	struct genie_capture *capture = calloc(1, sizeof(*capture));
	CUresult status = capture ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;

	if (status == CUDA_SUCCESS)
		status = genie_capture_deps_set(&stream->capture_deps, nodes, data, count, false);
	if (status == CUDA_SUCCESS && !given)
		status = genie_graph_create_locked(&capture->graph);
	if (status != CUDA_SUCCESS) {
		free(capture);
		return status;
	}
	if (given)
		capture->graph = given;
	capture->given = given != NULL;
	capture->graph->captures++;
	capture->origin = stream;
	capture->thread = genie_thread_self();
	capture->mode = mode;
	capture->id = ++last_id;
	capture->next = captures;
	captures = capture;
	atomic_fetch_add_explicit(&genie_captures, 1, memory_order_relaxed);
	stream_join_locked(stream, capture);
	return CUDA_SUCCESS;
}

static CUresult
begin(CUstream handle, bool into_graph, CUgraph graph_handle, const CUgraphNode *nodes,
      const CUgraphEdgeData *data, size_t count, CUstreamCaptureMode mode)
{
	struct genie_stream *stream = genie_stream_get(handle);
	struct genie_graph *graph = NULL;
	struct genie_dep *deps = NULL;
	CUresult status = CUDA_SUCCESS;

	if (!stream)
		return genie_stream_missing();
	if ((unsigned int)mode > CU_STREAM_CAPTURE_MODE_RELAXED)
		return CUDA_ERROR_INVALID_VALUE;
	if (stream->legacy)
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	genie_graph_take();
	if (into_graph) {
		graph = genie_graph_get(graph_handle);
		/* The kind of the first node is not known yet: edges are taken as a kernel's. */
		status = graph ? genie_deps_resolve(graph, nodes, data, count,
						    CU_GRAPH_NODE_TYPE_KERNEL, &deps)
			       : CUDA_ERROR_INVALID_VALUE;
		free(deps);
	}
	if (status == CUDA_SUCCESS)
		status = stream->capturing ? CUDA_ERROR_ILLEGAL_STATE
					   : begin_locked(stream, graph, nodes, data, count, mode);
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuStreamBeginCapture_v2(CUstream hStream, CUstreamCaptureMode mode)
{
	return begin(hStream, false, NULL, NULL, NULL, 0, mode);
}

CUresult
genie_cuStreamBeginCapture(CUstream hStream)
{
	return genie_cuStreamBeginCapture_v2(hStream, CU_STREAM_CAPTURE_MODE_GLOBAL);
}

CUresult
genie_cuStreamBeginCaptureToGraph(CUstream hStream, CUgraph hGraph, const CUgraphNode *dependencies,
				  const CUgraphEdgeData *dependencyData, size_t numDependencies,
				  CUstreamCaptureMode mode)
{
	return begin(hStream, true, hGraph, dependencies, dependencyData, numDependencies, mode);
}

/* May this thread end the capture on @stream? */
static CUresult
check_end_locked(const struct genie_stream *stream)
{
	struct genie_capture *capture = stream->capturing;

	if (!capture)
		return CUDA_ERROR_ILLEGAL_STATE;
	if (capture->origin != stream) {
		genie_capture_invalidate_locked(capture); /* seen with driver 580 */
		return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
	}
	if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED &&
	    capture->thread != genie_thread_self())
		return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
	return CUDA_SUCCESS;
}

/* Marks the nodes that @deps names and everything before them. */
static CUresult
mark_ancestors(const struct genie_graph *graph, const struct genie_capture_deps *deps)
{
	struct genie_node **todo = calloc(graph->count + 1, sizeof(*todo));
	size_t n = 0;

	if (!todo)
		return CUDA_ERROR_OUT_OF_MEMORY;
	for (size_t i = 0; i < deps->count; i++) {
		struct genie_node *node = genie_node_get(deps->nodes[i]);

		if (node && !node->marked) {
			node->marked = true;
			todo[n++] = node;
		}
	}
	while (n) {
		struct genie_node *node = todo[--n];

		for (size_t k = 0; k < node->dep_count; k++)
			if (!node->deps[k].node->marked) {
				node->deps[k].node->marked = true;
				todo[n++] = node->deps[k].node;
			}
	}
	free(todo);
	return CUDA_SUCCESS;
}

/* Is all that joined streams did before what the origin would do next? */
static CUresult
check_joined_locked(const struct genie_capture *capture)
{
	CUresult status = mark_ancestors(capture->graph, &capture->origin->capture_deps);

	for (const struct genie_stream *s = capture->members; s && status == CUDA_SUCCESS;
	     s = s->capture_next)
		for (size_t i = 0; i < s->capture_deps.count; i++) {
			const struct genie_node *node = genie_node_get(s->capture_deps.nodes[i]);

			if (node && !node->marked)
				status = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
		}
	for (size_t i = 0; i < capture->graph->count; i++)
		capture->graph->nodes[i]->marked = false;
	return status;
}

CUresult
genie_cuStreamEndCapture(CUstream hStream, CUgraph *phGraph)
{
	struct genie_stream *stream = genie_stream_get(hStream);
	struct genie_capture *capture;
	CUgraph graph = NULL;
	CUresult status;

	if (!stream)
		return genie_stream_missing();
	genie_graph_take();
	status = check_end_locked(stream);
	/* The wrong thread ends the capture all the same, and nobody gets the graph (driver 580).
	 */
	if (status != CUDA_SUCCESS && status != CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD) {
		genie_graph_unlock();
		return status;
	}
	capture = stream->capturing;
	if (status == CUDA_SUCCESS)
		status = capture->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
					  : check_joined_locked(capture);
	if (status == CUDA_SUCCESS) {
		graph = genie_graph_handle(capture->graph);
		capture_end_locked(capture);
	} else {
		capture_discard_locked(capture);
	}
	genie_graph_unlock();
	if (phGraph) /* without, the graph is there and nobody knows it (driver 580) */
		*phGraph = graph;
	return status;
}

CUresult
genie_cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
	struct genie_thread *thread = genie_thread_self();
	int old = thread->capture_mode;

	if (!mode)
		return CUDA_ERROR_INVALID_VALUE;
	thread->capture_mode = *mode; /* whatever it is: driver 580 takes any number */
	*mode = (CUstreamCaptureMode)old;
	return CUDA_SUCCESS;
}

/* ---- questions: loads, because every library asks before every launch ---- */

CUresult
genie_cuStreamIsCapturing(CUstream hStream, CUstreamCaptureStatus *captureStatus)
{
	struct genie_stream *stream = genie_stream_get(hStream);

	if (!stream)
		return genie_stream_missing();
	if (!captureStatus)
		return CUDA_ERROR_INVALID_VALUE;
	/* Asking about the legacy stream while a blocking stream is captured is itself an error,
	 * but does the capture no harm. */
	if (stream->legacy && !captures_none() && capture_blocks_legacy(stream->object.ctx))
		return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
	*captureStatus =
		(CUstreamCaptureStatus)atomic_load_explicit(&stream->capture, memory_order_acquire);
	return CUDA_SUCCESS;
}

/* All versions: what is not wanted is NULL. Who takes nodes without the data of their edges must
 * not be told half of it. */
static CUresult
capture_info(CUstream handle, CUstreamCaptureStatus *ret_capture, cuuint64_t *ret_id,
	     CUgraph *ret_graph, const CUgraphNode **ret_nodes, const CUgraphEdgeData **ret_data,
	     size_t *ret_count)
{
	CUresult status = genie_cuStreamIsCapturing(handle, ret_capture);
	struct genie_stream *stream;

	/* Libraries ask before every launch; only in a capture is there more to say. */
	if (status != CUDA_SUCCESS || *ret_capture == CU_STREAM_CAPTURE_STATUS_NONE)
		return status;
	genie_graph_take();
	stream = genie_stream_get(handle);
	if (stream && ret_id)
		*ret_id = stream->capture_id;
	if (stream && stream->capturing && *ret_capture == CU_STREAM_CAPTURE_STATUS_ACTIVE) {
		const struct genie_capture_deps *deps = &stream->capture_deps;

		for (size_t i = 0; i < deps->count && ret_nodes && !ret_data; i++)
			if (!genie_edge_plain(&deps->data[i]))
				status = CUDA_ERROR_LOSSY_QUERY;
		if (ret_graph)
			*ret_graph = genie_graph_handle(stream->capturing->graph);
		if (ret_nodes)
			*ret_nodes = deps->nodes;
		if (ret_data)
			*ret_data = deps->data;
		if (ret_count)
			*ret_count = deps->count;
	}
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuStreamGetCaptureInfo(CUstream hStream, CUstreamCaptureStatus *captureStatus_out,
			     cuuint64_t *id_out)
{
	return capture_info(hStream, captureStatus_out, id_out, NULL, NULL, NULL, NULL);
}

CUresult
genie_cuStreamGetCaptureInfo_v2(CUstream hStream, CUstreamCaptureStatus *captureStatus_out,
				cuuint64_t *id_out, CUgraph *graph_out,
				const CUgraphNode **dependencies_out, size_t *numDependencies_out)
{
	return capture_info(hStream, captureStatus_out, id_out, graph_out, dependencies_out, NULL,
			    numDependencies_out);
}

CUresult
genie_cuStreamGetCaptureInfo_v3(CUstream hStream, CUstreamCaptureStatus *captureStatus_out,
				cuuint64_t *id_out, CUgraph *graph_out,
				const CUgraphNode **dependencies_out,
				const CUgraphEdgeData **edgeData_out, size_t *numDependencies_out)
{
	return capture_info(hStream, captureStatus_out, id_out, graph_out, dependencies_out,
			    edgeData_out, numDependencies_out);
}

CUresult
genie_cuStreamUpdateCaptureDependencies_v2(CUstream hStream, CUgraphNode *dependencies,
					   const CUgraphEdgeData *dependencyData,
					   size_t numDependencies, unsigned int flags)
{
	struct genie_stream *stream = genie_stream_get(hStream);
	struct genie_dep *deps = NULL;
	CUresult status;

	if (!stream)
		return genie_stream_missing();
	if (flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES)
		return CUDA_ERROR_INVALID_VALUE;
	genie_graph_take();
	if (!stream->capturing || stream->capturing->invalid)
		status = CUDA_ERROR_ILLEGAL_STATE;
	else
		status = genie_deps_resolve(stream->capturing->graph, dependencies, dependencyData,
					    numDependencies, CU_GRAPH_NODE_TYPE_KERNEL, &deps);
	free(deps);
	if (status == CUDA_SUCCESS)
		status = genie_capture_deps_set(&stream->capture_deps, dependencies, dependencyData,
						numDependencies,
						flags == CU_STREAM_ADD_CAPTURE_DEPENDENCIES);
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuStreamUpdateCaptureDependencies(CUstream hStream, CUgraphNode *dependencies,
					size_t numDependencies, unsigned int flags)
{
	return genie_cuStreamUpdateCaptureDependencies_v2(hStream, dependencies, NULL,
							  numDependencies, flags);
}
