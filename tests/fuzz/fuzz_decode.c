/*
 * The decoder, fed directly: no socket, no session. Two bytes name the call, the rest is the
 * payload a hostile client sent. What is accepted must be exactly what our own encoder writes, and
 * its answer must come back; the sanitizers watch every access.
 *
 * Built with libFuzzer (clang) or with fuzz_main.c (any compiler).
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "wire/codec.h"

static uint8_t memory[GENIE_POOL_SIZE];
static _Alignas(8) uint8_t again[GENIE_CMD_MAX];
static _Alignas(8) uint8_t answer[GENIE_REPLY_MAX];

static void
must(bool holds)
{
	if (!holds)
		abort();
}

/* Like a driver: reads all it was given, writes all it may. */
static volatile uint8_t sink;

static void
pretend_driver(const struct genie_call *call, const struct genie_op_desc *desc)
{
	unsigned first = desc->arg_count - desc->pointer_count;

	for (unsigned i = 0; i < desc->pointer_count; i++) {
		const struct genie_arg_desc *arg = &desc->args[first + i];
		uint8_t *data;

		memcpy(&data, (uint8_t *)call->args + arg->offset, sizeof(data));
		must(data || arg->nullable);
		if (!data)
			continue;
		if (arg->kind == GENIE_ARG_STRING) {
			sink = (uint8_t)strlen((char *)data);
		} else if (arg->kind != GENIE_ARG_IN) {
			for (size_t k = 0; k < call->out_len[i]; k++)
				sink = data[k];
		}
	}
}

static void
check_answer(const struct genie_call *call, int32_t status)
{
	struct genie_writer writer;
	struct genie_reader reader;

	genie_writer_init(&writer, answer, sizeof(answer));
	genie_encode_reply(&writer, call, status);
	must(!writer.fatal && genie_writer_len(&writer) == genie_reply_size(call, status));
	genie_reader_init(&reader, answer, genie_writer_len(&writer));
	genie_decode_reply(&reader, call->op, call->args, status);
	must(!reader.fatal);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct genie_op_desc *desc;
	struct genie_reader reader;
	struct genie_writer writer;
	struct genie_pool pool;
	struct genie_call call;
	uint16_t op;
	void *copy;

	if (size < sizeof(op) || size - sizeof(op) > GENIE_PAYLOAD_MAX)
		return 0;
	memcpy(&op, data, sizeof(op));
	size -= sizeof(op);
	copy = malloc(size ? size : 1); /* of exactly this size: one byte too far is seen */
	if (!copy)
		return 0;
	memcpy(copy, data + sizeof(op), size);
	genie_reader_init(&reader, copy, size);
	genie_pool_init(&pool, memory, sizeof(memory));
	if (genie_decode_args(&reader, &pool, (enum genie_op)op, &call)) {
		desc = genie_op_desc(op);
		must(desc != NULL);
		pretend_driver(&call, desc);
		must(genie_encoded_size(call.op, call.args) == size);
		genie_writer_init(&writer, again, size);
		genie_encode_args(&writer, call.op, call.args);
		must(!writer.fatal && genie_writer_len(&writer) == size);
		check_answer(&call, 0);
		check_answer(&call, 1);
	} else {
		must(reader.why != NULL);
	}
	free(copy);
	return 0;
}
