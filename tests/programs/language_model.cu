/*
 * A language model trained from scratch in plain CUDA: embeddings, layer normalisation, causal
 * attention of several heads, GELU, cross entropy, AdamW. Twenty steps on a sentence, each loss
 * compared with the same network in double precision on the host.
 */
#include "program.h"

#include <cmath>
#include <cstring>

constexpr int BATCH = 2, TIME = 12, WIDTH = 32, HEADS = 4, LAYERS = 2, WORDS = 28;
constexpr int HIDDEN = 4 * WIDTH, ROWS = BATCH * TIME, HEAD = WIDTH / HEADS, STEPS = 20;

/* ---- the parameters, one behind the other ---- */

struct Layer {
	size_t norm1, norm1_bias, qkv, qkv_bias, out, out_bias, norm2, norm2_bias, up, up_bias,
		down, down_bias;
};

struct Shape {
	size_t words, places, norm, norm_bias, total;
	Layer layers[LAYERS];

	Shape()
	{
		size_t at = 0;
		auto take = [&](size_t count) {
			size_t here = at;
			at += count;
			return here;
		};
		words = take(WORDS * WIDTH);
		places = take(TIME * WIDTH);
		for (Layer &l : layers) {
			l.norm1 = take(WIDTH), l.norm1_bias = take(WIDTH);
			l.qkv = take(3 * WIDTH * WIDTH), l.qkv_bias = take(3 * WIDTH);
			l.out = take(WIDTH * WIDTH), l.out_bias = take(WIDTH);
			l.norm2 = take(WIDTH), l.norm2_bias = take(WIDTH);
			l.up = take(HIDDEN * WIDTH), l.up_bias = take(HIDDEN);
			l.down = take(WIDTH * HIDDEN), l.down_bias = take(WIDTH);
		}
		norm = take(WIDTH), norm_bias = take(WIDTH);
		total = at;
	}
};
static const Shape shape;

/* What one layer computes, kept for the way back. */
template <typename T> struct Memory {
	T *in, *norm1, *qkv, *weights, *mixed, *attended, *middle, *norm2, *up, *gelu, *down;
};

/* ---- the device ---- */

__global__ void
embed(const int *tokens, const float *words, const float *places, float *out)
{
	int row = blockIdx.x, c = threadIdx.x;
	out[row * WIDTH + c] = words[tokens[row] * WIDTH + c] + places[row % TIME * WIDTH + c];
}

__device__ static float
warp_sum(float value)
{
	for (int d = 16; d > 0; d /= 2)
		value += __shfl_xor_sync(0xffffffff, value, d);
	return value;
}

/* A warp for each row; WIDTH is the warp's. */
__global__ void
normalise(const float *in, const float *gain, const float *bias, float *out)
{
	int row = blockIdx.x, c = threadIdx.x;
	float x = in[row * WIDTH + c], mean = warp_sum(x) / WIDTH, d = x - mean;
	float scale = rsqrtf(warp_sum(d * d) / WIDTH + 1e-5f);
	out[row * WIDTH + c] = d * scale * gain[c] + bias[c];
}

__global__ void
normalise_back(const float *in, const float *gain, const float *d_out, float *d_in)
{
	int row = blockIdx.x, c = threadIdx.x;
	float x = in[row * WIDTH + c], mean = warp_sum(x) / WIDTH, d = x - mean;
	float scale = rsqrtf(warp_sum(d * d) / WIDTH + 1e-5f), unit = d * scale;
	float g = d_out[row * WIDTH + c] * gain[c];
	d_in[row * WIDTH + c] +=
		scale * (g - warp_sum(g) / WIDTH - unit * warp_sum(g * unit) / WIDTH);
}

