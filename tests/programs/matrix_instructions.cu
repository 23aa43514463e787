/*
 * Matrix instructions that nvcuda::wmma has no everyday name for: products with a sparse A
 * (mma.sp), Volta's m8n8k4 of f16, and elements of four bits and of one. Registers are made on the
 * host, from the layouts that the PTX manual draws. Small integers: everything is exact.
 */
#include "program.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

struct Fragments {
	unsigned a[32][4], b[32][4], metadata[32];
};

#define A4 "{%4, %5, %6, %7}"
#define SPARSE4(name, type, F, sum)                                                                \
	__global__ void name(const Fragments *f, sum *d)                                           \
	{                                                                                          \
		int l = threadIdx.x;                                                               \
		const unsigned *a = f->a[l], *b = f->b[l];                                         \
		sum s[4] = {1, 2, 3, 4};                                                           \
		asm volatile("mma.sp.sync.aligned." type " {%0, %1, %2, %3}, " A4                  \
			     ", {%8, %9, %10, %11}, "                                              \
			     "{%0, %1, %2, %3}, %12, " F ";"                                       \
			     : C_##sum(s[0]), C_##sum(s[1]), C_##sum(s[2]), C_##sum(s[3])          \
			     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]),   \
			       "r"(b[2]), "r"(b[3]), "r"(f->metadata[l]));                         \
		for (int i = 0; i < 4; i++)                                                        \
			d[(l / 4 + i / 2 * 8) * 8 + l % 4 * 2 + i % 2] = s[i];                     \
	}
#define SPARSE2(name, type, F, sum)                                                                \
	__global__ void name(const Fragments *f, sum *d)                                           \
	{                                                                                          \
		int l = threadIdx.x;                                                               \
		const unsigned *a = f->a[l], *b = f->b[l];                                         \
		sum s[4] = {1, 2, 3, 4};                                                           \
		asm volatile("mma.sp.sync.aligned." type                                           \
			     " {%0, %1, %2, %3}, {%4, %5}, {%6, %7}, {%0, %1, %2, %3}, %8, " F ";" \
			     : C_##sum(s[0]), C_##sum(s[1]), C_##sum(s[2]), C_##sum(s[3])          \
			     : "r"(a[0]), "r"(a[1]), "r"(b[0]), "r"(b[1]), "r"(f->metadata[l]));   \
		for (int i = 0; i < 4; i++)                                                        \
			d[(l / 4 + i / 2 * 8) * 8 + l % 4 * 2 + i % 2] = s[i];                     \
	}
#define C_float(x) "+f"(x)
#define C_int(x)   "+r"(x)

SPARSE2(f16_k16_0, "m16n8k16.row.col.f32.f16.f16.f32", "0x0", float)
SPARSE2(f16_k16_3, "m16n8k16.row.col.f32.f16.f16.f32", "0x3", float)
SPARSE4(f16_k32_0, "m16n8k32.row.col.f32.f16.f16.f32", "0x0", float)
SPARSE4(f16_k32_1, "m16n8k32.row.col.f32.f16.f16.f32", "0x1", float)
SPARSE4(bf16_k32_1, "m16n8k32.row.col.f32.bf16.bf16.f32", "0x1", float)
SPARSE2(tf32_k8_2, "m16n8k8.row.col.f32.tf32.tf32.f32", "0x2", float)
SPARSE4(tf32_k16_1, "m16n8k16.row.col.f32.tf32.tf32.f32", "0x1", float)
SPARSE2(s8_k32_1, "m16n8k32.row.col.s32.s8.s8.s32", "0x1", int)
SPARSE4(s8_k64_0, "m16n8k64.row.col.s32.s8.s8.s32", "0x0", int)
SPARSE2(s4_k64_1, "m16n8k64.row.col.s32.s4.s4.s32", "0x1", int)
SPARSE4(s4_k128_0, "m16n8k128.row.col.s32.s4.s4.s32", "0x0", int)

enum Kind { F16, BF16, TF32, S8, S4 };

static unsigned
bits_of(Kind kind, int value)
{
	float f = (float)value;
	unsigned word;
	memcpy(&word, &f, 4);
	switch (kind) {
	case F16:
		return __half_as_ushort(__float2half(f));
	case BF16:
		return word >> 16;
	case TF32:
		return word;
	case S8:
		return value & 0xff;
	default:
		return value & 15;
	}
}

