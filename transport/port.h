/*
 * A port: the worker's end of a session, the mirror of transport/chan.h. One vtable, one
 * implementation per transport (shm_port.c, tcp_port.c).
 *
 * Everything the peer wrote is hostile, shared memory too: a command is copied out of the ring
 * before it is looked at, refs and lengths are checked here, and a violation ends the session
 * with one line that says what was wrong.
 *
 * Threads: genie_port_next is for the issuing thread alone; reply, progress, error, host_func,
 * output and the bulk calls may come from the issuing and the completing thread.
 */
#ifndef GENIE_TRANSPORT_PORT_H
#define GENIE_TRANSPORT_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/proto.h"

struct genie_port;

/* ---- listening and the handshake: used by the supervisor ---- */

struct genie_listener {
	int fd;
	bool is_shm;
	char path[108];    /* shm: unlinked at close */
	char address[128]; /* for the log: "tcp://127.0.0.1:14833" with the real port */
};

/* @spec: "tcp://HOST:PORT" (port 0 = any) or "shm:PATH". @have_token: without one, only loopback
 * addresses are accepted. One line in @err on failure. */
int genie_listener_open(const char *spec, bool have_token, struct genie_listener *ret_listener,
			char *err, size_t err_size);
void genie_listener_close(struct genie_listener *listener);

/*
 * Sends the preamble and reads HELLO from a fresh connection, checks magic, version, struct
 * sizes, limits and the token's MAC in constant time. Bounded by @timeout_ms against slow peers.
 * On a refusal it has sent WELCOME with the status and reason. 0 or negative errno.
 */
int genie_port_greet(int fd, const char *token, uint32_t api_hash, int timeout_ms,
		     struct genie_hello *ret_hello, char *err, size_t err_size);

/* Refuses after a good HELLO (quota, no device…): sends WELCOME with @status and @reason. */
void genie_port_refuse(int fd, enum genie_welcome_status status, const char *reason);

/* Answers GENIE_HELLO_QUERY: sends WELCOME and the device blocks; the caller closes. */
int genie_port_answer(int fd, const struct genie_welcome *welcome,
		      const struct genie_device_info *devices);

/* ---- one session: used by the worker ---- */

struct genie_port_opts {
	int fd; /* the connection; owned by the port from here */
	bool is_shm;
	struct genie_welcome welcome; /* filled by the worker; session_id too */
	const struct genie_device_info *devices;
};

/*
 * Sends WELCOME and the device blocks, makes rings, staging and windows (the pinned window is
 * mapped at welcome.pinned_window in this process; sealed memfd for shm, so a client cannot
 * truncate it under us). For TCP the bulk connection arrives later through genie_port_join.
 */
int genie_port_open(const struct genie_port_opts *opts, struct genie_port **ret_port, char *err,
		    size_t err_size);
int genie_port_join(struct genie_port *port, int bulk_fd);
void genie_port_close(struct genie_port *port);

/*
 * The next command in ticket order, whole and copied to private memory (valid until the next
 * call); its len, lane and ticket are checked. Waits; spins first. Returns 0, -EAGAIN after
 * @timeout_ms without a command (so that the caller can do other work), -ECONNRESET when the
 * client is gone, -EPROTO when it broke the protocol (reason logged).
 */
int genie_port_next(struct genie_port *port, int timeout_ms, const struct genie_cmd **ret_cmd);

/* Answers @cmd. @len at most GENIE_REPLY_MAX. */
int genie_port_reply(struct genie_port *port, uint32_t lane, uint64_t ticket, int32_t status,
		     const void *payload, size_t len);

/* Publishes progress; wakes a waiting client. Monotonic: a smaller ticket than before is ignored.
 */
void genie_port_progress(struct genie_port *port, uint32_t slot, uint64_t ticket);

/* Publishes the first asynchronous error (later ones are dropped, except that a sticky one
 * replaces one that is not). */
void genie_port_error(struct genie_port *port, const struct genie_async_error *error);

/*
 * Asks the client to run host function @id; @done is called when it has, or when the client is
 * gone. Once, on a thread of the port that does nothing but receive: @done may not wait.
 *
 * So the answer never waits behind a command: whatever the issuing and the completing thread wait
 * for (memory that a stream still uses, a graph that runs on the issuing thread), a host function
 * in front of it ends. A transport keeps this by receiving answers where nothing waits for the
 * device: over shared memory the watcher of the socket, over TCP the receiver of bulk data, which
 * only ever gets data for slots that are free.
 */
int genie_port_host_func(struct genie_port *port, uint64_t id, void (*done)(void *data),
			 void *data);

/* Over a network: what is at an address of the pinned window goes to the client, before the host
 * functions that it is asked for from now on. Shared memory: nothing to do. 0 or negative errno. */
int genie_port_host_data(struct genie_port *port, uint64_t addr, size_t len);

/* Sends text the device printed, or (@is_error) what the driver says of a kernel that failed. */
void genie_port_output(struct genie_port *port, const char *text, size_t len, bool is_error);

/*
 * Bulk data of one command. in: @ptr is where the @len bytes of @ref are (waits for them); call
 * in_done with the command's ticket when the device has read them. out: a buffer for @len bytes of
 * @ref (may wait for staging to become free); call out_ready with the command's ticket when the
 * device has written it. Buffers belong to the port, lie in memory returned by genie_port_staging,
 * and may wrap nowhere. Every in needs its in_done and every out its out_ready, also when the
 * command failed: the slot is not used again before, and the client waits for the data.
 */
int genie_port_bulk_in(struct genie_port *port, uint64_t ref, size_t len, void **ret_ptr);
void genie_port_bulk_in_done(struct genie_port *port, uint64_t ref, size_t len, uint64_t ticket);
int genie_port_bulk_out(struct genie_port *port, uint64_t ref, size_t len, void **ret_ptr);
void genie_port_bulk_out_ready(struct genie_port *port, uint64_t ref, size_t len, void *ptr,
			       uint64_t ticket);

/* All staging memory, so that the device can register (pin) it once. */
void genie_port_staging(const struct genie_port *port, void **ret_base, size_t *ret_size);

/* The pinned window as mapped here. */
/* Is it shared memory: the client is on this machine, and nothing is sent? */
bool genie_port_shared(const struct genie_port *port);
void *genie_port_pinned_base(const struct genie_port *port);
size_t genie_port_pinned_size(const struct genie_port *port);

#endif
