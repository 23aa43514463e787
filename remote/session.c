#include "remote/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "remote/address.h"
#include "remote/complete.h"
#include "remote/credit.h"
#include "remote/devres.h"
#include "remote/exec.h"
#include "remote/mapping.h"
#include "remote/memory.h"
#include "remote/mirror.h"
#include "remote/stage.h"
#include "remote/store.h"
#include "remote/timing.h"
#include "remote/uploads.h"
#include "wire/codec.h"

/* ---- beginning and end ---- */

int
genie_session_init(struct genie_session *session, const struct genie_session_opts *opts)
{
	CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
	int error;

	*session = (struct genie_session){.backend = opts->backend,
					  .drv = &opts->backend->drv,
					  .port = opts->port,
					  .devices = opts->devices,
					  .device_count = opts->device_count,
					  .device_window = opts->device_window,
					  .device_window_size = opts->device_window_size,
					  .broker = opts->broker};
	/* Calls of several threads of the client come from this one thread: which of them a capture
	 * forbids is the client's to decide. */
	session->drv->cuThreadExchangeStreamCaptureMode(&mode);
	session->scratch = malloc(GENIE_POOL_SIZE);
	session->store = genie_store_create(opts->cache_dir);
	if (opts->port && !genie_port_shared(opts->port))
		session->uploads = genie_uploads_create(opts->cache_dir);
	error = session->scratch && session->store ? 0 : -ENOMEM;
	if (!error)
		error = genie_fence_init(session);
	if (!error)
		error = genie_credit_init(session, opts);
	if (!error)
		error = genie_memory_init(session);
	if (!error)
		error = genie_address_init(session);
	if (!error)
		error = genie_stage_init(session);
	if (!error)
		error = genie_completer_start(session);
	if (error)
		genie_session_fini(session);
	return error;
}

static void
module_free(struct genie_object *object, void *data)
{
	genie_module_drop(data, object);
}

static void
event_free(struct genie_object *object, void *data)
{
	(void)data;
	free(object->state);
}

static void
memhandle_free(struct genie_object *object, void *data)
{
	(void)data;
	genie_pages_forget(object->state);
}

void
genie_session_fini(struct genie_session *session)
{
	genie_fence_fini(session);
	genie_completer_stop(session);
	genie_object_each(&session->objects, GENIE_KIND_MODULE, module_free, session);
	genie_object_each(&session->objects, GENIE_KIND_EVENT, event_free, NULL);
	genie_object_each(&session->objects, GENIE_KIND_MEMHANDLE, memhandle_free, NULL);
	for (unsigned int i = 0; i < GENIE_SLOT_CTXS; i++)
		if (session->ctxs[i])
			genie_ctx_free(session, session->ctxs[i]);
	genie_graph_fini(session);
	genie_objects_fini(&session->objects);
	genie_stage_fini(session);
	genie_mirror_fini(session);
	genie_memory_fini(session);
	genie_credit_fini(session);
	genie_address_fini(session);
	genie_devres_free(session->devres);
	session->devres = NULL;
	genie_uploads_destroy(session->uploads);
	genie_store_destroy(session->store);
	session->store = NULL;
	free(session->scratch);
	session->scratch = NULL;
}

/* ---- failures ---- */

void
genie_session_broken(struct genie_session *session, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!session->fatal)
		genie_warn("the client broke the protocol: %s", text);
	session->fatal = true;
}

bool
genie_status_sticky(CUresult status)
{
	switch ((int)status) {
	case CUDA_ERROR_ECC_UNCORRECTABLE:
	case CUDA_ERROR_NVLINK_UNCORRECTABLE:
	case CUDA_ERROR_CONTAINED:
	case CUDA_ERROR_ILLEGAL_ADDRESS:
	case CUDA_ERROR_LAUNCH_TIMEOUT:
	case CUDA_ERROR_CONTEXT_IS_DESTROYED:
	case CUDA_ERROR_ASSERT:
	case CUDA_ERROR_HARDWARE_STACK_ERROR:
	case CUDA_ERROR_ILLEGAL_INSTRUCTION:
	case CUDA_ERROR_MISALIGNED_ADDRESS:
	case CUDA_ERROR_INVALID_ADDRESS_SPACE:
	case CUDA_ERROR_INVALID_PC:
	case CUDA_ERROR_LAUNCH_FAILED:
	case CUDA_ERROR_TENSOR_MEMORY_LEAK:
	case CUDA_ERROR_EXTERNAL_DEVICE:
	case CUDA_ERROR_MPS_CLIENT_TERMINATED:
		return true;
	default:
		return false;
	}
}