/* A of 16 rows, of which every chunk has two of four (one of two; two pairs of four) */
template <typename SUM>
static void
sparse(const char *name, void (*kernel)(const Fragments *, SUM *), Kind kind, int k, int selector)
{
	const int bits = kind == TF32 ? 32 : kind == S8 ? 8 : kind == S4 ? 4 : 16, each = 32 / bits;
	const int chunk = kind == TF32 ? 2 : kind == S4 ? 8 : 4, together = kind == S4 ? 2 : 1;
	const int registers = 16 * (k / 2) / 32 / each, chunks = k / chunk;
	Random random = {(unsigned)k * 10 + kind};
	std::vector<int> a(16 * k), stored(16 * k / 2), b(8 * k);
	Fragments f = {};

	for (int &v : b)
		v = (int)random.below(7) - 3;
	memset(f.metadata, 0x5a, sizeof(f.metadata)); /* of lanes that are not asked */
	for (int row = 0; row < 16; row++) {
		unsigned words[4] = {0}; /* four bits a chunk */
		for (int c = 0; c < chunks; c++) {
			unsigned low = random.below(3), high = low + 1 + random.below(3 - low);
			if (kind == TF32) {
				/* the only two that there are: four halves of two elements */
				low = random.below(2) * 2;
				high = low + 1;
				int v = (int)random.below(7) - 3;
				a[row * k + c * 2 + low / 2] = stored[row * k / 2 + c] = v;
			} else {
				for (int e = 0; e < 2 * together; e++) {
					unsigned at = e / together ? high : low;
					int v = (int)random.below(7) - 3;
					a[row * k + c * chunk + at * together + e % together] = v;
					stored[row * k / 2 + c * 2 * together + e] = v;
				}
			}
			words[c / 8] |= (low | high << 2) << c % 8 * 4;
		}
		int first = row % 8 * 4, upper = row / 8;
		if (bits >= 16) {
			/* 16 bits a lane and row */
			int lanes = chunks / 4;
			for (int i = 0; i < lanes; i++) {
				unsigned half = words[0] >> 16 * i & 0xffff;
				unsigned &word = f.metadata[first + selector * lanes + i];
				word &= 0xffffu << 16 * (1 - upper);
				word |= half << 16 * upper;
			}
		} else {
			int lanes = chunks / 8 * 2;
			for (int i = 0; i < chunks / 8; i++)
				f.metadata[first + selector * lanes + upper + 2 * i] = words[i];
		}
	}
	for (int l = 0; l < 32; l++) {
		for (int r = 0; r < registers; r++)
			for (int e = 0; e < each; e++)
				f.a[l][r] |=
					bits_of(kind, stored[(l / 4 + r % 2 * 8) * (k / 2) +
							     r / 2 * 4 * each + l % 4 * each + e])
					<< e * bits;
		for (int r = 0; r < 8 * k / 32 / each; r++)
			for (int e = 0; e < each; e++)
				f.b[l][r] |=
					bits_of(kind,
						b[(r * 4 * each + l % 4 * each + e) * 8 + l / 4])
					<< e * bits;
	}

	Fragments *device = to_device(std::vector<Fragments>{f});
	SUM *d;
	CUDA(cudaMalloc(&d, 128 * sizeof(SUM)));
	kernel<<<1, 32>>>(device, d);
	LAUNCHED();
	std::vector<SUM> got = to_host(d, 128);
	for (int i = 0; i < 128; i++) {
		int want = 1 + i % 2 + i / 64 * 2;
		for (int j = 0; j < k; j++)
			want += a[i / 8 * k + j] * b[j * 8 + i % 8];
		EXPECT(got[i] == (SUM)want);
	}
	printf("sparse, %s, selector %d: right\n", name, selector);
	CUDA(cudaFree(device));
	CUDA(cudaFree(d));
}

