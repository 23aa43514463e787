/* Matrix instructions through the WMMA interface and as PTX; tests/unit/test_ptx_matrix.c. */
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

using namespace nvcuda;

template <typename A, typename C, int M, int N, int K>
__device__ void
multiply(const A *a, const A *b, const C *c, C *d)
{
	wmma::fragment<wmma::matrix_a, M, N, K, A, wmma::row_major> fa;
	wmma::fragment<wmma::matrix_b, M, N, K, A, wmma::col_major> fb;
	wmma::fragment<wmma::accumulator, M, N, K, C> fc;

	wmma::load_matrix_sync(fa, a, K);
	wmma::load_matrix_sync(fb, b, K);
	wmma::load_matrix_sync(fc, c, N, wmma::mem_row_major);
	for (int i = 0; i < fc.num_elements; i++)
		fc.x[i] = fc.x[i] + fc.x[i];
	wmma::mma_sync(fc, fa, fb, fc);
	wmma::store_matrix_sync(d, fc, N, wmma::mem_row_major);
}

extern "C" __global__ void
wmma_f16_f32(const __half *a, const __half *b, const float *c, float *d)
{
	multiply<__half, float, 16, 16, 16>(a, b, c, d);
}

extern "C" __global__ void
wmma_f16_f16(const __half *a, const __half *b, const __half *c, __half *d)
{
	multiply<__half, __half, 16, 16, 16>(a, b, c, d);
}

extern "C" __global__ void
wmma_f16_wide(const __half *a, const __half *b, const float *c, float *d)
{
	multiply<__half, float, 32, 8, 16>(a, b, c, d);
}

extern "C" __global__ void
wmma_s8(const signed char *a, const signed char *b, const int *c, int *d)
{
	multiply<signed char, int, 16, 16, 16>(a, b, c, d);
}

#if __CUDA_ARCH__ >= 800
extern "C" __global__ void
wmma_bf16(const __nv_bfloat16 *a, const __nv_bfloat16 *b, const float *c, float *d)
{
	multiply<__nv_bfloat16, float, 16, 16, 16>(a, b, c, d);
}

extern "C" __global__ void
wmma_f64(const double *a, const double *b, const double *c, double *d)
{
	multiply<double, double, 8, 8, 4>(a, b, c, d);
}
#else
extern "C" __global__ void
wmma_bf16()
{
}
extern "C" __global__ void
wmma_f64()
{
}
#endif

/* m16n8k16 of f16 by ldmatrix, as libraries do it: a row-major, b column-major in memory */
extern "C" __global__ void
mma_ldmatrix(const __half *a, const __half *b, const float *c, float *d)
{
#if __CUDA_ARCH__ >= 800
	__shared__ __align__(16) __half sa[16 * 16], sb[8 * 16];
	int lane = threadIdx.x;
	unsigned ra[4], rb[2];
	float r[4];

	for (int i = lane; i < 256; i += 32)
		sa[i] = a[i];
	for (int i = lane; i < 128; i += 32)
		sb[i] = b[i];
	__syncthreads();
	unsigned pa = (unsigned)__cvta_generic_to_shared(sa + (lane % 16) * 16 + lane / 16 * 8);
	unsigned pb = (unsigned)__cvta_generic_to_shared(sb + (lane % 8) * 16 + lane / 8 % 2 * 8);

	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
		     : "=r"(ra[0]), "=r"(ra[1]), "=r"(ra[2]), "=r"(ra[3])
		     : "r"(pa));
	asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
		     : "=r"(rb[0]), "=r"(rb[1])
		     : "r"(pb));
	for (int i = 0; i < 4; i++)
		r[i] = c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2];
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
		     "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
		     : "+f"(r[0]), "+f"(r[1]), "+f"(r[2]), "+f"(r[3])
		     : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[0]), "r"(rb[1]));
	for (int i = 0; i < 4; i++)
		d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = r[i];
#endif
}

