/* Graphs and the memory of the program: pageable and pinned, copied when the node runs, in order
 * with host functions; and user objects, freed with the last graph. */
#include "program.h"

#include <atomic>
#include <thread>

__global__ void
add(int *values, int count, int term)
{
	for (int i = threadIdx.x; i < count; i += blockDim.x)
		values[i] += term;
}

static const int count = 5000;

struct Shared {
	int *in, *out;
	int calls;
	long long sum;
};

/* Between two launches of a graph: looks at what came, and changes what goes next. */
static void
next_input(void *data)
{
	Shared *shared = (Shared *)data;
	for (int i = 0; i < count; i++)
		shared->sum += shared->out[i];
	for (int i = 0; i < count; i++)
		shared->in[i] += 1;
	shared->calls++;
}

/* Captured: in → device, a kernel, device → out, the function; so many times in the same graph. */
static void
captured(int *in, int *out, const char *name, int halves)
{
	cudaStream_t stream;
	cudaGraph_t graph;
	cudaGraphExec_t exec;
	Shared shared = {in, out, 0, 0};
	int *device;
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaMalloc(&device, count * sizeof(int)));
	for (int i = 0; i < count; i++) {
		in[i] = -1; /* what is there at the launch counts */
		out[i] = 0;
	}
	CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
	for (int half = 0; half < halves; half++) {
		CUDA(cudaMemcpyAsync(device, in, count * sizeof(int), cudaMemcpyHostToDevice,
				     stream));
		add<<<1, 128, 0, stream>>>(device, count, 100);
		CUDA(cudaMemcpyAsync(out, device, count * sizeof(int), cudaMemcpyDeviceToHost,
				     stream));
		CUDA(cudaLaunchHostFunc(stream, next_input, &shared));
	}
	CUDA(cudaStreamEndCapture(stream, &graph));
	size_t nodes = 0, edges = 0;
	CUDA(cudaGraphGetNodes(graph, nullptr, &nodes));
	CUDA(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &edges));
	EXPECT(nodes == 4u * halves && edges == nodes - 1);
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	CUDA(cudaGraphDestroy(graph));

	long long expected = 0;
	for (int i = 0; i < count; i++)
		in[i] = i;
	for (int launch = 0; launch < 3; launch++) {
		CUDA(cudaGraphLaunch(exec, stream));
		CUDA(cudaStreamSynchronize(stream));
		for (int half = 0; half < halves; half++)
			expected += (long long)count * (count - 1) / 2 +
				    (long long)count * (100 + halves * launch + half);
	}
	printf("%s: %d calls, %lld\n", name, shared.calls, shared.sum);
	EXPECT(shared.calls == 3 * halves);
	EXPECT(shared.sum == expected);
	EXPECT(in[17] == 17 + 3 * halves && out[17] == 17 + 3 * halves - 1 + 100);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaFree(device));
	CUDA(cudaStreamDestroy(stream));
}

/* A rectangle of pageable memory, by hand; then of other memory, in the executable graph. */
static void
rectangles()
{
	const int width = 37, height = 11, pitch = 50;
	std::vector<int> first(pitch * height), second(pitch * height), back(pitch * height, -1);
	for (int i = 0; i < pitch * height; i++) {
		first[i] = i;
		second[i] = 10000 + i;
	}
	int *device;
	size_t device_pitch;
	CUDA(cudaMallocPitch(&device, &device_pitch, width * sizeof(int), height));
	cudaGraph_t graph;
	cudaGraphNode_t up, down;
	cudaGraphExec_t exec;
	cudaMemcpy3DParms params = {};
	params.srcPtr = make_cudaPitchedPtr(first.data(), pitch * sizeof(int), width, height);
	params.dstPtr = make_cudaPitchedPtr(device, device_pitch, width, height);
	params.extent = make_cudaExtent(width * sizeof(int), height, 1);
	params.kind = cudaMemcpyHostToDevice;
	CUDA(cudaGraphCreate(&graph, 0));
	CUDA(cudaGraphAddMemcpyNode(&up, graph, nullptr, 0, &params));
	params.srcPtr = make_cudaPitchedPtr(device, device_pitch, width, height);
	params.dstPtr = make_cudaPitchedPtr(back.data(), pitch * sizeof(int), width, height);
	params.kind = cudaMemcpyDeviceToHost;
	CUDA(cudaGraphAddMemcpyNode(&down, graph, &up, 1, &params));
	cudaMemcpy3DParms got = {};
	CUDA(cudaGraphMemcpyNodeGetParams(down, &got));
	EXPECT(got.dstPtr.ptr == back.data() && got.srcPtr.ptr == device);
	EXPECT(got.extent.width == width * sizeof(int) && got.extent.height == height);
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	CUDA(cudaGraphLaunch(exec, 0));
	CUDA(cudaDeviceSynchronize());
	for (int y = 0; y < height; y++)
		for (int x = 0; x < pitch; x++)
			EXPECT(back[y * pitch + x] == (x < width ? first[y * pitch + x] : -1));

	/* The node itself may be changed before the next instantiation. */
	params.srcPtr = make_cudaPitchedPtr(second.data(), pitch * sizeof(int), width, height);
	params.dstPtr = make_cudaPitchedPtr(device, device_pitch, width, height);
	params.kind = cudaMemcpyHostToDevice;
	CUDA(cudaGraphMemcpyNodeSetParams(up, &params));
	cudaGraphExec_t other;
	CUDA(cudaGraphInstantiate(&other, graph, 0));
	CUDA(cudaGraphLaunch(other, 0));
	CUDA(cudaDeviceSynchronize());
	EXPECT(back[3 * pitch + 5] == second[3 * pitch + 5]);
	CUDA(cudaGraphLaunch(exec, 0));
	CUDA(cudaDeviceSynchronize());
	EXPECT(back[3 * pitch + 5] == first[3 * pitch + 5]);
	print_checksum("rectangles", back);
	CUDA(cudaGraphExecDestroy(other));
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaFree(device));
}

