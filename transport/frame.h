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
	GENIE_FRAME_HOST_FUNC =
		4,              /* to the client: uint64_t id; over TCP a genie_progress, below */
	GENIE_FRAME_OUTPUT = 5, /* to the client: text */
	GENIE_FRAME_HOST_DONE = 6, /* to the worker: uint64_t id */
	GENIE_FRAME_BYE = 7,       /* to the worker: uint64_t 0; the client closes */
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
 * Over TCP the client's messages travel among the commands: a struct genie_cmd with this flag and
 * ticket 0, its payload a struct genie_frame and that frame's payload.
 */
#define GENIE_CMD_MESSAGE 0x4000

/* Bulk bytes over TCP, on their own connection, both ways. */
struct genie_bulk_frame {
	uint32_t slot;
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
