/* What a wrong program gets: a fault that says where, and a process that goes on. */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test_ptx.h"

static struct ptx_module *module;

static void
setup(void)
{
	module = load_file(PTX_DIR "/basic.75.ptx");
}

static void
teardown(void)
{
	ptx_module_unload(module);
}

TestSuite(ptx_fault, .init = setup, .fini = teardown, .timeout = 60);

static struct ptx_fault
expect_fault(const char *name, uint32_t grid, uint32_t block, const void *params, size_t size,
	     int kind)
{
	struct ptx_fault fault = {0};
	struct ptx_launch args = {
		.grid = {grid, 1, 1},
		.block = {block, 1, 1},
		.params = params,
		.params_size = size,
	};

	cr_assert_eq(try_launch(module, name, &args, &fault), PTX_FAULT, "%s", name);
	cr_assert_eq((int)fault.kind, kind, "%s: %s", name, fault.text);
	cr_assert_not_null(strstr(fault.text, name), "%s", fault.text);
	return fault;
}

struct wild {
	void *p;
	int offset, lane;
};

Test(ptx_fault, unmapped_address)
{
	long page = sysconf(_SC_PAGESIZE);
	uint8_t *map = mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct wild p = {map, (int)(page / 4) + 3, 37};

	mprotect(map + page, (size_t)page, PROT_NONE);
	for (int i = 0; i < 3; i++) {
		struct ptx_fault f = expect_fault("wild", 3, 64, &p, sizeof(p), PTX_FAULT_ADDRESS);

		cr_assert_eq(f.address, (uintptr_t)map + (uintptr_t)page + 12, "%llx",
			     (unsigned long long)f.address);
		cr_assert_eq(f.thread[0], 37);
	}
	/* the engine still works */
	p.offset = 3;
	RUN(module, "wild", 1, 64, PARAMS(p));
	cr_assert_eq(((int *)(void *)map)[3], 1);
	munmap(map, 2 * (size_t)page);
}

Test(ptx_fault, null_and_noncanonical_addresses)
{
	struct wild p = {NULL, 0, 5};
	struct ptx_fault f = expect_fault("wild", 1, 32, &p, sizeof(p), PTX_FAULT_ADDRESS);

	cr_assert_eq(f.address, 0);
	p.p = (void *)0x1234567800000000ull;
	f = expect_fault("wild", 1, 32, &p, sizeof(p), PTX_FAULT_ADDRESS);
	cr_assert_eq(f.thread[0], 5);
	cr_assert_eq(f.address, 0x1234567800000000ull);
}

