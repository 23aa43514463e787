/*
 * Conjugate gradients for a Poisson equation, in one kernel: the whole grid meets at barriers
 * between the steps. Every sum is added in a fixed order, so that all devices agree.
 */
#include "program.h"

#include <cmath>
#include <cooperative_groups.h>

namespace cg = cooperative_groups;

constexpr int SIDE = 24, N = SIDE * SIDE, BLOCKS = 4, THREADS = 64;

/* The sum over all threads of the grid, known to all of them. */
__device__ static double
grid_sum(cg::grid_group grid, double value, double *partial)
{
	__shared__ double sums[THREADS];
	sums[threadIdx.x] = value;
	__syncthreads();
	for (int half = THREADS / 2; half > 0; half /= 2) {
		if (threadIdx.x < half)
			sums[threadIdx.x] += sums[threadIdx.x + half];
		__syncthreads();
	}
	if (threadIdx.x == 0)
		partial[blockIdx.x] = sums[0];
	grid.sync();
	double sum = 0;
	for (int b = 0; b < BLOCKS; b++)
		sum += partial[b];
	grid.sync();
	return sum;
}

__global__ void
solve(const int *rows, const int *columns, const double *values, const double *b, double *x,
      double *r, double *p, double *ap, double *partial, int *ret_steps)
{
	cg::grid_group grid = cg::this_grid();
	int first = (int)grid.thread_rank(), stride = (int)grid.size();
	double mine = 0;
	for (int i = first; i < N; i += stride) {
		x[i] = 0;
		r[i] = p[i] = b[i];
		mine += r[i] * r[i];
	}
	double rr = grid_sum(grid, mine, partial);
	int steps = 0;
	while (rr > 1e-20 && steps < 1000) {
		mine = 0;
		for (int i = first; i < N; i += stride) {
			double sum = 0;
			for (int k = rows[i]; k < rows[i + 1]; k++)
				sum += values[k] * p[columns[k]];
			ap[i] = sum;
			mine += p[i] * sum;
		}
		double alpha = rr / grid_sum(grid, mine, partial);
		mine = 0;
		for (int i = first; i < N; i += stride) {
			x[i] += alpha * p[i];
			r[i] -= alpha * ap[i];
			mine += r[i] * r[i];
		}
		double next = grid_sum(grid, mine, partial), beta = next / rr;
		rr = next;
		for (int i = first; i < N; i += stride)
			p[i] = r[i] + beta * p[i];
		grid.sync();
		steps++;
	}
	if (first == 0)
		*ret_steps = steps;
}

int
main()
{
	int cooperative;
	CUDA(cudaDeviceGetAttribute(&cooperative, cudaDevAttrCooperativeLaunch, 0));
	if (!cooperative)
		skip("no cooperative launch");
	std::vector<int> rows(1, 0), columns;
	std::vector<double> values, b(N);
	for (int i = 0; i < N; i++) {
		const int x = i % SIDE, y = i / SIDE;
		const int near[5] = {y > 0 ? i - SIDE : -1, x > 0 ? i - 1 : -1, i,
				     x < SIDE - 1 ? i + 1 : -1, y < SIDE - 1 ? i + SIDE : -1};
		for (int j : near) {
			if (j < 0)
				continue;
			columns.push_back(j);
			values.push_back(j == i ? 4 : -1);
		}
		rows.push_back((int)columns.size());
		b[i] = (i * 37 % 11) - 5;
	}
	int *d_rows = to_device(rows), *d_columns = to_device(columns), *steps;
	double *d_values = to_device(values), *d_b = to_device(b), *x, *r, *p, *ap, *partial;
	CUDA(cudaMalloc(&x, N * sizeof(double)));
	CUDA(cudaMalloc(&r, N * sizeof(double)));
	CUDA(cudaMalloc(&p, N * sizeof(double)));
	CUDA(cudaMalloc(&ap, N * sizeof(double)));
	CUDA(cudaMalloc(&partial, BLOCKS * sizeof(double)));
	CUDA(cudaMallocManaged(&steps, sizeof(int)));
	void *arguments[] = {&d_rows, &d_columns, &d_values, &d_b,     &x,
			     &r,      &p,         &ap,       &partial, &steps};
	CUDA(cudaLaunchCooperativeKernel((const void *)solve, dim3(BLOCKS), dim3(THREADS),
					 arguments, 0, 0));
	CUDA(cudaDeviceSynchronize());

	std::vector<double> solution = to_host(x, N);
	double worst = 0;
	for (int i = 0; i < N; i++) {
		double sum = -b[i];
		for (int k = rows[i]; k < rows[i + 1]; k++)
			sum += values[k] * solution[columns[k]];
		worst = fmax(worst, fabs(sum));
	}
	printf("steps: %d\n", *steps);
	EXPECT(*steps > 10 && *steps < 100);
	EXPECT(worst < 1e-9);
	return ok();
}
