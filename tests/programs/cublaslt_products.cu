/* cuBLASLt as PyTorch uses it: layouts, a heuristic, products with bias and activation. */
#include "program.h"

#include <cublasLt.h>

#define LT(call)                                                                                   \
	do {                                                                                       \
		cublasStatus_t status_ = (call);                                                   \
		if (status_ != CUBLAS_STATUS_SUCCESS) {                                            \
			printf("%s:%d: %s: %d\n", __FILE__, __LINE__, #call, (int)status_);        \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

constexpr int M = 64, N = 48, K = 80;
constexpr size_t WORKSPACE = 4 << 20;

static cublasLtHandle_t handle;
static void *workspace;

/* d (M x N) = epilogue(alpha a (M x K) b (K x N) + beta c) */
static void
product(cublasLtEpilogue_t epilogue, float alpha, float beta, const float *a, const float *b,
	const float *c, float *d, const float *bias)
{
	cublasLtMatmulDesc_t operation;
	cublasLtMatrixLayout_t layout_a, layout_b, layout_c;
	cublasLtMatmulPreference_t preference;
	cublasLtMatmulHeuristicResult_t heuristic;
	int found = 0;
	LT(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
	LT(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
					  sizeof(epilogue)));
	if (bias)
		LT(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
						  &bias, sizeof(bias)));
	LT(cublasLtMatrixLayoutCreate(&layout_a, CUDA_R_32F, M, K, M));
	LT(cublasLtMatrixLayoutCreate(&layout_b, CUDA_R_32F, K, N, K));
	LT(cublasLtMatrixLayoutCreate(&layout_c, CUDA_R_32F, M, N, M));
	LT(cublasLtMatmulPreferenceCreate(&preference));
	LT(cublasLtMatmulPreferenceSetAttribute(preference,
						CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
						&WORKSPACE, sizeof(WORKSPACE)));
	LT(cublasLtMatmulAlgoGetHeuristic(handle, operation, layout_a, layout_b, layout_c, layout_c,
					  preference, 1, &heuristic, &found));
	EXPECT(found == 1);
	LT(cublasLtMatmul(handle, operation, &alpha, a, layout_a, b, layout_b, &beta, c, layout_c,
			  d, layout_c, &heuristic.algo, workspace, WORKSPACE, 0));
	LT(cublasLtMatmulPreferenceDestroy(preference));
	LT(cublasLtMatrixLayoutDestroy(layout_a));
	LT(cublasLtMatrixLayoutDestroy(layout_b));
	LT(cublasLtMatrixLayoutDestroy(layout_c));
	LT(cublasLtMatmulDescDestroy(operation));
}

static std::vector<float>
small_numbers(size_t count, uint64_t seed)
{
	std::vector<float> values(count);
	Random random = {seed};
	for (float &value : values)
		value = (float)random.below(9) - 4.0f;
	return values;
}

int
main()
{
	std::vector<float> a = small_numbers(M * K, 1), b = small_numbers(K * N, 2);
	std::vector<float> c = small_numbers(M * N, 3), bias = small_numbers(M, 4);
	float *device_a = to_device(a), *device_b = to_device(b), *device_c = to_device(c);
	float *device_bias = to_device(bias), *device_d;
	CUDA(cudaMalloc(&device_d, M * N * sizeof(float)));
	CUDA(cudaMalloc(&workspace, WORKSPACE));
	LT(cublasLtCreate(&handle));

	const struct {
		cublasLtEpilogue_t epilogue;
		float alpha, beta;
		bool bias, relu;
	} cases[] = {
		{CUBLASLT_EPILOGUE_DEFAULT, 1.0f, 0.0f, false, false},
		{CUBLASLT_EPILOGUE_DEFAULT, 2.0f, -1.0f, false, false},
		{CUBLASLT_EPILOGUE_BIAS, 1.0f, 0.0f, true, false},
		{CUBLASLT_EPILOGUE_RELU, 1.0f, 1.0f, false, true},
		{CUBLASLT_EPILOGUE_RELU_BIAS, 1.0f, 0.0f, true, true},
	};
	for (const auto &how : cases) {
		product(how.epilogue, how.alpha, how.beta, device_a, device_b, device_c, device_d,
			how.bias ? device_bias : nullptr);
		std::vector<float> d = to_host(device_d, M * N);
		for (int column = 0; column < N; column++) {
			for (int row = 0; row < M; row++) {
				float sum = 0.0f;
				for (int k = 0; k < K; k++)
					sum += a[k * M + row] * b[column * K + k];
				float value = how.alpha * sum + how.beta * c[column * M + row] +
					      (how.bias ? bias[row] : 0.0f);
				if (how.relu && value < 0.0f)
					value = 0.0f;
				EXPECT(d[column * M + row] == value);
			}
		}
		print_checksum("product", d);
	}
	LT(cublasLtDestroy(handle));
	CUDA(cudaDeviceSynchronize());
	return ok();
}
