/* Setting memory: rows of equal elements of 1, 2 or 4 bytes. */
#include <string.h>

#include "remote/device_cpu/cpu.h"

static bool
is_empty(const CUDA_MEMSET_NODE_PARAMS *set)
{
	return !set->width || !set->height;
}

CUresult
genie_cpu_set_check(const CUDA_MEMSET_NODE_PARAMS *set)
{
	size_t row, rows, span;

	if (set->elementSize != 1 && set->elementSize != 2 && set->elementSize != 4)
		return CUDA_ERROR_INVALID_VALUE;
	if (is_empty(set))
		return CUDA_SUCCESS;
	if (set->dst % set->elementSize ||
	    __builtin_mul_overflow(set->width, set->elementSize, &row))
		return CUDA_ERROR_INVALID_VALUE;
	if (set->height > 1 && (set->pitch < row || set->pitch % set->elementSize))
		return CUDA_ERROR_INVALID_VALUE;
	if (__builtin_mul_overflow(set->height - 1, set->pitch, &rows) ||
	    __builtin_add_overflow(rows, row, &span) || !genie_cpu_accessible(set->dst, span, true))
		return CUDA_ERROR_INVALID_VALUE;
	return CUDA_SUCCESS;
}

static void
set_row(void *row, const CUDA_MEMSET_NODE_PARAMS *set)
{
	uint16_t *halves = row;
	uint32_t *words = row;

	if (set->elementSize == 1)
		memset(row, (int)set->value, set->width);
	else if (set->elementSize == 2)
		for (size_t i = 0; i < set->width; i++)
			halves[i] = (uint16_t)set->value;
	else
		for (size_t i = 0; i < set->width; i++)
			words[i] = set->value;
}

CUresult
genie_cpu_set_run(const CUDA_MEMSET_NODE_PARAMS *set)
{
	CUresult status = genie_cpu_set_check(set);

	if (status != CUDA_SUCCESS || is_empty(set))
		return status;
	for (size_t y = 0; y < set->height; y++)
		set_row((void *)(set->dst + y * set->pitch), set);
	return CUDA_SUCCESS;
}

static CUresult
submit_set(CUdeviceptr dst, size_t pitch, unsigned int value, unsigned int element, size_t width,
	   size_t height, CUstream stream)
{
	struct genie_cpu_op op = {.kind = GENIE_CPU_OP_SET};

	op.set.dst = dst;
	op.set.pitch = pitch;
	op.set.value = value;
	op.set.elementSize = element;
	op.set.width = width;
	op.set.height = height;
	return genie_cpu_submit(stream, &op);
}

/* A set is asynchronous on the device even where its name does not say so. */
static CUresult
cpu_cuMemsetD8_v2(CUdeviceptr dst, unsigned char value, size_t n)
{
	return submit_set(dst, n, value, 1, n, 1, CU_STREAM_LEGACY);
}

static CUresult
cpu_cuMemsetD16_v2(CUdeviceptr dst, unsigned short value, size_t n)
{
	return submit_set(dst, n, value, 2, n, 1, CU_STREAM_LEGACY);
}

static CUresult
cpu_cuMemsetD32_v2(CUdeviceptr dst, unsigned int value, size_t n)
{
	return submit_set(dst, n, value, 4, n, 1, CU_STREAM_LEGACY);
}

static CUresult
cpu_cuMemsetD2D8_v2(CUdeviceptr dst, size_t pitch, unsigned char value, size_t width, size_t height)
{
	return submit_set(dst, pitch, value, 1, width, height, CU_STREAM_LEGACY);
}

static CUresult
cpu_cuMemsetD2D16_v2(CUdeviceptr dst, size_t pitch, unsigned short value, size_t width,
		     size_t height)
{
	return submit_set(dst, pitch, value, 2, width, height, CU_STREAM_LEGACY);
}

static CUresult
cpu_cuMemsetD2D32_v2(CUdeviceptr dst, size_t pitch, unsigned int value, size_t width, size_t height)
{
	return submit_set(dst, pitch, value, 4, width, height, CU_STREAM_LEGACY);
}

static CUresult
cpu_cuMemsetD8Async(CUdeviceptr dst, unsigned char value, size_t n, CUstream stream)
{
	return submit_set(dst, n, value, 1, n, 1, stream);
}

static CUresult
cpu_cuMemsetD16Async(CUdeviceptr dst, unsigned short value, size_t n, CUstream stream)
{
	return submit_set(dst, n, value, 2, n, 1, stream);
}

static CUresult
cpu_cuMemsetD32Async(CUdeviceptr dst, unsigned int value, size_t n, CUstream stream)
{
	return submit_set(dst, n, value, 4, n, 1, stream);
}

static CUresult
cpu_cuMemsetD2D8Async(CUdeviceptr dst, size_t pitch, unsigned char value, size_t width,
		      size_t height, CUstream stream)
{
	return submit_set(dst, pitch, value, 1, width, height, stream);
}

static CUresult
cpu_cuMemsetD2D16Async(CUdeviceptr dst, size_t pitch, unsigned short value, size_t width,
		       size_t height, CUstream stream)
{
	return submit_set(dst, pitch, value, 2, width, height, stream);
}

static CUresult
cpu_cuMemsetD2D32Async(CUdeviceptr dst, size_t pitch, unsigned int value, size_t width,
		       size_t height, CUstream stream)
{
	return submit_set(dst, pitch, value, 4, width, height, stream);
}

void
genie_cpu_fill_set(struct genie_driver *drv)
{
	drv->cuMemsetD8_v2 = cpu_cuMemsetD8_v2;
	drv->cuMemsetD16_v2 = cpu_cuMemsetD16_v2;
	drv->cuMemsetD32_v2 = cpu_cuMemsetD32_v2;
	drv->cuMemsetD2D8_v2 = cpu_cuMemsetD2D8_v2;
	drv->cuMemsetD2D16_v2 = cpu_cuMemsetD2D16_v2;
	drv->cuMemsetD2D32_v2 = cpu_cuMemsetD2D32_v2;
	drv->cuMemsetD8Async = cpu_cuMemsetD8Async;
	drv->cuMemsetD16Async = cpu_cuMemsetD16Async;
	drv->cuMemsetD32Async = cpu_cuMemsetD32Async;
	drv->cuMemsetD2D8Async = cpu_cuMemsetD2D8Async;
	drv->cuMemsetD2D16Async = cpu_cuMemsetD2D16Async;
	drv->cuMemsetD2D32Async = cpu_cuMemsetD2D32Async;
}
