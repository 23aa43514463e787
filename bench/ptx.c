/*
 * How fast the CPU device runs PTX.
 *
 *	bench-ptx [FILE.ptx]   (default: tests/ptx/basic.cu as the build compiled it)
 *
 * Each kernel runs until a second has passed; the best run counts. GENIE_CPU_THREADS and
 * GENIE_PERF=no_avx2 show what threads and vectors bring.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "remote/device_cpu/ptx.h"

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
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
	long size;

	if (!file) {
		perror(path);
		exit(1);
	}
	fseek(file, 0, SEEK_END);
	size = ftell(file);
	rewind(file);
	text = malloc((size_t)size + 1);
	if (!text || fread(text, 1, (size_t)size, file) != (size_t)size) {
		perror(path);
		exit(1);
	}
	text[size] = 0;
	fclose(file);
	*ret_size = (size_t)size;
	return text;
}

/* Best seconds of one launch. */
static double
measure(struct ptx_module *module, const char *name, const struct ptx_launch *launch)
{
	struct ptx_kernel *kernel = ptx_module_kernel(module, name);
	double start = now(), best = 1e9;
	struct ptx_fault fault;

	if (!kernel) {
		fprintf(stderr, "no kernel %s\n", name);
		exit(1);
	}
	while (now() - start < 1) {
		double t = now();

		if (ptx_run(kernel, launch, &fault) != PTX_OK) {
			fprintf(stderr, "%s\n", fault.text);
			exit(1);
		}
		t = now() - t;
		best = t < best ? t : best;
	}
	return best;
}

static void
report(const char *what, double seconds, double operations, const char *unit)
{
	printf("%-34s %10.3f ms %10.1f M%s/s\n", what, seconds * 1e3, operations / seconds * 1e-6,
	       unit);
}

static float *
vector(size_t n)
{
	float *v = malloc(n * sizeof(*v));

	for (size_t i = 0; i < n; i++)
		v[i] = (float)(i % 17) / 4;
	return v;
}

int
main(int argc, char **argv)
{
	const struct ptx_memory memory = {.alloc = allocate, .release = release};
	enum { MATRIX = 256, ELEMENTS = 1 << 20 };
	size_t size;
	char *text = read_file(argc > 1 ? argv[1] : BENCH_PTX, &size), err[256];
	struct ptx_module *module;

	if (ptx_module_load(text, size, &memory, &module, err, sizeof(err))) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	printf("%d threads\n", ptx_threads());

	struct {
		float *a, *b, *c;
		int n;
	} product = {vector(MATRIX * MATRIX), vector(MATRIX * MATRIX), vector(MATRIX * MATRIX),
		     MATRIX};
	struct ptx_launch tiles = {
		.grid = {MATRIX / 16, MATRIX / 16, 1},
		.block = {16, 16, 1},
		.params = &product,
		.params_size = sizeof(product),
	};

	report("matrix product 256, tiled", measure(module, "matmul_tiled", &tiles),
	       2.0 * MATRIX * MATRIX * MATRIX, "FLOP");
	report("matrix product 256, plain", measure(module, "matmul_plain", &tiles),
	       2.0 * MATRIX * MATRIX * MATRIX, "FLOP");

	struct {
		int n;
		float a;
		float *x, *y;
	} axpy = {ELEMENTS, 0.5f, vector(ELEMENTS), vector(ELEMENTS)};
	struct ptx_launch line = {
		.grid = {ELEMENTS / 256, 1, 1},
		.block = {256, 1, 1},
		.params = &axpy,
		.params_size = sizeof(axpy),
	};

	report("saxpy of 2^20", measure(module, "saxpy", &line), ELEMENTS, "element");

	int *numbers = calloc(ELEMENTS, sizeof(*numbers)), *sums = calloc(ELEMENTS, sizeof(*sums));
	struct {
		int *in;
		int n, pad;
		int *out;
	} reduction = {numbers, ELEMENTS, 0, sums};
	struct ptx_launch blocks = {
		.grid = {64, 1, 1},
		.block = {256, 1, 1},
		.dynamic_shared = 64,
		.params = &reduction,
		.params_size = sizeof(reduction),
	};

	report("sum of 2^20, shared memory", measure(module, "reduce_shared", &blocks), ELEMENTS,
	       "element");
	blocks.grid[0] = ELEMENTS / 256;
	report("sum of 2^20, shuffles", measure(module, "reduce_shuffle", &blocks), ELEMENTS,
	       "element");

	struct {
		int *in, *out;
		int n;
	} branches = {numbers, sums, ELEMENTS};

	for (int i = 0; i < ELEMENTS; i++)
		numbers[i] = i % 1000 + 1;
	blocks.params = &branches;
	blocks.params_size = sizeof(branches);
	report("diverging loops, 2^20 threads", measure(module, "divergence", &blocks), ELEMENTS,
	       "thread");

	struct ptx_launch one = {
		.grid = {1, 1, 1},
		.block = {32, 1, 1},
		.params = &axpy,
		.params_size = sizeof(axpy),
	};

	axpy.n = 1;
	report("a launch of one warp", measure(module, "saxpy", &one), 1, "launch");
	return 0;
}
