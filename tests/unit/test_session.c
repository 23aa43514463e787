/* A whole session with a worker process, the same tests over shared memory and TCP. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "echo.h"
#include "transport/events.h"

static char kinds[2][4] = {"shm", "tcp"};

#define SESSION_TEST(name, seconds)                                                                \
	ParameterizedTestParameters(session, name)                                                 \
	{                                                                                          \
		return cr_make_param_array(char[4], kinds, 2);                                     \
	}                                                                                          \
	ParameterizedTest(char kind[4], session, name, .timeout = (seconds))

struct session {
	struct echo echo;
	struct genie_chan *chan;
	struct genie_lane *lane;
};

static struct session
begin(const char *kind)
{
	struct session session;
	char err[256] = "";

	echo_start(kind, NULL, &session.echo);
	session.chan = echo_connect(&session.echo, NULL, err, sizeof(err));
	cr_assert_not_null(session.chan, "%s: %s", kind, err);
	session.lane = genie_lane_get(session.chan);
	cr_assert_not_null(session.lane);
	return session;
}

/* A goodbye: the worker ends well. */
static void
end(struct session *session)
{
	int status;

	genie_lane_put(session->lane);
	genie_chan_close(session->chan);
	status = echo_wait(&session->echo);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x", status);
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

SESSION_TEST(tells_what_the_server_is, 20)
{
	struct session s = begin(kind);

	cr_assert_str_eq(genie_chan_transport(s.chan), kind);
	cr_assert_eq(genie_chan_welcome(s.chan)->device_count, 2);
	cr_assert_str_eq(genie_chan_devices(s.chan)[1].name, "echo device 1");
	cr_assert_not_null(genie_chan_pinned_base(s.chan));
	cr_assert_eq(genie_chan_last_ticket(s.chan), 0);
	cr_assert_not(genie_chan_dead(s.chan));
	end(&s);
}

SESSION_TEST(calls_are_answered, 30)
{
	struct session s = begin(kind);
	uint64_t answer[8];
	size_t len;

	for (uint64_t i = 0; i < 3000; i++) {
		uint64_t payload[4] = {i, i * 2, i * 3, ~i};

		cr_assert_eq(echo_call(s.lane, ECHO_REPLY, payload, sizeof(payload), answer,
				       sizeof(answer), &len),
			     0);
		cr_assert_eq(len, sizeof(payload));
		cr_assert_arr_eq(answer, payload, sizeof(payload));
	}
	end(&s);
}

SESSION_TEST(replies_of_every_size, 30)
{
	static const uint64_t sizes[] = {0, 1, 7, 8, 9, 4095, 4096, 4097, 16384, 65535, 65536, 24};
	static uint8_t answer[GENIE_REPLY_MAX];
	struct session s = begin(kind);

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t ticket = echo_submit(s.lane, ECHO_SIZED, GENIE_CMD_REPLY, &sizes[i],
					      sizeof(sizes[i]));
		int32_t status;
		size_t len;

		memset(answer, 0xee, sizeof(answer));
		cr_assert_eq(genie_lane_wait_reply(s.lane, ticket, &status, answer, sizeof(answer),
						   &len),
			     0);
		cr_assert_eq(len, sizes[i]);
		cr_assert_eq(status, (int32_t)sizes[i]);
		for (size_t at = 0; at < len; at++)
			cr_assert_eq(answer[at], (uint8_t)(at * 7));
	}
	end(&s);
}

SESSION_TEST(a_reply_is_cut_to_the_buffer, 20)
{
	struct session s = begin(kind);
	uint64_t want = 1000;
	uint8_t answer[16];
	size_t len;

	memset(answer, 0xee, sizeof(answer));
	cr_assert_eq(echo_call(s.lane, ECHO_SIZED, &want, sizeof(want), answer, 8, &len), 0);
	cr_assert_eq(len, 1000);
	cr_assert_eq(answer[7], 49);
	cr_assert_eq(answer[8], 0xee);
	end(&s);
}

/* ---- threads ---- */

struct worker {
	struct genie_chan *chan;
	pthread_t thread;
	uint64_t id, count;
	unsigned call_every;
	int failed;
};

