/*
 * The area: what both ends of a session look at. Over shared memory it is one memfd that client
 * and worker map; over TCP it is private memory of the client, and the client's receiving thread
 * writes there what a worker would have written. So submitting, waiting and asking for progress
 * are the same code for every transport.
 *
 * Over shared memory the other side may write anything at any time. Nobody takes a position or a
 * length from here without checking it, and each side keeps its own copy of what it wrote itself.
 *
 * It is 300 MiB of addresses and almost no memory: pages nobody touched do not exist.
 */
#ifndef GENIE_TRANSPORT_AREA_H
#define GENIE_TRANSPORT_AREA_H

#include <stdatomic.h>
#include <stdint.h>

#include "transport/relax.h"
#include "wire/proto.h"

/* Threads that can have a lane at a time. The first ones have a ring of their own; the others
 * share rings, but each has its own place for replies. */
#define GENIE_AREA_LANES 4096u
#define GENIE_AREA_LINE  64 /* bytes of a cache line: one writer per line */

/* Sleepers that wait for progress are spread over these by slot number, so that publishing wakes
 * few threads that wait for something else. The last two are for staging slots. */
#define GENIE_AREA_BELLS     66u
#define GENIE_AREA_BELL_UP   64u
#define GENIE_AREA_BELL_DOWN 65u

/* Both positions count bytes since the beginning and never wrap; their low bits are the offset. */
struct genie_area_ring {
	_Alignas(GENIE_AREA_LINE) _Atomic uint64_t tail; /* written by the producer */
	_Alignas(GENIE_AREA_LINE) _Atomic uint64_t head; /* written by the consumer */
	struct genie_bell space;                         /* the producer sleeps here when full */
};

/* One answer. A thread has at most one call that waits. */
struct genie_area_reply {
	_Alignas(GENIE_AREA_LINE) _Atomic uint64_t ticket; /* written last */
	uint32_t len;                                      /* payload bytes */
	int32_t status;
	struct genie_bell bell;
	_Alignas(GENIE_AREA_LINE) uint8_t payload[GENIE_REPLY_MAX];
};

/* The asynchronous error: a sequence lock, because a sticky error may replace another one. */
struct genie_area_error {
	_Alignas(GENIE_AREA_LINE) _Atomic uint64_t ticket; /* 0: none */
	_Atomic uint64_t seq;                              /* odd while it is written */
	_Atomic uint64_t status_op;
	_Atomic uint64_t sticky;
	/* Written by the client: the error with this ticket was reported; make room. */
	_Alignas(GENIE_AREA_LINE) _Atomic uint64_t acked;
};

struct genie_area {
	_Alignas(
		GENIE_AREA_LINE) struct genie_bell work; /* the consumer of the rings sleeps here */
	_Atomic uint32_t ring_count; /* rings [0, ring_count) may have commands */
	struct genie_area_error error;
	_Alignas(GENIE_AREA_LINE) struct genie_bell bells[GENIE_AREA_BELLS];
	struct genie_area_ring rings[GENIE_LANES_MAX];
	_Alignas(4096) _Atomic uint64_t progress[GENIE_SLOTS_MAX];
	_Alignas(4096) struct genie_area_reply replies[GENIE_AREA_LANES];
	_Alignas(4096) uint8_t ring_data[GENIE_LANES_MAX][GENIE_LANE_RING];
};

/* The bell at which waiters for progress of @slot sleep. */
struct genie_bell *genie_area_bell(struct genie_area *area, uint32_t slot);

/* ---- written by the worker, or by the client's receiver ---- */

/* @len at most GENIE_REPLY_MAX, @lane below GENIE_AREA_LANES. */
void genie_area_reply(struct genie_area *area, uint32_t lane, uint64_t ticket, int32_t status,
		      const void *payload, uint32_t len);
/* A smaller ticket than before is ignored. */
void genie_area_progress(struct genie_area *area, uint32_t slot, uint64_t ticket);
/* The first error stays until the client acknowledged it; a sticky one replaces one that is not.
 * Callers take turns (the caller's lock). */
void genie_area_error(struct genie_area *area, const struct genie_async_error *error);
/* Wakes everybody who sleeps in here: something happened to the session itself. */
void genie_area_wake_all(struct genie_area *area);

/* ---- read by the client ---- */

/* ticket 0 when there is no error that was not acknowledged. */
struct genie_async_error genie_area_error_get(const struct genie_area *area);
void genie_area_error_ack(struct genie_area *area, uint64_t ticket);

#endif
