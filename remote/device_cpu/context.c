/*
 * Contexts. All devices are one memory and one set of cores, so a context is little more than a
 * name, a few settings and whether it is lost.
 */
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/cpu.h"
#include "remote/device_cpu/identity.h"

#define CONTEXT_STACK 64

/* Per thread: contexts made current, the last one on top. */
static __thread struct {
	struct genie_cpu_context *contexts[CONTEXT_STACK];
	unsigned int depth;
} current;

/*
 * Contexts that were destroyed. Their memory is used for new contexts only, so that another thread
 * whose current context it was finds a context or a cleared one there.
 */
static struct genie_cpu_context *destroyed[1024];
static unsigned int destroyed_count;

static struct genie_cpu_context *
current_context(void)
{
	return current.depth ? current.contexts[current.depth - 1] : NULL;
}

CUresult
genie_cpu_enter(struct genie_cpu_context **ret_ctx)
{
	struct genie_cpu_context *ctx = current_context();

	if (!genie_cpu.initialized)
		return CUDA_ERROR_NOT_INITIALIZED;
	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!genie_cpu_is(ctx, GENIE_CPU_CONTEXT))
		return CUDA_ERROR_CONTEXT_IS_DESTROYED;
	*ret_ctx = ctx;
	return genie_cpu_context_lost(ctx);
}

/* Any thread may lose a context, or ask: pairs with the store below. */
CUresult
genie_cpu_context_lost(const struct genie_cpu_context *ctx)
{
	return __atomic_load_n(&ctx->home->lost, __ATOMIC_ACQUIRE);
}

void
genie_cpu_context_lose(struct genie_cpu_context *ctx, CUresult status)
{
	CUresult none = CUDA_SUCCESS;

	/* the first reason stays */
	__atomic_compare_exchange_n(&ctx->home->lost, &none, status, false, __ATOMIC_RELEASE,
				    __ATOMIC_RELAXED);
}

CUresult
genie_cpu_lost(void)
{
	const struct genie_cpu_context *ctx = current_context();

	return genie_cpu_is(ctx, GENIE_CPU_CONTEXT) ? genie_cpu_context_lost(ctx) : CUDA_SUCCESS;
}

CUresult
genie_cpu_check(void)
{
	struct genie_cpu_context *ctx;

	return genie_cpu_enter(&ctx);
}

static void
context_reset(struct genie_cpu_context *ctx, unsigned int flags)
{
	ctx->flags = flags;
	ctx->cache_config = CU_FUNC_CACHE_PREFER_NONE;
	ctx->shared_config = CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE;
	memset(ctx->limits, 0, sizeof(ctx->limits));
	ctx->limits[CU_LIMIT_STACK_SIZE] = 1024;
	ctx->limits[CU_LIMIT_PRINTF_FIFO_SIZE] = 1 << 20;
	ctx->limits[CU_LIMIT_MALLOC_HEAP_SIZE] = 8 << 20;
	ctx->limits[CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT] = 2048;
	ctx->limits[CU_LIMIT_MAX_L2_FETCH_GRANULARITY] = 64;
	ctx->limits[CU_LIMIT_SHMEM_SIZE] = GENIE_CPU_SHARED_OPTIN;
}

struct genie_cpu_context *
genie_cpu_context_new(CUdevice dev, unsigned int flags)
{
	struct genie_cpu_context *ctx;

	pthread_mutex_lock(&genie_cpu.lock);
	ctx = destroyed_count ? destroyed[--destroyed_count] : NULL;
	pthread_mutex_unlock(&genie_cpu.lock);
	if (!ctx)
		ctx = calloc(1, sizeof(*ctx));
	if (!ctx)
		return NULL;
	ctx->id = genie_cpu_new_id();
	ctx->device = dev;
	ctx->peers = 0;
	ctx->lost = CUDA_SUCCESS;
	ctx->home = ctx;
	ctx->sms = NULL;
	context_reset(ctx, flags);
	ctx->legacy = genie_cpu_stream_new(ctx, CU_STREAM_DEFAULT, 0);
	ctx->per_thread = genie_cpu_stream_new(ctx, CU_STREAM_DEFAULT, 0);
	if (!ctx->legacy || !ctx->per_thread) {
		genie_cpu_stream_delete(ctx->legacy);
		genie_cpu_stream_delete(ctx->per_thread);
		free(ctx);
		return NULL;
	}
	ctx->magic = GENIE_CPU_CONTEXT;
	return ctx;
}

