/*
 * The client against a server that lies: one run is a program (calls of the driver's API) and a
 * script of what the server says wrong, and when. Everything of libgenie.so runs, entry points,
 * codec and transports; only connecting is replaced.
 *
 * What must hold, whatever the server does: no access beyond a buffer (the sanitizers see it);
 * every call returns, because the server is gone once nothing happens any more; what it returns is
 * a CUresult; what the client sends is well formed (hostile.c looks); no descriptor is left.
 *
 *     byte 0    enum hostile_mode; 0x80: the client closes while the server is still there
 *     byte 1    GENIE_PERF, a bit each; 0x80: GENIE_SYNC
 *     then      0nnnnnnn a b: a call
 *               1xxkkkkk aaaaattt where(2) value(8) [bytes]: a lie of kind k about message a of
 *               class t; kinds with bytes have value & 63 of them
 */
#include "tests/fuzz/client/fuzz_client.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/fuzz/client/hostile.h"
#include "tests/fuzz/client/inside.h"
#include "tests/fuzz/fuzz.h"

#define HANG_S          60
#define LEAKS_EVERY     1024 /* runs: the detector stops all threads, which can take seconds */
#define CLOSES_FIRST    0x80
#define SYNCHRONOUS     0x80
#define PERF_COUNT      7
#define LIE_SIZE        12
#define DESCRIPTORS_MAX 1024

/* ---- the input ---- */

bool
fuzz_lie_has_bytes(enum hostile_kind kind)
{
	return kind == HOSTILE_RAW || kind == HOSTILE_RAW_BULK || kind == HOSTILE_FRAME ||
	       kind == HOSTILE_PAYLOAD;
}

static size_t
parse_lie(const uint8_t *data, size_t size, struct hostile_lie *lie)
{
	size_t used = LIE_SIZE;

	if (size < LIE_SIZE)
		return 0;
	*lie = (struct hostile_lie){.kind = (enum hostile_kind)((data[0] & 31) % HOSTILE_KINDS),
				    .target = (enum hostile_class)(data[1] & 7),
				    .after = data[1] >> 3};
	memcpy(&lie->where, data + 2, sizeof(lie->where));
	memcpy(&lie->value, data + 4, sizeof(lie->value));
	if (!fuzz_lie_has_bytes(lie->kind))
		return used;
	lie->len = lie->value & 63;
	if (lie->len > size - used)
		lie->len = size - used;
	memcpy(lie->bytes, data + used, lie->len);
	return used + lie->len;
}

static void
parse(const uint8_t *data, size_t size, struct fuzz_input *input)
{
	memset(input, 0, sizeof(*input));
	if (size < 2)
		return;
	input->mode = data[0];
	input->perf = data[1];
	input->script.mode = data[0] & 63;
	for (size_t at = 2; at < size;) {
		struct hostile_script *script = &input->script;
		struct program *program = &input->program;
		size_t used;

		if (data[at] & 0x80) {
			if (script->lie_count == HOSTILE_LIES_MAX)
				break;
			used = parse_lie(data + at, size - at, &script->lies[script->lie_count]);
			if (!used)
				break;
			script->lie_count++;
			at += used;
		} else {
			if (program->count == PROGRAM_CALLS_MAX || size - at < 3)
				break;
			program->calls[program->count++] =
				(struct program_call){data[at], data[at + 1], data[at + 2]};
			at += 3;
		}
	}
}

size_t
fuzz_input_write(const struct fuzz_input *input, uint8_t *buf)
{
	size_t at = 0;

	buf[at++] = (uint8_t)input->mode;
	buf[at++] = (uint8_t)input->perf;
	for (unsigned i = 0; i < input->program.count; i++) {
		buf[at++] = input->program.calls[i].what;
		buf[at++] = input->program.calls[i].a;
		buf[at++] = input->program.calls[i].b;
	}
	for (unsigned i = 0; i < input->script.lie_count; i++) {
		const struct hostile_lie *lie = &input->script.lies[i];

		buf[at++] = (uint8_t)(0x80 | lie->kind);
		buf[at++] = (uint8_t)(lie->after << 3 | lie->target);
		memcpy(buf + at, &lie->where, 2);
		memcpy(buf + at + 2, &lie->value, 8);
		at += 10;
		if (fuzz_lie_has_bytes(lie->kind)) {
			memcpy(buf + at, lie->bytes, lie->value & 63);
			at += lie->value & 63;
		}
	}
	return at;
}

