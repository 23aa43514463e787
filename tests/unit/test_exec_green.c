/* remote/exec_green.c, remote/devres.c: parts of a device, named by a hostile client. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "remote/device_cpu/sms.h"
#include "remote/devres.h"
#include "tests/unit/remote_fake.h"

static const struct genie_sms_device hopper = {.total = 132, .major = 9};
static unsigned int greens, greens_ended;

static CUresult
dev_resource(CUdevice device, CUdevResource *resource, CUdevResourceType type)
{
	struct genie_sms set;

	(void)device;
	genie_sms_all(&hopper, &set);
	return genie_sms_describe(&hopper, &set, type, resource);
}

/* A driver that says it wrote more groups than it was given room for. */
static bool liar;

static CUresult
split(CUdevResource *result, unsigned int *groups, const CUdevResource *input,
      CUdevResource *remaining, unsigned int flags, unsigned int min_count)
{
	CUresult status =
		genie_sms_split(&hopper, result, groups, input, remaining, flags, min_count);

	if (liar)
		*groups = 1000000;
	return status;
}

static CUresult
make_desc(CUdevResourceDesc *desc, CUdevResource *list, unsigned int count)
{
	static struct genie_sms set;

	*desc = (CUdevResourceDesc)&set;
	return genie_sms_join(list, count, &set);
}

static CUresult
green_create(CUgreenCtx *green, CUdevResourceDesc desc, CUdevice dev, unsigned int flags)
{
	(void)dev;
	(void)flags;
	greens++;
	*green = (CUgreenCtx)desc;
	return CUDA_SUCCESS;
}

static CUresult
green_destroy(CUgreenCtx green)
{
	(void)green;
	greens_ended++;
	return CUDA_SUCCESS;
}

static CUresult
green_resource(CUgreenCtx green, CUdevResource *resource, CUdevResourceType type)
{
	return genie_sms_describe(&hopper, (const struct genie_sms *)green, type, resource);
}

static CUresult
ctx_of(CUcontext *ctx, CUgreenCtx green)
{
	*ctx = (CUcontext)green;
	return CUDA_SUCCESS;
}

static void
init(void)
{
	struct genie_driver *drv = &fake.backend.drv;

	fake_start(GENIE_DEVICE_RECORD, NULL);
	drv->cuDeviceGetDevResource = dev_resource;
	drv->cuDevSmResourceSplitByCount = split;
	drv->cuDevResourceGenerateDesc = make_desc;
	drv->cuGreenCtxCreate = green_create;
	drv->cuGreenCtxDestroy = green_destroy;
	drv->cuGreenCtxGetDevResource = green_resource;
	drv->cuCtxFromGreenCtx = ctx_of;
	fake_ctx();
}

TestSuite(exec_green, .init = init, .fini = fake_stop, .timeout = 60);

/* Calls that have an answer: the status, and the answer in @out. */
static CUresult
ask(enum genie_op op, void *args, void *out, size_t size)
{
	cr_assert_eq(fake_call_flags(op, args, 1, GENIE_CMD_REPLY), 0);
	cr_assert(fake_replied());
	if (out && fake.reply.status == CUDA_SUCCESS) {
		cr_assert_geq(fake.reply.len, size);
		memcpy(out, fake.reply.payload, size);
	}
	return (CUresult)fake.reply.status;
}

static struct genie_resource
whole(void)
{
	struct genie_resource resource = {0};
	struct genie_args_genieResourceGet args = {.type = CU_DEV_RESOURCE_TYPE_SM,
						   .resource = (unsigned char *)&resource};

	cr_assert_eq(ask(GENIE_OP_genieResourceGet, &args, &resource, sizeof(resource)),
		     CUDA_SUCCESS);
	cr_assert_neq(resource.id, 0);
	return resource;
}

static CUresult
divide(uint64_t id, unsigned int *groups, struct genie_resource *list, size_t room)
{
	uint8_t answer[16 * 64 + 64] = {0};
	struct genie_args_genieResourceSplit args = {
		.input = id,
		.min_count = 8,
		.groups = groups,
		.result = (unsigned char *)list,
		.result_size = room * sizeof(*list),
	};
	CUresult status = ask(GENIE_OP_genieResourceSplit, &args, answer, 8 + room * sizeof(*list));

	if (status == CUDA_SUCCESS) {
		memcpy(groups, answer, sizeof(*groups));
		memcpy(list, answer + 8, room * sizeof(*list));
	}
	return status;
}

Test(exec_green, the_driver_s_bytes_stay_here)
{
	struct genie_resource a = whole(), b = whole();
	CUdevResource public = {0};

	cr_assert_eq(a.id, b.id, "the same resource has one number");
	memcpy(public._oversize, a.external, sizeof(a.external));
	cr_assert_eq(public.sm.smCount, 132);
	cr_assert_eq(sizeof(a), 64);
}

