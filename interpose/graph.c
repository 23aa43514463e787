/* Graphs as a whole: made, cloned, wired, destroyed. */
#include <stdlib.h>
#include <string.h>

#include "interpose/graph.h"
#include "interpose/refuse.h"

/* Nodes named in one command. */
#define NAMES_MAX 1024

CUresult
genie_graph_create_locked(struct genie_graph **ret_graph)
{
	struct genie_graph *graph = genie_graph_new_locked();
	CUgraph handle = graph ? genie_graph_handle(graph) : NULL;
	struct genie_args_cuGraphCreate args = {.phGraph = &handle};
	CUresult status = CUDA_SUCCESS;

	if (!graph)
		return CUDA_ERROR_OUT_OF_MEMORY;
	/* Natively a graph is made in the host's memory, also when nothing else works any more:
	 * then the worker, where nothing works either, need not hear of it. */
	if (atomic_load_explicit(&genie_client.sticky, memory_order_relaxed) == CUDA_SUCCESS)
		status = genie_call(GENIE_OP_cuGraphCreate, &args);
	if (status != CUDA_SUCCESS) {
		genie_graph_free_locked(graph);
		return status;
	}
	*ret_graph = graph;
	return CUDA_SUCCESS;
}

CUresult
genie_cuGraphCreate(CUgraph *phGraph, unsigned int flags)
{
	struct genie_graph *graph;
	CUresult status;

	if (!phGraph || flags)
		return CUDA_ERROR_INVALID_VALUE;
	genie_graph_take();
	status = genie_graph_create_locked(&graph);
	genie_graph_unlock();
	if (status == CUDA_SUCCESS)
		*phGraph = genie_graph_handle(graph);
	return status;
}

CUresult
genie_graph_destroy_locked(struct genie_graph *graph)
{
	struct genie_args_cuGraphDestroy args = {.hGraph = genie_graph_handle(graph)};
	CUresult status;

	status = genie_call_ctx(GENIE_OP_cuGraphDestroy, &args, genie_ctx_current(), NULL);
	genie_graph_free_locked(graph);
	return status;
}

CUresult
genie_cuGraphDestroy(CUgraph hGraph)
{
	struct genie_graph *graph;
	CUresult status = CUDA_ERROR_INVALID_VALUE;

	genie_graph_take();
	graph = genie_graph_get(hGraph);
	if (graph && !graph->owner)
		status = genie_graph_destroy_locked(graph);
	genie_graph_unlock();
	return status;
}

/* ---- clones ---- */

/* Who is who in a copy that the worker made too. */
struct naming {
	CUgraph graph;
	CUgraphNode from[NAMES_MAX], names[NAMES_MAX];
	unsigned char types[NAMES_MAX];
	size_t first, count;
};

static CUresult
naming_send(struct naming *naming)
{
	struct genie_args_genieGraphNames args = {
		.clone = naming->graph,
		.from = naming->from,
		.names = naming->names,
		.types = naming->types,
		.first = naming->first,
		.count = naming->count,
	};
	CUresult status;

	if (!naming->count)
		return CUDA_SUCCESS;
	status = genie_call_ctx(GENIE_OP_genieGraphNames, &args, genie_ctx_current(), NULL);
	naming->first += naming->count;
	naming->count = 0;
	return status;
}

static CUresult
naming_add(struct naming *naming, const struct genie_node *node, CUgraphNodeType type)
{
	CUresult status = naming->count == NAMES_MAX ? naming_send(naming) : CUDA_SUCCESS;

	naming->from[naming->count] = (CUgraphNode)(uintptr_t)node->origin;
	naming->names[naming->count] = genie_node_handle(node);
	naming->types[naming->count++] = (unsigned char)type;
	return status;
}

/* A node or half, and when the worker was told of what it is a copy of. */
struct worker_node {
	const struct genie_node *node;
	CUgraphNodeType type;
};

static int
by_sequence(const void *a, const void *b)
{
	const struct worker_node *x = a, *y = b;

	return x->node->sequence < y->node->sequence ? -1 : x->node->sequence > y->node->sequence;
}

