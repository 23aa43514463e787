/* Instructions of checked code: looked at first, then executed as ever. See check.h. */
#include "remote/device_cpu/ptx/check.h"
#include "remote/device_cpu/ptx/exec_memory.h"

static uint64_t
address_of(const struct ptx_access *access, const uint8_t *regs, uint32_t l)
{
	uint64_t wide;
	uint32_t narrow;

	if (access->way == PTX_BY_ADDRESS) {
		memcpy(&wide, regs + access->place + 8 * l, sizeof(wide));
		return wide + (uint64_t)(int64_t)access->offset;
	}
	memcpy(&narrow, regs + access->place + 4 * l, sizeof(narrow));
	return narrow + (uint32_t)access->offset;
}

/* Whether the lane's access is inside of the block's shared memory, and where. */
static int
is_shared(const struct ptx_warp *w, const struct ptx_access *access, uint64_t address,
	  uint64_t *ret_offset)
{
	uint64_t base = (uintptr_t)w->block->shared;

	*ret_offset = access->way == PTX_BY_ADDRESS ? address - base : address;
	return !access->parameter && *ret_offset < w->block->shared_size;
}

/* 1: go on; 0: the fault is reported. */
static int
look_at(const struct ptx_insn *i, const uint8_t *regs, struct ptx_warp *w, uint32_t mask,
	const struct ptx_access *access)
{
	PTX_EACH_ACTIVE(l, mask)
	{
		uint64_t address = address_of(access, regs, l), offset;
		uint32_t bytes = access->bytes;
		char what[96];

		if (i->op == PTX_H_cp_async && access->reads) {
			uint32_t count = PTX_REG(const uint32_t, i->c)[l];

			bytes = count < i->n ? count : i->n;
		}
		if (is_shared(w, access, address, &offset)) {
			if (w->block->race)
				ptx_race_touch(w, i, l, offset, access, regs);
			continue;
		}
		/* a misaligned one is the instruction's own business */
		if (access->way == PTX_BY_ADDRESS && bytes &&
		    ptx_check_flags() & PTX_CHECK_BOUNDS &&
		    !ptx_bounds_allow(address, bytes, what, sizeof(what))) {
			w->pc = i;
			ptx_fault(w, i, PTX_FAULT_ADDRESS, l, address,
				  "%s of %u bytes at 0x%llx: %s",
				  access->atomic   ? "atomic"
				  : access->writes ? "store"
						   : "load",
				  bytes, (unsigned long long)address, what);
			return 0;
		}
	}
	return 1;
}

static uint64_t
mbarrier_address(const struct ptx_insn *i, const uint8_t *regs, const struct ptx_warp *w,
		 uint32_t l)
{
	int way = i->flags & PTX_INSN_FLAG_C ? PTX_BY_ADDRESS : PTX_BY_WINDOW;
	uint64_t address = ptx_lane_address(i, regs, i->a, i->offset, way, l);

	return way == PTX_BY_WINDOW ? address + (uintptr_t)w->block->shared : address;
}

static const struct ptx_insn *
execute(const struct ptx_insn *i, uint8_t *regs, struct ptx_warp *w)
{
	/* the handler without a number looks at the guard first */
	return ptx_handler_table[i->guard ? PTX_H_NONE : i->op](i, regs, w);
}

PTX_HANDLER(checked)
{
	enum ptx_check_kind kind = ptx_check_kind_of(i->op);
	struct ptx_access accesses[2];
	const struct ptx_insn *next;
	uint32_t mask = w->mask;
	int n;

	if (i->guard) {
		uint32_t guard = PTX_MASK(i->guard);

		mask &= i->flags & PTX_INSN_NEGATE ? ~guard : guard;
	}
	if (kind == PTX_CHECK_MEMORY) {
		n = ptx_check_accesses(i, accesses);
		for (int k = 0; k < n; k++)
			if (!look_at(i, regs, w, mask, &accesses[k]))
				return NULL;
		return execute(i, regs, w);
	}
	if (!w->block->race || !mask)
		return execute(i, regs, w);
	if (kind == PTX_CHECK_ARRIVE && i->n != PTX_MBAR_INIT)
		PTX_EACH_ACTIVE(l, mask)
	ptx_race_mbarrier_arrived(w, mbarrier_address(i, regs, w, l));
	next = execute(i, regs, w);
	if (kind == PTX_CHECK_SYNC && next)
		ptx_race_warp_synced(w);
	if (kind == PTX_CHECK_WAIT)
		PTX_EACH_ACTIVE(l, PTX_MASK(i->dst) & mask)
	ptx_race_mbarrier_passed(w, mbarrier_address(i, regs, w, l));
	return next;
}

void
PTX_ISA_NAME(ptx_exec_check)(ptx_exec_fn *table)
{
	table[PTX_H_checked] = exec_checked;
}
