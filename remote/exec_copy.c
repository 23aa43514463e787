/*
 * Copies between the client and the device. Small ones travel in the command or the answer, large
 * ones in staging slots, and pinned memory that both sides see is copied where it is.
 */
#include <stdlib.h>
#include <string.h>

#include "remote/address.h"
#include "remote/complete.h"
#include "remote/exec.h"
#include "remote/memory.h"
#include "remote/stage.h"
#include "remote/uploads.h"

/* ---- to the device ---- */

static void
held_happen(struct genie_session *session, const struct genie_completion *completion,
	    CUresult status)
{
	(void)session;
	(void)status;
	free(completion->ptr);
}

/* A copy from memory that is the worker's until the device has read it. */
static CUresult
copy_held(struct genie_session *session, struct genie_stream *stream,
	  const struct genie_args_genieMemcpyHtoDInline *args)
{
	struct genie_completion done = {
		.fn = held_happen, .ticket = session->cmd->ticket, .slot = GENIE_SLOTS_MAX};
	CUresult status;

	done.ptr = malloc(args->size);
	if (!done.ptr)
		return CUDA_ERROR_OUT_OF_MEMORY;
	memcpy(done.ptr, args->data, args->size);
	status =
		session->drv->cuMemcpyHtoDAsync_v2(args->dst, done.ptr, args->size, stream->handle);
	if (status != CUDA_SUCCESS) {
		free(done.ptr);
		return status;
	}
	return genie_complete_add(session, stream, &done);
}

CUresult
genie_exec_genieMemcpyHtoDInline(struct genie_session *session,
				 struct genie_args_genieMemcpyHtoDInline *args)
{
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)args->stream);
	CUresult status;

	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!args->size)
		return CUDA_SUCCESS;
	status = genie_address_check(session, args->dst, args->size);
	if (status != CUDA_SUCCESS)
		return status;
	if (session->backend->kind != GENIE_DEVICE_CUDA)
		return copy_held(session, stream, args);
	/* CUDA takes what lies in ordinary memory along before it returns, without waiting for the
	 * stream (measured up to 128 KiB), so the command's own bytes can be named. */
	return session->drv->cuMemcpyHtoDAsync_v2(args->dst, args->data, args->size,
						  stream->handle);
}

static void
bulk_in_happen(struct genie_session *session, const struct genie_completion *completion,
	       CUresult status)
{
	(void)status;
	genie_port_bulk_in_done(session->port, completion->ref, completion->len,
				completion->ticket);
}

CUresult
genie_exec_genieMemcpyHtoDBulk(struct genie_session *session,
			       struct genie_args_genieMemcpyHtoDBulk *args)
{
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)args->stream);
	const struct genie_completion done = {.fn = bulk_in_happen,
					      .ticket = session->cmd->ticket,
					      .slot = GENIE_SLOTS_MAX,
					      .ref = args->ref,
					      .len = args->size};
	CUresult status = CUDA_ERROR_INVALID_HANDLE;
	const void *data;
	void *ptr = NULL;

	genie_stage_register(session);
	if (genie_port_bulk_in(session->port, args->ref, args->size, &ptr)) {
		genie_session_broken(session, "bulk data 0x%llx of %zu bytes is not there",
				     args->ref, args->size);
		return CUDA_ERROR_INVALID_VALUE;
	}
	data = ptr;
	if (stream)
		status = genie_address_check(session, args->dst, args->size);
	if (status == CUDA_SUCCESS)
		genie_uploads_keep(session->uploads, data, args->size);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuMemcpyHtoDAsync_v2(args->dst, data, args->size,
							    stream->handle);
	if (status == CUDA_SUCCESS)
		status = genie_complete_add(session, stream, &done);
	/* The slot goes back in any case: what a copy that failed has written does not matter. */
	if (status != CUDA_SUCCESS)
		bulk_in_happen(session, &done, status);
	return status;
}

CUresult
genie_exec_genieMemcpyHtoDPinned(struct genie_session *session,
				 struct genie_args_genieMemcpyHtoDPinned *args)
{
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)args->stream);

	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!args->size)
		return CUDA_SUCCESS;
	if (!genie_memory_pinned(session, args->src, args->size) ||
	    genie_address_check(session, args->dst, args->size) != CUDA_SUCCESS)
		return CUDA_ERROR_INVALID_VALUE;
	return session->drv->cuMemcpyHtoDAsync_v2(args->dst, (const void *)(uintptr_t)args->src,
						  args->size, stream->handle);
}

/* ---- from the device ---- */

static void
reply_happen(struct genie_session *session, const struct genie_completion *completion,
	     CUresult status)
{
	/* What genie_encode_reply() writes for a call with one answer: its bytes, padded to 8 with
	 * zeros. The buffer has room for them. */
	size_t len = (completion->len + 7) & ~(size_t)7;

	memset((char *)completion->ptr + completion->len, 0, len - completion->len);
	genie_port_reply(session->port, completion->lane, completion->ticket, (int32_t)status,
			 completion->ptr, status == CUDA_SUCCESS ? len : 0);
	genie_stage_put(session, completion->ptr);
}

