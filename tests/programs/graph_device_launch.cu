/* Graphs that kernels launch: to be forgotten, as the tail, again and again, by a handle in memory;
 * what such graphs may have in them; the same handles on the host. */
#include "program.h"

/* What happened, in order. */
struct Log {
	int count;
	char text[120];
	int errors; /* of launches */
};

__global__ void
note(Log *log, char what)
{
	log->text[log->count++] = what;
}

__global__ void
launch_forgotten(Log *log, char what, cudaGraphExec_t exec)
{
	log->text[log->count++] = what;
	log->errors += cudaGraphLaunch(exec, cudaStreamGraphFireAndForget) != cudaSuccess;
}

__global__ void
launch_tails(Log *log, char what, const cudaGraphExec_t *execs, int count)
{
	log->text[log->count++] = what;
	for (int i = 0; i < count; i++)
		log->errors += cudaGraphLaunch(execs[i], cudaStreamGraphTailLaunch) != cudaSuccess;
}

/* Runs its own graph until nothing is left. */
__global__ void
again(Log *log, int *left, const int *total)
{
	if (*left == 0) {
		log->text[log->count++] = '.';
		return;
	}
	log->text[log->count++] = (char)('0' + *total % 10);
	--*left;
	log->errors += cudaGraphLaunch(cudaGetCurrentGraphExec(), cudaStreamGraphTailLaunch) !=
		       cudaSuccess;
}

__global__ void
add(int *value, int term)
{
	*value += term;
}

/* One that knows its graph, one that does not. */
__global__ void
current(int *is_null)
{
	*is_null = cudaGetCurrentGraphExec() == nullptr;
}

template <typename... Args>
static cudaGraphNode_t
add_kernel(cudaGraph_t graph, std::vector<cudaGraphNode_t> after, void (*kernel)(Args...),
	   Args... args)
{
	void *pointers[] = {&args...};
	cudaKernelNodeParams params = {};
	cudaGraphNode_t node;
	params.func = (void *)kernel;
	params.gridDim = dim3(1);
	params.blockDim = dim3(1);
	params.kernelParams = pointers;
	CUDA(cudaGraphAddKernelNode(&node, graph, after.data(), after.size(), &params));
	return node;
}

static cudaGraph_t
graph_new()
{
	cudaGraph_t graph;
	CUDA(cudaGraphCreate(&graph, 0));
	return graph;
}

static cudaGraphExec_t
device_exec(cudaGraph_t graph, cudaStream_t stream)
{
	cudaGraphExec_t exec;
	CUDA(cudaGraphInstantiate(&exec, graph, cudaGraphInstantiateFlagDeviceLaunch));
	CUDA(cudaGraphUpload(exec, stream));
	return exec;
}

static cudaGraphExec_t
note_exec(Log *log, char what, cudaStream_t stream)
{
	cudaGraph_t graph = graph_new();
	add_kernel(graph, {}, note, log, what);
	return device_exec(graph, stream);
}

static void
run(const char *title, cudaGraphExec_t exec, Log *log, cudaStream_t stream)
{
	CUDA(cudaGraphLaunch(exec, stream));
	CUDA(cudaStreamSynchronize(stream));
	printf("%s: %.*s, errors %d\n", title, log->count, log->text, log->errors);
	*log = Log();
}

static void
forgotten(Log *log, cudaStream_t stream)
{
	cudaGraphExec_t device = note_exec(log, 'd', stream), host;
	cudaGraph_t graph;

	/* the programming guide's example: a captured launch of the kernel that launches */
	CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
	launch_forgotten<<<1, 1, 0, stream>>>(log, 'h', device);
	LAUNCHED();
	CUDA(cudaStreamEndCapture(stream, &graph));
	CUDA(cudaGraphInstantiate(&host, graph, 0));
	run("forgotten", host, log, stream);
	run("again", host, log, stream);
	/* what comes later in the stream comes after it */
	CUDA(cudaGraphLaunch(host, stream));
	note<<<1, 1, 0, stream>>>(log, 's');
	LAUNCHED();
	CUDA(cudaGraphLaunch(host, stream));
	CUDA(cudaStreamSynchronize(stream));
	printf("in the stream: %.*s, errors %d\n", log->count, log->text, log->errors);
	*log = Log();
	run("by the host", device, log, stream);
	CUDA(cudaGraphExecDestroy(host));
	CUDA(cudaGraphExecDestroy(device));
	CUDA(cudaGraphDestroy(graph));
}

/* A launches B and C, B launches D: D comes before C. */
static void
tails(Log *log, cudaStream_t stream)
{
	cudaGraphExec_t *execs;
	CUDA(cudaMallocManaged(&execs, 4 * sizeof(*execs)));
	cudaGraph_t b = graph_new(), a = graph_new();

	execs[2] = note_exec(log, 'D', stream);
	add_kernel(b, {}, launch_tails, log, 'B', (const cudaGraphExec_t *)execs + 2, 1);
	execs[0] = device_exec(b, stream);
	execs[1] = note_exec(log, 'C', stream);
	cudaGraphNode_t first =
		add_kernel(a, {}, launch_tails, log, 'A', (const cudaGraphExec_t *)execs, 2);
	/* a tail waits for all of the graph, not only for the kernel */
	add_kernel(a, {first}, note, log, 'a');
	cudaGraphExec_t exec = device_exec(a, stream);
	run("tails", exec, log, stream);
	run("once more", exec, log, stream);
	for (int i = 0; i < 3; i++)
		CUDA(cudaGraphExecDestroy(execs[i]));
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaFree(execs));
}

