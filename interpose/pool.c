/*
 * Memory pools and stream-ordered allocation. A pool is a set of numbers kept here: the memory
 * itself comes from the heap of its device, where a block freed in a stream's order is given out
 * again in that stream without any ordering.
 */
#include "interpose/memory.h"
#include "interpose/refuse.h"

#include <stdlib.h>

struct genie_mempool {
	struct genie_object object;
	int device;
	bool is_default;
	_Atomic uint64_t used, used_high;
	_Atomic uint64_t threshold;
	_Atomic int reuse[3]; /* CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES and the next two */
	_Atomic uint64_t max_size;
};

static struct {
	pthread_mutex_t lock; /* guards what follows */
	struct genie_mempool *defaults[GENIE_DEVICES_MAX];
	struct genie_mempool *current[GENIE_DEVICES_MAX];
} pools = {.lock = PTHREAD_MUTEX_INITIALIZER};

static CUmemoryPool
pool_handle(const struct genie_mempool *pool)
{
	return (CUmemoryPool)(uintptr_t)pool->object.token;
}

static struct genie_mempool *
pool_get(CUmemoryPool handle)
{
	return genie_object_get(GENIE_KIND_MEMPOOL, (uint64_t)(uintptr_t)handle);
}

static struct genie_mempool *
pool_new(int device)
{
	struct genie_mempool *pool = genie_object_new(GENIE_KIND_MEMPOOL, sizeof(*pool), NULL);

	if (pool == NULL)
		return NULL;
	pool->device = device;
	for (int i = 0; i < 3; i++)
		pool->reuse[i] = 1;
	return pool;
}

/* The default pool of a device; NULL: out of memory. */
static struct genie_mempool *
pool_default_locked(int device)
{
	if (pools.defaults[device] == NULL) {
		pools.defaults[device] = pool_new(device);
		if (pools.defaults[device] != NULL)
			pools.defaults[device]->is_default = true;
	}
	return pools.defaults[device];
}

static struct genie_mempool *
pool_current(int device)
{
	struct genie_mempool *pool;

	pthread_mutex_lock(&pools.lock);
	pool = pools.current[device];
	if (pool == NULL)
		pool = pool_default_locked(device);
	pthread_mutex_unlock(&pools.lock);
	return pool;
}

static void
pool_used(struct genie_mempool *pool, uint64_t size)
{
	uint64_t used = atomic_fetch_add_explicit(&pool->used, size, memory_order_relaxed) + size;
	uint64_t high = atomic_load_explicit(&pool->used_high, memory_order_relaxed);

	while (high < used &&
	       !atomic_compare_exchange_weak_explicit(&pool->used_high, &high, used,
						      memory_order_relaxed, memory_order_relaxed))
		;
}

void
genie_mempool_freed(struct genie_mempool *pool, uint64_t size)
{
	atomic_fetch_sub_explicit(&pool->used, size, memory_order_relaxed);
}

/* ---- allocation in the order of a stream ---- */

