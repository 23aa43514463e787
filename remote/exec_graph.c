/*
 * Graphs: nodes as the client names them. A node's parameters come as CUDA's own struct with
 * tokens in the place of handles, and what it points to beside it.
 *
 * What could not be made marks its graph, so that instantiating it says so: nobody waits for the
 * answer of the call that failed.
 */
#include <stdlib.h>
#include <string.h>

#include "remote/exec.h"

static struct genie_object *
find(struct genie_session *session, enum genie_kind kind, const void *token)
{
	return genie_object_find(&session->objects, kind, (uint64_t)(uintptr_t)token);
}

/* Makes a token a handle, in place. NULL stays. */
static CUresult
resolve(struct genie_session *session, enum genie_kind kind, void *token)
{
	void **handle = token;

	if (!*handle)
		return CUDA_SUCCESS;
	return (CUresult)genie_session_resolve(session, kind, (uint64_t)(uintptr_t)*handle, handle);
}

/* A node of a graph, or a graph in a node, gets its name. */
static CUresult
bind_node(struct genie_session *session, const void *token, CUgraphNode node, const void *graph)
{
	return genie_graph_name_bind(session, GENIE_KIND_GRAPHNODE, (uint64_t)(uintptr_t)token,
				     node, GENIE_KIND_GRAPH, (uint64_t)(uintptr_t)graph);
}

static CUresult
bind_inner(struct genie_session *session, const void *token, CUgraph graph, const void *node)
{
	return genie_graph_name_bind(session, GENIE_KIND_GRAPH, (uint64_t)(uintptr_t)token, graph,
				     GENIE_KIND_GRAPHNODE, (uint64_t)(uintptr_t)node);
}

/* Tokens of nodes become handles, in the memory of this command. */
static CUresult
nodes_find(struct genie_session *session, const CUgraphNode *nodes, size_t count)
{
	CUgraphNode *handles = (CUgraphNode *)nodes;
	CUresult status = CUDA_SUCCESS;

	if (count && !nodes)
		return CUDA_ERROR_INVALID_VALUE;
	for (size_t i = 0; i < count && status == CUDA_SUCCESS; i++)
		status = handles[i] ? resolve(session, GENIE_KIND_GRAPHNODE, &handles[i])
				    : CUDA_ERROR_INVALID_HANDLE;
	return status;
}

/* Something of the graph failed: it is not what the program made. */
static CUresult
graph_spoil(struct genie_session *session, CUgraph token, CUresult status)
{
	struct genie_object *graph = find(session, GENIE_KIND_GRAPH, token);

	if (status != CUDA_SUCCESS && graph && graph->status == CUDA_SUCCESS)
		graph->status = (int32_t)status;
	return status;
}

/* ---- conditions: their handles are the device's own, as kernels are passed them ---- */

struct genie_condition {
	CUgraphConditionalHandle handle;
	CUgraph graph; /* token of the graph it is for */
};

static bool
condition_known(const struct genie_session *session, CUgraphConditionalHandle handle)
{
	/* most are used when they have just been made */
	for (size_t i = session->condition_count; i-- > 0;)
		if (session->conditions[i].handle == handle)
			return genie_object_find(&session->objects, GENIE_KIND_GRAPH,
						 (uintptr_t)session->conditions[i].graph) != NULL;
	return false;
}

/* Room for one more; those whose graphs are gone make it first. */
static bool
condition_room(struct genie_session *session)
{
	size_t kept = 0, wanted;
	struct genie_condition *bigger;

	if (session->condition_count < session->condition_room)
		return true;
	for (size_t i = 0; i < session->condition_count; i++)
		if (find(session, GENIE_KIND_GRAPH, session->conditions[i].graph))
			session->conditions[kept++] = session->conditions[i];
	session->condition_count = kept;
	wanted = kept * 2 + 16;
	bigger = realloc(session->conditions, wanted * sizeof(*bigger));
	if (!bigger)
		return false;
	session->conditions = bigger;
	session->condition_room = wanted;
	return true;
}

