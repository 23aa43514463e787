#include "remote/share.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "remote/exec.h"

void
genie_share_withdraw(struct genie_session *session, const uint8_t id[GENIE_SHARE_ID])
{
	if (session->broker)
		session->broker->withdraw(session->broker->data, id);
}

static CUresult
share_status(int error)
{
	switch (error) {
	case 0:
		return CUDA_SUCCESS;
	case -ENOENT:
		return CUDA_ERROR_INVALID_HANDLE;
	case -ENOMEM:
	case -ENOSPC:
		return CUDA_ERROR_OUT_OF_MEMORY;
	case -ETIMEDOUT:
		return CUDA_ERROR_OPERATING_SYSTEM;
	default:
		return CUDA_ERROR_NOT_SUPPORTED;
	}
}

/* Gives @share a name and hands it to the broker. */
static CUresult
put(struct genie_session *session, struct genie_share *share, int fd)
{
	if (!session->broker)
		return CUDA_ERROR_NOT_SUPPORTED;
	if (getrandom(share->id, sizeof(share->id), 0) != (ssize_t)sizeof(share->id))
		return CUDA_ERROR_UNKNOWN;
	return share_status(session->broker->put(session->broker->data, share, fd));
}

static CUresult
get(struct genie_session *session, const uint8_t *id, enum genie_share_kind kind,
    struct genie_share *ret_share, int *ret_fd)
{
	CUresult status;

	*ret_fd = -1;
	if (!session->broker)
		return CUDA_ERROR_NOT_SUPPORTED;
	status = share_status(session->broker->get(session->broker->data, id, ret_share, ret_fd));
	if (status == CUDA_SUCCESS && ret_share->kind != kind)
		status = CUDA_ERROR_INVALID_HANDLE;
	if (status == CUDA_SUCCESS && kind == GENIE_SHARE_PAGES &&
	    (*ret_fd < 0 || ret_share->device < 0 || ret_share->device >= session->device_count))
		status = CUDA_ERROR_INVALID_HANDLE;
	if (status != CUDA_SUCCESS && *ret_fd >= 0) {
		close(*ret_fd);
		*ret_fd = -1;
	}
	return status;
}

/* ---- memory ---- */

