/* Launches: blocks, the workers that run them, fair turns for those that wait for each other. */
#include <fenv.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "remote/device_cpu/ptx/check.h"
#include "remote/device_cpu/ptx/children.h"
#include "remote/device_cpu/ptx/exec.h"
#include "remote/device_cpu/ptx/pool.h"
#include "remote/device_cpu/ptx/thread.h"

enum {
	/*
	 * Turns a block takes before it may be waiting for one that has not begun: thousands of
	 * rounds through a loop each, so few kernels ever take so many, and those that only
	 * compute lose a moment to the memory of another block. Programs with barriers of their
	 * own across a grid wait for all its blocks.
	 */
	PATIENCE = 8,
	/* Barriers that a block's warps meet at in a turn. */
	MAX_ROUNDS = 1024,
	/* Blocks that a worker keeps in progress when the launch is not cooperative. */
	MAX_IN_PROGRESS = 128,
	MAX_SHARED = 1 << 30,
	MAX_CLUSTER = 64, /* blocks */
	WORKSPACE = 256,  /* bytes */
};
static const uint64_t max_params = 1 << 20;

static _Atomic uint64_t next_grid = 1;

/* Blocks in memory */

static void
free_block(struct ptx_block *block)
{
	if (!block)
		return;
	for (uint32_t k = 0; block->warps && k < block->nwarps; k++) {
		struct ptx_warp *w = &block->warps[k];

		/* Frames of calls that a fault left. */
		for (uint32_t n = 0; n < w->nfragments; n++)
			while (w->fragments[n].frame && w->fragments[n].frame != w->root) {
				struct ptx_frame *frame = w->fragments[n].frame;

				frame->live &= ~w->fragments[n].mask;
				w->fragments[n].frame = frame->parent;
				if (!frame->live)
					ptx_frame_drop(block, frame);
			}
		if (w->root)
			ptx_frame_drop(block, w->root);
	}
	ptx_frame_pools_free(block);
	if (block->local)
		munmap(block->local, block->local_size);
	ptx_race_free(block->race);
	free(block->warps);
	free(block->shared);
	free(block);
}

