/* The parser and the compiler on good, bad and damaged text. */
#include "remote/device_cpu/ptx/code.h"
#include "test_ptx.h"

#define HEADER ".version 8.6\n.target sm_100a, texmode_independent\n.address_size 64\n"

static void
expect_error(const char *text, const char *message)
{
	struct ptx_module *module = NULL;
	char err[256] = "";

	cr_assert_eq(ptx_module_load(text, strlen(text), &test_memory, &module, err, sizeof(err)),
		     PTX_SYNTAX, "%s", text);
	cr_assert_not_null(strstr(err, message), "\"%s\" does not say \"%s\"", err, message);
	cr_assert_null(module);
}

Test(ptx_parse, bad_modules_are_refused)
{
	expect_error("", "this is not PTX");
	expect_error("hello", "this is not PTX");
	expect_error(HEADER "hello", "a directive should be here");
	expect_error(".target sm_75\n", "line 1: this is not PTX");
	expect_error(".version 8.0\n.target sm_75\n.address_size 32\n", "line 3: only 64-bit");
	expect_error(HEADER ".visible .entry f(", "neither .param nor .reg");
	expect_error(HEADER ".visible .entry f()\n{\n", "never closed");
	expect_error(HEADER ".nonsense 4;\n", "line 4: unknown directive \".nonsense\"");
	expect_error(HEADER ".global .u32 x = {1};\n.global .b8 y[4] = {1,2,3,4,5};\n", "longer");
	expect_error(HEADER ".global .u64 p = nothing;\n", "unknown name nothing");
	expect_error(HEADER ".global .b8 big[99999999999999];\n", "too large");
	expect_error(HEADER ".global .b8 x[1 / 0];\n", "division by zero");
	expect_error(HEADER ".global .align 3 .b8 x[4];\n", "alignment of 3");
}

static const char *
body_error(struct ptx_module *m, const char *name)
{
	struct ptx_kernel *kernel = ptx_module_kernel(m, name);
	static struct ptx_fault fault;
	struct ptx_launch args = {.grid = {1, 1, 1}, .block = {1, 1, 1}};

	cr_assert_not_null(kernel);
	cr_assert_eq(ptx_run(kernel, &args, &fault), PTX_SYNTAX);
	return fault.text;
}

/* A broken body does not keep the rest of a module from running. */
Test(ptx_parse, bad_bodies_fail_when_used)
{
	struct ptx_module *m = load_text(
		HEADER
		".visible .entry good()\n{\nret;\n}\n"
		".visible .entry unknown_name()\n{\n.reg .b32 %r1;\nmov.u32 %r1, nothing;\n}\n"
		".visible .entry unknown_label()\n{\nbra NOWHERE;\n}\n"
		".visible .entry no_semicolon()\n{\nret\n}\n"
		".visible .entry bad_guard()\n{\n.reg .b32 %r1;\n@%r1 ret;\n}\n"
		".visible .entry scopes()\n{\n{ .reg .b32 x; mov.u32 x, 1; }\nmov.u32 x, 2;\n}\n");

	RUN(m, "good", 1, 1);
	cr_assert_not_null(strstr(body_error(m, "unknown_name"), "unknown name nothing"));
	cr_assert_not_null(strstr(body_error(m, "unknown_label"), "unknown name NOWHERE"));
	cr_assert_not_null(strstr(body_error(m, "no_semicolon"), "line"));
	cr_assert_not_null(strstr(body_error(m, "bad_guard"), "no predicate"));
	cr_assert_not_null(strstr(body_error(m, "scopes"), "unknown name x"));
	RUN(m, "good", 1, 1);
	ptx_module_unload(m);
}

