/*
 * Texture and surface objects. A kernel gets such an object as a number, in its parameters or from
 * memory, so the number must be the driver's own: making one waits for the answer. What they were
 * made of is kept here, for whoever asks.
 */
#include "interpose/client.h"

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
	struct texture *surface;
	CUresult status;

	if (pSurfObject == NULL || pResDesc == NULL)
		return CUDA_ERROR_INVALID_VALUE;
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
