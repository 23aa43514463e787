/*
 * genieNativeGemm: matrix products on the machine's BLAS.
 *
 * Row-major matrices are transposed column-major ones, so each operand comes down to an address
 * and an operation. If all elements have a type that the BLAS has, and nothing follows, it is one
 * call. Else blocks of the operands are converted, multiplied into a block of the result, and
 * finished (scaled, C added, epilogue) on their way to D: gemm_finish.c.
 */
#include "remote/device_cpu/gemm.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/number.h"

/* Elements of a block: two operands of at most 16 MiB, a result of at most 8. */
#define BLOCK_ROWS    1024
#define BLOCK_COLUMNS 1024
#define BLOCK_DEPTH   2048

static bool
is_real_type(unsigned int type)
{
	return genie_number_size(type) && !genie_number_is_complex(type);
}

static CUresult
check_types(const struct genie_gemm *gemm)
{
	bool complex_ = genie_number_is_complex(gemm->type_a);
	const uint16_t types[] = {gemm->type_a, gemm->type_b, gemm->type_c, gemm->type_d,
				  gemm->scale_type};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (!genie_number_size(types[i]))
			return CUDA_ERROR_NOT_SUPPORTED;
		/* a real product may not become complex, but complex ones may be scaled by a real
		 */
		if (i < 4 && genie_number_is_complex(types[i]) != complex_)
			return CUDA_ERROR_NOT_SUPPORTED;
	}
	if (!complex_ && genie_number_is_complex(gemm->scale_type))
		return CUDA_ERROR_NOT_SUPPORTED;
	if (complex_ && gemm->epilogue)
		return CUDA_ERROR_NOT_SUPPORTED;
	if (gemm->epilogue & GENIE_EPILOGUE_BIAS && !is_real_type(gemm->bias_type))
		return CUDA_ERROR_NOT_SUPPORTED;
	return CUDA_SUCCESS;
}

static bool
row_major(const struct genie_gemm *gemm, int matrix)
{
	return gemm->order >> matrix & 1;
}

/* Is the leading dimension enough for a matrix of that many rows and columns? */
static bool
ld_fits(const struct genie_gemm *gemm, int matrix, int64_t ld, int64_t rows, int64_t columns)
{
	int64_t need = row_major(gemm, matrix) ? columns : rows;

	return ld >= need && ld >= 1;
}

CUresult
genie_cpu_gemm_check(const struct genie_gemm *gemm)
{
	unsigned int grads = gemm->epilogue & (GENIE_EPILOGUE_BGRADA | GENIE_EPILOGUE_BGRADB);
	unsigned int derivative = gemm->epilogue & (GENIE_EPILOGUE_DRELU | GENIE_EPILOGUE_DGELU);
	bool a_flips = gemm->op_a != 0, b_flips = gemm->op_b != 0;

	if (gemm->m < 0 || gemm->n < 0 || gemm->k < 0 || gemm->op_a > 2 || gemm->op_b > 2 ||
	    gemm->epilogue > 255 || gemm->order > 15)
		return CUDA_ERROR_INVALID_VALUE;
	if (!ld_fits(gemm, 0, gemm->lda, a_flips ? gemm->k : gemm->m,
		     a_flips ? gemm->m : gemm->k) ||
	    !ld_fits(gemm, 1, gemm->ldb, b_flips ? gemm->n : gemm->k,
		     b_flips ? gemm->k : gemm->n) ||
	    !ld_fits(gemm, 2, gemm->ldc, gemm->m, gemm->n) ||
	    !ld_fits(gemm, 3, gemm->ldd, gemm->m, gemm->n))
		return CUDA_ERROR_INVALID_VALUE;
	if ((gemm->epilogue & GENIE_EPILOGUE_BIAS || grads) && !gemm->bias)
		return CUDA_ERROR_INVALID_VALUE;
	if ((gemm->epilogue & GENIE_EPILOGUE_AUX || derivative) && !gemm->aux)
		return CUDA_ERROR_INVALID_VALUE;
	/* one bias buffer has room for one of them */
	if (grads && gemm->epilogue & GENIE_EPILOGUE_BIAS)
		return CUDA_ERROR_NOT_SUPPORTED;
	return check_types(gemm);
}