CUresult
genie_exec_genieMemcpyDtoHReply(struct genie_session *session,
				struct genie_args_genieMemcpyDtoHReply *args)
{
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)args->stream);
	struct genie_completion done = {.fn = reply_happen,
					.ticket = session->cmd->ticket,
					.slot = GENIE_SLOTS_MAX,
					.lane = session->cmd->lane,
					.len = args->size};
	CUresult status;

	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	if (args->size > GENIE_REPLY_MAX ||
	    genie_address_check(session, args->src, args->size) != CUDA_SUCCESS)
		return CUDA_ERROR_INVALID_VALUE;
	genie_stage_register(session);
	done.ptr = genie_stage_get(session);
	status =
		session->drv->cuMemcpyDtoHAsync_v2(done.ptr, args->src, args->size, stream->handle);
	if (status == CUDA_SUCCESS)
		status = genie_complete_add(session, stream, &done);
	if (status != CUDA_SUCCESS) {
		genie_stage_put(session, done.ptr);
		return status;
	}
	session->deferred = true;
	return CUDA_SUCCESS;
}

static void
bulk_out_happen(struct genie_session *session, const struct genie_completion *completion,
		CUresult status)
{
	(void)status; /* told already; who waits for the data must be let go all the same */
	genie_port_bulk_out_ready(session->port, completion->ref, completion->len, completion->ptr,
				  completion->ticket);
}

CUresult
genie_exec_genieMemcpyDtoHBulk(struct genie_session *session,
			       struct genie_args_genieMemcpyDtoHBulk *args)
{
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)args->stream);
	struct genie_completion done = {.fn = bulk_out_happen,
					.ticket = session->cmd->ticket,
					.slot = GENIE_SLOTS_MAX,
					.ref = args->ref,
					.len = args->size};
	CUresult status = CUDA_ERROR_INVALID_HANDLE;

	genie_stage_register(session);
	if (genie_port_bulk_out(session->port, args->ref, args->size, &done.ptr)) {
		genie_session_broken(session, "bulk space 0x%llx of %zu bytes is not there",
				     args->ref, args->size);
		return CUDA_ERROR_INVALID_VALUE;
	}
	if (stream)
		status = genie_address_check(session, args->src, args->size);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuMemcpyDtoHAsync_v2(done.ptr, args->src, args->size,
							    stream->handle);
	if (status == CUDA_SUCCESS) {
		status = genie_complete_add(session, stream, &done);
		/* Out of memory: nothing will tell when the device has done with the slot. */
		if (status != CUDA_SUCCESS)
			session->drv->cuStreamSynchronize(stream->handle);
	}
	if (status != CUDA_SUCCESS) {
		/* Not the device's old contents, nor another copy's. */
		memset(done.ptr, 0, args->size);
		bulk_out_happen(session, &done, status);
	}
	return status;
}

CUresult
genie_exec_genieMemcpyDtoHPinned(struct genie_session *session,
				 struct genie_args_genieMemcpyDtoHPinned *args)
{
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)args->stream);

	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!args->size)
		return CUDA_SUCCESS;
	if (!genie_memory_pinned(session, args->dst, args->size) ||
	    genie_address_check(session, args->src, args->size) != CUDA_SUCCESS)
		return CUDA_ERROR_INVALID_VALUE;
	return session->drv->cuMemcpyDtoHAsync_v2((void *)(uintptr_t)args->dst, args->src,
						  args->size, stream->handle);
}

void
genie_copy_abandon(struct genie_session *session, const struct genie_call *call)
{
	const struct genie_args_genieMemcpyHtoDBulk *up = call->args;
	const struct genie_args_genieMemcpyDtoHBulk *down = call->args;
	const struct genie_args_genieImageBulk *image = call->args;
	const struct genie_args_genieMirrorBulk *mirror = call->args;
	const struct genie_args_genieMirrorBack *back = call->args;
	uint64_t ticket = session->cmd->ticket;
	void *ptr = NULL;

	switch ((int)call->op) {
	case GENIE_OP_genieMemcpyHtoDBulk:
		if (!genie_port_bulk_in(session->port, up->ref, up->size, &ptr))
			genie_port_bulk_in_done(session->port, up->ref, up->size, ticket);
		break;
	case GENIE_OP_genieMirrorBulk:
		if (!genie_port_bulk_in(session->port, mirror->ref, mirror->size, &ptr))
			genie_port_bulk_in_done(session->port, mirror->ref, mirror->size, ticket);
		break;
	case GENIE_OP_genieImageBulk:
		if (!genie_port_bulk_in(session->port, image->ref, image->size, &ptr))
			genie_port_bulk_in_done(session->port, image->ref, image->size, ticket);
		break;
	case GENIE_OP_genieMirrorBack:
		if (genie_port_bulk_out(session->port, back->ref, back->size, &ptr))
			break;
		memset(ptr, 0, back->size);
		genie_port_bulk_out_ready(session->port, back->ref, back->size, ptr, ticket);
		break;
	case GENIE_OP_genieMemcpyDtoHBulk:
		if (genie_port_bulk_out(session->port, down->ref, down->size, &ptr))
			break;
		memset(ptr, 0, down->size);
		genie_port_bulk_out_ready(session->port, down->ref, down->size, ptr, ticket);
		break;
	default:
		break;
	}
}
