/*
 * cuBLAS operations beside the product for which the library has kernels without PTX: products with
 * vectors (cublas<t>gemv) and level 3. As in hook_cublas.c, a hook is a jump to the vendor's
 * function on a GPU and one command on the CPU device.
 */
#include "interpose/hook_cublas.h"

#include <limits.h>
#include <string.h>

#include "interpose/capture.h"
#include "interpose/hook_gemm.h"

static cublasStatus_t
dense_send(const struct genie_dense *dense, CUstream handle)
{
	struct genie_args_genieNativeDense args = {.dense = dense};
	struct genie_stream *stream;

	if (genie_enter(GENIE_OP_genieNop, false) != CUDA_SUCCESS || !genie_ctx_current())
		return CUBLAS_STATUS_EXECUTION_FAILED;
	stream = genie_stream_get(handle);
	if (!stream)
		return CUBLAS_STATUS_EXECUTION_FAILED;
	args.stream = genie_stream_wire(stream);
	return genie_native_submit(stream, GENIE_OP_genieNativeDense, &args) == CUDA_SUCCESS
		       ? CUBLAS_STATUS_SUCCESS
		       : CUBLAS_STATUS_EXECUTION_FAILED;
}

/* The argument rules of the cuBLAS documentation. */
static bool
dense_valid(const struct genie_dense *d, const void *alpha, const void *beta)
{
	bool triangle = d->kind == GENIE_DENSE_TRMM || d->kind == GENIE_DENSE_TRSM;
	int64_t rows_a = d->side ? d->n : d->m, rows_c = d->m, rows_b = d->m;

	if (d->m < 0 || d->n < 0 || d->k < 0 || d->side > 1 || d->fill > 1 || d->op > 2 ||
	    d->unit > 1 || !alpha || (!beta && !triangle))
		return false;
	if (d->kind == GENIE_DENSE_GEMV)
		return d->lda >= genie_cublas_at_least_one(d->m) && d->ldb && d->ldc;
	if (d->kind >= GENIE_DENSE_SYRK && d->kind <= GENIE_DENSE_HERKX) {
		rows_a = rows_b = d->op ? d->k : d->n;
		rows_c = d->n;
	}
	return d->lda >= genie_cublas_at_least_one(rows_a) &&
	       (!d->b || d->ldb >= genie_cublas_at_least_one(rows_b)) &&
	       d->ldc >= genie_cublas_at_least_one(rows_c);
}

static bool
has_real_alpha(unsigned int kind)
{
	return kind == GENIE_DENSE_HERK;
}

static bool
has_real_beta(unsigned int kind)
{
	return kind == GENIE_DENSE_HERK || kind == GENIE_DENSE_HER2K || kind == GENIE_DENSE_HERKX;
}

cublasStatus_t
genie_cublas_dense(CUstream stream, bool on_device, const struct genie_dense *given,
		   const void *alpha, const void *beta)
{
	struct genie_dense dense = *given;
	size_t size = genie_gemm_type_size(dense.type);

	if (!dense_valid(&dense, alpha, beta))
		return CUBLAS_STATUS_INVALID_VALUE;
	/* the worker's BLAS counts in int */
	if (dense.m > INT_MAX || dense.n > INT_MAX || dense.k > INT_MAX || dense.lda > INT_MAX ||
	    dense.ldb > INT_MAX || dense.ldc > INT_MAX)
		return CUBLAS_STATUS_NOT_SUPPORTED;
	if (on_device) {
		dense.scale_on_device = 1;
		memcpy(dense.alpha, &alpha, sizeof(alpha));
		memcpy(dense.beta, &beta, sizeof(beta));
	} else {
		memcpy(dense.alpha, alpha, has_real_alpha(dense.kind) ? size / 2 : size);
		if (beta)
			memcpy(dense.beta, beta, has_real_beta(dense.kind) ? size / 2 : size);
	}
	return dense_send(&dense, stream);
}