/*
 * Bytes of a matrix of @rows by @columns from its first element to its last; false: more than an
 * address can say.
 */
static bool
extent(const struct genie_gemm *gemm, int matrix, int64_t rows, int64_t columns, int64_t ld,
       unsigned int type, uint64_t *ret_size)
{
	uint64_t lines = (uint64_t)(row_major(gemm, matrix) ? rows : columns);
	uint64_t along = (uint64_t)(row_major(gemm, matrix) ? columns : rows);
	uint64_t elements;

	if (!lines || !along) {
		*ret_size = 0;
		return true;
	}
	return !__builtin_mul_overflow(lines - 1, (uint64_t)ld, &elements) &&
	       !__builtin_add_overflow(elements, along, &elements) &&
	       !__builtin_mul_overflow(elements, genie_number_size(type), ret_size);
}

/* The address of matrix number @batch; false: not one. */
static bool
batch_address(const struct genie_gemm *gemm, uint64_t base, int64_t stride, unsigned int type,
	      uint32_t batch, uint64_t *ret_addr)
{
	int64_t offset;

	if (gemm->pointer_array) {
		uint64_t slot = base + (uint64_t)batch * 8;

		if (base % 8 || !genie_cpu_accessible(slot, 8, false))
			return false;
		*ret_addr = *(uint64_t *)slot;
		return true;
	}
	if (__builtin_mul_overflow(stride, (int64_t)batch * (int64_t)genie_number_size(type),
				   &offset))
		return false;
	*ret_addr = base + (uint64_t)offset;
	return true;
}

/* One matrix of the batch, checked: all of it is device memory. */
static bool
resolve(const struct genie_gemm *gemm, int matrix, uint64_t base, int64_t stride, unsigned int type,
	int64_t rows, int64_t columns, int64_t ld, uint32_t batch, struct genie_gemm_matrix *ret)
{
	uint64_t addr, size;

	if (!batch_address(gemm, base, stride, type, batch, &addr) ||
	    !extent(gemm, matrix, rows, columns, ld, type, &size) ||
	    addr % (genie_number_size(type) < 8 ? genie_number_size(type) : 4) ||
	    !genie_cpu_accessible(addr, size, matrix == 3))
		return false;
	*ret = (struct genie_gemm_matrix){
		.data = (uint8_t *)addr,
		.type = type,
		.size = genie_number_size(type),
		.row_step = row_major(gemm, matrix) ? (size_t)ld : 1,
		.column_step = row_major(gemm, matrix) ? 1 : (size_t)ld,
	};
	return true;
}

/* op(X) of a resolved matrix: a view in which rows and columns may have changed places. */
static void
apply_op(struct genie_gemm_matrix *matrix, unsigned int op)
{
	size_t step = matrix->row_step;

	if (op == 0)
		return;
	matrix->row_step = matrix->column_step;
	matrix->column_step = step;
	matrix->conjugate = op == 2;
}

static void
transpose(struct genie_gemm_matrix *matrix)
{
	size_t step = matrix->row_step;

	matrix->row_step = matrix->column_step;
	matrix->column_step = step;
}

