/* The worker processes as the supervisor knows them. */
#ifndef GENIE_REMOTE_POOL_H
#define GENIE_REMOTE_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "remote/control.h"
#include "remote/ledger.h"
#include "remote/shares.h"

enum genie_worker_state {
	GENIE_WORKER_STARTING, /* opens the device */
	GENIE_WORKER_IDLE,     /* ready for a client */
	GENIE_WORKER_BUSY,     /* serves one */
	GENIE_WORKER_LOST,     /* its control socket closed: it is ending */
};

struct genie_worker {
	struct genie_worker *next;
	pid_t pid;
	int control;
	enum genie_worker_state state;
	bool serving; /* has a session, and a number in the log */
	uint64_t number;
	uint8_t session_id[16];
	int64_t since_ms;
	char who[256]; /* the client, for the log */
	char why[256]; /* why the session ended, from the worker itself */
};

struct genie_pool {
	struct genie_worker *workers;
	const char *device; /* "auto" until the first worker has found out */
	int warm;           /* workers kept ready; -1 until the device is known */
	int max_clients;
	struct genie_ledger *ledger; /* shared with the workers; may be NULL */
	uint64_t sessions;           /* so far */
	bool known;                  /* a worker opened the device: it works */
	bool ending;                 /* workers are told to end: that they do is no news */
	int64_t retry_ms;            /* not before then is another one started */
	int failures;                /* in a row */
	struct genie_shares shares;  /* what the sessions let each other use */
	char failure[256];           /* what the last one that failed said */
	/* Called in a new worker before anything else: closes what is the supervisor's. */
	void (*child)(void *data);
	void *data;
};

int64_t genie_now_ms(void);

/* Starts workers until enough are ready or on the way. */
void genie_pool_fill(struct genie_pool *pool);
/* Hands a greeted connection over and closes it here; refuses it when that is not possible. */
void genie_pool_serve(struct genie_pool *pool, const struct genie_control *greeted, int fd);
/* Something came from a worker: reads all of it. */
void genie_pool_hear(struct genie_pool *pool, struct genie_worker *worker);
/* A child process ended. False: it was none of ours. */
bool genie_pool_reap(struct genie_pool *pool, pid_t pid, int status);
/* Signals every worker. */
void genie_pool_kill(struct genie_pool *pool, int signal);
/* In a forked child: closes the sockets of all workers. */
void genie_pool_forget(struct genie_pool *pool);

#endif
