/*
 * Contiguous copies. How the bytes travel depends on the host side:
 *
 *   small           in the command itself (GENIE_INLINE_MAX), or in the answer
 *   pinned, shared  not at all: the device reads and writes the program's own memory
 *   anything else   through the channel's staging slots, many in flight
 *
 * When a call may return is as CUDA documents: a copy from pageable memory when the source may
 * change, a copy to it when the data has arrived, a copy of pinned memory at once (asynchronous
 * form) or when it is done (synchronous form).
 */
#include "interpose/copy.h"
#include "interpose/capture.h"
#include "interpose/hostfunc.h"
#include "interpose/memory.h"
#include "interpose/mirror.h"
#include "interpose/share.h"
#include "interpose/upload.h"
#include "interpose/watch.h"

#include <errno.h>
#include <string.h>

/* Staging slots one download uses at a time: enough to keep device, wire and memcpy busy. */
#define DOWNLOADS_INFLIGHT 8

/*
 * Slots for downloads are spoken for before any is taken. Without that, several threads that each
 * hold some slots and wait for one more would wait for each other.
 */
static struct {
	pthread_mutex_t lock; /* guards free */
	pthread_cond_t more;
	unsigned int free;
} download_slots = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, GENIE_BULK_DOWN};

/* Over a network: the last copy into pinned memory that nobody waited for yet. */
static _Atomic uint64_t detached_ticket;
static _Atomic uint32_t detached_slot;

CUresult
genie_copy_side(uint64_t addr, size_t size, enum genie_side *ret_side)
{
	struct genie_mem mem;

	*ret_side = GENIE_SIDE_HOST;
	/* Nothing of the program's can lie in the window of the devices: freed memory of theirs. */
	if (!genie_mem_find(addr, &mem))
		return genie_mem_in_window(addr) ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
	switch (mem.type) {
	case GENIE_MEM_NONE:
		return CUDA_SUCCESS;
	case GENIE_MEM_REGISTERED:
		/* All of it, by the address that the device has, too; else it is like any other. */
		if (mem.shared && mem.twin == mem.base && size <= mem.size - (addr - mem.base))
			*ret_side = GENIE_SIDE_PINNED;
		return CUDA_SUCCESS;
	case GENIE_MEM_PINNED:
	case GENIE_MEM_MANAGED:
		*ret_side = mem.mirrored ? GENIE_SIDE_DEVICE : GENIE_SIDE_PINNED;
		break;
	case GENIE_MEM_DEVICE:
	case GENIE_MEM_GLOBAL:
	case GENIE_MEM_MAPPED:
	case GENIE_MEM_SHARED:
		*ret_side = GENIE_SIDE_DEVICE;
		break;
	}
	return genie_mem_check_range(&mem, addr, size);
}

bool
genie_copy_direct(enum genie_side side)
{
	return side == GENIE_SIDE_DEVICE || (side == GENIE_SIDE_PINNED && genie_pinned_shared());
}

/* Sends one of the copy commands and notes it on the stream. */
static CUresult
submit(enum genie_op op, void *args, struct genie_stream *stream, uint64_t *ret_ticket)
{
	uint64_t ticket = 0;
	CUresult status = genie_call_ticket(op, args, &ticket);

	if (ticket != 0)
		genie_stream_submitted(stream, ticket);
	if (ret_ticket != NULL)
		*ret_ticket = ticket;
	return status;
}

/* ---- to the device ---- */

static CUresult
upload_chunk(CUdeviceptr dst, const void *src, size_t size, struct genie_stream *stream)
{
	struct genie_chan *chan = genie_client_chan();
	struct genie_args_genieMemcpyHtoDBulk args = {
		.dst = dst, .size = size, .stream = genie_stream_wire(stream)};
	uint64_t ref, ticket;
	CUresult status;
	int error;

	error = genie_chan_bulk_send(chan, src, size, &ref);
	if (error != 0)
		return genie_chan_failed(error);
	args.ref = ref;
	status = submit(GENIE_OP_genieMemcpyHtoDBulk, &args, stream, &ticket);
	if (ticket != 0)
		genie_chan_bulk_sent(chan, ref, ticket);
	return status;
}

