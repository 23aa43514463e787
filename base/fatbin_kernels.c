/* Tables of kernels: how they are put together, and looking things up in them. */
#include "base/fatbin_kernels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for @need elements; false = out of memory. */
static bool
grow(void **array, size_t *capacity, size_t need, size_t element)
{
	size_t wanted = *capacity ? *capacity : 64;
	void *bigger;

	if (need <= *capacity)
		return true;
	while (wanted < need)
		wanted *= 2;
	bigger = realloc(*array, wanted * element);
	if (!bigger)
		return false;
	*array = bigger;
	*capacity = wanted;
	return true;
}

struct genie_kernel_draft *
genie_kernel_builder_kernel(struct genie_kernel_builder *b, const char *name, size_t length)
{
	struct genie_kernel_draft *draft;

	if (!grow((void **)&b->kernels, &b->capacity, b->count + 1, sizeof(*b->kernels)) ||
	    !grow((void **)&b->names, &b->names_capacity, b->names_size + length + 1, 1)) {
		b->failed = true;
		return NULL;
	}
	draft = &b->kernels[b->count++];
	*draft = (struct genie_kernel_draft){.name = b->names_size, .params = b->params_count};
	memcpy(b->names + b->names_size, name, length);
	b->names[b->names_size + length] = 0;
	b->names_size += length + 1;
	return draft;
}

/* Adds @count zeroed parameters at the end; NULL = out of memory. */
struct genie_kernel_param *
genie_kernel_builder_params(struct genie_kernel_builder *b, size_t count)
{
	struct genie_kernel_param *params;

	/* one more, so that there is an array even for a kernel without parameters */
	if (!grow((void **)&b->params, &b->params_capacity, b->params_count + count + 1,
		  sizeof(*b->params))) {
		b->failed = true;
		return NULL;
	}
	params = b->params + b->params_count;
	memset(params, 0, count * sizeof(*params));
	b->params_count += count;
	return params;
}

void
genie_kernel_builder_fini(struct genie_kernel_builder *b)
{
	free(b->kernels);
	free(b->names);
	free(b->params);
}

static int
compare_kernels(const void *a, const void *b)
{
	const struct genie_kernel_desc *ka = a, *kb = b;

	return strcmp(ka->name, kb->name);
}

/* Hands what was built over to a table. Frees the builder. */
int
genie_kernel_builder_finish(struct genie_kernel_builder *b, struct genie_kernel_table *ret_table)
{
	struct genie_kernel_desc *kernels = NULL;

	if (b->count) {
		kernels = calloc(b->count, sizeof(*kernels));
		b->failed |= !kernels;
	}
	if (b->failed) {
		genie_kernel_builder_fini(b);
		return -ENOMEM;
	}
	for (size_t i = 0; i < b->count; i++) {
		kernels[i] = b->kernels[i].desc;
		kernels[i].name = b->names + b->kernels[i].name;
		kernels[i].params = b->params ? b->params + b->kernels[i].params : NULL;
	}
	if (b->count)
		qsort(kernels, b->count, sizeof(*kernels), compare_kernels);
	free(b->kernels);
	*ret_table = (struct genie_kernel_table){
		.kernels = kernels,
		.count = b->count,
		.names = b->names,
		.params = b->params,
	};
	return 0;
}

struct genie_kernel_desc *
genie_kernel_table_get(const struct genie_kernel_table *table, const char *name)
{
	struct genie_kernel_desc key = {.name = name};

	if (!table->count)
		return NULL;
	return bsearch(&key, table->kernels, table->count, sizeof(key), compare_kernels);
}

int
genie_kernel_table_init(struct genie_kernel_table *ret_table, const struct genie_image_entry *entry)
{
	void *data;
	size_t size;
	int r;

	r = genie_image_entry_unpack(entry, GENIE_IMAGE_UNPACK_MAX, &data, &size);
	if (r < 0)
		return r;
	if (entry->kind == GENIE_ENTRY_PTX)
		r = genie_kernel_table_init_ptx(ret_table, data, size);
	else
		r = genie_kernel_table_init_elf(ret_table, data, size);
	free(data);
	return r;
}

static void
builder_copy(struct genie_kernel_builder *b, const struct genie_kernel_desc *kernel)
{
	struct genie_kernel_draft *draft =
		genie_kernel_builder_kernel(b, kernel->name, strlen(kernel->name));
	struct genie_kernel_param *params = genie_kernel_builder_params(b, kernel->param_count);

	if (!draft || !params)
		return; /* the builder remembers */
	draft->desc = *kernel;
	if (kernel->param_count)
		memcpy(params, kernel->params, kernel->param_count * sizeof(*params));
}

int
genie_kernel_table_add(struct genie_kernel_table *table, const struct genie_kernel_table *more)
{
	bool prints = table->prints || more->prints;
	struct genie_kernel_builder b = {0};
	struct genie_kernel_table both;
	int r;

	for (size_t i = 0; i < table->count; i++)
		builder_copy(&b, &table->kernels[i]);
	for (size_t i = 0; i < more->count; i++)
		if (!genie_kernel_table_find(table, more->kernels[i].name))
			builder_copy(&b, &more->kernels[i]);
	r = genie_kernel_builder_finish(&b, &both);
	if (r < 0)
		return r;
	genie_kernel_table_fini(table);
	both.prints = prints;
	*table = both;
	return 0;
}

void
genie_kernel_table_fini(struct genie_kernel_table *table)
{
	free(table->kernels);
	free(table->names);
	free(table->params);
	*table = (struct genie_kernel_table){0};
}

const struct genie_kernel_desc *
genie_kernel_table_find(const struct genie_kernel_table *table, const char *name)
{
	return genie_kernel_table_get(table, name);
}
