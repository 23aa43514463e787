/*
 * Thrust the way programs use it: vectors, fancy iterators, algorithms by key, searches, a stream
 * of their own.
 */
#include "program.h"

#include <thrust/adjacent_difference.h>
#include <thrust/binary_search.h>
#include <thrust/copy.h>
#include <thrust/count.h>
#include <thrust/device_vector.h>
#include <thrust/execution_policy.h>
#include <thrust/extrema.h>
#include <thrust/gather.h>
#include <thrust/host_vector.h>
#include <thrust/inner_product.h>
#include <thrust/iterator/constant_iterator.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/permutation_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <thrust/iterator/zip_iterator.h>
#include <thrust/partition.h>
#include <thrust/random.h>
#include <thrust/reduce.h>
#include <thrust/remove.h>
#include <thrust/scan.h>
#include <thrust/scatter.h>
#include <thrust/transform_reduce.h>
#include <thrust/tuple.h>
#include <thrust/unique.h>

#include <algorithm>
#include <numeric>

struct Modulo {
	int by;
	__host__ __device__ int operator()(int x) const
	{
		return x % by;
	}
};
struct IsOdd {
	__host__ __device__ bool operator()(int x) const
	{
		return x & 1;
	}
};
struct AddProduct {
	__host__ __device__ long long operator()(thrust::tuple<int, int> pair) const
	{
		return (long long)thrust::get<0>(pair) * thrust::get<1>(pair);
	}
};
struct Noise {
	__host__ __device__ int operator()(int i) const
	{
		thrust::minstd_rand engine(7);
		engine.discard(i);
		return thrust::uniform_int_distribution<int>(0, 999)(engine);
	}
};

template <typename VECTOR>
static std::vector<int>
host(const VECTOR &vector)
{
	std::vector<int> copy(vector.size());
	thrust::copy(vector.begin(), vector.end(), copy.begin());
	return copy;
}

int
main()
{
	const int n = 2000;
	std::vector<int> values = random_ints(n, 1000, 77);
	thrust::device_vector<int> v(values.begin(), values.end()), w(n), keys(n);

	v.assign(values.begin(), values.end());
	thrust::transform(v.begin(), v.end(), keys.begin(), Modulo{7});
	/* The order that sorting by key would give. */
	std::vector<int> order(n);
	std::iota(order.begin(), order.end(), 0);
	std::stable_sort(order.begin(), order.end(),
			 [&](int a, int b) { return values[a] % 7 < values[b] % 7; });
	w = order;
	thrust::copy(thrust::make_permutation_iterator(v.begin(), w.begin()),
		     thrust::make_permutation_iterator(v.begin(), w.end()), keys.begin());
	thrust::transform(keys.begin(), keys.end(), keys.begin(), Modulo{7});
	thrust::device_vector<int> groups(7), sums(7);
	auto ends = thrust::reduce_by_key(keys.begin(), keys.end(),
					  thrust::make_permutation_iterator(v.begin(), w.begin()),
					  groups.begin(), sums.begin());
	EXPECT(ends.first - groups.begin() == 7);
	for (int k = 0; k < 7; k++) {
		int sum = 0;
		for (int value : values)
			sum += value % 7 == k ? value : 0;
		EXPECT(groups[k] == k && sums[k] == sum);
	}
	print_checksum("sums by key", host(sums));

	auto end = thrust::unique_copy(keys.begin(), keys.end(), groups.begin());
	EXPECT(end == groups.end());
	thrust::device_vector<int> scanned(n);
	thrust::inclusive_scan_by_key(keys.begin(), keys.end(), thrust::make_constant_iterator(1),
				      scanned.begin());
	print_checksum("counts by key", host(scanned));

	/* Searching. */
	thrust::device_vector<int> evens(500);
	thrust::tabulate(evens.begin(), evens.end(), [] __device__(int i) { return 2 * i; });
	thrust::device_vector<int> wanted(3), places(3);
	wanted[0] = 5, wanted[1] = 500, wanted[2] = 5000;
	thrust::lower_bound(evens.begin(), evens.end(), wanted.begin(), wanted.end(),
			    places.begin());
	EXPECT(places[0] == 3 && places[1] == 250 && places[2] == 500);
	printf("searches: right\n");

	/* Selecting. */
	v.assign(values.begin(), values.end());
	long odd = thrust::count_if(v.begin(), v.end(), IsOdd());
	auto middle = thrust::stable_partition(v.begin(), v.end(), IsOdd());
	EXPECT(middle - v.begin() == odd);
	EXPECT(odd == std::count_if(values.begin(), values.end(), IsOdd()));
	v.erase(thrust::remove_if(v.begin(), v.end(), IsOdd()), v.end());
	EXPECT((long)v.size() == n - odd);
	auto extremes = thrust::minmax_element(v.begin(), v.end());
	printf("evens: %d to %d\n", (int)*extremes.first, (int)*extremes.second);

	/* Two vectors as one, sums of what is computed on the way. */
	v.assign(values.begin(), values.end());
	w = v;
	thrust::reverse(w.begin(), w.end());
	long long product = thrust::transform_reduce(
		thrust::make_zip_iterator(thrust::make_tuple(v.begin(), w.begin())),
		thrust::make_zip_iterator(thrust::make_tuple(v.end(), w.end())), AddProduct(), 0ll,
		thrust::plus<long long>());
	EXPECT(product == thrust::inner_product(v.begin(), v.end(), w.begin(), 0ll));
	long long expected = 0;
	for (int i = 0; i < n; i++)
		expected += (long long)values[i] * values[n - 1 - i];
	EXPECT(product == expected);
	auto squares = thrust::make_transform_iterator(thrust::make_counting_iterator(0),
						       [] __device__(int i) { return i * i; });
	EXPECT(thrust::reduce(squares, squares + 100) == 328350);

	/* Gather and scatter undo each other. */
	thrust::device_vector<int> places7(n), there(n), back(n);
	thrust::tabulate(places7.begin(), places7.end(),
			 [] __device__(int i) { return i * 7 % 2000; });
	thrust::gather(places7.begin(), places7.end(), v.begin(), there.begin());
	thrust::scatter(there.begin(), there.end(), places7.begin(), back.begin());
	EXPECT(host(back) == values);

	/* In a stream, with raw memory. */
	cudaStream_t stream;
	CUDA(cudaStreamCreate(&stream));
	auto policy = thrust::cuda::par.on(stream);
	thrust::device_ptr<int> raw(to_device(values));
	thrust::adjacent_difference(policy, raw, raw + n, w.begin());
	CUDA(cudaStreamSynchronize(stream));
	std::adjacent_difference(values.begin(), values.end(), values.begin());
	EXPECT(host(w) == values);
	CUDA(cudaFree(raw.get()));
	CUDA(cudaStreamDestroy(stream));

	thrust::transform(thrust::make_counting_iterator(0), thrust::make_counting_iterator(n),
			  v.begin(), Noise());
	print_checksum("noise", host(v));
	return ok();
}
