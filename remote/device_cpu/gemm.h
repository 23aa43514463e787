/* A matrix product between its preparation (gemm.c) and its end (gemm_finish.c). */
#ifndef GENIE_REMOTE_DEVICE_CPU_GEMM_H
#define GENIE_REMOTE_DEVICE_CPU_GEMM_H

#include <complex.h>

#include "remote/device_cpu/blas.h"
#include "remote/device_cpu/cpu.h"

/* A matrix in memory, row and column counted from 0; one of the steps is 1. */
struct genie_gemm_matrix {
	uint8_t *data;
	unsigned int type; /* enum genie_type */
	size_t size;       /* of an element */
	size_t row_step, column_step;
	bool conjugate;
};

/* D = epilogue(alpha A B + beta C), with column-major D: row-major ones are swapped. */
struct genie_gemm_job {
	unsigned int block; /* type to calculate in */
	unsigned int epilogue;
	size_t m, n, k;
	double _Complex alpha, beta;
	struct genie_gemm_matrix a, b, c, d; /* a and b: after their operations */
	bool swapped; /* rows are the caller's columns, and A is the caller's B */
	uint8_t *bias;
	unsigned int bias_type;
	uint8_t *aux;
	size_t ld_aux; /* elements; of RELU's mask bits */
};

/* State of the part that follows the product: epilogue, conversion, sums. */
struct genie_gemm_finish {
	const struct genie_gemm_job *job;
	double *values, *addends; /* one column of a block */
	double *sums;             /* of the result's rows, for a bias gradient */
	void *scratch;            /* complex: one column */
};

/* Finds bias and aux of matrix number @batch. */
CUresult genie_gemm_resolve_epilogue(const struct genie_gemm *gemm, uint32_t batch,
				     struct genie_gemm_job *job);
/* -ENOMEM: no memory; fini() is allowed then too. */
int genie_gemm_finish_init(struct genie_gemm_finish *finish, const struct genie_gemm_job *job,
			   size_t block_rows);
void genie_gemm_finish_fini(struct genie_gemm_finish *finish);
/* Takes the block of @rows by @columns at (@row, @column) of the product to D. */
void genie_gemm_finish_block(struct genie_gemm_finish *finish, size_t row, size_t column,
			     size_t rows, size_t columns, const void *product);
/* Writes the gradients of the bias that the epilogue asks for. */
void genie_gemm_finish_gradients(struct genie_gemm_finish *finish);

#endif
