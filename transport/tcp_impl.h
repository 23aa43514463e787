/*
 * TCP, the client's end: what tcp.c (roles, threads), tcp_send.c and tcp_receive.c share.
 *
 * Two roles, each held by one thread at a time, taken with an atomic exchange and never waited for:
 *
 *   sender    drains the rings into the socket. A thread that waits for an answer sends by
 *             itself; when nobody waits, the pump thread does it.
 *   receiver  reads both sockets and writes into the area what a worker over shared memory would
 *             have written. A thread that waits takes the role if it is free ("leads") and gives it
 *             on when it has what it waits for; others sleep where they would over shared memory.
 *             When nobody waits, the service thread receives.
 *
 * Why so: one thread hop costs more than a round trip on the wire.
 */
#ifndef GENIE_TRANSPORT_TCP_IMPL_H
#define GENIE_TRANSPORT_TCP_IMPL_H

#include "transport/chan_impl.h"
#include "transport/drain.h"
#include "transport/frame.h"

#define TCP_TX_SIZE (256u << 10)
#define TCP_HELD    512u

/* Indices into chan.fds. */
enum {
	TCP_FD_COMMAND,
	TCP_FD_BULK,
	TCP_FD_KICK, /* an eventfd that ends the service thread's poll */
};

/* The bulk frame that is arriving now. */
struct tcp_bulk_in {
	struct genie_bulk_frame head;
	size_t head_have; /* bytes of head; complete: the payload is next */
	size_t got;       /* bytes of the payload */
	uint8_t *scratch; /* for payload that nobody wants any more */
};

/* A thread that waits while another one receives. */
struct tcp_waiter {
	struct genie_bell *bell;
	struct tcp_waiter *next;
};

struct tcp_chan {
	struct genie_chan chan;

	/* The sender's; held by who set tx_busy. */
	_Alignas(GENIE_AREA_LINE) _Atomic bool tx_busy;
	_Atomic bool tx_blocked; /* the socket is full: the pump waits for it */
	struct genie_drain drain;
	uint8_t *tx;
	size_t tx_start, tx_end;

	/* The receiver's; held by who set rx_busy. */
	_Alignas(GENIE_AREA_LINE) _Atomic bool rx_busy;
	struct genie_frames frames;
	struct tcp_bulk_in bulk_in;
	uint64_t bulk_received;               /* payload bytes since the beginning */
	struct genie_progress held[TCP_HELD]; /* a queue: waits for bulk bytes */
	unsigned held_first, held_count;
	unsigned passes;
	_Atomic int bulk_slot; /* slot whose destination is being written to, -1: none */

	/* Who waits, and who receives when nobody does. */
	pthread_mutex_t wait_lock; /* guards the list */
	struct tcp_waiter *waiters;
	_Atomic unsigned waiter_count;
	_Atomic unsigned leads;      /* times the receiver's role was taken by a waiting thread */
	_Atomic bool service_polls;  /* the service thread is in poll(), or about to be */
	struct genie_bell rest_bell; /* it sleeps here while somebody else leads */
	_Atomic uint64_t polled_ns;  /* last time a query received */

	pthread_mutex_t bulk_lock; /* bulk frames go out whole */
	pthread_t pump, service;
	bool pump_runs, service_runs;
	_Atomic bool stop;
	struct genie_spin pump_spin;
};

static inline struct tcp_chan *
tcp_of(struct genie_chan *chan)
{
	return (struct tcp_chan *)chan;
}

/* ---- tcp_send.c ---- */

/* Sends what is in the rings, unless another thread is at it: then that one will. True when
 * something was sent. */
bool tcp_pump(struct tcp_chan *tcp);
/* Nothing is left to send. */
bool tcp_flushed(struct tcp_chan *tcp);
void *tcp_pump_thread(void *data);
int tcp_bulk_up(struct genie_chan *chan, unsigned slot, const void *src, size_t len);
void tcp_host_done(struct genie_chan *chan, uint64_t id);
int tcp_host_data(struct genie_chan *chan, const void *addr, size_t len);

/* ---- tcp_receive.c ---- */

/* Takes what has arrived, without waiting; the caller has the receiver's role. True when there was
 * something. */
bool tcp_receive(struct tcp_chan *tcp);
void tcp_bulk_cancel(struct genie_chan *chan, unsigned slot);

#endif
