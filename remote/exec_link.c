/* cuLink…: images of the store made one, which is kept there under its own name. */
#include <string.h>

#include "remote/exec.h"
#include "remote/jit.h"
#include "remote/store.h"
#include "remote/store_file.h"

#define INPUTS_MAX 512u

/* The nth name of a list of strings; NULL: the list ends before. */
static const char *
name_at(const char *names, size_t size, size_t n)
{
	const char *at = names, *end = names + size;

	for (;; n--) {
		const char *nul = at < end ? memchr(at, 0, (size_t)(end - at)) : NULL;

		if (!nul)
			return NULL;
		if (!n)
			return at;
		at = nul + 1;
	}
}

static CUresult
inputs_add(struct genie_session *session, CUlinkState state,
	   const struct genie_args_genieLink *args)
{
	struct genie_stored *image = NULL;
	struct genie_jit_args jit;
	CUresult status = CUDA_SUCCESS;

	for (size_t i = 0; i < args->inputs && status == CUDA_SUCCESS; i++) {
		const char *name = name_at(args->names, args->names_size, i);

		if (args->types[i] >= CU_JIT_NUM_INPUT_TYPES || !name)
			return CUDA_ERROR_INVALID_VALUE;
		status = genie_image_find(session, args->hashes + i * GENIE_STORE_HASH, &image);
		if (status == CUDA_SUCCESS)
			status = genie_jit_args_of(&jit, args->options, args->values, args->owners,
						   args->count, (unsigned int)i + 1);
		/* without the time, which is the state's */
		if (status == CUDA_SUCCESS)
			status = session->drv->cuLinkAddData_v2(
				state, (CUjitInputType)args->types[i], image->data, image->size,
				*name ? name : NULL, jit.count - 1, jit.options + 1,
				jit.values + 1);
	}
	return status;
}

/* The driver's result belongs to the state: a copy goes into the store. */
static CUresult
result_keep(struct genie_session *session, const void *cubin, size_t size,
	    const struct genie_args_genieLink *args)
{
	if (!cubin || !size || size > GENIE_STORE_MAX)
		return CUDA_ERROR_UNKNOWN;
	genie_store_hash(cubin, size, args->result_hash);
	*args->result_size = size;
	return genie_store_add(session->store, args->result_hash, size, 0, cubin, size)
		       ? CUDA_ERROR_OUT_OF_MEMORY
		       : CUDA_SUCCESS;
}

CUresult
genie_exec_genieLink(struct genie_session *session, struct genie_args_genieLink *args)
{
	struct genie_jit_args jit;
	CUlinkState state = NULL;
	void *cubin = NULL;
	size_t size = 0;
	CUresult status;

	if (!args->inputs || args->inputs > INPUTS_MAX ||
	    args->hashes_size != args->inputs * GENIE_STORE_HASH)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_jit_args_init(&jit, args->options, args->values, args->owners, args->count,
				     args->info, args->info_size, args->error, args->error_size);
	if (status != CUDA_SUCCESS)
		return status;
	status = session->drv->cuLinkCreate_v2(jit.count, jit.options, jit.values, &state);
	if (status == CUDA_SUCCESS) {
		status = inputs_add(session, state, args);
		if (status == CUDA_SUCCESS)
			status = session->drv->cuLinkComplete(state, &cubin, &size);
		if (status == CUDA_SUCCESS)
			status = result_keep(session, cubin, size, args);
		session->drv->cuLinkDestroy(state);
	}
	genie_jit_args_report(&jit, (struct genie_jit_report *)args->report);
	*args->result = (int)status;
	return CUDA_SUCCESS; /* the answer says it, with the logs */
}

CUresult
genie_exec_genieLinkRead(struct genie_session *session, struct genie_args_genieLinkRead *args)
{
	struct genie_stored *image = genie_store_find(session->store, args->hash);

	if (!image)
		return CUDA_ERROR_FILE_NOT_FOUND;
	if (args->offset > image->size || args->size > image->size - args->offset)
		return CUDA_ERROR_INVALID_VALUE;
	memcpy(args->data, image->data + args->offset, args->size);
	return CUDA_SUCCESS;
}
