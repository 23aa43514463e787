/*
 * Runs the client's fuzz target without libFuzzer, each input in a process of its own.
 *
 *     fuzz_client FILE...            each file once: a crash to look at (FUZZ_VERBOSE=1 logs)
 *     fuzz_client --corpus DIR       each file of a folder once
 *     fuzz_client --seeds DIR        writes inputs to start from
 *     fuzz_client --seconds N        makes inputs at random for N seconds; prints the seed of its
 *                                    random numbers, GENIE_FUZZ_SEED repeats it
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/fuzz/client/fuzz_client.h"
#include "tests/fuzz/fuzz.h"

#define RUN_MAX_S 90 /* longer than a hang takes to be noticed */

/* Of gcc, where it counts lines: _exit() does not write the counters. */
void __gcov_dump(void) __attribute__((weak));

static uint64_t random_state;

static uint32_t
random32(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(random_state >> 33);
}

/* 0, or what is wrong, said. */
static int
run(const uint8_t *data, size_t size, const char *name)
{
	int status = 0;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child < 0) {
		perror("fork");
		return 1;
	}
	if (child == 0) {
		alarm(RUN_MAX_S);
		LLVMFuzzerTestOneInput(data, size);
		if (__gcov_dump)
			__gcov_dump();
		_exit(0);
	}
	if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	fprintf(stderr, "FAILED: %s: %s %d\n", name, WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return 1;
}

static int
run_file(const char *path)
{
	static uint8_t buf[FUZZ_INPUT_MAX + 1];
	FILE *file = fopen(path, "rb");
	size_t size;

	if (!file) {
		perror(path);
		return 1;
	}
	size = fread(buf, 1, sizeof(buf), file);
	fclose(file);
	return run(buf, size, path);
}

static int
run_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	unsigned files = 0;
	int failed = 0;

	if (!dir) {
		perror(folder);
		return 1;
	}
	while ((entry = readdir(dir))) {
		char path[4096];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		failed |= run_file(path);
		files++;
	}
	closedir(dir);
	printf("%u files\n", files);
	return failed || files == 0;
}

/* ---- inputs ---- */

static void
add_call(struct fuzz_input *input, unsigned what, unsigned a, unsigned b)
{
	if (input->program.count < PROGRAM_CALLS_MAX)
		input->program.calls[input->program.count++] =
			(struct program_call){(uint8_t)what, (uint8_t)a, (uint8_t)b};
}

static unsigned
number_of(const char *name)
{
	for (unsigned i = 0; i < program_kinds; i++)
		if (!strcmp(program_name(i), name))
			return i;
	abort();
}

/* What most calls need: memory, a stream, an event, a module with a kernel. */
static void
add_beginning(struct fuzz_input *input)
{
	add_call(input, number_of("memory"), 0, 7 << 3);
	add_call(input, number_of("memory"), 1, 9 << 3);
	add_call(input, number_of("streams"), 1, 0);
	add_call(input, number_of("events"), 0, 0);
	add_call(input, number_of("modules"), 0, 0);
	add_call(input, number_of("modules"), 0, 2);
	add_call(input, number_of("pinned"), 0, 5 * 6);
}

static void
lie_at_random(struct hostile_lie *lie)
{
	static const uint64_t edges[] = {0,
					 1,
					 8,
					 24,
					 0x10001,
					 INT32_MAX,
					 INT32_MIN,
					 UINT32_MAX,
					 INT64_MAX,
					 UINT64_MAX,
					 UINT64_C(1) << 46,
					 UINT64_C(1) << 60,
					 0x300000000000,
					 0x200000000000};

	*lie = (struct hostile_lie){
		.kind = (enum hostile_kind)(random32() % HOSTILE_KINDS),
		.target = (enum hostile_class)(random32() % HOSTILE_CLASSES),
		.after = random32() % 4 ? random32() % 12 : 0,
		.where = (uint16_t)(random32() % 5 ? random32() % 64 : random32()),
		.value = random32() % 2 ? edges[random32() % (sizeof(edges) / sizeof(edges[0]))]
					: random32() & 0xff,
	};
	if (!fuzz_lie_has_bytes(lie->kind))
		return;
	lie->len = lie->value & 63;
	for (size_t i = 0; i < lie->len; i += 8) {
		uint64_t edge = edges[random32() % (sizeof(edges) / sizeof(edges[0]))];

		memcpy(lie->bytes + i, &edge, lie->len - i < 8 ? lie->len - i : 8);
	}
}

