#include "interpose/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "interpose/copy.h"
#include "interpose/dirty.h"
#include "interpose/vma.h"

/*
 * The shadow holds what the worker is known to have. What the host wrote since the last push
 * differs from it here; only pages that the kernel says were written are compared (dirty.h). What
 * the device wrote differs from the worker's own shadow, and it says where (remote/mirror.c).
 * Only the words that differ are stored, on both sides, so that each side may write its own words
 * of one range at the same time.
 *
 * Fetching a page when the host touches it would fetch less, but needs a thread that answers
 * faults, and a fault inside a system call (write() of managed memory) cannot be answered without
 * privilege. Comparing costs the worker a pass over the memory. Measured with 256 MiB of which a
 * page changes on each side (CPU device, TCP loopback, a busy machine of two cores): a
 * synchronisation takes 70-80 ms instead of 206-391 when everything is fetched, and a launch 0.15
 * ms instead of 55 when everything is compared. A network that is slower than loopback gains more.
 *
 * A variable of a driver that does not let the worker at managed memory while the device works is
 * "far": it travels by copies in the order of a stream, whole.
 */
struct mirror {
	struct mirror *next;
	uint64_t addr; /* the worker's bytes */
	uint8_t *live; /* this process's; usually at the same address */
	size_t size;
	struct genie_ctx *ctx;
	uint8_t *shadow; /* size bytes, zero where both were zero from the start */
	bool far;        /* see above */
	bool read_only;  /* this process may not write it: what the device does there stays there */
	/* The kernel notes which pages of these are written: they hold nothing else. 0, 0: none. */
	size_t watch_start, watch_end;
};

struct page {
	struct page *next;
	uint64_t addr;
};

/* The largest __managed__ variable: each page of it is mapped here and kept twice. */
#define VARIABLE_MAX (UINT64_C(1) << 30)
/* Bytes that are fetched and compared at a time. */
#define PIECE (UINT64_C(8) << 20)
/* Runs and bytes that the worker may answer with. */
#define RUNS_MAX 1024
#define DATA_MAX (40u << 10)
/* Differences closer than this travel together with what is between them, which is the same. A
 * word: two words may belong to different writers. */
#define WORD 8

/* Fewer pages are compared as fast as the kernel is asked. */
#define WATCH_MIN ((size_t)64 << 10)

/* genieMirrorAdd: what the worker has counts. Wire value. */
#define MIRROR_THEIRS 1u

_Atomic uint32_t genie_mirror_count;

/*
 * Guards what follows. Held while what changed travels: another thread that launches or waits must
 * not overtake it.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mirror *mirrors;
static struct page *pages; /* mapped by pages_map_locked(), never unmapped */
/*
 * Nothing can have been written since the last pull while the last ticket is still this one: all
 * streams were done then, and nobody submitted anything meanwhile. 0: something may have been.
 */
static uint64_t quiet;
static uint64_t commands; /* that pulls have sent */
static uint8_t *piece;    /* PIECE bytes that the worker sent; made at first use */

/* ---- push ---- */

/* From @from on: where the next run of words begins in which live and shadow differ, and its end.
 * False: there is none before @to. */
static bool
next_difference(const struct mirror *mirror, size_t from, size_t to, size_t *ret_start,
		size_t *ret_end)
{
	const uint8_t *live = mirror->live;
	size_t at = from, word;

	/* memcmp is far faster than this loop: most of the time nothing differs. */
	while (at < to) {
		size_t step = to - at < 4096 ? to - at : 4096;

		if (memcmp(live + at, mirror->shadow + at, step) != 0)
			break;
		at += step;
	}
	for (; at < to; at += word) {
		word = to - at < WORD ? to - at : WORD;
		if (memcmp(live + at, mirror->shadow + at, word) != 0)
			break;
	}
	*ret_start = at;
	for (; at < to; at += word) {
		word = to - at < WORD ? to - at : WORD;
		if (memcmp(live + at, mirror->shadow + at, word) == 0)
			break;
	}
	*ret_end = at;
	return *ret_start < to;
}