static void *
submit_numbers(void *data)
{
	struct worker *worker = data;
	struct genie_lane *lane = genie_lane_get(worker->chan);
	uint64_t answer;
	size_t len;

	for (uint64_t i = 1; i <= worker->count; i++) {
		struct echo_nop nop = {worker->id, i};

		worker->failed |= !echo_submit(lane, ECHO_NOP, 0, &nop, sizeof(nop));
		if (i % worker->call_every)
			continue;
		worker->failed |=
			echo_call(lane, ECHO_REPLY, &i, sizeof(i), &answer, sizeof(answer), &len) ||
			answer != i;
	}
	genie_lane_put(lane);
	return NULL;
}

static void
run_threads(struct session *s, unsigned threads, uint64_t count, unsigned call_every)
{
	struct worker *workers = calloc(threads, sizeof(*workers));
	struct echo_sum sum;
	size_t len;

	for (unsigned i = 0; i < threads; i++) {
		workers[i] = (struct worker){
			.chan = s->chan, .id = i, .count = count, .call_every = call_every};
		cr_assert_eq(pthread_create(&workers[i].thread, NULL, submit_numbers, &workers[i]),
			     0);
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		cr_assert_not(workers[i].failed);
	}
	cr_assert_eq(echo_call(s->lane, ECHO_SUM, NULL, 0, &sum, sizeof(sum), &len), 0);
	cr_assert_eq(sum.count, threads * count, "%lu of %lu, %lu, len %zu, %s",
		     (unsigned long)sum.count, (unsigned long)(threads * count),
		     (unsigned long)sum.errors, len, genie_chan_transport(s->chan));
	cr_assert_eq(sum.errors, 0);
	free(workers);
}

SESSION_TEST(eight_threads_keep_their_order, 60)
{
	struct session s = begin(kind);

	run_threads(&s, 8, 20000, 1000000);
	end(&s);
}

SESSION_TEST(eight_threads_call_at_once, 60)
{
	struct session s = begin(kind);

	run_threads(&s, 8, 600, 2);
	end(&s);
}

SESSION_TEST(more_threads_than_rings_call_at_once, 60)
{
	struct session s = begin(kind);

	run_threads(&s, 100, 60, 3);
	end(&s);
}

/* ---- progress and errors ---- */

SESSION_TEST(progress_is_waited_for_and_polled, 30)
{
	struct session s = begin(kind);

	for (uint64_t i = 0; i < 500; i++) {
		struct echo_mark mark = {.slot = i * 1873 % GENIE_SLOTS_MAX};
		uint64_t ticket = echo_submit(s.lane, ECHO_MARK, i % 2 ? GENIE_CMD_WAIT : 0, &mark,
					      sizeof(mark));

		if (i % 3) {
			cr_assert_eq(genie_chan_wait(s.chan, (uint32_t)mark.slot, ticket), 0);
		} else if (i % 2 == 0) {
			while (genie_chan_progress(s.chan, (uint32_t)mark.slot) < ticket)
				;
		}
		if (i % 3)
			cr_assert_geq(genie_chan_progress(s.chan, (uint32_t)mark.slot), ticket);
	}
	cr_assert_eq(genie_chan_progress(s.chan, GENIE_SLOTS_MAX), 0);
	cr_assert_neq(genie_chan_wait(s.chan, GENIE_SLOTS_MAX, 1), 0);
	end(&s);
}

SESSION_TEST(progress_arrives_while_nobody_waits, 30)
{
	struct session s = begin(kind);
	struct echo_mark mark = {.slot = 5};
	uint64_t answer, ticket;
	double start;
	size_t len;

	/* After a call, and after a pause: over TCP different threads receive. */
	for (int i = 0; i < 20; i++) {
		if (i % 2)
			echo_call(s.lane, ECHO_REPLY, &answer, sizeof(answer), &answer,
				  sizeof(answer), &len);
		if (i % 4 == 0)
			usleep(20000);
		ticket = echo_submit(s.lane, ECHO_MARK, 0, &mark, sizeof(mark));
		start = now();
		while (genie_chan_progress(s.chan, 5) < ticket) {
			usleep(100);
			cr_assert_lt(now() - start, 2.0);
		}
	}
	end(&s);
}

