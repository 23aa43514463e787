/* cuBLAS: products of every orientation and type, vectors, batches. Small integers: exact. */
#include "program.h"

#include <cublas_v2.h>
#include <cuda_fp16.h>

#include <cmath>

#define CUBLAS(call)                                                                               \
	do {                                                                                       \
		cublasStatus_t status_ = (call);                                                   \
		if (status_ != CUBLAS_STATUS_SUCCESS) {                                            \
			printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call,                       \
			       cublasGetStatusName(status_));                                      \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static cublasHandle_t handle;

template <typename T>
static std::vector<T>
small_numbers(size_t count, uint64_t seed)
{
	Random random = {seed};
	std::vector<T> values(count);
	for (T &value : values)
		value = (T)(float)((int)random.below(9) - 4);
	return values;
}

/* c = alpha op(a) op(b) + beta c, column by column. */
template <typename T>
static std::vector<T>
product_on_host(bool ta, bool tb, int m, int n, int k, float alpha, const std::vector<T> &a,
		int lda, const std::vector<T> &b, int ldb, float beta, std::vector<T> c, int ldc)
{
	for (int j = 0; j < n; j++) {
		for (int i = 0; i < m; i++) {
			double sum = 0;
			for (int l = 0; l < k; l++)
				sum += (double)(float)a[ta ? i * lda + l : l * lda + i] *
				       (double)(float)b[tb ? l * ldb + j : j * ldb + l];
			c[j * ldc + i] =
				(T)(float)(alpha * sum + beta * (double)(float)c[j * ldc + i]);
		}
	}
	return c;
}

template <typename T>
static bool
equal(const std::vector<T> &a, const std::vector<T> &b)
{
	for (size_t i = 0; i < a.size(); i++)
		if ((float)a[i] != (float)b[i])
			return false;
	return true;
}

static void
sgemm()
{
	const int m = 45, n = 37, k = 53;
	uint64_t sum = 0;
	for (int shape = 0; shape < 4; shape++) {
		bool ta = shape & 1, tb = shape & 2;
		int lda = (ta ? k : m) + 3, ldb = (tb ? n : k) + 2, ldc = m + 1;
		std::vector<float> a = small_numbers<float>(lda * (ta ? m : k), 1 + shape);
		std::vector<float> b = small_numbers<float>(ldb * (tb ? k : n), 11 + shape);
		std::vector<float> c = small_numbers<float>(ldc * n, 21 + shape);
		float *device_a = to_device(a), *device_b = to_device(b), *device_c = to_device(c);
		const float alpha = 2.0f, beta = -1.0f;
		CUBLAS(cublasSgemm(handle, ta ? CUBLAS_OP_T : CUBLAS_OP_N,
				   tb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k, &alpha, device_a, lda,
				   device_b, ldb, &beta, device_c, ldc));
		std::vector<float> out = to_host(device_c, c.size());
		EXPECT(equal(out, product_on_host(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c,
						  ldc)));
		sum ^= checksum(out.data(), out.size() * sizeof(float));
		CUDA(cudaFree(device_a));
		CUDA(cudaFree(device_b));
		CUDA(cudaFree(device_c));
	}
	printf("sgemm: %016llx\n", (unsigned long long)sum);
}

static void
other_types()
{
	const int m = 64, n = 48, k = 32;
	{
		std::vector<double> a = small_numbers<double>(m * k, 31), c(m * n);
		std::vector<double> b = small_numbers<double>(k * n, 32);
		double *device_a = to_device(a), *device_b = to_device(b), *device_c = to_device(c);
		const double alpha = 1.0, beta = 0.0;
		CUBLAS(cublasDgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &alpha, device_a, m,
				   device_b, k, &beta, device_c, m));
		std::vector<double> out = to_host(device_c, c.size());
		EXPECT(equal(out,
			     product_on_host(false, false, m, n, k, 1.0f, a, m, b, k, 0.0f, c, m)));
		print_checksum("dgemm", out);
		CUDA(cudaFree(device_a));
		CUDA(cudaFree(device_b));
		CUDA(cudaFree(device_c));
	}
	{
		std::vector<__half> a = small_numbers<__half>(m * k, 33), c(m * n);
		std::vector<__half> b = small_numbers<__half>(k * n, 34);
		__half *device_a = to_device(a), *device_b = to_device(b), *device_c = to_device(c);
		const float alpha = 1.0f, beta = 0.0f;
		CUBLAS(cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, m, n, k, &alpha, device_a,
				    CUDA_R_16F, k, device_b, CUDA_R_16F, k, &beta, device_c,
				    CUDA_R_16F, m, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
		std::vector<__half> out = to_host(device_c, c.size());
		EXPECT(equal(out,
			     product_on_host(true, false, m, n, k, 1.0f, a, k, b, k, 0.0f, c, m)));
		print_checksum("half gemm", out);
		CUDA(cudaFree(device_a));
		CUDA(cudaFree(device_b));
		CUDA(cudaFree(device_c));
	}
}

static void
batches()
{
	const int size = 16, count = 10;
	std::vector<float> a = small_numbers<float>(size * size * count, 41);
	std::vector<float> b = small_numbers<float>(size * size * count, 42);
	std::vector<float> c(size * size * count);
	float *device_a = to_device(a), *device_b = to_device(b), *device_c = to_device(c);
	const float alpha = 1.0f, beta = 0.0f;
	CUBLAS(cublasSgemmStridedBatched(handle, CUBLAS_OP_N, CUBLAS_OP_N, size, size, size, &alpha,
					 device_a, size, size * size, device_b, size, size * size,
					 &beta, device_c, size, size * size, count));
	std::vector<float> out = to_host(device_c, c.size());
	for (int i = 0; i < count; i++) {
		auto part = [&](const std::vector<float> &all) {
			return std::vector<float>(all.begin() + i * size * size,
						  all.begin() + (i + 1) * size * size);
		};
		EXPECT(part(out) == product_on_host(false, false, size, size, size, 1.0f, part(a),
						    size, part(b), size, 0.0f, part(c), size));
	}
	print_checksum("batches", out);
	CUDA(cudaFree(device_a));
	CUDA(cudaFree(device_b));
	CUDA(cudaFree(device_c));
}

static void
vectors()
{
	const int count = 5000;
	std::vector<float> x = small_numbers<float>(count, 51), y = small_numbers<float>(count, 52);
	float *device_x = to_device(x), *device_y = to_device(y);
	const float alpha = 3.0f;
	float dot, norm, sum, expected_dot = 0, expected_squares = 0, expected_sum = 0;
	CUBLAS(cublasSaxpy(handle, count, &alpha, device_x, 1, device_y, 1));
	for (int i = 0; i < count; i++) {
		y[i] += alpha * x[i];
		expected_dot += x[i] * y[i];
		expected_squares += y[i] * y[i];
		expected_sum += fabsf(x[i]);
	}
	EXPECT(to_host(device_y, count) == y);
	CUBLAS(cublasSdot(handle, count, device_x, 1, device_y, 1, &dot));
	CUBLAS(cublasSnrm2(handle, count, device_y, 1, &norm));
	CUBLAS(cublasSasum(handle, count, device_x, 1, &sum));
	printf("dot %.0f, norm %.2f, sum %.0f\n", dot, norm, sum);
	EXPECT(dot == expected_dot && sum == expected_sum);
	EXPECT(fabsf(norm - sqrtf(expected_squares)) < 1e-3f);

	/* The scalar may come from the device, the result may go there. */
	float *device_scalar, host_scalar = 0.5f;
	CUDA(cudaMalloc(&device_scalar, sizeof(float)));
	CUDA(cudaMemcpy(device_scalar, &host_scalar, sizeof(float), cudaMemcpyHostToDevice));
	CUBLAS(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE));
	CUBLAS(cublasSscal(handle, count, device_scalar, device_y, 1));
	CUBLAS(cublasSdot(handle, count, device_x, 1, device_y, 1, device_scalar));
	CUBLAS(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST));
	CUDA(cudaMemcpy(&host_scalar, device_scalar, sizeof(float), cudaMemcpyDeviceToHost));
	EXPECT(host_scalar == expected_dot / 2);

	const int rows = 70, columns = 50;
	std::vector<float> a = small_numbers<float>(rows * columns, 53), v(rows);
	float *device_a = to_device(a), *device_v = to_device(v);
	const float one = 1.0f, zero = 0.0f;
	CUBLAS(cublasSgemv(handle, CUBLAS_OP_N, rows, columns, &one, device_a, rows, device_x, 1,
			   &zero, device_v, 1));
	v = to_host(device_v, rows);
	for (int i = 0; i < rows; i++) {
		float expected = 0;
		for (int j = 0; j < columns; j++)
			expected += a[j * rows + i] * x[j];
		EXPECT(v[i] == expected);
	}
	print_checksum("gemv", v);
	for (float *p : {device_x, device_y, device_scalar, device_a, device_v})
		CUDA(cudaFree(p));
}

int
main()
{
	cudaStream_t stream;
	CUDA(cudaStreamCreate(&stream));
	CUBLAS(cublasCreate(&handle));
	CUBLAS(cublasSetStream(handle, stream));
	sgemm();
	other_types();
	batches();
	vectors();
	CUBLAS(cublasDestroy(handle));
	CUDA(cudaStreamDestroy(stream));
	return ok();
}
