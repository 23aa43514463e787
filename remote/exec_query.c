/* Questions to the driver that have no flat argument list. */
#include <string.h>

#include "remote/exec.h"
#include "wire/query.h"

/* ---- occupancy ---- */

#define ATTRS_MAX 64

CUresult
genie_exec_genieOccupancyClusters(struct genie_session *session,
				  struct genie_args_genieOccupancyClusters *args)
{
	CUlaunchAttribute attrs[ATTRS_MAX];
	CUlaunchConfig config = {
		.gridDimX = args->gridX,
		.gridDimY = args->gridY,
		.gridDimZ = args->gridZ,
		.blockDimX = args->blockX,
		.blockDimY = args->blockY,
		.blockDimZ = args->blockZ,
		.sharedMemBytes = args->shared,
		.attrs = attrs,
		.numAttrs = args->attr_count,
	};
	CUfunction function = NULL;
	CUresult status;

	status = genie_function_find(session, args->function, &function);
	if (status != CUDA_SUCCESS)
		return status;
	if (args->attr_count > ATTRS_MAX || (args->attr_count && !args->attrs))
		return CUDA_ERROR_INVALID_VALUE;
	if (args->attr_count)
		memcpy(attrs, args->attrs, args->attr_count * sizeof(*attrs));
	status = genie_launch_attrs(session, attrs, args->attr_count);
	if (status != CUDA_SUCCESS)
		return status;
	switch (args->what) {
	case GENIE_OCCUPANCY_ACTIVE_CLUSTERS:
		return session->drv->cuOccupancyMaxActiveClusters(args->value, function, &config);
	case GENIE_OCCUPANCY_CLUSTER_SIZE:
		return session->drv->cuOccupancyMaxPotentialClusterSize(args->value, function,
									&config);
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
}

/* ---- tensor maps ---- */

static CUresult
encode_tiled(const struct genie_driver *drv, CUtensorMap *map,
	     const struct genie_tensormap_request *r)
{
	return drv->cuTensorMapEncodeTiled(
		map, (CUtensorMapDataType)r->data_type, r->rank, (void *)(uintptr_t)r->address,
		(const cuuint64_t *)r->dim, (const cuuint64_t *)r->stride, r->box,
		r->element_stride, (CUtensorMapInterleave)r->interleave,
		(CUtensorMapSwizzle)r->swizzle, (CUtensorMapL2promotion)r->l2_promotion,
		(CUtensorMapFloatOOBfill)r->oob_fill);
}

static CUresult
encode_im2col(const struct genie_driver *drv, CUtensorMap *map,
	      const struct genie_tensormap_request *r)
{
	return drv->cuTensorMapEncodeIm2col(
		map, (CUtensorMapDataType)r->data_type, r->rank, (void *)(uintptr_t)r->address,
		(const cuuint64_t *)r->dim, (const cuuint64_t *)r->stride, r->lower, r->upper,
		r->channels, r->pixels, r->element_stride, (CUtensorMapInterleave)r->interleave,
		(CUtensorMapSwizzle)r->swizzle, (CUtensorMapL2promotion)r->l2_promotion,
		(CUtensorMapFloatOOBfill)r->oob_fill);
}

static CUresult
encode_im2col_wide(const struct genie_driver *drv, CUtensorMap *map,
		   const struct genie_tensormap_request *r)
{
	return drv->cuTensorMapEncodeIm2colWide(
		map, (CUtensorMapDataType)r->data_type, r->rank, (void *)(uintptr_t)r->address,
		(const cuuint64_t *)r->dim, (const cuuint64_t *)r->stride, r->lower[0], r->upper[0],
		r->channels, r->pixels, r->element_stride, (CUtensorMapInterleave)r->interleave,
		(CUtensorMapIm2ColWideMode)r->im2col_mode, (CUtensorMapSwizzle)r->swizzle,
		(CUtensorMapL2promotion)r->l2_promotion, (CUtensorMapFloatOOBfill)r->oob_fill);
}

CUresult
genie_exec_genieTensorMap(struct genie_session *session, struct genie_args_genieTensorMap *args)
{
	struct genie_tensormap_request request;
	CUtensorMap map __attribute__((aligned(64))) = {0};
	CUresult status;

	_Static_assert(sizeof(map) == 128, "what travels is the whole tensor map");
	if (args->size != sizeof(request))
		return CUDA_ERROR_INVALID_VALUE;
	memcpy(&request, args->request, sizeof(request));
	if (!request.rank || request.rank > GENIE_TENSORMAP_RANK_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	switch (request.kind) {
	case GENIE_TENSORMAP_TILED:
		status = encode_tiled(session->drv, &map, &request);
		break;
	case GENIE_TENSORMAP_IM2COL:
		status = encode_im2col(session->drv, &map, &request);
		break;
	case GENIE_TENSORMAP_IM2COL_WIDE:
		status = encode_im2col_wide(session->drv, &map, &request);
		break;
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
	memcpy(args->map, &map, sizeof(map));
	return status;
}
