/* The functions that the machine supplies: vprintf, __assertfail, malloc, free,
 * cudaGraphSetConditional. */
#include <ctype.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "remote/device_cpu/ptx/children.h"
#include "remote/device_cpu/ptx/exec.h"
#include "remote/device_cpu/ptx/exec_memory.h"
#include "remote/device_cpu/ptx/heap.h"

/* Of enum cudaError: graphs are launched by kernels in graphs only. */
enum { ERROR_NOT_PERMITTED = 800 };

enum {
	MAX_TEXT = 8192,   /* bytes that one call of printf prints */
	MAX_STRING = 4096, /* of a format or of an argument of %s */
	MAX_WIDTH = 1024,
};

/* Argument @k of the call for one lane; 0 if there is none. */
static uint64_t
argument(const struct ptx_warp *w, const struct ptx_call *call, uint32_t k, uint32_t lane)
{
	uint64_t value = 0;

	if (k >= call->nargs)
		return 0;
	const struct ptx_argument *arg = &call->args[k];
	const uint8_t *local = w->local + lane * w->local_stride + w->frame->local_base;

	if (arg->is_register)
		memcpy(&value, w->frame->regs + arg->place + (size_t)lane * arg->size,
		       arg->size < 8 ? arg->size : 8);
	else
		memcpy(&value, local + arg->offset, arg->bytes < 8 ? arg->bytes : 8);
	return value;
}

static void
set_result(struct ptx_warp *w, const struct ptx_call *call, uint32_t lane, uint64_t value)
{
	if (!call->nrets)
		return;
	const struct ptx_argument *ret = &call->rets[0];
	uint8_t *local = w->local + lane * w->local_stride + w->frame->local_base;

	if (ret->is_register)
		memcpy(w->frame->regs + ret->place + (size_t)lane * ret->size, &value,
		       ret->size < 8 ? ret->size : 8);
	else
		memcpy(local + ret->offset, &value, ret->bytes < 8 ? ret->bytes : 8);
}

/* Copies a string of the program. A bad address faults like any other access. */
PTX_UNCHECKED static size_t
read_string(char *to, size_t size, uint64_t address)
{
	const volatile char *from = (const volatile char *)(uintptr_t)address;
	size_t n = 0;

	while (n + 1 < size && (to[n] = from[n]) != 0)
		n++;
	to[n] = 0;
	return n;
}

/* The arguments lie one after another, each aligned to its size. */
struct arguments {
	uint64_t at;
};

PTX_UNCHECKED static uint64_t
next_argument(struct arguments *args, uint32_t size)
{
	uint64_t value = 0;

	args->at = (args->at + size - 1) & ~(uint64_t)(size - 1);
	for (uint32_t k = 0; k < size; k++)
		value |= (uint64_t)((const volatile uint8_t *)(uintptr_t)args->at)[k] << 8 * k;
	args->at += size;
	return value;
}

struct text {
	char bytes[MAX_TEXT];
	size_t len;
};

static void
put(struct text *text, const char *s, size_t n)
{
	if (n > MAX_TEXT - text->len)
		n = MAX_TEXT - text->len;
	memcpy(text->bytes + text->len, s, n);
	text->len += n;
}

/* One conversion of a format: "%-08.3lf". */
struct conversion {
	char flags[8];
	int width, precision; /* -1: none */
	int longs;            /* l or ll or z or t or j: 8 bytes */
	int shorts;           /* h: 1, hh: 2 */
	char kind;
};

static const char *
read_number(const char *p, struct arguments *args, int *ret_value)
{
	int value = 0;

	if (*p == '*') {
		value = (int32_t)next_argument(args, 4);
		p++;
	} else {
		while (isdigit((unsigned char)*p)) {
			if (value < MAX_WIDTH)
				value = value * 10 + (*p - '0');
			p++;
		}
	}
	*ret_value = value > MAX_WIDTH ? MAX_WIDTH : value < -MAX_WIDTH ? -MAX_WIDTH : value;
	return p;
}

