/*
 * Trains a small neural network on 1,797 handwritten digits and tests it on digits it never saw.
 *
 * An ordinary CUDA program: cuBLAS products, own kernels, a CUB reduction, two streams, events and
 * pinned memory. The network is 64 pixels -> 128 hidden (ReLU) -> 10 classes, trained with
 * stochastic gradient descent with momentum. The same seed gives the same result every time.
 *
 *	digits [CSV [EPOCHS]]
 *
 * Exit status: 0 when at least 95 % of the test images are recognised, 1 otherwise.
 */
#include <cub/device/device_reduce.cuh>
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <unistd.h>
#include <vector>

constexpr int PIXELS = 64;
constexpr int HIDDEN = 128;
constexpr int CLASSES = 10;
constexpr int BATCH = 128;
constexpr int BATCHES = 4; /* in flight */
constexpr int TEST_IMAGES = 360;
constexpr int THREADS = 128;
constexpr float LEARNING_RATE = 0.15f;
constexpr float MOMENTUM = 0.9f;
constexpr float REQUIRED_ACCURACY = 0.95f;

#define CUDA(call)                                                                                 \
	do {                                                                                       \
		cudaError_t error_ = (call);                                                       \
		if (error_ != cudaSuccess) {                                                       \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call,              \
				cudaGetErrorString(error_));                                       \
			exit(2);                                                                   \
		}                                                                                  \
	} while (0)

#define CUBLAS(call)                                                                               \
	do {                                                                                       \
		cublasStatus_t status_ = (call);                                                   \
		if (status_ != CUBLAS_STATUS_SUCCESS) {                                            \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call,              \
				cublasGetStatusString(status_));                                   \
			exit(2);                                                                   \
		}                                                                                  \
	} while (0)

/* ---- the data ---- */

struct Digit {
	float pixels[PIXELS]; /* 0 to 1 */
	int label;
};

/* A fixed generator, so that every machine shuffles and initialises alike. */
struct Random {
	uint64_t state;

	uint32_t next()
	{
		state = state * 6364136223846793005ull + 1442695040888963407ull;
		return (uint32_t)(state >> 33);
	}
	/* Between -1 and 1. */
	float uniform()
	{
		return (float)next() * (2.0f / 2147483648.0f) - 1.0f;
	}
	template <typename T> void shuffle(std::vector<T> &items)
	{
		for (size_t i = items.size() - 1; i > 0; i--)
			std::swap(items[i], items[next() % (i + 1)]);
	}
};

/* The file named on the command line, or the one beside the program. */
static std::string
data_path(int argc, char **argv)
{
	if (argc > 1)
		return argv[1];
	char self[4096];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len < 0)
		return "digits.csv";
	std::string path(self, (size_t)len);
	return path.substr(0, path.rfind('/') + 1) + "digits.csv";
}

static std::vector<Digit>
read_digits(const std::string &path)
{
	FILE *file = fopen(path.c_str(), "r");
	if (!file) {
		perror(path.c_str());
		exit(2);
	}
	std::vector<Digit> digits;
	Digit digit;
	while (fscanf(file, "%f", &digit.pixels[0]) == 1) {
		bool whole = true;
		for (int i = 1; i < PIXELS; i++)
			whole = whole && fscanf(file, ",%f", &digit.pixels[i]) == 1;
		whole = whole && fscanf(file, ",%d", &digit.label) == 1;
		if (!whole || digit.label < 0 || digit.label >= CLASSES) {
			fprintf(stderr, "%s: line %zu is not a digit\n", path.c_str(),
				digits.size() + 1);
			exit(2);
		}
		for (float &pixel : digit.pixels)
			pixel /= 16.0f;
		digits.push_back(digit);
	}
	fclose(file);
	return digits;
}

/* ---- kernels: activations are column-major, one column for each image ---- */

