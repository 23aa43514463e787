/*
 * Faults of programs. What the machine checks itself comes here by a call; a global address that
 * is not mapped comes by a signal, which jumps back to the worker that runs the warp.
 */
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "remote/device_cpu/ptx/check.h"
#include "remote/device_cpu/ptx/exec.h"
#include "remote/device_cpu/ptx/exec_memory.h"
#include "remote/device_cpu/ptx/thread.h"

__thread struct ptx_thread ptx_thread;

static struct sigaction previous_segv, previous_bus; /* written once, by install */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
describe(struct ptx_warp *w, const struct ptx_insn *insn, int kind, uint32_t lane, uint64_t address,
	 const char *what, struct ptx_fault *fault)
{
	const uint32_t *size = w->launch->args->block;
	uint32_t thread = w->id * PTX_LANES + lane;

	*fault = (struct ptx_fault){.kind = kind, .address = address};
	memcpy(fault->block, w->block->id, sizeof(fault->block));
	fault->thread[0] = thread % size[0];
	fault->thread[1] = thread / size[0] % size[1];
	fault->thread[2] = thread / (size[0] * size[1]);
	const char *kernel = w->launch->kernel->function->name;
	const char *function = w->frame->code->function->name;
	int inside = strcmp(kernel, function) != 0;
	char source[96];

	ptx_source_line(w->frame->code->function, insn->line, source, sizeof(source));
	snprintf(fault->text, sizeof(fault->text),
		 "%.60s, block (%u,%u,%u) thread (%u,%u,%u), PTX line %u%s%.40s%s%.60s%s: %.120s",
		 kernel, fault->block[0], fault->block[1], fault->block[2], fault->thread[0],
		 fault->thread[1], fault->thread[2], insn->line, inside ? " in " : "",
		 inside ? function : "", *source ? " (" : "", source, *source ? ")" : "", what);
}

const struct ptx_insn *
ptx_fault(struct ptx_warp *w, const struct ptx_insn *insn, int kind, uint32_t lane,
	  uint64_t address, const char *fmt, ...)
{
	struct ptx_launch_state *launch = (struct ptx_launch_state *)w->launch;
	char what[160];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);

	pthread_mutex_lock(&launch->lock);
	if (!launch->faulted) {
		launch->faulted = 1;
		describe(w, insn, kind, lane, address, what, &launch->fault);
	}
	pthread_mutex_unlock(&launch->lock);
	atomic_store_explicit(&launch->stop, 1, memory_order_relaxed);
	return ptx_warp_stop(w, insn, PTX_EVENT_FAULT);
}

const struct ptx_insn *
ptx_memory_fault(struct ptx_warp *w, const struct ptx_insn *i, int way, uint32_t l,
		 uint64_t address, uint32_t bytes)
{
	static const char *const spaces[] = {"global", "shared", "local"};
	const char *space =
		way == PTX_BY_WINDOW && (i->flags & PTX_INSN_FLAG_A) ? "parameter" : spaces[way];

	if (address & (bytes - 1))
		return ptx_fault(w, i, PTX_FAULT_MISALIGNED, l, address,
				 "misaligned %s address 0x%llx", space,
				 (unsigned long long)address);
	if (way == PTX_BY_ADDRESS)
		return ptx_fault(w, i, PTX_FAULT_ADDRESS, l, address, "illegal address 0x%llx",
				 (unsigned long long)address);
	return ptx_fault(w, i, PTX_FAULT_ADDRESS, l, address, "%s address 0x%llx out of range",
			 space, (unsigned long long)address);
}

/* The lane whose access of global memory hit @address: the signal does not say. */
static uint32_t
faulting_lane(const struct ptx_warp *w, const struct ptx_insn *i, uint64_t address,
	      uint64_t *ret_address)
{
	const uint64_t page = 4096, noncanonical = 1ull << 47;
	uint32_t first = (uint32_t)__builtin_ctz(w->mask ? w->mask : 1);

	for (uint32_t rest = w->mask; rest && i->op != PTX_H_call; rest &= rest - 1) {
		uint32_t l = (uint32_t)__builtin_ctz(rest);
		uint64_t a =
			ptx_lane_address(i, w->frame->regs, i->a, i->offset, PTX_BY_ADDRESS, l);

		/* For such an address the processor does not tell which it was. */
		if (a - address < 64 || address - a < 64 || (!address && a >= noncanonical)) {
			*ret_address = a;
			return l;
		}
		if (a / page == address / page) {
			first = l;
			*ret_address = a;
		}
	}
	return first;
}

/* After the jump out of the signal handler. */
void
ptx_fault_signal(void)
{
	struct ptx_warp *w = ptx_thread.warp;
	uint64_t address = ptx_thread.address;
	uint32_t lane = faulting_lane(w, w->pc, address, &address);

	ptx_fault(w, w->pc, PTX_FAULT_ADDRESS, lane, address, "illegal address 0x%llx",
		  (unsigned long long)address);
}

static void
handle(int number, siginfo_t *info, void *context)
{
	if (ptx_thread.catching) {
		ptx_thread.address = (uintptr_t)info->si_addr;
		siglongjmp(ptx_thread.fault, 1);
	}

	struct sigaction *previous = number == SIGBUS ? &previous_bus : &previous_segv;

	if (previous->sa_flags & SA_SIGINFO) {
		previous->sa_sigaction(number, info, context);
	} else if (previous->sa_handler != SIG_DFL && previous->sa_handler != SIG_IGN) {
		previous->sa_handler(number);
	} else {
		/* The access is repeated and ends the process as it would have without us. */
		sigaction(number, previous, NULL);
	}
}

static void
install(void)
{
	struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

	action.sa_sigaction = handle;
	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, &previous_segv);
	sigaction(SIGBUS, &action, &previous_bus);
}

void
ptx_fault_install(void)
{
	pthread_once(&once, install);
}
