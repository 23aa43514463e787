/*
 * Green contexts: contexts whose kernels run on some of the machine's cores. How the cores are
 * divided is in sms.c.
 */
#include <stdlib.h>

#include "remote/device_cpu/cpu.h"
#include "remote/device_cpu/sms.h"

struct desc {
	uint32_t magic;
	struct genie_sms set;
};

struct green {
	uint32_t magic;
	struct genie_sms set;
	struct genie_cpu_context *ctx;
};

static struct genie_sms_device
device(void)
{
	uint32_t total = (uint32_t)ptx_threads();

	return (struct genie_sms_device){
		.total = total < GENIE_SMS_MAX ? total : GENIE_SMS_MAX,
		.major = GENIE_CPU_CC_MAJOR,
	};
}

uint32_t
genie_cpu_context_sms(const struct genie_cpu_context *ctx)
{
	return ctx && ctx->sms ? ctx->sms->count : (uint32_t)ptx_threads();
}

/* ---- what there is to divide ---- */

static CUresult
cpu_cuDeviceGetDevResource(CUdevice dev, CUdevResource *resource, CUdevResourceType type)
{
	struct genie_sms_device all = device();
	CUresult status = genie_cpu_check_device(dev);
	struct genie_sms set;

	if (status != CUDA_SUCCESS)
		return status;
	genie_sms_all(&all, &set);
	return genie_sms_describe(&all, &set, type, resource);
}

static CUresult
cpu_cuDevSmResourceSplitByCount(CUdevResource *result, unsigned int *groups,
				const CUdevResource *input, CUdevResource *remaining,
				unsigned int flags, unsigned int min_count)
{
	struct genie_sms_device all = device();

	return genie_sms_split(&all, result, groups, input, remaining, flags, min_count);
}

static CUresult
cpu_cuDevResourceGenerateDesc(CUdevResourceDesc *ret_desc, CUdevResource *resources,
			      unsigned int count)
{
	struct desc *desc;
	struct genie_sms set;
	CUresult status =
		ret_desc ? genie_sms_join(resources, count, &set) : CUDA_ERROR_INVALID_VALUE;

	if (status != CUDA_SUCCESS)
		return status;
	desc = calloc(1, sizeof(*desc));
	if (!desc)
		return CUDA_ERROR_OUT_OF_MEMORY;
	desc->magic = GENIE_CPU_DESC;
	desc->set = set;
	*ret_desc = (CUdevResourceDesc)desc;
	return CUDA_SUCCESS;
}

/* ---- contexts ---- */

static CUresult
cpu_cuGreenCtxCreate(CUgreenCtx *ret_green, CUdevResourceDesc handle, CUdevice dev,
		     unsigned int flags)
{
	const struct desc *desc = (const struct desc *)handle;
	struct genie_sms_device all = device();
	struct green *green;
	CUcontext primary;
	CUresult status = genie_cpu_check_device(dev);

	if (status != CUDA_SUCCESS)
		return status;
	if (!ret_green || !genie_cpu_is(desc, GENIE_CPU_DESC) ||
	    flags != CU_GREEN_CTX_DEFAULT_STREAM)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_cpu.backend->drv.cuDevicePrimaryCtxRetain(&primary, dev);
	if (status != CUDA_SUCCESS)
		return status;
	green = calloc(1, sizeof(*green));
	if (!green)
		goto err_release;
	green->ctx = genie_cpu_context_new(dev, ((struct genie_cpu_context *)primary)->flags);
	if (!green->ctx)
		goto err_free;
	green->ctx->sms = calloc(1, sizeof(*green->ctx->sms));
	if (!green->ctx->sms)
		goto err_delete;
	green->ctx->home = (struct genie_cpu_context *)primary;
	green->ctx->sms->count = genie_sms_list(&all, &desc->set, green->ctx->sms->list);
	green->set = desc->set;
	green->magic = GENIE_CPU_GREEN;
	*ret_green = (CUgreenCtx)green;
	return CUDA_SUCCESS;

err_delete:
	genie_cpu_context_delete(green->ctx);
err_free:
	free(green);
err_release:
	genie_cpu.backend->drv.cuDevicePrimaryCtxRelease_v2(dev);
	return CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult
cpu_cuGreenCtxDestroy(CUgreenCtx handle)
{
	struct green *green = (struct green *)handle;
	CUdevice dev;

	if (!genie_cpu_is(green, GENIE_CPU_GREEN))
		return CUDA_ERROR_INVALID_CONTEXT;
	dev = green->ctx->device;
	green->magic = 0;
	genie_cpu_context_delete(green->ctx);
	free(green);
	return genie_cpu.backend->drv.cuDevicePrimaryCtxRelease_v2(dev);
}

static CUresult
cpu_cuCtxFromGreenCtx(CUcontext *ret_ctx, CUgreenCtx handle)
{
	const struct green *green = (const struct green *)handle;

	if (!genie_cpu_is(green, GENIE_CPU_GREEN))
		return CUDA_ERROR_INVALID_CONTEXT;
	*ret_ctx = (CUcontext)green->ctx;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGreenCtxGetDevResource(CUgreenCtx handle, CUdevResource *resource, CUdevResourceType type)
{
	const struct green *green = (const struct green *)handle;
	struct genie_sms_device all = device();

	if (!genie_cpu_is(green, GENIE_CPU_GREEN))
		return CUDA_ERROR_INVALID_CONTEXT;
	return genie_sms_describe(&all, &green->set, type, resource);
}

/* Of a context that is no green one; the worker asks green ones as such. */
static CUresult
cpu_cuCtxGetDevResource(CUcontext handle, CUdevResource *resource, CUdevResourceType type)
{
	if (!genie_cpu_is((void *)handle, GENIE_CPU_CONTEXT))
		return CUDA_ERROR_INVALID_CONTEXT;
	return cpu_cuDeviceGetDevResource(0, resource, type);
}

void
genie_cpu_fill_green(struct genie_driver *drv)
{
	drv->cuDeviceGetDevResource = cpu_cuDeviceGetDevResource;
	drv->cuDevSmResourceSplitByCount = cpu_cuDevSmResourceSplitByCount;
	drv->cuDevResourceGenerateDesc = cpu_cuDevResourceGenerateDesc;
	drv->cuGreenCtxCreate = cpu_cuGreenCtxCreate;
	drv->cuGreenCtxDestroy = cpu_cuGreenCtxDestroy;
	drv->cuCtxFromGreenCtx = cpu_cuCtxFromGreenCtx;
	drv->cuGreenCtxGetDevResource = cpu_cuGreenCtxGetDevResource;
	drv->cuCtxGetDevResource = cpu_cuCtxGetDevResource;
}
