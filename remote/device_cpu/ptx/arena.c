#include "remote/device_cpu/ptx/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_SIZE = 64 << 10 };

struct ptx_arena_chunk {
	struct ptx_arena_chunk *next;
	size_t size; /* of data */
	_Alignas(16) uint8_t data[];
};

void *
ptx_arena_alloc(struct ptx_arena *arena, size_t size)
{
	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + 15) & ~(size_t)15;

	if (!arena->chunks || arena->chunks->size - arena->used < size) {
		size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;
		struct ptx_arena_chunk *chunk = calloc(1, sizeof(*chunk) + room);

		if (!chunk)
			return NULL;
		chunk->size = room;
		chunk->next = arena->chunks;
		arena->chunks = chunk;
		arena->used = 0;
		arena->total += room;
	}
	void *p = arena->chunks->data + arena->used;
	arena->used += size;
	return p;
}

char *
ptx_arena_string(struct ptx_arena *arena, const char *text, size_t len)
{
	char *copy = ptx_arena_alloc(arena, len + 1);

	if (copy)
		memcpy(copy, text, len);
	return copy;
}

void
ptx_arena_fini(struct ptx_arena *arena)
{
	struct ptx_arena_chunk *next;

	for (struct ptx_arena_chunk *c = arena->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	*arena = (struct ptx_arena){0};
}
