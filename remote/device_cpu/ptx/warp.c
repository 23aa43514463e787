/* Running a warp: choosing among its fragments, splitting and merging them, calls. */
#include <string.h>

#include "remote/device_cpu/ptx/exec.h"
#include "remote/device_cpu/ptx/thread.h"

enum { NOBODY = UINT32_MAX };

static struct ptx_fragment *
current(struct ptx_warp *w)
{
	return &w->fragments[w->current];
}

static void
remove_fragment(struct ptx_warp *w, uint32_t index)
{
	w->fragments[index] = w->fragments[--w->nfragments];
}

/* Deeper frames go first, then earlier instructions. */
static int
goes_before(const struct ptx_fragment *a, const struct ptx_fragment *b)
{
	if (a->frame != b->frame && a->frame->depth != b->frame->depth)
		return a->frame->depth > b->frame->depth;
	return a->pc < b->pc;
}

static uint32_t
choose_ready(const struct ptx_warp *w, int behind)
{
	uint32_t best = NOBODY;

	for (uint32_t k = 0; k < w->nfragments; k++) {
		const struct ptx_fragment *f = &w->fragments[k];

		if (f->state != PTX_READY || (f->behind && !behind))
			continue;
		if (best == NOBODY || goes_before(f, &w->fragments[best]))
			best = k;
	}
	return best;
}

/* Fragments at the same instruction of the same frame become one. */
static uint32_t
merge_into(struct ptx_warp *w, uint32_t index)
{
	for (uint32_t k = 0; k < w->nfragments;) {
		struct ptx_fragment *f = &w->fragments[k], *to = &w->fragments[index];

		if (k == index || f->frame != to->frame || f->pc != to->pc ||
		    (f->state != PTX_READY && f->state != PTX_WAIT_WARP)) {
			k++;
			continue;
		}
		to->mask |= f->mask;
		to->released &= f->released;
		/* the last one moves to k */
		if (index == w->nfragments - 1)
			index = k;
		remove_fragment(w, k);
	}
	return index;
}

static uint32_t
choose(struct ptx_warp *w)
{
	if (w->nfragments == 1 && w->fragments[0].state == PTX_READY)
		return 0;

	uint32_t index = choose_ready(w, 0);

	if (index == NOBODY) {
		index = choose_ready(w, 1);
		if (index == NOBODY)
			return NOBODY;
		for (uint32_t k = 0; k < w->nfragments; k++)
			w->fragments[k].behind = 0;
	}
	return w->nfragments > 1 ? merge_into(w, index) : index;
}

/* The first instruction after the running fragment's where another one of its frame is. */
static const struct ptx_insn *
meeting_point(const struct ptx_warp *w)
{
	const struct ptx_fragment *cur = &w->fragments[w->current];
	const struct ptx_insn *limit = cur->frame->code->insns + cur->frame->code->ninsns;

	for (uint32_t k = 0; k < w->nfragments; k++) {
		const struct ptx_fragment *f = &w->fragments[k];

		if (f->frame == cur->frame && f->state <= PTX_WAIT_WARP && f->pc > cur->pc &&
		    f->pc < limit)
			limit = f->pc;
	}
	return limit;
}

static void
run_converged(struct ptx_warp *w)
{
	const struct ptx_insn *pc = current(w)->pc;
	uint8_t *regs = w->frame->regs;

	do {
		pc = pc->exec(pc, regs, w);
	} while (pc);
}

static void
run_diverged(struct ptx_warp *w)
{
	const struct ptx_insn *pc = current(w)->pc, *limit = meeting_point(w);
	const ptx_exec_fn masked = ptx_handler_table[PTX_H_masked];
	uint8_t *regs = w->frame->regs;

	do {
		if (pc->flags & PTX_INSN_PURE)
			pc = masked(pc, regs, w);
		else
			pc = pc->exec(pc, regs, w);
	} while (pc && pc < limit);
	if (pc)
		ptx_warp_stop(w, pc, PTX_EVENT_SWITCH);
}

enum ptx_event
ptx_warp_run(struct ptx_warp *w)
{
	ptx_thread.warp = w;
	w->budget = PTX_BUDGET;
	for (;;) {
		uint32_t index = choose(w);

		if (index == NOBODY)
			return w->nfragments ? PTX_EVENT_BLOCKED : PTX_EVENT_NONE;
		w->current = index;

		struct ptx_fragment *f = &w->fragments[index];

		w->mask = f->mask;
		w->frame = f->frame;
		w->event = PTX_EVENT_NONE;
		if (f->mask == f->frame->live)
			run_converged(w);
		else
			run_diverged(w);
		switch (w->event) {
		case PTX_EVENT_NONE:
		case PTX_EVENT_SWITCH:
		case PTX_EVENT_BLOCKED:
			break;
		case PTX_EVENT_YIELD:
			current(w)->behind = 1;
			return PTX_EVENT_YIELD;
		case PTX_EVENT_FAULT:
			return PTX_EVENT_FAULT;
		}
	}
}