static void
input_at_random(struct fuzz_input *input)
{
	memset(input, 0, sizeof(*input));
	input->mode = random32() & 0xff;
	input->perf = random32() % 4 ? 0 : random32() & 0xff;
	if (random32() % 4)
		add_beginning(input);
	for (unsigned n = random32() % 12; n > 0; n--)
		add_call(input, random32() % program_kinds, random32() & 0xff, random32() & 0xff);
	input->script.lie_count = random32() % 4;
	for (unsigned i = 0; i < input->script.lie_count; i++)
		lie_at_random(&input->script.lies[i]);
}

static int
run_random(unsigned seconds)
{
	const char *again = getenv("GENIE_FUZZ_SEED");
	time_t end = time(NULL) + (time_t)seconds;
	static uint8_t buf[FUZZ_INPUT_MAX];
	static struct fuzz_input input;
	unsigned long runs = 0;
	int failed = 0;

	random_state =
		again ? strtoull(again, NULL, 0) : (uint64_t)time(NULL) << 16 ^ (unsigned)getpid();
	printf("GENIE_FUZZ_SEED=%#llx\n", (unsigned long long)random_state);
	while (!failed && time(NULL) < end) {
		size_t size;

		input_at_random(&input);
		size = fuzz_input_write(&input, buf);
		failed = run(buf, size, "an input at random");
		if (failed) {
			for (size_t i = 0; i < size; i++)
				fprintf(stderr, "%02x", buf[i]);
			fprintf(stderr, "\n");
		}
		runs++;
	}
	printf("%lu sessions\n", runs);
	return failed;
}

static int
write_seed(const char *folder, const char *name, const struct fuzz_input *input)
{
	static uint8_t buf[FUZZ_INPUT_MAX];
	size_t size = fuzz_input_write(input, buf);
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "wb");
	if (!file || fwrite(buf, 1, size, file) != size || fclose(file)) {
		perror(path);
		return 1;
	}
	return 0;
}

/* Each kind of call in a few forms, without a lie; and each kind of lie in a program that does
 * some of everything. Over both transports. */
static int
write_seeds(const char *folder)
{
	struct fuzz_input input;
	unsigned written = 0;
	int failed = 0;
	char name[64];

	random_state = 1;
	for (unsigned i = 0; i < program_kinds * 2; i++) {
		memset(&input, 0, sizeof(input));
		input.mode =
			i % 2 | (i % 4 == 2 ? HOSTILE_APART : 0) | (i % 3 == 0 ? HOSTILE_SASS : 0);
		add_beginning(&input);
		for (unsigned n = 0; n < 20; n++)
			add_call(&input, i / 2, n < 10 ? 0 : random32() & 0xff,
				 n % 10 + 40 * (n & 1));
		snprintf(name, sizeof(name), "call-%02u-%s", i, i % 2 ? "tcp" : "shm");
		failed |= write_seed(folder, name, &input);
		written++;
	}
	for (unsigned i = 0; i < HOSTILE_KINDS * 4; i++) {
		memset(&input, 0, sizeof(input));
		input.mode = i % 2 | (i & 2 ? HOSTILE_APART : 0);
		add_beginning(&input);
		for (unsigned n = 0; n < 12; n++)
			add_call(&input, random32() % program_kinds, random32() & 3,
				 random32() & 0x7f);
		input.script.lie_count = 1;
		lie_at_random(&input.script.lies[0]);
		input.script.lies[0].kind = (enum hostile_kind)(i / 4);
		snprintf(name, sizeof(name), "lie-%02u-%u", i / 4, i % 4);
		failed |= write_seed(folder, name, &input);
		written++;
	}
	printf("%u seeds in %s\n", written, folder);
	return failed;
}

int
main(int argc, char **argv)
{
	int failed = 0;

	LLVMFuzzerInitialize(&argc, &argv);
	if (argc == 3 && !strcmp(argv[1], "--seeds"))
		return write_seeds(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "--corpus"))
		return run_folder(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "--seconds"))
		return run_random((unsigned)strtoul(argv[2], NULL, 10));
	for (int i = 1; i < argc; i++)
		failed |= run_file(argv[i]);
	printf("%d files\n", argc - 1);
	return failed;
}
