/* Allocation of every kind, and what can be asked about a pointer. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "remote/device_cpu/cpu.h"
#include "remote/device_cpu/ranges.h"

#define PAGE 4096u

struct genie_cpu_pool {
	uint32_t magic;
	CUdevice device;
	uint64_t release_threshold;
	uint64_t used, used_high;
};

static struct genie_cpu_pool default_pools[GENIE_CPU_DEVICES_MAX];

bool
genie_cpu_charge(CUdevice dev, size_t size)
{
	struct genie_cpu_part *part = &genie_cpu.parts[dev];
	bool ok;

	pthread_mutex_lock(&genie_cpu.lock);
	ok = size <= genie_cpu.total - part->used;
	if (ok)
		part->used += size;
	pthread_mutex_unlock(&genie_cpu.lock);
	return ok;
}

void
genie_cpu_discharge(CUdevice dev, size_t size)
{
	pthread_mutex_lock(&genie_cpu.lock);
	genie_cpu.parts[dev].used -= size;
	pthread_mutex_unlock(&genie_cpu.lock);
}

/* Fresh pages that devices may use; 0: no memory. @charge: they count as memory of @dev. */
static uint64_t
allocate(CUdevice dev, size_t size, enum genie_cpu_range_kind kind, unsigned int flags, bool charge)
{
	struct genie_cpu_range range = {
		.kind = kind,
		.readable = true,
		.writable = true,
		.flags = flags,
		.device = dev,
		.buffer_id = genie_cpu_new_id(),
	};
	void *ptr;
	bool ok;

	if (__builtin_add_overflow(size, PAGE - 1, &range.size))
		return 0;
	range.size &= ~(size_t)(PAGE - 1);
	if (charge && !genie_cpu_charge(dev, range.size))
		return 0;
	ptr = mmap(NULL, range.size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ptr == MAP_FAILED)
		goto err_discharge;
	range.addr = (uint64_t)ptr;
	pthread_mutex_lock(&genie_cpu.lock);
	ok = genie_cpu_range_add_locked(&range);
	pthread_mutex_unlock(&genie_cpu.lock);
	if (!ok)
		goto err_unmap;
	return range.addr;

err_unmap:
	munmap(ptr, range.size);
err_discharge:
	if (charge)
		genie_cpu_discharge(dev, range.size);
	return 0;
}

/* Frees what allocate() gave. CUDA_ERROR_INVALID_VALUE: not the start of such an allocation. */
static CUresult
release(uint64_t addr, enum genie_cpu_range_kind kind, bool charged)
{
	struct genie_cpu_range *range;
	size_t size = 0;

	pthread_mutex_lock(&genie_cpu.lock);
	range = genie_cpu_range_find_locked(addr);
	if (range && range->addr == addr && range->kind == kind) {
		size = range->size;
		if (charged)
			genie_cpu.parts[range->device].used -= size;
		genie_cpu_range_remove_locked(range);
	}
	pthread_mutex_unlock(&genie_cpu.lock);
	if (!size)
		return CUDA_ERROR_INVALID_VALUE;
	munmap((void *)addr, size);
	return CUDA_SUCCESS;
}

void *
genie_cpu_alloc(size_t size)
{
	struct genie_cpu_context *ctx;
	CUdevice dev = genie_cpu_enter(&ctx) == CUDA_SUCCESS ? ctx->device : 0;

	return (void *)allocate(dev, size ? size : 1, GENIE_CPU_RANGE_ALLOC, 0, true);
}

void
genie_cpu_free(void *ptr)
{
	if (ptr)
		release((uint64_t)ptr, GENIE_CPU_RANGE_ALLOC, true);
}

