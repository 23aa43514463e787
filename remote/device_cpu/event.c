/*
 * Events. A recording has a number; a wait is for the number that was the last one when the wait
 * was submitted, so recording an event again does not prolong it.
 */
#include <stdlib.h>

#include "remote/device_cpu/cpu.h"

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
	return __atomic_load_n(&event->recorded, __ATOMIC_RELAXED);
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
	__atomic_store_n(&event->recorded, sequence, __ATOMIC_RELAXED);
	__atomic_store_n(&event->capture_id, capture_id, __ATOMIC_RELAXED);
}

static bool
is_done(const struct genie_cpu_event *event)
{
	/* pairs with the store in record_event() of op.c */
	return __atomic_load_n(&event->done, __ATOMIC_ACQUIRE) >= last_recording(event);
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
	op.event.sequence = genie_cpu_new_id();
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
}
