/*
 * cuBLAS matrix products. On a GPU each hook is a jump to the vendor's function; on the CPU device
 * the product becomes one command, because cuBLAS carries its product kernels as machine code
 * only (measured: driver-boundary.md, 5). Levels 1 and 2 need no hook: they come as PTX.
 */
#include "interpose/hook_cublas.h"

#include "interpose/hook_gemm.h"

cublasStatus_t
genie_cublas_read(cublasHandle_t handle, cudaStream_t *ret_stream, bool *ret_on_device)
{
	__typeof__(&cublasGetStream_v2) get_stream = CUBLAS_REAL(cublasGetStream_v2);
	__typeof__(&cublasGetPointerMode_v2) get_mode = CUBLAS_REAL(cublasGetPointerMode_v2);
	cublasPointerMode_t mode;

	if (!get_stream || !get_mode)
		return CUBLAS_STATUS_INTERNAL_ERROR;
	if (!handle || get_stream(handle, ret_stream) != CUBLAS_STATUS_SUCCESS ||
	    get_mode(handle, &mode) != CUBLAS_STATUS_SUCCESS)
		return CUBLAS_STATUS_NOT_INITIALIZED;
	*ret_on_device = mode == CUBLAS_POINTER_MODE_DEVICE;
	return CUBLAS_STATUS_SUCCESS;
}

/* What every product has; filled by the entry points below. */
struct product {
	cublasHandle_t handle;
	cublasOperation_t op_a, op_b;
	int64_t m, n, k;
	const void *alpha, *beta;
	const void *a, *b;
	void *c;
	int type_a, type_b, type_c; /* cudaDataType_t */
	int64_t lda, ldb, ldc;
	int64_t stride_a, stride_b, stride_c;
	int64_t batch;
	int compute; /* cublasComputeType_t */
	bool pointer_array;
};

/* cuBLAS numbers its operations N, T, C as we do. */
static bool
operation_valid(cublasOperation_t op)
{
	return op == CUBLAS_OP_N || op == CUBLAS_OP_T || op == CUBLAS_OP_C;
}

/* The argument rules of the cuBLAS documentation for cublas<t>gemm(). */
static bool
product_valid(const struct product *p)
{
	int64_t rows_a = p->op_a == CUBLAS_OP_N ? p->m : p->k;
	int64_t rows_b = p->op_b == CUBLAS_OP_N ? p->k : p->n;

	return operation_valid(p->op_a) && operation_valid(p->op_b) && p->m >= 0 && p->n >= 0 &&
	       p->k >= 0 && p->batch >= 0 && p->batch <= UINT32_MAX &&
	       p->lda >= genie_cublas_at_least_one(rows_a) &&
	       p->ldb >= genie_cublas_at_least_one(rows_b) &&
	       p->ldc >= genie_cublas_at_least_one(p->m) && p->alpha && p->beta;
}

static cublasStatus_t
product_submit(const struct product *p)
{
	int type_a = genie_gemm_type(p->type_a);
	int type_b = genie_gemm_type(p->type_b);
	int type_c = genie_gemm_type(p->type_c);
	struct genie_gemm gemm = {0};
	cudaStream_t stream;
	bool on_device;
	cublasStatus_t status = genie_cublas_read(p->handle, &stream, &on_device);

	if (status != CUBLAS_STATUS_SUCCESS)
		return status;
	if (!product_valid(p))
		return CUBLAS_STATUS_INVALID_VALUE;
	if (type_a < 0 || type_b < 0 || type_c < 0 ||
	    !genie_gemm_compute(&gemm, p->compute, type_c))
		return CUBLAS_STATUS_NOT_SUPPORTED;
	if (p->m == 0 || p->n == 0 || p->batch == 0)
		return CUBLAS_STATUS_SUCCESS;
	gemm.a = (uintptr_t)p->a;
	gemm.b = (uintptr_t)p->b;
	gemm.c = (uintptr_t)p->c;
	gemm.d = (uintptr_t)p->c;
	gemm.stride_a = p->stride_a;
	gemm.stride_b = p->stride_b;
	gemm.stride_c = p->stride_c;
	gemm.stride_d = p->stride_c;
	gemm.m = p->m;
	gemm.n = p->n;
	gemm.k = p->k;
	gemm.lda = p->lda;
	gemm.ldb = p->ldb;
	gemm.ldc = p->ldc;
	gemm.ldd = p->ldc;
	gemm.batch = (uint32_t)p->batch;
	gemm.op_a = (uint8_t)p->op_a;
	gemm.op_b = (uint8_t)p->op_b;
	gemm.pointer_array = p->pointer_array;
	gemm.type_a = (uint16_t)type_a;
	gemm.type_b = (uint16_t)type_b;
	gemm.type_c = (uint16_t)type_c;
	gemm.type_d = (uint16_t)type_c;
	gemm.bias_type = (uint16_t)type_c;
	genie_gemm_scale(&gemm, p->alpha, p->beta, on_device);
	return genie_gemm_submit(&gemm, (CUstream)stream) == CUDA_SUCCESS
		       ? CUBLAS_STATUS_SUCCESS
		       : CUBLAS_STATUS_EXECUTION_FAILED;
}

