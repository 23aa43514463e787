/* remote/exec_stream.c and complete.c: marks, events, host functions, captures, contexts. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "remote/complete.h"
#include "tests/unit/remote_fake.h"

static void
init(void)
{
	fake_start(GENIE_DEVICE_CUDA, NULL);
	fake_ctx();
}

TestSuite(exec_stream, .init = init, .fini = fake_stop, .timeout = 20);

static void
work(CUstream stream)
{
	struct genie_args_cuMemsetD8Async args = {
		.dstDevice = FAKE_WINDOW, .N = 16, .hStream = stream};

	cr_assert_eq(fake_call(GENIE_OP_cuMemsetD8Async, &args, 1), 0);
}

static uint64_t
mark(CUstream stream)
{
	struct genie_args_genieStreamMark args = {.stream = stream};

	cr_assert_eq(fake_call(GENIE_OP_genieStreamMark, &args, 1), 0);
	return fake.ticket;
}

static uint64_t
record(CUevent event, CUstream stream)
{
	struct genie_args_genieEventRecord args = {.event = event, .stream = stream};

	cr_assert_eq(fake_call(GENIE_OP_genieEventRecord, &args, 1), 0);
	return fake.ticket;
}

Test(exec_stream, a_mark_is_published_when_the_stream_gets_there)
{
	CUstream stream = fake_stream(3);
	uint64_t ticket;

	fake_hold();
	work(stream);
	ticket = mark(stream);
	cr_assert_lt(fake_progress(GENIE_SLOT_STREAM + 3), ticket);
	fake_go();
	cr_assert(fake_reached(GENIE_SLOT_STREAM + 3));
}

Test(exec_stream, marks_without_work_between_need_no_event)
{
	CUstream stream = fake_stream(3);
	unsigned int records;

	fake_hold();
	work(stream);
	mark(stream);
	records = device.records;
	fake_go();
	cr_assert(fake_reached(GENIE_SLOT_STREAM + 3));
	/* genie_stream_use() cannot know that a mark is no work, so one event each at most */
	mark(stream);
	cr_assert(fake_reached(GENIE_SLOT_STREAM + 3));
	cr_assert_leq(device.records, records + 1);
}

Test(exec_stream, the_legacy_stream_has_index_0)
{
	work(LEGACY);
	mark(LEGACY);
	cr_assert(fake_reached(GENIE_SLOT_STREAM));
	cr_assert_eq(device.last_record_stream, CU_STREAM_LEGACY);
}

Test(exec_stream, a_context_mark_waits_for_all_streams)
{
	CUstream a = fake_stream(3);
	CUstream b = fake_stream(4);
	struct genie_args_genieCtxMark args = {0};

	fake_hold();
	work(a);
	work(b);
	cr_assert_eq(fake_call(GENIE_OP_genieCtxMark, &args, 1), 0);
	cr_assert_lt(fake_progress(GENIE_SLOT_CTX + 1), fake.ticket);
	fake_go();
	cr_assert(fake_reached(GENIE_SLOT_CTX + 1));
}

Test(exec_stream, a_context_mark_with_nothing_under_way_is_immediate)
{
	struct genie_args_genieCtxMark args = {0};

	cr_assert_eq(fake_call(GENIE_OP_genieCtxMark, &args, 1), 0);
	cr_assert_eq(fake_progress(GENIE_SLOT_CTX + 1), fake.ticket);
}

Test(exec_stream, a_destroyed_streams_work_still_counts)
{
	CUstream a = fake_stream(3);
	struct genie_args_cuStreamDestroy_v2 destroy = {.hStream = a};
	struct genie_args_genieCtxMark args = {0};

	fake_hold();
	work(a);
	cr_assert_eq(fake_call(GENIE_OP_cuStreamDestroy_v2, &destroy, 1), 0);
	cr_assert_eq(device.streams_destroyed, 1);
	cr_assert_eq(fake_call(GENIE_OP_genieCtxMark, &args, 1), 0);
	cr_assert_lt(fake_progress(GENIE_SLOT_CTX + 1), fake.ticket);
	work(a); /* stale */
	cr_assert_eq(fake.error.status, CUDA_ERROR_INVALID_HANDLE);
	fake_go();
	fake.ticket--; /* that of the mark */
	cr_assert(fake_reached(GENIE_SLOT_CTX + 1));
}

