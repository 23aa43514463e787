/*
 * The supervisor: accepts connections, has them greeted, hands each session to a worker process of
 * its own, and outlives them all. It never touches the device, and nothing a client does makes it
 * wait: the handshake runs in a short-lived greeter process with a deadline.
 */
#ifndef GENIE_REMOTE_SUPERVISOR_H
#define GENIE_REMOTE_SUPERVISOR_H

#include <stddef.h>

#define GENIE_LISTEN_MAX 16

struct genie_supervisor_opts {
	const char *device; /* "auto", "cuda", "cpu", "record" */
	const char *listen[GENIE_LISTEN_MAX];
	size_t listen_count;
	char *token; /* NULL: none; wiped in workers */
	int max_clients;
	int warm;     /* workers kept ready; -1 = as the device needs */
	int ready_fd; /* -1: none */
};

/* Runs until SIGTERM or SIGINT. The exit status of the program. */
int genie_supervisor_run(const struct genie_supervisor_opts *opts);

#endif
