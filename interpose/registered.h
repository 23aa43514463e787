/*
 * Memory of the program itself that it has registered (cuMemHostRegister). Over shared memory its
 * pages become the worker's too, where that can be done (remap.h); else the device gets a block of
 * the pinned window that mirrors it (mirror.h).
 */
#ifndef GENIE_INTERPOSE_REGISTERED_H
#define GENIE_INTERPOSE_REGISTERED_H

#include "interpose/client.h"

/* The allocation at an address by which only the device knows it. */
bool genie_registered_find_view(uint64_t addr, struct genie_mem *ret_mem);
void genie_registered_forget_ctx(struct genie_ctx *ctx);

/* How many were shared, and how many could not be: for GENIE_STATS. */
void genie_registered_counts(uint64_t *ret_shared, uint64_t *ret_mirrored);

#endif
