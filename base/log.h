/*
 * Log lines, to stderr or GENIE_LOG_FILE; level from GENIE_LOG (error, warn, info, debug, trace).
 * Default: warn. Lower case, exact cause, "device %d" not "device=%d", %m for system calls.
 * Log once, where an error is first decided; callers that only propagate stay silent.
 * Thread-safe, keeps errno, allocates nothing, writes each line with one write().
 */
#ifndef GENIE_BASE_LOG_H
#define GENIE_BASE_LOG_H

#include <stdarg.h>

enum genie_log_level {
	GENIE_LOG_ERROR, /* a session or a process is lost */
	GENIE_LOG_WARN,  /* degraded, or a program's call is not supported */
	GENIE_LOG_INFO,  /* once per process */
	GENIE_LOG_DEBUG, /* per object */
	GENIE_LOG_TRACE, /* per call */
};

extern enum genie_log_level genie_log_level;

/* Reads GENIE_LOG and GENIE_LOG_FILE; @who precedes each line ("genie", "genied", "genied[7]"). */
void genie_log_init(const char *who);
/* From here on lines that would go to standard error go to @fd, which stays open. */
void genie_log_to(int fd);
void genie_log_write(enum genie_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The only macros here: they keep the arguments of a silent line from being evaluated. */
#define genie_log(level, ...)                                                                      \
	do {                                                                                       \
		if ((level) <= genie_log_level)                                                    \
			genie_log_write((level), __VA_ARGS__);                                     \
	} while (0)
#define genie_error(...) genie_log(GENIE_LOG_ERROR, __VA_ARGS__)
#define genie_warn(...)  genie_log(GENIE_LOG_WARN, __VA_ARGS__)
#define genie_info(...)  genie_log(GENIE_LOG_INFO, __VA_ARGS__)
#define genie_debug(...) genie_log(GENIE_LOG_DEBUG, __VA_ARGS__)
#define genie_trace(...) genie_log(GENIE_LOG_TRACE, __VA_ARGS__)

#endif
