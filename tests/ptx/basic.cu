/* What ordinary CUDA programs do; tests/unit/test_ptx_cuda.c computes the same on the host. */
#include <assert.h>
#include <cooperative_groups.h>
#include <cstdio>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace cg = cooperative_groups;

__device__ int counter;
__device__ unsigned long long table[64];
__constant__ float coefficients[8] = {1, 2, 3, 4, 5, 6, 7, 8};
extern __shared__ int dynamic_shared[];

extern "C" __global__ void
saxpy(int n, float a, const float *x, float *y)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;

	if (i < n)
		y[i] = a * x[i] + y[i];
}

extern "C" __global__ void
reduce_shared(const int *in, int n, int *out)
{
	__shared__ int sums[256];
	int t = threadIdx.x, sum = 0;

	for (int i = blockIdx.x * blockDim.x + t; i < n; i += gridDim.x * blockDim.x)
		sum += in[i];
	sums[t] = sum;
	__syncthreads();
	for (int half = blockDim.x / 2; half; half /= 2) {
		if (t < half)
			sums[t] += sums[t + half];
		__syncthreads();
	}
	if (t == 0)
		atomicAdd(out, sums[0]);
}

extern "C" __global__ void
reduce_shuffle(const int *in, int n, int *out)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	int v = i < n ? in[i] : 0;

	for (int d = 16; d; d /= 2)
		v += __shfl_down_sync(0xffffffff, v, d);
	if (threadIdx.x % 32 == 0)
		dynamic_shared[threadIdx.x / 32] = v;
	__syncthreads();
	if (threadIdx.x < 32) {
		v = threadIdx.x < blockDim.x / 32 ? dynamic_shared[threadIdx.x] : 0;
		for (int d = 16; d; d /= 2)
			v += __shfl_xor_sync(0xffffffff, v, d);
		if (threadIdx.x == 0)
			out[blockIdx.x] = v;
	}
}

constexpr int TILE = 16;

extern "C" __global__ void
matmul_tiled(const float *a, const float *b, float *c, int n)
{
	__shared__ float as[TILE][TILE], bs[TILE][TILE];
	int tx = threadIdx.x, ty = threadIdx.y;
	int row = blockIdx.y * TILE + ty, column = blockIdx.x * TILE + tx;
	float sum = 0;

	for (int t = 0; t < n / TILE; t++) {
		as[ty][tx] = a[row * n + t * TILE + tx];
		bs[ty][tx] = b[(t * TILE + ty) * n + column];
		__syncthreads();
		for (int k = 0; k < TILE; k++)
			sum += as[ty][k] * bs[k][tx];
		__syncthreads();
	}
	c[row * n + column] = sum;
}

extern "C" __global__ void
matmul_plain(const float *a, const float *b, float *c, int n)
{
	int row = blockIdx.y * blockDim.y + threadIdx.y;
	int column = blockIdx.x * blockDim.x + threadIdx.x;
	float sum = 0;

	if (row >= n || column >= n)
		return;
	for (int k = 0; k < n; k++)
		sum += a[row * n + k] * b[k * n + column];
	c[row * n + column] = sum;
}

extern "C" __global__ void
histogram(const unsigned char *in, int n, unsigned *out)
{
	__shared__ unsigned bins[256];

	for (int i = threadIdx.x; i < 256; i += blockDim.x)
		bins[i] = 0;
	__syncthreads();
	for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
		atomicAdd(&bins[in[i]], 1);
	__syncthreads();
	for (int i = threadIdx.x; i < 256; i += blockDim.x)
		atomicAdd(&out[i], bins[i]);
}

struct atomics {
	int add, min, max, exch;
	unsigned inc, dec, land, lor, lxor, cas;
	unsigned long long add64, max64;
	float fadd;
	double dadd;
	__half2 hadd;
};

extern "C" __global__ void
atomics(struct atomics *a, int *tickets)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;

	tickets[atomicAdd(&a->add, 1)] = i;
	atomicMin(&a->min, -i);
	atomicMax(&a->max, i);
	atomicExch(&a->exch, i);
	atomicInc(&a->inc, 99);
	atomicDec(&a->dec, 99);
	atomicAnd(&a->land, ~(1u << (i % 16)));
	atomicOr(&a->lor, 1u << (i % 32));
	atomicXor(&a->lxor, i);
	atomicAdd(&a->add64, 1ull << 33);
	atomicMax(&a->max64, (unsigned long long)i << 32);
	atomicAdd(&a->fadd, 0.5f);
	atomicAdd(&a->dadd, 0.25);
	atomicAdd(&a->hadd, __floats2half2_rn(1.0f, 2.0f));
	unsigned old = a->cas, seen;
	do {
		seen = old;
		old = atomicCAS(&a->cas, seen, seen * 3 + 1 < 1000000 ? seen + 1 : seen);
	} while (old != seen);
}

