/*
 * The client's inside: what the files of interpose/ share. One struct genie_client per process,
 * one struct genie_thread per thread, object tables by kind. Everything else is static in its file.
 *
 * Life of a call: exported stub (generated) -> genie_enter() -> genie_<name>() by hand, or
 * genie_call() generated -> lane -> transport. HACKING.md follows cudaMemcpyAsync through it.
 *
 * Locks, in the order in which they may be taken: client.lock (start, stop, contexts), the graph
 * lock (graph.h), table locks, allocator locks, the channel's bulk lock. None is held while
 * waiting for the peer, except the bulk lock.
 */
#ifndef GENIE_INTERPOSE_CLIENT_H
#define GENIE_INTERPOSE_CLIENT_H

#include <cuda.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/token.h"
#include "genie_args.h"
#include "genie_impl.h"
#include "genie_ops.h"
#include "transport/chan.h"

/* ---- the process (client.c) ---- */

struct genie_client {
	_Atomic(struct genie_chan *) chan; /* NULL before cuInit and after the end */
	pthread_mutex_t lock;              /* guards start and stop */
	_Atomic int init_status;           /* CUresult of cuInit, -1 before */
	_Atomic int sticky;                /* CUDA_SUCCESS or what every call returns from now on */
	bool forked;                       /* a child of an initialised process: every call fails */
	bool sync;                         /* GENIE_SYNC=1 */
	bool launch_blocking;              /* CUDA_LAUNCH_BLOCKING=1 */
	uint32_t kinds_unwanted;           /* GENIE_IMAGE_*: CUDA_DISABLE_PTX_JIT and the like */
	int device_count;
	const struct genie_device_info *devices;        /* those the program sees (visible.h) */
	const struct genie_device_info *server_devices; /* all; NVML has its own numbers */
	int device_order[GENIE_DEVICES_MAX];            /* the server's number of each device */
	const struct genie_welcome *welcome;
	/* 0 while every entry point may go on without a look: initialised, not forked, no sticky
	 * error, not watched. */
	_Atomic int gate;
	bool watched;                /* calls are counted or logged by name (watch.c) */
	_Atomic int announced_death; /* the loss of the peer was logged */
	_Atomic uint64_t reported; /* ticket of the last asynchronous error given to the program */
};
struct genie_ctx;
struct genie_stream;
struct genie_mempool;

extern struct genie_client genie_client;

/* What the server calls a device of ours. */
static inline int
genie_device_wire(int device)
{
	return genie_client.device_order[device];
}
/* The other way; -1: one that the program does not see. */
static inline int
genie_device_from_wire(int device)
{
	for (int i = 0; i < genie_client.device_count; i++)
		if (genie_client.device_order[i] == device)
			return i;
	return -1;
}

/* What cannot be true of a device that a server describes, or NULL. (device.c) */
const char *genie_device_problem(const struct genie_device_info *info);

/* Reads the variables of the environment, the first time. */
void genie_settings(void);
/* Connects if nothing is connected yet. 0, or negative errno (the cause was logged once). For
 * cuInit, NVML and cuDriverGetVersion; everything else runs behind genie_enter(). */
int genie_client_connect(void);
/* cuInit: connects and makes the primary contexts. */
CUresult genie_client_init(void);
CUresult genie_ctx_init(void); /* ctx.c; client.lock is held */
static inline struct genie_chan *
genie_client_chan(void)
{
	return atomic_load_explicit(&genie_client.chan, memory_order_acquire);
}
/* After a wait for the device: what its kernels printed is on standard output now, and what the
 * driver had to say of them on standard error. */
void genie_output_catch_up_slow(uint64_t bytes);
static inline void
genie_output_catch_up(void)
{
	uint64_t bytes = genie_chan_progress(genie_client_chan(), GENIE_SLOT_OUTPUT);

	if (__builtin_expect(bytes != 0, 0))
		genie_output_catch_up_slow(bytes);
}