/* A push under way. */
struct push {
	struct mirror *mirror;
	struct genie_stream *stream; /* for far ones */
	CUresult status;
};

/* What differs in a run of this process's pages. */
static bool
push_run(uint64_t addr, size_t size, void *data)
{
	struct push *push = data;
	struct mirror *mirror = push->mirror;
	size_t end = addr - (uint64_t)(uintptr_t)mirror->live, to = end + size, start;

	while (push->status == CUDA_SUCCESS && next_difference(mirror, end, to, &start, &end)) {
		memcpy(mirror->shadow + start, mirror->live + start, end - start);
		push->status =
			mirror->far
				? genie_copy_upload(mirror->addr + start, mirror->shadow + start,
						    end - start, push->stream)
				: genie_copy_mirror_up(mirror->addr + start, mirror->shadow + start,
						       end - start);
	}
	return push->status == CUDA_SUCCESS;
}

static int
is_shared(const struct genie_vma *vma, void *data)
{
	(void)data;
	return vma->perms[3] == 's' || vma->inode != 0;
}

/* Other processes may write to a file's memory, and this one's kernel would tell nobody. */
static bool
is_private(uint64_t start, uint64_t end)
{
	return genie_vma_each(start, end, false, is_shared, NULL) == 0;
}

static void
mirror_watch(struct mirror *mirror)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t live = (uint64_t)(uintptr_t)mirror->live;
	uint64_t start = (live + page - 1) & ~(page - 1);
	uint64_t end = (live + mirror->size) & ~(page - 1);

	if (mirror->size < WATCH_MIN || !is_private(start, end) ||
	    !genie_dirty_watch(start, end - start))
		return;
	mirror->watch_start = start - live;
	mirror->watch_end = end - live;
}

static CUresult
mirror_push(struct mirror *mirror, struct genie_stream *stream)
{
	struct push push = {.mirror = mirror, .stream = stream, .status = CUDA_SUCCESS};
	uint64_t live = (uint64_t)(uintptr_t)mirror->live;
	size_t start = mirror->watch_start, end = mirror->watch_end;

	/* First and last page may be shared with another mirror. */
	if (push_run(live, start, &push) && start != end &&
	    !genie_dirty_each(live + start, end - start, push_run, &push) &&
	    push.status == CUDA_SUCCESS) {
		/* The program has put something else there. */
		mirror->watch_end = end = start;
	}
	if (push.status == CUDA_SUCCESS)
		(void)push_run(live + end, mirror->size - end, &push);
	return push.status;
}

CUresult
genie_mirror_push_slow(struct genie_stream *stream)
{
	CUresult status = CUDA_SUCCESS;

	pthread_mutex_lock(&lock);
	for (struct mirror *mirror = mirrors; mirror != NULL && status == CUDA_SUCCESS;
	     mirror = mirror->next)
		status = mirror_push(mirror, stream);
	pthread_mutex_unlock(&lock);
	return status;
}

/* ---- pull ---- */

/* Takes over what differs from the shadow: the device wrote it. */
static void
apply(struct mirror *mirror, size_t offset, const uint8_t *data, size_t size)
{
	uint8_t *live = mirror->live + offset, *shadow = mirror->shadow + offset;

	if (memcmp(data, shadow, size) == 0)
		return;
	if (mirror->read_only) {
		memcpy(shadow, data, size);
		return;
	}
	for (size_t i = 0; i < size; i++) {
		if (data[i] != shadow[i])
			live[i] = shadow[i] = data[i];
	}
}

static bool
piece_make(void)
{
	if (piece == NULL)
		piece = malloc(PIECE);
	return piece != NULL;
}

static CUresult
fetch_piece(const struct mirror *mirror, uint64_t addr, size_t size)
{
	commands += (size + GENIE_BULK_CHUNK - 1) / GENIE_BULK_CHUNK;
	return mirror->far ? genie_copy_download(piece, addr, size, mirror->ctx->legacy)
			   : genie_copy_mirror_down(piece, addr, size);
}

