/*
 * Makes one call fail: an allocation, a system call or the start of a thread, by number or by the
 * place that it comes from. Preloaded before libgenie.so, or into genied:
 *
 *	GENIE_INJECTION=FILE LD_PRELOAD=libinjector.so:libgenie.so prog
 *
 * FILE is a struct injection. Only calls that our own code makes count: what the C library, the
 * program or the vendor's runtime do inside is not ours to test. Calls that only give something
 * back do not fail (nobody could do anything about it), nor does writing a message, nor dlopen():
 * it looks where its caller says, which would be this file.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <link.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/injection/injection.h"

#define EXPORT __attribute__((visibility("default")))
#define FRAMES 16

/* Under these names nobody takes the place of the C library's, so that dlsym() is not needed
 * before there is memory. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static struct injection *injection;
static enum injection_role role;
/* The code under test, and what to take off its addresses. */
static uintptr_t code_begin, code_end, code_base;

/* ---- whose call is it? ---- */

static int
find_code(struct dl_phdr_info *info, size_t size, void *data)
{
	const char *name = strrchr(info->dlpi_name, '/');
	bool found = role == INJECTION_CLIENT ? name && !strcmp(name, "/libgenie.so")
					      : !*info->dlpi_name;

	(void)size;
	(void)data;
	for (int i = 0; found && i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];

		if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
			continue;
		code_base = info->dlpi_addr;
		code_begin = code_base + part->p_vaddr;
		code_end = code_begin + part->p_memsz;
	}
	return found;
}

__attribute__((constructor)) static void
injection_open(void)
{
	const char *path = getenv("GENIE_INJECTION");
	int saved_errno = errno;
	void *frames[FRAMES];
	void *map;
	int fd;

	fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(*injection), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return;
	backtrace(frames, FRAMES); /* loads now what it needs */
	if (!strcmp(program_invocation_short_name, "genied"))
		role = INJECTION_SUPERVISOR;
	dl_iterate_phdr(find_code, NULL);
	injection = map;
	errno = saved_errno;
}

static bool
is_code(const void *address)
{
	return (uintptr_t)address >= code_begin && (uintptr_t)address < code_end;
}

/* The callers that are ours; returns a hash of them, never 0. */
static uint64_t
callers(uint64_t ret_trace[INJECTION_TRACE])
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) + role;
	void *frames[FRAMES];
	int count = backtrace(frames, FRAMES);
	int found = 0;

	memset(ret_trace, 0, INJECTION_TRACE * sizeof(*ret_trace));
	for (int i = 0; i < count && found < INJECTION_TRACE; i++)
		if (is_code(frames[i])) {
			ret_trace[found] = (uintptr_t)frames[i] - code_base;
			hash = (hash ^ ret_trace[found++]) * UINT64_C(0x100000001b3);
		}
	return hash ? hash : 1;
}

/* ---- does it fail? ---- */

static void
site_record(const char *name, uint64_t hash, const uint64_t trace[INJECTION_TRACE])
{
	for (uint64_t i = 0; i < INJECTION_SITES; i++) {
		struct injection_site *site = &injection->sites[(hash + i) & (INJECTION_SITES - 1)];
		uint64_t there = 0;

		if (atomic_compare_exchange_strong(&site->hash, &there, hash)) {
			site->role = role;
			memcpy(site->trace, trace, sizeof(site->trace));
			snprintf(site->name, sizeof(site->name), "%s", name);
		}
		if (!there || there == hash) {
			atomic_fetch_add(&site->calls, 1);
			return;
		}
	}
}

static bool
fails(const char *name, const void *caller)
{
	uint64_t trace[INJECTION_TRACE];
	uint64_t hash = 0;
	uint32_t number;

	if (!injection || !is_code(caller))
		return false;
	number = atomic_fetch_add(&injection->counts[role], 1) + 1;
	if (injection->record || injection->site) {
		hash = callers(trace);
		if (injection->record)
			site_record(name, hash, trace);
	}
	if (injection->role != role ||
	    (injection->site ? hash != injection->site : number != injection->at) ||
	    atomic_fetch_add(&injection->hits, 1))
		return false;
	callers(injection->trace);
	snprintf(injection->name, sizeof(injection->name), "%s", name);
	return true;
}

#define FAILS(name) fails(name, __builtin_return_address(0))

/* ---- memory ---- */

EXPORT void *
malloc(size_t size)
{
	if (!FAILS("malloc"))
		return __libc_malloc(size);
	errno = ENOMEM;
	return NULL;
}

