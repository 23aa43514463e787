/*
 * Streams. Whether a stream is done is a load: the worker publishes, in the stream's progress
 * slot, the ticket of the last mark it passed. A mark (genieStreamMark) is sent only when somebody
 * asks and something was submitted since the last one.
 *
 * The legacy stream of a context is no stream of its own on the wire: it has index 0 in every
 * context, so its slot could not tell two contexts apart. Its marks are records of a hidden event
 * of the context instead.
 */
#include "interpose/capture.h"
#include "interpose/ctx.h"
#include "interpose/mirror.h"

#include <stdlib.h>

static _Atomic uint64_t last_id;

/* Raises *@max to @ticket; threads may submit to one stream at the same time. */
static void
ticket_raise(_Atomic uint64_t *max, uint64_t ticket)
{
	uint64_t seen = atomic_load_explicit(max, memory_order_relaxed);

	while (seen < ticket &&
	       !atomic_compare_exchange_weak_explicit(max, &seen, ticket, memory_order_relaxed,
						      memory_order_relaxed))
		;
}

/* ---- making and finding ---- */

struct genie_stream *
genie_stream_new_legacy(struct genie_ctx *ctx)
{
	struct genie_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->object.token = genie_token(GENIE_KIND_STREAM, 0, 0);
	stream->object.ctx = ctx;
	stream->legacy = true;
	stream->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
	return stream;
}

/* A new stream waits for what its context was told to wait for. */
static void
pass_gate(struct genie_ctx *ctx, CUstream stream)
{
	/* acquire: pairs with the exchange in genie_ctx_wait_event() */
	uint64_t gate = atomic_load_explicit(&ctx->gate, memory_order_acquire);

	if (gate)
		(void)genie_cuStreamWaitEvent(stream, (CUevent)(uintptr_t)gate, 0);
}

/* Makes a stream here and, without waiting, in the worker. */
static CUresult
stream_create(struct genie_ctx *ctx, unsigned int flags, int priority,
	      struct genie_stream **ret_stream)
{
	const struct genie_device_info *device = &genie_client.devices[ctx->device];
	struct genie_stream *stream = genie_object_new(GENIE_KIND_STREAM, sizeof(*stream), ctx);
	struct genie_args_cuStreamCreateWithPriority args = {0};
	CUstream handle;
	CUresult status;

	if (!stream)
		return CUDA_ERROR_OUT_OF_MEMORY;
	/* A priority out of range is brought into it, not refused. Smaller numbers are greater. */
	if (priority > device->stream_priority_low)
		priority = device->stream_priority_low;
	if (priority < device->stream_priority_high)
		priority = device->stream_priority_high;
	stream->flags = flags;
	stream->priority = priority;
	stream->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
	handle = genie_stream_wire(stream);
	args.phStream = &handle;
	args.flags = flags;
	args.priority = priority;
	status = genie_call_ctx(GENIE_OP_cuStreamCreateWithPriority, &args, ctx, NULL);
	if (status != CUDA_SUCCESS) {
		genie_object_free(stream);
		return status;
	}
	pass_gate(ctx, handle);
	if (ctx->home != ctx) /* what the primary context waits for, its green contexts do */
		pass_gate(ctx->home, handle);
	*ret_stream = stream;
	return CUDA_SUCCESS;
}

static CUresult
stream_destroy(struct genie_stream *stream)
{
	struct genie_args_cuStreamDestroy_v2 args = {.hStream = genie_stream_wire(stream)};
	struct genie_ctx *ctx = stream->object.ctx;
	CUresult status = CUDA_SUCCESS;

	genie_capture_forget_stream(stream);
	if (atomic_load_explicit(&ctx->active, memory_order_relaxed))
		status = genie_call_ctx(GENIE_OP_cuStreamDestroy_v2, &args, ctx, NULL);
	genie_object_free(stream);
	return status;
}

/* The default stream of this thread in @ctx, made at first use; NULL: no room for one more. */
static struct genie_stream *
stream_per_thread(struct genie_thread *thread, struct genie_ctx *ctx)
{
	struct genie_stream *stream;
	uint64_t *unused = NULL;

	for (unsigned int i = 0; i < GENIE_PER_THREAD_STREAMS; i++) {
		stream = genie_object_get(GENIE_KIND_STREAM, thread->per_thread[i]);
		if (!stream)
			unused = &thread->per_thread[i]; /* never used, or its context ended */
		else if (stream->object.ctx == ctx)
			return stream;
	}
	if (!unused || stream_create(ctx, CU_STREAM_DEFAULT, 0, &stream) != CUDA_SUCCESS)
		return NULL;
	stream->per_thread = true;
	*unused = stream->object.token;
	return stream;
}

