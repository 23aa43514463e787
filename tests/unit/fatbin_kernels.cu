/* Kernels whose layouts test_fatbin.c knows. */
#include <cstdio>

extern "C" __global__ void __launch_bounds__(256) bounded(float *a, int n)
{
	if (threadIdx.x < n)
		a[threadIdx.x] += 1;
}

extern "C" __global__ void
shared400(float *a)
{
	__shared__ float s[100];

	s[threadIdx.x % 100] = a[0];
	__syncthreads();
	a[threadIdx.x] = s[99 - threadIdx.x % 100];
}

extern "C" __global__ void
odd(char c, double d, short s, float4 f, char e)
{
}

struct large {
	char bytes[4096];
};

/* More parameters than the older form of their description can hold. */
extern "C" __global__ void
big(large l, float *a)
{
	a[threadIdx.x] = l.bytes[threadIdx.x];
}

template <typename A, typename B> struct pair_of {
	A a;
	B b;
};

/* A name as long as templates make them. */
template <typename T>
__global__ void
templated(T value, float *out)
{
	out[0] = sizeof(value);
}

template __global__ void
templated(pair_of<pair_of<pair_of<float, double>, pair_of<char, short>>,
		  pair_of<pair_of<long, unsigned>, pair_of<pair_of<float, float>, unsigned char>>>,
	  float *);

extern "C" __global__ void
loud(int n)
{
	printf("%d\n", n);
}
