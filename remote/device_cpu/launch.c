/* Kernel launches: the limits, the parameters, and what a fault becomes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "remote/device_cpu/graph.h"
#include "remote/device_cpu/occupancy.h"

#define CLUSTER_BIG_MAX 16u

static uint64_t
volume(const uint32_t size[3])
{
	return (uint64_t)size[0] * size[1] * size[2];
}

static CUresult
check_cluster(const struct genie_cpu_kernel_op *kernel)
{
	uint64_t most =
		kernel->function->non_portable_cluster ? CLUSTER_BIG_MAX : GENIE_CPU_CLUSTER_MAX;

	if (volume(kernel->cluster) > most)
		return CUDA_ERROR_INVALID_CLUSTER_SIZE;
	for (int i = 0; i < 3; i++)
		if (!kernel->cluster[i] || kernel->grid[i] % kernel->cluster[i])
			return CUDA_ERROR_INVALID_CLUSTER_SIZE;
	return CUDA_SUCCESS;
}

CUresult
genie_cpu_kernel_check(const struct genie_cpu_context *ctx,
		       const struct genie_cpu_kernel_op *kernel)
{
	const struct genie_cpu_function *function = kernel->function;
	const struct ptx_kernel_info *info = &function->info;
	uint64_t threads = volume(kernel->block);
	CUresult status;

	if (!volume(kernel->grid) || !threads)
		return CUDA_ERROR_INVALID_VALUE;
	if (kernel->grid[0] > 0x7fffffff || kernel->grid[1] > 65535 || kernel->grid[2] > 65535)
		return CUDA_ERROR_INVALID_VALUE;
	if (kernel->block[0] > 1024 || kernel->block[1] > 1024 || kernel->block[2] > 64 ||
	    threads > GENIE_CPU_BLOCK_THREADS)
		return CUDA_ERROR_INVALID_VALUE;
	if (threads > info->max_threads)
		return CUDA_ERROR_INVALID_VALUE;
	if (info->req_threads[0] && memcmp(info->req_threads, kernel->block, sizeof(kernel->block)))
		return CUDA_ERROR_INVALID_VALUE;
	if (kernel->shared > function->max_dynamic_shared)
		return CUDA_ERROR_INVALID_VALUE;
	status = check_cluster(kernel);
	if (status != CUDA_SUCCESS)
		return status;
	/* all blocks of a cooperative grid must be there at once */
	if (kernel->cooperative &&
	    volume(kernel->grid) > (uint64_t)genie_cpu_context_sms(ctx) *
					   genie_cpu_blocks_per_sm(function, (unsigned int)threads,
								   kernel->shared))
		return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
	return CUDA_SUCCESS;
}

static CUresult
fault_status(const struct ptx_fault *fault)
{
	switch (fault->kind) {
	case PTX_FAULT_ADDRESS:
		return CUDA_ERROR_ILLEGAL_ADDRESS;
	case PTX_FAULT_MISALIGNED:
		return CUDA_ERROR_MISALIGNED_ADDRESS;
	case PTX_FAULT_ASSERT:
		return CUDA_ERROR_ASSERT;
	case PTX_FAULT_INSTRUCTION:
		return CUDA_ERROR_ILLEGAL_INSTRUCTION;
	case PTX_FAULT_TRAP:
		return CUDA_ERROR_LAUNCH_FAILED;
	case PTX_FAULT_UNSUPPORTED:
		return CUDA_ERROR_NOT_SUPPORTED;
	}
	return CUDA_ERROR_LAUNCH_FAILED;
}

/* Device printf goes to who opened the device. */
static void
print(void *data, const char *text, size_t len)
{
	const struct genie_backend *backend = genie_cpu.backend;

	(void)data;
	if (backend && backend->events.output)
		backend->events.output(backend->events.data, text, len, false);
}

/* What an assertion that failed says. */
static void
complain(void *data, const char *text, size_t len)
{
	const struct genie_backend *backend = genie_cpu.backend;

	(void)data;
	if (backend && backend->events.output)
		backend->events.output(backend->events.data, text, len, true);
}

