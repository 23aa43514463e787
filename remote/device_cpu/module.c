/* Modules: PTX of an image, compiled. Functions and variables by name. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatbin.h"
#include "base/log.h"
#include "remote/device_cpu/cpu.h"
#include "remote/device_cpu/occupancy.h"

/* All of PTX 9: what later ones add is an unknown instruction at worst. */
#define PTX_VERSION_MAX 99

struct genie_cpu_module {
	uint32_t magic;
	unsigned int refs; /* the handle, and operations that run its kernels */
	struct ptx_module *ptx;
	struct genie_cpu_function *functions;
	struct genie_cpu_module *next, *prev; /* of all modules; guarded by modules_lock */
};

static pthread_mutex_t modules_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the list */
static struct genie_cpu_module *modules;

static void
list_add(struct genie_cpu_module *module)
{
	pthread_mutex_lock(&modules_lock);
	module->next = modules;
	if (modules)
		modules->prev = module;
	modules = module;
	pthread_mutex_unlock(&modules_lock);
}

static void
list_remove(struct genie_cpu_module *module)
{
	pthread_mutex_lock(&modules_lock);
	if (module->next)
		module->next->prev = module->prev;
	if (module->prev)
		module->prev->next = module->next;
	else
		modules = module->next;
	pthread_mutex_unlock(&modules_lock);
}

bool
genie_cpu_module_managed(uint64_t addr)
{
	struct genie_cpu_module *module;

	pthread_mutex_lock(&modules_lock);
	module = modules;
	while (module && !ptx_module_managed(module->ptx, addr))
		module = module->next;
	pthread_mutex_unlock(&modules_lock);
	return module != NULL;
}

/* Per thread: what genie_backend.image_error answers. */
static __thread char image_error[1024];

const char *
genie_cpu_image_error(void)
{
	return image_error[0] ? image_error : NULL;
}

static void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void
fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(image_error, sizeof(image_error), fmt, args);
	va_end(args);
}

void
genie_cpu_module_ref(struct genie_cpu_module *module)
{
	__atomic_add_fetch(&module->refs, 1, __ATOMIC_RELAXED);
}

void
genie_cpu_module_unref(struct genie_cpu_module *module)
{
	if (__atomic_sub_fetch(&module->refs, 1, __ATOMIC_ACQ_REL))
		return;
	while (module->functions) {
		struct genie_cpu_function *function = module->functions;

		module->functions = function->next;
		free(function);
	}
	list_remove(module);
	genie_cpu_texref_forget(module);
	ptx_module_unload(module->ptx);
	free(module);
}

struct genie_cpu_module *
genie_cpu_module_get(CUmodule handle)
{
	return genie_cpu_is((void *)handle, GENIE_CPU_MODULE) ? (struct genie_cpu_module *)handle
							      : NULL;
}

struct genie_cpu_function *
genie_cpu_function_get(CUfunction handle)
{
	return genie_cpu_is((void *)handle, GENIE_CPU_FUNCTION)
		       ? (struct genie_cpu_function *)handle
		       : NULL;
}

/* The PTX of an image: text (free with free()) with a NUL behind it. */
static CUresult
find_ptx(const void *image, void **ret_text, size_t *ret_size)
{
	struct genie_image opened;
	struct genie_image_entry entry;
	char carries[512];
	int r;

	if (genie_image_open_local(&opened, image) < 0) {
		fail("not an image: neither a fat binary nor a cubin nor PTX text");
		return CUDA_ERROR_INVALID_IMAGE;
	}
	r = genie_image_pick(&opened, GENIE_IMAGE_PTX, GENIE_CPU_CC_MAJOR, GENIE_CPU_CC_MINOR,
			     &entry);
	if (r < 0) {
		genie_image_describe(&opened, carries, sizeof(carries));
		fail("the CPU device runs PTX for sm_%d%d or older; the image carries %s",
		     GENIE_CPU_CC_MAJOR, GENIE_CPU_CC_MINOR, carries);
		return r == -ENOENT ? CUDA_ERROR_NO_BINARY_FOR_GPU : CUDA_ERROR_INVALID_IMAGE;
	}
	r = genie_image_entry_unpack(&entry, GENIE_IMAGE_UNPACK_MAX, ret_text, ret_size);
	if (r == -ENOMEM)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (r < 0) {
		fail("the image's PTX cannot be unpacked");
		return CUDA_ERROR_INVALID_IMAGE;
	}
	return CUDA_SUCCESS;
}

/* Memory of module variables is device memory: programs copy to and from it. */
static void *
variable_alloc(void *data, size_t size)
{
	(void)data;
	return genie_cpu_alloc(size);
}

static void
variable_free(void *data, void *ptr, size_t size)
{
	(void)data;
	(void)size;
	genie_cpu_free(ptr);
}

