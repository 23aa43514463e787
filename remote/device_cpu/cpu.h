/*
 * The CPU device: CUDA's driver API over this machine's own memory and cores. What its files share.
 *
 * Work executes at once, in the thread that issues it: submitting an operation runs it, so a
 * stream is in order without a queue. The exception is an operation that must wait for memory that
 * somebody else writes (cuStreamWaitValue32): it and what comes after it in its stream is kept,
 * and tried again whenever anything else happens (stream.c).
 *
 * Every operation is one struct genie_cpu_op, whether it runs now, waits in a stream, was captured
 * or was added to a graph by hand. Files:
 *
 *   device.c attributes.c identity.c nvml.c   what the device is
 *   context.c green.c                         contexts
 *   memory.c vmm.c ranges.c                   allocation, mapping, what is device memory
 *   array.c texture.c copy.c set.c            arrays and textures, copies, sets
 *   module.c launch.c occupancy.c             code and kernels
 *   op.c stream.c event.c values.c            running operations, in order
 *   graph.c node.c exec.c capture.c           graphs
 *   gemm.c gemm_finish.c number.c blas.c      matrix products by a BLAS
 *   dense.c                                   what else BLAS does with matrices
 *   backend.c error.c                         the table
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_CPU_H
#define GENIE_REMOTE_DEVICE_CPU_CPU_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remote/device.h"
#include "remote/device_cpu/identity.h"
#include "remote/device_cpu/ptx.h"

/*
 * What a multiprocessor has. Values of compute capability 12.1: the vendor's libraries carry PTX
 * for their newest architecture only, in CUDA 13.0 some for 12.0 (cuBLAS) and most for 12.1 (cuDNN,
 * cuRAND, cuSOLVER, cuSPARSE).
 */
#define GENIE_CPU_CC_MAJOR        12
#define GENIE_CPU_CC_MINOR        1
#define GENIE_CPU_WARP            32u
#define GENIE_CPU_BLOCK_THREADS   1024u
#define GENIE_CPU_SM_THREADS      1536u
#define GENIE_CPU_SM_BLOCKS       24u
#define GENIE_CPU_SM_REGISTERS    65536u
#define GENIE_CPU_SHARED_BLOCK    49152u  /* without asking */
#define GENIE_CPU_SHARED_OPTIN    101376u /* with cuFuncSetAttribute */
#define GENIE_CPU_SHARED_SM       102400u
#define GENIE_CPU_SHARED_RESERVED 1024u /* of each block, by the system */
#define GENIE_CPU_CLUSTER_MAX     8u
#define GENIE_CPU_GRANULARITY     ((size_t)2 << 20)
#define GENIE_CPU_PITCH_ALIGN     512u

/* First word of every object: a handle that is none is noticed, not followed. */
enum genie_cpu_magic {
	GENIE_CPU_CONTEXT = 0x43505501,
	GENIE_CPU_STREAM,
	GENIE_CPU_EVENT,
	GENIE_CPU_MODULE,
	GENIE_CPU_FUNCTION,
	GENIE_CPU_GRAPH,
	GENIE_CPU_NODE,
	GENIE_CPU_EXEC,
	GENIE_CPU_ARRAY,
	GENIE_CPU_MIPMAP,
	GENIE_CPU_POOL,
	GENIE_CPU_PAGES,
	GENIE_CPU_DESC,
	GENIE_CPU_GREEN,
};

/* NULL or something else: false. */
static inline bool
genie_cpu_is(const void *handle, enum genie_cpu_magic magic)
{
	return handle && *(const uint32_t *)handle == magic;
}

struct genie_cpu_module;
struct genie_cpu_graph;
struct genie_cpu_node;
struct genie_cpu_capture;
struct genie_cpu_condition;

enum genie_cpu_op_kind {
	GENIE_CPU_OP_EMPTY,
	GENIE_CPU_OP_KERNEL,
	GENIE_CPU_OP_COPY,
	GENIE_CPU_OP_SET,
	GENIE_CPU_OP_HOST,
	GENIE_CPU_OP_GRAPH,       /* a child graph */
	GENIE_CPU_OP_CONDITIONAL, /* graphs that run, or do not, as a condition says */
	GENIE_CPU_OP_EVENT_RECORD,
	GENIE_CPU_OP_EVENT_WAIT,
	GENIE_CPU_OP_VALUES, /* waits for and writes of memory */
	GENIE_CPU_OP_FREE,
	GENIE_CPU_OP_GEMM,
	GENIE_CPU_OP_DENSE,
};

