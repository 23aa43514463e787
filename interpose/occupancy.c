/*
 * Occupancy: the worker computes it, once for each question. The answer depends on attributes that
 * a program may set, so they are part of the question.
 */
#include "interpose/kernel.h"
#include "wire/query.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS     256   /* a power of two */
#define ANSWERS_MAX 16384 /* remembered; a program that asks more asks the worker */
#define BLOCKS_MAX  65536 /* on a multiprocessor; today's have room for 2048 threads */

/* One question, all bytes defined: compared and hashed as a whole. */
struct question {
	uint64_t function;
	uint64_t shared;
	uint32_t op;
	uint32_t flags;
	uint32_t grid[3], block[3];
	uint32_t attr_count;
	uint32_t set; /* which attributes of the function the program set, and to what */
	int32_t values[GENIE_FUNCTION_ATTRS];
	CUlaunchAttribute attrs[4];
};

struct answer {
	struct answer *next;
	struct question question;
	uint64_t value;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct answer *buckets[BUCKETS];
static unsigned int answers;

static struct answer **
bucket_of(const struct question *question)
{
	const unsigned char *bytes = (const unsigned char *)question;
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < sizeof(*question); i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return &buckets[hash % BUCKETS];
}

static bool
answer_find(const struct question *question, uint64_t *ret_value)
{
	const struct answer *answer;

	if (!genie_perf(GENIE_PERF_CACHE))
		return false;
	pthread_mutex_lock(&lock);
	answer = *bucket_of(question);
	while (answer != NULL && memcmp(&answer->question, question, sizeof(*question)) != 0)
		answer = answer->next;
	if (answer != NULL)
		*ret_value = answer->value;
	pthread_mutex_unlock(&lock);
	return answer != NULL;
}

/* Without memory the question is asked again, that is all. */
static void
answer_store(const struct question *question, uint64_t value)
{
	struct answer *answer = malloc(sizeof(*answer));
	struct answer **bucket;

	if (answer == NULL)
		return;
	*answer = (struct answer){.value = value};
	memcpy(&answer->question, question, sizeof(*question));
	pthread_mutex_lock(&lock);
	if (answers < ANSWERS_MAX) {
		bucket = bucket_of(question);
		answer->next = *bucket;
		*bucket = answer;
		answer = NULL;
		answers++;
	}
	pthread_mutex_unlock(&lock);
	free(answer);
}

static void
question_init(struct question *question, enum genie_op op, const struct genie_function *function)
{
	memset(question, 0, sizeof(*question));
	question->op = op;
	question->function = function->object.token;
	question->set = atomic_load_explicit(&function->attrs->set, memory_order_acquire);
	for (int i = 0; i < GENIE_FUNCTION_ATTRS; i++) {
		if (question->set & 1u << i)
			question->values[i] = atomic_load_explicit(&function->attrs->values[i],
								   memory_order_relaxed);
	}
}

static CUfunction
function_handle(const struct genie_function *function)
{
	return (CUfunction)(uintptr_t)function->object.token;
}

/* ---- blocks ---- */

CUresult
genie_occupancy_blocks(const struct genie_function *function, int block_size, size_t shared,
		       unsigned int flags, int *ret_blocks)
{
	struct genie_args_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags args = {
		.numBlocks = ret_blocks,
		.func = function_handle(function),
		.blockSize = block_size,
		.dynamicSMemSize = shared,
		.flags = flags,
	};
	struct question question;
	uint64_t value;
	CUresult status;

	question_init(&question, GENIE_OP_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags,
		      function);
	question.block[0] = (uint32_t)block_size;
	question.shared = shared;
	question.flags = flags;
	if (answer_find(&question, &value)) {
		*ret_blocks = (int)value;
		return CUDA_SUCCESS;
	}
	status = genie_call_ctx(GENIE_OP_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags,
				&args, function->object.ctx, NULL);
	if (status != CUDA_SUCCESS)
		return status;
	/* No block has less than a thread. */
	if (*ret_blocks < 0 || *ret_blocks > BLOCKS_MAX) {
		genie_warn("the server answers with %d blocks on a multiprocessor", *ret_blocks);
		return CUDA_ERROR_UNKNOWN;
	}
	answer_store(&question, (uint64_t)*ret_blocks);
	return CUDA_SUCCESS;
}

CUresult
genie_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *numBlocks, CUfunction func,
							   int blockSize, size_t dynamicSMemSize,
							   unsigned int flags)
{
	struct genie_function *function;
	CUresult status;

	if (numBlocks == NULL || blockSize <= 0)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_function_get(func, &function);
	return status == CUDA_SUCCESS ? genie_occupancy_blocks(function, blockSize, dynamicSMemSize,
							       flags, numBlocks)
				      : status;
}

