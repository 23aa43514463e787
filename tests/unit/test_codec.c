/* The codec where calls differ: lengths, NULL, strings, failures, limits. That every call arrives
 * as it was sent is the business of the generated round trips. */
#include "wire/codec.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/token.h"
#include "genie_args.h"

static _Alignas(64) uint8_t up[GENIE_CMD_MAX + 64];
static _Alignas(64) uint8_t down[GENIE_REPLY_MAX];
static uint8_t pool_memory[GENIE_POOL_SIZE];

static size_t
encode(enum genie_op op, const void *args)
{
	size_t size = genie_encoded_size(op, args);
	struct genie_writer writer;

	cr_assert_leq(size, GENIE_PAYLOAD_MAX);
	genie_writer_init(&writer, up, sizeof(up));
	genie_encode_args(&writer, op, args);
	cr_assert_not(writer.fatal);
	cr_assert_eq(genie_writer_len(&writer), size);
	return size;
}

/* NULL, or why not. */
static const char *
decode_at(const void *bytes, size_t size, enum genie_op op, struct genie_call *ret_call)
{
	struct genie_reader reader;
	struct genie_pool pool;
	bool ok;

	genie_reader_init(&reader, bytes, size);
	genie_pool_init(&pool, pool_memory, sizeof(pool_memory));
	ok = genie_decode_args(&reader, &pool, op, ret_call);
	cr_assert_eq(ok, !reader.fatal);
	return ok ? NULL : reader.why;
}

static const char *
decode(size_t size, enum genie_op op, struct genie_call *ret_call)
{
	return decode_at(up, size, op, ret_call);
}

static bool
answer(const struct genie_call *call, void *args, int32_t status)
{
	struct genie_writer writer;
	struct genie_reader reader;

	genie_writer_init(&writer, down, sizeof(down));
	genie_encode_reply(&writer, call, status);
	cr_assert_not(writer.fatal);
	cr_assert_eq(genie_writer_len(&writer), genie_reply_size(call, status));
	genie_reader_init(&reader, down, genie_writer_len(&writer));
	genie_decode_reply(&reader, call->op, args, status);
	return !reader.fatal;
}

Test(codec, null_is_not_empty)
{
	struct genie_args_genieLaunch sent = {.gridX = 7}, *got;
	struct genie_call call;

	cr_assert_null(decode(encode(GENIE_OP_genieLaunch, &sent), GENIE_OP_genieLaunch, &call));
	got = call.args;
	cr_assert_null(got->params);
	sent.params = "";
	cr_assert_null(decode(encode(GENIE_OP_genieLaunch, &sent), GENIE_OP_genieLaunch, &call));
	got = call.args;
	cr_assert_not_null(got->params);
	cr_assert_eq(got->params_size, 0);
	cr_assert_eq(got->gridX, 7);
}

Test(codec, data_is_used_where_it_is)
{
	char params[24] = "twenty-four bytes of it";
	struct genie_args_genieLaunch sent = {.params = params, .params_size = 24}, *got;
	struct genie_call call;
	size_t size = encode(GENIE_OP_genieLaunch, &sent);

	cr_assert_null(decode(size, GENIE_OP_genieLaunch, &call));
	got = call.args;
	cr_assert((uint8_t *)got->params > up && (uint8_t *)got->params < up + size);
	cr_assert_eq((uintptr_t)got->params % 8, 0);
}

Test(codec, data_that_is_not_aligned_is_moved)
{
	CUlaunchAttribute attrs[2] = {0};
	struct genie_args_genieLaunch sent = {.attrs = attrs, .attr_count = 2}, *got;
	struct genie_call call;
	size_t size;

	attrs[1].id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
	attrs[1].value.cooperative = 1;
	size = encode(GENIE_OP_genieLaunch, &sent);
	memmove(up + 4, up, size);
	cr_assert_null(decode_at(up + 4, size, GENIE_OP_genieLaunch, &call));
	got = call.args;
	cr_assert_eq((uintptr_t)got->attrs % _Alignof(CUlaunchAttribute), 0);
	cr_assert_eq(got->attrs[1].value.cooperative, 1);
}

