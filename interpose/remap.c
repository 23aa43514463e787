#include "interpose/remap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "interpose/client.h"
#include "interpose/hostfunc.h"
#include "interpose/vma.h"
#include "transport/helper.h"

/* From the kernel's documentation; not in headers of systems older than it. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define FEATURE_HUGETLBFS_SHMEM (UINT64_C(1) << 12) /* write protection of shared memory: 5.19 */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* 5.14 */
#endif

/* What is replaced at a time: half a millisecond of copying. */
#define STEP (UINT64_C(4) << 20)
/* What this thread writes to while others are held back: its stack. */
#define STACK_BELOW (UINT64_C(256) << 10)

#define PARTS 64

uint64_t
genie_remap_page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool
overlaps(uint64_t start, uint64_t size, uint64_t from, uint64_t to)
{
	return start < to && from < start + size;
}

static void *
pointer(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

/* Does this thread itself write there, whatever it does? It would wait for itself. */
static bool
is_own(uint64_t addr, uint64_t size)
{
	uint64_t page = genie_remap_page_size();
	uint64_t stack = (uint64_t)(uintptr_t)__builtin_frame_address(0);
	uint64_t thread = (uint64_t)pthread_self(); /* libc's block of it */
	uint64_t error = (uint64_t)(uintptr_t)&errno;

	return overlaps(addr, size, stack - STACK_BELOW, stack + page) ||
	       overlaps(addr, size, thread, thread + page) ||
	       overlaps(addr, size, error, error + sizeof(int));
}

/* ---- what may be replaced ---- */

/* A number of /proc/thread-self/status; -1: not there. */
static long
status_number(const char *key)
{
	char text[4096];
	const char *at;
	int fd = open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	long number = -1;

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	at = strstr(text, key);
	if (at != NULL && sscanf(at + strlen(key), "%ld", &number) != 1)
		number = -1;
	return number;
}

struct look {
	uint64_t next; /* what was looked at ends here */
	const char *obstacle;
};

static const char *
vma_obstacle(const struct genie_vma *vma)
{
	static const struct {
		const char *flag, *why;
	} flags[] = {
		{"gd", "it is a stack"},
		{"lo", "it is locked"},
		{"dc", "it stays out of children"},
		{"wf", "it is wiped in children"},
		{"ht", "it is made of huge pages"},
		{"io", "it belongs to a device"},
		{"pf", "it belongs to a device"},
		{"mt", "it is tagged"},
		{"ss", "it is a shadow stack"},
		{"sl", "it is sealed"},
		{"um", "somebody answers its faults"},
		{"uw", "somebody watches it"},
		{"ui", "somebody answers its faults"},
	};

	if (strcmp(vma->perms, "rw-p") != 0)
		return vma->perms[3] == 's' ? "it is shared already"
					    : "it is not just readable and writable";
	if (vma->inode != 0 || (vma->name[0] != '\0' && strcmp(vma->name, "[heap]") != 0 &&
				strncmp(vma->name, "[anon", 5) != 0))
		return "it is a file's, or a stack";
	if (vma->flags[0] == '\0')
		return "the kernel does not tell its properties";
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (genie_vma_has(vma, flags[i].flag))
			return flags[i].why;
	return vma->key != 0 ? "it has a protection key" : NULL;
}

static int
look_at(const struct genie_vma *vma, void *data)
{
	struct look *look = data;

	look->obstacle = vma->start > look->next ? "a part is not mapped" : vma_obstacle(vma);
	look->next = vma->end;
	return look->obstacle != NULL;
}

const char *
genie_remap_obstacle(uint64_t addr, uint64_t size)
{
	struct look look = {.next = addr};
	int saved_errno = errno;
	long pinned = status_number("VmPin:");
	int ret;

	errno = saved_errno;
	if (is_own(addr, size))
		return "this thread runs on it";
	/* Of a device, or of the kernel: it would go on using the pages that were here. */
	if (pinned != 0)
		return "the process has pages that something else than the program uses";
	ret = genie_vma_each(addr, addr + size, true, look_at, &look);
	if (ret < 0)
		return "the kernel does not tell what is mapped";
	if (look.obstacle == NULL && look.next < addr + size)
		return "a part is not mapped";
	return look.obstacle;
}

/* ---- holding writers back ---- */

struct hold {
	int uffd; /* -1: there is nobody else */
	sigset_t signals;
};

/* Is the calling thread the only one that runs code of the program? */
static bool
is_alone(void)
{
	return status_number("Threads:") == 1 + (long)genie_helper_count() &&
	       !genie_hostfunc_pending() && genie_streams_idle();
}

static int
uffd_open(void)
{
	/* The first also holds back system calls. It is for the privileged, usually. */
	static const int modes[] = {0, UFFD_USER_MODE_ONLY};
	struct uffdio_api api = {.api = UFFD_API,
				 .features =
					 UFFD_FEATURE_PAGEFAULT_FLAG_WP | FEATURE_HUGETLBFS_SHMEM};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | modes[i]);

		if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0)
			return fd;
		if (fd >= 0) {
			close(fd);
			return -1;
		}
	}
	return -1;
}

