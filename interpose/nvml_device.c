/*
 * NVML, part two: what never changes about a device, answered from the block that came with
 * WELCOME. Readings (memory in use, temperature, clocks) are generated calls to the worker.
 */
#include "interpose/nvml_device.h"

#include <stdio.h>
#include <string.h>

/* NULL: not one of our handles. */
static const struct genie_device_info *
device_info(nvmlDevice_t device)
{
	int ordinal = genie_nvml_device(device);

	return ordinal < 0 ? NULL : &genie_client.devices[ordinal];
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

	return info ? genie_nvml_text(info->name, name, length) : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t
genie_nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length)
{
	const struct genie_device_info *info = device_info(device);
	char text[NVML_DEVICE_UUID_V2_BUFFER_SIZE] = "GPU-";
	size_t n = 4;

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
genie_nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
	if (!device_info(device) || !pci)
		return NVML_ERROR_INVALID_ARGUMENT;
	memset(pci, 0, sizeof(*pci));
	pci->domain = device_attr(device, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID);
	pci->bus = device_attr(device, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID);
	pci->device = device_attr(device, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID);
	snprintf(pci->busId, sizeof(pci->busId), "%08X:%02X:%02X.0", pci->domain, pci->bus,
		 pci->device);
	snprintf(pci->busIdLegacy, sizeof(pci->busIdLegacy), "%04X:%02X:%02X.0",
		 pci->domain & 0xffff, pci->bus & 0xff, pci->device & 0xff);
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int *index)
{
	return device_number(device, (unsigned int)genie_nvml_device(device), index);
}

nvmlReturn_t
genie_nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned int *minorNumber)
{
	return device_number(device, (unsigned int)genie_nvml_device(device), minorNumber);
}

nvmlReturn_t
genie_nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length)
{
	(void)serial;
	(void)length;
	return device_info(device) ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t
genie_nvmlDeviceGetBoardId(nvmlDevice_t device, unsigned int *boardId)
{
	/* Equal for the GPUs of one board; each of ours is its own. */
	return device_number(device,
			     device_attr(device, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID) << 16 |
				     device_attr(device, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID) << 8,
			     boardId);
}

nvmlReturn_t
genie_nvmlDeviceGetMultiGpuBoard(nvmlDevice_t device, unsigned int *multiGpuBool)
{
	return device_number(device, 0, multiGpuBool);
}

nvmlReturn_t
genie_nvmlDeviceGetBrand(nvmlDevice_t device, nvmlBrandType_t *type)
{
	if (!device_info(device) || !type)
		return NVML_ERROR_INVALID_ARGUMENT;
	*type = NVML_BRAND_NVIDIA;
	return NVML_SUCCESS;
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
genie_nvmlDeviceGetArchitecture(nvmlDevice_t device, nvmlDeviceArchitecture_t *arch)
{
	int major = 0, minor = 0;
	nvmlReturn_t status = genie_nvmlDeviceGetCudaComputeCapability(device, &major, &minor);

	if (status != NVML_SUCCESS || !arch)
		return NVML_ERROR_INVALID_ARGUMENT;
	if (major == 7 && minor == 5)
		*arch = NVML_DEVICE_ARCH_TURING;
	else if (major == 8)
		*arch = minor == 9 ? NVML_DEVICE_ARCH_ADA : NVML_DEVICE_ARCH_AMPERE;
	else if (major == 9)
		*arch = NVML_DEVICE_ARCH_HOPPER;
	else
		*arch = NVML_DEVICE_ARCH_UNKNOWN;
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
	(void)attributes;
	/* Those are of a slice of a GPU (MIG). */
	return device_info(device) ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t
genie_nvmlDeviceGetNumGpuCores(nvmlDevice_t device, unsigned int *numCores)
{
	const unsigned int cores_per_multiprocessor = 128;

	return device_number(device,
			     cores_per_multiprocessor *
				     device_attr(device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
			     numCores);
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
genie_nvmlDeviceGetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
	if (!device_info(device) || !mode)
		return NVML_ERROR_INVALID_ARGUMENT;
	*mode = NVML_FEATURE_ENABLED; /* the server keeps it open */
	return NVML_SUCCESS;
}

/* ---- slices of a GPU: a server gives whole devices ---- */

nvmlReturn_t
genie_nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *currentMode,
			   unsigned int *pendingMode)
{
	if (!device_info(device) || !currentMode || !pendingMode)
		return NVML_ERROR_INVALID_ARGUMENT;
	return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t
genie_nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int *isMigDevice)
{
	return device_number(device, 0, isMigDevice);
}

nvmlReturn_t
genie_nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count)
{
	return device_number(device, 0, count);
}

/* ---- who uses it: processes of the server, which are nobody's business here ---- */

static nvmlReturn_t
no_processes(nvmlDevice_t device, unsigned int *count)
{
	return device_number(device, 0, count);
}

nvmlReturn_t
genie_nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *infoCount,
					      nvmlProcessInfo_t *infos)
{
	(void)infos;
	return no_processes(device, infoCount);
}

nvmlReturn_t
genie_nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned int *infoCount,
					       nvmlProcessInfo_t *infos)
{
	(void)infos;
	return no_processes(device, infoCount);
}

