/*
 * Stream capture, as far as the client must know it: which streams are being captured, so that the
 * questions every library asks before every launch are loads, and the mistakes CUDA reports are
 * reported where they are made. The capture itself happens in the worker.
 */
#ifndef GENIE_INTERPOSE_CAPTURE_H
#define GENIE_INTERPOSE_CAPTURE_H

#include "interpose/client.h"

/* @event is about to be recorded in @stream / @stream is about to wait for @event. Follow the
 * capture they belong to; CUDA_SUCCESS, or why the call is refused. */
CUresult genie_capture_record_event(struct genie_stream *stream, struct genie_event *event,
				    unsigned int flags);
CUresult genie_capture_wait_event(struct genie_stream *stream, struct genie_event *event,
				  unsigned int flags);
/* A call that may not be made about a stream while it is captured (synchronize, query). */
CUresult genie_capture_forbids_stream(struct genie_stream *stream);
/*
 * What every call that adds work to @stream asks first: work for a capture that was spoilt is
 * refused, and work for the legacy stream, which would have to wait for a blocking stream that is
 * being captured, spoils that capture. One load when nothing is being captured.
 */
extern _Atomic int genie_capture_count;
CUresult genie_capture_enter_slow(struct genie_stream *stream);
static inline CUresult
genie_capture_enter(struct genie_stream *stream)
{
	if (__builtin_expect(atomic_load_explicit(&genie_capture_count, memory_order_relaxed) == 0,
			     1))
		return CUDA_SUCCESS;
	return genie_capture_enter_slow(stream);
}
/* A question about @event that may not be asked while it belongs to a capture: the capture is
 * spoilt. CUDA_SUCCESS when it belongs to none. */
CUresult genie_capture_forbids_event(const struct genie_event *event);
/* The stream ends. */
void genie_capture_forget_stream(struct genie_stream *stream);

/* graph.c: a graph that the worker is about to make, and one that it did not make. */
CUresult genie_graph_new(CUgraph *ret_graph);
void genie_graph_forget(CUgraph graph);

/* event.c: nothing has to wait for it any more. */
bool genie_event_known_done(const struct genie_event *event);

#endif
