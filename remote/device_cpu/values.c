/* Streams that wait for a value in memory, or write one. */
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/cpu.h"

/* As many as the driver takes. */
#define VALUES_MAX 256

static bool
is_64(CUstreamBatchMemOpType type)
{
	return type == CU_STREAM_MEM_OP_WAIT_VALUE_64 || type == CU_STREAM_MEM_OP_WRITE_VALUE_64;
}

static bool
is_wait(CUstreamBatchMemOpType type)
{
	return type == CU_STREAM_MEM_OP_WAIT_VALUE_32 || type == CU_STREAM_MEM_OP_WAIT_VALUE_64;
}

static bool
is_write(CUstreamBatchMemOpType type)
{
	return type == CU_STREAM_MEM_OP_WRITE_VALUE_32 || type == CU_STREAM_MEM_OP_WRITE_VALUE_64;
}

static CUresult
value_check(const CUstreamBatchMemOpParams *op)
{
	size_t size = is_64(op->operation) ? 8 : 4;
	CUdeviceptr addr;

	if (op->operation == CU_STREAM_MEM_OP_BARRIER)
		return CUDA_SUCCESS;
	if (op->operation == CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES)
		return CUDA_ERROR_NOT_SUPPORTED;
	if (!is_wait(op->operation) && !is_write(op->operation))
		return CUDA_ERROR_INVALID_VALUE;
	addr = is_wait(op->operation) ? op->waitValue.address : op->writeValue.address;
	if (is_wait(op->operation) && op->waitValue.flags & CU_STREAM_WAIT_VALUE_FLUSH)
		return CUDA_ERROR_NOT_SUPPORTED;
	if (is_wait(op->operation) && op->waitValue.flags > CU_STREAM_WAIT_VALUE_NOR)
		return CUDA_ERROR_INVALID_VALUE;
	if (addr % size || !genie_cpu_accessible(addr, size, is_write(op->operation)))
		return CUDA_ERROR_INVALID_VALUE;
	return CUDA_SUCCESS;
}

CUresult
genie_cpu_values_check(const struct genie_cpu_op *op)
{
	if (op->values.count > VALUES_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	for (unsigned int i = 0; i < op->values.count; i++) {
		CUresult status = value_check(&op->values.list[i]);

		if (status != CUDA_SUCCESS)
			return status;
	}
	return CUDA_SUCCESS;
}

static bool
compare(uint64_t have, uint64_t want, unsigned int flags, bool wide)
{
	switch (flags) {
	case CU_STREAM_WAIT_VALUE_GEQ: /* of the difference, so that counters may wrap */
		return wide ? (int64_t)(have - want) >= 0
			    : (int32_t)((uint32_t)have - (uint32_t)want) >= 0;
	case CU_STREAM_WAIT_VALUE_EQ:
		return have == want;
	case CU_STREAM_WAIT_VALUE_AND:
		return (have & want) != 0;
	case CU_STREAM_WAIT_VALUE_NOR:
		return wide ? ~(have | want) != 0 : (uint32_t) ~(have | want) != 0;
	default:
		return true;
	}
}

/* Does one; false: a wait that is not over. */
static bool
value_do(const CUstreamBatchMemOpParams *op)
{
	uint64_t have;

	/* the memory may have been unmapped since: then there is nothing to wait for */
	if (value_check(op) != CUDA_SUCCESS)
		return true;
	switch ((int)op->operation) {
	case CU_STREAM_MEM_OP_WAIT_VALUE_32:
		have = __atomic_load_n((uint32_t *)op->waitValue.address, __ATOMIC_ACQUIRE);
		return compare(have, op->waitValue.value, op->waitValue.flags, false);
	case CU_STREAM_MEM_OP_WAIT_VALUE_64:
		have = __atomic_load_n((uint64_t *)op->waitValue.address, __ATOMIC_ACQUIRE);
		return compare(have, op->waitValue.value64, op->waitValue.flags, true);
	case CU_STREAM_MEM_OP_WRITE_VALUE_32:
		__atomic_store_n((uint32_t *)op->writeValue.address, op->writeValue.value,
				 __ATOMIC_RELEASE);
		return true;
	case CU_STREAM_MEM_OP_WRITE_VALUE_64:
		__atomic_store_n((uint64_t *)op->writeValue.address, op->writeValue.value64,
				 __ATOMIC_RELEASE);
		return true;
	default:
		return true; /* a barrier: what comes before is done */
	}
}

bool
genie_cpu_values_advance(struct genie_cpu_op *op)
{
	while (op->values.next < op->values.count) {
		if (!value_do(&op->values.list[op->values.next]))
			return false;
		op->values.next++;
	}
	return true;
}

static CUresult
submit_values(CUstreamBatchMemOpParams *list, unsigned int count, CUstream stream)
{
	struct genie_cpu_op op = {.kind = GENIE_CPU_OP_VALUES};

	op.values.list = list;
	op.values.count = count;
	return genie_cpu_submit(stream, &op);
}

static CUresult
cpu_cuStreamBatchMemOp_v2(CUstream stream, unsigned int count, CUstreamBatchMemOpParams *list,
			  unsigned int flags)
{
	if (flags || (count && !list))
		return CUDA_ERROR_INVALID_VALUE;
	return submit_values(list, count, stream);
}

static CUresult
wait_value(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags, bool wide)
{
	CUstreamBatchMemOpParams op = {0};

	op.operation = wide ? CU_STREAM_MEM_OP_WAIT_VALUE_64 : CU_STREAM_MEM_OP_WAIT_VALUE_32;
	op.waitValue.address = addr;
	op.waitValue.value64 = value;
	op.waitValue.flags = flags;
	return submit_values(&op, 1, stream);
}

static CUresult
write_value(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags, bool wide)
{
	CUstreamBatchMemOpParams op = {0};

	op.operation = wide ? CU_STREAM_MEM_OP_WRITE_VALUE_64 : CU_STREAM_MEM_OP_WRITE_VALUE_32;
	op.writeValue.address = addr;
	op.writeValue.value64 = value;
	op.writeValue.flags = flags;
	return submit_values(&op, 1, stream);
}

static CUresult
cpu_cuStreamWaitValue32_v2(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags)
{
	return wait_value(stream, addr, value, flags, false);
}

static CUresult
cpu_cuStreamWaitValue64_v2(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags)
{
	return wait_value(stream, addr, value, flags, true);
}

static CUresult
cpu_cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags)
{
	return write_value(stream, addr, value, flags, false);
}

static CUresult
cpu_cuStreamWriteValue64_v2(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags)
{
	return write_value(stream, addr, value, flags, true);
}

void
genie_cpu_fill_values(struct genie_driver *drv)
{
	drv->cuStreamBatchMemOp_v2 = cpu_cuStreamBatchMemOp_v2;
	drv->cuStreamWaitValue32_v2 = cpu_cuStreamWaitValue32_v2;
	drv->cuStreamWaitValue64_v2 = cpu_cuStreamWaitValue64_v2;
	drv->cuStreamWriteValue32_v2 = cpu_cuStreamWriteValue32_v2;
	drv->cuStreamWriteValue64_v2 = cpu_cuStreamWriteValue64_v2;
}
