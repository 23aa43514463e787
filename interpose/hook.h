/*
 * Hooks: library entry points (cuBLAS, cuBLASLt, NVRTC, nvJitLink) that this DSO exports over the
 * vendor's. A hook never changes behaviour: it calls the real function, except on a device that
 * cannot run the vendor's machine code (the CPU device), which executes matrix products itself
 * (api/native.h) and takes PTX.
 *
 * Being preloaded, we come first in the global symbol scope, and who asks dlsym() for a function
 * gets the hook too (hook_dlsym.c). The vendor's function is looked up in its own DSO by handle,
 * because that DSO may have been loaded RTLD_LOCAL (Python does).
 */
#ifndef GENIE_INTERPOSE_HOOK_H
#define GENIE_INTERPOSE_HOOK_H

#include <stdbool.h>

enum genie_hook_library {
	GENIE_HOOK_CUBLAS,
	GENIE_HOOK_CUBLASLT,
	GENIE_HOOK_CUDART,
	GENIE_HOOK_NVRTC,
	GENIE_HOOK_LIBRARIES
};

/* The C library's dlsym(): what libgenie.so calls by that name is its own. */
typedef void *(*genie_dlsym_fn)(void *handle, const char *name);
extern genie_dlsym_fn _Atomic genie_dlsym_real; /* NULL before the first question */
genie_dlsym_fn genie_dlsym(void);

/* The vendor's @name, remembered in *@cache. NULL when that library is not loaded. */
void *genie_hook_real(enum genie_hook_library library, const char *name, void *_Atomic *cache);

/* True when library operations go to the device as operations, not as kernels. */
bool genie_hook_native(void);

/* The same before the first call of the driver: connects, because what is compiled now will be
 * loaded soon. False: a GPU, or no server. */
bool genie_hook_wants_ptx(void);

/* What dlsym(@handle, @name) gives instead of the vendor's function, which exists. NULL: that. */
void *genie_hook_nvrtc(void *handle, const char *name);
void *genie_hook_jitlink(void *handle, const char *name);
/* The same for @name of the driver, which @caller asks for: our own function, or NULL. */
void *genie_hook_future(const char *name, const void *caller);

#endif
