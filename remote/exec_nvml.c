/*
 * NVML's functions whose structs hold handles or pointers, and waiting for events, for which the
 * issuing thread has no time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/exec.h"
#include "wire/gpm.h"

/* ---- handles inside of structs ---- */

struct search {
	const void *handle;
	uint64_t token;
};

static void
look_at(struct genie_object *object, void *data)
{
	struct search *search = data;

	/* The client's own name of a device comes first: it compares handles. */
	if (object->handle == search->handle &&
	    (!search->token || genie_token_index(object->token) < GENIE_TOKEN_SERVER_BASE))
		search->token = object->token;
}

/* The client's name for a device of NVML, 0 without one: a device this session does not have. */
static uint64_t
device_token(struct genie_session *session, nvmlDevice_t device)
{
	struct search search = {.handle = device};

	if (device)
		genie_object_each(&session->objects, GENIE_KIND_NVMLDEV, look_at, &search);
	return search.token;
}

static nvmlReturn_t
find(struct genie_session *session, enum genie_kind kind, const void *token, void **ret_handle)
{
	return genie_session_resolve(session, kind, (uintptr_t)token, ret_handle) == CUDA_SUCCESS
		       ? NVML_SUCCESS
		       : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t
genie_exec_nvmlDeviceGetDeviceHandleFromMigDeviceHandle(
	struct genie_session *session,
	struct genie_args_nvmlDeviceGetDeviceHandleFromMigDeviceHandle *args)
{
	const struct genie_nvml *nvml = genie_session_nvml(session);
	nvmlDevice_t device = NULL;
	void *mig = NULL;
	nvmlReturn_t status = find(session, GENIE_KIND_NVMLDEV, args->migDevice, &mig);

	if (status == NVML_SUCCESS)
		status = nvml->nvmlDeviceGetDeviceHandleFromMigDeviceHandle(mig, &device);
	if (status == NVML_SUCCESS)
		*args->device = (nvmlDevice_t)(uintptr_t)device_token(session, device);
	return status;
}

nvmlReturn_t
genie_exec_nvmlGpuInstanceGetInfo(struct genie_session *session,
				  struct genie_args_nvmlGpuInstanceGetInfo *args)
{
	const struct genie_nvml *nvml = genie_session_nvml(session);
	void *instance = NULL;
	nvmlReturn_t status = find(session, GENIE_KIND_NVMLGI, args->gpuInstance, &instance);

	if (status == NVML_SUCCESS)
		status = nvml->nvmlGpuInstanceGetInfo(instance, args->info);
	if (status == NVML_SUCCESS)
		args->info->device =
			(nvmlDevice_t)(uintptr_t)device_token(session, args->info->device);
	return status;
}

nvmlReturn_t
genie_exec_nvmlComputeInstanceGetInfo_v2(struct genie_session *session,
					 struct genie_args_nvmlComputeInstanceGetInfo_v2 *args)
{
	const struct genie_nvml *nvml = genie_session_nvml(session);
	uint64_t token = 0;
	void *instance = NULL;
	nvmlReturn_t status = find(session, GENIE_KIND_NVMLCI, args->computeInstance, &instance);

	if (status == NVML_SUCCESS)
		status = nvml->nvmlComputeInstanceGetInfo_v2(instance, args->info);
	if (status != NVML_SUCCESS)
		return status;
	args->info->device = (nvmlDevice_t)(uintptr_t)device_token(session, args->info->device);
	if (genie_session_name(session, GENIE_KIND_NVMLGI, (void *)args->info->gpuInstance,
			       &token) != CUDA_SUCCESS)
		return NVML_ERROR_MEMORY;
	args->info->gpuInstance = (nvmlGpuInstance_t)(uintptr_t)token;
	return NVML_SUCCESS;
}

/* ---- events ---- */

/* Looks whether there is one. The client asks again for as long as it wants to wait. */
nvmlReturn_t
genie_exec_nvmlEventSetWait_v2(struct genie_session *session,
			       struct genie_args_nvmlEventSetWait_v2 *args)
{
	const struct genie_nvml *nvml = genie_session_nvml(session);
	void *set = NULL;
	nvmlReturn_t status = find(session, GENIE_KIND_NVMLSET, args->set, &set);

	if (status == NVML_SUCCESS)
		status = nvml->nvmlEventSetWait_v2(set, args->data, 0);
	if (status == NVML_SUCCESS)
		args->data->device =
			(nvmlDevice_t)(uintptr_t)device_token(session, args->data->device);
	return status;
}

/* ---- metrics ---- */

static void
text(char *ret, size_t size, const char *from)
{
	snprintf(ret, size, "%s", from ? from : "");
}

CUresult
genie_exec_genieGpmMetrics(struct genie_session *session, struct genie_args_genieGpmMetrics *args)
{
	const struct genie_nvml *nvml = genie_session_nvml(session);
	nvmlGpmMetricsGet_t *get;
	void *samples[2] = {NULL, NULL};
	nvmlReturn_t status;

	if (!args->count || args->count > GENIE_GPM_METRICS_MAX ||
	    args->size != args->count * sizeof(struct genie_gpm_metric))
		return (CUresult)NVML_ERROR_INVALID_ARGUMENT;
	status = find(session, GENIE_KIND_GPMSAMPLE, (void *)(uintptr_t)args->sample1, &samples[0]);
	if (status == NVML_SUCCESS)
		status = find(session, GENIE_KIND_GPMSAMPLE, (void *)(uintptr_t)args->sample2,
			      &samples[1]);
	if (status != NVML_SUCCESS)
		return (CUresult)status;
	get = calloc(1, sizeof(*get));
	if (!get)
		return (CUresult)NVML_ERROR_MEMORY;
	get->version = NVML_GPM_METRICS_GET_VERSION;
	get->numMetrics = args->count;
	get->sample1 = samples[0];
	get->sample2 = samples[1];
	for (unsigned int i = 0; i < args->count; i++)
		get->metrics[i].metricId = args->ids[i];
	status = nvml->nvmlGpmMetricsGet(get);
	for (unsigned int i = 0; i < args->count && status == NVML_SUCCESS; i++) {
		const nvmlGpmMetric_t *from = &get->metrics[i];
		struct genie_gpm_metric to = {.id = from->metricId,
					      .status = (int32_t)from->nvmlReturn,
					      .value = from->value};

		text(to.short_name, sizeof(to.short_name), from->metricInfo.shortName);
		text(to.long_name, sizeof(to.long_name), from->metricInfo.longName);
		text(to.unit, sizeof(to.unit), from->metricInfo.unit);
		memcpy(args->metrics + i * sizeof(to), &to, sizeof(to));
	}
	free(get);
	return (CUresult)status;
}
