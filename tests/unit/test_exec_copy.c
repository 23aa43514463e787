/* remote/exec_copy.c and stage.c: copies, with arguments that a hostile client might send. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/remote_fake.h"

static void
init(void)
{
	fake_start(GENIE_DEVICE_CUDA, NULL);
	fake_ctx();
}

TestSuite(exec_copy, .init = init, .fini = fake_stop, .timeout = 20);

Test(exec_copy, small_data_travels_in_the_command)
{
	struct genie_args_genieMemcpyHtoDInline args = {
		.dst = FAKE_WINDOW, .data = "some data", .size = 10, .stream = LEGACY};

	cr_assert_eq(fake_call(GENIE_OP_genieMemcpyHtoDInline, &args, 1), 0);
	cr_assert_eq(device.copies, 1);
	cr_assert_str_eq((char *)device.launch_params, "some data");
	args.size = 0;
	cr_assert_eq(fake_call(GENIE_OP_genieMemcpyHtoDInline, &args, 1), 0);
	cr_assert_eq(device.copies, 1);
	cr_assert_eq(fake.errors, 0);
}

Test(exec_copy, a_staging_slot_goes_back_when_the_device_has_read_it)
{
	struct genie_args_genieMemcpyHtoDBulk args = {
		.dst = FAKE_WINDOW, .ref = 2, .size = FAKE_SLOT, .stream = LEGACY};
	struct genie_args_genieStreamMark mark = {.stream = LEGACY};

	fake_hold();
	cr_assert_eq(fake_call(GENIE_OP_genieMemcpyHtoDBulk, &args, 1), 0);
	cr_assert_eq(fake.in_done, 0);
	cr_assert_eq(fake_call(GENIE_OP_genieStreamMark, &mark, 1), 0);
	fake_go();
	cr_assert(fake_reached(GENIE_SLOT_STREAM));
	cr_assert_eq(fake.in_done, 1);
}

Test(exec_copy, staging_memory_is_registered_once)
{
	struct genie_args_genieMemcpyHtoDBulk args = {
		.dst = FAKE_WINDOW, .ref = 2, .size = 8, .stream = LEGACY};

	for (int i = 0; i < 3; i++)
		cr_assert_eq(fake_call(GENIE_OP_genieMemcpyHtoDBulk, &args, 1), 0);
	cr_assert_eq(device.registers, 2); /* of the port, and for replies */
}

Test(exec_copy, bad_bulk_refs_end_the_session)
{
	struct genie_args_genieMemcpyHtoDBulk up = {.ref = 99, .size = 8, .stream = LEGACY};
	struct genie_args_genieMemcpyDtoHBulk down = {.ref = 0, .size = SIZE_MAX, .stream = LEGACY};

	cr_assert_eq(fake_call(GENIE_OP_genieMemcpyHtoDBulk, &up, 1), -EPROTO);
	fake.session.fatal = false;
	cr_assert_eq(fake_call(GENIE_OP_genieMemcpyDtoHBulk, &down, 1), -EPROTO);
	cr_assert_eq(device.copies, 0);
}

Test(exec_copy, slots_of_commands_that_fail_go_back)
{
	CUstream nothing = TOKEN(CUstream, GENIE_KIND_STREAM, 0, 500);
	struct genie_args_genieMemcpyHtoDBulk up = {.ref = 1, .size = 8, .stream = nothing};
	struct genie_args_genieMemcpyDtoHBulk down = {.ref = 1, .size = 8, .stream = nothing};
	uint8_t hash[32] = {1};
	struct genie_args_genieImageBulk image = {.hash = hash, .total = 8, .ref = 1, .size = 8};

	memset(fake.staging, 0xee, 2 * FAKE_SLOT);
	for (uint32_t ctx = 1; ctx < 3; ctx++) { /* a stream that is none, a context that is none */
		cr_assert_eq(fake_call(GENIE_OP_genieMemcpyHtoDBulk, &up, ctx), 0);
		cr_assert_eq(fake_call(GENIE_OP_genieMemcpyDtoHBulk, &down, ctx), 0);
	}
	cr_assert_eq(fake_call(GENIE_OP_genieImageBulk, &image, 2), 0);
	cr_assert_eq(fake.in_done, 3);
	cr_assert_eq(fake.out_ready, 2);
	cr_assert_eq(fake.errors, 5);
	cr_assert_eq(fake.staging[FAKE_SLOT], 0,
		     "what was in the slot before is nobody's business");
}

Test(exec_copy, device_memory_comes_back_in_the_answer)
{
	uint8_t data[1000] = {0};
	struct genie_args_genieMemcpyDtoHReply args = {
		.data = data, .src = FAKE_WINDOW + 0x55, .size = sizeof(data), .stream = LEGACY};

	cr_assert_eq(fake_call(GENIE_OP_genieMemcpyDtoHReply, &args, 1), 0);
	cr_assert_eq(fake.reply.status, 0);
	cr_assert_eq(data[0], 0x55);
	cr_assert_eq(data[999], 0x55);
}

