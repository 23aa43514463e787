/* remote/session.c: commands as hostile bytes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "tests/unit/remote_fake.h"
#include "wire/codec.h"

static void
init(void)
{
	fake_start(GENIE_DEVICE_RECORD, NULL);
	fake_ctx();
}

TestSuite(exec_session, .init = init, .fini = fake_stop, .timeout = 60);

Test(exec_session, unknown_calls_end_the_session)
{
	cr_assert_eq(fake_raw(0xfff0, 0, 0, NULL, 0), -EPROTO);
	cr_assert(fake.session.fatal);
}

Test(exec_session, calls_that_only_the_client_answers_end_the_session)
{
	for (unsigned int op = 0; op < GENIE_OP_MAX; op++) {
		if (genie_op_desc(op))
			continue;
		fake.session.fatal = false;
		cr_assert_eq(fake_raw((uint16_t)op, 0, 1, NULL, 0), -EPROTO);
	}
}

Test(exec_session, payload_that_is_too_short_or_too_long_ends_the_session)
{
	uint8_t bytes[256] = {0};

	cr_assert_eq(fake_raw(GENIE_OP_genieMemMap, 0, 0, bytes, 8), -EPROTO);
	fake.session.fatal = false;
	cr_assert_eq(fake_raw(GENIE_OP_genieMemMap, 0, 0, bytes, 256), -EPROTO);
}

Test(exec_session, a_question_that_nobody_waits_for_ends_the_session)
{
	int have = 0;
	uint8_t hash[32] = {0};
	struct genie_args_genieImageHave args = {.hash = hash, .have = &have};

	cr_assert_eq(fake_call_flags(GENIE_OP_genieImageHave, &args, 0, 0), -EPROTO);
}

Test(exec_session, goodbye)
{
	struct genie_args_genieBye args = {0};

	cr_assert_eq(fake_call(GENIE_OP_genieBye, &args, 0), 0);
	cr_assert(fake.session.bye);
}

Test(exec_session, who_waits_is_answered)
{
	struct genie_args_genieNop nop = {0};
	struct genie_args_genieMemMap map = {.addr = 1};

	cr_assert_eq(fake_call_flags(GENIE_OP_genieNop, &nop, 0, GENIE_CMD_REPLY), 0);
	cr_assert(fake.reply.sent);
	cr_assert_eq(fake.reply.status, 0);
	cr_assert_eq(fake_call_flags(GENIE_OP_genieMemMap, &map, 0, GENIE_CMD_REPLY), 0);
	cr_assert_eq(fake.reply.status, CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(fake.errors, 0, "the answer has said it");
}

Test(exec_session, wrong_kinds_and_stale_handles)
{
	CUstream stream = fake_stream(3);
	struct genie_args_cuMemsetD8Async set = {.hStream = (CUstream)fake_event(3)};
	struct genie_args_cuStreamDestroy_v2 destroy = {.hStream = stream};
	struct genie_args_cuStreamCreateWithPriority again = {.phStream = &stream};

	cr_assert_eq(fake_call(GENIE_OP_cuMemsetD8Async, &set, 1), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(fake_call(GENIE_OP_cuStreamCreateWithPriority, &again, 1), -EPROTO);
	fake.session.fatal = false;
	cr_assert_eq(fake_call(GENIE_OP_cuStreamDestroy_v2, &destroy, 1), 0);
	fake.errors = 0;
	cr_assert_eq(fake_call(GENIE_OP_cuStreamDestroy_v2, &destroy, 1), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_INVALID_HANDLE);
	stream = TOKEN(CUstream, GENIE_KIND_STREAM, 0, 0);
	cr_assert_eq(fake_call(GENIE_OP_cuStreamCreateWithPriority, &again, 1), -EPROTO,
		     "index 0 is the legacy stream");
}

Test(exec_session, sticky_errors)
{
	cr_assert(genie_status_sticky(CUDA_ERROR_ILLEGAL_ADDRESS));
	cr_assert(genie_status_sticky(CUDA_ERROR_LAUNCH_FAILED));
	cr_assert(genie_status_sticky(CUDA_ERROR_ASSERT));
	cr_assert_not(genie_status_sticky(CUDA_ERROR_INVALID_VALUE));
	cr_assert_not(genie_status_sticky(CUDA_ERROR_OUT_OF_MEMORY));
	cr_assert_not(genie_status_sticky(CUDA_SUCCESS));
}

/* A value that looks like something a client would send. */
static uint64_t
random_value(unsigned int *seed, const struct genie_arg_desc *arg)
{
	uint64_t large = (uint64_t)rand_r(seed) << 33 ^ (uint64_t)rand_r(seed);
	uint32_t small = (uint32_t)rand_r(seed) % 6;

	if (arg->handle && rand_r(seed) % 8)
		return genie_token(arg->handle, 0, small);
	switch (rand_r(seed) % 8) {
	case 0:
		return large;
	case 1:
		return genie_token(GENIE_KIND_STREAM, 0, small);
	case 2:
		return FAKE_WINDOW + small * PAGE2M;
	case 3:
		return (uintptr_t)fake.pinned + small * 4096;
	case 4:
		return small * PAGE2M;
	case 5:
		return small * 4096;
	default:
		return small;
	}
}

