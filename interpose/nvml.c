/*
 * NVML: start and end, the system, handles of devices. nvml_find.c finds them by name,
 * nvml_device.c answers what CUDA knows of one too, nvml_host.c what concerns this machine. All
 * else is generated: the server's NVML answers.
 */
#include "interpose/nvml_device.h"
#include "interpose/watch.h"
#include "wire/codec.h"

#include <stdio.h>
#include <string.h>

/* How often nvmlInit was called and nvmlShutdown was not. */
static _Atomic int init_count;

/* ---- entering ---- */

nvmlReturn_t
genie_nvml_enter(enum genie_op op, bool early)
{
	genie_count(&genie_thread_self()->calls);
	genie_settings();
	if (genie_client.watched)
		genie_watch_call(op);
	if (early)
		return NVML_SUCCESS;
	if (atomic_load_explicit(&init_count, memory_order_acquire) == 0)
		return NVML_ERROR_UNINITIALIZED;
	/* A child process after fork has a session of its own. */
	if (!genie_client_chan() && genie_client_connect())
		return NVML_ERROR_DRIVER_NOT_LOADED;
	if (genie_chan_dead(genie_client_chan())) {
		genie_chan_failed(0);
		return NVML_ERROR_GPU_IS_LOST;
	}
	return NVML_SUCCESS;
}

/* What NVML writes into arrays of bytes is text, and programs read on to its end. */
static void
texts_end(enum genie_op op, void *args)
{
	const struct genie_op_desc *desc = genie_op_desc(op);

	for (unsigned int i = desc->arg_count - desc->pointer_count; i < desc->arg_count; i++) {
		const struct genie_arg_desc *arg = &desc->args[i];
		uint64_t count = arg->count;
		char *text;

		if (arg->kind != GENIE_ARG_OUT || arg->size != 1 || arg->len_deref)
			continue;
		memcpy(&text, (char *)args + arg->offset, sizeof(text));
		if (arg->len_size != 0) {
			count = 0;
			memcpy(&count, (char *)args + arg->len_offset, arg->len_size);
		}
		if (text != NULL && count != 0)
			text[count - 1] = '\0';
	}
}

nvmlReturn_t
genie_nvml_call(enum genie_op op, void *args)
{
	CUresult status = genie_call_ctx(op, args, NULL, NULL);

	if (status == CUDA_SUCCESS)
		texts_end(op, args);

	/* The worker answers with NVML's own codes. */
	if (genie_chan_dead(genie_client_chan()))
		return NVML_ERROR_GPU_IS_LOST;
	return (nvmlReturn_t)status;
}

