#include "remote/device_cpu/ptx/module.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/ptx/code.h"
#include "remote/device_cpu/ptx/declare.h"
#include "remote/device_cpu/ptx/heap.h"
#include "remote/device_cpu/ptx/lexer.h"

/*
 * What a function's name is worth in a program: a tag no address has, the module's serial number,
 * the function's index.
 */
static const uint64_t function_tag = 0x00f0000000000000ull;
enum { SERIAL_SHIFT = 32, INDEX_SHIFT = 4, MAX_FUNCTIONS = 1 << 24 };

static _Atomic uint32_t next_serial = 1;

uint64_t
ptx_function_address(const struct ptx_function *function)
{
	return function_tag | (uint64_t)(function->module->serial & 0xffff) << SERIAL_SHIFT |
	       (uint64_t)function->index << INDEX_SHIFT;
}

struct ptx_function *
ptx_module_function_at(const struct ptx_module *module, uint64_t value)
{
	uint64_t index = (value & 0xffffffff) >> INDEX_SHIFT;

	if (index >= module->nfunctions || ptx_function_address(module->functions[index]) != value)
		return NULL;
	return module->functions[index];
}

struct ptx_function *
ptx_function_target(struct ptx_function *function)
{
	/* An alias of an alias of itself must end. */
	for (int i = 0; i < 8 && function->alias; i++)
		function = function->alias;
	return function;
}

/* Grows the arrays of pointers that a module holds by doubling. */
static void
append(struct ptx_lexer *lx, void *list, size_t count, void *item)
{
	void ***array = list;

	if ((count & (count - 1)) == 0) {
		void **more = realloc(*array, (count ? count * 2 : 1) * sizeof(void *));

		if (!more) {
			lx->no_memory = 1;
			ptx_lexer_fail(lx, "out of memory");
		}
		*array = more;
	}
	(*array)[count] = item;
}

static void
put_name(struct ptx_lexer *lx, struct ptx_module *module, const char *name, int kind, void *value)
{
	if (ptx_names_put(&module->names, name, kind, value)) {
		lx->no_memory = 1;
		ptx_lexer_fail(lx, "out of memory");
	}
}

static void
read_variables(struct ptx_lexer *lx, struct ptx_module *module, enum ptx_space space, int external)
{
	struct ptx_declaration decl = {.space = space};

	ptx_declare_prefix(lx, &decl);
	do {
		struct ptx_variable *var = ptx_lexer_alloc(lx, sizeof(*var));
		int no_size;

		ptx_declare_name(lx, &decl, var);
		var->external = external;
		no_size = var->size == 0;
		if (ptx_lexer_accept(lx, '=')) {
			ptx_lexer_space(lx);
			var->init = lx->p;
			var->init_line = lx->line;
			uint64_t count = ptx_initialiser_count(lx);

			if (no_size)
				var->size = count * ptx_type_size(var->type);
		}

		const struct ptx_name *known =
			ptx_names_get(&module->names, var->name, strlen(var->name));

		/* A definition replaces a declaration, not the other way round. */
		if (known && known->kind == PTX_NAME_VARIABLE && external)
			continue;
		append(lx, &module->variables, module->nvariables, var);
		module->nvariables++;
		put_name(lx, module, var->name, PTX_NAME_VARIABLE, var);
	} while (ptx_lexer_accept(lx, ','));
	ptx_lexer_expect(lx, ';');
}

/* The functions of the device's runtime, under the names that compilers have given them. */
static enum ptx_builtin
find_runtime(struct ptx_word name)
{
	static const struct {
		const char *name;
		enum ptx_builtin builtin;
	} functions[] = {
		{"GetParameterBufferV2", PTX_BUILTIN_LAUNCH_BUFFER},
		{"LaunchDeviceV2", PTX_BUILTIN_LAUNCH},
		{"StreamCreateWithFlags", PTX_BUILTIN_MAKE_HANDLE},
		{"EventCreateWithFlags", PTX_BUILTIN_MAKE_HANDLE},
		{"StreamDestroy", PTX_BUILTIN_SUCCESS},
		{"EventDestroy", PTX_BUILTIN_SUCCESS},
		{"EventRecord", PTX_BUILTIN_SUCCESS},
		{"EventRecordWithFlags", PTX_BUILTIN_SUCCESS},
		{"StreamWaitEvent", PTX_BUILTIN_SUCCESS},
		{"GraphLaunch", PTX_BUILTIN_GRAPH_LAUNCH},
		{"GetLastError", PTX_BUILTIN_SUCCESS},
		{"PeekAtLastError", PTX_BUILTIN_SUCCESS},
	};
	static const char *const prefixes[] = {"__cudaCDP2", "cuda"};

	for (size_t p = 0; p < sizeof(prefixes) / sizeof(prefixes[0]); p++) {
		struct ptx_word rest = name;
		size_t len = strlen(prefixes[p]);

		if (name.len <= len || memcmp(name.text, prefixes[p], len) != 0)
			continue;
		rest.text += len;
		rest.len -= len;
		for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
			if (ptx_word_is(rest, functions[i].name))
				return functions[i].builtin;
	}
	return PTX_BUILTIN_NONE;
}

