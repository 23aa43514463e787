/*
 * A fuzz target, and what fuzz_main.c needs to begin with.
 */
#ifndef GENIE_TESTS_FUZZ_FUZZ_H
#define GENIE_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Before the first input. Not every target has it. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

#endif
