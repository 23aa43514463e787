/* Checked execution: what is refused, what is reported, and what is not. tests/ptx/check.cu. */
#include "test_ptx.h"

static struct ptx_module *module;
static char reports[16][768];
static int report_count;

static void
report(void *data, const char *line)
{
	(void)data;
	if (report_count < 16)
		snprintf(reports[report_count], sizeof(reports[0]), "%s", line);
	report_count++;
}

static void
setup(void)
{
	setenv("GENIE_CPU_CHECK", "bounds,race", 1);
	module = load_file(PTX_DIR "/check.75.ptx");
}

static void
teardown(void)
{
	ptx_module_unload(module);
}

TestSuite(ptx_check, .init = setup, .fini = teardown, .timeout = 60);

static enum ptx_status
run(const char *name, uint32_t grid, uint32_t block, const void *params, size_t size,
    struct ptx_fault *ret_fault)
{
	struct ptx_launch args = {
		.grid = {grid, 1, 1},
		.block = {block, 1, 1},
		.params = params,
		.params_size = size,
		.report = report,
	};

	report_count = 0;
	return ptx_run(ptx_module_kernel(module, name), &args, ret_fault);
}

/* How many races it has. */
static int
races(const char *name, uint32_t block, const void *params, size_t size)
{
	struct ptx_fault fault = {0};

	cr_assert_eq(run(name, 1, block, params, size, &fault), PTX_OK, "%s", fault.text);
	return report_count;
}

/* The line of check.cu with "// MARK @name". */
static int
marked_line(const char *name)
{
	char *text = read_text(CHECK_CU), mark[64], *at;
	int line = 1;

	snprintf(mark, sizeof(mark), "// MARK %s", name);
	at = strstr(text, mark);
	cr_assert_not_null(at);
	for (char *p = text; p < at; p++)
		line += *p == '\n';
	free(text);
	return line;
}

static void
expect_line(const char *text, const char *mark)
{
	char want[64];

	snprintf(want, sizeof(want), "(check.cu:%d)", marked_line(mark));
	cr_assert_not_null(strstr(text, want), "no %s in: %s", want, text);
}

Test(ptx_check, flags)
{
	cr_assert_eq(ptx_check_flags(), PTX_CHECK_BOUNDS | PTX_CHECK_RACE);
}

/* Two allocations of 4000 bytes on a page that is mapped as a whole. */
struct arena {
	char *page;
	int *first, *second;
};

static struct arena
make_arena(void)
{
	struct arena a = {.page = aligned_alloc(2 << 20, 2 << 20)};

	memset(a.page, 0, 2 << 20);
	a.first = (int *)(void *)(a.page + 4096);
	a.second = (int *)(void *)(a.page + 8192 + 512);
	ptx_bounds_note((uintptr_t)a.first, 4000);
	ptx_bounds_note((uintptr_t)a.second, 4000);
	return a;
}

static struct ptx_fault
store(int *p, int index, enum ptx_status want)
{
	struct {
		int *p;
		int index;
	} params = {p, index};
	struct ptx_fault fault = {0};

	cr_assert_eq(run("store_at", 1, 32, &params, sizeof(params), &fault), want, "%s",
		     fault.text);
	return fault;
}

Test(ptx_check, allocations_have_ends)
{
	struct arena a = make_arena();
	struct ptx_fault f;

	store(a.first, 0, PTX_OK);
	store(a.first, 999, PTX_OK);
	f = store(a.first, 1000, PTX_FAULT);
	cr_assert_eq((int)f.kind, PTX_FAULT_ADDRESS);
	cr_assert_eq(f.address, (uintptr_t)(a.first + 1000));
	cr_assert_eq(f.thread[0], 5);
	cr_assert_eq(a.first[1000], 0, "it was stored");
	cr_assert_not_null(strstr(f.text, "store_at, block (0,0,0) thread (5,0,0)"), "%s", f.text);
	cr_assert_not_null(strstr(f.text, "0 bytes behind the end of the 4000 bytes"), "%s",
			   f.text);
	expect_line(f.text, "store");
	f = store(a.first, -1, PTX_FAULT);
	cr_assert_not_null(strstr(f.text, "4 bytes before the 4000 bytes"), "%s", f.text);
	/* between the two, and behind the second */
	store(a.second, -3, PTX_FAULT);
	store(a.second, 70000, PTX_FAULT);
	/* the next page is not known */
	free(a.page);
}

Test(ptx_check, freed_memory)
{
	struct arena a = make_arena();
	struct ptx_fault f;

	ptx_bounds_freed((uintptr_t)a.first);
	f = store(a.first, 10, PTX_FAULT);
	cr_assert_not_null(strstr(f.text, "that were freed"), "%s", f.text);
	store(a.second, 10, PTX_OK);
	/* something else lies there now */
	ptx_bounds_note((uintptr_t)a.first, 64);
	store(a.first, 10, PTX_OK);
	store(a.first, 16, PTX_FAULT);
	/* and now the page is somebody else's */
	ptx_bounds_forget((uintptr_t)a.page, 2 << 20);
	store(a.first, 16, PTX_OK);
	free(a.page);
}

