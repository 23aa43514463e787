/* The inside of the hostile server: hostile.c has the protocol, hostile_memory.c what is shared,
 * hostile_answer.c right answers. */
#ifndef GENIE_TESTS_FUZZ_CLIENT_HOSTILE_IMPL_H
#define GENIE_TESTS_FUZZ_CLIENT_HOSTILE_IMPL_H

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/fuzz/client/hostile.h"
#include "transport/area.h"
#include "transport/drain.h"

#define HOSTILE_FDS 3 /* area, staging, pinned window */

struct hostile_conn {
	int fd;
	bool greeted;
	size_t have;
	_Alignas(8) uint8_t buf[2 * GENIE_CMD_MAX];
};

/* What is about to be sent. */
struct hostile_message {
	enum hostile_class class;
	uint8_t *data;
	size_t len;
	size_t head; /* bytes of it that only frame the rest */
	unsigned copies;
	int32_t status;  /* of a reply */
	int resize;      /* of a reply: bytes of payload, -1: as many as are right */
	uint64_t memory; /* WELCOME: what is wrong with the descriptors */
};

struct hostile {
	const struct hostile_script *script;
	struct hostile_lie lies[HOSTILE_LIES_MAX];
	unsigned next_lie;
	bool lied, silent, over, scribbled;
	unsigned quiet_ms;
	uint64_t ticket; /* of the command that is being executed */
	uint64_t bulk_sent;
	_Atomic bool stop;
	struct genie_area *area; /* as mapped here; NULL: TCP, or not yet */
	uint8_t *staging, *pinned;
	uint64_t pinned_size;
	int fds[HOSTILE_FDS];      /* ours */
	int sent_fds[HOSTILE_FDS]; /* the client's: the same, or worse */
	struct genie_drain drain;
	int arrive[2]; /* new connections */
	pthread_t thread;
	struct hostile_conn conns[2]; /* last: too large to be cleared each time */
};

/* @wrong: 4 bits a descriptor. */
void hostile_memory_make(struct hostile *hostile, uint64_t pinned_size, uint64_t wrong);
void hostile_memory_end(struct hostile *hostile);
void hostile_scribble(struct hostile *hostile, unsigned where, uint64_t value);
void hostile_shrink(struct hostile *hostile, unsigned which, unsigned pages);

#endif