/* A well-formed command with random arguments. */
static void
random_command(unsigned int *seed)
{
	static _Alignas(64) uint64_t memory[GENIE_ARGS_MAX][GENIE_CMD_MAX / 8];
	uint16_t op = (uint16_t)((unsigned int)rand_r(seed) % GENIE_OP_MAX);
	const struct genie_op_desc *desc = genie_op_desc(op);
	uint64_t args[128] = {0};

	/* A host function would wait for a client, and a graph may have some. */
	if (!desc || op == GENIE_OP_genieHostFunc || op == GENIE_OP_cuGraphLaunch ||
	    desc->args_size > sizeof(args))
		return;
	for (unsigned int i = 0; i < desc->arg_count; i++) {
		const struct genie_arg_desc *arg = &desc->args[i];
		bool pointer = i >= (unsigned int)desc->arg_count - desc->pointer_count;
		uint64_t value = random_value(seed, arg);

		if (pointer) {
			for (int k = 0; k < 64; k++)
				memory[i][k] = random_value(seed, arg);
			memory[i][63] = 0; /* ends a string */
			value = arg->nullable && rand_r(seed) % 2 ? 0 : (uintptr_t)memory[i];
		}
		memcpy((char *)args + arg->offset, &value, pointer ? 8 : arg->size);
	}
	if (genie_encoded_size(op, args) == SIZE_MAX)
		return;
	fake_call_flags(op, args, (uint32_t)rand_r(seed) % 4,
			desc->sync || rand_r(seed) % 8 == 0 ? GENIE_CMD_REPLY : 0);
	fake.session.fatal = false;
}

Test(exec_session, random_commands_never_hurt)
{
	unsigned int seed = 12345;

	genie_log_level = GENIE_LOG_ERROR;
	for (int i = 0; i < 100000; i++)
		random_command(&seed);
}

Test(exec_session, random_bytes_never_hurt)
{
	unsigned int seed = 54321;
	uint8_t bytes[512];

	genie_log_level = GENIE_LOG_ERROR;
	for (int i = 0; i < 100000; i++) {
		size_t len = (size_t)rand_r(&seed) % sizeof(bytes) & ~(size_t)7;

		for (size_t k = 0; k < len; k++)
			bytes[k] = rand_r(&seed) % 4 ? 0 : (uint8_t)rand_r(&seed);
		fake_raw((uint16_t)(rand_r(&seed) % GENIE_OP_MAX), (uint16_t)(rand_r(&seed) % 2),
			 (uint32_t)rand_r(&seed) % 3, bytes, len);
		fake.session.fatal = false;
	}
}