static CUresult
alloc_async(CUdeviceptr *dptr, size_t size, struct genie_mempool *pool, CUstream handle)
{
	struct genie_stream *stream = genie_stream_get(handle);
	uint64_t limit;
	CUresult status;

	if (stream == NULL)
		return genie_ctx_current() != NULL ? CUDA_ERROR_INVALID_HANDLE
						   : CUDA_ERROR_INVALID_CONTEXT;
	if (dptr == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (size == 0) {
		*dptr = 0;
		return CUDA_SUCCESS;
	}
	if (genie_stream_capturing(stream))
		return genie_refuse("cuMemAllocAsync in a graph",
				    "allocation nodes come with the next release");
	if (pool == NULL)
		pool = pool_current(stream->object.ctx->device);
	if (pool == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	limit = atomic_load_explicit(&pool->max_size, memory_order_relaxed);
	if (limit != 0 && atomic_load_explicit(&pool->used, memory_order_relaxed) + size > limit)
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = genie_mem_alloc_device(stream->object.ctx, pool->device, size, pool,
					stream->object.token, dptr);
	if (status == CUDA_SUCCESS)
		pool_used(pool, size);
	return status;
}

CUresult
genie_cuMemAllocAsync(CUdeviceptr *dptr, size_t bytesize, CUstream hStream)
{
	return alloc_async(dptr, bytesize, NULL, hStream);
}

CUresult
genie_cuMemAllocFromPoolAsync(CUdeviceptr *dptr, size_t bytesize, CUmemoryPool handle,
			      CUstream hStream)
{
	struct genie_mempool *pool = pool_get(handle);

	return pool != NULL ? alloc_async(dptr, bytesize, pool, hStream) : CUDA_ERROR_INVALID_VALUE;
}

CUresult
genie_cuMemFreeAsync(CUdeviceptr dptr, CUstream hStream)
{
	struct genie_stream *stream = genie_stream_get(hStream);
	struct genie_mem mem;

	if (stream == NULL)
		return genie_ctx_current() != NULL ? CUDA_ERROR_INVALID_HANDLE
						   : CUDA_ERROR_INVALID_CONTEXT;
	if (dptr == 0)
		return CUDA_SUCCESS;
	if (!genie_mem_find(dptr, &mem) || mem.base != dptr || mem.type != GENIE_MEM_DEVICE)
		return CUDA_ERROR_INVALID_VALUE;
	if (genie_stream_capturing(stream))
		return genie_refuse("cuMemFreeAsync in a graph",
				    "allocation nodes come with the next release");
	return genie_mem_free_device(dptr, stream->object.token);
}

/* ---- pools ---- */

CUresult
genie_cuMemPoolCreate(CUmemoryPool *ret_pool, const CUmemPoolProps *poolProps)
{
	struct genie_mempool *pool;

	if (ret_pool == NULL || poolProps == NULL ||
	    poolProps->allocType != CU_MEM_ALLOCATION_TYPE_PINNED)
		return CUDA_ERROR_INVALID_VALUE;
	if (poolProps->handleTypes != CU_MEM_HANDLE_TYPE_NONE)
		return genie_refuse("cuMemPoolCreate with handle types",
				    "memory is not shared between processes");
	if (poolProps->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
		return genie_refuse("cuMemPoolCreate on the host", "pools hold device memory");
	if (poolProps->location.id < 0 || poolProps->location.id >= genie_client.device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	pool = pool_new(poolProps->location.id);
	if (pool == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	pool->max_size = poolProps->maxSize;
	*ret_pool = pool_handle(pool);
	return CUDA_SUCCESS;
}

static void
orphan_block(const struct genie_block_info *info, void *data)
{
	if (info->pool == data)
		(void)genie_mem_free_device(info->base, 0);
}

/* What is still allocated from it goes with it. */
CUresult
genie_cuMemPoolDestroy(CUmemoryPool handle)
{
	struct genie_mempool *pool = pool_get(handle);
	struct genie_heap *heap;

	if (pool == NULL || pool->is_default)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&pools.lock);
	if (pools.current[pool->device] == pool)
		pools.current[pool->device] = NULL;
	pthread_mutex_unlock(&pools.lock);
	heap = genie_mem_device_heap(pool->device);
	if (heap != NULL && atomic_load_explicit(&pool->used, memory_order_relaxed) != 0)
		genie_heap_each(heap, orphan_block, pool);
	genie_object_free(pool);
	return CUDA_SUCCESS;
}

CUresult
genie_cuMemPoolTrimTo(CUmemoryPool handle, size_t minBytesToKeep)
{
	struct genie_mempool *pool = pool_get(handle);
	struct genie_heap *heap;

	if (pool == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	heap = genie_mem_device_heap(pool->device);
	if (heap != NULL)
		genie_heap_trim(heap, minBytesToKeep);
	return CUDA_SUCCESS;
}

/* Bytes of the heap that count for @pool: what it uses, and what is mapped for nobody. */
static uint64_t
pool_reserved(const struct genie_mempool *pool)
{
	struct genie_heap *heap = genie_mem_device_heap(pool->device);
	uint64_t idle = 0;

	if (heap != NULL) {
		pthread_mutex_lock(&heap->lock);
		idle = heap->cache_bytes;
		pthread_mutex_unlock(&heap->lock);
	}
	return atomic_load_explicit(&pool->used, memory_order_relaxed) + idle;
}

CUresult
genie_cuMemPoolSetAttribute(CUmemoryPool handle, CUmemPool_attribute attr, void *value)
{
	struct genie_mempool *pool = pool_get(handle);

	if (pool == NULL || value == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	switch ((int)attr) {
	case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
	case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
	case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
		pool->reuse[attr - CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES] =
			*(int *)value != 0;
		return CUDA_SUCCESS;
	case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
		pool->threshold = *(cuuint64_t *)value;
		return CUDA_SUCCESS;
	case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
	case CU_MEMPOOL_ATTR_USED_MEM_HIGH: /* a high water mark can only be reset */
		if (*(cuuint64_t *)value != 0)
			return CUDA_ERROR_INVALID_VALUE;
		pool->used_high = pool->used;
		return CUDA_SUCCESS;
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
}

CUresult
genie_cuMemPoolGetAttribute(CUmemoryPool handle, CUmemPool_attribute attr, void *value)
{
	struct genie_mempool *pool = pool_get(handle);

	if (pool == NULL || value == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	switch ((int)attr) {
	case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
	case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
	case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
		*(int *)value = pool->reuse[attr - CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES];
		return CUDA_SUCCESS;
	case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
		*(cuuint64_t *)value = pool->threshold;
		return CUDA_SUCCESS;
	case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
		*(cuuint64_t *)value = pool_reserved(pool);
		return CUDA_SUCCESS;
	case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
		*(cuuint64_t *)value = pool->used_high > pool_reserved(pool) ? pool->used_high
									     : pool_reserved(pool);
		return CUDA_SUCCESS;
	case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
		*(cuuint64_t *)value = pool->used;
		return CUDA_SUCCESS;
	case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
		*(cuuint64_t *)value = pool->used_high;
		return CUDA_SUCCESS;
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
}

/* Every device of a session reaches the memory of every other: the worker sees to it. */
CUresult
genie_cuMemPoolSetAccess(CUmemoryPool handle, const CUmemAccessDesc *map, size_t count)
{
	struct genie_mempool *pool = pool_get(handle);

	if (pool == NULL || (count != 0 && map == NULL))
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < count; i++) {
		if (map[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE)
			return CUDA_ERROR_INVALID_VALUE;
		if (map[i].location.id < 0 || map[i].location.id >= genie_client.device_count)
			return CUDA_ERROR_INVALID_DEVICE;
		if (map[i].location.id == pool->device &&
		    map[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
			return CUDA_ERROR_INVALID_DEVICE; /* its own device cannot lose it */
		if (map[i].location.id != pool->device)
			return genie_refuse("cuMemPoolSetAccess for another device",
					    "peer access comes with the next release");
	}
	return CUDA_SUCCESS;
}

CUresult
genie_cuMemPoolGetAccess(CUmemAccess_flags *flags, CUmemoryPool handle, CUmemLocation *location)
{
	struct genie_mempool *pool = pool_get(handle);

	if (flags == NULL || pool == NULL || location == NULL ||
	    location->type != CU_MEM_LOCATION_TYPE_DEVICE)
		return CUDA_ERROR_INVALID_VALUE;
	*flags = location->id == pool->device ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE
					      : CU_MEM_ACCESS_FLAGS_PROT_NONE;
	return CUDA_SUCCESS;
}

/* ---- the pools of a device ---- */

CUresult
genie_cuDeviceGetDefaultMemPool(CUmemoryPool *pool_out, CUdevice dev)
{
	struct genie_mempool *pool;

	if (pool_out == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (dev < 0 || dev >= genie_client.device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	pthread_mutex_lock(&pools.lock);
	pool = pool_default_locked(dev);
	pthread_mutex_unlock(&pools.lock);
	if (pool == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*pool_out = pool_handle(pool);
	return CUDA_SUCCESS;
}

CUresult
genie_cuDeviceGetMemPool(CUmemoryPool *ret_pool, CUdevice dev)
{
	struct genie_mempool *pool;

	if (ret_pool == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (dev < 0 || dev >= genie_client.device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	pool = pool_current(dev);
	if (pool == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ret_pool = pool_handle(pool);
	return CUDA_SUCCESS;
}

CUresult
genie_cuDeviceSetMemPool(CUdevice dev, CUmemoryPool handle)
{
	struct genie_mempool *pool = pool_get(handle);

	if (dev < 0 || dev >= genie_client.device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	if (pool == NULL || pool->device != dev)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&pools.lock);
	pools.current[dev] = pool;
	pthread_mutex_unlock(&pools.lock);
	return CUDA_SUCCESS;
}

static CUresult
check_location(const CUmemLocation *location, CUmemAllocationType type)
{
	if (location == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (type != CU_MEM_ALLOCATION_TYPE_PINNED || location->type != CU_MEM_LOCATION_TYPE_DEVICE)
		return genie_refuse("a pool of host or managed memory", "pools hold device memory");
	return CUDA_SUCCESS;
}

CUresult
genie_cuMemGetDefaultMemPool(CUmemoryPool *pool_out, CUmemLocation *location,
			     CUmemAllocationType type)
{
	CUresult status = check_location(location, type);

	return status == CUDA_SUCCESS ? genie_cuDeviceGetDefaultMemPool(pool_out, location->id)
				      : status;
}

CUresult
genie_cuMemGetMemPool(CUmemoryPool *pool, CUmemLocation *location, CUmemAllocationType type)
{
	CUresult status = check_location(location, type);

	return status == CUDA_SUCCESS ? genie_cuDeviceGetMemPool(pool, location->id) : status;
}

CUresult
genie_cuMemSetMemPool(CUmemLocation *location, CUmemAllocationType type, CUmemoryPool pool)
{
	CUresult status = check_location(location, type);

	return status == CUDA_SUCCESS ? genie_cuDeviceSetMemPool(location->id, pool) : status;
}
