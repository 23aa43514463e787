/*
 * Waiting: the one place in which the transports spin or sleep.
 *
 * A wait spins first, because the answer of a worker on the same machine is there within a
 * microsecond and waking a thread costs fifty; then it sleeps, because the answer may take a
 * minute and the processor is not ours. How long spinning is worth it is learnt per waiting place
 * (struct genie_spin). Nothing sleeps longer than GENIE_RELAX_SLEEP_MS without looking again, so a
 * peer's death is noticed everywhere even if the wakeup that tells of it is lost with the peer.
 *
 * Sleeping and waking follow one rule, everywhere (an "event count"):
 *
 *   the publisher                          the sleeper
 *     P1  writes what the wait is about      S1  bell.sleepers++
 *     P2  reads bell.sleepers                S2  bell.rung = 0
 *     P3  not 0: bell.rung = 1               S3  reads bell.seq
 *     P4  was 0: bell.seq++, futex wake      S4  reads what the wait is about: there, done
 *                                            S5  futex wait while bell.seq is what S3 read; to S2
 *
 * All of these are sequentially consistent, so either P2 sees S1 or S4 sees P1: nobody sleeps
 * through what was published, and a publisher makes no system call unless somebody sleeps. Nor
 * does it make another one while the sleeper, already woken, waits for a processor: who finds the
 * bell rung (P3) published before that sleeper's next S2, so its next S4 sees it. On x86 this
 * costs a publisher one xchg (P1) and the sleeper's loads nothing. These are operations, not
 * fences, because ThreadSanitizer does not know fences.
 */
#ifndef GENIE_TRANSPORT_RELAX_H
#define GENIE_TRANSPORT_RELAX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pollfd;

/* The longest sleep between two looks at the condition. */
#define GENIE_RELAX_SLEEP_MS 200

/* Where sleepers of one kind sleep. May lie in shared memory: a peer that writes nonsense here
 * costs us a needless look or delays its own wakeup by GENIE_RELAX_SLEEP_MS. Zero is ready. */
struct genie_bell {
	_Atomic uint32_t seq;
	_Atomic uint32_t sleepers;
	_Atomic uint32_t rung;
	uint32_t pad;
};

/* What a waiting place learnt about spinning. Zero is ready. Racy updates are harmless. */
struct genie_spin {
	_Atomic uint32_t budget_ns; /* 0: nothing learnt yet */
	_Atomic uint64_t waited_ns; /* all waits there, for the statistics */
};

struct genie_wait {
	const char *reason; /* for the log: "a reply", "room in a ring" */
	/* True when the wait is over, and then not called again; may do a piece of the work itself.
	 * What it reads of other threads or processes, it reads seq_cst (S4 above). */
	bool (*ready)(void *data);
	void *data;
	struct genie_spin *spin; /* NULL: does not spin */
	/* Sleeps at the bell, or if there is none in poll() on the descriptors. */
	struct genie_bell *bell;
	struct pollfd *fds;
	unsigned fd_count;
};

/* Waits until wait->ready. Returns 0, or -ETIMEDOUT after @timeout_ms (negative: no limit, then
 * ready() must become true when the peer dies). Keeps errno. */
int genie_relax(const struct genie_wait *wait, int timeout_ms);

/* P3 and P4: wakes who sleeps at the bell. genie_bell_ring is P2, too: call it after a seq_cst
 * write of what the sleeper waits for. */
bool genie_bell_wake(struct genie_bell *bell); /* false: it had been rung already */
static inline void
genie_bell_ring(struct genie_bell *bell)
{
	if (__builtin_expect(atomic_load_explicit(&bell->sleepers, memory_order_seq_cst) != 0, 0))
		genie_bell_wake(bell);
}

/* For the few places that have nothing to wait for but time. */
void genie_relax_pause_ms(unsigned ms);

uint64_t genie_relax_now_ns(void);

#endif
