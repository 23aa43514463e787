#include "interpose/parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interpose/link.h"
#include "wire/jit.h"

/* Of parts that the server links; as many as its linker takes. */
#define INPUTS_MAX 512u

static size_t
parts_count(const struct genie_image *image)
{
	size_t count = 0;

	while (count < GENIE_IMAGE_PARTS_MAX && image->prelinked[count] != NULL)
		count++;
	return count;
}

/* What a device takes of one part, unpacked, with a NUL behind it. 0 or negative errno. */
static int
part_unpack(const void *part, uint32_t kinds, int major, int minor, uint32_t *ret_kind,
	    void **ret_data, size_t *ret_size)
{
	struct genie_image_entry found;
	struct genie_image image;
	int error;

	error = genie_image_open_local(&image, part);
	if (error == 0)
		error = genie_image_pick(&image, kinds, major, minor, &found);
	if (error == 0)
		error = genie_image_entry_unpack(&found, GENIE_IMAGE_UNPACK_MAX, ret_data,
						 ret_size);
	if (error == 0)
		*ret_kind = found.kind;
	return error;
}

/* ---- here ---- */

int
genie_parts_link(const struct genie_image *image, int major, int minor, char **ret_text,
		 size_t *ret_size)
{
	size_t count = parts_count(image), used = 0, size;
	void **texts = calloc(count + 1, sizeof(*texts));
	uint32_t kind;
	int error;

	if (texts == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (part_unpack(image->prelinked[i], GENIE_IMAGE_PTX, major, minor, &kind,
				&texts[used], &size) == 0)
			used++;
	error = used != 0 ? genie_link_ptx((const char *const *)texts, used, ret_text, ret_size)
			  : -ENOENT;
	if (error != 0 && error != -ENOMEM && error != -ENOENT)
		genie_warn("separately compiled device code could not be linked");
	for (size_t i = 0; i < used; i++)
		free(texts[i]);
	free(texts);
	return error;
}

bool
genie_parts_complete(const char *text)
{
	char name[256];

	return genie_link_undefined(text, name, sizeof(name)) <= 0;
}

/* ---- on the server ---- */

int
genie_parts_list(const struct genie_image *image, uint32_t kinds, int major, int minor,
		 struct genie_kernel_table *table)
{
	size_t count = parts_count(image), size;
	struct genie_kernel_table more;
	int error = 0;

	for (size_t i = 0; i < count && error != -ENOMEM; i++) {
		uint32_t kind;
		void *data;

		error = part_unpack(image->prelinked[i], kinds, major, minor, &kind, &data, &size);
		if (error != 0)
			continue;
		if (kind != GENIE_ENTRY_PTX)
			error = genie_kernel_table_init_elf(&more, data, size);
		free(data);
		if (kind == GENIE_ENTRY_PTX || error != 0)
			continue;
		error = genie_kernel_table_add(table, &more);
		genie_kernel_table_fini(&more);
	}
	return error == -ENOMEM ? error : 0;
}

/* Sends what fits of every part. Parts without code for any device are none of ours. */
static CUresult
parts_send(const struct genie_image *image, uint32_t kinds, int major, int minor,
	   unsigned int *ret_types, uint8_t *ret_hashes, size_t *ret_count)
{
	size_t count = parts_count(image);
	CUresult status = CUDA_SUCCESS;

	*ret_count = 0;
	for (size_t i = 0; i < count && status == CUDA_SUCCESS; i++) {
		uint32_t kind;
		void *data;
		size_t size;
		int error;

		error = part_unpack(image->prelinked[i], kinds, major, minor, &kind, &data, &size);
		if (error == -ENOMEM)
			return CUDA_ERROR_OUT_OF_MEMORY;
		if (error != 0)
			continue;
		if (*ret_count == INPUTS_MAX) {
			free(data);
			return CUDA_ERROR_NOT_SUPPORTED;
		}
		ret_types[*ret_count] =
			kind == GENIE_ENTRY_PTX ? CU_JIT_INPUT_PTX : CU_JIT_INPUT_CUBIN;
		size += kind == GENIE_ENTRY_PTX; /* the compiler wants a text's NUL */
		status = genie_code_send(data, size, ret_hashes + *ret_count * GENIE_HASH_SIZE);
		++*ret_count;
		free(data);
	}
	return status;
}

CUresult
genie_parts_link_there(const struct genie_image *image, const struct genie_ctx *ctx, uint32_t kinds,
		       int major, int minor, uint8_t ret_hash[GENIE_HASH_SIZE])
{
	char names[INPUTS_MAX * sizeof("part 511")], *name = names;
	unsigned int types[INPUTS_MAX];
	struct genie_jit_report report = {0};
	char info[1] = "", error[1024] = "";
	int result = CUDA_ERROR_UNKNOWN;
	size_t result_size = 0;
	struct genie_args_genieLink args = {
		.types = types,
		.owners = types, /* no options: there is nothing in these */
		.options = types,
		.values = &(unsigned long long){0},
		.names = names,
		.info = info,
		.error = error,
		.error_size = sizeof(error) - 1,
		.report = (unsigned char *)&report,
		.result_hash = ret_hash,
		.result_size = &result_size,
		.result = &result,
	};
	uint8_t *hashes = malloc((size_t)INPUTS_MAX * GENIE_HASH_SIZE);
	CUresult status = CUDA_ERROR_OUT_OF_MEMORY;

	if (hashes != NULL)
		status = parts_send(image, kinds, major, minor, types, hashes, &args.inputs);
	args.hashes = hashes;
	args.hashes_size = args.inputs * GENIE_HASH_SIZE;
	for (size_t i = 0; i < args.inputs; i++)
		name += sprintf(name, "part %zu", i) + 1;
	args.names_size = (size_t)(name - names);
	if (status == CUDA_SUCCESS)
		status = genie_call_ctx(GENIE_OP_genieLink, &args, ctx, NULL);
	if (status == CUDA_SUCCESS && result != CUDA_SUCCESS) {
		error[sizeof(error) - 1] = '\0';
		genie_warn("separately compiled device code could not be linked: %s", error);
		status = (CUresult)result;
	}
	free(hashes);
	return status;
}
