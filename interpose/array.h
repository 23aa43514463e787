/* Arrays: memory in the device's own layout, named by a handle. */
#ifndef GENIE_INTERPOSE_ARRAY_H
#define GENIE_INTERPOSE_ARRAY_H

#include "interpose/client.h"

struct genie_array {
	struct genie_object object;
	CUDA_ARRAY3D_DESCRIPTOR desc;
	struct genie_mipmap *mipmap; /* of a level: what it is a level of */
};

/* NULL: not an array. */
struct genie_array *genie_array_get(CUarray handle);
/* Bytes of one element; 0: a format without plain elements. */
size_t genie_array_element(const struct genie_array *array);
/* Bytes of one row. */
size_t genie_array_row(const struct genie_array *array);
/* Does the box lie inside? @x and @width are in bytes. */
bool genie_array_holds(const struct genie_array *array, const size_t origin[3],
		       const size_t size[3]);

#endif
