/*
 * Products of matrices through nvcuda::wmma: every shape and element type, exact because the
 * numbers are small integers.
 */
#include "program.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

using namespace nvcuda;

template <int M, int N, int K, typename T, typename SUM, typename A_LAYOUT, typename B_LAYOUT>
__global__ void
product(const T *a, const T *b, SUM *c, int m, int n, int k)
{
	wmma::fragment<wmma::matrix_a, M, N, K, T, A_LAYOUT> fa;
	wmma::fragment<wmma::matrix_b, M, N, K, T, B_LAYOUT> fb;
	wmma::fragment<wmma::accumulator, M, N, K, SUM> sum;
	constexpr bool a_rows = std::is_same<A_LAYOUT, wmma::row_major>::value;
	constexpr bool b_rows = std::is_same<B_LAYOUT, wmma::row_major>::value;
	int row = blockIdx.y * M, column = blockIdx.x * N;
	wmma::fill_fragment(sum, (SUM)0.0f);
	for (int i = 0; i < k; i += K) {
		wmma::load_matrix_sync(fa, a_rows ? a + row * k + i : a + i * m + row,
				       a_rows ? k : m);
		wmma::load_matrix_sync(fb, b_rows ? b + i * n + column : b + column * k + i,
				       b_rows ? n : k);
		wmma::mma_sync(sum, fa, fb, sum);
	}
	for (int i = 0; i < sum.num_elements; i++)
		sum.x[i] = sum.x[i] + sum.x[i];
	wmma::store_matrix_sync(c + row * n + column, sum, n, wmma::mem_row_major);
}

template <int M, int N, int K, typename T, typename SUM, typename A_LAYOUT, typename B_LAYOUT>
static void
run(const char *name)
{
	const int m = 2 * M, n = 3 * N, k = 4 * K;
	constexpr bool a_rows = std::is_same<A_LAYOUT, wmma::row_major>::value;
	constexpr bool b_rows = std::is_same<B_LAYOUT, wmma::row_major>::value;
	std::vector<int> ai = random_ints(m * k, 5, 1), bi = random_ints(k * n, 5, 2);
	std::vector<T> a(m * k), b(k * n);
	for (int i = 0; i < m * k; i++)
		a[a_rows ? i : i % k * m + i / k] = (T)(float)(ai[i] - 2);
	for (int i = 0; i < k * n; i++)
		b[b_rows ? i : i % n * k + i / n] = (T)(float)(bi[i] - 2);
	T *da = to_device(a), *db = to_device(b);
	SUM *dc;
	CUDA(cudaMalloc(&dc, m * n * sizeof(SUM)));
	product<M, N, K, T, SUM, A_LAYOUT, B_LAYOUT><<<dim3(3, 2), 32>>>(da, db, dc, m, n, k);
	LAUNCHED();
	std::vector<SUM> c = to_host(dc, m * n);
	for (int i = 0; i < m * n; i++) {
		int sum = 0;
		for (int j = 0; j < k; j++)
			sum += (ai[i / n * k + j] - 2) * (bi[j * n + i % n] - 2);
		EXPECT((float)c[i] == 2 * sum);
	}
	printf("%s: right\n", name);
	CUDA(cudaFree(da));
	CUDA(cudaFree(db));
	CUDA(cudaFree(dc));
}

using Row = wmma::row_major;
using Column = wmma::col_major;

int
main()
{
	run<16, 16, 16, half, float, Row, Row>("half, rows");
	run<16, 16, 16, half, float, Row, Column>("half, columns of b");
	run<16, 16, 16, half, float, Column, Column>("half, columns");
	run<16, 16, 16, half, half, Column, Row>("half into half");
	run<32, 8, 16, half, float, Row, Column>("half, 32 by 8");
	run<8, 32, 16, half, float, Row, Row>("half, 8 by 32");
	run<16, 16, 16, signed char, int, Row, Column>("bytes");
	run<32, 8, 16, signed char, int, Row, Row>("bytes, 32 by 8");
	run<8, 32, 16, signed char, int, Column, Column>("bytes, 8 by 32");
	run<16, 16, 16, __nv_bfloat16, float, Row, Row>("bfloat16");
	run<32, 8, 16, __nv_bfloat16, float, Column, Row>("bfloat16, 32 by 8");
	run<8, 8, 4, double, double, Row, Column>("double");
	return ok();
}
