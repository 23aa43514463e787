/* remote/exec_link.c and jit.c: images of the store made one, with a linker of the test's own. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "remote/jit.h"
#include "remote/store.h"
#include "remote/store_file.h"
#include "tests/unit/remote_fake.h"

/* What the linker was asked to do. Its result is its inputs, one after the other. */
static struct {
	unsigned int creates, destroys, inputs;
	unsigned int options; /* of the state */
	unsigned int input_options;
	CUjitInputType types[4];
	char names[4][32]; /* "-": none */
	char result[256];
	size_t size;
	CUresult fail;
	unsigned int registers; /* CU_JIT_MAX_REGISTERS of the state */
} linker;

static CUresult
link_create(unsigned int count, CUjit_option *options, void **values, CUlinkState *ret_state)
{
	linker.creates++;
	linker.options = count;
	for (unsigned int i = 0; i < count; i++) {
		if (options[i] == CU_JIT_MAX_REGISTERS)
			linker.registers = (unsigned int)(uintptr_t)values[i];
		if (options[i] == CU_JIT_WALL_TIME) {
			float seconds = 1.5f;

			memcpy(&values[i], &seconds, sizeof(seconds));
		}
		if (options[i] == CU_JIT_ERROR_LOG_BUFFER && linker.fail) {
			strcpy(values[i], "cannot");
			values[i + 1] = (void *)(uintptr_t)6;
		}
	}
	*ret_state = (CUlinkState)&linker;
	return CUDA_SUCCESS;
}

static CUresult
link_add(CUlinkState state, CUjitInputType type, void *data, size_t size, const char *name,
	 unsigned int count, CUjit_option *options, void **values)
{
	(void)options;
	(void)values;
	cr_assert_eq((void *)state, (void *)&linker);
	linker.types[linker.inputs] = type;
	snprintf(linker.names[linker.inputs++], sizeof(linker.names[0]), "%s", name ? name : "-");
	linker.input_options += count;
	memcpy(linker.result + linker.size, data, size);
	linker.size += size;
	return CUDA_SUCCESS;
}

static CUresult
link_complete(CUlinkState state, void **ret_cubin, size_t *ret_size)
{
	(void)state;
	*ret_cubin = linker.result;
	*ret_size = linker.size;
	return linker.fail;
}

static CUresult
link_destroy(CUlinkState state)
{
	(void)state;
	linker.destroys++;
	return CUDA_SUCCESS;
}

#define HASHES 2
static uint8_t hashes[HASHES * GENIE_STORE_HASH];

static void
init(void)
{
	static const char *const images[HASHES] = {"first image,", " and the second"};

	fake_start(GENIE_DEVICE_RECORD, NULL);
	fake_ctx();
	fake.backend.drv.cuLinkCreate_v2 = link_create;
	fake.backend.drv.cuLinkAddData_v2 = link_add;
	fake.backend.drv.cuLinkComplete = link_complete;
	fake.backend.drv.cuLinkDestroy = link_destroy;
	for (size_t i = 0; i < HASHES; i++) {
		struct genie_args_genieImageData args = {.hash = hashes + i * GENIE_STORE_HASH,
							 .total = strlen(images[i]),
							 .data = images[i],
							 .size = strlen(images[i])};

		genie_store_hash((const uint8_t *)images[i], strlen(images[i]),
				 hashes + i * GENIE_STORE_HASH);
		cr_assert_eq(fake_call(GENIE_OP_genieImageData, &args, 0), 0);
	}
}

TestSuite(exec_link, .init = init, .fini = fake_stop, .timeout = 20);

static const unsigned int types[HASHES] = {CU_JIT_INPUT_PTX, CU_JIT_INPUT_CUBIN};
static const char names[] = "one\0"; /* and one without a name */
static const unsigned long long none[1];
static char info[64], error[64];
static uint8_t report[sizeof(struct genie_jit_report)], result_hash[GENIE_STORE_HASH];
static size_t result_size;
static int result;

static struct genie_args_genieLink
request(void)
{
	return (struct genie_args_genieLink){.hashes = hashes,
					     .hashes_size = sizeof(hashes),
					     .types = types,
					     .inputs = HASHES,
					     .names = names,
					     .names_size = sizeof(names),
					     .options = types, /* none of them: count is 0 */
					     .values = none,
					     .owners = types,
					     .info = info,
					     .info_size = sizeof(info),
					     .error = error,
					     .error_size = sizeof(error),
					     .report = report,
					     .result_hash = result_hash,
					     .result_size = &result_size,
					     .result = &result};
}

/* The status of the answer; the linker's own is in result. */
static CUresult
ask(struct genie_args_genieLink *args)
{
	result = -1;
	cr_assert_eq(fake_call(GENIE_OP_genieLink, args, 1), 0);
	return (CUresult)fake.reply.status;
}