static CUresult
upload(CUdeviceptr dst, const void *src, size_t size, struct genie_stream *stream)
{
	CUresult status = CUDA_SUCCESS;
	uint64_t have = 0; /* of this group of chunks: those the server has */

	if (size <= GENIE_INLINE_MAX && genie_perf(GENIE_PERF_INLINE)) {
		struct genie_args_genieMemcpyHtoDInline args = {
			.dst = dst, .data = src, .size = size, .stream = genie_stream_wire(stream)};

		return submit(GENIE_OP_genieMemcpyHtoDInline, &args, stream, NULL);
	}
	for (size_t done = 0, chunks = 0; done < size && status == CUDA_SUCCESS; chunks++) {
		size_t chunk = size - done < GENIE_BULK_CHUNK ? size - done : GENIE_BULK_CHUNK;
		size_t group = chunks % GENIE_UPLOAD_NAMED_MAX;

		if (group == 0) {
			size_t most = GENIE_UPLOAD_NAMED_MAX * (size_t)GENIE_BULK_CHUNK;

			have = 0;
			if (genie_upload_may_be_known(size - done))
				status = genie_upload_named(dst + done, (const char *)src + done,
							    size - done < most ? size - done : most,
							    stream, &have);
		}
		if (status == CUDA_SUCCESS && !(have >> group & 1))
			status = upload_chunk(dst + done, (const char *)src + done, chunk, stream);
		done += chunk;
	}
	return status;
}

static CUresult
upload_pinned(CUdeviceptr dst, const void *src, size_t size, struct genie_stream *stream, bool sync)
{
	struct genie_args_genieMemcpyHtoDPinned args = {.dst = dst,
							.src = (uint64_t)(uintptr_t)src,
							.size = size,
							.stream = genie_stream_wire(stream)};
	CUresult status = submit(GENIE_OP_genieMemcpyHtoDPinned, &args, stream, NULL);

	return status == CUDA_SUCCESS && sync ? genie_stream_synchronize(stream) : status;
}

CUresult
genie_copy_settle(void)
{
	uint64_t ticket = atomic_load_explicit(&detached_ticket, memory_order_relaxed);
	struct genie_ctx *ctx = genie_ctx_current();

	if (ctx != NULL && genie_hostfunc_pending())
		return genie_ctx_synchronize(ctx);
	if (ticket == 0 || ctx == NULL ||
	    genie_chan_progress(genie_client_chan(),
				atomic_load_explicit(&detached_slot, memory_order_relaxed)) >=
		    ticket)
		return CUDA_SUCCESS;
	return genie_ctx_synchronize(ctx);
}

static CUresult
to_device(CUdeviceptr dst, const void *src, size_t size, enum genie_side side,
	  struct genie_stream *stream, bool sync)
{
	CUresult status = CUDA_SUCCESS;

	if (side == GENIE_SIDE_PINNED && genie_pinned_shared() && genie_perf(GENIE_PERF_PINNED))
		return upload_pinned(dst, src, size, stream, sync);
	if (side == GENIE_SIDE_HOST) {
		/* The synchronous call sees what comes before it in its stream, functions too. */
		if (sync && genie_hostfunc_pending())
			status = genie_stream_synchronize(stream);
		if (status == CUDA_SUCCESS)
			status = upload(dst, src, size, stream);
		/* Another process may be told now that the data is there. */
		if (status == CUDA_SUCCESS && sync && genie_share_in_use())
			status = genie_stream_synchronize(stream);
		return status;
	}
	if (genie_pinned_shared()) { /* switched off: what the device still writes there counts */
		status = genie_stream_synchronize(stream);
		return status == CUDA_SUCCESS ? upload(dst, src, size, stream) : status;
	}
	status = genie_copy_settle();
	return status == CUDA_SUCCESS ? upload(dst, src, size, stream) : status;
}

CUresult
genie_copy_upload(CUdeviceptr dst, const void *src, size_t size, struct genie_stream *stream)
{
	return upload(dst, src, size, stream);
}

