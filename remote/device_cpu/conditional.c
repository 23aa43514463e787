/*
 * Conditional nodes: graphs in a graph that run as a condition says, which kernels set. Conditions
 * are bound to the machine that runs kernels as long as a graph or a node of one has them.
 */
#include <pthread.h>
#include <stdlib.h>

#include "remote/device_cpu/graph.h"

#define BODIES_MAX 1024

struct genie_cpu_condition {
	unsigned int refs; /* nodes, and the list */
	uint64_t handle;
	uint32_t value; /* at the beginning of a launch, if it is assigned */
	bool assigned;
	bool used; /* a node has had it: it goes with the last one */
	struct genie_cpu_condition *next;
};

/*
 * All that the program made. The graph that one was made for does not matter: a handle that no node
 * uses stays to the end, as the program cannot give it back.
 */
static struct genie_cpu_condition *conditions;
/* Guards the list and the counts: a graph that still runs ends on a thread of the device's. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* NULL: no such condition. */
static struct genie_cpu_condition *
condition_get(uint64_t handle)
{
	struct genie_cpu_condition *condition;

	pthread_mutex_lock(&lock);
	condition = conditions;
	while (condition && condition->handle != handle)
		condition = condition->next;
	if (condition)
		condition->refs++;
	pthread_mutex_unlock(&lock);
	return condition;
}

static void
condition_ref(struct genie_cpu_condition *condition)
{
	pthread_mutex_lock(&lock);
	condition->refs++;
	condition->used = true;
	pthread_mutex_unlock(&lock);
}

static void
condition_unref(struct genie_cpu_condition *condition)
{
	struct genie_cpu_condition **link = &conditions;
	bool last;

	pthread_mutex_lock(&lock);
	last = --condition->refs == 1 && condition->used;
	while (last && *link != condition)
		link = &(*link)->next;
	if (last)
		*link = condition->next;
	pthread_mutex_unlock(&lock);
	if (!last)
		return;
	ptx_condition_unbind(condition->handle);
	free(condition);
}

