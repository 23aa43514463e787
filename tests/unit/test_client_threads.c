/* Many threads in the client at once: for ThreadSanitizer, and for what must not get lost. */
#include "interpose/client.h"

#include <criterion/criterion.h>

#include "tests/unit/fake_chan.h"

#define THREADS 6
#define ROUNDS  150

static CUcontext ctx;
static CUstream shared;
static CUevent shared_event;
static CUdeviceptr word; /* somewhere on the device */

static void
start(void)
{
	fake_init();
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cuDevicePrimaryCtxRetain(&ctx, 0);
	cuCtxSetCurrent(ctx);
	cuStreamCreate(&shared, CU_STREAM_NON_BLOCKING);
	cuEventCreate(&shared_event, CU_EVENT_DISABLE_TIMING);
	cr_assert_eq(cuMemAlloc_v2(&word, 4), CUDA_SUCCESS);
}

static bool
done_or_not_ready(CUresult status)
{
	return status == CUDA_SUCCESS || status == CUDA_ERROR_NOT_READY;
}

static void
one_round(int i)
{
	CUstreamCaptureStatus capture;
	CUstream stream;
	CUevent event;

	cr_assert_eq(cuStreamCreate(&stream, (unsigned int)i & 1), CUDA_SUCCESS);
	cr_assert_eq(cuEventCreate(&event, 0), CUDA_SUCCESS);
	cr_assert_eq(cuStreamWriteValue32_v2(stream, word, 1, 0), CUDA_SUCCESS);
	cr_assert_eq(cuEventRecord(event, stream), CUDA_SUCCESS);
	cr_assert_eq(cuStreamWaitEvent(shared, event, 0), CUDA_SUCCESS);
	cr_assert_eq(cuEventRecord(shared_event, shared), CUDA_SUCCESS);
	cr_assert_eq(cuStreamWaitEvent(stream, shared_event, 0), CUDA_SUCCESS);
	cr_assert(done_or_not_ready(cuEventQuery(event)));
	cr_assert(done_or_not_ready(cuStreamQuery(stream)));
	cr_assert(done_or_not_ready(cuStreamQuery(NULL)));
	cr_assert_eq(cuStreamIsCapturing(stream, &capture), CUDA_SUCCESS);
	if (i % 10 == 0) {
		cr_assert_eq(cuStreamSynchronize(stream), CUDA_SUCCESS);
		cr_assert_eq(cuEventSynchronize(shared_event), CUDA_SUCCESS);
	}
	if (i % 30 == 0) {
		cr_assert_eq(cuStreamSynchronize(NULL), CUDA_SUCCESS);
		cr_assert_eq(cuCtxSynchronize(), CUDA_SUCCESS);
	}
	cr_assert(done_or_not_ready(cuStreamQuery(CU_STREAM_PER_THREAD)));
	cr_assert_eq(cuEventDestroy_v2(event), CUDA_SUCCESS);
	cr_assert_eq(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
}

static void *
streams_and_events(void *data)
{
	(void)data;
	cr_assert_eq(cuCtxSetCurrent(ctx), CUDA_SUCCESS);
	for (int i = 0; i < ROUNDS; i++)
		one_round(i);
	return NULL;
}

static void *
captures(void *data)
{
	CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
	CUgraph graph;
	CUstream stream;

	(void)data;
	cuCtxSetCurrent(ctx);
	cuThreadExchangeStreamCaptureMode(&mode);
	for (int i = 0; i < ROUNDS; i++) {
		cr_assert_eq(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
		cr_assert_eq(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED),
			     CUDA_SUCCESS);
		cr_assert_eq(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
		cr_assert_eq(cuGraphDestroy(graph), CUDA_SUCCESS);
		cr_assert_eq(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
	}
	return NULL;
}

static void *
retain_and_release(void *data)
{
	CUcontext other;

	(void)data;
	for (int i = 0; i < ROUNDS; i++) {
		cr_assert_eq(cuDevicePrimaryCtxRetain(&other, 1), CUDA_SUCCESS);
		cr_assert_eq(cuDevicePrimaryCtxRelease_v2(1), CUDA_SUCCESS);
	}
	return NULL;
}

static void
in_threads(void *(*fn)(void *))
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, fn, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

Test(client_threads, streams_and_events, .init = start, .timeout = 60)
{
	in_threads(streams_and_events);
	/* Every thread's default stream ended with it. */
	cr_assert_eq(fake_count(GENIE_OP_cuStreamCreateWithPriority),
		     fake_count(GENIE_OP_cuStreamDestroy_v2) + 1);
	cr_assert_eq(fake_count(GENIE_OP_cuEventDestroy_v2), THREADS * ROUNDS);
}

Test(client_threads, captures, .init = start, .timeout = 60)
{
	in_threads(captures);
	cr_assert_eq(genie_capture_forbids(), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_cuGraphDestroy), THREADS * ROUNDS);
}

Test(client_threads, retain_and_release, .init = start, .timeout = 60)
{
	int active = 1;

	in_threads(retain_and_release);
	cr_assert_eq(cuDevicePrimaryCtxGetState(1, &(unsigned int){0}, &active), CUDA_SUCCESS);
	cr_assert_eq(active, 0);
	cr_assert_eq(fake_count(GENIE_OP_genieCtxCreate) - 1, fake_count(GENIE_OP_genieCtxDestroy));
}

static void *
initialise(void *data)
{
	(void)data;
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	return NULL;
}

Test(client_threads, init, .init = fake_init, .timeout = 60)
{
	in_threads(initialise);
	cr_assert_eq(fake.connects, 1);
}

static _Atomic int reports;

static void *
collect_error(void *data)
{
	(void)data;
	cuCtxSetCurrent(ctx);
	if (cuCtxSynchronize() != CUDA_SUCCESS)
		atomic_fetch_add(&reports, 1);
	return NULL;
}

Test(client_threads, one_thread_reports_an_error, .init = start, .timeout = 60)
{
	fake.error = (struct genie_async_error){.ticket = 7, .status = CUDA_ERROR_INVALID_VALUE};
	in_threads(collect_error);
	cr_assert_eq(reports, 1);
}
