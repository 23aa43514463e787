/*
 * Events. A recording has a number; a wait is for the number that was the last one when the wait
 * was submitted, so recording an event again does not prolong it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "remote/device_cpu/cpu.h"

#define EVENT_PAGE 4096u

void
genie_cpu_event_ref(struct genie_cpu_event *event)
{
	__atomic_add_fetch(&event->refs, 1, __ATOMIC_RELAXED);
}

void
genie_cpu_event_unref(struct genie_cpu_event *event)
{
	if (__atomic_sub_fetch(&event->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (event->state != &event->own)
		munmap(event->state, EVENT_PAGE);
	if (event->fd)
		close(event->fd - 1);
	free(event->deps);
	free(event);
}

static struct genie_cpu_event *
get_event(CUevent handle)
{
	return genie_cpu_is((void *)handle, GENIE_CPU_EVENT) ? (struct genie_cpu_event *)handle
							     : NULL;
}

/* The thread that records an event is not always the one that asks for it. */
static uint64_t
last_recording(const struct genie_cpu_event *event)
{
	return __atomic_load_n(&event->state->recorded, __ATOMIC_ACQUIRE);
}

static bool
is_captured(const struct genie_cpu_event *event)
{
	return __atomic_load_n(&event->capture_id, __ATOMIC_RELAXED) != 0;
}

void
genie_cpu_event_recorded(struct genie_cpu_event *event, uint64_t sequence,
			 unsigned long long capture_id)
{
	__atomic_store_n(&event->state->recorded, sequence, __ATOMIC_RELEASE);
	__atomic_store_n(&event->capture_id, capture_id, __ATOMIC_RELAXED);
}

/* Numbers are an event's own: other processes may record it as well. */
uint64_t
genie_cpu_event_next(struct genie_cpu_event *event)
{
	return __atomic_load_n(&event->state->recorded, __ATOMIC_RELAXED) + 1;
}

static bool
is_done(const struct genie_cpu_event *event)
{
	/* pairs with the store in record_event() of op.c */
	return __atomic_load_n(&event->state->done, __ATOMIC_ACQUIRE) >= last_recording(event);
}

