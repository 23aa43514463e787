/* Thrust: sort, transform and reduce, unique. */
#include "program.h"

#include <thrust/device_vector.h>
#include <thrust/sort.h>
#include <thrust/transform_reduce.h>
#include <thrust/unique.h>

#include <algorithm>

struct Square {
	__host__ __device__ long long operator()(int value) const
	{
		return (long long)value * value;
	}
};

int
main()
{
	const int count = 20000;
	std::vector<int> in = random_ints(count, 5000, 41);
	thrust::device_vector<int> values(in.begin(), in.end());
	long long squares = thrust::transform_reduce(values.begin(), values.end(), Square(), 0ll,
						     thrust::plus<long long>());
	long long expected = 0;
	for (int value : in)
		expected += (long long)value * value;
	printf("sum of squares: %lld\n", squares);
	EXPECT(squares == expected);

	thrust::sort(values.begin(), values.end());
	std::sort(in.begin(), in.end());
	std::vector<int> sorted(count);
	thrust::copy(values.begin(), values.end(), sorted.begin());
	EXPECT(sorted == in);
	print_checksum("sorted", sorted);

	size_t different = thrust::unique(values.begin(), values.end()) - values.begin();
	in.erase(std::unique(in.begin(), in.end()), in.end());
	printf("different: %zu\n", different);
	EXPECT(different == in.size());
	return ok();
}