/*
 * The entry points. Each exists with 32-bit and with 64-bit sizes (INT) and differs otherwise in
 * its element type.
 */
#define SIZES(INT)                                                                                 \
	cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, INT m, INT n, INT k
#define PRODUCT(...)                                                                               \
	product_submit(&(struct product){.handle = handle,                                         \
					 .op_a = op_a,                                             \
					 .op_b = op_b,                                             \
					 .m = m,                                                   \
					 .n = n,                                                   \
					 .k = k,                                                   \
					 .alpha = alpha,                                           \
					 .beta = beta,                                             \
					 .a = a,                                                   \
					 .b = b,                                                   \
					 .c = (void *)c,                                           \
					 .lda = lda,                                               \
					 .ldb = ldb,                                               \
					 .ldc = ldc,                                               \
					 __VA_ARGS__})
#define TYPES(a, b, c) .type_a = a, .type_b = b, .type_c = c
#define STRIDES        .stride_a = stride_a, .stride_b = stride_b, .stride_c = stride_c

#define GEMM(name, INT, T, TYPE, COMPUTE)                                                          \
	CUBLAS_HOOK(name,                                                                          \
		    (SIZES(INT), const T *alpha, const T *a, INT lda, const T *b, INT ldb,         \
		     const T *beta, T *c, INT ldc),                                                \
		    (handle, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc),            \
		    PRODUCT(TYPES(TYPE, TYPE, TYPE), .batch = 1, .compute = COMPUTE))

#define GEMM_BATCHED(name, INT, T, TYPE, COMPUTE)                                                  \
	CUBLAS_HOOK(name,                                                                          \
		    (SIZES(INT), const T *alpha, const T *const a[], INT lda, const T *const b[],  \
		     INT ldb, const T *beta, T *const c[], INT ldc, INT batch),                    \
		    (handle, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, batch),     \
		    PRODUCT(TYPES(TYPE, TYPE, TYPE), .batch = batch, .pointer_array = true,        \
			    .compute = COMPUTE))

#define GEMM_STRIDED(name, INT, T, TYPE, COMPUTE)                                                  \
	CUBLAS_HOOK(name,                                                                          \
		    (SIZES(INT), const T *alpha, const T *a, INT lda, long long int stride_a,      \
		     const T *b, INT ldb, long long int stride_b, const T *beta, T *c, INT ldc,    \
		     long long int stride_c, INT batch),                                           \
		    (handle, op_a, op_b, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b, beta, \
		     c, ldc, stride_c, batch),                                                     \
		    PRODUCT(TYPES(TYPE, TYPE, TYPE), STRIDES, .batch = batch, .compute = COMPUTE))

