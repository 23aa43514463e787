/*
 * Spans of a heap: runs of pages of its window, mapped and unmapped as one; the cache of those that
 * nothing uses, and the credit that mapping spends.
 */
#include "interpose/heap_impl.h"

#include <errno.h>
#include <stdlib.h>

/* ---- lists ---- */

void
genie_span_append(struct genie_span_list *list, struct genie_span *span)
{
	span->next = NULL;
	span->prev = list->tail;
	if (list->tail != NULL)
		list->tail->next = span;
	else
		list->head = span;
	list->tail = span;
}

void
genie_span_remove(struct genie_span_list *list, struct genie_span *span)
{
	if (span->prev != NULL)
		span->prev->next = span->next;
	else
		list->head = span->next;
	if (span->next != NULL)
		span->next->prev = span->prev;
	else
		list->tail = span->prev;
	span->next = span->prev = NULL;
}

/* ---- address space ---- */

/* Points the pages of @span at it (or at nothing: @value NULL). Pairs with genie_heap_page_span().
 */
static void
span_set_pages_locked(struct genie_heap *heap, const struct genie_span *span,
		      struct genie_span *value)
{
	uint64_t first = genie_heap_page_index(heap, span->base);

	for (uint64_t i = 0; i < span->size / GENIE_HEAP_PAGE; i++)
		atomic_store_explicit(&heap->pages[first + i], value, memory_order_release);
}

/* @count free pages in [@from, @to), or UINT64_MAX. */
static uint64_t
pages_search_locked(const struct genie_heap *heap, uint64_t from, uint64_t to, uint64_t count)
{
	uint64_t run = 0, index = from;

	while (index < to) {
		const struct genie_span *span = genie_heap_page_span(heap, index);

		if (span != NULL) {
			index = genie_heap_page_index(heap, span->base + span->size);
			run = 0;
			continue;
		}
		index++;
		if (++run == count)
			return index - count;
	}
	return UINT64_MAX;
}

/*
 * Addresses for @count pages. The search goes round the window instead of taking the lowest: there
 * is far more address space than memory, so it nearly always succeeds at once, and addresses that
 * were just unmapped rest for a while.
 */
static uint64_t
pages_find_locked(struct genie_heap *heap, uint64_t count)
{
	uint64_t total = heap->size / GENIE_HEAP_PAGE;
	uint64_t index = pages_search_locked(heap, heap->cursor, total, count);

	if (index == UINT64_MAX)
		index = pages_search_locked(heap, 0, total, count);
	if (index != UINT64_MAX)
		heap->cursor = index + count;
	if (heap->high < heap->cursor)
		heap->high = heap->cursor;
	return index;
}

/* ---- spans ---- */

static struct genie_span *
span_new_locked(struct genie_heap *heap)
{
	struct genie_span *span = heap->spare;

	if (span != NULL) {
		heap->spare = span->next;
		span->next = NULL;
		return span;
	}
	span = calloc(1, sizeof(*span));
	if (span != NULL) {
		span->all_next = heap->all;
		heap->all = span;
	}
	return span;
}

static void
span_put_locked(struct genie_heap *heap, struct genie_span *span)
{
	span->state = GENIE_SPAN_BUSY;
	span->next = heap->spare;
	heap->spare = span;
}

/*
 * At most 4096 blocks: a page of 512-byte slots. An array that is too small is
 * replaced but stays allocated, because a lookup may hold a pointer to it; arrays double, so that
 * what is kept is less than what is used.
 */
int
genie_span_reserve_blocks(struct genie_span *span, uint32_t count)
{
	struct genie_block *blocks;
	uint32_t capacity = span->capacity != 0 ? span->capacity : 1;

	if (count <= span->capacity)
		return 0;
	while (capacity < count)
		capacity *= 2;
	blocks = calloc(capacity, sizeof(*blocks));
	if (blocks == NULL)
		return -ENOMEM;
	span->arrays[span->array_count++] = blocks;
	for (uint32_t i = 0; i < capacity; i++)
		blocks[i].span = span;
	atomic_store_explicit(&span->blocks, blocks, memory_order_release);
	span->capacity = capacity;
	return 0;
}

/* The best cached span for @size: the smallest that wastes at most an eighth, oldest of equals. */
static struct genie_span *
cache_take_locked(struct genie_heap *heap, uint64_t size)
{
	struct genie_span *best = NULL;

	for (struct genie_span *span = heap->cache.head; span != NULL; span = span->next) {
		if (span->size < size || span->size > size + size / 8)
			continue;
		if (best == NULL || span->size < best->size)
			best = span;
		if (best->size == size)
			break;
	}
	if (best != NULL) {
		genie_span_remove(&heap->cache, best);
		heap->cache_count--;
		heap->cache_bytes -= best->size;
		best->state = GENIE_SPAN_BUSY;
	}
	return best;
}

/* Takes the oldest cached span out, for unmapping. */
static struct genie_span *
cache_evict_locked(struct genie_heap *heap)
{
	struct genie_span *span = heap->cache.head;

	if (span != NULL) {
		genie_span_remove(&heap->cache, span);
		heap->cache_count--;
		heap->cache_bytes -= span->size;
		span->state = GENIE_SPAN_BUSY;
	}
	return span;
}

