/*
 * A heap of addresses: hands out ranges of a window without touching what is behind them. One for
 * each device (device memory, mapped by the worker) and one for the pinned window.
 *
 * The window is divided into pages of 2 MiB. A span is a run of pages that was mapped with one
 * command and is unmapped with one command, never in parts. Blocks up to 1 MiB share spans of one
 * page, cut into slots of one size; a larger block has a span of its own. A freed large span stays
 * mapped in a bounded cache, so that pairs of allocation and free send nothing.
 *
 * Freed memory may still be in use by commands on their way. A free therefore notes the ticket of
 * the last command submitted, and before the same bytes are handed out again the heap asks its
 * owner to order everything later after that ticket (ops->order; for device memory one small
 * one-way command). Freed slots are used in the order of their frees, so one order covers many.
 *
 * Threads: every function may be called from any thread. genie_heap_find() takes no lock: the page
 * table is an array of atomic pointers, and spans and their block arrays are never returned to
 * malloc, so that even the lookup of an address that another thread is freeing right now (an error
 * of the program) reads valid memory.
 */
#ifndef GENIE_INTERPOSE_HEAP_H
#define GENIE_INTERPOSE_HEAP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/proto.h"

#define GENIE_HEAP_PAGE      (UINT64_C(2) << 20)
#define GENIE_HEAP_SMALL_MAX (UINT64_C(1) << 20) /* larger blocks have a span of their own */
#define GENIE_HEAP_CLASSES   40                  /* see genie_heap_class_size() */
#define GENIE_HEAP_CACHE_MAX 256                 /* spans in the cache, whatever their size */
#define GENIE_HEAP_ARRAYS    13                  /* 1, 2, 4 … 4096 slots of 512 bytes */

/* What the owner of a heap provides. Called without the heap's lock. */
struct genie_heap_ops {
	/* Puts memory behind a range, or takes it away. 0 or negative errno. */
	int (*map)(void *data, uint64_t addr, uint64_t size);
	void (*unmap)(void *data, uint64_t addr, uint64_t size);
	/* The ticket of the last command submitted. */
	uint64_t (*now)(void *data);
	/* Is everything that is submitted from here on ordered after @ticket? (Called with the
	 * heap's lock held: looks, does not wait.) */
	bool (*ordered)(void *data, uint64_t ticket);
	/* Makes it so. 0 or negative errno. */
	int (*order)(void *data, uint64_t ticket);
	/* Asks for permission to map @want more bytes; returns how many were granted: at least as
	 * many, or 0. */
	uint64_t (*credit)(void *data, uint64_t want);
};

/* What the owner wants to know about a block later. The heap only keeps it. */
struct genie_block_info {
	uint64_t base, size; /* as asked for; set by the heap */
	uint64_t id;         /* never used twice in a heap; set by the heap */
	void *owner;         /* the context */
	void *pool;
	int type;
	unsigned int flags;
	bool mirrored; /* see genie_heap_mark_mirrored() */
};

struct genie_block {
	_Atomic uint64_t size; /* as asked for; 0 = free. Written last, read first. */
	struct genie_block_info info;
	uint64_t freed;        /* ticket at the free */
	uint64_t freed_stream; /* free in order of this stream (its token), or 0 */
	struct genie_block *next, *prev;
	struct genie_span *span;
};

enum genie_span_state {
	GENIE_SPAN_BUSY,   /* being mapped or unmapped, or in nobody's list */
	GENIE_SPAN_SMALL,  /* cut into slots */
	GENIE_SPAN_LARGE,  /* one block */
	GENIE_SPAN_CACHED, /* mapped, free */
};

struct genie_span {
	uint64_t base, size;
	_Atomic uint32_t slot_size;           /* 0: one block */
	_Atomic(struct genie_block *) blocks; /* never shrinks, never freed */
	uint32_t capacity;                    /* of blocks */
	uint32_t array_count;
	struct genie_block *arrays[GENIE_HEAP_ARRAYS]; /* blocks, and those it replaced */
	uint32_t slots, fresh, used; /* slots; those never used yet are the last fresh */
	enum genie_span_state state;
	uint64_t freed, freed_stream; /* GENIE_SPAN_CACHED: as in a block */
	struct genie_span *next, *prev;
	struct genie_span *all_next; /* list of all descriptors there are */
};

