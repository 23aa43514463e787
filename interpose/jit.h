/*
 * Options of the just-in-time compiler and linker (CUjit_option): which of them travel, and where
 * the answers go. Options are given as an array of names and one of values, in which numbers stand
 * as pointers, and answers are written over the values.
 */
#ifndef GENIE_INTERPOSE_JIT_H
#define GENIE_INTERPOSE_JIT_H

#include "interpose/client.h"
#include "wire/jit.h"

struct genie_jit {
	/* what travels */
	unsigned int count;
	unsigned int options[GENIE_JIT_OPTIONS_MAX];
	unsigned long long values[GENIE_JIT_OPTIONS_MAX];
	/* where answers go; NULL: nobody asked */
	char *logs[2];       /* information, errors */
	size_t log_sizes[2]; /* bytes of room */
	void **log_values[2], **time_value, **threads_value;
};

/*
 * CUDA_ERROR_INVALID_VALUE: an option that does not exist, or too many. Keeps pointers into
 * @values. An option that would hand the driver pointers is refused by name.
 */
CUresult genie_jit_read(struct genie_jit *jit, unsigned int count, const CUjit_option *options,
			void **values);
/* Room for a log that travels: what the program gave, within reason. */
size_t genie_jit_room(const struct genie_jit *jit, int log);
/* Hands out the answers: the texts, how long they are, times. */
void genie_jit_answer(const struct genie_jit *jit, const struct genie_jit_report *report,
		      const char *info, const char *error);

#endif
