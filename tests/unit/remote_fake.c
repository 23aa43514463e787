#include "tests/unit/remote_fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "remote/store.h"
#include "remote/store_file.h"
#include "wire/codec.h"

struct fake fake;
struct fake_device device;

/* ---- the port ---- */

static uint64_t progress[GENIE_SLOTS_MAX];

int
genie_port_reply(struct genie_port *port, uint32_t lane, uint64_t ticket, int32_t status,
		 const void *payload, size_t len)
{
	(void)port;
	(void)lane;
	(void)ticket;
	pthread_mutex_lock(&fake.lock);
	fake.reply.sent = true;
	fake.reply.status = status;
	fake.reply.len = len;
	if (len)
		memcpy(fake.reply.payload, payload, len);
	pthread_mutex_unlock(&fake.lock);
	return 0;
}

void
genie_port_progress(struct genie_port *port, uint32_t slot, uint64_t ticket)
{
	(void)port;
	if (slot >= GENIE_SLOTS_MAX)
		abort(); /* a real port would end the session */
	pthread_mutex_lock(&fake.lock);
	if (ticket > progress[slot])
		progress[slot] = ticket;
	pthread_mutex_unlock(&fake.lock);
}

void
genie_port_error(struct genie_port *port, const struct genie_async_error *error)
{
	(void)port;
	pthread_mutex_lock(&fake.lock);
	if (!fake.errors++ || (error->sticky && !fake.error.sticky))
		fake.error = *error;
	pthread_mutex_unlock(&fake.lock);
}

int
genie_port_host_func(struct genie_port *port, uint64_t id, void (*done)(void *data), void *data)
{
	(void)port;
	pthread_mutex_lock(&fake.lock);
	fake.host_id = id;
	fake.host_data = data;
	fake.host_done = done;
	pthread_mutex_unlock(&fake.lock);
	return 0;
}

int
genie_port_host_data(struct genie_port *port, uint64_t addr, size_t len)
{
	(void)port;
	(void)addr;
	(void)len;
	return 0;
}

void
genie_port_output(struct genie_port *port, const char *text, size_t len, bool is_error)
{
	(void)is_error;
	(void)port;
	(void)text;
	(void)len;
}

int
genie_port_bulk_in(struct genie_port *port, uint64_t ref, size_t len, void **ret_ptr)
{
	(void)port;
	if (ref >= FAKE_SLOTS || len > FAKE_SLOT)
		return -EPROTO;
	*ret_ptr = fake.staging + ref * FAKE_SLOT;
	return 0;
}

void
genie_port_bulk_in_done(struct genie_port *port, uint64_t ref, size_t len, uint64_t ticket)
{
	(void)port;
	(void)ref;
	(void)len;
	(void)ticket;
	pthread_mutex_lock(&fake.lock);
	fake.in_done++;
	pthread_mutex_unlock(&fake.lock);
}

int
genie_port_bulk_out(struct genie_port *port, uint64_t ref, size_t len, void **ret_ptr)
{
	return genie_port_bulk_in(port, ref, len, ret_ptr);
}

void
genie_port_bulk_out_ready(struct genie_port *port, uint64_t ref, size_t len, void *ptr,
			  uint64_t ticket)
{
	(void)port;
	(void)ref;
	(void)len;
	(void)ptr;
	(void)ticket;
	pthread_mutex_lock(&fake.lock);
	fake.out_ready++;
	pthread_mutex_unlock(&fake.lock);
}

void
genie_port_staging(const struct genie_port *port, void **ret_base, size_t *ret_size)
{
	(void)port;
	*ret_base = fake.staging;
	*ret_size = (size_t)FAKE_SLOTS * FAKE_SLOT;
}

bool
genie_port_shared(const struct genie_port *port)
{
	(void)port;
	return true; /* nothing is kept */
}

void *
genie_port_pinned_base(const struct genie_port *port)
{
	(void)port;
	return fake.pinned;
}

size_t
genie_port_pinned_size(const struct genie_port *port)
{
	(void)port;
	return FAKE_PINNED_SIZE;
}

/* ---- the device ---- */