/* Optimisations that GENIE_PERF=no_NAME,no_NAME… switches off. */
enum genie_perf {
	GENIE_PERF_INLINE,       /* no_inline: small copies in the command itself */
	GENIE_PERF_PROGRESS,     /* no_progress: queries ask the worker each time */
	GENIE_PERF_CACHE,        /* no_cache: remembered answers and the image cache */
	GENIE_PERF_PINNED,       /* no_pinned: pinned memory is copied like any other */
	GENIE_PERF_ASYNC_FREE,   /* no_async_free: cuMemFree waits */
	GENIE_PERF_COPY_THREADS, /* no_copy_threads: the calling thread alone copies large blocks */
	GENIE_PERF_UPLOADS,      /* no_uploads: what the server has from before is sent again */
	GENIE_PERF_DIRTY,        /* no_dirty: mirrored memory is compared, not watched */
	/* no_share_registered: registered memory is mirrored where it could be shared */
	GENIE_PERF_SHARE_REGISTERED,
	GENIE_PERF_COUNT
};
bool genie_perf(enum genie_perf what);

/* ---- the thread (thread.c) ---- */

/* Counters have one writer, their thread; whoever sums them up reads them at any time. */
static inline void
genie_count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

#define GENIE_CTX_STACK          32
#define GENIE_PER_THREAD_STREAMS 8

struct genie_thread {
	struct genie_lane *lane; /* NULL until the first command */
	struct genie_ctx *ctx;   /* current context, NULL = none; top of the stack */
	struct genie_ctx *stack[GENIE_CTX_STACK];
	int depth;
	int capture_mode; /* CUstreamCaptureMode of this thread */
	bool ptds;        /* inside a _ptds entry point: stream 0 is the per-thread stream */
	uint64_t calls;   /* entry points; summed into the statistics when the thread ends */
	uint64_t async_calls, launches, round_trips;
	enum genie_op op;          /* the entry point it is in, where they are watched */
	struct genie_thread *next; /* list of all threads, for the statistics */
	struct genie_thread *prev;
	bool registered; /* in that list; the end of the thread gives the lane back */
	void *reply;     /* GENIE_REPLY_MAX bytes, made at the first answer */
	/* Tokens of its per-thread default streams, one for each context that asked. */
	uint64_t per_thread[GENIE_PER_THREAD_STREAMS];
	uint64_t missing_stream; /* the last handle that was no stream, for the error it gives */
};
/* In the thread control block itself: one load at a fixed offset, no call, no allocation. */
extern __thread struct genie_thread genie_thread_tls __attribute__((tls_model("initial-exec")));
void genie_thread_register(struct genie_thread *thread);
/* Never NULL: makes it at first use (no allocation afterwards). Initial-exec TLS. */
static inline struct genie_thread *
genie_thread_self(void)
{
	struct genie_thread *thread = &genie_thread_tls;

	if (__builtin_expect(!thread->registered, 0))
		genie_thread_register(thread);
	return thread;
}
/* The lane of this thread; NULL when there is no live channel. */
struct genie_lane *genie_thread_lane(struct genie_thread *thread);

/* In the child after fork: the calling thread is the only one, and it has no lane. */
void genie_thread_fork_child(void);

/* ---- entry and exit of stubs (call.c) ---- */

/* What every stub does first. CUDA_SUCCESS, or what the stub returns at once: not initialised,
 * forked, dead, sticky error. @op: the entry point, GENIE_OP_genieNop when it has no name;
 * @early: cuInit need not have run. */
CUresult genie_enter_slow(enum genie_op op, bool early);
CUresult genie_enter_steady_slow(CUresult status);
static inline CUresult
genie_enter(enum genie_op op, bool early)
{
	struct genie_thread *thread = genie_thread_self();

	genie_count(&thread->calls);
	if (__builtin_expect(atomic_load_explicit(&genie_client.gate, memory_order_acquire) == 0 &&
				     !genie_chan_dead(genie_client_chan()),
			     1))
		return CUDA_SUCCESS;
	return genie_enter_slow(op, early);
}
/* For calls that ask nothing of a context: a sticky error does not concern them. */
static inline CUresult
genie_enter_steady(enum genie_op op)
{
	CUresult status = genie_enter(op, false);

	return status == CUDA_SUCCESS ? status : genie_enter_steady_slow(status);
}
/* The generated path: encodes, commits; for sync ops waits for the answer and decodes the outs
 * into @args. Returns the status. Counts. */
CUresult genie_call(enum genie_op op, void *args);
/* The same, and tells the ticket (0 when nothing was sent). */
CUresult genie_call_ticket(enum genie_op op, void *args, uint64_t *ret_ticket);
/* The same in @ctx instead of the current context. @ret_ticket may be NULL. Does not report
 * pending asynchronous errors: the caller decides. */
