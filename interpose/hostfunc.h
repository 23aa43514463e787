/*
 * Host functions that graphs need.
 */
#ifndef GENIE_INTERPOSE_HOSTFUNC_H
#define GENIE_INTERPOSE_HOSTFUNC_H

#include "interpose/client.h"

/* A function that graphs may run many times: has one reference. 0: out of memory. */
uint64_t genie_hostfunc_node(CUhostFn fn, void *data);
void genie_hostfunc_ref(uint64_t id);
/* Without references it is gone; the worker is told. */
void genie_hostfunc_drop(uint64_t id);
/* Runs @fn once, after all that was submitted to @stream; NULL: to any stream. @fn runs on the
 * thread of host functions. Failed: it does not run, and nothing does in @ctx. */
CUresult genie_hostfunc_after(struct genie_stream *stream, struct genie_ctx *ctx, CUhostFn fn,
			      void *data);

/* A function that was submitted may still have to run, and write to memory that a copy reads. */
bool genie_hostfunc_pending(void);

#endif
