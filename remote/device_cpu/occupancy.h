/* How many blocks of a kernel fit on a multiprocessor. */
#ifndef GENIE_REMOTE_DEVICE_CPU_OCCUPANCY_H
#define GENIE_REMOTE_DEVICE_CPU_OCCUPANCY_H

#include "remote/device_cpu/cpu.h"

/* 0 when not even one does. */
unsigned int genie_cpu_blocks_per_sm(const struct genie_cpu_function *function,
				     unsigned int threads, size_t dynamic_shared);
/* Sets what follows from a kernel's description: a fresh function has no other limits. */
void genie_cpu_function_limits(struct genie_cpu_function *function);

#endif
