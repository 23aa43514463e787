/*
 * Vectors of eight lanes, which lie one behind the other in memory, to and from registers, which
 * hold one element of all lanes. Memory is moved in pieces of 16 bytes, each of whole vectors: one
 * lane's vector stays one access (copy_vector in exec_memory.c says why).
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_TRANSPOSE_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_TRANSPOSE_H

#include <stdint.h>

#if defined(__AVX2__)
#define PTX_TRANSPOSE 1

#include <immintrin.h>

#define PTX_ALWAYS static inline __attribute__((always_inline))

/* Two pieces of 16 bytes as one vector of the processor. */
PTX_ALWAYS __m256
transpose_load(const uint8_t *low, const uint8_t *high)
{
	return _mm256_insertf128_ps(
		_mm256_castps128_ps256(_mm_loadu_ps((const float *)(const void *)low)),
		_mm_loadu_ps((const float *)(const void *)high), 1);
}

PTX_ALWAYS void
transpose_store(uint8_t *low, uint8_t *high, __m256 v)
{
	_mm_storeu_ps((float *)(void *)low, _mm256_castps256_ps128(v));
	_mm_storeu_ps((float *)(void *)high, _mm256_extractf128_ps(v, 1));
}

/* Two elements of 4 bytes. */
PTX_ALWAYS void
transpose_load_2x4(const uint8_t *m, float *x, float *y)
{
	const __m256 a = transpose_load(m, m + 32), b = transpose_load(m + 16, m + 48);

	_mm256_storeu_ps(x, _mm256_shuffle_ps(a, b, 0x88));
	_mm256_storeu_ps(y, _mm256_shuffle_ps(a, b, 0xdd));
}

PTX_ALWAYS void
transpose_store_2x4(uint8_t *m, const float *x, const float *y)
{
	const __m256 vx = _mm256_loadu_ps(x), vy = _mm256_loadu_ps(y);

	transpose_store(m, m + 32, _mm256_unpacklo_ps(vx, vy));
	transpose_store(m + 16, m + 48, _mm256_unpackhi_ps(vx, vy));
}

/* Rows and columns of 4 x 4 elements change places, in both halves. */
PTX_ALWAYS void
transpose_4x4(__m256 v[4])
{
	const __m256d t0 = _mm256_castps_pd(_mm256_unpacklo_ps(v[0], v[1]));
	const __m256d t1 = _mm256_castps_pd(_mm256_unpackhi_ps(v[0], v[1]));
	const __m256d t2 = _mm256_castps_pd(_mm256_unpacklo_ps(v[2], v[3]));
	const __m256d t3 = _mm256_castps_pd(_mm256_unpackhi_ps(v[2], v[3]));

	v[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(t0, t2));
	v[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(t0, t2));
	v[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(t1, t3));
	v[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(t1, t3));
}

/* Four elements of 4 bytes. */
PTX_ALWAYS void
transpose_load_4x4(const uint8_t *m, float *const to[4])
{
	__m256 v[4];

	for (int k = 0; k < 4; k++)
		v[k] = transpose_load(m + 16 * k, m + 16 * k + 64);
	transpose_4x4(v);
	for (int k = 0; k < 4; k++)
		_mm256_storeu_ps(to[k], v[k]);
}

PTX_ALWAYS void
transpose_store_4x4(uint8_t *m, const float *const from[4])
{
	__m256 v[4];

	for (int k = 0; k < 4; k++)
		v[k] = _mm256_loadu_ps(from[k]);
	transpose_4x4(v);
	for (int k = 0; k < 4; k++)
		transpose_store(m + 16 * k, m + 16 * k + 64, v[k]);
}

/* Two elements of 8 bytes. */
PTX_ALWAYS void
transpose_load_2x8(const uint8_t *m, double *x, double *y)
{
	for (int k = 0; k < 2; k++) {
		const uint8_t *p = m + 64 * k;
		const __m256d a = _mm256_castps_pd(transpose_load(p, p + 32));
		const __m256d b = _mm256_castps_pd(transpose_load(p + 16, p + 48));

		_mm256_storeu_pd(x + 4 * k, _mm256_unpacklo_pd(a, b));
		_mm256_storeu_pd(y + 4 * k, _mm256_unpackhi_pd(a, b));
	}
}

PTX_ALWAYS void
transpose_store_2x8(uint8_t *m, const double *x, const double *y)
{
	for (int k = 0; k < 2; k++) {
		const __m256d vx = _mm256_loadu_pd(x + 4 * k), vy = _mm256_loadu_pd(y + 4 * k);
		uint8_t *p = m + 64 * k;

		transpose_store(p, p + 32, _mm256_castpd_ps(_mm256_unpacklo_pd(vx, vy)));
		transpose_store(p + 16, p + 48, _mm256_castpd_ps(_mm256_unpackhi_pd(vx, vy)));
	}
}

/* Four bytes, each in a register of 16 bits. */
PTX_ALWAYS void
transpose_load_4x1(const uint8_t *m, uint16_t *const to[4])
{
	const __m128i mask = _mm_set1_epi32(0xff);
	const __m128i a = _mm_loadu_si128((const __m128i *)(const void *)m);
	const __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(m + 16));

	for (int k = 0; k < 4; k++)
		_mm_storeu_si128((__m128i *)(void *)to[k],
				 _mm_packus_epi32(_mm_and_si128(_mm_srli_epi32(a, 8 * k), mask),
						  _mm_and_si128(_mm_srli_epi32(b, 8 * k), mask)));
}

PTX_ALWAYS void
transpose_store_4x1(uint8_t *m, const uint16_t *const from[4])
{
	const __m128i mask = _mm_set1_epi16(0xff);
	__m128i v[4];

	for (int k = 0; k < 4; k++)
		v[k] = _mm_and_si128(_mm_loadu_si128((const __m128i *)(const void *)from[k]), mask);

	const __m128i low = _mm_or_si128(v[0], _mm_slli_epi16(v[1], 8));
	const __m128i high = _mm_or_si128(v[2], _mm_slli_epi16(v[3], 8));

	_mm_storeu_si128((__m128i *)(void *)m, _mm_unpacklo_epi16(low, high));
	_mm_storeu_si128((__m128i *)(void *)(m + 16), _mm_unpackhi_epi16(low, high));
}

#endif
#endif
