/*
 * Memory that host and device both use by its address, but do not share: __managed__ variables,
 * and over a network what is managed or mapped in the pinned window. The worker has its own bytes
 * at the same address. What the host changed is pushed before work that may read it, and what the
 * device wrote is pulled back after a wait for it; only what changed travels.
 */
#ifndef GENIE_INTERPOSE_MIRROR_H
#define GENIE_INTERPOSE_MIRROR_H

#include "interpose/client.h"

/* Number of mirrored ranges: one load tells that there is nothing to do. */
extern _Atomic uint32_t genie_mirror_count;

/*
 * Mirrors [@addr, @addr + @size) of the worker's memory at the same address of this process, where
 * nothing may be mapped yet. Its contents are the worker's. Adding what is there already is fine.
 */
CUresult genie_mirror_add(uint64_t addr, size_t size, struct genie_ctx *ctx);
/*
 * Mirrors a block of the pinned window: the worker's bytes at @addr and this process's at @live
 * (the same address, or registered memory of the program). The contents are this process's.
 * @read_only: it may not be written here.
 */
CUresult genie_mirror_add_window(uint64_t addr, void *live, size_t size, struct genie_ctx *ctx,
				 bool read_only);
/* Stops it, if @addr is mirrored. */
void genie_mirror_remove(uint64_t addr);

CUresult genie_mirror_push_slow(struct genie_stream *stream);
CUresult genie_mirror_pull_slow(void);

/* Before work on @stream that may use mirrored memory: what the host changed goes ahead of it. */
static inline CUresult
genie_mirror_push(struct genie_stream *stream)
{
	if (__builtin_expect(atomic_load_explicit(&genie_mirror_count, memory_order_relaxed) == 0,
			     1))
		return CUDA_SUCCESS;
	return genie_mirror_push_slow(stream);
}

/*
 * After a wait for the device: what it may have changed comes back. Returns the asynchronous error
 * that was met on the way: the caller must tell the program, nobody else will.
 */
static inline CUresult
genie_mirror_pull(void)
{
	if (__builtin_expect(atomic_load_explicit(&genie_mirror_count, memory_order_relaxed) == 0,
			     1))
		return CUDA_SUCCESS;
	return genie_mirror_pull_slow();
}

#endif
