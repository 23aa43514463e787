/* Streams: the client's tokens, and which streams have work under way. */
#include <stdlib.h>

#include "remote/complete.h"
#include "remote/session.h"

/* The legacy stream of a context is index 0, generation 0: it exists without being made. */
#define LEGACY_TOKEN genie_token(GENIE_KIND_STREAM, 0, 0)

static struct genie_stream *
stream_used(struct genie_session *session, struct genie_stream *stream)
{
	if (stream->epoch != session->epoch)
		genie_fence_enter(session, stream);
	stream->dirty = true;
	return stream;
}

struct genie_stream *
genie_stream_use(struct genie_session *session, uint64_t token)
{
	struct genie_object *object;

	if (token == LEGACY_TOKEN || token == 0)
		return genie_stream_use_legacy(session);
	object = genie_object_find(&session->objects, GENIE_KIND_STREAM, token);
	if (!object || !object->state)
		return NULL;
	return stream_used(session, object->state);
}

struct genie_stream *
genie_stream_use_legacy(struct genie_session *session)
{
	if (!session->current)
		return NULL;
	return stream_used(session, &session->current->legacy);
}

bool
genie_stream_capturing(struct genie_session *session, const struct genie_stream *stream)
{
	CUstreamCaptureStatus capture = CU_STREAM_CAPTURE_STATUS_NONE;

	/* The legacy stream cannot be captured, and asking about it disturbs a capture. */
	if (!session->capturing || stream->handle == CU_STREAM_LEGACY)
		return false;
	if (session->drv->cuStreamIsCapturing(stream->handle, &capture) != CUDA_SUCCESS)
		return false;
	return capture != CU_STREAM_CAPTURE_STATUS_NONE;
}

/* Frees streams that were destroyed and whose queues have run empty since. */
static void
streams_reap(struct genie_session *session, struct genie_ctx *ctx)
{
	struct genie_stream **link = &ctx->streams;

	genie_completer_lock(session);
	while (*link) {
		struct genie_stream *stream = *link;

		if (!stream->gone || stream->active) {
			link = &stream->next;
			continue;
		}
		*link = stream->next;
		free(stream);
	}
	genie_completer_unlock(session);
}

CUresult
genie_stream_bind(struct genie_session *session, uint64_t token, CUstream handle)
{
	struct genie_object *object = NULL;
	struct genie_stream *stream;

	if (!session->current)
		return CUDA_ERROR_INVALID_CONTEXT;
	streams_reap(session, session->current);
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (genie_token_index(token) == 0 ||
	    genie_object_bind(&session->objects, GENIE_KIND_STREAM, token, handle, &object)) {
		free(stream);
		genie_session_broken(session, "stream token 0x%llx cannot be named",
				     (unsigned long long)token);
		return CUDA_ERROR_INVALID_HANDLE;
	}
	stream->ctx = session->current;
	stream->handle = handle;
	stream->slot = GENIE_SLOT_STREAM + genie_token_index(token);
	stream->next = stream->ctx->streams;
	stream->ctx->streams = stream;
	object->state = stream;
	object->ctx = stream->ctx->index;
	return CUDA_SUCCESS;
}

CUresult
genie_stream_destroy(struct genie_session *session, uint64_t token)
{
	/* Its work goes on after its end: one more entry says when that is over. */
	const struct genie_completion last = {.fn = genie_complete_publish,
					      .slot = GENIE_SLOTS_MAX};
	struct genie_object *object;
	struct genie_stream *stream;
	CUresult status;

	object = genie_object_find(&session->objects, GENIE_KIND_STREAM, token);
	if (!object || !object->state)
		return CUDA_ERROR_INVALID_HANDLE;
	stream = object->state;
	genie_fence_leave(session, stream);
	if (stream->dirty && !genie_stream_capturing(session, stream))
		genie_complete_add(session, stream, &last);
	stream->dirty = false;
	status = session->drv->cuStreamDestroy_v2(stream->handle);
	genie_object_drop(&session->objects, GENIE_KIND_STREAM, token);
	stream->gone = true;
	streams_reap(session, stream->ctx);
	return status;
}
