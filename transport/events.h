/*
 * The client's service thread: runs host functions and prints what the device printed, in the
 * order in which they came. It is a thread of its own because a host function may take as long as
 * it likes, and receiving must go on meanwhile. Started with the first event.
 */
#ifndef GENIE_TRANSPORT_EVENTS_H
#define GENIE_TRANSPORT_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/chan.h"

struct genie_events;

/* @done is called on the service thread after a host function has run. NULL: out of memory. */
struct genie_events *genie_events_create(const struct genie_chan_events *callbacks,
					 void (*done)(void *data, uint64_t id), void *data);
/* Ends the thread: text that is queued is shown first, functions are dropped, one that runs is
 * waited for. */
void genie_events_stop(struct genie_events *events);
/* Stops, and frees. */
void genie_events_destroy(struct genie_events *events);

/* Queue; any thread. Beyond a limit output is dropped and said so; a host function cannot be:
 * returns negative errno then (-EPROTO: more than there can be), and the session ends. */
int genie_events_host_func(struct genie_events *events, uint64_t id);
void genie_events_output(struct genie_events *events, const char *text, size_t len, bool is_error);

#endif