Test(codec, handles_of_an_array_are_copied)
{
	CUgraphNode from[2] = {(CUgraphNode)1, (CUgraphNode)2};
	CUgraphNode to[2] = {(CUgraphNode)3, (CUgraphNode)4};
	struct genie_args_genieGraphEdges sent = {.from = from, .to = to, .count = 2}, *got;
	struct genie_call call;
	size_t size = encode(GENIE_OP_genieGraphEdges, &sent);

	cr_assert_null(decode(size, GENIE_OP_genieGraphEdges, &call));
	got = call.args;
	cr_assert((uint8_t *)got->from < up || (uint8_t *)got->from >= up + size);
	cr_assert_eq(got->from[1], from[1]);
	cr_assert_eq(got->to[1], to[1]);
}

Test(codec, negative_length_is_none)
{
	int values[4] = {0};
	struct genie_args_genieFunctionInfo sent = {.values = values, .count = -1}, *got;
	struct genie_call call;

	cr_assert_null(decode(encode(GENIE_OP_genieFunctionInfo, &sent), GENIE_OP_genieFunctionInfo,
			      &call));
	got = call.args;
	cr_assert_eq(got->count, -1);
	cr_assert_not_null(got->values);
	cr_assert_eq(genie_reply_size(&call, 0), 0);
	sent.count = INT32_MIN;
	cr_assert_eq(genie_encoded_size(GENIE_OP_genieFunctionInfo, &sent),
		     encode(GENIE_OP_genieFunctionInfo, &sent));
}

Test(codec, lengths_that_cannot_travel)
{
	struct genie_args_genieImageData image = {.hash = up, .data = up, .size = SIZE_MAX};
	struct genie_args_genieMemcpyDtoHReply copy = {.data = up, .size = GENIE_REPLY_MAX + 1};
	CUlaunchAttribute attr = {0};
	struct genie_args_genieLaunch launch = {.attrs = &attr, .attr_count = UINT32_MAX};

	cr_assert_eq(genie_encoded_size(GENIE_OP_genieImageData, &image), SIZE_MAX);
	image.size = GENIE_CMD_MAX;
	cr_assert_eq(genie_encoded_size(GENIE_OP_genieImageData, &image), SIZE_MAX);
	cr_assert_eq(genie_encoded_size(GENIE_OP_genieMemcpyDtoHReply, &copy), SIZE_MAX);
	copy.size = GENIE_REPLY_MAX;
	cr_assert_neq(genie_encoded_size(GENIE_OP_genieMemcpyDtoHReply, &copy), SIZE_MAX);
	cr_assert_eq(genie_encoded_size(GENIE_OP_genieLaunch, &launch), SIZE_MAX);
}

/* Where the fixed part of a call has its values: after the presence bits. */
static void
poke(size_t offset, uint64_t value)
{
	memcpy(up + offset, &value, sizeof(value));
}

Test(codec, a_hostile_length)
{
	struct genie_args_genieMemcpyDtoHReply sent = {.data = up, .size = 8};
	struct genie_call call;
	size_t size = encode(GENIE_OP_genieMemcpyDtoHReply, &sent);

	/* presence, src, size, stream */
	poke(16, GENIE_REPLY_MAX + 1);
	cr_assert_str_eq(decode(size, GENIE_OP_genieMemcpyDtoHReply, &call),
			 "a length beyond every limit");
	poke(16, UINT64_MAX);
	cr_assert_str_eq(decode(size, GENIE_OP_genieMemcpyDtoHReply, &call),
			 "a length beyond every limit");
	poke(16, GENIE_REPLY_MAX);
	cr_assert_null(decode(size, GENIE_OP_genieMemcpyDtoHReply, &call));
}

