#include "remote/object.h"

#include <errno.h>
#include <stdlib.h>

#include "wire/proto.h"

#define HASH_BUCKETS 4096u /* a power of two */

uint32_t
genie_object_limit(enum genie_kind kind)
{
	switch (kind) {
	case GENIE_KIND_NONE:
	case GENIE_KIND_COUNT:
		return 0;
	case GENIE_KIND_CTX:
		return GENIE_SLOT_CTXS;
	case GENIE_KIND_STREAM:
		return GENIE_SLOT_STREAMS;
	case GENIE_KIND_EVENT:
		return GENIE_SLOT_EVENTS;
	case GENIE_KIND_FUNCTION:
	case GENIE_KIND_KERNEL:
	case GENIE_KIND_GRAPHNODE:
		return 1u << 20; /* a large library has tens of thousands */
	case GENIE_KIND_MODULE:
	case GENIE_KIND_LIBRARY:
	case GENIE_KIND_GRAPH:
	case GENIE_KIND_GRAPHEXEC:
	case GENIE_KIND_ARRAY:
	case GENIE_KIND_MIPARRAY:
	case GENIE_KIND_TEXOBJ:
	case GENIE_KIND_SURFOBJ:
	case GENIE_KIND_TEXREF:
	case GENIE_KIND_SURFREF:
	case GENIE_KIND_MEMHANDLE:
	case GENIE_KIND_USEROBJ:
		return 1u << 17;
	case GENIE_KIND_MEMPOOL:
	case GENIE_KIND_LINKSTATE:
	case GENIE_KIND_GREENCTX:
	case GENIE_KIND_DEVDESC:
	case GENIE_KIND_NVMLDEV:
	case GENIE_KIND_NVMLSET:
	case GENIE_KIND_GPMSAMPLE:
	case GENIE_KIND_NVMLGI:
	case GENIE_KIND_NVMLCI:
		return 1u << 12;
	}
	return 0;
}

/* The table and the position in it that @token names; NULL when the token cannot be one of @kind.
 */
static struct genie_object_table *
locate(const struct genie_objects *objects, enum genie_kind kind, uint64_t token,
       uint32_t *ret_index)
{
	uint32_t index = genie_token_index(token);

	if (kind <= GENIE_KIND_NONE || kind >= GENIE_KIND_COUNT || genie_token_kind(token) != kind)
		return NULL;
	if (index >= GENIE_TOKEN_SERVER_BASE) {
		*ret_index = index - GENIE_TOKEN_SERVER_BASE;
		return (struct genie_object_table *)&objects->server[kind];
	}
	*ret_index = index;
	return (struct genie_object_table *)&objects->client[kind];
}

/* The entry at @index, its block made if need be. */
static int
entry_make(struct genie_object_table *table, enum genie_kind kind, uint32_t index,
	   struct genie_object **ret_entry)
{
	uint32_t limit = genie_object_limit(kind);
	uint32_t block = index / GENIE_OBJECT_BLOCK;

	if (index >= limit)
		return -EINVAL;
	if (!table->blocks) {
		uint32_t n = (limit + GENIE_OBJECT_BLOCK - 1) / GENIE_OBJECT_BLOCK;

		table->blocks = calloc(n, sizeof(*table->blocks));
		if (!table->blocks)
			return -ENOMEM;
		table->blocks_max = n;
	}
	if (!table->blocks[block]) {
		table->blocks[block] = calloc(GENIE_OBJECT_BLOCK, sizeof(struct genie_object));
		if (!table->blocks[block])
			return -ENOMEM;
	}
	*ret_entry = &table->blocks[block][index % GENIE_OBJECT_BLOCK];
	return 0;
}

static int
bind(struct genie_objects *objects, enum genie_kind kind, uint64_t token, void *handle,
     struct genie_object **ret_object)
{
	struct genie_object *entry = NULL;
	struct genie_object_table *table;
	uint32_t index = 0;
	int error;

	table = locate(objects, kind, token, &index);
	if (!table)
		return -EINVAL;
	error = entry_make(table, kind, index, &entry);
	if (error)
		return error;
	if (entry->token)
		return -EEXIST;
	*entry = (struct genie_object){.token = token, .handle = handle};
	table->live++;
	if (ret_object)
		*ret_object = entry;
	return 0;
}