static const char *
read_conversion(const char *p, struct arguments *args, struct conversion *c)
{
	size_t nflags = 0;

	*c = (struct conversion){.width = -1, .precision = -1};
	for (; *p && strchr("-+ #0", *p); p++)
		if (nflags < sizeof(c->flags) - 1)
			c->flags[nflags++] = *p;
	if (*p == '*' || isdigit((unsigned char)*p)) {
		p = read_number(p, args, &c->width);
		if (c->width < 0) {
			c->width = -c->width;
			if (nflags < sizeof(c->flags) - 1)
				c->flags[nflags++] = '-';
		}
	}
	if (*p == '.')
		p = read_number(p + 1, args, &c->precision);
	for (; *p && strchr("hlLqjzt", *p); p++) {
		if (*p == 'h')
			c->shorts++;
		else
			c->longs++;
	}
	c->kind = *p;
	return *p ? p + 1 : p;
}

static void
print_conversion(struct text *text, struct arguments *args, const struct conversion *c)
{
	char format[64], out[MAX_STRING + MAX_WIDTH], string[MAX_STRING];
	char width[16] = "", precision[16] = "";
	const char *size = "";
	uint64_t value;
	double real;
	int n = 0;

	if (c->width >= 0)
		snprintf(width, sizeof(width), "%d", c->width);
	if (c->precision >= 0)
		snprintf(precision, sizeof(precision), ".%d", c->precision);
	switch (c->kind) {
	case 'd':
	case 'i':
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		value = next_argument(args, c->longs ? 8 : 4);
		if (!c->longs && (c->kind == 'd' || c->kind == 'i'))
			value = (uint64_t)(int64_t)(int32_t)value;
		if (c->longs || c->kind == 'd' || c->kind == 'i')
			size = "ll";
		if (c->shorts && !c->longs) {
			size = c->shorts > 1 ? "hh" : "h";
			snprintf(format, sizeof(format), "%%%s%s%s%s%c", c->flags, width, precision,
				 size, c->kind);
			n = snprintf(out, sizeof(out), format, (int)value);
		} else if (*size) {
			snprintf(format, sizeof(format), "%%%s%s%s%s%c", c->flags, width, precision,
				 size, c->kind);
			n = snprintf(out, sizeof(out), format, (unsigned long long)value);
		} else {
			snprintf(format, sizeof(format), "%%%s%s%s%c", c->flags, width, precision,
				 c->kind);
			n = snprintf(out, sizeof(out), format, (unsigned int)value);
		}
		break;
	case 'c':
		snprintf(format, sizeof(format), "%%%s%sc", c->flags, width);
		n = snprintf(out, sizeof(out), format, (int)next_argument(args, 4));
		break;
	case 'f':
	case 'F':
	case 'e':
	case 'E':
	case 'g':
	case 'G':
	case 'a':
	case 'A':
		value = next_argument(args, 8);
		memcpy(&real, &value, sizeof(real));
		snprintf(format, sizeof(format), "%%%s%s%s%c", c->flags, width, precision, c->kind);
		n = snprintf(out, sizeof(out), format, real);
		break;
	case 's':
		value = next_argument(args, 8);
		read_string(string, sizeof(string), value);
		snprintf(format, sizeof(format), "%%%s%s%ss", c->flags, width, precision);
		n = snprintf(out, sizeof(out), format, string);
		break;
	case 'p':
		value = next_argument(args, 8);
		snprintf(format, sizeof(format), "%%%s%sp", c->flags, width);
		n = snprintf(out, sizeof(out), format, (void *)(uintptr_t)value);
		break;
	case '%':
		put(text, "%", 1);
		return;
	default:
		return; /* not a conversion: nothing is printed and nothing is taken */
	}
	if (n > 0)
		put(text, out, (size_t)n < sizeof(out) ? (size_t)n : sizeof(out) - 1);
}

