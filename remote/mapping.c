/*
 * Taking pages away must wait for work that may still use the memory, and the issuing thread does
 * not wait: an unmap is put off until everything issued before it is done, and the completing
 * thread carries it out. If the client wants the same addresses again before that, it gets the same
 * pages back, behind a fence, and nothing was unmapped at all.
 */
#include "remote/mapping.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "remote/complete.h"
#include "remote/credit.h"
#include "remote/share.h"

/* ---- the table ---- */

/* Index of the first mapping that ends after @addr. */
static size_t
find(const struct genie_memory *memory, uint64_t addr)
{
	size_t low = 0;
	size_t high = memory->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memory->list[mid].addr + memory->list[mid].size <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool
overlaps_locked(const struct genie_memory *memory, uint64_t addr, uint64_t size)
{
	size_t i = find(memory, addr);

	return i < memory->count && memory->list[i].addr < addr + size;
}

/* The mapping that is exactly this range, or NULL. */
static struct genie_mapping *
exact_locked(const struct genie_memory *memory, uint64_t addr, uint64_t size)
{
	size_t i = find(memory, addr);

	if (i < memory->count && memory->list[i].addr == addr && memory->list[i].size == size)
		return &memory->list[i];
	return NULL;
}

static bool
insert_locked(struct genie_memory *memory, const struct genie_mapping *mapping)
{
	size_t i = find(memory, mapping->addr);

	if (memory->count == memory->room) {
		size_t room = memory->room ? memory->room * 2 : 256;
		struct genie_mapping *list = realloc(memory->list, room * sizeof(*list));

		if (!list)
			return false;
		memory->list = list;
		memory->room = room;
	}
	memmove(&memory->list[i + 1], &memory->list[i], (memory->count - i) * sizeof(*mapping));
	memory->list[i] = *mapping;
	memory->count++;
	return true;
}

static void
remove_locked(struct genie_memory *memory, struct genie_mapping *mapping)
{
	size_t i = (size_t)(mapping - memory->list);

	memory->count--;
	memmove(mapping, mapping + 1, (memory->count - i) * sizeof(*mapping));
}

bool
genie_mapping_at(struct genie_session *session, uint64_t addr, struct genie_mapping *ret)
{
	const struct genie_memory *memory = session->memory;
	bool found;
	size_t i;

	genie_completer_lock(session);
	i = find(memory, addr);
	found = i < memory->count && memory->list[i].addr <= addr;
	if (found)
		*ret = memory->list[i];
	genie_completer_unlock(session);
	return found;
}

CUresult
genie_mapping_add(struct genie_session *session, const struct genie_mapping *mapping)
{
	bool added;

	genie_completer_lock(session);
	added = insert_locked(session->memory, mapping);
	genie_completer_unlock(session);
	return added ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

bool
genie_window_contains(uint64_t base, uint64_t window, uint64_t addr, uint64_t size,
		      uint64_t granularity)
{
	uint64_t end;

	return size && !(addr % granularity) && !(size % granularity) && addr >= base &&
	       !__builtin_add_overflow(addr, size, &end) && end <= base + window;
}

/* ---- pages ---- */

static bool
credit_take(struct genie_session *session, int device, uint64_t size)
{
	struct genie_memory *memory = session->memory;
	bool fits;

	genie_completer_lock(session);
	fits = memory->mapped[device] <= memory->credit[device] &&
	       size <= memory->credit[device] - memory->mapped[device];
	if (fits)
		memory->mapped[device] += size;
	genie_completer_unlock(session);
	return fits;
}

/* Pages that another worker can map as well: any memory may be shared later, and the driver wants
 * to know it from the start. Not all can (a virtual machine, some containers); then without. */
static CUresult
driver_create(struct genie_session *session, struct genie_pages *pages)
{
	CUmemAllocationProp prop = {
		.type = CU_MEM_ALLOCATION_TYPE_PINNED,
		.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = pages->device}};
	const int32_t *attrs = session->devices[pages->device].attrs;
	CUresult status;

	if (attrs[CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED] > 0) {
		prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
		status = session->drv->cuMemCreate(&pages->handle, pages->size, &prop, 0);
		pages->exportable = status == CUDA_SUCCESS;
		if (status != CUDA_ERROR_NOT_SUPPORTED && status != CUDA_ERROR_NOT_PERMITTED)
			return status;
		prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_NONE;
	}
	return session->drv->cuMemCreate(&pages->handle, pages->size, &prop, 0);
}

CUresult
genie_pages_create(struct genie_session *session, uint64_t size, int device,
		   struct genie_pages **ret_pages)
{
	struct genie_pages *pages;
	CUresult status;

	if (!credit_take(session, device, size)) {
		genie_complete_drain(session, NULL);
		if (!credit_take(session, device, size))
			return CUDA_ERROR_OUT_OF_MEMORY;
	}
	pages = calloc(1, sizeof(*pages));
	if (pages) {
		*pages = (struct genie_pages){
			.size = size, .device = device, .charged = true, .refs = 1};
		genie_credit_use(session, device);
		status = driver_create(session, pages);
		if (status == CUDA_ERROR_OUT_OF_MEMORY) {
			genie_complete_drain(session, NULL);
			status = driver_create(session, pages);
		}
	} else {
		status = CUDA_ERROR_OUT_OF_MEMORY;
	}
	if (status != CUDA_SUCCESS) {
		free(pages);
		genie_completer_lock(session);
		session->memory->mapped[device] -= size;
		genie_completer_unlock(session);
		return status;
	}
	*ret_pages = pages;
	return CUDA_SUCCESS;
}

void
genie_pages_ref(struct genie_session *session, struct genie_pages *pages)
{
	genie_completer_lock(session);
	pages->refs++;
	genie_completer_unlock(session);
}

void
genie_pages_unref(struct genie_session *session, struct genie_pages *pages)
{
	CUresult status;
	bool last;

	genie_completer_lock(session);
	last = --pages->refs == 0;
	genie_completer_unlock(session);
	if (!last)
		return;
	if (pages->shared)
		genie_share_withdraw(session, pages->share_id);
	status = session->drv->cuMemRelease(pages->handle);
	if (status != CUDA_SUCCESS)
		genie_debug("memory of %" PRIu64 " bytes: release failed with %d", pages->size,
			    (int)status);
	if (pages->charged) {
		genie_completer_lock(session);
		session->memory->mapped[pages->device] -= pages->size;
		genie_credit_bound_locked(session, pages->device);
		genie_completer_unlock(session);
	}
	free(pages);
}

void
genie_pages_forget(struct genie_pages *pages)
{
	if (pages && --pages->refs == 0)
		free(pages);
}

/* ---- taking away, once nothing uses it any more ---- */

static void
release(struct genie_session *session, const struct genie_mapping *mapping)
{
	const struct genie_driver *drv = session->drv;
	CUresult status;

	if (mapping->pages)
		status = drv->cuMemUnmap(mapping->addr, mapping->size);
	else
		status = drv->cuMemHostUnregister((void *)(uintptr_t)mapping->addr);
	if (status != CUDA_SUCCESS)
		genie_debug("memory 0x%" PRIx64 " of %" PRIu64 " bytes: unmap failed with %d",
			    mapping->addr, mapping->size, (int)status);
	if (mapping->host)
		munmap((void *)(uintptr_t)mapping->addr, mapping->size);
	if (mapping->pages)
		genie_pages_unref(session, mapping->pages);
}

/* Carries out the unmap numbered completion->ref of [ptr, ptr + len), unless the client mapped the
 * range again meanwhile. The entry stays until the pages are gone, so that nothing can be mapped
 * over them. */
static void
unmap_happen(struct genie_session *session, const struct genie_completion *completion,
	     CUresult status)
{
	struct genie_memory *memory = session->memory;
	uint64_t addr = (uintptr_t)completion->ptr;
	struct genie_mapping copy = {0};
	struct genie_mapping *mapping;

	(void)status;
	genie_completer_lock(session);
	mapping = exact_locked(memory, addr, completion->len);
	if (mapping && mapping->unmap == completion->ref) {
		mapping->unmap = UINT64_MAX; /* cannot be taken back any more */
		copy = *mapping;
	}
	genie_completer_unlock(session);
	if (!copy.size)
		return;
	release(session, &copy);
	genie_completer_lock(session);
	mapping = exact_locked(memory, addr, completion->len);
	remove_locked(memory, mapping);
	genie_completer_unlock(session);
}

CUresult
genie_mapping_remove_later(struct genie_session *session, uint64_t addr, uint64_t size)
{
	struct genie_memory *memory = session->memory;
	struct genie_completion later = {.fn = unmap_happen,
					 .ticket = session->cmd->ticket,
					 .slot = GENIE_SLOTS_MAX,
					 .ptr = (void *)(uintptr_t)addr,
					 .len = size};
	struct genie_mapping *mapping;

	genie_completer_lock(session);
	mapping = exact_locked(memory, addr, size);
	if (!mapping || mapping->unmap) {
		genie_completer_unlock(session);
		return CUDA_ERROR_INVALID_VALUE;
	}
	later.ref = ++memory->unmaps;
	mapping->unmap = later.ref;
	genie_completer_unlock(session);
	return genie_complete_all(session, NULL, &later);
}

struct wanted {
	struct genie_memory *memory;
	uint64_t addr, size;
};

static bool
range_is_free(void *data)
{
	const struct wanted *wanted = data;

	return !overlaps_locked(wanted->memory, wanted->addr, wanted->size);
}

bool
genie_mapping_clear(struct genie_session *session, uint64_t addr, uint64_t size)
{
	const struct genie_memory *memory = session->memory;
	struct wanted wanted = {session->memory, addr, size};
	bool will = true;

	genie_completer_lock(session);
	for (size_t i = find(memory, addr); i < memory->count && memory->list[i].addr < addr + size;
	     i++)
		will &= memory->list[i].unmap != 0;
	genie_completer_unlock(session);
	if (will)
		genie_complete_wait(session, range_is_free, &wanted);
	return will;
}

bool
genie_mapping_take_back(struct genie_session *session, uint64_t addr, uint64_t size, int device)
{
	struct genie_mapping *mapping;
	bool taken = false;

	genie_completer_lock(session);
	mapping = exact_locked(session->memory, addr, size);
	if (mapping && mapping->device == device && mapping->placed && mapping->unmap &&
	    mapping->unmap != UINT64_MAX) {
		mapping->unmap = 0;
		taken = true;
	}
	genie_completer_unlock(session);
	return taken;
}
