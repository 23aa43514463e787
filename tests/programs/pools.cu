/* Memory pools: made, measured, trimmed, exchanged, and what is allocated from them. */
#include "program.h"

#define MIB ((size_t)1 << 20)

__global__ void
fill(int *values, int count, int value)
{
	int i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < count)
		values[i] = value + i;
}

static cudaStream_t stream;

static uint64_t
get(cudaMemPool_t pool, cudaMemPoolAttr attribute)
{
	uint64_t value = ~0ull;
	CUDA(cudaMemPoolGetAttribute(pool, attribute, &value));
	return value;
}

static void
set(cudaMemPool_t pool, cudaMemPoolAttr attribute, uint64_t value)
{
	CUDA(cudaMemPoolSetAttribute(pool, attribute, &value));
}

static cudaMemPool_t
create(size_t max_size = 0)
{
	cudaMemPoolProps props = {};
	cudaMemPool_t pool;
	props.allocType = cudaMemAllocationTypePinned;
	props.handleTypes = cudaMemHandleTypeNone;
	props.location.type = cudaMemLocationTypeDevice;
	props.location.id = 0;
	props.maxSize = max_size;
	CUDA(cudaMemPoolCreate(&pool, &props));
	return pool;
}

static void
use(int *memory, int count, int value)
{
	fill<<<(count + 127) / 128, 128, 0, stream>>>(memory, count, value);
	LAUNCHED();
	std::vector<int> got(count);
	CUDA(cudaMemcpyAsync(got.data(), memory, count * sizeof(int), cudaMemcpyDeviceToHost,
			     stream));
	CUDA(cudaStreamSynchronize(stream));
	EXPECT(got[0] == value && got[count - 1] == value + count - 1);
}

static void
numbers()
{
	cudaMemPool_t pool = create();
	int *a, *b, reuse = -1;

	EXPECT(get(pool, cudaMemPoolAttrReleaseThreshold) == 0);
	CUDA(cudaMemPoolGetAttribute(pool, cudaMemPoolReuseFollowEventDependencies, &reuse));
	EXPECT(reuse == 1);
	reuse = 0;
	CUDA(cudaMemPoolSetAttribute(pool, cudaMemPoolReuseAllowOpportunistic, &reuse));
	reuse = -1;
	CUDA(cudaMemPoolGetAttribute(pool, cudaMemPoolReuseAllowOpportunistic, &reuse));
	EXPECT(reuse == 0);
	EXPECT(get(pool, cudaMemPoolAttrUsedMemCurrent) == 0);

	set(pool, cudaMemPoolAttrReleaseThreshold, UINT64_MAX);
	CUDA(cudaMallocFromPoolAsync(&a, 8 * MIB, pool, stream));
	CUDA(cudaMallocFromPoolAsync(&b, 4 * MIB, pool, stream));
	use(a, 2 * MIB, 5);
	use(b, MIB, 6);
	EXPECT(get(pool, cudaMemPoolAttrUsedMemCurrent) == 12 * MIB);
	EXPECT(get(pool, cudaMemPoolAttrUsedMemHigh) == 12 * MIB);
	EXPECT(get(pool, cudaMemPoolAttrReservedMemCurrent) >= 12 * MIB);
	EXPECT(get(pool, cudaMemPoolAttrReservedMemHigh) >= 12 * MIB);
	CUDA(cudaFreeAsync(a, stream));
	CUDA(cudaStreamSynchronize(stream));
	EXPECT(get(pool, cudaMemPoolAttrUsedMemCurrent) == 4 * MIB);
	EXPECT(get(pool, cudaMemPoolAttrUsedMemHigh) == 12 * MIB);
	EXPECT(get(pool, cudaMemPoolAttrReservedMemCurrent) >= 12 * MIB); /* kept */
	set(pool, cudaMemPoolAttrUsedMemHigh, 0);
	EXPECT(get(pool, cudaMemPoolAttrUsedMemHigh) == 4 * MIB);
	uint64_t one = 1;
	EXPECT_ERROR(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &one),
		     cudaErrorInvalidValue);
	EXPECT_ERROR(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &one),
		     cudaErrorInvalidValue);
	(void)cudaGetLastError();

	CUDA(cudaFreeAsync(b, stream));
	CUDA(cudaStreamSynchronize(stream));
	EXPECT(get(pool, cudaMemPoolAttrUsedMemCurrent) == 0);
	EXPECT(get(pool, cudaMemPoolAttrReservedMemCurrent) != 0);
	CUDA(cudaMemPoolTrimTo(pool, 0));
	EXPECT(get(pool, cudaMemPoolAttrReservedMemCurrent) == 0);

	/* Without a threshold a synchronisation gives everything back. */
	set(pool, cudaMemPoolAttrReleaseThreshold, 0);
	CUDA(cudaMallocFromPoolAsync(&a, MIB, pool, stream));
	CUDA(cudaFreeAsync(a, stream));
	CUDA(cudaStreamSynchronize(stream));
	EXPECT(get(pool, cudaMemPoolAttrReservedMemCurrent) == 0);
	CUDA(cudaMemPoolDestroy(pool));
	printf("numbers: fine\n");
}