__global__ void
normalise_gain(const float *in, const float *d_out, float *d_gain, float *d_bias)
{
	int c = threadIdx.x;
	float gain = 0, bias = 0;
	for (int row = 0; row < ROWS; row++) {
		float x = in[row * WIDTH + c], mean = warp_sum(x) / WIDTH, d = x - mean;
		float scale = rsqrtf(warp_sum(d * d) / WIDTH + 1e-5f);
		gain += d_out[row * WIDTH + c] * d * scale;
		bias += d_out[row * WIDTH + c];
	}
	d_gain[c] += gain;
	d_bias[c] += bias;
}

/* c[i][j] (+)= sum of a and b over k; strides say how a and b lie. Tiles in shared memory. */
__global__ void
product(const float *a, int a_row, int a_column, const float *b, int b_row, int b_column,
	const float *bias, float *c, int m, int n, int k, bool add)
{
	__shared__ float ta[16][17], tb[16][17];
	int x = threadIdx.x, y = threadIdx.y, i = blockIdx.y * 16 + y, j = blockIdx.x * 16 + x;
	float sum = 0;
	for (int t = 0; t < k; t += 16) {
		ta[y][x] = i < m && t + x < k ? a[i * a_row + (t + x) * a_column] : 0;
		tb[y][x] = t + y < k && j < n ? b[(t + y) * b_row + j * b_column] : 0;
		__syncthreads();
#pragma unroll
		for (int l = 0; l < 16; l++)
			sum += ta[y][l] * tb[l][x];
		__syncthreads();
	}
	if (i < m && j < n) {
		if (bias)
			sum += bias[j];
		c[i * n + j] = add ? c[i * n + j] + sum : sum;
	}
}

__global__ void
column_sums(const float *in, float *out, int columns)
{
	int c = blockIdx.x * blockDim.x + threadIdx.x;
	float sum = 0;
	for (int row = 0; row < ROWS && c < columns; row++)
		sum += in[row * columns + c];
	if (c < columns)
		out[c] += sum;
}

/* A block for each sequence and head, a thread for each row. */
__global__ void
attend(const float *qkv, float *weights, float *out)
{
	int b = blockIdx.y, h = blockIdx.x, t = threadIdx.x;
	const float *base = qkv + b * TIME * 3 * WIDTH + h * HEAD;
	float *row = weights + ((b * HEADS + h) * TIME + t) * TIME, largest = -1e30f, total = 0;
	for (int s = 0; s <= t; s++) {
		float score = 0;
		for (int c = 0; c < HEAD; c++)
			score += base[t * 3 * WIDTH + c] * base[s * 3 * WIDTH + WIDTH + c];
		row[s] = score * rsqrtf(HEAD);
		largest = fmaxf(largest, row[s]);
	}
	for (int s = 0; s < TIME; s++) {
		row[s] = s <= t ? expf(row[s] - largest) : 0;
		total += row[s];
	}
	for (int s = 0; s <= t; s++)
		row[s] /= total;
	for (int c = 0; c < HEAD; c++) {
		float sum = 0;
		for (int s = 0; s <= t; s++)
			sum += row[s] * base[s * 3 * WIDTH + 2 * WIDTH + c];
		out[(b * TIME + t) * WIDTH + h * HEAD + c] = sum;
	}
}

