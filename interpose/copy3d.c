/*
 * Copies of rectangles and boxes, and of arrays. Every call becomes a box with two sides. When the
 * device reaches both, one command goes out. A side that only this process sees is packed into
 * contiguous pieces that travel like any copy, to or from a temporary buffer on the device, and
 * the device moves them to or from their place.
 */
#include "interpose/array.h"
#include "interpose/capture.h"
#include "interpose/copy.h"
#include "interpose/memory.h"
#include "interpose/mirror.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of one piece: several are in flight. */
#define PIECE (UINT64_C(4) << 20)

enum kind {
	KIND_HOST,   /* only this process sees it */
	KIND_DEVICE, /* the device reaches it by its address */
	KIND_ARRAY,
};

struct side {
	CUmemorytype type; /* as the program says */
	uint64_t addr;     /* not for arrays */
	CUarray array;
	size_t pitch, rows;  /* bytes of a row, rows of a slice; not for arrays */
	size_t x, y, z, lod; /* where it begins; x in bytes */
	enum kind kind;      /* found out by side_resolve() */
	bool pinned;         /* the host sees it too */
};

struct box {
	struct side src, dst;
	size_t width, height, depth; /* width in bytes */
};

/* ---- checks ---- */

/* Bytes from the first to behind the last one of the box in linear memory. */
static bool
side_span(const struct side *side, const struct box *box, size_t *ret_span)
{
	size_t slices, rows, bytes;

	return !__builtin_mul_overflow(box->depth - 1, side->rows, &slices) &&
	       !__builtin_add_overflow(slices, box->height - 1, &rows) &&
	       !__builtin_mul_overflow(rows, side->pitch, &bytes) &&
	       !__builtin_add_overflow(bytes, box->width, ret_span);
}

static uint64_t
side_addr(const struct side *side)
{
	return side->addr + (side->z * side->rows + side->y) * side->pitch + side->x;
}

/* Fills in what the program may leave out. */
static CUresult
side_complete(struct side *side, const struct box *box)
{
	if (side->pitch == 0)
		side->pitch = side->x + box->width;
	if (side->rows == 0)
		side->rows = side->y + box->height;
	if (side->pitch < side->x + box->width)
		return CUDA_ERROR_INVALID_VALUE;
	if (box->depth > 1 && side->rows < side->y + box->height)
		return CUDA_ERROR_INVALID_VALUE;
	return CUDA_SUCCESS;
}

