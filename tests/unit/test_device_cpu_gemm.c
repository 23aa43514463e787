/* genieNativeGemm against a product by definition: types, operations, orders, batches, epilogues.
 */
#include <math.h>

#include "cpu_fixture.h"
#include "remote/device_cpu/blas.h"
#include "remote/device_cpu/number.h"

TestSuite(device_cpu_gemm, .init = open_device, .fini = close_device, .timeout = 120);

static unsigned int seed = 1;

static unsigned int
random_below(unsigned int n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % n;
}

/* A value every type can hold exactly. */
static double
random_value(void)
{
	return (double)random_below(17) - 8;
}

/* ---- matrices in device memory, read and written element by element ---- */

struct matrix {
	CUdeviceptr ptr;
	unsigned int type;
	int64_t ld;
	bool row_major;
};

static void *
at(const struct matrix *m, int64_t batch_offset, int64_t row, int64_t column)
{
	int64_t index = m->row_major ? row * m->ld + column : column * m->ld + row;

	return (char *)m->ptr + (index + batch_offset) * (int64_t)genie_number_size(m->type);
}

static double _Complex get(const struct matrix *m, int64_t offset, int64_t row, int64_t column)
{
	double _Complex z;
	double x;

	if (genie_number_is_complex(m->type)) {
		genie_number_load_c64(m->type, at(m, offset, row, column), 1, 1, &z);
		return z;
	}
	genie_number_load_f64(m->type, at(m, offset, row, column), 1, 1, &x);
	return x;
}

static void
put(const struct matrix *m, int64_t offset, int64_t row, int64_t column, double _Complex value)
{
	double x = creal(value);

	if (genie_number_is_complex(m->type))
		genie_number_store_c64(m->type, at(m, offset, row, column), 1, 1, &value);
	else
		genie_number_store_f64(m->type, at(m, offset, row, column), 1, 1, &x);
}

static struct matrix
new_matrix(unsigned int type, int64_t rows, int64_t columns, bool row_major, int64_t batch,
	   int64_t *ret_ld, int64_t *ret_stride)
{
	int64_t along = row_major ? columns : rows, lines = row_major ? rows : columns;
	struct matrix m = {.type = type, .row_major = row_major};

	m.ld = along + random_below(3);
	if (!m.ld)
		m.ld = 1;
	*ret_ld = m.ld;
	*ret_stride = m.ld * lines + random_below(5);
	m.ptr = device_memory((size_t)((*ret_stride * batch + 8) * 16));
	for (int64_t b = 0; b < batch; b++)
		for (int64_t i = 0; i < rows; i++)
			for (int64_t j = 0; j < columns; j++)
				put(&m, b * *ret_stride, i, j,
				    random_value() + (genie_number_is_complex(type)
							      ? random_value() * I
							      : 0));
	return m;
}

static double _Complex operated(const struct matrix *m, unsigned int op, int64_t offset,
				int64_t row, int64_t column)
{
	double _Complex value = op ? get(m, offset, column, row) : get(m, offset, row, column);

	return op == 2 ? conj(value) : value;
}

/* A product to make, and its matrices. */
struct product {
	struct genie_gemm gemm;
	struct matrix a, b, c, d;
	double _Complex alpha, beta;
};

static void
set_scale(struct product *p, double _Complex alpha, double _Complex beta)
{
	double real[2] = {creal(alpha), creal(beta)};

	p->alpha = alpha;
	p->beta = beta;
	if (genie_number_is_complex(p->gemm.scale_type)) {
		double _Complex z[2] __attribute__((aligned(16))) = {alpha, beta};

		genie_number_store_c64(p->gemm.scale_type, p->gemm.alpha, 1, 1, &z[0]);
		genie_number_store_c64(p->gemm.scale_type, p->gemm.beta, 1, 1, &z[1]);
		return;
	}
	genie_number_store_f64(p->gemm.scale_type, p->gemm.alpha, 1, 1, &real[0]);
	genie_number_store_f64(p->gemm.scale_type, p->gemm.beta, 1, 1, &real[1]);
}

