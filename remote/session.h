/*
 * A session: everything one client has on its worker. What the files of the worker share; each
 * part below names the file that owns it.
 *
 * Threads: the issuing thread (worker.c) decodes and executes commands; the completing thread
 * (complete.c) watches for what the device has finished. Everything here belongs to the issuing
 * thread unless its comment names the completer's lock.
 */
#ifndef GENIE_REMOTE_SESSION_H
#define GENIE_REMOTE_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remote/device.h"
#include "remote/object.h"
#include "transport/port.h"

#define GENIE_SHARE_ID 16 /* bytes of the name under which something is shared (share.h) */

struct genie_addresses;
struct genie_broker;
struct genie_completer;
struct genie_credit;
struct genie_ctx;
struct genie_host_nodes;
struct genie_ledger;
struct genie_ledger_entry;
struct genie_store;
struct genie_memory;
struct genie_mirror;
struct genie_reply_stage;
struct genie_devres;
struct genie_session;

/* ---- streams, events and contexts (stream.c, event.c, context.c) ---- */

/* A stream with its queue of things to report once the device gets there (complete.h). */
struct genie_stream {
	struct genie_ctx *ctx;
	CUstream handle;           /* CU_STREAM_LEGACY for the legacy stream */
	uint32_t slot;             /* of its progress */
	bool dirty;                /* work was issued since the last entry of its queue */
	uint64_t epoch;            /* fence epoch in which it was last used, see fence.c */
	bool gone;                 /* destroyed by the client: freed when its queue is empty */
	struct genie_stream *next; /* of the same context */

	/* guarded by the completer's lock */
	struct genie_completion *head, *tail;
	struct genie_stream *active_next; /* list of streams whose queue is not empty */
	bool active;
};

/* An event of the client's, and how many entries of queues still look at it. */
struct genie_event {
	struct genie_ctx *ctx;
	CUevent handle;
	unsigned int flags;
	bool fixed; /* a graph has it: the token keeps this one, and nobody else gets it */
	struct genie_event *next; /* in the list of spare events */
	/* guarded by the completer's lock */
	uint32_t pending;
	bool orphan; /* no token names it any more: becomes spare when nothing is pending */

	/* Another process has it too (share.c): the driver's event may not be exchanged. */
	bool shared, opened; /* opened: another session's */
	uint8_t share_id[GENIE_SHARE_ID];
};

struct genie_ctx {
	CUcontext handle;
	CUdevice device;
	CUgreenCtx green; /* of which it is the context, or NULL */
	bool primary;
	uint32_t index; /* of its token */
	struct genie_stream legacy;
	struct genie_stream *streams; /* all but the legacy one; gone ones too, see stream.c */
	/* guarded by the completer's lock */
	struct genie_event *spare;
};

/* ---- the session (session.c) ---- */

struct genie_session {
	const struct genie_backend *backend;
	const struct genie_driver *drv; /* &backend->drv */
	struct genie_port *port;
	const struct genie_device_info *devices;
	int device_count;
	uint64_t device_window, device_window_size;

	struct genie_objects objects;
	struct genie_ctx *ctxs[GENIE_SLOT_CTXS]; /* by index of the token */

	bool attends;      /* it calls genie_complete_attend() when there is no command */
	_Atomic bool idle; /* it has no command: who looks at the device disturbs nobody */

	/* the command in hand */
	const struct genie_cmd *cmd;
	bool deferred;             /* the completing thread answers it */
	bool bye;                  /* the client has said goodbye */
	bool fatal;                /* the client broke the protocol: the session ends */
	struct genie_ctx *current; /* the driver's current context of the issuing thread */
	void *scratch;             /* memory that commands are decoded in */

	uint64_t epoch; /* fence.c */
	struct genie_fence *fence;
	_Atomic bool prints; /* a module with printf in it was loaded */
	bool nvml_open;      /* nvml.c */
	uint32_t greens;     /* green contexts there are */
	/* exec_graph.c: a command is being captured; in which stream, for which graph (tokens),
	 * behind what */
	bool capturing;
	CUstream capture_stream;
	CUgraph capture_graph;
	CUgraphNode capture_after;

