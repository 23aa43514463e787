/*
 * What the client changed is written into the memory at once, not in the order of a stream: the
 * host's stores to memory that a device sees are not ordered with its streams either. What differs
 * from the shadow has been written by the device; it is copied into the shadow first and sent from
 * there, so that shadow and client always hold the same.
 */
#include "remote/mirror.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "remote/address.h"
#include "remote/exec.h"
#include "remote/memory.h"

#define PAGE      4096u
#define LINE      64u  /* differences are told in lines */
#define RUNS_MAX  1024 /* in one answer, two numbers each */
#define DATA_MAX  (40u << 10)
#define COUNT_MAX 65536u

/* genieMirrorAdd: what the worker has counts, not what the client has. Wire value. */
#define MIRROR_THEIRS 1u

struct genie_mirror {
	struct genie_mirror *next;
	uint64_t addr, size;
	uint8_t *shadow; /* size bytes, zero at first */
};

static void
mirror_free(struct genie_mirror *mirror)
{
	munmap(mirror->shadow, mirror->size);
	free(mirror);
}

void
genie_mirror_fini(struct genie_session *session)
{
	struct genie_mirror *mirror;

	while ((mirror = session->mirrors)) {
		session->mirrors = mirror->next;
		mirror_free(mirror);
	}
	session->mirror_count = 0;
}

static bool
lies_in(const struct genie_mirror *mirror, uint64_t addr, uint64_t size)
{
	return addr >= mirror->addr && addr - mirror->addr <= mirror->size &&
	       size <= mirror->size - (addr - mirror->addr);
}

static struct genie_mirror *
find(const struct genie_session *session, uint64_t addr, uint64_t size)
{
	struct genie_mirror *mirror = session->mirrors;

	while (mirror && !lies_in(mirror, addr, size))
		mirror = mirror->next;
	return mirror;
}

/* May this process read and write it? Pinned memory always; a variable only if the driver lets the
 * host at managed memory while the device works. */
static bool
is_ours(struct genie_session *session, uint64_t addr, uint64_t size)
{
	unsigned int managed = 0;

	if (genie_memory_window(session, addr, size))
		return true;
	if (genie_address_check(session, addr, size) != CUDA_SUCCESS ||
	    (addr >= session->device_window &&
	     addr - session->device_window < session->device_window_size))
		return false;
	if (session->backend->kind != GENIE_DEVICE_CUDA)
		return session->backend->kind == GENIE_DEVICE_CPU;
	for (int i = 0; i < session->device_count; i++)
		if (session->devices[i].attrs[CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS] <= 0)
			return false;
	return session->drv->cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED,
						   addr) == CUDA_SUCCESS &&
	       managed;
}

