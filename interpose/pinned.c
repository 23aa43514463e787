/*
 * Page-locked host memory: blocks of the pinned window, which lies at the same address on both
 * sides. Over shared memory it is the same memory, so a copy is one transfer of the device from
 * or to the program's own buffer, and a kernel may use the host pointer. Over a network each side
 * has its own; copies work, device pointers need the mirror (mirror.c).
 *
 * Freed memory may still be the source or target of a copy on its way. The heap therefore asks for
 * an order before it hands out a block again: here that means waiting until everything submitted
 * before the free is done. It prefers memory that was never used, so this is rare.
 */
#include "interpose/memory.h"
#include "interpose/mirror.h"
#include "interpose/refuse.h"

#include <errno.h>
#include <string.h>

#define MIN_SLOT 512 /* the driver aligns to as much */
/* Registered, unused memory that is kept: registering costs the worker 60 us a MiB. */
#define CACHE_MAX (UINT64_C(256) << 20)

#define HOSTALLOC_FLAGS                                                                            \
	(CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED)

static struct {
	pthread_mutex_t lock; /* guards the making of the heap */
	_Atomic bool ready;
	struct genie_heap heap;
	_Atomic uint64_t idle; /* everything up to this ticket is known to be done */
} pinned = {.lock = PTHREAD_MUTEX_INITIALIZER};

_Atomic bool genie_pinned_apart;

bool
genie_pinned_shared(void)
{
	return genie_client.welcome != NULL &&
	       (genie_client.welcome->flags & GENIE_WELCOME_F_SHARED_PINNED) != 0;
}

/* ---- what the heap needs ---- */

uint64_t
genie_pinned_now(void *data)
{
	struct genie_chan *chan = genie_client_chan();

	(void)data;
	return chan != NULL ? genie_chan_last_ticket(chan) : 0;
}

bool
genie_pinned_ordered(void *data, uint64_t ticket)
{
	(void)data;
	return ticket <= atomic_load_explicit(&pinned.idle, memory_order_acquire);
}

static void
synchronize_ctx(void *object, void *data)
{
	struct genie_ctx *ctx = object;
	CUresult *status = data;

	if (*status == CUDA_SUCCESS && atomic_load_explicit(&ctx->active, memory_order_acquire))
		*status = genie_ctx_synchronize(ctx);
}

/* Waits for everything up to @ticket, in all contexts. */
int
genie_pinned_order(void *data, uint64_t ticket)
{
	uint64_t now = genie_pinned_now(data), before;
	CUresult status = CUDA_SUCCESS;

	if (genie_pinned_ordered(data, ticket))
		return 0;
	genie_object_each(GENIE_KIND_CTX, synchronize_ctx, &status);
	if (status != CUDA_SUCCESS)
		return -ECONNRESET;
	before = atomic_load_explicit(&pinned.idle, memory_order_relaxed);
	/* release: pairs with genie_pinned_ordered() */
	while (before < now &&
	       !atomic_compare_exchange_weak_explicit(&pinned.idle, &before, now,
						      memory_order_release, memory_order_relaxed))
		;
	return 0;
}

CUresult
genie_pinned_settle(void)
{
	CUresult first = CUDA_SUCCESS, status;

	/* An error ends the waiting, but not what is waited for. */
	for (int i = 0; i < 2; i++) {
		status = CUDA_SUCCESS;
		genie_object_each(GENIE_KIND_CTX, synchronize_ctx, &status);
		if (status == CUDA_SUCCESS)
			break;
		if (first == CUDA_SUCCESS)
			first = status;
	}
	return first;
}

static int
pinned_map(void *data, uint64_t addr, uint64_t size)
{
	struct genie_args_geniePinnedMap args = {.addr = addr, .size = size};

	(void)data;
	return genie_call_ctx(GENIE_OP_geniePinnedMap, &args, NULL, NULL) == CUDA_SUCCESS
		       ? 0
		       : -ECONNRESET;
}

