/* Contexts: made by genieCtxCreate and genieGreenCtxCreate, found by the index in every command's
 * header. */
#include <stdlib.h>

#include "base/log.h"
#include "remote/complete.h"
#include "remote/exec.h"
#include "wire/query.h"

CUresult
genie_ctx_switch(struct genie_session *session, struct genie_ctx *ctx)
{
	CUresult status;

	if (session->current == ctx)
		return CUDA_SUCCESS;
	status = session->drv->cuCtxSetCurrent(ctx->handle);
	if (status == CUDA_SUCCESS)
		session->current = ctx;
	return status;
}

/* The completing thread does not look at any stream of the context any more. */
static bool
ctx_quiet(void *data)
{
	const struct genie_ctx *ctx = data;

	if (ctx->legacy.active)
		return false;
	for (const struct genie_stream *stream = ctx->streams; stream; stream = stream->next)
		if (stream->active)
			return false;
	return true;
}

void
genie_ctx_free(struct genie_session *session, struct genie_ctx *ctx)
{
	struct genie_stream *stream;
	struct genie_event *event;

	if (session->completer)
		genie_complete_wait(session, ctx_quiet, ctx);
	while ((stream = ctx->streams)) {
		ctx->streams = stream->next;
		free(stream);
	}
	while ((event = ctx->spare)) {
		ctx->spare = event->next;
		free(event);
	}
	if (session->current == ctx)
		session->current = NULL;
	session->ctxs[ctx->index] = NULL;
	if (ctx->green)
		session->greens--;
	free(ctx);
}

CUresult
genie_ctx_any(struct genie_session *session)
{
	CUcontext current = NULL;
	CUdevice device = 0;
	CUresult status;

	if (session->current)
		return CUDA_SUCCESS;
	status = session->drv->cuCtxGetCurrent(&current);
	if (status == CUDA_SUCCESS && current)
		return CUDA_SUCCESS;
	/* Kept to the end of the process: the client is about to use it anyway. */
	status = session->drv->cuDeviceGet(&device, 0);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuDevicePrimaryCtxRetain(&current, device);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuCtxSetCurrent(current);
	return status;
}

CUresult
genie_ctx_bind(struct genie_session *session, uint64_t token, const struct genie_ctx *like)
{
	uint32_t index = genie_token_index(token);
	struct genie_object *object = NULL;
	struct genie_ctx *ctx = malloc(sizeof(*ctx));

	if (!ctx)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (index == 0 ||
	    genie_object_bind(&session->objects, GENIE_KIND_CTX, token, like->handle, &object)) {
		free(ctx);
		genie_session_broken(session, "context token 0x%llx cannot be named",
				     (unsigned long long)token);
		return CUDA_ERROR_INVALID_HANDLE;
	}
	*ctx = *like;
	object->state = ctx;
	ctx->index = index;
	ctx->legacy = (struct genie_stream){
		.ctx = ctx, .handle = CU_STREAM_LEGACY, .slot = GENIE_SLOT_STREAM};
	session->ctxs[index] = ctx;
	if (ctx->green)
		session->greens++;
	return CUDA_SUCCESS;
}

/* genieCtxCreate: this flag asks for the primary context of the device. Wire value. */
#define CTX_PRIMARY 0x80000000u

