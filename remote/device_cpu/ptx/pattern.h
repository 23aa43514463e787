/* Which pattern the addresses of eight lanes make, and whether those of all 32 fit. */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_PATTERN_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_PATTERN_H

#include "remote/device_cpu/ptx/exec_memory.h"

enum { GROUP = 8 };

enum pattern { SCATTERED, SAME, ROW };

PTX_INLINE enum pattern
pattern_64(const uint64_t *address, uint64_t step)
{
#if defined(__AVX2__)
	const __m256i first = _mm256_set1_epi64x((long long)address[0]);
	const __m256i low = _mm256_sub_epi64(_mm256_loadu_si256((const __m256i *)address), first);
	const __m256i high =
		_mm256_sub_epi64(_mm256_loadu_si256((const __m256i *)(address + 4)), first);
	const long long s = (long long)step;
	const __m256i row = _mm256_or_si256(
		_mm256_xor_si256(low, _mm256_setr_epi64x(0, s, 2 * s, 3 * s)),
		_mm256_xor_si256(high, _mm256_setr_epi64x(4 * s, 5 * s, 6 * s, 7 * s)));
	const __m256i same = _mm256_or_si256(low, high);

	if (_mm256_testz_si256(row, row))
		return ROW;
	return _mm256_testz_si256(same, same) ? SAME : SCATTERED;
#else
	uint64_t row = 0, same = 0;

	for (uint64_t k = 0; k < GROUP; k++) {
		row |= (address[k] - address[0]) ^ k * step;
		same |= address[k] ^ address[0];
	}
	return !row ? ROW : !same ? SAME : SCATTERED;
#endif
}

PTX_INLINE enum pattern
pattern_32(const uint32_t *address, uint32_t step)
{
#if defined(__AVX2__)
	const __m256i first = _mm256_set1_epi32((int)address[0]);
	const __m256i same = _mm256_sub_epi32(_mm256_loadu_si256((const __m256i *)address), first);
	const int s = (int)step;
	const __m256i row = _mm256_xor_si256(
		same, _mm256_setr_epi32(0, s, 2 * s, 3 * s, 4 * s, 5 * s, 6 * s, 7 * s));

	if (_mm256_testz_si256(row, row))
		return ROW;
	return _mm256_testz_si256(same, same) ? SAME : SCATTERED;
#else
	uint32_t row = 0, same = 0;

	for (uint32_t k = 0; k < GROUP; k++) {
		row |= (address[k] - address[0]) ^ k * step;
		same |= address[k] ^ address[0];
	}
	return !row ? ROW : !same ? SAME : SCATTERED;
#endif
}

/* Whether no address has one of the low bits of @mask. */
PTX_INLINE int
none_has_bits_64(const uint64_t *a, uint64_t mask)
{
#if defined(__AVX2__)
	const __m256i *v = (const __m256i *)a;
	__m256i all = _mm256_loadu_si256(v);

	for (int k = 1; k < 8; k++)
		all = _mm256_or_si256(all, _mm256_loadu_si256(v + k));
	return _mm256_testz_si256(all, _mm256_set1_epi64x((long long)mask));
#else
	uint64_t all = 0;

	for (int l = 0; l < PTX_LANES; l++)
		all |= a[l];
	return !(all & mask);
#endif
}

/* Whether no address has one of the low bits of @mask and none is above @highest. */
PTX_INLINE int
all_below_32(const uint32_t *a, uint32_t mask, uint32_t highest)
{
#if defined(__AVX2__)
	const __m256i *v = (const __m256i *)a;
	const __m256i a0 = _mm256_loadu_si256(v), a1 = _mm256_loadu_si256(v + 1);
	const __m256i a2 = _mm256_loadu_si256(v + 2), a3 = _mm256_loadu_si256(v + 3);
	const __m256i all = _mm256_or_si256(_mm256_or_si256(a0, a1), _mm256_or_si256(a2, a3));
	const __m256i limit = _mm256_set1_epi32((int)highest);
	const __m256i max = _mm256_max_epu32(_mm256_max_epu32(a0, a1), _mm256_max_epu32(a2, a3));
	const __m256i above = _mm256_xor_si256(_mm256_max_epu32(max, limit), limit);

	return _mm256_testz_si256(all, _mm256_set1_epi32((int)mask)) &
	       _mm256_testz_si256(above, above);
#else
	uint32_t all = 0, max = 0;

	for (int l = 0; l < PTX_LANES; l++) {
		all |= a[l];
		max = a[l] > max ? a[l] : max;
	}
	return !(all & mask) && max <= highest;
#endif
}

#endif