CUresult genie_call_ctx(enum genie_op op, void *args, const struct genie_ctx *ctx,
			uint64_t *ret_ticket);
/* For a mark whose progress the caller is about to wait for. */
CUresult genie_call_mark(enum genie_op op, void *args, const struct genie_ctx *ctx,
			 uint64_t *ret_ticket);
/* The same, and returns when the worker has issued it: for what another process may build on. */
CUresult genie_call_issued(enum genie_op op, void *args, const struct genie_ctx *ctx,
			   uint64_t *ret_ticket);
/* Reports an unsupported entry point: logs once, counts. Returns CUDA_ERROR_NOT_SUPPORTED. */
CUresult genie_unsupported(const char *name, void *caller);
/* -ECONNRESET and friends to the CUresult the program sees; makes it sticky. */
CUresult genie_chan_failed(int error);
/*
 * A status as the server says it. Programs may look it up in tables, so it is one that a driver
 * could return: those of newer ones lie in between, too. NVML's codes end with the same number.
 */
static inline CUresult
genie_status(int32_t status)
{
	return status < 0 || status > (int32_t)CUDA_ERROR_UNKNOWN ? CUDA_ERROR_UNKNOWN
								  : (CUresult)status;
}
/* The same of something that failed. */
static inline CUresult
genie_status_error(int32_t status)
{
	return status == CUDA_SUCCESS ? CUDA_ERROR_UNKNOWN : genie_status(status);
}
/* An asynchronous error that a waiting call must report (CUDA_SUCCESS if none). */
CUresult genie_pending_error(void);
/* The same for a call that does not wait: only what went wrong before its own command @ticket.
 * Its own failure is for a later call, as with the native driver. */
CUresult genie_pending_error_before(uint64_t ticket);
/* genie_chan_wait(), counted as a round trip when it really had to wait, errors converted. Does
 * not report asynchronous errors: the caller decides. */
CUresult genie_wait(uint32_t slot, uint64_t ticket);
/*
 * The last line of a call that encoded by hand between genie_lane_begin() and here: commits @cmd,
 * notes it on @stream (may be NULL), counts it and, with GENIE_SYNC=1, waits for the answer.
 * Returns the pending asynchronous error, if any.
 */
CUresult genie_commit(struct genie_thread *thread, void *cmd, enum genie_op op, size_t len,
		      const struct genie_ctx *ctx, struct genie_stream *stream,
		      uint64_t *ret_ticket);

/* ---- objects (object.c) ---- */

/* Every object begins with this. Found by token through a two-level table per kind: one load
 * more than an array, no lock for reading. */
struct genie_object {
	uint64_t token;
	struct genie_ctx *ctx; /* owner; NULL for process-wide objects */
};
/* Makes an object of @size bytes (zeroed) with a fresh token. NULL: out of memory or indices. */
void *genie_object_new(enum genie_kind kind, size_t size, struct genie_ctx *ctx);
/* NULL when @token is not a live object of that kind. */
void *genie_object_get(enum genie_kind kind, uint64_t token);
/* Unlinks and frees; the index is used again with another generation. */
void genie_object_free(void *object);
/* The same without freeing: for objects that may still be pointed at. */
void genie_object_unlink(void *object);
/* In the child after fork: makes the locks anew. */
void genie_object_fork_child(void);
void genie_graph_fork_child(void);
/* Calls @fn for every live object of a kind; @fn may free it. */
void genie_object_each(enum genie_kind kind, void (*fn)(void *object, void *data), void *data);

struct genie_ctx {
	struct genie_object object;
	int device;
	_Atomic unsigned int flags;
	bool primary;
	_Atomic int refs;             /* retains of a primary context, attaches of another */
	_Atomic bool active;          /* announced to the worker (genieCtxCreate) */
	_Atomic uint64_t last_ticket; /* last command that a stream of it may still execute */
	_Atomic uint64_t null_ticket; /* the same for the legacy stream */
	uint64_t id;                  /* cuCtxGetId */
	struct genie_stream *legacy, *per_thread_dummy;
	struct genie_cls *cls; /* context-local storage (cls.c) */
	/* Whose memory, modules and events it uses: itself, or of a green context the primary one.
	 */
	struct genie_ctx *home;
	uint64_t green;      /* token of its CUgreenCtx, 0 of others (green.c) */
	unsigned int sms;    /* multiprocessors of a green context, 0 of others: all */
	uint64_t limits[16]; /* index = CUlimit; relaxed atomics */
	unsigned int api_version;
	_Atomic int cache_config, shared_config;
	_Atomic uint64_t
		gate; /* event that streams made from now on wait for, or 0 (ctx_event.c) */
};
/* The current context of the thread, or NULL (then the stub returns CUDA_ERROR_INVALID_CONTEXT). */
struct genie_ctx *genie_ctx_current(void);
/* The context to which belongs what is made in the current one; NULL like that. */
static inline struct genie_ctx *
genie_ctx_home(void)
{
	struct genie_ctx *ctx = genie_ctx_current();

	return ctx ? ctx->home : NULL;
}
/* For the few calls that need a context and may be made without one: the current one, or the
 * primary context of device 0, activated. NULL: no device. */
