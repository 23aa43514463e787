/*
 * cublasLtMatmul: one product described by opaque descriptors. On the CPU device the descriptors
 * are read with the library's own getters and the product becomes one command; what the native
 * product does not have is refused with CUBLAS_STATUS_NOT_SUPPORTED, as an algorithm would be.
 */
#include <cublasLt.h>
#include <stdatomic.h>

#include "base/log.h"
#include "interpose/hook.h"
#include "interpose/hook_gemm.h"

#define EXPORT __attribute__((visibility("default")))

#define REAL(name)                                                                                 \
	({                                                                                         \
		static void *_Atomic cache;                                                        \
		(__typeof__(&name))genie_hook_real(GENIE_HOOK_CUBLASLT, #name, &cache);            \
	})

struct layout {
	uint32_t type; /* cudaDataType_t */
	int32_t order; /* cublasLtOrder_t */
	uint64_t rows, cols;
	int64_t ld, stride;
	int32_t batch;
};

static bool
layout_read(cublasLtMatrixLayout_t handle, struct layout *ret_layout)
{
	__typeof__(&cublasLtMatrixLayoutGetAttribute) get = REAL(cublasLtMatrixLayoutGetAttribute);
	struct layout l = {.batch = 1};

	if (!get || !handle)
		return false;
#define READ(what, field) (get(handle, what, &l.field, sizeof(l.field), NULL) == 0)
	if (!READ(CUBLASLT_MATRIX_LAYOUT_TYPE, type) ||
	    !READ(CUBLASLT_MATRIX_LAYOUT_ORDER, order) ||
	    !READ(CUBLASLT_MATRIX_LAYOUT_ROWS, rows) || !READ(CUBLASLT_MATRIX_LAYOUT_COLS, cols) ||
	    !READ(CUBLASLT_MATRIX_LAYOUT_LD, ld) ||
	    !READ(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, batch) ||
	    !READ(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride))
		return false;
#undef READ
	*ret_layout = l;
	return l.order == CUBLASLT_ORDER_COL || l.order == CUBLASLT_ORDER_ROW;
}

struct operation {
	int32_t compute, scale_type, pointer_mode, op_a, op_b;
	uint32_t epilogue;
	uint64_t bias, aux;
	int64_t bias_stride, aux_ld;
	int32_t bias_type;
	uint64_t scales[5]; /* pointers that only 8-bit types use */
};

static bool
operation_read(cublasLtMatmulDesc_t handle, struct operation *ret_operation)
{
	__typeof__(&cublasLtMatmulDescGetAttribute) get = REAL(cublasLtMatmulDescGetAttribute);
	struct operation o = {.bias_type = -1};

	if (!get || !handle)
		return false;
#define READ(what, field) (get(handle, what, &o.field, sizeof(o.field), NULL) == 0)
	if (!READ(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, compute) ||
	    !READ(CUBLASLT_MATMUL_DESC_SCALE_TYPE, scale_type) ||
	    !READ(CUBLASLT_MATMUL_DESC_POINTER_MODE, pointer_mode) ||
	    !READ(CUBLASLT_MATMUL_DESC_TRANSA, op_a) || !READ(CUBLASLT_MATMUL_DESC_TRANSB, op_b) ||
	    !READ(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue))
		return false;
	/* Optional ones: older libraries do not know them all. */
	(void)!READ(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
	(void)!READ(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, bias_stride);
	(void)!READ(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias_type);
	(void)!READ(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aux);
	(void)!READ(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, aux_ld);
	(void)!READ(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, scales[0]);
	(void)!READ(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, scales[1]);
	(void)!READ(CUBLASLT_MATMUL_DESC_C_SCALE_POINTER, scales[2]);
	(void)!READ(CUBLASLT_MATMUL_DESC_D_SCALE_POINTER, scales[3]);
	(void)!READ(CUBLASLT_MATMUL_DESC_AMAX_D_POINTER, scales[4]);
#undef READ
	for (unsigned i = 0; i < sizeof(o.scales) / sizeof(o.scales[0]); i++)
		if (o.scales[i])
			return false;
	*ret_operation = o;
	return o.pointer_mode == CUBLASLT_POINTER_MODE_HOST ||
	       o.pointer_mode == CUBLASLT_POINTER_MODE_DEVICE;
}

/* cublasLtEpilogue_t is a set of flags too; only the bits differ. Bit 4 (a bias gradient beside
 * the gradient of an activation) has no native form. */
static int
epilogue_flags(uint32_t lt)
{
	static const struct {
		uint32_t lt, ours;
	} bits[] = {
		{2, GENIE_EPILOGUE_RELU},     {4, GENIE_EPILOGUE_BIAS},
		{8, GENIE_EPILOGUE_DRELU},    {32, GENIE_EPILOGUE_GELU},
		{64, GENIE_EPILOGUE_DGELU},   {128, GENIE_EPILOGUE_AUX},
		{256, GENIE_EPILOGUE_BGRADA}, {512, GENIE_EPILOGUE_BGRADB},
	};
	uint32_t flags = 0;

	if (lt == CUBLASLT_EPILOGUE_DEFAULT || lt == 0)
		return 0;
	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		if (lt & bits[i].lt)
			flags |= bits[i].ours;
		lt &= ~bits[i].lt;
	}
	return lt ? -1 : (int)flags;
}

static cublasStatus_t
matmul_native(cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
	      cublasLtMatrixLayout_t layout_a, const void *b, cublasLtMatrixLayout_t layout_b,
	      const void *beta, const void *c, cublasLtMatrixLayout_t layout_c, void *d,
	      cublasLtMatrixLayout_t layout_d, cudaStream_t stream)
{
	struct genie_gemm gemm = {0};
	struct layout la, lb, lc, ld;
	struct operation op;
	int ta, tb, tc, td, flags;

	if (!alpha || !beta || !a || !b || !d)
		return CUBLAS_STATUS_INVALID_VALUE;
	if (!operation_read(desc, &op) || !layout_read(layout_a, &la) ||
	    !layout_read(layout_b, &lb) || !layout_read(layout_d, &ld))
		return CUBLAS_STATUS_NOT_SUPPORTED;
	if (!layout_c)
		lc = ld;
	else if (!layout_read(layout_c, &lc))
		return CUBLAS_STATUS_NOT_SUPPORTED;
	ta = genie_gemm_type((int)la.type);
	tb = genie_gemm_type((int)lb.type);
	tc = genie_gemm_type((int)lc.type);
	td = genie_gemm_type((int)ld.type);
	flags = epilogue_flags(op.epilogue);
	if (ta < 0 || tb < 0 || tc < 0 || td < 0 || flags < 0 ||
	    !genie_gemm_compute(&gemm, op.compute, tc))
		return CUBLAS_STATUS_NOT_SUPPORTED;
	if (genie_gemm_type(op.scale_type) < 0)
		return CUBLAS_STATUS_NOT_SUPPORTED;
	gemm.scale_type = (uint16_t)genie_gemm_type(op.scale_type);
	gemm.m = (int64_t)ld.rows;
	gemm.n = (int64_t)ld.cols;
	gemm.k = (int64_t)(op.op_a == CUBLAS_OP_N ? la.cols : la.rows);
	gemm.a = (uintptr_t)a;
	gemm.b = (uintptr_t)b;
	gemm.c = (uintptr_t)(c ? c : d);
	gemm.d = (uintptr_t)d;
	gemm.lda = la.ld;
	gemm.ldb = lb.ld;
	gemm.ldc = lc.ld;
	gemm.ldd = ld.ld;
	gemm.stride_a = la.stride;
	gemm.stride_b = lb.stride;
	gemm.stride_c = lc.stride;
	gemm.stride_d = ld.stride;
	gemm.batch = (uint32_t)(ld.batch > 0 ? ld.batch : 1);
	gemm.op_a = (uint8_t)op.op_a;
	gemm.op_b = (uint8_t)op.op_b;
	gemm.type_a = (uint16_t)ta;
	gemm.type_b = (uint16_t)tb;
	gemm.type_c = (uint16_t)tc;
	gemm.type_d = (uint16_t)td;
	gemm.epilogue = (uint16_t)flags;
	gemm.bias = op.bias;
	gemm.aux = op.aux;
	gemm.ld_aux = op.aux_ld;
	gemm.stride_bias = op.bias_stride;
	gemm.bias_type = (uint16_t)(op.bias_type >= 0 && genie_gemm_type(op.bias_type) >= 0
					    ? genie_gemm_type(op.bias_type)
					    : td);
	gemm.order = (la.order == CUBLASLT_ORDER_ROW) | (lb.order == CUBLASLT_ORDER_ROW) << 1 |
		     (lc.order == CUBLASLT_ORDER_ROW) << 2 | (ld.order == CUBLASLT_ORDER_ROW) << 3;
	if (gemm.m == 0 || gemm.n == 0)
		return CUBLAS_STATUS_SUCCESS;
	genie_gemm_scale(&gemm, alpha, beta, op.pointer_mode == CUBLASLT_POINTER_MODE_DEVICE);
	return genie_gemm_submit(&gemm, (CUstream)stream) == CUDA_SUCCESS
		       ? CUBLAS_STATUS_SUCCESS
		       : CUBLAS_STATUS_EXECUTION_FAILED;
}

EXPORT cublasStatus_t
cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
	       cublasLtMatrixLayout_t layout_a, const void *b, cublasLtMatrixLayout_t layout_b,
	       const void *beta, const void *c, cublasLtMatrixLayout_t layout_c, void *d,
	       cublasLtMatrixLayout_t layout_d, const cublasLtMatmulAlgo_t *algo, void *workspace,
	       size_t workspace_size, cudaStream_t stream)
{
	__typeof__(&cublasLtMatmul) real;

	if (genie_hook_native())
		return matmul_native(desc, alpha, a, layout_a, b, layout_b, beta, c, layout_c, d,
				     layout_d, stream);
	real = REAL(cublasLtMatmul);
	return real ? real(handle, desc, alpha, a, layout_a, b, layout_b, beta, c, layout_c, d,
			   layout_d, algo, workspace, workspace_size, stream)
		    : CUBLAS_STATUS_NOT_INITIALIZED;
}
