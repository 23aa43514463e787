/*
 * Managed memory by the page: large blocks of which little changes, on either side; words of one
 * page that host and device write; several streams; lists; memory that is filled by the system.
 */
#include "program.h"

#include <cstring>
#include <sys/syscall.h>
#include <unistd.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

__managed__ int table[40000];
__managed__ int counter;

__global__ void
touch(int *values, const size_t *where, int count, int by)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		values[where[i]] += by;
	if (i == 0) {
		counter += count;
		table[(by * 977) % 40000] = by;
	}
}

/* Writes every second word; the host has the others. */
__global__ void
odd_words(int *values, int count, int value)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count / 2)
		values[2 * i + 1] = value + i;
}

__global__ void
sum(const unsigned char *bytes, size_t count, unsigned long long *result)
{
	size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
	unsigned long long total = 0;
	for (; i < count; i += gridDim.x * (size_t)blockDim.x)
		total += bytes[i];
	atomicAdd(result, total);
}

static void
sparse()
{
	const size_t words = 24 * MIB / sizeof(int);
	const int touched = 200;
	int *values;
	size_t *where;
	CUDA(cudaMallocManaged(&values, words * sizeof(int)));
	CUDA(cudaMallocManaged(&where, touched * sizeof(size_t)));
	std::vector<int> expected(words, 0);
	memset(values, 0, words * sizeof(int));
	Random random = {5};
	for (int round = 1; round <= 6; round++) {
		/* Distinct places, far apart. */
		for (int i = 0; i < touched; i++)
			where[i] = words / touched * i + random.below(words / touched);
		for (int i = 0; i < 50; i++) {
			size_t at = random.below(words);
			values[at] = expected[at] = (int)random.next() >> 8;
		}
		for (int i = 0; i < touched; i++)
			expected[where[i]] += round;
		touch<<<2, 128>>>(values, where, touched, round);
		LAUNCHED();
		CUDA(cudaDeviceSynchronize());
		EXPECT(!memcmp(values, expected.data(), words * sizeof(int)));
		EXPECT(counter == touched * round);
		EXPECT(table[round * 977 % 40000] == round);
	}
	printf("sparse: %016llx\n", (unsigned long long)checksum(values, words * sizeof(int)));
	CUDA(cudaFree(values));
	CUDA(cudaFree(where));
}

static void
neighbours()
{
	const int count = 5000;
	int *values;
	CUDA(cudaMallocManaged(&values, count * sizeof(int)));
	memset(values, 0, count * sizeof(int));
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < count; i += 2)
			values[i] = round * 10000 + i;
		odd_words<<<(count + 127) / 128, 128>>>(values, count, round * 777);
		LAUNCHED();
		CUDA(cudaDeviceSynchronize());
		for (int i = 0; i + 1 < count; i += 2) {
			EXPECT(values[i] == round * 10000 + i);
			EXPECT(values[i + 1] == round * 777 + i / 2);
		}
	}
	CUDA(cudaFree(values));
	printf("neighbours: fine\n");
}

/* Written and read by system calls, by copies and by sets; seen by an event and by a query. */
static void
other_ways()
{
	const size_t size = 3 * MIB + 123;
	unsigned char *bytes;
	unsigned long long *result;
	int fds[2];
	CUDA(cudaMallocManaged(&bytes, size));
	CUDA(cudaMallocManaged(&result, sizeof(*result)));
	*result = 0;
	memset(bytes, 0, size);
	EXPECT(pipe(fds) == 0);
	std::vector<unsigned char> text(4096, 3);
	EXPECT(write(fds[1], text.data(), text.size()) == 4096);
	EXPECT(read(fds[0], bytes + MIB - 100, 4096) == 4096); /* the kernel writes */
	sum<<<8, 128>>>(bytes, size, result);
	LAUNCHED();
	CUDA(cudaDeviceSynchronize());
	EXPECT(*result == 3 * 4096);

	CUDA(cudaMemset(bytes + 2 * MIB, 9, 1000));
	CUDA(cudaDeviceSynchronize());
	EXPECT(bytes[2 * MIB] == 9 && bytes[2 * MIB + 999] == 9 && bytes[2 * MIB + 1000] == 0);
	EXPECT(write(fds[1], bytes + 2 * MIB, 1000) == 1000); /* the kernel reads */
	EXPECT(read(fds[0], text.data(), 1000) == 1000 && text[999] == 9);

	std::vector<unsigned char> block(70000, 5);
	CUDA(cudaMemcpy(bytes + 100, block.data(), block.size(), cudaMemcpyHostToDevice));
	EXPECT(bytes[99] == 0 && bytes[100] == 5 && bytes[70099] == 5 && bytes[70100] == 0);

	/* By an event, by a query, in streams of their own. */
	cudaStream_t streams[3];
	cudaEvent_t events[3];
	for (int i = 0; i < 3; i++) {
		CUDA(cudaStreamCreateWithFlags(&streams[i], cudaStreamNonBlocking));
		CUDA(cudaEventCreateWithFlags(&events[i], cudaEventDisableTiming));
	}
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3; i++) {
			CUDA(cudaMemsetAsync(bytes + i * MIB, 10 * round + i + 1, 64 * KIB,
					     streams[i]));
			CUDA(cudaEventRecord(events[i], streams[i]));
		}
		CUDA(cudaEventSynchronize(events[0]));
		CUDA(cudaStreamSynchronize(streams[1]));
		while (cudaEventQuery(events[2]) != cudaSuccess)
			;
		(void)cudaGetLastError();
		for (int i = 0; i < 3; i++)
			EXPECT(bytes[i * MIB + 64 * KIB - 1] == 10 * round + i + 1);
	}
	while (cudaStreamQuery(streams[2]) != cudaSuccess)
		;
	for (int i = 0; i < 3; i++) {
		CUDA(cudaStreamDestroy(streams[i]));
		CUDA(cudaEventDestroy(events[i]));
	}
	close(fds[0]);
	close(fds[1]);
	CUDA(cudaFree(bytes));
	CUDA(cudaFree(result));
	printf("other ways: fine\n");
}

/* Many blocks, made and freed; advice and prefetching change nothing that can be seen. */
static void
many_blocks()
{
	std::vector<int *> blocks(60);
	for (size_t i = 0; i < blocks.size(); i++) {
		CUDA(cudaMallocManaged(&blocks[i], 5000));
		memset(blocks[i], 0, 5000);
	}
	cudaMemLocation device = {};
	device.type = cudaMemLocationTypeDevice;
	cudaError_t advised = cudaMemPrefetchAsync(blocks[0], 5000, device, 0, 0);
	EXPECT(advised == cudaSuccess || advised == cudaErrorInvalidDevice);
	(void)cudaGetLastError();
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < blocks.size(); i++)
			odd_words<<<10, 128>>>(blocks[i], 1250, round + (int)i);
		LAUNCHED();
		CUDA(cudaDeviceSynchronize());
		for (size_t i = 0; i < blocks.size(); i++) {
			EXPECT(blocks[i][1] == round + (int)i && blocks[i][0] == 0);
			EXPECT(blocks[i][1249] == round + (int)i + 624);
		}
	}
	for (int *block : blocks)
		CUDA(cudaFree(block));
	printf("many blocks: fine\n");
}

int
main()
{
	int supported;
	CUDA(cudaDeviceGetAttribute(&supported, cudaDevAttrManagedMemory, 0));
	if (!supported)
		skip("the device has no managed memory");
	sparse();
	neighbours();
	other_ways();
	many_blocks();
	return ok();
}