void
genie_stream_end_thread(struct genie_thread *thread)
{
	for (unsigned int i = 0; i < GENIE_PER_THREAD_STREAMS; i++) {
		struct genie_stream *stream =
			genie_object_get(GENIE_KIND_STREAM, thread->per_thread[i]);

		if (stream)
			stream_destroy(stream);
		thread->per_thread[i] = 0;
	}
}

struct genie_stream *
genie_stream_get(CUstream handle)
{
	uintptr_t value = (uintptr_t)handle;
	struct genie_thread *thread;
	struct genie_ctx *ctx;

	if (value > (uintptr_t)CU_STREAM_PER_THREAD) {
		struct genie_stream *stream = genie_object_get(GENIE_KIND_STREAM, value);

		if (__builtin_expect(!stream, 0))
			genie_thread_self()->missing_stream = value;
		return stream;
	}
	ctx = genie_ctx_current();
	if (!ctx)
		return NULL;
	thread = genie_thread_self();
	if (handle == CU_STREAM_PER_THREAD || (!handle && thread->ptds))
		return stream_per_thread(thread, ctx);
	return ctx->legacy;
}

/*
 * Streams whose green context was destroyed before them: the last so many, as only programs in
 * error ask. Any thread; a token that is written while another looks is found or not.
 */
static _Atomic uint64_t orphans[1024];
static _Atomic uint32_t orphan_count;

static bool
is_orphan(uint64_t token)
{
	for (size_t i = 0; i < sizeof(orphans) / sizeof(orphans[0]); i++)
		if (atomic_load_explicit(&orphans[i], memory_order_relaxed) == token)
			return true;
	return false;
}

CUresult
genie_stream_missing(void)
{
	struct genie_thread *thread = genie_thread_self();
	uint64_t token = thread->missing_stream;

	thread->missing_stream = 0;
	if (token && is_orphan(token))
		return CUDA_ERROR_CONTEXT_IS_DESTROYED;
	return genie_ctx_current() ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_INVALID_CONTEXT;
}

static void
stream_forget(void *object, void *data)
{
	struct genie_stream *stream = object;

	/* The worker ends the streams of a context with the context. */
	if (stream->object.ctx == data) {
		genie_capture_forget_stream(stream);
		if (stream->object.ctx->green)
			atomic_store_explicit(
				&orphans[atomic_fetch_add_explicit(&orphan_count, 1,
								   memory_order_relaxed) %
					 (sizeof(orphans) / sizeof(orphans[0]))],
				stream->object.token, memory_order_relaxed);
		genie_object_free(stream);
	}
}

void
genie_stream_forget_ctx(struct genie_ctx *ctx)
{
	genie_object_each(GENIE_KIND_STREAM, stream_forget, ctx);
	/* The hidden event is gone with the others (event.c); the next mark makes a new one. */
	ctx->legacy->mark_event = NULL;
}

/* ---- what is submitted, what is done ---- */

void
genie_stream_submitted(struct genie_stream *stream, uint64_t ticket)
{
	/* What a blocking stream does, the legacy stream waits for. */
	if (!(stream->flags & CU_STREAM_NON_BLOCKING))
		ticket_raise(&stream->object.ctx->null_ticket, ticket);
	if (!stream->legacy)
		ticket_raise(&stream->last_ticket, ticket);
}

static uint64_t
stream_submitted_last(const struct genie_stream *stream)
{
	const struct genie_ctx *ctx = stream->object.ctx;

	return atomic_load_explicit(stream->legacy ? &ctx->null_ticket : &stream->last_ticket,
				    memory_order_relaxed);
}

/* The progress slot of its marks; false when there was no mark yet. */
static bool
stream_slot(const struct genie_stream *stream, uint32_t *ret_slot)
{
	const struct genie_event *event;

	if (!stream->legacy) {
		*ret_slot = GENIE_SLOT_STREAM + genie_token_index(stream->object.token);
		return true;
	}
	event = __atomic_load_n(&stream->mark_event, __ATOMIC_ACQUIRE);
	if (event)
		*ret_slot = GENIE_SLOT_EVENT + genie_token_index(event->object.token);
	return event != NULL;
}

