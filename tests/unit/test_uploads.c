/* What the worker keeps of uploads: on disk by name, within its bounds, and not believed. */
#include "remote/uploads.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIB ((size_t)1 << 10)

static char cache[] = "/tmp/genie-uploads-XXXXXX";

static void
start(void)
{
	cr_assert_not_null(mkdtemp(cache));
	unsetenv("GENIE_CACHE_UPLOADS");
}

static void
finish(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", cache);
	cr_assert_eq(system(command), 0);
}

TestSuite(uploads, .init = start, .fini = finish, .timeout = 30);

static uint8_t *
bytes(size_t size, uint8_t seed)
{
	uint8_t *data = malloc(size);

	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(seed + i * 7 + (i >> 8));
	return data;
}

static void
name(const uint8_t *data, size_t size, uint8_t *ret_hash)
{
	struct sha256_ctx sha;

	sha256_init(&sha);
	sha256_update(&sha, size, data);
	sha256_digest(&sha, GENIE_UPLOADS_HASH, ret_hash);
}

/* One session that uploads one chunk. */
static void
session_keeps(const uint8_t *data, size_t size)
{
	struct genie_uploads *uploads = genie_uploads_create(cache);

	cr_assert_not_null(uploads);
	genie_uploads_keep(uploads, data, size);
	genie_uploads_destroy(uploads); /* writes to the end */
}

static void
path_of(const uint8_t *hash, char *path, size_t size)
{
	int n = snprintf(path, size, "%s/uploads/", cache);

	for (int i = 0; i < GENIE_UPLOADS_HASH; i++)
		n += snprintf(path + n, size - (size_t)n, "%02x", hash[i]);
}

Test(uploads, the_next_session_has_it)
{
	uint8_t *data = bytes(100 * KIB, 1), hash[GENIE_UPLOADS_HASH], *found;
	struct genie_uploads *uploads;
	uint64_t heads[4], head;

	cr_assert_not(genie_uploads_any(cache));
	session_keeps(data, 100 * KIB);
	cr_assert(genie_uploads_any(cache));
	uploads = genie_uploads_create(cache);
	name(data, 100 * KIB, hash);
	memcpy(&head, hash, sizeof(head));
	cr_assert_eq(genie_uploads_names(uploads, 0, heads, 4), 1);
	cr_assert_eq(heads[0], head);
	cr_assert_eq(genie_uploads_names(uploads, 1, heads, 4), 0);
	cr_assert_eq(genie_uploads_names(uploads, UINT64_MAX, heads, 4), 0);
	found = genie_uploads_load(uploads, hash, 100 * KIB);
	cr_assert_not_null(found);
	cr_assert_arr_eq(found, data, 100 * KIB);
	free(found);
	cr_assert_null(genie_uploads_load(uploads, hash, 100 * KIB - 1));
	hash[0] ^= 1;
	cr_assert_null(genie_uploads_load(uploads, hash, 100 * KIB));
	genie_uploads_destroy(uploads);
}

Test(uploads, a_changed_file_is_removed)
{
	uint8_t *data = bytes(100 * KIB, 2), hash[GENIE_UPLOADS_HASH];
	struct genie_uploads *uploads;
	char path[256];
	int fd;

	session_keeps(data, 100 * KIB);
	name(data, 100 * KIB, hash);
	path_of(hash, path, sizeof(path));
	fd = open(path, O_WRONLY);
	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, "!", 1, 1000), 1);
	close(fd);
	uploads = genie_uploads_create(cache);
	cr_assert_null(genie_uploads_load(uploads, hash, 100 * KIB));
	cr_assert_neq(access(path, F_OK), 0);
	genie_uploads_destroy(uploads);
	/* it can come back */
	session_keeps(data, 100 * KIB);
	cr_assert_eq(access(path, F_OK), 0);
}

Test(uploads, small_ones_and_none)
{
	uint8_t *data = bytes(64 * KIB, 3);

	session_keeps(data, 64 * KIB - 1);
	cr_assert_not(genie_uploads_any(cache));
	cr_assert_null(genie_uploads_create(NULL));
	setenv("GENIE_CACHE_UPLOADS", "0", 1);
	cr_assert_null(genie_uploads_create(cache));
	/* what takes nothing */
	genie_uploads_keep(NULL, data, 64 * KIB);
	cr_assert_eq(genie_uploads_names(NULL, 0, NULL, 0), 0);
	cr_assert_null(genie_uploads_load(NULL, data, 1));
	genie_uploads_destroy(NULL);
}

static unsigned int
file_count(void)
{
	char path[256];
	unsigned int count = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/uploads", cache);
	dir = opendir(path);
	cr_assert_not_null(dir);
	while ((entry = readdir(dir)))
		count += strlen(entry->d_name) == 2 * GENIE_UPLOADS_HASH;
	closedir(dir);
	return count;
}

/* The oldest go when there are too many; one session does not fill more than there is room for. */
Test(uploads, bounded)
{
	setenv("GENIE_CACHE_UPLOADS", "1M", 1);
	for (int i = 0; i < 3; i++) {
		struct genie_uploads *uploads = genie_uploads_create(cache);

		for (int k = 0; k < 20; k++) {
			uint8_t *data = bytes(100 * KIB, (uint8_t)(20 * i + k));

			genie_uploads_keep(uploads, data, 100 * KIB);
			free(data);
		}
		genie_uploads_destroy(uploads);
		cr_assert_leq(file_count(), 10);
		cr_assert_geq(file_count(), 1);
	}
}

Test(uploads, a_folder_that_others_write_to)
{
	uint8_t *data = bytes(64 * KIB, 4);
	char path[256];

	session_keeps(data, 64 * KIB);
	snprintf(path, sizeof(path), "%s/uploads", cache);
	cr_assert_eq(chmod(path, 0777), 0);
	cr_assert_null(genie_uploads_create(cache));
	cr_assert_not(genie_uploads_any(cache));
}
