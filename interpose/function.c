/*
 * Functions: a kernel in one context. They are announced to the worker at first use, after their
 * module; their attributes are asked for once and remembered.
 */
#include "interpose/kernel.h"

#include <stdlib.h>

struct genie_function *
genie_function_new_locked(struct genie_module *module, struct genie_kernel *kernel,
			  const struct genie_kernel_desc *desc, struct genie_attrs *attrs)
{
	struct genie_function *function =
		genie_object_new(GENIE_KIND_FUNCTION, sizeof(*function), module->object.ctx);

	if (function == NULL)
		return NULL;
	function->module = module;
	function->kernel = kernel;
	function->desc = desc;
	function->attrs = attrs;
	function->sibling = module->functions;
	module->functions = function;
	if (kernel != NULL) {
		/* Contexts of other threads may add theirs at the same time. */
		function->next = atomic_load_explicit(&kernel->functions, memory_order_relaxed);
		while (!atomic_compare_exchange_weak_explicit(&kernel->functions, &function->next,
							      function, memory_order_release,
							      memory_order_relaxed))
			;
	}
	return function;
}

static CUresult
function_set(struct genie_function *function, int attribute, int value)
{
	struct genie_args_genieFunctionSet args = {
		.function = (CUfunction)(uintptr_t)function->object.token,
		.attribute = attribute,
		.value = value,
	};

	return genie_call_ctx(GENIE_OP_genieFunctionSet, &args, function->object.ctx, NULL);
}

/* Sends what the program set before the worker knew the function. */
static CUresult
function_set_all(struct genie_function *function)
{
	uint32_t set = atomic_load_explicit(&function->attrs->set, memory_order_acquire);
	CUresult status = CUDA_SUCCESS;

	for (int i = 0; i < GENIE_FUNCTION_ATTRS && status == CUDA_SUCCESS; i++) {
		if (set & 1u << i)
			status = function_set(function, i,
					      atomic_load_explicit(&function->attrs->values[i],
								   memory_order_relaxed));
	}
	return status;
}

CUresult
genie_function_load(struct genie_function *function)
{
	struct genie_module *module = function->module;
	struct genie_args_genieFunctionGet args = {
		.function = (CUfunction)(uintptr_t)function->object.token,
		.module = (CUmodule)(uintptr_t)module->object.token,
		.name = function->desc->name,
	};
	CUresult status;

	pthread_mutex_lock(&module->lock);
	if (atomic_load_explicit(&function->ready, memory_order_relaxed)) {
		pthread_mutex_unlock(&module->lock);
		return CUDA_SUCCESS;
	}
	status = genie_module_load_locked(module, function->desc->name);
	if (status == CUDA_SUCCESS)
		status = genie_call_ctx(GENIE_OP_genieFunctionGet, &args, module->object.ctx, NULL);
	if (status == CUDA_SUCCESS)
		status = function_set_all(function);
	if (status == CUDA_SUCCESS) /* release: who sees it submits after what was sent here */
		atomic_store_explicit(&function->ready, true, memory_order_release);
	pthread_mutex_unlock(&module->lock);
	return status;
}

CUresult
genie_function_get(CUfunction handle, struct genie_function **ret_function)
{
	uint64_t token = (uint64_t)(uintptr_t)handle;
	struct genie_ctx *ctx = genie_ctx_home();
	struct genie_function *function;
	struct genie_kernel *kernel;

	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	function = genie_function_find(token, ctx);
	if (function == NULL) {
		kernel = genie_object_get(GENIE_KIND_KERNEL, token);
		if (kernel == NULL)
			return CUDA_ERROR_INVALID_HANDLE;
		function = genie_kernel_function(kernel, ctx);
		if (function == NULL)
			return CUDA_ERROR_OUT_OF_MEMORY;
	}
	*ret_function = function;
	if (__builtin_expect(atomic_load_explicit(&function->ready, memory_order_acquire), 1))
		return CUDA_SUCCESS;
	return genie_function_load(function);
}

