/*
 * Host memory that the device can copy from and to by itself: the port's staging slots for bulk
 * data, registered once, and buffers for answers that carry device memory.
 */
#ifndef GENIE_REMOTE_STAGE_H
#define GENIE_REMOTE_STAGE_H

#include "remote/session.h"

int genie_stage_init(struct genie_session *session);
void genie_stage_fini(struct genie_session *session);

/* Registers what is not registered yet; a context is current. Without it copies work too, but the
 * issuing thread waits for them. */
void genie_stage_register(struct genie_session *session);

/* A word that the device can wait for, 0. NULL: none left. */
_Atomic uint32_t *genie_stage_flag_get(struct genie_session *session);
/* Any thread; the device does not look at it any more. */
void genie_stage_flag_put(struct genie_session *session, _Atomic uint32_t *flag);

/* A buffer of GENIE_REPLY_MAX bytes. Waits for one to be given back. */
void *genie_stage_get(struct genie_session *session);
/* Any thread. */
void genie_stage_put(struct genie_session *session, void *buffer);

#endif
