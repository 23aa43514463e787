/*
 * Copies. All of CUDA's copies are a CUDA_MEMCPY3D: a box of rows, each side host memory, device
 * memory or an array. Device addresses are checked when the copy is submitted and, if it had to
 * wait, once more when it runs. Host addresses are the worker's own.
 */
#include <string.h>

#include "remote/device_cpu/cpu.h"

/* One side of a copy: where its first byte is and how far apart rows and slices are. */
struct side {
	uint8_t *first;
	size_t pitch, slice;
};

/* The fields of one side in CUDA's struct. */
struct side_desc {
	CUmemorytype type;
	const void *host;
	CUdeviceptr device;
	CUarray array;
	size_t x, y, z, pitch, height;
};

static struct side_desc
source_of(const CUDA_MEMCPY3D *copy)
{
	return (struct side_desc){
		.type = copy->srcMemoryType,
		.host = copy->srcHost,
		.device = copy->srcDevice,
		.array = copy->srcArray,
		.x = copy->srcXInBytes,
		.y = copy->srcY,
		.z = copy->srcZ,
		.pitch = copy->srcPitch,
		.height = copy->srcHeight,
	};
}

static struct side_desc
target_of(const CUDA_MEMCPY3D *copy)
{
	return (struct side_desc){
		.type = copy->dstMemoryType,
		.host = copy->dstHost,
		.device = copy->dstDevice,
		.array = copy->dstArray,
		.x = copy->dstXInBytes,
		.y = copy->dstY,
		.z = copy->dstZ,
		.pitch = copy->dstPitch,
		.height = copy->dstHeight,
	};
}

/* @offset + @size fits into @limit. */
static bool
fits(size_t offset, size_t size, size_t limit)
{
	return size <= limit && offset <= limit - size;
}

static CUresult
resolve_array(const CUDA_MEMCPY3D *copy, const struct side_desc *desc, struct side *side)
{
	const struct genie_cpu_array *array = genie_cpu_array_get(desc->array);

	if (!array)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!fits(desc->x, copy->WidthInBytes, array->pitch) ||
	    !fits(desc->y, copy->Height, array->slice / array->pitch) ||
	    !fits(desc->z, copy->Depth, array->size / array->slice))
		return CUDA_ERROR_INVALID_VALUE;
	side->pitch = array->pitch;
	side->slice = array->slice;
	side->first = array->data + desc->z * array->slice + desc->y * array->pitch + desc->x;
	return CUDA_SUCCESS;
}

/*
 * Where the side's bytes are. A pitch or height of 0 means that rows or slices follow each other.
 */
static CUresult
resolve(const CUDA_MEMCPY3D *copy, const struct side_desc *desc, bool write, struct side *side)
{
	uint64_t base, offset, rows, planes, span;
	bool host = desc->type == CU_MEMORYTYPE_HOST;
	size_t height;

	if (desc->type == CU_MEMORYTYPE_ARRAY)
		return resolve_array(copy, desc, side);
	if (!host && desc->type != CU_MEMORYTYPE_DEVICE && desc->type != CU_MEMORYTYPE_UNIFIED)
		return CUDA_ERROR_INVALID_VALUE;
	base = host ? (uint64_t)desc->host : desc->device;
	side->pitch = desc->pitch;
	height = desc->height;
	if ((!side->pitch && __builtin_add_overflow(desc->x, copy->WidthInBytes, &side->pitch)) ||
	    (!height && __builtin_add_overflow(desc->y, copy->Height, &height)))
		return CUDA_ERROR_INVALID_VALUE;
	if (!fits(desc->x, copy->WidthInBytes, side->pitch) ||
	    (copy->Depth > 1 && !fits(desc->y, copy->Height, height)) ||
	    __builtin_mul_overflow(side->pitch, height, &side->slice))
		return CUDA_ERROR_INVALID_VALUE;
	if (__builtin_mul_overflow(desc->z, side->slice, &planes) ||
	    __builtin_mul_overflow(desc->y, side->pitch, &rows) ||
	    __builtin_add_overflow(planes, rows, &offset) ||
	    __builtin_add_overflow(offset, desc->x, &offset) ||
	    __builtin_add_overflow(base, offset, &base))
		return CUDA_ERROR_INVALID_VALUE;
	side->first = (uint8_t *)base;
	if (host)
		return desc->host ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
	/* from the first byte to the last: a program has no holes between its rows */
	if (__builtin_mul_overflow(copy->Depth - 1, side->slice, &planes) ||
	    __builtin_mul_overflow(copy->Height - 1, side->pitch, &rows) ||
	    __builtin_add_overflow(planes, rows, &span) ||
	    __builtin_add_overflow(span, copy->WidthInBytes, &span) ||
	    !genie_cpu_accessible(base, span, write))
		return CUDA_ERROR_INVALID_VALUE;
	return CUDA_SUCCESS;
}

