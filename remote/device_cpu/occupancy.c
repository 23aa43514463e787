#include "remote/device_cpu/occupancy.h"

/* How a multiprocessor divides what it has: as the CUDA occupancy calculator documents it. */
#define REGISTER_UNIT   256u /* registers, for a warp */
#define WARP_UNIT       4u   /* one for each of the four schedulers */
#define SHARED_UNIT     128u /* bytes */
#define REGISTERS_MAX   255u /* of a thread */
#define CLUSTER_BIG_MAX 16u  /* with the attribute that allows sizes not every device has */

static unsigned int
round_up(unsigned int value, unsigned int unit)
{
	return (value + unit - 1) / unit * unit;
}

static unsigned int
min_of(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/*
 * The interpreter's registers cost nothing, so a kernel is never said to need more of them than
 * its largest block can have.
 */
void
genie_cpu_function_limits(struct genie_cpu_function *function)
{
	struct ptx_kernel_info *info = &function->info;
	unsigned int warps, most;

	if (info->req_threads[0])
		info->max_threads =
			info->req_threads[0] * info->req_threads[1] * info->req_threads[2];
	if (!info->max_threads || info->max_threads > GENIE_CPU_BLOCK_THREADS)
		info->max_threads = GENIE_CPU_BLOCK_THREADS;
	warps = round_up(round_up(info->max_threads, GENIE_CPU_WARP) / GENIE_CPU_WARP, WARP_UNIT);
	most = GENIE_CPU_SM_REGISTERS / warps / REGISTER_UNIT * REGISTER_UNIT / GENIE_CPU_WARP;
	info->registers = min_of(info->registers, min_of(most, REGISTERS_MAX));
	function->max_dynamic_shared = info->static_shared < GENIE_CPU_SHARED_BLOCK
					       ? GENIE_CPU_SHARED_BLOCK - info->static_shared
					       : 0;
	for (int i = 0; i < 3; i++)
		function->cluster[i] = (int)info->cluster[i];
}

unsigned int
genie_cpu_blocks_per_sm(const struct genie_cpu_function *function, unsigned int threads,
			size_t dynamic_shared)
{
	const struct ptx_kernel_info *info = &function->info;
	unsigned int warps = round_up(threads, GENIE_CPU_WARP) / GENIE_CPU_WARP;
	unsigned int blocks, registers, shared;

	/* a kernel's own limit is not considered: neither does the driver */
	if (!threads || threads > GENIE_CPU_BLOCK_THREADS ||
	    dynamic_shared + info->static_shared > GENIE_CPU_SHARED_OPTIN)
		return 0;
	blocks = min_of(GENIE_CPU_SM_BLOCKS, GENIE_CPU_SM_THREADS / GENIE_CPU_WARP / warps);
	registers = round_up(info->registers * GENIE_CPU_WARP, REGISTER_UNIT);
	if (registers)
		blocks = min_of(blocks,
				GENIE_CPU_SM_REGISTERS / registers / WARP_UNIT * WARP_UNIT / warps);
	shared = round_up((unsigned int)dynamic_shared + info->static_shared +
				  GENIE_CPU_SHARED_RESERVED,
			  SHARED_UNIT);
	return min_of(blocks, GENIE_CPU_SHARED_SM / shared);
}

static CUresult
cpu_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *ret_blocks, CUfunction handle,
							 int threads, size_t shared,
							 unsigned int flags)
{
	struct genie_cpu_function *function = genie_cpu_function_get(handle);

	if (!function)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!ret_blocks || threads <= 0 || flags > CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE)
		return CUDA_ERROR_INVALID_VALUE;
	*ret_blocks = (int)genie_cpu_blocks_per_sm(function, (unsigned int)threads, shared);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuOccupancyMaxActiveBlocksPerMultiprocessor(int *ret_blocks, CUfunction handle, int threads,
						size_t shared)
{
	return cpu_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(ret_blocks, handle, threads,
									shared, 0);
}

