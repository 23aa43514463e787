/* Images, modules and functions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "remote/address.h"
#include "remote/complete.h"
#include "remote/exec.h"
#include "remote/jit.h"
#include "remote/store.h"

#define FATBIN_MAGIC 0xba55ed50u
#define ELF_MAGIC    0x464c457fu

/* A module, and the functions that go with it. */
struct module {
	struct genie_ctx *ctx;
	CUmodule handle;
	uint64_t *functions; /* tokens */
	size_t count, room;
};

/* ---- images ---- */

CUresult
genie_exec_genieImageHave(struct genie_session *session, struct genie_args_genieImageHave *args)
{
	*args->have = genie_store_find(session->store, args->hash) != NULL;
	return CUDA_SUCCESS;
}

static CUresult
image_add(struct genie_session *session, const unsigned char *hash, size_t total, size_t offset,
	  const void *data, size_t size)
{
	switch (genie_store_add(session->store, hash, total, offset, data, size)) {
	case 0:
		return CUDA_SUCCESS;
	case -ENOMEM:
		return CUDA_ERROR_OUT_OF_MEMORY;
	case -EBADMSG:
		genie_warn("an image of %zu bytes is not what its hash says", total);
		return CUDA_ERROR_INVALID_IMAGE;
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
}

CUresult
genie_exec_genieImageData(struct genie_session *session, struct genie_args_genieImageData *args)
{
	return image_add(session, args->hash, args->total, args->offset, args->data, args->size);
}

CUresult
genie_exec_genieImageBulk(struct genie_session *session, struct genie_args_genieImageBulk *args)
{
	void *data = NULL;
	CUresult status;

	if (genie_port_bulk_in(session->port, args->ref, args->size, &data)) {
		genie_session_broken(session, "bulk data 0x%llx of %zu bytes is not there",
				     args->ref, args->size);
		return CUDA_ERROR_INVALID_VALUE;
	}
	status = image_add(session, args->hash, args->total, args->offset, data, args->size);
	genie_port_bulk_in_done(session->port, args->ref, args->size, session->cmd->ticket);
	return status;
}

/*
 * Whether the image says of itself that it is longer than it is: drivers believe the lengths in
 * its headers. Everything else about it is for the driver to judge, in this client's own process.
 */
static bool
image_cut_short(const struct genie_stored *image)
{
	uint32_t magic = 0;
	uint64_t value = 0;
	uint16_t entries, entry_size;

	if (image->size < sizeof(magic))
		return false;
	memcpy(&magic, image->data, sizeof(magic));
	if (magic == FATBIN_MAGIC) { /* magic, version, header size 16, bytes that follow */
		if (image->size < 16)
			return true;
		memcpy(&value, image->data + 8, sizeof(value));
		return value > image->size - 16;
	}
	if (magic == ELF_MAGIC) {
		if (image->size < 64)
			return true;
		memcpy(&value, image->data + 0x28, sizeof(value)); /* section headers */
		memcpy(&entry_size, image->data + 0x3a, sizeof(entry_size));
		memcpy(&entries, image->data + 0x3c, sizeof(entries));
		return value > image->size || (uint64_t)entries * entry_size > image->size - value;
	}
	return false;
}

/* ---- modules ---- */

/* The image that a client names, if it is worth showing to a driver. */
CUresult
genie_image_find(struct genie_session *session, const unsigned char *hash,
		 struct genie_stored **ret_image)
{
	struct genie_stored *image = genie_store_find(session->store, hash);

	if (!session->current)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!image)
		return CUDA_ERROR_FILE_NOT_FOUND;
	if (image_cut_short(image))
		return CUDA_ERROR_INVALID_IMAGE;
	*ret_image = image;
	return CUDA_SUCCESS;
}

/* @jit: NULL without options. */
static CUresult
module_load(struct genie_session *session, const unsigned char *hash, struct genie_jit_args *jit,
	    CUmodule *ret_module)
{
	struct genie_stored *image = NULL;
	const char *why = NULL;
	CUresult status;

	status = genie_image_find(session, hash, &image);
	if (status != CUDA_SUCCESS)
		return status;
	if (jit)
		status = session->drv->cuModuleLoadDataEx(ret_module, image->data, jit->count,
							  jit->options, jit->values);
	else
		status = session->drv->cuModuleLoadData(ret_module, image->data);
	if (status != CUDA_SUCCESS) {
		if (session->backend->image_error)
			why = session->backend->image_error();
		genie_info("an image of %zu bytes cannot be loaded (%d)%s%s", image->size,
			   (int)status, why ? ": " : "", why ? why : "");
	}
	return status;
}

