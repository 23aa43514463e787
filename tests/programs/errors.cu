/* What goes wrong is reported by the right name, once, and leaves everything usable. */
#include "program.h"

#include <cstring>

__global__ void
increment(int *p)
{
	*p += 1;
}

int
main()
{
	int devices, host = 5, *p;
	char bytes[8] = {};
	void *other;
	CUDA(cudaGetDeviceCount(&devices));
	CUDA(cudaMalloc(&p, sizeof(int)));
	CUDA(cudaMemset(p, 0, sizeof(int)));

	EXPECT_ERROR(cudaSetDevice(devices), cudaErrorInvalidDevice);
	EXPECT_ERROR(cudaSetDevice(-1), cudaErrorInvalidDevice);
	EXPECT_ERROR(cudaPeekAtLastError(), cudaErrorInvalidDevice);
	EXPECT_ERROR(cudaGetLastError(), cudaErrorInvalidDevice);
	EXPECT_ERROR(cudaGetLastError(), cudaSuccess);

	/* Bad configurations. */
	increment<<<1, 1025>>>(p);
	EXPECT_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
	increment<<<0, 1>>>(p);
	EXPECT_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
	increment<<<dim3(1, 65536), 1>>>(p);
	EXPECT_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
	increment<<<1, dim3(1, 1, 65)>>>(p);
	EXPECT_ERROR(cudaGetLastError(), cudaErrorInvalidValue);

	/* Bad memory arguments. */
	EXPECT_ERROR(cudaMalloc(nullptr, 10), cudaErrorInvalidValue);
	EXPECT_ERROR(cudaMalloc(&other, (size_t)1 << 50), cudaErrorMemoryAllocation);
	EXPECT_ERROR(cudaFree((char *)p + 4), cudaErrorInvalidValue);
	EXPECT_ERROR(cudaFree(&host), cudaErrorInvalidValue);
	EXPECT_ERROR(cudaFreeHost(&host), cudaErrorInvalidValue);
	EXPECT_ERROR(cudaMemcpy(p, &host, sizeof(int), (cudaMemcpyKind)77),
		     cudaErrorInvalidMemcpyDirection);
	EXPECT_ERROR(cudaMemset((void *)16, 0, 4), cudaErrorInvalidValue);
	EXPECT_ERROR(cudaMemcpy2D(p, 2, bytes, 4, 4, 2, cudaMemcpyHostToDevice),
		     cudaErrorInvalidPitchValue);
	CUDA(cudaFree(nullptr));
	CUDA(cudaFreeHost(nullptr));
	cudaGetLastError();

	/* Bad handles. */
	EXPECT_ERROR(cudaEventRecord(nullptr, 0), cudaErrorInvalidResourceHandle);
	EXPECT_ERROR(cudaEventDestroy(nullptr), cudaErrorInvalidResourceHandle);
	EXPECT_ERROR(cudaStreamDestroy(nullptr), cudaErrorInvalidResourceHandle);
	cudaEvent_t untimed, timed;
	float milliseconds;
	CUDA(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming));
	CUDA(cudaEventCreate(&timed));
	CUDA(cudaEventRecord(untimed));
	CUDA(cudaEventRecord(timed));
	CUDA(cudaDeviceSynchronize());
	EXPECT_ERROR(cudaEventElapsedTime(&milliseconds, untimed, timed),
		     cudaErrorInvalidResourceHandle);
	EXPECT_ERROR(cudaEventCreateWithFlags(&timed, 0x1000), cudaErrorInvalidValue);
	EXPECT_ERROR(cudaStreamCreateWithFlags((cudaStream_t *)&timed, 0x1000),
		     cudaErrorInvalidValue);
	int value;
	EXPECT_ERROR(cudaDeviceGetAttribute(&value, (cudaDeviceAttr)9999, 0),
		     cudaErrorInvalidValue);
	EXPECT_ERROR(cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, devices),
		     cudaErrorInvalidDevice);
	cudaGetLastError();

	/* Words. */
	EXPECT(!strcmp(cudaGetErrorName(cudaErrorMemoryAllocation), "cudaErrorMemoryAllocation"));
	EXPECT(!strcmp(cudaGetErrorString(cudaSuccess), "no error"));
	EXPECT(!strcmp(cudaGetErrorString(cudaErrorInvalidValue), "invalid argument"));

	/* Nothing above did harm. */
	increment<<<1, 1>>>(p);
	LAUNCHED();
	CUDA(cudaMemcpy(&host, p, sizeof(int), cudaMemcpyDeviceToHost));
	printf("value: %d\n", host);
	EXPECT(host == 1);
	CUDA(cudaFree(p));
	return ok();
}
