/*
 * Device addresses that a command names. With unified addressing the driver takes an address of
 * this process's own memory as readily as one of the device: a client could read the worker with a
 * copy. So a command may only name memory of the session: what lies in the device window (there is
 * nothing but device memory in it), in the pinned window (nothing but this client's own bytes),
 * what of that is also mapped where the client wanted it, and what the driver placed and the
 * session was told of, the variables of modules.
 *
 * What a kernel computes cannot be looked at. SECURITY.md says what that means.
 */
#include "remote/address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "genie_exec.h"
#include "remote/memory.h"

/* Sorted by address; the same range may be there several times, with other owners. */
struct genie_addresses {
	struct placed {
		uint64_t addr, size;
		const void *owner;
	} * list;
	size_t count, room;
};

int
genie_address_init(struct genie_session *session)
{
	session->addresses = calloc(1, sizeof(*session->addresses));
	return session->addresses ? 0 : -ENOMEM;
}

void
genie_address_fini(struct genie_session *session)
{
	if (session->addresses)
		free(session->addresses->list);
	free(session->addresses);
	session->addresses = NULL;
}

int
genie_address_add(struct genie_session *session, uint64_t addr, uint64_t size, const void *owner)
{
	struct genie_addresses *addresses = session->addresses;
	size_t i = 0;

	while (i < addresses->count && addresses->list[i].addr < addr)
		i++;
	for (size_t same = i; same < addresses->count && addresses->list[same].addr == addr; same++)
		if (addresses->list[same].owner == owner && addresses->list[same].size == size)
			return 0;
	if (addresses->count == addresses->room) {
		size_t room = addresses->room ? addresses->room * 2 : 16;
		struct placed *list = realloc(addresses->list, room * sizeof(*list));

		if (!list)
			return -ENOMEM;
		addresses->list = list;
		addresses->room = room;
	}
	memmove(&addresses->list[i + 1], &addresses->list[i],
		(addresses->count - i) * sizeof(*addresses->list));
	addresses->list[i] = (struct placed){addr, size, owner};
	addresses->count++;
	return 0;
}

void
genie_address_forget(struct genie_session *session, const void *owner)
{
	struct genie_addresses *addresses = session->addresses;
	size_t kept = 0;

	for (size_t i = 0; i < addresses->count; i++)
		if (addresses->list[i].owner != owner)
			addresses->list[kept++] = addresses->list[i];
	addresses->count = kept;
}

static bool
lies_in(uint64_t base, uint64_t room, uint64_t addr, uint64_t size)
{
	return addr >= base && addr - base <= room && size <= room - (addr - base);
}

static bool
was_placed(const struct genie_addresses *addresses, uint64_t addr, uint64_t size)
{
	size_t low = 0;
	size_t high = addresses->count;

	/* the first that begins beyond @addr */
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (addresses->list[mid].addr <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low > 0; low--) {
		const struct placed *placed = &addresses->list[low - 1];

		if (lies_in(placed->addr, placed->size, addr, size))
			return true;
		/* Others that begin here may be longer; those before do not overlap. */
		if (low > 1 && addresses->list[low - 2].addr != placed->addr)
			break;
	}
	return false;
}

CUresult
genie_address_check(struct genie_session *session, uint64_t addr, uint64_t size)
{
	if (lies_in(session->device_window, session->device_window_size, addr, size) ||
	    lies_in((uintptr_t)genie_port_pinned_base(session->port),
		    genie_port_pinned_size(session->port), addr, size) ||
	    was_placed(session->addresses, addr, size) || genie_memory_hosts(session, addr, size))
		return CUDA_SUCCESS;
	return CUDA_ERROR_INVALID_VALUE;
}

int32_t
genie_session_address(struct genie_session *session, uint64_t addr, uint64_t size)
{
	return (int32_t)genie_address_check(session, addr, size);
}

/* (count - 1) * step + *last in *last; false: more than an address can be. */
static bool
add_steps(uint64_t count, uint64_t step, uint64_t *last)
{
	uint64_t bytes;

	return !__builtin_mul_overflow(count - 1, step, &bytes) &&
	       !__builtin_add_overflow(*last, bytes, last);
}

CUresult
genie_address_check_box(struct genie_session *session, uint64_t addr, const struct genie_box *box)
{
	uint64_t slice, start, size = box->width;

	if (!box->width || !box->height || !box->depth)
		return CUDA_SUCCESS;
	if (__builtin_mul_overflow(box->pitch, box->slice_height, &slice) ||
	    !add_steps(box->height, box->pitch, &size) || !add_steps(box->depth, slice, &size))
		return CUDA_ERROR_INVALID_VALUE;
	start = box->x;
	if (!add_steps(box->y + 1, box->pitch, &start) || !add_steps(box->z + 1, slice, &start) ||
	    __builtin_add_overflow(addr, start, &start))
		return CUDA_ERROR_INVALID_VALUE;
	return genie_address_check(session, start, size);
}
