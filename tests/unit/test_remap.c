/* interpose/remap.c and vma.c, against this machine's kernel: pages replaced under threads. */
#include "interpose/remap.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interpose/vma.h"

#if defined(__SANITIZE_THREAD__)
#define HAS_COMPANY 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_COMPANY 1
#endif
#endif

#define PAGE  4096u
#define PAGES 3000u /* more than one step */
#define SIZE  (PAGES * PAGE)

static uint8_t *memory, *window;
static int window_fd;

static uint64_t
at(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

static void
window_make(void)
{
	window_fd = memfd_create("test-window", MFD_CLOEXEC);
	cr_assert(window_fd >= 0 && ftruncate(window_fd, SIZE) == 0);
	window = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, window_fd, 0);
	cr_assert_neq(window, MAP_FAILED);
	madvise(window, SIZE, MADV_DONTDUMP);
}

static void
start(void)
{
	window_make();
	/* Not merged with neighbours that this test knows nothing of. */
	memory = mmap(NULL, SIZE + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(memory, MAP_FAILED);
	memory += PAGE;
	cr_assert_eq(mprotect(memory, SIZE, PROT_READ | PROT_WRITE), 0);
}

static uint8_t
pattern(size_t i)
{
	return (uint8_t)(i * 7 + i / PAGE);
}

static void
fill(void)
{
	for (size_t i = 0; i < SIZE; i++)
		memory[i] = pattern(i);
}

static void
check_filled(const uint8_t *bytes)
{
	for (size_t i = 0; i < SIZE; i++)
		if (bytes[i] != pattern(i))
			cr_assert(false, "byte %zu is %u", i, bytes[i]);
}

static bool
can_hold(int flags)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | flags);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* System calls that no longer exist for this process, as under a container's filter. */
static void
forbid_userfaultfd(bool only_privileged)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, only_privileged ? 1 : 0, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

Test(remap, same_contents_and_shared, .init = start, .timeout = 60)
{
	fill();
	if (!can_hold(1))
		cr_skip_test("no userfaultfd here");
	errno = 77;
	cr_assert_null(genie_remap_obstacle(at(memory), SIZE));
	cr_assert_eq(genie_remap_in(at(memory), at(window), SIZE), 0);
	cr_assert_eq(errno, 77);
	check_filled(memory);
	check_filled(window);
	memory[5] = 99;
	window[SIZE - 1] = 98;
	cr_assert(window[5] == 99 && memory[SIZE - 1] == 98);
	cr_assert_str_eq(genie_remap_obstacle(at(memory), SIZE), "it is shared already");
	memory[5] = pattern(5);
	memory[SIZE - 1] = pattern(SIZE - 1);

	cr_assert_eq(genie_remap_out(at(memory), at(window), SIZE, -1), 0);
	cr_assert_eq(errno, 77);
	check_filled(memory);
	memory[5] = 97;
	window[6] = 96;
	cr_assert(window[5] == pattern(5) && memory[6] == pattern(6));
	cr_assert_null(genie_remap_obstacle(at(memory), SIZE), "as it was");
}

/* ---- threads that write meanwhile ---- */

static atomic_bool stop, failed;
static atomic_uint begun;

/* One word of each page is this thread's, and is what it last wrote. */
static void *
writer(void *data)
{
	size_t offset = (size_t)(uintptr_t)data * 64;
	uint32_t value = 0;

	while (!atomic_load(&stop)) {
		value++;
		for (size_t page = 0; page < PAGES; page += 3) {
			_Atomic uint32_t *word = (void *)(memory + page * PAGE + offset);

			if (atomic_load(word) != value - 1)
				atomic_store(&failed, true);
			atomic_store(word, value);
			if (atomic_load(word) != value)
				atomic_store(&failed, true);
		}
		atomic_fetch_add(&begun, 1);
	}
	return NULL;
}

/* The kernel writes for this one. */
static void *
reader_of_file(void *data)
{
	int fd = *(int *)data;
	uint8_t byte = 0;

	while (!atomic_load(&stop)) {
		byte++;
		for (size_t page = 1; page < PAGES; page += 7) {
			uint8_t *to = memory + page * PAGE + 4000;

			if (pwrite(fd, &byte, 1, 0) != 1 || pread(fd, to, 1, 0) != 1 || *to != byte)
				atomic_store(&failed, true);
		}
		atomic_fetch_add(&begun, 1);
	}
	return NULL;
}