SESSION_TEST(errors_arrive_and_are_cleared, 30)
{
	struct session s = begin(kind);
	struct genie_async_error error = {.status = 719, .op = 12};
	uint64_t ticket, answer = 0;
	size_t len;

	cr_assert_eq(genie_chan_error(s.chan).ticket, 0);
	ticket = echo_submit(s.lane, ECHO_ERROR, 0, &error, sizeof(error));
	echo_submit(s.lane, ECHO_ERROR, 0, &error, sizeof(error));
	cr_assert_eq(echo_call(s.lane, ECHO_REPLY, &answer, 8, &answer, 8, &len), 0);
	cr_assert_eq(genie_chan_error(s.chan).ticket, ticket);
	cr_assert_eq(genie_chan_error(s.chan).status, 719);
	cr_assert_eq(genie_chan_error(s.chan).op, 12);
	genie_chan_error_clear(s.chan, ticket);
	cr_assert_eq(genie_chan_error(s.chan).ticket, 0);
	end(&s);
}

struct late {
	struct session *s;
	uint16_t op;
	struct genie_async_error error;
};

static void *
submit_later(void *data)
{
	struct late *late = data;
	struct genie_lane *lane = genie_lane_get(late->s->chan);

	usleep(100000);
	echo_submit(lane, late->op, 0, &late->error, sizeof(late->error));
	return NULL;
}

SESSION_TEST(a_sticky_error_ends_waiting, 30)
{
	struct session s = begin(kind);
	struct late late = {&s, ECHO_ERROR, {.status = 700, .sticky = 1}};
	pthread_t thread;

	pthread_create(&thread, NULL, submit_later, &late);
	cr_assert_eq(genie_chan_wait(s.chan, 1, 1000000), -EIO);
	pthread_join(thread, NULL);
	cr_assert_eq(genie_chan_error(s.chan).sticky, 1);
	end(&s);
}

/* ---- bulk ---- */

SESSION_TEST(bulk_of_every_size_both_ways, 60)
{
	static const size_t sizes[] = {
		1, 2, 63, 4096, 65537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5000001, 64 << 20};
	struct session s = begin(kind);
	uint8_t *data = malloc(64 << 20), *back = malloc(64 << 20);
	uint64_t answer = 0;
	size_t len;

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (size_t at = 0; at < sizes[i]; at++)
			data[at] = (uint8_t)(at * 2654435761u >> 13);
		memset(back, 0xee, sizes[i]);
		cr_assert_eq(echo_put(s.chan, s.lane, i, data, sizes[i]), 0);
		cr_assert_eq(echo_call(s.lane, ECHO_REPLY, &answer, 8, &answer, 8, &len), 0);
		cr_assert_eq(echo_get(s.chan, s.lane, i, back, sizes[i]), 0);
		cr_assert_eq(memcmp(data, back, sizes[i]), 0, "%zu bytes", sizes[i]);
	}
	free(back);
	free(data);
	end(&s);
}

struct copier {
	struct session *s;
	pthread_t thread;
	uint64_t id;
	int failed;
};

#define COPIER_BYTES ((3u << 20) + 77)

static void *
copy_both_ways(void *data)
{
	struct copier *copier = data;
	struct genie_lane *lane = genie_lane_get(copier->s->chan);
	uint64_t offset = copier->id * 2 * COPIER_BYTES, answer;
	uint8_t *out = malloc(COPIER_BYTES), *in = malloc(COPIER_BYTES);
	size_t len;

	for (int round = 0; round < 4; round++) {
		memset(out, (int)(copier->id * 16 + (uint64_t)round), COPIER_BYTES);
		copier->failed |= echo_put(copier->s->chan, lane, offset, out, COPIER_BYTES);
		copier->failed |= echo_call(lane, ECHO_REPLY, &offset, 8, &answer, 8, &len);
		copier->failed |= echo_get(copier->s->chan, lane, offset, in, COPIER_BYTES);
		copier->failed |= memcmp(out, in, COPIER_BYTES);
	}
	free(in);
	free(out);
	genie_lane_put(lane);
	return NULL;
}

SESSION_TEST(threads_copy_both_ways_at_once, 60)
{
	struct session s = begin(kind);
	struct copier copiers[6];

	for (uint64_t i = 0; i < 6; i++) {
		copiers[i] = (struct copier){.s = &s, .id = i};
		pthread_create(&copiers[i].thread, NULL, copy_both_ways, &copiers[i]);
	}
	for (unsigned i = 0; i < 6; i++) {
		pthread_join(copiers[i].thread, NULL);
		cr_assert_not(copiers[i].failed);
	}
	end(&s);
}