CUresult
genie_copy_to_device(CUdeviceptr dst, const void *src, size_t size, struct genie_stream *stream,
		     bool sync)
{
	enum genie_side side;
	CUresult status;

	if (size == 0)
		return CUDA_SUCCESS;
	status = genie_copy_side((uint64_t)(uintptr_t)src, size, &side);
	if (status != CUDA_SUCCESS)
		return status;
	return to_device(dst, src, size, side, stream, sync);
}

/* ---- to the host ---- */

static CUresult
download_inline(void *dst, CUdeviceptr src, size_t size, struct genie_stream *stream)
{
	struct genie_args_genieMemcpyDtoHReply args = {
		.data = dst, .src = src, .size = size, .stream = genie_stream_wire(stream)};

	uint64_t ticket = 0;
	CUresult status = submit(GENIE_OP_genieMemcpyDtoHReply, &args, stream, &ticket);

	if (status == CUDA_SUCCESS)
		genie_stream_known_done(stream, ticket);
	return status;
}

static void
slots_take(unsigned int count)
{
	pthread_mutex_lock(&download_slots.lock);
	while (download_slots.free < count)
		pthread_cond_wait(&download_slots.more, &download_slots.lock);
	download_slots.free -= count;
	pthread_mutex_unlock(&download_slots.lock);
}

static void
slots_give(unsigned int count)
{
	pthread_mutex_lock(&download_slots.lock);
	download_slots.free += count;
	pthread_cond_broadcast(&download_slots.more);
	pthread_mutex_unlock(&download_slots.lock);
}

/* Asks for one chunk. *@ret_ticket is 0 when nothing was sent. */
static CUresult
download_chunk(void *dst, CUdeviceptr src, size_t size, struct genie_stream *stream,
	       uint64_t *ret_ref, uint64_t *ret_ticket)
{
	struct genie_chan *chan = genie_client_chan();
	struct genie_args_genieMemcpyDtoHBulk args = {.src = src, .size = size};
	struct genie_args_genieMirrorBack mirror = {.addr = src, .size = size};
	CUresult status;
	int error;

	*ret_ticket = 0;
	error = genie_chan_bulk_expect(chan, dst, size, ret_ref);
	if (error != 0)
		return genie_chan_failed(error);
	args.ref = mirror.ref = *ret_ref;
	if (stream == NULL) {
		status = genie_call_ctx(GENIE_OP_genieMirrorBack, &mirror, NULL, ret_ticket);
	} else {
		args.stream = genie_stream_wire(stream);
		status = submit(GENIE_OP_genieMemcpyDtoHBulk, &args, stream, ret_ticket);
	}
	if (*ret_ticket == 0)
		genie_chan_bulk_cancel(chan, *ret_ref);
	return status;
}

/* Pageable memory: several chunks in flight, returns when all data is there. @stream NULL: what
 * the worker mirrors. */
static CUresult
download(void *dst, CUdeviceptr src, size_t size, struct genie_stream *stream)
{
	struct genie_chan *chan = genie_client_chan();
	struct {
		uint64_t ref, ticket;
	} inflight[DOWNLOADS_INFLIGHT];
	size_t chunks = (size + GENIE_BULK_CHUNK - 1) / GENIE_BULK_CHUNK;
	unsigned int slots =
		chunks < DOWNLOADS_INFLIGHT ? (unsigned int)chunks : DOWNLOADS_INFLIGHT;
	size_t asked = 0, received = 0;
	CUresult status = CUDA_SUCCESS;

	slots_take(slots);
	while (received < asked || (asked < chunks && status == CUDA_SUCCESS)) {
		if (asked < chunks && asked - received < slots && status == CUDA_SUCCESS) {
			size_t done = asked * GENIE_BULK_CHUNK;
			size_t chunk =
				size - done < GENIE_BULK_CHUNK ? size - done : GENIE_BULK_CHUNK;

			status = download_chunk((char *)dst + done, src + done, chunk, stream,
						&inflight[asked % slots].ref,
						&inflight[asked % slots].ticket);
			if (inflight[asked % slots].ticket != 0)
				asked++;
		} else {
			int error = genie_chan_bulk_wait(chan, inflight[received % slots].ref,
							 inflight[received % slots].ticket);

			if (error != 0 && status == CUDA_SUCCESS)
				status = genie_chan_failed(error);
			else if (error == 0 && stream != NULL)
				genie_stream_known_done(stream, inflight[received % slots].ticket);
			received++;
		}
	}
	slots_give(slots);
	genie_count_round_trip(genie_thread_self());
	if (stream == NULL) /* a part of a wait, which reports what there is */
		return status;
	return status == CUDA_SUCCESS ? genie_pending_error() : status;
}

