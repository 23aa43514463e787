/*
 * Calls whose arguments are structs with handles and pointers in them: copies of rectangles, and
 * textures and surfaces. Both sides of a copy are on the device; what has a host side was split by
 * the client. A pointer into the client's memory is refused: the driver would read ours. So is a
 * device address that is not the session's.
 */
#include "remote/address.h"
#include "remote/exec.h"

static CUresult
array_find(struct genie_session *session, CUarray *array)
{
	struct genie_object *object;

	object = genie_object_find(&session->objects, GENIE_KIND_ARRAY, (uintptr_t)*array);
	if (!object)
		return CUDA_ERROR_INVALID_HANDLE;
	*array = object->handle;
	return (CUresult)object->status;
}

/* One side of a copy: device memory, all of it the session's, or an array, whose token becomes a
 * handle. A pitch or a height of 0 stands for what is copied. */
static CUresult
copy_side(struct genie_session *session, CUmemorytype type, CUarray *array, CUdeviceptr addr,
	  struct genie_box *box)
{
	switch ((int)type) {
	case CU_MEMORYTYPE_DEVICE:
		*array = NULL;
		if (!box->pitch && __builtin_add_overflow(box->x, box->width, &box->pitch))
			return CUDA_ERROR_INVALID_VALUE;
		if (!box->slice_height &&
		    __builtin_add_overflow(box->y, box->height, &box->slice_height))
			return CUDA_ERROR_INVALID_VALUE;
		return genie_address_check_box(session, addr, box);
	case CU_MEMORYTYPE_ARRAY:
		return array_find(session, array);
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
}

CUresult
genie_exec_cuMemcpy2DAsync_v2(struct genie_session *session,
			      struct genie_args_cuMemcpy2DAsync_v2 *args)
{
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)args->hStream);
	CUDA_MEMCPY2D copy = *args->pCopy;
	struct genie_box src = {.x = copy.srcXInBytes,
				.y = copy.srcY,
				.width = copy.WidthInBytes,
				.height = copy.Height,
				.depth = 1,
				.pitch = copy.srcPitch};
	struct genie_box dst = {.x = copy.dstXInBytes,
				.y = copy.dstY,
				.width = copy.WidthInBytes,
				.height = copy.Height,
				.depth = 1,
				.pitch = copy.dstPitch};
	CUresult status;

	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	copy.srcHost = NULL;
	copy.dstHost = NULL;
	status = copy_side(session, copy.srcMemoryType, &copy.srcArray, copy.srcDevice, &src);
	if (status == CUDA_SUCCESS)
		status = copy_side(session, copy.dstMemoryType, &copy.dstArray, copy.dstDevice,
				   &dst);
	if (status != CUDA_SUCCESS)
		return status;
	return session->drv->cuMemcpy2DAsync_v2(&copy, stream->handle);
}

CUresult
genie_copy3d_resolve(struct genie_session *session, CUDA_MEMCPY3D *copy)
{
	struct genie_box src = {.x = copy->srcXInBytes,
				.y = copy->srcY,
				.z = copy->srcZ,
				.width = copy->WidthInBytes,
				.height = copy->Height,
				.depth = copy->Depth,
				.pitch = copy->srcPitch,
				.slice_height = copy->srcHeight};
	struct genie_box dst = {.x = copy->dstXInBytes,
				.y = copy->dstY,
				.z = copy->dstZ,
				.width = copy->WidthInBytes,
				.height = copy->Height,
				.depth = copy->Depth,
				.pitch = copy->dstPitch,
				.slice_height = copy->dstHeight};
	CUresult status;

	copy->srcHost = NULL;
	copy->dstHost = NULL;
	copy->reserved0 = NULL;
	copy->reserved1 = NULL;
	status = copy_side(session, copy->srcMemoryType, &copy->srcArray, copy->srcDevice, &src);
	if (status != CUDA_SUCCESS)
		return status;
	return copy_side(session, copy->dstMemoryType, &copy->dstArray, copy->dstDevice, &dst);
}

CUresult
genie_exec_cuMemcpy3DAsync_v2(struct genie_session *session,
			      struct genie_args_cuMemcpy3DAsync_v2 *args)
{
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)args->hStream);
	CUDA_MEMCPY3D copy = *args->pCopy;
	CUresult status;

	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	status = genie_copy3d_resolve(session, &copy);
	if (status != CUDA_SUCCESS)
		return status;
	return session->drv->cuMemcpy3DAsync_v2(&copy, stream->handle);
}

/* ---- mipmapped arrays ---- */