Test(ptx_fault, read_only_memory)
{
	long page = sysconf(_SC_PAGESIZE);
	void *map = mmap(NULL, (size_t)page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct wild p = {map, 1, 0};
	struct ptx_fault f = expect_fault("wild", 1, 32, &p, sizeof(p), PTX_FAULT_ADDRESS);

	cr_assert_eq(f.address, (uintptr_t)map + 4);
	munmap(map, (size_t)page);
}

Test(ptx_fault, shared_memory_out_of_range)
{
	int out[1];
	struct {
		int *out;
		int index;
	} p = {out, 100000};
	struct ptx_fault f =
		expect_fault("overrun_shared", 1, 32, &p, sizeof(p), PTX_FAULT_ADDRESS);

	cr_assert_not_null(strstr(f.text, "shared"), "%s", f.text);
	p.index = -1;
	expect_fault("overrun_shared", 1, 32, &p, sizeof(p), PTX_FAULT_ADDRESS);
	p.index = 16;
	expect_fault("overrun_shared", 1, 32, &p, sizeof(p), PTX_FAULT_ADDRESS);
	p.index = 15;
	RUN(module, "overrun_shared", 1, 32, PARAMS(p));
}

Test(ptx_fault, misaligned_address)
{
	_Alignas(16) char memory[64];
	struct {
		char *p;
	} p = {memory};
	struct ptx_fault f = expect_fault("misaligned", 1, 8, &p, sizeof(p), PTX_FAULT_MISALIGNED);

	cr_assert_eq(f.thread[0], 1);
	cr_assert_eq(f.address, (uintptr_t)memory + 1);
}

Test(ptx_fault, trap)
{
	struct {
		int thread;
	} p = {77};
	struct ptx_fault f = expect_fault("trap_in", 1, 128, &p, sizeof(p), PTX_FAULT_TRAP);

	cr_assert_eq(f.thread[0], 77);
}

Test(ptx_fault, stack_overflow)
{
	int out[64];
	struct {
		int *out;
		int n;
	} p = {out, 100};

	RUN(module, "overflow_stack", 1, 33, PARAMS(p));
	cr_assert_eq(out[32], 5050);
	p.n = 1000000;
	expect_fault("overflow_stack", 1, 33, &p, sizeof(p), PTX_FAULT_ADDRESS);
}

Test(ptx_fault, bad_launches)
{
	struct {
		int thread;
	} p = {77};
	struct ptx_launch args = {.grid = {1, 1, 1}, .block = {1025, 1, 1}, PARAMS(p)};
	struct ptx_fault fault;

	cr_assert_eq(try_launch(module, "trap_in", &args, &fault), PTX_INVALID);
	args.block[0] = 0;
	cr_assert_eq(try_launch(module, "trap_in", &args, &fault), PTX_INVALID);
	args.block[0] = 32;
	args.grid[2] = 0;
	cr_assert_eq(try_launch(module, "trap_in", &args, &fault), PTX_INVALID);
	args.grid[2] = 1;
	args.params_size = 2;
	cr_assert_eq(try_launch(module, "trap_in", &args, &fault), PTX_INVALID);
	args.params_size = 4;
	cr_assert_eq(try_launch(module, "trap_in", &args, NULL), PTX_OK);
}

static volatile sig_atomic_t outside;
static sigjmp_buf outside_jump;

static void
outside_handler(int number)
{
	(void)number;
	outside++;
	siglongjmp(outside_jump, 1);
}

/* Faults that are not the program's go to whoever was there before. */
Test(ptx_fault, other_faults_are_passed_on)
{
	struct sigaction action = {.sa_handler = outside_handler};
	struct {
		int thread;
	} p = {77};

	volatile int *unmapped = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	sigaction(SIGSEGV, &action, NULL);
	RUN(module, "trap_in", 1, 32, PARAMS(p)); /* installs the engine's handler */
	if (!sigsetjmp(outside_jump, 1))
		*unmapped = 1;
	cr_assert_eq(outside, 1);
}

Test(ptx_fault, deadlock_is_reported)
{
	struct ptx_module *m = load_text(".version 8.0\n.target sm_75\n.address_size 64\n"
					 ".visible .entry stuck()\n{\n"
					 ".reg .pred %p1;\n.reg .b32 %r1;\n"
					 "mov.u32 %r1, %tid.x;\n"
					 "setp.lt.u32 %p1, %r1, 32;\n"
					 "@%p1 bra ONE;\n"
					 "bar.sync 2, 96;\n"
					 "ret;\n"
					 "ONE: bar.sync 1, 96;\n"
					 "ret;\n}\n");
	struct ptx_launch args = {.grid = {1, 1, 1}, .block = {64, 1, 1}};
	struct ptx_fault fault;

	cr_assert_eq(try_launch(m, "stuck", &args, &fault), PTX_FAULT);
	cr_assert_not_null(strstr(fault.text, "deadlock"), "%s", fault.text);
	ptx_module_unload(m);
}

Test(ptx_fault, unsupported_instruction_faults_when_executed)
{
	struct ptx_module *m = load_text(".version 9.0\n.target sm_120\n.address_size 64\n"
					 ".visible .entry odd(.param .u32 go)\n{\n"
					 ".reg .pred %p1;\n.reg .b32 %r<3>;\n.reg .b64 %rd1;\n"
					 "ld.param.u32 %r1, [go];\n"
					 "setp.eq.u32 %p1, %r1, 0;\n"
					 "@%p1 ret;\n"
					 "tcgen05.something.odd %r2, [%rd1];\n"
					 "ret;\n}\n");
	struct {
		uint32_t go;
	} p = {0};
	struct ptx_launch args = {.grid = {1, 1, 1}, .block = {64, 1, 1}, PARAMS(p)};
	struct ptx_fault fault;

	cr_assert_eq(try_launch(m, "odd", &args, &fault), PTX_OK);
	p.go = 1;
	cr_assert_eq(try_launch(m, "odd", &args, &fault), PTX_UNSUPPORTED);
	cr_assert_eq(fault.kind, PTX_FAULT_UNSUPPORTED);
	cr_assert_not_null(strstr(fault.text, "tcgen05.something.odd"), "%s", fault.text);
	ptx_module_unload(m);
}