static void
replace_under_writers(bool with_calls)
{
	pthread_t threads[3];
	size_t count = 0;
	int fd = memfd_create("bytes", MFD_CLOEXEC);

	memset(memory, 0, SIZE);
	for (uintptr_t i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&threads[count++], NULL, writer, (void *)i), 0);
	if (with_calls)
		cr_assert_eq(pthread_create(&threads[count++], NULL, reader_of_file, &fd), 0);
	while (atomic_load(&begun) < 10)
		usleep(1000);
	for (int round = 0; round < 12; round++) {
		cr_assert_eq(genie_remap_in(at(memory), at(window), SIZE), 0);
		usleep(2000);
		cr_assert_eq(genie_remap_out(at(memory), at(window), SIZE, -1), 0);
		usleep(2000);
		cr_assert_not(atomic_load(&failed), "a write was lost in round %d", round);
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	cr_assert_not(atomic_load(&failed), "a write was lost");
	close(fd);
}

Test(remap, writers_lose_nothing, .init = start, .timeout = 120)
{
	if (!can_hold(1))
		cr_skip_test("no userfaultfd here");
	replace_under_writers(can_hold(0));
}

Test(remap, writers_without_privilege, .init = start, .timeout = 120)
{
	if (!can_hold(1))
		cr_skip_test("no userfaultfd here");
	forbid_userfaultfd(true);
	cr_assert_not(can_hold(0));
	replace_under_writers(false);
}

/* ---- nobody can be held back ---- */

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what))                                                                       \
			_exit(__LINE__ % 200 + 1);                                                 \
	} while (0)

static bool
is_filled(const uint8_t *bytes)
{
	for (size_t i = 0; i < SIZE; i++)
		if (bytes[i] != pattern(i))
			return false;
	return true;
}

/* In a process of its own, which has one thread. */
static void
check_alone(void)
{
	uint8_t *other = memory;
	pthread_t thread;

	forbid_userfaultfd(false);
	CHECK(!can_hold(1));
	fill();
	CHECK(genie_remap_in(at(memory), at(window), SIZE) == 0 && is_filled(window));
	CHECK(genie_remap_out(at(memory), at(window), SIZE, -1) == 0 && is_filled(memory));
	memory[1] = 10;
	CHECK(window[1] != 10);
	memory[1] = pattern(1);
	CHECK(genie_remap_in(at(memory), at(window), SIZE) == 0);

	/* Now there is somebody. The window's file has a way out, in one step. */
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(pthread_create(&thread, NULL, writer, NULL) == 0);
	CHECK(genie_remap_in(at(memory), at(window), SIZE) == -EPERM);
	CHECK(genie_remap_out(at(other), at(window), SIZE, -1) == -EUCLEAN);
	other[1] = 11;
	CHECK(window[1] == 11); /* it is still shared */
	CHECK(genie_remap_out(at(other), at(window), SIZE, STDERR_FILENO) == -EUCLEAN);
	other[1] = 12;
	CHECK(window[1] == 12); /* that was another file */
	other[1] = pattern(1);
	CHECK(genie_remap_out(at(other), at(window), SIZE, window_fd) == -EUCLEAN);
	CHECK(is_filled(other) && window[1] == 0); /* and the file's pages are gone */
	window[2] = 13;
	CHECK(other[2] == pattern(2));
	CHECK(madvise(other, PAGE, MADV_DONTNEED) == 0);
	_exit(0);
}

Test(remap, alone_or_not_at_all, .init = start, .timeout = 60)
{
	int status;
	pid_t child;

#ifdef HAS_COMPANY
	cr_skip_test("ThreadSanitizer has a thread of its own");
#endif
	child = fork();
	if (child == 0)
		check_alone();
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0, "line %d and so on", WEXITSTATUS(status) - 1);
}

/* ---- what stays ---- */

static void
expect_stays(const char *why)
{
	const char *obstacle = genie_remap_obstacle(at(memory) + PAGE, 8 * PAGE);

	cr_assert_not_null(obstacle, "%s", why);
	cr_assert_not_null(strstr(obstacle, why), "%s instead of %s", obstacle, why);
}

