/*
 * The objects of the program by their handles. A kind has one table of slots in chunks that are
 * made when they are first needed and never given back, so reading takes no lock: two dependent
 * loads and a comparison of the whole token.
 *
 * A freed index goes to the end of a queue, so it is used again as late as possible, and with
 * another generation: a stale handle is recognised.
 */
#include "interpose/client.h"

#include <stdlib.h>

#define CHUNK_SLOTS 1024u
#define CHUNKS_MAX  1024u

struct slot {
	_Atomic(struct genie_object *) object; /* release: pairs with the load in get() */
	uint32_t next;                         /* in the queue of free indices */
	uint8_t generation;
};

struct table {
	pthread_mutex_t lock; /* guards everything but the reading of chunks and slots */
	_Atomic(struct slot *) chunks[CHUNKS_MAX];
	uint32_t used; /* indices below it were given out at least once; 0 is never used */
	uint32_t free_first, free_last; /* queue of free indices, 0 = empty */
};

static struct table tables[GENIE_KIND_COUNT] = {
	[0 ... GENIE_KIND_COUNT - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER, .used = 1},
};

/*
 * Progress slots follow from the index, so the kinds that have some are limited by them. The other
 * limits are those of the worker (remote/object.c): it ends a session that goes beyond.
 */
static uint32_t
table_limit(enum genie_kind kind)
{
	switch (kind) {
	case GENIE_KIND_NONE:
	case GENIE_KIND_COUNT:
		break;
	case GENIE_KIND_CTX:
		return GENIE_SLOT_CTXS;
	case GENIE_KIND_STREAM:
		return GENIE_SLOT_STREAMS;
	case GENIE_KIND_EVENT:
		return GENIE_SLOT_EVENTS;
	case GENIE_KIND_FUNCTION:
	case GENIE_KIND_KERNEL:
	case GENIE_KIND_GRAPHNODE:
		return CHUNKS_MAX * CHUNK_SLOTS;
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

/*
 * Programs keep bits of their own in handles that should be addresses: PyTorch takes a stream whose
 * lowest bit is 1 for one of its own (c10/cuda/CUDAStream.cpp), so streams have even indices.
 */
static uint32_t
table_step(enum genie_kind kind)
{
	return kind == GENIE_KIND_STREAM ? 2 : 1;
}

static struct slot *
table_slot(struct table *table, uint32_t index)
{
	struct slot *chunk;

	if (index >= CHUNKS_MAX * CHUNK_SLOTS)
		return NULL;
	/* acquire: pairs with the release of the new chunk in table_take_locked() */
	chunk = atomic_load_explicit(&table->chunks[index / CHUNK_SLOTS], memory_order_acquire);
	return chunk ? &chunk[index % CHUNK_SLOTS] : NULL;
}

/* An unused index, a multiple of @step, or 0. */
static uint32_t
table_take_locked(struct table *table, uint32_t limit, uint32_t step)
{
	_Atomic(struct slot *) *chunk;
	uint32_t index = table->free_first;

	if (index) {
		table->free_first = table_slot(table, index)->next;
		if (!table->free_first)
			table->free_last = 0;
		return index;
	}
	index = (table->used + step - 1) / step * step;
	if (index >= limit)
		return 0;
	chunk = &table->chunks[index / CHUNK_SLOTS];
	if (!atomic_load_explicit(chunk, memory_order_relaxed)) {
		struct slot *slots = calloc(CHUNK_SLOTS, sizeof(*slots));

		if (!slots)
			return 0;
		atomic_store_explicit(chunk, slots, memory_order_release);
	}
	table->used = index + 1;
	return index;
}

void *
genie_object_new(enum genie_kind kind, size_t size, struct genie_ctx *ctx)
{
	struct table *table = &tables[kind];
	struct genie_object *object = calloc(1, size);
	struct slot *slot;
	uint32_t index;

	if (!object)
		return NULL;
	pthread_mutex_lock(&table->lock);
	index = table_take_locked(table, table_limit(kind), table_step(kind));
	if (index) {
		slot = table_slot(table, index);
		object->token = genie_token(kind, slot->generation, index);
		object->ctx = ctx;
		atomic_store_explicit(&slot->object, object, memory_order_release);
	}
	pthread_mutex_unlock(&table->lock);
	if (!index) {
		free(object);
		return NULL;
	}
	return object;
}

void *
genie_object_get(enum genie_kind kind, uint64_t token)
{
	struct genie_object *object;
	struct slot *slot;

	if (genie_token_kind(token) != kind)
		return NULL;
	slot = table_slot(&tables[kind], genie_token_index(token));
	if (!slot)
		return NULL;
	object = atomic_load_explicit(&slot->object, memory_order_acquire);
	return object && object->token == token ? object : NULL;
}

void
genie_object_unlink(void *p)
{
	struct genie_object *object = p;
	struct table *table;
	struct slot *slot;
	uint32_t index;

	if (!object)
		return;
	table = &tables[genie_token_kind(object->token)];
	index = genie_token_index(object->token);
	pthread_mutex_lock(&table->lock);
	slot = table_slot(table, index);
	atomic_store_explicit(&slot->object, NULL, memory_order_relaxed);
	slot->generation++;
	slot->next = 0;
	if (table->free_last)
		table_slot(table, table->free_last)->next = index;
	else
		table->free_first = index;
	table->free_last = index;
	pthread_mutex_unlock(&table->lock);
}

void
genie_object_free(void *object)
{
	genie_object_unlink(object);
	free(object);
}

void
genie_object_each(enum genie_kind kind, void (*fn)(void *object, void *data), void *data)
{
	struct table *table = &tables[kind];
	uint32_t used;

	/* Not under the lock: @fn may free the object it is given. */
	pthread_mutex_lock(&table->lock);
	used = table->used;
	pthread_mutex_unlock(&table->lock);
	for (uint32_t index = 1; index < used; index++) {
		struct genie_object *object = atomic_load_explicit(
			&table_slot(table, index)->object, memory_order_acquire);

		if (object)
			fn(object, data);
	}
}

void
genie_object_fork_child(void)
{
	/* Another thread of the parent may have held a lock; nobody does here. */
	for (unsigned int kind = 0; kind < GENIE_KIND_COUNT; kind++)
		pthread_mutex_init(&tables[kind].lock, NULL);
}