Test(exec_green, only_numbers_that_were_given_out)
{
	struct genie_resource list[2] = {0};
	unsigned long long ids[2] = {whole().id, 99};
	struct genie_args_genieResourceDesc desc = {
		.desc = TOKEN(CUdevResourceDesc, GENIE_KIND_DEVDESC, 0, 1),
		.ids = ids,
		.count = 2,
	};
	unsigned int groups = 2;

	cr_assert_eq(divide(whole().id + 1, &groups, list, 2), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(divide(0, &groups, list, 2), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(ask(GENIE_OP_genieResourceDesc, &desc, NULL, 0), CUDA_ERROR_INVALID_VALUE);
	desc.count = 0;
	cr_assert_eq(ask(GENIE_OP_genieResourceDesc, &desc, NULL, 0), CUDA_ERROR_INVALID_VALUE);
}

Test(exec_green, sizes_must_agree)
{
	struct genie_resource list[2] = {0};
	unsigned int groups = 100;

	cr_assert_eq(divide(whole().id, &groups, list, 2), CUDA_ERROR_INVALID_VALUE);
	groups = 2;
	cr_assert_eq(divide(whole().id, &groups, list, 2), CUDA_SUCCESS);
	cr_assert_eq(groups, 2);
	cr_assert_neq(list[0].id, list[1].id);
	liar = true;
	cr_assert_eq(divide(whole().id, &groups, list, 2), CUDA_SUCCESS);
	cr_assert_eq(groups, 2, "what the driver says is not more than there is room for");
	liar = false;
}

Test(exec_green, contexts_begin_and_end)
{
	struct genie_resource list[1];
	unsigned int groups = 1, sms = 0;
	unsigned long long id;
	struct genie_args_genieResourceDesc desc = {
		.desc = TOKEN(CUdevResourceDesc, GENIE_KIND_DEVDESC, 0, 1), .ids = &id, .count = 1};
	struct genie_args_genieGreenCtxCreate create = {
		.ctx = TOKEN(CUcontext, GENIE_KIND_CTX, 0, 2),
		.desc = TOKEN(CUdevResourceDesc, GENIE_KIND_DEVDESC, 0, 2),
		.flags = CU_GREEN_CTX_DEFAULT_STREAM,
		.sms = &sms,
	};
	struct genie_args_genieCtxDestroy destroy = {.ctx = create.ctx};

	cr_assert_eq(divide(whole().id, &groups, list, 1), CUDA_SUCCESS);
	id = list[0].id;
	cr_assert_eq(ask(GENIE_OP_genieResourceDesc, &desc, NULL, 0), CUDA_SUCCESS);
	cr_assert_eq(ask(GENIE_OP_genieGreenCtxCreate, &create, NULL, 0), CUDA_ERROR_INVALID_VALUE,
		     "no such descriptor");
	create.desc = desc.desc;
	create.device = 77;
	cr_assert_eq(ask(GENIE_OP_genieGreenCtxCreate, &create, NULL, 0),
		     CUDA_ERROR_INVALID_DEVICE);
	create.device = 0;
	cr_assert_eq(ask(GENIE_OP_genieGreenCtxCreate, &create, &sms, sizeof(sms)), CUDA_SUCCESS);
	cr_assert_eq(sms, 8);
	cr_assert_eq(greens, 1);
	cr_assert_eq(fake.session.greens, 1);
	cr_assert_eq(fake_call(GENIE_OP_genieCtxDestroy, &destroy, 2), 0);
	cr_assert_eq(greens_ended, 1);
	cr_assert_eq(fake.session.greens, 0);
}

/* A name that is taken ends the session, and the driver's green context does not stay behind. */
Test(exec_green, a_taken_name)
{
	unsigned long long id = whole().id;
	unsigned int sms = 0;
	struct genie_args_genieResourceDesc desc = {
		.desc = TOKEN(CUdevResourceDesc, GENIE_KIND_DEVDESC, 0, 1), .ids = &id, .count = 1};
	struct genie_args_genieGreenCtxCreate create = {
		.ctx = TOKEN(CUcontext, GENIE_KIND_CTX, 0, 1), /* the primary context's */
		.desc = desc.desc,
		.flags = CU_GREEN_CTX_DEFAULT_STREAM,
		.sms = &sms,
	};

	cr_assert_eq(ask(GENIE_OP_genieResourceDesc, &desc, NULL, 0), CUDA_SUCCESS);
	greens = greens_ended = 0;
	cr_assert_eq(fake_call_flags(GENIE_OP_genieGreenCtxCreate, &create, 1, GENIE_CMD_REPLY),
		     -EPROTO);
	cr_assert_eq(greens, 1);
	cr_assert_eq(greens_ended, 1);
}

/* Whoever divides for ever has the last ones, and the one that it goes on using. */
Test(exec_green, the_table_is_bounded)
{
	struct genie_devres *table = NULL;
	struct genie_resource first, last;
	CUdevResource resource = {.type = CU_DEV_RESOURCE_TYPE_SM};

	cr_assert_eq(genie_devres_add(&table, &resource, &first), 0);
	for (unsigned int i = 1; i < 10000; i++) {
		resource.sm.smCount = i;
		cr_assert_eq(genie_devres_add(&table, &resource, &last), 0);
		cr_assert_not_null(genie_devres_find(table, first.id));
	}
	cr_assert_not_null(genie_devres_find(table, last.id));
	cr_assert_null(genie_devres_find(table, first.id + 1), "the least recently used one went");
	genie_devres_free(table);
}
