/* What the sessions of a server share, as the supervisor keeps it: names and descriptors. */
#ifndef GENIE_REMOTE_SHARES_H
#define GENIE_REMOTE_SHARES_H

#include <sys/types.h>

#include "remote/share.h"

#define GENIE_SHARES_BUCKETS 256u
#define GENIE_SHARES_MAX     2048u /* of one session: each may hold a descriptor */

struct genie_shared;

struct genie_shares {
	struct genie_shared *buckets[GENIE_SHARES_BUCKETS];
};

/* Takes @fd (-1: none), also when it fails. 0; -EEXIST; -ENOSPC: @owner has too many; -ENOMEM. */
int genie_shares_put(struct genie_shares *shares, pid_t owner, const struct genie_share *share,
		     int fd);
/* What a name stands for; *ret_fd stays the table's. -ENOENT. */
int genie_shares_get(const struct genie_shares *shares, const uint8_t id[GENIE_SHARE_ID],
		     struct genie_share *ret_share, int *ret_fd);
/* Only what is @owner's. */
void genie_shares_withdraw(struct genie_shares *shares, pid_t owner,
			   const uint8_t id[GENIE_SHARE_ID]);
/* Everything of a worker that ended; 0: of all, in a forked child. */
void genie_shares_forget(struct genie_shares *shares, pid_t owner);

#endif
