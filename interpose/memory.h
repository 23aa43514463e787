/*
 * Device and host memory: what memory.c, pool.c, pinned.c, managed.c and pointer.c share.
 */
#ifndef GENIE_INTERPOSE_MEMORY_H
#define GENIE_INTERPOSE_MEMORY_H

#include "interpose/client.h"
#include "interpose/heap.h"
#include "interpose/range.h"

/* Bytes that cuMemAllocPitch and the copies through temporary buffers align a row to. */
#define GENIE_PITCH_ALIGN 512

/* The heap of a device; NULL before there is a connection or when it cannot be made. */
struct genie_heap *genie_mem_device_heap(int device);
/* The heap of the pinned window (pinned.c), or NULL. */
struct genie_heap *genie_mem_pinned_heap(void);
/* Is @addr one that only device memory can have? */
bool genie_mem_in_window(uint64_t addr);
/* The heap that @addr lies in, or NULL; and for a device heap its device. */
struct genie_heap *genie_mem_heap_of(uint64_t addr, int *ret_device);

/*
 * A block of device memory. @type is GENIE_MEM_DEVICE; @pool and @stream (a token) may be 0: see
 * genie_heap_alloc().
 */
CUresult genie_mem_alloc_device(struct genie_ctx *ctx, int device, uint64_t size,
				struct genie_mempool *pool, uint64_t stream, CUdeviceptr *ret_addr);
/* Frees the block that begins at @addr, in order of @stream, or of everything when it is 0. */
CUresult genie_mem_free_device(CUdeviceptr addr, uint64_t stream);

/* pinned.c: a block of the pinned window. */
CUresult genie_pinned_alloc(struct genie_ctx *ctx, uint64_t size, enum genie_mem_type type,
			    unsigned int flags, uint64_t *ret_addr);
CUresult genie_pinned_free(uint64_t addr, enum genie_mem_type type);
/* Makes sure that the device can use a pinned or managed block by its address. */
CUresult genie_pinned_mirror(const struct genie_mem *mem);
/* Some pinned memory is not shared: pointers among the parameters of a kernel must be looked at. */
extern _Atomic bool genie_pinned_apart;
/* Makes sure that the device can use the pinned blocks that @bytes may point to. */
CUresult genie_pinned_mirror_pointers(const void *bytes, size_t size);
/* Are the window's bytes the same on both sides? */
bool genie_pinned_shared(void);
/* The part of the window that has no heap here: it is for what is registered. False: none. */
bool genie_pinned_half(uint64_t *ret_base, uint64_t *ret_size);
/* What a heap of addresses of the window needs (struct genie_heap_ops). */
uint64_t genie_pinned_now(void *data);
bool genie_pinned_ordered(void *data, uint64_t ticket);
int genie_pinned_order(void *data, uint64_t ticket);
uint64_t genie_pinned_credit(void *data, uint64_t want);
/* Waits for everything submitted, in all contexts. Returns what went wrong on the way. */
CUresult genie_pinned_settle(void);

/* registered.c: registered host memory (cuMemHostRegister), and its address for the device. */
extern struct genie_ranges genie_registered;
CUresult genie_registered_pointer(const struct genie_mem *mem, uint64_t addr,
				  CUdeviceptr *ret_addr);

/* pool.c: a block of @pool was freed. */
void genie_mempool_freed(struct genie_mempool *pool, uint64_t size);
/* CU_MEM_HANDLE_TYPE_* that its memory can be shared by. */
unsigned int genie_mempool_types(const struct genie_mempool *pool);

/* For CU_POINTER_ATTRIBUTE_BUFFER_ID of what is in no heap. */
uint64_t genie_mem_next_id(void);

/* The status for what an allocator returned. */
CUresult genie_mem_status(int error);

/* vmm.c: is [@addr, @addr + @size) mapped without a gap, and may its device use it? */
CUresult genie_vmm_check(uint64_t addr, uint64_t size);

static inline CUresult
genie_mem_check_range(const struct genie_mem *mem, uint64_t addr, uint64_t size)
{
	if (mem->type == GENIE_MEM_MAPPED) /* mappings may continue each other */
		return genie_vmm_check(addr, size);
	return size <= mem->size - (addr - mem->base) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

#endif
