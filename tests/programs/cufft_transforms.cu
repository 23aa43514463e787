/*
 * cuFFT against the sums that define a transform: lengths of every kind, one to three dimensions,
 * complex and real, batches with strides, in place, both precisions.
 */
#include "program.h"

#include <cmath>
#include <complex>
#include <cufft.h>

#define FFT(call)                                                                                  \
	do {                                                                                       \
		cufftResult status_ = (call);                                                      \
		if (status_ != CUFFT_SUCCESS) {                                                    \
			printf("%s:%d: %s: %d\n", __FILE__, __LINE__, #call, (int)status_);        \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

using Z = std::complex<double>;

static std::vector<Z>
numbers(size_t count, bool real, uint64_t seed)
{
	Random random = {seed};
	std::vector<Z> values(count);
	for (Z &v : values) {
		double re = random.below(2000) / 1000.0 - 1, im = random.below(2000) / 1000.0 - 1;
		v = Z(re, real ? 0 : im);
	}
	return values;
}

/* Along each axis in turn. */
static std::vector<Z>
reference(std::vector<Z> data, const std::vector<int> &n, int sign)
{
	size_t inner = 1;
	for (size_t axis = n.size(); axis-- > 0;) {
		std::vector<Z> out(data.size()), roots(n[axis]);
		for (int k = 0; k < n[axis]; k++)
			roots[k] = std::polar(1.0, sign * 2 * M_PI * k / n[axis]);
		for (size_t i = 0; i < data.size(); i++) {
			size_t k = i / inner % n[axis], base = i - k * inner;
			for (int j = 0; j < n[axis]; j++)
				out[i] += data[base + j * inner] * roots[k * j % n[axis]];
		}
		data = out;
		inner *= n[axis];
	}
	return data;
}

static void
expect_near(const char *what, const std::vector<Z> &got, const std::vector<Z> &want,
	    double precision)
{
	double norm = 0, error = 0;
	for (size_t i = 0; i < want.size(); i++) {
		norm += std::norm(want[i]);
		error += std::norm(got[i] - want[i]);
	}
	if (!(std::sqrt(error) <= precision * std::sqrt(norm))) {
		printf("%s: relative error %g\n", what, std::sqrt(error / norm));
		exit(1);
	}
}

template <typename C>
static std::vector<C>
narrow(const std::vector<Z> &values)
{
	std::vector<C> out(values.size());
	for (size_t i = 0; i < values.size(); i++) {
		out[i].x = (decltype(C::x))values[i].real();
		out[i].y = (decltype(C::y))values[i].imag();
	}
	return out;
}

template <typename C>
static std::vector<Z>
wide(const std::vector<C> &values)
{
	std::vector<Z> out(values.size());
	for (size_t i = 0; i < values.size(); i++)
		out[i] = Z(values[i].x, values[i].y);
	return out;
}

static void
execute(cufftHandle plan, cufftComplex *in, cufftComplex *out, int direction)
{
	FFT(cufftExecC2C(plan, in, out, direction));
}
static void
execute(cufftHandle plan, cufftDoubleComplex *in, cufftDoubleComplex *out, int direction)
{
	FFT(cufftExecZ2Z(plan, in, out, direction));
}

template <typename C>
static void
complex_transform(std::vector<int> n, int batch, cufftType type, double precision)
{
	size_t size = 1;
	for (int k : n)
		size *= k;
	cufftHandle plan;
	FFT(cufftPlanMany(&plan, (int)n.size(), n.data(), nullptr, 1, 0, nullptr, 1, 0, type,
			  batch));
	std::vector<Z> in = numbers(size * batch, false, size);
	C *data = to_device(narrow<C>(in)), *out;
	CUDA(cudaMalloc(&out, size * batch * sizeof(C)));
	execute(plan, data, out, CUFFT_FORWARD);
	std::vector<Z> got = wide(to_host(out, size * batch));
	for (int b = 0; b < batch; b++) {
		std::vector<Z> part(in.begin() + b * size, in.begin() + (b + 1) * size);
		expect_near("forward", {got.begin() + b * size, got.begin() + (b + 1) * size},
			    reference(part, n, -1), precision);
	}
	/* back, in place: size times what it was */
	execute(plan, out, out, CUFFT_INVERSE);
	got = wide(to_host(out, size * batch));
	for (Z &v : in)
		v *= (double)size;
	expect_near("inverse", got, in, precision);
	FFT(cufftDestroy(plan));
	CUDA(cudaFree(data));
	CUDA(cudaFree(out));
}

static void
real_transform(std::vector<int> n, int batch)
{
	size_t size = 1, half = 1;
	for (int k : n)
		size *= k;
	half = size / n.back() * (n.back() / 2 + 1);
	cufftHandle forward, inverse;
	FFT(cufftPlanMany(&forward, (int)n.size(), n.data(), nullptr, 1, 0, nullptr, 1, 0,
			  CUFFT_R2C, batch));
	FFT(cufftPlanMany(&inverse, (int)n.size(), n.data(), nullptr, 1, 0, nullptr, 1, 0,
			  CUFFT_C2R, batch));
	std::vector<Z> in = numbers(size * batch, true, size + 1);
	std::vector<float> real(in.size());
	for (size_t i = 0; i < in.size(); i++)
		real[i] = (float)in[i].real();
	float *data = to_device(real);
	cufftComplex *out;
	CUDA(cudaMalloc(&out, half * batch * sizeof(*out)));
	FFT(cufftExecR2C(forward, data, out));
	std::vector<Z> got = wide(to_host(out, half * batch));
	size_t row = n.back(), half_row = n.back() / 2 + 1;
	for (int b = 0; b < batch; b++) {
		std::vector<Z> part(in.begin() + b * size, in.begin() + (b + 1) * size), want;
		part = reference(part, n, -1);
		for (size_t i = 0; i < half; i++)
			want.push_back(part[i / half_row * row + i % half_row]);
		expect_near("real", {got.begin() + b * half, got.begin() + (b + 1) * half}, want,
			    1e-5);
	}
	CUDA(cudaMemset(data, 0, size * batch * sizeof(float)));
	FFT(cufftExecC2R(inverse, out, data));
	real = to_host(data, size * batch);
	std::vector<Z> back(real.begin(), real.end());
	for (Z &v : in)
		v *= (double)size;
	expect_near("back to real", back, in, 1e-5);
	FFT(cufftDestroy(forward));
	FFT(cufftDestroy(inverse));
	CUDA(cudaFree(data));
	CUDA(cudaFree(out));
}

/* Columns of a matrix: elements apart by its width, batches by one. */
static void
strided_transform()
{
	int n = 24;
	const int columns = 10, wide_columns = 12;
	int embed[] = {n};
	cufftHandle plan;
	size_t workspace;
	FFT(cufftCreate(&plan));
	FFT(cufftMakePlanMany(plan, 1, &n, embed, wide_columns, 1, embed, 1, n, CUFFT_C2C, columns,
			      &workspace));
	cudaStream_t stream;
	CUDA(cudaStreamCreate(&stream));
	FFT(cufftSetStream(plan, stream));
	std::vector<Z> in = numbers((size_t)n * wide_columns, false, 5);
	cufftComplex *data = to_device(narrow<cufftComplex>(in)), *out;
	CUDA(cudaMalloc(&out, (size_t)n * columns * sizeof(*out)));
	FFT(cufftExecC2C(plan, data, out, CUFFT_FORWARD));
	CUDA(cudaStreamSynchronize(stream));
	std::vector<Z> got = wide(to_host(out, (size_t)n * columns));
	for (int c = 0; c < columns; c++) {
		std::vector<Z> column;
		for (int i = 0; i < n; i++)
			column.push_back(in[(size_t)i * wide_columns + c]);
		expect_near("a column", {got.begin() + c * n, got.begin() + (c + 1) * n},
			    reference(column, {n}, -1), 1e-5);
	}
	FFT(cufftDestroy(plan));
	CUDA(cudaStreamDestroy(stream));
	CUDA(cudaFree(data));
	CUDA(cudaFree(out));
}

int
main()
{
	for (int n :
	     {1, 2, 3, 4, 5, 7, 8, 12, 16, 30, 64, 100, 128, 243, 256, 331, 512, 1000, 1024})
		complex_transform<cufftComplex>({n}, 3, CUFFT_C2C, 1e-5);
	printf("one dimension\n");
	/* of a kind of its own each, which cuFFT has machine code and PTX for in separate images */
	for (int n : {129, 511, 1025, 2047, 4099})
		complex_transform<cufftComplex>({n}, 1, CUFFT_C2C, 1e-5);
	printf("lengths with large factors\n");
	complex_transform<cufftComplex>({4096}, 1, CUFFT_C2C, 1e-5);
	complex_transform<cufftComplex>({32, 48}, 2, CUFFT_C2C, 1e-5);
	complex_transform<cufftComplex>({8, 12, 10}, 2, CUFFT_C2C, 1e-5);
	printf("more dimensions\n");
	for (int n : {8, 60, 128, 251, 1023})
		complex_transform<cufftDoubleComplex>({n}, 2, CUFFT_Z2Z, 1e-12);
	complex_transform<cufftDoubleComplex>({16, 18}, 1, CUFFT_Z2Z, 1e-12);
	printf("double precision\n");
	for (int n : {2, 8, 15, 100, 256, 511, 1000, 2050})
		real_transform({n}, 3);
	real_transform({16, 20}, 2);
	real_transform({6, 8, 10}, 1);
	printf("real\n");
	strided_transform();
	printf("strides\n");
	return ok();
}