/* Pinned memory over a network: the data arrives by itself, before the progress that tells so. */
static CUresult
download_detached(void *dst, CUdeviceptr src, size_t size, struct genie_stream *stream)
{
	struct genie_chan *chan = genie_client_chan();
	CUresult status = CUDA_SUCCESS;
	uint64_t ref, ticket = 0;

	for (size_t done = 0; done < size && status == CUDA_SUCCESS;) {
		size_t chunk = size - done < GENIE_BULK_CHUNK ? size - done : GENIE_BULK_CHUNK;

		status = download_chunk((char *)dst + done, src + done, chunk, stream, &ref,
					&ticket);
		if (ticket == 0)
			break;
		genie_chan_bulk_detach(chan, ref);
		done += chunk;
	}
	if (ticket != 0) {
		atomic_store_explicit(&detached_slot,
				      GENIE_SLOT_STREAM + genie_token_index(stream->object.token),
				      memory_order_relaxed);
		atomic_store_explicit(&detached_ticket, ticket, memory_order_relaxed);
		atomic_store_explicit(&stream->copied_slot, GENIE_SLOT_BULK_DOWN + (uint32_t)ref,
				      memory_order_relaxed);
		atomic_store_explicit(&stream->copied_ticket, ticket, memory_order_relaxed);
	}
	return status;
}

CUresult
genie_copy_download(void *dst, CUdeviceptr src, size_t size, struct genie_stream *stream)
{
	if (size <= GENIE_INLINE_MAX && genie_perf(GENIE_PERF_INLINE))
		return download_inline(dst, src, size, stream);
	return download(dst, src, size, stream);
}

CUresult
genie_copy_mirror_down(void *dst, uint64_t addr, size_t size)
{
	return download(dst, addr, size, NULL);
}

CUresult
genie_copy_mirror_up(uint64_t addr, const void *src, size_t size)
{
	struct genie_chan *chan = genie_client_chan();
	CUresult status = CUDA_SUCCESS;

	if (size <= GENIE_INLINE_MAX) {
		struct genie_args_genieMirror args = {.addr = addr, .size = size, .data = src};

		return genie_call_ctx(GENIE_OP_genieMirror, &args, NULL, NULL);
	}
	for (size_t done = 0; done < size && status == CUDA_SUCCESS;) {
		size_t chunk = size - done < GENIE_BULK_CHUNK ? size - done : GENIE_BULK_CHUNK;
		struct genie_args_genieMirrorBulk args = {.addr = addr + done, .size = chunk};
		uint64_t ref = 0, ticket = 0;
		int error = genie_chan_bulk_send(chan, (const char *)src + done, chunk, &ref);

		if (error != 0)
			return genie_chan_failed(error);
		args.ref = ref;
		status = genie_call_ctx(GENIE_OP_genieMirrorBulk, &args, NULL, &ticket);
		if (ticket != 0)
			genie_chan_bulk_sent(chan, ref, ticket);
		done += chunk;
	}
	return status;
}

static CUresult
to_host(void *dst, CUdeviceptr src, size_t size, enum genie_side side, struct genie_stream *stream,
	bool sync)
{
	CUresult status;

	if (side == GENIE_SIDE_PINNED && genie_pinned_shared() && genie_perf(GENIE_PERF_PINNED)) {
		struct genie_args_genieMemcpyDtoHPinned args = {.dst = (uint64_t)(uintptr_t)dst,
								.src = src,
								.size = size,
								.stream =
									genie_stream_wire(stream)};

		status = submit(GENIE_OP_genieMemcpyDtoHPinned, &args, stream, NULL);
		return status == CUDA_SUCCESS && sync ? genie_stream_synchronize(stream) : status;
	}
	if (side == GENIE_SIDE_PINNED && !genie_pinned_shared() && !sync)
		return download_detached(dst, src, size, stream);
	return genie_copy_download(dst, src, size, stream);
}

