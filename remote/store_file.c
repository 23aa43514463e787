#include "remote/store_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "remote/store.h"

#define NAME_LEN (2 * GENIE_STORE_HASH)
/* No file takes that long to write. */
#define TEMP_SECONDS 3600

void
genie_store_hash(const void *data, size_t size, uint8_t *ret_hash)
{
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, size, data);
	sha256_digest(&ctx, GENIE_STORE_HASH, ret_hash);
}

static void
name_of(const uint8_t *hash, char ret_name[NAME_LEN + 1])
{
	for (int i = 0; i < GENIE_STORE_HASH; i++)
		snprintf(ret_name + 2 * i, 3, "%02x", hash[i]);
}

/* Makes the folders of a path, as mkdir -p does. */
static void
make_folders(const char *dir)
{
	char path[4096];

	if (strlen(dir) >= sizeof(path))
		return;
	strcpy(path, dir);
	for (char *p = path + 1; *p; p++)
		if (*p == '/') {
			*p = '\0';
			mkdir(path, 0700);
			*p = '/';
		}
	mkdir(path, 0700);
}

int
genie_store_file_open(const char *dir)
{
	struct stat st;
	int fd;

	make_folders(dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || st.st_uid != geteuid() || (st.st_mode & 0022)) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

static int
read_whole(int fd, uint8_t *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, data + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

int
genie_store_file_load(int dir, const uint8_t *hash, uint8_t **ret_data, size_t *ret_size)
{
	uint8_t found[GENIE_STORE_HASH];
	char name[NAME_LEN + 1];
	uint8_t *data = NULL;
	struct stat st;
	int error;
	int fd;

	name_of(hash, name);
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	error = -EBADMSG;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    (uint64_t)st.st_size > GENIE_STORE_MAX)
		goto out;
	error = -ENOMEM;
	data = malloc((size_t)st.st_size + GENIE_STORE_PAD);
	if (!data)
		goto out;
	memset(data + st.st_size, 0, GENIE_STORE_PAD);
	error = read_whole(fd, data, (size_t)st.st_size);
	if (error)
		goto out;
	genie_store_hash(data, (size_t)st.st_size, found);
	error = memcmp(found, hash, sizeof(found)) ? -EBADMSG : 0;
out:
	if (error == -EBADMSG) {
		genie_warn("image cache: %s is not what its name says: removed", name);
		unlinkat(dir, name, 0);
	}
	if (error) {
		free(data);
	} else {
		futimens(fd, NULL); /* used now: the last one to be trimmed away */
		*ret_data = data;
		*ret_size = (size_t)st.st_size;
	}
	close(fd);
	return error;
}

int
genie_store_file_save(int dir, const uint8_t *hash, const uint8_t *data, size_t size)
{
	char name[NAME_LEN + 1];
	char temp[NAME_LEN + 32];
	size_t done = 0;
	int error = 0;
	int fd;

	name_of(hash, name);
	snprintf(temp, sizeof(temp), "%s.%d.tmp", name, (int)getpid());
	fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	while (!error && done < size) {
		ssize_t n = write(fd, data + done, size - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			error = -errno;
	}
	close(fd);
	if (!error && renameat(dir, temp, dir, name))
		error = -errno;
	if (error)
		unlinkat(dir, temp, 0);
	return error;
}

struct file {
	char name[NAME_LEN + 32];
	int64_t used;
	uint64_t size;
};

static int
older_first(const void *a, const void *b)
{
	const struct file *x = a;
	const struct file *y = b;

	return x->used < y->used ? -1 : x->used > y->used;
}

/* The regular files of the folder that could be ours. */
static size_t
list_files(int dir, struct file **ret_files)
{
	struct file *files = NULL;
	size_t count = 0;
	struct dirent *entry;
	struct stat st;
	DIR *stream;
	int fd;

	fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	stream = fd < 0 ? NULL : fdopendir(fd);
	while (stream && (entry = readdir(stream))) {
		struct file *more;

		if (strlen(entry->d_name) < NAME_LEN ||
		    strlen(entry->d_name) >= sizeof(files->name) ||
		    fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
			continue;
		more = realloc(files, (count + 1) * sizeof(*files));
		if (!more)
			break;
		files = more;
		strcpy(files[count].name, entry->d_name);
		files[count].used = st.st_mtim.tv_sec;
		files[count].size = (uint64_t)st.st_size;
		count++;
	}
	if (stream)
		closedir(stream);
	*ret_files = files;
	return count;
}

int
genie_store_file_touch(int dir, const uint8_t *hash)
{
	char name[NAME_LEN + 1];

	name_of(hash, name);
	return utimensat(dir, name, NULL, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

size_t
genie_store_file_names(int dir, uint64_t *ret_heads, size_t max)
{
	size_t found = 0, count;
	struct file *files;

	count = list_files(dir, &files);
	for (size_t i = 0; i < count && found < max; i++) {
		const char *name = files[i].name;
		uint8_t head[8];

		if (strspn(name, "0123456789abcdef") != NAME_LEN || name[NAME_LEN])
			continue;
		for (size_t k = 0; k < sizeof(head); k++)
			sscanf(name + 2 * k, "%2hhx", &head[k]);
		memcpy(&ret_heads[found++], head, sizeof(head));
	}
	free(files);
	return found;
}

void
genie_store_file_trim(int dir, uint64_t max)
{
	struct file *files = NULL;
	size_t count = list_files(dir, &files);
	uint64_t total = 0;

	for (size_t i = 0; i < count; i++) {
		/* What a writer that was killed left behind. */
		if (files[i].name[NAME_LEN] && files[i].used < time(NULL) - TEMP_SECONDS) {
			unlinkat(dir, files[i].name, 0);
			files[i].size = 0;
		}
		total += files[i].size;
	}
	if (total > max) {
		qsort(files, count, sizeof(*files), older_first);
		for (size_t i = 0; i < count && total > max; i++) {
			unlinkat(dir, files[i].name, 0);
			total -= files[i].size;
		}
	}
	free(files);
}
