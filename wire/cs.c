#include "wire/cs.h"

#include <string.h>

/* Items are padded to this, so that no value of 4 bytes is ever unaligned. */
#define ITEM_ALIGN 4

/* @size rounded up to @align; SIZE_MAX when that overflows, which then fits nowhere. */
static size_t
round_up(size_t size, size_t align)
{
	size_t padded;

	if (__builtin_add_overflow(size, align - 1, &padded))
		return SIZE_MAX;
	return padded & ~(align - 1);
}

/* Stands for a buffer of no bytes, so that no arithmetic is done on NULL. */
static uint8_t nothing[1];

void
genie_writer_init(struct genie_writer *writer, void *buf, size_t size)
{
	if (!buf)
		buf = nothing;
	*writer = (struct genie_writer){.start = buf, .cur = buf, .end = (uint8_t *)buf + size};
}

void
genie_writer_put(struct genie_writer *writer, const void *data, size_t size)
{
	size_t padded = round_up(size, ITEM_ALIGN);

	if (writer->fatal || padded > (size_t)(writer->end - writer->cur)) {
		writer->fatal = true;
		return;
	}
	if (size)
		memcpy(writer->cur, data, size);
	if (padded != size)
		memset(writer->cur + size, 0, padded - size);
	writer->cur += padded;
}

void
genie_writer_align(struct genie_writer *writer, size_t align)
{
	size_t pad = round_up(genie_writer_len(writer), align) - genie_writer_len(writer);

	if (writer->fatal || pad > (size_t)(writer->end - writer->cur)) {
		writer->fatal = true;
		return;
	}
	memset(writer->cur, 0, pad);
	writer->cur += pad;
}

size_t
genie_writer_len(const struct genie_writer *writer)
{
	return (size_t)(writer->cur - writer->start);
}

void
genie_reader_init(struct genie_reader *reader, const void *buf, size_t size)
{
	if (!buf)
		buf = nothing;
	*reader =
		(struct genie_reader){.start = buf, .cur = buf, .end = (const uint8_t *)buf + size};
}

void
genie_reader_fail(struct genie_reader *reader, const char *why)
{
	if (reader->fatal)
		return;
	reader->fatal = true;
	reader->why = why;
}

const void *
genie_reader_take(struct genie_reader *reader, size_t size)
{
	size_t padded = round_up(size, ITEM_ALIGN);
	const void *data = reader->cur;

	if (reader->fatal)
		return NULL;
	if (padded > (size_t)(reader->end - reader->cur)) {
		genie_reader_fail(reader, "cut short");
		return NULL;
	}
	reader->cur += padded;
	return data;
}

void
genie_reader_get(struct genie_reader *reader, void *ret_data, size_t size)
{
	const void *data = genie_reader_take(reader, size);

	if (data)
		memcpy(ret_data, data, size);
	else
		memset(ret_data, 0, size);
}

void
genie_reader_align(struct genie_reader *reader, size_t align)
{
	size_t done = (size_t)(reader->cur - reader->start);

	genie_reader_take(reader, round_up(done, align) - done);
}

void
genie_reader_end(struct genie_reader *reader)
{
	if (reader->cur != reader->end)
		genie_reader_fail(reader, "longer than its call");
}

void
genie_pool_init(struct genie_pool *pool, void *buf, size_t size)
{
	size_t skip = -(uintptr_t)buf & (GENIE_POOL_ALIGN - 1);

	*pool = (struct genie_pool){.base = (uint8_t *)buf + skip,
				    .size = size > skip ? size - skip : 0};
}

void
genie_pool_reset(struct genie_pool *pool)
{
	pool->used = 0;
}

void *
genie_pool_alloc(struct genie_pool *pool, size_t size)
{
	size_t padded = round_up(size, GENIE_POOL_ALIGN);
	void *data = pool->base + pool->used;

	if (padded > pool->size - pool->used)
		return NULL;
	pool->used += padded;
	memset(data, 0, size);
	return data;
}