/* A level is an array whose state says which mipmapped array it goes with. */
CUresult
genie_exec_cuMipmappedArrayGetLevel(struct genie_session *session,
				    struct genie_args_cuMipmappedArrayGetLevel *args)
{
	uint64_t token = (uintptr_t)args->hMipmappedArray, level = (uintptr_t)*args->pLevelArray;
	struct genie_object *object;
	void *mipmap = NULL;
	CUarray array;
	CUresult status;

	status = (CUresult)genie_session_resolve(session, GENIE_KIND_MIPARRAY, token, &mipmap);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuMipmappedArrayGetLevel(&array, mipmap, args->level);
	if (status == CUDA_SUCCESS)
		status = (CUresult)genie_session_bind(session, GENIE_KIND_ARRAY, level, array);
	if (status != CUDA_SUCCESS)
		return status;
	object = genie_object_find(&session->objects, GENIE_KIND_ARRAY, level);
	if (object)
		object->state = (void *)(uintptr_t)token;
	return CUDA_SUCCESS;
}

struct ending {
	struct genie_objects *objects;
	uint64_t mipmap;
};

static void
end_level(struct genie_object *object, void *data)
{
	const struct ending *ending = data;

	if ((uintptr_t)object->state == ending->mipmap)
		genie_object_drop(ending->objects, GENIE_KIND_ARRAY, object->token);
}

CUresult
genie_exec_cuMipmappedArrayDestroy(struct genie_session *session,
				   struct genie_args_cuMipmappedArrayDestroy *args)
{
	uint64_t token = (uintptr_t)args->hMipmappedArray;
	struct ending ending = {&session->objects, token};
	void *mipmap = NULL;
	CUresult status;

	status = (CUresult)genie_session_resolve(session, GENIE_KIND_MIPARRAY, token, &mipmap);
	if (status != CUDA_SUCCESS)
		return status;
	/* the client gives the levels' names to others from now on */
	genie_object_each(&session->objects, GENIE_KIND_ARRAY, end_level, &ending);
	status = session->drv->cuMipmappedArrayDestroy(mipmap);
	genie_session_drop(session, GENIE_KIND_MIPARRAY, token);
	return status;
}

/* ---- textures and surfaces ---- */

CUresult
genie_resource_find(struct genie_session *session, CUDA_RESOURCE_DESC *desc)
{
	struct genie_object *object;
	struct genie_box box;

	switch ((int)desc->resType) {
	case CU_RESOURCE_TYPE_ARRAY:
		return array_find(session, &desc->res.array.hArray);
	case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
		object = genie_object_find(&session->objects, GENIE_KIND_MIPARRAY,
					   (uintptr_t)desc->res.mipmap.hMipmappedArray);
		if (!object)
			return CUDA_ERROR_INVALID_HANDLE;
		desc->res.mipmap.hMipmappedArray = object->handle;
		return CUDA_SUCCESS;
	case CU_RESOURCE_TYPE_LINEAR:
		return genie_address_check(session, desc->res.linear.devPtr,
					   desc->res.linear.sizeInBytes);
	case CU_RESOURCE_TYPE_PITCH2D:
		box = (struct genie_box){.width = desc->res.pitch2D.pitchInBytes,
					 .height = desc->res.pitch2D.height,
					 .depth = 1,
					 .pitch = desc->res.pitch2D.pitchInBytes};
		return genie_address_check_box(session, desc->res.pitch2D.devPtr, &box);
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
}

CUresult
genie_exec_cuTexObjectCreate(struct genie_session *session,
			     struct genie_args_cuTexObjectCreate *args)
{
	CUDA_RESOURCE_DESC desc = *args->pResDesc;
	CUtexObject object = 0;
	CUresult status;

	status = genie_resource_find(session, &desc);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuTexObjectCreate(&object, &desc, args->pTexDesc,
							 args->pResViewDesc);
	if (status != CUDA_SUCCESS)
		return status;
	*args->pTexObject = object; /* kernels get the number, so it is the client's handle too */
	return CUDA_SUCCESS;
}

CUresult
genie_exec_cuSurfObjectCreate(struct genie_session *session,
			      struct genie_args_cuSurfObjectCreate *args)
{
	CUDA_RESOURCE_DESC desc = *args->pResDesc;
	CUsurfObject object = 0;
	CUresult status;

	status = genie_resource_find(session, &desc);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuSurfObjectCreate(&object, &desc);
	if (status != CUDA_SUCCESS)
		return status;
	*args->pSurfObject = object;
	return CUDA_SUCCESS;
}