CUresult
genie_exec_cuGraphConditionalHandleCreate(struct genie_session *session,
					  struct genie_args_cuGraphConditionalHandleCreate *args)
{
	CUgraph graph = args->hGraph;
	CUcontext ctx = args->ctx;
	CUresult status = resolve(session, GENIE_KIND_GRAPH, &graph);

	if (status == CUDA_SUCCESS)
		status = resolve(session, GENIE_KIND_CTX, &ctx);
	if (status == CUDA_SUCCESS && !condition_room(session))
		status = CUDA_ERROR_OUT_OF_MEMORY;
	if (status == CUDA_SUCCESS)
		status = session->drv->cuGraphConditionalHandleCreate(
			args->pHandle_out, graph, ctx, args->defaultLaunchValue, args->flags);
	if (status == CUDA_SUCCESS)
		session->conditions[session->condition_count++] =
			(struct genie_condition){*args->pHandle_out, args->hGraph};
	return status;
}

/* ---- parameters ---- */

/* What a node needs besides its struct, as long as the call takes. */
struct node_args {
	CUgraphNodeParams params;
	size_t size;
	void *extra[5];
	void **pointers; /* to each parameter of a kernel; free with node_args_fini() */
};

static void
node_args_fini(struct node_args *node)
{
	free(node->pointers);
	node->pointers = NULL;
}

static CUresult
copy_args(struct genie_session *session, CUDA_MEMCPY_NODE_PARAMS *params)
{
	CUresult status = genie_copy3d_resolve(session, &params->copyParams);

	return status == CUDA_SUCCESS ? resolve(session, GENIE_KIND_CTX, &params->copyCtx) : status;
}

static CUresult
set_args(struct genie_session *session, CUDA_MEMSET_NODE_PARAMS_v2 *params)
{
	CUresult status = genie_set_check(session, params);

	return status == CUDA_SUCCESS ? resolve(session, GENIE_KIND_CTX, &params->ctx) : status;
}

/*
 * A pointer to each parameter in @data. The driver takes parameters as one buffer too, but then
 * refuses to make the node a cooperative launch (580, H200). CUDA_ERROR_NOT_SUPPORTED: a driver
 * that cannot say where parameters lie.
 */
static CUresult
kernel_pointers(struct genie_session *session, struct node_args *node, const void *data,
		size_t size)
{
	const CUfunction function = node->params.kernel.func;
	size_t count = 0, room = 0, offset, bytes;
	CUresult status;

	while ((status = session->drv->cuFuncGetParamInfo(function, count, &offset, &bytes)) ==
	       CUDA_SUCCESS) {
		if (offset > size || bytes > size - offset)
			return CUDA_ERROR_INVALID_VALUE;
		if (count == room) {
			void **bigger;

			room = room ? room * 2 : 16;
			bigger = realloc(node->pointers, room * sizeof(*bigger));
			if (!bigger)
				return CUDA_ERROR_OUT_OF_MEMORY;
			node->pointers = bigger;
		}
		node->pointers[count++] = (char *)data + offset;
	}
	return status == CUDA_ERROR_NOT_SUPPORTED ? status : CUDA_SUCCESS;
}

static CUresult
kernel_args(struct genie_session *session, struct node_args *node, const void *data, size_t size)
{
	CUDA_KERNEL_NODE_PARAMS_v3 *params = &node->params.kernel;
	void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, (void *)data, CU_LAUNCH_PARAM_BUFFER_SIZE,
			 &node->size, CU_LAUNCH_PARAM_END};
	CUresult status;

	params->kernelParams = NULL;
	params->extra = NULL;
	params->kern = NULL;
	params->ctx = NULL; /* a function has its own */
	status = genie_function_find(session, params->func, &params->func);
	if (status != CUDA_SUCCESS || !size)
		return status;
	status = kernel_pointers(session, node, data, size);
	params->kernelParams = node->pointers;
	if (status != CUDA_ERROR_NOT_SUPPORTED)
		return status;
	node->size = size;
	memcpy(node->extra, extra, sizeof(extra));
	params->extra = node->extra;
	return CUDA_SUCCESS;
}