static pthread_mutex_t device_lock = PTHREAD_MUTEX_INITIALIZER;
static bool held;
static uint64_t clock_now, clock_done; /* issued, finished */
static uint64_t next_handle;

/* Never freed: a session leaves its events to the end of the process. */
#define FAKE_EVENTS 65536
static struct fake_event {
	uint64_t at; /* clock when it was recorded */
} events[FAKE_EVENTS];

void
fake_hold(void)
{
	pthread_mutex_lock(&device_lock);
	held = true;
	pthread_mutex_unlock(&device_lock);
}

void
fake_go(void)
{
	pthread_mutex_lock(&device_lock);
	held = false;
	clock_done = clock_now;
	pthread_mutex_unlock(&device_lock);
}

void
fake_fail(CUresult status)
{
	pthread_mutex_lock(&device_lock);
	device.fail_query = status;
	pthread_mutex_unlock(&device_lock);
}

static void
issue(unsigned int *counter)
{
	pthread_mutex_lock(&device_lock);
	(*counter)++;
	clock_now++;
	if (!held)
		clock_done = clock_now;
	pthread_mutex_unlock(&device_lock);
}

static void
note(unsigned int *counter)
{
	pthread_mutex_lock(&device_lock);
	(*counter)++;
	pthread_mutex_unlock(&device_lock);
}

static void *
handle_new(void)
{
	return (void *)(uintptr_t)(0x1000 +
				   16 * __atomic_add_fetch(&next_handle, 1, __ATOMIC_RELAXED));
}

static CUresult
device_yes(void)
{
	return CUDA_SUCCESS;
}

static CUresult
device_get(CUdevice *ret, int ordinal)
{
	*ret = ordinal;
	return CUDA_SUCCESS;
}

static CUresult
primary_retain(CUcontext *ret, CUdevice dev)
{
	*ret = (CUcontext)(uintptr_t)(0x100 + dev);
	return CUDA_SUCCESS;
}

static CUresult
ctx_create(CUcontext *ret, unsigned int flags, CUdevice dev)
{
	(void)flags;
	(void)dev;
	*ret = handle_new();
	return CUDA_SUCCESS;
}

static CUresult
ctx_set(CUcontext ctx)
{
	(void)ctx;
	note(&device.set_current);
	return CUDA_SUCCESS;
}

static CUresult
ctx_get(CUcontext *ret)
{
	*ret = NULL;
	return CUDA_SUCCESS;
}

static CUresult
mem_create(CUmemGenericAllocationHandle *ret, size_t size, const CUmemAllocationProp *prop,
	   unsigned long long flags)
{
	CUresult fail = device.fail_next_create;

	(void)size;
	(void)prop;
	(void)flags;
	device.fail_next_create = CUDA_SUCCESS;
	if (fail)
		return fail;
	note(&device.creates);
	*ret = (uintptr_t)handle_new();
	return CUDA_SUCCESS;
}

static CUresult
mem_release(CUmemGenericAllocationHandle handle)
{
	(void)handle;
	note(&device.releases);
	return CUDA_SUCCESS;
}

static CUresult
mem_map(CUdeviceptr ptr, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
	unsigned long long flags)
{
	(void)ptr;
	(void)size;
	(void)offset;
	(void)handle;
	(void)flags;
	note(&device.maps);
	return CUDA_SUCCESS;
}

static CUresult
mem_unmap(CUdeviceptr ptr, size_t size)
{
	(void)ptr;
	(void)size;
	note(&device.unmaps);
	return CUDA_SUCCESS;
}

static CUresult
mem_info(size_t *ret_free, size_t *ret_total)
{
	*ret_free = *ret_total = (size_t)8 << 30;
	return CUDA_SUCCESS;
}

static CUresult
host_register(void *ptr, size_t size, unsigned int flags)
{
	(void)ptr;
	(void)size;
	(void)flags;
	note(&device.registers);
	return CUDA_SUCCESS;
}

static CUresult
host_unregister(void *ptr)
{
	(void)ptr;
	note(&device.unregisters);
	return CUDA_SUCCESS;
}

