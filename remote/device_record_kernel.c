/*
 * The record device's modules and kernels. An image is parsed for what programs ask about its
 * kernels; one that cannot be is taken all the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fatbin.h"
#include "remote/device_record.h"

#define VARIABLE_SIZE ((size_t)1 << 20) /* of every kernel variable: nobody knows better */

/* As an SM is divided: the CUDA occupancy calculator's rules. */
#define WARP          32
#define REGISTER_UNIT 256
#define WARP_UNIT     4
#define SHARED_UNIT   128
#define SM_REGISTERS  65536
#define SHARED_BLOCK  49152 /* without asking for more */

struct record_module {
	int arch; /* the code was compiled for: programs choose by it among their own kernels */
	struct genie_kernel_table kernels;
	struct record_function *functions;
};

struct record_function {
	struct record_module *module;
	struct record_function *next;
	const struct genie_kernel_desc *desc; /* NULL: not found in the image */
	int max_dynamic_shared;
	char name[];
};

static CUresult
record_cuModuleLoadData(CUmodule *ret_module, const void *data)
{
	struct record_module *module = calloc(1, sizeof(*module));
	struct genie_image image;
	struct genie_image_entry entry;

	if (!module)
		return CUDA_ERROR_OUT_OF_MEMORY;
	module->arch = record.major * 10 + record.minor;
	if (genie_image_open_local(&image, data) == 0 &&
	    genie_image_pick(&image, GENIE_IMAGE_ANY, record.major, record.minor, &entry) == 0) {
		if (entry.arch)
			module->arch = (int)entry.arch;
		if (genie_kernel_table_init(&module->kernels, &entry) < 0)
			module->kernels = (struct genie_kernel_table){0};
	}
	*ret_module = (CUmodule)module;
	return CUDA_SUCCESS;
}

static CUresult
record_cuModuleUnload(CUmodule handle)
{
	struct record_module *module = (struct record_module *)handle;

	while (module->functions) {
		struct record_function *function = module->functions;

		module->functions = function->next;
		free(function);
	}
	genie_kernel_table_fini(&module->kernels);
	free(module);
	return CUDA_SUCCESS;
}

static CUresult
record_cuModuleGetFunction(CUfunction *ret_function, CUmodule handle, const char *name)
{
	struct record_module *module = (struct record_module *)handle;
	struct record_function *function;

	for (function = module->functions; function; function = function->next)
		if (!strcmp(function->name, name))
			break;
	if (!function) {
		function = calloc(1, sizeof(*function) + strlen(name) + 1);
		if (!function)
			return CUDA_ERROR_OUT_OF_MEMORY;
		strcpy(function->name, name);
		function->module = module;
		function->desc = genie_kernel_table_find(&module->kernels, name);
		function->max_dynamic_shared = SHARED_BLOCK;
		if (function->desc && function->desc->static_shared <= SHARED_BLOCK)
			function->max_dynamic_shared -= (int)function->desc->static_shared;
		function->next = module->functions;
		module->functions = function;
	}
	*ret_function = (CUfunction)function;
	return CUDA_SUCCESS;
}

static CUresult
record_cuModuleGetGlobal_v2(CUdeviceptr *ptr, size_t *size, CUmodule module, const char *name)
{
	(void)module;
	(void)name;
	if (ptr)
		*ptr = record_new_address(VARIABLE_SIZE);
	if (size)
		*size = VARIABLE_SIZE;
	return CUDA_SUCCESS;
}

static CUresult
record_cuModuleGetLoadingMode(CUmoduleLoadingMode *mode)
{
	*mode = CU_MODULE_LAZY_LOADING;
	return CUDA_SUCCESS;
}

static CUresult
record_cuModuleGetFunctionCount(unsigned int *ret_count, CUmodule module)
{
	*ret_count = (unsigned int)((struct record_module *)module)->kernels.count;
	return CUDA_SUCCESS;
}

static CUresult
record_cuModuleEnumerateFunctions(CUfunction *functions, unsigned int count, CUmodule handle)
{
	struct record_module *module = (struct record_module *)handle;
	CUresult status = CUDA_SUCCESS;

	for (unsigned int i = 0; status == CUDA_SUCCESS && i < count; i++)
		status = i < module->kernels.count
				 ? record_cuModuleGetFunction(&functions[i], handle,
							      module->kernels.kernels[i].name)
				 : CUDA_ERROR_INVALID_VALUE;
	return status;
}

static int
registers(const struct record_function *function)
{
	return function->desc && function->desc->registers ? (int)function->desc->registers : 32;
}

static int
max_threads(const struct record_function *function)
{
	return function->desc && function->desc->max_threads ? (int)function->desc->max_threads
							     : 1024;
}

static int
static_shared(const struct record_function *function)
{
	return function->desc ? (int)function->desc->static_shared : 0;
}

