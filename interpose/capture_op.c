/* What is captured: calls that would have sent something become nodes. */
#include <stdlib.h>
#include <string.h>

#include "interpose/capture.h"
#include "interpose/ctx.h"

/* What the stream's next node comes after. */
static CUresult
deps_of(const struct genie_stream *stream, CUgraphNodeType type, bool programmatic,
	struct genie_dep **ret_deps, size_t *ret_count)
{
	const struct genie_capture_deps *from = &stream->capture_deps;
	struct genie_dep *deps = calloc(from->count + 1, sizeof(*deps));
	size_t count = 0;

	if (!deps)
		return CUDA_ERROR_OUT_OF_MEMORY;
	for (size_t i = 0; i < from->count; i++) {
		struct genie_dep dep = {.node = genie_node_get(from->nodes[i]),
					.data = from->data[i]};
		size_t k = 0;

		if (!dep.node) /* the program destroyed it meanwhile */
			continue;
		/* The programming guide's table of launch attributes and edges. */
		if (programmatic && genie_edge_plain(&dep.data) &&
		    dep.node->payload.params.type == CU_GRAPH_NODE_TYPE_KERNEL) {
			dep.data.from_port = CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC;
			dep.data.type = CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC;
		}
		/* What is no kernel can only wait for all of it. */
		if (!genie_edge_valid(dep.node, type, &dep.data))
			dep.data = (CUgraphEdgeData){0};
		while (k < count && deps[k].node != dep.node)
			k++;
		if (k < count && genie_edge_plain(&dep.data))
			deps[k].data = dep.data; /* the stronger of two */
		if (k == count)
			deps[count++] = dep;
	}
	*ret_deps = deps;
	*ret_count = count;
	return CUDA_SUCCESS;
}

/* The stream goes on behind @node. */
static CUresult
follow(struct genie_stream *stream, const struct genie_node *node)
{
	const CUgraphNode handle = genie_node_handle(node);

	return genie_capture_deps_set(&stream->capture_deps, &handle, NULL, 1, false);
}

static CUresult
active_locked(const struct genie_stream *stream)
{
	if (!stream->capturing)
		return CUDA_ERROR_ILLEGAL_STATE;
	return stream->capturing->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
}

/* Without a node that there was no memory for it is another graph: the capture is spoilt, as a
 * launch's own result is easily missed. */
static CUresult
missing_locked(struct genie_stream *stream, CUresult status)
{
	if (status == CUDA_ERROR_OUT_OF_MEMORY && stream->capturing)
		genie_capture_invalidate_locked(stream->capturing);
	return status;
}

/* Adds the node to the graph of the stream. Takes over @payload. */
static CUresult
add_locked(struct genie_stream *stream, struct genie_payload *payload, bool programmatic,
	   struct genie_node **ret_node)
{
	struct genie_dep *deps = NULL;
	CUresult status = active_locked(stream);
	size_t count = 0;

	if (status == CUDA_SUCCESS)
		status = deps_of(stream, payload->params.type, programmatic, &deps, &count);
	if (status != CUDA_SUCCESS) {
		genie_payload_fini(payload);
		return missing_locked(stream, status);
	}
	status = genie_graph_add_locked(stream->capturing->graph, deps, count, payload, ret_node);
	free(deps);
	if (status == CUDA_SUCCESS)
		status = follow(stream, *ret_node);
	return missing_locked(stream, status);
}

/* Adds a node with @payload, or passes on why there is none. */
static CUresult
add(struct genie_stream *stream, CUresult made, struct genie_payload *payload)
{
	struct genie_node *node;
	CUresult status;

	genie_graph_take();
	status = made == CUDA_SUCCESS ? add_locked(stream, payload, false, &node)
				      : missing_locked(stream, made);
	genie_graph_unlock();
	return status;
}

/* ---- kernels ---- */

/* An event that a launch itself records: who waits for it comes after part of the kernel. */
static CUresult
record_port(struct genie_stream *stream, const struct genie_node *node, CUevent handle,
	    unsigned char port)
{
	const CUgraphNode token = genie_node_handle(node);
	const CUgraphEdgeData data = {.from_port = port,
				      .type = CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC};
	struct genie_event *event = genie_event_get(handle);
	CUresult status;

	if (!event)
		return CUDA_ERROR_INVALID_HANDLE;
	status = genie_capture_deps_set(&event->capture_deps, &token, &data, 1, false);
	if (status == CUDA_SUCCESS)
		atomic_store_explicit(&event->capture_id, stream->capture_id, memory_order_relaxed);
	return status;
}

