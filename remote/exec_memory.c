/*
 * Device memory and pinned memory. The client decides where memory lies; here pages are put behind
 * the addresses and taken away again.
 *
 * Taking away must wait for work that may still use the memory, and the issuing thread does not
 * wait: an unmap is put off until everything issued before it is done, and the completing thread
 * carries it out. If the client wants the same addresses again before that, it gets the same pages
 * back, behind a fence, and nothing was unmapped at all.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "remote/complete.h"
#include "remote/exec.h"
#include "remote/memory.h"

/* Credit is given in steps, and where there is plenty a share of what is free. */
#define CREDIT_STEP  (UINT64_C(256) << 20)
#define CREDIT_SHARE 8
/* Left for the driver's own use: kernels' local memory, modules, contexts. */
#define CREDIT_HEADROOM (UINT64_C(256) << 20)

struct mapping {
	uint64_t addr, size;
	int device; /* -1: pinned memory */
	CUmemGenericAllocationHandle handle;
	uint64_t unmap; /* number of the unmap that is put off, 0 = none */
};

/* Guarded by the completer's lock: both threads change it. */
struct genie_memory {
	struct mapping *list; /* sorted by address, disjoint */
	size_t count, room;
	uint64_t unmaps; /* numbers given out */
	uint64_t mapped[GENIE_DEVICES_MAX];
	uint64_t credit[GENIE_DEVICES_MAX];
};

int
genie_memory_init(struct genie_session *session)
{
	struct genie_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return -ENOMEM;
	for (int i = 0; i < session->device_count; i++)
		memory->credit[i] = session->devices[i].credit;
	session->memory = memory;
	return 0;
}

void
genie_memory_fini(struct genie_session *session)
{
	if (!session->memory)
		return;
	free(session->memory->list);
	free(session->memory);
	session->memory = NULL;
}

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
static struct mapping *
exact_locked(const struct genie_memory *memory, uint64_t addr, uint64_t size)
{
	size_t i = find(memory, addr);

	if (i < memory->count && memory->list[i].addr == addr && memory->list[i].size == size)
		return &memory->list[i];
	return NULL;
}

static int
insert_locked(struct genie_memory *memory, const struct mapping *mapping)
{
	size_t i = find(memory, mapping->addr);

	if (memory->count == memory->room) {
		size_t room = memory->room ? memory->room * 2 : 256;
		struct mapping *list = realloc(memory->list, room * sizeof(*list));

		if (!list)
			return -ENOMEM;
		memory->list = list;
		memory->room = room;
	}
	memmove(&memory->list[i + 1], &memory->list[i], (memory->count - i) * sizeof(*mapping));
	memory->list[i] = *mapping;
	memory->count++;
	return 0;
}

static void
remove_locked(struct genie_memory *memory, struct mapping *mapping)
{
	size_t i = (size_t)(mapping - memory->list);

	memory->count--;
	memmove(mapping, mapping + 1, (memory->count - i) * sizeof(*mapping));
}

/* ---- taking away, once nothing uses it any more ---- */

static void
release(struct genie_session *session, const struct mapping *mapping)
{
	const struct genie_driver *drv = session->drv;
	CUresult status;

	if (mapping->device < 0) {
		status = drv->cuMemHostUnregister((void *)(uintptr_t)mapping->addr);
	} else {
		status = drv->cuMemUnmap(mapping->addr, mapping->size);
		if (status == CUDA_SUCCESS)
			status = drv->cuMemRelease(mapping->handle);
	}
	if (status != CUDA_SUCCESS)
		genie_debug("memory 0x%" PRIx64 " of %" PRIu64 " bytes: unmap failed with %d",
			    mapping->addr, mapping->size, (int)status);
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
	struct mapping copy = {0};
	struct mapping *mapping;

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
	if (copy.device >= 0)
		memory->mapped[copy.device] -= copy.size;
	remove_locked(memory, mapping);
	genie_completer_unlock(session);
}

