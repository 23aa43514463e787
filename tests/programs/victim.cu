/*
 * For tests/fault: says "ready", then uses CUDA in one way until an error stops it, and names the
 * error. `victim steady N` does N rounds instead and checks every one; `victim exec` becomes
 * another of these without ending its session.
 */
#include "program.h"

#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

__global__ void
add_one(int *p)
{
	p[threadIdx.x] += 1;
}

__global__ void
forever(volatile int *p)
{
	while (*p == 0)
		;
}

constexpr size_t COPY_SIZE = 64 << 20;

static int *device, *flag;
static char *large, *buffer;
static cudaEvent_t event;

static void
prepare()
{
	CUDA(cudaMalloc(&device, 128));
	CUDA(cudaMalloc(&flag, sizeof(int)));
	CUDA(cudaMemset(device, 0, 128));
	CUDA(cudaMemset(flag, 0, sizeof(int)));
	CUDA(cudaMalloc(&large, COPY_SIZE));
	CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
	buffer = (char *)calloc(1, COPY_SIZE);
	add_one<<<1, 32>>>(device);
	LAUNCHED();
	CUDA(cudaDeviceSynchronize());
}

static cudaError_t
launch()
{
	add_one<<<1, 32>>>(device);
	return cudaGetLastError();
}

static cudaError_t
launch_and_wait()
{
	cudaError_t error = launch();
	return error ? error : cudaDeviceSynchronize();
}

/* Never returns by itself. */
static cudaError_t
wait_forever()
{
	forever<<<1, 32>>>(flag);
	cudaError_t error = cudaGetLastError();
	return error ? error : cudaDeviceSynchronize();
}

static cudaError_t
poll_forever()
{
	forever<<<1, 32>>>(flag);
	cudaError_t error = cudaEventRecord(event);
	if (error)
		return error;
	while ((error = cudaEventQuery(event)) == cudaErrorNotReady)
		;
	return error;
}

static cudaError_t
copy_up()
{
	return cudaMemcpy(large, buffer, COPY_SIZE, cudaMemcpyHostToDevice);
}

static cudaError_t
copy_down()
{
	return cudaMemcpy(buffer, large, COPY_SIZE, cudaMemcpyDeviceToHost);
}

/* Calls that need no answer, with long pauses. */
static cudaError_t
allocate()
{
	void *p;
	usleep(50000);
	cudaError_t error = cudaMalloc(&p, 1000);
	return error ? error : cudaFree(p);
}

/*
 * Memory that is registered in the middle of a page, so that something else of the program's lies
 * in its first and last pages.
 */
constexpr size_t LENT_COUNT = 40000, LENT_BEFORE = 1000, LENT_AFTER = 3000;
static int *lent, *lent_device;

static int
lent_value(size_t i)
{
	return (int)(i * 2654435761u);
}

static cudaError_t
lend()
{
	cudaError_t error = cudaHostRegister(lent + LENT_BEFORE, LENT_COUNT * sizeof(int),
					     cudaHostRegisterMapped);
	if (!error)
		error = cudaHostGetDevicePointer((void **)&lent_device, lent + LENT_BEFORE, 0);
	return error;
}

static bool
lent_intact(size_t first, size_t end)
{
	for (size_t i = first; i < end; i++)
		if (lent[i] != lent_value(i))
			return false;
	return true;
}

static void
prepare_lent()
{
	size_t count = LENT_BEFORE + LENT_COUNT + LENT_AFTER;
	lent = (int *)malloc(count * sizeof(int));
	for (size_t i = 0; i < count; i++)
		lent[i] = lent_value(i);
}

static void
prepare_registered()
{
	prepare_lent();
	CUDA(lend());
}

/* Kernels change 32 values of registered memory, and the program changes them back. */
static cudaError_t
use_registered()
{
	add_one<<<1, 32>>>(lent_device + LENT_COUNT / 2);
	cudaError_t error = cudaGetLastError();
	if (!error)
		error = cudaDeviceSynchronize();
	for (size_t i = 0; !error && i < 32; i++)
		lent[LENT_BEFORE + LENT_COUNT / 2 + i] -= 1;
	return error;
}

/* The device comes and goes. */
static cudaError_t
register_and_not()
{
	cudaError_t error = lend();
	if (!error)
		error = cudaHostUnregister(lent + LENT_BEFORE);
	if (!error)
		EXPECT(lent_intact(0, LENT_BEFORE + LENT_COUNT + LENT_AFTER));
	return error;
}

/* With the device gone the memory is still the program's: all of it, and a child's is its own. */
static void
keep_lent()
{
	size_t middle = LENT_BEFORE + LENT_COUNT / 2, end = LENT_BEFORE + LENT_COUNT + LENT_AFTER;
	int status;
	EXPECT(lent_intact(0, middle) && lent_intact(middle + 32, end));
	for (size_t i = middle; i < middle + 32; i++) {
		EXPECT(lent[i] == lent_value(i) || lent[i] == lent_value(i) + 1);
		lent[i] = lent_value(i);
	}
	pid_t child = fork();
	if (child == 0) {
		bool intact = lent_intact(0, end);
		memset(lent, 0, end * sizeof(int));
		_exit(intact ? 0 : 1);
	}
	EXPECT(child > 0 && waitpid(child, &status, 0) == child && status == 0);
	EXPECT(lent_intact(0, end));
	cudaHostUnregister(lent + LENT_BEFORE); /* it may fail; the memory stays */
	EXPECT(lent_intact(0, end));
	free(lent);
}

static const struct {
	const char *name;
	cudaError_t (*round)();
	void (*before)();
	void (*after)();
} ways[] = {
	{"launch", launch},
	{"sync", launch_and_wait},
	{"wait", wait_forever},
	{"poll", poll_forever},
	{"copy-up", copy_up},
	{"copy-down", copy_down},
	{"allocate", allocate},
	{"registered", use_registered, prepare_registered, keep_lent},
	{"registering", register_and_not, prepare_lent, keep_lent},
};

static int
steady(int rounds)
{
	for (int i = 1; i <= rounds; i++) {
		int values[32];
		CUDA(launch_and_wait());
		CUDA(cudaMemcpy(values, device, sizeof(values), cudaMemcpyDeviceToHost));
		EXPECT(values[0] == i + 1 && values[31] == i + 1);
		usleep(10000);
	}
	return ok();
}

int
main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	prepare();
	for (const auto &way : ways)
		if (!strcmp(argv[1], way.name) && way.before)
			way.before();
	printf("ready\n");
	fflush(stdout);
	if (!strcmp(argv[1], "exec")) {
		char rounds[] = "3", steadily[] = "steady";
		char *const args[] = {argv[0], steadily, rounds, nullptr};
		launch(); /* something is under way */
		execv("/proc/self/exe", args);
		return 2;
	}
	if (!strcmp(argv[1], "steady"))
		return steady(argc > 2 ? atoi(argv[2]) : 100);
	for (const auto &way : ways) {
		if (strcmp(argv[1], way.name))
			continue;
		cudaError_t error;
		while ((error = way.round()) == cudaSuccess)
			;
		printf("%s\n", cudaGetErrorName(error));
		fflush(stdout);
		/* The error stays. */
		EXPECT(cudaDeviceSynchronize() != cudaSuccess);
		if (way.after)
			way.after();
		return 3;
	}
	return 2;
}
