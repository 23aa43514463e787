#include "transport/window.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#define SMALLEST (UINT64_C(1) << 30)

/* Where to try, in this order: the first ones have room for much, the last ones lie where programs
 * do and are what ThreadSanitizer leaves. */
static const uint64_t places[] = {
	0, /* what was asked for */
	UINT64_C(0x380000000000),
	UINT64_C(0x100000000000),
	UINT64_C(0x500000000000),
	UINT64_C(0x7e8000000000),
	UINT64_C(0x7ec000000000),
	UINT64_C(0x001000000000),
};

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif

/* ThreadSanitizer keeps nearly all addresses for itself, and ends the process when somebody wants
 * one of those. */
static bool
is_usable(uint64_t base, uint64_t size)
{
#ifdef THREAD_SANITIZER
	static const struct genie_window left[] = {
		{UINT64_C(0x000000001000), UINT64_C(0x007ffffff000)},
		{UINT64_C(0x7e8000000000), UINT64_C(0x018000000000)},
	};

	for (unsigned i = 0; i < sizeof(left) / sizeof(left[0]); i++)
		if (base >= left[i].base && size <= left[i].size &&
		    base - left[i].base <= left[i].size - size)
			return true;
	return false;
#else
	(void)base;
	(void)size;
	return true;
#endif
}

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
genie_window_reserve(uint64_t base, uint64_t size, struct genie_window *ret_window)
{
	uint64_t at;

	*ret_window = (struct genie_window){0};
	for (; size >= SMALLEST; size /= 4) {
		for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			at = places[i] ? places[i] : base;
			if (!reserve_at(at, size)) {
				*ret_window = (struct genie_window){at, size};
				return;
			}
		}
	}
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
