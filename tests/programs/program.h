/*
 * What the test programs share. Each is an ordinary CUDA program that checks its own results
 * against the CPU and prints nothing that may differ between two correct runs: no addresses, no
 * times, no device names.
 *
 * Exit status: 0 after "ok", 1 when something is wrong, 77 when the device cannot do it (the
 * reason is printed; tests/run counts it as skipped).
 */
#ifndef GENIE_TESTS_PROGRAM_H
#define GENIE_TESTS_PROGRAM_H

#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define CUDA(call)                                                                                 \
	do {                                                                                       \
		cudaError_t error_ = (call);                                                       \
		if (error_ != cudaSuccess) {                                                       \
			printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call,                       \
			       cudaGetErrorName(error_));                                          \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* After a launch: a bad configuration shows at once, a fault only when it is waited for. */
#define LAUNCHED() CUDA(cudaGetLastError())

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("%s:%d: expected %s\n", __FILE__, __LINE__, #condition);            \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* Goes on when it was another error, so that one run shows them all; ok() then fails. */
static int wrong_errors;

#define EXPECT_ERROR(call, name)                                                                   \
	do {                                                                                       \
		cudaError_t error_ = (call);                                                       \
		if (error_ != (name)) {                                                            \
			printf("%s:%d: %s: %s, expected %s\n", __FILE__, __LINE__, #call,          \
			       cudaGetErrorName(error_), cudaGetErrorName(name));                  \
			wrong_errors++;                                                            \
		}                                                                                  \
	} while (0)

static inline int
ok(void)
{
	if (wrong_errors)
		return 1;
	printf("ok\n");
	return 0;
}

[[noreturn]] static inline void
skip(const char *reason)
{
	printf("skipped: %s\n", reason);
	exit(77);
}

/* Same numbers everywhere and every time. */
struct Random {
	uint64_t state;

	uint32_t next()
	{
		state = state * 6364136223846793005ull + 1442695040888963407ull;
		return (uint32_t)(state >> 32);
	}
	uint32_t below(uint32_t limit)
	{
		return (uint32_t)(((uint64_t)next() * limit) >> 32);
	}
};

static inline std::vector<int>
random_ints(size_t count, uint32_t limit, uint64_t seed)
{
	Random random = {seed};
	std::vector<int> values(count);
	for (int &value : values)
		value = (int)random.below(limit);
	return values;
}

/* FNV-1a: a short print of much data. */
static inline uint64_t
checksum(const void *data, size_t size)
{
	const unsigned char *bytes = (const unsigned char *)data;
	uint64_t sum = 14695981039346656037ull;
	for (size_t i = 0; i < size; i++)
		sum = (sum ^ bytes[i]) * 1099511628211ull;
	return sum;
}

template <typename T>
static inline void
print_checksum(const char *what, const std::vector<T> &values)
{
	printf("%s: %016llx\n", what,
	       (unsigned long long)checksum(values.data(), values.size() * sizeof(T)));
}

/* Device memory of a vector's size, with its content. */
template <typename T>
static inline T *
to_device(const std::vector<T> &values)
{
	T *device;
	CUDA(cudaMalloc(&device, values.size() * sizeof(T)));
	CUDA(cudaMemcpy(device, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
	return device;
}

template <typename T>
static inline std::vector<T>
to_host(const T *device, size_t count)
{
	std::vector<T> values(count);
	CUDA(cudaMemcpy(values.data(), device, count * sizeof(T), cudaMemcpyDeviceToHost));
	return values;
}

#endif
