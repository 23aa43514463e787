/* remote/exec_module.c, store.c, store_file.c, exec_launch.c: images, modules, launches. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remote/store.h"
#include "remote/store_file.h"
#include "tests/unit/remote_fake.h"

static char dir[] = "/tmp/genie-test-XXXXXX";
static char cache[64];

static void
init(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(cache, sizeof(cache), "%s/a/cache", dir);
	fake_start(GENIE_DEVICE_RECORD, cache);
	fake_ctx();
}

static void
fini(void)
{
	char command[128];

	fake_stop();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(exec_module, .init = init, .fini = fini, .timeout = 20);

static uint8_t hash[GENIE_STORE_HASH];

static CUresult
data(const void *image, size_t total, size_t offset, size_t size)
{
	struct genie_args_genieImageData args = {.hash = hash,
						 .total = total,
						 .offset = offset,
						 .data = (const char *)image + offset,
						 .size = size};

	fake.errors = 0;
	cr_assert_eq(fake_call(GENIE_OP_genieImageData, &args, 0), 0);
	return fake.errors ? fake.error.status : CUDA_SUCCESS;
}

static int
have(void)
{
	int have = -1;
	struct genie_args_genieImageHave args = {.hash = hash, .have = &have};

	cr_assert_eq(fake_call(GENIE_OP_genieImageHave, &args, 0), 0);
	return have;
}

Test(exec_module, an_image_is_here_once_all_of_it_came)
{
	static char image[100000];

	memset(image, 'x', sizeof(image));
	genie_store_hash(image, sizeof(image), hash);
	cr_assert_eq(have(), 0);
	for (size_t offset = 0; offset < sizeof(image); offset += 10000) {
		cr_assert_eq(have(), 0);
		cr_assert_eq(data(image, sizeof(image), offset, 10000), CUDA_SUCCESS);
	}
	cr_assert_eq(have(), 1);
	cr_assert_eq(data(image, sizeof(image), 0, 10000), CUDA_SUCCESS, "again: ignored");
}

Test(exec_module, bulk_images)
{
	struct genie_args_genieImageBulk args = {
		.hash = hash, .total = 5000, .ref = 3, .size = 5000};

	memset(fake.staging + 3 * FAKE_SLOT, 'y', 5000);
	genie_store_hash(fake.staging + 3 * FAKE_SLOT, 5000, hash);
	cr_assert_eq(fake_call(GENIE_OP_genieImageBulk, &args, 0), 0);
	cr_assert_eq(fake.in_done, 1);
	cr_assert_eq(have(), 1);
}

Test(exec_module, pieces_must_fit)
{
	char image[100] = "image";

	genie_store_hash(image, sizeof(image), hash);
	cr_assert_eq(data(image, 100, 50, 50), CUDA_ERROR_INVALID_VALUE, "not the first");
	cr_assert_eq(data(image, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(data(image, SIZE_MAX, 0, 50), CUDA_ERROR_INVALID_VALUE, "too large");
	cr_assert_eq(data(image, 40, 0, 50), CUDA_ERROR_INVALID_VALUE, "larger than all of it");
	cr_assert_eq(data(image, 100, 0, 50), CUDA_SUCCESS);
	cr_assert_eq(data(image, 100, 0, 50), CUDA_ERROR_INVALID_VALUE, "the same again");
	cr_assert_eq(data(image, 99, 50, 49), CUDA_ERROR_INVALID_VALUE, "another total");
	cr_assert_eq(data(image, 100, 60, 40), CUDA_ERROR_INVALID_VALUE, "a gap");
	cr_assert_eq(data(image, 100, 50, 50), CUDA_SUCCESS);
	cr_assert_eq(have(), 1);
}

Test(exec_module, an_image_that_is_not_its_hash_is_refused)
{
	char image[100] = "image";

	memset(hash, 7, sizeof(hash));
	cr_assert_eq(data(image, 100, 0, 100), CUDA_ERROR_INVALID_IMAGE);
	cr_assert_eq(have(), 0);
}

Test(exec_module, images_that_claim_more_than_there_is)
{
	unsigned char fatbin[64] = {0x50, 0xed, 0x55, 0xba, 1, 0, 16, 0, 49};
	unsigned char elf[128] = {0x7f, 'E', 'L', 'F', [0x28] = 64, [0x3a] = 64, [0x3c] = 2};
	struct genie_args_genieModuleLoad load = {.hash = hash};

	load.module = TOKEN(CUmodule, GENIE_KIND_MODULE, 0, 1);
	genie_store_hash(fatbin, sizeof(fatbin), hash);
	data(fatbin, sizeof(fatbin), 0, sizeof(fatbin));
	cr_assert_eq(fake_call(GENIE_OP_genieModuleLoad, &load, 1), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_INVALID_IMAGE);
	load.module = TOKEN(CUmodule, GENIE_KIND_MODULE, 0, 2);
	genie_store_hash(elf, sizeof(elf), hash);
	data(elf, sizeof(elf), 0, sizeof(elf));
	cr_assert_eq(fake_call(GENIE_OP_genieModuleLoad, &load, 1), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_INVALID_IMAGE);
	cr_assert_eq(device.module_loads, 0);
	load.module = TOKEN(CUmodule, GENIE_KIND_MODULE, 0, 3);
	fatbin[8] = 48;
	genie_store_hash(fatbin, sizeof(fatbin), hash);
	data(fatbin, sizeof(fatbin), 0, sizeof(fatbin));
	cr_assert_eq(fake_call(GENIE_OP_genieModuleLoad, &load, 1), 0);
	cr_assert_eq(device.module_loads, 1);
}

/* ---- files ---- */