static CUresult
cpu_cuMemAlloc_v2(CUdeviceptr *ret_ptr, size_t size)
{
	struct genie_cpu_context *ctx;
	CUresult status = genie_cpu_enter(&ctx);

	if (status != CUDA_SUCCESS)
		return status;
	if (!ret_ptr || !size)
		return CUDA_ERROR_INVALID_VALUE;
	*ret_ptr = allocate(ctx->device, size, GENIE_CPU_RANGE_ALLOC, 0, true);
	return *ret_ptr ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult
cpu_cuMemFree_v2(CUdeviceptr ptr)
{
	CUresult status = genie_cpu_check();

	if (status != CUDA_SUCCESS || !ptr)
		return status;
	status = genie_cpu_wait_idle(NULL);
	return status == CUDA_SUCCESS ? release(ptr, GENIE_CPU_RANGE_ALLOC, true) : status;
}

static CUresult
cpu_cuMemAllocPitch_v2(CUdeviceptr *ret_ptr, size_t *ret_pitch, size_t width, size_t height,
		       unsigned int element)
{
	size_t pitch, size;

	if (!ret_pitch || !width || !height || (element != 4 && element != 8 && element != 16))
		return CUDA_ERROR_INVALID_VALUE;
	if (__builtin_add_overflow(width, GENIE_CPU_PITCH_ALIGN - 1, &pitch))
		return CUDA_ERROR_OUT_OF_MEMORY;
	pitch &= ~(size_t)(GENIE_CPU_PITCH_ALIGN - 1);
	if (__builtin_mul_overflow(pitch, height, &size))
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ret_pitch = pitch;
	return cpu_cuMemAlloc_v2(ret_ptr, size);
}

static CUresult
cpu_cuMemAllocManaged(CUdeviceptr *ret_ptr, size_t size, unsigned int flags)
{
	if (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST)
		return CUDA_ERROR_INVALID_VALUE;
	return cpu_cuMemAlloc_v2(ret_ptr, size);
}

static CUresult
cpu_cuMemHostAlloc(void **ret_ptr, size_t size, unsigned int flags)
{
	struct genie_cpu_context *ctx;
	CUresult status = genie_cpu_enter(&ctx);

	if (status != CUDA_SUCCESS)
		return status;
	if (!ret_ptr)
		return CUDA_ERROR_INVALID_VALUE;
	*ret_ptr = NULL;
	if (!size) /* not an error, unlike device memory of no size */
		return CUDA_SUCCESS;
	*ret_ptr = (void *)allocate(ctx->device, size, GENIE_CPU_RANGE_HOST, flags, false);
	return *ret_ptr ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult
cpu_cuMemAllocHost_v2(void **ret_ptr, size_t size)
{
	return cpu_cuMemHostAlloc(ret_ptr, size, 0);
}

static CUresult
cpu_cuMemFreeHost(void *ptr)
{
	CUresult status = genie_cpu_check();

	if (status != CUDA_SUCCESS)
		return status;
	return release((uint64_t)ptr, GENIE_CPU_RANGE_HOST, false);
}

/* Registering makes memory of the worker's own device memory: the addresses are the same. */
static CUresult
cpu_cuMemHostRegister_v2(void *ptr, size_t size, unsigned int flags)
{
	struct genie_cpu_range range = {
		.addr = (uint64_t)ptr,
		.size = size,
		.kind = GENIE_CPU_RANGE_REGISTER,
		.readable = true,
		.writable = !(flags & CU_MEMHOSTREGISTER_READ_ONLY),
		.flags = flags,
		.buffer_id = genie_cpu_new_id(),
	};
	struct genie_cpu_range *found;
	struct genie_cpu_context *ctx;
	CUresult status = genie_cpu_enter(&ctx);
	uint64_t end;

	if (status != CUDA_SUCCESS)
		return status;
	range.device = ctx->device;
	if (!ptr || !size || __builtin_add_overflow(range.addr, size, &end))
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&genie_cpu.lock);
	if (genie_cpu_range_next_locked(range.addr, end, &found))
		status = CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
	else if (!genie_cpu_range_add_locked(&range))
		status = CUDA_ERROR_OUT_OF_MEMORY;
	pthread_mutex_unlock(&genie_cpu.lock);
	return status;
}

static CUresult
cpu_cuMemHostUnregister(void *ptr)
{
	CUresult status = genie_cpu_check();
	struct genie_cpu_range *range;

	if (status != CUDA_SUCCESS)
		return status;
	pthread_mutex_lock(&genie_cpu.lock);
	range = genie_cpu_range_find_locked((uint64_t)ptr);
	if (!range || range->kind != GENIE_CPU_RANGE_REGISTER)
		status = CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
	else if (range->addr != (uint64_t)ptr)
		status = CUDA_ERROR_INVALID_VALUE;
	else
		genie_cpu_range_remove_locked(range);
	pthread_mutex_unlock(&genie_cpu.lock);
	return status;
}

/* A copy of the range that contains @addr; false: none. */
static bool
range_at(uint64_t addr, struct genie_cpu_range *ret_range)
{
	struct genie_cpu_range *range;

	pthread_mutex_lock(&genie_cpu.lock);
	range = genie_cpu_range_find_locked(addr);
	if (range)
		*ret_range = *range;
	pthread_mutex_unlock(&genie_cpu.lock);
	return range != NULL;
}

static bool
is_host(const struct genie_cpu_range *range)
{
	return range->kind == GENIE_CPU_RANGE_HOST || range->kind == GENIE_CPU_RANGE_REGISTER;
}

static CUresult
cpu_cuMemHostGetDevicePointer_v2(CUdeviceptr *ret_ptr, void *ptr, unsigned int flags)
{
	CUresult status = genie_cpu_check();
	struct genie_cpu_range range;

	if (status != CUDA_SUCCESS)
		return status;
	if (flags || !range_at((uint64_t)ptr, &range) || !is_host(&range))
		return CUDA_ERROR_INVALID_VALUE;
	*ret_ptr = (CUdeviceptr)ptr;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuMemHostGetFlags(unsigned int *flags, void *ptr)
{
	CUresult status = genie_cpu_check();
	struct genie_cpu_range range;

	if (status != CUDA_SUCCESS)
		return status;
	if (!range_at((uint64_t)ptr, &range) || !is_host(&range))
		return CUDA_ERROR_INVALID_VALUE;
	*flags = range.flags;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuMemGetInfo_v2(size_t *free, size_t *total)
{
	struct genie_cpu_context *ctx;
	CUresult status = genie_cpu_enter(&ctx);

	if (status != CUDA_SUCCESS)
		return status;
	pthread_mutex_lock(&genie_cpu.lock);
	*free = genie_cpu.total - genie_cpu.parts[ctx->device].used;
	*total = genie_cpu.total;
	pthread_mutex_unlock(&genie_cpu.lock);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr ptr)
{
	CUresult status = genie_cpu_check();
	struct genie_cpu_range range;

	if (status != CUDA_SUCCESS)
		return status;
	if (!range_at(ptr, &range))
		return CUDA_ERROR_NOT_FOUND;
	if (base)
		*base = range.addr;
	if (size)
		*size = range.size;
	return CUDA_SUCCESS;
}

static CUresult
pointer_attribute(void *data, CUpointer_attribute attribute, const struct genie_cpu_range *range,
		  CUdeviceptr ptr)
{
	switch ((int)attribute) {
	case CU_POINTER_ATTRIBUTE_CONTEXT:
		*(CUcontext *)data = (CUcontext)genie_cpu.parts[range->device].primary;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
		*(unsigned int *)data = is_host(range) ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
		*(CUdeviceptr *)data = ptr;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_HOST_POINTER:
		if (!is_host(range))
			return CUDA_ERROR_INVALID_VALUE;
		*(void **)data = (void *)ptr;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_BUFFER_ID:
		*(unsigned long long *)data = range->buffer_id;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_IS_MANAGED:
		*(unsigned int *)data = genie_cpu_module_managed(ptr);
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
		*(int *)data = range->device;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
		*(CUdeviceptr *)data = range->addr;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
		*(size_t *)data = range->size;
		return CUDA_SUCCESS;
	case CU_POINTER_ATTRIBUTE_MAPPED:
		*(unsigned int *)data = 1;
		return CUDA_SUCCESS;
	default:
		return CUDA_ERROR_NOT_SUPPORTED;
	}
}

static CUresult
cpu_cuPointerGetAttribute(void *data, CUpointer_attribute attribute, CUdeviceptr ptr)
{
	CUresult status = genie_cpu_check();
	struct genie_cpu_range range;

	if (status != CUDA_SUCCESS)
		return status;
	if (!data || !range_at(ptr, &range))
		return CUDA_ERROR_INVALID_VALUE;
	return pointer_attribute(data, attribute, &range, ptr);
}

static CUresult
cpu_cuMemAdvise_v2(CUdeviceptr ptr, size_t size, CUmem_advise advice, CUmemLocation location)
{
	(void)advice;
	(void)location;
	return genie_cpu_accessible(ptr, size, false) ? genie_cpu_check()
						      : CUDA_ERROR_INVALID_VALUE;
}

static CUresult
cpu_cuMemPrefetchAsync_v2(CUdeviceptr ptr, size_t size, CUmemLocation location, unsigned int flags,
			  CUstream stream)
{
	(void)location;
	(void)flags;
	(void)stream;
	return genie_cpu_accessible(ptr, size, false) ? genie_cpu_check()
						      : CUDA_ERROR_INVALID_VALUE;
}

/* ---- stream-ordered allocation: memory exists from the call on, which no program can tell ---- */

static struct genie_cpu_pool *
default_pool(CUdevice dev)
{
	struct genie_cpu_pool *pool = &default_pools[dev];

	pool->magic = GENIE_CPU_POOL;
	pool->device = dev;
	return pool;
}

static struct genie_cpu_pool *
get_pool(CUmemoryPool handle)
{
	return genie_cpu_is((void *)handle, GENIE_CPU_POOL) ? (struct genie_cpu_pool *)handle
							    : NULL;
}

static CUresult
cpu_cuMemAllocFromPoolAsync(CUdeviceptr *ret_ptr, size_t size, CUmemoryPool handle,
			    CUstream stream_handle)
{
	const struct genie_cpu_pool *pool = get_pool(handle);
	struct genie_cpu_stream *stream;
	CUresult status = genie_cpu_stream_get(stream_handle, &stream);

	if (status != CUDA_SUCCESS)
		return status;
	if (!pool || !size || !ret_ptr)
		return CUDA_ERROR_INVALID_VALUE;
	if (stream->capture) /* the client keeps such memory itself */
		return genie_cpu_capture_invalidate(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	*ret_ptr = allocate(pool->device, size, GENIE_CPU_RANGE_ALLOC, 0, true);
	return *ret_ptr ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult
cpu_cuMemAllocAsync(CUdeviceptr *ret_ptr, size_t size, CUstream stream)
{
	struct genie_cpu_context *ctx;
	CUresult status = genie_cpu_enter(&ctx);

	if (status != CUDA_SUCCESS)
		return status;
	return cpu_cuMemAllocFromPoolAsync(ret_ptr, size, (CUmemoryPool)default_pool(ctx->device),
					   stream);
}

static CUresult
cpu_cuMemFreeAsync(CUdeviceptr ptr, CUstream stream_handle)
{
	struct genie_cpu_op op = {.kind = GENIE_CPU_OP_FREE, .memory.addr = ptr};
	struct genie_cpu_stream *stream;
	struct genie_cpu_range range;
	CUresult status = genie_cpu_stream_get(stream_handle, &stream);

	if (status != CUDA_SUCCESS)
		return status;
	if (stream->capture)
		return genie_cpu_capture_invalidate(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	if (!range_at(ptr, &range) || range.addr != ptr || range.kind != GENIE_CPU_RANGE_ALLOC)
		return CUDA_ERROR_INVALID_VALUE;
	return genie_cpu_submit(stream_handle, &op);
}

static CUresult
default_pool_of(CUmemoryPool *ret_pool, CUdevice dev)
{
	if (genie_cpu_check_device(dev) != CUDA_SUCCESS)
		return CUDA_ERROR_INVALID_DEVICE;
	*ret_pool = (CUmemoryPool)default_pool(dev);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuDeviceGetDefaultMemPool(CUmemoryPool *ret_pool, CUdevice dev)
{
	return default_pool_of(ret_pool, dev);
}

static CUresult
cpu_cuDeviceGetMemPool(CUmemoryPool *ret_pool, CUdevice dev)
{
	return default_pool_of(ret_pool, dev);
}

static CUresult
cpu_cuDeviceSetMemPool(CUdevice dev, CUmemoryPool pool)
{
	if (genie_cpu_check_device(dev) != CUDA_SUCCESS)
		return CUDA_ERROR_INVALID_DEVICE;
	return get_pool(pool) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult
cpu_cuMemPoolCreate(CUmemoryPool *ret_pool, const CUmemPoolProps *props)
{
	struct genie_cpu_pool *pool;
	CUresult status = genie_cpu_check();

	if (status != CUDA_SUCCESS)
		return status;
	if (!props || props->allocType != CU_MEM_ALLOCATION_TYPE_PINNED)
		return CUDA_ERROR_INVALID_VALUE;
	if (props->handleTypes != CU_MEM_HANDLE_TYPE_NONE)
		return CUDA_ERROR_NOT_SUPPORTED;
	if (genie_cpu_check_device(props->location.id) != CUDA_SUCCESS)
		return CUDA_ERROR_INVALID_DEVICE;
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return CUDA_ERROR_OUT_OF_MEMORY;
	pool->magic = GENIE_CPU_POOL;
	pool->device = props->location.id;
	*ret_pool = (CUmemoryPool)pool;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuMemPoolDestroy(CUmemoryPool handle)
{
	struct genie_cpu_pool *pool = get_pool(handle);

	if (!pool || (pool >= default_pools && pool < default_pools + GENIE_CPU_DEVICES_MAX))
		return CUDA_ERROR_INVALID_VALUE;
	pool->magic = 0;
	free(pool);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuMemPoolTrimTo(CUmemoryPool handle, size_t keep)
{
	(void)keep; /* nothing is held back */
	return get_pool(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult
cpu_cuMemPoolSetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void *value)
{
	struct genie_cpu_pool *pool = get_pool(handle);

	if (!pool || !value)
		return CUDA_ERROR_INVALID_VALUE;
	if (attribute == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
		pool->release_threshold = *(cuuint64_t *)value;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuMemPoolGetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void *value)
{
	struct genie_cpu_pool *pool = get_pool(handle);

	if (!pool || !value)
		return CUDA_ERROR_INVALID_VALUE;
	if (attribute == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
		*(cuuint64_t *)value = pool->release_threshold;
	else if (attribute <= CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES)
		*(int *)value = 1;
	else
		*(cuuint64_t *)value = 0; /* reserved and used memory, now and at most */
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuMemPoolSetAccess(CUmemoryPool handle, const CUmemAccessDesc *map, size_t n)
{
	(void)map;
	(void)n;
	return get_pool(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult
cpu_cuMemPoolGetAccess(CUmemAccess_flags *flags, CUmemoryPool handle, CUmemLocation *location)
{
	(void)location;
	if (!get_pool(handle))
		return CUDA_ERROR_INVALID_VALUE;
	*flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
	return CUDA_SUCCESS;
}

void
genie_cpu_fill_memory(struct genie_driver *drv)
{
	drv->cuMemAlloc_v2 = cpu_cuMemAlloc_v2;
	drv->cuMemFree_v2 = cpu_cuMemFree_v2;
	drv->cuMemAllocPitch_v2 = cpu_cuMemAllocPitch_v2;
	drv->cuMemAllocManaged = cpu_cuMemAllocManaged;
	drv->cuMemHostAlloc = cpu_cuMemHostAlloc;
	drv->cuMemAllocHost_v2 = cpu_cuMemAllocHost_v2;
	drv->cuMemFreeHost = cpu_cuMemFreeHost;
	drv->cuMemHostRegister_v2 = cpu_cuMemHostRegister_v2;
	drv->cuMemHostUnregister = cpu_cuMemHostUnregister;
	drv->cuMemHostGetDevicePointer_v2 = cpu_cuMemHostGetDevicePointer_v2;
	drv->cuMemHostGetFlags = cpu_cuMemHostGetFlags;
	drv->cuMemGetInfo_v2 = cpu_cuMemGetInfo_v2;
	drv->cuMemGetAddressRange_v2 = cpu_cuMemGetAddressRange_v2;
	drv->cuPointerGetAttribute = cpu_cuPointerGetAttribute;
	drv->cuMemAdvise_v2 = cpu_cuMemAdvise_v2;
	drv->cuMemPrefetchAsync_v2 = cpu_cuMemPrefetchAsync_v2;
	drv->cuMemAllocAsync = cpu_cuMemAllocAsync;
	drv->cuMemAllocFromPoolAsync = cpu_cuMemAllocFromPoolAsync;
	drv->cuMemFreeAsync = cpu_cuMemFreeAsync;
	drv->cuDeviceGetDefaultMemPool = cpu_cuDeviceGetDefaultMemPool;
	drv->cuDeviceGetMemPool = cpu_cuDeviceGetMemPool;
	drv->cuDeviceSetMemPool = cpu_cuDeviceSetMemPool;
	drv->cuMemPoolCreate = cpu_cuMemPoolCreate;
	drv->cuMemPoolDestroy = cpu_cuMemPoolDestroy;
	drv->cuMemPoolTrimTo = cpu_cuMemPoolTrimTo;
	drv->cuMemPoolSetAttribute = cpu_cuMemPoolSetAttribute;
	drv->cuMemPoolGetAttribute = cpu_cuMemPoolGetAttribute;
	drv->cuMemPoolSetAccess = cpu_cuMemPoolSetAccess;
	drv->cuMemPoolGetAccess = cpu_cuMemPoolGetAccess;
}
