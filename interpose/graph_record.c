/* The client's record of graphs: nodes and what they come after. Nobody is told here. */
#include <stdlib.h>
#include <string.h>

#include "interpose/capture.h"

pthread_mutex_t genie_graph_lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t last_sequence;

void
genie_graph_fork_child(void)
{
	/* Another thread of the parent may have held it. */
	pthread_mutex_init(&genie_graph_lock, NULL);
}

void
genie_graph_unlock(void)
{
	pthread_mutex_unlock(&genie_graph_lock);
	genie_user_objects_destroy();
}

struct genie_graph *
genie_graph_get(CUgraph handle)
{
	return genie_object_get(GENIE_KIND_GRAPH, (uint64_t)(uintptr_t)handle);
}

struct genie_node *
genie_node_get(CUgraphNode handle)
{
	struct genie_node *node =
		genie_object_get(GENIE_KIND_GRAPHNODE, (uint64_t)(uintptr_t)handle);

	return node && node->graph ? node : NULL;
}

struct genie_graph *
genie_graph_new_locked(void)
{
	struct genie_graph *graph = genie_object_new(GENIE_KIND_GRAPH, sizeof(*graph), NULL);

	if (graph)
		graph->named = true;
	return graph;
}

/* ---- nodes ---- */

static void
node_delete(struct genie_node *node)
{
	if (node->before)
		node_delete(node->before);
	if (node->after)
		node_delete(node->after);
	genie_payload_fini(&node->payload);
	free(node->deps);
	genie_object_free(node);
}

static bool
make_room(struct genie_graph *graph)
{
	size_t wanted = graph->capacity ? graph->capacity * 2 : 16;
	struct genie_node **bigger;

	if (graph->count < graph->capacity)
		return true;
	bigger = realloc(graph->nodes, wanted * sizeof(*bigger));
	if (!bigger)
		return false;
	graph->nodes = bigger;
	graph->capacity = wanted;
	return true;
}

struct genie_node *
genie_node_new_locked(struct genie_graph *graph, const struct genie_dep *deps, size_t count,
		      struct genie_payload *payload)
{
	struct genie_node *node;

	if (!make_room(graph))
		return NULL;
	node = genie_object_new(GENIE_KIND_GRAPHNODE, sizeof(*node), NULL);
	if (!node)
		return NULL;
	node->deps = malloc((count ? count : 1) * sizeof(*node->deps));
	if (!node->deps) {
		genie_object_free(node);
		return NULL;
	}
	if (count)
		memcpy(node->deps, deps, count * sizeof(*deps));
	node->dep_count = count;
	node->graph = graph;
	node->sequence = ++last_sequence;
	node->index = graph->count;
	node->payload = *payload;
	*payload = (struct genie_payload){0};
	graph->nodes[graph->count++] = node;
	return node;
}

struct genie_node *
genie_node_half_locked(void)
{
	struct genie_node *node = genie_object_new(GENIE_KIND_GRAPHNODE, sizeof(*node), NULL);

	if (node)
		node->sequence = ++last_sequence;
	return node;
}

void
genie_node_free_locked(struct genie_node *node)
{
	struct genie_graph *graph = node->graph;

	for (size_t i = 0; i < graph->count; i++) {
		struct genie_node *other = graph->nodes[i];
		size_t at;

		/* there may be more than one, with different data */
		while ((at = genie_node_find_dep(other, node, NULL)) < other->dep_count)
			genie_node_remove_dep_locked(other, at);
	}
	for (size_t i = node->index + 1; i < graph->count; i++) {
		graph->nodes[i - 1] = graph->nodes[i];
		graph->nodes[i - 1]->index = i - 1;
	}
	graph->count--;
	node_delete(node);
}

/* ---- edges ---- */

size_t
genie_node_find_dep(const struct genie_node *node, const struct genie_node *dep,
		    const CUgraphEdgeData *data)
{
	size_t i = 0;

	while (i < node->dep_count &&
	       (node->deps[i].node != dep ||
		(data && memcmp(&node->deps[i].data, data, sizeof(*data)) != 0)))
		i++;
	return i;
}

CUresult
genie_node_add_dep_locked(struct genie_node *node, const struct genie_dep *dep)
{
	struct genie_dep *bigger = realloc(node->deps, (node->dep_count + 1) * sizeof(*bigger));

	if (!bigger)
		return CUDA_ERROR_OUT_OF_MEMORY;
	node->deps = bigger;
	node->deps[node->dep_count++] = *dep;
	return CUDA_SUCCESS;
}

