/*
 * Which pages of this process were written since the last question. The kernel knows (Linux 6.7:
 * asynchronous write protection by userfaultfd, read by the PAGEMAP_SCAN ioctl), without a signal
 * handler, a thread or a fault that anybody has to answer. Where it does not, or where a range
 * cannot be watched, every page counts as written, and who asks compares.
 */
#ifndef GENIE_INTERPOSE_DIRTY_H
#define GENIE_INTERPOSE_DIRTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Begins to watch the pages that [@addr, @addr + @size) touches. False: they cannot be watched. */
bool genie_dirty_watch(uint64_t addr, size_t size);
void genie_dirty_unwatch(uint64_t addr, size_t size);

/*
 * Calls @fn for each run of pages of [@addr, @addr + @size) that were written since the last call,
 * cut to the range, until it returns false; from then on a write counts again. False: the kernel
 * failed, or @fn wanted no more; what was not told stays written.
 */
bool genie_dirty_each(uint64_t addr, size_t size,
		      bool (*fn)(uint64_t addr, size_t size, void *data), void *data);

#endif