CUresult
genie_cuOccupancyMaxActiveBlocksPerMultiprocessor(int *numBlocks, CUfunction func, int blockSize,
						  size_t dynamicSMemSize)
{
	return genie_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
		numBlocks, func, blockSize, dynamicSMemSize, CU_OCCUPANCY_DEFAULT);
}

CUresult
genie_cuOccupancyAvailableDynamicSMemPerBlock(size_t *dynamicSmemSize, CUfunction func,
					      int numBlocks, int blockSize)
{
	struct genie_args_cuOccupancyAvailableDynamicSMemPerBlock args = {
		.dynamicSmemSize = dynamicSmemSize,
		.numBlocks = numBlocks,
		.blockSize = blockSize,
	};
	struct genie_function *function;
	struct question question;
	CUresult status;
	uint64_t value;

	if (dynamicSmemSize == NULL || numBlocks <= 0 || blockSize <= 0)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_function_get(func, &function);
	if (status != CUDA_SUCCESS)
		return status;
	question_init(&question, GENIE_OP_cuOccupancyAvailableDynamicSMemPerBlock, function);
	question.grid[0] = (uint32_t)numBlocks;
	question.block[0] = (uint32_t)blockSize;
	if (answer_find(&question, &value)) {
		*dynamicSmemSize = value;
		return CUDA_SUCCESS;
	}
	args.func = function_handle(function);
	status = genie_call_ctx(GENIE_OP_cuOccupancyAvailableDynamicSMemPerBlock, &args,
				function->object.ctx, NULL);
	if (status == CUDA_SUCCESS)
		answer_store(&question, *dynamicSmemSize);
	return status;
}

/*
 * The block size that keeps most threads on a multiprocessor, and the number of blocks that fill
 * the device with it: the documented search, from the largest block down in steps of a warp.
 */
static CUresult
best_block(const struct genie_function *function, CUoccupancyB2DSize shared_of_block, size_t shared,
	   int limit, unsigned int flags, int *ret_grid, int *ret_block)
{
	const int *attrs = genie_client.devices[function->object.ctx->device].attrs;
	int warp = attrs[CU_DEVICE_ATTRIBUTE_WARP_SIZE];
	int full = attrs[CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR];
	int64_t most = 0;
	int size, step;

	*ret_grid = *ret_block = 0;
	if (limit > attrs[CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK])
		limit = attrs[CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK];
	for (size = (limit + warp - 1) / warp * warp; size > 0; size -= warp) {
		CUresult status;
		int blocks;

		step = size < limit ? size : limit;
		if (shared_of_block != NULL)
			shared = shared_of_block(step);
		status = genie_occupancy_blocks(function, step, shared, flags, &blocks);
		if (status != CUDA_SUCCESS)
			return status;
		if ((int64_t)blocks * step > most) {
			most = (int64_t)blocks * step;
			*ret_block = step;
			*ret_grid = blocks * attrs[CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT];
		}
		if (most >= full)
			break;
	}
	return CUDA_SUCCESS;
}