void
genie_cpu_context_delete(struct genie_cpu_context *ctx)
{
	ctx->magic = 0;
	genie_cpu_stream_delete(ctx->legacy);
	genie_cpu_stream_delete(ctx->per_thread);
	ctx->legacy = ctx->per_thread = NULL;
	ctx->home = ctx; /* for who asks it whether it is lost */
	free(ctx->sms);
	ctx->sms = NULL;
	pthread_mutex_lock(&genie_cpu.lock);
	/* past that many the memory stays behind: another thread may still look at it */
	if (destroyed_count < sizeof(destroyed) / sizeof(destroyed[0]))
		destroyed[destroyed_count++] = ctx;
	pthread_mutex_unlock(&genie_cpu.lock);
}

static CUresult
part_of(CUdevice dev, struct genie_cpu_part **ret_part)
{
	CUresult status = genie_cpu_check_device(dev);

	if (status == CUDA_SUCCESS)
		*ret_part = &genie_cpu.parts[dev];
	return status;
}

static CUresult
cpu_cuDevicePrimaryCtxRetain(CUcontext *ret_ctx, CUdevice dev)
{
	struct genie_cpu_part *part;
	CUresult status = part_of(dev, &part);

	if (status != CUDA_SUCCESS)
		return status;
	if (!part->primary)
		part->primary = genie_cpu_context_new(dev, part->primary_flags);
	if (!part->primary)
		return CUDA_ERROR_OUT_OF_MEMORY;
	/* as with the driver, a process does not get over a kernel's fault */
	if (genie_cpu_context_lost(part->primary) != CUDA_SUCCESS)
		return genie_cpu_context_lost(part->primary);
	part->primary_refs++;
	*ret_ctx = (CUcontext)part->primary;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuDevicePrimaryCtxRelease_v2(CUdevice dev)
{
	struct genie_cpu_part *part;
	CUresult status = part_of(dev, &part);

	if (status != CUDA_SUCCESS)
		return status;
	if (!part->primary_refs)
		return CUDA_ERROR_INVALID_CONTEXT;
	/* the context itself stays: retaining it again gives the same handle, still lost if it was
	 */
	if (!--part->primary_refs)
		context_reset(part->primary, part->primary_flags);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuDevicePrimaryCtxReset_v2(CUdevice dev)
{
	struct genie_cpu_part *part;
	CUresult status = part_of(dev, &part);

	if (status == CUDA_SUCCESS && part->primary)
		context_reset(part->primary, part->primary_flags);
	return status;
}

static CUresult
cpu_cuDevicePrimaryCtxSetFlags_v2(CUdevice dev, unsigned int flags)
{
	struct genie_cpu_part *part;
	CUresult status = part_of(dev, &part);

	if (status != CUDA_SUCCESS)
		return status;
	part->primary_flags = flags;
	if (part->primary)
		part->primary->flags = flags;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuDevicePrimaryCtxGetState(CUdevice dev, unsigned int *flags, int *active)
{
	struct genie_cpu_part *part;
	CUresult status = part_of(dev, &part);

	if (status != CUDA_SUCCESS)
		return status;
	*flags = part->primary_flags;
	*active = part->primary_refs > 0;
	return CUDA_SUCCESS;
}

static CUresult
push_context(struct genie_cpu_context *ctx)
{
	if (current.depth == CONTEXT_STACK)
		return CUDA_ERROR_OUT_OF_MEMORY;
	current.contexts[current.depth++] = ctx;
	return CUDA_SUCCESS;
}

static CUresult
create_context(CUcontext *ret_ctx, unsigned int flags, CUdevice dev)
{
	CUresult status = genie_cpu_check_device(dev);
	struct genie_cpu_context *ctx;

	if (status != CUDA_SUCCESS)
		return status;
	ctx = genie_cpu_context_new(dev, flags);
	if (!ctx)
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = push_context(ctx);
	if (status != CUDA_SUCCESS) {
		genie_cpu_context_delete(ctx);
		return status;
	}
	*ret_ctx = (CUcontext)ctx;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuCtxCreate_v2(CUcontext *ctx, unsigned int flags, CUdevice dev)
{
	return create_context(ctx, flags, dev);
}

static CUresult
cpu_cuCtxCreate_v3(CUcontext *ctx, CUexecAffinityParam *affinity, int count, unsigned int flags,
		   CUdevice dev)
{
	(void)affinity;
	return count > 0 ? CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY : create_context(ctx, flags, dev);
}

static CUresult
cpu_cuCtxCreate_v4(CUcontext *ctx, CUctxCreateParams *params, unsigned int flags, CUdevice dev)
{
	if (params && params->numExecAffinityParams > 0)
		return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
	if (params && params->cigParams)
		return CUDA_ERROR_NOT_SUPPORTED;
	return create_context(ctx, flags, dev);
}

static CUresult
cpu_cuCtxGetExecAffinity(CUexecAffinityParam *affinity, CUexecAffinityType type)
{
	CUresult status = genie_cpu_check();

	(void)affinity;
	(void)type;
	return status == CUDA_SUCCESS ? CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY : status;
}

static CUresult
cpu_cuCtxDestroy_v2(CUcontext handle)
{
	struct genie_cpu_context *ctx = (struct genie_cpu_context *)handle;

	if (!genie_cpu_is(ctx, GENIE_CPU_CONTEXT) ||
	    ctx->home == genie_cpu.parts[ctx->device].primary)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (current_context() == ctx)
		current.depth--;
	genie_cpu_context_delete(ctx);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuCtxSetCurrent(CUcontext handle)
{
	struct genie_cpu_context *ctx = (struct genie_cpu_context *)handle;

	if (!genie_cpu.initialized)
		return CUDA_ERROR_NOT_INITIALIZED;
	if (ctx && !genie_cpu_is(ctx, GENIE_CPU_CONTEXT))
		return CUDA_ERROR_INVALID_CONTEXT;
	if (current.depth)
		current.depth--;
	return ctx ? push_context(ctx) : CUDA_SUCCESS;
}

static CUresult
cpu_cuCtxPushCurrent_v2(CUcontext handle)
{
	struct genie_cpu_context *ctx = (struct genie_cpu_context *)handle;

	if (!genie_cpu_is(ctx, GENIE_CPU_CONTEXT))
		return CUDA_ERROR_INVALID_CONTEXT;
	return push_context(ctx);
}

static CUresult
cpu_cuCtxPopCurrent_v2(CUcontext *ret_ctx)
{
	if (!current.depth)
		return CUDA_ERROR_INVALID_CONTEXT;
	current.depth--;
	if (ret_ctx)
		*ret_ctx = (CUcontext)current.contexts[current.depth];
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuCtxGetCurrent(CUcontext *ret_ctx)
{
	if (!genie_cpu.initialized)
		return CUDA_ERROR_NOT_INITIALIZED;
	*ret_ctx = (CUcontext)current_context();
	return CUDA_SUCCESS;
}

/* The context a call names, or the current one. */
static CUresult
named_context(CUcontext handle, struct genie_cpu_context **ret_ctx)
{
	if (!handle)
		return genie_cpu_enter(ret_ctx);
	if (!genie_cpu_is((void *)handle, GENIE_CPU_CONTEXT))
		return CUDA_ERROR_INVALID_CONTEXT;
	*ret_ctx = (struct genie_cpu_context *)handle;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuCtxGetDevice_v2(CUdevice *device, CUcontext handle)
{
	struct genie_cpu_context *ctx;
	CUresult status = named_context(handle, &ctx);

	if (status == CUDA_SUCCESS)
		*device = ctx->device;
	return status;
}

static CUresult
cpu_cuCtxGetDevice(CUdevice *device)
{
	return cpu_cuCtxGetDevice_v2(device, NULL);
}

static CUresult
cpu_cuCtxGetFlags(unsigned int *flags)
{
	struct genie_cpu_context *ctx;
	CUresult status = genie_cpu_enter(&ctx);

	if (status == CUDA_SUCCESS)
		*flags = ctx->flags;
	return status;
}

static CUresult
cpu_cuCtxSetFlags(unsigned int flags)
{
	struct genie_cpu_context *ctx;
	CUresult status = genie_cpu_enter(&ctx);

	if (status == CUDA_SUCCESS)
		ctx->flags = flags;
	return status;
}

static CUresult
cpu_cuCtxGetId(CUcontext handle, unsigned long long *id)
{
	struct genie_cpu_context *ctx;
	CUresult status = named_context(handle, &ctx);

	if (status == CUDA_SUCCESS)
		*id = ctx->id;
	return status;
}

static CUresult
cpu_cuCtxGetApiVersion(CUcontext handle, unsigned int *version)
{
	struct genie_cpu_context *ctx;
	CUresult status = named_context(handle, &ctx);

	if (status == CUDA_SUCCESS)
		*version = 3020;
	return status;
}

static CUresult
cpu_cuCtxSynchronize_v2(CUcontext handle)
{
	struct genie_cpu_context *ctx;
	CUresult status = named_context(handle, &ctx);

	if (status != CUDA_SUCCESS)
		return status;
	if (genie_cpu_capture_spoil(ctx))
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	status = genie_cpu_wait_idle(NULL);
	return status == CUDA_SUCCESS ? genie_cpu_context_lost(ctx) : status;
}

static CUresult
cpu_cuCtxSynchronize(void)
{
	return cpu_cuCtxSynchronize_v2(NULL);
}

static bool
known_limit(CUlimit limit)
{
	return limit == CU_LIMIT_STACK_SIZE || limit == CU_LIMIT_PRINTF_FIFO_SIZE ||
	       limit == CU_LIMIT_MALLOC_HEAP_SIZE ||
	       limit == CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT ||
	       limit == CU_LIMIT_MAX_L2_FETCH_GRANULARITY ||
	       limit == CU_LIMIT_PERSISTING_L2_CACHE_SIZE;
}

static CUresult
cpu_cuCtxSetLimit(CUlimit limit, size_t value)
{
	struct genie_cpu_context *ctx;
	CUresult status = genie_cpu_enter(&ctx);

	if (status != CUDA_SUCCESS)
		return status;
	if ((unsigned int)limit >= CU_LIMIT_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	if (!known_limit(limit))
		return CUDA_ERROR_UNSUPPORTED_LIMIT;
	ctx->home->limits[limit] = value;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuCtxGetLimit(size_t *value, CUlimit limit)
{
	struct genie_cpu_context *ctx;
	CUresult status = genie_cpu_enter(&ctx);

	if (status != CUDA_SUCCESS)
		return status;
	if ((unsigned int)limit >= CU_LIMIT_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	if (!known_limit(limit) && limit != CU_LIMIT_SHMEM_SIZE && limit != CU_LIMIT_CIG_ENABLED)
		return CUDA_ERROR_UNSUPPORTED_LIMIT;
	*value = ctx->home->limits[limit];
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuCtxGetCacheConfig(CUfunc_cache *config)
{
	struct genie_cpu_context *ctx;
	CUresult status = genie_cpu_enter(&ctx);

	if (status == CUDA_SUCCESS)
		*config = ctx->cache_config;
	return status;
}

static CUresult
cpu_cuCtxSetCacheConfig(CUfunc_cache config)
{
	struct genie_cpu_context *ctx;
	CUresult status = genie_cpu_enter(&ctx);

	if (status == CUDA_SUCCESS)
		ctx->cache_config = config;
	return status;
}

static CUresult
cpu_cuCtxGetSharedMemConfig(CUsharedconfig *config)
{
	struct genie_cpu_context *ctx;
	CUresult status = genie_cpu_enter(&ctx);

	if (status == CUDA_SUCCESS)
		*config = ctx->shared_config;
	return status;
}

static CUresult
cpu_cuCtxSetSharedMemConfig(CUsharedconfig config)
{
	struct genie_cpu_context *ctx;
	CUresult status = genie_cpu_enter(&ctx);

	if (status == CUDA_SUCCESS)
		ctx->shared_config = config;
	return status;
}

static CUresult
cpu_cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
	CUresult status = genie_cpu_check();

	if (status != CUDA_SUCCESS)
		return status;
	if (least)
		*least = 0;
	if (greatest)
		*greatest = GENIE_CPU_PRIORITY_GREATEST;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuCtxResetPersistingL2Cache(void)
{
	return genie_cpu_check();
}

static CUresult
cpu_cuCtxEnablePeerAccess(CUcontext peer, unsigned int flags)
{
	struct genie_cpu_context *ctx, *other = (struct genie_cpu_context *)peer;
	CUresult status = genie_cpu_enter(&ctx);

	if (status != CUDA_SUCCESS)
		return status;
	if (flags)
		return CUDA_ERROR_INVALID_VALUE;
	if (!genie_cpu_is(other, GENIE_CPU_CONTEXT))
		return CUDA_ERROR_INVALID_CONTEXT;
	if (other->device == ctx->device)
		return CUDA_ERROR_INVALID_DEVICE;
	if (ctx->peers & 1u << other->device)
		return CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
	/* all devices reach all memory anyway */
	ctx->peers |= 1u << other->device;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuCtxDisablePeerAccess(CUcontext peer)
{
	struct genie_cpu_context *ctx, *other = (struct genie_cpu_context *)peer;
	CUresult status = genie_cpu_enter(&ctx);

	if (status != CUDA_SUCCESS)
		return status;
	if (!genie_cpu_is(other, GENIE_CPU_CONTEXT))
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!(ctx->peers & 1u << other->device))
		return CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
	ctx->peers &= ~(1u << other->device);
	return CUDA_SUCCESS;
}

void
genie_cpu_fill_context(struct genie_driver *drv)
{
	drv->cuDevicePrimaryCtxRetain = cpu_cuDevicePrimaryCtxRetain;
	drv->cuDevicePrimaryCtxRelease_v2 = cpu_cuDevicePrimaryCtxRelease_v2;
	drv->cuDevicePrimaryCtxReset_v2 = cpu_cuDevicePrimaryCtxReset_v2;
	drv->cuDevicePrimaryCtxSetFlags_v2 = cpu_cuDevicePrimaryCtxSetFlags_v2;
	drv->cuDevicePrimaryCtxGetState = cpu_cuDevicePrimaryCtxGetState;
	drv->cuCtxCreate_v2 = cpu_cuCtxCreate_v2;
	drv->cuCtxCreate_v3 = cpu_cuCtxCreate_v3;
	drv->cuCtxCreate_v4 = cpu_cuCtxCreate_v4;
	drv->cuCtxGetExecAffinity = cpu_cuCtxGetExecAffinity;
	drv->cuCtxDestroy_v2 = cpu_cuCtxDestroy_v2;
	drv->cuCtxSetCurrent = cpu_cuCtxSetCurrent;
	drv->cuCtxGetCurrent = cpu_cuCtxGetCurrent;
	drv->cuCtxPushCurrent_v2 = cpu_cuCtxPushCurrent_v2;
	drv->cuCtxPopCurrent_v2 = cpu_cuCtxPopCurrent_v2;
	drv->cuCtxGetDevice = cpu_cuCtxGetDevice;
	drv->cuCtxGetDevice_v2 = cpu_cuCtxGetDevice_v2;
	drv->cuCtxGetFlags = cpu_cuCtxGetFlags;
	drv->cuCtxSetFlags = cpu_cuCtxSetFlags;
	drv->cuCtxGetId = cpu_cuCtxGetId;
	drv->cuCtxGetApiVersion = cpu_cuCtxGetApiVersion;
	drv->cuCtxSynchronize = cpu_cuCtxSynchronize;
	drv->cuCtxSynchronize_v2 = cpu_cuCtxSynchronize_v2;
	drv->cuCtxSetLimit = cpu_cuCtxSetLimit;
	drv->cuCtxGetLimit = cpu_cuCtxGetLimit;
	drv->cuCtxGetCacheConfig = cpu_cuCtxGetCacheConfig;
	drv->cuCtxSetCacheConfig = cpu_cuCtxSetCacheConfig;
	drv->cuCtxGetSharedMemConfig = cpu_cuCtxGetSharedMemConfig;
	drv->cuCtxSetSharedMemConfig = cpu_cuCtxSetSharedMemConfig;
	drv->cuCtxGetStreamPriorityRange = cpu_cuCtxGetStreamPriorityRange;
	drv->cuCtxResetPersistingL2Cache = cpu_cuCtxResetPersistingL2Cache;
	drv->cuCtxEnablePeerAccess = cpu_cuCtxEnablePeerAccess;
	drv->cuCtxDisablePeerAccess = cpu_cuCtxDisablePeerAccess;
}