/* Another source in an executable graph; a copy within host memory; one switched off. */
static void
changes()
{
	std::vector<int> a(100, 1), b(100, 2), c(100, 0), d(100, 0);
	int *device;
	CUDA(cudaMalloc(&device, 100 * sizeof(int)));
	cudaGraph_t graph;
	cudaGraphNode_t up, down, within;
	cudaGraphExec_t exec;
	CUDA(cudaGraphCreate(&graph, 0));
	CUDA(cudaGraphAddMemcpyNode1D(&up, graph, nullptr, 0, device, a.data(), 400,
				      cudaMemcpyHostToDevice));
	CUDA(cudaGraphAddMemcpyNode1D(&down, graph, &up, 1, c.data(), device, 400,
				      cudaMemcpyDeviceToHost));
	CUDA(cudaGraphAddMemcpyNode1D(&within, graph, &down, 1, d.data(), c.data(), 400,
				      cudaMemcpyHostToHost));
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	CUDA(cudaGraphLaunch(exec, 0));
	CUDA(cudaDeviceSynchronize());
	EXPECT(c[99] == 1 && d[99] == 1);
	CUDA(cudaGraphExecMemcpyNodeSetParams1D(exec, up, device, b.data(), 400,
						cudaMemcpyHostToDevice));
	CUDA(cudaGraphLaunch(exec, 0));
	CUDA(cudaDeviceSynchronize());
	EXPECT(c[99] == 2 && d[99] == 2);
	b.assign(100, 3);
	unsigned int enabled = 1;
	CUDA(cudaGraphNodeSetEnabled(exec, up, 0));
	CUDA(cudaGraphNodeGetEnabled(exec, up, &enabled));
	EXPECT(enabled == 0);
	CUDA(cudaGraphLaunch(exec, 0));
	CUDA(cudaDeviceSynchronize());
	EXPECT(c[99] == 2);
	CUDA(cudaGraphNodeSetEnabled(exec, up, 1));
	CUDA(cudaGraphLaunch(exec, 0));
	CUDA(cudaDeviceSynchronize());
	printf("changes: %d %d\n", c[99], d[99]);
	EXPECT(c[99] == 3 && d[99] == 3);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaFree(device));
}

static std::atomic<int> freed;

static void
free_object(void *data)
{
	freed += *(int *)data;
}

static void
read_object(void *data)
{
	++*(int *)data;
}

/* Its destructor may run a little after the last reference is gone. */
static void
wait_freed(int wanted)
{
	for (int i = 0; i < 5000 && freed != wanted; i++)
		std::this_thread::sleep_for(std::chrono::milliseconds(1));
	EXPECT(freed == wanted);
}

static void
user_objects()
{
	cudaUserObject_t object;
	cudaGraph_t graph, clone;
	cudaGraphNode_t node;
	cudaGraphExec_t exec;
	int one = 1, ten = 10;
	CUDA(cudaUserObjectCreate(&object, &one, free_object, 1, cudaUserObjectNoDestructorSync));
	CUDA(cudaUserObjectRetain(object, 2));
	CUDA(cudaUserObjectRelease(object, 2));
	EXPECT(freed == 0);
	CUDA(cudaUserObjectRelease(object, 1));
	wait_freed(1);

	/* Moved to a graph, shared by its clone and by what was instantiated. */
	CUDA(cudaUserObjectCreate(&object, &ten, free_object, 1, cudaUserObjectNoDestructorSync));
	CUDA(cudaGraphCreate(&graph, 0));
	CUDA(cudaGraphRetainUserObject(graph, object, 1, cudaGraphUserObjectMove));
	cudaHostNodeParams params = {};
	int calls = 0;
	params.fn = read_object;
	params.userData = &calls;
	CUDA(cudaGraphAddHostNode(&node, graph, nullptr, 0, &params));
	cudaHostNodeParams got = {};
	CUDA(cudaGraphHostNodeGetParams(node, &got));
	EXPECT(got.fn == read_object && got.userData == &calls);
	CUDA(cudaGraphClone(&clone, graph));
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaGraphInstantiate(&exec, clone, 0));
	CUDA(cudaGraphDestroy(clone));
	EXPECT(freed == 1);
	CUDA(cudaGraphLaunch(exec, 0));
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaDeviceSynchronize());
	EXPECT(calls == 1);
	wait_freed(11);
	printf("user objects: %d\n", freed.load());
}

int
main()
{
	std::vector<int> in(count), out(count);
	/* Once: the driver may read pageable memory when the graph is launched, all of it. */
	captured(in.data(), out.data(), "pageable", 1);
	int *pinned_in, *pinned_out;
	CUDA(cudaMallocHost(&pinned_in, count * sizeof(int)));
	CUDA(cudaMallocHost(&pinned_out, count * sizeof(int)));
	captured(pinned_in, pinned_out, "pinned", 2);
	CUDA(cudaFreeHost(pinned_in));
	CUDA(cudaFreeHost(pinned_out));
	rectangles();
	changes();
	user_objects();
	return ok();
}
