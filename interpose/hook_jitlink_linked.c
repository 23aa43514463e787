/*
 * nvJitLink for those that are linked with it (cuSPARSE, CCCL's cuda.compute): being preloaded, we
 * are found before it. hook_jitlink.c has the hooks; here are their names. Headers call a function
 * by its own name or by that of its release; a program that is linked with one nvJitLink of a
 * release has no other of it.
 *
 * Only in libgenie.so, not in the static library that tests link.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "interpose/hook.h"

#define EXPORT __attribute__((visibility("default")))

#define NVJITLINK_ERROR_INTERNAL 6

typedef int jitlink_result_t;
typedef void *jitlink_handle_t;

/* The hook of the one nvJitLink that has @name, or the function itself, remembered in *@cache.
 * NULL: none is loaded. @sonames ends with NULL. */
static void *
linked_find(const char *const *sonames, const char *name, void *_Atomic *cache)
{
	void *found = atomic_load_explicit(cache, memory_order_relaxed), *library;
	int saved_errno = errno;

	for (; *sonames && !found; sonames++) {
		library = dlopen(*sonames, RTLD_LAZY | RTLD_NOLOAD);
		if (!library)
			continue;
		found = genie_dlsym()(library, name);
		if (found) {
			void *hook = genie_hook_jitlink(library, name);

			found = hook ? hook : found;
		}
		dlclose(library); /* only the count of NOLOAD: the caller is linked with it */
	}
	/* every thread writes the same */
	if (found)
		atomic_store_explicit(cache, found, memory_order_relaxed);
	errno = saved_errno;
	return found;
}

/* Newest first, as hook.c does. */
static const char *const any_release[] = {"libnvJitLink.so.13", "libnvJitLink.so.12", NULL};
static const char *const release_12[] = {"libnvJitLink.so.12", NULL};
static const char *const release_13[] = {"libnvJitLink.so.13", NULL};

/* One function; @parameters with their types, @arguments without. */
#define DEFINE(exported, sonames, parameters, arguments)                                           \
	EXPORT jitlink_result_t exported parameters;                                               \
	jitlink_result_t exported parameters                                                       \
	{                                                                                          \
		static void *_Atomic cache;                                                        \
		jitlink_result_t(*function) parameters =                                           \
			(jitlink_result_t(*) parameters)linked_find(sonames, #exported, &cache);   \
                                                                                                   \
		return function ? function arguments : NVJITLINK_ERROR_INTERNAL;                   \
	}

/* All functions that are hooked, with what stands before and after their names. */
#define DEFINE_ALL(before, after, sonames)                                                         \
	DEFINE(before##nvJitLinkCreate##after, sonames,                                            \
	       (jitlink_handle_t * handle, uint32_t count, const char **options),                  \
	       (handle, count, options))                                                           \
	DEFINE(before##nvJitLinkDestroy##after, sonames, (jitlink_handle_t * handle), (handle))    \
	DEFINE(before##nvJitLinkAddData##after, sonames,                                           \
	       (jitlink_handle_t handle, int type, const void *data, size_t size,                  \
		const char *name),                                                                 \
	       (handle, type, data, size, name))                                                   \
	DEFINE(before##nvJitLinkAddFile##after, sonames,                                           \
	       (jitlink_handle_t handle, int type, const char *path), (handle, type, path))        \
	DEFINE(before##nvJitLinkComplete##after, sonames, (jitlink_handle_t handle), (handle))     \
	DEFINE(before##nvJitLinkGetLinkedCubinSize##after, sonames,                                \
	       (jitlink_handle_t handle, size_t * ret_size), (handle, ret_size))                   \
	DEFINE(before##nvJitLinkGetLinkedCubin##after, sonames,                                    \
	       (jitlink_handle_t handle, void *ret_cubin), (handle, ret_cubin))

DEFINE_ALL(, , any_release)
DEFINE_ALL(__, _12_0, release_12)
DEFINE_ALL(__, _12_1, release_12)
DEFINE_ALL(__, _12_2, release_12)
DEFINE_ALL(__, _12_3, release_12)
DEFINE_ALL(__, _12_4, release_12)
DEFINE_ALL(__, _12_5, release_12)
DEFINE_ALL(__, _12_6, release_12)
DEFINE_ALL(__, _12_7, release_12)
DEFINE_ALL(__, _12_8, release_12)
DEFINE_ALL(__, _12_9, release_12)
DEFINE_ALL(__, _13_0, release_13)
