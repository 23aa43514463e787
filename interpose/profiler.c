/*
 * The profiler's on and off: marks for a tool that is not there. GENIE_STATS counts between them.
 */
#include "interpose/watch.h"

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
	if (!genie_ctx_current())
		return CUDA_ERROR_INVALID_CONTEXT;
	genie_watch_begin();
	return CUDA_SUCCESS;
}

CUresult
genie_cuProfilerStop(void)
{
	if (!genie_ctx_current())
		return CUDA_ERROR_INVALID_CONTEXT;
	genie_watch_end();
	return CUDA_SUCCESS;
}
