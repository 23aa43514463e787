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
/* The stream ends. */
void genie_capture_forget_stream(struct genie_stream *stream);

/* graph.c: a graph that the worker is about to make, and one that it did not make. */
CUresult genie_graph_new(CUgraph *ret_graph);
void genie_graph_forget(CUgraph graph);

/* event.c: nothing has to wait for it any more. */
bool genie_event_known_done(const struct genie_event *event);

#endif
