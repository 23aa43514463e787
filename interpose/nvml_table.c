/*
 * The undocumented table that nvidia-smi asks NVML for before anything else; without one it says
 * "Mismatch in versions between nvidia-smi and NVML" and ends. What is answered here was watched on
 * a real driver (580.159, an H200; nvidia-smi, -L, -q, dmon): the table has 270 slots, the first
 * word is its size in bytes, and of its functions these are called. Where a public function of
 * NVML gave the same value, that one answers. Every other slot refuses, which nvidia-smi prints as
 * "N/A" (the numbers of the board's replaceable unit, for one).
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "interpose/nvml_device.h"

#define SLOTS 270

/* The entry points themselves, which are generated. */
nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci);
nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned int *limit);
nvmlReturn_t nvmlDeviceGetBoardPartNumber(nvmlDevice_t device, char *text, unsigned int length);
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
						     nvmlProcessInfo_t *infos);
nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
						      nvmlProcessInfo_t *infos);
nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
							nvmlProcessInfo_t *infos);

/* Called with arguments we do not know: by the calling convention the caller removes them. */
static nvmlReturn_t
slot_refused(void)
{
	return NVML_ERROR_NOT_SUPPORTED;
}

/* 31 was 0, 72 was 1, 232 (shown as "Sparse Operation Mode: Disabled") was 0 for the devices that
 * were watched: words without a name that we know. */
static nvmlReturn_t
flag_zero(nvmlDevice_t device, unsigned int *flag)
{
	if (genie_nvml_device(device) < 0 || !flag)
		return NVML_ERROR_INVALID_ARGUMENT;
	*flag = 0;
	return NVML_SUCCESS;
}

static nvmlReturn_t
flag_one(nvmlDevice_t device, unsigned int *flag)
{
	nvmlReturn_t ret = flag_zero(device, flag);

	if (ret == NVML_SUCCESS)
		*flag = 1;
	return ret;
}

/* The bus id of the device with that index, in its short form. */
static nvmlReturn_t
bus_id(unsigned int index, char *id, unsigned int length)
{
	nvmlPciInfo_t pci;
	nvmlReturn_t ret;

	if (index >= genie_client.welcome->device_count || !id)
		return NVML_ERROR_INVALID_ARGUMENT;
	ret = nvmlDeviceGetPciInfo_v3(genie_nvml_handle((int)index), &pci);
	return ret == NVML_SUCCESS ? genie_nvml_text(pci.busIdLegacy, id, length) : ret;
}

/* Which part of the board is replaceable: empty. */
static nvmlReturn_t
no_text(nvmlDevice_t device, char *text, unsigned int length)
{
	return genie_nvml_device(device) < 0 ? NVML_ERROR_INVALID_ARGUMENT
					     : genie_nvml_text("", text, length);
}

/* The cast is of a function that the caller calls with its own types. */
#define SLOT(number, function) [number] = (void *)(function)

static void *const table[SLOTS] = {
	[0] = (void *)(uintptr_t)(SLOTS * sizeof(void *)),
	[1 ... 30] = (void *)slot_refused,
	SLOT(31, flag_zero),
	[32 ... 71] = (void *)slot_refused,
	SLOT(72, flag_one),
	[73 ... 80] = (void *)slot_refused,
	SLOT(81, bus_id),
	[82 ... 107] = (void *)slot_refused,
	SLOT(108, nvmlDeviceGetEnforcedPowerLimit),
	[109 ... 148] = (void *)slot_refused,
	SLOT(149, nvmlDeviceGetBoardPartNumber),
	[150 ... 212] = (void *)slot_refused,
	SLOT(213, nvmlDeviceGetComputeRunningProcesses_v3),
	SLOT(214, nvmlDeviceGetGraphicsRunningProcesses_v3),
	SLOT(215, nvmlDeviceGetMPSComputeRunningProcesses_v3),
	[216 ... 231] = (void *)slot_refused,
	SLOT(232, flag_zero),
	[233 ... 236] = (void *)slot_refused,
	SLOT(237, no_text),
	[238 ... SLOTS - 1] = (void *)slot_refused,
};

/* Not in nvml.h. @id: 16 bytes. */
__attribute__((visibility("default"))) nvmlReturn_t
nvmlInternalGetExportTable(const void **ret_table, const void *id);

nvmlReturn_t
nvmlInternalGetExportTable(const void **ret_table, const void *id)
{
	static const uint8_t known[16] = {0xc4, 0xfe, 0x3e, 0x6c, 0xc9, 0x8f, 0x6c, 0x4e,
					  0xa3, 0x27, 0xee, 0x69, 0x6e, 0x12, 0xf7, 0xc4};

	if (!ret_table || !id)
		return NVML_ERROR_INVALID_ARGUMENT;
	if (memcmp(id, known, sizeof(known)) != 0)
		return NVML_ERROR_NOT_SUPPORTED;
	*ret_table = table;
	return NVML_SUCCESS;
}
