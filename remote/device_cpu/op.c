/* One operation: may it run, running it, and copies of it that outlive the call that made it. */
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/graph.h"

CUresult
genie_cpu_op_check(const struct genie_cpu_op *op)
{
	switch (op->kind) {
	case GENIE_CPU_OP_KERNEL:
		return genie_cpu_kernel_check(op->ctx, &op->kernel);
	case GENIE_CPU_OP_COPY:
		return genie_cpu_copy_check(&op->copy);
	case GENIE_CPU_OP_SET:
		return genie_cpu_set_check(&op->set);
	case GENIE_CPU_OP_VALUES:
		return genie_cpu_values_check(op);
	case GENIE_CPU_OP_GEMM:
		return genie_cpu_gemm_check(&op->gemm);
	case GENIE_CPU_OP_DENSE:
		return genie_cpu_dense_check(&op->dense);
	case GENIE_CPU_OP_HOST:
		return op->host.fn ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
	case GENIE_CPU_OP_EMPTY:
	case GENIE_CPU_OP_GRAPH:
	case GENIE_CPU_OP_CONDITIONAL:
	case GENIE_CPU_OP_EVENT_RECORD:
	case GENIE_CPU_OP_EVENT_WAIT:
	case GENIE_CPU_OP_FREE:
		return CUDA_SUCCESS;
	}
	return CUDA_ERROR_INVALID_VALUE;
}

bool
genie_cpu_op_ready(struct genie_cpu_op *op)
{
	if (op->kind == GENIE_CPU_OP_EVENT_WAIT)
		return __atomic_load_n(&op->event.event->state->done, __ATOMIC_ACQUIRE) >=
		       op->event.sequence;
	if (op->kind == GENIE_CPU_OP_VALUES)
		return genie_cpu_values_advance(op);
	return true;
}

/* The recording is complete: pairs with the loads of done in op_ready and event_done. */
static void
record_event(struct genie_cpu_event *event, uint64_t sequence)
{
	event->time = genie_cpu_now();
	/* Never back: of an event that another process records too, a later one may be done. */
	if (__atomic_load_n(&event->state->done, __ATOMIC_RELAXED) < sequence)
		__atomic_store_n(&event->state->done, sequence, __ATOMIC_RELEASE);
}

/* For NVML's utilisation. */
static void
add_busy(const struct genie_cpu_op *op, uint64_t start)
{
	__atomic_add_fetch(&genie_cpu.parts[op->ctx->device].busy, genie_cpu_now() - start,
			   __ATOMIC_RELAXED);
}

CUresult
genie_cpu_op_run(const struct genie_cpu_op *op)
{
	uint64_t start;
	CUresult status;

	/* an event is recorded all the same: somebody may wait for it */
	status = genie_cpu_context_lost(op->ctx);
	if (status != CUDA_SUCCESS && op->kind != GENIE_CPU_OP_EVENT_RECORD)
		return status;
	switch (op->kind) {
	case GENIE_CPU_OP_KERNEL:
		start = genie_cpu_now();
		status = genie_cpu_kernel_run(op->ctx, &op->kernel);
		add_busy(op, start);
		return status;
	case GENIE_CPU_OP_COPY:
		return genie_cpu_copy_run(&op->copy);
	case GENIE_CPU_OP_SET:
		return genie_cpu_set_run(&op->set);
	case GENIE_CPU_OP_HOST:
		op->host.fn(op->host.data);
		return CUDA_SUCCESS;
	case GENIE_CPU_OP_GRAPH:
		return genie_cpu_graph_launch(op->graph, op->ctx);
	case GENIE_CPU_OP_CONDITIONAL:
		return genie_cpu_conditional_run(op);
	case GENIE_CPU_OP_EVENT_RECORD:
		record_event(op->event.event, op->event.sequence);
		return CUDA_SUCCESS;
	case GENIE_CPU_OP_FREE:
		genie_cpu_free((void *)op->memory.addr);
		return CUDA_SUCCESS;
	case GENIE_CPU_OP_GEMM:
		start = genie_cpu_now();
		status = genie_cpu_gemm_run(&op->gemm);
		add_busy(op, start);
		return status;
	case GENIE_CPU_OP_DENSE:
		start = genie_cpu_now();
		status = genie_cpu_dense_run(&op->dense);
		add_busy(op, start);
		return status;
	case GENIE_CPU_OP_EMPTY:
	case GENIE_CPU_OP_EVENT_WAIT: /* op_ready() was the waiting */
	case GENIE_CPU_OP_VALUES:
		return CUDA_SUCCESS;
	}
	return CUDA_ERROR_INVALID_VALUE;
}

