/*
 * Copies: what copy.c and copy3d.c share. The kinds of memory a copy distinguishes, and the
 * contiguous copies everything else is made of.
 */
#ifndef GENIE_INTERPOSE_COPY_H
#define GENIE_INTERPOSE_COPY_H

#include "interpose/client.h"

enum genie_side {
	GENIE_SIDE_HOST,   /* only this process sees it */
	GENIE_SIDE_PINNED, /* in the pinned window */
	GENIE_SIDE_DEVICE, /* the worker sees it; this process does not, or mirrors it */
};

/* What is at @addr. CUDA_ERROR_INVALID_VALUE: the range leaves its allocation. */
CUresult genie_copy_side(uint64_t addr, size_t size, enum genie_side *ret_side);
/* Does the device reach this side by its address, without a transfer by us? */
bool genie_copy_direct(enum genie_side side);

/* Copies between any two addresses, in order of @stream. @sync: as the synchronous call does. */
CUresult genie_copy(uint64_t dst, uint64_t src, size_t size, struct genie_stream *stream,
		    bool sync);
/* Both sides are reached by the device. */
CUresult genie_copy_on_device(uint64_t dst, uint64_t src, size_t size, struct genie_stream *stream);

/* Over a network: waits for what is still being written to pinned memory, before it is read. */
CUresult genie_copy_settle(void);

/* Batches: is it one of the three orders? And: sources that had to be read during the call may not
 * be read after it. */
bool genie_copy_order_valid(CUmemcpySrcAccessOrder order);
CUresult genie_copy_batch_settle(bool during_call, CUstream handle);

/*
 * A copy as a node of a graph has it, checked and completed: sides that the device reaches are
 * device memory or arrays, the others host memory. Empty ones stay as they are.
 */
CUresult genie_copy3d_plan(const CUDA_MEMCPY3D *copy, CUDA_MEMCPY3D *ret_plan);

/*
 * The ways of pageable memory, whatever is known about the addresses: @src may change when the
 * first returns; the data is in @dst when the second does.
 */
CUresult genie_copy_upload(CUdeviceptr dst, const void *src, size_t size,
			   struct genie_stream *stream);
CUresult genie_copy_download(void *dst, CUdeviceptr src, size_t size, struct genie_stream *stream);

/* The same for memory that the worker mirrors: written at once there, in no stream's order; and
 * read from what its last scan found. */
CUresult genie_copy_mirror_up(uint64_t addr, const void *src, size_t size);
CUresult genie_copy_mirror_down(void *dst, uint64_t addr, size_t size);

#endif
