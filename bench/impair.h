/*
 * An emulated network: a link with a rate and a delay each way, shared by all connections that
 * pass. Bytes are charged to the link in the order in which they come, as on a cable: a small
 * command waits behind what was sent before it. There is no loss, no reordering, and no packet
 * overhead: the rate is that of payload.
 */
#ifndef GENIE_BENCH_IMPAIR_H
#define GENIE_BENCH_IMPAIR_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdint.h>

enum {
	IMPAIR_UP, /* from who connects to the target */
	IMPAIR_DOWN,
	IMPAIR_WAYS,
};

struct impair_link {
	_Atomic uint64_t
		free_ps; /* when all that was given to it has been sent; see impair_now_ps */
};

struct impair_net {
	double bits_per_second;    /* 0: as fast as it goes */
	_Atomic uint64_t delay_ps; /* one way */
	uint64_t spin_ps;          /* how long a thread looks for more before it sleeps */
	struct impair_link links[IMPAIR_WAYS];
	struct sockaddr_in target;
};

/* Of a clock that begins with the process. */
uint64_t impair_now_ps(void);
/* Waits until that time: spins at the end of it, where there are processors for that. */
void impair_wait_until(const struct impair_net *net, uint64_t ps);

/* Listens on a port of 127.0.0.1, which is returned, and serves connections from a thread of its
 * own until the process ends. Negative errno. */
int impair_serve(struct impair_net *net);

struct impair_figures {
	double own_round_trip_us; /* without delay: what the proxy itself adds is in it */
	double round_trip_us;     /* with it */
	double bits_per_second;   /* of one connection, upward */
};
/*
 * Sets the delay so that a raw ping-pong between two threads that never sleep takes @round_trip_us,
 * and says what was reached, over a target of its own. 0, or negative errno.
 */
int impair_calibrate(struct impair_net *net, double round_trip_us,
		     struct impair_figures *ret_figures);

#endif
