/*
 * Sockets: moving whole structs within a time limit, passing descriptors, options.
 * All of these take non-blocking or blocking sockets alike; SIGPIPE is never raised.
 */
#ifndef GENIE_TRANSPORT_NET_H
#define GENIE_TRANSPORT_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* A moment on the monotonic clock. */
uint64_t genie_net_deadline(int timeout_ms);

/* Exactly @len bytes by @deadline. 0, -ETIMEDOUT, -ECONNRESET at the end of the stream, or another
 * negative errno. */
int genie_net_read(int fd, void *buf, size_t len, uint64_t deadline);
int genie_net_write(int fd, const void *buf, size_t len, uint64_t deadline);

/* The same over a unix socket, with descriptors: sent with the first byte. Received ones are
 * close-on-exec; missing ones are -1, more than @max are closed. */
int genie_net_write_fds(int fd, const void *buf, size_t len, const int *fds, unsigned count,
			uint64_t deadline);
int genie_net_read_fds(int fd, void *buf, size_t len, int *fds, unsigned max, uint64_t deadline);

/* One attempt, never waits: bytes moved, 0 = would wait, negative errno (-ECONNRESET: the end). */
ssize_t genie_net_recv(int fd, void *buf, size_t len);
ssize_t genie_net_send(int fd, const void *buf, size_t len);

/* Sends as much of @iov as goes without waiting, and shortens it and *left (the sum of what is in
 * @iov) by that. 0 or negative errno. */
int genie_net_send_parts(int fd, struct iovec *iov, unsigned count, size_t *left);

/* No delay, keepalive, bounded retransmission: a vanished peer is noticed. */
void genie_net_tune_tcp(int fd);
int genie_net_set_nonblocking(int fd);

/* Closes *@fd unless it is -1, and makes it -1. */
void genie_net_close(int *fd);

#endif
