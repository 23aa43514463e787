/* Arrays and mipmaps: plain memory, rows tightly packed. */
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/cpu.h"

bool
genie_cpu_format(CUarray_format format, size_t *ret_size, enum ptx_image_format *ret_format)
{
	static const struct {
		CUarray_format format;
		uint8_t size;
		enum ptx_image_format image;
	} formats[] = {
		{CU_AD_FORMAT_UNSIGNED_INT8, 1, PTX_IMAGE_U8},
		{CU_AD_FORMAT_SIGNED_INT8, 1, PTX_IMAGE_S8},
		{CU_AD_FORMAT_UNSIGNED_INT16, 2, PTX_IMAGE_U16},
		{CU_AD_FORMAT_SIGNED_INT16, 2, PTX_IMAGE_S16},
		{CU_AD_FORMAT_UNSIGNED_INT32, 4, PTX_IMAGE_U32},
		{CU_AD_FORMAT_SIGNED_INT32, 4, PTX_IMAGE_S32},
		{CU_AD_FORMAT_HALF, 2, PTX_IMAGE_F16},
		{CU_AD_FORMAT_FLOAT, 4, PTX_IMAGE_F32},
	};

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (formats[i].format != format)
			continue;
		*ret_size = formats[i].size;
		*ret_format = formats[i].image;
		return true;
	}
	return false;
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
	enum ptx_image_format format;
	size_t channel;

	if (!desc || !desc->Width ||
	    (desc->NumChannels != 1 && desc->NumChannels != 2 && desc->NumChannels != 4))
		return CUDA_ERROR_INVALID_VALUE;
	if (!genie_cpu_format(desc->Format, &channel, &format))
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
	if (genie_cpu_check_device(dev) != CUDA_SUCCESS)
		return CUDA_ERROR_INVALID_DEVICE;
	*requirements = (CUDA_ARRAY_MEMORY_REQUIREMENTS){.size = array->size, .alignment = 512};
	return CUDA_SUCCESS;
}

struct genie_cpu_mipmap *
genie_cpu_mipmap_get(CUmipmappedArray handle)
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
	while (mipmap->count < levels && mipmap->count < GENIE_CPU_LEVELS_MAX) {
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
	struct genie_cpu_mipmap *mipmap = genie_cpu_mipmap_get(handle);

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
	struct genie_cpu_mipmap *mipmap = genie_cpu_mipmap_get(handle);

	if (!mipmap)
		return CUDA_ERROR_INVALID_HANDLE;
	mipmap_delete(mipmap);
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
}
