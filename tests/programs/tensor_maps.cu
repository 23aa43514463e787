/*
 * Boxes of tensors copied to shared memory and back (cp.async.bulk.tensor): one to four dimensions,
 * corners outside of the tensor, swizzled rows, steps, the same map at another address.
 */
#include "program.h"

#include <cstring>
#include <cuda.h>
#include <cuda_fp16.h>

static __device__ unsigned
shared_address(const void *p)
{
	return (unsigned)__cvta_generic_to_shared(p);
}

static __device__ void
barrier_init(unsigned long long *barrier)
{
	asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(barrier)));
	asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

static __device__ void
expect(unsigned long long *barrier, unsigned bytes)
{
	asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
			     shared_address(barrier)),
		     "r"(bytes)
		     : "memory");
}

static __device__ void
wait(unsigned long long *barrier, unsigned parity)
{
	unsigned done = 0;
	while (!done)
		asm volatile("{\n.reg .pred p;\n"
			     "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
			     "selp.u32 %0, 1, 0, p;\n}"
			     : "=r"(done)
			     : "r"(shared_address(barrier)), "r"(parity)
			     : "memory");
}

/* One box to shared memory, and from there to plain memory as it lies. */
template <int RANK>
__global__ void
load(const __grid_constant__ CUtensorMap map, int4 at, unsigned bytes, unsigned char *out)
{
	extern __shared__ __align__(1024) unsigned char box[];
	__shared__ __align__(8) unsigned long long barrier;
	if (threadIdx.x == 0)
		barrier_init(&barrier);
	__syncthreads();
	if (threadIdx.x == 0) {
		expect(&barrier, bytes);
		if (RANK == 1)
			asm volatile("cp.async.bulk.tensor.1d.shared::cluster.global.mbarrier::"
				     "complete_tx::bytes [%0], [%1, {%2}], [%3];" ::"r"(
					     shared_address(box)),
				     "l"(&map), "r"(at.x), "r"(shared_address(&barrier))
				     : "memory");
		if (RANK == 2)
			asm volatile(
				"cp.async.bulk.tensor.2d.shared::cluster.global.tile."
				"mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
					shared_address(box)),
				"l"(&map), "r"(at.x), "r"(at.y), "r"(shared_address(&barrier))
				: "memory");
		if (RANK == 3)
			asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::"
				     "complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(
					     shared_address(box)),
				     "l"(&map), "r"(at.x), "r"(at.y), "r"(at.z),
				     "r"(shared_address(&barrier))
				     : "memory");
		if (RANK == 4)
			asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::"
				     "complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(
					     shared_address(box)),
				     "l"(&map), "r"(at.x), "r"(at.y), "r"(at.z), "r"(at.w),
				     "r"(shared_address(&barrier))
				     : "memory");
	}
	wait(&barrier, 0);
	for (unsigned i = threadIdx.x; i < bytes; i += blockDim.x)
		out[i] = box[i];
}

/* A box of numbers to the tensor. */
__global__ void
store(const __grid_constant__ CUtensorMap map, int x, int y, int count)
{
	extern __shared__ __align__(1024) unsigned char memory[];
	float *box = (float *)memory;
	for (int i = threadIdx.x; i < count; i += blockDim.x)
		box[i] = 1000.0f + i;
	asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
	__syncthreads();
	if (threadIdx.x == 0) {
		asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group "
			     "[%0, {%1, %2}], [%3];" ::"l"(&map),
			     "r"(x), "r"(y), "r"(shared_address(box))
			     : "memory");
		asm volatile("cp.async.bulk.commit_group;");
		asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
	}
}

using Encode = CUresult (*)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
			    const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
			    const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
			    CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
static Encode encode;

struct Shape {
	CUtensorMapDataType type;
	unsigned size, rank;
	cuuint64_t dim[4], stride[3]; /* strides in bytes */
	cuuint32_t box[4], step[4];
	CUtensorMapSwizzle swizzle;
	CUtensorMapFloatOOBfill fill;
};

static CUresult
make(const Shape &s, void *address, CUtensorMap *map)
{
	return encode(map, s.type, s.rank, address, s.dim, s.stride, s.box, s.step,
		      CU_TENSOR_MAP_INTERLEAVE_NONE, s.swizzle, CU_TENSOR_MAP_L2_PROMOTION_NONE,
		      s.fill);
}