static CUresult
record_cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction handle)
{
	const struct record_function *function = (struct record_function *)handle;

	switch ((int)attribute) {
	case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
		*value = max_threads(function);
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
		*value = static_shared(function);
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_NUM_REGS:
		*value = registers(function);
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_PTX_VERSION:
		*value = function->module->arch;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
		*value = record.major * 10 + record.minor;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
		*value = function->max_dynamic_shared;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
		*value = -1;
		return CUDA_SUCCESS;
	default:
		*value = 0;
		return CUDA_SUCCESS;
	}
}

static CUresult
record_cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value)
{
	if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
		((struct record_function *)handle)->max_dynamic_shared = value;
	return CUDA_SUCCESS;
}

static CUresult
record_cuFuncGetParamInfo(CUfunction handle, size_t index, size_t *offset, size_t *size)
{
	const struct genie_kernel_desc *desc = ((struct record_function *)handle)->desc;

	if (!desc || index >= desc->param_count)
		return CUDA_ERROR_INVALID_VALUE;
	*offset = desc->params[index].offset;
	if (size)
		*size = desc->params[index].size;
	return CUDA_SUCCESS;
}

static CUresult
record_cuFuncGetName(const char **name, CUfunction handle)
{
	*name = ((struct record_function *)handle)->name;
	return CUDA_SUCCESS;
}

static CUresult
record_cuFuncGetModule(CUmodule *module, CUfunction handle)
{
	*module = (CUmodule)((struct record_function *)handle)->module;
	return CUDA_SUCCESS;
}

static CUresult
record_cuFuncIsLoaded(CUfunctionLoadingState *state, CUfunction function)
{
	(void)function;
	*state = CU_FUNCTION_LOADING_STATE_LOADED;
	return CUDA_SUCCESS;
}

/* ---- launches ---- */

static CUresult
record_cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
		      unsigned int grid_z, unsigned int block_x, unsigned int block_y,
		      unsigned int block_z, unsigned int shared, CUstream stream, void **params,
		      void **extra)
{
	(void)function;
	(void)grid_x;
	(void)grid_y;
	(void)grid_z;
	(void)block_x;
	(void)block_y;
	(void)block_z;
	(void)shared;
	(void)params;
	(void)extra;
	return record_count(stream);
}

static CUresult
record_cuLaunchCooperativeKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
				 unsigned int grid_z, unsigned int block_x, unsigned int block_y,
				 unsigned int block_z, unsigned int shared, CUstream stream,
				 void **params)
{
	return record_cuLaunchKernel(function, grid_x, grid_y, grid_z, block_x, block_y, block_z,
				     shared, stream, params, NULL);
}

static CUresult
record_cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **params,
			void **extra)
{
	(void)function;
	(void)params;
	(void)extra;
	return record_count(config->hStream);
}

/* ---- occupancy ---- */

static int
round_up(int value, int unit)
{
	return (value + unit - 1) / unit * unit;
}

static int
min_of(int a, int b)
{
	return a < b ? a : b;
}

static int
blocks_per_sm(const struct record_function *function, int threads, size_t dynamic_shared)
{
	int warps = round_up(threads, WARP) / WARP;
	int blocks, shared;

	if (threads > 1024 ||
	    dynamic_shared + (size_t)static_shared(function) > (size_t)record.arch->shared_optin)
		return 0;
	blocks = min_of(record.arch->blocks, record.arch->threads / WARP / warps);
	blocks = min_of(blocks, SM_REGISTERS / round_up(registers(function) * WARP, REGISTER_UNIT) /
					WARP_UNIT * WARP_UNIT / warps);
	shared = round_up((int)dynamic_shared + static_shared(function) + record.arch->reserved,
			  SHARED_UNIT);
	return shared ? min_of(blocks, record.arch->shared_sm / shared) : blocks;
}

static CUresult
record_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, CUfunction function,
							    int threads, size_t shared,
							    unsigned int flags)
{
	(void)flags;
	if (threads <= 0)
		return CUDA_ERROR_INVALID_VALUE;
	*blocks = blocks_per_sm((struct record_function *)function, threads, shared);
	return CUDA_SUCCESS;
}

static CUresult
record_cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function, int threads,
						   size_t shared)
{
	return record_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function,
									   threads, shared, 0);
}

static CUresult
record_cuOccupancyMaxPotentialBlockSizeWithFlags(int *grid, int *threads, CUfunction handle,
						 CUoccupancyB2DSize shared_of, size_t shared,
						 int limit, unsigned int flags)
{
	const struct record_function *function = (struct record_function *)handle;
	int most = max_threads(function), best = 0, sms = 0;

	(void)flags;
	if (limit > 0 && limit < most)
		most = limit;
	*threads = *grid = 0;
	record_attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &sms);
	for (int n = most; n > 0; n = (n - 1) / WARP * WARP) {
		int blocks = blocks_per_sm(function, n, shared_of ? shared_of(n) : shared);

		if (blocks * n <= best)
			continue;
		best = blocks * n;
		*threads = n;
		*grid = blocks * sms;
	}
	return CUDA_SUCCESS;
}

