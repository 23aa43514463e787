/* Uploads that the server knows: what is named, what is sent, and a server that lies about it. */
#include "interpose/client.h"
#include "interpose/upload.h"

#include <criterion/criterion.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fake_chan.h"
#include "wire/codec.h"

#define MIB ((size_t)1 << 20)

/* The server's: names there are, and what it says it has. */
static uint64_t heads[10000];
static size_t head_count, answered_count;
static unsigned long long have;
static uint8_t named[GENIE_UPLOAD_NAMED_MAX][32];
static size_t named_count, sent;

static void
answer_to(struct genie_call *call)
{
	if (call->op == GENIE_OP_genieUploadNames) {
		struct genie_args_genieUploadNames *args = call->args;
		size_t count = *args->count;

		if (args->from >= head_count)
			count = 0;
		else if (count > head_count - args->from)
			count = head_count - args->from;
		if (count)
			memcpy(args->heads, heads + args->from, count * sizeof(heads[0]));
		*args->count = answered_count ? answered_count : count;
	} else if (call->op == GENIE_OP_genieUploadCopy) {
		struct genie_args_genieUploadCopy *args = call->args;

		named_count = args->hashes_size / sizeof(named[0]);
		cr_assert_leq(named_count, GENIE_UPLOAD_NAMED_MAX);
		memcpy(named, args->hashes, args->hashes_size);
		*args->have = have;
	}
}

static void
answer(enum genie_op op, const void *payload, size_t len)
{
	static uint8_t memory[GENIE_POOL_SIZE];
	struct genie_reader reader;
	struct genie_writer writer;
	struct genie_pool pool;
	struct genie_call call;

	genie_pool_init(&pool, memory, sizeof(memory));
	genie_reader_init(&reader, payload, len);
	cr_assert(genie_decode_args(&reader, &pool, op, &call), "%s", reader.why);
	answer_to(&call);
	fake.reply_len = genie_reply_size(&call, fake.status);
	genie_writer_init(&writer, fake.reply, sizeof(fake.reply));
	genie_encode_reply(&writer, &call, fake.status);
}

static uint64_t
count_sent(const void *src, size_t len)
{
	(void)src;
	sent += len;
	return 0;
}

static CUcontext ctx;
static CUdeviceptr device;
static uint8_t *host;

static void
start(void)
{
	fake_init();
	fake.on_command = answer;
	fake.on_bulk_send = count_sent;
	fake.complete = true;
	fake.welcome.flags = GENIE_WELCOME_F_UPLOADS;
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cuDevicePrimaryCtxRetain(&ctx, 0);
	cuCtxSetCurrent(ctx);
	cr_assert_eq(cuMemAlloc_v2(&device, 200 * MIB), CUDA_SUCCESS);
	host = malloc(200 * MIB);
	for (size_t i = 0; i < 200 * MIB; i += 8)
		memcpy(host + i, &i, sizeof(i));
}

TestSuite(upload, .init = start, .timeout = 60);

static void
name(const uint8_t *data, size_t size, uint8_t *ret_hash)
{
	struct sha256_ctx sha;

	sha256_init(&sha);
	sha256_update(&sha, size, data);
	sha256_digest(&sha, 32, ret_hash);
}

/* The server has the @i-th chunk of host's. */
static void
knows(size_t i, size_t size)
{
	uint8_t hash[32];

	name(host + i * MIB, size, hash);
	memcpy(&heads[head_count++], hash, sizeof(heads[0]));
}

