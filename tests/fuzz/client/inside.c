#include "tests/fuzz/client/inside.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "interpose/client.h"
#include "transport/address.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT int (*fuzz_inside_connect)(bool is_shm, int *ret_fd);

EXPORT void
fuzz_inside_close(void)
{
	genie_chan_close(atomic_exchange(&genie_client.chan, NULL));
}

EXPORT int
fuzz_inside_call(unsigned op, void *args)
{
	CUresult status = genie_enter(GENIE_OP_genieNop, false);

	return status != CUDA_SUCCESS
		       ? (int)status
		       : (int)genie_call_ctx((enum genie_op)op, args, genie_ctx_current(), NULL);
}

/* ---- what is replaced (--wrap) ---- */

int __wrap_genie_address_connect(struct genie_address *address, int timeout_ms, int *ret_fd,
				 char *err, size_t err_size);
int
__wrap_genie_address_connect(struct genie_address *address, int timeout_ms, int *ret_fd, char *err,
			     size_t err_size)
{
	(void)timeout_ms;
	(void)err;
	(void)err_size;
	return fuzz_inside_connect(address->is_shm, ret_fd);
}

/* Formatted, so that what a server sent is read as text, but shown only on demand. */
void __wrap_genie_log_write(enum genie_log_level level, const char *fmt, ...);
void
__wrap_genie_log_write(enum genie_log_level level, const char *fmt, ...)
{
	int saved_errno = errno;
	char line[2048];
	va_list args;

	(void)level;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (getenv("FUZZ_VERBOSE"))
		fprintf(stderr, "genie: %s\n", line);
	errno = saved_errno;
}

/* What kernels print goes nowhere. */
size_t __real_fwrite(const void *data, size_t size, size_t count, FILE *file);
size_t __wrap_fwrite(const void *data, size_t size, size_t count, FILE *file);
size_t
__wrap_fwrite(const void *data, size_t size, size_t count, FILE *file)
{
	static volatile uint8_t sink;

	if (file != stdout && file != stderr)
		return __real_fwrite(data, size, count, file);
	for (size_t i = 0; i < size * count; i++)
		sink = ((const uint8_t *)data)[i];
	(void)sink;
	return count;
}

/* Waits for what may never come are long for people and too long for a fuzzer. */
int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
				  const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
				  const struct timespec *until);
int
__wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
			      const struct timespec *until)
{
	struct timespec soon;

	(void)until;
	clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_nsec += 2000000;
	if (soon.tv_nsec >= 1000000000) {
		soon.tv_sec++;
		soon.tv_nsec -= 1000000000;
	}
	return __real_pthread_cond_timedwait(cond, lock, &soon);
}
