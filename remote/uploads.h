/*
 * What clients upload, by what it contains: a program that runs again over a network need not send
 * the same weights again. The worker keeps the first bytes of a session in files named by their
 * SHA-256; a later client is told the names, and names a chunk instead of sending it.
 *
 * Nothing is believed: a file is used only if its bytes have the hash of its name. The folder
 * belongs to the user that genied runs as; all clients of that genied share it, so one that knows
 * the hash of another's chunk can have it copied to its own memory. Files not used for the longest
 * time go first.
 *
 * Threads: all functions are the issuing thread's; a thread of its own hashes and writes.
 */
#ifndef GENIE_REMOTE_UPLOADS_H
#define GENIE_REMOTE_UPLOADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GENIE_UPLOADS_HASH 32
/* Bytes of a session that are looked at: weights come first. */
#define GENIE_UPLOADS_SESSION (UINT64_C(2) << 30)

struct genie_uploads;

/* Is there anything that a client could name? @cache_dir NULL: no. */
bool genie_uploads_any(const char *cache_dir);

/* NULL: out of memory, or nothing is kept (no folder, or GENIE_CACHE_UPLOADS=0). */
struct genie_uploads *genie_uploads_create(const char *cache_dir);
/* Finishes writing, then frees. Takes NULL, as all below do. */
void genie_uploads_destroy(struct genie_uploads *uploads);

/* The first eight bytes of the names there were at the first call, from the @from-th on: how many
 * were put into @ret_heads, at most @count. */
size_t genie_uploads_names(struct genie_uploads *uploads, uint64_t from, uint64_t *ret_heads,
			   size_t count);

/* The @size bytes of that name, or NULL: not here. Free with free(). */
uint8_t *genie_uploads_load(struct genie_uploads *uploads, const uint8_t *hash, size_t size);

/* Keeps a copy of @data, if there is room for it in this session and the writer is not behind. */
void genie_uploads_keep(struct genie_uploads *uploads, const void *data, size_t size);

#endif
