/* A client whose server says what cannot be true: found by tests/fuzz/client, or by looking. */
#include "interpose/client.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fake_chan.h"

static void
start(void)
{
	CUcontext ctx;

	fake_init();
	fake.devices[0].image_kinds = GENIE_IMAGE_PTX;
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cr_assert_eq(cuDevicePrimaryCtxRetain(&ctx, 0), CUDA_SUCCESS);
	cr_assert_eq(cuCtxSetCurrent(ctx), CUDA_SUCCESS);
}

/* ---- status codes ---- */

static CUresult
ask(int32_t status)
{
	size_t free_bytes, total;

	fake.status = status;
	fake.reply_len = status ? 0 : 16;
	return cuMemGetInfo_v2(&free_bytes, &total);
}

Test(liar, a_status_that_no_driver_has, .init = start)
{
	cr_assert_eq(ask(-1), CUDA_ERROR_UNKNOWN);
	cr_assert_eq(ask(INT32_MIN), CUDA_ERROR_UNKNOWN);
	cr_assert_eq(ask(1000), CUDA_ERROR_UNKNOWN);
	cr_assert_eq(ask(INT32_MAX), CUDA_ERROR_UNKNOWN);
	cr_assert_eq(ask(CUDA_ERROR_ILLEGAL_ADDRESS), CUDA_ERROR_ILLEGAL_ADDRESS);
	cr_assert_eq(ask(998), 998, "a newer driver's is passed on");
	cr_assert_eq(ask(0), CUDA_SUCCESS);
}

Test(liar, an_error_that_is_none, .init = start)
{
	fake.error = (struct genie_async_error){.ticket = 1, .status = 0};
	cr_assert_eq(cuCtxSynchronize(), CUDA_ERROR_UNKNOWN);
	cr_assert_eq(cuCtxSynchronize(), CUDA_SUCCESS);
	fake.error = (struct genie_async_error){.ticket = 2, .status = -7, .sticky = 1};
	cr_assert_eq(cuCtxSynchronize(), CUDA_ERROR_UNKNOWN);
	cr_assert_eq(cuCtxSynchronize(), CUDA_ERROR_UNKNOWN, "and it stays");
}
