/*
 * cuBLAS levels 1 to 3 in all four precisions, against plain loops: vectors with strides, triangles
 * on both sides, transposes and adjoints, batches of products.
 */
#include "program.h"

#include <cmath>
#include <complex>
#include <cublas_v2.h>

#define BLAS(call)                                                                                 \
	do {                                                                                       \
		cublasStatus_t status_ = (call);                                                   \
		if (status_ != CUBLAS_STATUS_SUCCESS) {                                            \
			printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call,                       \
			       cublasGetStatusName(status_));                                      \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

using Z = std::complex<double>;

static cublasHandle_t handle;

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
	return {v.x, v.y};
}
static Z
wide(cuDoubleComplex v)
{
	return {v.x, v.y};
}
static void
narrow(Z v, float &out)
{
	out = (float)v.real();
}
static void
narrow(Z v, double &out)
{
	out = v.real();
}
static void
narrow(Z v, cuComplex &out)
{
	out = make_cuComplex((float)v.real(), (float)v.imag());
}
static void
narrow(Z v, cuDoubleComplex &out)
{
	out = make_cuDoubleComplex(v.real(), v.imag());
}

/* The functions of one precision under one name. */
template <typename T> struct Api;
#define COMMON(T_, R_, P, DOT, GER, MAX, MIN, NRM, ASUM)                                           \
	template <> struct Api<T_> {                                                               \
		using R = R_;                                                                      \
		static constexpr const char *name = #P;                                            \
		static constexpr auto axpy = cublas##P##axpy;                                      \
		static constexpr auto copy = cublas##P##copy;                                      \
		static constexpr auto swap = cublas##P##swap;                                      \
		static constexpr auto scal = cublas##P##scal;                                      \
		static constexpr auto dot = cublas##P##DOT;                                        \
		static constexpr auto nrm2 = cublas##NRM;                                          \
		static constexpr auto asum = cublas##ASUM;                                         \
		static constexpr auto iamax = cublas##MAX;                                         \
		static constexpr auto iamin = cublas##MIN;                                         \
		static constexpr auto gemv = cublas##P##gemv;                                      \
		static constexpr auto gbmv = cublas##P##gbmv;                                      \
		static constexpr auto ger = cublas##P##GER;                                        \
		static constexpr auto symv = cublas##P##symv;                                      \
		static constexpr auto trmv = cublas##P##trmv;                                      \
		static constexpr auto trsv = cublas##P##trsv;                                      \
		static constexpr auto syr = cublas##P##syr;                                        \
		static constexpr auto trsm = cublas##P##trsm;                                      \
		static constexpr auto trmm = cublas##P##trmm;                                      \
		static constexpr auto symm = cublas##P##symm;                                      \
		static constexpr auto syrk = cublas##P##syrk;                                      \
		static constexpr auto syr2k = cublas##P##syr2k;                                    \
		static constexpr auto geam = cublas##P##geam;                                      \
		static constexpr auto dgmm = cublas##P##dgmm;                                      \
		static constexpr auto gemm = cublas##P##gemm;                                      \
		static constexpr auto batched = cublas##P##gemmBatched;                            \
		static constexpr auto strided = cublas##P##gemmStridedBatched;                     \
		static constexpr auto trsm_batched = cublas##P##trsmBatched;                       \
		static constexpr auto getrf_batched = cublas##P##getrfBatched;                     \
	};
COMMON(float, float, S, dot, ger, Isamax, Isamin, Snrm2, Sasum)
COMMON(double, double, D, dot, ger, Idamax, Idamin, Dnrm2, Dasum)
COMMON(cuComplex, float, C, dotc, gerc, Icamax, Icamin, Scnrm2, Scasum)
COMMON(cuDoubleComplex, double, Z, dotc, gerc, Izamax, Izamin, Dznrm2, Dzasum)
#undef COMMON

template <typename T>
static constexpr bool is_complex = sizeof(T) == 2 * sizeof(typename Api<T>::R);

template <typename T>
static T
number(double re, double im = 0)
{
	T value;
	narrow(Z(re, im), value);
	return value;
}