static CUresult
read_part(const uint8_t *hash, size_t offset, char *data, size_t size)
{
	struct genie_args_genieLinkRead args = {
		.hash = hash, .offset = offset, .data = data, .size = size};

	cr_assert_eq(fake_call(GENIE_OP_genieLinkRead, &args, 1), 0);
	cr_assert(fake_replied());
	return (CUresult)fake.reply.status;
}

Test(exec_link, inputs_become_one_image_that_can_be_read)
{
	static const char whole[] = "first image, and the second";
	const unsigned int options[] = {CU_JIT_MAX_REGISTERS, CU_JIT_OPTIMIZATION_LEVEL};
	const unsigned long long values[] = {32, 3};
	const unsigned int owners[] = {0, 2}; /* the state's, and the second input's */
	struct genie_args_genieLink args = request();
	struct genie_jit_report told;
	uint8_t expected[GENIE_STORE_HASH];
	char part[64] = "";

	args.options = options;
	args.values = values;
	args.owners = owners;
	args.count = 2;
	cr_assert_eq(ask(&args), CUDA_SUCCESS);
	cr_assert_eq(result, CUDA_SUCCESS);
	cr_assert_eq(linker.types[0], CU_JIT_INPUT_PTX);
	cr_assert_eq(linker.types[1], CU_JIT_INPUT_CUBIN);
	cr_assert_str_eq(linker.names[0], "one");
	cr_assert_str_eq(linker.names[1], "-");
	cr_assert_eq(linker.registers, 32);
	cr_assert_eq(linker.input_options, 1, "the second input's own");
	cr_assert_eq(linker.destroys, 1);
	memcpy(&told, report, sizeof(told));
	cr_assert_float_eq(told.wall_time, 1.5f, 1e-6);
	cr_assert_eq(result_size, strlen(whole));
	genie_store_hash((const uint8_t *)whole, strlen(whole), expected);
	cr_assert_arr_eq(result_hash, expected, sizeof(expected));
	cr_assert_eq(read_part(result_hash, 6, part, 10), CUDA_SUCCESS);
	cr_assert_arr_eq(part, "image, and", 10);
	cr_assert_eq(read_part(result_hash, 20, part, 8), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(read_part(result_hash, SIZE_MAX, part, 8), CUDA_ERROR_INVALID_VALUE);
	expected[0] ^= 1;
	cr_assert_eq(read_part(expected, 0, part, 1), CUDA_ERROR_FILE_NOT_FOUND);
}

Test(exec_link, what_the_linker_says_is_the_answer)
{
	struct genie_args_genieLink args = request();
	struct genie_jit_report told;

	linker.fail = CUDA_ERROR_INVALID_PTX;
	cr_assert_eq(ask(&args), CUDA_SUCCESS, "the call itself works");
	cr_assert_eq(result, CUDA_ERROR_INVALID_PTX);
	memcpy(&told, report, sizeof(told));
	cr_assert_eq(told.lengths[1], 6);
	cr_assert_arr_eq(error, "cannot", 6);
	cr_assert_eq(linker.destroys, 1);
	/* and one input alone is linked as well */
	memset(&linker, 0, sizeof(linker));
	args.inputs = 1;
	args.hashes_size = GENIE_STORE_HASH;
	cr_assert_eq(ask(&args), CUDA_SUCCESS);
	cr_assert_eq(result, CUDA_SUCCESS);
}

Test(exec_link, requests_that_make_no_sense)
{
	const unsigned int strange_types[HASHES] = {CU_JIT_INPUT_PTX, 4711};
	const unsigned int option[] = {CU_JIT_INFO_LOG_BUFFER}; /* an address: not a client's */
	const unsigned long long value[] = {1};
	struct genie_args_genieLink args = request();

	args.inputs = 1; /* of two hashes */
	cr_assert_eq(ask(&args), CUDA_ERROR_INVALID_VALUE);
	args = request();
	args.options = option;
	args.values = value;
	args.owners = option;
	args.count = 1;
	cr_assert_eq(ask(&args), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(linker.creates, 0, "nothing was begun");
	args = request();
	args.types = strange_types;
	cr_assert_eq(ask(&args), CUDA_SUCCESS);
	cr_assert_eq(result, CUDA_ERROR_INVALID_VALUE);
	args = request();
	args.names_size = 4; /* "one", and no more */
	cr_assert_eq(ask(&args), CUDA_SUCCESS);
	cr_assert_eq(result, CUDA_ERROR_INVALID_VALUE);
	args = request();
	hashes[3] ^= 1; /* an image that nobody sent */
	cr_assert_eq(ask(&args), CUDA_SUCCESS);
	cr_assert_eq(result, CUDA_ERROR_FILE_NOT_FOUND);
	cr_assert_eq(linker.destroys, linker.creates);
}
