/* The textures and surfaces that handles stand for. */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_IMAGE_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_IMAGE_H

#include "remote/device_cpu/ptx.h"

/* 0, or -1: the handle stands for nothing. */
int ptx_image_find(uint64_t handle, struct ptx_image *ret_image);

#endif