/* Makes @token stand for a module that was loaded, or could not be. */
static CUresult
module_bind(struct genie_session *session, CUmodule token, CUmodule handle, unsigned int flags,
	    CUresult status)
{
	struct genie_object *object = NULL;
	struct module *module = calloc(1, sizeof(*module));

	if (!module)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (flags & GENIE_MODULE_PRINTS)
		atomic_store_explicit(&session->prints, true, memory_order_relaxed);
	module->ctx = session->current;
	module->handle = handle;
	if (genie_object_bind(&session->objects, GENIE_KIND_MODULE, (uintptr_t)token, handle,
			      &object)) {
		free(module);
		genie_session_broken(session, "module token %p cannot be named", (void *)token);
		return CUDA_ERROR_INVALID_HANDLE;
	}
	object->state = module;
	object->status = status;
	object->ctx = session->current ? session->current->index : 0;
	return status;
}

/* The error of a module that cannot be loaded is told now, and again to each sync call that names
 * the module or a function of it. */
CUresult
genie_exec_genieModuleLoad(struct genie_session *session, struct genie_args_genieModuleLoad *args)
{
	CUmodule handle = NULL;
	CUresult status = module_load(session, args->hash, NULL, &handle);

	return module_bind(session, args->module, handle, args->flags, status);
}

CUresult
genie_exec_genieModuleLoadEx(struct genie_session *session,
			     struct genie_args_genieModuleLoadEx *args)
{
	struct genie_jit_args jit;
	CUmodule handle = NULL;
	CUresult status;

	status = genie_jit_args_init(&jit, args->options, args->values, NULL, args->count,
				     args->info, args->info_size, args->error, args->error_size);
	if (status != CUDA_SUCCESS)
		return status;
	status = module_load(session, args->hash, &jit, &handle);
	genie_jit_args_report(&jit, (struct genie_jit_report *)args->report);
	*args->result = (int)status;
	if (status != CUDA_SUCCESS)
		return CUDA_SUCCESS; /* the answer says it, with the log */
	if (!args->module) {
		session->drv->cuModuleUnload(handle);
		return CUDA_SUCCESS;
	}
	return module_bind(session, args->module, handle, args->flags, CUDA_SUCCESS);
}

/* Modules are unloaded when the kernels that were launched from them are done. */
static void
unload_happen(struct genie_session *session, const struct genie_completion *completion,
	      CUresult status)
{
	struct module *module = completion->ptr;
	CUcontext popped = NULL;

	(void)status;
	if (session->drv->cuCtxPushCurrent_v2(module->ctx->handle) == CUDA_SUCCESS) {
		session->drv->cuModuleUnload(module->handle);
		session->drv->cuCtxPopCurrent_v2(&popped);
	}
	free(module);
}

void
genie_module_drop(struct genie_session *session, struct genie_object *object)
{
	struct module *module = object->state;

	for (size_t i = 0; i < module->count; i++)
		genie_object_drop(&session->objects, GENIE_KIND_FUNCTION, module->functions[i]);
	free(module->functions);
	genie_address_forget(session, module);
	free(module);
	genie_object_drop(&session->objects, GENIE_KIND_MODULE, object->token);
}

CUresult
genie_exec_genieModuleUnload(struct genie_session *session,
			     struct genie_args_genieModuleUnload *args)
{
	struct genie_completion later = {
		.fn = unload_happen, .ticket = session->cmd->ticket, .slot = GENIE_SLOTS_MAX};
	struct genie_object *object;
	struct module *module;
	struct module *last;

	object = genie_object_find(&session->objects, GENIE_KIND_MODULE, (uintptr_t)args->module);
	if (!object)
		return CUDA_ERROR_INVALID_HANDLE;
	module = object->state;
	if (object->status != CUDA_SUCCESS || !module->ctx) {
		genie_module_drop(session, object);
		return CUDA_SUCCESS;
	}
	last = calloc(1, sizeof(*last));
	if (!last)
		return CUDA_ERROR_OUT_OF_MEMORY;
	last->ctx = module->ctx;
	last->handle = module->handle;
	later.ptr = last;
	genie_module_drop(session, object);
	return genie_complete_all(session, last->ctx, &later);
}

/* The module behind a token, or the status the call fails with. */
static CUresult
module_find(struct genie_session *session, CUmodule token, struct module **ret_module)
{
	struct genie_object *object;

	object = genie_object_find(&session->objects, GENIE_KIND_MODULE, (uintptr_t)token);
	if (!object)
		return CUDA_ERROR_INVALID_HANDLE;
	*ret_module = object->state;
	return (CUresult)object->status;
}

