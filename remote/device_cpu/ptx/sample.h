/* What a texture unit does: one read of one lane. */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_SAMPLE_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_SAMPLE_H

#include "remote/device_cpu/ptx.h"
#include "remote/device_cpu/ptx/code.h"

struct ptx_texel {
	float f[4];
	uint32_t bits[4]; /* the same as integers, extended */
};

struct ptx_sample_place {
	uint32_t layer;
	uint32_t coordinates[3]; /* float or integer, as the access says */
	float lod;
	float dx[3], dy[3]; /* of a gradient */
};

/* Faults as any access does when the image's memory is not there. */
void ptx_sample(const struct ptx_image_access *access, const struct ptx_image *image,
		const struct ptx_sample_place *place, struct ptx_texel *ret);

#endif