static CUresult
resolve_both(const CUDA_MEMCPY3D *copy, struct side *src, struct side *dst)
{
	struct side_desc src_desc = source_of(copy), dst_desc = target_of(copy);
	CUresult status = resolve(copy, &src_desc, false, src);

	return status == CUDA_SUCCESS ? resolve(copy, &dst_desc, true, dst) : status;
}

static bool
is_empty(const CUDA_MEMCPY3D *copy)
{
	return !copy->WidthInBytes || !copy->Height || !copy->Depth;
}

CUresult
genie_cpu_copy_check(const CUDA_MEMCPY3D *copy)
{
	struct side src, dst;

	return is_empty(copy) ? CUDA_SUCCESS : resolve_both(copy, &src, &dst);
}

CUresult
genie_cpu_copy_run(const CUDA_MEMCPY3D *copy)
{
	struct side src, dst;
	CUresult status;

	if (is_empty(copy))
		return CUDA_SUCCESS;
	status = resolve_both(copy, &src, &dst);
	if (status != CUDA_SUCCESS)
		return status;
	for (size_t z = 0; z < copy->Depth; z++) {
		const uint8_t *from = src.first + z * src.slice;
		uint8_t *to = dst.first + z * dst.slice;

		if (src.pitch == copy->WidthInBytes && dst.pitch == copy->WidthInBytes) {
			memmove(to, from, copy->WidthInBytes * copy->Height);
			continue;
		}
		for (size_t y = 0; y < copy->Height; y++)
			memmove(to + y * dst.pitch, from + y * src.pitch, copy->WidthInBytes);
	}
	return CUDA_SUCCESS;
}

/* ---- CUDA's functions: each makes a box of its parameters ---- */

static CUresult
submit_copy(const CUDA_MEMCPY3D *copy, CUstream stream)
{
	struct genie_cpu_op op = {.kind = GENIE_CPU_OP_COPY, .copy = *copy};

	return genie_cpu_submit(stream, &op);
}

/* A copy that is done when the call returns. */
static CUresult
copy_now(const CUDA_MEMCPY3D *copy)
{
	CUresult status = submit_copy(copy, CU_STREAM_LEGACY);

	return status == CUDA_SUCCESS ? genie_cpu_wait_idle(NULL) : status;
}

static CUDA_MEMCPY3D
line(size_t size)
{
	return (CUDA_MEMCPY3D){.WidthInBytes = size, .Height = 1, .Depth = 1};
}

static void
from_device(CUDA_MEMCPY3D *copy, CUdeviceptr addr)
{
	copy->srcMemoryType = CU_MEMORYTYPE_DEVICE;
	copy->srcDevice = addr;
}

static void
to_device(CUDA_MEMCPY3D *copy, CUdeviceptr addr)
{
	copy->dstMemoryType = CU_MEMORYTYPE_DEVICE;
	copy->dstDevice = addr;
}

static void
from_host(CUDA_MEMCPY3D *copy, const void *host)
{
	copy->srcMemoryType = CU_MEMORYTYPE_HOST;
	copy->srcHost = host;
}

static void
to_host(CUDA_MEMCPY3D *copy, void *host)
{
	copy->dstMemoryType = CU_MEMORYTYPE_HOST;
	copy->dstHost = host;
}

static void
from_array(CUDA_MEMCPY3D *copy, CUarray array, size_t offset)
{
	copy->srcMemoryType = CU_MEMORYTYPE_ARRAY;
	copy->srcArray = array;
	copy->srcXInBytes = offset;
}

static void
to_array(CUDA_MEMCPY3D *copy, CUarray array, size_t offset)
{
	copy->dstMemoryType = CU_MEMORYTYPE_ARRAY;
	copy->dstArray = array;
	copy->dstXInBytes = offset;
}

