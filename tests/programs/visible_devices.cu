/* CUDA_VISIBLE_DEVICES: what each value lets a program see, asked by children of this process. */
#include "program.h"

#include <cstring>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

/* How many devices a process sees that has the variable so; -1: no device at all. */
static int
seen(const char *value)
{
	pid_t child = fork();

	if (child == 0) {
		int count = 0;
		if (value)
			setenv("CUDA_VISIBLE_DEVICES", value, 1);
		else
			unsetenv("CUDA_VISIBLE_DEVICES");
		cudaError_t status = cudaGetDeviceCount(&count);
		if (status == cudaSuccess && count > 0) {
			int *p = nullptr; /* and the last one works */
			if (cudaSetDevice(count - 1) || cudaMalloc(&p, 4) || cudaMemset(p, 0, 4))
				_exit(99);
		}
		_exit(status == cudaErrorNoDevice ? 100 : status ? 98 : count);
	}
	int status = 0;
	waitpid(child, &status, 0);
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 97;
	return code == 100 ? -1 : code;
}

/* GPU-…, as nvidia-smi prints it: the first @bytes of it. */
static std::string
uuid(size_t bytes)
{
	int ends[2];
	char text[64] = "";

	if (pipe(ends))
		exit(1);
	pid_t child = fork();
	if (child == 0) {
		cudaDeviceProp p;
		if (cudaGetDeviceProperties(&p, 0))
			_exit(1);
		int length = snprintf(text, sizeof(text), "GPU-");
		for (int k = 0; k < 16; k++)
			length += snprintf(text + length, sizeof(text) - length, "%s%02x",
					   k == 4 || k == 6 || k == 8 || k == 10 ? "-" : "",
					   (unsigned char)p.uuid.bytes[k]);
		_exit(write(ends[1], text, sizeof(text)) != sizeof(text));
	}
	close(ends[1]);
	if (read(ends[0], text, sizeof(text)) != sizeof(text))
		exit(1);
	close(ends[0]);
	waitpid(child, nullptr, 0);
	text[sizeof(text) - 1] = '\0';
	return std::string(text).substr(0, bytes);
}

int
main()
{
	int all = seen(nullptr);

	EXPECT(all >= 1 && all < 97);
	EXPECT(seen("0") == 1);
	EXPECT(seen("0,-1,0") == 1);
	EXPECT(seen("") == -1);
	EXPECT(seen("-1") == -1);
	EXPECT(seen("9999") == -1);
	EXPECT(seen("0,9999") == 1);
	EXPECT(seen(uuid(40).c_str()) == 1);
	EXPECT(seen((uuid(36) + ",0").c_str()) == 1);
	EXPECT(seen("GPU-ffffffff-0000-0000-0000-000000000000") == -1);
	CUDA(cudaGetDeviceCount(&all)); /* this process too, which was not asked before */
	return ok();
}