static CUresult
values_args(struct genie_session *session, CUDA_BATCH_MEM_OP_NODE_PARAMS_v2 *params,
	    const void *data, size_t size)
{
	CUresult status = CUDA_SUCCESS;

	if (!data || size != params->count * sizeof(*params->paramArray))
		return CUDA_ERROR_INVALID_VALUE;
	/* in memory of this command alone */
	params->paramArray = (CUstreamBatchMemOpParams *)data;
	for (unsigned int i = 0; i < params->count && status == CUDA_SUCCESS; i++)
		status = genie_memop_check(session, &params->paramArray[i]);
	if (status != CUDA_SUCCESS)
		return status;
	return resolve(session, GENIE_KIND_CTX, &params->ctx);
}

/* A graph goes on using an event after its token has gone, so it is never given to another. */
static CUresult
event_args(struct genie_session *session, CUevent *event)
{
	struct genie_object *object = find(session, GENIE_KIND_EVENT, *event);
	struct genie_event *state;

	if (!object || !object->state)
		return CUDA_ERROR_INVALID_HANDLE;
	state = object->state;
	state->fixed = true;
	*event = state->handle;
	return CUDA_SUCCESS;
}

/* The client's params as the driver wants them. */
static CUresult
node_args(struct genie_session *session, struct node_args *node, const CUgraphNodeParams *params,
	  const void *data, size_t size)
{
	*node = (struct node_args){.params = *params};
	if (size && !data)
		return CUDA_ERROR_INVALID_VALUE;
	switch ((int)params->type) {
	case CU_GRAPH_NODE_TYPE_EMPTY:
		node->params = (CUgraphNodeParams){.type = params->type};
		return CUDA_SUCCESS;
	case CU_GRAPH_NODE_TYPE_KERNEL:
		return kernel_args(session, node, data, size);
	case CU_GRAPH_NODE_TYPE_MEMCPY:
		return copy_args(session, &node->params.memcpy);
	case CU_GRAPH_NODE_TYPE_MEMSET:
		return set_args(session, &node->params.memset);
	case CU_GRAPH_NODE_TYPE_HOST:
		return genie_graph_host_params(session, (uint64_t)(uintptr_t)params->host.userData,
					       &node->params.host, data, size);
	case CU_GRAPH_NODE_TYPE_GRAPH:
		return params->graph.graph
			       ? resolve(session, GENIE_KIND_GRAPH, &node->params.graph.graph)
			       : CUDA_ERROR_INVALID_HANDLE;
	case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
		return event_args(session, &node->params.eventWait.event);
	case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
		return event_args(session, &node->params.eventRecord.event);
	case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
		return values_args(session, &node->params.memOp, data, size);
	case CU_GRAPH_NODE_TYPE_CONDITIONAL:
		if (!condition_known(session, params->conditional.handle))
			return CUDA_ERROR_INVALID_VALUE;
		node->params.conditional.phGraph_out = NULL;
		return resolve(session, GENIE_KIND_CTX, &node->params.conditional.ctx);
	default:
		return CUDA_ERROR_NOT_SUPPORTED;
	}
}

/* ---- nodes ---- */

static CUresult
attribute_set(struct genie_session *session, CUgraphNode node, const CUlaunchAttribute *attr)
{
	CUlaunchAttribute checked = *attr;
	CUresult status = genie_launch_attrs(session, &checked, 1);

	return status == CUDA_SUCCESS ? session->drv->cuGraphKernelNodeSetAttribute(
						node, checked.id, &checked.value)
				      : status;
}