struct genie_cpu_kernel_op {
	struct genie_cpu_function *function;
	uint32_t grid[3], block[3], cluster[3];
	uint32_t shared;
	int cooperative;
	bool cluster_set; /* by the program, not by the kernel itself */
	void *params;     /* packed; owned by the operation if it was copied */
	size_t params_size;
};

struct genie_cpu_op {
	enum genie_cpu_op_kind kind;
	struct genie_cpu_context *ctx;
	union {
		struct genie_cpu_kernel_op kernel;
		CUDA_MEMCPY3D copy;
		CUDA_MEMSET_NODE_PARAMS set;
		struct {
			CUhostFn fn;
			void *data;
		} host;
		struct genie_cpu_graph *graph; /* a copied operation owns a clone */
		struct {
			struct genie_cpu_condition *condition;
			CUgraphConditionalNodeType type;
			unsigned int size;
			struct genie_cpu_graph **bodies; /* a copied operation owns clones */
		} conditional;
		struct {
			struct genie_cpu_event *event;
			uint64_t sequence; /* the recording to make, or to wait for */
		} event;
		struct {
			CUstreamBatchMemOpParams *list;
			unsigned int count;
			unsigned int next; /* those before it are done */
		} values;
		struct {
			CUdeviceptr addr;
			size_t size;
		} memory;
		struct genie_gemm gemm;
		struct genie_dense dense;
	};
};

/* Multiprocessors, as a green context has some of them. */
#define GENIE_CPU_SMS_MAX 1024u

struct genie_cpu_sms {
	uint32_t count;
	uint16_t list[GENIE_CPU_SMS_MAX]; /* their numbers, ascending */
};

struct genie_cpu_context {
	uint32_t magic;
	unsigned int flags;
	unsigned long long id;
	CUdevice device;
	uint32_t peers; /* devices whose memory it may use, a bit each */
	CUresult lost;  /* CUDA_SUCCESS, or what every call returns from now on */
	size_t limits[16];
	CUfunc_cache cache_config;
	CUsharedconfig shared_config;
	struct genie_cpu_stream *legacy, *per_thread;
	/* Of a green context: its multiprocessors, and the primary context it is part of. */
	struct genie_cpu_sms *sms;
	struct genie_cpu_context *home; /* itself, if it is none */
};

struct genie_cpu_waiting; /* an operation that a stream keeps: stream.c */

struct genie_cpu_stream {
	uint32_t magic;
	unsigned int flags;
	int priority;
	unsigned long long id;
	struct genie_cpu_context *ctx;
	CUstreamAttrValue attrs[8]; /* index = CUstreamAttrID */
	struct genie_cpu_waiting *first, **last;
	struct genie_cpu_stream *next; /* list of all streams */
	/* While capturing: what the next operation comes after. */
	struct genie_cpu_capture *capture;
	struct genie_cpu_node **deps;
	size_t dep_count;
};

/* Of an event that another process knows too, this lies in a page that both map. */
struct genie_cpu_event_state {
	uint64_t recorded; /* number of the last recording that was asked for, 0 = never */
	uint64_t done;     /* number of the last one that happened */
	uint64_t nonce;    /* in a shared page: the one that the handle names */
};

struct genie_cpu_event {
	uint32_t magic;
	unsigned int flags;
	unsigned int refs;
	struct genie_cpu_event_state *state, own; /* state: own, or a shared page */
	int fd;        /* of the shared page, plus one; 0 = none of ours */
	uint64_t time; /* CLOCK_MONOTONIC, ns, of the last recording that happened */
	/* Recorded in a capturing stream: the nodes a wait for it comes after. */
	unsigned long long capture_id;
	struct genie_cpu_node **deps;
	size_t dep_count;
};

struct genie_cpu_function {
	uint32_t magic;
	struct genie_cpu_module *module;
	struct ptx_kernel *kernel;
	struct ptx_kernel_info info;
	struct genie_cpu_function *next;
	uint32_t max_dynamic_shared;
	int carveout;
	int cluster[3], cluster_policy, non_portable_cluster;
};

/* ---- device.c ---- */

/* The process has one device, as the driver API has no handle for "the driver". */
/* One of the devices: they share the machine, each has its part of the memory. */
struct genie_cpu_part {
	size_t used; /* bytes of device memory */
	struct genie_cpu_context *primary;
	unsigned int primary_refs, primary_flags;
	uint64_t busy; /* ns spent in kernels and products */
};