/* Multiples of 1/8 between -1 and 1: sums of them are exact in any order, mostly. */
template <typename T>
static std::vector<T>
numbers(size_t count, uint64_t seed)
{
	Random random = {seed};
	std::vector<T> values(count);
	for (T &v : values) {
		double re = ((int)random.below(17) - 8) / 8.0;
		double im = ((int)random.below(17) - 8) / 8.0;
		v = number<T>(re, im);
	}
	return values;
}

template <typename T>
static void
expect(const char *what, Z got, Z want)
{
	double tolerance = sizeof(typename Api<T>::R) == 4 ? 2e-4 : 1e-10;
	if (!(std::abs(got - want) <= tolerance * (1 + std::abs(want)))) {
		printf("%s%s: got (%g, %g), expected (%g, %g)\n", Api<T>::name, what, got.real(),
		       got.imag(), want.real(), want.imag());
		exit(1);
	}
}

template <typename T>
static void
expect_all(const char *what, const T *device, const std::vector<Z> &want)
{
	std::vector<T> got = to_host(device, want.size());
	for (size_t i = 0; i < want.size(); i++)
		expect<T>(what, wide(got[i]), want[i]);
}

template <typename T>
static std::vector<Z>
wide_all(const std::vector<T> &values)
{
	std::vector<Z> out;
	for (const T &v : values)
		out.push_back(wide(v));
	return out;
}

/* A matrix of the reference: column-major, and what an operation makes of it. */
struct Matrix {
	const std::vector<Z> &data;
	int ld;
	cublasOperation_t op;

	Z operator()(int i, int j) const
	{
		Z v = op == CUBLAS_OP_N ? data[(size_t)j * ld + i] : data[(size_t)i * ld + j];
		return op == CUBLAS_OP_C ? std::conj(v) : v;
	}
};

static const cublasOperation_t ops[] = {CUBLAS_OP_N, CUBLAS_OP_T, CUBLAS_OP_C};

template <typename T>
static void
level1()
{
	using A = Api<T>;
	const int n = 1003, incx = 2, incy = 3;
	std::vector<T> x = numbers<T>((size_t)n * incx, 1), y = numbers<T>((size_t)n * incy, 2);
	std::vector<Z> zx = wide_all(x), zy = wide_all(y);
	T *dx = to_device(x), *dy = to_device(y), alpha = number<T>(1.5, -0.5);

	BLAS(A::axpy(handle, n, &alpha, dx, incx, dy, incy));
	for (int i = 0; i < n; i++)
		zy[i * incy] += wide(alpha) * zx[i * incx];
	expect_all("axpy", dy, zy);
	BLAS(A::scal(handle, n, &alpha, dx, incx));
	for (int i = 0; i < n; i++)
		zx[i * incx] *= wide(alpha);
	expect_all("scal", dx, zx);
	BLAS(A::swap(handle, n, dx, incx, dy, incy));
	for (int i = 0; i < n; i++)
		std::swap(zx[i * incx], zy[i * incy]);
	expect_all("swap", dx, zx);
	expect_all("swap", dy, zy);
	BLAS(A::copy(handle, n / 2, dx, incx, dy, incy));
	for (int i = 0; i < n / 2; i++)
		zy[i * incy] = zx[i * incx];
	expect_all("copy", dy, zy);

	T dot;
	Z sum = 0;
	double squares = 0, absolute = 0;
	typename A::R real;
	int most = 0, least = 0, index;
	auto magnitude = [](Z v) { return std::fabs(v.real()) + std::fabs(v.imag()); };
	for (int i = 0; i < n; i++) {
		Z v = zx[i * incx];
		sum += (is_complex<T> ? std::conj(v) : v) * zy[i * incy];
		squares += std::norm(v);
		absolute += magnitude(v);
		if (magnitude(v) > magnitude(zx[most * incx]))
			most = i;
		if (magnitude(v) < magnitude(zx[least * incx]))
			least = i;
	}
	BLAS(A::dot(handle, n, dx, incx, dy, incy, &dot));
	expect<T>("dot", wide(dot), sum);
	BLAS(A::nrm2(handle, n, dx, incx, &real));
	expect<T>("nrm2", real, std::sqrt(squares));
	BLAS(A::asum(handle, n, dx, incx, &real));
	expect<T>("asum", real, absolute);
	BLAS(A::iamax(handle, n, dx, incx, &index));
	expect<T>("amax", magnitude(zx[(index - 1) * incx]), magnitude(zx[most * incx]));
	BLAS(A::iamin(handle, n, dx, incx, &index));
	expect<T>("amin", magnitude(zx[(index - 1) * incx]), magnitude(zx[least * incx]));

	/* the result may stay on the device */
	T *device_dot;
	CUDA(cudaMalloc(&device_dot, sizeof(T)));
	BLAS(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE));
	BLAS(A::dot(handle, n, dx, incx, dy, incy, device_dot));
	BLAS(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST));
	expect_all("dot", device_dot, {sum});
	CUDA(cudaFree(device_dot));
	CUDA(cudaFree(dx));
	CUDA(cudaFree(dy));
}