static CUDA_MEMCPY3D
host_to_device(CUdeviceptr dst, const void *src, size_t size)
{
	CUDA_MEMCPY3D copy = line(size);

	from_host(&copy, src);
	to_device(&copy, dst);
	return copy;
}

static CUDA_MEMCPY3D
device_to_host(void *dst, CUdeviceptr src, size_t size)
{
	CUDA_MEMCPY3D copy = line(size);

	from_device(&copy, src);
	to_host(&copy, dst);
	return copy;
}

static CUDA_MEMCPY3D
device_to_device(CUdeviceptr dst, CUdeviceptr src, size_t size)
{
	CUDA_MEMCPY3D copy = line(size);

	from_device(&copy, src);
	to_device(&copy, dst);
	return copy;
}

static CUresult
cpu_cuMemcpyHtoD_v2(CUdeviceptr dst, const void *src, size_t size)
{
	CUDA_MEMCPY3D copy = host_to_device(dst, src, size);

	return copy_now(&copy);
}

static CUresult
cpu_cuMemcpyHtoDAsync_v2(CUdeviceptr dst, const void *src, size_t size, CUstream stream)
{
	CUDA_MEMCPY3D copy = host_to_device(dst, src, size);

	return submit_copy(&copy, stream);
}

static CUresult
cpu_cuMemcpyDtoH_v2(void *dst, CUdeviceptr src, size_t size)
{
	CUDA_MEMCPY3D copy = device_to_host(dst, src, size);

	return copy_now(&copy);
}

static CUresult
cpu_cuMemcpyDtoHAsync_v2(void *dst, CUdeviceptr src, size_t size, CUstream stream)
{
	CUDA_MEMCPY3D copy = device_to_host(dst, src, size);

	return submit_copy(&copy, stream);
}

static CUresult
cpu_cuMemcpyDtoD_v2(CUdeviceptr dst, CUdeviceptr src, size_t size)
{
	CUDA_MEMCPY3D copy = device_to_device(dst, src, size);

	return copy_now(&copy);
}

static CUresult
cpu_cuMemcpyDtoDAsync_v2(CUdeviceptr dst, CUdeviceptr src, size_t size, CUstream stream)
{
	CUDA_MEMCPY3D copy = device_to_device(dst, src, size);

	return submit_copy(&copy, stream);
}

/* Unified addresses: both sides must be memory the device knows, pinned host memory included. */
static CUresult
cpu_cuMemcpy(CUdeviceptr dst, CUdeviceptr src, size_t size)
{
	return cpu_cuMemcpyDtoD_v2(dst, src, size);
}

static CUresult
cpu_cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t size, CUstream stream)
{
	return cpu_cuMemcpyDtoDAsync_v2(dst, src, size, stream);
}

static CUresult
cpu_cuMemcpyPeer(CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src, CUcontext src_ctx,
		 size_t size)
{
	(void)dst_ctx;
	(void)src_ctx;
	return cpu_cuMemcpyDtoD_v2(dst, src, size);
}

static CUresult
cpu_cuMemcpyPeerAsync(CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src, CUcontext src_ctx,
		      size_t size, CUstream stream)
{
	(void)dst_ctx;
	(void)src_ctx;
	return cpu_cuMemcpyDtoDAsync_v2(dst, src, size, stream);
}

static CUresult
cpu_cuMemcpyDtoA_v2(CUarray dst, size_t offset, CUdeviceptr src, size_t size)
{
	CUDA_MEMCPY3D copy = line(size);

	from_device(&copy, src);
	to_array(&copy, dst, offset);
	return copy_now(&copy);
}

static CUresult
cpu_cuMemcpyAtoD_v2(CUdeviceptr dst, CUarray src, size_t offset, size_t size)
{
	CUDA_MEMCPY3D copy = line(size);

	from_array(&copy, src, offset);
	to_device(&copy, dst);
	return copy_now(&copy);
}

static CUresult
cpu_cuMemcpyHtoAAsync_v2(CUarray dst, size_t offset, const void *src, size_t size, CUstream stream)
{
	CUDA_MEMCPY3D copy = line(size);

	from_host(&copy, src);
	to_array(&copy, dst, offset);
	return submit_copy(&copy, stream);
}