struct genie_cpu_device {
	/*
	 * Guards everything but the run lock's: contexts, streams, events, ranges, pages. Held
	 * briefly, never while a kernel runs.
	 */
	pthread_mutex_t lock;
	/* Held while an operation runs and while the streams' waiting lists are changed. */
	pthread_mutex_t run_lock;
	bool initialized;
	struct genie_backend *backend;
	unsigned long long next_id;
	int count;
	size_t total; /* bytes of device memory, of each */
	struct genie_cpu_part parts[GENIE_CPU_DEVICES_MAX];
	struct genie_cpu_stream *streams;
	unsigned int waiting;   /* operations that streams keep */
	unsigned int capturing; /* captures that have begun and not ended */
	uint64_t sequence;
};
extern struct genie_cpu_device genie_cpu;

/* The context of this thread, if a call may be made in it. */
CUresult genie_cpu_enter(struct genie_cpu_context **ret_ctx);
/* The same where there is no interest in the context itself. */
CUresult genie_cpu_check(void);
CUresult genie_cpu_context_lost(const struct genie_cpu_context *ctx);
void genie_cpu_context_lose(struct genie_cpu_context *ctx, CUresult status);
/* What this thread's context was lost to, if it was; for calls that need no context. */
CUresult genie_cpu_lost(void);
CUresult genie_cpu_check_device(CUdevice dev);
unsigned long long genie_cpu_new_id(void);
/* A context that is current nowhere; NULL: no memory. */
struct genie_cpu_context *genie_cpu_context_new(CUdevice dev, unsigned int flags);
void genie_cpu_context_delete(struct genie_cpu_context *ctx);
/* How many multiprocessors @ctx has. */
uint32_t genie_cpu_context_sms(const struct genie_cpu_context *ctx);
uint64_t genie_cpu_now(void);
/* Looks up an attribute; false: no such attribute. */
bool genie_cpu_attribute(int attribute, int *ret_value);

/* ---- memory.c ---- */

enum genie_cpu_range_kind {
	GENIE_CPU_RANGE_MAPPED,   /* cuMemMap */
	GENIE_CPU_RANGE_ALLOC,    /* cuMemAlloc and everything like it */
	GENIE_CPU_RANGE_HOST,     /* cuMemHostAlloc */
	GENIE_CPU_RANGE_REGISTER, /* cuMemHostRegister */
};

struct genie_cpu_range {
	uint64_t addr;
	size_t size;
	enum genie_cpu_range_kind kind;
	bool readable, writable;
	unsigned int flags; /* of cuMemHostAlloc, cuMemHostRegister */
	CUdevice device;    /* whose memory it is, or whose context made it */
	struct genie_cpu_pages *pages;
	size_t pages_offset;
	unsigned long long buffer_id;
};

/* Is all of it memory that the device may read (and write)? */
bool genie_cpu_accessible(uint64_t addr, size_t size, bool write);
/* Zeroed device memory for internal use; NULL: none left. */
void *genie_cpu_alloc(size_t size);
void genie_cpu_free(void *ptr);
/* Takes bytes of a device's memory; false: none left. */
bool genie_cpu_charge(CUdevice dev, size_t size);
void genie_cpu_discharge(CUdevice dev, size_t size);

/* ---- array.c ---- */

struct genie_cpu_array {
	uint32_t magic;
	CUDA_ARRAY3D_DESCRIPTOR desc;
	size_t element, pitch, slice, size; /* bytes */
	uint8_t *data;
	struct genie_cpu_mipmap *mipmap; /* it is a level of it */
};

#define GENIE_CPU_LEVELS_MAX 32

struct genie_cpu_mipmap {
	uint32_t magic;
	unsigned int count;
	struct genie_cpu_array *levels[GENIE_CPU_LEVELS_MAX];
};

/* NULL: not an array. */
struct genie_cpu_array *genie_cpu_array_get(CUarray handle);
/* NULL: not a mipmap. */
struct genie_cpu_mipmap *genie_cpu_mipmap_get(CUmipmappedArray handle);
/* Bytes of a channel and how it is read; false: a format that this device does not have. */
bool genie_cpu_format(CUarray_format format, size_t *ret_size, enum ptx_image_format *ret_format);

/* ---- module.c ---- */

