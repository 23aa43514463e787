/* Nodes and edges as the worker is told of them. */
#include <stdlib.h>
#include <string.h>

#include "interpose/graph.h"
#include "interpose/refuse.h"

/* Dependencies in one command; the others follow as edges. */
#define DEPS_MAX 1024

/* ---- what a node comes after, in the worker's words ---- */

struct wire_deps {
	CUgraphNode *nodes;
	CUgraphEdgeData *data;
	size_t count;
	bool plain;
};

static CUresult
wire_deps_init(struct wire_deps *deps, const struct genie_dep *from, size_t count)
{
	*deps = (struct wire_deps){.count = count, .plain = true};
	deps->nodes = malloc((count ? count : 1) * sizeof(*deps->nodes));
	deps->data = calloc(count ? count : 1, sizeof(*deps->data));
	if (!deps->nodes || !deps->data) {
		free(deps->nodes);
		free(deps->data);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	for (size_t i = 0; i < count; i++) {
		deps->nodes[i] = genie_node_exit(from[i].node);
		/* the half of a node is no kernel */
		if (!from[i].node->after)
			deps->data[i] = from[i].data;
		deps->plain = deps->plain && genie_edge_plain(&deps->data[i]);
	}
	return CUDA_SUCCESS;
}

static void
wire_deps_fini(struct wire_deps *deps)
{
	free(deps->nodes);
	free(deps->data);
}

static CUresult
edges_send(const struct genie_graph *graph, const CUgraphNode *from, const CUgraphNode *to,
	   const CUgraphEdgeData *data, size_t count, bool add)
{
	CUresult status = CUDA_SUCCESS;

	for (size_t done = 0; done < count && status == CUDA_SUCCESS; done += DEPS_MAX) {
		struct genie_args_genieGraphEdges args = {
			.graph = genie_graph_handle(graph),
			.from = from + done,
			.to = to + done,
			.edges = data ? data + done : NULL,
			.count = count - done < DEPS_MAX ? count - done : DEPS_MAX,
			.add = add,
		};

		status = genie_call_ctx(GENIE_OP_genieGraphEdges, &args, genie_ctx_current(), NULL);
	}
	return status;
}

CUresult
genie_edge_send_locked(const struct genie_node *from, const struct genie_node *to,
		       const CUgraphEdgeData *data, bool add)
{
	const CUgraphNode exit = genie_node_exit(from), entry = genie_node_entry(to);
	bool plain = from->after || genie_edge_plain(data);

	return edges_send(to->graph, &exit, &entry, plain ? NULL : data, 1, add);
}

/* ---- one node ---- */

/* The dependencies that did not go with the node itself. */
static CUresult
rest_send(const struct genie_graph *graph, CUgraphNode node, const struct wire_deps *deps)
{
	CUgraphNode *to;
	CUresult status;
	size_t count;

	if (deps->count <= DEPS_MAX)
		return CUDA_SUCCESS;
	count = deps->count - DEPS_MAX;
	to = malloc(count * sizeof(*to));
	if (!to)
		return CUDA_ERROR_OUT_OF_MEMORY;
	for (size_t i = 0; i < count; i++)
		to[i] = node;
	status = edges_send(graph, deps->nodes + DEPS_MAX, to,
			    deps->plain ? NULL : deps->data + DEPS_MAX, count, true);
	free(to);
	return status;
}

static CUresult
conditional_send(const struct genie_node *node, const struct wire_deps *deps,
		 const CUgraphNodeParams *params)
{
	unsigned int count = params->conditional.size;
	CUgraph *bodies = calloc(count, sizeof(*bodies));
	struct genie_args_genieGraphConditional args = {
		.node = genie_node_handle(node),
		.graph = genie_graph_handle(node->graph),
		.dependencies = deps->nodes,
		.edges = deps->plain ? NULL : deps->data,
		.count = deps->count < DEPS_MAX ? deps->count : DEPS_MAX,
		.params = params,
		.bodies = bodies,
		.body_count = count,
	};
	CUresult status;

	if (!bodies)
		return CUDA_ERROR_OUT_OF_MEMORY;
	for (unsigned int i = 0; i < count; i++)
		bodies[i] = genie_graph_handle(node->payload.bodies[i]);
	status = genie_call_ctx(GENIE_OP_genieGraphConditional, &args, node->payload.ctx, NULL);
	free(bodies);
	return status == CUDA_SUCCESS ? rest_send(node->graph, args.node, deps) : status;
}

/* What a node's params point to; a half of a copy has none, except what its call brings along. */
static const void *
node_data(const struct genie_payload *payload, const struct genie_node *node,
	  struct genie_host_block *block, size_t *ret_size)
{
	*ret_size = 0;
	if (!node->graph) {
		if (!payload->copy || !genie_host_copy_comes(payload->copy, block))
			return NULL;
		*ret_size = sizeof(*block);
		return block;
	}
	if (payload->data && payload->params.type != CU_GRAPH_NODE_TYPE_MEM_ALLOC)
		*ret_size = payload->size;
	return *ret_size ? payload->data : NULL;
}

/* @node: the program's, or a half of it. */
static CUresult
node_send(const struct genie_graph *graph, const struct genie_node *node,
	  const struct genie_payload *payload, const CUgraphNodeParams *params,
	  const struct wire_deps *deps)
{
	struct genie_args_genieGraphNode args = {
		.node = genie_node_handle(node),
		.graph = genie_graph_handle(graph),
		.dependencies = deps->nodes,
		.edges = deps->plain ? NULL : deps->data,
		.count = deps->count < DEPS_MAX ? deps->count : DEPS_MAX,
		.params = params,
	};
	const struct genie_ctx *ctx = genie_ctx_current();
	struct genie_host_block block;
	CUresult status;

	args.data = node_data(payload, node, &block, &args.size);
	if (node->graph) {
		args.attrs = payload->attrs;
		args.attr_count = payload->attr_count;
		if (payload->ctx)
			ctx = payload->ctx;
	}
	status = genie_call_ctx(GENIE_OP_genieGraphNode, &args, ctx, NULL);
	return status == CUDA_SUCCESS ? rest_send(graph, args.node, deps) : status;
}

static CUgraphNodeParams
half_params(uint64_t host_id)
{
	CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_HOST};

	params.host.userData = (void *)(uintptr_t)host_id;
	return params;
}

