/* Compiled to PTX text and embedded in driver_api.cu. */
extern "C" {
__constant__ float scale = 2.0f;
__device__ int launches;

__global__ void
scale_add(const float *x, float *y, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		y[i] += x[i] * scale;
	if (i == 0)
		launches++;
}

__global__ void
shared_reverse(int *values)
{
	extern __shared__ int buffer[];
	buffer[threadIdx.x] = values[threadIdx.x];
	__syncthreads();
	values[threadIdx.x] = buffer[blockDim.x - 1 - threadIdx.x];
}
}