Test(exec_stream, an_event_recorded_again_while_pending_gets_another_one)
{
	CUstream a = fake_stream(3);
	CUevent event = fake_event(8);
	unsigned int made = device.events_made;
	uint64_t first, second;

	fake_hold();
	work(a);
	first = record(event, a);
	work(a);
	second = record(event, a);
	cr_assert_eq(device.events_made, made + 1);
	cr_assert_lt(fake_progress(GENIE_SLOT_EVENT + 8), first);
	fake_go();
	cr_assert(fake_reached(GENIE_SLOT_EVENT + 8));
	cr_assert_eq(fake_progress(GENIE_SLOT_EVENT + 8), second);
	for (int i = 0; i < 1000; i++) { /* no new ones in the long run */
		record(event, a);
		cr_assert(fake_reached(GENIE_SLOT_EVENT + 8));
	}
	cr_assert_leq(device.events_made, made + 3);
}

Test(exec_stream, an_event_destroyed_while_pending_is_kept_for_the_completer)
{
	CUstream a = fake_stream(3);
	CUevent event = fake_event(8);
	struct genie_args_cuEventDestroy_v2 destroy = {.hEvent = event};

	fake_hold();
	work(a);
	record(event, a);
	cr_assert_eq(fake_call(GENIE_OP_cuEventDestroy_v2, &destroy, 1), 0);
	fake.ticket--;
	fake_go();
	cr_assert(fake_reached(GENIE_SLOT_EVENT + 8));
	fake.ticket++;
	cr_assert_eq(fake_call(GENIE_OP_cuEventDestroy_v2, &destroy, 1), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_INVALID_HANDLE);
}

Test(exec_stream, create_record_destroy_makes_no_events_in_the_long_run)
{
	CUstream a = fake_stream(3);

	for (unsigned int i = 0; i < 5000; i++) {
		CUevent event = TOKEN(CUevent, GENIE_KIND_EVENT, i & 0xff, 8);
		struct genie_args_cuEventCreate create = {.phEvent = &event,
							  .Flags = CU_EVENT_DISABLE_TIMING};
		struct genie_args_cuEventDestroy_v2 destroy = {.hEvent = event};

		cr_assert_eq(fake_call(GENIE_OP_cuEventCreate, &create, 1), 0);
		record(event, a);
		cr_assert(fake_reached(GENIE_SLOT_EVENT + 8));
		cr_assert_eq(fake_call(GENIE_OP_cuEventDestroy_v2, &destroy, 1), 0);
	}
	cr_assert_eq(fake.errors, 0);
	cr_assert_leq(device.events_made, 4);
}

Test(exec_stream, bad_event_flags_are_the_drivers_error)
{
	CUevent event = TOKEN(CUevent, GENIE_KIND_EVENT, 0, 8);
	struct genie_args_cuEventCreate create = {.phEvent = &event, .Flags = 99};

	cr_assert_eq(fake_call(GENIE_OP_cuEventCreate, &create, 1), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_INVALID_VALUE);
}

Test(exec_stream, who_waits_for_a_mark_that_failed_is_let_go)
{
	CUstream nothing = TOKEN(CUstream, GENIE_KIND_STREAM, 0, 500);
	CUevent no_event = TOKEN(CUevent, GENIE_KIND_EVENT, 0, 501);
	struct genie_args_genieCtxMark ctx = {0};

	mark(nothing);
	cr_assert_eq(fake_progress(GENIE_SLOT_STREAM + 500), fake.ticket);
	record(no_event, LEGACY);
	cr_assert_eq(fake_progress(GENIE_SLOT_EVENT + 501), fake.ticket);
	cr_assert_eq(fake_call(GENIE_OP_genieCtxMark, &ctx, 9), 0);
	cr_assert_eq(fake_progress(GENIE_SLOT_CTX + 9), fake.ticket);
	cr_assert_eq(fake.errors, 3);
	/* indices that have no slot */
	mark(TOKEN(CUstream, GENIE_KIND_STREAM, 0, 0xffffffff));
	record(TOKEN(CUevent, GENIE_KIND_EVENT, 0, 0xffffffff), LEGACY);
	cr_assert_eq(fake_call(GENIE_OP_genieCtxMark, &ctx, 0xffffffff), 0);
	cr_assert_eq(fake.errors, 6);
}

