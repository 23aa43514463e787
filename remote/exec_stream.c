/* Streams, events, marks and host functions. */
#include <semaphore.h>
#include <stdlib.h>

#include "base/log.h"
#include "remote/complete.h"
#include "remote/exec.h"
#include "remote/stage.h"

/* ---- marks: the client wants to know when something is done ---- */

/* What a mark of the client's publishes in, by the token it names. */
static uint32_t
mark_slot(const struct genie_call *call, const struct genie_cmd *cmd)
{
	const struct genie_args_genieStreamMark *stream = call->args;
	const struct genie_args_genieEventRecord *event = call->args;
	uint32_t index;

	switch ((int)call->op) {
	case GENIE_OP_genieStreamMark:
		index = genie_token_index((uintptr_t)stream->stream);
		return index < GENIE_SLOT_STREAMS ? GENIE_SLOT_STREAM + index : GENIE_SLOTS_MAX;
	case GENIE_OP_genieEventRecord:
		index = genie_token_index((uintptr_t)event->event);
		return index < GENIE_SLOT_EVENTS ? GENIE_SLOT_EVENT + index : GENIE_SLOTS_MAX;
	case GENIE_OP_genieCtxMark:
		return cmd->ctx < GENIE_SLOT_CTXS ? GENIE_SLOT_CTX + cmd->ctx : GENIE_SLOTS_MAX;
	default:
		return GENIE_SLOTS_MAX;
	}
}

void
genie_mark_release(struct genie_session *session, const struct genie_call *call)
{
	uint32_t slot = mark_slot(call, session->cmd);

	if (slot < GENIE_SLOTS_MAX)
		genie_port_progress(session->port, slot, session->cmd->ticket);
}

CUresult
genie_exec_genieStreamMark(struct genie_session *session, struct genie_args_genieStreamMark *args)
{
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)args->stream);
	struct genie_completion mark = {.fn = genie_complete_publish,
					.ticket = session->cmd->ticket};

	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	mark.slot = stream->slot;
	return genie_complete_add(session, stream, &mark);
}

CUresult
genie_exec_genieCtxMark(struct genie_session *session, struct genie_args_genieCtxMark *args)
{
	struct genie_completion mark = {.fn = genie_complete_publish,
					.ticket = session->cmd->ticket};

	(void)args;
	if (!session->current)
		return CUDA_ERROR_INVALID_CONTEXT;
	mark.slot = GENIE_SLOT_CTX + session->current->index;
	return genie_complete_all(session, session->current, &mark);
}

/* ---- events ---- */

CUresult
genie_exec_cuEventCreate(struct genie_session *session, struct genie_args_cuEventCreate *args)
{
	struct genie_object *object = NULL;
	struct genie_event *event = NULL;
	CUresult status;

	if (!session->current)
		return CUDA_ERROR_INVALID_CONTEXT;
	/* The backend judges the flags, except where a spare event shows that they are good. */
	status = genie_event_get(session, session->current, args->Flags, &event);
	if (status != CUDA_SUCCESS)
		return status;
	if (genie_object_bind(&session->objects, GENIE_KIND_EVENT, (uintptr_t)*args->phEvent,
			      event->handle, &object)) {
		genie_event_put(session, event);
		genie_session_broken(session, "event token %p cannot be named",
				     (void *)*args->phEvent);
		return CUDA_ERROR_INVALID_HANDLE;
	}
	object->state = event;
	object->ctx = session->current->index;
	return CUDA_SUCCESS;
}

CUresult
genie_exec_cuEventDestroy_v2(struct genie_session *session,
			     struct genie_args_cuEventDestroy_v2 *args)
{
	uint64_t token = (uintptr_t)args->hEvent;
	struct genie_object *object;

	object = genie_object_find(&session->objects, GENIE_KIND_EVENT, token);
	if (!object || !object->state)
		return CUDA_ERROR_INVALID_HANDLE;
	genie_event_put(session, object->state);
	genie_object_drop(&session->objects, GENIE_KIND_EVENT, token);
	return CUDA_SUCCESS;
}

/* An event that the completing thread still looks at cannot be recorded again: the token gets
 * another one. */
static CUresult
event_free_to_record(struct genie_session *session, struct genie_object *object,
		     struct genie_event **ret_event)
{
	struct genie_event *event = object->state;
	struct genie_event *fresh = NULL;
	CUresult status;
	bool busy;

	genie_completer_lock(session);
	busy = event->pending > 0;
	genie_completer_unlock(session);
	if (!busy) {
		*ret_event = event;
		return CUDA_SUCCESS;
	}
	status = genie_event_get(session, event->ctx, event->flags, &fresh);
	if (status != CUDA_SUCCESS)
		return status;
	object->state = fresh;
	object->handle = fresh->handle;
	genie_event_put(session, event);
	*ret_event = fresh;
	return CUDA_SUCCESS;
}

/* An event that is done says the same of its stream: a program that saw the one and asks for the
 * other gets no "not ready". */
