/* Rings without a peer: producer and consumer in one process. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "transport/chan_impl.h"
#include "transport/drain.h"

static void
no_wait(struct genie_chan *chan, const struct genie_wait *wait)
{
	(void)chan;
	genie_relax(wait, -1);
}

static const struct genie_chan_ops ring_ops = {.name = "ring", .wait = no_wait};

/* A channel that is only rings. */
static struct genie_chan *
ring_chan(void)
{
	struct genie_chan *chan = aligned_alloc(64, sizeof(*chan));

	memset(chan, 0, sizeof(*chan));
	chan->ops = &ring_ops;
	chan->area = mmap(NULL, sizeof(*chan->area), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	cr_assert(chan->area != MAP_FAILED);
	pthread_mutex_init(&chan->lanes.lock, NULL);
	genie_lanes_init(&chan->lanes, chan->area);
	return chan;
}

static void
ring_chan_free(struct genie_chan *chan)
{
	genie_lanes_fini(&chan->lanes);
	munmap(chan->area, sizeof(*chan->area));
	free(chan);
}

/* Bytes of a payload that say which command they belong to. */
static uint8_t
pattern(uint64_t ticket, size_t at)
{
	return (uint8_t)(ticket * 31 + at);
}

static uint64_t
submit(struct genie_lane *lane, size_t len)
{
	uint8_t *cmd = genie_lane_begin(lane, len);
	uint64_t guess = genie_chan_last_ticket(lane->chan) + 1;

	if (!cmd)
		return 0;
	for (size_t i = sizeof(struct genie_cmd); i < len; i++)
		cmd[i] = pattern(guess, i);
	return genie_lane_commit(lane, cmd, 5, 0, 9, len);
}

Test(lane, every_length_wraps_and_arrives, .timeout = 30)
{
	static uint8_t buf[GENIE_CMD_MAX];
	struct genie_chan *chan = ring_chan();
	struct genie_lane *lane = genie_lane_get(chan);
	struct genie_drain drain;
	const struct genie_cmd *cmd = (const struct genie_cmd *)buf;
	unsigned seed = 1;

	genie_drain_init(&drain, chan->area);
	for (uint64_t i = 1; i < 20000; i++) {
		size_t len =
			sizeof(struct genie_cmd) +
			8 * ((size_t)rand_r(&seed) % (i % 4 ? 16 : (GENIE_CMD_MAX - 24) / 8 + 1));

		cr_assert_eq(submit(lane, len), i);
		cr_assert_eq(genie_drain_next(&drain, buf, sizeof(buf)), (int)len);
		cr_assert_eq(cmd->ticket, i);
		cr_assert_eq(cmd->len, len);
		cr_assert_eq(cmd->op, 5);
		cr_assert_eq(cmd->ctx, 9);
		for (size_t at = sizeof(*cmd); at < len; at += 13)
			cr_assert_eq(buf[at], pattern(i, at));
	}
	cr_assert_eq(genie_drain_next(&drain, buf, sizeof(buf)), 0);
	ring_chan_free(chan);
}

Test(lane, begin_refuses_impossible_lengths)
{
	struct genie_chan *chan = ring_chan();
	struct genie_lane *lane = genie_lane_get(chan);

	cr_assert_null(genie_lane_begin(lane, 16));
	cr_assert_null(genie_lane_begin(lane, 25));
	cr_assert_null(genie_lane_begin(lane, GENIE_CMD_MAX + 8));
	ring_chan_free(chan);
}

Test(lane, commit_may_be_shorter_than_begin)
{
	uint64_t buf[64];
	struct genie_chan *chan = ring_chan();
	struct genie_lane *lane = genie_lane_get(chan);
	struct genie_drain drain;

	genie_drain_init(&drain, chan->area);
	for (int i = 0; i < 10000; i++) {
		void *cmd = genie_lane_begin(lane, 512);

		genie_lane_commit(lane, cmd, 1, 0, 0, 32);
		cr_assert_eq(genie_drain_next(&drain, buf, sizeof(buf)), 32);
	}
	ring_chan_free(chan);
}

Test(lane, drain_says_when_the_buffer_is_too_small)
{
	uint64_t buf[64];
	struct genie_chan *chan = ring_chan();
	struct genie_lane *lane = genie_lane_get(chan);
	struct genie_drain drain;

	genie_drain_init(&drain, chan->area);
	submit(lane, 256);
	cr_assert_eq(genie_drain_next(&drain, buf, 248), -ENOBUFS);
	cr_assert_eq(genie_drain_next(&drain, buf, 256), 256);
	ring_chan_free(chan);
}

static void *
fill_until_dead(void *data)
{
	struct genie_lane *lane = data;
	uint64_t count = 0;

	while (submit(lane, 4096))
		count++;
	return (void *)(uintptr_t)count;
}

/* Until the writer has filled its ring to the last byte. */
static void
wait_until_full(struct genie_chan *chan, uint64_t head)
{
	while (atomic_load(&chan->area->rings[0].tail) - head < GENIE_LANE_RING)
		usleep(1000);
}

Test(lane, full_ring_waits_for_the_consumer_and_for_death, .timeout = 20)
{
	static uint8_t buf[GENIE_CMD_MAX];
	struct genie_chan *chan = ring_chan();
	struct genie_lane *lane = genie_lane_get(chan);
	struct genie_drain drain;
	uint64_t drained = 0;
	pthread_t thread;
	void *count;
	int n;

	genie_drain_init(&drain, chan->area);
	pthread_create(&thread, NULL, fill_until_dead, lane);
	while (drained < 5000) {
		n = genie_drain_next(&drain, buf, sizeof(buf));
		cr_assert_geq(n, 0);
		drained += n > 0;
		if (drained % 1000 == 0)
			usleep(2000); /* lets the ring fill up */
	}
	/* Full again, and nobody drains: only death ends the wait. */
	wait_until_full(chan, drain.heads[0]);
	genie_chan_die(chan, "test");
	pthread_join(thread, &count);
	cr_assert_eq((uint64_t)(uintptr_t)count, drained + GENIE_LANE_RING / 4096);
	ring_chan_free(chan);
}

/* ---- many threads ---- */

struct writer {
	struct genie_chan *chan;
	pthread_t thread;
	uint64_t id, count;
};

static void *
write_numbers(void *data)
{
	struct writer *writer = data;
	struct genie_lane *lane = genie_lane_get(writer->chan);

	for (uint64_t i = 1; i <= writer->count; i++) {
		struct genie_cmd *cmd = genie_lane_begin(lane, sizeof(*cmd) + 16);
		uint64_t numbers[2] = {writer->id, i};

		memcpy(cmd + 1, numbers, sizeof(numbers));
		genie_lane_commit(lane, cmd, 1, 0, 0, sizeof(*cmd) + 16);
	}
	genie_lane_put(lane);
	return NULL;
}

static void
check_order(unsigned threads, uint64_t count)
{
	struct {
		struct genie_cmd cmd;
		uint64_t numbers[2];
	} buf;
	struct genie_chan *chan = ring_chan();
	struct writer *writers = calloc(threads, sizeof(*writers));
	uint64_t *last = calloc(threads, sizeof(*last));
	struct genie_drain drain;
	int n;

	genie_drain_init(&drain, chan->area);
	for (unsigned i = 0; i < threads; i++) {
		writers[i] = (struct writer){.chan = chan, .id = i, .count = count};
		pthread_create(&writers[i].thread, NULL, write_numbers, &writers[i]);
	}
	for (uint64_t ticket = 1; ticket <= threads * count; ticket++) {
		while (!(n = genie_drain_next(&drain, &buf, sizeof(buf))))
			sched_yield();
		cr_assert_eq(n, (int)sizeof(buf), "%s", drain.why);
		cr_assert_eq(buf.cmd.ticket, ticket);
		cr_assert_eq(buf.numbers[1], ++last[buf.numbers[0]]);
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(writers[i].thread, NULL);
	free(last);
	free(writers);
	ring_chan_free(chan);
}

Test(lane, eight_threads_in_ticket_order, .timeout = 60)
{
	check_order(8, 20000);
}

Test(lane, sixty_four_threads_in_ticket_order, .timeout = 60)
{
	check_order(64, 2000);
}

Test(lane, more_threads_than_rings_share_them, .timeout = 60)
{
	check_order(150, 500);
}

Test(lane, each_thread_has_its_own_place_for_replies)
{
	struct genie_chan *chan = ring_chan();
	struct genie_lane *lanes[200];

	for (unsigned i = 0; i < 200; i++) {
		lanes[i] = genie_lane_get(chan);
		cr_assert_not_null(lanes[i]);
		for (unsigned k = 0; k < i; k++)
			cr_assert_neq(lanes[i]->reply, lanes[k]->reply);
	}
	genie_lane_put(lanes[3]);
	cr_assert_eq(genie_lane_get(chan), lanes[3]);
	for (unsigned i = 200; i < GENIE_AREA_LANES; i++)
		cr_assert_not_null(genie_lane_get(chan));
	cr_assert_null(genie_lane_get(chan));
	ring_chan_free(chan);
}

/* ---- a producer that lies ---- */

static void
put(struct genie_area *area, unsigned ring, uint64_t pos, struct genie_cmd cmd)
{
	memcpy(area->ring_data[ring] + pos % GENIE_LANE_RING, &cmd, sizeof(cmd));
}

static int
drain_one(struct genie_chan *chan, struct genie_drain *drain)
{
	static uint8_t buf[GENIE_CMD_MAX];

	atomic_store(&chan->area->ring_count, 1);
	return genie_drain_next(drain, buf, sizeof(buf));
}

static void
expect_refused(uint64_t tail, struct genie_cmd cmd)
{
	struct genie_chan *chan = ring_chan();
	struct genie_drain drain;

	genie_drain_init(&drain, chan->area);
	put(chan->area, 0, 0, cmd);
	atomic_store(&chan->area->rings[0].tail, tail);
	cr_assert_eq(drain_one(chan, &drain), -EPROTO, "len 0x%x tail 0x%lx", cmd.len,
		     (unsigned long)tail);
	cr_assert_neq(drain.why[0], 0);
	ring_chan_free(chan);
}

Test(lane, lies_are_refused)
{
	expect_refused(32, (struct genie_cmd){.len = 0, .ticket = 1});
	expect_refused(32, (struct genie_cmd){.len = 16, .ticket = 1});
	expect_refused(32, (struct genie_cmd){.len = 28, .ticket = 1});
	expect_refused(32, (struct genie_cmd){.len = 40, .ticket = 1});
	expect_refused(32, (struct genie_cmd){.len = UINT32_MAX, .ticket = 1});
	expect_refused(32, (struct genie_cmd){.len = 0xfffffff8, .ticket = 1});
	expect_refused(GENIE_LANE_RING, (struct genie_cmd){.len = GENIE_CMD_MAX + 8, .ticket = 1});
	expect_refused(24, (struct genie_cmd){.len = 24, .ticket = 0});
	expect_refused(24, (struct genie_cmd){.len = 24, .ticket = 1, .lane = GENIE_AREA_LANES});
	expect_refused(24, (struct genie_cmd){.len = 24, .ticket = 1, .lane = UINT32_MAX});
	expect_refused(GENIE_LANE_RING + 8, (struct genie_cmd){.len = 24, .ticket = 1});
	expect_refused(UINT64_MAX, (struct genie_cmd){.len = 24, .ticket = 1});
	expect_refused(27, (struct genie_cmd){.len = 24, .ticket = 1});
	/* A pad that does not end at the ring's end, and one with nothing behind it. */
	expect_refused(48, (struct genie_cmd){.len = 24, .flags = GENIE_CMD_PAD});
	expect_refused(GENIE_LANE_RING,
		       (struct genie_cmd){.len = GENIE_LANE_RING, .flags = GENIE_CMD_PAD});
}

Test(lane, ring_count_is_checked)
{
	struct genie_chan *chan = ring_chan();
	struct genie_drain drain;
	uint64_t buf[8];

	genie_drain_init(&drain, chan->area);
	atomic_store(&chan->area->ring_count, GENIE_LANES_MAX + 1);
	cr_assert_eq(genie_drain_next(&drain, buf, sizeof(buf)), -EPROTO);
	ring_chan_free(chan);
}

Test(lane, command_across_the_ring_end_is_refused)
{
	struct genie_chan *chan = ring_chan();
	struct genie_lane *lane = genie_lane_get(chan);
	struct genie_drain drain;
	uint64_t at = 0;

	genie_drain_init(&drain, chan->area);
	while (at + 4096 < GENIE_LANE_RING) {
		submit(lane, 4096);
		cr_assert_eq(drain_one(chan, &drain), 4096);
		at += 4096;
	}
	put(chan->area, 0, at, (struct genie_cmd){.len = 8192, .ticket = drain.next});
	atomic_store(&chan->area->rings[0].tail, at + 8192);
	cr_assert_eq(drain_one(chan, &drain), -EPROTO);
	ring_chan_free(chan);
}

Test(lane, a_missing_ticket_is_waited_for)
{
	struct genie_chan *chan = ring_chan();
	struct genie_drain drain;

	genie_drain_init(&drain, chan->area);
	put(chan->area, 0, 0, (struct genie_cmd){.len = 24, .ticket = 2});
	atomic_store(&chan->area->rings[0].tail, 24);
	cr_assert_eq(drain_one(chan, &drain), 0);
	put(chan->area, 1, 0, (struct genie_cmd){.len = 24, .ticket = 1});
	atomic_store(&chan->area->rings[1].tail, 24);
	atomic_store(&chan->area->ring_count, 2);
	uint64_t buf[8];
	cr_assert_eq(genie_drain_next(&drain, buf, sizeof(buf)), 24);
	cr_assert_eq(genie_drain_next(&drain, buf, sizeof(buf)), 24);
	cr_assert_eq(genie_drain_next(&drain, buf, sizeof(buf)), 0);
	ring_chan_free(chan);
}

/* The consumer's position is as hostile as anything else: it must not make us write elsewhere. */
Test(lane, nonsense_head_counts_as_full, .timeout = 10)
{
	struct genie_chan *chan = ring_chan();
	struct genie_lane *lane = genie_lane_get(chan);
	pthread_t thread;
	void *count;

	atomic_store(&chan->area->rings[0].head, UINT64_MAX - 7);
	pthread_create(&thread, NULL, fill_until_dead, lane);
	wait_until_full(chan, 0);
	genie_chan_die(chan, "test");
	pthread_join(thread, &count);
	cr_assert_eq((uint64_t)(uintptr_t)count, GENIE_LANE_RING / 4096);
	ring_chan_free(chan);
}

/* ---- the area: errors and progress ---- */

Test(area, progress_never_goes_back)
{
	struct genie_chan *chan = ring_chan();

	genie_area_progress(chan->area, 3, 10);
	genie_area_progress(chan->area, 3, 9);
	cr_assert_eq(atomic_load(&chan->area->progress[3]), 10);
	ring_chan_free(chan);
}

Test(area, the_first_error_stays_until_it_was_reported)
{
	struct genie_chan *chan = ring_chan();
	struct genie_async_error first = {.ticket = 5, .status = 1, .op = 2};
	struct genie_async_error second = {.ticket = 6, .status = 3, .op = 4};

	cr_assert_eq(genie_chan_error(chan).ticket, 0);
	genie_area_error(chan->area, &first);
	genie_area_error(chan->area, &second);
	cr_assert_eq(genie_chan_error(chan).ticket, 5);
	cr_assert_eq(genie_chan_error(chan).status, 1);
	cr_assert_eq(genie_chan_error(chan).op, 2);
	genie_chan_error_clear(chan, 5);
	cr_assert_eq(genie_chan_error(chan).ticket, 0);
	genie_area_error(chan->area, &second);
	cr_assert_eq(genie_chan_error(chan).ticket, 6);
	genie_chan_error_clear(chan, 5); /* another one than this */
	cr_assert_eq(genie_chan_error(chan).ticket, 6);
	ring_chan_free(chan);
}

Test(area, a_sticky_error_replaces_and_cannot_be_cleared)
{
	struct genie_chan *chan = ring_chan();
	struct genie_async_error first = {.ticket = 5, .status = 1};
	struct genie_async_error sticky = {.ticket = 7, .status = 700, .sticky = 1};

	genie_area_error(chan->area, &first);
	genie_area_error(chan->area, &sticky);
	cr_assert_eq(genie_chan_error(chan).ticket, 7);
	cr_assert_eq(genie_chan_error(chan).sticky, 1);
	genie_chan_error_clear(chan, 7);
	cr_assert_eq(genie_chan_error(chan).ticket, 7);
	first.ticket = 9;
	genie_area_error(chan->area, &first);
	cr_assert_eq(genie_chan_error(chan).status, 700);
	ring_chan_free(chan);
}
