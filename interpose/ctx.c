/*
 * Contexts. The primary context of a device exists from cuInit on, as a handle; the worker hears
 * of it when the program first retains it. What is current in a thread is the thread's own.
 *
 * A context that was destroyed may still be on the stack of some thread, so its memory is kept:
 * using it is an error of the program, not a crash.
 */
#include "interpose/ctx.h"
#include "interpose/mirror.h"
#include "wire/query.h"

#include <string.h>

#define CTX_FLAGS_MASK    0xffu
#define CTX_PRIMARY       (1u << 31) /* genieCtxCreate: the primary context of the device */
#define API_VERSION       3020u
#define API_VERSION_FIRST 3010u

/* Written once at cuInit, under client.lock. */
static struct genie_ctx *primaries[GENIE_DEVICES_MAX];
static _Atomic uint64_t last_id;

/* ---- making and ending ---- */

static struct genie_ctx *
ctx_new(int device, unsigned int flags, bool primary)
{
	struct genie_ctx *ctx = genie_object_new(GENIE_KIND_CTX, sizeof(*ctx), NULL);
	struct genie_stream *legacy;

	if (!ctx)
		return NULL;
	legacy = genie_stream_new_legacy(ctx);
	if (!legacy) {
		genie_object_free(ctx);
		return NULL;
	}
	ctx->device = device;
	ctx->flags = flags;
	ctx->primary = primary;
	ctx->home = ctx;
	ctx->legacy = legacy;
	ctx->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
	ctx->api_version = API_VERSION;
	ctx->shared_config = CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE;
	memcpy(ctx->limits, genie_client.devices[device].limits, sizeof(ctx->limits));
	return ctx;
}

CUresult
genie_ctx_init(void)
{
	for (int device = 0; device < genie_client.device_count; device++) {
		if (!primaries[device])
			primaries[device] = ctx_new(device, 0, true);
		if (!primaries[device])
			return CUDA_ERROR_OUT_OF_MEMORY;
	}
	return CUDA_SUCCESS;
}

/* Tells the worker. client.lock is held, so that activating and ending keep their order. */
static CUresult
ctx_activate_locked(struct genie_ctx *ctx)
{
	struct genie_args_genieCtxCreate args = {
		.ctx = genie_ctx_handle(ctx),
		.device = genie_device_wire(ctx->device),
		.flags = ctx->flags | (ctx->primary ? CTX_PRIMARY : 0),
	};
	CUresult status = genie_call_ctx(GENIE_OP_genieCtxCreate, &args, ctx, NULL);

	if (status == CUDA_SUCCESS)
		atomic_store_explicit(&ctx->active, true, memory_order_release);
	return status;
}

static void end_green(void *object, void *data);

/* Everything in it is gone; a primary context can be used again later. */
static CUresult
ctx_deactivate_locked(struct genie_ctx *ctx)
{
	struct genie_args_genieCtxDestroy args = {.ctx = genie_ctx_handle(ctx)};

	if (!atomic_load_explicit(&ctx->active, memory_order_relaxed))
		return CUDA_SUCCESS;
	atomic_store_explicit(&ctx->active, false, memory_order_release);
	if (ctx->primary)
		genie_object_each(GENIE_KIND_CTX, end_green, ctx);
	genie_module_forget_ctx(ctx);
	genie_mem_forget_ctx(ctx);
	genie_event_forget_ctx(ctx);
	genie_stream_forget_ctx(ctx);
	memcpy(ctx->limits, genie_client.devices[ctx->device].limits, sizeof(ctx->limits));
	return genie_call_ctx(GENIE_OP_genieCtxDestroy, &args, ctx, NULL);
}

/* The green contexts of a primary context end with it. */
static void
end_green(void *object, void *data)
{
	struct genie_ctx *ctx = object;

	if (ctx->home == data && ctx->green)
		(void)ctx_deactivate_locked(ctx);
}

struct genie_ctx *
genie_ctx_primary(int device)
{
	if (device < 0 || device >= genie_client.device_count)
		return NULL;
	return primaries[device];
}

/* ---- finding ---- */

struct genie_ctx *
genie_ctx_current(void)
{
	struct genie_ctx *ctx = genie_thread_self()->ctx;

	return ctx && atomic_load_explicit(&ctx->active, memory_order_relaxed) ? ctx : NULL;
}

struct genie_ctx *
genie_ctx_get(CUcontext handle)
{
	if (!handle)
		return genie_thread_self()->ctx;
	return genie_object_get(GENIE_KIND_CTX, (uint64_t)(uintptr_t)handle);
}

