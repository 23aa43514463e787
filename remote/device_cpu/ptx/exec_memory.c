/*
 * Loads and stores. All lanes are looked at, then eight at a time: neighbours in memory (a row) are
 * copied at once, equal addresses are read once, anything else goes lane by lane.
 */
#include "remote/device_cpu/ptx/exec_memory.h"
#include "remote/device_cpu/ptx/pattern.h"
#include "remote/device_cpu/ptx/transpose.h"

/*
 * Whether all 32 lanes are active, aligned, and inside their space, so that nothing more needs to
 * be looked at. A no is not the last word: the slow way looks at each lane.
 */
PTX_INLINE int
all_addresses_fit(const struct ptx_insn *i, const uint8_t *regs, struct ptx_warp *w, int way,
		  uint32_t bytes, uint32_t align)
{
	if (w->mask != UINT32_MAX || (i->offset & (int32_t)(align - 1)))
		return 0;
	if (way == PTX_BY_ADDRESS)
		return none_has_bits_64((const uint64_t *)(const void *)(regs + i->a), align - 1);

	uint64_t size = way == PTX_BY_WINDOW ? ptx_window_of(i, w)->size : w->local_stride;
	uint64_t highest = size - bytes - (uint64_t)(int64_t)i->offset;

	/* A negative offset, or one beyond the end, makes this a huge number. */
	if (highest > size)
		return 0;
	return all_below_32((const uint32_t *)(const void *)(regs + i->a), align - 1,
			    (uint32_t)highest);
}

/*
 * What all lanes of an access share, out of the way of the stores: the compiler must take each for
 * one that may change the instruction or the window.
 */
struct reach {
	const uint8_t *addresses; /* the register of the addresses */
	uint8_t *base;
	uint64_t size, stride; /* of a window; from one lane's local memory to the next */
	int32_t offset;
};

PTX_INLINE struct reach
reach_of(const struct ptx_insn *i, const uint8_t *regs, struct ptx_warp *w, int way)
{
	struct reach reach = {.addresses = regs + i->a, .offset = i->offset};

	if (way == PTX_BY_WINDOW) {
		reach.base = ptx_window_of(i, w)->base;
		reach.size = ptx_window_of(i, w)->size;
	} else if (way == PTX_BY_LANE) {
		reach.base = w->local;
		reach.size = reach.stride = w->local_stride;
	}
	return reach;
}

/* Where lane @l's @bytes are; NULL: outside of the space. */
PTX_INLINE uint8_t *
reach_lane(const struct reach *reach, int way, uint32_t l, uint32_t bytes, uint64_t *ret_address)
{
	*ret_address = ptx_lane_address(NULL, reach->addresses, 0, reach->offset, way, l);
	if (way == PTX_BY_ADDRESS)
		return (uint8_t *)(uintptr_t)*ret_address;

	uint32_t address = (uint32_t)*ret_address;

	return (uint64_t)address + bytes <= reach->size ? reach->base + l * reach->stride + address
							: NULL;
}

/* The same for an access that is known to fit. */
PTX_INLINE uint8_t *
reach_fitting(const struct reach *reach, int way, uint32_t l)
{
	uint64_t address = ptx_lane_address(NULL, reach->addresses, 0, reach->offset, way, l);

	return way == PTX_BY_ADDRESS ? (uint8_t *)(uintptr_t)address
				     : reach->base + l * reach->stride + address;
}

/* The pattern of lanes @g … @g + 7 that access @bytes each, and the host address of the first. */
PTX_INLINE enum pattern
group_pattern(const struct reach *reach, int way, uint32_t g, uint32_t bytes, uint8_t **ret_first)
{
	*ret_first = reach_fitting(reach, way, g);
	if (way == PTX_BY_ADDRESS)
		return pattern_64((const uint64_t *)(const void *)reach->addresses + g, bytes);
	if (way == PTX_BY_WINDOW)
		return pattern_32((const uint32_t *)(const void *)reach->addresses + g, bytes);
	return SCATTERED; /* each lane has its own piece */
}

/*
 * The pattern of all 32 lanes, and the host address of the first. One range is then left to check.
 * SCATTERED is not the last word: a part of them may have a pattern, and an access that does not
 * fit is found by those who look at each lane.
 */
