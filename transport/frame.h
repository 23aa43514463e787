/*
 * Frames: what passes over a session's socket besides commands. Over TCP the worker's answers,
 * progress and errors; over a unix socket only what does not fit shared memory.
 */
#ifndef GENIE_TRANSPORT_FRAME_H
#define GENIE_TRANSPORT_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "wire/proto.h"

/* Wire values: append only, never reuse. */
enum genie_frame_type {
	GENIE_FRAME_REPLY = 1,    /* to the client: struct genie_reply, payload; .lane says whose */
	GENIE_FRAME_PROGRESS = 2, /* to the client: struct genie_progress */
	GENIE_FRAME_ERROR = 3,    /* to the client: struct genie_async_error */
	GENIE_FRAME_HOST_FUNC = 4, /* to the client: uint64_t id; TCP: GENIE_FRAME_CALL_SLOT */
	GENIE_FRAME_OUTPUT = 5,    /* to the client: text for its standard output */
	GENIE_FRAME_HOST_DONE = 6, /* to the worker: uint64_t id; TCP: GENIE_BULK_HOST_DONE */
	GENIE_FRAME_BYE = 7,       /* to the worker: uint64_t 0; the client closes */
	GENIE_FRAME_COMPLAINT = 8, /* to the client: text for its standard error */
	GENIE_FRAME_HOST_DATA = 9, /* TCP, to the client: uint64_t address in the pinned window,
				      bytes for it; before the host function that reads them */
};

struct genie_frame {
	uint32_t len;  /* of the payload that follows, at most GENIE_FRAME_MAX */
	uint16_t type; /* enum genie_frame_type */
	uint16_t lane; /* GENIE_FRAME_REPLY */
};
_Static_assert(sizeof(struct genie_frame) == 8, "wire");

/* Over TCP the id of a host function travels as the ticket of a struct genie_progress with this
 * slot: like progress it must not overtake the bulk bytes that were sent before it. */
#define GENIE_FRAME_CALL_SLOT UINT32_MAX

#define GENIE_FRAME_MAX (sizeof(struct genie_reply) + GENIE_REPLY_MAX)

/*
 * Over TCP the answer of a host function travels to the worker as a bulk frame with this slot, no
 * bytes, and the id as its ticket: never among the commands, where it would wait behind one that
 * waits for it. (Version 1 sent it there, as a command with flag 0x4000; that flag stays unused.)
 */
#define GENIE_BULK_HOST_DONE UINT32_MAX

/* And what it wrote for a copy of a graph before that: bytes for the pinned window, at the address
 * in the ticket. */
#define GENIE_BULK_HOST_DATA (UINT32_MAX - 1)

/* Bulk bytes over TCP, on their own connection, both ways. */
struct genie_bulk_frame {
	uint32_t slot;   /* of staging, or GENIE_BULK_HOST_DONE, GENIE_BULK_HOST_DATA */
	uint32_t len;    /* bytes that follow, at most GENIE_BULK_CHUNK */
	uint64_t ticket; /* to the client: of the command; to the worker: 0 */
};
_Static_assert(sizeof(struct genie_bulk_frame) == 16, "wire");

/* The receiving end: a buffer that holds whole frames and the beginning of one more. */
struct genie_frames {
	uint8_t *buf;
	size_t size, start, end;
};

int genie_frames_init(struct genie_frames *frames); /* 0 or -ENOMEM */
void genie_frames_fini(struct genie_frames *frames);
/* Receives what is there without waiting: bytes, 0 = nothing, negative errno. */
int genie_frames_fill(struct genie_frames *frames, int fd);
/* 1: a whole frame, valid until the next fill; 0: not yet; -EPROTO: impossible length. */
int genie_frames_next(struct genie_frames *frames, struct genie_frame *ret_frame,
		      const void **ret_payload);

#endif