struct genie_ctx *genie_ctx_default(void);
struct genie_ctx *genie_ctx_primary(int device);   /* object, not retained; NULL: no such device */
struct genie_ctx *genie_ctx_get(CUcontext handle); /* NULL handle = current */
/* Index of the context's token for the command header, 0 = none. */
uint32_t genie_ctx_index(const struct genie_ctx *ctx);
/* Waits for everything submitted in @ctx. */
CUresult genie_ctx_synchronize(struct genie_ctx *ctx);
/*
 * A context ends (destroyed, or the primary one reset): who keeps something for it forgets it now,
 * before the worker is told. Written by memory.c and module.c.
 */
void genie_mem_forget_ctx(struct genie_ctx *ctx);
void genie_module_forget_ctx(struct genie_ctx *ctx);

/* Nodes of a graph that is being captured. */
struct genie_capture_deps {
	CUgraphNode *nodes;
	CUgraphEdgeData *data;
	size_t count;
};

struct genie_stream {
	struct genie_object object;
	unsigned int flags;
	int priority;
	uint64_t id;
	_Atomic uint64_t last_ticket;  /* last command submitted to it */
	_Atomic uint64_t mark_ticket;  /* last genieStreamMark */
	_Atomic uint64_t done_ticket;  /* known to be done, whatever the progress slots say */
	_Atomic uint64_t event_ticket; /* last event record in it, and that event's slot */
	_Atomic uint32_t event_slot;
	_Atomic int capture; /* CUstreamCaptureStatus */
	uint64_t capture_id;
	/* Over a network: the last piece of a copy to pinned memory that nobody waited for. Its
	 * data has arrived when progress slot copied_slot has reached copied_ticket. */
	_Atomic uint64_t copied_ticket;
	_Atomic uint32_t copied_slot;
	/* capture.c, guarded by the graph lock: the capture it is part of, the next stream in that,
	 * what its next node comes after */
	struct genie_capture *capturing;
	struct genie_stream *capture_next;
	struct genie_capture_deps capture_deps;
	struct genie_event *mark_event; /* legacy streams: see stream.c */
	bool legacy, per_thread;
	int sync_policy; /* stream_attr.c; 0 = never set */
	CUaccessPolicyWindow access_window;
};

struct genie_event {
	struct genie_object object;
	unsigned int flags;
	_Atomic uint64_t ticket; /* of its last record, 0 = never recorded */
	/* Recorded by a graph or by another process: only the worker knows whether it is done. */
	_Atomic bool remote;
	_Atomic bool shared;         /* another process has it too (share.c): it stays remote */
	_Atomic uint64_t capture_id; /* of the capture it was last recorded in, 0 = none */
	struct genie_capture_deps capture_deps; /* and what is to come before who waits for it */
};
/* NULL: not an event. */
struct genie_event *genie_event_get(CUevent handle);
struct genie_event *genie_event_new(struct genie_ctx *ctx, unsigned int flags);
/*
 * The stream object behind a handle as the program gives it: 0 and CU_STREAM_LEGACY (1) are the
 * legacy stream of the current context, CU_STREAM_PER_THREAD (2) that of the thread (also 0 inside
 * a _ptds call). NULL: not a stream. On the wire the special streams travel as the handles 1 and 2
 * are made into real tokens here.
 */