PTX_INLINE enum pattern
warp_pattern(const struct reach *reach, const struct ptx_warp *w, int way, uint32_t bytes,
	     uint32_t align, uint8_t **ret_first)
{
#if defined(__AVX2__)
	const __m256i *v = (const __m256i *)(const void *)reach->addresses;
	uint64_t address = ptx_lane_address(NULL, reach->addresses, 0, reach->offset, way, 0);
	__m256i row = _mm256_setzero_si256(), same = row;
	enum pattern pattern;

	if (way == PTX_BY_LANE || w->mask != UINT32_MAX)
		return SCATTERED;
	if (way == PTX_BY_ADDRESS) {
		const __m256i first = _mm256_broadcastq_epi64(_mm_loadl_epi64((const __m128i *)v));
		const long long s = (long long)bytes;

		for (int k = 0; k < 8; k++) {
			const __m256i d = _mm256_sub_epi64(_mm256_loadu_si256(v + k), first);
			const __m256i expected = _mm256_setr_epi64x(
				4 * k * s, (4 * k + 1) * s, (4 * k + 2) * s, (4 * k + 3) * s);

			same = _mm256_or_si256(same, d);
			row = _mm256_or_si256(row, _mm256_xor_si256(d, expected));
		}
	} else {
		const __m256i first = _mm256_broadcastd_epi32(_mm_loadl_epi64((const __m128i *)v));
		const int s = (int)bytes;

		for (int k = 0; k < 4; k++) {
			const __m256i d = _mm256_sub_epi32(_mm256_loadu_si256(v + k), first);
			const int n = 8 * k;
			const __m256i expected = _mm256_setr_epi32(
				n * s, (n + 1) * s, (n + 2) * s, (n + 3) * s, (n + 4) * s,
				(n + 5) * s, (n + 6) * s, (n + 7) * s);

			same = _mm256_or_si256(same, d);
			row = _mm256_or_si256(row, _mm256_xor_si256(d, expected));
		}
	}
	if (_mm256_testz_si256(row, row))
		pattern = ROW;
	else if (_mm256_testz_si256(same, same))
		pattern = SAME;
	else
		return SCATTERED;
	if (address & (align - 1))
		return SCATTERED;
	if (way == PTX_BY_ADDRESS) {
		*ret_first = (uint8_t *)(uintptr_t)address;
		return pattern;
	}
	address = (uint32_t)address;
	if (address + (pattern == ROW ? PTX_LANES * (uint64_t)bytes : bytes) > reach->size)
		return SCATTERED;
	*ret_first = reach->base + address;
	return pattern;
#else
	(void)reach;
	(void)w;
	(void)way;
	(void)bytes;
	(void)align;
	(void)ret_first;
	return SCATTERED;
#endif
}

/* One lane's pointer for @bytes, or the handler returns with the fault. */
#define LANE_POINTER(p, way, l, bytes, align)                                                      \
	uint64_t address_;                                                                         \
	uint8_t *p = reach_lane(&reach, way, l, bytes, &address_);                                 \
	if (__builtin_expect(!p || (address_ & ((align)-1)), 0))                                   \
	return ptx_memory_fault(w, i, way, l, address_, bytes)

/* Memory is read and written in place, whatever its alignment in the host's eyes. */
#define IN_MEMORY(M) typedef M in_memory __attribute__((aligned(1), may_alias))

/* Eight lanes of @bytes each. */
PTX_INLINE void
copy_row(void *to, const void *from, size_t bytes)
{
#if defined(__AVX2__)
	if (bytes >= 4) {
		__m256i *t = to;
		const __m256i *f = from;

		_mm256_storeu_si256(t, _mm256_loadu_si256(f));
		if (bytes == 8)
			_mm256_storeu_si256(t + 1, _mm256_loadu_si256(f + 1));
		return;
	}
#endif
	__builtin_memcpy(to, from, GROUP * bytes);
}

