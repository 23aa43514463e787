/*
 * A CUDA program that the fuzzer writes: a list of calls of the driver's API, each with two small
 * numbers. Buffers have exactly the size that the call is told and are freed as soon as CUDA allows
 * it, so the address sanitizer sees whatever is written beyond, or too late.
 */
#ifndef GENIE_TESTS_FUZZ_CLIENT_PROGRAM_H
#define GENIE_TESTS_FUZZ_CLIENT_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

#define PROGRAM_CALLS_MAX 32

struct program_call {
	uint8_t what, a, b;
};

struct program {
	unsigned count;
	struct program_call calls[PROGRAM_CALLS_MAX];
};

/* How many different calls there are, and the name of one. */
extern const unsigned program_kinds;
const char *program_name(unsigned what);

/* Ends the process when a call returns what no driver does. */
void program_run(const struct program *program);

/* The inside of the client, fuzz_inside.c: any call that travels, as a stub would make it. */
int fuzz_inside_call(unsigned op, void *args);

#endif