void
genie_node_remove_dep_locked(struct genie_node *node, size_t index)
{
	memmove(&node->deps[index], &node->deps[index + 1],
		(node->dep_count - index - 1) * sizeof(node->deps[0]));
	node->dep_count--;
}

bool
genie_edge_valid(const struct genie_node *from, CUgraphNodeType to, const CUgraphEdgeData *data)
{
	static const CUgraphEdgeData nothing;

	if (memcmp(data->reserved, nothing.reserved, sizeof(data->reserved)) != 0 ||
	    data->to_port || data->from_port > CU_GRAPH_KERNEL_NODE_PORT_LAUNCH_ORDER ||
	    data->type > CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC)
		return false;
	if (data->from_port && from->payload.params.type != CU_GRAPH_NODE_TYPE_KERNEL)
		return false;
	if (data->type == CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC)
		return data->from_port && to == CU_GRAPH_NODE_TYPE_KERNEL;
	return data->from_port != CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC;
}

/* None twice. */
static CUresult
check_distinct(const struct genie_dep *deps, size_t count)
{
	CUresult status = CUDA_SUCCESS;

	for (size_t i = 0; i < count; i++) {
		if (deps[i].node->marked)
			status = CUDA_ERROR_INVALID_VALUE;
		deps[i].node->marked = true;
	}
	for (size_t i = 0; i < count; i++)
		deps[i].node->marked = false;
	return status;
}

CUresult
genie_deps_resolve(const struct genie_graph *graph, const CUgraphNode *nodes,
		   const CUgraphEdgeData *data, size_t count, CUgraphNodeType to,
		   struct genie_dep **ret_deps)
{
	struct genie_dep *deps;
	CUresult status = CUDA_SUCCESS;

	if (count && !nodes)
		return CUDA_ERROR_INVALID_VALUE;
	if (count > graph->count)
		return CUDA_ERROR_INVALID_VALUE;
	deps = calloc(count ? count : 1, sizeof(*deps));
	if (!deps)
		return CUDA_ERROR_OUT_OF_MEMORY;
	for (size_t i = 0; i < count && status == CUDA_SUCCESS; i++) {
		deps[i].node = genie_node_get(nodes[i]);
		if (!deps[i].node || deps[i].node->graph != graph) {
			status = CUDA_ERROR_INVALID_VALUE;
			break;
		}
		if (data)
			deps[i].data = data[i];
		if (data && !genie_edge_valid(deps[i].node, to, &data[i]))
			status = CUDA_ERROR_INVALID_VALUE;
	}
	if (status == CUDA_SUCCESS)
		status = check_distinct(deps, count);
	if (status != CUDA_SUCCESS) {
		free(deps);
		return status;
	}
	*ret_deps = deps;
	return CUDA_SUCCESS;
}

bool
genie_node_reaches_locked(const struct genie_node *from, const struct genie_node *to)
{
	struct genie_graph *graph = to->graph;
	struct genie_node **todo = calloc(graph->count + 1, sizeof(*todo));
	size_t n = 0;
	bool found = false;

	if (!todo)
		return true; /* who asks is careful */
	todo[n++] = (struct genie_node *)to;
	while (n && !found) {
		struct genie_node *node = todo[--n];

		found = node == from;
		for (size_t i = 0; i < node->dep_count; i++)
			if (!node->deps[i].node->marked) {
				node->deps[i].node->marked = true;
				todo[n++] = node->deps[i].node;
			}
	}
	for (size_t i = 0; i < graph->count; i++)
		graph->nodes[i]->marked = false;
	free(todo);
	return found;
}

/* ---- whole graphs ---- */

static struct genie_node *
node_copy_locked(struct genie_graph *copy, const struct genie_node *node)
{
	struct genie_payload payload = {0};
	struct genie_node *twin;

	if (genie_payload_dup(&payload, &node->payload) != CUDA_SUCCESS)
		return NULL;
	twin = genie_node_new_locked(copy, NULL, 0, &payload);
	if (!twin) {
		genie_payload_fini(&payload);
		return NULL;
	}
	twin->origin = node->object.token;
	twin->opaque = node->opaque;
	if (node->before) {
		twin->before = genie_node_half_locked();
		if (!twin->before)
			return NULL;
		twin->before->origin = node->before->object.token;
	}
	if (node->after) {
		twin->after = genie_node_half_locked();
		if (!twin->after)
			return NULL;
		twin->after->origin = node->after->object.token;
	}
	if (twin->payload.child)
		twin->payload.child->owner = twin;
	return twin;
}

