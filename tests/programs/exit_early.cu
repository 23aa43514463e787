/* Ends in every way while the device is still busy: return, exit in a thread, _exit, a signal. */
#include "program.h"

#include <csignal>
#include <cstring>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

__global__ void
busy(unsigned *x, int rounds)
{
	unsigned v = *x;
	for (int i = 0; i < rounds; i++)
		v = v * 1664525u + 1013904223u;
	*x = v;
}

static void
start_work()
{
	unsigned *x, *host;
	cudaStream_t stream;
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaMalloc(&x, sizeof(unsigned)));
	CUDA(cudaMallocHost(&host, sizeof(unsigned)));
	CUDA(cudaMemsetAsync(x, 0, sizeof(unsigned), stream));
	for (int i = 0; i < 20; i++)
		busy<<<1, 32, 0, stream>>>(x, 10000);
	LAUNCHED();
	CUDA(cudaMemcpyAsync(host, x, sizeof(unsigned), cudaMemcpyDeviceToHost, stream));
}

static void
end(const char *how)
{
	start_work();
	if (!strcmp(how, "exit"))
		exit(0);
	if (!strcmp(how, "_exit"))
		_exit(0);
	if (!strcmp(how, "thread"))
		std::thread([] { exit(0); }).join();
	if (!strcmp(how, "signal"))
		raise(SIGTERM);
}

int
main(int argc, char **argv)
{
	if (argc > 1) {
		end(argv[1]);
		return 0;
	}
	for (const char *how : {"return", "exit", "_exit", "thread", "signal"}) {
		fflush(stdout);
		pid_t child = fork();
		if (child == 0) {
			execl("/proc/self/exe", argv[0], how, (char *)nullptr);
			_exit(127);
		}
		int status = -1;
		EXPECT(child > 0 && waitpid(child, &status, 0) == child);
		printf("%s: %s\n", how,
		       WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exited");
		if (!strcmp(how, "signal"))
			EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
		else
			EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	start_work();
	return ok();
}
