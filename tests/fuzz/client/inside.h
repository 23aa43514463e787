/*
 * What the fuzzer does to the inside of the client. Linked with the client, which for libFuzzer is
 * a library of its own (libfuzzed_client.so): the whole state of a client is process-wide and lives
 * until the process ends, so between two runs that library's variables are put back, and what it
 * allocated, mapped and opened is let go.
 */
#ifndef GENIE_TESTS_FUZZ_CLIENT_INSIDE_H
#define GENIE_TESTS_FUZZ_CLIENT_INSIDE_H

#include <stdbool.h>

/* Who is asked for a connection instead of the network. Set before the first run. */
extern int (*fuzz_inside_connect)(bool is_shm, int *ret_fd);
/* Closes the session, which a program never does. All threads that used it have ended. */
void fuzz_inside_close(void);
/* Any call that travels, as a stub would make it. Returns its status. */
int fuzz_inside_call(unsigned op, void *args);
/* Remembers the library's variables as they are now. Once. */
void fuzz_inside_snapshot(void);
/* Is something allocated that nothing points to any more? Slow, and before the reset. */
bool fuzz_inside_leaks(void);
/* Puts them back, and lets go of what was allocated and mapped. Closed before. */
void fuzz_inside_reset(void);

#endif