__global__ void
attend_back(const float *qkv, const float *weights, const float *d_out, float *d_qkv)
{
	__shared__ float d_score[TIME][TIME];
	int b = blockIdx.y, h = blockIdx.x, t = threadIdx.x;
	const float *base = qkv + b * TIME * 3 * WIDTH + h * HEAD;
	const float *all = weights + (b * HEADS + h) * TIME * TIME, *row = all + t * TIME;
	const float *d_rows = d_out + b * TIME * WIDTH + h * HEAD;
	float *d_base = d_qkv + b * TIME * 3 * WIDTH + h * HEAD, dot = 0;
	for (int s = 0; s < TIME; s++) {
		float d = 0;
		for (int c = 0; c < HEAD; c++)
			d += d_rows[t * WIDTH + c] * base[s * 3 * WIDTH + 2 * WIDTH + c];
		d_score[t][s] = d;
		dot += row[s] * d;
	}
	for (int s = 0; s < TIME; s++)
		d_score[t][s] = row[s] * (d_score[t][s] - dot) * rsqrtf(HEAD);
	__syncthreads();
	for (int c = 0; c < HEAD; c++) {
		float q = 0, k = 0, v = 0;
		for (int s = 0; s < TIME; s++) {
			q += d_score[t][s] * base[s * 3 * WIDTH + WIDTH + c];
			k += d_score[s][t] * base[s * 3 * WIDTH + c];
			v += all[s * TIME + t] * d_rows[s * WIDTH + c];
		}
		d_base[t * 3 * WIDTH + c] = q;
		d_base[t * 3 * WIDTH + WIDTH + c] = k;
		d_base[t * 3 * WIDTH + 2 * WIDTH + c] = v;
	}
}

template <typename T>
__host__ __device__ static T
bell(T x, T *ret_slope)
{
	const T scale = (T)0.7978845608028654, cube = (T)0.044715;
	T t = tanh(scale * (x + cube * x * x * x));
	*ret_slope = (T)0.5 * (1 + t) + (T)0.5 * x * (1 - t * t) * scale * (1 + 3 * cube * x * x);
	return (T)0.5 * x * (1 + t);
}

__global__ void
activate(const float *in, float *out)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	float slope;
	out[i] = bell(in[i], &slope);
}

__global__ void
activate_back(const float *in, float *d)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	float slope;
	bell(in[i], &slope);
	d[i] *= slope;
}

__global__ void
add(const float *a, const float *b, float *c)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	c[i] = a[i] + b[i];
}

/* A warp for each row: probabilities become what the loss wants changed. */
__global__ void
cross_entropy(float *logits, const int *targets, float *losses)
{
	float *row = logits + blockIdx.x * WORDS;
	int c = threadIdx.x, target = targets[blockIdx.x];
	float x = c < WORDS ? row[c] : -1e30f, largest = x;
	for (int d = 16; d > 0; d /= 2)
		largest = fmaxf(largest, __shfl_xor_sync(0xffffffff, largest, d));
	float e = c < WORDS ? expf(x - largest) : 0, p = e / warp_sum(e);
	if (c == target)
		losses[blockIdx.x] = -logf(p);
	if (c < WORDS)
		row[c] = (p - (c == target)) / ROWS;
}

/* One thread for each column of the table: no two add to the same place. */
__global__ void
embed_back(const int *tokens, const float *d, float *d_words, float *d_places)
{
	int c = threadIdx.x;
	for (int row = 0; row < ROWS; row++) {
		d_words[tokens[row] * WIDTH + c] += d[row * WIDTH + c];
		d_places[row % TIME * WIDTH + c] += d[row * WIDTH + c];
	}
}

__global__ void
adamw(float *p, const float *d, float *m, float *v, int count, float rate, int step)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i >= count)
		return;
	m[i] = 0.9f * m[i] + 0.1f * d[i];
	v[i] = 0.99f * v[i] + 0.01f * d[i] * d[i];
	float mean = m[i] / (1 - powf(0.9f, step)), square = v[i] / (1 - powf(0.99f, step));
	p[i] -= rate * (mean / (sqrtf(square) + 1e-8f) + 0.01f * p[i]);
}

static float *
room(size_t count)
{
	float *p;
	CUDA(cudaMalloc(&p, count * sizeof(float)));
	return p;
}

class DeviceModel
{
	float *p, *d, *m, *v, *last, *last_norm, *logits, *losses, *d_row, *d_other, *d_wide,
		*d_qkv;
	Memory<float> memory[LAYERS];
	int *tokens, *targets;

