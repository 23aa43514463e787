/*
 * Virtual memory management: how the worker puts pages where the client placed memory.
 *
 * Pages are parts of one sparse memory file, so that the same pages can be mapped twice and are
 * given back for certain (a hole is punched) when neither a handle nor a mapping is left. The
 * file's offsets are never used twice: it may be as sparse as it likes. Pages that another process
 * is to map move to a file of their own first: whoever has that descriptor has nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "remote/device_cpu/cpu.h"
#include "remote/device_cpu/ranges.h"

/* Far from the end of what off_t can say. */
#define FILE_MAX ((uint64_t)1 << 60)

struct genie_cpu_pages {
	uint32_t magic;
	unsigned int refs; /* the handle's owners and the mappings */
	unsigned int handles;
	uint64_t offset; /* in the file */
	size_t size;
	int fd;       /* of a file of their own, plus one; 0 = the one for all */
	bool foreign; /* another process's memory: it does not count here */
	CUmemAllocationProp prop;
};

static struct {
	int fd; /* plus one, so that 0 is none */
	uint64_t end;
} file;

/* Address space that cuMemAddressReserve gave out. */
static struct reservation {
	uint64_t addr;
	size_t size;
	struct reservation *next;
} * reservations;

static bool
granular(uint64_t value)
{
	return (value & (GENIE_CPU_GRANULARITY - 1)) == 0;
}

/* Finds room for @size bytes in the file; false: the system has no memory files, or no room. */
static bool
file_extend_locked(size_t size, uint64_t *ret_offset)
{
	if (!file.fd) {
		int fd = memfd_create("genie-cpu-device", MFD_CLOEXEC);

		if (fd < 0) {
			genie_error("no memory for the CPU device: memfd_create: %m");
			return false;
		}
		file.fd = fd + 1;
	}
	if (size > FILE_MAX - file.end || ftruncate(file.fd - 1, (off_t)(file.end + size)) < 0)
		return false;
	*ret_offset = file.end;
	file.end += size;
	return true;
}

static int
pages_fd(const struct genie_cpu_pages *pages)
{
	return (pages->fd ? pages->fd : file.fd) - 1;
}

static void
pages_unref_locked(struct genie_cpu_pages *pages)
{
	if (--pages->refs)
		return;
	if (pages->fd)
		close(pages->fd - 1);
	/* without a hole the pages stay in use: worth a line, as it is memory lost */
	else if (fallocate(file.fd - 1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			   (off_t)pages->offset, (off_t)pages->size) < 0)
		genie_warn("%zu bytes of device memory were not given back: %m", pages->size);
	if (!pages->foreign)
		genie_cpu.parts[pages->prop.location.id].used -= pages->size;
	pages->magic = 0;
	free(pages);
}

