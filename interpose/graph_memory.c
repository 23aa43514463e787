/*
 * Memory that graphs allocate and free. The client places it like all memory: an allocation node
 * has its address, and pages behind it, from the moment it is made; for the worker it is an empty
 * node. What is kept here is who may use it when: CUDA wants an allocation freed before the graph
 * that makes it is launched again.
 */
#include <stdlib.h>
#include <string.h>

#include "interpose/ctx.h"
#include "interpose/graph.h"
#include "interpose/memory.h"
#include "interpose/refuse.h"

struct genie_graph_alloc {
	struct genie_graph_alloc *next;
	struct genie_ctx *ctx;
	CUdeviceptr addr; /* 0: it went with its context */
	uint64_t size, rounded;
	int device;
	int refs;          /* nodes and executable graphs */
	int mapped;        /* executable graphs */
	uint64_t graph;    /* token: whose node it is */
	uint64_t freed_by; /* token: the graph with a node that frees it, 0 = none */
	bool live;         /* a launch allocated it, and it was not freed */
	bool counted;      /* it counts as used: a launch needed it, and nobody trimmed since */
};

/* Guarded by the graph lock; the count is looked at without. */
static struct genie_graph_alloc *allocs;
static _Atomic int alloc_count;

/* What CUDA calls memory associated with graphs, and kept for graphs. Guarded by the graph lock. */
static struct {
	uint64_t used, used_high, reserved, reserved_high;
} usage[GENIE_DEVICES_MAX];

static struct genie_graph_alloc *
find_locked(uint64_t addr)
{
	struct genie_graph_alloc *alloc = allocs;

	while (alloc && (alloc->addr != addr || !addr))
		alloc = alloc->next;
	return alloc;
}

static void
alloc_uncount(struct genie_graph_alloc *alloc)
{
	if (alloc->counted)
		usage[alloc->device].used -= alloc->rounded;
	alloc->counted = false;
}

static void
alloc_delete(struct genie_graph_alloc *alloc)
{
	struct genie_graph_alloc **link = &allocs;

	while (*link != alloc)
		link = &(*link)->next;
	*link = alloc->next;
	alloc_uncount(alloc);
	atomic_fetch_sub_explicit(&alloc_count, 1, memory_order_relaxed);
	if (alloc->addr)
		(void)genie_mem_free_device(alloc->addr, 0);
	free(alloc);
}

void
genie_graph_alloc_ref_locked(struct genie_graph_alloc *alloc)
{
	alloc->refs++;
}

void
genie_graph_alloc_unref_locked(struct genie_graph_alloc *alloc)
{
	/* what the program has not freed yet outlives the graph */
	if (!--alloc->refs && !alloc->live)
		alloc_delete(alloc);
}

static void
alloc_count_used(struct genie_graph_alloc *alloc)
{
	uint64_t *used = &usage[alloc->device].used, *high = &usage[alloc->device].used_high;
	uint64_t *reserved = &usage[alloc->device].reserved;

	if (alloc->counted)
		return;
	alloc->counted = true;
	*used += alloc->rounded;
	if (*used > *high)
		*high = *used;
	/* what is kept and not used is used first */
	if (*reserved < *used)
		*reserved = *used;
	if (*reserved > usage[alloc->device].reserved_high)
		usage[alloc->device].reserved_high = *reserved;
}

void
genie_graph_alloc_map_locked(struct genie_graph_alloc *alloc, bool map)
{
	alloc->mapped += map ? 1 : -1;
	if (!alloc->mapped && !alloc->live)
		alloc_uncount(alloc);
}

/* ---- nodes ---- */

