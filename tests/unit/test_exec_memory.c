/* remote/exec_memory.c: mapping, and unmapping that must wait for the device. */
#include <criterion/criterion.h>

#include <sys/mman.h>

#include "tests/unit/remote_fake.h"

static void
init(void)
{
	fake_start(GENIE_DEVICE_RECORD, NULL);
	fake_ctx();
}

TestSuite(exec_memory, .init = init, .fini = fake_stop, .timeout = 20);

static void
map(uint64_t addr, uint64_t size, int dev)
{
	struct genie_args_genieMemMap args = {.addr = addr, .size = size, .device = dev};

	fake.errors = 0;
	cr_assert_eq(fake_call(GENIE_OP_genieMemMap, &args, 0), 0);
}

static void
unmap(uint64_t addr, uint64_t size)
{
	struct genie_args_genieMemUnmap args = {.addr = addr, .size = size};

	fake.errors = 0;
	cr_assert_eq(fake_call(GENIE_OP_genieMemUnmap, &args, 0), 0);
}

static void
work(CUstream stream)
{
	struct genie_args_cuMemsetD8Async args = {
		.dstDevice = FAKE_WINDOW, .N = 16, .hStream = stream};

	cr_assert_eq(fake_call(GENIE_OP_cuMemsetD8Async, &args, 1), 0);
}

static void
settle(void)
{
	struct genie_args_genieCtxMark args = {0};

	cr_assert_eq(fake_call(GENIE_OP_genieCtxMark, &args, 1), 0);
	cr_assert(fake_reached(GENIE_SLOT_CTX + 1));
}

Test(exec_memory, map_and_unmap_when_idle)
{
	map(FAKE_WINDOW, PAGE2M, 0);
	cr_assert_eq(fake.errors, 0);
	cr_assert_eq(device.maps, 1);
	unmap(FAKE_WINDOW, PAGE2M);
	cr_assert_eq(fake.errors, 0);
	cr_assert_eq(device.unmaps, 1);
	cr_assert_eq(device.releases, 1);
}

Test(exec_memory, hostile_ranges_are_refused)
{
	const struct {
		uint64_t addr, size;
	} bad[] = {
		{0, PAGE2M},
		{FAKE_WINDOW, 0},
		{FAKE_WINDOW + 4096, PAGE2M},
		{FAKE_WINDOW, 4096},
		{FAKE_WINDOW - PAGE2M, PAGE2M},
		{FAKE_WINDOW + FAKE_WINDOW_SIZE, PAGE2M},
		{FAKE_WINDOW + FAKE_WINDOW_SIZE - PAGE2M, 2 * PAGE2M},
		{FAKE_WINDOW, UINT64_MAX - PAGE2M + 1},
		{UINT64_MAX - PAGE2M + 1, PAGE2M},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		map(bad[i].addr, bad[i].size, 0);
		cr_assert_eq(fake.errors, 1, "case %zu", i);
		unmap(bad[i].addr, bad[i].size);
		cr_assert_eq(fake.errors, 1, "case %zu", i);
	}
	map(FAKE_WINDOW, PAGE2M, -1);
	cr_assert_eq(fake.error.status, CUDA_ERROR_INVALID_DEVICE);
	map(FAKE_WINDOW, PAGE2M, 2);
	cr_assert_eq(fake.errors, 1);
	cr_assert_eq(device.maps, 0);
}

Test(exec_memory, overlaps_and_parts_are_refused)
{
	map(FAKE_WINDOW, 4 * PAGE2M, 0);
	map(FAKE_WINDOW + PAGE2M, PAGE2M, 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_ALREADY_MAPPED);
	unmap(FAKE_WINDOW, PAGE2M);
	cr_assert_eq(fake.errors, 1);
	unmap(FAKE_WINDOW + PAGE2M, PAGE2M);
	cr_assert_eq(fake.errors, 1);
	unmap(FAKE_WINDOW + 8 * PAGE2M, PAGE2M);
	cr_assert_eq(fake.errors, 1);
	cr_assert_eq(device.unmaps, 0);
	map(FAKE_WINDOW + 4 * PAGE2M, PAGE2M, 1);
	cr_assert_eq(fake.errors, 0);
	unmap(FAKE_WINDOW, 5 * PAGE2M); /* two whole mappings, side by side */
	cr_assert_eq(fake.errors, 0);
	cr_assert_eq(device.unmaps, 2);
}

