/*
 * What follows a matrix product: scaling, adding C, bias, activation and its gradient.
 *
 * RELU's aux is a mask of bits, one for each element, columns ld_aux bits apart; GELU's are the
 * values before the activation, in D's type. With DRELU or DGELU the flag BIAS asks for the
 * gradient of the bias: the sum of each row of D. BGRADA and BGRADB: sums of the rows of op(A), of
 * the columns of op(B). All as cublasLt documents its epilogues.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/gemm.h"
#include "remote/device_cpu/number.h"

#define DERIVATIVES (GENIE_EPILOGUE_DRELU | GENIE_EPILOGUE_DGELU)
#define GRADIENTS   (GENIE_EPILOGUE_BGRADA | GENIE_EPILOGUE_BGRADB)

static bool
has_mask(unsigned int epilogue)
{
	return epilogue & GENIE_EPILOGUE_DRELU ||
	       (epilogue & GENIE_EPILOGUE_AUX && epilogue & GENIE_EPILOGUE_RELU);
}

CUresult
genie_gemm_resolve_epilogue(const struct genie_gemm *gemm, uint32_t batch,
			    struct genie_gemm_job *job)
{
	bool writes_bias = gemm->epilogue & (GRADIENTS | DERIVATIVES);
	size_t bias_count = (size_t)(gemm->epilogue & GENIE_EPILOGUE_BGRADB ? gemm->n : gemm->m);
	size_t bias_size = genie_number_size(gemm->bias_type), aux_size, columns = (size_t)gemm->n;
	int64_t stride;

	job->bias = NULL;
	job->aux = NULL;
	if (gemm->epilogue & (GENIE_EPILOGUE_BIAS | GRADIENTS)) {
		if (!bias_size ||
		    __builtin_mul_overflow(gemm->stride_bias, (int64_t)batch * (int64_t)bias_size,
					   &stride))
			return CUDA_ERROR_INVALID_VALUE;
		job->bias = (uint8_t *)(gemm->bias + (uint64_t)stride);
		job->bias_type = gemm->bias_type;
		if ((uint64_t)job->bias % bias_size ||
		    !genie_cpu_accessible((uint64_t)job->bias, bias_count * bias_size, writes_bias))
			return CUDA_ERROR_INVALID_VALUE;
	}
	if (!(gemm->epilogue & (GENIE_EPILOGUE_AUX | DERIVATIVES)))
		return CUDA_SUCCESS;
	if (gemm->ld_aux < gemm->m)
		return CUDA_ERROR_INVALID_VALUE;
	job->ld_aux = (size_t)gemm->ld_aux;
	if (__builtin_mul_overflow(job->ld_aux, columns, &aux_size))
		return CUDA_ERROR_INVALID_VALUE;
	if (has_mask(gemm->epilogue)) {
		if (job->ld_aux % 8)
			return CUDA_ERROR_INVALID_VALUE;
		aux_size /= 8;
	} else if (__builtin_mul_overflow(aux_size, job->d.size, &aux_size)) {
		return CUDA_ERROR_INVALID_VALUE;
	}
	/* matrices of a batch follow each other */
	job->aux = (uint8_t *)(gemm->aux + aux_size * batch);
	if (!genie_cpu_accessible((uint64_t)job->aux, aux_size, !(gemm->epilogue & DERIVATIVES)))
		return CUDA_ERROR_INVALID_VALUE;
	return CUDA_SUCCESS;
}

int
genie_gemm_finish_init(struct genie_gemm_finish *finish, const struct genie_gemm_job *job,
		       size_t block_rows)
{
	size_t rows = job->swapped ? job->n : job->m;

	*finish = (struct genie_gemm_finish){.job = job};
	finish->values = calloc(block_rows, sizeof(double));
	finish->addends = calloc(block_rows, sizeof(double));
	finish->sums = calloc(rows, sizeof(double));
	finish->scratch = calloc(2 * block_rows, sizeof(double _Complex));
	if (!finish->values || !finish->addends || !finish->sums || !finish->scratch)
		return -ENOMEM;
	return 0;
}

void
genie_gemm_finish_fini(struct genie_gemm_finish *finish)
{
	free(finish->values);
	free(finish->addends);
	free(finish->sums);
	free(finish->scratch);
	*finish = (struct genie_gemm_finish){0};
}

/* The tanh form: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))). */
#define GELU_SCALE 0.7978845608028654
#define GELU_CUBE  0.044715

static double
gelu(double x)
{
	return 0.5 * x * (1 + tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x)));
}

static double
gelu_slope(double x)
{
	double t = tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x));

	return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU_SCALE * (1 + 3 * GELU_CUBE * x * x);
}

/* Element (row, column) as the caller counts them. */
static void
callers_place(const struct genie_gemm_job *job, size_t *row, size_t *column)
{
	size_t swap = *row;

	if (!job->swapped)
		return;
	*row = *column;
	*column = swap;
}

static double
read_aux(const struct genie_gemm_job *job, size_t row, size_t column)
{
	size_t at = column * job->ld_aux + row;
	double value;

	if (has_mask(job->epilogue))
		return job->aux[at / 8] >> at % 8 & 1;
	genie_number_load_f64(job->d.type, job->aux + at * job->d.size, 1, 1, &value);
	return value;
}

static void
write_aux(const struct genie_gemm_job *job, size_t row, size_t column, double value)
{
	size_t at = column * job->ld_aux + row;
	uint8_t bit = (uint8_t)(1 << at % 8);

	if (!has_mask(job->epilogue)) {
		genie_number_store_f64(job->d.type, job->aux + at * job->d.size, 1, 1, &value);
		return;
	}
	if (value > 0)
		job->aux[at / 8] |= bit;
	else
		job->aux[at / 8] &= (uint8_t)~bit;
}

