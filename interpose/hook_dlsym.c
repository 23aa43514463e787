/*
 * dlsym(): programs that load CUDA's libraries themselves (CuPy, Numba, JAX, cuda-python…) ask the
 * loader for one function of one library, and would never see a hook. For the names that we hook
 * they get ours; every other question goes on to the C library by a jump, not by a call, so that
 * the loader still sees who asked: RTLD_NEXT depends on that. dlopen() is not hooked.
 *
 * This is called before constructors and by the runtimes of sanitizers: what an ordinary name runs
 * through calls nothing and is not instrumented.
 *
 * Only in libgenie.so, not in the static library that tests link.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "interpose/hook.h"

void *genie_dlsym_find(void *handle, const char *name, const void *caller)
	__attribute__((visibility("hidden"), used));

static bool
is_own(void *function)
{
	Dl_info ours, theirs;

	return dladdr(function, &theirs) && dladdr((void *)is_own, &ours) &&
	       ours.dli_fbase == theirs.dli_fbase;
}

/* What libgenie.so itself exports under @name; NULL: nothing. */
static void *
own_find(const char *name)
{
	void *self = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD), *found;

	if (!self)
		return NULL;
	found = genie_dlsym()(self, name);
	dlclose(self);
	return found && is_own(found) ? found : NULL;
}

/* @name begins like one of ours: what the caller gets instead of it, or NULL. */
__attribute__((noinline, cold)) static void *
hook_find(void *handle, const char *name, const void *caller)
{
	int saved_errno = errno;
	void *theirs = genie_dlsym()(handle, name), *found;

	/* A library that does not have it is asked again, and sets dlerror(). */
	if (!theirs)
		found = NULL;
	else if (is_own(theirs))
		found = genie_hook_future(name, caller);
	else if (name[0] == 'c')
		found = own_find(name);
	else if (name[0] == 'n' && name[2] == 'r')
		found = genie_hook_nvrtc(handle, name);
	else
		found = genie_hook_jitlink(handle, name);
	errno = saved_errno;
	return found;
}

__attribute__((no_sanitize("address", "thread", "undefined"))) static bool
begins(const char *name, const char *prefix)
{
	while (*prefix)
		if (*name++ != *prefix++)
			return false;
	return true;
}

__attribute__((no_sanitize("address", "thread", "undefined"))) void *
genie_dlsym_find(void *handle, const char *name, const void *caller)
{
	if (!atomic_load_explicit(&genie_dlsym_real, memory_order_relaxed))
		genie_dlsym();
	if (!name || handle == RTLD_NEXT)
		return NULL;
	if (begins(name, "nvrtcGetCUBIN") || begins(name, "nvJitLink") ||
	    begins(name, "__nvJitLink") || begins(name, "cublas") ||
	    begins(name, "cuDeviceGetAttribute"))
		return hook_find(handle, name, caller);
	return NULL;
}

#if defined(__x86_64__)

/* Two pushes and eight bytes: the stack is aligned at the call, and the arguments are back at the
 * jump. Above the pushes lies where the caller goes on. */
__asm__(".pushsection .text\n"
	".globl dlsym\n"
	".type dlsym, @function\n"
	"dlsym:\n"
	"	.cfi_startproc\n"
	"	endbr64\n"
	"	push %rdi\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	push %rsi\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	mov 16(%rsp), %rdx\n"
	"	sub $8, %rsp\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	call genie_dlsym_find\n"
	"	add $8, %rsp\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %rsi\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %rdi\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	test %rax, %rax\n"
	"	jnz 1f\n"
	"	jmp *genie_dlsym_real(%rip)\n"
	"1:	ret\n"
	"	.cfi_endproc\n"
	".size dlsym, .-dlsym\n"
	".popsection\n");

#else

/* Elsewhere the compiler's own jump. */
__attribute__((visibility("default"), optimize("O2"))) void *
dlsym(void *handle, const char *name)
{
	void *found = genie_dlsym_find(handle, name, __builtin_return_address(0));

	return found ? found
		     : atomic_load_explicit(&genie_dlsym_real, memory_order_relaxed)(handle, name);
}

#endif