static enum ptx_builtin
find_builtin(struct ptx_word name)
{
	if (ptx_word_is(name, "vprintf"))
		return PTX_BUILTIN_VPRINTF;
	if (ptx_word_is(name, "__assertfail"))
		return PTX_BUILTIN_ASSERTFAIL;
	if (ptx_word_is(name, "malloc"))
		return PTX_BUILTIN_MALLOC;
	if (ptx_word_is(name, "free"))
		return PTX_BUILTIN_FREE;
	if (ptx_word_is(name, "cudaGraphSetConditional"))
		return PTX_BUILTIN_SET_CONDITION;
	return find_runtime(name);
}

static struct ptx_function *
get_function(struct ptx_lexer *lx, struct ptx_module *module, struct ptx_word word)
{
	const struct ptx_name *known = ptx_names_get(&module->names, word.text, word.len);

	if (known && known->kind == PTX_NAME_FUNCTION)
		return known->value;
	if (module->nfunctions >= MAX_FUNCTIONS)
		ptx_lexer_fail(lx, "too many functions");

	struct ptx_function *function = ptx_lexer_alloc(lx, sizeof(*function));

	function->module = module;
	function->name = ptx_lexer_string(lx, word);
	function->index = (uint32_t)module->nfunctions;
	append(lx, &module->functions, module->nfunctions, function);
	module->nfunctions++;
	put_name(lx, module, function->name, PTX_NAME_FUNCTION, function);
	return function;
}

static void
read_dimensions(struct ptx_lexer *lx, uint32_t dim[3])
{
	for (int i = 0; i < 3; i++) {
		dim[i] = 1;
		if (i == 0 || ptx_lexer_accept(lx, ','))
			dim[i] = (uint32_t)ptx_lexer_constant(lx).bits;
	}
}

/* ".maxntid 256, 1, 1" and its like, between a function's header and its body. */
static void
read_performance_directive(struct ptx_lexer *lx, struct ptx_function *function)
{
	struct ptx_word word = ptx_lexer_directive(lx);
	uint32_t dim[3];

	if (ptx_word_is(word, ".maxntid")) {
		read_dimensions(lx, dim);
		uint64_t n = (uint64_t)dim[0] * dim[1] * dim[2];

		if (n && n < 1024)
			function->max_threads = (uint32_t)n;
	} else if (ptx_word_is(word, ".reqntid")) {
		read_dimensions(lx, function->req_threads);
	} else if (ptx_word_is(word, ".reqnctapercluster")) {
		read_dimensions(lx, function->cluster);
	} else if (ptx_word_is(word, ".minnctapersm") || ptx_word_is(word, ".maxnctapersm") ||
		   ptx_word_is(word, ".maxnreg") || ptx_word_is(word, ".maxclusterrank") ||
		   ptx_word_is(word, ".abi_preserve") ||
		   ptx_word_is(word, ".abi_preserve_control")) {
		ptx_lexer_constant(lx);
	} else if (ptx_word_is(word, ".pragma")) {
		ptx_lexer_skip_to(lx, ';');
	} else if (!ptx_word_is(word, ".noreturn") && !ptx_word_is(word, ".explicitcluster") &&
		   !ptx_word_is(word, ".blocksareclusters")) {
		ptx_lexer_fail(lx, "\"%.*s\" before a function's body", (int)word.len, word.text);
	}
}

static void
read_function(struct ptx_lexer *lx, struct ptx_module *module, int entry)
{
	struct ptx_signature sig = {0};

	if (ptx_lexer_peek(lx) == '.') /* .attribute(...) */
		ptx_lexer_skip_to(lx, ')');
	if (!entry && ptx_lexer_peek(lx) == '(')
		ptx_declare_params(lx, &sig.rets, &sig.nrets);

	struct ptx_word name = ptx_lexer_name(lx);
	struct ptx_function *function = get_function(lx, module, name);

	if (ptx_lexer_peek(lx) == '(')
		ptx_declare_params(lx, &sig.params, &sig.nparams);
	if (function->body) {
		/* Declared again after its definition, or defined twice: the first stays. */
		while (ptx_lexer_peek(lx) == '.')
			read_performance_directive(lx, &(struct ptx_function){0});
		if (ptx_lexer_accept(lx, '{'))
			ptx_lexer_skip_braces(lx);
		else
			ptx_lexer_accept(lx, ';');
		return;
	}
	function->sig = sig;
	function->entry = entry;
	while (ptx_lexer_peek(lx) == '.')
		read_performance_directive(lx, function);

	uint64_t size = ptx_declare_layout(sig.params, sig.nparams);

	if (size > UINT16_MAX * 16u)
		ptx_lexer_fail(lx, "the parameters of %s are too large", function->name);
	function->param_size = (uint32_t)size;
	for (uint32_t i = 0; entry && i < sig.nparams; i++)
		sig.params[i].kernel_param = 1;

	if (ptx_lexer_accept(lx, '{')) {
		function->body = lx->p;
		function->line = lx->line;
		ptx_lexer_skip_braces(lx);
		function->body_end = lx->p - 1;
		if (entry) {
			append(lx, &module->kernels, module->nkernels, function);
			module->nkernels++;
		}
	} else {
		ptx_lexer_expect(lx, ';');
		function->builtin = find_builtin(name);
	}
}

