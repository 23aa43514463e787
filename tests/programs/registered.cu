/*
 * Memory of the program itself, registered: from malloc and from files, read and written by
 * kernels and copies; flags; what cannot be registered.
 */
#include "program.h"

#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define KIB ((size_t)1 << 10)

__global__ void
triple(const int *in, int *out, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		out[i] = in[i] * 3;
}

static const int count = 100000;

static void
use(int *in, int *out, int seed)
{
	int *device_in, *device_out;
	CUDA(cudaHostGetDevicePointer(&device_in, in, 0));
	CUDA(cudaHostGetDevicePointer(&device_out, out, 0));
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < count; i++)
			in[i] = i * seed + round;
		triple<<<(count + 255) / 256, 256>>>(device_in, device_out, count);
		LAUNCHED();
		CUDA(cudaDeviceSynchronize());
		for (int i = 0; i < count; i++)
			EXPECT(out[i] == (i * seed + round) * 3);
	}
}

static void
from_malloc()
{
	int *in = (int *)malloc(count * sizeof(int)), *out = (int *)malloc(count * sizeof(int));
	unsigned flags;
	CUDA(cudaHostRegister(in, count * sizeof(int), cudaHostRegisterMapped));
	CUDA(cudaHostRegister(out, count * sizeof(int), cudaHostRegisterDefault));
	EXPECT_ERROR(cudaHostRegister(in, count * sizeof(int), 0),
		     cudaErrorHostMemoryAlreadyRegistered);
	(void)cudaGetLastError();
	use(in, out, 7);
	CUDA(cudaHostGetFlags(&flags, in));
	EXPECT(flags & cudaHostRegisterMapped);
	cudaPointerAttributes attributes;
	CUDA(cudaPointerGetAttributes(&attributes, in));
	EXPECT(attributes.type == cudaMemoryTypeHost && attributes.hostPointer == in);

	/* Copies to and from the middle of it. */
	int *device;
	CUDA(cudaMalloc(&device, count * sizeof(int)));
	CUDA(cudaMemcpyAsync(device, in + 1000, 5000 * sizeof(int), cudaMemcpyHostToDevice));
	CUDA(cudaMemcpyAsync(out + 77, device, 5000 * sizeof(int), cudaMemcpyDeviceToHost));
	CUDA(cudaDeviceSynchronize());
	EXPECT(!memcmp(out + 77, in + 1000, 5000 * sizeof(int)));
	CUDA(cudaFree(device));
	CUDA(cudaHostUnregister(in));
	CUDA(cudaHostUnregister(out));
	EXPECT_ERROR(cudaHostUnregister(in), cudaErrorHostMemoryNotRegistered);
	(void)cudaGetLastError();
	in[5] = 6; /* still the program's */
	free(in);
	free(out);
	printf("malloc: fine\n");
}

static void
from_file()
{
	char path[] = "/tmp/registered-XXXXXX";
	int fd = mkstemp(path);
	size_t size = (count * sizeof(int) + 4095) & ~(size_t)4095;
	EXPECT(fd >= 0 && unlink(path) == 0 && ftruncate(fd, 2 * size) == 0);
	void *map = mmap(nullptr, 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	EXPECT(map != MAP_FAILED);
	cudaError_t error = cudaHostRegister(map, 2 * size, cudaHostRegisterMapped);
	/* Not every file system lets its pages be pinned. */
	if (error != cudaSuccess) {
		(void)cudaGetLastError();
		printf("file: fine\n");
		munmap(map, 2 * size);
		close(fd);
		return;
	}
	int *in = (int *)map, *out = (int *)((char *)map + size);
	use(in, out, 3);
	int last;
	EXPECT(pread(fd, &last, sizeof(last), size + (count - 1) * sizeof(int)) == sizeof(last));
	EXPECT(last == ((count - 1) * 3 + 2) * 3);
	CUDA(cudaHostUnregister(map));
	munmap(map, 2 * size);
	close(fd);
	printf("file: fine\n");
}

static void
read_only()
{
	int supported = 0;
	CUDA(cudaDeviceGetAttribute(&supported, cudaDevAttrHostRegisterReadOnlySupported, 0));
	size_t size = 64 * KIB;
	int *in = (int *)mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			      -1, 0);
	EXPECT(in != MAP_FAILED);
	for (int i = 0; i < 16000; i++)
		in[i] = i;
	EXPECT(mprotect(in, size, PROT_READ) == 0);
	if (supported) {
		int *device_in, *out;
		CUDA(cudaHostRegister(in, size, cudaHostRegisterReadOnly | cudaHostRegisterMapped));
		CUDA(cudaHostGetDevicePointer(&device_in, in, 0));
		CUDA(cudaMalloc(&out, size));
		triple<<<125, 128>>>(device_in, out, 16000);
		LAUNCHED();
		EXPECT(to_host(out, 16000)[15999] == 3 * 15999);
		CUDA(cudaFree(out));
		CUDA(cudaHostUnregister(in));
	}
	munmap(in, size);
	printf("read-only: fine\n");
}

static void
mistakes()
{
	int *memory = (int *)malloc(10 * KIB);
	EXPECT_ERROR(cudaHostRegister(nullptr, 100, 0), cudaErrorInvalidValue);
	EXPECT_ERROR(cudaHostRegister(memory, 0, 0), cudaErrorInvalidValue);
	EXPECT_ERROR(cudaHostRegister(memory, 100, 0x1000), cudaErrorInvalidValue);
	/* Memory of a device that is none. */
	cudaError_t error = cudaHostRegister(memory, 100, cudaHostRegisterIoMemory);
	EXPECT(error != cudaSuccess);
	int *device;
	EXPECT_ERROR(cudaHostGetDevicePointer(&device, memory, 0), cudaErrorInvalidValue);
	(void)cudaGetLastError();
	free(memory);
	printf("mistakes: fine\n");
}

int
main()
{
	int supported;
	CUDA(cudaDeviceGetAttribute(&supported, cudaDevAttrHostRegisterSupported, 0));
	if (!supported)
		skip("the device cannot register host memory");
	from_malloc();
	from_file();
	read_only();
	mistakes();
	return ok();
}
