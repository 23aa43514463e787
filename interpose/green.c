/*
 * Green contexts: contexts with a part of a device's multiprocessors. What the program holds of
 * such a part (CUdevResource) is a number of the worker's and what is public of it; the driver's
 * own bytes stay there. A green context is an object here, and a context (ctx.c) that uses memory,
 * modules and events of the primary one.
 *
 * These calls are made once, so all of them wait for their answer and have the driver's own code.
 */
#include <stdlib.h>
#include <string.h>

#include "interpose/client.h"
#include "interpose/ctx.h"
#include "wire/resource.h"

struct genie_green {
	struct genie_object object;
	struct genie_ctx *ctx;
};

/* What stands in the internal bytes of a CUdevResource. */
struct mark {
	uint64_t magic;
	uint64_t id;
};
#define MARK_MAGIC UINT64_C(0x65637265736e6567)

_Static_assert(sizeof(((CUdevResource *)0)->_internal_padding) >= sizeof(struct mark),
	       "room for the mark");
_Static_assert(sizeof(((CUdevResource *)0)->_oversize) == GENIE_RESOURCE_EXTERNAL,
	       "all that is public travels");

/* ---- parts of a device ---- */

static void
resource_fill(CUdevResource *resource, const struct genie_resource *from)
{
	const struct mark mark = {MARK_MAGIC, from->id};

	memset(resource, 0, sizeof(*resource));
	resource->type = (CUdevResourceType)from->type;
	if (from->id == 0)
		return;
	memcpy(resource->_internal_padding, &mark, sizeof(mark));
	memcpy(resource->_oversize, from->external, sizeof(from->external));
}

static CUresult
resource_id(const CUdevResource *resource, uint64_t *ret_id)
{
	struct mark mark;

	if (resource->type != CU_DEV_RESOURCE_TYPE_SM)
		return CUDA_ERROR_INVALID_RESOURCE_TYPE;
	memcpy(&mark, resource->_internal_padding, sizeof(mark));
	/* Not ours: the worker would not know it either. */
	if (mark.magic != MARK_MAGIC)
		return CUDA_ERROR_INVALID_VALUE;
	*ret_id = mark.id;
	return CUDA_SUCCESS;
}

/* Of @ctx, or without one of @device. */
static CUresult
resource_get(struct genie_ctx *ctx, int device, CUdevResource *resource, CUdevResourceType type)
{
	struct genie_resource answer;
	struct genie_args_genieResourceGet args = {
		.ctx = ctx ? genie_ctx_handle(ctx) : NULL,
		.device = genie_device_wire(device),
		.type = (unsigned int)type,
		.resource = (unsigned char *)&answer,
	};
	CUresult status;

	if (!resource)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_call_ctx(GENIE_OP_genieResourceGet, &args, ctx, NULL);
	if (status == CUDA_SUCCESS)
		resource_fill(resource, &answer);
	return status;
}