static CUresult
cpu_cuMemcpyHtoA_v2(CUarray dst, size_t offset, const void *src, size_t size)
{
	CUresult status = cpu_cuMemcpyHtoAAsync_v2(dst, offset, src, size, CU_STREAM_LEGACY);

	return status == CUDA_SUCCESS ? genie_cpu_wait_idle(NULL) : status;
}

static CUresult
cpu_cuMemcpyAtoHAsync_v2(void *dst, CUarray src, size_t offset, size_t size, CUstream stream)
{
	CUDA_MEMCPY3D copy = line(size);

	from_array(&copy, src, offset);
	to_host(&copy, dst);
	return submit_copy(&copy, stream);
}

static CUresult
cpu_cuMemcpyAtoH_v2(void *dst, CUarray src, size_t offset, size_t size)
{
	CUresult status = cpu_cuMemcpyAtoHAsync_v2(dst, src, offset, size, CU_STREAM_LEGACY);

	return status == CUDA_SUCCESS ? genie_cpu_wait_idle(NULL) : status;
}

static CUresult
cpu_cuMemcpyAtoA_v2(CUarray dst, size_t dst_offset, CUarray src, size_t src_offset, size_t size)
{
	CUDA_MEMCPY3D copy = line(size);

	from_array(&copy, src, src_offset);
	to_array(&copy, dst, dst_offset);
	return copy_now(&copy);
}

static CUDA_MEMCPY3D
plane(const CUDA_MEMCPY2D *copy)
{
	return (CUDA_MEMCPY3D){
		.srcXInBytes = copy->srcXInBytes,
		.srcY = copy->srcY,
		.srcMemoryType = copy->srcMemoryType,
		.srcHost = copy->srcHost,
		.srcDevice = copy->srcDevice,
		.srcArray = copy->srcArray,
		.srcPitch = copy->srcPitch,
		.dstXInBytes = copy->dstXInBytes,
		.dstY = copy->dstY,
		.dstMemoryType = copy->dstMemoryType,
		.dstHost = copy->dstHost,
		.dstDevice = copy->dstDevice,
		.dstArray = copy->dstArray,
		.dstPitch = copy->dstPitch,
		.WidthInBytes = copy->WidthInBytes,
		.Height = copy->Height,
		.Depth = 1,
	};
}

static CUresult
cpu_cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *desc, CUstream stream)
{
	CUDA_MEMCPY3D copy;

	if (!desc)
		return CUDA_ERROR_INVALID_VALUE;
	copy = plane(desc);
	return submit_copy(&copy, stream);
}

static CUresult
cpu_cuMemcpy2D_v2(const CUDA_MEMCPY2D *desc)
{
	CUDA_MEMCPY3D copy;

	if (!desc)
		return CUDA_ERROR_INVALID_VALUE;
	copy = plane(desc);
	return copy_now(&copy);
}

static CUresult
cpu_cuMemcpy3D_v2(const CUDA_MEMCPY3D *copy)
{
	return copy ? copy_now(copy) : CUDA_ERROR_INVALID_VALUE;
}

static CUresult
cpu_cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D *copy, CUstream stream)
{
	return copy ? submit_copy(copy, stream) : CUDA_ERROR_INVALID_VALUE;
}

/* Between two contexts of one device: the contexts do not matter. */
static CUDA_MEMCPY3D
peer_box(const CUDA_MEMCPY3D_PEER *peer)
{
	return (CUDA_MEMCPY3D){
		.srcXInBytes = peer->srcXInBytes,
		.srcY = peer->srcY,
		.srcZ = peer->srcZ,
		.srcLOD = peer->srcLOD,
		.srcMemoryType = peer->srcMemoryType,
		.srcHost = peer->srcHost,
		.srcDevice = peer->srcDevice,
		.srcArray = peer->srcArray,
		.srcPitch = peer->srcPitch,
		.srcHeight = peer->srcHeight,
		.dstXInBytes = peer->dstXInBytes,
		.dstY = peer->dstY,
		.dstZ = peer->dstZ,
		.dstLOD = peer->dstLOD,
		.dstMemoryType = peer->dstMemoryType,
		.dstHost = peer->dstHost,
		.dstDevice = peer->dstDevice,
		.dstArray = peer->dstArray,
		.dstPitch = peer->dstPitch,
		.dstHeight = peer->dstHeight,
		.WidthInBytes = peer->WidthInBytes,
		.Height = peer->Height,
		.Depth = peer->Depth,
	};
}