/* The one file of the cache; false: not (yet) exactly one. */
static bool
the_file(char *ret_path, size_t size)
{
	DIR *stream = opendir(cache);
	struct dirent *entry;
	int count = 0;

	while (stream && (entry = readdir(stream)))
		if (entry->d_name[0] != '.' && !strstr(entry->d_name, ".tmp")) {
			snprintf(ret_path, size, "%s/%s", cache, entry->d_name);
			count++;
		}
	if (stream)
		closedir(stream);
	return count == 1;
}

static void
restart(void)
{
	fake_stop();
	fake_start(GENIE_DEVICE_RECORD, cache);
}

Test(exec_module, images_are_there_in_the_next_session)
{
	char path[600];
	struct stat st;

	fake_function();
	restart();
	cr_assert(the_file(path, sizeof(path)));
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	genie_store_hash("// some PTX\n", 13, hash);
	cr_assert_eq(have(), 1);
}

Test(exec_module, a_file_that_was_changed_is_ignored_and_removed)
{
	char path[600];
	int fd;

	fake_function();
	restart();
	cr_assert(the_file(path, sizeof(path)));
	fd = open(path, O_WRONLY);
	cr_assert_eq(pwrite(fd, "!", 1, 3), 1);
	close(fd);
	genie_store_hash("// some PTX\n", 13, hash);
	cr_assert_eq(have(), 0);
	cr_assert_eq(access(path, F_OK), -1);
}

Test(exec_module, a_link_or_a_fifo_in_place_of_a_file_is_ignored)
{
	char path[600];
	char other[600];

	fake_function();
	restart();
	cr_assert(the_file(path, sizeof(path)));
	snprintf(other, sizeof(other), "%s/other", dir);
	cr_assert_eq(rename(path, other), 0);
	cr_assert_eq(symlink(other, path), 0);
	genie_store_hash("// some PTX\n", 13, hash);
	cr_assert_eq(have(), 0);
	unlink(path);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_assert_eq(have(), 0);
}

Test(exec_module, a_folder_that_others_can_write_to_is_not_used)
{
	char path[600];

	fake_stop();
	cr_assert_eq(chmod(cache, 0777), 0);
	fake_start(GENIE_DEVICE_RECORD, cache);
	fake_ctx();
	fake_function();
	genie_store_hash("// some PTX\n", 13, hash);
	cr_assert_eq(have(), 1, "in memory");
	restart();
	cr_assert_not(the_file(path, sizeof(path)));
}

Test(exec_module, trimming_removes_the_oldest)
{
	int fd = genie_store_file_open(cache);
	uint8_t content[1000];
	uint8_t *back = NULL;
	size_t size = 0;

	for (unsigned int i = 0; i < 10; i++) {
		const struct timespec times[2] = {{1000 + i, 0}, {1000 + i, 0}};
		char name[2 * GENIE_STORE_HASH + 1];

		memset(content, (int)i, sizeof(content));
		genie_store_hash(content, sizeof(content), hash);
		cr_assert_eq(genie_store_file_save(fd, hash, content, sizeof(content)), 0);
		for (int k = 0; k < GENIE_STORE_HASH; k++)
			sprintf(name + 2 * k, "%02x", hash[k]);
		cr_assert_eq(utimensat(fd, name, times, 0), 0);
	}
	genie_store_file_trim(fd, 3000);
	for (unsigned int i = 0; i < 10; i++) {
		memset(content, (int)i, sizeof(content));
		genie_store_hash(content, sizeof(content), hash);
		cr_assert_eq(genie_store_file_load(fd, hash, &back, &size) == 0, i >= 7, "%u", i);
		if (i >= 7)
			free(back);
	}
	close(fd);
}