nvmlReturn_t
genie_nvml_unsupported(const char *name, void *caller)
{
	genie_unsupported(name, caller);
	return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t
genie_nvmlInitWithFlags(unsigned int flags)
{
	(void)flags;
	if (genie_client_connect())
		return NVML_ERROR_DRIVER_NOT_LOADED;
	atomic_fetch_add_explicit(&init_count, 1, memory_order_release);
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlInit_v2(void)
{
	return genie_nvmlInitWithFlags(0);
}

nvmlReturn_t
genie_nvmlShutdown(void)
{
	atomic_fetch_sub_explicit(&init_count, 1, memory_order_release);
	return NVML_SUCCESS;
}

const char *
genie_nvmlErrorString(nvmlReturn_t result)
{
	switch (result) {
	case NVML_SUCCESS:
		return "Success";
	case NVML_ERROR_UNINITIALIZED:
		return "Uninitialized";
	case NVML_ERROR_INVALID_ARGUMENT:
		return "Invalid Argument";
	case NVML_ERROR_NOT_SUPPORTED:
		return "Not Supported";
	case NVML_ERROR_NO_PERMISSION:
		return "Insufficient Permissions";
	case NVML_ERROR_NOT_FOUND:
		return "Not Found";
	case NVML_ERROR_INSUFFICIENT_SIZE:
		return "Insufficient Size";
	case NVML_ERROR_DRIVER_NOT_LOADED:
		return "Driver Not Loaded";
	case NVML_ERROR_TIMEOUT:
		return "Timeout";
	case NVML_ERROR_FUNCTION_NOT_FOUND:
		return "Function Not Found";
	case NVML_ERROR_GPU_IS_LOST:
		return "GPU is lost";
	case NVML_ERROR_OPERATING_SYSTEM:
		return "Operating System Error";
	case NVML_ERROR_MEMORY:
		return "Insufficient Memory";
	case NVML_ERROR_NO_DATA:
		return "No data";
	case NVML_ERROR_ARGUMENT_VERSION_MISMATCH:
		return "Argument version mismatch";
	case NVML_ERROR_UNKNOWN:
		break;
	}
	return "Unknown Error";
}

/* ---- the system ---- */

nvmlReturn_t
genie_nvml_text(const char *text, char *ret_text, unsigned int length)
{
	if (!ret_text)
		return NVML_ERROR_INVALID_ARGUMENT;
	if (strlen(text) >= length)
		return NVML_ERROR_INSUFFICIENT_SIZE;
	strcpy(ret_text, text);
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
	struct genie_args_nvmlSystemGetDriverVersion args = {.version = version, .length = length};
	char text[NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE];

	if (!version || !length)
		return NVML_ERROR_INVALID_ARGUMENT;
	if (genie_client_connect())
		return NVML_ERROR_DRIVER_NOT_LOADED;
	if (genie_nvml_call(GENIE_OP_nvmlSystemGetDriverVersion, &args) == NVML_SUCCESS)
		return NVML_SUCCESS;
	/* A device without NVML still has a driver: the CUDA version it speaks. */
	snprintf(text, sizeof(text), "%u.%u", genie_client.welcome->driver_version / 1000,
		 genie_client.welcome->driver_version % 1000 / 10);
	return genie_nvml_text(text, version, length);
}

nvmlReturn_t
genie_nvmlSystemGetNVMLVersion(char *version, unsigned int length)
{
	struct genie_args_nvmlSystemGetNVMLVersion args = {.version = version, .length = length};
	char text[NVML_SYSTEM_NVML_VERSION_BUFFER_SIZE];

	if (!version || !length)
		return NVML_ERROR_INVALID_ARGUMENT;
	if (genie_client_connect())
		return NVML_ERROR_DRIVER_NOT_LOADED;
	/* nvidia-smi compares it with its own, so it is the server's: "13.580.159.04". */
	if (genie_nvml_call(GENIE_OP_nvmlSystemGetNVMLVersion, &args) == NVML_SUCCESS)
		return NVML_SUCCESS;
	snprintf(text, sizeof(text), "%u.%u", genie_client.welcome->driver_version / 1000,
		 genie_client.welcome->driver_version % 1000 / 10);
	return genie_nvml_text(text, version, length);
}

nvmlReturn_t
genie_nvmlSystemGetCudaDriverVersion(int *cudaDriverVersion)
{
	if (!cudaDriverVersion)
		return NVML_ERROR_INVALID_ARGUMENT;
	*cudaDriverVersion = (int)genie_client.welcome->driver_version;
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlSystemGetCudaDriverVersion_v2(int *cudaDriverVersion)
{
	return genie_nvmlSystemGetCudaDriverVersion(cudaDriverVersion);
}

/* ---- finding devices ---- */

/* The worker knows device n by the token with index n + 1. */
nvmlDevice_t
genie_nvml_handle(int ordinal)
{
	return (nvmlDevice_t)(uintptr_t)genie_token(GENIE_KIND_NVMLDEV, 0, (uint32_t)ordinal + 1);
}

int
genie_nvml_device(nvmlDevice_t device)
{
	uint64_t token = (uintptr_t)device;
	uint32_t index = genie_token_index(token);

	if (genie_token_kind(token) != GENIE_KIND_NVMLDEV || index == 0 ||
	    index > genie_client.welcome->device_count)
		return -1;
	return (int)index - 1;
}

nvmlReturn_t
genie_nvmlDeviceGetCount_v2(unsigned int *deviceCount)
{
	if (!deviceCount)
		return NVML_ERROR_INVALID_ARGUMENT;
	/* All of them: CUDA_VISIBLE_DEVICES does not concern NVML. */
	*deviceCount = genie_client.welcome->device_count;
	return NVML_SUCCESS;
}

nvmlReturn_t
genie_nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
	if (!device || index >= genie_client.welcome->device_count)
		return NVML_ERROR_INVALID_ARGUMENT;
	*device = genie_nvml_handle((int)index);
	return NVML_SUCCESS;
}
