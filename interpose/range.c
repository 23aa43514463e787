#include "interpose/range.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Index of the first range that ends after @addr. */
static size_t
search_locked(const struct genie_ranges *ranges, uint64_t addr)
{
	size_t low = 0, high = atomic_load_explicit(&ranges->count, memory_order_relaxed);

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct genie_mem *mem = &ranges->items[middle];

		if (mem->base + mem->size <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int
grow_locked(struct genie_ranges *ranges, size_t count)
{
	size_t capacity = ranges->capacity != 0 ? ranges->capacity * 2 : 16;
	struct genie_mem *items;

	if (count < ranges->capacity)
		return 0;
	items = reallocarray(ranges->items, capacity, sizeof(*items));
	if (items == NULL)
		return -ENOMEM;
	ranges->items = items;
	ranges->capacity = capacity;
	return 0;
}

int
genie_ranges_add(struct genie_ranges *ranges, const struct genie_mem *mem)
{
	size_t count, at;
	int error = 0;

	pthread_rwlock_wrlock(&ranges->lock);
	count = atomic_load_explicit(&ranges->count, memory_order_relaxed);
	at = search_locked(ranges, mem->base);
	if (at < count && ranges->items[at].base < mem->base + mem->size)
		error = -EEXIST;
	else
		error = grow_locked(ranges, count);
	if (error == 0) {
		memmove(&ranges->items[at + 1], &ranges->items[at],
			(count - at) * sizeof(*ranges->items));
		ranges->items[at] = *mem;
		atomic_store_explicit(&ranges->count, count + 1, memory_order_release);
	}
	pthread_rwlock_unlock(&ranges->lock);
	return error;
}

static void
remove_at_locked(struct genie_ranges *ranges, size_t at)
{
	size_t count = atomic_load_explicit(&ranges->count, memory_order_relaxed);

	memmove(&ranges->items[at], &ranges->items[at + 1],
		(count - at - 1) * sizeof(*ranges->items));
	atomic_store_explicit(&ranges->count, count - 1, memory_order_release);
}

int
genie_ranges_remove(struct genie_ranges *ranges, uint64_t base, struct genie_mem *ret_mem)
{
	int error = -ENOENT;
	size_t at;

	pthread_rwlock_wrlock(&ranges->lock);
	at = search_locked(ranges, base);
	if (at < atomic_load_explicit(&ranges->count, memory_order_relaxed) &&
	    ranges->items[at].base == base) {
		if (ret_mem != NULL)
			*ret_mem = ranges->items[at];
		remove_at_locked(ranges, at);
		error = 0;
	}
	pthread_rwlock_unlock(&ranges->lock);
	return error;
}

uint64_t
genie_ranges_twin(struct genie_ranges *ranges, uint64_t base, uint64_t twin)
{
	size_t at;

	pthread_rwlock_wrlock(&ranges->lock);
	at = search_locked(ranges, base);
	if (at < atomic_load_explicit(&ranges->count, memory_order_relaxed) &&
	    ranges->items[at].base == base) {
		if (twin != 0)
			ranges->items[at].twin = twin;
		twin = ranges->items[at].twin;
	}
	pthread_rwlock_unlock(&ranges->lock);
	return twin;
}

bool
genie_ranges_overlap(struct genie_ranges *ranges, uint64_t base, uint64_t size)
{
	bool overlap;
	size_t at;

	/* acquire: pairs with the release in add: whoever registered a range and then told this
	 * thread about it is seen */
	if (atomic_load_explicit(&ranges->count, memory_order_acquire) == 0)
		return false;
	pthread_rwlock_rdlock(&ranges->lock);
	at = search_locked(ranges, base);
	overlap = at < atomic_load_explicit(&ranges->count, memory_order_relaxed) &&
		  ranges->items[at].base < base + size;
	pthread_rwlock_unlock(&ranges->lock);
	return overlap;
}

bool
genie_ranges_find(struct genie_ranges *ranges, uint64_t addr, struct genie_mem *ret_mem)
{
	bool found;
	size_t at;

	if (atomic_load_explicit(&ranges->count, memory_order_acquire) == 0)
		return false;
	pthread_rwlock_rdlock(&ranges->lock);
	at = search_locked(ranges, addr);
	found = at < atomic_load_explicit(&ranges->count, memory_order_relaxed) &&
		ranges->items[at].base <= addr;
	if (found)
		*ret_mem = ranges->items[at];
	pthread_rwlock_unlock(&ranges->lock);
	return found;
}

void
genie_ranges_forget_ctx(struct genie_ranges *ranges, const struct genie_ctx *ctx)
{
	size_t at = 0;

	pthread_rwlock_wrlock(&ranges->lock);
	while (at < atomic_load_explicit(&ranges->count, memory_order_relaxed)) {
		if (ranges->items[at].ctx == ctx)
			remove_at_locked(ranges, at);
		else
			at++;
	}
	pthread_rwlock_unlock(&ranges->lock);
}

bool
genie_ranges_take_ctx(struct genie_ranges *ranges, const struct genie_ctx *ctx,
		      struct genie_mem *ret_mem)
{
	size_t at = 0, count;

	pthread_rwlock_wrlock(&ranges->lock);
	count = atomic_load_explicit(&ranges->count, memory_order_relaxed);
	while (at < count && ranges->items[at].ctx != ctx)
		at++;
	if (at < count) {
		*ret_mem = ranges->items[at];
		remove_at_locked(ranges, at);
	}
	pthread_rwlock_unlock(&ranges->lock);
	return at < count;
}
