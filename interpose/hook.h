/*
 * Hooks: library entry points (cuBLAS, cuBLASLt) that this DSO exports over the vendor's. A hook
 * never changes behaviour: it calls the real function, except on a device that cannot run the
 * vendor's machine code (the CPU device), which executes matrix products itself (api/native.h).
 *
 * Being preloaded, we come first in the global symbol scope; the vendor's function is looked up
 * in its own DSO by handle, because that DSO may have been loaded RTLD_LOCAL (Python does).
 */
#ifndef GENIE_INTERPOSE_HOOK_H
#define GENIE_INTERPOSE_HOOK_H

#include <stdbool.h>

enum genie_hook_library { GENIE_HOOK_CUBLAS, GENIE_HOOK_CUBLASLT, GENIE_HOOK_LIBRARIES };

/* The vendor's @name, remembered in *@cache. NULL when that library is not loaded. */
void *genie_hook_real(enum genie_hook_library library, const char *name, void *_Atomic *cache);

/* True when library operations go to the device as operations, not as kernels. */
bool genie_hook_native(void);

#endif