__device__ __noinline__ int
fibonacci(int n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

struct pair {
	int a;
	double b;
};

__device__ __noinline__ pair
scale(pair p, int k)
{
	p.a += k;
	p.b *= k;
	return p;
}

extern "C" __global__ void
calls(int *fib, pair *pairs, pair p)
{
	int t = threadIdx.x;

	fib[t] = fibonacci(t % 15);
	pairs[t] = scale(p, t);
}

typedef int (*operation)(int);
__device__ __noinline__ int
add_one(int a)
{
	return a + 1;
}
__device__ __noinline__ int
triple(int a)
{
	return a * 3;
}
__device__ __noinline__ int
square(int a)
{
	return a * a;
}
__device__ operation operations[3] = {add_one, triple, square};

struct shape {
	int size;
	__device__ shape(int s) : size(s)
	{
	}
	__device__ virtual int area() const
	{
		return size;
	}
};
struct quad : shape {
	__device__ quad(int s) : shape(s)
	{
	}
	__device__ int area() const override
	{
		return size * size;
	}
};
struct cube : shape {
	__device__ cube(int s) : shape(s)
	{
	}
	__device__ int area() const override
	{
		return 6 * size * size;
	}
};

extern "C" __global__ void
indirect(int *out, int *areas)
{
	int t = threadIdx.x;

	out[t] = operations[t % 3](t);
	shape *s;
	if (t % 3 == 0)
		s = new shape(t);
	else if (t % 3 == 1)
		s = new quad(t);
	else
		s = new cube(t);
	areas[t] = s->area();
	delete s;
}

/* Lanes take different ways, through loops, breaks and early returns, and meet again. */
extern "C" __global__ void
divergence(const int *in, int *out, int n)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;

	if (i >= n)
		return;
	int x = in[i], steps = 0;

	while (x != 1) {
		if (x % 2)
			x = 3 * x + 1;
		else
			x /= 2;
		steps++;
		if (steps > 500) {
			out[i] = -1;
			return;
		}
	}
	for (int k = 0; k < i % 7; k++) {
		if (k == 3)
			continue;
		for (int j = 0; j < k; j++) {
			if ((i + j) % 5 == 4)
				break;
			steps += j;
		}
		switch ((i + k) % 6) {
		case 0:
			steps += 100;
			break;
		case 1:
			steps ^= 3;
			/* fall through */
		case 2:
			steps += 7;
			break;
		case 3:
			if (steps > 1000)
				goto done;
			steps *= 2;
			break;
		case 5:
			steps -= 2;
			break;
		default:
			break;
		}
	}
done:
	out[i] = steps;
}

/* Barriers while part of the threads have left, and named ones. */
extern "C" __global__ void
barriers(int *out)
{
	__shared__ int values[256];
	int t = threadIdx.x;

	values[t] = t;
	if (t >= 200)
		return;
	__syncthreads();
	int count = __syncthreads_count(t % 3 == 0);
	int all = __syncthreads_and(t < 200), any = __syncthreads_or(t == 500);

	if (t < 64) {
		values[t] += 1000;
		asm volatile("bar.sync 1, 64;" ::: "memory");
		out[t] = values[63 - t] + count + all * 10000 + any * 100000;
	} else {
		out[t] = values[t] + count + all * 10000 + any * 100000;
	}
}

extern "C" __global__ void
warps(int *out)
{
	int t = threadIdx.x, lane = t % 32;
	int r = 0;

	if (lane % 2) {
		r = __shfl_sync(0xaaaaaaaa, t, 3);
		r += __popc(__activemask()) * 1000;
	} else {
		r = __shfl_up_sync(0x55555555, t, 2) + 7;
		__syncwarp(0x55555555);
	}
	unsigned ballot = __ballot_sync(0xffffffff, lane % 3 == 0);
	unsigned match = __match_any_sync(0xffffffff, lane / 5);
	int pred, all = __match_all_sync(0xffffffff, lane / 32, &pred);

	out[t * 4] = r;
	out[t * 4 + 1] = ballot ^ match;
	out[t * 4 + 2] = __any_sync(0xffffffff, lane == 4) + 2 * __all_sync(0xffffffff, lane < 31) +
			 4 * pred + (all == -1 ? 8 : 0);
	out[t * 4 + 3] = __shfl_down_sync(0xffffffff, t, 5, 8);
}

/* A lock that lanes of one warp take in turn: the holder must get on while others spin. */
extern "C" __global__ void
spin_lock(int *lock, int *value)
{
	while (atomicCAS(lock, 0, 1) != 0)
		;
	__threadfence();
	*(volatile int *)value = *(volatile int *)value + 1;
	__threadfence();
	atomicExch(lock, 0);
}

extern "C" __global__ void
print(int n)
{
	int t = threadIdx.x;

	if (t < n)
		printf("%d %u %5.2f|%-6s|%c %lld %x %e %p %% %03d %zu\n", -t, t, t * 1.5, "ab",
		       'a' + t, -5000000000ll * t, 255 + t, 1e10, (void *)0x1234, t, (size_t)t);
}

extern "C" __global__ void
check(int limit)
{
	assert(threadIdx.x < limit);
}

