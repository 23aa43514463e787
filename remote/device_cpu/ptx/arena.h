/*
 * Memory that is freed all at once: the parsed form of a function lives in one arena until the
 * function is lowered, a module's names live in another until the module is unloaded.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_ARENA_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_ARENA_H

#include <stddef.h>

struct ptx_arena_chunk;

struct ptx_arena {
	struct ptx_arena_chunk *chunks;
	size_t used;  /* bytes handed out of the newest chunk */
	size_t total; /* bytes of all chunks */
};

/* Zeroed, 16-byte aligned; NULL: out of memory. Freed by ptx_arena_fini. */
void *ptx_arena_alloc(struct ptx_arena *arena, size_t size);
/* A copy of @len bytes at @text with a NUL after them; NULL: out of memory. */
char *ptx_arena_string(struct ptx_arena *arena, const char *text, size_t len);
void ptx_arena_fini(struct ptx_arena *arena);

#endif