Test(codec, presence_is_checked)
{
	int value;
	size_t granted;
	struct genie_args_genieMemCredit sent = {.granted = &granted};
	struct genie_args_genieFunctionInfo info = {.values = &value, .count = 1};
	struct genie_call call;
	size_t size = encode(GENIE_OP_genieMemCredit, &sent);

	poke(0, 0);
	cr_assert_str_eq(decode(size, GENIE_OP_genieMemCredit, &call),
			 "a pointer that must not be NULL is");
	poke(0, 2);
	cr_assert_str_eq(decode(size, GENIE_OP_genieMemCredit, &call),
			 "more pointers than parameters");
	size = encode(GENIE_OP_genieFunctionInfo, &info);
	poke(0, UINT64_C(1) << 63 | 1);
	cr_assert_str_eq(decode(size, GENIE_OP_genieFunctionInfo, &call),
			 "more pointers than parameters");
}

Test(codec, strings_end_where_they_say)
{
	struct genie_args_genieFunctionGet sent = {.name = "kernel"}, *got;
	const size_t text = 32; /* presence, two handles, length */
	struct genie_call call;
	size_t size = encode(GENIE_OP_genieFunctionGet, &sent);

	cr_assert_eq(memcmp(up + text, "kernel", 7), 0);
	cr_assert_null(decode(size, GENIE_OP_genieFunctionGet, &call));
	got = call.args;
	cr_assert_str_eq(got->name, "kernel");
	up[text + 6] = 'x';
	cr_assert_str_eq(decode(size, GENIE_OP_genieFunctionGet, &call),
			 "a string without its end");
	up[text + 6] = 0;
	up[text + 2] = 0;
	cr_assert_str_eq(decode(size, GENIE_OP_genieFunctionGet, &call),
			 "a string without its end");
	poke(text - 8, 0);
	cr_assert_str_eq(decode(size, GENIE_OP_genieFunctionGet, &call),
			 "a string without its end");
	poke(text - 8, UINT64_MAX);
	cr_assert_str_eq(decode(size, GENIE_OP_genieFunctionGet, &call),
			 "a string without its end");
	poke(text - 8, 64);
	cr_assert_str_eq(decode(size, GENIE_OP_genieFunctionGet, &call), "cut short");
}

Test(codec, a_long_name_travels_and_a_longer_one_does_not)
{
	static char name[GENIE_CMD_MAX + 2];
	struct genie_args_genieFunctionGet sent = {.name = name};
	struct genie_call call;

	memset(name, 'n', 5000);
	cr_assert_null(
		decode(encode(GENIE_OP_genieFunctionGet, &sent), GENIE_OP_genieFunctionGet, &call));
	memset(name, 'n', sizeof(name) - 1);
	cr_assert_eq(genie_encoded_size(GENIE_OP_genieFunctionGet, &sent), SIZE_MAX);
}

Test(codec, an_answer_is_as_large_as_the_caller_has_room)
{
	unsigned long long runs[2] = {0};
	size_t count = 2, data_size = 0;
	unsigned char data[1];
	struct genie_args_genieMirrorScan sent = {
		.runs = runs, .count = &count, .data = data, .data_size = &data_size};
	struct genie_args_genieMirrorScan *got;
	struct genie_call call;

	cr_assert_null(
		decode(encode(GENIE_OP_genieMirrorScan, &sent), GENIE_OP_genieMirrorScan, &call));
	got = call.args;
	cr_assert_eq(*got->count, 2);
	got->runs[0] = 10;
	got->runs[1] = 11;
	*got->count = 1000; /* "there are more": must not make the answer larger */
	cr_assert(answer(&call, &sent, 0));
	cr_assert_eq(runs[1], 11);
	cr_assert_eq(count, 1000);
}

Test(codec, a_failed_call_changes_only_what_goes_both_ways)
{
	unsigned long long runs[2] = {5, 6};
	size_t count = 2, data_size = 0;
	unsigned char data[1];
	struct genie_args_genieMirrorScan sent = {
		.runs = runs, .count = &count, .data = data, .data_size = &data_size};
	struct genie_args_genieMirrorScan *got;
	struct genie_call call;

	cr_assert_null(
		decode(encode(GENIE_OP_genieMirrorScan, &sent), GENIE_OP_genieMirrorScan, &call));
	got = call.args;
	*got->count = 3;
	cr_assert(answer(&call, &sent, CUDA_ERROR_INVALID_VALUE));
	cr_assert_eq(runs[0], 5);
	cr_assert_eq(count, 3);
}

