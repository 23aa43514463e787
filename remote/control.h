/*
 * What the supervisor, its greeters and its workers tell each other: one fixed message, with a
 * descriptor where one is handed over, on a socket pair that keeps messages whole.
 */
#ifndef GENIE_REMOTE_CONTROL_H
#define GENIE_REMOTE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "remote/share.h"
#include "wire/proto.h"

enum genie_control_kind {
	/* greeter to supervisor */
	GENIE_CONTROL_GREETED = 1, /* with the connection: it said a good hello */
	GENIE_CONTROL_REFUSED,     /* text says why */
	/* supervisor to worker */
	GENIE_CONTROL_SERVE,        /* with a connection: be its session */
	GENIE_CONTROL_QUERY,        /* with a connection: only say what is here */
	GENIE_CONTROL_JOIN,         /* with the bulk connection of the session you serve */
	GENIE_CONTROL_SHARE_ANSWER, /* to the two requests below; with the descriptor, if any */
	/* worker to supervisor */
	GENIE_CONTROL_READY,          /* the device is open; text names it */
	GENIE_CONTROL_FAILED,         /* the device cannot be opened; text says why */
	GENIE_CONTROL_IDLE,           /* the query is answered: ready for the next thing */
	GENIE_CONTROL_ENDED,          /* the session is over; text says why */
	GENIE_CONTROL_SHARE_PUT,      /* others may have this; with a descriptor, if it has one */
	GENIE_CONTROL_SHARE_GET,      /* what is behind share.id? */
	GENIE_CONTROL_SHARE_WITHDRAW, /* share.id is gone; no answer */
};

struct genie_control {
	uint32_t kind;
	uint32_t is_shm;
	uint32_t device;  /* GENIE_CONTROL_READY: enum genie_device_kind */
	int32_t error;    /* GENIE_CONTROL_SHARE_ANSWER: 0 or negative errno */
	uint64_t request; /* GENIE_CONTROL_SHARE_*: number that the answer repeats */
	struct genie_share share;
	uint8_t session_id[16];
	struct genie_hello hello;
	char text[256];
};

/* A pair of connected ends, both close-on-exec. 0 or negative errno. */
int genie_control_pair(int ret_socks[2]);

/* @fd < 0: none. Does not block. 0 or negative errno. */
int genie_control_send(int sock, const struct genie_control *message, int fd);

/*
 * Waits for a message unless the socket is not blocking. *ret_fd is a new descriptor or -1.
 * -ECONNRESET: the other end is gone; -EAGAIN: nothing there.
 */
int genie_control_receive(int sock, struct genie_control *ret_message, int *ret_fd);

#endif
