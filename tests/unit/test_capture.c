/* What the client knows of captures: state, joining through events, what is refused. */
#include "interpose/client.h"

#include <criterion/criterion.h>

#include "tests/unit/fake_chan.h"

static CUcontext ctx;
static CUstream stream, other;
static CUevent event;

static void
start(void)
{
	fake_init();
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cuDevicePrimaryCtxRetain(&ctx, 0);
	cuCtxSetCurrent(ctx);
	cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING);
	cuStreamCreate(&other, CU_STREAM_NON_BLOCKING);
	cuEventCreate(&event, CU_EVENT_DISABLE_TIMING);
}

static CUstreamCaptureStatus
state(CUstream s)
{
	CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;

	cr_assert_eq(cuStreamIsCapturing(s, &status), CUDA_SUCCESS);
	return status;
}

static void
begin(void)
{
	cr_assert_eq(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
}

Test(capture, begin_and_end, .init = start)
{
	CUgraph graph = NULL;

	cr_assert_eq(state(stream), CU_STREAM_CAPTURE_STATUS_NONE);
	begin();
	cr_assert_eq(state(stream), CU_STREAM_CAPTURE_STATUS_ACTIVE);
	cr_assert_eq(state(other), CU_STREAM_CAPTURE_STATUS_NONE);
	cr_assert_eq(genie_thread_self()->round_trips, 0);
	cr_assert_eq(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL),
		     CUDA_ERROR_ILLEGAL_STATE);
	cr_assert_eq(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
	cr_assert_not_null(graph);
	cr_assert_eq(state(stream), CU_STREAM_CAPTURE_STATUS_NONE);
	cr_assert_eq(cuStreamEndCapture(stream, &graph), CUDA_ERROR_ILLEGAL_STATE);
	cr_assert_eq(cuGraphDestroy(graph), CUDA_SUCCESS);
}

Test(capture, ids_differ, .init = start)
{
	CUstreamCaptureStatus status;
	cuuint64_t first = 0, second = 0;
	CUgraph graph;

	begin();
	cr_assert_eq(cuStreamGetCaptureInfo(stream, &status, &first), CUDA_SUCCESS);
	cuStreamEndCapture(stream, &graph);
	begin();
	cuStreamGetCaptureInfo(stream, &status, &second);
	cr_assert_neq(first, second);
}

Test(capture, asking_for_its_event_spoils_it, .init = start)
{
	CUgraph graph;

	begin();
	cr_assert_eq(cuEventRecord(event, stream), CUDA_SUCCESS);
	cr_assert_eq(cuEventQuery(event), CUDA_ERROR_CAPTURED_EVENT);
	cr_assert_eq(state(stream), CU_STREAM_CAPTURE_STATUS_INVALIDATED);
	cr_assert_eq(cuEventRecord(event, stream), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
	cr_assert_eq(cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
	cr_assert_eq(cuEventRecord(event, stream), CUDA_SUCCESS);
}

Test(capture, joins_through_an_event, .init = start)
{
	CUgraph graph;

	begin();
	cr_assert_eq(cuEventRecord(event, stream), CUDA_SUCCESS);
	cr_assert_eq(cuStreamWaitEvent(other, event, 0), CUDA_SUCCESS);
	cr_assert_eq(state(other), CU_STREAM_CAPTURE_STATUS_ACTIVE);
	cr_assert_eq(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
	cr_assert_eq(state(other), CU_STREAM_CAPTURE_STATUS_NONE);
	cr_assert_eq(cuStreamWaitEvent(other, event, 0), CUDA_ERROR_CAPTURED_EVENT);
	cr_assert_eq(cuEventRecord(event, other), CUDA_SUCCESS);
	cr_assert_eq(cuEventQuery(event), CUDA_ERROR_NOT_READY, "an ordinary event again");
}

Test(capture, ending_it_in_another_stream_spoils_it, .init = start)
{
	CUgraph graph;

	begin();
	cr_assert_eq(cuEventRecord(event, stream), CUDA_SUCCESS);
	cr_assert_eq(cuStreamWaitEvent(other, event, 0), CUDA_SUCCESS);
	cr_assert_eq(cuStreamEndCapture(other, &graph), CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
	cr_assert_eq(cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
	cr_assert_eq(state(other), CU_STREAM_CAPTURE_STATUS_NONE);
}

Test(capture, cannot_depend_on_work_outside, .init = start)
{
	CUgraph graph = (CUgraph)1;

	cuEventRecord(event, other);
	begin();
	cr_assert_eq(cuStreamWaitEvent(stream, event, 0), CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
	cr_assert_eq(state(stream), CU_STREAM_CAPTURE_STATUS_INVALIDATED);
	cr_assert_eq(cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
	cr_assert_null(graph);
	cr_assert_eq(fake_count(GENIE_OP_cuGraphDestroy), 1);
}

Test(capture, two_do_not_mix, .init = start)
{
	begin();
	cuStreamBeginCapture_v2(other, CU_STREAM_CAPTURE_MODE_GLOBAL);
	cuEventRecord(event, stream);
	cr_assert_eq(cuStreamWaitEvent(other, event, 0), CUDA_ERROR_STREAM_CAPTURE_MERGE);
	cr_assert_eq(state(other), CU_STREAM_CAPTURE_STATUS_INVALIDATED);
	cr_assert_eq(state(stream), CU_STREAM_CAPTURE_STATUS_INVALIDATED);
}

Test(capture, forbids_synchronisation, .init = start)
{
	begin();
	cr_assert_eq(cuStreamSynchronize(stream), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	cr_assert_eq(state(stream), CU_STREAM_CAPTURE_STATUS_INVALIDATED);
}

Test(capture, modes_of_threads, .init = start)
{
	CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;

	begin();
	cr_assert_eq(cuThreadExchangeStreamCaptureMode(&mode), CUDA_SUCCESS);
	cr_assert_eq(mode, CU_STREAM_CAPTURE_MODE_GLOBAL, "the default");
	cr_assert_eq(genie_capture_forbids(), CUDA_SUCCESS);
	cuThreadExchangeStreamCaptureMode(&mode);
	cr_assert_eq(genie_capture_forbids(), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	cr_assert_eq(state(stream), CU_STREAM_CAPTURE_STATUS_INVALIDATED);
}

Test(capture, legacy_stream, .init = start)
{
	CUstreamCaptureStatus status;
	CUstream blocking;

	cr_assert_eq(cuStreamBeginCapture_v2(NULL, CU_STREAM_CAPTURE_MODE_GLOBAL),
		     CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
	cuStreamCreate(&blocking, 0);
	cuStreamBeginCapture_v2(blocking, CU_STREAM_CAPTURE_MODE_RELAXED);
	cr_assert_eq(cuStreamIsCapturing(NULL, &status), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
	cr_assert_eq(state(blocking), CU_STREAM_CAPTURE_STATUS_ACTIVE, "asking does no harm");
}

Test(capture, worker_says_no, .init = start)
{
	CUgraph graph;

	begin();
	fake.status = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
	cr_assert_eq(cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
	cr_assert_null(graph);
	cr_assert_eq(state(stream), CU_STREAM_CAPTURE_STATUS_NONE, "it is over all the same");
}

Test(capture, stream_destroyed, .init = start)
{
	CUstream third;

	cuStreamCreate(&third, 0);
	cuStreamBeginCapture_v2(third, CU_STREAM_CAPTURE_MODE_GLOBAL);
	cr_assert_eq(cuStreamDestroy_v2(third), CUDA_SUCCESS);
	cr_assert_eq(genie_capture_forbids(), CUDA_SUCCESS);
}