Test(exec_stream, a_failure_of_the_device_is_told_and_lets_everybody_go)
{
	CUstream a = fake_stream(3);

	fake_hold();
	work(a);
	mark(a);
	fake_fail(CUDA_ERROR_ILLEGAL_ADDRESS);
	cr_assert(fake_reached(GENIE_SLOT_STREAM + 3));
	cr_assert_eq(fake.error.status, CUDA_ERROR_ILLEGAL_ADDRESS);
	cr_assert_eq(fake.error.sticky, 1);
	fake_fail(CUDA_SUCCESS);
}

/* The first that notices the fault is the event of a mark, which cannot be made any more. */
Test(exec_stream, a_mark_that_cannot_be_made_says_why)
{
	CUstream stream = fake_stream(3);
	struct genie_args_genieStreamMark args = {.stream = stream};
	CUevent event;
	struct genie_args_cuEventCreate create = {.phEvent = &event};

	work(stream);
	fake_fail(CUDA_ERROR_ILLEGAL_ADDRESS);
	cr_assert_eq(fake_call_flags(GENIE_OP_genieStreamMark, &args, 1, GENIE_CMD_REPLY), 0);
	cr_assert(fake_replied());
	cr_assert_eq(fake.reply.status, CUDA_ERROR_ILLEGAL_ADDRESS);
	event = TOKEN(CUevent, GENIE_KIND_EVENT, 1, 7);
	cr_assert_eq(fake_call_flags(GENIE_OP_cuEventCreate, &create, 1, GENIE_CMD_REPLY), 0);
	cr_assert(fake_replied());
	cr_assert_eq(fake.reply.status, CUDA_ERROR_ILLEGAL_ADDRESS);
	fake_fail(CUDA_SUCCESS);
}

/* ---- host functions ---- */

Test(exec_stream, a_host_function_waits_for_the_client)
{
	struct genie_args_genieHostFunc args = {.stream = LEGACY, .id = 42};
	const struct timespec moment = {.tv_nsec = 1000000};
	void (*done)(void *data) = NULL;

	cr_assert_eq(fake_call(GENIE_OP_genieHostFunc, &args, 1), 0);
	while (!done) {
		nanosleep(&moment, NULL);
		pthread_mutex_lock(&fake.lock);
		done = fake.host_done;
		pthread_mutex_unlock(&fake.lock);
	}
	cr_assert_eq(fake.host_id, 42);
	done(fake.host_data);
}

static CUresult
host_func_at_once(CUstream stream, CUhostFn fn, void *data)
{
	(void)stream;
	fn(data);
	return CUDA_SUCCESS;
}

Test(exec_stream, a_device_that_calls_at_once_does_not_stop_the_issuing_thread)
{
	struct genie_args_genieHostFunc args = {.stream = LEGACY, .id = 43};

	fake.backend.drv.cuLaunchHostFunc = host_func_at_once;
	fake.backend.kind = GENIE_DEVICE_CPU;
	cr_assert_eq(fake_call(GENIE_OP_genieHostFunc, &args, 1), 0);
	cr_assert_eq(fake.host_id, 43);
	mark(LEGACY);
	cr_assert_lt(fake_progress(GENIE_SLOT_STREAM), fake.ticket);
	fake.host_done(fake.host_data);
	cr_assert(fake_reached(GENIE_SLOT_STREAM));
}

/* ---- captures ---- */