/* A scale factor: a value in the call, or where the call says. */
static CUresult
read_scale(const struct genie_gemm *gemm, const uint8_t *value, double _Complex *ret)
{
	size_t size = genie_number_size(gemm->scale_type);
	uint64_t addr;
	uint8_t aligned[16] __attribute__((aligned(16)));
	double real;

	if (gemm->scale_on_device) {
		memcpy(&addr, value, sizeof(addr));
		if (!genie_cpu_accessible(addr, size, false))
			return CUDA_ERROR_INVALID_VALUE;
		value = (const uint8_t *)addr;
	}
	memcpy(aligned, value, size);
	if (genie_number_is_complex(gemm->scale_type)) {
		genie_number_load_c64(gemm->scale_type, aligned, 1, 1, ret);
	} else {
		genie_number_load_f64(gemm->scale_type, aligned, 1, 1, &real);
		*ret = real;
	}
	return CUDA_SUCCESS;
}

/* What blocks are calculated in. Integers take double: their products are exact there. */
static unsigned int
block_type(const struct genie_gemm *gemm)
{
	if (genie_number_is_complex(gemm->type_a))
		return gemm->type_a == GENIE_C64 || gemm->compute_type == GENIE_C64 ? GENIE_C64
										    : GENIE_C32;
	if (gemm->type_a == GENIE_F64 || gemm->type_b == GENIE_F64 ||
	    gemm->compute_type == GENIE_F64 || gemm->type_a == GENIE_I8 ||
	    gemm->type_b == GENIE_I8 || gemm->type_a == GENIE_I32 || gemm->type_b == GENIE_I32)
		return GENIE_F64;
	return GENIE_F32;
}

/* The operation under which the BLAS reads memory as this view. */
static enum genie_blas_op
blas_op(const struct genie_gemm_matrix *matrix)
{
	if (matrix->row_step == 1)
		return matrix->conjugate ? GENIE_BLAS_CONJUGATE : GENIE_BLAS_NONE;
	return matrix->conjugate ? GENIE_BLAS_ADJOINT : GENIE_BLAS_TRANSPOSE;
}

/* What is no column-major or row-major matrix of that many rows and columns to a BLAS. */
static bool
blas_can_read(const struct genie_gemm_matrix *matrix, unsigned int block)
{
	size_t ld = matrix->row_step == 1 ? matrix->column_step : matrix->row_step;

	return matrix->type == block && ld <= INT_MAX;
}

/*
 * The leading dimension of a view of that many rows and columns. A BLAS wants it to be as long as a
 * line even where there is one line only and any will do.
 */
static size_t
leading(const struct genie_gemm_matrix *matrix, size_t rows, size_t columns)
{
	size_t along = matrix->row_step == 1 ? rows : columns;
	size_t ld = matrix->row_step == 1 ? matrix->column_step : matrix->row_step;

	return ld < along ? along : ld;
}

static void
multiply(unsigned int block, const struct genie_blas_gemm *call, double _Complex alpha,
	 double _Complex beta)
{
	if (block == GENIE_F32)
		genie_blas_sgemm(call, (float)creal(alpha), (float)creal(beta));
	else if (block == GENIE_F64)
		genie_blas_dgemm(call, creal(alpha), creal(beta));
	else if (block == GENIE_C32)
		genie_blas_cgemm(call, (float _Complex)alpha, (float _Complex)beta);
	else
		genie_blas_zgemm(call, alpha, beta);
}

/* Can one call of the BLAS do all of it? */
static bool
is_direct(const struct genie_gemm_job *job)
{
	return !job->epilogue && job->m <= INT_MAX && job->n <= INT_MAX && job->k <= INT_MAX &&
	       blas_can_read(&job->a, job->block) && blas_can_read(&job->b, job->block) &&
	       blas_can_read(&job->d, job->block) && job->d.row_step == 1 &&
	       (job->beta == 0 ||
		(job->c.type == job->block && job->c.row_step == job->d.row_step));
}