Test(remap, what_stays_where_it_is, .init = start, .timeout = 60)
{
	uint8_t *place = memory + 4 * PAGE;
	char path[] = "/tmp/remap-XXXXXX";
	int fd = mkstemp(path);
	/* not of a variable: sanitizers may have those elsewhere */
	uint64_t here = at(__builtin_frame_address(0)) & ~(uint64_t)(PAGE - 1);

	cr_assert(fd >= 0 && unlink(path) == 0 && ftruncate(fd, PAGE) == 0);
	cr_assert_null(genie_remap_obstacle(at(memory) + PAGE, 8 * PAGE));
	cr_assert_eq(mprotect(place, PAGE, PROT_READ), 0);
	expect_stays("not just readable and writable");
	cr_assert_eq(mprotect(place, PAGE, PROT_READ | PROT_WRITE), 0);
	/* Sanitizers make nothing of the functions. */
	if (syscall(SYS_mlock, place, PAGE) == 0) {
		expect_stays("locked");
		syscall(SYS_munlock, place, PAGE);
	}
	cr_assert_eq(madvise(place, PAGE, MADV_DONTFORK), 0);
	expect_stays("out of children");
	madvise(place, PAGE, MADV_DOFORK);
	cr_assert_eq(madvise(place, PAGE, MADV_WIPEONFORK), 0);
	expect_stays("wiped");
	madvise(place, PAGE, MADV_KEEPONFORK);
	cr_assert_null(genie_remap_obstacle(at(memory) + PAGE, 8 * PAGE));

	cr_assert_eq(mmap(place, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0),
		     place);
	expect_stays("a file's");
	cr_assert_eq(mmap(place, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0),
		     place);
	expect_stays("shared");
	cr_assert_eq(mmap(place, PAGE, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		     place);
	expect_stays("shared");
	cr_assert_eq(munmap(place, PAGE), 0);
	expect_stays("not mapped");
	cr_assert_not_null(genie_remap_obstacle(at(memory) + (PAGES - 1) * PAGE, 2 * PAGE),
			   "its end");

	cr_assert_not_null(genie_remap_obstacle(here, PAGE), "the stack");
	cr_assert_not_null(genie_remap_obstacle(at(&errno) & ~(uint64_t)(PAGE - 1), PAGE),
			   "what every call may write to");
	cr_assert_eq(genie_remap_in(here, at(window), PAGE), -EPERM);
	close(fd);
}

Test(remap, huge_pages, .init = start, .timeout = 60)
{
	size_t huge = 2u << 20;
	uint8_t *pages = mmap(NULL, huge, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (pages != MAP_FAILED)
		cr_assert_not_null(genie_remap_obstacle(at(pages), huge));

	/* Those that the kernel makes on its own are pages like others. */
	pages = mmap(NULL, 4 * huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(pages, MAP_FAILED);
	pages = (uint8_t *)((at(pages) + huge - 1) & ~(uint64_t)(huge - 1));
	madvise(pages, 2 * huge, MADV_HUGEPAGE);
	for (size_t i = 0; i < 2 * huge; i++)
		pages[i] = pattern(i);
	if (!can_hold(1))
		cr_skip_test("no userfaultfd here");
	cr_assert_null(genie_remap_obstacle(at(pages) + PAGE, 2 * huge - 2 * PAGE));
	cr_assert_eq(genie_remap_in(at(pages) + PAGE, at(window), 2 * huge - 2 * PAGE), 0);
	for (size_t i = 0; i < 2 * huge; i++)
		cr_assert_eq(pages[i], pattern(i));
	cr_assert_eq(genie_remap_out(at(pages) + PAGE, at(window), 2 * huge - 2 * PAGE, -1), 0);
	for (size_t i = 0; i < 2 * huge; i++)
		cr_assert_eq(pages[i], pattern(i));
}

/* ---- what the program does to it ---- */

Test(remap, unmapped_and_moved_by_the_program, .init = start, .timeout = 60)
{
	uint8_t *moved;

	if (!can_hold(1))
		cr_skip_test("no userfaultfd here");
	fill();
	/* A part that is not there. */
	munmap(memory + (PAGES - 5) * PAGE, PAGE);
	cr_assert(genie_remap_in(at(memory), at(window), SIZE) < 0);
	memory[0] = 1;
	cr_assert_neq(window[0], 1, "what was done is undone");
	memory[0] = pattern(0);
	for (size_t i = 0; i < (PAGES - 5) * PAGE; i++)
		cr_assert_eq(memory[i], pattern(i));
	mmap(memory + (PAGES - 5) * PAGE, PAGE, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	fill();

	/* A hole, and something of its own in another. */
	cr_assert_eq(genie_remap_in(at(memory), at(window), SIZE), 0);
	munmap(memory + 10 * PAGE, PAGE);
	mmap(memory + 20 * PAGE, PAGE, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	memory[20 * PAGE] = 44;
	mprotect(memory + 30 * PAGE, PAGE, PROT_READ);
	cr_assert_eq(genie_remap_out(at(memory), at(window), SIZE, -1), 0);
	cr_assert_eq(memory[20 * PAGE], 44);
	cr_assert_eq(memory[21 * PAGE], pattern(21 * PAGE));
	cr_assert_eq(memory[30 * PAGE + 1], pattern(30 * PAGE + 1), "read-only, as it was made");
	cr_assert_str_eq(genie_remap_obstacle(at(memory) + 30 * PAGE, PAGE),
			 "it is not just readable and writable");
	cr_assert_eq(msync(memory + 10 * PAGE, PAGE, MS_ASYNC), -1, "the hole stays one");
	window[0] = 1;
	cr_assert_eq(memory[0], pattern(0));

	/* Elsewhere. */
	mmap(memory, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	fill();
	cr_assert_eq(genie_remap_in(at(memory), at(window), SIZE), 0);
	moved = mremap(memory, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	cr_assert_neq(moved, MAP_FAILED);
	cr_assert_eq(genie_remap_out(at(memory), at(window), SIZE, -1), -EUCLEAN);
	cr_assert_eq(moved[1], pattern(1));
	window[1] = 3;
	cr_assert_eq(moved[1], 3, "still the window's: nobody else may have that part");
	cr_assert_eq(memory[PAGE], pattern(PAGE));
}

/* ---- a fork ---- */

static size_t parts_seen;

static void
count_part(uint64_t addr, uint64_t size, void *data)
{
	cr_assert(addr == at(memory) && size == 4 * PAGE);
	*(size_t *)data += 1;
}

Test(remap, a_page_for_a_while, .init = start, .timeout = 60)
{
	uint8_t *was =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!can_hold(1))
		cr_skip_test("no userfaultfd here");
	fill();
	cr_assert_eq(genie_remap_in(at(memory), at(window), 4 * PAGE), 0);
	cr_assert_eq(genie_remap_each(at(memory), at(window), 4 * PAGE, count_part, &parts_seen),
		     0);
	cr_assert_eq(parts_seen, 1);
	cr_assert_eq(genie_remap_page_out(at(memory), was), 0);
	memory[3] = 33;
	window[4] = 44;
	cr_assert(window[3] == pattern(3) && memory[4] == pattern(4));
	memory[PAGE] = 55;
	cr_assert_eq(window[PAGE], 55, "that is another page");
	cr_assert_eq(genie_remap_page_in(at(memory), at(window), was), 0);
	cr_assert(window[3] == 33 && memory[3] == 33, "what was written here");
	cr_assert(memory[4] == 44 && window[4] == 44, "and what was written there");
	memory[5] = 66;
	cr_assert_eq(window[5], 66);
}

/* ---- the reader of maps ---- */

struct found {
	size_t count;
	struct genie_vma vma;
};

static int
note_vma(const struct genie_vma *vma, void *data)
{
	struct found *found = data;

	found->vma = *vma;
	found->count++;
	return 0;
}

Test(remap, what_is_mapped, .init = start, .timeout = 60)
{
	struct found found = {0};

	cr_assert_eq(genie_vma_each(at(memory), at(memory) + PAGE, true, note_vma, &found), 0);
	cr_assert_eq(found.count, 1);
	cr_assert(found.vma.start == at(memory) && found.vma.end == at(memory) + SIZE);
	cr_assert_str_eq(found.vma.perms, "rw-p");
	cr_assert(genie_vma_has(&found.vma, "rd") && genie_vma_has(&found.vma, "wr"));
	cr_assert_not(genie_vma_has(&found.vma, "lo"));
	cr_assert_not(genie_vma_has(&found.vma, "d "));

	found = (struct found){0};
	cr_assert_eq(genie_vma_each(at(window), at(window) + PAGE, false, note_vma, &found), 0);
	cr_assert_eq(found.count, 1);
	cr_assert(found.vma.inode != 0 && found.vma.offset == 0);
	cr_assert(strncmp(found.vma.name, "/memfd:test-window", 18) == 0);
	cr_assert_str_eq(found.vma.perms, "rw-s");
	cr_assert_eq(found.vma.flags[0], '\0');

	found = (struct found){0};
	cr_assert_eq(genie_vma_each(0, UINT64_MAX, false, note_vma, &found), 0);
	cr_assert(found.count > 10);
}
