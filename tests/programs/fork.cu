/*
 * Processes: children that use CUDA when their parent has not; a child of a parent that has gets
 * errors instead of harm; the parent goes on; a program started by exec is a new one.
 */
#include "program.h"

#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

__global__ void
twice(int *p)
{
	*p *= 2;
}

static int
use_cuda(int value)
{
	int *p;
	CUDA(cudaMalloc(&p, sizeof(int)));
	CUDA(cudaMemcpy(p, &value, sizeof(int), cudaMemcpyHostToDevice));
	twice<<<1, 1>>>(p);
	LAUNCHED();
	CUDA(cudaMemcpy(&value, p, sizeof(int), cudaMemcpyDeviceToHost));
	CUDA(cudaFree(p));
	return value;
}

static int
wait_for(pid_t child)
{
	int status = -1;
	EXPECT(child > 0 && waitpid(child, &status, 0) == child);
	EXPECT(WIFEXITED(status));
	return WEXITSTATUS(status);
}

int
main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "again"))
		return use_cuda(21) == 42 ? 0 : 1;

	/* Two children at once, before this process knows CUDA. */
	pid_t children[2];
	for (int i = 0; i < 2; i++) {
		fflush(stdout);
		children[i] = fork();
		if (children[i] == 0)
			_exit(use_cuda(100 + i) == 200 + 2 * i ? 0 : 1);
	}
	EXPECT(wait_for(children[0]) == 0);
	EXPECT(wait_for(children[1]) == 0);
	printf("children: fine\n");

	EXPECT(use_cuda(5) == 10);
	int *kept;
	CUDA(cudaMalloc(&kept, sizeof(int)));
	CUDA(cudaMemset(kept, 1, sizeof(int)));
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		void *p;
		cudaError_t error = cudaMalloc(&p, 10);
		_exit(error == cudaErrorInitializationError ? 0 : error == cudaSuccess ? 1 : 2);
	}
	int status = wait_for(child);
	printf("child of a user of CUDA: %d\n", status);
	EXPECT(status == 0);

	/* The parent's session is unharmed, also when a child ended normally. */
	fflush(stdout);
	child = fork();
	if (child == 0)
		exit(0);
	wait_for(child);
	int value;
	CUDA(cudaMemcpy(&value, kept, sizeof(value), cudaMemcpyDeviceToHost));
	EXPECT(value == 0x01010101);
	EXPECT(use_cuda(6) == 12);

	fflush(stdout);
	child = fork();
	if (child == 0) {
		execl("/proc/self/exe", argv[0], "again", (char *)nullptr);
		_exit(127);
	}
	status = wait_for(child);
	printf("program started by exec: %d\n", status);
	EXPECT(status == 0);
	return ok();
}