/* NULL: not a function. */
struct genie_cpu_function *genie_cpu_function_get(CUfunction handle);
void genie_cpu_module_ref(struct genie_cpu_module *module);
void genie_cpu_module_unref(struct genie_cpu_module *module);
/* NULL: not a module. */
struct genie_cpu_module *genie_cpu_module_get(CUmodule handle);
/* The .texref or .surfref variable of that name, which holds a handle; NULL: none. */
uint64_t *genie_cpu_module_reference(struct genie_cpu_module *module, const char *name,
				     bool surface);
/* Does @addr lie in a __managed__ variable? */
bool genie_cpu_module_managed(uint64_t addr);

/* ---- texture.c, texref.c ---- */

CUresult genie_cpu_texture_new(const CUDA_RESOURCE_DESC *resource, const CUDA_TEXTURE_DESC *desc,
			       unsigned long long *ret_handle);
CUresult genie_cpu_surface_new(const CUDA_RESOURCE_DESC *resource, unsigned long long *ret_handle);
void genie_cpu_texture_delete(unsigned long long handle);
void genie_cpu_surface_delete(unsigned long long handle);
/* The module goes, and its references with it. */
void genie_cpu_texref_forget(const struct genie_cpu_module *module);

/* ---- op.c ---- */

/* Can it be done at all? Asked when it is submitted. */
CUresult genie_cpu_op_check(const struct genie_cpu_op *op);
/* Runs it now. */
CUresult genie_cpu_op_run(const struct genie_cpu_op *op);
/* May it run now? Advances a list of waits. */
bool genie_cpu_op_ready(struct genie_cpu_op *op);
/* A copy that owns all it points to. */
CUresult genie_cpu_op_copy(struct genie_cpu_op *ret_op, const struct genie_cpu_op *op);
void genie_cpu_op_fini(struct genie_cpu_op *op);

CUresult genie_cpu_copy_run(const CUDA_MEMCPY3D *copy);
CUresult genie_cpu_copy_check(const CUDA_MEMCPY3D *copy);
CUresult genie_cpu_set_run(const CUDA_MEMSET_NODE_PARAMS *set);
CUresult genie_cpu_set_check(const CUDA_MEMSET_NODE_PARAMS *set);
CUresult genie_cpu_kernel_run(struct genie_cpu_context *ctx,
			      const struct genie_cpu_kernel_op *kernel);
CUresult genie_cpu_kernel_check(const struct genie_cpu_context *ctx,
				const struct genie_cpu_kernel_op *kernel);
CUresult genie_cpu_gemm_run(const struct genie_gemm *gemm);
CUresult genie_cpu_gemm_check(const struct genie_gemm *gemm);
CUresult genie_cpu_dense_run(const struct genie_dense *dense);
CUresult genie_cpu_dense_check(const struct genie_dense *dense);
CUresult genie_cpu_values_check(const struct genie_cpu_op *op);
/* Writes and waits as far as it goes; true: all done. */
bool genie_cpu_values_advance(struct genie_cpu_op *op);

/* An attribute of a launch or a node; those about speed alone are of no use here. */
CUresult genie_cpu_kernel_attribute(struct genie_cpu_kernel_op *kernel, CUlaunchAttributeID id,
				    const CUlaunchAttributeValue *value);
/* The cluster that the kernel itself asks for, 1x1x1 if none. */
void genie_cpu_kernel_cluster(struct genie_cpu_kernel_op *kernel);
/* From CUDA's ways to pass parameters to a packed buffer of the function's size (free with
 * free()). */
CUresult genie_cpu_params_pack(const struct genie_cpu_function *function, void **params,
			       void **extra, void **ret_params, size_t *ret_size);

/* ---- stream.c ---- */

CUresult genie_cpu_stream_get(CUstream handle, struct genie_cpu_stream **ret_stream);
/* Runs, keeps or captures an operation. Borrows it. */
CUresult genie_cpu_submit(CUstream handle, struct genie_cpu_op *op);
/* Runs what can run now of what streams keep. */
void genie_cpu_progress(void);
/* The same, and sleeps a little: for a loop that waits. */
void genie_cpu_poll(void);
/* Until nothing waits in the stream (NULL: in any). */
CUresult genie_cpu_wait_idle(struct genie_cpu_stream *stream);
struct genie_cpu_stream *genie_cpu_stream_new(struct genie_cpu_context *ctx, unsigned int flags,
					      int priority);