static struct product
new_product(unsigned int type_ab, unsigned int type_cd, unsigned int compute, int64_t m, int64_t n,
	    int64_t k, unsigned int op_a, unsigned int op_b, unsigned int order, uint32_t batch)
{
	struct product p = {0};
	struct genie_gemm *g = &p.gemm;

	*g = (struct genie_gemm){
		.m = m,
		.n = n,
		.k = k,
		.batch = batch,
		.op_a = (uint8_t)op_a,
		.op_b = (uint8_t)op_b,
		.type_a = (uint16_t)type_ab,
		.type_b = (uint16_t)type_ab,
		.type_c = (uint16_t)type_cd,
		.type_d = (uint16_t)type_cd,
		.compute_type = (uint16_t)compute,
		.scale_type = (uint16_t)compute,
		.order = order,
	};
	p.a = new_matrix(type_ab, op_a ? k : m, op_a ? m : k, order & 1, batch, &g->lda,
			 &g->stride_a);
	p.b = new_matrix(type_ab, op_b ? n : k, op_b ? k : n, order & 2, batch, &g->ldb,
			 &g->stride_b);
	p.c = new_matrix(type_cd, m, n, order & 4, batch, &g->ldc, &g->stride_c);
	p.d = new_matrix(type_cd, m, n, order & 8, batch, &g->ldd, &g->stride_d);
	g->a = p.a.ptr;
	g->b = p.b.ptr;
	g->c = p.c.ptr;
	g->d = p.d.ptr;
	set_scale(&p, 1, 0);
	return p;
}

static double _Complex expected(const struct product *p, int64_t batch, int64_t i, int64_t j)
{
	const struct genie_gemm *g = &p->gemm;
	double _Complex sum = 0;

	for (int64_t q = 0; q < g->k; q++)
		sum += operated(&p->a, g->op_a, batch * g->stride_a, i, q) *
		       operated(&p->b, g->op_b, batch * g->stride_b, q, j);
	sum *= p->alpha;
	if (p->beta != 0)
		sum += p->beta * get(&p->c, batch * g->stride_c, i, j);
	return sum;
}

/* Runs it and compares every element; what was in D beside the matrix must stay. */
static void
check(const struct product *p, double tolerance)
{
	const struct genie_gemm *g = &p->gemm;

	ok(drv->genieNativeGemm(g, NULL));
	for (int64_t b = 0; b < g->batch; b++)
		for (int64_t i = 0; i < g->m; i++)
			for (int64_t j = 0; j < g->n; j++) {
				double _Complex want = expected(p, b, i, j);
				double _Complex got = get(&p->d, b * g->stride_d, i, j);

				cr_assert(cabs(got - want) <= tolerance * (1 + cabs(want)),
					  "type %u order %u ops %u %u: (%ld,%ld) is %g, not %g",
					  g->type_d, g->order, g->op_a, g->op_b, (long)i, (long)j,
					  creal(got), creal(want));
			}
}

/* One of each, and all types: exact, because the values are small integers. */
static const struct {
	unsigned int ab, cd, compute;
	double tolerance;
} types[] = {
	{GENIE_F32, GENIE_F32, GENIE_F32, 0},    {GENIE_F64, GENIE_F64, GENIE_F64, 0},
	{GENIE_C32, GENIE_C32, GENIE_C32, 0},    {GENIE_C64, GENIE_C64, GENIE_C64, 0},
	{GENIE_F16, GENIE_F16, GENIE_F32, 1e-3}, {GENIE_BF16, GENIE_BF16, GENIE_F32, 1e-2},
	{GENIE_F16, GENIE_F32, GENIE_F32, 0},    {GENIE_BF16, GENIE_F32, GENIE_F32, 0},
	{GENIE_I8, GENIE_I32, GENIE_I32, 0},     {GENIE_I8, GENIE_F32, GENIE_F32, 0},
};
#define TYPES (sizeof(types) / sizeof(types[0]))

Test(device_cpu_gemm, every_type_operation_and_order)
{
	for (size_t t = 0; t < TYPES; t++)
		for (unsigned int ops = 0; ops < 9; ops++)
			for (unsigned int order = 0; order < 16; order++) {
				struct product p =
					new_product(types[t].ab, types[t].cd, types[t].compute,
						    1 + random_below(7), 1 + random_below(7),
						    random_below(8), ops % 3, ops / 3, order, 1);

				set_scale(&p, random_value(), (double)random_below(3));
				check(&p, types[t].tolerance);
			}
}

