/* Questions that the client asks the worker, or knows the answer to: peers, tensor maps, modules
 * from files. The worker is the test's own: it decodes each command, and answers. */
#include "interpose/client.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fake_chan.h"
#include "wire/codec.h"
#include "wire/query.h"

static struct genie_tensormap_request asked;
static unsigned char odd; /* what the driver's maps have that no rule explains */

static void
answer_to(struct genie_call *call)
{
	fake.status = CUDA_SUCCESS;
	switch ((int)call->op) {
	case GENIE_OP_cuDeviceCanAccessPeer: {
		struct genie_args_cuDeviceCanAccessPeer *args = call->args;

		*args->canAccessPeer = args->dev == 0 && args->peerDev == 1;
		break;
	}
	case GENIE_OP_genieTensorMap: {
		struct genie_args_genieTensorMap *args = call->args;

		cr_assert_eq(args->size, sizeof(asked));
		memcpy(&asked, args->request, sizeof(asked));
		memset(args->map, 0x5a, sizeof(CUtensorMap));
		memcpy(args->map, &asked.address, sizeof(asked.address));
		args->map[100] = (unsigned char)asked.kind;
		args->map[101] = odd;
		break;
	}
	default:
		break;
	}
}

static void
answer(enum genie_op op, const void *payload, size_t len)
{
	static uint8_t memory[GENIE_POOL_SIZE];
	struct genie_reader reader;
	struct genie_writer writer;
	struct genie_pool pool;
	struct genie_call call;

	genie_pool_init(&pool, memory, sizeof(memory));
	genie_reader_init(&reader, payload, len);
	cr_assert(genie_decode_args(&reader, &pool, op, &call), "%s", reader.why);
	answer_to(&call);
	fake.reply_len = genie_reply_size(&call, fake.status);
	genie_writer_init(&writer, fake.reply, sizeof(fake.reply));
	genie_encode_reply(&writer, &call, fake.status);
}

static CUcontext first, second;

static void
start(void)
{
	fake_init();
	fake.devices[0].image_kinds = GENIE_IMAGE_PTX;
	fake.on_command = answer;
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cr_assert_eq(cuDevicePrimaryCtxRetain(&second, 1), CUDA_SUCCESS);
	cr_assert_eq(cuDevicePrimaryCtxRetain(&first, 0), CUDA_SUCCESS);
	cr_assert_eq(cuCtxSetCurrent(first), CUDA_SUCCESS);
}

TestSuite(questions, .init = start, .timeout = 30);

/* ---- peers ---- */

Test(questions, a_peer_is_asked_for_once)
{
	int can = 7;

	cr_assert_eq(cuDeviceCanAccessPeer(&can, 0, 1), CUDA_SUCCESS);
	cr_assert_eq(can, 1);
	cr_assert_eq(cuDeviceCanAccessPeer(&can, 0, 1), CUDA_SUCCESS);
	cr_assert_eq(can, 1);
	cr_assert_eq(fake_count(GENIE_OP_cuDeviceCanAccessPeer), 1);
	cr_assert_eq(cuDeviceCanAccessPeer(&can, 1, 0), CUDA_SUCCESS);
	cr_assert_eq(can, 0, "not the other way round");
	cr_assert_eq(cuDeviceCanAccessPeer(&can, 1, 1), CUDA_SUCCESS);
	cr_assert_eq(can, 0);
	cr_assert_eq(fake_count(GENIE_OP_cuDeviceCanAccessPeer), 2, "of itself it is known");
	cr_assert_eq(cuDeviceCanAccessPeer(&can, 0, 2), CUDA_ERROR_INVALID_DEVICE);
	cr_assert_eq(cuDeviceCanAccessPeer(NULL, 0, 1), CUDA_ERROR_INVALID_VALUE);
}