template <typename T>
static void
level2()
{
	using A = Api<T>;
	const int m = 37, n = 50, ld = 41;
	std::vector<T> a = numbers<T>((size_t)ld * n, 3), x = numbers<T>(64, 4),
		       y = numbers<T>(64, 5);
	std::vector<Z> za = wide_all(a), zx = wide_all(x);
	T *da = to_device(a), *dx = to_device(x), *dy = to_device(y);
	T alpha = number<T>(0.5, 1), beta = number<T>(-1, 0.25);

	for (cublasOperation_t op : ops) {
		std::vector<Z> zy = wide_all(to_host(dy, 64));
		int rows = op == CUBLAS_OP_N ? m : n, columns = op == CUBLAS_OP_N ? n : m;
		Matrix matrix = {za, ld, op};
		BLAS(A::gemv(handle, op, m, n, &alpha, da, ld, dx, 1, &beta, dy, 1));
		for (int i = 0; i < rows; i++) {
			Z sum = 0;
			for (int j = 0; j < columns; j++)
				sum += matrix(i, j) * zx[j];
			zy[i] = wide(alpha) * sum + wide(beta) * zy[i];
		}
		expect_all("gemv", dy, zy);
		CUDA(cudaMemcpy(dy, y.data(), 64 * sizeof(T), cudaMemcpyHostToDevice));
	}
	{
		const int kl = 2, ku = 3;
		std::vector<Z> zy = wide_all(y);
		BLAS(A::gbmv(handle, CUBLAS_OP_N, m, n, kl, ku, &alpha, da, ld, dx, 1, &beta, dy,
			     1));
		for (int i = 0; i < m; i++) {
			Z sum = 0;
			for (int j = 0; j < n; j++)
				if (j - i <= ku && i - j <= kl)
					sum += za[(size_t)j * ld + ku + i - j] * zx[j];
			zy[i] = wide(alpha) * sum + wide(beta) * zy[i];
		}
		expect_all("gbmv", dy, zy);
		CUDA(cudaMemcpy(dy, y.data(), 64 * sizeof(T), cudaMemcpyHostToDevice));
	}
	{
		BLAS(A::ger(handle, m, n, &alpha, dx, 1, dy, 1, da, ld));
		std::vector<Z> zy = wide_all(y);
		for (int j = 0; j < n; j++)
			for (int i = 0; i < m; i++)
				za[(size_t)j * ld + i] +=
					wide(alpha) * zx[i] *
					(is_complex<T> ? std::conj(zy[j]) : zy[j]);
		expect_all("ger", da, za);
	}
	for (cublasFillMode_t fill : {CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER}) {
		const int s = 41;
		bool lower = fill == CUBLAS_FILL_MODE_LOWER;
		auto symmetric = [&](int i, int j) {
			bool stored = lower ? i >= j : i <= j;
			return stored ? za[(size_t)j * ld + i] : za[(size_t)i * ld + j];
		};
		std::vector<Z> zy = wide_all(y);
		BLAS(A::symv(handle, fill, s, &alpha, da, ld, dx, 1, &beta, dy, 1));
		for (int i = 0; i < s; i++) {
			Z sum = 0;
			for (int j = 0; j < s; j++)
				sum += symmetric(i, j) * zx[j];
			zy[i] = wide(alpha) * sum + wide(beta) * zy[i];
		}
		expect_all("symv", dy, zy);
		CUDA(cudaMemcpy(dy, y.data(), 64 * sizeof(T), cudaMemcpyHostToDevice));
		BLAS(A::syr(handle, fill, s, &alpha, dx, 1, da, ld));
		for (int j = 0; j < s; j++)
			for (int i = 0; i < s; i++)
				if (lower ? i >= j : i <= j)
					za[(size_t)j * ld + i] += wide(alpha) * zx[i] * zx[j];
		expect_all("syr", da, za);
		/* A well-conditioned triangle: its diagonal outweighs the rest. */
		std::vector<T> t = numbers<T>((size_t)ld * s, 6);
		for (int i = 0; i < s; i++)
			t[(size_t)i * ld + i] = number<T>(40 + i, 3);
		std::vector<Z> zt = wide_all(t);
		T *dt = to_device(t);
		for (cublasOperation_t op : ops) {
			for (cublasDiagType_t diag : {CUBLAS_DIAG_NON_UNIT, CUBLAS_DIAG_UNIT}) {
				if (diag == CUBLAS_DIAG_UNIT && op != CUBLAS_OP_N)
					continue; /* grows without bound */
				Matrix matrix = {zt, ld, op};
				bool low = lower == (op == CUBLAS_OP_N);
				std::vector<Z> product(zx.begin(), zx.begin() + s);
				T *dv = to_device(x);
				BLAS(A::trmv(handle, fill, op, diag, s, dt, ld, dv, 1));
				for (int i = 0; i < s; i++) {
					Z sum = 0;
					for (int j = 0; j < s; j++)
						if (i == j && diag == CUBLAS_DIAG_UNIT)
							sum += zx[j];
						else if (low ? j <= i : j >= i)
							sum += matrix(i, j) * zx[j];
					product[i] = sum;
				}
				expect_all("trmv", dv, product);
				if (diag == CUBLAS_DIAG_NON_UNIT) {
					BLAS(A::trsv(handle, fill, op, diag, s, dt, ld, dv, 1));
					expect_all("trsv", dv,
						   std::vector<Z>(zx.begin(), zx.begin() + s));
				}
				CUDA(cudaFree(dv));
			}
		}
		CUDA(cudaFree(dt));
	}
	CUDA(cudaFree(da));
	CUDA(cudaFree(dx));
	CUDA(cudaFree(dy));
}