Test(exec_memory, unmap_waits_for_work_that_may_use_it)
{
	CUstream stream = fake_stream(3);

	map(FAKE_WINDOW, PAGE2M, 0);
	fake_hold();
	work(stream);
	unmap(FAKE_WINDOW, PAGE2M);
	cr_assert_eq(device.unmaps, 0);
	fake_go();
	settle();
	cr_assert_eq(device.unmaps, 1);
}

Test(exec_memory, mapping_again_takes_the_unmap_back)
{
	CUstream stream = fake_stream(3);

	map(FAKE_WINDOW, PAGE2M, 0);
	fake_hold();
	work(stream);
	unmap(FAKE_WINDOW, PAGE2M);
	map(FAKE_WINDOW, PAGE2M, 0);
	cr_assert_eq(fake.errors, 0);
	fake_go();
	settle();
	cr_assert_eq(device.unmaps, 0);
	cr_assert_eq(device.creates, 1);
	unmap(FAKE_WINDOW, PAGE2M);
	settle();
	cr_assert_eq(device.unmaps, 1);
}

static void *
go_soon(void *data)
{
	const struct timespec moment = {.tv_nsec = 20000000};

	(void)data;
	nanosleep(&moment, NULL);
	fake_go();
	return NULL;
}

Test(exec_memory, mapping_something_else_there_waits_for_the_unmap)
{
	CUstream stream = fake_stream(3);
	pthread_t thread;

	map(FAKE_WINDOW, 2 * PAGE2M, 0);
	fake_hold();
	work(stream);
	unmap(FAKE_WINDOW, 2 * PAGE2M);
	pthread_create(&thread, NULL, go_soon, NULL);
	map(FAKE_WINDOW + PAGE2M, PAGE2M, 1);
	pthread_join(thread, NULL);
	cr_assert_eq(fake.errors, 0);
	cr_assert_eq(device.unmaps, 1);
	cr_assert_eq(device.maps, 2);
}

Test(exec_memory, credit_bounds_what_is_mapped)
{
	struct genie_args_genieMemCredit credit = {.device = 0, .want = PAGE2M};
	size_t granted = 99;

	map(FAKE_WINDOW, (uint64_t)1 << 30, 0);
	cr_assert_eq(fake.errors, 0);
	map(FAKE_WINDOW + ((uint64_t)2 << 30), PAGE2M, 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_OUT_OF_MEMORY);
	credit.granted = &granted;
	cr_assert_eq(fake_call(GENIE_OP_genieMemCredit, &credit, 0), 0);
	cr_assert_geq(granted, PAGE2M);
	map(FAKE_WINDOW + ((uint64_t)2 << 30), PAGE2M, 0);
	cr_assert_eq(fake.errors, 0);
	credit.want = (size_t)64 << 30; /* more than there is */
	cr_assert_eq(fake_call(GENIE_OP_genieMemCredit, &credit, 0), 0);
	cr_assert_eq(granted, 0);
	credit.want = SIZE_MAX;
	cr_assert_eq(fake_call(GENIE_OP_genieMemCredit, &credit, 0), 0);
	cr_assert_eq(fake.reply.status, CUDA_ERROR_OUT_OF_MEMORY);
	credit.device = 17;
	cr_assert_eq(fake_call(GENIE_OP_genieMemCredit, &credit, 0), 0);
	cr_assert_eq(fake.reply.status, CUDA_ERROR_INVALID_DEVICE);
}

static size_t
ask(uint64_t want)
{
	size_t granted = 99;
	struct genie_args_genieMemCredit credit = {.want = want, .granted = &granted};

	cr_assert_eq(fake_call(GENIE_OP_genieMemCredit, &credit, 0), 0);
	cr_assert_eq(fake.reply.status, CUDA_SUCCESS);
	memcpy(&granted, fake.reply.payload, sizeof(granted));
	return granted;
}

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

