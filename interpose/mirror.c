#include "interpose/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "interpose/copy.h"

/*
 * What changed is found by comparing with a shadow, which holds what the worker is known to have:
 * what the host wrote since the last push differs from it here, what the device wrote since the
 * last pull differs from it in what the worker sends. Only the words that differ are stored, on
 * both sides, so that each side may write its own words of one range at the same time.
 */
struct mirror {
	struct mirror *next;
	uint64_t addr; /* the worker's bytes */
	uint8_t *live; /* this process's; usually at the same address */
	size_t size;
	struct genie_ctx *ctx;
	uint8_t *shadow;
};

struct page {
	struct page *next;
	uint64_t addr;
};

/* Bytes that are fetched and compared at a time. */
#define PIECE (UINT64_C(1) << 20)
/* Differences closer than this travel together with what is between them, which is the same. A
 * word: two words may belong to different writers. */
#define WORD 8

_Atomic uint32_t genie_mirror_count;

/*
 * Guards what follows. Held while what changed travels: another thread that launches or waits must
 * not overtake it.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mirror *mirrors;
static struct page *pages; /* mapped by pages_map_locked(), never unmapped */
static bool used;          /* by the device, since the last pull */
static uint8_t *piece;     /* PIECE bytes that the worker sent; made at first use */

/* ---- push ---- */

/* From @from on: where the next run of words begins in which live and shadow differ, and its end.
 * False: there is none. */
static bool
next_difference(const struct mirror *mirror, size_t from, size_t *ret_start, size_t *ret_end)
{
	const uint8_t *live = mirror->live;
	size_t at = from, word;

	/* memcmp is far faster than this loop: most of the time nothing differs. */
	while (at < mirror->size) {
		size_t step = mirror->size - at < 4096 ? mirror->size - at : 4096;

		if (memcmp(live + at, mirror->shadow + at, step) != 0)
			break;
		at += step;
	}
	for (; at < mirror->size; at += word) {
		word = mirror->size - at < WORD ? mirror->size - at : WORD;
		if (memcmp(live + at, mirror->shadow + at, word) != 0)
			break;
	}
	*ret_start = at;
	for (; at < mirror->size; at += word) {
		word = mirror->size - at < WORD ? mirror->size - at : WORD;
		if (memcmp(live + at, mirror->shadow + at, word) == 0)
			break;
	}
	*ret_end = at;
	return *ret_start < mirror->size;
}

static CUresult
mirror_push(struct mirror *mirror, struct genie_stream *stream)
{
	CUresult status = CUDA_SUCCESS;
	size_t start, end = 0;

	while (status == CUDA_SUCCESS && next_difference(mirror, end, &start, &end)) {
		memcpy(mirror->shadow + start, mirror->live + start, end - start);
		status = genie_copy_upload(mirror->addr + start, mirror->shadow + start,
					   end - start, stream);
	}
	return status;
}

CUresult
genie_mirror_push_slow(struct genie_stream *stream)
{
	CUresult status = CUDA_SUCCESS;

	/* A graph would repeat what is pushed now: it is pushed when the graph is launched. */
	if (genie_stream_capturing(stream))
		return CUDA_SUCCESS;
	pthread_mutex_lock(&lock);
	for (struct mirror *mirror = mirrors; mirror != NULL && status == CUDA_SUCCESS;
	     mirror = mirror->next)
		status = mirror_push(mirror, stream);
	used = true;
	pthread_mutex_unlock(&lock);
	return status;
}

/* ---- pull ---- */

/* Takes over what differs from the shadow: the device wrote it. */
static void
piece_apply(struct mirror *mirror, size_t offset, size_t size)
{
	uint8_t *live = mirror->live + offset, *shadow = mirror->shadow + offset;

	if (memcmp(piece, shadow, size) == 0)
		return;
	for (size_t i = 0; i < size; i++) {
		if (piece[i] != shadow[i])
			live[i] = shadow[i] = piece[i];
	}
}

