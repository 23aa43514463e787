/*
 * GENIE_STATS=FILE: %p in the name is the process id. The file is written beside its final name
 * and renamed, so a reader sees all of it or nothing. It is written by the destructor of this
 * library, which runs after the exit handlers of the program and of what depends on us; who still
 * calls after it is served, but no longer counted.
 */
#include "interpose/stats.h"

#include "interpose/client.h"
#include "interpose/registered.h"
#include "interpose/sample.h"
#include "interpose/upload.h"
#include "interpose/watch.h"
#include "transport/chan_waits.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct unsupported {
	struct unsupported *next;
	const char *name;
	uint64_t count;
};

/* Guards the list of unsupported calls. */
static pthread_mutex_t unsupported_lock = PTHREAD_MUTEX_INITIALIZER;
static struct unsupported *unsupported_list;

static char stats_path[PATH_MAX]; /* empty: nobody asked */

bool
genie_stats_first_unsupported(const char *name)
{
	struct unsupported *entry;
	bool first = false;

	pthread_mutex_lock(&unsupported_lock);
	for (entry = unsupported_list; entry; entry = entry->next)
		if (!strcmp(entry->name, name))
			break;
	if (!entry) {
		first = true;
		entry = calloc(1, sizeof(*entry));
		if (entry) {
			entry->name = name;
			entry->next = unsupported_list;
			unsupported_list = entry;
		}
	}
	if (entry)
		entry->count++;
	pthread_mutex_unlock(&unsupported_lock);
	return first;
}

void
genie_stats_unsupported(const char *name)
{
	genie_stats_first_unsupported(name);
}

/* Copies @name to stats_path with %p replaced; empty when it does not fit. */
static void
path_set(const char *name)
{
	char cwd[PATH_MAX] = "";
	int n = 0;

	stats_path[0] = '\0';
	if (name[0] != '/' && getcwd(cwd, sizeof(cwd)))
		n = snprintf(stats_path, sizeof(stats_path), "%s/", cwd);
	for (const char *c = name; *c && n < (int)sizeof(stats_path) - 16; c++) {
		if (c[0] == '%' && c[1] == 'p') {
			n += sprintf(stats_path + n, "%d", (int)getpid());
			c++;
		} else {
			stats_path[n++] = *c;
			stats_path[n] = '\0';
		}
	}
}

bool
genie_stats_wanted(void)
{
	return stats_path[0] != '\0';
}

void
genie_stats_init(void)
{
	const char *name = getenv("GENIE_STATS");

	if (name && *name) {
		path_set(name);
		genie_sample_init();
	}
}

void
genie_stats_fork_child(void)
{
	const char *name = getenv("GENIE_STATS");

	pthread_mutex_init(&unsupported_lock, NULL);
	while (unsupported_list) {
		struct unsupported *next = unsupported_list->next;

		free(unsupported_list);
		unsupported_list = next;
	}
	/* A child may overwrite its parent's file only where the name asks for one per process. */
	stats_path[0] = '\0';
	if (name && strstr(name, "%p"))
		path_set(name);
}

/* JSON strings: names come from headers, devices and the server. */
static void
write_string(FILE *file, const char *text)
{
	fputc('"', file);
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			fprintf(file, "\\%c", *c);
		else if (*c < 0x20)
			fprintf(file, "\\u%04x", *c);
		else
			fputc(*c, file);
	}
	fputc('"', file);
}

static void
write_unsupported(FILE *file)
{
	const char *comma = "";

	fprintf(file, "  \"unsupported\": {");
	pthread_mutex_lock(&unsupported_lock);
	for (const struct unsupported *entry = unsupported_list; entry; entry = entry->next) {
		fprintf(file, "%s\n    ", comma);
		write_string(file, entry->name);
		fprintf(file, ": %llu", (unsigned long long)entry->count);
		comma = ",";
	}
	pthread_mutex_unlock(&unsupported_lock);
	fprintf(file, "%s}", *comma ? "\n  " : "");
}

static void
write_registered(FILE *file)
{
	uint64_t shared, mirrored;

	genie_registered_counts(&shared, &mirrored);
	fprintf(file, "  \"registered_shared\": %llu,\n", (unsigned long long)shared);
	fprintf(file, "  \"registered_mirrored\": %llu,\n", (unsigned long long)mirrored);
}

