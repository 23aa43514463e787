/*
 * What the hooks of cuBLAS share: how one looks, and what a handle says.
 */
#ifndef GENIE_INTERPOSE_HOOK_CUBLAS_H
#define GENIE_INTERPOSE_HOOK_CUBLAS_H

#include <cublas_api.h>
#include <cuda.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/native.h"
#include "interpose/hook.h"

/* The vendor's function @name as an expression of its own type. */
#define CUBLAS_REAL(name)                                                                          \
	({                                                                                         \
		static void *_Atomic cache;                                                        \
		(__typeof__(&name))genie_hook_real(GENIE_HOOK_CUBLAS, #name, &cache);              \
	})

/* A hook: @native (an expression of the parameters) where the device has its own way to do it, a
 * jump to the vendor's function otherwise. */
#define CUBLAS_HOOK(name, parameters, arguments, native)                                           \
	__attribute__((visibility("default"))) cublasStatus_t name parameters;                     \
	cublasStatus_t name parameters                                                             \
	{                                                                                          \
		__typeof__(&name) real;                                                            \
                                                                                                   \
		if (genie_hook_native())                                                           \
			return native;                                                             \
		real = CUBLAS_REAL(name);                                                          \
		return real ? real arguments : CUBLAS_STATUS_NOT_INITIALIZED;                      \
	}

/*
 * cublas_api.h declares functions on half-precision numbers for C++ only. Their C form: a pointer
 * to two bytes, which is all that a hook needs to know of them.
 */
typedef struct {
	unsigned short bits;
} genie_half_t;

/* The stream of a handle, and whether its factors are in device memory. */
cublasStatus_t genie_cublas_read(cublasHandle_t handle, cudaStream_t *ret_stream,
				 bool *ret_on_device);

/* A product with a vector or of level 3 on @stream of the current context; its arguments are
 * checked.
 * @alpha and @beta are values, or with @on_device their addresses. */
cublasStatus_t genie_cublas_dense(CUstream stream, bool on_device, const struct genie_dense *dense,
				  const void *alpha, const void *beta);

/* Leading dimensions are at least 1, also of empty matrices. */
static inline int64_t
genie_cublas_at_least_one(int64_t n)
{
	return n > 1 ? n : 1;
}

#endif
