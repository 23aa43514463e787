/* Sending a matrix product to a device that executes it natively; shared by the cuBLAS and the
 * cuBLASLt hooks. */
#ifndef GENIE_INTERPOSE_HOOK_GEMM_H
#define GENIE_INTERPOSE_HOOK_GEMM_H

#include <cuda.h>
#include <stdbool.h>
#include <stddef.h>

#include "api/native.h"

/* Our number for a cudaDataType_t; -1 when the native product does not have it. */
int genie_gemm_type(int cuda_type);
/* Bytes of one element; 0 for types that are not ours. */
size_t genie_gemm_type_size(int type);
/* Fills compute_type and scale_type from a cublasComputeType_t (and the type of C, which decides
 * whether the scale is complex). False: not ours. */
bool genie_gemm_compute(struct genie_gemm *gemm, int compute, int type_c);
/* Copies alpha and beta: values from the host, or their device addresses. */
void genie_gemm_scale(struct genie_gemm *gemm, const void *alpha, const void *beta, bool on_device);
/* One asynchronous command on @stream of the current context. */
CUresult genie_gemm_submit(const struct genie_gemm *gemm, CUstream stream);

#endif