static CUresult
props_check(const CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
	const CUmemPoolProps *props = &params->poolProps;

	if (props->allocType != CU_MEM_ALLOCATION_TYPE_PINNED || !params->bytesize ||
	    props->handleTypes != CU_MEM_HANDLE_TYPE_NONE ||
	    (params->accessDescCount && !params->accessDescs) ||
	    params->accessDescCount > (size_t)genie_client.device_count)
		return CUDA_ERROR_INVALID_VALUE;
	if (props->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
		return genie_refuse("a graph node that allocates host memory",
				    "graphs allocate device memory");
	if (props->location.id < 0 || props->location.id >= genie_client.device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	return CUDA_SUCCESS;
}

static CUresult
payload_alloc(struct genie_payload *payload, const CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
	*payload = (struct genie_payload){.params.type = CU_GRAPH_NODE_TYPE_MEM_ALLOC};
	memcpy(&payload->params.alloc, params, sizeof(*params));
	payload->size = params->accessDescCount * sizeof(*params->accessDescs);
	payload->data = malloc(payload->size + 1);
	if (!payload->data)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (payload->size)
		memcpy(payload->data, params->accessDescs, payload->size);
	payload->params.alloc.accessDescs = payload->size ? payload->data : NULL;
	return CUDA_SUCCESS;
}

CUresult
genie_graph_alloc_new_locked(struct genie_graph *graph, struct genie_ctx *ctx,
			     CUDA_MEM_ALLOC_NODE_PARAMS *params, struct genie_payload *ret_payload)
{
	struct genie_graph_alloc *alloc;
	CUresult status = props_check(params);

	/* "cannot have additional nodes that allocate" once it is in another one */
	if (status == CUDA_SUCCESS && graph->owner && !graph->captures)
		status = CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS)
		status = payload_alloc(ret_payload, params);
	if (status != CUDA_SUCCESS)
		return status;
	alloc = calloc(1, sizeof(*alloc));
	if (!alloc) {
		genie_payload_fini(ret_payload);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	alloc->ctx = ctx;
	alloc->size = params->bytesize;
	alloc->rounded = (params->bytesize + GENIE_HEAP_PAGE - 1) & ~(GENIE_HEAP_PAGE - 1);
	alloc->device = params->poolProps.location.id;
	alloc->graph = graph->object.token;
	alloc->refs = 1;
	status = genie_mem_alloc_device(ctx, alloc->device, alloc->size, NULL, 0, &alloc->addr);
	if (status != CUDA_SUCCESS) {
		free(alloc);
		genie_payload_fini(ret_payload);
		return status;
	}
	alloc->next = allocs;
	allocs = alloc;
	atomic_fetch_add_explicit(&alloc_count, 1, memory_order_relaxed);
	ret_payload->alloc = alloc;
	ret_payload->params.alloc.dptr = params->dptr = alloc->addr;
	return CUDA_SUCCESS;
}

CUresult
genie_graph_alloc_free_locked(struct genie_graph *graph, CUdeviceptr addr,
			      struct genie_payload *ret_payload)
{
	struct genie_graph_alloc *alloc = find_locked(addr);

	/* Freed once: here, or by one other graph. */
	if (!alloc || alloc->freed_by == graph->object.token ||
	    (alloc->freed_by &&
	     (alloc->freed_by == alloc->graph || alloc->graph == graph->object.token)))
		return CUDA_ERROR_INVALID_VALUE;
	*ret_payload = (struct genie_payload){.params.type = CU_GRAPH_NODE_TYPE_MEM_FREE};
	ret_payload->params.free.dptr = addr;
	ret_payload->alloc = alloc;
	alloc->refs++;
	alloc->freed_by = graph->object.token;
	return CUDA_SUCCESS;
}

void
genie_graph_alloc_unclaim_locked(const struct genie_graph *graph, CUdeviceptr addr)
{
	struct genie_graph_alloc *alloc = find_locked(addr);

	if (alloc && alloc->freed_by == graph->object.token)
		alloc->freed_by = 0;
}

/* ---- launches ---- */

/* Does the same launch free it again? */
static bool
freed_within(const struct genie_exec *exec, const struct genie_graph_alloc *alloc)
{
	for (size_t i = 0; i < exec->hold_count; i++)
		if (exec->holds[i].kind == GENIE_HOLD_FREE && exec->holds[i].alloc == alloc)
			return true;
	return false;
}

CUresult
genie_graph_alloc_launch_locked(const struct genie_exec *exec)
{
	bool own = exec->flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;

	if (!atomic_load_explicit(&alloc_count, memory_order_relaxed))
		return CUDA_SUCCESS;
	for (size_t i = 0; i < exec->hold_count; i++) {
		const struct genie_hold *hold = &exec->holds[i];

		if (hold->kind == GENIE_HOLD_ALLOC && hold->alloc->live && !own)
			return CUDA_ERROR_INVALID_VALUE;
	}
	for (size_t i = 0; i < exec->hold_count; i++)
		if (exec->holds[i].kind == GENIE_HOLD_ALLOC) {
			alloc_count_used(exec->holds[i].alloc);
			exec->holds[i].alloc->live = !freed_within(exec, exec->holds[i].alloc);
		}
	for (size_t i = 0; i < exec->hold_count; i++)
		if (exec->holds[i].kind == GENIE_HOLD_FREE)
			exec->holds[i].alloc->live = false;
	return CUDA_SUCCESS;
}

void
genie_graph_alloc_forget_ctx(const struct genie_ctx *ctx)
{
	if (!atomic_load_explicit(&alloc_count, memory_order_relaxed))
		return;
	genie_graph_take();
	for (struct genie_graph_alloc *alloc = allocs, *next; alloc; alloc = next) {
		next = alloc->next;
		if (alloc->ctx != ctx)
			continue;
		alloc->addr = 0;
		alloc->live = false;
		alloc_uncount(alloc);
		if (!alloc->refs)
			alloc_delete(alloc);
	}
	genie_graph_unlock();
}

bool
genie_graph_alloc_freed(CUdeviceptr addr, CUresult *ret_status)
{
	struct genie_graph_alloc *alloc;

	if (!atomic_load_explicit(&alloc_count, memory_order_relaxed))
		return false;
	genie_graph_take();
	alloc = find_locked(addr);
	if (alloc) {
		*ret_status = alloc->live ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
		alloc->live = false;
		if (!alloc->mapped)
			alloc_uncount(alloc);
		if (!alloc->refs)
			alloc_delete(alloc);
	}
	genie_graph_unlock();
	return alloc != NULL;
}

/* ---- what a device keeps for graphs ---- */

CUresult
genie_cuDeviceGraphMemTrim(CUdevice device)
{
	struct genie_heap *heap;

	if (!genie_ctx_primary(device))
		return CUDA_ERROR_INVALID_DEVICE;
	genie_graph_take();
	for (struct genie_graph_alloc *alloc = allocs; alloc; alloc = alloc->next)
		if (alloc->device == device && !alloc->live)
			alloc_uncount(alloc);
	usage[device].reserved = usage[device].used;
	genie_graph_unlock();
	heap = genie_mem_device_heap(device);
	if (heap)
		genie_heap_trim(heap, 0);
	return CUDA_SUCCESS;
}

CUresult
genie_cuDeviceGetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attr, void *value)
{
	CUresult status = CUDA_SUCCESS;
	uint64_t got = 0;

	if (!genie_ctx_primary(device))
		return CUDA_ERROR_INVALID_DEVICE;
	if (!value)
		return CUDA_ERROR_INVALID_VALUE;
	genie_graph_take();
	switch ((int)attr) {
	case CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT:
		got = usage[device].used;
		break;
	case CU_GRAPH_MEM_ATTR_USED_MEM_HIGH:
		got = usage[device].used_high;
		break;
	case CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT:
		got = usage[device].reserved;
		break;
	case CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH:
		got = usage[device].reserved_high;
		break;
	default:
		status = CUDA_ERROR_INVALID_VALUE;
	}
	genie_graph_unlock();
	if (status == CUDA_SUCCESS)
		memcpy(value, &got, sizeof(got));
	return status;
}

CUresult
genie_cuDeviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attr, void *value)
{
	uint64_t want;

	if (!genie_ctx_primary(device))
		return CUDA_ERROR_INVALID_DEVICE;
	if (!value)
		return CUDA_ERROR_INVALID_VALUE;
	memcpy(&want, value, sizeof(want));
	/* Only the high marks can be set, and only to 0. */
	if (want || ((int)attr != CU_GRAPH_MEM_ATTR_USED_MEM_HIGH &&
		     (int)attr != CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH))
		return CUDA_ERROR_INVALID_VALUE;
	genie_graph_take();
	if ((int)attr == CU_GRAPH_MEM_ATTR_USED_MEM_HIGH)
		usage[device].used_high = usage[device].used;
	else
		usage[device].reserved_high = usage[device].reserved;
	genie_graph_unlock();
	return CUDA_SUCCESS;
}
