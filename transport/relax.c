#include "transport/relax.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

/* Spinning longer than this never pays: waking a thread costs about as much. */
#define SPIN_MAX_NS      100000u
#define SPIN_MAX_FEW_NS  50000u /* with two processors the other side needs ours, too */
#define WAKEUP_NS        40000u /* what sleeping adds to a wait, at least on virtual machines */
#define SPIN_MIN_NS      1000u
#define SPIN_FIRST_NS    20000u
#define YIELD_EVERY_NS   3000u
#define COMPLAIN_AFTER_S 30

uint64_t
genie_relax_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void
genie_relax_pause_ms(unsigned ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&time, NULL);
}

/* Processors this process may run on; asked once. */
static unsigned
cpu_count(void)
{
	static _Atomic unsigned known; /* cache */
	unsigned count = atomic_load_explicit(&known, memory_order_relaxed);
	cpu_set_t set;

	if (count)
		return count;
	count = 1;
	if (!sched_getaffinity(0, sizeof(set), &set))
		count = (unsigned)CPU_COUNT(&set);
	atomic_store_explicit(&known, count, memory_order_relaxed);
	return count;
}

static inline void
cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static uint32_t
spin_max(void)
{
	unsigned cpus = cpu_count();

	if (cpus == 1)
		return 0;
	return cpus <= 2 ? SPIN_MAX_FEW_NS : SPIN_MAX_NS;
}

static uint32_t
spin_budget(const struct genie_spin *spin)
{
	uint32_t budget = atomic_load_explicit(&spin->budget_ns, memory_order_relaxed);
	uint32_t max = spin_max();

	if (!budget)
		budget = SPIN_FIRST_NS;
	return budget < max ? budget : max;
}

/*
 * Twice the time if spinning to the limit would have been enough, half of it if not: waits that
 * last long soon stop burning a processor, and short ones come back to spinning. A wait in which
 * we slept would have been shorter by the wakeup, and without that two sides that both began to
 * sleep would keep each other asleep.
 */
static void
spin_learn(struct genie_spin *spin, uint32_t budget, uint64_t waited_ns, bool slept)
{
	uint32_t max = spin_max();

	if (waited_ns < max + (slept ? WAKEUP_NS : 0))
		budget = budget < max / 2 ? budget * 2 : max;
	else
		budget = budget / 2;
	if (budget < SPIN_MIN_NS)
		budget = SPIN_MIN_NS;
	atomic_store_explicit(&spin->budget_ns, budget, memory_order_relaxed);
}

/* Looks again and again for @budget ns from @start on; true when ready. */
static bool
spin_until_ready(const struct genie_wait *wait, uint64_t start, uint32_t budget)
{
	bool few = cpu_count() <= 2;
	uint64_t yielded = start;
	uint64_t now;

	do {
		for (int i = 0; i < 8; i++) {
			if (wait->ready(wait->data))
				return true;
			cpu_relax();
		}
		now = genie_relax_now_ns();
		if (few && now - yielded > YIELD_EVERY_NS) {
			sched_yield();
			yielded = now;
		}
	} while (now - start < budget);
	return false;
}

/* S2 to S5 of relax.h, once; true when ready. @ms bounds the sleep. */
static bool
sleep_at_bell(const struct genie_wait *wait, int ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
	uint32_t seq;

	atomic_store_explicit(&wait->bell->rung, 0, memory_order_seq_cst);
	seq = atomic_load_explicit(&wait->bell->seq, memory_order_seq_cst);
	if (wait->ready(wait->data))
		return true;
	/* Not FUTEX_PRIVATE: the bell may lie in memory shared with the peer. */
	syscall(SYS_futex, &wait->bell->seq, FUTEX_WAIT, seq, &time, NULL, 0);
	return false;
}

/* The same in poll(). The kernel remembers what happened to a descriptor, so there is no
 * bell to read first. */
static bool
sleep_in_poll(const struct genie_wait *wait, int ms)
{
	if (wait->ready(wait->data))
		return true;
	poll(wait->fds, wait->fd_count, ms);
	return false;
}

/* Never asks ready() again after it said yes: it may have taken what it was waiting for. */
static int
sleep_until_ready(const struct genie_wait *wait, uint64_t start, int timeout_ms)
{
	bool complained = false;
	uint64_t waited_ms;
	int ms;

	for (;;) {
		waited_ms = (genie_relax_now_ns() - start) / 1000000;
		ms = GENIE_RELAX_SLEEP_MS;
		if (timeout_ms >= 0) {
			if (waited_ms >= (uint64_t)timeout_ms)
				return wait->ready(wait->data) ? 0 : -ETIMEDOUT;
			if ((uint64_t)timeout_ms - waited_ms < (uint64_t)ms)
				ms = (int)((uint64_t)timeout_ms - waited_ms);
		}
		if (waited_ms > COMPLAIN_AFTER_S * 1000 && !complained) {
			genie_debug("still waiting for %s after %d s", wait->reason,
				    COMPLAIN_AFTER_S);
			complained = true;
		}
		if (wait->bell ? sleep_at_bell(wait, ms) : sleep_in_poll(wait, ms))
			return 0;
	}
}

int
genie_relax(const struct genie_wait *wait, int timeout_ms)
{
	int saved_errno = errno;
	uint64_t start, waited;
	uint32_t budget;
	bool slept;
	int ret = 0;

	if (wait->ready(wait->data))
		goto out;
	if (!timeout_ms) {
		ret = -ETIMEDOUT;
		goto out;
	}
	start = genie_relax_now_ns();
	budget = wait->spin ? spin_budget(wait->spin) : 0;
	slept = !budget || !spin_until_ready(wait, start, budget);
	if (slept) {
		if (wait->bell)
			atomic_fetch_add_explicit(&wait->bell->sleepers, 1, memory_order_seq_cst);
		ret = sleep_until_ready(wait, start, timeout_ms);
		if (wait->bell)
			atomic_fetch_sub_explicit(&wait->bell->sleepers, 1, memory_order_relaxed);
	}
	if (wait->spin) {
		waited = genie_relax_now_ns() - start;
		spin_learn(wait->spin, budget, waited, slept);
		atomic_fetch_add_explicit(&wait->spin->waited_ns, waited, memory_order_relaxed);
	}
out:
	errno = saved_errno;
	return ret;
}

bool
genie_bell_wake(struct genie_bell *bell)
{
	int saved_errno;

	if (atomic_load_explicit(&bell->rung, memory_order_seq_cst) ||
	    atomic_exchange_explicit(&bell->rung, 1, memory_order_seq_cst))
		return false;
	saved_errno = errno;
	atomic_fetch_add_explicit(&bell->seq, 1, memory_order_seq_cst);
	syscall(SYS_futex, &bell->seq, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	errno = saved_errno;
	return true;
}
