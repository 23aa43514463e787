/*
 * Texture and surface references, the textures of CUDA before 12: variables of a module that are
 * bound to memory. Bound, such a variable holds the handle of a texture object made for it.
 */
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/cpu.h"

struct texref {
	struct texref *next;
	struct genie_cpu_module *module;
	uint64_t *variable;
	bool surface;
	CUDA_TEXTURE_DESC texture;
	CUarray_format format;
	unsigned int channels;
	unsigned long long object; /* 0: not bound */
};

/* Guards the list; a reference itself is changed by the issuing thread alone. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct texref *refs;

static struct texref *
ref_get(const void *handle)
{
	struct texref *ref;

	pthread_mutex_lock(&lock);
	ref = refs;
	while (ref && ref != handle)
		ref = ref->next;
	pthread_mutex_unlock(&lock);
	return ref;
}

static CUresult
ref_make(CUmodule handle, const char *name, bool surface, void **ret_ref)
{
	CUresult status = genie_cpu_check();
	struct genie_cpu_module *module;
	uint64_t *variable;
	struct texref *ref;

	if (status != CUDA_SUCCESS)
		return status;
	module = genie_cpu_module_get(handle);
	if (!module)
		return CUDA_ERROR_INVALID_HANDLE;
	variable = genie_cpu_module_reference(module, name, surface);
	if (!variable)
		return CUDA_ERROR_NOT_FOUND;
	pthread_mutex_lock(&lock);
	ref = refs;
	while (ref && ref->variable != variable)
		ref = ref->next;
	if (!ref) {
		ref = calloc(1, sizeof(*ref));
		if (ref) {
			ref->module = module;
			ref->variable = variable;
			ref->surface = surface;
			ref->format = CU_AD_FORMAT_FLOAT;
			ref->channels = 1;
			ref->next = refs;
			refs = ref;
		}
	}
	pthread_mutex_unlock(&lock);
	if (!ref)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ret_ref = ref;
	return CUDA_SUCCESS;
}

static void
ref_unbind(struct texref *ref)
{
	if (!ref->object)
		return;
	__atomic_store_n(ref->variable, 0, __ATOMIC_RELAXED);
	if (ref->surface)
		genie_cpu_surface_delete(ref->object);
	else
		genie_cpu_texture_delete(ref->object);
	ref->object = 0;
}

static CUresult
ref_bind(struct texref *ref, const CUDA_RESOURCE_DESC *resource)
{
	unsigned long long object = 0;
	CUresult status;

	if (!ref)
		return CUDA_ERROR_INVALID_HANDLE;
	status = ref->surface ? genie_cpu_surface_new(resource, &object)
			      : genie_cpu_texture_new(resource, &ref->texture, &object);
	if (status != CUDA_SUCCESS)
		return status;
	ref_unbind(ref);
	ref->object = object;
	__atomic_store_n(ref->variable, object, __ATOMIC_RELAXED);
	return CUDA_SUCCESS;
}

void
genie_cpu_texref_forget(const struct genie_cpu_module *module)
{
	struct texref **at = &refs, *ref;

	pthread_mutex_lock(&lock);
	while ((ref = *at)) {
		if (ref->module != module) {
			at = &ref->next;
			continue;
		}
		*at = ref->next;
		ref_unbind(ref);
		free(ref);
	}
	pthread_mutex_unlock(&lock);
}

/* ---- the driver's functions ---- */

static CUresult
cpu_cuModuleGetTexRef(CUtexref *ret_ref, CUmodule module, const char *name)
{
	return ref_make(module, name, false, (void **)ret_ref);
}

static CUresult
cpu_cuModuleGetSurfRef(CUsurfref *ret_ref, CUmodule module, const char *name)
{
	return ref_make(module, name, true, (void **)ret_ref);
}

