/* Control flow, and instructions under a guard, a mask or another rounding mode. */
#include <fenv.h>

#include "remote/device_cpu/ptx/exec_lanes.h"

/* Loops give other warps and blocks a turn now and then: they may be what a loop waits for. */
static inline const struct ptx_insn *
jump(const struct ptx_insn *i, const struct ptx_insn *target, struct ptx_warp *w)
{
	if ((i->flags & PTX_INSN_FLAG_A) && __builtin_expect(--w->budget == 0, 0))
		return ptx_warp_stop(w, target, PTX_EVENT_YIELD);
	return target;
}

PTX_HANDLER(bra)
{
	(void)regs;
	return jump(i, i->target, w);
}

PTX_HANDLER(bra_if)
{
	uint32_t taken = PTX_MASK(i->a);

	if (i->flags & PTX_INSN_NEGATE)
		taken = ~taken;
	taken &= w->mask;
	if (taken == w->mask)
		return jump(i, i->target, w);
	if (!taken)
		return i + 1;
	if (i->guard) /* w->mask is not the fragment's */
		return ptx_warp_split(w, taken, i->target, i + 1);
	return ptx_warp_branch(w, taken, i->target, i + 1);
}

PTX_HANDLER(brx)
{
	const struct ptx_insn *const *targets = i->data;
	const uint32_t *index = PTX_REG(const uint32_t, i->a);
	uint32_t first = index[__builtin_ctz(w->mask)], same = 0;

	PTX_EACH_ACTIVE(l, w->mask)
	same |= index[l] == first ? 1u << l : 0;
	if (first >= i->c)
		return ptx_fault(w, i, PTX_FAULT_TRAP, (uint32_t)__builtin_ctz(same), first,
				 "brx.idx to target %u of %u", first, i->c);
	if (same == w->mask) {
		/* its targets may be backward: count them all */
		if (__builtin_expect(--w->budget == 0, 0))
			return ptx_warp_stop(w, targets[first], PTX_EVENT_YIELD);
		return targets[first];
	}
	/* The others come here again. */
	return ptx_warp_split(w, same, targets[first], i);
}

PTX_HANDLER(call)
{
	(void)regs;
	return ptx_warp_call(w, i);
}

PTX_HANDLER(ret)
{
	(void)regs;
	(void)i;
	return ptx_warp_return(w);
}

PTX_HANDLER(exit)
{
	(void)regs;
	return ptx_warp_exit(w, w->mask, i + 1);
}

PTX_HANDLER(trap)
{
	(void)regs;
	return ptx_fault(w, i, PTX_FAULT_TRAP, (uint32_t)__builtin_ctz(w->mask), 0, "trap");
}

PTX_HANDLER(unsupported)
{
	(void)regs;
	return ptx_fault(w, i, PTX_FAULT_UNSUPPORTED, (uint32_t)__builtin_ctz(w->mask), 0,
			 "%s is not supported by the CPU device", (const char *)i->data);
}

PTX_HANDLER(nop)
{
	(void)regs;
	(void)w;
	return i + 1;
}

static void
set_rounding(enum ptx_round round)
{
	static const int modes[] = {
		[PTX_ROUND_RN] = FE_TONEAREST,
		[PTX_ROUND_RZ] = FE_TOWARDZERO,
		[PTX_ROUND_RM] = FE_DOWNWARD,
		[PTX_ROUND_RP] = FE_UPWARD,
	};

	fesetround(modes[round]);
}

/* A pure instruction for all lanes, in its rounding mode. */
static inline void
run_pure(const struct ptx_insn *i, uint8_t *regs, struct ptx_warp *w)
{
	enum ptx_round round = (i->flags & PTX_INSN_ROUND) >> PTX_INSN_ROUND_SHIFT;

	if (round == PTX_ROUND_RN) {
		ptx_handler_table[i->op](i, regs, w);
		return;
	}
	set_rounding(round);
	ptx_handler_table[i->op](i, regs, w);
	set_rounding(PTX_ROUND_RN);
}

/* Takes the lanes of @mask from the scratch area at the beginning of the frame. */
static inline void
blend(uint8_t *regs, uint32_t dst, int size, uint32_t mask)
{
	switch (size) {
	case 0:
		PTX_MASK(dst) = (PTX_MASK(dst) & ~mask) | (PTX_MASK(0) & mask);
		break;
	case 2: {
		uint16_t *d = PTX_REG(uint16_t, dst);
		const uint16_t *s = PTX_REG(const uint16_t, 0);

		PTX_EACH_LANE
		d[l] = mask >> l & 1 ? s[l] : d[l];
		break;
	}
	case 4: {
		uint32_t *d = PTX_REG(uint32_t, dst);
		const uint32_t *s = PTX_REG(const uint32_t, 0);

		PTX_EACH_LANE
		d[l] = mask >> l & 1 ? s[l] : d[l];
		break;
	}
	default:
		for (int half = 0; half < (size == 16 ? 2 : 1); half++) {
			uint64_t *d = PTX_REG(uint64_t, dst) + half * PTX_LANES;
			const uint64_t *s = PTX_REG(const uint64_t, 0) + half * PTX_LANES;

			PTX_EACH_LANE
			d[l] = mask >> l & 1 ? s[l] : d[l];
		}
		break;
	}
}

static inline void
run_masked(const struct ptx_insn *i, uint8_t *regs, struct ptx_warp *w, uint32_t mask)
{
	struct ptx_insn to_scratch = *i;

	to_scratch.dst = 0;
	run_pure(&to_scratch, regs, w);
	blend(regs, i->dst, i->n, mask);
}

static inline uint32_t
guarded_mask(const struct ptx_insn *i, uint8_t *regs, const struct ptx_warp *w)
{
	uint32_t guard;

	if (!i->guard)
		return w->mask;
	guard = PTX_MASK(i->guard);
	return w->mask & (i->flags & PTX_INSN_NEGATE ? ~guard : guard);
}

/* Pure instructions while the warp is diverged. */
PTX_HANDLER(masked)
{
	uint32_t mask = guarded_mask(i, regs, w);

	if (mask)
		run_masked(i, regs, w, mask);
	return i + 1;
}

/* Instructions with a guard or a rounding mode. */
PTX_HANDLER(guarded)
{
	uint32_t mask = guarded_mask(i, regs, w), active = w->mask;

	if (!mask)
		return i + 1;
	if (i->flags & PTX_INSN_PURE) {
		if (mask == active)
			run_pure(i, regs, w);
		else
			run_masked(i, regs, w, mask);
		return i + 1;
	}
	w->mask = mask;
	const struct ptx_insn *next = ptx_handler_table[i->op](i, regs, w);

	w->mask = active;
	return next;
}

void
PTX_ISA_NAME(ptx_exec_flow)(ptx_exec_fn *table)
{
#define ENTER(name) table[PTX_H_##name] = exec_##name;
	ENTER(bra)
	ENTER(bra_if)
	ENTER(brx)
	ENTER(call)
	ENTER(ret)
	ENTER(exit)
	ENTER(trap)
	ENTER(unsupported)
	ENTER(nop)
	ENTER(masked)
	table[PTX_H_NONE] = exec_guarded;
}
