/*
 * Texture and surface references, which CUDA 12 removed and programs of CUDA 11 still use. All of a
 * reference is kept here; whatever changes while it is bound is sent as a whole, ahead of the
 * launches that come after (genieTexRefBind).
 *
 * Who uses one reference from two threads at a time has a race natively too: there is no lock but
 * the module's, for the list.
 */
#include <stdlib.h>
#include <string.h>

#include "interpose/array.h"
#include "interpose/kernel.h"

struct genie_texref {
	struct genie_object object;
	struct genie_texref *next;   /* of the same module */
	struct genie_module *module; /* NULL: made by cuTexRefCreate */
	bool bound;
	CUarray_format format;
	unsigned int channels;
	CUDA_TEXTURE_DESC texture;
	CUDA_RESOURCE_DESC resource;
	size_t offset; /* of linear memory: what was asked for lies behind the aligned address */
	char name[];
};

static struct genie_texref *
texref_get(const void *handle, bool surface)
{
	return genie_object_get(surface ? GENIE_KIND_SURFREF : GENIE_KIND_TEXREF,
				(uint64_t)(uintptr_t)handle);
}

static struct genie_texref *
texref_new(enum genie_kind kind, struct genie_ctx *ctx, const char *name)
{
	struct genie_texref *ref =
		genie_object_new(kind, sizeof(struct genie_texref) + strlen(name) + 1, ctx);

	if (ref == NULL)
		return NULL;
	ref->format = CU_AD_FORMAT_FLOAT;
	ref->channels = 1;
	for (int axis = 0; axis < 3; axis++)
		ref->texture.addressMode[axis] = CU_TR_ADDRESS_MODE_CLAMP;
	strcpy(ref->name, name);
	return ref;
}

void
genie_texref_free_module(struct genie_module *module)
{
	struct genie_texref *ref;

	while ((ref = module->references) != NULL) {
		module->references = ref->next;
		genie_object_free(ref);
	}
}

void
genie_texref_forget_locked(struct genie_module *module)
{
	/* What they were bound to has gone with the context. */
	for (struct genie_texref *ref = module->references; ref != NULL; ref = ref->next)
		ref->bound = false;
}

/* ---- finding them in a module ---- */

static CUresult
module_reference_locked(struct genie_module *module, enum genie_kind kind, const char *name,
			struct genie_texref **ret_ref)
{
	struct genie_args_genieTexRefFind args = {
		.module = (CUmodule)(uintptr_t)module->object.token,
		.name = name,
		.surface = kind == GENIE_KIND_SURFREF,
	};
	struct genie_texref *ref = module->references;
	CUresult status;

	while (ref != NULL &&
	       (genie_token_kind(ref->object.token) != kind || strcmp(ref->name, name) != 0))
		ref = ref->next;
	if (ref == NULL) {
		status = genie_module_load_locked(module, name);
		if (status == CUDA_SUCCESS)
			status = genie_call_ctx(GENIE_OP_genieTexRefFind, &args, module->object.ctx,
						NULL);
		if (status != CUDA_SUCCESS)
			return status;
		ref = texref_new(kind, module->object.ctx, name);
		if (ref == NULL)
			return CUDA_ERROR_OUT_OF_MEMORY;
		ref->module = module;
		ref->next = module->references;
		module->references = ref;
	}
	*ret_ref = ref;
	return CUDA_SUCCESS;
}

