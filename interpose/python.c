/*
 * Python packages that look for NVIDIA's driver by other means than loading it. All of this is in
 * effect in Python interpreters alone, and what the user has set or what is there stays.
 *
 * Before main() one thread runs, so this is the moment at which the environment may be added to.
 * LD_LIBRARY_PATH: tinygrad reads the folders itself (tinygrad/runtime/support/c.py), and so does
 * ctypes.util.find_library(). The loader has read it already; for children it is what `genie run`
 * sets.
 * TRITON_LIBCUDA_PATH: Triton asks ldconfig where libcuda.so.1 lies, and links a helper with it
 * (triton/backends/nvidia/driver.py).
 * JAX_SKIP_CUDA_CONSTRAINTS_CHECK: JAX refuses the GPU when CUPTI, the profiler's library, does not
 * tell its version (jax_plugins/xla_cuda13); CUPTI needs a driver table that we do not have
 * (docs/interoperability.md).
 *
 * /dev/nvidia0, /dev/nvidiactl: JAX does not even load its plugin where stat() finds neither
 * (jax/_src/hardware_utils.py). They cannot be opened: nobody but the vendor's driver does.
 *
 * Only in libgenie.so, not in the static library that tests link.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "interpose/hook.h"

#define NVIDIA_MAJOR 195 /* documented: Linux's Documentation/admin-guide/devices.txt */

static bool in_python;

/* ---- the environment ---- */

/* The folder with our names, beside the file that was preloaded. */
static bool
names_folder(char *ret_path, size_t size)
{
	char file[PATH_MAX + 32];
	const char *slash;
	Dl_info info;
	int len;

	if (!dladdr((void *)names_folder, &info) || !info.dli_fname)
		return false;
	slash = strrchr(info.dli_fname, '/');
	if (!slash)
		return false;
	len = snprintf(ret_path, size, "%.*s/names", (int)(slash - info.dli_fname), info.dli_fname);
	if (len < 0 || (size_t)len >= size)
		return false;
	snprintf(file, sizeof(file), "%s/libcuda.so.1", ret_path);
	return access(file, F_OK) == 0;
}

/* Ours first: containers put the vendor's folder there. */
static void
library_path_prepend(const char *names)
{
	const char *theirs = getenv("LD_LIBRARY_PATH");
	size_t len = strlen(names);
	char *both;

	if (!theirs || !*theirs) {
		setenv("LD_LIBRARY_PATH", names, 1);
		return;
	}
	/* a child of a program that did this, or of genie run */
	if (!strncmp(theirs, names, len) && (theirs[len] == ':' || theirs[len] == '\0'))
		return;
	if (asprintf(&both, "%s:%s", names, theirs) < 0)
		return;
	setenv("LD_LIBRARY_PATH", both, 1);
	free(both);
}

__attribute__((constructor)) static void
python_begin(void)
{
	char path[PATH_MAX];
	int saved_errno = errno;

	in_python = getenv("GENIE_SERVER") && genie_dlsym()(RTLD_DEFAULT, "Py_BytesMain");
	if (in_python) {
		if (names_folder(path, sizeof(path))) {
			setenv("TRITON_LIBCUDA_PATH", path, 0);
			library_path_prepend(path);
		}
		setenv("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1", 0);
	}
	dlerror();
	errno = saved_errno;
}

/* ---- the device files ---- */

/* Before glibc 2.33 programs called __xstat(), with a version of the struct before the rest; on
 * 64-bit systems the two sizes of file offsets are one. */
typedef int (*stat_fn)(const char *path, struct stat *st);
typedef int (*xstat_fn)(int version, const char *path, struct stat *st);

int python_stat(const char *path, struct stat *st) __asm__("stat")
	__attribute__((visibility("default")));
int python_stat64(const char *path, struct stat *st) __asm__("stat64")
	__attribute__((visibility("default")));
int python_xstat(int version, const char *path, struct stat *st) __asm__("__xstat")
	__attribute__((visibility("default")));
int python_xstat64(int version, const char *path, struct stat *st) __asm__("__xstat64")
	__attribute__((visibility("default")));

_Static_assert(sizeof(off_t) == 8 && sizeof(long) == 8, "one stat() for both sizes of offsets");

/* After @result of the C library: 0 where @path is a device file that a GPU machine has. */
static int
device_stat(int result, const char *path, struct stat *st)
{
	unsigned int minor;

	if (result == 0 || !in_python || errno != ENOENT || strncmp(path, "/dev/nvidia", 11) != 0)
		return result;
	if (!strcmp(path + 11, "0"))
		minor = 0;
	else if (!strcmp(path + 11, "ctl"))
		minor = 255;
	else
		return result;
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFCHR | 0666;
	st->st_nlink = 1;
	st->st_rdev = makedev(NVIDIA_MAJOR, minor);
	return 0;
}

static void *
next(void *_Atomic *cache, const char *name)
{
	void *function = atomic_load_explicit(cache, memory_order_relaxed);

	if (!function) {
		function = genie_dlsym()(RTLD_NEXT, name);
		atomic_store_explicit(cache, function, memory_order_relaxed);
	}
	return function;
}

int
python_stat(const char *path, struct stat *st)
{
	static void *_Atomic cache;

	return device_stat(((stat_fn)next(&cache, "stat"))(path, st), path, st);
}

int
python_stat64(const char *path, struct stat *st)
{
	static void *_Atomic cache;

	return device_stat(((stat_fn)next(&cache, "stat64"))(path, st), path, st);
}

int
python_xstat(int version, const char *path, struct stat *st)
{
	static void *_Atomic cache;

	return device_stat(((xstat_fn)next(&cache, "__xstat"))(version, path, st), path, st);
}

int
python_xstat64(int version, const char *path, struct stat *st)
{
	static void *_Atomic cache;

	return device_stat(((xstat_fn)next(&cache, "__xstat64"))(version, path, st), path, st);
}
