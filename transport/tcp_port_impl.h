/* TCP, the worker's end: what tcp_port.c and tcp_port_bulk.c share. */
#ifndef GENIE_TRANSPORT_TCP_PORT_IMPL_H
#define GENIE_TRANSPORT_TCP_PORT_IMPL_H

#include "transport/port_impl.h"
#include "transport/relax.h"

/* A staging slot to the worker. */
enum tcp_up_state {
	TCP_UP_FREE,
	TCP_UP_ARRIVING,
	TCP_UP_FILLED,
};

struct tcp_up {
	_Atomic int state; /* enum tcp_up_state */
	uint32_t len;
};

/* A staging slot to the client. */
struct tcp_down {
	_Atomic bool busy; /* from bulk_begin until its bytes are in the socket */
	struct genie_bulk_frame head;
};

struct tcp_port {
	struct genie_port port;

	/* The issuing thread's. */
	uint8_t *rx;
	size_t rx_start, rx_end;
	uint32_t taken; /* length of the command that genie_port_next returned */
	uint64_t next;  /* ticket */
	struct genie_spin spin;
	char why[96];

	pthread_mutex_t tx_lock; /* frames go out whole */

	/* Bulk. */
	uint32_t api_hash;   /* for the answer to the client's second connection */
	_Atomic bool joined; /* what follows is there */
	int bulk_fd;         /* -1 until the client's second connection came */
	pthread_t receiver, sender;
	bool receiver_runs, sender_runs;
	struct tcp_up up[GENIE_BULK_UP];
	_Atomic bool up_ended;     /* no slot will be filled any more */
	struct genie_bell up_bell; /* a slot was filled */
	struct tcp_down down[GENIE_BULK_DOWN];
	struct genie_bell down_bell; /* a slot is free again */
	pthread_mutex_t queue_lock;  /* guards the queue: slots to send, in this order */
	uint8_t queue[GENIE_BULK_DOWN];
	unsigned queue_first, queue_count;
	struct genie_bell queue_bell; /* the sender sleeps here */
	_Atomic uint64_t down_bytes;  /* queued since the beginning */
	struct genie_spin up_spin, down_spin, queue_spin;
};

static inline struct tcp_port *
tcp_port_of(struct genie_port *port)
{
	return (struct tcp_port *)port;
}

void tcp_port_bulk_init(struct tcp_port *tcp);
void tcp_port_bulk_fini(struct tcp_port *tcp);
int tcp_port_bulk_begin(struct genie_port *port, enum genie_port_dir dir, unsigned slot,
			size_t len);
void tcp_port_bulk_end(struct genie_port *port, enum genie_port_dir dir, unsigned slot, size_t len,
		       uint64_t ticket);

#endif
