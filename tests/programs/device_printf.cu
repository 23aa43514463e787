/* printf in a kernel arrives on the program's standard output, at the latest when it waits. */
#include "program.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <unistd.h>

__global__ void
speak(int count, const char *greeting)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		printf("%s from %d: %5.2f %x %lld %c %%\n", greeting, i, i * 1.5, i * 17,
		       (long long)i << 40, 'a' + i % 26);
}

__device__ const char hello[] = "hello";

__global__ void
speak_hello(int count)
{
	if (threadIdx.x < count)
		printf("%s %d\n", hello, (int)threadIdx.x);
}

int
main()
{
	/* Standard output goes to a file for a while. */
	char path[] = "/tmp/device_printf_XXXXXX";
	int file = mkstemp(path);
	EXPECT(file >= 0);
	unlink(path);
	fflush(stdout);
	int terminal = dup(STDOUT_FILENO);
	dup2(file, STDOUT_FILENO);

	char text[] = "greetings";
	char *device_text;
	CUDA(cudaMalloc(&device_text, sizeof(text)));
	CUDA(cudaMemcpy(device_text, text, sizeof(text), cudaMemcpyHostToDevice));
	speak<<<3, 16>>>(40, device_text);
	LAUNCHED();
	CUDA(cudaDeviceSynchronize());
	speak_hello<<<1, 32>>>(3);
	LAUNCHED();
	CUDA(cudaDeviceSynchronize());

	fflush(stdout);
	dup2(terminal, STDOUT_FILENO);
	std::string all(1 << 16, '\0');
	ssize_t length = pread(file, &all[0], all.size(), 0);
	EXPECT(length >= 0);
	all.resize((size_t)length);
	printf("%zd bytes\n", length);

	/* Threads may speak in any order; each line comes whole. */
	for (int i = 0; i < 40; i++) {
		char line[100];
		snprintf(line, sizeof(line), "greetings from %d: %5.2f %x %lld %c %%\n", i, i * 1.5,
			 i * 17, (long long)i << 40, 'a' + i % 26);
		EXPECT(all.find(line) != std::string::npos);
	}
	EXPECT(all.find("hello 0\n") != std::string::npos);
	EXPECT(all.find("hello 2\n") != std::string::npos);
	EXPECT(std::count(all.begin(), all.end(), '\n') == 43);
	CUDA(cudaFree(device_text));
	return ok();
}
