/* Memory that graphs allocate and free: nodes, captures, what happens at a launch. */
#include "program.h"

__global__ void
fill(int *p, int count, int value)
{
	for (int i = threadIdx.x; i < count; i += blockDim.x)
		p[i] = value + i;
}

__global__ void
sum(const int *p, int count, int *result)
{
	int total = 0;
	for (int i = 0; i < count; i++)
		total += p[i];
	*result += total;
}

static const int count = 1000;

static int
value_of(const int *device)
{
	int value;
	CUDA(cudaMemcpy(&value, device, sizeof(value), cudaMemcpyDeviceToHost));
	return value;
}

static unsigned long long
used(cudaGraphMemAttributeType what)
{
	unsigned long long value = 0;
	CUDA(cudaDeviceGetGraphMemAttribute(0, what, &value));
	return value;
}

template <typename... Args>
static cudaGraphNode_t
add_kernel(cudaGraph_t graph, cudaGraphNode_t after, void (*kernel)(Args...), Args... args)
{
	void *pointers[] = {&args...};
	cudaKernelNodeParams params = {};
	cudaGraphNode_t node;
	params.func = (void *)kernel;
	params.gridDim = dim3(1);
	params.blockDim = dim3(1);
	params.kernelParams = pointers;
	CUDA(cudaGraphAddKernelNode(&node, graph, after ? &after : nullptr, after ? 1 : 0,
				    &params));
	return node;
}

static cudaGraphNode_t
add_alloc(cudaGraph_t graph, size_t size, int **ret)
{
	cudaMemAllocNodeParams params = {};
	cudaGraphNode_t node;
	params.poolProps.allocType = cudaMemAllocationTypePinned;
	params.poolProps.location.type = cudaMemLocationTypeDevice;
	params.poolProps.location.id = 0;
	params.bytesize = size;
	cudaError_t error = cudaGraphAddMemAllocNode(&node, graph, nullptr, 0, &params);
	if (error == cudaErrorNotSupported)
		skip("graphs cannot allocate memory here");
	CUDA(error);
	EXPECT(params.dptr);
	*ret = (int *)params.dptr;
	return node;
}

/* Allocated and freed in one graph, which can be launched as often as one likes. */
static void
within(int *result)
{
	cudaGraph_t graph, other;
	cudaGraphNode_t free_node, ignored;
	cudaMemAllocNodeParams got;
	cudaGraphNodeType type;
	cudaGraphExec_t exec, second;
	int *p;
	void *freed = nullptr;
	CUDA(cudaGraphCreate(&graph, 0));
	cudaGraphNode_t alloc = add_alloc(graph, count * sizeof(int), &p);
	cudaGraphNode_t last = add_kernel(graph, alloc, fill, p, count, 5);
	last = add_kernel(graph, last, sum, (const int *)p, count, result);
	CUDA(cudaGraphAddMemFreeNode(&free_node, graph, &last, 1, p));
	CUDA(cudaGraphNodeGetType(alloc, &type));
	EXPECT(type == cudaGraphNodeTypeMemAlloc);
	CUDA(cudaGraphNodeGetType(free_node, &type));
	EXPECT(type == cudaGraphNodeTypeMemFree);
	CUDA(cudaGraphMemAllocNodeGetParams(alloc, &got));
	EXPECT(got.dptr == p && got.bytesize == count * sizeof(int));
	CUDA(cudaGraphMemFreeNodeGetParams(free_node, &freed));
	EXPECT(freed == p);

	/* Freed once; not by another graph then; and only what a graph allocated. */
	EXPECT_ERROR(cudaGraphAddMemFreeNode(&ignored, graph, nullptr, 0, p),
		     cudaErrorInvalidValue);
	CUDA(cudaGraphCreate(&other, 0));
	EXPECT_ERROR(cudaGraphAddMemFreeNode(&ignored, other, nullptr, 0, p),
		     cudaErrorInvalidValue);
	EXPECT_ERROR(cudaGraphAddMemFreeNode(&ignored, other, nullptr, 0, result),
		     cudaErrorInvalidValue);
	/* Such a graph stays as it is, and alone. */
	EXPECT(cudaGraphClone(&other, graph) != cudaSuccess);
	EXPECT(cudaGraphDestroyNode(last) != cudaSuccess);
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	EXPECT(cudaGraphInstantiate(&second, graph, 0) != cudaSuccess);
	cudaGetLastError();

	CUDA(cudaMemset(result, 0, sizeof(int)));
	for (int i = 0; i < 3; i++)
		CUDA(cudaGraphLaunch(exec, 0));
	CUDA(cudaDeviceSynchronize());
	int once = count * 5 + count * (count - 1) / 2;
	printf("within: %d\n", value_of(result));
	EXPECT(value_of(result) == 3 * once);
	EXPECT(used(cudaGraphMemAttrUsedMemCurrent) >= count * sizeof(int));
	EXPECT(used(cudaGraphMemAttrReservedMemCurrent) >= used(cudaGraphMemAttrUsedMemCurrent));
	EXPECT(used(cudaGraphMemAttrUsedMemHigh) >= used(cudaGraphMemAttrUsedMemCurrent));
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaDeviceGraphMemTrim(0));
	EXPECT(used(cudaGraphMemAttrUsedMemCurrent) == 0);
	EXPECT(used(cudaGraphMemAttrReservedMemCurrent) == 0);
	unsigned long long zero = 0;
	CUDA(cudaDeviceSetGraphMemAttribute(0, cudaGraphMemAttrUsedMemHigh, &zero));
	EXPECT(used(cudaGraphMemAttrUsedMemHigh) == 0);
	zero = 1;
	EXPECT_ERROR(cudaDeviceSetGraphMemAttribute(0, cudaGraphMemAttrUsedMemHigh, &zero),
		     cudaErrorInvalidValue);
	cudaGetLastError();
}

