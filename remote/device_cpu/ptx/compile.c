/* Compiling functions at their first use, and what a launch must know of a kernel. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/ptx/body.h"
#include "remote/device_cpu/ptx/code.h"

/* Local memory per thread of kernels whose depth of calls is not known. */
enum { UNKNOWN_STACK = 128 << 10, MAX_CALL_DEPTH = 200 };

static struct ptx_code *
compile(struct ptx_function *function)
{
	jmp_buf failed;
	struct ptx_body body = {0};
	struct ptx_arena arena = {0};
	struct ptx_lexer lx = {
		.arena = &arena,
		.failed = &failed,
		.err = function->error,
		.err_size = sizeof(function->error),
	};

	if (setjmp(failed)) {
		ptx_body_fini(&body);
		ptx_arena_fini(&arena);
		return NULL;
	}
	ptx_body_parse(&lx, function, &body);
	struct ptx_code *code = ptx_lower(&lx, &body);

	ptx_body_fini(&body);
	ptx_arena_fini(&arena);
	return code;
}

const struct ptx_code *
ptx_function_code(struct ptx_function *function)
{
	int state = atomic_load_explicit(&function->state, memory_order_acquire);

	if (state == PTX_CODE_READY)
		return function->code;
	if (state == PTX_CODE_FAILED)
		return NULL;

	pthread_mutex_lock(&function->module->lock);
	if (function->state == PTX_CODE_NONE) {
		if (function->body)
			function->code = compile(function);
		else
			snprintf(function->error, sizeof(function->error),
				 "it is declared but not defined");
		/* pairs with the load above */
		atomic_store_explicit(&function->state,
				      function->code ? PTX_CODE_READY : PTX_CODE_FAILED,
				      memory_order_release);
	}
	pthread_mutex_unlock(&function->module->lock);
	return function->code;
}

/* Everything that a kernel can call without an address. */
struct reach {
	const struct ptx_code **codes;
	uint64_t *local; /* bytes below each, its own included; 0: being visited */
	uint32_t count, room;
	const struct ptx_variable **shared;
	uint32_t nshared, shared_room;
	int unknown; /* recursion, or calls of addresses */
	int failed;  /* out of memory */
};

static int
grow(void *list, uint32_t count, uint32_t *room, size_t size)
{
	void **array = list, *more;

	if (count < *room)
		return 0;
	more = realloc(*array, (*room ? *room * 2 : 16) * size);
	if (!more)
		return -1;
	*array = more;
	*room = *room ? *room * 2 : 16;
	return 0;
}

static void
add_shared(struct reach *r, const struct ptx_variable *var)
{
	for (uint32_t k = 0; k < r->nshared; k++)
		if (r->shared[k] == var)
			return;
	if (grow(&r->shared, r->nshared, &r->shared_room, sizeof(*r->shared))) {
		r->failed = 1;
		return;
	}
	r->shared[r->nshared++] = var;
}

static uint64_t
visit(struct reach *r, const struct ptx_code *code, int depth)
{
	uint64_t deepest = 0;

	for (uint32_t k = 0; k < r->count; k++) {
		if (r->codes[k] != code)
			continue;
		if (!r->local[k])
			r->unknown = 1; /* recursion */
		return r->local[k];
	}
	uint32_t room = r->room;

	if (depth > MAX_CALL_DEPTH || grow(&r->codes, r->count, &room, sizeof(*r->codes)) ||
	    grow(&r->local, r->count, &r->room, sizeof(*r->local))) {
		r->failed = 1;
		return 0;
	}
	uint32_t me = r->count++;

	r->codes[me] = code;
	r->local[me] = 0;
	r->unknown |= code->indirect;
	for (uint32_t k = 0; k < code->nshared; k++)
		add_shared(r, code->shared[k]);
	for (uint32_t k = 0; k < code->ncallees; k++) {
		const struct ptx_code *callee = ptx_function_code(code->callees[k]);
		uint64_t local = callee ? visit(r, callee, depth + 1) : 0;

		deepest = local > deepest ? local : deepest;
	}
	/* at least 1, so that it counts as visited */
	r->local[me] = code->local_size + deepest;
	if (!r->local[me])
		r->local[me] = 1;
	return r->local[me];
}

static int
compare_places(const void *a, const void *b)
{
	const struct ptx_shared_place *x = a, *y = b;

	return (uintptr_t)x->var < (uintptr_t)y->var ? -1 : (uintptr_t)x->var > (uintptr_t)y->var;
}

static uint32_t
align_up(uint32_t value, uint32_t align)
{
	return align ? (value + align - 1) & ~(align - 1) : value;
}

