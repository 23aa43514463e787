/*
 * NVRTC: compiles kernels of CuPy, PyTorch's jiterator, cuda-python and others to machine code,
 * by way of PTX that it keeps. On the CPU device the cubin that it hands out carries this PTX too
 * (base/fatbin_attach.c); on a GPU it is NVRTC's own, byte for byte.
 *
 * A process may have several NVRTCs, each with programs of its own, and a function of ours cannot
 * see which one it stands for. So there is one for each: LIBRARIES copies of two lines.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatbin.h"
#include "interpose/client.h"
#include "interpose/hook.h"

#define EXPORT __attribute__((visibility("default")))

/* nvrtcResult and nvrtcProgram of nvrtc.h, which not every CUDA installation has. */
typedef int nvrtc_result_t;
typedef void *nvrtc_program_t;
typedef nvrtc_result_t (*size_fn)(nvrtc_program_t program, size_t *size);
typedef nvrtc_result_t (*data_fn)(nvrtc_program_t program, char *data);

#define NVRTC_SUCCESS        0
#define NVRTC_OUT_OF_MEMORY  1
#define NVRTC_INTERNAL_ERROR 11

struct library {
	size_fn cubin_size, ptx_size;
	data_fn cubin, ptx;
};

EXPORT nvrtc_result_t nvrtcGetCUBINSize(nvrtc_program_t program, size_t *size);
EXPORT nvrtc_result_t nvrtcGetCUBIN(nvrtc_program_t program, char *cubin);

/* ---- one library ---- */

/* What one of the pairs "how large" and "here it is" gives. Returns *@ret_data (free with free()).
 */
static nvrtc_result_t
output_get(nvrtc_program_t program, size_fn get_size, data_fn get_data, char **ret_data,
	   size_t *ret_size)
{
	nvrtc_result_t result;
	size_t size = 0;
	char *data;

	result = get_size(program, &size);
	if (result != NVRTC_SUCCESS)
		return result;
	data = malloc(size + 1);
	if (!data)
		return NVRTC_OUT_OF_MEMORY;
	result = size ? get_data(program, data) : NVRTC_SUCCESS;
	if (result != NVRTC_SUCCESS) {
		free(data);
		return result;
	}
	data[size] = '\0';
	*ret_data = data;
	*ret_size = size;
	return NVRTC_SUCCESS;
}

/* The cubin with its PTX; without, where there is none. Returns *@ret_data (free with free()). */
static nvrtc_result_t
cubin_make(const struct library *library, nvrtc_program_t program, void **ret_data,
	   size_t *ret_size)
{
	char *cubin, *ptx;
	size_t cubin_size, ptx_size, size;
	nvrtc_result_t result;
	void *both;

	result = output_get(program, library->cubin_size, library->cubin, &cubin, &cubin_size);
	if (result != NVRTC_SUCCESS)
		return result;
	if (cubin_size != 0 && output_get(program, library->ptx_size, library->ptx, &ptx,
					  &ptx_size) == NVRTC_SUCCESS) {
		ptx_size = strnlen(ptx, ptx_size);
		if (ptx_size != 0 &&
		    genie_cubin_attach(cubin, cubin_size, ptx, ptx_size, &both, &size) == 0) {
			free(cubin);
			cubin = both;
			cubin_size = size;
		}
		free(ptx);
	}
	*ret_data = cubin;
	*ret_size = cubin_size;
	return NVRTC_SUCCESS;
}

static nvrtc_result_t
cubin_size(const struct library *library, nvrtc_program_t program, size_t *ret_size)
{
	nvrtc_result_t result;
	size_t size;
	void *data;

	if (!ret_size || !genie_hook_wants_ptx())
		return library->cubin_size(program, ret_size);
	result = cubin_make(library, program, &data, &size);
	if (result == NVRTC_SUCCESS) {
		*ret_size = size;
		free(data);
	}
	return result;
}

