/*
 * The inside of a port: what port.c and the two transports share.
 */
#ifndef GENIE_TRANSPORT_PORT_IMPL_H
#define GENIE_TRANSPORT_PORT_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/frame.h"
#include "transport/port.h"

#define GENIE_STAGING_SIZE ((size_t)(GENIE_BULK_UP + GENIE_BULK_DOWN) * GENIE_BULK_CHUNK)

enum genie_port_dir {
	GENIE_PORT_IN,
	GENIE_PORT_OUT,
};

struct genie_port_ops {
	size_t size; /* of the transport's struct, which begins with struct genie_port */
	/* Sends WELCOME; undone by close, after a failure, too. */
	int (*open)(struct genie_port *port, const struct genie_port_opts *opts, char *err,
		    size_t err_size);
	void (*close)(struct genie_port *port);
	int (*next)(struct genie_port *port, int timeout_ms, const struct genie_cmd **ret_cmd);
	int (*reply)(struct genie_port *port, const struct genie_reply *reply, uint32_t lane,
		     const void *payload);
	void (*progress)(struct genie_port *port, uint32_t slot, uint64_t ticket);
	/* One frame to the client; errors come here, too. GENIE_FRAME_HOST_DATA: @payload is in
	 * the pinned window, and its address goes along. */
	int (*send)(struct genie_port *port, enum genie_frame_type type, const void *payload,
		    size_t len);
	/* A staging slot: in waits for the data, out for the slot to be free. */
	int (*bulk_begin)(struct genie_port *port, enum genie_port_dir dir, unsigned slot,
			  size_t len);
	void (*bulk_end)(struct genie_port *port, enum genie_port_dir dir, unsigned slot,
			 size_t len, uint64_t ticket);
};

struct genie_port_host_call {
	struct genie_port_host_call *next;
	uint64_t id;
	void (*done)(void *data);
	void *data;
};

struct genie_port {
	const struct genie_port_ops *ops;
	int fd;
	_Atomic int dead; /* 0, or the negative errno that genie_port_next returns from now on */
	uint8_t *staging; /* GENIE_BULK_UP slots, then GENIE_BULK_DOWN slots */
	uint64_t pinned_base, pinned_size;
	pthread_mutex_t host_lock; /* guards the list */
	struct genie_port_host_call *host_calls;
};

extern const struct genie_port_ops genie_shm_port_ops;
extern const struct genie_port_ops genie_tcp_port_ops;

/* The session is over: logs @why once (NULL: the client went, which is no news) and tells who
 * waits for host functions. Any thread. Returns the error that came first. */
int genie_port_die(struct genie_port *port, int error, const char *why);

static inline int
genie_port_is_dead(const struct genie_port *port)
{
	return atomic_load_explicit(&port->dead, memory_order_seq_cst);
}

/* Does a range lie in the pinned window? */
bool genie_port_in_pinned(const struct genie_port *port, uint64_t addr, size_t len);

/* The client says that host function @id has run. 0 or -EPROTO. */
int genie_port_host_done(struct genie_port *port, uint64_t id);

int genie_port_send_welcome(int fd, const struct genie_welcome *welcome,
			    const struct genie_device_info *devices, const int *fds,
			    unsigned fd_count);

/* The address of a staging slot. */
static inline void *
genie_port_slot(const struct genie_port *port, enum genie_port_dir dir, unsigned slot)
{
	return port->staging +
	       (size_t)(dir == GENIE_PORT_IN ? slot : GENIE_BULK_UP + slot) * GENIE_BULK_CHUNK;
}

#endif
