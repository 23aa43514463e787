#include "remote/device_cpu/nvml.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "remote/device_cpu/identity.h"

#define DRIVER_VERSION "580.0"
#define NVML_VERSION   "13.580.0"

static const struct genie_soft_nvml *device;

/* What handles point at. */
static char devices[GENIE_CPU_DEVICES_MAX];

static nvmlDevice_t
handle(int index)
{
	return (nvmlDevice_t)(void *)&devices[index];
}

/* Of a handle that was checked. */
static int
index_of(nvmlDevice_t dev)
{
	return (int)((const char *)(void *)dev - devices);
}

static nvmlReturn_t
check(nvmlDevice_t dev)
{
	if (!device)
		return NVML_ERROR_UNINITIALIZED;
	for (int i = 0; i < device->count; i++)
		if (dev == handle(i))
			return NVML_SUCCESS;
	return NVML_ERROR_INVALID_ARGUMENT;
}

/* Most questions: may an answer be written? */
nvmlReturn_t
genie_soft_nvml_check_out(nvmlDevice_t dev, const void *out)
{
	nvmlReturn_t status = check(dev);

	if (status == NVML_SUCCESS && !out)
		return NVML_ERROR_INVALID_ARGUMENT;
	return status;
}

static nvmlReturn_t
copy_text(const char *text, char *out, unsigned int size)
{
	if (!out)
		return NVML_ERROR_INVALID_ARGUMENT;
	if (strlen(text) >= size)
		return NVML_ERROR_INSUFFICIENT_SIZE;
	memcpy(out, text, strlen(text) + 1);
	return NVML_SUCCESS;
}

static int
attribute(int id)
{
	int value = 0;

	return device->attribute(id, &value) ? value : 0;
}

static nvmlReturn_t
soft_nvmlInit_v2(void)
{
	return NVML_SUCCESS;
}

static nvmlReturn_t
soft_nvmlInitWithFlags(unsigned int flags)
{
	(void)flags;
	return NVML_SUCCESS;
}

static nvmlReturn_t
soft_nvmlShutdown(void)
{
	return NVML_SUCCESS;
}

static const char *
soft_nvmlErrorString(nvmlReturn_t status)
{
	switch ((int)status) {
	case NVML_SUCCESS:
		return "Success";
	case NVML_ERROR_UNINITIALIZED:
		return "Uninitialized";
	case NVML_ERROR_INVALID_ARGUMENT:
		return "Invalid Argument";
	case NVML_ERROR_NOT_SUPPORTED:
		return "Not Supported";
	case NVML_ERROR_NO_PERMISSION:
		return "Insufficient Permissions";
	case NVML_ERROR_NOT_FOUND:
		return "Not Found";
	case NVML_ERROR_INSUFFICIENT_SIZE:
		return "Insufficient Size";
	case NVML_ERROR_DRIVER_NOT_LOADED:
		return "Driver Not Loaded";
	case NVML_ERROR_FUNCTION_NOT_FOUND:
		return "Function Not Found";
	case NVML_ERROR_GPU_IS_LOST:
		return "GPU is lost";
	case NVML_ERROR_OPERATING_SYSTEM:
		return "Operating System Error";
	case NVML_ERROR_MEMORY:
		return "Insufficient Memory";
	case NVML_ERROR_ARGUMENT_VERSION_MISMATCH:
		return "Argument version mismatch";
	default:
		return "Unknown Error";
	}
}

static nvmlReturn_t
soft_nvmlSystemGetDriverVersion(char *version, unsigned int size)
{
	return copy_text(DRIVER_VERSION, version, size);
}

static nvmlReturn_t
soft_nvmlSystemGetNVMLVersion(char *version, unsigned int size)
{
	return copy_text(NVML_VERSION, version, size);
}

static nvmlReturn_t
soft_nvmlSystemGetCudaDriverVersion(int *version)
{
	if (!version)
		return NVML_ERROR_INVALID_ARGUMENT;
	*version = GENIE_CPU_DRIVER_VERSION;
	return NVML_SUCCESS;
}