struct genie_block_list {
	struct genie_block *head, *tail;
};
struct genie_span_list {
	struct genie_span *head, *tail;
};

struct genie_heap_class {
	struct genie_block_list freed; /* oldest first */
	struct genie_span_list fresh;  /* spans with slots never used */
	uint32_t empty;                /* spans of which no slot is used */
};

struct genie_heap {
	uint64_t base, size;
	const struct genie_heap_ops *ops;
	void *data;
	unsigned int min_class;
	uint64_t cache_max;                  /* bytes */
	_Atomic(struct genie_span *) *pages; /* one entry a page; NULL = free address space */

	pthread_mutex_t lock; /* guards everything below, and the lists of spans and blocks */
	struct genie_heap_class classes[GENIE_HEAP_CLASSES];
	struct genie_span_list cache; /* oldest first */
	uint32_t cache_count;
	uint64_t cache_bytes;
	struct genie_span *spare; /* descriptors without a range */
	struct genie_span *all;   /* every descriptor */
	uint64_t cursor;          /* page index where the next search for addresses starts */
	uint64_t high;            /* no page from here on was ever used */
	uint64_t credit;          /* bytes that may be mapped before asking */
	uint64_t next_id;
	uint64_t mapped; /* bytes, the cache included */
	uint64_t live;   /* bytes of slots and spans that are in use */
	uint64_t live_blocks;
};

/*
 * @base is a multiple of the page size. @credit: bytes that may be mapped without asking.
 * @min_slot: smallest slot (512 or a power of two up to 1 MiB) and so the alignment of blocks.
 * 0 or -ENOMEM.
 */
int genie_heap_init(struct genie_heap *heap, uint64_t base, uint64_t size, uint64_t credit,
		    uint64_t cache_max, uint32_t min_slot, const struct genie_heap_ops *ops,
		    void *data);
/* Frees the heap's own memory; unmaps nothing. Takes a zeroed heap too. */
void genie_heap_fini(struct genie_heap *heap);

/*
 * Allocates @size > 0 bytes. @info: type, flags, owner and pool of the block. @stream: the block
 * is for use in this stream (a token): what was freed in its order needs no ordering; 0 = any use.
 * 0, -ENOMEM, or what an op returned.
 */
int genie_heap_alloc(struct genie_heap *heap, uint64_t size, const struct genie_block_info *info,
		     uint64_t stream, uint64_t *ret_addr);

/*
 * Memory of the same device that the heap does not place: spends bytes of its credit, making room
 * by unmapping what nobody uses, and gives them back. 0 or -ENOMEM.
 */
int genie_heap_credit_take(struct genie_heap *heap, uint64_t size);
void genie_heap_credit_give(struct genie_heap *heap, uint64_t size);

/* Frees the block that begins at @addr; 0 or -EINVAL: none does. */
int genie_heap_free(struct genie_heap *heap, uint64_t addr, uint64_t stream,
		    struct genie_block_info *ret_info);

/* Notes that the worker has its own bytes for the block that begins at @addr. False: it was noted,
 * or there is no such block. */
bool genie_heap_mark_mirrored(struct genie_heap *heap, uint64_t addr);

/* The block that contains @addr. */
bool genie_heap_find(const struct genie_heap *heap, uint64_t addr,
		     struct genie_block_info *ret_info);

/* Unmaps cached spans until at most @keep bytes are cached. */
void genie_heap_trim(struct genie_heap *heap, uint64_t keep);

/* Calls @fn for every live block, with a copy of what is known about it, without the lock. */
void genie_heap_each(struct genie_heap *heap,
		     void (*fn)(const struct genie_block_info *info, void *data), void *data);

/* The slot size of a class, 0 from GENIE_HEAP_CLASSES on; and the class for a size. */
uint32_t genie_heap_class_size(unsigned int index);
unsigned int genie_heap_class(uint64_t size);

#endif