static CUresult
cpu_cuTexRefSetFormat(CUtexref handle, CUarray_format format, int channels)
{
	struct texref *ref = ref_get(handle);

	if (!ref)
		return CUDA_ERROR_INVALID_HANDLE;
	ref->format = format;
	ref->channels = (unsigned int)channels;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuTexRefSetAddressMode(CUtexref handle, int axis, CUaddress_mode mode)
{
	struct texref *ref = ref_get(handle);

	if (!ref || axis < 0 || axis > 2)
		return ref ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
	ref->texture.addressMode[axis] = mode;
	return CUDA_SUCCESS;
}

#define SETTER(name, type, field)                                                                  \
	static CUresult cpu_cuTexRefSet##name(CUtexref handle, type value)                         \
	{                                                                                          \
		struct texref *ref = ref_get(handle);                                              \
                                                                                                   \
		if (!ref)                                                                          \
			return CUDA_ERROR_INVALID_HANDLE;                                          \
		ref->texture.field = value;                                                        \
		return CUDA_SUCCESS;                                                               \
	}

SETTER(FilterMode, CUfilter_mode, filterMode)
SETTER(MipmapFilterMode, CUfilter_mode, mipmapFilterMode)
SETTER(MipmapLevelBias, float, mipmapLevelBias)
SETTER(MaxAnisotropy, unsigned int, maxAnisotropy)
SETTER(Flags, unsigned int, flags)
#undef SETTER

static CUresult
cpu_cuTexRefSetMipmapLevelClamp(CUtexref handle, float min, float max)
{
	struct texref *ref = ref_get(handle);

	if (!ref)
		return CUDA_ERROR_INVALID_HANDLE;
	ref->texture.minMipmapLevelClamp = min;
	ref->texture.maxMipmapLevelClamp = max;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuTexRefSetBorderColor(CUtexref handle, float *color)
{
	struct texref *ref = ref_get(handle);

	if (!ref)
		return CUDA_ERROR_INVALID_HANDLE;
	memcpy(ref->texture.borderColor, color, sizeof(ref->texture.borderColor));
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuTexRefSetArray(CUtexref handle, CUarray array, unsigned int flags)
{
	const CUDA_RESOURCE_DESC resource = {.resType = CU_RESOURCE_TYPE_ARRAY,
					     .res.array.hArray = array};

	(void)flags;
	return ref_bind(ref_get(handle), &resource);
}

static CUresult
cpu_cuTexRefSetMipmappedArray(CUtexref handle, CUmipmappedArray array, unsigned int flags)
{
	const CUDA_RESOURCE_DESC resource = {.resType = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY,
					     .res.mipmap.hMipmappedArray = array};

	(void)flags;
	return ref_bind(ref_get(handle), &resource);
}

static CUresult
cpu_cuTexRefSetAddress_v2(size_t *ret_offset, CUtexref handle, CUdeviceptr address, size_t size)
{
	struct texref *ref = ref_get(handle);
	CUDA_RESOURCE_DESC resource = {.resType = CU_RESOURCE_TYPE_LINEAR,
				       .res.linear = {.devPtr = address, .sizeInBytes = size}};

	if (!ref)
		return CUDA_ERROR_INVALID_HANDLE;
	if (ret_offset)
		*ret_offset = 0;
	if (!address) {
		ref_unbind(ref);
		return CUDA_SUCCESS;
	}
	resource.res.linear.format = ref->format;
	resource.res.linear.numChannels = ref->channels;
	return ref_bind(ref, &resource);
}

static CUresult
cpu_cuTexRefSetAddress2D_v3(CUtexref handle, const CUDA_ARRAY_DESCRIPTOR *desc, CUdeviceptr address,
			    size_t pitch)
{
	const CUDA_RESOURCE_DESC resource = {.resType = CU_RESOURCE_TYPE_PITCH2D,
					     .res.pitch2D = {.devPtr = address,
							     .format = desc->Format,
							     .numChannels = desc->NumChannels,
							     .width = desc->Width,
							     .height = desc->Height,
							     .pitchInBytes = pitch}};

	return ref_bind(ref_get(handle), &resource);
}

static CUresult
cpu_cuSurfRefSetArray(CUsurfref handle, CUarray array, unsigned int flags)
{
	const CUDA_RESOURCE_DESC resource = {.resType = CU_RESOURCE_TYPE_ARRAY,
					     .res.array.hArray = array};

	(void)flags;
	return ref_bind(ref_get(handle), &resource);
}

void
genie_cpu_fill_texref(struct genie_driver *drv)
{
	drv->cuModuleGetTexRef = cpu_cuModuleGetTexRef;
	drv->cuModuleGetSurfRef = cpu_cuModuleGetSurfRef;
	drv->cuTexRefSetFormat = cpu_cuTexRefSetFormat;
	drv->cuTexRefSetAddressMode = cpu_cuTexRefSetAddressMode;
	drv->cuTexRefSetFilterMode = cpu_cuTexRefSetFilterMode;
	drv->cuTexRefSetMipmapFilterMode = cpu_cuTexRefSetMipmapFilterMode;
	drv->cuTexRefSetMipmapLevelBias = cpu_cuTexRefSetMipmapLevelBias;
	drv->cuTexRefSetMipmapLevelClamp = cpu_cuTexRefSetMipmapLevelClamp;
	drv->cuTexRefSetMaxAnisotropy = cpu_cuTexRefSetMaxAnisotropy;
	drv->cuTexRefSetBorderColor = cpu_cuTexRefSetBorderColor;
	drv->cuTexRefSetFlags = cpu_cuTexRefSetFlags;
	drv->cuTexRefSetArray = cpu_cuTexRefSetArray;
	drv->cuTexRefSetMipmappedArray = cpu_cuTexRefSetMipmappedArray;
	drv->cuTexRefSetAddress_v2 = cpu_cuTexRefSetAddress_v2;
	drv->cuTexRefSetAddress2D_v3 = cpu_cuTexRefSetAddress2D_v3;
	drv->cuSurfRefSetArray = cpu_cuSurfRefSetArray;
}
