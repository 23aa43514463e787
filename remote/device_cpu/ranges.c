/*
 * Which addresses are device memory: every copy and set is checked here, so that an address a
 * client made up becomes an error and not a fault. Sorted by address, never overlapping.
 */
#include "remote/device_cpu/ranges.h"

#include <stdlib.h>
#include <string.h>

static struct genie_cpu_range *ranges;
static size_t count, capacity;

/* Index of the first range that ends behind @addr. */
static size_t
lower_bound(uint64_t addr)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ranges[middle].addr + ranges[middle].size <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool
genie_cpu_range_add_locked(const struct genie_cpu_range *range)
{
	size_t at = lower_bound(range->addr);

	if (!range->size || (at < count && ranges[at].addr < range->addr + range->size))
		return false;
	if (count == capacity) {
		size_t wanted = capacity ? capacity * 2 : 256;
		struct genie_cpu_range *bigger = realloc(ranges, wanted * sizeof(*ranges));

		if (!bigger)
			return false;
		ranges = bigger;
		capacity = wanted;
	}
	memmove(&ranges[at + 1], &ranges[at], (count - at) * sizeof(*ranges));
	ranges[at] = *range;
	count++;
	return true;
}

struct genie_cpu_range *
genie_cpu_range_find_locked(uint64_t addr)
{
	size_t at = lower_bound(addr);

	return at < count && ranges[at].addr <= addr ? &ranges[at] : NULL;
}

void
genie_cpu_range_remove_locked(struct genie_cpu_range *range)
{
	size_t at = (size_t)(range - ranges);

	count--;
	memmove(&ranges[at], &ranges[at + 1], (count - at) * sizeof(*ranges));
}

bool
genie_cpu_range_next_locked(uint64_t from, uint64_t end, struct genie_cpu_range **ret_range)
{
	size_t at = lower_bound(from);

	if (at == count || ranges[at].addr >= end)
		return false;
	*ret_range = &ranges[at];
	return true;
}

bool
genie_cpu_accessible(uint64_t addr, size_t size, bool write)
{
	uint64_t end;
	bool ok = true;

	if (!size)
		return true;
	if (__builtin_add_overflow(addr, size, &end))
		return false;
	pthread_mutex_lock(&genie_cpu.lock);
	while (ok && addr < end) {
		struct genie_cpu_range *range = genie_cpu_range_find_locked(addr);

		ok = range && (write ? range->writable : range->readable);
		if (!ok)
			break;
		addr = range->addr + range->size;
		/* mappings continue each other; allocations that touch do so by chance */
		ok = addr >= end || range->kind == GENIE_CPU_RANGE_MAPPED ||
		     range->kind == GENIE_CPU_RANGE_REGISTER;
	}
	pthread_mutex_unlock(&genie_cpu.lock);
	return ok;
}
