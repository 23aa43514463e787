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
	void (*name)(char *name, size_t size);
	void (*uuid)(uint8_t uuid[16]);
	void (*memory)(size_t *total, size_t *used);
	/* Of a CUdevice_attribute. */
	bool (*attribute)(int attribute, int *value);
	/* Nanoseconds that the device was at work, since ever; NULL: it never is. */
	uint64_t (*busy)(void);
	/* Degrees Celsius; NULL or false: not known. */
	bool (*temperature)(int *degrees);
	nvmlDeviceArchitecture_t architecture;
	nvmlBrandType_t brand;
};

/* Puts the functions into the table. A process has one such device: @device stays. */
void genie_soft_nvml_fill(struct genie_nvml *nvml, const struct genie_soft_nvml *device);

#endif
