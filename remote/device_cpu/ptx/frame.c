/* Frames: registers of one function's activation, and the values they hold from the start. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "remote/device_cpu/ptx/exec.h"
#include "remote/device_cpu/ptx/pool.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/* %nsmid: more than there are, as is allowed, so that most machines have the same. */
static uint32_t
processors(void)
{
	return ptx_pool_threads() > 128 ? (uint32_t)ptx_pool_threads() : 128;
}

static uint32_t
processor(const struct ptx_warp *w)
{
	const struct ptx_launch *args = w->launch->args;

	return args->sms ? args->sms[w->block->worker % args->sm_count] : w->block->worker;
}

static uint64_t
clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t
cycles(void)
{
#if defined(__x86_64__)
	return __rdtsc();
#else
	return clock_ns();
#endif
}

static uint32_t
tid(const struct ptx_warp *w, int dimension, uint32_t lane)
{
	const uint32_t *size = w->launch->args->block;
	uint32_t thread = w->id * PTX_LANES + lane;

	if (dimension == 0)
		return thread % size[0];
	if (dimension == 1)
		return thread / size[0] % size[1];
	return thread / (size[0] * size[1]);
}

static uint32_t
reserved_shared(const struct ptx_launch_state *launch)
{
	return (launch->shared_total + 127) & ~127u;
}

uint64_t
ptx_special_value(const struct ptx_warp *w, enum ptx_special special, uint32_t lane)
{
	const struct ptx_launch_state *launch = w->launch;
	const uint32_t *grid = launch->args->grid, *cluster = launch->cluster;
	const uint32_t *id = w->block->id;

	switch (special) {
	case PTX_S_TID_X:
	case PTX_S_TID_Y:
	case PTX_S_TID_Z:
		return tid(w, special - PTX_S_TID_X, lane);
	case PTX_S_NTID_X:
	case PTX_S_NTID_Y:
	case PTX_S_NTID_Z:
		return launch->args->block[special - PTX_S_NTID_X];
	case PTX_S_LANEID:
		return lane;
	case PTX_S_WARPID:
		return w->id;
	case PTX_S_NWARPID:
		return launch->nwarps;
	case PTX_S_CTAID_X:
	case PTX_S_CTAID_Y:
	case PTX_S_CTAID_Z:
		return id[special - PTX_S_CTAID_X];
	case PTX_S_NCTAID_X:
	case PTX_S_NCTAID_Y:
	case PTX_S_NCTAID_Z:
		return grid[special - PTX_S_NCTAID_X];
	case PTX_S_SMID:
		return processor(w);
	case PTX_S_NSMID:
		return processors();
	case PTX_S_GRIDID:
		return launch->grid_id;
	case PTX_S_EXPLICIT_CLUSTER:
		return cluster[0] * cluster[1] * cluster[2] > 1;
	case PTX_S_CLUSTERID_X:
	case PTX_S_CLUSTERID_Y:
	case PTX_S_CLUSTERID_Z:
		return id[special - PTX_S_CLUSTERID_X] / cluster[special - PTX_S_CLUSTERID_X];
	case PTX_S_NCLUSTERID_X:
	case PTX_S_NCLUSTERID_Y:
	case PTX_S_NCLUSTERID_Z:
		return grid[special - PTX_S_NCLUSTERID_X] / cluster[special - PTX_S_NCLUSTERID_X];
	case PTX_S_CLUSTER_CTAID_X:
	case PTX_S_CLUSTER_CTAID_Y:
	case PTX_S_CLUSTER_CTAID_Z:
		return id[special - PTX_S_CLUSTER_CTAID_X] %
		       cluster[special - PTX_S_CLUSTER_CTAID_X];
	case PTX_S_CLUSTER_NCTAID_X:
	case PTX_S_CLUSTER_NCTAID_Y:
	case PTX_S_CLUSTER_NCTAID_Z:
		return cluster[special - PTX_S_CLUSTER_NCTAID_X];
	case PTX_S_CLUSTER_CTARANK:
		return ptx_cluster_rank(w->block);
	case PTX_S_CLUSTER_NCTARANK:
		return cluster[0] * cluster[1] * cluster[2];
	case PTX_S_LANEMASK_EQ:
		return 1u << lane;
	case PTX_S_LANEMASK_LE:
		return (2u << lane) - 1;
	case PTX_S_LANEMASK_LT:
		return (1u << lane) - 1;
	case PTX_S_LANEMASK_GE:
		return ~((1u << lane) - 1);
	case PTX_S_LANEMASK_GT:
		return lane == 31 ? 0 : ~((2u << lane) - 1);
	case PTX_S_CLOCK:
	case PTX_S_CLOCK64:
		return cycles();
	case PTX_S_CLOCK_HI:
		return cycles() >> 32;
	case PTX_S_GLOBALTIMER:
	case PTX_S_GLOBALTIMER_LO:
		return clock_ns();
	case PTX_S_GLOBALTIMER_HI:
		return clock_ns() >> 32;
	case PTX_S_TOTAL_SMEM:
	case PTX_S_AGGR_SMEM:
		return launch->shared_total;
	case PTX_S_DYNAMIC_SMEM:
		return launch->args->dynamic_shared;
	case PTX_S_ENVREG1:
		return (uintptr_t)launch->workspace >> 32;
	case PTX_S_ENVREG2:
		return (uint32_t)(uintptr_t)launch->workspace;
	case PTX_S_RESERVED_SMEM_BEGIN:
	case PTX_S_RESERVED_SMEM_0:
		return reserved_shared(launch);
	case PTX_S_RESERVED_SMEM_1:
		return reserved_shared(launch) + PTX_RESERVED_SHARED / 2;
	case PTX_S_RESERVED_SMEM_END:
		return reserved_shared(launch) + PTX_RESERVED_SHARED;
	case PTX_S_RESERVED_SMEM_CAP:
		return PTX_RESERVED_SHARED;
	case PTX_S_GRAPH_EXEC:
		return launch->args->graph_exec;
	case PTX_S_NONE:
	case PTX_S_COUNT:
		break;
	}
	return 0;
}

