#include "remote/device_cpu/ptx/children.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/ptx/heap.h"

enum {
	MAX_CHILDREN = 1 << 18, /* of one grid */
	MAX_DEPTH = 24,
	/* The handles and the errors that the device's runtime knows. */
	STREAM_TAIL_LAUNCH = 3,
	ERROR_INVALID_VALUE = 1,
	ERROR_INVALID_CONFIGURATION = 9,
	ERROR_MAX_DEPTH = 65,
};

struct ptx_child {
	struct ptx_child *next;
	struct ptx_function *function;
	uint32_t grid[3], block[3], shared;
	uint64_t params; /* from the kernels' heap: the parent writes them */
	bool tail;       /* after all others */
};

static void
child_free(struct ptx_child *child)
{
	ptx_heap_release(child->params);
	free(child);
}

static void
list_free(struct ptx_child *child)
{
	while (child) {
		struct ptx_child *next = child->next;

		child_free(child);
		child = next;
	}
}

uint64_t
ptx_child_new(struct ptx_launch_state *parent, uint64_t kernel, const uint32_t grid[3],
	      const uint32_t block[3], uint32_t shared)
{
	struct ptx_module *module = parent->kernel->function->module;
	struct ptx_function *function = ptx_module_function_at(module, kernel);
	struct ptx_child *child;
	uint64_t params;

	if (!function || !ptx_function_target(function)->entry)
		return 0;
	function = ptx_function_target(function);
	child = calloc(1, sizeof(*child));
	if (!child)
		return 0;
	child->function = function;
	memcpy(child->grid, grid, sizeof(child->grid));
	memcpy(child->block, block, sizeof(child->block));
	child->shared = shared;
	params = child->params = ptx_heap_allocate(module, function->param_size + 16);
	if (!params) {
		free(child);
		return 0;
	}
	pthread_mutex_lock(&parent->lock);
	if (parent->child_count < MAX_CHILDREN) {
		parent->child_count++;
		child->next = parent->prepared;
		parent->prepared = child;
		child = NULL;
	}
	pthread_mutex_unlock(&parent->lock);
	if (child) {
		child_free(child);
		return 0;
	}
	return params;
}

uint32_t
ptx_child_launch(struct ptx_launch_state *parent, uint64_t buffer, uint64_t stream)
{
	struct ptx_child **at = &parent->prepared, *child;
	uint64_t threads;

	if (parent->args->depth >= MAX_DEPTH)
		return ERROR_MAX_DEPTH;
	pthread_mutex_lock(&parent->lock);
	while (*at && (*at)->params != buffer)
		at = &(*at)->next;
	child = *at;
	if (child) {
		*at = child->next;
		child->next = NULL;
		child->tail = stream == STREAM_TAIL_LAUNCH;
		at = &parent->launched;
		if (parent->last_launched)
			at = &parent->last_launched->next;
		*at = child;
		parent->last_launched = child;
	}
	pthread_mutex_unlock(&parent->lock);
	if (!child)
		return ERROR_INVALID_VALUE;
	threads = (uint64_t)child->block[0] * child->block[1] * child->block[2];
	if (!threads || threads > PTX_MAX_THREADS || !child->grid[0] || !child->grid[1] ||
	    !child->grid[2]) {
		child->function = NULL; /* nothing to run */
		return ERROR_INVALID_CONFIGURATION;
	}
	return 0;
}

static enum ptx_status
child_run(const struct ptx_launch_state *parent, const struct ptx_child *child,
	  struct ptx_fault *ret_fault)
{
	struct ptx_launch args = *parent->args;
	struct ptx_kernel *kernel;

	if (!child->function)
		return PTX_OK;
	kernel = ptx_module_kernel(child->function->module, child->function->name);
	if (!kernel)
		return PTX_INVALID;
	memcpy(args.grid, child->grid, sizeof(args.grid));
	memcpy(args.block, child->block, sizeof(args.block));
	memset(args.cluster, 0, sizeof(args.cluster));
	args.dynamic_shared = child->shared;
	args.cooperative = 0;
	args.params = (const void *)(uintptr_t)child->params;
	args.params_size = child->function->param_size;
	args.depth = parent->args->depth + 1;
	return ptx_run(kernel, &args, ret_fault);
}

enum ptx_status
ptx_children_run(struct ptx_launch_state *parent, struct ptx_fault *ret_fault)
{
	enum ptx_status status = PTX_OK;

	for (int tail = 0; tail < 2; tail++)
		for (const struct ptx_child *child = parent->launched; child && status == PTX_OK;
		     child = child->next)
			if (child->tail == tail)
				status = child_run(parent, child, ret_fault);
	return status;
}

void
ptx_children_free(struct ptx_launch_state *parent)
{
	list_free(parent->prepared);
	list_free(parent->launched);
}
