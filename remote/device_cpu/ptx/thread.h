/* What the engine keeps per thread: who runs, and where a memory fault goes. */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_THREAD_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_THREAD_H

#include <setjmp.h>
#include <stdint.h>

struct ptx_warp;

struct ptx_thread {
	struct ptx_warp *warp; /* running */
	volatile int catching; /* faults go to @fault */
	sigjmp_buf fault;
	volatile uint64_t address; /* of the last one */
};

extern __thread struct ptx_thread ptx_thread;

#endif