__global__ void
add_bias_relu(float *x, const float *bias, int rows, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		x[i] = fmaxf(x[i] + bias[i % rows], 0.0f);
}

/* One thread for each image: its loss, whether the guess is right, the gradient of its scores. */
__global__ void
softmax_cross_entropy(float *scores, const float *bias, const int *labels, float *losses,
		      int *correct, int images, float gradient_scale)
{
	int image = blockIdx.x * blockDim.x + threadIdx.x;
	if (image >= images)
		return;

	float *column = scores + image * CLASSES;
	int best = 0;
	for (int c = 0; c < CLASSES; c++) {
		column[c] += bias[c];
		if (column[c] > column[best])
			best = c;
	}
	float highest = column[best];
	float sum = 0.0f;
	for (int c = 0; c < CLASSES; c++)
		sum += expf(column[c] - highest);
	int label = labels[image];
	losses[image] = logf(sum) - (column[label] - highest);
	correct[image] = best == label;
	for (int c = 0; c < CLASSES; c++) {
		float probability = expf(column[c] - highest) / sum;
		column[c] = (probability - (c == label ? 1.0f : 0.0f)) * gradient_scale;
	}
}

__global__ void
relu_gradient(float *gradient, const float *activation, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count && activation[i] <= 0.0f)
		gradient[i] = 0.0f;
}

/* The gradient of a bias: each row summed over the images, always in the same order. */
__global__ void
sum_columns(float *sums, const float *x, int rows, int columns)
{
	int row = blockIdx.x * blockDim.x + threadIdx.x;
	if (row >= rows)
		return;
	float sum = 0.0f;
	for (int c = 0; c < columns; c++)
		sum += x[c * rows + row];
	sums[row] = sum;
}

__global__ void
momentum_step(float *weight, float *velocity, const float *gradient, float rate, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i >= count)
		return;
	velocity[i] = MOMENTUM * velocity[i] + gradient[i];
	weight[i] -= rate * velocity[i];
}

static int
blocks(int count)
{
	return (count + THREADS - 1) / THREADS;
}

/* ---- the network ---- */

/* All weights lie in one array, all gradients and velocities in two more of the same shape. */
constexpr int W1 = 0;
constexpr int B1 = W1 + HIDDEN * PIXELS;
constexpr int W2 = B1 + HIDDEN;
constexpr int B2 = W2 + CLASSES * HIDDEN;
constexpr int WEIGHTS = B2 + CLASSES;

struct Network {
	cublasHandle_t cublas;
	cudaStream_t stream;
	float *weight, *gradient, *velocity;
	float *hidden, *hidden_gradient, *scores; /* for at most max_images */
	float *losses;
	int *correct;
	float *loss_sum; /* results of the reductions */
	int *correct_sum;
	void *scratch; /* CUB's */
	size_t scratch_size;
};

static void
network_create(Network &net, cudaStream_t stream, int max_images, Random &random)
{
	net.stream = stream;
	CUBLAS(cublasCreate(&net.cublas));
	CUBLAS(cublasSetStream(net.cublas, stream));

	size_t bytes = WEIGHTS * sizeof(float);
	CUDA(cudaMalloc(&net.weight, bytes));
	CUDA(cudaMalloc(&net.gradient, bytes));
	CUDA(cudaMalloc(&net.velocity, bytes));
	CUDA(cudaMalloc(&net.hidden, sizeof(float) * HIDDEN * max_images));
	CUDA(cudaMalloc(&net.hidden_gradient, sizeof(float) * HIDDEN * max_images));
	CUDA(cudaMalloc(&net.scores, sizeof(float) * CLASSES * max_images));
	CUDA(cudaMalloc(&net.losses, sizeof(float) * max_images));
	CUDA(cudaMalloc(&net.correct, sizeof(int) * max_images));
	CUDA(cudaMalloc(&net.loss_sum, sizeof(float)));
	CUDA(cudaMalloc(&net.correct_sum, sizeof(int)));

	size_t for_losses = 0;
	size_t for_correct = 0;
	CUDA(cub::DeviceReduce::Sum(nullptr, for_losses, net.losses, net.loss_sum, max_images));
	CUDA(cub::DeviceReduce::Sum(nullptr, for_correct, net.correct, net.correct_sum,
				    max_images));
	net.scratch_size = std::max(for_losses, for_correct);
	CUDA(cudaMalloc(&net.scratch, net.scratch_size));

	std::vector<float> start(WEIGHTS, 0.0f);
	for (int i = W1; i < B1; i++)
		start[i] = random.uniform() * sqrtf(6.0f / PIXELS);
	for (int i = W2; i < B2; i++)
		start[i] = random.uniform() * sqrtf(6.0f / HIDDEN);
	CUDA(cudaMemcpy(net.weight, start.data(), bytes, cudaMemcpyHostToDevice));
	CUDA(cudaMemset(net.velocity, 0, bytes));
}