static nvmlReturn_t
soft_nvmlDeviceGetCount_v2(unsigned int *count)
{
	if (!count)
		return NVML_ERROR_INVALID_ARGUMENT;
	*count = (unsigned int)device->count;
	return NVML_SUCCESS;
}

static nvmlReturn_t
soft_nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *dev)
{
	if (!dev || index >= (unsigned int)device->count)
		return NVML_ERROR_INVALID_ARGUMENT;
	*dev = handle((int)index);
	return NVML_SUCCESS;
}

static void
uuid_text(int index, char *text, size_t size)
{
	uint8_t u[16];

	device->uuid(index, u);
	snprintf(text, size,
		 "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0],
		 u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13],
		 u[14], u[15]);
}

static nvmlReturn_t
soft_nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *dev)
{
	char own[64];

	if (!uuid || !dev)
		return NVML_ERROR_INVALID_ARGUMENT;
	for (int i = 0; i < device->count; i++) {
		uuid_text(i, own, sizeof(own));
		if (strcasecmp(uuid, own) == 0) {
			*dev = handle(i);
			return NVML_SUCCESS;
		}
	}
	return NVML_ERROR_NOT_FOUND;
}

static int
pci_device(int index)
{
	return attribute(CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID) + index;
}

/* "00000000:FE:00.0" */
static void
bus_id(int index, char *text, size_t size)
{
	snprintf(text, size, "%08X:%02X:%02X.0", attribute(CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID),
		 attribute(CU_DEVICE_ATTRIBUTE_PCI_BUS_ID), pci_device(index));
}

static nvmlReturn_t
soft_nvmlDeviceGetHandleByPciBusId_v2(const char *text, nvmlDevice_t *dev)
{
	unsigned int domain, bus, dev_number, function = 0;

	if (!text || !dev)
		return NVML_ERROR_INVALID_ARGUMENT;
	if (sscanf(text, "%x:%x:%x.%x", &domain, &bus, &dev_number, &function) < 3) {
		domain = 0;
		if (sscanf(text, "%x:%x.%x", &bus, &dev_number, &function) < 2)
			return NVML_ERROR_INVALID_ARGUMENT;
	}
	if ((int)domain != attribute(CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID) ||
	    (int)bus != attribute(CU_DEVICE_ATTRIBUTE_PCI_BUS_ID) ||
	    (int)dev_number < pci_device(0) || (int)dev_number >= pci_device(device->count) ||
	    function)
		return NVML_ERROR_NOT_FOUND;
	*dev = handle((int)dev_number - pci_device(0));
	return NVML_SUCCESS;
}

static nvmlReturn_t
soft_nvmlDeviceGetName(nvmlDevice_t dev, char *name, unsigned int size)
{
	char own[NVML_DEVICE_NAME_V2_BUFFER_SIZE];
	nvmlReturn_t status = check(dev);

	if (status != NVML_SUCCESS)
		return status;
	device->name(own, sizeof(own));
	return copy_text(own, name, size);
}

static nvmlReturn_t
soft_nvmlDeviceGetUUID(nvmlDevice_t dev, char *uuid, unsigned int size)
{
	char own[NVML_DEVICE_UUID_V2_BUFFER_SIZE];
	nvmlReturn_t status = check(dev);

	if (status != NVML_SUCCESS)
		return status;
	uuid_text(index_of(dev), own, sizeof(own));
	return copy_text(own, uuid, size);
}

static nvmlReturn_t
soft_nvmlDeviceGetBrand(nvmlDevice_t dev, nvmlBrandType_t *brand)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, brand);

	if (status == NVML_SUCCESS)
		*brand = device->brand;
	return status;
}

static nvmlReturn_t
answer(nvmlDevice_t dev, unsigned int *out, unsigned int value)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, out);

	if (status == NVML_SUCCESS)
		*out = value;
	return status;
}

static nvmlReturn_t
soft_nvmlDeviceGetIndex(nvmlDevice_t dev, unsigned int *index)
{
	return answer(dev, index, (unsigned int)index_of(dev));
}

static nvmlReturn_t
soft_nvmlDeviceGetMinorNumber(nvmlDevice_t dev, unsigned int *minor)
{
	return answer(dev, minor, (unsigned int)index_of(dev));
}