struct genie_graph *
genie_graph_copy_locked(const struct genie_graph *graph)
{
	struct genie_graph *copy = genie_graph_new_locked();

	if (!copy)
		return NULL;
	copy->named = false;
	copy->origin = graph->object.token;
	copy->memory = graph->memory;
	if (genie_user_refs_copy(&copy->users, &copy->user_count, graph->users,
				 graph->user_count) != CUDA_SUCCESS)
		goto err;
	/* all nodes first: an edge may lead to a node that was added later */
	for (size_t i = 0; i < graph->count; i++)
		if (!node_copy_locked(copy, graph->nodes[i]))
			goto err;
	for (size_t i = 0; i < graph->count; i++) {
		const struct genie_node *from = graph->nodes[i];
		struct genie_node *to = copy->nodes[i];

		free(to->deps);
		to->deps = malloc((from->dep_count ? from->dep_count : 1) * sizeof(*to->deps));
		if (!to->deps)
			goto err;
		for (size_t k = 0; k < from->dep_count; k++)
			to->deps[k] =
				(struct genie_dep){.node = copy->nodes[from->deps[k].node->index],
						   .data = from->deps[k].data};
		to->dep_count = from->dep_count;
	}
	return copy;
err:
	genie_graph_free_locked(copy);
	return NULL;
}

/* ---- the end of a graph ---- */

#define FORGET_MAX 256 /* names in one command */

/* Names that go, on their way to the worker. */
struct names {
	CUgraphNode nodes[FORGET_MAX];
	CUgraph graphs[FORGET_MAX];
	size_t node_count, graph_count;
};

static void
names_send(struct names *names)
{
	struct genie_args_genieGraphForget args = {
		.nodes = names->nodes,
		.node_count = names->node_count,
		.graphs = names->graphs,
		.graph_count = names->graph_count,
	};

	if (names->node_count || names->graph_count)
		(void)genie_call_ctx(GENIE_OP_genieGraphForget, &args, NULL, NULL);
	names->node_count = names->graph_count = 0;
}

static void
names_add_node(struct names *names, const struct genie_node *node)
{
	if (!node)
		return;
	if (names->node_count == FORGET_MAX)
		names_send(names);
	names->nodes[names->node_count++] = genie_node_handle(node);
}

static void
names_add_graph(struct names *names, const struct genie_graph *graph)
{
	if (names->graph_count == FORGET_MAX)
		names_send(names);
	names->graphs[names->graph_count++] = genie_graph_handle(graph);
}

static void names_collect(struct names *names, const struct genie_graph *graph);

/* What is in @node and the worker knows by name. */
static void
names_collect_inside(struct names *names, const struct genie_node *node)
{
	const struct genie_payload *payload = &node->payload;

	names_add_node(names, node->before);
	names_add_node(names, node->after);
	if (payload->child && payload->child->named)
		names_add_graph(names, payload->child);
	if (payload->child)
		names_collect(names, payload->child);
	for (unsigned int i = 0; payload->bodies && i < payload->params.conditional.size; i++) {
		names_add_graph(names, payload->bodies[i]);
		names_collect(names, payload->bodies[i]);
	}
}

static void
names_collect(struct names *names, const struct genie_graph *graph)
{
	for (size_t i = 0; graph->named && i < graph->count; i++) {
		names_add_node(names, graph->nodes[i]);
		names_collect_inside(names, graph->nodes[i]);
	}
}

void
genie_node_forget_inside_locked(const struct genie_node *node)
{
	struct names names;

	names.node_count = names.graph_count = 0;
	names_collect_inside(&names, node);
	names_send(&names);
}

static void
exec_forget(void *object, void *data)
{
	struct genie_exec *exec = object;

	if (exec->graph == data)
		exec->graph = NULL;
}

void
genie_graph_free_locked(struct genie_graph *graph)
{
	struct names names;

	if (!graph)
		return;
	/* what is in a node was told of with the node */
	names.node_count = names.graph_count = 0;
	if (!graph->owner)
		names_collect(&names, graph);
	names_send(&names);
	if (graph->captures)
		genie_capture_forget_graph_locked(graph);
	if (graph->execs)
		genie_object_each(GENIE_KIND_GRAPHEXEC, exec_forget, graph);
	for (size_t i = 0; i < graph->count; i++)
		node_delete(graph->nodes[i]);
	free(graph->nodes);
	genie_user_refs_drop(graph->users, graph->user_count);
	genie_object_free(graph);
}
