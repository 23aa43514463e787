/* The engine's threads: they help whoever runs a launch. */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_POOL_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_POOL_H

#include <stdint.h>

/* Threads, the calling one included (GENIE_CPU_THREADS). */
int ptx_pool_threads(void);
/*
 * Calls @work(data, worker) on the calling thread and on up to @threads - 1 others, as far as they
 * are free; returns when all calls have.
 */
void ptx_pool_run(int threads, void (*work)(void *data, uint32_t worker), void *data);

#endif