EXPORT void *
calloc(size_t count, size_t size)
{
	if (!FAILS("calloc"))
		return __libc_calloc(count, size);
	errno = ENOMEM;
	return NULL;
}

EXPORT void *
realloc(void *ptr, size_t size)
{
	if (!FAILS("realloc"))
		return __libc_realloc(ptr, size);
	errno = ENOMEM;
	return NULL;
}

EXPORT void *
reallocarray(void *ptr, size_t count, size_t size)
{
	if (!__builtin_mul_overflow(count, size, &size) && !FAILS("reallocarray"))
		return __libc_realloc(ptr, size);
	errno = ENOMEM;
	return NULL;
}

EXPORT void *
aligned_alloc(size_t alignment, size_t size)
{
	if (!FAILS("aligned_alloc"))
		return __libc_memalign(alignment, size);
	errno = ENOMEM;
	return NULL;
}

EXPORT int
posix_memalign(void **ret_ptr, size_t alignment, size_t size)
{
	void *ptr = FAILS("posix_memalign") ? NULL : __libc_memalign(alignment, size);

	if (!ptr)
		return ENOMEM;
	*ret_ptr = ptr;
	return 0;
}

/* ---- everything else ---- */

/* @name with these parameters: returns @failure with errno @error, or what the real one does. */
#define WRAP(type, name, params, args, error, failure)                                             \
	EXPORT type name params                                                                    \
	{                                                                                          \
		static type(*real) params;                                                         \
                                                                                                   \
		if (FAILS(#name)) {                                                                \
			errno = error;                                                             \
			return failure;                                                            \
		}                                                                                  \
		if (!real)                                                                         \
			*(void **)&real = dlsym(RTLD_NEXT, #name);                                 \
		return real args;                                                                  \
	}

WRAP(char *, strdup, (const char *text), (text), ENOMEM, NULL)
WRAP(int, vasprintf, (char **ret_text, const char *format, va_list list), (ret_text, format, list),
     ENOMEM, -1)
WRAP(char *, realpath, (const char *path, char *ret_path), (path, ret_path), ENOMEM, NULL)
WRAP(char *, getcwd, (char *text, size_t size), (text, size), ENOENT, NULL)
WRAP(void *, mmap, (void *want, size_t size, int prot, int flags, int fd, off_t offset),
     (want, size, prot, flags, fd, offset), ENOMEM, MAP_FAILED)
WRAP(int, mprotect, (void *at, size_t size, int prot), (at, size, prot), ENOMEM, -1)
WRAP(int, madvise, (void *at, size_t size, int advice), (at, size, advice), EAGAIN, -1)
WRAP(int, memfd_create, (const char *name, unsigned int flags), (name, flags), EMFILE, -1)
WRAP(int, ftruncate, (int fd, off_t size), (fd, size), ENOSPC, -1)
WRAP(int, fallocate, (int fd, int mode, off_t offset, off_t size), (fd, mode, offset, size), ENOSPC,
     -1)

WRAP(int, eventfd, (unsigned int value, int flags), (value, flags), EMFILE, -1)
WRAP(int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags), EMFILE, -1)
WRAP(FILE *, fopen, (const char *path, const char *mode), (path, mode), EMFILE, NULL)
WRAP(DIR *, fdopendir, (int fd), (fd), ENOMEM, NULL)
WRAP(int, fstat, (int fd, struct stat *ret_stat), (fd, ret_stat), EIO, -1)
WRAP(int, lstat, (const char *path, struct stat *ret_stat), (path, ret_stat), EIO, -1)
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), ENOSPC, -1)
WRAP(int, rename, (const char *from, const char *to), (from, to), ENOSPC, -1)
WRAP(int, renameat, (int from_fd, const char *from, int to_fd, const char *to),
     (from_fd, from, to_fd, to), ENOSPC, -1)
WRAP(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size), EIO, -1)
WRAP(ssize_t, pread, (int fd, void *data, size_t size, off_t offset), (fd, data, size, offset), EIO,
     -1)
WRAP(int, poll, (struct pollfd * fds, nfds_t count, int timeout), (fds, count, timeout), ENOMEM, -1)

WRAP(int, socket, (int family, int type, int protocol), (family, type, protocol), EMFILE, -1)
WRAP(int, socketpair, (int family, int type, int protocol, int fds[2]),
     (family, type, protocol, fds), EMFILE, -1)
WRAP(int, bind, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size),
     EADDRINUSE, -1)
WRAP(int, listen, (int fd, int backlog), (fd, backlog), EADDRINUSE, -1)
WRAP(int, accept4, (int fd, struct sockaddr *address, socklen_t *size, int flags),
     (fd, address, size, flags), EMFILE, -1)
