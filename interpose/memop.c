/*
 * Waits for, and writes of, a word in memory, in the order of a stream. What is wrong with one is
 * found here, because the commands themselves are not answered.
 */
#include "interpose/capture.h"
#include "interpose/memory.h"

#define WAIT_FLAGS  (CU_STREAM_WAIT_VALUE_NOR | CU_STREAM_WAIT_VALUE_FLUSH)
#define WRITE_FLAGS CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER

/* The word must be aligned and lie in memory that the device reaches. */
static CUresult
word_check(CUdeviceptr addr, unsigned int size, unsigned int flags, unsigned int known)
{
	struct genie_mem mem;

	if (flags & ~known || addr % size != 0 || !genie_mem_find(addr, &mem))
		return CUDA_ERROR_INVALID_VALUE;
	return genie_mem_check_range(&mem, addr, size);
}

CUresult
genie_memop_check(const CUstreamBatchMemOpParams *op)
{
	switch (op->operation) {
	case CU_STREAM_MEM_OP_WAIT_VALUE_32:
		return word_check(op->waitValue.address, 4, op->waitValue.flags, WAIT_FLAGS);
	case CU_STREAM_MEM_OP_WAIT_VALUE_64:
		return word_check(op->waitValue.address, 8, op->waitValue.flags, WAIT_FLAGS);
	case CU_STREAM_MEM_OP_WRITE_VALUE_32:
		return word_check(op->writeValue.address, 4, op->writeValue.flags, WRITE_FLAGS);
	case CU_STREAM_MEM_OP_WRITE_VALUE_64:
		return word_check(op->writeValue.address, 8, op->writeValue.flags, WRITE_FLAGS);
	default:
		return CUDA_SUCCESS; /* barriers and what newer releases add: the device decides */
	}
}

/* Sends the command whose args hold the stream at @wire; @list is what a graph has instead. */
static CUresult
memop_submit(enum genie_op op, void *args, CUstream *wire, CUstreamBatchMemOpParams *list,
	     unsigned int count)
{
	struct genie_stream *stream = genie_stream_get(*wire);
	bool captured = false;
	uint64_t ticket = 0;
	CUresult status;

	if (stream == NULL)
		return genie_stream_missing();
	status = genie_capture_enter(stream, &captured);
	if (status != CUDA_SUCCESS || captured)
		return captured ? genie_capture_values(stream, list, count) : status;
	*wire = genie_stream_wire(stream);
	status = genie_call_ticket(op, args, &ticket);
	if (ticket != 0)
		genie_stream_submitted(stream, ticket);
	return status;
}

CUresult
genie_cuStreamWaitValue32_v2(CUstream stream, CUdeviceptr addr, cuuint32_t value,
			     unsigned int flags)
{
	struct genie_args_cuStreamWaitValue32_v2 args = {
		.stream = stream, .addr = addr, .value = value, .flags = flags};
	CUstreamBatchMemOpParams op = {.waitValue = {.operation = CU_STREAM_MEM_OP_WAIT_VALUE_32,
						     .address = addr,
						     .value = value,
						     .flags = flags}};
	CUresult status = word_check(addr, 4, flags, WAIT_FLAGS);

	return status == CUDA_SUCCESS
		       ? memop_submit(GENIE_OP_cuStreamWaitValue32_v2, &args, &args.stream, &op, 1)
		       : status;
}

CUresult
genie_cuStreamWaitValue64_v2(CUstream stream, CUdeviceptr addr, cuuint64_t value,
			     unsigned int flags)
{
	struct genie_args_cuStreamWaitValue64_v2 args = {
		.stream = stream, .addr = addr, .value = value, .flags = flags};
	CUstreamBatchMemOpParams op = {.waitValue = {.operation = CU_STREAM_MEM_OP_WAIT_VALUE_64,
						     .address = addr,
						     .value64 = value,
						     .flags = flags}};
	CUresult status = word_check(addr, 8, flags, WAIT_FLAGS);

	return status == CUDA_SUCCESS
		       ? memop_submit(GENIE_OP_cuStreamWaitValue64_v2, &args, &args.stream, &op, 1)
		       : status;
}

CUresult
genie_cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr addr, cuuint32_t value,
			      unsigned int flags)
{
	struct genie_args_cuStreamWriteValue32_v2 args = {
		.stream = stream, .addr = addr, .value = value, .flags = flags};
	CUstreamBatchMemOpParams op = {.writeValue = {.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32,
						      .address = addr,
						      .value = value,
						      .flags = flags}};
	CUresult status = word_check(addr, 4, flags, WRITE_FLAGS);

	return status == CUDA_SUCCESS
		       ? memop_submit(GENIE_OP_cuStreamWriteValue32_v2, &args, &args.stream, &op, 1)
		       : status;
}

CUresult
genie_cuStreamWriteValue64_v2(CUstream stream, CUdeviceptr addr, cuuint64_t value,
			      unsigned int flags)
{
	struct genie_args_cuStreamWriteValue64_v2 args = {
		.stream = stream, .addr = addr, .value = value, .flags = flags};
	CUstreamBatchMemOpParams op = {.writeValue = {.operation = CU_STREAM_MEM_OP_WRITE_VALUE_64,
						      .address = addr,
						      .value64 = value,
						      .flags = flags}};
	CUresult status = word_check(addr, 8, flags, WRITE_FLAGS);

	return status == CUDA_SUCCESS
		       ? memop_submit(GENIE_OP_cuStreamWriteValue64_v2, &args, &args.stream, &op, 1)
		       : status;
}

CUresult
genie_cuStreamBatchMemOp_v2(CUstream stream, unsigned int count,
			    CUstreamBatchMemOpParams *paramArray, unsigned int flags)
{
	struct genie_args_cuStreamBatchMemOp_v2 args = {
		.stream = stream, .count = count, .paramArray = paramArray, .flags = flags};
	CUresult status = CUDA_SUCCESS;

	if (paramArray == NULL || count == 0 || count > 256 || flags != 0)
		return CUDA_ERROR_INVALID_VALUE;
	for (unsigned int i = 0; i < count && status == CUDA_SUCCESS; i++)
		status = genie_memop_check(&paramArray[i]);
	return status == CUDA_SUCCESS ? memop_submit(GENIE_OP_cuStreamBatchMemOp_v2, &args,
						     &args.stream, paramArray, count)
				      : status;
}
