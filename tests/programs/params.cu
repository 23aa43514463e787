/* Kernel parameters of every shape: structs by value, mixed sizes, many, and four kilobytes. */
#include "program.h"

struct Mixed {
	char c;
	double d;
	short s[3];
};

struct alignas(16) Wide {
	float x[4];
	unsigned char tail;
};

struct Big {
	int values[1000];
};

struct Nested {
	Mixed mixed;
	const int *data;
	Wide wide;
};

__global__ void
mixed_sum(Mixed m, char c, long long *out)
{
	out[threadIdx.x] = m.c + (long long)m.d + m.s[threadIdx.x % 3] + c;
}

__global__ void
nested_sum(bool negative, Nested n, unsigned short last, long long *out)
{
	long long sum = n.mixed.c + (long long)(n.mixed.d * 4) + n.data[threadIdx.x] +
			(long long)n.wide.x[threadIdx.x & 3] + n.wide.tail + last;
	out[threadIdx.x] = negative ? -sum : sum;
}

__global__ void
big_sum(int before, Big big, char after, int *out)
{
	out[threadIdx.x] = before + big.values[threadIdx.x * 10] + after;
}

__global__ void
many(char a, short b, int c, long long d, float e, double f, unsigned char g, unsigned short h,
     unsigned i, unsigned long long j, bool k, int2 l, float4 m, char3 n, double2 o, const int *p,
     int *q, char r, long long s, char t, long long *out)
{
	*out = a + b * 2 + c * 3 + d * 4 + (long long)(e * 5) + (long long)(f * 6) + g * 7 + h * 8 +
	       i * 9ll + (long long)j * 10 + k * 11 + (l.x + l.y) * 12 +
	       (long long)(m.x + m.y + m.z + m.w) * 13 + (n.x + n.y + n.z) * 14 +
	       (long long)(o.x + o.y) * 15 + *p * 16 + *q * 17 + r * 18 + s * 19 + t * 20;
}

__global__ void
nothing()
{
}

int
main()
{
	long long *out;
	int *out_int;
	CUDA(cudaMalloc(&out, 100 * sizeof(*out)));
	CUDA(cudaMalloc(&out_int, 100 * sizeof(*out_int)));

	Mixed mixed = {1, 2.0, {3, 4, 5}};
	mixed_sum<<<1, 32>>>(mixed, 7, out);
	LAUNCHED();
	std::vector<long long> sums = to_host(out, 32);
	for (int i = 0; i < 32; i++)
		EXPECT(sums[i] == 10 + mixed.s[i % 3]);

	std::vector<int> data = random_ints(64, 1000, 1);
	int *device_data = to_device(data);
	Nested nested = {{9, 0.25, {0, 0, 0}}, device_data, {{1, 2, 3, 4}, 200}};
	nested_sum<<<1, 64>>>(true, nested, 60000, out);
	LAUNCHED();
	sums = to_host(out, 64);
	for (int i = 0; i < 64; i++)
		EXPECT(sums[i] == -(9 + 1 + data[i] + (i & 3) + 1 + 200 + 60000));
	print_checksum("nested", sums);

	Big big;
	for (int i = 0; i < 1000; i++)
		big.values[i] = i * i;
	big_sum<<<1, 100>>>(1000000, big, -5, out_int);
	LAUNCHED();
	std::vector<int> big_sums = to_host(out_int, 100);
	for (int i = 0; i < 100; i++)
		EXPECT(big_sums[i] == 1000000 + i * 10 * i * 10 - 5);
	print_checksum("big", big_sums);

	many<<<1, 1>>>(-1, -2, 3, 4000000000ll, 5.5f, 6.5, 250, 65000, 4000000000u, 1ull << 40,
		       true, make_int2(1, -2), make_float4(1, 2, 3, 4), make_char3(1, 2, -3),
		       make_double2(0.5, 1.5), device_data, device_data + 1, 'r', -(1ll << 41), 't',
		       out);
	LAUNCHED();
	long long expected = -1 + -2 * 2 + 3 * 3 + 4000000000ll * 4 + 27 + 39 + 250 * 7 +
			     65000 * 8 + 4000000000ll * 9 + (1ll << 40) * 10 + 11 - 12 + 130 + 0 +
			     30 + data[0] * 16 + data[1] * 17 + 'r' * 18 - (1ll << 41) * 19 +
			     't' * 20;
	sums = to_host(out, 1);
	printf("many: %lld\n", sums[0]);
	EXPECT(sums[0] == expected);

	nothing<<<3, 5>>>();
	LAUNCHED();
	CUDA(cudaDeviceSynchronize());
	return ok();
}
