/* Instructions between the lanes of a warp and between warps; values of the machine. */
#include "remote/device_cpu/ptx/exec_lanes.h"

#include <time.h>

/*
 * Lanes that take part in one .sync instruction together: those that name the same members. Lanes
 * of one fragment may name different ones, as the tiles of cooperative groups do.
 */
struct group {
	uint32_t lanes;   /* that execute it now */
	uint32_t members; /* that are here, of those they name */
};

/* The next group of @rest's lanes. */
static inline struct group
next_group(const struct ptx_insn *i, const uint8_t *regs, const struct ptx_warp *w, uint32_t rest)
{
	const uint32_t *masks = PTX_REG(const uint32_t, i->d);
	uint32_t first = masks[__builtin_ctz(rest)], different = 0, lanes = 0;

	if (!(i->flags & PTX_INSN_FLAG_A)) /* without .sync: whoever is here */
		return (struct group){rest, w->mask};
	if (rest == UINT32_MAX) {
		for (int l = 0; l < PTX_LANES; l++)
			different |= masks[l] ^ first;
		if (!different)
			return (struct group){rest, first & w->mask};
	}
	PTX_EACH_ACTIVE(l, rest)
	lanes |= masks[l] == first ? 1u << l : 0;
	return (struct group){lanes, first & w->mask};
}

/* Whether lanes that take part are elsewhere and must come first. */
static inline int
must_wait(const struct ptx_insn *i, const uint8_t *regs, struct ptx_warp *w)
{
	const uint32_t *masks = PTX_REG(const uint32_t, i->d);
	uint32_t members = 0;

	if (!(i->flags & PTX_INSN_FLAG_A) || w->mask == w->live)
		return 0;
	PTX_EACH_ACTIVE(l, w->mask)
	members |= masks[l];
	return (members & w->live & ~w->mask) && !ptx_warp_gather(w, i, members);
}

#define EACH_GROUP(g)                                                                              \
	for (struct group rest_ = {w->mask, 0}, g = {0};                                           \
	     rest_.lanes && (g = next_group(i, regs, w, rest_.lanes), 1); rest_.lanes &= ~g.lanes)

static inline void
store_32(uint32_t *d, const uint32_t *values, uint32_t mask)
{
	if (mask == UINT32_MAX) {
		memcpy(d, values, PTX_LANES * sizeof(*d));
		return;
	}
	PTX_EACH_LANE
	d[l] = mask >> l & 1 ? values[l] : d[l];
}

static inline void
store_mask(uint32_t *d, uint32_t value, uint32_t mask)
{
	*d = (*d & ~mask) | (value & mask);
}

/* From which lane each lane reads, and whether that one is inside of its segment. */
static inline __attribute__((always_inline)) void
find_lanes(int kind, const uint32_t *b, const uint32_t *c, int32_t *from, int32_t *inside)
{
	PTX_EACH_LANE
	{
		int32_t by = b[l] & 31, segment = c[l] >> 8 & 31, clamp = c[l] & 31;
		int32_t max = (l & segment) | (clamp & ~segment);
		int32_t lane = kind == PTX_SHFL_UP     ? l - by
			       : kind == PTX_SHFL_DOWN ? l + by
			       : kind == PTX_SHFL_BFLY ? l ^ by
						       : (l & segment) | (by & ~segment);
		int32_t ok = -(kind == PTX_SHFL_UP ? lane >= max : lane <= max);

		from[l] = ((lane & ok) | (l & ~ok)) & 31;
		inside[l] = ok;
	}
}

static inline void
gather_lanes(const uint32_t *a, const int32_t *from, uint32_t *values)
{
#if defined(__AVX2__)
	for (int k = 0; k < 4; k++) {
		__m256i index = _mm256_loadu_si256((const __m256i *)from + k);

		_mm256_storeu_si256((__m256i *)values + k,
				    _mm256_i32gather_epi32((const int *)a, index, 4));
	}
#else
	for (int l = 0; l < PTX_LANES; l++)
		values[l] = a[from[l]];
#endif
}

