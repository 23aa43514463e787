#include "interpose/heap_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 * Size classes: multiples of 512 up to 4 KiB (0..7), then four steps in each doubling up to 1 MiB
 * (8..39). So at most a fifth of a slot beyond 4 KiB is wasted.
 */
uint32_t
genie_heap_class_size(unsigned int index)
{
	uint32_t base;

	if (index >= GENIE_HEAP_CLASSES)
		return 0;
	if (index < 8)
		return (index + 1) * 512;
	base = 4096u << (index - 8) / 4;
	return base + base / 4 * ((index - 8) % 4 + 1);
}

unsigned int
genie_heap_class(uint64_t size)
{
	uint64_t last = size - 1; /* offset of the last byte */
	unsigned int log;

	if (size <= 4096)
		return (unsigned int)(last / 512);
	log = 63 - (unsigned int)__builtin_clzll(last);
	return 8 + (log - 12) * 4 + (unsigned int)((last - (UINT64_C(1) << log)) >> (log - 2));
}

int
genie_heap_init(struct genie_heap *heap, uint64_t base, uint64_t size, uint64_t credit,
		uint64_t cache_max, uint32_t min_slot, const struct genie_heap_ops *ops, void *data)
{
	size_t table = size / GENIE_HEAP_PAGE * sizeof(*heap->pages);
	void *pages;

	*heap = (struct genie_heap){
		.base = base,
		.size = size,
		.ops = ops,
		.data = data,
		.min_class = genie_heap_class(min_slot),
		.cache_max = cache_max,
		.credit = credit,
		.next_id = 1,
	};
	/* Only the part of the table that is used gets memory behind it. */
	pages = mmap(NULL, table, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pages == MAP_FAILED)
		return -ENOMEM;
	heap->pages = pages;
	pthread_mutex_init(&heap->lock, NULL);
	return 0;
}

/* ---- lists ---- */

static void
block_append(struct genie_block_list *list, struct genie_block *block)
{
	block->next = NULL;
	block->prev = list->tail;
	if (list->tail != NULL)
		list->tail->next = block;
	else
		list->head = block;
	list->tail = block;
}

static void
block_remove(struct genie_block_list *list, struct genie_block *block)
{
	if (block->prev != NULL)
		block->prev->next = block->next;
	else
		list->head = block->next;
	if (block->next != NULL)
		block->next->prev = block->prev;
	else
		list->tail = block->prev;
	block->next = block->prev = NULL;
}

/* ---- blocks ---- */

static bool
needs_order(struct genie_heap *heap, uint64_t freed, uint64_t freed_stream, uint64_t stream)
{
	if (freed == 0 || (stream != 0 && freed_stream == stream))
		return false;
	return !heap->ops->ordered(heap->data, freed);
}

/* Makes a block live. The size is published last: genie_heap_find() looks at it first. */
static void
block_publish_locked(struct genie_heap *heap, struct genie_block *block, uint64_t addr,
		     uint64_t size, const struct genie_block_info *info)
{
	block->info = *info;
	block->info.base = addr;
	block->info.size = size;
	block->info.id = heap->next_id++;
	heap->live_blocks++;
	atomic_store_explicit(&block->size, size, memory_order_release);
}

static int
alloc_large(struct genie_heap *heap, uint64_t size, const struct genie_block_info *info,
	    uint64_t stream, uint64_t *ret_addr)
{
	uint64_t rounded = (size + GENIE_HEAP_PAGE - 1) & ~(GENIE_HEAP_PAGE - 1);
	struct genie_span *span;
	int error;

	if (rounded < size || rounded > heap->size)
		return -ENOMEM;
	error = genie_span_get(heap, rounded, &span);
	if (error != 0)
		return error;
	error = genie_span_reserve_blocks(span, 1);
	if (error == 0 && needs_order(heap, span->freed, span->freed_stream, stream))
		error = heap->ops->order(heap->data, span->freed);
	pthread_mutex_lock(&heap->lock);
	if (error != 0) {
		genie_span_cache_locked(heap, span);
	} else {
		atomic_store_explicit(&span->slot_size, 0, memory_order_release);
		span->slots = span->used = 1;
		span->fresh = 0;
		span->state = GENIE_SPAN_LARGE;
		heap->live += span->size;
		block_publish_locked(heap, genie_span_block(span, 0), span->base, size, info);
		*ret_addr = span->base;
	}
	pthread_mutex_unlock(&heap->lock);
	return error;
}

