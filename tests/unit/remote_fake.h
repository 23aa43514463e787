/*
 * A worker without a client and without a device: what the tests of remote/ stand on.
 *
 * The fake port keeps what the session says to its client. The fake device does nothing, but it
 * can be held: then nothing that is issued completes until it is let go, as a real device is when
 * a kernel runs long.
 */
#ifndef GENIE_TESTS_UNIT_REMOTE_FAKE_H
#define GENIE_TESTS_UNIT_REMOTE_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "remote/exec.h"
#include "remote/ledger.h"
#include "remote/session.h"

#define FAKE_WINDOW      UINT64_C(0x200000000000)
#define FAKE_WINDOW_SIZE (UINT64_C(1) << 40)
#define FAKE_PINNED_SIZE (UINT64_C(4) << 20)
#define FAKE_SLOT        (64u << 10) /* staging slots of the fake port */
#define FAKE_SLOTS       8u
#define PAGE2M           (UINT64_C(2) << 20)

struct fake_reply {
	bool sent;
	int32_t status;
	size_t len;
	uint8_t payload[GENIE_REPLY_MAX];
};

struct fake {
	struct genie_session session;
	struct genie_backend backend;
	struct genie_device_info devices[2];
	uint64_t ticket; /* last one given out */
	uint8_t *pinned, *staging;
	struct genie_ledger *ledger;

	/* what the client was told; guarded by lock */
	pthread_mutex_t lock;
	struct fake_reply reply; /* the last one */
	struct genie_async_error error;
	unsigned int errors;
	unsigned int in_done, out_ready;
	void (*host_done)(void *data); /* of the host function that runs */
	void *host_data;
	uint64_t host_id;
};
extern struct fake fake;

/* What the fake device was asked to do; guarded by its own lock, read when it is quiet. */
struct fake_device {
	unsigned int maps, unmaps, creates, releases, registers, unregisters;
	unsigned int launches, records, waits, events_made, module_loads, module_unloads;
	unsigned int copies, set_current, streams_destroyed;
	CUresult fail_next_create; /* cuMemCreate fails so once */
	CUresult fail_module;
	CUresult fail_query; /* fake_fail() */
	uint8_t launch_params[4096];
	size_t launch_params_size;
	unsigned int launch_attrs;
	CUstream last_wait_stream, last_record_stream;
};
extern struct fake_device device;

void fake_start(enum genie_device_kind kind, const char *cache_dir);
void fake_stop(void);

/* The device stops finishing things; it goes on. */
void fake_hold(void);
void fake_go(void);
/* What cuEventQuery and cuEventCreate say from now on instead of the truth. */
void fake_fail(CUresult status);

/* Executes a call as it would arrive. Returns what genie_session_execute() does; the status of a
 * call that waits is in fake.reply. */
int fake_call(enum genie_op op, void *args, uint32_t ctx);
int fake_call_flags(enum genie_op op, void *args, uint32_t ctx, uint16_t flags);
/* The same with raw bytes as payload. */
int fake_raw(uint16_t op, uint16_t flags, uint32_t ctx, const void *payload, size_t len);

uint64_t fake_progress(uint32_t slot);
/* Waits (bounded) until the slot shows the ticket of the last call, or the last reply came. */
bool fake_reached(uint32_t slot);
bool fake_replied(void);

/* Makes context 1 (primary, device 0), and a stream with that index in it. */
void fake_ctx(void);
CUstream fake_stream(uint32_t index);
CUevent fake_event(uint32_t index);
CUfunction fake_function(void);
#define TOKEN(type, kind, generation, index)                                                       \
	((type)(uintptr_t)genie_token((kind), (generation), (index)))
#define LEGACY TOKEN(CUstream, GENIE_KIND_STREAM, 0, 0)

#endif
