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

/* The legacy stream of a new context; free with genie_stream_free_legacy(). */
struct genie_stream *genie_stream_new_legacy(struct genie_ctx *ctx);

/* The context ends: calls the destructors of its local storage, code of the vendor's runtime that
 * may call us back. No lock is held. */
void genie_cls_forget_ctx(struct genie_ctx *ctx); /* cls.c */
/* The context ends, and with it what it owns. client.lock is held. */
void genie_stream_forget_ctx(struct genie_ctx *ctx); /* stream.c */
void genie_event_forget_ctx(struct genie_ctx *ctx);  /* event.c */

#endif
