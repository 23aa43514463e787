/*
 * genieNativeDense: BLAS levels 2 and 3, of which the vendor's library has kernels without PTX.
 * Everything but the solving of small triangles comes down to matrix products (blas.h).
 */
#include <complex.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/blas.h"
#include "remote/device_cpu/cpu.h"
#include "remote/device_cpu/number.h"

/* Rows of a triangle that are solved one by one, before a product takes care of the others. */
enum { SOLVE_BLOCK = 64 };

static bool
is_hermitian(unsigned int kind)
{
	return kind == GENIE_DENSE_HERK || kind == GENIE_DENSE_HER2K || kind == GENIE_DENSE_HERKX;
}

static enum genie_blas_op
blas_op(unsigned int op)
{
	static const enum genie_blas_op ops[] = {GENIE_BLAS_NONE, GENIE_BLAS_TRANSPOSE,
						 GENIE_BLAS_ADJOINT};

	return ops[op];
}

/* Where element @i of a vector is: with a negative increment the last one comes first. */
static size_t
vector_index(size_t i, size_t n, int64_t increment)
{
	return increment < 0 ? (n - 1 - i) * (size_t)-increment : i * (size_t)increment;
}

#define TYPE       float
#define CONJ(x)    (x)
#define REAL(x)    (x)
#define NAME(what) dense_s##what
#define PRODUCT    genie_blas_sgemm
#include "remote/device_cpu/dense.def"
#undef TYPE
#undef NAME
#undef PRODUCT

#define TYPE       double
#define NAME(what) dense_d##what
#define PRODUCT    genie_blas_dgemm
#include "remote/device_cpu/dense.def"
#undef TYPE
#undef NAME
#undef PRODUCT
#undef CONJ
#undef REAL

#define TYPE       float _Complex
#define CONJ(x)    conjf(x)
#define REAL(x)    crealf(x)
#define NAME(what) dense_c##what
#define PRODUCT    genie_blas_cgemm
#include "remote/device_cpu/dense.def"
#undef TYPE
#undef NAME
#undef PRODUCT
#undef CONJ
#undef REAL

#define TYPE       double _Complex
#define CONJ(x)    conj(x)
#define REAL(x)    creal(x)
#define NAME(what) dense_z##what
#define PRODUCT    genie_blas_zgemm
#include "remote/device_cpu/dense.def"
#undef TYPE
#undef NAME
#undef PRODUCT
#undef CONJ
#undef REAL

/* ---- what an operation reads and writes ---- */

/* An operand in memory, in columns; a vector's are its elements. */
struct shape {
	int64_t rows, columns, ld;
};

struct shapes {
	struct shape a, b, c; /* no columns: not there */
};

static struct shape
vector_shape(int64_t n, int64_t increment)
{
	return (struct shape){1, n, increment < 0 ? -increment : increment};
}

static struct shapes
find_shapes(const struct genie_dense *d)
{
	int64_t s = d->side ? d->n : d->m;
	struct shape square = {s, s, d->lda}, c = {d->m, d->n, d->ldc}, b = {d->m, d->n, d->ldb};
	struct shape thin_a = {d->op ? d->k : d->n, d->op ? d->n : d->k, d->lda};
	struct shape thin_b = {thin_a.rows, thin_a.columns, d->ldb};

	switch (d->kind) {
	case GENIE_DENSE_GEMV:
		return (struct shapes){{d->m, d->n, d->lda},
				       vector_shape(d->op ? d->m : d->n, d->ldb),
				       vector_shape(d->op ? d->n : d->m, d->ldc)};
	case GENIE_DENSE_SYMM:
	case GENIE_DENSE_HEMM:
	case GENIE_DENSE_TRMM:
		return (struct shapes){square, b, c};
	case GENIE_DENSE_TRSM:
		return (struct shapes){square, {0}, c};
	case GENIE_DENSE_SYRK:
	case GENIE_DENSE_HERK:
		return (struct shapes){thin_a, {0}, {d->n, d->n, d->ldc}};
	default:
		return (struct shapes){thin_a, thin_b, {d->n, d->n, d->ldc}};
	}
}

/* BLAS counts in int. */
static bool
shape_valid(const struct shape *shape)
{
	if (shape->rows < 0 || shape->columns < 0 || shape->rows > INT_MAX ||
	    shape->columns > INT_MAX)
		return false;
	if (!shape->rows || !shape->columns)
		return true;
	return shape->ld >= shape->rows && shape->ld <= INT_MAX;
}