static CUresult
cpu_cuGraphConditionalHandleCreate(CUgraphConditionalHandle *ret_handle, CUgraph graph,
				   CUcontext ctx, unsigned int value, unsigned int flags)
{
	struct genie_cpu_condition *condition;

	(void)ctx;
	if (!ret_handle || !genie_cpu_graph_get(graph) ||
	    flags & ~(unsigned int)CU_GRAPH_COND_ASSIGN_DEFAULT)
		return CUDA_ERROR_INVALID_VALUE;
	condition = calloc(1, sizeof(*condition));
	if (!condition)
		return CUDA_ERROR_OUT_OF_MEMORY;
	condition->refs = 1;
	condition->handle = genie_cpu_new_id();
	condition->value = value;
	condition->assigned = flags & CU_GRAPH_COND_ASSIGN_DEFAULT;
	if (ptx_condition_bind(condition->handle)) {
		free(condition);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	pthread_mutex_lock(&lock);
	condition->next = conditions;
	conditions = condition;
	pthread_mutex_unlock(&lock);
	*ret_handle = condition->handle;
	return CUDA_SUCCESS;
}

static CUresult
bodies_new(struct genie_cpu_op *op)
{
	op->conditional.bodies = calloc(op->conditional.size, sizeof(*op->conditional.bodies));
	if (!op->conditional.bodies)
		return CUDA_ERROR_OUT_OF_MEMORY;
	for (unsigned int i = 0; i < op->conditional.size; i++) {
		op->conditional.bodies[i] = genie_cpu_graph_new();
		if (!op->conditional.bodies[i])
			return CUDA_ERROR_OUT_OF_MEMORY;
	}
	return CUDA_SUCCESS;
}

CUresult
genie_cpu_op_from_conditional(struct genie_cpu_op *ret_op,
			      const CUDA_CONDITIONAL_NODE_PARAMS *params)
{
	struct genie_cpu_op op = {.kind = GENIE_CPU_OP_CONDITIONAL};
	CUresult status;

	if (!params->size || params->size > BODIES_MAX ||
	    (unsigned int)params->type > CU_GRAPH_COND_TYPE_SWITCH)
		return CUDA_ERROR_INVALID_VALUE;
	op.conditional.type = params->type;
	op.conditional.size = params->size;
	op.conditional.condition = condition_get(params->handle);
	if (!op.conditional.condition)
		return CUDA_ERROR_INVALID_VALUE;
	status = bodies_new(&op);
	if (status != CUDA_SUCCESS) {
		genie_cpu_conditional_fini(&op);
		return status;
	}
	*ret_op = op;
	return CUDA_SUCCESS;
}

CUresult
genie_cpu_conditional_copy(struct genie_cpu_op *copy, const struct genie_cpu_op *op)
{
	CUresult status = CUDA_SUCCESS;

	condition_ref(copy->conditional.condition);
	copy->conditional.bodies = calloc(op->conditional.size, sizeof(*copy->conditional.bodies));
	if (!copy->conditional.bodies)
		status = CUDA_ERROR_OUT_OF_MEMORY;
	for (unsigned int i = 0; status == CUDA_SUCCESS && i < op->conditional.size; i++)
		status = genie_cpu_graph_clone(op->conditional.bodies[i],
					       &copy->conditional.bodies[i]);
	if (status != CUDA_SUCCESS)
		genie_cpu_conditional_fini(copy);
	return status;
}

void
genie_cpu_conditional_fini(struct genie_cpu_op *op)
{
	for (unsigned int i = 0; op->conditional.bodies && i < op->conditional.size; i++)
		genie_cpu_graph_unref(op->conditional.bodies[i]);
	free(op->conditional.bodies);
	condition_unref(op->conditional.condition);
}

CUresult
genie_cpu_conditional_run(const struct genie_cpu_op *op)
{
	uint64_t handle = op->conditional.condition->handle;
	struct genie_cpu_graph **bodies = op->conditional.bodies;
	uint32_t value = ptx_condition_get(handle);
	CUresult status = CUDA_SUCCESS;

	switch (op->conditional.type) {
	case CU_GRAPH_COND_TYPE_IF:
		if (value)
			return genie_cpu_graph_run(bodies[0], op->ctx);
		return op->conditional.size > 1 ? genie_cpu_graph_run(bodies[1], op->ctx)
						: CUDA_SUCCESS;
	case CU_GRAPH_COND_TYPE_WHILE:
		while (status == CUDA_SUCCESS && ptx_condition_get(handle))
			status = genie_cpu_graph_run(bodies[0], op->ctx);
		return status;
	case CU_GRAPH_COND_TYPE_SWITCH:
		return value < op->conditional.size ? genie_cpu_graph_run(bodies[value], op->ctx)
						    : CUDA_SUCCESS;
	}
	return CUDA_ERROR_INVALID_VALUE;
}

/* Conditions of the graph, and of graphs in it. */
static void
assign(const struct genie_cpu_graph *graph)
{
	for (size_t i = 0; i < graph->count; i++) {
		const struct genie_cpu_op *op = &graph->nodes[i]->op;

		if (op->kind != GENIE_CPU_OP_CONDITIONAL)
			continue;
		if (op->conditional.condition->assigned)
			(void)ptx_condition_set(op->conditional.condition->handle,
						op->conditional.condition->value);
		for (unsigned int k = 0; k < op->conditional.size; k++)
			assign(op->conditional.bodies[k]);
	}
}

CUresult
genie_cpu_graph_start(struct genie_cpu_graph *graph, struct genie_cpu_context *ctx)
{
	assign(graph);
	return genie_cpu_graph_run(graph, ctx);
}

void
genie_cpu_fill_conditional(struct genie_driver *drv)
{
	drv->cuGraphConditionalHandleCreate = cpu_cuGraphConditionalHandleCreate;
}
