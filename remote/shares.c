#include "remote/shares.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct genie_shared {
	struct genie_shared *next;
	struct genie_share share;
	pid_t owner;
	int fd;
};

/* Names are random, so any byte of one is as good as a hash. */
static struct genie_shared **
bucket(const struct genie_shares *shares, const uint8_t id[GENIE_SHARE_ID])
{
	return (struct genie_shared **)&shares->buckets[id[0] % GENIE_SHARES_BUCKETS];
}

static struct genie_shared **
find(const struct genie_shares *shares, const uint8_t id[GENIE_SHARE_ID])
{
	struct genie_shared **link = bucket(shares, id);

	while (*link && memcmp((*link)->share.id, id, GENIE_SHARE_ID) != 0)
		link = &(*link)->next;
	return link;
}

static void
drop(struct genie_shared **link)
{
	struct genie_shared *shared = *link;

	*link = shared->next;
	if (shared->fd >= 0)
		close(shared->fd);
	free(shared);
}

static unsigned int
count_of(const struct genie_shares *shares, pid_t owner)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < GENIE_SHARES_BUCKETS; i++)
		for (const struct genie_shared *s = shares->buckets[i]; s; s = s->next)
			count += s->owner == owner;
	return count;
}

int
genie_shares_put(struct genie_shares *shares, pid_t owner, const struct genie_share *share, int fd)
{
	struct genie_shared *shared = NULL;
	int error = 0;

	if (*find(shares, share->id))
		error = -EEXIST;
	else if (count_of(shares, owner) >= GENIE_SHARES_MAX)
		error = -ENOSPC;
	else if (!(shared = calloc(1, sizeof(*shared))))
		error = -ENOMEM;
	if (error) {
		if (fd >= 0)
			close(fd);
		return error;
	}
	*shared = (struct genie_shared){
		.next = *bucket(shares, share->id), .share = *share, .owner = owner, .fd = fd};
	*bucket(shares, share->id) = shared;
	return 0;
}

int
genie_shares_get(const struct genie_shares *shares, const uint8_t id[GENIE_SHARE_ID],
		 struct genie_share *ret_share, int *ret_fd)
{
	const struct genie_shared *shared = *find(shares, id);

	if (!shared)
		return -ENOENT;
	*ret_share = shared->share;
	*ret_fd = shared->fd;
	return 0;
}

void
genie_shares_withdraw(struct genie_shares *shares, pid_t owner, const uint8_t id[GENIE_SHARE_ID])
{
	struct genie_shared **link = find(shares, id);

	if (*link && (*link)->owner == owner)
		drop(link);
}

void
genie_shares_forget(struct genie_shares *shares, pid_t owner)
{
	for (unsigned int i = 0; i < GENIE_SHARES_BUCKETS; i++)
		for (struct genie_shared **link = &shares->buckets[i]; *link;)
			if (owner == 0 || (*link)->owner == owner)
				drop(link);
			else
				link = &(*link)->next;
}