static int
hold_begin(struct hold *hold, uint64_t addr, uint64_t size)
{
	struct uffdio_register range = {.range = {.start = addr, .len = size},
					.mode = UFFDIO_REGISTER_MODE_WP};
	int error;

	if (is_own(addr, size))
		return -EPERM;
	hold->uffd = uffd_open();
	if (hold->uffd < 0)
		return is_alone() ? 0 : -EPERM;
	if (ioctl(hold->uffd, UFFDIO_REGISTER, &range) == 0)
		return 0;
	error = errno;
	close(hold->uffd);
	return -error;
}

/* Whoever still waits goes on. */
static void
hold_end(struct hold *hold)
{
	if (hold->uffd >= 0)
		close(hold->uffd);
}

/*
 * Nobody writes to these pages until hold_let(). In between this thread makes system calls and
 * nothing else: it may itself be about to write to memory beside the program's, as malloc does. Its
 * signals wait, since a handler may want to write there, too.
 */
static int
hold_pages(struct hold *hold, uint64_t addr, uint64_t size)
{
	struct uffdio_writeprotect protect = {.range = {.start = addr, .len = size},
					      .mode = UFFDIO_WRITEPROTECT_MODE_WP};
	sigset_t all;
	int error;

	/* A page that is not there cannot be protected. */
	if (madvise(pointer(addr), size, MADV_POPULATE_WRITE) < 0)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &hold->signals);
	if (hold->uffd < 0 || ioctl(hold->uffd, UFFDIO_WRITEPROTECT, &protect) == 0)
		return 0;
	error = errno;
	pthread_sigmask(SIG_SETMASK, &hold->signals, NULL);
	return -error;
}

/* @replaced: other pages are there now. Else the old ones are given free again. */
static void
hold_let(struct hold *hold, uint64_t addr, uint64_t size, bool replaced)
{
	struct uffdio_range range = {.start = addr, .len = size};
	struct uffdio_writeprotect protect = {.range = range};

	if (hold->uffd >= 0) {
		if (!replaced)
			ioctl(hold->uffd, UFFDIO_WRITEPROTECT, &protect);
		ioctl(hold->uffd, UFFDIO_WAKE, &range);
	}
	pthread_sigmask(SIG_SETMASK, &hold->signals, NULL);
}

/* ---- the single steps ---- */

/* By the kernel: where the program has unmapped something meanwhile, that is an error here. */
static int
copy(uint64_t dst, uint64_t src, uint64_t size)
{
	uint64_t done = 0;

	while (done < size) {
		struct iovec to = {pointer(dst + done), size - done};
		struct iovec from = {pointer(src + done), size - done};
		ssize_t n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);

		if (n <= 0)
			return n < 0 ? -errno : -EFAULT;
		done += (uint64_t)n;
	}
	return 0;
}

/* Shared memory that is at @from is at @addr too from now on, in place of what was there. */
static int
duplicate(uint64_t addr, uint64_t from, uint64_t size)
{
	long got = syscall(SYS_mremap, from, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, addr);

	return got == -1 ? -errno : 0;
}

static int
move(uint64_t addr, uint64_t from, uint64_t size)
{
	long got = syscall(SYS_mremap, from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, addr);

	return got == -1 ? -errno : 0;
}