void
ptx_warp_begin(struct ptx_warp *w, uint32_t lanes)
{
	w->live = lanes;
	w->nfragments = 1;
	w->fragments[0] = (struct ptx_fragment){
		.frame = w->root,
		.pc = w->root->code->insns,
		.mask = lanes,
	};
	w->root->live = lanes;
	memset(w->arrived, 0, sizeof(w->arrived));
	w->cluster_arrived = 0;
}

const struct ptx_insn *
ptx_warp_stop(struct ptx_warp *w, const struct ptx_insn *resume, enum ptx_event event)
{
	current(w)->pc = resume;
	w->event = event;
	return NULL;
}

/* A fragment that waits for its turn at @pc of the running one's frame, or NULL. */
static struct ptx_fragment *
waiting_at(struct ptx_warp *w, const struct ptx_insn *pc)
{
	const struct ptx_fragment *cur = current(w);

	for (uint32_t k = 0; k < w->nfragments; k++) {
		struct ptx_fragment *f = &w->fragments[k];

		if (k != w->current && f->pc == pc && f->frame == cur->frame &&
		    f->state == PTX_READY && !f->behind && !f->released)
			return f;
	}
	return NULL;
}

const struct ptx_insn *
ptx_warp_split(struct ptx_warp *w, uint32_t taken, const struct ptx_insn *target,
	       const struct ptx_insn *next)
{
	struct ptx_fragment *f = current(w);

	/* Masks are disjoint, so there are never more fragments than lanes. */
	w->fragments[w->nfragments++] = (struct ptx_fragment){
		.frame = f->frame,
		.pc = next,
		.mask = f->mask & ~taken,
	};
	f->mask = taken;
	f->pc = target;
	w->event = PTX_EVENT_SWITCH;
	return NULL;
}

const struct ptx_insn *
ptx_warp_branch(struct ptx_warp *w, uint32_t taken, const struct ptx_insn *target,
		const struct ptx_insn *next)
{
	/* The first of the two comes first, so the others join those who wait at the second. */
	const struct ptx_insn *first = target < next ? target : next;
	struct ptx_fragment *f = current(w), *at = waiting_at(w, first == next ? target : next);

	if (!at || f->released || w->mask != f->mask)
		return ptx_warp_split(w, taken, target, next);
	f->mask = first == target ? taken : f->mask & ~taken;
	at->mask |= w->mask & ~f->mask;
	w->mask = f->mask;
	return first;
}

/* Waiting */

/* Lets fragments go on whose lanes have all come, or will never come. */
static void
release_waiting(struct ptx_warp *w)
{
	uint32_t waiting = 0;

	for (uint32_t k = 0; k < w->nfragments; k++)
		if (w->fragments[k].state == PTX_WAIT_WARP)
			waiting |= w->fragments[k].mask;
	for (uint32_t k = 0; k < w->nfragments; k++) {
		struct ptx_fragment *f = &w->fragments[k];

		if (f->state == PTX_WAIT_WARP && !(f->sync_mask & w->live & ~waiting)) {
			f->state = PTX_READY;
			f->released = 1;
		}
	}
}

int
ptx_warp_gather(struct ptx_warp *w, const struct ptx_insn *insn, uint32_t mask)
{
	struct ptx_fragment *f = current(w);

	/* All lanes came, though perhaps to different instructions: go on with those here. */
	if (f->released) {
		f->released = 0;
		return 1;
	}
	f->state = PTX_WAIT_WARP;
	f->sync_mask = mask;
	ptx_warp_stop(w, insn, PTX_EVENT_SWITCH);
	release_waiting(w);
	return 0;
}

int
ptx_warp_release_all(struct ptx_warp *w)
{
	int released = 0;

	for (uint32_t k = 0; k < w->nfragments; k++) {
		struct ptx_fragment *f = &w->fragments[k];

		if (f->state == PTX_WAIT_WARP) {
			f->state = PTX_READY;
			f->released = 1;
			released = 1;
		}
	}
	return released;
}

/* The end of lanes */

const struct ptx_insn *
ptx_warp_exit(struct ptx_warp *w, uint32_t lanes, const struct ptx_insn *next)
{
	struct ptx_fragment *f = current(w);
	struct ptx_frame *frame = f->frame, *parent;

	w->live &= ~lanes;
	w->block->live_threads -= (uint32_t)__builtin_popcount(lanes);
	for (; frame; frame = parent) {
		parent = frame->parent;
		frame->live &= ~lanes;
		if (!frame->live && parent)
			ptx_frame_drop(w->block, frame);
	}
	f->mask &= ~lanes;
	f->pc = next;
	if (!f->mask)
		remove_fragment(w, w->current);
	w->event = PTX_EVENT_SWITCH;
	release_waiting(w);
	ptx_barrier_recheck(w->block);
	ptx_cluster_recheck(w->block->cluster);
	return NULL;
}

/* Calls */

