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

Test(capture, forks_must_join, .init = start)
{
	CUgraph graph = (CUgraph)1;
	CUdeviceptr memory;

	cr_assert_eq(cuMemAlloc_v2(&memory, 64), CUDA_SUCCESS);
	begin();
	cuEventRecord(event, stream);
	cuStreamWaitEvent(other, event, 0);
	cr_assert_eq(cuMemsetD8Async(memory, 1, 64, other), CUDA_SUCCESS);
	cr_assert_eq(cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
	cr_assert_null(graph);
	cr_assert_eq(state(stream), CU_STREAM_CAPTURE_STATUS_NONE, "it is over all the same");
	cr_assert_eq(state(other), CU_STREAM_CAPTURE_STATUS_NONE);
}

/* What is sent in a stream that is captured is a node, behind what the stream did before. */
Test(capture, calls_become_nodes, .init = start)
{
	const CUgraphNode *after;
	CUgraphNode nodes[3], from[3], to[3];
	CUstreamCaptureStatus status;
	CUgraphNodeType type;
	CUdeviceptr memory;
	size_t count = 0;
	CUgraph graph;
	char host[64];

	cr_assert_eq(cuMemAlloc_v2(&memory, 64), CUDA_SUCCESS);
	begin();
	cr_assert_eq(cuMemsetD8Async(memory, 1, 64, stream), CUDA_SUCCESS);
	cuEventRecord(event, stream);
	cuStreamWaitEvent(other, event, 0);
	cr_assert_eq(cuMemsetD8Async(memory, 2, 8, other), CUDA_SUCCESS);
	cr_assert_eq(cuMemcpyHtoDAsync_v2(memory + 8, host, 8, stream), CUDA_SUCCESS);
	cuEventRecord(event, other);
	cuStreamWaitEvent(stream, event, 0);
	cr_assert_eq(cuStreamGetCaptureInfo_v2(stream, &status, NULL, &graph, &after, &count),
		     CUDA_SUCCESS);
	cr_assert_eq(count, 2, "both branches");
	cr_assert_eq(fake_count(GENIE_OP_cuMemsetD8Async), 0);
	cr_assert_eq(fake_count(GENIE_OP_genieGraphNode), 4, "ours of the copy is one more");
	cr_assert_eq(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
	cr_assert_eq(genie_thread_self()->round_trips, 0);

	count = 3;
	cr_assert_eq(cuGraphGetNodes(graph, nodes, &count), CUDA_SUCCESS);
	cr_assert_eq(count, 3);
	cr_assert_eq(cuGraphNodeGetType(nodes[2], &type), CUDA_SUCCESS);
	cr_assert_eq(type, CU_GRAPH_NODE_TYPE_MEMCPY);
	count = 3;
	cr_assert_eq(cuGraphGetEdges(graph, from, to, &count), CUDA_SUCCESS);
	cr_assert_eq(count, 2);
	cr_assert(from[0] == nodes[0] && from[1] == nodes[0]);
	cr_assert_eq(cuGraphDestroy(graph), CUDA_SUCCESS);
	cr_assert_eq(cuGraphNodeGetType(nodes[0], &type), CUDA_ERROR_INVALID_VALUE);
}

Test(capture, dependencies_can_be_changed, .init = start)
{
	const CUgraphNode *after = NULL;
	CUstreamCaptureStatus status;
	CUgraphNode extra;
	CUgraph graph, ended;
	size_t count = 9;

	cr_assert_eq(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
	cr_assert_eq(cuGraphAddEmptyNode(&extra, graph, NULL, 0), CUDA_SUCCESS);
	cr_assert_eq(cuStreamBeginCaptureToGraph(stream, graph, &extra, NULL, 1,
						 CU_STREAM_CAPTURE_MODE_RELAXED),
		     CUDA_SUCCESS);
	cuStreamGetCaptureInfo_v2(stream, &status, NULL, NULL, &after, &count);
	cr_assert(count == 1 && after[0] == extra);
	cr_assert_eq(cuStreamUpdateCaptureDependencies(stream, NULL, 0,
						       CU_STREAM_SET_CAPTURE_DEPENDENCIES),
		     CUDA_SUCCESS);
	cuStreamGetCaptureInfo_v2(stream, &status, NULL, NULL, &after, &count);
	cr_assert_eq(count, 0);
	cr_assert_eq(cuStreamEndCapture(stream, &ended), CUDA_SUCCESS);
	cr_assert_eq(ended, graph);
}

Test(capture, stream_destroyed, .init = start)
{
	CUstream third;

	cuStreamCreate(&third, 0);
	cuStreamBeginCapture_v2(third, CU_STREAM_CAPTURE_MODE_GLOBAL);
	cr_assert_eq(cuStreamDestroy_v2(third), CUDA_SUCCESS);
	cr_assert_eq(genie_capture_forbids(), CUDA_SUCCESS);
}

/* The graph that is captured into ends: the capture does, too. */
Test(capture, graph_destroyed, .init = start)
{
	CUgraph graph, parent, child, ended;
	CUgraphNode node;

	cr_assert_eq(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
	cr_assert_eq(cuStreamBeginCaptureToGraph(stream, graph, NULL, NULL, 0,
						 CU_STREAM_CAPTURE_MODE_RELAXED),
		     CUDA_SUCCESS);
	cr_assert_eq(cuGraphDestroy(graph), CUDA_SUCCESS);
	cr_assert_eq(state(stream), CU_STREAM_CAPTURE_STATUS_NONE);
	cr_assert_eq(cuStreamEndCapture(stream, &ended), CUDA_ERROR_ILLEGAL_STATE);
	/* the same for one in a node */
	cr_assert_eq(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
	cr_assert_eq(cuGraphCreate(&parent, 0), CUDA_SUCCESS);
	cr_assert_eq(cuGraphAddChildGraphNode(&node, parent, NULL, 0, graph), CUDA_SUCCESS);
	cr_assert_eq(cuGraphChildGraphNodeGetGraph(node, &child), CUDA_SUCCESS);
	cr_assert_eq(cuStreamBeginCaptureToGraph(stream, child, NULL, NULL, 0,
						 CU_STREAM_CAPTURE_MODE_RELAXED),
		     CUDA_SUCCESS);
	cr_assert_eq(cuGraphDestroyNode(node), CUDA_SUCCESS);
	cr_assert_eq(state(stream), CU_STREAM_CAPTURE_STATUS_NONE);
	begin();
	cr_assert_eq(cuStreamEndCapture(stream, &ended), CUDA_SUCCESS);
}
