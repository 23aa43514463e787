/*
 * NVML: what CUDA says of a device too, answered from the block that came with WELCOME, so that
 * the two never disagree.
 */
#include "interpose/nvml_device.h"

#include <stdio.h>
#include <string.h>

/* NULL: not one of our handles. */
static const struct genie_device_info *
device_info(nvmlDevice_t device)
{
	int ordinal = genie_nvml_device(device);

	return ordinal < 0 ? NULL : &genie_client.server_devices[ordinal];
}

/* A slice of a GPU (MIG): the worker names it, and knows what there is to know of it. */
static bool
is_slice(nvmlDevice_t device)
{
	uint64_t token = (uintptr_t)device;

	return genie_token_kind(token) == GENIE_KIND_NVMLDEV &&
	       genie_token_index(token) >= GENIE_TOKEN_SERVER_BASE;
}

/* Most answers: one number. NVML_SUCCESS, or what is wrong with the arguments. */
static nvmlReturn_t
device_number(nvmlDevice_t device, unsigned int value, unsigned int *ret_value)
{
	if (!device_info(device) || !ret_value)
		return NVML_ERROR_INVALID_ARGUMENT;
	*ret_value = value;
	return NVML_SUCCESS;
}

static unsigned int
device_attr(nvmlDevice_t device, CUdevice_attribute attribute)
{
	const struct genie_device_info *info = device_info(device);

	return info ? (unsigned int)info->attrs[attribute] : 0;
}

/* ---- who it is ---- */

nvmlReturn_t
genie_nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length)
{
	const struct genie_device_info *info = device_info(device);
	struct genie_args_nvmlDeviceGetName args = {
		.device = device, .name = name, .length = length};

	if (is_slice(device) && name && length)
		return genie_nvml_call(GENIE_OP_nvmlDeviceGetName, &args);
	return info ? genie_nvml_text(info->name, name, length) : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t
genie_nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length)
{
	const struct genie_device_info *info = device_info(device);
	struct genie_args_nvmlDeviceGetUUID args = {
		.device = device, .uuid = uuid, .length = length};
	char text[NVML_DEVICE_UUID_V2_BUFFER_SIZE] = "GPU-";
	size_t n = 4;

	if (is_slice(device) && uuid && length)
		return genie_nvml_call(GENIE_OP_nvmlDeviceGetUUID, &args);
	if (!info)
		return NVML_ERROR_INVALID_ARGUMENT;
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			text[n++] = '-';
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%02x", info->uuid[i]);
	}
	return genie_nvml_text(text, uuid, length);
}

nvmlReturn_t
genie_nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int *index)
{
	return device_number(device, (unsigned int)genie_nvml_device(device), index);
}

/* ---- what it is ---- */

nvmlReturn_t
genie_nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
	if (!device_info(device) || !major || !minor)
		return NVML_ERROR_INVALID_ARGUMENT;
	*major = (int)device_attr(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
	*minor = (int)device_attr(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
	struct genie_args_nvmlDeviceGetAttributes_v2 args = {.device = device,
							     .attributes = attributes};

	if (is_slice(device) && attributes)
		return genie_nvml_call(GENIE_OP_nvmlDeviceGetAttributes_v2, &args);
	return device_info(device) ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t
genie_nvmlDeviceGetMemoryBusWidth(nvmlDevice_t device, unsigned int *busWidth)
{
	return device_number(
		device, device_attr(device, CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH), busWidth);
}

nvmlReturn_t
genie_nvmlDeviceGetComputeMode(nvmlDevice_t device, nvmlComputeMode_t *mode)
{
	if (!device_info(device) || !mode)
		return NVML_ERROR_INVALID_ARGUMENT;
	*mode = (nvmlComputeMode_t)device_attr(device, CU_DEVICE_ATTRIBUTE_COMPUTE_MODE);
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int *isMigDevice)
{
	if (!is_slice(device))
		return device_number(device, 0, isMigDevice);
	if (!isMigDevice)
		return NVML_ERROR_INVALID_ARGUMENT;
	*isMigDevice = 1;
	return NVML_SUCCESS;
}