	static void multiply(const float *a, int a_row, int a_column, const float *b, int b_row,
			     int b_column, const float *bias, float *c, int m, int n, int k,
			     bool add)
	{
		product<<<dim3((n + 15) / 16, (m + 15) / 16), dim3(16, 16)>>>(
			a, a_row, a_column, b, b_row, b_column, bias, c, m, n, k, add);
	}
	/* out = in * weights' + bias */
	void forward(const float *in, size_t w, size_t b, float *out, int inputs, int outputs)
	{
		multiply(in, inputs, 1, p + w, 1, inputs, p + b, out, ROWS, outputs, inputs, false);
	}
	void backward(const float *in, size_t w, size_t b, const float *d_out, float *d_in,
		      int inputs, int outputs)
	{
		multiply(d_out, outputs, 1, p + w, inputs, 1, nullptr, d_in, ROWS, inputs, outputs,
			 false);
		multiply(d_out, 1, outputs, in, inputs, 1, nullptr, d + w, outputs, inputs, ROWS,
			 true);
		column_sums<<<(outputs + 63) / 64, 64>>>(d_out, d + b, outputs);
	}

      public:
	DeviceModel(const std::vector<float> &start)
	{
		p = to_device(start);
		d = room(shape.total), m = room(shape.total), v = room(shape.total);
		CUDA(cudaMemset(m, 0, shape.total * sizeof(float)));
		CUDA(cudaMemset(v, 0, shape.total * sizeof(float)));
		for (Memory<float> &l : memory) {
			l.in = room(ROWS * WIDTH), l.norm1 = room(ROWS * WIDTH);
			l.qkv = room(ROWS * 3 * WIDTH),
			l.weights = room(BATCH * HEADS * TIME * TIME);
			l.mixed = room(ROWS * WIDTH), l.attended = room(ROWS * WIDTH);
			l.middle = room(ROWS * WIDTH), l.norm2 = room(ROWS * WIDTH);
			l.up = room(ROWS * HIDDEN), l.gelu = room(ROWS * HIDDEN);
			l.down = room(ROWS * WIDTH);
		}
		last = room(ROWS * WIDTH), last_norm = room(ROWS * WIDTH);
		logits = room(ROWS * WORDS), losses = room(ROWS);
		d_row = room(ROWS * WIDTH), d_other = room(ROWS * WIDTH);
		d_wide = room(ROWS * HIDDEN), d_qkv = room(ROWS * 3 * WIDTH);
		CUDA(cudaMalloc(&tokens, ROWS * sizeof(int)));
		CUDA(cudaMalloc(&targets, ROWS * sizeof(int)));
	}

