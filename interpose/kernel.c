/*
 * Kernels of libraries. cudart hands them to cuLaunchKernel in place of functions, so finding the
 * function of a kernel in a context is on the path of every launch: a list that only grows, read
 * without a lock.
 */
#include "interpose/kernel.h"

#include <stdlib.h>

static struct genie_kernel *
kernel_get(CUkernel handle)
{
	return genie_object_get(GENIE_KIND_KERNEL, (uint64_t)(uintptr_t)handle);
}

void
genie_kernel_free(struct genie_kernel *kernel)
{
	struct genie_attrs *attrs, *next;

	if (kernel == NULL)
		return;
	for (attrs = kernel->attrs; attrs != NULL; attrs = next) {
		next = attrs->next;
		free(attrs);
	}
	genie_object_free(kernel);
}

static struct genie_attrs *
attrs_find(struct genie_kernel *kernel, int device)
{
	/* acquire: pairs with the release in genie_kernel_attrs() */
	struct genie_attrs *attrs = atomic_load_explicit(&kernel->attrs, memory_order_acquire);

	while (attrs != NULL && attrs->device != device)
		attrs = attrs->next;
	return attrs;
}

struct genie_attrs *
genie_kernel_attrs(struct genie_kernel *kernel, int device)
{
	struct genie_attrs *attrs = attrs_find(kernel, device);

	if (attrs != NULL)
		return attrs;
	pthread_mutex_lock(&kernel->library->lock);
	attrs = attrs_find(kernel, device);
	if (attrs == NULL) {
		attrs = calloc(1, sizeof(*attrs));
		if (attrs != NULL) {
			attrs->device = device;
			attrs->next = atomic_load_explicit(&kernel->attrs, memory_order_relaxed);
			atomic_store_explicit(&kernel->attrs, attrs, memory_order_release);
		}
	}
	pthread_mutex_unlock(&kernel->library->lock);
	return attrs;
}

struct genie_function *
genie_kernel_function(struct genie_kernel *kernel, struct genie_ctx *ctx)
{
	struct genie_function *function = genie_function_find(kernel->object.token, ctx);
	struct genie_attrs *attrs;
	struct genie_module *module;

	if (function != NULL)
		return function;
	module = genie_library_module(kernel->library, ctx);
	attrs = genie_kernel_attrs(kernel, ctx->device);
	if (module == NULL || attrs == NULL)
		return NULL;
	pthread_mutex_lock(&module->lock);
	function = genie_function_find(kernel->object.token, ctx);
	if (function == NULL)
		function = genie_function_new_locked(module, kernel, kernel->desc, attrs);
	pthread_mutex_unlock(&module->lock);
	return function;
}

/* ---- the entry points ---- */

/* The function of a kernel in the current context. */
static CUresult
current_function(struct genie_kernel *kernel, struct genie_function **ret_function)
{
	struct genie_ctx *ctx = genie_ctx_home();

	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	*ret_function = genie_kernel_function(kernel, ctx);
	return *ret_function != NULL ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult
genie_cuKernelGetFunction(CUfunction *pFunc, CUkernel handle)
{
	struct genie_kernel *kernel = kernel_get(handle);
	struct genie_function *function;
	CUresult status;

	if (pFunc == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (kernel == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	status = current_function(kernel, &function);
	if (status == CUDA_SUCCESS)
		*pFunc = (CUfunction)(uintptr_t)function->object.token;
	return status;
}

CUresult
genie_cuKernelGetLibrary(CUlibrary *pLib, CUkernel handle)
{
	struct genie_kernel *kernel = kernel_get(handle);

	if (pLib == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (kernel == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	*pLib = (CUlibrary)(uintptr_t)kernel->library->object.token;
	return CUDA_SUCCESS;
}

CUresult
genie_cuKernelGetName(const char **name, CUkernel hfunc)
{
	struct genie_kernel *kernel = kernel_get(hfunc);

	if (name == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (kernel == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	*name = kernel->desc->name;
	return CUDA_SUCCESS;
}

CUresult
genie_cuKernelGetParamInfo(CUkernel handle, size_t paramIndex, size_t *paramOffset,
			   size_t *paramSize)
{
	struct genie_kernel *kernel = kernel_get(handle);

	if (kernel == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	return genie_kernel_param(kernel->desc, paramIndex, paramOffset, paramSize);
}

CUresult
genie_cuKernelGetAttribute(int *pi, CUfunction_attribute attrib, CUkernel handle, CUdevice dev)
{
	struct genie_kernel *kernel = kernel_get(handle);
	struct genie_function *function;
	struct genie_ctx *ctx;
	struct genie_attrs *attrs;

	if (kernel == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (dev < 0 || dev >= genie_client.device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	if (pi == NULL || (unsigned int)attrib >= GENIE_FUNCTION_ATTRS)
		return CUDA_ERROR_INVALID_VALUE;
	attrs = attrs_find(kernel, dev);
	if (attrs != NULL && atomic_load_explicit(&attrs->known, memory_order_acquire)) {
		*pi = atomic_load_explicit(&attrs->values[attrib], memory_order_relaxed);
		return CUDA_SUCCESS;
	}
	/* Asked once, in a context of that device: the current one if it is. */
	ctx = genie_ctx_home();
	if (ctx == NULL || ctx->device != dev)
		ctx = genie_ctx_primary(dev);
	function = genie_kernel_function(kernel, ctx);
	if (function == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	return genie_function_attribute(function, attrib, pi);
}

CUresult
genie_cuKernelSetAttribute(CUfunction_attribute attrib, int val, CUkernel handle, CUdevice dev)
{
	struct genie_kernel *kernel = kernel_get(handle);
	struct genie_function *function;
	struct genie_attrs *attrs;
	CUresult status;

	if (kernel == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (dev < 0 || dev >= genie_client.device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	attrs = genie_kernel_attrs(kernel, dev);
	if (attrs == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = genie_attrs_set(attrs, (int)attrib, val);
	function = atomic_load_explicit(&kernel->functions, memory_order_acquire);
	for (; function != NULL && status == CUDA_SUCCESS; function = function->next) {
		if (function->attrs == attrs)
			status = genie_function_send_attribute(function, (int)attrib, val);
	}
	return status;
}

/* A preference that changes no result. */
CUresult
genie_cuKernelSetCacheConfig(CUkernel handle, CUfunc_cache config, CUdevice dev)
{
	(void)dev;
	if ((unsigned int)config > CU_FUNC_CACHE_PREFER_EQUAL)
		return CUDA_ERROR_INVALID_VALUE;
	return kernel_get(handle) != NULL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
