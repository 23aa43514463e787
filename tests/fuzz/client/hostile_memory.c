/* What a server over shared memory hands over, as it should be or not, and writes into later. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/client/hostile_impl.h"
#include "transport/chan_impl.h"

enum {
	RIGHT,
	MISSING,
	SHORT,     /* half as long */
	LOOSE,     /* not sealed: it can shrink later */
	GROWING,   /* sealed against growing only */
	NO_MEMORY, /* /dev/null */
	A_PIPE,
	A_FILE, /* a file on a disk, which cannot be sealed */
	LONG,   /* one page more */
};

static int
memory_fd(unsigned wrong, uint64_t size)
{
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	char path[] = "/tmp/fuzz-client-XXXXXX";
	int pair[2];
	int fd;

	switch (wrong) {
	case MISSING:
		return -1;
	case NO_MEMORY:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case A_PIPE:
		if (pipe2(pair, O_CLOEXEC) < 0)
			return -1;
		close(pair[0]);
		return pair[1];
	case A_FILE:
		fd = mkostemp(path, O_CLOEXEC);
		if (fd < 0)
			return -1;
		unlink(path);
		if (ftruncate(fd, (off_t)size) < 0) {
			close(fd);
			return -1;
		}
		return fd;
	case SHORT:
		size /= 2;
		break;
	case LOOSE:
		seals = 0;
		break;
	case GROWING:
		seals = F_SEAL_GROW;
		break;
	case LONG:
		size += 4096;
		break;
	}
	fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		abort();
	/* a size that no file can have: it stays empty, which is one more lie */
	if ((ftruncate(fd, (off_t)size) < 0 && ftruncate(fd, 0) < 0) ||
	    fcntl(fd, F_ADD_SEALS, seals) < 0)
		abort();
	return fd;
}

static void *
map(int fd, uint64_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void
hostile_memory_make(struct hostile *hostile, uint64_t pinned_size, uint64_t wrong)
{
	const uint64_t sizes[HOSTILE_FDS] = {sizeof(struct genie_area), GENIE_STAGING_SIZE,
					     pinned_size};
	void *mapped[HOSTILE_FDS] = {NULL};

	hostile_memory_end(hostile); /* of an earlier attempt of the client's */
	for (int i = 0; i < HOSTILE_FDS; i++) {
		unsigned kind = wrong >> 4 * i & 15;

		hostile->sent_fds[i] = memory_fd(kind, sizes[i]);
		/* Where the client's is no memory of that size, we work in our own. */
		if (kind == LOOSE || kind == GROWING || kind == LONG || !kind)
			hostile->fds[i] = dup(hostile->sent_fds[i]);
		else
			hostile->fds[i] = memory_fd(LOOSE, sizes[i]);
		mapped[i] = map(hostile->fds[i], sizes[i] ? sizes[i] : 1);
	}
	hostile->area = mapped[0];
	hostile->staging = mapped[1];
	hostile->pinned = mapped[2];
	hostile->pinned_size = sizes[2];
	if (!hostile->area)
		abort();
	genie_drain_init(&hostile->drain, hostile->area);
}

void
hostile_memory_end(struct hostile *hostile)
{
	if (hostile->area)
		munmap(hostile->area, sizeof(*hostile->area));
	if (hostile->staging)
		munmap(hostile->staging, GENIE_STAGING_SIZE);
	if (hostile->pinned)
		munmap(hostile->pinned, hostile->pinned_size ? hostile->pinned_size : 1);
	hostile->area = NULL;
	hostile->staging = hostile->pinned = NULL;
	for (int i = 0; i < HOSTILE_FDS; i++) {
		if (hostile->fds[i] >= 0)
			close(hostile->fds[i]);
		if (hostile->sent_fds[i] >= 0)
			close(hostile->sent_fds[i]);
		hostile->fds[i] = hostile->sent_fds[i] = -1;
	}
}

static void
put32(void *place, uint64_t value)
{
	atomic_store((_Atomic uint32_t *)place, (uint32_t)value);
}

static void
put64(void *place, uint64_t value)
{
	atomic_store((_Atomic uint64_t *)place, value);
}

static void
scribble_error(struct genie_area_error *error, unsigned index, uint64_t value)
{
	void *const words[] = {&error->ticket, &error->seq, &error->status_op, &error->sticky,
			       &error->acked};

	put64(words[index % 5], value);
}

void
hostile_scribble(struct hostile *hostile, unsigned where, uint64_t value)
{
	struct genie_area *area = hostile->area;
	unsigned index = where >> 4;

	if (!area)
		return;
	hostile->scribbled = true;
	switch (where & 15) {
	case 0:
		put64(&area->rings[index % 2].head, value);
		break;
	case 1:
		put64(&area->rings[index % 2].tail, value);
		break;
	case 2:
		put32((uint32_t *)&area->rings[index % 2].space + index / 2 % 3, value);
		break;
	case 3:
		put32(&area->replies[index % 2].len, value);
		break;
	case 4:
		put32(&area->replies[index % 2].status, value);
		break;
	case 5:
		put64(&area->replies[index % 2].ticket, value);
		break;
	case 6:
		put32((uint32_t *)&area->replies[index % 2].bell + index / 2 % 3, value);
		break;
	case 7:
		put64(&area->progress[(value >> 32) % GENIE_SLOTS_MAX], value);
		break;
	case 8:
		scribble_error(&area->error, index, value);
		break;
	case 9:
		put32((uint32_t *)&area->bells[index % GENIE_AREA_BELLS] + index / 128 % 3, value);
		break;
	case 10:
		put32((uint32_t *)&area->work + index % 3, value);
		break;
	case 11:
		put32(&area->ring_count, value);
		break;
	case 12:
		put64(&area->ring_data[0][index * 8], value);
		break;
	case 13:
		put64(&area->progress[GENIE_SLOT_BULK_UP + index % 64], value);
		break;
	case 14:
		if (hostile->pinned && (index + 1) * 8ull <= hostile->pinned_size)
			put64(hostile->pinned + index * 8, value);
		break;
	case 15:
		put64(&area->replies[0].payload[index * 8], value);
		break;
	}
}

void
hostile_shrink(struct hostile *hostile, unsigned which, unsigned pages)
{
	/* Our own mapping of it must not be used any more: a write of ours would fault. */
	if (hostile->sent_fds[which] < 0 ||
	    ftruncate(hostile->sent_fds[which], (off_t)pages * 4096) < 0)
		return;
	hostile->over = true;
	if (which == 0) {
		munmap(hostile->area, sizeof(*hostile->area));
		hostile->area = NULL;
	}
}
