/* Start, contexts, streams, events and errors of the client, against a channel without a worker. */
#include "interpose/client.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/fake_chan.h"

static CUcontext ctx;
static CUdeviceptr word; /* somewhere on the device */

static void
start(void)
{
	fake_init();
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cr_assert_eq(cuDevicePrimaryCtxRetain(&ctx, 0), CUDA_SUCCESS);
	cr_assert_eq(cuCtxSetCurrent(ctx), CUDA_SUCCESS);
	cr_assert_eq(cuMemAlloc_v2(&word, 4), CUDA_SUCCESS);
}

/* Something that a stream has to do. */
static void
work(CUstream stream)
{
	cr_assert_eq(cuStreamWriteValue32_v2(stream, word, 1, 0), CUDA_SUCCESS);
}

/* ---- what kernels print ---- */

static _Atomic bool shown;

/* The service thread of a machine with much to do: it comes to the text late. */
static void *
show_late(void *text)
{
	usleep(1300000);
	atomic_store(&shown, true);
	fake.events.output(fake.events.data, text, 2, false);
	return NULL;
}

static void
wait_for_late(void *text)
{
	pthread_t thread;

	work(NULL);
	__atomic_store_n(&fake.progress[GENIE_SLOT_OUTPUT], 2, __ATOMIC_RELEASE);
	pthread_create(&thread, NULL, show_late, text);
	cr_assert_eq(cuCtxSynchronize(), CUDA_SUCCESS);
	cr_assert(atomic_load(&shown), "synchronizing shows what was printed before");
	pthread_join(thread, NULL);
}

Test(client_output, waits_for_text_that_comes_late, .init = start, .timeout = 30)
{
	wait_for_late(" \n");
}

Test(client_output, waits_for_text_that_is_lost, .init = start, .timeout = 30)
{
	wait_for_late(NULL);
}

/* A host function may wait for what the program does after it has synchronized. */
static sem_t may_end;

static void
wait_for_program(void *data)
{
	(void)data;
	sem_wait(&may_end);
}

static void *
run_host_function(void *data)
{
	(void)data;
	fake.events.host_func(fake.events.data, 1);
	return NULL;
}

Test(client_output, does_not_wait_long_for_a_host_function, .init = start, .timeout = 30)
{
	struct timespec begin, end;
	pthread_t thread;

	sem_init(&may_end, 0, 0);
	cr_assert_eq(cuLaunchHostFunc(NULL, wait_for_program, NULL), CUDA_SUCCESS);
	pthread_create(&thread, NULL, run_host_function, NULL);
	while (!genie_hostfunc_running())
		usleep(1000);
	__atomic_store_n(&fake.progress[GENIE_SLOT_OUTPUT], 2, __ATOMIC_RELEASE);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	cr_assert_eq(cuCtxSynchronize(), CUDA_SUCCESS);
	clock_gettime(CLOCK_MONOTONIC, &end);
	cr_assert_lt(end.tv_sec - begin.tv_sec, 10);
	sem_post(&may_end);
	pthread_join(thread, NULL);
}

/* ---- start ---- */

