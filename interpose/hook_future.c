/*
 * Libraries that keep each kernel in an image of its own for each architecture and choose by the
 * device's compute capability: machine code where they have some, else PTX, which is meant for all
 * devices to come. They are told that the CPU device is one of those. Nobody else is.
 *
 * cuRAND 10.4 (CUDA 13.5) asks libcudart. cuFFT (13.0 and 13.5) asks the driver, whose functions it
 * gets from dlsym(); for some kernels it would take the PTX when the machine code is refused, for
 * those of Bluestein's algorithm, of real data and of long transforms it gives up.
 */
#include <dlfcn.h>
#include <driver_types.h>
#include <string.h>

#include "interpose/client.h"
#include "interpose/hook.h"

#define EXPORT __attribute__((visibility("default")))

/* Later than any GPU that they have machine code for, and still two digits. */
#define FUTURE_MAJOR 99

EXPORT cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device);

/* Does @code lie in a library whose file's name begins with @library? */
static bool
is_from(const void *code, const char *library)
{
	const char *file;
	Dl_info info;

	if (!dladdr(code, &info) || !info.dli_fname)
		return false;
	file = strrchr(info.dli_fname, '/');
	file = file ? file + 1 : info.dli_fname;
	return !strncmp(file, library, strlen(library));
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
	if (genie_hook_native() && is_from(__builtin_return_address(0), "libcurand.so"))
		*value = attribute == cudaDevAttrComputeCapabilityMajor ? FUTURE_MAJOR : 0;
	return status;
}

/* What cuFFT calls as cuDeviceGetAttribute(). */
static CUresult
future_attribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
	CUresult status = cuDeviceGetAttribute(value, attribute, device);

	if (status != CUDA_SUCCESS || !genie_hook_native())
		return status;
	if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
		*value = FUTURE_MAJOR;
	else if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)
		*value = 0;
	return status;
}

void *
genie_hook_future(const char *name, const void *caller)
{
	if (strcmp(name, "cuDeviceGetAttribute") != 0 || !is_from(caller, "libcufft.so"))
		return NULL;
	return (void *)future_attribute;
}
