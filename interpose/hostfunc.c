/*
 * Host functions: cuLaunchHostFunc and cuStreamAddCallback. The worker's stream waits at the
 * function's place, asks over the channel, and the channel's service thread runs it here. The
 * function never travels, only a number for it.
 */
#include "interpose/hostfunc.h"

#include <stdlib.h>

#include "interpose/capture.h"
#include "interpose/mirror.h"

struct hostfunc {
	struct hostfunc *next;
	uint64_t id;
	CUhostFn fn;
	CUstreamCallback callback; /* instead of fn */
	CUstream stream;           /* as the program named it, for callback */
	void *data;
	int refs; /* of graphs: it runs at each of their launches; 0 = it runs once */
	/* What was copied to pinned memory before it in its stream, and must have arrived; over a
	 * network the worker's request can overtake it. */
	uint32_t copied_slot;
	uint64_t copied_ticket;
};

#define BUCKETS 1024u

/* Guards the buckets and the last id. */
static pthread_mutex_t hostfunc_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hostfunc *buckets[BUCKETS];
static uint64_t last_id;
/* Functions submitted and not run yet; those of graphs, which may run at any launch, for ever. */
static _Atomic unsigned int pending;
/* The service thread is in one. */
static _Atomic bool running;

static uint64_t
hostfunc_add(const struct hostfunc *values)
{
	struct hostfunc *func = malloc(sizeof(*func));
	uint64_t id;

	if (!func)
		return 0;
	*func = *values;
	pthread_mutex_lock(&hostfunc_lock);
	id = func->id = ++last_id;
	func->next = buckets[id % BUCKETS];
	buckets[id % BUCKETS] = func;
	pthread_mutex_unlock(&hostfunc_lock);
	return id;
}

/* A copy of function @id, which is forgotten unless it stays. */
static bool
hostfunc_take(uint64_t id, struct hostfunc *ret_func)
{
	struct hostfunc **link = &buckets[id % BUCKETS];
	struct hostfunc *func;

	pthread_mutex_lock(&hostfunc_lock);
	while ((func = *link) && func->id != id)
		link = &func->next;
	if (func) {
		*ret_func = *func;
		if (!func->refs) {
			*link = func->next;
			free(func);
		}
	}
	pthread_mutex_unlock(&hostfunc_lock);
	return func != NULL;
}

/* Removes one that runs once and will not. */
static void
hostfunc_cancel(uint64_t id)
{
	struct hostfunc func;

	(void)hostfunc_take(id, &func);
}

void
genie_hostfunc_ref(uint64_t id)
{
	struct hostfunc *func;

	pthread_mutex_lock(&hostfunc_lock);
	for (func = buckets[id % BUCKETS]; func && func->id != id; func = func->next)
		;
	if (func)
		func->refs++;
	pthread_mutex_unlock(&hostfunc_lock);
}

void
genie_hostfunc_drop(uint64_t id)
{
	struct hostfunc **link = &buckets[id % BUCKETS];
	struct genie_args_genieHostForget args = {.id = id};
	struct hostfunc *func;

	pthread_mutex_lock(&hostfunc_lock);
	while ((func = *link) && func->id != id)
		link = &func->next;
	if (func && --func->refs > 0)
		func = NULL;
	else if (func)
		*link = func->next;
	pthread_mutex_unlock(&hostfunc_lock);
	if (func)
		(void)genie_call_ctx(GENIE_OP_genieHostForget, &args, NULL, NULL);
	free(func);
}

/* What kernels of a graph wrote to pinned memory comes here when the program waits, not before. */
static void
warn_of_mirrors(void)
{
	static _Atomic bool told;

	if (atomic_load_explicit(&genie_mirror_count, memory_order_relaxed) == 0 ||
	    atomic_exchange_explicit(&told, true, memory_order_relaxed))
		return;
	genie_warn("over a network a host function in a graph does not see what kernels of the "
		   "same graph wrote to pinned memory");
}