	double step(const std::vector<int> &in, const std::vector<int> &out, int number)
	{
		CUDA(cudaMemcpyAsync(tokens, in.data(), ROWS * sizeof(int),
				     cudaMemcpyHostToDevice));
		CUDA(cudaMemcpyAsync(targets, out.data(), ROWS * sizeof(int),
				     cudaMemcpyHostToDevice));
		embed<<<ROWS, WIDTH>>>(tokens, p + shape.words, p + shape.places, memory[0].in);
		for (int i = 0; i < LAYERS; i++) {
			const Layer &l = shape.layers[i];
			Memory<float> &r = memory[i];
			normalise<<<ROWS, WIDTH>>>(r.in, p + l.norm1, p + l.norm1_bias, r.norm1);
			forward(r.norm1, l.qkv, l.qkv_bias, r.qkv, WIDTH, 3 * WIDTH);
			attend<<<dim3(HEADS, BATCH), TIME>>>(r.qkv, r.weights, r.mixed);
			forward(r.mixed, l.out, l.out_bias, r.attended, WIDTH, WIDTH);
			add<<<ROWS, WIDTH>>>(r.in, r.attended, r.middle);
			normalise<<<ROWS, WIDTH>>>(r.middle, p + l.norm2, p + l.norm2_bias,
						   r.norm2);
			forward(r.norm2, l.up, l.up_bias, r.up, WIDTH, HIDDEN);
			activate<<<ROWS, HIDDEN>>>(r.up, r.gelu);
			forward(r.gelu, l.down, l.down_bias, r.down, HIDDEN, WIDTH);
			add<<<ROWS, WIDTH>>>(r.middle, r.down,
					     i + 1 < LAYERS ? memory[i + 1].in : last);
		}
		normalise<<<ROWS, WIDTH>>>(last, p + shape.norm, p + shape.norm_bias, last_norm);
		multiply(last_norm, WIDTH, 1, p + shape.words, 1, WIDTH, nullptr, logits, ROWS,
			 WORDS, WIDTH, false);
		cross_entropy<<<ROWS, 32>>>(logits, targets, losses);

		CUDA(cudaMemsetAsync(d, 0, shape.total * sizeof(float)));
		multiply(logits, WORDS, 1, p + shape.words, WIDTH, 1, nullptr, d_other, ROWS, WIDTH,
			 WORDS, false);
		multiply(logits, 1, WORDS, last_norm, WIDTH, 1, nullptr, d + shape.words, WORDS,
			 WIDTH, ROWS, true);
		CUDA(cudaMemsetAsync(d_row, 0, ROWS * WIDTH * sizeof(float)));
		normalise_back<<<ROWS, WIDTH>>>(last, p + shape.norm, d_other, d_row);
		normalise_gain<<<1, WIDTH>>>(last, d_other, d + shape.norm, d + shape.norm_bias);
		for (int i = LAYERS - 1; i >= 0; i--) {
			const Layer &l = shape.layers[i];
			Memory<float> &r = memory[i];
			backward(r.gelu, l.down, l.down_bias, d_row, d_wide, HIDDEN, WIDTH);
			activate_back<<<ROWS, HIDDEN>>>(r.up, d_wide);
			backward(r.norm2, l.up, l.up_bias, d_wide, d_other, WIDTH, HIDDEN);
			normalise_back<<<ROWS, WIDTH>>>(r.middle, p + l.norm2, d_other, d_row);
			normalise_gain<<<1, WIDTH>>>(r.middle, d_other, d + l.norm2,
						     d + l.norm2_bias);
			backward(r.mixed, l.out, l.out_bias, d_row, d_other, WIDTH, WIDTH);
			attend_back<<<dim3(HEADS, BATCH), TIME>>>(r.qkv, r.weights, d_other, d_qkv);
			backward(r.norm1, l.qkv, l.qkv_bias, d_qkv, d_other, WIDTH, 3 * WIDTH);
			normalise_back<<<ROWS, WIDTH>>>(r.in, p + l.norm1, d_other, d_row);
			normalise_gain<<<1, WIDTH>>>(r.in, d_other, d + l.norm1, d + l.norm1_bias);
		}
		embed_back<<<1, WIDTH>>>(tokens, d_row, d + shape.words, d + shape.places);
		int count = (int)shape.total;
		adamw<<<(count + 255) / 256, 256>>>(p, d, m, v, count, 3e-3f, number);
		LAUNCHED();
		double sum = 0;
		for (float loss : to_host(losses, ROWS))
			sum += loss;
		return sum / ROWS;
	}
};

/* ---- the host: the same network as loops, forward and back ---- */

typedef std::vector<double> Numbers;

class HostModel
{
	Numbers p, d, m, v;