static CUresult
record_ports(struct genie_stream *stream, const struct genie_node *node,
	     const CUlaunchAttribute *attrs, unsigned int count)
{
	CUresult status = CUDA_SUCCESS;

	for (unsigned int i = 0; i < count && status == CUDA_SUCCESS; i++) {
		const CUlaunchAttributeValue *value = &attrs[i].value;

		if ((int)attrs[i].id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT)
			status = record_port(stream, node, value->programmaticEvent.event,
					     value->programmaticEvent.triggerAtBlockStart
						     ? CU_GRAPH_KERNEL_NODE_PORT_LAUNCH_ORDER
						     : CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC);
		else if ((int)attrs[i].id == CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT)
			status = record_port(stream, node, value->launchCompletionEvent.event,
					     CU_GRAPH_KERNEL_NODE_PORT_LAUNCH_ORDER);
	}
	return status;
}

/* What the stream lends to its kernels. */
static CUresult
stream_attrs(const struct genie_stream *stream, struct genie_payload *payload)
{
	CUlaunchAttribute attr = {.id = CU_LAUNCH_ATTRIBUTE_PRIORITY};
	CUresult status = CUDA_SUCCESS;

	if (stream->priority) {
		attr.value.priority = stream->priority;
		status = genie_payload_attr(payload, &attr);
	}
	if (status == CUDA_SUCCESS && stream->access_window.num_bytes) {
		attr = (CUlaunchAttribute){.id = CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW};
		attr.value.accessPolicyWindow = stream->access_window;
		status = genie_payload_attr(payload, &attr);
	}
	return status;
}

CUresult
genie_capture_kernel(struct genie_stream *stream, const CUDA_KERNEL_NODE_PARAMS *params,
		     const CUlaunchAttribute *attrs, unsigned int attr_count)
{
	struct genie_payload payload;
	struct genie_node *node;
	bool programmatic = false;
	CUresult made = genie_payload_kernel(&payload, params), status = made;

	if (status == CUDA_SUCCESS)
		status = stream_attrs(stream, &payload);
	for (unsigned int i = 0; i < attr_count && status == CUDA_SUCCESS; i++) {
		if ((int)attrs[i].id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION)
			programmatic = attrs[i].value.programmaticStreamSerializationAllowed != 0;
		else if (genie_node_attr_valid(attrs[i].id))
			status = genie_payload_attr(&payload, &attrs[i]);
	}
	genie_graph_take();
	if (status == CUDA_SUCCESS)
		status = add_locked(stream, &payload, programmatic, &node);
	else if (made == CUDA_SUCCESS)
		genie_payload_fini(&payload);
	if (status == CUDA_SUCCESS)
		status = record_ports(stream, node, attrs, attr_count);
	status = missing_locked(stream, status);
	genie_graph_unlock();
	return status;
}

/* ---- the others ---- */

CUresult
genie_capture_copy(struct genie_stream *stream, const CUDA_MEMCPY3D *params)
{
	struct genie_payload payload;
	CUresult made = genie_payload_copy(&payload, params, genie_ctx_handle(stream->object.ctx));

	return add(stream, made, &payload);
}

CUresult
genie_capture_set(struct genie_stream *stream, const CUDA_MEMSET_NODE_PARAMS *params)
{
	struct genie_payload payload;
	CUresult made = genie_payload_set(&payload, params, genie_ctx_handle(stream->object.ctx));

	return add(stream, made, &payload);
}

CUresult
genie_capture_host(struct genie_stream *stream, CUhostFn fn, void *data)
{
	const CUDA_HOST_NODE_PARAMS params = {.fn = fn, .userData = data};
	struct genie_payload payload;
	CUresult made = genie_payload_host(&payload, &params);

	return add(stream, made, &payload);
}

CUresult
genie_capture_event(struct genie_stream *stream, CUgraphNodeType type, CUevent event)
{
	struct genie_payload payload;
	CUresult made = genie_payload_event(&payload, type, event);

	return add(stream, made, &payload);
}

CUresult
genie_capture_values(struct genie_stream *stream, CUstreamBatchMemOpParams *list,
		     unsigned int count)
{
	const CUDA_BATCH_MEM_OP_NODE_PARAMS params = {
		.ctx = genie_ctx_handle(stream->object.ctx), .count = count, .paramArray = list};
	struct genie_payload payload;
	CUresult made = genie_payload_values(&payload, &params);

	return add(stream, made, &payload);
}

