/* A client whose server says what cannot be true: found by tests/fuzz/client, or by looking. */
#include "interpose/nvml.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fake_chan.h"

static const char ptx[] = ".version 7.0\n.target sm_80\n.address_size 64\n"
			  ".visible .global .align 4 .b8 table[16];\n"
			  ".visible .entry add(.param .u64 p)\n{\n ret;\n}\n";
static CUmodule module;
static CUfunction function;

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

static void
start_module(void)
{
	start();
	fake.reply_len = 24; /* of genieModuleGlobal */
	cr_assert_eq(cuModuleLoadData(&module, ptx), CUDA_SUCCESS);
	cr_assert_eq(cuModuleGetFunction(&function, module, "add"), CUDA_SUCCESS);
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

/* Nothing that comes after it can be believed. */
Test(liar, an_answer_of_another_length, .init = start)
{
	size_t free_bytes, total;

	fake.reply_len = 8;
	cr_assert_eq(cuMemGetInfo_v2(&free_bytes, &total), CUDA_ERROR_DEVICE_UNAVAILABLE);
	cr_assert(fake.dead);
	cr_assert_eq(cuCtxSynchronize(), CUDA_ERROR_DEVICE_UNAVAILABLE);
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

/* ---- kernels ---- */

Test(liar, more_blocks_than_there_can_be, .init = start_module)
{
	int blocks = 0;

	fake.reply_len = 8;
	*(int *)(void *)fake.reply = INT32_MAX;
	cr_assert_eq(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, 32, 0),
		     CUDA_ERROR_UNKNOWN);
	*(int *)(void *)fake.reply = -1;
	cr_assert_eq(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, 32, 0),
		     CUDA_ERROR_UNKNOWN);
	*(int *)(void *)fake.reply = 7;
	cr_assert_eq(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, 32, 0),
		     CUDA_SUCCESS);
	cr_assert_eq(blocks, 7);
}

Test(liar, a_block_size_without_end, .init = start_module)
{
	int grid = 0, block = 0;

	/* The attributes of the function and the blocks are answered with the same number. */
	for (size_t i = 0; i < CU_FUNC_ATTRIBUTE_MAX; i++)
		((int *)(void *)fake.reply)[i] = 65536;
	((int *)(void *)fake.reply)[0] = INT32_MAX; /* CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK */
	fake.reply_len = (CU_FUNC_ATTRIBUTE_MAX * sizeof(int) + 7) & ~(size_t)7;
	cr_assert_eq(cuFuncGetAttribute(&block, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, function),
		     CUDA_SUCCESS);
	((int *)(void *)fake.reply)[0] = 65536;
	fake.reply_len = 8;
	cr_assert_eq(cuOccupancyMaxPotentialBlockSize(&grid, &block, function, NULL, 0, 0),
		     CUDA_SUCCESS);
	cr_assert_eq(block, 1024, "what the device has");
	cr_assert_eq(grid, 65536 * 132);
}

/* ---- variables ---- */

static CUresult
global_at(uint64_t addr, uint64_t size, int managed)
{
	const uint64_t reply[] = {addr, size, (uint64_t)managed};
	CUdeviceptr got;
	size_t got_size;

	memcpy(fake.reply, reply, sizeof(reply));
	fake.reply_len = sizeof(reply);
	return cuModuleGetGlobal_v2(&got, &got_size, module, "table");
}

Test(liar, variables_of_impossible_size, .init = start_module, .timeout = 20)
{
	const uint64_t addr = UINT64_C(0x4f0000000000);

	cr_assert_eq(global_at(addr, UINT64_C(1) << 60, 0), CUDA_ERROR_UNKNOWN);
	cr_assert_eq(global_at(addr, UINT64_C(1) << 60, 1), CUDA_ERROR_UNKNOWN);
	cr_assert_eq(global_at(UINT64_MAX - 8, 16, 0), CUDA_ERROR_UNKNOWN);
	/* Each page of it would be mapped and noted. */
	cr_assert_eq(global_at(addr, UINT64_C(1) << 45, 1), CUDA_ERROR_NOT_SUPPORTED);
	cr_assert_eq(global_at(addr, 0, 1), CUDA_ERROR_NOT_SUPPORTED);
	cr_assert_eq(global_at(addr, 16, 0), CUDA_SUCCESS);
}

/* ---- texts of NVML ---- */

nvmlReturn_t nvmlInit_v2(void);
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device);
nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length);

Test(liar, texts_without_an_end, .init = fake_init)
{
	nvmlDevice_t device;
	char serial[17];

	cr_assert_eq(nvmlInit_v2(), NVML_SUCCESS);
	cr_assert_eq(nvmlDeviceGetHandleByIndex_v2(0, &device), NVML_SUCCESS);
	memset(fake.reply, 'x', sizeof(fake.reply));
	memset(serial, 'y', sizeof(serial));
	fake.reply_len = 16;
	cr_assert_eq(nvmlDeviceGetSerial(device, serial, 16), NVML_SUCCESS);
	cr_assert_eq(strnlen(serial, 16), 15);
	cr_assert_eq(serial[16], 'y');
	fake.status = NVML_ERROR_NOT_SUPPORTED;
	fake.reply_len = 0;
	memset(serial, 'y', sizeof(serial));
	cr_assert_eq(nvmlDeviceGetSerial(device, serial, 16), NVML_ERROR_NOT_SUPPORTED);
	cr_assert_eq(serial[15], 'y', "an answer that is none writes nothing");
}

/* ---- what is no lie: a program's own mistake ---- */

Test(liar, freed_memory_is_not_the_hosts, .init = start)
{
	char here[16];
	CUdeviceptr addr;

	cr_assert_eq(cuMemAlloc_v2(&addr, 16), CUDA_SUCCESS);
	fake.reply_len = 16;
	cr_assert_eq(cuMemcpy((CUdeviceptr)(uintptr_t)here, addr, 16), CUDA_SUCCESS);
	cr_assert_eq(cuMemFree_v2(addr), CUDA_SUCCESS);
	cr_assert_eq(cuMemcpy((CUdeviceptr)(uintptr_t)here, addr, 16), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuMemcpy(addr, (CUdeviceptr)(uintptr_t)here, 16), CUDA_ERROR_INVALID_VALUE);
}