WRAP(int, connect, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size),
     ECONNREFUSED, -1)
WRAP(int, getsockname, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size),
     ENOBUFS, -1)
WRAP(int, getpeername, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size),
     ENOBUFS, -1)
WRAP(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *size),
     (fd, level, name, value, size), ENOBUFS, -1)
WRAP(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t size),
     (fd, level, name, value, size), ENOBUFS, -1)
WRAP(ssize_t, send, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags),
     ECONNRESET, -1)
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags),
     ECONNRESET, -1)
WRAP(ssize_t, recv, (int fd, void *data, size_t size, int flags), (fd, data, size, flags),
     ECONNRESET, -1)
WRAP(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags),
     ECONNRESET, -1)
WRAP(int, getaddrinfo,
     (const char *node, const char *service, const struct addrinfo *hints,
      struct addrinfo **ret_list),
     (node, service, hints, ret_list), ENOMEM, EAI_MEMORY)
WRAP(int, getifaddrs, (struct ifaddrs * *ret_list), (ret_list), ENOMEM, -1)

WRAP(int, pthread_create,
     (pthread_t * ret_thread, const pthread_attr_t *attributes, void *(*main)(void *), void *data),
     (ret_thread, attributes, main, data), EAGAIN, EAGAIN)
WRAP(int, pthread_key_create, (pthread_key_t * ret_key, void (*end)(void *)), (ret_key, end),
     EAGAIN, EAGAIN)
WRAP(ssize_t, getrandom, (void *data, size_t size, unsigned int flags), (data, size, flags), EAGAIN,
     -1)
WRAP(int, sched_getaffinity, (pid_t pid, size_t size, cpu_set_t *ret_set), (pid, size, ret_set),
     EPERM, -1)
WRAP(int, nanosleep, (const struct timespec *time, struct timespec *ret_left), (time, ret_left),
     EINTR, -1)

/* Those that are not as simple. */

EXPORT int
asprintf(char **ret_text, const char *format, ...)
{
	va_list list;
	int len = -1;

	errno = ENOMEM;
	va_start(list, format);
	if (!FAILS("asprintf"))
		len = vasprintf(ret_text, format, list);
	va_end(list);
	return len;
}

EXPORT ssize_t
write(int fd, const void *data, size_t size)
{
	static ssize_t (*real)(int fd, const void *data, size_t size);

	if (fd > 2 && FAILS("write")) {
		errno = ENOSPC;
		return -1;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "write");
	return real(fd, data, size);
}

/* Functions whose further arguments are passed on as they are: at most so many, in registers. */
#define WRAP_MORE(type, name, params, args, count, error, before)                                  \
	EXPORT type name params                                                                    \
	{                                                                                          \
		static type(*real) params;                                                         \
		unsigned long more[count];                                                         \
		va_list list;                                                                      \
                                                                                                   \
		va_start(list, last);                                                              \
		for (int i = 0; i < (count); i++)                                                  \
			more[i] = va_arg(list, unsigned long);                                     \
		va_end(list);                                                                      \
		before;                                                                            \
		if (FAILS(#name)) {                                                                \
			errno = error;                                                             \
			return -1;                                                                 \
		}                                                                                  \
		if (!real)                                                                         \
			*(void **)&real = dlsym(RTLD_NEXT, #name);                                 \
		return real args;                                                                  \
	}

WRAP_MORE(int, open, (const char *path, int last, ...), (path, last, more[0]), 1, EMFILE, )
WRAP_MORE(int, openat, (int folder, const char *path, int last, ...), (folder, path, last, more[0]),
	  1, EMFILE, )
WRAP_MORE(int, fcntl, (int fd, int last, ...), (fd, last, more[0]), 1, EMFILE, )
WRAP_MORE(long, syscall, (long last, ...), (last, more[0], more[1], more[2], more[3], more[4]), 5,
	  EINTR, )
/* A worker says by its name that it is one. */
WRAP_MORE(int, prctl, (int last, ...), (last, more[0], more[1], more[2], more[3]), 4, EINVAL,
	  if (role == INJECTION_GREETER && last == PR_SET_NAME &&
	      !strcmp((const char *)more[0], "genied-worker")) role = INJECTION_WORKER)

EXPORT pid_t
fork(void)
{
	static pid_t (*real)(void);
	pid_t pid;

	if (FAILS("fork")) {
		errno = EAGAIN;
		return -1;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fork");
	pid = real();
	if (pid == 0 && role == INJECTION_SUPERVISOR)
		role = INJECTION_GREETER;
	return pid;
}