template <typename T>
static void
level3()
{
	using A = Api<T>;
	const int m = 45, n = 38, k = 29, ld = 48;
	std::vector<T> a = numbers<T>((size_t)ld * 48, 7), b = numbers<T>((size_t)ld * 48, 8),
		       c = numbers<T>((size_t)ld * 48, 9);
	std::vector<Z> za = wide_all(a), zb = wide_all(b), zc = wide_all(c);
	T *da = to_device(a), *db = to_device(b), *dc = to_device(c);
	T alpha = number<T>(0.5, 0.5), beta = number<T>(2, -1);
	auto restore = [&]() {
		CUDA(cudaMemcpy(dc, c.data(), c.size() * sizeof(T), cudaMemcpyHostToDevice));
		zc = wide_all(c);
	};

	for (cublasOperation_t op_a : ops) {
		for (cublasOperation_t op_b : ops) {
			Matrix ma = {za, ld, op_a}, mb = {zb, ld, op_b};
			BLAS(A::gemm(handle, op_a, op_b, m, n, k, &alpha, da, ld, db, ld, &beta, dc,
				     ld));
			for (int j = 0; j < n; j++) {
				for (int i = 0; i < m; i++) {
					Z sum = 0;
					for (int l = 0; l < k; l++)
						sum += ma(i, l) * mb(l, j);
					Z &out = zc[(size_t)j * ld + i];
					out = wide(alpha) * sum + wide(beta) * out;
				}
			}
			expect_all("gemm", dc, zc);
			restore();
		}
	}
	for (cublasFillMode_t fill : {CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER}) {
		bool lower = fill == CUBLAS_FILL_MODE_LOWER;
		for (cublasOperation_t op : {CUBLAS_OP_N, CUBLAS_OP_T}) {
			Matrix ma = {za, ld, op}, mb = {zb, ld, op};
			BLAS(A::syrk(handle, fill, op, n, k, &alpha, da, ld, &beta, dc, ld));
			std::vector<Z> before = zc;
			for (int j = 0; j < n; j++) {
				for (int i = 0; i < n; i++) {
					if (lower ? i < j : i > j)
						continue;
					Z sum = 0;
					for (int l = 0; l < k; l++)
						sum += ma(i, l) * ma(j, l);
					Z &out = zc[(size_t)j * ld + i];
					out = wide(alpha) * sum + wide(beta) * out;
				}
			}
			expect_all("syrk", dc, zc);
			restore();
			BLAS(A::syr2k(handle, fill, op, n, k, &alpha, da, ld, db, ld, &beta, dc,
				      ld));
			for (int j = 0; j < n; j++) {
				for (int i = 0; i < n; i++) {
					if (lower ? i < j : i > j)
						continue;
					Z sum = 0;
					for (int l = 0; l < k; l++)
						sum += ma(i, l) * mb(j, l) + mb(i, l) * ma(j, l);
					Z &out = zc[(size_t)j * ld + i];
					out = wide(alpha) * sum + wide(beta) * out;
				}
			}
			expect_all("syr2k", dc, zc);
			restore();
		}
		for (cublasSideMode_t side : {CUBLAS_SIDE_LEFT, CUBLAS_SIDE_RIGHT}) {
			bool left = side == CUBLAS_SIDE_LEFT;
			int s = left ? m : n;
			auto symmetric = [&](int i, int j) {
				bool stored = lower ? i >= j : i <= j;
				return stored ? za[(size_t)j * ld + i] : za[(size_t)i * ld + j];
			};
			BLAS(A::symm(handle, side, fill, m, n, &alpha, da, ld, db, ld, &beta, dc,
				     ld));
			for (int j = 0; j < n; j++) {
				for (int i = 0; i < m; i++) {
					Z sum = 0;
					for (int l = 0; l < s; l++)
						sum += left ? symmetric(i, l) *
								       zb[(size_t)j * ld + l]
							    : zb[(size_t)l * ld + i] *
								       symmetric(l, j);
					Z &out = zc[(size_t)j * ld + i];
					out = wide(alpha) * sum + wide(beta) * out;
				}
			}
			expect_all("symm", dc, zc);
			restore();
			std::vector<T> t = numbers<T>((size_t)ld * 48, 10);
			for (int i = 0; i < 48; i++)
				t[(size_t)i * ld + i] = number<T>(45 + i, -2);
			std::vector<Z> zt = wide_all(t);
			T *dt = to_device(t);
			for (cublasOperation_t op : ops) {
				bool low = lower == (op == CUBLAS_OP_N);
				Matrix mt = {zt, ld, op};
				T one = number<T>(1);
				BLAS(A::trmm(handle, side, fill, op, CUBLAS_DIAG_NON_UNIT, m, n,
					     &one, dt, ld, db, ld, dc, ld));
				for (int j = 0; j < n; j++) {
					for (int i = 0; i < m; i++) {
						Z sum = 0;
						for (int l = 0; l < s; l++) {
							int row = left ? i : l, col = left ? l : j;
							if (low ? col > row : col < row)
								continue;
							sum += left ? mt(i,
									 l) * zb[(size_t)j * ld + l]
								    : zb[(size_t)l * ld + i] *
									       mt(l, j);
						}
						zc[(size_t)j * ld + i] = sum;
					}
				}
				expect_all("trmm", dc, zc);
				/* and back */
				BLAS(A::trsm(handle, side, fill, op, CUBLAS_DIAG_NON_UNIT, m, n,
					     &one, dt, ld, dc, ld));
				for (int j = 0; j < n; j++)
					for (int i = 0; i < m; i++)
						zc[(size_t)j * ld + i] = zb[(size_t)j * ld + i];
				expect_all("trsm", dc, zc);
				restore();
			}
			CUDA(cudaFree(dt));
		}
	}
	BLAS(A::geam(handle, CUBLAS_OP_T, CUBLAS_OP_N, m, n, &alpha, da, ld, &beta, db, ld, dc,
		     ld));
	for (int j = 0; j < n; j++)
		for (int i = 0; i < m; i++)
			zc[(size_t)j * ld + i] = wide(alpha) * za[(size_t)i * ld + j] +
						 wide(beta) * zb[(size_t)j * ld + i];
	expect_all("geam", dc, zc);
	restore();
	BLAS(A::dgmm(handle, CUBLAS_SIDE_LEFT, m, n, da, ld, db, 1, dc, ld));
	for (int j = 0; j < n; j++)
		for (int i = 0; i < m; i++)
			zc[(size_t)j * ld + i] = zb[i] * za[(size_t)j * ld + i];
	expect_all("dgmm", dc, zc);
	CUDA(cudaFree(da));
	CUDA(cudaFree(db));
	CUDA(cudaFree(dc));
}

