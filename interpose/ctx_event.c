/*
 * Events of whole contexts: recorded behind everything in all streams of a context, or waited for
 * by all of them, those made later included.
 */
#include <stdlib.h>

#include "interpose/client.h"
#include "interpose/ctx.h"

/* The streams of a context at this moment. */
struct streams {
	const struct genie_ctx *ctx;
	CUstream *list;
	size_t count, room;
	bool capturing, failed;
};

static void
collect(void *object, void *data)
{
	const struct genie_stream *stream = object;
	struct streams *streams = data;

	if (stream->object.ctx != streams->ctx || streams->failed)
		return;
	streams->capturing |= genie_stream_capturing(stream);
	if (streams->count == streams->room) {
		size_t room = streams->room ? streams->room * 2 : 16;
		CUstream *list = realloc(streams->list, room * sizeof(*list));

		if (!list) {
			streams->failed = true;
			return;
		}
		streams->list = list;
		streams->room = room;
	}
	streams->list[streams->count++] = genie_stream_wire(stream);
}

/* Finds them and makes @handle current (end: streams_close). */
static CUresult
streams_open(CUcontext handle, CUevent event_handle, struct streams *ret_streams)
{
	struct genie_event *event = genie_event_get(event_handle);
	struct genie_ctx *ctx = genie_ctx_get(handle);
	CUresult status;

	*ret_streams = (struct streams){.ctx = ctx};
	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!event || event->object.ctx != ctx)
		return CUDA_ERROR_INVALID_HANDLE;
	genie_object_each(GENIE_KIND_STREAM, collect, ret_streams);
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

/* @to runs behind what is in @from now. */
static CUresult
join(CUstream to, CUstream from)
{
	CUevent event;
	CUresult status = genie_cuEventCreate(&event, CU_EVENT_DISABLE_TIMING);

	if (status != CUDA_SUCCESS)
		return status;
	status = genie_cuEventRecord(event, from);
	if (status == CUDA_SUCCESS)
		status = genie_cuStreamWaitEvent(to, event, 0);
	genie_cuEventDestroy_v2(event);
	return status;
}

CUresult
genie_cuCtxRecordEvent(CUcontext hCtx, CUevent hEvent)
{
	struct streams streams;
	CUstream all; /* behind all others; nobody else sees it */
	CUresult status = streams_open(hCtx, hEvent, &streams);

	if (status != CUDA_SUCCESS)
		return status;
	status = genie_cuStreamCreate(&all, CU_STREAM_NON_BLOCKING);
	if (status == CUDA_SUCCESS) {
		for (size_t i = 0; i < streams.count && status == CUDA_SUCCESS; i++)
			status = join(all, streams.list[i]);
		if (status == CUDA_SUCCESS)
			status = genie_cuEventRecord(hEvent, all);
		genie_cuStreamDestroy_v2(all);
	}
	streams_close(&streams);
	return status;
}

CUresult
genie_cuCtxWaitEvent(CUcontext hCtx, CUevent hEvent)
{
	struct streams streams;
	CUstream last; /* only to record what later streams wait for */
	CUevent gate;
	CUresult status = streams_open(hCtx, hEvent, &streams);
	uint64_t before;

	if (status != CUDA_SUCCESS)
		return status;
	for (size_t i = 0; i < streams.count && status == CUDA_SUCCESS; i++)
		status = genie_cuStreamWaitEvent(streams.list[i], hEvent, 0);
	if (status == CUDA_SUCCESS)
		status = genie_cuStreamCreate(&last, CU_STREAM_NON_BLOCKING);
	if (status != CUDA_SUCCESS)
		goto out;
	status = genie_cuEventCreate(&gate, CU_EVENT_DISABLE_TIMING);
	if (status == CUDA_SUCCESS) {
		/* Behind the gate before, which this stream waits for already. */
		status = genie_cuStreamWaitEvent(last, hEvent, 0);
		if (status == CUDA_SUCCESS)
			status = genie_cuEventRecord(gate, last);
		/* acq_rel: pairs with the load in stream_create() */
		before = atomic_exchange_explicit(&((struct genie_ctx *)streams.ctx)->gate,
						  (uint64_t)(uintptr_t)gate, memory_order_acq_rel);
		if (before)
			genie_cuEventDestroy_v2((CUevent)(uintptr_t)before);
	}
	genie_cuStreamDestroy_v2(last);
out:
	streams_close(&streams);
	return status;
}