static int
format_text(struct text *text, const char *format, uint64_t arguments)
{
	struct arguments args = {arguments};
	const char *p = format;
	int count = 0;

	while (*p) {
		const char *next = strchr(p, '%');
		struct conversion c;

		if (!next) {
			put(text, p, strlen(p));
			break;
		}
		put(text, p, (size_t)(next - p));
		p = read_conversion(next + 1, &args, &c);
		print_conversion(text, &args, &c);
		count += c.kind != '%' && c.kind != 0;
	}
	return count;
}

static void
send_text(struct ptx_warp *w, bool complaint, const char *text, size_t len)
{
	struct ptx_launch_state *launch = (struct ptx_launch_state *)w->launch;
	const struct ptx_launch *args = launch->args;

	if (!args->output)
		return;
	pthread_mutex_lock(&launch->output_lock);
	if (complaint && args->complain)
		args->complain(args->output_data, text, len);
	else
		args->output(args->output_data, text, len);
	pthread_mutex_unlock(&launch->output_lock);
}

static void
call_vprintf(struct ptx_warp *w, const struct ptx_call *call)
{
	for (uint32_t rest = w->mask; rest; rest &= rest - 1) {
		uint32_t lane = (uint32_t)__builtin_ctz(rest);
		uint64_t format = argument(w, call, 0, lane);
		char copy[MAX_STRING];
		struct text text;

		text.len = 0;
		if (!format) {
			set_result(w, call, lane, (uint64_t)-1);
			continue;
		}
		read_string(copy, sizeof(copy), format);
		int count = format_text(&text, copy, argument(w, call, 1, lane));

		set_result(w, call, lane, (uint64_t)count);
		send_text(w, false, text.bytes, text.len);
	}
}

