/*
 * Streams. An operation runs when it is submitted, unless something before it in its stream has to
 * wait; then the stream keeps it, and everything behind it. What is kept is tried again with every
 * other submission, query and wait, so no thread is needed for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "remote/device_cpu/cpu.h"
#include "remote/device_cpu/identity.h"

/* How long a waiting thread sleeps before it looks at the memory again. */
#define POLL_NS 50000

struct genie_cpu_waiting {
	struct genie_cpu_op op;
	uint64_t sequence; /* order of submission over all streams */
	struct genie_cpu_waiting *next;
};

struct genie_cpu_stream *
genie_cpu_stream_new(struct genie_cpu_context *ctx, unsigned int flags, int priority)
{
	struct genie_cpu_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->magic = GENIE_CPU_STREAM;
	stream->ctx = ctx;
	stream->flags = flags;
	stream->priority = priority;
	stream->id = genie_cpu_new_id();
	stream->last = &stream->first;
	pthread_mutex_lock(&genie_cpu.run_lock);
	stream->next = genie_cpu.streams;
	genie_cpu.streams = stream;
	pthread_mutex_unlock(&genie_cpu.run_lock);
	return stream;
}

static void
stream_free_locked(struct genie_cpu_stream *stream)
{
	struct genie_cpu_stream **link = &genie_cpu.streams;

	while (*link != stream)
		link = &(*link)->next;
	*link = stream->next;
	free(stream);
}

void
genie_cpu_stream_delete(struct genie_cpu_stream *stream)
{
	if (!stream)
		return;
	genie_cpu_capture_drop(stream);
	pthread_mutex_lock(&genie_cpu.run_lock);
	stream->magic = 0;
	/* what it keeps is still done: the last operation frees the stream */
	if (!stream->first)
		stream_free_locked(stream);
	pthread_mutex_unlock(&genie_cpu.run_lock);
}

CUresult
genie_cpu_stream_get(CUstream handle, struct genie_cpu_stream **ret_stream)
{
	struct genie_cpu_stream *stream = (struct genie_cpu_stream *)handle;
	struct genie_cpu_context *ctx;
	CUresult status;

	if (handle == NULL || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD) {
		status = genie_cpu_enter(&ctx);
		if (status != CUDA_SUCCESS)
			return status;
		*ret_stream = handle == CU_STREAM_PER_THREAD ? ctx->per_thread : ctx->legacy;
		return CUDA_SUCCESS;
	}
	if (!genie_cpu.initialized)
		return CUDA_ERROR_NOT_INITIALIZED;
	if (!genie_cpu_is(stream, GENIE_CPU_STREAM))
		return CUDA_ERROR_INVALID_HANDLE;
	*ret_stream = stream;
	return genie_cpu_context_lost(stream->ctx);
}

static bool
is_blocking(const struct genie_cpu_stream *stream)
{
	return stream != stream->ctx->legacy && !(stream->flags & CU_STREAM_NON_BLOCKING);
}

/* Does something that the stream keeps come before @sequence? */
static bool
keeps_older(const struct genie_cpu_stream *stream, uint64_t sequence)
{
	return stream->first && stream->first->sequence < sequence;
}

/*
 * Must an operation of @stream wait for what other streams keep? The legacy stream and all
 * blocking streams of a context wait for each other.
 */
static bool
held_up(const struct genie_cpu_stream *stream, uint64_t sequence)
{
	const struct genie_cpu_context *ctx = stream->ctx;

	if (!genie_cpu.waiting)
		return false;
	if (is_blocking(stream))
		return ctx->legacy && keeps_older(ctx->legacy, sequence);
	if (stream != ctx->legacy)
		return false;
	for (struct genie_cpu_stream *s = genie_cpu.streams; s; s = s->next)
		if (s->ctx == ctx && is_blocking(s) && keeps_older(s, sequence))
			return true;
	return false;
}

