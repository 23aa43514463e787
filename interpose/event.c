/*
 * Events. A record is one command; the worker publishes its ticket in the event's progress slot
 * once the device has passed it. So a query is a load, and a wait is a wait for that slot.
 *
 * Events that something else records (a graph when it is launched, another process) have no
 * ticket: about those the worker is asked each time.
 */
#include "interpose/capture.h"
#include "interpose/ctx.h"
#include "interpose/mirror.h"

#include <time.h>

#define FLAGS_KNOWN (CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS)

#define REMOTE_POLL_NS 50000 /* between two questions about an event only the worker knows */

struct genie_event *
genie_event_get(CUevent handle)
{
	return genie_object_get(GENIE_KIND_EVENT, (uint64_t)(uintptr_t)handle);
}

static CUevent
event_wire(const struct genie_event *event)
{
	return (CUevent)(uintptr_t)event->object.token;
}

struct genie_event *
genie_event_new(struct genie_ctx *ctx, unsigned int flags)
{
	struct genie_event *event = genie_object_new(GENIE_KIND_EVENT, sizeof(*event), ctx);
	struct genie_args_cuEventCreate args = {.Flags = flags};
	CUevent handle;

	if (!event)
		return NULL;
	event->flags = flags;
	handle = event_wire(event);
	args.phEvent = &handle;
	if (genie_call_ctx(GENIE_OP_cuEventCreate, &args, ctx, NULL) != CUDA_SUCCESS) {
		genie_object_free(event);
		return NULL;
	}
	return event;
}

static void
event_forget(void *object, void *data)
{
	struct genie_event *event = object;

	if (event->object.ctx != data)
		return;
	genie_capture_forget_event(event);
	genie_object_free(event);
}

void
genie_event_forget_ctx(struct genie_ctx *ctx)
{
	genie_object_each(GENIE_KIND_EVENT, event_forget, ctx);
}

bool
genie_event_known_done(const struct genie_event *event)
{
	uint64_t ticket = atomic_load_explicit(&event->ticket, memory_order_acquire);
	struct genie_chan *chan = genie_client_chan();

	if (atomic_load_explicit(&event->remote, memory_order_relaxed))
		return false;
	if (!ticket)
		return true;
	return chan && genie_perf(GENIE_PERF_PROGRESS) &&
	       genie_chan_progress(chan, GENIE_SLOT_EVENT +
						 genie_token_index(event->object.token)) >= ticket;
}

/* ---- the entry points ---- */

CUresult
genie_cuEventCreate(CUevent *phEvent, unsigned int Flags)
{
	struct genie_ctx *ctx = genie_ctx_home();
	struct genie_event *event;

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!phEvent || Flags & ~(unsigned int)FLAGS_KNOWN)
		return CUDA_ERROR_INVALID_VALUE;
	/* Another process could not read the time stamps. */
	if (Flags & CU_EVENT_INTERPROCESS && !(Flags & CU_EVENT_DISABLE_TIMING))
		return CUDA_ERROR_INVALID_VALUE;
	event = genie_event_new(ctx, Flags);
	if (!event)
		return genie_chan_dead(genie_client_chan()) ? genie_chan_failed(0)
							    : CUDA_ERROR_OUT_OF_MEMORY;
	*phEvent = event_wire(event);
	return CUDA_SUCCESS;
}

CUresult
genie_cuEventDestroy_v2(CUevent hEvent)
{
	struct genie_args_cuEventDestroy_v2 args = {.hEvent = hEvent};
	struct genie_event *event = genie_event_get(hEvent);
	CUresult status;

	if (!event)
		return CUDA_ERROR_INVALID_HANDLE;
	status = genie_call_ctx(GENIE_OP_cuEventDestroy_v2, &args, event->object.ctx, NULL);
	genie_capture_forget_event(event);
	genie_object_free(event);
	return status;
}

CUresult
genie_cuEventRecordWithFlags(CUevent hEvent, CUstream hStream, unsigned int flags)
{
	struct genie_stream *stream = genie_stream_get(hStream);
	struct genie_event *event = genie_event_get(hEvent);
	struct genie_args_genieEventRecord args = {.event = hEvent, .flags = flags};
	bool captured = false;
	uint64_t ticket = 0;
	CUresult status;
	bool shared;

	if (!stream)
		return genie_stream_missing();
	if (!event || event->object.ctx->home != stream->object.ctx->home)
		return CUDA_ERROR_INVALID_HANDLE;
	if (flags & ~(unsigned int)CU_EVENT_RECORD_EXTERNAL)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_capture_enter(stream, &captured);
	if (status != CUDA_SUCCESS)
		return status;
	/* An external record is a node of the graph: each launch records the event for real. */
	if (captured)
		return flags & CU_EVENT_RECORD_EXTERNAL
			       ? genie_capture_event(stream, CU_GRAPH_NODE_TYPE_EVENT_RECORD,
						     hEvent)
			       : genie_capture_record_event(stream, event);
	args.stream = genie_stream_wire(stream);
	shared = atomic_load_explicit(&event->shared, memory_order_relaxed);
	/* Another process that is told of a record finds it made. */
	if (shared)
		status = genie_call_issued(GENIE_OP_genieEventRecord, &args, stream->object.ctx,
					   &ticket);
	else
		status = genie_call_ctx(GENIE_OP_genieEventRecord, &args, stream->object.ctx,
					&ticket);
	if (status != CUDA_SUCCESS)
		return status;
	atomic_store_explicit(&event->capture_id, 0, memory_order_relaxed);
	atomic_store_explicit(&event->remote, shared, memory_order_relaxed);
	atomic_store_explicit(&event->ticket, ticket, memory_order_release);
	genie_stream_submitted(stream, ticket);
	genie_stream_recorded(stream, event, ticket);
	return genie_pending_error_before(ticket);
}