static cublasStatus_t
dense_submit(cublasHandle_t handle, const struct genie_dense *dense, const void *alpha,
	     const void *beta)
{
	cudaStream_t stream;
	bool on_device;
	cublasStatus_t status = genie_cublas_read(handle, &stream, &on_device);

	if (status != CUBLAS_STATUS_SUCCESS)
		return status;
	return genie_cublas_dense((CUstream)stream, on_device, dense, alpha, beta);
}

/* ---- products with vectors ---- */

#define VECTORS(...)                                                                               \
	dense_submit(handle,                                                                       \
		     &(struct genie_dense){.kind = GENIE_DENSE_GEMV,                               \
					   .op = (uint8_t)op,                                      \
					   .m = m,                                                 \
					   .n = n,                                                 \
					   .a = (uintptr_t)a,                                      \
					   .lda = lda,                                             \
					   .b = (uintptr_t)x,                                      \
					   .ldb = incx,                                            \
					   .c = (uintptr_t)y,                                      \
					   .ldc = incy,                                            \
					   __VA_ARGS__},                                           \
		     alpha, beta)
#define BATCH_OK (batch >= 0 && batch <= INT_MAX)
#define STRIDES  .stride_a = stride_a, .stride_b = stride_x, .stride_c = stride_y

#define GEMV(name, INT, T, TYPE)                                                                   \
	CUBLAS_HOOK(name,                                                                          \
		    (cublasHandle_t handle, cublasOperation_t op, INT m, INT n, const T *alpha,    \
		     const T *a, INT lda, const T *x, INT incx, const T *beta, T *y, INT incy),    \
		    (handle, op, m, n, alpha, a, lda, x, incx, beta, y, incy),                     \
		    VECTORS(.type = TYPE, .batch = 1))

#define GEMV_BATCHED(name, INT, T, TYPE)                                                           \
	CUBLAS_HOOK(name,                                                                          \
		    (cublasHandle_t handle, cublasOperation_t op, INT m, INT n, const T *alpha,    \
		     const T *const a[], INT lda, const T *const x[], INT incx, const T *beta,     \
		     T *const y[], INT incy, INT batch),                                           \
		    (handle, op, m, n, alpha, a, lda, x, incx, beta, y, incy, batch),              \
		    BATCH_OK ? VECTORS(.type = TYPE, .pointer_array = 1, .batch = (uint32_t)batch) \
			     : CUBLAS_STATUS_INVALID_VALUE)

#define GEMV_STRIDED(name, INT, T, TYPE)                                                           \
	CUBLAS_HOOK(name,                                                                          \
		    (cublasHandle_t handle, cublasOperation_t op, INT m, INT n, const T *alpha,    \
		     const T *a, INT lda, long long int stride_a, const T *x, INT incx,            \
		     long long int stride_x, const T *beta, T *y, INT incy,                        \
		     long long int stride_y, INT batch),                                           \
		    (handle, op, m, n, alpha, a, lda, stride_a, x, incx, stride_x, beta, y, incy,  \
		     stride_y, batch),                                                             \
		    BATCH_OK ? VECTORS(.type = TYPE, STRIDES, .batch = (uint32_t)batch)            \
			     : CUBLAS_STATUS_INVALID_VALUE)

