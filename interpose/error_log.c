/*
 * cuLogs…: what went wrong, for the program to read. Every call that fails leaves an entry; the
 * text is made when somebody reads it. CUDA_LOG_FILE (stdout, stderr or a path) gets each at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "interpose/error_log.h"

#define ENTRIES     100u
#define LINE_SIZE   256u
#define CALLBACKS   16
#define CUT_MESSAGE "[older messages are gone]\n"

struct entry {
	const char *call;
	CUresult status;
	struct timespec time;
	int thread;
};

struct callback {
	CUlogsCallback fn; /* NULL: free */
	void *data;
};

/* Guards what follows, not while a callback runs. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry entries[ENTRIES];
static unsigned int next; /* entries ever made; the last is at (next - 1) % ENTRIES */
static struct callback callbacks[CALLBACKS];
static int listeners;
static int log_fd = -2; /* -2: not looked at yet, -1: none */

static size_t
entry_format(const struct entry *entry, char line[LINE_SIZE])
{
	const char *name = NULL, *text = NULL;
	struct tm tm;
	int len;

	genie_cuGetErrorName(entry->status, &name);
	genie_cuGetErrorString(entry->status, &text);
	localtime_r(&entry->time.tv_sec, &tm);
	len = snprintf(line, LINE_SIZE, "[%02d:%02d:%02d.%03d][%d][CUDA][E] %s: %s (%s)\n",
		       tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(entry->time.tv_nsec / 1000000),
		       entry->thread, entry->call, name ? name : "unknown error", text ? text : "");
	return len < (int)LINE_SIZE ? (size_t)len : LINE_SIZE - 1;
}

static int
log_open_locked(void)
{
	const char *path = getenv("CUDA_LOG_FILE");

	if (log_fd != -2)
		return log_fd;
	if (!path || !*path)
		log_fd = -1;
	else if (!strcmp(path, "stdout"))
		log_fd = STDOUT_FILENO;
	else if (!strcmp(path, "stderr"))
		log_fd = STDERR_FILENO;
	else
		log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	return log_fd;
}

void
genie_error_log_add(const char *call, CUresult status)
{
	struct entry entry = {.call = call, .status = status, .thread = (int)syscall(SYS_gettid)};
	struct callback listening[CALLBACKS];
	char line[LINE_SIZE];
	size_t len = 0;
	bool heard;
	int fd;

	clock_gettime(CLOCK_REALTIME, &entry.time);
	pthread_mutex_lock(&lock);
	entries[next++ % ENTRIES] = entry;
	fd = log_open_locked();
	heard = listeners != 0;
	if (heard)
		memcpy(listening, callbacks, sizeof(listening));
	pthread_mutex_unlock(&lock);
	if (fd < 0 && !heard)
		return;
	len = entry_format(&entry, line);
	if (fd >= 0 && write(fd, line, len) < 0)
		(void)errno; /* nobody to tell */
	for (int i = 0; heard && i < CALLBACKS; i++)
		if (listening[i].fn)
			listening[i].fn(listening[i].data, CU_LOG_LEVEL_ERROR, line, len);
}

CUresult
genie_cuLogsRegisterCallback(CUlogsCallback callbackFunc, void *userData,
			     CUlogsCallbackHandle *callback_out)
{
	CUresult status = CUDA_ERROR_OUT_OF_MEMORY;

	if (!callbackFunc)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < CALLBACKS && status != CUDA_SUCCESS; i++) {
		if (callbacks[i].fn)
			continue;
		callbacks[i] = (struct callback){callbackFunc, userData};
		listeners++;
		if (callback_out)
			*callback_out = (CUlogsCallbackHandle)(void *)&callbacks[i];
		status = CUDA_SUCCESS;
	}
	pthread_mutex_unlock(&lock);
	return status;
}

CUresult
genie_cuLogsUnregisterCallback(CUlogsCallbackHandle callback)
{
	CUresult status = CUDA_ERROR_INVALID_VALUE;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < CALLBACKS; i++) {
		if ((void *)callback != (void *)&callbacks[i] || !callbacks[i].fn)
			continue;
		callbacks[i].fn = NULL;
		listeners--;
		status = CUDA_SUCCESS;
	}
	pthread_mutex_unlock(&lock);
	return status;
}

CUresult
genie_cuLogsCurrent(CUlogIterator *iterator_out, unsigned int flags)
{
	(void)flags; /* the driver takes any (seen with 580) */
	if (!iterator_out)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&lock);
	*iterator_out = next;
	pthread_mutex_unlock(&lock);
	return CUDA_SUCCESS;
}

/* The first entry to show: @iterator's (NULL: the oldest); @ret_cut: some before it are gone. */
static unsigned int
first_locked(const CUlogIterator *iterator, bool *ret_cut)
{
	unsigned int oldest = next > ENTRIES ? next - ENTRIES : 0;
	unsigned int first = iterator ? *iterator : 0;

	if (first > next)
		first = next;
	*ret_cut = first < oldest;
	return *ret_cut ? oldest : first;
}

CUresult
genie_cuLogsDumpToFile(CUlogIterator *iterator, const char *pathToFile, unsigned int flags)
{
	struct entry copy[ENTRIES];
	unsigned int first, end;
	char line[LINE_SIZE];
	FILE *file;
	bool cut;

	if (!pathToFile || flags)
		return CUDA_ERROR_INVALID_VALUE;
	file = fopen(pathToFile, "we");
	if (!file)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_mutex_lock(&lock);
	first = first_locked(iterator, &cut);
	end = next;
	memcpy(copy, entries, sizeof(copy));
	pthread_mutex_unlock(&lock);
	if (cut)
		fputs(CUT_MESSAGE, file);
	for (unsigned int i = first; i != end; i++)
		fwrite(line, 1, entry_format(&copy[i % ENTRIES], line), file);
	if (fclose(file))
		return CUDA_ERROR_INVALID_VALUE;
	if (iterator)
		*iterator = end;
	return CUDA_SUCCESS;
}

/* As many of the newest as fit, and a line that says if that is not all. */
CUresult
genie_cuLogsDumpToMemory(CUlogIterator *iterator, char *buffer, size_t *size, unsigned int flags)
{
	struct entry copy[ENTRIES];
	unsigned int first, end, from;
	size_t room, used = 0;
	char line[LINE_SIZE];
	bool cut;

	if (!buffer || !size || flags)
		return CUDA_ERROR_INVALID_VALUE;
	room = *size;
	*size = 0;
	pthread_mutex_lock(&lock);
	first = first_locked(iterator, &cut);
	end = next;
	memcpy(copy, entries, sizeof(copy));
	pthread_mutex_unlock(&lock);
	if (room)
		*buffer = '\0';
	if (first == end)
		return CUDA_SUCCESS;
	for (from = end; from != first; from--) {
		size_t len = entry_format(&copy[(from - 1) % ENTRIES], line);
		size_t head = cut || from - 1 != first ? strlen(CUT_MESSAGE) : 0;

		if (used + len + head + 1 > room)
			break;
		used += len;
	}
	if (from == end)
		return CUDA_ERROR_INVALID_VALUE;
	used = 0;
	if (cut || from != first)
		used = (size_t)(stpcpy(buffer, CUT_MESSAGE) - buffer);
	for (; from != end; from++) {
		size_t len = entry_format(&copy[from % ENTRIES], line);

		memcpy(buffer + used, line, len);
		used += len;
	}
	buffer[used] = '\0';
	*size = used;
	if (iterator)
		*iterator = end;
	return CUDA_SUCCESS;
}
