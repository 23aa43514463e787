#include "interpose/launch.h"
#include "interpose/capture.h"
#include "interpose/memory.h"
#include "interpose/mirror.h"
#include "interpose/refuse.h"
#include "interpose/sample.h"

#include <errno.h>
#include <string.h>

/* Dynamic shared memory that needs no attribute; static shared memory counts against it. */
#define SHARED_DEFAULT (48u << 10)

/* The fixed part of the payload. Parameters and attributes follow, each padded to 8 bytes. */
struct launch_payload {
	uint64_t present; /* PRESENT_* */
	uint64_t function, stream;
	uint32_t grid[3], block[3];
	uint32_t shared, flags;
	uint64_t params_size;
	uint32_t attr_count, pad;
};
_Static_assert(sizeof(struct launch_payload) == 72, "wire");

#define PRESENT_PARAMS UINT64_C(1)
#define PRESENT_ATTRS  UINT64_C(2)

static size_t
round_up8(size_t size)
{
	return (size + 7) & ~(size_t)7;
}

/* ---- parameters ---- */

/* `extra`: a list of names and values that ends with CU_LAUNCH_PARAM_END. */
static CUresult
extra_parse(void **extra, size_t param_size, const void **ret_buffer, size_t *ret_size)
{
	const void *buffer = NULL;
	const size_t *size = NULL;

	for (; *extra != CU_LAUNCH_PARAM_END; extra += 2) {
		if (*extra == CU_LAUNCH_PARAM_BUFFER_POINTER)
			buffer = extra[1];
		else if (*extra == CU_LAUNCH_PARAM_BUFFER_SIZE)
			size = extra[1];
		else
			return CUDA_ERROR_INVALID_VALUE;
	}
	if (size == NULL || (buffer == NULL && *size != 0))
		return CUDA_ERROR_INVALID_VALUE;
	if (*size > param_size)
		return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
	*ret_buffer = buffer;
	*ret_size = *size;
	return CUDA_SUCCESS;
}