static void
read_alias(struct ptx_lexer *lx, struct ptx_module *module)
{
	struct ptx_function *alias = get_function(lx, module, ptx_lexer_name(lx));

	ptx_lexer_expect(lx, ',');
	struct ptx_function *target = get_function(lx, module, ptx_lexer_name(lx));

	ptx_lexer_expect(lx, ';');
	if (alias != target)
		alias->alias = target;
}

static void
read_target(struct ptx_lexer *lx, struct ptx_module *module)
{
	do {
		struct ptx_word word = ptx_lexer_name(lx);

		if (word.len > 3 && !memcmp(word.text, "sm_", 3) && !module->target)
			module->target = (uint32_t)strtoul(word.text + 3, NULL, 10);
	} while (ptx_lexer_accept(lx, ','));
}

static void
read_version(struct ptx_lexer *lx, struct ptx_module *module)
{
	uint32_t major = 0, minor = 0;

	ptx_lexer_space(lx);
	while (*lx->p >= '0' && *lx->p <= '9' && major < 1000)
		major = major * 10 + (*lx->p++ - '0');
	if (*lx->p == '.')
		lx->p++;
	while (*lx->p >= '0' && *lx->p <= '9' && minor < 1000)
		minor = minor * 10 + (*lx->p++ - '0');
	if (!major)
		ptx_lexer_fail(lx, "a bad .version");
	module->ptx_version = major * 10 + minor;
}

static void
read_module(struct ptx_lexer *lx, struct ptx_module *module)
{
	int external = 0;

	while (!ptx_lexer_at_end(lx)) {
		struct ptx_word word = ptx_lexer_directive(lx);
		enum ptx_space space;

		if (ptx_lexer_accept(lx, ';'))
			continue;
		if (!module->ptx_version && !ptx_word_is(word, ".version"))
			ptx_lexer_fail(lx, "this is not PTX: it does not begin with .version");
		if (ptx_word_is(word, ".extern")) {
			external = 1;
			continue;
		}
		if (ptx_word_is(word, ".visible") || ptx_word_is(word, ".weak") ||
		    ptx_word_is(word, ".common"))
			continue;

		if (ptx_word_is(word, ".version")) {
			read_version(lx, module);
		} else if (ptx_word_is(word, ".target")) {
			read_target(lx, module);
		} else if (ptx_word_is(word, ".address_size")) {
			if (ptx_lexer_number(lx).bits != 64)
				ptx_lexer_fail(lx, "only 64-bit PTX is supported");
		} else if (ptx_word_is(word, ".entry")) {
			read_function(lx, module, 1);
		} else if (ptx_word_is(word, ".func")) {
			read_function(lx, module, 0);
		} else if (ptx_word_is(word, ".alias")) {
			read_alias(lx, module);
		} else if (ptx_word_is(word, ".file") || ptx_word_is(word, ".loc")) {
			ptx_lexer_skip_line(lx);
		} else if (ptx_word_is(word, ".section")) {
			ptx_lexer_skip_to(lx, '{');
			ptx_lexer_skip_braces(lx);
		} else if (ptx_word_is(word, ".pragma")) {
			ptx_lexer_skip_to(lx, ';');
		} else if (ptx_space_find(word, &space) && space != PTX_SPACE_REG &&
			   space != PTX_SPACE_LOCAL && space != PTX_SPACE_PARAM) {
			read_variables(lx, module, space, external);
		} else if (word.len) {
			ptx_lexer_fail(lx, "unknown directive \"%.*s\"", (int)word.len, word.text);
		} else {
			ptx_lexer_fail(lx, "a directive should be here");
		}
		external = 0;
	}
	if (!module->ptx_version)
		ptx_lexer_fail(lx, "this is not PTX: it does not begin with .version");
}

static int
has_memory(const struct ptx_variable *var)
{
	return var->space == PTX_SPACE_GLOBAL || var->space == PTX_SPACE_CONST;
}

