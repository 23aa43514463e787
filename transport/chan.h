/*
 * A channel: the client's end of a session. One vtable, one implementation per transport (shm.c,
 * tcp.c); everything that does not depend on the transport (lanes, tickets, replies, progress,
 * waiting) is in chan.c and lane.c, once.
 *
 * The command ring is the interface (design.md, 3): a caller encodes into the ring of its own
 * lane and publishes; a transport is a pump that drains rings. Shared memory has no pump: the
 * worker reads the rings. TCP has a sender that takes commands of all lanes in ticket order.
 *
 * Threads: every function may be called from any thread unless its comment says otherwise. No
 * function here logs to stdout, raises signals or changes errno that the caller can see after the
 * entry stub restored it. After the peer is gone (genie_chan_dead) every function returns at once
 * with -ECONNRESET; nothing waits longer than a second for a peer that does not exist any more.
 */
#ifndef GENIE_TRANSPORT_CHAN_H
#define GENIE_TRANSPORT_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/proto.h"

struct genie_chan;
struct genie_lane;

/* What the channel calls when the worker asks for something. Called on the channel's own service
 * thread, never on a program thread; may take as long as it likes, may not call CUDA. */
struct genie_chan_events {
	/* Run host function @id (cuLaunchHostFunc); the channel answers the worker afterwards. */
	void (*host_func)(void *data, uint64_t id);
	/* Text the device printed (printf), or what the driver had to say of a kernel that ended
	 * (assert): @is_error, for standard error. Not NUL-terminated. NULL: @len bytes were lost;
	 * that is said on whichever thread noticed it. */
	void (*output)(void *data, const char *text, size_t len, bool is_error);
	void *data;
};

struct genie_chan_opts {
	const char *server; /* "tcp://HOST:PORT", "shm:PATH", "HOST[:PORT]" */
	const char *token;  /* NULL: none */
	enum genie_hello_kind kind;
	uint32_t api_hash;
	int timeout_ms;   /* for connecting, and for being greeted; 0 = 10 s */
	int copy_threads; /* see genie_crew_init() */
	struct genie_chan_events events;
};

struct genie_chan_stats {
	uint64_t bytes_sent, bytes_received; /* commands, replies and bulk, headers included */
	uint64_t batches;                    /* TCP: sends; shm: times the worker was woken */
};

/*
 * Connects, authenticates, negotiates windows and maps what is shared. On failure returns a
 * negative errno and writes one line for the user into @err (which names the cause: no such
 * host, refused, wrong token, version, no device…).
 */
int genie_chan_connect(const struct genie_chan_opts *opts, struct genie_chan **ret_chan, char *err,
		       size_t err_size);

/* Sends what is queued, says goodbye, frees everything. NULL is fine. Not from the service thread.
 */
void genie_chan_close(struct genie_chan *chan);

/* In the child after fork: closes descriptors, unmaps, never talks to the peer. Async-signal-safe.
 */
void genie_chan_forget(struct genie_chan *chan);

const struct genie_welcome *genie_chan_welcome(const struct genie_chan *chan);
const struct genie_device_info *genie_chan_devices(const struct genie_chan *chan);
const char *genie_chan_transport(const struct genie_chan *chan); /* "shm", "tcp" */
void genie_chan_stats(const struct genie_chan *chan, struct genie_chan_stats *ret_stats);

/* The peer is gone. One relaxed load; called by every entry stub. */
bool genie_chan_dead(const struct genie_chan *chan);

/* The worker broke the protocol in what only the caller can see: the session ends, @why is said. */
void genie_chan_fail(struct genie_chan *chan, const char *why);

/* The first asynchronous error, or ticket 0. One acquire load when there is none. */
struct genie_async_error genie_chan_error(const struct genie_chan *chan);
/* Forgets a non-sticky error once it was reported. */
void genie_chan_error_clear(struct genie_chan *chan, uint64_t ticket);

/* ---- lanes: submitting ---- */

/*
 * The lane of the calling thread; give it back with genie_lane_put when the thread ends (any
 * commands in it keep their order). With more threads than lanes, lanes are shared under a lock.
 * NULL when the channel is dead.
 */
struct genie_lane *genie_lane_get(struct genie_chan *chan);
void genie_lane_put(struct genie_lane *lane);