static CUresult
record_cuOccupancyMaxPotentialBlockSize(int *grid, int *threads, CUfunction function,
					CUoccupancyB2DSize shared_of, size_t shared, int limit)
{
	return record_cuOccupancyMaxPotentialBlockSizeWithFlags(grid, threads, function, shared_of,
								shared, limit, 0);
}

static CUresult
record_cuOccupancyAvailableDynamicSMemPerBlock(size_t *size, CUfunction handle, int blocks,
					       int threads)
{
	const struct record_function *function = (struct record_function *)handle;
	int share;

	if (blocks <= 0 || threads <= 0 || blocks_per_sm(function, threads, 0) < blocks)
		return CUDA_ERROR_INVALID_VALUE;
	share = record.arch->shared_sm / blocks / SHARED_UNIT * SHARED_UNIT -
		static_shared(function);
	*size = (size_t)(share < 0 ? 0 : min_of(share, function->max_dynamic_shared));
	return CUDA_SUCCESS;
}

static CUresult
record_cuOccupancyMaxActiveClusters(int *clusters, CUfunction handle, const CUlaunchConfig *config)
{
	unsigned int size = 1;
	int sms = 0, blocks;

	for (unsigned int i = 0; i < config->numAttrs; i++)
		if (config->attrs[i].id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
			size = config->attrs[i].value.clusterDim.x *
			       config->attrs[i].value.clusterDim.y *
			       config->attrs[i].value.clusterDim.z;
	record_attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &sms);
	blocks = blocks_per_sm((struct record_function *)handle,
			       (int)(config->blockDimX * config->blockDimY * config->blockDimZ),
			       config->sharedMemBytes);
	*clusters = size ? blocks * sms / (int)size : 0;
	return CUDA_SUCCESS;
}

static CUresult
record_cuOccupancyMaxPotentialClusterSize(int *size, CUfunction function,
					  const CUlaunchConfig *config)
{
	(void)function;
	(void)config;
	*size = 8;
	return CUDA_SUCCESS;
}

static CUresult
record_cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned int count,
			  CUjit_option *options, void **values)
{
	(void)count;
	(void)options;
	(void)values;
	return record_cuModuleLoadData(module, image);
}

void
record_fill_kernels(struct genie_driver *drv)
{
	drv->cuModuleLoadData = record_cuModuleLoadData;
	drv->cuModuleLoadDataEx = record_cuModuleLoadDataEx;
	drv->cuModuleLoadFatBinary = record_cuModuleLoadData;
	drv->cuModuleUnload = record_cuModuleUnload;
	drv->cuModuleGetFunction = record_cuModuleGetFunction;
	drv->cuModuleGetGlobal_v2 = record_cuModuleGetGlobal_v2;
	drv->cuModuleGetLoadingMode = record_cuModuleGetLoadingMode;
	drv->cuModuleGetFunctionCount = record_cuModuleGetFunctionCount;
	drv->cuModuleEnumerateFunctions = record_cuModuleEnumerateFunctions;
	drv->cuFuncGetAttribute = record_cuFuncGetAttribute;
	drv->cuFuncSetAttribute = record_cuFuncSetAttribute;
	drv->cuFuncGetParamInfo = record_cuFuncGetParamInfo;
	drv->cuFuncGetName = record_cuFuncGetName;
	drv->cuFuncGetModule = record_cuFuncGetModule;
	drv->cuFuncIsLoaded = record_cuFuncIsLoaded;
	drv->cuLaunchKernel = record_cuLaunchKernel;
	drv->cuLaunchKernelEx = record_cuLaunchKernelEx;
	drv->cuLaunchCooperativeKernel = record_cuLaunchCooperativeKernel;
	drv->cuOccupancyMaxActiveBlocksPerMultiprocessor =
		record_cuOccupancyMaxActiveBlocksPerMultiprocessor;
	drv->cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags =
		record_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags;
	drv->cuOccupancyMaxPotentialBlockSize = record_cuOccupancyMaxPotentialBlockSize;
	drv->cuOccupancyMaxPotentialBlockSizeWithFlags =
		record_cuOccupancyMaxPotentialBlockSizeWithFlags;
	drv->cuOccupancyAvailableDynamicSMemPerBlock =
		record_cuOccupancyAvailableDynamicSMemPerBlock;
	drv->cuOccupancyMaxActiveClusters = record_cuOccupancyMaxActiveClusters;
	drv->cuOccupancyMaxPotentialClusterSize = record_cuOccupancyMaxPotentialClusterSize;
}