struct genie_ctx *
genie_ctx_default(void)
{
	struct genie_ctx *ctx = genie_ctx_current();

	if (ctx)
		return ctx;
	ctx = genie_ctx_primary(0);
	pthread_mutex_lock(&genie_client.lock);
	if (ctx && !atomic_load_explicit(&ctx->active, memory_order_relaxed) &&
	    ctx_activate_locked(ctx) != CUDA_SUCCESS)
		ctx = NULL;
	pthread_mutex_unlock(&genie_client.lock);
	return ctx;
}

uint32_t
genie_ctx_index(const struct genie_ctx *ctx)
{
	return ctx ? genie_token_index(ctx->object.token) : 0;
}

CUresult
genie_ctx_synchronize(struct genie_ctx *ctx)
{
	struct genie_args_genieCtxMark args = {0};
	struct genie_chan *chan = genie_client_chan();
	uint32_t slot = GENIE_SLOT_CTX + genie_ctx_index(ctx);
	uint64_t ticket = 0;
	CUresult status;

	/* Nothing new since the last mark, and the mark is done: nothing to ask. */
	if (chan && genie_chan_progress(chan, slot) >= genie_chan_last_ticket(chan)) {
		status = genie_mirror_pull();
		genie_output_catch_up();
		return status == CUDA_SUCCESS ? genie_pending_error() : status;
	}
	status = genie_call_mark(GENIE_OP_genieCtxMark, &args, ctx, &ticket);
	if (status == CUDA_SUCCESS)
		status = genie_wait(slot, ticket);
	if (status != CUDA_SUCCESS)
		return status;
	status = genie_mirror_pull();
	genie_output_catch_up();
	return status == CUDA_SUCCESS ? genie_pending_error() : status;
}

/* ---- the thread's stack of contexts ---- */

static CUresult
stack_push(struct genie_ctx *ctx)
{
	struct genie_thread *thread = genie_thread_self();

	if (thread->depth == GENIE_CTX_STACK)
		return CUDA_ERROR_OUT_OF_MEMORY;
	thread->stack[thread->depth++] = ctx;
	thread->ctx = ctx;
	return CUDA_SUCCESS;
}

static struct genie_ctx *
stack_pop(void)
{
	struct genie_thread *thread = genie_thread_self();
	struct genie_ctx *ctx = thread->ctx;

	if (thread->depth)
		thread->depth--;
	thread->ctx = thread->depth ? thread->stack[thread->depth - 1] : NULL;
	return ctx;
}

CUresult
genie_cuCtxPushCurrent_v2(CUcontext handle)
{
	struct genie_ctx *ctx = handle ? genie_ctx_get(handle) : NULL;

	return ctx ? stack_push(ctx) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult
genie_cuCtxPopCurrent_v2(CUcontext *pctx)
{
	struct genie_ctx *ctx = stack_pop();

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (pctx)
		*pctx = genie_ctx_handle(ctx);
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxSetCurrent(CUcontext handle)
{
	struct genie_thread *thread = genie_thread_self();
	struct genie_ctx *ctx;

	if (!handle) {
		stack_pop();
		return CUDA_SUCCESS;
	}
	ctx = genie_ctx_get(handle);
	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!thread->depth)
		return stack_push(ctx);
	thread->stack[thread->depth - 1] = ctx;
	thread->ctx = ctx;
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxGetCurrent(CUcontext *pctx)
{
	struct genie_ctx *ctx = genie_thread_self()->ctx;

	if (!pctx)
		return CUDA_ERROR_INVALID_VALUE;
	*pctx = ctx ? genie_ctx_handle(ctx) : NULL;
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxGetDevice(CUdevice *device)
{
	struct genie_ctx *ctx = genie_thread_self()->ctx;

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!device)
		return CUDA_ERROR_INVALID_VALUE;
	*device = ctx->device;
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxGetDevice_v2(CUdevice *device, CUcontext handle)
{
	struct genie_ctx *ctx = genie_ctx_get(handle);

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!device)
		return CUDA_ERROR_INVALID_VALUE;
	*device = ctx->device;
	return CUDA_SUCCESS;
}

/* ---- primary contexts ---- */

CUresult
genie_cuDevicePrimaryCtxRetain(CUcontext *pctx, CUdevice dev)
{
	struct genie_ctx *ctx = genie_ctx_primary(dev);
	CUresult status;

	if (!ctx)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!pctx)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_ctx_retain(ctx);
	if (status == CUDA_SUCCESS)
		*pctx = genie_ctx_handle(ctx);
	return status;
}

CUresult
genie_cuDevicePrimaryCtxRelease_v2(CUdevice dev)
{
	struct genie_ctx *ctx = genie_ctx_primary(dev);

	return ctx ? genie_ctx_release(ctx) : CUDA_ERROR_INVALID_DEVICE;
}

CUresult
genie_ctx_retain(struct genie_ctx *ctx)
{
	CUresult status = CUDA_SUCCESS;

	pthread_mutex_lock(&genie_client.lock);
	if (!atomic_load_explicit(&ctx->active, memory_order_relaxed))
		status = ctx_activate_locked(ctx);
	if (status == CUDA_SUCCESS)
		atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&genie_client.lock);
	return status;
}