static void
network_destroy(Network &net)
{
	for (void *memory :
	     {(void *)net.weight, (void *)net.gradient, (void *)net.velocity, (void *)net.hidden,
	      (void *)net.hidden_gradient, (void *)net.scores, (void *)net.losses,
	      (void *)net.correct, (void *)net.loss_sum, (void *)net.correct_sum, net.scratch})
		CUDA(cudaFree(memory));
	CUBLAS(cublasDestroy(net.cublas));
}

/* c (m x n) = op(a) * op(b), the inner dimension is k. */
static void
multiply(Network &net, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
	 const float *a, const float *b, float *c)
{
	const float one = 1.0f;
	const float zero = 0.0f;
	int lda = op_a == CUBLAS_OP_N ? m : k;
	int ldb = op_b == CUBLAS_OP_N ? k : n;
	CUBLAS(cublasSgemm(net.cublas, op_a, op_b, m, n, k, &one, a, lda, b, ldb, &zero, c, m));
}

static void
forward(Network &net, const float *images, const int *labels, int count)
{
	multiply(net, CUBLAS_OP_N, CUBLAS_OP_N, HIDDEN, count, PIXELS, net.weight + W1, images,
		 net.hidden);
	add_bias_relu<<<blocks(HIDDEN * count), THREADS, 0, net.stream>>>(
		net.hidden, net.weight + B1, HIDDEN, HIDDEN * count);
	multiply(net, CUBLAS_OP_N, CUBLAS_OP_N, CLASSES, count, HIDDEN, net.weight + W2, net.hidden,
		 net.scores);
	softmax_cross_entropy<<<blocks(count), THREADS, 0, net.stream>>>(
		net.scores, net.weight + B2, labels, net.losses, net.correct, count, 1.0f / count);
	CUDA(cudaGetLastError());
}

static void
train_batch(Network &net, const float *images, const int *labels, float rate)
{
	forward(net, images, labels, BATCH);

	/* Backward: the scores now hold their own gradient. */
	multiply(net, CUBLAS_OP_N, CUBLAS_OP_T, CLASSES, HIDDEN, BATCH, net.scores, net.hidden,
		 net.gradient + W2);
	sum_columns<<<1, THREADS, 0, net.stream>>>(net.gradient + B2, net.scores, CLASSES, BATCH);
	multiply(net, CUBLAS_OP_T, CUBLAS_OP_N, HIDDEN, BATCH, CLASSES, net.weight + W2, net.scores,
		 net.hidden_gradient);
	relu_gradient<<<blocks(HIDDEN * BATCH), THREADS, 0, net.stream>>>(
		net.hidden_gradient, net.hidden, HIDDEN * BATCH);
	multiply(net, CUBLAS_OP_N, CUBLAS_OP_T, HIDDEN, PIXELS, BATCH, net.hidden_gradient, images,
		 net.gradient + W1);
	sum_columns<<<blocks(HIDDEN), THREADS, 0, net.stream>>>(net.gradient + B1,
								net.hidden_gradient, HIDDEN, BATCH);
	momentum_step<<<blocks(WEIGHTS), THREADS, 0, net.stream>>>(net.weight, net.velocity,
								   net.gradient, rate, WEIGHTS);
	CUDA(cudaGetLastError());
}

