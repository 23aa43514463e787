/*
 * cuRAND 10.4 (CUDA 13.5) keeps each kernel in an image of its own for each architecture, and
 * chooses by the device's compute capability: machine code where it has some, else PTX, which is
 * meant for all devices to come. It is told that the CPU device is one of those. Nobody else is.
 */
#include <dlfcn.h>
#include <driver_types.h>
#include <string.h>

#include "interpose/hook.h"

#define EXPORT __attribute__((visibility("default")))

/* Later than any GPU that a cuRAND has machine code for, and still two digits. */
#define FUTURE_MAJOR 99

EXPORT cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device);

static bool
is_curand(void *caller)
{
	const char *file;
	Dl_info info;

	if (!dladdr(caller, &info) || !info.dli_fname)
		return false;
	file = strrchr(info.dli_fname, '/');
	file = file ? file + 1 : info.dli_fname;
	return !strncmp(file, "libcurand.so", 12);
}

cudaError_t
cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
	static void *_Atomic cache;
	__typeof__(&cudaDeviceGetAttribute) real =
		(__typeof__(&cudaDeviceGetAttribute))genie_hook_real(
			GENIE_HOOK_CUDART, "cudaDeviceGetAttribute", &cache);
	cudaError_t status;

	if (!real)
		return cudaErrorInitializationError;
	status = real(value, attribute, device);
	if (status != cudaSuccess || (attribute != cudaDevAttrComputeCapabilityMajor &&
				      attribute != cudaDevAttrComputeCapabilityMinor))
		return status;
	if (genie_hook_native() && is_curand(__builtin_return_address(0)))
		*value = attribute == cudaDevAttrComputeCapabilityMajor ? FUTURE_MAJOR : 0;
	return status;
}
