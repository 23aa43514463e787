/* remote/share.c, exec_vmm.c and shares.c: what a hostile client may try with names and handles. */
#include "remote/share.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "remote/shares.h"
#include "tests/unit/remote_fake.h"

static struct genie_shares shares;

static int
put(void *data, const struct genie_share *share, int fd)
{
	(void)data;
	return genie_shares_put(&shares, 1, share, fd >= 0 ? dup(fd) : -1);
}

static int
get(void *data, const uint8_t id[GENIE_SHARE_ID], struct genie_share *ret_share, int *ret_fd)
{
	int error = genie_shares_get(&shares, id, ret_share, ret_fd);

	(void)data;
	*ret_fd = !error && *ret_fd >= 0 ? dup(*ret_fd) : -1;
	return error;
}

static void
withdraw(void *data, const uint8_t id[GENIE_SHARE_ID])
{
	(void)data;
	genie_shares_withdraw(&shares, 1, id);
}

static const struct genie_broker broker = {.put = put, .get = get, .withdraw = withdraw};
static int imported; /* last descriptor that the fake driver was given */

static CUresult
export_fd(void *ret, CUmemGenericAllocationHandle handle, CUmemAllocationHandleType type,
	  unsigned long long flags)
{
	(void)handle;
	(void)type;
	(void)flags;
	*(int *)ret = memfd_create("test", MFD_CLOEXEC);
	return CUDA_SUCCESS;
}

static CUresult
import_fd(CUmemGenericAllocationHandle *ret, void *fd, CUmemAllocationHandleType type)
{
	(void)type;
	imported = (int)(intptr_t)fd;
	*ret = 77;
	return CUDA_SUCCESS;
}

static void
init(void)
{
	fake_start(GENIE_DEVICE_RECORD, NULL);
	fake_ctx();
	fake.session.broker = &broker;
	fake.backend.drv.cuMemExportToShareableHandle = export_fd;
	fake.backend.drv.cuMemImportFromShareableHandle = import_fd;
	for (int i = 0; i < 2; i++)
		fake.devices[i]
			.attrs[CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED] = 1;
}

static void
fini(void)
{
	fake_stop();
	genie_shares_forget(&shares, 0);
}

TestSuite(share, .init = init, .fini = fini, .timeout = 20);

#define HANDLE(index) genie_token(GENIE_KIND_MEMHANDLE, 0, (index))

static CUresult
create(uint32_t index, uint64_t size, int on)
{
	struct genie_args_genieVmmCreate args = {
		.handle = HANDLE(index), .size = size, .device = on};

	fake.errors = 0;
	cr_assert_eq(fake_call(GENIE_OP_genieVmmCreate, &args, 0), 0);
	return fake.errors ? (CUresult)fake.error.status : CUDA_SUCCESS;
}

static CUresult
map(uint64_t addr, uint64_t size, uint64_t offset, uint32_t index)
{
	struct genie_args_genieVmmMap args = {
		.addr = addr, .size = size, .offset = offset, .handle = HANDLE(index)};

	fake.errors = 0;
	cr_assert_eq(fake_call(GENIE_OP_genieVmmMap, &args, 0), 0);
	return fake.errors ? (CUresult)fake.error.status : CUDA_SUCCESS;
}

static CUresult
release(uint32_t index)
{
	struct genie_args_genieVmmRelease args = {.handle = HANDLE(index)};

	fake.errors = 0;
	cr_assert_eq(fake_call(GENIE_OP_genieVmmRelease, &args, 0), 0);
	return fake.errors ? (CUresult)fake.error.status : CUDA_SUCCESS;
}

static CUresult
access_set(uint64_t addr, uint64_t size, int on)
{
	struct genie_args_genieVmmAccess args = {
		.addr = addr, .size = size, .device = on, .flags = 3};

	fake.errors = 0;
	cr_assert_eq(fake_call(GENIE_OP_genieVmmAccess, &args, 0), 0);
	return fake.errors ? (CUresult)fake.error.status : CUDA_SUCCESS;
}

static void
unmap(uint64_t addr, uint64_t size)
{
	struct genie_args_genieMemUnmap args = {.addr = addr, .size = size};

	cr_assert_eq(fake_call(GENIE_OP_genieMemUnmap, &args, 0), 0);
}

