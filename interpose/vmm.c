#include "interpose/vmm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "interpose/memory.h"
#include "interpose/refuse.h"

/*
 * The second half of the device window. One entry of pages for each 2 MiB of it points to the
 * mapping there, so that finding one costs a load whatever the program has mapped.
 */
struct mapping {
	uint64_t addr, size, offset; /* offset: in the handle's memory */
	struct genie_memhandle *handle;
	uint64_t id;
	enum genie_mem_type type;
	/* GENIE_MEM_SHARED: who opened it, for which pool, and the part that was shared. The pages
	 * may hold other things too. */
	struct genie_ctx *ctx;
	struct genie_mempool *pool;
	uint64_t part, part_size;
	uint8_t access[GENIE_DEVICES_MAX]; /* CUmemAccess_flags by device */
};

struct reservation {
	uint64_t addr, room; /* room: in whole pages */
	uint64_t size;       /* as asked for */
	uint64_t mapped;     /* bytes */
};

static struct {
	/* Guards everything here, and the handles. Held while a command is sent: the worker hears
	 * of one range what happens to it here, in that order. */
	pthread_rwlock_t lock;
	_Atomic bool ready;
	uint64_t base, size;
	struct mapping **pages;
	struct reservation *list; /* sorted by address, disjoint */
	size_t count, room;
} vmm = {.lock = PTHREAD_RWLOCK_INITIALIZER};

