/*
 * For programs that use the driver API beside the runtime: the functions by name, as a program
 * that is not linked with libcuda gets them.
 */
#ifndef GENIE_TESTS_DRIVER_H
#define GENIE_TESTS_DRIVER_H

#include <cuda.h>
#include <cuda_runtime.h>

#include "program.h"

template <typename Fn>
static Fn *
driver_function(const char *name)
{
	void *address = nullptr;
	cudaDriverEntryPointQueryResult result;
	CUDA(cudaGetDriverEntryPointByVersion(name, &address, CUDA_VERSION, cudaEnableDefault,
					      &result));
	if (result != cudaDriverEntryPointSuccess) {
		printf("no %s\n", name);
		exit(1);
	}
	return (Fn *)address;
}

/* DRIVER(cuMemMap)(…): the newest function of that name. */
#define DRIVER(name) driver_function<decltype(name)>(#name)

#define CU(call)                                                                                   \
	do {                                                                                       \
		CUresult status_ = (call);                                                         \
		if (status_ != CUDA_SUCCESS) {                                                     \
			printf("%s:%d: %s: %d\n", __FILE__, __LINE__, #call, (int)status_);        \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#define EXPECT_CU(call, expected)                                                                  \
	do {                                                                                       \
		CUresult status_ = (call);                                                         \
		if (status_ != (expected)) {                                                       \
			printf("%s:%d: %s: %d, expected %d\n", __FILE__, __LINE__, #call,          \
			       (int)status_, (int)(expected));                                     \
			wrong_errors++;                                                            \
		}                                                                                  \
	} while (0)

/* For what fails with a code that differs between drivers. */
#define EXPECT_FAILS(call)                                                                         \
	do {                                                                                       \
		if ((call) == CUDA_SUCCESS) {                                                      \
			printf("%s:%d: %s: no error\n", __FILE__, __LINE__, #call);                \
			wrong_errors++;                                                            \
		}                                                                                  \
	} while (0)

#endif