static CUresult
cpu_cuOccupancyMaxPotentialBlockSizeWithFlags(int *ret_grid, int *ret_threads, CUfunction handle,
					      CUoccupancyB2DSize shared_of, size_t shared,
					      int limit, unsigned int flags)
{
	struct genie_cpu_function *function = genie_cpu_function_get(handle);
	unsigned int most = GENIE_CPU_BLOCK_THREADS, best = 0, best_threads = 0, best_blocks = 0;

	if (!function)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!ret_grid || !ret_threads || limit < 0 || flags > CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE)
		return CUDA_ERROR_INVALID_VALUE;
	most = min_of(most, function->info.max_threads);
	if (limit)
		most = min_of(most, (unsigned int)limit);
	/* the largest block among those that fill a multiprocessor best */
	for (unsigned int threads = most; threads > 0;
	     threads = threads % GENIE_CPU_WARP ? threads / GENIE_CPU_WARP * GENIE_CPU_WARP
						: threads - GENIE_CPU_WARP) {
		size_t bytes = shared_of ? shared_of((int)threads) : shared;
		unsigned int blocks = genie_cpu_blocks_per_sm(function, threads, bytes);

		if (blocks * threads <= best)
			continue;
		best = blocks * threads;
		best_threads = threads;
		best_blocks = blocks;
	}
	*ret_threads = (int)best_threads;
	*ret_grid = (int)best_blocks * ptx_threads();
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuOccupancyMaxPotentialBlockSize(int *ret_grid, int *ret_threads, CUfunction handle,
				     CUoccupancyB2DSize shared_of, size_t shared, int limit)
{
	return cpu_cuOccupancyMaxPotentialBlockSizeWithFlags(ret_grid, ret_threads, handle,
							     shared_of, shared, limit, 0);
}

static CUresult
cpu_cuOccupancyAvailableDynamicSMemPerBlock(size_t *ret_size, CUfunction handle, int blocks,
					    int threads)
{
	struct genie_cpu_function *function = genie_cpu_function_get(handle);
	unsigned int share;

	if (!function)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!ret_size || blocks <= 0 || threads <= 0)
		return CUDA_ERROR_INVALID_VALUE;
	if (genie_cpu_blocks_per_sm(function, (unsigned int)threads, 0) < (unsigned int)blocks)
		return CUDA_ERROR_INVALID_VALUE;
	share = GENIE_CPU_SHARED_SM / (unsigned int)blocks / SHARED_UNIT * SHARED_UNIT;
	share = share > function->info.static_shared ? share - function->info.static_shared : 0;
	*ret_size = min_of(share, function->max_dynamic_shared);
	return CUDA_SUCCESS;
}

/* The cluster that a configuration asks for, in blocks; 1 if it asks for none. */
static unsigned int
cluster_size(const struct genie_cpu_function *function, const CUlaunchConfig *config)
{
	unsigned int size = 1;

	for (int i = 0; i < 3; i++)
		if (function->cluster[i] > 0)
			size *= (unsigned int)function->cluster[i];
	for (unsigned int i = 0; config->attrs && i < config->numAttrs; i++)
		if (config->attrs[i].id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
			size = config->attrs[i].value.clusterDim.x *
			       config->attrs[i].value.clusterDim.y *
			       config->attrs[i].value.clusterDim.z;
	return size;
}

static CUresult
cpu_cuOccupancyMaxActiveClusters(int *ret_clusters, CUfunction handle, const CUlaunchConfig *config)
{
	struct genie_cpu_function *function = genie_cpu_function_get(handle);
	unsigned int size, blocks;

	if (!function)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!ret_clusters || !config)
		return CUDA_ERROR_INVALID_VALUE;
	size = cluster_size(function, config);
	if (!size || size > CLUSTER_BIG_MAX)
		return CUDA_ERROR_INVALID_CLUSTER_SIZE;
	blocks = genie_cpu_blocks_per_sm(function,
					 config->blockDimX * config->blockDimY * config->blockDimZ,
					 config->sharedMemBytes);
	/* no core is nearer to another: any blocks can be a cluster, always at least one */
	blocks *= (unsigned int)ptx_threads();
	*ret_clusters = blocks && blocks < size ? 1 : (int)(blocks / size);
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuOccupancyMaxPotentialClusterSize(int *ret_size, CUfunction handle,
				       const CUlaunchConfig *config)
{
	struct genie_cpu_function *function = genie_cpu_function_get(handle);

	if (!function)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!ret_size || !config)
		return CUDA_ERROR_INVALID_VALUE;
	*ret_size = (int)(function->non_portable_cluster ? CLUSTER_BIG_MAX : GENIE_CPU_CLUSTER_MAX);
	return CUDA_SUCCESS;
}

void
genie_cpu_fill_occupancy(struct genie_driver *drv)
{
	drv->cuOccupancyMaxActiveBlocksPerMultiprocessor =
		cpu_cuOccupancyMaxActiveBlocksPerMultiprocessor;
	drv->cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags =
		cpu_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags;
	drv->cuOccupancyMaxPotentialBlockSize = cpu_cuOccupancyMaxPotentialBlockSize;
	drv->cuOccupancyMaxPotentialBlockSizeWithFlags =
		cpu_cuOccupancyMaxPotentialBlockSizeWithFlags;
	drv->cuOccupancyAvailableDynamicSMemPerBlock = cpu_cuOccupancyAvailableDynamicSMemPerBlock;
	drv->cuOccupancyMaxActiveClusters = cpu_cuOccupancyMaxActiveClusters;
	drv->cuOccupancyMaxPotentialClusterSize = cpu_cuOccupancyMaxPotentialClusterSize;
}
