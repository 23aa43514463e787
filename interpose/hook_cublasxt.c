/*
 * cuBLASXt: level 3 on matrices wherever they lie, cut into tiles by the library, whose kernels are
 * machine code. On the CPU device a call is done at once and whole: what lies in the host's memory
 * is copied to the device, the operation is one command (hook_cublas.c, hook_cublas_dense.c), and
 * the result is copied back. Calls wait for it, as the library's do.
 */
#include <cublasXt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "interpose/hook_cublas.h"
#include "interpose/hook_gemm.h"

/* A matrix as the program gave it, and where it lies on the device. */
struct matrix {
	void *given;
	size_t rows, columns, ld;
	CUdeviceptr device;
	size_t size; /* bytes; 0: nothing was copied */
};

struct operation {
	struct matrix a, b, c; /* the result is in c */
	size_t element;
	bool product;           /* gemm, else dense */
	bool packed;            /* a is the triangle alone, column after column */
	cublasOperation_t op_b; /* of a product */
	struct genie_dense dense;
	const void *alpha, *beta;
};

static bool
lies_on_device(const void *p)
{
	unsigned int type = 0;

	return cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, (uintptr_t)p) ==
		       CUDA_SUCCESS &&
	       type == CU_MEMORYTYPE_DEVICE;
}

static bool
matrix_valid(const struct matrix *m)
{
	return !m->columns || (m->rows <= INT_MAX && m->columns <= INT_MAX && m->ld <= INT_MAX &&
			       m->ld >= (m->rows ? m->rows : 1) && (m->given || !m->rows));
}

static CUresult
matrix_begin(struct matrix *m, size_t element)
{
	size_t count;
	CUresult status;

	if (!m->rows || !m->columns)
		return CUDA_SUCCESS;
	if (lies_on_device(m->given)) {
		m->device = (uintptr_t)m->given;
		return CUDA_SUCCESS;
	}
	/* the numbers are below 2^31 each */
	count = (m->columns - 1) * m->ld + m->rows;
	if (__builtin_mul_overflow(count, element, &count))
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = cuMemAlloc_v2(&m->device, count);
	if (status != CUDA_SUCCESS)
		return status;
	m->size = count;
	return cuMemcpyHtoD_v2(m->device, m->given, count);
}

static void
matrix_end(struct matrix *m)
{
	if (m->size)
		cuMemFree_v2(m->device);
	m->size = 0;
}

/* The whole square of a packed triangle, in @ret_full, which is the caller's. */
static CUresult
unpack(const struct operation *x, char **ret_full)
{
	size_t n = x->a.rows, element = x->element, count = n * (n + 1) / 2;
	char *packed = malloc(count * element), *full = calloc(n * n, element), *from = packed;
	CUresult status = CUDA_ERROR_OUT_OF_MEMORY;

	if (packed && full)
		status = lies_on_device(x->a.given)
				 ? cuMemcpyDtoH_v2(packed, (uintptr_t)x->a.given, count * element)
				 : (CUresult)(memcpy(packed, x->a.given, count * element), 0);
	if (status == CUDA_SUCCESS) {
		for (size_t column = 0; column < n; column++) {
			size_t first = x->dense.fill ? 0 : column;
			size_t rows = x->dense.fill ? column + 1 : n - column;

			memcpy(full + (column * n + first) * element, from, rows * element);
			from += rows * element;
		}
		*ret_full = full;
		full = NULL;
	}
	free(packed);
	free(full);
	return status;
}

static cublasStatus_t
product_run(const struct operation *x)
{
	struct genie_gemm gemm = {
		.a = x->a.device,
		.b = x->b.device,
		.c = x->c.device,
		.d = x->c.device,
		.m = (int64_t)x->c.rows,
		.n = (int64_t)x->c.columns,
		.k = x->dense.k,
		.lda = (int64_t)x->a.ld,
		.ldb = (int64_t)x->b.ld,
		.ldc = (int64_t)x->c.ld,
		.ldd = (int64_t)x->c.ld,
		.batch = 1,
		.op_a = x->dense.op,
		.op_b = (uint8_t)x->op_b,
		.type_a = x->dense.type,
		.type_b = x->dense.type,
		.type_c = x->dense.type,
		.type_d = x->dense.type,
		.bias_type = x->dense.type,
	};
	bool wide = x->dense.type == GENIE_F64 || x->dense.type == GENIE_C64;

	if (!genie_gemm_compute(&gemm, wide ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
				x->dense.type))
		return CUBLAS_STATUS_NOT_SUPPORTED;
	genie_gemm_scale(&gemm, x->alpha, x->beta, false);
	return genie_gemm_submit(&gemm, NULL) == CUDA_SUCCESS ? CUBLAS_STATUS_SUCCESS
							      : CUBLAS_STATUS_EXECUTION_FAILED;
}