	static void norm(const double *in, const double *gain, const double *bias, double *out)
	{
		for (int row = 0; row < ROWS; row++) {
			double mean = 0, variance = 0;
			for (int c = 0; c < WIDTH; c++)
				mean += in[row * WIDTH + c] / WIDTH;
			for (int c = 0; c < WIDTH; c++)
				variance += pow(in[row * WIDTH + c] - mean, 2) / WIDTH;
			for (int c = 0; c < WIDTH; c++)
				out[row * WIDTH + c] = (in[row * WIDTH + c] - mean) /
							       sqrt(variance + 1e-5) * gain[c] +
						       bias[c];
		}
	}
	static void norm_back(const double *in, const double *gain, const double *d_out,
			      double *d_in, double *d_gain, double *d_bias)
	{
		for (int row = 0; row < ROWS; row++) {
			double mean = 0, variance = 0, sum = 0, dot = 0;
			for (int c = 0; c < WIDTH; c++)
				mean += in[row * WIDTH + c] / WIDTH;
			for (int c = 0; c < WIDTH; c++)
				variance += pow(in[row * WIDTH + c] - mean, 2) / WIDTH;
			double scale = 1 / sqrt(variance + 1e-5);
			for (int c = 0; c < WIDTH; c++) {
				double unit = (in[row * WIDTH + c] - mean) * scale;
				double g = d_out[row * WIDTH + c];
				d_gain[c] += g * unit;
				d_bias[c] += g;
				sum += g * gain[c] / WIDTH;
				dot += g * gain[c] * unit / WIDTH;
			}
			for (int c = 0; c < WIDTH; c++)
				d_in[row * WIDTH + c] +=
					scale * (d_out[row * WIDTH + c] * gain[c] - sum -
						 (in[row * WIDTH + c] - mean) * scale * dot);
		}
	}
	void linear(const Numbers &in, size_t w, size_t b, Numbers &out, int inputs, int outputs)
	{
		out.assign(ROWS * outputs, 0);
		for (int row = 0; row < ROWS; row++)
			for (int o = 0; o < outputs; o++) {
				double sum = p[b + o];
				for (int i = 0; i < inputs; i++)
					sum += in[row * inputs + i] * p[w + o * inputs + i];
				out[row * outputs + o] = sum;
			}
	}
	void linear_back(const Numbers &in, size_t w, size_t b, const Numbers &d_out, Numbers &d_in,
			 int inputs, int outputs)
	{
		d_in.assign(ROWS * inputs, 0);
		for (int row = 0; row < ROWS; row++)
			for (int o = 0; o < outputs; o++) {
				double g = d_out[row * outputs + o];
				d[b + o] += g;
				for (int i = 0; i < inputs; i++) {
					d_in[row * inputs + i] += g * p[w + o * inputs + i];
					d[w + o * inputs + i] += g * in[row * inputs + i];
				}
			}
	}

      public:
	HostModel(const std::vector<float> &start)
	    : p(start.begin(), start.end()), d(start.size()), m(start.size()), v(start.size())
	{
	}