static CUresult
half_send(const struct genie_graph *graph, const struct genie_node *half,
	  const struct genie_payload *payload, const struct wire_deps *deps)
{
	const CUgraphNodeParams params = half_params(payload->host_id);

	return node_send(graph, half, payload, &params, deps);
}

/* The only thing that a node or half comes after. */
static CUresult
wire_deps_one(struct wire_deps *deps, const struct genie_node *node)
{
	const struct genie_dep dep = {.node = (struct genie_node *)node};
	CUresult status = wire_deps_init(deps, &dep, 1);

	if (status == CUDA_SUCCESS)
		deps->nodes[0] = genie_node_handle(node);
	return status;
}

static bool
needs_half(const struct genie_payload *payload, enum genie_host_part part)
{
	return payload->copy && genie_host_copy_part(payload->copy) == part;
}

CUresult
genie_node_tell_locked(struct genie_node *node)
{
	const struct genie_payload *payload = &node->payload;
	CUgraphNodeParams params;
	struct wire_deps deps;
	CUresult status = wire_deps_init(&deps, node->deps, node->dep_count);

	if (status != CUDA_SUCCESS)
		return status;
	genie_payload_wire(payload, &params);
	if (needs_half(payload, GENIE_HOST_FIRST)) {
		node->before = genie_node_half_locked();
		status = node->before ? half_send(node->graph, node->before, payload, &deps)
				      : CUDA_ERROR_OUT_OF_MEMORY;
		wire_deps_fini(&deps);
		if (status == CUDA_SUCCESS)
			status = wire_deps_one(&deps, node->before);
		if (status != CUDA_SUCCESS)
			return status;
	}
	if (params.type == CU_GRAPH_NODE_TYPE_CONDITIONAL)
		status = conditional_send(node, &deps, &params);
	else
		status = node_send(node->graph, node, payload, &params, &deps);
	wire_deps_fini(&deps);
	if (status != CUDA_SUCCESS || !needs_half(payload, GENIE_HOST_LAST))
		return status;
	node->after = genie_node_half_locked();
	if (!node->after)
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = wire_deps_one(&deps, node);
	if (status != CUDA_SUCCESS)
		return status;
	status = half_send(node->graph, node->after, payload, &deps);
	wire_deps_fini(&deps);
	return status;
}

