/*
 * Barriers in shared memory (mbarrier), copies that report to them, and clusters. A copy is done
 * when its instruction is executed, so waiting only ever waits for other threads.
 *
 * A barrier's 64 bits: how many arrivals a phase needs, how many are still missing, how many bytes
 * are still to come, and the phase's parity.
 */
#include "remote/device_cpu/ptx/exec_memory.h"

enum {
	COUNT_BITS = 20,
	COUNT_MASK = (1 << COUNT_BITS) - 1,
	TX_SHIFT = 2 * COUNT_BITS,
	TX_BITS = 23
};

struct mbarrier {
	uint32_t expected, missing;
	int32_t bytes;
	uint32_t phase;
};

static struct mbarrier
unpack(uint64_t bits)
{
	return (struct mbarrier){
		.expected = bits & COUNT_MASK,
		.missing = bits >> COUNT_BITS & COUNT_MASK,
		.bytes = (int32_t)((int64_t)(bits << 1) >> (TX_SHIFT + 1)),
		.phase = (uint32_t)(bits >> 63),
	};
}

static uint64_t
pack(const struct mbarrier *b)
{
	uint64_t bytes = (uint64_t)(int64_t)b->bytes & ((1ull << TX_BITS) - 1);

	return (b->expected & COUNT_MASK) | (uint64_t)(b->missing & COUNT_MASK) << COUNT_BITS |
	       bytes << TX_SHIFT | (uint64_t)b->phase << 63;
}

static void
next_phase_if_complete(struct mbarrier *b)
{
	if (b->missing || b->bytes)
		return;
	b->phase ^= 1;
	b->missing = b->expected;
}

/* Which way the address goes: FLAG_C says generic. */
static int
way_of(const struct ptx_insn *i)
{
	return i->flags & PTX_INSN_FLAG_C ? PTX_BY_ADDRESS : PTX_BY_WINDOW;
}

PTX_UNCHECKED static uint64_t
read_64(const uint8_t *p)
{
	return *(const volatile uint64_t *)(const void *)p;
}

PTX_UNCHECKED static void
write_64(uint8_t *p, uint64_t value)
{
	*(volatile uint64_t *)(void *)p = value;
}

/* One lane's barrier, or the handler returns with the fault. */
#define BARRIER(p, l)                                                                              \
	uint64_t address_ = ptx_lane_address(i, regs, i->a, i->offset, way_of(i), l);              \
	uint8_t *p = ptx_lane_pointer(i, w, way_of(i), address_, l, 8);                            \
	if (!p || (address_ & 7))                                                                  \
	return ptx_memory_fault(w, i, way_of(i), l, address_, 8)

/* b: a count of arrivals or bytes; n: what to do; FLAG_B: the state before goes to dst. */
PTX_HANDLER(mbarrier)
{
	w->pc = i;
	PTX_EACH_ACTIVE(l, w->mask)
	{
		uint32_t value = PTX_REG(const uint32_t, i->b)[l];

		BARRIER(p, l);
		uint64_t before = read_64(p);
		struct mbarrier b = unpack(before);

		switch (i->n) {
		case PTX_MBAR_INIT:
			b = (struct mbarrier){.expected = value, .missing = value};
			break;
		case PTX_MBAR_ARRIVE:
			b.missing -= value < b.missing ? value : b.missing;
			next_phase_if_complete(&b);
			break;
		case PTX_MBAR_ARRIVE_DROP:
			b.missing -= value < b.missing ? value : b.missing;
			b.expected -= value < b.expected ? value : b.expected;
			next_phase_if_complete(&b);
			break;
		case PTX_MBAR_ARRIVE_EXPECT:
			b.bytes += (int32_t)value;
			b.missing -= b.missing ? 1 : 0;
			next_phase_if_complete(&b);
			break;
		case PTX_MBAR_EXPECT:
			b.bytes += (int32_t)value;
			break;
		case PTX_MBAR_COMPLETE:
			b.bytes -= (int32_t)value;
			next_phase_if_complete(&b);
			break;
		default:
			break;
		}
		write_64(p, pack(&b));
		if (i->flags & PTX_INSN_FLAG_B)
			PTX_REG(uint64_t, i->dst)[l] = before;
	}
	return i + 1;
}

