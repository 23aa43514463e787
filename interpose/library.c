/*
 * Libraries: code without a context. They exist only here; what the worker sees are their modules.
 */
#include "interpose/jit.h"
#include "interpose/kernel.h"
#include "interpose/mirror.h"

#include <stdlib.h>
#include <string.h>

static struct genie_library *
library_get(CUlibrary handle)
{
	return genie_object_get(GENIE_KIND_LIBRARY, (uint64_t)(uintptr_t)handle);
}

struct genie_module *
genie_library_module(struct genie_library *library, struct genie_ctx *ctx)
{
	struct genie_module *module;

	pthread_mutex_lock(&library->lock);
	module = library->modules;
	while (module != NULL && module->object.ctx != ctx)
		module = module->next;
	if (module == NULL) {
		module = genie_module_new(ctx, genie_code_ref(library->code), library);
		if (module != NULL) {
			module->next = library->modules;
			library->modules = module;
		} else {
			genie_code_unref(library->code);
		}
	}
	pthread_mutex_unlock(&library->lock);
	return module;
}

CUresult
genie_library_kernel(struct genie_library *library, const struct genie_kernel_desc *desc,
		     struct genie_kernel **ret_kernel)
{
	const struct genie_kernel_table *table;
	struct genie_kernel *kernel = NULL;
	CUresult status = genie_code_table(library->code, &table);
	size_t index;