	double step(const std::vector<int> &tokens, const std::vector<int> &targets, int number)
	{
		struct {
			Numbers in, norm1, qkv, weights, mixed, attended, middle, norm2, up, gelu,
				down;
		} r[LAYERS];
		Numbers x(ROWS * WIDTH);
		d.assign(d.size(), 0);
		for (int i = 0; i < ROWS * WIDTH; i++)
			x[i] = p[shape.words + tokens[i / WIDTH] * WIDTH + i % WIDTH] +
			       p[shape.places + i / WIDTH % TIME * WIDTH + i % WIDTH];
		for (int n = 0; n < LAYERS; n++) {
			const Layer &l = shape.layers[n];
			auto &k = r[n];
			k.in = k.norm1 = k.middle = k.norm2 = x;
			norm(x.data(), &p[l.norm1], &p[l.norm1_bias], k.norm1.data());
			linear(k.norm1, l.qkv, l.qkv_bias, k.qkv, WIDTH, 3 * WIDTH);
			k.weights.assign(BATCH * HEADS * TIME * TIME, 0);
			k.mixed.assign(ROWS * WIDTH, 0);
			for (int b = 0; b < BATCH; b++)
				for (int h = 0; h < HEADS; h++)
					for (int t = 0; t < TIME; t++) {
						double *w =
							&k.weights[((b * HEADS + h) * TIME + t) *
								   TIME];
						double total = 0;
						for (int s = 0; s <= t; s++) {
							double score = 0;
							for (int c = h * HEAD; c < (h + 1) * HEAD;
							     c++)
								score += k.qkv[(b * TIME + t) * 3 *
										       WIDTH +
									       c] *
									 k.qkv[(b * TIME + s) * 3 *
										       WIDTH +
									       WIDTH + c];
							w[s] = exp(score / sqrt((double)HEAD));
							total += w[s];
						}
						for (int s = 0; s <= t; s++) {
							w[s] /= total;
							for (int c = h * HEAD; c < (h + 1) * HEAD;
							     c++)
								k.mixed[(b * TIME + t) * WIDTH +
									c] +=
									w[s] *
									k.qkv[(b * TIME + s) * 3 *
										      WIDTH +
									      2 * WIDTH + c];
						}
					}
			linear(k.mixed, l.out, l.out_bias, k.attended, WIDTH, WIDTH);
			for (int i = 0; i < ROWS * WIDTH; i++)
				k.middle[i] = x[i] + k.attended[i];
			norm(k.middle.data(), &p[l.norm2], &p[l.norm2_bias], k.norm2.data());
			linear(k.norm2, l.up, l.up_bias, k.up, WIDTH, HIDDEN);
			k.gelu = k.up;
			for (double &value : k.gelu) {
				double slope;
				value = bell(value, &slope);
			}
			linear(k.gelu, l.down, l.down_bias, k.down, HIDDEN, WIDTH);
			for (int i = 0; i < ROWS * WIDTH; i++)
				x[i] = k.middle[i] + k.down[i];
		}
		Numbers last = x, dx(ROWS * WIDTH), dn(ROWS * WIDTH), other, wide;
		norm(last.data(), &p[shape.norm], &p[shape.norm_bias], x.data());
		double loss = 0;
		for (int row = 0; row < ROWS; row++) {
			double e[WORDS], total = 0;
			for (int w = 0; w < WORDS; w++) {
				double sum = 0;
				for (int c = 0; c < WIDTH; c++)
					sum += x[row * WIDTH + c] * p[shape.words + w * WIDTH + c];
				total += e[w] = exp(sum);
			}
			loss -= log(e[targets[row]] / total) / ROWS;
			for (int w = 0; w < WORDS; w++) {
				double g = (e[w] / total - (w == targets[row])) / ROWS;
				for (int c = 0; c < WIDTH; c++) {
					dn[row * WIDTH + c] += g * p[shape.words + w * WIDTH + c];
					d[shape.words + w * WIDTH + c] += g * x[row * WIDTH + c];
				}
			}
		}
		norm_back(last.data(), &p[shape.norm], dn.data(), dx.data(), &d[shape.norm],
			  &d[shape.norm_bias]);
		for (int n = LAYERS - 1; n >= 0; n--) {
			const Layer &l = shape.layers[n];
			auto &k = r[n];
			linear_back(k.gelu, l.down, l.down_bias, dx, wide, HIDDEN, WIDTH);
			for (int i = 0; i < ROWS * HIDDEN; i++) {
				double slope;
				bell(k.up[i], &slope);
				wide[i] *= slope;
			}
			linear_back(k.norm2, l.up, l.up_bias, wide, other, WIDTH, HIDDEN);
			norm_back(k.middle.data(), &p[l.norm2], other.data(), dx.data(),
				  &d[l.norm2], &d[l.norm2_bias]);
			linear_back(k.mixed, l.out, l.out_bias, dx, other, WIDTH, WIDTH);
			Numbers dq(ROWS * 3 * WIDTH);
			for (int b = 0; b < BATCH; b++)
				for (int h = 0; h < HEADS; h++)
					for (int t = 0; t < TIME; t++) {
						const double *w =
							&k.weights[((b * HEADS + h) * TIME + t) *
								   TIME];
						double dw[TIME] = {}, dot = 0;
						int to = (b * TIME + t) * 3 * WIDTH;
						for (int s = 0; s <= t; s++) {
							int from = (b * TIME + s) * 3 * WIDTH;
							for (int c = h * HEAD; c < (h + 1) * HEAD;
							     c++) {
								double g = other[(b * TIME + t) *
											 WIDTH +
										 c];
								dw[s] +=
									g *
									k.qkv[from + 2 * WIDTH + c];
								dq[from + 2 * WIDTH + c] +=
									g * w[s];
							}
							dot += w[s] * dw[s];
						}
						for (int s = 0; s <= t; s++) {
							int from = (b * TIME + s) * 3 * WIDTH;
							double g = w[s] * (dw[s] - dot) /
								   sqrt((double)HEAD);
							for (int c = h * HEAD; c < (h + 1) * HEAD;
							     c++) {
								dq[to + c] +=
									g * k.qkv[from + WIDTH + c];
								dq[from + WIDTH + c] +=
									g * k.qkv[to + c];
							}
						}
					}
			linear_back(k.norm1, l.qkv, l.qkv_bias, dq, other, WIDTH, 3 * WIDTH);
			norm_back(k.in.data(), &p[l.norm1], other.data(), dx.data(), &d[l.norm1],
				  &d[l.norm1_bias]);
		}
		for (int i = 0; i < ROWS * WIDTH; i++) {
			d[shape.words + tokens[i / WIDTH] * WIDTH + i % WIDTH] += dx[i];
			d[shape.places + i / WIDTH % TIME * WIDTH + i % WIDTH] += dx[i];
		}
		for (size_t i = 0; i < p.size(); i++) {
			m[i] = 0.9 * m[i] + 0.1 * d[i];
			v[i] = 0.99 * v[i] + 0.01 * d[i] * d[i];
			double mean = m[i] / (1 - pow(0.9, number)),
			       square = v[i] / (1 - pow(0.99, number));
			p[i] -= 3e-3 * (mean / (sqrt(square) + 1e-8) + 0.01 * p[i]);
		}
		return loss;
	}
};