/* dst: whether the phase of state b, or of parity b (FLAG_D), is over. FLAG_B: try_wait. */
PTX_HANDLER(mbarrier_wait)
{
	uint32_t done = 0;

	w->pc = i;
	PTX_EACH_ACTIVE(l, w->mask)
	{
		uint32_t phase = i->flags & PTX_INSN_FLAG_D
					 ? PTX_REG(const uint32_t, i->b)[l] & 1
					 : unpack(PTX_REG(const uint64_t, i->b)[l]).phase;

		BARRIER(p, l);
		if (unpack(read_64(p)).phase != phase)
			done |= 1u << l;
	}
	PTX_MASK(i->dst) = (PTX_MASK(i->dst) & ~w->mask) | done;
	/* Somebody who has to wait lets the others run. */
	if ((i->flags & PTX_INSN_FLAG_B) && done != w->mask)
		return ptx_warp_stop(w, i + 1, PTX_EVENT_YIELD);
	return i + 1;
}

/*
 * Copies c bytes from the generic address b to the generic address a, then tells the barrier at
 * the generic address d, if there is one (FLAG_B).
 */
PTX_UNCHECKED
PTX_HANDLER(bulk_copy)
{
	w->pc = i;
	PTX_EACH_ACTIVE(l, w->mask)
	{
		uint64_t to = PTX_REG(const uint64_t, i->a)[l];
		uint64_t from = PTX_REG(const uint64_t, i->b)[l];
		uint32_t size = PTX_REG(const uint32_t, i->c)[l];
		volatile uint64_t *t = (volatile uint64_t *)(uintptr_t)to;
		const volatile uint64_t *f = (const volatile uint64_t *)(uintptr_t)from;

		if ((to | from | size) & 15)
			return ptx_fault(w, i, PTX_FAULT_MISALIGNED, l, to & 15 ? to : from,
					 "a bulk copy of %u bytes from 0x%llx to 0x%llx", size,
					 (unsigned long long)from, (unsigned long long)to);
		for (uint32_t k = 0; k < size / 8; k++)
			t[k] = f[k];
		if (i->flags & PTX_INSN_FLAG_B) {
			uint8_t *p = (uint8_t *)(uintptr_t)PTX_REG(const uint64_t, i->d)[l];
			struct mbarrier b = unpack(read_64(p));

			b.bytes -= (int32_t)size;
			next_phase_if_complete(&b);
			write_64(p, pack(&b));
		}
	}
	return i + 1;
}

/* Clusters */

PTX_HANDLER(cluster_barrier)
{
	(void)regs;
	return ptx_cluster_barrier(w, i, i->n) ? i + 1 : NULL;
}

PTX_HANDLER(cluster_address)
{
	const uint32_t *a = PTX_REG(const uint32_t, i->a);
	uint64_t values[PTX_LANES];

	for (int l = 0; l < PTX_LANES; l++)
		values[l] = ptx_cluster_address(w, a[l]);
	memcpy(regs + i->dst, values, sizeof(values));
	return i + 1;
}

PTX_HANDLER(mapa_32)
{
	const uint32_t *a = PTX_REG(const uint32_t, i->a), *b = PTX_REG(const uint32_t, i->b);
	uint32_t *d = PTX_REG(uint32_t, i->dst);

	for (int l = 0; l < PTX_LANES; l++)
		d[l] = ptx_cluster_map_32(w, a[l], b[l]);
	return i + 1;
}

PTX_HANDLER(mapa_64)
{
	const uint64_t *a = PTX_REG(const uint64_t, i->a);
	const uint32_t *b = PTX_REG(const uint32_t, i->b);
	uint64_t *d = PTX_REG(uint64_t, i->dst);

	for (int l = 0; l < PTX_LANES; l++)
		d[l] = ptx_cluster_map_64(w, a[l], b[l]);
	return i + 1;
}

PTX_HANDLER(ctarank_32)
{
	const uint32_t *a = PTX_REG(const uint32_t, i->a);
	uint32_t *d = PTX_REG(uint32_t, i->dst);

	for (int l = 0; l < PTX_LANES; l++)
		d[l] = ptx_cluster_rank_of(w, ptx_cluster_address(w, a[l]));
	return i + 1;
}

PTX_HANDLER(ctarank_64)
{
	const uint64_t *a = PTX_REG(const uint64_t, i->a);
	uint32_t values[PTX_LANES];

	for (int l = 0; l < PTX_LANES; l++)
		values[l] = ptx_cluster_rank_of(w, a[l]);
	memcpy(regs + i->dst, values, sizeof(values));
	return i + 1;
}

void
PTX_ISA_NAME(ptx_exec_sync)(ptx_exec_fn *table)
{
#define ENTER(name) table[PTX_H_##name] = exec_##name;
	ENTER(mbarrier)
	ENTER(mbarrier_wait)
	ENTER(bulk_copy)
	ENTER(cluster_barrier)
	ENTER(cluster_address)
	ENTER(mapa_32)
	ENTER(mapa_64)
	ENTER(ctarank_32)
	ENTER(ctarank_64)
}
