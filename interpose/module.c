/*
 * Modules: code in one context. Loading reads the image here; the worker gets it with the first
 * function that is launched, or the first variable that is asked for.
 */
#include "interpose/jit.h"
#include "interpose/kernel.h"
#include "interpose/mirror.h"

#include <stdlib.h>
#include <string.h>

static CUmodule
module_handle(const struct genie_module *module)
{
	return (CUmodule)(uintptr_t)module->object.token;
}

struct genie_module *
genie_module_new(struct genie_ctx *ctx, struct genie_code *code, struct genie_library *library)
{
	struct genie_module *module = genie_object_new(GENIE_KIND_MODULE, sizeof(*module), ctx);

	if (module == NULL)
		return NULL;
	pthread_mutex_init(&module->lock, NULL);
	module->code = code;
	module->library = library;
	return module;
}

void
genie_module_free(struct genie_module *module)
{
	struct genie_function *function, *next_function;
	struct genie_global *global, *next_global;

	if (module == NULL)
		return;
	if (module->loaded) {
		struct genie_args_genieModuleUnload args = {.module = module_handle(module)};

		(void)genie_call_ctx(GENIE_OP_genieModuleUnload, &args, module->object.ctx, NULL);
	}
	for (function = module->functions; function != NULL; function = next_function) {
		next_function = function->sibling;
		if (function->kernel == NULL)
			free(function->attrs);
		free(function->old);
		genie_object_free(function);
	}
	for (global = module->globals; global != NULL; global = next_global) {
		next_global = global->next;
		genie_mirror_remove(global->addr);
		genie_mem_remove_global(global->addr);
		free(global);
	}
	genie_texref_free_module(module);
	genie_code_unref(module->code);
	pthread_mutex_destroy(&module->lock);
	genie_object_free(module);
}

/*
 * Compiles with options and waits for it, because the program wants the log. @module NULL: only to
 * see whether it works.
 */