static void
run_direct(const struct genie_gemm_job *job)
{
	struct genie_blas_gemm call = {
		.op_a = blas_op(&job->a),
		.op_b = blas_op(&job->b),
		.m = (int)job->m,
		.n = (int)job->n,
		.k = (int)job->k,
		.lda = (int)leading(&job->a, job->m, job->k),
		.ldb = (int)leading(&job->b, job->k, job->n),
		.ldc = (int)leading(&job->d, job->m, job->n),
		.a = job->a.data,
		.b = job->b.data,
		.c = job->d.data,
	};

	if (job->beta != 0 &&
	    (job->c.data != job->d.data || job->c.column_step != job->d.column_step))
		for (size_t j = 0; j < job->n; j++)
			memmove(job->d.data + j * job->d.column_step * job->d.size,
				job->c.data + j * job->c.column_step * job->c.size,
				job->m * job->d.size);
	multiply(job->block, &call, job->alpha, job->beta);
}

/*
 * A block of an operand as the BLAS can read it: where it is, or converted into @room. Converted
 * along memory, so it keeps its operation.
 */
static const void *
block_of(const struct genie_gemm_matrix *matrix, unsigned int block, size_t row, size_t column,
	 size_t rows, size_t columns, void *room, size_t *ret_ld)
{
	size_t along = matrix->row_step == 1 ? rows : columns;
	size_t lines = matrix->row_step == 1 ? columns : rows;
	size_t ld = leading(matrix, rows, columns), size = genie_number_size(block);
	const uint8_t *from =
		matrix->data +
		(row * matrix->row_step + column * matrix->column_step) * matrix->size;

	if (blas_can_read(matrix, block)) {
		*ret_ld = ld;
		return from;
	}
	for (size_t i = 0; i < lines; i++) {
		void *to = (uint8_t *)room + i * along * size;
		const void *line = from + i * ld * matrix->size;

		if (block == GENIE_F32)
			genie_number_load_f32(matrix->type, line, 1, along, to);
		else if (block == GENIE_F64)
			genie_number_load_f64(matrix->type, line, 1, along, to);
		else if (block == GENIE_C64)
			genie_number_load_c64(matrix->type, line, 1, along, to);
		else
			memcpy(to, line, along * size); /* a leading dimension too large */
	}
	*ret_ld = along;
	return room;
}

