/*
 * C++ on the device: templates of many arguments, lambdas that capture, virtual functions across
 * an array of objects, recursion, function pointers, unions, bit fields, operators, constants
 * computed by the compiler.
 */
#include "program.h"

#include <type_traits>

/* ---- templates ---- */

template <typename... Parts>
__host__ __device__ constexpr long long
sum_of(Parts... parts)
{
	return (0 + ... + (long long)parts);
}

template <int N> struct Fibonacci {
	static constexpr int value = Fibonacci<N - 1>::value + Fibonacci<N - 2>::value;
};
template <> struct Fibonacci<1> {
	static constexpr int value = 1;
};
template <> struct Fibonacci<0> {
	static constexpr int value = 0;
};

template <typename Derived> struct Base {
	__host__ __device__ int twice(int x) const
	{
		return 2 * static_cast<const Derived *>(this)->once(x);
	}
};
struct Squares : Base<Squares> {
	__host__ __device__ int once(int x) const
	{
		return x * x;
	}
};

struct Fixed {
	int raw;
	__host__ __device__ Fixed(double value) : raw((int)(value * 65536))
	{
	}
	__host__ __device__ explicit operator double() const
	{
		return raw / 65536.0;
	}
	__host__ __device__ friend Fixed operator*(Fixed a, Fixed b)
	{
		Fixed c(0);
		c.raw = (int)(((long long)a.raw * b.raw) >> 16);
		return c;
	}
	__host__ __device__ Fixed &operator+=(Fixed other)
	{
		raw += other.raw;
		return *this;
	}
};

__host__ __device__ static long long
templates_of(int i)
{
	Fixed sum(0);
	for (int k = 0; k < 5; k++)
		sum += Fixed(i * 0.25) * Fixed(k + 0.5);
	return sum_of(i, 2L * i, (short)3, 4u) + Fibonacci<20>::value + Squares().twice(i) +
	       sum.raw;
}

__global__ void
templates(long long *out)
{
	out[threadIdx.x] = templates_of(threadIdx.x);
}

/* ---- lambdas ---- */

struct Four {
	int values[4];
};

template <typename F>
__global__ void
apply(F f, int *out, int count)
{
	for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
		out[i] = f(i);
}

/* ---- virtual functions ---- */

struct Node {
	__device__ virtual int eval(int x) const = 0;
	__device__ virtual ~Node()
	{
	}
};
struct Constant : Node {
	int value;
	__device__ explicit Constant(int value) : value(value)
	{
	}
	__device__ int eval(int) const override
	{
		return value;
	}
};
struct Argument : Node {
	__device__ int eval(int x) const override
	{
		return x;
	}
};
struct Binary : Node {
	char op;
	Node *left, *right;
	__device__ Binary(char op, Node *left, Node *right) : op(op), left(left), right(right)
	{
	}
	__device__ ~Binary() override
	{
		delete left;
		delete right;
	}
	__device__ int eval(int x) const override
	{
		int a = left->eval(x), b = right->eval(x);
		switch (op) {
		case '+':
			return a + b;
		case '*':
			return a * b;
		default:
			return a - b;
		}
	}
};

/* (x + 3) * (x - 5) + x * 7, built by one thread, evaluated by all. */
__global__ void
expression(int *out)
{
	__shared__ Node *tree;
	if (threadIdx.x == 0)
		tree = new Binary('+',
				  new Binary('*', new Binary('+', new Argument, new Constant(3)),
					     new Binary('-', new Argument, new Constant(5))),
				  new Binary('*', new Argument, new Constant(7)));
	__syncthreads();
	out[threadIdx.x] = tree->eval(threadIdx.x);
	__syncthreads();
	if (threadIdx.x == 0)
		delete tree;
}

/* ---- recursion ---- */

