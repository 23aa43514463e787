/*
 * Hundreds of host functions, each in front of downloads to pageable and to pinned memory, in
 * several streams, from several threads; then through graphs. Nothing waits for ever, all happens
 * in order, and each function sees what was copied before it.
 */
#include "program.h"

#include <atomic>
#include <memory>
#include <thread>

constexpr int THREADS = 4;
constexpr int ROUNDS = 60;
constexpr int PINNED = 12;               /* downloads behind one function */
constexpr size_t COUNT = 40000;          /* ints of a download: more than travels inline */
constexpr int GRAPHS = 3, LAUNCHES = 20; /* and how often each is launched */

__global__ void
fill(int *p, size_t count, int value)
{
	size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
	if (i < count)
		p[i] = value;
}

static void
launch_fill(int *p, size_t count, int value, cudaStream_t stream)
{
	fill<<<(unsigned)((count + 255) / 256), 256, 0, stream>>>(p, count, value);
	LAUNCHED();
}

struct Step {
	std::atomic<int> *calls;
	const int *seen; /* pinned: what was copied before the function */
	int expected, number;
	std::atomic<int> *wrong;
};

static void
step(void *data)
{
	Step *now = (Step *)data;
	if (now->calls->fetch_add(1) != now->number)
		now->wrong->fetch_add(1);
	if (now->seen && (now->seen[0] != now->expected || now->seen[COUNT - 1] != now->expected))
		now->wrong->fetch_add(1);
}

static std::atomic<int> wrong;

/* One thread: a stream of its own. */
static void
stream_work(int thread)
{
	cudaStream_t stream;
	int *device, *pinned, *first;
	std::vector<int> pageable(COUNT);
	std::vector<std::unique_ptr<Step>> steps;
	std::atomic<int> calls(0);

	CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	CUDA(cudaMalloc(&device, COUNT * sizeof(int)));
	CUDA(cudaMallocHost(&pinned, PINNED * COUNT * sizeof(int)));
	CUDA(cudaMallocHost(&first, COUNT * sizeof(int)));
	for (int round = 0; round < ROUNDS; round++) {
		int value = thread * 100000 + round * 10;
		launch_fill(device, COUNT, value, stream);
		CUDA(cudaMemcpyAsync(first, device, COUNT * sizeof(int), cudaMemcpyDeviceToHost,
				     stream));
		steps.emplace_back(new Step{&calls, first, value, round, &wrong});
		CUDA(cudaLaunchHostFunc(stream, step, steps.back().get()));
		for (int i = 0; i < PINNED; i++) {
			launch_fill(device, COUNT, value + i + 1, stream);
			CUDA(cudaMemcpyAsync(pinned + i * COUNT, device, COUNT * sizeof(int),
					     cudaMemcpyDeviceToHost, stream));
		}
		/* Waits for all of it. */
		CUDA(cudaMemcpyAsync(pageable.data(), device, COUNT * sizeof(int),
				     cudaMemcpyDeviceToHost, stream));
		CUDA(cudaStreamSynchronize(stream));
		EXPECT(calls == round + 1);
		for (int i = 0; i < PINNED; i++)
			EXPECT(pinned[i * COUNT] == value + i + 1 &&
			       pinned[i * COUNT + COUNT - 1] == value + i + 1);
		EXPECT(pageable[0] == value + PINNED && pageable[COUNT - 1] == value + PINNED);
	}
	CUDA(cudaFreeHost(first));
	CUDA(cudaFreeHost(pinned));
	CUDA(cudaFree(device));
	CUDA(cudaStreamDestroy(stream));
}