/* ---- modules and functions ---- */

Test(exec_module, functions_can_be_asked_and_set)
{
	int values[CU_FUNC_ATTRIBUTE_MAX + 2] = {0};
	struct genie_args_genieFunctionInfo info = {
		.function = fake_function(), .values = values, .count = CU_FUNC_ATTRIBUTE_MAX + 1};
	struct genie_args_genieFunctionSet set = {
		.function = info.function, .attribute = 8, .value = 1000};

	cr_assert_eq(fake_call(GENIE_OP_genieFunctionInfo, &info, 1), 0);
	cr_assert_eq(values[0], 100);
	cr_assert_eq(values[3], 0, "unknown to the driver");
	cr_assert_eq(values[CU_FUNC_ATTRIBUTE_MAX], 3);
	cr_assert_eq(fake_call(GENIE_OP_genieFunctionSet, &set, 1), 0);
	info.count = -5;
	cr_assert_eq(fake_call(GENIE_OP_genieFunctionInfo, &info, 1), 0);
	info.count = 1;
	cr_assert_eq(fake_call(GENIE_OP_genieFunctionInfo, &info, 1), 0);
	cr_assert_eq(fake.errors, 0);
}

Test(exec_module, a_module_that_fails_keeps_its_error)
{
	uint64_t addr = 0;
	size_t size = 0;
	int values[4], managed = 0;
	struct genie_args_genieModuleGlobal global = {
		.module = TOKEN(CUmodule, GENIE_KIND_MODULE, 0, 77),
		.name = "x",
		.size = &size,
		.managed = &managed};
	struct genie_args_genieFunctionInfo info = {.values = values, .count = 4};
	struct genie_args_genieModuleUnload unload = {.module = global.module};
	struct genie_args_genieLaunch launch = {.stream = LEGACY};

	global.addr = (CUdeviceptr *)&addr;
	device.fail_module = CUDA_ERROR_NO_BINARY_FOR_GPU;
	info.function = fake_function();
	launch.function = info.function;
	cr_assert_eq(fake.errors, 1, "once, not again for the function");
	cr_assert_eq(fake.error.status, CUDA_ERROR_NO_BINARY_FOR_GPU);
	cr_assert_eq(fake_call(GENIE_OP_genieModuleGlobal, &global, 1), 0);
	cr_assert_eq(fake.reply.status, CUDA_ERROR_NO_BINARY_FOR_GPU);
	cr_assert_eq(fake_call(GENIE_OP_genieFunctionInfo, &info, 1), 0);
	cr_assert_eq(fake.reply.status, CUDA_ERROR_NO_BINARY_FOR_GPU);
	cr_assert_eq(fake_call(GENIE_OP_genieLaunch, &launch, 1), 0);
	cr_assert_eq(fake.errors, 2);
	cr_assert_eq(fake_call(GENIE_OP_genieModuleUnload, &unload, 1), 0);
	cr_assert_eq(device.module_unloads, 0);
	cr_assert_eq(fake_call(GENIE_OP_genieFunctionInfo, &info, 1), 0);
	cr_assert_eq(fake.reply.status, CUDA_ERROR_INVALID_HANDLE);
}

Test(exec_module, absent_functions_and_modules)
{
	struct genie_args_genieFunctionGet get = {
		.function = TOKEN(CUfunction, GENIE_KIND_FUNCTION, 0, 5),
		.module = TOKEN(CUmodule, GENIE_KIND_MODULE, 0, 77),
		.name = "absent"};
	struct genie_args_genieModuleLoad load = {
		.module = TOKEN(CUmodule, GENIE_KIND_MODULE, 0, 5), .hash = hash};

	fake_function();
	cr_assert_eq(fake_call(GENIE_OP_genieFunctionGet, &get, 1), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_NOT_FOUND);
	get.module = TOKEN(CUmodule, GENIE_KIND_MODULE, 0, 78);
	cr_assert_eq(fake_call(GENIE_OP_genieFunctionGet, &get, 1), 0);
	memset(hash, 9, sizeof(hash));
	fake.errors = 0;
	cr_assert_eq(fake_call(GENIE_OP_genieModuleLoad, &load, 1), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_FILE_NOT_FOUND);
	cr_assert_eq(fake_call(GENIE_OP_genieModuleLoad, &load, 1), -EPROTO, "named twice");
}

