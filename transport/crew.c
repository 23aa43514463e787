/*
 * Work is given out in pieces. One word says what is left: the number of the block (so that a
 * helper that wakes late cannot take a piece of the next block for one of this), the pieces taken
 * and the pieces there are. A helper takes a piece by adding one to it, if it is still the word
 * it has read. From then on until it has counted the piece as done the block cannot end, so the
 * fields that describe it stand still.
 */
#include "transport/crew.h"

#include <sched.h>
#include <string.h>

#include "transport/helper.h"

enum {
	PIECE = 128 << 10,     /* bytes: some 10 us of copying */
	WORTHWHILE = 2 * PIECE /* bytes: below, waking somebody takes longer */
};

#define BLOCK_SHIFT 32
#define TAKEN_SHIFT 16
#define COUNT_MASK  0xffffu

static unsigned
taken_of(uint64_t word)
{
	return (unsigned)(word >> TAKEN_SHIFT) & COUNT_MASK;
}

static bool
is_left(uint64_t word)
{
	return taken_of(word) < (word & COUNT_MASK);
}

/* Copies one piece; false when none is left. */
static bool
copy_piece(struct genie_crew *crew)
{
	uint64_t word = atomic_load_explicit(&crew->pieces, memory_order_seq_cst);
	size_t begin, len;

	do {
		if (!is_left(word))
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&crew->pieces, &word, word + (UINT64_C(1) << TAKEN_SHIFT), memory_order_seq_cst,
		memory_order_seq_cst));
	begin = (size_t)taken_of(word) * PIECE;
	len = crew->len - begin < PIECE ? crew->len - begin : PIECE;
	memcpy((char *)crew->dst + begin, (const char *)crew->src + begin, len);
	if (atomic_fetch_add_explicit(&crew->done, 1, memory_order_seq_cst) + 1 ==
	    (word & COUNT_MASK))
		genie_bell_ring(&crew->finished);
	return true;
}

static bool
has_work(void *data)
{
	struct genie_crew *crew = data;

	return is_left(atomic_load_explicit(&crew->pieces, memory_order_seq_cst)) ||
	       atomic_load_explicit(&crew->ending, memory_order_seq_cst);
}

static void *
helper_thread(void *data)
{
	struct genie_crew *crew = data;
	struct genie_wait wait = {
		.reason = "something to copy",
		.ready = has_work,
		.data = crew,
		.spin = &crew->work_spin,
		.bell = &crew->work,
	};

	for (;;) {
		genie_relax(&wait, -1);
		if (atomic_load_explicit(&crew->ending, memory_order_seq_cst))
			return NULL;
		while (copy_piece(crew))
			;
	}
}

static bool
is_done(void *data)
{
	struct genie_crew *crew = data;

	return atomic_load_explicit(&crew->done, memory_order_seq_cst) ==
	       (atomic_load_explicit(&crew->pieces, memory_order_seq_cst) & COUNT_MASK);
}

/* With the lock. */
static void
copy_together(struct genie_crew *crew, void *dst, const void *src, size_t len)
{
	uint64_t block = (atomic_load(&crew->pieces) >> BLOCK_SHIFT) + 1;
	uint64_t count = (len + PIECE - 1) / PIECE;
	struct genie_wait wait = {
		.reason = "the rest of a copy",
		.ready = is_done,
		.data = crew,
		.spin = &crew->finished_spin,
		.bell = &crew->finished,
	};

	crew->dst = dst;
	crew->src = src;
	crew->len = len;
	atomic_store(&crew->done, 0);
	atomic_store_explicit(&crew->pieces, block << BLOCK_SHIFT | count, memory_order_seq_cst);
	genie_bell_ring(&crew->work);
	while (copy_piece(crew))
		;
	genie_relax(&wait, -1);
}

void
genie_crew_copy(struct genie_crew *crew, void *dst, const void *src, size_t len)
{
	if (!crew->wanted || len < WORTHWHILE || len / PIECE >= COUNT_MASK ||
	    pthread_mutex_trylock(&crew->lock)) {
		memcpy(dst, src, len);
		return;
	}
	while (crew->started < crew->wanted) {
		if (genie_helper_start(&crew->threads[crew->started], "genie-copy",
				       GENIE_HELPER_STACK, helper_thread, crew) < 0)
			crew->wanted = crew->started; /* with those that there are */
		else
			crew->started++;
	}
	if (crew->started)
		copy_together(crew, dst, src, len);
	else
		memcpy(dst, src, len);
	pthread_mutex_unlock(&crew->lock);
}

/* A quarter of the processors: the program and the worker need theirs. */
static unsigned
fitting_threads(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 0;
	return (unsigned)CPU_COUNT(&set) / 4;
}

void
genie_crew_init(struct genie_crew *crew, int threads)
{
	unsigned wanted = threads > 0 ? (unsigned)threads : threads ? 0 : fitting_threads();

	pthread_mutex_init(&crew->lock, NULL);
	crew->wanted = wanted < GENIE_CREW_MAX ? wanted : GENIE_CREW_MAX;
}

void
genie_crew_fini(struct genie_crew *crew)
{
	atomic_store_explicit(&crew->ending, true, memory_order_seq_cst);
	genie_bell_ring(&crew->work);
	for (unsigned i = 0; i < crew->started; i++)
		pthread_join(crew->threads[i], NULL);
	pthread_mutex_destroy(&crew->lock);
}
