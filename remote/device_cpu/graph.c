/* Graphs: nodes and what comes before what. Running them is in exec.c, their contents in node.c. */
#include "remote/device_cpu/graph.h"

#include <stdlib.h>
#include <string.h>

struct genie_cpu_graph *
genie_cpu_graph_get(CUgraph handle)
{
	return genie_cpu_is((void *)handle, GENIE_CPU_GRAPH) ? (struct genie_cpu_graph *)handle
							     : NULL;
}

struct genie_cpu_node *
genie_cpu_node_get(CUgraphNode handle)
{
	return genie_cpu_is((void *)handle, GENIE_CPU_NODE) ? (struct genie_cpu_node *)handle
							    : NULL;
}

struct genie_cpu_graph *
genie_cpu_graph_new(void)
{
	struct genie_cpu_graph *graph = calloc(1, sizeof(*graph));

	if (graph) {
		graph->magic = GENIE_CPU_GRAPH;
		graph->refs = 1;
	}
	return graph;
}

static void
node_delete(struct genie_cpu_node *node)
{
	node->magic = 0;
	genie_cpu_op_fini(&node->op);
	free(node->deps);
	free(node->param_pointers);
	free(node);
}

void
genie_cpu_graph_ref(struct genie_cpu_graph *graph)
{
	__atomic_add_fetch(&graph->refs, 1, __ATOMIC_RELAXED);
}

void
genie_cpu_graph_unref(struct genie_cpu_graph *graph)
{
	if (!graph || __atomic_sub_fetch(&graph->refs, 1, __ATOMIC_ACQ_REL))
		return;
	graph->magic = 0;
	for (size_t i = 0; i < graph->count; i++)
		node_delete(graph->nodes[i]);
	free(graph->nodes);
	free(graph->order);
	free(graph);
}

/* The order of the nodes is to be found again. */
static void
unsort(struct genie_cpu_graph *graph)
{
	free(graph->order);
	graph->order = NULL;
}

static CUresult
make_room(struct genie_cpu_graph *graph)
{
	size_t wanted = graph->capacity ? graph->capacity * 2 : 16;
	struct genie_cpu_node **bigger;

	if (graph->count < graph->capacity)
		return CUDA_SUCCESS;
	bigger = realloc(graph->nodes, wanted * sizeof(*bigger));
	if (!bigger)
		return CUDA_ERROR_OUT_OF_MEMORY;
	graph->nodes = bigger;
	graph->capacity = wanted;
	return CUDA_SUCCESS;
}

static CUresult
check_deps(const struct genie_cpu_graph *graph, struct genie_cpu_node *const *deps, size_t count)
{
	CUresult status = CUDA_SUCCESS;

	if (count && !deps)
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < count; i++)
		if (!genie_cpu_is(deps[i], GENIE_CPU_NODE) || deps[i]->graph != graph)
			return CUDA_ERROR_INVALID_VALUE;
	/* each at most once */
	for (size_t i = 0; i < count; i++) {
		if (deps[i]->marked)
			status = CUDA_ERROR_INVALID_VALUE;
		deps[i]->marked = true;
	}
	for (size_t i = 0; i < count; i++)
		deps[i]->marked = false;
	return status;
}

/* The graphs in a node. */
static size_t
inner_graphs(const struct genie_cpu_op *op, struct genie_cpu_graph *const **ret_graphs)
{
	*ret_graphs = op->kind == GENIE_CPU_OP_GRAPH ? &op->graph : op->conditional.bodies;
	if (op->kind == GENIE_CPU_OP_GRAPH)
		return 1;
	return op->kind == GENIE_CPU_OP_CONDITIONAL ? op->conditional.size : 0;
}

static void
set_level(struct genie_cpu_graph *graph, unsigned int level)
{
	graph->level = level;
	for (size_t i = 0; i < graph->count; i++) {
		struct genie_cpu_graph *const *inner;
		size_t count = inner_graphs(&graph->nodes[i]->op, &inner);

		for (size_t k = 0; k < count; k++)
			set_level(inner[k], level + 1);
	}
}