Test(share, handles_and_mappings)
{
	cr_assert_eq(create(1, 2 * PAGE2M, 0), CUDA_SUCCESS);
	cr_assert_eq(map(FAKE_WINDOW, 2 * PAGE2M, 0, 1), CUDA_SUCCESS);
	cr_assert_eq(map(FAKE_WINDOW + 4 * PAGE2M, PAGE2M, PAGE2M, 1), CUDA_SUCCESS);
	cr_assert_eq(release(1), CUDA_SUCCESS);
	cr_assert_eq(device.releases, 0, "what is mapped is kept");
	unmap(FAKE_WINDOW, 2 * PAGE2M);
	cr_assert_eq(device.releases, 0);
	unmap(FAKE_WINDOW + 4 * PAGE2M, PAGE2M);
	cr_assert_eq(device.releases, 1);
	cr_assert_eq(release(1), CUDA_ERROR_INVALID_HANDLE);
}

Test(share, hostile_mappings)
{
	cr_assert_eq(create(1, 0, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(create(1, PAGE2M + 1, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(create(1, UINT64_MAX & ~(PAGE2M - 1), 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(create(1, PAGE2M, 2), CUDA_ERROR_INVALID_DEVICE);
	cr_assert_eq(create(1, PAGE2M, -1), CUDA_ERROR_INVALID_DEVICE);
	cr_assert_eq(create(1, UINT64_C(1) << 45, 0), CUDA_ERROR_OUT_OF_MEMORY);
	/* That handle is known, with the error that made it useless. */
	cr_assert_eq(map(FAKE_WINDOW, PAGE2M, 0, 1), CUDA_ERROR_OUT_OF_MEMORY);
	cr_assert_eq(release(1), CUDA_SUCCESS);
	cr_assert_eq(create(2, PAGE2M, 0), CUDA_SUCCESS);
	cr_assert_eq(map(FAKE_WINDOW, 2 * PAGE2M, 0, 2), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(map(FAKE_WINDOW, PAGE2M, PAGE2M, 2), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(map(FAKE_WINDOW, PAGE2M, UINT64_MAX & ~(PAGE2M - 1), 2),
		     CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(map(FAKE_WINDOW + FAKE_WINDOW_SIZE, PAGE2M, 0, 2), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(map(FAKE_WINDOW - PAGE2M, PAGE2M, 0, 2), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(map(FAKE_WINDOW, PAGE2M, 0, 9), CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(access_set(FAKE_WINDOW - PAGE2M, PAGE2M, 0), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(access_set(FAKE_WINDOW, PAGE2M, 5), CUDA_ERROR_INVALID_DEVICE);
	cr_assert_eq(device.maps, 0);
	cr_assert_eq(map(FAKE_WINDOW, PAGE2M, 0, 2), CUDA_SUCCESS);
	cr_assert_eq(map(FAKE_WINDOW, PAGE2M, 0, 2), CUDA_ERROR_ALREADY_MAPPED);
	/* A range that the client has a handle for never comes back by itself. */
	unmap(FAKE_WINDOW, PAGE2M);
	cr_assert_eq(device.unmaps, 1);
}

static int32_t
share_handle(uint32_t index, uint8_t id[GENIE_SHARE_ID])
{
	struct genie_args_genieShareHandle args = {.handle = HANDLE(index), .id = id};

	cr_assert_eq(fake_call_flags(GENIE_OP_genieShareHandle, &args, 0, GENIE_CMD_REPLY), 0);
	if (fake.reply.status == CUDA_SUCCESS)
		memcpy(id, fake.reply.payload, GENIE_SHARE_ID);
	return fake.reply.status;
}

static int32_t
import(uint32_t index, const uint8_t id[GENIE_SHARE_ID])
{
	size_t size = 0;
	int on = 0;
	struct genie_args_genieShareImport args = {
		.handle = HANDLE(index), .id = (uint8_t *)id, .size = &size, .device = &on};

	cr_assert_eq(fake_call_flags(GENIE_OP_genieShareImport, &args, 0, GENIE_CMD_REPLY), 0);
	return fake.reply.status;
}

Test(share, by_name_only)
{
	uint8_t id[GENIE_SHARE_ID] = {0}, wrong[GENIE_SHARE_ID] = {0};

	cr_assert_eq(create(1, 2 * PAGE2M, 1), CUDA_SUCCESS);
	cr_assert_eq(share_handle(2, id), CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(share_handle(1, id), CUDA_SUCCESS);
	cr_assert_neq(memcmp(id, wrong, sizeof(id)), 0);
	memcpy(wrong, id, sizeof(id));
	wrong[15] ^= 1;
	cr_assert_eq(import(3, wrong), CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(import(3, id), CUDA_SUCCESS);
	cr_assert_eq(fcntl(imported, F_GETFD), -1, "the descriptor was closed again");
	cr_assert_eq(map(FAKE_WINDOW, 2 * PAGE2M, 0, 3), CUDA_SUCCESS);
	cr_assert_eq(map(FAKE_WINDOW + 8 * PAGE2M, 4 * PAGE2M, 0, 3), CUDA_ERROR_INVALID_VALUE);
	/* Its maker gives it up: nobody can begin to use it. */
	cr_assert_eq(release(1), CUDA_SUCCESS);
	cr_assert_eq(import(4, id), CUDA_ERROR_INVALID_HANDLE);
}

Test(share, only_what_is_mapped_has_a_name)
{
	uint8_t id[GENIE_SHARE_ID];
	CUdeviceptr base = 0;
	size_t size = 0;
	struct genie_args_genieShareMemory args = {
		.addr = FAKE_WINDOW + 5, .id = id, .base = &base, .size = &size};
	struct genie_args_genieMemMap place = {.addr = FAKE_WINDOW, .size = PAGE2M};

	cr_assert_eq(fake_call_flags(GENIE_OP_genieShareMemory, &args, 0, GENIE_CMD_REPLY), 0);
	cr_assert_eq(fake.reply.status, CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(fake_call(GENIE_OP_genieMemMap, &place, 0), 0);
	cr_assert_eq(fake_call_flags(GENIE_OP_genieShareMemory, &args, 0, GENIE_CMD_REPLY), 0);
	cr_assert_eq(fake.reply.status, CUDA_SUCCESS);
	memcpy(id, fake.reply.payload, sizeof(id));
	cr_assert_eq(import(1, id), CUDA_SUCCESS);
	unmap(FAKE_WINDOW, PAGE2M);
	cr_assert_eq(import(2, id), CUDA_ERROR_INVALID_HANDLE);
}

Test(share, without_a_broker)
{
	uint8_t id[GENIE_SHARE_ID] = {0};

	fake.session.broker = NULL;
	cr_assert_eq(create(1, PAGE2M, 0), CUDA_SUCCESS);
	cr_assert_eq(share_handle(1, id), CUDA_ERROR_NOT_SUPPORTED);
	cr_assert_eq(import(2, id), CUDA_ERROR_NOT_SUPPORTED);
}

static int
put_in_vain(void *data, const struct genie_share *share, int fd)
{
	(void)data;
	(void)share;
	(void)fd;
	return -ETIMEDOUT;
}

/* On a machine with far too much to do: not "your driver cannot". */
Test(share, a_broker_that_does_not_answer)
{
	const struct genie_broker slow = {.put = put_in_vain, .get = get, .withdraw = withdraw};
	uint8_t id[GENIE_SHARE_ID] = {0};

	fake.session.broker = &slow;
	cr_assert_eq(create(1, PAGE2M, 0), CUDA_SUCCESS);
	cr_assert_eq(share_handle(1, id), CUDA_ERROR_OPERATING_SYSTEM);
}

/* ---- the supervisor's table ---- */

Test(shares, table)
{
	struct genie_share share = {.kind = GENIE_SHARE_PAGES}, found;
	int fd = memfd_create("a", MFD_CLOEXEC), got = -1;

	share.id[3] = 9;
	cr_assert_eq(genie_shares_put(&shares, 10, &share, fd), 0);
	cr_assert_eq(genie_shares_put(&shares, 11, &share, memfd_create("b", MFD_CLOEXEC)),
		     -EEXIST);
	cr_assert_eq(genie_shares_get(&shares, share.id, &found, &got), 0);
	cr_assert_eq(got, fd);
	genie_shares_withdraw(&shares, 11, share.id); /* not its own */
	cr_assert_eq(genie_shares_get(&shares, share.id, &found, &got), 0);
	genie_shares_forget(&shares, 11);
	cr_assert_eq(genie_shares_get(&shares, share.id, &found, &got), 0);
	genie_shares_forget(&shares, 10);
	cr_assert_eq(genie_shares_get(&shares, share.id, &found, &got), -ENOENT);
	cr_assert_eq(fcntl(fd, F_GETFD), -1, "closed");
}

Test(shares, one_session_cannot_take_all)
{
	struct genie_share share = {.kind = GENIE_SHARE_EVENT};

	for (unsigned int i = 0; i < GENIE_SHARES_MAX; i++) {
		memcpy(share.id, &i, sizeof(i));
		cr_assert_eq(genie_shares_put(&shares, 10, &share, -1), 0);
	}
	share.id[15] = 1;
	cr_assert_eq(genie_shares_put(&shares, 10, &share, -1), -ENOSPC);
	cr_assert_eq(genie_shares_put(&shares, 11, &share, -1), 0);
	genie_shares_forget(&shares, 0);
}