static void
pinned_unmap(void *data, uint64_t addr, uint64_t size)
{
	struct genie_args_geniePinnedUnmap args = {.addr = addr, .size = size};
	struct genie_chan *chan = genie_client_chan();

	/* The pages go back to the system here and now, so nothing may use them any more. */
	(void)genie_pinned_order(data, genie_pinned_now(data));
	(void)genie_call_ctx(GENIE_OP_geniePinnedUnmap, &args, NULL, NULL);
	if (chan != NULL)
		(void)genie_chan_pinned_discard(chan, (void *)(uintptr_t)addr, size);
}

/* Host memory is the system's to refuse. */
uint64_t
genie_pinned_credit(void *data, uint64_t want)
{
	(void)data;
	(void)want;
	return 0;
}

static const struct genie_heap_ops pinned_ops = {
	.map = pinned_map,
	.unmap = pinned_unmap,
	.now = genie_pinned_now,
	.ordered = genie_pinned_ordered,
	.order = genie_pinned_order,
	.credit = genie_pinned_credit,
};

/* Half of a shared window is for what the program registers (registered.c). */
static uint64_t
part_size(void)
{
	return (genie_client.welcome->pinned_window_size >> genie_pinned_shared()) &
	       ~(GENIE_HEAP_PAGE - 1);
}

bool
genie_pinned_half(uint64_t *ret_base, uint64_t *ret_size)
{
	struct genie_chan *chan = genie_client_chan();

	if (chan == NULL || !genie_pinned_shared())
		return false;
	*ret_size = part_size();
	*ret_base = (uint64_t)(uintptr_t)genie_chan_pinned_base(chan) + *ret_size;
	return *ret_size != 0;
}

static bool
heap_make_locked(void)
{
	struct genie_chan *chan = genie_client_chan();
	uint64_t base, size;

	if (chan == NULL || genie_client.welcome == NULL)
		return false;
	base = (uint64_t)(uintptr_t)genie_chan_pinned_base(chan);
	size = part_size();
	return base != 0 && genie_heap_init(&pinned.heap, base, size, size, CACHE_MAX, MIN_SLOT,
					    &pinned_ops, &pinned.heap) == 0;
}

/* Made at the first allocation. */
static bool
heap_make(void)
{
	bool ready;

	pthread_mutex_lock(&pinned.lock);
	ready = atomic_load_explicit(&pinned.ready, memory_order_relaxed) || heap_make_locked();
	/* release: pairs with the load in genie_mem_pinned_heap() */
	atomic_store_explicit(&pinned.ready, ready, memory_order_release);
	pthread_mutex_unlock(&pinned.lock);
	return ready;
}

struct genie_heap *
genie_mem_pinned_heap(void)
{
	return atomic_load_explicit(&pinned.ready, memory_order_acquire) ? &pinned.heap : NULL;
}

/* ---- blocks ---- */

CUresult
genie_pinned_alloc(struct genie_ctx *ctx, uint64_t size, enum genie_mem_type type,
		   unsigned int flags, uint64_t *ret_addr)
{
	struct genie_block_info info = {.type = (int)type, .owner = ctx, .flags = flags};

	if (genie_mem_pinned_heap() == NULL && !heap_make())
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (!genie_pinned_shared())
		atomic_store_explicit(&genie_pinned_apart, true, memory_order_relaxed);
	return genie_mem_status(genie_heap_alloc(&pinned.heap, size, &info, 0, ret_addr));
}

CUresult
genie_pinned_mirror(const struct genie_mem *mem)
{
	if (genie_pinned_shared() || mem->mirrored ||
	    !genie_heap_mark_mirrored(&pinned.heap, mem->base))
		return CUDA_SUCCESS;
	return genie_mirror_add_window(mem->base, (void *)(uintptr_t)mem->base, mem->size, mem->ctx,
				       false);
}

