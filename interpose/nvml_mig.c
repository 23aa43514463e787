/*
 * NVML: slices of a GPU (MIG). All of it is the server's answer; here is only how much room there
 * is for lists, which NVML's callers do not say.
 */
#include <string.h>

#include "interpose/nvml_device.h"

/* A GPU has at most seven instances, in fewer places than this. */
#define LIST_MAX 64u

/* The answer to a question for @count items of @size bytes; @list NULL: only how many. */
static nvmlReturn_t
give(nvmlReturn_t status, const void *answer, size_t size, unsigned int n, void *list,
     unsigned int *count)
{
	if (status != NVML_SUCCESS)
		return status;
	if (n > LIST_MAX)
		n = LIST_MAX;
	if (list)
		memcpy(list, answer, n * size);
	*count = n;
	return NVML_SUCCESS;
}

static bool
is(const void *handle, enum genie_kind kind)
{
	return genie_token_kind((uintptr_t)handle) == kind;
}

nvmlReturn_t
genie_nvmlDeviceGetGpuInstancePossiblePlacements_v2(nvmlDevice_t device, unsigned int profileId,
						    nvmlGpuInstancePlacement_t *placements,
						    unsigned int *count)
{
	nvmlGpuInstancePlacement_t list[LIST_MAX];
	unsigned int n = LIST_MAX;
	struct genie_args_nvmlDeviceGetGpuInstancePossiblePlacements_v2 args = {
		.device = device, .profileId = profileId, .placements = list, .count = &n};

	if (!count || !is(device, GENIE_KIND_NVMLDEV))
		return NVML_ERROR_INVALID_ARGUMENT;
	return give(genie_nvml_call(GENIE_OP_nvmlDeviceGetGpuInstancePossiblePlacements_v2, &args),
		    list, sizeof(list[0]), n, placements, count);
}

nvmlReturn_t
genie_nvmlDeviceGetGpuInstancePossiblePlacements(nvmlDevice_t device, unsigned int profileId,
						 nvmlGpuInstancePlacement_t *placements,
						 unsigned int *count)
{
	nvmlGpuInstancePlacement_t list[LIST_MAX];
	unsigned int n = LIST_MAX;
	struct genie_args_nvmlDeviceGetGpuInstancePossiblePlacements args = {
		.device = device, .profileId = profileId, .placements = list, .count = &n};

	if (!count || !is(device, GENIE_KIND_NVMLDEV))
		return NVML_ERROR_INVALID_ARGUMENT;
	return give(genie_nvml_call(GENIE_OP_nvmlDeviceGetGpuInstancePossiblePlacements, &args),
		    list, sizeof(list[0]), n, placements, count);
}

nvmlReturn_t
genie_nvmlDeviceGetGpuInstances(nvmlDevice_t device, unsigned int profileId,
				nvmlGpuInstance_t *gpuInstances, unsigned int *count)
{
	nvmlGpuInstance_t list[LIST_MAX];
	unsigned int n = LIST_MAX;
	struct genie_args_nvmlDeviceGetGpuInstances args = {
		.device = device, .profileId = profileId, .gpuInstances = list, .count = &n};

	if (!gpuInstances || !count || !is(device, GENIE_KIND_NVMLDEV))
		return NVML_ERROR_INVALID_ARGUMENT;
	return give(genie_nvml_call(GENIE_OP_nvmlDeviceGetGpuInstances, &args), list,
		    sizeof(list[0]), n, gpuInstances, count);
}

nvmlReturn_t
genie_nvmlGpuInstanceGetComputeInstancePossiblePlacements(
	nvmlGpuInstance_t gpuInstance, unsigned int profileId,
	nvmlComputeInstancePlacement_t *placements, unsigned int *count)
{
	nvmlComputeInstancePlacement_t list[LIST_MAX];
	unsigned int n = LIST_MAX;
	struct genie_args_nvmlGpuInstanceGetComputeInstancePossiblePlacements args = {
		.gpuInstance = gpuInstance,
		.profileId = profileId,
		.placements = list,
		.count = &n};

	if (!count || !is(gpuInstance, GENIE_KIND_NVMLGI))
		return NVML_ERROR_INVALID_ARGUMENT;
	return give(genie_nvml_call(GENIE_OP_nvmlGpuInstanceGetComputeInstancePossiblePlacements,
				    &args),
		    list, sizeof(list[0]), n, placements, count);
}

nvmlReturn_t
genie_nvmlGpuInstanceGetComputeInstances(nvmlGpuInstance_t gpuInstance, unsigned int profileId,
					 nvmlComputeInstance_t *computeInstances,
					 unsigned int *count)
{
	nvmlComputeInstance_t list[LIST_MAX];
	unsigned int n = LIST_MAX;
	struct genie_args_nvmlGpuInstanceGetComputeInstances args = {.gpuInstance = gpuInstance,
								     .profileId = profileId,
								     .computeInstances = list,
								     .count = &n};

	if (!computeInstances || !count || !is(gpuInstance, GENIE_KIND_NVMLGI))
		return NVML_ERROR_INVALID_ARGUMENT;
	return give(genie_nvml_call(GENIE_OP_nvmlGpuInstanceGetComputeInstances, &args), list,
		    sizeof(list[0]), n, computeInstances, count);
}