void
genie_stream_known_done(struct genie_stream *stream, uint64_t ticket)
{
	ticket_raise(&stream->done_ticket, ticket);
}

void
genie_stream_recorded(struct genie_stream *stream, const struct genie_event *event, uint64_t ticket)
{
	/* Two threads may mix slot and ticket: then neither fits, and a mark decides. */
	atomic_store_explicit(&stream->event_slot,
			      GENIE_SLOT_EVENT + genie_token_index(event->object.token),
			      memory_order_relaxed);
	atomic_store_explicit(&stream->event_ticket, ticket, memory_order_relaxed);
}

static bool
stream_done(const struct genie_stream *stream, uint64_t ticket)
{
	struct genie_chan *chan = genie_client_chan();
	uint64_t recorded;
	uint32_t slot;

	if (ticket <= atomic_load_explicit(&stream->done_ticket, memory_order_relaxed))
		return true;
	if (!chan)
		return false;
	if (stream_slot(stream, &slot) && genie_chan_progress(chan, slot) >= ticket)
		return true;
	/* The last thing in the stream was an event, and the event is done. Equal, not greater: the
	 * event may have been recorded again elsewhere since. */
	recorded = atomic_load_explicit(&stream->event_ticket, memory_order_relaxed);
	slot = atomic_load_explicit(&stream->event_slot, memory_order_relaxed);
	return recorded == ticket && genie_chan_progress(chan, slot) == ticket;
}

