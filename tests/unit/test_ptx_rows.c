/*
 * Loads and stores of every shape whose lanes lie in memory in every way for which the engine has
 * a short cut, and in some that look like one but are not: against the same by the host. For full
 * warps, for a part of one, and with the plain handlers that need no AVX2.
 */
#include "test_ptx.h"

enum { LANES = 32, BYTES = 2048, BASE = 512, PARTS = 4, TEXT = 8192 };

static const struct shape {
	const char *vector, *type, *reg; /* ".v2", "u32", of the register */
	int n, bytes;
} shapes[] = {
	{"", "u8", "u16", 1, 1},     {"", "u16", "u16", 1, 2},    {"", "u32", "u32", 1, 4},
	{"", "u64", "u64", 1, 8},    {".v2", "u8", "u16", 2, 1},  {".v4", "u8", "u16", 4, 1},
	{".v2", "u16", "u16", 2, 2}, {".v4", "u16", "u16", 4, 2}, {".v2", "u32", "u32", 2, 4},
	{".v4", "u32", "u32", 4, 4}, {".v2", "u64", "u64", 2, 8},
};
enum { SHAPES = sizeof(shapes) / sizeof(*shapes) };

/* Which vector lane @l is at. */
enum way { ROW, SAME, EVERY_OTHER, BACKWARDS, ONE_GAP, TWO_ROWS, EIGHTS, NEIGHBOURS, WAYS };

static int
place(enum way way, int l)
{
	switch (way) {
	case ROW:
		return l;
	case SAME:
		return 0;
	case EVERY_OTHER:
		return 2 * l;
	case BACKWARDS:
		return LANES - 1 - l;
	case ONE_GAP:
		return l < 17 ? l : l + 1;
	case TWO_ROWS:
		return l % 16;
	case EIGHTS:
		return l / 8;
	case NEIGHBOURS:
		return l ^ 1;
	case WAYS:
		break;
	}
	return 0;
}

struct program {
	const struct shape *shape;
	int shared, store, offset;
};

/* Writes the shape's registers, with what stands before and between them. */
static size_t
write_list(char *text, size_t size, const struct shape *s)
{
	size_t n = 0;

	for (int e = 0; e < s->n; e++)
		n += (size_t)snprintf(text + n, size - n, "%s%%e%d",
				      e          ? ", "
				      : s->n > 1 ? "{"
						 : "",
				      e);
	return n + (size_t)snprintf(text + n, size - n, "%s", s->n > 1 ? "}" : "");
}

/*
 * Lane t loads the vector at data[at[t] + offset] into regs[4 t …], or stores that; all of data
 * goes through shared memory if that is asked for.
 */
