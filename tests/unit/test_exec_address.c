/* remote/address.c, and every call that names device memory: a client that names the worker's own
 * memory, or more than there is, is refused before the driver hears of it. */
#include <criterion/criterion.h>
#include <string.h>

#include "remote/address.h"
#include "tests/unit/remote_fake.h"

static void
init(void)
{
	fake_start(GENIE_DEVICE_CUDA, NULL);
	fake_ctx();
}

TestSuite(exec_address, .init = init, .fini = fake_stop, .timeout = 20);

/* What the driver would have read or written. */
static uint64_t
secret(void)
{
	static char text[64] = "not the client's";

	return (uintptr_t)text;
}

#define END (FAKE_WINDOW + FAKE_WINDOW_SIZE)

/* Ranges of @size bytes that are not the session's. */
static size_t
bad_addresses(uint64_t size, uint64_t *ret_list)
{
	uint64_t pinned_end = (uintptr_t)fake.pinned + FAKE_PINNED_SIZE;
	size_t n = 0;

	ret_list[n++] = 0;
	ret_list[n++] = secret();
	ret_list[n++] = (uintptr_t)fake.staging;
	ret_list[n++] = (uintptr_t)&fake;
	ret_list[n++] = FAKE_WINDOW - 1;
	ret_list[n++] = END - size + 1;
	ret_list[n++] = END;
	ret_list[n++] = (uintptr_t)fake.pinned - 1;
	ret_list[n++] = pinned_end - size + 1;
	ret_list[n++] = UINT64_MAX - size + 1;
	ret_list[n++] = UINT64_MAX;
	return n;
}

