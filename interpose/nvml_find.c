/* NVML: finding a device by what names it, and the ones near it. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "interpose/nvml_device.h"

static unsigned int
device_attr(int ordinal, CUdevice_attribute attribute)
{
	return (unsigned int)genie_client.server_devices[ordinal].attrs[attribute];
}

nvmlReturn_t
genie_nvmlDeviceGetHandleByPciBusId_v2(const char *pciBusId, nvmlDevice_t *device)
{
	unsigned int domain = 0, bus = 0, slot = 0;

	if (!pciBusId || !device)
		return NVML_ERROR_INVALID_ARGUMENT;
	if (sscanf(pciBusId, "%x:%x:%x", &domain, &bus, &slot) != 3) {
		domain = 0;
		if (sscanf(pciBusId, "%x:%x", &bus, &slot) != 2)
			return NVML_ERROR_INVALID_ARGUMENT;
	}
	for (int i = 0; i < (int)genie_client.welcome->device_count; i++) {
		if (device_attr(i, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID) == domain &&
		    device_attr(i, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID) == bus &&
		    device_attr(i, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID) == slot) {
			*device = genie_nvml_handle(i);
			return NVML_SUCCESS;
		}
	}
	return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t
genie_nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
	char text[NVML_DEVICE_UUID_V2_BUFFER_SIZE];

	if (!uuid || !device)
		return NVML_ERROR_INVALID_ARGUMENT;
	for (int i = 0; i < (int)genie_client.welcome->device_count; i++) {
		genie_nvmlDeviceGetUUID(genie_nvml_handle(i), text, sizeof(text));
		if (!strcasecmp(text, uuid)) {
			*device = genie_nvml_handle(i);
			return NVML_SUCCESS;
		}
	}
	return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t
genie_nvmlDeviceGetHandleByUUIDV(const nvmlUUID_t *uuid, nvmlDevice_t *device)
{
	char text[sizeof(uuid->value.str) + 1] = "";

	if (!uuid || !device)
		return NVML_ERROR_INVALID_ARGUMENT;
	if (uuid->version != GENIE_NVML_VERSION(nvmlUUID_t, 1))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	if (uuid->type == NVML_UUID_TYPE_ASCII) {
		memcpy(text, uuid->value.str, sizeof(uuid->value.str));
		return genie_nvmlDeviceGetHandleByUUID(text, device);
	}
	if (uuid->type != NVML_UUID_TYPE_BINARY)
		return NVML_ERROR_INVALID_ARGUMENT;
	for (int i = 0; i < (int)genie_client.welcome->device_count; i++) {
		if (!memcmp(genie_client.server_devices[i].uuid, uuid->value.bytes, 16)) {
			*device = genie_nvml_handle(i);
			return NVML_SUCCESS;
		}
	}
	return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t
genie_nvmlDeviceGetHandleBySerial(const char *serial, nvmlDevice_t *device)
{
	char text[NVML_DEVICE_SERIAL_BUFFER_SIZE];

	if (!serial || !device)
		return NVML_ERROR_INVALID_ARGUMENT;
	for (int i = 0; i < (int)genie_client.welcome->device_count; i++) {
		struct genie_args_nvmlDeviceGetSerial args = {
			.device = genie_nvml_handle(i), .serial = text, .length = sizeof(text)};

		if (genie_nvml_call(GENIE_OP_nvmlDeviceGetSerial, &args) == NVML_SUCCESS &&
		    !strncmp(text, serial, sizeof(text))) {
			*device = genie_nvml_handle(i);
			return NVML_SUCCESS;
		}
	}
	return NVML_ERROR_NOT_FOUND;
}

/* Those whose way to @device is exactly of that level. */
nvmlReturn_t
genie_nvmlDeviceGetTopologyNearestGpus(nvmlDevice_t device, nvmlGpuTopologyLevel_t level,
				       unsigned int *count, nvmlDevice_t *deviceArray)
{
	unsigned int found = 0;

	if (genie_nvml_device(device) < 0 || !count || (*count && !deviceArray))
		return NVML_ERROR_INVALID_ARGUMENT;
	for (int i = 0; i < (int)genie_client.welcome->device_count; i++) {
		nvmlGpuTopologyLevel_t between = NVML_TOPOLOGY_INTERNAL;
		struct genie_args_nvmlDeviceGetTopologyCommonAncestor args = {
			.device1 = device,
			.device2 = genie_nvml_handle(i),
			.pathInfo = &between,
		};
		nvmlReturn_t status;

		if (args.device2 == device)
			continue;
		status = genie_nvml_call(GENIE_OP_nvmlDeviceGetTopologyCommonAncestor, &args);
		if (status != NVML_SUCCESS)
			return status;
		if (between != level)
			continue;
		if (found < *count)
			deviceArray[found] = args.device2;
		found++;
	}
	*count = found;
	return NVML_SUCCESS;
}
