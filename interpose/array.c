/*
 * Arrays and mipmapped arrays. The client names them and keeps their descriptions, so that making
 * one is a one-way command and asking about one costs nothing.
 */
#include "interpose/array.h"
#include "interpose/refuse.h"

#include <stdlib.h>

#define MIPMAP_LEVELS_MAX 32

struct genie_mipmap {
	struct genie_object object;
	CUDA_ARRAY3D_DESCRIPTOR desc;
	unsigned int levels;
	pthread_mutex_t lock; /* guards level[] */
	struct genie_array *level[MIPMAP_LEVELS_MAX];
};

/* Bytes of one channel; 0: a format that holds no plain elements (video, block-compressed). */
static size_t
format_size(CUarray_format format)
{
	switch (format) {
	case CU_AD_FORMAT_UNSIGNED_INT8:
	case CU_AD_FORMAT_SIGNED_INT8:
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

struct genie_array *
genie_array_get(CUarray handle)
{
	return genie_object_get(GENIE_KIND_ARRAY, (uint64_t)(uintptr_t)handle);
}

size_t
genie_array_element(const struct genie_array *array)
{
	return format_size(array->desc.Format) * array->desc.NumChannels;
}

size_t
genie_array_row(const struct genie_array *array)
{
	size_t element = genie_array_element(array);

	return array->desc.Width * (element != 0 ? element : 1);
}

bool
genie_array_holds(const struct genie_array *array, const size_t origin[3], const size_t size[3])
{
	const CUDA_ARRAY3D_DESCRIPTOR *desc = &array->desc;
	size_t height = desc->Height, limits[3];

	/* The layers of a one-dimensional array are slices too. */
	limits[0] = genie_array_row(array);
	limits[1] = height != 0 ? height : 1;
	limits[2] = desc->Depth != 0 ? desc->Depth : 1;
	for (int i = 0; i < 3; i++)
		if (size[i] > limits[i] || origin[i] > limits[i] - size[i])
			return false;
	return true;
}

#define FLAGS_KNOWN                                                                                \
	(CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_SURFACE_LDST | CUDA_ARRAY3D_CUBEMAP |                 \
	 CUDA_ARRAY3D_TEXTURE_GATHER | CUDA_ARRAY3D_DEPTH_TEXTURE |                                \
	 CUDA_ARRAY3D_COLOR_ATTACHMENT | CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING |     \
	 CUDA_ARRAY3D_VIDEO_ENCODE_DECODE)

/* What a device can address, by the kind of array: attributes that limit width, height, depth. The
 * attributes of an extent are neighbours. */
static bool
extent_valid(const CUDA_ARRAY3D_DESCRIPTOR *desc, const int *attrs)
{
	bool layered = desc->Flags & CUDA_ARRAY3D_LAYERED,
	     cube = desc->Flags & CUDA_ARRAY3D_CUBEMAP;
	bool surface = desc->Flags & CUDA_ARRAY3D_SURFACE_LDST;
	size_t width = desc->Width, height = desc->Height, depth = desc->Depth;
	const int *limit;

	if (cube) {
		limit = &attrs[layered ? CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURECUBEMAP_LAYERED_WIDTH
				       : CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURECUBEMAP_WIDTH];
		return width == height && depth % 6 == 0 && depth != 0 && (layered || depth == 6) &&
		       width <= (size_t)limit[0] && (!layered || depth <= (size_t)limit[1]);
	}
	if (layered && height == 0) {
		limit = &attrs[surface ? CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE1D_LAYERED_WIDTH
				       : CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_LAYERED_WIDTH];
		return width <= (size_t)limit[0] && depth != 0 && depth <= (size_t)limit[1];
	}
	if (layered) {
		limit = &attrs[surface ? CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE2D_LAYERED_WIDTH
				       : CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_LAYERED_WIDTH];
		return width <= (size_t)limit[0] && height <= (size_t)limit[1] && depth != 0 &&
		       depth <= (size_t)limit[2];
	}
	if (depth != 0) {
		const int *other = &attrs[CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_WIDTH_ALTERNATE];

		limit = &attrs[surface ? CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE3D_WIDTH
				       : CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_WIDTH];
		return height != 0 && ((width <= (size_t)limit[0] && height <= (size_t)limit[1] &&
					depth <= (size_t)limit[2]) ||
				       (!surface && width <= (size_t)other[0] &&
					height <= (size_t)other[1] && depth <= (size_t)other[2]));
	}
	if (height != 0) {
		limit = &attrs[surface ? CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE2D_WIDTH
				       : CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_WIDTH];
		return width <= (size_t)limit[0] && height <= (size_t)limit[1];
	}
	return width <= (size_t)attrs[surface ? CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE1D_WIDTH
					      : CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_WIDTH];
}

static CUresult
desc_check(const CUDA_ARRAY3D_DESCRIPTOR *desc, const struct genie_ctx *ctx)
{
	if (desc == NULL || desc->Width == 0 || desc->Flags & ~(unsigned int)FLAGS_KNOWN ||
	    desc->Format == 0 || !extent_valid(desc, genie_client.devices[ctx->device].attrs))
		return CUDA_ERROR_INVALID_VALUE;
	if (format_size(desc->Format) == 0)
		return genie_refuse("an array of a video or compressed format",
				    "only plain elements are copied yet");
	if (desc->NumChannels != 1 && desc->NumChannels != 2 && desc->NumChannels != 4)
		return CUDA_ERROR_INVALID_VALUE;
	if (desc->Flags & (CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING))
		return genie_refuse("a sparse array", "sparse arrays come with the next release");
	return CUDA_SUCCESS;
}

/* ---- arrays ---- */

CUresult
genie_cuArray3DCreate_v2(CUarray *pHandle, const CUDA_ARRAY3D_DESCRIPTOR *pAllocateArray)
{
	struct genie_ctx *ctx = genie_ctx_home();
	struct genie_args_cuArray3DCreate_v2 args = {.pAllocateArray = pAllocateArray};
	struct genie_array *array;
	CUresult status;
	CUarray handle;

	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	status = pHandle != NULL ? desc_check(pAllocateArray, ctx) : CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS)
		status = genie_capture_forbids();
	if (status != CUDA_SUCCESS)
		return status;
	array = genie_object_new(GENIE_KIND_ARRAY, sizeof(*array), ctx);
	if (array == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	array->desc = *pAllocateArray;
	handle = (CUarray)(uintptr_t)array->object.token;
	args.pHandle = &handle;
	status = genie_call(GENIE_OP_cuArray3DCreate_v2, &args);
	if (status != CUDA_SUCCESS) {
		genie_object_free(array);
		return status;
	}
	*pHandle = handle;
	return CUDA_SUCCESS;
}

CUresult
genie_cuArrayCreate_v2(CUarray *pHandle, const CUDA_ARRAY_DESCRIPTOR *pAllocateArray)
{
	CUDA_ARRAY3D_DESCRIPTOR desc;

	if (pAllocateArray == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	desc = (CUDA_ARRAY3D_DESCRIPTOR){.Width = pAllocateArray->Width,
					 .Height = pAllocateArray->Height,
					 .Format = pAllocateArray->Format,
					 .NumChannels = pAllocateArray->NumChannels};
	return genie_cuArray3DCreate_v2(pHandle, &desc);
}

CUresult
genie_cuArrayDestroy(CUarray hArray)
{
	struct genie_array *array = genie_array_get(hArray);
	struct genie_args_cuArrayDestroy args = {.hArray = hArray};
	CUresult status;

	if (array == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (array->mipmap != NULL) /* a level goes with its array */
		return CUDA_ERROR_INVALID_VALUE;
	/* first this: another thread may get the name as soon as it is free */
	status = genie_call(GENIE_OP_cuArrayDestroy, &args);
	genie_object_free(array);
	return status;
}

CUresult
genie_cuArray3DGetDescriptor_v2(CUDA_ARRAY3D_DESCRIPTOR *pArrayDescriptor, CUarray hArray)
{
	struct genie_array *array = genie_array_get(hArray);

	if (pArrayDescriptor == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (array == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	*pArrayDescriptor = array->desc;
	return CUDA_SUCCESS;
}

CUresult
genie_cuArrayGetDescriptor_v2(CUDA_ARRAY_DESCRIPTOR *pArrayDescriptor, CUarray hArray)
{
	struct genie_array *array = genie_array_get(hArray);

	if (pArrayDescriptor == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (array == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	*pArrayDescriptor = (CUDA_ARRAY_DESCRIPTOR){.Width = array->desc.Width,
						    .Height = array->desc.Height,
						    .Format = array->desc.Format,
						    .NumChannels = array->desc.NumChannels};
	return CUDA_SUCCESS;
}

/* ---- mipmapped arrays ---- */

static struct genie_mipmap *
mipmap_get(CUmipmappedArray handle)
{
	return genie_object_get(GENIE_KIND_MIPARRAY, (uint64_t)(uintptr_t)handle);
}

/* The number of levels down to one element: more are not made. */
static unsigned int
levels_of(const CUDA_ARRAY3D_DESCRIPTOR *desc)
{
	size_t largest = desc->Width > desc->Height ? desc->Width : desc->Height;
	unsigned int levels = 1;

	if (!(desc->Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) && desc->Depth > largest)
		largest = desc->Depth;
	for (; largest > 1; largest /= 2)
		levels++;
	return levels;
}

CUresult
genie_cuMipmappedArrayCreate(CUmipmappedArray *pHandle,
			     const CUDA_ARRAY3D_DESCRIPTOR *pMipmappedArrayDesc,
			     unsigned int numMipmapLevels)
{
	struct genie_ctx *ctx = genie_ctx_home();
	struct genie_args_cuMipmappedArrayCreate args = {.pMipmappedArrayDesc = pMipmappedArrayDesc,
							 .numMipmapLevels = numMipmapLevels};
	struct genie_mipmap *mipmap;
	CUmipmappedArray handle;
	CUresult status;

	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (pHandle == NULL || numMipmapLevels == 0)
		return CUDA_ERROR_INVALID_VALUE;
	status = desc_check(pMipmappedArrayDesc, ctx);
	if (status == CUDA_SUCCESS)
		status = genie_capture_forbids();
	if (status != CUDA_SUCCESS)
		return status;
	mipmap = genie_object_new(GENIE_KIND_MIPARRAY, sizeof(*mipmap), ctx);
	if (mipmap == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	pthread_mutex_init(&mipmap->lock, NULL);
	mipmap->desc = *pMipmappedArrayDesc;
	mipmap->levels = levels_of(pMipmappedArrayDesc);
	if (numMipmapLevels < mipmap->levels)
		mipmap->levels = numMipmapLevels;
	if (mipmap->levels > MIPMAP_LEVELS_MAX)
		mipmap->levels = MIPMAP_LEVELS_MAX;
	handle = (CUmipmappedArray)(uintptr_t)mipmap->object.token;
	args.pHandle = &handle;
	status = genie_call(GENIE_OP_cuMipmappedArrayCreate, &args);
	if (status != CUDA_SUCCESS) {
		genie_object_free(mipmap);
		return status;
	}
	*pHandle = handle;
	return CUDA_SUCCESS;
}

static size_t
halve(size_t size, unsigned int times)
{
	return size == 0 ? 0 : size >> times != 0 ? size >> times : 1;
}

/* The level is made at first and remembered: asking again gives the same handle. */
static CUresult
level_make_locked(struct genie_mipmap *mipmap, unsigned int level)
{
	struct genie_args_cuMipmappedArrayGetLevel args = {
		.hMipmappedArray = (CUmipmappedArray)(uintptr_t)mipmap->object.token,
		.level = level,
	};
	struct genie_array *array =
		genie_object_new(GENIE_KIND_ARRAY, sizeof(*array), mipmap->object.ctx);
	CUresult status;
	CUarray handle;

	if (array == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	array->mipmap = mipmap;
	array->desc = mipmap->desc;
	array->desc.Width = halve(mipmap->desc.Width, level);
	array->desc.Height = halve(mipmap->desc.Height, level);
	if (!(mipmap->desc.Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)))
		array->desc.Depth = halve(mipmap->desc.Depth, level);
	handle = (CUarray)(uintptr_t)array->object.token;
	args.pLevelArray = &handle;
	status = genie_call(GENIE_OP_cuMipmappedArrayGetLevel, &args);
	if (status != CUDA_SUCCESS) {
		genie_object_free(array);
		return status;
	}
	mipmap->level[level] = array;
	return CUDA_SUCCESS;
}

CUresult
genie_cuMipmappedArrayGetLevel(CUarray *pLevelArray, CUmipmappedArray hMipmappedArray,
			       unsigned int level)
{
	struct genie_mipmap *mipmap = mipmap_get(hMipmappedArray);
	CUresult status = CUDA_SUCCESS;

	if (mipmap == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (pLevelArray == NULL || level >= mipmap->levels)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&mipmap->lock);
	if (mipmap->level[level] == NULL)
		status = level_make_locked(mipmap, level);
	if (status == CUDA_SUCCESS)
		*pLevelArray = (CUarray)(uintptr_t)mipmap->level[level]->object.token;
	pthread_mutex_unlock(&mipmap->lock);
	return status;
}

CUresult
genie_cuMipmappedArrayDestroy(CUmipmappedArray hMipmappedArray)
{
	struct genie_mipmap *mipmap = mipmap_get(hMipmappedArray);
	struct genie_args_cuMipmappedArrayDestroy args = {.hMipmappedArray = hMipmappedArray};
	CUresult status;

	if (mipmap == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	status = genie_call(GENIE_OP_cuMipmappedArrayDestroy, &args);
	for (unsigned int i = 0; i < mipmap->levels; i++) {
		if (mipmap->level[i] != NULL)
			genie_object_free(mipmap->level[i]);
	}
	pthread_mutex_destroy(&mipmap->lock);
	genie_object_free(mipmap);
	return status;
}

/*
 * Questions about arrays of kinds that cannot be made here (sparse, mapped later, of several
 * planes): the driver's answer for every other array.
 */
static CUresult
not_such_array(const void *out, CUarray array)
{
	return out == NULL || genie_array_get(array) != NULL ? CUDA_ERROR_INVALID_VALUE
							     : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult
not_such_mipmap(const void *out, CUmipmappedArray mipmap)
{
	bool known = genie_object_get(GENIE_KIND_MIPARRAY, (uint64_t)(uintptr_t)mipmap) != NULL;

	return out == NULL || known ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
}

CUresult
genie_cuArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES *sparseProperties, CUarray array)
{
	return not_such_array(sparseProperties, array);
}

CUresult
genie_cuMipmappedArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES *sparseProperties,
					  CUmipmappedArray mipmap)
{
	return not_such_mipmap(sparseProperties, mipmap);
}

CUresult
genie_cuArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS *memoryRequirements,
				   CUarray array, CUdevice device)
{
	(void)device;
	return not_such_array(memoryRequirements, array);
}

CUresult
genie_cuMipmappedArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS *memoryRequirements,
					    CUmipmappedArray mipmap, CUdevice device)
{
	(void)device;
	return not_such_mipmap(memoryRequirements, mipmap);
}

CUresult
genie_cuArrayGetPlane(CUarray *pPlaneArray, CUarray hArray, unsigned int planeIdx)
{
	(void)planeIdx;
	return not_such_array(pPlaneArray, hArray);
}
