/* The record device: green contexts. Resources are divided as on a GPU of its kind. */
#include "remote/device_cpu/sms.h"
#include "remote/device_record.h"

#include <stdlib.h>

static struct genie_sms_device
device(void)
{
	int total = 1, major = 9;

	record_attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &total);
	record_attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &major);
	return (struct genie_sms_device){.total = (uint32_t)total, .major = major};
}

static CUresult
describe(const struct genie_sms *set, CUdevResource *resource, CUdevResourceType type)
{
	struct genie_sms_device all = device();
	struct genie_sms every;

	genie_sms_all(&all, &every);
	return genie_sms_describe(&all, set ? set : &every, type, resource);
}

static CUresult
record_cuDeviceGetDevResource(CUdevice dev, CUdevResource *resource, CUdevResourceType type)
{
	(void)dev;
	return describe(NULL, resource, type);
}

static CUresult
record_cuCtxGetDevResource(CUcontext ctx, CUdevResource *resource, CUdevResourceType type)
{
	(void)ctx;
	return describe(NULL, resource, type);
}

static CUresult
record_cuDevSmResourceSplitByCount(CUdevResource *result, unsigned int *groups,
				   const CUdevResource *input, CUdevResource *remaining,
				   unsigned int flags, unsigned int min_count)
{
	struct genie_sms_device all = device();

	return genie_sms_split(&all, result, groups, input, remaining, flags, min_count);
}

/* A descriptor, and a green context of it, is the set that it has; neither is ever freed, as other
 * contexts may come of the one and handles of the other be asked for again. */
static CUresult
record_cuDevResourceGenerateDesc(CUdevResourceDesc *desc, CUdevResource *resources,
				 unsigned int count)
{
	struct genie_sms *set = calloc(1, sizeof(*set));
	CUresult status = set ? genie_sms_join(resources, count, set) : CUDA_ERROR_OUT_OF_MEMORY;

	if (status == CUDA_SUCCESS)
		*desc = (CUdevResourceDesc)set;
	else
		free(set);
	return status;
}

static CUresult
record_cuGreenCtxCreate(CUgreenCtx *green, CUdevResourceDesc desc, CUdevice dev, unsigned int flags)
{
	(void)dev;
	if (flags != CU_GREEN_CTX_DEFAULT_STREAM)
		return CUDA_ERROR_INVALID_VALUE;
	*green = (CUgreenCtx)desc;
	return CUDA_SUCCESS;
}

static CUresult
record_cuCtxFromGreenCtx(CUcontext *ctx, CUgreenCtx green)
{
	(void)green;
	*ctx = (CUcontext)record_new_handle();
	return CUDA_SUCCESS;
}

static CUresult
record_cuGreenCtxGetDevResource(CUgreenCtx green, CUdevResource *resource, CUdevResourceType type)
{
	return describe((const struct genie_sms *)green, resource, type);
}

void
record_fill_green(struct genie_driver *drv)
{
	drv->cuDeviceGetDevResource = record_cuDeviceGetDevResource;
	drv->cuCtxGetDevResource = record_cuCtxGetDevResource;
	drv->cuDevSmResourceSplitByCount = record_cuDevSmResourceSplitByCount;
	drv->cuDevResourceGenerateDesc = record_cuDevResourceGenerateDesc;
	drv->cuGreenCtxCreate = record_cuGreenCtxCreate;
	drv->cuCtxFromGreenCtx = record_cuCtxFromGreenCtx;
	drv->cuGreenCtxGetDevResource = record_cuGreenCtxGetDevResource;
}