/* The fake device always says that 8 GiB are free; this session has the promise of one. */
Test(exec_memory, what_others_were_promised_is_theirs)
{
	struct genie_ledger_entry *other = genie_ledger_join(fake.ledger, 2);

	other->credit[0] = 7 * GIB;
	cr_assert_eq(ask(PAGE2M), 0);
	other->credit[0] = 6 * GIB; /* 1 GiB is nobody's */
	cr_assert_eq(ask(2 * GIB), 0);
	cr_assert_geq(ask(512 * MIB), 512 * MIB);
	genie_ledger_leave(fake.ledger, 2);
	cr_assert_geq(ask(5 * GIB), 5 * GIB);
}

Test(exec_memory, near_the_end_memory_is_allocated_before_it_is_promised)
{
	struct genie_ledger_entry *other = genie_ledger_join(fake.ledger, 2);
	unsigned int creates = device.creates;

	map(FAKE_WINDOW, GIB, 0);
	creates = device.creates;
	other->credit[0] = 8 * GIB - 100 * MIB;
	cr_assert_eq(ask(6 * MIB), 6 * MIB, "not a byte more");
	cr_assert_eq(device.creates, creates + 1);
	cr_assert_eq(device.releases, 0);
	/* The map that comes next gets it. */
	map(FAKE_WINDOW + 2 * GIB, 6 * MIB, 0);
	cr_assert_eq(fake.errors, 0);
	cr_assert_eq(device.releases, 1);
	cr_assert_eq(device.creates, creates + 2);
	/* The device says no: so does the answer, and nothing is promised. */
	device.fail_next_create = CUDA_ERROR_OUT_OF_MEMORY;
	cr_assert_eq(ask(6 * MIB), 6 * MIB, "tried again after everything was unmapped");
	map(FAKE_WINDOW + 3 * GIB, 6 * MIB, 0);
	cr_assert_eq(fake.errors, 0);
	map(FAKE_WINDOW + 4 * GIB, PAGE2M, 0);
	cr_assert_eq(fake.error.status, CUDA_ERROR_OUT_OF_MEMORY);
}

Test(exec_memory, what_is_unmapped_is_everybodys_but_for_a_little)
{
	struct genie_ledger_entry *other = genie_ledger_join(fake.ledger, 2);
	uint64_t promised, mapped;

	map(FAKE_WINDOW, GIB, 0);
	genie_ledger_others(fake.ledger, other, 0, &promised, &mapped);
	cr_assert_eq(promised, 0);
	cr_assert_eq(mapped, GIB);
	unmap(FAKE_WINDOW, GIB);
	genie_ledger_others(fake.ledger, other, 0, &promised, &mapped);
	cr_assert_eq(promised, GENIE_CREDIT_MAX);
	cr_assert_eq(mapped, 0);
}

Test(exec_memory, the_ledger_has_an_entry_for_each)
{
	struct genie_ledger *ledger = genie_ledger_create();
	struct genie_ledger_entry *entry, *first = NULL;
	uint64_t promised, mapped;

	for (int pid = 1; pid <= 4096; pid++) {
		entry = genie_ledger_join(ledger, pid);
		cr_assert_not_null(entry);
		first = first ? first : entry;
		entry->credit[3] = (uint64_t)pid;
		entry->mapped[3] = 1;
	}
	genie_ledger_others(ledger, entry, 3, &promised, &mapped);
	cr_assert_eq(mapped, 4095);
	cr_assert_eq(promised, 4095ull * 4096 / 2 - 4095);
	genie_ledger_leave(ledger, 1);
	cr_assert_eq(genie_ledger_join(ledger, 5000), first, "used again");
	cr_assert_eq(first->credit[3], 0);
	for (int pid = 6000; genie_ledger_join(ledger, pid); pid++)
		cr_assert_lt(pid, 7000, "it ends somewhere");
	genie_ledger_leave(ledger, 4096);
	cr_assert_not_null(genie_ledger_join(ledger, 8000));
	genie_ledger_others(NULL, NULL, 0, &promised, &mapped);
	cr_assert_eq(promised + mapped, 0);
	genie_ledger_destroy(ledger);
}

Test(exec_memory, when_memory_is_short_unmaps_are_carried_out_first)
{
	device.fail_next_create = CUDA_ERROR_OUT_OF_MEMORY;
	map(FAKE_WINDOW, PAGE2M, 0);
	cr_assert_eq(fake.errors, 0);
	cr_assert_eq(device.creates, 1);
}

