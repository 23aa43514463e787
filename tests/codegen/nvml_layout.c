/*
 * Compares api/nvml.h, which is ours, with the vendor's nvml.h: each is compiled into a program of
 * its own (-DVENDOR), and both must print the same.
 */
#include <stddef.h>
#include <stdio.h>

#ifdef VENDOR
#include <nvml.h>
#else
#include "api/nvml.h"
#endif

#define SIZE(type)          printf("%s %zu\n", #type, sizeof(type))
#define FIELD(type, member) printf("%s.%s %zu\n", #type, #member, offsetof(type, member))
#define VALUE(name)         printf("%s %lld\n", #name, (long long)(name))

static void
structs(void)
{
	SIZE(nvmlReturn_t);
	SIZE(nvmlDevice_t);
	SIZE(nvmlPciInfo_t);
	FIELD(nvmlPciInfo_t, domain);
	FIELD(nvmlPciInfo_t, pciSubSystemId);
	FIELD(nvmlPciInfo_t, busId);
	SIZE(nvmlMemory_t);
	FIELD(nvmlMemory_t, used);
	SIZE(nvmlMemory_v2_t);
	FIELD(nvmlMemory_v2_t, total);
	FIELD(nvmlMemory_v2_t, used);
	SIZE(nvmlBAR1Memory_t);
	SIZE(nvmlUtilization_t);
	SIZE(nvmlProcessInfo_t);
	FIELD(nvmlProcessInfo_t, usedGpuMemory);
	FIELD(nvmlProcessInfo_t, computeInstanceId);
	SIZE(nvmlDeviceAttributes_t);
	FIELD(nvmlDeviceAttributes_t, memorySizeMB);
	SIZE(nvmlTemperature_t);
	FIELD(nvmlTemperature_t, temperature);
	SIZE(nvmlFieldValue_t);
	FIELD(nvmlFieldValue_t, valueType);
	FIELD(nvmlFieldValue_t, value);
	SIZE(nvmlGpuFabricInfoV_t);
	FIELD(nvmlGpuFabricInfoV_t, state);
	FIELD(nvmlGpuFabricInfoV_t, healthSummary);
	SIZE(nvmlConfComputeSystemState_t);
	SIZE(nvmlSystemConfComputeSettings_t);
	SIZE(nvmlDeviceArchitecture_t);
	SIZE(nvmlClockType_t);
	SIZE(nvmlEnableState_t);
	SIZE(nvmlUUID_t);
	FIELD(nvmlUUID_t, value);
	SIZE(nvmlGpmMetric_t);
	FIELD(nvmlGpmMetric_t, metricInfo);
	FIELD(nvmlGpmMetricsGet_t, sample1);
	FIELD(nvmlGpmMetricsGet_t, metrics);
	FIELD(nvmlGpmSupport_t, isSupportedDevice);
	SIZE(nvmlGpuInstanceInfo_t);
	FIELD(nvmlGpuInstanceInfo_t, placement);
	SIZE(nvmlComputeInstanceInfo_t);
	FIELD(nvmlComputeInstanceInfo_t, gpuInstance);
	FIELD(nvmlComputeInstanceInfo_t, placement);
	SIZE(nvmlProcessDetailList_t);
	FIELD(nvmlProcessDetailList_t, numProcArrayEntries);
}

static void
values(void)
{
	VALUE(NVML_UUID_TYPE_ASCII);
	VALUE(NVML_UUID_TYPE_BINARY);
	VALUE(NVML_DEVICE_SERIAL_BUFFER_SIZE);
	VALUE(NVML_SUCCESS);
	VALUE(NVML_ERROR_UNINITIALIZED);
	VALUE(NVML_ERROR_INVALID_ARGUMENT);
	VALUE(NVML_ERROR_NOT_SUPPORTED);
	VALUE(NVML_ERROR_NO_PERMISSION);
	VALUE(NVML_ERROR_NOT_FOUND);
	VALUE(NVML_ERROR_INSUFFICIENT_SIZE);
	VALUE(NVML_ERROR_DRIVER_NOT_LOADED);
	VALUE(NVML_ERROR_FUNCTION_NOT_FOUND);
	VALUE(NVML_ERROR_GPU_IS_LOST);
	VALUE(NVML_ERROR_OPERATING_SYSTEM);
	VALUE(NVML_ERROR_MEMORY);
	VALUE(NVML_ERROR_NO_DATA);
	VALUE(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
	VALUE(NVML_ERROR_UNKNOWN);
	VALUE(NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE);
	VALUE(NVML_DEVICE_UUID_V2_BUFFER_SIZE);
	VALUE(NVML_DEVICE_NAME_V2_BUFFER_SIZE);
	VALUE(NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE);
	VALUE(NVML_SYSTEM_NVML_VERSION_BUFFER_SIZE);
	VALUE(NVML_TEMPERATURE_GPU);
	VALUE(NVML_TEMPERATURE_THRESHOLD_SLOWDOWN);
	VALUE(NVML_CLOCK_VIDEO);
	VALUE(NVML_CLOCK_ID_APP_CLOCK_TARGET);
	VALUE(NVML_PSTATE_UNKNOWN);
	VALUE(NVML_FEATURE_ENABLED);
	VALUE(NVML_COMPUTEMODE_PROHIBITED);
	VALUE(NVML_COMPUTEMODE_EXCLUSIVE_PROCESS);
	VALUE(NVML_BRAND_TESLA);
	VALUE(NVML_BRAND_NVIDIA);
	VALUE(NVML_DEVICE_ARCH_TURING);
	VALUE(NVML_DEVICE_ARCH_AMPERE);
	VALUE(NVML_DEVICE_ARCH_ADA);
	VALUE(NVML_DEVICE_ARCH_HOPPER);
	VALUE(NVML_DEVICE_ARCH_UNKNOWN);
	VALUE(NVML_P2P_STATUS_OK);
	VALUE(NVML_P2P_STATUS_GPU_NOT_SUPPORTED);
	VALUE(NVML_P2P_STATUS_NOT_SUPPORTED);
	VALUE(NVML_P2P_STATUS_UNKNOWN);
	VALUE(NVML_P2P_CAPS_INDEX_NVLINK);
	VALUE(NVML_P2P_CAPS_INDEX_UNKNOWN);
	VALUE(NVML_TOPOLOGY_NODE);
	VALUE(NVML_TOPOLOGY_SYSTEM);
	VALUE(NVML_NVLINK_CAP_COUNT);
	VALUE(NVML_NVLINK_DEVICE_TYPE_UNKNOWN);
	VALUE(NVML_VALUE_TYPE_UNSIGNED_LONG_LONG);
	VALUE(NVML_GPU_FABRIC_STATE_NOT_SUPPORTED);
}

int
main(void)
{
	structs();
	values();
	return 0;
}