void
genie_graph_contains_locked(struct genie_graph *graph, bool memory, bool conditional)
{
	while (graph) {
		graph->memory = graph->memory || memory;
		graph->conditional = graph->conditional || conditional;
		graph = graph->owner ? graph->owner->graph : NULL;
	}
}

CUresult
genie_graph_add_locked(struct genie_graph *graph, const struct genie_dep *deps, size_t count,
		       struct genie_payload *payload, struct genie_node **ret_node)
{
	bool moved = payload->child &&
		     payload->params.graph.ownership == CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE;
	struct genie_node *node = genie_node_new_locked(graph, deps, count, payload);
	CUresult status;

	if (!node) {
		if (moved)
			payload->child = NULL;
		genie_payload_fini(payload);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	status = genie_node_tell_locked(node);
	if (status != CUDA_SUCCESS) {
		if (moved)
			node->payload.child = NULL;
		genie_node_free_locked(node);
		return status;
	}
	if (node->payload.child)
		node->payload.child->owner = node;
	for (unsigned int i = 0; node->payload.bodies && i < node->payload.params.conditional.size;
	     i++)
		node->payload.bodies[i]->owner = node;
	genie_graph_contains_locked(
		graph, node->payload.alloc || (node->payload.child && node->payload.child->memory),
		node->payload.params.type == CU_GRAPH_NODE_TYPE_CONDITIONAL);
	*ret_node = node;
	return CUDA_SUCCESS;
}

/* ---- changes ---- */

static CUresult
set_send(const struct genie_node *node, const struct genie_payload *payload,
	 const CUgraphNodeParams *params)
{
	struct genie_args_genieGraphNodeSet args = {
		.node = genie_node_handle(node),
		.params = params,
	};
	const struct genie_ctx *ctx = payload->ctx ? payload->ctx : genie_ctx_current();
	struct genie_host_block block;

	args.data = node_data(payload, node, &block, &args.size);
	return genie_call_ctx(GENIE_OP_genieGraphNodeSet, &args, ctx, NULL);
}

/* Puts a new half between what @node comes after and @node. */
static CUresult
insert_before(struct genie_node *node, const struct genie_payload *payload)
{
	struct genie_node *half = genie_node_half_locked();
	struct wire_deps deps;
	CUresult status = half ? wire_deps_init(&deps, node->deps, node->dep_count)
			       : CUDA_ERROR_OUT_OF_MEMORY;
	CUgraphEdgeData plain = {0};
	CUgraphNode from, to;

	if (status != CUDA_SUCCESS) {
		genie_object_free(half);
		return status;
	}
	status = half_send(node->graph, half, payload, &deps);
	wire_deps_fini(&deps);
	for (size_t i = 0; i < node->dep_count && status == CUDA_SUCCESS; i++)
		status = genie_edge_send_locked(node->deps[i].node, node, &node->deps[i].data,
						false);
	from = genie_node_handle(half);
	to = genie_node_handle(node);
	if (status == CUDA_SUCCESS)
		status = edges_send(node->graph, &from, &to, &plain, 1, true);
	node->before = half;
	return status;
}

/* The same between @node and what comes after it. */
static CUresult
insert_after(struct genie_node *node, const struct genie_payload *payload)
{
	struct genie_node *half = genie_node_half_locked();
	struct wire_deps deps;
	CUresult status = half ? wire_deps_one(&deps, node) : CUDA_ERROR_OUT_OF_MEMORY;

	if (status != CUDA_SUCCESS) {
		genie_object_free(half);
		return status;
	}
	status = half_send(node->graph, half, payload, &deps);
	wire_deps_fini(&deps);
	for (size_t i = 0; i < node->graph->count && status == CUDA_SUCCESS; i++) {
		struct genie_node *other = node->graph->nodes[i];
		size_t at = genie_node_find_dep(other, node, NULL);
		const CUgraphNode from[] = {genie_node_handle(node), genie_node_handle(half)};
		const CUgraphNode to = genie_node_entry(other);

		if (at == other->dep_count)
			continue;
		status = edges_send(node->graph, &from[0], &to, NULL, 1, false);
		if (status == CUDA_SUCCESS)
			status = edges_send(node->graph, &from[1], &to, NULL, 1, true);
	}
	node->after = half;
	return status;
}

/* Our part of a copy, where it has one now or had one before. */
static CUresult
halves_change(struct genie_node *node, const struct genie_payload *payload)
{
	bool first = needs_half(payload, GENIE_HOST_FIRST);
	bool last = needs_half(payload, GENIE_HOST_LAST);
	CUgraphNodeParams params;
	CUresult status = CUDA_SUCCESS;

	if (first && !node->before)
		status = insert_before(node, payload);
	else if (node->before) {
		params = half_params(first ? payload->host_id : 0);
		status = set_send(node->before, payload, &params);
	}
	if (status != CUDA_SUCCESS)
		return status;
	if (last && !node->after)
		return insert_after(node, payload);
	if (!node->after)
		return CUDA_SUCCESS;
	params = half_params(last ? payload->host_id : 0);
	return set_send(node->after, payload, &params);
}

CUresult
genie_node_change_locked(struct genie_node *node, struct genie_payload *payload)
{
	CUgraphNodeParams before, params;
	CUresult status;

	if (payload->params.type != node->payload.params.type || node->opaque) {
		genie_payload_fini(payload);
		return CUDA_ERROR_INVALID_VALUE;
	}
	genie_payload_wire(&node->payload, &before);
	genie_payload_wire(payload, &params);
	if (before.type != params.type) {
		genie_payload_fini(payload);
		return genie_refuse("a graph node that copies within host memory, made another "
				    "copy, or the reverse",
				    "they are different things for the device");
	}
	status = halves_change(node, payload);
	if (status == CUDA_SUCCESS)
		status = set_send(node, payload, &params);
	if (status != CUDA_SUCCESS) {
		genie_payload_fini(payload);
		return status;
	}
	/* attributes stay as they were */
	payload->attrs = node->payload.attrs;
	payload->attr_count = node->payload.attr_count;
	node->payload.attrs = NULL;
	node->payload.attr_count = 0;
	genie_payload_fini(&node->payload);
	node->payload = *payload;
	*payload = (struct genie_payload){0};
	return CUDA_SUCCESS;
}

/* ---- the same in an executable graph ---- */

static CUresult
exec_set_send(const struct genie_exec *exec, const struct genie_node *node,
	      const struct genie_payload *payload, const CUgraphNodeParams *params)
{
	struct genie_args_genieGraphExecSet args = {
		.exec = (CUgraphExec)(uintptr_t)exec->object.token,
		.node = genie_node_handle(node),
		.params = params,
	};
	const struct genie_ctx *ctx = payload->ctx ? payload->ctx : genie_ctx_current();
	struct genie_host_block block;

	args.data = node_data(payload, node, &block, &args.size);
	return genie_call_ctx(GENIE_OP_genieGraphExecSet, &args, ctx, NULL);
}

CUresult
genie_node_exec_set_locked(struct genie_exec *exec, struct genie_node *node,
			   const struct genie_payload *payload)
{
	bool first = needs_half(payload, GENIE_HOST_FIRST);
	bool last = needs_half(payload, GENIE_HOST_LAST);
	CUgraphNodeParams before, params;
	CUresult status = CUDA_SUCCESS;

	if (payload->params.type != node->payload.params.type || node->opaque)
		return CUDA_ERROR_INVALID_VALUE;
	genie_payload_wire(&node->payload, &before);
	genie_payload_wire(payload, &params);
	/* the kinds of memory cannot change */
	if (before.type != params.type || (first && !node->before) || (last && !node->after))
		return CUDA_ERROR_INVALID_VALUE;
	if (node->before) {
		const CUgraphNodeParams half = half_params(first ? payload->host_id : 0);

		status = exec_set_send(exec, node->before, payload, &half);
	}
	if (node->after && status == CUDA_SUCCESS) {
		const CUgraphNodeParams half = half_params(last ? payload->host_id : 0);

		status = exec_set_send(exec, node->after, payload, &half);
	}
	return status == CUDA_SUCCESS ? exec_set_send(exec, node, payload, &params) : status;
}
