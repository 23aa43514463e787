/*
 * Matrix products of the machine's BLAS, or plain ones where there is none. Column-major, as
 * cblas_?gemm: C = alpha * op(A) * op(B) + beta * C.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_BLAS_H
#define GENIE_REMOTE_DEVICE_CPU_BLAS_H

#include <complex.h>
#include <stdbool.h>

/* Values of CBLAS. */
enum genie_blas_op {
	GENIE_BLAS_NONE = 111,
	GENIE_BLAS_TRANSPOSE = 112,
	GENIE_BLAS_ADJOINT = 113,
	GENIE_BLAS_CONJUGATE = 114, /* not transposed */
};

/* One product. Which type the pointers have is said by the function. */
struct genie_blas_gemm {
	enum genie_blas_op op_a, op_b;
	int m, n, k, lda, ldb, ldc;
	const void *a, *b;
	void *c;
};

void genie_blas_sgemm(const struct genie_blas_gemm *gemm, float alpha, float beta);
void genie_blas_dgemm(const struct genie_blas_gemm *gemm, double alpha, double beta);
void genie_blas_cgemm(const struct genie_blas_gemm *gemm, float _Complex alpha,
		      float _Complex beta);
void genie_blas_zgemm(const struct genie_blas_gemm *gemm, double _Complex alpha,
		      double _Complex beta);

/* Is there a real BLAS? Loads it at the first call; GENIE_PERF=no_blas says no. */
bool genie_blas_found(void);

#endif
