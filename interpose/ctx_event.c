/*
 * Events of whole contexts: recorded behind everything in all streams of a context, or waited for
 * by all of them, those made later included. To a primary context belong its green contexts, for
 * which there is a pair of functions too (green.c).
 */
#include <stdlib.h>

#include "interpose/client.h"
#include "interpose/ctx.h"

/* A stream, and the context in which its handle means it. */
struct item {
	struct genie_ctx *ctx;
	CUstream stream;
};

/* The streams of a context at this moment. */
struct streams {
	struct genie_ctx *ctx;
	struct item *list;
	size_t count, room;
	bool every; /* legacy streams that have nothing to do too */
	bool capturing, failed;
};

static void
add(struct streams *streams, struct genie_ctx *ctx, CUstream stream)
{
	if (streams->count == streams->room) {
		size_t room = streams->room ? streams->room * 2 : 16;
		struct item *list = realloc(streams->list, room * sizeof(*list));

		if (!list) {
			streams->failed = true;
			return;
		}
		streams->list = list;
		streams->room = room;
	}
	streams->list[streams->count++] = (struct item){ctx, stream};
}

/* Is @part the context that is meant, or a green one of it? */
static bool
belongs(const struct genie_ctx *part, const struct genie_ctx *ctx)
{
	return part == ctx || (ctx->primary && part->home == ctx);
}

static void
collect_stream(void *object, void *data)
{
	const struct genie_stream *stream = object;
	struct streams *streams = data;

	if (!belongs(stream->object.ctx, streams->ctx) || streams->failed)
		return;
	streams->capturing |= genie_stream_capturing(stream);
	add(streams, stream->object.ctx, genie_stream_wire(stream));
}

/* Legacy streams are in no table. */
static void
collect_legacy(void *object, void *data)
{
	struct genie_ctx *ctx = object;
	struct streams *streams = data;

	if (belongs(ctx, streams->ctx) && !streams->failed &&
	    atomic_load_explicit(&ctx->active, memory_order_acquire) &&
	    (streams->every || !genie_stream_idle(ctx->legacy)))
		add(streams, ctx, CU_STREAM_LEGACY);
}

/* Finds them and makes @ctx current (end: streams_close). */
static CUresult
streams_open(struct genie_ctx *ctx, bool every, struct streams *ret_streams)
{
	CUresult status;

	*ret_streams = (struct streams){.ctx = ctx, .every = every};
	genie_object_each(GENIE_KIND_STREAM, collect_stream, ret_streams);
	genie_object_each(GENIE_KIND_CTX, collect_legacy, ret_streams);
	status = ret_streams->failed      ? CUDA_ERROR_OUT_OF_MEMORY
		 : ret_streams->capturing ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
					  : genie_cuCtxPushCurrent_v2(genie_ctx_handle(ctx));
	if (status != CUDA_SUCCESS)
		free(ret_streams->list);
	return status;
}

static void
streams_close(struct streams *streams)
{
	CUcontext popped;

	genie_cuCtxPopCurrent_v2(&popped);
	free(streams->list);
}

/* @to, a stream with a handle of its own, runs behind what is in @from now. */
static CUresult
join(CUstream to, const struct item *from)
{
	CUcontext popped;
	CUevent event;
	CUresult status = genie_cuCtxPushCurrent_v2(genie_ctx_handle(from->ctx));

	if (status != CUDA_SUCCESS)
		return status;
	status = genie_cuEventCreate(&event, CU_EVENT_DISABLE_TIMING);
	if (status == CUDA_SUCCESS) {
		status = genie_cuEventRecord(event, from->stream);
		if (status == CUDA_SUCCESS)
			status = genie_cuStreamWaitEvent(to, event, 0);
		genie_cuEventDestroy_v2(event);
	}
	genie_cuCtxPopCurrent_v2(&popped);
	return status;
}

CUresult
genie_ctx_record_event(struct genie_ctx *ctx, CUevent event)
{
	struct streams streams;
	CUstream all; /* behind all others; nobody else sees it */
	/* An idle legacy stream is left alone: a record there would wait for blocking streams. */
	CUresult status = streams_open(ctx, false, &streams);

	if (status != CUDA_SUCCESS)
		return status;
	status = genie_cuStreamCreate(&all, CU_STREAM_NON_BLOCKING);
	if (status == CUDA_SUCCESS) {
		for (size_t i = 0; i < streams.count && status == CUDA_SUCCESS; i++)
			status = join(all, &streams.list[i]);
		if (status == CUDA_SUCCESS)
			status = genie_cuEventRecord(event, all);
		genie_cuStreamDestroy_v2(all);
	}
	streams_close(&streams);
	return status;
}

/* Every stream that there is waits. */
static CUresult
wait_now(const struct streams *streams, CUevent event)
{
	CUresult status = CUDA_SUCCESS;
	CUcontext popped;

	for (size_t i = 0; i < streams->count && status == CUDA_SUCCESS; i++) {
		status = genie_cuCtxPushCurrent_v2(genie_ctx_handle(streams->list[i].ctx));
		if (status != CUDA_SUCCESS)
			break;
		status = genie_cuStreamWaitEvent(streams->list[i].stream, event, 0);
		genie_cuCtxPopCurrent_v2(&popped);
	}
	return status;
}

CUresult
genie_ctx_wait_event(struct genie_ctx *ctx, CUevent event)
{
	struct streams streams;
	CUstream last; /* only to record what later streams wait for */
	CUevent gate;
	CUresult status = streams_open(ctx, true, &streams);
	uint64_t before;

	if (status != CUDA_SUCCESS)
		return status;
	status = wait_now(&streams, event);
	if (status == CUDA_SUCCESS)
		status = genie_cuStreamCreate(&last, CU_STREAM_NON_BLOCKING);
	if (status != CUDA_SUCCESS)
		goto out;
	status = genie_cuEventCreate(&gate, CU_EVENT_DISABLE_TIMING);
	if (status == CUDA_SUCCESS) {
		/* Behind the gate before, which this stream waits for already. */
		status = genie_cuStreamWaitEvent(last, event, 0);
		if (status == CUDA_SUCCESS)
			status = genie_cuEventRecord(gate, last);
		/* acq_rel: pairs with the load in pass_gate() */
		before = atomic_exchange_explicit(&ctx->gate, (uint64_t)(uintptr_t)gate,
						  memory_order_acq_rel);
		if (before)
			genie_cuEventDestroy_v2((CUevent)(uintptr_t)before);
	}
	genie_cuStreamDestroy_v2(last);
out:
	streams_close(&streams);
	return status;
}

/* ---- the entry points ---- */

CUresult
genie_cuCtxRecordEvent(CUcontext hCtx, CUevent hEvent)
{
	struct genie_event *event = genie_event_get(hEvent);
	struct genie_ctx *ctx = genie_ctx_get(hCtx);

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!event || event->object.ctx != ctx->home)
		return CUDA_ERROR_INVALID_HANDLE;
	return genie_ctx_record_event(ctx, hEvent);
}

CUresult
genie_cuCtxWaitEvent(CUcontext hCtx, CUevent hEvent)
{
	struct genie_ctx *ctx = genie_ctx_get(hCtx);

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!genie_event_get(hEvent))
		return CUDA_ERROR_INVALID_HANDLE;
	return genie_ctx_wait_event(ctx, hEvent);
}
