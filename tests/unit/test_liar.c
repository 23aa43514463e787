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

/* ---- devices ---- */

static void
device_is_refused(CUdevice_attribute attribute, int value)
{
	fake_init();
	fake.devices[1].attrs[attribute] = value;
	cr_assert_eq(cuInit(0), CUDA_ERROR_NO_DEVICE, "%d", value);
	cr_assert_eq(cuInit(0), CUDA_ERROR_NO_DEVICE);
	cr_assert_eq(fake.connects, 1, "asked once");
}

Test(liar, no_warp)
{
	device_is_refused(CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0);
}

Test(liar, a_warp_of_less_than_nothing)
{
	device_is_refused(CU_DEVICE_ATTRIBUTE_WARP_SIZE, -32);
}

Test(liar, textures_aligned_to_nothing)
{
	device_is_refused(CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT, 0);
}

Test(liar, more_multiprocessors_than_can_be)
{
	device_is_refused(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, INT32_MAX);
}

Test(liar, a_compute_capability_of_the_far_future)
{
	device_is_refused(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, INT32_MAX);
}

Test(liar, no_addresses_for_memory)
{
	CUdeviceptr addr = 0;
	unsigned int type;

	fake_init();
	fake.welcome.device_window_size = 0;
	start();
	fake.welcome.device_window_size = 0;
	cr_assert_eq(cuMemAlloc_v2(&addr, 4), CUDA_ERROR_OUT_OF_MEMORY);
	cr_assert_eq(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, 0x1234),
		     CUDA_ERROR_INVALID_VALUE);
}