/* Refuses what a device of this kind could not run either. */
static CUresult
check_target(const struct ptx_module *ptx)
{
	const uint32_t own = GENIE_CPU_CC_MAJOR * 10 + GENIE_CPU_CC_MINOR;
	const char *name = ptx_module_kernel_name(ptx, 0);
	struct ptx_kernel_info info;

	if (!name || ptx_kernel_info(ptx_module_kernel((struct ptx_module *)ptx, name), &info) < 0)
		return CUDA_SUCCESS;
	if (info.ptx_version > PTX_VERSION_MAX) {
		fail("PTX %u.%u is newer than this device", info.ptx_version / 10,
		     info.ptx_version % 10);
		return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
	}
	if (info.target > own) {
		fail("PTX for sm_%u: the CPU device is an sm_%u", info.target, own);
		return CUDA_ERROR_INVALID_PTX;
	}
	return CUDA_SUCCESS;
}

/* Text that a program wrote, or had made, is small: it is compiled at once, so that what is wrong
 * with it is told by the call that loads it. Libraries carry thousands of kernels. */
#define AT_ONCE_MAX (256u << 10)

static CUresult
check_bodies(struct ptx_module *ptx)
{
	const char *name;

	for (size_t i = 0; (name = ptx_module_kernel_name(ptx, i)); i++)
		if (ptx_kernel_prepare(ptx_module_kernel(ptx, name)) == PTX_SYNTAX) {
			fail("PTX: kernel %s cannot be compiled", name);
			return CUDA_ERROR_INVALID_PTX;
		}
	return CUDA_SUCCESS;
}

static CUresult
compile(const char *text, size_t size, struct ptx_module **ret_ptx)
{
	static const struct ptx_memory memory = {
		.alloc = variable_alloc,
		.release = variable_free,
	};
	char error[768] = "";

	switch (ptx_module_load(text, size, &memory, ret_ptx, error, sizeof(error))) {
	case PTX_OK: {
		CUresult status = check_target(*ret_ptx);

		if (status == CUDA_SUCCESS && size <= AT_ONCE_MAX)
			status = check_bodies(*ret_ptx);
		if (status != CUDA_SUCCESS)
			ptx_module_unload(*ret_ptx);
		return status;
	}
	case PTX_NOMEM:
		return CUDA_ERROR_OUT_OF_MEMORY;
	case PTX_SYNTAX:
	case PTX_UNSUPPORTED:
	case PTX_FAULT:
	case PTX_INVALID:
	case PTX_ABORTED:
		break;
	}
	fail("PTX: %s", error);
	return CUDA_ERROR_INVALID_PTX;
}

static CUresult
cpu_cuModuleLoadData(CUmodule *ret_module, const void *image)
{
	struct genie_cpu_module *module;
	void *text;
	size_t size;
	CUresult status = genie_cpu_check();

	image_error[0] = 0;
	if (status != CUDA_SUCCESS)
		return status;
	if (!ret_module || !image)
		return CUDA_ERROR_INVALID_VALUE;
	status = find_ptx(image, &text, &size);
	if (status != CUDA_SUCCESS)
		return status;
	module = calloc(1, sizeof(*module));
	if (!module)
		status = CUDA_ERROR_OUT_OF_MEMORY;
	else
		status = compile(text, size, &module->ptx);
	free(text);
	if (status != CUDA_SUCCESS) {
		free(module);
		return status;
	}
	module->magic = GENIE_CPU_MODULE;
	module->refs = 1;
	list_add(module);
	*ret_module = (CUmodule)module;
	return CUDA_SUCCESS;
}

