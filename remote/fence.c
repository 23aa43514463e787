/*
 * The memory fence: all work issued after it runs after all work issued before it, on all streams.
 * The client sends one when it gives memory that was freed to somebody else.
 *
 * Nearly every program works on one stream at a time, and then a fence costs nothing: it only opens
 * a new epoch. The first time another stream is used in that epoch, it is made to wait for the
 * streams of the epoch before. Those had waited for theirs, so one epoch back is enough.
 */
#include <errno.h>
#include <stdlib.h>

#include "remote/complete.h"
#include "remote/session.h"

/* A stream that was used in an epoch. */
struct source {
	struct genie_stream *stream; /* NULL: destroyed since */
	struct genie_event *event;   /* recorded at its end; NULL: not yet */
};

struct sources {
	struct source *list;
	size_t count, room;
};

struct genie_fence {
	struct sources now;    /* streams used in this epoch */
	struct sources before; /* streams that a stream new to this epoch waits for */
};

int
genie_fence_init(struct genie_session *session)
{
	session->fence = calloc(1, sizeof(*session->fence));
	session->epoch = 1;
	return session->fence ? 0 : -ENOMEM;
}

static void
sources_clear(struct genie_session *session, struct sources *sources)
{
	for (size_t i = 0; i < sources->count; i++)
		if (sources->list[i].event)
			genie_event_put(session, sources->list[i].event);
	sources->count = 0;
}

void
genie_fence_fini(struct genie_session *session)
{
	struct genie_fence *fence = session->fence;

	if (!fence)
		return;
	sources_clear(session, &fence->now);
	sources_clear(session, &fence->before);
	free(fence->now.list);
	free(fence->before.list);
	free(fence);
	session->fence = NULL;
}

static CUresult
source_record(struct genie_session *session, struct source *source)
{
	struct genie_stream *stream = source->stream;
	struct genie_event *event = NULL;
	CUresult status;

	if (source->event || !stream || genie_stream_capturing(session, stream))
		return CUDA_SUCCESS;
	status = genie_ctx_switch(session, stream->ctx);
	if (status != CUDA_SUCCESS)
		return status;
	status = genie_event_get(session, stream->ctx, CU_EVENT_DISABLE_TIMING, &event);
	if (status != CUDA_SUCCESS)
		return status;
	status = session->drv->cuEventRecord(event->handle, stream->handle);
	if (status != CUDA_SUCCESS) {
		genie_event_put(session, event);
		return status;
	}
	source->event = event;
	return CUDA_SUCCESS;
}

CUresult
genie_fence_set(struct genie_session *session)
{
	struct genie_fence *fence = session->fence;
	struct genie_ctx *ctx = session->current;
	CUresult result = CUDA_SUCCESS;
	struct sources spare;

	if (!fence->now.count)
		return CUDA_SUCCESS;
	/* With one stream, its end is marked only if another stream ever asks. */
	for (size_t i = 0; fence->now.count > 1 && i < fence->now.count; i++) {
		CUresult status = source_record(session, &fence->now.list[i]);

		if (result == CUDA_SUCCESS)
			result = status;
	}
	sources_clear(session, &fence->before);
	spare = fence->before;
	fence->before = fence->now;
	fence->now = spare;
	session->epoch++;
	if (ctx)
		genie_ctx_switch(session, ctx);
	return result;
}

static bool
now_add(struct genie_fence *fence, struct genie_stream *stream)
{
	struct sources *now = &fence->now;

	if (now->count == now->room) {
		size_t room = now->room ? now->room * 2 : 16;
		struct source *list = realloc(now->list, room * sizeof(*list));

		if (!list)
			return false;
		now->list = list;
		now->room = room;
	}
	now->list[now->count++] = (struct source){.stream = stream};
	return true;
}

void
genie_fence_enter(struct genie_session *session, struct genie_stream *stream)
{
	struct genie_fence *fence = session->fence;
	struct genie_ctx *ctx = session->current;

	/* What a capture records runs later, at a launch of the graph in some other stream. */
	if (genie_stream_capturing(session, stream))
		return;
	for (size_t i = 0; i < fence->before.count; i++) {
		struct source *source = &fence->before.list[i];

		if (source->stream == stream || source_record(session, source) != CUDA_SUCCESS ||
		    !source->event)
			continue;
		genie_ctx_switch(session, stream->ctx);
		session->drv->cuStreamWaitEvent(stream->handle, source->event->handle, 0);
		stream->dirty = true;
	}
	if (ctx)
		genie_ctx_switch(session, ctx);
	if (now_add(fence, stream))
		stream->epoch = session->epoch;
}

static void
sources_leave(struct genie_session *session, struct sources *sources, struct genie_stream *stream)
{
	for (size_t i = 0; i < sources->count; i++)
		if (sources->list[i].stream == stream) {
			source_record(session, &sources->list[i]);
			sources->list[i].stream = NULL;
		}
}

void
genie_fence_leave(struct genie_session *session, struct genie_stream *stream)
{
	sources_leave(session, &session->fence->now, stream);
	sources_leave(session, &session->fence->before, stream);
}

static void
sources_forget(struct genie_session *session, struct sources *sources, const struct genie_ctx *ctx)
{
	size_t kept = 0;

	for (size_t i = 0; i < sources->count; i++) {
		struct source *source = &sources->list[i];

		if ((source->stream && source->stream->ctx == ctx) ||
		    (source->event && source->event->ctx == ctx)) {
			if (source->event)
				genie_event_put(session, source->event);
			continue;
		}
		sources->list[kept++] = *source;
	}
	sources->count = kept;
}

void
genie_fence_forget(struct genie_session *session, const struct genie_ctx *ctx)
{
	sources_forget(session, &session->fence->now, ctx);
	sources_forget(session, &session->fence->before, ctx);
}