template <typename T>
static void
batches()
{
	using A = Api<T>;
	const int n = 12, count = 7, size = n * n;
	std::vector<T> a = numbers<T>(size * count, 11), b = numbers<T>(size * count, 12);
	for (int i = 0; i < count; i++)
		for (int j = 0; j < n; j++)
			a[i * size + j * n + j] = number<T>(12 + j);
	std::vector<Z> za = wide_all(a), zb = wide_all(b), zc(size * count);
	T *da = to_device(a), *db = to_device(b), *dc = to_device(b);
	T one = number<T>(1), zero = number<T>(0);
	for (int p = 0; p < count; p++)
		for (int j = 0; j < n; j++)
			for (int i = 0; i < n; i++)
				for (int l = 0; l < n; l++)
					zc[p * size + j * n + i] +=
						za[p * size + l * n + i] * zb[p * size + j * n + l];
	std::vector<T *> pa, pb, pc;
	for (int p = 0; p < count; p++) {
		pa.push_back(da + p * size);
		pb.push_back(db + p * size);
		pc.push_back(dc + p * size);
	}
	T **dpa = to_device(pa), **dpb = to_device(pb), **dpc = to_device(pc);
	BLAS(A::strided(handle, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, da, n, size, db, n, size,
			&zero, dc, n, size, count));
	expect_all("gemmStridedBatched", dc, zc);
	CUDA(cudaMemset(dc, 0, size * count * sizeof(T)));
	BLAS(A::batched(handle, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, dpa, n, dpb, n, &zero, dpc,
			n, count));
	expect_all("gemmBatched", dc, zc);
	/* L L⁻¹ B = B */
	BLAS(A::trsm_batched(handle, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N,
			     CUBLAS_DIAG_NON_UNIT, n, n, &one, dpa, n, dpb, n, count));
	std::vector<Z> solved = wide_all(to_host(db, size * count));
	for (int p = 0; p < count; p++) {
		for (int j = 0; j < n; j++) {
			for (int i = 0; i < n; i++) {
				Z sum = 0;
				for (int l = 0; l <= i; l++)
					sum += za[p * size + l * n + i] *
					       solved[p * size + j * n + l];
				expect<T>("trsmBatched", sum, zb[p * size + j * n + i]);
			}
		}
	}
	/* P A = L U */
	int *pivots, *info;
	CUDA(cudaMalloc(&pivots, n * count * sizeof(int)));
	CUDA(cudaMalloc(&info, count * sizeof(int)));
	BLAS(A::getrf_batched(handle, n, dpa, n, pivots, info, count));
	std::vector<Z> lu = wide_all(to_host(da, size * count));
	std::vector<int> hp = to_host(pivots, n * count), hi = to_host(info, count);
	for (int p = 0; p < count; p++) {
		EXPECT(hi[p] == 0);
		std::vector<Z> pa_rows(za.begin() + p * size, za.begin() + (p + 1) * size);
		for (int i = 0; i < n; i++)
			for (int j = 0; j < n; j++)
				std::swap(pa_rows[j * n + i], pa_rows[j * n + hp[p * n + i] - 1]);
		for (int j = 0; j < n; j++) {
			for (int i = 0; i < n; i++) {
				Z sum = 0;
				for (int l = 0; l <= std::min(i, j); l++)
					sum += (l == i ? Z(1) : lu[p * size + l * n + i]) *
					       lu[p * size + j * n + l];
				expect<T>("getrfBatched", sum, pa_rows[j * n + i]);
			}
		}
	}
	for (void *p : {(void *)da, (void *)db, (void *)dc, (void *)dpa, (void *)dpb, (void *)dpc,
			(void *)pivots, (void *)info})
		CUDA(cudaFree(p));
}

