/*
 * Faults of kernels: the wait reports them, every later call reports them again, and another
 * process is not concerned. Each fault gets a process of its own.
 */
#include "faults.h"

#include <cassert>
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

__global__ void
write_to(int *p)
{
	*p = 1;
}

__global__ void
trap()
{
	asm("trap;");
}

#undef NDEBUG
__global__ void
fail_assertion(int x)
{
	assert(x == 1);
}

static void
expect_sticky(cudaError_t expected)
{
	void *p;
	EXPECT_ERROR(cudaDeviceSynchronize(), expected);
	EXPECT_ERROR(cudaGetLastError(), expected);
	EXPECT_ERROR(cudaMalloc(&p, 10), expected);
	write_to<<<1, 1>>>(nullptr);
	EXPECT_ERROR(cudaGetLastError(), expected);
	EXPECT_ERROR(cudaDeviceSynchronize(), expected);
}

static void
null_pointer()
{
	write_to<<<1, 1>>>(nullptr);
	launched_to_fail(cudaErrorIllegalAddress);
	expect_sticky(cudaErrorIllegalAddress);
}

static void
wild_pointer()
{
	write_to<<<1, 1>>>((int *)0x123456789000ull);
	launched_to_fail(cudaErrorIllegalAddress);
	expect_sticky(cudaErrorIllegalAddress);
}

static void
misaligned()
{
	char *p;
	CUDA(cudaMalloc(&p, 16));
	write_to<<<1, 1>>>((int *)(p + 1));
	launched_to_fail(cudaErrorMisalignedAddress);
	expect_sticky(cudaErrorMisalignedAddress);
}

static void
trapped()
{
	trap<<<1, 1>>>();
	launched_to_fail(cudaErrorLaunchFailure);
	expect_sticky(cudaErrorLaunchFailure);
}

static void
assertion()
{
	fail_assertion<<<1, 1>>>(2);
	launched_to_fail(cudaErrorAssert);
	expect_sticky(cudaErrorAssert);
}

/* A copy that waits reports the fault as well. */
static void
by_copy()
{
	int value, *p;
	CUDA(cudaMalloc(&p, sizeof(int)));
	write_to<<<1, 1>>>(nullptr);
	launched_to_fail(cudaErrorIllegalAddress);
	EXPECT_ERROR(cudaMemcpy(&value, p, sizeof(value), cudaMemcpyDeviceToHost),
		     cudaErrorIllegalAddress);
	expect_sticky(cudaErrorIllegalAddress);
}

static void
by_event()
{
	cudaEvent_t event;
	CUDA(cudaEventCreate(&event));
	write_to<<<1, 1>>>(nullptr);
	launched_to_fail(cudaErrorIllegalAddress);
	/* The fault may be known by now. */
	cudaError_t error = cudaEventRecord(event);
	EXPECT(error == cudaSuccess || error == cudaErrorIllegalAddress);
	EXPECT_ERROR(cudaEventSynchronize(event), cudaErrorIllegalAddress);
	expect_sticky(cudaErrorIllegalAddress);
}

static const struct {
	const char *name;
	void (*run)();
} faults[] = {
	{"null pointer", null_pointer}, {"wild pointer", wild_pointer},
	{"misaligned", misaligned},     {"trap", trapped},
	{"assertion", assertion},       {"by copy", by_copy},
	{"by event", by_event},
};

int
main(int argc, char **argv)
{
	/* This process never uses CUDA before its children are gone: fork is safe. */
	(void)argc, (void)argv;
	for (const auto &fault : faults) {
		fflush(stdout);
		pid_t child = fork();
		if (child == 0) {
			/* The device's own words about an assertion are not compared. */
			if (fault.run == assertion)
				freopen("/dev/null", "w", stderr);
			fault.run();
			fflush(stdout);
			_exit(wrong_errors ? 1 : 0);
		}
		int status = -1;
		EXPECT(child > 0 && waitpid(child, &status, 0) == child);
		printf("%s: %s\n", fault.name, status == 0 ? "reported" : "WRONG");
		EXPECT(status == 0);
	}
	int *p, value;
	CUDA(cudaMalloc(&p, sizeof(int)));
	write_to<<<1, 1>>>(p);
	LAUNCHED();
	CUDA(cudaMemcpy(&value, p, sizeof(value), cudaMemcpyDeviceToHost));
	EXPECT(value == 1);
	return ok();
}