Test(client_start, nothing_before_init, .init = fake_init)
{
	CUdevice device;

	cr_assert_eq(cuDeviceGet(&device, 0), CUDA_ERROR_NOT_INITIALIZED);
	cr_assert_eq(fake.connects, 0);
	cr_assert_eq(cuInit(1), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cr_assert_eq(fake.connects, 1);
	cr_assert_eq(fake.count, 0, "cuInit sends nothing");
}

Test(client_start, no_server)
{
	int version = 0;

	unsetenv("GENIE_SERVER");
	cr_assert_eq(cuDriverGetVersion(&version), CUDA_SUCCESS);
	cr_assert_eq(version, CUDA_VERSION);
	cr_assert_eq(cuInit(0), CUDA_ERROR_NO_DEVICE);
	cr_assert_eq(cuInit(0), CUDA_ERROR_NO_DEVICE);
}

Test(client_start, refused, .init = fake_init)
{
	fake.refuse = ECONNREFUSED;
	cr_assert_eq(cuInit(0), CUDA_ERROR_NO_DEVICE);
	cr_assert_eq(cuInit(0), CUDA_ERROR_NO_DEVICE);
	cr_assert_eq(fake.connects, 1, "asked once");
}

Test(client_start, version_is_the_servers, .init = fake_init)
{
	int version = 0;

	fake.welcome.driver_version = 12080;
	cr_assert_eq(cuDriverGetVersion(&version), CUDA_SUCCESS);
	cr_assert_eq(version, 12080);
}

Test(client_start, child_of_an_initialised_process, .init = start)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		CUcontext current;
		const char *name;
		bool right = cuInit(0) == CUDA_ERROR_NOT_INITIALIZED &&
			     cuCtxGetCurrent(&current) == CUDA_ERROR_NOT_INITIALIZED &&
			     cuGetErrorName(CUDA_SUCCESS, &name) == CUDA_SUCCESS &&
			     fake.connects == 1;

		_exit(right ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	cr_assert_eq(status, 0);
}

Test(client_start, child_of_a_process_that_only_asked, .init = fake_init)
{
	int status = 0, version;
	pid_t pid;

	cuDriverGetVersion(&version);
	pid = fork();
	if (pid == 0)
		_exit(cuInit(0) == CUDA_SUCCESS && fake.connects == 2 ? 0 : 1);
	waitpid(pid, &status, 0);
	cr_assert_eq(status, 0);
}

Test(client_start, visible_devices, .init = fake_init)
{
	int count = 0;

	setenv("CUDA_VISIBLE_DEVICES", "0", 1);
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cr_assert_eq(cuDeviceGetCount(&count), CUDA_SUCCESS);
	cr_assert_eq(count, 1);
}

Test(client_start, no_visible_device, .init = fake_init)
{
	setenv("CUDA_VISIBLE_DEVICES", "", 1);
	cr_assert_eq(cuInit(0), CUDA_ERROR_NO_DEVICE);
}

/* ---- contexts ---- */

Test(client_ctx, primary, .init = fake_init)
{
	CUcontext a = NULL, b = NULL;
	unsigned int flags;
	int active = 1;

	cuInit(0);
	cr_assert_eq(cuDevicePrimaryCtxGetState(0, &flags, &active), CUDA_SUCCESS);
	cr_assert_eq(active, 0);
	cr_assert_eq(cuDevicePrimaryCtxRetain(&a, 0), CUDA_SUCCESS);
	cr_assert_eq(cuDevicePrimaryCtxRetain(&b, 0), CUDA_SUCCESS);
	cr_assert_eq(a, b);
	cr_assert_eq(fake_count(GENIE_OP_genieCtxCreate), 1);
	cuDevicePrimaryCtxGetState(0, &flags, &active);
	cr_assert_eq(active, 1);
	cr_assert_eq(cuDevicePrimaryCtxRelease_v2(0), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieCtxDestroy), 0);
	cr_assert_eq(cuDevicePrimaryCtxRelease_v2(0), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieCtxDestroy), 1);
	cr_assert_eq(cuDevicePrimaryCtxRelease_v2(0), CUDA_ERROR_INVALID_CONTEXT);
	cr_assert_eq(cuDevicePrimaryCtxRetain(&a, 5), CUDA_ERROR_INVALID_DEVICE);
}

Test(client_ctx, stack, .init = start)
{
	CUcontext own = NULL, current = NULL, popped = NULL;
	CUdevice device = -1;

	cr_assert_eq(cuCtxCreate_v2(&own, 0, 1), CUDA_SUCCESS);
	cuCtxGetCurrent(&current);
	cr_assert_eq(current, own);
	cr_assert_eq(cuCtxGetDevice(&device), CUDA_SUCCESS);
	cr_assert_eq(device, 1);
	cr_assert_eq(cuCtxPopCurrent_v2(&popped), CUDA_SUCCESS);
	cr_assert_eq(popped, own);
	cuCtxGetDevice(&device);
	cr_assert_eq(device, 0);
	cr_assert_eq(cuCtxPushCurrent_v2(own), CUDA_SUCCESS);
	cr_assert_eq(cuCtxDestroy_v2(own), CUDA_SUCCESS);
	cuCtxGetCurrent(&current);
	cr_assert_eq(current, ctx, "destroying the current context pops it");
	cr_assert_eq(cuCtxSetCurrent(own), CUDA_ERROR_INVALID_CONTEXT);
	cr_assert_eq(cuCtxDestroy_v2(ctx), CUDA_ERROR_INVALID_CONTEXT, "a primary one");
	cr_assert_eq(cuCtxSetCurrent(NULL), CUDA_SUCCESS);
	cr_assert_eq(cuCtxGetDevice(&device), CUDA_ERROR_INVALID_CONTEXT);
	cr_assert_eq(cuCtxPopCurrent_v2(NULL), CUDA_ERROR_INVALID_CONTEXT);
}