/* gemv with increments that go backwards, and in batches. */
template <typename T, typename Gemv, typename Batched, typename Strided>
static void
vectors(Gemv gemv, Batched batched, Strided strided)
{
	const int m = 9, n = 6, count = 4, incx = -2, incy = 3;
	std::vector<T> a = numbers<T>(m * n * count, 30), x = numbers<T>(2 * n * count, 31),
		       y = numbers<T>(3 * m * count, 32);
	std::vector<Z> za = wide_all(a), zx = wide_all(x), zy = wide_all(y);
	T *da = to_device(a), *dx = to_device(x), *dy = to_device(y);
	T alpha = number<T>(0.5, 1), beta = number<T>(-1, 0.25);
	auto reference = [&](int p) {
		for (int i = 0; i < m; i++) {
			Z sum = 0;
			for (int j = 0; j < n; j++)
				sum += za[p * m * n + j * m + i] * zx[p * 2 * n + (n - 1 - j) * 2];
			Z &out = zy[p * 3 * m + i * 3];
			out = wide(alpha) * sum + wide(beta) * out;
		}
	};
	BLAS(gemv(handle, CUBLAS_OP_N, m, n, &alpha, da, m, dx, incx, &beta, dy, incy));
	reference(0);
	expect_all("gemv, backwards", dy, zy);
	BLAS(strided(handle, CUBLAS_OP_N, m, n, &alpha, da, m, m * n, dx, incx, 2 * n, &beta, dy,
		     incy, 3 * m, count));
	for (int p = 0; p < count; p++)
		reference(p);
	expect_all("gemvStridedBatched", dy, zy);
	std::vector<const T *> pa, px;
	std::vector<T *> py;
	for (int p = 0; p < count; p++) {
		pa.push_back(da + p * m * n);
		px.push_back(dx + p * 2 * n);
		py.push_back(dy + p * 3 * m);
	}
	const T **dpa = to_device(pa), **dpx = to_device(px);
	T **dpy = to_device(py);
	BLAS(batched(handle, CUBLAS_OP_N, m, n, &alpha, dpa, m, dpx, incx, &beta, dpy, incy,
		     count));
	for (int p = 0; p < count; p++)
		reference(p);
	expect_all("gemvBatched", dy, zy);
	for (void *p : {(void *)da, (void *)dx, (void *)dy, (void *)dpa, (void *)dpx, (void *)dpy})
		CUDA(cudaFree(p));
}

