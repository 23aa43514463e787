/* interpose/dirty.c, against this machine's kernel: which pages were written. */
#include "interpose/dirty.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE  4096
#define PAGES 64

static char *pages;
static bool written[PAGES];

static bool
note(uint64_t addr, size_t size, void *data)
{
	uint64_t first = addr - (uintptr_t)pages;

	(void)data;
	cr_assert(addr >= (uintptr_t)pages && first + size <= PAGES * PAGE);
	for (uint64_t at = first; at < first + size; at += PAGE - at % PAGE)
		written[at / PAGE] = true;
	return true;
}

static void
ask(void)
{
	memset(written, 0, sizeof(written));
	cr_assert(genie_dirty_each((uintptr_t)pages, PAGES * PAGE, note, NULL));
}

static bool
start(int flags, int fd)
{
	pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
	cr_assert_neq(pages, MAP_FAILED);
	errno = 77;
	if (genie_dirty_watch((uintptr_t)pages, PAGES * PAGE)) {
		cr_assert_eq(errno, 77);
		return true;
	}
	cr_log_info("this kernel does not tell which pages are written");
	return false;
}

static void
check_writes(void)
{
	int fds[2];

	ask();
	ask();
	for (int i = 0; i < PAGES; i++)
		cr_assert_not(written[i], "page %d was told", i);
	pages[5 * PAGE] = 1;
	pages[6 * PAGE + 4095] = 2;
	pages[63 * PAGE + 7] = 3;
	cr_assert_eq(*(volatile char *)&pages[20 * PAGE], 0); /* reading is not writing */
	ask();
	for (int i = 0; i < PAGES; i++)
		cr_assert_eq(written[i], i == 5 || i == 6 || i == 63, "page %d", i);
	ask();
	cr_assert_not(written[5]);
	pages[5 * PAGE] = 4; /* written again */
	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	cr_assert_eq(read(fds[0], &pages[30 * PAGE], 1), 1, "the kernel may write too");
	ask();
	for (int i = 0; i < PAGES; i++)
		cr_assert_eq(written[i], i == 5 || i == 30, "page %d", i);
	cr_assert(pages[5 * PAGE] == 4 && pages[30 * PAGE] == 'x');
	genie_dirty_unwatch((uintptr_t)pages, PAGES * PAGE);
	pages[8 * PAGE] = 1;
}

Test(dirty, anonymous_memory, .timeout = 20)
{
	if (start(MAP_PRIVATE | MAP_ANONYMOUS, -1))
		check_writes();
}

Test(dirty, memory_file, .timeout = 20)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	cr_assert_eq(ftruncate(fd, PAGES * PAGE), 0);
	if (start(MAP_SHARED, fd))
		check_writes();
}

Test(dirty, cut_to_the_range, .timeout = 20)
{
	if (!start(MAP_PRIVATE | MAP_ANONYMOUS, -1))
		return;
	ask();
	pages[10 * PAGE + 5] = 1;
	memset(written, 0, sizeof(written));
	cr_assert(genie_dirty_each((uintptr_t)pages + 10 * PAGE + 100, 50, note, NULL));
	cr_assert(written[10]);
}

/* Memory that went away: an error, and nothing worse. */
Test(dirty, unmapped, .timeout = 20)
{
	if (!start(MAP_PRIVATE | MAP_ANONYMOUS, -1))
		return;
	munmap(pages, PAGES * PAGE);
	(void)genie_dirty_each((uintptr_t)pages, PAGES * PAGE, note, NULL);
	genie_dirty_unwatch((uintptr_t)pages, PAGES * PAGE);
}
