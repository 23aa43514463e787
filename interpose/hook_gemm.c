#include "interpose/hook_gemm.h"

#include <library_types.h>
#include <string.h>

#include "interpose/capture.h"

/* cublasComputeType_t, from cublas_api.h (CUDA 13.0). */
enum {
	COMPUTE_16F = 64,
	COMPUTE_16F_PEDANTIC = 65,
	COMPUTE_32F = 68,
	COMPUTE_32F_PEDANTIC = 69,
	COMPUTE_64F = 70,
	COMPUTE_64F_PEDANTIC = 71,
	COMPUTE_32I = 72,
	COMPUTE_32I_PEDANTIC = 73,
	COMPUTE_32F_FAST_16F = 74,
	COMPUTE_32F_FAST_16BF = 75,
	COMPUTE_32F_FAST_TF32 = 77,
	COMPUTE_32F_EMULATED = 78,
	COMPUTE_64F_EMULATED = 79,
};

int
genie_gemm_type(int cuda_type)
{
	switch (cuda_type) {
	case CUDA_R_32F:
		return GENIE_F32;
	case CUDA_R_64F:
		return GENIE_F64;
	case CUDA_R_16F:
		return GENIE_F16;
	case CUDA_R_16BF:
		return GENIE_BF16;
	case CUDA_R_8I:
		return GENIE_I8;
	case CUDA_R_32I:
		return GENIE_I32;
	case CUDA_C_32F:
		return GENIE_C32;
	case CUDA_C_64F:
		return GENIE_C64;
	default:
		return -1;
	}
}

size_t
genie_gemm_type_size(int type)
{
	switch (type) {
	case GENIE_I8:
		return 1;
	case GENIE_F16:
	case GENIE_BF16:
		return 2;
	case GENIE_F32:
	case GENIE_I32:
		return 4;
	case GENIE_F64:
	case GENIE_C32:
		return 8;
	case GENIE_C64:
		return 16;
	default:
		return 0;
	}
}

bool
genie_gemm_compute(struct genie_gemm *gemm, int compute, int type_c)
{
	bool complex = type_c == GENIE_C32 || type_c == GENIE_C64;

	switch (compute) {
	case COMPUTE_16F:
	case COMPUTE_16F_PEDANTIC:
		/* Accumulating in float is at least as exact; the scale is half all the same. */
		gemm->compute_type = GENIE_F32;
		gemm->scale_type = GENIE_F16;
		return true;
	case COMPUTE_32F:
	case COMPUTE_32F_PEDANTIC:
	case COMPUTE_32F_FAST_16F:
	case COMPUTE_32F_FAST_16BF:
	case COMPUTE_32F_FAST_TF32:
	case COMPUTE_32F_EMULATED:
		gemm->compute_type = GENIE_F32;
		gemm->scale_type = complex ? GENIE_C32 : GENIE_F32;
		return true;
	case COMPUTE_64F:
	case COMPUTE_64F_PEDANTIC:
	case COMPUTE_64F_EMULATED:
		gemm->compute_type = GENIE_F64;
		gemm->scale_type = complex ? GENIE_C64 : GENIE_F64;
		return true;
	case COMPUTE_32I:
	case COMPUTE_32I_PEDANTIC:
		gemm->compute_type = GENIE_I32;
		gemm->scale_type = type_c == GENIE_I32 ? GENIE_I32 : GENIE_F32;
		return true;
	default:
		return false;
	}
}

void
genie_gemm_scale(struct genie_gemm *gemm, const void *alpha, const void *beta, bool on_device)
{
	size_t size = genie_gemm_type_size(gemm->scale_type);

	gemm->scale_on_device = on_device;
	if (on_device) {
		memcpy(gemm->alpha, &alpha, sizeof(alpha));
		memcpy(gemm->beta, &beta, sizeof(beta));
		return;
	}
	memcpy(gemm->alpha, alpha, size);
	memcpy(gemm->beta, beta, size);
}

CUresult
genie_gemm_submit(const struct genie_gemm *gemm, CUstream handle)
{
	struct genie_args_genieNativeGemm args = {0};
	struct genie_stream *stream;
	CUresult status = genie_enter(GENIE_OP_genieNop, false);

	if (status != CUDA_SUCCESS)
		return status;
	if (!genie_ctx_current())
		return CUDA_ERROR_INVALID_CONTEXT;
	stream = genie_stream_get(handle);
	if (!stream)
		return CUDA_ERROR_INVALID_HANDLE;
	args.gemm = gemm;
	args.stream = genie_stream_wire(stream);
	return genie_native_submit(stream, GENIE_OP_genieNativeGemm, &args);
}