/* Who asked for checked execution sees on the program's own stderr what it found. */
static void
tell(const char *what, const char *line)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "genie: %s%s\n", what, line);

	if (n > 0)
		complain(NULL, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static void
report(void *data, const char *line)
{
	(void)data;
	genie_warn("%s", line);
	tell("", line);
}

CUresult
genie_cpu_kernel_run(struct genie_cpu_context *ctx, const struct genie_cpu_kernel_op *kernel)
{
	struct ptx_launch launch = {
		.dynamic_shared = kernel->shared,
		.cooperative = kernel->cooperative,
		.params = kernel->params,
		.params_size = kernel->params_size,
		.output = print,
		.complain = complain,
		.report = report,
	};
	struct ptx_fault fault = {0};
	CUresult status;

	if (ctx && ctx->sms) {
		launch.sms = ctx->sms->list;
		launch.sm_count = ctx->sms->count;
	}
	genie_cpu_launching_prepare(&launch);
	memcpy(launch.grid, kernel->grid, sizeof(launch.grid));
	memcpy(launch.block, kernel->block, sizeof(launch.block));
	memcpy(launch.cluster, kernel->cluster, sizeof(launch.cluster));
	switch (ptx_run(kernel->function->kernel, &launch, &fault)) {
	case PTX_OK:
		return genie_cpu_launching_forget(ctx);
	case PTX_FAULT:
		/* names the kernel, the thread and the address itself */
		genie_warn("kernel fault: %.*s", (int)sizeof(fault.text), fault.text);
		if (ptx_check_flags())
			tell("kernel fault: ", fault.text);
		status = fault_status(&fault);
		/* memory may be in any state now: as with the driver, the context is lost */
		if (fault.kind != PTX_FAULT_UNSUPPORTED)
			genie_cpu_context_lose(ctx, status);
		return status;
	case PTX_NOMEM:
		return CUDA_ERROR_OUT_OF_MEMORY;
	case PTX_INVALID:
		return CUDA_ERROR_INVALID_VALUE;
	case PTX_SYNTAX:
		genie_warn("kernel %.200s: %.*s", kernel->function->info.name,
			   (int)sizeof(fault.text), fault.text);
		return CUDA_ERROR_INVALID_PTX;
	case PTX_UNSUPPORTED:
		genie_warn("kernel %.200s cannot run on the CPU device: %.*s",
			   kernel->function->info.name, (int)sizeof(fault.text), fault.text);
		return CUDA_ERROR_NO_BINARY_FOR_GPU;
	case PTX_ABORTED:
		break;
	}
	genie_cpu_context_lose(ctx, CUDA_ERROR_LAUNCH_FAILED);
	return CUDA_ERROR_LAUNCH_FAILED;
}

/* Parameters one by one: params[i] points to the i-th. */
static CUresult
pack_array(const struct genie_cpu_function *function, void **params, uint8_t *buffer)
{
	for (uint32_t i = 0; i < function->info.param_count; i++) {
		uint32_t offset, size;

		if (ptx_kernel_param(function->kernel, i, &offset, &size) < 0 ||
		    offset > function->info.param_size ||
		    size > function->info.param_size - offset || !params[i])
			return CUDA_ERROR_INVALID_VALUE;
		memcpy(buffer + offset, params[i], size);
	}
	return CUDA_SUCCESS;
}

/* Parameters as a buffer: pairs of a key and a value, then the end. */
static CUresult
pack_extra(const struct genie_cpu_function *function, void **extra, uint8_t *buffer)
{
	const void *data = NULL;
	size_t size = 0;

	for (size_t i = 0; extra[i] != CU_LAUNCH_PARAM_END; i += 2) {
		if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER)
			data = extra[i + 1];
		else if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE)
			size = *(size_t *)extra[i + 1];
		else
			return CUDA_ERROR_INVALID_VALUE;
	}
	/* the driver's own rules: too much is an error, too little is not */
	if (size > function->info.param_size)
		return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
	if (size && !data)
		return CUDA_ERROR_INVALID_VALUE;
	if (size)
		memcpy(buffer, data, size);
	return CUDA_SUCCESS;
}

CUresult
genie_cpu_params_pack(const struct genie_cpu_function *function, void **params, void **extra,
		      void **ret_params, size_t *ret_size)
{
	size_t size = function->info.param_size;
	uint8_t *buffer;
	CUresult status = CUDA_SUCCESS;

	if ((params && extra) || (size && !params && !extra))
		return CUDA_ERROR_INVALID_VALUE;
	buffer = calloc(1, size ? size : 1);
	if (!buffer)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (params)
		status = pack_array(function, params, buffer);
	else if (extra)
		status = pack_extra(function, extra, buffer);
	if (status != CUDA_SUCCESS) {
		free(buffer);
		return status;
	}
	*ret_params = buffer;
	*ret_size = size;
	return CUDA_SUCCESS;
}

static CUresult
record_after(CUevent event, CUstream stream)
{
	return event ? genie_cpu.backend->drv.cuEventRecord(event, stream) : CUDA_SUCCESS;
}

