/*
 * Registered memory and processes: a child of fork() has a copy of its own from the moment of the
 * fork, other ways to start a program do not mind, and memory of two processes that both have
 * registered is read and written by both.
 */
#include "program.h"

#include <cstring>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

__global__ void
add(int *words, int count, int value)
{
	for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
		words[i] += value;
}

static const int count = 200000;

static void
device_adds(int *words, int n, int value)
{
	int *device;
	CUDA(cudaHostGetDevicePointer(&device, words, 0));
	add<<<16, 128>>>(device, n, value);
	LAUNCHED();
	CUDA(cudaDeviceSynchronize());
}

static void
expect_exit(pid_t pid, int code)
{
	int status;
	EXPECT(waitpid(pid, &status, 0) == pid);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == code);
}

static bool
is(const int *words, int n, int add)
{
	for (int i = 0; i < n; i++)
		if (words[i] != i + add)
			return false;
	return true;
}

/* What two processes say to one another. */
static void
send(int fd)
{
	EXPECT(write(fd, "x", 1) == 1);
}

static void
receive(int fd)
{
	char byte;
	EXPECT(read(fd, &byte, 1) == 1);
}

static void
forks()
{
	/* Neither begins nor ends with a page: others of the program's live there. */
	int *words = (int *)malloc(count * sizeof(int)) + 1, *small = (int *)malloc(400);
	int to_child[2], to_parent[2];
	EXPECT(pipe(to_child) == 0 && pipe(to_parent) == 0);
	for (int i = 0; i < count - 1; i++)
		words[i] = i;
	for (int i = 0; i < 100; i++)
		small[i] = i;
	CUDA(cudaHostRegister(words, (count - 1) * sizeof(int), cudaHostRegisterMapped));
	CUDA(cudaHostRegister(small, 400, cudaHostRegisterMapped));
	device_adds(words, count - 1, 10);
	device_adds(small, 100, 10);
	EXPECT(is(words, count - 1, 10) && is(small, 100, 10));

	for (int round = 0; round < 3; round++) {
		pid_t pid = fork();
		EXPECT(pid >= 0);
		if (pid == 0) {
			receive(to_child[0]); /* until the parent and its device have gone on */
			bool right = is(words, count - 1, 10 + round) && is(small, 100, 10 + round);
			for (int i = 0; i < count - 1; i++)
				words[i] = -1;
			memset(small, 0xff, 400);
			free(malloc(100000));
			char *other = (char *)malloc(100);
			memset(other, 1, 100);
			free(other);
			send(to_parent[1]);
			receive(to_child[0]);
			_exit(right && words[5] == -1 && small[5] == -1 ? 5 : 6);
		}
		device_adds(words, count - 1, 1);
		device_adds(small, 100, 1);
		send(to_child[1]);
		receive(to_parent[0]);
		EXPECT(is(words, count - 1, 11 + round) && is(small, 100, 11 + round));
		device_adds(words, 1, 0);
		send(to_child[1]);
		expect_exit(pid, 5);
	}
	char name[] = "true", *arguments[] = {name, nullptr};
	pid_t pid;
	EXPECT(posix_spawnp(&pid, name, nullptr, nullptr, arguments, environ) == 0);
	expect_exit(pid, 0);
	pid = vfork();
	if (pid == 0) {
		words[0] = 77; /* the parent's own memory */
		_exit(3);
	}
	expect_exit(pid, 3);
	EXPECT(words[0] == 77);
	words[0] = 13;
	device_adds(words, count - 1, 1);
	EXPECT(is(words, count - 1, 14));
	CUDA(cudaHostUnregister(words));
	CUDA(cudaHostUnregister(small));
	EXPECT(is(words, count - 1, 14) && is(small, 100, 13));
	pid = fork();
	EXPECT(pid >= 0);
	if (pid == 0) {
		words[0] = -5;
		_exit(is(small, 100, 13) ? 5 : 6);
	}
	expect_exit(pid, 5);
	EXPECT(words[0] == 14);
	free(words - 1);
	free(small);
	printf("fork: fine\n");
}

/* As NCCL does it: a segment of /dev/shm that both register. */
static void
side(int *segment, int mine, int in, int out)
{
	int *own = segment + mine * count, *other = segment + (1 - mine) * count;
	for (int i = 0; i < count; i++)
		own[i] = i;
	CUDA(cudaHostRegister(segment, 2 * count * sizeof(int), cudaHostRegisterMapped));
	for (int round = 1; round <= 4; round++) {
		device_adds(own, count, 1 + mine);
		send(out);
		receive(in);
		/* What the other's device has written, read by this one's. */
		int *device, *copy;
		CUDA(cudaMalloc(&copy, count * sizeof(int)));
		CUDA(cudaHostGetDevicePointer(&device, other, 0));
		CUDA(cudaMemcpy(copy, device, count * sizeof(int), cudaMemcpyDeviceToDevice));
		auto seen = to_host(copy, count);
		EXPECT(is(&seen[0], count, round * (2 - mine)));
		CUDA(cudaMemcpy(copy, other, count * sizeof(int), cudaMemcpyDefault));
		seen = to_host(copy, count);
		EXPECT(is(&seen[0], count, round * (2 - mine)));
		CUDA(cudaFree(copy));
		send(out);
		receive(in);
	}
	CUDA(cudaHostUnregister(segment));
	EXPECT(is(own, count, 4 * (1 + mine)) && is(other, count, 4 * (2 - mine)));
}

static void
segments()
{
	int to_child[2], to_parent[2];
	int fd = memfd_create("segment", 0);
	size_t size = 2 * count * sizeof(int);
	EXPECT(fd >= 0 && ftruncate(fd, size) == 0);
	int *segment = (int *)mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	EXPECT(segment != MAP_FAILED && pipe(to_child) == 0 && pipe(to_parent) == 0);
	fflush(stdout);
	pid_t pid = fork(); /* neither has used CUDA yet */
	EXPECT(pid >= 0);
	if (pid == 0) {
		side(segment, 1, to_child[0], to_parent[1]);
		_exit(4);
	}
	side(segment, 0, to_parent[0], to_child[1]);
	expect_exit(pid, 4);
	munmap(segment, size);
	close(fd);
	printf("segment of two processes: fine\n");
}

int
main()
{
	segments();
	forks();
	return ok();
}