CUresult
genie_copy_to_host(void *dst, CUdeviceptr src, size_t size, struct genie_stream *stream, bool sync)
{
	enum genie_side side;
	CUresult status;

	if (size == 0)
		return CUDA_SUCCESS;
	status = genie_copy_side((uint64_t)(uintptr_t)dst, size, &side);
	if (status != CUDA_SUCCESS)
		return status;
	return to_host(dst, src, size, side, stream, sync);
}

/* ---- any to any ---- */

CUresult
genie_copy_on_device(uint64_t dst, uint64_t src, size_t size, struct genie_stream *stream)
{
	struct genie_args_cuMemcpyDtoDAsync_v2 args = {.dstDevice = dst,
						       .srcDevice = src,
						       .ByteCount = size,
						       .hStream = genie_stream_wire(stream)};

	return submit(GENIE_OP_cuMemcpyDtoDAsync_v2, &args, stream, NULL);
}

/* Both sides are memory of this process: in order of the stream, then by hand. */
static CUresult
copy_on_host(void *dst, const void *src, size_t size, struct genie_stream *stream)
{
	CUresult status = genie_stream_synchronize(stream);

	if (status == CUDA_SUCCESS)
		status = genie_copy_settle();
	if (status == CUDA_SUCCESS)
		memmove(dst, src, size);
	return status;
}

CUresult
genie_copy(uint64_t dst, uint64_t src, size_t size, struct genie_stream *stream, bool sync)
{
	enum genie_side dst_side, src_side;
	CUresult status;

	if (size == 0)
		return CUDA_SUCCESS;
	status = genie_copy_side(dst, size, &dst_side);
	if (status == CUDA_SUCCESS)
		status = genie_copy_side(src, size, &src_side);
	if (status != CUDA_SUCCESS)
		return status;
	if (dst_side == GENIE_SIDE_DEVICE && src_side == GENIE_SIDE_DEVICE)
		return genie_copy_on_device(dst, src, size, stream);
	if (dst_side == GENIE_SIDE_DEVICE)
		return to_device(dst, (const void *)(uintptr_t)src, size, src_side, stream, sync);
	if (src_side == GENIE_SIDE_DEVICE)
		return to_host((void *)(uintptr_t)dst, src, size, dst_side, stream, sync);
	if (genie_copy_direct(dst_side) && genie_copy_direct(src_side) && !sync)
		return genie_copy_on_device(dst, src, size, stream);
	return copy_on_host((void *)(uintptr_t)dst, (const void *)(uintptr_t)src, size, stream);
}

/* ---- the entry points ---- */

/* What a program says about a side by the name of the call it makes. */
static CUresult
check_device(CUdeviceptr addr, size_t size)
{
	enum genie_side side;
	CUresult status;

	if (size == 0)
		return CUDA_SUCCESS;
	status = genie_copy_side(addr, size, &side);
	if (status == CUDA_SUCCESS && side == GENIE_SIDE_HOST)
		return CUDA_ERROR_INVALID_VALUE;
	return status;
}

/* One side of a copy that becomes a node: the address counts, the kind is for who looks at it. */
static CUresult
node_side(uint64_t addr, size_t size, CUmemorytype *type, const void **host, CUdeviceptr *device)
{
	enum genie_side side;
	CUresult status = genie_copy_side(addr, size, &side);

	*type = side == GENIE_SIDE_DEVICE ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
	if (side == GENIE_SIDE_DEVICE)
		*device = addr;
	else
		*host = (const void *)(uintptr_t)addr;
	return status;
}

