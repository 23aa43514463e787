/* Questions about graphs and their nodes: answered from the record. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "interpose/graph.h"
#include "interpose/refuse.h"

/* ---- parameters ---- */

/* The node with the lock held, if it is of that kind and its parameters are known; else
 * *@ret_status says why not, and nothing is locked. */
static const struct genie_node *
node_of_kind(CUgraphNode handle, CUgraphNodeType type, const void *out, CUresult *ret_status)
{
	const struct genie_node *node;

	*ret_status = CUDA_ERROR_INVALID_VALUE;
	if (!out)
		return NULL;
	genie_graph_take();
	node = genie_node_get(handle);
	if (node && node->payload.params.type == type && !node->opaque) {
		*ret_status = CUDA_SUCCESS;
		return node;
	}
	genie_graph_unlock();
	if (node && node->opaque)
		*ret_status = genie_refuse("looking into a graph node of a library operation",
					   "the device executes it as a whole");
	return NULL;
}

/* @size bytes of the parameters of a node of that kind, from @offset on. */
static CUresult
params_copy(CUgraphNode handle, CUgraphNodeType type, size_t offset, void *ret, size_t size)
{
	CUresult status;
	const struct genie_node *node = node_of_kind(handle, type, ret, &status);

	if (!node)
		return status;
	memcpy(ret, (const char *)&node->payload.params + offset, size);
	genie_graph_unlock();
	return CUDA_SUCCESS;
}

#define PARAMS(kind, field, ret)                                                                   \
	params_copy(hNode, CU_GRAPH_NODE_TYPE_##kind, offsetof(CUgraphNodeParams, field), ret,     \
		    sizeof(*(ret)))

CUresult
genie_cuGraphKernelNodeGetParams_v2(CUgraphNode hNode, CUDA_KERNEL_NODE_PARAMS *nodeParams)
{
	return PARAMS(KERNEL, kernel, nodeParams);
}

CUresult
genie_cuGraphKernelNodeGetParams(CUgraphNode hNode, CUDA_KERNEL_NODE_PARAMS_v1 *nodeParams)
{
	CUresult status;
	const struct genie_node *node =
		node_of_kind(hNode, CU_GRAPH_NODE_TYPE_KERNEL, nodeParams, &status);

	if (!node)
		return status;
	memcpy(nodeParams, &node->payload.params.kernel, sizeof(*nodeParams));
	nodeParams->func = node->payload.function;
	genie_graph_unlock();
	return CUDA_SUCCESS;
}

CUresult
genie_cuGraphMemcpyNodeGetParams(CUgraphNode hNode, CUDA_MEMCPY3D *nodeParams)
{
	return PARAMS(MEMCPY, memcpy.copyParams, nodeParams);
}

CUresult
genie_cuGraphMemsetNodeGetParams(CUgraphNode hNode, CUDA_MEMSET_NODE_PARAMS *nodeParams)
{
	return PARAMS(MEMSET, memset, nodeParams);
}

CUresult
genie_cuGraphHostNodeGetParams(CUgraphNode hNode, CUDA_HOST_NODE_PARAMS *nodeParams)
{
	return PARAMS(HOST, host, nodeParams);
}

CUresult
genie_cuGraphEventRecordNodeGetEvent(CUgraphNode hNode, CUevent *event_out)
{
	return PARAMS(EVENT_RECORD, eventRecord.event, event_out);
}

CUresult
genie_cuGraphEventWaitNodeGetEvent(CUgraphNode hNode, CUevent *event_out)
{
	return PARAMS(WAIT_EVENT, eventWait.event, event_out);
}

CUresult
genie_cuGraphBatchMemOpNodeGetParams(CUgraphNode hNode,
				     CUDA_BATCH_MEM_OP_NODE_PARAMS *nodeParams_out)
{
	return PARAMS(BATCH_MEM_OP, memOp, nodeParams_out);
}

CUresult
genie_cuGraphMemAllocNodeGetParams(CUgraphNode hNode, CUDA_MEM_ALLOC_NODE_PARAMS *params_out)
{
	return PARAMS(MEM_ALLOC, alloc, params_out);
}

CUresult
genie_cuGraphMemFreeNodeGetParams(CUgraphNode hNode, CUdeviceptr *dptr_out)
{
	return PARAMS(MEM_FREE, free.dptr, dptr_out);
}