int
main()
{
	static const char text[] =
		"the quick brown fox jumps over the lazy dog and then it sleeps ";
	const int length = (int)strlen(text);
	std::vector<float> start(shape.total);
	Random random = {1337};
	for (float &value : start)
		value = ((float)random.below(2001) - 1000) / 1000 * 0.12f;
	for (const Layer &l : shape.layers)
		for (int c = 0; c < WIDTH; c++)
			start[l.norm1 + c] = start[l.norm2 + c] = 1;
	for (int c = 0; c < WIDTH; c++)
		start[shape.norm + c] = 1;

	DeviceModel device(start);
	HostModel host(start);
	double first = 0, loss = 0;
	for (int step = 1; step <= STEPS; step++) {
		std::vector<int> in(ROWS), out(ROWS);
		for (int b = 0; b < BATCH; b++) {
			int at = (step * 5 + b * 29) % (length - TIME - 1);
			for (int t = 0; t < TIME; t++) {
				in[b * TIME + t] = text[at + t] == ' ' ? 26 : text[at + t] - 'a';
				out[b * TIME + t] =
					text[at + t + 1] == ' ' ? 26 : text[at + t + 1] - 'a';
			}
		}
		loss = device.step(in, out, step);
		double expected = host.step(in, out, step);
		if (!(fabs(loss - expected) < 2e-3 * expected))
			printf("step %d: %f, expected %f\n", step, loss, expected);
		EXPECT(fabs(loss - expected) < 2e-3 * expected);
		if (step == 1)
			first = loss;
	}
	EXPECT(fabs(first - log((double)WORDS)) < 0.3 && loss < first - 0.5);
	printf("%d steps agree with the host, and the loss goes down\n", STEPS);
	return ok();
}
