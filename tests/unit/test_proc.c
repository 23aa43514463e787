/* cuGetProcAddress: versions, per-thread forms, and the answers measured on a real driver. */
#include "interpose/client.h"

#include <criterion/criterion.h>
#include <string.h>

#include "api/tables.h"

static void *
ask(const char *name, int version, cuuint64_t flags, int expected_result)
{
	CUdriverProcAddressQueryResult result = 9;
	void *pfn = (void *)1;

	cr_assert_eq(genie_cuGetProcAddress_v2(name, &pfn, version, flags, &result), CUDA_SUCCESS);
	cr_assert_eq((int)result, expected_result, "%s: %d", name, (int)result);
	return pfn;
}

Test(proc, highest_version_not_above)
{
	cr_assert_eq(ask("cuCtxGetDevice", 2000, 0, 0), (void *)cuCtxGetDevice);
	cr_assert_eq(ask("cuCtxGetDevice", 12999, 0, 0), (void *)cuCtxGetDevice);
	cr_assert_eq(ask("cuCtxGetDevice", 13000, 0, 0), (void *)cuCtxGetDevice_v2);
	cr_assert_eq(ask("cuMemAlloc", 3020, 0, 0), (void *)cuMemAlloc_v2);
	cr_assert_eq(ask("cuMemAlloc", 99999, 0, 0), (void *)cuMemAlloc_v2);
}

Test(proc, per_thread)
{
	const cuuint64_t pt = CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;

	cr_assert_eq(ask("cuStreamQuery", 7000, pt, 0), (void *)cuStreamQuery_ptsz);
	cr_assert_eq(ask("cuStreamQuery", 7000, 0, 0), (void *)cuStreamQuery);
	cr_assert_eq(ask("cuInit", 7000, pt, 0), (void *)cuInit, "has no such form");
}

Test(proc, unknown_and_too_old)
{
	void *pfn = (void *)1;

	cr_assert_null(ask("cuNoSuchThing", 13000, 0, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND));
	cr_assert_null(ask("cuMemAlloc", 1000, 0, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT));
	cr_assert_null(ask("", 0, 0, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND));
	cr_assert_eq(genie_cuGetProcAddress_v2("", &pfn, 0, 0, NULL), CUDA_SUCCESS);
	cr_assert_null(pfn);
	cr_assert_eq(genie_cuGetProcAddress("", &pfn, 0, 0), CUDA_SUCCESS);
}

Test(proc, itself)
{
	cr_assert_eq(ask("cuGetProcAddress", 11030, 0, 0), (void *)cuGetProcAddress);
	cr_assert_eq(ask("cuGetProcAddress", 12000, 0, 0), (void *)cuGetProcAddress_v2);
}

Test(proc, bad_arguments)
{
	void *pfn;

	cr_assert_eq(genie_cuGetProcAddress_v2(NULL, &pfn, 0, 0, NULL), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(genie_cuGetProcAddress_v2("cuInit", NULL, 0, 0, NULL),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(genie_cuGetProcAddress_v2("cuInit", &pfn, 2000, 8, NULL),
		     CUDA_ERROR_INVALID_VALUE);
}

Test(proc, table_is_sorted)
{
	for (size_t i = 1; i < genie_proc_count; i++) {
		int order = strcmp(genie_procs[i - 1].name, genie_procs[i].name);

		cr_assert(order < 0 || (order == 0 &&
					genie_procs[i - 1].version < genie_procs[i].version),
			  "%s", genie_procs[i].name);
		cr_assert_not_null(genie_procs[i].entry);
	}
}
