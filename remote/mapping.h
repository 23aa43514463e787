/*
 * What is mapped where: the device window and the registered parts of the pinned one, as a sorted
 * table, and pages that are taken away once nothing uses them any more.
 */
#ifndef GENIE_REMOTE_MAPPING_H
#define GENIE_REMOTE_MAPPING_H

#include "remote/session.h"

/* Device memory behind one or more mappings, and perhaps behind a handle of the client's. */
struct genie_pages {
	CUmemGenericAllocationHandle handle;
	uint64_t size;
	int device;
	bool charged;    /* counts against the session's credit: not what another session made */
	bool exportable; /* made so that another worker can map it too */
	/* guarded by the completer's lock */
	uint32_t refs;
	bool shared; /* the supervisor knows it as share_id */
	uint8_t share_id[GENIE_SHARE_ID];
};

struct genie_mapping {
	uint64_t addr, size;
	int device;                /* -1: pinned memory */
	struct genie_pages *pages; /* NULL: pinned memory */
	uint64_t offset;           /* in pages */
	bool placed; /* by genieMemMap, so it may be taken back; else the client has a handle */
	bool host; /* pinned memory, mapped at an address of the client's: address space of ours */
	uint64_t unmap; /* number of the unmap that is put off, 0 = none */
};

/* Guarded by the completer's lock: both threads change it. */
struct genie_memory {
	struct genie_mapping *list; /* sorted by address, disjoint */
	size_t count, room;
	uint64_t unmaps;           /* numbers given out */
	uint64_t *mapped, *credit; /* by device, in the session's entry of the ledger */
	/* The issuing thread's: may device [1] use memory of device [0]? See access_list(). */
	uint8_t reach[GENIE_DEVICES_MAX][GENIE_DEVICES_MAX];
};

/* The mapping that contains @addr; false: none. */
bool genie_mapping_at(struct genie_session *session, uint64_t addr, struct genie_mapping *ret);
/* Puts a mapping into the table. CUDA_ERROR_OUT_OF_MEMORY: no room, and pages keeps its count. */
CUresult genie_mapping_add(struct genie_session *session, const struct genie_mapping *mapping);
/*
 * Waits until [@addr, @addr + @size) is free, if it becomes so by itself. False: something is
 * mapped there that nobody unmaps.
 */
bool genie_mapping_clear(struct genie_session *session, uint64_t addr, uint64_t size);
/* The pages that were there are still there: their unmapping is taken back. */
bool genie_mapping_take_back(struct genie_session *session, uint64_t addr, uint64_t size,
			     int device);
/* Unmaps exactly this mapping once everything issued before is done. */
CUresult genie_mapping_remove_later(struct genie_session *session, uint64_t addr, uint64_t size);

/*
 * Fresh pages of @device with one reference, against the session's credit. What is about to be
 * unmapped still counts, so when memory is short that is waited for.
 */
CUresult genie_pages_create(struct genie_session *session, uint64_t size, int device,
			    struct genie_pages **ret_pages);
void genie_pages_ref(struct genie_session *session, struct genie_pages *pages);
/* Any thread. The last one gives the memory back. */
void genie_pages_unref(struct genie_session *session, struct genie_pages *pages);

/* At the end of the session: drops a reference without the driver. NULL is fine. */
void genie_pages_forget(struct genie_pages *pages);

/* Does [@addr, @addr + @size) lie in the window, in multiples of @granularity? */
bool genie_window_contains(uint64_t base, uint64_t window, uint64_t addr, uint64_t size,
			   uint64_t granularity);

#endif
