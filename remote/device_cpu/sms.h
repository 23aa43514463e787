/*
 * Parts of a device's multiprocessors, as the soft devices divide them: what a CUdevResource of
 * theirs says. The rules are those that CUDA documents for its compute capabilities.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_SMS_H
#define GENIE_REMOTE_DEVICE_CPU_SMS_H

#include <cuda.h>
#include <stdbool.h>
#include <stdint.h>

#define GENIE_SMS_MAX 1024u /* of a device */

struct genie_sms_device {
	uint32_t total; /* 1 … GENIE_SMS_MAX */
	int major;      /* compute capability */
};

/* A set of multiprocessors, in the smallest units that are given out. */
struct genie_sms {
	uint64_t units[GENIE_SMS_MAX / 2 / 64];
};

/* All there are. */
void genie_sms_all(const struct genie_sms_device *device, struct genie_sms *ret_set);
uint32_t genie_sms_count(const struct genie_sms_device *device, const struct genie_sms *set);
/* Their numbers, ascending; @ret_list has room for GENIE_SMS_MAX. Returns how many. */
uint32_t genie_sms_list(const struct genie_sms_device *device, const struct genie_sms *set,
			uint16_t *ret_list);

/* What a device or a context of @set says of itself. */
CUresult genie_sms_describe(const struct genie_sms_device *device, const struct genie_sms *set,
			    CUdevResourceType type, CUdevResource *ret_resource);
/* cuDevSmResourceSplitByCount. */
CUresult genie_sms_split(const struct genie_sms_device *device, CUdevResource *ret_list,
			 unsigned int *groups, const CUdevResource *input, CUdevResource *remaining,
			 unsigned int flags, unsigned int min_count);
/* All of @count resources together, as a descriptor has them. */
CUresult genie_sms_join(const CUdevResource *list, unsigned int count, struct genie_sms *ret_set);

#endif
