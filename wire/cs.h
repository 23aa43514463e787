/*
 * Bounded cursors over bytes that travel, and the memory that decoding needs.
 *
 * Both cursors have a sticky flag: after the first failure everything else does nothing, so code
 * that encodes or decodes is written straight through and looks at ->fatal once, at the end. What
 * is read is hostile: a length is compared with what is left before it is used.
 *
 * Every item starts at a multiple of 4 from the start, and its padding is zero.
 */
#ifndef GENIE_WIRE_CS_H
#define GENIE_WIRE_CS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct genie_writer {
	uint8_t *start, *cur, *end;
	bool fatal; /* it did not fit */
};

struct genie_reader {
	const uint8_t *start, *cur, *end;
	bool fatal;
	const char *why; /* the first failure, for the log */
};

void genie_writer_init(struct genie_writer *writer, void *buf, size_t size);
void genie_writer_put(struct genie_writer *writer, const void *data, size_t size);
/* Zeros up to the next multiple of @align (a power of two) from the start. */
void genie_writer_align(struct genie_writer *writer, size_t align);
/* Bytes written so far. */
size_t genie_writer_len(const struct genie_writer *writer);

void genie_reader_init(struct genie_reader *reader, const void *buf, size_t size);
/* The next @size bytes, where they are; NULL when there are not so many. They may be unaligned. */
const void *genie_reader_take(struct genie_reader *reader, size_t size);
/* Copies the next @size bytes; zeros when there are not so many. */
void genie_reader_get(struct genie_reader *reader, void *ret_data, size_t size);
void genie_reader_align(struct genie_reader *reader, size_t align);
/* Everything must have been read. */
void genie_reader_end(struct genie_reader *reader);
void genie_reader_fail(struct genie_reader *reader, const char *why);

/*
 * Memory for one decoded command: a bump allocator over a buffer of the caller. What it gives is
 * zeroed: uninitialised bytes never reach a driver or a peer.
 */
struct genie_pool {
	uint8_t *base;
	size_t used, size;
};
#define GENIE_POOL_ALIGN 64

void genie_pool_init(struct genie_pool *pool, void *buf, size_t size);
void genie_pool_reset(struct genie_pool *pool);
/* Aligned to GENIE_POOL_ALIGN; never NULL for 0 bytes. NULL: the pool is used up. */
void *genie_pool_alloc(struct genie_pool *pool, size_t size);

#endif