static cublasStatus_t
dense_run(const struct operation *x)
{
	struct genie_dense dense = x->dense;

	dense.batch = 1;
	dense.a = x->a.device;
	dense.lda = (int64_t)x->a.ld;
	dense.b = x->b.device;
	dense.ldb = (int64_t)x->b.ld;
	dense.c = x->c.device;
	dense.ldc = (int64_t)x->c.ld;
	return genie_cublas_dense(NULL, false, &dense, x->alpha, x->beta);
}

static cublasStatus_t
staged_run(struct operation *x)
{
	CUresult failed = matrix_begin(&x->a, x->element);
	cublasStatus_t status = CUBLAS_STATUS_ALLOC_FAILED;

	if (failed == CUDA_SUCCESS)
		failed = matrix_begin(&x->b, x->element);
	if (failed == CUDA_SUCCESS)
		failed = matrix_begin(&x->c, x->element);
	if (failed == CUDA_SUCCESS) {
		status = x->product ? product_run(x) : dense_run(x);
		if (status == CUBLAS_STATUS_SUCCESS && x->c.size)
			failed = cuMemcpyDtoH_v2(x->c.given, x->c.device, x->c.size);
		else if (status == CUBLAS_STATUS_SUCCESS)
			failed = cuStreamSynchronize(NULL);
		if (failed != CUDA_SUCCESS)
			status = CUBLAS_STATUS_EXECUTION_FAILED;
	} else if (failed != CUDA_ERROR_OUT_OF_MEMORY) {
		status = CUBLAS_STATUS_EXECUTION_FAILED;
	}
	matrix_end(&x->c);
	matrix_end(&x->b);
	matrix_end(&x->a);
	return status;
}

/* In the current context, or the first device's, which is the library's default. */
static cublasStatus_t
run(cublasXtHandle_t handle, struct operation *x)
{
	bool triangle = x->dense.kind == GENIE_DENSE_TRMM || x->dense.kind == GENIE_DENSE_TRSM;
	cublasStatus_t status;
	CUcontext ctx = NULL;
	char *full = NULL;
	bool own;

	if (!handle)
		return CUBLAS_STATUS_NOT_INITIALIZED;
	if (!x->alpha || (!x->beta && (x->product || !triangle)) || x->dense.k > INT_MAX ||
	    x->dense.k < 0 || x->dense.op > CUBLAS_OP_C || x->op_b > CUBLAS_OP_C ||
	    x->dense.side > 1 || x->dense.fill > 1 || x->dense.unit > 1)
		return CUBLAS_STATUS_INVALID_VALUE;
	if (!matrix_valid(&x->a) || !matrix_valid(&x->b) || !matrix_valid(&x->c))
		return CUBLAS_STATUS_INVALID_VALUE;
	if (!x->c.rows || !x->c.columns)
		return CUBLAS_STATUS_SUCCESS;
	x->element = genie_gemm_type_size(x->dense.type);
	own = cuCtxGetCurrent(&ctx) != CUDA_SUCCESS || !ctx;
	if (own) {
		if (cuInit(0) != CUDA_SUCCESS || cuDevicePrimaryCtxRetain(&ctx, 0) != CUDA_SUCCESS)
			return CUBLAS_STATUS_NOT_INITIALIZED;
		cuCtxPushCurrent_v2(ctx);
	}
	if (x->packed && unpack(x, &full) != CUDA_SUCCESS) {
		status = CUBLAS_STATUS_ALLOC_FAILED;
	} else {
		if (x->packed)
			x->a.given = full;
		status = staged_run(x);
	}
	free(full);
	if (own) {
		cuCtxPopCurrent_v2(&ctx);
		cuDevicePrimaryCtxRelease_v2(0);
	}
	return status;
}

