/*
 * Who has how much device memory: what the sessions of one server were promised and what they have
 * mapped, in memory that the supervisor and all workers share. A promise is memory that a client
 * may map without asking; one that another session used up meanwhile would fail when it is too
 * late to tell the program. So a worker promises only what no other session was promised.
 *
 * Each session writes its own entry and reads the others'. There is no lock that a worker could die
 * with: who wants more writes it down first, adds up, and takes it back when it is too much. Two
 * that do so at the same time may both be refused, and ask again.
 *
 * A worker that was taken over by its client can write nonsense here: then others are refused
 * memory, or are told too late. Nobody reads or writes anything else by it.
 */
#ifndef GENIE_REMOTE_LEDGER_H
#define GENIE_REMOTE_LEDGER_H

#include <stdint.h>
#include <sys/types.h>

#include "wire/proto.h"

/* One session. Written by its worker alone (credit and mapped under the completer's lock). */
struct genie_ledger_entry {
	_Atomic int32_t pid;                /* 0: free */
	uint64_t credit[GENIE_DEVICES_MAX]; /* bytes it may map */
	uint64_t mapped[GENIE_DEVICES_MAX]; /* and has mapped */
};

struct genie_ledger;

/* Before the first worker is forked. NULL: no memory; then every session counts alone. */
struct genie_ledger *genie_ledger_create(void);
void genie_ledger_destroy(struct genie_ledger *ledger);

/* An entry for this process. NULL: no ledger, or it is full. */
struct genie_ledger_entry *genie_ledger_join(struct genie_ledger *ledger, pid_t pid);
/* The process is gone, and what it had with it. Called by the supervisor. */
void genie_ledger_leave(struct genie_ledger *ledger, pid_t pid);

/* Of all sessions but @self: what is promised and not mapped yet, and what is mapped. @ledger may
 * be NULL. */
void genie_ledger_others(const struct genie_ledger *ledger, const struct genie_ledger_entry *self,
			 int device, uint64_t *ret_promised, uint64_t *ret_mapped);

/* What @entry was promised and did not map yet. */
uint64_t genie_ledger_promised(const struct genie_ledger_entry *entry, int device);

#endif
