/*
 * Between the nvml*.c files.
 */
#ifndef GENIE_INTERPOSE_NVML_DEVICE_H
#define GENIE_INTERPOSE_NVML_DEVICE_H

#include "interpose/nvml.h"

/* The handle of a device of the server. */
nvmlDevice_t genie_nvml_handle(int ordinal);
/* The ordinal of a device, or -1. */
int genie_nvml_device(nvmlDevice_t device);
/* Copies @text to the caller's buffer. */
nvmlReturn_t genie_nvml_text(const char *text, char *ret_text, unsigned int length);

#endif