static void
event_done(struct genie_session *session, const struct genie_completion *completion,
	   CUresult status)
{
	genie_port_progress(session->port, (uint32_t)completion->ref, completion->ticket);
	genie_complete_publish(session, completion, status);
}

CUresult
genie_exec_genieEventRecord(struct genie_session *session, struct genie_args_genieEventRecord *args)
{
	uint64_t token = (uintptr_t)args->event;
	struct genie_completion mark = {.fn = event_done,
					.ticket = session->cmd->ticket,
					.slot = GENIE_SLOT_EVENT + genie_token_index(token)};
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)args->stream);
	struct genie_object *object;
	struct genie_event *event;
	CUresult status;

	object = genie_object_find(&session->objects, GENIE_KIND_EVENT, token);
	if (!object || !object->state)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	status = genie_ctx_switch(session, stream->ctx);
	if (status != CUDA_SUCCESS)
		return status;
	mark.ref = stream->slot;
	event = object->state;
	if (event->shared || event->fixed) {
		/* Another process or a graph knows this very event, and may record it too: what is
		 * done here is told by one of our own, which genie_complete_add() records. */
		status = session->drv->cuEventRecordWithFlags(event->handle, stream->handle,
							      args->flags);
		stream->dirty = true;
	} else {
		status = event_free_to_record(session, object, &event);
		if (status != CUDA_SUCCESS)
			return status;
		status = session->drv->cuEventRecordWithFlags(event->handle, stream->handle,
							      args->flags);
		mark.event = event;
	}
	if (status != CUDA_SUCCESS)
		return status;
	return genie_complete_add(session, stream, &mark);
}

/* ---- streams ---- */

CUresult
genie_exec_cuStreamDestroy_v2(struct genie_session *session,
			      struct genie_args_cuStreamDestroy_v2 *args)
{
	return genie_stream_destroy(session, (uintptr_t)args->hStream);
}

/*
 * ---- host functions: the stream waits until the client has run one ----
 *
 * CUDA calls us on a thread of its own, which simply waits for the client. The other devices call
 * on whatever thread is at hand, which may be the issuing one; so there the call only asks the
 * client, and the stream waits for a flag that is set when the client has answered.
 */

struct host_call {
	struct genie_session *session;
	uint64_t id;
	_Atomic uint32_t *flag; /* NULL: the calling thread waits for done */
	sem_t done;
};

static void
host_call_free(struct host_call *call)
{
	if (call->flag)
		genie_stage_flag_put(call->session, call->flag);
	sem_destroy(&call->done);
	free(call);
}

static void
host_call_done(void *data)
{
	struct host_call *call = data;

	/* Release: what the client did before is visible to the stream and to the completer. */
	if (call->flag)
		atomic_store_explicit(call->flag, 1, memory_order_release);
	else
		sem_post(&call->done);
}

/* The device calls this when the stream has come here. */
static void
host_call_run(void *data)
{
	struct host_call *call = data;

	if (call->flag)
		atomic_store_explicit(call->flag, 0, memory_order_relaxed);
	if (genie_port_host_func(call->session->port, call->id, host_call_done, call))
		host_call_done(call); /* the client is gone */
	if (call->flag)
		return;
	while (sem_wait(&call->done))
		; /* a signal */
	host_call_free(call);
}

static void
host_call_passed(struct genie_session *session, const struct genie_completion *completion,
		 CUresult status)
{
	(void)session;
	(void)status;
	host_call_free(completion->ptr);
}

/* The stream waits for the flag, and so does what the client hears of the stream. */
static CUresult
host_call_wait(struct genie_session *session, struct genie_stream *stream, struct host_call *call)
{
	const struct genie_completion passed = {.fn = host_call_passed,
						.ticket = session->cmd->ticket,
						.slot = GENIE_SLOTS_MAX,
						.ptr = call,
						.flag = call->flag};
	CUresult status;

	status = session->drv->cuStreamWaitValue32_v2(
		stream->handle, (CUdeviceptr)(uintptr_t)call->flag, 1, CU_STREAM_WAIT_VALUE_GEQ);
	if (status != CUDA_SUCCESS)
		return status;
	return genie_complete_add(session, stream, &passed);
}

CUresult
genie_exec_genieHostFunc(struct genie_session *session, struct genie_args_genieHostFunc *args)
{
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)args->stream);
	struct host_call *call;
	bool waits = session->backend->kind == GENIE_DEVICE_CUDA;
	CUresult status;

	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	genie_stage_register(session);
	call = calloc(1, sizeof(*call));
	if (!call)
		return CUDA_ERROR_OUT_OF_MEMORY;
	sem_init(&call->done, 0, 0);
	call->session = session;
	call->id = args->id;
	if (!waits)
		call->flag = genie_stage_flag_get(session);
	if (!waits && !call->flag) {
		host_call_free(call);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	status = session->drv->cuLaunchHostFunc(stream->handle, host_call_run, call);
	if (status != CUDA_SUCCESS)
		host_call_free(call);
	else if (!waits)
		status = host_call_wait(session, stream, call);
	return status;
}