static void
place_variables(struct ptx_lexer *lx, struct ptx_module *module)
{
	uint64_t size = 0;

	for (size_t i = 0; i < module->nvariables; i++) {
		struct ptx_variable *var = module->variables[i];
		uint64_t align = var->align > 256 ? var->align : 256;

		if (!has_memory(var))
			continue;
		size = (size + align - 1) & ~(align - 1);
		var->offset = size;
		size += var->size;
		if (size > 1ull << 40)
			ptx_lexer_fail(lx, "the variables are too large");
	}
	if (!size)
		return;
	module->data = module->memory.alloc(module->memory.data, size);
	if (!module->data) {
		lx->no_memory = 1;
		ptx_lexer_fail(lx, "no memory for %llu bytes of variables",
			       (unsigned long long)size);
	}
	module->data_size = size;
	for (size_t i = 0; i < module->nvariables; i++)
		if (has_memory(module->variables[i]))
			module->variables[i]->data = module->data + module->variables[i]->offset;
	for (size_t i = 0; i < module->nvariables; i++)
		if (module->variables[i]->data && module->variables[i]->init)
			ptx_initialiser_write(lx, module, module->variables[i]);
}

enum ptx_status
ptx_module_load(const char *text, size_t len, const struct ptx_memory *memory,
		struct ptx_module **ret_module, char *err, size_t err_size)
{
	jmp_buf failed;
	struct ptx_module *module = calloc(1, sizeof(*module));

	if (!module)
		return PTX_NOMEM;
	module->memory = *memory;
	module->serial = atomic_fetch_add_explicit(&next_serial, 1, memory_order_relaxed);
	pthread_mutex_init(&module->lock, NULL);
	/* Some producers count the NUL that ends the text. */
	while (len && !text[len - 1])
		len--;
	const char *prelude = ptx_prelude(text, len);
	size_t prelude_len = strlen(prelude);

	module->text = malloc(len + prelude_len + 1);
	if (!module->text) {
		ptx_module_unload(module);
		return PTX_NOMEM;
	}
	memcpy(module->text, text, len);
	memcpy(module->text + len, prelude, prelude_len + 1);
	len += prelude_len;
	module->len = len;

	struct ptx_lexer lx = {
		.p = module->text,
		.end = module->text + len,
		.line = 1,
		.arena = &module->arena,
		.failed = &failed,
		.err = err,
		.err_size = err_size,
	};

	if (setjmp(failed)) {
		ptx_module_unload(module);
		return lx.no_memory ? PTX_NOMEM : PTX_SYNTAX;
	}
	read_module(&lx, module);
	place_variables(&lx, module);
	*ret_module = module;
	return PTX_OK;
}

void
ptx_module_unload(struct ptx_module *module)
{
	if (!module)
		return;
	for (size_t i = 0; i < module->nfunctions; i++) {
		ptx_code_free(module->functions[i]->code);
		ptx_kernel_free(module->functions[i]->kernel);
	}
	ptx_heap_forget(module);
	if (module->data)
		module->memory.release(module->memory.data, module->data, module->data_size);
	pthread_mutex_destroy(&module->lock);
	ptx_names_fini(&module->names);
	ptx_arena_fini(&module->arena);
	free(module->variables);
	free(module->functions);
	free(module->kernels);
	free(module->text);
	free(module);
}

const char *
ptx_module_kernel_name(const struct ptx_module *module, size_t i)
{
	return i < module->nkernels ? module->kernels[i]->name : NULL;
}

int
ptx_module_global(const struct ptx_module *module, const char *name, uint64_t *ret_addr,
		  size_t *ret_size)
{
	const struct ptx_name *e = ptx_names_get(&module->names, name, strlen(name));

	if (!e || e->kind != PTX_NAME_VARIABLE)
		return -1;
	const struct ptx_variable *var = e->value;

	if (!var->data)
		return -1;
	*ret_addr = (uintptr_t)var->data;
	*ret_size = var->size;
	return 0;
}

uint64_t *
ptx_module_reference(const struct ptx_module *module, const char *name, int surface)
{
	const struct ptx_name *e = ptx_names_get(&module->names, name, strlen(name));
	const struct ptx_variable *var;

	if (!e || e->kind != PTX_NAME_VARIABLE)
		return NULL;
	var = e->value;
	if (!var->data || var->size != 8 || var->type != (surface ? PTX_T_SURFREF : PTX_T_TEXREF))
		return NULL;
	return (uint64_t *)(void *)var->data;
}

int
ptx_module_managed(const struct ptx_module *module, uint64_t addr)
{
	for (size_t i = 0; i < module->nvariables; i++) {
		const struct ptx_variable *var = module->variables[i];

		if (var->managed && var->data && addr - (uintptr_t)var->data < var->size)
			return 1;
	}
	return 0;
}
