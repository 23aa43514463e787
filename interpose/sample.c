#include "interpose/sample.h"

#include <stdatomic.h>
#include <time.h>

#include "interpose/client.h"

#define SAMPLE_MEAN 128
#define CLOCK_READS 32

__thread uint32_t genie_sample_left __attribute__((tls_model("initial-exec")));
static __thread uint32_t randomness __attribute__((tls_model("initial-exec")));

static bool wanted;       /* set before any thread can submit */
static uint64_t clock_ns; /* what reading the clock costs, in every difference */
static _Atomic uint64_t calls, capture_ns, encode_ns;

uint64_t
genie_sample_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Calls to leave out: uniform around the mean. */
static uint32_t
distance(void)
{
	if (!randomness)
		randomness = (uint32_t)genie_sample_now() | 1;
	randomness ^= randomness << 13;
	randomness ^= randomness >> 17;
	randomness ^= randomness << 5;
	return randomness % (2 * SAMPLE_MEAN - 1);
}

/* A thread's first call comes here too, with no distance yet: it is none. With GENIE_SYNC=1 a call
 * contains its answer, and there is nothing to be told apart. */
bool
genie_sample_slow(void)
{
	bool first = !randomness;

	if (!wanted || genie_client.sync) {
		genie_sample_left = UINT32_MAX;
		return false;
	}
	genie_sample_left = distance();
	return !first;
}

static uint64_t
less_clock(uint64_t from, uint64_t to)
{
	return to > from + clock_ns ? to - from - clock_ns : 0;
}

void
genie_sample_add(const struct genie_sample *sample)
{
	uint64_t capture = less_clock(sample->begin_ns, sample->known_ns);
	uint64_t encode = less_clock(sample->room_ns, sample->commit_ns);

	atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&capture_ns, capture, memory_order_relaxed);
	atomic_fetch_add_explicit(&encode_ns, encode, memory_order_relaxed);
}

void
genie_sample_init(void)
{
	uint64_t least = UINT64_MAX, before, now = genie_sample_now();

	for (int i = 0; i < CLOCK_READS; i++) {
		before = now;
		now = genie_sample_now();
		if (now - before < least)
			least = now - before;
	}
	clock_ns = least;
	wanted = true;
}

void
genie_sample_sums(struct genie_sample_sums *ret_sums)
{
	*ret_sums = (struct genie_sample_sums){
		.calls = atomic_load_explicit(&calls, memory_order_relaxed),
		.capture_ns = atomic_load_explicit(&capture_ns, memory_order_relaxed),
		.encode_ns = atomic_load_explicit(&encode_ns, memory_order_relaxed),
	};
}