/* Gives the program's log buffer, if it passed one, the reason. */
static void
write_log(unsigned int count, CUjit_option *options, void **values)
{
	void **written = NULL;
	char *buffer = NULL;
	size_t size = 0;

	for (unsigned int i = 0; i < count; i++) {
		if (options[i] == CU_JIT_ERROR_LOG_BUFFER)
			buffer = values[i];
		else if (options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
			written = &values[i];
		else if (options[i] == CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES)
			values[i] = NULL; /* nothing to say */
	}
	if (written)
		size = (size_t)(uintptr_t)*written;
	if (buffer && size) {
		snprintf(buffer, size, "%s", image_error);
		*written = (void *)strlen(buffer);
	}
}

static CUresult
cpu_cuModuleLoadDataEx(CUmodule *ret_module, const void *image, unsigned int count,
		       CUjit_option *options, void **values)
{
	CUresult status = cpu_cuModuleLoadData(ret_module, image);

	if (options && values)
		write_log(count, options, values);
	return status;
}

static CUresult
cpu_cuModuleLoadFatBinary(CUmodule *ret_module, const void *image)
{
	return cpu_cuModuleLoadData(ret_module, image);
}

static CUresult
cpu_cuModuleUnload(CUmodule handle)
{
	struct genie_cpu_module *module = genie_cpu_module_get(handle);

	if (!module)
		return CUDA_ERROR_INVALID_HANDLE;
	module->magic = 0;
	for (struct genie_cpu_function *f = module->functions; f; f = f->next)
		f->magic = 0;
	genie_cpu_module_unref(module);
	return genie_cpu_lost();
}

uint64_t *
genie_cpu_module_reference(struct genie_cpu_module *module, const char *name, bool surface)
{
	return ptx_module_reference(module->ptx, name, surface);
}

static CUresult
cpu_cuModuleGetLoadingMode(CUmoduleLoadingMode *mode)
{
	*mode = CU_MODULE_LAZY_LOADING;
	return CUDA_SUCCESS;
}

/* The handle of a kernel: always the same one. */
static CUresult
module_function(struct genie_cpu_module *module, const char *name,
		struct genie_cpu_function **ret_function)
{
	struct genie_cpu_function *function;
	struct ptx_kernel *kernel = ptx_module_kernel(module->ptx, name);

	if (!kernel)
		return CUDA_ERROR_NOT_FOUND;
	for (function = module->functions; function; function = function->next)
		if (function->kernel == kernel) {
			*ret_function = function;
			return CUDA_SUCCESS;
		}
	function = calloc(1, sizeof(*function));
	if (!function)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (ptx_kernel_info(kernel, &function->info) < 0) {
		free(function);
		return CUDA_ERROR_INVALID_PTX;
	}
	function->magic = GENIE_CPU_FUNCTION;
	function->module = module;
	function->kernel = kernel;
	function->carveout = -1;
	genie_cpu_function_limits(function);
	function->next = module->functions;
	module->functions = function;
	*ret_function = function;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuModuleGetFunction(CUfunction *ret_function, CUmodule handle, const char *name)
{
	struct genie_cpu_module *module = genie_cpu_module_get(handle);
	struct genie_cpu_function *function;
	CUresult status;

	if (!module)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!ret_function || !name)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_cpu_lost();
	if (status != CUDA_SUCCESS)
		return status;
	status = module_function(module, name, &function);
	if (status == CUDA_SUCCESS)
		*ret_function = (CUfunction)function;
	return status;
}

static CUresult
cpu_cuModuleGetFunctionCount(unsigned int *count, CUmodule handle)
{
	struct genie_cpu_module *module = genie_cpu_module_get(handle);

	if (!module)
		return CUDA_ERROR_INVALID_HANDLE;
	for (*count = 0; ptx_module_kernel_name(module->ptx, *count); (*count)++)
		;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuModuleEnumerateFunctions(CUfunction *functions, unsigned int count, CUmodule handle)
{
	struct genie_cpu_module *module = genie_cpu_module_get(handle);

	if (!module)
		return CUDA_ERROR_INVALID_HANDLE;
	for (unsigned int i = 0; i < count; i++) {
		const char *name = ptx_module_kernel_name(module->ptx, i);
		struct genie_cpu_function *function = NULL;
		CUresult status;

		if (!name)
			return CUDA_ERROR_INVALID_VALUE;
		status = module_function(module, name, &function);
		if (status != CUDA_SUCCESS)
			return status;
		functions[i] = (CUfunction)function;
	}
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuModuleGetGlobal_v2(CUdeviceptr *ret_ptr, size_t *ret_size, CUmodule handle, const char *name)
{
	struct genie_cpu_module *module = genie_cpu_module_get(handle);
	uint64_t addr;
	size_t size;

	if (!module)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!name)
		return CUDA_ERROR_INVALID_VALUE;
	if (ptx_module_global(module->ptx, name, &addr, &size) < 0)
		return CUDA_ERROR_NOT_FOUND;
	if (ret_ptr)
		*ret_ptr = addr;
	if (ret_size)
		*ret_size = size;
	return CUDA_SUCCESS;
}

/* ---- functions ---- */

static CUresult
cpu_cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction handle)
{
	struct genie_cpu_function *function = genie_cpu_function_get(handle);

	if (!function)
		return CUDA_ERROR_INVALID_HANDLE;
	if (!value)
		return CUDA_ERROR_INVALID_VALUE;
	switch ((int)attribute) {
	case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
		*value = (int)function->info.max_threads;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
		*value = (int)function->info.static_shared;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
		*value = (int)function->info.constant;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
		*value = (int)function->info.local;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_NUM_REGS:
		*value = (int)function->info.registers;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_PTX_VERSION:
		*value = (int)function->info.target;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
		*value = GENIE_CPU_CC_MAJOR * 10 + GENIE_CPU_CC_MINOR;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
		*value = 0;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
		*value = (int)function->max_dynamic_shared;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
		*value = function->carveout;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
		*value = function->info.cluster[0] > 0;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
		*value = function->cluster[0];
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
		*value = function->cluster[1];
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
		*value = function->cluster[2];
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
		*value = function->non_portable_cluster;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
		*value = function->cluster_policy;
		return CUDA_SUCCESS;
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
}

static CUresult
set_max_dynamic_shared(struct genie_cpu_function *function, int value)
{
	if (value < 0 || (uint32_t)value + function->info.static_shared > GENIE_CPU_SHARED_OPTIN)
		return CUDA_ERROR_INVALID_VALUE;
	function->max_dynamic_shared = (uint32_t)value;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value)
{
	struct genie_cpu_function *function = genie_cpu_function_get(handle);

	if (!function)
		return CUDA_ERROR_INVALID_HANDLE;
	switch ((int)attribute) {
	case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
		return set_max_dynamic_shared(function, value);
	case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
		if (value < -1 || value > 100)
			return CUDA_ERROR_INVALID_VALUE;
		function->carveout = value;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
		function->cluster[0] = value;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
		function->cluster[1] = value;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
		function->cluster[2] = value;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
		function->non_portable_cluster = value != 0;
		return CUDA_SUCCESS;
	case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
		function->cluster_policy = value;
		return CUDA_SUCCESS;
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
}

static CUresult
cpu_cuFuncSetCacheConfig(CUfunction handle, CUfunc_cache config)
{
	(void)config; /* there is no cache to divide */
	return genie_cpu_function_get(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult
cpu_cuFuncSetSharedMemConfig(CUfunction handle, CUsharedconfig config)
{
	(void)config;
	return genie_cpu_function_get(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult
cpu_cuFuncGetModule(CUmodule *module, CUfunction handle)
{
	struct genie_cpu_function *function = genie_cpu_function_get(handle);

	if (!function)
		return CUDA_ERROR_INVALID_HANDLE;
	*module = (CUmodule)function->module;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuFuncGetName(const char **name, CUfunction handle)
{
	struct genie_cpu_function *function = genie_cpu_function_get(handle);

	if (!function)
		return CUDA_ERROR_INVALID_HANDLE;
	*name = function->info.name;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuFuncGetParamInfo(CUfunction handle, size_t index, size_t *ret_offset, size_t *ret_size)
{
	struct genie_cpu_function *function = genie_cpu_function_get(handle);
	uint32_t offset, size;

	if (!function)
		return CUDA_ERROR_INVALID_HANDLE;
	if (index >= function->info.param_count ||
	    ptx_kernel_param(function->kernel, (uint32_t)index, &offset, &size) < 0)
		return CUDA_ERROR_INVALID_VALUE;
	*ret_offset = offset;
	if (ret_size)
		*ret_size = size;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuFuncIsLoaded(CUfunctionLoadingState *state, CUfunction handle)
{
	if (!genie_cpu_function_get(handle))
		return CUDA_ERROR_INVALID_HANDLE;
	*state = CU_FUNCTION_LOADING_STATE_LOADED;
	return CUDA_SUCCESS;
}

static CUresult
cpu_cuFuncLoad(CUfunction handle)
{
	return genie_cpu_function_get(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

void
genie_cpu_fill_module(struct genie_driver *drv)
{
	drv->cuModuleLoadData = cpu_cuModuleLoadData;
	drv->cuModuleLoadDataEx = cpu_cuModuleLoadDataEx;
	drv->cuModuleLoadFatBinary = cpu_cuModuleLoadFatBinary;
	drv->cuModuleUnload = cpu_cuModuleUnload;
	drv->cuModuleGetLoadingMode = cpu_cuModuleGetLoadingMode;
	drv->cuModuleGetFunction = cpu_cuModuleGetFunction;
	drv->cuModuleGetFunctionCount = cpu_cuModuleGetFunctionCount;
	drv->cuModuleEnumerateFunctions = cpu_cuModuleEnumerateFunctions;
	drv->cuModuleGetGlobal_v2 = cpu_cuModuleGetGlobal_v2;
	drv->cuFuncGetAttribute = cpu_cuFuncGetAttribute;
	drv->cuFuncSetAttribute = cpu_cuFuncSetAttribute;
	drv->cuFuncSetCacheConfig = cpu_cuFuncSetCacheConfig;
	drv->cuFuncSetSharedMemConfig = cpu_cuFuncSetSharedMemConfig;
	drv->cuFuncGetModule = cpu_cuFuncGetModule;
	drv->cuFuncGetName = cpu_cuFuncGetName;
	drv->cuFuncGetParamInfo = cpu_cuFuncGetParamInfo;
	drv->cuFuncIsLoaded = cpu_cuFuncIsLoaded;
	drv->cuFuncLoad = cpu_cuFuncLoad;
}