/* What lies in shared memory afterwards, by the book: PTX ISA, "Tensor data". */
static std::vector<unsigned char>
reference(const Shape &s, const std::vector<unsigned char> &tensor, const int at[4],
	  unsigned char outside)
{
	unsigned count[4] = {1, 1, 1, 1}, elements = 1;
	for (unsigned d = 0; d < s.rank; d++) {
		count[d] = d ? (s.box[d] + s.step[d] - 1) / s.step[d] : s.box[0];
		elements *= count[d];
	}
	std::vector<unsigned char> box(elements * s.size);
	for (unsigned n = 0; n < elements; n++) {
		unsigned rest = n;
		bool inside = true;
		size_t from = 0;
		for (unsigned d = 0; d < s.rank; d++) {
			long c = at[d] + (long)(rest % count[d]) * (d ? s.step[d] : 1);
			rest /= count[d];
			inside &= c >= 0 && c < (long)s.dim[d];
			from += (size_t)c * (d ? s.stride[d - 1] : s.size);
		}
		unsigned to = n * s.size;
		unsigned mask = s.swizzle == CU_TENSOR_MAP_SWIZZLE_32B    ? 1
				: s.swizzle == CU_TENSOR_MAP_SWIZZLE_64B  ? 3
				: s.swizzle == CU_TENSOR_MAP_SWIZZLE_128B ? 7
									  : 0;
		to ^= (to >> 7 & mask) << 4;
		if (inside)
			memcpy(&box[to], &tensor[from], s.size);
		else
			memset(&box[to], outside, s.size);
	}
	return box;
}

static void
test(const char *name, const Shape &s, std::vector<std::vector<int>> places)
{
	size_t bytes = s.dim[s.rank - 1] * (s.rank > 1 ? s.stride[s.rank - 2] : s.size);
	std::vector<unsigned char> tensor(bytes);
	Random random = {bytes};
	for (unsigned char &b : tensor)
		b = (unsigned char)random.below(200);
	unsigned char *device = to_device(tensor), *out;
	unsigned box_bytes = s.size;
	for (unsigned d = 0; d < s.rank; d++)
		box_bytes *= d ? (s.box[d] + s.step[d] - 1) / s.step[d] : s.box[0];
	CUDA(cudaMalloc(&out, box_bytes));
	CUtensorMap map;
	CUresult status = make(s, device, &map);
	if (status == CUDA_ERROR_NOT_SUPPORTED)
		skip("the device has no tensor maps");
	EXPECT(status == CUDA_SUCCESS);
	for (const std::vector<int> &place : places) {
		int at[4] = {0, 0, 0, 0};
		for (size_t d = 0; d < place.size(); d++)
			at[d] = place[d];
		int4 where = make_int4(at[0], at[1], at[2], at[3]);
		CUDA(cudaMemset(out, 0xee, box_bytes));
		size_t shared = box_bytes;
		if (s.rank == 1)
			load<1><<<1, 128, shared>>>(map, where, box_bytes, out);
		else if (s.rank == 2)
			load<2><<<1, 128, shared>>>(map, where, box_bytes, out);
		else if (s.rank == 3)
			load<3><<<1, 128, shared>>>(map, where, box_bytes, out);
		else
			load<4><<<1, 128, shared>>>(map, where, box_bytes, out);
		LAUNCHED();
		EXPECT(to_host(out, box_bytes) == reference(s, tensor, at, 0));
	}
	CUDA(cudaFree(device));
	CUDA(cudaFree(out));
	printf("%s: %zu boxes\n", name, places.size());
}

static void
test_nan()
{
	const Shape s = {CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
			 4,
			 2,
			 {16, 4},
			 {64},
			 {8, 8},
			 {1, 1},
			 CU_TENSOR_MAP_SWIZZLE_NONE,
			 CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA};
	std::vector<float> tensor(64, 2.5f), out(64);
	float *device = to_device(tensor), *box;
	CUtensorMap map;
	CUDA(cudaMalloc(&box, 256));
	EXPECT(make(s, device, &map) == CUDA_SUCCESS);
	load<2><<<1, 128, 256>>>(map, make_int4(0, 0, 0, 0), 256, (unsigned char *)box);
	LAUNCHED();
	out = to_host(box, 64);
	for (int i = 0; i < 64; i++)
		EXPECT(i < 32 ? out[i] == 2.5f : out[i] != out[i]);
	CUDA(cudaFree(device));
	CUDA(cudaFree(box));
	printf("numbers that are none\n");
}