CUresult
genie_cuEventRecord(CUevent hEvent, CUstream hStream)
{
	return genie_cuEventRecordWithFlags(hEvent, hStream, CU_EVENT_RECORD_DEFAULT);
}

CUresult
genie_cuEventQuery(CUevent hEvent)
{
	struct genie_args_cuEventQuery args = {.hEvent = hEvent};
	struct genie_event *event = genie_event_get(hEvent);
	CUresult status;

	if (!event)
		return CUDA_ERROR_INVALID_HANDLE;
	if (atomic_load_explicit(&event->capture_id, memory_order_relaxed))
		return genie_capture_asked_event(event);
	if (atomic_load_explicit(&event->remote, memory_order_relaxed) ||
	    !genie_perf(GENIE_PERF_PROGRESS)) {
		status = genie_call(GENIE_OP_cuEventQuery, &args);
		return status == CUDA_SUCCESS ? genie_mirror_pull() : status;
	}
	/* First what is done, then what failed: a failure is published before the progress. */
	if (!genie_event_known_done(event)) {
		status = genie_pending_error();
		return status == CUDA_SUCCESS ? CUDA_ERROR_NOT_READY : status;
	}
	status = genie_mirror_pull(); /* whoever polls reads the results next */
	return status == CUDA_SUCCESS ? genie_pending_error() : status;
}

/* Nothing is pushed for such an event: ask until it is done. */
static CUresult
event_wait_remote(CUevent hEvent)
{
	const struct timespec pause = {.tv_nsec = REMOTE_POLL_NS};
	struct genie_args_cuEventQuery args = {.hEvent = hEvent};
	CUresult status;

	while ((status = genie_call(GENIE_OP_cuEventQuery, &args)) == CUDA_ERROR_NOT_READY)
		nanosleep(&pause, NULL);
	return status == CUDA_SUCCESS ? genie_mirror_pull() : status;
}

CUresult
genie_cuEventSynchronize(CUevent hEvent)
{
	struct genie_event *event = genie_event_get(hEvent);
	CUresult status;

	if (!event)
		return CUDA_ERROR_INVALID_HANDLE;
	if (atomic_load_explicit(&event->capture_id, memory_order_relaxed))
		return genie_capture_asked_event(event);
	if (atomic_load_explicit(&event->remote, memory_order_relaxed))
		return event_wait_remote(hEvent);
	status = genie_wait(GENIE_SLOT_EVENT + genie_token_index(event->object.token),
			    atomic_load_explicit(&event->ticket, memory_order_acquire));
	if (status != CUDA_SUCCESS)
		return status;
	status = genie_mirror_pull();
	genie_output_catch_up();
	return status == CUDA_SUCCESS ? genie_pending_error() : status;
}

CUresult
genie_cuEventElapsedTime_v2(float *pMilliseconds, CUevent hStart, CUevent hEnd)
{
	struct genie_args_cuEventElapsedTime_v2 args = {
		.pMilliseconds = pMilliseconds, .hStart = hStart, .hEnd = hEnd};
	struct genie_event *events[2] = {genie_event_get(hStart), genie_event_get(hEnd)};

	if (!pMilliseconds)
		return CUDA_ERROR_INVALID_HANDLE; /* so the driver says (580) */
	for (int i = 0; i < 2; i++) {
		if (!events[i] || events[i]->flags & CU_EVENT_DISABLE_TIMING)
			return CUDA_ERROR_INVALID_HANDLE;
		if (atomic_load_explicit(&events[i]->capture_id, memory_order_relaxed))
			return CUDA_ERROR_CAPTURED_EVENT;
		if (atomic_load_explicit(&events[i]->remote, memory_order_relaxed))
			continue;
		if (!atomic_load_explicit(&events[i]->ticket, memory_order_acquire))
			return CUDA_ERROR_INVALID_HANDLE; /* never recorded */
	}
	for (int i = 0; i < 2; i++)
		if (genie_perf(GENIE_PERF_PROGRESS) && !genie_event_known_done(events[i]) &&
		    !atomic_load_explicit(&events[i]->remote, memory_order_relaxed))
			return CUDA_ERROR_NOT_READY;
	return genie_call(GENIE_OP_cuEventElapsedTime_v2, &args);
}

CUresult
genie_cuEventElapsedTime(float *pMilliseconds, CUevent hStart, CUevent hEnd)
{
	return genie_cuEventElapsedTime_v2(pMilliseconds, hStart, hEnd);
}