static nvrtc_result_t
cubin_copy(const struct library *library, nvrtc_program_t program, char *ret_cubin)
{
	nvrtc_result_t result;
	size_t size;
	void *data;

	if (!ret_cubin || !genie_hook_wants_ptx())
		return library->cubin(program, ret_cubin);
	result = cubin_make(library, program, &data, &size);
	if (result == NVRTC_SUCCESS) {
		memcpy(ret_cubin, data, size);
		free(data);
	}
	return result;
}

/* ---- all of them ---- */

#define LIBRARIES(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* Guards libraries and library_count; an entry never changes once it is counted. */
static pthread_mutex_t libraries_lock = PTHREAD_MUTEX_INITIALIZER;
static struct library libraries[8];
static unsigned int library_count;

#define DEFINE(n)                                                                                  \
	static nvrtc_result_t cubin_size_##n(nvrtc_program_t program, size_t *size)                \
	{                                                                                          \
		return cubin_size(&libraries[n], program, size);                                   \
	}                                                                                          \
	static nvrtc_result_t cubin_##n(nvrtc_program_t program, char *cubin)                      \
	{                                                                                          \
		return cubin_copy(&libraries[n], program, cubin);                                  \
	}
LIBRARIES(DEFINE)
#undef DEFINE

#define ENTRY(n) {cubin_size_##n, cubin_##n},
static const struct {
	size_fn cubin_size;
	data_fn cubin;
} hooks[] = {LIBRARIES(ENTRY)};
#undef ENTRY

/* The number of a library of these functions; -1: it makes no cubins, or it is one too many. */
static int
library_number(const struct library *library)
{
	unsigned int n;

	if (!library->cubin_size || !library->cubin || !library->ptx_size || !library->ptx)
		return -1;
	pthread_mutex_lock(&libraries_lock);
	for (n = 0; n < library_count; n++)
		if (!memcmp(&libraries[n], library, sizeof(*library)))
			break;
	if (n == library_count && n < sizeof(libraries) / sizeof(libraries[0]))
		libraries[library_count++] = *library;
	pthread_mutex_unlock(&libraries_lock);
	return n < sizeof(libraries) / sizeof(libraries[0]) ? (int)n : -1;
}

void *
genie_hook_nvrtc(void *handle, const char *name)
{
	bool size = !strcmp(name, "nvrtcGetCUBINSize");
	genie_dlsym_fn find = genie_dlsym();
	struct library library;
	int n;

	if (!size && strcmp(name, "nvrtcGetCUBIN") != 0)
		return NULL;
	library = (struct library){
		.cubin_size = (size_fn)find(handle, "nvrtcGetCUBINSize"),
		.cubin = (data_fn)find(handle, "nvrtcGetCUBIN"),
		.ptx_size = (size_fn)find(handle, "nvrtcGetPTXSize"),
		.ptx = (data_fn)find(handle, "nvrtcGetPTX"),
	};
	n = library_number(&library);
	if (n < 0)
		return NULL;
	return size ? (void *)hooks[n].cubin_size : (void *)hooks[n].cubin;
}

/* ---- programs that are linked with one: it is the only one they have ---- */

static int
linked_number(void)
{
	static void *_Atomic real[4];
	const struct library library = {
		.cubin_size =
			(size_fn)genie_hook_real(GENIE_HOOK_NVRTC, "nvrtcGetCUBINSize", &real[0]),
		.cubin = (data_fn)genie_hook_real(GENIE_HOOK_NVRTC, "nvrtcGetCUBIN", &real[1]),
		.ptx_size = (size_fn)genie_hook_real(GENIE_HOOK_NVRTC, "nvrtcGetPTXSize", &real[2]),
		.ptx = (data_fn)genie_hook_real(GENIE_HOOK_NVRTC, "nvrtcGetPTX", &real[3]),
	};

	return library_number(&library);
}

nvrtc_result_t
nvrtcGetCUBINSize(nvrtc_program_t program, size_t *size)
{
	int n = linked_number();

	return n < 0 ? NVRTC_INTERNAL_ERROR : hooks[n].cubin_size(program, size);
}

nvrtc_result_t
nvrtcGetCUBIN(nvrtc_program_t program, char *cubin)
{
	int n = linked_number();

	return n < 0 ? NVRTC_INTERNAL_ERROR : hooks[n].cubin(program, cubin);
}