static CUresult
cpu_cuEventCreate(CUevent *ret_event, unsigned int flags)
{
	struct genie_cpu_event *event;
	CUresult status = genie_cpu_check();

	if (status != CUDA_SUCCESS)
		return status;
	if (!ret_event ||
	    flags & ~(unsigned int)(CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING |
				    CU_EVENT_INTERPROCESS) ||
	    (flags & CU_EVENT_INTERPROCESS && !(flags & CU_EVENT_DISABLE_TIMING)))
		return CUDA_ERROR_INVALID_VALUE;
	event = calloc(1, sizeof(*event));
	if (!event)
		return CUDA_ERROR_OUT_OF_MEMORY;
	event->magic = GENIE_CPU_EVENT;
	event->flags = flags;
	event->refs = 1;
	event->state = &event->own;
	*ret_event = (CUevent)event;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuEventDestroy_v2(CUevent handle)
{
	struct genie_cpu_event *event = get_event(handle);

	if (!event)
		return CUDA_ERROR_INVALID_HANDLE;
	event->magic = 0;
	genie_cpu_event_unref(event);
	return genie_cpu_lost();
}

static CUresult
cpu_cuEventRecordWithFlags(CUevent handle, CUstream stream_handle, unsigned int flags)
{
	struct genie_cpu_event *event = get_event(handle);
	struct genie_cpu_op op = {.kind = GENIE_CPU_OP_EVENT_RECORD};
	struct genie_cpu_stream *stream;
	uint64_t before = event ? last_recording(event) : 0;
	CUresult status;

	if (!event)
		return CUDA_ERROR_INVALID_HANDLE;
	if (flags & ~(unsigned int)CU_EVENT_RECORD_EXTERNAL)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_cpu_stream_get(stream_handle, &stream);
	if (status != CUDA_SUCCESS)
		return status;
	if (stream->capture && !(flags & CU_EVENT_RECORD_EXTERNAL))
		return genie_cpu_capture_record(stream, event);
	op.event.event = event;
	op.event.sequence = genie_cpu_event_next(event);
	if (!stream->capture)
		genie_cpu_event_recorded(event, op.event.sequence, 0);
	status = genie_cpu_submit(stream_handle, &op);
	/* a recording that was not taken is not waited for */
	if (status != CUDA_SUCCESS && !stream->capture)
		genie_cpu_event_recorded(event, before, 0);
	return status;
}

static CUresult
cpu_cuEventRecord(CUevent event, CUstream stream)
{
	return cpu_cuEventRecordWithFlags(event, stream, 0);
}

static CUresult
cpu_cuStreamWaitEvent(CUstream stream_handle, CUevent handle, unsigned int flags)
{
	struct genie_cpu_event *event = get_event(handle);
	struct genie_cpu_op op = {.kind = GENIE_CPU_OP_EVENT_WAIT};
	struct genie_cpu_stream *stream;
	CUresult status;

	if (!event)
		return CUDA_ERROR_INVALID_HANDLE;
	if (flags & ~(unsigned int)CU_EVENT_WAIT_EXTERNAL)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_cpu_stream_get(stream_handle, &stream);
	if (status != CUDA_SUCCESS)
		return status;
	if (!(flags & CU_EVENT_WAIT_EXTERNAL) && (stream->capture || is_captured(event)))
		return genie_cpu_capture_wait(stream, event);
	op.event.event = event;
	op.event.sequence = last_recording(event);
	return genie_cpu_submit(stream_handle, &op);
}

static CUresult
cpu_cuEventQuery(CUevent handle)
{
	struct genie_cpu_event *event = get_event(handle);

	CUresult lost = genie_cpu_lost();

	if (lost != CUDA_SUCCESS)
		return lost;
	if (!event)
		return CUDA_ERROR_INVALID_HANDLE;
	if (is_captured(event))
		return genie_cpu_capture_asked(event);
	if (!is_done(event))
		genie_cpu_progress();
	return is_done(event) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

static CUresult
cpu_cuEventSynchronize(CUevent handle)
{
	struct genie_cpu_event *event = get_event(handle);

	if (!event)
		return CUDA_ERROR_INVALID_HANDLE;
	if (is_captured(event))
		return genie_cpu_capture_asked(event);
	while (!is_done(event))
		genie_cpu_poll();
	return genie_cpu_check();
}

static CUresult
cpu_cuEventElapsedTime_v2(float *ms, CUevent start_handle, CUevent end_handle)
{
	struct genie_cpu_event *start = get_event(start_handle), *end = get_event(end_handle);

	if (start && is_captured(start))
		return genie_cpu_capture_asked(start);
	if (end && is_captured(end))
		return genie_cpu_capture_asked(end);
	if (!start || !end || !last_recording(start) || !last_recording(end) ||
	    (start->flags | end->flags) & CU_EVENT_DISABLE_TIMING)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!is_done(start) || !is_done(end))
		return CUDA_ERROR_NOT_READY;
	*ms = (float)((double)(int64_t)(end->time - start->time) / 1e6);
	return CUDA_SUCCESS;
}

/* ---- for other processes: the handle says in which memory file of ours the state lies ---- */

struct event_handle {
	char magic[8];
	int32_t pid, fd;
	uint64_t nonce;
};
_Static_assert(sizeof(struct event_handle) <= sizeof(CUipcEventHandle), "it travels in that");

static struct genie_cpu_event_state *
page_map(int fd)
{
	void *page = mmap(NULL, EVENT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return page == MAP_FAILED ? NULL : page;
}

/* Moves the state to a page of its own, once. The run lock keeps operations from looking. */
static CUresult
event_share(struct genie_cpu_event *event)
{
	struct genie_cpu_event_state *page = NULL;
	int fd;

	if (event->state != &event->own)
		return CUDA_SUCCESS;
	fd = memfd_create("genie-cpu-event", MFD_CLOEXEC);
	if (fd >= 0 && ftruncate(fd, EVENT_PAGE) == 0)
		page = page_map(fd);
	if (!page || getrandom(&page->nonce, sizeof(page->nonce), 0) != sizeof(page->nonce)) {
		genie_warn("an event cannot be shared: %m");
		if (page)
			munmap(page, EVENT_PAGE);
		if (fd >= 0)
			close(fd);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	pthread_mutex_lock(&genie_cpu.run_lock);
	page->recorded = event->own.recorded;
	page->done = event->own.done;
	event->state = page;
	event->fd = fd + 1;
	pthread_mutex_unlock(&genie_cpu.run_lock);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuIpcGetEventHandle(CUipcEventHandle *ret_handle, CUevent handle)
{
	struct genie_cpu_event *event = get_event(handle);
	struct event_handle shared = {.magic = "cpuevnt", .pid = getpid()};
	CUresult status;

	if (!event || !(event->flags & CU_EVENT_INTERPROCESS) || is_captured(event))
		return CUDA_ERROR_INVALID_HANDLE;
	status = event_share(event);
	if (status != CUDA_SUCCESS)
		return status;
	if (!event->fd) /* another process's: its maker gives out handles */
		return CUDA_ERROR_INVALID_HANDLE;
	shared.fd = event->fd - 1;
	shared.nonce = event->state->nonce;
	memset(ret_handle, 0, sizeof(*ret_handle));
	memcpy(ret_handle, &shared, sizeof(shared));
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuIpcOpenEventHandle(CUevent *ret_event, CUipcEventHandle handle)
{
	struct genie_cpu_event_state *page = NULL;
	struct genie_cpu_event *event;
	struct event_handle shared;
	struct stat st;
	char path[64];
	int fd;

	memcpy(&shared, &handle, sizeof(shared));
	if (memcmp(shared.magic, "cpuevnt", sizeof(shared.magic)) != 0 || shared.fd < 0)
		return CUDA_ERROR_INVALID_HANDLE;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)shared.pid, (int)shared.fd);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == EVENT_PAGE)
		page = page_map(fd);
	if (fd >= 0)
		close(fd);
	event = page && page->nonce == shared.nonce ? calloc(1, sizeof(*event)) : NULL;
	if (!event) {
		if (page)
			munmap(page, EVENT_PAGE);
		return CUDA_ERROR_INVALID_HANDLE;
	}
	event->magic = GENIE_CPU_EVENT;
	event->flags = CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING;
	event->refs = 1;
	event->state = page;
	*ret_event = (CUevent)event;
	return CUDA_SUCCESS;
}

void
genie_cpu_fill_event(struct genie_driver *drv)
{
	drv->cuEventCreate = cpu_cuEventCreate;
	drv->cuEventDestroy_v2 = cpu_cuEventDestroy_v2;
	drv->cuEventRecord = cpu_cuEventRecord;
	drv->cuEventRecordWithFlags = cpu_cuEventRecordWithFlags;
	drv->cuStreamWaitEvent = cpu_cuStreamWaitEvent;
	drv->cuEventQuery = cpu_cuEventQuery;
	drv->cuEventSynchronize = cpu_cuEventSynchronize;
	drv->cuEventElapsedTime_v2 = cpu_cuEventElapsedTime_v2;
	drv->cuIpcGetEventHandle = cpu_cuIpcGetEventHandle;
	drv->cuIpcOpenEventHandle = cpu_cuIpcOpenEventHandle;
}
