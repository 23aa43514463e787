/* Launches: the command encoded by hand has the bytes that the codec gives it, parameters land
 * where the kernel expects them, and what cannot be launched is refused at once. */
#include "interpose/launch.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/fake_chan.h"
#include "wire/codec.h"

static const struct genie_kernel_param three_params[] = {{0, 1}, {8, 8}, {16, 2}};
static const struct genie_kernel_desc three = {
	.name = "three", .params = three_params, .param_count = 3, .param_size = 18};
static const struct genie_kernel_desc none = {.name = "none"};

static struct genie_attrs attrs;

static struct genie_function
function_of(const struct genie_kernel_desc *desc)
{
	return (struct genie_function){.object.token = genie_token(GENIE_KIND_FUNCTION, 3, 77),
				       .desc = desc,
				       .attrs = &attrs};
}

/* Encodes both ways and compares. */
static void
compare(const struct genie_kernel_desc *desc, struct genie_launch *launch)
{
	static uint8_t by_hand[GENIE_CMD_MAX], by_codec[GENIE_CMD_MAX], packed[GENIE_CMD_MAX];
	const uint64_t stream = genie_token(GENIE_KIND_STREAM, 0, 5);
	struct genie_function function = function_of(desc);
	struct genie_args_genieLaunch args;
	struct genie_writer writer;
	const void *buffer;
	size_t size, len;

	cr_assert_eq(genie_launch_params(desc, launch->params, launch->extra, &buffer, &size),
		     CUDA_SUCCESS);
	memset(packed, 0xee, sizeof(packed));
	genie_launch_pack(desc, launch->params, buffer, packed, size);
	args = (struct genie_args_genieLaunch){
		.function = (CUfunction)(uintptr_t)function.object.token,
		.stream = (CUstream)(uintptr_t)stream,
		.gridX = launch->grid[0],
		.gridY = launch->grid[1],
		.gridZ = launch->grid[2],
		.blockX = launch->block[0],
		.blockY = launch->block[1],
		.blockZ = launch->block[2],
		.shared = launch->shared,
		.params = size != 0 ? packed : NULL,
		.params_size = size,
		.attrs = launch->attr_count != 0 ? launch->attrs : NULL,
		.attr_count = launch->attr_count,
	};
	len = genie_encoded_size(GENIE_OP_genieLaunch, &args);
	cr_assert_eq(genie_launch_size(size, launch->attr_count), len);
	memset(by_codec, 0x11, sizeof(by_codec));
	memset(by_hand, 0x22, sizeof(by_hand));
	genie_writer_init(&writer, by_codec, len);
	genie_encode_args(&writer, GENIE_OP_genieLaunch, &args);
	cr_assert(!writer.fatal);
	genie_launch_encode(by_hand, &function, stream, launch, buffer, size);
	cr_assert_arr_eq(by_hand, by_codec, len);
	cr_assert_eq(by_hand[len], 0x22, "nothing beyond");
}

Test(launch, encodes_like_the_codec)
{
	char a = 'a';
	double b = 2.5;
	short c = -3;
	void *params[] = {&a, &b, &c};
	CUlaunchAttribute some[3];
	struct genie_launch launch = {
		.grid = {1, 2, 3}, .block = {4, 5, 6}, .shared = 7, .params = params};

	compare(&three, &launch);
	launch.params = NULL;
	compare(&none, &launch);
	memset(some, 0x5a, sizeof(some));
	launch.attrs = some;
	launch.attr_count = 3;
	compare(&none, &launch);
	launch.params = params;
	compare(&three, &launch);
}

Test(launch, parameters_of_every_size)
{
	static uint8_t values[GENIE_KERNEL_PARAM_BYTES_MAX];

	for (size_t i = 0; i < sizeof(values); i++)
		values[i] = (uint8_t)(i * 7);
	for (uint32_t size = 1; size <= GENIE_KERNEL_PARAM_BYTES_MAX; size = size * 3 / 2 + 1) {
		const struct genie_kernel_param param = {0, size};
		const struct genie_kernel_desc desc = {
			.params = &param, .param_count = 1, .param_size = size};
		void *params[] = {values};
		struct genie_launch launch = {
			.grid = {1, 1, 1}, .block = {1, 1, 1}, .params = params};

		compare(&desc, &launch);
	}
}