/* The graph itself goes into the node, not a copy of it. */
static bool
moves(const CUgraphNodeParams *params)
{
	return params->type == CU_GRAPH_NODE_TYPE_GRAPH &&
	       params->graph.ownership == CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE;
}

static CUresult
node_add(struct genie_session *session, const struct genie_args_genieGraphNode *args)
{
	struct node_args node = {0};
	CUgraphNode handle = NULL;
	CUgraph graph = args->graph;
	CUresult status;

	if (!args->params || (args->attr_count && !args->attrs) ||
	    args->params->type == CU_GRAPH_NODE_TYPE_CONDITIONAL)
		return CUDA_ERROR_INVALID_VALUE;
	status = resolve(session, GENIE_KIND_GRAPH, &graph);
	if (status == CUDA_SUCCESS && moves(args->params) &&
	    !genie_graph_name_may_move(session, (uint64_t)(uintptr_t)args->params->graph.graph,
				       (uint64_t)(uintptr_t)args->graph))
		status = CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS)
		status = nodes_find(session, args->dependencies, args->count);
	if (status == CUDA_SUCCESS)
		status = node_args(session, &node, args->params, args->data, args->size);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuGraphAddNode_v2(&handle, graph, args->dependencies,
							 args->edges, args->count, &node.params);
	if (status == CUDA_SUCCESS)
		status = bind_node(session, args->node, handle, args->graph);
	if (status == CUDA_SUCCESS && moves(args->params))
		genie_graph_name_move(session, (uint64_t)(uintptr_t)args->params->graph.graph,
				      (uint64_t)(uintptr_t)args->node);
	for (unsigned int i = 0; i < args->attr_count && status == CUDA_SUCCESS; i++)
		status = attribute_set(session, handle, &args->attrs[i]);
	node_args_fini(&node);
	return status;
}

CUresult
genie_exec_genieGraphNode(struct genie_session *session, struct genie_args_genieGraphNode *args)
{
	return graph_spoil(session, args->graph, node_add(session, args));
}

static CUresult
conditional_add(struct genie_session *session, const struct genie_args_genieGraphConditional *args)
{
	struct node_args node = {0};
	CUgraphNode handle = NULL;
	CUgraph graph = args->graph;
	CUresult status;

	if (!args->params || args->params->type != CU_GRAPH_NODE_TYPE_CONDITIONAL ||
	    args->params->conditional.size != args->body_count || !args->bodies)
		return CUDA_ERROR_INVALID_VALUE;
	status = resolve(session, GENIE_KIND_GRAPH, &graph);
	if (status == CUDA_SUCCESS)
		status = nodes_find(session, args->dependencies, args->count);
	if (status == CUDA_SUCCESS)
		status = node_args(session, &node, args->params, NULL, 0);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuGraphAddNode_v2(&handle, graph, args->dependencies,
							 args->edges, args->count, &node.params);
	if (status == CUDA_SUCCESS)
		status = bind_node(session, args->node, handle, args->graph);
	for (unsigned int i = 0; i < args->body_count && status == CUDA_SUCCESS; i++)
		status = node.params.conditional.phGraph_out
				 ? bind_inner(session, args->bodies[i],
					      node.params.conditional.phGraph_out[i], args->node)
				 : CUDA_ERROR_NOT_SUPPORTED;
	return status;
}

CUresult
genie_exec_genieGraphConditional(struct genie_session *session,
				 struct genie_args_genieGraphConditional *args)
{
	return graph_spoil(session, args->graph, conditional_add(session, args));
}

CUresult
genie_exec_genieGraphNodeSet(struct genie_session *session,
			     struct genie_args_genieGraphNodeSet *args)
{
	struct node_args node = {0};
	CUgraphNode handle = args->node;
	CUresult status;