CUresult
genie_cpu_kernel_attribute(struct genie_cpu_kernel_op *kernel, CUlaunchAttributeID id,
			   const CUlaunchAttributeValue *value)
{
	switch ((int)id) {
	case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
		kernel->cooperative = value->cooperative != 0;
		return CUDA_SUCCESS;
	case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
		kernel->cluster[0] = value->clusterDim.x;
		kernel->cluster[1] = value->clusterDim.y;
		kernel->cluster[2] = value->clusterDim.z;
		kernel->cluster_set = true;
		return CUDA_SUCCESS;
	case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
		return CUDA_ERROR_NOT_SUPPORTED;
	default:
		return (unsigned int)id < CU_LAUNCH_ATTRIBUTE_MAX ? CUDA_SUCCESS
								  : CUDA_ERROR_INVALID_VALUE;
	}
}

/* Reads a launch's attributes. */
static CUresult
read_attributes(const CUlaunchConfig *config, struct genie_cpu_kernel_op *kernel,
		CUevent *ret_event)
{
	CUresult status = CUDA_SUCCESS;

	for (unsigned int i = 0; i < config->numAttrs && status == CUDA_SUCCESS; i++) {
		const CUlaunchAttributeValue *value = &config->attrs[i].value;

		if ((int)config->attrs[i].id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT)
			*ret_event = value->programmaticEvent.event;
		else if ((int)config->attrs[i].id == CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT)
			*ret_event = value->launchCompletionEvent.event;
		status = genie_cpu_kernel_attribute(kernel, config->attrs[i].id, value);
	}
	return status;
}

static CUresult
launch(const CUlaunchConfig *config, int cooperative, CUfunction handle, void **params,
       void **extra)
{
	struct genie_cpu_function *function = genie_cpu_function_get(handle);
	struct genie_cpu_op op = {.kind = GENIE_CPU_OP_KERNEL};
	CUevent event = NULL;
	CUresult status;

	if (!function)
		return CUDA_ERROR_INVALID_HANDLE;
	if (config->numAttrs && !config->attrs)
		return CUDA_ERROR_INVALID_VALUE;
	op.kernel = (struct genie_cpu_kernel_op){
		.function = function,
		.grid = {config->gridDimX, config->gridDimY, config->gridDimZ},
		.block = {config->blockDimX, config->blockDimY, config->blockDimZ},
		.shared = config->sharedMemBytes,
		.cooperative = cooperative,
	};
	genie_cpu_kernel_cluster(&op.kernel);
	status = read_attributes(config, &op.kernel, &event);
	if (status != CUDA_SUCCESS)
		return status;
	status = genie_cpu_params_pack(function, params, extra, &op.kernel.params,
				       &op.kernel.params_size);
	if (status != CUDA_SUCCESS)
		return status;
	status = genie_cpu_submit(config->hStream, &op);
	free(op.kernel.params);
	return status == CUDA_SUCCESS ? record_after(event, config->hStream) : status;
}

void
genie_cpu_kernel_cluster(struct genie_cpu_kernel_op *kernel)
{
	for (int i = 0; i < 3; i++) {
		int size = kernel->function->cluster[i];

		kernel->cluster[i] = size > 0 ? (uint32_t)size : 1;
	}
}

static CUresult
cpu_cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **params, void **extra)
{
	return config ? launch(config, 0, function, params, extra) : CUDA_ERROR_INVALID_VALUE;
}

static CUresult
cpu_cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
		   unsigned int grid_z, unsigned int block_x, unsigned int block_y,
		   unsigned int block_z, unsigned int shared, CUstream stream, void **params,
		   void **extra)
{
	CUlaunchConfig config = {
		.gridDimX = grid_x,
		.gridDimY = grid_y,
		.gridDimZ = grid_z,
		.blockDimX = block_x,
		.blockDimY = block_y,
		.blockDimZ = block_z,
		.sharedMemBytes = shared,
		.hStream = stream,
	};

	return launch(&config, 0, function, params, extra);
}

static CUresult
cpu_cuLaunchCooperativeKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
			      unsigned int grid_z, unsigned int block_x, unsigned int block_y,
			      unsigned int block_z, unsigned int shared, CUstream stream,
			      void **params)
{
	CUlaunchConfig config = {
		.gridDimX = grid_x,
		.gridDimY = grid_y,
		.gridDimZ = grid_z,
		.blockDimX = block_x,
		.blockDimY = block_y,
		.blockDimZ = block_z,
		.sharedMemBytes = shared,
		.hStream = stream,
	};

	return launch(&config, 1, function, params, NULL);
}

void
genie_cpu_fill_launch(struct genie_driver *drv)
{
	drv->cuLaunchKernel = cpu_cuLaunchKernel;
	drv->cuLaunchKernelEx = cpu_cuLaunchKernelEx;
	drv->cuLaunchCooperativeKernel = cpu_cuLaunchCooperativeKernel;
}