/* Hermitian matrices; the factors lie on the device. */
template <typename T, typename Hemm, typename Herk, typename Her2k>
static void
hermitian(Hemm hemm, Herk herk, Her2k her2k)
{
	using R = typename Api<T>::R;
	const int n = 21, k = 14, ld = 24;
	std::vector<T> a = numbers<T>(ld * ld, 40), b = numbers<T>(ld * ld, 41),
		       c = numbers<T>(ld * ld, 42);
	std::vector<Z> za = wide_all(a), zb = wide_all(b), zc = wide_all(c);
	T *da = to_device(a), *db = to_device(b), *dc = to_device(c);
	std::vector<T> factors = {number<T>(0.5, -1), number<T>(2, 1)};
	std::vector<R> reals = {(R)1.5, (R)-0.5};
	T *df = to_device(factors);
	R *dr = to_device(reals);
	auto restore = [&]() {
		CUDA(cudaMemcpy(dc, c.data(), c.size() * sizeof(T), cudaMemcpyHostToDevice));
		zc = wide_all(c);
	};
	BLAS(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE));
	for (cublasFillMode_t fill : {CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER}) {
		bool lower = fill == CUBLAS_FILL_MODE_LOWER;
		auto full = [&](int i, int j) {
			if (i == j)
				return Z(za[j * ld + i].real());
			return (lower ? i > j : i < j) ? za[j * ld + i] : std::conj(za[i * ld + j]);
		};
		BLAS(hemm(handle, CUBLAS_SIDE_LEFT, fill, n, k, df, da, ld, db, ld, df + 1, dc,
			  ld));
		for (int j = 0; j < k; j++) {
			for (int i = 0; i < n; i++) {
				Z sum = 0;
				for (int l = 0; l < n; l++)
					sum += full(i, l) * zb[j * ld + l];
				Z &out = zc[j * ld + i];
				out = wide(factors[0]) * sum + wide(factors[1]) * out;
			}
		}
		expect_all("hemm", dc, zc);
		restore();
		for (cublasOperation_t op : {CUBLAS_OP_N, CUBLAS_OP_C}) {
			Matrix ma = {za, ld, op}, mb = {zb, ld, op};
			auto update = [&](bool two) {
				for (int j = 0; j < n; j++) {
					for (int i = 0; i < n; i++) {
						if (lower ? i < j : i > j)
							continue;
						Z one = 0, other = 0;
						for (int l = 0; l < k; l++) {
							const Matrix &right = two ? mb : ma;
							one += ma(i, l) * std::conj(right(j, l));
							other += mb(i, l) * std::conj(ma(j, l));
						}
						Z &out = zc[j * ld + i];
						Z f = wide(factors[0]);
						out = (two ? f * one + std::conj(f) * other
							   : (double)reals[0] * one) +
						      (double)reals[1] * out;
						if (i == j)
							out = out.real();
					}
				}
			};
			BLAS(herk(handle, fill, op, n, k, dr, da, ld, dr + 1, dc, ld));
			update(false);
			expect_all("herk", dc, zc);
			restore();
			BLAS(her2k(handle, fill, op, n, k, df, da, ld, db, ld, dr + 1, dc, ld));
			update(true);
			expect_all("her2k", dc, zc);
			restore();
		}
	}
	BLAS(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST));
	for (void *p : {(void *)da, (void *)db, (void *)dc, (void *)df, (void *)dr})
		CUDA(cudaFree(p));
}