static struct ptx_block *
new_block(const struct ptx_launch_state *launch, uint32_t worker)
{
	struct ptx_block *block = calloc(1, sizeof(*block));

	if (!block)
		return NULL;
	block->launch = launch;
	block->worker = worker;
	block->nwarps = launch->nwarps;
	block->shared_size = launch->shared_total;
	if (launch->kernel->code->reserved_shared)
		block->shared_size = ((block->shared_size + 127) & ~127ull) + PTX_RESERVED_SHARED;
	block->local_size = launch->local_stride * PTX_LANES * launch->nwarps;
	block->warps = aligned_alloc(64, (launch->nwarps * sizeof(*block->warps) + 63) & ~63ull);
	if (!block->warps)
		goto err_free;
	memset(block->warps, 0, launch->nwarps * sizeof(*block->warps));
	if (block->shared_size) {
		block->shared = aligned_alloc(1024, (block->shared_size + 1023) & ~1023ull);
		if (!block->shared)
			goto err_free;
		memset(block->shared, 0, block->shared_size);
	}
	if (ptx_check_flags() & PTX_CHECK_RACE && block->shared_size) {
		block->race = ptx_race_new(block);
		if (!block->race)
			goto err_free;
	}
	if (block->local_size) {
		block->local = mmap(NULL, block->local_size, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (block->local == MAP_FAILED) {
			block->local = NULL;
			goto err_free;
		}
	}
	for (uint32_t k = 0; k < block->nwarps; k++) {
		struct ptx_warp *w = &block->warps[k];

		w->id = k;
		w->block = block;
		w->launch = launch;
		w->windows[PTX_WINDOW_SHARED] =
			(struct ptx_window){block->shared, block->shared_size};
		w->windows[PTX_WINDOW_PARAM] =
			(struct ptx_window){launch->params, launch->param_size};
		w->local_stride = launch->local_stride;
		if (block->local)
			w->local = block->local + k * PTX_LANES * launch->local_stride;
		w->root = ptx_frame_new(w, launch->kernel->code, NULL);
		if (!w->root)
			goto err_free;
	}
	return block;

err_free:
	free_block(block);
	return NULL;
}

static void
begin_block(struct ptx_block *block, const uint32_t id[3])
{
	const struct ptx_launch_state *launch = block->launch;

	memcpy(block->id, id, sizeof(block->id));
	block->live_threads = launch->nthreads;
	block->turns = 0;
	block->active_barriers = 0;
	memset(block->barriers, 0, sizeof(block->barriers));
	if (block->race)
		ptx_race_begin(block);
	for (uint32_t k = 0; k < block->nwarps; k++) {
		struct ptx_warp *w = &block->warps[k];
		uint32_t left = launch->nthreads - k * PTX_LANES;

		ptx_frame_enter_block(w, w->root);
		ptx_warp_begin(w, left >= PTX_LANES ? UINT32_MAX : (1u << left) - 1);
	}
}

/* Clusters in memory */

static void
free_cluster(struct ptx_cluster *cluster)
{
	for (uint32_t k = 0; k < cluster->size; k++)
		free_block(cluster->blocks[k]);
	free(cluster);
}

static struct ptx_cluster *
new_cluster(const struct ptx_launch_state *launch, uint32_t worker)
{
	uint32_t size = launch->cluster[0] * launch->cluster[1] * launch->cluster[2];
	struct ptx_cluster *cluster =
		calloc(1, sizeof(*cluster) + size * sizeof(struct ptx_block *));

	if (!cluster)
		return NULL;
	cluster->size = size;
	for (uint32_t k = 0; k < size; k++) {
		cluster->blocks[k] = new_block(launch, worker);
		if (!cluster->blocks[k]) {
			free_cluster(cluster);
			return NULL;
		}
		cluster->blocks[k]->cluster = cluster;
	}
	return cluster;
}

/* Gives the blocks of cluster @index their places in the grid. */
static void
begin_cluster(struct ptx_cluster *cluster, uint64_t index)
{
	const struct ptx_launch_state *launch = cluster->blocks[0]->launch;
	const uint32_t *grid = launch->args->grid, *size = launch->cluster;
	uint32_t nx = grid[0] / size[0], ny = grid[1] / size[1], base[3];

	base[0] = (uint32_t)(index % nx) * size[0];
	base[1] = (uint32_t)(index / nx % ny) * size[1];
	base[2] = (uint32_t)(index / ((uint64_t)nx * ny)) * size[2];
	cluster->unfinished = cluster->size;
	for (uint32_t k = 0; k < cluster->size; k++) {
		const uint32_t id[3] = {
			base[0] + k % size[0],
			base[1] + k / size[0] % size[1],
			base[2] + k / (size[0] * size[1]),
		};

		begin_block(cluster->blocks[k], id);
	}
}

/* Turns */

enum turn { TURN_FINISHED, TURN_UNFINISHED, TURN_FAULT };

/*
 * Every warp of a block runs until it waits or has had its share. A block may wait for another one
 * with a barrier in the loop: its warps never use up their shares, so such rounds are counted too.
 */
static enum turn
take_turn(struct ptx_block *block)
{
	uint32_t rounds = 0;
	int ran = 0;

	do {
		ran = 0;
		for (uint32_t k = 0; k < block->nwarps; k++) {
			struct ptx_warp *w = &block->warps[k];

			if (!w->nfragments)
				continue;
			switch (ptx_warp_run(w)) {
			case PTX_EVENT_FAULT:
				return TURN_FAULT;
			case PTX_EVENT_YIELD:
				ran = 2;
				break;
			default:
				break;
			}
		}
		if (!block->live_threads)
			return TURN_FINISHED;
		if (ran == 2 || ++rounds == MAX_ROUNDS)
			return TURN_UNFINISHED;
		/* A barrier completed, perhaps for warps that had their turn already. */
		for (uint32_t k = 0; k < block->nwarps && !ran; k++)
			for (uint32_t n = 0; n < block->warps[k].nfragments && !ran; n++)
				ran = block->warps[k].fragments[n].state == PTX_READY;
	} while (ran);

	/* Everybody waits, perhaps for other blocks of the cluster. */
	for (uint32_t k = 0; k < block->nwarps; k++)
		for (uint32_t n = 0; n < block->warps[k].nfragments; n++)
			if (block->warps[k].fragments[n].state == PTX_WAIT_CLUSTER)
				return TURN_UNFINISHED;
	/* Lanes that wait for lanes at a barrier go on without them. */
	for (uint32_t k = 0; k < block->nwarps; k++)
		ran |= ptx_warp_release_all(&block->warps[k]);
	if (ran)
		return TURN_UNFINISHED;

	for (uint32_t k = 0; k < block->nwarps; k++) {
		struct ptx_warp *w = &block->warps[k];

		if (!w->nfragments)
			continue;
		w->current = 0;
		w->mask = w->fragments[0].mask;
		w->frame = w->fragments[0].frame;
		ptx_fault(w, w->fragments[0].pc - 1, PTX_FAULT_TRAP,
			  (uint32_t)__builtin_ctz(w->mask), 0,
			  "deadlock: not all threads reach barrier %u", w->fragments[0].barrier);
		break;
	}
	return TURN_FAULT;
}

/* The blocks that a worker has begun, in a ring, and what it made to run them. */
struct worker {
	struct ptx_launch_state *launch;
	struct ptx_block *first, *last; /* in progress */
	struct ptx_cluster *spare;      /* finished, to be used again */
	struct ptx_cluster *all;
	uint32_t count; /* of blocks in progress */
	uint32_t id;
	int no_more; /* no cluster is left to begin */
};

static void
enqueue(struct worker *worker, struct ptx_block *block)
{
	block->next = NULL;
	if (worker->last)
		worker->last->next = block;
	else
		worker->first = block;
	worker->last = block;
	worker->count++;
}

static struct ptx_block *
dequeue(struct worker *worker)
{
	struct ptx_block *block = worker->first;

	worker->first = block->next;
	if (!worker->first)
		worker->last = NULL;
	worker->count--;
	return block;
}

static void
keep_spare(struct worker *worker, struct ptx_cluster *cluster)
{
	cluster->next = worker->spare;
	worker->spare = cluster;
}

static struct ptx_cluster *
take_cluster(struct worker *worker)
{
	struct ptx_cluster *cluster = worker->spare;

	if (cluster) {
		worker->spare = cluster->next;
		return cluster;
	}
	cluster = new_cluster(worker->launch, worker->id);
	if (cluster) {
		cluster->next_all = worker->all;
		worker->all = cluster;
	}
	return cluster;
}

static void
begin_next(struct worker *worker)
{
	struct ptx_launch_state *launch = worker->launch;
	/* The memory first: a cluster whose number was taken must run. */
	struct ptx_cluster *cluster = take_cluster(worker);
	uint64_t index;

	if (!cluster) {
		worker->no_more = 1;
		if (!worker->count)
			atomic_store(&launch->no_memory, 1);
		return;
	}
	index = atomic_fetch_add_explicit(&launch->next_cluster, 1, memory_order_relaxed);
	if (index >= launch->nclusters) {
		worker->no_more = 1;
		keep_spare(worker, cluster);
		return;
	}
	begin_cluster(cluster, index);
	for (uint32_t k = 0; k < cluster->size; k++)
		enqueue(worker, cluster->blocks[k]);
}

static int
should_begin_another(const struct worker *worker, const struct ptx_block *block)
{
	if (worker->no_more)
		return 0;
	if (worker->launch->args->cooperative)
		return 1;
	return block->turns >= PATIENCE && worker->count < MAX_IN_PROGRESS;
}

static void
run_blocks(struct worker *worker)
{
	struct ptx_launch_state *launch = worker->launch;

	while (!atomic_load_explicit(&launch->stop, memory_order_relaxed)) {
		if (!worker->first) {
			if (worker->no_more)
				return;
			begin_next(worker);
			continue;
		}

		struct ptx_block *block = dequeue(worker);

		switch (take_turn(block)) {
		case TURN_FINISHED:
			/* Others of the cluster may still look at its memory. */
			if (--block->cluster->unfinished == 0)
				keep_spare(worker, block->cluster);
			break;
		case TURN_UNFINISHED:
			block->turns++;
			enqueue(worker, block);
			if (should_begin_another(worker, block))
				begin_next(worker);
			break;
		case TURN_FAULT:
			return;
		}
	}
}

/* Apart from work(), so that nothing of it is in registers when a fault jumps back here. */
static void __attribute__((noinline)) run_until_fault(struct worker *worker)
{
	struct ptx_thread *thread = &ptx_thread;

	if (sigsetjmp(thread->fault, 1)) {
		thread->catching = 0;
		fesetenv(FE_DFL_ENV);
		ptx_fault_signal();
	} else {
		thread->catching = 1;
		run_blocks(worker);
		thread->catching = 0;
	}
}

static void
work(void *data, uint32_t id)
{
	struct worker worker = {.launch = data, .id = id};
	fenv_t env;

	/* The program's arithmetic does not depend on this thread's, or change it. */
	fegetenv(&env);
	fesetenv(FE_DFL_ENV);
	run_until_fault(&worker);
	fesetenv(&env);
	while (worker.all) {
		struct ptx_cluster *cluster = worker.all;

		worker.all = cluster->next_all;
		free_cluster(cluster);
	}
}

/* Launches */

static int
is_valid(const struct ptx_kernel *kernel, const struct ptx_launch *args, uint32_t cluster[3])
{
	const struct ptx_function *function = kernel->function;
	uint64_t threads = 1, blocks = 1;

	for (int k = 0; k < 3; k++) {
		uint32_t c = args->cluster[k]       ? args->cluster[k]
			     : function->cluster[k] ? function->cluster[k]
						    : 1;

		if (!args->grid[k] || !args->block[k] || args->block[k] > PTX_MAX_THREADS ||
		    args->grid[k] % c)
			return 0;
		if (function->req_threads[0] && args->block[k] != function->req_threads[k])
			return 0;
		threads *= args->block[k];
		if (__builtin_mul_overflow(blocks, (uint64_t)args->grid[k], &blocks))
			return 0;
		cluster[k] = c;
	}
	if (threads > PTX_MAX_THREADS || (function->max_threads && threads > function->max_threads))
		return 0;
	if ((uint64_t)cluster[0] * cluster[1] * cluster[2] > MAX_CLUSTER)
		return 0;
	return args->params_size >= function->param_size && function->param_size <= max_params &&
	       (uint64_t)kernel->dynamic_offset + args->dynamic_shared <= MAX_SHARED;
}

static void
set_fault(struct ptx_fault *ret_fault, int kind, const char *kernel, const char *text)
{
	if (!ret_fault)
		return;
	*ret_fault = (struct ptx_fault){.kind = kind};
	snprintf(ret_fault->text, sizeof(ret_fault->text), "%.80s: %.160s", kernel, text);
}

enum ptx_status
ptx_run(struct ptx_kernel *kernel, const struct ptx_launch *args, struct ptx_fault *ret_fault)
{
	const struct ptx_function *function = kernel->function;
	struct ptx_launch_state launch = {.kernel = kernel, .args = args};
	int status = ptx_kernel_prepare(kernel);

	if (status != PTX_OK) {
		set_fault(ret_fault, PTX_FAULT_UNSUPPORTED, function->name, function->error);
		return status;
	}
	if (!is_valid(kernel, args, launch.cluster)) {
		set_fault(ret_fault, PTX_FAULT_TRAP, function->name, "bad launch configuration");
		return PTX_INVALID;
	}
	launch.nclusters = 1;
	for (int k = 0; k < 3; k++)
		launch.nclusters *= args->grid[k] / launch.cluster[k];
	launch.nthreads = args->block[0] * args->block[1] * args->block[2];
	launch.nwarps = (launch.nthreads + PTX_LANES - 1) / PTX_LANES;
	launch.shared_total = kernel->static_shared;
	if (args->dynamic_shared)
		launch.shared_total = kernel->dynamic_offset + args->dynamic_shared;
	/* Not a multiple of the cache's own stride, or all lanes would meet in one set. */
	if (kernel->local_size)
		launch.local_stride = ((kernel->local_size + 63) & ~63ull) + 64;
	launch.param_size = function->param_size;
	/* a parameter may ask for as much alignment as a tensor map */
	size_t room = (launch.param_size + 16 + 127) & ~(size_t)127;

	launch.params = aligned_alloc(128, room);
	if (!launch.params)
		return PTX_NOMEM;
	memset(launch.params, 0, room);
	if (launch.param_size)
		memcpy(launch.params, args->params, launch.param_size);
	if (args->cooperative) {
		launch.workspace = calloc(1, WORKSPACE);
		if (!launch.workspace) {
			free(launch.params);
			return PTX_NOMEM;
		}
		launch.workspace[0] = WORKSPACE;
	}
	launch.grid_id = atomic_fetch_add_explicit(&next_grid, 1, memory_order_relaxed);
	pthread_mutex_init(&launch.lock, NULL);
	pthread_mutex_init(&launch.output_lock, NULL);
	ptx_fault_install();

	uint64_t threads = (uint64_t)ptx_pool_threads();

	if (args->sms && threads > args->sm_count)
		threads = args->sm_count;
	if (threads > launch.nclusters)
		threads = launch.nclusters;
	ptx_pool_run((int)threads, work, &launch);

	if (!launch.faulted && !launch.no_memory)
		status = ptx_children_run(&launch, ret_fault);
	ptx_children_free(&launch);
	pthread_mutex_destroy(&launch.lock);
	pthread_mutex_destroy(&launch.output_lock);
	free(launch.params);
	free(launch.workspace);
	if (launch.faulted) {
		if (ret_fault)
			*ret_fault = launch.fault;
		return launch.fault.kind == PTX_FAULT_UNSUPPORTED ? PTX_UNSUPPORTED : PTX_FAULT;
	}
	return launch.no_memory ? PTX_NOMEM : status;
}

int
ptx_threads(void)
{
	return ptx_pool_threads();
}