CUresult
genie_exec_genieMirrorAdd(struct genie_session *session, struct genie_args_genieMirrorAdd *args)
{
	struct genie_mirror *mirror;
	void *shadow;

	if (!args->size || find(session, args->addr, 1))
		return CUDA_ERROR_INVALID_VALUE;
	if (!is_ours(session, args->addr, args->size))
		return CUDA_ERROR_NOT_SUPPORTED;
	if (session->mirror_count >= COUNT_MAX)
		return CUDA_ERROR_OUT_OF_MEMORY;
	mirror = calloc(1, sizeof(*mirror));
	shadow = mmap(NULL, args->size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!mirror || shadow == MAP_FAILED) {
		free(mirror);
		if (shadow != MAP_FAILED)
			munmap(shadow, args->size);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	*mirror = (struct genie_mirror){
		.next = session->mirrors, .addr = args->addr, .size = args->size, .shadow = shadow};
	session->mirrors = mirror;
	session->mirror_count++;
	/* What the client has and is not zero is on its way. */
	if (!(args->flags & MIRROR_THEIRS))
		memset((void *)(uintptr_t)args->addr, 0, args->size);
	return CUDA_SUCCESS;
}

static void
mirror_drop(struct genie_session *session, struct genie_mirror **link)
{
	struct genie_mirror *mirror = *link;

	*link = mirror->next;
	session->mirror_count--;
	mirror_free(mirror);
}

CUresult
genie_exec_genieMirrorDrop(struct genie_session *session, struct genie_args_genieMirrorDrop *args)
{
	struct genie_mirror **link = &session->mirrors;

	while (*link && (*link)->addr != args->addr)
		link = &(*link)->next;
	if (!*link)
		return CUDA_ERROR_INVALID_VALUE;
	mirror_drop(session, link);
	return CUDA_SUCCESS;
}

/* ---- what the client wrote ---- */

static CUresult
write_through(struct genie_session *session, uint64_t addr, const void *data, size_t size)
{
	struct genie_mirror *mirror = find(session, addr, size);

	if (!mirror || !is_ours(session, addr, size))
		return CUDA_ERROR_INVALID_VALUE;
	memcpy((void *)(uintptr_t)addr, data, size);
	memcpy(mirror->shadow + (addr - mirror->addr), data, size);
	return CUDA_SUCCESS;
}

CUresult
genie_exec_genieMirror(struct genie_session *session, struct genie_args_genieMirror *args)
{
	return write_through(session, args->addr, args->data, args->size);
}

CUresult
genie_exec_genieMirrorBulk(struct genie_session *session, struct genie_args_genieMirrorBulk *args)
{
	CUresult status;
	void *data;

	if (genie_port_bulk_in(session->port, args->ref, args->size, &data)) {
		genie_session_broken(session, "bulk data 0x%llx of %zu bytes is not there",
				     args->ref, args->size);
		return CUDA_ERROR_INVALID_VALUE;
	}
	status = write_through(session, args->addr, data, args->size);
	genie_port_bulk_in_done(session->port, args->ref, args->size, session->cmd->ticket);
	return status;
}

/* ---- what the device wrote ---- */

/* Offset of the first line at or after @from that differs, and the end of the last one before a
 * page without any. False: none. */
static bool
next_run(const struct genie_mirror *mirror, uint64_t from, uint64_t *ret_start, uint64_t *ret_end)
{
	const uint8_t *live = (const uint8_t *)(uintptr_t)mirror->addr;
	uint64_t start = UINT64_MAX, end = 0;

	for (uint64_t page = from; page < mirror->size;) {
		uint64_t step = PAGE - page % PAGE;

		if (step > mirror->size - page)
			step = mirror->size - page;
		if (memcmp(live + page, mirror->shadow + page, step) == 0) {
			if (start != UINT64_MAX)
				break;
		} else {
			for (uint64_t at = page; at < page + step; at += LINE) {
				uint64_t line = page + step - at < LINE ? page + step - at : LINE;

				if (memcmp(live + at, mirror->shadow + at, line) == 0)
					continue;
				if (start == UINT64_MAX)
					start = at;
				end = at + line;
			}
		}
		page += step;
	}
	*ret_start = start;
	*ret_end = end;
	return start != UINT64_MAX;
}

/* An answer under way: runs, and the data of the first of them. */
struct scan {
	unsigned long long *runs;
	size_t count, max;
	uint8_t *data;
	size_t data_size, data_max;
	bool inlined; /* so far the data of every run is in the answer */
};

static void
scan_one(struct genie_mirror *mirror, struct scan *scan)
{
	const uint8_t *live = (const uint8_t *)(uintptr_t)mirror->addr;
	uint64_t start, end = 0;

	while (scan->count + 2 <= scan->max && next_run(mirror, end, &start, &end)) {
		uint64_t size = end - start;

		memcpy(mirror->shadow + start, live + start, size);
		scan->runs[scan->count++] = mirror->addr + start;
		scan->runs[scan->count++] = size;
		scan->inlined = scan->inlined && size <= scan->data_max - scan->data_size;
		if (!scan->inlined)
			continue;
		memcpy(scan->data + scan->data_size, mirror->shadow + start, size);
		scan->data_size += size;
	}
}

CUresult
genie_exec_genieMirrorScan(struct genie_session *session, struct genie_args_genieMirrorScan *args)
{
	struct scan scan = {.runs = args->runs, .data = args->data, .inlined = true};

	scan.max = *args->count < 2 * RUNS_MAX ? *args->count : 2 * RUNS_MAX;
	scan.data_max = *args->data_size < DATA_MAX ? *args->data_size : DATA_MAX;
	for (struct genie_mirror **link = &session->mirrors; *link;) {
		/* A variable whose module went without its mirror. */
		if (!is_ours(session, (*link)->addr, (*link)->size)) {
			mirror_drop(session, link);
			continue;
		}
		scan_one(*link, &scan);
		link = &(*link)->next;
	}
	*args->count = scan.count;
	*args->data_size = scan.data_size;
	return CUDA_SUCCESS;
}

CUresult
genie_exec_genieMirrorBack(struct genie_session *session, struct genie_args_genieMirrorBack *args)
{
	const struct genie_mirror *mirror = find(session, args->addr, args->size);
	CUresult status = mirror ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
	void *data;

	if (genie_port_bulk_out(session->port, args->ref, args->size, &data)) {
		genie_session_broken(session, "bulk space 0x%llx of %zu bytes is not there",
				     args->ref, args->size);
		return CUDA_ERROR_INVALID_VALUE;
	}
	if (mirror)
		memcpy(data, mirror->shadow + (args->addr - mirror->addr), args->size);
	else
		memset(data, 0, args->size);
	genie_port_bulk_out_ready(session->port, args->ref, args->size, data, session->cmd->ticket);
	return status;
}
