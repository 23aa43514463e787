/* The client's service thread: what a server asks for without end is bounded. */
#include "transport/events.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

struct seen {
	sem_t go;
	unsigned funcs, outputs, done;
	_Atomic unsigned lost;
};

static void
on_host_func(void *data, uint64_t id)
{
	struct seen *seen = data;

	(void)id;
	if (seen->funcs++ == 0)
		sem_wait(&seen->go); /* the program's function takes its time */
}

static void
on_output(void *data, const char *text, size_t len, bool is_error)
{
	struct seen *seen = data;

	(void)len;
	(void)is_error;
	if (text)
		seen->outputs++;
	else
		seen->lost++; /* told by the thread that adds */
}

static void
on_done(void *data, uint64_t id)
{
	struct seen *seen = data;

	(void)id;
	seen->done++;
}

static struct genie_events *
begin(struct seen *seen)
{
	const struct genie_chan_events callbacks = {on_host_func, on_output, seen};
	struct genie_events *events;

	sem_init(&seen->go, 0, 0);
	events = genie_events_create(&callbacks, on_done, seen);
	cr_assert_not_null(events);
	cr_assert_eq(genie_events_host_func(events, 1), 0);
	return events;
}

Test(events, host_functions_without_end, .timeout = 60)
{
	struct seen seen = {0};
	struct genie_events *events = begin(&seen);
	unsigned queued = 0;
	int ret = 0;

	while (!ret && queued < 200000) {
		ret = genie_events_host_func(events, queued + 2);
		queued += ret == 0;
	}
	cr_assert_eq(ret, -EPROTO);
	cr_assert_gt(queued, 10000, "many are fine");
	cr_assert_lt(queued, 100000);
	sem_post(&seen.go);
	genie_events_destroy(events);
	cr_assert_eq(seen.done, seen.funcs);
}

Test(events, empty_texts_without_end, .timeout = 60)
{
	struct seen seen = {0};
	struct genie_events *events = begin(&seen);

	for (unsigned i = 0; i < 1000000; i++)
		genie_events_output(events, "", 0, false);
	sem_post(&seen.go);
	genie_events_destroy(events);
	cr_assert_gt(seen.outputs, 1000);
	cr_assert_lt(seen.outputs, 500000, "each takes memory while it waits");
	cr_assert_eq(seen.outputs + seen.lost, 1000000, "who waits for them hears of all");
}