CUresult
genie_exec_genieCtxCreate(struct genie_session *session, struct genie_args_genieCtxCreate *args)
{
	struct genie_ctx ctx = {.primary = args->flags & CTX_PRIMARY};
	uint64_t token = (uintptr_t)args->ctx;
	CUresult status;

	if (args->device < 0 || args->device >= session->device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	status = session->drv->cuDeviceGet(&ctx.device, args->device);
	if (status != CUDA_SUCCESS)
		return status;
	if (ctx.primary)
		status = session->drv->cuDevicePrimaryCtxRetain(&ctx.handle, ctx.device);
	else
		status = session->drv->cuCtxCreate_v2(&ctx.handle, args->flags, ctx.device);
	if (status != CUDA_SUCCESS)
		return status;
	session->current = NULL; /* cuCtxCreate pushed it; whatever is current is set anew */
	status = genie_ctx_bind(session, token, &ctx);
	return status == CUDA_SUCCESS
		       ? genie_ctx_switch(session, session->ctxs[genie_token_index(token)])
		       : status;
}

CUresult
genie_exec_genieCtxCreateAffinity(struct genie_session *session,
				  struct genie_args_genieCtxCreateAffinity *args)
{
	struct genie_ctx ctx = {0};
	CUresult status;

	if (args->device < 0 || args->device >= session->device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!args->count || args->count > GENIE_AFFINITIES_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	status = session->drv->cuDeviceGet(&ctx.device, args->device);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuCtxCreate_v3(&ctx.handle,
						      (CUexecAffinityParam *)args->params,
						      (int)args->count, args->flags, ctx.device);
	if (status != CUDA_SUCCESS)
		return status;
	session->current = NULL; /* the new one was pushed; whatever is current is set anew */
	return genie_ctx_bind(session, (uintptr_t)args->ctx, &ctx);
}

/* What belongs to a context that ends. */
struct ending {
	struct genie_session *session;
	struct genie_ctx *ctx;
};

static void
end_stream(struct genie_object *object, void *data)
{
	const struct ending *ending = data;
	const struct genie_stream *stream = object->state;

	if (stream && stream->ctx == ending->ctx)
		genie_stream_destroy(ending->session, object->token);
}

static void
end_event(struct genie_object *object, void *data)
{
	const struct ending *ending = data;
	struct genie_event *event = object->state;

	if (!event || event->ctx != ending->ctx)
		return;
	genie_event_put(ending->session, event);
	genie_object_drop(&ending->session->objects, GENIE_KIND_EVENT, object->token);
}

static void
end_module(struct genie_object *object, void *data)
{
	const struct ending *ending = data;

	if (object->ctx != ending->ctx->index)
		return;
	if (object->handle)
		ending->session->drv->cuModuleUnload(object->handle);
	genie_module_drop(ending->session, object);
}

CUresult
genie_exec_genieCtxDestroy(struct genie_session *session, struct genie_args_genieCtxDestroy *args)
{
	uint64_t token = (uintptr_t)args->ctx;
	struct genie_object *object;
	struct genie_ctx *ctx;
	struct ending ending;
	CUresult status;

	object = genie_object_find(&session->objects, GENIE_KIND_CTX, token);
	if (!object)
		return CUDA_ERROR_INVALID_CONTEXT;
	ctx = object->state;
	ending = (struct ending){session, ctx};
	status = genie_ctx_switch(session, ctx);
	if (status != CUDA_SUCCESS)
		return status;
	genie_complete_drain(session, ctx);
	genie_object_each(&session->objects, GENIE_KIND_STREAM, end_stream, &ending);
	genie_object_each(&session->objects, GENIE_KIND_EVENT, end_event, &ending);
	genie_object_each(&session->objects, GENIE_KIND_MODULE, end_module, &ending);
	genie_fence_forget(session, ctx);
	genie_complete_wait(session, ctx_quiet, ctx);
	for (struct genie_event *event = ctx->spare; event; event = event->next)
		session->drv->cuEventDestroy_v2(event->handle);
	session->drv->cuCtxSetCurrent(NULL);
	if (ctx->green)
		status = session->drv->cuGreenCtxDestroy(ctx->green);
	else if (ctx->primary)
		status = session->drv->cuDevicePrimaryCtxRelease_v2(ctx->device);
	else
		status = session->drv->cuCtxDestroy_v2(ctx->handle);
	genie_object_drop(&session->objects, GENIE_KIND_CTX, token);
	genie_ctx_free(session, ctx);
	return status;
}