static CUresult
stream_create(CUstream *ret, unsigned int flags, int priority)
{
	(void)flags;
	(void)priority;
	*ret = handle_new();
	return CUDA_SUCCESS;
}

static CUresult
stream_destroy(CUstream stream)
{
	(void)stream;
	note(&device.streams_destroyed);
	return CUDA_SUCCESS;
}

static CUresult
stream_wait(CUstream stream, CUevent event, unsigned int flags)
{
	(void)event;
	(void)flags;
	device.last_wait_stream = stream;
	issue(&device.waits);
	return CUDA_SUCCESS;
}

static CUstream capturing; /* the stream that captures */

static CUresult
stream_is_capturing(CUstream stream, CUstreamCaptureStatus *ret)
{
	*ret = stream == capturing ? CU_STREAM_CAPTURE_STATUS_ACTIVE
				   : CU_STREAM_CAPTURE_STATUS_NONE;
	return CUDA_SUCCESS;
}

static CUresult
capture_begin(CUstream stream, CUgraph graph, const CUgraphNode *nodes,
	      const CUgraphEdgeData *edges, size_t count, CUstreamCaptureMode mode)
{
	(void)graph;
	(void)nodes;
	(void)edges;
	(void)count;
	if (mode != CU_STREAM_CAPTURE_MODE_RELAXED)
		return CUDA_ERROR_INVALID_VALUE;
	capturing = stream;
	return CUDA_SUCCESS;
}

/* Whatever is captured is one node. */
static CUresult
capture_info(CUstream stream, CUstreamCaptureStatus *ret, cuuint64_t *id, CUgraph *graph,
	     const CUgraphNode **nodes, size_t *count)
{
	static CUgraphNode node;

	(void)id;
	(void)graph;
	if (!node)
		node = handle_new();
	*nodes = &node;
	*count = 1;
	return stream_is_capturing(stream, ret);
}

static CUresult
capture_end(CUstream stream, CUgraph *ret)
{
	(void)stream;
	capturing = NULL;
	*ret = handle_new();
	return CUDA_SUCCESS;
}

static CUresult
event_create(CUevent *ret, unsigned int flags)
{
	if (flags > 7)
		return CUDA_ERROR_INVALID_VALUE;
	if (device.fail_query)
		return device.fail_query; /* a context with a fault makes no events */
	if (device.events_made == FAKE_EVENTS)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ret = (CUevent)&events[device.events_made];
	note(&device.events_made);
	return CUDA_SUCCESS;
}

static CUresult
event_destroy(CUevent event)
{
	(void)event;
	return CUDA_SUCCESS;
}

static CUresult
event_record_flags(CUevent event, CUstream stream, unsigned int flags)
{
	struct fake_event *fake_event = (struct fake_event *)event;

	(void)flags;
	device.last_record_stream = stream;
	issue(&device.records);
	pthread_mutex_lock(&device_lock);
	fake_event->at = clock_now;
	pthread_mutex_unlock(&device_lock);
	return CUDA_SUCCESS;
}

static CUresult
event_record(CUevent event, CUstream stream)
{
	return event_record_flags(event, stream, 0);
}

static CUresult
event_query(CUevent event)
{
	const struct fake_event *fake_event = (struct fake_event *)event;
	CUresult status;

	pthread_mutex_lock(&device_lock);
	status = clock_done >= fake_event->at ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
	if (device.fail_query)
		status = device.fail_query;
	pthread_mutex_unlock(&device_lock);
	return status;
}

static CUresult
module_load(CUmodule *ret, const void *image)
{
	(void)image;
	if (device.fail_module)
		return device.fail_module;
	note(&device.module_loads);
	*ret = handle_new();
	return CUDA_SUCCESS;
}

static CUresult
module_unload(CUmodule module)
{
	(void)module;
	note(&device.module_unloads);
	return CUDA_SUCCESS;
}

static CUresult
module_function(CUfunction *ret, CUmodule module, const char *name)
{
	(void)module;
	if (!strcmp(name, "absent"))
		return CUDA_ERROR_NOT_FOUND;
	*ret = handle_new();
	return CUDA_SUCCESS;
}

