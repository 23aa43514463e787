/*
 * Memory pools and stream-ordered allocation. A pool is a set of numbers kept here: the memory
 * itself comes from the heap of its device, where a block freed in a stream's order is given out
 * again in that stream without any ordering.
 */
#include "interpose/capture.h"
#include "interpose/memory.h"
#include "interpose/refuse.h"
#include "interpose/share.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* A pool grows in pieces of this size. The driver has pieces too; theirs was not measured. */
#define CHUNK (UINT64_C(32) << 20)

struct genie_mempool {
	struct genie_object object;
	int device;
	bool is_default;
	_Atomic uint64_t used, used_high;
	_Atomic uint64_t reserved, reserved_high;
	_Atomic uint64_t threshold;
	_Atomic int reuse[3]; /* CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES and the next two */
	_Atomic uint64_t max_size;
	unsigned int types;        /* CU_MEM_HANDLE_TYPE_* it was made for */
	bool imported;             /* another process's: nothing is allocated from it here */
	bool named;                /* id is known; guarded by pools.lock */
	uint8_t id[GENIE_POOL_ID]; /* what other processes know it by */
	CUmemAccess_flags access[GENIE_DEVICES_MAX];
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
	pool->access[device] = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
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
raise_to(_Atomic uint64_t *mark, uint64_t value)
{
	uint64_t high = atomic_load_explicit(mark, memory_order_relaxed);

	while (high < value &&
	       !atomic_compare_exchange_weak_explicit(mark, &high, value, memory_order_relaxed,
						      memory_order_relaxed))
		;
}

/* What the driver takes from the device for so many bytes. */
static uint64_t
chunks(uint64_t used)
{
	return (used + CHUNK - 1) / CHUNK * CHUNK;
}

static void
pool_used(struct genie_mempool *pool, uint64_t size)
{
	uint64_t used = atomic_fetch_add_explicit(&pool->used, size, memory_order_relaxed) + size;

	raise_to(&pool->used_high, used);
	raise_to(&pool->reserved, chunks(used));
	raise_to(&pool->reserved_high, chunks(used));
}

/*
 * What a pool has taken from the device: in the driver's pieces, and what is more than it uses
 * stays up to the threshold. (The driver gives the rest back at the next synchronisation; here it
 * is in the heap, for anybody, at once.)
 */
static uint64_t
pool_reserved(struct genie_mempool *pool)
{
	uint64_t used = chunks(atomic_load_explicit(&pool->used, memory_order_relaxed));
	uint64_t kept = atomic_load_explicit(&pool->reserved, memory_order_relaxed);
	uint64_t threshold = atomic_load_explicit(&pool->threshold, memory_order_relaxed);

	if (kept > threshold)
		kept = threshold / CHUNK * CHUNK;
	if (kept < used)
		kept = used;
	atomic_store_explicit(&pool->reserved, kept, memory_order_relaxed);
	return kept;
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
	bool captured = false;
	uint64_t limit;
	CUresult status;

	if (stream == NULL)
		return genie_stream_missing();
	if (dptr == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (size == 0) {
		*dptr = 0;
		return CUDA_SUCCESS;
	}
	status = genie_capture_enter(stream, &captured);
	if (status != CUDA_SUCCESS)
		return status;
	if (pool == NULL)
		pool = pool_current(stream->object.ctx->device);
	if (pool == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (captured) /* from the device's graph memory, whatever the pool */
		return genie_capture_alloc(stream, pool->device, size, dptr);
	limit = atomic_load_explicit(&pool->max_size, memory_order_relaxed);
	if (limit != 0 && atomic_load_explicit(&pool->used, memory_order_relaxed) + size > limit)
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = genie_mem_alloc_device(stream->object.ctx->home, pool->device, size, pool,
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

	if (pool == NULL || pool->imported)
		return CUDA_ERROR_INVALID_VALUE;
	return alloc_async(dptr, bytesize, pool, hStream);
}

CUresult
genie_cuMemFreeAsync(CUdeviceptr dptr, CUstream hStream)
{
	struct genie_stream *stream = genie_stream_get(hStream);
	bool captured = false;
	struct genie_mem mem;
	CUresult status;

	if (stream == NULL)
		return genie_stream_missing();
	if (dptr == 0)
		return CUDA_SUCCESS;
	if (!genie_mem_find(dptr, &mem) || mem.base != dptr ||
	    (mem.type != GENIE_MEM_DEVICE && (mem.type != GENIE_MEM_SHARED || mem.pool == NULL)))
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_capture_enter(stream, &captured);
	if (status != CUDA_SUCCESS || captured)
		return captured ? genie_capture_free(stream, dptr) : status;
	/* The worker unmaps it when everything submitted before is done. */
	if (mem.type == GENIE_MEM_SHARED)
		return genie_share_close(dptr) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
	if (genie_graph_alloc_freed(dptr, &status))
		return status;
	return genie_mem_free_device(dptr, stream->object.token);
}

/* ---- pools ---- */

CUresult
genie_cuMemPoolCreate(CUmemoryPool *ret_pool, const CUmemPoolProps *poolProps)
{
	const unsigned int shareable =
		CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR | CU_MEM_HANDLE_TYPE_FABRIC;
	struct genie_mempool *pool;

	if (ret_pool == NULL || poolProps == NULL ||
	    poolProps->allocType != CU_MEM_ALLOCATION_TYPE_PINNED)
		return CUDA_ERROR_INVALID_VALUE;
	if (((unsigned int)poolProps->handleTypes & ~shareable) != 0)
		return CUDA_ERROR_NOT_SUPPORTED;
	if (poolProps->location.type == CU_MEM_LOCATION_TYPE_INVALID)
		return CUDA_ERROR_INVALID_VALUE;
	if (poolProps->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
		return genie_refuse("cuMemPoolCreate on the host",
				    "CU_DEVICE_ATTRIBUTE_HOST_MEMORY_POOLS_SUPPORTED is 0: "
				    "the program and the device have different hosts");
	if (poolProps->location.id < 0 || poolProps->location.id >= genie_client.device_count)
		return CUDA_ERROR_INVALID_VALUE;
	pool = pool_new(poolProps->location.id);
	if (pool == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	pool->max_size = poolProps->maxSize;
	pool->types = (unsigned int)poolProps->handleTypes;
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
	if (pool->imported)
		genie_share_forget_pool(pool);
	genie_object_free(pool);
	return CUDA_SUCCESS;
}

CUresult
genie_cuMemPoolTrimTo(CUmemoryPool handle, size_t minBytesToKeep)
{
	struct genie_mempool *pool = pool_get(handle);
	struct genie_heap *heap;
	uint64_t keep;

	if (pool == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	heap = genie_mem_device_heap(pool->device);
	if (heap != NULL)
		genie_heap_trim(heap, minBytesToKeep);
	keep = chunks(atomic_load_explicit(&pool->used, memory_order_relaxed));
	if (minBytesToKeep < UINT64_MAX - CHUNK && chunks(minBytesToKeep) > keep)
		keep = chunks(minBytesToKeep);
	if (minBytesToKeep < UINT64_MAX - CHUNK && keep < pool->reserved)
		pool->reserved = keep;
	return CUDA_SUCCESS;
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
	case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH: /* a high water mark can only be reset */
		if (*(cuuint64_t *)value != 0)
			return CUDA_ERROR_INVALID_VALUE;
		pool->reserved_high = pool_reserved(pool);
		return CUDA_SUCCESS;
	case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
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
		*(cuuint64_t *)value = pool->reserved_high;
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

/* The worker makes memory for all devices that reach it; what was asked for is remembered. */
CUresult
genie_cuMemPoolSetAccess(CUmemoryPool handle, const CUmemAccessDesc *map, size_t count)
{
	struct genie_mempool *pool = pool_get(handle);
	int can = 0;

	if (pool == NULL || (count != 0 && map == NULL))
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < count; i++) {
		int device = map[i].location.id;

		if (map[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
		    (map[i].flags != CU_MEM_ACCESS_FLAGS_PROT_NONE &&
		     map[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE))
			return CUDA_ERROR_INVALID_VALUE;
		if (device < 0 || device >= genie_client.device_count)
			return CUDA_ERROR_INVALID_DEVICE;
		if (device == pool->device && map[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
			return CUDA_ERROR_INVALID_DEVICE; /* its own device cannot lose it */
		if (device != pool->device && map[i].flags != CU_MEM_ACCESS_FLAGS_PROT_NONE &&
		    (genie_cuDeviceCanAccessPeer(&can, device, pool->device) != CUDA_SUCCESS ||
		     !can))
			return CUDA_ERROR_INVALID_DEVICE;
	}
	for (size_t i = 0; i < count; i++)
		__atomic_store_n(&pool->access[map[i].location.id], map[i].flags, __ATOMIC_RELAXED);
	return CUDA_SUCCESS;
}

CUresult
genie_cuMemPoolGetAccess(CUmemAccess_flags *flags, CUmemoryPool handle, CUmemLocation *location)
{
	struct genie_mempool *pool = pool_get(handle);

	if (flags == NULL || pool == NULL || location == NULL ||
	    location->type != CU_MEM_LOCATION_TYPE_DEVICE)
		return CUDA_ERROR_INVALID_VALUE;
	if (location->id < 0 || location->id >= genie_client.device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	*flags = __atomic_load_n(&pool->access[location->id], __ATOMIC_RELAXED);
	return CUDA_SUCCESS;
}

/* ---- pools that other processes know ---- */

static bool
pool_name(struct genie_mempool *pool, uint8_t ret_id[GENIE_POOL_ID])
{
	bool named;

	pthread_mutex_lock(&pools.lock);
	if (!pool->named)
		pool->named = getrandom(pool->id, sizeof(pool->id), 0) == sizeof(pool->id);
	named = pool->named;
	memcpy(ret_id, pool->id, sizeof(pool->id));
	pthread_mutex_unlock(&pools.lock);
	return named;
}

unsigned int
genie_mempool_types(const struct genie_mempool *pool)
{
	return pool->types;
}

bool
genie_mempool_export(CUmemoryPool handle, unsigned int types, uint8_t ret_id[GENIE_POOL_ID],
		     int *ret_device)
{
	struct genie_mempool *pool = pool_get(handle);

	if (pool == NULL || pool->imported || (pool->types & types) == 0)
		return false;
	*ret_device = pool->device;
	return pool_name(pool, ret_id);
}

bool
genie_mempool_exported(const struct genie_mempool *pool, uint8_t ret_id[GENIE_POOL_ID])
{
	return !pool->imported && pool->types != 0 &&
	       pool_name((struct genie_mempool *)pool, ret_id);
}

CUmemoryPool
genie_mempool_import(const uint8_t id[GENIE_POOL_ID], int device)
{
	struct genie_mempool *pool = pool_new(device);

	if (pool == NULL)
		return NULL;
	pool->imported = pool->named = true;
	memcpy(pool->id, id, sizeof(pool->id));
	return pool_handle(pool);
}

struct genie_mempool *
genie_mempool_imported(CUmemoryPool handle, const uint8_t id[GENIE_POOL_ID])
{
	struct genie_mempool *pool = pool_get(handle);

	return pool != NULL && pool->imported && memcmp(pool->id, id, sizeof(pool->id)) == 0 ? pool
											     : NULL;
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
	if (pool == NULL || pool->device != dev || pool->imported)
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
