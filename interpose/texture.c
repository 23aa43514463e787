/*
 * Texture and surface objects. A kernel gets such an object as a number, in its parameters or from
 * memory, so the number must be the driver's own: making one waits for the answer. What they were
 * made of is kept here, for whoever asks.
 */
#include "interpose/array.h"
#include "interpose/memory.h"

#include <stdlib.h>

struct texture {
	struct texture *next;
	bool surface;
	unsigned long long value;
	CUDA_RESOURCE_DESC resource;
	CUDA_TEXTURE_DESC texture;
	CUDA_RESOURCE_VIEW_DESC view;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards textures */
static struct texture *textures;

static void
texture_add(struct texture *texture)
{
	pthread_mutex_lock(&lock);
	texture->next = textures;
	textures = texture;
	pthread_mutex_unlock(&lock);
}

/* A copy of what is known; false: there is no such object. */
static bool
texture_find(bool surface, unsigned long long value, struct texture *ret_texture)
{
	const struct texture *texture;

	pthread_mutex_lock(&lock);
	texture = textures;
	while (texture != NULL && (texture->surface != surface || texture->value != value))
		texture = texture->next;
	if (texture != NULL)
		*ret_texture = *texture;
	pthread_mutex_unlock(&lock);
	return texture != NULL;
}

static bool
texture_remove(bool surface, unsigned long long value)
{
	struct texture **at = &textures;
	struct texture *texture;

	pthread_mutex_lock(&lock);
	while (*at != NULL && ((*at)->surface != surface || (*at)->value != value))
		at = &(*at)->next;
	texture = *at;
	if (texture != NULL)
		*at = texture->next;
	pthread_mutex_unlock(&lock);
	free(texture);
	return texture != NULL;
}

/* ---- what the device cannot bind ---- */

static CUresult
linear_check(CUdeviceptr addr, size_t size, size_t pitch)
{
	const struct genie_ctx *ctx = genie_ctx_current();
	const int *attrs;
	struct genie_mem mem;

	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	attrs = genie_client.devices[ctx->device].attrs;
	if (addr % (unsigned int)attrs[CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT] != 0 ||
	    pitch % (unsigned int)attrs[CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT] != 0 ||
	    !genie_mem_find(addr, &mem))
		return CUDA_ERROR_INVALID_VALUE;
	return genie_mem_check_range(&mem, addr, size);
}

static CUresult
resource_check(const CUDA_RESOURCE_DESC *desc)
{
	size_t rows;

	switch (desc->resType) {
	case CU_RESOURCE_TYPE_LINEAR:
		return linear_check(desc->res.linear.devPtr, desc->res.linear.sizeInBytes, 0);
	case CU_RESOURCE_TYPE_PITCH2D:
		if (desc->res.pitch2D.height == 0 ||
		    __builtin_mul_overflow(desc->res.pitch2D.pitchInBytes,
					   desc->res.pitch2D.height - 1, &rows))
			return CUDA_ERROR_INVALID_VALUE;
		return linear_check(desc->res.pitch2D.devPtr, rows, desc->res.pitch2D.pitchInBytes);
	default:
		return CUDA_SUCCESS;
	}
}

/* ---- textures ---- */

CUresult
genie_cuTexObjectCreate(CUtexObject *pTexObject, const CUDA_RESOURCE_DESC *pResDesc,
			const CUDA_TEXTURE_DESC *pTexDesc,
			const CUDA_RESOURCE_VIEW_DESC *pResViewDesc)
{
	struct genie_args_cuTexObjectCreate args = {
		.pResDesc = pResDesc, .pTexDesc = pTexDesc, .pResViewDesc = pResViewDesc};
	struct texture *texture;
	CUresult status;

	if (pTexObject == NULL || pResDesc == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	status = resource_check(pResDesc);
	if (status != CUDA_SUCCESS)
		return status;
	texture = calloc(1, sizeof(*texture));
	if (texture == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	args.pTexObject = &texture->value;
	status = genie_call(GENIE_OP_cuTexObjectCreate, &args);
	if (status != CUDA_SUCCESS) {
		free(texture);
		return status;
	}
	*pTexObject = texture->value;
	texture->resource = *pResDesc;
	if (pTexDesc != NULL)
		texture->texture = *pTexDesc;
	if (pResViewDesc != NULL)
		texture->view = *pResViewDesc;
	texture_add(texture);
	return CUDA_SUCCESS;
}

CUresult
genie_cuTexObjectDestroy(CUtexObject texObject)
{
	struct genie_args_cuTexObjectDestroy args = {.texObject = texObject};

	if (texObject == 0)
		return CUDA_SUCCESS;
	if (!texture_remove(false, texObject))
		return CUDA_ERROR_INVALID_VALUE;
	return genie_call(GENIE_OP_cuTexObjectDestroy, &args);
}

CUresult
genie_cuTexObjectGetResourceDesc(CUDA_RESOURCE_DESC *pResDesc, CUtexObject texObject)
{
	struct texture texture;

	if (pResDesc == NULL || !texture_find(false, texObject, &texture))
		return CUDA_ERROR_INVALID_VALUE;
	*pResDesc = texture.resource;
	return CUDA_SUCCESS;
}

CUresult
genie_cuTexObjectGetTextureDesc(CUDA_TEXTURE_DESC *pTexDesc, CUtexObject texObject)
{
	struct texture texture;

	if (pTexDesc == NULL || !texture_find(false, texObject, &texture))
		return CUDA_ERROR_INVALID_VALUE;
	*pTexDesc = texture.texture;
	return CUDA_SUCCESS;
}

CUresult
genie_cuTexObjectGetResourceViewDesc(CUDA_RESOURCE_VIEW_DESC *pResViewDesc, CUtexObject texObject)
{
	struct texture texture;

	if (pResViewDesc == NULL || !texture_find(false, texObject, &texture))
		return CUDA_ERROR_INVALID_VALUE;
	*pResViewDesc = texture.view;
	return CUDA_SUCCESS;
}

/* ---- surfaces ---- */

CUresult
genie_cuSurfObjectCreate(CUsurfObject *pSurfObject, const CUDA_RESOURCE_DESC *pResDesc)
{
	struct genie_args_cuSurfObjectCreate args = {.pResDesc = pResDesc};
	const struct genie_array *array;
	struct texture *surface;
	CUresult status;

	if (pSurfObject == NULL || pResDesc == NULL || pResDesc->resType != CU_RESOURCE_TYPE_ARRAY)
		return CUDA_ERROR_INVALID_VALUE;
	array = genie_array_get(pResDesc->res.array.hArray);
	if (array == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	/* The driver takes arrays without CUDA_ARRAY3D_SURFACE_LDST, too (measured, 580). */
	surface = calloc(1, sizeof(*surface));
	if (surface == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	args.pSurfObject = &surface->value;
	status = genie_call(GENIE_OP_cuSurfObjectCreate, &args);
	if (status != CUDA_SUCCESS) {
		free(surface);
		return status;
	}
	*pSurfObject = surface->value;
	surface->surface = true;
	surface->resource = *pResDesc;
	texture_add(surface);
	return CUDA_SUCCESS;
}

CUresult
genie_cuSurfObjectDestroy(CUsurfObject surfObject)
{
	struct genie_args_cuSurfObjectDestroy args = {.surfObject = surfObject};

	if (surfObject == 0)
		return CUDA_SUCCESS;
	if (!texture_remove(true, surfObject))
		return CUDA_ERROR_INVALID_VALUE;
	return genie_call(GENIE_OP_cuSurfObjectDestroy, &args);
}

CUresult
genie_cuSurfObjectGetResourceDesc(CUDA_RESOURCE_DESC *pResDesc, CUsurfObject surfObject)
{
	struct texture surface;

	if (pResDesc == NULL || !texture_find(true, surfObject, &surface))
		return CUDA_ERROR_INVALID_VALUE;
	*pResDesc = surface.resource;
	return CUDA_SUCCESS;
}