PTX_INLINE void
fill_row(void *to, uint64_t value, size_t bytes)
{
#if defined(__AVX2__)
	if (bytes == 4) {
		_mm256_storeu_si256(to, _mm256_set1_epi32((int)value));
		return;
	}
	if (bytes == 8) {
		_mm256_storeu_si256(to, _mm256_set1_epi64x((long long)value));
		_mm256_storeu_si256((__m256i *)to + 1, _mm256_set1_epi64x((long long)value));
		return;
	}
#endif
	for (int k = 0; k < GROUP; k++)
		__builtin_memcpy((uint8_t *)to + k * bytes, &value, bytes);
}

#define EACH_GROUP for (uint32_t g = 0; g < PTX_LANES; g += GROUP)
/* The same, unrolled: nothing is decided in it. */
#define EACH_ROW(k) _Pragma("GCC unroll 4") for (uint32_t k = 0; k < PTX_LANES; k += GROUP)

/* Memory holds M, registers R. */
#define LOAD(name, way, M, R)                                                                      \
	PTX_UNCHECKED PTX_HANDLER(name)                                                            \
	{                                                                                          \
		IN_MEMORY(M);                                                                      \
		const struct reach reach = reach_of(i, regs, w, way);                              \
		R *d = PTX_REG(R, i->dst);                                                         \
		uint8_t *first;                                                                    \
		w->pc = i;                                                                         \
		switch (warp_pattern(&reach, w, way, sizeof(M), sizeof(M), &first)) {              \
		case ROW:                                                                          \
			EACH_ROW(k)                                                                \
			{                                                                          \
				if (sizeof(M) == sizeof(R))                                        \
					copy_row(d + k, first + k * sizeof(M), sizeof(R));         \
				else                                                               \
					for (uint32_t l = k; l < k + GROUP; l++)                   \
						d[l] = (R)((                                       \
							const in_memory *)(const void *)first)[l]; \
			}                                                                          \
			return i + 1;                                                              \
		case SAME: {                                                                       \
			const R m = (R) * (const in_memory *)(const void *)first;                  \
			EACH_ROW(k)                                                                \
			fill_row(d + k, (uint64_t)m, sizeof(R));                                   \
			return i + 1;                                                              \
		}                                                                                  \
		case SCATTERED:                                                                    \
			break;                                                                     \
		}                                                                                  \
		if (!all_addresses_fit(i, regs, w, way, sizeof(M), sizeof(M))) {                   \
			PTX_EACH_ACTIVE(l, w->mask)                                                \
			{                                                                          \
				LANE_POINTER(p, way, l, sizeof(M), sizeof(M));                     \
				d[l] = (R) * (const in_memory *)(const void *)p;                   \
			}                                                                          \
			return i + 1;                                                              \
		}                                                                                  \
		EACH_GROUP                                                                         \
		{                                                                                  \
			enum pattern pattern = group_pattern(&reach, way, g, sizeof(M), &first);   \
			if (pattern == ROW && sizeof(M) == sizeof(R)) {                            \
				copy_row(d + g, first, sizeof(R));                                 \
			} else if (pattern == SAME) {                                              \
				const R m = (R) * (const in_memory *)(const void *)first;          \
				fill_row(d + g, (uint64_t)m, sizeof(R));                           \
			} else {                                                                   \
				for (uint32_t l = g; l < g + GROUP; l++)                           \
					d[l] = (R) *                                               \
					       (const in_memory *)(const void *)reach_fitting(     \
						       &reach, way, l);                            \
			}                                                                          \
		}                                                                                  \
		return i + 1;                                                                      \
	}