Test(codec, a_wrong_answer_is_noticed)
{
	size_t granted = 1;
	struct genie_args_genieMemCredit sent = {.granted = &granted};
	uint64_t bytes[2] = {42, 0};
	struct genie_reader reader;

	genie_reader_init(&reader, bytes, 4);
	genie_decode_reply(&reader, GENIE_OP_genieMemCredit, &sent, 0);
	cr_assert(reader.fatal);
	cr_assert_eq(granted, 1);
	genie_reader_init(&reader, bytes, 16);
	genie_decode_reply(&reader, GENIE_OP_genieMemCredit, &sent, 0);
	cr_assert(reader.fatal);
	genie_reader_init(&reader, bytes, 8);
	genie_decode_reply(&reader, GENIE_OP_genieMemCredit, &sent, 0);
	cr_assert_not(reader.fatal);
	cr_assert_eq(granted, 42);
}

Test(codec, a_pool_that_is_too_small)
{
	struct genie_args_genieMemcpyDtoHReply sent = {.data = up, .size = 4096};
	uint8_t memory[512];
	struct genie_reader reader;
	struct genie_pool pool;
	struct genie_call call;
	size_t size = encode(GENIE_OP_genieMemcpyDtoHReply, &sent);

	genie_reader_init(&reader, up, size);
	genie_pool_init(&pool, memory, sizeof(memory));
	cr_assert_not(genie_decode_args(&reader, &pool, GENIE_OP_genieMemcpyDtoHReply, &call));
	cr_assert_str_eq(reader.why, "needs more memory than a command may");
	genie_reader_init(&reader, up, size);
	genie_pool_init(&pool, memory, 0);
	cr_assert_not(genie_decode_args(&reader, &pool, GENIE_OP_genieMemcpyDtoHReply, &call));
}

Test(codec, ids_that_do_not_travel)
{
	struct genie_call call;

	cr_assert_str_eq(decode(0, GENIE_OP_cuInit, &call), "no such call");
	cr_assert_str_eq(decode(0, (enum genie_op)GENIE_OP_MAX, &call), "no such call");
	cr_assert_str_eq(decode(0, (enum genie_op)0xffff, &call), "no such call");
	cr_assert_null(genie_op_desc(UINT32_MAX));
	cr_assert_null(genie_op_desc(GENIE_OP_cuMemcpyHtoD_v2));
	cr_assert_str_eq(genie_op_desc(GENIE_OP_genieLaunch)->name, "genieLaunch");
}

Test(codec, calls_without_parameters)
{
	struct genie_args_genieCtxMark sent = {0};
	struct genie_call call;

	cr_assert_eq(encode(GENIE_OP_genieCtxMark, &sent), 0);
	cr_assert_null(decode(0, GENIE_OP_genieCtxMark, &call));
	cr_assert_str_eq(decode(8, GENIE_OP_genieCtxMark, &call), "longer than its call");
}

Test(codec, descriptors_fit_the_limits)
{
	for (unsigned op = 0; op < GENIE_OP_MAX; op++) {
		const struct genie_op_desc *desc = genie_op_desc(op);

		if (!desc)
			continue;
		cr_assert_leq(desc->arg_count, GENIE_ARGS_MAX);
		cr_assert_leq(desc->pointer_count, desc->arg_count);
		for (unsigned i = 0; i < desc->arg_count; i++) {
			const struct genie_arg_desc *arg = &desc->args[i];
			bool value = arg->kind == GENIE_ARG_VALUE;

			cr_assert_eq(value, i < (unsigned)desc->arg_count - desc->pointer_count);
			cr_assert_lt(arg->handle, GENIE_KIND_COUNT);
			cr_assert_leq(arg->align, GENIE_POOL_ALIGN);
			cr_assert_gt(arg->size, 0);
		}
	}
}

Test(codec, the_hash_is_one_number)
{
	cr_assert_eq(GENIE_API_HASH, genie_api_hash());
	cr_assert_neq(genie_api_hash(), 0);
}
