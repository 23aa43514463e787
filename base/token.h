/*
 * Handles as the program sees them: 64-bit tokens that the client makes, so that a create call
 * needs no answer from the server.
 *
 * A token is a non-canonical address: nothing can dereference it by accident (measured: cudart,
 * cuBLAS, cuDNN, cuFFT, cuRAND, cuSPARSE and cuSOLVER never try). The kind is part of the token,
 * so that a stream passed as an event is refused by both sides without a table lookup.
 *
 *   63      48 47   40 39         32 31          0
 *   |  0x5A5A | kind  | generation  |   index    |
 *
 * The generation changes when an index is used again, so a stale handle is recognised.
 * Indices from GENIE_TOKEN_SERVER_BASE on are named by the server (a handle that exists already,
 * such as the default memory pool, or the nodes of a captured graph).
 */
#ifndef GENIE_BASE_TOKEN_H
#define GENIE_BASE_TOKEN_H

#include <stdint.h>

/* Wire values: append only, never reuse. */
enum genie_kind {
	GENIE_KIND_NONE = 0,
	GENIE_KIND_CTX = 1,
	GENIE_KIND_STREAM = 2,
	GENIE_KIND_EVENT = 3,
	GENIE_KIND_MODULE = 4,
	GENIE_KIND_LIBRARY = 5,
	GENIE_KIND_KERNEL = 6,   /* CUkernel: a kernel of a library, no context */
	GENIE_KIND_FUNCTION = 7, /* CUfunction: a kernel in one context */
	GENIE_KIND_GRAPH = 8,
	GENIE_KIND_GRAPHNODE = 9,
	GENIE_KIND_GRAPHEXEC = 10,
	GENIE_KIND_ARRAY = 11,
	GENIE_KIND_MIPARRAY = 12,
	GENIE_KIND_TEXOBJ = 13,
	GENIE_KIND_SURFOBJ = 14,
	GENIE_KIND_MEMPOOL = 15,
	GENIE_KIND_MEMHANDLE = 16, /* CUmemGenericAllocationHandle */
	GENIE_KIND_LINKSTATE = 17,
	GENIE_KIND_GREENCTX = 18,
	GENIE_KIND_USEROBJ = 19,
	GENIE_KIND_NVMLDEV = 20,
	GENIE_KIND_TEXREF = 21,
	GENIE_KIND_SURFREF = 22,
	GENIE_KIND_DEVDESC = 23,   /* CUdevResourceDesc */
	GENIE_KIND_NVMLSET = 24,   /* nvmlEventSet_t */
	GENIE_KIND_GPMSAMPLE = 25, /* nvmlGpmSample_t */
	GENIE_KIND_NVMLGI = 26,    /* nvmlGpuInstance_t */
	GENIE_KIND_NVMLCI = 27,    /* nvmlComputeInstance_t */
	GENIE_KIND_COUNT
};

#define GENIE_TOKEN_TAG         UINT64_C(0x5A5A)
#define GENIE_TOKEN_SERVER_BASE UINT32_C(0x80000000)

static inline uint64_t
genie_token(enum genie_kind kind, uint8_t generation, uint32_t index)
{
	return GENIE_TOKEN_TAG << 48 | (uint64_t)kind << 40 | (uint64_t)generation << 32 | index;
}

/* GENIE_KIND_NONE when @token is not one of ours. */
static inline enum genie_kind
genie_token_kind(uint64_t token)
{
	unsigned kind = token >> 40 & 0xff;

	if (token >> 48 != GENIE_TOKEN_TAG || kind >= GENIE_KIND_COUNT)
		return GENIE_KIND_NONE;
	return (enum genie_kind)kind;
}

static inline uint32_t
genie_token_index(uint64_t token)
{
	return (uint32_t)token;
}

static inline uint8_t
genie_token_generation(uint64_t token)
{
	return token >> 32 & 0xff;
}

#endif