CUresult
genie_cuDeviceGetDevResource(CUdevice device, CUdevResource *resource, CUdevResourceType type)
{
	if (device < 0 || device >= genie_client.device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	return resource_get(NULL, device, resource, type);
}

CUresult
genie_cuCtxGetDevResource(CUcontext hCtx, CUdevResource *resource, CUdevResourceType type)
{
	struct genie_ctx *ctx = hCtx ? genie_ctx_get(hCtx) : NULL;

	if (!ctx || !atomic_load_explicit(&ctx->active, memory_order_acquire))
		return CUDA_ERROR_INVALID_CONTEXT;
	return resource_get(ctx, ctx->device, resource, type);
}

CUresult
genie_cuDevSmResourceSplitByCount(CUdevResource *result, unsigned int *nbGroups,
				  const CUdevResource *input, CUdevResource *remaining,
				  unsigned int useFlags, unsigned int minCount)
{
	struct genie_resource *groups = NULL, rest = {0};
	struct genie_args_genieResourceSplit args = {
		.flags = useFlags,
		.min_count = minCount,
		.groups = nbGroups,
		.remaining = remaining ? (unsigned char *)&rest : NULL,
	};
	unsigned int room;
	CUresult status;
	uint64_t id;

	if (!nbGroups || !input)
		return CUDA_ERROR_INVALID_VALUE;
	status = resource_id(input, &id);
	if (status != CUDA_SUCCESS)
		return status;
	args.input = id;
	room = *nbGroups;
	/* There cannot be more groups than there are multiprocessors. */
	if (room > GENIE_RESOURCES_MAX)
		room = GENIE_RESOURCES_MAX;
	if (result) {
		groups = calloc(room ? room : 1, sizeof(*groups));
		if (!groups)
			return CUDA_ERROR_OUT_OF_MEMORY;
		args.result = (unsigned char *)groups;
		args.result_size = room * sizeof(*groups);
		args.groups = &room;
	}
	status = genie_call_ctx(GENIE_OP_genieResourceSplit, &args, NULL, NULL);
	if (status == CUDA_SUCCESS && result) {
		for (unsigned int i = 0; i < room && i < args.result_size / sizeof(*groups); i++)
			resource_fill(&result[i], &groups[i]);
		*nbGroups = room;
	}
	if (status == CUDA_SUCCESS && remaining)
		resource_fill(remaining, &rest);
	free(groups);
	return status;
}

CUresult
genie_cuDevResourceGenerateDesc(CUdevResourceDesc *phDesc, CUdevResource *resources,
				unsigned int nbResources)
{
	struct genie_object *object;
	struct genie_args_genieResourceDesc args = {.count = nbResources};
	unsigned long long *ids;
	CUresult status = CUDA_SUCCESS;
	uint64_t id = 0;

	if (!phDesc || !resources || !nbResources || nbResources > GENIE_RESOURCES_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	ids = calloc(nbResources, sizeof(*ids));
	object = genie_object_new(GENIE_KIND_DEVDESC, sizeof(*object), NULL);
	if (!ids || !object)
		status = CUDA_ERROR_OUT_OF_MEMORY;
	for (unsigned int i = 0; i < nbResources && status == CUDA_SUCCESS; i++) {
		status = resource_id(&resources[i], &id);
		if (status == CUDA_SUCCESS)
			ids[i] = id;
	}
	if (status == CUDA_SUCCESS) {
		CUdevResourceDesc desc = (CUdevResourceDesc)(uintptr_t)object->token;

		args.desc = desc;
		args.ids = ids;
		status = genie_call_ctx(GENIE_OP_genieResourceDesc, &args, NULL, NULL);
		if (status == CUDA_SUCCESS)
			*phDesc = desc;
	}
	free(ids);
	/* CUDA has no call that ends a descriptor: those that were made stay. */
	if (status != CUDA_SUCCESS && object)
		genie_object_free(object);
	return status;
}

/* ---- green contexts ---- */

/* Finds one that lives. */
static CUresult
green_get(CUgreenCtx handle, struct genie_green **ret_green)
{
	struct genie_green *green =
		genie_object_get(GENIE_KIND_GREENCTX, (uint64_t)(uintptr_t)handle);

	if (!green)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!atomic_load_explicit(&green->ctx->active, memory_order_acquire))
		return CUDA_ERROR_CONTEXT_IS_DESTROYED;
	*ret_green = green;
	return CUDA_SUCCESS;
}

/* Its context here and at the worker. */
static CUresult
green_begin(struct genie_green *green, struct genie_ctx *home, CUdevResourceDesc desc,
	    unsigned int flags)
{
	struct genie_ctx *ctx = genie_ctx_new_green(home, green->object.token);
	struct genie_args_genieGreenCtxCreate args = {
		.desc = desc,
		.device = genie_device_wire(home->device),
		.flags = flags,
	};
	CUresult status;

	if (!ctx)
		return CUDA_ERROR_OUT_OF_MEMORY;
	green->ctx = ctx;
	args.ctx = genie_ctx_handle(ctx);
	args.sms = &ctx->sms;
	status = genie_call_ctx(GENIE_OP_genieGreenCtxCreate, &args, home, NULL);
	if (status == CUDA_SUCCESS && !genie_ctx_begin_green(ctx))
		status = CUDA_ERROR_INVALID_CONTEXT;
	if (status != CUDA_SUCCESS)
		genie_object_unlink(ctx);
	return status;
}

CUresult
genie_cuGreenCtxCreate(CUgreenCtx *phCtx, CUdevResourceDesc desc, CUdevice dev, unsigned int flags)
{
	struct genie_ctx *home = genie_ctx_primary(dev);
	struct genie_green *green;
	CUresult status;

	if (!home)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!phCtx || flags != CU_GREEN_CTX_DEFAULT_STREAM ||
	    !genie_object_get(GENIE_KIND_DEVDESC, (uint64_t)(uintptr_t)desc))
		return CUDA_ERROR_INVALID_VALUE;
	green = genie_object_new(GENIE_KIND_GREENCTX, sizeof(*green), NULL);
	if (!green)
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = genie_ctx_retain(home);
	if (status != CUDA_SUCCESS)
		goto err_free;
	status = green_begin(green, home, desc, flags);
	if (status != CUDA_SUCCESS)
		goto err_release;
	*phCtx = (CUgreenCtx)(uintptr_t)green->object.token;
	return CUDA_SUCCESS;

err_release:
	(void)genie_ctx_release(home);
err_free:
	genie_object_free(green);
	return status;
}

