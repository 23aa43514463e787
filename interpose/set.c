/*
 * Sets. The range is checked here, at once; then one command goes out. The synchronous calls are
 * the asynchronous ones on the legacy stream: the driver does not wait for device memory either.
 */
#include "interpose/capture.h"
#include "interpose/copy.h"
#include "interpose/memory.h"
#include "interpose/mirror.h"

#include <string.h>

/* A set of @height rows of @width elements of @element bytes; one row: pitch does not matter. */
struct set {
	CUdeviceptr dst;
	size_t pitch, width, height;
	unsigned int element, value;
	CUstream stream;
};

/* Bytes from the first to the last one written; false: more than there are addresses. */
static bool
set_span(const struct set *set, size_t *ret_span)
{
	size_t row, rows;

	return !__builtin_mul_overflow(set->width, (size_t)set->element, &row) &&
	       !__builtin_mul_overflow(set->height - 1, set->pitch, &rows) &&
	       !__builtin_add_overflow(row, rows, ret_span);
}

static CUresult
set_check(const struct set *set, enum genie_side *ret_side)
{
	CUresult status;
	size_t span;

	if (set->dst % set->element != 0 || !set_span(set, &span) ||
	    (set->height > 1 &&
	     (set->pitch % set->element != 0 || set->pitch < set->width * set->element)))
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_copy_side(set->dst, span, ret_side);
	if (status == CUDA_SUCCESS && *ret_side == GENIE_SIDE_HOST)
		return CUDA_ERROR_INVALID_VALUE;
	return status;
}

/* Memory that only this process sees: in order of the stream, then by hand. */
static CUresult
set_by_hand(const struct set *set, struct genie_stream *stream)
{
	CUresult status = genie_stream_synchronize(stream);

	for (size_t y = 0; status == CUDA_SUCCESS && y < set->height; y++) {
		char *row = (char *)(uintptr_t)set->dst + y * set->pitch;

		for (size_t x = 0; x < set->width; x++)
			memcpy(row + x * set->element, &set->value, set->element);
	}
	return status;
}

static CUresult
set_submit(enum genie_op op, void *args, struct genie_stream *stream)
{
	uint64_t ticket = 0;
	CUresult status = genie_call_ticket(op, args, &ticket);

	if (ticket != 0)
		genie_stream_submitted(stream, ticket);
	return status;
}

static CUresult
set_row(const struct set *set, struct genie_stream *stream)
{
	CUstream wire = genie_stream_wire(stream);
	struct genie_args_cuMemsetD8Async d8 = {.dstDevice = set->dst,
						.uc = (unsigned char)set->value,
						.N = set->width,
						.hStream = wire};
	struct genie_args_cuMemsetD16Async d16 = {.dstDevice = set->dst,
						  .us = (unsigned short)set->value,
						  .N = set->width,
						  .hStream = wire};
	struct genie_args_cuMemsetD32Async d32 = {
		.dstDevice = set->dst, .ui = set->value, .N = set->width, .hStream = wire};

	if (set->element == 1)
		return set_submit(GENIE_OP_cuMemsetD8Async, &d8, stream);
	if (set->element == 2)
		return set_submit(GENIE_OP_cuMemsetD16Async, &d16, stream);
	return set_submit(GENIE_OP_cuMemsetD32Async, &d32, stream);
}

static CUresult
set_rows(const struct set *set, struct genie_stream *stream)
{
	CUstream wire = genie_stream_wire(stream);
	struct genie_args_cuMemsetD2D8Async d8 = {.dstDevice = set->dst,
						  .dstPitch = set->pitch,
						  .uc = (unsigned char)set->value,
						  .Width = set->width,
						  .Height = set->height,
						  .hStream = wire};
	struct genie_args_cuMemsetD2D16Async d16 = {.dstDevice = set->dst,
						    .dstPitch = set->pitch,
						    .us = (unsigned short)set->value,
						    .Width = set->width,
						    .Height = set->height,
						    .hStream = wire};
	struct genie_args_cuMemsetD2D32Async d32 = {.dstDevice = set->dst,
						    .dstPitch = set->pitch,
						    .ui = set->value,
						    .Width = set->width,
						    .Height = set->height,
						    .hStream = wire};

	if (set->element == 1)
		return set_submit(GENIE_OP_cuMemsetD2D8Async, &d8, stream);
	if (set->element == 2)
		return set_submit(GENIE_OP_cuMemsetD2D16Async, &d16, stream);
	return set_submit(GENIE_OP_cuMemsetD2D32Async, &d32, stream);
}

static CUresult __attribute__((noinline, cold))
set_captured(const struct set *set, struct genie_stream *stream)
{
	const CUDA_MEMSET_NODE_PARAMS params = {
		.dst = set->dst,
		.pitch = set->pitch,
		.value = set->value,
		.elementSize = set->element,
		.width = set->width,
		.height = set->height,
	};

	return genie_capture_set(stream, &params);
}

