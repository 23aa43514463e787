/*
 * Registered memory. Shared means: the pages of a block of the pinned window have taken the place
 * of those that were there, from the first page that the range touches to the last (remap.c). The
 * worker maps them at the program's address, too, if it has nothing there: then kernels may be
 * given that address, as on a GPU of this machine, and copies are the device's own. Else the device
 * has them at the block's address.
 *
 * A child of fork() is to have its own copy. So while a process forks,
 *
 *   - each whole page of registered memory is copied, and the child puts the copies in place of the
 *     shared pages before it goes on (the kernel copies pinned pages at a fork, too);
 *   - a page that also holds something else of the program's is private in both processes: what
 *     libc has there, a lock for instance, it changes in the child before we are called. When the
 *     parent goes on, the page is shared again, with what was changed on it since.
 */
#include "interpose/registered.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "interpose/memory.h"
#include "interpose/mirror.h"
#include "interpose/refuse.h"
#include "interpose/remap.h"

#define HOSTREGISTER_FLAGS                                                                         \
	(CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP |                              \
	 CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY)

/* Whole pages, of which the program registered those from addr + lead on. */
struct shared {
	struct shared *next;
	uint64_t addr, window, size;
	bool first_mixed, last_mixed; /* something else lies there, too */
};

/* What a fork does with a part of them. */
struct part {
	struct part *next;
	uint64_t addr, window, size;
	char *was;  /* a mixed page: what is compared with, two pages */
	char *copy; /* else: the child's; NULL: there was no memory */
};

static struct {
	pthread_mutex_t lock; /* guards everything below; held while a process forks */
	bool ready, unusable, forks_seen;
	struct genie_heap heap;
	struct shared *list;
	struct part *parts; /* of the fork under way */
} shares = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Atomic uint64_t count_shared, count_mirrored;

struct genie_ranges genie_registered = GENIE_RANGES_INIT;
/* The same ranges by the address that only the device has, where that is another one. */
static struct genie_ranges views = GENIE_RANGES_INIT;

/* Guards the making of the blocks that mirror registered memory. */
static pthread_mutex_t twins_lock = PTHREAD_MUTEX_INITIALIZER;

void
genie_registered_counts(uint64_t *ret_shared, uint64_t *ret_mirrored)
{
	*ret_shared = atomic_load_explicit(&count_shared, memory_order_relaxed);
	*ret_mirrored = atomic_load_explicit(&count_mirrored, memory_order_relaxed);
}

/* ---- the blocks of the window ---- */

/* The worker is told of each block on its own, so there is nothing to map. */
static int
block_map(void *data, uint64_t addr, uint64_t size)
{
	(void)data;
	(void)addr;
	(void)size;
	return 0;
}

static void
block_unmap(void *data, uint64_t addr, uint64_t size)
{
	(void)data;
	(void)addr;
	(void)size;
}

static const struct genie_heap_ops block_ops = {
	.map = block_map,
	.unmap = block_unmap,
	.now = genie_pinned_now,
	.ordered = genie_pinned_ordered,
	.order = genie_pinned_order,
	.credit = genie_pinned_credit,
};

static void fork_prepare(void);
static void fork_parent(void);
static void fork_child(void);

static bool
heap_ready_locked(void)
{
	uint64_t base, size;

	if (shares.ready || shares.unusable)
		return shares.ready;
	shares.unusable = true;
	if (!genie_pinned_half(&base, &size) ||
	    genie_heap_init(&shares.heap, base, size, size, size, 512, &block_ops, NULL) != 0)
		return false;
	if (!shares.forks_seen && pthread_atfork(fork_prepare, fork_parent, fork_child) != 0)
		return false;
	shares.forks_seen = true;
	shares.ready = true;
	return true;
}

/* ---- sharing ---- */

/* Tells the worker of the pages. *@ret_placed: where the device has them. */
static bool
announce(uint64_t addr, uint64_t window, uint64_t size, uint64_t *ret_placed)
{
	unsigned long long placed = 0;
	struct genie_args_genieHostShare args = {
		.addr = addr, .window = window, .size = size, .placed = &placed};

	if (genie_call_ctx(GENIE_OP_genieHostShare, &args, NULL, NULL) != CUDA_SUCCESS)
		return false;
	*ret_placed = placed;
	if (placed == addr || placed == window)
		return true;
	genie_chan_fail(genie_client_chan(), "it placed registered memory where nobody asked");
	return false;
}