/* One command is captured; what the worker does for itself meanwhile must not become part of it. */
Test(exec_stream, a_capture_is_not_disturbed)
{
	CUstream a = fake_stream(3);
	CUstream b = fake_stream(4);
	CUgraph graph = TOKEN(CUgraph, GENIE_KIND_GRAPH, 0, 1);
	struct genie_args_genieGraphCapture begin = {.graph = graph, .stream = a};
	struct genie_args_genieGraphCaptured end = {
		.node = TOKEN(CUgraphNode, GENIE_KIND_GRAPHNODE, 0, 1), .stream = a};
	struct genie_args_genieMemFence fence = {0};
	struct genie_args_genieCtxMark ctx = {0};

	cr_assert_eq(genie_object_bind(&fake.session.objects, GENIE_KIND_GRAPH, (uintptr_t)graph,
				       (void *)&begin, NULL),
		     0);
	work(b);
	cr_assert_eq(fake_call(GENIE_OP_genieGraphCapture, &begin, 1), 0);
	cr_assert_eq(fake_call(GENIE_OP_genieMemFence, &fence, 0), 0);
	work(a);
	cr_assert_eq(device.waits, 0, "a wait would have become part of the graph");
	cr_assert_eq(fake_call(GENIE_OP_genieCtxMark, &ctx, 1), 0);
	cr_assert(fake_reached(GENIE_SLOT_CTX + 1));
	cr_assert_neq(device.last_record_stream,
		      ((struct genie_stream *)genie_object_find(&fake.session.objects,
								GENIE_KIND_STREAM, (uintptr_t)a)
			       ->state)
			      ->handle);
	cr_assert_eq(fake_call(GENIE_OP_genieGraphCaptured, &end, 1), 0);
	cr_assert_eq(fake.session.capturing, false);
	cr_assert_not_null(genie_object_find(&fake.session.objects, GENIE_KIND_GRAPHNODE,
					     (uintptr_t)end.node));
	work(a); /* now the fence counts */
	cr_assert_eq(device.waits, 1);
}

/* ---- contexts ---- */

Test(exec_stream, commands_run_in_their_context)
{
	struct genie_args_genieCtxCreate second = {.ctx = TOKEN(CUcontext, GENIE_KIND_CTX, 0, 2)};
	CUstream a = fake_stream(3);
	struct genie_args_cuMemsetD8Async set = {.dstDevice = FAKE_WINDOW, .hStream = LEGACY};
	unsigned int before;

	cr_assert_eq(fake_call(GENIE_OP_genieCtxCreate, &second, 2), 0);
	before = device.set_current;
	work(a);
	work(a);
	cr_assert_eq(device.set_current, before + 1);
	cr_assert_eq(fake_call(GENIE_OP_cuMemsetD8Async, &set, 2), 0);
	cr_assert_eq(device.set_current, before + 2);
	cr_assert_eq(fake_call(GENIE_OP_cuMemsetD8Async, &set, 3), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_INVALID_CONTEXT);
}

Test(exec_stream, the_end_of_a_context_ends_what_is_in_it)
{
	struct genie_args_genieCtxDestroy destroy = {.ctx = TOKEN(CUcontext, GENIE_KIND_CTX, 0, 1)};
	CUstream a = fake_stream(3);
	CUevent event = fake_event(8);

	fake_function();
	work(a);
	record(event, a);
	cr_assert_eq(fake_call(GENIE_OP_genieCtxDestroy, &destroy, 1), 0);
	cr_assert_eq(fake.errors, 0);
	cr_assert_eq(device.streams_destroyed, 1);
	cr_assert_eq(device.module_unloads, 1);
	for (int kind = 0; kind < GENIE_KIND_COUNT; kind++)
		cr_assert_eq(fake.session.objects.client[kind].live, 0, "kind %d", kind);
	cr_assert_eq(fake_call(GENIE_OP_genieCtxDestroy, &destroy, 0), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_INVALID_CONTEXT);
	fake_ctx();
	work(LEGACY);
	mark(LEGACY);
	cr_assert(fake_reached(GENIE_SLOT_STREAM));
}

