/*
 * Device memory and pinned memory. The client decides where memory lies; here pages are put behind
 * the addresses and taken away again (mapping.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "remote/complete.h"
#include "remote/credit.h"
#include "remote/exec.h"
#include "remote/mapping.h"
#include "remote/memory.h"

int
genie_memory_init(struct genie_session *session)
{
	struct genie_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return -ENOMEM;
	memory->mapped = genie_credit_entry(session)->mapped;
	memory->credit = genie_credit_entry(session)->credit;
	session->memory = memory;
	return 0;
}

void
genie_memory_fini(struct genie_session *session)
{
	if (!session->memory)
		return;
	for (size_t i = 0; i < session->memory->count; i++)
		genie_pages_forget(session->memory->list[i].pages);
	free(session->memory->list);
	free(session->memory);
	session->memory = NULL;
}

/* ---- device memory ---- */

/* The devices that may use memory of @device: itself, and those the driver says reach it. Asked
 * once; the client's peer access is bookkeeping on top. */
static size_t
access_list(struct genie_session *session, int device, CUmemAccessDesc *list)
{
	const struct genie_driver *drv = session->drv;
	uint8_t *reach = session->memory->reach[device];
	size_t count = 0;

	for (int i = 0; i < session->device_count; i++) {
		int can = i == device;

		if (!reach[i] && i != device &&
		    drv->cuDeviceCanAccessPeer(&can, i, device) != CUDA_SUCCESS)
			can = 0;
		if (!reach[i])
			reach[i] = can ? 2 : 1; /* 0: not asked yet */
		if (reach[i] == 2)
			list[count++] = (CUmemAccessDesc){
				.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = i},
				.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
	}
	return count;
}

static CUresult
pages_map(struct genie_session *session, const struct genie_mapping *mapping)
{
	const struct genie_driver *drv = session->drv;
	CUmemAccessDesc access[GENIE_DEVICES_MAX];
	size_t count = access_list(session, mapping->device, access);
	CUresult status;

	status = drv->cuMemMap(mapping->addr, mapping->size, 0, mapping->pages->handle, 0);
	if (status != CUDA_SUCCESS)
		return status;
	status = drv->cuMemSetAccess(mapping->addr, mapping->size, access, count);
	if (status == CUDA_SUCCESS)
		status = genie_mapping_add(session, mapping);
	if (status != CUDA_SUCCESS)
		drv->cuMemUnmap(mapping->addr, mapping->size);
	return status;
}

CUresult
genie_exec_genieMemMap(struct genie_session *session, struct genie_args_genieMemMap *args)
{
	struct genie_mapping mapping = {
		.addr = args->addr, .size = args->size, .device = args->device, .placed = true};
	CUresult status;

	if (args->device < 0 || args->device >= session->device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!genie_window_contains(session->device_window, session->device_window_size, args->addr,
				   args->size, GENIE_MEMORY_PAGE))
		return CUDA_ERROR_INVALID_VALUE;
	if (genie_mapping_take_back(session, args->addr, args->size, args->device))
		return genie_fence_set(session);
	if (!genie_mapping_clear(session, args->addr, args->size))
		return CUDA_ERROR_ALREADY_MAPPED;
	status = genie_pages_create(session, args->size, args->device, &mapping.pages);
	if (status != CUDA_SUCCESS)
		return status;
	status = pages_map(session, &mapping);
	if (status != CUDA_SUCCESS)
		genie_pages_unref(session, mapping.pages);
	return status;
}

