/*
 * Device memory. The client chooses the addresses: the first half of the window that the worker
 * granted is divided among the devices, each part managed by a heap (heap.c); the second half is
 * for what the program maps itself (vmm.c). Allocating and freeing are local; new pages
 * cost a one-way command, and only an allocation beyond the byte credit waits for the worker.
 */
#include "interpose/memory.h"
#include "interpose/graph.h"
#include "interpose/registered.h"
#include "interpose/share.h"
#include "interpose/vmm.h"

#include <errno.h>

/* A program that frees and allocates the same sizes again must find them mapped; a program that
 * shares the device with others must not keep much that it does not use. */
#define CACHE_SHARE 16

static struct {
	pthread_mutex_t lock; /* guards the making of the heaps */
	_Atomic bool ready;
	struct genie_heap heaps[GENIE_DEVICES_MAX];
	uint64_t window, slice; /* each device has slice bytes of the window */
	_Atomic uint64_t fence; /* ticket of the last genieMemFence */
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct genie_ranges globals = GENIE_RANGES_INIT;

CUresult
genie_mem_status(int error)
{
	switch (error) {
	case 0:
		return CUDA_SUCCESS;
	case -ENOMEM:
		return CUDA_ERROR_OUT_OF_MEMORY;
	case -EINVAL:
		return CUDA_ERROR_INVALID_VALUE;
	default:
		return genie_chan_failed(error);
	}
}

uint64_t
genie_mem_next_id(void)
{
	static _Atomic uint64_t next = UINT64_C(1) << 56; /* beyond what heaps give */

	return atomic_fetch_add_explicit(&next, 1, memory_order_relaxed);
}

/* ---- what the heaps need ---- */

static int
heap_device(const struct genie_heap *heap)
{
	return (int)(heap - memory.heaps);
}

static int
status_errno(CUresult status)
{
	if (status == CUDA_SUCCESS)
		return 0;
	return status == CUDA_ERROR_OUT_OF_MEMORY ? -ENOMEM : -ECONNRESET;
}

static int
device_map(void *data, uint64_t addr, uint64_t size)
{
	struct genie_args_genieMemMap args = {
		.addr = addr, .size = size, .device = genie_device_wire(heap_device(data))};

	return status_errno(genie_call_ctx(GENIE_OP_genieMemMap, &args, NULL, NULL));
}

static void
device_unmap(void *data, uint64_t addr, uint64_t size)
{
	struct genie_args_genieMemUnmap args = {.addr = addr, .size = size};

	(void)data;
	/* The worker waits until nothing that came before uses it. A lost connection was noticed.
	 */
	(void)genie_call_ctx(GENIE_OP_genieMemUnmap, &args, NULL, NULL);
}

static uint64_t
last_ticket(void *data)
{
	struct genie_chan *chan = genie_client_chan();

	(void)data;
	return chan != NULL ? genie_chan_last_ticket(chan) : 0;
}

static bool
device_ordered(void *data, uint64_t ticket)
{
	(void)data;
	return ticket <= atomic_load_explicit(&memory.fence, memory_order_acquire);
}

static int
device_order(void *data, uint64_t ticket)
{
	struct genie_args_genieMemFence args = {0};
	uint64_t fence = 0, before;
	CUresult status;

	if (device_ordered(data, ticket))
		return 0;
	status = genie_call_ctx(GENIE_OP_genieMemFence, &args, NULL, &fence);
	before = atomic_load_explicit(&memory.fence, memory_order_relaxed);
	/* release: pairs with device_ordered(): who sees the fence submits after it */
	while (before < fence &&
	       !atomic_compare_exchange_weak_explicit(&memory.fence, &before, fence,
						      memory_order_release, memory_order_relaxed))
		;
	return status_errno(status);
}

static uint64_t
device_credit(void *data, uint64_t want)
{
	size_t granted = 0;
	struct genie_args_genieMemCredit args = {
		.device = genie_device_wire(heap_device(data)), .want = want, .granted = &granted};
	CUresult status = genie_call_ctx(GENIE_OP_genieMemCredit, &args, NULL, NULL);

	return status == CUDA_SUCCESS ? granted : 0;
}

static const struct genie_heap_ops device_ops = {
	.map = device_map,
	.unmap = device_unmap,
	.now = last_ticket,
	.ordered = device_ordered,
	.order = device_order,
	.credit = device_credit,
};

static bool
heaps_make_locked(void)
{
	const struct genie_welcome *welcome = genie_client.welcome;
	int count = genie_client.device_count;

	if (welcome == NULL || count <= 0 || count > GENIE_DEVICES_MAX)
		return false;
	memory.window = welcome->device_window;
	memory.slice = welcome->device_window_size / 2 / (uint64_t)count & ~(GENIE_HEAP_PAGE - 1);
	if (memory.slice == 0) /* the server grants no addresses */
		return false;
	for (int i = 0; i < count; i++) {
		const struct genie_device_info *info = &genie_client.devices[i];
		uint64_t credit = info->credit < memory.slice ? info->credit : memory.slice;

		if (genie_heap_init(&memory.heaps[i], memory.window + (uint64_t)i * memory.slice,
				    memory.slice, credit, info->total_mem / CACHE_SHARE, 512,
				    &device_ops, &memory.heaps[i]) != 0) {
			while (i-- > 0)
				genie_heap_fini(&memory.heaps[i]);
			return false;
		}
	}
	return true;
}

static bool
heaps_ready(void)
{
	bool ready = atomic_load_explicit(&memory.ready, memory_order_acquire);

	if (__builtin_expect(ready, 1))
		return true;
	pthread_mutex_lock(&memory.lock);
	ready = atomic_load_explicit(&memory.ready, memory_order_relaxed) || heaps_make_locked();
	/* release: pairs with the load above */
	atomic_store_explicit(&memory.ready, ready, memory_order_release);
	pthread_mutex_unlock(&memory.lock);
	return ready;
}

struct genie_heap *
genie_mem_device_heap(int device)
{
	if (device < 0 || device >= genie_client.device_count || !heaps_ready())
		return NULL;
	return &memory.heaps[device];
}

bool
genie_mem_in_window(uint64_t addr)
{
	const struct genie_welcome *welcome = genie_client.welcome;

	return welcome != NULL && addr - welcome->device_window < welcome->device_window_size;
}

struct genie_heap *
genie_mem_heap_of(uint64_t addr, int *ret_device)
{
	struct genie_heap *pinned;
	uint64_t index;

	*ret_device = -1;
	if (!atomic_load_explicit(&memory.ready, memory_order_acquire))
		goto not_device;
	index = (addr - memory.window) / memory.slice;
	if (addr >= memory.window && index < (uint64_t)genie_client.device_count) {
		*ret_device = (int)index;
		return &memory.heaps[index];
	}
not_device:
	pinned = genie_mem_pinned_heap();
	if (pinned != NULL && addr >= pinned->base && addr - pinned->base < pinned->size)
		return pinned;
	return NULL;
}

/* ---- finding ---- */

bool
genie_mem_find(uint64_t addr, struct genie_mem *ret_mem)
{
	struct genie_block_info info;
	struct genie_heap *heap;
	int device;

	heap = genie_mem_heap_of(addr, &device);
	if (heap == NULL && genie_vmm_find(addr, ret_mem))
		return true;
	if (heap == NULL)
		return genie_ranges_find(&genie_registered, addr, ret_mem) ||
		       genie_registered_find_view(addr, ret_mem) ||
		       genie_ranges_find(&globals, addr, ret_mem);
	if (!genie_heap_find(heap, addr, &info))
		return false;
	*ret_mem = (struct genie_mem){
		.type = (enum genie_mem_type)info.type,
		.base = info.base,
		.size = info.size,
		.ctx = info.owner,
		.id = info.id,
		.flags = info.flags,
		.pool = info.pool,
		.mirrored = info.mirrored,
	};
	ret_mem->device = device >= 0 ? device : ret_mem->ctx->device;
	/* Ids are unique in a heap; this makes them so in the process. */
	ret_mem->id |= (uint64_t)(device + 1) << 48;
	return true;
}

void
genie_mem_add_global(uint64_t addr, size_t size, int device)
{
	struct genie_mem mem = {
		.type = GENIE_MEM_GLOBAL,
		.base = addr,
		.size = size,
		.device = device,
		.ctx = genie_ctx_home(),
		.id = genie_mem_next_id(),
	};

	/* The same variable asked for twice is the same range: that is all -EEXIST can mean. */
	(void)genie_ranges_add(&globals, &mem);
}

void
genie_mem_remove_global(uint64_t addr)
{
	(void)genie_ranges_remove(&globals, addr, NULL);
}

/* ---- allocating ---- */

/* A device that checks addresses knows of pages, not of what lies on them. */
static void
tell_range(uint64_t addr, uint64_t size)
{
	struct genie_args_genieNativeRange args = {.addr = addr, .size = size};

	if (genie_client.welcome->flags & GENIE_WELCOME_F_RANGES)
		(void)genie_call_ctx(GENIE_OP_genieNativeRange, &args, NULL, NULL);
}

CUresult
genie_mem_alloc_device(struct genie_ctx *ctx, int device, uint64_t size, struct genie_mempool *pool,
		       uint64_t stream, CUdeviceptr *ret_addr)
{
	struct genie_block_info info = {.type = GENIE_MEM_DEVICE, .owner = ctx, .pool = pool};
	struct genie_heap *heap = genie_mem_device_heap(device);
	uint64_t addr;
	int error;

	if (heap == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	error = genie_heap_alloc(heap, size, &info, stream, &addr);
	if (error != 0)
		return genie_mem_status(error);
	tell_range(addr, size);
	*ret_addr = addr;
	return CUDA_SUCCESS;
}

CUresult
genie_mem_free_device(CUdeviceptr addr, uint64_t stream)
{
	struct genie_block_info info;
	struct genie_heap *heap;
	int device, error;

	heap = genie_mem_heap_of(addr, &device);
	if (heap == NULL || device < 0)
		return CUDA_ERROR_INVALID_VALUE;
	/* before the heap may give the addresses to another thread */
	tell_range(addr, 0);
	error = genie_heap_free(heap, addr, stream, &info);
	if (error == 0 && info.pool != NULL)
		genie_mempool_freed(info.pool, info.size);
	return genie_mem_status(error);
}

CUresult
genie_cuMemAlloc_v2(CUdeviceptr *dptr, size_t bytesize)
{
	struct genie_ctx *ctx = genie_ctx_home();
	CUresult status;

	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (dptr == NULL || bytesize == 0)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_capture_forbids();
	if (status != CUDA_SUCCESS)
		return status;
	return genie_mem_alloc_device(ctx, ctx->device, bytesize, NULL, 0, dptr);
}

CUresult
genie_cuMemAllocPitch_v2(CUdeviceptr *dptr, size_t *pPitch, size_t WidthInBytes, size_t Height,
			 unsigned int ElementSizeBytes)
{
	size_t pitch, size;
	CUresult status;

	if (dptr == NULL || pPitch == NULL || WidthInBytes == 0 || Height == 0)
		return CUDA_ERROR_INVALID_VALUE;
	if (ElementSizeBytes != 4 && ElementSizeBytes != 8 && ElementSizeBytes != 16)
		return CUDA_ERROR_INVALID_VALUE;
	if (__builtin_add_overflow(WidthInBytes, GENIE_PITCH_ALIGN - 1, &pitch))
		return CUDA_ERROR_INVALID_VALUE;
	pitch &= ~(size_t)(GENIE_PITCH_ALIGN - 1);
	if (__builtin_mul_overflow(pitch, Height, &size))
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = genie_cuMemAlloc_v2(dptr, size);
	if (status == CUDA_SUCCESS)
		*pPitch = pitch;
	return status;
}

CUresult
genie_cuMemFree_v2(CUdeviceptr dptr)
{
	struct genie_ctx *ctx = genie_ctx_home();
	struct genie_mem mem;
	CUresult status;

	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (dptr == 0)
		return CUDA_SUCCESS;
	if (!genie_mem_find(dptr, &mem) || mem.base != dptr)
		return CUDA_ERROR_INVALID_VALUE;
	if (mem.type == GENIE_MEM_SHARED && mem.pool != NULL)
		return genie_share_close(dptr) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
	if (mem.type != GENIE_MEM_DEVICE && mem.type != GENIE_MEM_MANAGED)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_capture_forbids();
	if (status != CUDA_SUCCESS)
		return status;
	if (!genie_perf(GENIE_PERF_ASYNC_FREE)) {
		status = genie_ctx_synchronize(ctx);
		if (status != CUDA_SUCCESS)
			return status;
	}
	if (mem.type == GENIE_MEM_MANAGED)
		return genie_pinned_free(dptr, GENIE_MEM_MANAGED);
	if (genie_graph_alloc_freed(dptr, &status))
		return status;
	return genie_mem_free_device(dptr, 0);
}

CUresult
genie_cuMemGetAddressRange_v2(CUdeviceptr *pbase, size_t *psize, CUdeviceptr dptr)
{
	struct genie_mem mem;

	if (!genie_mem_find(dptr, &mem))
		return CUDA_ERROR_NOT_FOUND;
	if (pbase != NULL)
		*pbase = mem.base;
	if (psize != NULL)
		*psize = mem.size;
	return CUDA_SUCCESS;
}

/* What the device has left, as the worker sees it, and what is mapped here but not in use. */
CUresult
genie_cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
	struct genie_ctx *ctx = genie_ctx_current();
	struct genie_args_cuMemGetInfo_v2 args = {.free = free_bytes, .total = total};
	struct genie_heap *heap;
	CUresult status;

	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (free_bytes == NULL || total == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_call(GENIE_OP_cuMemGetInfo_v2, &args);
	heap = genie_mem_device_heap(ctx->device);
	if (status != CUDA_SUCCESS || heap == NULL)
		return status;
	pthread_mutex_lock(&heap->lock);
	*free_bytes += heap->mapped - heap->live;
	pthread_mutex_unlock(&heap->lock);
	if (*free_bytes > *total)
		*free_bytes = *total;
	return CUDA_SUCCESS;
}

/* The form of CUDA before 3.2 has room for 4 GiB. */
CUresult
genie_cuMemGetInfo(unsigned int *free_bytes, unsigned int *total)
{
	size_t wide_free = 0, wide_total = 0;
	CUresult status =
		genie_cuMemGetInfo_v2(free_bytes ? &wide_free : NULL, total ? &wide_total : NULL);

	if (status != CUDA_SUCCESS)
		return status;
	*free_bytes = wide_free < UINT32_MAX ? (unsigned int)wide_free : UINT32_MAX;
	*total = wide_total < UINT32_MAX ? (unsigned int)wide_total : UINT32_MAX;
	return CUDA_SUCCESS;
}

/* ---- the end of a context ---- */

static void
forget_block(const struct genie_block_info *info, void *data)
{
	if (info->owner != data)
		return;
	if (info->type == GENIE_MEM_DEVICE)
		(void)genie_mem_free_device(info->base, 0);
	else
		(void)genie_pinned_free(info->base, (enum genie_mem_type)info->type);
}

void
genie_mem_forget_ctx(struct genie_ctx *ctx)
{
	struct genie_heap *heap = genie_mem_device_heap(ctx->device);
	struct genie_heap *pinned = genie_mem_pinned_heap();

	genie_registered_forget_ctx(ctx);
	if (heap != NULL)
		genie_heap_each(heap, forget_block, ctx);
	if (pinned != NULL)
		genie_heap_each(pinned, forget_block, ctx);
	genie_share_forget_ctx(ctx);
	genie_graph_alloc_forget_ctx(ctx);
	genie_host_copy_forget_ctx(ctx);
	genie_ranges_forget_ctx(&globals, ctx);
}