CUresult
genie_cuGreenCtxDestroy(CUgreenCtx hCtx)
{
	struct genie_green *green =
		genie_object_get(GENIE_KIND_GREENCTX, (uint64_t)(uintptr_t)hCtx);
	struct genie_ctx *ctx;
	CUresult status;

	if (!green)
		return CUDA_ERROR_INVALID_CONTEXT;
	ctx = green->ctx;
	genie_object_unlink(green); /* a second thread that destroys it is told so */
	status = genie_ctx_end_green(ctx);
	genie_object_unlink(ctx);
	(void)genie_ctx_release(ctx->home);
	return status;
}

CUresult
genie_cuCtxFromGreenCtx(CUcontext *pContext, CUgreenCtx hCtx)
{
	struct genie_green *green = NULL;
	CUresult status = green_get(hCtx, &green);

	if (status != CUDA_SUCCESS)
		return status;
	if (!pContext)
		return CUDA_ERROR_INVALID_VALUE;
	*pContext = genie_ctx_handle(green->ctx);
	return CUDA_SUCCESS;
}

CUresult
genie_cuGreenCtxGetDevResource(CUgreenCtx hCtx, CUdevResource *resource, CUdevResourceType type)
{
	struct genie_green *green = NULL;
	CUresult status = green_get(hCtx, &green);

	return status == CUDA_SUCCESS ? resource_get(green->ctx, green->ctx->device, resource, type)
				      : status;
}

CUresult
genie_cuGreenCtxGetId(CUgreenCtx greenCtx, unsigned long long *greenCtxId)
{
	struct genie_ctx *ctx = genie_ctx_current();
	struct genie_green *green = NULL;
	CUresult status = CUDA_SUCCESS;

	if (greenCtx) {
		status = green_get(greenCtx, &green);
		ctx = green ? green->ctx : NULL;
	} else if (!ctx || !ctx->green) {
		status = CUDA_ERROR_INVALID_CONTEXT;
	}
	if (status != CUDA_SUCCESS)
		return status;
	if (!greenCtxId)
		return CUDA_ERROR_INVALID_VALUE;
	*greenCtxId = ctx->id;
	return CUDA_SUCCESS;
}

CUresult
genie_cuGreenCtxStreamCreate(CUstream *phStream, CUgreenCtx greenCtx, unsigned int flags,
			     int priority)
{
	struct genie_green *green = NULL;
	CUresult status = green_get(greenCtx, &green);

	if (status != CUDA_SUCCESS)
		return status;
	if (flags != CU_STREAM_NON_BLOCKING) /* which is required */
		return CUDA_ERROR_INVALID_VALUE;
	return genie_stream_create(green->ctx, phStream, flags, priority);
}

CUresult
genie_cuGreenCtxRecordEvent(CUgreenCtx hCtx, CUevent hEvent)
{
	struct genie_event *event = genie_event_get(hEvent);
	struct genie_green *green = NULL;
	CUresult status = green_get(hCtx, &green);

	if (status != CUDA_SUCCESS)
		return status;
	if (!event || event->object.ctx != green->ctx->home)
		return CUDA_ERROR_INVALID_HANDLE;
	return genie_ctx_record_event(green->ctx, hEvent);
}

CUresult
genie_cuGreenCtxWaitEvent(CUgreenCtx hCtx, CUevent hEvent)
{
	struct genie_green *green = NULL;
	CUresult status = green_get(hCtx, &green);

	if (status != CUDA_SUCCESS)
		return status;
	if (!genie_event_get(hEvent))
		return CUDA_ERROR_INVALID_HANDLE;
	return genie_ctx_wait_event(green->ctx, hEvent);
}