static CUresult
cpu_cuMemcpy3DPeer(const CUDA_MEMCPY3D_PEER *peer)
{
	CUDA_MEMCPY3D copy;

	if (!peer)
		return CUDA_ERROR_INVALID_VALUE;
	copy = peer_box(peer);
	return copy_now(&copy);
}

static CUresult
cpu_cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER *peer, CUstream stream)
{
	CUDA_MEMCPY3D copy;

	if (!peer)
		return CUDA_ERROR_INVALID_VALUE;
	copy = peer_box(peer);
	return submit_copy(&copy, stream);
}

static CUresult
cpu_cuMemcpyBatchAsync_v2(CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes, size_t count,
			  CUmemcpyAttributes *attrs, size_t *attr_indices, size_t attr_count,
			  CUstream stream)
{
	(void)attrs; /* how the source may be read: all at once here */
	(void)attr_indices;
	(void)attr_count;
	if (!dsts || !srcs || !sizes || !count)
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < count; i++) {
		CUresult status = cpu_cuMemcpyAsync(dsts[i], srcs[i], sizes[i], stream);

		if (status != CUDA_SUCCESS)
			return status;
	}
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuMemcpyBatchAsync(CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes, size_t count,
		       CUmemcpyAttributes *attrs, size_t *attr_indices, size_t attr_count,
		       size_t *fail_index, CUstream stream)
{
	if (fail_index)
		*fail_index = SIZE_MAX;
	return cpu_cuMemcpyBatchAsync_v2(dsts, srcs, sizes, count, attrs, attr_indices, attr_count,
					 stream);
}

void
genie_cpu_fill_copy(struct genie_driver *drv)
{
	drv->cuMemcpyHtoD_v2 = cpu_cuMemcpyHtoD_v2;
	drv->cuMemcpyHtoDAsync_v2 = cpu_cuMemcpyHtoDAsync_v2;
	drv->cuMemcpyDtoH_v2 = cpu_cuMemcpyDtoH_v2;
	drv->cuMemcpyDtoHAsync_v2 = cpu_cuMemcpyDtoHAsync_v2;
	drv->cuMemcpyDtoD_v2 = cpu_cuMemcpyDtoD_v2;
	drv->cuMemcpyDtoDAsync_v2 = cpu_cuMemcpyDtoDAsync_v2;
	drv->cuMemcpy = cpu_cuMemcpy;
	drv->cuMemcpyAsync = cpu_cuMemcpyAsync;
	drv->cuMemcpyPeer = cpu_cuMemcpyPeer;
	drv->cuMemcpyPeerAsync = cpu_cuMemcpyPeerAsync;
	drv->cuMemcpyDtoA_v2 = cpu_cuMemcpyDtoA_v2;
	drv->cuMemcpyAtoD_v2 = cpu_cuMemcpyAtoD_v2;
	drv->cuMemcpyHtoA_v2 = cpu_cuMemcpyHtoA_v2;
	drv->cuMemcpyHtoAAsync_v2 = cpu_cuMemcpyHtoAAsync_v2;
	drv->cuMemcpyAtoH_v2 = cpu_cuMemcpyAtoH_v2;
	drv->cuMemcpyAtoHAsync_v2 = cpu_cuMemcpyAtoHAsync_v2;
	drv->cuMemcpyAtoA_v2 = cpu_cuMemcpyAtoA_v2;
	drv->cuMemcpy2D_v2 = cpu_cuMemcpy2D_v2;
	drv->cuMemcpy2DUnaligned_v2 = cpu_cuMemcpy2D_v2;
	drv->cuMemcpy2DAsync_v2 = cpu_cuMemcpy2DAsync_v2;
	drv->cuMemcpy3D_v2 = cpu_cuMemcpy3D_v2;
	drv->cuMemcpy3DAsync_v2 = cpu_cuMemcpy3DAsync_v2;
	drv->cuMemcpy3DPeer = cpu_cuMemcpy3DPeer;
	drv->cuMemcpy3DPeerAsync = cpu_cuMemcpy3DPeerAsync;
	drv->cuMemcpyBatchAsync = cpu_cuMemcpyBatchAsync;
	drv->cuMemcpyBatchAsync_v2 = cpu_cuMemcpyBatchAsync_v2;
}