/* Runs what the stream keeps, as far as it goes. true: something was done. */
static bool
advance_locked(struct genie_cpu_stream *stream)
{
	bool any = false;

	while (stream->first) {
		struct genie_cpu_waiting *waiting = stream->first;
		CUresult status;

		if (held_up(stream, waiting->sequence) || !genie_cpu_op_ready(&waiting->op))
			break;
		stream->first = waiting->next;
		if (!stream->first)
			stream->last = &stream->first;
		__atomic_sub_fetch(&genie_cpu.waiting, 1, __ATOMIC_RELAXED);
		any = true;
		status = genie_cpu_op_run(&waiting->op);
		/* nobody is there to return it to; what was checked before went away since */
		if (status != CUDA_SUCCESS)
			genie_cpu_context_lose(stream->ctx, status == CUDA_ERROR_INVALID_VALUE
								    ? CUDA_ERROR_ILLEGAL_ADDRESS
								    : status);
		genie_cpu_op_fini(&waiting->op);
		free(waiting);
	}
	return any;
}

/* Everything that can run now, in all streams. */
static void
progress_locked(void)
{
	bool any = genie_cpu.waiting > 0;

	while (any) {
		struct genie_cpu_stream *next;

		any = false;
		for (struct genie_cpu_stream *s = genie_cpu.streams; s; s = next) {
			next = s->next;
			any |= advance_locked(s);
			if (!s->first && !s->magic)
				stream_free_locked(s);
		}
		any = any && genie_cpu.waiting;
	}
}

void
genie_cpu_progress(void)
{
	/* an operation that runs in another thread makes progress itself when it is over */
	if (!__atomic_load_n(&genie_cpu.waiting, __ATOMIC_RELAXED) ||
	    pthread_mutex_trylock(&genie_cpu.run_lock))
		return;
	progress_locked();
	pthread_mutex_unlock(&genie_cpu.run_lock);
}

/* Appends a copy of the operation to what the stream keeps. */
static CUresult
keep_locked(struct genie_cpu_stream *stream, const struct genie_cpu_op *op)
{
	struct genie_cpu_waiting *waiting = calloc(1, sizeof(*waiting));
	CUresult status;

	if (!waiting)
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = genie_cpu_op_copy(&waiting->op, op);
	if (status != CUDA_SUCCESS) {
		free(waiting);
		return status;
	}
	waiting->sequence = ++genie_cpu.sequence;
	*stream->last = waiting;
	stream->last = &waiting->next;
	__atomic_add_fetch(&genie_cpu.waiting, 1, __ATOMIC_RELAXED);
	return CUDA_SUCCESS;
}

CUresult
genie_cpu_submit(CUstream handle, struct genie_cpu_op *op)
{
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_stream_get(handle, &stream);

	if (status != CUDA_SUCCESS)
		return status;
	op->ctx = stream->ctx;
	status = genie_cpu_op_check(op);
	if (status != CUDA_SUCCESS)
		return status;
	if (stream->capture)
		return genie_cpu_capture_op(stream, op);
	if (stream == stream->ctx->legacy && genie_cpu_capture_forbids_legacy(stream->ctx, true))
		return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
	pthread_mutex_lock(&genie_cpu.run_lock);
	progress_locked();
	if (stream->first || held_up(stream, UINT64_MAX) || !genie_cpu_op_ready(op))
		status = keep_locked(stream, op);
	else
		status = genie_cpu_op_run(op);
	progress_locked();
	pthread_mutex_unlock(&genie_cpu.run_lock);
	return status;
}

void
genie_cpu_poll(void)
{
	/* for a value in memory that somebody else will write */
	const struct timespec pause = {.tv_nsec = POLL_NS};

	genie_cpu_progress();
	nanosleep(&pause, NULL);
}

/* As unbounded as the driver's own: a stream may wait for a value that never comes. */
CUresult
genie_cpu_wait_idle(struct genie_cpu_stream *stream)
{
	for (;;) {
		bool idle;

		pthread_mutex_lock(&genie_cpu.run_lock);
		progress_locked();
		idle = stream ? !stream->first && !held_up(stream, UINT64_MAX) : !genie_cpu.waiting;
		pthread_mutex_unlock(&genie_cpu.run_lock);
		if (idle)
			return CUDA_SUCCESS;
		genie_cpu_poll();
	}
}

/* ---- CUDA's functions ---- */

