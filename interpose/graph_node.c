/*
 * Nodes that a program adds to a graph by itself.
 *
 * A node's number is never used again: the worker does not forget the nodes of a graph that is
 * destroyed, so a second node of that name would be an error there.
 */
#include "interpose/capture.h"

#include <stdlib.h>
#include <string.h>

#include "interpose/ctx.h"
#include "interpose/hostfunc.h"
#include "interpose/kernel.h"
#include "interpose/launch.h"
#include "interpose/memory.h"

#define NODES_MAX (1u << 20) /* in the life of a process; the worker's limit */

static _Atomic uint32_t last_node;

/* A name for a node; NULL: no more. */
static CUgraphNode
node_new(void)
{
	uint32_t index = atomic_fetch_add_explicit(&last_node, 1, memory_order_relaxed) + 1;

	if (index >= NODES_MAX)
		return NULL;
	return (CUgraphNode)(uintptr_t)genie_token(GENIE_KIND_GRAPHNODE, 0, index);
}

/* What all calls that add a node check; gives the new node its name. */
static CUresult
node_begin(CUgraphNode *phGraphNode, const CUgraphNode *dependencies, size_t count,
	   CUgraphNode *ret_node)
{
	if (!phGraphNode || (!dependencies && count))
		return CUDA_ERROR_INVALID_VALUE;
	*ret_node = node_new();
	return *ret_node ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult
node_end(CUresult status, CUgraphNode *phGraphNode, CUgraphNode node)
{
	if (status == CUDA_SUCCESS)
		*phGraphNode = node;
	return status;
}

CUresult
genie_cuGraphAddEmptyNode(CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies,
			  size_t numDependencies)
{
	CUgraphNode node = NULL;
	CUresult status = node_begin(phGraphNode, dependencies, numDependencies, &node);
	struct genie_args_cuGraphAddEmptyNode args = {
		.phGraphNode = &node,
		.hGraph = hGraph,
		.dependencies = dependencies,
		.numDependencies = numDependencies,
	};

	if (status == CUDA_SUCCESS)
		status = genie_call(GENIE_OP_cuGraphAddEmptyNode, &args);
	return node_end(status, phGraphNode, node);
}

CUresult
genie_cuGraphAddChildGraphNode(CUgraphNode *phGraphNode, CUgraph hGraph,
			       const CUgraphNode *dependencies, size_t numDependencies,
			       CUgraph childGraph)
{
	CUgraphNode node = NULL;
	CUresult status = node_begin(phGraphNode, dependencies, numDependencies, &node);
	struct genie_args_cuGraphAddChildGraphNode args = {
		.phGraphNode = &node,
		.hGraph = hGraph,
		.dependencies = dependencies,
		.numDependencies = numDependencies,
		.childGraph = childGraph,
	};

	if (status == CUDA_SUCCESS)
		status = genie_call(GENIE_OP_cuGraphAddChildGraphNode, &args);
	return node_end(status, phGraphNode, node);
}

CUresult
genie_cuGraphAddEventRecordNode(CUgraphNode *phGraphNode, CUgraph hGraph,
				const CUgraphNode *dependencies, size_t numDependencies,
				CUevent event)
{
	struct genie_event *object = genie_event_get(event);
	CUgraphNode node = NULL;
	CUresult status = node_begin(phGraphNode, dependencies, numDependencies, &node);
	struct genie_args_cuGraphAddEventRecordNode args = {
		.phGraphNode = &node,
		.hGraph = hGraph,
		.dependencies = dependencies,
		.numDependencies = numDependencies,
		.event = event,
	};

	if (!object)
		return CUDA_ERROR_INVALID_HANDLE;
	if (status == CUDA_SUCCESS)
		status = genie_call(GENIE_OP_cuGraphAddEventRecordNode, &args);
	/* From now on launches of the graph record it. */
	if (status == CUDA_SUCCESS)
		atomic_store_explicit(&object->remote, true, memory_order_relaxed);
	return node_end(status, phGraphNode, node);
}

CUresult
genie_cuGraphAddEventWaitNode(CUgraphNode *phGraphNode, CUgraph hGraph,
			      const CUgraphNode *dependencies, size_t numDependencies,
			      CUevent event)
{
	CUgraphNode node = NULL;
	CUresult status = node_begin(phGraphNode, dependencies, numDependencies, &node);
	struct genie_args_cuGraphAddEventWaitNode args = {
		.phGraphNode = &node,
		.hGraph = hGraph,
		.dependencies = dependencies,
		.numDependencies = numDependencies,
		.event = event,
	};

	if (!genie_event_get(event))
		return CUDA_ERROR_INVALID_HANDLE;
	if (status == CUDA_SUCCESS)
		status = genie_call(GENIE_OP_cuGraphAddEventWaitNode, &args);
	return node_end(status, phGraphNode, node);
}

CUresult
genie_cuGraphAddMemsetNode(CUgraphNode *phGraphNode, CUgraph hGraph,
			   const CUgraphNode *dependencies, size_t numDependencies,
			   const CUDA_MEMSET_NODE_PARAMS *memsetParams, CUcontext ctx)
{
	CUgraphNode node = NULL;
	CUresult status = node_begin(phGraphNode, dependencies, numDependencies, &node);
	struct genie_args_cuGraphAddMemsetNode args = {
		.phGraphNode = &node,
		.hGraph = hGraph,
		.dependencies = dependencies,
		.numDependencies = numDependencies,
		.memsetParams = memsetParams,
		.ctx = ctx,
	};

	if (!memsetParams || !genie_ctx_get(ctx))
		return CUDA_ERROR_INVALID_VALUE;
	args.ctx = genie_ctx_handle(genie_ctx_get(ctx));
	if (status == CUDA_SUCCESS)
		status = genie_call(GENIE_OP_cuGraphAddMemsetNode, &args);
	return node_end(status, phGraphNode, node);
}

/* ---- copies ---- */

/* A side of a copy that the worker can reach: device memory, an array, a shared address. */
static bool
copy_side(CUmemorytype *type, const void **host, CUdeviceptr *device)
{
	struct genie_mem mem;

	switch ((int)*type) {
	case CU_MEMORYTYPE_ARRAY:
		return true;
	case CU_MEMORYTYPE_HOST:
		*device = (CUdeviceptr)(uintptr_t)*host;
		break;
	case CU_MEMORYTYPE_DEVICE:
	case CU_MEMORYTYPE_UNIFIED:
		break;
	default:
		return false;
	}
	if (!genie_mem_find(*device, &mem) || mem.type == GENIE_MEM_REGISTERED)
		return false;
	/* Pinned memory that the two sides do not share is kept alike from here on. */
	if ((mem.type == GENIE_MEM_PINNED || mem.type == GENIE_MEM_MANAGED) &&
	    genie_pinned_mirror(&mem) != CUDA_SUCCESS)
		return false;
	*type = CU_MEMORYTYPE_DEVICE;
	*host = NULL;
	return true;
}

CUresult
genie_cuGraphAddMemcpyNode(CUgraphNode *phGraphNode, CUgraph hGraph,
			   const CUgraphNode *dependencies, size_t numDependencies,
			   const CUDA_MEMCPY3D *copyParams, CUcontext ctx)
{
	CUgraphNode node = NULL;
	CUresult status = node_begin(phGraphNode, dependencies, numDependencies, &node);
	struct genie_args_cuGraphAddMemcpyNode args = {
		.phGraphNode = &node,
		.hGraph = hGraph,
		.dependencies = dependencies,
		.numDependencies = numDependencies,
	};
	CUDA_MEMCPY3D copy;

	if (!copyParams || !genie_ctx_get(ctx))
		return CUDA_ERROR_INVALID_VALUE;
	copy = *copyParams;
	if (!copy_side(&copy.srcMemoryType, &copy.srcHost, &copy.srcDevice) ||
	    !copy_side(&copy.dstMemoryType, (const void **)&copy.dstHost, &copy.dstDevice)) {
		genie_warn("a graph node that copies from or to this process's own memory is not "
			   "supported yet");
		return CUDA_ERROR_NOT_SUPPORTED;
	}
	args.copyParams = &copy;
	args.ctx = genie_ctx_handle(genie_ctx_get(ctx));
	if (status == CUDA_SUCCESS)
		status = genie_call(GENIE_OP_cuGraphAddMemcpyNode, &args);
	return node_end(status, phGraphNode, node);
}

/* ---- kernels ---- */

/* The parameters of a kernel in one buffer, as genieLaunch has them. */
struct packed {
	struct genie_function *function;
	size_t size;
	char bytes[GENIE_KERNEL_PARAM_BYTES_MAX];
};

static CUresult
packed_init(struct packed *packed, const CUDA_KERNEL_NODE_PARAMS *params)
{
	const void *buffer = NULL;
	CUfunction handle;
	CUresult status;

	if (!params)
		return CUDA_ERROR_INVALID_VALUE;
	handle = params->func ? params->func : (CUfunction)params->kern;
	status = genie_function_get(handle, &packed->function);
	if (status == CUDA_SUCCESS)
		status = genie_launch_params(packed->function->desc, params->kernelParams,
					     params->extra, &buffer, &packed->size);
	if (status != CUDA_SUCCESS)
		return status;
	if (packed->size > sizeof(packed->bytes))
		return CUDA_ERROR_INVALID_VALUE;
	genie_launch_pack(packed->function->desc, params->kernelParams, buffer, packed->bytes,
			  packed->size);
	return CUDA_SUCCESS;
}

static CUfunction
packed_function(const struct packed *packed)
{
	return (CUfunction)(uintptr_t)packed->function->object.token;
}

CUresult
genie_cuGraphAddKernelNode_v2(CUgraphNode *phGraphNode, CUgraph hGraph,
			      const CUgraphNode *dependencies, size_t numDependencies,
			      const CUDA_KERNEL_NODE_PARAMS *nodeParams)
{
	CUgraphNode node = NULL;
	struct packed packed;
	struct genie_args_genieGraphKernelNode args = {
		.graph = hGraph,
		.dependencies = dependencies,
		.count = numDependencies,
		.params = packed.bytes,
	};
	CUresult status = packed_init(&packed, nodeParams);

	if (status == CUDA_SUCCESS)
		status = node_begin(phGraphNode, dependencies, numDependencies, &node);
	if (status != CUDA_SUCCESS)
		return status;
	args.node = node;
	args.function = packed_function(&packed);
	args.gridX = nodeParams->gridDimX;
	args.gridY = nodeParams->gridDimY;
	args.gridZ = nodeParams->gridDimZ;
	args.blockX = nodeParams->blockDimX;
	args.blockY = nodeParams->blockDimY;
	args.blockZ = nodeParams->blockDimZ;
	args.shared = nodeParams->sharedMemBytes;
	args.params_size = packed.size;
	status = genie_call(GENIE_OP_genieGraphKernelNode, &args);
	return node_end(status, phGraphNode, node);
}

CUresult
genie_cuGraphKernelNodeSetParams_v2(CUgraphNode hNode, const CUDA_KERNEL_NODE_PARAMS *nodeParams)
{
	struct packed packed;
	struct genie_args_genieGraphKernelSet args = {.node = hNode, .params = packed.bytes};
	CUresult status = packed_init(&packed, nodeParams);

	if (status != CUDA_SUCCESS)
		return status;
	args.function = packed_function(&packed);
	args.gridX = nodeParams->gridDimX;
	args.gridY = nodeParams->gridDimY;
	args.gridZ = nodeParams->gridDimZ;
	args.blockX = nodeParams->blockDimX;
	args.blockY = nodeParams->blockDimY;
	args.blockZ = nodeParams->blockDimZ;
	args.shared = nodeParams->sharedMemBytes;
	args.params_size = packed.size;
	return genie_call(GENIE_OP_genieGraphKernelSet, &args);
}

CUresult
genie_cuGraphExecKernelNodeSetParams_v2(CUgraphExec hGraphExec, CUgraphNode hNode,
					const CUDA_KERNEL_NODE_PARAMS *nodeParams)
{
	struct packed packed;
	struct genie_args_genieGraphExecKernelSet args = {
		.exec = hGraphExec, .node = hNode, .params = packed.bytes};
	CUresult status = packed_init(&packed, nodeParams);

	if (status != CUDA_SUCCESS)
		return status;
	args.function = packed_function(&packed);
	args.gridX = nodeParams->gridDimX;
	args.gridY = nodeParams->gridDimY;
	args.gridZ = nodeParams->gridDimZ;
	args.blockX = nodeParams->blockDimX;
	args.blockY = nodeParams->blockDimY;
	args.blockZ = nodeParams->blockDimZ;
	args.shared = nodeParams->sharedMemBytes;
	args.params_size = packed.size;
	return genie_call(GENIE_OP_genieGraphExecKernelSet, &args);
}

/* ---- host functions ---- */

CUresult
genie_cuGraphAddHostNode(CUgraphNode *phGraphNode, CUgraph hGraph, const CUgraphNode *dependencies,
			 size_t numDependencies, const CUDA_HOST_NODE_PARAMS *nodeParams)
{
	CUgraphNode node = NULL;
	CUresult status = node_begin(phGraphNode, dependencies, numDependencies, &node);
	struct genie_args_genieGraphHostNode args = {
		.node = node,
		.graph = hGraph,
		.dependencies = dependencies,
		.count = numDependencies,
	};

	if (!nodeParams || !nodeParams->fn)
		return CUDA_ERROR_INVALID_VALUE;
	if (status != CUDA_SUCCESS)
		return status;
	args.id = genie_hostfunc_node(nodeParams->fn, nodeParams->userData);
	if (!args.id)
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = genie_call(GENIE_OP_genieGraphHostNode, &args);
	if (status != CUDA_SUCCESS)
		genie_hostfunc_drop(args.id);
	return node_end(status, phGraphNode, node);
}

/* ---- a capture that is going on ---- */

/* The nodes that cuStreamGetCaptureInfo gives out stay valid until the thread asks again. */
#define CAPTURE_NODES_MAX 64

static CUresult
capture_graph(struct genie_stream *stream, CUgraph *ret_graph, const CUgraphNode **ret_nodes,
	      size_t *ret_count)
{
	struct genie_thread *thread = genie_thread_self();
	size_t count = ret_nodes ? CAPTURE_NODES_MAX : 0;
	CUgraph graph = NULL;
	struct genie_args_genieCaptureInfo args = {
		.stream = genie_stream_wire(stream),
		.graph = &graph,
		.count = &count,
	};
	CUresult status;

	if (ret_nodes && !thread->capture_nodes)
		thread->capture_nodes = calloc(CAPTURE_NODES_MAX, sizeof(CUgraphNode));
	if (ret_nodes && !thread->capture_nodes)
		return CUDA_ERROR_OUT_OF_MEMORY;
	args.dependencies = ret_nodes ? thread->capture_nodes : NULL;
	status = genie_call_ctx(GENIE_OP_genieCaptureInfo, &args, stream->object.ctx, NULL);
	if (status != CUDA_SUCCESS)
		return status;
	if (ret_nodes && count > CAPTURE_NODES_MAX)
		return CUDA_ERROR_NOT_SUPPORTED;
	if (ret_graph)
		*ret_graph = graph;
	if (ret_nodes)
		*ret_nodes = thread->capture_nodes;
	if (ret_count)
		*ret_count = count;
	return CUDA_SUCCESS;
}

CUresult
genie_cuStreamGetCaptureInfo_v2(CUstream hStream, CUstreamCaptureStatus *captureStatus_out,
				cuuint64_t *id_out, CUgraph *graph_out,
				const CUgraphNode **dependencies_out, size_t *numDependencies_out)
{
	CUresult status = genie_cuStreamGetCaptureInfo(hStream, captureStatus_out, id_out);

	/* Libraries ask before every launch; only in a capture is there more to say. */
	if (status != CUDA_SUCCESS || *captureStatus_out != CU_STREAM_CAPTURE_STATUS_ACTIVE ||
	    (!graph_out && !dependencies_out && !numDependencies_out))
		return status;
	return capture_graph(genie_stream_get(hStream), graph_out, dependencies_out,
			     numDependencies_out);
}

CUresult
genie_cuStreamGetCaptureInfo_v3(CUstream hStream, CUstreamCaptureStatus *captureStatus_out,
				cuuint64_t *id_out, CUgraph *graph_out,
				const CUgraphNode **dependencies_out,
				const CUgraphEdgeData **edgeData_out, size_t *numDependencies_out)
{
	/* Edges of a capture are plain ones as long as programmatic launches are not followed. */
	if (edgeData_out)
		*edgeData_out = NULL;
	return genie_cuStreamGetCaptureInfo_v2(hStream, captureStatus_out, id_out, graph_out,
					       dependencies_out, numDependencies_out);
}