static CUresult
module_reference(CUmodule handle, enum genie_kind kind, const char *name, void **ret_handle)
{
	struct genie_module *module =
		genie_object_get(GENIE_KIND_MODULE, (uint64_t)(uintptr_t)handle);
	struct genie_texref *ref = NULL;
	CUresult status;

	if (ret_handle == NULL || name == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (module == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	pthread_mutex_lock(&module->lock);
	status = module_reference_locked(module, kind, name, &ref);
	pthread_mutex_unlock(&module->lock);
	if (status == CUDA_SUCCESS)
		*ret_handle = (void *)(uintptr_t)ref->object.token;
	return status;
}

CUresult
genie_cuModuleGetTexRef(CUtexref *pTexRef, CUmodule hmod, const char *name)
{
	return module_reference(hmod, GENIE_KIND_TEXREF, name, (void **)pTexRef);
}

CUresult
genie_cuModuleGetSurfRef(CUsurfref *pSurfRef, CUmodule hmod, const char *name)
{
	return module_reference(hmod, GENIE_KIND_SURFREF, name, (void **)pSurfRef);
}

CUresult
genie_cuTexRefCreate(CUtexref *pTexRef)
{
	struct genie_ctx *ctx = genie_ctx_home();
	struct genie_texref *ref;

	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (pTexRef == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	ref = texref_new(GENIE_KIND_TEXREF, ctx, "");
	if (ref == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*pTexRef = (CUtexref)(uintptr_t)ref->object.token;
	return CUDA_SUCCESS;
}

CUresult
genie_cuTexRefDestroy(CUtexref hTexRef)
{
	struct genie_texref *ref = texref_get(hTexRef, false);

	if (ref == NULL || ref->module != NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	genie_object_free(ref);
	return CUDA_SUCCESS;
}

/* A kernel finds the references of its module by itself; this only checks. */
CUresult
genie_cuParamSetTexRef(CUfunction hfunc, int texunit, CUtexref hTexRef)
{
	struct genie_function *function;
	CUresult status = genie_function_get(hfunc, &function);

	if (status != CUDA_SUCCESS)
		return status;
	if (texref_get(hTexRef, false) == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	return texunit == CU_PARAM_TR_DEFAULT ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- sending ---- */

static CUresult
texref_send(struct genie_texref *ref)
{
	bool surface = genie_token_kind(ref->object.token) == GENIE_KIND_SURFREF;
	struct genie_args_genieTexRefBind args = {
		.name = ref->name,
		.surface = surface,
		.resource = &ref->resource,
		.texture = surface ? NULL : &ref->texture,
	};
	struct genie_module *module = ref->module;
	CUresult status;

	if (!ref->bound || module == NULL)
		return CUDA_SUCCESS;
	args.module = (CUmodule)(uintptr_t)module->object.token;
	pthread_mutex_lock(&module->lock);
	status = genie_module_load_locked(module, ref->name);
	pthread_mutex_unlock(&module->lock);
	if (status == CUDA_SUCCESS)
		status = genie_call_ctx(GENIE_OP_genieTexRefBind, &args, module->object.ctx, NULL);
	return status;
}

static bool
resource_exists(const struct genie_texref *ref)
{
	struct genie_mem mem;
	uint64_t mipmap;

	switch ((int)ref->resource.resType) {
	case CU_RESOURCE_TYPE_ARRAY:
		return genie_array_get(ref->resource.res.array.hArray) != NULL;
	case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
		mipmap = (uint64_t)(uintptr_t)ref->resource.res.mipmap.hMipmappedArray;
		return genie_object_get(GENIE_KIND_MIPARRAY, mipmap) != NULL;
	case CU_RESOURCE_TYPE_LINEAR:
		return genie_mem_find(ref->resource.res.linear.devPtr + ref->offset, &mem);
	default:
		return genie_mem_find(ref->resource.res.pitch2D.devPtr, &mem);
	}
}

/* How it reads has changed. A program may have freed what the reference is bound to, and will bind
 * it to something else: runtimes do it in this order. */
static CUresult
texref_changed(struct genie_texref *ref)
{
	ref->bound = ref->bound && resource_exists(ref);
	return texref_send(ref);
}

static CUresult
texref_bind(struct genie_texref *ref, const CUDA_RESOURCE_DESC *resource)
{
	ref->resource = *resource;
	ref->offset = 0;
	ref->bound = true;
	return texref_send(ref);
}

/* ---- what a reference reads ---- */

CUresult
genie_cuTexRefSetArray(CUtexref hTexRef, CUarray hArray, unsigned int Flags)
{
	const CUDA_RESOURCE_DESC resource = {.resType = CU_RESOURCE_TYPE_ARRAY,
					     .res.array.hArray = hArray};
	struct genie_texref *ref = texref_get(hTexRef, false);
	struct genie_array *array = genie_array_get(hArray);

	if (ref == NULL || array == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (Flags & ~(unsigned int)CU_TRSA_OVERRIDE_FORMAT) /* the format is the array's anyway */
		return CUDA_ERROR_INVALID_VALUE;
	ref->format = array->desc.Format;
	ref->channels = array->desc.NumChannels;
	return texref_bind(ref, &resource);
}

CUresult
genie_cuTexRefSetMipmappedArray(CUtexref hTexRef, CUmipmappedArray hMipmappedArray,
				unsigned int Flags)
{
	const CUDA_RESOURCE_DESC resource = {.resType = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY,
					     .res.mipmap.hMipmappedArray = hMipmappedArray};
	struct genie_texref *ref = texref_get(hTexRef, false);

	if (ref == NULL ||
	    genie_object_get(GENIE_KIND_MIPARRAY, (uint64_t)(uintptr_t)hMipmappedArray) == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (Flags & ~(unsigned int)CU_TRSA_OVERRIDE_FORMAT) /* the format is the array's anyway */
		return CUDA_ERROR_INVALID_VALUE;
	return texref_bind(ref, &resource);
}

/* The hardware wants an aligned address; the program adds the rest to its indices. */
CUresult
genie_cuTexRefSetAddress_v2(size_t *ByteOffset, CUtexref hTexRef, CUdeviceptr dptr, size_t bytes)
{
	struct genie_texref *ref = texref_get(hTexRef, false);
	struct genie_ctx *ctx = genie_ctx_current();
	uint64_t alignment, offset;
	CUDA_RESOURCE_DESC resource;
	CUresult status;

	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (ref == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (dptr == 0) { /* unbound: what a kernel reads then is nobody's business */
		ref->bound = false;
		if (ByteOffset != NULL)
			*ByteOffset = 0;
		return CUDA_SUCCESS;
	}
	alignment = (uint64_t)genie_client.devices[ctx->device]
			    .attrs[CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT];
	offset = alignment ? dptr % alignment : 0;
	if (bytes == 0 || (offset != 0 && ByteOffset == NULL))
		return CUDA_ERROR_INVALID_VALUE;
	resource = (CUDA_RESOURCE_DESC){.resType = CU_RESOURCE_TYPE_LINEAR,
					.res.linear = {.devPtr = dptr - offset,
						       .format = ref->format,
						       .numChannels = ref->channels,
						       .sizeInBytes = bytes + offset}};
	status = texref_bind(ref, &resource);
	ref->offset = offset;
	if (ByteOffset != NULL)
		*ByteOffset = offset;
	return status;
}

CUresult
genie_cuTexRefSetAddress2D_v3(CUtexref hTexRef, const CUDA_ARRAY_DESCRIPTOR *desc, CUdeviceptr dptr,
			      size_t Pitch)
{
	struct genie_texref *ref = texref_get(hTexRef, false);
	CUDA_RESOURCE_DESC resource;

	if (ref == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (desc == NULL || dptr == 0)
		return CUDA_ERROR_INVALID_VALUE;
	ref->format = desc->Format;
	ref->channels = desc->NumChannels;
	resource = (CUDA_RESOURCE_DESC){.resType = CU_RESOURCE_TYPE_PITCH2D,
					.res.pitch2D = {.devPtr = dptr,
							.format = desc->Format,
							.numChannels = desc->NumChannels,
							.width = desc->Width,
							.height = desc->Height,
							.pitchInBytes = Pitch}};
	return texref_bind(ref, &resource);
}

CUresult
genie_cuSurfRefSetArray(CUsurfref hSurfRef, CUarray hArray, unsigned int Flags)
{
	const CUDA_RESOURCE_DESC resource = {.resType = CU_RESOURCE_TYPE_ARRAY,
					     .res.array.hArray = hArray};
	struct genie_texref *ref = texref_get(hSurfRef, true);

	if (ref == NULL || genie_array_get(hArray) == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (Flags != 0)
		return CUDA_ERROR_INVALID_VALUE;
	return texref_bind(ref, &resource);
}

/* ---- how it is read ---- */

CUresult
genie_cuTexRefSetFormat(CUtexref hTexRef, CUarray_format fmt, int NumPackedComponents)
{
	struct genie_texref *ref = texref_get(hTexRef, false);

	if (ref == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (NumPackedComponents != 1 && NumPackedComponents != 2 && NumPackedComponents != 4)
		return CUDA_ERROR_INVALID_VALUE;
	ref->format = fmt;
	ref->channels = (unsigned int)NumPackedComponents;
	if (ref->resource.resType != CU_RESOURCE_TYPE_LINEAR)
		return CUDA_SUCCESS; /* an array has its own */
	ref->resource.res.linear.format = fmt;
	ref->resource.res.linear.numChannels = ref->channels;
	return texref_changed(ref);
}

CUresult
genie_cuTexRefSetAddressMode(CUtexref hTexRef, int dim, CUaddress_mode am)
{
	struct genie_texref *ref = texref_get(hTexRef, false);

	if (ref == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (dim < 0 || dim > 2 || (unsigned int)am > CU_TR_ADDRESS_MODE_BORDER)
		return CUDA_ERROR_INVALID_VALUE;
	ref->texture.addressMode[dim] = am;
	return texref_changed(ref);
}

/* Setter and getter of one member. */
#define MEMBER(set_name, get_name, type, get_type, field, valid)                                   \
	CUresult genie_cuTexRef##set_name(CUtexref hTexRef, type value)                            \
	{                                                                                          \
		struct genie_texref *ref = texref_get(hTexRef, false);                             \
                                                                                                   \
		if (ref == NULL)                                                                   \
			return CUDA_ERROR_INVALID_HANDLE;                                          \
		if (!(valid))                                                                      \
			return CUDA_ERROR_INVALID_VALUE;                                           \
		ref->texture.field = value;                                                        \
		return texref_changed(ref);                                                        \
	}                                                                                          \
	CUresult genie_cuTexRef##get_name(get_type *ret_value, CUtexref hTexRef)                   \
	{                                                                                          \
		const struct genie_texref *ref = texref_get(hTexRef, false);                       \
                                                                                                   \
		if (ref == NULL)                                                                   \
			return CUDA_ERROR_INVALID_HANDLE;                                          \
		if (ret_value == NULL)                                                             \
			return CUDA_ERROR_INVALID_VALUE;                                           \
		*ret_value = (get_type)ref->texture.field;                                         \
		return CUDA_SUCCESS;                                                               \
	}

MEMBER(SetFilterMode, GetFilterMode, CUfilter_mode, CUfilter_mode, filterMode,
       (unsigned int)value <= CU_TR_FILTER_MODE_LINEAR)
MEMBER(SetMipmapFilterMode, GetMipmapFilterMode, CUfilter_mode, CUfilter_mode, mipmapFilterMode,
       (unsigned int)value <= CU_TR_FILTER_MODE_LINEAR)
MEMBER(SetMipmapLevelBias, GetMipmapLevelBias, float, float, mipmapLevelBias, true)
MEMBER(SetMaxAnisotropy, GetMaxAnisotropy, unsigned int, int, maxAnisotropy, true)
MEMBER(SetFlags, GetFlags, unsigned int, unsigned int, flags, true)
#undef MEMBER

CUresult
genie_cuTexRefSetMipmapLevelClamp(CUtexref hTexRef, float minMipmapLevelClamp,
				  float maxMipmapLevelClamp)
{
	struct genie_texref *ref = texref_get(hTexRef, false);

	if (ref == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	ref->texture.minMipmapLevelClamp = minMipmapLevelClamp;
	ref->texture.maxMipmapLevelClamp = maxMipmapLevelClamp;
	return texref_changed(ref);
}

CUresult
genie_cuTexRefSetBorderColor(CUtexref hTexRef, float *pBorderColor)
{
	struct genie_texref *ref = texref_get(hTexRef, false);

	if (ref == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (pBorderColor == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	memcpy(ref->texture.borderColor, pBorderColor, sizeof(ref->texture.borderColor));
	return texref_changed(ref);
}

/* ---- asking ---- */

CUresult
genie_cuTexRefGetAddress_v2(CUdeviceptr *pdptr, CUtexref hTexRef)
{
	const struct genie_texref *ref = texref_get(hTexRef, false);

	if (ref == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (pdptr == NULL || !ref->bound)
		return CUDA_ERROR_INVALID_VALUE;
	if (ref->resource.resType == CU_RESOURCE_TYPE_LINEAR)
		*pdptr = ref->resource.res.linear.devPtr + ref->offset;
	else if (ref->resource.resType == CU_RESOURCE_TYPE_PITCH2D)
		*pdptr = ref->resource.res.pitch2D.devPtr;
	else
		return CUDA_ERROR_INVALID_VALUE;
	return CUDA_SUCCESS;
}

static CUresult
bound_array(const struct genie_texref *ref, CUarray *ret_array)
{
	if (ref == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (ret_array == NULL || !ref->bound || ref->resource.resType != CU_RESOURCE_TYPE_ARRAY)
		return CUDA_ERROR_INVALID_VALUE;
	*ret_array = ref->resource.res.array.hArray;
	return CUDA_SUCCESS;
}

CUresult
genie_cuTexRefGetArray(CUarray *phArray, CUtexref hTexRef)
{
	return bound_array(texref_get(hTexRef, false), phArray);
}

CUresult
genie_cuSurfRefGetArray(CUarray *phArray, CUsurfref hSurfRef)
{
	return bound_array(texref_get(hSurfRef, true), phArray);
}

CUresult
genie_cuTexRefGetMipmappedArray(CUmipmappedArray *phMipmappedArray, CUtexref hTexRef)
{
	const struct genie_texref *ref = texref_get(hTexRef, false);

	if (ref == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (phMipmappedArray == NULL || !ref->bound ||
	    ref->resource.resType != CU_RESOURCE_TYPE_MIPMAPPED_ARRAY)
		return CUDA_ERROR_INVALID_VALUE;
	*phMipmappedArray = ref->resource.res.mipmap.hMipmappedArray;
	return CUDA_SUCCESS;
}

CUresult
genie_cuTexRefGetAddressMode(CUaddress_mode *pam, CUtexref hTexRef, int dim)
{
	const struct genie_texref *ref = texref_get(hTexRef, false);

	if (ref == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (pam == NULL || dim < 0 || dim > 2)
		return CUDA_ERROR_INVALID_VALUE;
	*pam = ref->texture.addressMode[dim];
	return CUDA_SUCCESS;
}

CUresult
genie_cuTexRefGetFormat(CUarray_format *pFormat, int *pNumChannels, CUtexref hTexRef)
{
	const struct genie_texref *ref = texref_get(hTexRef, false);

	if (ref == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (pFormat != NULL)
		*pFormat = ref->format;
	if (pNumChannels != NULL)
		*pNumChannels = (int)ref->channels;
	return CUDA_SUCCESS;
}

CUresult
genie_cuTexRefGetMipmapLevelClamp(float *pminMipmapLevelClamp, float *pmaxMipmapLevelClamp,
				  CUtexref hTexRef)
{
	const struct genie_texref *ref = texref_get(hTexRef, false);

	if (ref == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (pminMipmapLevelClamp == NULL || pmaxMipmapLevelClamp == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	*pminMipmapLevelClamp = ref->texture.minMipmapLevelClamp;
	*pmaxMipmapLevelClamp = ref->texture.maxMipmapLevelClamp;
	return CUDA_SUCCESS;
}

CUresult
genie_cuTexRefGetBorderColor(float *pBorderColor, CUtexref hTexRef)
{
	const struct genie_texref *ref = texref_get(hTexRef, false);

	if (ref == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (pBorderColor == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	memcpy(pBorderColor, ref->texture.borderColor, sizeof(ref->texture.borderColor));
	return CUDA_SUCCESS;
}