void
genie_hostfunc_run(void *data, uint64_t id)
{
	static _Atomic bool told;
	struct hostfunc func;

	(void)data;
	if (!hostfunc_take(id, &func)) {
		if (!atomic_exchange_explicit(&told, true, memory_order_relaxed))
			genie_warn("the worker asked for host function %llu, which does not exist",
				   (unsigned long long)id);
		return;
	}
	if (func.refs)
		warn_of_mirrors();
	if (func.copied_ticket)
		genie_chan_wait(genie_client_chan(), func.copied_slot, func.copied_ticket);
	atomic_store_explicit(&running, true, memory_order_relaxed);
	if (func.callback)
		func.callback(func.stream, CUDA_SUCCESS, func.data);
	else
		func.fn(func.data);
	atomic_store_explicit(&running, false, memory_order_relaxed);
	/* release: pairs with genie_hostfunc_pending(): who sees 0 sees what the function wrote */
	if (!func.refs)
		atomic_fetch_sub_explicit(&pending, 1, memory_order_release);
}

bool
genie_hostfunc_running(void)
{
	return atomic_load_explicit(&running, memory_order_relaxed);
}

bool
genie_hostfunc_pending(void)
{
	return atomic_load_explicit(&pending, memory_order_acquire) != 0;
}

uint64_t
genie_hostfunc_node(CUhostFn fn, void *data)
{
	const struct hostfunc func = {.fn = fn, .data = data, .refs = 1};

	return hostfunc_add(&func);
}

static CUresult
hostfunc_submit(struct genie_stream *stream, struct hostfunc *func, uint64_t *ret_ticket)
{
	struct genie_args_genieHostFunc args = {.stream = genie_stream_wire(stream)};
	CUresult status;

	func->copied_slot = atomic_load_explicit(&stream->copied_slot, memory_order_relaxed);
	func->copied_ticket = atomic_load_explicit(&stream->copied_ticket, memory_order_relaxed);
	args.id = hostfunc_add(func);
	if (!args.id)
		return CUDA_ERROR_OUT_OF_MEMORY;
	atomic_fetch_add_explicit(&pending, 1, memory_order_relaxed);
	status = genie_call_ctx(GENIE_OP_genieHostFunc, &args, stream->object.ctx, ret_ticket);
	if (status != CUDA_SUCCESS) {
		atomic_fetch_sub_explicit(&pending, 1, memory_order_relaxed);
		hostfunc_cancel(args.id);
		return status;
	}
	genie_stream_submitted(stream, *ret_ticket);
	return CUDA_SUCCESS;
}

CUresult
genie_hostfunc_after(struct genie_stream *stream, struct genie_ctx *ctx, CUhostFn fn, void *data)
{
	struct genie_args_genieMemFence fence = {0};
	struct hostfunc func = {.fn = fn, .data = data};
	CUresult status = CUDA_SUCCESS;
	uint64_t ticket;

	if (!atomic_load_explicit(&ctx->active, memory_order_relaxed))
		return CUDA_ERROR_CONTEXT_IS_DESTROYED;
	/* its stream is gone: any other, after everything */
	if (!stream) {
		stream = ctx->legacy;
		status = genie_call_ctx(GENIE_OP_genieMemFence, &fence, NULL, NULL);
	}
	return status == CUDA_SUCCESS ? hostfunc_submit(stream, &func, &ticket) : status;
}

static CUresult
hostfunc_call(struct genie_stream *stream, struct hostfunc *func)
{
	uint64_t ticket = 0;
	CUresult status = hostfunc_submit(stream, func, &ticket);

	return status == CUDA_SUCCESS ? genie_pending_error_before(ticket) : status;
}

CUresult
genie_cuLaunchHostFunc(CUstream hStream, CUhostFn fn, void *userData)
{
	struct genie_stream *stream = genie_stream_get(hStream);
	struct hostfunc func = {.fn = fn, .data = userData};
	bool captured = false;
	CUresult status;

	if (!stream)
		return genie_stream_missing();
	if (!fn)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_capture_enter(stream, &captured);
	if (status != CUDA_SUCCESS || captured)
		return captured ? genie_capture_host(stream, fn, userData) : status;
	return hostfunc_call(stream, &func);
}

CUresult
genie_cuStreamAddCallback(CUstream hStream, CUstreamCallback callback, void *userData,
			  unsigned int flags)
{
	struct genie_stream *stream = genie_stream_get(hStream);
	struct hostfunc func = {.callback = callback, .stream = hStream, .data = userData};
	CUresult status;

	if (!stream)
		return genie_stream_missing();
	if (!callback || flags)
		return CUDA_ERROR_INVALID_VALUE;
	/* Callbacks, unlike host functions, cannot be captured. */
	status = genie_capture_refuse(stream);
	return status == CUDA_SUCCESS ? hostfunc_call(stream, &func) : status;
}
