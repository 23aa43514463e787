/* transport/window.c: address ranges that two processes agree on. */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "transport/window.h"

#define GIB (UINT64_C(1) << 30)

/* Somewhere that is free: the thread sanitizer leaves programs the first terabyte, the address
 * sanitizer has its shadow there. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define PLACE UINT64_C(0x1100000000)
#else
#define PLACE UINT64_C(0x210000000000)
#endif

static bool
overlap(const struct genie_window *a, const struct genie_window *b)
{
	return a->base < b->base + b->size && b->base < a->base + a->size;
}

Test(window, what_was_asked_for_if_it_is_free)
{
	struct genie_window window, other;

	genie_window_reserve(PLACE, 8 * GIB, 0, &window);
	cr_assert_eq(window.base, PLACE);
	cr_assert_eq(window.size, 8 * GIB);
	genie_window_reserve(PLACE, 8 * GIB, 0, &other);
	cr_assert_gt(other.size, 0);
	cr_assert_not(overlap(&window, &other));
	genie_window_release(&window);
	cr_assert_eq(window.size, 0);
	genie_window_release(&window);
	genie_window_reserve(PLACE, 8 * GIB, 0, &window);
	cr_assert_eq(window.base, PLACE);
	genie_window_release(&window);
	genie_window_release(&other);
}

Test(window, another_turn_is_another_place)
{
	struct genie_window window[3];

	for (unsigned int turn = 0; turn < 3; turn++) {
		genie_window_reserve(PLACE, GIB, turn, &window[turn]);
		cr_assert_gt(window[turn].size, 0);
		genie_window_release(&(struct genie_window){window[turn].base, window[turn].size});
		for (unsigned int before = 0; before < turn; before++)
			cr_assert_neq(window[turn].base, window[before].base);
	}
}

Test(window, fewer_when_there_is_no_room_for_all)
{
	struct genie_window window;

	genie_window_reserve(PLACE, UINT64_C(1) << 50, 0, &window);
	cr_assert_geq(window.size, GIB);
	cr_assert_lt(window.size, UINT64_C(1) << 48);
	genie_window_release(&window);
	genie_window_reserve(PLACE, 4096, 0, &window);
	cr_assert_eq(window.size, 0);
}

/* The other side decides, but not about what is in use here, nor about page zero. */
Test(window, moves_to_where_the_peer_wants_it)
{
	struct genie_window window, taken;

	genie_window_reserve(PLACE, GIB, 0, &window);
	cr_assert_eq(genie_window_move(&window, PLACE, GIB), 0);
	cr_assert_eq(genie_window_move(&window, PLACE + 4 * GIB, 2 * GIB), 0);
	cr_assert_eq(window.base, PLACE + 4 * GIB);
	genie_window_reserve(PLACE, GIB, 0, &taken);
	cr_assert_eq(taken.base, PLACE);
	cr_assert_lt(genie_window_move(&window, PLACE, GIB), 0);
	cr_assert_eq(window.size, 0);
	cr_assert_lt(genie_window_move(&window, 0, GIB), 0);
	cr_assert_eq(genie_window_move(&window, 0, 0), 0);
	cr_assert_lt(genie_window_move(&window, UINT64_MAX - GIB + 1, GIB), 0);
	genie_window_release(&taken);
}

Test(window, maps_over_its_reservation_only)
{
	struct genie_window window;
	volatile char *byte;
	char read;
	int fd;

	genie_window_reserve(PLACE, GIB, 0, &window);
	cr_assert_lt(genie_window_map(PLACE, GIB, -1, NULL), 0);
	cr_assert_eq(genie_window_map(PLACE, GIB, -1, &window), 0);
	byte = (volatile char *)(uintptr_t)PLACE;
	byte[GIB - 1] = 7;
	cr_assert_eq(byte[GIB - 1], 7);
	genie_window_release(&window);

	fd = memfd_create("test", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(fd, (off_t)GIB), 0);
	cr_assert_eq(genie_window_map(PLACE, GIB, fd, NULL), 0);
	byte[0] = 9;
	cr_assert_eq(pread(fd, &read, 1, 0), 1);
	cr_assert_eq(read, 9);
	munmap((void *)(uintptr_t)PLACE, GIB);
	close(fd);
}
