/* Arrays and mipmaps (plain memory, rows tightly packed), texture and surface objects. */
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/cpu.h"

#define LEVELS_MAX 32

struct genie_cpu_mipmap {
	uint32_t magic;
	unsigned int count;
	struct genie_cpu_array *levels[LEVELS_MAX];
};

struct texture {
	uint32_t magic;
	bool has_view;
	CUDA_RESOURCE_DESC resource;
	CUDA_TEXTURE_DESC texture;
	CUDA_RESOURCE_VIEW_DESC view;
};

/* Bytes of one channel; 0: a format this device does not have. */
static size_t
channel_size(CUarray_format format)
{
	switch ((int)format) {
	case CU_AD_FORMAT_UNSIGNED_INT8:
	case CU_AD_FORMAT_SIGNED_INT8:
	case CU_AD_FORMAT_UNORM_INT8X1:
	case CU_AD_FORMAT_SNORM_INT8X1:
		return 1;
	case CU_AD_FORMAT_UNSIGNED_INT16:
	case CU_AD_FORMAT_SIGNED_INT16:
	case CU_AD_FORMAT_HALF:
		return 2;
	case CU_AD_FORMAT_UNSIGNED_INT32:
	case CU_AD_FORMAT_SIGNED_INT32:
	case CU_AD_FORMAT_FLOAT:
		return 4;
	default:
		return 0;
	}
}

static size_t
at_least_one(size_t n)
{
	return n ? n : 1;
}