/* A copy of @size bytes; NULL: no memory. Never NULL for an empty one. */
static void *
duplicate(const void *data, size_t size)
{
	void *copy = malloc(size ? size : 1);

	if (copy && size)
		memcpy(copy, data, size);
	return copy;
}

CUresult
genie_cpu_op_copy(struct genie_cpu_op *ret_op, const struct genie_cpu_op *op)
{
	struct genie_cpu_op copy = *op;

	switch (op->kind) {
	case GENIE_CPU_OP_KERNEL:
		copy.kernel.params = duplicate(op->kernel.params, op->kernel.params_size);
		if (!copy.kernel.params)
			return CUDA_ERROR_OUT_OF_MEMORY;
		genie_cpu_module_ref(op->kernel.function->module);
		break;
	case GENIE_CPU_OP_VALUES:
		copy.values.list =
			duplicate(op->values.list, op->values.count * sizeof(*op->values.list));
		if (!copy.values.list)
			return CUDA_ERROR_OUT_OF_MEMORY;
		break;
	case GENIE_CPU_OP_GRAPH: {
		CUresult status = genie_cpu_graph_clone(op->graph, &copy.graph);

		if (status != CUDA_SUCCESS)
			return status;
		copy.graph->launchable = op->graph->launchable;
		break;
	}
	case GENIE_CPU_OP_CONDITIONAL: {
		CUresult status = genie_cpu_conditional_copy(&copy, op);

		if (status != CUDA_SUCCESS)
			return status;
		break;
	}
	case GENIE_CPU_OP_EVENT_RECORD:
	case GENIE_CPU_OP_EVENT_WAIT:
		genie_cpu_event_ref(op->event.event);
		break;
	case GENIE_CPU_OP_EMPTY:
	case GENIE_CPU_OP_COPY:
	case GENIE_CPU_OP_SET:
	case GENIE_CPU_OP_HOST:
	case GENIE_CPU_OP_FREE:
	case GENIE_CPU_OP_GEMM:
	case GENIE_CPU_OP_DENSE:
		break;
	}
	*ret_op = copy;
	return CUDA_SUCCESS;
}

void
genie_cpu_op_fini(struct genie_cpu_op *op)
{
	switch (op->kind) {
	case GENIE_CPU_OP_KERNEL:
		free(op->kernel.params);
		genie_cpu_module_unref(op->kernel.function->module);
		break;
	case GENIE_CPU_OP_VALUES:
		free(op->values.list);
		break;
	case GENIE_CPU_OP_GRAPH:
		genie_cpu_graph_unref(op->graph);
		break;
	case GENIE_CPU_OP_CONDITIONAL:
		genie_cpu_conditional_fini(op);
		break;
	case GENIE_CPU_OP_EVENT_RECORD:
	case GENIE_CPU_OP_EVENT_WAIT:
		genie_cpu_event_unref(op->event.event);
		break;
	case GENIE_CPU_OP_EMPTY:
	case GENIE_CPU_OP_COPY:
	case GENIE_CPU_OP_SET:
	case GENIE_CPU_OP_HOST:
	case GENIE_CPU_OP_FREE:
	case GENIE_CPU_OP_GEMM:
	case GENIE_CPU_OP_DENSE:
		break;
	}
	*op = (struct genie_cpu_op){.kind = GENIE_CPU_OP_EMPTY};
}