void
genie_session_error(struct genie_session *session, uint64_t ticket, uint32_t op, CUresult status)
{
	const struct genie_async_error error = {.ticket = ticket,
						.status = (int32_t)status,
						.op = op,
						.sticky = genie_status_sticky(status)};

	genie_port_error(session->port, &error);
}

void
genie_session_printed(struct genie_session *session, CUevent event, CUresult status)
{
	/* Asking the driver costs microseconds, so not for programs without printf. A kernel that
	 * was ended may have said why: an assertion needs no printf. */
	bool worth = status != CUDA_SUCCESS ? genie_status_sticky(status)
					    : event && atomic_load_explicit(&session->prints,
									    memory_order_relaxed);

	if (worth && session->backend->printed)
		session->backend->printed(session->backend, event);
}

/* ---- one command ---- */

static bool
decode(struct genie_session *session, const struct genie_cmd *cmd, struct genie_pool *pool,
       struct genie_call *ret_call)
{
	const struct genie_op_desc *desc = genie_op_desc(cmd->op);
	struct genie_reader reader;

	genie_pool_init(pool, session->scratch, GENIE_POOL_SIZE);
	genie_reader_init(&reader, cmd + 1, cmd->len - sizeof(*cmd));
	if (!genie_decode_args(&reader, pool, (enum genie_op)cmd->op, ret_call)) {
		genie_session_broken(session, "command %llu, %s (%u): %s",
				     (unsigned long long)cmd->ticket,
				     desc ? desc->name : "unknown call", cmd->op,
				     reader.why ? reader.why : "malformed");
		return false;
	}
	if (desc->sync && !(cmd->flags & GENIE_CMD_REPLY)) {
		genie_session_broken(session, "command %llu, %s: nobody waits for its answer",
				     (unsigned long long)cmd->ticket, desc->name);
		return false;
	}
	return true;
}

/* The context the command runs in. The one that makes a context names it before it exists. */
static CUresult
ctx_enter(struct genie_session *session, const struct genie_cmd *cmd)
{
	if (!cmd->ctx || cmd->op == GENIE_OP_genieCtxCreate ||
	    cmd->op == GENIE_OP_genieCtxCreateAffinity)
		return CUDA_SUCCESS;
	if (cmd->ctx >= GENIE_SLOT_CTXS || !session->ctxs[cmd->ctx])
		return CUDA_ERROR_INVALID_CONTEXT;
	return genie_ctx_switch(session, session->ctxs[cmd->ctx]);
}

static void
answer(struct genie_session *session, const struct genie_cmd *cmd, struct genie_pool *pool,
       const struct genie_call *call, CUresult status)
{
	size_t size = genie_reply_size(call, (int32_t)status);
	void *payload = size ? genie_pool_alloc(pool, size) : NULL;
	struct genie_writer writer;

	if (size && !payload) { /* the pool has room for any answer: cannot be */
		size = 0;
		status = CUDA_ERROR_OUT_OF_MEMORY;
	}
	if (size) {
		genie_writer_init(&writer, payload, size);
		genie_encode_reply(&writer, call, (int32_t)status);
		size = genie_writer_len(&writer);
	}
	genie_port_reply(session->port, cmd->lane, cmd->ticket, (int32_t)status, payload, size);
}

