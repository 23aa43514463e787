#include "remote/complete.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

/* How long the completing thread looks again at once before it sleeps between looks: most of what
 * a client waits for takes the device less. */
#define SPIN_NS      (50 * 1000)
#define SLEEP_MIN_NS (4 * 1000)
/* The first sleep while the issuing thread is at work and nobody waits: each look takes the
 * driver's lock from it, which makes launches a third slower (measured). */
#define SLEEP_BUSY_NS (20 * 1000)
#define SLEEP_MAX_NS  (100 * 1000)

struct genie_completer {
	struct genie_session *session;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows and what session.h and complete.h say */
	pthread_cond_t work;  /* a queue is not empty any more, or stop */
	pthread_cond_t done;  /* something was completed */
	struct genie_stream *active;
	struct genie_completion *spare;
	uint32_t waited; /* entries that somebody waits for */
	bool stop, sleeping;
	bool attended; /* the issuing thread looks after the queues, the other one sleeps */
	int64_t attended_since;

	CUcontext current; /* of the completing thread alone */
	bool immediate;    /* the backend is often done when a call returns: look at once */
	bool spin;         /* there are processors enough to do so */
};

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void
genie_completer_lock(struct genie_session *session)
{
	pthread_mutex_lock(&session->completer->lock);
}

void
genie_completer_unlock(struct genie_session *session)
{
	pthread_mutex_unlock(&session->completer->lock);
}

void
genie_complete_publish(struct genie_session *session, const struct genie_completion *completion,
		       CUresult status)
{
	(void)status;
	if (completion->slot < GENIE_SLOTS_MAX)
		genie_port_progress(session->port, completion->slot, completion->ticket);
}

/* What the entry stands for happens. A failure is told first, so that who is woken by the progress
 * finds it. */
static void
happen(struct genie_session *session, struct genie_completion *entry, CUresult status)
{
	struct genie_group *group = entry->group;

	genie_session_printed(session, entry->event ? entry->event->handle : NULL, status);
	if (status != CUDA_SUCCESS)
		genie_session_error(session, entry->ticket, 0, status);
	if (!group) {
		entry->fn(session, entry, status);
		return;
	}
	genie_completer_lock(session);
	if (status != CUDA_SUCCESS && group->status == CUDA_SUCCESS)
		group->status = status;
	if (--group->remaining > 0)
		group = NULL;
	genie_completer_unlock(session);
	if (group) {
		group->fn(session, &group->completion, group->status);
		free(group);
	}
}

/* ---- the completing thread ---- */

/* On the thread that looks after the queues: the completing or the issuing one. */
static CUresult
event_query(struct genie_completer *completer, const struct genie_event *event)
{
	const struct genie_driver *drv = completer->session->drv;

	if (completer->attended) {
		CUresult status = genie_ctx_switch(completer->session, event->ctx);

		if (status != CUDA_SUCCESS)
			return status;
	} else if (completer->current != event->ctx->handle) {
		CUresult status = drv->cuCtxSetCurrent(event->ctx->handle);

		if (status != CUDA_SUCCESS)
			return status;
		completer->current = event->ctx->handle;
	}
	return drv->cuEventQuery(event->handle);
}

static void
event_release_locked(struct genie_event *event)
{
	if (--event->pending == 0 && event->orphan) {
		event->next = event->ctx->spare;
		event->ctx->spare = event;
	}
}

/* Takes the first entry off the queue and lets it happen. The lock is released meanwhile; the entry
 * stays the first until it has happened, so that an entry added now cannot overtake it. */
static void
pop_locked(struct genie_completer *completer, struct genie_stream *stream, CUresult status)
{
	struct genie_completion *entry = stream->head;

	pthread_mutex_unlock(&completer->lock);
	happen(completer->session, entry, status);
	pthread_mutex_lock(&completer->lock);

	stream->head = entry->next;
	if (!stream->head)
		stream->tail = NULL;
	if (entry->event)
		event_release_locked(entry->event);
	completer->waited -= entry->waited;
	entry->next = completer->spare;
	completer->spare = entry;
}

/* All that is done at the head of one stream's queue. Returns whether anything was. */
static bool
stream_advance_locked(struct genie_completer *completer, struct genie_stream *stream)
{
	bool progress = false;

	while (stream->head) {
		struct genie_event *event = stream->head->event;
		const _Atomic uint32_t *flag = stream->head->flag;
		CUresult status = CUDA_SUCCESS;

		if (flag && !atomic_load_explicit(flag, memory_order_acquire))
			break;
		if (event) {
			pthread_mutex_unlock(&completer->lock);
			status = event_query(completer, event);
			pthread_mutex_lock(&completer->lock);
			if (status == CUDA_ERROR_NOT_READY)
				break;
		}
		pop_locked(completer, stream, status);
		progress = true;
	}
	return progress;
}