CUresult
genie_launch_params(const struct genie_kernel_desc *desc, void **params, void **extra,
		    const void **ret_buffer, size_t *ret_size)
{
	*ret_buffer = NULL;
	*ret_size = desc->param_size;
	if (params != NULL && extra != NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (params != NULL || desc->param_count == 0)
		return CUDA_SUCCESS;
	if (extra != NULL)
		return extra_parse(extra, desc->param_size, ret_buffer, ret_size);
	return CUDA_ERROR_INVALID_VALUE;
}

/* Nearly all parameters have 4 or 8 bytes: for those the compiler emits a load and a store. */
static inline void
param_copy(char *dst, const void *src, uint32_t size)
{
	if (size == 8)
		memcpy(dst, src, 8);
	else if (size == 4)
		memcpy(dst, src, 4);
	else
		memcpy(dst, src, size);
}

void
genie_launch_pack(const struct genie_kernel_desc *desc, void **params, const void *buffer,
		  void *dst, size_t size)
{
	uint32_t end = 0;

	if (buffer != NULL) {
		memcpy(dst, buffer, size);
		return;
	}
	for (uint32_t i = 0; i < desc->param_count; i++) {
		const struct genie_kernel_param *param = &desc->params[i];

		if (param->offset > end) /* never send what the ring held before */
			memset((char *)dst + end, 0, param->offset - end);
		param_copy((char *)dst + param->offset, params[i], param->size);
		end = param->offset + param->size;
	}
	if (end < size)
		memset((char *)dst + end, 0, size - end);
}

/* ---- checks ---- */

static bool
dims_valid(const unsigned int dims[3], const int limits[3])
{
	for (int i = 0; i < 3; i++) {
		if (dims[i] - 1 >= (unsigned int)limits[i]) /* zero wraps to the largest number */
			return false;
	}
	return true;
}

CUresult
genie_launch_check(const struct genie_function *function, const struct genie_launch *launch)
{
	const struct genie_attrs *attrs = function->attrs;
	const int *limits = genie_client.devices[attrs->device].attrs;
	const unsigned int *block = launch->block;
	unsigned int shared = SHARED_DEFAULT;
	CUresult status;
	uint64_t threads;
	int dynamic = 0;

	if (!dims_valid(launch->grid, &limits[CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X]) ||
	    !dims_valid(block, &limits[CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X]))
		return CUDA_ERROR_INVALID_VALUE;
	threads = (uint64_t)block[0] * block[1] * block[2];
	if (threads > (uint64_t)limits[CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK] ||
	    (function->desc->max_threads != 0 && threads > function->desc->max_threads))
		return CUDA_ERROR_INVALID_VALUE;
	if (launch->shared == 0)
		return CUDA_SUCCESS;
	if (atomic_load_explicit(&attrs->set, memory_order_relaxed) &
	    1u << CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
		shared = (unsigned int)atomic_load_explicit(
			&attrs->values[CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES],
			memory_order_relaxed);
	else
		shared -= function->desc->static_shared < shared ? function->desc->static_shared
								 : shared;
	if (launch->shared <= shared)
		return CUDA_SUCCESS;
	/* More than the image's sections suggest. They also count what the system reserves, so the
	 * driver decides: one question a kernel (seen with cuBLAS, 48 KiB, on an H200). */
	status =
		genie_function_attribute((struct genie_function *)function,
					 CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, &dynamic);
	if (status != CUDA_SUCCESS)
		return status;
	return dynamic >= 0 && launch->shared <= (unsigned int)dynamic ? CUDA_SUCCESS
								       : CUDA_ERROR_INVALID_VALUE;
}

/* ---- the command ---- */

size_t
genie_launch_size(size_t params_size, unsigned int attr_count)
{
	return sizeof(struct launch_payload) + round_up8(params_size) +
	       round_up8(attr_count * sizeof(CUlaunchAttribute));
}

void
genie_launch_encode(void *dst, const struct genie_function *function, uint64_t stream,
		    const struct genie_launch *launch, const void *buffer, size_t params_size)
{
	struct launch_payload *payload = dst;
	char *cursor = (char *)(payload + 1);
	size_t attrs_size = launch->attr_count * sizeof(CUlaunchAttribute);

	*payload = (struct launch_payload){
		.present = (params_size != 0 ? PRESENT_PARAMS : 0) |
			   (attrs_size != 0 ? PRESENT_ATTRS : 0),
		.function = function->object.token,
		.stream = stream,
		.grid = {launch->grid[0], launch->grid[1], launch->grid[2]},
		.block = {launch->block[0], launch->block[1], launch->block[2]},
		.shared = launch->shared,
		.params_size = params_size,
		.attr_count = launch->attr_count,
	};
	if (params_size != 0) {
		size_t padded = round_up8(params_size);

		memset(cursor + padded - 8, 0, 8);
		genie_launch_pack(function->desc, launch->params, buffer, cursor, params_size);
		cursor += padded;
	}
	if (attrs_size != 0) {
		memset(cursor + round_up8(attrs_size) - 8, 0, 8);
		memcpy(cursor, launch->attrs, attrs_size);
	}
}

/* All blocks of a cooperative launch must fit what its context has of the device at the same time.
 */
static CUresult
cooperative_check(const struct genie_function *function, const struct genie_launch *launch,
		  const struct genie_stream *stream)
{
	const unsigned int *grid = launch->grid, *block = launch->block;
	const int *attrs = genie_client.devices[function->attrs->device].attrs;
	uint64_t wanted = (uint64_t)grid[0] * grid[1] * grid[2];
	unsigned int sms = stream->object.ctx->sms;
	int blocks = 0;
	CUresult status;

	status = genie_occupancy_blocks(function, (int)(block[0] * block[1] * block[2]),
					launch->shared, CU_OCCUPANCY_DEFAULT, &blocks);
	if (status != CUDA_SUCCESS)
		return status;
	if (sms == 0)
		sms = (unsigned int)attrs[CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT];
	return wanted <= (uint64_t)blocks * sms ? CUDA_SUCCESS
						: CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
}

/* What the worker would refuse is refused here, by name. */
static CUresult
attrs_check(const struct genie_function *function, const struct genie_launch *launch,
	    const struct genie_stream *stream)
{
	bool cooperative = false;

	if (launch->attr_count > GENIE_LAUNCH_ATTRS_MAX || launch->attrs == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	for (unsigned int i = 0; i < launch->attr_count; i++) {
		switch ((int)launch->attrs[i].id) {
		case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
			cooperative = launch->attrs[i].value.cooperative != 0;
			continue;
		case CU_LAUNCH_ATTRIBUTE_IGNORE:
		case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
		case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
		case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
		case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
		case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
		case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
		case CU_LAUNCH_ATTRIBUTE_PRIORITY:
		case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
		case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
		case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
		case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
		case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
			continue;
		case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
			return genie_refuse("launch attribute DEVICE_UPDATABLE_KERNEL_NODE",
					    "graph nodes are not handed to kernels yet");
		default:
			return genie_refuse("an unknown launch attribute",
					    "it could carry a pointer");
		}
	}
	return cooperative ? cooperative_check(function, launch, stream) : CUDA_SUCCESS;
}

/* Parameters that point to pinned memory the worker does not share: cold, for networks only. */
static CUresult
params_mirror(const struct genie_kernel_desc *desc, void **params, const void *buffer, size_t size)
{
	CUresult status = CUDA_SUCCESS;

	if (buffer != NULL)
		return genie_pinned_mirror_pointers(buffer, size);
	for (uint32_t i = 0; i < desc->param_count && status == CUDA_SUCCESS; i++)
		status = genie_pinned_mirror_pointers(params[i], desc->params[i].size);
	return status;
}

static CUresult
launch_capture(CUfunction handle, const struct genie_launch *launch, struct genie_stream *stream)
{
	const CUDA_KERNEL_NODE_PARAMS params = {
		.func = handle,
		.gridDimX = launch->grid[0],
		.gridDimY = launch->grid[1],
		.gridDimZ = launch->grid[2],
		.blockDimX = launch->block[0],
		.blockDimY = launch->block[1],
		.blockDimZ = launch->block[2],
		.sharedMemBytes = launch->shared,
		.kernelParams = launch->params,
		.extra = launch->extra,
	};
	struct genie_function *function;
	CUresult status = genie_function_get(handle, &function);

	if (status == CUDA_SUCCESS && launch->attr_count != 0)
		status = attrs_check(function, launch, stream);
	return status == CUDA_SUCCESS
		       ? genie_capture_kernel(stream, &params, launch->attrs, launch->attr_count)
		       : status;
}

/* Something is captured: this launch, too? */
static struct genie_capture_entry __attribute__((noinline, cold))
launch_enter(CUfunction handle, const struct genie_launch *launch, struct genie_stream *stream)
{
	struct genie_capture_entry entry = genie_capture_enter_slow(stream);

	if (entry.captured)
		entry.status = launch_capture(handle, launch, stream);
	return entry;
}

/* @sample: NULL, or what to note times in; known when this is compiled. */
static inline __attribute__((always_inline)) CUresult
launch_submit_with(CUfunction handle, const struct genie_launch *launch,
		   struct genie_sample *sample)
{
	struct genie_thread *thread = genie_thread_self();
	struct genie_stream *stream = genie_stream_get(launch->stream);
	struct genie_function *function;
	struct genie_lane *lane;
	size_t params_size, len;
	const void *buffer;
	struct genie_cmd *cmd;
	CUresult status;

	if (sample)
		sample->begin_ns = genie_sample_now();
	if (__builtin_expect(stream == NULL, 0))
		return genie_stream_missing();
	status = genie_function_get(handle, &function);
	if (__builtin_expect(status != CUDA_SUCCESS, 0))
		return status;
	status = genie_launch_check(function, launch);
	if (genie_capture_any() && status == CUDA_SUCCESS) {
		struct genie_capture_entry entry = launch_enter(handle, launch, stream);

		if (entry.captured)
			return entry.status;
		status = entry.status;
	}
	if (status == CUDA_SUCCESS && launch->attr_count != 0)
		status = attrs_check(function, launch, stream);
	if (status == CUDA_SUCCESS)
		status = genie_launch_params(function->desc, launch->params, launch->extra, &buffer,
					     &params_size);
	if (status == CUDA_SUCCESS &&
	    atomic_load_explicit(&genie_pinned_apart, memory_order_relaxed))
		status = params_mirror(function->desc, launch->params, buffer, params_size);
	if (status == CUDA_SUCCESS)
		status = genie_mirror_push(stream);
	if (__builtin_expect(status != CUDA_SUCCESS, 0))
		return status;

	len = sizeof(*cmd) + genie_launch_size(params_size, launch->attr_count);
	lane = genie_thread_lane(thread);
	if (sample)
		sample->known_ns = genie_sample_now();
	cmd = lane != NULL ? genie_lane_begin(lane, len) : NULL;
	if (__builtin_expect(cmd == NULL, 0))
		return genie_chan_failed(-ECONNRESET);
	if (sample)
		sample->room_ns = genie_sample_now();
	genie_launch_encode(cmd + 1, function, stream->object.token, launch, buffer, params_size);
	genie_count(&thread->launches);
	status = genie_commit(thread, cmd, GENIE_OP_genieLaunch, len, stream->object.ctx, stream,
			      NULL);
	if (sample) {
		sample->commit_ns = genie_sample_now();
		genie_sample_add(sample);
	}
	if (__builtin_expect(genie_client.launch_blocking, 0) && status == CUDA_SUCCESS &&
	    !genie_stream_capturing(stream))
		status = genie_stream_synchronize(stream);
	return status;
}

static __attribute__((noinline, cold)) CUresult
launch_submit_sampled(CUfunction handle, const struct genie_launch *launch)
{
	struct genie_sample sample;

	return launch_submit_with(handle, launch, &sample);
}

static CUresult
launch_submit(CUfunction handle, const struct genie_launch *launch)
{
	if (genie_sample_due())
		return launch_submit_sampled(handle, launch);
	return launch_submit_with(handle, launch, NULL);
}

/* ---- the entry points ---- */

CUresult
genie_cuLaunchKernel(CUfunction f, unsigned int gridDimX, unsigned int gridDimY,
		     unsigned int gridDimZ, unsigned int blockDimX, unsigned int blockDimY,
		     unsigned int blockDimZ, unsigned int sharedMemBytes, CUstream hStream,
		     void **kernelParams, void **extra)
{
	const struct genie_launch launch = {
		.grid = {gridDimX, gridDimY, gridDimZ},
		.block = {blockDimX, blockDimY, blockDimZ},
		.shared = sharedMemBytes,
		.stream = hStream,
		.params = kernelParams,
		.extra = extra,
	};

	return launch_submit(f, &launch);
}

CUresult
genie_cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction f, void **kernelParams,
		       void **extra)
{
	struct genie_launch launch;

	if (config == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	launch = (struct genie_launch){
		.grid = {config->gridDimX, config->gridDimY, config->gridDimZ},
		.block = {config->blockDimX, config->blockDimY, config->blockDimZ},
		.shared = config->sharedMemBytes,
		.stream = config->hStream,
		.attrs = config->attrs,
		.attr_count = config->numAttrs,
		.params = kernelParams,
		.extra = extra,
	};
	return launch_submit(f, &launch);
}

CUresult
genie_cuLaunchCooperativeKernel(CUfunction f, unsigned int gridDimX, unsigned int gridDimY,
				unsigned int gridDimZ, unsigned int blockDimX,
				unsigned int blockDimY, unsigned int blockDimZ,
				unsigned int sharedMemBytes, CUstream hStream, void **kernelParams)
{
	const CUlaunchAttribute cooperative = {.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE,
					       .value.cooperative = 1};
	const struct genie_launch launch = {
		.grid = {gridDimX, gridDimY, gridDimZ},
		.block = {blockDimX, blockDimY, blockDimZ},
		.shared = sharedMemBytes,
		.stream = hStream,
		.attrs = &cooperative,
		.attr_count = 1,
		.params = kernelParams,
	};

	return launch_submit(f, &launch);
}
