/*
 * Who is called, by name, and what was done between two marks: for GENIE_STATS_CALLS=1,
 * GENIE_LOG=trace and the ranges that a program makes with cuProfilerStart() and cuProfilerStop().
 * While nothing is watched this costs a call nothing: the gate of genie_enter() leads here.
 */
#ifndef GENIE_INTERPOSE_WATCH_H
#define GENIE_INTERPOSE_WATCH_H

#include <stdbool.h>
#include <stdio.h>

#include "interpose/client.h"

#define GENIE_GATE_WATCHED (-1) /* the gate of a session without errors whose calls are watched */

/* Reads the settings; genie_stats_init() was before. */
void genie_watch_init(void);
void genie_watch_fork_child(void);
/* The program called @op; GENIE_OP_genieNop: something that has no name. */
void genie_watch_call(enum genie_op op);
/* The call that this thread is in waits for the server. */
void genie_watch_round_trip(enum genie_op op);

static inline void
genie_count_round_trip(struct genie_thread *thread)
{
	genie_count(&thread->round_trips);
	if (__builtin_expect(genie_client.watched, 0))
		genie_watch_round_trip(thread->op);
}

/* A range begins or ends here. Ranges do not nest: the last begin counts. */
void genie_watch_begin(void);
void genie_watch_end(void);

/* "calls_by_name" and "ranges", as members of the object that GENIE_STATS is. */
void genie_watch_write(FILE *file);

#endif