static bool
vmm_make_locked(void)
{
	const struct genie_welcome *welcome = genie_client.welcome;
	uint64_t half;
	void *pages;

	if (vmm.pages != NULL)
		return true;
	if (welcome == NULL)
		return false;
	half = welcome->device_window_size / 2 & ~(GENIE_VMM_PAGE - 1);
	/* Only the part of the table that is used gets memory behind it. */
	pages = mmap(NULL, half / GENIE_VMM_PAGE * sizeof(*vmm.pages), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (half == 0 || pages == MAP_FAILED)
		return false;
	vmm.pages = pages;
	/* What the heaps round away is lost, so that this part is as well aligned as the window. */
	vmm.base = welcome->device_window + (welcome->device_window_size & ~(GENIE_VMM_PAGE - 1)) -
		   half;
	vmm.size = half;
	/* release: pairs with in_arena() */
	atomic_store_explicit(&vmm.ready, true, memory_order_release);
	return true;
}

static bool
in_arena(uint64_t addr, uint64_t size)
{
	return atomic_load_explicit(&vmm.ready, memory_order_acquire) && addr >= vmm.base &&
	       addr - vmm.base < vmm.size && size <= vmm.size - (addr - vmm.base);
}

static bool
is_granular(uint64_t value)
{
	return (value & (GENIE_VMM_PAGE - 1)) == 0;
}

static struct mapping **
page_at(uint64_t addr)
{
	return &vmm.pages[(addr - vmm.base) / GENIE_VMM_PAGE];
}

/* ---- reserved addresses ---- */

/* Index of the first reservation that ends after @addr. */
static size_t
search_locked(uint64_t addr)
{
	size_t low = 0, high = vmm.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (vmm.list[middle].addr + vmm.list[middle].room <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The reservation that [@addr, @addr + @size) lies in, or NULL. */
static struct reservation *
reservation_locked(uint64_t addr, uint64_t size)
{
	struct reservation *found;
	size_t at;

	if (!in_arena(addr, size))
		return NULL;
	at = search_locked(addr);
	found = at < vmm.count && vmm.list[at].addr <= addr ? &vmm.list[at] : NULL;
	return found != NULL && size <= found->room - (addr - found->addr) ? found : NULL;
}

static bool
reserve_at_locked(uint64_t addr, uint64_t room, uint64_t size)
{
	size_t at = search_locked(addr);

	if (!in_arena(addr, room) || (at < vmm.count && vmm.list[at].addr < addr + room))
		return false;
	if (vmm.count == vmm.room) {
		size_t bigger = vmm.room != 0 ? vmm.room * 2 : 16;
		struct reservation *list = reallocarray(vmm.list, bigger, sizeof(*list));

		if (list == NULL)
			return false;
		vmm.list = list;
		vmm.room = bigger;
	}
	memmove(&vmm.list[at + 1], &vmm.list[at], (vmm.count - at) * sizeof(*vmm.list));
	vmm.list[at] = (struct reservation){.addr = addr, .room = room, .size = size};
	vmm.count++;
	return true;
}

/* The lowest gap that is large enough. */
static bool
reserve_locked(uint64_t size, uint64_t alignment, uint64_t hint, uint64_t *ret_addr)
{
	uint64_t room, at = vmm.base;

	if (!vmm_make_locked() || size > vmm.size)
		return false;
	at = vmm.base;
	room = (size + GENIE_VMM_PAGE - 1) & ~(GENIE_VMM_PAGE - 1);
	if (alignment < GENIE_VMM_PAGE)
		alignment = GENIE_VMM_PAGE;
	if (hint != 0 && (hint & (alignment - 1)) == 0 && reserve_at_locked(hint, room, size)) {
		*ret_addr = hint;
		return true;
	}
	for (size_t i = 0; i <= vmm.count; i++) {
		uint64_t end = i < vmm.count ? vmm.list[i].addr : vmm.base + vmm.size;
		uint64_t start = (at + alignment - 1) & ~(alignment - 1);

		if (start >= at && start < end && room <= end - start &&
		    reserve_at_locked(start, room, size)) {
			*ret_addr = start;
			return true;
		}
		if (i < vmm.count)
			at = vmm.list[i].addr + vmm.list[i].room;
	}
	return false;
}

static bool
unreserve_locked(uint64_t addr, uint64_t size)
{
	struct reservation *found = reservation_locked(addr, 1);
	size_t at;

	if (found == NULL || found->addr != addr || found->size != size || found->mapped != 0)
		return false;
	at = (size_t)(found - vmm.list);
	vmm.count--;
	memmove(found, found + 1, (vmm.count - at) * sizeof(*found));
	return true;
}

CUresult
genie_cuMemAddressReserve(CUdeviceptr *ptr, size_t size, size_t alignment, CUdeviceptr addr,
			  unsigned long long flags)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t got = 0;
	bool reserved;

	if (ptr == NULL || size == 0 || size % page != 0 || addr % page != 0 || flags != 0 ||
	    (alignment & (alignment - 1)) != 0)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_rwlock_wrlock(&vmm.lock);
	reserved = reserve_locked(size, alignment, addr, &got);
	pthread_rwlock_unlock(&vmm.lock);
	if (!reserved)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ptr = got;
	return CUDA_SUCCESS;
}

CUresult
genie_cuMemAddressFree(CUdeviceptr ptr, size_t size)
{
	bool freed;

	pthread_rwlock_wrlock(&vmm.lock);
	freed = unreserve_locked(ptr, size);
	pthread_rwlock_unlock(&vmm.lock);
	return freed ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- handles ---- */

/* The caller holds vmm.lock. */
static struct genie_memhandle *
memhandle_get_locked(CUmemGenericAllocationHandle token)
{
	struct genie_memhandle *handle = genie_object_get(GENIE_KIND_MEMHANDLE, token);

	return handle != NULL && handle->refs != 0 ? handle : NULL;
}

struct genie_memhandle *
genie_memhandle_get(CUmemGenericAllocationHandle token)
{
	struct genie_memhandle *handle;

	pthread_rwlock_rdlock(&vmm.lock);
	handle = memhandle_get_locked(token);
	pthread_rwlock_unlock(&vmm.lock);
	return handle;
}

void
genie_memhandle_adopt(struct genie_memhandle *handle, uint64_t size, int device,
		      CUmemAllocationHandleType types)
{
	handle->size = size;
	handle->device = device;
	handle->prop = (CUmemAllocationProp){
		.type = CU_MEM_ALLOCATION_TYPE_PINNED,
		.requestedHandleTypes = types,
		.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device},
	};
	handle->id = genie_mem_next_id();
	handle->foreign = true;
	pthread_rwlock_wrlock(&vmm.lock);
	handle->refs = 1;
	pthread_rwlock_unlock(&vmm.lock);
}

/* Nobody holds it and nothing of it is mapped: it is gone, here and at the worker. Unlinked under
 * the lock, so that nobody finds it again. */
static void
memhandle_end(struct genie_memhandle *handle)
{
	struct genie_args_genieVmmRelease args = {.handle = handle->object.token};
	struct genie_heap *heap = genie_mem_device_heap(handle->device);

	/* A lost connection was noticed. */
	(void)genie_call_ctx(GENIE_OP_genieVmmRelease, &args, NULL, NULL);
	if (heap != NULL && !handle->foreign)
		genie_heap_credit_give(heap, handle->size);
	genie_object_free(handle);
}

static CUresult
prop_check(const CUmemAllocationProp *prop)
{
	const unsigned int known = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR |
				   CU_MEM_HANDLE_TYPE_WIN32 | CU_MEM_HANDLE_TYPE_WIN32_KMT |
				   CU_MEM_HANDLE_TYPE_FABRIC;
	unsigned int types = (unsigned int)prop->requestedHandleTypes;

	if (prop->type != CU_MEM_ALLOCATION_TYPE_PINNED || (types & ~known) != 0)
		return CUDA_ERROR_INVALID_VALUE;
	switch (prop->location.type) {
	case CU_MEM_LOCATION_TYPE_DEVICE:
		break;
	case CU_MEM_LOCATION_TYPE_HOST:
	case CU_MEM_LOCATION_TYPE_HOST_NUMA:
	case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT:
		return genie_refuse("cuMemCreate on the host",
				    "the program and the device have different hosts: "
				    "use cuMemHostAlloc");
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
	if (prop->location.id < 0 || prop->location.id >= genie_client.device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	if ((types & (CU_MEM_HANDLE_TYPE_WIN32 | CU_MEM_HANDLE_TYPE_WIN32_KMT)) != 0)
		return CUDA_ERROR_NOT_SUPPORTED;
	if ((prop->allocFlags.usage & CU_MEM_CREATE_USAGE_TILE_POOL) != 0)
		return genie_refuse("cuMemCreate of a tile pool",
				    "sparse arrays are not supported: "
				    "CU_DEVICE_ATTRIBUTE_SPARSE_CUDA_ARRAY_SUPPORTED is 0");
	return CUDA_SUCCESS;
}

CUresult
genie_cuMemCreate(CUmemGenericAllocationHandle *ret_handle, size_t size,
		  const CUmemAllocationProp *prop, unsigned long long flags)
{
	struct genie_args_genieVmmCreate args = {.size = size};
	struct genie_memhandle *handle;
	struct genie_heap *heap;
	CUresult status;

	if (ret_handle == NULL || prop == NULL || size == 0 || !is_granular(size) || flags != 0)
		return CUDA_ERROR_INVALID_VALUE;
	status = prop_check(prop);
	if (status != CUDA_SUCCESS)
		return status;
	args.device = genie_device_wire(prop->location.id);
	heap = genie_mem_device_heap(prop->location.id);
	if (heap == NULL || size > heap->size || genie_heap_credit_take(heap, size) != 0)
		return CUDA_ERROR_OUT_OF_MEMORY;
	handle = genie_object_new(GENIE_KIND_MEMHANDLE, sizeof(*handle), NULL);
	if (handle == NULL) {
		genie_heap_credit_give(heap, size);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	genie_memhandle_adopt(handle, size, prop->location.id, prop->requestedHandleTypes);
	handle->foreign = false;
	handle->prop = *prop;
	handle->prop.allocFlags.compressionType = CU_MEM_ALLOCATION_COMP_NONE; /* a wish */
	args.handle = handle->object.token;
	status = genie_call_ctx(GENIE_OP_genieVmmCreate, &args, NULL, NULL);
	if (status != CUDA_SUCCESS) {
		genie_heap_credit_give(heap, size);
		genie_object_free(handle);
		return status;
	}
	*ret_handle = handle->object.token;
	return CUDA_SUCCESS;
}

CUresult
genie_cuMemRelease(CUmemGenericAllocationHandle token)
{
	struct genie_memhandle *handle;
	bool end = false;

	pthread_rwlock_wrlock(&vmm.lock);
	handle = memhandle_get_locked(token);
	if (handle != NULL)
		end = --handle->refs == 0 && handle->maps == 0;
	pthread_rwlock_unlock(&vmm.lock);
	if (end)
		memhandle_end(handle);
	return handle != NULL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult
genie_cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *ret_handle, void *addr)
{
	const struct mapping *mapping = NULL;

	if (ret_handle == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_rwlock_wrlock(&vmm.lock);
	if (in_arena((uint64_t)(uintptr_t)addr, 1))
		mapping = *page_at((uint64_t)(uintptr_t)addr);
	if (mapping != NULL && mapping->type == GENIE_MEM_MAPPED) {
		mapping->handle->refs++;
		*ret_handle = mapping->handle->object.token;
	} else {
		mapping = NULL;
	}
	pthread_rwlock_unlock(&vmm.lock);
	return mapping != NULL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult
genie_cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *prop,
					     CUmemGenericAllocationHandle token)
{
	const struct genie_memhandle *handle = genie_memhandle_get(token);

	if (prop == NULL || handle == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	*prop = handle->prop;
	return CUDA_SUCCESS;
}

/* The heaps rely on the same number: all devices with this interface have it. */
CUresult
genie_cuMemGetAllocationGranularity(size_t *granularity, const CUmemAllocationProp *prop,
				    CUmemAllocationGranularity_flags option)
{
	CUresult status;

	if (granularity == NULL || prop == NULL ||
	    (option != CU_MEM_ALLOC_GRANULARITY_MINIMUM &&
	     option != CU_MEM_ALLOC_GRANULARITY_RECOMMENDED))
		return CUDA_ERROR_INVALID_VALUE;
	status = prop_check(prop);
	if (status == CUDA_SUCCESS)
		*granularity = GENIE_VMM_PAGE;
	return status;
}

/* ---- mappings ---- */

static bool
is_empty_locked(uint64_t addr, uint64_t size)
{
	for (uint64_t at = addr; at < addr + size; at += GENIE_VMM_PAGE)
		if (*page_at(at) != NULL)
			return false;
	return true;
}

/* Enters a mapping and tells the worker. */
static CUresult
map_locked(const struct mapping *wanted)
{
	struct genie_args_genieVmmMap args = {.addr = wanted->addr,
					      .size = wanted->size,
					      .offset = wanted->offset,
					      .handle = wanted->handle->object.token};
	struct reservation *reservation = reservation_locked(wanted->addr, wanted->size);
	struct mapping *mapping;
	CUresult status;

	if (reservation == NULL || !is_empty_locked(wanted->addr, wanted->size))
		return CUDA_ERROR_INVALID_VALUE;
	mapping = malloc(sizeof(*mapping));
	if (mapping == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = genie_call_ctx(GENIE_OP_genieVmmMap, &args, NULL, NULL);
	if (status != CUDA_SUCCESS) {
		free(mapping);
		return status;
	}
	*mapping = *wanted;
	mapping->id = genie_mem_next_id();
	mapping->handle->maps++;
	reservation->mapped += mapping->size;
	for (uint64_t at = mapping->addr; at < mapping->addr + mapping->size; at += GENIE_VMM_PAGE)
		*page_at(at) = mapping;
	return CUDA_SUCCESS;
}

CUresult
genie_cuMemMap(CUdeviceptr ptr, size_t size, size_t offset, CUmemGenericAllocationHandle token,
	       unsigned long long flags)
{
	struct mapping mapping = {
		.addr = ptr, .size = size, .offset = offset, .type = GENIE_MEM_MAPPED};
	CUresult status = CUDA_ERROR_INVALID_VALUE;

	if (size == 0 || !is_granular(ptr) || flags != 0)
		return CUDA_ERROR_INVALID_VALUE;
	/* A size that is not the handle's is "not supported" (seen with driver 580). */
	if (!is_granular(size) || !is_granular(offset))
		return CUDA_ERROR_NOT_SUPPORTED;
	pthread_rwlock_wrlock(&vmm.lock);
	mapping.handle = memhandle_get_locked(token);
	if (mapping.handle != NULL &&
	    (offset > mapping.handle->size || size > mapping.handle->size - offset))
		status = CUDA_ERROR_NOT_SUPPORTED;
	else if (mapping.handle != NULL)
		status = map_locked(&mapping);
	pthread_rwlock_unlock(&vmm.lock);
	return status;
}

/* Takes one mapping away. Its handle, if that was the last use of it; the caller ends it. */
static struct genie_memhandle *
unmap_one_locked(struct mapping *mapping)
{
	struct genie_args_genieMemUnmap args = {.addr = mapping->addr, .size = mapping->size};
	struct genie_memhandle *handle = mapping->handle;

	(void)genie_call_ctx(GENIE_OP_genieMemUnmap, &args, NULL, NULL);
	for (uint64_t at = mapping->addr; at < mapping->addr + mapping->size; at += GENIE_VMM_PAGE)
		*page_at(at) = NULL;
	reservation_locked(mapping->addr, mapping->size)->mapped -= mapping->size;
	free(mapping);
	return --handle->maps == 0 && handle->refs == 0 ? handle : NULL;
}

/* Is what is mapped in [@addr, @addr + @size) mapped by the program, and all of it whole? Nothing
 * may be there, which natively is no mistake either (driver 580). */
static bool
is_unmappable_locked(uint64_t addr, uint64_t size)
{
	if (reservation_locked(addr, size) == NULL)
		return false;
	for (uint64_t at = addr; at < addr + size;) {
		const struct mapping *mapping = *page_at(at);

		if (mapping == NULL) {
			at += GENIE_VMM_PAGE;
			continue;
		}
		if (mapping->addr != at || mapping->size > addr + size - at ||
		    mapping->type != GENIE_MEM_MAPPED)
			return false;
		at += mapping->size;
	}
	return true;
}

CUresult
genie_cuMemUnmap(CUdeviceptr ptr, size_t size)
{
	struct genie_memhandle *ended;
	CUresult status;

	if (size == 0 || !is_granular(ptr) || !is_granular(size))
		return CUDA_ERROR_INVALID_VALUE;
	pthread_rwlock_wrlock(&vmm.lock);
	status = is_unmappable_locked(ptr, size) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
	for (uint64_t at = ptr; status == CUDA_SUCCESS && at < ptr + size;) {
		struct mapping *mapping = *page_at(at);

		at += mapping != NULL ? mapping->size : GENIE_VMM_PAGE;
		ended = mapping != NULL ? unmap_one_locked(mapping) : NULL;
		if (ended != NULL)
			memhandle_end(ended);
	}
	pthread_rwlock_unlock(&vmm.lock);
	return status;
}

/* ---- access ---- */

static bool
is_mapped_whole_locked(uint64_t addr, uint64_t size)
{
	if (reservation_locked(addr, size) == NULL)
		return false;
	for (uint64_t at = addr; at < addr + size;) {
		const struct mapping *mapping = *page_at(at);

		if (mapping == NULL || mapping->addr != at || mapping->size > addr + size - at)
			return false;
		at += mapping->size;
	}
	return true;
}

static CUresult
access_set_locked(uint64_t addr, uint64_t size, int device, unsigned int flags)
{
	struct genie_args_genieVmmAccess args = {
		.addr = addr, .size = size, .device = genie_device_wire(device), .flags = flags};
	CUresult status = genie_call_ctx(GENIE_OP_genieVmmAccess, &args, NULL, NULL);

	for (uint64_t at = addr; status == CUDA_SUCCESS && at < addr + size;) {
		struct mapping *mapping = *page_at(at);

		mapping->access[device] = (uint8_t)flags;
		at += mapping->size;
	}
	return status;
}

static CUresult
access_check(const CUmemAccessDesc *desc)
{
	if (desc->flags != CU_MEM_ACCESS_FLAGS_PROT_NONE &&
	    desc->flags != CU_MEM_ACCESS_FLAGS_PROT_READ &&
	    desc->flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
		return CUDA_ERROR_INVALID_VALUE;
	if (desc->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
		return genie_refuse("cuMemSetAccess for the host",
				    "the program cannot touch memory of a device on another host");
	return desc->location.id >= 0 && desc->location.id < genie_client.device_count
		       ? CUDA_SUCCESS
		       : CUDA_ERROR_INVALID_DEVICE;
}

CUresult
genie_cuMemSetAccess(CUdeviceptr ptr, size_t size, const CUmemAccessDesc *desc, size_t count)
{
	CUresult status = CUDA_SUCCESS;

	if (size == 0 || !is_granular(ptr) || !is_granular(size) || desc == NULL || count == 0)
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < count && status == CUDA_SUCCESS; i++)
		status = access_check(&desc[i]);
	if (status != CUDA_SUCCESS)
		return status;
	pthread_rwlock_wrlock(&vmm.lock);
	if (!is_mapped_whole_locked(ptr, size))
		status = CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < count && status == CUDA_SUCCESS; i++)
		status = access_set_locked(ptr, size, desc[i].location.id, desc[i].flags);
	pthread_rwlock_unlock(&vmm.lock);
	return status;
}

CUresult
genie_cuMemGetAccess(unsigned long long *flags, const CUmemLocation *location, CUdeviceptr ptr)
{
	const struct mapping *mapping = NULL;

	if (flags == NULL || location == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (location->type == CU_MEM_LOCATION_TYPE_DEVICE &&
	    (location->id < 0 || location->id >= genie_client.device_count))
		return CUDA_ERROR_INVALID_DEVICE;
	pthread_rwlock_rdlock(&vmm.lock);
	if (in_arena(ptr, 1))
		mapping = *page_at(ptr);
	if (mapping != NULL)
		*flags = location->type == CU_MEM_LOCATION_TYPE_DEVICE
				 ? mapping->access[location->id]
				 : CU_MEM_ACCESS_FLAGS_PROT_NONE;
	pthread_rwlock_unlock(&vmm.lock);
	return mapping != NULL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- for the rest of the client ---- */

bool
genie_vmm_find(uint64_t addr, struct genie_mem *ret_mem)
{
	const struct mapping *mapping;
	bool found = false;

	if (!in_arena(addr, 1))
		return false;
	pthread_rwlock_rdlock(&vmm.lock);
	mapping = *page_at(addr);
	if (mapping != NULL) {
		*ret_mem = (struct genie_mem){
			.type = mapping->type,
			.base = mapping->addr,
			.size = mapping->size,
			.device = mapping->handle->device,
			.ctx = mapping->ctx,
			.pool = mapping->pool,
			.id = mapping->id,
		};
		if (mapping->type == GENIE_MEM_SHARED) {
			ret_mem->base = mapping->addr + mapping->part;
			ret_mem->size = mapping->part_size;
		}
		found = addr >= ret_mem->base && addr - ret_mem->base < ret_mem->size;
	}
	pthread_rwlock_unlock(&vmm.lock);
	return found;
}

bool
genie_vmm_props(uint64_t addr, CUmemAllocationProp *ret_prop, uint64_t *ret_block)
{
	const struct mapping *mapping = NULL;

	pthread_rwlock_rdlock(&vmm.lock);
	if (in_arena(addr, 1))
		mapping = *page_at(addr);
	if (mapping != NULL) {
		*ret_prop = mapping->handle->prop;
		*ret_block = mapping->handle->id;
	}
	pthread_rwlock_unlock(&vmm.lock);
	return mapping != NULL;
}

CUresult
genie_vmm_check(uint64_t addr, uint64_t size)
{
	CUresult status = CUDA_SUCCESS;
	uint64_t end;

	if (__builtin_add_overflow(addr, size, &end) || !in_arena(addr, size))
		return CUDA_ERROR_INVALID_VALUE;
	pthread_rwlock_rdlock(&vmm.lock);
	for (uint64_t at = addr; at < end;) {
		const struct mapping *mapping = *page_at(at);
		bool usable = false;

		for (int i = 0; mapping != NULL && i < genie_client.device_count && !usable; i++)
			usable = mapping->access[i] != CU_MEM_ACCESS_FLAGS_PROT_NONE;
		if (!usable) {
			status = CUDA_ERROR_INVALID_VALUE;
			break;
		}
		at = mapping->addr + mapping->size;
	}
	pthread_rwlock_unlock(&vmm.lock);
	return status;
}

CUresult
genie_vmm_open(struct genie_memhandle *handle, const struct genie_mem *how, uint64_t *ret_addr)
{
	struct mapping mapping = {.size = handle->size,
				  .handle = handle,
				  .type = how->type,
				  .ctx = how->ctx,
				  .pool = how->pool,
				  .part = how->base,
				  .part_size = how->size};
	CUresult status = CUDA_ERROR_OUT_OF_MEMORY;

	pthread_rwlock_wrlock(&vmm.lock);
	if (reserve_locked(handle->size, 0, 0, &mapping.addr)) {
		status = map_locked(&mapping);
		for (int i = 0; i < genie_client.device_count && status == CUDA_SUCCESS; i++)
			if (i == handle->device || (how->ctx != NULL && i == how->ctx->device))
				status = access_set_locked(mapping.addr, mapping.size, i,
							   CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
		if (status != CUDA_SUCCESS)
			unreserve_locked(mapping.addr, mapping.size);
	}
	if (status == CUDA_SUCCESS) {
		handle->refs--; /* the mapping keeps it */
		*ret_addr = mapping.addr + mapping.part;
	}
	pthread_rwlock_unlock(&vmm.lock);
	return status;
}

void
genie_vmm_close(uint64_t addr)
{
	struct genie_memhandle *ended = NULL;
	struct mapping *mapping;

	pthread_rwlock_wrlock(&vmm.lock);
	mapping = in_arena(addr, 1) ? *page_at(addr) : NULL;
	if (mapping != NULL && mapping->type == GENIE_MEM_SHARED) {
		uint64_t base = mapping->addr, size = mapping->size;

		ended = unmap_one_locked(mapping);
		unreserve_locked(base, size);
	}
	pthread_rwlock_unlock(&vmm.lock);
	if (ended != NULL)
		memhandle_end(ended);
}