/* Adds up what the last forward() found out about @count images. */
static void
read_results(Network &net, int count, float *ret_loss, float *ret_accuracy)
{
	float loss;
	int correct;
	size_t size = net.scratch_size;
	CUDA(cub::DeviceReduce::Sum(net.scratch, size, net.losses, net.loss_sum, count,
				    net.stream));
	CUDA(cudaMemcpyAsync(&loss, net.loss_sum, sizeof(loss), cudaMemcpyDeviceToHost,
			     net.stream));
	size = net.scratch_size;
	CUDA(cub::DeviceReduce::Sum(net.scratch, size, net.correct, net.correct_sum, count,
				    net.stream));
	CUDA(cudaMemcpyAsync(&correct, net.correct_sum, sizeof(correct), cudaMemcpyDeviceToHost,
			     net.stream));
	CUDA(cudaStreamSynchronize(net.stream));
	*ret_loss = loss / count;
	*ret_accuracy = (float)correct / count;
}

/* ---- batches: the next are copied while the network works on one ---- */

struct Batch {
	float *host_images, *images; /* pinned memory, and its copy on the device */
	int *host_labels, *labels;
	cudaEvent_t copied; /* on the copying stream */
	cudaEvent_t used;   /* on the network's stream */
};

static void
batch_create(Batch &batch, int images)
{
	size_t image_bytes = sizeof(float) * PIXELS * images;
	size_t label_bytes = sizeof(int) * images;
	CUDA(cudaMallocHost(&batch.host_images, image_bytes));
	CUDA(cudaMallocHost(&batch.host_labels, label_bytes));
	CUDA(cudaMalloc(&batch.images, image_bytes));
	CUDA(cudaMalloc(&batch.labels, label_bytes));
	CUDA(cudaEventCreateWithFlags(&batch.copied, cudaEventDisableTiming));
	CUDA(cudaEventCreateWithFlags(&batch.used, cudaEventDisableTiming));
}

static void
batch_destroy(Batch &batch)
{
	CUDA(cudaFreeHost(batch.host_images));
	CUDA(cudaFreeHost(batch.host_labels));
	CUDA(cudaFree(batch.images));
	CUDA(cudaFree(batch.labels));
	CUDA(cudaEventDestroy(batch.copied));
	CUDA(cudaEventDestroy(batch.used));
}

/* Starts copying @count digits on @stream, once nobody uses the batch's previous content. */
static void
batch_load(Batch &batch, const Digit *const *digits, int count, cudaStream_t stream)
{
	/* The host may fill the pinned memory only when the previous copy has read it. */
	CUDA(cudaEventSynchronize(batch.copied));
	for (int i = 0; i < count; i++) {
		std::copy(digits[i]->pixels, digits[i]->pixels + PIXELS,
			  batch.host_images + i * PIXELS);
		batch.host_labels[i] = digits[i]->label;
	}
	CUDA(cudaStreamWaitEvent(stream, batch.used, 0));
	CUDA(cudaMemcpyAsync(batch.images, batch.host_images, sizeof(float) * PIXELS * count,
			     cudaMemcpyHostToDevice, stream));
	CUDA(cudaMemcpyAsync(batch.labels, batch.host_labels, sizeof(int) * count,
			     cudaMemcpyHostToDevice, stream));
	CUDA(cudaEventRecord(batch.copied, stream));
}