CUresult
genie_ctx_release(struct genie_ctx *ctx)
{
	CUresult status = CUDA_SUCCESS;
	bool last = false;

	pthread_mutex_lock(&genie_client.lock);
	if (atomic_load_explicit(&ctx->refs, memory_order_relaxed) == 0)
		status = CUDA_ERROR_INVALID_CONTEXT;
	else
		last = atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_relaxed) == 1;
	if (last)
		status = ctx_deactivate_locked(ctx);
	pthread_mutex_unlock(&genie_client.lock);
	if (last)
		genie_cls_forget_ctx(ctx);
	return status;
}

CUresult
genie_cuDevicePrimaryCtxReset_v2(CUdevice dev)
{
	struct genie_ctx *ctx = genie_ctx_primary(dev);
	CUresult status;

	if (!ctx)
		return CUDA_ERROR_INVALID_DEVICE;
	pthread_mutex_lock(&genie_client.lock);
	/* The count of retains goes on as if nothing happened, but the next one activates. */
	status = ctx_deactivate_locked(ctx);
	pthread_mutex_unlock(&genie_client.lock);
	genie_cls_forget_ctx(ctx);
	/* Natively a reset is the one call that a kernel's fault does not fail. What comes after it
	 * does here: a process whose kernel faulted has to be started again. */
	if (status != CUDA_SUCCESS && status == (CUresult)atomic_load(&genie_client.sticky))
		return CUDA_SUCCESS;
	return status;
}

CUresult
genie_cuDevicePrimaryCtxSetFlags_v2(CUdevice dev, unsigned int flags)
{
	struct genie_ctx *ctx = genie_ctx_primary(dev);

	if (!ctx)
		return CUDA_ERROR_INVALID_DEVICE;
	if (flags & ~CTX_FLAGS_MASK)
		return CUDA_ERROR_INVALID_VALUE;
	/* How the native driver waits (spin, yield, block) does not exist here. */
	atomic_store_explicit(&ctx->flags, flags, memory_order_relaxed);
	return CUDA_SUCCESS;
}

CUresult
genie_cuDevicePrimaryCtxGetState(CUdevice dev, unsigned int *flags, int *active)
{
	struct genie_ctx *ctx = genie_ctx_primary(dev);

	if (!ctx)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!flags && !active)
		return CUDA_ERROR_INVALID_VALUE;
	if (flags)
		*flags = atomic_load_explicit(&ctx->flags, memory_order_relaxed);
	if (active)
		*active = atomic_load_explicit(&ctx->active, memory_order_relaxed);
	return CUDA_SUCCESS;
}

/* ---- contexts of the program's own ---- */

/* With a share of the device, which exists where the server has MPS: its driver says so. */
static CUresult
ctx_activate_share(struct genie_ctx *ctx, const CUexecAffinityParam *params, int count)
{
	struct genie_args_genieCtxCreateAffinity args = {
		.ctx = genie_ctx_handle(ctx),
		.device = genie_device_wire(ctx->device),
		.flags = ctx->flags,
		.params = params,
		.count = (unsigned int)count,
	};
	CUresult status = genie_call_ctx(GENIE_OP_genieCtxCreateAffinity, &args, ctx, NULL);

	/* Nobody else knows of it yet: no lock. */
	if (status == CUDA_SUCCESS)
		atomic_store_explicit(&ctx->active, true, memory_order_release);
	return status;
}

