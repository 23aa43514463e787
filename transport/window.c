#include "transport/window.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#define SMALLEST (UINT64_C(1) << 30)

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif

#ifdef THREAD_SANITIZER
/* It keeps nearly all addresses for itself. What it leaves to programs, cut into places. */
#define LARGEST (UINT64_C(64) << 30)
#define LOW     UINT64_C(0x001000000000)
#define LOW_END UINT64_C(0x008000000000)
#define TOP     UINT64_C(0x7e8000000000)
#define TOP_END UINT64_C(0x800000000000)
#define PLACES  16 /* from TOP, where the system's own begin with the next TiB; then from LOW */

static uint64_t
place(unsigned int i)
{
	return i <= 8 ? TOP + (i - 1) * LARGEST : LOW + (i - 9) * LARGEST;
}

/* It ends the process when somebody wants other addresses. */
static bool
is_usable(uint64_t base, uint64_t size)
{
	return (base >= LOW && base < LOW_END && size <= LOW_END - base) ||
	       (base >= TOP && base < TOP_END && size <= TOP_END - base);
}
#else
#define LARGEST (UINT64_C(16) << 40)
#define PLACES  4

static uint64_t
place(unsigned int i)
{
	static const uint64_t places[] = {UINT64_C(0x380000000000), UINT64_C(0x100000000000),
					  UINT64_C(0x500000000000)};

	return places[i - 1];
}

/* Null pointers with an offset stay bad. */
static bool
is_usable(uint64_t base, uint64_t size)
{
	(void)size;
	return base >= 1 << 16;
}
#endif

static int
reserve_at(uint64_t base, uint64_t size)
{
	void *want = (void *)(uintptr_t)base;
	void *got;

	if (!is_usable(base, size))
		return -ENOMEM;
	got = mmap(want, size, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (got == MAP_FAILED)
		return -errno;
	/* Kernels before 4.17 take the address for a hint; so do sanitizers. */
	if (got != want) {
		munmap(got, size);
		return -EEXIST;
	}
	/* A core file of 16 TiB helps nobody. */
	madvise(got, size, MADV_DONTDUMP);
	return 0;
}

void
genie_window_reserve(uint64_t base, uint64_t size, unsigned int turn,
		     struct genie_window *ret_window)
{
	for (size = size < LARGEST ? size : LARGEST; size >= SMALLEST; size /= 4) {
		for (unsigned int i = 0; i < PLACES; i++) {
			*ret_window = (struct genie_window){i ? place(i) : base, size};
			if (reserve_at(ret_window->base, size))
				continue;
			if (!turn--)
				return;
			genie_window_release(ret_window);
		}
	}
	*ret_window = (struct genie_window){0};
}

int
genie_window_move(struct genie_window *window, uint64_t base, uint64_t size)
{
	int ret;

	if (window->size == size && window->base == base)
		return 0;
	genie_window_release(window);
	if (!size)
		return 0;
	ret = reserve_at(base, size);
	if (ret < 0)
		return ret;
	*window = (struct genie_window){base, size};
	return 0;
}

int
genie_window_map(uint64_t base, uint64_t size, int fd, const struct genie_window *over)
{
	bool reserved = over && over->base == base && over->size == size;
	int flags = MAP_NORESERVE | (reserved ? MAP_FIXED : MAP_FIXED_NOREPLACE) |
		    (fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
	void *want = (void *)(uintptr_t)base;
	void *got;

	if (!is_usable(base, size))
		return -ENOMEM;
	got = mmap(want, size, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (got == MAP_FAILED)
		return -errno;
	if (got != want) {
		munmap(got, size);
		return -EEXIST;
	}
	madvise(got, size, MADV_DONTDUMP);
	return 0;
}

void
genie_window_release(struct genie_window *window)
{
	if (window->size)
		munmap((void *)(uintptr_t)window->base, window->size);
	*window = (struct genie_window){0};
}