#define STORE(name, way, M, R)                                                                     \
	PTX_UNCHECKED PTX_HANDLER(name)                                                            \
	{                                                                                          \
		IN_MEMORY(M);                                                                      \
		const struct reach reach = reach_of(i, regs, w, way);                              \
		const R *s = PTX_REG(const R, i->b);                                               \
		uint8_t *first;                                                                    \
		w->pc = i;                                                                         \
		if (sizeof(M) == sizeof(R) &&                                                      \
		    warp_pattern(&reach, w, way, sizeof(M), sizeof(M), &first) == ROW) {           \
			EACH_ROW(k)                                                                \
			copy_row(first + k * sizeof(M), s + k, sizeof(R));                         \
			return i + 1;                                                              \
		}                                                                                  \
		if (!all_addresses_fit(i, regs, w, way, sizeof(M), sizeof(M))) {                   \
			PTX_EACH_ACTIVE(l, w->mask)                                                \
			{                                                                          \
				LANE_POINTER(p, way, l, sizeof(M), sizeof(M));                     \
				*(in_memory *)(void *)p = (M)s[l];                                 \
			}                                                                          \
			return i + 1;                                                              \
		}                                                                                  \
		EACH_GROUP                                                                         \
		{                                                                                  \
			if (group_pattern(&reach, way, g, sizeof(M), &first) == ROW &&             \
			    sizeof(M) == sizeof(R)) {                                              \
				copy_row(first, s + g, sizeof(R));                                 \
			} else {                                                                   \
				for (uint32_t l = g; l < g + GROUP; l++)                           \
					*(in_memory *)(void *)reach_fitting(&reach, way, l) =      \
						(M)s[l];                                           \
			}                                                                          \
		}                                                                                  \
		return i + 1;                                                                      \
	}

/* A vector must be aligned to its size. */
PTX_INLINE uint32_t
vector_align(uint32_t bytes)
{
	return bytes & (bytes - 1) ? bytes & -bytes : bytes;
}

/*
 * One lane's vector is one access, as on a GPU: programs count on it. CUB's scans look back at a
 * status that is stored with its value in one vector, while another core reads it. Aligned moves of
 * 16 bytes are one access on every x86 that has AVX (both vendors' manuals).
 */
PTX_INLINE void
copy_vector(void *to, const void *from, uint32_t bytes)
{
	/* in place, whatever the alignment in the host's eyes */
	typedef uint16_t two __attribute__((aligned(1), may_alias));
	typedef uint32_t four __attribute__((aligned(1), may_alias));
	typedef uint64_t eight __attribute__((aligned(1), may_alias));

	switch (bytes) {
	case 2:
		*(volatile two *)to = *(const volatile two *)from;
		return;
	case 4:
		*(volatile four *)to = *(const volatile four *)from;
		return;
	case 8:
		*(volatile eight *)to = *(const volatile eight *)from;
		return;
	}
#if defined(__SSE2__)
	if (!(bytes & 15)) {
		for (uint32_t k = 0; k < bytes; k += 16)
			_mm_storeu_si128(
				(__m128i *)((uint8_t *)to + k),
				_mm_loadu_si128((const __m128i *)((const uint8_t *)from + k)));
		return;
	}
#endif
	__builtin_memcpy(to, from, bytes);
}

/*
 * Vectors of the usual shapes whose lanes make a row, by transposition: 1 if that was done.
 * @m, @r: bytes of an element in memory and in its register.
 */
PTX_INLINE int
transpose_row(const struct ptx_insn *i, uint8_t *regs, struct ptx_warp *w,
	      const struct reach *reach, int way, size_t m, size_t r, int load)
{
#ifdef PTX_TRANSPOSE
	uint8_t *first;

	if (m == 4 && i->n == 2) {
		float *x = PTX_REG(float, i->list[0]), *y = PTX_REG(float, i->list[1]);

		if (warp_pattern(reach, w, way, 8, 8, &first) != ROW)
			return 0;
		EACH_GROUP
		{
			if (load)
				transpose_load_2x4(first + 8 * g, x + g, y + g);
			else
				transpose_store_2x4(first + 8 * g, x + g, y + g);
		}
		return 1;
	}
	if (m == 8 && i->n == 2) {
		double *x = PTX_REG(double, i->list[0]), *y = PTX_REG(double, i->list[1]);

		if (warp_pattern(reach, w, way, 16, 16, &first) != ROW)
			return 0;
		EACH_GROUP
		{
			if (load)
				transpose_load_2x8(first + 16 * g, x + g, y + g);
			else
				transpose_store_2x8(first + 16 * g, x + g, y + g);
		}
		return 1;
	}
	if (m == 4 && i->n == 4) {
		if (warp_pattern(reach, w, way, 16, 16, &first) != ROW)
			return 0;
		EACH_GROUP
		{
			float *part[4];

			for (int k = 0; k < 4; k++)
				part[k] = PTX_REG(float, i->list[k]) + g;
			if (load)
				transpose_load_4x4(first + 16 * g, part);
			else
				transpose_store_4x4(first + 16 * g, (const float *const *)part);
		}
		return 1;
	}
	if (m == 1 && r == 2 && i->n == 4) {
		if (warp_pattern(reach, w, way, 4, 4, &first) != ROW)
			return 0;
		EACH_GROUP
		{
			uint16_t *part[4];

			for (int k = 0; k < 4; k++)
				part[k] = PTX_REG(uint16_t, i->list[k]) + g;
			if (load)
				transpose_load_4x1(first + 4 * g, part);
			else
				transpose_store_4x1(first + 4 * g, (const uint16_t *const *)part);
		}
		return 1;
	}
#else
	(void)i;
	(void)regs;
	(void)w;
	(void)reach;
	(void)way;
	(void)m;
	(void)r;
	(void)load;
#endif
	return 0;
}