/* @op, a copy, goes into a node of @graph, unless that would be too deep: then it is freed. */
static CUresult
nest(struct genie_cpu_graph *graph, struct genie_cpu_op *op)
{
	struct genie_cpu_graph *const *inner;
	size_t count = inner_graphs(op, &inner);
	unsigned int depth = 0;

	/* a copy knows how deep it is: it was made from the inside */
	for (size_t i = 0; i < count; i++)
		if (inner[i]->depth + 1 > depth)
			depth = inner[i]->depth + 1;
	if (graph->level + depth > GENIE_CPU_GRAPH_DEPTH_MAX) {
		genie_cpu_op_fini(op);
		return CUDA_ERROR_INVALID_VALUE;
	}
	if (depth > graph->depth)
		graph->depth = depth;
	for (size_t i = 0; i < count; i++) {
		inner[i]->is_child = true;
		set_level(inner[i], graph->level + 1);
	}
	return CUDA_SUCCESS;
}

CUresult
genie_cpu_graph_add(struct genie_cpu_graph *graph, const struct genie_cpu_op *op,
		    struct genie_cpu_node *const *deps, const CUgraphEdgeData *edges,
		    size_t dep_count, struct genie_cpu_node **ret_node)
{
	CUresult status = check_deps(graph, deps, dep_count);
	struct genie_cpu_node *node;

	if (status == CUDA_SUCCESS)
		status = make_room(graph);
	if (status != CUDA_SUCCESS)
		return status;
	node = calloc(1, sizeof(*node));
	if (!node)
		return CUDA_ERROR_OUT_OF_MEMORY;
	node->deps = calloc(dep_count ? dep_count : 1, sizeof(*node->deps));
	status = node->deps ? genie_cpu_op_copy(&node->op, op) : CUDA_ERROR_OUT_OF_MEMORY;
	if (status == CUDA_SUCCESS)
		status = nest(graph, &node->op);
	if (status != CUDA_SUCCESS) {
		free(node->deps);
		free(node);
		return status;
	}
	node->magic = GENIE_CPU_NODE;
	node->graph = graph;
	node->id = genie_cpu_new_id();
	node->enabled = true;
	for (size_t i = 0; i < dep_count; i++) {
		node->deps[i].node = deps[i];
		if (edges)
			node->deps[i].data = edges[i];
	}
	node->dep_count = dep_count;
	node->index = graph->count;
	graph->nodes[graph->count++] = node;
	unsort(graph);
	if (ret_node)
		*ret_node = node;
	return CUDA_SUCCESS;
}

CUresult
genie_cpu_node_replace(struct genie_cpu_node *node, const struct genie_cpu_op *op)
{
	struct genie_cpu_op copy;
	CUresult status;

	if (op->kind != node->op.kind)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_cpu_op_copy(&copy, op);
	if (status == CUDA_SUCCESS)
		status = nest(node->graph, &copy);
	if (status != CUDA_SUCCESS)
		return status;
	/* attributes stay as they were */
	if (copy.kind == GENIE_CPU_OP_KERNEL) {
		copy.kernel.cooperative = node->op.kernel.cooperative;
		copy.kernel.cluster_set = node->op.kernel.cluster_set;
		if (copy.kernel.cluster_set)
			memcpy(copy.kernel.cluster, node->op.kernel.cluster,
			       sizeof(copy.kernel.cluster));
	}
	genie_cpu_op_fini(&node->op);
	node->op = copy;
	return CUDA_SUCCESS;
}

void
genie_cpu_node_take_child(struct genie_cpu_node *node, struct genie_cpu_graph *child)
{
	genie_cpu_graph_unref(node->op.graph);
	node->op.graph = child;
	child->is_child = true;
	set_level(child, node->graph->level + 1);
}

