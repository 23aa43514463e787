/*
 * Tensor maps: descriptions of tensors that kernels copy boxes of (cp.async.bulk.tensor). What is
 * in one is our own business (struct ptx_tensor_map); what it may ask for is CUDA's. Not here:
 * boxes of pixels (im2col), interleaved channels and types narrower than a byte.
 */
#include <string.h>

#include "remote/device_cpu/cpu.h"

#define BOX_MAX         256u
#define STEP_MAX        8u
#define STRIDE_LIMIT    (1ull << 40)
#define DIMENSION_LIMIT (1ull << 32)

struct element {
	uint8_t size, is_float, bfloat;
};

static bool
find_element(CUtensorMapDataType type, struct element *ret)
{
	static const struct element elements[] = {
		[CU_TENSOR_MAP_DATA_TYPE_UINT8] = {1, 0, 0},
		[CU_TENSOR_MAP_DATA_TYPE_UINT16] = {2, 0, 0},
		[CU_TENSOR_MAP_DATA_TYPE_UINT32] = {4, 0, 0},
		[CU_TENSOR_MAP_DATA_TYPE_INT32] = {4, 0, 0},
		[CU_TENSOR_MAP_DATA_TYPE_UINT64] = {8, 0, 0},
		[CU_TENSOR_MAP_DATA_TYPE_INT64] = {8, 0, 0},
		[CU_TENSOR_MAP_DATA_TYPE_FLOAT16] = {2, 1, 0},
		[CU_TENSOR_MAP_DATA_TYPE_FLOAT32] = {4, 1, 0},
		[CU_TENSOR_MAP_DATA_TYPE_FLOAT64] = {8, 1, 0},
		[CU_TENSOR_MAP_DATA_TYPE_BFLOAT16] = {2, 1, 1},
		[CU_TENSOR_MAP_DATA_TYPE_FLOAT32_FTZ] = {4, 1, 0},
		[CU_TENSOR_MAP_DATA_TYPE_TFLOAT32] = {4, 1, 0},
		[CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ] = {4, 1, 0},
	};

	if ((unsigned int)type >= sizeof(elements) / sizeof(elements[0]))
		return false;
	*ret = elements[type];
	return true;
}

static CUresult
set_shape(struct ptx_tensor_map *map, const cuuint64_t *dim, const cuuint64_t *strides,
	  const cuuint32_t *box, const cuuint32_t *steps)
{
	for (uint32_t d = 0; d < map->rank; d++) {
		if (!dim[d] || dim[d] > DIMENSION_LIMIT || !box[d] || box[d] > BOX_MAX ||
		    !steps[d] || steps[d] > STEP_MAX)
			return CUDA_ERROR_INVALID_VALUE;
		map->last[d] = (uint32_t)(dim[d] - 1);
		map->box[d] = (uint16_t)box[d];
		map->step[d] = d ? (uint8_t)steps[d] : 1;
		if (!d)
			continue;
		if (strides[d - 1] % 16 || strides[d - 1] >= STRIDE_LIMIT)
			return CUDA_ERROR_INVALID_VALUE;
		map->stride[d - 1] = strides[d - 1];
	}
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuTensorMapEncodeTiled(CUtensorMap *ret_map, CUtensorMapDataType type, cuuint32_t rank,
			   void *address, const cuuint64_t *dim, const cuuint64_t *strides,
			   const cuuint32_t *box, const cuuint32_t *steps,
			   CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
			   CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill)
{
	static const uint32_t swizzle_bytes[] = {UINT32_MAX, 32, 64, 128};
	struct ptx_tensor_map map = {.address = (uintptr_t)address, .magic = PTX_TENSOR_MAGIC};
	struct element element;
	uint32_t row;
	CUresult status;

	(void)promotion; /* of no effect on what is copied */
	if (!ret_map || !dim || !box || !steps || (rank > 1 && !strides))
		return CUDA_ERROR_INVALID_VALUE;
	if (!rank || rank > PTX_TENSOR_RANK || map.address % 16)
		return CUDA_ERROR_INVALID_VALUE;
	if (!find_element(type, &element) || interleave != CU_TENSOR_MAP_INTERLEAVE_NONE ||
	    (unsigned int)swizzle > CU_TENSOR_MAP_SWIZZLE_128B)
		return CUDA_ERROR_NOT_SUPPORTED;
	map.rank = (uint8_t)rank;
	map.element = element.size;
	map.swizzle = (uint8_t)swizzle;
	map.bfloat = element.bfloat;
	if (fill == CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA) {
		if (!element.is_float)
			return CUDA_ERROR_INVALID_VALUE;
		map.fill = element.size;
	}
	status = set_shape(&map, dim, strides, box, steps);
	if (status != CUDA_SUCCESS)
		return status;
	row = box[0] * element.size;
	if (row % 16 || row > swizzle_bytes[swizzle])
		return CUDA_ERROR_INVALID_VALUE;
	memcpy(ret_map, &map, sizeof(map));
	return CUDA_SUCCESS;
}

void
genie_cpu_fill_tensor(struct genie_driver *drv)
{
	drv->cuTensorMapEncodeTiled = cpu_cuTensorMapEncodeTiled;
}
