#include "tests/codegen/roundtrip.h"

#include <string.h>

void
roundtrip_fill(void *data, size_t size)
{
	static uint32_t state = 1;

	for (size_t i = 0; i < size; i++) {
		state = state * 1664525u + 1013904223u;
		((uint8_t *)data)[i] = (uint8_t)(state >> 24);
	}
}

void
roundtrip_version(void *data, size_t size)
{
	uint32_t version = (uint32_t)size | 2u << 24;

	memcpy(data, &version, sizeof(version));
}

void
roundtrip_same(const void *got, const void *want, size_t size)
{
	cr_assert_not_null(got);
	cr_assert_arr_eq(got, want, size);
}

void
roundtrip_zero(const void *got, size_t size)
{
	cr_assert_not_null(got);
	for (size_t i = 0; i < size; i++)
		cr_assert_eq(((const uint8_t *)got)[i], 0);
}

/* A message of any other length must be refused, without reading beyond its end (the sanitizers
 * watch): each prefix is decoded from memory of exactly its size. */
static void
refuse_other_lengths(enum genie_op op, const uint8_t *bytes, size_t len)
{
	static uint8_t memory[GENIE_POOL_SIZE];
	struct genie_reader reader;
	struct genie_pool pool;
	struct genie_call call;

	for (size_t cut = 0; cut < len; cut += 4) {
		uint8_t *copy = malloc(cut ? cut : 1);

		memcpy(copy, bytes, cut);
		genie_pool_init(&pool, memory, sizeof(memory));
		genie_reader_init(&reader, copy, cut);
		cr_assert_not(genie_decode_args(&reader, &pool, op, &call));
		cr_assert_not_null(reader.why);
		free(copy);
	}
	genie_pool_init(&pool, memory, sizeof(memory));
	genie_reader_init(&reader, bytes, len + 8);
	cr_assert_not(genie_decode_args(&reader, &pool, op, &call));
}

void *
roundtrip_up(struct roundtrip *trip, enum genie_op op, const void *sent, size_t size)
{
	size_t len = genie_encoded_size(op, sent);
	const struct genie_op_desc *desc = genie_op_desc(op);
	struct genie_writer writer;
	struct genie_reader reader;
	struct genie_pool pool;

	cr_assert_not_null(desc);
	cr_assert_eq(desc->args_size, size);
	cr_assert_leq(len, GENIE_PAYLOAD_MAX);
	cr_assert_eq(len % 8, 0);
	memset(trip->up, 0, sizeof(trip->up));
	genie_writer_init(&writer, trip->up, len);
	genie_encode_args(&writer, op, sent);
	cr_assert_not(writer.fatal);
	cr_assert_eq(genie_writer_len(&writer), len);
	refuse_other_lengths(op, trip->up, len);

	genie_reader_init(&reader, trip->up, len);
	genie_pool_init(&pool, trip->pool, sizeof(trip->pool));
	cr_assert(genie_decode_args(&reader, &pool, op, &trip->call), "%s: %s", desc->name,
		  reader.why);
	return trip->call.args;
}

void
roundtrip_down(struct roundtrip *trip, void *sent)
{
	size_t len = genie_reply_size(&trip->call, 0);
	struct genie_writer writer;
	struct genie_reader reader;

	cr_assert_leq(len, GENIE_REPLY_MAX);
	genie_writer_init(&writer, trip->down, len);
	genie_encode_reply(&writer, &trip->call, 0);
	cr_assert_not(writer.fatal);
	cr_assert_eq(genie_writer_len(&writer), len);
	genie_reader_init(&reader, trip->down, len);
	genie_decode_reply(&reader, trip->call.op, sent, 0);
	cr_assert_not(reader.fatal, "%s", reader.why);
}