	struct genie_completer *completer; /* complete.c */
	struct genie_memory *memory;       /* exec_memory.c */
	struct genie_addresses *addresses; /* address.c */
	struct genie_credit *credit;       /* credit.c */
	struct genie_mirror *mirrors;      /* mirror.c */
	uint32_t mirror_count;
	struct genie_reply_stage *stage;     /* stage.c */
	struct genie_devres *devres;         /* devres.c */
	struct genie_store *store;           /* store.c */
	struct genie_uploads *uploads;       /* uploads.c; NULL: nothing is kept */
	_Atomic uint64_t uploads_pending;    /* bytes: exec_upload.c */
	const struct genie_broker *broker;   /* share.c; NULL: nothing can be shared */
	struct genie_host_nodes *host_nodes; /* graph_host.c */
	struct genie_condition *conditions;  /* exec_graph.c: made for graphs */
	size_t condition_count, condition_room;
};

struct genie_session_opts {
	const struct genie_backend *backend;
	struct genie_port *port; /* borrowed until fini */
	const struct genie_device_info *devices;
	int device_count;
	uint64_t device_window, device_window_size; /* as reserved with the backend */
	const char *cache_dir;                      /* NULL: no image cache on disk */
	const struct genie_broker *broker;          /* NULL: nothing can be shared */
	/* With the credit of @devices written down; both NULL: this session is alone. Borrowed. */
	const struct genie_ledger *ledger;
	struct genie_ledger_entry *ledger_entry;
};

/* 0 or negative errno. Starts the completing thread. */
int genie_session_init(struct genie_session *session, const struct genie_session_opts *opts);
/* Stops the completing thread, frees what belongs to the session here. Does not wait for the
 * device: what it holds goes with the process. */
void genie_session_fini(struct genie_session *session);

/*
 * Executes one command that genie_port_next() returned: decodes, switches the context, calls the
 * handler, answers. 0, or -EPROTO when the client broke the protocol (logged).
 */
int genie_session_execute(struct genie_session *session, const struct genie_cmd *cmd);

/* The client broke the protocol: one line in the log, and the session ends after this command. */
void genie_session_broken(struct genie_session *session, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Tells the client of a failure that no reply carries. Any thread. */
void genie_session_error(struct genie_session *session, uint64_t ticket, uint32_t op,
			 CUresult status);

/* The device has passed @event (NULL: none is known) with @status: the client gets what kernels
 * printed before it hears of that. Costs nothing while nothing can have printed. Any thread. */
void genie_session_printed(struct genie_session *session, CUevent event, CUresult status);

/* The context is lost with this status: every later call fails. */
bool genie_status_sticky(CUresult status);

/* ---- nvml.c ---- */

/* Starts NVML and finds the devices, once; quiet when there is none. */
void genie_nvml_open(struct genie_session *session);

/* ---- context.c ---- */

/* Makes @ctx current on the issuing thread, if it is not. */
CUresult genie_ctx_switch(struct genie_session *session, struct genie_ctx *ctx);
/* Frees @ctx without waiting for the device. */
void genie_ctx_free(struct genie_session *session, struct genie_ctx *ctx);

/* ---- stream.c ---- */

/*
 * The stream behind a token that a command is about to use: marks it used, and makes it wait for
 * what a fence says it must. NULL: not a stream.
 */
struct genie_stream *genie_stream_use(struct genie_session *session, uint64_t token);
/* The same for the legacy stream of the current context. */
struct genie_stream *genie_stream_use_legacy(struct genie_session *session);
bool genie_stream_capturing(struct genie_session *session, const struct genie_stream *stream);
/* A stream the client made: takes over @handle. */
CUresult genie_stream_bind(struct genie_session *session, uint64_t token, CUstream handle);
/* The client destroys it. */
CUresult genie_stream_destroy(struct genie_session *session, uint64_t token);

/* ---- fence.c ---- */

int genie_fence_init(struct genie_session *session);
void genie_fence_fini(struct genie_session *session);
/* All work issued from here on runs after all work issued before. */
CUresult genie_fence_set(struct genie_session *session);
/* @ctx ends, and all its work is done: nobody has to wait for it any more. */
void genie_fence_forget(struct genie_session *session, const struct genie_ctx *ctx);
/* What genie_stream_use() calls when @stream was not used in this epoch yet. */
void genie_fence_enter(struct genie_session *session, struct genie_stream *stream);
/* @stream is about to be destroyed: later uses must still wait for its work. */
void genie_fence_leave(struct genie_session *session, struct genie_stream *stream);

/* ---- event.c ---- */

/* An event of @ctx that no token names, from the spare ones if there is one. */
CUresult genie_event_get(struct genie_session *session, struct genie_ctx *ctx, unsigned int flags,
			 struct genie_event **ret_event);
/* Nobody names it any more; it is used again once the completer is done with it. */
void genie_event_put(struct genie_session *session, struct genie_event *event);

#endif
