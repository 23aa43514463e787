/*
 * Managed memory: blocks of the pinned window that the program may use on both sides. Over shared
 * memory both sides see the same bytes, so there is nothing to migrate; over a network they are
 * mirrored (mirror.c). Advice is remembered, and prefetching does nothing.
 */
#include "interpose/memory.h"

#include <string.h>

CUresult
genie_cuMemAllocManaged(CUdeviceptr *dptr, size_t bytesize, unsigned int flags)
{
	struct genie_ctx *ctx = genie_ctx_home();
	struct genie_mem mem;
	CUresult status;
	uint64_t addr;

	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (dptr == NULL || bytesize == 0 ||
	    (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST))
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_capture_forbids();
	if (status != CUDA_SUCCESS)
		return status;
	status = genie_pinned_alloc(ctx, bytesize, GENIE_MEM_MANAGED, flags, &addr);
	if (status != CUDA_SUCCESS)
		return status;
	if (genie_mem_find(addr, &mem))
		status = genie_pinned_mirror(&mem);
	if (status == CUDA_SUCCESS)
		*dptr = addr;
	else
		(void)genie_pinned_free(addr, GENIE_MEM_MANAGED);
	return status;
}

/* ---- advice ---- */

/* What was said about ranges of managed memory. Advice about a part of a block counts for that
 * part alone, so there may be several for one block; the latest that covers a range speaks. */
#define ADVICE_MAX 1024

struct advice {
	uint64_t base, size, block; /* block: id of the allocation, 0 = unused */
	bool read_mostly;
	CUmemLocation preferred, prefetched;
	uint64_t accessed_by; /* bit n: device n; bit 63: the host */
};

static pthread_mutex_t advice_lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct advice advices[ADVICE_MAX];
static unsigned int advice_next;

static const CUmemLocation nowhere = {.type = CU_MEM_LOCATION_TYPE_INVALID, .id = -2};

/* The entry for exactly this range, made if needed (the oldest is forgotten: it is only advice). */
static struct advice *
advice_for_locked(uint64_t base, uint64_t size, uint64_t block)
{
	struct advice *advice;

	for (unsigned int i = 0; i < ADVICE_MAX; i++) {
		advice = &advices[i];
		if (advice->block == block && advice->base == base && advice->size == size)
			return advice;
	}
	advice = &advices[advice_next++ % ADVICE_MAX];
	*advice = (struct advice){.base = base,
				  .size = size,
				  .block = block,
				  .preferred = nowhere,
				  .prefetched = nowhere};
	return advice;
}

/* What covers the whole range; nothing known otherwise. */
static struct advice
advice_find(uint64_t base, uint64_t size, uint64_t block)
{
	struct advice found = {.preferred = nowhere, .prefetched = nowhere};

	pthread_mutex_lock(&advice_lock);
	for (unsigned int i = 0; i < ADVICE_MAX; i++) {
		const struct advice *advice = &advices[i];

		if (advice->block == block && advice->base <= base &&
		    advice->base + advice->size >= base + size)
			found = *advice;
	}
	pthread_mutex_unlock(&advice_lock);
	return found;
}

/* Checks that a range is managed memory. */
static CUresult
managed_range(CUdeviceptr addr, size_t size, struct genie_mem *ret_mem)
{
	if (size == 0 || !genie_mem_find(addr, ret_mem) || ret_mem->type != GENIE_MEM_MANAGED)
		return CUDA_ERROR_INVALID_VALUE;
	return genie_mem_check_range(ret_mem, addr, size);
}

static bool
location_valid(const CUmemLocation *location)
{
	switch (location->type) {
	case CU_MEM_LOCATION_TYPE_DEVICE:
		return location->id >= 0 && location->id < genie_client.device_count;
	case CU_MEM_LOCATION_TYPE_HOST:
	case CU_MEM_LOCATION_TYPE_HOST_NUMA:
	case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT:
		return true;
	default:
		return false;
	}
}

