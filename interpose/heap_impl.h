/* Shared by heap.c (blocks, size classes) and heap_span.c (addresses, spans, cache, credit).
 * Functions that end in _locked need the heap's lock; the others must not have it. */
#ifndef GENIE_INTERPOSE_HEAP_IMPL_H
#define GENIE_INTERPOSE_HEAP_IMPL_H

#include "interpose/heap.h"

/* ---- heap_span.c ---- */

static inline uint64_t
genie_heap_page_index(const struct genie_heap *heap, uint64_t addr)
{
	return (addr - heap->base) / GENIE_HEAP_PAGE;
}

/* The span of a page, or NULL. Takes no lock. */
static inline struct genie_span *
genie_heap_page_span(const struct genie_heap *heap, uint64_t index)
{
	return atomic_load_explicit(&heap->pages[index], memory_order_acquire);
}

static inline struct genie_block *
genie_span_block(const struct genie_span *span, uint32_t index)
{
	return &atomic_load_explicit(&span->blocks, memory_order_acquire)[index];
}

/* Lists of spans; their heap's lock is held. */
void genie_span_append(struct genie_span_list *list, struct genie_span *span);
void genie_span_remove(struct genie_span_list *list, struct genie_span *span);

/*
 * A span of at least @size bytes (a multiple of the page size) that nothing uses: from the cache,
 * or mapped. Of a cached one, freed and freed_stream say what it must be ordered after. It is in no
 * list. 0 or negative errno.
 */
int genie_span_get(struct genie_heap *heap, uint64_t size, struct genie_span **ret_span);
/* Room for @count blocks in a span that is in no list. 0 or -ENOMEM. */
int genie_span_reserve_blocks(struct genie_span *span, uint32_t count);
/* Puts a span of which nothing is used into the cache. */
void genie_span_cache_locked(struct genie_heap *heap, struct genie_span *span);
/* Unmaps what the cache holds beyond its bounds. */
void genie_span_cache_shrink(struct genie_heap *heap, uint64_t bytes, uint32_t count);
/* Returns a descriptor to malloc, with all arrays it ever had: at the heap's end. */
void genie_span_free(struct genie_span *span);

/* ---- heap.c ---- */

/* Moves the empty spans that the size classes keep for themselves into the cache. */
void genie_heap_classes_release_locked(struct genie_heap *heap);

#endif