CUresult
genie_cpu_graph_clone(const struct genie_cpu_graph *graph, struct genie_cpu_graph **ret_graph)
{
	struct genie_cpu_graph *clone = genie_cpu_graph_new();
	CUresult status = clone ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;

	/* all nodes first, then their edges: an edge may lead to a node that was added later */
	for (size_t i = 0; status == CUDA_SUCCESS && i < graph->count; i++) {
		struct genie_cpu_node *node;

		status = genie_cpu_graph_add(clone, &graph->nodes[i]->op, NULL, NULL, 0, &node);
		if (status == CUDA_SUCCESS) {
			node->origin = graph->nodes[i]->id;
			node->enabled = graph->nodes[i]->enabled;
		}
	}
	for (size_t i = 0; status == CUDA_SUCCESS && i < graph->count; i++) {
		const struct genie_cpu_node *from = graph->nodes[i];
		struct genie_cpu_node *to = clone->nodes[i];

		free(to->deps);
		to->deps = calloc(from->dep_count ? from->dep_count : 1, sizeof(*to->deps));
		if (!to->deps) {
			status = CUDA_ERROR_OUT_OF_MEMORY;
			break;
		}
		for (size_t k = 0; k < from->dep_count; k++) {
			to->deps[k].data = from->deps[k].data;
			to->deps[k].node = clone->nodes[from->deps[k].node->index];
		}
		to->dep_count = from->dep_count;
	}
	if (status != CUDA_SUCCESS) {
		genie_cpu_graph_unref(clone);
		return status;
	}
	*ret_graph = clone;
	return CUDA_SUCCESS;
}

/*
 * Kahn's algorithm: nodes whose dependencies are all placed come next. Each node's successors are
 * found once, as one list of edges grouped by where they start.
 */
