/*
 * The launch interface of CUDA 3: block shape, shared memory and parameters are set one by one on
 * the function, then it is launched. They are collected here and become an ordinary launch. As
 * natively, one function is not for two threads at a time; the lock only keeps memory whole.
 */
#include <stdlib.h>
#include <string.h>

#include "interpose/kernel.h"
#include "interpose/refuse.h"

struct genie_old_launch {
	unsigned int block[3], shared;
	size_t size; /* of the parameters; cuParamSetSize */
	char params[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what functions collected */

/* Takes the lock when it succeeds. */
static CUresult
collected_locked(CUfunction handle, struct genie_function **ret_function)
{
	struct genie_function *function;
	CUresult status = genie_function_get(handle, &function);

	if (status != CUDA_SUCCESS)
		return status;
	pthread_mutex_lock(&lock);
	if (function->old == NULL) {
		size_t room = function->desc->param_size;

		function->old = calloc(1, sizeof(*function->old) + room);
		if (function->old == NULL) {
			pthread_mutex_unlock(&lock);
			return CUDA_ERROR_OUT_OF_MEMORY;
		}
		function->old->block[0] = function->old->block[1] = function->old->block[2] = 1;
	}
	*ret_function = function;
	return CUDA_SUCCESS;
}

CUresult
genie_cuFuncSetBlockShape(CUfunction hfunc, int x, int y, int z)
{
	struct genie_function *function;
	CUresult status;

	if (x <= 0 || y <= 0 || z <= 0)
		return CUDA_ERROR_INVALID_VALUE;
	status = collected_locked(hfunc, &function);
	if (status != CUDA_SUCCESS)
		return status;
	function->old->block[0] = (unsigned int)x;
	function->old->block[1] = (unsigned int)y;
	function->old->block[2] = (unsigned int)z;
	pthread_mutex_unlock(&lock);
	return CUDA_SUCCESS;
}

CUresult
genie_cuFuncSetSharedSize(CUfunction hfunc, unsigned int bytes)
{
	struct genie_function *function;
	CUresult status = collected_locked(hfunc, &function);

	if (status != CUDA_SUCCESS)
		return status;
	function->old->shared = bytes;
	pthread_mutex_unlock(&lock);
	return CUDA_SUCCESS;
}

CUresult
genie_cuParamSetSize(CUfunction hfunc, unsigned int numbytes)
{
	struct genie_function *function;
	CUresult status = collected_locked(hfunc, &function);

	if (status != CUDA_SUCCESS)
		return status;
	if (numbytes <= function->desc->param_size)
		function->old->size = numbytes;
	else
		status = CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_unlock(&lock);
	return status;
}

CUresult
genie_cuParamSetv(CUfunction hfunc, int offset, void *ptr, unsigned int numbytes)
{
	struct genie_function *function;
	CUresult status;

	if (ptr == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	status = collected_locked(hfunc, &function);
	if (status != CUDA_SUCCESS)
		return status;
	if (offset >= 0 && (size_t)offset <= function->desc->param_size &&
	    numbytes <= function->desc->param_size - (size_t)offset)
		memcpy(function->old->params + offset, ptr, numbytes);
	else
		status = CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_unlock(&lock);
	return status;
}

CUresult
genie_cuParamSeti(CUfunction hfunc, int offset, unsigned int value)
{
	return genie_cuParamSetv(hfunc, offset, &value, sizeof(value));
}

CUresult
genie_cuParamSetf(CUfunction hfunc, int offset, float value)
{
	return genie_cuParamSetv(hfunc, offset, &value, sizeof(value));
}

CUresult
genie_cuLaunchGridAsync(CUfunction f, int grid_width, int grid_height, CUstream hStream)
{
	struct genie_function *function;
	struct genie_old_launch *copy;
	CUresult status;
	size_t room;

	if (grid_width <= 0 || grid_height <= 0)
		return CUDA_ERROR_INVALID_VALUE;
	status = collected_locked(f, &function);
	if (status != CUDA_SUCCESS)
		return status;
	room = function->desc->param_size;
	copy = malloc(sizeof(*copy) + room);
	if (copy != NULL)
		memcpy(copy, function->old, sizeof(*copy) + room);
	pthread_mutex_unlock(&lock);
	if (copy == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;

	void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, copy->params, CU_LAUNCH_PARAM_BUFFER_SIZE,
			 &copy->size, CU_LAUNCH_PARAM_END};

	status = genie_cuLaunchKernel(f, (unsigned int)grid_width, (unsigned int)grid_height, 1,
				      copy->block[0], copy->block[1], copy->block[2], copy->shared,
				      hStream, NULL, extra);
	free(copy);
	return status;
}

CUresult
genie_cuLaunchGrid(CUfunction f, int grid_width, int grid_height)
{
	return genie_cuLaunchGridAsync(f, grid_width, grid_height, NULL);
}

CUresult
genie_cuLaunch(CUfunction f)
{
	return genie_cuLaunchGridAsync(f, 1, 1, NULL);
}

/* One device: an ordinary cooperative launch. */
CUresult
genie_cuLaunchCooperativeKernelMultiDevice(CUDA_LAUNCH_PARAMS *launchParamsList,
					   unsigned int numDevices, unsigned int flags)
{
	const CUDA_LAUNCH_PARAMS *launch = launchParamsList;

	if (launch == NULL || numDevices == 0 ||
	    flags & ~(CUDA_COOPERATIVE_LAUNCH_MULTI_DEVICE_NO_PRE_LAUNCH_SYNC |
		      CUDA_COOPERATIVE_LAUNCH_MULTI_DEVICE_NO_POST_LAUNCH_SYNC))
		return CUDA_ERROR_INVALID_VALUE;
	if (numDevices != 1)
		return genie_refuse("cuLaunchCooperativeKernelMultiDevice on several devices",
				    "CUDA 13 has no grid that spans devices any more");
	return genie_cuLaunchCooperativeKernel(
		launch->function, launch->gridDimX, launch->gridDimY, launch->gridDimZ,
		launch->blockDimX, launch->blockDimY, launch->blockDimZ, launch->sharedMemBytes,
		launch->hStream, launch->kernelParams);
}
