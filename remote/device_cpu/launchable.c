/*
 * Graphs that kernels launch (CUDA C++ Programming Guide, "Device Graph Launch"). What a kernel
 * launches to be forgotten runs when the kernel's grid has ended, which is one of the orders that
 * the guide allows, and belongs to the launch it was made in; what it launches as the tail runs
 * when all of that launch has ended, before the tails of whoever launched it.
 */
#include <pthread.h>
#include <stdlib.h>

#include "remote/device_cpu/graph.h"

enum {
	/* The guide's limits, for one launch of a graph. */
	FORGET_MAX = 120,
	TAIL_MAX = 255,
	/* Launches in launches: they are recursive here. */
	DEPTH_MAX = 24,
	/* What kernels are told, of enum cudaError. */
	ERROR_INVALID_VALUE = 1,
	ERROR_PENDING_COUNT = 69,
};

#define STREAM_TAIL    (UINT64_C(1) << 56)
#define STREAM_FORGET  (UINT64_C(2) << 56)
#define STREAM_SIBLING (UINT64_C(3) << 56)

struct launch {
	struct launch *next;
	uint64_t exec;
};

struct launch_list {
	struct launch *head, **end;
	unsigned int count;
};

/* A launch that runs: of a thread that runs graphs, the innermost one. */
struct launching {
	uint64_t exec; /* 0: one that only the host may launch */
	unsigned int depth;
	struct launch_list forget, tail;
	unsigned int forgotten; /* so many in all */
};

static __thread struct launching *current;
/* All that kernels may launch. Guarded by the lock, as are the flags in them and all lists. */
static struct genie_cpu_exec *launchables;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct genie_cpu_exec *
find_locked(uint64_t handle)
{
	struct genie_cpu_exec *exec = launchables;

	while (exec && (uint64_t)(uintptr_t)exec != handle)
		exec = exec->next_launchable;
	return exec;
}

void
genie_cpu_launchable_add(struct genie_cpu_exec *exec)
{
	pthread_mutex_lock(&lock);
	exec->next_launchable = launchables;
	launchables = exec;
	exec->graph->launchable = (uint64_t)(uintptr_t)exec;
	pthread_mutex_unlock(&lock);
}

void
genie_cpu_launchable_remove(const struct genie_cpu_exec *exec)
{
	struct genie_cpu_exec **at = &launchables;

	pthread_mutex_lock(&lock);
	while (*at && *at != exec)
		at = &(*at)->next_launchable;
	if (*at)
		*at = exec->next_launchable;
	pthread_mutex_unlock(&lock);
}

void
genie_cpu_launchable_upload(struct genie_cpu_exec *exec)
{
	pthread_mutex_lock(&lock);
	exec->uploaded = true;
	pthread_mutex_unlock(&lock);
}

void
genie_cpu_launchable_change(struct genie_cpu_exec *exec, struct genie_cpu_graph *graph)
{
	struct genie_cpu_graph *old;

	pthread_mutex_lock(&lock);
	old = exec->graph;
	graph->launchable = old->launchable;
	exec->graph = graph;
	pthread_mutex_unlock(&lock);
	genie_cpu_graph_unref(old);
}

bool
genie_cpu_launchable_allows(const struct genie_cpu_graph *graph)
{
	if (!graph->count)
		return false;
	for (size_t i = 0; i < graph->count; i++) {
		const struct genie_cpu_op *op = &graph->nodes[i]->op;

		if (op->kind == GENIE_CPU_OP_GRAPH) {
			if (!genie_cpu_launchable_allows(op->graph))
				return false;
		} else if (op->kind != GENIE_CPU_OP_KERNEL && op->kind != GENIE_CPU_OP_COPY &&
			   op->kind != GENIE_CPU_OP_SET) {
			return false;
		}
	}
	return true;
}

/* ---- what a kernel asks for ---- */

static void
list_add_locked(struct launch_list *list, struct launch *item)
{
	if (!list->head)
		list->end = &list->head;
	*list->end = item;
	list->end = &item->next;
	list->count++;
}

static uint32_t
forget_locked(struct launching *by, struct genie_cpu_exec *exec, struct launch *item)
{
	if (by->forgotten >= FORGET_MAX || by->depth >= DEPTH_MAX)
		return ERROR_PENDING_COUNT;
	/* one at a time: it runs, or is about to */
	if (exec->running || exec->queued)
		return ERROR_INVALID_VALUE;
	by->forgotten++;
	exec->queued = true;
	list_add_locked(&by->forget, item);
	return 0;
}

static uint32_t
tail_locked(struct launching *by, struct genie_cpu_exec *exec, struct launch *item)
{
	if (by->tail.count >= TAIL_MAX)
		return ERROR_PENDING_COUNT;
	/* A graph may launch itself again, once. */
	if (exec->queued || (exec->running && by->exec != item->exec))
		return ERROR_INVALID_VALUE;
	exec->queued = true;
	list_add_locked(&by->tail, item);
	return 0;
}

