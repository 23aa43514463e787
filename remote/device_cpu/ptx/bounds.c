/*
 * Which global memory is a program's own, for GENIE_CPU_CHECK=bounds. Who places allocations says
 * where each begins and how long it is; what was freed is remembered until something else lies
 * there. Addresses on pages without an allocation are none of this table's business: they fault by
 * themselves, or belong to somebody else.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/ptx/check.h"

enum { PAGE_SHIFT = 21, INTERVALS_MAX = 1 << 20 };

struct interval {
	uint64_t base, size;
	int freed;
};

/* Guards the table, which is sorted and does not overlap. */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct interval *table;
static size_t count, room;

/* The first interval that ends after @address. */
static size_t
first_after(uint64_t address)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (table[middle].base + table[middle].size > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Makes the table forget what overlaps [@base, @base + @size); the place for a new one. */
static size_t
clear(uint64_t base, uint64_t size)
{
	size_t first = first_after(base), last = first;

	while (last < count && table[last].base < base + size)
		last++;
	if (last > first)
		memmove(table + first, table + last, (count - last) * sizeof(*table));
	count -= last - first;
	return first;
}

void
ptx_bounds_note(uint64_t base, uint64_t size)
{
	size_t at;

	if (!size || base + size < base)
		return;
	pthread_rwlock_wrlock(&lock);
	at = clear(base, size);
	if (count == room) {
		size_t more = room ? 2 * room : 64;
		struct interval *larger =
			more <= INTERVALS_MAX ? realloc(table, more * sizeof(*table)) : NULL;

		if (!larger) { /* what is not known is not refused */
			count = 0;
			pthread_rwlock_unlock(&lock);
			return;
		}
		table = larger;
		room = more;
	}
	memmove(table + at + 1, table + at, (count - at) * sizeof(*table));
	table[at] = (struct interval){.base = base, .size = size};
	count++;
	pthread_rwlock_unlock(&lock);
}

void
ptx_bounds_freed(uint64_t base)
{
	size_t at;

	pthread_rwlock_wrlock(&lock);
	at = first_after(base);
	if (at < count && table[at].base == base)
		table[at].freed = 1;
	pthread_rwlock_unlock(&lock);
}

void
ptx_bounds_forget(uint64_t base, uint64_t size)
{
	if (!size || base + size < base)
		return;
	pthread_rwlock_wrlock(&lock);
	clear(base, size);
	pthread_rwlock_unlock(&lock);
}

static int
same_page(uint64_t a, uint64_t b)
{
	return a >> PAGE_SHIFT == b >> PAGE_SHIFT;
}

static int
allow_locked(uint64_t address, uint32_t bytes, char *what, size_t size)
{
	size_t at = first_after(address);
	const struct interval *in = at < count ? &table[at] : NULL;
	const struct interval *before = at > 0 ? &table[at - 1] : NULL;

	if (in && in->base <= address) {
		uint64_t left = in->base + in->size - address;

		if (!in->freed && bytes <= left)
			return 1;
		if (in->freed)
			snprintf(what, size, "in the %llu bytes at 0x%llx that were freed",
				 (unsigned long long)in->size, (unsigned long long)in->base);
		else
			snprintf(what, size, "reaches %llu bytes beyond the %llu bytes at 0x%llx",
				 (unsigned long long)(bytes - left), (unsigned long long)in->size,
				 (unsigned long long)in->base);
		return 0;
	}
	if (before && same_page(before->base + before->size - 1, address)) {
		snprintf(what, size, "%llu bytes behind the end of the %llu bytes at 0x%llx%s",
			 (unsigned long long)(address - before->base - before->size),
			 (unsigned long long)before->size, (unsigned long long)before->base,
			 before->freed ? " that were freed" : "");
		return 0;
	}
	if (in && same_page(in->base, address)) {
		snprintf(what, size, "%llu bytes before the %llu bytes at 0x%llx",
			 (unsigned long long)(in->base - address), (unsigned long long)in->size,
			 (unsigned long long)in->base);
		return 0;
	}
	return 1;
}

int
ptx_bounds_allow(uint64_t address, uint32_t bytes, char *what, size_t size)
{
	int allowed;

	pthread_rwlock_rdlock(&lock);
	allowed = allow_locked(address, bytes, what, size);
	pthread_rwlock_unlock(&lock);
	return allowed;
}
