/*
 * Between the files that know what belongs to a context.
 */
#ifndef GENIE_INTERPOSE_CTX_H
#define GENIE_INTERPOSE_CTX_H

#include "interpose/client.h"

static inline CUcontext
genie_ctx_handle(const struct genie_ctx *ctx)
{
	return (CUcontext)(uintptr_t)ctx->object.token;
}

/* One more, or one less, user of a primary context. */
CUresult genie_ctx_retain(struct genie_ctx *ctx);
CUresult genie_ctx_release(struct genie_ctx *ctx);

/* The context that a green context is turned into, and its begin and end. NULL: out of memory. */
struct genie_ctx *genie_ctx_new_green(struct genie_ctx *home, uint64_t green);
/* The worker has made it. false: it ended at once, as its primary context did. */
bool genie_ctx_begin_green(struct genie_ctx *ctx);
CUresult genie_ctx_end_green(struct genie_ctx *ctx);

/* Events of whole contexts (ctx_event.c): @event is recorded behind all that was submitted in
 * @ctx, or all that will be waits for it. */
CUresult genie_ctx_record_event(struct genie_ctx *ctx, CUevent event);
CUresult genie_ctx_wait_event(struct genie_ctx *ctx, CUevent event);

/* The legacy stream of a new context; free with genie_stream_free_legacy(). */
struct genie_stream *genie_stream_new_legacy(struct genie_ctx *ctx);

/* The context ends: calls the destructors of its local storage, code of the vendor's runtime that
 * may call us back. No lock is held. */
void genie_cls_forget_ctx(struct genie_ctx *ctx); /* cls.c */
/* A stream of @ctx, for the program. */
CUresult genie_stream_create(struct genie_ctx *ctx, CUstream *phStream, unsigned int flags,
			     int priority);

/* The context ends, and with it what it owns. client.lock is held. */
void genie_stream_forget_ctx(struct genie_ctx *ctx); /* stream.c */
void genie_event_forget_ctx(struct genie_ctx *ctx);  /* event.c */

#endif