/* One more page for a size class. */
static int
class_grow(struct genie_heap *heap, unsigned int index)
{
	uint32_t slot_size = genie_heap_class_size(index);
	uint32_t slots = (uint32_t)(GENIE_HEAP_PAGE / slot_size);
	struct genie_span *span;
	int error;

	error = genie_span_get(heap, GENIE_HEAP_PAGE, &span);
	if (error != 0)
		return error;
	error = genie_span_reserve_blocks(span, slots);
	/* Its slots are for any use from here on, so the stream of the free excuses nothing. */
	if (error == 0 && needs_order(heap, span->freed, 0, 0))
		error = heap->ops->order(heap->data, span->freed);
	pthread_mutex_lock(&heap->lock);
	if (error != 0) {
		genie_span_cache_locked(heap, span);
	} else {
		atomic_store_explicit(&span->slot_size, slot_size, memory_order_release);
		span->slots = span->fresh = slots;
		span->used = 0;
		span->state = GENIE_SPAN_SMALL;
		genie_span_append(&heap->classes[index].fresh, span);
		heap->classes[index].empty++;
	}
	pthread_mutex_unlock(&heap->lock);
	return error;
}

/* The oldest freed slot, a slot never used, or NULL, in the order that costs least: a freed slot
 * that is known idle, then a new one, then a freed one that must be ordered (*@ret_order). */
static struct genie_block *
class_take_locked(struct genie_heap *heap, struct genie_heap_class *class, uint64_t stream,
		  uint64_t *ret_order)
{
	struct genie_block *block = class->freed.head;
	struct genie_span *span = class->fresh.head;
	bool order = block != NULL && needs_order(heap, block->freed, block->freed_stream, stream);

	*ret_order = 0;
	if (block != NULL && (!order || span == NULL)) {
		block_remove(&class->freed, block);
		if (order)
			*ret_order = block->freed;
	} else if (span != NULL) {
		block = genie_span_block(span, span->slots - span->fresh);
		if (--span->fresh == 0)
			genie_span_remove(&class->fresh, span);
	} else {
		return NULL;
	}
	if (block->span->used++ == 0)
		class->empty--;
	return block;
}

static uint64_t
block_addr(const struct genie_block *block)
{
	const struct genie_span *span = block->span;
	uint64_t index = (uint64_t)(block - genie_span_block(span, 0));

	return span->base + index * atomic_load_explicit(&span->slot_size, memory_order_relaxed);
}

static int
alloc_small(struct genie_heap *heap, uint64_t size, const struct genie_block_info *info,
	    uint64_t stream, uint64_t *ret_addr)
{
	unsigned int index = genie_heap_class(size);
	struct genie_heap_class *class;
	struct genie_block *block;
	uint64_t order;
	int error;

	if (index < heap->min_class)
		index = heap->min_class;
	class = &heap->classes[index];
	for (;;) {
		pthread_mutex_lock(&heap->lock);
		block = class_take_locked(heap, class, stream, &order);
		if (block != NULL && order == 0)
			break;
		pthread_mutex_unlock(&heap->lock);
		if (block != NULL) {
			error = heap->ops->order(heap->data, order);
			pthread_mutex_lock(&heap->lock);
			if (error == 0)
				break;
			if (--block->span->used == 0)
				class->empty++;
			block_append(&class->freed, block);
			pthread_mutex_unlock(&heap->lock);
			return error;
		}
		error = class_grow(heap, index);
		if (error != 0)
			return error;
	}
	heap->live += genie_heap_class_size(index);
	block_publish_locked(heap, block, block_addr(block), size, info);
	*ret_addr = block->info.base;
	pthread_mutex_unlock(&heap->lock);
	return 0;
}

