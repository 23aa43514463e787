/*
 * Loads and stores. Eight lanes at a time are looked at: neighbours in memory (a row) are copied
 * at once, equal addresses are read once, anything else goes lane by lane.
 */
#include "remote/device_cpu/ptx/exec_memory.h"

enum { GROUP = 8 };

/* Registers and memory overlap only in programs that look for trouble. */
#if defined(__clang__)
#define EACH_OF_GROUP _Pragma("clang loop vectorize(assume_safety)") for (int k = 0; k < GROUP; k++)
#else
#define EACH_OF_GROUP _Pragma("GCC ivdep") for (int k = 0; k < GROUP; k++)
#endif

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

/*
 * The pattern of lanes @l … @l + 7 that access @bytes each, and the host address of the first.
 * Rows and equal addresses are inside their space and aligned; anything doubtful is SCATTERED.
 */
PTX_INLINE enum pattern
group_pattern(const struct ptx_insn *i, const uint8_t *regs, struct ptx_warp *w, int way,
	      uint32_t l, uint32_t bytes, uint32_t align, uint8_t **ret_first)
{
	enum pattern pattern;
	uint64_t first = ptx_lane_address(i, regs, i->a, i->offset, way, l);

	if (way == PTX_BY_LANE || (w->mask >> l & 0xff) != 0xff || first & (align - 1))
		return SCATTERED;
	if (way == PTX_BY_ADDRESS) {
		*ret_first = (uint8_t *)(uintptr_t)first;
		return pattern_64((const uint64_t *)(const void *)(regs + i->a) + l, bytes);
	}
	pattern = pattern_32((const uint32_t *)(const void *)(regs + i->a) + l, bytes);
	first = (uint32_t)first;

	const struct ptx_window *window = ptx_window_of(i, w);
	uint64_t end = first + (pattern == ROW ? GROUP * bytes : bytes);

	*ret_first = window->base + first;
	return end <= window->size ? pattern : SCATTERED;
}

/* One lane's pointer for @bytes, or the handler returns with the fault. */
#define LANE_POINTER(p, way, l, bytes, align)                                                      \
	uint64_t address_ = ptx_lane_address(i, regs, i->a, i->offset, way, l);                    \
	uint8_t *p = ptx_lane_pointer(i, w, way, address_, l, bytes);                              \
	if (__builtin_expect(!p || (address_ & ((align)-1)), 0))                                   \
	return ptx_memory_fault(w, i, way, l, address_, bytes)

/* Memory is read and written in place, whatever its alignment in the host's eyes. */
#define IN_MEMORY(M) typedef M in_memory __attribute__((aligned(1), may_alias))

/* Memory holds M, registers R. */
#define LOAD(name, way, M, R)                                                                      \
	PTX_UNCHECKED PTX_HANDLER(name)                                                            \
	{                                                                                          \
		IN_MEMORY(M);                                                                      \
		R *d = PTX_REG(R, i->dst);                                                         \
		w->pc = i;                                                                         \
		for (uint32_t g = 0; g < PTX_LANES; g += GROUP) {                                  \
			uint8_t *first = NULL;                                                     \
			switch (group_pattern(i, regs, w, way, g, sizeof(M), sizeof(M), &first)) { \
			case ROW:                                                                  \
				EACH_OF_GROUP                                                      \
				d[g + k] = (R)((const in_memory *)(const void *)first)[k];         \
				break;                                                             \
			case SAME: {                                                               \
				const M m = *(const in_memory *)(const void *)first;               \
				EACH_OF_GROUP                                                      \
				d[g + k] = (R)m;                                                   \
				break;                                                             \
			}                                                                          \
			case SCATTERED:                                                            \
				PTX_EACH_ACTIVE(l, w->mask & 0xffu << g)                           \
				{                                                                  \
					LANE_POINTER(p, way, l, sizeof(M), sizeof(M));             \
					d[l] = (R) * (const in_memory *)(const void *)p;           \
				}                                                                  \
				break;                                                             \
			}                                                                          \
		}                                                                                  \
		return i + 1;                                                                      \
	}