extern "C" __global__ void
local_arrays(const int *in, int *out, int n)
{
	int i = threadIdx.x, stack[32], top = 0;

	for (int k = 0; k < n; k++) {
		int v = in[i * n + k];

		if (v < 0 && top > 1) {
			int b = stack[--top], a = stack[--top];
			stack[top++] = v == -1 ? a + b : v == -2 ? a - b : a * b;
		} else {
			stack[top++ & 31] = v;
		}
	}
	out[i] = stack[(top - 1) & 31];
}

extern "C" __global__ void
math(const double *in, double *out, int n)
{
	int i = threadIdx.x;
	double x = in[i];

	if (i >= n)
		return;
	out[i * 8] = sin(x);
	out[i * 8 + 1] = exp(x / 10);
	out[i * 8 + 2] = log(fabs(x) + 1);
	out[i * 8 + 3] = pow(fabs(x), 1.7);
	out[i * 8 + 4] = x / 3.7;
	out[i * 8 + 5] = sqrt(fabs(x));
	out[i * 8 + 6] = atan2(x, 2.0);
	out[i * 8 + 7] = erf(x / 5);
}

extern "C" __global__ void
mathf(const float *in, float *out, int n)
{
	int i = threadIdx.x;
	float x = in[i];

	if (i >= n)
		return;
	out[i * 8] = sinf(x);
	out[i * 8 + 1] = expf(x / 10);
	out[i * 8 + 2] = logf(fabsf(x) + 1);
	out[i * 8 + 3] = powf(fabsf(x), 1.7f);
	out[i * 8 + 4] = x / 3.7f;
	out[i * 8 + 5] = sqrtf(fabsf(x));
	out[i * 8 + 6] = tanhf(x);
	out[i * 8 + 7] = __expf(x / 10) + __fdividef(x, 3.0f);
}

extern "C" __global__ void
halves(const float *in, float *out, int n)
{
	int i = threadIdx.x;

	if (i >= n)
		return;
	__half h = __float2half(in[i]), g = __float2half(in[(i + 1) % n]);
	__nv_bfloat16 b = __float2bfloat16(in[i]), c = __float2bfloat16(in[(i + 1) % n]);
	__half2 p = __halves2half2(h, g);

	out[i * 6] = __half2float(h + g);
	out[i * 6 + 1] = __half2float(__hfma(h, g, h));
	out[i * 6 + 2] = __bfloat162float(b + c);
	out[i * 6 + 3] = __bfloat162float(b * c);
	p = __hmul2(p, p);
	out[i * 6 + 4] = __low2float(p) + __high2float(p);
	out[i * 6 + 5] = __half2float(__hmax(h, g)) + (h < g);
}

extern "C" __global__ void
int128(const unsigned long long *in, unsigned long long *out)
{
	int i = threadIdx.x;
	unsigned __int128 a = ((unsigned __int128)in[2 * i] << 64) | in[2 * i + 1];
	unsigned __int128 b = a * in[i] + 12345 - (a >> 7);

	out[3 * i] = (unsigned long long)(b >> 64);
	out[3 * i + 1] = (unsigned long long)b;
	out[3 * i + 2] = __umul64hi(in[i], in[i + 1]) + __brevll(in[i]) + __clzll(in[i]) +
			 __popcll(in[i]) + __ffsll(in[i]);
}

extern "C" __global__ void
variables(int *out)
{
	int i = threadIdx.x;

	atomicAdd(&counter, i);
	table[i % 64] = i * 3;
	out[i] = (int)coefficients[i % 8];
}

extern "C" __global__ void
grid_sync(int *values, int *out, int rounds)
{
	cg::grid_group grid = cg::this_grid();
	int i = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x;

	for (int r = 0; r < rounds; r++) {
		int v = values[(i + 1) % n];

		grid.sync();
		values[i] = v + 1;
		grid.sync();
	}
	out[i] = values[i];
}

/* Every block waits for the one before: blocks must make progress in any order. */
extern "C" __global__ void
chain(volatile int *flags, int *out)
{
	int b = gridDim.x - 1 - blockIdx.x;

	if (threadIdx.x == 0) {
		if (b > 0)
			while (flags[b - 1] == 0)
				;
		out[b] = b > 0 ? out[b - 1] + b : 0;
		__threadfence();
		flags[b] = 1;
	}
}

extern "C" __global__ void
wild(int *p, int offset, int lane)
{
	if (threadIdx.x == lane)
		p[offset] = 1;
}

extern "C" __global__ void
overrun_shared(int *out, int index)
{
	__shared__ int small[16];

	small[threadIdx.x % 16] = threadIdx.x;
	__syncthreads();
	small[index] = 1;
	out[0] = small[3];
}

extern "C" __global__ void
misaligned(char *p)
{
	*(int *)(p + threadIdx.x) = 1;
}

extern "C" __global__ void
trap_in(int thread)
{
	if (threadIdx.x == thread)
		__trap();
}

__device__ __noinline__ int
deep(int n)
{
	volatile int a[64];

	a[n & 63] = n;
	return n == 0 ? 0 : deep(n - 1) + a[n & 63];
}

extern "C" __global__ void
overflow_stack(int *out, int n)
{
	out[threadIdx.x] = deep(n);
}

extern "C" __global__ void
forever(volatile int *p)
{
	while (*p == 0)
		;
}
