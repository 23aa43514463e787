/* CUB: reduction, prefix sum, radix sort of pairs. */
#include "program.h"

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_reduce.cuh>
#include <cub/device/device_scan.cuh>

#include <algorithm>
#include <numeric>

int
main()
{
	const int count = 30000;
	std::vector<int> in = random_ints(count, 1 << 20, 31), order(count);
	std::iota(order.begin(), order.end(), 0);
	int *device_in = to_device(in), *device_order = to_device(order);
	int *device_out, *device_out_order;
	CUDA(cudaMalloc(&device_out, count * sizeof(int)));
	CUDA(cudaMalloc(&device_out_order, count * sizeof(int)));

	size_t size = 0, needed;
	CUDA(cub::DeviceReduce::Sum(nullptr, needed, device_in, device_out, count));
	size = std::max(size, needed);
	CUDA(cub::DeviceScan::ExclusiveSum(nullptr, needed, device_in, device_out, count));
	size = std::max(size, needed);
	CUDA(cub::DeviceRadixSort::SortPairs(nullptr, needed, device_in, device_out, device_order,
					     device_out_order, count));
	size = std::max(size, needed);
	void *scratch;
	CUDA(cudaMalloc(&scratch, size));

	needed = size;
	CUDA(cub::DeviceReduce::Sum(scratch, needed, device_in, device_out, count));
	int sum = to_host(device_out, 1)[0];
	EXPECT(sum == (int)std::accumulate(in.begin(), in.end(), 0u));
	printf("sum: %d\n", sum);

	needed = size;
	CUDA(cub::DeviceScan::ExclusiveSum(scratch, needed, device_in, device_out, count));
	std::vector<int> scanned = to_host(device_out, count);
	unsigned before = 0;
	for (int i = 0; i < count; i++) {
		EXPECT((unsigned)scanned[i] == before);
		before += (unsigned)in[i];
	}
	print_checksum("scan", scanned);

	needed = size;
	CUDA(cub::DeviceRadixSort::SortPairs(scratch, needed, device_in, device_out, device_order,
					     device_out_order, count));
	std::vector<int> keys = to_host(device_out, count);
	std::vector<int> values = to_host(device_out_order, count);
	std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return in[a] < in[b]; });
	EXPECT(values == order);
	for (int i = 0; i < count; i++)
		EXPECT(keys[i] == in[order[i]]);
	print_checksum("sort", values);
	CUDA(cudaFree(device_in));
	CUDA(cudaFree(device_order));
	CUDA(cudaFree(device_out));
	CUDA(cudaFree(device_out_order));
	CUDA(cudaFree(scratch));
	return ok();
}