/* One look at every stream. Streams are only added at the front of the list and only removed here,
 * so the list may be walked although the lock is released in between. */
static bool
sweep_locked(struct genie_completer *completer)
{
	struct genie_stream **link = &completer->active;
	bool progress = false;

	while (*link) {
		struct genie_stream *stream = *link;

		progress |= stream_advance_locked(completer, stream);
		/* An addition at the front while the lock was released moves our link. */
		if (link == &completer->active)
			while (*link != stream)
				link = &(*link)->active_next;
		if (stream->head) {
			link = &stream->active_next;
			continue;
		}
		*link = stream->active_next;
		stream->active = false;
	}
	return progress;
}

static void
pause_unlocked(struct genie_completer *completer, bool urgent, int64_t idle_ns, long *sleep_ns)
{
	struct timespec ts = {0};

	if (!urgent && *sleep_ns < SLEEP_BUSY_NS)
		*sleep_ns = SLEEP_BUSY_NS;
	ts.tv_nsec = *sleep_ns;
	if (urgent && completer->spin && idle_ns < SPIN_NS) {
		__builtin_ia32_pause();
		return;
	}
	nanosleep(&ts, NULL);
	*sleep_ns = *sleep_ns * 5 / 4;
	if (*sleep_ns > SLEEP_MAX_NS)
		*sleep_ns = SLEEP_MAX_NS;
}

static void *
completer_main(void *data)
{
	struct genie_completer *completer = data;
	CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
	int64_t since = now_ns();
	long sleep_ns = SLEEP_MIN_NS;
	bool urgent;

	prctl(PR_SET_NAME, "completer");
	prctl(PR_SET_TIMERSLACK, 1); /* the default would make each short sleep 50 us longer */
	/* Else a capture that the issuing thread began would forbid this thread its queries. */
	completer->session->drv->cuThreadExchangeStreamCaptureMode(&mode);

	pthread_mutex_lock(&completer->lock);
	while (!completer->stop) {
		if (!completer->active || completer->attended) {
			completer->sleeping = true;
			pthread_cond_wait(&completer->work, &completer->lock);
			completer->sleeping = false;
			since = now_ns();
			sleep_ns = SLEEP_MIN_NS;
			continue;
		}
		if (sweep_locked(completer)) {
			pthread_cond_broadcast(&completer->done);
			since = now_ns();
			sleep_ns = SLEEP_MIN_NS;
			continue;
		}
		urgent = completer->waited > 0 ||
			 atomic_load_explicit(&completer->session->idle, memory_order_relaxed);
		pthread_mutex_unlock(&completer->lock);
		pause_unlocked(completer, urgent, now_ns() - since, &sleep_ns);
		pthread_mutex_lock(&completer->lock);
	}
	pthread_mutex_unlock(&completer->lock);
	return NULL;
}

/* ---- the issuing thread's side ---- */

/* Somebody has to look after the queues from now on. Whoever waits for the command in hand gets
 * this thread, which will not have much else to do; see genie_complete_attend(). */
static void
attention_locked(struct genie_completer *completer)
{
	if (!completer->sleeping || completer->attended)
		return;
	if (completer->waited && completer->session->attends) {
		completer->attended = true;
		completer->attended_since = now_ns();
		return;
	}
	pthread_cond_signal(&completer->work);
}

static void
hand_over_locked(struct genie_completer *completer)
{
	if (!completer->attended)
		return;
	completer->attended = false;
	if (completer->active)
		pthread_cond_signal(&completer->work);
}

void
genie_complete_hand_over(struct genie_session *session)
{
	struct genie_completer *completer = session->completer;

	/* Only this thread sets it, so it may look without the lock. */
	if (!completer->attended)
		return;
	pthread_mutex_lock(&completer->lock);
	hand_over_locked(completer);
	pthread_mutex_unlock(&completer->lock);
}

bool
genie_complete_attend(struct genie_session *session)
{
	struct genie_completer *completer = session->completer;
	bool more;

	if (!completer->attended)
		return false;
	pthread_mutex_lock(&completer->lock);
	sweep_locked(completer);
	if (!completer->active || now_ns() - completer->attended_since > SPIN_NS)
		hand_over_locked(completer);
	more = completer->attended;
	pthread_mutex_unlock(&completer->lock);
	return more;
}

