#include "remote/timing.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define TIMING_EVERY 64
#define CLOCK_READS  32

/* All of the issuing thread. */
static char path[PATH_MAX]; /* empty: nobody asked */
static uint64_t clock_ns;   /* what reading the clock costs, in every difference */
static uint64_t commands, sampled, decode_ns, issue_ns;
static uint32_t left, randomness = 1;

uint64_t
genie_timing_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void
path_set(const char *name)
{
	const char *mark = strstr(name, "%p");
	int head = mark ? (int)(mark - name) : (int)strlen(name);
	int len;

	if (mark)
		len = snprintf(path, sizeof(path), "%.*s%d%s", head, name, (int)getpid(), mark + 2);
	else
		len = snprintf(path, sizeof(path), "%s", name);
	if (len >= (int)sizeof(path)) {
		genie_warn("GENIED_STATS is too long");
		path[0] = '\0';
	}
}

void
genie_timing_init(void)
{
	uint64_t least = UINT64_MAX, before, now = genie_timing_now();
	const char *name = getenv("GENIED_STATS");

	if (!name || !*name)
		return;
	path_set(name);
	for (int i = 0; i < CLOCK_READS; i++) {
		before = now;
		now = genie_timing_now();
		if (now - before < least)
			least = now - before;
	}
	clock_ns = least;
}

/* At random, so that no rhythm of the program decides which commands are timed. */
bool
genie_timing_due(void)
{
	if (!path[0])
		return false;
	commands++;
	if (left--)
		return false;
	randomness ^= randomness << 13;
	randomness ^= randomness >> 17;
	randomness ^= randomness << 5;
	left = randomness % (2 * TIMING_EVERY - 1);
	return true;
}

static uint64_t
less_clock(uint64_t from, uint64_t to)
{
	return to > from + clock_ns ? to - from - clock_ns : 0;
}

void
genie_timing_add(uint64_t begin_ns, uint64_t decoded_ns, uint64_t issued_ns)
{
	sampled++;
	decode_ns += less_clock(begin_ns, decoded_ns);
	issue_ns += less_clock(decoded_ns, issued_ns);
}

void
genie_timing_write(void)
{
	char temporary[PATH_MAX + 32];
	FILE *file;

	if (!path[0])
		return;
	snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid());
	file = fopen(temporary, "we");
	if (!file) {
		genie_warn("cannot write %s: %m", temporary);
		return;
	}
	fprintf(file,
		"{\n  \"pid\": %d,\n  \"commands\": %llu,\n  \"sampled_commands\": %llu,\n"
		"  \"sampled_decode_ns\": %llu,\n  \"sampled_issue_ns\": %llu\n}\n",
		(int)getpid(), (unsigned long long)commands, (unsigned long long)sampled,
		(unsigned long long)decode_ns, (unsigned long long)issue_ns);
	if (fclose(file) || rename(temporary, path)) {
		genie_warn("cannot write %s: %m", path);
		unlink(temporary);
	}
}