Test(exec_module, a_module_is_unloaded_when_its_kernels_are_done)
{
	CUstream stream = fake_stream(3);
	struct genie_args_genieLaunch launch = {.function = fake_function(), .stream = stream};
	struct genie_args_genieModuleUnload unload = {
		.module = TOKEN(CUmodule, GENIE_KIND_MODULE, 0, 77)};
	struct genie_args_genieCtxMark mark = {0};

	fake_hold();
	cr_assert_eq(fake_call(GENIE_OP_genieLaunch, &launch, 1), 0);
	cr_assert_eq(fake_call(GENIE_OP_genieModuleUnload, &unload, 1), 0);
	cr_assert_eq(device.module_unloads, 0);
	fake_go();
	cr_assert_eq(fake_call(GENIE_OP_genieCtxMark, &mark, 1), 0);
	cr_assert(fake_reached(GENIE_SLOT_CTX + 1));
	cr_assert_eq(device.module_unloads, 1);
	cr_assert_eq(fake_call(GENIE_OP_genieLaunch, &launch, 1), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_INVALID_HANDLE);
}

/* ---- launches ---- */

Test(exec_module, a_launch_passes_its_parameters)
{
	char params[40] = "parameters";
	struct genie_args_genieLaunch launch = {.function = fake_function(),
						.stream = LEGACY,
						.gridX = 1,
						.gridY = 1,
						.gridZ = 1,
						.blockX = 32,
						.blockY = 1,
						.blockZ = 1,
						.params = params,
						.params_size = sizeof(params)};

	cr_assert_eq(fake_call(GENIE_OP_genieLaunch, &launch, 1), 0);
	cr_assert_eq(device.launch_params_size, 40);
	cr_assert_str_eq((char *)device.launch_params, "parameters");
	launch.params = NULL;
	launch.params_size = 0;
	cr_assert_eq(fake_call(GENIE_OP_genieLaunch, &launch, 1), 0);
	cr_assert_eq(device.launch_params_size, 0);
	cr_assert_eq(device.launches, 2);
	cr_assert_eq(fake.errors, 0);
}

Test(exec_module, a_length_without_data_is_no_launch)
{
	struct genie_args_genieLaunch launch = {
		.function = fake_function(), .stream = LEGACY, .params_size = 40};

	cr_assert_eq(fake_call(GENIE_OP_genieLaunch, &launch, 1), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_INVALID_VALUE);
	launch.params_size = 0;
	launch.attr_count = 3;
	cr_assert_eq(fake_call(GENIE_OP_genieLaunch, &launch, 1), 0);
	cr_assert_eq(fake.errors, 2);
	cr_assert_eq(device.launches, 0);
}

Test(exec_module, attributes_are_passed_or_refused)
{
	CUlaunchAttribute attrs[2] = {
		{.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, .value.clusterDim = {2, 1, 1}},
		{.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT}};
	struct genie_args_genieLaunch launch = {
		.function = fake_function(), .stream = LEGACY, .attrs = attrs, .attr_count = 2};

	attrs[1].value.programmaticEvent.event = fake_event(4);
	cr_assert_eq(fake_call(GENIE_OP_genieLaunch, &launch, 1), 0);
	cr_assert_eq(fake.errors, 0);
	cr_assert_eq(device.launch_attrs, 2);
	attrs[1].value.programmaticEvent.event = TOKEN(CUevent, GENIE_KIND_EVENT, 0, 5);
	cr_assert_eq(fake_call(GENIE_OP_genieLaunch, &launch, 1), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_INVALID_HANDLE);
	attrs[1].id = 60; /* may carry a pointer */
	fake.errors = 0;
	cr_assert_eq(fake_call(GENIE_OP_genieLaunch, &launch, 1), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_NOT_SUPPORTED);
	cr_assert_eq(device.launches, 1);
}