static void
current()
{
	cudaMemPool_t pool = create(), standard, now;
	int *memory;

	CUDA(cudaDeviceGetDefaultMemPool(&standard, 0));
	CUDA(cudaDeviceGetMemPool(&now, 0));
	EXPECT(now == standard && standard != pool);
	CUDA(cudaDeviceSetMemPool(0, pool));
	CUDA(cudaDeviceGetMemPool(&now, 0));
	EXPECT(now == pool);
	CUDA(cudaMallocAsync(&memory, MIB, stream));
	EXPECT(get(pool, cudaMemPoolAttrUsedMemCurrent) == MIB);
	use(memory, 1000, 7);
	cudaPointerAttributes attributes;
	CUDA(cudaPointerGetAttributes(&attributes, memory));
	EXPECT(attributes.type == cudaMemoryTypeDevice && attributes.device == 0);
	CUDA(cudaFreeAsync(memory, stream));
	CUDA(cudaStreamSynchronize(stream));
	CUDA(cudaMemPoolDestroy(pool));
	CUDA(cudaDeviceGetMemPool(&now, 0));
	EXPECT(now == standard); /* the current one was destroyed */
	EXPECT_ERROR(cudaMemPoolDestroy(standard), cudaErrorInvalidValue);
	(void)cudaGetLastError();

	cudaMemAccessFlags flags = cudaMemAccessFlagsProtNone;
	cudaMemLocation here = {};
	here.type = cudaMemLocationTypeDevice;
	CUDA(cudaMemPoolGetAccess(&flags, standard, &here));
	EXPECT(flags == cudaMemAccessFlagsProtReadWrite);
	cudaMemAccessDesc desc = {};
	desc.location = here;
	desc.flags = cudaMemAccessFlagsProtReadWrite;
	CUDA(cudaMemPoolSetAccess(standard, &desc, 1));
	printf("current: fine\n");
}

/* Freed in one stream, used again there at once; with cudaFree; destroyed while in use. */
static void
lifetimes()
{
	cudaMemPool_t pool = create();
	int *memory, *rest;

	for (int i = 0; i < 50; i++) {
		CUDA(cudaMallocFromPoolAsync(&memory, 3 * MIB, pool, stream));
		fill<<<16, 256, 0, stream>>>(memory, 4096, i);
		LAUNCHED();
		CUDA(cudaFreeAsync(memory, stream));
	}
	CUDA(cudaMallocFromPoolAsync(&memory, 3 * MIB, pool, stream));
	use(memory, 4096, 99);
	CUDA(cudaFree(memory));
	CUDA(cudaMallocFromPoolAsync(&rest, MIB, pool, stream));
	use(rest, 100, 1);
	CUDA(cudaFreeAsync(rest, stream));
	CUDA(cudaMemPoolDestroy(pool)); /* what was submitted is still done */
	CUDA(cudaStreamSynchronize(stream));

	cudaMemPool_t small = create(64 * MIB);
	CUDA(cudaMallocFromPoolAsync(&memory, 32 * MIB, small, stream));
	EXPECT_ERROR(cudaMallocFromPoolAsync(&rest, 256 * MIB, small, stream),
		     cudaErrorMemoryAllocation);
	(void)cudaGetLastError();
	CUDA(cudaFreeAsync(memory, stream));
	CUDA(cudaStreamSynchronize(stream));
	CUDA(cudaMemPoolDestroy(small));
	printf("lifetimes: fine\n");
}

int
main()
{
	int supported = 0;
	CUDA(cudaDeviceGetAttribute(&supported, cudaDevAttrMemoryPoolsSupported, 0));
	if (!supported)
		skip("the device has no memory pools");
	CUDA(cudaStreamCreate(&stream));
	numbers();
	current();
	lifetimes();
	CUDA(cudaStreamDestroy(stream));
	return ok();
}
