/*
 * A PTX module: its variables, and its functions by the place of their text. A function's body is
 * parsed and lowered at its first use.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_MODULE_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_MODULE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "remote/device_cpu/ptx.h"
#include "remote/device_cpu/ptx/arena.h"
#include "remote/device_cpu/ptx/names.h"
#include "remote/device_cpu/ptx/type.h"

struct ptx_code;
struct ptx_module;

/* A variable of a module (.global, .const, .shared) or of a function (.shared, .local, .param). */
struct ptx_variable {
	const char *name;
	enum ptx_space space;
	enum ptx_type type; /* of an element */
	uint32_t align;
	uint64_t size; /* 0: an array without a size (.extern .shared) */
	int external;  /* declared, perhaps not defined */
	int managed;   /* the host may use it by its address */
	uint8_t *data; /* .global, .const: its memory */
	/* .local, .param: offset in the function's part of local memory;
	 * a kernel's .param: offset in the parameter buffer. */
	uint64_t offset;
	int kernel_param;
	/* A function's .reg parameter: the virtual register. */
	uint32_t reg;
	/* Initialiser: text of it, parsed when all names are known. */
	const char *init;
	uint32_t init_line;
};

/* The functions that the machine itself supplies. */
enum ptx_builtin {
	PTX_BUILTIN_NONE,
	PTX_BUILTIN_VPRINTF,
	PTX_BUILTIN_ASSERTFAIL,
	PTX_BUILTIN_MALLOC,
	PTX_BUILTIN_FREE,
	/* The device's runtime: kernels that launch kernels. */
	PTX_BUILTIN_LAUNCH_BUFFER,
	PTX_BUILTIN_LAUNCH,
	PTX_BUILTIN_MAKE_HANDLE, /* of a stream or an event: everything is in order anyway */
	PTX_BUILTIN_SUCCESS,
	PTX_BUILTIN_SET_CONDITION,
	PTX_BUILTIN_GRAPH_LAUNCH,
};

enum ptx_code_state {
	PTX_CODE_NONE, /* not compiled yet */
	PTX_CODE_READY,
	PTX_CODE_FAILED, /* error says why */
};

/* Formal parameters and return values of a function. */
struct ptx_signature {
	struct ptx_variable *params, *rets;
	uint32_t nparams, nrets;
};

struct ptx_function {
	struct ptx_module *module;
	const char *name;
	uint32_t index; /* in module->functions */
	int entry;
	enum ptx_builtin builtin;
	struct ptx_function *alias; /* NULL: this one itself */
	struct ptx_signature sig;
	uint32_t param_size; /* of a kernel's parameter buffer */

	const char *body; /* text after "{"; NULL: declared only */
	const char *body_end;
	const char *header; /* text of the parameter list, for functions parsed again */
	uint32_t line;      /* of the body's first character */

	uint32_t max_threads, req_threads[3], cluster[3];

	/* Guarded by module->lock until state says READY or FAILED (store-release). */
	_Atomic int state;
	struct ptx_code *code;
	char error[192];

	/* Kernels: what a launch needs, found by ptx_kernel_prepare. */
	struct ptx_kernel *kernel;
};

struct ptx_module {
	char *text; /* our copy */
	size_t len;
	struct ptx_memory memory;
	struct ptx_arena arena; /* variables, functions, names; guarded by lock after loading */
	struct ptx_names names; /* read-only after loading */

	struct ptx_variable **variables;
	size_t nvariables;
	struct ptx_function **functions;
	size_t nfunctions;
	struct ptx_function **kernels; /* the functions that are entries, in text order */
	size_t nkernels;

	uint8_t *data; /* all .global and .const variables */
	uint64_t data_size;

	uint32_t ptx_version, target;
	uint32_t serial;      /* tells the function addresses of modules apart */
	pthread_mutex_t lock; /* guards compiling: functions' code, the arena */
};

enum { PTX_NAME_VARIABLE, PTX_NAME_FUNCTION };

/* The function that @value, an address a program calls, stands for; NULL: none. */
struct ptx_function *ptx_module_function_at(const struct ptx_module *module, uint64_t value);

/* The value of a function's name in a program. */
uint64_t ptx_function_address(const struct ptx_function *function);

/* Follows aliases. */
struct ptx_function *ptx_function_target(struct ptx_function *function);

/*
 * Compiles a body at its first use. NULL: it cannot be compiled, function->error says why.
 * Thread-safe. The code belongs to the module.
 */
const struct ptx_code *ptx_function_code(struct ptx_function *function);

/* Functions in PTX that the machine adds to a module that names them; "" for most. */
const char *ptx_prelude(const char *module, size_t len);

#endif