	if (!args->params || args->params->type == CU_GRAPH_NODE_TYPE_GRAPH ||
	    args->params->type == CU_GRAPH_NODE_TYPE_CONDITIONAL)
		return CUDA_ERROR_INVALID_VALUE;
	status = resolve(session, GENIE_KIND_GRAPHNODE, &handle);
	if (status == CUDA_SUCCESS)
		status = node_args(session, &node, args->params, args->data, args->size);
	/* an empty node has nothing to set */
	if (status == CUDA_SUCCESS && node.params.type != CU_GRAPH_NODE_TYPE_EMPTY)
		status = session->drv->cuGraphNodeSetParams(handle, &node.params);
	node_args_fini(&node);
	return status;
}

CUresult
genie_exec_genieGraphExecSet(struct genie_session *session,
			     struct genie_args_genieGraphExecSet *args)
{
	struct node_args node = {0};
	CUgraphNode handle = args->node;
	CUgraphExec exec = args->exec;
	CUresult status;

	if (!args->params || args->params->type == CU_GRAPH_NODE_TYPE_CONDITIONAL)
		return CUDA_ERROR_INVALID_VALUE;
	status = resolve(session, GENIE_KIND_GRAPHEXEC, &exec);
	if (status == CUDA_SUCCESS)
		status = resolve(session, GENIE_KIND_GRAPHNODE, &handle);
	if (status == CUDA_SUCCESS)
		status = node_args(session, &node, args->params, args->data, args->size);
	if (status == CUDA_SUCCESS && node.params.type != CU_GRAPH_NODE_TYPE_EMPTY)
		status = session->drv->cuGraphExecNodeSetParams(exec, handle, &node.params);
	node_args_fini(&node);
	return status;
}

CUresult
genie_exec_genieGraphNodeAttribute(struct genie_session *session,
				   struct genie_args_genieGraphNodeAttribute *args)
{
	CUgraphNode node = args->node;
	CUresult status;

	if (!args->attr)
		return CUDA_ERROR_INVALID_VALUE;
	status = resolve(session, GENIE_KIND_GRAPHNODE, &node);
	return status == CUDA_SUCCESS ? attribute_set(session, node, args->attr) : status;
}

CUresult
genie_exec_genieGraphEdges(struct genie_session *session, struct genie_args_genieGraphEdges *args)
{
	const struct genie_driver *drv = session->drv;
	CUgraph graph = args->graph;
	CUresult status = resolve(session, GENIE_KIND_GRAPH, &graph);

	if (status == CUDA_SUCCESS)
		status = nodes_find(session, args->from, args->count);
	if (status == CUDA_SUCCESS)
		status = nodes_find(session, args->to, args->count);
	if (status == CUDA_SUCCESS)
		status = args->add ? drv->cuGraphAddDependencies_v2(graph, args->from, args->to,
								    args->edges, args->count)
				   : drv->cuGraphRemoveDependencies_v2(graph, args->from, args->to,
								       args->edges, args->count);
	return graph_spoil(session, args->graph, status);
}

/* ---- the end ---- */

/* A command is being captured. A stream that ended meanwhile has taken its capture along. */
static bool
capture_ongoing(struct genie_session *session)
{
	const struct genie_object *object =
		find(session, GENIE_KIND_STREAM, session->capture_stream);

	return session->capturing && object && object->state &&
	       genie_stream_capturing(session, object->state);
}

CUresult
genie_exec_cuGraphDestroy(struct genie_session *session, struct genie_args_cuGraphDestroy *args)
{
	uint64_t token = (uint64_t)(uintptr_t)args->hGraph;
	CUgraph graph = args->hGraph;
	struct genie_object *object = find(session, GENIE_KIND_GRAPH, graph);
	CUresult status;

	/* one that was spoilt is there all the same; one in a node, or that a command is being
	 * captured into, is not the client's to destroy */
	if (!object)
		return CUDA_ERROR_INVALID_HANDLE;
	if (genie_graph_name_inside(session, token) ||
	    (session->capture_graph == graph && capture_ongoing(session)))
		return CUDA_ERROR_INVALID_VALUE;
	status = session->drv->cuGraphDestroy(object->handle);
	if (status == CUDA_SUCCESS)
		genie_graph_name_drop(session, GENIE_KIND_GRAPH, token);
	return status;
}