/* Fetches [@from, @from + @size) of a mirror: of a far one what it has, else what was found. */
static CUresult
fetch(struct mirror *mirror, size_t from, size_t size)
{
	CUresult result = CUDA_SUCCESS, status = CUDA_SUCCESS;

	for (size_t done = 0; done < size && status == CUDA_SUCCESS; done += PIECE) {
		uint64_t addr = mirror->addr + from + done;
		size_t step = size - done < PIECE ? size - done : PIECE;

		status = fetch_piece(mirror, addr, step);
		if (status != CUDA_SUCCESS && result == CUDA_SUCCESS) {
			/* It may be an earlier command's, which is told once; this one's data is
			 * wanted all the same. */
			result = status;
			status = fetch_piece(mirror, addr, step);
		}
		if (status == CUDA_SUCCESS)
			apply(mirror, from + done, piece, step);
	}
	return result == CUDA_SUCCESS ? status : result;
}

static struct mirror *
find_run_locked(uint64_t addr, uint64_t size)
{
	struct mirror *mirror = mirrors;

	while (mirror != NULL && (addr < mirror->addr || addr - mirror->addr > mirror->size ||
				  size > mirror->size - (addr - mirror->addr)))
		mirror = mirror->next;
	return mirror;
}

/* One answer of the worker's; *@ret_more: it had room for no more runs. */
static CUresult
scan_locked(bool *ret_more)
{
	static unsigned long long runs[2 * RUNS_MAX]; /* guarded by the lock */
	static unsigned char data[DATA_MAX];
	size_t count = 2 * RUNS_MAX, data_size = DATA_MAX, at = 0;
	struct genie_args_genieMirrorScan args = {
		.runs = runs, .count = &count, .data = data, .data_size = &data_size};
	CUresult status = genie_call_ctx(GENIE_OP_genieMirrorScan, &args, NULL, NULL);

	commands++;
	*ret_more = status == CUDA_SUCCESS && count == 2 * RUNS_MAX;
	for (size_t i = 0; i + 2 <= count && status == CUDA_SUCCESS; i += 2) {
		struct mirror *mirror = find_run_locked(runs[i], runs[i + 1]);

		if (mirror == NULL || count > 2 * RUNS_MAX || data_size > DATA_MAX)
			return CUDA_ERROR_UNKNOWN; /* not what was asked */
		if (runs[i + 1] <= data_size - at) {
			apply(mirror, runs[i] - mirror->addr, data + at, runs[i + 1]);
			at += runs[i + 1];
		} else {
			at = data_size; /* this one and all that follow are fetched */
			status = fetch(mirror, runs[i] - mirror->addr, runs[i + 1]);
		}
	}
	return status;
}

static CUresult
first_error(CUresult first, CUresult second)
{
	return first != CUDA_SUCCESS ? first : second;
}

static CUresult
pull_locked(void)
{
	CUresult result = CUDA_SUCCESS, status = CUDA_SUCCESS;
	bool near = false, more = true;

	if (!piece_make())
		return CUDA_ERROR_OUT_OF_MEMORY;
	for (struct mirror *mirror = mirrors; mirror != NULL; mirror = mirror->next) {
		if (mirror->far)
			result = first_error(result, fetch(mirror, 0, mirror->size));
		else
			near = true;
	}
	while (near && more && status == CUDA_SUCCESS)
		status = scan_locked(&more);
	return first_error(result, status);
}