static void
withdraw(uint64_t placed)
{
	struct genie_args_genieHostUnshare args = {.addr = placed};

	(void)genie_call_ctx(GENIE_OP_genieHostUnshare, &args, NULL, NULL);
}

/* NULL, or why not. @share: its range; the block of the window is filled in. */
static const char *
lend_pages_locked(struct shared *share, struct genie_ctx *ctx, uint64_t *ret_placed)
{
	struct genie_block_info info = {.type = GENIE_MEM_REGISTERED, .owner = ctx};
	int error;

	if (genie_heap_alloc(&shares.heap, share->size, &info, 0, &share->window) != 0)
		return "the window is full";
	if (share->window % genie_remap_page_size() != 0) {
		(void)genie_heap_free(&shares.heap, share->window, 0, &info);
		return "the window has no whole pages";
	}
	if (!announce(share->addr, share->window, share->size, ret_placed)) {
		(void)genie_heap_free(&shares.heap, share->window, 0, &info);
		return "the worker cannot";
	}
	error = genie_remap_in(share->addr, share->window, share->size);
	if (error == 0)
		return NULL;
	withdraw(*ret_placed);
	if (error != -EUCLEAN) /* else a part is still in use */
		(void)genie_heap_free(&shares.heap, share->window, 0, &info);
	return error == -EPERM ? "other threads cannot be held back" : "its pages stay";
}

static const char *
lend_locked(struct genie_mem *mem)
{
	uint64_t page = genie_remap_page_size(), last = mem->base + mem->size - 1;
	struct shared *share;
	const char *obstacle;
	uint64_t placed = 0;

	if (!heap_ready_locked())
		return "there is no window for it";
	share = malloc(sizeof(*share));
	if (share == NULL)
		return "no memory";
	*share = (struct shared){
		.addr = mem->base & ~(page - 1),
		.size = (last | (page - 1)) + 1 - (mem->base & ~(page - 1)),
		.first_mixed = mem->base % page != 0,
		.last_mixed = (last + 1) % page != 0,
	};
	obstacle = genie_remap_obstacle(share->addr, share->size);
	if (obstacle == NULL)
		obstacle = lend_pages_locked(share, mem->ctx, &placed);
	if (obstacle != NULL) {
		free(share);
		return obstacle;
	}
	share->next = shares.list;
	shares.list = share;
	mem->twin = placed + (mem->base - share->addr);
	return NULL;
}

/* Sets mem->twin when the device has the program's own pages now. */
static void
lend(struct genie_mem *mem)
{
	const char *obstacle = NULL;

	if (!genie_pinned_shared())
		return;
	if (!genie_perf(GENIE_PERF_SHARE_REGISTERED))
		obstacle = "switched off";
	else if (mem->flags & CU_MEMHOSTREGISTER_READ_ONLY)
		obstacle = "it is read-only";
	if (obstacle == NULL) {
		pthread_mutex_lock(&shares.lock);
		obstacle = lend_locked(mem);
		pthread_mutex_unlock(&shares.lock);
	}
	atomic_fetch_add_explicit(obstacle == NULL ? &count_shared : &count_mirrored, 1,
				  memory_order_relaxed);
	if (obstacle != NULL)
		genie_debug("registered memory at 0x%llx is mirrored: %s",
			    (unsigned long long)mem->base, obstacle);
}

/* Gives the program its own pages back, when nothing uses them any more. */
static CUresult
take_back(const struct genie_mem *mem)
{
	struct genie_block_info info;
	struct shared **at = &shares.list, *share;
	CUresult status;

	/* The worker lets go once all that came before is done, and so do we: not under the lock,
	 * since a host function that is waited for may fork. */
	withdraw(mem->twin - mem->base % genie_remap_page_size());
	status = genie_pinned_settle();
	pthread_mutex_lock(&shares.lock);
	while (*at != NULL && mem->base - (*at)->addr >= (*at)->size)
		at = &(*at)->next;
	share = *at;
	/* What cannot be put back stays in the list, for the next fork. */
	if (share != NULL && genie_remap_out(share->addr, share->window, share->size,
					     genie_chan_pinned_fd(genie_client_chan())) == 0) {
		*at = share->next;
		(void)genie_chan_pinned_discard(genie_client_chan(),
						(void *)(uintptr_t)share->window, share->size);
		(void)genie_heap_free(&shares.heap, share->window, 0, &info);
		free(share);
	}
	pthread_mutex_unlock(&shares.lock);
	return status;
}

