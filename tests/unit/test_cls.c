/* Context-local storage: what the vendor's runtime keeps its state in. */
#include "interpose/export_table.h"

#include <criterion/criterion.h>

#include "tests/unit/fake_chan.h"

static CUcontext ctx;
static int destroyed;

static void
start(void)
{
	fake_init();
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cuDevicePrimaryCtxRetain(&ctx, 0);
	cuCtxSetCurrent(ctx);
}

static void
destroy(CUcontext c, void *key, void *value)
{
	cr_assert_eq(c, ctx);
	cr_assert_not_null(key);
	destroyed += *(int *)value;
}

Test(cls, put_get_delete, .init = start)
{
	int key, other, one = 1, two = 2;
	void *value = NULL;

	cr_assert_eq(genie_cls_get(&value, NULL, &key), CUDA_ERROR_INVALID_HANDLE, "a miss is 400");
	cr_assert_eq(genie_cls_put(NULL, &key, &one, NULL), CUDA_SUCCESS);
	cr_assert_eq(genie_cls_put(ctx, &other, &two, NULL), CUDA_SUCCESS);
	cr_assert_eq(genie_cls_get(&value, ctx, &key), CUDA_SUCCESS);
	cr_assert_eq(value, &one);
	cr_assert_eq(genie_cls_put(ctx, &key, &two, NULL), CUDA_SUCCESS, "replaces");
	genie_cls_get(&value, NULL, &key);
	cr_assert_eq(value, &two);
	cr_assert_eq(genie_cls_delete(ctx, &key), CUDA_SUCCESS);
	cr_assert_eq(genie_cls_get(&value, ctx, &key), CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(genie_cls_get(&value, ctx, &other), CUDA_SUCCESS);
}

Test(cls, destroyed_with_the_context, .init = start)
{
	int a, b, one = 1, ten = 10;
	void *value;

	genie_cls_put(ctx, &a, &one, destroy);
	genie_cls_put(ctx, &b, &ten, destroy);
	cr_assert_eq(cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
	cr_assert_eq(destroyed, 11);
	cr_assert_eq(genie_cls_get(&value, ctx, &a), CUDA_ERROR_INVALID_HANDLE);
}

Test(cls, export_tables, .init = start)
{
	static const unsigned char cudart[16] = {0x6b, 0xd5, 0xfb, 0x6c, 0x5b, 0xf4, 0xe7, 0x4a,
						 0x89, 0x87, 0xd9, 0x39, 0x12, 0xfd, 0x9d, 0xf9};
	static const unsigned char unknown[16] = {1};
	CUresult (*primary)(CUcontext *, CUdevice);
	void *const *table = NULL;
	CUcontext handle = NULL;

	cr_assert_eq(cuGetExportTable((const void **)&table, (const CUuuid *)cudart), CUDA_SUCCESS);
	cr_assert_eq((uintptr_t)table[0], 104);
	primary = (CUresult(*)(CUcontext *, CUdevice))table[2];
	cr_assert_eq(primary(&handle, 0), CUDA_SUCCESS);
	cr_assert_eq(handle, ctx);
	cr_assert_eq(cuGetExportTable((const void **)&table, (const CUuuid *)unknown),
		     CUDA_ERROR_INVALID_HANDLE);
	cr_assert_null(table);
}
