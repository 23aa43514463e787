/*
 * What is mapped in this process, as the kernel tells it (/proc/thread-self/maps and smaps).
 */
#ifndef GENIE_INTERPOSE_VMA_H
#define GENIE_INTERPOSE_VMA_H

#include <stdbool.h>
#include <stdint.h>

struct genie_vma {
	uint64_t start, end;
	uint64_t offset, inode;
	unsigned int major, minor; /* of the device the file is on */
	char perms[5];             /* "rw-p" */
	char name[32];             /* the first bytes of it: a path, "[heap]", or empty */
	char flags[128];           /* " rd wr mr mw me ac ": smaps only, else empty */
	unsigned int key;          /* protection key: smaps only */
};

/*
 * Calls @fn for each mapping that touches [@start, @end), in order, until it returns other than 0,
 * and returns that; 0 at the end, -errno when the kernel does not tell. @flags: they are wanted,
 * which costs a look at every page below @end. Takes no memory, keeps errno.
 */
int genie_vma_each(uint64_t start, uint64_t end, bool flags,
		   int (*fn)(const struct genie_vma *vma, void *data), void *data);

/* Is the flag of two letters among those of @vma? */
bool genie_vma_has(const struct genie_vma *vma, const char *flag);

#endif