static CUresult
cpu_cuMemGetAllocationGranularity(size_t *granularity, const CUmemAllocationProp *prop,
				  CUmemAllocationGranularity_flags option)
{
	(void)option;
	if (!granularity || !prop)
		return CUDA_ERROR_INVALID_VALUE;
	*granularity = GENIE_CPU_GRANULARITY;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size, const CUmemAllocationProp *prop,
		unsigned long long flags)
{
	struct genie_cpu_pages *pages;
	struct genie_cpu_part *part;
	CUresult status = genie_cpu_check();

	if (status != CUDA_SUCCESS)
		return status;
	if (!handle || !prop || !size || !granular(size) || flags)
		return CUDA_ERROR_INVALID_VALUE;
	if (prop->type != CU_MEM_ALLOCATION_TYPE_PINNED ||
	    prop->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
		return CUDA_ERROR_INVALID_VALUE;
	if (genie_cpu_check_device(prop->location.id) != CUDA_SUCCESS)
		return CUDA_ERROR_INVALID_DEVICE;
	if (prop->requestedHandleTypes & ~CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
		return CUDA_ERROR_NOT_SUPPORTED;
	pages = calloc(1, sizeof(*pages));
	if (!pages)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*pages = (struct genie_cpu_pages){
		.magic = GENIE_CPU_PAGES, .refs = 1, .handles = 1, .size = size, .prop = *prop};
	part = &genie_cpu.parts[prop->location.id];
	pthread_mutex_lock(&genie_cpu.lock);
	if (size > genie_cpu.total - part->used || !file_extend_locked(size, &pages->offset))
		status = CUDA_ERROR_OUT_OF_MEMORY;
	else
		part->used += size;
	pthread_mutex_unlock(&genie_cpu.lock);
	if (status != CUDA_SUCCESS) {
		free(pages);
		return status;
	}
	*handle = (CUmemGenericAllocationHandle)pages;
	return CUDA_SUCCESS;
}

static struct genie_cpu_pages *
get_pages(CUmemGenericAllocationHandle handle)
{
	return genie_cpu_is((void *)handle, GENIE_CPU_PAGES) ? (struct genie_cpu_pages *)handle
							     : NULL;
}

static CUresult
cpu_cuMemRelease(CUmemGenericAllocationHandle handle)
{
	struct genie_cpu_pages *pages = get_pages(handle);

	if (!pages || !pages->handles)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&genie_cpu.lock);
	pages->handles--;
	pages_unref_locked(pages);
	pthread_mutex_unlock(&genie_cpu.lock);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *addr)
{
	struct genie_cpu_range *range;
	CUresult status = CUDA_ERROR_INVALID_VALUE;

	pthread_mutex_lock(&genie_cpu.lock);
	range = genie_cpu_range_find_locked((uint64_t)addr);
	if (range && range->pages) {
		range->pages->refs++;
		range->pages->handles++;
		*handle = (CUmemGenericAllocationHandle)range->pages;
		status = CUDA_SUCCESS;
	}
	pthread_mutex_unlock(&genie_cpu.lock);
	return status;
}

static CUresult
cpu_cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *prop,
					   CUmemGenericAllocationHandle handle)
{
	struct genie_cpu_pages *pages = get_pages(handle);

	if (!pages)
		return CUDA_ERROR_INVALID_VALUE;
	*prop = pages->prop;
	return CUDA_SUCCESS;
}

/* ---- sharing with another process ---- */

/* Copies what was ever written of the pages to their new file. */
static bool
pages_copy(const struct genie_cpu_pages *pages, int to)
{
	off_t end = (off_t)(pages->offset + pages->size);
	off_t from = (off_t)pages->offset;
	char buffer[65536];

	while ((from = lseek(file.fd - 1, from, SEEK_DATA)) >= 0 && from < end) {
		off_t hole = lseek(file.fd - 1, from, SEEK_HOLE);

		while (from < hole && from < end) {
			size_t step = (size_t)(end - from) < sizeof(buffer) ? (size_t)(end - from)
									    : sizeof(buffer);
			ssize_t n = pread(file.fd - 1, buffer, step, from);

			if (n <= 0 ||
			    pwrite(to, buffer, (size_t)n, from - (off_t)pages->offset) != n)
				return false;
			from += n;
		}
	}
	return true;
}

/* Maps all mappings of the pages anew. What runs on the device is kept out by the run lock. */
static bool
pages_remap_locked(const struct genie_cpu_pages *pages, int fd)
{
	struct genie_cpu_range *range;

	for (uint64_t at = 0; genie_cpu_range_next_locked(at, UINT64_MAX, &range);
	     at = range->addr + range->size) {
		int prot = (range->readable ? PROT_READ : 0) | (range->writable ? PROT_WRITE : 0);

		if (range->pages == pages && mmap((void *)range->addr, range->size, prot,
						  MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd,
						  (off_t)range->pages_offset) == MAP_FAILED)
			return false;
	}
	return true;
}

static CUresult
pages_move(struct genie_cpu_pages *pages)
{
	CUresult status = CUDA_ERROR_OUT_OF_MEMORY;
	int fd = memfd_create("genie-cpu-shared", MFD_CLOEXEC);

	if (fd < 0)
		return status;
	pthread_mutex_lock(&genie_cpu.run_lock);
	pthread_mutex_lock(&genie_cpu.lock);
	if (ftruncate(fd, (off_t)pages->size) == 0 && pages_copy(pages, fd) &&
	    pages_remap_locked(pages, fd)) {
		fallocate(file.fd - 1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)pages->offset, (off_t)pages->size);
		pages->offset = 0;
		pages->fd = fd + 1;
		status = CUDA_SUCCESS;
	}
	pthread_mutex_unlock(&genie_cpu.lock);
	pthread_mutex_unlock(&genie_cpu.run_lock);
	if (status != CUDA_SUCCESS)
		close(fd);
	return status;
}