/* Who sees the stream's progress sees the data of detached transfers before it. */
SESSION_TEST(detached_data_is_there_before_progress, 60)
{
	struct session s = begin(kind);
	uint8_t *data = malloc(8 << 20), *back = malloc(8 << 20);
	struct echo_bulk bulk = {.len = GENIE_BULK_CHUNK, .slot = 77};
	uint64_t ticket = 0;

	memset(data, 0x5a, 8 << 20);
	cr_assert_eq(echo_put(s.chan, s.lane, 0, data, 8 << 20), 0);
	for (int round = 0; round < 20; round++) {
		memset(back, 0, 8 << 20);
		for (unsigned i = 0; i < 8; i++) {
			bulk.offset = (uint64_t)i << 20;
			cr_assert_eq(genie_chan_bulk_expect(s.chan, back + bulk.offset, bulk.len,
							    &bulk.ref),
				     0);
			ticket = echo_submit(s.lane, ECHO_DOWN, 0, &bulk, sizeof(bulk));
			genie_chan_bulk_detach(s.chan, bulk.ref);
		}
		if (round % 2)
			cr_assert_eq(genie_chan_wait(s.chan, 77, ticket), 0);
		else
			while (genie_chan_progress(s.chan, 77) < ticket)
				;
		cr_assert_eq(memcmp(back, data, 8 << 20), 0);
	}
	free(back);
	free(data);
	end(&s);
}

SESSION_TEST(bulk_refuses_too_much, 20)
{
	struct session s = begin(kind);
	static uint8_t data[GENIE_BULK_CHUNK + 1];
	uint64_t ref;

	cr_assert_eq(genie_chan_bulk_send(s.chan, data, sizeof(data), &ref), -EINVAL);
	cr_assert_eq(genie_chan_bulk_expect(s.chan, data, sizeof(data), &ref), -EINVAL);
	end(&s);
}

/* ---- the pinned window ---- */

SESSION_TEST(the_pinned_window_is_memory, 30)
{
	struct session s = begin(kind);
	uint8_t *base = genie_chan_pinned_base(s.chan);
	struct echo_bulk bulk = {.offset = 12345, .len = 100000};
	bool shared = genie_chan_welcome(s.chan)->flags & GENIE_WELCOME_F_SHARED_PINNED;
	uint64_t sum;
	size_t len;

	cr_assert_eq(shared, !strcmp(kind, "shm"));
	memset(base + bulk.offset, 3, bulk.len);
	cr_assert_eq(echo_call(s.lane, ECHO_PINNED, &bulk, sizeof(bulk), &sum, sizeof(sum), &len),
		     0);
	cr_assert_eq(sum, shared ? 3 * bulk.len : 0);
	cr_assert_eq(genie_chan_pinned_discard(s.chan, base, 1 << 20), 0);
	cr_assert_eq(base[bulk.offset + 5], 0);
	cr_assert_neq(genie_chan_pinned_discard(s.chan, base - 4096, 8192), 0);
	end(&s);
}

/* ---- host functions and output ---- */

struct heard {
	pthread_mutex_t lock;
	uint64_t ids[64];
	unsigned count;
	char text[256];
	size_t text_len;
	unsigned complaints;
	pthread_t thread;
	useconds_t delay;
};

static void
hear_host_func(void *data, uint64_t id)
{
	struct heard *heard = data;

	usleep(heard->delay);
	pthread_mutex_lock(&heard->lock);
	heard->ids[heard->count++] = id;
	heard->thread = pthread_self();
	pthread_mutex_unlock(&heard->lock);
}

static void
hear_output(void *data, const char *text, size_t len, bool is_error)
{
	struct heard *heard = data;

	pthread_mutex_lock(&heard->lock);
	heard->complaints += is_error;
	if (!text)
		cr_assert_fail("%zu bytes were lost", len);
	memcpy(heard->text + heard->text_len, text, len);
	heard->text_len += len;
	pthread_mutex_unlock(&heard->lock);
}

static unsigned
heard_count(struct heard *heard, size_t *ret_text_len)
{
	unsigned count;

	pthread_mutex_lock(&heard->lock);
	count = heard->count;
	*ret_text_len = heard->text_len;
	pthread_mutex_unlock(&heard->lock);
	return count;
}

