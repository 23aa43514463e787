/*
 * Answers that never change (`query` in api/cuda.sem), remembered by the encoded arguments.
 */
#ifndef GENIE_INTERPOSE_CACHE_H
#define GENIE_INTERPOSE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "genie_ops.h"

#define GENIE_QUERY_MAX 512 /* longer arguments are asked about each time */

struct genie_query {
	enum genie_op op;
	uint32_t ctx;
	size_t len;
	uint8_t bytes[GENIE_QUERY_MAX];
};

/* Encodes; false when the arguments are too long to be remembered. */
bool genie_query_init(struct genie_query *query, enum genie_op op, const void *args, uint32_t ctx);
/* The answer's payload, valid for the life of the process, or NULL. */
const void *genie_query_find(const struct genie_query *query, size_t *ret_len);
void genie_query_store(const struct genie_query *query, const void *reply, size_t len);

#endif
