#include "remote/devres.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a session may hold on to: a split of the largest GPU makes some dozens. */
#define KEPT_MAX 4096

struct entry {
	CUdevResource resource;
	uint64_t id;
	uint64_t used; /* when it was last asked for */
};

struct genie_devres {
	struct entry *list;
	size_t count, room;
	uint64_t last_id, clock;
};

static struct entry *
entry_alike(struct genie_devres *table, const CUdevResource *resource)
{
	for (size_t i = 0; i < table->count; i++)
		if (!memcmp(&table->list[i].resource, resource, sizeof(*resource)))
			return &table->list[i];
	return NULL;
}

static struct entry *
entry_oldest(struct genie_devres *table)
{
	struct entry *oldest = &table->list[0];

	for (size_t i = 1; i < table->count; i++)
		if (table->list[i].used < oldest->used)
			oldest = &table->list[i];
	return oldest;
}

/* A place for one more; NULL: out of memory. */
static struct entry *
entry_new(struct genie_devres *table)
{
	if (table->count == KEPT_MAX)
		return entry_oldest(table);
	if (table->count == table->room) {
		size_t room = table->room ? table->room * 2 : 64;
		struct entry *list = realloc(table->list, room * sizeof(*list));

		if (!list)
			return NULL;
		table->list = list;
		table->room = room;
	}
	return &table->list[table->count++];
}

int
genie_devres_add(struct genie_devres **ret_table, const CUdevResource *resource,
		 struct genie_resource *ret)
{
	struct genie_devres *table = *ret_table;
	struct entry *entry;

	*ret = (struct genie_resource){0};
	if (resource->type != CU_DEV_RESOURCE_TYPE_SM)
		return 0; /* nothing: what is left of a split without rest */
	if (!table)
		table = *ret_table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	entry = entry_alike(table, resource);
	if (!entry) {
		entry = entry_new(table);
		if (!entry)
			return -ENOMEM;
		entry->resource = *resource;
		entry->id = ++table->last_id;
	}
	entry->used = ++table->clock;
	ret->id = entry->id;
	ret->type = (uint32_t)resource->type;
	memcpy(ret->external, resource->_oversize, sizeof(ret->external));
	return 0;
}

const CUdevResource *
genie_devres_find(struct genie_devres *table, uint64_t id)
{
	for (size_t i = 0; table && i < table->count; i++) {
		if (table->list[i].id != id)
			continue;
		table->list[i].used = ++table->clock;
		return &table->list[i].resource;
	}
	return NULL;
}

void
genie_devres_free(struct genie_devres *table)
{
	if (table)
		free(table->list);
	free(table);
}
