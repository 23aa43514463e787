/*
 * cuRAND: the generators of the host interface and the common ones of the device interface. Philox
 * is computed again here; the others must have the moments of their distributions. MT19937 is left
 * out: to seed it takes a CPU device minutes (a jump of its state for each of 8192 streams).
 */
#include "program.h"

#include <cmath>
#include <curand.h>
#include <curand_kernel.h>

#define RAND(call)                                                                                 \
	do {                                                                                       \
		curandStatus_t status_ = (call);                                                   \
		if (status_ != CURAND_STATUS_SUCCESS) {                                            \
			printf("%s:%d: %s: %d\n", __FILE__, __LINE__, #call, (int)status_);        \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static const int n = 20000;

template <typename T>
static void
expect_moments(const char *what, const T *device, int count, double mean, double deviation)
{
	std::vector<T> values = to_host(device, count);
	double sum = 0, squares = 0;
	for (T v : values) {
		sum += (double)v;
		squares += (double)v * (double)v;
	}
	double got = sum / count, spread = std::sqrt(squares / count - got * got);
	if (!(std::fabs(got - mean) < 0.05 * deviation) ||
	    !(std::fabs(spread - deviation) < 0.05 * deviation)) {
		printf("%s: mean %g, deviation %g; expected %g, %g\n", what, got, spread, mean,
		       deviation);
		exit(1);
	}
}

static void
test_generator(const char *name, curandRngType_t type)
{
	bool quasi = type >= CURAND_RNG_QUASI_DEFAULT, wide = type >= CURAND_RNG_QUASI_SOBOL64;
	curandGenerator_t generator;
	unsigned *ints;
	float *floats;
	double *doubles;
	CUDA(cudaMalloc(&ints, n * sizeof(unsigned)));
	CUDA(cudaMalloc(&floats, n * sizeof(float)));
	CUDA(cudaMalloc(&doubles, n * sizeof(double)));
	RAND(curandCreateGenerator(&generator, type));
	if (!quasi)
		RAND(curandSetPseudoRandomGeneratorSeed(generator, 1234));
	if (!wide) {
		RAND(curandGenerate(generator, ints, n));
		expect_moments("integers", ints, n, 2147483647.5, 1239850262.0);
	}
	RAND(curandGenerateUniform(generator, floats, n));
	expect_moments("uniform", floats, n, 0.5, std::sqrt(1 / 12.0));
	for (float v : to_host(floats, n))
		EXPECT(v >= 0 && v <= 1);
	RAND(curandGenerateNormal(generator, floats, n, 2, 3));
	expect_moments("normal", floats, n, 2, 3);
	RAND(curandGenerateLogNormal(generator, floats, n, 0, 0.5f));
	expect_moments("log-normal", floats, n, std::exp(0.125),
		       std::sqrt((std::exp(0.25) - 1) * std::exp(0.25)));
	RAND(curandGenerateUniformDouble(generator, doubles, n));
	expect_moments("uniform double", doubles, n, 0.5, std::sqrt(1 / 12.0));
	RAND(curandGenerateNormalDouble(generator, doubles, n, -1, 0.25));
	expect_moments("normal double", doubles, n, -1, 0.25);
	RAND(curandGeneratePoisson(generator, ints, n, 6));
	expect_moments("Poisson", ints, n, 6, std::sqrt(6.0));
	RAND(curandDestroyGenerator(generator));
	/* the same seed, the same numbers */
	std::vector<float> first;
	for (int i = 0; i < 2; i++) {
		RAND(curandCreateGenerator(&generator, type));
		if (!quasi)
			RAND(curandSetPseudoRandomGeneratorSeed(generator, 99));
		RAND(curandGenerateUniform(generator, floats, n));
		if (i)
			EXPECT(to_host(floats, n) == first);
		first = to_host(floats, n);
		RAND(curandDestroyGenerator(generator));
	}
	CUDA(cudaFree(ints));
	CUDA(cudaFree(floats));
	CUDA(cudaFree(doubles));
	printf("%s\n", name);
}

/* Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3". */
static void
philox(uint64_t seed, uint64_t subsequence, uint64_t block, uint32_t out[4])
{
	uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
	uint32_t c[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)subsequence,
			 (uint32_t)(subsequence >> 32)};
	for (int round = 0; round < 10; round++) {
		uint64_t a = (uint64_t)c[0] * 0xD2511F53u, b = (uint64_t)c[2] * 0xCD9E8D57u;
		uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ key[0], (uint32_t)b,
				    (uint32_t)(a >> 32) ^ c[3] ^ key[1], (uint32_t)a};
		for (int k = 0; k < 4; k++)
			c[k] = next[k];
		key[0] += 0x9E3779B9u;
		key[1] += 0xBB67AE85u;
	}
	for (int k = 0; k < 4; k++)
		out[k] = c[k];
}

__global__ void
philox_numbers(uint4 *out, unsigned long long offset)
{
	curandStatePhilox4_32_10_t state;
	curand_init(0x123456789abcdefull, threadIdx.x, offset, &state);
	out[threadIdx.x] = curand4(&state);
}

template <typename State>
__global__ void
device_numbers(float *uniform, float *normal, unsigned *poisson, int each)
{
	State state;
	int first = (blockIdx.x * blockDim.x + threadIdx.x) * each;
	curand_init(42, blockIdx.x * blockDim.x + threadIdx.x, 0, &state);
	for (int i = 0; i < each; i++) {
		uniform[first + i] = curand_uniform(&state);
		normal[first + i] = curand_normal(&state);
		poisson[first + i] = curand_poisson(&state, 4.0);
	}
}

template <typename State>
static void
test_device(const char *name)
{
	float *uniform, *normal;
	unsigned *poisson;
	CUDA(cudaMalloc(&uniform, 16384 * 4));
	CUDA(cudaMalloc(&normal, 16384 * 4));
	CUDA(cudaMalloc(&poisson, 16384 * 4));
	device_numbers<State><<<8, 64>>>(uniform, normal, poisson, 32);
	LAUNCHED();
	expect_moments("uniform", uniform, 16384, 0.5, std::sqrt(1 / 12.0));
	expect_moments("normal", normal, 16384, 0, 1);
	expect_moments("Poisson", poisson, 16384, 4, 2);
	CUDA(cudaFree(uniform));
	CUDA(cudaFree(normal));
	CUDA(cudaFree(poisson));
	printf("%s in kernels\n", name);
}

int
main()
{
	uint4 *out;
	CUDA(cudaMalloc(&out, 256 * sizeof(uint4)));
	for (unsigned long long offset : {0ull, 4ull, 4000ull}) {
		philox_numbers<<<1, 256>>>(out, offset);
		LAUNCHED();
		std::vector<uint4> got = to_host(out, 256);
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t want[4];
			philox(0x123456789abcdefull, i, offset / 4, want);
			EXPECT(got[i].x == want[0] && got[i].y == want[1] && got[i].z == want[2] &&
			       got[i].w == want[3]);
		}
	}
	CUDA(cudaFree(out));
	printf("Philox, number by number\n");
	test_device<curandStateXORWOW_t>("XORWOW");
	test_device<curandStateMRG32k3a_t>("MRG32k3a");
	test_device<curandStatePhilox4_32_10_t>("Philox");
	test_generator("XORWOW", CURAND_RNG_PSEUDO_XORWOW);
	test_generator("MRG32k3a", CURAND_RNG_PSEUDO_MRG32K3A);
	test_generator("MTGP32", CURAND_RNG_PSEUDO_MTGP32);
	test_generator("Philox", CURAND_RNG_PSEUDO_PHILOX4_32_10);
	test_generator("Sobol32", CURAND_RNG_QUASI_SOBOL32);
	test_generator("scrambled Sobol32", CURAND_RNG_QUASI_SCRAMBLED_SOBOL32);
	test_generator("Sobol64", CURAND_RNG_QUASI_SOBOL64);
	test_generator("scrambled Sobol64", CURAND_RNG_QUASI_SCRAMBLED_SOBOL64);
	return ok();
}
