/* Graphs: captured from streams, built by hand, replayed, changed between replays. */
#include "program.h"

__global__ void
multiply_add(int *values, int count, int factor, int term)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		values[i] = values[i] * factor + term;
}

/* A graph is optional for a device: the first call tells. */
static void
need_graphs()
{
	cudaGraph_t graph;
	cudaError_t error = cudaGraphCreate(&graph, 0);
	if (error == cudaErrorNotSupported)
		skip("graphs are not supported");
	CUDA(error);
	CUDA(cudaGraphDestroy(graph));
}

int
main()
{
	need_graphs();
	const int count = 2000, blocks = (count + 127) / 128;
	std::vector<int> values = random_ints(count, 100, 101), expected = values;
	int *device = to_device(values), *host;
	CUDA(cudaMallocHost(&host, count * sizeof(int)));
	cudaStream_t stream, side;
	cudaEvent_t fork_event, join_event;
	CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	CUDA(cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking));
	CUDA(cudaEventCreateWithFlags(&fork_event, cudaEventDisableTiming));
	CUDA(cudaEventCreateWithFlags(&join_event, cudaEventDisableTiming));

	/* A fork and a join by events are part of the graph. */
	cudaStreamCaptureStatus status;
	CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
	CUDA(cudaStreamIsCapturing(stream, &status));
	EXPECT(status == cudaStreamCaptureStatusActive);
	multiply_add<<<blocks, 128, 0, stream>>>(device, count, 3, 1);
	CUDA(cudaEventRecord(fork_event, stream));
	CUDA(cudaStreamWaitEvent(side, fork_event, 0));
	multiply_add<<<blocks / 2, 128, 0, stream>>>(device, blocks / 2 * 128, 5, 2);
	multiply_add<<<blocks, 128, 0, side>>>(device + blocks / 2 * 128, count - blocks / 2 * 128,
					       7, 3);
	CUDA(cudaEventRecord(join_event, side));
	CUDA(cudaStreamWaitEvent(stream, join_event, 0));
	CUDA(cudaMemcpyAsync(host, device, count * sizeof(int), cudaMemcpyDeviceToHost, stream));
	cudaGraph_t graph;
	CUDA(cudaStreamEndCapture(stream, &graph));
	CUDA(cudaStreamIsCapturing(stream, &status));
	EXPECT(status == cudaStreamCaptureStatusNone);
	size_t nodes;
	CUDA(cudaGraphGetNodes(graph, nullptr, &nodes));
	EXPECT(nodes == 4);

	/* Nothing has run yet. */
	EXPECT(to_host(device, count) == values);
	cudaGraphExec_t exec;
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	for (int round = 0; round < 10; round++) {
		CUDA(cudaGraphLaunch(exec, stream));
		for (int i = 0; i < count; i++) {
			unsigned v = (unsigned)expected[i] * 3 + 1;
			expected[i] = (int)(i < blocks / 2 * 128 ? v * 5 + 2 : v * 7 + 3);
		}
	}
	CUDA(cudaStreamSynchronize(stream));
	for (int i = 0; i < count; i++)
		EXPECT(host[i] == expected[i]);
	print_checksum("captured", expected);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));

	/* By hand: fill, kernel, copy; then with another kernel argument. */
	CUDA(cudaGraphCreate(&graph, 0));
	cudaGraphNode_t fill, kernel, copy;
	cudaMemsetParams fill_params = {};
	fill_params.dst = device;
	fill_params.value = 1;
	fill_params.elementSize = sizeof(int);
	fill_params.width = count;
	fill_params.height = 1;
	CUDA(cudaGraphAddMemsetNode(&fill, graph, nullptr, 0, &fill_params));
	int count_arg = count, factor = 10, term = 4;
	void *args[] = {&device, &count_arg, &factor, &term};
	cudaKernelNodeParams kernel_params = {};
	kernel_params.func = (void *)multiply_add;
	kernel_params.gridDim = dim3(blocks);
	kernel_params.blockDim = dim3(128);
	kernel_params.kernelParams = args;
	CUDA(cudaGraphAddKernelNode(&kernel, graph, &fill, 1, &kernel_params));
	CUDA(cudaGraphAddMemcpyNode1D(&copy, graph, &kernel, 1, host, device, count * sizeof(int),
				      cudaMemcpyDeviceToHost));
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	CUDA(cudaGraphLaunch(exec, stream));
	CUDA(cudaStreamSynchronize(stream));
	for (int i = 0; i < count; i++)
		EXPECT(host[i] == 14);
	term = 5;
	CUDA(cudaGraphExecKernelNodeSetParams(exec, kernel, &kernel_params));
	CUDA(cudaGraphLaunch(exec, stream));
	CUDA(cudaStreamSynchronize(stream));
	for (int i = 0; i < count; i++)
		EXPECT(host[i] == 15);
	printf("by hand: %d\n", host[0]);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaFree(device));
	CUDA(cudaFreeHost(host));
	CUDA(cudaEventDestroy(fork_event));
	CUDA(cudaEventDestroy(join_event));
	CUDA(cudaStreamDestroy(stream));
	CUDA(cudaStreamDestroy(side));
	return ok();
}
