/* Inside of the kernel tables: what the readers of cubins and of PTX put them together with. */
#ifndef GENIE_BASE_FATBIN_KERNELS_H
#define GENIE_BASE_FATBIN_KERNELS_H

#include "base/fatbin.h"

/*
 * A table under construction. Names and parameters move while they grow, so kernels hold offsets
 * until the end.
 */
struct genie_kernel_builder {
	struct genie_kernel_draft {
		size_t name, params;
		struct genie_kernel_desc desc;
	} * kernels;
	size_t count, capacity;
	char *names;
	size_t names_size, names_capacity;
	struct genie_kernel_param *params;
	size_t params_count, params_capacity;
	bool failed; /* out of memory: sticky */
};

/* Adds a kernel; NULL = out of memory, which the builder remembers. */
struct genie_kernel_draft *genie_kernel_builder_kernel(struct genie_kernel_builder *b,
						       const char *name, size_t length);
/* Adds @count zeroed parameters at the end; NULL = out of memory. */
struct genie_kernel_param *genie_kernel_builder_params(struct genie_kernel_builder *b,
						       size_t count);
void genie_kernel_builder_fini(struct genie_kernel_builder *b);
/* Hands what was built over to a table. Frees the builder. */
int genie_kernel_builder_finish(struct genie_kernel_builder *b,
				struct genie_kernel_table *ret_table);

/* As genie_kernel_table_find(), to be changed. */
struct genie_kernel_desc *genie_kernel_table_get(const struct genie_kernel_table *table,
						 const char *name);

#endif
