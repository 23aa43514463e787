/*
 * Host functions that graphs need.
 */
#ifndef GENIE_INTERPOSE_HOSTFUNC_H
#define GENIE_INTERPOSE_HOSTFUNC_H

#include "interpose/client.h"

/* A function that may run many times, until it is dropped. 0: out of memory. */
uint64_t genie_hostfunc_node(CUhostFn fn, void *data);
void genie_hostfunc_drop(uint64_t id);

/* A function that was submitted may still have to run, and write to memory that a copy reads. */
bool genie_hostfunc_pending(void);

#endif
