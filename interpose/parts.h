/*
 * Programs that were compiled separately (nvcc -rdc=true): the fat binary of each file lies behind
 * the linked one. Where the linked machine code does not fit the device, what fits is what the
 * files make together: their PTX, or for some of them only machine code that can be linked, such
 * as the device's runtime that launches kernels from kernels.
 */
#ifndef GENIE_INTERPOSE_PARTS_H
#define GENIE_INTERPOSE_PARTS_H

#include "base/fatbin.h"
#include "interpose/client.h"
#include "interpose/code.h"

/* Links the PTX of the parts of @image here. 0, -ENOENT: no part has any, or another negative
 * errno; *@ret_text is PTX with a NUL behind its *@ret_size bytes, free with free(). */
int genie_parts_link(const struct genie_image *image, int major, int minor, char **ret_text,
		     size_t *ret_size);
/* Is everything that @text uses in it, or supplied by the device? */
bool genie_parts_complete(const char *text);
/* Adds the kernels of parts that are machine code to @table. 0 or negative errno. */
int genie_parts_list(const struct genie_image *image, uint32_t kinds, int major, int minor,
		     struct genie_kernel_table *table);
/* Has the server link the parts for the device of @ctx: its driver knows how. The result is kept
 * there under @ret_hash. */
CUresult genie_parts_link_there(const struct genie_image *image, const struct genie_ctx *ctx,
				uint32_t kinds, int major, int minor,
				uint8_t ret_hash[GENIE_HASH_SIZE]);

#endif
