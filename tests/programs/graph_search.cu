/*
 * Graphs as data: breadth-first search with a queue on the device, shortest paths of all pairs,
 * and PageRank with integers.
 */
#include "program.h"

#include <algorithm>
#include <queue>

constexpr int NODES = 700, EDGES = 2800;

__global__ void
expand(const int *first, const int *next, int *level, const int *frontier, int count,
       int *next_frontier, int *next_count, int depth)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i >= count)
		return;
	int node = frontier[i];
	for (int e = first[node]; e < first[node + 1]; e++) {
		int to = next[e];
		if (atomicCAS(&level[to], -1, depth) == -1)
			next_frontier[atomicAdd(next_count, 1)] = to;
	}
}

/* Floyd and Warshall, one step: through node @k. */
__global__ void
shorten(int *distance, int size, int k)
{
	int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
	if (x >= size || y >= size)
		return;
	int through = distance[y * size + k] + distance[k * size + x];
	if (through < distance[y * size + x])
		distance[y * size + x] = through;
}

/* Rank in 1/2^32, flowing along the edges: integers add in any order. */
__global__ void
flow(const int *first, const int *next, const unsigned long long *rank, unsigned long long *to)
{
	int node = blockIdx.x * blockDim.x + threadIdx.x;
	if (node >= NODES)
		return;
	int degree = first[node + 1] - first[node];
	if (!degree)
		return;
	unsigned long long share = rank[node] / degree * 85 / 100;
	for (int e = first[node]; e < first[node + 1]; e++)
		atomicAdd(&to[next[e]], share);
}

static std::vector<int> first(NODES + 1), next_node;

static void
make_graph()
{
	std::vector<std::vector<int>> out(NODES);
	Random random = {17};
	for (int e = 0; e < EDGES; e++)
		out[random.below(NODES)].push_back((int)random.below(NODES - 20));
	for (int node = 0; node < NODES; node++) {
		first[node] = (int)next_node.size();
		next_node.insert(next_node.end(), out[node].begin(), out[node].end());
	}
	first[NODES] = (int)next_node.size();
}

static std::vector<int>
search_on_host(int start)
{
	std::vector<int> level(NODES, -1);
	std::queue<int> queue;
	level[start] = 0;
	queue.push(start);
	while (!queue.empty()) {
		int node = queue.front();
		queue.pop();
		for (int e = first[node]; e < first[node + 1]; e++)
			if (level[next_node[e]] == -1) {
				level[next_node[e]] = level[node] + 1;
				queue.push(next_node[e]);
			}
	}
	return level;
}

int
main()
{
	make_graph();
	int *d_first = to_device(first), *d_next = to_device(next_node);

	std::vector<int> level(NODES, -1);
	level[0] = 0;
	int *d_level = to_device(level), *frontier[2], *d_count, count = 1, zero = 0;
	CUDA(cudaMalloc(&frontier[0], NODES * sizeof(int)));
	CUDA(cudaMalloc(&frontier[1], NODES * sizeof(int)));
	CUDA(cudaMalloc(&d_count, sizeof(int)));
	CUDA(cudaMemcpy(frontier[0], &zero, sizeof(int), cudaMemcpyHostToDevice));
	int depth = 0;
	while (count) {
		CUDA(cudaMemset(d_count, 0, sizeof(int)));
		expand<<<(count + 63) / 64, 64>>>(d_first, d_next, d_level, frontier[depth % 2],
						  count, frontier[(depth + 1) % 2], d_count,
						  depth + 1);
		LAUNCHED();
		CUDA(cudaMemcpy(&count, d_count, sizeof(int), cudaMemcpyDeviceToHost));
		depth++;
	}
	level = to_host(d_level, NODES);
	EXPECT(level == search_on_host(0));
	printf("levels: %d\n", depth);
	print_checksum("search", level);

	const int size = 48;
	std::vector<int> distance(size * size);
	Random random = {5};
	for (int i = 0; i < size * size; i++)
		distance[i] = i % (size + 1) == 0      ? 0
			      : random.below(100) < 15 ? 1 + (int)random.below(50)
						       : 1000000;
	int *d_distance = to_device(distance);
	for (int k = 0; k < size; k++)
		shorten<<<dim3(3, 3), dim3(16, 16)>>>(d_distance, size, k);
	LAUNCHED();
	for (int k = 0; k < size; k++)
		for (int i = 0; i < size * size; i++)
			distance[i] = std::min(distance[i], distance[i / size * size + k] +
								    distance[k * size + i % size]);
	EXPECT(to_host(d_distance, size * size) == distance);
	print_checksum("distances", distance);

	std::vector<unsigned long long> rank(NODES, 1ull << 32),
		base(NODES, (1ull << 32) * 15 / 100);
	unsigned long long *d_rank = to_device(rank), *d_to;
	CUDA(cudaMalloc(&d_to, NODES * sizeof(*d_to)));
	for (int round = 0; round < 20; round++) {
		CUDA(cudaMemcpy(d_to, base.data(), NODES * sizeof(*d_to), cudaMemcpyHostToDevice));
		flow<<<(NODES + 127) / 128, 128>>>(d_first, d_next, d_rank, d_to);
		std::swap(d_rank, d_to);
		std::vector<unsigned long long> to = base;
		for (int node = 0; node < NODES; node++)
			for (int e = first[node]; e < first[node + 1]; e++)
				to[next_node[e]] +=
					rank[node] / (first[node + 1] - first[node]) * 85 / 100;
		rank = to;
	}
	LAUNCHED();
	EXPECT(to_host(d_rank, NODES) == rank);
	print_checksum("rank", rank);
	return ok();
}
