/*
 * What a context can be asked and told: flags, limits, cache configuration, synchronisation.
 */
#include "interpose/ctx.h"

#define L2_FETCH_MAX 128 /* CU_LIMIT_MAX_L2_FETCH_GRANULARITY is a hint from 0 to 128 */

/* A limit that is set is also what cuCtxGetLimit returns, as in the native driver. */
#define LIMITS (sizeof(((struct genie_ctx *)0)->limits) / sizeof(uint64_t))

CUresult
genie_cuCtxSynchronize(void)
{
	struct genie_ctx *ctx = genie_ctx_current();
	CUresult status;

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	status = genie_capture_forbids();
	return status == CUDA_SUCCESS ? genie_ctx_synchronize(ctx) : status;
}

CUresult
genie_cuCtxSynchronize_v2(CUcontext handle)
{
	struct genie_ctx *ctx = genie_ctx_get(handle);
	CUresult status;

	if (!ctx || !atomic_load_explicit(&ctx->active, memory_order_relaxed))
		return CUDA_ERROR_INVALID_CONTEXT;
	status = genie_capture_forbids();
	return status == CUDA_SUCCESS ? genie_ctx_synchronize(ctx) : status;
}

CUresult
genie_cuCtxGetFlags(unsigned int *flags)
{
	struct genie_ctx *ctx = genie_ctx_home();

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!flags)
		return CUDA_ERROR_INVALID_VALUE;
	*flags = atomic_load_explicit(&ctx->flags, memory_order_relaxed);
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxSetFlags(unsigned int flags)
{
	struct genie_ctx *ctx = genie_ctx_home();

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	atomic_store_explicit(&ctx->flags, flags, memory_order_relaxed);
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxGetId(CUcontext handle, unsigned long long *ctxId)
{
	struct genie_ctx *ctx = genie_ctx_get(handle);

	if (!ctx)
		return CUDA_ERROR_CONTEXT_IS_DESTROYED;
	if (!ctxId)
		return CUDA_ERROR_INVALID_VALUE;
	*ctxId = ctx->id;
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxGetApiVersion(CUcontext handle, unsigned int *version)
{
	struct genie_ctx *ctx = genie_ctx_get(handle);

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!version)
		return CUDA_ERROR_INVALID_VALUE;
	*version = ctx->api_version;
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxGetLimit(size_t *pvalue, CUlimit limit)
{
	struct genie_ctx *ctx = genie_ctx_home();

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!pvalue)
		return CUDA_ERROR_INVALID_VALUE;
	if ((unsigned int)limit >= CU_LIMIT_MAX || (unsigned int)limit >= LIMITS)
		return CUDA_ERROR_INVALID_VALUE;
	*pvalue = __atomic_load_n(&ctx->limits[limit], __ATOMIC_RELAXED);
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxSetLimit(CUlimit limit, size_t value)
{
	struct genie_args_cuCtxSetLimit args = {.limit = limit, .value = value};
	struct genie_ctx *ctx = genie_ctx_home();

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if ((unsigned int)limit >= CU_LIMIT_MAX || (unsigned int)limit >= LIMITS)
		return CUDA_ERROR_INVALID_VALUE;
	if (limit == CU_LIMIT_MAX_L2_FETCH_GRANULARITY && value > L2_FETCH_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	__atomic_store_n(&ctx->limits[limit], value, __ATOMIC_RELAXED);
	return genie_call(GENIE_OP_cuCtxSetLimit, &args);
}

/* Cache preferences are hints that devices since Volta do not need; they are remembered. */
CUresult
genie_cuCtxGetCacheConfig(CUfunc_cache *pconfig)
{
	struct genie_ctx *ctx = genie_ctx_home();

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!pconfig)
		return CUDA_ERROR_INVALID_VALUE;
	*pconfig = (CUfunc_cache)atomic_load_explicit(&ctx->cache_config, memory_order_relaxed);
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxSetCacheConfig(CUfunc_cache config)
{
	struct genie_ctx *ctx = genie_ctx_home();

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if ((unsigned int)config > CU_FUNC_CACHE_PREFER_EQUAL)
		return CUDA_ERROR_INVALID_VALUE;
	atomic_store_explicit(&ctx->cache_config, (int)config, memory_order_relaxed);
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxGetSharedMemConfig(CUsharedconfig *pConfig)
{
	struct genie_ctx *ctx = genie_ctx_home();

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!pConfig)
		return CUDA_ERROR_INVALID_VALUE;
	*pConfig = (CUsharedconfig)atomic_load_explicit(&ctx->shared_config, memory_order_relaxed);
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxSetSharedMemConfig(CUsharedconfig config)
{
	struct genie_ctx *ctx = genie_ctx_current();

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if ((unsigned int)config > CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE)
		return CUDA_ERROR_INVALID_VALUE;
	/* Banks are four bytes wide on every device since Maxwell, whatever is asked for. */
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxGetStreamPriorityRange(int *leastPriority, int *greatestPriority)
{
	struct genie_ctx *ctx = genie_ctx_current();

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (leastPriority)
		*leastPriority = genie_client.devices[ctx->device].stream_priority_low;
	if (greatestPriority)
		*greatestPriority = genie_client.devices[ctx->device].stream_priority_high;
	return CUDA_SUCCESS;
}

CUresult
genie_cuCtxGetExecAffinity(CUexecAffinityParam *pExecAffinity, CUexecAffinityType type)
{
	struct genie_args_cuCtxGetExecAffinity args = {.pExecAffinity = pExecAffinity,
						       .type = type};

	if (!genie_ctx_current())
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!pExecAffinity)
		return CUDA_ERROR_INVALID_VALUE;
	return genie_call(GENIE_OP_cuCtxGetExecAffinity, &args);
}
