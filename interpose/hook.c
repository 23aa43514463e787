#include "interpose/hook.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "interpose/client.h"

genie_dlsym_fn _Atomic genie_dlsym_real;

/* Newest first: a process with two releases has bound our callers to the newer one as well. */
static const char *const library_names[GENIE_HOOK_LIBRARIES][4] = {
	[GENIE_HOOK_CUBLAS] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11", NULL},
	[GENIE_HOOK_CUBLASLT] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11",
				 NULL},
	[GENIE_HOOK_CUDART] = {"libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", NULL},
	[GENIE_HOOK_NVRTC] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", NULL},
};

genie_dlsym_fn
genie_dlsym(void)
{
	genie_dlsym_fn real = atomic_load_explicit(&genie_dlsym_real, memory_order_relaxed);

	if (real)
		return real;
	/* glibc 2.34 moved it from libdl.so.2 to libc.so.6 */
	real = (genie_dlsym_fn)dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
	if (!real)
		real = (genie_dlsym_fn)dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
	/* every thread writes the same */
	atomic_store_explicit(&genie_dlsym_real, real, memory_order_relaxed);
	return real;
}

void *
genie_hook_real(enum genie_hook_library library, const char *name, void *_Atomic *cache)
{
	void *function = atomic_load_explicit(cache, memory_order_relaxed);
	int saved_errno = errno;

	if (function)
		return function;
	for (const char *const *soname = library_names[library]; *soname && !function; soname++) {
		void *handle = dlopen(*soname, RTLD_LAZY | RTLD_NOLOAD);

		if (!handle)
			continue;
		function = genie_dlsym()(handle, name);
		dlclose(handle); /* only the count of NOLOAD: the caller of a hook keeps it loaded
				  */
	}
	if (function)
		atomic_store_explicit(cache, function, memory_order_relaxed);
	else
		genie_warn("%s was called, but no library that has it is loaded", name);
	errno = saved_errno;
	return function;
}

bool
genie_hook_native(void)
{
	return atomic_load_explicit(&genie_client.chan, memory_order_acquire) &&
	       genie_client.welcome->device_kind == GENIE_DEVICE_CPU;
}

bool
genie_hook_wants_ptx(void)
{
	if (genie_client.forked || !getenv("GENIE_SERVER") || genie_client_connect())
		return false;
	return genie_hook_native();
}