CUresult
genie_cpu_graph_sort(struct genie_cpu_graph *graph)
{
	size_t edges = 0, placed = 0;
	size_t *order, *missing, *first, *after;

	if (graph->order)
		return CUDA_SUCCESS;
	for (size_t i = 0; i < graph->count; i++)
		edges += graph->nodes[i]->dep_count;
	order = calloc(graph->count + 1, sizeof(*order));
	missing = calloc(graph->count + 1, sizeof(*missing));
	first = calloc(graph->count + 2, sizeof(*first));
	after = calloc(edges + 1, sizeof(*after));
	if (!order || !missing || !first || !after) {
		free(order);
		free(missing);
		free(first);
		free(after);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	/* first[i + 1] counts, then sums up to where the successors of i + 1 begin */
	for (size_t i = 0; i < graph->count; i++)
		for (size_t k = 0; k < graph->nodes[i]->dep_count; k++)
			first[graph->nodes[i]->deps[k].node->index + 2]++;
	for (size_t i = 2; i < graph->count + 2; i++)
		first[i] += first[i - 1];
	for (size_t i = 0; i < graph->count; i++)
		for (size_t k = 0; k < graph->nodes[i]->dep_count; k++)
			after[first[graph->nodes[i]->deps[k].node->index + 1]++] = i;
	for (size_t i = 0; i < graph->count; i++) {
		missing[i] = graph->nodes[i]->dep_count;
		if (!missing[i])
			order[placed++] = i;
	}
	for (size_t i = 0; i < placed; i++)
		for (size_t k = first[order[i]]; k < first[order[i] + 1]; k++)
			if (!--missing[after[k]])
				order[placed++] = after[k];
	free(missing);
	free(first);
	free(after);
	if (placed != graph->count) {
		free(order);
		return CUDA_ERROR_INVALID_VALUE;
	}
	graph->order = order;
	return CUDA_SUCCESS;
}

/* ---- CUDA's functions ---- */

static CUresult
cpu_cuGraphCreate(CUgraph *ret_graph, unsigned int flags)
{
	struct genie_cpu_graph *graph;

	if (!ret_graph || flags)
		return CUDA_ERROR_INVALID_VALUE;
	graph = genie_cpu_graph_new();
	if (!graph)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ret_graph = (CUgraph)graph;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphDestroy(CUgraph handle)
{
	struct genie_cpu_graph *graph = genie_cpu_graph_get(handle);

	if (!graph || graph->is_child)
		return CUDA_ERROR_INVALID_VALUE;
	genie_cpu_graph_unref(graph);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphClone(CUgraph *ret_graph, CUgraph handle)
{
	struct genie_cpu_graph *graph = genie_cpu_graph_get(handle), *clone;
	CUresult status;

	if (!graph || !ret_graph)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_cpu_graph_clone(graph, &clone);
	if (status == CUDA_SUCCESS)
		*ret_graph = (CUgraph)clone;
	return status;
}

static CUresult
cpu_cuGraphNodeFindInClone(CUgraphNode *ret_node, CUgraphNode node_handle, CUgraph graph_handle)
{
	struct genie_cpu_node *node = genie_cpu_node_get(node_handle);
	struct genie_cpu_graph *graph = genie_cpu_graph_get(graph_handle);

	if (!node || !graph || !ret_node)
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < graph->count; i++)
		if (graph->nodes[i]->origin == node->id) {
			*ret_node = (CUgraphNode)graph->nodes[i];
			return CUDA_SUCCESS;
		}
	return CUDA_ERROR_INVALID_VALUE;
}

static size_t
find_dep(const struct genie_cpu_node *node, const struct genie_cpu_node *dep)
{
	size_t i = 0;

	while (i < node->dep_count && node->deps[i].node != dep)
		i++;
	return i;
}

static CUresult
remove_dep(struct genie_cpu_node *from, struct genie_cpu_node *to)
{
	size_t i = find_dep(to, from);

	if (i == to->dep_count)
		return CUDA_ERROR_INVALID_VALUE;
	memmove(&to->deps[i], &to->deps[i + 1], (to->dep_count - i - 1) * sizeof(to->deps[0]));
	to->dep_count--;
	unsort(to->graph);
	return CUDA_SUCCESS;
}

static CUresult
add_dep(struct genie_cpu_node *from, struct genie_cpu_node *to, const CUgraphEdgeData *data)
{
	struct genie_cpu_edge *bigger;

	if (from == to || find_dep(to, from) < to->dep_count)
		return CUDA_ERROR_INVALID_VALUE;
	bigger = realloc(to->deps, (to->dep_count + 1) * sizeof(*bigger));
	if (!bigger)
		return CUDA_ERROR_OUT_OF_MEMORY;
	to->deps = bigger;
	to->deps[to->dep_count] = (struct genie_cpu_edge){.node = from};
	if (data)
		to->deps[to->dep_count].data = *data;
	to->dep_count++;
	unsort(to->graph);
	return CUDA_SUCCESS;
}

static CUresult
change_deps(CUgraph handle, const CUgraphNode *from, const CUgraphNode *to,
	    const CUgraphEdgeData *data, size_t count, bool add)
{
	struct genie_cpu_graph *graph = genie_cpu_graph_get(handle);

	if (!graph || (count && (!from || !to)))
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < count; i++) {
		struct genie_cpu_node *a = genie_cpu_node_get(from[i]);
		struct genie_cpu_node *b = genie_cpu_node_get(to[i]);
		CUresult status;

		if (!a || !b || a->graph != graph || b->graph != graph)
			return CUDA_ERROR_INVALID_VALUE;
		status = add ? add_dep(a, b, data ? &data[i] : NULL) : remove_dep(a, b);
		if (status != CUDA_SUCCESS)
			return status;
	}
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
			      const CUgraphEdgeData *data, size_t count)
{
	return change_deps(graph, from, to, data, count, true);
}

static CUresult
cpu_cuGraphAddDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
			   size_t count)
{
	return change_deps(graph, from, to, NULL, count, true);
}

static CUresult
cpu_cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
				 const CUgraphEdgeData *data, size_t count)
{
	(void)data;
	return change_deps(graph, from, to, NULL, count, false);
}

static CUresult
cpu_cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
			      size_t count)
{
	return change_deps(graph, from, to, NULL, count, false);
}

