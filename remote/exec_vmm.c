/*
 * Memory that the program maps itself (cuMemCreate, cuMemMap…), in the part of the device window
 * that the client keeps for it. The client has checked everything and counts who still uses a
 * handle; a range is unmapped with genieMemUnmap like any other.
 */
#include "remote/exec.h"
#include "remote/mapping.h"
#include "remote/memory.h"

CUresult
genie_exec_genieVmmCreate(struct genie_session *session, struct genie_args_genieVmmCreate *args)
{
	struct genie_object *object = NULL;
	struct genie_pages *pages = NULL;
	CUresult status;

	if (args->device < 0 || args->device >= session->device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!args->size || args->size % GENIE_MEMORY_PAGE || args->size > GENIE_BYTES_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	if (genie_object_bind(&session->objects, GENIE_KIND_MEMHANDLE, args->handle, NULL,
			      &object)) {
		genie_session_broken(session, "memory handle 0x%llx cannot be named", args->handle);
		return CUDA_ERROR_INVALID_HANDLE;
	}
	/* Named in any case, so that what the client does with it fails with the same error. */
	status = genie_pages_create(session, args->size, args->device, &pages);
	object->status = (int32_t)status;
	object->state = pages;
	return status;
}

CUresult
genie_exec_genieVmmRelease(struct genie_session *session, struct genie_args_genieVmmRelease *args)
{
	struct genie_object *object =
		genie_object_find(&session->objects, GENIE_KIND_MEMHANDLE, args->handle);
	struct genie_pages *pages;

	if (!object)
		return CUDA_ERROR_INVALID_HANDLE;
	pages = object->state;
	genie_object_drop(&session->objects, GENIE_KIND_MEMHANDLE, args->handle);
	if (pages)
		genie_pages_unref(session, pages);
	return CUDA_SUCCESS;
}

CUresult
genie_exec_genieVmmMap(struct genie_session *session, struct genie_args_genieVmmMap *args)
{
	const struct genie_object *object =
		genie_object_find(&session->objects, GENIE_KIND_MEMHANDLE, args->handle);
	struct genie_pages *pages = object ? object->state : NULL;
	struct genie_mapping mapping = {
		.addr = args->addr, .size = args->size, .pages = pages, .offset = args->offset};
	CUresult status;

	if (!object)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!pages)
		return (CUresult)object->status;
	if (!genie_window_contains(session->device_window, session->device_window_size, args->addr,
				   args->size, GENIE_MEMORY_PAGE) ||
	    args->offset > pages->size || args->size > pages->size - args->offset)
		return CUDA_ERROR_INVALID_VALUE;
	if (!genie_mapping_clear(session, args->addr, args->size))
		return CUDA_ERROR_ALREADY_MAPPED;
	mapping.device = pages->device;
	status = session->drv->cuMemMap(args->addr, args->size, args->offset, pages->handle, 0);
	if (status != CUDA_SUCCESS)
		return status;
	genie_pages_ref(session, pages);
	status = genie_mapping_add(session, &mapping);
	if (status != CUDA_SUCCESS) {
		session->drv->cuMemUnmap(args->addr, args->size);
		genie_pages_unref(session, pages);
	}
	return status;
}

CUresult
genie_exec_genieVmmAccess(struct genie_session *session, struct genie_args_genieVmmAccess *args)
{
	const CUmemAccessDesc access = {
		.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = args->device},
		.flags = (CUmemAccess_flags)args->flags};

	if (args->device < 0 || args->device >= session->device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	/* Nothing outside the window is the client's to change. */
	if (!genie_window_contains(session->device_window, session->device_window_size, args->addr,
				   args->size, GENIE_MEMORY_PAGE))
		return CUDA_ERROR_INVALID_VALUE;
	return session->drv->cuMemSetAccess(args->addr, args->size, &access, 1);
}