static uint32_t
shared_offset(const struct ptx_kernel *kernel, const struct ptx_variable *var)
{
	uint32_t low = 0, high = kernel->nshared;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if ((uintptr_t)kernel->shared[middle].var < (uintptr_t)var)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < kernel->nshared && kernel->shared[low].var == var)
		return kernel->shared[low].offset;
	/* Only reached by a call that the launch did not foresee: an address that faults. */
	return UINT32_MAX - 0xffff;
}

static uint64_t
parameter(const struct ptx_launch_state *launch, const struct ptx_fixed *f)
{
	uint32_t size = ptx_type_size(f->type);
	uint64_t value = 0;

	if (f->value + size > launch->param_size)
		return 0;
	memcpy(&value, launch->params + f->value, size);
	if (ptx_type_is_signed(f->type) && size < 8)
		value = (uint64_t)((int64_t)(value << (64 - 8 * size)) >> (64 - 8 * size));
	return value;
}

/* The same value for all lanes. */
static void
broadcast(uint8_t *at, uint32_t size, uint64_t value)
{
	uint16_t *as_16 = (uint16_t *)(void *)at;
	uint32_t *as_32 = (uint32_t *)(void *)at;
	uint64_t *as_64 = (uint64_t *)(void *)at;

	for (int lane = 0; size == 2 && lane < PTX_LANES; lane++)
		as_16[lane] = (uint16_t)value;
	for (int lane = 0; size == 4 && lane < PTX_LANES; lane++)
		as_32[lane] = (uint32_t)value;
	for (int lane = 0; size == 8 && lane < PTX_LANES; lane++)
		as_64[lane] = value;
}