static nvmlReturn_t
soft_nvmlDeviceGetMultiGpuBoard(nvmlDevice_t dev, unsigned int *multi)
{
	return answer(dev, multi, 0);
}

static nvmlReturn_t
soft_nvmlDeviceGetBoardId(nvmlDevice_t dev, unsigned int *id)
{
	return answer(dev, id,
		      ((unsigned int)attribute(CU_DEVICE_ATTRIBUTE_PCI_BUS_ID) << 8) +
			      (unsigned int)index_of(dev));
}

static nvmlReturn_t
soft_nvmlDeviceIsMigDeviceHandle(nvmlDevice_t dev, unsigned int *is_mig)
{
	return answer(dev, is_mig, 0);
}

static nvmlReturn_t
soft_nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t dev, unsigned int *count)
{
	return answer(dev, count, 0);
}

static nvmlReturn_t
soft_nvmlDeviceGetNumGpuCores(nvmlDevice_t dev, unsigned int *cores)
{
	return answer(dev, cores,
		      (unsigned int)attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT));
}

static nvmlReturn_t
soft_nvmlDeviceGetMemoryBusWidth(nvmlDevice_t dev, unsigned int *width)
{
	return answer(dev, width,
		      (unsigned int)attribute(CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH));
}

static nvmlReturn_t
soft_nvmlDeviceGetPersistenceMode(nvmlDevice_t dev, nvmlEnableState_t *mode)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, mode);

	if (status == NVML_SUCCESS)
		*mode = NVML_FEATURE_ENABLED;
	return status;
}

static nvmlReturn_t
soft_nvmlDeviceGetComputeMode(nvmlDevice_t dev, nvmlComputeMode_t *mode)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, mode);

	if (status == NVML_SUCCESS)
		*mode = NVML_COMPUTEMODE_DEFAULT;
	return status;
}

static nvmlReturn_t
soft_nvmlDeviceGetPciInfo_v3(nvmlDevice_t dev, nvmlPciInfo_t *pci)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, pci);

	if (status != NVML_SUCCESS)
		return status;
	*pci = (nvmlPciInfo_t){
		.domain = (unsigned int)attribute(CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID),
		.bus = (unsigned int)attribute(CU_DEVICE_ATTRIBUTE_PCI_BUS_ID),
		.device = (unsigned int)pci_device(index_of(dev)),
		.pciDeviceId = (unsigned int)attribute(CU_DEVICE_ATTRIBUTE_GPU_PCI_DEVICE_ID),
		.pciSubSystemId = (unsigned int)attribute(CU_DEVICE_ATTRIBUTE_GPU_PCI_SUBSYSTEM_ID),
	};
	bus_id(index_of(dev), pci->busId, sizeof(pci->busId));
	/* the older form has four digits less of the domain */
	snprintf(pci->busIdLegacy, sizeof(pci->busIdLegacy), "%.12s", pci->busId + 4);
	return NVML_SUCCESS;
}

static nvmlReturn_t
soft_nvmlDeviceGetCudaComputeCapability(nvmlDevice_t dev, int *major, int *minor)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, major);

	if (status == NVML_SUCCESS && !minor)
		status = NVML_ERROR_INVALID_ARGUMENT;
	if (status == NVML_SUCCESS) {
		*major = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
		*minor = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
	}
	return status;
}

static nvmlReturn_t
soft_nvmlDeviceGetArchitecture(nvmlDevice_t dev, nvmlDeviceArchitecture_t *architecture)
{
	return answer(dev, architecture, device ? device->architecture : 0);
}

static nvmlReturn_t
soft_nvmlDeviceGetMemoryInfo(nvmlDevice_t dev, nvmlMemory_t *memory)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, memory);
	size_t total, used;

	if (status != NVML_SUCCESS)
		return status;
	device->memory(index_of(dev), &total, &used);
	*memory = (nvmlMemory_t){.total = total, .free = total - used, .used = used};
	return NVML_SUCCESS;
}