CUresult
genie_cuMemAdvise_v2(CUdeviceptr devPtr, size_t count, CUmem_advise advice, CUmemLocation location)
{
	bool takes_location = advice != CU_MEM_ADVISE_SET_READ_MOSTLY &&
			      advice != CU_MEM_ADVISE_UNSET_READ_MOSTLY &&
			      advice != CU_MEM_ADVISE_UNSET_PREFERRED_LOCATION;
	struct genie_mem mem;
	CUresult status = managed_range(devPtr, count, &mem);
	struct advice *entry;
	uint64_t bit;

	if (status != CUDA_SUCCESS)
		return status;
	if (takes_location && !location_valid(&location))
		return CUDA_ERROR_INVALID_DEVICE;
	bit = UINT64_C(1) << (location.type == CU_MEM_LOCATION_TYPE_DEVICE ? location.id & 63 : 63);
	pthread_mutex_lock(&advice_lock);
	entry = advice_for_locked(devPtr, count, mem.id);
	switch (advice) {
	case CU_MEM_ADVISE_SET_READ_MOSTLY:
	case CU_MEM_ADVISE_UNSET_READ_MOSTLY:
		entry->read_mostly = advice == CU_MEM_ADVISE_SET_READ_MOSTLY;
		break;
	case CU_MEM_ADVISE_SET_PREFERRED_LOCATION:
		entry->preferred = location;
		break;
	case CU_MEM_ADVISE_UNSET_PREFERRED_LOCATION:
		entry->preferred = nowhere;
		break;
	case CU_MEM_ADVISE_SET_ACCESSED_BY:
		entry->accessed_by |= bit;
		break;
	case CU_MEM_ADVISE_UNSET_ACCESSED_BY:
		entry->accessed_by &= ~bit;
		break;
	default:
		status = CUDA_ERROR_INVALID_VALUE;
		break;
	}
	pthread_mutex_unlock(&advice_lock);
	return status;
}

/* The older calls name a device by its number, and the host by CU_DEVICE_CPU. */
static CUmemLocation
device_location(CUdevice device)
{
	if (device == CU_DEVICE_CPU)
		return (CUmemLocation){.type = CU_MEM_LOCATION_TYPE_HOST};
	return (CUmemLocation){.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device};
}

CUresult
genie_cuMemAdvise(CUdeviceptr devPtr, size_t count, CUmem_advise advice, CUdevice device)
{
	return genie_cuMemAdvise_v2(devPtr, count, advice, device_location(device));
}

/* ---- prefetching ---- */

CUresult
genie_cuMemPrefetchAsync_v2(CUdeviceptr devPtr, size_t count, CUmemLocation location,
			    unsigned int flags, CUstream hStream)
{
	struct genie_mem mem;
	CUresult status = managed_range(devPtr, count, &mem);

	if (genie_stream_get(hStream) == NULL)
		return genie_stream_missing();
	if (status != CUDA_SUCCESS)
		return status;
	if (flags != 0)
		return CUDA_ERROR_INVALID_VALUE;
	if (!location_valid(&location))
		return CUDA_ERROR_INVALID_DEVICE;
	pthread_mutex_lock(&advice_lock);
	advice_for_locked(devPtr, count, mem.id)->prefetched = location;
	pthread_mutex_unlock(&advice_lock);
	return CUDA_SUCCESS;
}

CUresult
genie_cuMemPrefetchAsync(CUdeviceptr devPtr, size_t count, CUdevice dstDevice, CUstream hStream)
{
	return genie_cuMemPrefetchAsync_v2(devPtr, count, device_location(dstDevice), 0, hStream);
}

static CUresult
batch_check(const CUdeviceptr *dptrs, const size_t *sizes, size_t count, unsigned long long flags,
	    CUstream hStream)
{
	struct genie_mem mem;

	if (genie_stream_get(hStream) == NULL)
		return genie_stream_missing();
	if (dptrs == NULL || sizes == NULL || count == 0 || flags != 0)
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < count; i++) {
		CUresult status = managed_range(dptrs[i], sizes[i], &mem);

		if (status != CUDA_SUCCESS)
			return status;
	}
	return CUDA_SUCCESS;
}

CUresult
genie_cuMemPrefetchBatchAsync(CUdeviceptr *dptrs, size_t *sizes, size_t count,
			      CUmemLocation *prefetchLocs, size_t *prefetchLocIdxs,
			      size_t numPrefetchLocs, unsigned long long flags, CUstream hStream)
{
	CUresult status = batch_check(dptrs, sizes, count, flags, hStream);

	if (status != CUDA_SUCCESS)
		return status;
	if (prefetchLocs == NULL || prefetchLocIdxs == NULL || numPrefetchLocs == 0 ||
	    numPrefetchLocs > count || prefetchLocIdxs[0] != 0)
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0, location = 0; i < count && status == CUDA_SUCCESS; i++) {
		if (location + 1 < numPrefetchLocs && prefetchLocIdxs[location + 1] <= i)
			location++;
		status = genie_cuMemPrefetchAsync_v2(dptrs[i], sizes[i], prefetchLocs[location], 0,
						     hStream);
	}
	return status;
}