static int
execute(struct genie_session *session, const struct genie_cmd *cmd)
{
	const bool timed = genie_timing_due();
	uint64_t begin = timed ? genie_timing_now() : 0, decoded = 0;
	struct genie_pool pool;
	struct genie_call call;
	CUresult status;

	if (!decode(session, cmd, &pool, &call))
		return -EPROTO;
	if (timed)
		decoded = genie_timing_now();
	status = ctx_enter(session, cmd);
	if (status == CUDA_SUCCESS)
		status = (CUresult)genie_invoke(session, call.op, call.args);
	else
		genie_copy_abandon(session, &call);
	if (timed)
		genie_timing_add(begin, decoded, genie_timing_now());
	if (session->fatal)
		return -EPROTO;
	if (status != CUDA_SUCCESS)
		genie_debug("command %llu, %s: %d", (unsigned long long)cmd->ticket,
			    genie_op_desc(cmd->op)->name, (int)status);
	if (session->deferred)
		return 0;
	if (status != CUDA_SUCCESS)
		genie_session_printed(session, NULL, status);
	if (cmd->flags & GENIE_CMD_REPLY)
		answer(session, cmd, &pool, &call, status);
	/* Who waits for an answer has the status in it; a lost context concerns everybody. */
	if (status != CUDA_SUCCESS &&
	    (!(cmd->flags & GENIE_CMD_REPLY) || genie_status_sticky(status)))
		genie_session_error(session, cmd->ticket, cmd->op, status);
	if (status != CUDA_SUCCESS)
		genie_mark_release(session, &call);
	return 0;
}

int
genie_session_execute(struct genie_session *session, const struct genie_cmd *cmd)
{
	int error;

	session->cmd = cmd;
	session->deferred = false;
	error = execute(session, cmd);
	session->cmd = NULL;
	return error;
}

CUresult
genie_exec_genieNop(struct genie_session *session, struct genie_args_genieNop *args)
{
	(void)session;
	(void)args;
	return CUDA_SUCCESS;
}

CUresult
genie_exec_genieBye(struct genie_session *session, struct genie_args_genieBye *args)
{
	(void)args;
	session->bye = true;
	return CUDA_SUCCESS;
}

/* ---- what the generated thunks ask for (genie_exec.h) ---- */

const struct genie_driver *
genie_session_driver(struct genie_session *session)
{
	return session->drv;
}

const struct genie_nvml *
genie_session_nvml(struct genie_session *session)
{
	genie_nvml_open(session);
	return &session->backend->nvml;
}

int32_t
genie_session_resolve(struct genie_session *session, enum genie_kind kind, uint64_t token,
		      void **ret_handle)
{
	struct genie_object *object;
	struct genie_stream *stream;

	if (kind == GENIE_KIND_STREAM) {
		stream = genie_stream_use(session, token);
		if (!stream)
			return CUDA_ERROR_INVALID_HANDLE;
		*ret_handle = stream->handle;
		return CUDA_SUCCESS;
	}
	if (kind == GENIE_KIND_NVMLDEV)
		genie_nvml_open(session);
	object = genie_object_find(&session->objects, kind, token);
	if (!object)
		return CUDA_ERROR_INVALID_HANDLE;
	*ret_handle = object->handle;
	return object->status;
}

int32_t
genie_session_bind(struct genie_session *session, enum genie_kind kind, uint64_t token,
		   void *handle)
{
	if (kind == GENIE_KIND_STREAM)
		return (int32_t)genie_stream_bind(session, token, handle);
	switch (genie_object_bind(&session->objects, kind, token, handle, NULL)) {
	case 0:
		return CUDA_SUCCESS;
	case -ENOMEM:
		return CUDA_ERROR_OUT_OF_MEMORY;
	default:
		genie_session_broken(session, "token 0x%llx of kind %d cannot be named",
				     (unsigned long long)token, (int)kind);
		return CUDA_ERROR_INVALID_HANDLE;
	}
}

int32_t
genie_session_name(struct genie_session *session, enum genie_kind kind, void *handle,
		   uint64_t *ret_token)
{
	uint64_t token = genie_object_name(&session->objects, kind, handle);

	if (!token)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ret_token = token;
	return CUDA_SUCCESS;
}

void
genie_session_drop(struct genie_session *session, enum genie_kind kind, uint64_t token)
{
	genie_object_drop(&session->objects, kind, token);
}
