/* Waiting: nobody sleeps through what was published, and nobody is asked twice. */
#include "transport/relax.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

/* A lost wakeup costs GENIE_RELAX_SLEEP_MS. A busy machine may cost that, too, but not often. */
#define ROUNDS      3000
#define SLOW_NS     150000000u
#define SLOW_ROUNDS 3

struct court {
	struct genie_bell bells[2];
	struct genie_spin *spins[2];
	_Atomic uint64_t ball;
};

struct player {
	struct court *court;
	unsigned side;
	unsigned slow;
};

static bool
my_turn(void *data)
{
	struct player *player = data;

	return atomic_load_explicit(&player->court->ball, memory_order_seq_cst) % 2 == player->side;
}

static void *
play(void *data)
{
	struct player *player = data;
	struct court *court = player->court;
	struct genie_wait wait = {
		.reason = "the ball",
		.ready = my_turn,
		.data = player,
		.spin = court->spins[player->side],
		.bell = &court->bells[player->side],
	};

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t start = genie_relax_now_ns();

		genie_relax(&wait, -1);
		player->slow += genie_relax_now_ns() - start > SLOW_NS;
		atomic_fetch_add_explicit(&court->ball, 1, memory_order_seq_cst);
		genie_bell_ring(&court->bells[!player->side]);
	}
	return NULL;
}

static void
play_match(struct genie_spin *first, struct genie_spin *second)
{
	struct court court = {.spins = {first, second}};
	struct player players[2] = {{&court, 0, 0}, {&court, 1, 0}};
	pthread_t thread;

	pthread_create(&thread, NULL, play, &players[1]);
	play(&players[0]);
	pthread_join(thread, NULL);
	cr_assert_eq(atomic_load(&court.ball), 2 * ROUNDS);
	cr_assert_leq(players[0].slow + players[1].slow, SLOW_ROUNDS);
	cr_assert_eq(court.bells[0].sleepers, 0);
}

Test(relax, no_wakeup_is_lost_when_both_sleep, .timeout = 60)
{
	play_match(NULL, NULL);
}

Test(relax, no_wakeup_is_lost_when_both_spin_first, .timeout = 60)
{
	struct genie_spin spins[2] = {{0}};

	play_match(&spins[0], &spins[1]);
}

Test(relax, no_wakeup_is_lost_when_one_spins, .timeout = 60)
{
	struct genie_spin spin = {0};

	play_match(&spin, NULL);
}

/* ---- many sleepers at one bell ---- */

struct crowd {
	struct genie_bell bell;
	_Atomic uint64_t value;
	_Atomic unsigned slow;
};

struct member {
	struct crowd *crowd;
	uint64_t want;
};

static bool
value_reached(void *data)
{
	struct member *member = data;

	return atomic_load_explicit(&member->crowd->value, memory_order_seq_cst) >= member->want;
}

static void *
follow_value(void *data)
{
	struct crowd *crowd = data;
	struct member member = {crowd, 0};
	struct genie_wait wait = {
		.reason = "a value", .ready = value_reached, .data = &member, .bell = &crowd->bell};

	for (member.want = 1; member.want <= 500; member.want++)
		genie_relax(&wait, -1);
	return NULL;
}

Test(relax, everybody_at_a_bell_wakes, .timeout = 60)
{
	struct crowd crowd = {.value = 0};
	pthread_t threads[8];
	uint64_t start;

	for (unsigned i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, follow_value, &crowd);
	for (uint64_t i = 1; i <= 500; i++) {
		atomic_store_explicit(&crowd.value, i, memory_order_seq_cst);
		genie_bell_ring(&crowd.bell);
		usleep(100);
	}
	start = genie_relax_now_ns();
	for (unsigned i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	cr_assert_lt(genie_relax_now_ns() - start, 5000000000u);
}

/* ---- the rest ---- */

static bool
never(void *data)
{
	++*(unsigned *)data;
	return false;
}

static bool
once(void *data)
{
	unsigned *calls = data;

	cr_assert_lt(*calls, 1000, "asked again after it was ready");
	if (++*calls < 100)
		return false;
	*calls = 1000;
	return true;
}

Test(relax, time_limits_hold, .timeout = 20)
{
	struct genie_bell bell = {0};
	unsigned calls = 0;
	struct genie_wait wait = {
		.reason = "nothing", .ready = never, .data = &calls, .bell = &bell};
	uint64_t start = genie_relax_now_ns();

	errno = 77;
	cr_assert_eq(genie_relax(&wait, 0), -ETIMEDOUT);
	cr_assert_eq(calls, 1);
	cr_assert_eq(genie_relax(&wait, 50), -ETIMEDOUT);
	cr_assert_geq(genie_relax_now_ns() - start, 49000000);
	cr_assert_eq(errno, 77);
	cr_assert_eq(bell.sleepers, 0);
}

Test(relax, who_was_ready_is_not_asked_again, .timeout = 60)
{
	struct genie_bell bell = {0};
	struct genie_spin spin = {0};
	struct pollfd pollfd = {.fd = -1};
	unsigned calls = 0;
	struct genie_wait wait = {
		.reason = "once", .ready = once, .data = &calls, .spin = &spin, .bell = &bell};

	cr_assert_eq(genie_relax(&wait, -1), 0);
	calls = 98; /* ready at the second look of a sleeper */
	wait.spin = NULL;
	cr_assert_eq(genie_relax(&wait, -1), 0);
	calls = 98;
	wait.bell = NULL;
	wait.fds = &pollfd;
	wait.fd_count = 1;
	cr_assert_eq(genie_relax(&wait, -1), 0);
}

static bool
readable(void *data)
{
	char byte;

	return read(*(int *)data, &byte, 1) == 1;
}

static void *
write_later(void *data)
{
	usleep(20000);
	cr_assert_eq(write(*(int *)data, "x", 1), 1);
	return NULL;
}

Test(relax, a_descriptor_ends_the_wait, .timeout = 20)
{
	int fds[2];
	pthread_t thread;

	cr_assert_eq(pipe2(fds, O_NONBLOCK), 0);
	struct pollfd pollfd = {.fd = fds[0], .events = POLLIN};
	struct genie_wait wait = {.reason = "a byte",
				  .ready = readable,
				  .data = &fds[0],
				  .fds = &pollfd,
				  .fd_count = 1};

	pthread_create(&thread, NULL, write_later, &fds[1]);
	cr_assert_eq(genie_relax(&wait, 5000), 0);
	pthread_join(thread, NULL);
}
