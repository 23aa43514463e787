/*
 * Registered memory is one memory: a kernel that runs and the program see what the other writes,
 * and asynchronous copies read and write it when their turn comes, not when they were called.
 */
#include "program.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATIENCE 60 /* seconds */

/* Over a network, and where nothing holds the program's threads back, it is two memories. */
static bool
is_one_memory()
{
	const char *server = getenv("GENIE_SERVER"), *perf = getenv("GENIE_PERF");
	if (server == nullptr)
		return true;
	if (strncmp(server, "tcp", 3) == 0 || (perf && strstr(perf, "no_share_registered")))
		return false;
	int fd = (int)syscall(SYS_userfaultfd, 1);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

__device__ static unsigned long long
now()
{
	unsigned long long nanoseconds;
	asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(nanoseconds));
	return nanoseconds;
}

__device__ static bool
wait_for(volatile int *word, int value)
{
	unsigned long long end = now() + PATIENCE * 1000000000ull;
	while (*word != value)
		if (now() > end)
			return false;
	__threadfence_system();
	return true;
}

static bool
host_waits_for(volatile int *word, int value)
{
	auto end = std::chrono::steady_clock::now() + std::chrono::seconds(PATIENCE);
	while (*word != value) {
		if (std::chrono::steady_clock::now() > end)
			return false;
		usleep(50);
	}
	std::atomic_thread_fence(std::memory_order_seq_cst);
	return true;
}

/* Asks, waits for the answer, asks again: the answer is what the next question is made of. */
__global__ void
talk(volatile int *ask, volatile int *answer, int rounds, int *sum)
{
	*sum = 0;
	for (int i = 1; i <= rounds; i++) {
		__threadfence_system();
		*ask = i;
		if (!wait_for(answer, i * 3))
			return;
		*sum += *answer;
	}
}

__global__ void
hold(volatile int *go)
{
	wait_for(go, 1);
}

static void
converse(const char *name, int *words)
{
	const int rounds = 20;
	int *sum, *device;
	words[0] = words[1] = 0;
	CUDA(cudaHostRegister(words, 2 * sizeof(int), cudaHostRegisterMapped));
	CUDA(cudaHostGetDevicePointer(&device, words, 0));
	CUDA(cudaMalloc(&sum, sizeof(int)));
	talk<<<1, 1>>>(device, device + 1, rounds, sum);
	LAUNCHED();
	for (int i = 1; i <= rounds; i++) {
		EXPECT(host_waits_for(&words[0], i));
		((volatile int *)words)[1] = 3 * words[0];
	}
	CUDA(cudaDeviceSynchronize());
	printf("%s: %d\n", name, to_host(sum, 1)[0]);
	CUDA(cudaHostUnregister(words));
	EXPECT(words[0] == rounds && words[1] == 3 * rounds);
	words[0] = 7; /* the program's alone */
	CUDA(cudaFree(sum));
}

static int static_words[3000];

static void
copies()
{
	const int count = 100000;
	cudaStream_t stream;
	int *device, *device_flag;
	int *in = (int *)malloc(count * sizeof(int)), *out = (int *)malloc(count * sizeof(int));
	int *flag = (int *)calloc(1, sizeof(int));
	CUDA(cudaHostRegister(in, count * sizeof(int), cudaHostRegisterDefault));
	CUDA(cudaHostRegister(out, count * sizeof(int), cudaHostRegisterDefault));
	CUDA(cudaHostRegister(flag, sizeof(int), cudaHostRegisterDefault));
	CUDA(cudaHostGetDevicePointer(&device_flag, flag, 0));
	CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	CUDA(cudaMalloc(&device, count * sizeof(int)));
	for (int i = 0; i < count; i++)
		in[i] = -1;
	memset(out, 0, count * sizeof(int));

	hold<<<1, 1, 0, stream>>>(device_flag);
	LAUNCHED();
	CUDA(cudaMemcpyAsync(device, in, count * sizeof(int), cudaMemcpyHostToDevice, stream));
	CUDA(cudaMemcpyAsync(out, device, count * sizeof(int), cudaMemcpyDeviceToHost, stream));
	EXPECT(cudaStreamQuery(stream) == cudaErrorNotReady);
	(void)cudaGetLastError();
	/* None of the two has had its turn yet. */
	EXPECT(out[count - 1] == 0);
	for (int i = 0; i < count; i++)
		in[i] = i * 5;
	std::atomic_thread_fence(std::memory_order_seq_cst);
	*(volatile int *)flag = 1;
	CUDA(cudaStreamSynchronize(stream));
	for (int i = 0; i < count; i++)
		EXPECT(out[i] == i * 5);
	CUDA(cudaHostUnregister(flag));
	CUDA(cudaHostUnregister(out));
	CUDA(cudaHostUnregister(in));
	EXPECT(out[1234] == 1234 * 5 && in[4321] == 4321 * 5);
	CUDA(cudaFree(device));
	CUDA(cudaStreamDestroy(stream));
	free(in);
	free(out);
	free(flag);
	printf("copies: fine\n");
}

/* A thread counts in memory that is registered and not, again and again. */
struct counting {
	std::atomic<unsigned> *words;
	int count;
	std::atomic<bool> stop, wrong;
};

static void *
count_up(void *data)
{
	counting *c = (counting *)data;
	for (unsigned value = 0; !c->stop; value++) {
		for (int i = 0; i < c->count; i += 512) {
			if (c->words[i].load() != value)
				c->wrong = true;
			c->words[i].store(value + 1);
		}
	}
	return nullptr;
}

__global__ void
mark(unsigned *words, int count, unsigned value)
{
	for (int i = threadIdx.x; i < count; i += blockDim.x)
		if (i % 512 == 1)
			words[i] = value;
}

static void
under_a_writer()
{
	const int count = 300000;
	counting c = {};
	pthread_t thread;
	c.words = (std::atomic<unsigned> *)calloc(count, sizeof(unsigned));
	c.count = count;
	EXPECT(pthread_create(&thread, nullptr, count_up, &c) == 0);
	for (unsigned round = 1; round <= 10; round++) {
		unsigned *device;
		CUDA(cudaHostRegister(c.words, count * sizeof(unsigned), cudaHostRegisterMapped));
		CUDA(cudaHostGetDevicePointer(&device, c.words, 0));
		mark<<<1, 256>>>(device, count, round);
		LAUNCHED();
		CUDA(cudaDeviceSynchronize());
		for (int i = 1; i < count; i += 512)
			EXPECT(c.words[i].load() == round);
		CUDA(cudaHostUnregister(c.words));
		EXPECT(!c.wrong);
	}
	c.stop = true;
	EXPECT(pthread_join(thread, nullptr) == 0);
	EXPECT(!c.wrong && c.words[1].load() == 10);
	free(c.words);
	printf("under a writer: fine\n");
}

int
main()
{
	if (!is_one_memory())
		skip("registered memory is mirrored here");
	int *small = (int *)malloc(64);
	converse("malloc", small + 3);
	free(small);
	int *pages = (int *)mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT(pages != MAP_FAILED);
	converse("mmap", pages);
	converse("mmap, again", pages);
	munmap(pages, 1 << 20);
	converse("static", static_words + 1500);
	copies();
	under_a_writer();
	return ok();
}