/* ---- a run ---- */

static void
settings(const struct fuzz_input *input)
{
	static const char *const names[PERF_COUNT] = {"no_inline",      "no_progress",   "no_cache",
						      "no_pinned",      "no_async_free", "no_dirty",
						      "no_copy_threads"};
	char list[128] = "";

	for (int i = 0; i < PERF_COUNT; i++) {
		if (input->perf >> i & 1) {
			strcat(list, names[i]);
			strcat(list, ",");
		}
	}
	setenv("GENIE_PERF", list, 1);
	setenv("GENIE_SYNC", input->perf & SYNCHRONOUS ? "1" : "0", 1);
	setenv("GENIE_SERVER", input->mode & HOSTILE_TCP ? "tcp://localhost:1" : "shm:/nowhere", 1);
}

static void *
program_thread(void *data)
{
	program_run(data);
	return NULL;
}

/* What is open; those that the process had before do not count. */
static unsigned
descriptors(bool *open)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	unsigned count = 0;

	memset(open, 0, DESCRIPTORS_MAX * sizeof(*open));
	while (dir && (entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || fd == dirfd(dir) || fd >= DESCRIPTORS_MAX)
			continue;
		open[fd] = true;
		count++;
	}
	if (dir)
		closedir(dir);
	return count;
}

/* The client keeps what it asks the kernel with about written pages; all else must be closed. */
static void
descriptors_check(const bool *before)
{
	static bool after[DESCRIPTORS_MAX];
	char path[64], target[256];

	descriptors(after);
	for (int fd = 3; fd < DESCRIPTORS_MAX; fd++) {
		ssize_t n;

		if (!after[fd] || before[fd])
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = 0;
		if (!strstr(target, "userfaultfd") && !strstr(target, "pagemap")) {
			fprintf(stderr, "descriptor %d is left: %s\n", fd, target);
			abort();
		}
		close(fd);
	}
}

static void
run(struct fuzz_input *input)
{
	static bool before[DESCRIPTORS_MAX];
	struct timespec until;
	pthread_t thread;

	descriptors(before);
	settings(input);
	hostile_start(&input->script);
	if (pthread_create(&thread, NULL, program_thread, &input->program))
		abort();
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += HANG_S;
	if (pthread_timedjoin_np(thread, NULL, &until)) {
		fprintf(stderr, "the program hangs\n");
		abort();
	}
	if (input->mode & CLOSES_FIRST)
		fuzz_inside_close();
	hostile_end();
	if (!(input->mode & CLOSES_FIRST))
		fuzz_inside_close();
	descriptors_check(before);
}

#ifdef FUZZ_IN_PROCESS
/* A context that the program has destroyed stays, because other objects may still point to it. */
const char *__lsan_default_suppressions(void);
const char *
__lsan_default_suppressions(void)
{
	return "leak:ctx_new\n";
}
#endif

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	signal(SIGPIPE, SIG_IGN);
	unsetenv("GENIE_TOKEN");
	unsetenv("CUDA_VISIBLE_DEVICES");
	fuzz_inside_connect = hostile_connect;
#ifdef FUZZ_IN_PROCESS
	fuzz_inside_snapshot();
#endif
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz_input input;

	if (size > FUZZ_INPUT_MAX)
		return 0;
	parse(data, size, &input);
	run(&input);
#ifdef FUZZ_IN_PROCESS
	static unsigned runs;

	if (runs++ % LEAKS_EVERY == 0 && fuzz_inside_leaks())
		abort();
	fuzz_inside_reset();
#endif
	return 0;
}
