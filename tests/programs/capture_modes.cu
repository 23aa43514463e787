/* Stream capture: modes and threads, forks and joins, captures into a graph that is there, what
 * comes next changed by hand, events from outside, graphs launched in a capture. */
#include "program.h"

#include <thread>

__global__ void
add(int *value, int term)
{
	*value += term;
}

static int
value_of(const int *device)
{
	int value;
	CUDA(cudaMemcpy(&value, device, sizeof(value), cudaMemcpyDeviceToHost));
	return value;
}

static void
launch(cudaGraph_t graph, int times = 1)
{
	cudaGraphExec_t exec;
	cudaStream_t stream;
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	for (int i = 0; i < times; i++)
		CUDA(cudaGraphLaunch(exec, stream));
	CUDA(cudaStreamSynchronize(stream));
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaStreamDestroy(stream));
}

static size_t
nodes_of(cudaGraph_t graph)
{
	size_t count = 0;
	CUDA(cudaGraphGetNodes(graph, nullptr, &count));
	return count;
}

/* Which calls are forbidden, for whom. */
static void
modes(cudaStream_t stream, int *device)
{
	const cudaStreamCaptureMode all[] = {cudaStreamCaptureModeGlobal,
					     cudaStreamCaptureModeThreadLocal,
					     cudaStreamCaptureModeRelaxed};
	const char *names[] = {"global", "thread local", "relaxed"};
	for (int of_capture = 0; of_capture < 3; of_capture++)
		for (int of_thread = 0; of_thread < 3; of_thread++) {
			cudaStreamCaptureMode mode = all[of_thread];
			cudaError_t here = cudaSuccess, elsewhere = cudaSuccess;
			cudaGraph_t graph = nullptr;
			void *p = nullptr, *q = nullptr;
			CUDA(cudaStreamBeginCapture(stream, all[of_capture]));
			add<<<1, 1, 0, stream>>>(device, 1);
			std::thread([&] {
				cudaStreamCaptureMode other = all[of_thread];
				CUDA(cudaThreadExchangeStreamCaptureMode(&other));
				EXPECT(other == cudaStreamCaptureModeGlobal);
				elsewhere = cudaMalloc(&q, 64);
			}).join();
			CUDA(cudaThreadExchangeStreamCaptureMode(&mode));
			here = cudaMalloc(&p, 64);
			CUDA(cudaThreadExchangeStreamCaptureMode(&mode));
			cudaError_t end = cudaStreamEndCapture(stream, &graph);
			printf("%s, %s: here %d, elsewhere %d, end %d\n", names[of_capture],
			       names[of_thread], here, elsewhere, end);
			EXPECT((end == cudaSuccess) ==
			       (here == cudaSuccess && elsewhere == cudaSuccess));
			if (graph)
				CUDA(cudaGraphDestroy(graph));
			CUDA(cudaFree(p));
			CUDA(cudaFree(q));
			cudaGetLastError();
		}
}