static CUresult
side_array(struct side *side, const struct box *box)
{
	const struct genie_array *array = genie_array_get(side->array);
	const size_t origin[3] = {side->x, side->y, side->z};
	const size_t size[3] = {box->width, box->height, box->depth};

	side->kind = KIND_ARRAY;
	if (array == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	return genie_array_holds(array, origin, size) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult
side_resolve(struct side *side, const struct box *box)
{
	enum genie_side found;
	CUresult status;
	size_t span;

	if (side->type == CU_MEMORYTYPE_ARRAY)
		return side_array(side, box);
	if (side->type != CU_MEMORYTYPE_HOST && side->type != CU_MEMORYTYPE_DEVICE &&
	    side->type != CU_MEMORYTYPE_UNIFIED)
		return CUDA_ERROR_INVALID_VALUE;
	status = side_complete(side, box);
	if (status == CUDA_SUCCESS && !side_span(side, box, &span))
		status = CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS)
		status = genie_copy_side(side_addr(side), span, &found);
	if (status != CUDA_SUCCESS)
		return status;
	/* The address counts, except that memory said to be the device's must be. */
	if (side->type == CU_MEMORYTYPE_DEVICE && found == GENIE_SIDE_HOST)
		return CUDA_ERROR_INVALID_VALUE;
	side->pinned = found == GENIE_SIDE_PINNED;
	side->kind = genie_copy_direct(found) ? KIND_DEVICE : KIND_HOST;
	return CUDA_SUCCESS;
}

/* ---- on the device ---- */

static CUresult
box_submit(enum genie_op op, void *args, struct genie_stream *stream)
{
	uint64_t ticket = 0;
	CUresult status = genie_call_ticket(op, args, &ticket);

	if (ticket != 0)
		genie_stream_submitted(stream, ticket);
	return status;
}

static CUmemorytype
side_type(const struct side *side)
{
	return side->kind == KIND_ARRAY ? CU_MEMORYTYPE_ARRAY : CU_MEMORYTYPE_DEVICE;
}

static CUDA_MEMCPY3D
box_struct(const struct box *box)
{
	return (CUDA_MEMCPY3D){
		.srcXInBytes = box->src.x,
		.srcY = box->src.y,
		.srcZ = box->src.z,
		.srcLOD = box->src.lod,
		.srcMemoryType = side_type(&box->src),
		.srcDevice = box->src.addr,
		.srcArray = box->src.array,
		.srcPitch = box->src.pitch,
		.srcHeight = box->src.rows,
		.dstXInBytes = box->dst.x,
		.dstY = box->dst.y,
		.dstZ = box->dst.z,
		.dstLOD = box->dst.lod,
		.dstMemoryType = side_type(&box->dst),
		.dstDevice = box->dst.addr,
		.dstArray = box->dst.array,
		.dstPitch = box->dst.pitch,
		.dstHeight = box->dst.rows,
		.WidthInBytes = box->width,
		.Height = box->height,
		.Depth = box->depth,
	};
}

static CUresult
box_on_device(const struct box *box, struct genie_stream *stream)
{
	const CUDA_MEMCPY3D copy = box_struct(box);
	struct genie_args_cuMemcpy3DAsync_v2 args = {.pCopy = &copy,
						     .hStream = genie_stream_wire(stream)};

	return box_submit(GENIE_OP_cuMemcpy3DAsync_v2, &args, stream);
}

/* ---- with a side of this process ---- */

/* Part of a box: @nz slices from @z, of each @ny rows from @y. */
static struct box
box_part(const struct box *box, size_t z, size_t nz, size_t y, size_t ny)
{
	struct box part = *box;

	part.src.z += z;
	part.dst.z += z;
	part.src.y += y;
	part.dst.y += y;
	part.depth = nz;
	part.height = ny;
	return part;
}

/* Copies rows between the box's place in linear host memory and a packed buffer. */
static void
rows_copy(const struct side *side, const struct box *box, char *packed, bool pack)
{
	for (size_t z = 0; z < box->depth; z++) {
		for (size_t y = 0; y < box->height; y++) {
			uint64_t at = side_addr(side) + (z * side->rows + y) * side->pitch;
			char *row = (char *)(uintptr_t)at;

			if (pack)
				memcpy(packed, row, box->width);
			else
				memcpy(row, packed, box->width);
			packed += box->width;
		}
	}
}

/* The bytes of the box lie one behind the other. */
static bool
side_packed(const struct side *side, const struct box *box)
{
	if (box->height * box->depth == 1)
		return true;
	return side->pitch == box->width && (box->depth == 1 || side->rows == box->height);
}

/* A packed buffer at @addr as one side of a box. */
static struct side
side_of_buffer(uint64_t addr, const struct box *box)
{
	return (struct side){
		.addr = addr, .pitch = box->width, .rows = box->height, .kind = KIND_DEVICE};
}

static CUresult
part_upload(const struct box *box, CUdeviceptr buffer, char *packed, struct genie_stream *stream)
{
	const void *data = packed;
	struct box placing = *box;
	CUresult status = genie_copy_settle();

	if (status != CUDA_SUCCESS)
		return status;
	if (side_packed(&box->src, box))
		data = (const void *)(uintptr_t)side_addr(&box->src);
	else
		rows_copy(&box->src, box, packed, true);
	status = genie_copy_to_device(buffer, data, box->width * box->height * box->depth, stream,
				      true);
	placing.src = side_of_buffer(buffer, box);
	return status == CUDA_SUCCESS ? box_on_device(&placing, stream) : status;
}

static CUresult
part_download(const struct box *box, CUdeviceptr buffer, char *packed, struct genie_stream *stream)
{
	struct box fetching = *box;
	void *data = packed;
	CUresult status;

	if (side_packed(&box->dst, box))
		data = (void *)(uintptr_t)side_addr(&box->dst);
	fetching.dst = side_of_buffer(buffer, box);
	status = box_on_device(&fetching, stream);
	if (status == CUDA_SUCCESS)
		status = genie_copy_to_host(data, buffer, box->width * box->height * box->depth,
					    stream, true);
	if (status == CUDA_SUCCESS && data == packed)
		rows_copy(&box->dst, box, packed, false);
	return status;
}

/* One part, through its own temporary buffers. The one on the device is freed in stream order, so
 * the next part gets another one or the same, whichever is right. */
static CUresult
part_copy(const struct box *box, struct genie_stream *stream)
{
	size_t size = box->width * box->height * box->depth;
	struct genie_ctx *ctx = stream->object.ctx->home;
	char *packed = malloc(size);
	CUdeviceptr buffer;
	CUresult status;

	if (packed == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	status =
		genie_mem_alloc_device(ctx, ctx->device, size, NULL, stream->object.token, &buffer);
	if (status == CUDA_SUCCESS) {
		status = box->src.kind == KIND_HOST ? part_upload(box, buffer, packed, stream)
						    : part_download(box, buffer, packed, stream);
		(void)genie_mem_free_device(buffer, stream->object.token);
	}
	free(packed);
	return status;
}

static CUresult
box_through_buffer(const struct box *box, struct genie_stream *stream)
{
	size_t rows = PIECE / box->width != 0 ? PIECE / box->width : 1;
	size_t ny = rows < box->height ? rows : box->height;
	size_t nz = ny == box->height ? rows / box->height : 1;
	CUresult status = CUDA_SUCCESS;

	for (size_t z = 0; z < box->depth && status == CUDA_SUCCESS; z += nz) {
		for (size_t y = 0; y < box->height && status == CUDA_SUCCESS; y += ny) {
			struct box part =
				box_part(box, z, nz < box->depth - z ? nz : box->depth - z, y,
					 ny < box->height - y ? ny : box->height - y);

			status = part_copy(&part, stream);
		}
	}
	return status;
}

static CUresult
box_on_host(const struct box *box, struct genie_stream *stream)
{
	CUresult status = genie_stream_synchronize(stream);

	if (status == CUDA_SUCCESS)
		status = genie_copy_settle();
	for (size_t z = 0; z < box->depth && status == CUDA_SUCCESS; z++) {
		for (size_t y = 0; y < box->height; y++) {
			struct box row = box_part(box, z, 1, y, 1);

			memmove((void *)(uintptr_t)side_addr(&row.dst),
				(const void *)(uintptr_t)side_addr(&row.src), box->width);
		}
	}
	return status;
}

/* ---- any box ---- */

static CUresult
box_copy(struct box *box, struct genie_stream *stream, bool sync)
{
	const struct side *src = &box->src, *dst = &box->dst;
	CUresult status;

	if (box->width == 0 || box->height == 0 || box->depth == 0)
		return CUDA_SUCCESS;
	status = side_resolve(&box->src, box);
	if (status == CUDA_SUCCESS)
		status = side_resolve(&box->dst, box);
	if (status != CUDA_SUCCESS)
		return status;
	if (src->kind != KIND_HOST && dst->kind != KIND_HOST) {
		status = box_on_device(box, stream);
		if (status == CUDA_SUCCESS && sync && (src->pinned || dst->pinned))
			status = genie_stream_synchronize(stream);
		return status;
	}
	if (src->kind == KIND_HOST && dst->kind == KIND_HOST)
		return box_on_host(box, stream);
	if (src->kind != KIND_ARRAY && dst->kind != KIND_ARRAY && side_packed(src, box) &&
	    side_packed(dst, box))
		return genie_copy(side_addr(dst), side_addr(src),
				  box->width * box->height * box->depth, stream, sync);
	return box_through_buffer(box, stream);
}

/* The box as the program would have said it for a node of a graph. */
static CUresult
box_captured(const struct box *box, struct genie_stream *stream)
{
	const struct side *src = &box->src, *dst = &box->dst;
	CUDA_MEMCPY3D copy = box_struct(box);

	if (box->width == 0 || box->height == 0 || box->depth == 0)
		return CUDA_SUCCESS;
	copy.srcMemoryType = src->type;
	copy.dstMemoryType = dst->type;
	if (src->type == CU_MEMORYTYPE_HOST) {
		copy.srcHost = (const void *)(uintptr_t)src->addr;
		copy.srcDevice = 0;
	}
	if (dst->type == CU_MEMORYTYPE_HOST) {
		copy.dstHost = (void *)(uintptr_t)dst->addr;
		copy.dstDevice = 0;
	}
	return genie_capture_copy(stream, &copy);
}

static CUresult
box_call(struct box *box, CUstream handle, bool sync)
{
	struct genie_stream *stream = genie_stream_get(handle);
	bool captured = false;
	CUresult status, pulled;

	if (stream == NULL)
		return genie_stream_missing();
	status = genie_capture_enter(stream, &captured);
	if (status == CUDA_SUCCESS && sync)
		status = genie_capture_forbids();
	if (status == CUDA_SUCCESS && captured)
		return box_captured(box, stream);
	if (status == CUDA_SUCCESS)
		status = genie_mirror_push(stream);
	if (status == CUDA_SUCCESS)
		status = box_copy(box, stream, sync);
	if (!sync)
		return status;
	pulled = genie_mirror_pull();
	return status == CUDA_SUCCESS ? pulled : status;
}

/* ---- the entry points: rectangles and boxes ---- */

/* The address that counts for a memory type. */
static uint64_t
address(CUmemorytype type, const void *host, CUdeviceptr device)
{
	return type == CU_MEMORYTYPE_HOST ? (uint64_t)(uintptr_t)host : device;
}

static CUresult
copy_2d(const CUDA_MEMCPY2D *copy, CUstream stream, bool sync)
{
	struct box box;

	if (copy == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	box = (struct box){
		.src = {.type = copy->srcMemoryType,
			.addr = address(copy->srcMemoryType, copy->srcHost, copy->srcDevice),
			.array = copy->srcArray,
			.pitch = copy->srcPitch,
			.x = copy->srcXInBytes,
			.y = copy->srcY},
		.dst = {.type = copy->dstMemoryType,
			.addr = address(copy->dstMemoryType, copy->dstHost, copy->dstDevice),
			.array = copy->dstArray,
			.pitch = copy->dstPitch,
			.x = copy->dstXInBytes,
			.y = copy->dstY},
		.width = copy->WidthInBytes,
		.height = copy->Height,
		.depth = 1,
	};
	return box_call(&box, stream, sync);
}

static struct box
box_of(const CUDA_MEMCPY3D *copy)
{
	return (struct box){
		.src = {.type = copy->srcMemoryType,
			.addr = address(copy->srcMemoryType, copy->srcHost, copy->srcDevice),
			.array = copy->srcArray,
			.pitch = copy->srcPitch,
			.rows = copy->srcHeight,
			.x = copy->srcXInBytes,
			.y = copy->srcY,
			.z = copy->srcZ,
			.lod = copy->srcLOD},
		.dst = {.type = copy->dstMemoryType,
			.addr = address(copy->dstMemoryType, copy->dstHost, copy->dstDevice),
			.array = copy->dstArray,
			.pitch = copy->dstPitch,
			.rows = copy->dstHeight,
			.x = copy->dstXInBytes,
			.y = copy->dstY,
			.z = copy->dstZ,
			.lod = copy->dstLOD},
		.width = copy->WidthInBytes,
		.height = copy->Height,
		.depth = copy->Depth,
	};
}

/* A node's side, when the device does not reach it. */
static void
plan_host(const struct side *side, CUmemorytype *type, const void **host, CUdeviceptr *device)
{
	if (side->kind != KIND_HOST)
		return;
	*type = CU_MEMORYTYPE_HOST;
	*host = (const void *)(uintptr_t)side->addr;
	*device = 0;
}

/* A node may run long after this: pinned memory that is not shared is no side for the device, and
 * what the worker keeps alike only is not either. */
static CUresult
plan_side(struct side *side, const struct box *box)
{
	CUresult status = side_resolve(side, box);
	struct genie_mem mem;

	if (status == CUDA_SUCCESS && side->kind == KIND_DEVICE &&
	    genie_mem_find(side->addr, &mem) && mem.type == GENIE_MEM_PINNED && mem.mirrored)
		side->kind = KIND_HOST;
	return status;
}

CUresult
genie_copy3d_plan(const CUDA_MEMCPY3D *copy, CUDA_MEMCPY3D *ret_plan)
{
	struct box box = box_of(copy);
	const void *host = NULL;
	CUresult status;

	*ret_plan = *copy;
	if (box.width == 0 || box.height == 0 || box.depth == 0)
		return CUDA_SUCCESS;
	status = plan_side(&box.src, &box);
	if (status == CUDA_SUCCESS)
		status = plan_side(&box.dst, &box);
	if (status != CUDA_SUCCESS)
		return status;
	*ret_plan = box_struct(&box);
	plan_host(&box.src, &ret_plan->srcMemoryType, &ret_plan->srcHost, &ret_plan->srcDevice);
	plan_host(&box.dst, &ret_plan->dstMemoryType, &host, &ret_plan->dstDevice);
	ret_plan->dstHost = (void *)(uintptr_t)host;
	return CUDA_SUCCESS;
}

static CUresult
copy_3d(const CUDA_MEMCPY3D *copy, CUstream stream, bool sync)
{
	struct box box;

	if (copy == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	box = box_of(copy);
	return box_call(&box, stream, sync);
}

/* An address says which device it belongs to, so the contexts add nothing. */
static CUresult
copy_3d_peer(const CUDA_MEMCPY3D_PEER *copy, CUstream stream, bool sync)
{
	CUDA_MEMCPY3D plain;

	if (copy == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	_Static_assert(sizeof(plain) == sizeof(*copy), "the same, but for the contexts");
	memcpy(&plain, copy, sizeof(plain));
	return copy_3d(&plain, stream, sync);
}

CUresult
genie_cuMemcpy2D_v2(const CUDA_MEMCPY2D *pCopy)
{
	return copy_2d(pCopy, NULL, true);
}

CUresult
genie_cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D *pCopy)
{
	return copy_2d(pCopy, NULL, true);
}

CUresult
genie_cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *pCopy, CUstream hStream)
{
	return copy_2d(pCopy, hStream, false);
}

CUresult
genie_cuMemcpy3D_v2(const CUDA_MEMCPY3D *pCopy)
{
	return copy_3d(pCopy, NULL, true);
}

CUresult
genie_cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D *pCopy, CUstream hStream)
{
	return copy_3d(pCopy, hStream, false);
}

CUresult
genie_cuMemcpy3DPeer(const CUDA_MEMCPY3D_PEER *pCopy)
{
	return copy_3d_peer(pCopy, NULL, true);
}

CUresult
genie_cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER *pCopy, CUstream hStream)
{
	return copy_3d_peer(pCopy, hStream, false);
}

/* ---- the entry points: batches ---- */

/* Bytes of an element: of the arrays that take part, or 1. 0: there is no such array, or the two
 * differ. */
static size_t
batch_element(const CUDA_MEMCPY3D_BATCH_OP *op)
{
	const CUmemcpy3DOperand *sides[2] = {&op->src, &op->dst};
	size_t element = 0;

	for (int i = 0; i < 2; i++) {
		const struct genie_array *array;
		size_t size;

		if (sides[i]->type != CU_MEMCPY_OPERAND_TYPE_ARRAY)
			continue;
		array = genie_array_get(sides[i]->op.array.array);
		size = array != NULL ? genie_array_element(array) : 0;
		if (size == 0 || (element != 0 && element != size))
			return 0;
		element = size;
	}
	return element != 0 ? element : 1;
}

static bool
batch_side(const CUmemcpy3DOperand *operand, size_t element, struct side *ret_side)
{
	switch (operand->type) {
	case CU_MEMCPY_OPERAND_TYPE_POINTER:
		*ret_side = (struct side){.type = CU_MEMORYTYPE_UNIFIED,
					  .addr = operand->op.ptr.ptr,
					  .rows = operand->op.ptr.layerHeight};
		return !__builtin_mul_overflow(operand->op.ptr.rowLength, element,
					       &ret_side->pitch);
	case CU_MEMCPY_OPERAND_TYPE_ARRAY:
		*ret_side = (struct side){.type = CU_MEMORYTYPE_ARRAY,
					  .array = operand->op.array.array,
					  .y = operand->op.array.offset.y,
					  .z = operand->op.array.offset.z};
		return !__builtin_mul_overflow(operand->op.array.offset.x, element, &ret_side->x);
	default:
		return false;
	}
}

static CUresult
batch_one(const CUDA_MEMCPY3D_BATCH_OP *op, CUstream stream)
{
	struct box box = {.height = op->extent.height, .depth = op->extent.depth};
	size_t element = batch_element(op);

	if (element == 0 || !genie_copy_order_valid(op->srcAccessOrder) || op->extent.width == 0 ||
	    op->extent.height == 0 || op->extent.depth == 0 ||
	    __builtin_mul_overflow(op->extent.width, element, &box.width) ||
	    !batch_side(&op->src, element, &box.src) || !batch_side(&op->dst, element, &box.dst))
		return CUDA_ERROR_INVALID_VALUE;
	return box_call(&box, stream, false);
}

CUresult
genie_cuMemcpy3DBatchAsync(size_t numOps, CUDA_MEMCPY3D_BATCH_OP *opList, size_t *failIdx,
			   unsigned long long flags, CUstream hStream)
{
	bool during_call = false;

	if (failIdx != NULL)
		*failIdx = SIZE_MAX;
	if (numOps == 0 || opList == NULL || flags != 0)
		return CUDA_ERROR_INVALID_VALUE;
	if (hStream == NULL) /* the legacy stream is refused by this call */
		return CUDA_ERROR_INVALID_HANDLE;
	for (size_t i = 0; i < numOps; i++) {
		CUresult status = batch_one(&opList[i], hStream);

		if (status != CUDA_SUCCESS) {
			if (failIdx != NULL)
				*failIdx = i;
			return status;
		}
		during_call |=
			opList[i].srcAccessOrder == CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL;
	}
	return genie_copy_batch_settle(during_call, hStream);
}

CUresult
genie_cuMemcpy3DBatchAsync_v2(size_t numOps, CUDA_MEMCPY3D_BATCH_OP *opList,
			      unsigned long long flags, CUstream hStream)
{
	return genie_cuMemcpy3DBatchAsync(numOps, opList, NULL, flags, hStream);
}

/* ---- the entry points: bytes of arrays ---- */

/* One side of a copy of bytes that stays in the first row of an array. */
static CUresult
array_side(CUarray handle, size_t offset, size_t size, struct side *ret_side)
{
	const struct genie_array *array = genie_array_get(handle);
	size_t end;

	if (array == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (__builtin_add_overflow(offset, size, &end) || end > genie_array_row(array))
		return CUDA_ERROR_INVALID_VALUE;
	*ret_side = (struct side){.type = CU_MEMORYTYPE_ARRAY, .array = handle, .x = offset};
	return CUDA_SUCCESS;
}

static CUresult
to_array(CUarray array, size_t offset, CUmemorytype type, uint64_t addr, size_t size,
	 CUstream stream, bool sync)
{
	struct box box = {
		.src = {.type = type, .addr = addr}, .width = size, .height = 1, .depth = 1};
	CUresult status = array_side(array, offset, size, &box.dst);

	return status == CUDA_SUCCESS ? box_call(&box, stream, sync) : status;
}

static CUresult
from_array(CUmemorytype type, uint64_t addr, CUarray array, size_t offset, size_t size,
	   CUstream stream, bool sync)
{
	struct box box = {
		.dst = {.type = type, .addr = addr}, .width = size, .height = 1, .depth = 1};
	CUresult status = array_side(array, offset, size, &box.src);

	return status == CUDA_SUCCESS ? box_call(&box, stream, sync) : status;
}

CUresult
genie_cuMemcpyDtoA_v2(CUarray dstArray, size_t dstOffset, CUdeviceptr srcDevice, size_t ByteCount)
{
	return to_array(dstArray, dstOffset, CU_MEMORYTYPE_DEVICE, srcDevice, ByteCount, NULL,
			true);
}

CUresult
genie_cuMemcpyAtoD_v2(CUdeviceptr dstDevice, CUarray srcArray, size_t srcOffset, size_t ByteCount)
{
	return from_array(CU_MEMORYTYPE_DEVICE, dstDevice, srcArray, srcOffset, ByteCount, NULL,
			  true);
}

CUresult
genie_cuMemcpyHtoA_v2(CUarray dstArray, size_t dstOffset, const void *srcHost, size_t ByteCount)
{
	return to_array(dstArray, dstOffset, CU_MEMORYTYPE_HOST, (uint64_t)(uintptr_t)srcHost,
			ByteCount, NULL, true);
}

CUresult
genie_cuMemcpyHtoAAsync_v2(CUarray dstArray, size_t dstOffset, const void *srcHost,
			   size_t ByteCount, CUstream hStream)
{
	return to_array(dstArray, dstOffset, CU_MEMORYTYPE_HOST, (uint64_t)(uintptr_t)srcHost,
			ByteCount, hStream, false);
}

CUresult
genie_cuMemcpyAtoH_v2(void *dstHost, CUarray srcArray, size_t srcOffset, size_t ByteCount)
{
	return from_array(CU_MEMORYTYPE_HOST, (uint64_t)(uintptr_t)dstHost, srcArray, srcOffset,
			  ByteCount, NULL, true);
}

CUresult
genie_cuMemcpyAtoHAsync_v2(void *dstHost, CUarray srcArray, size_t srcOffset, size_t ByteCount,
			   CUstream hStream)
{
	return from_array(CU_MEMORYTYPE_HOST, (uint64_t)(uintptr_t)dstHost, srcArray, srcOffset,
			  ByteCount, hStream, false);
}

CUresult
genie_cuMemcpyAtoA_v2(CUarray dstArray, size_t dstOffset, CUarray srcArray, size_t srcOffset,
		      size_t ByteCount)
{
	struct box box = {.width = ByteCount, .height = 1, .depth = 1};
	CUresult status = array_side(dstArray, dstOffset, ByteCount, &box.dst);

	if (status == CUDA_SUCCESS)
		status = array_side(srcArray, srcOffset, ByteCount, &box.src);
	return status == CUDA_SUCCESS ? box_call(&box, NULL, true) : status;
}
