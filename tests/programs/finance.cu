/*
 * Options: the formula of Black and Scholes, a binomial tree in shared memory, and Monte Carlo with
 * each generator of cuRAND's device API. Random integers must be the same everywhere; prices are
 * compared with the formula.
 */
#include "program.h"

#include <cmath>
#include <curand_kernel.h>

constexpr int OPTIONS = 512, PATHS = 4096;

__device__ static float
normal_cdf(float d)
{
	return 0.5f * erfcf(-d * rsqrtf(2.0f));
}

__global__ void
formula(const float *price, const float *strike, const float *years, float *call, float *put,
	float rate, float volatility)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i >= OPTIONS)
		return;
	float root = sqrtf(years[i]);
	float d1 = (__logf(price[i] / strike[i]) +
		    (rate + 0.5f * volatility * volatility) * years[i]) /
		   (volatility * root);
	float d2 = d1 - volatility * root, discount = expf(-rate * years[i]);
	call[i] = price[i] * normal_cdf(d1) - strike[i] * discount * normal_cdf(d2);
	put[i] = strike[i] * discount * normal_cdf(-d2) - price[i] * normal_cdf(-d1);
}

__global__ void
binomial(const float *price, const float *strike, const float *years, float *call, float rate,
	 float volatility)
{
	constexpr int STEPS = 127;
	__shared__ double value[STEPS + 1];
	int i = threadIdx.x;
	double dt = years[blockIdx.x] / STEPS, up = exp(volatility * sqrt(dt)),
	       grow = exp(rate * dt);
	double p = (grow - 1 / up) / (up - 1 / up);
	value[i] = fmax(price[blockIdx.x] * pow(up, 2.0 * i - STEPS) - strike[blockIdx.x], 0.0);
	for (int step = STEPS; step > 0; step--) {
		__syncthreads();
		double next = i < step ? (p * value[i + 1] + (1 - p) * value[i]) / grow : 0;
		__syncthreads();
		if (i < step)
			value[i] = next;
	}
	if (i == 0)
		call[blockIdx.x] = (float)value[0];
}

template <typename STATE>
__global__ void
draw(unsigned *raw, double *payoff, float s, float k, float t, float rate, float volatility)
{
	STATE state;
	int thread = blockIdx.x * blockDim.x + threadIdx.x, threads = gridDim.x * blockDim.x;
	curand_init(1234ull, thread, 5, &state);
	raw[thread] = curand(&state);
	double sum = 0;
	for (int i = thread; i < PATHS; i += threads) {
		float z = curand_normal(&state);
		float end = s * expf((rate - 0.5f * volatility * volatility) * t +
				     volatility * sqrtf(t) * z);
		sum += fmaxf(end - k, 0.0f);
	}
	payoff[thread] = sum * exp(-rate * t) / PATHS;
}

template <typename STATE>
static void
simulate(const char *name, double expected)
{
	const int threads = 256;
	unsigned *raw;
	double *payoff, price = 0;
	CUDA(cudaMalloc(&raw, threads * sizeof(*raw)));
	CUDA(cudaMalloc(&payoff, threads * sizeof(*payoff)));
	draw<STATE><<<4, threads / 4>>>(raw, payoff, 100, 105, 1, 0.05f, 0.2f);
	LAUNCHED();
	print_checksum(name, to_host(raw, threads));
	for (double part : to_host(payoff, threads))
		price += part;
	EXPECT(fabs(price - expected) < 0.8);
	CUDA(cudaFree(raw));
	CUDA(cudaFree(payoff));
}

int
main()
{
	std::vector<float> price(OPTIONS), strike(OPTIONS), years(OPTIONS);
	Random random = {42};
	for (int i = 0; i < OPTIONS; i++) {
		price[i] = 5 + (float)random.below(2500) / 100;
		strike[i] = 1 + (float)random.below(9900) / 100;
		years[i] = 0.25f + (float)random.below(975) / 100;
	}
	price[0] = 100, strike[0] = 105, years[0] = 1;
	const float rate = 0.05f, volatility = 0.2f;
	float *p = to_device(price), *k = to_device(strike), *t = to_device(years), *call, *put,
	      *tree;
	CUDA(cudaMalloc(&call, OPTIONS * sizeof(float)));
	CUDA(cudaMalloc(&put, OPTIONS * sizeof(float)));
	CUDA(cudaMalloc(&tree, 32 * sizeof(float)));
	formula<<<(OPTIONS + 127) / 128, 128>>>(p, k, t, call, put, rate, volatility);
	binomial<<<32, 128>>>(p, k, t, tree, rate, volatility);
	LAUNCHED();
	std::vector<float> calls = to_host(call, OPTIONS), puts = to_host(put, OPTIONS),
			   trees = to_host(tree, 32);
	for (int i = 0; i < OPTIONS; i++) {
		double root = sqrt((double)years[i]);
		double d1 = (log((double)price[i] / strike[i]) + (0.05 + 0.02) * years[i]) /
			    (0.2 * root);
		double d2 = d1 - 0.2 * root, discount = exp(-0.05 * years[i]);
		double expected = price[i] * 0.5 * erfc(-d1 / sqrt(2.0)) -
				  strike[i] * discount * 0.5 * erfc(-d2 / sqrt(2.0));
		EXPECT(fabs(calls[i] - expected) < 2e-4 * price[i]);
		EXPECT(fabs(calls[i] - puts[i] - (price[i] - strike[i] * discount)) <
		       1e-3 * price[i]);
		if (i < 32)
			EXPECT(fabs(trees[i] - expected) < 0.02 * price[i]);
	}
	simulate<curandStateXORWOW_t>("xorwow", calls[0]);
	simulate<curandStatePhilox4_32_10_t>("philox", calls[0]);
	simulate<curandStateMRG32k3a_t>("mrg32k3a", calls[0]);
	printf("prices agree\n");
	return ok();
}
