#include "remote/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "remote/store_file.h"

/* What a session may hold in memory: images on disk are forgotten first. */
#define MEMORY_MAX (UINT64_C(1) << 30)
/* What all sessions of a user may leave on disk. */
#define DISK_MAX (UINT64_C(4) << 30)

struct genie_store {
	struct genie_stored *list;
	uint64_t total; /* bytes in memory */
	int dir;        /* -1: no files */

	/* The thread that writes files, started with the first one. */
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t work;
	pthread_t thread;
	bool started, stop;
	struct genie_stored *save;
};

struct genie_store *
genie_store_create(const char *cache_dir)
{
	struct genie_store *store = calloc(1, sizeof(*store));

	if (!store)
		return NULL;
	store->dir = -1;
	if (cache_dir) {
		store->dir = genie_store_file_open(cache_dir);
		if (store->dir < 0)
			genie_warn("image cache %s cannot be used: %s", cache_dir,
				   store->dir == -EPERM ? "others may write to it"
							: strerror(-store->dir));
	}
	pthread_mutex_init(&store->lock, NULL);
	pthread_cond_init(&store->work, NULL);
	return store;
}

static void
image_free(struct genie_stored *image)
{
	free(image->data);
	free(image);
}

void
genie_store_destroy(struct genie_store *store)
{
	struct genie_stored *image;

	if (!store)
		return;
	if (store->started) {
		pthread_mutex_lock(&store->lock);
		store->stop = true;
		pthread_cond_signal(&store->work);
		pthread_mutex_unlock(&store->lock);
		pthread_join(store->thread, NULL);
	}
	while ((image = store->list)) {
		store->list = image->next;
		image_free(image);
	}
	if (store->dir >= 0)
		close(store->dir);
	pthread_mutex_destroy(&store->lock);
	pthread_cond_destroy(&store->work);
	free(store);
}

/* ---- files ---- */

static void *
saver_main(void *data)
{
	struct genie_store *store = data;

	pthread_mutex_lock(&store->lock);
	while (!store->stop || store->save) {
		struct genie_stored *image = store->save;
		int error;

		if (!image) {
			pthread_cond_wait(&store->work, &store->lock);
			continue;
		}
		store->save = image->save_next;
		pthread_mutex_unlock(&store->lock);
		error = genie_store_file_save(store->dir, image->hash, image->data, image->size);
		if (error && error != -EEXIST)
			genie_warn("image cache: cannot write: %s", strerror(-error));
		atomic_store_explicit(&image->saved, 1, memory_order_release);
		pthread_mutex_lock(&store->lock);
		if (!store->save) { /* nothing more to write for now: time to tidy up */
			pthread_mutex_unlock(&store->lock);
			genie_store_file_trim(store->dir, DISK_MAX);
			pthread_mutex_lock(&store->lock);
		}
	}
	pthread_mutex_unlock(&store->lock);
	return NULL;
}

static void
save_later(struct genie_store *store, struct genie_stored *image)
{
	pthread_mutex_lock(&store->lock);
	if (store->dir >= 0 && !store->started)
		store->started = !pthread_create(&store->thread, NULL, saver_main, store);
	if (store->started) {
		image->save_next = store->save;
		store->save = image;
		pthread_cond_signal(&store->work);
	} /* else it is only in memory, and stays there, since it is never "saved" */
	pthread_mutex_unlock(&store->lock);
}

/* ---- images ---- */

static struct genie_stored *
lookup(struct genie_store *store, const uint8_t *hash)
{
	struct genie_stored **link = &store->list;

	for (; *link; link = &(*link)->next) {
		struct genie_stored *image = *link;

		if (memcmp(image->hash, hash, GENIE_STORE_HASH))
			continue;
		*link = image->next;
		image->next = store->list;
		store->list = image;
		return image;
	}
	return NULL;
}

static void
forget(struct genie_store *store, struct genie_stored *image)
{
	for (struct genie_stored **link = &store->list; *link; link = &(*link)->next)
		if (*link == image) {
			*link = image->next;
			break;
		}
	store->total -= image->size;
	image_free(image);
}

/* Makes room for @size bytes: the oldest images that are on disk go. */
static bool
make_room(struct genie_store *store, uint64_t size)
{
	while (store->total + size > MEMORY_MAX) {
		struct genie_stored *oldest = NULL;

		for (struct genie_stored *i = store->list; i; i = i->next)
			if (atomic_load_explicit(&i->saved, memory_order_acquire))
				oldest = i;
		if (!oldest)
			return false;
		forget(store, oldest);
	}
	return true;
}

/* An entry for @data (taken) or, with NULL, for @size bytes that will come. */
static struct genie_stored *
image_new(struct genie_store *store, const uint8_t *hash, uint8_t *data, size_t size)
{
	struct genie_stored *image;

	if (!make_room(store, size))
		return NULL;
	image = calloc(1, sizeof(*image));
	if (!image)
		return NULL;
	if (!data) {
		data = malloc(size + GENIE_STORE_PAD);
		if (!data) {
			free(image);
			return NULL;
		}
		memset(data + size, 0, GENIE_STORE_PAD);
	}
	memcpy(image->hash, hash, GENIE_STORE_HASH);
	image->data = data;
	image->size = size;
	image->next = store->list;
	store->list = image;
	store->total += size;
	return image;
}

struct genie_stored *
genie_store_find(struct genie_store *store, const uint8_t *hash)
{
	struct genie_stored *image = lookup(store, hash);
	uint8_t *data = NULL;
	size_t size = 0;

	if (image)
		return image->filled == image->size ? image : NULL;
	if (store->dir < 0 || genie_store_file_load(store->dir, hash, &data, &size))
		return NULL;
	image = image_new(store, hash, data, size);
	if (!image) {
		free(data);
		return NULL;
	}
	image->filled = size;
	atomic_store_explicit(&image->saved, 1, memory_order_release);
	return image;
}

int
genie_store_add(struct genie_store *store, const uint8_t *hash, uint64_t total, uint64_t offset,
		const void *data, size_t size)
{
	struct genie_stored *image = lookup(store, hash);
	uint8_t found[GENIE_STORE_HASH];

	if (image && image->filled == image->size)
		return 0; /* two threads of the client sent the same one */
	if (!total || total > GENIE_STORE_MAX || !size || offset > total || size > total - offset)
		return -EINVAL;
	if (!image && offset)
		return -EINVAL;
	if (!image) {
		image = image_new(store, hash, NULL, total);
		if (!image)
			return -ENOMEM;
	}
	if (total != image->size || offset != image->filled)
		return -EINVAL;
	memcpy(image->data + offset, data, size);
	image->filled += size;
	if (image->filled < image->size)
		return 0;
	genie_store_hash(image->data, image->size, found);
	if (memcmp(found, hash, sizeof(found))) {
		forget(store, image);
		return -EBADMSG;
	}
	save_later(store, image);
	return 0;
}

char *
genie_store_dir(void)
{
	const char *dir = getenv("GENIE_CACHE_DIR");
	const char *cache = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	char *path = NULL;

	if (dir)
		return *dir ? strdup(dir) : NULL;
	if (cache && *cache) {
		if (asprintf(&path, "%s/genie/images", cache) < 0)
			return NULL;
	} else if (home && *home) {
		if (asprintf(&path, "%s/.cache/genie/images", home) < 0)
			return NULL;
	}
	return path;
}