/* All of them in the order in which the worker has them. */
static struct worker_node *
worker_nodes(const struct genie_graph *graph, size_t *ret_count)
{
	struct worker_node *list = calloc(graph->count * 3 + 1, sizeof(*list));
	size_t count = 0;

	for (size_t i = 0; list && i < graph->count; i++) {
		const struct genie_node *node = graph->nodes[i];
		CUgraphNodeParams params;

		genie_payload_wire(&node->payload, &params);
		if (node->before)
			list[count++] = (struct worker_node){node->before, CU_GRAPH_NODE_TYPE_HOST};
		list[count++] = (struct worker_node){node, params.type};
		if (node->after)
			list[count++] = (struct worker_node){node->after, CU_GRAPH_NODE_TYPE_HOST};
	}
	if (list)
		qsort(list, count, sizeof(*list), by_sequence);
	*ret_count = count;
	return list;
}

/* Tells the worker the names of the nodes of a graph that it copied. */
static CUresult
names_tell(struct genie_graph *graph)
{
	struct naming *naming = malloc(sizeof(*naming));
	struct worker_node *nodes;
	CUresult status = CUDA_SUCCESS;
	size_t count = 0;

	nodes = worker_nodes(graph, &count);
	if (!naming || !nodes) {
		free(naming);
		free(nodes);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	naming->graph = genie_graph_handle(graph);
	naming->first = naming->count = 0;
	for (size_t i = 0; i < count && status == CUDA_SUCCESS; i++)
		status = naming_add(naming, nodes[i].node, nodes[i].type);
	if (status == CUDA_SUCCESS)
		status = naming_send(naming);
	free(naming);
	free(nodes);
	return status;
}

CUresult
genie_cuGraphClone(CUgraph *phGraphClone, CUgraph originalGraph)
{
	struct genie_args_genieGraphClone args = {.graph = originalGraph};
	struct genie_graph *graph, *clone;
	CUresult status = CUDA_SUCCESS;

	if (!phGraphClone)
		return CUDA_ERROR_INVALID_VALUE;
	genie_graph_take();
	graph = genie_graph_get(originalGraph);
	if (!graph || graph->memory || graph->conditional) {
		genie_graph_unlock();
		return CUDA_ERROR_INVALID_VALUE;
	}
	clone = genie_graph_copy_locked(graph);
	if (!clone)
		status = CUDA_ERROR_OUT_OF_MEMORY;
	if (status == CUDA_SUCCESS) {
		clone->named = true;
		args.clone = genie_graph_handle(clone);
		status = genie_call_ctx(GENIE_OP_genieGraphClone, &args, genie_ctx_current(), NULL);
	}
	if (status == CUDA_SUCCESS)
		status = names_tell(clone);
	if (status == CUDA_SUCCESS)
		*phGraphClone = genie_graph_handle(clone);
	else
		genie_graph_free_locked(clone);
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphChildGraphNodeGetGraph(CUgraphNode hNode, CUgraph *phGraph)
{
	struct genie_args_genieGraphChild args = {.node = hNode};
	struct genie_graph *child = NULL;
	struct genie_node *node;
	CUresult status = CUDA_SUCCESS;

	if (!phGraph)
		return CUDA_ERROR_INVALID_VALUE;
	genie_graph_take();
	node = genie_node_get(hNode);
	if (node && node->payload.params.type == CU_GRAPH_NODE_TYPE_GRAPH)
		child = node->payload.child;
	if (!child) {
		genie_graph_unlock();
		return node && node->opaque
			       ? genie_refuse("looking into a graph that was launched in a capture",
					      "its executable graph has changed since")
			       : CUDA_ERROR_INVALID_VALUE;
	}
	if (!child->named) {
		args.child = genie_graph_handle(child);
		child->named = true;
		status = genie_call_ctx(GENIE_OP_genieGraphChild, &args, genie_ctx_current(), NULL);
		if (status == CUDA_SUCCESS)
			status = names_tell(child);
	}
	if (status == CUDA_SUCCESS)
		*phGraph = genie_graph_handle(child);
	genie_graph_unlock();
	return status;
}

/* ---- edges ---- */

static CUresult
edge_change_locked(struct genie_graph *graph, CUgraphNode from_handle, CUgraphNode to_handle,
		   const CUgraphEdgeData *data, bool add)
{
	struct genie_dep dep = {.node = genie_node_get(from_handle)};
	struct genie_node *to = genie_node_get(to_handle);
	CUresult status = CUDA_SUCCESS;
	size_t at;

	if (!dep.node || !to || dep.node->graph != graph || to->graph != graph || dep.node == to)
		return CUDA_ERROR_INVALID_VALUE;
	if (data)
		dep.data = *data;
	if (!genie_edge_valid(dep.node, to->payload.params.type, &dep.data))
		return CUDA_ERROR_INVALID_VALUE;
	/* the data of an edge is part of what it is, except for who asks without knowing of it */
	at = genie_node_find_dep(to, dep.node, &dep.data);
	if (add == (at < to->dep_count))
		return CUDA_ERROR_INVALID_VALUE;
	if (add)
		status = genie_node_add_dep_locked(to, &dep);
	else
		genie_node_remove_dep_locked(to, at);
	return status == CUDA_SUCCESS ? genie_edge_send_locked(dep.node, to, &dep.data, add)
				      : status;
}

static CUresult
edges_change(CUgraph handle, const CUgraphNode *from, const CUgraphNode *to,
	     const CUgraphEdgeData *data, size_t count, bool add)
{
	struct genie_graph *graph;
	CUresult status = CUDA_SUCCESS;

	genie_graph_take();
	graph = genie_graph_get(handle);
	if (!graph || (count && (!from || !to)) || (!add && count && graph->memory))
		status = CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < count && status == CUDA_SUCCESS; i++)
		status = edge_change_locked(graph, from[i], to[i], data ? &data[i] : NULL, add);
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphAddDependencies_v2(CUgraph hGraph, const CUgraphNode *from, const CUgraphNode *to,
				const CUgraphEdgeData *edgeData, size_t numDependencies)
{
	return edges_change(hGraph, from, to, edgeData, numDependencies, true);
}

CUresult
genie_cuGraphAddDependencies(CUgraph hGraph, const CUgraphNode *from, const CUgraphNode *to,
			     size_t numDependencies)
{
	return edges_change(hGraph, from, to, NULL, numDependencies, true);
}

CUresult
genie_cuGraphRemoveDependencies_v2(CUgraph hGraph, const CUgraphNode *from, const CUgraphNode *to,
				   const CUgraphEdgeData *edgeData, size_t numDependencies)
{
	return edges_change(hGraph, from, to, edgeData, numDependencies, false);
}

CUresult
genie_cuGraphRemoveDependencies(CUgraph hGraph, const CUgraphNode *from, const CUgraphNode *to,
				size_t numDependencies)
{
	return edges_change(hGraph, from, to, NULL, numDependencies, false);
}

static CUresult
node_destroy_send(CUgraphNode handle)
{
	struct genie_args_cuGraphDestroyNode args = {.hNode = handle};

	return genie_call_ctx(GENIE_OP_cuGraphDestroyNode, &args, genie_ctx_current(), NULL);
}

CUresult
genie_cuGraphDestroyNode(CUgraphNode hNode)
{
	struct genie_node *node;
	CUresult status = CUDA_ERROR_INVALID_VALUE;

	genie_graph_take();
	node = genie_node_get(hNode);
	if (node && !node->graph->memory) {
		if (node->before)
			node_destroy_send(genie_node_handle(node->before));
		if (node->after)
			node_destroy_send(genie_node_handle(node->after));
		genie_node_forget_inside_locked(node);
		status = node_destroy_send(hNode);
		genie_node_free_locked(node);
	}
	genie_graph_unlock();
	return status;
}