/*
 * Space for one command of @len bytes (header included, a multiple of 8, at most GENIE_CMD_MAX) in
 * the ring. Waits while the ring is full. NULL when the peer is gone. Between begin and commit the
 * caller only encodes: it takes no lock and begins nothing else.
 */
void *genie_lane_begin(struct genie_lane *lane, size_t len);

/*
 * Gives the command its ticket (from one process-wide counter: what one call committed before
 * another began has the smaller ticket) and publishes it. Fills in the header at @cmd (the
 * pointer from begin). @len may be smaller than at begin. No system call unless the consumer
 * sleeps. Returns the ticket.
 */
uint64_t genie_lane_commit(struct genie_lane *lane, void *cmd, uint16_t op, uint16_t flags,
			   uint32_t ctx, size_t len);

/*
 * Waits for the answer to @ticket (committed on this lane with GENIE_CMD_REPLY). Copies at most
 * @max payload bytes to @buf; *ret_len is what the answer had. Returns 0 or negative errno; the
 * call's own status in *ret_status.
 */
int genie_lane_wait_reply(struct genie_lane *lane, uint64_t ticket, int32_t *ret_status, void *buf,
			  size_t max, size_t *ret_len);

/* The ticket last given out: "everything submitted so far". */
uint64_t genie_chan_last_ticket(const struct genie_chan *chan);

/* ---- progress: what is done ---- */

/* The ticket slot @slot has reached. An acquire load: data the worker wrote before is visible. */
uint64_t genie_chan_progress(const struct genie_chan *chan, uint32_t slot);

/* Waits until slot @slot reached @ticket, an asynchronous sticky error, or the peer's death.
 * 0, or negative errno. */
int genie_chan_wait(struct genie_chan *chan, uint32_t slot, uint64_t ticket);

/* ---- bulk: data that does not pass through the ring ---- */

/*
 * Sends @len bytes (at most GENIE_BULK_CHUNK) from @src, which may be changed afterwards; *ret_ref
 * goes into the command that uses them (genieMemcpyHtoDBulk). After that command's commit, call
 * genie_chan_bulk_sent(chan, ref, ticket). Any number of threads at a time, in any order.
 */
int genie_chan_bulk_send(struct genie_chan *chan, const void *src, size_t len, uint64_t *ret_ref);
void genie_chan_bulk_sent(struct genie_chan *chan, uint64_t ref, uint64_t ticket);

/*
 * Prepares to receive @len bytes (at most GENIE_BULK_CHUNK) into @dst; *ret_ref goes into the
 * command (genieMemcpyDtoHBulk). Waits for a free slot. Then genie_chan_bulk_wait waits for the
 * data of that command to be in @dst and ends the transfer. TCP receives directly into @dst, and
 * progress of later tickets is only visible once the data is there, so an asynchronous copy to
 * pinned memory need not be waited for: call genie_chan_bulk_detach instead.
 */
int genie_chan_bulk_expect(struct genie_chan *chan, void *dst, size_t len, uint64_t *ret_ref);
int genie_chan_bulk_wait(struct genie_chan *chan, uint64_t ref, uint64_t ticket);
void genie_chan_bulk_detach(struct genie_chan *chan, uint64_t ref);
/* The command was not sent: nothing writes to @dst any more. */
void genie_chan_bulk_cancel(struct genie_chan *chan, uint64_t ref);

/* The pinned window on this side: mapped at its address (PROT_READ|WRITE, no memory behind what
 * was never touched). With GENIE_WELCOME_F_SHARED_PINNED the worker sees the same bytes. */
void *genie_chan_pinned_base(const struct genie_chan *chan);
/* The file that is mapped there, from its beginning, or -1. */
int genie_chan_pinned_fd(const struct genie_chan *chan);
/* On the service thread, in a host function: what is in a range of the pinned window is seen by the
 * worker when it hears that the function has run. 0 or negative errno. */
int genie_chan_host_data(struct genie_chan *chan, const void *addr, size_t len);
/* Gives the pages of a range back to the system (the range reads as zeros afterwards). */
int genie_chan_pinned_discard(struct genie_chan *chan, void *addr, size_t len);

#endif
