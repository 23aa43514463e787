/*
 * Stream capture: what is sent in a stream that is captured becomes a node of a graph instead.
 * Every call that sends something in a stream asks genie_capture_enter() first.
 */
#ifndef GENIE_INTERPOSE_CAPTURE_H
#define GENIE_INTERPOSE_CAPTURE_H

#include "interpose/graph.h"

/* One capture sequence: its origin stream and the streams that joined it through events. */
struct genie_capture {
	struct genie_capture *next;
	struct genie_stream *origin;
	struct genie_stream *members;      /* linked by capture_next; the origin is one */
	const struct genie_thread *thread; /* that began it; compared, never followed */
	struct genie_graph *graph;
	CUstreamCaptureMode mode;
	uint64_t id;
	bool invalid;
	bool given; /* cuStreamBeginCaptureToGraph: the graph is the program's */
};

extern _Atomic int genie_captures;

/* Does anything capture? One load. */
static inline bool
genie_capture_any(void)
{
	return __builtin_expect(atomic_load_explicit(&genie_captures, memory_order_relaxed) != 0,
				0);
}

/* By value: who sends something keeps it in registers. */
struct genie_capture_entry {
	CUresult status;
	bool captured;
};
struct genie_capture_entry genie_capture_enter_slow(struct genie_stream *stream);
/*
 * Something is about to be sent in @stream. *@ret_captured: it must become a node instead, by one
 * of the calls below. Else CUDA_SUCCESS, or why it is refused (the capture has been spoilt, or it
 * would be part of one without saying so).
 */
static inline CUresult
genie_capture_enter(struct genie_stream *stream, bool *ret_captured)
{
	struct genie_capture_entry entry = {CUDA_SUCCESS, false};

	if (genie_capture_any())
		entry = genie_capture_enter_slow(stream);
	*ret_captured = entry.captured;
	return entry.status;
}
/* The same for what cannot be captured: that spoils the capture. */
CUresult genie_capture_forbids_stream(struct genie_stream *stream);
static inline CUresult
genie_capture_refuse(struct genie_stream *stream)
{
	return genie_capture_any() ? genie_capture_forbids_stream(stream) : CUDA_SUCCESS;
}

/* ---- capture.c ---- */

/* @event is recorded in @stream, which is captured / @stream is about to wait for @event. Follow
 * the capture they belong to; CUDA_SUCCESS, or why the call is refused. */
CUresult genie_capture_record_event(struct genie_stream *stream, struct genie_event *event);
CUresult genie_capture_wait_event(struct genie_stream *stream, struct genie_event *event);
/* Somebody asks about an event that was recorded in a capture: CUDA_ERROR_CAPTURED_EVENT. */
CUresult genie_capture_asked_event(struct genie_event *event);
/* The stream or event ends. */
void genie_capture_forget_stream(struct genie_stream *stream);
void genie_capture_forget_event(struct genie_event *event);
/* The graph ends: nothing is captured into it any more. */
void genie_capture_forget_graph_locked(const struct genie_graph *graph);
void genie_capture_invalidate_locked(struct genie_capture *capture);
/* Replaces what is in @deps, or adds to it; each edge is in it once. @data may be NULL. */
CUresult genie_capture_deps_set(struct genie_capture_deps *deps, const CUgraphNode *nodes,
				const CUgraphEdgeData *data, size_t count, bool add);
void genie_capture_deps_fini(struct genie_capture_deps *deps);

/* ---- capture_op.c: what becomes of calls in a stream that is captured ---- */

CUresult genie_capture_kernel(struct genie_stream *stream, const CUDA_KERNEL_NODE_PARAMS *params,
			      const CUlaunchAttribute *attrs, unsigned int attr_count);
CUresult genie_capture_copy(struct genie_stream *stream, const CUDA_MEMCPY3D *params);
CUresult genie_capture_set(struct genie_stream *stream, const CUDA_MEMSET_NODE_PARAMS *params);
CUresult genie_capture_host(struct genie_stream *stream, CUhostFn fn, void *data);
CUresult genie_capture_event(struct genie_stream *stream, CUgraphNodeType type, CUevent event);
CUresult genie_capture_values(struct genie_stream *stream, CUstreamBatchMemOpParams *list,
			      unsigned int count);
CUresult genie_capture_alloc(struct genie_stream *stream, int device, size_t size,
			     CUdeviceptr *ret_addr);
CUresult genie_capture_free(struct genie_stream *stream, CUdeviceptr addr);
/* Sends a command of native.api, or captures it: only the device knows what to make of it. */
CUresult genie_native_submit(struct genie_stream *stream, enum genie_op op, void *args);

/* memop.c: is there anything wrong with it that can be seen? */
CUresult genie_memop_check(const CUstreamBatchMemOpParams *op);
/* event.c: nothing has to wait for it any more. */
bool genie_event_known_done(const struct genie_event *event);

#endif
