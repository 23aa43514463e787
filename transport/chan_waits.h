/* What the program's threads waited for on a channel, for the statistics. */
#ifndef GENIE_TRANSPORT_CHAN_WAITS_H
#define GENIE_TRANSPORT_CHAN_WAITS_H

#include <stdint.h>

struct genie_chan;

/* Nanoseconds, all threads together. */
struct genie_chan_waits {
	uint64_t progress_ns; /* until the device has come so far */
	uint64_t reply_ns;    /* for answers */
	uint64_t room_ns;     /* for room in a command ring: the worker is behind */
	uint64_t bulk_ns;     /* for a staging slot */
};
void genie_chan_waits(const struct genie_chan *chan, struct genie_chan_waits *ret_waits);

#endif
