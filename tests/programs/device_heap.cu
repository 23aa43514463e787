/*
 * Memory that kernels allocate: malloc, new, free in another kernel, lists and a hash table that
 * many threads build at once, and no memory left.
 */
#include "program.h"

struct Item {
	Item *next;
	int key, value;
};

constexpr int BUCKETS = 64, ITEMS = 2000;

__device__ Item *buckets[BUCKETS];
__device__ int *kept[32];

__global__ void
insert()
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i >= ITEMS)
		return;
	Item *item = new Item;
	item->key = i * 7919 % ITEMS;
	item->value = i;
	Item **bucket = &buckets[item->key % BUCKETS];
	Item *head = *(Item *volatile *)bucket;
	do {
		item->next = head;
		__threadfence();
		Item *seen = (Item *)atomicCAS((unsigned long long *)bucket,
					       (unsigned long long)head, (unsigned long long)item);
		if (seen == head)
			break;
		head = seen;
	} while (true);
}

__global__ void
look_up(int *out)
{
	int key = blockIdx.x * blockDim.x + threadIdx.x;
	if (key >= ITEMS)
		return;
	Item *item = buckets[key % BUCKETS];
	while (item && item->key != key)
		item = item->next;
	out[key] = item ? item->value : -1;
}

__global__ void
release(int *count)
{
	int freed = 0;
	for (Item *item = buckets[threadIdx.x], *next; item; item = next) {
		next = item->next;
		delete item;
		freed++;
	}
	buckets[threadIdx.x] = nullptr;
	atomicAdd(count, freed);
}

__global__ void
make(int size)
{
	int *memory = (int *)malloc(size * sizeof(int));
	for (int i = 0; memory && i < size; i++)
		memory[i] = threadIdx.x * 100 + i;
	kept[threadIdx.x] = memory;
}

__global__ void
use(int *out, int size)
{
	int sum = 0;
	for (int i = 0; i < size; i++)
		sum += kept[threadIdx.x][i];
	out[threadIdx.x] = sum;
	free(kept[threadIdx.x]);
}

__global__ void
too_much(int *out)
{
	void *memory = malloc((size_t)1 << 40);
	out[0] = memory == nullptr;
	out[1] = malloc(0) == nullptr || true;
	free(nullptr);
}

__global__ void
aligned(int *out)
{
	double *memory = new double[threadIdx.x + 1];
	out[threadIdx.x] = (int)((unsigned long long)memory % 16);
	memory[threadIdx.x] = 1;
	delete[] memory;
}

int
main()
{
	size_t limit;
	CUDA(cudaDeviceSetLimit(cudaLimitMallocHeapSize, 16 << 20));
	CUDA(cudaDeviceGetLimit(&limit, cudaLimitMallocHeapSize));
	EXPECT(limit >= 16 << 20);
	int *out;
	CUDA(cudaMalloc(&out, ITEMS * sizeof(int)));
	for (int round = 0; round < 3; round++) {
		insert<<<(ITEMS + 127) / 128, 128>>>();
		look_up<<<(ITEMS + 127) / 128, 128>>>(out);
		LAUNCHED();
		std::vector<int> found = to_host(out, ITEMS);
		for (int i = 0; i < ITEMS; i++)
			EXPECT(found[i * 7919 % ITEMS] == i);
		CUDA(cudaMemset(out, 0, sizeof(int)));
		release<<<1, BUCKETS>>>(out);
		LAUNCHED();
		EXPECT(to_host(out, 1)[0] == ITEMS);
	}
	printf("hash table: right\n");
	make<<<1, 32>>>(50);
	use<<<1, 32>>>(out, 50);
	LAUNCHED();
	std::vector<int> sums = to_host(out, 32);
	for (int i = 0; i < 32; i++)
		EXPECT(sums[i] == i * 5000 + 1225);
	printf("from kernel to kernel: right\n");
	too_much<<<1, 1>>>(out);
	LAUNCHED();
	EXPECT((to_host(out, 2) == std::vector<int>{1, 1}));
	aligned<<<1, 32>>>(out);
	LAUNCHED();
	for (int rest : to_host(out, 32))
		EXPECT(rest == 0);
	printf("limits: right\n");
	return ok();
}
