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

/* Tensors */

struct box {
	const struct ptx_tensor_map *map;
	int32_t at[PTX_TENSOR_RANK];
	uint32_t count[PTX_TENSOR_RANK]; /* elements in each dimension */
	uint32_t elements;
};

/* 16-byte pieces change places by the rows of 128 bytes that they lie in. */
static uint64_t
swizzled(const struct ptx_tensor_map *map, uint64_t address)
{
	static const uint8_t bits[] = {0, 1, 3, 7};

	return address ^ (address >> 7 & bits[map->swizzle & 3]) << 4;
}

static void
describe_box(struct box *box)
{
	const struct ptx_tensor_map *map = box->map;

	box->elements = 1;
	for (int d = 0; d < map->rank; d++) {
		uint32_t step = map->step[d] ? map->step[d] : 1;

		box->count[d] = (map->box[d] + step - 1) / step;
		box->elements *= box->count[d];
	}
}

/* The address of element @n of the box; 0: outside of the tensor. */
static uint64_t
element_address(const struct box *box, uint32_t n)
{
	const struct ptx_tensor_map *map = box->map;
	uint64_t address = map->address;

	for (int d = 0; d < map->rank; d++) {
		uint32_t step = map->step[d] ? map->step[d] : 1;
		int64_t c = box->at[d] + (int64_t)(n % box->count[d]) * step;

		n /= box->count[d];
		if (c < 0 || c > map->last[d])
			return 0;
		address += (uint64_t)c * (d ? map->stride[d - 1] : map->element);
	}
	return address;
}

static uint64_t
outside_value(const struct ptx_tensor_map *map)
{
	switch (map->fill) {
	case 2:
		return map->bfloat ? 0x7fc0 : 0x7fff;
	case 4:
		return 0x7fffffff;
	case 8:
		return 0x7fffffffffffffff;
	default:
		return 0;
	}
}

PTX_UNCHECKED static uint64_t
read_element(uint64_t address, uint32_t size)
{
	const uint8_t *p = (const uint8_t *)(uintptr_t)address;
	uint64_t value = 0;

	for (uint32_t k = 0; k < size; k++)
		value |= (uint64_t)p[k] << 8 * k;
	return value;
}

PTX_UNCHECKED static void
write_element(uint64_t address, uint32_t size, uint64_t value)
{
	uint8_t *p = (uint8_t *)(uintptr_t)address;

	for (uint32_t k = 0; k < size; k++)
		p[k] = (uint8_t)(value >> 8 * k);
}

static void
arrive_bytes(uint64_t address, uint32_t bytes)
{
	uint8_t *p = (uint8_t *)(uintptr_t)address;
	struct mbarrier b = unpack(read_64(p));

	b.bytes -= (int32_t)bytes;
	next_phase_if_complete(&b);
	write_64(p, pack(&b));
}

static void
load_box(const struct box *box, uint64_t shared)
{
	uint32_t size = box->map->element;

	for (uint32_t n = 0; n < box->elements; n++) {
		uint64_t from = element_address(box, n);
		uint64_t value = from ? read_element(from, size) : outside_value(box->map);

		write_element(swizzled(box->map, shared + (uint64_t)n * size), size, value);
	}
}

static void
store_box(const struct box *box, uint64_t shared)
{
	uint32_t size = box->map->element;

	for (uint32_t n = 0; n < box->elements; n++) {
		uint64_t to = element_address(box, n);

		if (to)
			write_element(to, size,
				      read_element(swizzled(box->map, shared + (uint64_t)n * size),
						   size));
	}
}

/* Does the block have so much shared memory from there on? */
static int
in_shared(const struct ptx_warp *w, uint64_t address, uint64_t bytes)
{
	for (uint32_t k = 0; k < w->block->cluster->size; k++) {
		const struct ptx_block *block = w->block->cluster->blocks[k];
		uint64_t offset = address - (uintptr_t)block->shared;

		if (offset < block->shared_size && bytes <= block->shared_size - offset)
			return 1;
	}
	return 0;
}

PTX_HANDLER(tensor_copy)
{
	const struct ptx_tensor_copy *copy = i->data;
	const uint32_t *r = copy->regs;

	w->pc = i;
	PTX_EACH_ACTIVE(l, w->mask)
	{
		uint64_t place = PTX_REG(const uint64_t, r[0])[l];
		uint64_t shared = PTX_REG(const uint64_t, r[1])[l], barrier = 0;
		uint32_t blocks = 1, bytes;
		struct ptx_tensor_map map;
		struct box box = {.map = &map};

		if (place & 63)
			return ptx_fault(w, i, PTX_FAULT_MISALIGNED, l, place,
					 "a tensor map at 0x%llx", (unsigned long long)place);
		for (uint32_t k = 0; k < sizeof(map) / 8; k++)
			((uint64_t *)(void *)&map)[k] = read_element(place + 8 * k, 8);
		if (map.magic != PTX_TENSOR_MAGIC || map.rank != copy->dimensions ||
		    map.element > 8)
			return ptx_fault(w, i, PTX_FAULT_TRAP, l, place,
					 "no tensor map of %u dimensions at 0x%llx",
					 copy->dimensions, (unsigned long long)place);
		for (int d = 0; d < map.rank; d++)
			box.at[d] = PTX_REG(const int32_t, r[2 + d])[l];
		describe_box(&box);
		bytes = box.elements * map.element;
		if (shared & 127 || !in_shared(w, shared, bytes))
			return ptx_fault(w, i,
					 shared & 127 ? PTX_FAULT_MISALIGNED : PTX_FAULT_ADDRESS, l,
					 shared, "a tensor's box of %u bytes at 0x%llx", bytes,
					 (unsigned long long)shared);
		/* not documented; an H200 says so of loads and stores alike */
		if ((uint32_t)box.at[0] * map.element % 16)
			return ptx_fault(w, i, PTX_FAULT_INSTRUCTION, l, place,
					 "a tensor's box at element %d of %u bytes: not at 16 "
					 "bytes",
					 box.at[0], map.element);
		if (copy->store) {
			store_box(&box, shared);
			continue;
		}
		barrier = PTX_REG(const uint64_t, r[2 + map.rank])[l];
		if (!in_shared(w, barrier, 8))
			return ptx_fault(w, i, PTX_FAULT_ADDRESS, l, barrier, "a barrier at 0x%llx",
					 (unsigned long long)barrier);
		if (!copy->multicast) {
			load_box(&box, shared);
			arrive_bytes(barrier, bytes);
			continue;
		}
		blocks = PTX_REG(const uint32_t, r[3 + map.rank])[l] & 0xffff;
		for (uint32_t rank = 0; rank < w->block->cluster->size; rank++) {
			uint64_t to = ptx_cluster_map_64(w, shared, rank);
			uint64_t tell = ptx_cluster_map_64(w, barrier, rank);

			if (!(blocks >> rank & 1) || !to || !tell)
				continue;
			load_box(&box, to);
			arrive_bytes(tell, bytes);
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
	ENTER(tensor_copy)
	ENTER(cluster_barrier)
	ENTER(cluster_address)
	ENTER(mapa_32)
	ENTER(mapa_64)
	ENTER(ctarank_32)
	ENTER(ctarank_64)
}
