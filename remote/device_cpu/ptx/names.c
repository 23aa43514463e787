#include "remote/device_cpu/ptx/names.h"

#include <stdlib.h>
#include <string.h>

uint32_t
ptx_names_hash(const char *name, size_t len)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)name[i]) * 16777619u;
	return hash;
}

static struct ptx_name *
find(const struct ptx_names *names, const char *name, size_t len, uint32_t hash)
{
	size_t i = hash & (names->capacity - 1);

	for (;;) {
		struct ptx_name *e = &names->entries[i];

		if (!e->name)
			return e;
		if (e->hash == hash && !strncmp(e->name, name, len) && !e->name[len])
			return e;
		i = (i + 1) & (names->capacity - 1);
	}
}

static int
grow(struct ptx_names *names)
{
	struct ptx_names bigger = {.capacity = names->capacity ? names->capacity * 2 : 64};

	bigger.entries = calloc(bigger.capacity, sizeof(*bigger.entries));
	if (!bigger.entries)
		return -1;
	for (size_t i = 0; i < names->capacity; i++) {
		const struct ptx_name *e = &names->entries[i];

		if (e->name)
			*find(&bigger, e->name, strlen(e->name), e->hash) = *e;
	}
	bigger.count = names->count;
	free(names->entries);
	*names = bigger;
	return 0;
}

int
ptx_names_put(struct ptx_names *names, const char *name, int kind, void *value)
{
	if (names->count * 2 >= names->capacity && grow(names))
		return -1;

	size_t len = strlen(name);
	uint32_t hash = ptx_names_hash(name, len);
	struct ptx_name *e = find(names, name, len, hash);

	if (!e->name)
		names->count++;
	*e = (struct ptx_name){.name = name, .hash = hash, .kind = kind, .value = value};
	return 0;
}

const struct ptx_name *
ptx_names_get(const struct ptx_names *names, const char *name, size_t len)
{
	if (!names->capacity)
		return NULL;
	struct ptx_name *e = find(names, name, len, ptx_names_hash(name, len));
	return e->name ? e : NULL;
}

void
ptx_names_fini(struct ptx_names *names)
{
	free(names->entries);
	*names = (struct ptx_names){0};
}