static void
test_store()
{
	const int width = 20, height = 6;
	Shape s = {CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
		   4,
		   2,
		   {width, height},
		   {width * 4},
		   {8, 4},
		   {1, 1},
		   CU_TENSOR_MAP_SWIZZLE_NONE,
		   CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE};
	std::vector<float> zeros(width * height, 0);
	float *tensor = to_device(zeros), *second = to_device(zeros);
	CUtensorMap maps[2];
	EXPECT(make(s, tensor, &maps[0]) == CUDA_SUCCESS);
	EXPECT(make(s, second, &maps[1]) == CUDA_SUCCESS);
	for (int k = 0; k < 2; k++) {
		store<<<1, 64, 128>>>(maps[k], 16, 4, 32);
		LAUNCHED();
		std::vector<float> got = to_host(k ? second : tensor, zeros.size());
		for (int y = 0; y < height; y++) {
			for (int x = 0; x < width; x++) {
				bool in = x >= 16 && y >= 4;
				float want = in ? 1000.0f + (y - 4) * 8 + x - 16 : 0;
				EXPECT(got[y * width + x] == want);
			}
		}
	}
	CUDA(cudaFree(tensor));
	CUDA(cudaFree(second));
	printf("stores\n");
}

/* Boxes begin at 16 bytes of the innermost dimension: not documented, seen on an H200. */
static void
test_misaligned()
{
	const Shape s = {CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
			 4,
			 2,
			 {16, 4},
			 {64},
			 {8, 4},
			 {1, 1},
			 CU_TENSOR_MAP_SWIZZLE_NONE,
			 CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE};
	float *device = to_device(std::vector<float>(64, 1));
	unsigned char *box;
	CUtensorMap map;
	CUDA(cudaMalloc(&box, 128));
	EXPECT(make(s, device, &map) == CUDA_SUCCESS);
	load<2><<<1, 128, 128>>>(map, make_int4(2, 0, 0, 0), 128, box);
	EXPECT(cudaDeviceSynchronize() == cudaErrorIllegalInstruction);
	printf("misaligned: %s\n", cudaGetErrorName(cudaGetLastError()));
}

int
main()
{
	int major;
	CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
	if (major < 9)
		skip("the device has no tensor maps");
	cudaDriverEntryPointQueryResult found;
	CUDA(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", (void **)&encode, 12000,
					      cudaEnableDefault, &found));
	EXPECT(encode != nullptr);
	const auto none = CU_TENSOR_MAP_SWIZZLE_NONE;
	const auto zero = CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
	test("1 dimension",
	     {CU_TENSOR_MAP_DATA_TYPE_UINT8, 1, 1, {1000}, {}, {64}, {1}, none, zero},
	     {{0}, {16}, {960}, {-32}, {2000}});
	test("2 dimensions",
	     {CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 4, 2, {50, 30}, {208}, {16, 8}, {1, 1}, none, zero},
	     {{0, 0}, {4, 7}, {40, 26}, {-4, -2}, {48, 29}});
	test("3 dimensions",
	     {CU_TENSOR_MAP_DATA_TYPE_INT32,
	      4,
	      3,
	      {20, 9, 7},
	      {80, 720},
	      {4, 5, 3},
	      {1, 1, 1},
	      none,
	      zero},
	     {{0, 0, 0}, {4, 4, 5}, {16, 7, 6}});
	test("4 dimensions",
	     {CU_TENSOR_MAP_DATA_TYPE_UINT16,
	      2,
	      4,
	      {24, 5, 4, 3},
	      {48, 240, 960},
	      {8, 2, 3, 2},
	      {1, 1, 1, 1},
	      none,
	      zero},
	     {{0, 0, 0, 0}, {16, 4, 2, 2}, {-8, -1, -1, -1}});
	test("steps",
	     {CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 4, 2, {32, 40}, {128}, {8, 12}, {1, 3}, none, zero},
	     {{0, 0}, {8, 5}, {28, 36}});
	test("swizzled by 32",
	     {CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
	      2,
	      2,
	      {64, 64},
	      {128},
	      {16, 32},
	      {1, 1},
	      CU_TENSOR_MAP_SWIZZLE_32B,
	      zero},
	     {{0, 0}, {8, 50}});
	test("swizzled by 64",
	     {CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
	      2,
	      2,
	      {64, 64},
	      {128},
	      {32, 32},
	      {1, 1},
	      CU_TENSOR_MAP_SWIZZLE_64B,
	      zero},
	     {{0, 0}, {40, 3}});
	test("swizzled by 128",
	     {CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
	      2,
	      2,
	      {128, 64},
	      {256},
	      {64, 32},
	      {1, 1},
	      CU_TENSOR_MAP_SWIZZLE_128B,
	      zero},
	     {{0, 0}, {64, 40}});
	test_nan();
	test_store();
	test_misaligned(); /* the last: nothing works after it */
	return ok();
}
