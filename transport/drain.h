/*
 * The consumer of the command rings: takes commands of all lanes in ticket order. Over shared
 * memory this is the worker, over TCP the client's sender.
 *
 * It knows the next ticket. Most often the next command is in the lane of the last one; else it
 * looks at the heads of all rings. A command is copied to the caller's memory before it is looked
 * at, and the copy must still say what was checked in the ring.
 */
#ifndef GENIE_TRANSPORT_DRAIN_H
#define GENIE_TRANSPORT_DRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "transport/area.h"

/* Fills the rest of a ring when the next command does not fit before its end. It has only the
 * first 8 bytes of a header (there may be no room for more) and no ticket; it never leaves the
 * ring. The command genieNop has the same op, but not this flag. */
#define GENIE_OP_NOP   0
#define GENIE_CMD_PAD  0x8000
#define GENIE_PAD_SIZE 8

struct genie_drain {
	struct genie_area *area;
	uint64_t next;                   /* ticket */
	uint64_t heads[GENIE_LANES_MAX]; /* ours: the shared ones are only for the producers */
	uint64_t tails[GENIE_LANES_MAX]; /* as last seen: read again only when all of it is taken */
	unsigned ring;                   /* where the last command was */
	char why[96];                    /* after -EPROTO */
};

void genie_drain_init(struct genie_drain *drain, struct genie_area *area);

/*
 * Copies the next command to @buf. Returns its length; 0: not there yet; -ENOBUFS: longer than
 * @room; -EPROTO: the ring makes no sense (drain->why).
 */
int genie_drain_next(struct genie_drain *drain, void *buf, size_t room);

#endif
