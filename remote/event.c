/*
 * Events. The client's token stands for a struct genie_event, and that for an event of the backend.
 * While the completing thread waits for an event, the client may record it again or destroy it, as
 * CUDA allows; then the token gets another backend event, and the old one is kept for the completer
 * and used again later. So making and destroying events costs the driver nothing in the long run.
 */
#include <stdlib.h>

#include "remote/complete.h"
#include "remote/share.h"

static struct genie_event *
spare_take(struct genie_session *session, struct genie_ctx *ctx, unsigned int flags)
{
	struct genie_event *event = NULL;

	genie_completer_lock(session);
	for (struct genie_event **link = &ctx->spare; *link; link = &(*link)->next)
		if ((*link)->flags == flags && !(*link)->shared && !(*link)->fixed) {
			event = *link;
			*link = event->next;
			break;
		}
	genie_completer_unlock(session);
	if (event) {
		event->next = NULL;
		event->orphan = false;
	}
	return event;
}

CUresult
genie_event_get(struct genie_session *session, struct genie_ctx *ctx, unsigned int flags,
		struct genie_event **ret_event)
{
	struct genie_event *event = spare_take(session, ctx, flags);
	CUresult status;

	if (!event) {
		event = calloc(1, sizeof(*event));
		if (!event)
			return CUDA_ERROR_OUT_OF_MEMORY;
		event->ctx = ctx;
		event->flags = flags;
		status = session->drv->cuEventCreate(&event->handle, flags);
		if (status != CUDA_SUCCESS) {
			free(event);
			return status;
		}
	}
	*ret_event = event;
	return CUDA_SUCCESS;
}

void
genie_event_put(struct genie_session *session, struct genie_event *event)
{
	bool gone;

	if (event->shared && !event->opened)
		genie_share_withdraw(session, event->share_id);
	genie_completer_lock(session);
	event->orphan = true;
	gone = (event->shared || event->fixed) && event->pending == 0;
	if (event->pending == 0 && !gone) {
		event->next = event->ctx->spare;
		event->ctx->spare = event;
	}
	genie_completer_unlock(session);
	if (!gone)
		return;
	/* Another process, or a graph, may use it for as long as it likes: not to be used again
	 * here. */
	session->drv->cuEventDestroy_v2(event->handle);
	free(event);
}
