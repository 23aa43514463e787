/*
 * cuGetProcAddress: names and versions to our own entry points (api/versions.txt). The answers are
 * those of the vendor's driver, measured: an unknown name or a version that is too old is no error
 * where the caller can see the result code.
 */
#include "interpose/client.h"

#include <string.h>

#include "api/tables.h"

/* The first row of @name, or genie_proc_count. */
static size_t
proc_first(const char *name)
{
	size_t low = 0, high = genie_proc_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(genie_procs[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The row with the highest version that is not above @version. */
static const struct genie_proc *
proc_find(const char *name, int version, CUdriverProcAddressQueryResult *ret_result)
{
	const struct genie_proc *found = NULL;
	size_t i = proc_first(name);

	*ret_result = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
	for (; i < genie_proc_count && !strcmp(genie_procs[i].name, name); i++) {
		*ret_result = CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
		if (genie_procs[i].version > version)
			break;
		found = &genie_procs[i];
	}
	if (found)
		*ret_result = CU_GET_PROC_ADDRESS_SUCCESS;
	return found;
}

CUresult
genie_cuGetProcAddress_v2(const char *symbol, void **pfn, int cudaVersion, cuuint64_t flags,
			  CUdriverProcAddressQueryResult *symbolStatus)
{
	const cuuint64_t known =
		CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
	CUdriverProcAddressQueryResult result;
	const struct genie_proc *proc;

	if (!symbol || !pfn || flags & ~known || flags == known)
		return CUDA_ERROR_INVALID_VALUE;
	*pfn = NULL;
	proc = proc_find(symbol, cudaVersion, &result);
	if (proc) {
		*pfn = flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM &&
				       proc->entry_per_thread
			       ? proc->entry_per_thread
			       : proc->entry;
	} else if (*symbol) {
		genie_debug("cuGetProcAddress: %s in version %d is not known", symbol, cudaVersion);
	}
	if (symbolStatus)
		*symbolStatus = result;
	return CUDA_SUCCESS;
}

CUresult
genie_cuGetProcAddress(const char *symbol, void **pfn, int cudaVersion, cuuint64_t flags)
{
	CUresult status = genie_cuGetProcAddress_v2(symbol, pfn, cudaVersion, flags, NULL);

	/* This form has no other way to say it, except for the empty name that runtimes try. */
	if (status == CUDA_SUCCESS && !*pfn && *symbol)
		return CUDA_ERROR_NOT_FOUND;
	return status;
}
