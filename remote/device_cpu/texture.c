/*
 * Texture and surface objects. A kernel gets such an object as a number, and the PTX machine finds
 * by it what there is to read (ptx_image_bind). The numbers are names, no addresses: one that a
 * client made up is looked up and not found.
 */
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/cpu.h"

struct texture {
	struct texture *next;
	unsigned long long handle;
	bool surface, has_view;
	CUDA_RESOURCE_DESC resource;
	CUDA_TEXTURE_DESC texture;
	CUDA_RESOURCE_VIEW_DESC view;
};

/* Guards what follows. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct texture *textures;
static unsigned long long next_handle = 1;

static struct texture **
find_locked(unsigned long long handle, bool surface)
{
	struct texture **at = &textures;

	while (*at && ((*at)->handle != handle || (*at)->surface != surface))
		at = &(*at)->next;
	return at;
}

/* ---- what a description means to the PTX machine ---- */

static uint32_t
extent(size_t n)
{
	return n ? (uint32_t)n : 1;
}

/* Elements of @channels channels of @format. */
static CUresult
set_format(CUarray_format format, unsigned int channels, struct ptx_image *image,
	   size_t *ret_element)
{
	size_t channel;

	if (channels != 1 && channels != 2 && channels != 4)
		return CUDA_ERROR_INVALID_VALUE;
	if (!genie_cpu_format(format, &channel, &image->format))
		return CUDA_ERROR_INVALID_VALUE;
	image->channels = channels;
	*ret_element = channel * channels;
	return CUDA_SUCCESS;
}