static CUresult
array_new(const CUDA_ARRAY3D_DESCRIPTOR *desc, struct genie_cpu_array **ret_array)
{
	struct genie_cpu_array *array;
	size_t channel;

	if (!desc || !desc->Width ||
	    (desc->NumChannels != 1 && desc->NumChannels != 2 && desc->NumChannels != 4))
		return CUDA_ERROR_INVALID_VALUE;
	channel = channel_size(desc->Format);
	if (!channel)
		return CUDA_ERROR_INVALID_VALUE;
	if (desc->Flags & CUDA_ARRAY3D_CUBEMAP &&
	    (desc->Width != desc->Height || !desc->Depth || desc->Depth % 6))
		return CUDA_ERROR_INVALID_VALUE;
	array = calloc(1, sizeof(*array));
	if (!array)
		return CUDA_ERROR_OUT_OF_MEMORY;
	array->magic = GENIE_CPU_ARRAY;
	array->desc = *desc;
	array->element = channel * desc->NumChannels;
	if (__builtin_mul_overflow(array->element, desc->Width, &array->pitch) ||
	    __builtin_mul_overflow(array->pitch, at_least_one(desc->Height), &array->slice) ||
	    __builtin_mul_overflow(array->slice, at_least_one(desc->Depth), &array->size)) {
		free(array);
		return CUDA_ERROR_INVALID_VALUE;
	}
	array->data = genie_cpu_alloc(array->size);
	if (!array->data) {
		free(array);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	*ret_array = array;
	return CUDA_SUCCESS;
}

static void
array_delete(struct genie_cpu_array *array)
{
	array->magic = 0;
	genie_cpu_free(array->data);
	free(array);
}

struct genie_cpu_array *
genie_cpu_array_get(CUarray handle)
{
	return genie_cpu_is((void *)handle, GENIE_CPU_ARRAY) ? (struct genie_cpu_array *)handle
							     : NULL;
}

static CUresult
cpu_cuArray3DCreate_v2(CUarray *ret_array, const CUDA_ARRAY3D_DESCRIPTOR *desc)
{
	struct genie_cpu_array *array;
	CUresult status = genie_cpu_check();

	if (status == CUDA_SUCCESS)
		status = array_new(desc, &array);
	if (status == CUDA_SUCCESS)
		*ret_array = (CUarray)array;
	return status;
}

static CUresult
cpu_cuArrayCreate_v2(CUarray *ret_array, const CUDA_ARRAY_DESCRIPTOR *desc)
{
	CUDA_ARRAY3D_DESCRIPTOR desc3 = {0};

	if (!desc)
		return CUDA_ERROR_INVALID_VALUE;
	desc3.Width = desc->Width;
	desc3.Height = desc->Height;
	desc3.Format = desc->Format;
	desc3.NumChannels = desc->NumChannels;
	return cpu_cuArray3DCreate_v2(ret_array, &desc3);
}

static CUresult
cpu_cuArray3DGetDescriptor_v2(CUDA_ARRAY3D_DESCRIPTOR *desc, CUarray handle)
{
	struct genie_cpu_array *array = genie_cpu_array_get(handle);

	if (!array)
		return CUDA_ERROR_INVALID_HANDLE;
	*desc = array->desc;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuArrayGetDescriptor_v2(CUDA_ARRAY_DESCRIPTOR *desc, CUarray handle)
{
	struct genie_cpu_array *array = genie_cpu_array_get(handle);

	if (!array)
		return CUDA_ERROR_INVALID_HANDLE;
	desc->Width = array->desc.Width;
	desc->Height = array->desc.Height;
	desc->Format = array->desc.Format;
	desc->NumChannels = array->desc.NumChannels;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuArrayDestroy(CUarray handle)
{
	struct genie_cpu_array *array = genie_cpu_array_get(handle);

	if (!array || array->mipmap)
		return CUDA_ERROR_INVALID_HANDLE;
	array_delete(array);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS *requirements, CUarray handle,
				 CUdevice dev)
{
	struct genie_cpu_array *array = genie_cpu_array_get(handle);

	if (!array)
		return CUDA_ERROR_INVALID_HANDLE;
	if (dev != 0)
		return CUDA_ERROR_INVALID_DEVICE;
	*requirements = (CUDA_ARRAY_MEMORY_REQUIREMENTS){.size = array->size, .alignment = 512};
	return CUDA_SUCCESS;
}

static struct genie_cpu_mipmap *
get_mipmap(CUmipmappedArray handle)
{
	return genie_cpu_is((void *)handle, GENIE_CPU_MIPMAP) ? (struct genie_cpu_mipmap *)handle
							      : NULL;
}

static void
mipmap_delete(struct genie_cpu_mipmap *mipmap)
{
	mipmap->magic = 0;
	for (unsigned int i = 0; i < mipmap->count; i++)
		array_delete(mipmap->levels[i]);
	free(mipmap);
}

static size_t
half(size_t n)
{
	return n > 1 ? n / 2 : n;
}

static CUresult
cpu_cuMipmappedArrayCreate(CUmipmappedArray *ret_mipmap, const CUDA_ARRAY3D_DESCRIPTOR *desc,
			   unsigned int levels)
{
	CUDA_ARRAY3D_DESCRIPTOR level;
	struct genie_cpu_mipmap *mipmap;
	CUresult status = genie_cpu_check();
	bool layered;

	if (status != CUDA_SUCCESS)
		return status;
	if (!desc || !levels)
		return CUDA_ERROR_INVALID_VALUE;
	level = *desc;
	layered = desc->Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP);
	mipmap = calloc(1, sizeof(*mipmap));
	if (!mipmap)
		return CUDA_ERROR_OUT_OF_MEMORY;
	mipmap->magic = GENIE_CPU_MIPMAP;
	while (mipmap->count < levels && mipmap->count < LEVELS_MAX) {
		struct genie_cpu_array *array;

		status = array_new(&level, &array);
		if (status != CUDA_SUCCESS) {
			mipmap_delete(mipmap);
			return status;
		}
		array->mipmap = mipmap;
		mipmap->levels[mipmap->count++] = array;
		/* the chain ends with a single element, however many levels were asked for */
		if (level.Width <= 1 && level.Height <= 1 && (layered || level.Depth <= 1))
			break;
		level.Width = half(level.Width);
		level.Height = half(level.Height);
		if (!layered)
			level.Depth = half(level.Depth);
	}
	*ret_mipmap = (CUmipmappedArray)mipmap;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuMipmappedArrayGetLevel(CUarray *ret_array, CUmipmappedArray handle, unsigned int level)
{
	struct genie_cpu_mipmap *mipmap = get_mipmap(handle);

	if (!mipmap)
		return CUDA_ERROR_INVALID_HANDLE;
	if (level >= mipmap->count)
		return CUDA_ERROR_INVALID_VALUE;
	*ret_array = (CUarray)mipmap->levels[level];
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuMipmappedArrayDestroy(CUmipmappedArray handle)
{
	struct genie_cpu_mipmap *mipmap = get_mipmap(handle);

	if (!mipmap)
		return CUDA_ERROR_INVALID_HANDLE;
	mipmap_delete(mipmap);
	return CUDA_SUCCESS;
}

/* Does the description name something that exists? */
static bool
resource_exists(const CUDA_RESOURCE_DESC *resource)
{
	switch (resource->resType) {
	case CU_RESOURCE_TYPE_ARRAY:
		return genie_cpu_array_get(resource->res.array.hArray) != NULL;
	case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
		return get_mipmap(resource->res.mipmap.hMipmappedArray) != NULL;
	case CU_RESOURCE_TYPE_LINEAR:
		return genie_cpu_accessible(resource->res.linear.devPtr,
					    resource->res.linear.sizeInBytes, false);
	case CU_RESOURCE_TYPE_PITCH2D:
		return genie_cpu_accessible(resource->res.pitch2D.devPtr, 1, false);
	default:
		return false;
	}
}

static struct texture *
get_texture(unsigned long long handle, enum genie_cpu_magic magic)
{
	return genie_cpu_is((void *)handle, magic) ? (struct texture *)handle : NULL;
}

static CUresult
texture_new(enum genie_cpu_magic magic, const CUDA_RESOURCE_DESC *resource,
	    const CUDA_TEXTURE_DESC *desc, const CUDA_RESOURCE_VIEW_DESC *view,
	    unsigned long long *ret_handle)
{
	struct texture *texture;
	CUresult status = genie_cpu_check();

	if (status != CUDA_SUCCESS)
		return status;
	if (!resource || !resource_exists(resource))
		return CUDA_ERROR_INVALID_VALUE;
	texture = calloc(1, sizeof(*texture));
	if (!texture)
		return CUDA_ERROR_OUT_OF_MEMORY;
	texture->magic = magic;
	texture->resource = *resource;
	if (desc)
		texture->texture = *desc;
	if (view)
		texture->view = *view;
	texture->has_view = view != NULL;
	*ret_handle = (unsigned long long)texture;
	return CUDA_SUCCESS;
}

static CUresult
texture_delete(unsigned long long handle, enum genie_cpu_magic magic)
{
	struct texture *texture = get_texture(handle, magic);

	if (!texture)
		return CUDA_ERROR_INVALID_VALUE;
	texture->magic = 0;
	free(texture);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuTexObjectCreate(CUtexObject *ret_texture, const CUDA_RESOURCE_DESC *resource,
		      const CUDA_TEXTURE_DESC *desc, const CUDA_RESOURCE_VIEW_DESC *view)
{
	if (!desc)
		return CUDA_ERROR_INVALID_VALUE;
	return texture_new(GENIE_CPU_TEXTURE, resource, desc, view, ret_texture);
}

static CUresult
cpu_cuTexObjectDestroy(CUtexObject handle)
{
	return texture_delete(handle, GENIE_CPU_TEXTURE);
}

static CUresult
cpu_cuTexObjectGetResourceDesc(CUDA_RESOURCE_DESC *desc, CUtexObject handle)
{
	struct texture *texture = get_texture(handle, GENIE_CPU_TEXTURE);

	if (!texture)
		return CUDA_ERROR_INVALID_VALUE;
	*desc = texture->resource;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuTexObjectGetTextureDesc(CUDA_TEXTURE_DESC *desc, CUtexObject handle)
{
	struct texture *texture = get_texture(handle, GENIE_CPU_TEXTURE);

	if (!texture)
		return CUDA_ERROR_INVALID_VALUE;
	*desc = texture->texture;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuTexObjectGetResourceViewDesc(CUDA_RESOURCE_VIEW_DESC *desc, CUtexObject handle)
{
	struct texture *texture = get_texture(handle, GENIE_CPU_TEXTURE);

	if (!texture || !texture->has_view)
		return CUDA_ERROR_INVALID_VALUE;
	*desc = texture->view;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuSurfObjectCreate(CUsurfObject *ret_surface, const CUDA_RESOURCE_DESC *resource)
{
	if (!resource || resource->resType != CU_RESOURCE_TYPE_ARRAY)
		return CUDA_ERROR_INVALID_VALUE;
	return texture_new(GENIE_CPU_SURFACE, resource, NULL, NULL, ret_surface);
}

static CUresult
cpu_cuSurfObjectDestroy(CUsurfObject handle)
{
	return texture_delete(handle, GENIE_CPU_SURFACE);
}

static CUresult
cpu_cuSurfObjectGetResourceDesc(CUDA_RESOURCE_DESC *desc, CUsurfObject handle)
{
	struct texture *surface = get_texture(handle, GENIE_CPU_SURFACE);

	if (!surface)
		return CUDA_ERROR_INVALID_VALUE;
	*desc = surface->resource;
	return CUDA_SUCCESS;
}

void
genie_cpu_fill_array(struct genie_driver *drv)
{
	drv->cuArrayCreate_v2 = cpu_cuArrayCreate_v2;
	drv->cuArray3DCreate_v2 = cpu_cuArray3DCreate_v2;
	drv->cuArrayGetDescriptor_v2 = cpu_cuArrayGetDescriptor_v2;
	drv->cuArray3DGetDescriptor_v2 = cpu_cuArray3DGetDescriptor_v2;
	drv->cuArrayDestroy = cpu_cuArrayDestroy;
	drv->cuArrayGetMemoryRequirements = cpu_cuArrayGetMemoryRequirements;
	drv->cuMipmappedArrayCreate = cpu_cuMipmappedArrayCreate;
	drv->cuMipmappedArrayGetLevel = cpu_cuMipmappedArrayGetLevel;
	drv->cuMipmappedArrayDestroy = cpu_cuMipmappedArrayDestroy;
	drv->cuTexObjectCreate = cpu_cuTexObjectCreate;
	drv->cuTexObjectDestroy = cpu_cuTexObjectDestroy;
	drv->cuTexObjectGetResourceDesc = cpu_cuTexObjectGetResourceDesc;
	drv->cuTexObjectGetTextureDesc = cpu_cuTexObjectGetTextureDesc;
	drv->cuTexObjectGetResourceViewDesc = cpu_cuTexObjectGetResourceViewDesc;
	drv->cuSurfObjectCreate = cpu_cuSurfObjectCreate;
	drv->cuSurfObjectDestroy = cpu_cuSurfObjectDestroy;
	drv->cuSurfObjectGetResourceDesc = cpu_cuSurfObjectGetResourceDesc;
}
