#include "transport/events.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "transport/helper.h"

#define OUTPUT_MAX (8u << 20) /* bytes queued, what they are kept in included */
/* Host functions queued. A stream waits for each of its own, so there are few at a time. */
#define FUNCS_MAX 65536u

struct event {
	struct event *next;
	bool is_output, is_error;
	uint64_t id;
	size_t len;
	char text[];
};

struct genie_events {
	struct genie_chan_events callbacks;
	void (*done)(void *data, uint64_t id);
	void *data;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t more;
	struct event *first, **last;
	size_t output_bytes;
	unsigned funcs;
	bool started, stop, dropped;
};

struct genie_events *
genie_events_create(const struct genie_chan_events *callbacks,
		    void (*done)(void *data, uint64_t id), void *data)
{
	struct genie_events *events = calloc(1, sizeof(*events));

	if (!events)
		return NULL;
	events->callbacks = *callbacks;
	events->done = done;
	events->data = data;
	events->last = &events->first;
	pthread_mutex_init(&events->lock, NULL);
	pthread_cond_init(&events->more, NULL);
	return events;
}

static struct event *
events_take_locked(struct genie_events *events)
{
	struct event *event = events->first;

	if (!event)
		return NULL;
	events->first = event->next;
	if (!events->first)
		events->last = &events->first;
	if (event->is_output)
		events->output_bytes -= sizeof(*event) + event->len;
	else
		events->funcs--;
	return event;
}

static void
event_run(struct genie_events *events, const struct event *event)
{
	if (event->is_output) {
		if (events->callbacks.output)
			events->callbacks.output(events->callbacks.data, event->text, event->len,
						 event->is_error);
		return;
	}
	if (events->callbacks.host_func)
		events->callbacks.host_func(events->callbacks.data, event->id);
	events->done(events->data, event->id);
}

static void *
events_thread(void *data)
{
	struct genie_events *events = data;
	struct event *event;
	bool run;

	pthread_mutex_lock(&events->lock);
	while ((event = events_take_locked(events)) || !events->stop) {
		if (!event) {
			/* Not in relax.c: nobody waits for this thread to be quick. */
			pthread_cond_wait(&events->more, &events->lock);
			continue;
		}
		run = event->is_output || !events->stop;
		pthread_mutex_unlock(&events->lock);
		if (run)
			event_run(events, event);
		free(event);
		pthread_mutex_lock(&events->lock);
	}
	pthread_mutex_unlock(&events->lock);
	return NULL;
}

static int
events_add_locked(struct genie_events *events, struct event *event)
{
	int ret = 0;

	if (events->stop)
		return -ESHUTDOWN;
	if (!events->started) {
		/* The default stack: host functions are the program's code. */
		ret = genie_helper_start(&events->thread, "genie-events", 0, events_thread, events);
		if (ret < 0)
			return ret;
		events->started = true;
	}
	*events->last = event;
	events->last = &event->next;
	if (event->is_output)
		events->output_bytes += sizeof(*event) + event->len;
	else
		events->funcs++;
	pthread_cond_signal(&events->more);
	return 0;
}

int
genie_events_host_func(struct genie_events *events, uint64_t id)
{
	struct event *event = calloc(1, sizeof(*event));
	int ret;

	if (!event)
		return -ENOMEM;
	event->id = id;
	pthread_mutex_lock(&events->lock);
	ret = events->funcs < FUNCS_MAX ? events_add_locked(events, event) : -EPROTO;
	pthread_mutex_unlock(&events->lock);
	if (ret < 0)
		free(event);
	/* When the channel closes nobody runs functions any more, which is no failure. */
	return ret == -ESHUTDOWN ? 0 : ret;
}

/* Who waits for so many bytes to be shown need not wait for these. */
static void
output_lost(struct genie_events *events, size_t len, bool is_error)
{
	if (events->callbacks.output)
		events->callbacks.output(events->callbacks.data, NULL, len, is_error);
}

void
genie_events_output(struct genie_events *events, const char *text, size_t len, bool is_error)
{
	struct event *event = calloc(1, sizeof(*event) + len);
	int ret = -ENOMEM;

	if (!event) {
		output_lost(events, len, is_error);
		return;
	}
	event->is_output = true;
	event->is_error = is_error;
	event->len = len;
	memcpy(event->text, text, len);
	pthread_mutex_lock(&events->lock);
	if (events->output_bytes + sizeof(*event) + len <= OUTPUT_MAX) {
		ret = events_add_locked(events, event);
	} else if (!events->dropped) {
		events->dropped = true;
		genie_warn("the device prints faster than it can be shown: some of it is lost");
	}
	pthread_mutex_unlock(&events->lock);
	if (ret == 0)
		return;
	free(event);
	output_lost(events, len, is_error);
}

void
genie_events_stop(struct genie_events *events)
{
	bool join;

	pthread_mutex_lock(&events->lock);
	join = events->started;
	events->started = false;
	events->stop = true;
	pthread_cond_signal(&events->more);
	pthread_mutex_unlock(&events->lock);
	if (join)
		pthread_join(events->thread, NULL);
}

void
genie_events_destroy(struct genie_events *events)
{
	struct event *event;

	if (!events)
		return;
	genie_events_stop(events);
	while ((event = events_take_locked(events)))
		free(event);
	pthread_cond_destroy(&events->more);
	pthread_mutex_destroy(&events->lock);
	free(events);
}
