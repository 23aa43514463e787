/* interpose/watch.c: calls by name, and ranges, in what GENIE_STATS writes. */
#include "interpose/watch.h"

#include <criterion/criterion.h>
#include <cudaProfiler.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fake_chan.h"

static char path[] = "/tmp/genie-test-watch-XXXXXX";
static char text[65536];

static void
start(void)
{
	CUcontext ctx;
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	close(fd);
	setenv("GENIE_STATS", path, 1);
	fake_init();
	cr_assert_eq(cuInit(0), CUDA_SUCCESS);
	cr_assert_eq(cuDevicePrimaryCtxRetain(&ctx, 0), CUDA_SUCCESS);
	cr_assert_eq(cuCtxSetCurrent(ctx), CUDA_SUCCESS);
}

static void
start_with_names(void)
{
	setenv("GENIE_STATS_CALLS", "1", 1);
	start();
}

static void
stop(void)
{
	unlink(path);
}

static void
ask(int times)
{
	CUdevice device;

	for (int i = 0; i < times; i++)
		cr_assert_eq(cuCtxGetDevice(&device), CUDA_SUCCESS);
}

static void
written(void)
{
	FILE *file;
	size_t len;

	genie_stats_write();
	file = fopen(path, "r");
	cr_assert_not_null(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	text[len] = '\0';
	fclose(file);
}

static int
count_of(const char *part)
{
	int count = 0;

	for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
		count++;
	return count;
}

TestSuite(watch, .init = start, .fini = stop, .timeout = 30);
TestSuite(watch_names, .init = start_with_names, .fini = stop, .timeout = 30);

/* Who does not ask for names pays nothing for them. */
Test(watch, no_names)
{
	cr_assert_eq(atomic_load(&genie_client.gate), 0);
	cr_assert_eq(cuProfilerStart(), CUDA_SUCCESS);
	ask(3);
	cr_assert_eq(cuProfilerStop(), CUDA_SUCCESS);
	ask(1);
	cr_assert_eq(cuProfilerStop(), CUDA_SUCCESS); /* of nothing */
	cr_assert_eq(cuProfilerStart(), CUDA_SUCCESS);
	ask(1);
	cr_assert_eq(cuProfilerStart(), CUDA_SUCCESS); /* the last one counts */
	cr_assert_eq(cuProfilerStop(), CUDA_SUCCESS);
	written();
	cr_assert_null(strstr(text, "calls_by_name"));
	cr_assert_eq(count_of("    {\"calls\": "), 2, "%s", text);
	cr_assert_eq(count_of("    {\"calls\": 3, \"async_calls\": 0, \"launches\": 0, "
			      "\"round_trips\": 0, "),
		     1, "%s", text);
	cr_assert_eq(count_of("    {\"calls\": 0, "), 1, "%s", text);
}

Test(watch_names, names)
{
	CUdevice device;

	cr_assert_eq(atomic_load(&genie_client.gate), GENIE_GATE_WATCHED);
	ask(2);
	cr_assert_eq(cuProfilerStart(), CUDA_SUCCESS);
	ask(3);
	genie_count_round_trip(genie_thread_self());
	cr_assert_eq(cuCtxGetDevice(NULL), CUDA_ERROR_INVALID_VALUE);
	cr_assert_eq(cuDeviceGet(&device, 0), CUDA_SUCCESS);
	cr_assert_eq(cuProfilerStop(), CUDA_SUCCESS);
	written();
	cr_assert_eq(count_of("\"cuInit\": {\"calls\": 1, \"round_trips\": 0}"), 1, "%s", text);
	cr_assert_eq(count_of("\"cuCtxGetDevice\": {\"calls\": 6, \"round_trips\": 1}"), 1, "%s",
		     text);
	cr_assert_eq(count_of("\"cuCtxGetDevice\": {\"calls\": 4, \"round_trips\": 1}"), 1, "%s",
		     text);
	cr_assert_eq(count_of("\"cuProfilerStop\""), 1, "%s", text); /* not in the range it ends */
}

/* A sticky error closes the gate all the same. */
Test(watch_names, errors)
{
	CUdevice device;

	fake.error = (struct genie_async_error){.ticket = 1,
						.op = GENIE_OP_genieLaunch,
						.status = CUDA_ERROR_ILLEGAL_ADDRESS,
						.sticky = 1};
	cr_assert_eq(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
	cr_assert_eq(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
	cr_assert_eq(cuDeviceGet(&device, 0), CUDA_SUCCESS);
}