static CUresult __attribute__((noinline, cold))
copy_captured(CUdeviceptr dst, CUdeviceptr src, size_t size, struct genie_stream *stream)
{
	CUDA_MEMCPY3D copy = {.WidthInBytes = size, .Height = 1, .Depth = 1};
	const void *host = NULL;
	CUresult status;

	if (size == 0)
		return CUDA_SUCCESS;
	status = node_side(src, size, &copy.srcMemoryType, &copy.srcHost, &copy.srcDevice);
	if (status == CUDA_SUCCESS)
		status = node_side(dst, size, &copy.dstMemoryType, &host, &copy.dstDevice);
	copy.dstHost = (void *)(uintptr_t)host;
	return status == CUDA_SUCCESS ? genie_capture_copy(stream, &copy) : status;
}

static CUresult
copy_call(CUdeviceptr dst, CUdeviceptr src, size_t size, CUstream handle, bool sync)
{
	struct genie_stream *stream = genie_stream_get(handle);
	bool captured = false;
	CUresult status, pulled;

	if (stream == NULL)
		return genie_stream_missing();
	status = genie_capture_enter(stream, &captured);
	if (status == CUDA_SUCCESS && sync)
		status = genie_capture_forbids();
	if (status == CUDA_SUCCESS && captured)
		return copy_captured(dst, src, size, stream);
	if (status == CUDA_SUCCESS)
		status = genie_mirror_push(stream);
	if (status == CUDA_SUCCESS)
		status = genie_copy(dst, src, size, stream, sync);
	if (!sync)
		return status;
	pulled = genie_mirror_pull();
	return status == CUDA_SUCCESS ? pulled : status;
}

static CUresult
to_device_call(CUdeviceptr dst, const void *src, size_t size, CUstream handle, bool sync)
{
	CUresult status = check_device(dst, size);

	if (status == CUDA_SUCCESS && src == NULL && size != 0)
		status = CUDA_ERROR_INVALID_VALUE;
	if (status != CUDA_SUCCESS)
		return status;
	return copy_call(dst, (CUdeviceptr)(uintptr_t)src, size, handle, sync);
}

static CUresult
to_host_call(void *dst, CUdeviceptr src, size_t size, CUstream handle, bool sync)
{
	CUresult status = check_device(src, size);

	if (status == CUDA_SUCCESS && dst == NULL && size != 0)
		status = CUDA_ERROR_INVALID_VALUE;
	if (status != CUDA_SUCCESS)
		return status;
	return copy_call((CUdeviceptr)(uintptr_t)dst, src, size, handle, sync);
}

static CUresult
on_device_call(CUdeviceptr dst, CUdeviceptr src, size_t size, CUstream handle, bool sync)
{
	CUresult status = check_device(dst, size);

	if (status == CUDA_SUCCESS)
		status = check_device(src, size);
	return status == CUDA_SUCCESS ? copy_call(dst, src, size, handle, sync) : status;
}

CUresult
genie_cuMemcpy(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount)
{
	return copy_call(dst, src, ByteCount, NULL, true);
}

CUresult
genie_cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount, CUstream hStream)
{
	return copy_call(dst, src, ByteCount, hStream, false);
}

CUresult
genie_cuMemcpyHtoD_v2(CUdeviceptr dstDevice, const void *srcHost, size_t ByteCount)
{
	return to_device_call(dstDevice, srcHost, ByteCount, NULL, true);
}

CUresult
genie_cuMemcpyHtoDAsync_v2(CUdeviceptr dstDevice, const void *srcHost, size_t ByteCount,
			   CUstream hStream)
{
	return to_device_call(dstDevice, srcHost, ByteCount, hStream, false);
}

CUresult
genie_cuMemcpyDtoH_v2(void *dstHost, CUdeviceptr srcDevice, size_t ByteCount)
{
	return to_host_call(dstHost, srcDevice, ByteCount, NULL, true);
}

CUresult
genie_cuMemcpyDtoHAsync_v2(void *dstHost, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream)
{
	return to_host_call(dstHost, srcDevice, ByteCount, hStream, false);
}

CUresult
genie_cuMemcpyDtoD_v2(CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount)
{
	return on_device_call(dstDevice, srcDevice, ByteCount, NULL, true);
}

