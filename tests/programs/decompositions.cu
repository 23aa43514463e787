/*
 * Linear algebra by hand in double precision: Cholesky and LU with pivots in one block, Jacobi's
 * rotations for eigenvalues, Gram and Schmidt, and least squares.
 */
#include "program.h"

#include <cmath>

constexpr int N = 24;

__global__ void
cholesky(double *a)
{
	int t = threadIdx.x;
	for (int k = 0; k < N; k++) {
		if (t == 0)
			a[k * N + k] = sqrt(a[k * N + k]);
		__syncthreads();
		if (t > k && t < N)
			a[t * N + k] /= a[k * N + k];
		__syncthreads();
		if (t > k && t < N)
			for (int j = k + 1; j <= t; j++)
				a[t * N + j] -= a[t * N + k] * a[j * N + k];
		__syncthreads();
	}
}

__global__ void
lu(double *a, int *pivots)
{
	__shared__ int best;
	int t = threadIdx.x;
	for (int k = 0; k < N; k++) {
		if (t == 0) {
			best = k;
			for (int i = k + 1; i < N; i++)
				if (fabs(a[i * N + k]) > fabs(a[best * N + k]))
					best = i;
			pivots[k] = best;
		}
		__syncthreads();
		if (t < N && best != k) {
			double swap = a[k * N + t];
			a[k * N + t] = a[best * N + t];
			a[best * N + t] = swap;
		}
		__syncthreads();
		if (t > k && t < N) {
			double factor = a[t * N + k] / a[k * N + k];
			a[t * N + k] = factor;
			for (int j = k + 1; j < N; j++)
				a[t * N + j] -= factor * a[k * N + j];
		}
		__syncthreads();
	}
}

/* Rotations until what lies off the diagonal is nothing. */
__global__ void
jacobi(double *a)
{
	__shared__ double c, s;
	int t = threadIdx.x;
	for (int sweep = 0; sweep < 12; sweep++)
		for (int p = 0; p < N; p++)
			for (int q = p + 1; q < N; q++) {
				if (t == 0) {
					double off = a[p * N + q];
					double theta = (a[q * N + q] - a[p * N + p]) / (2 * off);
					double tangent =
						fabs(off) < 1e-300
							? 0
							: copysign(1.0, theta) /
								  (fabs(theta) +
								   sqrt(theta * theta + 1));
					c = 1 / sqrt(tangent * tangent + 1);
					s = tangent * c;
				}
				__syncthreads();
				double x = 0, y = 0;
				if (t < N) {
					x = a[p * N + t];
					y = a[q * N + t];
					a[p * N + t] = c * x - s * y;
					a[q * N + t] = s * x + c * y;
				}
				__syncthreads();
				if (t < N) {
					x = a[t * N + p];
					y = a[t * N + q];
					a[t * N + p] = c * x - s * y;
					a[t * N + q] = s * x + c * y;
				}
				__syncthreads();
			}
}

int
main()
{
	std::vector<double> b(N * N), a(N * N);
	Random random = {55};
	double trace = 0, squares = 0;
	for (double &value : b)
		value = random.below(2001) / 1000.0 - 1;
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			for (int k = 0; k < N; k++)
				a[i * N + j] += b[i * N + k] * b[j * N + k];
			a[i * N + j] += i == j ? 1 : 0;
		}
	for (int i = 0; i < N; i++)
		trace += a[i * N + i];
	for (double value : a)
		squares += value * value;

	double *d = to_device(a), worst = 0;
	cholesky<<<1, 32>>>(d);
	LAUNCHED();
	std::vector<double> l = to_host(d, N * N);
	for (int i = 0; i < N; i++)
		for (int j = 0; j <= i; j++) {
			double sum = 0;
			for (int k = 0; k <= j; k++)
				sum += l[i * N + k] * l[j * N + k];
			worst = fmax(worst, fabs(sum - a[i * N + j]));
		}
	EXPECT(worst < 1e-12);
	printf("cholesky: right\n");

	double *e = to_device(b);
	int *pivots;
	CUDA(cudaMallocManaged(&pivots, N * sizeof(int)));
	lu<<<1, 32>>>(e, pivots);
	LAUNCHED();
	std::vector<double> f = to_host(e, N * N), rows = b;
	for (int k = 0; k < N; k++)
		for (int j = 0; j < N && pivots[k] != k; j++)
			std::swap(rows[k * N + j], rows[pivots[k] * N + j]);
	worst = 0;
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			double sum = 0;
			for (int k = 0; k <= i && k <= j; k++)
				sum += (k == i ? 1 : f[i * N + k]) * f[k * N + j];
			worst = fmax(worst, fabs(sum - rows[i * N + j]));
		}
	EXPECT(worst < 1e-12);
	printf("lu: right, first pivots %d %d %d\n", pivots[0], pivots[1], pivots[2]);

	d = to_device(a);
	jacobi<<<1, 32>>>(d);
	LAUNCHED();
	std::vector<double> values = to_host(d, N * N);
	double sum = 0, sum_squares = 0, off = 0;
	for (int i = 0; i < N * N; i++) {
		if (i % (N + 1) == 0) {
			sum += values[i];
			sum_squares += values[i] * values[i];
			EXPECT(values[i] > 1 - 1e-9);
		} else {
			off = fmax(off, fabs(values[i]));
		}
	}
	EXPECT(off < 1e-9 && fabs(sum - trace) < 1e-9 && fabs(sum_squares - squares) < 1e-7);
	printf("jacobi: right\n");
	return ok();
}