#define GEMM_ALL(letter, T, TYPE, COMPUTE)                                                         \
	GEMM_BATCHED(cublas##letter##gemmBatched, int, T, TYPE, COMPUTE)                           \
	GEMM_BATCHED(cublas##letter##gemmBatched_64, int64_t, T, TYPE, COMPUTE)                    \
	GEMM_STRIDED(cublas##letter##gemmStridedBatched, int, T, TYPE, COMPUTE)                    \
	GEMM_STRIDED(cublas##letter##gemmStridedBatched_64, int64_t, T, TYPE, COMPUTE)

GEMM(cublasSgemm_v2, int, float, CUDA_R_32F, CUBLAS_COMPUTE_32F)
GEMM(cublasSgemm_v2_64, int64_t, float, CUDA_R_32F, CUBLAS_COMPUTE_32F)
GEMM(cublasDgemm_v2, int, double, CUDA_R_64F, CUBLAS_COMPUTE_64F)
GEMM(cublasDgemm_v2_64, int64_t, double, CUDA_R_64F, CUBLAS_COMPUTE_64F)
GEMM(cublasCgemm_v2, int, cuComplex, CUDA_C_32F, CUBLAS_COMPUTE_32F)
GEMM(cublasCgemm_v2_64, int64_t, cuComplex, CUDA_C_32F, CUBLAS_COMPUTE_32F)
GEMM(cublasCgemm3m, int, cuComplex, CUDA_C_32F, CUBLAS_COMPUTE_32F)
GEMM(cublasCgemm3m_64, int64_t, cuComplex, CUDA_C_32F, CUBLAS_COMPUTE_32F)
GEMM(cublasZgemm_v2, int, cuDoubleComplex, CUDA_C_64F, CUBLAS_COMPUTE_64F)
GEMM(cublasZgemm_v2_64, int64_t, cuDoubleComplex, CUDA_C_64F, CUBLAS_COMPUTE_64F)
GEMM(cublasZgemm3m, int, cuDoubleComplex, CUDA_C_64F, CUBLAS_COMPUTE_64F)
GEMM(cublasZgemm3m_64, int64_t, cuDoubleComplex, CUDA_C_64F, CUBLAS_COMPUTE_64F)
GEMM(cublasHgemm, int, genie_half_t, CUDA_R_16F, CUBLAS_COMPUTE_16F)
GEMM(cublasHgemm_64, int64_t, genie_half_t, CUDA_R_16F, CUBLAS_COMPUTE_16F)
GEMM_ALL(S, float, CUDA_R_32F, CUBLAS_COMPUTE_32F)
GEMM_ALL(D, double, CUDA_R_64F, CUBLAS_COMPUTE_64F)
GEMM_ALL(C, cuComplex, CUDA_C_32F, CUBLAS_COMPUTE_32F)
GEMM_ALL(Z, cuDoubleComplex, CUDA_C_64F, CUBLAS_COMPUTE_64F)
GEMM_ALL(H, genie_half_t, CUDA_R_16F, CUBLAS_COMPUTE_16F)

/* Element types as arguments; the accumulation is float. */
#define GEMM_SEX(name, INT, T, COMPUTE)                                                            \
	CUBLAS_HOOK(name,                                                                          \
		    (SIZES(INT), const T *alpha, const void *a, cudaDataType type_a, INT lda,      \
		     const void *b, cudaDataType type_b, INT ldb, const T *beta, void *c,          \
		     cudaDataType type_c, INT ldc),                                                \
		    (handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, b, type_b, ldb, beta, c,  \
		     type_c, ldc),                                                                 \
		    PRODUCT(TYPES(type_a, type_b, type_c), .batch = 1, .compute = COMPUTE))

#define GEMM_EX(name, INT)                                                                         \
	CUBLAS_HOOK(name,                                                                          \
		    (SIZES(INT), const void *alpha, const void *a, cudaDataType type_a, INT lda,   \
		     const void *b, cudaDataType type_b, INT ldb, const void *beta, void *c,       \
		     cudaDataType type_c, INT ldc, cublasComputeType_t compute,                    \
		     cublasGemmAlgo_t algo),                                                       \
		    (handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, b, type_b, ldb, beta, c,  \
		     type_c, ldc, compute, algo),                                                  \
		    PRODUCT(TYPES(type_a, type_b, type_c), .batch = 1, .compute = (int)compute))

#define GEMM_BATCHED_EX(name, INT)                                                                 \
	CUBLAS_HOOK(name,                                                                          \
		    (SIZES(INT), const void *alpha, const void *const a[], cudaDataType type_a,    \
		     INT lda, const void *const b[], cudaDataType type_b, INT ldb,                 \
		     const void *beta, void *const c[], cudaDataType type_c, INT ldc, INT batch,   \
		     cublasComputeType_t compute, cublasGemmAlgo_t algo),                          \
		    (handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, b, type_b, ldb, beta, c,  \
		     type_c, ldc, batch, compute, algo),                                           \
		    PRODUCT(TYPES(type_a, type_b, type_c), .batch = batch, .pointer_array = true,  \
			    .compute = (int)compute))

#define GEMM_STRIDED_EX(name, INT)                                                                 \
	CUBLAS_HOOK(name,                                                                          \
		    (SIZES(INT), const void *alpha, const void *a, cudaDataType type_a, INT lda,   \
		     long long int stride_a, const void *b, cudaDataType type_b, INT ldb,          \
		     long long int stride_b, const void *beta, void *c, cudaDataType type_c,       \
		     INT ldc, long long int stride_c, INT batch, cublasComputeType_t compute,      \
		     cublasGemmAlgo_t algo),                                                       \
		    (handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, stride_a, b, type_b, ldb, \
		     stride_b, beta, c, type_c, ldc, stride_c, batch, compute, algo),              \
		    PRODUCT(TYPES(type_a, type_b, type_c), STRIDES, .batch = batch,                \
			    .compute = (int)compute))

GEMM_SEX(cublasSgemmEx, int, float, CUBLAS_COMPUTE_32F)
GEMM_SEX(cublasSgemmEx_64, int64_t, float, CUBLAS_COMPUTE_32F)
GEMM_SEX(cublasCgemmEx, int, cuComplex, CUBLAS_COMPUTE_32F)
GEMM_SEX(cublasCgemmEx_64, int64_t, cuComplex, CUBLAS_COMPUTE_32F)
GEMM_EX(cublasGemmEx, int)
GEMM_EX(cublasGemmEx_64, int64_t)
GEMM_BATCHED_EX(cublasGemmBatchedEx, int)
GEMM_BATCHED_EX(cublasGemmBatchedEx_64, int64_t)
GEMM_STRIDED_EX(cublasGemmStridedBatchedEx, int)
GEMM_STRIDED_EX(cublasGemmStridedBatchedEx_64, int64_t)