/* Four products of 8 x 4 and 4 x 8, a quarter of the warp each */
#define VOLTA(name, layouts)                                                                       \
	__global__ void name(const unsigned *a, const unsigned *b, float *d, half *h)              \
	{                                                                                          \
		int l = threadIdx.x, product = l / 4 % 4;                                          \
		float s[8] = {0, 1, 2, 3, 4, 5, 6, 7};                                             \
		unsigned t[4] = {0, 0x3c000000, 0, 0x3c000000};                                    \
		asm volatile("mma.sync.aligned.m8n8k4." layouts ".f32.f16.f16.f32 "                \
			     "{%0, %1, %2, %3, %4, %5, %6, %7}, {%8, %9}, {%10, %11}, "            \
			     "{%0, %1, %2, %3, %4, %5, %6, %7};"                                   \
			     : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3]), "+f"(s[4]),         \
			       "+f"(s[5]), "+f"(s[6]), "+f"(s[7])                                  \
			     : "r"(a[2 * l]), "r"(a[2 * l + 1]), "r"(b[2 * l]),                    \
			       "r"(b[2 * l + 1]));                                                 \
		asm volatile("mma.sync.aligned.m8n8k4." layouts ".f16.f16.f16.f16 "                \
			     "{%0, %1, %2, %3}, {%4, %5}, {%6, %7}, {%0, %1, %2, %3};"             \
			     : "+r"(t[0]), "+r"(t[1]), "+r"(t[2]), "+r"(t[3])                      \
			     : "r"(a[2 * l]), "r"(a[2 * l + 1]), "r"(b[2 * l]),                    \
			       "r"(b[2 * l + 1]));                                                 \
		for (int i = 0; i < 8; i++) {                                                      \
			int row = (l & 1) + (i & 2) + l / 16 * 4;                                  \
			int column = (i & 4) + (l & 2) + (i & 1);                                  \
			d[product * 64 + row * 8 + column] = s[i];                                 \
			row = l % 4 + l / 16 * 4;                                                  \
			h[product * 64 + row * 8 + i] =                                            \
				__ushort_as_half((unsigned short)(t[i / 2] >> i % 2 * 16));        \
		}                                                                                  \
	}
VOLTA(volta_rows, "row.row")
VOLTA(volta_row_col, "row.col")
VOLTA(volta_col_row, "col.row")
VOLTA(volta_cols, "col.col")

static void
volta(const char *name, void (*kernel)(const unsigned *, const unsigned *, float *, half *),
      bool a_across, bool b_across)
{
	std::vector<int> a = random_ints(4 * 32, 9, 3), b = random_ints(4 * 32, 9, 4);
	std::vector<unsigned> ra(64), rb(64);
	float *d;
	half *h;

	for (int l = 0; l < 32; l++) {
		const int *pa = &a[l / 4 % 4 * 32], *pb = &b[l / 4 % 4 * 32]; /* 8 x 4, 4 x 8 */
		int half_of = l / 16 * 4, t = l % 4;
		for (int e = 0; e < 4; e++) {
			int va = a_across ? pa[(e + half_of) * 4 + t] : pa[(t + half_of) * 4 + e];
			int vb = b_across ? pb[e * 8 + t + half_of] : pb[t * 8 + e + half_of];
			ra[2 * l + e / 2] |= bits_of(F16, va - 4) << e % 2 * 16;
			rb[2 * l + e / 2] |= bits_of(F16, vb - 4) << e % 2 * 16;
		}
	}
	unsigned *da = to_device(ra), *db = to_device(rb);
	CUDA(cudaMalloc(&d, 256 * sizeof(*d)));
	CUDA(cudaMalloc(&h, 256 * sizeof(*h)));
	kernel<<<1, 32>>>(da, db, d, h);
	LAUNCHED();
	std::vector<float> got = to_host(d, 256);
	std::vector<half> got_half = to_host(h, 256);
	for (int i = 0; i < 256; i++) {
		int product = i / 64, row = i / 8 % 8, column = i % 8, sum = 0;
		for (int k = 0; k < 4; k++)
			sum += (a[product * 32 + row * 4 + k] - 4) *
			       (b[product * 32 + k * 8 + column] - 4);
		int place = (column & 4) | (row & 2) | (column & 1);
		EXPECT(got[i] == sum + place);
		/* 1 was at every fourth */
		EXPECT(__half2float(got_half[i]) == sum + (column % 4 == 3 ? 1 : 0));
	}
	printf("m8n8k4, %s: right\n", name);
	CUDA(cudaFree(da));
	CUDA(cudaFree(db));
	CUDA(cudaFree(d));
	CUDA(cudaFree(h));
}

