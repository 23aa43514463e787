/*
 * Kernel launches. The command is encoded by hand, straight into the ring, in the layout that
 * wire/codec.c gives genieLaunch (tests/unit/test_launch.c compares them).
 */
#ifndef GENIE_INTERPOSE_LAUNCH_H
#define GENIE_INTERPOSE_LAUNCH_H

#include "interpose/kernel.h"

#define GENIE_LAUNCH_ATTRS_MAX 64 /* more than there are kinds */

/* One launch as the program asks for it. */
struct genie_launch {
	unsigned int grid[3], block[3], shared;
	CUstream stream;
	const CUlaunchAttribute *attrs;
	unsigned int attr_count;
	void **params, **extra;
};

/* Bytes that the kernel's parameters take when packed; CUDA_ERROR_INVALID_VALUE when @launch does
 * not give them. *@ret_buffer: packed already, by the program (`extra`), or NULL. */
CUresult genie_launch_params(const struct genie_kernel_desc *desc, void **params, void **extra,
			     const void **ret_buffer, size_t *ret_size);
/* Packs them into @dst: @size bytes, as genie_launch_params() said. */
void genie_launch_pack(const struct genie_kernel_desc *desc, void **params, const void *buffer,
		       void *dst, size_t size);

/* What the driver says at once about a launch that cannot be. */
CUresult genie_launch_check(const struct genie_function *function,
			    const struct genie_launch *launch);

/* The payload of genieLaunch: its size, and its bytes. */
size_t genie_launch_size(size_t params_size, unsigned int attr_count);
void genie_launch_encode(void *payload, const struct genie_function *function, uint64_t stream,
			 const struct genie_launch *launch, const void *buffer, size_t params_size);

#endif