int
main(int argc, char **argv)
{
	std::string path = data_path(argc, argv);
	std::vector<Digit> digits = read_digits(path);
	int epochs = argc > 2 ? atoi(argv[2]) : 25;
	if (digits.size() < (size_t)(TEST_IMAGES + BATCH) || epochs < 1) {
		fprintf(stderr, "%s holds %zu digits, too few\n", path.c_str(), digits.size());
		return 2;
	}

	/* A fifth of the images, picked at random, is kept for the test. */
	Random random = {1};
	std::vector<const Digit *> train;
	for (const Digit &digit : digits)
		train.push_back(&digit);
	random.shuffle(train);
	std::vector<const Digit *> test(train.end() - TEST_IMAGES, train.end());
	train.resize(train.size() - TEST_IMAGES);

	cudaDeviceProp device;
	CUDA(cudaGetDeviceProperties(&device, 0));
	printf("device: %s\n", device.name);
	printf("%zu digits to learn from, %zu to be tested on\n", train.size(), test.size());
	fflush(stdout);

	cudaStream_t compute, copy;
	CUDA(cudaStreamCreate(&compute));
	CUDA(cudaStreamCreateWithFlags(&copy, cudaStreamNonBlocking));
	cudaEvent_t begin, end;
	CUDA(cudaEventCreate(&begin));
	CUDA(cudaEventCreate(&end));

	Network net;
	network_create(net, compute, std::max(BATCH, TEST_IMAGES), random);
	Batch batches[BATCHES], exam;
	for (Batch &batch : batches)
		batch_create(batch, BATCH);
	batch_create(exam, TEST_IMAGES);
	batch_load(exam, test.data(), TEST_IMAGES, copy);
	CUDA(cudaStreamWaitEvent(compute, exam.copied, 0));

	const char *line_end = isatty(STDERR_FILENO) ? "\r" : "\n";
	int batches_per_epoch = (int)train.size() / BATCH;
	float accuracy = 0.0f;
	CUDA(cudaEventRecord(begin, compute));
	for (int epoch = 0; epoch < epochs; epoch++) {
		/* The learning rate falls in a straight line. */
		float rate = LEARNING_RATE * (float)(epochs - epoch) / (float)epochs;
		random.shuffle(train);
		for (int i = 0; i < batches_per_epoch; i++) {
			Batch &batch = batches[i % BATCHES];
			batch_load(batch, train.data() + i * BATCH, BATCH, copy);
			CUDA(cudaStreamWaitEvent(compute, batch.copied, 0));
			train_batch(net, batch.images, batch.labels, rate);
			CUDA(cudaEventRecord(batch.used, compute));
		}
		float train_loss, train_accuracy, test_loss;
		read_results(net, BATCH, &train_loss, &train_accuracy);
		forward(net, exam.images, exam.labels, TEST_IMAGES);
		read_results(net, TEST_IMAGES, &test_loss, &accuracy);
		fprintf(stderr, "epoch %2d/%d  loss %.4f  test loss %.4f  test accuracy %5.2f %%%s",
			epoch + 1, epochs, train_loss, test_loss, accuracy * 100.0f, line_end);
	}
	CUDA(cudaEventRecord(end, compute));
	CUDA(cudaEventSynchronize(end));
	float milliseconds;
	CUDA(cudaEventElapsedTime(&milliseconds, begin, end));
	fprintf(stderr, "\n%d steps in %.2f s\n", epochs * batches_per_epoch,
		milliseconds / 1000.0f);

	batch_destroy(exam);
	for (Batch &batch : batches)
		batch_destroy(batch);
	network_destroy(net);
	CUDA(cudaEventDestroy(begin));
	CUDA(cudaEventDestroy(end));
	CUDA(cudaStreamDestroy(compute));
	CUDA(cudaStreamDestroy(copy));

	bool good = accuracy >= REQUIRED_ACCURACY;
	printf("test accuracy: %.2f %%, %s\n", accuracy * 100.0f,
	       good ? "good" : "less than 95 %: something is wrong");
	return good ? 0 : 1;
}
