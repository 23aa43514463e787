/*
 * Executable graphs. The worker has them; here is what they need of this process: host functions,
 * our part of copies, events that they record, memory that they allocate, user objects. All of it
 * stays until nothing can run any more.
 */
#include <stdlib.h>
#include <string.h>

#include "interpose/capture.h"
#include "interpose/ctx.h"
#include "interpose/graph.h"
#include "interpose/hostfunc.h"
#include "interpose/mirror.h"

/*
 * Graphs that kernels launch: a program passes the handle on to them, so it has the device's own
 * for its name instead of a token. Guards the list.
 */
static pthread_mutex_t launchables_lock = PTHREAD_MUTEX_INITIALIZER;
static struct genie_exec *_Atomic launchables;

static struct genie_exec *
launchable_get(uint64_t handle)
{
	struct genie_exec *exec;

	/* relaxed: who was given such a handle knows that the list is not empty */
	if (!atomic_load_explicit(&launchables, memory_order_relaxed))
		return NULL;
	pthread_mutex_lock(&launchables_lock);
	exec = atomic_load_explicit(&launchables, memory_order_relaxed);
	while (exec && exec->launch_handle != handle)
		exec = exec->next_launchable;
	pthread_mutex_unlock(&launchables_lock);
	return exec;
}

static void
launchable_add(struct genie_exec *exec, uint64_t handle)
{
	pthread_mutex_lock(&launchables_lock);
	exec->launch_handle = handle;
	exec->next_launchable = atomic_load_explicit(&launchables, memory_order_relaxed);
	atomic_store_explicit(&launchables, exec, memory_order_relaxed);
	pthread_mutex_unlock(&launchables_lock);
}

static void
launchable_remove(const struct genie_exec *exec)
{
	struct genie_exec *at;

	pthread_mutex_lock(&launchables_lock);
	at = atomic_load_explicit(&launchables, memory_order_relaxed);
	if (at == exec)
		atomic_store_explicit(&launchables, exec->next_launchable, memory_order_relaxed);
	for (; at; at = at->next_launchable)
		if (at->next_launchable == exec)
			at->next_launchable = exec->next_launchable;
	pthread_mutex_unlock(&launchables_lock);
}

struct genie_exec *
genie_exec_get(CUgraphExec handle)
{
	uint64_t name = (uint64_t)(uintptr_t)handle;
	struct genie_exec *exec = genie_object_get(GENIE_KIND_GRAPHEXEC, name);

	return exec ? exec : launchable_get(name);
}

/* ---- what it holds ---- */

static CUresult
hold_add(struct genie_exec *exec, const struct genie_hold *hold)
{
	size_t wanted = exec->hold_capacity ? exec->hold_capacity * 2 : 8;
	struct genie_hold *bigger;

	if (exec->hold_count == exec->hold_capacity) {
		bigger = realloc(exec->holds, wanted * sizeof(*bigger));
		if (!bigger)
			return CUDA_ERROR_OUT_OF_MEMORY;
		exec->holds = bigger;
		exec->hold_capacity = wanted;
	}
	switch (hold->kind) {
	case GENIE_HOLD_EVENT:
		break;
	case GENIE_HOLD_HOST:
		genie_hostfunc_ref(hold->value);
		break;
	case GENIE_HOLD_COPY:
		genie_host_copy_ref(hold->copy);
		break;
	case GENIE_HOLD_ALLOC:
		genie_graph_alloc_ref_locked(hold->alloc);
		genie_graph_alloc_map_locked(hold->alloc, true);
		break;
	case GENIE_HOLD_FREE:
		genie_graph_alloc_ref_locked(hold->alloc);
		break;
	}
	exec->holds[exec->hold_count++] = *hold;
	return CUDA_SUCCESS;
}

static void
holds_drop(struct genie_hold *holds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		switch (holds[i].kind) {
		case GENIE_HOLD_EVENT:
			break;
		case GENIE_HOLD_HOST:
			genie_hostfunc_drop(holds[i].value);
			break;
		case GENIE_HOLD_COPY:
			genie_host_copy_unref(holds[i].copy);
			break;
		case GENIE_HOLD_ALLOC:
			genie_graph_alloc_map_locked(holds[i].alloc, false);
			genie_graph_alloc_unref_locked(holds[i].alloc);
			break;
		case GENIE_HOLD_FREE:
			genie_graph_alloc_unref_locked(holds[i].alloc);
			break;
		}
	free(holds);
}

