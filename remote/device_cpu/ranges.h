/* The list of device memory. All with genie_cpu.lock held. */
#ifndef GENIE_REMOTE_DEVICE_CPU_RANGES_H
#define GENIE_REMOTE_DEVICE_CPU_RANGES_H

#include "remote/device_cpu/cpu.h"

/* Copies it. false: it overlaps another one, or no memory. */
bool genie_cpu_range_add_locked(const struct genie_cpu_range *range);
/* The one that contains @addr, valid until the list changes; NULL: none. */
struct genie_cpu_range *genie_cpu_range_find_locked(uint64_t addr);
void genie_cpu_range_remove_locked(struct genie_cpu_range *range);
/* The first one that has a byte in [from, end). */
bool genie_cpu_range_next_locked(uint64_t from, uint64_t end, struct genie_cpu_range **ret_range);

#endif