int
genie_object_bind(struct genie_objects *objects, enum genie_kind kind, uint64_t token, void *handle,
		  struct genie_object **ret_object)
{
	/* Indices of the server's own are not the client's to give away. */
	if (genie_token_index(token) >= GENIE_TOKEN_SERVER_BASE)
		return -EINVAL;
	return bind(objects, kind, token, handle, ret_object);
}

struct genie_object *
genie_object_find(const struct genie_objects *objects, enum genie_kind kind, uint64_t token)
{
	const struct genie_object_table *table;
	struct genie_object *entry;
	uint32_t index = 0;

	table = locate(objects, kind, token, &index);
	if (!table || index / GENIE_OBJECT_BLOCK >= table->blocks_max ||
	    !table->blocks[index / GENIE_OBJECT_BLOCK])
		return NULL;
	entry = &table->blocks[index / GENIE_OBJECT_BLOCK][index % GENIE_OBJECT_BLOCK];
	return entry->token == token ? entry : NULL;
}

/* ---- objects that the server names ---- */

static struct genie_object **
hash_bucket(struct genie_objects *objects, enum genie_kind kind, const void *handle)
{
	/* Handles are addresses: the middle bits of a product differ most. */
	uint64_t mixed = (uint64_t)(uintptr_t)handle * UINT64_C(0x9e3779b97f4a7c15);

	return &objects->by_handle[kind][mixed >> 40 & (HASH_BUCKETS - 1)];
}

uint64_t
genie_object_name(struct genie_objects *objects, enum genie_kind kind, void *handle)
{
	uint64_t token = genie_token(kind, 0, GENIE_TOKEN_SERVER_BASE + objects->server_next[kind]);
	struct genie_object **bucket;
	struct genie_object *entry;

	if (!objects->by_handle[kind])
		objects->by_handle[kind] = calloc(HASH_BUCKETS, sizeof(*objects->by_handle[kind]));
	if (!objects->by_handle[kind])
		return 0;
	bucket = hash_bucket(objects, kind, handle);
	for (entry = *bucket; entry; entry = entry->state)
		if (entry->handle == handle)
			return entry->token;
	if (bind(objects, kind, token, handle, &entry))
		return 0;
	objects->server_next[kind]++;
	entry->state = *bucket;
	*bucket = entry;
	return token;
}

static void
hash_remove(struct genie_objects *objects, enum genie_kind kind, const struct genie_object *entry)
{
	struct genie_object **bucket = hash_bucket(objects, kind, entry->handle);
	struct genie_object *before;

	if (*bucket == entry) {
		*bucket = entry->state;
		return;
	}
	for (before = *bucket; before; before = before->state)
		if (before->state == entry) {
			before->state = entry->state;
			return;
		}
}

void
genie_object_drop(struct genie_objects *objects, enum genie_kind kind, uint64_t token)
{
	struct genie_object *entry = genie_object_find(objects, kind, token);
	uint32_t index = 0;

	if (!entry)
		return;
	if (genie_token_index(token) >= GENIE_TOKEN_SERVER_BASE)
		hash_remove(objects, kind, entry);
	*entry = (struct genie_object){0};
	locate(objects, kind, token, &index)->live--;
}

static void
table_each(struct genie_object_table *table, void (*fn)(struct genie_object *, void *), void *data)
{
	for (uint32_t b = 0; b < table->blocks_max; b++)
		for (uint32_t i = 0; table->blocks[b] && i < GENIE_OBJECT_BLOCK; i++)
			if (table->blocks[b][i].token)
				fn(&table->blocks[b][i], data);
}

void
genie_object_each(struct genie_objects *objects, enum genie_kind kind,
		  void (*fn)(struct genie_object *object, void *data), void *data)
{
	table_each(&objects->client[kind], fn, data);
	table_each(&objects->server[kind], fn, data);
}

static void
table_fini(struct genie_object_table *table)
{
	for (uint32_t b = 0; b < table->blocks_max; b++)
		free(table->blocks[b]);
	free(table->blocks);
	*table = (struct genie_object_table){0};
}

void
genie_objects_fini(struct genie_objects *objects)
{
	for (int kind = 0; kind < GENIE_KIND_COUNT; kind++) {
		table_fini(&objects->client[kind]);
		table_fini(&objects->server[kind]);
		objects->server_next[kind] = 0;
		free(objects->by_handle[kind]);
		objects->by_handle[kind] = NULL;
	}
}
