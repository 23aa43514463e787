/* The other half of separate.cu. */
__device__ int shared_variable = 50;
__constant__ int shared_constant = 5;

__device__ __noinline__ int
other_file(int x)
{
	return x * x + 3;
}
