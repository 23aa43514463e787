/* The log of calls that failed (cuLogs…). */
#ifndef GENIE_INTERPOSE_ERROR_LOG_H
#define GENIE_INTERPOSE_ERROR_LOG_H

#include "interpose/client.h"

/* A call returned @status to the program. @call is kept. */
void genie_error_log_add(const char *call, CUresult status);

/* "Not ready" answers a question: it is no error. */
static inline void
genie_error_log(const char *call, CUresult status)
{
	if (__builtin_expect(status != CUDA_SUCCESS, 0) && status != CUDA_ERROR_NOT_READY)
		genie_error_log_add(call, status);
}

#endif
