/*
 * NVML for a device made of software: the CPU device and the record device describe themselves,
 * the functions are the same. What such a device does not have (fans, links, power) is answered
 * with NVML_ERROR_NOT_SUPPORTED, as drivers do.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_NVML_H
#define GENIE_REMOTE_DEVICE_CPU_NVML_H

#include <stdbool.h>

#include "remote/device.h"

struct genie_soft_nvml {
	int count; /* of devices, all alike, at most GENIE_CPU_DEVICES_MAX */
	void (*name)(char *name, size_t size);
	void (*uuid)(int dev, uint8_t uuid[16]);
	void (*memory)(int dev, size_t *total, size_t *used);
	/* Of a CUdevice_attribute; the PCI device is that of the first one, the others follow. */
	bool (*attribute)(int attribute, int *value);
	/* Nanoseconds that the device was at work, since ever; NULL: it never is. */
	uint64_t (*busy)(int dev);
	/* Degrees Celsius; NULL or false: not known. */
	bool (*temperature)(int *degrees);
	nvmlDeviceArchitecture_t architecture;
	nvmlBrandType_t brand;
};

/* Puts the functions into the table. A process has one such description: @device stays. */
void genie_soft_nvml_fill(struct genie_nvml *nvml, const struct genie_soft_nvml *device);

/* nvml_absent.c: those that say that there is none of it. */
void genie_soft_nvml_fill_absent(struct genie_nvml *nvml);
/* NVML_SUCCESS: @dev is one of the devices, and there is somewhere to write the answer. */
nvmlReturn_t genie_soft_nvml_check_out(nvmlDevice_t dev, const void *out);

#endif
