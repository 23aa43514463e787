/* A worker: one process that opens the device, waits for a client and serves it to its end. */
#ifndef GENIE_REMOTE_WORKER_H
#define GENIE_REMOTE_WORKER_H

#include <stdbool.h>

struct genie_ledger;

struct genie_worker_opts {
	const char *device;          /* "auto", "cuda", "cpu", "record" */
	int control;                 /* socket to the supervisor; owned */
	struct genie_ledger *ledger; /* shared with all workers; may be NULL */
	bool warm; /* make the primary context of the first device before a client comes */
};

/* The rest of the life of the process. */
_Noreturn void genie_worker_main(const struct genie_worker_opts *opts);

#endif