__device__ static int
queens(int size, unsigned columns, unsigned up, unsigned down)
{
	if (columns == (1u << size) - 1)
		return 1;
	int found = 0;
	for (unsigned open = ~(columns | up | down) & ((1u << size) - 1); open; open &= open - 1) {
		unsigned bit = open & -open;
		found += queens(size, columns | bit, (up | bit) << 1, (down | bit) >> 1);
	}
	return found;
}

__global__ void
solve(int size, int *out)
{
	unsigned bit = 1u << threadIdx.x;
	if (threadIdx.x < size)
		atomicAdd(out, queens(size, bit, bit << 1, bit >> 1));
}

/* ---- small types ---- */

union Word {
	float f;
	unsigned u;
	unsigned char bytes[4];
};
struct Packed {
	unsigned sign : 1, exponent : 8, fraction : 23;
};

__global__ void
words(const float *in, unsigned *out)
{
	Word word;
	word.f = in[threadIdx.x];
	Packed packed = {word.u >> 31, word.u >> 23 & 0xff, word.u & 0x7fffff};
	packed.exponent++;
	Word doubled;
	doubled.u = (unsigned)packed.sign << 31 | (unsigned)packed.exponent << 23 | packed.fraction;
	out[threadIdx.x] = doubled.f == 2 * word.f ? word.bytes[3] : 0xffffffffu;
}

int
main()
{
	long long *wide;
	int *out;
	CUDA(cudaMalloc(&wide, 64 * sizeof(*wide)));
	CUDA(cudaMalloc(&out, 256 * sizeof(int)));
	templates<<<1, 64>>>(wide);
	LAUNCHED();
	std::vector<long long> got = to_host(wide, 64);
	for (int i = 0; i < 64; i++)
		EXPECT(got[i] == templates_of(i));
	printf("templates: right\n");

	int a = 5, b = 9;
	const int table[4] = {4, 8, 15, 16};
	Four captured;
	for (int i = 0; i < 4; i++)
		captured.values[i] = table[i];
	apply<<<2, 64>>>([=] __device__(int i) { return a * i + b + captured.values[i % 4]; }, out,
			 256);
	LAUNCHED();
	std::vector<int> results = to_host(out, 256);
	for (int i = 0; i < 256; i++)
		EXPECT(results[i] == a * i + b + table[i % 4]);
	auto both = [=] __host__ __device__(int i) { return i % b ? i / a : i; };
	apply<<<2, 64>>>(both, out, 256);
	LAUNCHED();
	results = to_host(out, 256);
	for (int i = 0; i < 256; i++)
		EXPECT(results[i] == both(i));
	printf("lambdas: right\n");

	expression<<<1, 64>>>(out);
	LAUNCHED();
	results = to_host(out, 64);
	for (int x = 0; x < 64; x++)
		EXPECT(results[x] == (x + 3) * (x - 5) + x * 7);
	printf("virtual functions: right\n");

	CUDA(cudaMemset(out, 0, sizeof(int)));
	solve<<<1, 32>>>(7, out);
	LAUNCHED();
	printf("queens: %d\n", to_host(out, 1)[0]);
	EXPECT(to_host(out, 1)[0] == 40);

	std::vector<float> floats(32);
	for (int i = 0; i < 32; i++)
		floats[i] = (i - 16.5f) * 3.25f;
	float *in = to_device(floats);
	words<<<1, 32>>>(in, (unsigned *)out);
	LAUNCHED();
	results = to_host(out, 32);
	for (int i = 0; i < 32; i++)
		EXPECT(results[i] ==
			       (floats[i] < 0 ? 0xc0 : 0x40) + (fabsf(floats[i]) < 2 ? -1 : 0) ||
		       results[i] ==
			       (floats[i] < 0 ? 0xc1 : 0x41) + (fabsf(floats[i]) < 2 ? -1 : 0) ||
		       results[i] == (floats[i] < 0 ? 0xc2 : 0x42));
	printf("unions and bit fields: right\n");
	return ok();
}