CUresult
genie_exec_genieMemUnmap(struct genie_session *session, struct genie_args_genieMemUnmap *args)
{
	uint64_t addr = args->addr;
	CUresult result = CUDA_SUCCESS;
	uint64_t end;

	if (!genie_window_contains(session->device_window, session->device_window_size, addr,
				   args->size, GENIE_MEMORY_PAGE))
		return CUDA_ERROR_INVALID_VALUE;
	end = addr + args->size;
	while (addr < end) { /* whole mappings, side by side */
		struct genie_mapping mapping = {0};
		CUresult status;

		if (!genie_mapping_at(session, addr, &mapping) || mapping.addr != addr ||
		    !mapping.pages || mapping.size > end - addr)
			return CUDA_ERROR_INVALID_VALUE;
		status = genie_mapping_remove_later(session, addr, mapping.size);
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

/* ---- pinned memory ---- */

bool
genie_memory_window(const struct genie_session *session, uint64_t addr, uint64_t size)
{
	return genie_window_contains((uintptr_t)genie_port_pinned_base(session->port),
				     genie_port_pinned_size(session->port), addr, size, 1);
}

bool
genie_memory_hosts(struct genie_session *session, uint64_t addr, uint64_t size)
{
	struct genie_mapping mapping;

	return session->memory && genie_mapping_at(session, addr, &mapping) && mapping.host &&
	       !mapping.unmap && size <= mapping.size - (addr - mapping.addr);
}

bool
genie_memory_pinned(struct genie_session *session, uint64_t addr, uint64_t size)
{
	return genie_memory_window(session, addr, size) || genie_memory_hosts(session, addr, size);
}

CUresult
genie_exec_geniePinnedMap(struct genie_session *session, struct genie_args_geniePinnedMap *args)
{
	struct genie_mapping mapping = {
		.addr = args->addr, .size = args->size, .device = -1, .placed = true};
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	CUresult status;

	if (!genie_memory_window(session, args->addr, args->size) || args->addr % page ||
	    args->size % page)
		return CUDA_ERROR_INVALID_VALUE;
	if (genie_mapping_take_back(session, args->addr, args->size, -1))
		return CUDA_SUCCESS;
	if (!genie_mapping_clear(session, args->addr, args->size))
		return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
	status = genie_ctx_any(session);
	if (status != CUDA_SUCCESS)
		return status;
	status = session->drv->cuMemHostRegister_v2((void *)(uintptr_t)args->addr, args->size,
						    CU_MEMHOSTREGISTER_PORTABLE |
							    CU_MEMHOSTREGISTER_DEVICEMAP);
	if (status != CUDA_SUCCESS)
		return status;
	return genie_mapping_add(session, &mapping);
}

CUresult
genie_exec_geniePinnedUnmap(struct genie_session *session, struct genie_args_geniePinnedUnmap *args)
{
	if (!genie_memory_window(session, args->addr, args->size))
		return CUDA_ERROR_INVALID_VALUE;
	return genie_mapping_remove_later(session, args->addr, args->size);
}

/* ---- memory that the program has registered ---- */

/*
 * Maps the client's pages at @addr too, if nothing is there in this process. They are its own bytes
 * wherever they are; what it can spoil is room for mappings of the worker that serves it alone.
 */
static bool
host_map(uint64_t addr, uint64_t window, uint64_t size)
{
	void *want = (void *)(uintptr_t)addr;
	void *got = mmap(want, size, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (got == MAP_FAILED)
		return false;
	/* Of length 0: what is shared is there twice afterwards. */
	if (got == want &&
	    mremap((void *)(uintptr_t)window, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, want) == want)
		return true;
	munmap(got, size);
	return false;
}

static CUresult
host_register(struct genie_session *session, const struct genie_mapping *mapping)
{
	void *memory = (void *)(uintptr_t)mapping->addr;
	CUresult status = session->drv->cuMemHostRegister_v2(
		memory, mapping->size, CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);

	if (status != CUDA_SUCCESS)
		return status;
	status = genie_mapping_add(session, mapping);
	if (status != CUDA_SUCCESS)
		session->drv->cuMemHostUnregister(memory);
	return status;
}

CUresult
genie_exec_genieHostShare(struct genie_session *session, struct genie_args_genieHostShare *args)
{
	struct genie_mapping mapping = {.addr = args->addr, .size = args->size, .device = -1};
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end;
	CUresult status;

	if (!genie_memory_window(session, args->window, args->size) || args->addr % page ||
	    args->window % page || args->size % page ||
	    __builtin_add_overflow(args->addr, args->size, &end))
		return CUDA_ERROR_INVALID_VALUE;
	if (!genie_mapping_clear(session, args->addr, args->size) ||
	    !genie_mapping_clear(session, args->window, args->size))
		return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
	status = genie_ctx_any(session);
	if (status != CUDA_SUCCESS)
		return status;
	mapping.host = host_map(args->addr, args->window, args->size);
	if (mapping.host) {
		status = host_register(session, &mapping);
		if (status != CUDA_SUCCESS) {
			munmap((void *)(uintptr_t)mapping.addr, mapping.size);
			mapping.host = false;
		}
	} else {
		mapping.addr = args->window;
		status = host_register(session, &mapping);
	}
	*args->placed = mapping.addr;
	return status;
}

CUresult
genie_exec_genieHostUnshare(struct genie_session *session, struct genie_args_genieHostUnshare *args)
{
	struct genie_mapping mapping;

	if (!genie_mapping_at(session, args->addr, &mapping) || mapping.addr != args->addr ||
	    mapping.device != -1)
		return CUDA_ERROR_INVALID_VALUE;
	return genie_mapping_remove_later(session, mapping.addr, mapping.size);
}