Test(ptx_parse, initialisers)
{
	struct ptx_module *m =
		load_text(HEADER ".global .align 8 .u64 p = q;\n" /* before its definition */
				 ".global .b32 q[4] = { 1, 0x10, 0b101, 07 };\n"
				 ".const .f32 f[3] = { 0f3F800000, 2.5, -1.5 };\n"
				 ".global .f64 d = 0dC000000000000000;\n"
				 ".global .u64 g[2] = { generic(q)+4, q+8 };\n"
				 ".global .u8 bytes[3] = { 0xff(q), 0xff00(q), 0xff0000(q) };\n"
				 ".global .u16 s[] = { 1, 2, (3 + 4) * 2, -1 };\n"
				 ".global .v4 .f32 v;\n"
				 ".global .b32 m[2][3] = { { 1, 2, 3 }, { 4, 5, 6 } };\n");
	uint64_t p, q, f, d, g, b, s, v, mm;
	size_t size;

	cr_assert_eq(ptx_module_global(m, "q", &q, &size), 0);
	cr_assert_eq(size, 16);
	cr_assert_arr_eq((void *)(uintptr_t)q, ((uint32_t[4]){1, 16, 5, 7}), 16);
	cr_assert_eq(ptx_module_global(m, "p", &p, &size), 0);
	cr_assert_eq(*(uint64_t *)(uintptr_t)p, q);
	cr_assert_eq(p % 256, 0);
	cr_assert_eq(ptx_module_global(m, "f", &f, &size), 0);
	cr_assert_arr_eq((void *)(uintptr_t)f, ((float[3]){1, 2.5, -1.5}), 12);
	cr_assert_eq(ptx_module_global(m, "d", &d, &size), 0);
	cr_assert_eq(*(double *)(uintptr_t)d, -2);
	cr_assert_eq(ptx_module_global(m, "g", &g, &size), 0);
	cr_assert_eq(((uint64_t *)(uintptr_t)g)[0], q + 4);
	cr_assert_eq(((uint64_t *)(uintptr_t)g)[1], q + 8);
	cr_assert_eq(ptx_module_global(m, "bytes", &b, &size), 0);
	cr_assert_arr_eq((void *)(uintptr_t)b, &q, 3);
	cr_assert_eq(ptx_module_global(m, "s", &s, &size), 0);
	cr_assert_eq(size, 8);
	cr_assert_arr_eq((void *)(uintptr_t)s, ((uint16_t[4]){1, 2, 14, 65535}), 8);
	cr_assert_eq(ptx_module_global(m, "v", &v, &size), 0);
	cr_assert_eq(size, 16);
	cr_assert_eq(ptx_module_global(m, "m", &mm, &size), 0);
	cr_assert_eq(size, 24);
	cr_assert_eq(((int *)(uintptr_t)mm)[5], 6);
	ptx_module_unload(m);
}

Test(ptx_parse, kernel_information)
{
	struct ptx_module *m = load_text(
		HEADER ".extern .shared .align 128 .b8 dynamic[];\n"
		       ".shared .align 4 .b32 unused[100];\n"
		       ".visible .entry f(.param .u32 a, .param .u64 .ptr .global .align 16 b,\n"
		       ".param .align 8 .b8 c[20], .param .u8 d, .param .f64 e)\n"
		       ".maxntid 128, 2, 1\n.minnctapersm 2\n"
		       "{\n.shared .align 8 .b8 s[36];\n.local .align 8 .b8 l[40];\n"
		       ".reg .b32 %r<4>;\n.reg .b64 %rd<3>;\n"
		       "mov.u32 %r1, s;\nmov.u32 %r3, dynamic;\nld.shared.u32 %r2, [%r1];\n"
		       "st.shared.u32 [%r3], %r2;\nmov.u64 %rd1, l;\nst.local.u32 [%rd1+4], "
		       "%r2;\nret;\n}\n"
		       ".weak .entry g()\n.reqntid 64\n.reqnctapercluster 2, 1, 1\n{\n}\n");
	struct ptx_kernel *f = ptx_module_kernel(m, "f"), *g = ptx_module_kernel(m, "g");
	static const uint32_t expect[5][2] = {{0, 4}, {8, 8}, {16, 20}, {36, 1}, {40, 8}};
	struct ptx_kernel_info info;
	uint32_t offset, size;

	cr_assert_eq(ptx_kernel_info(f, &info), 0);
	cr_assert_str_eq(info.name, "f");
	cr_assert_eq(info.param_count, 5);
	cr_assert_eq(info.param_size, 48);
	for (uint32_t i = 0; i < 5; i++) {
		cr_assert_eq(ptx_kernel_param(f, i, &offset, &size), 0);
		cr_assert_eq(offset, expect[i][0]);
		cr_assert_eq(size, expect[i][1]);
	}
	cr_assert_neq(ptx_kernel_param(f, 5, &offset, &size), 0);
	cr_assert_eq(info.static_shared, 36);
	cr_assert_geq(info.local, 40);
	cr_assert_eq(info.max_threads, 256);
	cr_assert_eq(info.ptx_version, 86);
	cr_assert_eq(info.target, 100);
	cr_assert_eq(ptx_kernel_info(g, &info), 0);
	cr_assert_eq(info.req_threads[0], 64);
	cr_assert_eq(info.cluster[0], 2);
	cr_assert_str_eq(ptx_module_kernel_name(m, 0), "f");
	cr_assert_str_eq(ptx_module_kernel_name(m, 1), "g");
	cr_assert_null(ptx_module_kernel_name(m, 2));
	cr_assert_null(ptx_module_kernel(m, "h"));
	ptx_module_unload(m);
}