/* Discarded memory has any contents, also those it had. */
CUresult
genie_cuMemDiscardBatchAsync(CUdeviceptr *dptrs, size_t *sizes, size_t count,
			     unsigned long long flags, CUstream hStream)
{
	return batch_check(dptrs, sizes, count, flags, hStream);
}

CUresult
genie_cuMemDiscardAndPrefetchBatchAsync(CUdeviceptr *dptrs, size_t *sizes, size_t count,
					CUmemLocation *prefetchLocs, size_t *prefetchLocIdxs,
					size_t numPrefetchLocs, unsigned long long flags,
					CUstream hStream)
{
	return genie_cuMemPrefetchBatchAsync(dptrs, sizes, count, prefetchLocs, prefetchLocIdxs,
					     numPrefetchLocs, flags, hStream);
}

CUresult
genie_cuStreamAttachMemAsync(CUstream hStream, CUdeviceptr dptr, size_t length, unsigned int flags)
{
	struct genie_mem mem;

	if (genie_stream_get(hStream) == NULL)
		return genie_stream_missing();
	if (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST &&
	    flags != CU_MEM_ATTACH_SINGLE)
		return CUDA_ERROR_INVALID_VALUE;
	if (!genie_mem_find(dptr, &mem) || mem.type != GENIE_MEM_MANAGED ||
	    (length != 0 && length != mem.size))
		return CUDA_ERROR_INVALID_VALUE;
	return CUDA_SUCCESS;
}

/* ---- what is known about a range ---- */

static int
location_device(const CUmemLocation *location)
{
	if (location->type == CU_MEM_LOCATION_TYPE_DEVICE)
		return location->id;
	return location->type == CU_MEM_LOCATION_TYPE_INVALID ? CU_DEVICE_INVALID : CU_DEVICE_CPU;
}

/* A list of devices, the host last, filled up with CU_DEVICE_INVALID. */
static void
accessed_by_list(uint64_t accessed_by, int *list, size_t count)
{
	size_t used = 0;

	for (int device = 0; device < 64 && used < count; device++) {
		if (accessed_by & UINT64_C(1) << device)
			list[used++] = device == 63 ? CU_DEVICE_CPU : device;
	}
	while (used < count)
		list[used++] = CU_DEVICE_INVALID;
}

CUresult
genie_cuMemRangeGetAttribute(void *data, size_t dataSize, CUmem_range_attribute attribute,
			     CUdeviceptr devPtr, size_t count)
{
	struct genie_mem mem;
	CUresult status = managed_range(devPtr, count, &mem);
	struct advice advice;
	int value;

	if (data == NULL || dataSize == 0 || dataSize % 4 != 0)
		return CUDA_ERROR_INVALID_VALUE;
	if (status != CUDA_SUCCESS)
		return status;
	advice = advice_find(devPtr, count, mem.id);
	switch (attribute) {
	case CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY:
		value = advice.read_mostly;
		break;
	case CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION:
		value = location_device(&advice.preferred);
		break;
	case CU_MEM_RANGE_ATTRIBUTE_ACCESSED_BY:
		accessed_by_list(advice.accessed_by, data, dataSize / sizeof(int));
		return CUDA_SUCCESS;
	case CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION:
		value = location_device(&advice.prefetched);
		break;
	case CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION_TYPE:
		value = (int)advice.preferred.type;
		break;
	case CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION_ID:
		value = advice.preferred.id;
		break;
	case CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION_TYPE:
		value = (int)advice.prefetched.type;
		break;
	case CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION_ID:
		value = advice.prefetched.id;
		break;
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
	if (dataSize != sizeof(value))
		return CUDA_ERROR_INVALID_VALUE;
	memcpy(data, &value, sizeof(value));
	return CUDA_SUCCESS;
}

CUresult
genie_cuMemRangeGetAttributes(void **data, size_t *dataSizes, CUmem_range_attribute *attributes,
			      size_t numAttributes, CUdeviceptr devPtr, size_t count)
{
	CUresult status = CUDA_SUCCESS;

	if (data == NULL || dataSizes == NULL || attributes == NULL || numAttributes == 0)
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < numAttributes && status == CUDA_SUCCESS; i++)
		status = genie_cuMemRangeGetAttribute(data[i], dataSizes[i], attributes[i], devPtr,
						      count);
	return status;
}
