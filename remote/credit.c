#include "remote/credit.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "remote/complete.h"
#include "remote/exec.h"
#include "remote/memory.h"

/* Promises are made in steps, so that the next question comes late. */
#define STEP (UINT64_C(64) << 20)
/* Left alone where a promise is not backed: for the driver's own use (kernels' local memory,
 * modules, contexts), and for other processes that take memory meanwhile. The next warm worker is
 * one: its context takes half a gigabyte of an H200. */
#define HEADROOM (UINT64_C(1) << 30)

struct genie_credit {
	const struct genie_ledger *ledger;
	struct genie_ledger_entry *entry;
	struct genie_ledger_entry own; /* where there is no ledger */
	/* allocated for the allocation that comes next */
	CUmemGenericAllocationHandle held[GENIE_DEVICES_MAX];
	bool holds[GENIE_DEVICES_MAX];
};

int
genie_credit_init(struct genie_session *session, const struct genie_session_opts *opts)
{
	struct genie_credit *credit = calloc(1, sizeof(*credit));

	if (!credit)
		return -ENOMEM;
	credit->ledger = opts->ledger;
	credit->entry = opts->ledger_entry;
	if (!credit->entry) {
		credit->entry = &credit->own;
		for (int i = 0; i < session->device_count; i++)
			credit->own.credit[i] = session->devices[i].credit;
	}
	session->credit = credit;
	return 0;
}

void
genie_credit_fini(struct genie_session *session)
{
	free(session->credit);
	session->credit = NULL;
}

struct genie_ledger_entry *
genie_credit_entry(struct genie_session *session)
{
	return session->credit->entry;
}

/* ---- promises ---- */

/* What a device says is free may be what is free of its own process alone. */
static uint64_t
left_of(const struct genie_backend *backend, uint64_t free_bytes, uint64_t others_mapped)
{
	if (backend->kind == GENIE_DEVICE_CUDA)
		return free_bytes;
	return free_bytes > others_mapped ? free_bytes - others_mapped : 0;
}

/* Writes @bytes down as promised, and takes that back if it is more than there is. Others may do
 * the same at this moment: the order of both is what makes it safe. */
static bool
promise(const struct genie_backend *backend, const struct genie_ledger *ledger,
	struct genie_ledger_entry *entry, int device, uint64_t free_bytes, uint64_t bytes,
	uint64_t headroom)
{
	uint64_t others, others_mapped, sum;

	__atomic_fetch_add(&entry->credit[device], bytes, __ATOMIC_SEQ_CST);
	genie_ledger_others(ledger, entry, device, &others, &others_mapped);
	if (!__builtin_add_overflow(genie_ledger_promised(entry, device), others, &sum) &&
	    !__builtin_add_overflow(sum, headroom, &sum) &&
	    sum <= left_of(backend, free_bytes, others_mapped))
		return true;
	__atomic_fetch_sub(&entry->credit[device], bytes, __ATOMIC_SEQ_CST);
	return false;
}

uint64_t
genie_credit_first(const struct genie_backend *backend, const struct genie_ledger *ledger,
		   struct genie_ledger_entry *entry, int device, uint64_t free_bytes)
{
	return entry && promise(backend, ledger, entry, device, free_bytes, STEP, HEADROOM) ? STEP
											    : 0;
}

/* What is free on a device, as it says; asked in a context of it. */
static CUresult
device_free(struct genie_session *session, int ordinal, size_t *ret_free)
{
	CUcontext primary = NULL;
	CUdevice device = 0;
	size_t total = 0;
	CUresult status;

	status = session->drv->cuDeviceGet(&device, ordinal);
	if (status == CUDA_SUCCESS)
		status = session->drv->cuDevicePrimaryCtxRetain(&primary, device);
	if (status != CUDA_SUCCESS)
		return status;
	session->drv->cuCtxPushCurrent_v2(primary);
	status = session->drv->cuMemGetInfo_v2(ret_free, &total);
	session->drv->cuCtxPopCurrent_v2(&primary);
	session->drv->cuDevicePrimaryCtxRelease_v2(device);
	return status;
}

