/* Many pairs of cudaMalloc and cudaFree; `many_mallocs 100` has as many round trips. */
#include "program.h"

int
main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 10000;
	Random random = {121};
	void *live[16] = {};
	for (int i = 0; i < count; i++) {
		void *&slot = live[random.below(16)];
		CUDA(cudaFree(slot));
		size_t size = (size_t)1 << random.below(21);
		CUDA(cudaMalloc(&slot, size + random.below(100)));
		EXPECT(((uintptr_t)slot & 255) == 0);
	}
	/* Nothing that lives overlaps. */
	for (int i = 0; i < 16; i++)
		for (int k = 0; k < i; k++)
			EXPECT(!live[i] || live[i] != live[k]);
	for (void *p : live)
		CUDA(cudaFree(p));
	CUDA(cudaDeviceSynchronize());
	return ok();
}
