/*
 * What the issuing thread's time goes into, for GENIED_STATS=FILE (%p in it is the worker's process
 * id; a worker that ends with its session writes it then). One command in TIMING_EVERY is timed.
 */
#ifndef GENIE_REMOTE_TIMING_H
#define GENIE_REMOTE_TIMING_H

#include <stdbool.h>
#include <stdint.h>

/* Asks the environment; before the first command. */
void genie_timing_init(void);
/* Of the issuing thread only, once a command: is this one timed? */
bool genie_timing_due(void);
uint64_t genie_timing_now(void);
void genie_timing_add(uint64_t begin_ns, uint64_t decoded_ns, uint64_t issued_ns);
/* Writes the file, if one was asked for. */
void genie_timing_write(void);

#endif