CUresult
genie_capture_alloc(struct genie_stream *stream, int device, size_t size, CUdeviceptr *ret_addr)
{
	CUDA_MEM_ALLOC_NODE_PARAMS params = {
		.poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
			      .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device}},
		.bytesize = size,
	};
	struct genie_ctx *ctx = genie_ctx_default();
	struct genie_payload payload;
	struct genie_node *node;
	CUresult status;

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	genie_graph_take();
	status = active_locked(stream);
	if (status == CUDA_SUCCESS)
		status = genie_graph_alloc_new_locked(stream->capturing->graph, ctx, &params,
						      &payload);
	if (status == CUDA_SUCCESS)
		status = add_locked(stream, &payload, false, &node);
	genie_graph_unlock();
	if (status == CUDA_SUCCESS)
		*ret_addr = params.dptr;
	return status;
}

CUresult
genie_capture_free(struct genie_stream *stream, CUdeviceptr addr)
{
	struct genie_payload payload;
	struct genie_node *node;
	CUresult status;

	genie_graph_take();
	status = active_locked(stream);
	if (status == CUDA_SUCCESS)
		status = genie_graph_alloc_free_locked(stream->capturing->graph, addr, &payload);
	if (status == CUDA_SUCCESS) {
		status = add_locked(stream, &payload, false, &node);
		if (status != CUDA_SUCCESS)
			genie_graph_alloc_unclaim_locked(stream->capturing->graph, addr);
	}
	genie_graph_unlock();
	return status;
}

/* ---- what the worker captures ---- */

/*
 * The device makes a node of one command by capturing that: the client says into which graph and
 * behind what, sends the command, and gives the node a name.
 */
static CUresult
capture_remotely_locked(struct genie_stream *stream, enum genie_op op, void *args,
			struct genie_payload *payload)
{
	struct genie_args_genieGraphCapture begin = {.stream = genie_stream_wire(stream)};
	struct genie_args_genieGraphCaptured end = {.stream = genie_stream_wire(stream)};
	struct genie_graph *graph = stream->capturing->graph;
	struct genie_ctx *ctx = stream->object.ctx;
	CUgraphNode *nodes = NULL;
	struct genie_dep *deps = NULL;
	struct genie_node *node;
	size_t count = 0;
	CUresult status = deps_of(stream, payload->params.type, false, &deps, &count);

	if (status == CUDA_SUCCESS) {
		nodes = calloc(count + 1, sizeof(*nodes));
		status = nodes ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
	}
	/* edges to it are plain: it stands for more than one kernel */
	for (size_t i = 0; i < count && status == CUDA_SUCCESS; i++) {
		deps[i].data = (CUgraphEdgeData){0};
		nodes[i] = genie_node_exit(deps[i].node);
	}
	if (status == CUDA_SUCCESS) {
		begin.graph = genie_graph_handle(graph);
		begin.dependencies = nodes;
		begin.count = count;
		status = genie_call_ctx(GENIE_OP_genieGraphCapture, &begin, ctx, NULL);
	}
	if (status == CUDA_SUCCESS)
		status = genie_call_ctx(op, args, ctx, NULL);
	node = status == CUDA_SUCCESS ? genie_node_new_locked(graph, deps, count, payload) : NULL;
	if (node) {
		node->opaque = true;
		end.node = genie_node_handle(node);
		status = genie_call_ctx(GENIE_OP_genieGraphCaptured, &end, ctx, NULL);
		if (status == CUDA_SUCCESS)
			status = follow(stream, node);
	} else {
		genie_payload_fini(payload);
		if (status == CUDA_SUCCESS)
			status = CUDA_ERROR_OUT_OF_MEMORY;
	}
	if (status != CUDA_SUCCESS)
		genie_capture_invalidate_locked(stream->capturing);
	free(nodes);
	free(deps);
	return status;
}

static CUresult
capture_native(struct genie_stream *stream, enum genie_op op, void *args)
{
	struct genie_payload payload = {.params.type = CU_GRAPH_NODE_TYPE_KERNEL};
	CUresult status;

	genie_graph_take();
	status = active_locked(stream);
	if (status == CUDA_SUCCESS)
		status = capture_remotely_locked(stream, op, args, &payload);
	genie_graph_unlock();
	return status;
}

CUresult
genie_native_submit(struct genie_stream *stream, enum genie_op op, void *args)
{
	bool captured = false;
	uint64_t ticket = 0;
	CUresult status = genie_capture_enter(stream, &captured);

	if (status != CUDA_SUCCESS || captured)
		return captured ? capture_native(stream, op, args) : status;
	status = genie_call_ticket(op, args, &ticket);
	if (status == CUDA_SUCCESS)
		genie_stream_submitted(stream, ticket);
	return status;
}