/* void __assertfail(message, file, line, function, character size) */
static const struct ptx_insn *
call_assertfail(struct ptx_warp *w, const struct ptx_insn *insn, const struct ptx_call *call)
{
	uint32_t lane = (uint32_t)__builtin_ctz(w->mask), thread = w->id * PTX_LANES + lane;
	const uint32_t *id = w->block->id, *size = w->launch->args->block;
	char message[512] = "", file[256] = "", function[256] = "", text[1280];
	int n;

	if (argument(w, call, 0, lane))
		read_string(message, sizeof(message), argument(w, call, 0, lane));
	if (argument(w, call, 1, lane))
		read_string(file, sizeof(file), argument(w, call, 1, lane));
	if (argument(w, call, 3, lane))
		read_string(function, sizeof(function), argument(w, call, 3, lane));
	n = snprintf(text, sizeof(text),
		     "%s:%u: %s: block: [%u,%u,%u], thread: [%u,%u,%u] Assertion `%s` failed.\n",
		     file, (uint32_t)argument(w, call, 2, lane), function, id[0], id[1], id[2],
		     thread % size[0], thread / size[0] % size[1], thread / (size[0] * size[1]),
		     message);
	if (n > 0)
		send_text(w, true, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
	return ptx_fault(w, insn, PTX_FAULT_ASSERT, lane, 0, "assertion `%.100s` failed", message);
}

/* void *cudaGetParameterBufferV2(kernel, dim3 grid, dim3 block, shared bytes) */
static void
call_launch_buffer(struct ptx_warp *w, const struct ptx_call *call)
{
	for (uint32_t rest = w->mask; rest; rest &= rest - 1) {
		uint32_t lane = (uint32_t)__builtin_ctz(rest), dims[2][3] = {{0}};

		for (uint32_t k = 0; k < 2 && k + 1 < call->nargs; k++) {
			const struct ptx_argument *arg = &call->args[k + 1];

			if (!arg->is_register && arg->bytes == sizeof(dims[k]))
				memcpy(dims[k],
				       w->local + lane * w->local_stride + w->frame->local_base +
					       arg->offset,
				       sizeof(dims[k]));
		}
		set_result(w, call, lane,
			   ptx_child_new((struct ptx_launch_state *)w->launch,
					 argument(w, call, 0, lane), dims[0], dims[1],
					 (uint32_t)argument(w, call, 3, lane)));
	}
}

/* cudaError_t cudaStreamCreateWithFlags(cudaStream_t *, flags), and of events */
PTX_UNCHECKED static void
call_make_handle(struct ptx_warp *w, const struct ptx_call *call)
{
	for (uint32_t rest = w->mask; rest; rest &= rest - 1) {
		uint32_t lane = (uint32_t)__builtin_ctz(rest);
		uint64_t address = argument(w, call, 0, lane), handle = 16;

		/* A bad address faults like any other. */
		for (uint32_t k = 0; k < 8; k++)
			((volatile uint8_t *)(uintptr_t)address)[k] = (uint8_t)(handle >> 8 * k);
		set_result(w, call, lane, 0);
	}
}

/* cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) */
static void
call_graph_launch(struct ptx_warp *w, const struct ptx_call *call)
{
	const struct ptx_launch *args = w->launch->args;

	for (uint32_t rest = w->mask; rest; rest &= rest - 1) {
		uint32_t lane = (uint32_t)__builtin_ctz(rest), error = ERROR_NOT_PERMITTED;

		if (args->graph_launch)
			error = args->graph_launch(args->graph_data, argument(w, call, 0, lane),
						   argument(w, call, 1, lane));
		set_result(w, call, lane, error);
	}
}

const struct ptx_insn *
ptx_builtin_call(struct ptx_warp *w, const struct ptx_insn *insn, struct ptx_function *function)
{
	const struct ptx_call *call = insn->data;

	w->pc = insn;
	switch (function->builtin) {
	case PTX_BUILTIN_VPRINTF:
		call_vprintf(w, call);
		break;
	case PTX_BUILTIN_ASSERTFAIL:
		return call_assertfail(w, insn, call);
	case PTX_BUILTIN_MALLOC:
		for (uint32_t rest = w->mask; rest; rest &= rest - 1) {
			uint32_t lane = (uint32_t)__builtin_ctz(rest);

			set_result(w, call, lane,
				   ptx_heap_allocate(w->launch->kernel->function->module,
						     argument(w, call, 0, lane)));
		}
		break;
	case PTX_BUILTIN_FREE:
		for (uint32_t rest = w->mask; rest; rest &= rest - 1) {
			uint32_t lane = (uint32_t)__builtin_ctz(rest);
			uint64_t address = argument(w, call, 0, lane);

			if (ptx_heap_release(address))
				return ptx_fault(w, insn, PTX_FAULT_ADDRESS, lane, address,
						 "free of 0x%llx, which malloc did not return",
						 (unsigned long long)address);
		}
		break;
	case PTX_BUILTIN_LAUNCH_BUFFER:
		call_launch_buffer(w, call);
		break;
	case PTX_BUILTIN_LAUNCH:
		for (uint32_t rest = w->mask; rest; rest &= rest - 1) {
			uint32_t lane = (uint32_t)__builtin_ctz(rest);

			set_result(w, call, lane,
				   ptx_child_launch((struct ptx_launch_state *)w->launch,
						    argument(w, call, 0, lane),
						    argument(w, call, 1, lane)));
		}
		break;
	case PTX_BUILTIN_MAKE_HANDLE:
		call_make_handle(w, call);
		break;
	case PTX_BUILTIN_SUCCESS:
		for (uint32_t rest = w->mask; rest; rest &= rest - 1)
			set_result(w, call, (uint32_t)__builtin_ctz(rest), 0);
		break;
	case PTX_BUILTIN_SET_CONDITION:
		for (uint32_t rest = w->mask; rest; rest &= rest - 1) {
			uint32_t lane = (uint32_t)__builtin_ctz(rest);
			uint64_t handle = argument(w, call, 0, lane);

			if (ptx_condition_set(handle, (uint32_t)argument(w, call, 1, lane)))
				return ptx_fault(w, insn, PTX_FAULT_ADDRESS, lane, handle,
						 "0x%llx is not the handle of a condition",
						 (unsigned long long)handle);
		}
		break;
	case PTX_BUILTIN_GRAPH_LAUNCH:
		call_graph_launch(w, call);
		break;
	case PTX_BUILTIN_NONE:
		break;
	}
	return insn + 1;
}
