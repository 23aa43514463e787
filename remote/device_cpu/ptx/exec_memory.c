/*
 * Loads and stores. Eight lanes at a time are looked at: neighbours in memory (a row) are copied
 * at once, equal addresses are read once, anything else goes lane by lane.
 */
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

/* Memory holds M, registers R. */
#define LOAD(name, way, M, R)                                                                      \
	PTX_UNCHECKED PTX_HANDLER(name)                                                            \
	{                                                                                          \
		IN_MEMORY(M);                                                                      \
		const struct reach reach = reach_of(i, regs, w, way);                              \
		R *d = PTX_REG(R, i->dst);                                                         \
		uint8_t *first;                                                                    \
		w->pc = i;                                                                         \
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
		const int fit = all_addresses_fit(i, regs, w, way, bytes, align);                  \
		M m[8] __attribute__((aligned(32)));                                               \
		w->pc = i;                                                                         \
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