static struct ptx_module *
load_program(const struct program *p)
{
	const struct shape *s = p->shape;
	const char *space = p->shared ? "shared" : "global";
	const char *address = p->shared ? "%s" : "%a";
	char text[TEXT], list[64];
	size_t n;

	write_list(list, sizeof(list), s);
	n = (size_t)snprintf(
		text, sizeof(text),
		".version 8.6\n.target sm_90\n.address_size 64\n"
		".visible .entry move(.param .u64 data, .param .u64 at, .param .u64 regs, "
		".param .u32 lanes)\n"
		"{\n"
		"\t.shared .align 16 .b8 copy[%d];\n"
		"\t.reg .b64 %%data, %%at, %%regs, %%a, %%x;\n"
		"\t.reg .b32 %%t, %%i, %%s, %%w, %%lanes;\n"
		"\t.reg .pred %%more, %%off;\n"
		"\t.reg .%s %%e<4>;\n"
		"\tld.param.u64 %%data, [data];\n"
		"\tld.param.u64 %%at, [at];\n"
		"\tld.param.u64 %%regs, [regs];\n"
		"\tld.param.u32 %%lanes, [lanes];\n"
		"\tmov.u32 %%t, %%tid.x;\n"
		"\tmul.wide.u32 %%a, %%t, 32;\n"
		"\tadd.u64 %%regs, %%regs, %%a;\n"
		"\tmul.wide.u32 %%a, %%t, 4;\n"
		"\tadd.u64 %%at, %%at, %%a;\n"
		"\tshl.b32 %%i, %%t, 3;\n"
		"IN:\n"
		"\tcvt.u64.u32 %%a, %%i;\n"
		"\tadd.u64 %%a, %%a, %%data;\n"
		"\tld.global.u64 %%x, [%%a];\n"
		"\tmov.u32 %%s, copy;\n"
		"\tadd.u32 %%s, %%s, %%i;\n"
		"\tst.shared.u64 [%%s], %%x;\n"
		"\tadd.u32 %%i, %%i, 256;\n"
		"\tsetp.lt.u32 %%more, %%i, %d;\n"
		"\t@%%more bra IN;\n"
		"\tbar.sync 0;\n"
		"\tld.global.u32 %%i, [%%at];\n"
		"\tmov.u32 %%s, copy;\n"
		"\tadd.u32 %%s, %%s, %%i;\n"
		"\tcvt.u64.u32 %%a, %%i;\n"
		"\tadd.u64 %%a, %%a, %%data;\n"
		"\tshr.u32 %%w, %%lanes, %%t;\n"
		"\tand.b32 %%w, %%w, 1;\n"
		"\tsetp.eq.u32 %%off, %%w, 0;\n"
		"\t@%%off bra DONE;\n",
		BYTES, s->reg, BYTES);
	if (!p->store)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\tld.%s%s.%s %s, [%s+%d];\n",
				      space, s->vector, s->type, list, address, p->offset);
	for (int e = 0; e < s->n; e++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      p->store ? "\tld.global.%s %%e%d, [%%regs+%d];\n"
					       : "\tcvt.u64.%s %%x, %%e%d;\n"
						 "\tst.global.u64 [%%regs+%d], %%x;\n",
				      s->reg, e, 8 * e);
	if (p->store)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\tst.%s%s.%s [%s+%d], %s;\n",
				      space, s->vector, s->type, address, p->offset, list);
	n += (size_t)snprintf(text + n, sizeof(text) - n, "DONE:\n\tbar.sync 0;\n");
	if (p->store && p->shared)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "\tshl.b32 %%i, %%t, 3;\n"
				      "OUT:\n"
				      "\tmov.u32 %%s, copy;\n"
				      "\tadd.u32 %%s, %%s, %%i;\n"
				      "\tld.shared.u64 %%x, [%%s];\n"
				      "\tcvt.u64.u32 %%a, %%i;\n"
				      "\tadd.u64 %%a, %%a, %%data;\n"
				      "\tst.global.u64 [%%a], %%x;\n"
				      "\tadd.u32 %%i, %%i, 256;\n"
				      "\tsetp.lt.u32 %%more, %%i, %d;\n"
				      "\t@%%more bra OUT;\n",
				      BYTES);
	n += (size_t)snprintf(text + n, sizeof(text) - n, "\tret;\n}\n");
	cr_assert_lt(n, sizeof(text));
	return load_text(text);
}

struct memory {
	_Alignas(64) uint8_t data[BYTES];
	uint32_t at[LANES];
	uint64_t regs[LANES][PARTS];
};

static void
fill(struct memory *m)
{
	uint64_t state = 88172645463325252ull;

	for (int i = 0; i < BYTES; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		m->data[i] = (uint8_t)state;
	}
	for (int l = 0; l < LANES; l++)
		for (int e = 0; e < PARTS; e++)
			m->regs[l][e] = state * (uint64_t)(2 * (4 * l + e) + 1);
}

static enum ptx_status
run_program(struct ptx_module *module, struct memory *m, uint32_t lanes, struct ptx_fault *fault)
{
	struct {
		uint8_t *data;
		uint32_t *at;
		uint64_t (*regs)[PARTS];
		uint32_t lanes;
	} params = {m->data, m->at, m->regs, lanes};
	struct ptx_launch args = {.grid = {1, 1, 1}, .block = {LANES, 1, 1}, PARAMS(params)};

	return try_launch(module, "move", &args, fault);
}

/* What the program does, by the host. */
static void
expect(const struct program *p, struct memory *m, uint32_t lanes)
{
	const struct shape *s = p->shape;

	for (int l = 0; l < LANES; l++) {
		if (!(lanes >> l & 1))
			continue;
		for (int e = 0; e < s->n; e++) {
			uint8_t *at = m->data + m->at[l] + p->offset + e * s->bytes;
			uint64_t value = 0;

			if (p->store) {
				memcpy(at, &m->regs[l][e], (size_t)s->bytes);
			} else {
				memcpy(&value, at, (size_t)s->bytes);
				m->regs[l][e] = value;
			}
		}
	}
}