/* Puts off the unmapping of one whole mapping. */
static CUresult
unmap_later(struct genie_session *session, uint64_t addr, uint64_t size)
{
	struct genie_memory *memory = session->memory;
	struct genie_completion later = {.fn = unmap_happen,
					 .ticket = session->cmd->ticket,
					 .slot = GENIE_SLOTS_MAX,
					 .ptr = (void *)(uintptr_t)addr,
					 .len = size};
	struct mapping *mapping;

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

/* Whether the range can become free by itself: everything in it is about to be unmapped. */
static bool
range_will_be_free(struct genie_session *session, uint64_t addr, uint64_t size)
{
	const struct genie_memory *memory = session->memory;
	bool will = true;

	genie_completer_lock(session);
	for (size_t i = find(memory, addr); i < memory->count && memory->list[i].addr < addr + size;
	     i++)
		will &= memory->list[i].unmap != 0;
	genie_completer_unlock(session);
	return will;
}

/* The pages that were there are still there: the unmap is taken back. */
static bool
take_back(struct genie_session *session, uint64_t addr, uint64_t size, int device)
{
	struct mapping *mapping;
	bool taken = false;

	genie_completer_lock(session);
	mapping = exact_locked(session->memory, addr, size);
	if (mapping && mapping->device == device && mapping->unmap &&
	    mapping->unmap != UINT64_MAX) {
		mapping->unmap = 0;
		taken = true;
	}
	genie_completer_unlock(session);
	return taken;
}

/* ---- device memory ---- */

static bool
window_contains(uint64_t base, uint64_t window, uint64_t addr, uint64_t size, uint64_t granularity)
{
	uint64_t end;

	return size && !(addr % granularity) && !(size % granularity) && addr >= base &&
	       !__builtin_add_overflow(addr, size, &end) && end <= base + window;
}

static CUresult
pages_make(struct genie_session *session, uint64_t addr, uint64_t size, int device,
	   CUmemGenericAllocationHandle *ret_handle)
{
	const struct genie_driver *drv = session->drv;
	const CUmemAllocationProp prop = {
		.type = CU_MEM_ALLOCATION_TYPE_PINNED,
		.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device}};
	const CUmemAccessDesc access = {.location = prop.location,
					.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
	CUmemGenericAllocationHandle handle = 0;
	CUresult status;

	status = drv->cuMemCreate(&handle, size, &prop, 0);
	if (status != CUDA_SUCCESS)
		return status;
	status = drv->cuMemMap(addr, size, 0, handle, 0);
	if (status != CUDA_SUCCESS)
		goto err_release;
	status = drv->cuMemSetAccess(addr, size, &access, 1);
	if (status != CUDA_SUCCESS)
		goto err_unmap;
	*ret_handle = handle;
	return CUDA_SUCCESS;

err_unmap:
	drv->cuMemUnmap(addr, size);
err_release:
	drv->cuMemRelease(handle);
	return status;
}

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

static void
credit_return(struct genie_session *session, int device, uint64_t size)
{
	genie_completer_lock(session);
	session->memory->mapped[device] -= size;
	genie_completer_unlock(session);
}

CUresult
genie_exec_genieMemMap(struct genie_session *session, struct genie_args_genieMemMap *args)
{
	struct wanted wanted = {session->memory, args->addr, args->size};
	struct mapping mapping = {.addr = args->addr, .size = args->size, .device = args->device};
	CUresult status;
	int error;

	if (args->device < 0 || args->device >= session->device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!window_contains(session->device_window, session->device_window_size, args->addr,
			     args->size, GENIE_MEMORY_PAGE))
		return CUDA_ERROR_INVALID_VALUE;
	if (take_back(session, args->addr, args->size, args->device))
		return genie_fence_set(session);
	if (!range_will_be_free(session, args->addr, args->size))
		return CUDA_ERROR_ALREADY_MAPPED;
	genie_complete_wait(session, range_is_free, &wanted);
	if (!credit_take(session, args->device, args->size)) {
		/* What is about to be unmapped still counts. */
		genie_complete_drain(session, NULL);
		if (!credit_take(session, args->device, args->size))
			return CUDA_ERROR_OUT_OF_MEMORY;
	}
	status = pages_make(session, args->addr, args->size, args->device, &mapping.handle);
	if (status == CUDA_ERROR_OUT_OF_MEMORY) {
		genie_complete_drain(session, NULL);
		status = pages_make(session, args->addr, args->size, args->device, &mapping.handle);
	}
	if (status != CUDA_SUCCESS) {
		credit_return(session, args->device, args->size);
		return status;
	}
	genie_completer_lock(session);
	error = insert_locked(session->memory, &mapping);
	genie_completer_unlock(session);
	return error ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

CUresult
genie_exec_genieMemUnmap(struct genie_session *session, struct genie_args_genieMemUnmap *args)
{
	uint64_t addr = args->addr;
	CUresult result = CUDA_SUCCESS;
	uint64_t end;

	if (!window_contains(session->device_window, session->device_window_size, addr, args->size,
			     GENIE_MEMORY_PAGE))
		return CUDA_ERROR_INVALID_VALUE;
	end = addr + args->size;
	while (addr < end) { /* whole mappings, side by side */
		struct mapping mapping = {0};
		CUresult status;
		size_t i;

		genie_completer_lock(session);
		i = find(session->memory, addr);
		if (i < session->memory->count)
			mapping = session->memory->list[i];
		genie_completer_unlock(session);
		if (mapping.addr != addr || mapping.device < 0 || mapping.size > end - addr)
			return CUDA_ERROR_INVALID_VALUE;
		status = unmap_later(session, addr, mapping.size);
		if (result == CUDA_SUCCESS)
			result = status;
		addr += mapping.size;
	}
	return result;
}

CUresult
genie_exec_genieMemFence(struct genie_session *session, struct genie_args_genieMemFence *args)
{
	(void)args;
	return genie_fence_set(session);
}

/* What is free on a device; asked in a context of it. */
static CUresult
device_free(struct genie_session *session, int ordinal, size_t *ret_free)
{
	CUcontext primary = NULL;
	CUdevice device = 0;
	size_t total = 0;
	CUresult status;

	status = session->drv->cuDeviceGet(&device, ordinal);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuDevicePrimaryCtxRetain(&primary, device);
	if (status != CUDA_SUCCESS)
		return status;
	session->drv->cuCtxPushCurrent_v2(primary);
	status = session->drv->cuMemGetInfo_v2(ret_free, &total);
	session->drv->cuCtxPopCurrent_v2(&primary);
	session->drv->cuDevicePrimaryCtxRelease_v2(device);
	return status;
}

/* More than was asked for, if there is plenty, so that the next question comes late. */
static CUresult
credit_grant(struct genie_session *session, int device, uint64_t want, size_t *ret_granted)
{
	struct genie_memory *memory = session->memory;
	uint64_t available, unused, give;
	size_t free_bytes = 0;
	CUresult status;

	status = device_free(session, device, &free_bytes);
	if (status != CUDA_SUCCESS)
		return status;
	genie_completer_lock(session);
	unused = memory->credit[device] > memory->mapped[device]
			 ? memory->credit[device] - memory->mapped[device]
			 : 0;
	available = free_bytes > CREDIT_HEADROOM ? free_bytes - CREDIT_HEADROOM : 0;
	available = available > unused ? available - unused : 0;
	give = (want + CREDIT_STEP - 1) / CREDIT_STEP * CREDIT_STEP;
	if (give < available / CREDIT_SHARE)
		give = available / CREDIT_SHARE;
	if (give > available)
		give = available;
	*ret_granted = want <= available ? give : 0;
	memory->credit[device] += *ret_granted;
	genie_completer_unlock(session);
	return CUDA_SUCCESS;
}

CUresult
genie_exec_genieMemCredit(struct genie_session *session, struct genie_args_genieMemCredit *args)
{
	CUresult status;

	*args->granted = 0;
	if (args->device < 0 || args->device >= session->device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	if (args->want > GENIE_BYTES_MAX)
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = credit_grant(session, args->device, args->want, args->granted);
	if (status != CUDA_SUCCESS || *args->granted)
		return status;
	/* Memory that is on its way back is not free before the device is done with it. */
	genie_complete_drain(session, NULL);
	return credit_grant(session, args->device, args->want, args->granted);
}

/* ---- pinned memory ---- */

bool
genie_memory_pinned(const struct genie_session *session, uint64_t addr, uint64_t size)
{
	return window_contains((uintptr_t)genie_port_pinned_base(session->port),
			       genie_port_pinned_size(session->port), addr, size, 1);
}

CUresult
genie_exec_geniePinnedMap(struct genie_session *session, struct genie_args_geniePinnedMap *args)
{
	struct wanted wanted = {session->memory, args->addr, args->size};
	struct mapping mapping = {.addr = args->addr, .size = args->size, .device = -1};
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	CUresult status;
	int error;

	if (!genie_memory_pinned(session, args->addr, args->size) || args->addr % page ||
	    args->size % page)
		return CUDA_ERROR_INVALID_VALUE;
	if (take_back(session, args->addr, args->size, -1))
		return CUDA_SUCCESS;
	if (!range_will_be_free(session, args->addr, args->size))
		return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
	genie_complete_wait(session, range_is_free, &wanted);
	status = genie_ctx_any(session);
	if (status != CUDA_SUCCESS)
		return status;
	status = session->drv->cuMemHostRegister_v2((void *)(uintptr_t)args->addr, args->size,
						    CU_MEMHOSTREGISTER_PORTABLE |
							    CU_MEMHOSTREGISTER_DEVICEMAP);
	if (status != CUDA_SUCCESS)
		return status;
	genie_completer_lock(session);
	error = insert_locked(session->memory, &mapping);
	genie_completer_unlock(session);
	return error ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

CUresult
genie_exec_geniePinnedUnmap(struct genie_session *session, struct genie_args_geniePinnedUnmap *args)
{
	if (!genie_memory_pinned(session, args->addr, args->size))
		return CUDA_ERROR_INVALID_VALUE;
	return unmap_later(session, args->addr, args->size);
}

/* ---- host memory that the device sees but that is not shared: sent to and fro ---- */

CUresult
genie_exec_genieMirror(struct genie_session *session, struct genie_args_genieMirror *args)
{
	if (!args->size)
		return CUDA_SUCCESS;
	if (!genie_memory_pinned(session, args->addr, args->size))
		return CUDA_ERROR_INVALID_VALUE;
	memcpy((void *)(uintptr_t)args->addr, args->data, args->size);
	return CUDA_SUCCESS;
}

CUresult
genie_exec_genieMirrorBack(struct genie_session *session, struct genie_args_genieMirrorBack *args)
{
	if (!args->size)
		return CUDA_SUCCESS;
	if (!genie_memory_pinned(session, args->addr, args->size))
		return CUDA_ERROR_INVALID_VALUE;
	memcpy(args->data, (void *)(uintptr_t)args->addr, args->size);
	return CUDA_SUCCESS;
}
