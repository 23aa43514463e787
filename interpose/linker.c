/*
 * cuLink…: linking at run time. Inputs are collected here; cuLinkComplete sends them (as images,
 * so that what the server has need not travel again) and waits for what they make together. A
 * device that takes only PTX needs no linker of the vendor's: their texts are made one here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interpose/jit.h"
#include "interpose/kernel.h"
#include "interpose/link.h"
#include "interpose/refuse.h"
#include "interpose/texts.h"

#define INPUTS_MAX 512u
#define READ_CHUNK (48u << 10)

struct input {
	CUjitInputType type;
	char *name; /* may be NULL */
	size_t size;
	unsigned int first_option, options; /* in the state's list */
	uint8_t *data;
};

struct link_state {
	struct genie_object object;
	pthread_mutex_t lock; /* guards all of it; held while the server links */
	struct genie_jit jit; /* its own options, and where answers go */
	struct input *inputs;
	unsigned int count, room;
	/* numeric options of all: of the state first, then those of inputs */
	unsigned int option_count;
	unsigned int owners[GENIE_JIT_OPTIONS_MAX]; /* 0: the state; else 1 + the input */
	unsigned int options[GENIE_JIT_OPTIONS_MAX];
	unsigned long long values[GENIE_JIT_OPTIONS_MAX];
	bool complete;
	char *result;
	size_t result_size;
};

static struct link_state *
state_get(CUlinkState handle)
{
	return genie_object_get(GENIE_KIND_LINKSTATE, (uint64_t)(uintptr_t)handle);
}

static CUresult
options_add(struct link_state *state, const struct genie_jit *jit, unsigned int owner)
{
	if (jit->count > GENIE_JIT_OPTIONS_MAX - state->option_count)
		return CUDA_ERROR_INVALID_VALUE;
	for (unsigned int i = 0; i < jit->count; i++) {
		state->owners[state->option_count] = owner;
		state->options[state->option_count] = jit->options[i];
		state->values[state->option_count++] = jit->values[i];
	}
	return CUDA_SUCCESS;
}