static CUresult
mirror_pull(struct mirror *mirror)
{
	CUresult status = CUDA_SUCCESS;

	if (piece == NULL)
		piece = malloc(PIECE);
	if (piece == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	for (size_t done = 0; done < mirror->size && status == CUDA_SUCCESS; done += PIECE) {
		size_t size = mirror->size - done < PIECE ? mirror->size - done : PIECE;

		status = genie_copy_download(piece, mirror->addr + done, size, mirror->ctx->legacy);
		if (status == CUDA_SUCCESS)
			piece_apply(mirror, done, size);
	}
	return status;
}

CUresult
genie_mirror_pull_slow(void)
{
	CUresult result = CUDA_SUCCESS;

	pthread_mutex_lock(&lock);
	if (used) {
		used = false;
		for (struct mirror *mirror = mirrors; mirror != NULL; mirror = mirror->next) {
			CUresult status = mirror_pull(mirror);

			if (status == CUDA_SUCCESS)
				continue;
			if (result == CUDA_SUCCESS)
				result = status;
			/* It may be an earlier command's, which is told once; this one's data
			 * is wanted all the same. */
			(void)mirror_pull(mirror);
		}
	}
	pthread_mutex_unlock(&lock);
	return result;
}

/* ---- adding and removing ---- */

static struct mirror *
find_locked(uint64_t addr)
{
	struct mirror *mirror = mirrors;

	while (mirror != NULL && mirror->addr != addr)
		mirror = mirror->next;
	return mirror;
}

static bool
page_is_ours_locked(uint64_t addr)
{
	const struct page *page = pages;

	while (page != NULL && page->addr != addr)
		page = page->next;
	return page != NULL;
}

/* Pages for [@addr, @addr + @size) of this process. Variables share pages, and pages stay when a
 * variable goes, so some may be there already. */
static int
pages_map_locked(uint64_t addr, size_t size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	for (uint64_t at = addr & ~(page - 1); at < addr + size; at += page) {
		void *wanted = (void *)(uintptr_t)at, *got;
		struct page *note;

		if (page_is_ours_locked(at))
			continue;
		note = malloc(sizeof(*note));
		if (note == NULL)
			return -ENOMEM;
		got = mmap(wanted, page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (got != wanted) {
			int error = got == MAP_FAILED ? errno : EEXIST;

			if (got != MAP_FAILED) /* a kernel that does not know the flag */
				munmap(got, page);
			free(note);
			return -error;
		}
		*note = (struct page){.next = pages, .addr = at};
		pages = note;
	}
	return 0;
}

/* @theirs: the contents are the worker's, else this process's. */
static CUresult
mirror_fill_locked(struct mirror *mirror, bool theirs)
{
	if (theirs) {
		/* As the shadow is, so that everything that is fetched counts as written. */
		memset(mirror->live, 0, mirror->size);
		return mirror_pull(mirror);
	}
	memcpy(mirror->shadow, mirror->live, mirror->size);
	return genie_copy_upload(mirror->addr, mirror->shadow, mirror->size, mirror->ctx->legacy);
}

static CUresult
mirror_new_locked(uint64_t addr, void *live, size_t size, struct genie_ctx *ctx, bool theirs)
{
	struct mirror *mirror = calloc(1, sizeof(*mirror));
	CUresult status;

	if (mirror == NULL)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*mirror = (struct mirror){.addr = addr, .live = live, .size = size, .ctx = ctx};
	mirror->shadow = calloc(1, size);
	status = mirror->shadow != NULL ? mirror_fill_locked(mirror, theirs)
					: CUDA_ERROR_OUT_OF_MEMORY;
	if (status != CUDA_SUCCESS) {
		free(mirror->shadow);
		free(mirror);
		return status;
	}
	mirror->next = mirrors;
	mirrors = mirror;
	/* relaxed: who uses the address was told it later, by way of a lock or a call */
	atomic_fetch_add_explicit(&genie_mirror_count, 1, memory_order_relaxed);
	return CUDA_SUCCESS;
}

CUresult
genie_mirror_add(uint64_t addr, size_t size, struct genie_ctx *ctx)
{
	CUresult status = CUDA_SUCCESS;
	int error = 0;

	pthread_mutex_lock(&lock);
	if (find_locked(addr) == NULL) {
		error = pages_map_locked(addr, size);
		if (error == 0)
			status = mirror_new_locked(addr, (void *)(uintptr_t)addr, size, ctx, true);
	}
	pthread_mutex_unlock(&lock);
	if (error != 0) {
		genie_warn("managed memory at 0x%llx cannot be mirrored: this process has "
			   "something else there (%s); starting it again may help",
			   (unsigned long long)addr, strerror(-error));
		return CUDA_ERROR_NOT_SUPPORTED;
	}
	return status;
}

CUresult
genie_mirror_add_window(uint64_t addr, void *live, size_t size, struct genie_ctx *ctx)
{
	CUresult status = CUDA_SUCCESS;

	pthread_mutex_lock(&lock);
	if (find_locked(addr) == NULL)
		status = mirror_new_locked(addr, live, size, ctx, false);
	pthread_mutex_unlock(&lock);
	return status;
}

void
genie_mirror_remove(uint64_t addr)
{
	struct mirror **at = &mirrors;
	struct mirror *mirror;

	if (atomic_load_explicit(&genie_mirror_count, memory_order_relaxed) == 0)
		return;
	pthread_mutex_lock(&lock);
	while (*at != NULL && (*at)->addr != addr)
		at = &(*at)->next;
	mirror = *at;
	if (mirror != NULL) {
		/* The pages stay: the program may still look at a variable while it ends. */
		*at = mirror->next;
		free(mirror->shadow);
		free(mirror);
		atomic_fetch_sub_explicit(&genie_mirror_count, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&lock);
}
