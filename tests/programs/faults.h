/* For programs whose kernels fail. */
#ifndef GENIE_TESTS_FAULTS_H
#define GENIE_TESTS_FAULTS_H

#include "program.h"

/*
 * After a launch of a kernel that must fail with @expected: the launch itself says nothing of it,
 * unless nothing is asynchronous, as with Genie's GENIE_SYNC=1 and the driver's
 * CUDA_LAUNCH_BLOCKING=1.
 */
static inline void
launched_to_fail(cudaError_t expected)
{
	cudaError_t error = cudaGetLastError();
	EXPECT(error == cudaSuccess ||
	       (error == expected && (getenv("GENIE_SYNC") || getenv("CUDA_LAUNCH_BLOCKING"))));
}

#endif