using namespace nvcuda;

template <typename T, int K, int BITS>
__global__ void
small(const unsigned *a, const unsigned *b, int *c, int k)
{
	wmma::fragment<wmma::matrix_a, 8, 8, K, T, wmma::row_major> fa;
	wmma::fragment<wmma::matrix_b, 8, 8, K, T, wmma::col_major> fb;
	wmma::fragment<wmma::accumulator, 8, 8, K, int> sum, both;
	wmma::fill_fragment(sum, 5);
	wmma::fill_fragment(both, 0);
	for (int i = 0; i < k; i += K) {
		wmma::load_matrix_sync(fa, a + i * BITS / 32, k);
		wmma::load_matrix_sync(fb, b + i * BITS / 32, k);
		if constexpr (BITS == 1) {
			wmma::bmma_sync(sum, fa, fb, sum, wmma::experimental::bmmaBitOpXOR);
			wmma::bmma_sync(both, fa, fb, both, wmma::experimental::bmmaBitOpAND);
		} else {
			wmma::mma_sync(sum, fa, fb, sum);
		}
	}
	wmma::store_matrix_sync(c, sum, 8, wmma::mem_row_major);
	wmma::store_matrix_sync(c + 64, both, 8, wmma::mem_col_major);
}

template <typename T, int K, int BITS>
static void
small_elements(const char *name, bool is_signed)
{
	const int k = 3 * K, words = k * BITS / 32;
	Random random = {K};
	std::vector<unsigned> a(8 * words), b(8 * words);
	int *c;

	for (unsigned &v : a)
		v = (unsigned)random.next();
	for (unsigned &v : b)
		v = (unsigned)random.next();
	unsigned *da = to_device(a), *db = to_device(b);
	CUDA(cudaMalloc(&c, 128 * sizeof(*c)));
	small<T, K, BITS><<<1, 32>>>(da, db, c, k);
	LAUNCHED();
	std::vector<int> got = to_host(c, 128);
	for (int row = 0; row < 8; row++) {
		for (int column = 0; column < 8; column++) {
			int sum = 5, both = 0;
			for (int i = 0; i < k; i++) {
				int at = i * BITS / 32, shift = i * BITS % 32,
				    mask = (1 << BITS) - 1;
				int va = (int)(a[row * words + at] >> shift) & mask;
				int vb = (int)(b[column * words + at] >> shift) & mask;
				if (is_signed) {
					va = va << 28 >> 28;
					vb = vb << 28 >> 28;
				}
				sum += BITS == 1 ? va ^ vb : va * vb;
				both += BITS == 1 ? va & vb : 0;
			}
			EXPECT(got[row * 8 + column] == sum);
			EXPECT(got[64 + column * 8 + row] == both);
		}
	}
	printf("%s: right\n", name);
	CUDA(cudaFree(da));
	CUDA(cudaFree(db));
	CUDA(cudaFree(c));
}

int
main()
{
	sparse("f16, 16 deep", f16_k16_0, F16, 16, 0);
	sparse("f16, 16 deep", f16_k16_3, F16, 16, 3);
	sparse("f16, 32 deep", f16_k32_0, F16, 32, 0);
	sparse("f16, 32 deep", f16_k32_1, F16, 32, 1);
	sparse("bf16, 32 deep", bf16_k32_1, BF16, 32, 1);
	sparse("tf32, 8 deep", tf32_k8_2, TF32, 8, 2);
	sparse("tf32, 16 deep", tf32_k16_1, TF32, 16, 1);
	sparse("s8, 32 deep", s8_k32_1, S8, 32, 1);
	sparse("s8, 64 deep", s8_k64_0, S8, 64, 0);
	sparse("s4, 64 deep", s4_k64_1, S4, 64, 1);
	sparse("s4, 128 deep", s4_k128_0, S4, 128, 0);
	volta("rows", volta_rows, false, false);
	volta("columns of b", volta_row_col, false, true);
	volta("columns of a", volta_col_row, true, false);
	volta("columns", volta_cols, true, true);
	small_elements<wmma::experimental::precision::s4, 32, 4>("s4", true);
	small_elements<wmma::experimental::precision::u4, 32, 4>("u4", false);
	small_elements<wmma::experimental::precision::b1, 128, 1>("b1", false);
	return ok();
}