CUresult
genie_pinned_mirror_pointers(const void *bytes, size_t size)
{
	CUresult status = CUDA_SUCCESS;

	for (size_t at = 0; at + 8 <= size && status == CUDA_SUCCESS; at += 8) {
		struct genie_mem mem;
		uint64_t word;

		memcpy(&word, (const char *)bytes + at, sizeof(word));
		if (word >= pinned.heap.base && word - pinned.heap.base < pinned.heap.size &&
		    genie_mem_find(word, &mem))
			status = genie_pinned_mirror(&mem);
	}
	return status;
}

CUresult
genie_pinned_free(uint64_t addr, enum genie_mem_type type)
{
	struct genie_heap *heap = genie_mem_pinned_heap();
	struct genie_block_info info;

	if (heap == NULL || !genie_heap_find(heap, addr, &info) || info.type != (int)type)
		return CUDA_ERROR_INVALID_VALUE;
	if (info.mirrored)
		genie_mirror_remove(addr);
	return genie_mem_status(genie_heap_free(heap, addr, 0, &info));
}

CUresult
genie_cuMemHostAlloc(void **pp, size_t bytesize, unsigned int Flags)
{
	struct genie_ctx *ctx = genie_ctx_home();
	CUresult status;
	uint64_t addr;

	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (pp == NULL || (Flags & ~(unsigned int)HOSTALLOC_FLAGS) != 0)
		return CUDA_ERROR_INVALID_VALUE;
	if (bytesize == 0) {
		*pp = NULL;
		return CUDA_SUCCESS;
	}
	status = genie_capture_forbids();
	if (status == CUDA_SUCCESS)
		status = genie_pinned_alloc(ctx, bytesize, GENIE_MEM_PINNED,
					    Flags | CU_MEMHOSTALLOC_DEVICEMAP, &addr);
	if (status == CUDA_SUCCESS)
		*pp = (void *)(uintptr_t)addr;
	return status;
}

CUresult
genie_cuMemAllocHost_v2(void **pp, size_t bytesize)
{
	return genie_cuMemHostAlloc(pp, bytesize, 0);
}

CUresult
genie_cuMemAllocHost(void **pp, unsigned int bytesize)
{
	return genie_cuMemHostAlloc(pp, bytesize, 0);
}

CUresult
genie_cuMemFreeHost(void *p)
{
	struct genie_ctx *ctx = genie_ctx_home();
	CUresult status;

	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (p == NULL)
		return CUDA_SUCCESS;
	status = genie_capture_forbids();
	if (status == CUDA_SUCCESS && !genie_perf(GENIE_PERF_ASYNC_FREE))
		status = genie_ctx_synchronize(ctx);
	if (status != CUDA_SUCCESS)
		return status;
	return genie_pinned_free((uint64_t)(uintptr_t)p, GENIE_MEM_PINNED);
}

CUresult
genie_cuMemHostGetDevicePointer_v2(CUdeviceptr *pdptr, void *p, unsigned int Flags)
{
	struct genie_mem mem;
	CUresult status;

	if (pdptr == NULL || Flags != 0 || !genie_mem_find((uint64_t)(uintptr_t)p, &mem))
		return CUDA_ERROR_INVALID_VALUE;
	if (mem.type != GENIE_MEM_PINNED && mem.type != GENIE_MEM_REGISTERED)
		return CUDA_ERROR_INVALID_VALUE;
	if (mem.type == GENIE_MEM_REGISTERED)
		return genie_registered_pointer(&mem, (uint64_t)(uintptr_t)p, pdptr);
	status = genie_pinned_mirror(&mem);
	if (status == CUDA_SUCCESS)
		*pdptr = (CUdeviceptr)(uintptr_t)p;
	return status;
}

CUresult
genie_cuMemHostGetFlags(unsigned int *pFlags, void *p)
{
	struct genie_mem mem;

	if (pFlags == NULL || !genie_mem_find((uint64_t)(uintptr_t)p, &mem))
		return CUDA_ERROR_INVALID_VALUE;
	if (mem.type != GENIE_MEM_PINNED && mem.type != GENIE_MEM_REGISTERED)
		return CUDA_ERROR_INVALID_VALUE;
	*pFlags = mem.flags;
	return CUDA_SUCCESS;
}
