/*
 * Threads of our own in somebody else's process: every signal is blocked in them, so that the
 * program's handlers run on the program's threads only.
 */
#ifndef GENIE_TRANSPORT_HELPER_H
#define GENIE_TRANSPORT_HELPER_H

#include <pthread.h>
#include <stddef.h>

/* @stack: bytes, 0 for the default (needed where code of the program runs). 0 or -errno. */
int genie_helper_start(pthread_t *ret_thread, const char *name, size_t stack, void *(*fn)(void *),
		       void *data);

/* How many there are. One that is about to end may not be counted any more. */
unsigned int genie_helper_count(void);
/* In the child after fork: there are none. */
void genie_helper_fork_child(void);

/* Enough for what our threads do, and for the thread-local storage of a large program. */
#define GENIE_HELPER_STACK (512u << 10)

#endif