CUresult
genie_exec_cuGraphDestroyNode(struct genie_session *session,
			      struct genie_args_cuGraphDestroyNode *args)
{
	CUgraphNode node = args->hNode;
	CUresult status = resolve(session, GENIE_KIND_GRAPHNODE, &node);

	if (status == CUDA_SUCCESS && capture_ongoing(session))
		status = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	if (status == CUDA_SUCCESS)
		status = session->drv->cuGraphDestroyNode(node);
	if (status == CUDA_SUCCESS)
		genie_graph_name_drop_node(session, (uint64_t)(uintptr_t)args->hNode, node);
	return status;
}

void
genie_graph_fini(struct genie_session *session)
{
	genie_graph_names_fini(session);
	genie_graph_host_fini(session);
	free(session->conditions);
	session->conditions = NULL;
	session->condition_count = session->condition_room = 0;
}

/* ---- copies of graphs, and who is who in them ---- */

CUresult
genie_exec_genieGraphClone(struct genie_session *session, struct genie_args_genieGraphClone *args)
{
	CUgraph graph = args->graph, clone = NULL;
	CUresult status = resolve(session, GENIE_KIND_GRAPH, &graph);

	if (status == CUDA_SUCCESS)
		status = session->drv->cuGraphClone(&clone, graph);
	return status == CUDA_SUCCESS
		       ? (CUresult)genie_session_bind(session, GENIE_KIND_GRAPH,
						      (uint64_t)(uintptr_t)args->clone, clone)
		       : status;
}

CUresult
genie_exec_genieGraphChild(struct genie_session *session, struct genie_args_genieGraphChild *args)
{
	CUgraphNode node = args->node;
	CUgraph child = NULL;
	CUresult status = resolve(session, GENIE_KIND_GRAPHNODE, &node);

	/* a graph has one name */
	if (status == CUDA_SUCCESS &&
	    genie_graph_name_full(session, (uint64_t)(uintptr_t)args->node))
		status = CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS)
		status = session->drv->cuGraphChildGraphNodeGetGraph(node, &child);
	return status == CUDA_SUCCESS ? bind_inner(session, args->child, child, args->node)
				      : status;
}

/*
 * The clone of @from in @graph. The driver says so of clones; of a graph in a node it may not, and
 * the original may be gone: then it is the node in the same place, if it is of the same kind.
 */
static CUresult
clone_find(struct genie_session *session, CUgraph graph, const void *from, unsigned char type,
	   const CUgraphNode *all, size_t count, size_t place, CUgraphNode *ret_node)
{
	const struct genie_object *origin = find(session, GENIE_KIND_GRAPHNODE, from);
	CUgraphNodeType found = CU_GRAPH_NODE_TYPE_EMPTY;
	CUresult status;

	if (origin &&
	    session->drv->cuGraphNodeFindInClone(ret_node, origin->handle, graph) == CUDA_SUCCESS)
		return CUDA_SUCCESS;
	if (place >= count)
		return CUDA_ERROR_INVALID_VALUE;
	status = session->drv->cuGraphNodeGetType(all[place], &found);
	if (status == CUDA_SUCCESS && (unsigned char)found != type)
		status = CUDA_ERROR_INVALID_VALUE;
	*ret_node = all[place];
	return status;
}

