/*
 * The completing thread: tells the client what the device has finished.
 *
 * Each stream has a queue of completions. An entry names an event that was recorded in the stream;
 * once the device has passed it, what the entry stands for happens: progress is published, a reply
 * sent, staging memory given back, memory unmapped. Entries of one stream happen in order.
 */
#ifndef GENIE_REMOTE_COMPLETE_H
#define GENIE_REMOTE_COMPLETE_H

#include "remote/session.h"

struct genie_completion;

/* What happens; on the completing thread, or at once on the issuing one when the device is already
 * there. Runs without the completer's lock. @status is CUDA_SUCCESS or why the stream failed. */
typedef void (*genie_completion_fn)(struct genie_session *session,
				    const struct genie_completion *completion, CUresult status);

struct genie_completion {
	struct genie_completion *next;
	struct genie_event *event;    /* NULL: done as soon as it is the first of its queue */
	const _Atomic uint32_t *flag; /* besides: not done before it is 1 */
	genie_completion_fn fn;
	struct genie_group *group; /* instead of fn: one of several, see below */
	bool waited;               /* somebody waits for it; set by genie_complete_add() */
	uint64_t ticket;
	uint32_t slot; /* to publish the ticket in; GENIE_SLOTS_MAX = none */
	uint32_t lane; /* of a reply */
	uint64_t ref;  /* of bulk data */
	void *ptr;
	size_t len;
};

/* Something that waits for several streams. Made by genie_complete_all(). */
struct genie_group {
	genie_completion_fn fn;
	struct genie_completion completion; /* what fn is told */
	uint32_t remaining;                 /* guarded by the completer's lock */
	CUresult status;                    /* the first failure; same lock */
};

int genie_completer_start(struct genie_session *session);
void genie_completer_stop(struct genie_session *session);
void genie_completer_lock(struct genie_session *session);
void genie_completer_unlock(struct genie_session *session);

/*
 * Adds *@completion (copied) to @stream's queue. Its event must have been recorded already; with
 * none, one is recorded here if work was issued since the last entry. Not for a stream that is
 * being captured.
 */
CUresult genie_complete_add(struct genie_session *session, struct genie_stream *stream,
			    const struct genie_completion *completion);

/*
 * Calls completion->fn once everything issued before in all streams of @ctx (NULL: of all
 * contexts) is done; at once when nothing is under way.
 */
CUresult genie_complete_all(struct genie_session *session, struct genie_ctx *ctx,
			    const struct genie_completion *completion);

/*
 * The issuing thread has no command. If somebody waits for what the device is doing, this thread
 * looks after it for a moment, instead of waking the other one: most waits are that short. True:
 * look for a command (without waiting), and call again. False: nothing to look after.
 */
bool genie_complete_attend(struct genie_session *session);
/* A command has come: what this thread looked after is the completing thread's now. */
void genie_complete_hand_over(struct genie_session *session);

/* Waits until nothing is pending in @ctx (NULL: at all). For the few places where the issuing
 * thread cannot go on: a context ends, memory ran out. */
void genie_complete_drain(struct genie_session *session, struct genie_ctx *ctx);

/* Waits until @done(data) is true; it is asked with the completer's lock held, after each batch of
 * completions. */
void genie_complete_wait(struct genie_session *session, bool (*done)(void *data), void *data);

/* The last entry of a genie_completion_fn that did something: publishes progress. */
void genie_complete_publish(struct genie_session *session,
			    const struct genie_completion *completion, CUresult status);

#endif
