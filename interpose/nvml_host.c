/*
 * NVML: what concerns the machine of the program. Processes and units of the server are nobody's
 * business here; as to processors, all of this machine are equally near a GPU that is elsewhere.
 */
#include <limits.h>
#include <sched.h>
#include <string.h>

#include "interpose/nvml_device.h"

/* ---- processes: none ---- */

static nvmlReturn_t
none(nvmlDevice_t device, unsigned int *count)
{
	if (genie_nvml_device(device) < 0 || !count)
		return NVML_ERROR_INVALID_ARGUMENT;
	*count = 0;
	return NVML_SUCCESS;
}

#define PROCESSES(name, type)                                                                      \
	nvmlReturn_t genie_nvmlDeviceGet##name(nvmlDevice_t device, unsigned int *infoCount,       \
					       type *infos)                                        \
	{                                                                                          \
		(void)infos;                                                                       \
		return none(device, infoCount);                                                    \
	}

PROCESSES(ComputeRunningProcesses_v3, nvmlProcessInfo_t)
PROCESSES(GraphicsRunningProcesses_v3, nvmlProcessInfo_t)
PROCESSES(MPSComputeRunningProcesses_v3, nvmlProcessInfo_t)
PROCESSES(ComputeRunningProcesses_v2, nvmlProcessInfo_v2_t)
PROCESSES(GraphicsRunningProcesses_v2, nvmlProcessInfo_v2_t)
PROCESSES(MPSComputeRunningProcesses_v2, nvmlProcessInfo_v2_t)
PROCESSES(ComputeRunningProcesses, nvmlProcessInfo_v1_t)
PROCESSES(GraphicsRunningProcesses, nvmlProcessInfo_v1_t)
PROCESSES(MPSComputeRunningProcesses, nvmlProcessInfo_v1_t)
PROCESSES(EncoderSessions, nvmlEncoderSessionInfo_t)
PROCESSES(FBCSessions, nvmlFBCSessionInfo_t)
#undef PROCESSES

nvmlReturn_t
genie_nvmlDeviceGetRunningProcessDetailList(nvmlDevice_t device, nvmlProcessDetailList_t *plist)
{
	if (genie_nvml_device(device) < 0 || !plist)
		return NVML_ERROR_INVALID_ARGUMENT;
	if (plist->version != GENIE_NVML_VERSION(nvmlProcessDetailList_t, 1))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	plist->numProcArrayEntries = 0;
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlSystemGetProcessName(unsigned int pid, char *name, unsigned int length)
{
	(void)pid;
	(void)name;
	(void)length;
	return NVML_ERROR_NOT_FOUND; /* processes that use the GPU run on the server */
}

/* ---- units and devices that are not ours ---- */

nvmlReturn_t
genie_nvmlUnitGetCount(unsigned int *unitCount)
{
	if (!unitCount)
		return NVML_ERROR_INVALID_ARGUMENT;
	*unitCount = 0;
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlGetExcludedDeviceCount(unsigned int *deviceCount)
{
	if (!deviceCount)
		return NVML_ERROR_INVALID_ARGUMENT;
	*deviceCount = 0;
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlGetExcludedDeviceInfoByIndex(unsigned int index, nvmlExcludedDeviceInfo_t *info)
{
	(void)index;
	(void)info;
	return NVML_ERROR_INVALID_ARGUMENT; /* there is none */
}

/* ---- processors ---- */

#define WORD_BITS (sizeof(unsigned long) * CHAR_BIT)

nvmlReturn_t
genie_nvmlDeviceGetCpuAffinity(nvmlDevice_t device, unsigned int cpuSetSize, unsigned long *cpuSet)
{
	cpu_set_t set;

	if (genie_nvml_device(device) < 0 || !cpuSet || !cpuSetSize)
		return NVML_ERROR_INVALID_ARGUMENT;
	memset(cpuSet, 0, cpuSetSize * sizeof(*cpuSet));
	if (sched_getaffinity(0, sizeof(set), &set))
		return NVML_ERROR_UNKNOWN;
	for (size_t i = 0; i < CPU_SETSIZE && i < cpuSetSize * WORD_BITS; i++)
		if (CPU_ISSET(i, &set))
			cpuSet[i / WORD_BITS] |= 1ul << i % WORD_BITS;
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlDeviceGetCpuAffinityWithinScope(nvmlDevice_t device, unsigned int cpuSetSize,
					  unsigned long *cpuSet, nvmlAffinityScope_t scope)
{
	(void)scope; /* a node or a socket: no difference from here */
	return genie_nvmlDeviceGetCpuAffinity(device, cpuSetSize, cpuSet);
}

nvmlReturn_t
genie_nvmlDeviceGetMemoryAffinity(nvmlDevice_t device, unsigned int nodeSetSize,
				  unsigned long *nodeSet, nvmlAffinityScope_t scope)
{
	(void)scope;
	if (genie_nvml_device(device) < 0 || !nodeSet || !nodeSetSize)
		return NVML_ERROR_INVALID_ARGUMENT;
	memset(nodeSet, 0, nodeSetSize * sizeof(*nodeSet));
	nodeSet[0] = 1; /* every machine has a node 0 */
	return NVML_SUCCESS;
}

/* The thread may run where it runs: nothing is nearer. */
nvmlReturn_t
genie_nvmlDeviceSetCpuAffinity(nvmlDevice_t device)
{
	return genie_nvml_device(device) < 0 ? NVML_ERROR_INVALID_ARGUMENT : NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlDeviceClearCpuAffinity(nvmlDevice_t device)
{
	return genie_nvmlDeviceSetCpuAffinity(device);
}

nvmlReturn_t
genie_nvmlDeviceGetNumaNodeId(nvmlDevice_t device, unsigned int *node)
{
	if (genie_nvml_device(device) < 0 || !node)
		return NVML_ERROR_INVALID_ARGUMENT;
	return NVML_ERROR_NOT_SUPPORTED; /* its memory is no node of this machine */
}
