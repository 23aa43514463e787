#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

enum genie_log_level genie_log_level = GENIE_LOG_WARN;
static char who[32] = "genie";
static int log_fd = STDERR_FILENO;

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};

void
genie_log_init(const char *name)
{
	const char *level = getenv("GENIE_LOG");
	const char *file = getenv("GENIE_LOG_FILE");
	int saved_errno = errno;

	snprintf(who, sizeof(who), "%s", name);
	if (level)
		for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
			if (!strcmp(level, level_names[i]))
				genie_log_level = (enum genie_log_level)i;
	if (file && *file && log_fd == STDERR_FILENO) {
		int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

		if (fd >= 0)
			log_fd = fd;
	}
	errno = saved_errno;
}

void
genie_log_to(int fd)
{
	if (log_fd == STDERR_FILENO)
		log_fd = fd;
}

void
genie_log_write(enum genie_log_level level, const char *fmt, ...)
{
	int saved_errno = errno;
	char line[LINE_MAX_BYTES];
	va_list ap;
	int n;

	n = snprintf(line, sizeof(line), "%s: %s: ", who, level_names[level]);
	va_start(ap, fmt);
	errno = saved_errno; /* for %m */
	n += vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	if (write(log_fd, line, (size_t)n) < 0) {
		/* nowhere left to say it */
	}
	errno = saved_errno;
}