Test(exec_stream, context_tokens_are_checked)
{
	struct genie_args_genieCtxCreate args = {.ctx = TOKEN(CUcontext, GENIE_KIND_CTX, 0, 1)};

	cr_assert_eq(fake_call(GENIE_OP_genieCtxCreate, &args, 1), -EPROTO, "in use");
	fake.session.fatal = false;
	args.ctx = TOKEN(CUcontext, GENIE_KIND_CTX, 0, 0);
	cr_assert_eq(fake_call(GENIE_OP_genieCtxCreate, &args, 0), -EPROTO, "0 is no context");
	fake.session.fatal = false;
	args.ctx = TOKEN(CUcontext, GENIE_KIND_CTX, 0, GENIE_SLOT_CTXS);
	cr_assert_eq(fake_call(GENIE_OP_genieCtxCreate, &args, 0), -EPROTO, "limit");
	fake.session.fatal = false;
	args.ctx = TOKEN(CUcontext, GENIE_KIND_CTX, 0, 0x80000001);
	cr_assert_eq(fake_call(GENIE_OP_genieCtxCreate, &args, 0), -EPROTO, "the server's own");
	fake.session.fatal = false;
	args.ctx = TOKEN(CUcontext, GENIE_KIND_CTX, 0, 5);
	args.device = 2;
	cr_assert_eq(fake_call(GENIE_OP_genieCtxCreate, &args, 0), 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_INVALID_DEVICE);
}

/* As the loop of the worker does between two commands. */
static void
attend_for_a_moment(int looks)
{
	while (looks-- > 0 && genie_complete_attend(&fake.session))
		;
	genie_complete_hand_over(&fake.session);
}

Test(exec_stream, the_issuing_thread_looks_after_what_is_waited_for)
{
	CUstream a = fake_stream(3);
	struct genie_args_genieStreamMark args = {.stream = a};

	fake.session.attends = true;
	cr_assert_not(genie_complete_attend(&fake.session), "nothing to look after");
	for (int i = 0; i < 3000; i++) {
		fake_hold();
		work(a);
		cr_assert_eq(fake_call_flags(GENIE_OP_genieStreamMark, &args, 1, GENIE_CMD_WAIT),
			     0);
		if (i % 3 == 0) /* handed over: the other thread sees it */
			attend_for_a_moment(i % 5);
		fake_go();
		if (i % 3)
			attend_for_a_moment(10);
		cr_assert(fake_reached(GENIE_SLOT_STREAM + 3));
	}
	/* it gives up after a moment */
	fake_hold();
	work(a);
	cr_assert_eq(fake_call_flags(GENIE_OP_genieStreamMark, &args, 1, GENIE_CMD_WAIT), 0);
	while (genie_complete_attend(&fake.session))
		;
	fake_go();
	cr_assert(fake_reached(GENIE_SLOT_STREAM + 3));
}

Test(exec_stream, a_wait_of_the_issuing_thread_hands_over)
{
	CUstream a = fake_stream(3);
	struct genie_args_genieStreamMark args = {.stream = a};

	fake.session.attends = true;
	fake_hold();
	work(a);
	cr_assert_eq(fake_call_flags(GENIE_OP_genieStreamMark, &args, 1, GENIE_CMD_WAIT), 0);
	fake_go();
	genie_complete_drain(&fake.session, NULL);
	cr_assert(fake_reached(GENIE_SLOT_STREAM + 3));
}

Test(exec_stream, two_threads_at_work)
{
	CUstream streams[8];
	CUevent events[8];

	for (unsigned int i = 0; i < 8; i++) {
		streams[i] = fake_stream(10 + i);
		events[i] = fake_event(10 + i);
	}
	for (unsigned int i = 0; i < 4000; i++) {
		if (i % 64 == 0)
			fake_hold();
		if (i % 64 == 40)
			fake_go();
		work(streams[i % 8]);
		record(events[i % 7], streams[i % 8]);
		if (i % 5 == 0)
			mark(streams[i % 3]);
	}
	fake_go();
	mark(streams[0]);
	cr_assert(fake_reached(GENIE_SLOT_STREAM + 10));
	cr_assert_eq(fake.errors, 0);
}