Test(questions, access_to_a_peer_is_switched)
{
	cr_assert_eq(cuCtxDisablePeerAccess(second), CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
	cr_assert_eq(cuCtxEnablePeerAccess(second, 1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuCtxEnablePeerAccess(second, 0), CUDA_SUCCESS);
	cr_assert_eq(cuCtxEnablePeerAccess(second, 0), CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
	cr_assert_eq(cuCtxDisablePeerAccess(second), CUDA_SUCCESS);
	cr_assert_eq(cuCtxDisablePeerAccess(second), CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
	cr_assert_eq(cuCtxEnablePeerAccess(first, 0), CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
	cr_assert_eq(cuCtxEnablePeerAccess((CUcontext)&asked, 0), CUDA_ERROR_INVALID_CONTEXT);
	/* where the devices do not reach each other */
	cr_assert_eq(cuCtxSetCurrent(second), CUDA_SUCCESS);
	cr_assert_eq(cuCtxEnablePeerAccess(first, 0), CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
	cr_assert_eq(cuCtxSetCurrent(NULL), CUDA_SUCCESS);
	cr_assert_eq(cuCtxEnablePeerAccess(second, 0), CUDA_ERROR_INVALID_CONTEXT);
}

/* ---- tensor maps ---- */

static const cuuint64_t dims[] = {64, 32, 16, 8}, strides[] = {128, 4096, 65536};
static const cuuint32_t steps[] = {1, 1, 1, 1};
static const int lower[] = {-1, -2}, upper[] = {3, 4};

static CUresult
im2col(CUtensorMap *map, uint64_t address, cuuint32_t rank)
{
	return cuTensorMapEncodeIm2col(
		map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, rank, (void *)address, dims, strides, lower,
		upper, 32, 64, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_64B,
		CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

Test(questions, maps_of_pixels_carry_all_that_was_said)
{
	CUtensorMap map;
	unsigned char *bytes = (unsigned char *)&map;

	cr_assert_eq(im2col(&map, 0x200000001000, 4), CUDA_SUCCESS);
	cr_assert_eq(asked.kind, GENIE_TENSORMAP_IM2COL);
	cr_assert_eq(asked.data_type, CU_TENSOR_MAP_DATA_TYPE_FLOAT16);
	cr_assert_eq(asked.rank, 4);
	cr_assert_eq(asked.dim[3], 8);
	cr_assert_eq(asked.stride[2], 65536);
	cr_assert_eq(asked.lower[1], -2);
	cr_assert_eq(asked.upper[0], 3);
	cr_assert_eq(asked.channels, 32);
	cr_assert_eq(asked.pixels, 64);
	cr_assert_eq(asked.swizzle, CU_TENSOR_MAP_SWIZZLE_64B);
	cr_assert_eq(bytes[100], GENIE_TENSORMAP_IM2COL, "the map is the worker's");
	cr_assert_eq(im2col(&map, 0x200000001000, 2), CUDA_ERROR_INVALID_VALUE, "no pixels");
	cr_assert_eq(im2col(NULL, 0x200000001000, 4), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuTensorMapEncodeIm2colWide(
			     &map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 4, (void *)0x200000002000, dims,
			     strides, -5, 6, 16, 48, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
			     CU_TENSOR_MAP_IM2COL_WIDE_MODE_W128, CU_TENSOR_MAP_SWIZZLE_128B,
			     CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
		     CUDA_SUCCESS);
	cr_assert_eq(asked.kind, GENIE_TENSORMAP_IM2COL_WIDE);
	cr_assert_eq(asked.lower[0], -5);
	cr_assert_eq(asked.upper[0], 6);
	cr_assert_eq(asked.im2col_mode, CU_TENSOR_MAP_IM2COL_WIDE_MODE_W128);
	cr_assert_eq(asked.pixels, 48);
}

/* The first map of a shape is asked for, the second to see whether the rule holds; no more. */
Test(questions, maps_of_one_shape_are_made_here)
{
	uint64_t address;
	CUtensorMap map;

	for (unsigned int i = 0; i < 5; i++) {
		cr_assert_eq(im2col(&map, 0x200000001000 + i * 64, 4), CUDA_SUCCESS);
		memcpy(&address, &map, sizeof(address));
		cr_assert_eq(address, 0x200000001000 + i * 64);
	}
	cr_assert_eq(fake_count(GENIE_OP_genieTensorMap), 2);
	cr_assert_eq(im2col(&map, 0x200000001001, 4), CUDA_ERROR_INVALID_VALUE, "not aligned");
	cr_assert_eq(cuTensorMapReplaceAddress(&map, (void *)0x200000005000), CUDA_SUCCESS);
	memcpy(&address, &map, sizeof(address));
	cr_assert_eq(address, 0x200000005000);
	cr_assert_eq(cuTensorMapReplaceAddress(&map, (void *)0x200000005001),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuTensorMapReplaceAddress(NULL, (void *)0x200000005000),
		     CUDA_ERROR_INVALID_VALUE);
}

/* A driver that lays them out otherwise is noticed, and asked each time. */
Test(questions, maps_that_follow_no_rule_are_asked_for)
{
	CUtensorMap map;
	unsigned char *bytes = (unsigned char *)&map;

	for (odd = 1; odd <= 5; odd++) {
		cr_assert_eq(im2col(&map, 0x200000001000 + odd * 64u, 4), CUDA_SUCCESS);
		cr_assert_eq(bytes[101], odd);
	}
	cr_assert_eq(fake_count(GENIE_OP_genieTensorMap), 5);
	cr_assert_eq(cuTensorMapReplaceAddress(&map, (void *)0x200000005000),
		     CUDA_ERROR_NOT_SUPPORTED);
}

/* ---- modules from files ---- */

static const char text[] = ".version 7.0\n.target sm_80\n.address_size 64\n"
			   ".visible .entry add(.param .u64 p, .param .u32 n)\n{\n ret;\n}\n";

Test(questions, modules_come_from_files)
{
	char path[] = "/tmp/genie-test-module-XXXXXX";
	int fd = mkstemp(path);
	CUmodule module, other;
	CUlibrary library;
	CUfunction add;

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, sizeof(text) - 1), (ssize_t)sizeof(text) - 1);
	cr_assert_eq(cuModuleLoad(&module, path), CUDA_SUCCESS);
	cr_assert_eq(cuModuleGetFunction(&add, module, "add"), CUDA_SUCCESS);
	cr_assert_eq(cuLibraryLoadFromFile(&library, path, NULL, NULL, 0, NULL, NULL, 0),
		     CUDA_SUCCESS);
	cr_assert_eq(cuLibraryUnload(library), CUDA_SUCCESS);
	cr_assert_eq(cuModuleUnload(module), CUDA_SUCCESS);
	cr_assert_eq(ftruncate(fd, 0), 0);
	cr_assert_neq(cuModuleLoad(&other, path), CUDA_SUCCESS, "an empty file");
	cr_assert_eq(unlink(path), 0);
	close(fd);
	cr_assert_eq(cuModuleLoad(&other, path), CUDA_ERROR_FILE_NOT_FOUND);
	cr_assert_neq(cuModuleLoad(&other, "/"), CUDA_SUCCESS, "a folder");
	cr_assert_eq(cuModuleLoad(NULL, path), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuModuleLoad(&other, NULL), CUDA_ERROR_INVALID_VALUE);
}