/* On any thread that runs a kernel of the launch. */
static uint32_t
kernel_launches(void *data, uint64_t handle, uint64_t stream)
{
	struct launching *by = data;
	struct launch *item = calloc(1, sizeof(*item));
	uint32_t error = ERROR_INVALID_VALUE;
	struct genie_cpu_exec *exec;

	if (!item)
		return ERROR_PENDING_COUNT;
	item->exec = handle;
	pthread_mutex_lock(&lock);
	exec = find_locked(handle);
	if (exec && exec->uploaded && stream == STREAM_TAIL)
		error = tail_locked(by, exec, item);
	else if (exec && exec->uploaded && (stream == STREAM_FORGET || stream == STREAM_SIBLING))
		error = forget_locked(by, exec, item);
	pthread_mutex_unlock(&lock);
	if (error)
		free(item);
	return error;
}

/* ---- running ---- */

/* The first of @list, which runs from now on; its graph, or NULL: it is gone. */
static struct genie_cpu_graph *
begin(struct launch_list *list, struct launching *launching)
{
	struct genie_cpu_graph *graph = NULL;
	struct genie_cpu_exec *exec;
	struct launch *item;

	pthread_mutex_lock(&lock);
	item = list->head;
	list->head = item->next;
	list->count--;
	exec = find_locked(item->exec);
	if (exec) {
		graph = exec->graph;
		genie_cpu_graph_ref(graph);
		exec->queued = false;
		exec->running = true;
	}
	launching->exec = item->exec;
	pthread_mutex_unlock(&lock);
	free(item);
	return graph;
}

/* The launch has ended; its tails come before those of @todo. */
static void
end(struct launch_list *todo, struct launching *launching)
{
	struct genie_cpu_exec *exec;

	pthread_mutex_lock(&lock);
	exec = find_locked(launching->exec);
	if (exec)
		exec->running = false;
	if (launching->tail.head) {
		if (!todo->head)
			todo->end = launching->tail.end;
		*launching->tail.end = todo->head;
		todo->head = launching->tail.head;
		todo->count += launching->tail.count;
	}
	pthread_mutex_unlock(&lock);
}

/* Nothing of @list runs any more, as something before it failed. */
static void
give_up(struct launch_list *list)
{
	struct launch *item;

	pthread_mutex_lock(&lock);
	while ((item = list->head)) {
		struct genie_cpu_exec *exec = find_locked(item->exec);

		if (exec)
			exec->queued = false;
		list->head = item->next;
		free(item);
	}
	list->count = 0;
	pthread_mutex_unlock(&lock);
}

/* Runs @graph, and then what was launched as its tail, and as that's. @todo is empty. */
static CUresult
run(struct launch_list *todo, struct launching *launching, struct genie_cpu_graph *graph,
    struct genie_cpu_context *ctx)
{
	struct launching *outer = current;
	CUresult status = CUDA_SUCCESS;

	for (;;) {
		current = launching;
		if (graph && status == CUDA_SUCCESS)
			status = genie_cpu_graph_start(graph, ctx);
		current = outer;
		genie_cpu_graph_unref(graph);
		end(todo, launching);
		if (status != CUDA_SUCCESS || !todo->head)
			break;
		*launching = (struct launching){.depth = launching->depth};
		graph = begin(todo, launching);
	}
	give_up(todo);
	return status;
}

CUresult
genie_cpu_graph_launch(struct genie_cpu_graph *graph, struct genie_cpu_context *ctx)
{
	struct launching launching = {.exec = graph->launchable};
	struct launch_list todo = {0};
	struct genie_cpu_exec *exec;

	/* a child in a graph that runs: of the same launch */
	if (current)
		return genie_cpu_graph_start(graph, ctx);
	pthread_mutex_lock(&lock);
	exec = find_locked(graph->launchable);
	if (exec)
		exec->running = exec->uploaded = true;
	pthread_mutex_unlock(&lock);
	genie_cpu_graph_ref(graph);
	return run(&todo, &launching, graph, ctx);
}

void
genie_cpu_launching_prepare(struct ptx_launch *launch)
{
	if (!current)
		return;
	launch->graph_exec = current->exec;
	launch->graph_launch = kernel_launches;
	launch->graph_data = current;
}

CUresult
genie_cpu_launching_forget(struct genie_cpu_context *ctx)
{
	struct launching *by = current;
	CUresult status = CUDA_SUCCESS;

	while (by && by->forget.head && status == CUDA_SUCCESS) {
		struct launching launching = {.depth = by->depth + 1};
		struct launch_list todo = {0};
		struct genie_cpu_graph *graph = begin(&by->forget, &launching);

		status = run(&todo, &launching, graph, ctx);
	}
	if (by && by->forget.head)
		give_up(&by->forget);
	return status;
}
