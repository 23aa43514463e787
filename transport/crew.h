/*
 * The copy crew: a few threads that help to copy large blocks between a program's memory and
 * shared memory, because one processor cannot keep the memory of a server busy (on a machine with
 * 16 processors one memcpy gets 10 of 30 GB/s). Started at the first large copy, asleep when there
 * is none. One block at a time: a thread that finds the crew busy copies alone.
 */
#ifndef GENIE_TRANSPORT_CREW_H
#define GENIE_TRANSPORT_CREW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/relax.h"

#define GENIE_CREW_MAX 3

struct genie_crew {
	pthread_mutex_t lock; /* who has it gives out work; guards .started */
	pthread_t threads[GENIE_CREW_MAX];
	unsigned wanted, started;
	_Atomic bool ending;

	/* The block being copied; written by who has the lock while no piece is out. */
	void *dst;
	const void *src;
	size_t len;
	_Atomic uint64_t pieces; /* what is left to take: see crew.c */
	_Atomic uint32_t done;
	struct genie_bell work, finished;
	struct genie_spin work_spin, finished_spin;
};

/* With up to @threads helpers; 0: as many as this machine is good for; negative: none. */
void genie_crew_init(struct genie_crew *crew, int threads);
/* Nobody copies any more. Ends the threads. */
void genie_crew_fini(struct genie_crew *crew);
/* Like memcpy. Any thread. */
void genie_crew_copy(struct genie_crew *crew, void *dst, const void *src, size_t len);

#endif