/* Variables with a size first; those without share the dynamic part behind them. */
static int
place_shared(struct ptx_kernel *kernel, const struct reach *r)
{
	uint32_t offset = 0, align = 16;

	kernel->shared = calloc(r->nshared + 1, sizeof(*kernel->shared));
	if (!kernel->shared)
		return -1;
	for (uint32_t k = 0; k < r->nshared; k++) {
		const struct ptx_variable *var = r->shared[k];

		kernel->shared[k].var = var;
		if (!var->size) {
			align = var->align > align ? var->align : align;
			continue;
		}
		offset = align_up(offset, var->align);
		kernel->shared[k].offset = offset;
		if (var->size > 1u << 30 || offset + var->size > 1u << 30)
			return -1;
		offset += (uint32_t)var->size;
	}
	kernel->static_shared = offset;
	for (uint32_t k = 0; k < r->nshared; k++)
		if (!r->shared[k]->size)
			kernel->shared[k].offset = align_up(offset, align);
	kernel->dynamic_offset = align_up(offset, align);
	kernel->nshared = r->nshared;
	qsort(kernel->shared, kernel->nshared, sizeof(*kernel->shared), compare_places);
	return 0;
}

static int
prepare_locked(struct ptx_kernel *kernel)
{
	struct ptx_function *function = kernel->function;
	struct reach r = {0};
	int status = PTX_OK;

	kernel->code = ptx_function_code(function);
	if (!kernel->code)
		return PTX_SYNTAX;

	uint64_t local = visit(&r, kernel->code, 0);

	/* A function that is called by its address may use any variable of the module. */
	for (size_t k = 0; r.unknown && k < function->module->nvariables; k++)
		if (function->module->variables[k]->space == PTX_SPACE_SHARED)
			add_shared(&r, function->module->variables[k]);
	if (r.unknown)
		local += UNKNOWN_STACK;
	if (r.failed || place_shared(kernel, &r))
		status = PTX_NOMEM;
	kernel->local_size = (uint32_t)((local + 15) & ~15ull);
	free(r.codes);
	free(r.local);
	free(r.shared);
	return status;
}

int
ptx_kernel_prepare(struct ptx_kernel *kernel)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards preparing kernels */
	int status = PTX_OK;

	/* pairs with the store below */
	if (atomic_load_explicit(&kernel->prepared, memory_order_acquire))
		return PTX_OK;
	pthread_mutex_lock(&lock);
	if (!kernel->prepared) {
		status = prepare_locked(kernel);
		if (status == PTX_OK)
			atomic_store_explicit(&kernel->prepared, 1, memory_order_release);
	}
	pthread_mutex_unlock(&lock);
	return status;
}

void
ptx_kernel_free(struct ptx_kernel *kernel)
{
	if (!kernel)
		return;
	free(kernel->shared);
	free(kernel);
}

struct ptx_kernel *
ptx_module_kernel(struct ptx_module *module, const char *name)
{
	const struct ptx_name *e = ptx_names_get(&module->names, name, strlen(name));

	if (!e || e->kind != PTX_NAME_FUNCTION)
		return NULL;

	struct ptx_function *function = ptx_function_target(e->value);

	if (!function->entry || !function->body)
		return NULL;
	pthread_mutex_lock(&module->lock);
	if (!function->kernel) {
		function->kernel = calloc(1, sizeof(*function->kernel));
		if (function->kernel)
			function->kernel->function = function;
	}
	pthread_mutex_unlock(&module->lock);
	return function->kernel;
}

int
ptx_kernel_info(struct ptx_kernel *kernel, struct ptx_kernel_info *ret_info)
{
	const struct ptx_function *function = kernel->function;
	const struct ptx_module *module = function->module;
	int status = ptx_kernel_prepare(kernel);

	*ret_info = (struct ptx_kernel_info){
		.name = function->name,
		.param_count = function->sig.nparams,
		.param_size = function->param_size,
		.max_threads = function->max_threads ? function->max_threads : 1024,
		.ptx_version = module->ptx_version,
		.target = module->target,
	};
	memcpy(ret_info->req_threads, function->req_threads, sizeof(ret_info->req_threads));
	memcpy(ret_info->cluster, function->cluster, sizeof(ret_info->cluster));
	if (status == PTX_OK) {
		ret_info->static_shared = kernel->static_shared;
		ret_info->local = kernel->local_size;
		ret_info->registers = kernel->code->registers;
	}
	for (size_t k = 0; k < module->nvariables; k++)
		if (module->variables[k]->space == PTX_SPACE_CONST)
			ret_info->constant += (uint32_t)module->variables[k]->size;
	return 0;
}

int
ptx_kernel_param(struct ptx_kernel *kernel, uint32_t i, uint32_t *ret_offset, uint32_t *ret_size)
{
	const struct ptx_signature *sig = &kernel->function->sig;

	if (i >= sig->nparams)
		return -1;
	*ret_offset = (uint32_t)sig->params[i].offset;
	*ret_size = (uint32_t)sig->params[i].size;
	return 0;
}
