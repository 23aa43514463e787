/*
 * A channel without a worker, for tests of the client: it keeps every command, gives out tickets,
 * and answers as the test says. It stands in for libgenie_transport: link it before that.
 */
#ifndef GENIE_TESTS_UNIT_FAKE_CHAN_H
#define GENIE_TESTS_UNIT_FAKE_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "genie_ops.h"
#include "transport/chan.h"

#define FAKE_COMMANDS_MAX 65536

struct fake_command {
	enum genie_op op;
	uint16_t flags;
	uint32_t ctx;
	uint64_t ticket;
	size_t len; /* of the payload */
	uint8_t payload[512];
};

struct fake_chan {
	size_t count;
	struct fake_command commands[FAKE_COMMANDS_MAX];
	uint64_t last_ticket;
	uint64_t progress[GENIE_SLOTS_MAX];
	bool complete; /* waiting for a slot completes it; else it fails the test */
	unsigned int waits;
	bool dead;
	int refuse; /* errno of genie_chan_connect */
	struct genie_async_error error;
	/* the answer to the next commands with GENIE_CMD_REPLY */
	int32_t status;
	uint8_t reply[GENIE_REPLY_MAX];
	size_t reply_len;
	struct genie_welcome welcome;
	struct genie_device_info devices[2];
	struct genie_chan_events events;
	unsigned int connects;
	/* A worker of the test's own; any may be NULL. Called for each command with its payload
	 * (may fill in reply), and for bulk data. */
	void (*on_command)(enum genie_op op, const void *payload, size_t len);
	uint64_t (*on_bulk_send)(const void *src, size_t len);
	uint64_t (*on_bulk_expect)(void *dst, size_t len);
};
extern struct fake_chan fake;

/* Two devices, everything done at once. */
void fake_init(void);
/* How many commands of @op were sent. */
size_t fake_count(enum genie_op op);
/* The last command of @op, or NULL. */
const struct fake_command *fake_last(enum genie_op op);

#endif
