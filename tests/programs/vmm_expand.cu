/*
 * Segments that grow and shrink, as PyTorch's expandable_segments do it: a huge range is reserved,
 * pieces of 2 and 20 MiB are mapped behind each other, their handles released at once, the end is
 * unmapped again. With an argument: so many rounds; tests/run counts the round trips.
 */
#include "driver.h"

#include <deque>

#define MIB ((size_t)1 << 20)

__global__ void
fill(unsigned *values, size_t count, unsigned seed)
{
	size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
	for (; i < count; i += gridDim.x * (size_t)blockDim.x)
		values[i] = (unsigned)i * 2654435761u + seed;
}

/* Counts what is not as fill() left it. */
__global__ void
check(const unsigned *values, size_t count, unsigned seed, unsigned *wrong)
{
	size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
	for (; i < count; i += gridDim.x * (size_t)blockDim.x)
		if (values[i] != (unsigned)i * 2654435761u + seed)
			atomicAdd(wrong, 1);
}

struct Segment {
	CUdeviceptr base;
	size_t piece, room;
	size_t mapped = 0;

	Segment(size_t piece, size_t room) : piece(piece), room(room)
	{
		CU(DRIVER(cuMemAddressReserve)(&base, room, 0, 0, 0));
	}
	~Segment()
	{
		shrink(0);
		CU(DRIVER(cuMemAddressFree)(base, room));
	}
	void grow(size_t size)
	{
		static auto create = DRIVER(cuMemCreate);
		static auto map = DRIVER(cuMemMap);
		static auto release = DRIVER(cuMemRelease);
		static auto set_access = DRIVER(cuMemSetAccess);
		CUmemAllocationProp prop = {};
		CUmemAccessDesc desc = {};
		size_t from = mapped;
		prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
		prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, {0}};
		desc.location = prop.location;
		desc.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
		for (; mapped < size; mapped += piece) {
			CUmemGenericAllocationHandle handle;
			CU(create(&handle, piece, &prop, 0));
			CU(map(base + mapped, piece, 0, handle, 0));
			CU(release(handle));
		}
		if (mapped > from)
			CU(set_access(base + from, mapped - from, &desc, 1));
	}
	void shrink(size_t size)
	{
		static auto unmap = DRIVER(cuMemUnmap);
		CUDA(cudaStreamSynchronize(0)); /* as PyTorch does: nothing uses it any more */
		while (mapped > size) {
			mapped -= piece;
			CU(unmap(base + mapped, piece));
		}
	}
};

int
main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 40, supported = 0;
	CUDA(cudaFree(nullptr));
	CU(DRIVER(cuDeviceGetAttribute)(
		&supported, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0));
	if (!supported)
		skip("the device has no virtual memory management");

	unsigned *wrong;
	CUDA(cudaMalloc(&wrong, sizeof(*wrong)));
	CUDA(cudaMemset(wrong, 0, sizeof(*wrong)));
	{
		Segment small(2 * MIB, 64 << 20), large(20 * MIB, (size_t)160 << 30);
		Random random = {42};
		for (int round = 0; round < rounds; round++) {
			small.grow((1 + random.below(8)) * 2 * MIB);
			large.grow((1 + random.below(4)) * 20 * MIB);
			/* A little at each end: the pieces are one range. */
			size_t count = 3000;
			unsigned *end = (unsigned *)(large.base + large.mapped) - count;
			unsigned *middle = (unsigned *)(small.base + small.mapped / 2) - count / 2;
			if (small.mapped == 2 * MIB)
				middle = (unsigned *)small.base;
			fill<<<4, 128>>>(end, count, round);
			LAUNCHED();
			fill<<<4, 128>>>(middle, count, ~round);
			LAUNCHED();
			check<<<4, 128>>>(end, count, round, wrong);
			LAUNCHED();
			check<<<4, 128>>>(middle, count, ~round, wrong);
			LAUNCHED();
			if (round % 8 == 7) {
				small.shrink(0);
				large.shrink(20 * MIB);
			}
		}
	}
	unsigned result;
	CUDA(cudaMemcpy(&result, wrong, sizeof(result), cudaMemcpyDeviceToHost));
	EXPECT(result == 0);
	CUDA(cudaFree(wrong));
	return ok();
}
