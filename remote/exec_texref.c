/*
 * Texture and surface references. The client keeps them and sends all of one whenever something
 * of it changes.
 */
#include "remote/exec.h"

static CUresult
surface_bind(struct genie_session *session, CUmodule module, const char *name,
	     const CUDA_RESOURCE_DESC *resource)
{
	const struct genie_driver *drv = session->drv;
	CUsurfref ref = NULL;
	CUresult status = drv->cuModuleGetSurfRef(&ref, module, name);

	if (status != CUDA_SUCCESS)
		return status;
	if (resource->resType != CU_RESOURCE_TYPE_ARRAY)
		return CUDA_ERROR_INVALID_VALUE;
	return drv->cuSurfRefSetArray(ref, resource->res.array.hArray, 0);
}

/* How it is read. */
static CUresult
texture_set(const struct genie_driver *drv, CUtexref ref, const CUDA_TEXTURE_DESC *texture)
{
	CUresult status = drv->cuTexRefSetFlags(ref, texture->flags);

	for (int axis = 0; axis < 3 && status == CUDA_SUCCESS; axis++)
		status = drv->cuTexRefSetAddressMode(ref, axis, texture->addressMode[axis]);
	if (status == CUDA_SUCCESS)
		status = drv->cuTexRefSetFilterMode(ref, texture->filterMode);
	if (status == CUDA_SUCCESS)
		status = drv->cuTexRefSetMipmapFilterMode(ref, texture->mipmapFilterMode);
	if (status == CUDA_SUCCESS)
		status = drv->cuTexRefSetMipmapLevelBias(ref, texture->mipmapLevelBias);
	if (status == CUDA_SUCCESS)
		status = drv->cuTexRefSetMipmapLevelClamp(ref, texture->minMipmapLevelClamp,
							  texture->maxMipmapLevelClamp);
	if (status == CUDA_SUCCESS && texture->maxAnisotropy)
		status = drv->cuTexRefSetMaxAnisotropy(ref, texture->maxAnisotropy);
	if (status == CUDA_SUCCESS)
		status = drv->cuTexRefSetBorderColor(ref, (float *)texture->borderColor);
	return status;
}

/* What it reads. */
static CUresult
texture_attach(const struct genie_driver *drv, CUtexref ref, const CUDA_RESOURCE_DESC *resource)
{
	CUDA_ARRAY_DESCRIPTOR desc;
	size_t offset = 0;
	CUresult status;

	switch ((int)resource->resType) {
	case CU_RESOURCE_TYPE_ARRAY:
		return drv->cuTexRefSetArray(ref, resource->res.array.hArray,
					     CU_TRSA_OVERRIDE_FORMAT);
	case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
		return drv->cuTexRefSetMipmappedArray(ref, resource->res.mipmap.hMipmappedArray,
						      CU_TRSA_OVERRIDE_FORMAT);
	case CU_RESOURCE_TYPE_LINEAR:
		status = drv->cuTexRefSetFormat(ref, resource->res.linear.format,
						(int)resource->res.linear.numChannels);
		if (status != CUDA_SUCCESS)
			return status;
		/* the client has aligned the address */
		return drv->cuTexRefSetAddress_v2(&offset, ref, resource->res.linear.devPtr,
						  resource->res.linear.sizeInBytes);
	case CU_RESOURCE_TYPE_PITCH2D:
		desc = (CUDA_ARRAY_DESCRIPTOR){
			.Width = resource->res.pitch2D.width,
			.Height = resource->res.pitch2D.height,
			.Format = resource->res.pitch2D.format,
			.NumChannels = resource->res.pitch2D.numChannels,
		};
		status = drv->cuTexRefSetFormat(ref, desc.Format, (int)desc.NumChannels);
		if (status != CUDA_SUCCESS)
			return status;
		return drv->cuTexRefSetAddress2D_v3(ref, &desc, resource->res.pitch2D.devPtr,
						    resource->res.pitch2D.pitchInBytes);
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
}

CUresult
genie_exec_genieTexRefFind(struct genie_session *session, struct genie_args_genieTexRefFind *args)
{
	CUmodule module = NULL;
	CUsurfref surface;
	CUtexref texture;
	CUresult status = genie_module_find(session, args->module, &module);

	if (status != CUDA_SUCCESS)
		return status;
	return args->surface ? session->drv->cuModuleGetSurfRef(&surface, module, args->name)
			     : session->drv->cuModuleGetTexRef(&texture, module, args->name);
}

CUresult
genie_exec_genieTexRefBind(struct genie_session *session, struct genie_args_genieTexRefBind *args)
{
	const struct genie_driver *drv = session->drv;
	CUDA_RESOURCE_DESC resource = *args->resource;
	CUmodule module = NULL;
	CUtexref ref = NULL;
	CUresult status = genie_module_find(session, args->module, &module);

	if (status == CUDA_SUCCESS)
		status = genie_resource_find(session, &resource);
	if (status != CUDA_SUCCESS)
		return status;
	/*
	 * A driver keeps what a kernel reads with each launch. The other devices look when the
	 * kernel runs, so those that were launched before must have run.
	 */
	if (session->backend->kind != GENIE_DEVICE_CUDA)
		status = drv->cuCtxSynchronize();
	if (status != CUDA_SUCCESS)
		return status;
	if (args->surface)
		return surface_bind(session, module, args->name, &resource);
	if (!args->texture)
		return CUDA_ERROR_INVALID_VALUE;
	status = drv->cuModuleGetTexRef(&ref, module, args->name);
	if (status == CUDA_SUCCESS)
		status = texture_set(drv, ref, args->texture);
	if (status == CUDA_SUCCESS)
		status = texture_attach(drv, ref, &resource);
	return status;
}