/* Turns a plane, so that the second element of a pair becomes 0. */
template <typename T, typename Rot, typename Rotg>
static void
rotations(Rot rot, Rotg rotg)
{
	const int n = 100;
	T a = 3, b = 4, c, s;
	BLAS(rotg(handle, &a, &b, &c, &s));
	expect<T>("rotg", a, 5);
	expect<T>("rotg", c, 0.6);
	std::vector<T> x = numbers<T>(n, 20), y = numbers<T>(n, 21);
	T *dx = to_device(x), *dy = to_device(y);
	BLAS(rot(handle, n, dx, 1, dy, 1, &c, &s));
	std::vector<T> gx = to_host(dx, n), gy = to_host(dy, n);
	for (int i = 0; i < n; i++) {
		expect<T>("rot", gx[i], c * x[i] + s * y[i]);
		expect<T>("rot", gy[i], c * y[i] - s * x[i]);
	}
	CUDA(cudaFree(dx));
	CUDA(cudaFree(dy));
}

template <typename T>
static void
precision()
{
	level1<T>();
	printf("%s: level 1\n", Api<T>::name);
	level2<T>();
	printf("%s: level 2\n", Api<T>::name);
	level3<T>();
	printf("%s: level 3\n", Api<T>::name);
	batches<T>();
	printf("%s: batches\n", Api<T>::name);
}

int
main()
{
	BLAS(cublasCreate(&handle));
	precision<float>();
	precision<double>();
	precision<cuComplex>();
	precision<cuDoubleComplex>();
	vectors<float>(cublasSgemv, cublasSgemvBatched, cublasSgemvStridedBatched);
	vectors<double>(cublasDgemv, cublasDgemvBatched, cublasDgemvStridedBatched);
	vectors<cuComplex>(cublasCgemv, cublasCgemvBatched, cublasCgemvStridedBatched);
	vectors<cuDoubleComplex>(cublasZgemv, cublasZgemvBatched, cublasZgemvStridedBatched);
	printf("batches of vectors\n");
	hermitian<cuComplex>(cublasChemm, cublasCherk, cublasCher2k);
	hermitian<cuDoubleComplex>(cublasZhemm, cublasZherk, cublasZher2k);
	printf("Hermitian\n");
	rotations<float>(cublasSrot, cublasSrotg);
	rotations<double>(cublasDrot, cublasDrotg);
	BLAS(cublasDestroy(handle));
	return ok();
}
