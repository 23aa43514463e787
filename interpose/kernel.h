/*
 * Modules, libraries and kernels: what module.c, library.c, kernel.c, function.c, launch.c and
 * occupancy.c share.
 *
 *   library   code without a context; exists in the client only
 *   module    code loaded in one context; the worker knows it by its token once it is loaded
 *   kernel    a __global__ function of a library, without a context
 *   function  a __global__ function in one module
 *
 * A library has one module for each context in which one of its kernels was used. Modules and
 * functions are announced to the worker at first use (genie_function_load()); when their context
 * ends they are only marked, and announced again if it comes back.
 *
 * Locks, in the order in which they are taken: library, module, code.
 */
#ifndef GENIE_INTERPOSE_KERNEL_H
#define GENIE_INTERPOSE_KERNEL_H

#include "interpose/code.h"

#define GENIE_FUNCTION_ATTRS CU_FUNC_ATTRIBUTE_MAX

/* The attributes of a kernel on one device, or of a function. Read without a lock. */
struct genie_attrs {
	struct genie_attrs *next; /* of the same kernel, for another device; set once */
	int device;
	_Atomic bool known;   /* all values are valid; release after writing them */
	_Atomic uint32_t set; /* bit n: the program set attribute n */
	_Atomic int values[GENIE_FUNCTION_ATTRS];
};

struct genie_global {
	struct genie_global *next;
	CUdeviceptr addr;
	size_t size;
	char name[];
};

struct genie_module {
	struct genie_object object;
	struct genie_code *code;
	struct genie_library *library; /* NULL: made by cuModuleLoad… */
	struct genie_module *next;     /* of the same library */
	pthread_mutex_t lock;          /* guards what follows, and the loading of functions */
	bool loaded;                   /* the worker knows it */
	struct genie_function *functions;
	struct genie_global *globals;
	struct genie_texref *references; /* texref.c */
};

struct genie_library {
	struct genie_object object;
	struct genie_code *code;
	struct genie_jit *jit; /* numbers for the compiler; NULL: none were given */
	pthread_mutex_t lock;  /* guards what follows */
	struct genie_module *modules;
	struct genie_kernel *
		*kernels; /* parallel to the code's table; NULL entries: not made yet */
	CUresult failed;  /* why its text could not be compiled, or CUDA_SUCCESS */
};

struct genie_kernel {
	struct genie_object object;
	struct genie_library *library;
	const struct genie_kernel_desc *desc;       /* in the code's table */
	_Atomic(struct genie_function *) functions; /* one for each context; only ever grows */
	_Atomic(struct genie_attrs *) attrs;        /* one for each device; only ever grows */
};

struct genie_function {
	struct genie_object object;
	struct genie_module *module;
	struct genie_kernel *kernel; /* NULL: of a module that is not a library's */
	const struct genie_kernel_desc *desc;
	struct genie_attrs *attrs;      /* the kernel's for this device, or its own */
	_Atomic bool ready;             /* the worker knows it: everything up to here was sent */
	struct genie_function *next;    /* of the same kernel */
	struct genie_function *sibling; /* of the same module; guarded by the module's lock */
	struct genie_old_launch *old;   /* launch_old.c */
};

/* module.c */
/* A module object for @code (whose reference it takes over), not loaded yet. */
struct genie_module *genie_module_new(struct genie_ctx *ctx, struct genie_code *code,
				      struct genie_library *library);
/* Tells the worker and frees it with its functions. NULL is fine. */
void genie_module_free(struct genie_module *module);
/* The function @name of a module, made if needed. */
CUresult genie_module_function(struct genie_module *module, const char *name,
			       struct genie_function **ret_function);
/* Makes sure that the worker has it. @what: for the message when no code fits. */
CUresult genie_module_load_locked(struct genie_module *module, const char *what);
/* Address and size of a variable; either may be NULL. */
CUresult genie_module_global(struct genie_module *module, const char *name, CUdeviceptr *ret_addr,
			     size_t *ret_size);

struct genie_jit;
/* Loads @module with options and waits for it; the answers go where @jit says. */
CUresult genie_module_compile(struct genie_module *module, const struct genie_jit *jit);
/* The same of an image that is not kept: whether the device's compiler takes it. */
CUresult genie_module_try(struct genie_ctx *ctx, const void *image, size_t size,
			  const struct genie_jit *jit);

/* texref.c: the texture and surface references of a module that goes, or whose context does. */
void genie_texref_free_module(struct genie_module *module);
void genie_texref_forget_locked(struct genie_module *module);

/* library.c */
/* The module of a library in a context, made if needed. NULL: out of memory. */
struct genie_module *genie_library_module(struct genie_library *library, struct genie_ctx *ctx);
/* The kernel of a library that @desc describes, made if needed. */
CUresult genie_library_kernel(struct genie_library *library, const struct genie_kernel_desc *desc,
			      struct genie_kernel **ret_kernel);

/* kernel.c */
/* The function of a kernel in a context, made if needed; not loaded. NULL: out of memory. */
struct genie_function *genie_kernel_function(struct genie_kernel *kernel, struct genie_ctx *ctx);
void genie_kernel_free(struct genie_kernel *kernel); /* NULL is fine */
/* The attributes of a kernel on a device, made if needed. NULL: out of memory. */
struct genie_attrs *genie_kernel_attrs(struct genie_kernel *kernel, int device);

/* function.c */
/* A function object of @module, linked into it. The module's lock is held. */
struct genie_function *genie_function_new_locked(struct genie_module *module,
						 struct genie_kernel *kernel,
						 const struct genie_kernel_desc *desc,
						 struct genie_attrs *attrs);
/* Announces it, its module and the attributes the program set to the worker, once. */
CUresult genie_function_load(struct genie_function *function);
/* The attribute as the program sees it; asks the worker once for all. */
CUresult genie_function_attribute(struct genie_function *function, int attribute, int *ret_value);
/* Checks and remembers a value the program sets. CUDA_ERROR_INVALID_VALUE. */
CUresult genie_attrs_set(struct genie_attrs *attrs, int attribute, int value);
/* Sends it for a function that the worker knows already. */
CUresult genie_function_send_attribute(struct genie_function *function, int attribute, int value);
/* Parameter @index of a kernel. */
CUresult genie_kernel_param(const struct genie_kernel_desc *desc, size_t index, size_t *ret_offset,
			    size_t *ret_size);

/* occupancy.c: how many blocks of @block_size threads fit a multiprocessor. Asked once. */
CUresult genie_occupancy_blocks(const struct genie_function *function, int block_size,
				size_t shared, unsigned int flags, int *ret_blocks);

/* genie_function_get() for a function that is ready already, and the common case of it. */
static inline struct genie_function *
genie_function_find(uint64_t token, const struct genie_ctx *ctx)
{
	struct genie_function *function;
	struct genie_kernel *kernel;

	if (genie_token_kind(token) == GENIE_KIND_FUNCTION)
		return genie_object_get(GENIE_KIND_FUNCTION, token);
	kernel = genie_object_get(GENIE_KIND_KERNEL, token);
	if (kernel == NULL)
		return NULL;
	/* acquire: pairs with the release in genie_kernel_function() */
	function = atomic_load_explicit(&kernel->functions, memory_order_acquire);
	while (function != NULL && function->object.ctx != ctx)
		function = function->next;
	return function;
}

#endif
