/* Calls in kernels: recursion, function pointers, virtual functions, switch tables, local arrays.
 */
#include "program.h"

__device__ __noinline__ int
ackermann(int m, int n)
{
	if (m == 0)
		return n + 1;
	if (n == 0)
		return ackermann(m - 1, 1);
	return ackermann(m - 1, ackermann(m, n - 1));
}

__host__ __device__ static int
ackermann_closed(int m, int n)
{
	return m == 0 ? n + 1 : m == 1 ? n + 2 : 2 * n + 3;
}

typedef int (*binary_fn)(int, int);

__device__ int
plus(int a, int b)
{
	return a + b;
}
__device__ int
times(int a, int b)
{
	return a * b;
}
__device__ int
minus(int a, int b)
{
	return a - b;
}

__device__ binary_fn table[3] = {plus, times, minus};

struct Shape {
	__device__ virtual int area() const = 0;
	__device__ virtual ~Shape()
	{
	}
};

struct Rectangle : Shape {
	int a, b;
	__device__ Rectangle(int a, int b) : a(a), b(b)
	{
	}
	__device__ int area() const override
	{
		return a * b;
	}
};

struct Square : Shape {
	int a;
	__device__ Square(int a) : a(a)
	{
	}
	__device__ int area() const override
	{
		return a * a;
	}
};

__global__ void
recurse(int *out)
{
	out[threadIdx.x] = ackermann(threadIdx.x % 3, threadIdx.x % 5);
}

__global__ void
pointers(int *out, int which)
{
	int i = threadIdx.x;
	/* One pointer for all lanes, then one for each. */
	out[i] = table[which](i, 7) + table[i % 3](i, 1000);
}

__global__ void
virtuals(int *out)
{
	Rectangle rectangle(threadIdx.x, 3);
	Square square(threadIdx.x);
	const Shape *shape = threadIdx.x % 2 ? (const Shape *)&rectangle : &square;
	out[threadIdx.x] = shape->area();
}

__global__ void
switches(const int *in, int *out)
{
	int x = in[threadIdx.x], y = x;
	for (int round = 0; round < 5; round++) {
		switch (y % 11) {
		case 0:
			y = y / 2 + 1;
			break;
		case 1:
			y = y * 3;
			break;
		case 2:
			y += 100;
			break;
		case 3:
			y -= 5;
			/* fallthrough */
		case 4:
			y ^= 0x55;
			break;
		case 5:
			y = ~y & 0xffff;
			break;
		case 6:
			y = y << 1;
			break;
		case 7:
			y = (int)((unsigned)y * (unsigned)y % 1000);
			break;
		case 8:
			continue;
		default:
			y++;
		}
		if (y > 100000)
			break;
	}
	out[threadIdx.x] = y;
}

static int
switch_on_host(int y)
{
	for (int round = 0; round < 5; round++) {
		switch (y % 11) {
		case 0:
			y = y / 2 + 1;
			break;
		case 1:
			y = y * 3;
			break;
		case 2:
			y += 100;
			break;
		case 3:
			y -= 5;
			/* fallthrough */
		case 4:
			y ^= 0x55;
			break;
		case 5:
			y = ~y & 0xffff;
			break;
		case 6:
			y = y << 1;
			break;
		case 7:
			y = (int)((unsigned)y * (unsigned)y % 1000);
			break;
		case 8:
			continue;
		default:
			y++;
		}
		if (y > 100000)
			break;
	}
	return y;
}

/* A sort in an array of the thread's own: addresses known only at run time. */
__global__ void
local_sort(const int *in, int *out)
{
	int values[12];
	for (int i = 0; i < 12; i++)
		values[i] = in[(threadIdx.x * 5 + i * 7) % 256];
	for (int i = 1; i < 12; i++) {
		int value = values[i], j = i;
		for (; j > 0 && values[j - 1] > value; j--)
			values[j] = values[j - 1];
		values[j] = value;
	}
	out[threadIdx.x] = values[threadIdx.x % 12];
}

int
main()
{
	const int count = 256;
	int *device_out;
	CUDA(cudaMalloc(&device_out, count * sizeof(int)));
	std::vector<int> in = random_ints(count, 2000, 61), out;
	int *device_in = to_device(in);

	CUDA(cudaDeviceSetLimit(cudaLimitStackSize, 8192));
	recurse<<<1, count>>>(device_out);
	LAUNCHED();
	out = to_host(device_out, count);
	for (int i = 0; i < count; i++)
		EXPECT(out[i] == ackermann_closed(i % 3, i % 5));
	print_checksum("recursion", out);

	for (int which = 0; which < 3; which++) {
		pointers<<<1, count>>>(device_out, which);
		LAUNCHED();
		out = to_host(device_out, count);
		for (int i = 0; i < count; i++) {
			int first = which == 0 ? i + 7 : which == 1 ? i * 7 : i - 7;
			int second = i % 3 == 0 ? i + 1000 : i % 3 == 1 ? i * 1000 : i - 1000;
			EXPECT(out[i] == first + second);
		}
		print_checksum("pointers", out);
	}

	virtuals<<<1, count>>>(device_out);
	LAUNCHED();
	out = to_host(device_out, count);
	for (int i = 0; i < count; i++)
		EXPECT(out[i] == (i % 2 ? i * 3 : i * i));
	print_checksum("virtual", out);

	switches<<<1, count>>>(device_in, device_out);
	LAUNCHED();
	out = to_host(device_out, count);
	for (int i = 0; i < count; i++)
		EXPECT(out[i] == switch_on_host(in[i]));
	print_checksum("switch", out);

	local_sort<<<1, count>>>(device_in, device_out);
	LAUNCHED();
	out = to_host(device_out, count);
	for (int i = 0; i < count; i++) {
		int smaller = 0, equal = 0;
		for (int k = 0; k < 12; k++) {
			smaller += in[(i * 5 + k * 7) % 256] < out[i];
			equal += in[(i * 5 + k * 7) % 256] == out[i];
		}
		EXPECT(smaller <= i % 12 && i % 12 < smaller + equal);
	}
	print_checksum("local", out);
	CUDA(cudaFree(device_in));
	CUDA(cudaFree(device_out));
	return ok();
}