/* Special registers of 32 bits may differ between lanes; wider ones do not. */
static void
fill_special(struct ptx_warp *w, uint8_t *at, const struct ptx_fixed *f)
{
	uint32_t *lanes = (uint32_t *)(void *)at;

	if (f->size != 4 || ptx_special_when(f->value) == PTX_WHEN_BLOCK) {
		broadcast(at, f->size, ptx_special_value(w, f->value, 0));
		return;
	}
	for (uint32_t lane = 0; lane < PTX_LANES; lane++)
		lanes[lane] = (uint32_t)ptx_special_value(w, f->value, lane);
}

static void
fill(struct ptx_warp *w, struct ptx_frame *frame, const struct ptx_fixed *f)
{
	uint8_t *at = frame->regs + f->place;

	switch (f->kind) {
	case PTX_FIXED_LITERAL:
		break;
	case PTX_FIXED_SPECIAL:
		fill_special(w, at, f);
		break;
	case PTX_FIXED_PARAM:
		broadcast(at, f->size, parameter(w->launch, f));
		break;
	case PTX_FIXED_SHARED:
		broadcast(at, f->size, shared_offset(w->launch->kernel, f->var) + f->value);
		break;
	case PTX_FIXED_LOCAL:
		broadcast(at, f->size, frame->local_base + f->value);
		break;
	}
}

void
ptx_frame_enter_block(struct ptx_warp *w, struct ptx_frame *frame)
{
	const struct ptx_code *code = frame->code;

	for (uint32_t k = code->first_of_block; k < code->nfixed; k++)
		fill(w, frame, &code->fixed[k]);
}

static struct ptx_frame_pool *
pool_of(struct ptx_block *block, const struct ptx_code *code)
{
	struct ptx_frame_pool *pool;

	for (pool = block->pools; pool; pool = pool->next)
		if (pool->code == code)
			return pool;
	pool = calloc(1, sizeof(*pool));
	if (pool) {
		pool->code = code;
		pool->next = block->pools;
		block->pools = pool;
	}
	return pool;
}

/* A frame that was used before for the same code still has its literals. */
static struct ptx_frame *
take_frame(struct ptx_block *block, const struct ptx_code *code)
{
	struct ptx_frame_pool *pool = pool_of(block, code);

	if (!pool)
		return NULL;

	struct ptx_frame *frame = pool->free;

	if (frame) {
		pool->free = frame->next;
		return frame;
	}
	frame = aligned_alloc(64, (sizeof(*frame) + code->frame_size + 63) & ~(size_t)63);
	if (!frame)
		return NULL;
	memset(frame, 0, sizeof(*frame));
	/* What a program reads before it writes is 0, not the memory of others. */
	memset(frame->regs, 0, code->frame_size);
	frame->code = code;
	memcpy(frame->regs + code->image_place, code->image, code->image_size);
	return frame;
}

struct ptx_frame *
ptx_frame_new(struct ptx_warp *w, const struct ptx_code *code, struct ptx_frame *parent)
{
	struct ptx_frame *frame = take_frame(w->block, code);

	if (!frame)
		return NULL;
	frame->parent = parent;
	frame->next = NULL;
	frame->call = NULL;
	frame->depth = parent ? parent->depth + 1 : 0;
	frame->local_base = parent ? parent->local_base + parent->code->local_size : 0;
	for (uint32_t k = code->first_varying; k < code->nfixed; k++)
		fill(w, frame, &code->fixed[k]);
	return frame;
}

void
ptx_frame_drop(struct ptx_block *block, struct ptx_frame *frame)
{
	struct ptx_frame_pool *pool = pool_of(block, frame->code);

	if (!pool) {
		free(frame);
		return;
	}
	frame->next = pool->free;
	pool->free = frame;
}

void
ptx_frame_pools_free(struct ptx_block *block)
{
	while (block->pools) {
		struct ptx_frame_pool *pool = block->pools;

		block->pools = pool->next;
		while (pool->free) {
			struct ptx_frame *frame = pool->free;

			pool->free = frame->next;
			free(frame);
		}
		free(pool);
	}
}