/* the same with a transposed: ldmatrix.trans of a column-major a */
extern "C" __global__ void
mma_transposed(const __half *a, const __half *b, const float *c, float *d)
{
#if __CUDA_ARCH__ >= 800
	__shared__ __align__(16) __half sa[16 * 16], sb[8 * 16];
	int lane = threadIdx.x;
	unsigned ra[4], rb[2];
	float r[4];

	for (int i = lane; i < 256; i += 32)
		sa[i % 16 * 16 + i / 16] = a[i];
	for (int i = lane; i < 128; i += 32)
		sb[i] = b[i];
	__syncthreads();
	unsigned pa = (unsigned)__cvta_generic_to_shared(sa + (lane % 8 + lane / 16 * 8) * 16 +
							 lane / 8 % 2 * 8);
	unsigned pb = (unsigned)__cvta_generic_to_shared(sb + (lane % 8) * 16 + lane / 8 % 2 * 8);

	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
		     : "=r"(ra[0]), "=r"(ra[1]), "=r"(ra[2]), "=r"(ra[3])
		     : "r"(pa));
	asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
		     : "=r"(rb[0]), "=r"(rb[1])
		     : "r"(pb));
	for (int i = 0; i < 4; i++)
		r[i] = c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2];
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
		     "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
		     : "+f"(r[0]), "+f"(r[1]), "+f"(r[2]), "+f"(r[3])
		     : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[0]), "r"(rb[1]));
	for (int i = 0; i < 4; i++)
		d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = r[i];
#endif
}

/* m16n8k32 of s8: the registers as the manual describes them */
extern "C" __global__ void
mma_s8(const int *a, const int *b, const int *c, int *d)
{
#if __CUDA_ARCH__ >= 800
	int lane = threadIdx.x, g = lane / 4, t = lane % 4, r[4];

	for (int i = 0; i < 4; i++)
		r[i] = c[(g + i / 2 * 8) * 8 + t * 2 + i % 2];
	/* rows of 32 bytes, eight words */
	asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
		     "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
		     : "+r"(r[0]), "+r"(r[1]), "+r"(r[2]), "+r"(r[3])
		     : "r"(a[g * 8 + t]), "r"(a[(g + 8) * 8 + t]), "r"(a[g * 8 + t + 4]),
		       "r"(a[(g + 8) * 8 + t + 4]), "r"(b[g * 8 + t]), "r"(b[g * 8 + t + 4]));
	for (int i = 0; i < 4; i++)
		d[(g + i / 2 * 8) * 8 + t * 2 + i % 2] = r[i];
#endif
}

extern "C" __global__ void
mma_tf32(const float *a, const float *b, const float *c, float *d)
{
#if __CUDA_ARCH__ >= 800
	int lane = threadIdx.x, g = lane / 4, t = lane % 4;
	float r[4];

	for (int i = 0; i < 4; i++)
		r[i] = c[(g + i / 2 * 8) * 8 + t * 2 + i % 2];
	asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
		     "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
		     : "+f"(r[0]), "+f"(r[1]), "+f"(r[2]), "+f"(r[3])
		     : "r"(__float_as_uint(a[g * 8 + t])), "r"(__float_as_uint(a[(g + 8) * 8 + t])),
		       "r"(__float_as_uint(a[g * 8 + t + 4])),
		       "r"(__float_as_uint(a[(g + 8) * 8 + t + 4])),
		       "r"(__float_as_uint(b[g * 8 + t])), "r"(__float_as_uint(b[g * 8 + t + 4])));
	for (int i = 0; i < 4; i++)
		d[(g + i / 2 * 8) * 8 + t * 2 + i % 2] = r[i];
#endif
}

extern "C" __global__ void
mma_f64(const double *a, const double *b, const double *c, double *d)
{
#if __CUDA_ARCH__ >= 800
	int lane = threadIdx.x, g = lane / 4, t = lane % 4;
	double r[2] = {c[g * 8 + t * 2], c[g * 8 + t * 2 + 1]};

	asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
		     : "+d"(r[0]), "+d"(r[1])
		     : "d"(a[g * 4 + t]), "d"(b[g * 4 + t]));
	d[g * 8 + t * 2] = r[0];
	d[g * 8 + t * 2 + 1] = r[1];
#endif
}