static CUresult
set_array(const struct genie_cpu_array *array, struct ptx_image *image)
{
	const CUDA_ARRAY3D_DESCRIPTOR *desc = &array->desc;
	size_t element;

	if (desc->Width > UINT32_MAX || desc->Height > UINT32_MAX || desc->Depth > UINT32_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	image->data = array->data;
	image->width = extent(desc->Width);
	image->height = extent(desc->Height);
	image->depth = extent(desc->Depth);
	image->pitch = array->pitch;
	image->slice = array->slice;
	if (desc->Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) {
		image->layers = image->depth;
		image->depth = 1;
	}
	return set_format(desc->Format, desc->NumChannels, image, &element);
}

static void
set_levels(const struct genie_cpu_mipmap *mipmap, unsigned int first, unsigned int last,
	   struct ptx_image *image)
{
	for (unsigned int k = first + 1; k <= last && image->smaller_count < PTX_IMAGE_SMALLER;
	     k++) {
		struct ptx_image level = {0};

		if (set_array(mipmap->levels[k], &level) != CUDA_SUCCESS)
			return;
		image->smaller[image->smaller_count++] = (struct ptx_image_level){
			.data = level.data,
			.width = level.width,
			.height = level.height,
			.depth = level.depth,
			.pitch = level.pitch,
			.slice = level.slice,
		};
	}
}

static CUresult
set_mipmap(CUmipmappedArray handle, const CUDA_RESOURCE_VIEW_DESC *view, struct ptx_image *image)
{
	const struct genie_cpu_mipmap *mipmap = genie_cpu_mipmap_get(handle);
	unsigned int first = 0, last;
	CUresult status;

	if (!mipmap || !mipmap->count)
		return CUDA_ERROR_INVALID_VALUE;
	last = mipmap->count - 1;
	if (view) {
		first = view->firstMipmapLevel;
		if (first > last || view->lastMipmapLevel < first)
			return CUDA_ERROR_INVALID_VALUE;
		if (view->lastMipmapLevel < last)
			last = view->lastMipmapLevel;
	}
	status = set_array(mipmap->levels[first], image);
	if (status == CUDA_SUCCESS)
		set_levels(mipmap, first, last, image);
	return status;
}

static CUresult
set_linear(const CUDA_RESOURCE_DESC *resource, struct ptx_image *image)
{
	uint64_t address = resource->res.linear.devPtr;
	size_t size = resource->res.linear.sizeInBytes, element;
	CUresult status = set_format(resource->res.linear.format, resource->res.linear.numChannels,
				     image, &element);

	if (status != CUDA_SUCCESS)
		return status;
	if (!size || size / element > UINT32_MAX || !genie_cpu_accessible(address, size, false))
		return CUDA_ERROR_INVALID_VALUE;
	image->data = (void *)(uintptr_t)address;
	image->width = (uint32_t)(size / element);
	image->height = image->depth = 1;
	image->pitch = image->slice = size;
	image->buffer = 1;
	return CUDA_SUCCESS;
}

static CUresult
set_pitch(const CUDA_RESOURCE_DESC *resource, struct ptx_image *image)
{
	uint64_t address = resource->res.pitch2D.devPtr;
	size_t width = resource->res.pitch2D.width, height = resource->res.pitch2D.height;
	size_t pitch = resource->res.pitch2D.pitchInBytes, element, row, size;
	CUresult status = set_format(resource->res.pitch2D.format,
				     resource->res.pitch2D.numChannels, image, &element);

	if (status != CUDA_SUCCESS)
		return status;
	if (!width || !height || width > UINT32_MAX || height > UINT32_MAX ||
	    __builtin_mul_overflow(width, element, &row) || row > pitch ||
	    __builtin_mul_overflow(pitch, height - 1, &size) ||
	    __builtin_add_overflow(size, row, &size) || !genie_cpu_accessible(address, size, false))
		return CUDA_ERROR_INVALID_VALUE;
	image->data = (void *)(uintptr_t)address;
	image->width = (uint32_t)width;
	image->height = (uint32_t)height;
	image->depth = 1;
	image->pitch = pitch;
	image->slice = pitch * height;
	return CUDA_SUCCESS;
}

static CUresult
set_resource(const CUDA_RESOURCE_DESC *resource, const CUDA_RESOURCE_VIEW_DESC *view,
	     struct ptx_image *image)
{
	const struct genie_cpu_array *array;

	switch (resource->resType) {
	case CU_RESOURCE_TYPE_ARRAY:
		array = genie_cpu_array_get(resource->res.array.hArray);
		return array ? set_array(array, image) : CUDA_ERROR_INVALID_VALUE;
	case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
		return set_mipmap(resource->res.mipmap.hMipmappedArray, view, image);
	case CU_RESOURCE_TYPE_LINEAR:
		return set_linear(resource, image);
	case CU_RESOURCE_TYPE_PITCH2D:
		return set_pitch(resource, image);
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
}

/* How a view's format reads the elements; false: compressed ones, which this device has not. */
static bool
view_format(CUresourceViewFormat view, CUarray_format *ret_format, unsigned int *ret_channels)
{
	static const CUarray_format formats[] = {
		CU_AD_FORMAT_UNSIGNED_INT8,  CU_AD_FORMAT_SIGNED_INT8,
		CU_AD_FORMAT_UNSIGNED_INT16, CU_AD_FORMAT_SIGNED_INT16,
		CU_AD_FORMAT_UNSIGNED_INT32, CU_AD_FORMAT_SIGNED_INT32,
		CU_AD_FORMAT_HALF,           CU_AD_FORMAT_FLOAT,
	};
	/* three formats each, with one, two and four channels */
	unsigned int n = (unsigned int)view - CU_RES_VIEW_FORMAT_UINT_1X8;

	if (n / 3 >= sizeof(formats) / sizeof(formats[0]))
		return false;
	*ret_format = formats[n / 3];
	*ret_channels = 1u << n % 3;
	return true;
}

static CUresult
set_view(const CUDA_RESOURCE_VIEW_DESC *view, struct ptx_image *image)
{
	if (view->format != CU_RES_VIEW_FORMAT_NONE) {
		size_t before = ptx_image_element_size(image), after;
		unsigned int channels;
		CUarray_format format;
		CUresult status;

		if (!view_format(view->format, &format, &channels))
			return CUDA_ERROR_NOT_SUPPORTED;
		status = set_format(format, channels, image, &after);
		if (status != CUDA_SUCCESS)
			return status;
		if (before != after)
			return CUDA_ERROR_INVALID_VALUE;
	}
	if (image->layers && (view->firstLayer || view->lastLayer)) {
		uint32_t first = view->firstLayer, last = view->lastLayer;

		if (first > last || last >= image->layers)
			return CUDA_ERROR_INVALID_VALUE;
		image->data = (uint8_t *)image->data + first * image->slice;
		for (uint32_t k = 0; k < image->smaller_count; k++)
			image->smaller[k].data =
				(uint8_t *)image->smaller[k].data + first * image->smaller[k].slice;
		image->layers = last - first + 1;
	}
	return CUDA_SUCCESS;
}

static CUresult
set_sampler(const CUDA_TEXTURE_DESC *desc, struct ptx_image *image)
{
	for (int axis = 0; axis < 3; axis++) {
		if ((unsigned int)desc->addressMode[axis] > CU_TR_ADDRESS_MODE_BORDER)
			return CUDA_ERROR_INVALID_VALUE;
		image->address[axis] = (enum ptx_image_address)desc->addressMode[axis];
	}
	image->read_as_float = !(desc->flags & CU_TRSF_READ_AS_INTEGER);
	image->normalized = (desc->flags & CU_TRSF_NORMALIZED_COORDINATES) != 0;
	image->srgb = (desc->flags & CU_TRSF_SRGB) != 0;
	image->seamless = (desc->flags & CU_TRSF_SEAMLESS_CUBEMAP) != 0;
	image->linear = desc->filterMode == CU_TR_FILTER_MODE_LINEAR;
	image->level_linear = desc->mipmapFilterMode == CU_TR_FILTER_MODE_LINEAR;
	image->level_bias = desc->mipmapLevelBias;
	image->level_min = desc->minMipmapLevelClamp;
	image->level_max = desc->maxMipmapLevelClamp;
	memcpy(image->border, desc->borderColor, sizeof(image->border));
	return CUDA_SUCCESS;
}

/* ---- objects ---- */

/* Textures have a @desc, surfaces none. */
static CUresult
texture_new(const CUDA_RESOURCE_DESC *resource, const CUDA_TEXTURE_DESC *desc,
	    const CUDA_RESOURCE_VIEW_DESC *view, unsigned long long *ret_handle)
{
	struct ptx_image image = {0};
	struct texture *texture;
	CUresult status = genie_cpu_check();

	if (status == CUDA_SUCCESS)
		status = resource ? set_resource(resource, view, &image) : CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS && view)
		status = set_view(view, &image);
	if (status == CUDA_SUCCESS && desc)
		status = set_sampler(desc, &image);
	if (status != CUDA_SUCCESS)
		return status;
	texture = calloc(1, sizeof(*texture));
	if (!texture)
		return CUDA_ERROR_OUT_OF_MEMORY;
	texture->surface = !desc;
	texture->resource = *resource;
	if (desc)
		texture->texture = *desc;
	if (view)
		texture->view = *view;
	texture->has_view = view != NULL;
	pthread_mutex_lock(&lock);
	texture->handle = next_handle++;
	if (ptx_image_bind(texture->handle, &image) < 0) {
		pthread_mutex_unlock(&lock);
		free(texture);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	texture->next = textures;
	textures = texture;
	*ret_handle = texture->handle;
	pthread_mutex_unlock(&lock);
	return CUDA_SUCCESS;
}

static CUresult
texture_delete(unsigned long long handle, bool surface)
{
	struct texture **at, *texture;

	pthread_mutex_lock(&lock);
	at = find_locked(handle, surface);
	texture = *at;
	if (texture) {
		*at = texture->next;
		ptx_image_unbind(handle);
	}
	pthread_mutex_unlock(&lock);
	free(texture);
	return texture ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* A copy of what it was made of. */
static CUresult
texture_get(unsigned long long handle, bool surface, struct texture *ret_texture)
{
	const struct texture *texture;

	pthread_mutex_lock(&lock);
	texture = *find_locked(handle, surface);
	if (texture)
		*ret_texture = *texture;
	pthread_mutex_unlock(&lock);
	return texture ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult
cpu_cuTexObjectCreate(CUtexObject *ret_texture, const CUDA_RESOURCE_DESC *resource,
		      const CUDA_TEXTURE_DESC *desc, const CUDA_RESOURCE_VIEW_DESC *view)
{
	if (!desc)
		return CUDA_ERROR_INVALID_VALUE;
	return texture_new(resource, desc, view, ret_texture);
}

static CUresult
cpu_cuTexObjectDestroy(CUtexObject handle)
{
	return texture_delete(handle, false);
}

static CUresult
cpu_cuTexObjectGetResourceDesc(CUDA_RESOURCE_DESC *desc, CUtexObject handle)
{
	struct texture texture;
	CUresult status = texture_get(handle, false, &texture);

	if (status == CUDA_SUCCESS)
		*desc = texture.resource;
	return status;
}

static CUresult
cpu_cuTexObjectGetTextureDesc(CUDA_TEXTURE_DESC *desc, CUtexObject handle)
{
	struct texture texture;
	CUresult status = texture_get(handle, false, &texture);

	if (status == CUDA_SUCCESS)
		*desc = texture.texture;
	return status;
}

static CUresult
cpu_cuTexObjectGetResourceViewDesc(CUDA_RESOURCE_VIEW_DESC *desc, CUtexObject handle)
{
	struct texture texture;
	CUresult status = texture_get(handle, false, &texture);

	if (status == CUDA_SUCCESS && !texture.has_view)
		status = CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS)
		*desc = texture.view;
	return status;
}

static CUresult
cpu_cuSurfObjectCreate(CUsurfObject *ret_surface, const CUDA_RESOURCE_DESC *resource)
{
	const struct genie_cpu_array *array;

	if (!resource || resource->resType != CU_RESOURCE_TYPE_ARRAY)
		return CUDA_ERROR_INVALID_VALUE;
	array = genie_cpu_array_get(resource->res.array.hArray);
	if (!array)
		return CUDA_ERROR_INVALID_VALUE;
	return texture_new(resource, NULL, NULL, ret_surface);
}

static CUresult
cpu_cuSurfObjectDestroy(CUsurfObject handle)
{
	return texture_delete(handle, true);
}

static CUresult
cpu_cuSurfObjectGetResourceDesc(CUDA_RESOURCE_DESC *desc, CUsurfObject handle)
{
	struct texture texture;
	CUresult status = texture_get(handle, true, &texture);

	if (status == CUDA_SUCCESS)
		*desc = texture.resource;
	return status;
}

CUresult
genie_cpu_texture_new(const CUDA_RESOURCE_DESC *resource, const CUDA_TEXTURE_DESC *desc,
		      unsigned long long *ret_handle)
{
	return cpu_cuTexObjectCreate(ret_handle, resource, desc, NULL);
}

CUresult
genie_cpu_surface_new(const CUDA_RESOURCE_DESC *resource, unsigned long long *ret_handle)
{
	return cpu_cuSurfObjectCreate(ret_handle, resource);
}

void
genie_cpu_texture_delete(unsigned long long handle)
{
	(void)texture_delete(handle, false);
}

void
genie_cpu_surface_delete(unsigned long long handle)
{
	(void)texture_delete(handle, true);
}

void
genie_cpu_fill_texture(struct genie_driver *drv)
{
	drv->cuTexObjectCreate = cpu_cuTexObjectCreate;
	drv->cuTexObjectDestroy = cpu_cuTexObjectDestroy;
	drv->cuTexObjectGetResourceDesc = cpu_cuTexObjectGetResourceDesc;
	drv->cuTexObjectGetTextureDesc = cpu_cuTexObjectGetTextureDesc;
	drv->cuTexObjectGetResourceViewDesc = cpu_cuTexObjectGetResourceViewDesc;
	drv->cuSurfObjectCreate = cpu_cuSurfObjectCreate;
	drv->cuSurfObjectDestroy = cpu_cuSurfObjectDestroy;
	drv->cuSurfObjectGetResourceDesc = cpu_cuSurfObjectGetResourceDesc;
}