/* Registers of one size where another is meant must never write beyond their place. */
Test(ptx_parse, wrong_register_sizes)
{
	struct ptx_module *m = load_text(
		HEADER
		".visible .entry f()\n{\n.reg .b16 %h<3>;\n.reg .b32 %r<3>;\n.reg .b64 %l<3>;\n"
		".reg .pred %p<3>;\n.reg .b128 %q<3>;\n"
		"add.s64 %h1, %h2, %r1;\nadd.s32 %l1, %h1, %l2;\nmul.wide.s32 %h1, %r1, %r2;\n"
		"popc.b64 %h1, %h2;\nadd.s32 %p1, %r1, %r2;\nmov.b32 %p1, %r1;\n"
		"setp.eq.s32 %r1, %r1, %r2;\nselp.b64 %h1, %r1, %r2, %p1;\n"
		"mov.b64 {%r1, %h1}, %l1;\nmov.b64 %h1, {%r1, %r2};\nld.shared.v4.f32 {%h1, %r1, "
		"%l1, %p1}, [%r2];\n"
		"cvt.u64.u32 %h1, %q1;\nmov.b128 %h1, %q1;\nbmsk.clamp.b32 %h1, %h1, %h1;\n"
		"atom.shared.add.u64 %h1, [%r1], %h2;\nshfl.sync.idx.b32 %h1|%r1, %h1, 0, 31, -1;\n"
		"bar.red.popc.u32 %h1, 0, %r1;\nlop3.b32 %h1, %h1, %h1, %h1, 3;\n"
		"fma.rn.f64 %r1, %h1, %r2, %l1;\nprmt.b32 %l1, %h1, %r1, %l1;\n}\n");
	struct ptx_kernel *kernel = ptx_module_kernel(m, "f");

	cr_assert_eq(ptx_kernel_prepare(kernel), PTX_OK);
	ptx_module_unload(m);
}

/* Damage */

static uint64_t random_state = 0x2545f4914f6cdd1d;

static uint64_t
next_random(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static const char *const pieces[] = {
	"{",       "}",      "[",
	"]",       "(",      ")",
	";",       ",",      "%r1",
	"%rd1",    "%f1",    "%p1",
	".b64",    ".f16x2", ".v4",
	".v2",     "!",      "@%p1 ",
	"-",       "|",      "99999999",
	"0x",      "0f",     "\"",
	"/*",      "//",     "<4000000000>",
	".align",  ".param", ".shared",
	".local",  ".reg",   "call",
	"bra",     "mov",    "{.reg .b64 %rd<3>;",
	".pred",   ".b128",  ".b8",
	"[99999]", ".u8",    "_",
	"1e999",   "::",     ".f64",
};

static size_t
damage(char *text, size_t len, size_t room)
{
	size_t at = next_random(len), n;
	const char *piece;

	switch (next_random(6)) {
	case 0:
		text[at] = (char)next_random(256);
		return len;
	case 1: /* cut */
		n = next_random(40);
		n = at + n > len ? len - at : n;
		memmove(text + at, text + at + n, len - at - n);
		return len - n;
	case 2: /* insert */
		piece = pieces[next_random(sizeof(pieces) / sizeof(*pieces))];
		n = strlen(piece);
		if (len + n >= room)
			return len;
		memmove(text + at + n, text + at, len - at);
		memcpy(text + at, piece, n);
		return len + n;
	case 3: { /* move a piece of the text elsewhere */
		char copy[64];
		size_t from = next_random(len);

		n = next_random(sizeof(copy));
		n = from + n > len ? len - from : n;
		n = at + n > len ? len - at : n;
		memcpy(copy, text + from, n);
		memcpy(text + at, copy, n);
		return len;
	}
	case 4: /* end early */
		return next_random(50) ? len : at;
	default: /* one token for another */
		piece = pieces[next_random(sizeof(pieces) / sizeof(*pieces))];
		n = strlen(piece);
		if (at + n < len)
			memcpy(text + at, piece, n);
		return len;
	}
}

static void
compile_everything(const char *text, size_t len)
{
	struct ptx_module *module = NULL;
	char err[256];

	if (ptx_module_load(text, len, &test_memory, &module, err, sizeof(err)) != PTX_OK)
		return;
	for (size_t i = 0; i < module->nfunctions; i++)
		ptx_function_code(module->functions[i]);
	for (size_t i = 0; i < module->nkernels; i++)
		ptx_kernel_prepare(ptx_module_kernel(module, module->kernels[i]->name));
	ptx_module_unload(module);
}

Test(ptx_parse, damaged_text, .timeout = 200)
{
	char *original = read_text(PTX_DIR "/basic.75.ptx");
	size_t len = strlen(original), room = len + 4096;
	char *text = malloc(room + 1);

	for (int round = 0; round < 300; round++) {
		size_t n = len;

		memcpy(text, original, len);
		for (uint64_t k = 0, count = 1 + next_random(30); k < count && n > 1; k++)
			n = damage(text, n, room);
		text[n] = 0;
		compile_everything(text, n);
	}
	free(text);
	free(original);
}