#define STORE(name, way, M, R)                                                                     \
	PTX_UNCHECKED PTX_HANDLER(name)                                                            \
	{                                                                                          \
		IN_MEMORY(M);                                                                      \
		const R *s = PTX_REG(const R, i->b);                                               \
		w->pc = i;                                                                         \
		for (uint32_t g = 0; g < PTX_LANES; g += GROUP) {                                  \
			uint8_t *first = NULL;                                                     \
			if (group_pattern(i, regs, w, way, g, sizeof(M), sizeof(M), &first) ==     \
			    ROW) {                                                                 \
				EACH_OF_GROUP((in_memory *)(void *)first)[k] = (M)s[g + k];        \
				continue;                                                          \
			}                                                                          \
			PTX_EACH_ACTIVE(l, w->mask & 0xffu << g)                                   \
			{                                                                          \
				LANE_POINTER(p, way, l, sizeof(M), sizeof(M));                     \
				*(in_memory *)(void *)p = (M)s[l];                                 \
			}                                                                          \
		}                                                                                  \
		return i + 1;                                                                      \
	}

/* n elements per lane, side by side in memory, each in a register of its own. */
#define LOAD_VECTOR(name, way, M, R)                                                               \
	PTX_UNCHECKED PTX_HANDLER(name)                                                            \
	{                                                                                          \
		const uint32_t n = i->n, bytes = n * sizeof(M);                                    \
		const uint32_t align = vector_align(bytes);                                        \
		w->pc = i;                                                                         \
		for (uint32_t g = 0; g < PTX_LANES; g += GROUP) {                                  \
			uint8_t *first = NULL;                                                     \
			enum pattern pattern =                                                     \
				group_pattern(i, regs, w, way, g, bytes, align, &first);           \
			if (pattern != SCATTERED) {                                                \
				const uint32_t step = pattern == ROW ? n : 0;                      \
				M m[8 * GROUP];                                                    \
				memcpy(m, first, pattern == ROW ? GROUP * bytes : bytes);          \
				for (uint32_t e = 0; e < n; e++) {                                 \
					R *d = PTX_REG(R, i->list[e]) + g;                         \
					for (uint32_t k = 0; k < GROUP; k++)                       \
						d[k] = (R)m[k * step + e];                         \
				}                                                                  \
				continue;                                                          \
			}                                                                          \
			PTX_EACH_ACTIVE(l, w->mask & 0xffu << g)                                   \
			{                                                                          \
				M m[8];                                                            \
				LANE_POINTER(p, way, l, bytes, align);                             \
				for (uint32_t e = 0; e < n; e++)                                   \
					memcpy(&m[e], p + e * sizeof(M), sizeof(M));               \
				for (uint32_t e = 0; e < n; e++)                                   \
					PTX_REG(R, i->list[e])[l] = (R)m[e];                       \
			}                                                                          \
		}                                                                                  \
		return i + 1;                                                                      \
	}

#define STORE_VECTOR(name, way, M, R)                                                              \
	PTX_UNCHECKED PTX_HANDLER(name)                                                            \
	{                                                                                          \
		const uint32_t n = i->n, bytes = n * sizeof(M);                                    \
		const uint32_t align = vector_align(bytes);                                        \
		w->pc = i;                                                                         \
		for (uint32_t g = 0; g < PTX_LANES; g += GROUP) {                                  \
			uint8_t *first = NULL;                                                     \
			if (group_pattern(i, regs, w, way, g, bytes, align, &first) == ROW) {      \
				M m[8 * GROUP];                                                    \
				for (uint32_t e = 0; e < n; e++) {                                 \
					const R *s = PTX_REG(const R, i->list[e]) + g;             \
					for (uint32_t k = 0; k < GROUP; k++)                       \
						m[k * n + e] = (M)s[k];                            \
				}                                                                  \
				memcpy(first, m, GROUP *bytes);                                    \
				continue;                                                          \
			}                                                                          \
			PTX_EACH_ACTIVE(l, w->mask & 0xffu << g)                                   \
			{                                                                          \
				LANE_POINTER(p, way, l, bytes, align);                             \
				for (uint32_t e = 0; e < n; e++) {                                 \
					M m = (M)PTX_REG(const R, i->list[e])[l];                  \
					memcpy(p + e * sizeof(M), &m, sizeof(M));                  \
				}                                                                  \
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
	w->pc = i;
	PTX_EACH_ACTIVE(l, w->mask)
	{
		uint32_t n = i->n, count = PTX_REG(const uint32_t, i->c)[l];
		uint64_t to = PTX_REG(const uint32_t, i->b)[l];
		uint8_t buffer[16] = {0};
		uint8_t *shared = ptx_lane_pointer(i, w, PTX_BY_WINDOW, to, l, n);

		if (!shared || to & (n - 1))
			return ptx_memory_fault(w, i, PTX_BY_WINDOW, l, to, n);
		LANE_POINTER(p, PTX_BY_ADDRESS, l, n, n);
		for (uint32_t k = 0; k < n && k < count; k++)
			buffer[k] = p[k];
		memcpy(shared, buffer, n);
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