static void *
fresh(uint64_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int
genie_remap_copy(uint64_t dst, uint64_t src, uint64_t size)
{
	int saved_errno = errno;
	int error = copy(dst, src, size);

	errno = saved_errno;
	return error;
}

int
genie_remap_move(uint64_t addr, uint64_t from, uint64_t size)
{
	int saved_errno = errno;
	int error = move(addr, from, size);

	errno = saved_errno;
	return error;
}

/* ---- in ---- */

static int
step_in(struct hold *hold, uint64_t addr, uint64_t window, uint64_t size)
{
	int error = hold_pages(hold, addr, size);

	if (error != 0)
		return error;
	error = copy(window, addr, size);
	if (error == 0)
		error = duplicate(addr, window, size);
	hold_let(hold, addr, size, error == 0);
	return error;
}

int
genie_remap_in(uint64_t addr, uint64_t window, uint64_t size)
{
	int saved_errno = errno;
	struct hold hold;
	uint64_t done = 0, step;
	int error = hold_begin(&hold, addr, size);

	if (error != 0)
		goto out;
	for (; done < size && error == 0; done += error == 0 ? step : 0) {
		step = size - done < STEP ? size - done : STEP;
		error = step_in(&hold, addr + done, window + done, step);
	}
	hold_end(&hold);
	if (error != 0 && done > 0 && genie_remap_out(addr, window, done, -1) != 0)
		error = -EUCLEAN;
	/* The window is left out of core files; the program's memory was not. */
	if (error == 0)
		madvise(pointer(addr), size, MADV_DODUMP);
out:
	errno = saved_errno;
	return error;
}

/* ---- what still is the window's ---- */

/* Parts of a file that are mapped where they are expected, and elsewhere. */
struct parts {
	uint64_t addr, window, size;
	struct genie_vma file; /* the window itself; end 0: not found */
	struct {
		uint64_t addr, size;
		int prot; /* the program may have changed it */
	} list[PARTS];
	size_t count;
	bool stray; /* seen at an address where nobody put it */
};

static int
find_file(const struct genie_vma *vma, void *data)
{
	struct parts *parts = data;

	parts->file = *vma;
	parts->file.offset += parts->window - vma->start; /* where the window begins */
	return 1;
}

static int
find_part(const struct genie_vma *vma, void *data)
{
	struct parts *parts = data;
	const struct genie_vma *file = &parts->file;
	uint64_t from = vma->offset, to = vma->offset + (vma->end - vma->start), addr;

	if (vma->inode != file->inode || vma->major != file->major || vma->minor != file->minor ||
	    vma->perms[3] != 's' || from >= file->offset + parts->size || to <= file->offset)
		return 0;
	from = from > file->offset ? from : file->offset;
	to = to < file->offset + parts->size ? to : file->offset + parts->size;
	addr = vma->start + (from - vma->offset);
	if (addr == parts->window + (from - file->offset))
		return 0;
	if (addr != parts->addr + (from - file->offset) || parts->count == PARTS) {
		parts->stray = true;
		return 0;
	}
	parts->list[parts->count].prot = (vma->perms[0] == 'r' ? PROT_READ : 0) |
					 (vma->perms[1] == 'w' ? PROT_WRITE : 0) |
					 (vma->perms[2] == 'x' ? PROT_EXEC : 0);
	parts->list[parts->count].addr = addr;
	parts->list[parts->count++].size = to - from;
	return 0;
}

static int
parts_find(struct parts *parts, uint64_t addr, uint64_t window, uint64_t size)
{
	int ret;

	*parts = (struct parts){.addr = addr, .window = window, .size = size};
	ret = genie_vma_each(window, window + 1, false, find_file, parts);
	if (ret <= 0 || parts->file.inode == 0)
		return ret < 0 ? ret : -ENOENT;
	return genie_vma_each(0, UINT64_MAX, false, find_part, parts);
}

int
genie_remap_each(uint64_t addr, uint64_t window, uint64_t size,
		 void (*fn)(uint64_t addr, uint64_t size, void *data), void *data)
{
	struct parts parts;
	int error = parts_find(&parts, addr, window, size);

	for (size_t i = 0; i < parts.count && error == 0; i++)
		fn(parts.list[i].addr, parts.list[i].size, data);
	return error;
}

/* ---- out ---- */

static int
step_out(struct hold *hold, uint64_t addr, uint64_t memory, uint64_t size)
{
	int error = hold_pages(hold, addr, size);

	if (error != 0)
		return error;
	error = copy(memory, addr, size);
	if (error == 0)
		error = move(addr, memory, size);
	hold_let(hold, addr, size, error == 0);
	return error;
}

/* *@done: how much of it is private now. */
static int
part_out(uint64_t addr, uint64_t size, uint64_t *done)
{
	char *memory = fresh(size);
	struct hold hold;
	uint64_t step;
	int error;

	*done = 0;
	if (memory == NULL)
		return -ENOMEM;
	error = hold_begin(&hold, addr, size);
	if (error == 0) {
		for (; *done < size && error == 0; *done += error == 0 ? step : 0) {
			step = size - *done < STEP ? size - *done : STEP;
			error = step_out(&hold, addr + *done, (uint64_t)(uintptr_t)memory + *done,
					 step);
		}
		hold_end(&hold);
	}
	if (*done < size)
		munmap(memory + *done, size - *done);
	return error;
}

/* The program has made it read-only: nobody has to be held back, and it stays so. */
static int
part_out_still(uint64_t addr, uint64_t window, uint64_t size, int prot)
{
	char *memory = fresh(size);
	int error = memory == NULL ? -ENOMEM : 0;

	if (error == 0)
		error = copy((uint64_t)(uintptr_t)memory, window, size);
	if (error == 0 && mprotect(memory, size, prot) < 0)
		error = -errno;
	if (error == 0)
		error = move(addr, (uint64_t)(uintptr_t)memory, size);
	if (error != 0 && memory != NULL)
		munmap(memory, size);
	return error;
}

/*
 * Without a way to hold anybody back: a private view of the same file. That is one step, and
 * nothing is copied until somebody writes; then everything is, and the file's pages can go. What is
 * left is an oddity: fresh pages of this range would come from the file, so nobody else may get
 * that part of it any more.
 */
static int
part_view(const struct parts *parts, uint64_t addr, uint64_t size, int fd)
{
	uint64_t at = addr - parts->addr;
	struct stat file;

	if (fd < 0 || fstat(fd, &file) < 0 || file.st_ino != parts->file.inode ||
	    major(file.st_dev) != parts->file.major || minor(file.st_dev) != parts->file.minor)
		return -EBADF;
	if (mmap(pointer(addr), size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
		 (off_t)(parts->file.offset + at)) == MAP_FAILED)
		return -errno;
	if (madvise(pointer(addr), size, MADV_POPULATE_WRITE) == 0)
		madvise(pointer(parts->window + at), size, MADV_REMOVE);
	return 0;
}

int
genie_remap_out(uint64_t addr, uint64_t window, uint64_t size, int fd)
{
	int saved_errno = errno;
	struct parts parts;
	bool clean = parts_find(&parts, addr, window, size) == 0 && !parts.stray;

	for (size_t i = 0; i < parts.count; i++) {
		uint64_t at = parts.list[i].addr, len = parts.list[i].size, done = 0;
		int prot = parts.list[i].prot;

		if ((prot & PROT_WRITE ? part_out(at, len, &done)
				       : part_out_still(at, window + (at - addr), len, prot)) == 0)
			continue;
		clean = false;
		if (prot & PROT_WRITE)
			(void)part_view(&parts, at + done, len - done, fd);
	}
	errno = saved_errno;
	return clean ? 0 : -EUCLEAN;
}

/* ---- a page, while the process forks ---- */

int
genie_remap_page_out(uint64_t addr, void *was)
{
	uint64_t page = genie_remap_page_size();
	int saved_errno = errno;
	uint64_t done = 0;
	int error = -ENOMEM;
	struct hold hold;
	char *memory = fresh(page);

	if (memory == NULL)
		goto out;
	error = hold_begin(&hold, addr, page);
	if (error != 0)
		goto out;
	error = hold_pages(&hold, addr, page);
	if (error == 0) {
		error = copy((uint64_t)(uintptr_t)was, addr, page);
		if (error == 0)
			error = copy((uint64_t)(uintptr_t)memory, addr, page);
		if (error == 0)
			error = move(addr, (uint64_t)(uintptr_t)memory, page);
		if (error == 0)
			done = page;
		hold_let(&hold, addr, page, error == 0);
	}
	hold_end(&hold);
out:
	if (memory != NULL && done == 0)
		munmap(memory, page);
	errno = saved_errno;
	return error;
}

/* The device may write to the window at any time: only bytes that have changed are stored. */
static void
merge(uint8_t *window, const uint8_t *now, const uint8_t *was, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++)
		if (now[i] != was[i])
			__atomic_store_n(&window[i], now[i], __ATOMIC_RELAXED);
}

int
genie_remap_page_in(uint64_t addr, uint64_t window, void *was)
{
	uint64_t page = genie_remap_page_size();
	uint8_t *now = (uint8_t *)was + page;
	int saved_errno = errno;
	struct hold hold;
	int error = hold_begin(&hold, addr, page);

	if (error != 0)
		goto out;
	error = hold_pages(&hold, addr, page);
	if (error == 0) {
		error = copy((uint64_t)(uintptr_t)now, addr, page);
		if (error == 0) {
			merge(pointer(window), now, was, page);
			error = duplicate(addr, window, page);
		}
		hold_let(&hold, addr, page, error == 0);
	}
	hold_end(&hold);
	if (error == 0)
		madvise(pointer(addr), page, MADV_DODUMP);
out:
	errno = saved_errno;
	return error;
}