Test(upload, known_chunks_are_named)
{
	static const uint8_t none[32];
	uint8_t hash[32];

	/* behind what one answer has room for */
	for (head_count = 0; head_count < 5000; head_count++)
		heads[head_count] = head_count;
	knows(1, MIB);
	knows(3, 100000);
	have = 1 << 1 | 1 << 3;
	cr_assert_eq(cuMemcpyHtoD_v2(device, host, 3 * MIB + 100000), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieUploadNames), 2);
	cr_assert_eq(fake_count(GENIE_OP_genieUploadCopy), 1);
	cr_assert_eq(named_count, 4);
	name(host + MIB, MIB, hash);
	cr_assert_arr_eq(named[1], hash, 32);
	name(host + 3 * MIB, 100000, hash);
	cr_assert_arr_eq(named[3], hash, 32);
	cr_assert_arr_eq(named[0], none, 32);
	cr_assert_eq(sent, 2 * MIB);
	cr_assert_eq(genie_upload_saved(), MIB + 100000);
	/* nothing of this one */
	cr_assert_eq(cuMemcpyHtoD_v2(device, host + 10 * MIB, 2 * MIB), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieUploadCopy), 1);
	cr_assert_eq(sent, 4 * MIB);
	cr_assert_eq(fake_count(GENIE_OP_genieUploadNames), 2, "asked once");
}

/* More than one command can name: the next group is asked for by itself. */
Test(upload, groups)
{
	knows(0, MIB);
	knows(64, MIB);
	knows(65, MIB);
	have = 1;
	cr_assert_eq(cuMemcpyHtoD_v2(device, host, 66 * MIB), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieUploadCopy), 2);
	cr_assert_eq(sent, 64 * MIB);
}

/* A head that matches, and then it is not there; and a server that claims what it was not asked. */
Test(upload, what_is_not_there_is_sent)
{
	knows(0, MIB);
	knows(1, MIB);
	have = 0;
	cr_assert_eq(cuMemcpyHtoD_v2(device, host, 2 * MIB), CUDA_SUCCESS);
	cr_assert_eq(sent, 2 * MIB);
	have = ~0ull;
	cr_assert_eq(cuMemcpyHtoD_v2(device, host, 4 * MIB), CUDA_SUCCESS);
	cr_assert_eq(sent, 4 * MIB);
	cr_assert_eq(genie_upload_saved(), 2 * MIB);
}

Test(upload, it_stops_when_it_does_not_pay)
{
	knows(199, MIB);
	have = 1;
	for (int i = 0; i < 70; i++)
		cr_assert_eq(cuMemcpyHtoD_v2(device, host + i * MIB, MIB), CUDA_SUCCESS);
	cr_assert_eq(sent, 70 * MIB);
	cr_assert_eq(cuMemcpyHtoD_v2(device, host + 199 * MIB, MIB), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieUploadCopy), 0, "given up");
}

Test(upload, a_hit_begins_anew)
{
	knows(199, MIB);
	have = 1;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 60; i++)
			cr_assert_eq(cuMemcpyHtoD_v2(device, host + i * MIB, MIB), CUDA_SUCCESS);
		cr_assert_eq(cuMemcpyHtoD_v2(device, host + 199 * MIB, MIB), CUDA_SUCCESS);
	}
	cr_assert_eq(fake_count(GENIE_OP_genieUploadCopy), 3);
	cr_assert_eq(sent, 180 * MIB);
}

Test(upload, not_where_nothing_is_sent_or_known)
{
	fake.welcome.flags |= GENIE_WELCOME_F_SHARED_PINNED;
	knows(0, MIB);
	cr_assert_eq(cuMemcpyHtoD_v2(device, host, MIB), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieUploadNames), 0);
	cr_assert_eq(sent, MIB);
}

Test(upload, small_ones_are_sent)
{
	knows(0, 65535);
	cr_assert_eq(cuMemcpyHtoD_v2(device, host, 65535), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieUploadNames), 0);
	cr_assert_eq(sent, 65535);
}

/* More names than were asked for, or a server that never stops. */
Test(upload, a_server_that_lies_about_names)
{
	knows(0, MIB);
	answered_count = 4096;
	cr_assert_eq(cuMemcpyHtoD_v2(device, host, MIB), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieUploadNames), 16, "there is an end");
	cr_assert_leq(sent, MIB);
}