/* Left by one graph: used by the stream, freed by it or by another graph. */
static void
left_over(int *result)
{
	cudaGraph_t graph, releaser;
	cudaGraphExec_t exec, release;
	cudaGraphNode_t node;
	cudaStream_t stream;
	int *p;
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaGraphCreate(&graph, 0));
	cudaGraphNode_t alloc = add_alloc(graph, count * sizeof(int), &p);
	add_kernel(graph, alloc, fill, p, count, 1);
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	CUDA(cudaMemset(result, 0, sizeof(int)));
	CUDA(cudaGraphLaunch(exec, stream));
	sum<<<1, 1, 0, stream>>>(p, count, result);
	/* Not again while it is there. */
	EXPECT_ERROR(cudaGraphLaunch(exec, stream), cudaErrorInvalidValue);
	CUDA(cudaFreeAsync(p, stream));
	CUDA(cudaGraphLaunch(exec, stream));
	sum<<<1, 1, 0, stream>>>(p, count, result);
	CUDA(cudaStreamSynchronize(stream));
	CUDA(cudaFree(p));

	CUDA(cudaGraphCreate(&releaser, 0));
	CUDA(cudaGraphAddMemFreeNode(&node, releaser, nullptr, 0, p));
	CUDA(cudaGraphInstantiate(&release, releaser, 0));
	for (int i = 0; i < 2; i++) {
		CUDA(cudaGraphLaunch(exec, stream));
		sum<<<1, 1, 0, stream>>>(p, count, result);
		CUDA(cudaGraphLaunch(release, stream));
	}
	CUDA(cudaStreamSynchronize(stream));
	int once = count + count * (count - 1) / 2;
	printf("left over: %d\n", value_of(result));
	EXPECT(value_of(result) == 4 * once);
	cudaGetLastError();
	CUDA(cudaGraphExecDestroy(release));
	CUDA(cudaGraphDestroy(releaser));
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaStreamDestroy(stream));
}

/* The same captured, and freed by itself at each launch. */
static void
captured(int *result)
{
	cudaGraph_t graph;
	cudaGraphExec_t exec;
	cudaStream_t stream;
	int *p, *kept;
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
	CUDA(cudaMallocAsync(&p, count * sizeof(int), stream));
	fill<<<1, 64, 0, stream>>>(p, count, 2);
	sum<<<1, 1, 0, stream>>>(p, count, result);
	CUDA(cudaFreeAsync(p, stream));
	CUDA(cudaMallocAsync(&kept, sizeof(int), stream));
	CUDA(cudaMemcpyAsync(kept, result, sizeof(int), cudaMemcpyDeviceToDevice, stream));
	CUDA(cudaStreamEndCapture(stream, &graph));
	size_t nodes = 0;
	CUDA(cudaGraphGetNodes(graph, nullptr, &nodes));
	EXPECT(nodes == 6);
	CUDA(cudaGraphInstantiate(&exec, graph, cudaGraphInstantiateFlagAutoFreeOnLaunch));
	unsigned long long flags = 0;
	CUDA(cudaGraphExecGetFlags(exec, &flags));
	EXPECT(flags == cudaGraphInstantiateFlagAutoFreeOnLaunch);
	CUDA(cudaMemset(result, 0, sizeof(int)));
	for (int i = 0; i < 4; i++)
		CUDA(cudaGraphLaunch(exec, stream));
	CUDA(cudaStreamSynchronize(stream));
	int once = count * 2 + count * (count - 1) / 2;
	printf("captured: %d %d\n", value_of(result), value_of(kept));
	EXPECT(value_of(result) == 4 * once && value_of(kept) == 4 * once);
	CUDA(cudaFree(kept));
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaStreamDestroy(stream));
}

int
main()
{
	int *result;
	CUDA(cudaMalloc(&result, sizeof(int)));
	within(result);
	left_over(result);
	captured(result);
	CUDA(cudaFree(result));
	return ok();
}
