/* remote/mirror.c: what the client wrote arrives, what the device wrote is told, nothing else is
 * touched. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/remote_fake.h"

static void
init(void)
{
	fake_start(GENIE_DEVICE_CPU, NULL);
	fake_ctx();
}

TestSuite(mirror, .init = init, .fini = fake_stop, .timeout = 20);

static CUresult
call(enum genie_op op, void *args)
{
	fake.errors = 0;
	cr_assert_eq(fake_call(op, args, 0), 0);
	return fake.errors ? (CUresult)fake.error.status : CUDA_SUCCESS;
}

static CUresult
add(uint64_t addr, uint64_t size)
{
	struct genie_args_genieMirrorAdd args = {.addr = addr, .size = size};

	return call(GENIE_OP_genieMirrorAdd, &args);
}

static CUresult
put(uint64_t addr, const char *data, size_t size)
{
	struct genie_args_genieMirror args = {.addr = addr, .size = size, .data = data};

	return call(GENIE_OP_genieMirror, &args);
}

static size_t data_size;
static unsigned long long runs[64];
static uint8_t data[4096];

/* Number of runs. */
static size_t
scan(size_t runs_max, size_t data_max)
{
	size_t count = 2 * runs_max, told;
	struct genie_args_genieMirrorScan args = {
		.runs = runs, .count = &count, .data = data, .data_size = &data_max};
	struct genie_reader reader;

	cr_assert_eq(fake_call_flags(GENIE_OP_genieMirrorScan, &args, 0, GENIE_CMD_REPLY), 0);
	cr_assert_eq(fake.reply.status, CUDA_SUCCESS);
	genie_reader_init(&reader, fake.reply.payload, fake.reply.len);
	genie_decode_reply(&reader, GENIE_OP_genieMirrorScan, &args, CUDA_SUCCESS);
	cr_assert_not(reader.fatal);
	told = count / 2;
	data_size = data_max;
	return told;
}

Test(mirror, there_and_back)
{
	uint8_t *live = fake.pinned + 100;
	uint64_t addr = (uintptr_t)live;

	memset(live, 9, 100000);
	cr_assert_eq(add(addr, 100000), CUDA_SUCCESS);
	cr_assert_eq(live[0], 0, "zero at first, as at the client's");
	cr_assert_eq(scan(32, 4096), 0);
	cr_assert_eq(put(addr + 50, "hello", 5), CUDA_SUCCESS);
	cr_assert_eq(memcmp(live + 50, "hello", 5), 0);
	cr_assert_eq(scan(32, 4096), 0, "what the client wrote does not come back");
	live[70000] = 1; /* the device */
	live[99999] = 2;
	cr_assert_eq(scan(32, 4096), 2);
	cr_assert(runs[0] <= addr + 70000 && runs[0] + runs[1] > addr + 70000 && runs[1] <= 64);
	cr_assert_eq(runs[2] + runs[3], addr + 100000);
	cr_assert_eq(data_size, runs[1] + runs[3]);
	cr_assert_eq(data[addr + 70000 - runs[0]], 1);
	cr_assert_eq(data[data_size - 1], 2);
	cr_assert_eq(scan(32, 4096), 0);
}

Test(mirror, more_than_fits)
{
	uint8_t *live = fake.pinned;
	uint64_t addr = (uintptr_t)live;
	size_t count = 0;

	cr_assert_eq(add(addr, 1 << 20), CUDA_SUCCESS);
	for (int i = 0; i < 20; i++)
		live[i * 3 * 4096 + 7] = 1;
	for (int i = 0; i < 3; i++)
		count += scan(8, 100);
	cr_assert_eq(count, 20);
	cr_assert_eq(scan(8, 100), 0);
	/* A run without room for its data is told; neighbours are one run. */
	memset(live + 500000, 5, 20000);
	cr_assert_eq(scan(8, 100), 1);
	cr_assert_eq(data_size, 0);
	cr_assert_geq(runs[1], 20000);
}

Test(mirror, hostile)
{
	uint64_t base = (uintptr_t)fake.pinned;
	struct genie_args_genieMirrorDrop drop = {.addr = base};
	char stack[100] = "";

	cr_assert_eq(put(base, "x", 1), CUDA_ERROR_INVALID_VALUE, "not mirrored");
	cr_assert_eq(add(base, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_neq(add((uintptr_t)stack, sizeof(stack)), CUDA_SUCCESS);
	cr_assert_neq(add(base + FAKE_PINNED_SIZE - 10, 11), CUDA_SUCCESS);
	cr_assert_neq(add(base, UINT64_MAX), CUDA_SUCCESS);
	cr_assert_neq(add(FAKE_WINDOW, PAGE2M), CUDA_SUCCESS, "device memory");
	cr_assert_eq(add(base, 4096), CUDA_SUCCESS);
	cr_assert_eq(add(base, 4096), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(put(base + 4095, "xy", 2), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(put(base - 1, "xy", 2), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(put((uintptr_t)stack, "x", 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(call(GENIE_OP_genieMirrorDrop, &drop), CUDA_SUCCESS);
	cr_assert_eq(call(GENIE_OP_genieMirrorDrop, &drop), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(put(base, "x", 1), CUDA_ERROR_INVALID_VALUE);
}

Test(mirror, bulk)
{
	uint64_t base = (uintptr_t)fake.pinned;
	struct genie_args_genieMirrorBulk up = {.addr = base, .ref = 1, .size = 5000};
	struct genie_args_genieMirrorBack down = {.addr = base, .ref = 2, .size = 5000};

	cr_assert_eq(add(base, 8192), CUDA_SUCCESS);
	memset(fake.staging + FAKE_SLOT, 7, 5000);
	cr_assert_eq(call(GENIE_OP_genieMirrorBulk, &up), CUDA_SUCCESS);
	cr_assert_eq(fake.in_done, 1);
	cr_assert_eq(fake.pinned[4999], 7);
	cr_assert_eq(call(GENIE_OP_genieMirrorBack, &down), CUDA_SUCCESS);
	cr_assert_eq(fake.out_ready, 1);
	/* Wrong ranges give their slots back all the same. */
	up.addr = base + 8000;
	down.addr = base + 8000;
	cr_assert_eq(call(GENIE_OP_genieMirrorBulk, &up), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(call(GENIE_OP_genieMirrorBack, &down), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(fake.in_done, 2);
	cr_assert_eq(fake.out_ready, 2);
}
