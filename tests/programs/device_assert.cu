/* An assertion that fails in a kernel: what it says is on standard error when the error is
 * reported, behind what kernels printed, and the error stays. */
#undef NDEBUG
#include "program.h"

#include <cassert>
#include <string>
#include <unistd.h>

__global__ void
check(const int *p, int limit)
{
	assert(p[threadIdx.x] < limit);
}

__global__ void
speak(int value)
{
	printf("value %d\n", value);
}

/* A descriptor goes to a file for a while. */
class Captured
{
	int target, saved, file;

      public:
	explicit Captured(int fd) : target(fd)
	{
		char path[] = "/tmp/device_assert_XXXXXX";
		file = mkstemp(path);
		EXPECT(file >= 0);
		unlink(path);
		fflush(nullptr);
		saved = dup(fd);
		dup2(file, fd);
	}
	std::string end()
	{
		std::string text(1 << 16, '\0');
		fflush(nullptr);
		ssize_t length = pread(file, &text[0], text.size(), 0);
		dup2(saved, target);
		close(saved);
		close(file);
		text.resize(length > 0 ? (size_t)length : 0);
		return text;
	}
};

static size_t
count(const std::string &text, const char *what)
{
	size_t n = 0;
	for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at++)
		n++;
	return n;
}

int
main()
{
	std::vector<int> values(32, 5);
	values[7] = 100;
	int *device = to_device(values);

	Captured out(STDOUT_FILENO), err(STDERR_FILENO);
	check<<<1, 32>>>(device, 101);
	speak<<<1, 1>>>(11);
	cudaError_t before = cudaDeviceSynchronize();
	check<<<1, 32>>>(device, 50);
	cudaError_t error = cudaDeviceSynchronize();
	/* No more waiting: it is there. */
	std::string complaint = err.end(), printed = out.end();

	EXPECT(before == cudaSuccess);
	printf("%s: %s", cudaGetErrorName(error), printed.c_str());
	EXPECT(error == cudaErrorAssert);
	printf("%zu assertions, of thread 7: %zu\n",
	       count(complaint, "Assertion `p[threadIdx.x] < limit` failed."),
	       count(complaint, "block: [0,0,0], thread: [7,0,0]"));
	EXPECT(count(complaint, "device_assert.cu") == 1);
	EXPECT_ERROR(cudaDeviceSynchronize(), cudaErrorAssert);
	EXPECT_ERROR(cudaMemcpy(values.data(), device, 4, cudaMemcpyDeviceToHost), cudaErrorAssert);
	return ok();
}