CUresult
genie_mirror_pull_slow(void)
{
	const struct genie_chan *chan = genie_client_chan();
	CUresult result = CUDA_SUCCESS;
	uint64_t before, sent;
	bool idle;

	pthread_mutex_lock(&lock);
	before = genie_chan_last_ticket(chan);
	if (before != quiet) {
		idle = genie_streams_idle();
		sent = commands;
		result = pull_locked();
		idle = idle && result == CUDA_SUCCESS;
		quiet = genie_chan_last_ticket(chan);
		if (!idle || quiet - before != commands - sent)
			quiet = 0;
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

/* Tells the worker. A variable that it cannot look at is far; a block of the window never is. */
static CUresult
mirror_announce(struct mirror *mirror, bool theirs)
{
	struct genie_args_genieMirrorAdd args = {
		.addr = mirror->addr, .size = mirror->size, .flags = theirs ? MIRROR_THEIRS : 0};
	CUresult status;
	uint64_t ticket;

	if (!theirs)
		return genie_call_ctx(GENIE_OP_genieMirrorAdd, &args, NULL, NULL);
	status = genie_call_issued(GENIE_OP_genieMirrorAdd, &args, NULL, &ticket);
	mirror->far = status == CUDA_ERROR_NOT_SUPPORTED;
	return mirror->far ? CUDA_SUCCESS : status;
}

static void
mirror_end(struct mirror *mirror)
{
	struct genie_args_genieMirrorDrop args = {.addr = mirror->addr};

	if (mirror->watch_start != mirror->watch_end)
		genie_dirty_unwatch((uint64_t)(uintptr_t)mirror->live + mirror->watch_start,
				    mirror->watch_end - mirror->watch_start);
	if (!mirror->far)
		(void)genie_call_ctx(GENIE_OP_genieMirrorDrop, &args, NULL, NULL);
	munmap(mirror->shadow, mirror->size);
	free(mirror);
}

/* @theirs: the contents are the worker's, else this process's. */
static CUresult
mirror_new_locked(uint64_t addr, void *live, size_t size, struct genie_ctx *ctx, bool theirs,
		  bool read_only)
{
	struct mirror *mirror = calloc(1, sizeof(*mirror));
	void *shadow = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct push push = {.mirror = mirror, .stream = ctx->legacy, .status = CUDA_SUCCESS};
	CUresult status;

	if (mirror == NULL || shadow == MAP_FAILED) {
		if (shadow != MAP_FAILED)
			munmap(shadow, size);
		free(mirror);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	*mirror = (struct mirror){.addr = addr,
				  .live = live,
				  .size = size,
				  .ctx = ctx,
				  .shadow = shadow,
				  .read_only = read_only};
	status = mirror_announce(mirror, theirs);
	if (status != CUDA_SUCCESS) {
		munmap(shadow, size);
		free(mirror);
		return status;
	}
	mirror->next = mirrors;
	mirrors = mirror;
	if (theirs) {
		/* As the shadow is, so that everything that is fetched counts as written. */
		memset(live, 0, size);
		status = pull_locked();
	}
	mirror_watch(mirror);
	/* Watched first: what another thread writes now is pushed next time. */
	if (!theirs && status == CUDA_SUCCESS) {
		(void)push_run((uint64_t)(uintptr_t)live, size, &push);
		status = push.status;
	}
	if (status != CUDA_SUCCESS) {
		mirrors = mirror->next;
		mirror_end(mirror);
		return status;
	}
	/* relaxed: who uses the address was told it later, by way of a lock or a call */
	atomic_fetch_add_explicit(&genie_mirror_count, 1, memory_order_relaxed);
	return CUDA_SUCCESS;
}

CUresult
genie_mirror_add(uint64_t addr, size_t size, struct genie_ctx *ctx)
{
	CUresult status = CUDA_SUCCESS;
	int error = 0;

	/* The worker says where it lies and how large it is. */
	if (size == 0 || size > VARIABLE_MAX || addr > UINT64_MAX - VARIABLE_MAX) {
		genie_warn("managed memory of %zu bytes at 0x%llx cannot be mirrored", size,
			   (unsigned long long)addr);
		return CUDA_ERROR_NOT_SUPPORTED;
	}
	pthread_mutex_lock(&lock);
	if (find_locked(addr) == NULL) {
		error = pages_map_locked(addr, size);
		if (error == 0)
			status = mirror_new_locked(addr, (void *)(uintptr_t)addr, size, ctx, true,
						   false);
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
genie_mirror_add_window(uint64_t addr, void *live, size_t size, struct genie_ctx *ctx,
			bool read_only)
{
	CUresult status = CUDA_SUCCESS;

	pthread_mutex_lock(&lock);
	if (find_locked(addr) == NULL)
		status = mirror_new_locked(addr, live, size, ctx, false, read_only);
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
		mirror_end(mirror);
		atomic_fetch_sub_explicit(&genie_mirror_count, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&lock);
}
