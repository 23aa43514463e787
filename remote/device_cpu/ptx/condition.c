/* Conditions of graphs: what a kernel sets by cudaGraphSetConditional. */
#include <pthread.h>
#include <stdlib.h>

#include "remote/device_cpu/ptx.h"

#define BUCKETS 64

struct condition {
	struct condition *next;
	uint64_t handle;
	uint32_t value;
};

static struct condition *buckets[BUCKETS];
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;

static struct condition **
find(uint64_t handle)
{
	struct condition **at = &buckets[handle % BUCKETS];

	while (*at && (*at)->handle != handle)
		at = &(*at)->next;
	return at;
}

int
ptx_condition_bind(uint64_t handle)
{
	struct condition *fresh = calloc(1, sizeof(*fresh)), **at;

	if (!fresh)
		return -1;
	fresh->handle = handle;
	pthread_rwlock_wrlock(&lock);
	at = find(handle);
	if (*at)
		free(fresh);
	else
		*at = fresh;
	pthread_rwlock_unlock(&lock);
	return 0;
}

void
ptx_condition_unbind(uint64_t handle)
{
	struct condition **at, *old;

	pthread_rwlock_wrlock(&lock);
	at = find(handle);
	old = *at;
	if (old)
		*at = old->next;
	pthread_rwlock_unlock(&lock);
	free(old);
}

int
ptx_condition_set(uint64_t handle, uint32_t value)
{
	struct condition *found;

	pthread_rwlock_rdlock(&lock);
	found = *find(handle);
	if (found) /* racing kernels: one of the values, as the documentation has it */
		__atomic_store_n(&found->value, value, __ATOMIC_RELAXED);
	pthread_rwlock_unlock(&lock);
	return found ? 0 : -1;
}

uint32_t
ptx_condition_get(uint64_t handle)
{
	const struct condition *found;
	uint32_t value = 0;

	pthread_rwlock_rdlock(&lock);
	found = *find(handle);
	if (found)
		value = __atomic_load_n(&found->value, __ATOMIC_RELAXED);
	pthread_rwlock_unlock(&lock);
	return value;
}