nvmlReturn_t
genie_nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *infoCount,
						 nvmlProcessInfo_t *infos)
{
	(void)infos;
	return no_processes(device, infoCount);
}

/* ---- between devices ---- */

nvmlReturn_t
genie_nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t device1, nvmlDevice_t device2,
					  nvmlGpuTopologyLevel_t *pathInfo)
{
	if (!device_info(device1) || !device_info(device2) || !pathInfo)
		return NVML_ERROR_INVALID_ARGUMENT;
	*pathInfo = device1 == device2 ? NVML_TOPOLOGY_INTERNAL : NVML_TOPOLOGY_SYSTEM;
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlDeviceGetP2PStatus(nvmlDevice_t device1, nvmlDevice_t device2,
			     nvmlGpuP2PCapsIndex_t p2pIndex, nvmlGpuP2PStatus_t *p2pStatus)
{
	if (!device_info(device1) || !device_info(device2) || !p2pStatus)
		return NVML_ERROR_INVALID_ARGUMENT;
	*p2pStatus = p2pIndex == NVML_P2P_CAPS_INDEX_NVLINK ? NVML_P2P_STATUS_NOT_SUPPORTED
							    : NVML_P2P_STATUS_OK;
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned int link, nvmlEnableState_t *isActive)
{
	(void)link;
	if (!device_info(device) || !isActive)
		return NVML_ERROR_INVALID_ARGUMENT;
	return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t
genie_nvmlDeviceGetNvLinkVersion(nvmlDevice_t device, unsigned int link, unsigned int *version)
{
	(void)link;
	if (!device_info(device) || !version)
		return NVML_ERROR_INVALID_ARGUMENT;
	return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t
genie_nvmlDeviceGetNvLinkCapability(nvmlDevice_t device, unsigned int link,
				    nvmlNvLinkCapability_t capability, unsigned int *capResult)
{
	(void)link;
	(void)capability;
	if (!device_info(device) || !capResult)
		return NVML_ERROR_INVALID_ARGUMENT;
	return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t
genie_nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t device, unsigned int link,
					  nvmlPciInfo_t *pci)
{
	(void)link;
	if (!device_info(device) || !pci)
		return NVML_ERROR_INVALID_ARGUMENT;
	return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t
genie_nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t device, unsigned int link,
					  nvmlIntNvLinkDeviceType_t *pNvLinkDeviceType)
{
	(void)link;
	if (!device_info(device) || !pNvLinkDeviceType)
		return NVML_ERROR_INVALID_ARGUMENT;
	return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t
genie_nvmlDeviceGetFieldValues(nvmlDevice_t device, int valuesCount, nvmlFieldValue_t *values)
{
	if (!device_info(device) || valuesCount < 0 || (valuesCount && !values))
		return NVML_ERROR_INVALID_ARGUMENT;
	for (int i = 0; i < valuesCount; i++)
		values[i].nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, nvmlGpuFabricInfoV_t *gpuFabricInfo)
{

	if (!device_info(device) || !gpuFabricInfo)
		return NVML_ERROR_INVALID_ARGUMENT;
	/* The state comes before what later versions of the struct added. */
	gpuFabricInfo->state = NVML_GPU_FABRIC_STATE_NOT_SUPPORTED;
	gpuFabricInfo->status = NVML_SUCCESS;
	return NVML_SUCCESS;
}