/* The hidden event of a legacy stream, made once. */
static struct genie_event *
stream_mark_event(struct genie_stream *stream)
{
	struct genie_event *event = __atomic_load_n(&stream->mark_event, __ATOMIC_ACQUIRE);

	if (event)
		return event;
	pthread_mutex_lock(&genie_client.lock);
	event = stream->mark_event;
	if (!event) {
		event = genie_event_new(stream->object.ctx, CU_EVENT_DISABLE_TIMING);
		__atomic_store_n(&stream->mark_event, event, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&genie_client.lock);
	return event;
}

/* Asks the worker to publish when everything submitted so far is done. */
static CUresult
stream_mark(struct genie_stream *stream, uint64_t *ret_ticket)
{
	struct genie_args_genieStreamMark mark = {.stream = genie_stream_wire(stream)};
	struct genie_args_genieEventRecord record = {.stream = genie_stream_wire(stream)};
	struct genie_event *event;
	CUresult status;

	if (stream->legacy) {
		event = stream_mark_event(stream);
		if (!event)
			return CUDA_ERROR_OUT_OF_MEMORY;
		record.event = (CUevent)(uintptr_t)event->object.token;
		status = genie_call_mark(GENIE_OP_genieEventRecord, &record, stream->object.ctx,
					 ret_ticket);
	} else {
		status = genie_call_mark(GENIE_OP_genieStreamMark, &mark, stream->object.ctx,
					 ret_ticket);
	}
	if (status == CUDA_SUCCESS)
		ticket_raise(&stream->mark_ticket, *ret_ticket);
	return status;
}

CUresult
genie_stream_synchronize(struct genie_stream *stream)
{
	uint64_t last = stream_submitted_last(stream);
	uint64_t mark = atomic_load_explicit(&stream->mark_ticket, memory_order_relaxed);
	CUresult status;
	uint32_t slot;

	if (stream_done(stream, last)) {
		status = genie_mirror_pull();
		genie_output_catch_up();
		return status == CUDA_SUCCESS ? genie_pending_error() : status;
	}
	if (mark < last) {
		status = stream_mark(stream, &mark);
		if (status != CUDA_SUCCESS)
			return status;
	}
	if (!stream_slot(stream, &slot))
		return CUDA_ERROR_INVALID_HANDLE; /* its context ended meanwhile */
	status = genie_wait(slot, mark);
	if (status != CUDA_SUCCESS)
		return status;
	status = genie_mirror_pull();
	genie_output_catch_up();
	return status == CUDA_SUCCESS ? genie_pending_error() : status;
}

bool
genie_stream_idle(const struct genie_stream *stream)
{
	return stream_done(stream, stream_submitted_last(stream));
}

static void
look_at_stream(void *object, void *data)
{
	const struct genie_stream *stream = object;
	bool *idle = data;

	if (*idle && !stream->legacy)
		*idle = genie_stream_idle(stream);
}

static void
look_at_ctx(void *object, void *data)
{
	const struct genie_ctx *ctx = object;
	bool *idle = data;

	if (*idle && ctx->legacy != NULL &&
	    atomic_load_explicit(&ctx->active, memory_order_acquire))
		*idle = genie_stream_idle(ctx->legacy);
}

bool
genie_streams_idle(void)
{
	bool idle = true;

	genie_object_each(GENIE_KIND_STREAM, look_at_stream, &idle);
	genie_object_each(GENIE_KIND_CTX, look_at_ctx, &idle);
	return idle;
}

/* ---- the entry points ---- */

CUresult
genie_stream_create(struct genie_ctx *ctx, CUstream *phStream, unsigned int flags, int priority)
{
	struct genie_stream *stream;
	CUresult status;

	if (!phStream || flags & ~(unsigned int)CU_STREAM_NON_BLOCKING)
		return CUDA_ERROR_INVALID_VALUE;
	status = stream_create(ctx, flags, priority, &stream);
	if (status == CUDA_SUCCESS)
		*phStream = genie_stream_wire(stream);
	return status;
}

CUresult
genie_cuStreamCreateWithPriority(CUstream *phStream, unsigned int flags, int priority)
{
	struct genie_ctx *ctx = genie_ctx_current();

	return ctx ? genie_stream_create(ctx, phStream, flags, priority)
		   : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult
genie_cuStreamCreate(CUstream *phStream, unsigned int Flags)
{
	return genie_cuStreamCreateWithPriority(phStream, Flags, 0);
}

CUresult
genie_cuStreamDestroy_v2(CUstream hStream)
{
	uint64_t token = (uint64_t)(uintptr_t)hStream;
	struct genie_stream *stream = genie_object_get(GENIE_KIND_STREAM, token);

	/* The default streams cannot be destroyed, nor what is no stream. */
	if (!stream || stream->per_thread) {
		genie_thread_self()->missing_stream = token;
		return genie_stream_missing();
	}
	return stream_destroy(stream);
}

CUresult
genie_cuStreamSynchronize(CUstream hStream)
{
	struct genie_stream *stream = genie_stream_get(hStream);
	CUresult status;

	if (!stream)
		return genie_stream_missing();
	status = genie_capture_forbids_stream(stream);
	return status == CUDA_SUCCESS ? genie_stream_synchronize(stream) : status;
}

CUresult
genie_cuStreamQuery(CUstream hStream)
{
	struct genie_stream *stream = genie_stream_get(hStream);
	struct genie_args_cuStreamQuery args = {0};
	uint64_t last, mark;
	CUresult status;

	if (!stream)
		return genie_stream_missing();
	status = genie_capture_forbids_stream(stream);
	if (status != CUDA_SUCCESS)
		return status;
	if (!genie_perf(GENIE_PERF_PROGRESS)) {
		args.hStream = genie_stream_wire(stream);
		status = genie_call(GENIE_OP_cuStreamQuery, &args);
		return status == CUDA_SUCCESS ? genie_mirror_pull() : status;
	}
	last = stream_submitted_last(stream);
	mark = atomic_load_explicit(&stream->mark_ticket, memory_order_relaxed);
	if (!stream_done(stream, last) && mark < last) {
		status = stream_mark(stream, &mark);
		if (status != CUDA_SUCCESS)
			return status;
	}
	status = genie_pending_error();
	if (status != CUDA_SUCCESS)
		return status;
	if (!stream_done(stream, last))
		return CUDA_ERROR_NOT_READY;
	return genie_mirror_pull(); /* whoever polls reads the results next */
}

CUresult
genie_cuStreamWaitEvent(CUstream hStream, CUevent hEvent, unsigned int Flags)
{
	struct genie_stream *stream = genie_stream_get(hStream);
	struct genie_event *event = genie_event_get(hEvent);
	struct genie_args_cuStreamWaitEvent args = {.hEvent = hEvent, .Flags = Flags};
	bool captured = false;
	uint64_t ticket = 0;
	CUresult status;

	if (!stream)
		return genie_stream_missing();
	if (!event)
		return CUDA_ERROR_INVALID_HANDLE;
	if (Flags & ~(unsigned int)CU_EVENT_WAIT_EXTERNAL)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_capture_enter(stream, &captured);
	if (status != CUDA_SUCCESS)
		return status;
	/* An external wait is a node of the graph: each launch waits for the event for real. */
	if (captured && Flags & CU_EVENT_WAIT_EXTERNAL)
		return genie_capture_event(stream, CU_GRAPH_NODE_TYPE_WAIT_EVENT, hEvent);
	if (captured || atomic_load_explicit(&event->capture_id, memory_order_relaxed))
		return genie_capture_wait_event(stream, event);
	/* Waiting for what was never recorded, or is known to be done, is nothing. */
	if (genie_event_known_done(event))
		return CUDA_SUCCESS;
	args.hStream = genie_stream_wire(stream);
	status = genie_call_ctx(GENIE_OP_cuStreamWaitEvent, &args, stream->object.ctx, &ticket);
	if (status == CUDA_SUCCESS)
		genie_stream_submitted(stream, ticket);
	return status;
}

/* ---- questions ---- */

CUresult
genie_cuStreamGetFlags(CUstream hStream, unsigned int *flags)
{
	struct genie_stream *stream = genie_stream_get(hStream);

	if (!stream)
		return genie_stream_missing();
	if (!flags)
		return CUDA_ERROR_INVALID_VALUE;
	*flags = stream->flags;
	return CUDA_SUCCESS;
}

CUresult
genie_cuStreamGetPriority(CUstream hStream, int *priority)
{
	struct genie_stream *stream = genie_stream_get(hStream);

	if (!stream)
		return genie_stream_missing();
	if (!priority)
		return CUDA_ERROR_INVALID_VALUE;
	*priority = stream->priority;
	return CUDA_SUCCESS;
}

CUresult
genie_cuStreamGetId(CUstream hStream, unsigned long long *streamId)
{
	struct genie_stream *stream = genie_stream_get(hStream);

	if (!stream)
		return genie_stream_missing();
	if (!streamId)
		return CUDA_ERROR_INVALID_VALUE;
	*streamId = stream->id;
	return CUDA_SUCCESS;
}

CUresult
genie_cuStreamGetCtx(CUstream hStream, CUcontext *pctx)
{
	struct genie_stream *stream = genie_stream_get(hStream);

	if (!stream)
		return genie_stream_missing();
	if (!pctx)
		return CUDA_ERROR_INVALID_VALUE;
	*pctx = genie_ctx_handle(stream->object.ctx);
	return CUDA_SUCCESS;
}

CUresult
genie_cuStreamGetCtx_v2(CUstream hStream, CUcontext *pCtx, CUgreenCtx *pGreenCtx)
{
	struct genie_stream *stream = genie_stream_get(hStream);

	if (!stream)
		return genie_stream_missing();
	if (!pCtx)
		return CUDA_ERROR_INVALID_VALUE;
	/* documented of this function only */
	if (hStream == CU_STREAM_PER_THREAD && stream->object.ctx->green)
		return CUDA_ERROR_INVALID_HANDLE;
	*pCtx = genie_ctx_handle(stream->object.ctx->home);
	if (pGreenCtx)
		*pGreenCtx = (CUgreenCtx)(uintptr_t)stream->object.ctx->green;
	return CUDA_SUCCESS;
}

CUresult
genie_cuStreamGetGreenCtx(CUstream hStream, CUgreenCtx *phCtx)
{
	struct genie_stream *stream = genie_stream_get(hStream);

	if (!stream)
		return genie_stream_missing();
	if (!phCtx)
		return CUDA_ERROR_INVALID_VALUE;
	*phCtx = (CUgreenCtx)(uintptr_t)stream->object.ctx->green;
	return CUDA_SUCCESS;
}

CUresult
genie_cuStreamGetDevice(CUstream hStream, CUdevice *device)
{
	struct genie_stream *stream = genie_stream_get(hStream);

	if (!stream)
		return genie_stream_missing();
	if (!device)
		return CUDA_ERROR_INVALID_VALUE;
	*device = stream->object.ctx->device;
	return CUDA_SUCCESS;
}
