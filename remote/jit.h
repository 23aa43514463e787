/* Options of a client's for the just-in-time compiler, as a driver wants them. */
#ifndef GENIE_REMOTE_JIT_H
#define GENIE_REMOTE_JIT_H

#include "wire/jit.h"

/* Beside the client's: the logs and their sizes, and the time. */
#define GENIE_JIT_OWN 5

struct genie_jit_args {
	unsigned int count;
	CUjit_option options[GENIE_JIT_OPTIONS_MAX + GENIE_JIT_OWN];
	void *values[GENIE_JIT_OPTIONS_MAX + GENIE_JIT_OWN];
	unsigned int time, threads, sizes[2]; /* where their answers come; 0: nowhere */
};

/*
 * CUDA_ERROR_INVALID_VALUE: not numbers, or too many. @owners: take only those of owner 0; NULL:
 * all. Logs may have no room. Borrows them.
 */
CUresult genie_jit_args_init(struct genie_jit_args *jit, const unsigned int *options,
			     const unsigned long long *values, const unsigned int *owners,
			     size_t count, char *info, size_t info_size, char *error,
			     size_t error_size);
/* Those of one owner, without logs. */
CUresult genie_jit_args_of(struct genie_jit_args *jit, const unsigned int *options,
			   const unsigned long long *values, const unsigned int *owners,
			   size_t count, unsigned int owner);
/* What the driver answered. */
void genie_jit_args_report(const struct genie_jit_args *jit, struct genie_jit_report *ret_report);

#endif