SESSION_TEST(host_functions_run_and_are_answered, 30)
{
	struct heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER, .delay = 1000};
	struct session s;
	struct genie_chan_opts opts = {
		.kind = GENIE_HELLO_SESSION,
		.api_hash = ECHO_API_HASH,
		.events = {hear_host_func, hear_output, &heard},
	};
	char err[256];
	uint64_t ticket = 0;
	size_t text_len, len;

	echo_start(kind, NULL, &s.echo);
	opts.server = s.echo.server;
	cr_assert_eq(genie_chan_connect(&opts, &s.chan, err, sizeof(err)), 0, "%s", err);
	s.lane = genie_lane_get(s.chan);
	for (uint64_t i = 0; i < 20; i++) {
		struct echo_mark mark = {.slot = 100 + i};

		ticket = echo_submit(s.lane, ECHO_HOST, 0, &mark, sizeof(mark));
		if (i == 10)
			usleep(50000);
	}
	/* Progress comes only after the function has run. */
	cr_assert_eq(genie_chan_wait(s.chan, 119, ticket), 0);
	cr_assert_eq(heard_count(&heard, &text_len), 20);
	for (uint64_t i = 0; i < 20; i++)
		cr_assert_eq(heard.ids[i], 100 + i);
	cr_assert_not(pthread_equal(heard.thread, pthread_self()));
	echo_submit(s.lane, ECHO_OUTPUT, 0, "hello, device 5", 16);
	for (int i = 0; i < 200 && text_len < 16; i++) {
		usleep(10000);
		heard_count(&heard, &text_len);
	}
	cr_assert_str_eq(heard.text, "hello, device 5");
	cr_assert_eq(heard.complaints, 0);
	/* What is on its way when the session ends is shown, too. */
	echo_submit(s.lane, ECHO_COMPLAIN, 0, "alas", 4);
	cr_assert_eq(echo_call(s.lane, ECHO_REPLY, NULL, 0, NULL, 0, &len), 0);
	for (int i = 0; i < 200 && text_len < 20; i++) {
		usleep(10000);
		heard_count(&heard, &text_len);
	}
	cr_assert_eq(heard.complaints, 1);
	cr_assert_arr_eq(heard.text + 16, "alas", 4);
	end(&s);
}

struct shown {
	pthread_mutex_t lock, gate; /* gate: held while the host function may not go on */
	size_t text, lost;
};

static void
wait_at_gate(void *data, uint64_t id)
{
	struct shown *shown = data;

	(void)id;
	pthread_mutex_lock(&shown->gate);
	pthread_mutex_unlock(&shown->gate);
}

static void
count_shown(void *data, const char *text, size_t len, bool is_error)
{
	struct shown *shown = data;

	(void)is_error;
	pthread_mutex_lock(&shown->lock);
	*(text ? &shown->text : &shown->lost) += len;
	pthread_mutex_unlock(&shown->lock);
}

static void
nothing_more(void *data, uint64_t id)
{
	(void)data;
	(void)id;
}

/* Who waits for text must hear of every byte, also of those that nobody will see. */
Test(events, text_that_is_lost_is_counted, .timeout = 30)
{
	static char text[1 << 20];
	struct shown shown = {.lock = PTHREAD_MUTEX_INITIALIZER, .gate = PTHREAD_MUTEX_INITIALIZER};
	const struct genie_chan_events callbacks = {wait_at_gate, count_shown, &shown};
	struct genie_events *events = genie_events_create(&callbacks, nothing_more, NULL);

	pthread_mutex_lock(&shown.gate);
	cr_assert_eq(genie_events_host_func(events, 1), 0);
	for (int i = 0; i < 12; i++)
		genie_events_output(events, text, sizeof(text), false);
	cr_assert_eq(shown.text, 0, "a host function comes first");
	cr_assert_gt(shown.lost, 0);
	cr_assert_lt(shown.lost, 12 * sizeof(text));
	pthread_mutex_unlock(&shown.gate);
	genie_events_destroy(events);
	cr_assert_eq(shown.text + shown.lost, 12 * sizeof(text));
}

/* Uploads and downloads of its own while others wait for host functions. */
static void *
copy_all_the_time(void *data)
{
	struct session *s = data;
	struct genie_lane *lane = genie_lane_get(s->chan);
	static uint8_t bytes[4 << 20], got[4 << 20];

	memset(bytes, 0x5c, sizeof(bytes));
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(echo_put(s->chan, lane, 0, bytes, sizeof(bytes)), 0);
		cr_assert_eq(echo_get(s->chan, lane, 0, got, sizeof(got)), 0);
		cr_assert_arr_eq(got, bytes, sizeof(got));
	}
	genie_lane_put(lane);
	return NULL;
}