Test(exec_memory, many_mappings_stay_apart)
{
	for (uint64_t i = 0; i < 400; i++) /* not in order */
		map(FAKE_WINDOW + (i * 7919 % 400) * PAGE2M, PAGE2M, 0);
	cr_assert_eq(device.maps, 400);
	for (uint64_t i = 0; i < 400; i++) {
		unmap(FAKE_WINDOW + (i * 31 % 400) * PAGE2M, PAGE2M);
		cr_assert_eq(fake.errors, 0);
	}
	cr_assert_eq(device.unmaps, 400);
}

Test(exec_memory, pinned_ranges_are_checked_and_unregistered_late)
{
	uint64_t base = (uintptr_t)fake.pinned;
	struct genie_args_geniePinnedMap bad = {.addr = base, .size = FAKE_PINNED_SIZE + 4096};
	struct genie_args_geniePinnedMap good = {.addr = base, .size = 65536};
	struct genie_args_geniePinnedUnmap gone = {.addr = base, .size = 65536};
	CUstream stream = fake_stream(3);

	cr_assert_eq(fake_call(GENIE_OP_geniePinnedMap, &bad, 0), 0);
	bad = (struct genie_args_geniePinnedMap){.addr = base + 100, .size = 4096};
	cr_assert_eq(fake_call(GENIE_OP_geniePinnedMap, &bad, 0), 0);
	bad = (struct genie_args_geniePinnedMap){.addr = 0, .size = 4096};
	cr_assert_eq(fake_call(GENIE_OP_geniePinnedMap, &bad, 0), 0);
	cr_assert_eq(fake.errors, 3);
	cr_assert_eq(device.registers, 0);
	cr_assert_eq(fake_call(GENIE_OP_geniePinnedMap, &good, 0), 0);
	cr_assert_eq(device.registers, 1);
	fake_hold();
	work(stream);
	cr_assert_eq(fake_call(GENIE_OP_geniePinnedUnmap, &gone, 0), 0);
	cr_assert_eq(device.unregisters, 0);
	fake_go();
	settle();
	cr_assert_eq(device.unregisters, 1);
}

/* ---- memory that the program has registered ---- */

/* Asks for @size bytes of the window, from @window on, at @addr too. Where they are, 0: refused. */
static uint64_t
host_share(uint64_t addr, uint64_t window, uint64_t size)
{
	unsigned long long placed = 0;
	struct genie_args_genieHostShare args = {
		.addr = addr, .window = window, .size = size, .placed = &placed};

	cr_assert_eq(fake_call(GENIE_OP_genieHostShare, &args, 0), 0);
	return fake.reply.status == CUDA_SUCCESS ? placed : 0;
}

static void
host_unshare(uint64_t addr)
{
	struct genie_args_genieHostUnshare args = {.addr = addr};

	cr_assert_eq(fake_call(GENIE_OP_genieHostUnshare, &args, 0), 0);
}

static void
copy_pinned(uint64_t src, uint64_t size, CUstream stream)
{
	struct genie_args_genieMemcpyHtoDPinned args = {
		.dst = FAKE_WINDOW, .src = src, .size = size, .stream = stream};

	cr_assert_eq(fake_call(GENIE_OP_genieMemcpyHtoDPinned, &args, 0), 0);
}

/* Addresses that are free here, as the program's are in a worker. */
static uint64_t
free_place(uint64_t size)
{
	void *place = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(place, size);
	return (uintptr_t)place;
}

Test(exec_memory, pages_are_shared_at_the_programs_address)
{
	uint64_t window = (uintptr_t)fake.pinned, size = 8192, addr = free_place(size);
	CUstream stream = fake_stream(3);

	map(FAKE_WINDOW, PAGE2M, 0);
	cr_assert_eq(host_share(addr, window + 4096, size), addr);
	cr_assert_eq(fake.errors, 0);
	cr_assert_eq(device.registers, 1);
	((char *)fake.pinned)[4096 + 5] = 55;
	cr_assert_eq(*(char *)(uintptr_t)(addr + 5), 55);
	copy_pinned(addr + 10, size - 10, stream);
	cr_assert_eq(fake.errors, 0);
	copy_pinned(addr + 10, size - 9, stream);
	cr_assert_eq(fake.errors, 1, "beyond its end");
	copy_pinned(addr - 1, 2, stream);
	cr_assert_eq(fake.errors, 2, "before it");

	/* It stays as long as something may use it. */
	fake_hold();
	work(stream);
	host_unshare(addr);
	cr_assert_eq(device.unregisters, 0);
	copy_pinned(addr, 16, stream);
	cr_assert_eq(fake.errors, 3, "but no new command may name it");
	fake_go();
	settle();
	cr_assert_eq(device.unregisters, 1);
	cr_assert_eq(msync((void *)(uintptr_t)addr, 4096, MS_ASYNC), -1, "nothing is mapped there");
	host_unshare(addr);
	cr_assert_eq(fake.errors, 4);
}