Test(launch, parameters_in_a_buffer)
{
	char bytes[24] = "eighteen bytes of data";
	size_t size = 18;
	void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, bytes, CU_LAUNCH_PARAM_BUFFER_SIZE, &size,
			 CU_LAUNCH_PARAM_END};
	void *reversed[] = {CU_LAUNCH_PARAM_BUFFER_SIZE, &size, CU_LAUNCH_PARAM_BUFFER_POINTER,
			    bytes, CU_LAUNCH_PARAM_END};
	void *unknown[] = {(void *)9, bytes, CU_LAUNCH_PARAM_END};
	void *empty[] = {CU_LAUNCH_PARAM_END};
	struct genie_launch launch = {.grid = {1, 1, 1}, .block = {1, 1, 1}, .extra = extra};
	const void *buffer;
	size_t found;

	compare(&three, &launch);
	launch.extra = reversed;
	compare(&three, &launch);
	cr_assert_eq(genie_launch_params(&three, NULL, unknown, &buffer, &found),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(genie_launch_params(&three, NULL, empty, &buffer, &found),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(genie_launch_params(&three, NULL, NULL, &buffer, &found),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(genie_launch_params(&three, extra, extra, &buffer, &found),
		     CUDA_ERROR_INVALID_VALUE);
	size = 19;
	cr_assert_eq(genie_launch_params(&three, NULL, extra, &buffer, &found),
		     CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
}

/* ---- whole launches, of a program in PTX text ---- */

static const char ptx[] = ".version 7.0\n.target sm_80\n.address_size 64\n"
			  ".visible .entry add(.param .u64 p, .param .u32 n)\n{\n ret;\n}\n";
static CUmodule module;
static CUfunction add;

static void
start(void)
{
	static const int limits[][2] = {
		{CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024},
		{CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024},
		{CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024},
		{CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64},
		{CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 0x7fffffff},
		{CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535},
		{CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535},
		{CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 232448},
	};
	CUcontext ctx;

	fake_init();
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		fake.devices[0].attrs[limits[i][0]] = limits[i][1];
	fake.devices[0].image_kinds = GENIE_IMAGE_PTX;
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cr_assert_eq(cuDevicePrimaryCtxRetain(&ctx, 0), CUDA_SUCCESS);
	cr_assert_eq(cuCtxSetCurrent(ctx), CUDA_SUCCESS);
	fake.status = 0;
	fake.reply_len = 24; /* of genieModuleGlobal: any address and size will do, not managed */
	cr_assert_eq(cuModuleLoadData(&module, ptx), CUDA_SUCCESS);
	cr_assert_eq(cuModuleGetFunction(&add, module, "add"), CUDA_SUCCESS);
}

static CUresult
launch(unsigned int grid, unsigned int block, unsigned int shared)
{
	CUdeviceptr p = 0x1122334455667788;
	unsigned int n = 42;
	void *params[] = {&p, &n};

	return cuLaunchKernel(add, grid, 1, 1, block, 1, 1, shared, NULL, params, NULL);
}

Test(launch, announces_each_thing_once, .init = start)
{
	const struct fake_command *command;
	uint64_t param;

	cr_assert_eq(fake_count(GENIE_OP_genieModuleLoad), 1, "PTX is compiled at once");
	cr_assert_eq(fake_count(GENIE_OP_genieFunctionGet), 0);
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(launch(3, 32, 0), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieImageData), 1);
	cr_assert_eq(fake_count(GENIE_OP_genieImageHave), 0, "small images are not asked about");
	cr_assert_eq(fake_count(GENIE_OP_genieModuleLoad), 1);
	cr_assert_eq(fake_count(GENIE_OP_genieFunctionGet), 1);
	cr_assert_eq(fake_count(GENIE_OP_genieLaunch), 1000);
	command = fake_last(GENIE_OP_genieLaunch);
	cr_assert_eq(command->len, 72 + 16);
	memcpy(&param, command->payload + 72, sizeof(param));
	cr_assert_eq(param, 0x1122334455667788);
	cr_assert_eq(command->payload[80], 42);
}

Test(launch, refuses_at_once, .init = start)
{
	size_t before;

	cr_assert_eq(launch(1, 1, 0), CUDA_SUCCESS);
	/* The driver has the last word on shared memory: it is asked once. */
	fake.reply_len = CU_FUNC_ATTRIBUTE_MAX * sizeof(int);
	((int *)(void *)fake.reply)[CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES] = 49152;
	cr_assert_eq(launch(1, 1, 49153), CUDA_ERROR_INVALID_VALUE);
	before = fake.count;
	cr_assert_eq(launch(0, 1, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(launch(1, 0, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(launch(1, 1025, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(launch(1, 1, 49153), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(
		cuFuncSetAttribute(add, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 232449),
		CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuLaunchKernel((CUfunction)0x1234, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL),
		     CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 0, (CUstream)0x99, NULL, NULL),
		     CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(fake.count, before, "nothing was sent");
	cr_assert_eq(
		cuFuncSetAttribute(add, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 65536),
		CUDA_SUCCESS);
	cr_assert_eq(launch(1, 1, 65536), CUDA_SUCCESS);
	cr_assert_eq(launch(1, 1, 65537), CUDA_ERROR_INVALID_VALUE);
}

Test(launch, attributes_set_early_are_sent_with_the_function, .init = start)
{
	cr_assert_eq(cuFuncSetAttribute(add, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1000),
		     CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieFunctionSet), 0);
	cr_assert_eq(launch(1, 1, 1000), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieFunctionSet), 1);
	cr_assert_eq(cuFuncSetAttribute(add, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 2000),
		     CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieFunctionSet), 2);
}

Test(launch, nothing_fits, .init = start)
{
	CUmodule other;

	((struct genie_device_info *)genie_client.devices)[0].image_kinds = GENIE_IMAGE_SASS;
	cr_assert_eq(cuModuleLoadData(&other, ptx), CUDA_ERROR_NO_BINARY_FOR_GPU);
	cr_assert_eq(cuModuleLoadData(&other, "hello"), CUDA_ERROR_INVALID_IMAGE);
	cr_assert_eq(cuModuleGetFunction(&add, module, "sub"), CUDA_ERROR_NOT_FOUND);
	cr_assert_eq(cuModuleUnload(module), CUDA_SUCCESS);
	cr_assert_eq(cuModuleUnload(module), CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(launch(1, 1, 0), CUDA_ERROR_INVALID_HANDLE, "its functions went with it");
	cr_assert_eq(fake_count(GENIE_OP_genieModuleUnload), 1);
}

static CUmodule refused, unloaded;

/* A worker that cannot load modules. */
static void
refuse_modules(enum genie_op op, const void *payload, size_t len)
{
	static uint8_t memory[GENIE_POOL_SIZE];
	struct genie_reader reader;
	struct genie_pool pool;
	struct genie_call call;

	genie_pool_init(&pool, memory, sizeof(memory));
	genie_reader_init(&reader, payload, len);
	cr_assert(genie_decode_args(&reader, &pool, op, &call), "%s", reader.why);
	fake.status = CUDA_SUCCESS;
	if (op == GENIE_OP_genieModuleLoad) {
		refused = ((struct genie_args_genieModuleLoad *)call.args)->module;
		fake.status = CUDA_ERROR_INVALID_PTX;
	} else if (op == GENIE_OP_genieModuleUnload) {
		unloaded = ((struct genie_args_genieModuleUnload *)call.args)->module;
	}
}

/* With GENIE_SYNC=1 the answer is the error, but the worker has given the name away. */
Test(launch, a_module_that_fails_at_once_gives_its_name_back, .init = start)
{
	CUmodule other;

	genie_client.sync = true;
	fake.on_command = refuse_modules;
	cr_assert_eq(cuModuleLoadData(&other, ptx), CUDA_ERROR_INVALID_PTX);
	cr_assert_not_null(refused);
	cr_assert_eq(unloaded, refused);
}

Test(launch, a_kernel_is_a_function_too, .init = start)
{
	CUlibrary library;
	CUkernel kernel, again;
	CUfunction function;
	unsigned int count;

	cr_assert_eq(cuLibraryLoadData(&library, ptx, NULL, NULL, 0, NULL, NULL, 0), CUDA_SUCCESS);
	cr_assert_eq(cuLibraryGetKernel(&kernel, library, "add"), CUDA_SUCCESS);
	cr_assert_eq(cuLibraryGetKernel(&again, library, "add"), CUDA_SUCCESS);
	cr_assert_eq(kernel, again);
	cr_assert_eq(cuLibraryGetKernel(&again, library, "sub"), CUDA_ERROR_NOT_FOUND);
	cr_assert_eq(cuLibraryGetKernelCount(&count, library), CUDA_SUCCESS);
	cr_assert_eq(count, 1);
	cr_assert_eq(cuKernelGetFunction(&function, kernel), CUDA_SUCCESS);
	add = (CUfunction)kernel;
	cr_assert_eq(launch(1, 1, 0), CUDA_SUCCESS);
	add = function;
	cr_assert_eq(launch(1, 1, 0), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieFunctionGet), 1);
	cr_assert_eq(cuLibraryUnload(library), CUDA_SUCCESS);
	cr_assert_eq(launch(1, 1, 0), CUDA_ERROR_INVALID_HANDLE);
}