/* Three streams of two threads in one capture. */
static void
forks(cudaStream_t stream, int *device)
{
	cudaStream_t side[2];
	cudaEvent_t begun, done[2];
	cudaGraph_t graph;
	cudaStreamCaptureStatus status;
	unsigned long long id = 0, other = 1;
	CUDA(cudaEventCreate(&begun));
	for (int i = 0; i < 2; i++) {
		CUDA(cudaStreamCreateWithFlags(&side[i], cudaStreamNonBlocking));
		CUDA(cudaEventCreate(&done[i]));
	}
	CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
	add<<<1, 1, 0, stream>>>(device, 1);
	CUDA(cudaEventRecord(begun, stream));
	for (int i = 0; i < 2; i++)
		std::thread([&, i] {
			CUDA(cudaStreamWaitEvent(side[i], begun, 0));
			add<<<1, 1, 0, side[i]>>>(device + 1 + i, 10);
			add<<<1, 1, 0, side[i]>>>(device + 1 + i, 10);
			CUDA(cudaEventRecord(done[i], side[i]));
		}).join();
	CUDA(cudaStreamGetCaptureInfo(stream, &status, &id));
	CUDA(cudaStreamGetCaptureInfo(side[1], &status, &other));
	EXPECT(status == cudaStreamCaptureStatusActive && id == other);
	for (int i = 0; i < 2; i++)
		CUDA(cudaStreamWaitEvent(stream, done[i], 0));
	add<<<1, 1, 0, stream>>>(device, 100);
	CUDA(cudaStreamEndCapture(stream, &graph));
	CUDA(cudaStreamIsCapturing(side[0], &status));
	EXPECT(status == cudaStreamCaptureStatusNone);
	size_t edges = 0;
	CUDA(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &edges));
	EXPECT(nodes_of(graph) == 6);
	EXPECT(edges == 6 ||
	       edges == 7); /* the stream's own last node may be one of those before */
	CUDA(cudaMemset(device, 0, 3 * sizeof(int)));
	launch(graph, 2);
	printf("forks: %d %d %d\n", value_of(device), value_of(device + 1), value_of(device + 2));
	EXPECT(value_of(device) == 202 && value_of(device + 1) == 40 && value_of(device + 2) == 40);
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaEventDestroy(begun));
	for (int i = 0; i < 2; i++) {
		CUDA(cudaStreamDestroy(side[i]));
		CUDA(cudaEventDestroy(done[i]));
	}
}

/* Into a graph that has nodes; and nodes put between by hand. */
static void
into_graph(cudaStream_t stream, int *device)
{
	cudaGraph_t graph, inner, ended;
	cudaGraphNode_t first, hand, before;
	const cudaGraphNode_t *after = nullptr;
	cudaStreamCaptureStatus status;
	unsigned long long id;
	size_t count = 0;
	CUDA(cudaGraphCreate(&graph, 0));
	cudaMemsetParams set = {};
	set.dst = device;
	set.value = 5;
	set.elementSize = 4;
	set.width = 1;
	set.height = 1;
	CUDA(cudaGraphAddMemsetNode(&first, graph, nullptr, 0, &set));
	CUDA(cudaStreamBeginCaptureToGraph(stream, graph, &first, nullptr, 1,
					   cudaStreamCaptureModeGlobal));
	add<<<1, 1, 0, stream>>>(device, 1);
	CUDA(cudaStreamGetCaptureInfo(stream, &status, &id, &inner, &after, nullptr, &count));
	EXPECT(inner == graph && count == 1);
	before = after[0];
	set.dst = device + 1;
	set.value = 40;
	CUDA(cudaGraphAddMemsetNode(&hand, graph, &before, 1, &set));
	CUDA(cudaStreamUpdateCaptureDependencies(stream, &hand, nullptr, 1,
						 cudaStreamAddCaptureDependencies));
	CUDA(cudaStreamGetCaptureInfo(stream, &status, &id, nullptr, &after, nullptr, &count));
	EXPECT(count == 2);
	CUDA(cudaStreamUpdateCaptureDependencies(stream, &hand, nullptr, 1,
						 cudaStreamSetCaptureDependencies));
	CUDA(cudaStreamGetCaptureInfo(stream, &status, &id, nullptr, &after, nullptr, &count));
	EXPECT(count == 1 && after[0] == hand);
	add<<<1, 1, 0, stream>>>(device + 1, 2);
	CUDA(cudaStreamEndCapture(stream, &ended));
	EXPECT(ended == graph && nodes_of(graph) == 4);
	launch(graph, 2);
	printf("into a graph: %d %d\n", value_of(device), value_of(device + 1));
	EXPECT(value_of(device) == 6 && value_of(device + 1) == 42);
	CUDA(cudaGraphDestroy(graph));
}

