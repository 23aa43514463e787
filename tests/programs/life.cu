/* The game of life, with halos in shared memory; sixteen generations are a graph. */
#include "program.h"

constexpr int WIDTH = 96, HEIGHT = 64, TILE = 16;

__global__ void
generation(const unsigned char *in, unsigned char *out)
{
	__shared__ unsigned char cells[TILE + 2][TILE + 2];
	int x0 = blockIdx.x * TILE, y0 = blockIdx.y * TILE;
	for (int i = threadIdx.y * TILE + threadIdx.x; i < (TILE + 2) * (TILE + 2);
	     i += TILE * TILE) {
		int x = (x0 + i % (TILE + 2) - 1 + WIDTH) % WIDTH;
		int y = (y0 + i / (TILE + 2) - 1 + HEIGHT) % HEIGHT;
		cells[i / (TILE + 2)][i % (TILE + 2)] = in[y * WIDTH + x];
	}
	__syncthreads();
	int alive = 0;
	for (int dy = 0; dy < 3; dy++)
		for (int dx = 0; dx < 3; dx++)
			if (dx != 1 || dy != 1)
				alive += cells[threadIdx.y + dy][threadIdx.x + dx];
	bool now = cells[threadIdx.y + 1][threadIdx.x + 1];
	out[(y0 + threadIdx.y) * WIDTH + x0 + threadIdx.x] = alive == 3 || (now && alive == 2);
}

static std::vector<unsigned char>
generation_on_host(const std::vector<unsigned char> &in)
{
	std::vector<unsigned char> out(in.size());
	for (int y = 0; y < HEIGHT; y++)
		for (int x = 0; x < WIDTH; x++) {
			int alive = 0;
			for (int d = 0; d < 9; d++)
				if (d != 4)
					alive += in[(y + d / 3 - 1 + HEIGHT) % HEIGHT * WIDTH +
						    (x + d % 3 - 1 + WIDTH) % WIDTH];
			out[y * WIDTH + x] = alive == 3 || (in[y * WIDTH + x] && alive == 2);
		}
	return out;
}

int
main()
{
	std::vector<unsigned char> cells(WIDTH * HEIGHT);
	Random random = {2};
	for (unsigned char &cell : cells)
		cell = random.below(3) == 0;
	unsigned char *board[2] = {to_device(cells)};
	CUDA(cudaMalloc(&board[1], cells.size()));

	cudaStream_t stream;
	cudaGraph_t graph;
	cudaGraphExec_t exec;
	CUDA(cudaStreamCreate(&stream));
	CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
	for (int i = 0; i < 16; i++)
		generation<<<dim3(WIDTH / TILE, HEIGHT / TILE), dim3(TILE, TILE), 0, stream>>>(
			board[i % 2], board[(i + 1) % 2]);
	CUDA(cudaStreamEndCapture(stream, &graph));
	CUDA(cudaGraphInstantiate(&exec, graph, 0));
	for (int round = 0; round < 4; round++) {
		CUDA(cudaGraphLaunch(exec, stream));
		CUDA(cudaStreamSynchronize(stream));
		for (int i = 0; i < 16; i++)
			cells = generation_on_host(cells);
		EXPECT(to_host(board[0], cells.size()) == cells);
		print_checksum("cells", cells);
	}
	CUDA(cudaGraphExecDestroy(exec));
	CUDA(cudaGraphDestroy(graph));
	CUDA(cudaStreamDestroy(stream));
	return ok();
}