static double
read_bias(const struct genie_gemm_job *job, size_t row)
{
	double value;

	genie_number_load_f64(job->bias_type, job->bias + row * genie_number_size(job->bias_type),
			      1, 1, &value);
	return value;
}

/* One element through the epilogue. */
static double
epilogue(struct genie_gemm_finish *finish, size_t row, size_t column, double value)
{
	const struct genie_gemm_job *job = finish->job;
	unsigned int flags = job->epilogue;

	callers_place(job, &row, &column);
	if (flags & DERIVATIVES) {
		double aux = read_aux(job, row, column);

		value *= flags & GENIE_EPILOGUE_DRELU ? aux : gelu_slope(aux);
		finish->sums[row] += value;
		return value;
	}
	if (flags & GENIE_EPILOGUE_BIAS)
		value += read_bias(job, row);
	if (flags & GENIE_EPILOGUE_AUX)
		write_aux(job, row, column, value);
	if (flags & GENIE_EPILOGUE_RELU)
		return value > 0 || value != value ? value : 0;
	if (flags & GENIE_EPILOGUE_GELU)
		return gelu(value);
	return value;
}

static uint8_t *
element(const struct genie_gemm_matrix *matrix, size_t row, size_t column)
{
	return matrix->data +
	       (row * matrix->row_step + column * matrix->column_step) * matrix->size;
}

static void
finish_real_column(struct genie_gemm_finish *finish, size_t row, size_t column, size_t rows,
		   const void *product)
{
	const struct genie_gemm_job *job = finish->job;
	double alpha = creal(job->alpha), beta = creal(job->beta);
	double *values = finish->values;

	genie_number_load_f64(job->block, product, 1, rows, values);
	for (size_t i = 0; i < rows; i++)
		values[i] *= alpha;
	if (beta != 0) {
		genie_number_load_f64(job->c.type, element(&job->c, row, column), job->c.row_step,
				      rows, finish->addends);
		for (size_t i = 0; i < rows; i++)
			values[i] += beta * finish->addends[i];
	}
	if (job->epilogue & ~(unsigned int)GRADIENTS)
		for (size_t i = 0; i < rows; i++)
			values[i] = epilogue(finish, row + i, column, values[i]);
	genie_number_store_f64(job->d.type, element(&job->d, row, column), job->d.row_step, rows,
			       values);
}

static void
finish_complex_column(struct genie_gemm_finish *finish, size_t row, size_t column, size_t rows,
		      const void *product)
{
	const struct genie_gemm_job *job = finish->job;
	double _Complex *values = finish->scratch, *addends = values + rows;

	genie_number_load_c64(job->block, product, 1, rows, values);
	for (size_t i = 0; i < rows; i++)
		values[i] *= job->alpha;
	if (job->beta != 0) {
		genie_number_load_c64(job->c.type, element(&job->c, row, column), job->c.row_step,
				      rows, addends);
		for (size_t i = 0; i < rows; i++)
			values[i] += job->beta * addends[i];
	}
	genie_number_store_c64(job->d.type, element(&job->d, row, column), job->d.row_step, rows,
			       values);
}

void
genie_gemm_finish_block(struct genie_gemm_finish *finish, size_t row, size_t column, size_t rows,
			size_t columns, const void *product)
{
	bool complex_ = genie_number_is_complex(finish->job->block);
	size_t size = genie_number_size(finish->job->block);

	for (size_t j = 0; j < columns; j++) {
		const uint8_t *from = (const uint8_t *)product + j * rows * size;

		if (complex_)
			finish_complex_column(finish, row, column + j, rows, from);
		else
			finish_real_column(finish, row, column + j, rows, from);
	}
}

static void
write_bias(const struct genie_gemm_job *job, size_t row, double value)
{
	genie_number_store_f64(job->bias_type, job->bias + row * genie_number_size(job->bias_type),
			       1, 1, &value);
}

/* Sum over the inner dimension of a row of A, or of a column of B. */
static double
inner_sum(const struct genie_gemm_matrix *matrix, bool of_row, size_t at, size_t k)
{
	double sum = 0, value;

	for (size_t p = 0; p < k; p++) {
		const uint8_t *from = of_row ? element(matrix, at, p) : element(matrix, p, at);

		genie_number_load_f64(matrix->type, from, 1, 1, &value);
		sum += value;
	}
	return sum;
}

void
genie_gemm_finish_gradients(struct genie_gemm_finish *finish)
{
	const struct genie_gemm_job *job = finish->job;
	size_t rows = job->swapped ? job->n : job->m, columns = job->swapped ? job->m : job->n;
	/* the caller's operands: swapped ones are transposed too */
	const struct genie_gemm_matrix *a = job->swapped ? &job->b : &job->a;
	const struct genie_gemm_matrix *b = job->swapped ? &job->a : &job->b;

	if (job->epilogue & DERIVATIVES && job->epilogue & GENIE_EPILOGUE_BIAS)
		for (size_t i = 0; i < rows; i++)
			write_bias(job, i, finish->sums[i]);
	else if (job->epilogue & GENIE_EPILOGUE_BGRADA)
		for (size_t i = 0; i < rows; i++)
			write_bias(job, i, inner_sum(a, !job->swapped, i, job->k));
	else if (job->epilogue & GENIE_EPILOGUE_BGRADB)
		for (size_t j = 0; j < columns; j++)
			write_bias(job, j, inner_sum(b, job->swapped, j, job->k));
}