int
genie_heap_alloc(struct genie_heap *heap, uint64_t size, const struct genie_block_info *info,
		 uint64_t stream, uint64_t *ret_addr)
{
	if (size <= GENIE_HEAP_SMALL_MAX)
		return alloc_small(heap, size, info, stream, ret_addr);
	return alloc_large(heap, size, info, stream, ret_addr);
}

/* The block that contains @addr, live or not; NULL when no span does. Takes no lock. */
static struct genie_block *
block_at(const struct genie_heap *heap, uint64_t addr)
{
	const struct genie_span *span;
	struct genie_block *blocks;
	uint64_t index = 0;
	uint32_t slot_size;

	if (addr < heap->base || addr - heap->base >= heap->size)
		return NULL;
	span = genie_heap_page_span(heap, genie_heap_page_index(heap, addr));
	if (span == NULL)
		return NULL;
	/* In this order: an array is at least as long as any slot size before it needed. */
	slot_size = atomic_load_explicit(&span->slot_size, memory_order_acquire);
	blocks = atomic_load_explicit(&span->blocks, memory_order_acquire);
	if (blocks == NULL)
		return NULL;
	if (slot_size != 0) {
		index = (uint32_t)((addr - span->base) % GENIE_HEAP_PAGE) / slot_size;
		if (index >= GENIE_HEAP_PAGE / slot_size) /* what is left after the last slot */
			return NULL;
	}
	return &blocks[index];
}

/* ---- size classes, when a span is given back ---- */

/* Takes an empty span of a class apart and puts it into the cache. */
static void
class_release_locked(struct genie_heap *heap, struct genie_heap_class *class,
		     struct genie_span *span)
{
	uint64_t freed = 0;

	for (uint32_t i = 0; i < span->slots - span->fresh; i++) {
		struct genie_block *block = genie_span_block(span, i);

		if (block->freed > freed)
			freed = block->freed;
		block_remove(&class->freed, block);
		block->freed = 0;
	}
	if (span->fresh != 0)
		genie_span_remove(&class->fresh, span);
	span->freed = freed;
	span->freed_stream = 0;
	class->empty--;
	genie_span_cache_locked(heap, span);
}

/* A span of @class of which no slot is used, or NULL. */
static struct genie_span *
class_empty_locked(const struct genie_heap_class *class)
{
	if (class->empty == 0)
		return NULL;
	for (struct genie_span *span = class->fresh.head; span != NULL; span = span->next) {
		if (span->used == 0)
			return span;
	}
	for (struct genie_block *block = class->freed.head; block != NULL; block = block->next) {
		if (block->span->used == 0)
			return block->span;
	}
	return NULL;
}

void
genie_heap_classes_release_locked(struct genie_heap *heap)
{
	for (unsigned int i = 0; i < GENIE_HEAP_CLASSES; i++) {
		struct genie_span *span;

		while ((span = class_empty_locked(&heap->classes[i])) != NULL)
			class_release_locked(heap, &heap->classes[i], span);
	}
}

static void
free_small_locked(struct genie_heap *heap, struct genie_block *block)
{
	struct genie_span *span = block->span;
	uint32_t slot_size = atomic_load_explicit(&span->slot_size, memory_order_relaxed);
	struct genie_heap_class *class = &heap->classes[genie_heap_class(slot_size)];

	heap->live -= slot_size;
	block_append(&class->freed, block);
	if (--span->used == 0 && ++class->empty > 1)
		class_release_locked(heap, class, span);
}

int
genie_heap_free(struct genie_heap *heap, uint64_t addr, uint64_t stream,
		struct genie_block_info *ret_info)
{
	struct genie_block *block;
	struct genie_span *span;
	bool shrink = false;
	int result = 0;
	uint64_t now = heap->ops->now(heap->data);

