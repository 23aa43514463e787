#include "remote/uploads.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/size.h"
#include "remote/store.h"
#include "remote/store_file.h"
#include "wire/proto.h"

/* What all sessions of a user may leave on disk, when GENIE_CACHE_UPLOADS does not say. */
#define DISK_MAX (UINT64_C(4) << 30)
/* What waits to be written: past that, uploads are not kept. */
#define QUEUE_MAX (UINT64_C(192) << 20)
/* Names that clients are told of: 64 GiB of whole chunks. */
#define NAMES_MAX 65536

struct kept {
	struct kept *next;
	size_t size;
	uint8_t data[];
};

struct genie_uploads {
	int dir;
	uint64_t disk_max;
	uint64_t *heads; /* names there were, when somebody asked first */
	size_t head_count;
	bool listed;
	uint64_t looked_at; /* bytes of this session */

	/* The thread that hashes and writes, started with the first chunk. */
	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t work;
	bool stop, failed;
	uint64_t queued; /* bytes */
	struct kept *first, **last;
};

/* 0: nothing is to be kept. */
static uint64_t
disk_max(void)
{
	const char *text = getenv("GENIE_CACHE_UPLOADS");
	uint64_t size;

	if (!text || !*text)
		return DISK_MAX;
	if (genie_size_parse(text, &size))
		return size;
	genie_warn("GENIE_CACHE_UPLOADS \"%s\" is not a size (0, 512M, 16G): nothing is kept",
		   text);
	return 0;
}

static int
folder_open(const char *cache_dir)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/uploads", cache_dir);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return genie_store_file_open(path);
}

bool
genie_uploads_any(const char *cache_dir)
{
	uint64_t head;
	bool any;
	int dir;

	if (!cache_dir || !disk_max())
		return false;
	dir = folder_open(cache_dir);
	if (dir < 0)
		return false;
	any = genie_store_file_names(dir, &head, 1) > 0;
	close(dir);
	return any;
}

struct genie_uploads *
genie_uploads_create(const char *cache_dir)
{
	uint64_t max = cache_dir ? disk_max() : 0;
	struct genie_uploads *uploads;
	int dir;

	if (!max)
		return NULL;
	dir = folder_open(cache_dir);
	if (dir < 0) {
		genie_warn("uploads cannot be kept in %s: %s", cache_dir,
			   dir == -EPERM ? "others may write to it" : strerror(-dir));
		return NULL;
	}
	uploads = calloc(1, sizeof(*uploads));
	if (!uploads) {
		close(dir);
		return NULL;
	}
	uploads->dir = dir;
	uploads->disk_max = max;
	uploads->last = &uploads->first;
	pthread_mutex_init(&uploads->lock, NULL);
	pthread_cond_init(&uploads->work, NULL);
	return uploads;
}

void
genie_uploads_destroy(struct genie_uploads *uploads)
{
	struct kept *kept;

	if (!uploads)
		return;
	if (uploads->started) {
		pthread_mutex_lock(&uploads->lock);
		uploads->stop = true;
		pthread_cond_signal(&uploads->work);
		pthread_mutex_unlock(&uploads->lock);
		pthread_join(uploads->thread, NULL);
	}
	while ((kept = uploads->first)) {
		uploads->first = kept->next;
		free(kept);
	}
	close(uploads->dir);
	pthread_cond_destroy(&uploads->work);
	pthread_mutex_destroy(&uploads->lock);
	free(uploads->heads);
	free(uploads);
}

/* ---- what there is ---- */

size_t
genie_uploads_names(struct genie_uploads *uploads, uint64_t from, uint64_t *ret_heads, size_t count)
{
	if (!uploads)
		return 0;
	if (!uploads->listed) {
		uploads->listed = true;
		uploads->heads = malloc(NAMES_MAX * sizeof(*uploads->heads));
		if (uploads->heads)
			uploads->head_count =
				genie_store_file_names(uploads->dir, uploads->heads, NAMES_MAX);
	}
	if (from >= uploads->head_count)
		return 0;
	if (count > uploads->head_count - from)
		count = uploads->head_count - from;
	memcpy(ret_heads, uploads->heads + from, count * sizeof(*ret_heads));
	return count;
}

uint8_t *
genie_uploads_load(struct genie_uploads *uploads, const uint8_t *hash, size_t size)
{
	uint8_t *data;
	size_t found;

	if (!uploads || genie_store_file_load(uploads->dir, hash, &data, &found))
		return NULL;
	if (found == size)
		return data;
	free(data);
	return NULL;
}

/* ---- keeping ---- */

static int
write_chunk(const struct genie_uploads *uploads, const struct kept *kept)
{
	uint8_t hash[GENIE_STORE_HASH];

	genie_store_hash(kept->data, kept->size, hash);
	if (genie_store_file_touch(uploads->dir, hash) == 0)
		return 0;
	return genie_store_file_save(uploads->dir, hash, kept->data, kept->size);
}

static void *
writer_main(void *data)
{
	struct genie_uploads *uploads = data;

	pthread_mutex_lock(&uploads->lock);
	while (!uploads->stop || (uploads->first && !uploads->failed)) {
		struct kept *kept = uploads->first;
		int error;

		if (!kept) {
			pthread_cond_wait(&uploads->work, &uploads->lock);
			continue;
		}
		uploads->first = kept->next;
		if (!uploads->first)
			uploads->last = &uploads->first;
		uploads->queued -= kept->size;
		pthread_mutex_unlock(&uploads->lock);
		error = write_chunk(uploads, kept);
		free(kept);
		pthread_mutex_lock(&uploads->lock);
		if (error && error != -EEXIST && !uploads->failed) {
			/* a full disk stays full: no more of this session */
			uploads->failed = true;
			genie_warn("uploads cannot be kept: %s", strerror(-error));
		}
		if (!uploads->first) {
			pthread_mutex_unlock(&uploads->lock);
			genie_store_file_trim(uploads->dir, uploads->disk_max);
			pthread_mutex_lock(&uploads->lock);
		}
	}
	pthread_mutex_unlock(&uploads->lock);
	return NULL;
}

void
genie_uploads_keep(struct genie_uploads *uploads, const void *data, size_t size)
{
	struct kept *kept;
	bool room;

	if (!uploads || size < GENIE_UPLOAD_MIN ||
	    uploads->looked_at + size > GENIE_UPLOADS_SESSION ||
	    uploads->looked_at + size > uploads->disk_max)
		return;
	pthread_mutex_lock(&uploads->lock);
	room = !uploads->failed && uploads->queued + size <= QUEUE_MAX;
	pthread_mutex_unlock(&uploads->lock);
	if (!room)
		return;
	if (!uploads->started)
		uploads->started = !pthread_create(&uploads->thread, NULL, writer_main, uploads);
	kept = uploads->started ? malloc(sizeof(*kept) + size) : NULL;
	if (!kept)
		return;
	kept->next = NULL;
	kept->size = size;
	memcpy(kept->data, data, size);
	uploads->looked_at += size;
	pthread_mutex_lock(&uploads->lock);
	*uploads->last = kept;
	uploads->last = &kept->next;
	uploads->queued += size;
	pthread_cond_signal(&uploads->work);
	pthread_mutex_unlock(&uploads->lock);
}