	if (status != CUDA_SUCCESS)
		return status;
	index = (size_t)(desc - table->kernels);
	pthread_mutex_lock(&library->lock);
	if (library->kernels == NULL)
		library->kernels = calloc(table->count, sizeof(struct genie_kernel *));
	if (library->kernels != NULL)
		kernel = library->kernels[index];
	if (library->kernels != NULL && kernel == NULL) {
		kernel = genie_object_new(GENIE_KIND_KERNEL, sizeof(*kernel), NULL);
		if (kernel != NULL) {
			kernel->library = library;
			kernel->desc = desc;
			library->kernels[index] = kernel;
		}
	}
	pthread_mutex_unlock(&library->lock);
	if (kernel == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ret_kernel = kernel;
	return CUDA_SUCCESS;
}

static void
library_free(struct genie_library *library)
{
	const struct genie_kernel_table *table;
	struct genie_module *module, *next;

	for (module = library->modules; module != NULL; module = next) {
		next = module->next;
		genie_module_free(module);
	}
	if (library->kernels != NULL && genie_code_table(library->code, &table) == CUDA_SUCCESS) {
		for (size_t i = 0; i < table->count; i++)
			genie_kernel_free(library->kernels[i]);
	}
	free(library->kernels);
	genie_code_unref(library->code);
	free(library->jit);
	pthread_mutex_destroy(&library->lock);
	genie_object_free(library);
}

/* ---- the entry points ---- */

/*
 * The compiler's options concern text: it is compiled now, in the current context or the first
 * device's, because the program wants the log. Other contexts compile it with the same numbers.
 */
static CUresult
library_compile(struct genie_library *library, const struct genie_jit *jit)
{
	const struct genie_jit_report nothing = {0};
	struct genie_module *module;
	struct genie_ctx *ctx;

	library->jit = calloc(1, sizeof(*library->jit));
	if (library->jit == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	library->jit->count = jit->count;
	memcpy(library->jit->options, jit->options, sizeof(jit->options));
	memcpy(library->jit->values, jit->values, sizeof(jit->values));
	if (library->code->image.form != GENIE_IMAGE_FORM_PTX) {
		genie_jit_answer(jit, &nothing, NULL, NULL);
		return CUDA_SUCCESS;
	}
	ctx = genie_ctx_default();
	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	module = genie_library_module(library, ctx->home);
	return module != NULL ? genie_module_compile(module, jit) : CUDA_ERROR_OUT_OF_MEMORY;
}

/* The driver writes the log and gives a library all the same; who asks it for something gets the
 * error (580, H200). */
static bool
is_of_the_text(CUresult status)
{
	return status == CUDA_ERROR_INVALID_PTX || status == CUDA_ERROR_UNSUPPORTED_PTX_VERSION ||
	       status == CUDA_ERROR_NO_BINARY_FOR_GPU;
}

/* Takes over @code. @jit: NULL without options. */
static CUresult
library_make(struct genie_code *code, const struct genie_jit *jit, CUlibrary *ret_library)
{
	CUresult status = CUDA_SUCCESS;
	struct genie_library *library =
		genie_object_new(GENIE_KIND_LIBRARY, sizeof(*library), NULL);

	if (library == NULL) {
		genie_code_unref(code);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	pthread_mutex_init(&library->lock, NULL);
	library->code = code;
	if (jit != NULL)
		status = library_compile(library, jit);
	if (is_of_the_text(status)) {
		library->failed = status;
	} else if (status != CUDA_SUCCESS) {
		library_free(library);
		return status;
	}
	*ret_library = (CUlibrary)(uintptr_t)library->object.token;
	return CUDA_SUCCESS;
}

static bool
preserved(unsigned int count, const CUlibraryOption *options, void *const *values)
{
	for (unsigned int i = 0; i < count; i++) {
		if (options[i] == CU_LIBRARY_BINARY_IS_PRESERVED)
			return values != NULL && values[i] != NULL;
	}
	return false;
}

CUresult
genie_cuLibraryLoadData(CUlibrary *library, const void *code, CUjit_option *jitOptions,
			void **jitOptionsValues, unsigned int numJitOptions,
			CUlibraryOption *libraryOptions, void **libraryOptionValues,
			unsigned int numLibraryOptions)
{
	struct genie_code *made;
	struct genie_jit jit;
	CUresult status;

	if (library == NULL || code == NULL || (numLibraryOptions != 0 && libraryOptions == NULL))
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_jit_read(&jit, numJitOptions, jitOptions, jitOptionsValues);
	if (status != CUDA_SUCCESS)
		return status;
	status = genie_code_new(
		code, preserved(numLibraryOptions, libraryOptions, libraryOptionValues), &made);
	return status == CUDA_SUCCESS ? library_make(made, numJitOptions ? &jit : NULL, library)
				      : status;
}

CUresult
genie_cuLibraryLoadFromFile(CUlibrary *library, const char *fileName, CUjit_option *jitOptions,
			    void **jitOptionsValues, unsigned int numJitOptions,
			    CUlibraryOption *libraryOptions, void **libraryOptionValues,
			    unsigned int numLibraryOptions)
{
	struct genie_code *code;
	struct genie_jit jit;
	CUresult status;

	(void)libraryOptionValues;
	if (library == NULL || (numLibraryOptions != 0 && libraryOptions == NULL))
		return CUDA_ERROR_INVALID_VALUE;
	status = genie_jit_read(&jit, numJitOptions, jitOptions, jitOptionsValues);
	if (status == CUDA_SUCCESS)
		status = genie_code_load_file(fileName, &code);
	return status == CUDA_SUCCESS ? library_make(code, numJitOptions ? &jit : NULL, library)
				      : status;
}

CUresult
genie_cuLibraryUnload(CUlibrary handle)
{
	struct genie_library *library = library_get(handle);

	if (library == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	library_free(library);
	return CUDA_SUCCESS;
}

CUresult
genie_cuLibraryGetKernel(CUkernel *pKernel, CUlibrary handle, const char *name)
{
	struct genie_library *library = library_get(handle);
	const struct genie_kernel_table *table;
	const struct genie_kernel_desc *desc;
	struct genie_kernel *kernel;
	CUresult status;

	if (pKernel == NULL || name == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (library == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (library->failed != CUDA_SUCCESS)
		return library->failed;
	status = genie_code_table(library->code, &table);
	if (status != CUDA_SUCCESS)
		return status;
	desc = genie_kernel_table_find(table, name);
	if (desc == NULL)
		return CUDA_ERROR_NOT_FOUND;
	status = genie_library_kernel(library, desc, &kernel);
	if (status == CUDA_SUCCESS)
		*pKernel = (CUkernel)(uintptr_t)kernel->object.token;
	return status;
}

CUresult
genie_cuLibraryGetKernelCount(unsigned int *count, CUlibrary lib)
{
	struct genie_library *library = library_get(lib);
	const struct genie_kernel_table *table;
	CUresult status;

	if (count == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (library == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	status = genie_code_table(library->code, &table);
	if (status == CUDA_SUCCESS)
		*count = (unsigned int)table->count;
	return status;
}

CUresult
genie_cuLibraryEnumerateKernels(CUkernel *kernels, unsigned int numKernels, CUlibrary lib)
{
	struct genie_library *library = library_get(lib);
	const struct genie_kernel_table *table;
	struct genie_kernel *kernel;
	CUresult status;

	if (kernels == NULL || numKernels == 0)
		return CUDA_ERROR_INVALID_VALUE;
	if (library == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	status = genie_code_table(library->code, &table);
	for (size_t i = 0; status == CUDA_SUCCESS && i < numKernels && i < table->count; i++) {
		status = genie_library_kernel(library, &table->kernels[i], &kernel);
		if (status == CUDA_SUCCESS)
			kernels[i] = (CUkernel)(uintptr_t)kernel->object.token;
	}
	return status;
}

/* The library's module in the current context. */
static CUresult
current_module(CUlibrary handle, struct genie_module **ret_module)
{
	struct genie_library *library = library_get(handle);
	struct genie_ctx *ctx = genie_ctx_home();

	if (library == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (library->failed != CUDA_SUCCESS)
		return library->failed;
	*ret_module = genie_library_module(library, ctx);
	return *ret_module != NULL ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult
genie_cuLibraryGetModule(CUmodule *pMod, CUlibrary library)
{
	struct genie_module *module;
	CUresult status;

	if (pMod == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	status = current_module(library, &module);
	if (status == CUDA_SUCCESS)
		*pMod = (CUmodule)(uintptr_t)module->object.token;
	return status;
}

CUresult
genie_cuLibraryGetGlobal(CUdeviceptr *dptr, size_t *bytes, CUlibrary library, const char *name)
{
	struct genie_module *module;
	CUresult status;

	if (name == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	status = current_module(library, &module);
	return status == CUDA_SUCCESS ? genie_module_global(module, name, dptr, bytes) : status;
}

/* A __managed__ variable: one that the host may use by its address. */
CUresult
genie_cuLibraryGetManaged(CUdeviceptr *dptr, size_t *bytes, CUlibrary library, const char *name)
{
	struct genie_library *object = library_get(library);
	struct genie_ctx *ctx = genie_ctx_default(); /* runtimes ask before there is a context */
	struct genie_module *module;
	CUdeviceptr addr;
	CUresult status;
	size_t size;

	if (name == NULL)
		return CUDA_ERROR_INVALID_VALUE;
	if (object == NULL)
		return CUDA_ERROR_INVALID_HANDLE;
	if (ctx == NULL)
		return CUDA_ERROR_INVALID_CONTEXT;
	module = genie_library_module(object, ctx->home);
	if (module == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = genie_module_global(module, name, &addr, &size);
	if (status == CUDA_SUCCESS)
		status = genie_mirror_add(addr, size, module->object.ctx);
	if (status == CUDA_SUCCESS && dptr != NULL)
		*dptr = addr;
	if (status == CUDA_SUCCESS && bytes != NULL)
		*bytes = size;
	return status;
}