static CUresult
compile_with_options(struct genie_ctx *ctx, struct genie_module *module, const uint8_t *hash,
		     unsigned int flags, const struct genie_jit *jit)
{
	char *logs = calloc(2, GENIE_JIT_LOG_MAX + 1);
	struct genie_jit_report report = {0};
	int result = CUDA_ERROR_UNKNOWN;
	struct genie_args_genieModuleLoadEx args = {
		.module = module != NULL ? module_handle(module) : NULL,
		.hash = hash,
		.flags = flags,
		.options = jit->options,
		.values = jit->values,
		.count = jit->count,
		.info = logs,
		.info_size = genie_jit_room(jit, 0),
		.error_size = genie_jit_room(jit, 1),
		.report = (unsigned char *)&report,
		.result = &result,
	};
	CUresult status;

	if (logs == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	args.error = logs + GENIE_JIT_LOG_MAX + 1;
	status = genie_call_ctx(GENIE_OP_genieModuleLoadEx, &args, ctx, NULL);
	if (status == CUDA_SUCCESS) {
		genie_jit_answer(jit, &report, logs, args.error);
		status = genie_status(result);
	}
	free(logs);
	return status;
}

CUresult
genie_module_load_locked(struct genie_module *module, const char *what)
{
	uint8_t hash[GENIE_HASH_SIZE];
	struct genie_args_genieModuleLoad args = {.module = module_handle(module), .hash = hash};
	CUresult status;

	if (module->loaded)
		return CUDA_SUCCESS;
	status = genie_code_upload(module->code, module->object.ctx, what, hash);
	if (genie_code_prints(module->code))
		args.flags = GENIE_MODULE_PRINTS;
	if (status != CUDA_SUCCESS)
		return status;
	if (module->library != NULL && module->library->jit != NULL) {
		status = compile_with_options(module->object.ctx, module, hash, args.flags,
					      module->library->jit);
		module->loaded = status == CUDA_SUCCESS;
		return status;
	}
	/* With GENIE_SYNC=1 the answer may be an error. The worker knows the module all the same:
	 * it must be unloaded, before its name is used again. */
	module->loaded = true;
	return genie_call_ctx(GENIE_OP_genieModuleLoad, &args, module->object.ctx, NULL);
}

/* ---- functions ---- */

static struct genie_function *
module_find_locked(struct genie_module *module, const struct genie_kernel_desc *desc)
{
	struct genie_function *function = module->functions;

	while (function != NULL && function->desc != desc)
		function = function->sibling;
	return function;
}

static CUresult
module_function_locked(struct genie_module *module, const struct genie_kernel_desc *desc,
		       struct genie_function **ret_function)
{
	struct genie_function *function = module_find_locked(module, desc);
	struct genie_attrs *attrs;

	if (function == NULL) {
		attrs = calloc(1, sizeof(*attrs));
		if (attrs == NULL)
			return CUDA_ERROR_OUT_OF_MEMORY;
		attrs->device = module->object.ctx->device;
		function = genie_function_new_locked(module, NULL, desc, attrs);
		if (function == NULL) {
			free(attrs);
			return CUDA_ERROR_OUT_OF_MEMORY;
		}
	}
	*ret_function = function;
	return CUDA_SUCCESS;
}

CUresult
genie_module_function(struct genie_module *module, const char *name,
		      struct genie_function **ret_function)
{
	const struct genie_kernel_table *table;
	const struct genie_kernel_desc *desc;
	struct genie_kernel *kernel;
	CUresult status;

	status = genie_code_table(module->code, &table);
	if (status != CUDA_SUCCESS)
		return status;
	desc = genie_kernel_table_find(table, name);
	if (desc == NULL)
		return CUDA_ERROR_NOT_FOUND;
	if (module->library != NULL) { /* the same function as through the library */
		status = genie_library_kernel(module->library, desc, &kernel);
		if (status != CUDA_SUCCESS)
			return status;
		*ret_function = genie_kernel_function(kernel, module->object.ctx);
		return *ret_function != NULL ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
	}
	pthread_mutex_lock(&module->lock);
	status = module_function_locked(module, desc, ret_function);
	pthread_mutex_unlock(&module->lock);
	return status;
}

/* ---- variables ---- */

static CUresult
global_ask_locked(struct genie_module *module, const char *name, struct genie_global **ret_global)
{
	struct genie_args_genieModuleGlobal args = {.module = module_handle(module), .name = name};
	struct genie_global *global = calloc(1, sizeof(*global) + strlen(name) + 1);
	int managed = 0;
	CUresult status;

	if (global == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	args.addr = &global->addr;
	args.size = &global->size;
	args.managed = &managed;
	status = genie_call_ctx(GENIE_OP_genieModuleGlobal, &args, module->object.ctx, NULL);
	if (status == CUDA_SUCCESS &&
	    (global->size > GENIE_BYTES_MAX || global->addr > GENIE_BYTES_MAX * 2)) {
		genie_warn("the server says that variable %s has %zu bytes at 0x%llx", name,
			   global->size, (unsigned long long)global->addr);
		status = CUDA_ERROR_UNKNOWN;
	}
	/* Runtimes before 13.0 ask for a __managed__ variable as for any other. */
	if (status == CUDA_SUCCESS && managed)
		status = genie_mirror_add(global->addr, global->size, module->object.ctx);
	if (status != CUDA_SUCCESS) {
		free(global);
		return status;
	}
	strcpy(global->name, name);
	global->next = module->globals;
	module->globals = global;
	genie_mem_add_global(global->addr, global->size, module->object.ctx->device);
	*ret_global = global;
	return CUDA_SUCCESS;
}

CUresult
genie_module_global(struct genie_module *module, const char *name, CUdeviceptr *ret_addr,
		    size_t *ret_size)
{
	struct genie_global *global;
	CUresult status = CUDA_SUCCESS;

	if (name == NULL || (ret_addr == NULL && ret_size == NULL))
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&module->lock);
	global = module->globals;
	while (global != NULL && strcmp(global->name, name) != 0)
		global = global->next;
	if (global == NULL) {
		status = genie_module_load_locked(module, name);
		if (status == CUDA_SUCCESS)
			status = global_ask_locked(module, name, &global);
	}
	if (status == CUDA_SUCCESS && ret_addr != NULL)
		*ret_addr = global->addr;
	if (status == CUDA_SUCCESS && ret_size != NULL)
		*ret_size = global->size;
	pthread_mutex_unlock(&module->lock);
	return status;
}

/* ---- the end of a context ---- */

static void
forget_module(void *object, void *data)
{
	struct genie_module *module = object;
	struct genie_global *global;

	if (module->object.ctx != data)
		return;
	pthread_mutex_lock(&module->lock);
	module->loaded = false;
	for (struct genie_function *function = module->functions; function != NULL;
	     function = function->sibling)
		atomic_store_explicit(&function->ready, false, memory_order_release);
	genie_texref_forget_locked(module);
	while (module->globals != NULL) { /* they will lie elsewhere */
		global = module->globals;
		module->globals = global->next;
		genie_mirror_remove(global->addr);
		genie_mem_remove_global(global->addr);
		free(global);
	}
	pthread_mutex_unlock(&module->lock);
}

/* The worker drops what it had; handles stay valid here and are announced again if the (primary)
 * context is used again. */
void
genie_module_forget_ctx(struct genie_ctx *ctx)
{
	genie_object_each(GENIE_KIND_MODULE, forget_module, ctx);
}

/* ---- the entry points ---- */

static struct genie_module *
module_get(CUmodule handle)
{
	return genie_object_get(GENIE_KIND_MODULE, (uint64_t)(uintptr_t)handle);
}

/*
 * Waits until the worker has compiled PTX text, so that an error in it is this call's. The worker
 * repeats the error of a module to every question about it, so any question will do.
 */
static CUresult
module_compile(struct genie_module *module)
{
	uint64_t before = genie_chan_last_ticket(genie_client_chan());
	CUdeviceptr addr = 0;
	size_t size = 0;
	int managed = 0;
	struct genie_args_genieModuleGlobal args = {.module = module_handle(module),
						    .name = "",
						    .addr = &addr,
						    .size = &size,
						    .managed = &managed};
	struct genie_async_error error;
	CUresult status;

	pthread_mutex_lock(&module->lock);
	status = genie_module_load_locked(module, "a module");
	pthread_mutex_unlock(&module->lock);
	if (status != CUDA_SUCCESS)
		return status;
	status = genie_call_ctx(GENIE_OP_genieModuleGlobal, &args, module->object.ctx, NULL);
	error = genie_chan_error(genie_client_chan());
	if (error.ticket > before && error.op == GENIE_OP_genieModuleLoad && !error.sticky) {
		genie_chan_error_clear(genie_client_chan(), error.ticket);
		return genie_status_error(error.status);
	}
	return status == CUDA_ERROR_NOT_FOUND || status == CUDA_ERROR_INVALID_VALUE ? CUDA_SUCCESS
										    : status;
}

CUresult
genie_module_try(struct genie_ctx *ctx, const void *image, size_t size, const struct genie_jit *jit)
{
	uint8_t hash[GENIE_HASH_SIZE];
	CUresult status = genie_code_send(image, size, hash);

	return status == CUDA_SUCCESS ? compile_with_options(ctx, NULL, hash, 0, jit) : status;
}

CUresult
genie_module_compile(struct genie_module *module, const struct genie_jit *jit)
{
	uint8_t hash[GENIE_HASH_SIZE];
	unsigned int flags = 0;
	CUresult status;

	pthread_mutex_lock(&module->lock);
	status = genie_code_upload(module->code, module->object.ctx, "a module", hash);
	if (genie_code_prints(module->code))
		flags = GENIE_MODULE_PRINTS;
	if (status == CUDA_SUCCESS)
		status = compile_with_options(module->object.ctx, module, hash, flags, jit);
	module->loaded = status == CUDA_SUCCESS;
	pthread_mutex_unlock(&module->lock);
	return status;
}

/* Does the device take it? */
static CUresult
module_check(struct genie_code *code, const struct genie_ctx *ctx)
{
	CUresult status = genie_code_check(code, ctx->device, "a module");
	bool is_text = code->image.form == GENIE_IMAGE_FORM_PTX;

	if (status != CUDA_ERROR_NO_BINARY_FOR_GPU || !is_text)
		return status;
	if (genie_client.kinds_unwanted & GENIE_IMAGE_PTX)
		return CUDA_ERROR_JIT_COMPILATION_DISABLED;
	/* for a newer device */
	return genie_client.devices[ctx->device].image_kinds & GENIE_IMAGE_PTX
		       ? CUDA_ERROR_INVALID_PTX
		       : status;
}

/* Takes over @code. @jit: NULL without options. */
static CUresult
module_make(struct genie_code *code, const struct genie_jit *jit, CUmodule *ret_module)
{
	struct genie_ctx *ctx = genie_ctx_home();
	struct genie_module *module;
	CUresult status;

	status = module_check(code, ctx);
	if (status != CUDA_SUCCESS) {
		genie_code_unref(code);
		return status;
	}
	module = genie_module_new(ctx, code, NULL);
	if (module == NULL) {
		genie_code_unref(code);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	if (jit != NULL)
		status = genie_module_compile(module, jit);
	else if (code->image.form == GENIE_IMAGE_FORM_PTX)
		status = module_compile(module);
	if (status != CUDA_SUCCESS) {
		genie_module_free(module);
		return status;
	}
	*ret_module = module_handle(module);
	return CUDA_SUCCESS;
}

static CUresult
module_load_data(CUmodule *module, const void *image, const struct genie_jit *jit)
{
	struct genie_code *code;
	CUresult status;

	if (genie_ctx_current() == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (module == NULL || image == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_code_new(image, false, &code);
	return status == CUDA_SUCCESS ? module_make(code, jit, module) : status;
}

CUresult
genie_cuModuleLoadData(CUmodule *module, const void *image)
{
	return module_load_data(module, image, NULL);
}

CUresult
genie_cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned int numOptions,
			 CUjit_option *options, void **optionValues)
{
	struct genie_jit jit;
	CUresult status = genie_jit_read(&jit, numOptions, options, optionValues);

	if (status != CUDA_SUCCESS)
		return status;
	return module_load_data(module, image, numOptions != 0 ? &jit : NULL);
}

CUresult
genie_cuModuleLoadFatBinary(CUmodule *module, const void *fatCubin)
{
	return genie_cuModuleLoadData(module, fatCubin);
}

CUresult
genie_cuModuleLoad(CUmodule *module, const char *fname)
{
	struct genie_code *code;
	CUresult status;

	if (genie_ctx_current() == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (module == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_code_load_file(fname, &code);
	return status == CUDA_SUCCESS ? module_make(code, NULL, module) : status;
}

CUresult
genie_cuModuleUnload(CUmodule hmod)
{
	struct genie_module *module = module_get(hmod);

	if (module == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (module->library != NULL) /* it belongs to the library */
		return CUDA_ERROR_NOT_PERMITTED;
	genie_module_free(module);
	return CUDA_SUCCESS;
}

/* Everything is loaded when it is needed; a program may ask the runtime to ask for it earlier. */
CUresult
genie_cuModuleGetLoadingMode(CUmoduleLoadingMode *mode)
{
	const char *wish = getenv("CUDA_MODULE_LOADING");

	if (mode == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	*mode = wish != NULL && strcmp(wish, "EAGER") == 0 ? CU_MODULE_EAGER_LOADING
							   : CU_MODULE_LAZY_LOADING;
	return CUDA_SUCCESS;
}

CUresult
genie_cuModuleGetFunction(CUfunction *hfunc, CUmodule hmod, const char *name)
{
	struct genie_module *module = module_get(hmod);
	struct genie_function *function;
	CUresult status;

	if (hfunc == NULL || name == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (module == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	status = genie_module_function(module, name, &function);
	if (status == CUDA_SUCCESS)
		*hfunc = (CUfunction)(uintptr_t)function->object.token;
	return status;
}

CUresult
genie_cuModuleGetFunctionCount(unsigned int *count, CUmodule mod)
{
	struct genie_module *module = module_get(mod);
	const struct genie_kernel_table *table;
	CUresult status;

	if (count == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (module == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	status = genie_code_table(module->code, &table);
	if (status == CUDA_SUCCESS)
		*count = (unsigned int)table->count;
	return status;
}

CUresult
genie_cuModuleEnumerateFunctions(CUfunction *functions, unsigned int numFunctions, CUmodule mod)
{
	struct genie_module *module = module_get(mod);
	const struct genie_kernel_table *table;
	struct genie_function *function;
	CUresult status;

	if (functions == NULL || numFunctions == 0)
		return CUDA_ERROR_INVALID_VALUE;
	if (module == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	status = genie_code_table(module->code, &table);
	for (size_t i = 0; status == CUDA_SUCCESS && i < numFunctions && i < table->count; i++) {
		status = genie_module_function(module, table->kernels[i].name, &function);
		if (status == CUDA_SUCCESS)
			functions[i] = (CUfunction)(uintptr_t)function->object.token;
	}
	return status;
}

CUresult
genie_cuModuleGetGlobal_v2(CUdeviceptr *dptr, size_t *bytes, CUmodule hmod, const char *name)
{
	struct genie_module *module = module_get(hmod);

	if (module == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	return genie_module_global(module, name, dptr, bytes);
}