/* ---- attributes ---- */

/* Asks for all of them. What the program set is kept. */
static CUresult
attributes_ask(struct genie_function *function)
{
	int values[GENIE_FUNCTION_ATTRS] = {0};
	struct genie_args_genieFunctionInfo args = {
		.function = (CUfunction)(uintptr_t)function->object.token,
		.values = values,
		.count = GENIE_FUNCTION_ATTRS,
	};
	struct genie_attrs *attrs = function->attrs;
	CUresult status = genie_function_load(function);
	uint32_t set;

	if (status == CUDA_SUCCESS)
		status = genie_call_ctx(GENIE_OP_genieFunctionInfo, &args, function->object.ctx,
					NULL);
	if (status != CUDA_SUCCESS)
		return status;
	pthread_mutex_lock(&function->module->lock);
	set = atomic_load_explicit(&attrs->set, memory_order_relaxed);
	for (int i = 0; i < GENIE_FUNCTION_ATTRS; i++) {
		if (!(set & 1u << i))
			atomic_store_explicit(&attrs->values[i], values[i], memory_order_relaxed);
	}
	/* release: pairs with the acquire of who reads the values */
	atomic_store_explicit(&attrs->known, true, memory_order_release);
	pthread_mutex_unlock(&function->module->lock);
	return CUDA_SUCCESS;
}

CUresult
genie_function_attribute(struct genie_function *function, int attribute, int *ret_value)
{
	struct genie_attrs *attrs = function->attrs;
	CUresult status;

	if (!atomic_load_explicit(&attrs->known, memory_order_acquire) ||
	    !genie_perf(GENIE_PERF_CACHE)) {
		status = attributes_ask(function);
		if (status != CUDA_SUCCESS)
			return status;
	}
	*ret_value = atomic_load_explicit(&attrs->values[attribute], memory_order_relaxed);
	return CUDA_SUCCESS;
}

/* What the driver would say at once. */
static bool
attribute_valid(const struct genie_attrs *attrs, int attribute, int value)
{
	const int *limits = genie_client.devices[attrs->device].attrs;

	switch (attribute) {
	case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
		return value >= 0 &&
		       value <= limits[CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN];
	case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
		return value >= -1 && value <= 100;
	case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
	case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
	case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
		return value >= 0;
	case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
		return true;
	case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
		return value >= 0 && value <= CU_CLUSTER_SCHEDULING_POLICY_LOAD_BALANCING;
	default: /* the others cannot be set */
		return false;
	}
}

CUresult
genie_attrs_set(struct genie_attrs *attrs, int attribute, int value)
{
	if (!attribute_valid(attrs, attribute, value))
		return CUDA_ERROR_INVALID_VALUE;
	atomic_store_explicit(&attrs->values[attribute], value, memory_order_relaxed);
	/* release: pairs with function_set_all(), which may run at the same time */
	atomic_fetch_or_explicit(&attrs->set, 1u << attribute, memory_order_release);
	return CUDA_SUCCESS;
}

CUresult
genie_function_send_attribute(struct genie_function *function, int attribute, int value)
{
	/* Not ready: it is sent with the function. Sent twice when both happen at once: harmless.
	 */
	if (!atomic_load_explicit(&function->ready, memory_order_acquire))
		return CUDA_SUCCESS;
	return function_set(function, attribute, value);
}

CUresult
genie_kernel_param(const struct genie_kernel_desc *desc, size_t index, size_t *ret_offset,
		   size_t *ret_size)
{
	if (ret_offset == NULL || index >= desc->param_count)
		return CUDA_ERROR_INVALID_VALUE;
	*ret_offset = desc->params[index].offset;
	if (ret_size != NULL)
		*ret_size = desc->params[index].size;
	return CUDA_SUCCESS;
}

/* ---- the entry points ---- */

