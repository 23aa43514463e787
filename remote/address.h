/* Which device addresses the commands of a session may name. Used by the issuing thread. */
#ifndef GENIE_REMOTE_ADDRESS_H
#define GENIE_REMOTE_ADDRESS_H

#include <stdint.h>

#include "remote/session.h"

/* Part of a box of bytes: what a copy or a set touches. */
struct genie_box {
	uint64_t x, y, z;              /* where it begins: bytes, rows, slices */
	uint64_t width, height, depth; /* bytes, rows, slices */
	uint64_t pitch;                /* bytes from row to row */
	uint64_t slice_height;         /* rows from slice to slice */
};

int genie_address_init(struct genie_session *session);
void genie_address_fini(struct genie_session *session);

/* The driver placed memory at [@addr, @addr + @size) that the client may name until
 * genie_address_forget(@owner). 0 or -ENOMEM. */
int genie_address_add(struct genie_session *session, uint64_t addr, uint64_t size,
		      const void *owner);
void genie_address_forget(struct genie_session *session, const void *owner);

/* CUDA_SUCCESS, or CUDA_ERROR_INVALID_VALUE: not all of it is memory of the session. */
CUresult genie_address_check(struct genie_session *session, uint64_t addr, uint64_t size);
CUresult genie_address_check_box(struct genie_session *session, uint64_t addr,
				 const struct genie_box *box);

#endif
