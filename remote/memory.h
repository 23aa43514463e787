/* Memory of a session: what is mapped in the device window and registered in the pinned one. */
#ifndef GENIE_REMOTE_MEMORY_H
#define GENIE_REMOTE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "remote/session.h"

#define GENIE_MEMORY_PAGE UINT64_C(0x200000) /* granularity of the device window */

int genie_memory_init(struct genie_session *session);
void genie_memory_fini(struct genie_session *session);

/* Whether [@addr, @addr + @size) lies in the pinned window. */
bool genie_memory_window(const struct genie_session *session, uint64_t addr, uint64_t size);
/* In a part of it that is also mapped at an address of the client's (genieHostShare). */
bool genie_memory_hosts(struct genie_session *session, uint64_t addr, uint64_t size);
/* In either: memory of the host that the device may copy from and to. */
bool genie_memory_pinned(struct genie_session *session, uint64_t addr, uint64_t size);

#endif