static nvmlReturn_t
soft_nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t dev, nvmlMemory_v2_t *memory)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, memory);
	size_t total, used;

	if (status != NVML_SUCCESS)
		return status;
	if (memory->version != GENIE_NVML_VERSION(nvmlMemory_v2_t, 2))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	device->memory(index_of(dev), &total, &used);
	memory->total = total;
	memory->reserved = 0;
	memory->free = total - used;
	memory->used = used;
	return NVML_SUCCESS;
}

static nvmlReturn_t
soft_nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t dev, nvmlBAR1Memory_t *bar1)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, bar1);
	size_t total, used;

	if (status != NVML_SUCCESS)
		return status;
	/* all of the memory can be seen by the host */
	device->memory(index_of(dev), &total, &used);
	*bar1 = (nvmlBAR1Memory_t){.bar1Total = total, .bar1Free = total - used, .bar1Used = used};
	return NVML_SUCCESS;
}

static uint64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* Per cent of the time since the last question that the device was at work. */
static nvmlReturn_t
soft_nvmlDeviceGetUtilizationRates(nvmlDevice_t dev, nvmlUtilization_t *utilization)
{
	/* of each device; a cache: answers of two askers may mix */
	static struct {
		uint64_t time, busy;
	} lasts[GENIE_CPU_DEVICES_MAX], *last;
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, utilization);
	uint64_t time, busy;

	if (status != NVML_SUCCESS)
		return status;
	time = now();
	busy = device->busy ? device->busy(index_of(dev)) : 0;
	last = &lasts[index_of(dev)];
	*utilization = (nvmlUtilization_t){0};
	if (last->time && time > last->time && busy > last->busy) {
		uint64_t percent = (busy - last->busy) * 100 / (time - last->time);

		utilization->gpu = percent > 100 ? 100 : (unsigned int)percent;
	}
	last->time = time;
	last->busy = busy;
	return NVML_SUCCESS;
}

static nvmlReturn_t
soft_nvmlDeviceGetTemperature(nvmlDevice_t dev, nvmlTemperatureSensors_t sensor, unsigned int *out)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, out);
	int degrees;

	if (status != NVML_SUCCESS)
		return status;
	if (sensor != NVML_TEMPERATURE_GPU)
		return NVML_ERROR_INVALID_ARGUMENT;
	if (!device->temperature || !device->temperature(&degrees) || degrees < 0)
		return NVML_ERROR_NOT_SUPPORTED;
	*out = (unsigned int)degrees;
	return NVML_SUCCESS;
}

static nvmlReturn_t
soft_nvmlDeviceGetTemperatureV(nvmlDevice_t dev, nvmlTemperature_t *temperature)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, temperature);
	unsigned int degrees;

	if (status != NVML_SUCCESS)
		return status;
	if (temperature->version != GENIE_NVML_VERSION(nvmlTemperature_t, 1))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	status = soft_nvmlDeviceGetTemperature(dev, temperature->sensorType, &degrees);
	if (status == NVML_SUCCESS)
		temperature->temperature = (int)degrees;
	return status;
}

static nvmlReturn_t
soft_nvmlDeviceGetPerformanceState(nvmlDevice_t dev, nvmlPstates_t *state)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, state);

	if (status == NVML_SUCCESS)
		*state = NVML_PSTATE_0;
	return status;
}

static nvmlReturn_t
clock_mhz(nvmlDevice_t dev, nvmlClockType_t type, unsigned int *clock)
{
	int id = type == NVML_CLOCK_MEM ? CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE
					: CU_DEVICE_ATTRIBUTE_CLOCK_RATE;

	return answer(dev, clock, device ? (unsigned int)attribute(id) / 1000 : 0);
}

static nvmlReturn_t
soft_nvmlDeviceGetClock(nvmlDevice_t dev, nvmlClockType_t type, nvmlClockId_t id,
			unsigned int *clock)
{
	(void)id;
	return clock_mhz(dev, type, clock);
}

static nvmlReturn_t
soft_nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t dev, unsigned long long *reasons)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, reasons);

	if (status == NVML_SUCCESS)
		*reasons = 0;
	return status;
}

