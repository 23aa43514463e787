/*
 * What the error_codes programs share: one line a call, "name: code". The code that belongs there
 * stands beside the call, so that a run is right or wrong on its own; where the two differ the
 * line says so and the program fails.
 *
 * Only calls whose result is defined: nothing here may crash the native driver.
 */
#ifndef GENIE_TESTS_ERROR_CODES_H
#define GENIE_TESTS_ERROR_CODES_H

#include "program.h"

#include <cuda.h>
#include <dlfcn.h>

static void
report(const char *name, int code, int expected)
{
	printf("%s: %d", name, code);
	if (code != expected) {
		printf(" (expected %d)", expected);
		wrong_errors++;
	}
	printf("\n");
	fflush(stdout); /* should the next call crash, the last line tells where */
}

/* A call of the runtime; its last error is taken away, so that the next line has its own. */
#define RT(name, expected, ...)                                                                    \
	do {                                                                                       \
		report(name, (int)(__VA_ARGS__), (int)(expected));                                 \
		cudaGetLastError();                                                                \
	} while (0)

/* A launch: what the runtime noted about it. */
#define LAUNCH(name, expected, ...)                                                                \
	do {                                                                                       \
		__VA_ARGS__;                                                                       \
		report(name, (int)cudaGetLastError(), (int)(expected));                            \
	} while (0)

/* A function of the driver, as the header names it (cuMemAlloc is cuMemAlloc_v2). */
template <typename F>
static F
entry(const char *name)
{
	static void *driver = dlopen("libcuda.so.1", RTLD_NOW);
	void *function = driver ? dlsym(driver, name) : nullptr;
	if (!function) {
		printf("no %s\n", name);
		exit(1);
	}
	return (F)function;
}

#define NAME_(function)    #function
#define NAME(function)     NAME_(function)
#define RAW(function, ...) (entry<decltype(&function)>(NAME(function))(__VA_ARGS__))
#define DRV(name, expected, function, ...)                                                         \
	report(name, (int)RAW(function, __VA_ARGS__), (int)(expected))
#define DRIVER(function, ...)                                                                      \
	do {                                                                                       \
		CUresult result_ = RAW(function, __VA_ARGS__);                                     \
		if (result_ != CUDA_SUCCESS) {                                                     \
			printf("%s:%d: %s: %d\n", __FILE__, __LINE__, #function, (int)result_);    \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#endif