struct genie_stream *genie_stream_get(CUstream handle);
static inline CUstream
genie_stream_wire(const struct genie_stream *stream)
{
	return (CUstream)(uintptr_t)stream->object.token;
}
/* After a command on @stream was committed. */
void genie_stream_submitted(struct genie_stream *stream, uint64_t ticket);
/* Everything submitted to it up to @ticket is known to be done: the answer to a copy says so. */
void genie_stream_known_done(struct genie_stream *stream, uint64_t ticket);
/* @event was recorded as command @ticket: if it is the stream's last, its end is the stream's. */
void genie_stream_recorded(struct genie_stream *stream, const struct genie_event *event,
			   uint64_t ticket);
/* The thread ends: so do its per-thread default streams. */
void genie_stream_end_thread(struct genie_thread *thread);
/* Why genie_stream_get() gave NULL: no current context, no such stream, or one whose green context
 * was destroyed. */
CUresult genie_stream_missing(void);
/* Is everything that was submitted to it known to be done? */
bool genie_stream_idle(const struct genie_stream *stream);
/* Waits for everything submitted to it. */
CUresult genie_stream_synchronize(struct genie_stream *stream);
bool genie_stream_capturing(const struct genie_stream *stream);
/* Is everything that was submitted to any stream known to be done? */
bool genie_streams_idle(void);
/*
 * What a call that a capture forbids asks first (allocation, synchronous copies, queries of the
 * legacy stream): CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED when a capture that this thread's mode
 * respects is going on; it is invalidated then, as the driver does.
 */
CUresult genie_capture_forbids(void);

/* ---- memory (memory.c, copy.c) ---- */

enum genie_mem_type {
	GENIE_MEM_NONE, /* not ours: pageable host memory */
	GENIE_MEM_DEVICE,
	GENIE_MEM_PINNED,     /* in the pinned window */
	GENIE_MEM_MANAGED,    /* in the pinned window, made by cuMemAllocManaged or __managed__ */
	GENIE_MEM_REGISTERED, /* cuMemHostRegister */
	GENIE_MEM_GLOBAL,     /* a module's variable: an address the worker's driver chose */
	GENIE_MEM_MAPPED,     /* cuMemMap: the program placed it (vmm.c) */
	GENIE_MEM_SHARED,     /* another process's, opened here (share.c) */
};
struct genie_mem {
	enum genie_mem_type type;
	uint64_t base, size; /* the allocation as the program asked for it */
	int device;
	struct genie_ctx *ctx;
	uint64_t id; /* CU_POINTER_ATTRIBUTE_BUFFER_ID */
	unsigned int flags;
	struct genie_mempool *pool;
	bool mirrored; /* pinned or managed: the worker has its own bytes, kept alike (mirror.h) */
	/* Registered: where the device has base, 0 while it does not: at the same address, or in
	 * the pinned window. */
	uint64_t twin;
	bool shared;   /* and these are the very pages; else a block that mirrors it */
	uint64_t host; /* what was found is where only the device has base; the program has it here
			*/
};
/* The allocation that contains @addr; false when there is none (pageable memory). */
bool genie_mem_find(uint64_t addr, struct genie_mem *ret_mem);
/* A module variable became known (module.c). */
void genie_mem_add_global(uint64_t addr, size_t size, int device);
void genie_mem_remove_global(uint64_t addr);
/* Host to device and back, any kind of host memory, contiguous. @sync: as the synchronous call. */
CUresult genie_copy_to_device(CUdeviceptr dst, const void *src, size_t size,
			      struct genie_stream *stream, bool sync);
CUresult genie_copy_to_host(void *dst, CUdeviceptr src, size_t size, struct genie_stream *stream,
			    bool sync);

/* ---- kernels (module.c, kernel.c, launch.c) ---- */

struct genie_param {
	uint16_t offset, size;
};
struct genie_kernel;   /* CUkernel: a kernel of a library or module, without a context */
struct genie_function; /* CUfunction: a kernel loaded in one context */
/* Accepts CUfunction and CUkernel handles alike, as cuLaunchKernel must; loads the module into the
 * current context at first use. */
CUresult genie_function_get(CUfunction handle, struct genie_function **ret_function);

/* ---- host functions (hostfunc.c) ---- */
void genie_hostfunc_run(void *data, uint64_t id); /* struct genie_chan_events.host_func */
bool genie_hostfunc_running(void);                /* at this moment one runs */

/* ---- statistics (stats.c) ---- */
void genie_stats_unsupported(const char *name);
void genie_stats_write(void); /* GENIE_STATS=file, at exit */

#endif