/* This process holds the device's memory, for its client. */
static nvmlReturn_t
soft_nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t dev, unsigned int *count,
					     nvmlProcessInfo_t *infos)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, count);
	size_t total, used;
	bool room;

	if (status != NVML_SUCCESS)
		return status;
	room = *count > 0;
	*count = 1;
	if (!room || !infos)
		return NVML_ERROR_INSUFFICIENT_SIZE;
	device->memory(index_of(dev), &total, &used);
	infos[0] = (nvmlProcessInfo_t){
		.pid = (unsigned int)getpid(),
		.usedGpuMemory = used,
		.gpuInstanceId = 0xffffffff,
		.computeInstanceId = 0xffffffff,
	};
	return NVML_SUCCESS;
}

static nvmlReturn_t
soft_nvmlSystemGetProcessName(unsigned int pid, char *name, unsigned int size)
{
	return pid == (unsigned int)getpid() ? copy_text("genied", name, size)
					     : NVML_ERROR_NOT_FOUND;
}

static nvmlReturn_t
soft_nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t dev, nvmlDevice_t other,
					 nvmlGpuTopologyLevel_t *level)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, level);

	if (status == NVML_SUCCESS)
		status = check(other);
	if (status == NVML_SUCCESS)
		*level = NVML_TOPOLOGY_INTERNAL;
	return status;
}

static nvmlReturn_t
soft_nvmlDeviceGetP2PStatus(nvmlDevice_t dev, nvmlDevice_t other, nvmlGpuP2PCapsIndex_t index,
			    nvmlGpuP2PStatus_t *p2p)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, p2p);

	(void)index;
	if (status == NVML_SUCCESS)
		status = check(other);
	if (status == NVML_SUCCESS)
		*p2p = dev == other ? NVML_P2P_STATUS_NOT_SUPPORTED : NVML_P2P_STATUS_OK;
	return status;
}

static nvmlReturn_t
soft_nvmlDeviceGetAttributes_v2(nvmlDevice_t dev, nvmlDeviceAttributes_t *attributes)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev, attributes);
	size_t total, used;

	if (status != NVML_SUCCESS)
		return status;
	device->memory(index_of(dev), &total, &used);
	*attributes = (nvmlDeviceAttributes_t){
		.multiprocessorCount =
			(unsigned int)attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
		.memorySizeMB = total >> 20,
	};
	return NVML_SUCCESS;
}

static nvmlReturn_t
soft_nvmlDeviceOnSameBoard(nvmlDevice_t dev1, nvmlDevice_t dev2, int *same)
{
	nvmlReturn_t status = genie_soft_nvml_check_out(dev1, same);

	if (status == NVML_SUCCESS)
		status = check(dev2);
	if (status == NVML_SUCCESS)
		*same = 1;
	return status;
}