/* A function or a kernel; not announced to the worker. */
static CUresult
function_lookup(CUfunction handle, struct genie_function **ret_function)
{
	uint64_t token = (uint64_t)(uintptr_t)handle;
	struct genie_ctx *ctx = genie_ctx_home();
	struct genie_function *function = genie_function_find(token, ctx);
	struct genie_kernel *kernel;

	if (function == NULL) {
		kernel = genie_object_get(GENIE_KIND_KERNEL, token);
		if (kernel == NULL)
			return CUDA_ERROR_INVALID_HANDLE;
		if (ctx == NULL)
			return CUDA_ERROR_INVALID_CONTEXT;
		function = genie_kernel_function(kernel, ctx);
		if (function == NULL)
			return CUDA_ERROR_OUT_OF_MEMORY;
	}
	*ret_function = function;
	return CUDA_SUCCESS;
}

CUresult
genie_cuFuncGetAttribute(int *pi, CUfunction_attribute attrib, CUfunction hfunc)
{
	struct genie_function *function;
	CUresult status = function_lookup(hfunc, &function);

	if (pi == NULL || (unsigned int)attrib >= GENIE_FUNCTION_ATTRS)
		return CUDA_ERROR_INVALID_VALUE;
	return status == CUDA_SUCCESS ? genie_function_attribute(function, (int)attrib, pi)
				      : status;
}

CUresult
genie_cuFuncSetAttribute(CUfunction hfunc, CUfunction_attribute attrib, int value)
{
	struct genie_function *function;
	CUresult status = function_lookup(hfunc, &function);

	if (status == CUDA_SUCCESS)
		status = genie_attrs_set(function->attrs, (int)attrib, value);
	if (status == CUDA_SUCCESS)
		status = genie_function_send_attribute(function, (int)attrib, value);
	return status;
}

/* Preferences that change no result. */
CUresult
genie_cuFuncSetCacheConfig(CUfunction hfunc, CUfunc_cache config)
{
	struct genie_function *function;

	if ((unsigned int)config > CU_FUNC_CACHE_PREFER_EQUAL)
		return CUDA_ERROR_INVALID_VALUE;
	return function_lookup(hfunc, &function);
}

CUresult
genie_cuFuncSetSharedMemConfig(CUfunction hfunc, CUsharedconfig config)
{
	struct genie_function *function;

	(void)config;
	return function_lookup(hfunc, &function);
}

CUresult
genie_cuFuncGetModule(CUmodule *hmod, CUfunction hfunc)
{
	struct genie_function *function;
	CUresult status = function_lookup(hfunc, &function);

	if (hmod == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS)
		*hmod = (CUmodule)(uintptr_t)function->module->object.token;
	return status;
}

CUresult
genie_cuFuncGetName(const char **name, CUfunction hfunc)
{
	struct genie_function *function;
	CUresult status = function_lookup(hfunc, &function);

	if (name == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS)
		*name = function->desc->name;
	return status;
}

CUresult
genie_cuFuncGetParamInfo(CUfunction func, size_t paramIndex, size_t *paramOffset, size_t *paramSize)
{
	struct genie_function *function;
	CUresult status = function_lookup(func, &function);

	return status == CUDA_SUCCESS
		       ? genie_kernel_param(function->desc, paramIndex, paramOffset, paramSize)
		       : status;
}

CUresult
genie_cuFuncIsLoaded(CUfunctionLoadingState *state, CUfunction handle)
{
	struct genie_function *function;
	CUresult status = function_lookup(handle, &function);

	if (state == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (status == CUDA_SUCCESS)
		*state = atomic_load_explicit(&function->ready, memory_order_acquire)
				 ? CU_FUNCTION_LOADING_STATE_LOADED
				 : CU_FUNCTION_LOADING_STATE_UNLOADED;
	return status;
}

CUresult
genie_cuFuncLoad(CUfunction handle)
{
	struct genie_function *function;

	return genie_function_get(handle, &function);
}