CUresult
genie_exec_hold_locked(struct genie_exec *exec, uint64_t node, const struct genie_payload *payload)
{
	struct genie_hold hold = {.node = node};

	if (payload->params.type == CU_GRAPH_NODE_TYPE_EVENT_RECORD) {
		hold.kind = GENIE_HOLD_EVENT;
		hold.value = (uint64_t)(uintptr_t)payload->params.eventRecord.event;
	} else if (payload->copy) {
		hold.kind = GENIE_HOLD_COPY;
		hold.copy = payload->copy;
	} else if (payload->host_id) {
		hold.kind = GENIE_HOLD_HOST;
		hold.value = payload->host_id;
	} else if (payload->alloc) {
		hold.kind = payload->params.type == CU_GRAPH_NODE_TYPE_MEM_ALLOC ? GENIE_HOLD_ALLOC
										 : GENIE_HOLD_FREE;
		hold.alloc = payload->alloc;
	} else {
		return CUDA_SUCCESS;
	}
	return hold_add(exec, &hold);
}

CUresult
genie_exec_hold_graph_locked(struct genie_exec *exec, const struct genie_graph *graph)
{
	CUresult status = CUDA_SUCCESS;

	for (size_t i = 0; i < graph->count && status == CUDA_SUCCESS; i++) {
		const struct genie_node *node = graph->nodes[i];
		const struct genie_payload *payload = &node->payload;

		status = genie_exec_hold_locked(exec, node->object.token, payload);
		if (status == CUDA_SUCCESS && payload->child)
			status = genie_exec_hold_graph_locked(exec, payload->child);
		for (unsigned int k = 0; status == CUDA_SUCCESS && payload->bodies &&
					 k < payload->params.conditional.size;
		     k++)
			status = genie_exec_hold_graph_locked(exec, payload->bodies[k]);
	}
	return status;
}

/* ---- what is not needed any more is given back when nothing of it runs ---- */

/* So many are waited for at once: one host function for all of them. */
#define RETIRED_MAX 32

struct genie_garbage {
	struct genie_garbage *next;
	struct genie_hold *holds;
	size_t hold_count;
	struct genie_user_ref *users;
	size_t user_count;
	uint64_t stream; /* token: behind what is in it */
	struct genie_ctx *ctx;
};

/* Guards the list. Taken by the thread that runs host functions, so nothing else is done with it.
 */
static pthread_mutex_t garbage_lock = PTHREAD_MUTEX_INITIALIZER;
static struct genie_garbage *garbage;

/* On that thread, which may not call the worker: only user objects, whose destructors the program
 * waits for, are seen to at once. */
static void
garbage_ready(void *data)
{
	struct genie_garbage *item = data;

	genie_user_refs_drop(item->users, item->user_count);
	item->users = NULL;
	item->user_count = 0;
	pthread_mutex_lock(&garbage_lock);
	item->next = garbage;
	garbage = item;
	pthread_mutex_unlock(&garbage_lock);
	genie_user_objects_destroy();
}

static void
garbage_collect_locked(void)
{
	struct genie_garbage *list, *item;

	pthread_mutex_lock(&garbage_lock);
	list = garbage;
	garbage = NULL;
	pthread_mutex_unlock(&garbage_lock);
	while ((item = list)) {
		list = item->next;
		holds_drop(item->holds, item->hold_count);
		free(item);
	}
}

void
genie_garbage_submit(struct genie_garbage *item)
{
	struct genie_stream *stream;

	if (!item)
		return;
	stream = genie_token_index(item->stream) == 0
			 ? item->ctx->legacy
			 : genie_object_get(GENIE_KIND_STREAM, item->stream);
	if (genie_hostfunc_after(stream, item->ctx, garbage_ready, item) != CUDA_SUCCESS)
		garbage_ready(item); /* the connection or the context is gone: nothing runs */
}