void
genie_soft_nvml_fill(struct genie_nvml *nvml, const struct genie_soft_nvml *description)
{
	device = description;
	genie_soft_nvml_fill_absent(nvml);
	nvml->nvmlInit_v2 = soft_nvmlInit_v2;
	nvml->nvmlInitWithFlags = soft_nvmlInitWithFlags;
	nvml->nvmlShutdown = soft_nvmlShutdown;
	nvml->nvmlErrorString = soft_nvmlErrorString;
	nvml->nvmlSystemGetDriverVersion = soft_nvmlSystemGetDriverVersion;
	nvml->nvmlSystemGetNVMLVersion = soft_nvmlSystemGetNVMLVersion;
	nvml->nvmlSystemGetCudaDriverVersion = soft_nvmlSystemGetCudaDriverVersion;
	nvml->nvmlSystemGetCudaDriverVersion_v2 = soft_nvmlSystemGetCudaDriverVersion;
	nvml->nvmlSystemGetProcessName = soft_nvmlSystemGetProcessName;
	nvml->nvmlDeviceGetCount_v2 = soft_nvmlDeviceGetCount_v2;
	nvml->nvmlDeviceGetHandleByIndex_v2 = soft_nvmlDeviceGetHandleByIndex_v2;
	nvml->nvmlDeviceGetHandleByUUID = soft_nvmlDeviceGetHandleByUUID;
	nvml->nvmlDeviceGetHandleByPciBusId_v2 = soft_nvmlDeviceGetHandleByPciBusId_v2;
	nvml->nvmlDeviceGetName = soft_nvmlDeviceGetName;
	nvml->nvmlDeviceGetUUID = soft_nvmlDeviceGetUUID;
	nvml->nvmlDeviceGetBrand = soft_nvmlDeviceGetBrand;
	nvml->nvmlDeviceGetIndex = soft_nvmlDeviceGetIndex;
	nvml->nvmlDeviceGetMinorNumber = soft_nvmlDeviceGetMinorNumber;
	nvml->nvmlDeviceGetMultiGpuBoard = soft_nvmlDeviceGetMultiGpuBoard;
	nvml->nvmlDeviceGetBoardId = soft_nvmlDeviceGetBoardId;
	nvml->nvmlDeviceIsMigDeviceHandle = soft_nvmlDeviceIsMigDeviceHandle;
	nvml->nvmlDeviceGetMaxMigDeviceCount = soft_nvmlDeviceGetMaxMigDeviceCount;
	nvml->nvmlDeviceGetNumGpuCores = soft_nvmlDeviceGetNumGpuCores;
	nvml->nvmlDeviceGetMemoryBusWidth = soft_nvmlDeviceGetMemoryBusWidth;
	nvml->nvmlDeviceGetPersistenceMode = soft_nvmlDeviceGetPersistenceMode;
	nvml->nvmlDeviceGetComputeMode = soft_nvmlDeviceGetComputeMode;
	nvml->nvmlDeviceGetPciInfo_v3 = soft_nvmlDeviceGetPciInfo_v3;
	nvml->nvmlDeviceGetCudaComputeCapability = soft_nvmlDeviceGetCudaComputeCapability;
	nvml->nvmlDeviceGetArchitecture = soft_nvmlDeviceGetArchitecture;
	nvml->nvmlDeviceGetMemoryInfo = soft_nvmlDeviceGetMemoryInfo;
	nvml->nvmlDeviceGetMemoryInfo_v2 = soft_nvmlDeviceGetMemoryInfo_v2;
	nvml->nvmlDeviceGetBAR1MemoryInfo = soft_nvmlDeviceGetBAR1MemoryInfo;
	nvml->nvmlDeviceGetUtilizationRates = soft_nvmlDeviceGetUtilizationRates;
	nvml->nvmlDeviceGetTemperature = soft_nvmlDeviceGetTemperature;
	nvml->nvmlDeviceGetTemperatureV = soft_nvmlDeviceGetTemperatureV;
	nvml->nvmlDeviceGetPerformanceState = soft_nvmlDeviceGetPerformanceState;
	nvml->nvmlDeviceGetPowerState = soft_nvmlDeviceGetPerformanceState;
	nvml->nvmlDeviceGetClockInfo = clock_mhz;
	nvml->nvmlDeviceGetMaxClockInfo = clock_mhz;
	nvml->nvmlDeviceGetApplicationsClock = clock_mhz;
	nvml->nvmlDeviceGetDefaultApplicationsClock = clock_mhz;
	nvml->nvmlDeviceGetClock = soft_nvmlDeviceGetClock;
	nvml->nvmlDeviceGetCurrentClocksEventReasons = soft_nvmlDeviceGetCurrentClocksEventReasons;
	nvml->nvmlDeviceGetComputeRunningProcesses_v3 =
		soft_nvmlDeviceGetComputeRunningProcesses_v3;
	nvml->nvmlDeviceGetTopologyCommonAncestor = soft_nvmlDeviceGetTopologyCommonAncestor;
	nvml->nvmlDeviceGetP2PStatus = soft_nvmlDeviceGetP2PStatus;
	nvml->nvmlDeviceGetAttributes_v2 = soft_nvmlDeviceGetAttributes_v2;
	nvml->nvmlDeviceGetPciInfo = soft_nvmlDeviceGetPciInfo_v3;
	nvml->nvmlDeviceGetPciInfo_v2 = soft_nvmlDeviceGetPciInfo_v3;
	nvml->nvmlDeviceGetCurrentClocksThrottleReasons =
		soft_nvmlDeviceGetCurrentClocksEventReasons;
	nvml->nvmlDeviceOnSameBoard = soft_nvmlDeviceOnSameBoard;
}