#define GEMV_ALL(letter, T, TYPE)                                                                  \
	GEMV(cublas##letter##gemv_v2, int, T, TYPE)                                                \
	GEMV(cublas##letter##gemv_v2_64, int64_t, T, TYPE)                                         \
	GEMV_BATCHED(cublas##letter##gemvBatched, int, T, TYPE)                                    \
	GEMV_BATCHED(cublas##letter##gemvBatched_64, int64_t, T, TYPE)                             \
	GEMV_STRIDED(cublas##letter##gemvStridedBatched, int, T, TYPE)                             \
	GEMV_STRIDED(cublas##letter##gemvStridedBatched_64, int64_t, T, TYPE)

GEMV_ALL(S, float, GENIE_F32)
GEMV_ALL(D, double, GENIE_F64)
GEMV_ALL(C, cuComplex, GENIE_C32)
GEMV_ALL(Z, cuDoubleComplex, GENIE_C64)

/* Narrow elements, float factors: a product whose second matrix and result have one column. */
static cublasStatus_t
mixed_submit(cublasHandle_t handle, int type_in, int type_out, cublasOperation_t op, int64_t batch,
	     const float *alpha, const float *beta, const struct genie_gemm *given)
{
	struct genie_gemm gemm = *given;
	cudaStream_t stream;
	bool on_device;
	cublasStatus_t status = genie_cublas_read(handle, &stream, &on_device);
	int64_t rows = gemm.m, columns = gemm.n;

	if (status != CUBLAS_STATUS_SUCCESS)
		return status;
	if (rows < 0 || columns < 0 || batch < 0 || batch > INT_MAX || op > CUBLAS_OP_C || !alpha ||
	    !beta || gemm.lda < genie_cublas_at_least_one(rows) || !gemm.ldb || !gemm.ldc)
		return CUBLAS_STATUS_INVALID_VALUE;
	if (gemm.ldb < 0 || gemm.ldc < 0)
		return CUBLAS_STATUS_NOT_SUPPORTED;
	gemm.op_a = (uint8_t)op;
	gemm.op_b = 1; /* x lies as a row, its elements ldb apart */
	gemm.m = op == CUBLAS_OP_N ? rows : columns;
	gemm.n = 1;
	gemm.k = op == CUBLAS_OP_N ? columns : rows;
	gemm.d = gemm.c;
	gemm.ldd = gemm.ldc;
	gemm.stride_d = gemm.stride_c;
	gemm.order = 12; /* and so does y */
	gemm.batch = (uint32_t)batch;
	gemm.type_a = gemm.type_b = (uint16_t)type_in;
	gemm.type_c = gemm.type_d = gemm.bias_type = (uint16_t)type_out;
	gemm.compute_type = gemm.scale_type = GENIE_F32;
	if (!gemm.m || !batch)
		return CUBLAS_STATUS_SUCCESS;
	genie_gemm_scale(&gemm, alpha, beta, on_device);
	return genie_gemm_submit(&gemm, (CUstream)stream) == CUDA_SUCCESS
		       ? CUBLAS_STATUS_SUCCESS
		       : CUBLAS_STATUS_EXECUTION_FAILED;
}

#define MIXED(TYPE_IN, TYPE_OUT, ...)                                                              \
	mixed_submit(handle, TYPE_IN, TYPE_OUT, op, batch, alpha, beta,                            \
		     &(struct genie_gemm){.m = m,                                                  \
					  .n = n,                                                  \
					  .a = (uintptr_t)a,                                       \
					  .lda = lda,                                              \
					  .b = (uintptr_t)x,                                       \
					  .ldb = incx,                                             \
					  .c = (uintptr_t)y,                                       \
					  .ldc = incy,                                             \
					  __VA_ARGS__})

#define MIXED_BATCHED(name, INT, IN, TYPE_IN, OUT, TYPE_OUT)                                       \
	CUBLAS_HOOK(name,                                                                          \
		    (cublasHandle_t handle, cublasOperation_t op, INT m, INT n,                    \
		     const float *alpha, const IN *const a[], INT lda, const IN *const x[],        \
		     INT incx, const float *beta, OUT *const y[], INT incy, INT batch),            \
		    (handle, op, m, n, alpha, a, lda, x, incx, beta, y, incy, batch),              \
		    MIXED(TYPE_IN, TYPE_OUT, .pointer_array = 1))

#define MIXED_STRIDED(name, INT, IN, TYPE_IN, OUT, TYPE_OUT)                                       \
	CUBLAS_HOOK(name,                                                                          \
		    (cublasHandle_t handle, cublasOperation_t op, INT m, INT n,                    \
		     const float *alpha, const IN *a, INT lda, long long int stride_a,             \
		     const IN *x, INT incx, long long int stride_x, const float *beta, OUT *y,     \
		     INT incy, long long int stride_y, INT batch),                                 \
		    (handle, op, m, n, alpha, a, lda, stride_a, x, incx, stride_x, beta, y, incy,  \
		     stride_y, batch),                                                             \
		    MIXED(TYPE_IN, TYPE_OUT, STRIDES))

#define MIXED_ALL(letters, IN, TYPE_IN, OUT, TYPE_OUT)                                             \
	MIXED_BATCHED(cublas##letters##gemvBatched, int, IN, TYPE_IN, OUT, TYPE_OUT)               \
	MIXED_BATCHED(cublas##letters##gemvBatched_64, int64_t, IN, TYPE_IN, OUT, TYPE_OUT)        \
	MIXED_STRIDED(cublas##letters##gemvStridedBatched, int, IN, TYPE_IN, OUT, TYPE_OUT)        \
	MIXED_STRIDED(cublas##letters##gemvStridedBatched_64, int64_t, IN, TYPE_IN, OUT, TYPE_OUT)

MIXED_ALL(HSH, genie_half_t, GENIE_F16, genie_half_t, GENIE_F16)
MIXED_ALL(HSS, genie_half_t, GENIE_F16, float, GENIE_F32)
MIXED_ALL(TST, genie_half_t, GENIE_BF16, genie_half_t, GENIE_BF16)
MIXED_ALL(TSS, genie_half_t, GENIE_BF16, float, GENIE_F32)

/* ---- level 3 ---- */

#define DENSE(factor, ...)                                                                         \
	dense_submit(handle,                                                                       \
		     &(struct genie_dense){.a = (uintptr_t)a,                                      \
					   .lda = lda,                                             \
					   .fill = (uint8_t)fill,                                  \
					   .n = n,                                                 \
					   .batch = 1,                                             \
					   __VA_ARGS__},                                           \
		     alpha, factor)
#define MATRIX_B .b = (uintptr_t)b, .ldb = ldb
#define MATRIX_C .c = (uintptr_t)c, .ldc = ldc
#define TRIANGLE .op = (uint8_t)op, .side = (uint8_t)side, .unit = (uint8_t)diag, .m = m

#define SYMM(name, INT, T, TYPE, KIND)                                                             \
	CUBLAS_HOOK(name,                                                                          \
		    (cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t fill, INT m,   \
		     INT n, const T *alpha, const T *a, INT lda, const T *b, INT ldb,              \
		     const T *beta, T *c, INT ldc),                                                \
		    (handle, side, fill, m, n, alpha, a, lda, b, ldb, beta, c, ldc),               \
		    DENSE(beta, .kind = KIND, .type = TYPE, .side = (uint8_t)side, .m = m,         \
			  MATRIX_B, MATRIX_C))

#define RANK(name, INT, T, FACTOR, TYPE, KIND)                                                     \
	CUBLAS_HOOK(name,                                                                          \
		    (cublasHandle_t handle, cublasFillMode_t fill, cublasOperation_t op, INT n,    \
		     INT k, const FACTOR *alpha, const T *a, INT lda, const FACTOR *beta, T *c,    \
		     INT ldc),                                                                     \
		    (handle, fill, op, n, k, alpha, a, lda, beta, c, ldc),                         \
		    DENSE(beta, .kind = KIND, .type = TYPE, .op = (uint8_t)op, .k = k, MATRIX_C))

#define RANK2(name, INT, T, FACTOR, TYPE, KIND)                                                    \
	CUBLAS_HOOK(name,                                                                          \
		    (cublasHandle_t handle, cublasFillMode_t fill, cublasOperation_t op, INT n,    \
		     INT k, const T *alpha, const T *a, INT lda, const T *b, INT ldb,              \
		     const FACTOR *beta, T *c, INT ldc),                                           \
		    (handle, fill, op, n, k, alpha, a, lda, b, ldb, beta, c, ldc),                 \
		    DENSE(beta, .kind = KIND, .type = TYPE, .op = (uint8_t)op, .k = k, MATRIX_B,   \
			  MATRIX_C))

#define TRMM(name, INT, T, TYPE)                                                                   \
	CUBLAS_HOOK(                                                                               \
		name,                                                                              \
		(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t fill,              \
		 cublasOperation_t op, cublasDiagType_t diag, INT m, INT n, const T *alpha,        \
		 const T *a, INT lda, const T *b, INT ldb, T *c, INT ldc),                         \
		(handle, side, fill, op, diag, m, n, alpha, a, lda, b, ldb, c, ldc),               \
		DENSE(NULL, .kind = GENIE_DENSE_TRMM, .type = TYPE, TRIANGLE, MATRIX_B, MATRIX_C))

/* solves in place: the result is in b */
#define TRSM(name, INT, T, TYPE)                                                                   \
	CUBLAS_HOOK(name,                                                                          \
		    (cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t fill,          \
		     cublasOperation_t op, cublasDiagType_t diag, INT m, INT n, const T *alpha,    \
		     const T *a, INT lda, T *b, INT ldb),                                          \
		    (handle, side, fill, op, diag, m, n, alpha, a, lda, b, ldb),                   \
		    DENSE(NULL, .kind = GENIE_DENSE_TRSM, .type = TYPE, TRIANGLE,                  \
			  .c = (uintptr_t)b, .ldc = ldb))

#define LEVEL3_SIZED(letter, suffix, suffix_x, INT, T, TYPE)                                       \
	SYMM(cublas##letter##symm##suffix, INT, T, TYPE, GENIE_DENSE_SYMM)                         \
	RANK(cublas##letter##syrk##suffix, INT, T, T, TYPE, GENIE_DENSE_SYRK)                      \
	RANK2(cublas##letter##syr2k##suffix, INT, T, T, TYPE, GENIE_DENSE_SYR2K)                   \
	RANK2(cublas##letter##syrkx##suffix_x, INT, T, T, TYPE, GENIE_DENSE_SYRKX)                 \
	TRMM(cublas##letter##trmm##suffix, INT, T, TYPE)                                           \
	TRSM(cublas##letter##trsm##suffix, INT, T, TYPE)

#define HERMITIAN_SIZED(letter, suffix, suffix_x, INT, T, R, TYPE)                                 \
	SYMM(cublas##letter##hemm##suffix, INT, T, TYPE, GENIE_DENSE_HEMM)                         \
	RANK(cublas##letter##herk##suffix, INT, T, R, TYPE, GENIE_DENSE_HERK)                      \
	RANK2(cublas##letter##her2k##suffix, INT, T, R, TYPE, GENIE_DENSE_HER2K)                   \
	RANK2(cublas##letter##herkx##suffix_x, INT, T, R, TYPE, GENIE_DENSE_HERKX)

#define LEVEL3(letter, T, TYPE)                                                                    \
	LEVEL3_SIZED(letter, _v2, , int, T, TYPE)                                                  \
	LEVEL3_SIZED(letter, _v2_64, _64, int64_t, T, TYPE)
#define HERMITIAN(letter, T, R, TYPE)                                                              \
	HERMITIAN_SIZED(letter, _v2, , int, T, R, TYPE)                                            \
	HERMITIAN_SIZED(letter, _v2_64, _64, int64_t, T, R, TYPE)

LEVEL3(S, float, GENIE_F32)
LEVEL3(D, double, GENIE_F64)
LEVEL3(C, cuComplex, GENIE_C32)
LEVEL3(Z, cuDoubleComplex, GENIE_C64)
HERMITIAN(C, cuComplex, float, GENIE_C32)
HERMITIAN(Z, cuDoubleComplex, double, GENIE_C64)