CUresult
genie_cuGraphNodeGetType(CUgraphNode hNode, CUgraphNodeType *type)
{
	const struct genie_node *node;

	if (!type)
		return CUDA_ERROR_INVALID_VALUE;
	genie_graph_take();
	node = genie_node_get(hNode);
	if (node)
		*type = node->payload.params.type;
	genie_graph_unlock();
	return node ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- lists ---- */

/*
 * How CUDA hands out a list: without an array the number of elements; with one as many as fit,
 * the rest of the array cleared.
 */
struct listing {
	CUgraphNode *first, *second;
	CUgraphEdgeData *data;
	size_t room, count;
	bool annotated; /* an edge has data */
};

static void
listing_add(struct listing *list, const struct genie_node *first, const struct genie_node *second,
	    const CUgraphEdgeData *data)
{
	size_t i = list->count++;

	if (data && !genie_edge_plain(data))
		list->annotated = true;
	if (i >= list->room)
		return;
	if (list->first)
		list->first[i] = genie_node_handle(first);
	if (list->second)
		list->second[i] = genie_node_handle(second);
	if (list->data && data)
		list->data[i] = *data;
}

static CUresult
listing_finish(struct listing *list, size_t *count)
{
	bool asked = list->first || list->second;

	/* who cannot be told of the data of edges must not be told half of it */
	if (list->annotated && asked && !list->data)
		return CUDA_ERROR_LOSSY_QUERY;
	if (!asked) {
		*count = list->count;
		return CUDA_SUCCESS;
	}
	for (size_t i = list->count; i < list->room; i++) {
		if (list->first)
			list->first[i] = NULL;
		if (list->second)
			list->second[i] = NULL;
	}
	*count = list->count < list->room ? list->count : list->room;
	return CUDA_SUCCESS;
}

static CUresult
list_nodes(CUgraph handle, CUgraphNode *nodes, size_t *count, bool only_roots)
{
	struct listing list = {.first = nodes};
	const struct genie_graph *graph;
	CUresult status = CUDA_ERROR_INVALID_VALUE;

	if (!count)
		return status;
	genie_graph_take();
	graph = genie_graph_get(handle);
	if (graph) {
		list.room = nodes ? *count : 0;
		for (size_t i = 0; i < graph->count; i++)
			if (!only_roots || !graph->nodes[i]->dep_count)
				listing_add(&list, graph->nodes[i], NULL, NULL);
		status = listing_finish(&list, count);
	}
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphGetNodes(CUgraph hGraph, CUgraphNode *nodes, size_t *numNodes)
{
	return list_nodes(hGraph, nodes, numNodes, false);
}

CUresult
genie_cuGraphGetRootNodes(CUgraph hGraph, CUgraphNode *rootNodes, size_t *numRootNodes)
{
	return list_nodes(hGraph, rootNodes, numRootNodes, true);
}

CUresult
genie_cuGraphGetEdges_v2(CUgraph hGraph, CUgraphNode *from, CUgraphNode *to,
			 CUgraphEdgeData *edgeData, size_t *numEdges)
{
	struct listing list = {.first = from, .second = to, .data = edgeData};
	const struct genie_graph *graph;
	CUresult status = CUDA_ERROR_INVALID_VALUE;

	if (!numEdges || !from != !to || (edgeData && !from))
		return status;
	genie_graph_take();
	graph = genie_graph_get(hGraph);
	if (graph) {
		list.room = from ? *numEdges : 0;
		for (size_t i = 0; i < graph->count; i++) {
			const struct genie_node *node = graph->nodes[i];

			for (size_t k = 0; k < node->dep_count; k++)
				listing_add(&list, node->deps[k].node, node, &node->deps[k].data);
		}
		status = listing_finish(&list, numEdges);
	}
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphGetEdges(CUgraph hGraph, CUgraphNode *from, CUgraphNode *to, size_t *numEdges)
{
	return genie_cuGraphGetEdges_v2(hGraph, from, to, NULL, numEdges);
}

CUresult
genie_cuGraphNodeGetDependencies_v2(CUgraphNode hNode, CUgraphNode *dependencies,
				    CUgraphEdgeData *edgeData, size_t *numDependencies)
{
	struct listing list = {.first = dependencies, .data = edgeData};
	const struct genie_node *node;
	CUresult status = CUDA_ERROR_INVALID_VALUE;

	if (!numDependencies || (edgeData && !dependencies))
		return status;
	genie_graph_take();
	node = genie_node_get(hNode);
	if (node) {
		list.room = dependencies ? *numDependencies : 0;
		for (size_t k = 0; k < node->dep_count; k++)
			listing_add(&list, node->deps[k].node, NULL, &node->deps[k].data);
		status = listing_finish(&list, numDependencies);
	}
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphNodeGetDependencies(CUgraphNode hNode, CUgraphNode *dependencies,
				 size_t *numDependencies)
{
	return genie_cuGraphNodeGetDependencies_v2(hNode, dependencies, NULL, numDependencies);
}

CUresult
genie_cuGraphNodeGetDependentNodes_v2(CUgraphNode hNode, CUgraphNode *dependentNodes,
				      CUgraphEdgeData *edgeData, size_t *numDependentNodes)
{
	struct listing list = {.first = dependentNodes, .data = edgeData};
	const struct genie_node *node;
	CUresult status = CUDA_ERROR_INVALID_VALUE;

	if (!numDependentNodes || (edgeData && !dependentNodes))
		return status;
	genie_graph_take();
	node = genie_node_get(hNode);
	if (node) {
		list.room = dependentNodes ? *numDependentNodes : 0;
		for (size_t i = 0; i < node->graph->count; i++) {
			const struct genie_node *other = node->graph->nodes[i];

			for (size_t k = 0; k < other->dep_count; k++)
				if (other->deps[k].node == node)
					listing_add(&list, other, NULL, &other->deps[k].data);
		}
		status = listing_finish(&list, numDependentNodes);
	}
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphNodeGetDependentNodes(CUgraphNode hNode, CUgraphNode *dependentNodes,
				   size_t *numDependentNodes)
{
	return genie_cuGraphNodeGetDependentNodes_v2(hNode, dependentNodes, NULL,
						     numDependentNodes);
}

CUresult
genie_cuGraphNodeFindInClone(CUgraphNode *phNode, CUgraphNode hOriginalNode, CUgraph hClonedGraph)
{
	const struct genie_graph *graph;
	CUresult status = CUDA_ERROR_INVALID_VALUE;

	if (!phNode)
		return status;
	genie_graph_take();
	graph = genie_graph_get(hClonedGraph);
	for (size_t i = 0; graph && genie_node_get(hOriginalNode) && i < graph->count; i++)
		if (graph->nodes[i]->origin == (uint64_t)(uintptr_t)hOriginalNode) {
			*phNode = genie_node_handle(graph->nodes[i]);
			status = CUDA_SUCCESS;
			break;
		}
	genie_graph_unlock();
	return status;
}
