#include "remote/device_cpu/ptx/heap.h"

#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 1024 };
static const uint64_t max_heap = 1ull << 30; /* bytes of all modules together */

struct piece {
	struct piece *next;
	const struct ptx_module *module;
	uint64_t size;
	_Alignas(16) uint8_t data[];
};

/* Guards everything below. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct piece *buckets[BUCKETS];
static uint64_t used;

static struct piece **
bucket_of(uint64_t address)
{
	return &buckets[address / 16 % BUCKETS];
}

uint64_t
ptx_heap_allocate(const struct ptx_module *module, uint64_t size)
{
	struct piece *p = NULL;

	if (!size || size > max_heap)
		return 0;
	pthread_mutex_lock(&lock);
	if (used + size <= max_heap)
		p = calloc(1, sizeof(*p) + size);
	if (p) {
		struct piece **bucket = bucket_of((uintptr_t)p->data);

		p->module = module;
		p->size = size;
		p->next = *bucket;
		*bucket = p;
		used += size;
	}
	pthread_mutex_unlock(&lock);
	return p ? (uintptr_t)p->data : 0;
}

int
ptx_heap_release(uint64_t address)
{
	struct piece *found = NULL;

	if (!address)
		return 0;
	pthread_mutex_lock(&lock);
	for (struct piece **at = bucket_of(address); *at; at = &(*at)->next) {
		if ((uintptr_t)(*at)->data == address) {
			found = *at;
			*at = found->next;
			used -= found->size;
			break;
		}
	}
	pthread_mutex_unlock(&lock);
	free(found);
	return found ? 0 : -1;
}

void
ptx_heap_forget(const struct ptx_module *module)
{
	pthread_mutex_lock(&lock);
	for (int k = 0; k < BUCKETS; k++) {
		struct piece **at = &buckets[k];

		while (*at) {
			struct piece *p = *at;

			if (p->module != module) {
				at = &p->next;
				continue;
			}
			*at = p->next;
			used -= p->size;
			free(p);
		}
	}
	pthread_mutex_unlock(&lock);
}