Test(device_cpu_gemm, complex_scales)
{
	struct product p = new_product(GENIE_C32, GENIE_C32, GENIE_C32, 4, 5, 6, 2, 1, 0, 1);

	set_scale(&p, 2 - 3 * I, 1 + I);
	check(&p, 0);
	p = new_product(GENIE_C64, GENIE_C64, GENIE_C64, 4, 5, 6, 0, 2, 8, 1);
	set_scale(&p, -1 + 2 * I, 3 * I);
	check(&p, 0);
}

Test(device_cpu_gemm, batches_by_stride_and_by_pointer)
{
	for (size_t t = 0; t < TYPES; t++) {
		struct product p = new_product(types[t].ab, types[t].cd, types[t].compute, 3, 4, 5,
					       t % 3, 1, 0, 6);
		CUdeviceptr lists = device_memory(6 * 4 * 8);

		set_scale(&p, 2, 1);
		check(&p, types[t].tolerance);
		for (int i = 0; i < 6; i++) {
			uint64_t *list = (uint64_t *)lists;

			list[i] = (uint64_t)at(&p.a, i * p.gemm.stride_a, 0, 0);
			list[6 + i] = (uint64_t)at(&p.b, i * p.gemm.stride_b, 0, 0);
			list[12 + i] = (uint64_t)at(&p.c, i * p.gemm.stride_c, 0, 0);
			list[18 + i] = (uint64_t)at(&p.d, i * p.gemm.stride_d, 0, 0);
		}
		ok(drv->cuMemsetD8_v2(p.d.ptr, 0, 64));
		p.gemm.a = lists;
		p.gemm.b = lists + 48;
		p.gemm.c = lists + 96;
		p.gemm.d = lists + 144;
		p.gemm.pointer_array = 1;
		check(&p, types[t].tolerance);
	}
}

/* Larger than a block in every direction. */
Test(device_cpu_gemm, blocks_fit_together)
{
	struct product p = new_product(GENIE_BF16, GENIE_F32, GENIE_F32, 1030, 1027, 3, 1, 0, 8, 1);

	set_scale(&p, 1, 2);
	check(&p, 0);
	p = new_product(GENIE_I8, GENIE_I32, GENIE_I32, 5, 4, 5000, 0, 1, 1, 1);
	check(&p, 0);
	p = new_product(GENIE_F16, GENIE_F32, GENIE_F32, 3, 1100, 2100, 1, 1, 2, 1);
	check(&p, 1e-6);
}

Test(device_cpu_gemm, result_in_place_of_c)
{
	struct product p = new_product(GENIE_F32, GENIE_F32, GENIE_F32, 20, 30, 10, 0, 0, 0, 1);
	float want[600];

	set_scale(&p, 2, 3);
	p.gemm.d = p.gemm.c;
	p.gemm.ldd = p.gemm.ldc;
	for (int j = 0; j < 30; j++)
		for (int i = 0; i < 20; i++)
			want[j * 20 + i] = (float)creal(expected(&p, 0, i, j));
	ok(drv->genieNativeGemm(&p.gemm, NULL));
	for (int j = 0; j < 30; j++)
		for (int i = 0; i < 20; i++)
			cr_assert_float_eq(creal(get(&p.c, 0, i, j)), want[j * 20 + i], 0);
}

Test(device_cpu_gemm, beta_zero_does_not_read_c)
{
	struct product p = new_product(GENIE_F32, GENIE_F32, GENIE_F32, 8, 8, 8, 0, 0, 0, 1);

	for (int j = 0; j < 8; j++)
		for (int i = 0; i < 8; i++)
			put(&p.d, 0, i, j, NAN);
	p.gemm.c = 0x1000;
	check(&p, 0);
	/* and alpha of 0 with k of 0 leaves C */
	p = new_product(GENIE_F32, GENIE_F32, GENIE_F32, 8, 8, 0, 0, 0, 0, 1);
	set_scale(&p, 0, 1);
	check(&p, 0);
}

Test(device_cpu_gemm, scales_on_the_device)
{
	struct product p = new_product(GENIE_F16, GENIE_F16, GENIE_F32, 4, 4, 4, 0, 1, 0, 1);
	CUdeviceptr scales = device_memory(8);
	CUdeviceptr addr = scales;

	((float *)scales)[0] = 2;
	((float *)scales)[1] = -1;
	p.alpha = 2;
	p.beta = -1;
	p.gemm.scale_on_device = 1;
	memcpy(p.gemm.alpha, &addr, 8);
	addr += 4;
	memcpy(p.gemm.beta, &addr, 8);
	check(&p, 1e-3);
	addr = 0x10;
	memcpy(p.gemm.beta, &addr, 8);
	fails(CUDA_ERROR_INVALID_VALUE, drv->genieNativeGemm(&p.gemm, NULL));
}