/* n elements per lane, side by side in memory, each in a register of its own. */
#define LOAD_VECTOR(name, way, M, R)                                                               \
	PTX_UNCHECKED PTX_HANDLER(name)                                                            \
	{                                                                                          \
		const struct reach reach = reach_of(i, regs, w, way);                              \
		const uint32_t n = i->n, bytes = n * sizeof(M);                                    \
		const uint32_t align = vector_align(bytes);                                        \
		M m[GROUP][8] __attribute__((aligned(32)));                                        \
		uint8_t *first;                                                                    \
		w->pc = i;                                                                         \
		if (transpose_row(i, regs, w, &reach, way, sizeof(M), sizeof(R), 1))               \
			return i + 1;                                                              \
		if (!all_addresses_fit(i, regs, w, way, bytes, align)) {                           \
			PTX_EACH_ACTIVE(l, w->mask)                                                \
			{                                                                          \
				LANE_POINTER(p, way, l, bytes, align);                             \
				copy_vector(m[0], p, bytes);                                       \
				for (uint32_t e = 0; e < n; e++)                                   \
					PTX_REG(R, i->list[e])[l] = (R)m[0][e];                    \
			}                                                                          \
			return i + 1;                                                              \
		}                                                                                  \
		EACH_GROUP                                                                         \
		{                                                                                  \
			enum pattern pattern = group_pattern(&reach, way, g, bytes, &first);       \
			const uint32_t step = pattern == ROW ? bytes : 0;                          \
			for (uint32_t k = 0; k < GROUP; k++)                                       \
				copy_vector(m[k],                                                  \
					    pattern == SCATTERED                                   \
						    ? reach_fitting(&reach, way, g + k)            \
						    : first + k * step,                            \
					    bytes);                                                \
			for (uint32_t e = 0; e < n; e++) {                                         \
				R *d = PTX_REG(R, i->list[e]) + g;                                 \
				for (uint32_t k = 0; k < GROUP; k++)                               \
					d[k] = (R)m[k][e];                                         \
			}                                                                          \
		}                                                                                  \
		return i + 1;                                                                      \
	}

#define STORE_VECTOR(name, way, M, R)                                                              \
	PTX_UNCHECKED PTX_HANDLER(name)                                                            \
	{                                                                                          \
		const struct reach reach = reach_of(i, regs, w, way);                              \
		const uint32_t n = i->n, bytes = n * sizeof(M);                                    \
		const uint32_t align = vector_align(bytes);                                        \
		M m[8] __attribute__((aligned(32)));                                               \
		w->pc = i;                                                                         \
		if (transpose_row(i, regs, w, &reach, way, sizeof(M), sizeof(R), 0))               \
			return i + 1;                                                              \
		const int fit = all_addresses_fit(i, regs, w, way, bytes, align);                  \
		PTX_EACH_ACTIVE(l, w->mask)                                                        \
		{                                                                                  \
			uint64_t address = 0;                                                      \
			uint8_t *p = fit ? reach_fitting(&reach, way, l)                           \
					 : reach_lane(&reach, way, l, bytes, &address);            \
			if (__builtin_expect(!fit && (!p || (address & (align - 1))), 0))          \
				return ptx_memory_fault(w, i, way, l, address, bytes);             \
			for (uint32_t e = 0; e < n; e++)                                           \
				m[e] = (M)PTX_REG(const R, i->list[e])[l];                         \
			copy_vector(p, m, bytes);                                                  \
		}                                                                                  \
		return i + 1;                                                                      \
	}