CUresult
genie_exec_genieGraphNames(struct genie_session *session, struct genie_args_genieGraphNames *args)
{
	CUgraph graph = args->clone;
	CUgraphNode *all, node = NULL;
	size_t count = 0;
	CUresult status = resolve(session, GENIE_KIND_GRAPH, &graph);

	if (status == CUDA_SUCCESS && args->count && (!args->from || !args->names || !args->types))
		status = CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS)
		status = session->drv->cuGraphGetNodes(graph, NULL, &count);
	if (status != CUDA_SUCCESS)
		return status;
	genie_graph_name_doubles(session, (uint64_t)(uintptr_t)args->clone);
	all = calloc(count + 1, sizeof(*all));
	if (!all)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (count)
		status = session->drv->cuGraphGetNodes(graph, all, &count);
	for (size_t i = 0; i < args->count && status == CUDA_SUCCESS; i++) {
		status = clone_find(session, graph, args->from[i], args->types[i], all, count,
				    args->first + i, &node);
		if (status == CUDA_SUCCESS)
			status = bind_node(session, args->names[i], node, args->clone);
	}
	free(all);
	return graph_spoil(session, args->clone, status);
}

CUresult
genie_exec_genieGraphForget(struct genie_session *session, struct genie_args_genieGraphForget *args)
{
	/* some may never have come about */
	for (size_t i = 0; args->nodes && i < args->node_count; i++)
		genie_graph_name_drop(session, GENIE_KIND_GRAPHNODE,
				      (uint64_t)(uintptr_t)args->nodes[i]);
	for (size_t i = 0; args->graphs && i < args->graph_count; i++)
		genie_graph_name_drop(session, GENIE_KIND_GRAPH,
				      (uint64_t)(uintptr_t)args->graphs[i]);
	return CUDA_SUCCESS;
}

/* ---- executable graphs ---- */

struct naming {
	const void *handle;
	uint64_t token;
};

static void
compare_handle(struct genie_object *object, void *data)
{
	struct naming *naming = data;

	if (object->handle == naming->handle)
		naming->token = object->token;
}

/* The client's name for a node; 0: it has none. For failures only: looks through all. */
static CUgraphNode
node_name(struct genie_session *session, CUgraphNode handle)
{
	struct naming naming = {.handle = handle};

	if (handle)
		genie_object_each(&session->objects, GENIE_KIND_GRAPHNODE, compare_handle, &naming);
	return (CUgraphNode)(uintptr_t)naming.token;
}

CUresult
genie_exec_genieGraphInstantiate(struct genie_session *session,
				 struct genie_args_genieGraphInstantiate *args)
{
	CUDA_GRAPH_INSTANTIATE_PARAMS params = {.flags = args->flags};
	struct genie_stream *stream = NULL;
	CUgraph graph = args->graph;
	CUgraphExec exec = NULL;
	CUresult status = resolve(session, GENIE_KIND_GRAPH, &graph);

	*args->error_node = NULL;
	*args->result = CUDA_GRAPH_INSTANTIATE_ERROR;
	*args->launch_handle = 0;
	if (args->flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) {
		stream = genie_stream_use(session, (uint64_t)(uintptr_t)args->stream);
		if (!stream)
			status = CUDA_ERROR_INVALID_HANDLE;
		else
			params.hUploadStream = stream->handle;
	}
	if (status != CUDA_SUCCESS)
		return status;
	status = session->drv->cuGraphInstantiateWithParams(&exec, graph, &params);
	*args->result = (int)params.result_out;
	if (status != CUDA_SUCCESS) {
		*args->error_node = node_name(session, params.hErrNode_out);
		return status;
	}
	*args->result = CUDA_GRAPH_INSTANTIATE_SUCCESS;
	if (args->flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH)
		*args->launch_handle = (uint64_t)(uintptr_t)exec;
	return (CUresult)genie_session_bind(session, GENIE_KIND_GRAPHEXEC,
					    (uint64_t)(uintptr_t)args->exec, exec);
}