CUresult
genie_cuLinkCreate_v2(unsigned int numOptions, CUjit_option *options, void **optionValues,
		      CUlinkState *stateOut)
{
	struct genie_ctx *ctx = genie_ctx_home();
	struct link_state *state;
	struct genie_jit jit;
	CUresult status;

	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (stateOut == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_jit_read(&jit, numOptions, options, optionValues);
	if (status != CUDA_SUCCESS)
		return status;
	state = genie_object_new(GENIE_KIND_LINKSTATE, sizeof(*state), ctx);
	if (state == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	pthread_mutex_init(&state->lock, NULL);
	state->jit = jit;
	(void)options_add(state, &jit, 0); /* there is room for as many */
	*stateOut = (CUlinkState)(uintptr_t)state->object.token;
	return CUDA_SUCCESS;
}

CUresult
genie_cuLinkDestroy(CUlinkState handle)
{
	struct link_state *state = state_get(handle);

	if (state == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	for (unsigned int i = 0; i < state->count; i++) {
		free(state->inputs[i].name);
		free(state->inputs[i].data);
	}
	free(state->inputs);
	free(state->result);
	pthread_mutex_destroy(&state->lock);
	genie_object_free(state);
	return CUDA_SUCCESS;
}

/* ---- inputs ---- */

static CUresult
input_add_locked(struct link_state *state, const struct input *input, const struct genie_jit *jit)
{
	struct input *inputs;
	CUresult status;

	if (state->complete || state->count == INPUTS_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	if (state->count == state->room) {
		unsigned int room = state->room ? state->room * 2 : 8;

		inputs = realloc(state->inputs, room * sizeof(*inputs));
		if (inputs == NULL)
			return CUDA_ERROR_OUT_OF_MEMORY;
		state->inputs = inputs;
		state->room = room;
	}
	status = options_add(state, jit, state->count + 1);
	if (status == CUDA_SUCCESS)
		state->inputs[state->count++] = *input;
	return status;
}

/* Takes over @data. */
static CUresult
input_take(CUlinkState handle, CUjitInputType type, void *data, size_t size, const char *name,
	   unsigned int count, const CUjit_option *options, void **values)
{
	struct link_state *state = state_get(handle);
	struct input input = {.type = type, .size = size, .data = data};
	struct genie_jit jit;
	CUresult status = CUDA_SUCCESS;

	if (state == NULL)
		status = CUDA_ERROR_INVALID_HANDLE;
	else if ((unsigned int)type >= CU_JIT_NUM_INPUT_TYPES || size == 0)
		status = CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS)
		status = genie_jit_read(&jit, count, options, values);
	if (status == CUDA_SUCCESS && name != NULL) {
		input.name = strdup(name);
		if (input.name == NULL)
			status = CUDA_ERROR_OUT_OF_MEMORY;
	}
	if (status == CUDA_SUCCESS) {
		pthread_mutex_lock(&state->lock);
		status = input_add_locked(state, &input, &jit);
		pthread_mutex_unlock(&state->lock);
	}
	if (status != CUDA_SUCCESS) {
		free(input.name);
		free(data);
	}
	return status;
}

CUresult
genie_cuLinkAddData_v2(CUlinkState state, CUjitInputType type, void *data, size_t size,
		       const char *name, unsigned int numOptions, CUjit_option *options,
		       void **optionValues)
{
	char *copy;

	if (data == NULL || size == 0 || size > GENIE_IMAGE_UNPACK_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	copy = malloc(size + 1); /* PTX is read as text: it may come without its NUL */
	if (copy == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	memcpy(copy, data, size);
	copy[size] = '\0';
	return input_take(state, type, copy, size, name, numOptions, options, optionValues);
}

CUresult
genie_cuLinkAddFile_v2(CUlinkState state, CUjitInputType type, const char *path,
		       unsigned int numOptions, CUjit_option *options, void **optionValues)
{
	void *data;
	size_t size;
	CUresult status;

	if (path == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_code_read_file(path, &data, &size);
	if (status != CUDA_SUCCESS)
		return status;
	return input_take(state, type, data, size, path, numOptions, options, optionValues);
}

/* ---- linking here: PTX alone ---- */

/* The PTX of an input, with a NUL behind it; free with free(). */
static CUresult
input_text(const struct input *input, const struct genie_device_info *device, char **ret_text)
{
	struct genie_image_entry entry;
	struct genie_image image;
	void *text;
	size_t size;
	int error;

	error = genie_image_open(&image, input->data, input->size + 1);
	if (error == 0)
		error = genie_image_pick(
			&image, GENIE_IMAGE_PTX,
			device->attrs[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR],
			device->attrs[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR], &entry);
	if (error == 0)
		error = genie_image_entry_unpack(&entry, GENIE_IMAGE_UNPACK_MAX, &text, &size);
	if (error == -ENOMEM)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (error == -ENOENT)
		return CUDA_ERROR_NO_BINARY_FOR_GPU;
	if (error != 0)
		return input->type == CU_JIT_INPUT_PTX ? CUDA_ERROR_INVALID_PTX
						       : CUDA_ERROR_INVALID_IMAGE;
	*ret_text = text;
	return CUDA_SUCCESS;
}

/* Adds the texts of an input: an object file or an archive may have several. */
static CUresult
input_texts(const struct input *input, const struct genie_device_info *device,
	    struct genie_texts *texts)
{
	CUresult status;
	char *text;
	int found;

	if (input->type == CU_JIT_INPUT_OBJECT || input->type == CU_JIT_INPUT_LIBRARY) {
		found = genie_texts_add_from(texts, input->data, input->size);
		if (found < 0)
			return CUDA_ERROR_OUT_OF_MEMORY;
		return found > 0 ? CUDA_SUCCESS : CUDA_ERROR_NO_BINARY_FOR_GPU;
	}
	status = input_text(input, device, &text);
	if (status == CUDA_SUCCESS && genie_texts_add(texts, text) != 0)
		status = CUDA_ERROR_OUT_OF_MEMORY;
	return status;
}

static CUresult
link_here_locked(struct link_state *state)
{
	const struct genie_device_info *device = &genie_client.devices[state->object.ctx->device];
	struct genie_texts texts = {0};
	CUresult status = CUDA_SUCCESS;
	char name[256], error_text[300];
	int error;

	for (unsigned int i = 0; i < state->count && status == CUDA_SUCCESS; i++)
		status = input_texts(&state->inputs[i], device, &texts);
	if (status == CUDA_SUCCESS) {
		error = genie_link_ptx((const char *const *)texts.texts, texts.count,
				       &state->result, &state->result_size);
		if (error != 0)
			status = error == -ENOMEM ? CUDA_ERROR_OUT_OF_MEMORY
						  : CUDA_ERROR_INVALID_PTX;
	}
	genie_texts_fini(&texts);
	if (status == CUDA_SUCCESS && genie_link_undefined(state->result, name, sizeof(name)) > 0) {
		snprintf(error_text, sizeof(error_text), "undefined reference to '%s'", name);
		genie_jit_answer(&state->jit, &(struct genie_jit_report){0}, "", error_text);
		return CUDA_ERROR_INVALID_IMAGE;
	}
	/* Is it right? The device's compiler says, and writes the log. */
	if (status == CUDA_SUCCESS)
		status = genie_module_try(state->object.ctx, state->result, state->result_size,
					  &state->jit);
	else
		genie_jit_answer(&state->jit, &(struct genie_jit_report){0}, "",
				 "the inputs cannot be linked");
	return status;
}

/* ---- linking on the server ---- */

static CUresult
result_read_locked(struct link_state *state, const uint8_t *hash, size_t size)
{
	CUresult status = CUDA_SUCCESS;

	if (size == 0 || size > GENIE_IMAGE_UNPACK_MAX)
		return CUDA_ERROR_UNKNOWN;
	state->result = malloc(size + 1);
	if (state->result == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	state->result_size = size;
	state->result[size] = '\0';
	for (size_t done = 0; done < size && status == CUDA_SUCCESS;) {
		struct genie_args_genieLinkRead args = {
			.hash = hash,
			.offset = done,
			.data = state->result + done,
			.size = size - done < READ_CHUNK ? size - done : READ_CHUNK,
		};

		status = genie_call_ctx(GENIE_OP_genieLinkRead, &args, state->object.ctx, NULL);
		done += args.size;
	}
	return status;
}

/* The names of all inputs, each with its NUL; "" for one without. */
static char *
names_join_locked(const struct link_state *state, size_t *ret_size)
{
	size_t size = 0;
	char *names, *at;

	for (unsigned int i = 0; i < state->count; i++)
		size += (state->inputs[i].name ? strlen(state->inputs[i].name) : 0) + 1;
	names = at = malloc(size + 1);
	for (unsigned int i = 0; names != NULL && i < state->count; i++)
		at = stpcpy(at, state->inputs[i].name ? state->inputs[i].name : "") + 1;
	*ret_size = size;
	return names;
}

static CUresult
link_there_locked(struct link_state *state)
{
	uint8_t result_hash[GENIE_HASH_SIZE] = {0};
	char logs[2][GENIE_JIT_LOG_MAX + 1] = {"", ""};
	struct genie_jit_report report = {0};
	unsigned int types[INPUTS_MAX];
	size_t result_size = 0;
	int result = CUDA_ERROR_UNKNOWN;
	struct genie_args_genieLink args = {
		.types = types,
		.inputs = state->count,
		.owners = state->owners,
		.options = state->options,
		.values = state->values,
		.count = state->option_count,
		.info = logs[0],
		.info_size = genie_jit_room(&state->jit, 0),
		.error = logs[1],
		.error_size = genie_jit_room(&state->jit, 1),
		.report = (unsigned char *)&report,
		.result_hash = result_hash,
		.result_size = &result_size,
		.result = &result,
	};
	uint8_t *hashes = malloc((size_t)state->count * GENIE_HASH_SIZE + 1);
	char *names = names_join_locked(state, &args.names_size);
	CUresult status = hashes && names ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;

	for (unsigned int i = 0; i < state->count && status == CUDA_SUCCESS; i++) {
		const struct input *input = &state->inputs[i];
		/* the compiler wants a text's NUL */
		size_t size = input->size + (input->type == CU_JIT_INPUT_PTX);

		types[i] = input->type;
		status = genie_code_send(input->data, size, hashes + i * GENIE_HASH_SIZE);
	}
	args.hashes = hashes;
	args.hashes_size = (size_t)state->count * GENIE_HASH_SIZE;
	args.names = names;
	if (status == CUDA_SUCCESS)
		status = genie_call_ctx(GENIE_OP_genieLink, &args, state->object.ctx, NULL);
	if (status == CUDA_SUCCESS) {
		genie_jit_answer(&state->jit, &report, logs[0], logs[1]);
		status = genie_status(result);
	}
	if (status == CUDA_SUCCESS)
		status = result_read_locked(state, result_hash, result_size);
	free(hashes);
	free(names);
	return status;
}

CUresult
genie_cuLinkComplete(CUlinkState handle, void **cubinOut, size_t *sizeOut)
{
	struct link_state *state = state_get(handle);
	CUresult status = CUDA_SUCCESS;

	if (state == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (cubinOut == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&state->lock);
	if (state->count == 0)
		status = CUDA_ERROR_INVALID_VALUE;
	else if (!state->complete)
		status = genie_client.devices[state->object.ctx->device].image_kinds &
					 GENIE_IMAGE_SASS
				 ? link_there_locked(state)
				 : link_here_locked(state);
	else if (state->result == NULL)
		status = CUDA_ERROR_INVALID_VALUE;
	state->complete = true;
	if (status == CUDA_SUCCESS) {
		*cubinOut = state->result;
		if (sizeOut != NULL)
			*sizeOut = state->result_size;
	}
	pthread_mutex_unlock(&state->lock);
	return status;
}
