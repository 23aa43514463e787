/*
 * The profiler's on and off: marks for a tool that is not there.
 */
#include "interpose/client.h"

CUresult
genie_cuProfilerInitialize(const char *configFile, const char *outputFile, CUoutput_mode outputMode)
{
	(void)configFile;
	(void)outputFile;
	(void)outputMode;
	return CUDA_ERROR_NOT_SUPPORTED; /* as the vendor's driver since CUDA 11 */
}

CUresult
genie_cuProfilerStart(void)
{
	return genie_ctx_current() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult
genie_cuProfilerStop(void)
{
	return genie_ctx_current() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}