CUresult
genie_exec_genieGraphUpdate(struct genie_session *session, struct genie_args_genieGraphUpdate *args)
{
	CUgraphExecUpdateResultInfo info = {.result = CU_GRAPH_EXEC_UPDATE_ERROR};
	CUgraphExec exec = args->exec;
	CUgraph graph = args->graph;
	CUresult status = resolve(session, GENIE_KIND_GRAPHEXEC, &exec);

	*args->error_node = *args->error_from = NULL;
	*args->result = CU_GRAPH_EXEC_UPDATE_ERROR;
	if (status == CUDA_SUCCESS)
		status = resolve(session, GENIE_KIND_GRAPH, &graph);
	if (status != CUDA_SUCCESS)
		return status;
	status = session->drv->cuGraphExecUpdate_v2(exec, graph, &info);
	*args->result = (int)info.result;
	if (status == CUDA_SUCCESS)
		return status;
	*args->error_node = node_name(session, info.errorNode);
	*args->error_from = node_name(session, info.errorFromNode);
	return status;
}

/* ---- one command that the device captures ---- */

CUresult
genie_exec_genieGraphCapture(struct genie_session *session,
			     struct genie_args_genieGraphCapture *args)
{
	struct genie_stream *stream = genie_stream_use(session, (uint64_t)(uintptr_t)args->stream);
	CUgraph graph = args->graph;
	CUresult status =
		stream ? resolve(session, GENIE_KIND_GRAPH, &graph) : CUDA_ERROR_INVALID_HANDLE;

	/* the client does this one at a time */
	if (status == CUDA_SUCCESS && capture_ongoing(session))
		status = CUDA_ERROR_ILLEGAL_STATE;
	if (status == CUDA_SUCCESS)
		status = nodes_find(session, args->dependencies, args->count);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuStreamBeginCaptureToGraph(
			stream->handle, graph, args->dependencies, args->edges, args->count,
			CU_STREAM_CAPTURE_MODE_RELAXED);
	if (status == CUDA_SUCCESS) {
		session->capturing = true;
		session->capture_stream = args->stream;
		session->capture_graph = args->graph;
		session->capture_after = args->count ? args->dependencies[0] : NULL;
	}
	return graph_spoil(session, args->graph, status);
}

CUresult
genie_exec_genieGraphCaptured(struct genie_session *session,
			      struct genie_args_genieGraphCaptured *args)
{
	struct genie_object *object = find(session, GENIE_KIND_STREAM, args->stream);
	CUstreamCaptureStatus capture = CU_STREAM_CAPTURE_STATUS_NONE;
	const CUgraphNode *nodes = NULL;
	struct genie_stream *stream;
	CUgraphNode node = NULL;
	CUgraph graph = NULL;
	size_t count = 0;
	CUresult status;

	if (!object || !object->state)
		return CUDA_ERROR_INVALID_HANDLE;
	stream = object->state;
	if (args->stream != session->capture_stream || !genie_stream_capturing(session, stream))
		return CUDA_ERROR_ILLEGAL_STATE; /* it did not begin: told already */
	genie_graph_name_doubles(session, (uint64_t)(uintptr_t)session->capture_graph);
	status = session->drv->cuStreamGetCaptureInfo_v2(stream->handle, &capture, NULL, &graph,
							 &nodes, &count);
	/* still what it was captured behind: the command failed */
	if (status == CUDA_SUCCESS && capture == CU_STREAM_CAPTURE_STATUS_ACTIVE && count == 1 &&
	    nodes[0] != session->capture_after)
		node = nodes[0];
	graph = NULL;
	if (session->drv->cuStreamEndCapture(stream->handle, &graph) != CUDA_SUCCESS &&
	    status == CUDA_SUCCESS)
		status = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
	session->capturing = false;
	if (status == CUDA_SUCCESS && !node)
		status = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
	if (status == CUDA_SUCCESS)
		status = bind_node(session, args->node, node, session->capture_graph);
	return graph_spoil(session, session->capture_graph, status);
}