/* What @exec is to give back, filled by the caller. NULL: no memory, it is lost. */
static struct genie_garbage *
garbage_new(const struct genie_exec *exec)
{
	struct genie_garbage *item = calloc(1, sizeof(*item));

	if (item) {
		item->stream = exec->stream;
		item->ctx = exec->ctx;
	}
	return item;
}

struct genie_garbage *
genie_exec_retire_locked(struct genie_exec *exec, uint64_t node)
{
	struct genie_garbage *item;
	size_t old = 0, kept = 0;

	garbage_collect_locked();
	for (size_t i = 0; i < exec->hold_count; i++) {
		struct genie_hold *hold = &exec->holds[i];

		if (!node || hold->node == node)
			hold->old = true;
		if (hold->old && hold->kind == GENIE_HOLD_EVENT)
			continue; /* the worker has what it needs of it */
		old += hold->old;
		exec->holds[kept++] = *hold;
	}
	exec->hold_count = kept;
	if (old < RETIRED_MAX)
		return NULL;
	item = garbage_new(exec);
	if (!item)
		return NULL;
	item->holds = calloc(old, sizeof(*item->holds));
	if (!item->holds) {
		free(item);
		return NULL;
	}
	kept = 0;
	for (size_t i = 0; i < exec->hold_count; i++)
		if (exec->holds[i].old)
			item->holds[item->hold_count++] = exec->holds[i];
		else
			exec->holds[kept++] = exec->holds[i];
	exec->hold_count = kept;
	if (item->stream)
		return item;
	/* it never ran */
	holds_drop(item->holds, item->hold_count);
	free(item);
	return NULL;
}

/* Frees @exec; what it held is for genie_garbage_submit(). */
static struct genie_garbage *
exec_free_locked(struct genie_exec *exec)
{
	struct genie_garbage *item = NULL;
	bool holds = exec->hold_count || exec->user_count;

	if (exec->stream && holds) {
		item = garbage_new(exec);
		if (item) {
			item->holds = exec->holds;
			item->hold_count = exec->hold_count;
			item->users = exec->users;
			item->user_count = exec->user_count;
		}
	} else {
		holds_drop(exec->holds, exec->hold_count);
		genie_user_refs_drop(exec->users, exec->user_count);
	}
	if (exec->graph)
		exec->graph->execs--;
	if (exec->launch_handle)
		launchable_remove(exec);
	free(exec->disabled);
	genie_object_free(exec);
	return item;
}

CUresult
genie_cuGraphExecDestroy(CUgraphExec hGraphExec)
{
	struct genie_args_cuGraphExecDestroy args = {0};
	CUresult status = CUDA_ERROR_INVALID_VALUE;
	struct genie_garbage *item = NULL;
	struct genie_exec *exec;

	genie_graph_take();
	garbage_collect_locked();
	exec = genie_exec_get(hGraphExec);
	if (exec) {
		args.hGraphExec = genie_exec_handle(exec);
		status = genie_call_ctx(GENIE_OP_cuGraphExecDestroy, &args, genie_ctx_current(),
					NULL);
		item = exec_free_locked(exec);
	}
	genie_graph_unlock();
	genie_garbage_submit(item);
	return status;
}

/* ---- making one ---- */

#define FLAGS_KNOWN                                                                                \
	(CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD |    \
	 CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH |                                               \
	 CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY)

/* Those that are told. The documentation leaves out UPLOAD alone, driver 580 priorities as well. */
#define FLAGS_TOLD                                                                                 \
	(CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH |                                         \
	 CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH)

static CUresult
instantiate_check(const struct genie_graph *graph, unsigned long long flags)
{
	if (!graph || flags & ~(unsigned long long)FLAGS_KNOWN || graph->captures)
		return CUDA_ERROR_INVALID_VALUE;
	if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH &&
	    flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH)
		return CUDA_ERROR_INVALID_VALUE;
	if (graph->owner && graph->memory)
		return CUDA_ERROR_INVALID_VALUE;
	/* one at a time: its memory and its conditions are the graph's */
	if (graph->execs && (graph->memory || graph->conditional))
		return CUDA_ERROR_INVALID_VALUE;
	return CUDA_SUCCESS;
}

