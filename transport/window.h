/*
 * Windows: ranges of addresses that client and worker agree on. The client looks for a free place
 * before it asks for one, and keeps the device window reserved so that nothing of the program
 * lands where device memory seems to be.
 */
#ifndef GENIE_TRANSPORT_WINDOW_H
#define GENIE_TRANSPORT_WINDOW_H

#include <stddef.h>
#include <stdint.h>

struct genie_window {
	uint64_t base, size; /* size 0: none */
};

/*
 * Reserves @size bytes (no access, no memory), at @base if that is free, else elsewhere, else
 * fewer. Leaves ret_window->size 0 when there is no place at all. @turn: how many free places to
 * pass over, because the peer could not agree to them.
 */
void genie_window_reserve(uint64_t base, uint64_t size, unsigned int turn,
			  struct genie_window *ret_window);
/* Makes @window the one at @base: keeps it if it is, else gives it back and reserves exactly that.
 * 0 or negative errno. */
int genie_window_move(struct genie_window *window, uint64_t base, uint64_t size);
/* Maps memory at [base, base + size), which must be free or reserved by @over: that of @fd shared,
 * or with -1 fresh private memory. */
int genie_window_map(uint64_t base, uint64_t size, int fd, const struct genie_window *over);
void genie_window_release(struct genie_window *window);

#endif
