/*
 * For tests/fault: says "ready", then uses CUDA in one way until an error stops it, and names the
 * error. `victim steady N` does N rounds instead and checks every one; `victim exec` becomes
 * another of these without ending its session.
 */
#include "program.h"

#include <cstring>
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

static const struct {
	const char *name;
	cudaError_t (*round)();
} ways[] = {
	{"launch", launch},     {"sync", launch_and_wait}, {"wait", wait_forever},
	{"poll", poll_forever}, {"copy-up", copy_up},      {"copy-down", copy_down},
	{"allocate", allocate},
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
		return 3;
	}
	return 2;
}
