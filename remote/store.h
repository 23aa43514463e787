/*
 * Kernel images by what they contain: a client names one by its SHA-256 and sends it only if it is
 * not known here, in this session or on disk from an earlier one.
 *
 * Nothing is believed: bytes that arrived are used once their hash is right, and so are files. The
 * folder belongs to one user of this machine; whoever can write to it could only make files that
 * are ignored.
 */
#ifndef GENIE_REMOTE_STORE_H
#define GENIE_REMOTE_STORE_H

#include <stddef.h>
#include <stdint.h>

#define GENIE_STORE_HASH 32
#define GENIE_STORE_MAX  (UINT64_C(1) << 30)

struct genie_store;

struct genie_stored {
	struct genie_stored *next; /* newest first */
	uint8_t hash[GENIE_STORE_HASH];
	uint8_t *data; /* size bytes and zeros behind them */
	size_t size, filled;
	_Atomic int saved; /* on disk, or not to be saved: may be forgotten to make room */
	struct genie_stored *save_next;
};

/* @cache_dir NULL: no files. NULL: out of memory. */
struct genie_store *genie_store_create(const char *cache_dir);
/* Finishes writing, then frees. */
void genie_store_destroy(struct genie_store *store);

/* The whole image, from memory or disk; NULL: not here. Borrowed until the next call. */
struct genie_stored *genie_store_find(struct genie_store *store, const uint8_t *hash);

/*
 * Takes the next piece of an image (copies it). 0; -EINVAL: not the next piece, or sizes that
 * contradict each other; -EBADMSG: complete, but not what its name says; -ENOMEM.
 */
int genie_store_add(struct genie_store *store, const uint8_t *hash, uint64_t total, uint64_t offset,
		    const void *data, size_t size);

/* Where images are kept when nobody says otherwise (GENIE_CACHE_DIR, XDG_CACHE_HOME, HOME); NULL:
 * nowhere. Free with free(). */
char *genie_store_dir(void);

#endif
