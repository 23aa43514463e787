/*
 * A sorted table of address ranges that do not overlap, each with what is known about the memory:
 * registered host memory, module variables. Few of them, looked up at every copy: an empty table
 * costs one load.
 */
#ifndef GENIE_INTERPOSE_RANGE_H
#define GENIE_INTERPOSE_RANGE_H

#include "interpose/client.h"

struct genie_ranges {
	pthread_rwlock_t lock; /* guards items and capacity; count is read without it */
	_Atomic size_t count;
	size_t capacity;
	struct genie_mem *items;
};
#define GENIE_RANGES_INIT                                                                          \
	{                                                                                          \
		.lock = PTHREAD_RWLOCK_INITIALIZER                                                 \
	}

/* Adds a range. 0, -EEXIST: overlaps another one, -ENOMEM. */
int genie_ranges_add(struct genie_ranges *ranges, const struct genie_mem *mem);
/* Removes the range that begins at @base. 0 or -ENOENT. @ret_mem may be NULL. */
int genie_ranges_remove(struct genie_ranges *ranges, uint64_t base, struct genie_mem *ret_mem);
/* The range that contains @addr. */
bool genie_ranges_find(struct genie_ranges *ranges, uint64_t addr, struct genie_mem *ret_mem);
/* Gives the range that begins at @base its twin, if @twin is not 0. Returns the twin it has. */
uint64_t genie_ranges_twin(struct genie_ranges *ranges, uint64_t base, uint64_t twin);
/* Is any byte of [@base, @base + @size) in a range? */
bool genie_ranges_overlap(struct genie_ranges *ranges, uint64_t base, uint64_t size);
/* Removes all ranges of a context. */
void genie_ranges_forget_ctx(struct genie_ranges *ranges, const struct genie_ctx *ctx);
/* Takes out one range of @ctx; false: there is none. */
bool genie_ranges_take_ctx(struct genie_ranges *ranges, const struct genie_ctx *ctx,
			   struct genie_mem *ret_mem);

#endif