/* The call is refused; @device_calls did not change. */
#define REFUSED(op, args)                                                                          \
	do {                                                                                       \
		fake.errors = 0;                                                                   \
		fake.error.status = 0;                                                             \
		fake.reply.status = 0;                                                             \
		cr_assert_eq(fake_call(GENIE_OP_##op, &(args), 1), 0);                             \
		cr_assert((fake.error.status ? fake.error.status : fake.reply.status) ==           \
				  CUDA_ERROR_INVALID_VALUE,                                        \
			  #op " of 0x%llx: %d", (unsigned long long)bad, fake.error.status);       \
	} while (0)

#define ACCEPTED(op, args)                                                                         \
	do {                                                                                       \
		fake.errors = 0;                                                                   \
		cr_assert_eq(fake_call(GENIE_OP_##op, &(args), 1), 0);                             \
		cr_assert_eq(fake.errors, 0, #op);                                                 \
	} while (0)

Test(exec_address, copies)
{
	uint64_t pinned = (uintptr_t)fake.pinned, list[16];
	size_t count = bad_addresses(16, list);
	uint8_t data[16] = {0};

	for (size_t i = 0; i < count; i++) {
		uint64_t bad = list[i];
		struct genie_args_genieMemcpyHtoDInline in = {
			.dst = bad, .data = data, .size = 16, .stream = LEGACY};
		struct genie_args_genieMemcpyHtoDBulk up = {
			.dst = bad, .ref = 1, .size = 16, .stream = LEGACY};
		struct genie_args_genieMemcpyHtoDPinned pinned_up = {
			.dst = bad, .src = pinned, .size = 16, .stream = LEGACY};
		struct genie_args_genieMemcpyDtoHReply reply = {
			.data = data, .src = bad, .size = 16, .stream = LEGACY};
		struct genie_args_genieMemcpyDtoHBulk down = {
			.ref = 1, .src = bad, .size = 16, .stream = LEGACY};
		struct genie_args_genieMemcpyDtoHPinned pinned_down = {
			.dst = pinned, .src = bad, .size = 16, .stream = LEGACY};
		struct genie_args_cuMemcpyDtoDAsync_v2 to = {.dstDevice = bad,
							     .srcDevice = FAKE_WINDOW,
							     .ByteCount = 16,
							     .hStream = LEGACY};
		struct genie_args_cuMemcpyDtoDAsync_v2 from = {.dstDevice = FAKE_WINDOW,
							       .srcDevice = bad,
							       .ByteCount = 16,
							       .hStream = LEGACY};

		REFUSED(genieMemcpyHtoDInline, in);
		REFUSED(genieMemcpyHtoDBulk, up);
		REFUSED(genieMemcpyHtoDPinned, pinned_up);
		REFUSED(genieMemcpyDtoHReply, reply);
		REFUSED(genieMemcpyDtoHBulk, down);
		REFUSED(genieMemcpyDtoHPinned, pinned_down);
		REFUSED(cuMemcpyDtoDAsync_v2, to);
		REFUSED(cuMemcpyDtoDAsync_v2, from);
	}
	cr_assert_eq(device.copies, 0);
	/* Slots of bulk data go back all the same. */
	cr_assert_eq(fake.in_done, count);
	cr_assert_eq(fake.out_ready, count);
}

Test(exec_address, sets_and_stream_values)
{
	uint64_t list[16];
	size_t count = bad_addresses(8, list);

	for (size_t i = 0; i < count; i++) {
		uint64_t bad = list[i];
		struct genie_args_cuMemsetD8Async d8 = {
			.dstDevice = bad, .N = 8, .hStream = LEGACY};
		struct genie_args_cuMemsetD16Async d16 = {
			.dstDevice = bad, .N = 4, .hStream = LEGACY};
		struct genie_args_cuMemsetD32Async d32 = {
			.dstDevice = bad, .N = 2, .hStream = LEGACY};
		struct genie_args_cuMemsetD2D8Async d2d8 = {.dstDevice = bad,
							    .dstPitch = 4,
							    .Width = 4,
							    .Height = 2,
							    .hStream = LEGACY};
		struct genie_args_cuMemsetD2D16Async d2d16 = {.dstDevice = bad,
							      .dstPitch = 4,
							      .Width = 2,
							      .Height = 2,
							      .hStream = LEGACY};
		struct genie_args_cuMemsetD2D32Async d2d32 = {.dstDevice = bad,
							      .dstPitch = 4,
							      .Width = 1,
							      .Height = 2,
							      .hStream = LEGACY};
		struct genie_args_cuStreamWriteValue64_v2 write = {.stream = LEGACY, .addr = bad};
		struct genie_args_cuStreamWaitValue64_v2 wait = {.stream = LEGACY, .addr = bad};
		CUstreamBatchMemOpParams ops[2] = {
			{.writeValue = {.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32,
					.address = FAKE_WINDOW}},
			{.writeValue = {.operation = CU_STREAM_MEM_OP_WRITE_VALUE_64,
					.address = bad}},
		};
		struct genie_args_cuStreamBatchMemOp_v2 batch = {
			.stream = LEGACY, .count = 2, .paramArray = ops};

		REFUSED(cuMemsetD8Async, d8);
		REFUSED(cuMemsetD16Async, d16);
		REFUSED(cuMemsetD32Async, d32);
		REFUSED(cuMemsetD2D8Async, d2d8);
		REFUSED(cuMemsetD2D16Async, d2d16);
		REFUSED(cuMemsetD2D32Async, d2d32);
		REFUSED(cuStreamWriteValue64_v2, write);
		REFUSED(cuStreamWaitValue64_v2, wait);
		REFUSED(cuStreamBatchMemOp_v2, batch);
		ops[1].writeValue.operation = CU_STREAM_MEM_OP_WAIT_VALUE_64;
		REFUSED(cuStreamBatchMemOp_v2, batch);
	}
}

Test(exec_address, rectangles_and_textures)
{
	uint64_t list[16];
	size_t count = bad_addresses(8, list);

	for (size_t i = 0; i < count; i++) {
		uint64_t bad = list[i];
		CUDA_MEMCPY2D copy = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
				      .srcDevice = bad,
				      .srcPitch = 4,
				      .dstMemoryType = CU_MEMORYTYPE_DEVICE,
				      .dstDevice = FAKE_WINDOW,
				      .dstPitch = 4,
				      .WidthInBytes = 4,
				      .Height = 2};
		CUDA_MEMCPY3D copy3 = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
				       .srcDevice = FAKE_WINDOW,
				       .dstMemoryType = CU_MEMORYTYPE_DEVICE,
				       .dstDevice = bad,
				       .WidthInBytes = 2,
				       .Height = 2,
				       .Depth = 2};
		struct genie_args_cuMemcpy2DAsync_v2 args = {.pCopy = &copy, .hStream = LEGACY};
		struct genie_args_cuMemcpy3DAsync_v2 args3 = {.pCopy = &copy3, .hStream = LEGACY};
		CUDA_RESOURCE_DESC desc = {
			.resType = CU_RESOURCE_TYPE_LINEAR,
			.res.linear = {.devPtr = bad, .sizeInBytes = 8, .numChannels = 1}};
		CUtexObject object = 0;
		static const CUDA_TEXTURE_DESC how;
		struct genie_args_cuTexObjectCreate texture = {
			.pTexObject = &object, .pResDesc = &desc, .pTexDesc = &how};

		REFUSED(cuMemcpy2DAsync_v2, args);
		REFUSED(cuMemcpy3DAsync_v2, args3);
		REFUSED(cuTexObjectCreate, texture);
		desc = (CUDA_RESOURCE_DESC){
			.resType = CU_RESOURCE_TYPE_PITCH2D,
			.res.pitch2D = {.devPtr = bad, .pitchInBytes = 4, .height = 2}};
		REFUSED(cuTexObjectCreate, texture);
	}
}

/* No product or sum of what the client says wraps around into something small. */
Test(exec_address, sizes_do_not_wrap)
{
	static const struct genie_box boxes[] = {
		{.width = 1, .height = UINT64_MAX, .depth = 1, .pitch = 2},
		{.width = 1, .height = 3, .depth = 1, .pitch = UINT64_MAX / 2 + 1},
		{.width = 1, .height = 1, .depth = 3, .pitch = 1 << 20, .slice_height = 1ull << 44},
		{.width = UINT64_MAX, .height = 2, .depth = 1, .pitch = 1},
		{.x = UINT64_MAX, .width = 1, .height = 1, .depth = 1},
		{.y = UINT64_MAX, .width = 1, .height = 1, .depth = 1, .pitch = 1},
		{.y = 1ull << 62, .width = 1, .height = 1, .depth = 1, .pitch = 4},
		{.z = 3,
		 .width = 1,
		 .height = 1,
		 .depth = 1,
		 .pitch = 4,
		 .slice_height = 1ull << 62},
		{.x = 1, .width = FAKE_WINDOW_SIZE, .height = 1, .depth = 1},
		{.width = 1, .height = FAKE_WINDOW_SIZE + 1, .depth = 1, .pitch = 1},
	};
	uint64_t bad = FAKE_WINDOW;
	struct genie_args_cuMemsetD32Async set = {
		.dstDevice = bad, .N = ((size_t)1 << 62) + 1, .hStream = LEGACY};
	struct genie_args_cuMemsetD2D32Async set2 = {.dstDevice = bad,
						     .dstPitch = (size_t)1 << 63,
						     .Width = 1,
						     .Height = 3,
						     .hStream = LEGACY};

	for (size_t i = 0; i < sizeof(boxes) / sizeof(boxes[0]); i++)
		cr_assert_neq(genie_address_check_box(&fake.session, FAKE_WINDOW, &boxes[i]),
			      CUDA_SUCCESS, "box %zu", i);
	REFUSED(cuMemsetD32Async, set);
	REFUSED(cuMemsetD2D32Async, set2);
}

Test(exec_address, what_is_the_sessions_is_accepted)
{
	static const struct genie_box row = {.width = FAKE_WINDOW_SIZE / 2,
					     .height = 2,
					     .depth = 1,
					     .pitch = FAKE_WINDOW_SIZE / 2};
	static const struct genie_box slices = {.x = 1,
						.y = 1,
						.z = 1,
						.width = 3,
						.height = 2,
						.depth = 2,
						.pitch = 4,
						.slice_height = 3};
	struct genie_args_genieMemcpyHtoDInline first = {
		.dst = FAKE_WINDOW, .data = "1", .size = 1, .stream = LEGACY};
	struct genie_args_genieMemcpyHtoDInline last = {
		.dst = END - 1, .data = "1", .size = 1, .stream = LEGACY};
	struct genie_args_cuMemsetD8Async pinned = {
		.dstDevice = (uintptr_t)fake.pinned, .N = FAKE_PINNED_SIZE, .hStream = LEGACY};

	ACCEPTED(genieMemcpyHtoDInline, first);
	ACCEPTED(genieMemcpyHtoDInline, last);
	ACCEPTED(cuMemsetD8Async, pinned);
	cr_assert_eq(genie_address_check_box(&fake.session, FAKE_WINDOW, &row), CUDA_SUCCESS);
	/* 1 + 4 * (1 + 3 * 1) before it, 3 + 4 * (1 + 3 * 1) long: to the last byte */
	cr_assert_eq(genie_address_check_box(&fake.session, END - 36, &slices), CUDA_SUCCESS);
	cr_assert_neq(genie_address_check_box(&fake.session, END - 35, &slices), CUDA_SUCCESS);
}

/* ---- memory that the driver placed ---- */

Test(exec_address, variables_of_modules)
{
	CUdeviceptr addr = 0;
	size_t size = 0;
	int managed = 0;
	struct genie_args_genieModuleGlobal global = {
		.module = TOKEN(CUmodule, GENIE_KIND_MODULE, 0, 77),
		.name = "variable",
		.addr = &addr,
		.size = &size,
		.managed = &managed};
	struct genie_args_genieModuleUnload unload = {.module = global.module};
	struct genie_args_genieMemcpyHtoDInline copy = {.data = "1234567890123456",
							.stream = LEGACY};
	uint64_t bad;

	fake_function();
	cr_assert_eq(fake_call_flags(GENIE_OP_genieModuleGlobal, &global, 1, GENIE_CMD_REPLY), 0);
	memcpy(&bad, fake.reply.payload, 8);
	memcpy(&size, fake.reply.payload + 8, 8);
	cr_assert(bad && size == 16, "%zu bytes at 0x%llx", size, (unsigned long long)bad);
	copy.dst = bad;
	copy.size = size;
	ACCEPTED(genieMemcpyHtoDInline, copy);
	copy.size = size + 1;
	REFUSED(genieMemcpyHtoDInline, copy);
	copy.size = 1;
	copy.dst = bad - 1;
	REFUSED(genieMemcpyHtoDInline, copy);
	copy.dst = bad;
	cr_assert_eq(fake_call(GENIE_OP_genieModuleUnload, &unload, 1), 0);
	REFUSED(genieMemcpyHtoDInline, copy);
}

Test(exec_address, placed_ranges_by_owner)
{
	static char one, two;
	uint64_t base = 0x7000000000;

	for (uint64_t i = 0; i < 200; i++)
		cr_assert_eq(genie_address_add(&fake.session, base + (i * 37 % 200) * 4096, 1024,
					       i % 2 ? &one : &two),
			     0);
	cr_assert_eq(genie_address_add(&fake.session, base, 2048, &one), 0);
	for (uint64_t i = 0; i < 200; i++) {
		uint64_t at = base + i * 4096;

		cr_assert_eq(genie_address_check(&fake.session, at, 1024), CUDA_SUCCESS);
		cr_assert_eq(genie_address_check(&fake.session, at + 1023, 1), CUDA_SUCCESS);
		cr_assert_neq(genie_address_check(&fake.session, at + 1024, i ? 1 : 1025),
			      CUDA_SUCCESS);
		cr_assert_neq(genie_address_check(&fake.session, at - 1, 2), CUDA_SUCCESS);
	}
	cr_assert_eq(genie_address_check(&fake.session, base, 2048), CUDA_SUCCESS);
	genie_address_forget(&fake.session, &one);
	genie_address_forget(&fake.session, &two);
	cr_assert_neq(genie_address_check(&fake.session, base, 1), CUDA_SUCCESS);
}