/* A loop: copy, set and child graph in it. */
static void
loop(Log *log, cudaStream_t stream)
{
	enum { ROUNDS = 40 };
	int *values; /* left, total, copy of total, scratch */
	CUDA(cudaMalloc(&values, 4 * sizeof(int)));
	int start[4] = {ROUNDS, 0, -1, -1}, end[4];
	CUDA(cudaMemcpy(values, start, sizeof(start), cudaMemcpyHostToDevice));

	cudaGraph_t graph = graph_new(), child = graph_new();
	cudaGraphNode_t node, copy, set;
	add_kernel(child, {}, add, values + 1, 3);
	CUDA(cudaGraphAddChildGraphNode(&node, graph, nullptr, 0, child));
	CUDA(cudaGraphAddMemcpyNode1D(&copy, graph, &node, 1, values + 2, values + 1, sizeof(int),
				      cudaMemcpyDeviceToDevice));
	cudaMemsetParams zero = {};
	zero.dst = values + 3;
	zero.elementSize = 4;
	zero.width = 1;
	zero.height = 1;
	CUDA(cudaGraphAddMemsetNode(&set, graph, &node, 1, &zero));
	add_kernel(graph, {copy, set}, again, log, values, (const int *)values + 2);
	cudaGraphExec_t exec = device_exec(graph, stream);
	run("loop", exec, log, stream);
	CUDA(cudaMemcpy(end, values, sizeof(end), cudaMemcpyDeviceToHost));
	printf("left %d, total %d %d, scratch %d\n", end[0], end[1], end[2], end[3]);
	EXPECT(end[1] == 3 * (ROUNDS + 1) && end[2] == end[1]);
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaFree(values));
}

static void
on_the_host(Log *log, cudaStream_t stream)
{
	cudaGraph_t graph = graph_new(), other = graph_new(), with_host = graph_new();
	cudaGraphNode_t node = add_kernel(graph, {}, note, log, 'x');
	cudaGraphExec_t exec = device_exec(graph, stream), none;
	unsigned long long flags;
	CUDA(cudaGraphExecGetFlags(exec, &flags));
	printf("flags %llu\n", flags);

	/* changed, it is the new one that runs, by whomever it is launched */
	char what = 'y';
	void *args[] = {&log, &what};
	cudaKernelNodeParams params = {};
	params.func = (void *)note;
	params.gridDim = params.blockDim = dim3(1);
	params.kernelParams = args;
	CUDA(cudaGraphExecKernelNodeSetParams(exec, node, &params));
	run("node changed", exec, log, stream);
	add_kernel(other, {}, note, log, 'z');
	cudaGraphExecUpdateResultInfo info;
	CUDA(cudaGraphExecUpdate(exec, other, &info));
	CUDA(cudaGraphUpload(exec, stream));
	cudaGraph_t launching = graph_new();
	cudaGraphExec_t host;
	add_kernel(launching, {}, launch_forgotten, log, 'l', exec);
	CUDA(cudaGraphInstantiate(&host, launching, 0));
	run("graph changed", host, log, stream);

	/* not in such graphs */
	cudaHostNodeParams host_params = {};
	host_params.fn = [](void *) {};
	CUDA(cudaGraphAddHostNode(&node, with_host, nullptr, 0, &host_params));
	cudaGraphInstantiateParams instantiate = {};
	instantiate.flags = cudaGraphInstantiateFlagDeviceLaunch;
	EXPECT(cudaGraphInstantiateWithParams(&none, with_host, &instantiate) != cudaSuccess);
	printf("a host function: result %d\n", (int)instantiate.result_out);
	(void)cudaGetLastError();
	EXPECT_ERROR(cudaGraphInstantiate(&none, graph,
					  cudaGraphInstantiateFlagDeviceLaunch |
						  cudaGraphInstantiateFlagAutoFreeOnLaunch),
		     cudaErrorInvalidValue);
	(void)cudaGetLastError();

	/* what is current */
	int *is_null;
	CUDA(cudaMallocManaged(&is_null, sizeof(int)));
	cudaGraph_t asks = graph_new();
	add_kernel(asks, {}, current, is_null);
	cudaGraphExec_t plain, launchable = device_exec(asks, stream);
	CUDA(cudaGraphInstantiate(&plain, asks, 0));
	for (cudaGraphExec_t each : {plain, launchable}) {
		CUDA(cudaGraphLaunch(each, stream));
		CUDA(cudaStreamSynchronize(stream));
		printf("no current graph: %d\n", *is_null);
	}
	CUDA(cudaFree(is_null));
	for (cudaGraphExec_t each : {exec, host, plain, launchable})
		CUDA(cudaGraphExecDestroy(each));
}

int
main()
{
	cudaStream_t stream;
	Log *log;

	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaMallocManaged(&log, sizeof(*log)));
	*log = Log();
	forgotten(log, stream);
	tails(log, stream);
	loop(log, stream);
	on_the_host(log, stream);
	CUDA(cudaFree(log));
	CUDA(cudaStreamDestroy(stream));
	return ok();
}