/* A command that itself waits for the client, with more behind it: as when memory that a stream
 * still uses is waited for, or a graph runs on the thread that reads commands. */
SESSION_TEST(a_command_may_wait_for_a_host_function, 60)
{
	struct heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct genie_chan_opts opts = {
		.kind = GENIE_HELLO_SESSION,
		.api_hash = ECHO_API_HASH,
		.events = {hear_host_func, hear_output, &heard},
	};
	pthread_t copier;
	struct session s;
	char err[256];
	size_t len;

	echo_start(kind, NULL, &s.echo);
	opts.server = s.echo.server;
	cr_assert_eq(genie_chan_connect(&opts, &s.chan, err, sizeof(err)), 0, "%s", err);
	s.lane = genie_lane_get(s.chan);
	pthread_create(&copier, NULL, copy_all_the_time, &s);
	for (uint64_t i = 0; i < 300; i++) {
		struct echo_mark mark = {.slot = i};
		uint64_t ticket =
			echo_submit(s.lane, ECHO_BLOCK, GENIE_CMD_REPLY, &mark, sizeof(mark));
		int32_t status;

		/* behind it, as much as there is room for */
		for (int k = 0; k < 20; k++)
			echo_submit(s.lane, ECHO_NOP, 0, &(struct echo_nop){ECHO_THREADS, 0},
				    sizeof(struct echo_nop));
		cr_assert_eq(genie_lane_wait_reply(s.lane, ticket, &status, NULL, 0, &len), 0);
		pthread_mutex_lock(&heard.lock);
		heard.count = 0;
		pthread_mutex_unlock(&heard.lock);
	}
	pthread_join(copier, NULL);
	end(&s);
}

/* ---- the end ---- */

SESSION_TEST(what_was_submitted_before_close_is_executed, 30)
{
	struct session s = begin(kind);
	struct echo_nop nop = {0};

	for (int i = 0; i < 5000; i++) {
		nop.number++;
		cr_assert_neq(echo_submit(s.lane, ECHO_NOP, 0, &nop, sizeof(nop)), 0);
	}
	/* The last command kills the worker: it got there if the worker died of it. */
	echo_submit(s.lane, ECHO_KILL, 0, NULL, 0);
	genie_chan_close(s.chan);
	cr_assert(WIFSIGNALED(echo_wait(&s.echo)));
}

static void *
call_until_dead(void *data)
{
	struct session *s = data;
	struct genie_lane *lane = genie_lane_get(s->chan);
	uint64_t answer = 0;
	size_t len;

	while (!echo_call(lane, ECHO_REPLY, &answer, 8, &answer, 8, &len))
		;
	return NULL;
}

static void *
submit_until_dead(void *data)
{
	struct session *s = data;
	struct genie_lane *lane = genie_lane_get(s->chan);
	static const uint8_t payload[4096];

	while (echo_submit(lane, ECHO_NOP, 0, payload, sizeof(payload)))
		;
	return NULL;
}

static void *
wait_until_dead(void *data)
{
	struct session *s = data;

	cr_assert_eq(genie_chan_wait(s->chan, 9, UINT64_MAX), -ECONNRESET);
	return NULL;
}

static void *
put_until_dead(void *data)
{
	struct session *s = data;
	struct genie_lane *lane = genie_lane_get(s->chan);
	uint8_t *bytes = calloc(1, 8 << 20);

	while (!echo_put(s->chan, lane, 0, bytes, 8 << 20))
		;
	free(bytes);
	return NULL;
}

static void *
get_until_dead(void *data)
{
	struct session *s = data;
	struct genie_lane *lane = genie_lane_get(s->chan);
	uint8_t *bytes = calloc(1, 8 << 20);

	while (!echo_get(s->chan, lane, 0, bytes, 8 << 20))
		;
	free(bytes);
	return NULL;
}