static void
check_all(uint32_t lanes)
{
	static const int offsets[] = {0, 32, -64};

	for (int k = 0; k < SHAPES * 12; k++) {
		const struct program p = {&shapes[k / 12], k & 1, k >> 1 & 1, offsets[k / 4 % 3]};
		struct ptx_module *module = load_program(&p);
		int vector = p.shape->n * p.shape->bytes;

		for (enum way way = ROW; way < WAYS; way++) {
			struct ptx_fault fault = {0};
			struct memory got, want;
			const char *what = p.store ? "st" : "ld";

			/* who is last is nobody's business */
			if (p.store && (way == SAME || way == TWO_ROWS || way == EIGHTS))
				continue;
			fill(&got);
			for (int l = 0; l < LANES; l++)
				got.at[l] = (uint32_t)(BASE + place(way, l) * vector);
			want = got;
			expect(&p, &want, lanes);
			cr_assert_eq(run_program(module, &got, lanes, &fault), PTX_OK, "%s",
				     fault.text);
			cr_assert_eq(memcmp(&got, &want, sizeof(got)), 0,
				     "%s.%s%s.%s, offset %d, way %d", what,
				     p.shared ? "shared" : "global", p.shape->vector, p.shape->type,
				     p.offset, (int)way);
		}
		ptx_module_unload(module);
	}
}

TestSuite(ptx_rows, .timeout = 120);

Test(ptx_rows, whole_warps)
{
	check_all(0xffffffff);
}

Test(ptx_rows, part_of_a_warp)
{
	check_all(0x7ffff0ff);
}

Test(ptx_rows, without_avx2)
{
	setenv("GENIE_PERF", "no_avx2", 1);
	check_all(0xffffffff);
}

/* A row may end where shared memory ends; one vector further is the last lane's fault. */
Test(ptx_rows, end_of_shared_memory)
{
	for (int k = 0; k < SHAPES * 4; k++) {
		const struct program p = {&shapes[k / 4], 1, k & 1, k & 2 ? 16 : 0};
		struct ptx_module *module = load_program(&p);
		int vector = p.shape->n * p.shape->bytes;

		for (int beyond = 0; beyond < 2; beyond++) {
			struct ptx_fault fault = {0};
			struct memory got, want;

			fill(&got);
			for (int l = 0; l < LANES; l++)
				got.at[l] = (uint32_t)(BYTES - p.offset +
						       (l - LANES + beyond) * vector);
			want = got;
			if (!beyond) {
				expect(&p, &want, 0xffffffff);
				cr_assert_eq(run_program(module, &got, 0xffffffff, &fault), PTX_OK,
					     "%s", fault.text);
				cr_assert_eq(memcmp(&got, &want, sizeof(got)), 0);
				continue;
			}
			cr_assert_eq(run_program(module, &got, 0xffffffff, &fault), PTX_FAULT,
				     "%s.%s", p.shape->vector, p.shape->type);
			cr_assert_eq((int)fault.kind, PTX_FAULT_ADDRESS, "%s", fault.text);
			cr_assert_eq(fault.thread[0], LANES - 1, "%s", fault.text);
		}
		ptx_module_unload(module);
	}
}

Test(ptx_rows, misaligned)
{
	for (int k = 0; k < SHAPES * 4; k++) {
		const struct program p = {&shapes[k / 4], k & 1, k >> 1 & 1, 0};
		int vector = p.shape->n * p.shape->bytes;
		struct ptx_fault fault = {0};
		struct ptx_module *module;
		struct memory got;

		if (vector == 1)
			continue;
		module = load_program(&p);
		fill(&got);
		for (int l = 0; l < LANES; l++)
			got.at[l] = (uint32_t)(BASE + l * vector + vector / 2);
		cr_assert_eq(run_program(module, &got, 0xffffffff, &fault), PTX_FAULT, "%s.%s",
			     p.shape->vector, p.shape->type);
		cr_assert_eq((int)fault.kind, PTX_FAULT_MISALIGNED, "%s", fault.text);
		cr_assert_eq(fault.thread[0], 0, "%s", fault.text);
		ptx_module_unload(module);
	}
}