Test(client_ctx, stack_is_finite, .init = start)
{
	int n = 0;

	while (cuCtxPushCurrent_v2(ctx) == CUDA_SUCCESS && n < 1000)
		n++;
	cr_assert_eq(n, GENIE_CTX_STACK - 1);
}

Test(client_ctx, synchronize_asks_once, .init = start)
{
	CUevent event;

	cr_assert_eq(cuCtxSynchronize(), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieCtxMark), 1);
	for (int i = 0; i < 10; i++)
		cuCtxSynchronize();
	cr_assert_eq(fake_count(GENIE_OP_genieCtxMark), 1, "nothing new was submitted");
	cuEventCreate(&event, 0);
	cuCtxSynchronize();
	cr_assert_eq(fake_count(GENIE_OP_genieCtxMark), 2);
}

Test(client_ctx, commands_carry_the_context, .init = start)
{
	CUcontext other;
	CUevent event;

	cuCtxCreate_v2(&other, 0, 1);
	cuEventCreate(&event, 0);
	cr_assert_eq(fake_last(GENIE_OP_cuEventCreate)->ctx, genie_token_index((uintptr_t)other));
	cuCtxPopCurrent_v2(NULL);
	cuEventCreate(&event, 0);
	cr_assert_eq(fake_last(GENIE_OP_cuEventCreate)->ctx, genie_token_index((uintptr_t)ctx));
}

Test(client_ctx, limits, .init = start)
{
	size_t value = 0;

	cr_assert_eq(cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE), CUDA_SUCCESS);
	cr_assert_eq(value, 1024);
	cr_assert_eq(cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 2048), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_cuCtxSetLimit), 1);
	cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE);
	cr_assert_eq(value, 2048);
	cr_assert_eq(cuCtxGetLimit(&value, (CUlimit)99), CUDA_ERROR_INVALID_VALUE);
}

/* ---- streams ---- */

