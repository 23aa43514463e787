/*
 * The client's inside: what the files of interpose/ share. One struct genie_client per process,
 * one struct genie_thread per thread, object tables by kind. Everything else is static in its file.
 *
 * Life of a call: exported stub (generated) -> genie_enter() -> genie_<name>() by hand, or
 * genie_call() generated -> lane -> transport. HACKING.md follows cudaMemcpyAsync through it.
 *
 * Locks, in the order in which they may be taken: client.lock (start, stop, contexts),
 * table locks, allocator locks, the channel's bulk lock. None is held while waiting for the peer,
 * except the bulk lock.
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
	int device_count;
	const struct genie_device_info *devices;
	const struct genie_welcome *welcome;
};
extern struct genie_client genie_client;

/* Optimisations that GENIE_PERF=no_NAME,no_NAME… switches off. */
enum genie_perf {
	GENIE_PERF_INLINE,     /* no_inline: small copies in the command itself */
	GENIE_PERF_PROGRESS,   /* no_progress: queries ask the worker each time */
	GENIE_PERF_CACHE,      /* no_cache: remembered answers and the image cache */
	GENIE_PERF_PINNED,     /* no_pinned: pinned memory is copied like any other */
	GENIE_PERF_ASYNC_FREE, /* no_async_free: cuMemFree waits */
	GENIE_PERF_COUNT
};
bool genie_perf(enum genie_perf what);

/* ---- the thread (thread.c) ---- */

#define GENIE_CTX_STACK 32

struct genie_thread {
	struct genie_lane *lane; /* NULL until the first command */
	struct genie_ctx *ctx;   /* current context, NULL = none; top of the stack */
	struct genie_ctx *stack[GENIE_CTX_STACK];
	int depth;
	int capture_mode; /* CUstreamCaptureMode of this thread */
	bool ptds;        /* inside a _ptds entry point: stream 0 is the per-thread stream */
	uint64_t calls;   /* entry points; summed into the statistics when the thread ends */
	uint64_t async_calls, launches, round_trips;
	struct genie_thread *next; /* list of all threads, for the statistics */
};
/* Never NULL: makes it at first use (no allocation afterwards). Initial-exec TLS. */
struct genie_thread *genie_thread_self(void);
/* The lane of this thread; NULL when there is no live channel. */
struct genie_lane *genie_thread_lane(struct genie_thread *thread);

/* ---- entry and exit of stubs (call.c) ---- */

/* What every stub does first. CUDA_SUCCESS, or what the stub returns at once: not initialised,
 * forked, dead, sticky error. @early: cuInit need not have run. */
CUresult genie_enter(bool early);
/* The generated path: encodes, commits; for sync ops waits for the answer and decodes the outs
 * into @args. Returns the status. Counts. */
CUresult genie_call(enum genie_op op, void *args);
/* The same, and tells the ticket (0 when nothing was sent). */
CUresult genie_call_ticket(enum genie_op op, void *args, uint64_t *ret_ticket);
/* Reports an unsupported entry point: logs once, counts. Returns CUDA_ERROR_NOT_SUPPORTED. */
CUresult genie_unsupported(const char *name, void *caller);
/* -ECONNRESET and friends to the CUresult the program sees; makes it sticky. */
CUresult genie_chan_failed(int error);
/* An asynchronous error that a waiting call must report (CUDA_SUCCESS if none). */
CUresult genie_pending_error(void);

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
/* Calls @fn for every live object of a kind. */
void genie_object_each(enum genie_kind kind, void (*fn)(void *object, void *data), void *data);

struct genie_ctx {
	struct genie_object object;
	int device;
	unsigned int flags;
	bool primary;
	_Atomic int refs;             /* primary: retain count */
	_Atomic bool active;          /* announced to the worker (genieCtxCreate) */
	_Atomic uint64_t last_ticket; /* last command that a stream of it may still execute */
	_Atomic uint64_t null_ticket; /* the same for the legacy stream */
	uint64_t id;                  /* cuCtxGetId */
	struct genie_stream *legacy, *per_thread_dummy;
	struct genie_cls *cls; /* context-local storage (export_table.c) */
	uint64_t limits[16];
};
/* The current context of the thread, or NULL (then the stub returns CUDA_ERROR_INVALID_CONTEXT). */
struct genie_ctx *genie_ctx_current(void);
struct genie_ctx *genie_ctx_primary(int device);   /* object, not retained; NULL: no such device */
struct genie_ctx *genie_ctx_get(CUcontext handle); /* NULL handle = current */
/* Index of the context's token for the command header, 0 = none. */
uint32_t genie_ctx_index(const struct genie_ctx *ctx);
/* Waits for everything submitted in @ctx. */
CUresult genie_ctx_synchronize(struct genie_ctx *ctx);

struct genie_stream {
	struct genie_object object;
	unsigned int flags;
	int priority;
	uint64_t id;
	_Atomic uint64_t last_ticket; /* last command submitted to it */
	_Atomic uint64_t mark_ticket; /* last genieStreamMark */
	_Atomic int capture;          /* CUstreamCaptureStatus */
	uint64_t capture_id;
};
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
/* Waits for everything submitted to it. */
CUresult genie_stream_synchronize(struct genie_stream *stream);
bool genie_stream_capturing(const struct genie_stream *stream);

/* ---- memory (memory.c, copy.c) ---- */

enum genie_mem_type {
	GENIE_MEM_NONE, /* not ours: pageable host memory */
	GENIE_MEM_DEVICE,
	GENIE_MEM_PINNED,     /* in the pinned window */
	GENIE_MEM_MANAGED,    /* in the pinned window, made by cuMemAllocManaged or __managed__ */
	GENIE_MEM_REGISTERED, /* cuMemHostRegister */
	GENIE_MEM_GLOBAL,     /* a module's variable: an address the worker's driver chose */
};
struct genie_mem {
	enum genie_mem_type type;
	uint64_t base, size; /* the allocation as the program asked for it */
	int device;
	struct genie_ctx *ctx;
	uint64_t id; /* CU_POINTER_ATTRIBUTE_BUFFER_ID */
	unsigned int flags;
	struct genie_mempool *pool;
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

/* ---- statistics (stats.c) ---- */
void genie_stats_unsupported(const char *name);
void genie_stats_write(void); /* GENIE_STATS=file, at exit */

#endif
