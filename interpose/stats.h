/*
 * What this process did, for GENIE_STATS=FILE: one JSON object, written when the process ends.
 */
#ifndef GENIE_INTERPOSE_STATS_H
#define GENIE_INTERPOSE_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sums over all threads, ended ones included (thread.c). */
struct genie_thread_counters {
	uint64_t calls, async_calls, launches, round_trips;
};
void genie_thread_counters(struct genie_thread_counters *ret_sum);

/* One more call of an unsupported function; true the first time for that name. @name is kept. */
bool genie_stats_first_unsupported(const char *name);
/* Statistics will be written when this process ends. */
bool genie_stats_wanted(void);
/* Remembers GENIE_STATS; a relative name is relative to where the program started. */
void genie_stats_init(void);
void genie_stats_fork_child(void);
/* Exported: the statistics as they are now (stats.c). */
long genieStatsRead(char *buffer, size_t size);

#endif
