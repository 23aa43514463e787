/*
 * Where a server is: "tcp://HOST:PORT", "shm:PATH", or "HOST[:PORT]" for the best both ends have.
 */
#ifndef GENIE_TRANSPORT_ADDRESS_H
#define GENIE_TRANSPORT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define GENIE_DEFAULT_PORT "14833"

struct addrinfo;

struct genie_address {
	bool is_shm;
	char host[256];
	char port[8];
	char path[108]; /* of the unix socket; for a bare HOST: the one to try first, or "" */
};

/* Understands @spec; a bare HOST is only resolved by genie_address_connect. @listening: only the
 * two full forms. 0, or -EINVAL and one line in @err. */
int genie_address_parse(const char *spec, bool listening, struct genie_address *ret_address,
			char *err, size_t err_size);

/* The unix socket on which a server of this user listens unless told otherwise. */
void genie_address_default_path(char *path, size_t size);

/* A connected non-blocking socket with the options we want. The address becomes what was chosen
 * (a second call connects to the same server). 0 or negative errno, one line in @err. */
int genie_address_connect(struct genie_address *address, int timeout_ms, int *ret_fd, char *err,
			  size_t err_size);

/* True for 127.0.0.0/8, ::1 and the like. */
bool genie_address_is_loopback(const struct sockaddr *sa);
/* "tcp://127.0.0.1:14833" */
void genie_address_print(const struct sockaddr *sa, socklen_t len, char *buf, size_t size);

#endif