/* Many functions one behind the other with nothing waited for, memory freed meanwhile. */
static void
pile_up()
{
	const int count = 300;
	cudaStream_t streams[3];
	std::vector<std::unique_ptr<Step>> steps;
	std::atomic<int> calls[3];
	int *device[3], *pinned[3];

	for (int s = 0; s < 3; s++) {
		calls[s] = 0;
		CUDA(cudaStreamCreateWithFlags(&streams[s], cudaStreamNonBlocking));
		CUDA(cudaMalloc(&device[s], COUNT * sizeof(int)));
		CUDA(cudaMallocHost(&pinned[s], COUNT * sizeof(int)));
	}
	for (int i = 0; i < count; i++) {
		int s = i % 3;
		void *gone;
		launch_fill(device[s], COUNT, i, streams[s]);
		steps.emplace_back(new Step{&calls[s], nullptr, 0, i / 3, &wrong});
		CUDA(cudaLaunchHostFunc(streams[s], step, steps.back().get()));
		CUDA(cudaMemcpyAsync(pinned[s], device[s], COUNT * sizeof(int),
				     cudaMemcpyDeviceToHost, streams[s]));
		if (i % 20 == 0) {
			CUDA(cudaMalloc(&gone, (size_t)8 << 20));
			CUDA(cudaFree(gone));
		}
	}
	CUDA(cudaDeviceSynchronize());
	for (int s = 0; s < 3; s++) {
		EXPECT(calls[s] == count / 3);
		EXPECT(pinned[s][0] == count - 3 + s && pinned[s][COUNT - 1] == count - 3 + s);
		CUDA(cudaFreeHost(pinned[s]));
		CUDA(cudaFree(device[s]));
		CUDA(cudaStreamDestroy(streams[s]));
	}
}

static void
count_up(void *data)
{
	((std::atomic<int> *)data)->fetch_add(1);
}

/* Functions captured between kernels; each launch runs them again, with downloads behind it. */
static void
graph_work(int thread)
{
	cudaStream_t stream;
	std::atomic<int> calls(0);
	int *device, *pinned;
	std::vector<int> pageable(COUNT);

	CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	CUDA(cudaMalloc(&device, COUNT * sizeof(int)));
	CUDA(cudaMallocHost(&pinned, COUNT * sizeof(int)));
	for (int g = 0; g < GRAPHS; g++) {
		cudaGraph_t graph;
		cudaGraphExec_t exec;
		CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
		for (int i = 0; i < 4; i++) {
			launch_fill(device, COUNT, thread * 1000 + g * 10 + i, stream);
			CUDA(cudaLaunchHostFunc(stream, count_up, &calls));
		}
		CUDA(cudaStreamEndCapture(stream, &graph));
		CUDA(cudaGraphInstantiate(&exec, graph, 0));
		for (int i = 0; i < LAUNCHES; i++) {
			CUDA(cudaGraphLaunch(exec, stream));
			CUDA(cudaMemcpyAsync(pinned, device, COUNT * sizeof(int),
					     cudaMemcpyDeviceToHost, stream));
		}
		CUDA(cudaMemcpyAsync(pageable.data(), device, COUNT * sizeof(int),
				     cudaMemcpyDeviceToHost, stream));
		CUDA(cudaStreamSynchronize(stream));
		EXPECT(calls == (g + 1) * LAUNCHES * 4);
		EXPECT(pinned[COUNT - 1] == thread * 1000 + g * 10 + 3);
		EXPECT(pageable[0] == thread * 1000 + g * 10 + 3);
		CUDA(cudaGraphExecDestroy(exec));
		CUDA(cudaGraphDestroy(graph));
	}
	CUDA(cudaFreeHost(pinned));
	CUDA(cudaFree(device));
	CUDA(cudaStreamDestroy(stream));
}

static void
in_threads(void (*work)(int))
{
	std::vector<std::thread> threads;
	for (int i = 0; i < THREADS; i++)
		threads.emplace_back(work, i);
	for (std::thread &thread : threads)
		thread.join();
}

int
main()
{
	in_threads(stream_work);
	printf("streams: %d functions out of place\n", wrong.load());
	pile_up();
	printf("piled up: %d functions out of place\n", wrong.load());
	in_threads(graph_work);
	printf("graphs done\n");
	/* The end of a context waits for what is still to run. */
	cudaStream_t stream;
	std::atomic<int> calls(0);
	CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	for (int i = 0; i < 100; i++)
		CUDA(cudaLaunchHostFunc(stream, count_up, &calls));
	CUDA(cudaDeviceSynchronize());
	EXPECT(calls == 100);
	CUDA(cudaDeviceReset());
	EXPECT(wrong == 0);
	return ok();
}
