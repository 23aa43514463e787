/*
 * cuSOLVER: factorisations, multiplied back; eigenvalues and singular values, put into the
 * equations that define them.
 */
#include "program.h"

#include <cmath>
#include <cusolverDn.h>

#define SOLVE(call)                                                                                \
	do {                                                                                       \
		cusolverStatus_t status_ = (call);                                                 \
		if (status_ != CUSOLVER_STATUS_SUCCESS) {                                          \
			printf("%s:%d: %s: %d\n", __FILE__, __LINE__, #call, (int)status_);        \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static cusolverDnHandle_t handle;
static const int n = 70;

using Matrix = std::vector<double>; /* n by n, column-major */

template <typename T> struct Api;
#define API(T, P, ORG, ORM, SYEVD)                                                                 \
	template <> struct Api<T> {                                                                \
		static constexpr auto potrf_size = cusolverDn##P##potrf_bufferSize;                \
		static constexpr auto potrf = cusolverDn##P##potrf;                                \
		static constexpr auto potrs = cusolverDn##P##potrs;                                \
		static constexpr auto getrf_size = cusolverDn##P##getrf_bufferSize;                \
		static constexpr auto getrf = cusolverDn##P##getrf;                                \
		static constexpr auto getrs = cusolverDn##P##getrs;                                \
		static constexpr auto geqrf_size = cusolverDn##P##geqrf_bufferSize;                \
		static constexpr auto geqrf = cusolverDn##P##geqrf;                                \
		static constexpr auto orgqr_size = cusolverDn##P##ORG##_bufferSize;                \
		static constexpr auto orgqr = cusolverDn##P##ORG;                                  \
		static constexpr auto syevd_size = cusolverDn##P##SYEVD##_bufferSize;              \
		static constexpr auto syevd = cusolverDn##P##SYEVD;                                \
		static constexpr auto gesvd_size = cusolverDn##P##gesvd_bufferSize;                \
		static constexpr auto gesvd = cusolverDn##P##gesvd;                                \
		static constexpr auto gesvdj_size = cusolverDn##P##gesvdj_bufferSize;              \
		static constexpr auto gesvdj = cusolverDn##P##gesvdj;                              \
		static constexpr const char *name = #P;                                            \
	};
API(float, S, orgqr, ormqr, syevd)
API(double, D, orgqr, ormqr, syevd)
#undef API

template <typename T>
static T *
upload(const Matrix &m)
{
	return to_device(std::vector<T>(m.begin(), m.end()));
}

template <typename T>
static Matrix
download(const T *device, size_t count = n * n)
{
	std::vector<T> values = to_host(device, count);
	return Matrix(values.begin(), values.end());
}

static Matrix
product(const Matrix &a, const Matrix &b, bool transpose_b = false)
{
	Matrix c(n * n);
	for (int j = 0; j < n; j++)
		for (int l = 0; l < n; l++)
			for (int i = 0; i < n; i++)
				c[j * n + i] +=
					a[l * n + i] * (transpose_b ? b[l * n + j] : b[j * n + l]);
	return c;
}

template <typename T>
static void
expect_equal(const char *what, const Matrix &got, const Matrix &want)
{
	double error = 0, norm = 0, limit = sizeof(T) == 4 ? 1e-4 : 1e-11;
	for (size_t i = 0; i < want.size(); i++) {
		error += (got[i] - want[i]) * (got[i] - want[i]);
		norm += want[i] * want[i];
	}
	if (!(std::sqrt(error) <= limit * std::sqrt(norm))) {
		printf("%s%s: relative error %g\n", Api<T>::name, what, std::sqrt(error / norm));
		exit(1);
	}
	printf("%s%s\n", Api<T>::name, what);
}

template <typename T>
static T *
workspace(int count)
{
	T *memory;
	CUDA(cudaMalloc(&memory, (size_t)(count + 1) * sizeof(T)));
	return memory;
}

static Matrix
triangle(const Matrix &a, bool lower, bool unit)
{
	Matrix t(n * n);
	for (int j = 0; j < n; j++)
		for (int i = 0; i < n; i++)
			if (i == j && unit)
				t[j * n + i] = 1;
			else if (lower ? i >= j : i <= j)
				t[j * n + i] = a[j * n + i];
	return t;
}

template <typename T>
static void
test()
{
	using A = Api<T>;
	Matrix a(n * n), s(n * n), b(n * n);
	Random random = {3};
	for (double &v : a)
		v = (float)(random.below(2001) / 1000.0 - 1);
	for (double &v : b)
		v = (float)(random.below(2001) / 1000.0 - 1);
	s = product(a, a, true);
	for (int i = 0; i < n; i++) {
		s[i * n + i] += n;
		a[i * n + i] += 8;
	}
	for (double &v : s)
		v = (float)v;
	int size, *info, *pivots;
	CUDA(cudaMalloc(&info, sizeof(int)));
	CUDA(cudaMalloc(&pivots, n * sizeof(int)));
	auto expect_info = [&]() { EXPECT(to_host(info, 1)[0] == 0); };

	T *x = upload<T>(s), *y = upload<T>(b), *w;
	SOLVE(A::potrf_size(handle, CUBLAS_FILL_MODE_LOWER, n, x, n, &size));
	w = workspace<T>(size);
	SOLVE(A::potrf(handle, CUBLAS_FILL_MODE_LOWER, n, x, n, w, size, info));
	expect_info();
	Matrix l = triangle(download(x), true, false);
	expect_equal<T>("potrf", product(l, l, true), s);
	SOLVE(A::potrs(handle, CUBLAS_FILL_MODE_LOWER, n, n, x, n, y, n, info));
	expect_info();
	expect_equal<T>("potrs", product(s, download(y)), b);
	for (T *p : {x, y, w})
		CUDA(cudaFree(p));

	x = upload<T>(a), y = upload<T>(b);
	SOLVE(A::getrf_size(handle, n, n, x, n, &size));
	w = workspace<T>(size);
	SOLVE(A::getrf(handle, n, n, x, n, w, pivots, info));
	expect_info();
	Matrix lu = download(x), rows = a;
	std::vector<int> swaps = to_host(pivots, n);
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			std::swap(rows[j * n + i], rows[j * n + swaps[i] - 1]);
	expect_equal<T>("getrf", product(triangle(lu, true, true), triangle(lu, false, false)),
			rows);
	SOLVE(A::getrs(handle, CUBLAS_OP_N, n, n, x, n, pivots, y, n, info));
	expect_equal<T>("getrs", product(a, download(y)), b);
	for (T *p : {x, y, w})
		CUDA(cudaFree(p));

	T *tau = workspace<T>(n);
	x = upload<T>(a);
	SOLVE(A::geqrf_size(handle, n, n, x, n, &size));
	w = workspace<T>(size);
	SOLVE(A::geqrf(handle, n, n, x, n, tau, w, size, info));
	expect_info();
	Matrix r = triangle(download(x), false, false);
	CUDA(cudaFree(w));
	SOLVE(A::orgqr_size(handle, n, n, n, x, n, tau, &size));
	w = workspace<T>(size);
	SOLVE(A::orgqr(handle, n, n, n, x, n, tau, w, size, info));
	expect_info();
	expect_equal<T>("geqrf", product(download(x), r), a);
	for (T *p : {x, w, tau})
		CUDA(cudaFree(p));

	T *values = workspace<T>(n);
	x = upload<T>(s);
	SOLVE(A::syevd_size(handle, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_UPPER, n, x, n,
			    values, &size));
	w = workspace<T>(size);
	SOLVE(A::syevd(handle, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_UPPER, n, x, n, values, w,
		       size, info));
	expect_info();
	Matrix v = download(x), d = download(values, n), scaled = v;
	for (int j = 0; j < n; j++)
		for (int i = 0; i < n; i++)
			scaled[j * n + i] *= d[j];
	expect_equal<T>("syevd", product(s, v), scaled);
	CUDA(cudaFree(x));
	CUDA(cudaFree(w));

	T *u = workspace<T>(n * n), *vt = workspace<T>(n * n);
	x = upload<T>(a);
	SOLVE(A::gesvd_size(handle, n, n, &size));
	w = workspace<T>(size);
	SOLVE(A::gesvd(handle, 'A', 'A', n, n, x, n, values, u, n, vt, n, w, size, nullptr, info));
	expect_info();
	scaled = download(u);
	d = download(values, n);
	for (int j = 0; j < n; j++)
		for (int i = 0; i < n; i++)
			scaled[j * n + i] *= d[j];
	expect_equal<T>("gesvd", product(scaled, download(vt)), a);
	CUDA(cudaFree(x));
	CUDA(cudaFree(w));

	gesvdjInfo_t jacobi;
	SOLVE(cusolverDnCreateGesvdjInfo(&jacobi));
	x = upload<T>(a);
	SOLVE(A::gesvdj_size(handle, CUSOLVER_EIG_MODE_VECTOR, 0, n, n, x, n, values, u, n, vt, n,
			     &size, jacobi));
	w = workspace<T>(size);
	SOLVE(A::gesvdj(handle, CUSOLVER_EIG_MODE_VECTOR, 0, n, n, x, n, values, u, n, vt, n, w,
			size, info, jacobi));
	expect_info();
	scaled = download(u);
	d = download(values, n);
	for (int j = 0; j < n; j++)
		for (int i = 0; i < n; i++)
			scaled[j * n + i] *= d[j];
	expect_equal<T>("gesvdj", product(scaled, download(vt), true), a);
	SOLVE(cusolverDnDestroyGesvdjInfo(jacobi));
	for (T *p : {x, w, values, u, vt})
		CUDA(cudaFree(p));
	CUDA(cudaFree(info));
	CUDA(cudaFree(pivots));
}

int
main()
{
	SOLVE(cusolverDnCreate(&handle));
	test<float>();
	test<double>();
	SOLVE(cusolverDnDestroy(handle));
	return ok();
}