/* ---- fork ---- */

static char *
private_pages(uint64_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void
part_prepare(const struct shared *share, uint64_t addr, uint64_t size, bool mixed)
{
	uint64_t page = genie_remap_page_size();
	struct part *part = calloc(1, sizeof(*part));

	if (part == NULL)
		return;
	*part = (struct part){
		.addr = addr, .window = share->window + (addr - share->addr), .size = size};
	part->was = mixed ? private_pages(2 * page) : NULL;
	if (part->was != NULL && genie_remap_page_out(addr, part->was) != 0) {
		munmap(part->was, 2 * page);
		part->was = NULL;
	}
	if (part->was == NULL) {
		part->copy = private_pages(size);
		if (part->copy != NULL)
			(void)genie_remap_copy((uint64_t)(uintptr_t)part->copy, part->window, size);
	}
	part->next = shares.parts;
	shares.parts = part;
}

/* A stretch that still is shared: whole pages in between, mixed ones at the ends. */
static void
stretch_prepare(uint64_t addr, uint64_t size, void *data)
{
	const struct shared *share = data;
	uint64_t page = genie_remap_page_size(), end = addr + size;

	if (share->first_mixed && addr == share->addr) {
		part_prepare(share, addr, page, true);
		addr += page;
	}
	if (share->last_mixed && addr < end && end == share->addr + share->size) {
		end -= page;
		part_prepare(share, end, page, true);
	}
	if (addr < end)
		part_prepare(share, addr, end - addr, false);
}

static void
fork_prepare(void)
{
	int saved_errno = errno;

	pthread_mutex_lock(&shares.lock);
	for (struct shared *share = shares.list; share != NULL; share = share->next)
		(void)genie_remap_each(share->addr, share->window, share->size, stretch_prepare,
				       share);
	errno = saved_errno;
}

static void
part_end(const struct part *part, bool child)
{
	uint64_t page = genie_remap_page_size();

	if (part->was != NULL) {
		if (!child && genie_remap_page_in(part->addr, part->window, part->was) != 0)
			genie_warn("a page of registered memory at 0x%llx is not shared any more",
				   (unsigned long long)part->addr);
		munmap(part->was, 2 * page);
	} else if (!child && part->copy != NULL) {
		munmap(part->copy, part->size);
	} else if (child &&
		   (part->copy == NULL ||
		    genie_remap_move(part->addr, (uint64_t)(uintptr_t)part->copy, part->size))) {
		/* No copy for it. Better nothing than the parent's own memory. */
		mmap((void *)(uintptr_t)part->addr, part->size, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
	}
}

static void
fork_end(bool child)
{
	int saved_errno = errno;

	while (shares.parts != NULL) {
		struct part *part = shares.parts;

		shares.parts = part->next;
		part_end(part, child);
		free(part);
	}
	errno = saved_errno;
}

static void
fork_parent(void)
{
	fork_end(false);
	pthread_mutex_unlock(&shares.lock);
}

static void
fork_child(void)
{
	fork_end(true);
	while (shares.list != NULL) {
		struct shared *share = shares.list;

		shares.list = share->next;
		free(share);
	}
	shares.ready = false;
	shares.unusable = false;
	pthread_mutex_init(&shares.lock, NULL);
}

/* ---- the device's side ---- */

/*
 * Memory that is not shared has a block of the pinned window that mirrors it: made at the first
 * question, found in the table of registered ranges afterwards.
 */
CUresult
genie_registered_pointer(const struct genie_mem *mem, uint64_t addr, CUdeviceptr *ret_addr)
{
	CUresult status = CUDA_SUCCESS;
	uint64_t twin;

	pthread_mutex_lock(&twins_lock);
	twin = genie_ranges_twin(&genie_registered, mem->base, 0);
	if (twin == 0) {
		status = genie_pinned_alloc(mem->ctx, mem->size, GENIE_MEM_PINNED, 0, &twin);
		if (status == CUDA_SUCCESS)
			status = genie_mirror_add_window(twin, (void *)(uintptr_t)mem->base,
							 mem->size, mem->ctx,
							 mem->flags & CU_MEMHOSTREGISTER_READ_ONLY);
		if (status == CUDA_SUCCESS)
			genie_ranges_twin(&genie_registered, mem->base, twin);
	}
	pthread_mutex_unlock(&twins_lock);
	if (status == CUDA_SUCCESS)
		*ret_addr = twin + (addr - mem->base);
	return status;
}

bool
genie_registered_find_view(uint64_t addr, struct genie_mem *ret_mem)
{
	return genie_ranges_find(&views, addr, ret_mem);
}

/* ---- the calls ---- */

/* Makes it known. */
static CUresult
publish(struct genie_mem *mem)
{
	struct genie_mem view = *mem;
	int error = genie_ranges_add(&genie_registered, mem);

	if (error == 0 && mem->shared && mem->twin != mem->base) {
		view.base = mem->twin;
		view.host = mem->base;
		error = genie_ranges_add(&views, &view);
		if (error != 0)
			genie_ranges_remove(&genie_registered, mem->base, NULL);
	}
	return error == -EEXIST ? CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED
				: genie_mem_status(error);
}

static CUresult
forget(const struct genie_mem *mem)
{
	if (mem->shared) {
		if (mem->twin != mem->base)
			genie_ranges_remove(&views, mem->twin, NULL);
		return take_back(mem);
	}
	if (mem->twin != 0) {
		genie_mirror_remove(mem->twin);
		(void)genie_pinned_free(mem->twin, GENIE_MEM_PINNED);
	}
	return CUDA_SUCCESS;
}

void
genie_registered_forget_ctx(struct genie_ctx *ctx)
{
	struct genie_mem mem;

	while (genie_ranges_take_ctx(&genie_registered, ctx, &mem))
		(void)forget(&mem);
}

CUresult
genie_cuMemHostRegister_v2(void *p, size_t bytesize, unsigned int Flags)
{
	struct genie_ctx *ctx = genie_ctx_home();
	uint64_t base = (uint64_t)(uintptr_t)p;
	uint64_t page = genie_remap_page_size();
	struct genie_mem mem;
	CUresult status;

	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (p == NULL || bytesize == 0 || (Flags & ~(unsigned int)HOSTREGISTER_FLAGS) != 0 ||
	    base + bytesize < base)
		return CUDA_ERROR_INVALID_VALUE;
	if ((Flags & CU_MEMHOSTREGISTER_IOMEMORY) != 0)
		return genie_refuse("cuMemHostRegister of I/O memory",
				    "it belongs to a device of this machine");
	/* Whole pages are registered, so no other range may touch the same ones. */
	if (genie_mem_find(base, &mem) ||
	    genie_ranges_overlap(&genie_registered, base & ~(page - 1),
				 ((base + bytesize - 1) | (page - 1)) + 1 - (base & ~(page - 1))))
		return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
	mem = (struct genie_mem){
		.type = GENIE_MEM_REGISTERED,
		.base = base,
		.size = bytesize,
		.device = ctx->device,
		.ctx = ctx,
		.id = genie_mem_next_id(),
		.flags = Flags | CU_MEMHOSTREGISTER_DEVICEMAP,
	};
	lend(&mem);
	mem.shared = mem.twin != 0;
	status = publish(&mem);
	/* Two threads that register the same memory at a time: the pages are one's only. */
	if (status != CUDA_SUCCESS)
		(void)forget(&mem);
	return status;
}

CUresult
genie_cuMemHostUnregister(void *p)
{
	uint64_t base = (uint64_t)(uintptr_t)p;
	struct genie_mem mem;

	if (genie_ctx_current() == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (genie_ranges_remove(&genie_registered, base, &mem) == 0)
		return forget(&mem);
	/* Measured (driver 580): memory of the driver's own, and the inside of what is registered,
	 * are wrong values; memory that it knows nothing of is not registered. */
	if (p == NULL || genie_mem_find(base, &mem) ||
	    genie_ranges_overlap(&genie_registered, base, 1))
		return CUDA_ERROR_INVALID_VALUE;
	return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
}