Test(client_stream, create_and_destroy_do_not_wait, .init = start)
{
	CUstream stream;

	for (int i = 0; i < 100; i++) {
		cr_assert_eq(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
		cr_assert_eq(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
	}
	cr_assert_eq(fake.waits, 0);
	cr_assert_eq(genie_thread_self()->round_trips, 0);
	cr_assert_eq(cuStreamSynchronize(stream), CUDA_ERROR_INVALID_HANDLE, "stale");
	cr_assert_eq(cuStreamCreate(&stream, 8), CUDA_ERROR_INVALID_VALUE);
}

Test(client_stream, priorities_are_brought_into_range, .init = start)
{
	CUstream stream;
	int priority = 0;

	cuStreamCreateWithPriority(&stream, 0, -100);
	cuStreamGetPriority(stream, &priority);
	cr_assert_eq(priority, -5);
	cuStreamCreateWithPriority(&stream, 0, 7);
	cuStreamGetPriority(stream, &priority);
	cr_assert_eq(priority, 0);
}

Test(client_stream, query, .init = start)
{
	CUstream stream;

	cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING);
	cr_assert_eq(cuStreamQuery(stream), CUDA_SUCCESS, "nothing was submitted");
	cr_assert_eq(fake_count(GENIE_OP_genieStreamMark), 0);
	work(stream);
	cr_assert_eq(cuStreamQuery(stream), CUDA_ERROR_NOT_READY);
	cr_assert_eq(cuStreamQuery(stream), CUDA_ERROR_NOT_READY);
	cr_assert_eq(fake_count(GENIE_OP_genieStreamMark), 1, "one mark, then only loads");
	fake.progress[GENIE_SLOT_STREAM + genie_token_index((uintptr_t)stream)] = fake.last_ticket;
	cr_assert_eq(cuStreamQuery(stream), CUDA_SUCCESS);
	cr_assert_eq(fake.waits, 0);
}

Test(client_stream, synchronize, .init = start)
{
	CUstream stream;

	cuStreamCreate(&stream, 0);
	cr_assert_eq(cuStreamSynchronize(stream), CUDA_SUCCESS);
	cr_assert_eq(fake.waits, 0);
	work(stream);
	cr_assert_eq(cuStreamSynchronize(stream), CUDA_SUCCESS);
	cr_assert_eq(cuStreamSynchronize(stream), CUDA_SUCCESS);
	cr_assert_eq(fake.waits, 1);
	cr_assert_eq(fake_count(GENIE_OP_genieStreamMark), 1);
	cr_assert(fake_last(GENIE_OP_genieStreamMark)->flags & GENIE_CMD_WAIT);
}

Test(client_stream, legacy_waits_for_blocking_streams_only, .init = start)
{
	CUstream blocking, other;

	cuStreamCreate(&blocking, 0);
	cuStreamCreate(&other, CU_STREAM_NON_BLOCKING);
	work(other);
	cr_assert_eq(cuStreamQuery(NULL), CUDA_SUCCESS);
	work(blocking);
	cr_assert_eq(cuStreamQuery(NULL), CUDA_ERROR_NOT_READY);
	cr_assert_eq(cuStreamSynchronize(CU_STREAM_LEGACY), CUDA_SUCCESS);
	cr_assert_eq(cuStreamQuery(NULL), CUDA_SUCCESS);
	/* Each context has a slot of its own for it: the one of a hidden event. */
	cr_assert_eq(fake_count(GENIE_OP_genieStreamMark), 0);
	cr_assert_eq(fake_count(GENIE_OP_genieEventRecord), 1);
}

Test(client_stream, per_thread, .init = start)
{
	unsigned long long a = 0, b = 0, legacy = 0;

	cr_assert_eq(cuStreamGetId(CU_STREAM_PER_THREAD, &a), CUDA_SUCCESS);
	cr_assert_eq(cuStreamGetId_ptsz(NULL, &b), CUDA_SUCCESS);
	cr_assert_eq(cuStreamGetId(NULL, &legacy), CUDA_SUCCESS);
	cr_assert_eq(a, b);
	cr_assert_neq(a, legacy);
	cr_assert_eq(fake_count(GENIE_OP_cuStreamCreateWithPriority), 1);
	cr_assert_eq(cuStreamDestroy_v2(CU_STREAM_PER_THREAD), CUDA_ERROR_INVALID_HANDLE);
}

static void *
per_thread_use(void *data)
{
	cuCtxSetCurrent(data);
	cuStreamQuery(CU_STREAM_PER_THREAD);
	return NULL;
}

Test(client_stream, per_thread_ends_with_the_thread, .init = start)
{
	pthread_t thread;

	pthread_create(&thread, NULL, per_thread_use, ctx);
	pthread_join(thread, NULL);
	cr_assert_eq(fake_count(GENIE_OP_cuStreamCreateWithPriority), 1);
	cr_assert_eq(fake_count(GENIE_OP_cuStreamDestroy_v2), 1);
}

Test(client_stream, no_context, .init = fake_init)
{
	cuInit(0);
	cr_assert_eq(cuStreamQuery(NULL), CUDA_ERROR_INVALID_CONTEXT);
}

/* ---- events ---- */

Test(client_event, life_without_round_trips, .init = start)
{
	CUevent event;

	for (int i = 0; i < 100; i++) {
		cr_assert_eq(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
		cr_assert_eq(cuEventRecord(event, NULL), CUDA_SUCCESS);
		cr_assert_eq(cuEventQuery(event), CUDA_ERROR_NOT_READY);
		cr_assert_eq(cuEventDestroy_v2(event), CUDA_SUCCESS);
	}
	cr_assert_eq(genie_thread_self()->round_trips, 0);
	cr_assert_eq(cuEventQuery(event), CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(cuEventDestroy_v2(event), CUDA_ERROR_INVALID_HANDLE);
}

Test(client_event, progress, .init = start)
{
	CUevent event;

	cuEventCreate(&event, 0);
	cr_assert_eq(cuEventQuery(event), CUDA_SUCCESS, "never recorded");
	cr_assert_eq(cuEventSynchronize(event), CUDA_SUCCESS);
	cuEventRecord(event, NULL);
	cr_assert_eq(cuEventQuery(event), CUDA_ERROR_NOT_READY);
	fake.progress[GENIE_SLOT_EVENT + genie_token_index((uintptr_t)event)] = fake.last_ticket;
	cr_assert_eq(cuEventQuery(event), CUDA_SUCCESS);
	cr_assert_eq(cuEventSynchronize(event), CUDA_SUCCESS);
	cr_assert_eq(fake.waits, 0, "what is known to be done needs no wait");
	cuEventRecord(event, NULL);
	cr_assert_eq(cuEventSynchronize(event), CUDA_SUCCESS);
	cr_assert_eq(fake.waits, 1);
}

Test(client_event, wait_is_skipped_when_done, .init = start)
{
	CUstream stream;
	CUevent event;

	cuStreamCreate(&stream, 0);
	cuEventCreate(&event, 0);
	cr_assert_eq(cuStreamWaitEvent(stream, event, 0), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_cuStreamWaitEvent), 0);
	cuEventRecord(event, NULL);
	cr_assert_eq(cuStreamWaitEvent(stream, event, 0), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_cuStreamWaitEvent), 1);
}

Test(client_event, elapsed_time, .init = start)
{
	CUevent start_event, end_event, untimed;
	float ms;

	cuEventCreate(&start_event, 0);
	cuEventCreate(&end_event, 0);
	cuEventCreate(&untimed, CU_EVENT_DISABLE_TIMING);
	cr_assert_eq(cuEventElapsedTime(&ms, start_event, end_event), CUDA_ERROR_INVALID_HANDLE);
	cuEventRecord(start_event, NULL);
	cuEventRecord(end_event, NULL);
	cuEventRecord(untimed, NULL);
	cr_assert_eq(cuEventElapsedTime(&ms, start_event, untimed), CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(cuEventElapsedTime(&ms, start_event, end_event), CUDA_ERROR_NOT_READY);
	cr_assert_eq(fake_count(GENIE_OP_cuEventElapsedTime_v2), 0);
}

Test(client_event, flags, .init = start)
{
	CUevent event;

	cr_assert_eq(cuEventCreate(&event, CU_EVENT_INTERPROCESS), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuEventCreate(&event, 64), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuEventCreate(&event, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING),
		     CUDA_SUCCESS);
}

Test(client_event, end_with_the_context, .init = start)
{
	CUevent event;

	cuEventCreate(&event, 0);
	cr_assert_eq(cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
	cr_assert_eq(cuEventDestroy_v2(event), CUDA_ERROR_INVALID_HANDLE);
	cr_assert_eq(cuEventCreate(&event, 0), CUDA_ERROR_INVALID_CONTEXT);
	cr_assert_eq(cuDevicePrimaryCtxRetain(&ctx, 0), CUDA_SUCCESS);
	cr_assert_eq(cuEventCreate(&event, 0), CUDA_SUCCESS, "the context is back");
	cr_assert_eq(cuStreamSynchronize(NULL), CUDA_SUCCESS);
}

/* ---- errors ---- */

Test(client_error, reported_once, .init = start)
{
	fake.error = (struct genie_async_error){.ticket = 1, .status = CUDA_ERROR_INVALID_VALUE};
	cr_assert_eq(cuCtxSynchronize(), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuCtxSynchronize(), CUDA_SUCCESS);
}

Test(client_error, of_the_same_call_is_for_a_later_one, .init = start)
{
	CUevent event;

	cuEventCreate(&event, 0);
	fake.error = (struct genie_async_error){.ticket = fake.last_ticket + 1,
						.status = CUDA_ERROR_INVALID_VALUE};
	cr_assert_eq(cuEventRecord(event, NULL), CUDA_SUCCESS);
	cr_assert_eq(cuEventRecord(event, NULL), CUDA_ERROR_INVALID_VALUE);
}

Test(client_error, sticky, .init = start)
{
	CUcontext current;
	CUstream stream;
	const char *text;

	fake.error = (struct genie_async_error){
		.ticket = 1, .status = CUDA_ERROR_ILLEGAL_ADDRESS, .sticky = 1};
	cr_assert_eq(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
	cr_assert_eq(cuStreamCreate(&stream, 0), CUDA_ERROR_ILLEGAL_ADDRESS);
	cr_assert_eq(cuCtxGetCurrent(&current), CUDA_SUCCESS, "asks nothing of the context");
	cr_assert_eq(current, ctx);
	cr_assert_eq(cuGetErrorString(CUDA_ERROR_ILLEGAL_ADDRESS, &text), CUDA_SUCCESS);
}

Test(client_error, creation_is_not_lost, .init = start)
{
	CUevent event = NULL;

	fake.error = (struct genie_async_error){.ticket = 1, .status = CUDA_ERROR_INVALID_VALUE};
	cr_assert_eq(cuEventCreate(&event, 0), CUDA_SUCCESS);
	cr_assert_not_null(event);
	cr_assert_eq(cuEventRecord(event, NULL), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuEventRecord(event, NULL), CUDA_SUCCESS);
}

Test(client_error, dead_worker, .init = start)
{
	CUstream stream;
	CUdevice device;

	cuStreamCreate(&stream, 0);
	fake.dead = true;
	cr_assert_eq(cuCtxGetDevice(&device), CUDA_ERROR_DEVICE_UNAVAILABLE);
	cr_assert_eq(cuStreamSynchronize(stream), CUDA_ERROR_DEVICE_UNAVAILABLE);
	cr_assert_eq(cuStreamCreate(&stream, 0), CUDA_ERROR_DEVICE_UNAVAILABLE);
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
}

Test(client_error, unsupported_says_so_once, .init = start)
{
	struct genie_thread *thread = genie_thread_self();
	uint64_t calls = thread->calls;

	cr_assert_eq(cuGraphicsUnregisterResource(NULL), CUDA_ERROR_NOT_SUPPORTED);
	cr_assert_eq(cuGraphicsUnregisterResource(NULL), CUDA_ERROR_NOT_SUPPORTED);
	cr_assert_eq(thread->calls, calls + 2);
}

Test(client_sync, every_call_waits)
{
	setenv("GENIE_SYNC", "1", 1);
	start();
	genie_thread_self()->round_trips = 0;
	cr_assert_eq(cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 2048), CUDA_SUCCESS);
	cr_assert_eq(genie_thread_self()->round_trips, 1);
	cr_assert(fake_last(GENIE_OP_cuCtxSetLimit)->flags & GENIE_CMD_REPLY);
	fake.status = CUDA_ERROR_INVALID_VALUE;
	cr_assert_eq(cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 2048), CUDA_ERROR_INVALID_VALUE);
}

Test(client_stream, is_done_when_its_last_event_is, .init = start)
{
	uint64_t *slot;
	CUstream stream, other;
	CUevent event;

	cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING);
	cuStreamCreate(&other, CU_STREAM_NON_BLOCKING);
	cuEventCreate(&event, 0);
	slot = &fake.progress[GENIE_SLOT_EVENT + genie_token_index((uintptr_t)event)];
	work(stream);
	cuEventRecord(event, stream);
	*slot = fake.last_ticket;
	cr_assert_eq(cuEventQuery(event), CUDA_SUCCESS);
	cr_assert_eq(cuStreamQuery(stream), CUDA_SUCCESS);
	cr_assert_eq(fake_count(GENIE_OP_genieStreamMark), 0);

	/* Recorded again elsewhere: that says nothing about this stream. */
	cuEventRecord(event, stream);
	cuEventRecord(event, other);
	*slot = fake.last_ticket;
	cr_assert_eq(cuStreamQuery(stream), CUDA_ERROR_NOT_READY);
}
