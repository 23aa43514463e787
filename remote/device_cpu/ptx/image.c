#include "remote/device_cpu/ptx/image.h"

#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 256 };

struct binding {
	struct binding *next;
	uint64_t handle;
	struct ptx_image image;
};

/* Guards the table. */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct binding *buckets[BUCKETS];

static struct binding **
find(uint64_t handle)
{
	struct binding **at = &buckets[(handle ^ handle >> 8 ^ handle >> 16) % BUCKETS];

	while (*at && (*at)->handle != handle)
		at = &(*at)->next;
	return at;
}

int
ptx_image_bind(uint64_t handle, const struct ptx_image *image)
{
	struct binding *fresh = calloc(1, sizeof(*fresh)), **at;

	if (!fresh)
		return -1;
	pthread_rwlock_wrlock(&lock);
	at = find(handle);
	if (*at) {
		(*at)->image = *image;
		free(fresh);
	} else {
		*fresh = (struct binding){.handle = handle, .image = *image};
		*at = fresh;
	}
	pthread_rwlock_unlock(&lock);
	return 0;
}

void
ptx_image_unbind(uint64_t handle)
{
	struct binding **at, *old;

	pthread_rwlock_wrlock(&lock);
	at = find(handle);
	old = *at;
	if (old)
		*at = old->next;
	pthread_rwlock_unlock(&lock);
	free(old);
}

int
ptx_image_find(uint64_t handle, struct ptx_image *ret_image)
{
	const struct binding *found;

	pthread_rwlock_rdlock(&lock);
	found = *find(handle);
	if (found)
		*ret_image = found->image;
	pthread_rwlock_unlock(&lock);
	return found ? 0 : -1;
}

uint32_t
ptx_image_element_size(const struct ptx_image *image)
{
	static const uint8_t sizes[] = {
		[PTX_IMAGE_U8] = 1,  [PTX_IMAGE_S8] = 1,  [PTX_IMAGE_U16] = 2, [PTX_IMAGE_S16] = 2,
		[PTX_IMAGE_U32] = 4, [PTX_IMAGE_S32] = 4, [PTX_IMAGE_F16] = 2, [PTX_IMAGE_F32] = 4,
	};

	return sizes[image->format] * image->channels;
}
