/*
 * A table from names to pointers: a module's variables and functions. Names are borrowed and must
 * outlive the table.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_NAMES_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_NAMES_H

#include <stddef.h>
#include <stdint.h>

struct ptx_name {
	const char *name; /* NULL: free entry */
	uint32_t hash;
	int kind; /* the owner's meaning */
	void *value;
};

struct ptx_names {
	struct ptx_name *entries; /* open addressing, capacity is a power of two */
	size_t count, capacity;
};

uint32_t ptx_names_hash(const char *name, size_t len);
/* 0, or -1: out of memory. A second entry of the same name replaces the first. */
int ptx_names_put(struct ptx_names *names, const char *name, int kind, void *value);
/* NULL: not found. */
const struct ptx_name *ptx_names_get(const struct ptx_names *names, const char *name, size_t len);
void ptx_names_fini(struct ptx_names *names);

#endif
