/* The cuda backend: the machine's own driver, found at run time, so that one genied runs with and
 * without a GPU. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "remote/device.h"

/* What is written to a descriptor of this process. */
struct captured {
	int fd;     /* a file in memory; -1: not captured */
	off_t read; /* what was handed on; guarded by cuda.lock */
};

struct cuda {
	void *driver, *nvml;
	struct captured out, err;
	pthread_mutex_t lock;
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
	return NVML_ERROR_NOT_SUPPORTED;
}

/* The library is there, and older than the function. */
static int
nvml_not_found(void)
{
	return NVML_ERROR_FUNCTION_NOT_FOUND;
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

/*
 * What kernels print, the driver writes to this process's standard output when somebody waits for
 * the device in a way that flushes (CUDA programming guide, "formatted output"), and what an
 * assertion says to standard error when it notices the failure. So both are files in memory: a
 * pipe could fill up while the driver writes and nobody reads.
 */
static void
capture(struct captured *captured, const char *name, int fd)
{
	captured->fd = memfd_create(name, MFD_CLOEXEC);
	if (captured->fd >= 0 && !fcntl(captured->fd, F_SETFL, O_APPEND) &&
	    dup2(captured->fd, fd) >= 0)
		return;
	genie_warn("what kernels print cannot be passed on: %m");
	if (captured->fd >= 0)
		close(captured->fd);
	captured->fd = -1;
}

static void
captured_pass_on_locked(const struct genie_backend *backend, struct captured *captured,
			bool is_error)
{
	char text[4096];
	ssize_t n;

	while (captured->fd >= 0 &&
	       (n = pread(captured->fd, text, sizeof(text), captured->read)) > 0) {
		backend->events.output(backend->events.data, text, (size_t)n, is_error);
		/* read once, kept no longer */
		fallocate(captured->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, captured->read,
			  n);
		captured->read += n;
	}
}

static void
cuda_printed(const struct genie_backend *backend, CUevent event)
{
	struct cuda *cuda = backend->private;

	if (!backend->events.output)
		return;
	if (event)
		backend->drv.cuEventSynchronize(event); /* done already: this flushes */
	fflush(stdout);
	pthread_mutex_lock(&cuda->lock);
	captured_pass_on_locked(backend, &cuda->out, false);
	captured_pass_on_locked(backend, &cuda->err, true);
	pthread_mutex_unlock(&cuda->lock);
}

/* Our own log lines go where they went before. */
static void
text_capture(struct cuda *cuda)
{
	int log = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

	cuda->err.fd = -1;
	capture(&cuda->out, "genie-printf", STDOUT_FILENO);
	if (log < 0)
		return;
	genie_log_to(log);
	capture(&cuda->err, "genie-assert", STDERR_FILENO);
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
					.printed = cuda_printed,
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
	     (void (*)(void))(cuda->nvml ? nvml_not_found : nvml_not_supported));
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
	pthread_mutex_init(&cuda->lock, NULL);
	text_capture(cuda);
	*ret = backend;
	return 0;

err_free:
	cuda_close(&backend);
	return -ENODEV;
}
