/* Managed memory: the host and the device take turns with the same pointer. */
#include "program.h"

__managed__ int turns = 3;
__managed__ double history[4];

__global__ void
play(int *values, int count)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		values[i] = values[i] * 2 + turns;
	if (i == 0)
		history[turns & 3] = turns * 0.5;
}

struct Node {
	int value;
	Node *next;
};

__global__ void
sum_list(const Node *node, int *out)
{
	int sum = 0;
	for (; node; node = node->next)
		sum += node->value;
	*out = sum;
}

int
main()
{
	int supported;
	CUDA(cudaDeviceGetAttribute(&supported, cudaDevAttrManagedMemory, 0));
	if (!supported)
		skip("the device has no managed memory");

	const int count = 5000;
	int *values;
	cudaError_t error = cudaMallocManaged(&values, count * sizeof(int));
	if (error == cudaErrorNotSupported)
		skip("managed memory is not supported here");
	CUDA(error);
	std::vector<int> expected(count);
	for (int i = 0; i < count; i++)
		values[i] = expected[i] = i;
	for (turns = 3; turns < 7; turns++) {
		play<<<(count + 127) / 128, 128>>>(values, count);
		LAUNCHED();
		CUDA(cudaDeviceSynchronize());
		EXPECT(history[turns & 3] == turns * 0.5);
		for (int i = 0; i < count; i++) {
			expected[i] = expected[i] * 2 + turns;
			EXPECT(values[i] == expected[i]);
		}
		values[turns] = expected[turns] = -turns;
	}
	print_checksum("turns", expected);

	/* A list that the host built; the pointers in it mean the same on both sides. */
	const int nodes = 300;
	Node *list;
	int *sum;
	CUDA(cudaMallocManaged(&list, nodes * sizeof(Node)));
	CUDA(cudaMallocManaged(&sum, sizeof(int)));
	for (int i = 0; i < nodes; i++)
		list[i] = {i * 3, i + 1 < nodes ? &list[i + 1] : nullptr};
	sum_list<<<1, 1>>>(list, sum);
	LAUNCHED();
	CUDA(cudaDeviceSynchronize());
	printf("list: %d\n", *sum);
	EXPECT(*sum == 3 * nodes * (nodes - 1) / 2);

	cudaPointerAttributes attributes;
	CUDA(cudaPointerGetAttributes(&attributes, values + 10));
	EXPECT(attributes.type == cudaMemoryTypeManaged);
	EXPECT(attributes.hostPointer == values + 10);
	CUDA(cudaFree(values));
	CUDA(cudaFree(list));
	CUDA(cudaFree(sum));
	return ok();
}