/* Threads in every waiting place; then the worker ends in @how. */
static void
death_is_noticed(const char *kind, uint16_t how)
{
	void *(*const places[])(void *) = {call_until_dead, submit_until_dead, wait_until_dead,
					   put_until_dead,  get_until_dead,    wait_until_dead};
	struct session s = begin(kind);
	pthread_t threads[6];
	uint64_t ref;
	double start;

	for (unsigned i = 0; i < 6; i++)
		pthread_create(&threads[i], NULL, places[i], &s);
	usleep(200000);
	if (how == ECHO_HANG) { /* every place really waits then */
		echo_submit(s.lane, how, 0, NULL, 0);
		usleep(300000);
	}
	kill(s.echo.pid, SIGKILL);
	start = now();
	for (unsigned i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
	cr_assert_lt(now() - start, 1.0);
	cr_assert(genie_chan_dead(s.chan));
	cr_assert_null(genie_lane_get(s.chan));
	cr_assert_null(genie_lane_begin(s.lane, 64));
	cr_assert_eq(genie_chan_bulk_send(s.chan, &ref, 8, &ref), -ECONNRESET);
	cr_assert_eq(genie_chan_bulk_expect(s.chan, &ref, 8, &ref), -ECONNRESET);
	cr_assert_eq(genie_chan_wait(s.chan, 0, UINT64_MAX), -ECONNRESET);
	start = now();
	genie_chan_close(s.chan);
	cr_assert_lt(now() - start, 1.0);
	echo_wait(&s.echo);
}

SESSION_TEST(a_killed_worker_is_noticed_everywhere, 30)
{
	death_is_noticed(kind, ECHO_KILL);
}

SESSION_TEST(a_hung_and_killed_worker_is_noticed_everywhere, 30)
{
	death_is_noticed(kind, ECHO_HANG);
}

SESSION_TEST(a_killed_client_is_noticed, 30)
{
	struct echo echo;
	struct session s;
	char err[256];
	pid_t client;
	double start;
	int status;

	echo_start(kind, NULL, &echo);
	client = fork();
	if (!client) {
		s.chan = echo_connect(&echo, NULL, err, sizeof(err));
		if (s.chan)
			submit_until_dead(&s);
		_exit(1);
	}
	usleep(300000);
	kill(client, SIGKILL);
	start = now();
	waitpid(client, NULL, 0);
	status = echo_wait(&echo);
	cr_assert_lt(now() - start, 2.0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x", status);
}

SESSION_TEST(a_forked_child_forgets, 30)
{
	struct session s = begin(kind);
	uint64_t answer = 1;
	size_t len;
	pid_t child;
	int status;

	cr_assert_eq(echo_call(s.lane, ECHO_REPLY, &answer, 8, &answer, 8, &len), 0);
	child = fork();
	if (!child) {
		uint64_t ref;

		genie_chan_forget(s.chan);
		_exit(!genie_chan_dead(s.chan) || genie_lane_begin(s.lane, 64) ||
		      genie_lane_get(s.chan) || genie_chan_wait(s.chan, 1, 1) != -ECONNRESET ||
		      genie_chan_bulk_send(s.chan, &ref, 8, &ref) != -ECONNRESET ||
		      genie_chan_error(s.chan).ticket || genie_chan_progress(s.chan, 1));
	}
	waitpid(child, &status, 0);
	cr_assert_eq(status, 0);
	/* The parent's session is as it was. */
	cr_assert_eq(echo_call(s.lane, ECHO_REPLY, &answer, 8, &answer, 8, &len), 0);
	end(&s);
}

SESSION_TEST(nothing_is_left_open, 60)
{
	unsigned before = echo_count_fds();

	for (int i = 0; i < 5; i++) {
		struct session s = begin(kind);

		end(&s);
	}
	cr_assert_eq(echo_count_fds(), before);
}

SESSION_TEST(bytes_are_counted, 20)
{
	struct session s = begin(kind);
	struct genie_chan_stats stats;
	static uint8_t data[100000];
	size_t len;
	uint64_t answer = 0;

	cr_assert_eq(echo_put(s.chan, s.lane, 0, data, sizeof(data)), 0);
	cr_assert_eq(echo_call(s.lane, ECHO_REPLY, &answer, 8, &answer, 8, &len), 0);
	cr_assert_eq(echo_get(s.chan, s.lane, 0, data, sizeof(data)), 0);
	genie_chan_stats(s.chan, &stats);
	cr_assert_geq(stats.bytes_sent, sizeof(data) + 100);
	cr_assert_leq(stats.bytes_sent, sizeof(data) + 1000);
	cr_assert_geq(stats.bytes_received, sizeof(data));
	cr_assert_leq(stats.bytes_received, sizeof(data) + 1000);
	end(&s);
}
