/*
 * Credit: how many bytes of device memory the client may map without asking (wire: credit in
 * struct genie_device_info, genieMemCredit). cudaMalloc must fail at the call when there is no
 * memory, so what is promised must be there:
 *
 *   where there is plenty    a promise that leaves the promises of all other sessions (ledger.h)
 *                            and some headroom for what others than we take from the device
 *   where memory is short    exactly what was asked for, and the worker allocates it before it
 *                            says yes; the client maps it next, and gets these bytes
 *
 * A client keeps at most GENIE_CREDIT_MAX of what it unmaps; the rest is everybody's again.
 */
#ifndef GENIE_REMOTE_CREDIT_H
#define GENIE_REMOTE_CREDIT_H

#include "remote/ledger.h"
#include "remote/session.h"

/* The first promise to a new session, for WELCOME: writes it to @entry. @free_bytes: of the device
 * as it says itself. */
uint64_t genie_credit_first(const struct genie_backend *backend, const struct genie_ledger *ledger,
			    struct genie_ledger_entry *entry, int device, uint64_t free_bytes);

int genie_credit_init(struct genie_session *session, const struct genie_session_opts *opts);
void genie_credit_fini(struct genie_session *session);

/* Where credit[] and mapped[] of this session are kept. Guarded by the completer's lock. */
struct genie_ledger_entry *genie_credit_entry(struct genie_session *session);

/* What is held back for @device is let go: the next allocation is the one it was held for. */
void genie_credit_use(struct genie_session *session, int device);
/* Something was unmapped: what the client may keep of it. With the completer's lock. */
void genie_credit_bound_locked(struct genie_session *session, int device);
/* @want more bytes of credit, or more than that. 0 in *ret_granted: there is no memory. */
CUresult genie_credit_grant(struct genie_session *session, int device, uint64_t want,
			    size_t *ret_granted);

#endif
