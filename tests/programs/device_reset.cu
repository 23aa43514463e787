/* cudaDeviceReset frees everything; afterwards the program begins anew. */
#include "program.h"

__device__ int variable = 17;

__global__ void
add_variable(int *p)
{
	*p += variable++;
}

static int
one_life()
{
	int *p, value = 100;
	cudaStream_t stream;
	cudaEvent_t event;
	CUDA(cudaMalloc(&p, sizeof(int)));
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaEventCreate(&event));
	CUDA(cudaMemcpyAsync(p, &value, sizeof(int), cudaMemcpyHostToDevice, stream));
	add_variable<<<1, 1, 0, stream>>>(p);
	add_variable<<<1, 1, 0, stream>>>(p);
	LAUNCHED();
	CUDA(cudaEventRecord(event, stream));
	CUDA(cudaMemcpyAsync(&value, p, sizeof(int), cudaMemcpyDeviceToHost, stream));
	CUDA(cudaStreamSynchronize(stream));
	return value;
}

int
main()
{
	for (int life = 0; life < 3; life++) {
		int value = one_life();
		printf("life %d: %d\n", life, value);
		EXPECT(value == 135);
		/* Stream, event and memory are left to the reset. */
		CUDA(cudaDeviceReset());
	}
	void *p;
	CUDA(cudaMalloc(&p, 100));
	cudaPointerAttributes attributes;
	CUDA(cudaPointerGetAttributes(&attributes, p));
	EXPECT(attributes.type == cudaMemoryTypeDevice);
	CUDA(cudaFree(p));
	return ok();
}
