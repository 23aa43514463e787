/*
 * Parts of devices (CUdevResource) that the driver gave out to this session. The client names them
 * by number, so that it cannot hand the driver bytes that the driver did not write. CUDA has no
 * call that ends them: the least recently used one goes when there are too many.
 */
#ifndef GENIE_REMOTE_DEVRES_H
#define GENIE_REMOTE_DEVRES_H

#include <cuda.h>
#include <stdint.h>

#include "wire/resource.h"

struct genie_devres;

/* Gives @resource a number, the same for the same bytes, and says what of it is public. 0, or
 * -ENOMEM. *@table is made at first use. */
int genie_devres_add(struct genie_devres **table, const CUdevResource *resource,
		     struct genie_resource *ret);
/* NULL: no such number. Borrowed until the next genie_devres_add(). */
const CUdevResource *genie_devres_find(struct genie_devres *table, uint64_t id);
void genie_devres_free(struct genie_devres *table);

#endif