/* ---- the entry points ---- */

#define MATRIX(p, r, col, l)                                                                       \
	(struct matrix)                                                                            \
	{                                                                                          \
		.given = (void *)(uintptr_t)(p), .rows = (r), .columns = (col), .ld = (l)          \
	}
/* @op turns @r x @c around */
#define TURNED(p, op, r, c, l) MATRIX(p, (op) ? (c) : (r), (op) ? (r) : (c), l)
#define RUN(TYPE, KIND, ...)                                                                       \
	run(handle, &(struct operation){                                                           \
			    .dense.kind = KIND, .dense.type = TYPE, .alpha = alpha, __VA_ARGS__})
#define SIZE(field, value) .dense.field = (value) > INT_MAX ? -1 : (int64_t)(value)
#define FLAG(field, value) .dense.field = (uint8_t)(value)

#define GEMM(letter, T, TYPE)                                                                      \
	CUBLAS_HOOK(cublasXt##letter##gemm,                                                        \
		    (cublasXtHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,      \
		     size_t m, size_t n, size_t k, const T *alpha, const T *a, size_t lda,         \
		     const T *b, size_t ldb, const T *beta, T *c, size_t ldc),                     \
		    (handle, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc),            \
		    RUN(TYPE, 0, .product = true, .a = TURNED(a, op_a, m, k, lda),                 \
			.b = TURNED(b, op_b, k, n, ldb), .c = MATRIX(c, m, n, ldc), SIZE(k, k),    \
			FLAG(op, op_a), .op_b = op_b, .beta = beta))

#define SIDED(name, T, TYPE, KIND)                                                                 \
	CUBLAS_HOOK(name,                                                                          \
		    (cublasXtHandle_t handle, cublasSideMode_t side, cublasFillMode_t fill,        \
		     size_t m, size_t n, const T *alpha, const T *a, size_t lda, const T *b,       \
		     size_t ldb, const T *beta, T *c, size_t ldc),                                 \
		    (handle, side, fill, m, n, alpha, a, lda, b, ldb, beta, c, ldc),               \
		    RUN(TYPE, KIND, .a = MATRIX(a, side ? n : m, side ? n : m, lda),               \
			.b = MATRIX(b, m, n, ldb), .c = MATRIX(c, m, n, ldc), SIZE(m, m),          \
			SIZE(n, n), FLAG(side, side), FLAG(fill, fill), .beta = beta))

#define PACKED(letter, T, TYPE)                                                                    \
	CUBLAS_HOOK(cublasXt##letter##spmm,                                                        \
		    (cublasXtHandle_t handle, cublasSideMode_t side, cublasFillMode_t fill,        \
		     size_t m, size_t n, const T *alpha, const T *a, const T *b, size_t ldb,       \
		     const T *beta, T *c, size_t ldc),                                             \
		    (handle, side, fill, m, n, alpha, a, b, ldb, beta, c, ldc),                    \
		    RUN(TYPE, GENIE_DENSE_SYMM, .packed = true,                                    \
			.a = MATRIX(a, side ? n : m, side ? n : m, side ? n : m),                  \
			.b = MATRIX(b, m, n, ldb), .c = MATRIX(c, m, n, ldc), SIZE(m, m),          \
			SIZE(n, n), FLAG(side, side), FLAG(fill, fill), .beta = beta))

#define RANK(name, T, FACTOR, TYPE, KIND)                                                          \
	CUBLAS_HOOK(name,                                                                          \
		    (cublasXtHandle_t handle, cublasFillMode_t fill, cublasOperation_t op,         \
		     size_t n, size_t k, const FACTOR *alpha, const T *a, size_t lda,              \
		     const FACTOR *beta, T *c, size_t ldc),                                        \
		    (handle, fill, op, n, k, alpha, a, lda, beta, c, ldc),                         \
		    RUN(TYPE, KIND, .a = TURNED(a, op, n, k, lda), .c = MATRIX(c, n, n, ldc),      \
			SIZE(n, n), SIZE(k, k), FLAG(fill, fill), FLAG(op, op), .beta = beta))

