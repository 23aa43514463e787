#include "interpose/cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "wire/codec.h"

#define BUCKETS     256u
#define ENTRIES_MAX 65536u /* a program that asks more different questions is not served faster */

struct entry {
	struct entry *next; /* never changed once the entry is in its bucket */
	enum genie_op op;
	uint32_t ctx;
	size_t key_len, reply_len;
	uint8_t bytes[]; /* key, then reply */
};

/* Guards the buckets; entries are never changed nor freed, so what find() returns stays. */
static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *buckets[BUCKETS];
static unsigned int entries;

bool
genie_query_init(struct genie_query *query, enum genie_op op, const void *args, uint32_t ctx)
{
	struct genie_writer writer;

	query->op = op;
	query->ctx = ctx;
	query->len = genie_encoded_size(op, args);
	if (query->len > sizeof(query->bytes))
		return false;
	genie_writer_init(&writer, query->bytes, query->len);
	genie_encode_args(&writer, op, args);
	return !writer.fatal;
}

/* FNV-1a */
static unsigned int
query_bucket(const struct genie_query *query)
{
	uint32_t hash = 2166136261u ^ (uint32_t)query->op;

	for (size_t i = 0; i < query->len; i++)
		hash = (hash ^ query->bytes[i]) * 16777619u;
	return hash % BUCKETS;
}

static const struct entry *
query_entry_locked(const struct genie_query *query)
{
	const struct entry *entry = buckets[query_bucket(query)];

	for (; entry; entry = entry->next)
		if (entry->op == query->op && entry->ctx == query->ctx &&
		    entry->key_len == query->len && !memcmp(entry->bytes, query->bytes, query->len))
			return entry;
	return NULL;
}

const void *
genie_query_find(const struct genie_query *query, size_t *ret_len)
{
	const struct entry *entry;

	pthread_mutex_lock(&cache_lock);
	entry = query_entry_locked(query);
	pthread_mutex_unlock(&cache_lock);
	if (!entry)
		return NULL;
	*ret_len = entry->reply_len;
	return entry->bytes + entry->key_len;
}

void
genie_query_store(const struct genie_query *query, const void *reply, size_t len)
{
	struct entry *entry = malloc(sizeof(*entry) + query->len + len);
	unsigned int bucket = query_bucket(query);

	if (!entry)
		return;
	entry->op = query->op;
	entry->ctx = query->ctx;
	entry->key_len = query->len;
	entry->reply_len = len;
	memcpy(entry->bytes, query->bytes, query->len);
	memcpy(entry->bytes + query->len, reply, len);
	pthread_mutex_lock(&cache_lock);
	if (entries < ENTRIES_MAX && !query_entry_locked(query)) {
		entry->next = buckets[bucket];
		buckets[bucket] = entry;
		entries++;
		entry = NULL;
	}
	pthread_mutex_unlock(&cache_lock);
	free(entry);
}