static CUresult
ctx_create_share(CUcontext *pctx, const CUexecAffinityParam *params, int count, unsigned int flags,
		 CUdevice dev, unsigned int api_version)
{
	struct genie_ctx *ctx;
	CUresult status;

	if (dev < 0 || dev >= genie_client.device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!pctx || flags & ~CTX_FLAGS_MASK || count > GENIE_AFFINITIES_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	ctx = ctx_new(dev, flags, false);
	if (!ctx)
		return CUDA_ERROR_OUT_OF_MEMORY;
	ctx->api_version = api_version;
	atomic_store_explicit(&ctx->refs, 1, memory_order_relaxed);
	if (count > 0) {
		status = ctx_activate_share(ctx, params, count);
	} else {
		pthread_mutex_lock(&genie_client.lock);
		status = ctx_activate_locked(ctx);
		pthread_mutex_unlock(&genie_client.lock);
	}
	if (status != CUDA_SUCCESS) {
		genie_object_unlink(ctx);
		return status;
	}
	status = stack_push(ctx);
	if (status == CUDA_SUCCESS)
		*pctx = genie_ctx_handle(ctx);
	return status;
}

static CUresult
ctx_create(CUcontext *pctx, unsigned int flags, CUdevice dev, unsigned int api_version)
{
	return ctx_create_share(pctx, NULL, 0, flags, dev, api_version);
}

CUresult
genie_cuCtxCreate(CUcontext *pctx, unsigned int flags, CUdevice dev)
{
	return ctx_create(pctx, flags, dev, API_VERSION_FIRST);
}

CUresult
genie_cuCtxCreate_v2(CUcontext *pctx, unsigned int flags, CUdevice dev)
{
	return ctx_create(pctx, flags, dev, API_VERSION);
}

CUresult
genie_cuCtxCreate_v3(CUcontext *pctx, CUexecAffinityParam *paramsArray, int numParams,
		     unsigned int flags, CUdevice dev)
{
	if (numParams < 0 || (numParams > 0 && !paramsArray))
		return CUDA_ERROR_INVALID_VALUE;
	return ctx_create_share(pctx, paramsArray, numParams, flags, dev, API_VERSION);
}

CUresult
genie_cuCtxCreate_v4(CUcontext *pctx, CUctxCreateParams *ctxCreateParams, unsigned int flags,
		     CUdevice dev)
{
	const CUctxCreateParams none = {0};
	const CUctxCreateParams *params = ctxCreateParams ? ctxCreateParams : &none;

	/* A context shared with a graphics API needs that API's queue, in this machine. One or the
	 * other is documented. */
	if (params->cigParams)
		return params->execAffinityParams ? CUDA_ERROR_INVALID_VALUE
						  : CUDA_ERROR_NOT_SUPPORTED;
	return genie_cuCtxCreate_v3(pctx, params->execAffinityParams, params->numExecAffinityParams,
				    flags, dev);
}

CUresult
genie_cuCtxDestroy_v2(CUcontext handle)
{
	struct genie_ctx *ctx = handle ? genie_ctx_get(handle) : NULL;
	CUresult status;

	if (!handle)
		return CUDA_ERROR_INVALID_VALUE;
	if (!ctx || ctx->primary || ctx->green)
		return CUDA_ERROR_INVALID_CONTEXT;
	pthread_mutex_lock(&genie_client.lock);
	status = ctx_deactivate_locked(ctx);
	pthread_mutex_unlock(&genie_client.lock);
	genie_cls_forget_ctx(ctx);
	if (genie_thread_self()->ctx == ctx)
		stack_pop();
	genie_object_unlink(ctx);
	return status;
}

/* ---- what green.c does with the contexts of green contexts ---- */

struct genie_ctx *
genie_ctx_new_green(struct genie_ctx *home, uint64_t green)
{
	struct genie_ctx *ctx = ctx_new(home->device, home->flags, false);

	if (ctx) {
		ctx->home = home;
		ctx->green = green;
		atomic_store_explicit(&ctx->refs, 1, memory_order_relaxed);
	}
	return ctx;
}

bool
genie_ctx_begin_green(struct genie_ctx *ctx)
{
	bool alive;

	pthread_mutex_lock(&genie_client.lock);
	/* The primary context may have been reset meanwhile. */
	alive = atomic_load_explicit(&ctx->home->active, memory_order_relaxed);
	atomic_store_explicit(&ctx->active, true, memory_order_release);
	if (!alive)
		(void)ctx_deactivate_locked(ctx);
	pthread_mutex_unlock(&genie_client.lock);
	return alive;
}

CUresult
genie_ctx_end_green(struct genie_ctx *ctx)
{
	CUresult status;

	pthread_mutex_lock(&genie_client.lock);
	status = atomic_load_explicit(&ctx->active, memory_order_relaxed)
			 ? ctx_deactivate_locked(ctx)
			 : CUDA_ERROR_CONTEXT_IS_DESTROYED;
	pthread_mutex_unlock(&genie_client.lock);
	genie_cls_forget_ctx(ctx);
	return status;
}

CUresult
genie_cuCtxAttach(CUcontext *pctx, unsigned int flags)
{
	struct genie_ctx *ctx = genie_ctx_current();

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!pctx || flags)
		return CUDA_ERROR_INVALID_VALUE;
	atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
	*pctx = genie_ctx_handle(ctx);
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxDetach(CUcontext handle)
{
	struct genie_ctx *ctx = handle ? genie_ctx_get(handle) : NULL;

	if (!ctx || ctx->primary || ctx->green || genie_thread_self()->ctx != ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_relaxed) > 1)
		return CUDA_SUCCESS;
	return genie_cuCtxDestroy_v2(handle);
}
