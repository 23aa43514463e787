/*
 * cuBLASXt: level 3 on matrices in the host's memory and in the device's, against plain sums.
 * Small integers: everything but the solution of a system is exact. What lies between columns
 * and in the other triangle must stay as it was.
 */
#include "program.h"

#include <cmath>
#include <complex>
#include <cublasXt.h>

#define XT(call)                                                                                   \
	do {                                                                                       \
		cublasStatus_t status_ = (call);                                                   \
		if (status_ != CUBLAS_STATUS_SUCCESS) {                                            \
			printf("%s:%d: %s: %d\n", __FILE__, __LINE__, #call, (int)status_);        \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

using Z = std::complex<double>;

/* Column after column, with @ld between them */
struct Matrix {
	int rows, columns, ld;
	std::vector<Z> v;
	Matrix(int rows, int columns, unsigned seed, bool complex)
	    : rows(rows), columns(columns), ld(rows + 3), v((size_t)ld * columns)
	{
		Random random = {seed};
		for (Z &x : v) {
			double re = random.below(9) - 4.0, im = random.below(9) - 4.0;
			x = Z(re, complex ? im : 0);
		}
	}
	Z &at(int r, int c)
	{
		return v[(size_t)c * ld + r];
	}
};

static Z
element(Matrix &m, cublasOperation_t op, int r, int c)
{
	return op == CUBLAS_OP_N ? m.at(r, c) : op == CUBLAS_OP_T ? m.at(c, r) : conj(m.at(c, r));
}

static float
cast(float, Z z)
{
	return (float)z.real();
}
static double
cast(double, Z z)
{
	return z.real();
}
static cuComplex
cast(cuComplex, Z z)
{
	return {(float)z.real(), (float)z.imag()};
}
static cuDoubleComplex
cast(cuDoubleComplex, Z z)
{
	return {z.real(), z.imag()};
}
static Z
wide(float v)
{
	return v;
}
static Z
wide(double v)
{
	return v;
}
static Z
wide(cuComplex v)
{
	return Z(v.x, v.y);
}
static Z
wide(cuDoubleComplex v)
{
	return Z(v.x, v.y);
}

template <typename T>
static std::vector<T>
narrow(const Matrix &m)
{
	std::vector<T> out;
	for (Z z : m.v)
		out.push_back(cast(T(), z));
	return out;
}

template <typename T>
static void
expect(const char *what, const std::vector<T> &got, const Matrix &want, double precision = 0)
{
	for (size_t i = 0; i < got.size(); i++) {
		if (!(std::abs(wide(got[i]) - want.v[i]) <= precision)) {
			printf("%s: element %zu is %g + %g i, should be %g + %g i\n", what, i,
			       wide(got[i]).real(), wide(got[i]).imag(), want.v[i].real(),
			       want.v[i].imag());
			exit(1);
		}
	}
}

template <typename T, typename F>
static void
products(cublasXtHandle_t handle, F gemm, bool complex, bool on_device)
{
	const int m = 90, n = 70, k = 110;
	const Z alpha = complex ? Z(2, 1) : Z(2, 0), beta = complex ? Z(1, -1) : Z(3, 0);
	const T x = cast(T(), alpha), y = cast(T(), beta);
	for (cublasOperation_t op_a : {CUBLAS_OP_N, CUBLAS_OP_T, CUBLAS_OP_C}) {
		for (cublasOperation_t op_b : {CUBLAS_OP_N, CUBLAS_OP_C}) {
			Matrix a(op_a ? k : m, op_a ? m : k, 1, complex);
			Matrix b(op_b ? n : k, op_b ? k : n, 2, complex), c(m, n, 3, complex);
			std::vector<T> ha = narrow<T>(a), hb = narrow<T>(b), hc = narrow<T>(c);
			/* a and c may lie on the device, b never does */
			T *da = on_device ? to_device(ha) : ha.data();
			T *dc = on_device ? to_device(hc) : hc.data();
			XT(gemm(handle, op_a, op_b, m, n, k, &x, da, a.ld, hb.data(), b.ld, &y, dc,
				c.ld));
			for (int j = 0; j < n; j++) {
				for (int i = 0; i < m; i++) {
					Z sum = 0;
					for (int p = 0; p < k; p++)
						sum += element(a, op_a, i, p) *
						       element(b, op_b, p, j);
					c.at(i, j) = alpha * sum + beta * c.at(i, j);
				}
			}
			if (on_device) {
				hc = to_host(dc, hc.size());
				CUDA(cudaFree(da));
				CUDA(cudaFree(dc));
			}
			expect("gemm", hc, c);
		}
	}
	printf("gemm of %zu bytes%s: right\n", sizeof(T), on_device ? ", on the device" : "");
}

static void
symmetric(cublasXtHandle_t handle, cublasSideMode_t side, cublasFillMode_t fill)
{
	const int m = 60, n = 50, order = side == CUBLAS_SIDE_LEFT ? m : n;
	const double alpha = 2, beta = -1;
	Matrix a(order, order, 4, false), b(m, n, 5, false), c(m, n, 6, false), packed = c;
	std::vector<double> triangle, ha = narrow<double>(a), hb = narrow<double>(b);
	std::vector<double> hc = narrow<double>(c), hp = hc;
	for (int j = 0; j < order; j++)
		for (int i = 0; i < order; i++)
			if (fill == CUBLAS_FILL_MODE_UPPER ? i <= j : i >= j)
				triangle.push_back(a.at(i, j).real());
	XT(cublasXtDsymm(handle, side, fill, m, n, &alpha, ha.data(), a.ld, hb.data(), b.ld, &beta,
			 hc.data(), c.ld));
	XT(cublasXtDspmm(handle, side, fill, m, n, &alpha, triangle.data(), hb.data(), b.ld, &beta,
			 hp.data(), c.ld));
	auto whole = [&](int i, int j) {
		return (fill == CUBLAS_FILL_MODE_UPPER) == (i <= j) || i == j ? a.at(i, j)
									      : a.at(j, i);
	};
	for (int j = 0; j < n; j++) {
		for (int i = 0; i < m; i++) {
			Z sum = 0;
			for (int p = 0; p < order; p++)
				sum += side == CUBLAS_SIDE_LEFT ? whole(i, p) * b.at(p, j)
								: b.at(i, p) * whole(p, j);
			c.at(i, j) = alpha * sum + beta * c.at(i, j);
		}
	}
	expect("symm", hc, c);
	expect("spmm", hp, c);
}

/* syrk, syr2k, syrkx in one: of c only a triangle is written */
static void
ranks(cublasXtHandle_t handle, cublasFillMode_t fill, cublasOperation_t op)
{
	const int n = 66, k = 40;
	const float alpha = 2, beta = 3;
	Matrix a(op ? k : n, op ? n : k, 7, false), b(op ? k : n, op ? n : k, 8, false);
	Matrix c(n, n, 9, false), c2 = c;
	std::vector<float> ha = narrow<float>(a), hb = narrow<float>(b), hc = narrow<float>(c);
	std::vector<float> h2 = hc;
	XT(cublasXtSsyrk(handle, fill, op, n, k, &alpha, ha.data(), a.ld, &beta, hc.data(), c.ld));
	XT(cublasXtSsyr2k(handle, fill, op, n, k, &alpha, ha.data(), a.ld, hb.data(), b.ld, &beta,
			  h2.data(), c.ld));
	for (int j = 0; j < n; j++) {
		for (int i = 0; i < n; i++) {
			Z sum = 0, both = 0;
			if (fill == CUBLAS_FILL_MODE_UPPER ? i > j : i < j)
				continue;
			for (int p = 0; p < k; p++) {
				sum += element(a, op, i, p) * element(a, op, j, p);
				both += element(a, op, i, p) * element(b, op, j, p) +
					element(b, op, i, p) * element(a, op, j, p);
			}
			c.at(i, j) = 2.0 * sum + 3.0 * c.at(i, j);
			c2.at(i, j) = 2.0 * both + 3.0 * c2.at(i, j);
		}
	}
	expect("syrk", hc, c);
	expect("syr2k", h2, c2);
}

static void
triangles(cublasXtHandle_t handle, cublasFillMode_t fill)
{
	const int m = 48, n = 37;
	const double alpha = 2, one = 0.5;
	Matrix a(m, m, 10, false), b(m, n, 11, false), c(m, n, 12, false);
	for (int i = 0; i < m; i++)
		a.at(i, i) = 16; /* what is solved stays small */
	std::vector<double> ha = narrow<double>(a), hb = narrow<double>(b), hc = narrow<double>(c);
	XT(cublasXtDtrmm(handle, CUBLAS_SIDE_LEFT, fill, CUBLAS_OP_N, CUBLAS_DIAG_NON_UNIT, m, n,
			 &alpha, ha.data(), a.ld, hb.data(), b.ld, hc.data(), c.ld));
	for (int j = 0; j < n; j++) {
		for (int i = 0; i < m; i++) {
			Z sum = 0;
			for (int p = 0; p < m; p++)
				if (fill == CUBLAS_FILL_MODE_UPPER ? i <= p : i >= p)
					sum += a.at(i, p) * b.at(p, j);
			c.at(i, j) = alpha * sum;
		}
	}
	expect("trmm", hc, c);
	/* and back: half of what the product was made of twice */
	XT(cublasXtDtrsm(handle, CUBLAS_SIDE_LEFT, fill, CUBLAS_OP_N, CUBLAS_DIAG_NON_UNIT, m, n,
			 &one, ha.data(), a.ld, hc.data(), c.ld));
	for (int j = 0; j < n; j++)
		for (int i = 0; i < m; i++)
			c.at(i, j) = b.at(i, j);
	expect("trsm", hc, c, 1e-8);
}

static void
hermitian(cublasXtHandle_t handle)
{
	const int n = 44, k = 30;
	const double alpha = 2, beta = 1;
	Matrix a(n, k, 13, true), c(n, n, 14, true);
	for (int i = 0; i < n; i++)
		c.at(i, i) = c.at(i, i).real();
	std::vector<cuDoubleComplex> ha = narrow<cuDoubleComplex>(a);
	std::vector<cuDoubleComplex> hc = narrow<cuDoubleComplex>(c);
	XT(cublasXtZherk(handle, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N, n, k, &alpha, ha.data(), a.ld,
			 &beta, hc.data(), c.ld));
	for (int j = 0; j < n; j++) {
		for (int i = 0; i <= j; i++) {
			Z sum = 0;
			for (int p = 0; p < k; p++)
				sum += a.at(i, p) * conj(a.at(j, p));
			c.at(i, j) = alpha * sum + beta * c.at(i, j);
		}
	}
	expect("herk", hc, c);
}

int
main()
{
	cublasXtHandle_t handle;
	int devices[] = {0};
	XT(cublasXtCreate(&handle));
	XT(cublasXtDeviceSelect(handle, 1, devices));
	XT(cublasXtSetBlockDim(handle, 32)); /* several tiles, where there are tiles */
	for (bool on_device : {false, true}) {
		products<float>(handle, cublasXtSgemm, false, on_device);
		products<double>(handle, cublasXtDgemm, false, on_device);
		products<cuComplex>(handle, cublasXtCgemm, true, on_device);
		products<cuDoubleComplex>(handle, cublasXtZgemm, true, on_device);
	}
	for (cublasFillMode_t fill : {CUBLAS_FILL_MODE_UPPER, CUBLAS_FILL_MODE_LOWER}) {
		symmetric(handle, CUBLAS_SIDE_LEFT, fill);
		symmetric(handle, CUBLAS_SIDE_RIGHT, fill);
		ranks(handle, fill, CUBLAS_OP_N);
		ranks(handle, fill, CUBLAS_OP_T);
		triangles(handle, fill);
	}
	hermitian(handle);
	printf("level 3: right\n");
	XT(cublasXtDestroy(handle));
	return ok();
}
