/*
 * A program that runs again uploads the same weights again. Over a network the server tells, once,
 * the first bytes of the names (SHA-256) of the chunks that it kept; a chunk whose name is among
 * them is named, and sent only if it turns out that it is not there.
 *
 * Hashing costs about as much as a fast wire. It is done only while it pays: after enough bytes
 * that the server did not have, the rest of the session is sent as it is.
 */
#include "interpose/upload.h"

#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

/* So much that was hashed for nothing in a row is enough. */
#define MISSED_MAX (UINT64_C(64) << 20)
/* Names one answer has room for, and all that are remembered. */
#define NAMES_AT_ONCE 4096
#define NAMES_MAX     65536

static struct {
	pthread_mutex_t lock; /* held while the names are asked for */
	_Atomic int state;    /* ASK, USE, SEND */
	uint64_t *heads;      /* sorted; not written any more in state USE */
	size_t count;
	_Atomic uint64_t missed, saved; /* bytes */
} known = {.lock = PTHREAD_MUTEX_INITIALIZER};

enum { ASK, USE, SEND };

static int
compare_heads(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* All names of the server. False: none, or they cannot be had. */
static bool
ask_locked(void)
{
	uint64_t *heads = malloc(NAMES_MAX * sizeof(*heads));
	size_t count = 0, got = NAMES_AT_ONCE;

	while (heads && got == NAMES_AT_ONCE && count + NAMES_AT_ONCE <= NAMES_MAX) {
		struct genie_args_genieUploadNames args = {
			.from = count,
			.heads = (unsigned long long *)(void *)(heads + count),
			.count = &got};

		if (genie_call(GENIE_OP_genieUploadNames, &args) != CUDA_SUCCESS ||
		    got > NAMES_AT_ONCE)
			got = 0;
		count += got;
	}
	if (!count) {
		free(heads);
		return false;
	}
	qsort(heads, count, sizeof(*heads), compare_heads);
	known.heads = heads;
	known.count = count;
	return true;
}

bool
genie_upload_may_be_known(size_t size)
{
	/* acquire: pairs with the store below, and so the names are there */
	int state = atomic_load_explicit(&known.state, memory_order_acquire);

	if (state == SEND || size < GENIE_UPLOAD_MIN)
		return false;
	if (state == USE)
		return true;
	pthread_mutex_lock(&known.lock);
	state = atomic_load_explicit(&known.state, memory_order_relaxed);
	if (state == ASK) {
		state = SEND;
		if (genie_client.welcome->flags & GENIE_WELCOME_F_UPLOADS &&
		    !(genie_client.welcome->flags & GENIE_WELCOME_F_SHARED_PINNED) &&
		    genie_perf(GENIE_PERF_UPLOADS) && ask_locked())
			state = USE;
		atomic_store_explicit(&known.state, state, memory_order_release);
	}
	pthread_mutex_unlock(&known.lock);
	return state == USE;
}

static bool
is_known(const uint8_t *hash)
{
	uint64_t head;

	memcpy(&head, hash, sizeof(head));
	return bsearch(&head, known.heads, known.count, sizeof(head), compare_heads) != NULL;
}

static void
account(uint64_t saved, uint64_t missed)
{
	atomic_fetch_add_explicit(&known.saved, saved, memory_order_relaxed);
	if (saved)
		atomic_store_explicit(&known.missed, 0, memory_order_relaxed);
	else if (atomic_fetch_add_explicit(&known.missed, missed, memory_order_relaxed) + missed >
		 MISSED_MAX)
		atomic_store_explicit(&known.state, SEND, memory_order_relaxed);
}

CUresult
genie_upload_named(CUdeviceptr dst, const void *src, size_t size, struct genie_stream *stream,
		   uint64_t *ret_have)
{
	uint8_t hashes[GENIE_UPLOAD_NAMED_MAX][SHA256_DIGEST_SIZE] = {{0}};
	unsigned long long have = 0;
	struct genie_args_genieUploadCopy args = {.dst = dst,
						  .hashes = hashes[0],
						  .size = size,
						  .stream = genie_stream_wire(stream),
						  .have = &have};
	size_t chunks = (size - 1) / GENIE_BULK_CHUNK + 1;
	CUresult status = CUDA_SUCCESS;
	uint64_t asked = 0, saved = 0, ticket = 0;

	for (size_t i = 0; i < chunks; i++) {
		size_t at = i * GENIE_BULK_CHUNK, left = size - at;
		struct sha256_ctx sha;

		if (left < GENIE_UPLOAD_MIN)
			break; /* sent */
		sha256_init(&sha);
		sha256_update(&sha, left < GENIE_BULK_CHUNK ? left : GENIE_BULK_CHUNK,
			      (const uint8_t *)src + at);
		sha256_digest(&sha, sizeof(hashes[i]), hashes[i]);
		if (is_known(hashes[i]))
			asked |= UINT64_C(1) << i;
		else
			memset(hashes[i], 0, sizeof(hashes[i]));
	}
	if (asked) {
		args.hashes_size = chunks * sizeof(hashes[0]);
		status = genie_call_ticket(GENIE_OP_genieUploadCopy, &args, &ticket);
		if (ticket != 0)
			genie_stream_submitted(stream, ticket);
	}
	*ret_have = have & asked;
	for (size_t i = 0; i < chunks; i++)
		if (*ret_have >> i & 1)
			saved += i + 1 < chunks ? GENIE_BULK_CHUNK : size - i * GENIE_BULK_CHUNK;
	account(saved, size - saved);
	return status;
}

uint64_t
genie_upload_saved(void)
{
	return atomic_load_explicit(&known.saved, memory_order_relaxed);
}