/* Copies one argument or result between a frame and another for the lanes of @mask. */
static void
copy_argument(struct ptx_warp *w, uint32_t mask, struct ptx_frame *caller,
	      const struct ptx_argument *actual, struct ptx_frame *callee,
	      const struct ptx_variable *formal, uint32_t formal_place, int to_callee)
{
	int formal_register = formal->space == PTX_SPACE_REG;
	uint32_t formal_size = (uint32_t)formal->size;
	uint32_t actual_size = actual->is_register ? actual->size : actual->bytes;
	uint32_t size = formal_size < actual_size ? formal_size : actual_size;

	if (formal_register && formal->type == PTX_T_PRED)
		return;
	for (uint32_t rest = mask; rest; rest &= rest - 1) {
		uint32_t l = (uint32_t)__builtin_ctz(rest);
		uint8_t *local = w->local + l * w->local_stride;
		uint8_t *a = actual->is_register
				     ? caller->regs + actual->place + (size_t)l * actual->size
				     : local + caller->local_base + actual->offset;
		uint8_t *b = formal_register ? callee->regs + formal_place +
						       (size_t)l * ptx_type_reg_size(formal->type)
					     : local + callee->local_base + formal->offset;

		memcpy(to_callee ? b : a, to_callee ? a : b, size);
	}
}

static struct ptx_function *
indirect_target(struct ptx_warp *w, const struct ptx_insn *insn, uint32_t *ret_lanes)
{
	const uint64_t *address = (const uint64_t *)(const void *)(w->frame->regs + insn->a);
	uint32_t first = (uint32_t)__builtin_ctz(w->mask), lanes = 0;

	for (uint32_t rest = w->mask; rest; rest &= rest - 1) {
		uint32_t l = (uint32_t)__builtin_ctz(rest);

		if (address[l] == address[first])
			lanes |= 1u << l;
	}
	*ret_lanes = lanes;

	struct ptx_function *function =
		ptx_module_function_at(w->launch->kernel->function->module, address[first]);

	return function ? ptx_function_target(function) : NULL;
}

/* Makes the frame of a call by @lanes; NULL: the fault is reported. */
static struct ptx_frame *
enter_function(struct ptx_warp *w, const struct ptx_insn *insn, struct ptx_function *function,
	       uint32_t lanes)
{
	const struct ptx_call *call = insn->data;
	const struct ptx_code *code = ptx_function_code(function);
	uint32_t lane = (uint32_t)__builtin_ctz(lanes);
	struct ptx_frame *caller = w->frame, *frame;

	if (!code) {
		ptx_fault(w, insn, PTX_FAULT_UNSUPPORTED, lane, 0, "%s cannot be called: %s",
			  function->name, function->error);
		return NULL;
	}
	uint64_t base = (uint64_t)caller->local_base + caller->code->local_size;

	if (caller->depth >= PTX_MAX_DEPTH || base + code->local_size > w->local_stride) {
		ptx_fault(w, insn, PTX_FAULT_ADDRESS, lane, base, "stack overflow in a call of %s",
			  function->name);
		return NULL;
	}
	frame = ptx_frame_new(w, code, caller);
	if (!frame) {
		ptx_fault(w, insn, PTX_FAULT_TRAP, lane, 0, "out of memory in a call");
		return NULL;
	}
	frame->call = insn;
	frame->live = lanes;
	for (uint32_t k = 0; k < call->nargs && k < function->sig.nparams; k++)
		copy_argument(w, lanes, caller, &call->args[k], frame, &function->sig.params[k],
			      code->param_places[k], 1);
	return frame;
}

const struct ptx_insn *
ptx_warp_call(struct ptx_warp *w, const struct ptx_insn *insn)
{
	const struct ptx_call *call = insn->data;
	struct ptx_function *function = call->function;
	uint32_t all = w->mask, lanes = all;
	struct ptx_frame *frame = w->frame;
	const struct ptx_insn *next;

	if (!function) {
		function = indirect_target(w, insn, &lanes);
		if (!function)
			return ptx_fault(w, insn, PTX_FAULT_ADDRESS, (uint32_t)__builtin_ctz(all),
					 0, "a call of an address that is no function");
	}
	if (function->builtin) {
		w->mask = lanes;
		next = ptx_builtin_call(w, insn, function);
		w->mask = all;
		if (!next || lanes == all)
			return next;
	} else {
		frame = enter_function(w, insn, function, lanes);
		if (!frame)
			return NULL;
		next = frame->code->insns;
	}
	/* Lanes that call another function do so when it is their turn. */
	if (lanes != all)
		ptx_warp_split(w, lanes, next, insn);
	current(w)->frame = frame;
	return ptx_warp_stop(w, next, PTX_EVENT_SWITCH);
}

const struct ptx_insn *
ptx_warp_return(struct ptx_warp *w)
{
	struct ptx_frame *frame = w->frame, *caller = frame->parent;
	const struct ptx_insn *insn = frame->call;
	const struct ptx_call *call = insn->data;
	const struct ptx_function *function = frame->code->function;

	for (uint32_t k = 0; k < call->nrets && k < function->sig.nrets; k++)
		copy_argument(w, w->mask, caller, &call->rets[k], frame, &function->sig.rets[k],
			      frame->code->ret_places[k], 0);
	frame->live &= ~w->mask;
	if (!frame->live)
		ptx_frame_drop(w->block, frame);
	current(w)->frame = caller;
	return ptx_warp_stop(w, insn + 1, PTX_EVENT_SWITCH);
}
