/* Names and texts of CUDA's status codes, for every device that is not the driver itself. */
#ifndef GENIE_REMOTE_DEVICE_CPU_ERROR_H
#define GENIE_REMOTE_DEVICE_CPU_ERROR_H

#include <cuda.h>

/* "CUDA_ERROR_INVALID_VALUE" and "invalid argument"; NULL: no such code. */
const char *genie_cuda_error_name(CUresult status);
const char *genie_cuda_error_text(CUresult status);

#endif
