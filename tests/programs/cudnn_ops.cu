/*
 * cuDNN, each operation against plain loops: softmax, activations, pooling, element-wise sums,
 * convolutions (forward, backward by data and by filter, with groups, strides, dilation, padding),
 * normalisation (training, inference, backward), dropout's and reductions' shapes.
 */
#include "program.h"

#include <cmath>
#include <cstring>
#include <cudnn.h>
#include <functional>

#define DNN(call)                                                                                  \
	do {                                                                                       \
		cudnnStatus_t status_ = (call);                                                    \
		if (status_ != CUDNN_STATUS_SUCCESS) {                                             \
			printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call,                       \
			       cudnnGetErrorString(status_));                                      \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static cudnnHandle_t handle;
static const float one = 1, zero = 0;

static std::vector<float>
numbers(size_t count, uint64_t seed)
{
	Random random = {seed};
	std::vector<float> values(count);
	for (float &v : values)
		v = ((int)random.below(2001) - 1000) / 500.0f;
	return values;
}

static void
expect_all(const char *what, const float *device, const std::vector<double> &want,
	   double tolerance = 1e-3)
{
	std::vector<float> got = to_host(device, want.size());
	for (size_t i = 0; i < want.size(); i++) {
		if (!(std::fabs(got[i] - want[i]) <= tolerance * (1 + std::fabs(want[i])))) {
			printf("%s: element %zu: got %g, expected %g\n", what, i, got[i], want[i]);
			exit(1);
		}
	}
	printf("%s\n", what);
}

static cudnnTensorDescriptor_t
tensor(int n, int c, int h, int w)
{
	cudnnTensorDescriptor_t desc;
	DNN(cudnnCreateTensorDescriptor(&desc));
	DNN(cudnnSetTensor4dDescriptor(desc, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, n, c, h, w));
	return desc;
}

struct Shape {
	int n, c, h, w;
	size_t size() const
	{
		return (size_t)n * c * h * w;
	}
	size_t at(int i, int j, int y, int x) const
	{
		return (((size_t)i * c + j) * h + y) * w + x;
	}
};

static void
test_softmax()
{
	const Shape s = {3, 10, 4, 5};
	std::vector<float> x = numbers(s.size(), 1), dy = numbers(s.size(), 2);
	float *dx = to_device(x), *ddy = to_device(dy), *y, *grad;
	CUDA(cudaMalloc(&y, s.size() * 4));
	CUDA(cudaMalloc(&grad, s.size() * 4));
	cudnnTensorDescriptor_t desc = tensor(s.n, s.c, s.h, s.w);
	struct {
		cudnnSoftmaxAlgorithm_t algo;
		cudnnSoftmaxMode_t mode;
		const char *name, *backward;
	} cases[] = {
		{CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_CHANNEL, "softmax by channel",
		 "softmax by channel, backward"},
		{CUDNN_SOFTMAX_FAST, CUDNN_SOFTMAX_MODE_INSTANCE, "softmax by instance",
		 "softmax by instance, backward"},
		{CUDNN_SOFTMAX_LOG, CUDNN_SOFTMAX_MODE_CHANNEL, "log softmax",
		 "log softmax, backward"},
	};
	for (auto &k : cases) {
		std::vector<double> want(s.size()), want_grad(s.size());
		bool channel = k.mode == CUDNN_SOFTMAX_MODE_CHANNEL;
		int groups = channel ? s.n * s.h * s.w : s.n,
		    length = channel ? s.c : s.c * s.h * s.w;
		auto place = [&](int g, int i) {
			return channel ? s.at(g / (s.h * s.w), i, g / s.w % s.h, g % s.w)
				       : (size_t)g * length + i;
		};
		bool log = k.algo == CUDNN_SOFTMAX_LOG;
		for (int g = 0; g < groups; g++) {
			double sum = 0, dot = 0;
			for (int i = 0; i < length; i++)
				sum += std::exp((double)x[place(g, i)]);
			for (int i = 0; i < length; i++) {
				double p = std::exp((double)x[place(g, i)]) / sum;
				want[place(g, i)] = log ? std::log(p) : p;
				dot += log ? dy[place(g, i)] : dy[place(g, i)] * p;
			}
			for (int i = 0; i < length; i++) {
				double p = std::exp((double)x[place(g, i)]) / sum;
				want_grad[place(g, i)] = log ? dy[place(g, i)] - p * dot
							     : p * (dy[place(g, i)] - dot);
			}
		}
		DNN(cudnnSoftmaxForward(handle, k.algo, k.mode, &one, desc, dx, &zero, desc, y));
		expect_all(k.name, y, want);
		DNN(cudnnSoftmaxBackward(handle, k.algo, k.mode, &one, desc, y, desc, ddy, &zero,
					 desc, grad));
		expect_all(k.backward, grad, want_grad);
	}
	DNN(cudnnDestroyTensorDescriptor(desc));
	for (float *p : {dx, ddy, y, grad})
		CUDA(cudaFree(p));
}

static void
test_activations()
{
	const Shape s = {2, 5, 7, 3};
	std::vector<float> x = numbers(s.size(), 3), dy = numbers(s.size(), 4);
	float *dx = to_device(x), *ddy = to_device(dy), *y, *grad;
	CUDA(cudaMalloc(&y, s.size() * 4));
	CUDA(cudaMalloc(&grad, s.size() * 4));
	cudnnTensorDescriptor_t desc = tensor(s.n, s.c, s.h, s.w);
	cudnnActivationDescriptor_t act;
	DNN(cudnnCreateActivationDescriptor(&act));
	struct {
		cudnnActivationMode_t mode;
		double coefficient;
		const char *name, *backward;
		std::function<double(double)> f, d;
	} cases[] = {
		{CUDNN_ACTIVATION_SIGMOID, 0, "sigmoid", "sigmoid, backward",
		 [](double v) { return 1 / (1 + std::exp(-v)); },
		 [](double v) {
			 double p = 1 / (1 + std::exp(-v));
			 return p * (1 - p);
		 }},
		{CUDNN_ACTIVATION_RELU, 0, "relu", "relu, backward",
		 [](double v) { return v > 0 ? v : 0; }, [](double v) { return v > 0 ? 1.0 : 0; }},
		{CUDNN_ACTIVATION_TANH, 0, "tanh", "tanh, backward",
		 [](double v) { return std::tanh(v); },
		 [](double v) { return 1 - std::tanh(v) * std::tanh(v); }},
		{CUDNN_ACTIVATION_CLIPPED_RELU, 1.25, "clipped relu", "clipped relu, backward",
		 [](double v) { return std::fmin(std::fmax(v, 0), 1.25); },
		 [](double v) { return v > 0 && v < 1.25 ? 1.0 : 0; }},
		{CUDNN_ACTIVATION_ELU, 0.5, "elu", "elu, backward",
		 [](double v) { return v > 0 ? v : 0.5 * std::expm1(v); },
		 [](double v) { return v > 0 ? 1 : 0.5 * std::exp(v); }},
	};
	for (auto &k : cases) {
		DNN(cudnnSetActivationDescriptor(act, k.mode, CUDNN_PROPAGATE_NAN, k.coefficient));
		std::vector<double> want(s.size()), want_grad(s.size());
		for (size_t i = 0; i < s.size(); i++) {
			want[i] = k.f(x[i]);
			want_grad[i] = dy[i] * k.d(x[i]);
		}
		DNN(cudnnActivationForward(handle, act, &one, desc, dx, &zero, desc, y));
		expect_all(k.name, y, want);
		DNN(cudnnActivationBackward(handle, act, &one, desc, y, desc, ddy, desc, dx, &zero,
					    desc, grad));
		expect_all(k.backward, grad, want_grad);
	}
	DNN(cudnnDestroyActivationDescriptor(act));
	DNN(cudnnDestroyTensorDescriptor(desc));
	for (float *p : {dx, ddy, y, grad})
		CUDA(cudaFree(p));
}

static void
test_pooling()
{
	const Shape s = {2, 3, 8, 10};
	std::vector<float> x = numbers(s.size(), 5);
	float *dx = to_device(x), *y, *grad;
	cudnnTensorDescriptor_t desc = tensor(s.n, s.c, s.h, s.w), out;
	cudnnPoolingDescriptor_t pool;
	DNN(cudnnCreatePoolingDescriptor(&pool));
	for (cudnnPoolingMode_t mode :
	     {CUDNN_POOLING_MAX, CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING,
	      CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING}) {
		Shape o = {s.n, s.c, 0, 0};
		DNN(cudnnSetPooling2dDescriptor(pool, mode, CUDNN_NOT_PROPAGATE_NAN, 3, 2, 1, 0, 2,
						2));
		DNN(cudnnGetPooling2dForwardOutputDim(pool, desc, &o.n, &o.c, &o.h, &o.w));
		out = tensor(o.n, o.c, o.h, o.w);
		std::vector<float> dy = numbers(o.size(), 6);
		std::vector<double> want(o.size()), want_grad(s.size());
		for (int n = 0; n < o.n; n++) {
			for (int c = 0; c < o.c; c++) {
				for (int i = 0; i < o.h * o.w; i++) {
					int y0 = i / o.w * 2 - 1, x0 = i % o.w * 2, count = 0;
					size_t best = 0;
					double sum = 0, most = -1e30;
					for (int k = 0; k < 6; k++) {
						int yy = y0 + k / 2, xx = x0 + k % 2;
						if (yy < 0 || yy >= s.h || xx >= s.w)
							continue;
						size_t at = s.at(n, c, yy, xx);
						count++;
						sum += x[at];
						if (x[at] > most)
							most = x[at], best = at;
					}
					size_t at = o.at(n, c, i / o.w, i % o.w);
					bool all =
						mode == CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING;
					double by = all ? 6 : count;
					want[at] = mode == CUDNN_POOLING_MAX ? most : sum / by;
					if (mode == CUDNN_POOLING_MAX)
						want_grad[best] += dy[at];
					for (int k = 0; mode != CUDNN_POOLING_MAX && k < 6; k++) {
						int yy = y0 + k / 2, xx = x0 + k % 2;
						if (yy >= 0 && yy < s.h && xx < s.w)
							want_grad[s.at(n, c, yy, xx)] +=
								dy[at] / by;
					}
				}
			}
		}
		float *ddy = to_device(dy);
		CUDA(cudaMalloc(&y, o.size() * 4));
		CUDA(cudaMalloc(&grad, s.size() * 4));
		DNN(cudnnPoolingForward(handle, pool, &one, desc, dx, &zero, out, y));
		expect_all("pooling", y, want);
		DNN(cudnnPoolingBackward(handle, pool, &one, out, y, out, ddy, desc, dx, &zero,
					 desc, grad));
		expect_all("pooling, backward", grad, want_grad);
		for (float *p : {ddy, y, grad})
			CUDA(cudaFree(p));
		DNN(cudnnDestroyTensorDescriptor(out));
	}
	DNN(cudnnDestroyPoolingDescriptor(pool));
	DNN(cudnnDestroyTensorDescriptor(desc));
	CUDA(cudaFree(dx));
}

/* Sums of tensors, one of them broadcast, and reductions. */
static void
test_elements()
{
	const Shape s = {2, 4, 5, 6};
	std::vector<float> x = numbers(s.size(), 7), y = numbers(s.size(), 8), b = numbers(s.c, 9);
	float *dx = to_device(x), *dy = to_device(y), *db = to_device(b), *out;
	cudnnTensorDescriptor_t desc = tensor(s.n, s.c, s.h, s.w), bias = tensor(1, s.c, 1, 1);
	float alpha = 0.5f, beta = 2;
	std::vector<double> want(s.size()), sums(s.c);
	DNN(cudnnAddTensor(handle, &alpha, bias, db, &beta, desc, dy));
	for (size_t i = 0; i < s.size(); i++)
		want[i] = 0.5 * b[i / (s.h * s.w) % s.c] + 2 * y[i];
	expect_all("add", dy, want);

	cudnnOpTensorDescriptor_t op;
	DNN(cudnnCreateOpTensorDescriptor(&op));
	DNN(cudnnSetOpTensorDescriptor(op, CUDNN_OP_TENSOR_MUL, CUDNN_DATA_FLOAT,
				       CUDNN_NOT_PROPAGATE_NAN));
	CUDA(cudaMalloc(&out, s.size() * 4));
	DNN(cudnnOpTensor(handle, op, &one, desc, dx, &one, bias, db, &zero, desc, out));
	for (size_t i = 0; i < s.size(); i++)
		want[i] = (double)x[i] * b[i / (s.h * s.w) % s.c];
	expect_all("multiply", out, want);
	DNN(cudnnDestroyOpTensorDescriptor(op));

	cudnnReduceTensorDescriptor_t reduce;
	DNN(cudnnCreateReduceTensorDescriptor(&reduce));
	DNN(cudnnSetReduceTensorDescriptor(reduce, CUDNN_REDUCE_TENSOR_ADD, CUDNN_DATA_FLOAT,
					   CUDNN_NOT_PROPAGATE_NAN, CUDNN_REDUCE_TENSOR_NO_INDICES,
					   CUDNN_32BIT_INDICES));
	size_t size;
	void *workspace;
	DNN(cudnnGetReductionWorkspaceSize(handle, reduce, desc, bias, &size));
	CUDA(cudaMalloc(&workspace, size + 1));
	DNN(cudnnReduceTensor(handle, reduce, nullptr, 0, workspace, size, &one, desc, dx, &zero,
			      bias, out));
	for (size_t i = 0; i < s.size(); i++)
		sums[i / (s.h * s.w) % s.c] += x[i];
	expect_all("reduce", out, sums);
	DNN(cudnnDestroyReduceTensorDescriptor(reduce));
	CUDA(cudaFree(workspace));
	DNN(cudnnSetTensor(handle, desc, dx, &alpha));
	expect_all("set", dx, std::vector<double>(s.size(), 0.5));
	DNN(cudnnScaleTensor(handle, desc, dx, &beta));
	expect_all("scale", dx, std::vector<double>(s.size(), 1));
	/* from one layout to the other */
	cudnnTensorDescriptor_t last;
	DNN(cudnnCreateTensorDescriptor(&last));
	DNN(cudnnSetTensor4dDescriptor(last, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, s.n, s.c, s.h,
				       s.w));
	CUDA(cudaMemcpy(dy, y.data(), s.size() * 4, cudaMemcpyHostToDevice));
	DNN(cudnnTransformTensor(handle, &one, desc, dy, &zero, last, out));
	for (int n = 0; n < s.n; n++)
		for (int c = 0; c < s.c; c++)
			for (int h = 0; h < s.h; h++)
				for (int w = 0; w < s.w; w++)
					want[((n * s.h + h) * s.w + w) * s.c + c] =
						y[s.at(n, c, h, w)];
	expect_all("transform", out, want);
	DNN(cudnnDestroyTensorDescriptor(last));
	DNN(cudnnDestroyTensorDescriptor(desc));
	DNN(cudnnDestroyTensorDescriptor(bias));
	for (float *p : {dx, dy, db, out})
		CUDA(cudaFree(p));
}

struct Conv {
	const char *name;
	Shape x;
	int k, r, s; /* filters, their height and width */
	int pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w, groups;
	cudnnConvolutionMode_t mode;
};

static void
test_convolution(const Conv &p)
{
	int cg = p.x.c / p.groups, kg = p.k / p.groups;
	cudnnTensorDescriptor_t xd = tensor(p.x.n, p.x.c, p.x.h, p.x.w), yd;
	cudnnFilterDescriptor_t wd;
	cudnnConvolutionDescriptor_t conv;
	DNN(cudnnCreateFilterDescriptor(&wd));
	DNN(cudnnSetFilter4dDescriptor(wd, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, p.k, cg, p.r, p.s));
	DNN(cudnnCreateConvolutionDescriptor(&conv));
	DNN(cudnnSetConvolution2dDescriptor(conv, p.pad_h, p.pad_w, p.stride_h, p.stride_w,
					    p.dilation_h, p.dilation_w, p.mode, CUDNN_DATA_FLOAT));
	DNN(cudnnSetConvolutionGroupCount(conv, p.groups));
	DNN(cudnnSetConvolutionMathType(conv, CUDNN_FMA_MATH));
	Shape o = {0, 0, 0, 0}, f = {p.k, cg, p.r, p.s};
	DNN(cudnnGetConvolution2dForwardOutputDim(conv, xd, wd, &o.n, &o.c, &o.h, &o.w));
	EXPECT(o.n == p.x.n && o.c == p.k);
	yd = tensor(o.n, o.c, o.h, o.w);
	std::vector<float> x = numbers(p.x.size(), 10), w = numbers(f.size(), 11),
			   dy = numbers(o.size(), 12);
	std::vector<double> y(o.size()), dx(p.x.size()), dw(f.size()), db(p.k);
	for (int n = 0; n < o.n; n++) {
		for (int k = 0; k < o.c; k++) {
			for (int i = 0; i < o.h * o.w; i++) {
				size_t at = o.at(n, k, i / o.w, i % o.w);
				db[k] += dy[at];
				for (int j = 0; j < cg * p.r * p.s; j++) {
					int c = j / (p.r * p.s), r = j / p.s % p.r, s = j % p.s;
					bool flip = p.mode == CUDNN_CONVOLUTION;
					int yy = i / o.w * p.stride_h - p.pad_h + r * p.dilation_h;
					int xx = i % o.w * p.stride_w - p.pad_w + s * p.dilation_w;
					if (yy < 0 || yy >= p.x.h || xx < 0 || xx >= p.x.w)
						continue;
					size_t xa = p.x.at(n, k / kg * cg + c, yy, xx);
					size_t wa = f.at(k, c, flip ? p.r - 1 - r : r,
							 flip ? p.s - 1 - s : s);
					y[at] += (double)x[xa] * w[wa];
					dx[xa] += (double)dy[at] * w[wa];
					dw[wa] += (double)dy[at] * x[xa];
				}
			}
		}
	}
	float *gx = to_device(x), *gw = to_device(w), *gdy = to_device(dy), *out;
	CUDA(cudaMalloc(&out, std::max({o.size(), p.x.size(), f.size()}) * 4));
	printf("%s\n", p.name);

	int count;
	cudnnConvolutionFwdAlgoPerf_t forward[8];
	DNN(cudnnGetConvolutionForwardAlgorithm_v7(handle, xd, wd, conv, yd, 8, &count, forward));
	EXPECT(count > 0);
	size_t size;
	void *workspace;
	DNN(cudnnGetConvolutionForwardWorkspaceSize(handle, xd, wd, conv, yd, forward[0].algo,
						    &size));
	CUDA(cudaMalloc(&workspace, size + 1));
	DNN(cudnnConvolutionForward(handle, &one, xd, gx, wd, gw, conv, forward[0].algo, workspace,
				    size, &zero, yd, out));
	expect_all("  forward", out, y);
	CUDA(cudaFree(workspace));

	cudnnConvolutionBwdDataAlgoPerf_t data[8];
	DNN(cudnnGetConvolutionBackwardDataAlgorithm_v7(handle, wd, yd, conv, xd, 8, &count, data));
	EXPECT(count > 0);
	DNN(cudnnGetConvolutionBackwardDataWorkspaceSize(handle, wd, yd, conv, xd, data[0].algo,
							 &size));
	CUDA(cudaMalloc(&workspace, size + 1));
	DNN(cudnnConvolutionBackwardData(handle, &one, wd, gw, yd, gdy, conv, data[0].algo,
					 workspace, size, &zero, xd, out));
	expect_all("  backward by data", out, dx);
	CUDA(cudaFree(workspace));

	cudnnConvolutionBwdFilterAlgoPerf_t filter[8];
	DNN(cudnnGetConvolutionBackwardFilterAlgorithm_v7(handle, xd, yd, conv, wd, 8, &count,
							  filter));
	EXPECT(count > 0);
	DNN(cudnnGetConvolutionBackwardFilterWorkspaceSize(handle, xd, yd, conv, wd, filter[0].algo,
							   &size));
	CUDA(cudaMalloc(&workspace, size + 1));
	DNN(cudnnConvolutionBackwardFilter(handle, &one, xd, gx, yd, gdy, conv, filter[0].algo,
					   workspace, size, &zero, wd, out));
	expect_all("  backward by filter", out, dw);
	CUDA(cudaFree(workspace));

	cudnnTensorDescriptor_t bias = tensor(1, p.k, 1, 1);
	DNN(cudnnConvolutionBackwardBias(handle, &one, yd, gdy, &zero, bias, out));
	expect_all("  backward by bias", out, db);
	for (float *q : {gx, gw, gdy, out})
		CUDA(cudaFree(q));
	DNN(cudnnDestroyTensorDescriptor(bias));
	DNN(cudnnDestroyTensorDescriptor(xd));
	DNN(cudnnDestroyTensorDescriptor(yd));
	DNN(cudnnDestroyFilterDescriptor(wd));
	DNN(cudnnDestroyConvolutionDescriptor(conv));
}

static void
test_normalization(cudnnBatchNormMode_t mode, const char *name)
{
	const Shape s = {4, 3, 5, 6};
	const double epsilon = 1e-4, factor = 0.25;
	bool spatial = mode != CUDNN_BATCHNORM_PER_ACTIVATION;
	size_t features = spatial ? s.c : s.c * s.h * s.w;
	size_t count = s.size() / features;
	auto feature = [&](size_t i) {
		return spatial ? i / (s.h * s.w) % s.c : i % (s.c * s.h * s.w);
	};
	std::vector<float> x = numbers(s.size(), 13), dy = numbers(s.size(), 14),
			   scale = numbers(features, 15), bias = numbers(features, 16),
			   running(features, 0.5f);
	std::vector<double> mean(features), var(features), y(s.size()), trained(s.size()),
		run_mean(features), run_var(features), dscale(features), dbias(features),
		dx(s.size());
	for (size_t i = 0; i < s.size(); i++)
		mean[feature(i)] += x[i] / (double)count;
	for (size_t i = 0; i < s.size(); i++)
		var[feature(i)] += std::pow(x[i] - mean[feature(i)], 2) / (double)count;
	for (size_t i = 0; i < s.size(); i++) {
		size_t f = feature(i);
		double normal = (x[i] - mean[f]) / std::sqrt(var[f] + epsilon);
		trained[i] = scale[f] * normal + bias[f];
		dscale[f] += dy[i] * normal;
		dbias[f] += dy[i];
	}
	for (size_t i = 0; i < s.size(); i++) {
		size_t f = feature(i);
		double inverse = 1 / std::sqrt(var[f] + epsilon);
		double normal = (x[i] - mean[f]) * inverse;
		dx[i] = scale[f] * inverse *
			(dy[i] - dbias[f] / (double)count - normal * dscale[f] / (double)count);
		y[i] = scale[f] * (x[i] - 0.5) / std::sqrt(0.5 + epsilon) + bias[f];
	}
	for (size_t f = 0; f < features; f++) {
		run_mean[f] = 0.5 * (1 - factor) + mean[f] * factor;
		run_var[f] =
			0.5 * (1 - factor) + var[f] * (double)count / ((double)count - 1) * factor;
	}
	float *gx = to_device(x), *gdy = to_device(dy), *gs = to_device(scale),
	      *gb = to_device(bias), *gm = to_device(running), *gv = to_device(running), *out,
	      *saved_mean, *saved_inverse, *gds, *gdb;
	CUDA(cudaMalloc(&out, s.size() * 4));
	for (float **p : {&saved_mean, &saved_inverse, &gds, &gdb})
		CUDA(cudaMalloc(p, features * 4));
	cudnnTensorDescriptor_t xd = tensor(s.n, s.c, s.h, s.w), pd;
	DNN(cudnnCreateTensorDescriptor(&pd));
	DNN(cudnnDeriveBNTensorDescriptor(pd, xd, mode));
	printf("%s\n", name);
	DNN(cudnnBatchNormalizationForwardInference(handle, mode, &one, &zero, xd, gx, xd, out, pd,
						    gs, gb, gm, gv, epsilon));
	expect_all("  inference", out, y);
	DNN(cudnnBatchNormalizationForwardTraining(handle, mode, &one, &zero, xd, gx, xd, out, pd,
						   gs, gb, factor, gm, gv, epsilon, saved_mean,
						   saved_inverse));
	expect_all("  training", out, trained);
	expect_all("  running mean", gm, run_mean);
	expect_all("  running variance", gv, run_var);
	expect_all("  saved mean", saved_mean, mean);
	DNN(cudnnBatchNormalizationBackward(handle, mode, &one, &zero, &one, &zero, xd, gx, xd, gdy,
					    xd, out, pd, gs, gds, gdb, epsilon, saved_mean,
					    saved_inverse));
	expect_all("  backward", out, dx);
	expect_all("  gradient of the scale", gds, dscale);
	expect_all("  gradient of the bias", gdb, dbias);
	DNN(cudnnDestroyTensorDescriptor(xd));
	DNN(cudnnDestroyTensorDescriptor(pd));
	for (float *p : {gx, gdy, gs, gb, gm, gv, out, saved_mean, saved_inverse, gds, gdb})
		CUDA(cudaFree(p));
}

int
main()
{
	DNN(cudnnCreate(&handle));
	test_softmax();
	test_activations();
	test_pooling();
	test_elements();
	const cudnnConvolutionMode_t cross = CUDNN_CROSS_CORRELATION;
	const Conv convolutions[] = {
		{"3 by 3", {2, 4, 9, 8}, 6, 3, 3, 1, 1, 1, 1, 1, 1, 1, cross},
		{"1 by 1", {2, 8, 5, 5}, 4, 1, 1, 0, 0, 1, 1, 1, 1, 1, cross},
		{"strides", {1, 3, 17, 14}, 8, 5, 3, 2, 1, 2, 3, 1, 1, 1, cross},
		{"dilation", {2, 4, 12, 12}, 4, 3, 3, 2, 2, 1, 1, 2, 2, 1, cross},
		{"groups", {2, 6, 8, 8}, 9, 3, 3, 1, 1, 1, 1, 1, 1, 3, cross},
		{"a group a channel", {2, 5, 8, 7}, 5, 3, 3, 1, 1, 1, 1, 1, 1, 5, cross},
		{"flipped", {1, 4, 6, 7}, 4, 3, 2, 0, 1, 1, 1, 1, 1, 1, CUDNN_CONVOLUTION},
	};
	for (const Conv &p : convolutions)
		test_convolution(p);
	test_normalization(CUDNN_BATCHNORM_SPATIAL, "normalisation by channel");
	test_normalization(CUDNN_BATCHNORM_PER_ACTIVATION, "normalisation by element");
	DNN(cudnnDestroy(handle));
	return ok();
}
