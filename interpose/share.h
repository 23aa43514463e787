/*
 * Memory and events of other processes that use the same server. What a process gives away (a
 * handle of 64 bytes, or a descriptor that can be sent like any other) names the thing at the
 * server; the bytes mean nothing without a session there.
 */
#ifndef GENIE_INTERPOSE_SHARE_H
#define GENIE_INTERPOSE_SHARE_H

#include "interpose/client.h"

/* What a pool is in the eyes of other processes. */
#define GENIE_POOL_ID 16

/* Whether this process has given memory away or taken some: others may look at it as soon as they
 * are told to, by means that we do not see. */
bool genie_share_in_use(void);

/* Closes memory of another process. False: @addr is not where it begins. */
bool genie_share_close(uint64_t addr);
/* The context ends: so does what was opened in it. */
void genie_share_forget_ctx(const struct genie_ctx *ctx);
/* The pool ends: so does what was opened for it. */
void genie_share_forget_pool(const struct genie_mempool *pool);

/* pool.c: @types CU_MEM_HANDLE_TYPE_*. The pool's name for others, made at the first question.
 * False: not a pool of this process that may be shared so. */
bool genie_mempool_export(CUmemoryPool handle, unsigned int types, uint8_t ret_id[GENIE_POOL_ID],
			  int *ret_device);
/* Its name if others may know what is in it; false: no. */
bool genie_mempool_exported(const struct genie_mempool *pool, uint8_t ret_id[GENIE_POOL_ID]);
/* A pool of another process. NULL: out of memory. */
CUmemoryPool genie_mempool_import(const uint8_t id[GENIE_POOL_ID], int device);
/* NULL: not an imported pool, or another one than @id. */
struct genie_mempool *genie_mempool_imported(CUmemoryPool handle, const uint8_t id[GENIE_POOL_ID]);

#endif
