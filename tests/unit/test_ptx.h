/* What the tests of the PTX engine share: modules from files and text, launches. */
#ifndef GENIE_TESTS_UNIT_TEST_PTX_H
#define GENIE_TESTS_UNIT_TEST_PTX_H

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/ptx.h"

static inline void *
test_alloc(void *data, size_t size)
{
	void *p = aligned_alloc(256, (size + 255) & ~(size_t)255);

	(void)data;
	if (p)
		memset(p, 0, size);
	return p;
}

static inline void
test_release(void *data, void *ptr, size_t size)
{
	(void)data;
	(void)size;
	free(ptr);
}

static const struct ptx_memory test_memory = {.alloc = test_alloc, .release = test_release};

static inline struct ptx_module *
load_text(const char *text)
{
	struct ptx_module *module = NULL;
	char err[256] = "";
	enum ptx_status status =
		ptx_module_load(text, strlen(text), &test_memory, &module, err, sizeof(err));

	cr_assert_eq(status, PTX_OK, "%s", err);
	return module;
}

static inline char *
read_text(const char *path)
{
	FILE *file = fopen(path, "rb");

	cr_assert_not_null(file, "%s", path);
	fseek(file, 0, SEEK_END);
	long size = ftell(file);
	rewind(file);
	char *text = malloc((size_t)size + 1);
	cr_assert_eq(fread(text, 1, (size_t)size, file), (size_t)size);
	text[size] = 0;
	fclose(file);
	return text;
}

static inline struct ptx_module *
load_file(const char *path)
{
	char *text = read_text(path);
	struct ptx_module *module = load_text(text);

	free(text);
	return module;
}

/* What a kernel printed. */
static char test_output[65536];
static size_t test_output_len;

static inline void
test_collect(void *data, const char *text, size_t len)
{
	(void)data;
	if (len > sizeof(test_output) - 1 - test_output_len)
		len = sizeof(test_output) - 1 - test_output_len;
	memcpy(test_output + test_output_len, text, len);
	test_output_len += len;
	test_output[test_output_len] = 0;
}

static inline enum ptx_status
try_launch(struct ptx_module *module, const char *name, const struct ptx_launch *launch,
	   struct ptx_fault *ret_fault)
{
	struct ptx_kernel *kernel = ptx_module_kernel(module, name);

	cr_assert_not_null(kernel, "no kernel %s", name);
	test_output_len = 0;
	return ptx_run(kernel, launch, ret_fault);
}

static inline void
launch(struct ptx_module *module, const char *name, const struct ptx_launch *args)
{
	struct ptx_fault fault = {0};
	enum ptx_status status = try_launch(module, name, args, &fault);

	cr_assert_eq(status, PTX_OK, "%s: status %d: %s", name, status, fault.text);
}

/* grid x block threads in one dimension, parameters in a struct */
#define RUN(module, name, grid_x, block_x, ...)                                                    \
	launch(module, name,                                                                       \
	       &(struct ptx_launch){.grid = {grid_x, 1, 1},                                        \
				    .block = {block_x, 1, 1},                                      \
				    .output = test_collect,                                        \
				    __VA_ARGS__})
#define PARAMS(p) .params = &(p), .params_size = sizeof(p)

/* An f16, exact for |v| < 2048. By hand: clang 14 has no _Float16 for this machine. */
static inline uint16_t
small_f16(int v)
{
	unsigned int magnitude = (unsigned int)(v < 0 ? -v : v), exponent = 0;
	unsigned int sign = v < 0 ? 0x8000 : 0;

	if (!magnitude)
		return (uint16_t)sign;
	while (magnitude >> (exponent + 1))
		exponent++;
	return (uint16_t)(sign | (exponent + 15) << 10 | ((magnitude << (10 - exponent)) & 0x3ff));
}

#endif
