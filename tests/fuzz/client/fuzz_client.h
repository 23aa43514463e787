#ifndef GENIE_TESTS_FUZZ_CLIENT_FUZZ_CLIENT_H
#define GENIE_TESTS_FUZZ_CLIENT_FUZZ_CLIENT_H

#include "tests/fuzz/client/hostile.h"
#include "tests/fuzz/client/program.h"

#define FUZZ_INPUT_MAX 4096

struct fuzz_input {
	unsigned mode, perf;
	struct program program;
	struct hostile_script script;
};

bool fuzz_lie_has_bytes(enum hostile_kind kind);
/* The bytes that are read as @input, at most FUZZ_INPUT_MAX. Returns how many. */
size_t fuzz_input_write(const struct fuzz_input *input, uint8_t *buf);

#endif