static CUresult
module_global(CUdeviceptr *ret, size_t *ret_size, CUmodule module, const char *name)
{
	(void)module;
	(void)name;
	*ret = 0x7000;
	*ret_size = 16;
	return CUDA_SUCCESS;
}

static CUresult
func_attribute(int *ret, CUfunction_attribute attribute, CUfunction function)
{
	(void)function;
	*ret = 100 + (int)attribute;
	return attribute == 3 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

static CUresult
func_param(CUfunction function, size_t index, size_t *ret_offset, size_t *ret_size)
{
	(void)function;
	if (index >= 3)
		return CUDA_ERROR_INVALID_VALUE;
	*ret_offset = 8 * index;
	*ret_size = 8;
	return CUDA_SUCCESS;
}

static void
launch_note(void **extra)
{
	device.launch_params_size = 0;
	if (extra) {
		device.launch_params_size = *(size_t *)extra[3];
		memcpy(device.launch_params, extra[1], device.launch_params_size);
	}
	issue(&device.launches);
}

static CUresult
launch(CUfunction function, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx,
       unsigned int by, unsigned int bz, unsigned int shared, CUstream stream, void **params,
       void **extra)
{
	(void)function;
	(void)gx, (void)gy, (void)gz, (void)bx, (void)by, (void)bz, (void)shared;
	(void)stream;
	(void)params;
	launch_note(extra);
	device.launch_attrs = 0;
	return CUDA_SUCCESS;
}

static CUresult
launch_ex(const CUlaunchConfig *config, CUfunction function, void **params, void **extra)
{
	(void)function;
	(void)params;
	launch_note(extra);
	device.launch_attrs = config->numAttrs;
	return CUDA_SUCCESS;
}

static CUresult
copy_up(CUdeviceptr dst, const void *src, size_t size, CUstream stream)
{
	(void)dst;
	(void)stream;
	if (size)
		memcpy(device.launch_params, src, size < 64 ? size : 64);
	issue(&device.copies);
	return CUDA_SUCCESS;
}

static CUresult
copy_down(void *dst, CUdeviceptr src, size_t size, CUstream stream)
{
	(void)stream;
	memset(dst, (int)(src & 0xff), size);
	issue(&device.copies);
	return CUDA_SUCCESS;
}

static CUresult
memset8(CUdeviceptr dst, unsigned char value, size_t size, CUstream stream)
{
	static unsigned int sets;

	(void)dst, (void)value, (void)size, (void)stream;
	issue(&sets);
	return CUDA_SUCCESS;
}

struct host_call {
	CUhostFn fn;
	void *data;
};

static void *
host_main(void *data)
{
	struct host_call *call = data;

	call->fn(call->data);
	free(call);
	return NULL;
}

static CUresult
host_func(CUstream stream, CUhostFn fn, void *data)
{
	struct host_call *call = malloc(sizeof(*call));
	pthread_t thread;

	(void)stream;
	*call = (struct host_call){fn, data};
	pthread_create(&thread, NULL, host_main, call);
	pthread_detach(thread);
	return CUDA_SUCCESS;
}

static void
backend_make(enum genie_device_kind kind)
{
	struct genie_driver *drv = &fake.backend.drv;
	void **slots = (void **)drv;

	fake.backend = (struct genie_backend){.kind = kind, .name = "fake"};
	for (size_t i = 0; i < sizeof(*drv) / sizeof(*slots); i++)
		slots[i] = (void *)device_yes;
	slots = (void **)&fake.backend.nvml;
	for (size_t i = 0; i < sizeof(fake.backend.nvml) / sizeof(*slots); i++)
		slots[i] = (void *)device_yes;
	drv->cuDeviceGet = device_get;
	drv->cuDevicePrimaryCtxRetain = primary_retain;
	drv->cuCtxCreate_v2 = ctx_create;
	drv->cuCtxSetCurrent = ctx_set;
	drv->cuCtxGetCurrent = ctx_get;
	drv->cuMemCreate = mem_create;
	drv->cuMemRelease = mem_release;
	drv->cuMemMap = mem_map;
	drv->cuMemUnmap = mem_unmap;
	drv->cuMemGetInfo_v2 = mem_info;
	drv->cuMemHostRegister_v2 = host_register;
	drv->cuMemHostUnregister = host_unregister;
	drv->cuStreamCreateWithPriority = stream_create;
	drv->cuStreamDestroy_v2 = stream_destroy;
	drv->cuStreamWaitEvent = stream_wait;
	drv->cuStreamIsCapturing = stream_is_capturing;
	drv->cuStreamBeginCaptureToGraph = capture_begin;
	drv->cuStreamGetCaptureInfo_v2 = capture_info;
	drv->cuStreamEndCapture = capture_end;
	drv->cuEventCreate = event_create;
	drv->cuEventDestroy_v2 = event_destroy;
	drv->cuEventRecord = event_record;
	drv->cuEventRecordWithFlags = event_record_flags;
	drv->cuEventQuery = event_query;
	drv->cuModuleLoadData = module_load;
	drv->cuModuleUnload = module_unload;
	drv->cuModuleGetFunction = module_function;
	drv->cuModuleGetGlobal_v2 = module_global;
	drv->cuFuncGetAttribute = func_attribute;
	drv->cuFuncGetParamInfo = func_param;
	drv->cuLaunchKernel = launch;
	drv->cuLaunchKernelEx = launch_ex;
	drv->cuMemcpyHtoDAsync_v2 = copy_up;
	drv->cuMemcpyDtoHAsync_v2 = copy_down;
	drv->cuMemsetD8Async = memset8;
	drv->cuLaunchHostFunc = host_func;
}

/* ---- calls ---- */

void
fake_start(enum genie_device_kind kind, const char *cache_dir)
{
	struct genie_session_opts opts = {.backend = &fake.backend,
					  .devices = fake.devices,
					  .device_count = 2,
					  .device_window = FAKE_WINDOW,
					  .device_window_size = FAKE_WINDOW_SIZE,
					  .cache_dir = cache_dir};

	memset(&device, 0, sizeof(device));
	memset(&fake, 0, sizeof(fake));
	memset(progress, 0, sizeof(progress));
	held = false;
	capturing = NULL;
	pthread_mutex_init(&fake.lock, NULL);
	backend_make(kind);
	fake.devices[0].credit = fake.devices[1].credit = (uint64_t)1 << 30;
	fake.pinned = mmap(NULL, FAKE_PINNED_SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fake.staging = mmap(NULL, (size_t)FAKE_SLOTS * FAKE_SLOT, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fake.ledger = genie_ledger_create();
	opts.ledger = fake.ledger;
	opts.ledger_entry = genie_ledger_join(fake.ledger, 1);
	for (int i = 0; i < 2; i++)
		opts.ledger_entry->credit[i] = fake.devices[i].credit;
	if (genie_session_init(&fake.session, &opts))
		abort();
}

void
fake_stop(void)
{
	fake_go();
	genie_session_fini(&fake.session);
	genie_ledger_destroy(fake.ledger);
	munmap(fake.pinned, FAKE_PINNED_SIZE);
	munmap(fake.staging, (size_t)FAKE_SLOTS * FAKE_SLOT);
}

int
fake_raw(uint16_t op, uint16_t flags, uint32_t ctx, const void *payload, size_t len)
{
	struct genie_cmd *cmd = malloc(sizeof(*cmd) + len);
	int error;

	*cmd = (struct genie_cmd){.len = (uint32_t)(sizeof(*cmd) + len),
				  .op = op,
				  .flags = flags,
				  .ctx = ctx,
				  .ticket = ++fake.ticket};
	if (len)
		memcpy(cmd + 1, payload, len);
	pthread_mutex_lock(&fake.lock);
	fake.reply.sent = false;
	pthread_mutex_unlock(&fake.lock);
	error = genie_session_execute(&fake.session, cmd);
	free(cmd);
	return error;
}

int
fake_call_flags(enum genie_op op, void *args, uint32_t ctx, uint16_t flags)
{
	size_t len = genie_encoded_size(op, args);
	struct genie_writer writer;
	uint8_t *payload = malloc(len + 1);
	int error;

	if (len == SIZE_MAX)
		abort();
	genie_writer_init(&writer, payload, len);
	genie_encode_args(&writer, op, args);
	error = fake_raw((uint16_t)op, flags, ctx, payload, len);
	free(payload);
	return error;
}

int
fake_call(enum genie_op op, void *args, uint32_t ctx)
{
	bool sync = genie_op_desc(op)->sync;
	struct genie_reader reader;
	int error;

	error = fake_call_flags(op, args, ctx, sync ? GENIE_CMD_REPLY : 0);
	if (error || !sync || !fake_replied())
		return error;
	genie_reader_init(&reader, fake.reply.payload, fake.reply.len);
	genie_decode_reply(&reader, op, args, fake.reply.status);
	return reader.fatal ? -EBADMSG : 0;
}

uint64_t
fake_progress(uint32_t slot)
{
	uint64_t ticket;

	pthread_mutex_lock(&fake.lock);
	ticket = progress[slot];
	pthread_mutex_unlock(&fake.lock);
	return ticket;
}

/* Looks for up to two seconds; never waits for something that must not come. */
static bool
soon(bool (*is)(uint32_t slot), uint32_t slot)
{
	const struct timespec moment = {.tv_nsec = 100000};

	for (int i = 0; i < 20000; i++) {
		if (is(slot))
			return true;
		nanosleep(&moment, NULL);
	}
	return false;
}

static bool
slot_reached(uint32_t slot)
{
	return fake_progress(slot) >= fake.ticket;
}

static bool
reply_sent(uint32_t slot)
{
	bool sent;

	(void)slot;
	pthread_mutex_lock(&fake.lock);
	sent = fake.reply.sent;
	pthread_mutex_unlock(&fake.lock);
	return sent;
}

bool
fake_reached(uint32_t slot)
{
	return soon(slot_reached, slot);
}

bool
fake_replied(void)
{
	return soon(reply_sent, 0);
}

/* ---- objects ---- */

void
fake_ctx(void)
{
	struct genie_args_genieCtxCreate args = {.ctx = TOKEN(CUcontext, GENIE_KIND_CTX, 0, 1),
						 .flags = 0x80000000u};

	if (fake_call(GENIE_OP_genieCtxCreate, &args, 1))
		abort();
}

CUstream
fake_stream(uint32_t index)
{
	CUstream stream = TOKEN(CUstream, GENIE_KIND_STREAM, 0, index);
	struct genie_args_cuStreamCreateWithPriority args = {.phStream = &stream};

	if (fake_call(GENIE_OP_cuStreamCreateWithPriority, &args, 1))
		abort();
	return stream;
}

CUevent
fake_event(uint32_t index)
{
	CUevent event = TOKEN(CUevent, GENIE_KIND_EVENT, 0, index);
	struct genie_args_cuEventCreate args = {.phEvent = &event};

	if (fake_call(GENIE_OP_cuEventCreate, &args, 1))
		abort();
	return event;
}

CUfunction
fake_function(void)
{
	static const char image[] = "// some PTX\n";
	uint8_t hash[GENIE_STORE_HASH];
	struct genie_args_genieImageData data = {
		.hash = hash, .total = sizeof(image), .data = image, .size = sizeof(image)};
	struct genie_args_genieModuleLoad load = {
		.module = TOKEN(CUmodule, GENIE_KIND_MODULE, 0, 77), .hash = hash};
	struct genie_args_genieFunctionGet get = {
		.function = TOKEN(CUfunction, GENIE_KIND_FUNCTION, 0, 77),
		.module = load.module,
		.name = "kernel"};

	genie_store_hash(image, sizeof(image), hash);
	if (fake_call(GENIE_OP_genieImageData, &data, 1) ||
	    fake_call(GENIE_OP_genieModuleLoad, &load, 1) ||
	    fake_call(GENIE_OP_genieFunctionGet, &get, 1))
		abort();
	return get.function;
}
