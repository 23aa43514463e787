/*
 * Checked execution, for finding what is wrong in a program: GENIE_CPU_CHECK=bounds,race.
 *
 * bounds: global memory outside of the program's allocations is refused, also where the page is
 * mapped. race: two threads of a block that touch the same bytes of shared memory with nothing
 * between them that orders the two. Instructions of checked code go through one handler more
 * (exec_check.c); unchecked code has nothing of it.
 */
#ifndef GENIE_REMOTE_DEVICE_CPU_PTX_CHECK_H
#define GENIE_REMOTE_DEVICE_CPU_PTX_CHECK_H

#include <stdint.h>

#include "remote/device_cpu/ptx/exec.h"

/* What an instruction does to memory. */
struct ptx_access {
	int way;        /* PTX_BY_ADDRESS, PTX_BY_WINDOW */
	int parameter;  /* the window is the parameters' */
	uint32_t place; /* the register of the address */
	int32_t offset;
	uint32_t bytes;
	uint8_t reads, writes, atomic;
	/* Stores: where the values are, count registers of @size bytes a lane. */
	const uint32_t *values;
	uint32_t count, size;
	uint32_t single; /* values points here when there is one */
};

enum ptx_check_kind {
	PTX_CHECK_NOTHING,
	PTX_CHECK_MEMORY, /* ptx_access says what it does */
	PTX_CHECK_SYNC,   /* orders the lanes of the warp that take part */
	PTX_CHECK_ARRIVE, /* at a barrier in shared memory */
	PTX_CHECK_WAIT,   /* for one */
};

/* What checked code must look at in instructions of this handler. */
enum ptx_check_kind ptx_check_kind_of(enum ptx_handler handler);
/* The accesses of an instruction of kind MEMORY; their number, at most 2. */
int ptx_check_accesses(const struct ptx_insn *insn, struct ptx_access ret[2]);

/* bounds.c: 1: all of it may be used; 0: @what says why not. */
int ptx_bounds_allow(uint64_t address, uint32_t bytes, char *what, size_t size);

/* race.c; every block of a launch has one if races are looked for, else NULL. */
struct ptx_race;
struct ptx_race *ptx_race_new(const struct ptx_block *block);
void ptx_race_free(struct ptx_race *race);
/* The block begins anew. */
void ptx_race_begin(struct ptx_block *block);
/* Lane @lane of the running fragment touches shared memory from @offset on. */
void ptx_race_touch(struct ptx_warp *warp, const struct ptx_insn *insn, uint32_t lane,
		    uint64_t offset, const struct ptx_access *access, const uint8_t *regs);
/* The lanes of the warp have waited for each other. */
void ptx_race_warp_synced(struct ptx_warp *warp);
void ptx_race_arrived(struct ptx_warp *warp, uint32_t barrier);
/* Who waits at the barrier goes on, and @warp if it is not NULL. */
void ptx_race_completed(struct ptx_block *block, uint32_t barrier, const struct ptx_warp *warp);
/* Every thread of the block has been waited for. */
void ptx_race_all_synced(struct ptx_block *block);
/* Barriers in shared memory, named by their address. */
void ptx_race_mbarrier_arrived(struct ptx_warp *warp, uint64_t address);
void ptx_race_mbarrier_passed(struct ptx_warp *warp, uint64_t address);

/* source.c: "file.cu:12" of the PTX line, from .loc; "" if the text has none. */
void ptx_source_line(const struct ptx_function *function, uint32_t line, char *ret, size_t size);

#endif