PTX_HANDLER(shfl)
{
	const uint32_t *b = PTX_REG(const uint32_t, i->b);
	const uint32_t *c = PTX_REG(const uint32_t, i->c);
	uint32_t values[PTX_LANES];
	int32_t from[PTX_LANES], inside[PTX_LANES];

	if (must_wait(i, regs, w))
		return NULL;
	switch (i->n) {
	case PTX_SHFL_UP:
		find_lanes(PTX_SHFL_UP, b, c, from, inside);
		break;
	case PTX_SHFL_DOWN:
		find_lanes(PTX_SHFL_DOWN, b, c, from, inside);
		break;
	case PTX_SHFL_BFLY:
		find_lanes(PTX_SHFL_BFLY, b, c, from, inside);
		break;
	default:
		find_lanes(PTX_SHFL_IDX, b, c, from, inside);
		break;
	}
	gather_lanes(PTX_REG(const uint32_t, i->a), from, values);
	store_32(PTX_REG(uint32_t, i->dst), values, w->mask);
	if (i->flags & PTX_INSN_FLAG_B)
		store_mask(PTX_REG(uint32_t, i->list[0]), ptx_mask_of(inside, sizeof(*inside)),
			   w->mask);
	return i + 1;
}

PTX_HANDLER(vote)
{
	if (must_wait(i, regs, w))
		return NULL;
	EACH_GROUP(g)
	{
		uint32_t yes = PTX_MASK(i->a) & g.members, result;
		uint32_t values[PTX_LANES];

		switch (i->n) {
		case PTX_VOTE_ALL:
			result = yes == g.members;
			break;
		case PTX_VOTE_ANY:
			result = yes != 0;
			break;
		case PTX_VOTE_UNI:
			result = yes == g.members || yes == 0;
			break;
		default:
			PTX_EACH_LANE
			values[l] = yes;
			store_32(PTX_REG(uint32_t, i->dst), values, g.lanes);
			continue;
		}
		store_mask(PTX_REG(uint32_t, i->dst), result ? UINT32_MAX : 0, g.lanes);
	}
	return i + 1;
}

PTX_HANDLER(match)
{
	const uint32_t *a32 = PTX_REG(const uint32_t, i->a);
	const uint64_t *a64 = PTX_REG(const uint64_t, i->a);
	uint32_t values[PTX_LANES] = {0}, all = 0;
	int wide = i->n == 8;

	if (must_wait(i, regs, w))
		return NULL;
	EACH_GROUP(g)
	{
		PTX_EACH_ACTIVE(l, g.lanes)
		{
			uint32_t same = 0;

			PTX_EACH_ACTIVE(k, g.members)
			if (wide ? a64[k] == a64[l] : a32[k] == a32[l])
				same |= 1u << k;
			values[l] = same;
			if (!(i->flags & PTX_INSN_FLAG_C))
				continue;
			/* .all: everybody or nobody */
			all |= same == g.members ? 1u << l : 0;
			values[l] = same == g.members ? g.members : 0;
		}
	}
	store_32(PTX_REG(uint32_t, i->dst), values, w->mask);
	if (i->flags & PTX_INSN_FLAG_B)
		store_mask(PTX_REG(uint32_t, i->list[0]), all, w->mask);
	return i + 1;
}

static uint32_t
combine(uint32_t a, uint32_t b, int operation, int is_signed)
{
	int less = is_signed ? (int32_t)b < (int32_t)a : b < a;

	switch (operation) {
	case PTX_ATOMIC_ADD:
		return a + b;
	case PTX_ATOMIC_MIN:
		return less ? b : a;
	case PTX_ATOMIC_MAX:
		return less ? a : b;
	case PTX_ATOMIC_AND:
		return a & b;
	case PTX_ATOMIC_OR:
		return a | b;
	default:
		return a ^ b;
	}
}

PTX_HANDLER(redux)
{
	const uint32_t *a = PTX_REG(const uint32_t, i->a);
	uint32_t values[PTX_LANES] = {0};

	if (must_wait(i, regs, w))
		return NULL;
	EACH_GROUP(g)
	{
		uint32_t result = 0, rest = g.members;

		if (rest) {
			result = a[__builtin_ctz(rest)];
			rest &= rest - 1;
		}
		PTX_EACH_ACTIVE(l, rest)
		result = combine(result, a[l], i->n, i->flags & PTX_INSN_FLAG_C);
		PTX_EACH_ACTIVE(l, g.lanes)
		values[l] = result;
	}
	store_32(PTX_REG(uint32_t, i->dst), values, w->mask);
	return i + 1;
}