static size_t
min_of(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* One block of the result: sums up the products of all blocks that it depends on. */
static void
run_block(const struct genie_gemm_job *job, size_t row, size_t column, size_t rows, size_t columns,
	  uint8_t *room_a, uint8_t *room_b, void *result)
{
	struct genie_blas_gemm call = {
		.op_a = blas_op(&job->a),
		.op_b = blas_op(&job->b),
		.m = (int)rows,
		.n = (int)columns,
		.ldc = (int)rows,
		.c = result,
	};

	if (!job->k)
		memset(result, 0, rows * columns * genie_number_size(job->block));
	for (size_t p = 0; p < job->k; p += BLOCK_DEPTH) {
		size_t depth = min_of(BLOCK_DEPTH, job->k - p), lda, ldb;

		call.k = (int)depth;
		call.a = block_of(&job->a, job->block, row, p, rows, depth, room_a, &lda);
		call.b = block_of(&job->b, job->block, p, column, depth, columns, room_b, &ldb);
		call.lda = (int)lda;
		call.ldb = (int)ldb;
		multiply(job->block, &call, 1, p ? 1 : 0);
	}
}

static CUresult
run_blocks(const struct genie_gemm_job *job)
{
	size_t size = genie_number_size(job->block), depth = min_of(BLOCK_DEPTH, job->k);
	size_t rows = min_of(BLOCK_ROWS, job->m), columns = min_of(BLOCK_COLUMNS, job->n);
	uint8_t *room_a = malloc(rows * depth * size + 1);
	uint8_t *room_b = malloc(depth * columns * size + 1);
	uint8_t *result = malloc(rows * columns * size);
	struct genie_gemm_finish finish = {0};
	CUresult status = CUDA_ERROR_OUT_OF_MEMORY;

	if (!room_a || !room_b || !result || genie_gemm_finish_init(&finish, job, rows) < 0)
		goto out;
	for (size_t j = 0; j < job->n; j += BLOCK_COLUMNS)
		for (size_t i = 0; i < job->m; i += BLOCK_ROWS) {
			size_t m = min_of(rows, job->m - i), n = min_of(columns, job->n - j);

			run_block(job, i, j, m, n, room_a, room_b, result);
			genie_gemm_finish_block(&finish, i, j, m, n, result);
		}
	genie_gemm_finish_gradients(&finish);
	status = CUDA_SUCCESS;
out:
	genie_gemm_finish_fini(&finish);
	free(room_a);
	free(room_b);
	free(result);
	return status;
}

static CUresult
run_one(const struct genie_gemm *gemm, struct genie_gemm_job *job, uint32_t batch)
{
	bool a_flips = gemm->op_a != 0, b_flips = gemm->op_b != 0;
	CUresult status;

	if (!resolve(gemm, 0, gemm->a, gemm->stride_a, gemm->type_a, a_flips ? gemm->k : gemm->m,
		     a_flips ? gemm->m : gemm->k, gemm->lda, batch, &job->a) ||
	    !resolve(gemm, 1, gemm->b, gemm->stride_b, gemm->type_b, b_flips ? gemm->n : gemm->k,
		     b_flips ? gemm->k : gemm->n, gemm->ldb, batch, &job->b) ||
	    !resolve(gemm, 3, gemm->d, gemm->stride_d, gemm->type_d, gemm->m, gemm->n, gemm->ldd,
		     batch, &job->d))
		return CUDA_ERROR_INVALID_VALUE;
	job->c = job->d;
	/* without beta there need be no C */
	if (job->beta != 0 && !resolve(gemm, 2, gemm->c, gemm->stride_c, gemm->type_c, gemm->m,
				       gemm->n, gemm->ldc, batch, &job->c))
		return CUDA_ERROR_INVALID_VALUE;
	apply_op(&job->a, gemm->op_a);
	apply_op(&job->b, gemm->op_b);
	job->m = (size_t)gemm->m;
	job->n = (size_t)gemm->n;
	job->k = (size_t)gemm->k;
	status = genie_gemm_resolve_epilogue(gemm, batch, job);
	if (status != CUDA_SUCCESS)
		return status;
	if (job->d.row_step != 1) {
		/* a row-major result: the transposed product, of the transposed operands, swapped
		 */
		struct genie_gemm_matrix a = job->a;
		size_t m = job->m;

		job->a = job->b;
		job->b = a;
		job->m = job->n;
		job->n = m;
		job->swapped = true;
		transpose(&job->a);
		transpose(&job->b);
		transpose(&job->c);
		transpose(&job->d);
	}
	if (is_direct(job)) {
		run_direct(job);
		return CUDA_SUCCESS;
	}
	return run_blocks(job);
}

CUresult
genie_cpu_gemm_run(const struct genie_gemm *gemm)
{
	struct genie_gemm_job job = {.block = block_type(gemm), .epilogue = gemm->epilogue};
	CUresult status = read_scale(gemm, gemm->alpha, &job.alpha);

	if (status == CUDA_SUCCESS)
		status = read_scale(gemm, gemm->beta, &job.beta);
	if (!gemm->m || !gemm->n)
		return status;
	for (uint32_t i = 0; status == CUDA_SUCCESS && i < gemm->batch; i++) {
		job.swapped = false;
		status = run_one(gemm, &job, i);
	}
	return status;
}

static CUresult
cpu_genieNativeGemm(const struct genie_gemm *gemm, CUstream stream)
{
	struct genie_cpu_op op = {.kind = GENIE_CPU_OP_GEMM};

	if (!gemm)
		return CUDA_ERROR_INVALID_VALUE;
	op.gemm = *gemm;
	return genie_cpu_submit(stream, &op);
}

void
genie_cpu_fill_gemm(struct genie_driver *drv)
{
	drv->genieNativeGemm = cpu_genieNativeGemm;
}
