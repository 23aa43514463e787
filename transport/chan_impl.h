/*
 * The inside of a channel: what chan.c, lane.c, bulk.c and the two transports share.
 *
 * Locks, in the order in which they may be taken: a shared producer's lock (from begin to commit),
 * then one of lanes.lock, bulk.lock and what the transports have. Each guards a few lines and
 * nothing waits while it is held, except for the socket while a frame goes out.
 */
#ifndef GENIE_TRANSPORT_CHAN_IMPL_H
#define GENIE_TRANSPORT_CHAN_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/address.h"
#include "transport/area.h"
#include "transport/chan.h"
#include "transport/crew.h"
#include "transport/events.h"
#include "transport/window.h"

/* ---- lanes (lane.c) ---- */

/* The writing end of one ring. Owned by the thread that has the lane; when threads share it,
 * everything is guarded by the lock, from begin to commit. */
struct genie_producer {
	_Alignas(GENIE_AREA_LINE) struct genie_area_ring *ring;
	uint8_t *data;
	uint64_t tail; /* ours; the ring's is for the consumer */
	uint64_t head; /* the consumer's, as last seen */
	uint32_t pad;  /* bytes skipped at the ring's end by the command begun now */
	bool shared;
	pthread_mutex_t lock;
};

/* A thread's lane: a ring, perhaps shared, and a place for replies that is its own. */
struct genie_lane {
	struct genie_producer *producer;
	struct genie_area_reply *reply;
	struct genie_chan *chan;
	uint32_t index;
	bool used; /* guarded by lanes.lock */
};

struct genie_lanes {
	pthread_mutex_t lock; /* guards the table and which producers are in use */
	struct genie_lane *table[GENIE_AREA_LANES];
	struct genie_producer producers[GENIE_LANES_MAX];
	struct genie_spin space_spin, reply_spin;
};

void genie_lanes_init(struct genie_lanes *lanes, struct genie_area *area);
void genie_lanes_fini(struct genie_lanes *lanes);

/* ---- bulk (bulk.c) ---- */

#define GENIE_STAGING_SIZE ((size_t)(GENIE_BULK_UP + GENIE_BULK_DOWN) * GENIE_BULK_CHUNK)

struct genie_bulk_up {
	bool busy;
	uint64_t ticket; /* the command that uses it, 0 = not committed yet */
};

struct genie_bulk_down {
	bool busy;
	bool detached;   /* nobody calls bulk_wait */
	bool arrived;    /* TCP: the data is at its destination; only bulk_wait is missing */
	uint64_t before; /* progress of the slot when it was taken: filled when it is more */
	void *dst;
	size_t len;
};

struct genie_bulk {
	pthread_mutex_t lock; /* guards what follows */
	struct genie_bulk_up up[GENIE_BULK_UP];
	struct genie_bulk_down down[GENIE_BULK_DOWN];
	/* Looked at without the lock: slots with .detached, slots down with .busy. */
	_Atomic unsigned detached, expected;
	struct genie_spin spin;
};

void genie_bulk_init(struct genie_bulk *bulk);
void genie_bulk_fini(struct genie_bulk *bulk);
/* Where @len bytes for staging slot @slot go (NULL: nowhere, the wait for them failed). Returns
 * -ENOENT when nobody expects them. */
int genie_bulk_down_dst(struct genie_chan *chan, uint64_t slot, uint64_t len, void **ret_dst);
/* TCP: the bytes are at their destination, nothing writes there any more. */
void genie_bulk_down_arrived(struct genie_chan *chan, unsigned slot);
/* Copies what came for detached transfers out of staging (shm). */
void genie_bulk_reap(struct genie_chan *chan);

/* ---- the channel ---- */

/* A connection after the handshake: what a transport starts from. Owned by who has it; close what
 * was not taken (-1 = taken). */
#define GENIE_CONN_FDS 3
struct genie_conn {
	int fd;
	int fds[GENIE_CONN_FDS]; /* shm: area, staging, pinned window; else -1 */
	const struct genie_address *address;
	const struct genie_chan_opts *opts;
};

struct genie_chan_ops {
	const char *name;
	size_t size;          /* of the transport's struct, which begins with struct genie_chan */
	uint16_t quiet_flags; /* commands with one of these do not wake the consumer */
	/* Maps the area, starts threads. Undone by close, after a failure, too. */
	int (*open)(struct genie_chan *chan, struct genie_conn *conn, char *err, size_t err_size);
	void (*close)(struct genie_chan *chan);
	/* Waits for wait->ready, which becomes true when the channel dies, and stays true when
	 * asked again. Sends and receives meanwhile if this transport leaves that to who waits. */
	void (*wait)(struct genie_chan *chan, const struct genie_wait *wait);
	/* Called by progress queries: a chance to receive. May be NULL. */
	void (*poll)(struct genie_chan *chan);
	int (*bulk_up)(struct genie_chan *chan, unsigned slot, const void *src, size_t len);
	/* After this nothing writes to the destination of transfer @slot any more. May be NULL when
	 * nothing does anyway. */
	void (*bulk_cancel)(struct genie_chan *chan, unsigned slot);
	/* Tells the worker that host function @id has run. */
	void (*host_done)(struct genie_chan *chan, uint64_t id);
	/* Sends bytes of the pinned window before that. NULL: the worker sees them anyway. */
	int (*host_data)(struct genie_chan *chan, const void *addr, size_t len);
};

struct genie_chan {
	const struct genie_chan_ops *ops;
	struct genie_area *area;
	_Atomic bool dead;
	_Atomic bool
		closing; /* set before threads are joined: the end of the connection is no news */

	_Alignas(GENIE_AREA_LINE) _Atomic uint64_t ticket; /* the last one given out */

	_Alignas(GENIE_AREA_LINE) struct genie_lanes lanes;
	struct genie_bulk bulk;
	uint8_t *staging;       /* shm: GENIE_BULK_UP slots, then GENIE_BULK_DOWN slots */
	struct genie_crew crew; /* copies to and from staging */
	struct genie_spin progress_spin;
	struct genie_events *events;

	_Atomic uint64_t bytes_sent, bytes_received, batches;

	struct genie_welcome welcome;
	struct genie_device_info *devices;
	struct genie_window device_window; /* reserved: nothing of the program lands there */
	struct genie_window pinned_window; /* reserved, then mapped by the transport */
	int pinned_fd;                     /* of its memory where that is shared, else -1 */

	/* For genie_chan_forget, which may only close and unmap. -1: none. */
	int fds[4];
};

extern const struct genie_chan_ops genie_shm_ops;
extern const struct genie_chan_ops genie_tcp_ops;

/* The session is over: says so once (unless closing), wakes everybody. Any thread. */
void genie_chan_die(struct genie_chan *chan, const char *why);

static inline bool
genie_chan_is_dead(const struct genie_chan *chan)
{
	return atomic_load_explicit(&chan->dead, memory_order_seq_cst);
}

#endif
