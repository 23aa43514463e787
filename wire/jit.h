/* What the just-in-time compiler's options and answers have in common on both sides. */
#ifndef GENIE_WIRE_JIT_H
#define GENIE_WIRE_JIT_H

#include <cuda.h>
#include <stdbool.h>
#include <stdint.h>

#define GENIE_JIT_OPTIONS_MAX 64
#define GENIE_JIT_LOG_MAX     (16u << 10) /* bytes of a log that travel */

struct genie_jit_report {
	float wall_time;     /* milliseconds */
	uint32_t threads;    /* CU_JIT_THREADS_PER_BLOCK: what the compiler aimed at */
	uint32_t lengths[2]; /* of the logs, without the NUL: information, errors */
};
_Static_assert(sizeof(struct genie_jit_report) == 16, "wire");

/* Options whose value is a number: only those may reach a driver. */
static inline bool
genie_jit_is_number(unsigned int option)
{
	switch (option) {
	case CU_JIT_MAX_REGISTERS:
	case CU_JIT_THREADS_PER_BLOCK:
	case CU_JIT_OPTIMIZATION_LEVEL:
	case CU_JIT_TARGET_FROM_CUCONTEXT:
	case CU_JIT_TARGET:
	case CU_JIT_FALLBACK_STRATEGY:
	case CU_JIT_GENERATE_DEBUG_INFO:
	case CU_JIT_LOG_VERBOSE:
	case CU_JIT_GENERATE_LINE_INFO:
	case CU_JIT_CACHE_MODE:
	case CU_JIT_FAST_COMPILE:
	case CU_JIT_POSITION_INDEPENDENT_CODE:
	case CU_JIT_MIN_CTA_PER_SM:
	case CU_JIT_MAX_THREADS_PER_BLOCK:
	case CU_JIT_OVERRIDE_DIRECTIVE_VALUES:
		return true;
	default:
		return false;
	}
}

#endif