static CUresult
pages_share(struct genie_session *session, struct genie_pages *pages)
{
	struct genie_share share = {
		.kind = GENIE_SHARE_PAGES, .device = pages->device, .size = pages->size};
	CUresult status;
	int fd = -1;

	if (pages->shared)
		return CUDA_SUCCESS;
	if (!pages->exportable)
		return CUDA_ERROR_NOT_SUPPORTED;
	status = session->drv->cuMemExportToShareableHandle(
		&fd, pages->handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
	if (status != CUDA_SUCCESS)
		return status;
	status = put(session, &share, fd);
	close(fd);
	if (status != CUDA_SUCCESS)
		return status;
	memcpy(pages->share_id, share.id, sizeof(share.id));
	pages->shared = true;
	return CUDA_SUCCESS;
}

CUresult
genie_exec_genieShareMemory(struct genie_session *session, struct genie_args_genieShareMemory *args)
{
	struct genie_mapping mapping = {0};
	CUresult status;

	memset(args->id, 0, GENIE_SHARE_ID);
	*args->base = 0;
	*args->size = 0;
	/* The client's own mapping cannot be on its way out: only the client unmaps it. */
	if (!genie_mapping_at(session, args->addr, &mapping) || !mapping.pages || mapping.unmap)
		return CUDA_ERROR_INVALID_VALUE;
	status = pages_share(session, mapping.pages);
	if (status != CUDA_SUCCESS)
		return status;
	memcpy(args->id, mapping.pages->share_id, GENIE_SHARE_ID);
	*args->base = mapping.addr - mapping.offset;
	*args->size = mapping.pages->size;
	return CUDA_SUCCESS;
}

CUresult
genie_exec_genieShareHandle(struct genie_session *session, struct genie_args_genieShareHandle *args)
{
	const struct genie_object *object =
		genie_object_find(&session->objects, GENIE_KIND_MEMHANDLE, args->handle);
	struct genie_pages *pages = object ? object->state : NULL;
	CUresult status;

	memset(args->id, 0, GENIE_SHARE_ID);
	if (!pages)
		return CUDA_ERROR_INVALID_HANDLE;
	status = pages_share(session, pages);
	if (status == CUDA_SUCCESS)
		memcpy(args->id, pages->share_id, GENIE_SHARE_ID);
	return status;
}

CUresult
genie_exec_genieShareImport(struct genie_session *session, struct genie_args_genieShareImport *args)
{
	struct genie_object *object = NULL;
	struct genie_share share = {0};
	struct genie_pages *pages;
	CUresult status;
	int fd = -1;

	*args->size = 0;
	*args->device = 0;
	status = get(session, args->id, GENIE_SHARE_PAGES, &share, &fd);
	if (status != CUDA_SUCCESS)
		return status;
	pages = calloc(1, sizeof(*pages));
	if (!pages) {
		status = CUDA_ERROR_OUT_OF_MEMORY;
		goto out;
	}
	*pages = (struct genie_pages){
		.size = share.size, .device = share.device, .exportable = true, .refs = 1};
	status = session->drv->cuMemImportFromShareableHandle(
		&pages->handle, (void *)(uintptr_t)fd, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
	if (status != CUDA_SUCCESS) {
		free(pages);
		goto out;
	}
	if (genie_object_bind(&session->objects, GENIE_KIND_MEMHANDLE, args->handle, NULL,
			      &object)) {
		genie_pages_unref(session, pages);
		genie_session_broken(session, "memory handle 0x%llx cannot be named", args->handle);
		status = CUDA_ERROR_INVALID_HANDLE;
		goto out;
	}
	object->state = pages;
	*args->size = share.size;
	*args->device = share.device;
out:
	close(fd);
	return status;
}

/* ---- events ---- */

CUresult
genie_exec_genieShareEvent(struct genie_session *session, struct genie_args_genieShareEvent *args)
{
	const struct genie_object *object =
		genie_object_find(&session->objects, GENIE_KIND_EVENT, (uintptr_t)args->event);
	struct genie_share share = {.kind = GENIE_SHARE_EVENT};
	struct genie_event *event = object ? object->state : NULL;
	CUipcEventHandle handle = {0};
	CUresult status;

	_Static_assert(sizeof(handle) <= sizeof(share.bytes), "it travels in the share");
	memset(args->id, 0, GENIE_SHARE_ID);
	if (!event || !(event->flags & CU_EVENT_INTERPROCESS))
		return CUDA_ERROR_INVALID_HANDLE;
	status = genie_ctx_switch(session, event->ctx);
	if (status == CUDA_SUCCESS && !event->shared)
		status = session->drv->cuIpcGetEventHandle(&handle, event->handle);
	if (status != CUDA_SUCCESS)
		return status;
	if (!event->shared) {
		memcpy(share.bytes, &handle, sizeof(handle));
		status = put(session, &share, -1);
		if (status != CUDA_SUCCESS)
			return status;
		memcpy(event->share_id, share.id, sizeof(share.id));
		event->shared = true;
	}
	memcpy(args->id, event->share_id, GENIE_SHARE_ID);
	return CUDA_SUCCESS;
}

CUresult
genie_exec_genieShareEventOpen(struct genie_session *session,
			       struct genie_args_genieShareEventOpen *args)
{
	struct genie_share share = {0};
	struct genie_object *object = NULL;
	struct genie_event *event;
	CUipcEventHandle handle;
	CUresult status;
	int fd = -1;

	if (!session->current)
		return CUDA_ERROR_INVALID_CONTEXT;
	status = get(session, args->id, GENIE_SHARE_EVENT, &share, &fd);
	if (status != CUDA_SUCCESS)
		return status;
	if (fd >= 0)
		close(fd);
	event = calloc(1, sizeof(*event));
	if (!event)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*event = (struct genie_event){.ctx = session->current,
				      .flags = CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING,
				      .shared = true,
				      .opened = true};
	memcpy(&handle, share.bytes, sizeof(handle));
	status = session->drv->cuIpcOpenEventHandle(&event->handle, handle);
	if (status != CUDA_SUCCESS) {
		free(event);
		return status;
	}
	if (genie_object_bind(&session->objects, GENIE_KIND_EVENT, (uintptr_t)args->event,
			      event->handle, &object)) {
		session->drv->cuEventDestroy_v2(event->handle);
		free(event);
		genie_session_broken(session, "event token 0x%llx cannot be named",
				     (unsigned long long)(uintptr_t)args->event);
		return CUDA_ERROR_INVALID_HANDLE;
	}
	object->state = event;
	object->ctx = session->current->index;
	return CUDA_SUCCESS;
}