#define WAYS(body, name, M, R)                                                                     \
	body(name##_global, PTX_BY_ADDRESS, M, R) body(name##_window, PTX_BY_WINDOW, M, R)         \
		body(name##_local, PTX_BY_LANE, M, R)

WAYS(LOAD, ld_u8, uint8_t, uint16_t)
WAYS(LOAD, ld_s8, int8_t, int16_t)
WAYS(LOAD, ld_16, uint16_t, uint16_t)
WAYS(LOAD, ld_32, uint32_t, uint32_t)
WAYS(LOAD, ld_64, uint64_t, uint64_t)
WAYS(STORE, st_8, uint8_t, uint16_t)
WAYS(STORE, st_16, uint16_t, uint16_t)
WAYS(STORE, st_32, uint32_t, uint32_t)
WAYS(STORE, st_64, uint64_t, uint64_t)
WAYS(LOAD_VECTOR, ldv_u8, uint8_t, uint16_t)
WAYS(LOAD_VECTOR, ldv_16, uint16_t, uint16_t)
WAYS(LOAD_VECTOR, ldv_32, uint32_t, uint32_t)
WAYS(LOAD_VECTOR, ldv_64, uint64_t, uint64_t)
WAYS(STORE_VECTOR, stv_8, uint8_t, uint16_t)
WAYS(STORE_VECTOR, stv_16, uint16_t, uint16_t)
WAYS(STORE_VECTOR, stv_32, uint32_t, uint32_t)
WAYS(STORE_VECTOR, stv_64, uint64_t, uint64_t)

/* a: global address, b: shared address, c: bytes to read; n bytes are written. */
PTX_UNCHECKED
PTX_HANDLER(cp_async)
{
	const struct reach reach = reach_of(i, regs, w, PTX_BY_ADDRESS);
	const struct ptx_window window = *ptx_window_of(i, w);
	const uint32_t *counts = PTX_REG(const uint32_t, i->c), *places = PTX_REG(uint32_t, i->b);
	const uint32_t n = i->n;

	w->pc = i;
	PTX_EACH_ACTIVE(l, w->mask)
	{
		uint32_t count = counts[l];
		uint64_t to = places[l];
		uint8_t buffer[16] = {0};

		if (to + n > window.size || to & (n - 1))
			return ptx_memory_fault(w, i, PTX_BY_WINDOW, l, to, n);
		LANE_POINTER(p, PTX_BY_ADDRESS, l, n, n);
		if (count >= 16 && n == 16) {
			__builtin_memcpy(window.base + to, p, 16);
			continue;
		}
		for (uint32_t k = 0; k < n && k < count; k++)
			buffer[k] = p[k];
		memcpy(window.base + to, buffer, n);
	}
	return i + 1;
}

PTX_HANDLER(fence)
{
	(void)regs;
	(void)w;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return i + 1;
}

/* Addresses */

PTX_HANDLER(cvta_shared)
{
	const uint64_t base = (uintptr_t)w->windows[PTX_WINDOW_SHARED].base;
	uint64_t *d = PTX_REG(uint64_t, i->dst);
	const uint64_t *a = PTX_REG(const uint64_t, i->a);

	PTX_EACH_LANE
	d[l] = a[l] + base;
	return i + 1;
}

PTX_HANDLER(cvta_to_shared)
{
	const uint64_t base = (uintptr_t)w->windows[PTX_WINDOW_SHARED].base;
	uint64_t *d = PTX_REG(uint64_t, i->dst);
	const uint64_t *a = PTX_REG(const uint64_t, i->a);

	PTX_EACH_LANE
	d[l] = a[l] - base;
	return i + 1;
}

PTX_HANDLER(cvta_param)
{
	const uint64_t base = (uintptr_t)w->windows[PTX_WINDOW_PARAM].base;
	uint64_t *d = PTX_REG(uint64_t, i->dst);
	const uint64_t *a = PTX_REG(const uint64_t, i->a);

	PTX_EACH_LANE
	d[l] = a[l] + base;
	return i + 1;
}

PTX_HANDLER(cvta_to_param)
{
	const uint64_t base = (uintptr_t)w->windows[PTX_WINDOW_PARAM].base;
	uint64_t *d = PTX_REG(uint64_t, i->dst);
	const uint64_t *a = PTX_REG(const uint64_t, i->a);

	PTX_EACH_LANE
	d[l] = a[l] - base;
	return i + 1;
}

PTX_HANDLER(cvta_local)
{
	const uint64_t base = (uintptr_t)w->local, stride = w->local_stride;
	uint64_t *d = PTX_REG(uint64_t, i->dst);
	const uint64_t *a = PTX_REG(const uint64_t, i->a);

	PTX_EACH_LANE
	d[l] = a[l] + base + l * stride;
	return i + 1;
}

PTX_HANDLER(cvta_to_local)
{
	const uint64_t base = (uintptr_t)w->local, stride = w->local_stride;
	uint64_t *d = PTX_REG(uint64_t, i->dst);
	const uint64_t *a = PTX_REG(const uint64_t, i->a);

	PTX_EACH_LANE
	d[l] = a[l] - base - l * stride;
	return i + 1;
}

/* Lanes whose address lies in [base, base + size). */
PTX_INLINE uint32_t
inside(const uint64_t *a, uint64_t base, uint64_t size)
{
	uint32_t mask = 0;

	for (int l = 0; l < PTX_LANES; l++)
		mask |= (uint32_t)(a[l] - base < size) << l;
	return mask;
}

PTX_INLINE uint32_t
inside_window(const uint64_t *a, const struct ptx_window *window)
{
	return inside(a, (uintptr_t)window->base, window->size);
}

PTX_HANDLER(is_shared)
{
	PTX_MASK(i->dst) =
		inside_window(PTX_REG(const uint64_t, i->a), &w->windows[PTX_WINDOW_SHARED]);
	return i + 1;
}

PTX_HANDLER(is_param)
{
	PTX_MASK(i->dst) =
		inside_window(PTX_REG(const uint64_t, i->a), &w->windows[PTX_WINDOW_PARAM]);
	return i + 1;
}

PTX_HANDLER(is_local)
{
	PTX_MASK(i->dst) = inside(PTX_REG(const uint64_t, i->a), (uintptr_t)w->local,
				  w->local_stride * PTX_LANES);
	return i + 1;
}

PTX_HANDLER(is_global)
{
	const uint64_t *a = PTX_REG(const uint64_t, i->a);

	PTX_MASK(i->dst) = ~(inside_window(a, &w->windows[PTX_WINDOW_SHARED]) |
			     inside(a, (uintptr_t)w->local, w->local_stride * PTX_LANES));
	return i + 1;
}

void
PTX_ISA_NAME(ptx_exec_memory)(ptx_exec_fn *table)
{
#define ENTER(name)  table[PTX_H_##name] = exec_##name;
#define SPACES(name) ENTER(name##_global) ENTER(name##_window) ENTER(name##_local)
	SPACES(ld_u8)
	SPACES(ld_s8)
	SPACES(ld_16)
	SPACES(ld_32)
	SPACES(ld_64)
	SPACES(st_8)
	SPACES(st_16)
	SPACES(st_32)
	SPACES(st_64)
	SPACES(ldv_u8)
	SPACES(ldv_16)
	SPACES(ldv_32)
	SPACES(ldv_64)
	SPACES(stv_8)
	SPACES(stv_16)
	SPACES(stv_32)
	SPACES(stv_64)
	ENTER(cp_async)
	ENTER(fence)
	ENTER(cvta_shared)
	ENTER(cvta_to_shared)
	ENTER(cvta_param)
	ENTER(cvta_to_param)
	ENTER(cvta_local)
	ENTER(cvta_to_local)
	ENTER(is_shared)
	ENTER(is_param)
	ENTER(is_local)
	ENTER(is_global)
}