static CUresult
cpu_cuStreamCreateWithPriority(CUstream *ret_stream, unsigned int flags, int priority)
{
	struct genie_cpu_context *ctx;
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_enter(&ctx);

	if (status != CUDA_SUCCESS)
		return status;
	if (!ret_stream || flags & ~(unsigned int)CU_STREAM_NON_BLOCKING)
		return CUDA_ERROR_INVALID_VALUE;
	/* the driver takes any priority and brings it into range */
	if (priority > 0)
		priority = 0;
	if (priority < GENIE_CPU_PRIORITY_GREATEST)
		priority = GENIE_CPU_PRIORITY_GREATEST;
	stream = genie_cpu_stream_new(ctx, flags, priority);
	if (!stream)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ret_stream = (CUstream)stream;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuStreamCreate(CUstream *ret_stream, unsigned int flags)
{
	return cpu_cuStreamCreateWithPriority(ret_stream, flags, 0);
}

static CUresult
cpu_cuStreamDestroy_v2(CUstream handle)
{
	struct genie_cpu_stream *stream = (struct genie_cpu_stream *)handle;

	if (handle == NULL || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD ||
	    !genie_cpu_is(stream, GENIE_CPU_STREAM))
		return CUDA_ERROR_INVALID_HANDLE;
	genie_cpu_stream_delete(stream);
	return genie_cpu_lost();
}

static CUresult
cpu_cuStreamSynchronize(CUstream handle)
{
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_stream_get(handle, &stream);

	if (status != CUDA_SUCCESS)
		return status;
	if (stream->capture)
		return genie_cpu_capture_invalidate(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	status = genie_cpu_wait_idle(stream);
	return status == CUDA_SUCCESS ? genie_cpu_context_lost(stream->ctx) : status;
}

static CUresult
cpu_cuStreamQuery(CUstream handle)
{
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_stream_get(handle, &stream);

	if (status != CUDA_SUCCESS)
		return status;
	if (stream->capture)
		return genie_cpu_capture_invalidate(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	if (!__atomic_load_n(&genie_cpu.waiting, __ATOMIC_RELAXED))
		return CUDA_SUCCESS;
	pthread_mutex_lock(&genie_cpu.run_lock);
	progress_locked();
	status = stream->first ? CUDA_ERROR_NOT_READY : genie_cpu_context_lost(stream->ctx);
	pthread_mutex_unlock(&genie_cpu.run_lock);
	return status;
}

static CUresult
cpu_cuStreamGetPriority(CUstream handle, int *priority)
{
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_stream_get(handle, &stream);

	if (status == CUDA_SUCCESS)
		*priority = stream->priority;
	return status;
}

static CUresult
cpu_cuStreamGetFlags(CUstream handle, unsigned int *flags)
{
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_stream_get(handle, &stream);

	if (status == CUDA_SUCCESS)
		*flags = stream->flags;
	return status;
}

static CUresult
cpu_cuStreamGetId(CUstream handle, unsigned long long *id)
{
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_stream_get(handle, &stream);

	if (status == CUDA_SUCCESS)
		*id = stream->id;
	return status;
}

static CUresult
cpu_cuStreamGetDevice(CUstream handle, CUdevice *device)
{
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_stream_get(handle, &stream);

	if (status == CUDA_SUCCESS)
		*device = 0;
	return status;
}

static CUresult
cpu_cuStreamGetCtx(CUstream handle, CUcontext *ctx)
{
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_stream_get(handle, &stream);

	if (status == CUDA_SUCCESS)
		*ctx = (CUcontext)stream->ctx;
	return status;
}

static CUresult
cpu_cuLaunchHostFunc(CUstream stream, CUhostFn fn, void *data)
{
	struct genie_cpu_op op = {.kind = GENIE_CPU_OP_HOST};

	op.host.fn = fn;
	op.host.data = data;
	return genie_cpu_submit(stream, &op);
}

struct callback {
	CUstream stream;
	CUstreamCallback fn;
	void *data;
};

static void
run_callback(void *data)
{
	struct callback callback = *(struct callback *)data;

	free(data);
	callback.fn(callback.stream, CUDA_SUCCESS, callback.data);
}

static CUresult
cpu_cuStreamAddCallback(CUstream handle, CUstreamCallback fn, void *data, unsigned int flags)
{
	struct genie_cpu_stream *stream;
	struct callback *callback;
	CUresult status = genie_cpu_stream_get(handle, &stream);

	if (status != CUDA_SUCCESS)
		return status;
	if (!fn || flags)
		return CUDA_ERROR_INVALID_VALUE;
	if (stream->capture)
		return genie_cpu_capture_invalidate(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	callback = malloc(sizeof(*callback));
	if (!callback)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*callback = (struct callback){.stream = handle, .fn = fn, .data = data};
	status = cpu_cuLaunchHostFunc(handle, run_callback, callback);
	if (status != CUDA_SUCCESS)
		free(callback);
	return status;
}

static CUresult
cpu_cuStreamAttachMemAsync(CUstream handle, CUdeviceptr ptr, size_t size, unsigned int flags)
{
	struct genie_cpu_stream *stream;

	(void)ptr;
	(void)size;
	(void)flags;
	return genie_cpu_stream_get(handle, &stream);
}

static bool
known_attribute(CUstreamAttrID attribute)
{
	return attribute >= 0 &&
	       (size_t)attribute < sizeof(((struct genie_cpu_stream *)0)->attrs) /
					   sizeof(((struct genie_cpu_stream *)0)->attrs[0]);
}

static CUresult
cpu_cuStreamGetAttribute(CUstream handle, CUstreamAttrID attribute, CUstreamAttrValue *value)
{
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_stream_get(handle, &stream);

	if (status != CUDA_SUCCESS)
		return status;
	if (attribute == CU_LAUNCH_ATTRIBUTE_PRIORITY) {
		value->priority = stream->priority;
		return CUDA_SUCCESS;
	}
	if (!known_attribute(attribute))
		return CUDA_ERROR_INVALID_VALUE;
	*value = stream->attrs[attribute];
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuStreamSetAttribute(CUstream handle, CUstreamAttrID attribute, const CUstreamAttrValue *value)
{
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_stream_get(handle, &stream);

	if (status != CUDA_SUCCESS)
		return status;
	if (attribute == CU_LAUNCH_ATTRIBUTE_PRIORITY) {
		stream->priority = value->priority;
		return CUDA_SUCCESS;
	}
	if (!known_attribute(attribute))
		return CUDA_ERROR_INVALID_VALUE;
	stream->attrs[attribute] = *value;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuStreamCopyAttributes(CUstream dst_handle, CUstream src_handle)
{
	struct genie_cpu_stream *dst, *src;
	CUresult status = genie_cpu_stream_get(dst_handle, &dst);

	if (status == CUDA_SUCCESS)
		status = genie_cpu_stream_get(src_handle, &src);
	if (status == CUDA_SUCCESS)
		memcpy(dst->attrs, src->attrs, sizeof(dst->attrs));
	return status;
}

void
genie_cpu_fill_stream(struct genie_driver *drv)
{
	drv->cuStreamCreate = cpu_cuStreamCreate;
	drv->cuStreamCreateWithPriority = cpu_cuStreamCreateWithPriority;
	drv->cuStreamDestroy_v2 = cpu_cuStreamDestroy_v2;
	drv->cuStreamSynchronize = cpu_cuStreamSynchronize;
	drv->cuStreamQuery = cpu_cuStreamQuery;
	drv->cuStreamGetPriority = cpu_cuStreamGetPriority;
	drv->cuStreamGetFlags = cpu_cuStreamGetFlags;
	drv->cuStreamGetId = cpu_cuStreamGetId;
	drv->cuStreamGetDevice = cpu_cuStreamGetDevice;
	drv->cuStreamGetCtx = cpu_cuStreamGetCtx;
	drv->cuLaunchHostFunc = cpu_cuLaunchHostFunc;
	drv->cuStreamAddCallback = cpu_cuStreamAddCallback;
	drv->cuStreamAttachMemAsync = cpu_cuStreamAttachMemAsync;
	drv->cuStreamGetAttribute = cpu_cuStreamGetAttribute;
	drv->cuStreamSetAttribute = cpu_cuStreamSetAttribute;
	drv->cuStreamCopyAttributes = cpu_cuStreamCopyAttributes;
}
