/*
 * NVML: sets of events. The events of a GPU (XID errors, changes of clocks) are those of the
 * server's administrator, so the remote devices say that they have none, as others do whose driver
 * has none. A set can be made and waited for all the same: monitors do so before they look at what
 * a device has, and nvidia-smi ends with an error if it cannot.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "interpose/nvml_device.h"

struct nvmlEventSet_st {
	char unused;
};

nvmlReturn_t
genie_nvmlEventSetCreate(nvmlEventSet_t *set)
{
	if (!set)
		return NVML_ERROR_INVALID_ARGUMENT;
	*set = (nvmlEventSet_t)calloc(1, sizeof(struct nvmlEventSet_st));
	return *set ? NVML_SUCCESS : NVML_ERROR_MEMORY;
}

nvmlReturn_t
genie_nvmlEventSetFree(nvmlEventSet_t set)
{
	if (!set)
		return NVML_ERROR_INVALID_ARGUMENT;
	free((void *)set);
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *eventTypes)
{
	if (genie_nvml_device(device) < 0 || !eventTypes)
		return NVML_ERROR_INVALID_ARGUMENT;
	*eventTypes = 0;
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long eventTypes,
			       nvmlEventSet_t set)
{
	if (genie_nvml_device(device) < 0 || !set)
		return NVML_ERROR_INVALID_ARGUMENT;
	return eventTypes ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms)
{
	struct timespec left = {timeoutms / 1000, timeoutms % 1000 * 1000000l};

	if (!set || !data)
		return NVML_ERROR_INVALID_ARGUMENT;
	while (nanosleep(&left, &left) && errno == EINTR)
		;
	return NVML_ERROR_TIMEOUT;
}

nvmlReturn_t
genie_nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms)
{
	return genie_nvmlEventSetWait_v2(set, data, timeoutms);
}
