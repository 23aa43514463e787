/*
 * Stream capture: which streams are captured, by what, and what a program may not do meanwhile.
 *
 * The worker captures in relaxed mode, always: all threads of the program share its one issuing
 * thread, so the modes of CUDA, which are about threads, are applied here.
 */
#include "interpose/capture.h"

#include <stdlib.h>

#include "interpose/ctx.h"

/* One capture sequence: its origin stream and the streams that joined it through events. */
struct genie_capture {
	struct genie_capture *next;
	struct genie_stream *origin;
	struct genie_stream *members;      /* linked by capture_next; the origin is one */
	const struct genie_thread *thread; /* that began it; compared, never followed */
	CUstreamCaptureMode mode;
	uint64_t id;
	bool invalid;
	bool into_graph; /* cuStreamBeginCaptureToGraph: the graph exists already */
};

/* Guards the list, its members, and the capture fields of streams (stream->capture is written
 * under it and read without). */
static pthread_mutex_t capture_lock = PTHREAD_MUTEX_INITIALIZER;
static struct genie_capture *captures;
static uint64_t last_id;
/* Length of the list: lets every call outside captures leave at the first load. */
_Atomic int genie_capture_count;

bool
genie_stream_capturing(const struct genie_stream *stream)
{
	return atomic_load_explicit(&stream->capture, memory_order_acquire) !=
	       CU_STREAM_CAPTURE_STATUS_NONE;
}

static bool
captures_none(void)
{
	return atomic_load_explicit(&genie_capture_count, memory_order_relaxed) == 0;
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
	atomic_store_explicit(&stream->capture, CU_STREAM_CAPTURE_STATUS_NONE,
			      memory_order_release);
}

static void
capture_invalidate_locked(struct genie_capture *capture)
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
	atomic_fetch_sub_explicit(&genie_capture_count, 1, memory_order_relaxed);
	free(capture);
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
	pthread_mutex_lock(&capture_lock);
	for (struct genie_capture *capture = captures; capture; capture = capture->next)
		if (capture_forbids(capture, thread)) {
			capture_invalidate_locked(capture);
			status = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
		}
	pthread_mutex_unlock(&capture_lock);
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

	pthread_mutex_lock(&capture_lock);
	blocks = capture_blocking_locked(ctx) != NULL;
	pthread_mutex_unlock(&capture_lock);
	return blocks;
}

CUresult
genie_capture_forbids_stream(struct genie_stream *stream)
{
	struct genie_capture *capture;
	CUresult status = CUDA_SUCCESS;

	if (captures_none())
		return CUDA_SUCCESS;
	pthread_mutex_lock(&capture_lock);
	capture = stream->capturing;
	if (capture)
		status = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	else if (stream->legacy && (capture = capture_blocking_locked(stream->object.ctx)))
		status = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
	if (capture)
		capture_invalidate_locked(capture);
	pthread_mutex_unlock(&capture_lock);
	return status;
}

CUresult
genie_capture_enter_slow(struct genie_stream *stream)
{
	struct genie_capture *capture;
	CUresult status = CUDA_SUCCESS;

	pthread_mutex_lock(&capture_lock);
	if (stream->capturing && stream->capturing->invalid) {
		status = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
	} else if (stream->legacy && (capture = capture_blocking_locked(stream->object.ctx))) {
		capture_invalidate_locked(capture);
		status = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
	}
	pthread_mutex_unlock(&capture_lock);
	return status;
}

/* ---- events carry a capture from stream to stream ---- */

CUresult
genie_capture_record_event(struct genie_stream *stream, struct genie_event *event,
			   unsigned int flags)
{
	if (!genie_stream_capturing(stream))
		return CUDA_SUCCESS;
	/* An external record is a node of the graph: each launch records the event for real. */
	if (flags & CU_EVENT_RECORD_EXTERNAL) {
		atomic_store_explicit(&event->capture_id, 0, memory_order_relaxed);
		atomic_store_explicit(&event->remote, true, memory_order_relaxed);
		return CUDA_SUCCESS;
	}
	pthread_mutex_lock(&capture_lock);
	atomic_store_explicit(&event->capture_id, stream->capture_id, memory_order_relaxed);
	pthread_mutex_unlock(&capture_lock);
	return CUDA_SUCCESS;
}

