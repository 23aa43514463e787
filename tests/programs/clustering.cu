/*
 * k-means: distances, assignment and new centres with atomics in shared memory. Coordinates are
 * fixed-point numbers, so every order of adding gives the same.
 */
#include "program.h"

#include <climits>

constexpr int POINTS = 3000, CENTRES = 7, DIMENSIONS = 3;

struct Centre {
	long long sum[DIMENSIONS];
	int count;
};

__constant__ int centres[CENTRES][DIMENSIONS];

__global__ void
assign(const int3 *points, int *owner, Centre *sums, int *changed)
{
	__shared__ Centre local[CENTRES];
	for (int i = threadIdx.x; i < (int)(sizeof(local) / 4); i += blockDim.x)
		((int *)local)[i] = 0;
	__syncthreads();
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < POINTS) {
		int3 point = points[i];
		long long best = LLONG_MAX;
		int nearest = 0;
#pragma unroll
		for (int c = 0; c < CENTRES; c++) {
			long long dx = point.x - centres[c][0], dy = point.y - centres[c][1],
				  dz = point.z - centres[c][2];
			long long distance = dx * dx + dy * dy + dz * dz;
			if (distance < best) {
				best = distance;
				nearest = c;
			}
		}
		if (owner[i] != nearest) {
			owner[i] = nearest;
			*changed = 1;
		}
		atomicAdd((unsigned long long *)&local[nearest].sum[0], (long long)point.x);
		atomicAdd((unsigned long long *)&local[nearest].sum[1], (long long)point.y);
		atomicAdd((unsigned long long *)&local[nearest].sum[2], (long long)point.z);
		atomicAdd(&local[nearest].count, 1);
	}
	__syncthreads();
	if (threadIdx.x < CENTRES) {
		for (int d = 0; d < DIMENSIONS; d++)
			atomicAdd((unsigned long long *)&sums[threadIdx.x].sum[d],
				  (unsigned long long)local[threadIdx.x].sum[d]);
		atomicAdd(&sums[threadIdx.x].count, local[threadIdx.x].count);
	}
}

int
main()
{
	std::vector<int3> points(POINTS);
	Random random = {99};
	for (int3 &point : points) {
		int near = (int)random.below(CENTRES) * 1000;
		point = {near + (int)random.below(900), (near * 7) % 4001 + (int)random.below(900),
			 (near * 3) % 5003 - (int)random.below(900)};
	}
	int host_centres[CENTRES][DIMENSIONS];
	for (int c = 0; c < CENTRES; c++) {
		host_centres[c][0] = points[c * 400].x;
		host_centres[c][1] = points[c * 400].y;
		host_centres[c][2] = points[c * 400].z;
	}
	std::vector<int> owner(POINTS, -1);
	int3 *d_points = to_device(points);
	int *d_owner = to_device(owner), *changed;
	Centre *sums;
	CUDA(cudaMallocManaged(&sums, sizeof(Centre) * CENTRES));
	CUDA(cudaHostAlloc(&changed, sizeof(int), cudaHostAllocMapped));
	int rounds = 0;
	do {
		*changed = 0;
		CUDA(cudaMemset(sums, 0, sizeof(Centre) * CENTRES));
		CUDA(cudaMemcpyToSymbol(centres, host_centres, sizeof(host_centres)));
		assign<<<(POINTS + 127) / 128, 128>>>(d_points, d_owner, sums, changed);
		LAUNCHED();
		CUDA(cudaDeviceSynchronize());
		for (int c = 0; c < CENTRES; c++)
			for (int d = 0; d < DIMENSIONS && sums[c].count; d++)
				host_centres[c][d] = (int)(sums[c].sum[d] / sums[c].count);
		rounds++;
	} while (*changed && rounds < 100);

	/* Every point must be at its nearest centre, and the centres in the middle. */
	owner = to_host(d_owner, POINTS);
	Centre check[CENTRES] = {};
	for (int i = 0; i < POINTS; i++) {
		check[owner[i]].sum[0] += points[i].x;
		check[owner[i]].count++;
	}
	for (int c = 0; c < CENTRES; c++) {
		EXPECT(check[c].count == sums[c].count && check[c].sum[0] == sums[c].sum[0]);
		printf("centre %d %d %d: %d points\n", host_centres[c][0], host_centres[c][1],
		       host_centres[c][2], sums[c].count);
	}
	printf("rounds: %d\n", rounds);
	print_checksum("owners", owner);
	return ok();
}
