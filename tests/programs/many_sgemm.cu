/* Many small products; `many_sgemm 20` has as many round trips. */
#include "program.h"

#include <cublas_v2.h>

int
main(int argc, char **argv)
{
	const int size = 32;
	int count = argc > 1 ? atoi(argv[1]) : 2000;
	cublasHandle_t handle;
	if (cublasCreate(&handle) != CUBLAS_STATUS_SUCCESS) {
		printf("cublasCreate failed\n");
		return 1;
	}
	/* The cyclic shift: its 32nd power is the identity. */
	std::vector<float> shift(size * size), identity(size * size);
	for (int i = 0; i < size; i++) {
		shift[i * size + (i + 1) % size] = 1.0f;
		identity[i * size + i] = 1.0f;
	}
	float *device_shift = to_device(shift), *a = to_device(identity), *b = to_device(identity);
	const float one = 1.0f, zero = 0.0f;
	for (int i = 0; i < count; i++) {
		EXPECT(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, size, size, size, &one,
				   device_shift, size, a, size, &zero, b,
				   size) == CUBLAS_STATUS_SUCCESS);
		std::swap(a, b);
	}
	CUDA(cudaDeviceSynchronize());
	std::vector<float> out = to_host(a, size * size);
	for (int i = 0; i < size; i++)
		for (int k = 0; k < size; k++)
			EXPECT(out[i * size + k] == (k == (i + count) % size ? 1.0f : 0.0f));
	cublasDestroy(handle);
	CUDA(cudaFree(device_shift));
	CUDA(cudaFree(a));
	CUDA(cudaFree(b));
	return ok();
}
