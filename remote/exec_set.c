/*
 * Sets of device memory, in streams and as nodes of graphs, and the writes and waits of a stream:
 * calls whose addresses must be looked at before the driver gets them (address.h).
 */
#include "remote/address.h"
#include "remote/exec.h"

/* The stream of a set of @height rows of @width elements. */
static CUresult
set_begin(struct genie_session *session, CUstream token, CUdeviceptr dst, size_t pitch,
	  size_t width, size_t element, size_t height, struct genie_stream **ret_stream)
{
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)token);
	struct genie_box box = {.height = height, .depth = 1, .pitch = pitch};

	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	*ret_stream = stream;
	if (__builtin_mul_overflow(width, element, &box.width))
		return CUDA_ERROR_INVALID_VALUE;
	return genie_address_check_box(session, dst, &box);
}

#define SET(name, element, ...)                                                                    \
	CUresult genie_exec_##name(struct genie_session *session, struct genie_args_##name *args)  \
	{                                                                                          \
		struct genie_stream *stream = NULL;                                                \
		CUresult status = set_begin(session, args->hStream, args->dstDevice, 0, args->N,   \
					    element, 1, &stream);                                  \
                                                                                                   \
		if (status != CUDA_SUCCESS)                                                        \
			return status;                                                             \
		return session->drv->name(args->dstDevice, __VA_ARGS__, args->N, stream->handle);  \
	}

#define SET_2D(name, element, ...)                                                                 \
	CUresult genie_exec_##name(struct genie_session *session, struct genie_args_##name *args)  \
	{                                                                                          \
		struct genie_stream *stream = NULL;                                                \
		CUresult status =                                                                  \
			set_begin(session, args->hStream, args->dstDevice, args->dstPitch,         \
				  args->Width, element, args->Height, &stream);                    \
                                                                                                   \
		if (status != CUDA_SUCCESS)                                                        \
			return status;                                                             \
		return session->drv->name(args->dstDevice, args->dstPitch, __VA_ARGS__,            \
					  args->Width, args->Height, stream->handle);              \
	}

SET(cuMemsetD16Async, 2, args->us)
SET(cuMemsetD32Async, 4, args->ui)
SET_2D(cuMemsetD2D8Async, 1, args->uc)
SET_2D(cuMemsetD2D16Async, 2, args->us)
SET_2D(cuMemsetD2D32Async, 4, args->ui)

#undef SET
#undef SET_2D

/* ---- nodes of graphs ---- */

CUresult
genie_set_check(struct genie_session *session, const CUDA_MEMSET_NODE_PARAMS_v2 *params)
{
	struct genie_box box = {.height = params->height, .depth = 1, .pitch = params->pitch};

	if (__builtin_mul_overflow(params->width, (uint64_t)params->elementSize, &box.width))
		return CUDA_ERROR_INVALID_VALUE;
	return genie_address_check_box(session, params->dst, &box);
}

/* ---- writes and waits of a stream ---- */

CUresult
genie_memop_check(struct genie_session *session, CUstreamBatchMemOpParams *op)
{
	switch ((int)op->operation) {
	case CU_STREAM_MEM_OP_WAIT_VALUE_32:
	case CU_STREAM_MEM_OP_WAIT_VALUE_64:
		op->waitValue.alias = 0;
		return genie_address_check(session, op->waitValue.address,
					   op->operation == CU_STREAM_MEM_OP_WAIT_VALUE_32 ? 4 : 8);
	case CU_STREAM_MEM_OP_WRITE_VALUE_32:
	case CU_STREAM_MEM_OP_WRITE_VALUE_64:
		op->writeValue.alias = 0;
		return genie_address_check(session, op->writeValue.address,
					   op->operation == CU_STREAM_MEM_OP_WRITE_VALUE_32 ? 4
											    : 8);
	case CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES:
	case CU_STREAM_MEM_OP_BARRIER:
		return CUDA_SUCCESS;
	default: /* one that is not known may have an address anywhere */
		return CUDA_ERROR_NOT_SUPPORTED;
	}
}

CUresult
genie_exec_cuStreamBatchMemOp_v2(struct genie_session *session,
				 struct genie_args_cuStreamBatchMemOp_v2 *args)
{
	struct genie_stream *stream = genie_stream_use(session, (uintptr_t)args->stream);
	CUresult status = CUDA_SUCCESS;

	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	/* in memory of this command alone */
	for (unsigned int i = 0; i < args->count && status == CUDA_SUCCESS; i++)
		status = genie_memop_check(session, &args->paramArray[i]);
	if (status != CUDA_SUCCESS)
		return status;
	return session->drv->cuStreamBatchMemOp_v2(stream->handle, args->count, args->paramArray,
						   args->flags);
}