CUresult
genie_cuOccupancyMaxPotentialBlockSizeWithFlags(int *minGridSize, int *blockSize, CUfunction func,
						CUoccupancyB2DSize blockSizeToDynamicSMemSize,
						size_t dynamicSMemSize, int blockSizeLimit,
						unsigned int flags)
{
	struct genie_function *function;
	CUresult status;
	int limit;

	if (minGridSize == NULL || blockSize == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_function_get(func, &function);
	if (status == CUDA_SUCCESS)
		status = genie_function_attribute(function, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK,
						  &limit);
	if (status != CUDA_SUCCESS)
		return status;
	if (blockSizeLimit > 0 && blockSizeLimit < limit)
		limit = blockSizeLimit;
	return best_block(function, blockSizeToDynamicSMemSize, dynamicSMemSize, limit, flags,
			  minGridSize, blockSize);
}

CUresult
genie_cuOccupancyMaxPotentialBlockSize(int *minGridSize, int *blockSize, CUfunction func,
				       CUoccupancyB2DSize blockSizeToDynamicSMemSize,
				       size_t dynamicSMemSize, int blockSizeLimit)
{
	return genie_cuOccupancyMaxPotentialBlockSizeWithFlags(
		minGridSize, blockSize, func, blockSizeToDynamicSMemSize, dynamicSMemSize,
		blockSizeLimit, CU_OCCUPANCY_DEFAULT);
}

/* ---- clusters ---- */

static CUresult
clusters(int *ret_value, CUfunction func, const CUlaunchConfig *config, enum genie_occupancy what)
{
	struct genie_args_genieOccupancyClusters args = {.value = ret_value, .what = (int)what};
	struct genie_function *function;
	struct question question;
	struct genie_ctx *ctx = genie_ctx_current();
	bool remember;
	uint64_t value;
	CUresult status;

	if (ret_value == NULL || config == NULL || (config->numAttrs != 0 && config->attrs == NULL))
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_function_get(func, &function);
	if (status != CUDA_SUCCESS)
		return status;
	question_init(&question, GENIE_OP_genieOccupancyClusters, function);
	question.flags = what;
	question.grid[0] = args.gridX = config->gridDimX;
	question.grid[1] = args.gridY = config->gridDimY;
	question.grid[2] = args.gridZ = config->gridDimZ;
	question.block[0] = args.blockX = config->blockDimX;
	question.block[1] = args.blockY = config->blockDimY;
	question.block[2] = args.blockZ = config->blockDimZ;
	question.shared = args.shared = config->sharedMemBytes;
	question.attr_count = args.attr_count = config->numAttrs;
	args.attrs = config->attrs;
	args.function = function_handle(function);
	/* What a green context has room for is asked each time. */
	remember = ctx->green == 0 &&
		   config->numAttrs <= sizeof(question.attrs) / sizeof(question.attrs[0]);
	if (remember && config->numAttrs != 0)
		memcpy(question.attrs, config->attrs, config->numAttrs * sizeof(question.attrs[0]));
	if (remember && answer_find(&question, &value)) {
		*ret_value = (int)value;
		return CUDA_SUCCESS;
	}
	if (ctx->home != function->object.ctx)
		ctx = function->object.ctx;
	status = genie_call_ctx(GENIE_OP_genieOccupancyClusters, &args, ctx, NULL);
	if (status == CUDA_SUCCESS && remember)
		answer_store(&question, (uint64_t)*ret_value);
	return status;
}

CUresult
genie_cuOccupancyMaxPotentialClusterSize(int *clusterSize, CUfunction func,
					 const CUlaunchConfig *config)
{
	return clusters(clusterSize, func, config, GENIE_OCCUPANCY_CLUSTER_SIZE);
}

CUresult
genie_cuOccupancyMaxActiveClusters(int *numClusters, CUfunction func, const CUlaunchConfig *config)
{
	return clusters(numClusters, func, config, GENIE_OCCUPANCY_ACTIVE_CLUSTERS);
}