CUresult
genie_capture_forbids_event(const struct genie_event *event)
{
	uint64_t id = atomic_load_explicit(&event->capture_id, memory_order_relaxed);
	struct genie_capture *capture;

	if (!id)
		return CUDA_SUCCESS;
	pthread_mutex_lock(&capture_lock);
	capture = capture_find_locked(id);
	if (capture)
		capture_invalidate_locked(capture);
	pthread_mutex_unlock(&capture_lock);
	return CUDA_ERROR_CAPTURED_EVENT;
}

/* @event was recorded in a capture: the stream joins it, unless that mixes two. */
static CUresult
capture_join_locked(struct genie_stream *stream, uint64_t id)
{
	struct genie_capture *capture = capture_find_locked(id);

	if (!capture)
		return CUDA_ERROR_CAPTURED_EVENT; /* that capture has ended */
	if (stream->legacy) {
		capture_invalidate_locked(capture);
		return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
	}
	if (stream->capturing && stream->capturing != capture) {
		capture_invalidate_locked(capture);
		capture_invalidate_locked(stream->capturing);
		return CUDA_ERROR_STREAM_CAPTURE_MERGE;
	}
	if (!stream->capturing)
		stream_join_locked(stream, capture);
	return CUDA_SUCCESS;
}

CUresult
genie_capture_wait_event(struct genie_stream *stream, struct genie_event *event, unsigned int flags)
{
	uint64_t id = atomic_load_explicit(&event->capture_id, memory_order_relaxed);
	CUresult status = CUDA_SUCCESS;

	if (!id && !genie_stream_capturing(stream))
		return CUDA_SUCCESS;
	pthread_mutex_lock(&capture_lock);
	if (id) {
		status = capture_join_locked(stream, id);
	} else if (stream->capturing && !(flags & CU_EVENT_WAIT_EXTERNAL)) {
		/* The graph cannot depend on work outside of it. */
		capture_invalidate_locked(stream->capturing);
		status = CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
	}
	pthread_mutex_unlock(&capture_lock);
	return status;
}

void
genie_capture_forget_stream(struct genie_stream *stream)
{
	if (!genie_stream_capturing(stream))
		return;
	pthread_mutex_lock(&capture_lock);
	if (stream->capturing && stream->capturing->origin == stream) {
		capture_end_locked(stream->capturing);
	} else if (stream->capturing) {
		capture_invalidate_locked(stream->capturing);
		stream_leave_locked(stream);
	}
	pthread_mutex_unlock(&capture_lock);
}

/* ---- the entry points ---- */

static CUresult
capture_begin(struct genie_stream *stream, CUstreamCaptureMode mode, bool into_graph)
{
	struct genie_capture *capture;

	if ((unsigned int)mode > CU_STREAM_CAPTURE_MODE_RELAXED)
		return CUDA_ERROR_INVALID_VALUE;
	if (stream->legacy)
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	capture = calloc(1, sizeof(*capture));
	if (!capture)
		return CUDA_ERROR_OUT_OF_MEMORY;
	capture->origin = stream;
	capture->thread = genie_thread_self();
	capture->mode = mode;
	capture->into_graph = into_graph;

	pthread_mutex_lock(&capture_lock);
	if (stream->capturing) {
		pthread_mutex_unlock(&capture_lock);
		free(capture);
		return CUDA_ERROR_ILLEGAL_STATE;
	}
	capture->id = ++last_id;
	capture->next = captures;
	captures = capture;
	atomic_fetch_add_explicit(&genie_capture_count, 1, memory_order_relaxed);
	stream_join_locked(stream, capture);
	pthread_mutex_unlock(&capture_lock);
	return CUDA_SUCCESS;
}

static void
capture_cancel(struct genie_stream *stream)
{
	pthread_mutex_lock(&capture_lock);
	if (stream->capturing)
		capture_end_locked(stream->capturing);
	pthread_mutex_unlock(&capture_lock);
}

