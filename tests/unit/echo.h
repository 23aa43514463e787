/*
 * A tiny worker for the tests of the transports: a child process that listens, greets and serves
 * one session with port.h, without any device. The commands are ours.
 */
#ifndef GENIE_TESTS_UNIT_ECHO_H
#define GENIE_TESTS_UNIT_ECHO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "transport/chan.h"
#include "transport/port.h"

#define ECHO_API_HASH 0x1234u

enum echo_op {
	ECHO_NOP,    /* counts */
	ECHO_REPLY,  /* answers with the payload */
	ECHO_SUM,    /* answers with struct echo_sum: what came so far */
	ECHO_MARK,   /* struct echo_mark: publishes the ticket */
	ECHO_UP,     /* struct echo_bulk: keeps the data at .offset */
	ECHO_DOWN,   /* struct echo_bulk: sends the data at .offset */
	ECHO_ERROR,  /* struct genie_async_error: publishes it with the command's ticket */
	ECHO_HOST,   /* struct echo_mark: runs host function .slot, then publishes the ticket */
	ECHO_OUTPUT, /* prints the payload */
	ECHO_PINNED, /* struct echo_bulk: answers with the byte sum of the pinned window there */
	ECHO_SIZED,  /* uint64_t n: answers with n bytes, byte i is i * 7 */
	ECHO_KILL,   /* the worker kills itself */
	ECHO_HANG,   /* the worker does nothing any more */
	ECHO_TAKE,   /* struct echo_bulk: uses up the data without a look, as a DMA would */
	ECHO_GIVE,   /* struct echo_bulk: sends whatever is in staging */
	ECHO_BLOCK,  /* struct echo_mark: runs host function .slot and waits for it, then answers */
	ECHO_COMPLAIN, /* prints the payload as an error */
};

struct echo_mark {
	uint64_t slot;
};

struct echo_bulk {
	uint64_t ref, offset, len;
	uint64_t slot; /* published when done */
};

struct echo_sum {
	uint64_t count;
	uint64_t errors; /* threads whose commands came out of order */
};

/* The payload of ECHO_NOP in tests of order: one counter a thread. */
struct echo_nop {
	uint64_t thread, number;
};
#define ECHO_THREADS 256
#define ECHO_STORE   (128u << 20)

struct echo {
	pid_t pid;
	char server[160]; /* for genie_chan_opts.server */
	char dir[64];     /* of the socket, "" for TCP */
};

/* @kind: "shm" or "tcp". @token: NULL for none. Fails the test when it cannot. */
void echo_start(const char *kind, const char *token, struct echo *ret_echo);
/* Waits for the end of the worker and returns its wait status; kills it after 5 s. */
int echo_wait(struct echo *echo);
/* Kills and waits. */
void echo_stop(struct echo *echo);

/* Connects to it. NULL and the error in @err when that fails. */
struct genie_chan *echo_connect(const struct echo *echo, const char *token, char *err,
				size_t err_size);

/* ---- what tests do again and again ---- */

/* Submits one command; returns its ticket, 0 when the channel is dead. */
uint64_t echo_submit(struct genie_lane *lane, uint16_t op, uint16_t flags, const void *payload,
		     size_t len);
/* Submits and waits for the answer. 0 or negative errno. */
int echo_call(struct genie_lane *lane, uint16_t op, const void *payload, size_t len, void *answer,
	      size_t max, size_t *ret_len);
/* Copies to and from the worker's store, chunk by chunk. */
int echo_put(struct genie_chan *chan, struct genie_lane *lane, uint64_t offset, const void *src,
	     size_t len);
int echo_get(struct genie_chan *chan, struct genie_lane *lane, uint64_t offset, void *dst,
	     size_t len);

/* The same without the worker's own copy; at most ECHO_STORE. */
int echo_take(struct genie_chan *chan, struct genie_lane *lane, const void *src, size_t len);
int echo_give(struct genie_chan *chan, struct genie_lane *lane, void *dst, size_t len);

unsigned echo_count_fds(void);

#endif