void
genie_span_cache_locked(struct genie_heap *heap, struct genie_span *span)
{
	span->state = GENIE_SPAN_CACHED;
	genie_span_append(&heap->cache, span);
	heap->cache_count++;
	heap->cache_bytes += span->size;
}

/* Unmaps @span. Its addresses are free only afterwards, so that nobody maps them before. */
static void
span_unmap(struct genie_heap *heap, struct genie_span *span)
{
	heap->ops->unmap(heap->data, span->base, span->size);
	pthread_mutex_lock(&heap->lock);
	heap->mapped -= span->size;
	span_set_pages_locked(heap, span, NULL);
	span_put_locked(heap, span);
	pthread_mutex_unlock(&heap->lock);
}

/* @size bytes are unmapped, or about to be. */
static void
credit_return_locked(struct genie_heap *heap, uint64_t size)
{
	/* As the worker does (remote/credit.h): of much, the rest is for others. */
	heap->credit += size;
	if (heap->credit > GENIE_CREDIT_MAX)
		heap->credit = GENIE_CREDIT_MAX;
}

void
genie_span_cache_shrink(struct genie_heap *heap, uint64_t bytes, uint32_t count)
{
	for (;;) {
		struct genie_span *span = NULL;

		pthread_mutex_lock(&heap->lock);
		if (heap->cache_bytes > bytes || heap->cache_count > count) {
			span = cache_evict_locked(heap);
			credit_return_locked(heap, span->size);
		}
		pthread_mutex_unlock(&heap->lock);
		if (span == NULL)
			return;
		span_unmap(heap, span);
	}
}

/* Unmaps spans that nothing uses, of @size bytes or all there are. False: there were none. */
static bool
cache_give_up(struct genie_heap *heap, uint64_t size)
{
	uint64_t given = 0;

	while (given < size) {
		struct genie_span *span;

		pthread_mutex_lock(&heap->lock);
		if (heap->cache.head == NULL)
			genie_heap_classes_release_locked(heap);
		span = cache_evict_locked(heap);
		if (span != NULL)
			credit_return_locked(heap, span->size);
		pthread_mutex_unlock(&heap->lock);
		if (span == NULL)
			break;
		given += span->size;
		span_unmap(heap, span);
	}
	return given != 0;
}

/* Spends @size bytes of credit: what there is, then what is granted, then what the cache holds. */
int
genie_heap_credit_take(struct genie_heap *heap, uint64_t size)
{
	for (;;) {
		uint64_t missing, granted;
		bool enough;

		pthread_mutex_lock(&heap->lock);
		enough = heap->credit >= size;
		missing = size - heap->credit;
		if (enough)
			heap->credit -= size;
		pthread_mutex_unlock(&heap->lock);
		if (enough)
			return 0;
		granted = heap->ops->credit(heap->data, missing);
		pthread_mutex_lock(&heap->lock);
		heap->credit += granted;
		pthread_mutex_unlock(&heap->lock);
		if (granted == 0 && !cache_give_up(heap, missing))
			return -ENOMEM;
	}
}

void
genie_heap_credit_give(struct genie_heap *heap, uint64_t size)
{
	pthread_mutex_lock(&heap->lock);
	credit_return_locked(heap, size);
	pthread_mutex_unlock(&heap->lock);
}

/* A fresh mapping of @size bytes, not yet in any list. */
static int
span_map(struct genie_heap *heap, uint64_t size, struct genie_span **ret_span)
{
	struct genie_span *span;
	uint64_t index;
	int error;

	error = genie_heap_credit_take(heap, size);
	if (error != 0)
		return error;
	pthread_mutex_lock(&heap->lock);
	span = span_new_locked(heap);
	index = span != NULL ? pages_find_locked(heap, size / GENIE_HEAP_PAGE) : UINT64_MAX;
	if (index == UINT64_MAX) {
		heap->credit += size;
		if (span != NULL)
			span_put_locked(heap, span);
		pthread_mutex_unlock(&heap->lock);
		return -ENOMEM;
	}
	span->base = heap->base + index * GENIE_HEAP_PAGE;
	span->size = size;
	span->state = GENIE_SPAN_BUSY;
	span->freed = span->freed_stream = 0;
	span_set_pages_locked(heap, span, span);
	heap->mapped += size;
	pthread_mutex_unlock(&heap->lock);

	error = heap->ops->map(heap->data, span->base, size);
	if (error == 0) {
		*ret_span = span;
		return 0;
	}
	pthread_mutex_lock(&heap->lock);
	heap->credit += size;
	heap->mapped -= size;
	span_set_pages_locked(heap, span, NULL);
	span_put_locked(heap, span);
	pthread_mutex_unlock(&heap->lock);
	return error;
}

int
genie_span_get(struct genie_heap *heap, uint64_t size, struct genie_span **ret_span)
{
	struct genie_span *span;

	pthread_mutex_lock(&heap->lock);
	span = cache_take_locked(heap, size);
	pthread_mutex_unlock(&heap->lock);
	if (span == NULL)
		return span_map(heap, size, ret_span);
	*ret_span = span;
	return 0;
}

void
genie_span_free(struct genie_span *span)
{
	for (uint32_t i = 0; i < span->array_count; i++)
		free(span->arrays[i]);
	free(span);
}
