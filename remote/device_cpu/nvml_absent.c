/*
 * NVML for a device made of software: what it does not have, and says so in the form that each
 * function has for it.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/nvml.h"

static nvmlReturn_t
no_processes(nvmlDevice_t dev, unsigned int *count, nvmlProcessInfo_t *infos)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, count);

	(void)infos;
	if (status == NVML_SUCCESS)
		*count = 0;
	return status;
}

static nvmlReturn_t
soft_nvmlDeviceGetFieldValues(nvmlDevice_t dev, int count, nvmlFieldValue_t *values)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, values);

	if (status != NVML_SUCCESS)
		return status;
	for (int i = 0; i < count; i++)
		values[i].nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
	return NVML_SUCCESS;
}

static nvmlReturn_t
soft_nvmlSystemGetConfComputeState(nvmlConfComputeSystemState_t *state)
{
	if (!state)
		return NVML_ERROR_INVALID_ARGUMENT;
	*state = (nvmlConfComputeSystemState_t){0};
	return NVML_SUCCESS;
}

static nvmlReturn_t
soft_nvmlSystemGetConfComputeSettings(nvmlSystemConfComputeSettings_t *settings)
{
	if (!settings)
		return NVML_ERROR_INVALID_ARGUMENT;
	if (settings->version != GENIE_NVML_VERSION(nvmlSystemConfComputeSettings_t, 1))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	*settings = (nvmlSystemConfComputeSettings_t){.version = settings->version};
	return NVML_SUCCESS;
}

/* Part of no fabric: what comes before the fields that later versions added. */
static nvmlReturn_t
soft_nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t dev, nvmlGpuFabricInfoV_t *info)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, info);

	if (status != NVML_SUCCESS)
		return status;
	if ((info->version & 0xffffff) <= offsetof(nvmlGpuFabricInfoV_t, state))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	memset(info->clusterUuid, 0, sizeof(info->clusterUuid));
	info->cliqueId = 0;
	info->state = NVML_GPU_FABRIC_STATE_NOT_SUPPORTED;
	info->status = NVML_SUCCESS;
	return NVML_SUCCESS;
}

/* ---- events: there are none, which can be waited for ---- */

static nvmlReturn_t
soft_nvmlEventSetCreate(nvmlEventSet_t *set)
{
	if (!set)
		return NVML_ERROR_INVALID_ARGUMENT;
	*set = malloc(1);
	return *set ? NVML_SUCCESS : NVML_ERROR_MEMORY;
}

static nvmlReturn_t
soft_nvmlEventSetFree(nvmlEventSet_t set)
{
	free(set);
	return set ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

static nvmlReturn_t
soft_nvmlDeviceRegisterEvents(nvmlDevice_t dev, unsigned long long types, nvmlEventSet_t set)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, set);

	if (status == NVML_SUCCESS && types)
		return NVML_ERROR_NOT_SUPPORTED;
	return status;
}

static nvmlReturn_t
soft_nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeout)
{
	(void)timeout; /* the worker's is 0 */
	return set && data ? NVML_ERROR_TIMEOUT : NVML_ERROR_INVALID_ARGUMENT;
}

static nvmlReturn_t
soft_nvmlGpmQueryDeviceSupport(nvmlDevice_t dev, nvmlGpmSupport_t *support)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, support);

	if (status == NVML_SUCCESS && support->version != NVML_GPM_SUPPORT_VERSION)
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	if (status == NVML_SUCCESS)
		support->isSupportedDevice = 0;
	return status;
}

/* What such a device never does, and modes that are always off. */
static nvmlReturn_t
always_off(nvmlDevice_t dev, nvmlEnableState_t *state)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, state);

	if (status == NVML_SUCCESS)
		*state = NVML_FEATURE_DISABLED;
	return status;
}

static nvmlReturn_t
no_reasons(nvmlDevice_t dev, unsigned long long *mask)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, mask);

	if (status == NVML_SUCCESS)
		*mask = 0;
	return status;
}

static nvmlReturn_t
always_zero(nvmlDevice_t dev, unsigned int *value)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, value);

	if (status == NVML_SUCCESS)
		*value = 0;
	return status;
}

void
genie_soft_nvml_fill_absent(struct genie_nvml *nvml)
{
	nvml->nvmlSystemGetConfComputeState = soft_nvmlSystemGetConfComputeState;
	nvml->nvmlDeviceGetGraphicsRunningProcesses_v3 = no_processes;
	nvml->nvmlDeviceGetMPSComputeRunningProcesses_v3 = no_processes;
	nvml->nvmlDeviceGetFieldValues = soft_nvmlDeviceGetFieldValues;
	nvml->nvmlSystemGetConfComputeSettings = soft_nvmlSystemGetConfComputeSettings;
	nvml->nvmlDeviceGetGpuFabricInfoV = soft_nvmlDeviceGetGpuFabricInfoV;
	nvml->nvmlDeviceGetDisplayMode = always_off;
	nvml->nvmlDeviceGetDisplayActive = always_off;
	nvml->nvmlDeviceGetAccountingMode = always_off;
	nvml->nvmlDeviceGetNumFans = always_zero;
	nvml->nvmlDeviceGetSupportedClocksThrottleReasons = no_reasons;
	nvml->nvmlDeviceGetSupportedClocksEventReasons = no_reasons;
	nvml->nvmlDeviceGetSupportedEventTypes = no_reasons;
	nvml->nvmlEventSetCreate = soft_nvmlEventSetCreate;
	nvml->nvmlEventSetFree = soft_nvmlEventSetFree;
	nvml->nvmlDeviceRegisterEvents = soft_nvmlDeviceRegisterEvents;
	nvml->nvmlEventSetWait_v2 = soft_nvmlEventSetWait_v2;
	nvml->nvmlGpmQueryDeviceSupport = soft_nvmlGpmQueryDeviceSupport;
}