/* ---- epilogues ---- */

static double
gelu(double x)
{
	return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

static void
check_epilogue(unsigned int type, unsigned int order, unsigned int epilogue)
{
	struct product p = new_product(type, type, GENIE_F32, 8, 5, 6, 0, 1, order, 2);
	CUdeviceptr bias = device_memory(4096), aux = device_memory(4096);
	double tolerance = type == GENIE_F32 ? 1e-5 : 2e-2;

	set_scale(&p, 0.125, 0);
	for (int i = 0; i < 8; i++)
		((float *)bias)[i] = (float)(i - 4) / 2;
	p.gemm.epilogue = (uint16_t)epilogue;
	p.gemm.bias = bias;
	p.gemm.bias_type = GENIE_F32;
	p.gemm.aux = aux;
	p.gemm.ld_aux = 16;
	ok(drv->genieNativeGemm(&p.gemm, NULL));
	for (int b = 0; b < 2; b++)
		for (int i = 0; i < 8; i++)
			for (int j = 0; j < 5; j++) {
				double x = creal(expected(&p, b, i, j));
				int place = b * 16 * 5 + j * 16 + i;
				double got = creal(get(&p.d, b * p.gemm.stride_d, i, j)), kept;

				if (epilogue & GENIE_EPILOGUE_BIAS)
					x += ((float *)bias)[i];
				if (epilogue & GENIE_EPILOGUE_AUX && epilogue & GENIE_EPILOGUE_RELU)
					cr_assert_eq(((uint8_t *)aux)[place / 8] >> place % 8 & 1,
						     x > 0);
				if (epilogue & GENIE_EPILOGUE_AUX &&
				    epilogue & GENIE_EPILOGUE_GELU) {
					genie_number_load_f64(
						type,
						(char *)aux + place * (int)genie_number_size(type),
						1, 1, &kept);
					cr_assert_float_eq(kept, x, tolerance * (1 + fabs(x)));
				}
				if (epilogue & GENIE_EPILOGUE_RELU)
					x = x > 0 ? x : 0;
				if (epilogue & GENIE_EPILOGUE_GELU)
					x = gelu(x);
				cr_assert_float_eq(got, x, tolerance * (1 + fabs(x)));
			}
	ok(drv->cuMemFree_v2(bias));
	ok(drv->cuMemFree_v2(aux));
}

Test(device_cpu_gemm, activations)
{
	static const unsigned int epilogues[] = {
		GENIE_EPILOGUE_RELU,
		GENIE_EPILOGUE_GELU,
		GENIE_EPILOGUE_BIAS,
		GENIE_EPILOGUE_BIAS | GENIE_EPILOGUE_RELU,
		GENIE_EPILOGUE_BIAS | GENIE_EPILOGUE_GELU,
		GENIE_EPILOGUE_RELU | GENIE_EPILOGUE_AUX,
		GENIE_EPILOGUE_BIAS | GENIE_EPILOGUE_GELU | GENIE_EPILOGUE_AUX,
	};

	for (size_t i = 0; i < sizeof(epilogues) / sizeof(epilogues[0]); i++)
		for (unsigned int order = 0; order < 16; order += 5) {
			check_epilogue(GENIE_F32, order, epilogues[i]);
			check_epilogue(GENIE_BF16, order, epilogues[i]);
		}
}

/* The gradients: of the activation by what was kept, of the bias by sums. */
static void
check_gradient(unsigned int order, unsigned int epilogue)
{
	struct product p = new_product(GENIE_F32, GENIE_F32, GENIE_F32, 8, 5, 6, 1, 0, order, 1);
	CUdeviceptr bias = device_memory(4096), aux = device_memory(4096);
	double sums[8] = {0};

	for (int i = 0; i < 256; i++)
		((float *)aux)[i] = (float)random_value() / 4;
	p.gemm.epilogue = (uint16_t)epilogue;
	p.gemm.bias = bias;
	p.gemm.bias_type = GENIE_F32;
	p.gemm.aux = aux;
	p.gemm.ld_aux = 8;
	ok(drv->genieNativeGemm(&p.gemm, NULL));
	for (int i = 0; i < 8; i++)
		for (int j = 0; j < 5; j++) {
			double x = creal(expected(&p, 0, i, j)), h = 1e-5;
			int place = j * 8 + i;

			if (epilogue & GENIE_EPILOGUE_DRELU)
				x *= ((uint8_t *)aux)[place / 8] >> place % 8 & 1;
			if (epilogue & GENIE_EPILOGUE_DGELU) {
				double kept = ((float *)aux)[place];

				x *= (gelu(kept + h) - gelu(kept - h)) / (2 * h);
			}
			cr_assert_float_eq(creal(get(&p.d, 0, i, j)), x, 1e-4 * (1 + fabs(x)));
			sums[i] += x;
		}
	if (epilogue & GENIE_EPILOGUE_BIAS)
		for (int i = 0; i < 8; i++)
			cr_assert_float_eq(((float *)bias)[i], sums[i], 1e-3);
	if (epilogue & GENIE_EPILOGUE_BGRADA)
		for (int i = 0; i < 8; i++) {
			double sum = 0;

			for (int q = 0; q < 6; q++)
				sum += creal(operated(&p.a, 1, 0, i, q));
			cr_assert_float_eq(((float *)bias)[i], sum, 1e-5);
		}
	if (epilogue & GENIE_EPILOGUE_BGRADB)
		for (int j = 0; j < 5; j++) {
			double sum = 0;

			for (int q = 0; q < 6; q++)
				sum += creal(operated(&p.b, 0, 0, q, j));
			cr_assert_float_eq(((float *)bias)[j], sum, 1e-5);
		}
}

Test(device_cpu_gemm, gradients)
{
	for (unsigned int order = 0; order < 16; order++) {
		check_gradient(order, GENIE_EPILOGUE_DRELU);
		check_gradient(order, GENIE_EPILOGUE_DGELU | GENIE_EPILOGUE_BIAS);
		check_gradient(order, GENIE_EPILOGUE_DRELU | GENIE_EPILOGUE_BIAS);
		check_gradient(order, GENIE_EPILOGUE_BGRADA);
		check_gradient(order, GENIE_EPILOGUE_BGRADB);
	}
}

/* ---- what a client may not do ---- */

Test(device_cpu_gemm, hostile_descriptions)
{
	struct product p = new_product(GENIE_F32, GENIE_F32, GENIE_F32, 8, 8, 8, 0, 0, 0, 1);
	struct genie_gemm g = p.gemm;

#define BAD(status, change)                                                                        \
	do {                                                                                       \
		g = p.gemm;                                                                        \
		change;                                                                            \
		fails(status, drv->genieNativeGemm(&g, NULL));                                     \
	} while (0)
	BAD(CUDA_ERROR_INVALID_VALUE, g.m = -1);
	BAD(CUDA_ERROR_INVALID_VALUE, g.lda = 7);
	BAD(CUDA_ERROR_INVALID_VALUE, g.op_a = 3);
	BAD(CUDA_ERROR_INVALID_VALUE, g.a = 0x1000);
	BAD(CUDA_ERROR_INVALID_VALUE, g.d = (uint64_t)&p);
	BAD(CUDA_ERROR_INVALID_VALUE, g.k = g.lda = g.ldb = INT64_MAX);
	BAD(CUDA_ERROR_INVALID_VALUE, g.lda = INT64_MAX);
	BAD(CUDA_ERROR_INVALID_VALUE, (g.batch = 1000000, g.stride_a = 1 << 20));
	BAD(CUDA_ERROR_INVALID_VALUE, (g.batch = 2, g.stride_d = INT64_MIN));
	BAD(CUDA_ERROR_INVALID_VALUE, g.pointer_array = 1);
	BAD(CUDA_ERROR_INVALID_VALUE, g.epilogue = GENIE_EPILOGUE_BIAS);
	BAD(CUDA_ERROR_INVALID_VALUE, g.epilogue = GENIE_EPILOGUE_DGELU);
	BAD(CUDA_ERROR_INVALID_VALUE,
	    (g.epilogue = GENIE_EPILOGUE_BIAS, g.bias = 0x1000, g.bias_type = GENIE_F32));
	BAD(CUDA_ERROR_NOT_SUPPORTED, g.type_a = 99);
	BAD(CUDA_ERROR_NOT_SUPPORTED, g.type_a = GENIE_C32);
	BAD(CUDA_ERROR_NOT_SUPPORTED, g.scale_type = GENIE_C64);
#undef BAD
	ok(drv->genieNativeGemm(&p.gemm, NULL));
}

Test(device_cpu_gemm, captured_products_are_nodes)
{
	struct product p = new_product(GENIE_F32, GENIE_F32, GENIE_F32, 4, 4, 4, 0, 0, 0, 1);
	CUgraphExec exec;
	CUstream stream;
	CUgraph graph;

	ok(drv->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
	ok(drv->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
	ok(drv->genieNativeGemm(&p.gemm, stream));
	ok(drv->cuStreamEndCapture(stream, &graph));
	ok(drv->cuGraphInstantiateWithFlags(&exec, graph, 0));
	ok(drv->cuGraphLaunch(exec, stream));
	for (int i = 0; i < 4; i++)
		cr_assert_float_eq(creal(get(&p.d, 0, i, i)), creal(expected(&p, 0, i, i)), 0);
	ok(drv->cuGraphExecDestroy(exec));
	ok(drv->cuGraphDestroy(graph));
	ok(drv->cuStreamDestroy_v2(stream));
}

/* ---- without a BLAS ---- */

static void
open_without_blas(void)
{
	setenv("GENIE_PERF", "no_blas", 1);
	open_device();
}

TestSuite(device_cpu_plain_gemm, .init = open_without_blas, .fini = close_device, .timeout = 120);

Test(device_cpu_plain_gemm, every_type_and_operation)
{
	cr_assert_not(genie_blas_found());
	for (size_t t = 0; t < TYPES; t++)
		for (unsigned int ops = 0; ops < 9; ops++) {
			struct product p = new_product(types[t].ab, types[t].cd, types[t].compute,
						       5, 6, 7, ops % 3, ops / 3, ops, 1);

			set_scale(&p, 2, 1);
			check(&p, types[t].tolerance);
		}
}

/* ---- numbers ---- */

Test(numbers, halves_round_to_even)
{
	for (unsigned int bits = 0; bits < 65536; bits++) {
		float value = genie_number_from_half((uint16_t)bits);

		if (value == value)
			cr_assert_eq(genie_number_to_half(value), bits);
		value = genie_number_from_bfloat((uint16_t)bits);
		if (value == value)
			cr_assert_eq(genie_number_to_bfloat(value), bits);
	}
	cr_assert_eq(genie_number_to_half(1.0f + 0x1p-11f), 0x3c00);
	cr_assert_eq(genie_number_to_half(1.0f + 3 * 0x1p-11f), 0x3c02);
	cr_assert_eq(genie_number_to_half(65519.0f), 0x7bff);
	cr_assert_eq(genie_number_to_half(65520.0f), 0x7c00);
	cr_assert_eq(genie_number_to_half(0x1p-25f), 0);
	cr_assert_eq(genie_number_to_half(0x1.8p-25f), 1);
	cr_assert_eq(genie_number_to_half(-0.0f), 0x8000);
	cr_assert(isnan(genie_number_from_half(genie_number_to_half(NAN))));
	cr_assert(isnan(genie_number_from_bfloat(genie_number_to_bfloat(NAN))));
	cr_assert_eq(genie_number_to_bfloat(1.0f + 0x1p-8f), 0x3f80);
	cr_assert_eq(genie_number_to_bfloat(1.0f + 3 * 0x1p-8f), 0x3f82);
}

Test(numbers, integers_saturate)
{
	double values[] = {127.5, -200, 2.5, 3.5, NAN, 1e20};
	int8_t small[6];
	int32_t wide[6];

	genie_number_store_f64(GENIE_I8, small, 1, 6, values);
	cr_assert_eq(small[0], 127);
	cr_assert_eq(small[1], -128);
	cr_assert_eq(small[2], 2);
	cr_assert_eq(small[3], 4);
	cr_assert_eq(small[4], 0);
	genie_number_store_f64(GENIE_I32, wide, 1, 6, values);
	cr_assert_eq(wide[5], INT32_MAX);
}