PTX_HANDLER(elect)
{
	uint32_t values[PTX_LANES] = {0}, leaders = 0;

	if (must_wait(i, regs, w))
		return NULL;
	EACH_GROUP(g)
	{
		uint32_t leader = g.members ? (uint32_t)__builtin_ctz(g.members) : 0;

		leaders |= 1u << leader;
		PTX_EACH_ACTIVE(l, g.lanes)
		values[l] = leader;
	}
	store_32(PTX_REG(uint32_t, i->dst), values, w->mask);
	store_mask(PTX_REG(uint32_t, i->list[0]), leaders, w->mask);
	return i + 1;
}

PTX_HANDLER(warp_sync)
{
	return must_wait(i, regs, w) ? NULL : i + 1;
}

PTX_HANDLER(barrier)
{
	uint32_t lane = (uint32_t)__builtin_ctz(w->mask);
	struct ptx_barrier_request request = {
		.id = PTX_REG(const uint32_t, i->a)[lane],
		.wait = i->n != PTX_BAR_ARRIVE,
		.reduce = i->n >= PTX_BAR_POPC,
	};

	if (request.id >= PTX_BARRIERS)
		return ptx_fault(w, i, PTX_FAULT_TRAP, lane, 0, "barrier %u does not exist",
				 request.id);
	if (i->flags & PTX_INSN_FLAG_A)
		request.expected = PTX_REG(const uint32_t, i->b)[lane];
	if (request.reduce)
		request.predicate = PTX_MASK(i->c);
	return ptx_barrier_arrive(w, i, &request) ? i + 1 : NULL;
}

PTX_HANDLER(nanosleep)
{
	(void)regs;
	return ptx_warp_stop(w, i + 1, PTX_EVENT_YIELD);
}

PTX_HANDLER(activemask)
{
	uint32_t *d = PTX_REG(uint32_t, i->dst);

	PTX_EACH_LANE
	d[l] = w->mask;
	return i + 1;
}

PTX_HANDLER(read_special_32)
{
	uint32_t *d = PTX_REG(uint32_t, i->dst);
	uint32_t value = (uint32_t)ptx_special_value(w, (enum ptx_special)i->imm, 0);

	PTX_EACH_LANE
	d[l] = value;
	return i + 1;
}

PTX_HANDLER(read_special_64)
{
	uint64_t *d = PTX_REG(uint64_t, i->dst);
	uint64_t value = ptx_special_value(w, (enum ptx_special)i->imm, 0);

	PTX_EACH_LANE
	d[l] = value;
	return i + 1;
}

/* 128-bit registers */

PTX_HANDLER(mov_128)
{
	(void)w;
	memmove(regs + i->dst, regs + i->a, 16 * PTX_LANES);
	return i + 1;
}

PTX_HANDLER(join_128)
{
	(void)w;
	memcpy(regs + i->dst, regs + i->a, 8 * PTX_LANES);
	memcpy(regs + i->dst + 8 * PTX_LANES, regs + i->b, 8 * PTX_LANES);
	return i + 1;
}

PTX_HANDLER(low_128)
{
	(void)w;
	memcpy(regs + i->dst, regs + i->a, 8 * PTX_LANES);
	return i + 1;
}

PTX_HANDLER(high_128)
{
	(void)w;
	memcpy(regs + i->dst, regs + i->a + 8 * PTX_LANES, 8 * PTX_LANES);
	return i + 1;
}

void
PTX_ISA_NAME(ptx_exec_warp)(ptx_exec_fn *table)
{
#define ENTER(name) table[PTX_H_##name] = exec_##name;
	ENTER(shfl)
	ENTER(vote)
	ENTER(match)
	ENTER(redux)
	ENTER(elect)
	ENTER(warp_sync)
	ENTER(barrier)
	ENTER(nanosleep)
	ENTER(activemask)
	ENTER(read_special_32)
	ENTER(read_special_64)
	ENTER(mov_128)
	ENTER(join_128)
	ENTER(low_128)
	ENTER(high_128)
}