#define RANK2(name, T, FACTOR, TYPE, KIND)                                                         \
	CUBLAS_HOOK(name,                                                                          \
		    (cublasXtHandle_t handle, cublasFillMode_t fill, cublasOperation_t op,         \
		     size_t n, size_t k, const T *alpha, const T *a, size_t lda, const T *b,       \
		     size_t ldb, const FACTOR *beta, T *c, size_t ldc),                            \
		    (handle, fill, op, n, k, alpha, a, lda, b, ldb, beta, c, ldc),                 \
		    RUN(TYPE, KIND, .a = TURNED(a, op, n, k, lda), .b = TURNED(b, op, n, k, ldb),  \
			.c = MATRIX(c, n, n, ldc), SIZE(n, n), SIZE(k, k), FLAG(fill, fill),       \
			FLAG(op, op), .beta = beta))

#define TRIANGLE                                                                                   \
	.a = MATRIX(a, side ? n : m, side ? n : m, lda), SIZE(m, m), SIZE(n, n), FLAG(side, side), \
	FLAG(fill, fill), FLAG(op, op), FLAG(unit, diag)

#define TRMM(letter, T, TYPE)                                                                      \
	CUBLAS_HOOK(cublasXt##letter##trmm,                                                        \
		    (cublasXtHandle_t handle, cublasSideMode_t side, cublasFillMode_t fill,        \
		     cublasOperation_t op, cublasDiagType_t diag, size_t m, size_t n,              \
		     const T *alpha, const T *a, size_t lda, const T *b, size_t ldb, T *c,         \
		     size_t ldc),                                                                  \
		    (handle, side, fill, op, diag, m, n, alpha, a, lda, b, ldb, c, ldc),           \
		    RUN(TYPE, GENIE_DENSE_TRMM, TRIANGLE, .b = MATRIX(b, m, n, ldb),               \
			.c = MATRIX(c, m, n, ldc)))

/* solves in place */
#define TRSM(letter, T, TYPE)                                                                      \
	CUBLAS_HOOK(cublasXt##letter##trsm,                                                        \
		    (cublasXtHandle_t handle, cublasSideMode_t side, cublasFillMode_t fill,        \
		     cublasOperation_t op, cublasDiagType_t diag, size_t m, size_t n,              \
		     const T *alpha, const T *a, size_t lda, T *b, size_t ldb),                    \
		    (handle, side, fill, op, diag, m, n, alpha, a, lda, b, ldb),                   \
		    RUN(TYPE, GENIE_DENSE_TRSM, TRIANGLE, .c = MATRIX(b, m, n, ldb)))

#define LEVEL3(letter, T, TYPE)                                                                    \
	GEMM(letter, T, TYPE)                                                                      \
	SIDED(cublasXt##letter##symm, T, TYPE, GENIE_DENSE_SYMM)                                   \
	PACKED(letter, T, TYPE)                                                                    \
	RANK(cublasXt##letter##syrk, T, T, TYPE, GENIE_DENSE_SYRK)                                 \
	RANK2(cublasXt##letter##syr2k, T, T, TYPE, GENIE_DENSE_SYR2K)                              \
	RANK2(cublasXt##letter##syrkx, T, T, TYPE, GENIE_DENSE_SYRKX)                              \
	TRMM(letter, T, TYPE)                                                                      \
	TRSM(letter, T, TYPE)
#define HERMITIAN(letter, T, R, TYPE)                                                              \
	SIDED(cublasXt##letter##hemm, T, TYPE, GENIE_DENSE_HEMM)                                   \
	RANK(cublasXt##letter##herk, T, R, TYPE, GENIE_DENSE_HERK)                                 \
	RANK2(cublasXt##letter##her2k, T, R, TYPE, GENIE_DENSE_HER2K)                              \
	RANK2(cublasXt##letter##herkx, T, R, TYPE, GENIE_DENSE_HERKX)

LEVEL3(S, float, GENIE_F32)
LEVEL3(D, double, GENIE_F64)
LEVEL3(C, cuComplex, GENIE_C32)
LEVEL3(Z, cuDoubleComplex, GENIE_C64)
HERMITIAN(C, cuComplex, float, GENIE_C32)
HERMITIAN(Z, cuDoubleComplex, double, GENIE_C64)
