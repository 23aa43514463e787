/*
 * What a call costs the program: a driver-API program that times its own calls. Run it natively
 * or under Genie (bench/run does both where there is a GPU); it knows nothing of either.
 *
 *   bench-calls [--json]
 *
 * Asynchronous calls are timed in bursts that fit a command ring (BURST), with a synchronisation
 * between bursts outside the clock: the figure is what the caller pays, not how fast the device
 * executes. Each figure is the median of ROUNDS bursts.
 */
#include <cuda.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BURST  1000
#define ROUNDS 101

static const char ptx[] = ".version 7.0\n"
			  ".target sm_52\n"
			  ".address_size 64\n"
			  ".visible .entry nothing(.param .u64 p, .param .u32 n)\n"
			  "{\n"
			  "\tret;\n"
			  "}\n";

static CUfunction function;
static CUdeviceptr memory;
static CUstream stream;
static CUevent event;
static int json;

static void
check(CUresult status, const char *what)
{
	const char *text = "?";

	if (status == CUDA_SUCCESS)
		return;
	cuGetErrorString(status, &text);
	fprintf(stderr, "bench-calls: %s: %d %s\n", what, status, text);
	exit(1);
}

static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
launch(void)
{
	unsigned int n = 1;
	void *params[] = {&memory, &n};

	check(cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, stream, params, NULL),
	      "cuLaunchKernel");
}

static void
set(void)
{
	check(cuMemsetD8Async(memory, 0, 64, stream), "cuMemsetD8Async");
}

static void
record(void)
{
	check(cuEventRecord(event, stream), "cuEventRecord");
}

static void
alloc_free(void)
{
	CUdeviceptr p;

	check(cuMemAlloc_v2(&p, 4096), "cuMemAlloc");
	check(cuMemFree_v2(p), "cuMemFree");
}

static void
current(void)
{
	CUcontext ctx;

	check(cuCtxGetCurrent(&ctx), "cuCtxGetCurrent");
}

static void
attribute(void)
{
	int value;

	check(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0),
	      "cuDeviceGetAttribute");
}

static void
upload_small(void)
{
	static const char data[256];

	check(cuMemcpyHtoDAsync_v2(memory, data, sizeof(data), stream), "cuMemcpyHtoDAsync");
}

static void
read_back(void)
{
	int value;

	check(cuMemcpyDtoH_v2(&value, memory, sizeof(value)), "cuMemcpyDtoH");
}

static void
launch_and_wait(void)
{
	launch();
	check(cuStreamSynchronize(stream), "cuStreamSynchronize");
}

static void
measure(const char *name, void (*call)(void), int burst)
{
	double times[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		double start;

		check(cuCtxSynchronize(), "cuCtxSynchronize");
		start = now_ns();
		for (int k = 0; k < burst; k++)
			call();
		times[i] = (now_ns() - start) / burst;
	}
	qsort(times, ROUNDS, sizeof(times[0]), compare);
	if (json)
		printf("{\"name\": \"%s\", \"median_ns\": %.1f, \"min_ns\": %.1f, \"p90_ns\": "
		       "%.1f}\n",
		       name, times[ROUNDS / 2], times[0], times[ROUNDS * 9 / 10]);
	else
		printf("%-34s %10.1f ns   (min %.1f, p90 %.1f)\n", name, times[ROUNDS / 2],
		       times[0], times[ROUNDS * 9 / 10]);
}

int
main(int argc, char **argv)
{
	CUcontext ctx;
	CUmodule module;
	CUdevice device;

	json = argc > 1 && !strcmp(argv[1], "--json");
	check(cuInit(0), "cuInit");
	check(cuDeviceGet(&device, 0), "cuDeviceGet");
	check(cuDevicePrimaryCtxRetain(&ctx, device), "cuDevicePrimaryCtxRetain");
	check(cuCtxSetCurrent(ctx), "cuCtxSetCurrent");
	check(cuModuleLoadData(&module, ptx), "cuModuleLoadData");
	check(cuModuleGetFunction(&function, module, "nothing"), "cuModuleGetFunction");
	check(cuMemAlloc_v2(&memory, 1 << 20), "cuMemAlloc");
	check(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
	check(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING), "cuEventCreate");

	measure("cuCtxGetCurrent", current, BURST);
	measure("cuDeviceGetAttribute", attribute, BURST);
	measure("cuLaunchKernel, asynchronous", launch, BURST);
	measure("cuMemsetD8Async", set, BURST);
	measure("cuMemcpyHtoDAsync, 256 B", upload_small, BURST);
	measure("cuEventRecord", record, BURST);
	measure("cuMemAlloc + cuMemFree, 4 KiB", alloc_free, BURST);
	measure("launch + cuStreamSynchronize", launch_and_wait, 20);
	measure("cuMemcpyDtoH, 4 B", read_back, 20);
	return 0;
}