static CUresult
set_call(const struct set *set, bool sync)
{
	struct genie_stream *stream = genie_stream_get(set->stream);
	enum genie_side side;
	bool captured = false;
	CUresult status, pulled;

	if (stream == NULL)
		return genie_stream_missing();
	if (set->width == 0 || set->height == 0)
		return CUDA_SUCCESS;
	status = set_check(set, &side);
	if (status == CUDA_SUCCESS)
		status = genie_capture_enter(stream, &captured);
	if (status == CUDA_SUCCESS && sync)
		status = genie_capture_forbids();
	if (status != CUDA_SUCCESS)
		return status;
	if (__builtin_expect(captured, 0))
		return set_captured(set, stream);
	if (!genie_copy_direct(side))
		return set_by_hand(set, stream);
	status = genie_mirror_push(stream);
	if (status != CUDA_SUCCESS)
		return status;
	status = set->height == 1 ? set_row(set, stream) : set_rows(set, stream);
	/* The host may look at this memory, and must see the new values. */
	if (status == CUDA_SUCCESS && sync && side == GENIE_SIDE_PINNED)
		status = genie_stream_synchronize(stream);
	if (!sync)
		return status;
	pulled = genie_mirror_pull();
	return status == CUDA_SUCCESS ? pulled : status;
}

static CUresult
set_linear(CUdeviceptr dst, unsigned int element, unsigned int value, size_t count, CUstream stream,
	   bool sync)
{
	const struct set set = {.dst = dst,
				.width = count,
				.height = 1,
				.element = element,
				.value = value,
				.stream = stream};

	return set_call(&set, sync);
}

/* ---- the entry points ---- */

CUresult
genie_cuMemsetD8_v2(CUdeviceptr dstDevice, unsigned char uc, size_t N)
{
	return set_linear(dstDevice, 1, uc, N, NULL, true);
}

CUresult
genie_cuMemsetD16_v2(CUdeviceptr dstDevice, unsigned short us, size_t N)
{
	return set_linear(dstDevice, 2, us, N, NULL, true);
}

CUresult
genie_cuMemsetD32_v2(CUdeviceptr dstDevice, unsigned int ui, size_t N)
{
	return set_linear(dstDevice, 4, ui, N, NULL, true);
}

CUresult
genie_cuMemsetD8Async(CUdeviceptr dstDevice, unsigned char uc, size_t N, CUstream hStream)
{
	return set_linear(dstDevice, 1, uc, N, hStream, false);
}

CUresult
genie_cuMemsetD16Async(CUdeviceptr dstDevice, unsigned short us, size_t N, CUstream hStream)
{
	return set_linear(dstDevice, 2, us, N, hStream, false);
}

CUresult
genie_cuMemsetD32Async(CUdeviceptr dstDevice, unsigned int ui, size_t N, CUstream hStream)
{
	return set_linear(dstDevice, 4, ui, N, hStream, false);
}

CUresult
genie_cuMemsetD2D8_v2(CUdeviceptr dstDevice, size_t dstPitch, unsigned char uc, size_t Width,
		      size_t Height)
{
	return set_call(&(struct set){dstDevice, dstPitch, Width, Height, 1, uc, NULL}, true);
}

CUresult
genie_cuMemsetD2D16_v2(CUdeviceptr dstDevice, size_t dstPitch, unsigned short us, size_t Width,
		       size_t Height)
{
	return set_call(&(struct set){dstDevice, dstPitch, Width, Height, 2, us, NULL}, true);
}

CUresult
genie_cuMemsetD2D32_v2(CUdeviceptr dstDevice, size_t dstPitch, unsigned int ui, size_t Width,
		       size_t Height)
{
	return set_call(&(struct set){dstDevice, dstPitch, Width, Height, 4, ui, NULL}, true);
}

CUresult
genie_cuMemsetD2D8Async(CUdeviceptr dstDevice, size_t dstPitch, unsigned char uc, size_t Width,
			size_t Height, CUstream hStream)
{
	return set_call(&(struct set){dstDevice, dstPitch, Width, Height, 1, uc, hStream}, false);
}

CUresult
genie_cuMemsetD2D16Async(CUdeviceptr dstDevice, size_t dstPitch, unsigned short us, size_t Width,
			 size_t Height, CUstream hStream)
{
	return set_call(&(struct set){dstDevice, dstPitch, Width, Height, 2, us, hStream}, false);
}

CUresult
genie_cuMemsetD2D32Async(CUdeviceptr dstDevice, size_t dstPitch, unsigned int ui, size_t Width,
			 size_t Height, CUstream hStream)
{
	return set_call(&(struct set){dstDevice, dstPitch, Width, Height, 4, ui, hStream}, false);
}
