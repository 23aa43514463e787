/* Refusing a case of a call that is otherwise supported. */
#ifndef GENIE_INTERPOSE_REFUSE_H
#define GENIE_INTERPOSE_REFUSE_H

#include <cuda.h>

/*
 * Says once that @what (the call, and which case of it) is not supported and why, and counts it as
 * an unsupported call. Returns CUDA_ERROR_NOT_SUPPORTED. Both strings are kept.
 */
CUresult genie_refuse(const char *what, const char *why);

#endif