Test(ptx_check, wide_loads_and_atomics)
{
	struct arena a = make_arena();
	struct ptx_fault f = {0};
	struct {
		void *p;
		int index;
		void *out;
	} wide = {a.first, 249, a.second};
	struct {
		void *p;
		int index;
	} add = {a.first, 1000};

	cr_assert_eq(run("load_wide_at", 1, 1, &wide, sizeof(wide), &f), PTX_OK, "%s", f.text);
	ptx_bounds_note((uintptr_t)a.first, 3992);
	cr_assert_eq(run("load_wide_at", 1, 1, &wide, sizeof(wide), &f), PTX_FAULT);
	cr_assert_not_null(strstr(f.text, "load of 16 bytes"), "%s", f.text);
	cr_assert_not_null(strstr(f.text, "reaches 8 bytes beyond"), "%s", f.text);
	cr_assert_eq(run("add_at", 1, 32, &add, sizeof(add), &f), PTX_FAULT);
	cr_assert_not_null(strstr(f.text, "atomic of 4 bytes"), "%s", f.text);
	free(a.page);
}

Test(ptx_check, a_sum_with_and_without_barriers)
{
	static int in[256], out[1];
	struct {
		void *in, *out;
	} p = {in, out};

	for (int i = 0; i < 256; i++)
		in[i] = i;
	cr_assert_eq(races("sum_synced", 256, &p, sizeof(p)), 0, "%s", reports[0]);
	cr_assert_eq(out[0], 255 * 256 / 2);
	cr_assert_gt(races("sum_racing", 256, &p, sizeof(p)), 0);
	cr_assert_not_null(strstr(reports[0], "race in sum_racing, block (0,0,0)"), "%s",
			   reports[0]);
	cr_assert_not_null(strstr(reports[0], "shared address 0x"), "%s", reports[0]);
	cr_assert_not_null(strstr(reports[0], "nothing between"), "%s", reports[0]);
	expect_line(reports[0], "read");
}

Test(ptx_check, the_second_barrier_of_a_loop)
{
	static int out[128];
	struct {
		void *out;
		int second;
	} p = {out, 1};

	cr_assert_eq(races("rounds", 128, &p, sizeof(p)), 0, "%s", reports[0]);
	p.second = 0;
	cr_assert_gt(races("rounds", 128, &p, sizeof(p)), 0);
	cr_assert_not_null(strstr(reports[0], "thread (64,0,0)"), "%s", reports[0]);
}

Test(ptx_check, lanes_of_a_warp)
{
	static int out[32];
	struct {
		void *out;
		int synced;
	} p = {out, 1};

	cr_assert_eq(races("lanes", 32, &p, sizeof(p)), 0, "%s", reports[0]);
	p.synced = 0;
	cr_assert_gt(races("lanes", 32, &p, sizeof(p)), 0);
}

Test(ptx_check, atomics)
{
	static int in[256], out[16];
	struct {
		void *in, *out;
		int plain;
	} p = {in, out, 0};

	for (int i = 0; i < 256; i++)
		in[i] = i * 7;
	cr_assert_eq(races("histogram", 256, &p, sizeof(p)), 0, "%s", reports[0]);
	for (int i = 0; i < 16; i++)
		cr_assert_eq(out[i], 16);
	p.plain = 1;
	cr_assert_gt(races("histogram", 256, &p, sizeof(p)), 0);
}

Test(ptx_check, the_same_value)
{
	static int out[64];
	struct {
		void *out;
		int different;
	} p = {out, 0};

	cr_assert_eq(races("agree", 64, &p, sizeof(p)), 0, "%s", reports[0]);
	p.different = 1;
	cr_assert_gt(races("agree", 64, &p, sizeof(p)), 0);
}

Test(ptx_check, named_barriers)
{
	static int out[64];
	struct {
		void *out;
		int barriers;
	} p = {out, 1};

	cr_assert_eq(races("producer", 128, &p, sizeof(p)), 0, "%s", reports[0]);
	for (int i = 0; i < 64; i++)
		cr_assert_eq(out[i], 300 + 3 * (63 - i));
	p.barriers = 0;
	cr_assert_gt(races("producer", 128, &p, sizeof(p)), 0);
}

/* Nothing is looked at without being asked. */
Test(ptx_unchecked, off)
{
	static int in[256], out[1];
	struct {
		void *in, *out;
	} p = {in, out};
	struct arena a = make_arena();

	unsetenv("GENIE_CPU_CHECK");
	module = load_file(PTX_DIR "/check.75.ptx");
	cr_assert_eq(ptx_check_flags(), 0);
	cr_assert_eq(races("sum_racing", 256, &p, sizeof(p)), 0);
	store(a.first, 1000, PTX_OK);
	free(a.page);
	ptx_module_unload(module);
}