Test(exec_copy, odd_sizes_are_padded_with_zeros)
{
	uint8_t data[13] = {0};
	struct genie_args_genieMemcpyDtoHReply args = {
		.data = data, .src = FAKE_WINDOW + 0x77, .size = sizeof(data), .stream = LEGACY};

	for (int i = 0; i < 2; i++) {
		cr_assert_eq(fake_call(GENIE_OP_genieMemcpyDtoHReply, &args, 1), 0);
		cr_assert_eq(fake.reply.len, 16);
		cr_assert_eq(fake.reply.payload[12], 0x77);
		cr_assert_eq(fake.reply.payload[13], 0);
		cr_assert_eq(data[12], 0x77);
	}
	args.size = 0;
	cr_assert_eq(fake_call(GENIE_OP_genieMemcpyDtoHReply, &args, 1), 0);
	cr_assert_eq(fake.reply.len, 0);
}

Test(exec_copy, the_answer_waits_for_the_device_and_the_issuing_thread_does_not)
{
	uint8_t data[64];
	struct genie_args_genieMemcpyDtoHReply args = {
		.data = data, .src = FAKE_WINDOW, .size = sizeof(data), .stream = LEGACY};

	fake_hold();
	for (int i = 0; i < 20; i++)
		cr_assert_eq(
			fake_call_flags(GENIE_OP_genieMemcpyDtoHReply, &args, 1, GENIE_CMD_REPLY),
			0);
	cr_assert_not(fake.reply.sent);
	fake_go();
	cr_assert(fake_replied());
}

Test(exec_copy, reply_buffers_run_out_and_come_back)
{
	uint8_t data[64];
	struct genie_args_genieMemcpyDtoHReply args = {
		.data = data, .src = FAKE_WINDOW, .size = sizeof(data), .stream = LEGACY};

	for (int i = 0; i < 500; i++)
		cr_assert_eq(
			fake_call_flags(GENIE_OP_genieMemcpyDtoHReply, &args, 1, GENIE_CMD_REPLY),
			0);
	cr_assert(fake_replied());
}

Test(exec_copy, pinned_copies_stay_inside_the_window)
{
	uint64_t base = (uintptr_t)fake.pinned;
	const struct {
		uint64_t addr, size;
	} bad[] = {
		{0, 16},
		{base - 8, 16},
		{base + FAKE_PINNED_SIZE - 8, 16},
		{base + FAKE_PINNED_SIZE, 1},
		{base, FAKE_PINNED_SIZE + 1},
		{base + 16, UINT64_MAX - 8},
		{UINT64_MAX, 1},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct genie_args_genieMemcpyHtoDPinned up = {.dst = FAKE_WINDOW,
							      .src = bad[i].addr,
							      .size = bad[i].size,
							      .stream = LEGACY};
		struct genie_args_genieMemcpyDtoHPinned down = {.dst = bad[i].addr,
								.src = FAKE_WINDOW,
								.size = bad[i].size,
								.stream = LEGACY};

		fake.errors = 0;
		cr_assert_eq(fake_call(GENIE_OP_genieMemcpyHtoDPinned, &up, 1), 0);
		cr_assert_eq(fake_call(GENIE_OP_genieMemcpyDtoHPinned, &down, 1), 0);
		cr_assert_eq(fake.errors, 2, "case %zu", i);
	}
	cr_assert_eq(device.copies, 0);
	{
		struct genie_args_genieMemcpyDtoHPinned down = {.dst = base,
								.src = FAKE_WINDOW,
								.size = FAKE_PINNED_SIZE,
								.stream = LEGACY};

		fake.errors = 0;
		cr_assert_eq(fake_call(GENIE_OP_genieMemcpyDtoHPinned, &down, 1), 0);
		cr_assert_eq(fake.errors, 0);
	}
}

/* ---- rectangles ---- */

Test(exec_copy, rectangles_never_name_host_memory)
{
	CUDA_MEMCPY2D copy = {.srcMemoryType = CU_MEMORYTYPE_HOST,
			      .srcHost = &copy,
			      .srcDevice = FAKE_WINDOW,
			      .dstMemoryType = CU_MEMORYTYPE_DEVICE,
			      .dstDevice = FAKE_WINDOW + 4096,
			      .WidthInBytes = 4,
			      .Height = 1};
	CUDA_MEMCPY3D copy3 = {.srcMemoryType = CU_MEMORYTYPE_UNIFIED,
			       .dstMemoryType = CU_MEMORYTYPE_DEVICE};
	struct genie_args_cuMemcpy2DAsync_v2 args = {.pCopy = &copy, .hStream = LEGACY};
	struct genie_args_cuMemcpy3DAsync_v2 args3 = {.pCopy = &copy3, .hStream = LEGACY};

	cr_assert_eq(fake_call(GENIE_OP_cuMemcpy2DAsync_v2, &args, 1), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_INVALID_VALUE);
	copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
	copy.srcArray = (CUarray)&copy;
	cr_assert_eq(fake_call(GENIE_OP_cuMemcpy2DAsync_v2, &args, 1), 0);
	copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
	cr_assert_eq(fake_call(GENIE_OP_cuMemcpy3DAsync_v2, &args3, 1), 0);
	cr_assert_eq(fake.errors, 3);
	cr_assert_eq(fake_call(GENIE_OP_cuMemcpy2DAsync_v2, &args, 1), 0);
	cr_assert_eq(fake.errors, 3);
}