static CUresult
cpu_cuMemExportToShareableHandle(void *ret_fd, CUmemGenericAllocationHandle handle,
				 CUmemAllocationHandleType type, unsigned long long flags)
{
	struct genie_cpu_pages *pages = get_pages(handle);
	CUresult status = CUDA_SUCCESS;
	int fd;

	if (!ret_fd || !pages || flags || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR ||
	    !(pages->prop.requestedHandleTypes & type))
		return CUDA_ERROR_INVALID_VALUE;
	if (!pages->fd)
		status = pages_move(pages);
	if (status != CUDA_SUCCESS)
		return status;
	fd = fcntl(pages->fd - 1, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return CUDA_ERROR_OPERATING_SYSTEM;
	*(int *)ret_fd = fd;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *ret_handle, void *os_handle,
				   CUmemAllocationHandleType type)
{
	struct genie_cpu_pages *pages;
	struct stat st;
	int fd;

	if (!ret_handle || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
		return CUDA_ERROR_INVALID_VALUE;
	fd = fcntl((int)(intptr_t)os_handle, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return CUDA_ERROR_INVALID_VALUE;
	pages = calloc(1, sizeof(*pages));
	if (!pages || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    !granular((uint64_t)st.st_size)) {
		close(fd);
		free(pages);
		return CUDA_ERROR_INVALID_VALUE;
	}
	*pages = (struct genie_cpu_pages){
		.magic = GENIE_CPU_PAGES,
		.refs = 1,
		.handles = 1,
		.size = (size_t)st.st_size,
		.fd = fd + 1,
		.foreign = true,
		.prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
			 .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
			 .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}},
	};
	*ret_handle = (CUmemGenericAllocationHandle)pages;
	return CUDA_SUCCESS;
}

/* ---- mapping ---- */

/* Address space without pages: an access faults. */
static void *
reserve(uint64_t addr, size_t size, int flags)
{
	return mmap((void *)addr, size, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
}

static CUresult
cpu_cuMemAddressReserve(CUdeviceptr *ret_ptr, size_t size, size_t alignment, CUdeviceptr addr,
			unsigned long long flags)
{
	struct reservation *reservation;
	size_t room;
	uint64_t start;
	void *ptr = MAP_FAILED;

	if (!ret_ptr || !size || !granular(size) || flags || (alignment & (alignment - 1)))
		return CUDA_ERROR_INVALID_VALUE;
	if (alignment < GENIE_CPU_GRANULARITY)
		alignment = GENIE_CPU_GRANULARITY;
	reservation = calloc(1, sizeof(*reservation));
	if (!reservation)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (addr && (addr & (alignment - 1)) == 0)
		ptr = reserve(addr, size, MAP_FIXED_NOREPLACE);
	if (ptr != MAP_FAILED && (uint64_t)ptr != addr) {
		/* a kernel that does not know the flag took the address as a hint */
		munmap(ptr, size);
		ptr = MAP_FAILED;
	}
	if (ptr == MAP_FAILED) {
		if (__builtin_add_overflow(size, alignment, &room))
			goto err_free;
		ptr = reserve(0, room, 0);
		if (ptr == MAP_FAILED)
			goto err_free;
		start = ((uint64_t)ptr + alignment - 1) & ~(uint64_t)(alignment - 1);
		if (start > (uint64_t)ptr)
			munmap(ptr, start - (uint64_t)ptr);
		if ((uint64_t)ptr + room > start + size)
			munmap((void *)(start + size), (uint64_t)ptr + room - start - size);
		ptr = (void *)start;
	}
	reservation->addr = (uint64_t)ptr;
	reservation->size = size;
	pthread_mutex_lock(&genie_cpu.lock);
	reservation->next = reservations;
	reservations = reservation;
	pthread_mutex_unlock(&genie_cpu.lock);
	*ret_ptr = reservation->addr;
	return CUDA_SUCCESS;

err_free:
	free(reservation);
	return CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult
cpu_cuMemAddressFree(CUdeviceptr ptr, size_t size)
{
	struct reservation **link = &reservations, *found = NULL;
	struct genie_cpu_range *range;

	pthread_mutex_lock(&genie_cpu.lock);
	while (*link && ((*link)->addr != ptr || (*link)->size != size))
		link = &(*link)->next;
	/* what is still mapped in it keeps it */
	if (*link && !genie_cpu_range_next_locked(ptr, ptr + size, &range)) {
		found = *link;
		*link = found->next;
	}
	pthread_mutex_unlock(&genie_cpu.lock);
	if (!found)
		return CUDA_ERROR_INVALID_VALUE;
	munmap((void *)ptr, size);
	free(found);
	return CUDA_SUCCESS;
}

static bool
reserved_locked(uint64_t addr, size_t size)
{
	for (struct reservation *r = reservations; r; r = r->next)
		if (addr >= r->addr && size <= r->size && addr - r->addr <= r->size - size)
			return true;
	return false;
}

static CUresult
cpu_cuMemMap(CUdeviceptr ptr, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
	     unsigned long long flags)
{
	struct genie_cpu_pages *pages = get_pages(handle);
	struct genie_cpu_range range = {
		.addr = ptr,
		.size = size,
		.kind = GENIE_CPU_RANGE_MAPPED,
		.pages = pages,
		.pages_offset = offset,
	};
	struct genie_cpu_range *other;
	CUresult status = CUDA_ERROR_INVALID_VALUE;

	if (!pages || flags || !size || !granular(size) || !granular(offset) || !granular(ptr) ||
	    offset > pages->size || size > pages->size - offset)
		return CUDA_ERROR_INVALID_VALUE;
	range.buffer_id = genie_cpu_new_id();
	range.device = pages->prop.location.id;
	pthread_mutex_lock(&genie_cpu.lock);
	if (!reserved_locked(ptr, size) || genie_cpu_range_next_locked(ptr, ptr + size, &other))
		goto out;
	status = CUDA_ERROR_OUT_OF_MEMORY;
	if (mmap((void *)ptr, size, PROT_NONE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
		 pages_fd(pages), (off_t)(pages->offset + offset)) == MAP_FAILED)
		goto out;
	if (!genie_cpu_range_add_locked(&range)) {
		reserve(ptr, size, MAP_FIXED);
		goto out;
	}
	pages->refs++;
	status = CUDA_SUCCESS;
out:
	pthread_mutex_unlock(&genie_cpu.lock);
	return status;
}

/* Is [ptr, ptr + size) reserved, and no mapping only partly in it? */
static bool
cuts_no_mapping_locked(uint64_t ptr, size_t size)
{
	struct genie_cpu_range *first, *last;

	if (!size || !granular(ptr) || !granular(size) || !reserved_locked(ptr, size))
		return false;
	first = genie_cpu_range_find_locked(ptr);
	last = genie_cpu_range_find_locked(ptr + size - 1);
	return (!first || first->addr == ptr) && (!last || last->addr + last->size == ptr + size);
}

/* Is [ptr, ptr + size) exactly a number of whole mappings? */
static bool
whole_mappings_locked(uint64_t ptr, size_t size)
{
	uint64_t end, at = ptr;

	if (!size || __builtin_add_overflow(ptr, size, &end))
		return false;
	while (at < end) {
		struct genie_cpu_range *range = genie_cpu_range_find_locked(at);

		if (!range || range->kind != GENIE_CPU_RANGE_MAPPED || range->addr != at)
			return false;
		at += range->size;
	}
	return at == end;
}

static CUresult
cpu_cuMemUnmap(CUdeviceptr ptr, size_t size)
{
	CUresult status = CUDA_SUCCESS;
	struct genie_cpu_range *range;

	/* operations that a stream still keeps check their addresses again when they run */
	pthread_mutex_lock(&genie_cpu.lock);
	if (!cuts_no_mapping_locked(ptr, size)) {
		status = CUDA_ERROR_INVALID_VALUE;
	} else if (reserve(ptr, size, MAP_FIXED) == MAP_FAILED) {
		status = CUDA_ERROR_OUT_OF_MEMORY;
	} else {
		while (genie_cpu_range_next_locked(ptr, ptr + size, &range)) {
			struct genie_cpu_pages *pages = range->pages;

			genie_cpu_range_remove_locked(range);
			pages_unref_locked(pages);
		}
		ptx_bounds_forget(ptr, size);
	}
	pthread_mutex_unlock(&genie_cpu.lock);
	return status;
}

/* The client says what it placed on the pages, when GENIE_CPU_CHECK=bounds. */
static CUresult
cpu_genieNativeRange(CUdeviceptr addr, size_t size)
{
	if (size)
		ptx_bounds_note(addr, size);
	else
		ptx_bounds_freed(addr);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuMemSetAccess(CUdeviceptr ptr, size_t size, const CUmemAccessDesc *desc, size_t count)
{
	CUresult status = CUDA_SUCCESS;
	bool readable = false, writable = false;

	if (!desc || !count)
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < count; i++) {
		if (desc[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE)
			continue; /* the host's access is the same as the device's */
		if (genie_cpu_check_device(desc[i].location.id) != CUDA_SUCCESS)
			return CUDA_ERROR_INVALID_DEVICE;
		readable = desc[i].flags != CU_MEM_ACCESS_FLAGS_PROT_NONE;
		writable = desc[i].flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
	}
	pthread_mutex_lock(&genie_cpu.lock);
	if (!whole_mappings_locked(ptr, size)) {
		status = CUDA_ERROR_INVALID_VALUE;
	} else if (mprotect((void *)ptr, size,
			    (readable ? PROT_READ : 0) | (writable ? PROT_WRITE : 0)) < 0) {
		status = CUDA_ERROR_OUT_OF_MEMORY;
	} else {
		for (uint64_t at = ptr; at < ptr + size;) {
			struct genie_cpu_range *range = genie_cpu_range_find_locked(at);

			range->readable = readable;
			range->writable = writable;
			at += range->size;
		}
	}
	pthread_mutex_unlock(&genie_cpu.lock);
	return status;
}

static CUresult
cpu_cuMemGetAccess(unsigned long long *flags, const CUmemLocation *location, CUdeviceptr ptr)
{
	struct genie_cpu_range *range;
	CUresult status = CUDA_ERROR_INVALID_VALUE;

	if (!flags || !location)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&genie_cpu.lock);
	range = genie_cpu_range_find_locked(ptr);
	if (range && range->kind == GENIE_CPU_RANGE_MAPPED) {
		*flags = CU_MEM_ACCESS_FLAGS_PROT_NONE;
		if (range->writable)
			*flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
		else if (range->readable)
			*flags = CU_MEM_ACCESS_FLAGS_PROT_READ;
		status = CUDA_SUCCESS;
	}
	pthread_mutex_unlock(&genie_cpu.lock);
	return status;
}

void
genie_cpu_fill_vmm(struct genie_driver *drv)
{
	drv->cuMemGetAllocationGranularity = cpu_cuMemGetAllocationGranularity;
	drv->cuMemCreate = cpu_cuMemCreate;
	drv->cuMemRelease = cpu_cuMemRelease;
	drv->cuMemRetainAllocationHandle = cpu_cuMemRetainAllocationHandle;
	drv->cuMemGetAllocationPropertiesFromHandle = cpu_cuMemGetAllocationPropertiesFromHandle;
	drv->cuMemAddressReserve = cpu_cuMemAddressReserve;
	drv->cuMemAddressFree = cpu_cuMemAddressFree;
	drv->cuMemMap = cpu_cuMemMap;
	drv->cuMemUnmap = cpu_cuMemUnmap;
	drv->genieNativeRange = cpu_genieNativeRange;
	drv->cuMemSetAccess = cpu_cuMemSetAccess;
	drv->cuMemGetAccess = cpu_cuMemGetAccess;
	drv->cuMemExportToShareableHandle = cpu_cuMemExportToShareableHandle;
	drv->cuMemImportFromShareableHandle = cpu_cuMemImportFromShareableHandle;
}