/* Records and waits that are nodes of the graph: for work outside of it. */
static void
external(cudaStream_t stream, int *device)
{
	cudaEvent_t go, done;
	cudaGraph_t graph;
	cudaGraphExec_t exec;
	cudaGraphNodeType type;
	cudaStream_t outside;
	CUDA(cudaStreamCreateWithFlags(&outside, cudaStreamNonBlocking));
	CUDA(cudaEventCreate(&go));
	CUDA(cudaEventCreate(&done));
	CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
	CUDA(cudaStreamWaitEvent(stream, go, cudaEventWaitExternal));
	add<<<1, 1, 0, stream>>>(device, 1);
	CUDA(cudaEventRecordWithFlags(done, stream, cudaEventRecordExternal));
	CUDA(cudaStreamEndCapture(stream, &graph));
	cudaGraphNode_t nodes[3];
	size_t count = 3;
	CUDA(cudaGraphGetNodes(graph, nodes, &count));
	EXPECT(count == 3);
	CUDA(cudaGraphNodeGetType(nodes[0], &type));
	EXPECT(type == cudaGraphNodeTypeWaitEvent);
	CUDA(cudaGraphNodeGetType(nodes[2], &type));
	EXPECT(type == cudaGraphNodeTypeEventRecord);
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	CUDA(cudaMemset(device, 0, sizeof(int)));
	CUDA(cudaDeviceSynchronize());
	for (int i = 0; i < 3; i++) {
		add<<<1, 1, 0, outside>>>(device, 10);
		CUDA(cudaEventRecord(go, outside));
		CUDA(cudaGraphLaunch(exec, stream));
		CUDA(cudaStreamWaitEvent(outside, done, 0));
	}
	CUDA(cudaEventSynchronize(done));
	CUDA(cudaStreamSynchronize(outside));
	printf("external: %d\n", value_of(device));
	EXPECT(value_of(device) == 33);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaEventDestroy(go));
	CUDA(cudaEventDestroy(done));
	CUDA(cudaStreamDestroy(outside));
}

/* A graph cannot be launched in a capture: that is over then. */
static void
graph_in_capture(cudaStream_t stream, int *device)
{
	cudaGraph_t inner, graph;
	cudaGraphExec_t exec;
	CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
	add<<<1, 1, 0, stream>>>(device, 3);
	CUDA(cudaStreamEndCapture(stream, &inner));
	CUDA(cudaGraphInstantiate(&exec, inner, 0));
	CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
	add<<<1, 1, 0, stream>>>(device, 10);
	cudaError_t launched = cudaGraphLaunch(exec, stream);
	cudaError_t ended = cudaStreamEndCapture(stream, &graph);
	printf("graph in a capture: %d, end %d\n", launched, ended);
	cudaGetLastError();
	CUDA(cudaMemset(device, 0, sizeof(int)));
	CUDA(cudaGraphLaunch(exec, stream));
	CUDA(cudaStreamSynchronize(stream));
	EXPECT(value_of(device) == 3);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(inner));
}

/* More nodes than one command holds, all before one. */
static void
wide(cudaStream_t stream, int *device)
{
	const int width = 3000;
	std::vector<cudaGraphNode_t> nodes(width);
	cudaGraphNode_t last;
	cudaGraph_t graph, clone;
	(void)stream;
	CUDA(cudaGraphCreate(&graph, 0));
	for (int i = 0; i < width; i++)
		CUDA(cudaGraphAddEmptyNode(&nodes[i], graph, nullptr, 0));
	cudaMemsetParams set = {};
	set.dst = device;
	set.value = 7;
	set.elementSize = 4;
	set.width = 1;
	set.height = 1;
	CUDA(cudaGraphAddMemsetNode(&last, graph, nodes.data(), width, &set));
	CUDA(cudaGraphClone(&clone, graph));
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaMemset(device, 0, sizeof(int)));
	launch(clone);
	printf("wide: %d nodes, %d\n", (int)nodes_of(clone), value_of(device));
	CUDA(cudaGraphDestroy(clone));
}

int
main()
{
	cudaStream_t stream;
	int *device;
	CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	CUDA(cudaMalloc(&device, 3 * sizeof(int)));
	modes(stream, device);
	forks(stream, device);
	into_graph(stream, device);
	external(stream, device);
	graph_in_capture(stream, device);
	wide(stream, device);
	CUDA(cudaStreamDestroy(stream));
	CUDA(cudaFree(device));
	return ok();
}
