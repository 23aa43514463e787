/*
 * The worker's side of handles: which backend object a client's token stands for.
 *
 * Tokens are made by the client, so everything about them is checked here: the kind, the
 * generation, the index against a hard limit. A token that does not fit is an invalid handle, never
 * a crash; naming an index that is still in use is a broken protocol and ends the session.
 *
 * One table per kind, two levels: an array of blocks that are allocated when their first index is
 * named. Looking up costs two loads and one compare, because the whole token is stored and
 * compared. Used by the issuing thread alone.
 */
#ifndef GENIE_REMOTE_OBJECT_H
#define GENIE_REMOTE_OBJECT_H

#include <stddef.h>
#include <stdint.h>

#include "base/token.h"

#define GENIE_OBJECT_BLOCK 1024u /* entries of one block */

struct genie_object {
	uint64_t token; /* 0 = free */
	void *handle;   /* the backend's object */
	void *state;    /* what the worker keeps with it, by kind; owned by who set it. Of an object
			   that the server named: the next one with the same hash */
	int32_t status; /* the CUresult with which making it failed; CUDA_SUCCESS normally */
	uint32_t ctx;   /* index of the context it belongs to, 0 = none */
};

struct genie_object_table {
	struct genie_object **blocks; /* blocks_max pointers, NULL until first used */
	uint32_t blocks_max;          /* from the kind's limit; set at the first bind */
	uint32_t live;
};

struct genie_objects {
	struct genie_object_table client[GENIE_KIND_COUNT];
	struct genie_object_table server[GENIE_KIND_COUNT]; /* indices from SERVER_BASE on */
	uint32_t server_next[GENIE_KIND_COUNT];             /* index of the next one */
	struct genie_object **by_handle[GENIE_KIND_COUNT];  /* server: hash of the handle */
};

/* How many objects of a kind a session may have; wire/proto.h has a slot for each that needs one.
 */
uint32_t genie_object_limit(enum genie_kind kind);

/*
 * Makes @token stand for @handle. 0; -EINVAL: not a token of that kind, or beyond the limit;
 * -EEXIST: the index is in use; -ENOMEM. The entry stays where it is until it is dropped.
 */
int genie_object_bind(struct genie_objects *objects, enum genie_kind kind, uint64_t token,
		      void *handle, struct genie_object **ret_object);

/* Makes a token for @handle, which the backend named; the same handle gets the same token. 0 when
 * there is no room. */
uint64_t genie_object_name(struct genie_objects *objects, enum genie_kind kind, void *handle);

/* NULL: not a live object of that kind. */
struct genie_object *genie_object_find(const struct genie_objects *objects, enum genie_kind kind,
				       uint64_t token);

/* The token is not valid any more. Does nothing when it is not. */
void genie_object_drop(struct genie_objects *objects, enum genie_kind kind, uint64_t token);

/* Calls @fn for every live object of a kind; @fn may drop it. */
void genie_object_each(struct genie_objects *objects, enum genie_kind kind,
		       void (*fn)(struct genie_object *object, void *data), void *data);

/* Frees the tables; what entries point to is left to who set it. */
void genie_objects_fini(struct genie_objects *objects);

#endif
