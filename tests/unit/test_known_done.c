/* Queries about what must be done, because something that waited for it is: the worker is asked
 * where its progress has not arrived, once for each thing that became known. */
#include "interpose/client.h"

#include <criterion/criterion.h>

#include "base/token.h"
#include "tests/unit/fake_chan.h"

static CUcontext ctx;
static CUdeviceptr memory;
static CUstream first, second;
static CUevent early, late;

static void
start(void)
{
	fake_init();
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cuDevicePrimaryCtxRetain(&ctx, 0);
	cuCtxSetCurrent(ctx);
	cr_assert_eq(cuMemAlloc_v2(&memory, 4096), CUDA_SUCCESS);
	cr_assert_eq(cuStreamCreate(&first, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
	cr_assert_eq(cuStreamCreate(&second, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
	cr_assert_eq(cuEventCreate(&early, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
	cr_assert_eq(cuEventCreate(&late, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
	/* work in one stream, for which the other waits */
	cr_assert_eq(cuMemsetD8Async(memory, 1, 16, first), CUDA_SUCCESS);
	cr_assert_eq(cuEventRecord(early, first), CUDA_SUCCESS);
	cr_assert_eq(cuStreamWaitEvent(second, early, 0), CUDA_SUCCESS);
	cr_assert_eq(cuEventRecord(late, second), CUDA_SUCCESS);
}

TestSuite(known_done, .init = start, .timeout = 30);

static void
arrives(CUevent event)
{
	uint32_t slot = GENIE_SLOT_EVENT + genie_token_index((uint64_t)(uintptr_t)event);

	fake.progress[slot] = fake.last_ticket;
}

Test(known_done, an_event)
{
	cr_assert_eq(cuEventQuery(early), CUDA_ERROR_NOT_READY);
	cr_assert_eq(fake_count(GENIE_OP_cuEventQuery), 0, "nothing is known: no question");
	arrives(late);
	cr_assert_eq(cuEventQuery(late), CUDA_SUCCESS);
	fake.complete = true;
	cr_assert_eq(cuEventQuery(early), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_cuEventQuery), 1);
	cr_assert_eq(fake.waits, 1, "what was copied before it arrives with its progress");
	cr_assert_eq(cuEventQuery(early), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_cuEventQuery), 1);
}

Test(known_done, a_stream)
{
	arrives(late);
	cr_assert_eq(cuEventSynchronize(late), CUDA_SUCCESS);
	/* its last event has another ticket by now */
	fake.progress[GENIE_SLOT_EVENT + genie_token_index((uint64_t)(uintptr_t)early)] = 0;
	fake.complete = true;
	cr_assert_eq(cuStreamQuery(first), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_cuStreamQuery), 1);
}

/* It is not done after all: who polls does not ask each time. */
Test(known_done, asked_once)
{
	arrives(late);
	cr_assert_eq(cuEventQuery(late), CUDA_SUCCESS);
	fake.status = CUDA_ERROR_NOT_READY;
	for (int i = 0; i < 10; i++) {
		cr_assert_eq(cuEventQuery(early), CUDA_ERROR_NOT_READY);
		cr_assert_eq(cuStreamQuery(first), CUDA_ERROR_NOT_READY);
	}
	cr_assert_eq(fake_count(GENIE_OP_cuEventQuery), 1);
	cr_assert_eq(fake_count(GENIE_OP_cuStreamQuery), 1);
	/* something newer is known: once more */
	cr_assert_eq(cuEventRecord(late, second), CUDA_SUCCESS);
	arrives(late);
	cr_assert_eq(cuEventQuery(late), CUDA_SUCCESS);
	for (int i = 0; i < 10; i++)
		cr_assert_eq(cuEventQuery(early), CUDA_ERROR_NOT_READY);
	cr_assert_eq(fake_count(GENIE_OP_cuEventQuery), 2);
}