CUresult
genie_cpu_dense_check(const struct genie_dense *d)
{
	bool complex_ = d->type == GENIE_C32 || d->type == GENIE_C64;
	struct shapes shapes;

	if (d->m < 0 || d->n < 0 || d->k < 0 || d->kind > GENIE_DENSE_TRSM || d->side > 1 ||
	    d->fill > 1 || d->op > 2 || d->unit > 1)
		return CUDA_ERROR_INVALID_VALUE;
	if (!complex_ && d->type != GENIE_F32 && d->type != GENIE_F64)
		return CUDA_ERROR_NOT_SUPPORTED;
	if (!complex_ && (is_hermitian(d->kind) || d->kind == GENIE_DENSE_HEMM))
		return CUDA_ERROR_INVALID_VALUE;
	if (d->kind == GENIE_DENSE_GEMV &&
	    (!d->ldb || !d->ldc || d->ldb < -INT_MAX || d->ldc < -INT_MAX))
		return CUDA_ERROR_INVALID_VALUE;
	shapes = find_shapes(d);
	if (!shape_valid(&shapes.a) || !shape_valid(&shapes.b) || !shape_valid(&shapes.c))
		return CUDA_ERROR_INVALID_VALUE;
	return CUDA_SUCCESS;
}

/* The memory of an operand of batch number @batch; false: not all of it is there. */
static bool
resolve(const struct genie_dense *d, const struct shape *shape, uint64_t base, int64_t stride,
	uint32_t batch, bool write, void **ret)
{
	uint64_t size = genie_number_size(d->type), addr = base;

	*ret = NULL;
	if (!shape->rows || !shape->columns)
		return true;
	if (d->pointer_array) {
		addr = base + (uint64_t)batch * 8;
		if (addr % 8 || !genie_cpu_accessible(addr, 8, false))
			return false;
		addr = *(const uint64_t *)addr;
	} else {
		int64_t offset;

		if (__builtin_mul_overflow(stride, (int64_t)batch * (int64_t)size, &offset))
			return false;
		addr += (uint64_t)offset;
	}
	*ret = (void *)addr;
	return addr % (size < 8 ? size : 4) == 0 &&
	       genie_cpu_accessible(addr,
				    ((uint64_t)(shape->columns - 1) * (uint64_t)shape->ld +
				     (uint64_t)shape->rows) *
					    size,
				    write);
}

/* A factor of @size bytes as it lies in the command or where that says. */
static bool
find_scale(const struct genie_dense *d, const uint8_t *value, size_t size, uint8_t ret[16])
{
	uint64_t addr;

	if (!d->scale_on_device) {
		memcpy(ret, value, size);
		return true;
	}
	memcpy(&addr, value, sizeof(addr));
	if (!genie_cpu_accessible(addr, size, false))
		return false;
	memcpy(ret, (const void *)addr, size);
	return true;
}

static bool
has_beta(unsigned int kind)
{
	return kind != GENIE_DENSE_TRMM && kind != GENIE_DENSE_TRSM;
}

static CUresult
run_one(const struct genie_dense *d, const uint8_t *alpha, const uint8_t *beta, const void *a,
	const void *b, void *c)
{
	switch (d->type) {
	case GENIE_F32:
		return dense_s_run(d, alpha, beta, a, b, c);
	case GENIE_F64:
		return dense_d_run(d, alpha, beta, a, b, c);
	case GENIE_C32:
		return dense_c_run(d, alpha, beta, a, b, c);
	default:
		return dense_z_run(d, alpha, beta, a, b, c);
	}
}

CUresult
genie_cpu_dense_run(const struct genie_dense *d)
{
	struct shapes shapes = find_shapes(d);
	size_t size = genie_number_size(d->type);
	uint8_t alpha[16] = {0}, beta[16] = {0};

	if (!shapes.c.rows || !shapes.c.columns)
		return CUDA_SUCCESS;
	if (!find_scale(d, d->alpha, d->kind == GENIE_DENSE_HERK ? size / 2 : size, alpha))
		return CUDA_ERROR_INVALID_VALUE;
	if (has_beta(d->kind) &&
	    !find_scale(d, d->beta, is_hermitian(d->kind) ? size / 2 : size, beta))
		return CUDA_ERROR_INVALID_VALUE;
	for (uint32_t i = 0; i < d->batch; i++) {
		void *a, *b, *c;
		CUresult status;

		if (!resolve(d, &shapes.a, d->a, d->stride_a, i, false, &a) ||
		    !resolve(d, &shapes.b, d->b, d->stride_b, i, false, &b) ||
		    !resolve(d, &shapes.c, d->c, d->stride_c, i, true, &c))
			return CUDA_ERROR_INVALID_VALUE;
		status = run_one(d, alpha, beta, a, b, c);
		if (status != CUDA_SUCCESS)
			return status;
	}
	return CUDA_SUCCESS;
}

static CUresult
cpu_genieNativeDense(const struct genie_dense *dense, CUstream stream)
{
	struct genie_cpu_op op = {.kind = GENIE_CPU_OP_DENSE};

	if (!dense)
		return CUDA_ERROR_INVALID_VALUE;
	op.dense = *dense;
	return genie_cpu_submit(stream, &op);
}

void
genie_cpu_fill_dense(struct genie_driver *drv)
{
	drv->genieNativeDense = cpu_genieNativeDense;
}
