/* A grid that meets at a barrier: each step needs what all blocks did in the step before. */
#include "program.h"

#include <cooperative_groups.h>

namespace cg = cooperative_groups;

/* Rule 110 on a ring of cells. */
__global__ void
automaton(unsigned char *a, unsigned char *b, int cells, int steps)
{
	cg::grid_group grid = cg::this_grid();
	for (int step = 0; step < steps; step++) {
		for (int i = grid.thread_rank(); i < cells; i += grid.size()) {
			int left = a[(i + cells - 1) % cells], right = a[(i + 1) % cells];
			b[i] = 110 >> (left * 4 + a[i] * 2 + right) & 1;
		}
		grid.sync();
		unsigned char *swap = a;
		a = b;
		b = swap;
	}
}

int
main()
{
	int supported, multiprocessors, per_multiprocessor;
	CUDA(cudaDeviceGetAttribute(&supported, cudaDevAttrCooperativeLaunch, 0));
	if (!supported)
		skip("the device has no cooperative launch");
	CUDA(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
	CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_multiprocessor, automaton, 64, 0));
	int blocks = multiprocessors * per_multiprocessor;
	EXPECT(blocks >= 1);
	if (blocks > 8)
		blocks = 8;

	const int cells = 1000, steps = 200;
	std::vector<unsigned char> state(cells), next(cells);
	state[cells / 2] = state[10] = state[500] = 1;
	unsigned char *a = to_device(state), *b = to_device(state);
	int cells_arg = cells, steps_arg = steps;
	void *args[] = {&a, &b, &cells_arg, &steps_arg};
	CUDA(cudaLaunchCooperativeKernel((void *)automaton, dim3(blocks), dim3(64), args, 0, 0));
	for (int step = 0; step < steps; step++) {
		for (int i = 0; i < cells; i++)
			next[i] = 110 >> (state[(i + cells - 1) % cells] * 4 + state[i] * 2 +
					  state[(i + 1) % cells]) &
				  1;
		state.swap(next);
	}
	EXPECT(to_host(a, cells) == state);
	print_checksum("cells", state);

	/* More blocks than can be resident at once cannot meet. */
	EXPECT_ERROR(
		cudaLaunchCooperativeKernel((void *)automaton, dim3(1 << 20), dim3(64), args, 0, 0),
		cudaErrorCooperativeLaunchTooLarge);
	cudaGetLastError();
	CUDA(cudaFree(a));
	CUDA(cudaFree(b));
	return ok();
}
