#include "interpose/refuse.h"

#include "interpose/client.h"
#include "interpose/stats.h"

CUresult
genie_refuse(const char *what, const char *why)
{
	if (genie_stats_first_unsupported(what))
		genie_warn("%s is not supported by genie: %s", what, why);
	return CUDA_ERROR_NOT_SUPPORTED;
}
