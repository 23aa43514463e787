/*
 * Host memory that client and device both use but do not share, over a network; and __managed__
 * variables. Of each such range the worker keeps a copy of what the client is known to have, so
 * that what the device wrote is found here, and only that travels.
 */
#ifndef GENIE_REMOTE_MIRROR_H
#define GENIE_REMOTE_MIRROR_H

#include "remote/session.h"

void genie_mirror_fini(struct genie_session *session);

#endif