Test(exec_memory, pages_are_shared_where_there_is_room)
{
	uint64_t window = (uintptr_t)fake.pinned;
	char *taken = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* Something of the worker's own: the block itself, and what is there stays as it is. */
	taken[4096] = 7;
	cr_assert_eq(host_share((uintptr_t)taken, window, 8192), window);
	cr_assert_eq(fake.errors, 0);
	((char *)fake.pinned)[4096] = 8;
	cr_assert_eq(taken[4096], 7);
	cr_assert_eq(device.registers, 1);
	host_unshare(window);
	settle();
	cr_assert_eq(device.unregisters, 1);
	cr_assert_eq(taken[4096], 7);
	munmap(taken, 8192);
}

Test(exec_memory, pages_that_are_not_the_clients_are_not_shared)
{
	uint64_t window = (uintptr_t)fake.pinned, addr = free_place(8192);

	cr_assert_eq(host_share(addr, window + FAKE_PINNED_SIZE, 4096), 0);
	cr_assert_eq(host_share(addr, window + FAKE_PINNED_SIZE - 4096, 8192), 0);
	cr_assert_eq(host_share(addr, (uintptr_t)&device & ~(uint64_t)4095, 4096), 0);
	cr_assert_eq(host_share(addr + 1, window, 4096), 0);
	cr_assert_eq(host_share(addr, window + 1, 4096), 0);
	cr_assert_eq(host_share(addr, window, 100), 0);
	cr_assert_eq(host_share(addr, window, 0), 0);
	cr_assert_eq(host_share(UINT64_MAX - 4095, window, 8192), 0);
	cr_assert_eq(device.registers, 0);
	cr_assert_eq(host_share(addr, window, 4096), addr);
	cr_assert_eq(host_share(addr, window + 4096, 4096), 0, "there is something already");
	cr_assert_eq(device.registers, 1);
}

/* ---- the fence ---- */

static void
fence(void)
{
	struct genie_args_genieMemFence args = {0};

	cr_assert_eq(fake_call(GENIE_OP_genieMemFence, &args, 0), 0);
}

Test(exec_memory, a_fence_costs_nothing_with_one_stream)
{
	CUstream stream = fake_stream(3);
	unsigned int records = device.records;

	for (int i = 0; i < 100; i++) {
		work(stream);
		fence();
	}
	cr_assert_eq(device.records, records);
	cr_assert_eq(device.waits, 0);
}

Test(exec_memory, a_fence_makes_another_stream_wait)
{
	CUstream a = fake_stream(3);
	CUstream b = fake_stream(4);
	CUstream c = fake_stream(5);

	work(a);
	fence();
	work(a);
	cr_assert_eq(device.waits, 0);
	work(b);
	cr_assert_eq(device.waits, 1);
	work(b);
	cr_assert_eq(device.waits, 1);
	fence(); /* a and b were used */
	work(c);
	cr_assert_eq(device.waits, 3);
	fence();
	fence();
	fence(); /* nothing between them */
	work(a);
	cr_assert_eq(device.waits, 4);
}

Test(exec_memory, a_fence_remembers_destroyed_streams)
{
	CUstream a = fake_stream(3);
	CUstream b = fake_stream(4);
	struct genie_args_cuStreamDestroy_v2 destroy = {.hStream = a};

	work(a);
	fence();
	cr_assert_eq(fake_call(GENIE_OP_cuStreamDestroy_v2, &destroy, 1), 0);
	work(b);
	cr_assert_eq(device.waits, 1);
}
