/*
 * Runs a fuzz target without libFuzzer.
 *
 *     fuzz_decode FILE...            each file once: a crash to look at
 *     fuzz_decode --corpus DIR       each file of a folder once
 *     fuzz_decode --seeds DIR        writes one correct message of every call, to start from
 *     fuzz_decode --seconds N        changes such messages at random for N seconds; prints the
 *                                    seed of its random numbers, GENIE_FUZZ_SEED repeats it
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "wire/codec.h"

#define INPUT_MAX 4096

static uint64_t random_state;

static uint32_t
random32(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(random_state >> 33);
}

/* A correct message of @op: every pointer present, every count 2. Returns its size, 0: none. */
static size_t
make_seed(uint16_t op, uint8_t *buf)
{
	const struct genie_op_desc *desc = genie_op_desc(op);
	static _Alignas(64) uint8_t data[INPUT_MAX];
	static _Alignas(8) uint8_t args[1024];
	struct genie_writer writer;
	uint64_t count = 2;
	size_t size;

	if (!desc || desc->args_size > sizeof(args))
		return 0;
	memset(args, 0, sizeof(args));
	memset(data, 0, sizeof(data));
	memcpy(data, &count, sizeof(count)); /* what a pointer to a count finds; a string of 1 */
	for (unsigned i = 0; i < desc->arg_count; i++) {
		const struct genie_arg_desc *arg = &desc->args[i];
		void *pointer = data;

		if (arg->kind == GENIE_ARG_VALUE)
			continue;
		memcpy(args + arg->offset, &pointer, sizeof(pointer));
		if (arg->len_size && !arg->len_deref)
			memcpy(args + arg->len_offset, &count, arg->len_size);
	}
	size = genie_encoded_size((enum genie_op)op, args);
	if (size > INPUT_MAX - sizeof(op))
		return 0;
	memcpy(buf, &op, sizeof(op));
	genie_writer_init(&writer, buf + sizeof(op), size);
	genie_encode_args(&writer, (enum genie_op)op, args);
	return sizeof(op) + size;
}

/* One of a few changes that hostile messages are made of. */
static size_t
mutate(uint8_t *buf, size_t size)
{
	static const uint64_t edges[] = {0,
					 1,
					 7,
					 8,
					 0xffff,
					 0x10000,
					 INT32_MAX,
					 UINT32_MAX,
					 (uint64_t)1 << 46,
					 INT64_MAX,
					 UINT64_MAX,
					 0x5A5A020000000001,
					 UINT64_MAX - 7};
	size_t at = random32() % size;
	uint64_t edge = edges[random32() % (sizeof(edges) / sizeof(edges[0]))];
	size_t width = (size_t)1 << random32() % 4;

	switch (random32() % 5) {
	case 0:
		buf[at] ^= (uint8_t)(1u << random32() % 8);
		break;
	case 1:
		buf[at] = (uint8_t)random32();
		break;
	case 2: /* lengths lie at multiples of 4, after the id */
		at = 2 + at / 4 * 4;
		if (at + width <= size)
			memcpy(buf + at, &edge, width);
		break;
	case 3:
		if (size > 10)
			size -= random32() % 9;
		break;
	case 4:
		if (size + 8 <= INPUT_MAX) {
			memset(buf + size, (int)random32(), 8);
			size += 8;
		}
		break;
	}
	return size;
}

static int
run_random(unsigned seconds)
{
	const char *again = getenv("GENIE_FUZZ_SEED");
	time_t end = time(NULL) + (time_t)seconds;
	static uint8_t buf[INPUT_MAX];
	unsigned long runs = 0;

	random_state =
		again ? strtoull(again, NULL, 0) : (uint64_t)time(NULL) << 16 ^ (unsigned)getpid();
	printf("GENIE_FUZZ_SEED=%#llx\n", (unsigned long long)random_state);
	fflush(stdout);
	while ((runs & 0xfff) || time(NULL) < end) {
		size_t size = make_seed((uint16_t)(random32() % GENIE_OP_MAX), buf);

		runs++;
		if (!size)
			continue;
		LLVMFuzzerTestOneInput(buf, size);
		for (unsigned n = random32() % 8; n > 0; n--) {
			size = mutate(buf, size);
			LLVMFuzzerTestOneInput(buf, size);
		}
	}
	printf("%lu messages changed at random\n", runs);
	return 0;
}

static int
write_seeds(const char *folder)
{
	static uint8_t buf[INPUT_MAX];
	unsigned written = 0;

	for (uint32_t op = 0; op < GENIE_OP_MAX; op++) {
		size_t size = make_seed((uint16_t)op, buf);
		char path[4096];
		FILE *file;

		if (!size)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, genie_op_desc(op)->name);
		file = fopen(path, "wb");
		if (!file || fwrite(buf, 1, size, file) != size || fclose(file)) {
			perror(path);
			return 1;
		}
		written++;
	}
	printf("%u seeds in %s\n", written, folder);
	return 0;
}

static int
run_file(const char *path)
{
	static uint8_t buf[GENIE_CMD_MAX + 16];
	FILE *file = fopen(path, "rb");
	size_t size;

	if (!file) {
		perror(path);
		return 1;
	}
	size = fread(buf, 1, sizeof(buf), file);
	fclose(file);
	LLVMFuzzerTestOneInput(buf, size);
	return 0;
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

int
main(int argc, char **argv)
{
	int failed = 0;

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
