/*
 * Generated tables that programs look things up in: genie_procs.c and genie_info.c.
 */
#ifndef GENIE_API_TABLES_H
#define GENIE_API_TABLES_H

#include <stddef.h>
#include <stdint.h>

/*
 * What cuGetProcAddress answers: for a name, the row with the highest version that is not above
 * the one asked for. Sorted by name (strcmp), then by version.
 */
struct genie_proc {
	const char *name;
	int version;
	void *entry;            /* our exported function */
	void *entry_per_thread; /* with CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM; NULL: entry
				 */
};
extern const struct genie_proc genie_procs[];
extern const size_t genie_proc_count;

enum genie_library {
	GENIE_LIBRARY_GENIE,  /* session commands: not exported */
	GENIE_LIBRARY_NATIVE, /* library operations of a device: not exported */
	GENIE_LIBRARY_CUDA,
	GENIE_LIBRARY_NVML,
};

enum genie_class {
	GENIE_CLASS_LOCAL,       /* answered in the client */
	GENIE_CLASS_ASYNC,       /* a one-way message */
	GENIE_CLASS_SYNC,        /* the caller waits for the answer */
	GENIE_CLASS_UNSUPPORTED, /* fails, and says so once */
	GENIE_CLASS_REFUSED,     /* the caller has no permission */
};

/* One function, found by its id; name is NULL where an id is not in use. */
struct genie_api_entry {
	const char *name;
	const char *alias;  /* same implementation under another name, or NULL */
	const char *reason; /* why it is unsupported, or why its client side is written by hand */
	uint8_t library;    /* enum genie_library */
	uint8_t cls;        /* enum genie_class; of an alias: of what it stands for */
	uint8_t manual;     /* the client side is written by hand */
};
extern const struct genie_api_entry genie_api_entries[]; /* GENIE_OP_MAX of them */

#endif
