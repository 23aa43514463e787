/*
 * How instructions find memory. Global addresses are host addresses. Shared memory and kernel
 * parameters are windows that begin at 0. Local memory is a piece of host memory per lane.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_EXEC_MEMORY_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_EXEC_MEMORY_H

#include "remote/device_cpu/ptx/exec_lanes.h"

#define PTX_INLINE static inline __attribute__((always_inline))
/* Programs' memory is not the sanitizers' business: its addresses may fault, and that is caught,
 * and threads of a kernel may race for it, as on any device. */
#define PTX_UNCHECKED __attribute__((no_sanitize("address", "thread")))

enum { PTX_BY_ADDRESS, PTX_BY_WINDOW, PTX_BY_LANE };

PTX_INLINE const struct ptx_window *
ptx_window_of(const struct ptx_insn *i, const struct ptx_warp *w)
{
	return &w->windows[i->flags & PTX_INSN_FLAG_A ? PTX_WINDOW_PARAM : PTX_WINDOW_SHARED];
}

/* The address that lane @l gives, in its own space. */
PTX_INLINE uint64_t
ptx_lane_address(const struct ptx_insn *i, const uint8_t *regs, uint32_t place, int32_t offset,
		 int way, uint32_t l)
{
	(void)i;
	if (way == PTX_BY_ADDRESS) {
		uint64_t address;

		memcpy(&address, regs + place + 8 * l, sizeof(address));
		return address + (uint64_t)(int64_t)offset;
	}
	uint32_t address;

	memcpy(&address, regs + place + 4 * l, sizeof(address));
	/* 32-bit spaces wrap around. */
	return address + (uint32_t)offset;
}

/*
 * Where lane @l's @bytes at @address are in host memory; NULL: outside of the space. An address
 * of global memory is taken as it is, and faults when it is used.
 */
PTX_INLINE uint8_t *
ptx_lane_pointer(const struct ptx_insn *i, struct ptx_warp *w, int way, uint64_t address,
		 uint32_t l, uint32_t bytes)
{
	if (way == PTX_BY_ADDRESS)
		return (uint8_t *)(uintptr_t)address;
	address = (uint32_t)address;
	if (way == PTX_BY_WINDOW) {
		const struct ptx_window *window = ptx_window_of(i, w);

		return address + bytes <= window->size ? window->base + address : NULL;
	}
	return address + bytes <= w->local_stride ? w->local + l * w->local_stride + address : NULL;
}

/* The fault of an access that ptx_lane_pointer refused or that is not aligned. */
const struct ptx_insn *ptx_memory_fault(struct ptx_warp *w, const struct ptx_insn *i, int way,
					uint32_t l, uint64_t address, uint32_t bytes);

#endif