CUresult
genie_module_find(struct genie_session *session, CUmodule token, CUmodule *ret_handle)
{
	struct module *module = NULL;
	CUresult status = module_find(session, token, &module);

	if (status == CUDA_SUCCESS)
		*ret_handle = module->handle;
	return status;
}

CUresult
genie_exec_genieModuleGlobal(struct genie_session *session,
			     struct genie_args_genieModuleGlobal *args)
{
	struct module *module = NULL;
	CUresult status;

	status = module_find(session, args->module, &module);
	if (status != CUDA_SUCCESS)
		return status;
	status = session->drv->cuModuleGetGlobal_v2(args->addr, args->size, module->handle,
						    args->name);
	if (status == CUDA_SUCCESS && genie_address_add(session, *args->addr, *args->size, module))
		status = CUDA_ERROR_OUT_OF_MEMORY;
	/* A __managed__ variable lies in memory that the host uses by its address. */
	if (status == CUDA_SUCCESS &&
	    session->drv->cuPointerGetAttribute(args->managed, CU_POINTER_ATTRIBUTE_IS_MANAGED,
						*args->addr) != CUDA_SUCCESS)
		*args->managed = 0;
	return status;
}

/* ---- functions ---- */

static bool
module_note(struct module *module, uint64_t function)
{
	if (module->count == module->room) {
		size_t room = module->room ? module->room * 2 : 8;
		uint64_t *list = realloc(module->functions, room * sizeof(*list));

		if (!list)
			return false;
		module->functions = list;
		module->room = room;
	}
	module->functions[module->count++] = function;
	return true;
}

CUresult
genie_exec_genieFunctionGet(struct genie_session *session, struct genie_args_genieFunctionGet *args)
{
	struct genie_object *object = NULL;
	struct module *module = NULL;
	CUfunction handle = NULL;
	CUresult status;

	status = module_find(session, args->module, &module);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuModuleGetFunction(&handle, module->handle, args->name);
	if (!module)
		return status;
	if (genie_object_bind(&session->objects, GENIE_KIND_FUNCTION, (uintptr_t)args->function,
			      handle, &object)) {
		genie_session_broken(session, "function token %p cannot be named",
				     (void *)args->function);
		return CUDA_ERROR_INVALID_HANDLE;
	}
	if (!module_note(module, object->token))
		return CUDA_ERROR_OUT_OF_MEMORY;
	object->status = status;
	object->ctx = module->ctx ? module->ctx->index : 0;
	/* A module that could not be loaded has been told already. */
	return module->handle ? status : CUDA_SUCCESS;
}

CUresult
genie_function_find(struct genie_session *session, CUfunction token, CUfunction *ret_handle)
{
	struct genie_object *object;

	object = genie_object_find(&session->objects, GENIE_KIND_FUNCTION, (uintptr_t)token);
	if (!object)
		return CUDA_ERROR_INVALID_HANDLE;
	*ret_handle = object->handle;
	return (CUresult)object->status;
}

/*
 * values[i] is attribute i of the function (0 where the driver does not know it), for every
 * attribute there is; values[CU_FUNC_ATTRIBUTE_MAX] is the number of its parameters, -1 if the
 * driver cannot tell.
 */
CUresult
genie_exec_genieFunctionInfo(struct genie_session *session,
			     struct genie_args_genieFunctionInfo *args)
{
	size_t params = 0;
	size_t offset, size;
	CUfunction handle = NULL;
	CUresult status;

	status = genie_function_find(session, args->function, &handle);
	if (status != CUDA_SUCCESS)
		return status;
	for (int i = 0; i < args->count && i < CU_FUNC_ATTRIBUTE_MAX; i++) {
		args->values[i] = 0;
		if (session->drv->cuFuncGetAttribute(&args->values[i], (CUfunction_attribute)i,
						     handle) != CUDA_SUCCESS)
			args->values[i] = 0;
	}
	if (args->count <= CU_FUNC_ATTRIBUTE_MAX)
		return CUDA_SUCCESS;
	do
		status = session->drv->cuFuncGetParamInfo(handle, params, &offset, &size);
	while (status == CUDA_SUCCESS && ++params < 4096);
	args->values[CU_FUNC_ATTRIBUTE_MAX] = status == CUDA_ERROR_NOT_SUPPORTED ? -1 : (int)params;
	return CUDA_SUCCESS;
}

CUresult
genie_exec_genieFunctionSet(struct genie_session *session, struct genie_args_genieFunctionSet *args)
{
	CUfunction handle = NULL;
	CUresult status;

	status = genie_function_find(session, args->function, &handle);
	if (status != CUDA_SUCCESS)
		return status;
	return session->drv->cuFuncSetAttribute(handle, (CUfunction_attribute)args->attribute,
						args->value);
}