/* The answer of the worker, on its way out. */
struct instantiated {
	CUgraphNode error_node;
	int result;
	unsigned long long launch_handle;
};

static CUresult
instantiate(CUgraphExec *ret_exec, CUgraph handle, unsigned long long flags, CUstream stream_handle,
	    struct instantiated *ret)
{
	struct genie_args_genieGraphInstantiate args = {.graph = handle,
							.flags = flags,
							.error_node = &ret->error_node,
							.result = &ret->result,
							.launch_handle = &ret->launch_handle};
	struct genie_stream *stream = NULL;
	struct genie_exec *exec = NULL;
	struct genie_graph *graph;
	CUresult status;

	if (!ret_exec)
		return CUDA_ERROR_INVALID_VALUE;
	if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) {
		stream = genie_stream_get(stream_handle);
		if (!stream)
			return genie_stream_missing();
		args.stream = genie_stream_wire(stream);
	}
	genie_graph_take();
	garbage_collect_locked();
	graph = genie_graph_get(handle);
	status = instantiate_check(graph, flags);
	if (status == CUDA_SUCCESS) {
		exec = genie_object_new(GENIE_KIND_GRAPHEXEC, sizeof(*exec), NULL);
		status =
			exec ? genie_exec_hold_graph_locked(exec, graph) : CUDA_ERROR_OUT_OF_MEMORY;
	}
	if (status == CUDA_SUCCESS)
		status = genie_user_refs_copy(&exec->users, &exec->user_count, graph->users,
					      graph->user_count);
	if (status == CUDA_SUCCESS) {
		exec->flags = flags;
		exec->graph = graph;
		graph->execs++;
		args.exec = genie_exec_handle(exec);
	}
	genie_graph_unlock();
	/* Waits: this is where a program learns that its graph is not valid. */
	if (status == CUDA_SUCCESS)
		status = genie_call(GENIE_OP_genieGraphInstantiate, &args);
	if (status == CUDA_SUCCESS) {
		*ret_exec = args.exec;
		if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH && ret->launch_handle) {
			launchable_add(exec, ret->launch_handle);
			*ret_exec = (CUgraphExec)(uintptr_t)ret->launch_handle;
		}
		return status;
	}
	genie_graph_take();
	if (exec)
		(void)exec_free_locked(exec); /* it never ran */
	genie_graph_unlock();
	return status;
}

CUresult
genie_cuGraphInstantiateWithFlags(CUgraphExec *phGraphExec, CUgraph hGraph,
				  unsigned long long flags)
{
	struct instantiated result = {0};

	if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD)
		return CUDA_ERROR_INVALID_VALUE; /* there is no stream to do it in */
	return instantiate(phGraphExec, hGraph, flags, NULL, &result);
}

CUresult
genie_cuGraphInstantiate_v2(CUgraphExec *phGraphExec, CUgraph hGraph, CUgraphNode *phErrorNode,
			    char *logBuffer, size_t bufferSize)
{
	struct instantiated result = {0};
	CUresult status = instantiate(phGraphExec, hGraph, 0, NULL, &result);

	if (phErrorNode)
		*phErrorNode = status == CUDA_SUCCESS ? NULL : result.error_node;
	if (logBuffer && bufferSize)
		*logBuffer = '\0';
	return status;
}

CUresult
genie_cuGraphInstantiateWithParams(CUgraphExec *phGraphExec, CUgraph hGraph,
				   CUDA_GRAPH_INSTANTIATE_PARAMS *instantiateParams)
{
	CUDA_GRAPH_INSTANTIATE_PARAMS *params = instantiateParams;
	struct instantiated result = {0};
	CUresult status;

	if (!params)
		return CUDA_ERROR_INVALID_VALUE;
	status = instantiate(phGraphExec, hGraph, params->flags, params->hUploadStream, &result);
	params->hErrNode_out = status == CUDA_SUCCESS ? NULL : result.error_node;
	params->result_out = (CUgraphInstantiateResult)result.result;
	if (status != CUDA_SUCCESS && params->result_out == CUDA_GRAPH_INSTANTIATE_SUCCESS)
		params->result_out = CUDA_GRAPH_INSTANTIATE_ERROR;
	return status;
}

