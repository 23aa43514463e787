/*
 * The handshake: PREAMBLE from the server, HELLO from the client, WELCOME and the device blocks
 * from the server. Nothing else is sent or believed before. The server's half is greet.c.
 */
#ifndef GENIE_TRANSPORT_HELLO_H
#define GENIE_TRANSPORT_HELLO_H

#include <stddef.h>
#include <stdint.h>

#include "transport/chan.h"
#include "transport/window.h"

/* What both sides must agree on before they share structs: changes with every size. */
uint32_t genie_hello_struct_sizes(void);

/* HMAC-SHA-256 of the preamble's nonce, keyed with the token. */
void genie_hello_mac(const char *token, const uint8_t nonce[32], uint8_t ret_mac[32]);

#define GENIE_ANSWER_TIMES 6

struct genie_hello_request {
	const struct genie_chan_opts *opts;
	enum genie_hello_kind kind;
	const uint8_t *join_id;                     /* GENIE_HELLO_BULK */
	const struct genie_window *device, *pinned; /* GENIE_HELLO_SESSION */
};

/*
 * The client's half. @timeout_ms is for being greeted. Then it is known that a server is there, and
 * it may take GENIE_ANSWER_TIMES as long: it starts a worker, which opens the device, perhaps after
 * those of many other clients that came at the same moment. For a session or a query *ret_devices
 * is what the caller frees. Descriptors that came with WELCOME (shm) are in @fds, -1 for those that
 * did not. 0, or negative errno and one line in @err; after -EACCES and -EPROTO the server gave its
 * reason.
 */
int genie_hello_exchange(int fd, const struct genie_hello_request *request, int timeout_ms,
			 struct genie_welcome *ret_welcome, struct genie_device_info **ret_devices,
			 int *fds, unsigned fd_max, char *err, size_t err_size);

#endif
