/* The cuda backend: the machine's own driver, found at run time, so that one genied runs with and
 * without a GPU. */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "remote/device.h"

struct cuda {
	void *driver, *nvml;
};

/* What stands in a slot for a function that this driver does not have. Its arguments do not
 * matter: the caller removes them. */
static CUresult
not_supported(void)
{
	return CUDA_ERROR_NOT_SUPPORTED;
}

static int
nvml_not_supported(void)
{
	return 3; /* NVML_ERROR_NOT_SUPPORTED */
}

static void
fill(void *library, void *table, const struct genie_driver_name *names, size_t count,
     void (*missing)(void))
{
	for (size_t i = 0; i < count; i++) {
		void *symbol = library ? dlsym(library, names[i].name) : NULL;

		*(void **)((char *)table + names[i].offset) = symbol ? symbol : (void *)missing;
	}
}

static void
status_describe(const struct genie_driver *drv, CUresult status, char *ret_text, size_t size)
{
	const char *text = NULL;

	if (drv->cuGetErrorString(status, &text) != CUDA_SUCCESS || !text)
		text = "unknown error";
	snprintf(ret_text, size, "%s (%d)", text, (int)status);
}

/* With LD_LIBRARY_PATH or LD_PRELOAD set for clients, "the driver" may be libgenie itself, under
 * one of the names it answers to. */
static bool
is_genie(void *library)
{
	struct link_map *map = NULL;
	char path[PATH_MAX];
	const char *name;

	if (dlsym(library, "genie_version"))
		return true;
	if (dlinfo(library, RTLD_DI_LINKMAP, &map) || !map || !realpath(map->l_name, path))
		return false;
	name = strrchr(path, '/');
	return !strncmp(name ? name + 1 : path, "libgenie.so", strlen("libgenie.so"));
}

static void
cuda_close(struct genie_backend *backend)
{
	struct cuda *cuda = backend->private;

	if (!cuda)
		return;
	/* The driver is not unloaded: its threads may still run. */
	if (cuda->nvml)
		dlclose(cuda->nvml);
	free(cuda);
	backend->private = NULL;
}

int
genie_backend_cuda_open(struct genie_backend *ret, char *err, size_t err_size)
{
	/* For tests, and for drivers in unusual places. */
	const char *path = getenv("GENIE_LIBCUDA");
	struct genie_backend backend = {.kind = GENIE_DEVICE_CUDA,
					.name = "cuda",
					.image_kinds = GENIE_IMAGE_PTX | GENIE_IMAGE_SASS,
					.close = cuda_close};
	struct cuda *cuda;
	char text[128];
	CUresult status;
	int count = 0;

	cuda = calloc(1, sizeof(*cuda));
	if (!cuda)
		return -ENOMEM;
	backend.private = cuda;
	cuda->driver = dlopen(path && *path ? path : "libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!cuda->driver) {
		snprintf(err, err_size, "no CUDA driver: %s", dlerror());
		goto err_free;
	}
	if (is_genie(cuda->driver)) {
		snprintf(err, err_size,
			 "libcuda.so.1 is libgenie.so, not a driver: start genied "
			 "without LD_PRELOAD and LD_LIBRARY_PATH of Genie");
		goto err_free;
	}
	cuda->nvml = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
	if (cuda->nvml && is_genie(cuda->nvml)) {
		dlclose(cuda->nvml);
		cuda->nvml = NULL;
	}
	fill(cuda->driver, &backend.drv, genie_driver_names, genie_driver_name_count,
	     (void (*)(void))not_supported);
	fill(cuda->nvml, &backend.nvml, genie_nvml_names, genie_nvml_name_count,
	     (void (*)(void))nvml_not_supported);
	status = backend.drv.cuInit(0);
	if (status != CUDA_SUCCESS) {
		status_describe(&backend.drv, status, text, sizeof(text));
		snprintf(err, err_size, "the CUDA driver does not start: %s", text);
		goto err_free;
	}
	status = backend.drv.cuDeviceGetCount(&count);
	if (status != CUDA_SUCCESS || count < 1) {
		snprintf(err, err_size, "the CUDA driver has no device");
		goto err_free;
	}
	*ret = backend;
	return 0;

err_free:
	cuda_close(&backend);
	return -ENODEV;
}