CUresult
genie_cuGraphExecGetFlags(CUgraphExec hGraphExec, cuuint64_t *flags)
{
	const struct genie_exec *exec;

	if (!flags)
		return CUDA_ERROR_INVALID_VALUE;
	genie_graph_take();
	exec = genie_exec_get(hGraphExec);
	if (exec)
		*flags = exec->flags & FLAGS_TOLD;
	genie_graph_unlock();
	return exec ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- running one ---- */

CUresult
genie_cuGraphUpload(CUgraphExec hGraphExec, CUstream hStream)
{
	struct genie_stream *stream = genie_stream_get(hStream);
	const struct genie_exec *exec = genie_exec_get(hGraphExec);
	struct genie_args_cuGraphUpload args = {0};
	uint64_t ticket = 0;
	CUresult status;

	if (!stream)
		return genie_stream_missing();
	if (!exec)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_capture_refuse(stream);
	if (status != CUDA_SUCCESS)
		return status;
	args.hGraph = genie_exec_handle(exec);
	args.hStream = genie_stream_wire(stream);
	status = genie_call_ctx(GENIE_OP_cuGraphUpload, &args, stream->object.ctx, &ticket);
	if (status != CUDA_SUCCESS)
		return status;
	genie_stream_submitted(stream, ticket);
	return genie_pending_error_before(ticket);
}

/* What this side does for a launch. *@ret_fence: it must come after all that was submitted. */
static CUresult
launch_prepare_locked(struct genie_exec *exec, struct genie_stream *stream, bool *ret_fence)
{
	CUresult status = genie_graph_alloc_launch_locked(exec);

	if (status != CUDA_SUCCESS)
		return status;
	for (size_t i = 0; i < exec->hold_count; i++) {
		struct genie_hold *hold = &exec->holds[i];
		struct genie_event *event;

		if (hold->old)
			continue;
		if (hold->kind == GENIE_HOLD_COPY && genie_host_copy_contended(hold->copy, exec))
			*ret_fence = true;
		if (hold->kind != GENIE_HOLD_EVENT)
			continue;
		event = genie_object_get(GENIE_KIND_EVENT, hold->value);
		if (!event)
			continue;
		/* From now on only the worker knows about it. */
		atomic_store_explicit(&event->capture_id, 0, memory_order_relaxed);
		atomic_store_explicit(&event->remote, true, memory_order_relaxed);
	}
	exec->stream = stream->object.token;
	exec->ctx = stream->object.ctx;
	return CUDA_SUCCESS;
}

CUresult
genie_cuGraphLaunch(CUgraphExec hGraphExec, CUstream hStream)
{
	struct genie_args_cuGraphLaunch args = {0};
	struct genie_stream *stream = genie_stream_get(hStream);
	struct genie_args_genieMemFence fence_args = {0};
	struct genie_exec *exec;
	bool fence = false;
	uint64_t ticket = 0;
	CUresult status;

	if (!stream)
		return genie_stream_missing();
	if (!genie_exec_get(hGraphExec))
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_capture_refuse(stream);
	if (status != CUDA_SUCCESS)
		return status;
	status = genie_mirror_push(stream); /* its kernels may read what the host wrote */
	if (status != CUDA_SUCCESS)
		return status;
	genie_graph_take();
	exec = genie_exec_get(hGraphExec);
	status = exec ? launch_prepare_locked(exec, stream, &fence) : CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS && fence)
		status = genie_call_ctx(GENIE_OP_genieMemFence, &fence_args, NULL, NULL);
	if (status == CUDA_SUCCESS) {
		args.hGraph = genie_exec_handle(exec);
		args.hStream = genie_stream_wire(stream);
		status = genie_call_ctx(GENIE_OP_cuGraphLaunch, &args, stream->object.ctx, &ticket);
	}
	genie_graph_unlock();
	if (status != CUDA_SUCCESS)
		return status;
	genie_stream_submitted(stream, ticket);
	return genie_pending_error_before(ticket);
}
