/*
 * Allocates until there is no memory: the error comes at the call that cannot be served, it is not
 * sticky, what was allocated works, and what is freed can be had again. `memory_limit share` is for
 * tests/fault: it takes what it can get beside others, checks it, and says "ok" all the same.
 */
#include "program.h"

#include <algorithm>
#include <cstring>
#include <unistd.h>

__global__ void
mark(int *p, int value)
{
	*p = value;
}

struct Block {
	char *p;
	size_t size;
};

static std::vector<Block> blocks;
static size_t held;

/* As many blocks of @size as there is memory for. */
static void
fill(size_t size)
{
	for (;;) {
		char *p = nullptr;
		cudaError_t error = cudaMalloc(&p, size);
		if (error != cudaSuccess) {
			EXPECT(error == cudaErrorMemoryAllocation);
			EXPECT(p == nullptr);
			/* The last error is that of the call, once. */
			EXPECT(cudaGetLastError() == cudaErrorMemoryAllocation);
			EXPECT(cudaGetLastError() == cudaSuccess);
			/* Nothing that was asked for before fails later. */
			EXPECT(cudaDeviceSynchronize() == cudaSuccess);
			return;
		}
		blocks.push_back({p, size});
		held += size;
	}
}

static void
empty()
{
	for (const Block &block : blocks)
		CUDA(cudaFree(block.p));
	blocks.clear();
	held = 0;
}

/* The first and the last word of every block are its own. */
static void
use()
{
	for (size_t i = 0; i < blocks.size(); i++) {
		const Block &block = blocks[i];
		mark<<<1, 1>>>((int *)block.p, (int)i);
		mark<<<1, 1>>>((int *)(block.p + block.size) - 1, (int)~i);
		LAUNCHED();
	}
	CUDA(cudaDeviceSynchronize());
	for (size_t i = 0; i < blocks.size(); i++) {
		const Block &block = blocks[i];
		int first, last;
		CUDA(cudaMemcpy(&first, block.p, sizeof(int), cudaMemcpyDeviceToHost));
		CUDA(cudaMemcpy(&last, block.p + block.size - sizeof(int), sizeof(int),
				cudaMemcpyDeviceToHost));
		EXPECT(first == (int)i && last == (int)~i);
	}
}

/* All there is: large blocks, and smaller ones into what is left. */
static void
fill_up(size_t total)
{
	for (size_t size = total / 8; size >= (size_t)2 << 20; size /= 4)
		fill(size & ~(((size_t)2 << 20) - 1));
}

int
main(int argc, char **argv)
{
	bool shared = argc > 1 && !strcmp(argv[1], "share");
	size_t before, total, full, after;

	CUDA(cudaMemGetInfo(&before, &total));
	EXPECT(before <= total && (shared || before > 0));
	if (shared) {
		for (int round = 0; round < 3; round++) {
			fill_up(total);
			use();
			empty();
		}
		return ok();
	}
	/* More than there is, at once. */
	void *p = nullptr;
	EXPECT(cudaMalloc(&p, total + total / 2) == cudaErrorMemoryAllocation);
	EXPECT(cudaGetLastError() == cudaErrorMemoryAllocation);
	EXPECT(cudaGetLastError() == cudaSuccess);

	size_t first = 0;
	for (int round = 0; round < 3; round++) {
		fill_up(total);
		CUDA(cudaMemGetInfo(&full, &total));
		/* Nearly all could be had, and little is left. */
		EXPECT(held >= before - before / 8);
		EXPECT(held <= total);
		EXPECT(full <= before / 8);
		EXPECT(held + full <= total);
		if (!round)
			first = held;
		/* As much as the first time, but for a few blocks. */
		EXPECT(held + total / 32 >= first);
		use();
		/* One block is given back: another of its size can be had. */
		Block given = blocks[blocks.size() / 2];
		CUDA(cudaFree(given.p));
		CUDA(cudaMalloc(&blocks[blocks.size() / 2].p, given.size));
		use();
		empty();
		CUDA(cudaMemGetInfo(&after, &total));
		EXPECT(after + total / 32 >= before);
	}
	/* Small ones, of which many share a page, until the last page is full. */
	fill_up(total);
	for (size_t freed = 0; freed < (size_t)16 << 20; blocks.pop_back()) {
		CUDA(cudaFree(blocks.back().p));
		freed += blocks.back().size;
	}
	for (size_t size : {(size_t)3000, (size_t)100000, (size_t)1 << 20}) {
		for (int i = 0; i < 8; i++) {
			char *small;
			CUDA(cudaMalloc(&small, size));
			blocks.push_back({small, size});
		}
	}
	fill((size_t)1 << 20);
	fill(4096);
	use();
	empty();
	CUDA(cudaDeviceSynchronize());
	return ok();
}