	pthread_mutex_lock(&heap->lock);
	block = block_at(heap, addr);
	if (block == NULL || atomic_load_explicit(&block->size, memory_order_relaxed) == 0 ||
	    block->info.base != addr) {
		result = -EINVAL;
	} else {
		*ret_info = block->info;
		atomic_store_explicit(&block->size, 0, memory_order_release);
		heap->live_blocks--;
		span = block->span;
		block->freed = now;
		block->freed_stream = stream;
		if (span->state == GENIE_SPAN_SMALL) {
			free_small_locked(heap, block);
		} else {
			heap->live -= span->size;
			span->freed = now;
			span->freed_stream = stream;
			genie_span_cache_locked(heap, span);
		}
		shrink = heap->cache_bytes > heap->cache_max ||
			 heap->cache_count > GENIE_HEAP_CACHE_MAX;
	}
	pthread_mutex_unlock(&heap->lock);
	if (shrink)
		genie_span_cache_shrink(heap, heap->cache_max, GENIE_HEAP_CACHE_MAX);
	return result;
}

bool
genie_heap_mark_mirrored(struct genie_heap *heap, uint64_t addr)
{
	struct genie_block *block;
	bool marked = false;

	pthread_mutex_lock(&heap->lock);
	block = block_at(heap, addr);
	if (block != NULL && block->size != 0 && block->info.base == addr) {
		marked = !__atomic_load_n(&block->info.mirrored, __ATOMIC_RELAXED);
		/* Others look the block up at the same time: a copy may see either value. */
		__atomic_store_n(&block->info.mirrored, true, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&heap->lock);
	return marked;
}

bool
genie_heap_find(const struct genie_heap *heap, uint64_t addr, struct genie_block_info *ret_info)
{
	struct genie_block *block = block_at(heap, addr);
	uint64_t size;

	if (block == NULL)
		return false;
	size = atomic_load_explicit(&block->size, memory_order_acquire);
	if (size == 0 || addr - block->info.base >= size)
		return false;
	*ret_info = block->info;
	return true;
}

void
genie_heap_trim(struct genie_heap *heap, uint64_t keep)
{
	pthread_mutex_lock(&heap->lock);
	if (heap->mapped - heap->live > keep)
		genie_heap_classes_release_locked(heap);
	pthread_mutex_unlock(&heap->lock);
	genie_span_cache_shrink(heap, keep, UINT32_MAX);
}

/* Copies what is known about block @slot of the span at page @index, if it is live; *@ret_next is
 * the page after the span, *@ret_slots how many of its slots were ever used. */
static bool
each_look(struct genie_heap *heap, uint64_t index, uint32_t slot, uint64_t *ret_next,
	  uint32_t *ret_slots, struct genie_block_info *ret_info)
{
	struct genie_span *span;
	bool live = false;

	*ret_next = index + 1;
	*ret_slots = 0;
	pthread_mutex_lock(&heap->lock);
	span = index < heap->high ? genie_heap_page_span(heap, index) : NULL;
	if (span != NULL) {
		*ret_next = genie_heap_page_index(heap, span->base + span->size);
		if (span->state == GENIE_SPAN_SMALL || span->state == GENIE_SPAN_LARGE)
			*ret_slots = span->slots - span->fresh;
		live = slot < *ret_slots && genie_span_block(span, slot)->size != 0;
		if (live)
			*ret_info = genie_span_block(span, slot)->info;
	}
	pthread_mutex_unlock(&heap->lock);
	return live;
}

void
genie_heap_each(struct genie_heap *heap,
		void (*fn)(const struct genie_block_info *info, void *data), void *data)
{
	uint64_t high, next = 0;

	pthread_mutex_lock(&heap->lock);
	high = heap->high;
	pthread_mutex_unlock(&heap->lock);
	for (uint64_t index = 0; index < high; index = next) {
		uint32_t slots = 1;

		for (uint32_t slot = 0; slot == 0 || slot < slots; slot++) {
			struct genie_block_info info;

			if (each_look(heap, index, slot, &next, &slots, &info))
				fn(&info, data);
		}
	}
}

void
genie_heap_fini(struct genie_heap *heap)
{
	struct genie_span *span, *next;

	if (heap->pages == NULL)
		return;
	for (span = heap->all; span != NULL; span = next) {
		next = span->all_next;
		genie_span_free(span);
	}
	pthread_mutex_destroy(&heap->lock);
	munmap(heap->pages, heap->size / GENIE_HEAP_PAGE * sizeof(*heap->pages));
	*heap = (struct genie_heap){0};
}
