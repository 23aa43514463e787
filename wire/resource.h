/*
 * Parts of a device (CUdevResource) as genieResourceGet, genieResourceSplit and genieResourceDesc
 * carry them: by a number that the worker gives out. The driver's own bytes never leave the worker.
 */
#ifndef GENIE_WIRE_RESOURCE_H
#define GENIE_WIRE_RESOURCE_H

#include <stdint.h>

#define GENIE_RESOURCE_EXTERNAL 48  /* bytes of the public part of a CUdevResource */
#define GENIE_RESOURCES_MAX     512 /* in one call */

struct genie_resource {
	uint64_t id;   /* 0: nothing, type is 0 too */
	uint32_t type; /* CUdevResourceType */
	uint32_t unused;
	uint8_t external[GENIE_RESOURCE_EXTERNAL];
};
_Static_assert(sizeof(struct genie_resource) == 64, "wire");

#endif