static void
write_session(FILE *file)
{
	struct genie_chan *chan = genie_client_chan();
	struct genie_chan_stats stats = {0};

	if (chan)
		genie_chan_stats(chan, &stats);
	fprintf(file, "  \"transport\": ");
	write_string(file, chan ? genie_chan_transport(chan) : "none");
	fprintf(file, ",\n  \"backend\": ");
	write_string(file, chan ? genie_client.welcome->device_name : "none");
	fprintf(file, ",\n  \"device\": ");
	write_string(file,
		     chan && genie_client.device_count ? genie_client.devices[0].name : "none");
	fprintf(file, ",\n  \"devices\": %d,\n", genie_client.device_count);
	fprintf(file, "  \"driver_version\": %u,\n",
		chan ? genie_client.welcome->driver_version : 0);
	fprintf(file, "  \"bytes_sent\": %llu,\n", (unsigned long long)stats.bytes_sent);
	fprintf(file, "  \"bytes_known\": %llu,\n", (unsigned long long)genie_upload_saved());
	fprintf(file, "  \"bytes_received\": %llu,\n", (unsigned long long)stats.bytes_received);
	fprintf(file, "  \"batches\": %llu,\n", (unsigned long long)stats.batches);
	fprintf(file, "  \"commands\": %llu,\n",
		chan ? (unsigned long long)genie_chan_last_ticket(chan) : 0);
	fprintf(file, "  \"lost\": %s,\n", chan && genie_chan_dead(chan) ? "true" : "false");
}

/* Where the time of the program's threads goes inside of this library. */
static void
write_times(FILE *file)
{
	struct genie_chan *chan = genie_client_chan();
	struct genie_chan_waits waits = {0};
	struct genie_sample_sums sums;

	if (chan)
		genie_chan_waits(chan, &waits);
	genie_sample_sums(&sums);
	fprintf(file, "  \"sampled_calls\": %llu,\n", (unsigned long long)sums.calls);
	fprintf(file, "  \"sampled_capture_ns\": %llu,\n", (unsigned long long)sums.capture_ns);
	fprintf(file, "  \"sampled_encode_ns\": %llu,\n", (unsigned long long)sums.encode_ns);
	fprintf(file, "  \"wait_ns\": %llu,\n",
		(unsigned long long)(waits.progress_ns + waits.reply_ns + waits.room_ns +
				     waits.bulk_ns));
	fprintf(file, "  \"wait_progress_ns\": %llu,\n", (unsigned long long)waits.progress_ns);
	fprintf(file, "  \"wait_reply_ns\": %llu,\n", (unsigned long long)waits.reply_ns);
	fprintf(file, "  \"wait_room_ns\": %llu,\n", (unsigned long long)waits.room_ns);
	fprintf(file, "  \"wait_bulk_ns\": %llu,\n", (unsigned long long)waits.bulk_ns);
}

static void
write_all(FILE *file)
{
	struct genie_thread_counters sum;

	genie_thread_counters(&sum);
	fprintf(file, "{\n  \"pid\": %d,\n", (int)getpid());
	fprintf(file, "  \"calls\": %llu,\n", (unsigned long long)sum.calls);
	fprintf(file, "  \"async_calls\": %llu,\n", (unsigned long long)sum.async_calls);
	fprintf(file, "  \"launches\": %llu,\n", (unsigned long long)sum.launches);
	fprintf(file, "  \"round_trips\": %llu,\n", (unsigned long long)sum.round_trips);
	write_times(file);
	write_registered(file);
	write_session(file);
	write_unsupported(file);
	genie_watch_write(file);
	fprintf(file, "\n}\n");
}

/*
 * The same while the program runs, for who measures a part of it: at most @size bytes in @buffer,
 * ended by a zero. Returns the length, or -1 when there is not enough room.
 */
__attribute__((visibility("default"))) long
genieStatsRead(char *buffer, size_t size)
{
	int saved_errno = errno;
	FILE *file = size ? fmemopen(buffer, size, "w") : NULL;
	long len = -1;

	if (file) {
		write_all(file);
		/* fmemopen() leaves the zero out where there is no room for it. */
		if (!fflush(file) && ftell(file) < (long)size)
			len = ftell(file);
		if (fclose(file))
			len = -1;
	}
	errno = saved_errno;
	return len;
}

void
genie_stats_write(void)
{
	char temporary[PATH_MAX + 32];
	int saved_errno = errno;
	FILE *file;

	if (!stats_path[0])
		return;
	snprintf(temporary, sizeof(temporary), "%s.%d", stats_path, (int)getpid());
	file = fopen(temporary, "we");
	if (!file) {
		genie_warn("cannot write %s: %m", temporary);
		goto out;
	}
	write_all(file);
	if (fclose(file) || rename(temporary, stats_path)) {
		genie_warn("cannot write %s: %m", stats_path);
		unlink(temporary);
	}
out:
	errno = saved_errno;
}