static CUresult
cpu_cuGraphDestroyNode(CUgraphNode handle)
{
	struct genie_cpu_node *node = genie_cpu_node_get(handle);
	struct genie_cpu_graph *graph;

	if (!node)
		return CUDA_ERROR_INVALID_VALUE;
	graph = node->graph;
	for (size_t i = 0; i < graph->count; i++)
		remove_dep(node, graph->nodes[i]);
	for (size_t i = node->index + 1; i < graph->count; i++) {
		graph->nodes[i - 1] = graph->nodes[i];
		graph->nodes[i - 1]->index = i - 1;
	}
	graph->count--;
	unsort(graph);
	node_delete(node);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphNodeGetType(CUgraphNode handle, CUgraphNodeType *type)
{
	struct genie_cpu_node *node = genie_cpu_node_get(handle);

	if (!node || !type)
		return CUDA_ERROR_INVALID_VALUE;
	switch (node->op.kind) {
	case GENIE_CPU_OP_KERNEL:
	case GENIE_CPU_OP_GEMM: /* kernels, had the library's own been run */
	case GENIE_CPU_OP_DENSE:
		*type = CU_GRAPH_NODE_TYPE_KERNEL;
		return CUDA_SUCCESS;
	case GENIE_CPU_OP_COPY:
		*type = CU_GRAPH_NODE_TYPE_MEMCPY;
		return CUDA_SUCCESS;
	case GENIE_CPU_OP_SET:
		*type = CU_GRAPH_NODE_TYPE_MEMSET;
		return CUDA_SUCCESS;
	case GENIE_CPU_OP_HOST:
		*type = CU_GRAPH_NODE_TYPE_HOST;
		return CUDA_SUCCESS;
	case GENIE_CPU_OP_GRAPH:
		*type = CU_GRAPH_NODE_TYPE_GRAPH;
		return CUDA_SUCCESS;
	case GENIE_CPU_OP_CONDITIONAL:
		*type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
		return CUDA_SUCCESS;
	case GENIE_CPU_OP_EVENT_RECORD:
		*type = CU_GRAPH_NODE_TYPE_EVENT_RECORD;
		return CUDA_SUCCESS;
	case GENIE_CPU_OP_EVENT_WAIT:
		*type = CU_GRAPH_NODE_TYPE_WAIT_EVENT;
		return CUDA_SUCCESS;
	case GENIE_CPU_OP_VALUES:
		*type = CU_GRAPH_NODE_TYPE_BATCH_MEM_OP;
		return CUDA_SUCCESS;
	case GENIE_CPU_OP_EMPTY:
	case GENIE_CPU_OP_FREE: /* never in a graph */
		*type = CU_GRAPH_NODE_TYPE_EMPTY;
		return CUDA_SUCCESS;
	}
	return CUDA_ERROR_INVALID_VALUE;
}

/*
 * How CUDA hands out a list: without an array the number of elements; with one as many as fit,
 * the rest of the array cleared.
 */
struct listing {
	CUgraphNode *first, *second;
	CUgraphEdgeData *data;
	size_t room, count;
};

static void
listing_add(struct listing *list, const struct genie_cpu_node *first,
	    const struct genie_cpu_node *second, const CUgraphEdgeData *data)
{
	size_t i = list->count++;

	if (i >= list->room)
		return;
	if (list->first)
		list->first[i] = (CUgraphNode)first;
	if (list->second)
		list->second[i] = (CUgraphNode)second;
	if (list->data && data)
		list->data[i] = *data;
}

static void
listing_finish(struct listing *list, size_t *count)
{
	if (!list->first && !list->second) {
		*count = list->count;
		return;
	}
	for (size_t i = list->count; i < list->room; i++) {
		if (list->first)
			list->first[i] = NULL;
		if (list->second)
			list->second[i] = NULL;
	}
	*count = list->count < list->room ? list->count : list->room;
}

static CUresult
list_nodes(CUgraph handle, CUgraphNode *nodes, size_t *count, bool only_roots)
{
	struct genie_cpu_graph *graph = genie_cpu_graph_get(handle);
	struct listing list = {.first = nodes};

	if (!graph || !count)
		return CUDA_ERROR_INVALID_VALUE;
	list.room = *count;
	for (size_t i = 0; i < graph->count; i++)
		if (!only_roots || !graph->nodes[i]->dep_count)
			listing_add(&list, graph->nodes[i], NULL, NULL);
	listing_finish(&list, count);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *count)
{
	return list_nodes(graph, nodes, count, false);
}

static CUresult
cpu_cuGraphGetRootNodes(CUgraph graph, CUgraphNode *nodes, size_t *count)
{
	return list_nodes(graph, nodes, count, true);
}

static CUresult
cpu_cuGraphGetEdges_v2(CUgraph handle, CUgraphNode *from, CUgraphNode *to, CUgraphEdgeData *data,
		       size_t *count)
{
	struct genie_cpu_graph *graph = genie_cpu_graph_get(handle);
	struct listing list = {.first = from, .second = to, .data = data};

	if (!graph || !count || !from != !to)
		return CUDA_ERROR_INVALID_VALUE;
	list.room = *count;
	for (size_t i = 0; i < graph->count; i++) {
		const struct genie_cpu_node *node = graph->nodes[i];

		for (size_t k = 0; k < node->dep_count; k++)
			listing_add(&list, node->deps[k].node, node, &node->deps[k].data);
	}
	listing_finish(&list, count);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphGetEdges(CUgraph graph, CUgraphNode *from, CUgraphNode *to, size_t *count)
{
	return cpu_cuGraphGetEdges_v2(graph, from, to, NULL, count);
}

static CUresult
cpu_cuGraphNodeGetDependencies_v2(CUgraphNode handle, CUgraphNode *deps, CUgraphEdgeData *data,
				  size_t *count)
{
	struct genie_cpu_node *node = genie_cpu_node_get(handle);
	struct listing list = {.first = deps, .data = data};

	if (!node || !count)
		return CUDA_ERROR_INVALID_VALUE;
	list.room = *count;
	for (size_t k = 0; k < node->dep_count; k++)
		listing_add(&list, node->deps[k].node, NULL, &node->deps[k].data);
	listing_finish(&list, count);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode *deps, size_t *count)
{
	return cpu_cuGraphNodeGetDependencies_v2(node, deps, NULL, count);
}

static CUresult
cpu_cuGraphNodeGetDependentNodes_v2(CUgraphNode handle, CUgraphNode *nodes, CUgraphEdgeData *data,
				    size_t *count)
{
	struct genie_cpu_node *node = genie_cpu_node_get(handle);
	struct listing list = {.first = nodes, .data = data};

	if (!node || !count)
		return CUDA_ERROR_INVALID_VALUE;
	list.room = *count;
	for (size_t i = 0; i < node->graph->count; i++) {
		const struct genie_cpu_node *other = node->graph->nodes[i];
		size_t k = find_dep(other, node);

		if (k < other->dep_count)
			listing_add(&list, other, NULL, &other->deps[k].data);
	}
	listing_finish(&list, count);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode *nodes, size_t *count)
{
	return cpu_cuGraphNodeGetDependentNodes_v2(node, nodes, NULL, count);
}

void
genie_cpu_fill_graph(struct genie_driver *drv)
{
	drv->cuGraphCreate = cpu_cuGraphCreate;
	drv->cuGraphDestroy = cpu_cuGraphDestroy;
	drv->cuGraphClone = cpu_cuGraphClone;
	drv->cuGraphNodeFindInClone = cpu_cuGraphNodeFindInClone;
	drv->cuGraphAddDependencies = cpu_cuGraphAddDependencies;
	drv->cuGraphAddDependencies_v2 = cpu_cuGraphAddDependencies_v2;
	drv->cuGraphRemoveDependencies = cpu_cuGraphRemoveDependencies;
	drv->cuGraphRemoveDependencies_v2 = cpu_cuGraphRemoveDependencies_v2;
	drv->cuGraphDestroyNode = cpu_cuGraphDestroyNode;
	drv->cuGraphNodeGetType = cpu_cuGraphNodeGetType;
	drv->cuGraphGetNodes = cpu_cuGraphGetNodes;
	drv->cuGraphGetRootNodes = cpu_cuGraphGetRootNodes;
	drv->cuGraphGetEdges = cpu_cuGraphGetEdges;
	drv->cuGraphGetEdges_v2 = cpu_cuGraphGetEdges_v2;
	drv->cuGraphNodeGetDependencies = cpu_cuGraphNodeGetDependencies;
	drv->cuGraphNodeGetDependencies_v2 = cpu_cuGraphNodeGetDependencies_v2;
	drv->cuGraphNodeGetDependentNodes = cpu_cuGraphNodeGetDependentNodes;
	drv->cuGraphNodeGetDependentNodes_v2 = cpu_cuGraphNodeGetDependentNodes_v2;
}