/* Takes it; NULL is fine. */
void genie_cpu_stream_delete(struct genie_cpu_stream *stream);
/* The event's last recording is this one, made in that capture (0: none). */
void genie_cpu_event_recorded(struct genie_cpu_event *event, uint64_t sequence,
			      unsigned long long capture_id);
/* The number of a recording that is about to be made. */
uint64_t genie_cpu_event_next(struct genie_cpu_event *event);
void genie_cpu_event_ref(struct genie_cpu_event *event);
void genie_cpu_event_unref(struct genie_cpu_event *event);

/* ---- graph.c, capture.c ---- */

void genie_cpu_graph_ref(struct genie_cpu_graph *graph);
void genie_cpu_graph_unref(struct genie_cpu_graph *graph);
CUresult genie_cpu_graph_clone(const struct genie_cpu_graph *graph,
			       struct genie_cpu_graph **ret_graph);
/* Runs all nodes in an order their dependencies allow. */
CUresult genie_cpu_graph_run(struct genie_cpu_graph *graph, struct genie_cpu_context *ctx);
/* The same as one launch: conditions begin with their defaults. */
CUresult genie_cpu_graph_start(struct genie_cpu_graph *graph, struct genie_cpu_context *ctx);
/* And what its kernels launch (launchable.c). */
CUresult genie_cpu_graph_launch(struct genie_cpu_graph *graph, struct genie_cpu_context *ctx);
CUresult genie_cpu_conditional_run(const struct genie_cpu_op *op);
CUresult genie_cpu_conditional_copy(struct genie_cpu_op *copy, const struct genie_cpu_op *op);
void genie_cpu_conditional_fini(struct genie_cpu_op *op);
CUresult genie_cpu_capture_op(struct genie_cpu_stream *stream, const struct genie_cpu_op *op);
CUresult genie_cpu_capture_record(struct genie_cpu_stream *stream, struct genie_cpu_event *event);
CUresult genie_cpu_capture_wait(struct genie_cpu_stream *stream, struct genie_cpu_event *event);
/* The capture is spoilt by a call that cannot be captured. Returns @status. */
CUresult genie_cpu_capture_invalidate(struct genie_cpu_stream *stream, CUresult status);
/* A call that waits for all streams spoils every capture; true: there was one. */
bool genie_cpu_capture_spoil(struct genie_cpu_context *ctx);
/* The capture the event was recorded in is spoilt by a question about the event. */
CUresult genie_cpu_capture_asked(struct genie_cpu_event *event);
/* Would work in the legacy stream become part of a capture without saying so? */
bool genie_cpu_capture_forbids_legacy(struct genie_cpu_context *ctx, bool invalidate);
/* The stream is going away. */
void genie_cpu_capture_drop(struct genie_cpu_stream *stream);

/* ---- each file puts its functions into the table ---- */

void genie_cpu_fill_device(struct genie_driver *drv);
void genie_cpu_fill_context(struct genie_driver *drv);
void genie_cpu_fill_green(struct genie_driver *drv);
void genie_cpu_fill_memory(struct genie_driver *drv);
void genie_cpu_fill_vmm(struct genie_driver *drv);
void genie_cpu_fill_array(struct genie_driver *drv);
void genie_cpu_fill_texref(struct genie_driver *drv);
void genie_cpu_fill_texture(struct genie_driver *drv);
void genie_cpu_fill_tensor(struct genie_driver *drv);
void genie_cpu_fill_copy(struct genie_driver *drv);
void genie_cpu_fill_set(struct genie_driver *drv);
void genie_cpu_fill_module(struct genie_driver *drv);
void genie_cpu_fill_launch(struct genie_driver *drv);
void genie_cpu_fill_occupancy(struct genie_driver *drv);
void genie_cpu_fill_stream(struct genie_driver *drv);
void genie_cpu_fill_values(struct genie_driver *drv);
void genie_cpu_fill_event(struct genie_driver *drv);
void genie_cpu_fill_capture(struct genie_driver *drv);
void genie_cpu_fill_graph(struct genie_driver *drv);
void genie_cpu_fill_nodes(struct genie_driver *drv);
void genie_cpu_fill_exec(struct genie_driver *drv);
void genie_cpu_fill_conditional(struct genie_driver *drv);
void genie_cpu_fill_gemm(struct genie_driver *drv);
void genie_cpu_fill_dense(struct genie_driver *drv);
void genie_cpu_fill_nvml(struct genie_nvml *nvml);

/* Why the last image did not load, on this thread. */
const char *genie_cpu_image_error(void);

#endif
