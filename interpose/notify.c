/*
 * Notifications and core dumps: what the driver of the GPU's own machine would do. Callbacks and
 * attributes are kept, so that programs that set them go on; nothing here ever happens.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "interpose/client.h"
#include "interpose/refuse.h"

/* ---- notifications of a device: only "over budget", which drivers for Windows have ---- */

struct notification {
	struct notification *next;
	CUdevice device;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all that follows */
static struct notification *notifications;

CUresult
genie_cuDeviceRegisterAsyncNotification(CUdevice device, CUasyncCallback callbackFunc,
					void *userData, CUasyncCallbackHandle *callback)
{
	struct notification *notification;

	(void)userData;
	if (device < 0 || device >= genie_client.device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	if (!callbackFunc || !callback)
		return CUDA_ERROR_INVALID_VALUE;
	notification = malloc(sizeof(*notification));
	if (!notification)
		return CUDA_ERROR_OUT_OF_MEMORY;
	notification->device = device;
	pthread_mutex_lock(&lock);
	notification->next = notifications;
	notifications = notification;
	pthread_mutex_unlock(&lock);
	*callback = (CUasyncCallbackHandle)(void *)notification;
	return CUDA_SUCCESS;
}

CUresult
genie_cuDeviceUnregisterAsyncNotification(CUdevice device, CUasyncCallbackHandle callback)
{
	struct notification **at = &notifications, *found;

	if (device < 0 || device >= genie_client.device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	pthread_mutex_lock(&lock);
	while (*at && ((void *)*at != (void *)callback || (*at)->device != device))
		at = &(*at)->next;
	found = *at;
	if (found)
		*at = found->next;
	pthread_mutex_unlock(&lock);
	free(found);
	return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- core dumps ---- */

#define TEXT_MAX 1024

static bool switches[CU_COREDUMP_MAX] = {[CU_COREDUMP_TRIGGER_HOST] = true};
static char texts[2][TEXT_MAX]; /* file, pipe */
static int generation_flags;

/* Where an attribute is kept; NULL: there is no such one. */
static void *
attribute_find(CUcoredumpSettings attribute, size_t *ret_size, bool *ret_text)
{
	*ret_text = false;
	switch ((int)attribute) {
	case CU_COREDUMP_ENABLE_ON_EXCEPTION:
	case CU_COREDUMP_TRIGGER_HOST:
	case CU_COREDUMP_LIGHTWEIGHT:
	case CU_COREDUMP_ENABLE_USER_TRIGGER:
		*ret_size = sizeof(bool);
		return &switches[attribute];
	case CU_COREDUMP_FILE:
	case CU_COREDUMP_PIPE:
		*ret_size = TEXT_MAX;
		*ret_text = true;
		return texts[attribute == CU_COREDUMP_PIPE];
	case CU_COREDUMP_GENERATION_FLAGS:
		*ret_size = sizeof(int);
		return &generation_flags;
	default:
		return NULL;
	}
}

CUresult
genie_cuCoredumpGetAttributeGlobal(CUcoredumpSettings attrib, void *value, size_t *size)
{
	size_t have;
	bool is_text;
	const void *from = attribute_find(attrib, &have, &is_text);
	CUresult status = CUDA_SUCCESS;

	if (!from || !size)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&lock);
	if (is_text && value)
		have = strlen(from) + 1;
	if (value && *size >= have)
		memcpy(value, from, have);
	else if (value)
		status = CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_unlock(&lock);
	*size = have;
	return status;
}

CUresult
genie_cuCoredumpSetAttributeGlobal(CUcoredumpSettings attrib, void *value, size_t *size)
{
	size_t room;
	bool is_text, dumps;
	void *to = attribute_find(attrib, &room, &is_text);

	if (!to || !value || !size || *size > room || (!is_text && *size != room) || !*size)
		return CUDA_ERROR_INVALID_VALUE;
	dumps = attrib == CU_COREDUMP_ENABLE_ON_EXCEPTION ||
		attrib == CU_COREDUMP_ENABLE_USER_TRIGGER;
	if (dumps && *(const bool *)value)
		return genie_refuse("a core dump of the GPU",
				    "it would be written on the server, of all its memory");
	pthread_mutex_lock(&lock);
	memcpy(to, value, *size);
	if (is_text)
		((char *)to)[*size < room ? *size : room - 1] = '\0';
	pthread_mutex_unlock(&lock);
	return CUDA_SUCCESS;
}

/* Of a context: the same, because none dumps. */
CUresult
genie_cuCoredumpGetAttribute(CUcoredumpSettings attrib, void *value, size_t *size)
{
	return genie_ctx_current() ? genie_cuCoredumpGetAttributeGlobal(attrib, value, size)
				   : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult
genie_cuCoredumpSetAttribute(CUcoredumpSettings attrib, void *value, size_t *size)
{
	return genie_ctx_current() ? genie_cuCoredumpSetAttributeGlobal(attrib, value, size)
				   : CUDA_ERROR_INVALID_CONTEXT;
}

/*
 * Functions that host and device both call by one address: only machines whose processor and GPU
 * share their memory have them, and none does with a GPU that is elsewhere.
 */
CUresult
genie_cuLibraryGetUnifiedFunction(void **fptr, CUlibrary library, const char *symbol)
{
	if (!fptr || !symbol)
		return CUDA_ERROR_INVALID_VALUE;
	if (!genie_object_get(GENIE_KIND_LIBRARY, (uint64_t)(uintptr_t)library))
		return CUDA_ERROR_INVALID_HANDLE;
	return CUDA_ERROR_NOT_FOUND;
}
