/* Parts of a device, and the green contexts that are made of them. */
#include <stdlib.h>
#include <string.h>

#include "remote/devres.h"
#include "remote/exec.h"

static CUresult
device_find(const struct genie_session *session, int ordinal, CUdevice *ret_device)
{
	if (ordinal < 0 || ordinal >= session->device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	return session->drv->cuDeviceGet(ret_device, ordinal);
}

/* A green context says what it was given, whether it is asked for as one or as a context. */
static CUresult
ctx_resource(const struct genie_session *session, const struct genie_ctx *ctx,
	     CUdevResource *ret_resource, CUdevResourceType type)
{
	if (ctx->green)
		return session->drv->cuGreenCtxGetDevResource(ctx->green, ret_resource, type);
	return session->drv->cuCtxGetDevResource(ctx->handle, ret_resource, type);
}

CUresult
genie_exec_genieResourceGet(struct genie_session *session, struct genie_args_genieResourceGet *args)
{
	CUdevResourceType type = (CUdevResourceType)args->type;
	CUdevResource resource = {0};
	struct genie_object *object;
	struct genie_resource answer;
	CUdevice device = 0;
	CUresult status;

	if (args->ctx) {
		object = genie_object_find(&session->objects, GENIE_KIND_CTX, (uintptr_t)args->ctx);
		if (!object)
			return CUDA_ERROR_INVALID_CONTEXT;
		status = ctx_resource(session, object->state, &resource, type);
	} else {
		status = device_find(session, args->device, &device);
		if (status == CUDA_SUCCESS)
			status = session->drv->cuDeviceGetDevResource(device, &resource, type);
	}
	if (status != CUDA_SUCCESS)
		return status;
	/* Types that newer drivers have carry more than numbers. */
	if (type != CU_DEV_RESOURCE_TYPE_SM)
		return CUDA_ERROR_INVALID_RESOURCE_TYPE;
	if (genie_devres_add(&session->devres, &resource, &answer))
		return CUDA_ERROR_OUT_OF_MEMORY;
	memcpy(args->resource, &answer, sizeof(answer));
	return CUDA_SUCCESS;
}

/* Hands out @count results. */
static CUresult
give(struct genie_session *session, const CUdevResource *list, unsigned int count,
     unsigned char *ret)
{
	struct genie_resource answer;

	for (unsigned int i = 0; i < count; i++) {
		if (genie_devres_add(&session->devres, &list[i], &answer))
			return CUDA_ERROR_OUT_OF_MEMORY;
		memcpy(ret + i * sizeof(answer), &answer, sizeof(answer));
	}
	return CUDA_SUCCESS;
}

CUresult
genie_exec_genieResourceSplit(struct genie_session *session,
			      struct genie_args_genieResourceSplit *args)
{
	const CUdevResource *found = genie_devres_find(session->devres, args->input);
	unsigned int room = *args->groups;
	CUdevResource input, remaining = {0};
	CUdevResource *list = NULL;
	CUresult status;

	if (!found)
		return CUDA_ERROR_INVALID_VALUE;
	input = *found;
	if (args->result) {
		if (room > GENIE_RESOURCES_MAX ||
		    args->result_size != room * sizeof(struct genie_resource))
			return CUDA_ERROR_INVALID_VALUE;
		list = calloc(room ? room : 1, sizeof(*list));
		if (!list)
			return CUDA_ERROR_OUT_OF_MEMORY;
	}
	status = session->drv->cuDevSmResourceSplitByCount(list, args->groups, &input,
							   args->remaining ? &remaining : NULL,
							   args->flags, args->min_count);
	/* The driver's word on how many it wrote is good, but not for reading past our end. */
	if (status == CUDA_SUCCESS && list && *args->groups > room)
		*args->groups = room;
	if (status == CUDA_SUCCESS && list)
		status = give(session, list, *args->groups, args->result);
	if (status == CUDA_SUCCESS && args->remaining)
		status = give(session, &remaining, 1, args->remaining);
	free(list);
	return status;
}

CUresult
genie_exec_genieResourceDesc(struct genie_session *session,
			     struct genie_args_genieResourceDesc *args)
{
	CUdevResourceDesc desc = NULL;
	CUdevResource *list;
	CUresult status = CUDA_SUCCESS;

	if (!args->count || args->count > GENIE_RESOURCES_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	list = calloc(args->count, sizeof(*list));
	if (!list)
		return CUDA_ERROR_OUT_OF_MEMORY;
	for (unsigned int i = 0; i < args->count && status == CUDA_SUCCESS; i++) {
		const CUdevResource *resource = genie_devres_find(session->devres, args->ids[i]);

		if (resource)
			list[i] = *resource;
		else
			status = CUDA_ERROR_INVALID_VALUE;
	}
	if (status == CUDA_SUCCESS)
		status = session->drv->cuDevResourceGenerateDesc(&desc, list, args->count);
	free(list);
	if (status != CUDA_SUCCESS)
		return status;
	return (CUresult)genie_session_bind(session, GENIE_KIND_DEVDESC, (uintptr_t)args->desc,
					    desc);
}

CUresult
genie_exec_genieGreenCtxCreate(struct genie_session *session,
			       struct genie_args_genieGreenCtxCreate *args)
{
	struct genie_object *desc =
		genie_object_find(&session->objects, GENIE_KIND_DEVDESC, (uintptr_t)args->desc);
	CUdevResource resource = {0};
	CUcontext handle = NULL;
	CUgreenCtx green = NULL;
	CUdevice device = 0;
	CUresult status;

	if (!desc)
		return CUDA_ERROR_INVALID_VALUE;
	status = device_find(session, args->device, &device);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuGreenCtxCreate(&green, desc->handle, device, args->flags);
	if (status != CUDA_SUCCESS)
		return status;
	status = session->drv->cuGreenCtxGetDevResource(green, &resource, CU_DEV_RESOURCE_TYPE_SM);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuCtxFromGreenCtx(&handle, green);
	if (status == CUDA_SUCCESS)
		status = genie_ctx_bind(
			session, (uintptr_t)args->ctx,
			&(struct genie_ctx){.handle = handle, .device = device, .green = green});
	if (status != CUDA_SUCCESS) {
		session->drv->cuGreenCtxDestroy(green);
		return status;
	}
	*args->sms = resource.sm.smCount;
	return CUDA_SUCCESS;
}