/* ---- memory that is held until it is mapped ---- */

void
genie_credit_use(struct genie_session *session, int device)
{
	struct genie_credit *credit = session->credit;

	if (!credit->holds[device])
		return;
	session->drv->cuMemRelease(credit->held[device]);
	credit->holds[device] = false;
}

static bool
hold(struct genie_session *session, int device, uint64_t size)
{
	const CUmemAllocationProp prop = {
		.type = CU_MEM_ALLOCATION_TYPE_PINNED,
		.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device}};
	struct genie_credit *credit = session->credit;

	size = (size + GENIE_MEMORY_PAGE - 1) & ~(GENIE_MEMORY_PAGE - 1);
	credit->holds[device] =
		session->drv->cuMemCreate(&credit->held[device], size, &prop, 0) == CUDA_SUCCESS;
	return credit->holds[device];
}

/* ---- asking for more ---- */

static CUresult
grant(struct genie_session *session, int device, uint64_t want, size_t *ret_granted)
{
	const struct genie_backend *backend = session->backend;
	struct genie_credit *credit = session->credit;
	struct genie_ledger_entry *entry = credit->entry;
	uint64_t more = (want + STEP - 1) / STEP * STEP;
	size_t free_bytes = 0;
	CUresult status;

	*ret_granted = 0;
	genie_credit_use(session, device);
	status = device_free(session, device, &free_bytes);
	if (status != CUDA_SUCCESS)
		return status;
	if (promise(backend, credit->ledger, entry, device, free_bytes, more, HEADROOM)) {
		*ret_granted = more;
	} else if (promise(backend, credit->ledger, entry, device, free_bytes, want, 0)) {
		if (hold(session, device, want))
			*ret_granted = want;
		else
			__atomic_fetch_sub(&entry->credit[device], want, __ATOMIC_SEQ_CST);
	}
	return CUDA_SUCCESS;
}

CUresult
genie_credit_grant(struct genie_session *session, int device, uint64_t want, size_t *ret_granted)
{
	CUresult status;

	*ret_granted = 0;
	if (want > GENIE_BYTES_MAX)
		return CUDA_ERROR_OUT_OF_MEMORY;
	status = grant(session, device, want, ret_granted);
	if (status != CUDA_SUCCESS || *ret_granted)
		return status;
	/* Memory that is on its way back is not free before the device is done with it. */
	genie_complete_drain(session, NULL);
	return grant(session, device, want, ret_granted);
}

CUresult
genie_exec_genieMemCredit(struct genie_session *session, struct genie_args_genieMemCredit *args)
{
	*args->granted = 0;
	if (args->device < 0 || args->device >= session->device_count)
		return CUDA_ERROR_INVALID_DEVICE;
	return genie_credit_grant(session, args->device, args->want, args->granted);
}

void
genie_credit_bound_locked(struct genie_session *session, int device)
{
	struct genie_ledger_entry *entry = session->credit->entry;

	if (genie_ledger_promised(entry, device) > GENIE_CREDIT_MAX)
		__atomic_store_n(&entry->credit[device], entry->mapped[device] + GENIE_CREDIT_MAX,
				 __ATOMIC_SEQ_CST);
}

/* ---- what the program sees ---- */

CUresult
genie_exec_cuMemGetInfo_v2(struct genie_session *session, struct genie_args_cuMemGetInfo_v2 *args)
{
	struct genie_credit *credit = session->credit;
	uint64_t others, others_mapped;
	CUresult status;

	status = session->drv->cuMemGetInfo_v2(args->free, args->total);
	if (status != CUDA_SUCCESS || !session->current)
		return status;
	genie_ledger_others(credit->ledger, credit->entry, (int)session->current->device, &others,
			    &others_mapped);
	*args->free = left_of(session->backend, *args->free, others_mapped);
	return CUDA_SUCCESS;
}
