/*
 * Compiles every function of PTX files and counts what the engine does not have.
 *
 *	coverage FILE.ptx...
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "remote/device_cpu/ptx.h"
#include "remote/device_cpu/ptx/code.h"

struct count {
	char *text;
	size_t count;
};

static struct count *counts;
static size_t ncounts;

static void
add(const char *text)
{
	for (size_t i = 0; i < ncounts; i++) {
		if (!strcmp(counts[i].text, text)) {
			counts[i].count++;
			return;
		}
	}
	counts = realloc(counts, (ncounts + 1) * sizeof(*counts));
	counts[ncounts++] = (struct count){strdup(text), 1};
}

static int
compare(const void *a, const void *b)
{
	const struct count *x = a, *y = b;

	return x->count < y->count ? 1 : x->count > y->count ? -1 : 0;
}

static void *
allocate(void *data, size_t size)
{
	(void)data;
	return aligned_alloc(256, (size + 255) & ~(size_t)255);
}

static void
release(void *data, void *ptr, size_t size)
{
	(void)data;
	(void)size;
	free(ptr);
}

static char *
read_file(const char *path, size_t *ret_size)
{
	FILE *file = fopen(path, "rb");
	char *text = NULL;

	if (!file)
		return NULL;
	fseek(file, 0, SEEK_END);
	long size = ftell(file);
	rewind(file);
	if (size >= 0)
		text = malloc((size_t)size + 1);
	if (text && fread(text, 1, (size_t)size, file) == (size_t)size) {
		text[size] = 0;
		*ret_size = (size_t)size;
	}
	fclose(file);
	return text;
}

int
main(int argc, char **argv)
{
	const struct ptx_memory memory = {.alloc = allocate, .release = release};
	size_t functions = 0, kernels = 0, failed = 0, instructions = 0, unsupported = 0, dirty = 0;
	size_t bytes = 0;
	clock_t start = clock();

	for (int i = 1; i < argc; i++) {
		size_t size = 0;
		char *text = read_file(argv[i], &size), err[256];
		struct ptx_module *module;

		if (!text) {
			perror(argv[i]);
			return 1;
		}
		bytes += size;
		if (ptx_module_load(text, size, &memory, &module, err, sizeof(err))) {
			printf("%s: %s\n", argv[i], err);
			failed++;
			free(text);
			continue;
		}
		free(text);
		kernels += module->nkernels;
		for (size_t k = 0; k < module->nfunctions; k++) {
			struct ptx_function *function = module->functions[k];
			const struct ptx_code *code;

			if (!function->body)
				continue;
			functions++;
			code = ptx_function_code(function);
			if (!code) {
				failed++;
				printf("%s: %s: %s\n", argv[i], function->name, function->error);
				continue;
			}
			instructions += code->ninsns;
			unsupported += code->unsupported;
			dirty += code->unsupported != 0;
			for (uint32_t n = 0; n < code->ninsns; n++)
				if (code->insns[n].op == PTX_H_unsupported)
					add(code->insns[n].data);
		}
		ptx_module_unload(module);
	}
	if (ncounts)
		qsort(counts, ncounts, sizeof(*counts), compare);
	for (size_t i = 0; i < ncounts; i++)
		printf("%8zu %s\n", counts[i].count, counts[i].text);
	printf("%zu bytes, %zu kernels, %zu functions, %zu failed, %zu instructions, "
	       "%zu unsupported in %zu functions, %.1f s\n",
	       bytes, kernels, functions, failed, instructions, unsupported, dirty,
	       (double)(clock() - start) / CLOCKS_PER_SEC);
	return failed != 0;
}