static struct genie_completion *
entry_new_locked(struct genie_completer *completer)
{
	struct genie_completion *entry = completer->spare;

	if (entry)
		completer->spare = entry->next;
	else
		entry = malloc(sizeof(*entry));
	return entry;
}

/* Records an event in @stream, after everything that was issued to it. */
static CUresult
record(struct genie_session *session, struct genie_stream *stream, struct genie_event **ret_event)
{
	struct genie_event *event = NULL;
	CUresult status;

	status = genie_ctx_switch(session, stream->ctx);
	if (status != CUDA_SUCCESS)
		return status;
	status = genie_event_get(session, stream->ctx, CU_EVENT_DISABLE_TIMING, &event);
	if (status != CUDA_SUCCESS)
		return status;
	status = session->drv->cuEventRecord(event->handle, stream->handle);
	if (status != CUDA_SUCCESS) {
		genie_event_put(session, event);
		return status;
	}
	*ret_event = event;
	return CUDA_SUCCESS;
}

CUresult
genie_complete_add(struct genie_session *session, struct genie_stream *stream,
		   const struct genie_completion *completion)
{
	struct genie_completer *completer = session->completer;
	struct genie_event *event = completion->event;
	struct genie_completion *entry;
	struct genie_completion now;
	bool own = false;
	CUresult status;

	/* an event that is captured says nothing */
	if (genie_stream_capturing(session, stream))
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	if (!event && stream->dirty) {
		status = record(session, stream, &event);
		if (status != CUDA_SUCCESS)
			return status;
		own = true;
	}
	stream->dirty = false;

	pthread_mutex_lock(&completer->lock);
	if (!stream->head) {
		bool done = !event && !completion->flag;

		if (event && !completion->flag && completer->immediate) {
			pthread_mutex_unlock(&completer->lock);
			done = session->drv->cuEventQuery(event->handle) == CUDA_SUCCESS;
			pthread_mutex_lock(&completer->lock);
		}
		if (done) {
			pthread_mutex_unlock(&completer->lock);
			now = *completion;
			happen(session, &now, CUDA_SUCCESS);
			if (own)
				genie_event_put(session, event);
			return CUDA_SUCCESS;
		}
	}
	entry = entry_new_locked(completer);
	if (!entry) {
		pthread_mutex_unlock(&completer->lock);
		if (own)
			genie_event_put(session, event);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	*entry = *completion;
	entry->event = event;
	entry->next = NULL;
	entry->waited = session->cmd && (session->cmd->flags & (GENIE_CMD_REPLY | GENIE_CMD_WAIT));
	completer->waited += entry->waited;
	if (event) {
		event->pending++;
		event->orphan |= own;
	}
	if (stream->tail)
		stream->tail->next = entry;
	else
		stream->head = entry;
	stream->tail = entry;
	if (!stream->active) {
		stream->active = true;
		stream->active_next = completer->active;
		completer->active = stream;
	}
	attention_locked(completer);
	pthread_mutex_unlock(&completer->lock);
	return CUDA_SUCCESS;
}

/* Whether anything of @stream may still be under way. */
static bool
outstanding(struct genie_session *session, const struct genie_stream *stream)
{
	bool waiting;

	if (stream->dirty)
		return true;
	genie_completer_lock(session);
	waiting = stream->head != NULL;
	genie_completer_unlock(session);
	return waiting;
}

static CUresult
group_add(struct genie_session *session, struct genie_stream *stream, struct genie_group *group)
{
	const struct genie_completion member = {
		.group = group, .ticket = group->completion.ticket, .slot = GENIE_SLOTS_MAX};
	CUresult status;

	/* What a capture records does not run: nothing to wait for. */
	if (!outstanding(session, stream) || genie_stream_capturing(session, stream))
		return CUDA_SUCCESS;
	genie_completer_lock(session);
	group->remaining++;
	genie_completer_unlock(session);
	status = genie_complete_add(session, stream, &member);
	if (status == CUDA_SUCCESS)
		return CUDA_SUCCESS;
	genie_completer_lock(session);
	group->remaining--;
	genie_completer_unlock(session);
	return status;
}

/* Streams that were destroyed are still in the list while they have something under way. */
static CUresult
group_add_ctx(struct genie_session *session, struct genie_ctx *ctx, struct genie_group *group)
{
	CUresult result = group_add(session, &ctx->legacy, group);

	for (struct genie_stream *stream = ctx->streams; stream; stream = stream->next) {
		CUresult status = group_add(session, stream, group);

		if (result == CUDA_SUCCESS)
			result = status;
	}
	return result;
}

CUresult
genie_complete_all(struct genie_session *session, struct genie_ctx *ctx,
		   const struct genie_completion *completion)
{
	struct genie_group *group = malloc(sizeof(*group));
	struct genie_ctx *before = session->current;
	struct genie_completion last;
	CUresult result = CUDA_SUCCESS;

	if (!group)
		return CUDA_ERROR_OUT_OF_MEMORY;
	/* One more than there are members, so that it cannot be complete before all are added. */
	*group = (struct genie_group){.fn = completion->fn,
				      .completion = *completion,
				      .remaining = 1,
				      .status = CUDA_SUCCESS};
	if (ctx)
		result = group_add_ctx(session, ctx, group);
	for (unsigned int i = 0; (!ctx || (ctx->primary && session->greens)) && i < GENIE_SLOT_CTXS;
	     i++) {
		struct genie_ctx *other = session->ctxs[i];
		CUresult status = CUDA_SUCCESS;

		/* What green contexts do, the primary context of their device does. */
		if (other && (!ctx || (other->green && other->device == ctx->device)))
			status = group_add_ctx(session, other, group);
		if (result == CUDA_SUCCESS)
			result = status;
	}
	if (before)
		genie_ctx_switch(session, before);
	last = (struct genie_completion){.group = group, .ticket = completion->ticket};
	happen(session, &last, result);
	return CUDA_SUCCESS;
}

struct drain {
	bool done; /* guarded by the completer's lock */
};

static void
drain_happen(struct genie_session *session, const struct genie_completion *completion,
	     CUresult status)
{
	struct drain *drain = completion->ptr;

	(void)status;
	genie_completer_lock(session);
	drain->done = true;
	genie_completer_unlock(session);
}

static bool
drain_done(void *data)
{
	struct drain *drain = data;

	return drain->done;
}

void
genie_complete_drain(struct genie_session *session, struct genie_ctx *ctx)
{
	struct drain drain = {0};
	const struct genie_completion completion = {
		.fn = drain_happen, .ptr = &drain, .slot = GENIE_SLOTS_MAX};

	if (genie_complete_all(session, ctx, &completion) == CUDA_SUCCESS)
		genie_complete_wait(session, drain_done, &drain);
}

void
genie_complete_wait(struct genie_session *session, bool (*done)(void *data), void *data)
{
	struct genie_completer *completer = session->completer;

	pthread_mutex_lock(&completer->lock);
	hand_over_locked(completer);
	while (!done(data))
		pthread_cond_wait(&completer->done, &completer->lock);
	pthread_mutex_unlock(&completer->lock);
}

int
genie_completer_start(struct genie_session *session)
{
	struct genie_completer *completer = calloc(1, sizeof(*completer));
	int error;

	if (!completer)
		return -ENOMEM;
	completer->session = session;
	completer->immediate = session->backend->kind != GENIE_DEVICE_CUDA;
	completer->spin = sysconf(_SC_NPROCESSORS_ONLN) > 2;
	pthread_mutex_init(&completer->lock, NULL);
	pthread_cond_init(&completer->work, NULL);
	pthread_cond_init(&completer->done, NULL);
	session->completer = completer;
	error = pthread_create(&completer->thread, NULL, completer_main, completer);
	if (error) {
		session->completer = NULL;
		free(completer);
		return -error;
	}
	return 0;
}

void
genie_completer_stop(struct genie_session *session)
{
	struct genie_completer *completer = session->completer;
	struct genie_stream *stream;

	if (!completer)
		return;
	pthread_mutex_lock(&completer->lock);
	completer->stop = true;
	pthread_cond_signal(&completer->work);
	pthread_mutex_unlock(&completer->lock);
	pthread_join(completer->thread, NULL);

	/* What is still pending will never be told: the client is gone. */
	while ((stream = completer->active)) {
		completer->active = stream->active_next;
		stream->active = false;
		while (stream->head) {
			struct genie_completion *entry = stream->head;

			stream->head = entry->next;
			if (entry->event)
				event_release_locked(entry->event);
			if (entry->group && --entry->group->remaining == 0)
				free(entry->group);
			free(entry);
		}
		stream->tail = NULL;
	}
	while (completer->spare) {
		struct genie_completion *entry = completer->spare;

		completer->spare = entry->next;
		free(entry);
	}
	pthread_cond_destroy(&completer->work);
	pthread_cond_destroy(&completer->done);
	pthread_mutex_destroy(&completer->lock);
	free(completer);
	session->completer = NULL;
}
