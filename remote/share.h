/*
 * What one session lets others of the same server use: pages of device memory and events.
 *
 * The supervisor keeps what is shared, by names that cannot be guessed; a worker asks it for the
 * descriptor behind a name. Nothing of one session is reachable for another except by such a name,
 * and a session that ends takes its names along.
 */
#ifndef GENIE_REMOTE_SHARE_H
#define GENIE_REMOTE_SHARE_H

#include "remote/mapping.h"

enum genie_share_kind {
	GENIE_SHARE_PAGES = 1, /* with a descriptor */
	GENIE_SHARE_EVENT = 2, /* bytes: the driver's own handle */
};

struct genie_share {
	uint8_t id[GENIE_SHARE_ID];
	uint32_t kind;
	int32_t device;
	uint64_t size;
	uint8_t bytes[64];
};

/* Where the names are kept: the supervisor, or a table in a test. */
struct genie_broker {
	/* 0 or negative errno. Borrows @fd (-1: none). */
	int (*put)(void *data, const struct genie_share *share, int fd);
	/* -ENOENT: no such name. *ret_fd is the caller's, or -1. */
	int (*get)(void *data, const uint8_t id[GENIE_SHARE_ID], struct genie_share *ret_share,
		   int *ret_fd);
	void (*withdraw)(void *data, const uint8_t id[GENIE_SHARE_ID]);
	void *data;
};

/* The pages are not there any more: nobody can begin to use them. Any thread. */
void genie_share_withdraw(struct genie_session *session, const uint8_t id[GENIE_SHARE_ID]);

#endif