CUresult
genie_cuMemcpyDtoDAsync_v2(CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount,
			   CUstream hStream)
{
	return on_device_call(dstDevice, srcDevice, ByteCount, hStream, false);
}

/* An address says which device it belongs to, so the contexts are only checked. */
CUresult
genie_cuMemcpyPeerAsync(CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice,
			CUcontext srcContext, size_t ByteCount, CUstream hStream)
{
	if (genie_ctx_get(dstContext) == NULL || genie_ctx_get(srcContext) == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	return on_device_call(dstDevice, srcDevice, ByteCount, hStream, false);
}

CUresult
genie_cuMemcpyPeer(CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice,
		   CUcontext srcContext, size_t ByteCount)
{
	return genie_cuMemcpyPeerAsync(dstDevice, dstContext, srcDevice, srcContext, ByteCount,
				       NULL);
}

/* ---- batches: the copies may run in any order; one after the other is such an order ---- */

bool
genie_copy_order_valid(CUmemcpySrcAccessOrder order)
{
	return order == CU_MEMCPY_SRC_ACCESS_ORDER_STREAM ||
	       order == CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL ||
	       order == CU_MEMCPY_SRC_ACCESS_ORDER_ANY;
}

CUresult
genie_copy_batch_settle(bool during_call, CUstream handle)
{
	struct genie_stream *stream = genie_stream_get(handle);

	if (!during_call || stream == NULL || genie_stream_capturing(stream))
		return CUDA_SUCCESS;
	return genie_stream_synchronize(stream);
}

/* Each attribute counts from its index to the next one's. */
static CUresult
batch_check(const CUdeviceptr *dsts, const CUdeviceptr *srcs, const size_t *sizes, size_t count,
	    const CUmemcpyAttributes *attrs, const size_t *indices, size_t attr_count)
{
	if (count == 0 || dsts == NULL || srcs == NULL || sizes == NULL || attr_count == 0 ||
	    attr_count > count || attrs == NULL || indices == NULL || indices[0] != 0)
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < attr_count; i++)
		if (!genie_copy_order_valid(attrs[i].srcAccessOrder) || indices[i] >= count ||
		    (i > 0 && indices[i] <= indices[i - 1]))
			return CUDA_ERROR_INVALID_VALUE;
	return CUDA_SUCCESS;
}

CUresult
genie_cuMemcpyBatchAsync(CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes, size_t count,
			 CUmemcpyAttributes *attrs, size_t *attrsIdxs, size_t numAttrs,
			 size_t *failIdx, CUstream hStream)
{
	CUresult status = batch_check(dsts, srcs, sizes, count, attrs, attrsIdxs, numAttrs);
	bool during_call = false;
	size_t attr = 0;

	if (failIdx != NULL)
		*failIdx = SIZE_MAX;
	if (status != CUDA_SUCCESS)
		return status;
	if (hStream == NULL) /* the legacy stream is refused by this call */
		return CUDA_ERROR_INVALID_HANDLE;
	for (size_t i = 0; i < count; i++) {
		enum genie_side side;

		if (attr + 1 < numAttrs && attrsIdxs[attr + 1] <= i)
			attr++;
		/* Only what the device reads by itself is read later. */
		if (attrs[attr].srcAccessOrder == CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL &&
		    genie_copy_side(srcs[i], sizes[i], &side) == CUDA_SUCCESS &&
		    side != GENIE_SIDE_HOST)
			during_call = true;
		status = copy_call(dsts[i], srcs[i], sizes[i], hStream, false);
		if (status != CUDA_SUCCESS) {
			if (failIdx != NULL)
				*failIdx = i;
			return status;
		}
	}
	return genie_copy_batch_settle(during_call, hStream);
}

CUresult
genie_cuMemcpyBatchAsync_v2(CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes, size_t count,
			    CUmemcpyAttributes *attrs, size_t *attrsIdxs, size_t numAttrs,
			    CUstream hStream)
{
	return genie_cuMemcpyBatchAsync(dsts, srcs, sizes, count, attrs, attrsIdxs, numAttrs, NULL,
					hStream);
}
