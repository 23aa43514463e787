#include "interpose/dirty.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "interpose/client.h"

/* From the kernel's documentation of userfaultfd and of /proc/pid/pagemap; not in headers of
 * systems older than it. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define FEATURE_HUGETLBFS_SHMEM (UINT64_C(1) << 12)
#define FEATURE_UNPOPULATED     (UINT64_C(1) << 13)
#define FEATURE_ASYNC           (UINT64_C(1) << 15)

struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
struct scan_region {
	uint64_t start, end, categories;
};
#define SCAN             _IOWR('f', 16, struct scan_arg)
#define SCAN_PROTECT     1u /* what is found is protected again, in one step */
#define SCAN_CHECK_ASYNC 2u
#define PAGE_WRITTEN     2u

#define REGIONS 256

static struct {
	pthread_once_t once;
	int uffd, pagemap; /* -1: the kernel cannot */
} dirty = {PTHREAD_ONCE_INIT, -1, -1};

static void
dirty_open(void)
{
	struct uffdio_api api = {.api = UFFD_API,
				 .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP |
					     FEATURE_HUGETLBFS_SHMEM | FEATURE_UNPOPULATED |
					     FEATURE_ASYNC};
	int uffd, pagemap;

	if (!genie_perf(GENIE_PERF_DIRTY))
		return;
	/* Faults of the kernel itself need no answer either, so no privilege is needed. */
	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (uffd < 0)
		goto none;
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0 || ioctl(uffd, UFFDIO_API, &api) < 0) {
		if (pagemap >= 0)
			close(pagemap);
		close(uffd);
		goto none;
	}
	dirty.uffd = uffd;
	dirty.pagemap = pagemap;
	return;

none:
	genie_info("written pages cannot be asked of the kernel (%m): mirrored memory is compared");
}

static uint64_t
page_mask(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE) - 1;
}

static bool
none(uint64_t addr, size_t size, void *data)
{
	(void)addr;
	(void)size;
	(void)data;
	return true;
}

bool
genie_dirty_watch(uint64_t addr, size_t size)
{
	uint64_t start = addr & ~page_mask();
	struct uffdio_register watch = {
		.range = {.start = start,
			  .len = ((addr + size + page_mask()) & ~page_mask()) - start},
		.mode = UFFDIO_REGISTER_MODE_WP};
	int saved_errno = errno;
	bool watched;

	pthread_once(&dirty.once, dirty_open);
	watched = dirty.uffd >= 0 && ioctl(dirty.uffd, UFFDIO_REGISTER, &watch) == 0;
	if (watched && !genie_dirty_each(addr, size, none, NULL)) {
		ioctl(dirty.uffd, UFFDIO_UNREGISTER, &watch.range);
		watched = false;
	}
	errno = saved_errno;
	return watched;
}

void
genie_dirty_unwatch(uint64_t addr, size_t size)
{
	uint64_t start = addr & ~page_mask();
	struct uffdio_range range = {.start = start,
				     .len = ((addr + size + page_mask()) & ~page_mask()) - start};
	int saved_errno = errno;

	/* Memory that the program has unmapped is not watched any more. */
	ioctl(dirty.uffd, UFFDIO_UNREGISTER, &range);
	errno = saved_errno;
}

bool
genie_dirty_each(uint64_t addr, size_t size, bool (*fn)(uint64_t addr, size_t size, void *data),
		 void *data)
{
	struct scan_region regions[REGIONS];
	uint64_t last = addr + size;
	struct scan_arg arg = {
		.size = sizeof(arg),
		.flags = SCAN_PROTECT | SCAN_CHECK_ASYNC,
		.start = addr & ~page_mask(),
		.end = (last + page_mask()) & ~page_mask(),
		.vec = (uintptr_t)regions,
		.vec_len = REGIONS,
		.category_mask = PAGE_WRITTEN,
		.return_mask = PAGE_WRITTEN,
	};
	int saved_errno = errno;
	bool ok = true;

	while (ok && arg.start < arg.end) {
		int n = ioctl(dirty.pagemap, SCAN, &arg);

		ok = n >= 0;
		for (int i = 0; i < n && ok; i++) {
			uint64_t from = regions[i].start > addr ? regions[i].start : addr;
			uint64_t to = regions[i].end < last ? regions[i].end : last;

			ok = from >= to || fn(from, to - from, data);
		}
		if (arg.walk_end <= arg.start)
			break;
		arg.start = arg.walk_end;
	}
	errno = saved_errno;
	return ok;
}