CUresult
genie_cuStreamBeginCapture_v2(CUstream hStream, CUstreamCaptureMode mode)
{
	struct genie_args_cuStreamBeginCapture_v2 args = {.mode = CU_STREAM_CAPTURE_MODE_RELAXED};
	struct genie_stream *stream = genie_stream_get(hStream);
	CUresult status;

	if (!stream)
		return genie_stream_missing();
	status = capture_begin(stream, mode, false);
	if (status != CUDA_SUCCESS)
		return status;
	args.hStream = genie_stream_wire(stream);
	status = genie_call_ctx(GENIE_OP_cuStreamBeginCapture_v2, &args, stream->object.ctx, NULL);
	if (status != CUDA_SUCCESS)
		capture_cancel(stream);
	return status;
}

CUresult
genie_cuStreamBeginCapture(CUstream hStream)
{
	return genie_cuStreamBeginCapture_v2(hStream, CU_STREAM_CAPTURE_MODE_GLOBAL);
}

/* May this thread end the capture on @stream? */
static CUresult
capture_check_end(const struct genie_stream *stream, bool *ret_invalid)
{
	struct genie_capture *capture;
	CUresult status = CUDA_SUCCESS;

	pthread_mutex_lock(&capture_lock);
	capture = stream->capturing;
	if (!capture) {
		status = CUDA_ERROR_ILLEGAL_STATE;
	} else if (capture->origin != stream) {
		capture->invalid = true; /* seen with driver 580: this spoils it */
		status = CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
	} else if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED &&
		   capture->thread != genie_thread_self()) {
		status = CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
	}
	*ret_invalid = capture && capture->invalid;
	pthread_mutex_unlock(&capture_lock);
	return status;
}

CUresult
genie_cuStreamEndCapture(CUstream hStream, CUgraph *phGraph)
{
	struct genie_stream *stream = genie_stream_get(hStream);
	struct genie_args_cuStreamEndCapture args = {0};
	bool invalid = false, wrong_thread;
	CUgraph graph = NULL;
	CUresult status;

	if (!stream)
		return genie_stream_missing();
	if (!phGraph)
		return CUDA_ERROR_INVALID_VALUE;
	status = capture_check_end(stream, &invalid);
	/* The wrong thread ends the capture all the same, and nobody gets the graph (driver 580).
	 */
	wrong_thread = status == CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
	if (status != CUDA_SUCCESS && !wrong_thread)
		return status;
	status = genie_graph_new(&graph);
	if (status != CUDA_SUCCESS)
		return status;
	args.hStream = genie_stream_wire(stream);
	args.phGraph = &graph;
	status = genie_call_ctx(GENIE_OP_cuStreamEndCapture, &args, stream->object.ctx, NULL);
	capture_cancel(stream);
	if (status == CUDA_SUCCESS && (invalid || wrong_thread)) {
		/* The worker does not know that this side forbade something. */
		genie_cuGraphDestroy(graph);
		status = wrong_thread ? CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD
				      : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
	} else if (status != CUDA_SUCCESS) {
		genie_graph_forget(graph);
	}
	*phGraph = status == CUDA_SUCCESS ? graph : NULL;
	return status;
}

CUresult
genie_cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
	struct genie_thread *thread = genie_thread_self();
	int old = thread->capture_mode;

	if (!mode || (unsigned int)*mode > CU_STREAM_CAPTURE_MODE_RELAXED)
		return CUDA_ERROR_INVALID_VALUE;
	thread->capture_mode = *mode;
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

CUresult
genie_cuStreamGetCaptureInfo(CUstream hStream, CUstreamCaptureStatus *captureStatus_out,
			     cuuint64_t *id_out)
{
	CUresult status = genie_cuStreamIsCapturing(hStream, captureStatus_out);

	if (status == CUDA_SUCCESS && id_out && *captureStatus_out != CU_STREAM_CAPTURE_STATUS_NONE)
		*id_out = genie_stream_get(hStream)->capture_id;
	return status;
}
